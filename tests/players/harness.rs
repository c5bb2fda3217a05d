//! What all of these tests need: the daemon with a channel of barcode movies, patience with an end,
//! skipping aloud.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::film::Film;

#[path = "../e2e/harness/daemon.rs"]
#[allow(dead_code, reason = "written for more than these tests")]
pub(crate) mod daemon;

#[path = "../e2e/harness/patience.rs"]
#[allow(dead_code, reason = "written for more than these tests")]
pub(crate) mod patience;

use daemon::Daemon;
pub(crate) use patience::eventually;

/// What should happen at once; long only because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Whether all of these programs are here; otherwise says what is not, and fails when nothing may
/// be left out.
pub(crate) fn can(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|p| !is_there(p)).collect();
    if missing.is_empty() {
        return true;
    }
    patience::skip(&format!("no {missing:?}"));
    false
}

fn is_there(program: &str) -> bool {
    // Those of administrators are in no ordinary user's path.
    let look = "PATH=$PATH:/usr/sbin:/sbin; command -v \"$0\"";
    let found = Command::new("sh").args(["-c", look, program]).output();
    found.is_ok_and(|o| o.status.success())
}

/// A daemon with one channel: two barcode movies, the one in mkv, the other in mp4, for ever.
pub(crate) struct Channel {
    pub(crate) daemon: Daemon,
    pub(crate) directory: TempDir,
    /// Pictures of each of the two.
    pub(crate) pictures: u32,
}

impl Channel {
    /// Makes the movies and starts the daemon; `seconds` is how long each of the two lasts.
    pub(crate) fn start(seconds: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let library = directory.path().join("movies");
        for (number, extension) in [(0, "mkv"), (1, "mp4")] {
            Film { number, extension, seconds }.make(&library);
        }
        let config = directory.path().join("server.toml");
        fs::write(&config, configuration(&library)).expect("a file");
        let daemon = Daemon::start(&config);
        let pictures = seconds * Film::RATE;
        Self { daemon, directory, pictures }
    }

    /// Kills the daemon and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        let address = self.daemon.http().to_string();
        self.daemon.kill();
        let config = self.directory.path().join("server.toml");
        let text = fs::read_to_string(&config).expect("our file");
        fs::write(&config, text.replace("127.0.0.1:0", &address)).expect("a file");
        self.daemon = Daemon::start(&config);
    }

    /// The address of something on its HTTP port.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.http())
    }
}

fn configuration(library: &Path) -> String {
    format!(
        "role = \"server\"\n\
         [library]\ndirectory = {library:?}\n\
         [[channel]]\nnumber = 0\nname = \"Bars\"\nplaylist = [\"film0\", \"film1\"]\n\
         repeat = true\nepoch = 2026-01-01T00:00:00Z\n\
         [http]\nlisten = \"127.0.0.1:0\"\nper_address_max = 0\n\
         [control]\nsocket = \"control.sock\"\n"
    )
}

/// The body of an answer with status 200.
pub(crate) fn get(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).expect("the port takes connections");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a request fits");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a text and its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body.to_owned()
}

/// How long an endless answer takes from the connection to its first byte of movie.
pub(crate) fn first_byte(server: SocketAddr, path: &str) -> Duration {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(server).expect("the port takes connections");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a request fits");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).expect("more comes");
        assert!(count > 0, "{path} ended");
        answer.extend_from_slice(&buffer[..count]);
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if body.is_some_and(|at| at < answer.len()) {
            return begin.elapsed();
        }
    }
}

//! What all of these tests need: patience with an end, skipping aloud, a library and the files of
//! the units.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_vidstreamd");
/// What should happen at once; long only because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// The files that are installed.
pub(crate) const UNITS: [&str; 2] = ["vidstreamd.service", "vidstreamd@.service"];

/// Looks again and again until there is something.
///
/// # Panics
/// When it takes longer than [`SOON`]; `what` says what was waited for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether everything is there; otherwise says what is not, and fails when nothing may be left out.
pub(crate) fn can(root: bool, programs: &[&str]) -> bool {
    let lacks_root = root && !nix::unistd::geteuid().is_root();
    let missing: Vec<&str> = programs.iter().copied().filter(|p| !is_there(p)).collect();
    if !lacks_root && missing.is_empty() {
        return true;
    }
    let reason = if lacks_root { "not root".to_owned() } else { format!("no {missing:?}") };
    println!("SKIPPED: {reason}");
    let required = std::env::var("VIDSTREAMD_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "VIDSTREAMD_REQUIRE_ALL=1, but: {reason}");
    false
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    found.is_ok_and(|o| o.status.success())
}

/// Runs a command to its end; its exit status, and all that it printed.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    let done = command.stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&done.stderr));
    (done.status.code(), text)
}

/// A unit as it is in the repository.
pub(crate) fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/systemd").join(name);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path:?}: {why}"))
}

/// Writes the units into a directory, for a program that is not installed.
pub(crate) fn write_units(into: &Path, program: &str) {
    for name in UNITS {
        let text = unit(name);
        assert!(text.contains("/usr/bin/vidstreamd"), "{name}");
        fs::write(into.join(name), text.replace("/usr/bin/vidstreamd", program)).unwrap();
    }
}

/// Writes a library of one movie, whose blocks last half a second.
pub(crate) fn write_library(directory: &Path) -> PathBuf {
    let folder = directory.join("clip");
    fs::create_dir_all(&folder).unwrap();
    let mut index = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n".to_owned();
    for number in 0..4_u8 {
        let name = format!("clip_{number:05}.mkv");
        let mut block = vec![number; 10_000];
        block[..4].copy_from_slice(&[0x1a, 0x45, 0xdf, 0xa3]);
        fs::write(folder.join(&name), block).unwrap();
        write!(index, "#EXTINF:0.500,\n{name}\n").unwrap();
    }
    fs::write(folder.join("clip.m3u8"), index + "#EXT-X-ENDLIST\n").unwrap();
    directory.to_owned()
}

/// A server's configuration with one channel. Ports: tv, http, the clients'.
pub(crate) fn server(library: &Path, socket: &str, [tv, http, callback]: [u16; 3]) -> String {
    format!(
        "role = \"server\"\n\
         [log]\nlevel = \"debug\"\n\
         [library]\ndirectory = {library:?}\n\
         [[channel]]\nnumber = 0\nname = \"Clip\"\nplaylist = [\"clip\"]\n\
         epoch = 2026-01-01T00:00:00Z\n\
         [tv]\nlisten = \"127.0.0.1:{tv}\"\ncallback_port = {callback}\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\n\
         [control]\nsocket = {socket:?}\n"
    )
}

/// The head and the body of an answer on loopback.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

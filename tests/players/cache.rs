//! Two thousand viewers of HLS behind nginx as a cache, configured by the file that users are
//! given: what of their requests comes through to the daemon.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::audience::Audience;
use crate::harness::daemon::Daemon;
use crate::harness::{SOON, can, eventually, get};
use crate::watching::alone;

const VIEWERS: usize = 2000;
/// Seconds that are counted; a segment lasts 2.
const SECONDS: u64 = 16;
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/nginx/vidstreamd.conf");

/// nginx as a child of the test.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(directory: &Path, daemon: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("a port");
        drop(free);
        let sample = fs::read_to_string(SAMPLE).expect("our file");
        let mut text = sample.clone();
        for (from, to) in [
            ("/var/cache/nginx/vidstreamd", directory.join("cache").display().to_string()),
            ("127.0.0.1:6080", daemon.to_string()),
            ("listen 80;", format!("listen {address} backlog=4096;")),
        ] {
            assert!(text.contains(from), "{SAMPLE} has {from}");
            text = text.replace(from, &to);
        }
        let file = directory.join("nginx.conf");
        fs::write(&file, around(directory, &text)).expect("a file");
        let program =
            if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(directory).arg("-c").arg(&file).stdin(Stdio::null());
        let child = command.spawn().expect("nginx runs");
        let nginx = Self { child, address };
        eventually(SOON, "nginx listens", || TcpStream::connect(address).ok());
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a system's own nginx.conf has around the files of conf.d.
fn around(directory: &Path, sites: &str) -> String {
    let root = directory.display();
    let mut text = format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/errors;\n\
         worker_rlimit_nofile 8000;\nevents {{ worker_connections 5000; }}\n\
         http {{\nlog_format asked '$upstream_cache_status $status $uri';\n\
         access_log {root}/asked asked;\nkeepalive_requests 100000;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path {root}/{kind};").expect("a string takes text");
    }
    text + sites + "}\n"
}

/// Requests that the daemon has answered.
fn answered(daemon: SocketAddr) -> u64 {
    let text = get(daemon, "/metrics");
    let lines = text.lines().filter(|line| line.starts_with("vidstreamd_http_answers_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn two_thousand_viewers_behind_a_cache_are_one_to_the_daemon() {
    if !can(&["nginx"]) {
        return;
    }
    let _turn = alone();
    assert!(vidstreamd::io::descriptors::limit() > 3000, "descriptors for {VIEWERS} viewers");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("server.toml");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies");
    let text = format!(
        "role = \"server\"\n[library]\ndirectory = {library:?}\n\
         [[channel]]\nnumber = 0\nname = \"Clock\"\nplaylist = [\"clock\"]\nrepeat = true\n\
         epoch = 2026-01-01T00:00:00Z\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [control]\nsocket = \"control.sock\"\n"
    );
    fs::write(&config, text).expect("a file");
    let daemon = Daemon::start(&config);
    let nginx = Nginx::start(directory.path(), daemon.http());
    let folder = ("/ch/0/", "index.m3u8");
    let mut audience = Audience::new(VIEWERS, nginx.address, folder).expect("connections");
    // Everybody is there and has had a segment.
    audience.watch(Duration::from_secs(5)).expect("no connection ends");
    let asked = directory.path().join("asked");
    let lines = || fs::read_to_string(&asked).expect("nginx writes it").lines().count();
    let (before, skipped) = (answered(daemon.http()), lines());
    let had = audience.watch(Duration::from_secs(SECONDS)).expect("no connection ends");
    // The question itself is an answer, too.
    let through = answered(daemon.http()) - before - 1;
    let log = fs::read_to_string(&asked).expect("nginx writes it");
    let missed = |end: &str| {
        let counted = log.lines().skip(skipped).filter(|line| !line.starts_with("HIT "));
        let counted = counted.filter(|line| !line.starts_with("UPDATING ") && line.ends_with(end));
        counted.count()
    };
    let (segments, playlists) = (missed(".m4s"), missed(".m3u8"));
    println!(
        "{VIEWERS} viewers, {SECONDS} s: {} playlists and {} segments had, {} refused; \
         through to the daemon {through}: {segments} for segments, {playlists} for playlists",
        had.playlists, had.segments, had.refused
    );
    let aired = SECONDS / 2;
    assert_eq!(had.refused, 0);
    let least = VIEWERS as u64 * (aired - 2);
    assert!(had.segments >= least, "{had:?}: all of them watch");
    // A block more may have aired at either end.
    assert!(segments as u64 * 10 <= (aired + 1) * 12, "{segments} requests for {aired} segments");
    assert!(playlists as u64 <= SECONDS + 2, "{playlists} requests for playlists in {SECONDS} s");
    assert!(through <= (segments + playlists) as u64 + 4, "nothing else came through");
}

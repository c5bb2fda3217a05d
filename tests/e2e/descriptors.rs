//! When descriptors run out: no spinning, and on as soon as there is one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::lab::Lab;
use crate::harness::setup::Server;
use crate::harness::viewer::Viewer;
use crate::harness::{SOON, http, skip, works};

/// So few that a handful of connections uses them up.
const LIMIT: &str = "--nofile=40:40";

/// Connections to a server that say nothing.
fn crowd(server: SocketAddr, many: usize) -> Vec<TcpStream> {
    (0..many).map(|_| TcpStream::connect(server).expect("the kernel queues it")).collect()
}

/// Whether a request is answered within this time.
fn answers(server: SocketAddr, within: Duration) -> bool {
    let mut stream = TcpStream::connect(server).expect("the kernel queues it");
    stream.set_read_timeout(Some(within)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"200")
}

#[test]
fn without_descriptors_it_sleeps_and_with_one_it_goes_on() {
    if !works("prlimit", &[LIMIT, "true"]) {
        return skip("prlimit is not installed");
    }
    let lab = Lab::new();
    let clip = lab.clip();
    let config = Server::new(&lab, &["clip"]).write(&lab);
    let mut daemon = Daemon::start_by(&["prlimit", LIMIT], &config);
    let http = daemon.http();
    let crowd = crowd(http, 200);
    // The crowd is taken as far as it goes before anything is measured.
    assert!(!answers(http, Duration::from_millis(300)), "200 fit into 40 descriptors");
    let other = TcpStream::connect(daemon.tv()).expect("the kernel queues it");
    let before = daemon.cpu();
    thread::sleep(Duration::from_secs(1));
    let used = daemon.cpu().saturating_sub(before);
    assert!(used < Duration::from_millis(250), "{used:?} of processor time in a second of nothing");
    drop((crowd, other));
    let freed = Instant::now();
    assert!(answers(http, SOON), "no answer after descriptors were free");
    let took = freed.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?} from the first free descriptor");
    assert!(daemon.is_alive());
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    let told = daemon.texts(|text| text.contains("descriptor"));
    assert!(!told.is_empty() && told.len() < 30, "said, but not for each: {told:#?}");
}

#[test]
fn a_crowd_at_the_tv_port_leaves_descriptors_for_the_blocks() {
    if !works("prlimit", &[LIMIT, "true"]) {
        return skip("prlimit is not installed");
    }
    let lab = Lab::new();
    let clip = lab.clip();
    let config = Server::new(&lab, &["clip"]).write(&lab);
    let daemon = Daemon::start_by(&["prlimit", LIMIT], &config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    let crowd = crowd(daemon.tv(), 100);
    let mut last = clip.index_of(&viewer.block());
    for _ in 0..4 {
        let next = clip.index_of(&viewer.block());
        clip.assert_follows(last, next);
        last = next;
    }
    drop(crowd);
    assert_eq!(http::status(daemon.http())["tv"]["strikes"], 0);
}

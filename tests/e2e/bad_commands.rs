//! What else may arrive at the tv port: pieces, floods, silence, noise.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{self, Lab, Movie, Random};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, command, connect, count, last_command};
use crate::harness::{SOON, http};

fn lab_with_server() -> (Lab, Movie, Daemon) {
    let lab = Lab::new();
    let clip = lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    (lab, clip, daemon)
}

/// How long a connection stays open, and what it brings.
fn until_closed(mut stream: TcpStream) -> (Duration, Vec<u8>) {
    let began = Instant::now();
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(SOON)).unwrap();
    if let Err(why) = stream.read_to_end(&mut bytes) {
        assert_eq!(why.kind(), std::io::ErrorKind::ConnectionReset, "not closed: {why}");
    }
    (began.elapsed(), bytes)
}

#[test]
fn a_short_command_gets_no_bytes() {
    let (_lab, _clip, daemon) = lab_with_server();
    for short in [&b""[..], b"1", b"13", b"\n"] {
        assert_eq!(last_command(daemon.tv(), lab::address(), short), b"", "{short:?}");
    }
    assert_eq!(count(daemon.tv(), 0), 0);
}

#[test]
fn a_command_of_64_kib_is_answered_by_its_first_three_bytes() {
    let (lab, clip, daemon) = lab_with_server();
    let viewer = Viewer::new(&lab);
    let mut long = b"100".to_vec();
    long.resize(64 << 10, b'9');
    assert_eq!(command(daemon.tv(), viewer.address, &long), b"");
    assert_eq!(viewer.reply(), "10");
    clip.index_of(&viewer.block());
    long[..3].copy_from_slice(b"130");
    assert_eq!(command(daemon.tv(), viewer.address, &long), b"1");
    long.fill(b'A');
    assert_eq!(command(daemon.tv(), viewer.address, &long), b"");
}

#[test]
fn an_endless_command_does_not_go_on_for_ever() {
    let (_lab, _clip, daemon) = lab_with_server();
    let mut stream = connect(daemon.tv(), lab::address());
    stream.set_write_timeout(Some(SOON)).unwrap();
    let (piece, began) = (vec![b'x'; 1 << 16], Instant::now());
    let sent = (0..4096).find(|_| stream.write_all(&piece).is_err());
    assert!(sent.is_some(), "256 MiB were taken as one command");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(count(daemon.tv(), 0), 0);
}

#[test]
fn noise_is_survived() {
    let (_lab, _clip, mut daemon) = lab_with_server();
    let mut random = Random::from_name("noise");
    for _ in 0..200 {
        let len = random.below(300) as usize;
        let mut bytes = random.bytes(len);
        // Not by chance a join: its callback would be for this address.
        if let Some(first) = bytes.first_mut() {
            *first |= 0x80;
        }
        assert_eq!(last_command(daemon.tv(), Ipv4Addr::LOCALHOST, &bytes), b"");
    }
    assert!(daemon.is_alive());
    assert_eq!(count(daemon.tv(), 0), 0);
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let (lab, clip, daemon) = lab_with_server();
    let viewer = Viewer::new(&lab);
    let mut stream = connect(daemon.tv(), viewer.address);
    stream.set_nodelay(true).unwrap();
    for byte in b"100" {
        thread::sleep(Duration::from_millis(120));
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(viewer.reply(), "10");
    clip.index_of(&viewer.block());
}

#[test]
fn a_command_that_is_never_finished_is_closed() {
    let (_lab, _clip, daemon) = lab_with_server();
    let silent = connect(daemon.tv(), lab::address());
    let mut half = connect(daemon.tv(), lab::address());
    half.write_all(b"10").unwrap();
    let waits = thread::spawn(move || until_closed(silent));
    let (took, bytes) = until_closed(half);
    assert_eq!(bytes, b"");
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(12), "{took:?}");
    let (took, bytes) = waits.join().unwrap();
    assert_eq!(bytes, b"");
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn one_byte_a_second_does_not_prolong_the_patience() {
    let (_lab, _clip, daemon) = lab_with_server();
    let mut stream = connect(daemon.tv(), lab::address());
    let reader = stream.try_clone().unwrap();
    let closed = thread::spawn(move || until_closed(reader));
    stream.write_all(b"1").unwrap();
    thread::sleep(Duration::from_millis(1800));
    stream.write_all(b"3").unwrap();
    let (took, bytes) = closed.join().unwrap();
    assert_eq!(bytes, b"");
    assert!(took < Duration::from_millis(4700), "counted from the last byte: {took:?}");
}

/// Raises this process's descriptor limit; returns it.
fn descriptors() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let wanted = hard.min(20_000);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).expect("up to the hard limit");
    usize::try_from(wanted).expect("a small number")
}

#[test]
fn ten_thousand_silent_connections_do_not_keep_a_command_from_its_answer() {
    let lab = Lab::new();
    let clip = lab.clip();
    let text = Server::new(&lab, &["clip"]).text();
    let daemon = Daemon::start(&lab.write("server.toml", text));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let many = (descriptors() - 1_500).min(10_000);
    let began = Instant::now();
    let silent: Vec<_> = (0..many).map(|_| TcpStream::connect(daemon.tv()).unwrap()).collect();
    println!("{many} connections in {:?}", began.elapsed());
    for _ in 0..5 {
        let asked = Instant::now();
        assert_eq!(command(daemon.tv(), lab::address(), b"130"), b"1");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    let open = daemon.descriptors();
    assert!(open < 1_000, "{open} descriptors for silence");
    clip.index_of(&viewer.block());
    assert_eq!(http::get(daemon.http(), "/healthz").status, 200);
    let newcomer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&newcomer.block());
    for stream in silent {
        let (_, bytes) = until_closed(stream);
        assert_eq!(bytes, b"");
    }
    assert_eq!(count(daemon.tv(), 0), 2);
}

#[test]
fn bad_input_is_never_written_raw_to_the_log() {
    let lab = Lab::new();
    lab.clip();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[31m\r\n2026-01-01T00:00:00.000Z info forged";
    std::fs::write(lab.movies().join("clip").join(format!("{}.mkv", evil.replace('/', ""))), "x")
        .unwrap();
    let mut daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    last_command(daemon.tv(), lab::address(), evil.as_bytes());
    last_command(daemon.tv(), lab::address(), b"\x1b[2");
    last_command(daemon.tv(), lab::address(), b"\xff\xfe\x9b31m");
    for head in [
        format!("GET /{evil} HTTP/1.1\r\nHost: x\r\n\r\n"),
        "GET /%1b%5b31m HTTP/1.1\r\nHost: x\r\nUser-Agent: \u{1b}[31m\r\nConnection: close\r\n\r\n"
            .to_owned(),
    ] {
        http::exchange(daemon.http(), head.as_bytes());
    }
    daemon.stop();
    // That no raw control byte is there is checked for every daemon when it goes out of scope.
    assert_eq!(daemon.texts(|text| text == "forged").len(), 0);
}

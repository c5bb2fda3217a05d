//! Requests that are none, on the paths of players, and crowds of connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::{SOON, http};

use super::{demo, names_of, on_the_air};

#[test]
fn paths_that_lead_anywhere_else_are_refused() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    for path in [
        "/ch/0/../../etc/passwd",
        "/ch/0/%2e%2e/%2e%2e/etc/passwd",
        "/ch/0/..%2f..%2fetc%2fpasswd",
        "/ch/0/clock_00000.mkv",
        "/ch/0/clock/clock_00000.mkv",
        "/ch/0/%00.ts",
        "/ch/0//etc/passwd",
        "/ch/0.ts/",
        "/ch/+0.ts",
        "/ch/0x0.ts",
        "/ch/18446744073709551616.ts",
        "/ch/18446744073709551615.ts",
        "/ch/0/index.m3u8/",
        "/ch/0/INDEX.M3U8",
        "/ch/0/init-.mp4",
        "/ch/0/init-../../x.mp4",
        "/ch/0/-1.ts",
        "/movies/clock/clock_00000.mkv",
        "/etc/server.toml",
    ] {
        let answer = http::get(daemon.http(), path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.head);
        assert!(answer.body.len() < 200, "{path}: words only");
    }
}

#[test]
fn parts_of_a_segment_can_be_had_and_other_ranges_are_answered() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    for playlist in ["/ch/0/index.m3u8", "/ch/0/ts.m3u8"] {
        let names = names_of(http::get(daemon.http(), playlist).text());
        let path = format!("/ch/0/{}", names.last().expect("a segment"));
        let whole = http::get(daemon.http(), &path).body;
        let length = whole.len();
        let part = |range: &str| http::request(daemon.http(), "GET", &path, &[("Range", range)]);
        for (from, until) in [(0, 0), (1, 700), (188, 40_000), (length - 1, length - 1)] {
            let until = until.min(length - 1);
            let answer = part(&format!("bytes={from}-{until}"));
            assert_eq!(answer.status, 206, "{from}-{until}");
            assert_eq!(answer.body, whole[from..=until], "{from}-{until} of {path}");
        }
        assert_eq!(part("bytes=-100").body, whole[length - 100..]);
        assert_eq!(part(&format!("bytes={length}-")).status, 416);
        for none in ["bytes=9-1", "bytes=x", "lines=1-2", "bytes=1-2,4-5", "bytes=-"] {
            let answer = part(none);
            assert_eq!((answer.status, answer.body == whole), (200, true), "{none}");
        }
    }
    let answer = http::request(daemon.http(), "HEAD", "/ch/0.ts", &[("Range", "bytes=0-1")]);
    assert_eq!((answer.status, answer.body.len()), (200, 0), "an endless answer has no parts");
}

#[test]
fn a_pipeline_gets_an_answer_to_each_request_in_order() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let paths = ["/ch/0/index.m3u8", "/ch/9.ts", "/ch/0/ts.m3u8", "/healthz", "/ch/0/x.ts"];
    let mut text: String = paths.iter().cycle().take(50).map(|path| get(path)).collect();
    text += "POST /ch/0.ts HTTP/1.1\r\nHost: x\r\n\r\n";
    let bytes = http::exchange(daemon.http(), text.as_bytes());
    let mut rest = &bytes[..];
    let mut statuses = Vec::new();
    while !rest.is_empty() {
        let answer = http::parse(rest);
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        statuses.push(answer.status);
        rest = &rest[answer.head.len() + 4 + length..];
    }
    let mut expected = [200, 404, 200, 200, 404].repeat(10);
    expected.push(405);
    assert_eq!(statuses, expected);
}

/// Lets this process have as many files open as its system allows; how many those are.
fn descriptors() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

/// A kept connection that has had one answer.
fn kept(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /ch/7.ts HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut got, mut part) = (Vec::new(), [0; 1_024]);
    while !got.ends_with(b"here\n") {
        let count = stream.read(&mut part).expect("an answer in time");
        assert!(count > 0, "{:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&part[..count]);
    }
    assert!(got.starts_with(b"HTTP/1.1 404 "));
    stream
}

#[test]
fn ten_thousand_kept_connections_hold_up_nobody() {
    const CONNECTIONS: usize = 10_000;
    let most = descriptors();
    if most < 2 * CONNECTIONS as u64 {
        return println!("skipped: only {most} descriptors");
    }
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    let crowd: Vec<_> = (0..CONNECTIONS).map(|_| kept(daemon.http())).collect();
    let began = Instant::now();
    // The longest quiet one makes room.
    assert_eq!(http::get(daemon.http(), "/ch/0/ts.m3u8").status, 200);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let status = http::status(daemon.http());
    assert_eq!(status["http"]["refused"], 0, "{}", status["http"]);
    assert!(status["http"]["evicted"].as_u64() >= Some(1), "{}", status["http"]);
    drop(crowd);
}

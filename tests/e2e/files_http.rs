//! `vidstream files get --http`: players that read a film over HTTP while it comes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Output, Stdio};

use crate::files::{Files, film, json, vidstream};
use crate::harness::http::{exchange, get, parse, request};
use crate::harness::original_files::OriginalServer;
use crate::harness::{SOON, eventually, skip, works};

/// A running `vidstream files get` and its port.
struct Getting {
    child: Child,
    port: SocketAddr,
}

impl Getting {
    fn start(server: SocketAddr, more: &[&str]) -> Self {
        let words = [&["get", "SERVER", "0", "--http", "0", "--json"], more].concat();
        let mut command = vidstream(&words, server);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("vidstream: play http://127.0.0.1:").unwrap();
        let port = port.trim_end_matches('/').parse().unwrap();
        Self { child, port: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn connect(&self, range: &str) -> TcpStream {
        let mut player = TcpStream::connect(self.port).unwrap();
        player.set_read_timeout(Some(SOON)).unwrap();
        let range = if range.is_empty() { String::new() } else { format!("Range: {range}\r\n") };
        write!(player, "GET / HTTP/1.1\r\nHost: h\r\n{range}\r\n").unwrap();
        player
    }

    fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGINT).unwrap();
    }

    /// How it ended, which it does by itself.
    fn ended(mut self) -> Output {
        let over = || self.child.try_wait().unwrap().map(drop);
        eventually(SOON, "its end", over);
        self.child.wait_with_output().unwrap()
    }
}

/// The head of an answer, and no byte of its body.
fn head(player: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        player.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn body(player: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    player.read_exact(&mut body).unwrap();
    body
}

#[test]
fn a_player_on_the_port_sets_the_pace_and_the_file_is_kept() {
    let bytes = film("a", 60_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let to = files.lab.path("got.mkv");
    let more = ["--rate", "8M", "--buffer", "4", "-o", to.to_str().unwrap()];
    let getting = Getting::start(files.server, &more);
    // Nobody has come: as much is there as is kept ahead of a player, and no more is asked for.
    let kept = files.rest_at();
    assert!((4_000_000..6_000_000).contains(&kept), "{kept}");
    let mut player = getting.connect("");
    assert!(head(&mut player).contains("\r\nContent-Length: 60000000\r\n"));
    assert!(body(&mut player, 1_000_000) == bytes[..1_000_000]);
    // What the kernel keeps for a player that does not read counts as played.
    let paused = files.rest_at();
    assert!((kept..20_000_000).contains(&paused), "{paused}");
    assert!(body(&mut player, 59_000_000) == bytes[1_000_000..]);
    // The name and the server do not wait for the player, which may come back to any place.
    files.daemon.wait_after(0, "the end", |text| text.contains("has all of a.mkv"));
    assert!(fs::read(&to).unwrap() == bytes);
    write!(player, "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=7-8\r\n\r\n").unwrap();
    assert!(head(&mut player).contains("\r\nContent-Range: bytes 7-8/60000000\r\n"));
    assert!(body(&mut player, 2) == bytes[7..9]);
    drop(player);
    let output = getting.ended();
    assert!(output.status.success());
    assert_eq!(json(&output)["verified"], true);
}

#[test]
fn a_place_that_has_not_come_is_waited_for() {
    let bytes = film("a", 9_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "rate_max = 6000000");
    let getting = Getting::start(files.server, &["--rate", "1M", "--buffer", "1"]);
    files.rest_at();
    let mut player = getting.connect("bytes=-1000");
    assert!(head(&mut player).contains("\r\nContent-Range: bytes 8999000-8999999/9000000\r\n"));
    assert!(body(&mut player, 1000) == bytes[8_999_000..]);
    drop(player);
    assert_eq!(json(&getting.ended())["verified"], true);
}

#[test]
fn who_wants_no_film_gets_none_and_does_not_end_it() {
    let bytes = film("a", 2_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let getting = Getting::start(files.server, &["--rate", "1M", "--buffer", "1"]);
    let port = getting.port;
    assert_eq!(get(port, "/favicon.ico").status, 404);
    assert_eq!(get(port, "/../../etc/passwd").status, 400);
    assert_eq!(request(port, "HEAD", "/", &[]).header("content-length"), Some("2000000"));
    assert_eq!(request(port, "GET", "/", &[("Range", "bytes=2000000-")]).status, 416);
    for nonsense in [&b"\0\xff\x16\x03\r\n\r\n"[..], b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        assert!(matches!(parse(&exchange(port, nonsense)).status, 400 | 405));
    }
    // More than it serves at once: the last of them finds nothing, and the first ones still do.
    let mut many: Vec<_> = (0..40).map(|_| getting.connect("bytes=0-9")).collect();
    assert!(body(&mut many[0], 1)[0] == b'H');
    drop(many);
    let mut player = getting.connect("");
    head(&mut player);
    assert!(body(&mut player, 1_000_000) == bytes[..1_000_000]);
    getting.interrupt();
    assert_eq!(getting.ended().status.code(), Some(130));
}

#[test]
fn an_original_server_tells_no_length_and_is_played_all_the_same() {
    let bytes = film("a", 350_000);
    let server = OriginalServer::start(vec![("a.mkv".to_owned(), bytes.clone())], 0);
    let getting = Getting::start(server.address, &[]);
    let mut player = getting.connect("bytes=100-");
    let head = head(&mut player);
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Content-Length"), "{head}");
    let mut all = Vec::new();
    player.read_to_end(&mut all).unwrap();
    assert!(all == bytes);
    drop(player);
    assert_eq!(json(&getting.ended())["wire"], "original");
}

#[test]
fn a_port_that_somebody_has_is_named() {
    let files = Files::new(&[("a.mkv", b"film")], "");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["get", "SERVER", "0", "--http", &address, "-o", "/dev/null"];
    let output = vidstream(&words, files.server).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains(&format!("--http {address}: ")), "{why}");
}

#[test]
fn a_real_player_shows_every_picture_of_a_film_on_its_way() {
    if !works("ffmpeg", &["-version"]) {
        return skip("there is no ffmpeg");
    }
    let movies = concat!(env!("CARGO_MANIFEST_DIR"), "/movies");
    for (movie, extension) in [("bars", "mkv"), ("bars-mp4", "mp4")] {
        let blocks = fs::read_dir(format!("{movies}/{movie}")).unwrap().flatten();
        let blocks = blocks.map(|entry| entry.path());
        let mut blocks = blocks.filter(|path| path.extension().is_some_and(|e| e == extension));
        let path = blocks.next().expect("a movie has blocks");
        let bytes = fs::read(&path).unwrap();
        let name = format!("film.{extension}");
        let files = Files::new(&[(&name, &bytes)], "rate_max = 1000000");
        let getting = Getting::start(files.server, &[]);
        let frames = |from: &str| {
            let sums = ["-v", "error", "-i", from, "-map", "0:v", "-f", "framehash", "-"];
            let output = std::process::Command::new("ffmpeg").args(sums).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && errors.is_empty(), "{name}: {errors}");
            output.stdout
        };
        let shown = frames(&format!("http://{}/{name}", getting.port));
        assert!(shown.len() > 1000 && shown == frames(path.to_str().unwrap()), "{name}");
        assert_eq!(json(&getting.ended())["verified"], true);
    }
}

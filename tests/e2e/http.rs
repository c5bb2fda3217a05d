//! The HTTP port: health, figures, the page, and blocks by number and live.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::viewer::Viewer;
use crate::harness::{SOON, eventually, http};

/// A server whose blocks last so long that a test stays within one or two.
fn calm_lab() -> (Lab, Movie, Daemon) {
    let lab = Lab::new();
    let clip = Movie::new("clip", 30, 50_000).lasting(Duration::from_secs(10)).write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    (lab, clip, daemon)
}

/// The number of the block on the air, and the path under which it can be had.
fn current(server: SocketAddr) -> (u64, String) {
    let seq = eventually(SOON, "a block on the air", || {
        http::status(server)["channels"][0]["on_air"]["seq"].as_u64()
    });
    (seq, format!("/ch/0/blocks/{seq}"))
}

#[test]
fn healthz_says_that_all_is_well() {
    let (_lab, _clip, daemon) = calm_lab();
    let answer = http::get(daemon.http(), "/healthz");
    assert_eq!(answer.status, 200);
    assert!(!answer.body.is_empty());
}

#[test]
fn the_status_document_tells_what_is_on_the_air() {
    let (lab, clip, daemon) = calm_lab();
    let (before, status, after) =
        (clip.seq_on_air(), http::status(daemon.http()), clip.seq_on_air());
    let channel = &status["channels"][0];
    let seq = channel["on_air"]["seq"].as_u64().expect("a block on the air");
    assert!((before.saturating_sub(1)..=after).contains(&seq), "{seq} in {before}..={after}");
    let index = seq as usize % clip.blocks.len();
    assert_eq!(channel["name"], "Only clip");
    assert_eq!(channel["on_air"]["movie"], "clip");
    assert_eq!(channel["on_air"]["block"], index);
    assert_eq!(channel["on_air"]["bytes"], clip.blocks[index].len());
    assert_eq!(channel["on_air"]["replaced"], false);
    assert_eq!(channel["next"]["seq"], seq + 1);
    assert_eq!(channel["viewers_tv"], 0);
    assert_eq!(status["node"]["role"], "server");
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    assert_eq!(http::status(daemon.http())["channels"][0]["viewers_tv"], 1);
    drop(viewer);
}

#[test]
fn metrics_are_openmetrics_text() {
    let (_lab, _clip, daemon) = calm_lab();
    let answer = http::get(daemon.http(), "/metrics");
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").expect("a media type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "the end mark");
    let is_sample = |line: &&str| !line.starts_with('#') && !line.is_empty();
    for line in text.lines().filter(is_sample) {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(line.starts_with("vidstreamd_"), "{line}");
    }
    assert!(text.lines().filter(is_sample).count() > 10, "some figures");
}

#[test]
fn the_page_lists_the_channels() {
    let lab = Lab::new();
    lab.clip();
    let mut server = Server::new(&lab, &["clip", "clip"]);
    server.channels[1].name = "Rock & <b>Roll</b>".to_owned();
    let daemon = Daemon::start(&server.write(&lab));
    let answer = http::get(daemon.http(), "/");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let page = answer.text();
    assert!(page.contains("Only clip"), "{page}");
    assert!(page.contains("Rock &amp; &lt;b&gt;Roll&lt;/b&gt;"), "names are escaped: {page}");
    assert!(!page.contains("<b>Roll"), "{page}");
}

#[test]
fn a_block_is_served_by_its_number_and_never_changes() {
    let (_lab, clip, daemon) = calm_lab();
    let (seq, path) = current(daemon.http());
    let answer = http::get(daemon.http(), &path);
    assert_eq!(answer.status, 200);
    assert_eq!(clip.index_of(&answer.body) as u64, seq % clip.blocks.len() as u64);
    assert_eq!(answer.header("content-type"), Some("video/x-matroska"));
    let caching = answer.header("cache-control").expect("a caching header");
    assert!(caching.contains("immutable") && caching.contains("max-age"), "{caching}");
    assert!(answer.header("etag").is_some_and(|tag| tag.ends_with('"')));
}

#[test]
fn the_live_block_is_the_one_on_the_air_and_is_not_cached() {
    let (_lab, clip, daemon) = calm_lab();
    let (before, live) = (clip.on_air(), http::get(daemon.http(), "/ch/0/blocks/live"));
    let seen = clip.index_of(&live.body);
    assert!(seen == before || seen == clip.on_air() || clip.after(seen) == before, "{seen}");
    let lasting = live.header("content-location").expect("where it stays").to_owned();
    assert_eq!(http::get(daemon.http(), &lasting).body, live.body);
    let caching = live.header("cache-control").expect("a caching header");
    assert!(!caching.contains("immutable"), "{caching}");
    assert!(caching.contains("no-"), "{caching}");
}

#[test]
fn a_block_that_is_held_already_is_not_sent_again() {
    let (_lab, _clip, daemon) = calm_lab();
    let (_, path) = current(daemon.http());
    let tag = http::get(daemon.http(), &path).header("etag").expect("a tag").to_owned();
    let same = [("If-None-Match", tag.as_str())];
    let answer = http::request(daemon.http(), "GET", &path, &same);
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    assert_eq!(answer.header("etag"), Some(tag.as_str()));
    let other = [("If-None-Match", "\"another\"")];
    assert_eq!(http::request(daemon.http(), "GET", &path, &other).status, 200);
    assert_eq!(http::request(daemon.http(), "GET", &path, &[("If-None-Match", "*")]).status, 304);
}

#[test]
fn blocks_that_were_on_the_air_can_be_had_for_a_while() {
    let lab = Lab::new();
    let clip = lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let (first, path) = current(daemon.http());
    let block = http::get(daemon.http(), &path);
    assert_eq!(block.status, 200);
    eventually(SOON, "three blocks later", || {
        (current(daemon.http()).0 >= first + 3).then_some(())
    });
    let again = http::get(daemon.http(), &path);
    assert_eq!((again.status, again.header("etag")), (200, block.header("etag")));
    assert_eq!(clip.index_of(&again.body) as u64, first % clip.blocks.len() as u64);
}

#[test]
fn a_part_of_a_block_can_be_had() {
    let (_lab, clip, daemon) = calm_lab();
    let (seq, path) = current(daemon.http());
    let block = &clip.blocks[seq as usize % clip.blocks.len()];
    let len = block.len();
    let ranges = [
        ("bytes=0-9".to_owned(), 0..10),
        ("bytes=1000-1999".to_owned(), 1000..2000),
        (format!("bytes={}-", len - 7), len - 7..len),
        ("bytes=-5".to_owned(), len - 5..len),
        (format!("bytes=10-{}", len * 2), 10..len),
    ];
    for (range, wanted) in ranges {
        let answer = http::request(daemon.http(), "GET", &path, &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{range}");
        let content = format!("bytes {}-{}/{len}", wanted.start, wanted.end - 1);
        assert_eq!(answer.header("content-range"), Some(content.as_str()), "{range}");
        assert!(answer.body == block[wanted], "{range}");
    }
    let beyond = format!("bytes={len}-");
    let answer = http::request(daemon.http(), "GET", &path, &[("Range", &beyond)]);
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("content-range"), Some(format!("bytes */{len}").as_str()));
}

#[test]
fn a_range_that_is_none_is_as_if_it_were_not_there() {
    let (_lab, clip, daemon) = calm_lab();
    let (_, path) = current(daemon.http());
    for range in ["bytes=9-3", "lines=1-2", "bytes=a-b", "bytes", ""] {
        let answer = http::request(daemon.http(), "GET", &path, &[("Range", range)]);
        assert_eq!(answer.status, 200, "{range:?}");
        clip.index_of(&answer.body);
    }
}

#[test]
fn head_says_what_get_would_without_the_body() {
    let (_lab, _clip, daemon) = calm_lab();
    let (_, path) = current(daemon.http());
    for path in [path.as_str(), "/", "/healthz", "/metrics"] {
        let head = http::request(daemon.http(), "HEAD", path, &[]);
        let get = http::request(daemon.http(), "GET", path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
        assert!(head.header("content-length").is_some(), "{path}");
    }
}

#[test]
fn what_is_not_there_is_404() {
    let (_lab, _clip, daemon) = calm_lab();
    let (seq, _) = current(daemon.http());
    let paths = [
        "/nothing".to_owned(),
        "/ch/1/blocks/live".to_owned(),
        "/ch/0/blocks/18446744073709551616".to_owned(),
        "/ch/0/blocks/-1".to_owned(),
        "/ch/0/blocks/".to_owned(),
        format!("/ch/0/blocks/{}", seq + 1000),
        format!("/ch/0/blocks/{seq}/more"),
        "/ch/x/blocks/live".to_owned(),
        "/%2e%2e/server.toml".to_owned(),
    ];
    for path in paths {
        let status = http::get(daemon.http(), &path).status;
        assert!(status == 404 || status == 400, "{path} gave {status}");
    }
    let gone = http::get(daemon.http(), &format!("/ch/0/blocks/{}", seq - 1000));
    assert_eq!(gone.status, 410, "it was on the air and will not come again");
}

#[test]
fn other_methods_are_405_and_nonsense_is_400() {
    let (_lab, _clip, daemon) = calm_lab();
    for method in ["POST", "DELETE", "OPTIONS", "BREW"] {
        let answer = http::request(daemon.http(), method, "/", &[]);
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").is_some_and(|allowed| allowed.contains("GET")), "{method}");
    }
    for nonsense in ["100\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
        let answer = http::parse(&http::exchange(daemon.http(), nonsense.as_bytes()));
        assert_eq!(answer.status, 400, "{nonsense:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    assert_eq!(http::parse(&http::exchange(daemon.http(), long.as_bytes())).status, 431);
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let (_lab, clip, daemon) = calm_lab();
    let (_, path) = current(daemon.http());
    let one = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let bytes = http::exchange(daemon.http(), format!("{one}{one}{last}").as_bytes());
    let mut rest = &bytes[..];
    for _ in 0..3 {
        let answer = http::parse(rest);
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        clip.index_of(&answer.body[..length]);
        rest = &rest[answer.head.len() + 4 + length..];
    }
    assert_eq!(rest, b"");
}

#[test]
fn a_head_that_never_ends_is_closed_and_holds_up_nobody() {
    let (_lab, _clip, daemon) = calm_lab();
    let mut slow: Vec<_> =
        (0..20).map(|_| TcpStream::connect(daemon.http()).expect("a connection")).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    }
    let began = Instant::now();
    assert_eq!(http::get(daemon.http(), "/healthz").status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok(), "still open: {ended:?}");
        assert!(answer.is_empty() || http::parse(&answer).status == 408);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_client_node_shows_its_state_too() {
    let lab = Lab::new();
    lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let setup = crate::harness::setup::Client::new(&lab, server.tv());
    let client = Daemon::start(&setup.write(&lab));
    assert_eq!(http::get(client.http(), "/healthz").status, 200);
    eventually(SOON, "a received block", || {
        (http::status(client.http())["receive"]["blocks"].as_u64() >= Some(1)).then_some(())
    });
    assert_eq!(http::status(client.http())["node"]["role"], "client");
    assert!(http::get(client.http(), "/metrics").text().ends_with("# EOF\n"));
    assert_eq!(http::get(client.http(), "/").status, 200);
    assert!(fs::read_dir(lab.path("store")).unwrap().count() > 0);
}

//! What players and TV apps take from the HTTP port: lists, guide, page, endless streams, HLS.

mod nonsense;
mod refused;
mod relays;
mod slow;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::harness::daemon::Daemon;
use crate::harness::lab::Lab;
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, http};

/// A server that airs the movies of the demo.
fn demo() -> (Lab, Daemon) {
    let lab = Lab::new();
    let daemon = Daemon::start(&setup(&lab, "server").write(&lab));
    (lab, daemon)
}

fn setup(lab: &Lab, name: &str) -> Server {
    let mut server = Server::new(lab, &["clock"]);
    server.name = name.to_owned();
    server.library = movies();
    server
}

/// The movies of the demo.
fn movies() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("movies").to_str().expect("a path").to_owned()
}

/// What a playlist names: init segments and segments, in order.
fn names_of(list: &str) -> Vec<String> {
    let name = |line: &str| match line.strip_prefix("#EXT-X-MAP:URI=\"") {
        Some(rest) => Some(rest.trim_end_matches('"').to_owned()),
        None => (!line.starts_with('#')).then(|| line.to_owned()),
    };
    list.lines().filter_map(name).collect()
}

/// Whether these are packets of a transport stream, the last one perhaps cut.
fn same_packets(bytes: &[u8]) -> bool {
    bytes.chunks(188).all(|packet| packet[0] == 0x47)
}

/// The first bytes of an answer without end, its head cut off.
fn beginning(server: SocketAddr, path: &str, bytes: usize) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server).expect("the http port takes connections");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut part = vec![0; 65_536];
    loop {
        let n = stream.read(&mut part).expect("bytes in time");
        assert!(n > 0, "{path} ended after {}", got.len());
        got.extend_from_slice(&part[..n]);
        if let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n")
            && got.len() >= at + 4 + bytes
        {
            let head = String::from_utf8(got[..at].to_vec()).expect("a head is text");
            return (head, got.split_off(at + 4));
        }
    }
}

fn on_the_air(daemon: &Daemon) {
    eventually(SOON, "a block on the air", || {
        http::status(daemon.http())["channels"][0]["on_air"]["seq"].as_u64()
    });
}

#[test]
fn lists_name_the_channels_under_the_host_that_was_asked() {
    let (_lab, daemon) = demo();
    let list = http::get(daemon.http(), "/channels.m3u");
    assert_eq!(list.status, 200);
    let expected = "#EXTM3U url-tvg=\"http://test/guide.xml\"\n#EXTINF:-1 \
        tvg-id=\"ch0.vidstreamd\" tvg-chno=\"1\" tvg-name=\"Only clock\",Only clock\n\
        http://test/ch/0.ts\n";
    assert_eq!(list.text(), expected);
    let lineup: serde_json::Value =
        serde_json::from_slice(&http::get(daemon.http(), "/lineup.json").body).unwrap();
    assert_eq!(lineup[0]["URL"], "http://test/ch/0.ts");
    for path in ["/discover.json", "/lineup_status.json"] {
        let answer = http::get(daemon.http(), path);
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok(), "{path}");
    }
}

#[test]
fn the_guide_is_xml_and_tells_of_two_days() {
    let (_lab, daemon) = demo();
    let guide = http::get(daemon.http(), "/guide.xml");
    assert_eq!(guide.status, 200);
    let document = roxmltree::Document::parse(guide.text()).expect("XML");
    let programmes = document.descendants().filter(|n| n.has_tag_name("programme")).count();
    assert!(programmes > 1, "{programmes}");
}

#[test]
fn the_page_has_a_player_and_its_script() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    let page = http::get(daemon.http(), "/");
    assert!(page.text().contains("href=\"/ch/0.mp4\""), "{}", page.text());
    assert!(page.text().contains("<progress "), "{}", page.text());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'self'"), "{policy}");
    assert_eq!(http::get(daemon.http(), "/page.js").status, 200);
}

#[test]
fn endless_outputs_begin_at_once_and_go_on() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    let magics: [(&str, &str, usize, &[u8]); 3] = [
        ("/ch/0.mkv", "video/x-matroska", 0, &[0x1a, 0x45, 0xdf, 0xa3]),
        ("/ch/0.mp4", "video/mp4", 4, b"ftyp"),
        ("/ch/0.ts", "video/mp2t", 0, &[0x47]),
    ];
    for (path, media_type, at, magic) in magics {
        let block = http::get(daemon.http(), "/ch/0/blocks/live").body.len();
        // More than one block: the next is sent when it airs.
        let (head, body) = beginning(daemon.http(), path, block * 2);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains(media_type) && !head.contains("Content-Length"), "{head}");
        assert!(body[at..].starts_with(magic), "{path}: {:x?}", &body[..8]);
        if path == "/ch/0.ts" {
            assert!(same_packets(&body), "packet after packet");
        }
    }
}

#[test]
fn two_servers_give_the_same_playlists_and_segments() {
    let (lab, one) = demo();
    let two = Daemon::start(&setup(&lab, "other").write(&lab));
    on_the_air(&one);
    on_the_air(&two);
    for playlist in ["/ch/0/index.m3u8", "/ch/0/ts.m3u8"] {
        let same = eventually(SOON, "both within one block", || {
            let (a, b) = (http::get(one.http(), playlist), http::get(two.http(), playlist));
            (a.body == b.body).then_some(a)
        });
        assert_eq!(same.status, 200);
        assert_eq!(same.header("cache-control"), Some("public, max-age=1"));
        let text = same.text();
        assert!(text.contains("#EXT-X-PROGRAM-DATE-TIME:"), "{text}");
        let names = names_of(text);
        assert!(names.len() >= 6, "{text}");
        for name in names {
            // All but the live ones are from before both started.
            let path = format!("/ch/0/{name}");
            let (a, b) = (http::get(one.http(), &path), http::get(two.http(), &path));
            assert_eq!((a.status, b.status), (200, 200), "{path}");
            assert!(!a.body.is_empty() && a.body == b.body, "{path} is the same everywhere");
            assert_eq!(a.header("etag"), b.header("etag"), "{path}");
            let caching = a.header("cache-control").expect("a caching header");
            assert!(caching.contains("immutable") && caching.contains("31536000"), "{caching}");
        }
    }
}

#[test]
fn what_is_not_made_for_players_says_so() {
    let (_lab, daemon) = demo();
    on_the_air(&daemon);
    let list = http::get(daemon.http(), "/ch/0/ts.m3u8");
    let newest = names_of(list.text()).pop().expect("a segment");
    let (run, _) = newest.split_once('-').expect("a run and a number");
    let path = |seq: &str| format!("/ch/0/{run}-{seq}.ts");
    for path in ["/ch/1.ts", "/ch/0.avi", "/ch/0/init-0123456789abcdef.mp4", &path("99999999999")] {
        assert_eq!(http::get(daemon.http(), path).status, 404, "{path}");
    }
    assert_eq!(http::get(daemon.http(), &path("0")).status, 410, "its time is over");
    let other = format!("/ch/0/0123456789abcdef-{}", newest.split_once('-').unwrap().1);
    assert_eq!(http::get(daemon.http(), &other).status, 410, "another programme");
}

#[test]
fn a_block_that_is_no_movie_is_refused_with_its_reason() {
    let lab = Lab::new();
    lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    on_the_air(&daemon);
    let answer = http::get(daemon.http(), "/ch/0.ts");
    assert_eq!(answer.status, 404);
    assert!(!answer.text().is_empty());
    daemon.wait_text("channel 0: movie clip, block ");
}

#[test]
fn a_playlist_of_short_blocks_is_answered_when_the_next_is_on() {
    let lab = Lab::new();
    let short = lab.movies().join("short");
    std::fs::create_dir(&short).unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/container_mkv");
    let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let block = std::fs::read(&files[0]).unwrap();
    let mut index = vec!["#EXTM3U".to_owned()];
    for number in 0..4 {
        let name = format!("short_{number:05}.mkv");
        std::fs::write(short.join(&name), &block).unwrap();
        index.extend(["#EXTINF:0.400000,".to_owned(), name]);
    }
    std::fs::write(short.join("short.m3u8"), index.join("\n")).unwrap();
    let daemon = Daemon::start(&Server::new(&lab, &["short"]).write(&lab));
    on_the_air(&daemon);
    for path in ["/ch/0/index.m3u8", "/ch/0/ts.m3u8"] {
        let list = http::get(daemon.http(), path);
        let text = list.text();
        assert!(text.contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,"), "{text}");
        let newest = names_of(text).pop().expect("a segment");
        let number = newest.split_once('-').and_then(|(_, rest)| rest.split_once('.')).unwrap().0;
        let next = number.parse::<u64>().unwrap() + 1;
        let list = http::get(daemon.http(), &format!("{path}?_HLS_msn={next}&_HLS_part=0"));
        assert_eq!(list.status, 200, "{}", list.text());
        let listed = names_of(list.text()).pop().expect("a segment");
        assert!(listed.contains(&format!("-{next}.")), "{listed} is the one that was waited for");
        let part = format!("#EXT-X-PART:DURATION=0.400000,URI=\"{listed}\",INDEPENDENT=YES");
        assert!(list.text().contains(&part), "{}", list.text());
        for nonsense in ["_HLS_msn=9999999999999", "_HLS_msn=x", "_HLS_part=0"] {
            assert_eq!(http::get(daemon.http(), &format!("{path}?{nonsense}")).status, 400);
        }
    }
}

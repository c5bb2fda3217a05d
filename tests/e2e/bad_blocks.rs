//! Block files that break, before and while they are on the air. The filler takes their place, the
//! log says so once, and nobody else notices.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually, http, skip, works};

/// How long the blocks of most of these tests last.
const QUICK: Duration = Duration::from_millis(250);

/// A lab with a clip of so many blocks, and a filler.
fn filled_lab(blocks: usize) -> (Lab, Movie, Movie, PathBuf) {
    let lab = Lab::new();
    let clip = Movie::new("clip", blocks, 30_000).lasting(QUICK).write(&lab.movies());
    let filler = lab.movie("filler", 1, 9_000);
    let mut setup = Server::new(&lab, &["clip"]);
    setup.channels[0].filler = Some("filler".to_owned());
    let config = setup.write(&lab);
    (lab, clip, filler, config)
}

/// Takes so many blocks: each is the clip's or the filler's. Returns which of the clip came, and
/// how often the filler did.
fn take(viewer: &Viewer, clip: &Movie, filler: &Movie, blocks: usize) -> (BTreeSet<usize>, usize) {
    let mut seen = BTreeSet::new();
    let mut times = 0;
    for _ in 0..blocks {
        let block = viewer.block();
        if filler.find(&block).is_some() {
            times += 1;
        } else {
            seen.insert(clip.index_of(&block));
        }
    }
    (seen, times)
}

/// Starts with block 1 of 4 made unfit by `spoil`: the filler must stand in for it and only for it.
fn filler_stands_in(spoil: impl FnOnce(&Movie)) -> Daemon {
    let (lab, clip, filler, config) = filled_lab(4);
    spoil(&clip);
    let daemon = Daemon::start(&config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let (seen, times) = take(&viewer, &clip, &filler, 8);
    assert_eq!(seen, BTreeSet::from([0, 2, 3]));
    assert_eq!(times, 2, "each of the two times around");
    let status = http::status(daemon.http());
    assert!(status["channels"][0]["blocks_replaced"].as_u64() >= Some(2), "{status:#}");
    daemon
}

/// The log must name this file at least once, and not once a block.
fn assert_named(daemon: &Daemon, file: &str) {
    let lines = daemon.texts(|text| text.contains(file) && !text.starts_with("on air"));
    assert!(!lines.is_empty(), "{file} is not in the log");
    assert!(lines.len() <= 6, "{file} is in the log again and again: {lines:#?}");
}

#[test]
fn an_empty_block_is_replaced() {
    let daemon = filler_stands_in(|clip| fs::write(clip.file(1), b"").unwrap());
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn a_missing_block_is_replaced() {
    let daemon = filler_stands_in(|clip| fs::remove_file(clip.file(1)).unwrap());
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn a_directory_in_place_of_a_block_is_replaced() {
    let daemon = filler_stands_in(|clip| {
        fs::remove_file(clip.file(1)).unwrap();
        fs::create_dir(clip.file(1)).unwrap();
    });
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn a_fifo_in_place_of_a_block_hangs_nothing() {
    let daemon = filler_stands_in(|clip| {
        fs::remove_file(clip.file(1)).unwrap();
        let made = Command::new("mkfifo").arg(clip.file(1)).status().unwrap();
        assert!(made.success());
        let stray = Command::new("mkfifo").arg(clip.folder().join("pipe")).status().unwrap();
        assert!(stray.success());
    });
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn a_link_out_of_the_library_is_not_followed() {
    let secrets = Lab::new();
    let secret = secrets.movie("secret", 1, 30_000);
    let file = secret.file(0);
    let daemon = filler_stands_in(|clip| {
        fs::remove_file(clip.file(1)).unwrap();
        symlink(file, clip.file(1)).unwrap();
    });
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn links_in_circles_and_to_nothing_hang_nothing() {
    let daemon = filler_stands_in(|clip| {
        fs::remove_file(clip.file(1)).unwrap();
        symlink("clip_00001.mkv", clip.file(1)).unwrap();
        symlink("..", clip.folder().join("up")).unwrap();
        symlink("/nonexistent", clip.folder().join("clip_00009.ts")).unwrap();
    });
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn a_block_of_2_gib_is_replaced() {
    let daemon = filler_stands_in(|clip| {
        let file = fs::OpenOptions::new().write(true).open(clip.file(1)).unwrap();
        file.set_len(2 << 30).unwrap();
    });
    assert_named(&daemon, "clip_00001.mkv");
}

#[test]
fn without_a_filler_a_bad_block_is_left_out() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 4, 30_000);
    fs::write(clip.file(2), b"").unwrap();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let first = clip.index_of(&viewer.block());
    let order = [0, 1, 3];
    let mut at = order.iter().position(|i| *i == first).expect("not the empty one");
    for _ in 0..5 {
        at = (at + 1) % 3;
        assert_eq!(clip.index_of(&viewer.block()), order[at]);
    }
    assert_eq!(count(daemon.tv(), 0), 1, "a block left out is no strike");
    let status = http::status(daemon.http());
    assert!(status["channels"][0]["blocks_skipped"].as_u64() >= Some(1), "{status:#}");
}

#[test]
fn strangers_in_the_library_are_named_and_left_alone() {
    let (lab, clip, filler, config) = filled_lab(4);
    fs::write(clip.folder().join("notes.txt"), "nothing").unwrap();
    fs::write(clip.folder().join("clip_00099.mkv"), b"gap before this one").unwrap();
    fs::write(lab.movies().join("readme"), "nothing").unwrap();
    let daemon = Daemon::start(&config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let (seen, times) = take(&viewer, &clip, &filler, 5);
    assert_eq!((seen.len(), times), (4, 0));
    assert_named(&daemon, "notes.txt");
}

#[test]
fn a_block_truncated_while_on_the_air_harms_nobody() {
    let lab = Lab::new();
    let wide = Movie::new("wide", 4, 6 << 20).lasting(Duration::from_secs(2)).write(&lab.movies());
    let filler = lab.movie("filler", 1, 9_000);
    let mut setup = Server::new(&lab, &["wide"]);
    setup.channels[0].filler = Some("filler".to_owned());
    let mut daemon = Daemon::start(&setup.write(&lab));
    let slow = Viewer::narrow(&lab);
    assert_eq!(slow.join(daemon.tv(), 0), "10");
    let stream = slow.accept(SOON).expect("a block that has begun");
    let status = http::status(daemon.http());
    let on_air = status["channels"][0]["on_air"]["block"].as_u64().unwrap() as usize;
    for index in 0..4 {
        let file = fs::OpenOptions::new().write(true).open(wide.file(index)).unwrap();
        file.set_len(4096).unwrap();
    }
    let mut block = Vec::new();
    let mut reader = stream;
    let read = std::io::Read::read_to_end(&mut reader, &mut block);
    assert!(read.is_err() || wide.find(&block).is_some(), "a short block that looks whole");
    assert!(daemon.is_alive(), "block {on_air} was on the air");
    let answer = http::get(daemon.http(), "/healthz");
    assert_eq!(answer.status, 200);
    // What is on the disk now is what is sent, or the filler; but never a mixture.
    let other = Viewer::joined(&lab, daemon.tv(), 0);
    for _ in 0..3 {
        let block = other.block();
        let cut = wide.blocks.iter().any(|whole| block == whole[..4096]);
        assert!(cut || filler.find(&block).is_some() || wide.find(&block).is_some());
    }
    assert!(daemon.is_alive());
}

#[test]
fn a_block_truncated_between_its_requests_breaks_no_http_answer() {
    let lab = Lab::new();
    let clip = Movie::new("clip", 3, 1 << 20).lasting(Duration::from_secs(30)).write(&lab.movies());
    let mut daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    clip.index_of(&http::get(daemon.http(), "/ch/0/blocks/live").body);
    for index in 0..3 {
        fs::OpenOptions::new().write(true).open(clip.file(index)).unwrap().set_len(0).unwrap();
    }
    let request = b"GET /ch/0/blocks/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = std::net::TcpStream::connect(daemon.http()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    std::io::Write::write_all(&mut stream, request).unwrap();
    let mut bytes = Vec::new();
    if std::io::Read::read_to_end(&mut stream, &mut bytes).is_ok() && !bytes.is_empty() {
        let answer = http::parse(&bytes);
        let length = answer.header("content-length").and_then(|v| v.parse::<usize>().ok());
        let whole = length == Some(answer.body.len());
        assert!(answer.status != 200 || !whole || clip.find(&answer.body).is_some());
    }
    assert!(daemon.is_alive());
    assert_eq!(http::get(daemon.http(), "/healthz").status, 200);
}

#[test]
fn replaced_blocks_are_sent_whole_old_or_new() {
    let (lab, clip, filler, config) = filled_lab(4);
    let daemon = Daemon::start(&config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    let other = Movie::new("another", 4, 50_000);
    for (index, block) in other.blocks.iter().enumerate() {
        let aside = lab.write("aside", block);
        fs::rename(aside, clip.file(index)).unwrap();
    }
    let deadline = Instant::now() + SOON;
    let mut fresh = BTreeSet::new();
    while fresh.len() < 4 {
        assert!(Instant::now() < deadline, "only {fresh:?} of the new blocks");
        let block = viewer.block();
        match other.find(&block) {
            Some(index) => drop(fresh.insert(index)),
            None => assert!(clip.find(&block).or(filler.find(&block)).is_some(), "a mixture"),
        }
    }
}

#[test]
fn a_library_deleted_on_the_air_is_survived_and_found_again() {
    let (lab, clip, filler, config) = filled_lab(6);
    let mut daemon = Daemon::start(&config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    fs::rename(lab.movies(), lab.path("away")).unwrap();
    viewer.blocks_for(QUICK * 4);
    assert!(daemon.is_alive());
    assert_eq!(http::get(daemon.http(), "/healthz").status, 200);
    assert!(daemon.cpu() < Duration::from_secs(3), "spins: {:?}", daemon.cpu());
    let lines = daemon.texts(|_| true).len();
    viewer.blocks_for(QUICK * 2);
    assert!(daemon.texts(|_| true).len() < lines + 20, "the log is flooded");
    assert_eq!(count(daemon.tv(), 0), 1, "no strike for what the server lacks");
    fs::rename(lab.path("away"), lab.movies()).unwrap();
    daemon.reload();
    // What lies in the queue may be of the time before.
    eventually(SOON, "the clip again", || clip.find(&viewer.block()));
    let (seen, _) = take(&viewer, &clip, &filler, 3);
    assert!(!seen.is_empty());
}

#[test]
fn a_deleted_folder_gives_way_to_the_filler() {
    let (lab, clip, filler, config) = filled_lab(4);
    let mut daemon = Daemon::start(&config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    fs::remove_dir_all(clip.folder()).unwrap();
    eventually(SOON, "the filler", || filler.find(&viewer.block()));
    let (_, times) = take(&viewer, &clip, &filler, 3);
    assert_eq!(times, 3);
    assert!(daemon.is_alive());
    let told = daemon.texts(|text| text.contains("filler") && text.contains("clip_"));
    assert_eq!(told.len(), 1, "one line for the whole run: {told:#?}");
}

#[test]
fn blocks_that_may_not_be_read_are_replaced() {
    if !works("setpriv", &["--reuid=65534", "--clear-groups", "true"]) {
        return skip("this needs root and setpriv: root reads everything");
    }
    let (lab, clip, filler, config) = filled_lab(4);
    let own = Command::new("chown").args(["-R", "65534"]).arg(lab.path("")).status().unwrap();
    assert!(own.success());
    let before = ["setpriv", "--reuid=65534", "--clear-groups"];
    let mut daemon = Daemon::start_by(&before, &config);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    for index in 0..4 {
        let closed = Command::new("chmod").arg("000").arg(clip.file(index)).status().unwrap();
        assert!(closed.success());
    }
    eventually(SOON, "the filler", || filler.find(&viewer.block()));
    assert!(daemon.is_alive());
    for index in 0..4 {
        let open = Command::new("chmod").arg("644").arg(clip.file(index)).status().unwrap();
        assert!(open.success());
    }
    eventually(SOON, "the clip again", || clip.find(&viewer.block()));
}

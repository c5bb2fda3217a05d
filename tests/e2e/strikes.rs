//! Viewers that fail: two failures in a row remove one, and no failure touches another viewer.

use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{LASTS, Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, count, reset};
use crate::harness::{SOON, eventually, http};

/// More than the kernel takes for a connection that is not read.
const WIDE: usize = 6 << 20;

/// A server whose blocks do not fit into the buffers of a connection.
fn wide_lab(lasts: Duration) -> (Lab, Movie, Daemon) {
    let lab = Lab::new();
    let wide = Movie::new("wide", 4, WIDE).lasting(lasts).write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["wide"]).write(&lab));
    (lab, wide, daemon)
}

fn wait_count(daemon: &Daemon, wanted: u32) {
    let tv = daemon.tv();
    eventually(SOON, &format!("{wanted} viewers"), || (count(tv, 0) == wanted).then_some(()));
}

fn strikes(daemon: &Daemon) -> u64 {
    http::status(daemon.http())["tv"]["strikes"].as_u64().expect("a number")
}

#[test]
fn a_viewer_that_has_gone_is_removed_after_two_strikes() {
    let lab = Lab::new();
    let clip = lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut dead = Viewer::joined(&lab, daemon.tv(), 0);
    let alive = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&dead.block());
    dead.vanish();
    wait_count(&daemon, 1);
    assert_eq!(strikes(&daemon), 2);
    let status = http::status(daemon.http());
    assert_eq!(status["tv"]["removed"], 1);
    clip.index_of(&alive.block());
}

#[test]
fn one_strike_is_forgiven_by_the_next_block() {
    let (lab, wide, daemon) = wide_lab(Duration::from_secs(1));
    let viewer = Viewer::narrow(&lab);
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    for round in 1..=3 {
        reset(viewer.accept(SOON).expect("a block"));
        eventually(SOON, "the strike", || (strikes(&daemon) == round).then_some(()));
        wide.index_of(&viewer.block());
        assert_eq!(count(daemon.tv(), 0), 1, "after {round} single strikes");
    }
}

#[test]
fn two_resets_in_a_row_remove_a_viewer() {
    let (lab, wide, daemon) = wide_lab(Duration::from_secs(1));
    let viewer = Viewer::narrow(&lab);
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    wide.index_of(&viewer.block());
    reset(viewer.accept(SOON).expect("a block"));
    reset(viewer.accept(SOON).expect("the next block"));
    wait_count(&daemon, 0);
    assert_eq!(viewer.blocks_for(Duration::from_millis(1500)).len(), 0, "blocks after removal");
    assert_eq!(viewer.join(daemon.tv(), 0), "10", "it may come back");
}

#[test]
fn a_viewer_that_comes_back_between_two_blocks_stays() {
    let lab = Lab::new();
    let clip = Movie::new("clip", 9, 20_000).lasting(Duration::from_secs(1)).write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut viewer = Viewer::joined(&lab, daemon.tv(), 0);
    for _ in 0..2 {
        let last = clip.index_of(&viewer.block());
        viewer.vanish();
        // The original closes its listener and opens another; the grace is made for that.
        std::thread::sleep(Duration::from_millis(60));
        viewer.return_home();
        clip.assert_follows(last, clip.index_of(&viewer.block()));
    }
    assert_eq!((count(daemon.tv(), 0), strikes(&daemon)), (1, 0));
}

#[test]
fn a_viewer_that_misses_one_block_gets_the_next() {
    let lab = Lab::new();
    let clip = Movie::new("clip", 9, 20_000).lasting(Duration::from_secs(1)).write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let last = clip.index_of(&viewer.block());
    viewer.vanish();
    eventually(SOON, "the strike", || (strikes(&daemon) == 1).then_some(()));
    viewer.return_home();
    let next = clip.index_of(&viewer.block());
    assert_ne!(next, last);
    assert_eq!(count(daemon.tv(), 0), 1);
    clip.assert_follows(next, clip.index_of(&viewer.block()));
}

#[test]
fn a_stalled_viewer_delays_nobody() {
    let (lab, wide, daemon) = wide_lab(Duration::from_secs(1));
    let stalled = Viewer::narrow(&lab);
    assert_eq!(stalled.join(daemon.tv(), 0), "10");
    let good = [(); 3].map(|()| Viewer::joined(&lab, daemon.tv(), 0));
    let held = stalled.accept(SOON).expect("a block that is never read");
    let mut at = good.each_ref().map(|viewer| wide.index_of(&viewer.block()));
    for _ in 0..3 {
        for (viewer, at) in good.iter().zip(&mut at) {
            let next = wide.index_of(&viewer.block());
            wide.assert_follows(*at, next);
            *at = next;
        }
    }
    wait_count(&daemon, 3);
    drop(held);
}

#[test]
fn a_killed_server_leaves_no_block_that_looks_whole() {
    let (lab, _wide, mut daemon) = wide_lab(Duration::from_secs(10));
    let viewer = Viewer::narrow(&lab);
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    let mut held = viewer.accept(SOON).expect("a block");
    held.read_exact(&mut [0; 1000]).expect("its beginning");
    daemon.kill();
    let ended = held.read_to_end(&mut Vec::new());
    assert!(ended.is_err(), "a reset, not the end of a block: {ended:?}");
}

#[test]
fn a_stalled_viewer_is_out_after_its_second_block() {
    let (lab, wide, daemon) = wide_lab(LASTS);
    let stalled = Viewer::narrow(&lab);
    assert_eq!(stalled.join(daemon.tv(), 0), "10");
    let mut held = stalled.accept(SOON).expect("the first block");
    wait_count(&daemon, 0);
    assert_eq!(strikes(&daemon), 2);
    assert!(stalled.accept(LASTS * 2).is_none(), "a block after removal");
    // What was cut off must not look like a whole block.
    let mut rest = Vec::new();
    let ended = held.read_to_end(&mut rest);
    assert!(ended.is_err(), "{} bytes of {} and a clean end", rest.len(), wide.blocks[0].len());
}

#[test]
fn a_viewer_that_reads_slowly_but_in_time_is_not_struck() {
    let (lab, wide, daemon) = wide_lab(Duration::from_secs(2));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let mut stream = viewer.accept(SOON).expect("a block");
    let began = Instant::now();
    let (mut block, mut piece) = (Vec::new(), vec![0; WIDE / 8]);
    loop {
        let read = stream.read(&mut piece).expect("a block that goes on");
        if read == 0 {
            break;
        }
        block.extend_from_slice(&piece[..read]);
        if began.elapsed() < Duration::from_millis(600) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    wide.index_of(&block);
    assert_eq!(strikes(&daemon), 0);
}

#[test]
fn a_client_that_cannot_be_reached_at_its_first_callback_is_not_listed() {
    let lab = Lab::new();
    lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut viewer = Viewer::new(&lab);
    viewer.vanish();
    assert_eq!(viewer.command(daemon.tv(), "100"), "");
    assert_eq!(count(daemon.tv(), 0), 0, "who was not told 10 is not in the list");
    // The grace is over after two seconds; what listens later is not dialled any more.
    let given_up = format!("tv: {} asked for channel 0 but could not", viewer.address);
    daemon.wait_text(&given_up);
    viewer.return_home();
    assert!(viewer.block_within(Duration::from_millis(600)).is_none(), "dialled after all");
    assert_eq!(count(daemon.tv(), 0), 0);
}

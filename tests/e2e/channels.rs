//! What is on a channel, when, and for whom: the clock decides, and nobody waits for anybody.

use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::http;
use crate::harness::lab::{LASTS, Lab, Movie};
use crate::harness::setup::{Channel, Server};
use crate::harness::viewer::Viewer;

/// How many blocks off the clock of the test a block may be: the answer was under way, and a
/// busy machine may have been slow to look.
fn is_near(movie: &Movie, seen: usize, before: u64, after: u64) -> bool {
    (before.saturating_sub(1)..=after + 1).any(|seq| seq as usize % movie.blocks.len() == seen)
}

/// What the channel shows over HTTP must be what the clock says.
fn assert_live_follows_the_clock(daemon: &Daemon, movie: &Movie) {
    let before = movie.seq_on_air();
    let live = http::get(daemon.http(), "/ch/0/blocks/live");
    let after = movie.seq_on_air();
    assert_eq!(live.status, 200, "{}", live.head);
    let seen = movie.index_of(&live.body);
    assert!(is_near(movie, seen, before, after), "block {seen} at {before} to {after}");
}

#[test]
fn a_late_joiner_starts_at_the_current_block() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 40, 20_000);
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let early = Viewer::joined(&lab, daemon.tv(), 0);
    for _ in 0..4 {
        early.block();
    }
    let before = clip.seq_on_air();
    let late = Viewer::joined(&lab, daemon.tv(), 0);
    let first = clip.index_of(&late.block());
    let after = clip.seq_on_air();
    assert!(is_near(&clip, first, before, after), "block {first} at {before} to {after}");
}

#[test]
fn a_joiner_does_not_wait_for_the_next_block() {
    let lab = Lab::new();
    let clip = Movie::new("long", 5, 20_000).lasting(Duration::from_secs(20)).write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["long"]).write(&lab));
    let began = Instant::now();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let first = viewer.block();
    clip.index_of(&first);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // Unless the next block's time has come just now.
    assert!(viewer.block_within(Duration::from_millis(700)) != Some(first), "the same again");
}

#[test]
fn all_viewers_of_a_channel_get_the_same_blocks() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 12, 40_000);
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let viewers: Vec<_> = (0..12).map(|_| Viewer::joined(&lab, daemon.tv(), 0)).collect();
    let mut starts: Vec<_> = viewers.iter().map(|v| clip.index_of(&v.block())).collect();
    for _ in 0..3 {
        for (viewer, at) in viewers.iter().zip(&mut starts) {
            let next = clip.index_of(&viewer.block());
            clip.assert_follows(*at, next);
            *at = next;
        }
    }
}

#[test]
fn each_channel_shows_its_own_playlist() {
    let lab = Lab::new();
    let (one, two) = (lab.movie("one", 3, 20_000), lab.movie("two", 2, 20_000));
    let mut server = Server::new(&lab, &["two", "one"]);
    server.channels[1].playlist = vec!["one".to_owned(), "two".to_owned()];
    let daemon = Daemon::start(&server.write(&lab));
    let (only, both) = (Viewer::joined(&lab, daemon.tv(), 0), Viewer::joined(&lab, daemon.tv(), 1));
    let order: Vec<&Vec<u8>> = one.blocks.iter().chain(&two.blocks).collect();
    let first = both.block();
    let mut at = order.iter().position(|b| **b == first).expect("a block of the playlist");
    for _ in 0..6 {
        at = (at + 1) % order.len();
        assert!(both.block() == *order[at], "block {at} of the playlist");
    }
    two.index_of(&only.block());
}

#[test]
fn a_movie_may_be_of_transport_stream_blocks() {
    let lab = Lab::new();
    let clip = Movie::new("stream", 6, 188 * 200).of_ts().write(&lab.movies());
    let daemon = Daemon::start(&Server::new(&lab, &["stream"]).write(&lab));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let first = clip.index_of(&viewer.block());
    clip.assert_follows(first, clip.index_of(&viewer.block()));
}

#[test]
fn blocks_without_an_index_last_two_seconds() {
    let lab = Lab::new();
    let clip = Movie::new("plain", 5, 20_000).lasting(Duration::from_secs(2)).write(&lab.movies());
    std::fs::remove_file(clip.folder().join("plain.m3u8")).unwrap();
    let daemon = Daemon::start(&Server::new(&lab, &["plain"]).write(&lab));
    assert_live_follows_the_clock(&daemon, &clip);
    let status = http::status(daemon.http());
    assert_eq!(status["channels"][0]["on_air"]["lasts_s"], 2.0);
}

#[test]
fn blocks_keep_coming_at_their_own_pace() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 12, 20_000);
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    viewer.block();
    let (began, first) = (Instant::now(), clip.index_of(&viewer.block()));
    let mut last = first;
    for _ in 0..6 {
        last = clip.index_of(&viewer.block());
    }
    assert_eq!(last, (first + 6) % 12);
    let took = began.elapsed();
    assert!(took > LASTS * 5 && took < LASTS * 12, "six blocks of {LASTS:?} took {took:?}");
}

#[test]
fn a_killed_daemon_comes_back_where_the_clock_is() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 60, 10_000);
    let config = Server::new(&lab, &["clip"]).write(&lab);
    let mut daemon = Daemon::start(&config);
    assert_live_follows_the_clock(&daemon, &clip);
    daemon.kill();
    let again = Daemon::start(&config);
    assert_live_follows_the_clock(&again, &clip);
    let viewer = Viewer::joined(&lab, again.tv(), 0);
    let before = clip.seq_on_air();
    let seen = clip.index_of(&viewer.block());
    assert!(is_near(&clip, seen, before, clip.seq_on_air()), "{seen} near {before}");
}

#[test]
fn two_daemons_show_the_same_block_at_the_same_moment() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 60, 10_000);
    let mut server = Server::new(&lab, &["clip"]);
    let first = Daemon::start(&server.write(&lab));
    let viewer = Viewer::joined(&lab, first.tv(), 0);
    clip.index_of(&viewer.block());
    server.name = "second".to_owned();
    let second = Daemon::start(&server.write(&lab));
    let live = |daemon: &Daemon| http::get(daemon.http(), "/ch/0/blocks/live").body;
    let mut agreed = 0;
    for _ in 0..400 {
        let (before, other, after) = (live(&first), live(&second), live(&first));
        // Only then did the middle answer belong to one moment.
        if before == after {
            let (one, two) = (clip.index_of(&before), clip.index_of(&other));
            assert_eq!(one, two, "two servers, one clock");
            agreed += 1;
        } else {
            clip.index_of(&other);
        }
    }
    assert!(agreed > 0, "never two answers within one block");
}

#[test]
fn a_channel_that_does_not_repeat_ends() {
    let lab = Lab::new();
    lab.clip();
    let mut server = Server::new(&lab, &["clip"]);
    server.channels.push(Channel::of("clip"));
    let text = server.text();
    let at = text.rfind("repeat = true").expect("the last channel repeats");
    let text = format!("{}repeat = false{}", &text[..at], &text[at + "repeat = true".len()..]);
    let daemon = Daemon::start(&lab.write("server.toml", text));
    let status = http::status(daemon.http());
    assert_eq!(status["channels"][0]["state"], "on_air");
    assert_eq!(status["channels"][1]["state"], "ended");
    assert_eq!(http::get(daemon.http(), "/ch/1/blocks/live").status, 503);
}

//! The wall clock is set while channels are on the air (faketime; the monotonic clock goes on).

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{LASTS, Lab, Movie};
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually, http, skip};

/// Where Debian and others put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
];

/// A daemon whose wall clock can be set.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Starts a daemon at the right time.
    fn start(lab: &Lab, config: &std::path::Path) -> Option<(Self, Daemon)> {
        let library = LIBRARIES.iter().find(|path| fs::metadata(path).is_ok())?;
        let clock = Self { file: lab.path("clock") };
        clock.set("+0");
        let preload = format!("LD_PRELOAD={library}");
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.file.display());
        let words = [
            "env",
            &preload,
            &file,
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ];
        let daemon = Daemon::start_by(&words, config);
        Some((clock, daemon))
    }

    /// Sets the clock: an offset as faketime writes it.
    fn set(&self, offset: &str) {
        let aside = self.file.with_extension("new");
        fs::write(&aside, offset).unwrap();
        fs::rename(aside, &self.file).unwrap();
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Joins, sets the clock, and checks that the channel follows without a burst.
fn jump(offset: &str, shifted: impl Fn(SystemTime) -> SystemTime) {
    let lab = Lab::new();
    // A day is 216 000 blocks, which is 4 more than a multiple of 11: a jump is seen.
    let clip = lab.movie("clip", 11, 20_000);
    let config = Server::new(&lab, &["clip"]).write(&lab);
    let Some((clock, daemon)) = Clock::start(&lab, &config) else {
        return skip("libfaketime is not installed");
    };
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let is_on_air = |clip: &Movie, block: &[u8], shift: &dyn Fn(SystemTime) -> SystemTime| {
        let seq = clip.seq_at(shift(SystemTime::now()));
        let seen = clip.index_of(block) as u64;
        (seq.saturating_sub(1)..=seq + 1).any(|near| near % clip.blocks.len() as u64 == seen)
    };
    assert!(is_on_air(&clip, &viewer.block(), &|now| now), "before the jump");
    clock.set(offset);
    eventually(SOON, "the clock's new place", || {
        is_on_air(&clip, &viewer.block(), &shifted).then_some(())
    });
    let following = viewer.blocks_for(LASTS * 4);
    assert!((2..=6).contains(&following.len()), "{} blocks in four times", following.len());
    let indexes: Vec<_> = following.iter().map(|block| clip.index_of(block)).collect();
    indexes.windows(2).for_each(|w| clip.assert_follows(w[0], w[1]));
    assert_eq!(count(daemon.tv(), 0), 1, "the viewer stays");
    let status = http::status(daemon.http());
    let seq = status["channels"][0]["on_air"]["seq"].as_u64().expect("on the air");
    assert!(seq.abs_diff(clip.seq_at(shifted(SystemTime::now()))) <= 2, "{seq}");
}

#[test]
fn a_clock_set_a_day_ahead_is_followed_without_a_burst() {
    jump("+1d", |now| now + DAY);
}

#[test]
fn a_clock_set_a_day_back_is_followed_without_a_burst() {
    jump("-1d", |now| now - DAY);
}

#[test]
fn a_client_does_not_care_about_the_clock() {
    let lab = Lab::new();
    lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let config = Client::new(&lab, server.tv()).write(&lab);
    let Some((clock, client)) = Clock::start(&lab, &config) else {
        return skip("libfaketime is not installed");
    };
    let stored = || http::status(client.http())["store"]["stored"].as_u64().unwrap();
    for offset in ["+1d", "-1d"] {
        let before = stored();
        clock.set(offset);
        eventually(SOON, "more blocks", || (stored() >= before + 3).then_some(()));
    }
    assert_eq!(http::status(server.http())["tv"]["joins"], 1, "it never had to join again");
}

//! Real players before the real daemon: which pictures of a channel do they show? Every picture
//! carries its number, so what comes out of ffmpeg, mpv, VLC and Chromium says what was lost, over
//! joints, a change of movie and a loop. And a cache in front: how much of two thousand viewers
//! gets through to the daemon. What the outputs are made of is tested in `tests/container*`.
//!
//! `VIDSTREAMD_PLAYERS_SECONDS` says how long the players watch (32 unless said); the table that
//! is printed (`cargo test --test players -- --nocapture`) has the figures. Times of a busy
//! machine are printed, too, and judge nothing. Players that are missing are skipped aloud, and
//! are a failure when `VIDSTREAMD_REQUIRE_ALL=1`.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world around the daemon: its files, its players and its clock"
)]

#[cfg(test)]
mod audience;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod film;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod page;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod watching;

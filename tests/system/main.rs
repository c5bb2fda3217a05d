//! The daemon as a part of the system: its units under a whole systemd, its log under a journald
//! that stops, hangs and comes back. What the daemon does for its viewers is tested in `tests/e2e`.
//!
//! These tests want root, systemd's tools and namespaces of their own; they leave nothing behind
//! and reach nothing outside. What is missing is skipped aloud, and is a failure when
//! `VIDSTREAMD_REQUIRE_ALL=1`.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world around the daemon: its files, its peers and its clock"
)]

#[cfg(test)]
mod booted;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod journald;
#[cfg(test)]
mod units;

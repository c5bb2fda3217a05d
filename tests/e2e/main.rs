//! The daemon as a stranger meets it: the real binary, real sockets, real files, real signals.
//! Nothing here looks inside; what is only reachable from within is tested beside the code.
//!
//! `harness` is the world that a test needs (a directory, movies, daemons, viewers, and the
//! original programs of the protocol emulated with all their quirks); every other module is one
//! subject. Each test has its own directory, its own callback port and its own loopback addresses,
//! so that all of them run at once. What the machine cannot offer is skipped aloud, and is a
//! failure when `VIDSTREAMD_REQUIRE_ALL=1`.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests are the world around the daemon: its files, its peers and its clock"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "small numbers that the tests made themselves"
)]

#[cfg(test)]
mod harness;

#[cfg(test)]
mod bad_blocks;
#[cfg(test)]
mod bad_commands;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod control;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod events;
#[cfg(test)]
mod events_loss;
#[cfg(test)]
mod files;
#[cfg(test)]
mod files_http;
#[cfg(test)]
mod http;
#[cfg(test)]
mod jukebox;
#[cfg(test)]
mod jukebox_client;
#[cfg(test)]
mod mesh;
#[cfg(test)]
mod originals;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod store;
#[cfg(test)]
mod strikes;
#[cfg(test)]
mod tv_client;
#[cfg(test)]
mod wall_clock;

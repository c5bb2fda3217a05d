//! What a library of movie blocks means: names, containers, indexes, the catalog, the schedule.
//! Pure values; no file is touched here. `io/library.rs` reads the directories and hands names,
//! index texts and header bytes in; channels, the guide and the configuration ask.

use core::time::Duration;

pub mod catalog;
pub mod duration;
pub mod finding;
pub mod folder;
pub mod index;
pub mod name;
mod names;
pub mod rates;
pub mod schedule;
pub mod sniff;
pub mod song;

/// How long the blocks of a movie without an index last.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Durations {
    /// Each lasts [`Options::block_duration`].
    Nominal,
    /// What their own headers say, sampled; [`Options::block_duration`] where one says nothing.
    #[default]
    Header,
}

/// What the configuration says about a library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// How long a block lasts that nothing else is known of.
    pub block_duration: Duration,
    /// Where the durations of blocks without an index come from.
    pub durations: Durations,
}

impl Default for Options {
    fn default() -> Self {
        Self { block_duration: Duration::from_secs(2), durations: Durations::default() }
    }
}

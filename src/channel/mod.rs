//! A channel between its source and its sinks: what is on the air, what was, what is next.
//!
//! [`window`] is the ring that every sink reads; [`playout`] fills it from a schedule; [`spool`]
//! decides what of it goes to disk. None of them knows a sink.

use core::time::Duration;
use std::rc::Rc;

use crate::base::port::{Blob, Span};
use crate::base::time::Wall;
use crate::media::schedule::{Position, Schedule};
use crate::media::sniff::Container;

pub mod playout;
pub mod spool;
pub mod window;

/// A block that is, was or will be on the air.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its number in the channel.
    pub seq: u64,
    /// The movie it comes from; empty when the wire did not say.
    pub movie: Rc<str>,
    /// Its number in the movie.
    pub index: u32,
    /// Its file's name.
    pub file: Rc<str>,
    /// Its bytes, by name.
    pub blob: Blob,
    /// How many bytes.
    pub len: u64,
    /// When its file was last changed, or when it was received.
    pub modified: Wall,
    /// What kind of file it is.
    pub container: Container,
    /// When it goes on the air.
    pub starts_at: Wall,
    /// For how long.
    pub lasts: Duration,
    /// Whether the filler stands in for the scheduled block.
    pub replaced: bool,
    /// Where it lies in the programme, where that is known.
    pub place: Option<Place>,
}

/// Where a block lies in the programme of its channel: the same on every node that airs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// A name for the numbering that the block's number is of.
    pub run: u64,
    /// Its air time in nanoseconds since the programme's epoch.
    pub since_epoch_ns: i64,
    /// Whether another movie, or the end of this one, is on before it.
    pub first: bool,
    /// Whether another movie, or the beginning of this one, is on after it.
    pub last: bool,
}

impl Place {
    /// The place that a schedule gives.
    #[must_use]
    pub fn of(schedule: &Schedule, position: &Position, run: u64) -> Self {
        Self {
            run,
            since_epoch_ns: position.starts_at.0.saturating_sub(schedule.epoch().0),
            first: position.block == 0,
            last: position.block + 1 == position.movie.blocks(),
        }
    }
}

impl Block {
    /// All its bytes.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { blob: self.blob, from: 0, len: self.len }
    }
}

//! Where a block lies on the endless timeline of its channel. Writers add it to the times inside
//! the block and round once; nothing is carried from block to block, so nothing drifts.
//!
//! The sum of the exact durations of all blocks before *is* the schedule's `starts_at`, when the
//! catalog was told [`Block::lasts_ns`](crate::container::Block::lasts_ns) of each: frames × the
//! exact time of one. Where the catalog has rounded durations (an index, a header), blocks still
//! stand at their air time and only the last frame of each is shown that much longer or shorter:
//! a player's clock and the air never part.

use core::time::Duration;

use crate::base::time::nanos;
use crate::container::types::{Block, Frame};
use crate::media::schedule::{Position, Schedule};

/// Every timeline begins this much after 0, since sound may begin before its picture, decoding
/// before showing, and the clock reference of ts before both.
pub(super) const ORIGIN_NS: i64 = 2_000_000_000;

/// One block's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// The block's number; the counters of its outputs come from it.
    pub seq: u64,
    /// When its first picture is shown, in nanoseconds since the channel's epoch.
    pub starts_ns: i64,
    /// How much later the next block starts, in nanoseconds.
    pub lasts_ns: u64,
    /// Whether what airs before is another movie, or the end of this one: sound from before the
    /// first picture is then left out.
    pub first: bool,
    /// Whether what airs after is another movie, or the beginning of this one: sound that only
    /// begins after the last picture is then left out.
    pub last: bool,
    /// Whether the block stands in for another: what does not fit its time is then left out.
    pub stands_in: bool,
}

impl Clock {
    /// The place of a block by the schedule alone: the same on every node, and after a restart.
    #[must_use]
    pub fn of(schedule: &Schedule, position: &Position) -> Self {
        Self {
            seq: position.seq,
            starts_ns: position.starts_at.0.saturating_sub(schedule.epoch().0),
            lasts_ns: nanos(position.lasts),
            first: position.block == 0,
            last: position.block + 1 == position.movie.blocks(),
            stands_in: false,
        }
    }

    /// The same place for a block that stands in for the scheduled one.
    #[must_use]
    pub fn standing_in(self) -> Self {
        Self { first: true, last: true, stands_in: true, ..self }
    }

    /// The place of the block that follows, of the same movie.
    #[must_use]
    pub fn next(self, lasts: Duration) -> Self {
        Self {
            seq: self.seq + 1,
            starts_ns: self.starts_ns.saturating_add_unsigned(self.lasts_ns),
            lasts_ns: nanos(lasts),
            first: false,
            last: false,
            stands_in: false,
        }
    }

    /// A time inside the block on the endless timeline, in nanoseconds; never negative.
    pub(super) fn absolute(self, within_ns: i64) -> u64 {
        let at = i128::from(self.starts_ns) + i128::from(within_ns) + i128::from(ORIGIN_NS);
        u64::try_from(at).unwrap_or(0)
    }

    /// The same in an output's units a second, to the nearest.
    pub(super) fn ticks(self, within_ns: i64, per_second: u32) -> u64 {
        let exact = u128::from(self.absolute(within_ns)) * u128::from(per_second);
        u64::try_from((exact + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// The frames that have their place in this airing, in the order of decoding.
    pub(super) fn frames(&self, block: &Block) -> Vec<Frame> {
        let end = i64::try_from(self.lasts_ns).unwrap_or(i64::MAX);
        let mut over = false;
        let airs = |frame: &&Frame| {
            if !block.tracks[usize::from(frame.track)].codec.is_video() {
                return self.sounds(frame);
            }
            // Nothing that is decoded later may be missed by what is decoded before.
            over |= self.stands_in && frame.pts >= end;
            !over
        };
        block.frames.iter().filter(airs).copied().collect()
    }

    /// Whether a frame of sound has its place in this airing.
    pub(super) fn sounds(&self, frame: &Frame) -> bool {
        let middle = frame.pts.saturating_add_unsigned(frame.lasts / 2);
        let end = i64::try_from(self.lasts_ns).unwrap_or(i64::MAX);
        !(self.first && middle < 0 || self.last && middle >= end)
    }
}

#[cfg(test)]
mod tests;

//! What a block of a channel is and where it lies: by the schedule, by what came with it, or, where
//! neither tells, behind the one before.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::time::{Wall, nanos};
use crate::channel::playout::Playout;
use crate::channel::{Block, Place};
use crate::container::Clock;
use crate::media::schedule::{Position, Schedule};
use crate::node::Node;
use crate::node::edge::Key;

/// A block, as far as it is known before it is read.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) movie: Rc<str>,
    /// Its number in the movie.
    pub(super) index: u32,
    /// Its file, where it is one of the library.
    pub(super) path: Option<Rc<str>>,
    pub(super) starts_at: Wall,
    pub(super) lasts: Duration,
    /// Which run of the channel its number counts in.
    pub(super) run: u64,
    /// Its place; none where that has to be found by reading it.
    pub(super) clock: Option<Clock>,
    /// Whether it is the filler's.
    pub(super) stands_in: bool,
}

impl About {
    fn of_schedule(schedule: &Schedule, position: &Position, run: u64) -> Self {
        Self {
            movie: Rc::clone(position.movie.name()),
            index: position.block,
            path: position.movie.path(position.block),
            starts_at: position.starts_at,
            lasts: position.lasts,
            run,
            clock: Some(Clock::of(schedule, position)),
            stands_in: false,
        }
    }

    fn of_block(block: &Block, own_run: u64) -> Self {
        let clock = block.place.map(|place| clock(block, place));
        let clock = clock.map(|c| if block.replaced { c.standing_in() } else { c });
        Self {
            movie: Rc::clone(&block.movie),
            index: block.index,
            path: None,
            starts_at: block.starts_at,
            lasts: block.lasts,
            run: block.place.map_or(own_run, |place| place.run),
            clock,
            stands_in: block.replaced,
        }
    }

    /// The same place with the filler's block in it.
    pub(super) fn filled(self, movie: Rc<str>, index: u32, path: Rc<str>) -> Self {
        let clock = self.clock.map(Clock::standing_in);
        Self { movie, index, path: Some(path), clock, stands_in: true, ..self }
    }
}

fn clock(block: &Block, place: Place) -> Clock {
    Clock {
        seq: block.seq,
        starts_ns: place.since_epoch_ns,
        lasts_ns: nanos(block.lasts),
        first: place.first,
        last: place.last,
        stands_in: false,
    }
}

/// Where blocks lie that came without a place: found once for each, so that it never changes.
#[derive(Default, Debug)]
pub(super) struct Clocks(BTreeMap<Key, Clock>);

impl Clocks {
    /// Behind the one before that is known, or before the one behind.
    pub(super) fn of(&mut self, key: Key, lasts_ns: u64) -> Clock {
        let (channel, seq) = key;
        if let Some(known) = self.0.get(&key) {
            return *known;
        }
        let before = self.0.range((channel, 0)..key).next_back().map(|(_, clock)| *clock);
        let behind = self.0.range(key..=(channel, u64::MAX)).next().map(|(_, clock)| *clock);
        let long = |blocks: u64, each: u64| {
            i64::try_from(u128::from(blocks) * u128::from(each)).unwrap_or(i64::MAX)
        };
        let starts_ns = match (before, behind) {
            (Some(b), _) => b.starts_ns.saturating_add(long(seq - b.seq, b.lasts_ns)),
            (None, Some(b)) => b.starts_ns.saturating_sub(long(b.seq - seq, lasts_ns)),
            // Far enough from the beginning for those before it.
            (None, None) => long(1_000, lasts_ns),
        };
        let clock = Clock { seq, starts_ns, lasts_ns, first: false, last: false, stands_in: false };
        self.0.insert(key, clock);
        clock
    }

    /// Forgets all but the newest block before a number, from which the next is found.
    pub(super) fn forget(&mut self, channel: usize, before: u64) {
        let old = self.0.range((channel, 0)..(channel, before)).map(|(key, _)| *key);
        let old: Vec<Key> = old.collect();
        let newest = self.0.keys().rfind(|(of, _)| *of == channel).copied();
        for key in old.into_iter().filter(|key| Some(*key) != newest) {
            self.0.remove(&key);
        }
    }
}

impl Node {
    /// What is known of a block; nothing when it is none, or is not there any more.
    pub(super) fn edge_about(&mut self, (channel, seq): Key) -> Option<About> {
        let run = self.edge_run(channel)?;
        let state = self.channels.get(channel)?;
        let block = state.window.get(seq);
        let schedule = state.playout.as_ref().map(Playout::schedule);
        match (schedule, block) {
            (Some(schedule), block) => {
                let about = About::of_schedule(schedule, &schedule.position(seq)?, run);
                Some(match block.filter(|block| block.replaced) {
                    Some(block) => {
                        about.filled(Rc::clone(&block.movie), block.index, Rc::clone(&block.file))
                    }
                    None => about,
                })
            }
            (None, Some(block)) => Some(About::of_block(block, run)),
            (None, None) => None,
        }
    }

    /// Which run of a channel is on: a number in the names of its segments, so that another
    /// programme under the same numbers has other names.
    pub(super) fn edge_run(&mut self, channel: usize) -> Option<u64> {
        let state = self.channels.get(channel)?;
        if let Some(playout) = &state.playout {
            return Some(self.edge.lists.run(channel, playout.schedule()));
        }
        let live = state.window.iter().last();
        Some(live.and_then(|block| block.place).map_or(state.run, |place| place.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_without_a_place_follow_each_other_whatever_is_asked_for_first() {
        let mut clocks = Clocks::default();
        let mut starts = |seq| clocks.of((3, seq), 2_000).starts_ns;
        let middle = starts(50);
        assert_eq!((starts(52), starts(49)), (middle + 4_000, middle - 2_000));
        assert_eq!((starts(50), starts(51)), (middle, middle + 2_000));
        clocks.forget(3, 60);
        assert_eq!(clocks.of((3, 61), 2_000).starts_ns, middle + 22_000);
        assert_eq!(clocks.of((4, 61), 2_000).starts_ns, 2_000_000, "another channel");
    }
}

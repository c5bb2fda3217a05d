//! What a channel shows when: a pure function of the wall clock, an epoch and a playlist. Never
//! counted, so a restart or another machine comes to the same answer. Not the airing itself
//! (`channel/playout.rs`). Playout, the guide and the status document ask.
//!
//! All arithmetic is in whole nanoseconds; 64 bits of them hold 584 years, products use 128.

use core::time::Duration;
use std::rc::Rc;

use crate::base::time::{Wall, nanos};
use crate::media::catalog::Movie;

/// A playlist that began at an epoch.
#[derive(Clone, Debug)]
pub struct Schedule {
    epoch: Wall,
    repeat: bool,
    playlist: Vec<Rc<Movie>>,
    /// Where each entry ends, from the start of a lap: blocks and nanoseconds.
    ends: Vec<End>,
}

#[derive(Clone, Copy, Default, Debug)]
struct End {
    blocks: u64,
    nanos: u64,
}

/// What a schedule says about a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum At {
    /// The epoch lies ahead.
    Before {
        /// The epoch.
        starts_at: Wall,
    },
    /// This block.
    On(Position),
    /// The playlist is over and does not repeat, or is empty.
    After,
}

/// One block's place in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// Blocks since the epoch; what every protocol calls the block.
    pub seq: u64,
    /// The movie.
    pub movie: Rc<Movie>,
    /// Which entry of the playlist, from 0.
    pub entry: usize,
    /// Which block of the movie, from 0.
    pub block: u32,
    /// Its air time.
    pub starts_at: Wall,
    /// Its duration; the next block starts this much later.
    pub lasts: Duration,
}

impl Schedule {
    /// A schedule of these movies in this order; one may stand in it several times. An empty one
    /// is always [`At::After`].
    #[must_use]
    pub fn new(epoch: Wall, repeat: bool, playlist: Vec<Rc<Movie>>) -> Self {
        let ends = playlist.iter().scan(End::default(), |end, movie| {
            end.blocks = end.blocks.saturating_add(u64::from(movie.blocks()));
            end.nanos = end.nanos.saturating_add(nanos(movie.total()));
            Some(*end)
        });
        Self { epoch, repeat, ends: ends.collect(), playlist }
    }

    /// What is on at a moment. The boundary between two blocks belongs to the later one.
    #[must_use]
    pub fn at(&self, wall: Wall) -> At {
        let lap = u128::from(self.lap().nanos);
        if lap == 0 {
            return At::After;
        }
        let Ok(elapsed) = u128::try_from(i128::from(wall.0) - i128::from(self.epoch.0)) else {
            return At::Before { starts_at: self.epoch };
        };
        self.in_lap(elapsed / lap, elapsed % lap).map_or(At::After, At::On)
    }

    /// The block with this number; nothing when the playlist is over before it or when it would
    /// air after the year 2262, where the wall clock ends.
    #[must_use]
    pub fn position(&self, seq: u64) -> Option<Position> {
        let lap = self.lap();
        let (laps, block) = (seq.checked_div(lap.blocks)?, seq.checked_rem(lap.blocks)?);
        let entry = self.ends.partition_point(|end| end.blocks <= block);
        let block = u32::try_from(block - self.before(entry).blocks).ok()?;
        self.place(u128::from(laps), entry, block)
    }

    /// Blocks in one lap of the playlist.
    #[must_use]
    pub fn lap_blocks(&self) -> u64 {
        self.lap().blocks
    }

    /// How long one lap of the playlist lasts.
    #[must_use]
    pub fn lap_lasts(&self) -> Duration {
        Duration::from_nanos(self.lap().nanos)
    }

    /// When block 0 airs.
    #[must_use]
    pub fn epoch(&self) -> Wall {
        self.epoch
    }

    /// Whether the playlist begins again after its end.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.repeat
    }

    /// The movies in order.
    #[must_use]
    pub fn playlist(&self) -> &[Rc<Movie>] {
        &self.playlist
    }

    /// A name for the numbers that it gives to blocks: on every machine the same for the same epoch
    /// and playlist, and another one for any other (FNV-1a of what the numbers follow from).
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let start = [self.epoch.0.to_le_bytes(), u64::from(self.repeat).to_le_bytes()];
        let movies = self.playlist.iter().zip(&self.ends).flat_map(|(movie, end)| {
            let name = movie.name().as_bytes();
            let ends = [name.len() as u64, end.blocks, end.nanos].map(u64::to_le_bytes);
            ends.into_iter().flatten().chain(name.iter().copied())
        });
        start.into_iter().flatten().chain(movies).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The block that runs `offset` nanoseconds into a lap.
    fn in_lap(&self, laps: u128, offset: u128) -> Option<Position> {
        let offset = u64::try_from(offset).ok()?;
        let entry = self.ends.partition_point(|end| end.nanos <= offset);
        let within = Duration::from_nanos(offset - self.before(entry).nanos);
        self.place(laps, entry, self.playlist.get(entry)?.at(within))
    }

    fn place(&self, laps: u128, entry: usize, block: u32) -> Option<Position> {
        if laps > 0 && !self.repeat {
            return None;
        }
        let movie = self.playlist.get(entry)?;
        let (lap, before, starts) = (self.lap(), self.before(entry), movie.starts(block)?);
        let seq = laps * u128::from(lap.blocks) + u128::from(before.blocks) + u128::from(block);
        let since = laps * u128::from(lap.nanos) + u128::from(before.nanos) + starts.as_nanos();
        Some(Position {
            seq: u64::try_from(seq).ok()?,
            movie: movie.clone(),
            entry,
            block,
            starts_at: Wall(
                i64::try_from(i128::from(self.epoch.0) + i128::try_from(since).ok()?).ok()?,
            ),
            lasts: movie.lasts(block)?,
        })
    }

    /// What lies before an entry in its lap.
    fn before(&self, entry: usize) -> End {
        entry.checked_sub(1).and_then(|e| self.ends.get(e)).copied().unwrap_or_default()
    }

    fn lap(&self) -> End {
        self.ends.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::sniff::Container;

    const SECOND: i64 = 1_000_000_000;

    fn movie(blocks: u32, each_ms: u64) -> Rc<Movie> {
        Rc::new(Movie::even("m", Container::Mkv, blocks, Duration::from_millis(each_ms)))
    }

    fn on(schedule: &Schedule, wall: i64) -> Position {
        match schedule.at(Wall(wall)) {
            At::On(position) => position,
            other => panic!("{other:?} at {wall}"),
        }
    }

    #[test]
    fn the_position_is_read_off_the_clock() {
        let playlist = vec![movie(3, 2000), movie(2, 500), movie(3, 2000)];
        let schedule = Schedule::new(Wall(10 * SECOND), true, playlist);
        assert_eq!((schedule.lap_blocks(), schedule.lap_lasts()), (8, Duration::from_secs(13)));
        let brief = |wall| {
            let p = on(&schedule, wall);
            (p.seq, p.entry, p.block, p.starts_at.0)
        };
        assert_eq!(brief(10 * SECOND), (0, 0, 0, 10 * SECOND));
        assert_eq!(brief(12 * SECOND - 1), (0, 0, 0, 10 * SECOND));
        assert_eq!(brief(12 * SECOND), (1, 0, 1, 12 * SECOND));
        assert_eq!(brief(16 * SECOND + 500_000_000), (4, 1, 1, 16 * SECOND + 500_000_000));
        assert_eq!(brief(17 * SECOND), (5, 2, 0, 17 * SECOND));
        assert_eq!(brief(23 * SECOND), (8, 0, 0, 23 * SECOND));
        assert_eq!(schedule.at(Wall(0)), At::Before { starts_at: Wall(10 * SECOND) });
    }

    #[test]
    fn a_playlist_that_does_not_repeat_ends() {
        let schedule = Schedule::new(Wall(0), false, vec![movie(2, 1000)]);
        assert_eq!(on(&schedule, 2 * SECOND - 1).seq, 1);
        assert_eq!(schedule.at(Wall(2 * SECOND)), At::After);
        assert_eq!((schedule.position(1).map(|p| p.seq), schedule.position(2)), (Some(1), None));
    }

    #[test]
    fn an_empty_playlist_is_always_off() {
        let schedule = Schedule::new(Wall(5), true, vec![]);
        assert_eq!((schedule.at(Wall(0)), schedule.at(Wall(9))), (At::After, At::After));
        assert_eq!((schedule.position(0), schedule.lap_blocks()), (None, 0));
    }

    #[test]
    fn nothing_breaks_at_the_end_of_the_clock() {
        let schedule = Schedule::new(Wall(i64::MIN), true, vec![movie(1, 100)]);
        let p = on(&schedule, i64::MAX);
        assert_eq!(schedule.position(p.seq), Some(p));
        assert_eq!(schedule.position(u64::MAX), None);
    }

    fn schedules() -> impl Strategy<Value = (i64, bool, Vec<(u32, u64)>)> {
        let movies = prop::collection::vec((1_u32..50, 100_u64..5000), 1..8);
        (-5 * SECOND..2_000_000_000 * SECOND, any::<bool>(), movies)
    }

    fn built((epoch, repeat, movies): &(i64, bool, Vec<(u32, u64)>)) -> Schedule {
        let list = movies.iter().map(|(blocks, each)| movie(*blocks, *each)).collect();
        Schedule::new(Wall(*epoch), *repeat, list)
    }

    proptest! {
        #[test]
        fn a_moment_lies_in_its_block(plan in schedules(), after in 0..4_000_000_000 * SECOND) {
            let schedule = built(&plan);
            let wall = Wall(plan.0.saturating_add(after));
            match schedule.at(wall) {
                At::On(p) => {
                    prop_assert!(p.starts_at <= wall && wall < p.starts_at + p.lasts);
                    prop_assert_eq!(schedule.position(p.seq), Some(p.clone()));
                    prop_assert_eq!(p.block, p.movie.at(p.movie.starts(p.block).unwrap()));
                    // Another instance of the same plan comes to the same answer.
                    prop_assert_eq!(built(&plan).at(wall), At::On(p));
                }
                At::After => prop_assert!(!plan.1 && wall >= Wall(plan.0) + schedule.lap_lasts()),
                At::Before { .. } => prop_assert!(false, "{} is not before the epoch", wall),
            }
        }

        #[test]
        fn blocks_follow_each_other_over_every_end(
            plan in schedules(), seq in 0_u64..1_000_000_000,
        ) {
            let schedule = built(&plan);
            let seq = if plan.1 { seq } else { seq % schedule.lap_blocks() };
            let p = schedule.position(seq).unwrap();
            prop_assert_eq!(p.seq, seq);
            prop_assert_eq!(schedule.at(p.starts_at), At::On(p.clone()));
            let end = p.starts_at + p.lasts;
            prop_assert_eq!(schedule.at(Wall(end.0 - 1)), At::On(p));
            match schedule.position(seq + 1) {
                Some(next) => prop_assert_eq!((next.starts_at, next.seq), (end, seq + 1)),
                None => prop_assert!(!plan.1 && seq + 1 == schedule.lap_blocks()),
            }
        }

        #[test]
        fn time_never_leads_back(plan in schedules(), a in any::<u32>(), b in any::<u32>()) {
            let schedule = built(&plan);
            let seq = |ms: u32| match schedule.at(Wall(plan.0 + i64::from(ms) * 1_000_000)) {
                At::On(p) => Some(p.seq),
                _ => None,
            };
            if let (Some(early), Some(late)) = (seq(a.min(b)), seq(a.max(b))) {
                prop_assert!(early <= late);
            }
        }

        #[test]
        fn before_the_epoch_nothing_is_on(plan in schedules(), before in 1..i64::MAX / 2) {
            let schedule = built(&plan);
            let wall = Wall(plan.0.saturating_sub(before));
            prop_assert_eq!(schedule.at(wall), At::Before { starts_at: Wall(plan.0) });
        }

        #[test]
        fn positions_stay_exact_beyond_a_billion_seconds(
            plan in schedules(), more in 0_u64..1_000_000,
        ) {
            let plan = (0, true, plan.2);
            let schedule = built(&plan);
            let lap = nanos(schedule.lap_lasts());
            let laps = 1_000_000_000_000_000_000 / lap + more % 100;
            let start = on(&schedule, i64::try_from(laps * lap).unwrap());
            prop_assert_eq!(start.seq, laps * schedule.lap_blocks());
            prop_assert_eq!((start.entry, start.block), (0, 0));
            prop_assert_eq!(start.starts_at, Wall(i64::try_from(laps * lap).unwrap()));
        }
    }
}

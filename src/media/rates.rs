//! The rates of frames that films and broadcasts have, and durations put back onto their grid: an
//! index rounds to microseconds, a header counts sound that goes on behind the last picture. A day
//! of blocks then stays within a frame of the pictures in them. The readers of indexes and headers
//! ask, and so does [`crate::container`] for times of single frames.

use core::time::Duration;

use crate::base::time::nanos;

/// An even grid: so many nanoseconds for so many frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Nanoseconds, not 0.
    pub ns: i64,
    /// Frames in them, not 0.
    pub frames: i64,
}

/// The steps that are usual, more usual ones first.
pub const USUAL: [Step; 14] = [
    Step { ns: 1_001_000_000_000, frames: 24_000 },
    Step { ns: 1_000_000_000, frames: 24 },
    Step { ns: 1_000_000_000, frames: 25 },
    Step { ns: 1_001_000_000_000, frames: 30_000 },
    Step { ns: 1_000_000_000, frames: 30 },
    Step { ns: 1_001_000_000_000, frames: 48_000 },
    Step { ns: 1_000_000_000, frames: 48 },
    Step { ns: 1_000_000_000, frames: 50 },
    Step { ns: 1_001_000_000_000, frames: 60_000 },
    Step { ns: 1_000_000_000, frames: 60 },
    Step { ns: 1_000_000_000, frames: 100 },
    Step { ns: 1_001_000_000_000, frames: 120_000 },
    Step { ns: 1_000_000_000, frames: 120 },
    Step { ns: 1_000_000_000, frames: 15 },
];

/// How far a duration with six decimals may be off.
const ROUNDED: Duration = Duration::from_nanos(501);
/// How far a header's milliseconds may be short of the last frame's end.
const SHORT: Duration = Duration::from_millis(1);

impl Step {
    /// The time of frame `index` from the first, rounded to the nearest nanosecond.
    #[must_use]
    pub fn at(self, index: usize) -> i64 {
        let exact = i128::from(self.ns) * index as i128;
        let frames = i128::from(self.frames);
        i64::try_from((exact + frames / 2) / frames).unwrap_or(i64::MAX)
    }

    /// Whole frames in a duration.
    fn count(self, lasts: Duration) -> usize {
        let count = u128::from(nanos(lasts)) * u128::from(self.frames.unsigned_abs())
            / u128::from(self.ns.unsigned_abs());
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    fn lasting(self, frames: usize) -> Duration {
        Duration::from_nanos(self.at(frames).unsigned_abs())
    }

    /// The grid's duration that this one was before it was rounded.
    fn near(self, lasts: Duration) -> Option<Duration> {
        let frames = self.count(lasts + ROUNDED);
        Some(self.lasting(frames)).filter(|exact| frames > 0 && lasts.abs_diff(*exact) <= ROUNDED)
    }
}

/// What durations with six decimals were, where all of them lie on the grid of one usual rate; else
/// they themselves.
pub fn exact(each: impl Iterator<Item = Duration> + Clone) -> impl Iterator<Item = Duration> {
    let fits = |step: &&Step| each.clone().all(|lasts| step.near(lasts).is_some());
    let step = USUAL.iter().find(fits).copied();
    each.map(move |lasts| step.and_then(|step| step.near(lasts)).unwrap_or(lasts))
}

/// The whole frames of a block whose header says that it lasts so long, sound and all, and that
/// each of its pictures is shown for so many nanoseconds.
#[must_use]
pub fn whole_frames(lasts: Duration, frame_ns: u64) -> Option<Duration> {
    let told = Step { ns: i64::try_from(frame_ns).ok().filter(|ns| *ns > 0)?, frames: 1 };
    let near = |usual: &&Step| usual.at(1).abs_diff(told.ns) <= 1;
    let step = USUAL.iter().find(near).copied().unwrap_or(told);
    let frames = step.count(lasts + SHORT);
    (frames > 0).then(|| step.lasting(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of film at a rate, in blocks of about two seconds with as many frames as come.
    fn blocks(step: Step, day_s: i64) -> impl Iterator<Item = (i64, Duration)> {
        let frames = usize::try_from(2 * step.frames * 1_000_000_000 / step.ns).unwrap() + 3;
        let blocks = usize::try_from(day_s / 2).unwrap();
        (0..blocks).map(move |block| {
            let (from, until) = (step.at(block * frames), step.at((block + 1) * frames));
            (from, Duration::from_nanos((until - from).unsigned_abs()))
        })
    }

    #[test]
    fn a_day_of_rounded_durations_stays_within_a_frame_of_the_film() {
        for step in USUAL {
            let rounded = |lasts: Duration| {
                Duration::from_micros(u64::try_from((lasts.as_nanos() + 500) / 1_000).unwrap())
            };
            let each: Vec<_> = blocks(step, 86_400).map(|(_, lasts)| rounded(lasts)).collect();
            let (mut at, mut off_most) = (0_i64, 0);
            for ((starts, _), lasts) in blocks(step, 86_400).zip(exact(each.iter().copied())) {
                off_most = off_most.max((starts - at).abs());
                at += i64::try_from(lasts.as_nanos()).unwrap();
            }
            assert!(off_most < 100_000, "{step:?}: {off_most} ns after a day");
        }
    }

    #[test]
    fn what_is_on_no_grid_stays_what_it_is() {
        let odd = [2_002_000_u64, 1_234_567, 777_777].map(Duration::from_micros);
        assert_eq!(exact(odd.into_iter()).collect::<Vec<_>>(), odd);
        let even = [Duration::from_millis(400); 3];
        assert_eq!(exact(even.into_iter()).collect::<Vec<_>>(), even);
    }

    #[test]
    fn sound_that_goes_on_does_not_count() {
        let ms = |ms| Duration::from_millis(ms);
        assert_eq!(whole_frames(ms(2_021), 41_708_333), Some(ms(2_002)));
        assert_eq!(whole_frames(ms(2_002), 33_366_667), Some(ms(2_002)));
        assert_eq!(whole_frames(ms(2_085), 41_708_333), Some(Duration::from_nanos(2_085_416_667)));
        assert_eq!(whole_frames(ms(400), 40_000_000), Some(ms(400)));
        assert_eq!((whole_frames(ms(20), 40_000_000), whole_frames(ms(20), 0)), (None, None));
    }
}

//! A day of blocks as containers have them, with times in milliseconds, laid onto the timeline.

use super::*;
use crate::container::build::{Builder, Found};
use crate::container::bytes::Cursor;
use crate::container::types::{Codec, Part, Shape, Track};

const DAY_NS: i64 = 86_400_000_000_000;
const AUDIO_RATE: i64 = 48_000;
const AUDIO_FRAME_NS: i64 = 21_333_333;

/// Of the blocks of a day, so many at its beginning and then two of so many are looked at.
const LOOKED_AT_FIRST: i64 = 500;
const LOOKED_AT_AFTER: i64 = 50;

/// A movie's pictures: so many a second, as a fraction, and how many are in a block.
#[derive(Clone, Copy, Debug)]
struct Film {
    frames: i64,
    seconds: i64,
    block: i64,
}

impl Film {
    /// When a picture is shown, exactly.
    fn picture(self, number: i64) -> i64 {
        whole(number, 1_000_000_000 * self.seconds, self.frames)
    }
}

/// When a frame of sound begins, exactly.
fn sound(number: i64) -> i64 {
    whole(number, 1_000_000_000 * 1024, AUDIO_RATE)
}

fn whole(count: i64, by: i64, per: i64) -> i64 {
    i64::try_from(i128::from(count) * i128::from(by) / i128::from(per)).unwrap()
}

fn milliseconds(ns: i64) -> i64 {
    (ns + 500_000).div_euclid(1_000_000) * 1_000_000
}

/// A block as a segmenter cuts it, times rounded to milliseconds; and the number of its first
/// frame of sound.
fn block(film: Film, number: i64, dummy: &[u8]) -> (Block, i64) {
    let (first, after) = (number * film.block, (number + 1) * film.block);
    let (starts, ends) = (film.picture(first), film.picture(after));
    let mut builder = Builder::new(&Cursor::new(dummy), 1_000_000);
    let shape = Shape::Video { width: 640, height: 360 };
    let frame_ns = Some(film.picture(1).unsigned_abs());
    let config = vec![0, 0, 1, 0xb3];
    let picture = Track { codec: Codec::Mpeg2, shape, config, frame_ns, reorder: 0 };
    let shape = Shape::Audio { rate: 48_000, channels: 2 };
    let config = vec![0x11, 0x90];
    let tone = Track { codec: Codec::Aac, shape, config, frame_ns: None, reorder: 0 };
    assert_eq!(builder.track(0, picture), Ok(0));
    assert_eq!(builder.track(0, tone), Ok(1));
    let mut at = 0;
    let mut frame = |track, ns: i64| {
        at += 1;
        let pts = milliseconds(ns - starts);
        builder.frame(Found { track, key: true, pts, lasts: 0, at }, &[Part::of(at, 1)]).unwrap();
    };
    (first..after).for_each(|number| frame(0, film.picture(number)));
    let sound_first = whole(starts, AUDIO_RATE, 1024 * 1_000_000_000);
    let sound_first = sound_first + i64::from(sound(sound_first) < starts);
    (sound_first..i64::MAX)
        .take_while(|n| sound(*n) < ends)
        .for_each(|number| frame(1, sound(number)));
    (builder.finish().unwrap(), sound_first)
}

#[test]
fn a_day_of_blocks_stays_exact() {
    let dummy = vec![0; 32 << 10];
    for (frames, seconds, per_block) in
        [(24_000, 1001, 48), (30_000, 1001, 60), (50, 1, 100), (60, 1, 120)]
    {
        let film = Film { frames, seconds, block: per_block };
        let mut clock = Clock {
            seq: 0,
            starts_ns: 0,
            lasts_ns: 0,
            first: false,
            last: false,
            stands_in: false,
        };
        let (mut off_most, mut apart_most, mut seam_most) = (0, 0, 0);
        let mut sound_ends: Option<i64> = None;
        for number in 0..i64::MAX {
            let true_start = film.picture(number * film.block);
            if true_start > DAY_NS {
                break;
            }
            if number > LOOKED_AT_FIRST && number % LOOKED_AT_AFTER > 1 {
                // Each lasts as long as the first: that is asserted of those that are looked at.
                (clock, sound_ends) = (clock.next(Duration::from_nanos(clock.lasts_ns)), None);
                continue;
            }
            let (block, first_sound) = block(film, number, &dummy);
            assert!(number == 0 || block.lasts_ns == clock.lasts_ns, "{film:?} {number}");
            clock.lasts_ns = block.lasts_ns;
            let place = |ns: i64| i64::try_from(clock.absolute(ns)).unwrap() - ORIGIN_NS;
            let sounds: Vec<_> = block.frames_of(1).collect();
            let picture_off = place(0) - true_start;
            let sound_off = place(sounds[0].pts) - sound(first_sound);
            off_most = off_most.max(picture_off.abs());
            apart_most = apart_most.max((sound_off - picture_off).abs());
            let seam = sound_ends.map_or(0, |ends| (place(sounds[0].pts) - ends).abs());
            seam_most = seam_most.max(seam);
            let last = sounds[sounds.len() - 1];
            sound_ends = Some(place(last.pts).saturating_add_unsigned(last.lasts));
            clock = clock.next(Duration::from_nanos(clock.lasts_ns));
        }
        assert!(off_most < film.picture(1), "{film:?}: a picture {off_most} ns off");
        assert!(apart_most < AUDIO_FRAME_NS, "{film:?}: sound and picture {apart_most} ns apart");
        assert!(seam_most < AUDIO_FRAME_NS / 10, "{film:?}: a seam of {seam_most} ns in the sound");
        assert!(off_most < 2_000_000, "{film:?}: and far better than that: {off_most} ns");
    }
}

#[test]
fn ticks_are_rounded_once() {
    let clock =
        Clock { seq: 1, starts_ns: 1, lasts_ns: 2, first: false, last: false, stands_in: false };
    assert_eq!(clock.absolute(0), 2_000_000_001);
    assert_eq!(clock.ticks(0, 90_000), 180_000);
    assert_eq!(clock.ticks(5_555, 90_000), 180_001);
    assert_eq!(clock.absolute(i64::MIN), 0);
}

#[test]
fn sound_beyond_the_ends_of_a_movie_is_left_out_there_only() {
    let film = Film { frames: 25, seconds: 1, block: 50 };
    let (block, _) = block(film, 0, &vec![0; 32 << 10]);
    let (early, late) = (-21_333_333, 2_000_000_000);
    let sound = |pts| Frame { pts, ..*block.frames_of(1).next().unwrap() };
    let clock = |first, last| Clock {
        seq: 0,
        starts_ns: 0,
        lasts_ns: 2_000_000_000,
        first,
        last,
        stands_in: false,
    };
    assert!(clock(false, false).sounds(&sound(early)));
    assert!(clock(false, false).sounds(&sound(late)));
    assert!(!clock(true, false).sounds(&sound(early)));
    assert!(!clock(false, true).sounds(&sound(late)));
    let pictures =
        |clock: Clock| clock.frames(&block).iter().filter(|frame| frame.track == 0).count();
    assert_eq!(pictures(clock(true, true)), 50, "pictures always");
    // Of what stands in for a block of one second half the pictures fit.
    let shorter = Clock { lasts_ns: 1_000_000_000, ..clock(false, false) };
    assert_eq!((pictures(shorter), pictures(shorter.standing_in())), (50, 25));
    let shown = |frame: &Frame| frame.pts < 1_000_000_000;
    assert!(shorter.standing_in().frames(&block).iter().all(shown));
}

#[test]
fn the_schedule_says_where_a_block_lies() {
    use crate::base::time::Wall;
    use crate::media::catalog::Movie;
    use crate::media::sniff::Container;

    let movie = |name, blocks, ms| {
        std::rc::Rc::new(Movie::even(name, Container::Mkv, blocks, Duration::from_millis(ms)))
    };
    let schedule = Schedule::new(Wall(77), true, vec![movie("a", 2, 2002), movie("b", 1, 500)]);
    let clock = |seq| Clock::of(&schedule, &schedule.position(seq).unwrap());
    let all: Vec<_> = (0..4).map(clock).map(|c| (c.starts_ns, c.first, c.last)).collect();
    let expected = [
        (0, true, false),
        (2_002_000_000, false, true),
        (4_004_000_000, true, true),
        (4_504_000_000, true, false),
    ];
    assert_eq!(all, expected);
    assert_eq!(clock(3).seq, 3);
}

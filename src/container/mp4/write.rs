//! Fragments: `moof` and `mdat` of a block, whole or in parts. Frames stay ranges of the block.

use core::time::Duration;

use crate::base::limits;
use crate::base::time::nanos;
use crate::container::clock::Clock;
use crate::container::mp4::boxes::{put, put_all, put_full, put_u32};
use crate::container::mp4::init::ticks;
use crate::container::output::{Output, WhyNot};
use crate::container::pieces::Pieces;
use crate::container::types::{Block, Frame};

/// `sample_flags` of a frame that needs no other, and of one that does.
const KEY: u32 = 0x0200_0000;
const DEPENDS: u32 = 0x0101_0000;

/// A block as fragments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fragments {
    /// All of them, one after the other.
    pub pieces: Pieces,
    /// Where each begins; one, where the block is not parted.
    pub runs: Vec<Run>,
}

/// One fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Its first byte among those of [`Fragments::pieces`].
    pub from: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// How long its part of the main track is shown, in nanoseconds.
    pub lasts_ns: u64,
    /// Whether it begins with a key frame of the main track.
    pub independent: bool,
}

/// A frame's place on its track, in ticks.
#[derive(Clone, Copy, Default, Debug)]
struct Place {
    dts: u64,
    lasts: u32,
    shown_after: i32,
}

/// A block as one fragment, or as parts that each last at most `part`, where one frame does. They
/// are cut at frames of the main track.
///
/// # Errors
/// Why fMP4 cannot carry one of the tracks.
pub fn fragments(
    block: &Block,
    clock: &Clock,
    part: Option<Duration>,
) -> Result<Fragments, WhyNot> {
    Output::Mp4.takes(block)?;
    let frames = clock.frames(block);
    let places = places(block, &frames, clock);
    let cuts = cuts(&frames, part.map(nanos));
    let mut whole = Fragments { pieces: Pieces::default(), runs: Vec::with_capacity(cuts.len()) };
    let mut from = 0;
    for (number, until) in (0..).zip(cuts) {
        let begins = whole.pieces.len();
        let fragment = Fragment {
            block,
            frames: &frames[from..until],
            places: &places[from..until],
            number: clock.seq.wrapping_mul(limits::FRAGMENT_PARTS_MAX).wrapping_add(number + 1),
        };
        fragment.put(&mut whole.pieces);
        whole.runs.push(fragment.run(begins, whole.pieces.len()));
        from = until;
    }
    Ok(whole)
}

/// Where each part ends, as indices of frames.
fn cuts(frames: &[Frame], part_ns: Option<u64>) -> Vec<usize> {
    let mut cuts = Vec::new();
    let Some(part_ns) = part_ns else { return vec![frames.len()] };
    let mut so_far = 0;
    for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.track == 0) {
        let full = so_far > 0 && so_far + frame.lasts > part_ns;
        if full && cuts.len() as u64 + 1 < limits::FRAGMENT_PARTS_MAX {
            cuts.push(at);
            so_far = 0;
        }
        so_far += frame.lasts;
    }
    cuts.push(frames.len());
    cuts
}

fn places(block: &Block, frames: &[Frame], clock: &Clock) -> Vec<Place> {
    let mut places = vec![Place::default(); frames.len()];
    for (track, about) in block.tracks.iter().enumerate() {
        let of_track =
            || (0..frames.len()).filter(move |at| usize::from(frames[*at].track) == track);
        if about.codec.is_video() {
            pictures(frames, &mut places, of_track(), clock);
        } else {
            sounds(frames, &mut places, of_track(), (clock, ticks(about)));
        }
    }
    places
}

/// A picture's times are those of the timeline, rounded one by one; the last lasts until the next
/// block begins.
fn pictures(
    frames: &[Frame],
    places: &mut [Place],
    of_track: impl Iterator<Item = usize> + Clone,
    clock: &Clock,
) {
    let time = |ns: i64| clock.ticks(ns, super::init::VIDEO_TICKS);
    let Some(first) = of_track.clone().next() else { return };
    let end = frames[first].dts.saturating_add_unsigned(clock.lasts_ns);
    let nexts = of_track.clone().skip(1).map(|at| frames[at].dts).chain([end]);
    for (at, next) in of_track.zip(nexts) {
        let (dts, pts) = (time(frames[at].dts), time(frames[at].pts));
        let lasts = u32::try_from(time(next).saturating_sub(dts)).unwrap_or(u32::MAX);
        let shown_after = i32::try_from(pts.saturating_sub(dts)).unwrap_or(i32::MAX);
        places[at] = Place { dts, lasts: lasts.max(1), shown_after };
    }
}

/// A sound's frames follow each other to the sample, unless one is missing.
fn sounds(
    frames: &[Frame],
    places: &mut [Place],
    of_track: impl Iterator<Item = usize>,
    (clock, rate): (&Clock, u32),
) {
    let mut before: Option<(usize, u64)> = None;
    for at in of_track {
        let frame = frames[at];
        let told = clock.ticks(frame.pts, rate);
        let samples = (u128::from(frame.lasts) * u128::from(rate) + 500_000_000) / 1_000_000_000;
        let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
        let follows = before.filter(|(_, next)| told.abs_diff(*next) <= u64::from(samples) / 2);
        let dts = follows.map_or(told, |(_, next)| next);
        if let (None, Some((last, _))) = (follows, before) {
            let gap = dts.saturating_sub(places[last].dts);
            places[last].lasts = u32::try_from(gap).unwrap_or(u32::MAX).max(1);
        }
        places[at] = Place { dts, lasts: samples, shown_after: 0 };
        before = Some((at, dts + u64::from(samples)));
    }
}

/// One `moof` with its `mdat`.
struct Fragment<'a> {
    block: &'a Block,
    frames: &'a [Frame],
    places: &'a [Place],
    number: u64,
}

impl Fragment<'_> {
    fn of_track(&self, track: usize) -> impl Iterator<Item = (&Frame, &Place)> + Clone {
        self.frames.iter().zip(self.places).filter(move |(f, _)| usize::from(f.track) == track)
    }

    fn put(&self, pieces: &mut Pieces) {
        let tracks = 0..self.block.tracks.len();
        let bytes = |track: usize| {
            self.of_track(track).map(|(frame, _)| u64::from(self.block.frame_bytes(frame))).sum()
        };
        let sizes: Vec<u64> = tracks.clone().map(bytes).collect();
        let counts = tracks.clone().map(|track| self.of_track(track).count());
        let trafs = tracks.clone().zip(counts).filter(|(_, count)| *count > 0);
        let moof = 24 + trafs.map(|(track, count)| self.traf_bytes(track, count)).sum::<usize>();
        let mut head = Vec::with_capacity(moof + 8);
        let mut data = moof as u64 + 8;
        put(&mut head, *b"moof", |b| {
            put_full(b, *b"mfhd", (0, 0), |b| put_u32(b, low(self.number)));
            for track in tracks.clone() {
                if self.of_track(track).next().is_some() {
                    put(b, *b"traf", |b| self.traf(b, track, data));
                }
                data += sizes[track];
            }
        });
        debug_assert_eq!(head.len(), moof, "offsets were computed from it");
        put_u32(&mut head, low(data - moof as u64));
        head.extend(b"mdat");
        pieces.make(&head);
        for track in tracks {
            for (frame, _) in self.of_track(track) {
                self.block.parts(frame).iter().for_each(|part| pieces.part(*part));
            }
        }
    }

    /// Bytes of a `traf` of so many frames.
    fn traf_bytes(&self, track: usize, count: usize) -> usize {
        let video = self.block.tracks[track].codec.is_video();
        if video { 64 + 16 * count } else { 68 + 8 * count }
    }

    fn traf(&self, traf: &mut Vec<u8>, track: usize, data: u64) {
        let video = self.block.tracks[track].codec.is_video();
        let id = u32::try_from(track + 1).expect("few tracks");
        put_full(traf, *b"tfhd", (0, 0x2_0000 | if video { 0 } else { 0x20 }), |b| {
            put_u32(b, id);
            if !video {
                put_u32(b, KEY);
            }
        });
        let first = self.of_track(track).next().map_or(0, |(_, place)| place.dts);
        put_full(traf, *b"tfdt", (1, 0), |b| b.extend(first.to_be_bytes()));
        let (version, flags) = if video { (1, 0xf01) } else { (0, 0x301) };
        put_full(traf, *b"trun", (version, flags), |b| {
            let count = u32::try_from(self.of_track(track).count()).expect("bounded by the block");
            put_all(b, &[count, low(data)]);
            for (frame, place) in self.of_track(track) {
                put_all(b, &[place.lasts, self.block.frame_bytes(frame)]);
                if video {
                    put_u32(b, if frame.key { KEY } else { DEPENDS });
                    b.extend(place.shown_after.to_be_bytes());
                }
            }
        });
    }

    fn run(&self, from: u64, until: u64) -> Run {
        let mut main = self.frames.iter().filter(|frame| frame.track == 0);
        Run {
            from,
            bytes: until - from,
            independent: main.clone().next().is_some_and(|frame| frame.key),
            lasts_ns: main.by_ref().map(|frame| frame.lasts).sum(),
        }
    }
}

/// The low 32 bits.
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("32 bits")
}

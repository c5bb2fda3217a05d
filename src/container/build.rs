//! From what a reader finds to a [`Block`]: bounds on how much there may be, times made exact,
//! decode times, order. The readers push, [`Builder::finish`] computes; nobody else makes blocks.
//!
//! Containers round times: Matroska to milliseconds, ts to 1/90000 s. Where all frames of a track
//! lie on an even grid within that rounding, they are put back onto the grid, so that 24 hours of
//! blocks stay as exact as one.

use crate::base::limits;
use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::codec::{self, Units, audio};
use crate::container::types::{Block, Frame, Part, Track};

mod timing;

pub(super) use timing::nanoseconds;

/// Collects what a reader finds.
pub(super) struct Builder<'a> {
    bytes: &'a [u8],
    /// How far off a container's rounding may put a time.
    blur_ns: i64,
    tracks: Vec<Track>,
    frames: Vec<Frame>,
    parts: Vec<Part>,
    /// Frames that were pushed, empty ones among them, and their bytes.
    seen: usize,
    seen_bytes: u64,
}

/// A frame as its container has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) track: u16,
    pub(super) key: bool,
    /// Nanoseconds from any origin that all tracks share.
    pub(super) pts: i64,
    /// 0 where it is not told.
    pub(super) lasts: u64,
    /// Where an error about it points.
    pub(super) at: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(cursor: &Cursor<'a>, blur_ns: i64) -> Self {
        let bytes = cursor.block();
        let (tracks, frames, parts) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, blur_ns, tracks, frames, parts, seen: 0, seen_bytes: 0 }
    }

    pub(super) fn set_blur(&mut self, blur_ns: i64) {
        self.blur_ns = blur_ns;
    }

    /// Takes a track in, named at `at`; the first one is the one that times are counted from.
    pub(super) fn track(&mut self, at: usize, mut track: Track) -> Result<u16, Error> {
        let most = limits::BLOCK_TRACKS_MAX;
        if self.tracks.len() >= most {
            return Err(too_many(at, "tracks", most));
        }
        codec::complete(&mut track).map_err(|what| Error::bad(at, what))?;
        self.tracks.push(track);
        Ok(u16::try_from(self.tracks.len() - 1).expect("there are few tracks"))
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Takes a frame in; one without bytes is none.
    pub(super) fn frame(&mut self, found: Found, parts: &[Part]) -> Result<(), Error> {
        let parts_from = self.parts.len();
        for part in parts {
            self.part(found.at, parts_from, *part)?;
        }
        let most = self.bytes.len() / limits::FRAME_BYTES_AVERAGE_MIN + limits::FRAMES_ANYWAY_MAX;
        self.seen += 1;
        if self.seen > most {
            return Err(too_many(found.at, "frames", most));
        }
        self.seen_bytes += parts.iter().map(|part| u64::from(part.bytes())).sum::<u64>();
        if self.seen_bytes > 2 * self.bytes.len() as u64 {
            return Err(Error::bad(found.at, "frames share their bytes with others"));
        }
        if self.parts.len() > parts_from {
            let count = |n: usize| u32::try_from(n).expect("parts are bounded by the block");
            self.frames.push(Frame {
                track: found.track,
                key: found.key,
                pts: found.pts,
                dts: found.pts,
                lasts: found.lasts,
                parts_from: count(parts_from),
                parts: count(self.parts.len() - parts_from),
            });
        }
        Ok(())
    }

    fn part(&mut self, at: usize, first: usize, part: Part) -> Result<(), Error> {
        let goes_on =
            self.parts.len() > first && self.parts.last_mut().is_some_and(|last| last.extend(part));
        if goes_on || part.bytes() == 0 {
            return Ok(());
        }
        let most = self.bytes.len() / limits::PART_BYTES_AVERAGE_MIN + limits::FRAMES_ANYWAY_MAX;
        if self.parts.len() >= most {
            return Err(too_many(at, "pieces of frames", most));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Completes the block.
    pub(super) fn finish(mut self) -> Result<Block, Error> {
        if self.tracks.is_empty() {
            return Err(Error::missing(self.bytes.len(), "a picture or a sound"));
        }
        self.frames.sort_unstable_by_key(|frame| (frame.track, frame.parts_from));
        let mut frames = core::mem::take(&mut self.frames);
        for same in frames.chunk_by_mut(|a, b| a.track == b.track) {
            self.check(same)?;
            let track = &mut self.tracks[usize::from(same[0].track)];
            track.frame_ns = timing::exact(same, track, self.blur_ns);
        }
        let main = frames.iter().take_while(|frame| frame.track == 0);
        let origin = main.clone().map(|frame| frame.pts).min();
        let origin =
            origin.ok_or(Error::missing(self.bytes.len(), "a frame of its first track"))?;
        let most = i64::try_from(limits::BLOCK_SPAN_MAX.as_nanos()).expect("two minutes");
        for frame in &mut frames {
            let place = |t: i64| t.checked_sub(origin).filter(|t| (-most..=most).contains(t));
            let (Some(pts), Some(dts)) = (place(frame.pts), place(frame.dts)) else {
                let at = self.begins(frame);
                return Err(Error::bad(at, "this frame is minutes away from the block's first"));
            };
            (frame.pts, frame.dts) = (pts, dts);
            frame.lasts = frame.lasts.min(most.unsigned_abs());
        }
        let main = frames.iter().take_while(|frame| frame.track == 0);
        let ends = main.map(|frame| frame.pts.unsigned_abs() + frame.lasts);
        let lasts_ns = ends.max().unwrap_or(0);
        frames.sort_unstable_by_key(|frame| (frame.dts, frame.track, frame.parts_from));
        Ok(Block { tracks: self.tracks, frames, lasts_ns, parts: self.parts })
    }

    /// Looks into the frames of one track: what they tell of it, and whether their units fit.
    fn check(&mut self, frames: &mut [Frame]) -> Result<(), Error> {
        let mut scratch = Vec::new();
        let index = usize::from(frames[0].track);
        let mut track = self.tracks[index].clone();
        let prefix = codec::prefix(&track);
        let look = if prefix.is_some() { usize::MAX } else { limits::FRAME_HEAD_BYTES_MAX };
        for frame in frames {
            let bytes = self.peek(frame, look, &mut scratch);
            let cut = prefix.and_then(|prefix| Units::new(bytes, prefix).find_map(Result::err));
            if let Some(cut) = cut {
                let what = "a unit of the frame that begins here or before is longer than it";
                return Err(Error::bad(self.begins(frame) + cut, what));
            }
            if track.config.is_empty() {
                codec::learn(&mut track, bytes);
            }
            if let Some(samples) = audio::samples(&track, bytes) {
                frame.lasts = timing::nanoseconds(samples.into(), track.rate());
            }
        }
        self.tracks[index] = track;
        Ok(())
    }

    /// Where a frame's first byte is.
    fn begins(&self, frame: &Frame) -> usize {
        let parts = self.parts[frame.parts_from as usize..].iter();
        parts.take(frame.parts as usize).find_map(|part| part.range()).map_or(0, |r| r.start)
    }

    /// The first bytes of a frame, in one run.
    fn peek<'b>(&self, frame: &Frame, most: usize, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        let from = frame.parts_from as usize;
        let parts = &self.parts[from..from + frame.parts as usize];
        if let [only] = parts
            && let Some(range) = only.range()
        {
            let bytes = &self.bytes[range];
            return &bytes[..bytes.len().min(most)];
        }
        scratch.clear();
        for part in parts {
            match part.range() {
                Some(range) => scratch.extend_from_slice(&self.bytes[range]),
                None => scratch.extend_from_slice(&part.length_prefix().unwrap_or_default()),
            }
            if scratch.len() >= most {
                break;
            }
        }
        scratch
    }
}

fn too_many(at: usize, what: &'static str, most: usize) -> Error {
    Error::TooMany { at: at as u64, what, most: most as u64 }
}

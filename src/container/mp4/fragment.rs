//! Movie fragments (ISO 14496-12, 8.8): the frames that a `moof` names.

use crate::container::Error;
use crate::container::build::{Builder, Found, nanoseconds};
use crate::container::bytes::Cursor;
use crate::container::mp4::boxes::{each, version};
use crate::container::mp4::read::Declared;
use crate::container::mp4::table::Place;

/// What a frame has where neither `tfhd` nor `trun` says it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Defaults {
    lasts: u32,
    size: u32,
    flags: u32,
}

impl Defaults {
    /// Reads a `trex`: of which track, and what.
    pub(super) fn read(mut body: Cursor<'_>) -> Result<(u32, Self), Error> {
        version(&mut body)?;
        let id = body.u32("a trex box")?;
        body.take(4, "a trex box")?;
        let mut word = || body.u32("a trex box");
        Ok((id, Self { lasts: word()?, size: word()?, flags: word()? }))
    }
}

/// Adds the frames of a `moof` that begins at `at`.
pub(super) fn frames(
    builder: &mut Builder<'_>,
    tracks: &mut [Declared<'_>],
    at: usize,
    body: Cursor<'_>,
) -> Result<(), Error> {
    // Where a track fragment begins that neither says it nor leaves it to the moof.
    let mut follows = at as u64;
    each(body, |found| {
        if found.kind == *b"traf" {
            follows = track_fragment(builder, tracks, (at as u64, follows), found.body)?;
        }
        Ok(())
    })
}

/// One `traf`; where its data ends.
fn track_fragment(
    builder: &mut Builder<'_>,
    tracks: &mut [Declared<'_>],
    (moof, follows): (u64, u64),
    body: Cursor<'_>,
) -> Result<u64, Error> {
    let (mut run, mut track) = (None, None);
    each(body, |found| {
        let mut body = found.body;
        match &found.kind {
            b"tfhd" => {
                let (_, flags) = version(&mut body)?;
                let id = body.u32("a tfhd box")?;
                track = tracks.iter().position(|track| track.id == id);
                let Some(track) = track else { return Ok(()) };
                run = Some(Run::read(&tracks[track], flags, (moof, follows), &mut body)?);
            }
            b"tfdt" => {
                let (version, _) = version(&mut body)?;
                let wide = version == 1;
                let dts =
                    if wide { body.u64("a tfdt box")? } else { body.u32("a tfdt box")?.into() };
                if let Some(track) = track {
                    tracks[track].next = dts;
                }
            }
            b"trun" => {
                if let (Some(run), Some(track)) = (&mut run, track) {
                    run.frames(builder, &mut tracks[track], body)?;
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(run.map_or(follows, |run| run.from))
}

/// The data of a track in a fragment.
struct Run {
    base: u64,
    /// Where the next frame is that no offset is told of.
    from: u64,
    defaults: Defaults,
}

impl Run {
    /// From what follows the track's number in `tfhd`.
    fn read(
        track: &Declared<'_>,
        flags: u32,
        (moof, follows): (u64, u64),
        body: &mut Cursor<'_>,
    ) -> Result<Self, Error> {
        let mut defaults = track.defaults;
        let base = match flags {
            _ if flags & 1 != 0 => body.u64("a tfhd box")?,
            _ if flags & 0x2_0000 != 0 => moof,
            _ => follows,
        };
        if flags & 2 != 0 {
            body.take(4, "a tfhd box")?;
        }
        for (bit, field) in
            [(8, &mut defaults.lasts), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)]
        {
            if flags & bit != 0 {
                *field = body.u32("a tfhd box")?;
            }
        }
        Ok(Self { base, from: base, defaults })
    }

    /// One `trun`.
    fn frames(
        &mut self,
        builder: &mut Builder<'_>,
        track: &mut Declared<'_>,
        mut body: Cursor<'_>,
    ) -> Result<(), Error> {
        let at = body.at();
        let (version, flags) = version(&mut body)?;
        let count = body.u32("a trun box")?;
        if flags & 1 != 0 {
            let offset = i32::from_be_bytes(body.array("a trun box")?);
            let from = self.base.checked_add_signed(offset.into());
            self.from = from.ok_or(Error::bad(at, "a run of frames begins before the block"))?;
        }
        let mut first = if flags & 4 != 0 { Some(body.u32("a trun box")?) } else { None };
        for _ in 0..count {
            let at = body.at();
            let mut told = |bit: u32, or: u32| {
                if flags & bit == 0 { Ok(or) } else { body.u32("a frame of a trun box") }
            };
            let lasts = told(0x100, self.defaults.lasts)?;
            let len = told(0x200, self.defaults.size)?;
            let about = told(0x400, first.take().unwrap_or(self.defaults.flags))?;
            let offset = told(0x800, 0)?;
            let offset = match version {
                0 => i128::from(offset),
                _ => i128::from(offset.cast_signed()),
            };
            let pts = track.nanoseconds(i128::from(track.next) + offset);
            let pts = pts.ok_or(Error::bad(at, "a time beyond a hundred years"))?;
            let key = !track.video || about & 0x1_0000 == 0;
            let place = Place { from: self.from, len };
            let part = place.within(builder.bytes().len(), at)?;
            let shown = nanoseconds(lasts.into(), track.ticks);
            builder.frame(Found { track: track.index, key, pts, lasts: shown, at }, &[part])?;
            track.next = track.next.saturating_add(lasts.into());
            self.from += u64::from(len);
        }
        Ok(())
    }
}

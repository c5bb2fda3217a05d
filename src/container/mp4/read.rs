//! An ISO base media block into tracks and frames: the movie box at either end, sample tables and
//! fragments.

use crate::base::limits;
use crate::container::Error;
use crate::container::build::Builder;
use crate::container::bytes::Cursor;
use crate::container::mp4::boxes::{self, Box, each, version};
use crate::container::mp4::entry;
use crate::container::mp4::fragment::{self, Defaults};
use crate::container::mp4::table::Tables;
use crate::container::types::Block;

/// How far off the times of a block may be that was made from one with milliseconds.
const BLUR_NS: i64 = 1_000_000;

/// Reads a block that begins with a box.
pub(crate) fn read(bytes: &[u8]) -> Result<Block, Error> {
    let mut movie = None;
    let mut fragments = Vec::new();
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_done() {
        let found = boxes::next(&mut cursor)?;
        match &found.kind {
            b"moov" if movie.is_some() => return Err(Error::bad(found.at, "a second moov box")),
            b"moov" => movie = Some(found.body),
            b"moof" => fragments.push((found.at, found.body)),
            _ => {}
        }
    }
    let mut builder = Builder::new(&Cursor::new(bytes), BLUR_NS);
    let movie = movie.ok_or(Error::missing(bytes.len(), "a moov box"))?;
    let mut tracks = tracks(&mut builder, movie)?;
    for track in &tracks {
        track.tables.frames(&mut builder, track)?;
    }
    for (at, body) in fragments {
        fragment::frames(&mut builder, &mut tracks, at, body)?;
    }
    builder.finish()
}

/// A track of the movie that is carried.
#[derive(Default, Debug)]
pub(super) struct Declared<'a> {
    /// Its index among those that are carried.
    pub(super) index: u16,
    pub(super) id: u32,
    pub(super) video: bool,
    pub(super) ticks: u32,
    pub(super) tables: Tables<'a>,
    pub(super) defaults: Defaults,
    /// Where the next fragment begins, in ticks.
    pub(super) next: u64,
    kind: [u8; 4],
    at: usize,
    /// The media time at which the presentation begins, in ticks.
    begins: i64,
    /// How much later than the movie it begins, in ticks of the movie.
    empty: u64,
    movie_ticks: u32,
}

impl Declared<'_> {
    /// A time of the media as nanoseconds of the movie.
    pub(super) fn nanoseconds(&self, ticks: i128) -> Option<i64> {
        let nanos = |ticks: i128, per_second: u32| {
            let per_second = i128::from(per_second.max(1));
            ticks.checked_mul(1_000_000_000).map(|n| (n + per_second / 2).div_euclid(per_second))
        };
        let within = nanos(ticks - i128::from(self.begins), self.ticks)?;
        let all = within.checked_add(nanos(self.empty.into(), self.movie_ticks)?)?;
        i64::try_from(all).ok().filter(|ns| ns.unsigned_abs() < 1 << 62)
    }
}

/// Takes the first picture in and every sound.
fn tracks<'a>(builder: &mut Builder<'a>, movie: Cursor<'a>) -> Result<Vec<Declared<'a>>, Error> {
    let (mut tracks, mut movie_ticks, mut defaults) = (Vec::new(), 1, Vec::new());
    each(movie, |found| {
        match &found.kind {
            b"mvhd" => movie_ticks = timescale(found.body)?,
            b"trak" if tracks.len() == limits::DECLARED_TRACKS_MAX => {
                let most = limits::DECLARED_TRACKS_MAX as u64;
                return Err(Error::TooMany { at: found.at as u64, what: "tracks", most });
            }
            b"trak" => tracks.push(trak(found)?),
            b"mvex" => each(found.body, |found| {
                if found.kind == *b"trex" && defaults.len() < limits::DECLARED_TRACKS_MAX {
                    defaults.push(Defaults::read(found.body)?);
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    let picture = tracks.iter().position(|track| track.kind == *b"vide");
    let mut carried = Vec::new();
    let (mut first, mut others) = (None, Vec::new());
    for (at, track) in tracks.into_iter().enumerate() {
        match &track.kind {
            b"vide" if Some(at) == picture => first = Some(track),
            b"soun" => others.push(track),
            _ => {}
        }
    }
    for mut track in first.into_iter().chain(others) {
        let described = track.tables.described.clone();
        let described = described.ok_or(Error::bad(track.at, "a track without an stsd box"))?;
        if track.ticks == 0 {
            return Err(Error::bad(track.at, "a track whose timescale is 0"));
        }
        track.index = builder.track(track.at, entry::track(described, track.video)?)?;
        track.movie_ticks = movie_ticks;
        let told = defaults.iter().find(|(id, _)| *id == track.id);
        track.defaults = told.map(|(_, told)| *told).unwrap_or_default();
        carried.push(track);
    }
    Ok(carried)
}

/// Reads a `trak`.
fn trak(found: Box<'_>) -> Result<Declared<'_>, Error> {
    let mut track = Declared { at: found.at, ..Declared::default() };
    each(found.body, |found| {
        match &found.kind {
            b"tkhd" => track.id = identity(found.body)?,
            b"edts" => each(found.body, |found| match &found.kind {
                b"elst" => edits(&mut track, found.body),
                _ => Ok(()),
            })?,
            b"mdia" => each(found.body, |found| media(&mut track, found))?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(track)
}

fn media<'a>(track: &mut Declared<'a>, found: Box<'a>) -> Result<(), Error> {
    match &found.kind {
        b"mdhd" => track.ticks = timescale(found.body)?,
        b"hdlr" => {
            let mut body = found.body;
            body.take(8, "an hdlr box")?;
            track.kind = body.array("an hdlr box")?;
            track.video = track.kind == *b"vide";
        }
        b"minf" => each(found.body, |found| match &found.kind {
            b"stbl" => each(found.body, |found| track.tables.take(found)),
            _ => Ok(()),
        })?,
        _ => {}
    }
    Ok(())
}

/// `timescale` of `mvhd` and `mdhd`.
fn timescale(mut body: Cursor<'_>) -> Result<u32, Error> {
    let (version, _) = version(&mut body)?;
    body.take(if version == 1 { 16 } else { 8 }, "the head of a movie or its media")?;
    body.u32("a timescale")
}

fn identity(mut body: Cursor<'_>) -> Result<u32, Error> {
    let (version, _) = version(&mut body)?;
    body.take(if version == 1 { 16 } else { 8 }, "a tkhd box")?;
    body.u32("a track's number")
}

/// What an edit list says of the beginning: how long there is nothing, and where the media starts
/// then. What it may say of later is left out.
fn edits(track: &mut Declared<'_>, mut body: Cursor<'_>) -> Result<(), Error> {
    let (version, _) = version(&mut body)?;
    for _ in 0..body.u32("an elst box")? {
        let (lasts, from) = if version == 1 {
            (body.u64("an edit")?, i64::from_be_bytes(body.array("an edit")?))
        } else {
            (body.u32("an edit")?.into(), i32::from_be_bytes(body.array("an edit")?).into())
        };
        body.take(4, "an edit")?;
        if from >= 0 {
            track.begins = from;
            return Ok(());
        }
        track.empty = track.empty.saturating_add(lasts);
    }
    Ok(())
}

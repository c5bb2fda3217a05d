//! A Matroska block into tracks and frames. Sizes may be unknown, frames laced, headers stripped;
//! whatever else a track's contents were put through is refused by name.

use crate::base::limits;
use crate::container::Error;
use crate::container::build::{Builder, Found, nanoseconds};
use crate::container::bytes::Cursor;
use crate::container::codec::audio;
use crate::container::mkv::draft::{AUDIO, Draft, VIDEO};
use crate::container::mkv::ebml::{self, id};
use crate::container::mkv::lacing;
use crate::container::types::{Block, Part};

/// Nanoseconds of a millisecond, the unit of times where none is told.
const MILLISECOND: u64 = 1_000_000;

/// Reads a block that begins with an EBML header.
pub(crate) fn read(bytes: &[u8]) -> Result<Block, Error> {
    let mut cursor = Cursor::new(bytes);
    let mut reader = Reader::new(&cursor);
    let head = ebml::next(&mut cursor)?;
    if head.id != id::EBML {
        return Err(Error::bad(head.at, "this is no EBML header"));
    }
    doc_type(head.body)?;
    while !cursor.is_done() {
        let element = ebml::next(&mut cursor)?;
        match element.id {
            id::SEGMENT if element.sized => reader.segment(element.body)?,
            id::SEGMENT => {
                reader.segment(element.body)?;
                break;
            }
            _ => {}
        }
    }
    reader.builder.finish()
}

fn doc_type(mut head: Cursor<'_>) -> Result<(), Error> {
    while !head.is_done() {
        let element = ebml::next(&mut head)?;
        let name = trimmed(element.body.rest());
        if element.id == id::DOC_TYPE && name != b"matroska" && name != b"webm" {
            return Err(Error::bad(element.at, "the document type is neither matroska nor webm"));
        }
    }
    Ok(())
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end]
}

struct Reader<'a> {
    builder: Builder<'a>,
    scale_ns: u64,
    entries: Vec<Entry>,
    tracks_told: bool,
    parts: Vec<Part>,
}

/// A declared track, carried or not.
#[derive(Debug)]
struct Entry {
    number: u64,
    /// Its index among those that are carried.
    index: Option<u16>,
    /// What was stripped from the beginning of each of its frames.
    stripped: Option<Part>,
    delay_ns: u64,
    default_ns: Option<u64>,
}

impl<'a> Reader<'a> {
    fn new(cursor: &Cursor<'a>) -> Self {
        Self {
            builder: Builder::new(cursor, blur(MILLISECOND)),
            scale_ns: MILLISECOND,
            entries: Vec::new(),
            tracks_told: false,
            parts: Vec::new(),
        }
    }

    fn segment(&mut self, mut segment: Cursor<'a>) -> Result<(), Error> {
        while !segment.is_done() {
            let element = ebml::next(&mut segment)?;
            match element.id {
                id::INFO => self.info(element.body)?,
                id::TRACKS => self.tracks(element.body)?,
                id::CLUSTER if !self.tracks_told => {
                    return Err(Error::bad(element.at, "a Cluster stands before Tracks"));
                }
                id::CLUSTER => {
                    let mut body = element.body;
                    self.cluster(&mut body)?;
                    if !element.sized {
                        segment = segment.within(body.at()..segment.end());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn info(&mut self, mut info: Cursor<'a>) -> Result<(), Error> {
        while !info.is_done() {
            let element = ebml::next(&mut info)?;
            if element.id == id::TIMESTAMP_SCALE {
                self.scale_ns = ebml::unsigned(&element.body)?;
                if !(1..=1_000_000_000).contains(&self.scale_ns) {
                    return Err(Error::bad(element.at, "TimestampScale is 0 or above a second"));
                }
                self.builder.set_blur(blur(self.scale_ns));
            }
        }
        Ok(())
    }

    /// Takes the first picture in and every sound; the picture becomes the first track.
    fn tracks(&mut self, mut tracks: Cursor<'a>) -> Result<(), Error> {
        if core::mem::replace(&mut self.tracks_told, true) {
            return Err(tracks.bad("a second Tracks"));
        }
        let mut drafts = Vec::new();
        while !tracks.is_done() {
            let element = ebml::next(&mut tracks)?;
            if element.id == id::TRACK_ENTRY {
                if drafts.len() == limits::DECLARED_TRACKS_MAX {
                    let most = limits::DECLARED_TRACKS_MAX as u64;
                    return Err(Error::TooMany { at: element.at as u64, what: "tracks", most });
                }
                drafts.push(Draft::read(element)?);
            }
        }
        let picture = drafts.iter().position(|draft| draft.kind == VIDEO);
        let order = picture.into_iter().chain((0..drafts.len()).filter(|i| Some(*i) != picture));
        for at in order {
            let draft = &drafts[at];
            let carried = Some(at) == picture || draft.kind == AUDIO;
            let track = if carried { Some(draft.track()?) } else { None };
            let index = track.map(|track| self.builder.track(draft.at, track)).transpose()?;
            self.entries.push(Entry {
                number: draft.number,
                index,
                stripped: draft.stripped,
                delay_ns: draft.delay_ns,
                default_ns: draft.default_ns.filter(|ns| *ns > 0),
            });
        }
        Ok(())
    }

    /// Reads a Cluster. Where its size is unknown it ends before what cannot be inside, and that
    /// is where the cursor is left.
    fn cluster(&mut self, cluster: &mut Cursor<'a>) -> Result<(), Error> {
        let mut timestamp = 0;
        while !cluster.is_done() {
            let before = cluster.at();
            let element = ebml::next(cluster)?;
            match element.id {
                id::TIMESTAMP => timestamp = ebml::unsigned(&element.body)?,
                id::SIMPLE_BLOCK => self.block(element.body, timestamp, &Group::simple())?,
                id::BLOCK_GROUP => self.group(element.body, timestamp)?,
                id::CLUSTER
                | id::CUES
                | id::TAGS
                | id::CHAPTERS
                | id::ATTACHMENTS
                | id::SEEK_HEAD
                | id::INFO
                | id::TRACKS
                | id::SEGMENT
                | id::EBML => {
                    *cluster = cluster.within(before..cluster.end());
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn group(&mut self, mut group: Cursor<'a>, timestamp: u64) -> Result<(), Error> {
        let (mut block, mut told) = (None, Group { simple: false, key: true, lasts: 0 });
        while !group.is_done() {
            let element = ebml::next(&mut group)?;
            match element.id {
                id::BLOCK => block = Some(element.body),
                id::REFERENCE_BLOCK => told.key = false,
                id::BLOCK_DURATION => {
                    told.lasts = ebml::unsigned(&element.body)?.saturating_mul(self.scale_ns);
                }
                _ => {}
            }
        }
        block.map_or(Ok(()), |block| self.block(block, timestamp, &told))
    }

    /// A Block or `SimpleBlock` (RFC 9559, 10.1 and 10.2).
    fn block(&mut self, mut body: Cursor<'a>, time: u64, group: &Group) -> Result<(), Error> {
        let at = body.at();
        let (number, _) = ebml::vint(&mut body)?;
        let relative = body.array("a block's time").map(i16::from_be_bytes)?;
        let flags = body.u8("a block's flags")?;
        let Some(entry) = self.entries.iter().find(|entry| entry.number == number) else {
            return Err(Error::bad(at, "a frame of a track that Tracks does not name"));
        };
        let (Some(track), stripped) = (entry.index, entry.stripped) else { return Ok(()) };
        let units = i128::from(time) + i128::from(relative);
        let pts = units * i128::from(self.scale_ns) - i128::from(entry.delay_ns);
        let pts = i64::try_from(pts).ok().filter(|pts| pts.unsigned_abs() < 1 << 62);
        let pts = pts.ok_or(Error::bad(at, "a time beyond a hundred years"))?;
        let default_ns = entry.default_ns;
        let key = if group.simple { flags & 0x80 != 0 } else { group.key };
        let mut found = Found { track, key, pts, lasts: group.lasts, at };
        let lacing = flags >> 1 & 3;
        if lacing != 0 {
            found.lasts = 0;
        }
        let mut sizes = lacing::sizes(&mut body, lacing)?.into_iter();
        while !body.is_done() {
            let left = body.left() as u64;
            let range = body.take(sizes.next().unwrap_or(left), "a laced frame")?;
            let bytes = &body.block()[range.clone()];
            self.parts.clear();
            self.parts.extend(stripped);
            self.parts.push(Part::of(range.start, range.len()));
            self.builder.frame(found, &self.parts)?;
            if !body.is_done() {
                let track = &self.builder.tracks()[usize::from(track)];
                let samples = audio::samples(track, bytes).map(u64::from);
                let step = samples.map(|samples| nanoseconds(samples, track.rate()));
                found.pts = found.pts.saturating_add_unsigned(step.or(default_ns).unwrap_or(0));
            }
        }
        Ok(())
    }
}

/// What is told beside a block.
struct Group {
    simple: bool,
    key: bool,
    /// In nanoseconds; 0 where it is not told.
    lasts: u64,
}

impl Group {
    fn simple() -> Self {
        Self { simple: true, key: false, lasts: 0 }
    }
}

/// How far off two roundings to this unit may put a time.
fn blur(scale_ns: u64) -> i64 {
    i64::try_from(scale_ns).unwrap_or(i64::MAX / 4)
}

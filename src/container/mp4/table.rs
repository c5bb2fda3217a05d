//! Sample tables (ISO 14496-12, 8.6 and 8.7): where each frame of a plain block is, how long, when.
//! The tables stay in the block and are walked once, side by side.

use crate::container::Error;
use crate::container::build::{Builder, Found};
use crate::container::bytes::Cursor;
use crate::container::mp4::boxes::{Box, version};
use crate::container::mp4::read::Declared;
use crate::container::types::Part;

/// The tables of one track, each from its first entry on.
#[derive(Default, Debug)]
pub(super) struct Tables<'a> {
    /// `stsd`.
    pub(super) described: Option<Cursor<'a>>,
    /// `stts`: runs of count and duration.
    durations: Option<Cursor<'a>>,
    /// `ctts`: runs of count and offset.
    offsets: Option<Cursor<'a>>,
    /// `stsc`: first chunk, frames in each, description.
    chunking: Option<Cursor<'a>>,
    sizes: Option<Sizes<'a>>,
    chunks: Option<Chunks<'a>>,
    /// `stss`: numbers of key frames; without it all are.
    keys: Option<Cursor<'a>>,
}

/// `stsz` and `stz2`.
#[derive(Clone, Debug)]
struct Sizes<'a> {
    count: u32,
    /// One for all; 0 where each has its own.
    all: u32,
    /// Bits of each.
    width: u8,
    table: Cursor<'a>,
    /// The second of two sizes that share a byte.
    half: Option<u8>,
}

/// `stco` and `co64`.
#[derive(Clone, Debug)]
struct Chunks<'a> {
    wide: bool,
    table: Cursor<'a>,
}

impl<'a> Tables<'a> {
    /// Takes a table in; of two of a kind the second counts.
    pub(super) fn take(&mut self, found: Box<'a>) -> Result<(), Error> {
        let mut body = found.body;
        match &found.kind {
            b"stsd" => self.described = Some(body),
            b"stts" => self.durations = Some(counted(&mut body, 8)?),
            b"ctts" => self.offsets = Some(counted(&mut body, 8)?),
            b"stsc" => self.chunking = Some(counted(&mut body, 12)?),
            b"stss" => self.keys = Some(counted(&mut body, 4)?),
            b"stco" => self.chunks = Some(Chunks { wide: false, table: counted(&mut body, 4)? }),
            b"co64" => self.chunks = Some(Chunks { wide: true, table: counted(&mut body, 8)? }),
            b"stsz" => {
                version(&mut body)?;
                let (all, count) = (body.u32("an stsz box")?, body.u32("an stsz box")?);
                let bytes = if all == 0 { u64::from(count) * 4 } else { 0 };
                let table = body.part(bytes, "an stsz box")?;
                self.sizes = Some(Sizes { count, all, width: 32, table, half: None });
            }
            b"stz2" => {
                version(&mut body)?;
                let (width, count) = (body.u32("an stz2 box")?, body.u32("an stz2 box")?);
                let width = u8::try_from(width & 0xff).unwrap_or(0);
                if !matches!(width, 4 | 8 | 16) {
                    return Err(Error::bad(found.at, "sizes in an stz2 box have odd widths"));
                }
                let bytes = (u64::from(count) * u64::from(width)).div_ceil(8);
                let table = body.part(bytes, "an stz2 box")?;
                self.sizes = Some(Sizes { count, all: 0, width, table, half: None });
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the frames that the tables name.
    pub(super) fn frames(
        &self,
        builder: &mut Builder<'a>,
        track: &Declared<'_>,
    ) -> Result<(), Error> {
        let (Some(mut sizes), Some(mut chunks)) = (self.sizes.clone(), self.chunks.clone()) else {
            return Ok(());
        };
        let mut walk = Walk {
            durations: Runs::new(self.durations.clone()),
            offsets: Runs::new(self.offsets.clone()),
            keys: self.keys.clone(),
            next_key: None,
            number: 0,
            dts: 0,
        };
        let mut chunking = Chunking::new(self.chunking.clone());
        let mut left = sizes.count;
        while left > 0 && !chunks.table.is_done() {
            let at = chunks.table.at();
            let mut from = chunks.next()?;
            for _ in 0..chunking.next()?.min(left) {
                let size = sizes.next()?;
                let (found, part) = walk.next(track, at, (from, size))?;
                builder.frame(found, &[part.within(builder.bytes().len(), at)?])?;
                from = from.saturating_add(size.into());
                left -= 1;
            }
        }
        if left > 0 {
            return Err(chunks.table.bad("the tables name more frames than their chunks hold"));
        }
        Ok(())
    }
}

/// The entries of a table that begins with their number.
fn counted<'a>(body: &mut Cursor<'a>, each: u64) -> Result<Cursor<'a>, Error> {
    version(body)?;
    let count = body.u32("a table")?;
    body.part(u64::from(count) * each, "a table")
}

/// Bytes that a table says to be a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) from: u64,
    pub(super) len: u32,
}

impl Place {
    /// As a part of a block of so many bytes; `at` is where it is named.
    pub(super) fn within(self, block: usize, at: usize) -> Result<Part, Error> {
        let (from, len) = (usize::try_from(self.from), usize::try_from(self.len));
        let (Ok(from), Ok(len)) = (from, len) else {
            return Err(Error::bad(at, "a frame lies outside of the block"));
        };
        if from > block || len > block - from {
            return Err(Error::bad(at, "a frame lies outside of the block"));
        }
        Ok(Part::of(from, len))
    }
}

/// The tables that have one entry or one run for each frame.
struct Walk<'a> {
    durations: Runs<'a>,
    offsets: Runs<'a>,
    keys: Option<Cursor<'a>>,
    next_key: Option<u32>,
    number: u32,
    dts: u64,
}

impl Walk<'_> {
    fn next(
        &mut self,
        track: &Declared<'_>,
        at: usize,
        (from, len): (u64, u32),
    ) -> Result<(Found, Place), Error> {
        self.number += 1;
        let key = self.is_key()?;
        let lasts = self.durations.next()?.unwrap_or(0);
        let offset = self.offsets.next()?.unwrap_or(0).cast_signed();
        let pts = track.nanoseconds(i128::from(self.dts) + i128::from(offset));
        let pts = pts.ok_or(Error::bad(at, "a time beyond a hundred years"))?;
        self.dts += u64::from(lasts);
        let lasts = crate::container::build::nanoseconds(lasts.into(), track.ticks);
        Ok((Found { track: track.index, key, pts, lasts, at }, Place { from, len }))
    }

    fn is_key(&mut self) -> Result<bool, Error> {
        let Some(keys) = &mut self.keys else { return Ok(true) };
        while self.next_key.is_none_or(|key| key < self.number) && !keys.is_done() {
            self.next_key = Some(keys.u32("an stss box")?);
        }
        Ok(self.next_key == Some(self.number))
    }
}

/// A table of counts and values, one value for each frame.
struct Runs<'a> {
    table: Option<Cursor<'a>>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn new(table: Option<Cursor<'a>>) -> Self {
        Self { table, left: 0, value: 0 }
    }

    /// The value of the next frame; nothing where there is no table or it is over.
    fn next(&mut self) -> Result<Option<u32>, Error> {
        let Some(table) = &mut self.table else { return Ok(None) };
        while self.left == 0 {
            if table.is_done() {
                return Ok(None);
            }
            (self.left, self.value) = (table.u32("a run")?, table.u32("a run")?);
        }
        self.left -= 1;
        Ok(Some(self.value))
    }
}

/// How many frames each chunk has.
struct Chunking<'a> {
    table: Option<Cursor<'a>>,
    chunk: u32,
    frames: u32,
    /// The first chunk of the next run, and its frames.
    next: Option<(u32, u32)>,
}

impl<'a> Chunking<'a> {
    fn new(table: Option<Cursor<'a>>) -> Self {
        Self { table, chunk: 0, frames: 0, next: None }
    }

    fn next(&mut self) -> Result<u32, Error> {
        self.chunk = self.chunk.saturating_add(1);
        if self.next.is_none() {
            self.read()?;
        }
        while let Some((first, frames)) = self.next.filter(|(first, _)| *first <= self.chunk) {
            debug_assert!(first <= self.chunk, "filtered");
            self.frames = frames;
            self.next = None;
            self.read()?;
        }
        Ok(self.frames)
    }

    fn read(&mut self) -> Result<(), Error> {
        if let Some(table) = self.table.as_mut().filter(|table| !table.is_done()) {
            let (first, frames) = (table.u32("an stsc box")?, table.u32("an stsc box")?);
            table.take(4, "an stsc box")?;
            self.next = Some((first, frames));
        }
        Ok(())
    }
}

impl Sizes<'_> {
    fn next(&mut self) -> Result<u32, Error> {
        Ok(match self.width {
            _ if self.all > 0 => self.all,
            32 => self.table.u32("a size")?,
            16 => self.table.u16("a size")?.into(),
            8 => self.table.u8("a size")?.into(),
            _ => {
                if let Some(half) = self.half.take() {
                    return Ok(half.into());
                }
                let both = self.table.u8("a size")?;
                self.half = Some(both & 15);
                (both >> 4).into()
            }
        })
    }
}

impl Chunks<'_> {
    fn next(&mut self) -> Result<u64, Error> {
        if self.wide {
            self.table.u64("a chunk's place")
        } else {
            Ok(self.table.u32("a chunk's place")?.into())
        }
    }
}

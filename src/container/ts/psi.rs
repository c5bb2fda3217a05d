//! Tables (ISO 13818-1, 2.4.4): which programme there is, and which streams it has. Written for an
//! output, read from a block.

use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::ts::checksum;
use crate::container::types::{Block, Codec, Track};

/// Where tables are.
pub(super) const PAT_PID: u16 = 0;
pub(super) const PMT_PID: u16 = 0x1000;

/// The one programme.
const PROGRAM: u16 = 1;

/// Where a track's packets are: another place for another codec, since players do not expect a
/// place to change its codec.
pub(super) fn pid(block: &Block, track: usize) -> u16 {
    let codec = block.tracks[track].codec as u16;
    0x100 | u16::try_from(track).expect("few tracks") << 4 | codec
}

/// The section that names the programme.
pub(super) fn association() -> Vec<u8> {
    let [a, b] = PROGRAM.to_be_bytes();
    let [c, d] = PMT_PID.to_be_bytes();
    section(0, 1, 0, &[a, b, 0xe0 | c, d])
}

/// The section that names the streams; its version follows from the tracks.
pub(super) fn map(block: &Block) -> Vec<u8> {
    let [a, b] = pid(block, 0).to_be_bytes();
    let mut body = vec![0xe0 | a, b, 0xf0, 0];
    for (index, track) in block.tracks.iter().enumerate() {
        let [a, b] = pid(block, index).to_be_bytes();
        let about = descriptors(track);
        let length = u8::try_from(about.len()).expect("a few descriptors");
        body.extend([stream_type(track), 0xe0 | a, b, 0xf0, length]);
        body.extend(about);
    }
    let version = u8::try_from(block.signature().0 % 32).expect("5 bits");
    section(2, PROGRAM, version, &body)
}

fn section(table: u8, number: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [a, b] = number.to_be_bytes();
    let length = u8::try_from(9 + body.len()).expect("tables that are made here are short");
    let mut section = vec![table, 0xb0, length, a, b, 0xc1 | version << 1, 0, 0];
    section.extend(body);
    let sum = checksum(&section);
    section.extend(sum.to_be_bytes());
    section
}

fn stream_type(track: &Track) -> u8 {
    match track.codec {
        Codec::Mpeg2 => 0x02,
        Codec::H264 => 0x1b,
        Codec::Hevc => 0x24,
        Codec::Aac => 0x0f,
        Codec::Mp3 if track.rate() >= 32_000 => 0x03,
        Codec::Mp3 => 0x04,
        Codec::Ac3 => 0x81,
        Codec::Opus | Codec::Av1 | Codec::Vp9 | Codec::Vorbis | Codec::Flac => 0x06,
    }
}

fn descriptors(track: &Track) -> Vec<u8> {
    match track.codec {
        Codec::Ac3 => b"\x05\x04AC-3".to_vec(),
        Codec::Hevc => b"\x05\x04HEVC".to_vec(),
        Codec::Opus => {
            let channels = track.config.get(9).copied().unwrap_or(2);
            [&b"\x05\x04Opus\x7f\x02\x80"[..], &[channels]].concat()
        }
        _ => Vec::new(),
    }
}

/// A stream that a block's table names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Declared {
    /// Where its packets are.
    pub(super) pid: u16,
    /// Where it is named.
    pub(super) at: usize,
    pub(super) codec: Codec,
    /// Channels of Opus, which only the table tells.
    pub(super) channels: u8,
}

/// A section put together from packets: its bytes, and where the first of them stands.
pub(super) struct Section {
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
}

impl Section {
    /// Whether as many bytes are there as its head says.
    pub(super) fn is_whole(&self) -> bool {
        let length = |head: &[u8; 3]| usize::from(head[1] & 15) << 8 | usize::from(head[2]);
        self.bytes.first_chunk().is_some_and(|head| self.bytes.len() >= 3 + length(head))
    }

    /// Its contents between head and checksum, where it is a whole current section of this table.
    fn body(&self, table: u8) -> Result<Option<&[u8]>, Error> {
        let Some((head, _)) = self.bytes.split_at_checked(8) else { return Ok(None) };
        if head[0] != table || head[5] & 1 == 0 {
            return Ok(None);
        }
        let length = usize::from(head[1] & 15) << 8 | usize::from(head[2]);
        let Some(whole) = self.bytes.get(..3 + length).filter(|_| length >= 9) else {
            return Err(Error::bad(self.at, "a table's section is cut"));
        };
        if checksum(whole) != 0 {
            return Err(Error::bad(self.at, "a table's checksum is wrong"));
        }
        Ok(Some(&whole[8..whole.len() - 4]))
    }

    /// Where the first programme's streams are named.
    pub(super) fn program(&self) -> Result<Option<u16>, Error> {
        let body = self.body(0)?.unwrap_or_default();
        let mut programs = body.chunks_exact(4).filter(|entry| entry[..2] != [0, 0]);
        Ok(programs.next().map(|entry| u16::from_be_bytes([entry[2] & 0x1f, entry[3]])))
    }

    /// The streams that can be carried; nothing where this is no such table.
    pub(super) fn streams(&self) -> Result<Option<Vec<Declared>>, Error> {
        let Some(body) = self.body(2)? else { return Ok(None) };
        let cut = |_| Error::bad(self.at, "a table of streams is cut");
        let mut cursor = Cursor::new(body);
        cursor.take(2, "").map_err(cut)?;
        let about = cursor.u16("").map_err(cut)? & 0x0fff;
        cursor.take(about.into(), "").map_err(cut)?;
        let mut streams = Vec::new();
        while !cursor.is_done() {
            let kind = cursor.u8("").map_err(cut)?;
            let pid = cursor.u16("").map_err(cut)? & 0x1fff;
            let length = cursor.u16("").map_err(cut)? & 0x0fff;
            let about = cursor.slice(length.into(), "").map_err(cut)?;
            if let Some((codec, channels)) = self.codec(kind, about)? {
                streams.push(Declared { pid, at: self.at, codec, channels });
            }
        }
        Ok(Some(streams))
    }

    /// What a stream is (2.4.4.9, and the registrations); nothing where it is no picture or sound.
    fn codec(&self, kind: u8, about: &[u8]) -> Result<Option<(Codec, u8)>, Error> {
        let named = |name: &[u8]| descriptor(about, 5).is_some_and(|body| body.starts_with(name));
        let unknown = |name: &str| {
            let (at, name) = (self.at as u64, name.to_owned());
            Err(Error::Codec { at, kind: "the stream", name })
        };
        let codec = match kind {
            0x01 | 0x02 => Codec::Mpeg2,
            0x1b => Codec::H264,
            0x24 => Codec::Hevc,
            0x0f => Codec::Aac,
            0x03 | 0x04 => Codec::Mp3,
            0x81 => Codec::Ac3,
            0x06 if named(b"AC-3") || descriptor(about, 0x6a).is_some() => Codec::Ac3,
            0x06 if named(b"HEVC") => Codec::Hevc,
            0x06 if named(b"Opus") => {
                let channels = descriptor(about, 0x7f).filter(|body| body.first() == Some(&0x80));
                let channels = channels.and_then(|body| body.get(1)).copied();
                let Some(channels) = channels.filter(|count| (1..=8).contains(count)) else {
                    return unknown("Opus with channels mapped in a way of its own");
                };
                return Ok(Some((Codec::Opus, channels)));
            }
            0x10 => return unknown("MPEG-4 part 2"),
            0x11 => return unknown("AAC in LATM"),
            0x82 | 0x85 | 0x8a => return unknown("DTS"),
            0x83 => return unknown("TrueHD"),
            0x84 | 0x87 => return unknown("E-AC-3"),
            0x33 => return unknown("VVC"),
            0xea => return unknown("VC-1"),
            _ => return Ok(None),
        };
        Ok(Some((codec, 0)))
    }
}

/// The contents of the first descriptor with this tag.
fn descriptor(mut about: &[u8], tag: u8) -> Option<&[u8]> {
    loop {
        let (head, rest) = about.split_at_checked(2)?;
        let (body, rest) = rest.split_at_checked(head[1].into())?;
        if head[0] == tag {
            return Some(body);
        }
        about = rest;
    }
}

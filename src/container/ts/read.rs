//! A ts block into tracks and frames: the first programme's first picture and its sounds. Packets
//! have 188 bytes, or 192 with a time before each (Blu-ray).

use crate::base::limits;
use crate::container::Error;
use crate::container::build::Builder;
use crate::container::bytes::Cursor;
use crate::container::ts::es::Stream;
use crate::container::ts::psi::{self, Declared, Section};
use crate::container::ts::{HEADER_BYTES, PACKET_BYTES, SYNC, units};
use crate::container::types::Block;

/// Bytes before each packet of a Blu-ray stream.
const PREFIX_BYTES: usize = 4;

/// How far off the times of a block may be that was made from one with milliseconds.
const BLUR_NS: i64 = 1_000_000;

/// Whether a block begins like packets with a time before each.
pub(crate) fn has_prefixes(bytes: &[u8]) -> bool {
    let whole = PREFIX_BYTES + PACKET_BYTES;
    [0, whole, 2 * whole].iter().all(|at| bytes.get(at + PREFIX_BYTES) == Some(&SYNC))
}

/// Reads a block of packets.
pub(crate) fn read(bytes: &[u8]) -> Result<Block, Error> {
    let packets = Packets::new(bytes);
    let declared = declared(&packets, bytes.len())?;
    let picture = declared.iter().position(|stream| stream.codec.is_video());
    let sounds = (0..declared.len()).filter(|at| !declared[*at].codec.is_video());
    let mut builder = Builder::new(&Cursor::new(bytes), BLUR_NS);
    let mut zero = None;
    for at in picture.into_iter().chain(sounds) {
        let stream = Stream::read(&packets, &declared[at], &mut zero)?;
        if !stream.is_empty() {
            units::frames(&mut builder, &declared[at], &stream)?;
        }
    }
    builder.finish()
}

/// The streams of the first programme, from the first tables that name them.
fn declared(packets: &Packets<'_>, bytes: usize) -> Result<Vec<Declared>, Error> {
    let program = find(packets, psi::PAT_PID, Section::program)?
        .ok_or(Error::missing(bytes, "a table of programmes"))?;
    let mut streams = find(packets, program, Section::streams)?
        .ok_or(Error::missing(bytes, "a table of streams"))?;
    streams.truncate(limits::DECLARED_TRACKS_MAX);
    Ok(streams)
}

/// What the first section says that says anything.
fn find<T>(
    packets: &Packets<'_>,
    pid: u16,
    read: impl Fn(&Section) -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let mut open: Option<Section> = None;
    for packet in packets.clone() {
        let packet = packet?;
        if packet.pid != pid || packet.payload.is_empty() {
            continue;
        }
        let mut payload = packet.payload;
        if packet.start {
            let pointer = usize::from(payload[0]);
            let before = payload.get(1..1 + pointer);
            let (Some(before), Some(section)) = (before, payload.get(1 + pointer..)) else {
                return Err(Error::bad(packet.at, "a table begins beyond its packet"));
            };
            if let Some(whole) = &mut open {
                whole.bytes.extend_from_slice(before);
                if let Some(found) = whole.is_whole().then(|| read(whole)).transpose()?.flatten() {
                    return Ok(Some(found));
                }
            }
            open = Some(Section { at: packet.at, bytes: Vec::new() });
            payload = section;
        }
        if let Some(section) = &mut open {
            section.bytes.extend_from_slice(payload);
            if section.is_whole() {
                if let Some(found) = read(section)? {
                    return Ok(Some(found));
                }
                open = None;
            }
        }
    }
    Ok(None)
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Where it begins.
    pub(super) at: usize,
    pub(super) pid: u16,
    pub(super) start: bool,
    pub(super) counter: u8,
    /// Whether the counter may jump here.
    pub(super) jumps: bool,
    /// Where the payload begins.
    pub(super) from: usize,
    pub(super) payload: &'a [u8],
}

/// The packets of a block.
#[derive(Clone, Debug)]
pub(super) struct Packets<'a> {
    bytes: &'a [u8],
    at: usize,
    prefix: usize,
}

impl<'a> Packets<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let plain = [0, PACKET_BYTES].iter().all(|at| bytes.get(*at) == Some(&SYNC));
        let prefix = if !plain && has_prefixes(bytes) { PREFIX_BYTES } else { 0 };
        Self { bytes, at: 0, prefix }
    }

    pub(super) fn block(&self) -> &'a [u8] {
        self.bytes
    }

    /// The packet that begins here (2.4.3.2).
    fn packet(&self, at: usize) -> Result<Packet<'a>, Error> {
        let left = self.bytes.len() - at;
        let Some(whole) = self.bytes.get(at..at + PACKET_BYTES) else {
            let (at, left) = (at as u64, left as u64);
            return Err(Error::Cut { at, what: "a packet", wants: PACKET_BYTES as u64, left });
        };
        if whole[0] != SYNC {
            return Err(Error::bad(at, "a packet does not begin with 0x47"));
        }
        if whole[1] & 0x80 != 0 {
            return Err(Error::bad(at, "a packet says that it is damaged"));
        }
        let pid = u16::from_be_bytes([whole[1] & 0x1f, whole[2]]);
        let (field, payload) = (whole[3] & 0x20 != 0, whole[3] & 0x10 != 0);
        let length = if field { 1 + usize::from(whole[4]) } else { 0 };
        let jumps = length > 1 && whole[5] & 0x80 != 0;
        let from = HEADER_BYTES + length;
        let Some(rest) = whole.get(from..) else {
            return Err(Error::bad(at, "an adaptation field is longer than its packet"));
        };
        let payload = if payload { rest } else { &[] };
        if whole[3] & 0xc0 != 0 && !payload.is_empty() {
            return Err(Error::bad(at, "a packet is scrambled"));
        }
        let (start, counter) = (whole[1] & 0x40 != 0, whole[3] & 15);
        Ok(Packet { at, pid, start, counter, jumps, from: at + from, payload })
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at + self.prefix;
        if self.at >= self.bytes.len() {
            return None;
        }
        let packet = self.packet(at.min(self.bytes.len()));
        self.at = at + PACKET_BYTES;
        if packet.is_err() {
            self.at = self.bytes.len();
        }
        Some(packet)
    }
}

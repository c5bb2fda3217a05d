//! One elementary stream of a block: the payloads of its packets in one run, where each byte of it
//! stands in the block, and the times that its packets carry.

use crate::container::Error;
use crate::container::build::nanoseconds;
use crate::container::ts::psi::Declared;
use crate::container::ts::read::Packets;
use crate::container::ts::{PACKET_BYTES, TICKS, TIME_BITS};
use crate::container::types::Part;

/// An elementary stream.
#[derive(Debug)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// In both orders: by place in the stream and in the block.
    runs: Vec<Run>,
    marks: Vec<Mark>,
}

/// Bytes that stand beside each other in the stream and in the block.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u32,
    len: u32,
    /// Where they stand in the block.
    at: u32,
}

/// A time, and the byte of the stream from which on it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) from: usize,
    /// Nanoseconds from any origin that all streams of a block share.
    pub(super) pts: i64,
}

impl Stream {
    /// Collects a stream. `zero` is the first time of the block: times wrap around.
    pub(super) fn read(
        packets: &Packets<'_>,
        declared: &Declared,
        zero: &mut Option<u64>,
    ) -> Result<Self, Error> {
        let most = packets.block().len() / PACKET_BYTES + 1;
        let mut raw = Self {
            bytes: Vec::with_capacity(packets.block().len()),
            runs: Vec::with_capacity(most),
            marks: Vec::new(),
        };
        let mut starts = Vec::new();
        let mut counter: Option<u8> = None;
        for packet in packets.clone() {
            let packet = packet?;
            if packet.pid != declared.pid || packet.payload.is_empty() {
                continue;
            }
            if counter == Some(packet.counter) {
                // A packet may be sent twice.
                continue;
            }
            let jumps = counter.is_some_and(|before| (before + 1) & 15 != packet.counter);
            if jumps && !packet.jumps {
                return Err(Error::bad(packet.at, "packets are missing before this one"));
            }
            counter = Some(packet.counter);
            if packet.start {
                starts.push(raw.bytes.len());
            }
            if !starts.is_empty() {
                raw.run(packet.from, packet.payload.len());
                raw.bytes.extend_from_slice(packet.payload);
            }
        }
        raw.unpack(&starts, zero)
    }

    fn run(&mut self, at: usize, len: usize) {
        let short = |n: usize| u32::try_from(n).expect("a block has less than 4 GiB");
        let from = self.runs.last().map_or(0, |run| run.from + run.len);
        self.runs.push(Run { from, len: short(len), at: short(at) });
    }

    /// Takes the headers of its packets out (2.4.3.6). What stays moves towards the beginning.
    fn unpack(mut self, starts: &[usize], zero: &mut Option<u64>) -> Result<Self, Error> {
        let mut runs = Vec::with_capacity(self.runs.len());
        let mut until = 0;
        for (index, from) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(self.bytes.len());
            let at = self.place(*from);
            let header = header(&self.bytes[*from..end], at)?;
            let (from, end) = (from + header.bytes, header.end.map_or(end, |len| from + len));
            if let Some(time) = header.pts {
                let zero = *zero.get_or_insert(time);
                self.marks.push(Mark { from: until, pts: since(zero, time) });
            }
            self.parts(from, end - from, |part| {
                let (at, len) = part.range().map_or((0, 0), |range| (range.start, range.len()));
                let short = |n: usize| u32::try_from(n).expect("a block has less than 4 GiB");
                runs.push(Run { from: short(until), len: short(len), at: short(at) });
                until += len;
            });
            self.bytes.copy_within(from..end, until - (end - from));
        }
        self.bytes.truncate(until);
        self.runs = runs;
        Ok(self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() || self.marks.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In the order of the stream.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Where a byte of the stream stands in the block.
    pub(super) fn place(&self, at: usize) -> usize {
        let run = self.runs.partition_point(|run| run.from as usize <= at).saturating_sub(1);
        self.runs.get(run).map_or(0, |run| run.at as usize + at - run.from as usize)
    }

    /// Tells the parts of the block that these bytes are.
    pub(super) fn parts(&self, from: usize, len: usize, mut tell: impl FnMut(Part)) {
        let (mut at, end) = (from, from + len);
        let first = self.runs.partition_point(|run| run.from as usize <= at).saturating_sub(1);
        for run in &self.runs[first.min(self.runs.len())..] {
            let inside = at - (run.from as usize).min(at);
            let len = (run.len as usize - inside.min(run.len as usize)).min(end - at);
            if len > 0 {
                tell(Part::of(run.at as usize + inside, len));
            }
            at += len;
            if at == end {
                return;
            }
        }
    }
}

/// What the header of a packet of an elementary stream says.
struct Header {
    bytes: usize,
    /// Where its payload ends, from its first byte; nothing where that is not told.
    end: Option<usize>,
    pts: Option<u64>,
}

fn header(pes: &[u8], at: usize) -> Result<Header, Error> {
    let cut = Error::bad(at, "the header of an elementary stream's packet is cut");
    let Some(head) = pes.first_chunk::<9>() else { return Err(cut) };
    if head[..3] != [0, 0, 1] || head[6] & 0xc0 != 0x80 {
        return Err(Error::bad(at, "a packet of an elementary stream has no header"));
    }
    if head[6] & 0x30 != 0 {
        return Err(Error::bad(at, "a packet of an elementary stream is scrambled"));
    }
    let told = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let end = (told > 0).then_some(6 + told);
    let bytes = 9 + usize::from(head[8]);
    let long_enough = end.is_none_or(|end| bytes <= end && end <= pes.len());
    let (true, Some(fields)) = (long_enough, pes.get(9..bytes)) else { return Err(cut) };
    let pts = if head[7] & 0x80 == 0 { None } else { Some(fields.first_chunk().ok_or(cut)?) };
    Ok(Header { bytes, end, pts: pts.copied().map(stamp) })
}

fn stamp(bytes: [u8; 5]) -> u64 {
    let bits = bytes.map(u64::from);
    (bits[0] >> 1 & 7) << 30 | bits[1] << 22 | (bits[2] >> 1) << 15 | bits[3] << 7 | bits[4] >> 1
}

/// Nanoseconds from one time to another, which may lie before it: the nearer way around.
fn since(zero: u64, time: u64) -> i64 {
    let around = 1_u64 << TIME_BITS;
    let ahead = time.wrapping_sub(zero) & (around - 1);
    let nanos = |ticks: u64| i64::try_from(nanoseconds(ticks, TICKS)).unwrap_or(i64::MAX);
    if ahead < around / 2 { nanos(ahead) } else { -nanos(around - ahead) }
}

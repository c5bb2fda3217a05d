//! MPEG-2 transport stream (ISO 13818-1): it has no header with a duration, so the distance between
//! the first and the last time stamp has to do. It lacks the last frame's own duration; an index
//! knows better.

use core::time::Duration;

use super::{Pieces, scaled};

const PACKET: usize = 188;
/// Looked at from the start.
const FIRST_BYTES: usize = 80 * PACKET;
/// Looked at before the end.
const LAST_BYTES: usize = 256 * PACKET;
/// Time stamps count to this at 90 kHz, then begin again.
const WRAP: u64 = 1 << 33;
const PER_SECOND: u64 = 90_000;

/// What a time stamp was read from, the better one first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Video,
    Audio,
    Clock,
}

/// A time stamp in a packet.
struct Stamp {
    source: Source,
    pid: u16,
    ticks: u64,
}

pub(super) fn duration(pieces: &mut Pieces<'_>) -> Option<Duration> {
    let whole = pieces.len() / PACKET as u64 * PACKET as u64;
    let first = piece(pieces, 0, FIRST_BYTES)?;
    let last = piece(pieces, whole.saturating_sub(LAST_BYTES as u64), LAST_BYTES)?;
    [Source::Video, Source::Audio, Source::Clock]
        .into_iter()
        .find_map(|source| distance(&first, &last, source))
}

fn piece(pieces: &mut Pieces<'_>, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let count = pieces.some(at, &mut bytes)?;
    bytes.truncate(count);
    Some(bytes)
}

/// From the first stamp of a source to the last one on the same stream.
fn distance(first: &[u8], last: &[u8], source: Source) -> Option<Duration> {
    let start = stamps(first).find(|s| s.source == source)?;
    let ticks = stamps(last)
        .filter(|s| s.source == source && s.pid == start.pid)
        .map(|s| (s.ticks + WRAP - start.ticks) % WRAP)
        // Frames that are shown before the first one in the file come out just below the wrap.
        .filter(|ticks| *ticks < WRAP / 2)
        .max()?;
    scaled(ticks, PER_SECOND)
}

fn stamps(bytes: &[u8]) -> impl Iterator<Item = Stamp> {
    bytes.chunks_exact(PACKET).filter(|p| p[0] == 0x47).flat_map(|packet| {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        [presentation(packet, pid), clock(packet, pid)].into_iter().flatten()
    })
}

/// The PTS of a packet that begins a PES packet (2.4.3.7).
fn presentation(packet: &[u8], pid: u16) -> Option<Stamp> {
    let (begins, has_payload) = (packet[1] & 0x40 != 0, packet[3] & 0x10 != 0);
    let adaptation = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
    let pes = packet.get(4 + adaptation..).filter(|_| begins && has_payload)?;
    let source = match *pes.strip_prefix(&[0, 0, 1])?.first()? {
        0xe0..=0xef => Source::Video,
        0xc0..=0xdf | 0xbd => Source::Audio,
        _ => return None,
    };
    let has_pts = pes.get(7)? & 0x80 != 0;
    let bits = forty_bits(pes.get(9..14).filter(|_| has_pts)?);
    let ticks = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7fff) << 15 | bits >> 1 & 0x7fff;
    Some(Stamp { source, pid, ticks })
}

/// The clock reference in an adaptation field (2.4.3.5), its 90 kHz part.
fn clock(packet: &[u8], pid: u16) -> Option<Stamp> {
    let has_clock = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    let ticks = forty_bits(packet.get(6..11).filter(|_| has_clock)?) >> 7;
    Some(Stamp { source: Source::Clock, pid, ticks })
}

fn forty_bits(bytes: &[u8]) -> u64 {
    bytes.iter().take(5).fold(0, |bits, b| bits << 8 | u64::from(*b))
}

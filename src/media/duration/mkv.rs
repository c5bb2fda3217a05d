//! Matroska (RFC 9559): the Segment's Info has `TimestampScale` and `Duration`, which counts the
//! longest track; Tracks has how long each picture is shown.

use core::time::Duration;

use super::Pieces;
use crate::base::limits;
use crate::media::rates;

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_TYPE: u32 = 0x83;
const DEFAULT_DURATION: u32 = 0x23_e383;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
/// The scale where none is written: milliseconds.
const SCALE_DEFAULT: u64 = 1_000_000;

/// An element's head (RFC 8794, 4 to 6).
struct Element {
    id: u32,
    /// Bytes of the head itself.
    head: usize,
    /// Bytes after it; nothing when the size is unknown.
    size: Option<u64>,
}

pub(super) fn duration(pieces: &mut Pieces<'_>) -> Option<Duration> {
    let (ebml, at) = element(pieces, 0)?;
    let (segment, mut at) = element(pieces, at.checked_add(ebml.size?)?)?;
    if segment.id != SEGMENT {
        return None;
    }
    let (mut lasts, mut frame_ns) = (None, None);
    // Bounded by the reads that `pieces` has left.
    while lasts.is_none() || frame_ns.is_none() {
        let Some((child, body)) = element(pieces, at) else { break };
        let Some(size) = child.size.filter(|_| child.id != CLUSTER) else { break };
        match child.id {
            INFO => lasts = Some(info(pieces, body, size)?),
            TRACKS => frame_ns = picture(pieces, body, size),
            _ => {}
        }
        let Some(next) = body.checked_add(size) else { break };
        at = next;
    }
    let lasts = lasts?;
    Some(frame_ns.and_then(|ns| rates::whole_frames(lasts, ns)).unwrap_or(lasts))
}

/// How long each picture of the first track of pictures is shown, in nanoseconds.
fn picture(pieces: &mut Pieces<'_>, at: u64, size: u64) -> Option<u64> {
    let mut bytes = [0; limits::MKV_TRACKS_BYTES_MAX];
    let wanted = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
    let count = pieces.some(at, &mut bytes[..wanted])?;
    children(&bytes[..count]).filter(|(id, _)| *id == TRACK_ENTRY).find_map(|(_, entry)| {
        let value = |wanted: u32| {
            let found = children(entry).find(|(id, _)| *id == wanted);
            found.and_then(|(_, body)| unsigned(body))
        };
        value(DEFAULT_DURATION).filter(|_| value(TRACK_TYPE) == Some(1))
    })
}

/// The elements in these bytes, as far as they are there; the last one may be cut.
fn children(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let child = parse(rest)?;
        let size = usize::try_from(child.size?).ok()?;
        let end = child.head.checked_add(size)?.min(rest.len());
        let body = rest.get(child.head..end)?;
        rest = &rest[end..];
        Some((child.id, body))
    })
}

/// The element at an offset, and where its body begins.
fn element(pieces: &mut Pieces<'_>, at: u64) -> Option<(Element, u64)> {
    let mut head = [0; limits::MKV_HEAD_BYTES_MAX];
    let count = pieces.some(at, &mut head)?;
    let element = parse(&head[..count])?;
    let body = at.checked_add(element.head as u64)?;
    Some((element, body))
}

fn info(pieces: &mut Pieces<'_>, at: u64, size: u64) -> Option<Duration> {
    let mut bytes = [0; limits::MKV_INFO_BYTES_MAX];
    let wanted = usize::try_from(size).ok().filter(|s| *s <= limits::MKV_INFO_BYTES_MAX)?;
    let count = pieces.some(at, &mut bytes[..wanted])?;
    let (mut rest, mut scale, mut lasts) = (&bytes[..count], SCALE_DEFAULT, None);
    while !rest.is_empty() {
        let child = parse(rest)?;
        let end = child.head.checked_add(usize::try_from(child.size?).ok()?)?;
        let body = rest.get(child.head..end)?;
        match child.id {
            TIMESTAMP_SCALE => scale = unsigned(body)?,
            DURATION => lasts = float(body),
            _ => {}
        }
        rest = &rest[end..];
    }
    // Both are exact: a scale has far less than 2^32 nanoseconds, a float holds such products.
    let nanoseconds = lasts? * f64::from(u32::try_from(scale).ok()?);
    Duration::try_from_secs_f64(nanoseconds / 1e9).ok()
}

fn parse(bytes: &[u8]) -> Option<Element> {
    let (id, id_len) = id(bytes)?;
    let (size, size_len) = size(bytes.get(id_len..)?)?;
    Some(Element { id, head: id_len + size_len, size })
}

/// An identifier keeps its length marker.
fn id(bytes: &[u8]) -> Option<(u32, usize)> {
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let id = (len <= 4).then(|| bytes.get(..len))??;
    Some((id.iter().fold(0, |id, b| id << 8 | u32::from(*b)), len))
}

/// A size loses its length marker; all ones after it mean unknown.
fn size(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let len = bytes.first()?.leading_zeros() as usize + 1;
    let raw = unsigned((len <= 8).then(|| bytes.get(..len))??)?;
    let most = (1_u64 << (7 * len)) - 1;
    let size = raw & most;
    Some(((size != most).then_some(size), len))
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b, c, d] => Some(f32::from_be_bytes([a, b, c, d]).into()),
        _ => bytes.try_into().ok().map(f64::from_be_bytes),
    }
}

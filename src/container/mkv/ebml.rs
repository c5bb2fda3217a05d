//! EBML (RFC 8794): element heads and values, read and written. What the elements mean is in
//! `read.rs` and `write.rs`.

use crate::container::Error;
use crate::container::bytes::Cursor;

/// Identifiers (RFC 9559), with their marker bits.
pub(super) mod id {
    pub(crate) const EBML: u32 = 0x1a45_dfa3;
    pub(crate) const DOC_TYPE: u32 = 0x4282;
    pub(crate) const SEGMENT: u32 = 0x1853_8067;
    pub(crate) const INFO: u32 = 0x1549_a966;
    pub(crate) const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub(crate) const MUXING_APP: u32 = 0x4d80;
    pub(crate) const WRITING_APP: u32 = 0x5741;
    pub(crate) const TRACKS: u32 = 0x1654_ae6b;
    pub(crate) const TRACK_ENTRY: u32 = 0xae;
    pub(crate) const TRACK_NUMBER: u32 = 0xd7;
    pub(crate) const TRACK_UID: u32 = 0x73c5;
    pub(crate) const TRACK_TYPE: u32 = 0x83;
    pub(crate) const FLAG_LACING: u32 = 0x9c;
    pub(crate) const DEFAULT_DURATION: u32 = 0x23_e383;
    pub(crate) const CODEC_ID: u32 = 0x86;
    pub(crate) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(crate) const CODEC_DELAY: u32 = 0x56aa;
    pub(crate) const SEEK_PRE_ROLL: u32 = 0x56bb;
    pub(crate) const VIDEO: u32 = 0xe0;
    pub(crate) const PIXEL_WIDTH: u32 = 0xb0;
    pub(crate) const PIXEL_HEIGHT: u32 = 0xba;
    pub(crate) const AUDIO: u32 = 0xe1;
    pub(crate) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(crate) const CHANNELS: u32 = 0x9f;
    pub(crate) const CONTENT_ENCODINGS: u32 = 0x6d80;
    pub(crate) const CONTENT_ENCODING: u32 = 0x6240;
    pub(crate) const CONTENT_ENCODING_SCOPE: u32 = 0x5032;
    pub(crate) const CONTENT_COMPRESSION: u32 = 0x5034;
    pub(crate) const CONTENT_COMP_ALGO: u32 = 0x4254;
    pub(crate) const CONTENT_COMP_SETTINGS: u32 = 0x4255;
    pub(crate) const CONTENT_ENCRYPTION: u32 = 0x5035;
    pub(crate) const CLUSTER: u32 = 0x1f43_b675;
    pub(crate) const TIMESTAMP: u32 = 0xe7;
    pub(crate) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(crate) const BLOCK_GROUP: u32 = 0xa0;
    pub(crate) const BLOCK: u32 = 0xa1;
    pub(crate) const BLOCK_DURATION: u32 = 0x9b;
    pub(crate) const REFERENCE_BLOCK: u32 = 0xfb;
    pub(crate) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(crate) const CUES: u32 = 0x1c53_bb6b;
    pub(crate) const CHAPTERS: u32 = 0x1043_a770;
    pub(crate) const TAGS: u32 = 0x1254_c367;
    pub(crate) const ATTACHMENTS: u32 = 0x1941_a469;
}

/// The head of an element, and where its contents are.
pub(super) struct Element<'a> {
    pub(super) id: u32,
    /// Where its head begins.
    pub(super) at: usize,
    pub(super) body: Cursor<'a>,
    /// Whether its size is told; if not, its body reaches to the end of what holds it.
    pub(super) sized: bool,
}

/// The next element; the cursor goes behind it, or behind its head where its size is unknown.
pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Element<'a>, Error> {
    let at = cursor.at();
    let id = element_id(cursor)?;
    let size = size(cursor)?;
    let sized = size.is_some();
    let body = match size {
        Some(size) => cursor.part(size, name(id))?,
        None if matches!(id, id::SEGMENT | id::CLUSTER) => cursor.within(cursor.at()..cursor.end()),
        None => return Err(Error::bad(at, "only a Segment or a Cluster may have no size")),
    };
    Ok(Element { id, at, body, sized })
}

fn name(id: u32) -> &'static str {
    match id {
        id::EBML => "the EBML header",
        id::SEGMENT => "a Segment",
        id::INFO => "Info",
        id::TRACKS => "Tracks",
        id::TRACK_ENTRY => "a TrackEntry",
        id::CODEC_PRIVATE => "a CodecPrivate",
        id::CLUSTER => "a Cluster",
        id::SIMPLE_BLOCK => "a SimpleBlock",
        id::BLOCK_GROUP => "a BlockGroup",
        id::BLOCK => "a Block",
        _ => "an element",
    }
}

fn element_id(cursor: &mut Cursor<'_>) -> Result<u32, Error> {
    let at = cursor.at();
    let first = cursor.u8("an element's identifier")?;
    let more = first.leading_zeros();
    if more > 3 {
        return Err(Error::bad(at, "an element's identifier is longer than 4 bytes"));
    }
    let rest = cursor.slice(u64::from(more), "an element's identifier")?;
    Ok(rest.iter().fold(u32::from(first), |id, byte| id << 8 | u32::from(*byte)))
}

/// A size; nothing where all its bits are set: unknown.
fn size(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Error> {
    let (value, width) = vint(cursor)?;
    Ok((value != (1 << (7 * width)) - 1).then_some(value))
}

/// A number of variable length without its marker, and its bytes.
pub(super) fn vint(cursor: &mut Cursor<'_>) -> Result<(u64, u32), Error> {
    let at = cursor.at();
    let first = cursor.u8("a number")?;
    let more = first.leading_zeros();
    if more > 7 {
        return Err(Error::bad(at, "a number is longer than 8 bytes"));
    }
    let rest = cursor.slice(u64::from(more), "a number")?;
    let head = u64::from(first) & ((1 << (7 - more)) - 1);
    Ok((rest.iter().fold(head, |value, byte| value << 8 | u64::from(*byte)), more + 1))
}

/// The body as an unsigned number.
pub(super) fn unsigned(body: &Cursor<'_>) -> Result<u64, Error> {
    let bytes = body.rest();
    if bytes.len() > 8 {
        return Err(body.bad("a number is longer than 8 bytes"));
    }
    Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The body as a floating point number.
pub(super) fn float(body: &Cursor<'_>) -> Result<f64, Error> {
    let mut bytes = body.clone();
    match bytes.left() {
        0 => Ok(0.0),
        4 => Ok(f32::from_be_bytes(bytes.array("a number")?).into()),
        8 => Ok(f64::from_be_bytes(bytes.array("a number")?)),
        _ => Err(body.bad("a floating point number has neither 4 nor 8 bytes")),
    }
}

/// Appends an element with these contents.
pub(super) fn put(into: &mut Vec<u8>, id: u32, body: &[u8]) {
    put_head(into, id, body.len() as u64);
    into.extend_from_slice(body);
}

/// Appends an element that is an unsigned number, as short as it can be.
pub(super) fn put_unsigned(into: &mut Vec<u8>, id: u32, value: u64) {
    let zeros = (value.leading_zeros() / 8).min(7) as usize;
    put(into, id, &value.to_be_bytes()[zeros..]);
}

/// Appends an element's head.
pub(super) fn put_head(into: &mut Vec<u8>, id: u32, size: u64) {
    put_id(into, id);
    put_vint(into, size);
}

pub(super) fn put_id(into: &mut Vec<u8>, id: u32) {
    let zeros = (id.leading_zeros() / 8) as usize;
    into.extend_from_slice(&id.to_be_bytes()[zeros..]);
}

/// Appends a number of variable length, as short as it can be without meaning "unknown".
pub(super) fn put_vint(into: &mut Vec<u8>, value: u64) {
    let width = (1..8).find(|width| value < (1 << (7 * width)) - 1).unwrap_or(8);
    let marked = value | 1 << (7 * width);
    into.extend_from_slice(&marked.to_be_bytes()[8 - width..]);
}

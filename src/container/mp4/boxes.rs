//! Boxes read and written (ISO 14496-12, 4.2).

use crate::container::Error;
use crate::container::bytes::Cursor;

/// A box that was read.
pub(super) struct Box<'a> {
    pub(super) kind: [u8; 4],
    /// Where its head begins.
    pub(super) at: usize,
    pub(super) body: Cursor<'a>,
}

/// The next box; the cursor goes behind it.
pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Box<'a>, Error> {
    let at = cursor.at();
    let short = cursor.u32("the head of a box")?;
    let kind = cursor.array("the head of a box")?;
    let size = match short {
        0 => (cursor.end() - at) as u64,
        1 => cursor.u64("the head of a box")?,
        _ => u64::from(short),
    };
    let Some(left) = size.checked_sub((cursor.at() - at) as u64) else {
        return Err(Error::bad(at, "a box is shorter than its head"));
    };
    let body = cursor.part(left, name(kind))?;
    Ok(Box { kind, at, body })
}

fn name(kind: [u8; 4]) -> &'static str {
    match &kind {
        b"moov" => "a moov box",
        b"moof" => "a moof box",
        b"mdat" => "an mdat box",
        b"trak" => "a trak box",
        b"traf" => "a traf box",
        b"trun" => "a trun box",
        b"stbl" => "an stbl box",
        b"stsd" => "an stsd box",
        _ => "a box",
    }
}

/// Goes behind version and flags, and tells them.
pub(super) fn version(body: &mut Cursor<'_>) -> Result<(u8, u32), Error> {
    let both = body.u32("version and flags of a box")?;
    Ok((body.block()[body.at() - 4], both & 0xff_ffff))
}

/// Does this for each box inside.
pub(super) fn each<'a>(
    mut body: Cursor<'a>,
    mut take: impl FnMut(Box<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    while !body.is_done() {
        take(next(&mut body)?)?;
    }
    Ok(())
}

/// Appends a box whose contents `fill` appends.
pub(super) fn put(into: &mut Vec<u8>, kind: [u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let from = into.len();
    into.extend([0; 4]);
    into.extend(kind);
    fill(into);
    let size = u32::try_from(into.len() - from).expect("boxes that are made here are small");
    into[from..from + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with version and flags.
pub(super) fn put_full(
    into: &mut Vec<u8>,
    kind: [u8; 4],
    (version, flags): (u8, u32),
    fill: impl FnOnce(&mut Vec<u8>),
) {
    put(into, kind, |into| {
        put_u32(into, u32::from(version) << 24 | flags);
        fill(into);
    });
}

pub(super) fn put_u16(into: &mut Vec<u8>, value: u16) {
    into.extend(value.to_be_bytes());
}

pub(super) fn put_u32(into: &mut Vec<u8>, value: u32) {
    into.extend(value.to_be_bytes());
}

/// Appends numbers of 32 bits.
pub(super) fn put_all(into: &mut Vec<u8>, values: &[u32]) {
    into.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}

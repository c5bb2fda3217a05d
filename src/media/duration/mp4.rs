//! ISO base media (ISO 14496-12): the media header of the picture's track, else the movie header
//! `mvhd`, which counts the longest track, or `mehd` where that has no duration.

use core::time::Duration;

use super::{Pieces, scaled};

/// A box between two offsets of the file.
#[derive(Clone, Copy)]
struct Region {
    from: u64,
    to: u64,
}

pub(super) fn duration(pieces: &mut Pieces<'_>) -> Option<Duration> {
    let file = Region { from: 0, to: pieces.len() };
    let moov = find(pieces, file, *b"moov")?;
    let mvhd = find(pieces, moov, *b"mvhd")?;
    let (timescale, lasts) = mvhd_values(pieces, mvhd.from)?;
    if let Some(picture) = lasts.and_then(|_| picture(pieces, moov)) {
        return Some(picture);
    }
    match lasts {
        Some(lasts) => scaled(lasts, timescale),
        // Fragmented: the header's own duration is of the movie without its fragments.
        None => scaled(mehd(pieces, moov)?, timescale),
    }
}

/// How long the first track of pictures lasts by its own header (8.4.2, laid out as `mvhd`).
fn picture(pieces: &mut Pieces<'_>, moov: Region) -> Option<Duration> {
    let mut rest = moov;
    loop {
        let trak = find(pieces, rest, *b"trak")?;
        rest.from = trak.to;
        let Some(mdia) = find(pieces, trak, *b"mdia") else { continue };
        let Some(handler) = find(pieces, mdia, *b"hdlr") else { continue };
        if pieces.all(handler.from.checked_add(8)?)? != *b"vide" {
            continue;
        }
        let mdhd = find(pieces, mdia, *b"mdhd")?;
        let (timescale, lasts) = mvhd_values(pieces, mdhd.from)?;
        return scaled(lasts?, timescale);
    }
}

/// The body of the first box of this kind in a region. Bounded by the reads that are left.
fn find(pieces: &mut Pieces<'_>, within: Region, kind: [u8; 4]) -> Option<Region> {
    let mut at = within.from;
    while at < within.to {
        let (found, body, to) = head(pieces, at, within.to)?;
        if found == kind {
            return Some(Region { from: body, to });
        }
        at = to;
    }
    None
}

/// A box's kind, where its body begins and where it ends (4.2).
fn head(pieces: &mut Pieces<'_>, at: u64, end: u64) -> Option<([u8; 4], u64, u64)> {
    let [a, b, c, d, kind @ ..]: [u8; 8] = pieces.all(at)?;
    let (size, len) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (end.checked_sub(at)?, 8),
        1 => (u64::from_be_bytes(pieces.all(at.checked_add(8)?)?), 16),
        size => (u64::from(size), 8),
    };
    let to = at.checked_add(size)?;
    (size >= len && to <= end).then_some((kind, at + len, to))
}

/// Timescale and duration of a movie header (8.2.2), the latter where it says one.
fn mvhd_values(pieces: &mut Pieces<'_>, at: u64) -> Option<(u64, Option<u64>)> {
    let body: [u8; 32] = pieces.all(at)?;
    let (timescale, lasts, unknown) = if body[0] == 0 {
        (word(&body, 12)?, word(&body, 16)?, u64::from(u32::MAX))
    } else {
        (word(&body, 20)?, word(&body, 24)? << 32 | word(&body, 28)?, u64::MAX)
    };
    let lasts = (lasts != 0 && lasts != unknown).then_some(lasts);
    (timescale > 0).then_some((timescale, lasts))
}

/// The fragment duration of `mvex/mehd` (8.8.2).
fn mehd(pieces: &mut Pieces<'_>, moov: Region) -> Option<u64> {
    let mvex = find(pieces, moov, *b"mvex")?;
    let mehd = find(pieces, mvex, *b"mehd")?;
    let short: [u8; 8] = pieces.all(mehd.from)?;
    if short[0] == 0 {
        return word(&short, 4);
    }
    Some(u64::from_be_bytes(pieces.all(mehd.from.checked_add(4)?)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u64::from(u32::from_be_bytes(word)))
}

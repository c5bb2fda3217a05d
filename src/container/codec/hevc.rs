//! HEVC: parameter sets and the record `hvcC` (ISO 14496-15, 8.3.3) that holds them.

use crate::container::bytes::{Bits, unescaped};
use crate::container::codec::h264::Picture;

/// Unit types (ISO 23008-2, table 7-1).
pub(crate) const VPS: u8 = 32;
pub(crate) const SPS: u8 = 33;
pub(crate) const PPS: u8 = 34;
pub(crate) const DELIMITER: u8 = 35;

/// An access unit delimiter of any slice types, with its start code.
pub(crate) const DELIMITER_UNIT: [u8; 7] = [0, 0, 0, 1, DELIMITER << 1, 1, 0x50];

pub(crate) fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte >> 1 & 63)
}

/// Whether a unit is part of a picture at which decoding can start.
pub(crate) fn is_key(kind: u8) -> bool {
    (16..=23).contains(&kind)
}

/// What `hvcC` repeats of a sequence parameter set.
struct Sequence {
    picture: Picture,
    /// `general_profile_space` to `general_level_idc`.
    profile: [u8; 12],
    chroma: u8,
    luma_depth: u8,
    chroma_depth: u8,
    layers: u8,
    nested: bool,
}

/// Reads a sequence parameter set, its unit header included.
pub(crate) fn picture(sps: &[u8]) -> Option<Picture> {
    sequence(sps).map(|sequence| sequence.picture)
}

fn sequence(sps: &[u8]) -> Option<Sequence> {
    let plain = unescaped(sps.get(2..)?);
    let profile = *plain.get(1..)?.first_chunk::<12>()?;
    let mut bits = Bits::new(&plain);
    bits.take(4)?;
    let layers = u8::try_from(bits.take(3)?).ok()?;
    let nested = bits.bit()?;
    bits.skip(96)?;
    sub_layers(&mut bits, layers)?;
    bits.exp_golomb()?;
    let chroma = u8::try_from(bits.exp_golomb()?).ok().filter(|chroma| *chroma <= 3)?;
    let separate = chroma == 3 && bits.bit()?;
    let (columns, lines) = (bits.exp_golomb()?, bits.exp_golomb()?);
    let (mut cut_x, mut cut_y) = (0, 0);
    if bits.bit()? {
        let chroma = if separate { 0 } else { chroma };
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 };
        cut_x = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_x)?;
        cut_y = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_y)?;
    }
    let mut depth = || u8::try_from(bits.exp_golomb()?).ok().filter(|depth| *depth <= 8);
    let (luma_depth, chroma_depth) = (depth()?, depth()?);
    bits.exp_golomb()?;
    let all = bits.bit()?;
    let mut reorder = 0;
    for _ in 0..if all { layers + 1 } else { 1 } {
        bits.exp_golomb()?;
        reorder = bits.exp_golomb()?;
        bits.exp_golomb()?;
    }
    let picture = Picture {
        width: u16::try_from(columns.checked_sub(cut_x)?).ok()?,
        height: u16::try_from(lines.checked_sub(cut_y)?).ok()?,
        reorder: u8::try_from(reorder).ok().filter(|frames| *frames <= 16)?,
    };
    Some(Sequence { picture, profile, chroma, luma_depth, chroma_depth, layers, nested })
}

/// Goes behind the profiles and levels of sub-layers (7.3.3).
fn sub_layers(bits: &mut Bits<'_>, layers: u8) -> Option<()> {
    let mut there = Vec::new();
    for _ in 0..layers {
        there.push((bits.bit()?, bits.bit()?));
    }
    if layers > 0 {
        bits.skip(2 * usize::from(8_u8.checked_sub(layers)?))?;
    }
    for (profile, level) in there {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(())
}

/// The fields of an `hvcC` that matter: the length of prefixes, and the sets in their order.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) prefix: usize,
    pub(crate) sets: Vec<&'a [u8]>,
}

/// Takes an `hvcC` apart; nothing where it is malformed or holds no sequence parameter set.
pub(crate) fn config(record: &[u8]) -> Option<Config<'_>> {
    let (head, mut rest) = record.split_at_checked(23)?;
    let prefix = usize::from(head[21] & 3) + 1;
    let mut sets = Vec::new();
    for _ in 0..head[22] {
        let (array, after) = rest.split_at_checked(3)?;
        rest = after;
        for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
            sets.push(set(&mut rest)?);
        }
    }
    let sound = head[0] <= 1 && prefix != 3 && sets.iter().any(|set| kind(set) == SPS);
    sound.then_some(Config { prefix, sets })
}

/// A unit behind its length of two bytes.
pub(crate) fn set<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<2>()?;
    let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    *rest = after;
    Some(set)
}

/// The `hvcC` of these sets, prefixes of 4 bytes.
pub(crate) fn record(vps: &[u8], sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let read = sequence(sps)?;
    let mut record = vec![1];
    record.extend(read.profile);
    record.extend([0xf0, 0, 0xfc, 0xfc | read.chroma]);
    record.extend([0xf8 | read.luma_depth, 0xf8 | read.chroma_depth, 0, 0]);
    record.push((read.layers + 1) << 3 | u8::from(read.nested) << 2 | 3);
    record.push(3);
    for set in [vps, sps, pps] {
        record.extend([0x80 | kind(set), 0, 1]);
        record.extend(u16::try_from(set.len()).ok()?.to_be_bytes());
        record.extend(set);
    }
    Some(record)
}

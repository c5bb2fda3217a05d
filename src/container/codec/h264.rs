//! H.264: parameter sets and the record `avcC` (ISO 14496-15, 5.3.3) that holds them.

use crate::container::bytes::{Bits, unescaped};

/// Unit types (ISO 14496-10, table 7-1).
pub(crate) const IDR: u8 = 5;
pub(crate) const SPS: u8 = 7;
pub(crate) const PPS: u8 = 8;
pub(crate) const DELIMITER: u8 = 9;

/// An access unit delimiter of any slice types, with its start code.
pub(crate) const DELIMITER_UNIT: [u8; 6] = [0, 0, 0, 1, DELIMITER, 0xf0];

pub(crate) fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 31)
}

/// What a sequence parameter set says of the picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Picture {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) reorder: u8,
}

/// Profiles whose sets say how colour is sampled (7.3.2.1.1).
const HIGH: [u32; 12] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134];

/// Reads a sequence parameter set, its unit header included.
pub(crate) fn picture(sps: &[u8]) -> Option<Picture> {
    let plain = unescaped(sps.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.take(8)?;
    let constraints = bits.take(8)?;
    bits.take(8)?;
    bits.exp_golomb()?;
    let (mut chroma, mut separate) = (1, false);
    if HIGH.contains(&profile) {
        (chroma, separate) = sampling(&mut bits)?;
    }
    bits.exp_golomb()?;
    order_count(&mut bits)?;
    bits.exp_golomb()?;
    bits.bit()?;
    let columns = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let lines = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let frames_only = bits.bit()?;
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let chroma = if separate { 0 } else { chroma };
    let (unit_x, unit_y) =
        (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
    let (mut cut_x, mut cut_y) = (0, 0);
    if bits.bit()? {
        cut_x = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_x)?;
        cut_y = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_y * fields)?;
    }
    let told = bits.bit().unwrap_or(false).then(|| told_reorder(&mut bits)).flatten();
    let never =
        profile == 66 || (constraints & 0x10 != 0 && matches!(profile, 44 | 100 | 110 | 122 | 244));
    Some(Picture {
        width: u16::try_from(columns.checked_sub(cut_x)?).ok()?,
        height: u16::try_from(lines.checked_mul(fields)?.checked_sub(cut_y)?).ok()?,
        reorder: told.unwrap_or(if never { 0 } else { 2 }),
    })
}

/// `chroma_format_idc` and `separate_colour_plane_flag`, and on behind the scaling lists.
fn sampling(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    let chroma = bits.exp_golomb()?;
    let separate = chroma == 3 && bits.bit()?;
    bits.exp_golomb()?;
    bits.exp_golomb()?;
    bits.bit()?;
    if bits.bit()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.bit()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((chroma, separate))
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.exp_golomb()?);
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.exp_golomb()? {
        0 => drop(bits.exp_golomb()?),
        1 => {
            bits.bit()?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            let cycle = bits.exp_golomb()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// `max_num_reorder_frames`, where the set says it (annex E).
fn told_reorder(bits: &mut Bits<'_>) -> Option<u8> {
    if bits.bit()? && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.take(4)?;
        if bits.bit()? {
            bits.take(24)?;
        }
    }
    if bits.bit()? {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
    }
    if bits.bit()? {
        bits.skip(65)?;
    }
    let (nal, vcl) = (bits.bit()?.then(|| buffering(bits)), bits.bit()?.then(|| buffering(bits)));
    if nal.flatten().is_some() || vcl.flatten().is_some() {
        bits.bit()?;
    }
    bits.bit()?;
    if !bits.bit()? {
        return None;
    }
    bits.bit()?;
    for _ in 0..4 {
        bits.exp_golomb()?;
    }
    u8::try_from(bits.exp_golomb()?).ok().filter(|frames| *frames <= 16)
}

fn buffering(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.exp_golomb()?;
    bits.take(8)?;
    for _ in 0..=count.min(31) {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.bit()?;
    }
    bits.take(20).map(drop)
}

/// The fields of an `avcC` that matter: the length of prefixes, and the sets.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) prefix: usize,
    pub(crate) sps: Vec<&'a [u8]>,
    pub(crate) pps: Vec<&'a [u8]>,
}

/// Takes an `avcC` apart; nothing where it is malformed or holds no set.
pub(crate) fn config(record: &[u8]) -> Option<Config<'_>> {
    let (head, mut rest) = record.split_at_checked(5)?;
    let (version, prefix) = (head[0], usize::from(head[4] & 3) + 1);
    let (count, after) = rest.split_first()?;
    rest = after;
    let sps = sets(&mut rest, count & 31)?;
    let (count, after) = rest.split_first()?;
    rest = after;
    let pps = sets(&mut rest, *count)?;
    let sound = version == 1 && prefix != 3 && !sps.is_empty();
    sound.then_some(Config { prefix, sps, pps })
}

fn sets<'a>(rest: &mut &'a [u8], count: u8) -> Option<Vec<&'a [u8]>> {
    (0..count).map(|_| crate::container::codec::hevc::set(rest)).collect()
}

/// The `avcC` of these sets, prefixes of 4 bytes.
pub(crate) fn record(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let [_, profile, compatible, level, ..] = *sps else { return None };
    let mut record = vec![1, profile, compatible, level, 0xff, 0xe1];
    record.extend(u16::try_from(sps.len()).ok()?.to_be_bytes());
    record.extend(sps);
    record.push(1);
    record.extend(u16::try_from(pps.len()).ok()?.to_be_bytes());
    record.extend(pps);
    if HIGH.contains(&u32::from(profile)) {
        record.extend(depths(sps)?);
    }
    Some(record)
}

/// What `avcC` adds for high profiles: colour sampling, depths, no extension sets.
fn depths(sps: &[u8]) -> Option<[u8; 4]> {
    let plain = unescaped(sps.get(4..)?);
    let mut bits = Bits::new(&plain);
    bits.exp_golomb()?;
    let chroma = u8::try_from(bits.exp_golomb()?).ok().filter(|chroma| *chroma <= 3)?;
    if chroma == 3 {
        bits.bit()?;
    }
    let mut depth = || u8::try_from(bits.exp_golomb()?).ok().filter(|depth| *depth <= 6);
    Some([0xfc | chroma, 0xf8 | depth()?, 0xf8 | depth()?, 0])
}

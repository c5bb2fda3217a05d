//! The init segment: what stands before the first fragment, the same for all blocks of one
//! signature; and what the tracks are called in playlists.

use core::fmt::Write;

use crate::container::codec::hevc;
use crate::container::mp4::boxes::{put, put_all, put_full, put_u16, put_u32};
use crate::container::output::{Output, WhyNot};
use crate::container::types::{Block, Codec, Shape, Track};

/// Ticks a second of a picture's times.
pub(super) const VIDEO_TICKS: u32 = 90_000;

/// The unity matrix of `mvhd` and `tkhd`.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// What stands before the first fragment: `ftyp` and `moov`.
///
/// # Errors
/// Why fMP4 cannot carry one of the tracks.
pub fn init(block: &Block) -> Result<Vec<u8>, WhyNot> {
    Output::Mp4.takes(block)?;
    let mut file = Vec::new();
    let next_id = (1..).zip(&block.tracks).map(|(id, _)| id).last().unwrap_or(0) + 1;
    put(&mut file, *b"ftyp", |b| b.extend(b"iso6\0\0\0\0iso6cmfcmp41"));
    put(&mut file, *b"moov", |movie| {
        put_full(movie, *b"mvhd", (0, 0), |b| {
            put_all(b, &[0, 0, 1000, 0, 0x1_0000, 0x0100_0000, 0, 0]);
            put_all(b, &MATRIX);
            put_all(b, &[0, 0, 0, 0, 0, 0]);
            put_u32(b, next_id);
        });
        for (id, track) in (1..).zip(&block.tracks) {
            put(movie, *b"trak", |b| trak(b, id, track));
        }
        put(movie, *b"mvex", |extends| {
            for (id, _) in (1..).zip(&block.tracks) {
                put_full(extends, *b"trex", (0, 0), |b| put_all(b, &[id, 1, 0, 0, 0]));
            }
        });
    });
    Ok(file)
}

/// Ticks a second of a track.
pub(super) fn ticks(track: &Track) -> u32 {
    match track.shape {
        Shape::Video { .. } => VIDEO_TICKS,
        Shape::Audio { rate, .. } => rate,
    }
}

fn trak(into: &mut Vec<u8>, id: u32, track: &Track) {
    let (width, height) = match track.shape {
        Shape::Video { width, height } => (width, height),
        Shape::Audio { .. } => (0, 0),
    };
    let video = track.codec.is_video();
    put_full(into, *b"tkhd", (0, 3), |b| {
        put_all(b, &[0, 0, id, 0, 0, 0, 0, 0, if video { 0 } else { 0x0100_0000 }]);
        put_all(b, &MATRIX);
        put_all(b, &[u32::from(width) << 16, u32::from(height) << 16]);
    });
    put(into, *b"mdia", |media| {
        put_full(media, *b"mdhd", (0, 0), |b| put_all(b, &[0, 0, ticks(track), 0, 0x55c4_0000]));
        put_full(media, *b"hdlr", (0, 0), |b| {
            put_u32(b, 0);
            b.extend(if video { b"vide" } else { b"soun" });
            put_all(b, &[0, 0, 0]);
            b.push(0);
        });
        put(media, *b"minf", |b| minf(b, id, track));
    });
}

fn minf(minf: &mut Vec<u8>, id: u32, track: &Track) {
    if track.codec.is_video() {
        put_full(minf, *b"vmhd", (0, 1), |b| put_all(b, &[0, 0]));
    } else {
        put_full(minf, *b"smhd", (0, 0), |b| put_u32(b, 0));
    }
    put(minf, *b"dinf", |dinf| {
        put_full(dinf, *b"dref", (0, 0), |dref| {
            put_u32(dref, 1);
            put_full(dref, *b"url ", (0, 1), |_| {});
        });
    });
    put(minf, *b"stbl", |stbl| {
        put_full(stbl, *b"stsd", (0, 0), |stsd| {
            put_u32(stsd, 1);
            entry(stsd, id, track);
        });
        put_full(stbl, *b"stts", (0, 0), |b| put_u32(b, 0));
        put_full(stbl, *b"stsc", (0, 0), |b| put_u32(b, 0));
        put_full(stbl, *b"stsz", (0, 0), |b| put_all(b, &[0, 0]));
        put_full(stbl, *b"stco", (0, 0), |b| put_u32(b, 0));
    });
}

/// A sample entry (ISO 14496-12, 8.5.2; 14496-15; and the binding of each codec).
fn entry(stsd: &mut Vec<u8>, id: u32, track: &Track) {
    let kind = match track.codec {
        Codec::H264 => *b"avc1",
        Codec::Hevc => *b"hvc1",
        Codec::Av1 => *b"av01",
        Codec::Vp9 => *b"vp09",
        Codec::Mpeg2 => *b"mp4v",
        Codec::Ac3 => *b"ac-3",
        Codec::Opus => *b"Opus",
        Codec::Flac => *b"fLaC",
        Codec::Aac | Codec::Mp3 | Codec::Vorbis => *b"mp4a",
    };
    put(stsd, kind, |b| {
        b.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        match track.shape {
            Shape::Video { width, height } => visual(b, width, height),
            Shape::Audio { rate, channels } => sounding(b, rate, channels),
        }
        parameters(b, id, track);
    });
}

fn visual(b: &mut Vec<u8>, width: u16, height: u16) {
    b.extend([0; 16]);
    put_u16(b, width);
    put_u16(b, height);
    put_all(b, &[0x48_0000, 0x48_0000, 0]);
    put_u16(b, 1);
    b.extend([0; 32]);
    put_u16(b, 24);
    put_u16(b, 0xffff);
}

fn sounding(b: &mut Vec<u8>, rate: u32, channels: u8) {
    put_all(b, &[0, 0]);
    put_u16(b, channels.into());
    put_u16(b, 16);
    put_u32(b, 0);
    // What does not fit 16 bits is only told by the codec.
    put_u32(b, u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
}

fn parameters(b: &mut Vec<u8>, id: u32, track: &Track) {
    let config = &track.config;
    match track.codec {
        Codec::H264 => put(b, *b"avcC", |b| b.extend(config)),
        Codec::Hevc => put(b, *b"hvcC", |b| b.extend(config)),
        Codec::Av1 => put(b, *b"av1C", |b| b.extend(config)),
        Codec::Vp9 => put_full(b, *b"vpcC", (1, 0), |b| b.extend(config)),
        Codec::Ac3 => put(b, *b"dac3", |b| b.extend(config)),
        Codec::Opus => put(b, *b"dOps", |b| b.extend(opus(config))),
        Codec::Flac => put_full(b, *b"dfLa", (0, 0), |b| b.extend(stream_info(config))),
        Codec::Mpeg2 => put_full(b, *b"esds", (0, 0), |b| b.extend(stream(id, 0x61, 4, config))),
        Codec::Mp3 => {
            let object = if track.rate() >= 32_000 { 0x6b } else { 0x69 };
            put_full(b, *b"esds", (0, 0), |b| b.extend(stream(id, object, 5, &[])));
        }
        Codec::Aac | Codec::Vorbis => {
            put_full(b, *b"esds", (0, 0), |b| b.extend(stream(id, 0x40, 5, config)));
        }
    }
}

/// FLAC's stream information alone (RFC 9639, 8.2), without what differs from block to block of one
/// encode: sizes of frames, the number of samples and their checksum, where 0 is "not known".
fn stream_info(config: &[u8]) -> Vec<u8> {
    let Some(info) = config.first_chunk::<38>() else { return config.to_vec() };
    let mut info = *info;
    // No other metadata follows.
    info[0] |= 0x80;
    info[8..14].fill(0);
    info[17] &= 0xf0;
    info[18..].fill(0);
    info.to_vec()
}

/// `dOps` of an `OpusHead`: the same fields, the other way round (Opus in ISOBMFF, 4.3.2).
fn opus(head: &[u8]) -> Vec<u8> {
    let Some(fields) = head.get(8..19) else { return Vec::new() };
    let swapped = [0, fields[1], fields[3], fields[2], fields[7], fields[6], fields[5], fields[4]];
    let gain = [fields[9], fields[8], fields[10]];
    [&swapped[..], &gain, head.get(19..).unwrap_or_default()].concat()
}

/// An elementary stream's descriptor (ISO 14496-1, 7.2.6.5).
fn stream(id: u32, object: u8, kind: u8, specific: &[u8]) -> Vec<u8> {
    let mut decoder = vec![object, kind << 2 | 1, 0, 0, 0];
    decoder.extend([0; 8]);
    if !specific.is_empty() {
        descriptor(&mut decoder, 5, specific);
    }
    let [.., high, low] = id.to_be_bytes();
    let mut body = vec![high, low, 0];
    descriptor(&mut body, 4, &decoder);
    descriptor(&mut body, 6, &[2]);
    let mut whole = Vec::new();
    descriptor(&mut whole, 3, &body);
    whole
}

/// A descriptor with its length in four bytes of seven bits.
fn descriptor(into: &mut Vec<u8>, tag: u8, body: &[u8]) {
    into.push(tag);
    let seven = |shift: usize| u8::try_from(body.len() >> shift & 0x7f).expect("seven bits");
    into.extend([0x80 | seven(21), 0x80 | seven(14), 0x80 | seven(7), seven(0)]);
    into.extend(body);
}

/// What the tracks are called in `CODECS` of a playlist and in media types (RFC 6381), with commas.
#[must_use]
pub fn codecs(block: &Block) -> String {
    let names: Vec<String> = block.tracks.iter().map(name).collect();
    names.join(",")
}

fn name(track: &Track) -> String {
    let config = track.config.as_slice();
    let at = |index: usize| config.get(index).copied().unwrap_or(0);
    match track.codec {
        Codec::H264 => format!("avc1.{:02x}{:02x}{:02x}", at(1), at(2), at(3)),
        Codec::Hevc => hevc_name(config),
        Codec::Av1 => {
            let tier = if at(2) & 0x80 == 0 { 'M' } else { 'H' };
            let depth = 8 + 2 * (at(2) >> 6 & 1) + 2 * (at(2) >> 5 & at(2) >> 6 & 1);
            format!("av01.{}.{:02}{tier}.{depth:02}", at(1) >> 5, at(1) & 31)
        }
        Codec::Vp9 => format!("vp09.{:02}.{:02}.{:02}", at(0), at(1).max(10), at(2) >> 4),
        Codec::Mpeg2 => "mp4v.61".to_owned(),
        Codec::Aac => format!("mp4a.40.{}", at(0) >> 3),
        Codec::Mp3 => "mp4a.6B".to_owned(),
        Codec::Ac3 => "ac-3".to_owned(),
        Codec::Opus => "opus".to_owned(),
        Codec::Vorbis => "vorbis".to_owned(),
        Codec::Flac => "fLaC".to_owned(),
    }
}

/// ISO 14496-15, annex E.
fn hevc_name(config: &[u8]) -> String {
    let Some(head) = config.first_chunk::<13>().filter(|_| hevc::config(config).is_some()) else {
        return "hvc1".to_owned();
    };
    let space = ["", "A", "B", "C"][usize::from(head[1] >> 6)];
    let tier = if head[1] & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
    let mut name = format!("hvc1.{space}{}.{compatible:X}.{tier}{}", head[1] & 31, head[12]);
    let constraints = &head[6..12];
    let told = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    for byte in &constraints[..told] {
        write!(name, ".{byte:X}").expect("writing to a string");
    }
    name
}

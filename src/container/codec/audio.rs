//! Sounds: what their headers say of rate and channels, and how many samples a frame has.

use crate::container::bytes::Bits;
use crate::container::types::{Codec, Track};

/// Samples a second by their index (ISO 14496-3, table 1.18).
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Channels by `channelConfiguration`.
const AAC_CHANNELS: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 8];

/// What an `AudioSpecificConfig` says (ISO 14496-3, 1.6.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Aac {
    /// The core's object type; what ADTS can name is 1 to 4.
    pub(crate) object: u8,
    pub(crate) rate_index: u8,
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    pub(crate) channels_index: u8,
    pub(crate) samples: u32,
}

/// Reads an `AudioSpecificConfig`. Of an extended one the core is told.
pub(crate) fn aac(config: &[u8]) -> Option<Aac> {
    let mut bits = Bits::new(config);
    let mut object = aac_object(&mut bits)?;
    let (rate_index, rate) = aac_rate(&mut bits)?;
    let channels_index = u8::try_from(bits.take(4)?).ok()?;
    if matches!(object, 5 | 29) {
        aac_rate(&mut bits)?;
        object = aac_object(&mut bits)?;
    }
    let samples = if bits.bit()? { 960 } else { 1024 };
    let channels = *AAC_CHANNELS.get(usize::from(channels_index))?;
    Some(Aac { object, rate_index, rate, channels, channels_index, samples })
}

fn aac_object(bits: &mut Bits<'_>) -> Option<u8> {
    let object = match bits.take(5)? {
        31 => 32 + bits.take(6)?,
        object => object,
    };
    u8::try_from(object).ok()
}

fn aac_rate(bits: &mut Bits<'_>) -> Option<(u8, u32)> {
    match u8::try_from(bits.take(4)?).ok()? {
        15 => Some((15, bits.take(24)?)).filter(|(_, rate)| (1_000..=384_000).contains(rate)),
        index => Some((index, *AAC_RATES.get(usize::from(index))?)),
    }
}

/// An ADTS header: how long it and its frame are, and the configuration that it stands for.
pub(crate) struct Adts {
    pub(crate) header: usize,
    pub(crate) frame: usize,
    pub(crate) config: [u8; 2],
}

/// Bytes of an ADTS header without its checksum.
pub(crate) const ADTS_BYTES: usize = 7;

/// Reads an ADTS header (ISO 14496-3, 1.A.3.2).
pub(crate) fn adts(bytes: &[u8]) -> Option<Adts> {
    let head = bytes.first_chunk::<ADTS_BYTES>()?;
    let header = if head[1] & 1 == 1 { 7 } else { 9 };
    let frame =
        usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5;
    let (object, rate) = ((head[2] >> 6) + 1, head[2] >> 2 & 15);
    let channels = (head[2] & 1) << 2 | head[3] >> 6;
    let sound = head[0] == 0xff && head[1] & 0xf6 == 0xf0 && frame > header && rate < 13;
    // Several blocks of samples in one frame are not told apart anywhere else.
    let config = [object << 3 | rate >> 1, rate << 7 | channels << 3];
    (sound && head[6].trailing_zeros() >= 2).then_some(Adts { header, frame, config })
}

/// The ADTS header of a frame of `bytes` bytes; nothing where ADTS cannot say it.
pub(crate) fn adts_header(aac: Aac, bytes: usize) -> Option<[u8; ADTS_BYTES]> {
    let len = u16::try_from(bytes + ADTS_BYTES).ok().filter(|len| *len < 1 << 13)?;
    let [high, low] = len.to_be_bytes();
    let (object, rate, channels) = (aac.object.checked_sub(1)?, aac.rate_index, aac.channels_index);
    (object < 4 && rate < 13 && aac.samples == 1024 && channels > 0).then_some([
        0xff,
        0xf1,
        object << 6 | rate << 2 | channels >> 2,
        (channels & 3) << 6 | high >> 3,
        high << 5 | low >> 3,
        low << 5 | 0x1f,
        0xfc,
    ])
}

/// What the header of a frame says that names its own length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sound {
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    pub(crate) samples: u32,
    pub(crate) bytes: usize,
}

/// Kilobits a second of MPEG-1 layers 3 and 2 and of MPEG-2 (ISO 11172-3, 13818-3).
const MP3_RATES: [[u16; 15]; 3] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Reads the header of an MPEG audio frame of layer 2 or 3.
pub(crate) fn mp3(bytes: &[u8]) -> Option<Sound> {
    let head = bytes.first_chunk::<4>()?;
    let (version, layer) = (head[1] >> 3 & 3, head[1] >> 1 & 3);
    let first = version == 3;
    if head[0] != 0xff || head[1] & 0xe0 != 0xe0 || version == 1 || !matches!(layer, 1 | 2) {
        return None;
    }
    let table = if first { usize::from(layer == 2) } else { 2 };
    let kilobits = u32::from(*MP3_RATES[table].get(usize::from(head[2] >> 4))?);
    let base = *[44_100_u32, 48_000, 32_000].get(usize::from(head[2] >> 2 & 3))?;
    let rate = base
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let samples = if layer == 1 && !first { 576 } else { 1152 };
    let padding = u32::from(head[2] >> 1 & 1);
    let bytes = usize::try_from(samples / 8 * kilobits * 1000 / rate + padding).ok()?;
    let channels = if head[3] >> 6 == 3 { 1 } else { 2 };
    (kilobits > 0).then_some(Sound { rate, channels, samples, bytes })
}

/// Kilobits a second of AC-3 by half of `frmsizecod` (A/52, table 5.18).
const AC3_RATES: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

/// Reads the header of an AC-3 frame, and what `dac3` (ETSI TS 102 366, F.4) says of it.
pub(crate) fn ac3(bytes: &[u8]) -> Option<(Sound, [u8; 3])> {
    let mut bits = Bits::new(bytes.strip_prefix(&[0x0b, 0x77])?);
    bits.take(16)?;
    let (rate_code, size_code) = (bits.take(2)?, bits.take(6)?);
    let (stream, mode, channels_mode) = (bits.take(5)?, bits.take(3)?, bits.take(3)?);
    if stream > 10 {
        return None;
    }
    if channels_mode & 1 == 1 && channels_mode != 1 {
        bits.take(2)?;
    }
    if channels_mode & 4 != 0 {
        bits.take(2)?;
    }
    if channels_mode == 2 {
        bits.take(2)?;
    }
    let low = u32::from(bits.bit()?);
    let rate = ac3_rate(rate_code)?;
    let kilobits = *AC3_RATES.get(usize::try_from(size_code / 2).ok()?)?;
    let words = kilobits * 1000 * 1536 / 16 / rate + if rate == 44_100 { size_code & 1 } else { 0 };
    let channels = ac3_channels(channels_mode, low);
    let packed = rate_code << 22
        | stream << 17
        | mode << 14
        | channels_mode << 11
        | low << 10
        | (size_code / 2) << 5;
    let [_, a, b, c] = packed.to_be_bytes();
    let bytes = usize::try_from(words * 2).ok()?;
    let sound = Sound { rate, channels, samples: 1536, bytes };
    Some((sound, [a, b, c]))
}

/// Rate and channels that a `dac3` tells.
pub(crate) fn dac3(config: &[u8]) -> Option<(u32, u8)> {
    let mut bits = Bits::new(config.get(..3)?);
    let rate = bits.take(2)?;
    bits.take(8)?;
    let (mode, low) = (bits.take(3)?, bits.take(1)?);
    Some((ac3_rate(rate)?, ac3_channels(mode, low)))
}

fn ac3_rate(code: u32) -> Option<u32> {
    [48_000, 44_100, 32_000].get(usize::try_from(code).ok()?).copied()
}

fn ac3_channels(mode: u32, low: u32) -> u8 {
    [2, 1, 2, 3, 3, 4, 4, 5][(mode & 7) as usize] + u8::from(low == 1)
}

/// Samples of an Opus packet at 48 kHz (RFC 6716, 3.1).
pub(crate) fn opus_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let each = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 63),
    };
    Some(each * frames).filter(|samples| (1..=5760).contains(samples))
}

/// Samples of a FLAC frame (RFC 9639, 9.1.1).
pub(crate) fn flac_samples(frame: &[u8]) -> Option<u32> {
    let head = frame.first_chunk::<4>()?;
    if head[0] != 0xff || head[1] & 0xfe != 0xf8 {
        return None;
    }
    let number = 1 + usize::try_from(frame.get(4)?.leading_ones().saturating_sub(1)).ok()?;
    let behind = frame.get(4 + number..)?;
    match head[2] >> 4 {
        1 => Some(192),
        code @ 2..=5 => Some(576 << (code - 2)),
        6 => Some(u32::from(*behind.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*behind.first_chunk()?)) + 1),
        code @ 8..=15 => Some(256 << (code - 8)),
        _ => None,
    }
}

/// Rate, channels and the constant length of frames of a FLAC `STREAMINFO` (RFC 9639, 8.2) in
/// metadata blocks.
pub(crate) fn flac(config: &[u8]) -> Option<(u32, u8)> {
    let info = config.get(4..38).filter(|_| config[0].trailing_zeros() >= 7)?;
    let mut bits = Bits::new(&info[10..]);
    let (rate, channels) = (bits.take(20)?, bits.take(3)? + 1);
    (rate > 0).then_some((rate, u8::try_from(channels).ok()?))
}

/// Rate and channels of Vorbis: the first of three headers laced as Matroska has them (Vorbis I,
/// 4.2.2).
pub(crate) fn vorbis(config: &[u8]) -> Option<(u32, u8)> {
    let (count, mut rest) = config.split_first()?;
    for _ in 0..*count {
        let len = rest.iter().position(|byte| *byte != 255)?;
        rest = rest.get(len + 1..)?;
    }
    let head = rest.strip_prefix(b"\x01vorbis")?;
    let (channels, rate) = (*head.get(4)?, u32::from_le_bytes(*head.get(5..)?.first_chunk()?));
    (*count == 2 && channels > 0 && (1_000..=384_000).contains(&rate)).then_some((rate, channels))
}

/// Samples of one frame, where the codec or the frame says it.
pub(crate) fn samples(track: &Track, frame: &[u8]) -> Option<u32> {
    match track.codec {
        Codec::Aac => aac(&track.config).map(|aac| aac.samples),
        Codec::Mp3 => mp3(frame).map(|sound| sound.samples),
        Codec::Ac3 => Some(1536),
        Codec::Opus => opus_samples(frame),
        Codec::Flac => flac_samples(frame),
        _ => None,
    }
}

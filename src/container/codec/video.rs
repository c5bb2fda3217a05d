//! VP9, AV1 and MPEG-2: what their headers say of the picture.

use crate::container::bytes::Bits;

/// The contents of `vpcC` of a VP9 key frame (the VP Codec ISO Media File Format Binding, 2.2),
/// from the uncompressed header of the frame. The level is left open: it is not in the frame.
pub(crate) fn vp9_config(frame: &[u8]) -> Option<[u8; 8]> {
    let mut bits = Bits::new(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = u8::from(bits.bit()?) | u8::from(bits.bit()?) << 1;
    if profile == 3 {
        bits.bit()?;
    }
    let shown_again = bits.bit()?;
    let is_inter = bits.bit()?;
    bits.take(2)?;
    if shown_again || is_inter || bits.take(24)? != 0x49_8342 {
        return None;
    }
    let depth = if profile < 2 { 8 } else { 10 + 2 * u8::from(bits.bit()?) };
    let space = bits.take(3)?;
    let (full, sampling) = if space == 7 {
        (true, 3)
    } else {
        let full = bits.bit()?;
        let halves = if profile % 2 == 1 { (bits.bit()?, bits.bit()?) } else { (true, true) };
        // 4:2:0 with chroma beside luma, 4:2:2, 4:4:4; VP9's 4:4:0 has no number.
        (
            full,
            match halves {
                (true, true) => 1,
                (true, false) => 2,
                _ => 3,
            },
        )
    };
    let packed = depth << 4 | sampling << 1 | u8::from(full);
    // Primaries, transfer and matrix 2: not said.
    Some([profile, 0, packed, 2, 2, 2, 0, 0])
}

/// Columns, lines and the frame's time as `(nanoseconds, frames)` of an MPEG-2 sequence header
/// (ISO 13818-2, 6.2.2.1).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sequence {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) frame_ns: Option<u64>,
}

/// Frame rates by their code (table 6-4), as nanoseconds a frame.
const FRAME_NS: [u64; 8] = [
    41_708_333, 41_666_667, 40_000_000, 33_366_667, 33_333_333, 20_000_000, 16_683_333, 16_666_667,
];

/// The sequence header and its extensions up to the first picture or group, in a frame that begins
/// with them; nothing where it does not.
pub(crate) fn mpeg2_header(frame: &[u8]) -> Option<&[u8]> {
    if !frame.starts_with(&[0, 0, 1, 0xb3]) {
        return None;
    }
    let end = frame
        .windows(4)
        .enumerate()
        .skip(4)
        .find(|(_, w)| w[..3] == [0, 0, 1] && !matches!(w[3], 0xb5 | 0xb2))
        .map_or(frame.len(), |(at, _)| at);
    Some(&frame[..end])
}

/// Reads a sequence header from its start code on.
pub(crate) fn mpeg2_sequence(header: &[u8]) -> Option<Sequence> {
    let mut bits = Bits::new(header.strip_prefix(&[0, 0, 1, 0xb3])?);
    let (width, height) = (bits.take(12)?, bits.take(12)?);
    bits.take(4)?;
    let rate = usize::try_from(bits.take(4)?).ok()?;
    Some(Sequence {
        width: u16::try_from(width).ok()?,
        height: u16::try_from(height).ok()?,
        frame_ns: rate.checked_sub(1).and_then(|rate| FRAME_NS.get(rate).copied()),
    })
}

/// Whether an MPEG-2 frame is an intra picture (6.2.3): one starts without others.
pub(crate) fn mpeg2_is_key(frame: &[u8]) -> bool {
    let picture = frame.windows(6).find(|w| w[..4] == [0, 0, 1, 0]);
    picture.is_some_and(|w| w[5] >> 3 & 7 == 1)
}

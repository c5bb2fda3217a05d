//! What a block holds, whatever its container: tracks, and frames as ranges of its bytes. Readers
//! make these values through `build.rs`, writers only look at them.

use core::fmt;

/// The codecs that can be carried from a block to an output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    /// ISO 14496-10.
    H264,
    /// ISO 23008-2.
    Hevc,
    /// Of the Alliance for Open Media.
    Av1,
    /// VP9.
    Vp9,
    /// MPEG-1 and MPEG-2 video (ISO 13818-2).
    Mpeg2,
    /// ISO 14496-3.
    Aac,
    /// MPEG audio of layer 2 or 3.
    Mp3,
    /// ATSC A/52.
    Ac3,
    /// RFC 6716.
    Opus,
    /// Xiph Vorbis.
    Vorbis,
    /// RFC 9639.
    Flac,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::H264,
        Self::Hevc,
        Self::Av1,
        Self::Vp9,
        Self::Mpeg2,
        Self::Aac,
        Self::Mp3,
        Self::Ac3,
        Self::Opus,
        Self::Vorbis,
        Self::Flac,
    ];

    /// Whether it is a picture.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::Hevc | Self::Av1 | Self::Vp9 | Self::Mpeg2)
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Mpeg2 => "MPEG-2",
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
            Self::Ac3 => "AC-3",
            Self::Opus => "Opus",
            Self::Vorbis => "Vorbis",
            Self::Flac => "FLAC",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a track shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Pixels as coded.
    Video {
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// Samples a second and channels.
    Audio {
        /// Samples a second, of the core where a codec extends it.
        rate: u32,
        /// Channels.
        channels: u8,
    },
}

/// One picture or one sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track {
    /// Its codec.
    pub codec: Codec,
    /// Its size or its sound.
    pub shape: Shape,
    /// The codec's parameters in one form for all containers: the contents of `avcC`, `hvcC`,
    /// `av1C`, `vpcC` (without version and flags) and `dac3`; the `AudioSpecificConfig` of AAC; the
    /// `OpusHead` of RFC 7845; the three headers of Vorbis as Matroska has them; the metadata
    /// blocks of FLAC without their magic; the sequence header of MPEG-2; nothing for MP3.
    pub config: Vec<u8>,
    /// How long each frame is shown, where all are shown for the same time: nanoseconds.
    pub frame_ns: Option<u64>,
    /// How many frames a decoder holds back before the first can be shown.
    pub reorder: u8,
}

impl Track {
    /// Samples a second; 1 of a picture.
    #[must_use]
    pub fn rate(&self) -> u32 {
        match self.shape {
            Shape::Audio { rate, .. } => rate,
            Shape::Video { .. } => 1,
        }
    }
}

/// A piece of a frame: a range of the block, or the length of the unit that follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    from: u32,
    len: u32,
}

impl Part {
    /// Marks a part that is not in the block.
    const PREFIX: u32 = u32::MAX;

    /// Bytes of the block. No block is as long as to make this ambiguous.
    pub(super) fn of(from: usize, len: usize) -> Self {
        let short = |n: usize| u32::try_from(n).expect("a block has less than 4 GiB");
        Self { from: short(from), len: short(len) }
    }

    /// Four bytes that say how long the unit behind them is.
    pub(super) fn prefix(unit: usize) -> Self {
        Self { from: Self::PREFIX, len: u32::try_from(unit).expect("a block has less than 4 GiB") }
    }

    /// The range of the block, where it is one.
    #[must_use]
    pub fn range(self) -> Option<core::ops::Range<usize>> {
        let from = self.from as usize;
        (self.from != Self::PREFIX).then(|| from..from + self.len as usize)
    }

    /// The four bytes that are not in the block, where it is these.
    #[must_use]
    pub fn length_prefix(self) -> Option<[u8; 4]> {
        (self.from == Self::PREFIX).then(|| self.len.to_be_bytes())
    }

    /// Bytes that it stands for.
    #[must_use]
    pub fn bytes(self) -> u32 {
        if self.from == Self::PREFIX { 4 } else { self.len }
    }

    /// Goes on to what directly follows; whether it did.
    pub(super) fn extend(&mut self, next: Self) -> bool {
        let follows = self.from != Self::PREFIX
            && next.from != Self::PREFIX
            && self.from.checked_add(self.len) == Some(next.from);
        if follows {
            self.len += next.len;
        }
        follows
    }
}

/// What a decoder takes at once: one picture, one frame of sound. H.264 and HEVC have their units
/// length-prefixed, AAC has no ADTS header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Index into the block's tracks.
    pub track: u16,
    /// Whether decoding can start here.
    pub key: bool,
    /// When it is shown: nanoseconds from the block's first shown frame of its main track.
    pub pts: i64,
    /// When it is decoded: the sorted `pts` of the track, so much earlier that none is late.
    pub dts: i64,
    /// How long it is shown, in nanoseconds.
    pub lasts: u64,
    pub(super) parts_from: u32,
    pub(super) parts: u32,
}

/// A block that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The picture, where there is one, then the sounds.
    pub tracks: Vec<Track>,
    /// In the order of decoding, all tracks together.
    pub frames: Vec<Frame>,
    /// How long its main track lasts, exactly: nanoseconds. The place of the next block is this
    /// much later, and a movie's timeline is the sum of these.
    pub lasts_ns: u64,
    pub(super) parts: Vec<Part>,
}

impl Block {
    /// A frame's pieces, in order.
    #[must_use]
    pub fn parts(&self, frame: &Frame) -> &[Part] {
        let from = frame.parts_from as usize;
        &self.parts[from..from + frame.parts as usize]
    }

    /// A frame's length in bytes.
    #[must_use]
    pub fn frame_bytes(&self, frame: &Frame) -> u32 {
        self.parts(frame).iter().map(|part| part.bytes()).sum()
    }

    /// The frames of one track.
    pub fn frames_of(&self, track: usize) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| usize::from(frame.track) == track)
    }

    /// What its outputs' headers depend on: a joint of two blocks with the same signature needs
    /// neither a new init segment nor a discontinuity.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let mut hash = Signature(0xcbf2_9ce4_8422_2325);
        for track in &self.tracks {
            let (a, b) = match track.shape {
                Shape::Video { width, height } => (u32::from(width), u32::from(height)),
                Shape::Audio { rate, channels } => (rate, u32::from(channels)),
            };
            let reorder = if track.codec.is_video() { track.reorder } else { 0 };
            hash.add(&[track.codec as u8, reorder]);
            hash.add(&a.to_be_bytes());
            hash.add(&b.to_be_bytes());
            hash.add(lasting(track));
        }
        hash
    }
}

/// What of a track's parameters is the same in all blocks of an encode: FLAC counts samples, sizes
/// and a checksum in the same place.
fn lasting(track: &Track) -> &[u8] {
    match track.codec {
        Codec::Flac => track.config.get(14..17).unwrap_or_default(),
        _ => &track.config,
    }
}

/// Names the parameters of a block's tracks; the same on every node and in every version (FNV-1a).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature(pub u64);

impl Signature {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

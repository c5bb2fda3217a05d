//! The three outputs, and which codecs each of them carries. The status document and `--check` say
//! it for each movie.

use core::fmt;

use crate::container::codec::audio;
use crate::container::types::{Block, Codec, Track};

/// What an edge can make of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Output {
    /// One endless Matroska file.
    Mkv,
    /// Fragmented MP4, endless or as HLS.
    Mp4,
    /// MPEG-2 transport stream, endless or as HLS.
    Ts,
}

/// Why an output does not carry a codec; a sentence.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyNot {
    /// There is no way to carry it that players agree on.
    #[error("{output} has no form for {codec} that players agree on")]
    NoForm {
        /// The output.
        output: Output,
        /// The codec.
        codec: Codec,
    },
    /// The codec is carried, but not this form of it.
    #[error("{output} cannot carry this {codec}: {what}")]
    Form {
        /// The output.
        output: Output,
        /// The codec.
        codec: Codec,
        /// What stands against it.
        what: &'static str,
    },
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mkv => "mkv",
            Self::Mp4 => "fMP4",
            Self::Ts => "ts",
        })
    }
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mkv, Self::Mp4, Self::Ts];

    /// What addresses end in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mkv => "mkv",
            Self::Mp4 => "mp4",
            Self::Ts => "ts",
        }
    }

    /// Whether this output carries a codec.
    ///
    /// # Errors
    /// Why it does not.
    pub fn carries(self, codec: Codec) -> Result<(), WhyNot> {
        let carried = match self {
            Self::Mkv => true,
            Self::Mp4 => codec != Codec::Vorbis,
            Self::Ts => !matches!(codec, Codec::Av1 | Codec::Vp9 | Codec::Vorbis | Codec::Flac),
        };
        if carried { Ok(()) } else { Err(WhyNot::NoForm { output: self, codec }) }
    }

    /// Whether this output carries all tracks of a block.
    ///
    /// # Errors
    /// Why it does not carry the first that it does not.
    pub fn takes(self, block: &Block) -> Result<(), WhyNot> {
        block.tracks.iter().try_for_each(|track| self.takes_track(track))
    }

    fn takes_track(self, track: &Track) -> Result<(), WhyNot> {
        self.carries(track.codec)?;
        let against = match (self, track.codec) {
            (Self::Ts, Codec::Aac) if !adts_can(track) => {
                "ADTS has no word for its object type, rate or channels"
            }
            (Self::Ts, Codec::Opus) if track.config.get(18).is_none_or(|family| *family > 1) => {
                "its channels are mapped in a way of its own"
            }
            (Self::Mp4, Codec::Ac3 | Codec::Vp9 | Codec::Opus | Codec::Flac | Codec::Mpeg2)
                if track.config.is_empty() =>
            {
                "its parameters are nowhere in the block"
            }
            _ => return Ok(()),
        };
        Err(WhyNot::Form { output: self, codec: track.codec, what: against })
    }
}

fn adts_can(track: &Track) -> bool {
    audio::aac(&track.config).is_some_and(|aac| audio::adts_header(aac, 1).is_some())
}

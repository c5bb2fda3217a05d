//! What has to be known of codecs to move their frames: parameter sets, sizes, how long a frame
//! lasts. Nothing is decoded. Readers call this to fill in tracks, writers to word their headers.

use crate::container::types::{Codec, Shape, Track};

pub(super) mod audio;
pub(super) mod h264;
pub(super) mod hevc;
pub(super) mod video;

/// Fills in what the parameters of a track say better than its container.
pub(super) fn complete(track: &mut Track) -> Result<(), &'static str> {
    let config = track.config.as_slice();
    let sound = |told: Option<(u32, u8)>, what| {
        told.map(|(rate, channels)| Some(Shape::Audio { rate, channels })).ok_or(what)
    };
    let shape = match track.codec {
        Codec::H264 => {
            let config = h264::config(config).ok_or("avcC holds no parameter sets")?;
            picture(h264::picture(config.sps[0]), &mut track.reorder)
        }
        Codec::Hevc => {
            let config = hevc::config(config).ok_or("hvcC holds no parameter sets")?;
            let sps = config.sets.iter().find(|set| hevc::kind(set) == hevc::SPS);
            picture(sps.and_then(|sps| hevc::picture(sps)), &mut track.reorder)
        }
        Codec::Av1 if config.len() < 4 || config[0] != 0x81 => {
            return Err("av1C is too short, or of an unknown version");
        }
        Codec::Aac => {
            let told = audio::aac(config).map(|aac| (aac.rate, aac.channels.max(1)));
            sound(told, "the AudioSpecificConfig is malformed")?
        }
        Codec::Opus => {
            let head = config.starts_with(b"OpusHead").then(|| config.get(9)).flatten();
            sound(head.map(|channels| (48_000, *channels)), "OpusHead is malformed")?
        }
        Codec::Flac => sound(audio::flac(config), "the FLAC STREAMINFO is malformed")?,
        Codec::Ac3 if !config.is_empty() => sound(audio::dac3(config), "dac3 is malformed")?,
        Codec::Vorbis => sound(audio::vorbis(config), "the Vorbis headers are malformed")?,
        _ => None,
    };
    track.shape = shape.unwrap_or(track.shape);
    match track.shape {
        Shape::Audio { rate: 0, .. } => Err("a sound has no sampling rate"),
        Shape::Audio { rate, .. } if rate > 768_000 => Err("a sampling rate is above 768 kHz"),
        _ => Ok(()),
    }
}

fn picture(told: Option<h264::Picture>, reorder: &mut u8) -> Option<Shape> {
    let told = told?;
    *reorder = told.reorder;
    Some(Shape::Video { width: told.width, height: told.height })
}

/// Takes parameters that no header had from a frame, where it has them.
pub(super) fn learn(track: &mut Track, frame: &[u8]) {
    match track.codec {
        Codec::Vp9 => track.config = video::vp9_config(frame).map_or(Vec::new(), Vec::from),
        Codec::Mpeg2 => {
            track.config = video::mpeg2_header(frame).unwrap_or_default().to_vec();
        }
        Codec::Ac3 => {
            if let Some((sound, config)) = audio::ac3(frame) {
                track.config = config.to_vec();
                track.shape = Shape::Audio { rate: sound.rate, channels: sound.channels };
            }
        }
        Codec::Mp3 => {
            if let Some(audio::Sound { rate, channels, .. }) = audio::mp3(frame) {
                track.shape = Shape::Audio { rate, channels };
            }
        }
        _ => {}
    }
}

/// How long the prefixes of a track's units are; nothing where its frames have none.
pub(super) fn prefix(track: &Track) -> Option<usize> {
    match track.codec {
        Codec::H264 => h264::config(&track.config).map(|config| config.prefix),
        Codec::Hevc => hevc::config(&track.config).map(|config| config.prefix),
        _ => None,
    }
}

/// The units of a length-prefixed frame: where each begins behind its prefix, and its length.
/// Ends with an `Err` at the offset where a unit is cut.
pub(super) struct Units<'a> {
    bytes: &'a [u8],
    at: usize,
    prefix: usize,
}

impl<'a> Units<'a> {
    /// `prefix` is 1 to 4 bytes.
    pub(super) fn new(bytes: &'a [u8], prefix: usize) -> Self {
        Self { bytes, at: 0, prefix }
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let from = self.at;
        let unit = rest.split_at_checked(self.prefix).and_then(|(prefix, rest)| {
            let len = prefix.iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
            rest.get(..len)
        });
        self.at = unit.map_or(self.bytes.len(), |unit| from + self.prefix + unit.len());
        Some(unit.ok_or(from))
    }
}

#[cfg(test)]
mod tests;

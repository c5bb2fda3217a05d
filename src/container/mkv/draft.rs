//! A `TrackEntry` as it stands in a Matroska block, and the track that it declares.

use crate::base::limits;
use crate::base::text::escaped;
use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::codec::video;
use crate::container::mkv::ebml::{self, Element, id};
use crate::container::types::{Codec, Part, Shape, Track};

/// Values of `TrackType`.
pub(super) const VIDEO: u64 = 1;
/// See [`VIDEO`].
pub(super) const AUDIO: u64 = 2;

/// Contents that are stripped of a head that all frames share.
const HEADER_STRIPPING: u64 = 3;

/// A declared track.
#[derive(Default, Debug)]
pub(super) struct Draft<'a> {
    pub(super) at: usize,
    pub(super) number: u64,
    pub(super) kind: u64,
    pub(super) stripped: Option<Part>,
    pub(super) delay_ns: u64,
    pub(super) default_ns: Option<u64>,
    codec: &'a [u8],
    private: Option<&'a [u8]>,
    width: u64,
    height: u64,
    rate: f64,
    channels: u64,
    /// A form of its contents that is not read, where it has one.
    locked: Option<(usize, &'static str)>,
}

impl<'a> Draft<'a> {
    pub(super) fn read(entry: Element<'a>) -> Result<Self, Error> {
        let mut draft = Self { at: entry.at, rate: 8000.0, channels: 1, ..Self::default() };
        let mut body = entry.body;
        while !body.is_done() {
            let element = ebml::next(&mut body)?;
            draft.field(element)?;
        }
        Ok(draft)
    }

    fn field(&mut self, element: Element<'a>) -> Result<(), Error> {
        let body = element.body;
        match element.id {
            id::TRACK_NUMBER => self.number = ebml::unsigned(&body)?,
            id::TRACK_TYPE => self.kind = ebml::unsigned(&body)?,
            id::DEFAULT_DURATION => self.default_ns = Some(ebml::unsigned(&body)?),
            id::CODEC_DELAY => self.delay_ns = ebml::unsigned(&body)?,
            id::CODEC_ID => self.codec = body.rest(),
            id::CODEC_PRIVATE => self.private = Some(body.rest()),
            id::VIDEO => each(body, |element| self.video(&element))?,
            id::AUDIO => each(body, |element| self.audio(&element))?,
            id::CONTENT_ENCODINGS => each(body, |element| self.encoding(element))?,
            _ => {}
        }
        Ok(())
    }

    fn video(&mut self, element: &Element<'a>) -> Result<(), Error> {
        match element.id {
            id::PIXEL_WIDTH => self.width = ebml::unsigned(&element.body)?,
            id::PIXEL_HEIGHT => self.height = ebml::unsigned(&element.body)?,
            _ => {}
        }
        Ok(())
    }

    fn audio(&mut self, element: &Element<'a>) -> Result<(), Error> {
        match element.id {
            id::SAMPLING_FREQUENCY => self.rate = ebml::float(&element.body)?,
            id::CHANNELS => self.channels = ebml::unsigned(&element.body)?,
            _ => {}
        }
        Ok(())
    }

    /// A `ContentEncoding` (RFC 9559, 5.1.4.1.31).
    fn encoding(&mut self, element: Element<'a>) -> Result<(), Error> {
        if element.id != id::CONTENT_ENCODING {
            return Ok(());
        }
        let at = element.at;
        let (mut scope, mut algorithm, mut settings) = (1, None, None);
        each(element.body, |element| {
            match element.id {
                id::CONTENT_ENCODING_SCOPE => scope = ebml::unsigned(&element.body)?,
                id::CONTENT_ENCRYPTION => self.locked = Some((at, "encryption")),
                id::CONTENT_COMPRESSION => {
                    algorithm = Some(0);
                    each(element.body, |element| {
                        match element.id {
                            id::CONTENT_COMP_ALGO => {
                                algorithm = Some(ebml::unsigned(&element.body)?);
                            }
                            id::CONTENT_COMP_SETTINGS => settings = Some(element.body),
                            _ => {}
                        }
                        Ok(())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        match algorithm {
            Some(HEADER_STRIPPING) if self.stripped.is_none() && scope == 1 => {
                self.stripped = settings.map(|body| Part::of(body.at(), body.left()));
            }
            Some(HEADER_STRIPPING) => self.locked = Some((at, "twice stripped contents")),
            Some(_) => self.locked = Some((at, "compression other than stripped headers")),
            None => {}
        }
        Ok(())
    }

    /// The track that is carried.
    pub(super) fn track(&self) -> Result<Track, Error> {
        if let Some((at, name)) = self.locked {
            let (at, name) = (at as u64, name.to_owned());
            return Err(Error::Codec { at, kind: "the content encoding", name });
        }
        let codec = self.codec()?;
        let config = self.config(codec)?;
        let small = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        let (mut width, mut height) = (small(self.width), small(self.height));
        let mut frame_ns = self.default_ns.filter(|ns| *ns > 0 && codec.is_video());
        if let Some(told) = video::mpeg2_sequence(&config).filter(|_| codec == Codec::Mpeg2) {
            (width, height) = (told.width, told.height);
            frame_ns = frame_ns.or(told.frame_ns);
        }
        let shape = if codec.is_video() {
            Shape::Video { width, height }
        } else {
            Shape::Audio { rate: whole(self.rate), channels: self.channels.clamp(1, 255) as u8 }
        };
        // MPEG-2 holds a frame back whenever it has any between others.
        let reorder = u8::from(codec == Codec::Mpeg2);
        Ok(Track { codec, shape, config, frame_ns, reorder })
    }

    fn codec(&self) -> Result<Codec, Error> {
        let end = self.codec.iter().position(|byte| *byte == 0).unwrap_or(self.codec.len());
        Ok(match &self.codec[..end] {
            b"V_MPEG4/ISO/AVC" => Codec::H264,
            b"V_MPEGH/ISO/HEVC" => Codec::Hevc,
            b"V_AV1" => Codec::Av1,
            b"V_VP9" => Codec::Vp9,
            b"V_MPEG2" | b"V_MPEG1" => Codec::Mpeg2,
            b"A_AAC" => Codec::Aac,
            b"A_MPEG/L3" | b"A_MPEG/L2" => Codec::Mp3,
            b"A_AC3" => Codec::Ac3,
            b"A_OPUS" => Codec::Opus,
            b"A_VORBIS" => Codec::Vorbis,
            b"A_FLAC" => Codec::Flac,
            other => {
                let name = escaped(&other[..other.len().min(limits::SHOWN_BYTES_MAX)]);
                return Err(Error::Codec { at: self.at as u64, kind: "the codec", name });
            }
        })
    }

    /// The codec's parameters in the form of [`Track::config`].
    fn config(&self, codec: Codec) -> Result<Vec<u8>, Error> {
        let private = self.private.unwrap_or_default();
        if private.len() > limits::CODEC_CONFIG_BYTES_MAX {
            let most = limits::CODEC_CONFIG_BYTES_MAX as u64;
            return Err(Error::TooMany { at: self.at as u64, what: "bytes of CodecPrivate", most });
        }
        Ok(match codec {
            // VP9 has a form of its own for this; the frames of all three tell as much.
            Codec::Mp3 | Codec::Ac3 | Codec::Vp9 => Vec::new(),
            Codec::Flac => match private.strip_prefix(b"fLaC") {
                Some(blocks) => blocks.to_vec(),
                None => return Err(Error::bad(self.at, "a CodecPrivate of FLAC without fLaC")),
            },
            _ => private.to_vec(),
        })
    }
}

/// Does this for each child.
fn each<'a>(
    mut body: Cursor<'a>,
    mut take: impl FnMut(Element<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    while !body.is_done() {
        take(ebml::next(&mut body)?)?;
    }
    Ok(())
}

/// A sampling rate as a whole number; 0 where it cannot be one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is looked at first"
)]
fn whole(rate: f64) -> u32 {
    if (1.0..1e6).contains(&rate) { rate.round() as u32 } else { 0 }
}

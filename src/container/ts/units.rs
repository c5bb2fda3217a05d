//! Frames of an elementary stream: where each begins and ends, and what the stream says of itself.
//! A picture's frame is what lies between two times of its stream; sounds name their lengths.

use crate::container::Error;
use crate::container::build::{Builder, Found, nanoseconds};
use crate::container::codec::{audio, h264, hevc, video};
use crate::container::ts::es::{Mark, Stream};
use crate::container::ts::psi::Declared;
use crate::container::types::{Codec, Part, Shape, Track};

/// Adds a stream's track and frames.
pub(super) fn frames(
    builder: &mut Builder<'_>,
    declared: &Declared,
    stream: &Stream,
) -> Result<(), Error> {
    match declared.codec {
        Codec::H264 | Codec::Hevc => coded(builder, declared, stream),
        Codec::Mpeg2 => pictures(builder, declared, stream),
        _ => sounds(builder, declared, stream),
    }
}

/// Where frames of a picture begin and end, with their times.
fn between(stream: &Stream) -> impl Iterator<Item = (Mark, usize)> {
    let marks = stream.marks();
    let ends = marks.iter().skip(1).map(|mark| mark.from).chain([stream.bytes().len()]);
    marks.iter().copied().zip(ends)
}

/// MPEG-2: a frame is all there is.
fn pictures(builder: &mut Builder<'_>, declared: &Declared, stream: &Stream) -> Result<(), Error> {
    let mut parts = Vec::new();
    let mut track = None;
    for (mark, end) in between(stream) {
        let bytes = &stream.bytes()[mark.from..end];
        if track.is_none() {
            // What comes before the first sequence header cannot be shown.
            let Some(header) = video::mpeg2_header(bytes) else { continue };
            let told = video::mpeg2_sequence(header).unwrap_or_default();
            let shape = Shape::Video { width: told.width, height: told.height };
            let (codec, config, frame_ns) = (declared.codec, header.to_vec(), told.frame_ns);
            let new = Track { codec, shape, config, frame_ns, reorder: 1 };
            track = Some(builder.track(declared.at, new)?);
        }
        let index = track.unwrap_or_default();
        parts.clear();
        stream.parts(mark.from, end - mark.from, |part| parts.push(part));
        let (key, at) = (video::mpeg2_is_key(bytes), stream.place(mark.from));
        builder.frame(Found { track: index, key, pts: mark.pts, lasts: 0, at }, &parts)?;
    }
    Ok(())
}

/// The parameter sets that a stream has in band.
#[derive(Default)]
struct Sets<'a> {
    vps: Option<&'a [u8]>,
    sps: Option<&'a [u8]>,
    pps: Option<&'a [u8]>,
}

impl<'a> Sets<'a> {
    /// Looks at the units up to the first whole collection.
    fn find(codec: Codec, bytes: &'a [u8]) -> Self {
        let mut sets = Self::default();
        for unit in Units::new(bytes).map(|(from, end)| &bytes[from..end]) {
            let place = match (codec, kind(codec, unit)) {
                (Codec::H264, h264::SPS) | (Codec::Hevc, hevc::SPS) => &mut sets.sps,
                (Codec::H264, h264::PPS) | (Codec::Hevc, hevc::PPS) => &mut sets.pps,
                (Codec::Hevc, hevc::VPS) => &mut sets.vps,
                _ => continue,
            };
            place.get_or_insert(unit);
            if sets.record(codec).is_some() {
                break;
            }
        }
        sets
    }

    fn record(&self, codec: Codec) -> Option<Vec<u8>> {
        match codec {
            Codec::Hevc => hevc::record(self.vps?, self.sps?, self.pps?),
            _ => h264::record(self.sps?, self.pps?),
        }
    }

    fn has(&self, unit: &[u8]) -> bool {
        [self.vps, self.sps, self.pps].contains(&Some(unit))
    }
}

fn kind(codec: Codec, unit: &[u8]) -> u8 {
    if codec == Codec::Hevc { hevc::kind(unit) } else { h264::kind(unit) }
}

/// H.264 and HEVC: units get their lengths before them; delimiters, filling and the parameter sets
/// that the track has go.
fn coded(builder: &mut Builder<'_>, declared: &Declared, stream: &Stream) -> Result<(), Error> {
    let (codec, bytes) = (declared.codec, stream.bytes());
    let sets = Sets::find(codec, bytes);
    let Some(config) = sets.record(codec) else {
        return Err(Error::missing(builder.bytes().len(), "the parameter sets of its picture"));
    };
    let shape = Shape::Video { width: 0, height: 0 };
    let new = Track { codec, shape, config, frame_ns: None, reorder: 0 };
    let track = builder.track(declared.at, new)?;
    let mut units = Units::new(bytes).peekable();
    let mut parts = Vec::new();
    for (mark, end) in between(stream) {
        parts.clear();
        let (mut key, mut firsts) = (false, 0);
        while let Some((from, until)) = units.next_if(|(from, _)| from - START_BYTES < end) {
            let unit = &bytes[from..until];
            let role = role(codec, unit);
            key |= role.key;
            firsts += u32::from(role.first);
            if from - START_BYTES < mark.from || role.left_out || sets.has(unit) {
                continue;
            }
            parts.push(Part::prefix(unit.len()));
            stream.parts(from, unit.len(), |part| parts.push(part));
        }
        let at = stream.place(mark.from);
        if firsts > 2 {
            return Err(Error::bad(at, "several pictures have one time"));
        }
        builder.frame(Found { track, key, pts: mark.pts, lasts: 0, at }, &parts)?;
    }
    Ok(())
}

/// What a unit is to its frame.
struct Role {
    key: bool,
    /// Whether a picture or a field begins with it.
    first: bool,
    left_out: bool,
}

fn role(codec: Codec, unit: &[u8]) -> Role {
    let kind = kind(codec, unit);
    let second = unit.get(1).copied().unwrap_or(0);
    if codec == Codec::Hevc {
        let third = unit.get(2).copied().unwrap_or(0);
        let left_out = matches!(kind, hevc::DELIMITER | 38) || unit.len() < 2;
        return Role { key: hevc::is_key(kind), first: kind < 32 && third & 0x80 != 0, left_out };
    }
    // A recovery point (annex D.1.8) is as good as an instantaneous refresh.
    let recovery = kind == 6 && second == 6;
    let first = matches!(kind, 1 | 5) && second & 0x80 != 0;
    let left_out = matches!(kind, h264::DELIMITER | 12) || unit.is_empty();
    Role { key: kind == h264::IDR || recovery, first, left_out }
}

/// Bytes of a start code.
const START_BYTES: usize = 3;

/// The units of a byte stream (ISO 14496-10, annex B), without start codes and trailing zeros.
struct Units<'a> {
    bytes: &'a [u8],
    /// Behind the next start code.
    from: Option<usize>,
}

impl<'a> Units<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, from: start_code(bytes, 0).map(|at| at + START_BYTES) }
    }
}

impl Iterator for Units<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.from?;
        let next = start_code(self.bytes, from);
        self.from = next.map(|at| at + START_BYTES);
        let unit = &self.bytes[from..next.unwrap_or(self.bytes.len())];
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        Some((from, from + len))
    }
}

/// Where the next start code is.
fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    // The third byte tells how far the next can be.
    while let Some(byte) = bytes.get(at) {
        match byte {
            1 if bytes[at - 2..at] == [0, 0] => return Some(at - 2),
            0 => at += 1,
            _ => at += 3,
        }
    }
    None
}

/// A sound's frames, one after the other; each says how long it is.
fn sounds(builder: &mut Builder<'_>, declared: &Declared, stream: &Stream) -> Result<(), Error> {
    let bytes = stream.bytes();
    let mut marks = stream.marks().iter().peekable();
    let mut at = marks.peek().map_or(bytes.len(), |mark| mark.from);
    let (mut track, mut pts, mut parts) = (None, 0, Vec::new());
    while at < bytes.len() {
        let place = stream.place(at);
        let sound = sound(declared, &bytes[at..]).map_err(|what| Error::bad(place, what))?;
        while let Some(mark) = marks.next_if(|mark| mark.from <= at) {
            pts = mark.pts;
        }
        let whole = sound.head + sound.body;
        if bytes.len() - at < whole {
            let (wants, left) = (whole as u64, (bytes.len() - at) as u64);
            return Err(Error::Cut { at: place as u64, what: "a frame of sound", wants, left });
        }
        let lasts = nanoseconds(sound.samples.into(), sound.rate);
        parts.clear();
        stream.parts(at + sound.head, sound.body, |part| parts.push(part));
        let index = match track {
            Some(index) => index,
            None => *track.insert(builder.track(declared.at, sound.track(declared.codec))?),
        };
        builder.frame(Found { track: index, key: true, pts, lasts, at: place }, &parts)?;
        pts = pts.saturating_add_unsigned(lasts);
        at += whole;
    }
    Ok(())
}

/// What a frame of sound says of itself.
struct Sound {
    /// Bytes before the frame that are no part of it.
    head: usize,
    body: usize,
    samples: u32,
    rate: u32,
    channels: u8,
    config: Vec<u8>,
}

impl Sound {
    fn track(self, codec: Codec) -> Track {
        let shape = Shape::Audio { rate: self.rate, channels: self.channels };
        Track { codec, shape, config: self.config, frame_ns: None, reorder: 0 }
    }
}

fn sound(declared: &Declared, bytes: &[u8]) -> Result<Sound, &'static str> {
    match declared.codec {
        Codec::Aac => aac(bytes).ok_or("no ADTS header where a frame of AAC should begin"),
        Codec::Ac3 => {
            let (sound, config) =
                audio::ac3(bytes).ok_or("no header where a frame of AC-3 should begin")?;
            Ok(Sound { config: config.to_vec(), ..plain(sound) })
        }
        Codec::Opus => opus(bytes, declared.channels).ok_or("no header where Opus should begin"),
        _ => audio::mp3(bytes).map(plain).ok_or("no header where MPEG audio should begin"),
    }
}

fn plain(sound: audio::Sound) -> Sound {
    let audio::Sound { rate, channels, samples, bytes } = sound;
    Sound { head: 0, body: bytes, samples, rate, channels, config: Vec::new() }
}

fn aac(bytes: &[u8]) -> Option<Sound> {
    let adts = audio::adts(bytes)?;
    let told = audio::aac(&adts.config)?;
    Some(Sound {
        head: adts.header,
        body: adts.frame - adts.header,
        samples: told.samples,
        rate: told.rate,
        channels: told.channels,
        config: adts.config.to_vec(),
    })
}

/// An Opus packet behind its control header (Opus in MPEG-2 ts, 4.2).
fn opus(bytes: &[u8], channels: u8) -> Option<Sound> {
    let head = bytes.first_chunk::<2>()?;
    if head[0] != 0x7f || head[1] & 0xe0 != 0xe0 {
        return None;
    }
    let (mut at, mut body) = (2, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        body += usize::from(byte);
        if byte != 255 {
            break;
        }
    }
    at += if head[1] & 0x10 == 0 { 0 } else { 2 };
    at += if head[1] & 0x08 == 0 { 0 } else { 2 };
    if head[1] & 0x04 != 0 {
        at += 1 + usize::from(*bytes.get(at)?);
    }
    let samples = audio::opus_samples(bytes.get(at..)?)?;
    let family = u8::from(channels > 2);
    let mut config = b"OpusHead\x01".to_vec();
    config.extend([channels, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, family]);
    if family == 1 {
        config.extend(SURROUND[usize::from(channels) - 3]);
        config.extend((0..channels).map(|at| ORDER[usize::from(channels) - 3][usize::from(at)]));
    }
    Some(Sound { head: at, body, samples, rate: 48_000, channels, config })
}

/// Streams and coupled streams of 3 to 8 channels, and the order of these (RFC 7845, 5.1.1.2).
const SURROUND: [[u8; 2]; 6] = [[2, 1], [2, 2], [3, 2], [4, 2], [4, 3], [5, 3]];
const ORDER: [[u8; 8]; 6] = [
    [0, 2, 1, 0, 0, 0, 0, 0],
    [0, 1, 2, 3, 0, 0, 0, 0],
    [0, 4, 1, 2, 3, 0, 0, 0],
    [0, 4, 1, 2, 3, 5, 0, 0],
    [0, 4, 1, 2, 3, 5, 6, 0],
    [0, 6, 1, 2, 3, 4, 5, 7],
];

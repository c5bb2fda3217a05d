//! Sample entries (ISO 14496-12, 8.5.2): what a track's frames are.

use crate::base::limits;
use crate::base::text::escaped;
use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::codec::video;
use crate::container::mp4::boxes::{self, Box, version};
use crate::container::types::{Codec, Shape, Track};

/// The track that an `stsd` describes.
pub(super) fn track(mut described: Cursor<'_>, is_video: bool) -> Result<Track, Error> {
    version(&mut described)?;
    let at = described.at();
    if described.u32("an stsd box")? != 1 {
        return Err(Error::bad(at, "a track has none or several descriptions"));
    }
    let entry = boxes::next(&mut described)?;
    let mut body = entry.body.clone();
    let shape = if is_video { visual(&mut body)? } else { sounding(&mut body)? };
    let (codec, config) = parameters(&entry, &body, is_video)?;
    if config.len() > limits::CODEC_CONFIG_BYTES_MAX {
        let most = limits::CODEC_CONFIG_BYTES_MAX as u64;
        return Err(Error::TooMany { at: entry.at as u64, what: "bytes of parameters", most });
    }
    let told = video::mpeg2_sequence(&config).filter(|_| codec == Codec::Mpeg2);
    let reorder = u8::from(codec == Codec::Mpeg2);
    Ok(Track { codec, shape, config, frame_ns: told.and_then(|told| told.frame_ns), reorder })
}

fn visual(body: &mut Cursor<'_>) -> Result<Shape, Error> {
    body.take(24, "a picture's description")?;
    let width = body.u16("a picture's description")?;
    let height = body.u16("a picture's description")?;
    body.take(50, "a picture's description")?;
    Ok(Shape::Video { width, height })
}

/// `QuickTime` has versions of this that are longer.
fn sounding(body: &mut Cursor<'_>) -> Result<Shape, Error> {
    body.take(8, "a sound's description")?;
    let version = body.u16("a sound's description")?;
    body.take(6, "a sound's description")?;
    let channels = body.u16("a sound's description")?;
    body.take(6, "a sound's description")?;
    let rate = body.u32("a sound's description")? >> 16;
    body.take([0, 16, 36].get(usize::from(version)).copied().unwrap_or(0), "a sound")?;
    Ok(Shape::Audio { rate, channels: u8::try_from(channels.clamp(1, 255)).unwrap_or(1) })
}

/// The codec of an entry and its parameters in the form of [`Track::config`].
fn parameters(
    entry: &Box<'_>,
    body: &Cursor<'_>,
    is_video: bool,
) -> Result<(Codec, Vec<u8>), Error> {
    let find = |kind: [u8; 4]| child(body.clone(), kind, entry.at);
    let full = |kind: [u8; 4]| {
        let mut body = find(kind)?;
        version(&mut body)?;
        Ok::<_, Error>(body)
    };
    let plain = |codec, kind| Ok((codec, find(kind)?.rest().to_vec()));
    match &entry.kind {
        b"avc1" | b"avc3" => plain(Codec::H264, *b"avcC"),
        b"hvc1" | b"hev1" => plain(Codec::Hevc, *b"hvcC"),
        b"av01" => plain(Codec::Av1, *b"av1C"),
        b"vp09" => Ok((Codec::Vp9, full(*b"vpcC")?.rest().to_vec())),
        b"ac-3" => plain(Codec::Ac3, *b"dac3"),
        b"Opus" => Ok((Codec::Opus, opus_head(&find(*b"dOps")?)?)),
        b"fLaC" => Ok((Codec::Flac, full(*b"dfLa")?.rest().to_vec())),
        b".mp3" => Ok((Codec::Mp3, Vec::new())),
        b"mp4a" | b"mp4v" => stream(full(*b"esds")?, is_video),
        other => {
            let (at, name) = (entry.at as u64, escaped(other));
            Err(Error::Codec { at, kind: "the sample entry", name })
        }
    }
}

/// The first box of a kind inside an entry, or where `QuickTime` has it: in a `wave` box there.
fn child(body: Cursor<'_>, kind: [u8; 4], at: usize) -> Result<Cursor<'_>, Error> {
    let inside = |body| {
        let wave = find(body, *b"wave")?;
        wave.map_or(Ok(None), |wave| find(wave, kind))
    };
    let found = match find(body.clone(), kind)? {
        Some(found) => Some(found),
        None => inside(body)?,
    };
    found.ok_or(Error::bad(at, "a description lacks the box with its codec's parameters"))
}

fn find(mut body: Cursor<'_>, kind: [u8; 4]) -> Result<Option<Cursor<'_>>, Error> {
    // QuickTime ends some lists with four zero bytes.
    while body.left() >= 8 {
        let found = boxes::next(&mut body)?;
        if found.kind == kind {
            return Ok(Some(found.body));
        }
    }
    Ok(None)
}

/// An `OpusHead` of `dOps`: the same fields, the other way round.
fn opus_head(body: &Cursor<'_>) -> Result<Vec<u8>, Error> {
    let fields = body.rest();
    let Some((fixed, mapping)) = fields.split_first_chunk::<11>() else {
        return Err(body.bad("a dOps box is too short"));
    };
    let mut head = b"OpusHead\x01".to_vec();
    head.extend([1, 3, 2, 7, 6, 5, 4, 9, 8, 10].map(|at: usize| fixed[at]));
    head.extend(mapping);
    Ok(head)
}

/// What an elementary stream's descriptors say (ISO 14496-1, 7.2.6).
fn stream(mut body: Cursor<'_>, is_video: bool) -> Result<(Codec, Vec<u8>), Error> {
    let mut es = descriptor(&mut body, 3)?;
    es.take(2, "an esds box")?;
    let flags = es.u8("an esds box")?;
    if flags & 0x80 != 0 {
        es.take(2, "an esds box")?;
    }
    if flags & 0x40 != 0 {
        let length = es.u8("an esds box")?;
        es.take(length.into(), "an esds box")?;
    }
    if flags & 0x20 != 0 {
        es.take(2, "an esds box")?;
    }
    let mut decoder = descriptor(&mut es, 4)?;
    let at = decoder.at();
    let object = decoder.u8("an esds box")?;
    decoder.take(12, "an esds box")?;
    let specific = if decoder.is_done() { None } else { Some(descriptor(&mut decoder, 5)?) };
    let specific = specific.map_or(Vec::new(), |body| body.rest().to_vec());
    match object {
        0x40 | 0x66..=0x68 if !is_video => Ok((Codec::Aac, specific)),
        0x69 | 0x6b if !is_video => Ok((Codec::Mp3, Vec::new())),
        0x60..=0x65 | 0x6a if is_video => Ok((Codec::Mpeg2, specific)),
        _ => {
            let (at, name) = (at as u64, format!("0x{object:02x}"));
            Err(Error::Codec { at, kind: "the object type", name })
        }
    }
}

/// The contents of the next descriptor, which must have this tag.
fn descriptor<'a>(body: &mut Cursor<'a>, tag: u8) -> Result<Cursor<'a>, Error> {
    let at = body.at();
    if body.u8("a descriptor")? != tag {
        return Err(Error::bad(at, "the descriptors of a stream are not in order"));
    }
    let mut length = 0_u64;
    for _ in 0..4 {
        let byte = body.u8("a descriptor")?;
        length = length << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    body.part(length, "a descriptor")
}

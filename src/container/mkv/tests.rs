//! Elements and laces, sound and not.

use proptest::prelude::*;

use super::{ebml, lacing, read};
use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::types::Codec;

const LACED_XIPH: u8 = 1;
const LACED_EVENLY: u8 = 2;
const LACED_EBML: u8 = 3;

fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ebml::put(&mut bytes, id, body);
    bytes
}

/// An EBML header, `Tracks` with one track of MP3 in these encodings, a Cluster of unknown size.
fn file(encodings: &[u8], blocks: &[&[u8]]) -> Vec<u8> {
    let rate = 44_100_f32.to_be_bytes();
    let parts = [
        element(ebml::id::TRACK_NUMBER, &[1]),
        element(ebml::id::TRACK_TYPE, &[2]),
        element(ebml::id::CODEC_ID, b"A_MPEG/L3"),
        element(ebml::id::AUDIO, &element(ebml::id::SAMPLING_FREQUENCY, &rate)),
        encodings.to_vec(),
    ];
    let entry = element(ebml::id::TRACK_ENTRY, &parts.concat());
    let mut bytes = element(ebml::id::EBML, &element(ebml::id::DOC_TYPE, b"matroska"));
    bytes.extend([0x18, 0x53, 0x80, 0x67, 0xff]);
    bytes.extend(element(ebml::id::TRACKS, &entry));
    bytes.extend([0x1f, 0x43, 0xb6, 0x75, 0xff, 0xe7, 0x81, 0]);
    bytes.extend(blocks.iter().flat_map(|block| element(ebml::id::SIMPLE_BLOCK, block)));
    bytes.extend(element(ebml::id::CUES, &[]));
    bytes
}

/// The head of a frame of MP3 of 417 bytes, which is all of it that is looked at.
const MP3: [u8; 4] = [0xff, 0xfb, 0x90, 0xc4];

#[test]
fn what_was_laced_comes_apart() {
    let laced = |flags: u8, sizes: &[u8]| {
        let block = [&[0x81, 0, 0, flags], sizes, &MP3, &MP3, &MP3[..]].concat();
        read(&file(&[], &[&block])).unwrap()
    };
    for (flags, sizes) in [
        (LACED_XIPH << 1, &[2, 4, 4][..]),
        (LACED_EVENLY << 1, &[2]),
        (LACED_EBML << 1, &[2, 0x84, 0xbf]),
    ] {
        let block = laced(flags, sizes);
        assert_eq!(block.tracks[0].codec, Codec::Mp3);
        let frames: Vec<_> = block.frames.iter().map(|f| (f.pts, block.frame_bytes(f))).collect();
        assert_eq!(frames, [(0, 4), (26_122_449, 4), (52_244_898, 4)], "lacing {flags}");
    }
}

#[test]
fn stripped_heads_are_put_back_as_pieces() {
    let compression = [
        element(ebml::id::CONTENT_COMP_ALGO, &[3]),
        element(ebml::id::CONTENT_COMP_SETTINGS, &MP3[..2]),
    ];
    let compression = element(ebml::id::CONTENT_COMPRESSION, &compression.concat());
    let encoding = element(ebml::id::CONTENT_ENCODING, &compression);
    let encodings = element(ebml::id::CONTENT_ENCODINGS, &encoding);
    let bytes = file(&encodings, &[&[0x81, 0, 0, 0x80, 0x90, 0xc4]]);
    let block = read(&bytes).unwrap();
    let parts = block.parts(&block.frames[0]);
    let whole: Vec<u8> = parts.iter().flat_map(|p| bytes[p.range().unwrap()].to_vec()).collect();
    assert_eq!(whole, MP3);
    assert_eq!(block.tracks[0].rate(), 44_100);
}

#[test]
fn other_encodings_are_refused_by_name() {
    let told = |inside: Vec<u8>| {
        let encoding = element(ebml::id::CONTENT_ENCODING, &inside);
        let bytes = file(&element(ebml::id::CONTENT_ENCODINGS, &encoding), &[]);
        read(&bytes).unwrap_err().to_string()
    };
    let zlib = element(ebml::id::CONTENT_COMPRESSION, &element(ebml::id::CONTENT_COMP_ALGO, &[0]));
    assert!(told(zlib).contains("compression other than stripped headers"));
    assert!(told(element(ebml::id::CONTENT_ENCRYPTION, &[])).contains("encryption"));
}

#[test]
fn what_is_wrong_is_told_with_its_byte() {
    let bytes = file(&[], &[&[0x85, 0, 0, 0x80, 1]]);
    let error = read(&bytes).unwrap_err();
    let at = bytes.len() - 5 - 5;
    let what = "a frame of a track that Tracks does not name";
    assert_eq!(error, Error::Bad { at: at as u64, what });
    assert_eq!(error.to_string(), format!("byte {at}: {what}"));
    let uneven = file(&[], &[&[0x81, 0, 0, LACED_EVENLY << 1, 2, 1, 2]]);
    assert!(read(&uneven).unwrap_err().to_string().contains("do not fill their block"));
    let none = file(&[], &[]);
    assert_eq!(read(&none), Err(Error::missing(none.len(), "a frame of its first track")));
    let long = [&none[..], &[0xa3, 0x90]].concat();
    assert!(matches!(read(&long), Err(Error::Cut { what: "a SimpleBlock", wants: 16, .. })));
}

#[test]
fn a_lace_below_nothing_is_an_error() {
    let bytes = [1, 2, 0x81, 0x80, 0];
    assert!(lacing::sizes(&mut Cursor::new(&bytes[1..]), LACED_EBML).is_err());
}

proptest! {
    #[test]
    fn numbers_are_read_as_they_were_written(value in 0..(1_u64 << 56) - 1) {
        let mut bytes = Vec::new();
        ebml::put_vint(&mut bytes, value);
        let (read, width) = ebml::vint(&mut Cursor::new(&bytes)).unwrap();
        prop_assert_eq!((read, width as usize), (value, bytes.len()));
        prop_assert_ne!(read, (1 << (7 * width)) - 1, "that would mean unknown");
    }

    #[test]
    fn any_bytes_behind_a_header_are_survived(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = file(&[], &[]);
        bytes.extend(rest);
        drop(read(&bytes));
    }
}

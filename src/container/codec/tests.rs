//! Headers of codecs as encoders write them.

use super::*;
use crate::container::bytes::unescaped;

/// Of the demo movies: 640 x 360, no frame held back.
const SPS: [u8; 30] = [
    0x67, 0x64, 0x00, 0x1e, 0xac, 0xb3, 0x01, 0x40, 0x5f, 0xf2, 0xe0, 0x2d, 0x40, 0x80, 0x80, 0x50,
    0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x62, 0xe6, 0x80,
];
const PPS: [u8; 6] = [0x68, 0xe9, 0x70, 0x64, 0xb2, 0x2c];

#[test]
fn a_picture_is_as_large_as_its_parameter_set_says() {
    let picture = h264::Picture { width: 640, height: 360, reorder: 0 };
    assert_eq!(h264::picture(&SPS), Some(picture));
    for len in 0..10 {
        assert_eq!(h264::picture(&SPS[..len]), None, "cut at {len}");
    }
}

#[test]
fn avcc_is_put_together_as_encoders_do_and_taken_apart() {
    let record = h264::record(&SPS, &PPS).unwrap();
    let head = [1, 0x64, 0, 0x1e, 0xff, 0xe1, 0, 30];
    let expected = [&head[..], &SPS, &[1, 0, 6], &PPS, &[0xfd, 0xf8, 0xf8, 0]].concat();
    assert_eq!(record, expected);
    let config = h264::config(&record).unwrap();
    assert_eq!((config.prefix, config.sps, config.pps), (4, vec![&SPS[..]], vec![&PPS[..]]));
    for len in 0..record.len() - 4 {
        assert!(h264::config(&record[..len]).is_none(), "cut at {len}");
    }
}

#[test]
fn escapes_are_taken_out_where_they_are_escapes() {
    assert_eq!(unescaped(&[0, 0, 3, 1]), [0, 0, 1]);
    assert_eq!(unescaped(&[0, 0, 3, 3]), [0, 0, 3]);
    assert_eq!(unescaped(&[0, 0, 3, 0, 0, 3, 0]), [0, 0, 0, 0, 0]);
    assert_eq!(unescaped(&[0, 3, 0, 0]), [0, 3, 0, 0]);
}

#[test]
fn units_end_with_an_error_where_one_is_cut() {
    let all = |bytes: &[u8], prefix| {
        Units::new(bytes, prefix).map(|u| u.map(<[u8]>::len)).collect::<Vec<_>>()
    };
    assert_eq!(all(&[0, 0, 0, 1, 9, 0, 0, 0, 0], 4), [Ok(1), Ok(0)]);
    assert_eq!(all(&[1, 9, 2, 9], 1), [Ok(1), Err(2)]);
    assert_eq!(all(&[0, 1], 4), [Err(0)]);
    assert_eq!(all(&[], 4), []);
}

#[test]
fn adts_says_what_the_specific_config_says() {
    let aac = audio::aac(&[0x11, 0x90]).unwrap();
    assert_eq!((aac.object, aac.rate, aac.channels, aac.samples), (2, 48_000, 2, 1024));
    let header = audio::adts_header(aac, 300).unwrap();
    let read = audio::adts(&header).unwrap();
    assert_eq!((read.header, read.frame, read.config), (7, 307, [0x11, 0x90]));
    assert!(audio::adts_header(aac, 8185).is_none(), "13 bits hold no more");
    // Spectral band replication, told in front: the core is at half the rate.
    let extended = audio::aac(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
    assert_eq!((extended.object, extended.rate), (2, 24_000));
    assert!(audio::aac(&[0x11]).is_none());
}

#[test]
fn frames_of_sound_say_how_long_they_are() {
    let mp3 = audio::mp3(&[0xff, 0xfb, 0x90, 0xc4]).unwrap();
    let expected = audio::Sound { rate: 44_100, channels: 1, samples: 1152, bytes: 417 };
    assert_eq!(mp3, expected);
    assert!(audio::mp3(&[0xff, 0xfb, 0xf0, 0xc4]).is_none());
    let (ac3, dac3) = audio::ac3(&[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0]).unwrap();
    assert_eq!((ac3.rate, ac3.channels, ac3.samples, ac3.bytes), (48_000, 2, 1536, 768));
    assert_eq!(audio::dac3(&dac3), Some((48_000, 2)));
    assert_eq!(audio::opus_samples(&[0xfc]), Some(960));
    assert_eq!(audio::opus_samples(&[0xff, 0x03]), Some(2880));
    assert_eq!(audio::opus_samples(&[0xff, 0x3f]), None, "more than 120 ms");
    assert_eq!(audio::flac_samples(&[0xff, 0xf8, 0xc9, 0x18, 0, 0]), Some(4096));
    assert_eq!(audio::flac_samples(&[0xff, 0xf8, 0x79, 0x18, 0, 0x0f, 0xff]), Some(4096));
}

#[test]
fn pictures_of_other_codecs_are_told_by_their_first_bytes() {
    let vp9 = video::vp9_config(&[0x82, 0x49, 0x83, 0x42, 0x00, 0x04, 0xf0]).unwrap();
    assert_eq!(vp9[..3], [0, 0, 0x82]);
    assert!(video::vp9_config(&[0x86, 0, 0x40, 0x92]).is_none(), "no key frame");
    let header = [0, 0, 1, 0xb3, 0x28, 0x01, 0x68, 0x13, 0xff, 0xff, 0xe0, 0x18];
    let frame = [&header[..], &[0, 0, 1, 0, 0, 0x0f, 0xff]].concat();
    assert_eq!(video::mpeg2_header(&frame), Some(&header[..]));
    let told = video::mpeg2_sequence(&header).unwrap();
    assert_eq!((told.width, told.height, told.frame_ns), (640, 360, Some(40_000_000)));
    assert!(video::mpeg2_is_key(&frame));
}

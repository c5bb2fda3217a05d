//! One endless Matroska file: a header once, then Clusters with the times of the timeline. Frames
//! stay ranges of the block.

use crate::container::clock::Clock;
use crate::container::mkv::ebml::{self, id};
use crate::container::pieces::Pieces;
use crate::container::types::{Block, Codec, Frame, Shape, Track};

/// A block's time counts from its Cluster's in 16 bits of milliseconds.
const CLUSTER_MS: u64 = 30_000;

const PROGRAM: &[u8] = b"vidstreamd";

/// What stands before the first Cluster: the same for all blocks of one
/// [`signature`](Block::signature).
#[must_use]
pub fn header(block: &Block) -> Vec<u8> {
    let mut head = Vec::new();
    for (id, value) in [(0x4286, 1), (0x42f7, 1), (0x42f2, 4), (0x42f3, 8)] {
        ebml::put_unsigned(&mut head, id, value);
    }
    ebml::put(&mut head, id::DOC_TYPE, b"matroska");
    ebml::put_unsigned(&mut head, 0x4287, 4);
    ebml::put_unsigned(&mut head, 0x4285, 2);
    let mut file = Vec::new();
    ebml::put(&mut file, id::EBML, &head);
    ebml::put_id(&mut file, id::SEGMENT);
    file.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut info = Vec::new();
    ebml::put_unsigned(&mut info, id::TIMESTAMP_SCALE, 1_000_000);
    ebml::put(&mut info, id::MUXING_APP, PROGRAM);
    ebml::put(&mut info, id::WRITING_APP, PROGRAM);
    ebml::put(&mut file, id::INFO, &info);
    let mut tracks = Vec::new();
    for (number, track) in (1..).zip(&block.tracks) {
        ebml::put(&mut tracks, id::TRACK_ENTRY, &entry(number, track));
    }
    ebml::put(&mut file, id::TRACKS, &tracks);
    file
}

fn entry(number: u64, track: &Track) -> Vec<u8> {
    let mut entry = Vec::new();
    ebml::put_unsigned(&mut entry, id::TRACK_NUMBER, number);
    ebml::put_unsigned(&mut entry, id::TRACK_UID, number);
    ebml::put_unsigned(&mut entry, id::TRACK_TYPE, if track.codec.is_video() { 1 } else { 2 });
    ebml::put_unsigned(&mut entry, id::FLAG_LACING, 0);
    ebml::put(&mut entry, id::CODEC_ID, codec_id(track.codec));
    let private = private(track);
    if !private.is_empty() {
        ebml::put(&mut entry, id::CODEC_PRIVATE, &private);
    }
    if track.codec == Codec::Opus {
        ebml::put_unsigned(&mut entry, id::SEEK_PRE_ROLL, 80_000_000);
    }
    let mut shape = Vec::new();
    match track.shape {
        Shape::Video { width, height } => {
            if let Some(ns) = track.frame_ns {
                ebml::put_unsigned(&mut entry, id::DEFAULT_DURATION, ns);
            }
            ebml::put_unsigned(&mut shape, id::PIXEL_WIDTH, width.into());
            ebml::put_unsigned(&mut shape, id::PIXEL_HEIGHT, height.into());
            ebml::put(&mut entry, id::VIDEO, &shape);
        }
        Shape::Audio { rate, channels } => {
            ebml::put(&mut shape, id::SAMPLING_FREQUENCY, &f64::from(rate).to_be_bytes());
            ebml::put_unsigned(&mut shape, id::CHANNELS, channels.into());
            ebml::put(&mut entry, id::AUDIO, &shape);
        }
    }
    entry
}

fn codec_id(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::H264 => b"V_MPEG4/ISO/AVC",
        Codec::Hevc => b"V_MPEGH/ISO/HEVC",
        Codec::Av1 => b"V_AV1",
        Codec::Vp9 => b"V_VP9",
        Codec::Mpeg2 => b"V_MPEG2",
        Codec::Aac => b"A_AAC",
        Codec::Mp3 => b"A_MPEG/L3",
        Codec::Ac3 => b"A_AC3",
        Codec::Opus => b"A_OPUS",
        Codec::Vorbis => b"A_VORBIS",
        Codec::Flac => b"A_FLAC",
    }
}

fn private(track: &Track) -> Vec<u8> {
    match track.codec {
        Codec::Vp9 | Codec::Ac3 | Codec::Mp3 => Vec::new(),
        Codec::Flac => [b"fLaC", track.config.as_slice()].concat(),
        _ => track.config.clone(),
    }
}

/// A block's Clusters. The first frame of each is the one that is decoded first; a key frame of
/// the picture begins a new one.
#[must_use]
pub fn clusters(block: &Block, clock: &Clock) -> Pieces {
    let mut pieces = Pieces::default();
    let frames = clock.frames(block);
    let time = |frame: &Frame| clock.ticks(frame.pts, 1000);
    let mut rest = frames.as_slice();
    while let Some(first) = rest.first() {
        let starts = time(first);
        let ends = |frame: &Frame| {
            time(frame).abs_diff(starts) > CLUSTER_MS || frame.key && frame.track == 0
        };
        let count = rest[1..].iter().position(ends).map_or(rest.len(), |at| at + 1);
        let (cluster, after) = rest.split_at(count);
        put_cluster(&mut pieces, block, cluster, (starts, &time));
        rest = after;
    }
    pieces
}

fn put_cluster(
    pieces: &mut Pieces,
    block: &Block,
    frames: &[Frame],
    (starts, time): (u64, &dyn Fn(&Frame) -> u64),
) {
    let mut head = Vec::new();
    ebml::put_unsigned(&mut head, id::TIMESTAMP, starts);
    let sizes = frames.iter().map(|frame| block_size(block, frame));
    let whole = |size: u64| size + 1 + vint_bytes(size);
    let all = head.len() as u64 + sizes.map(whole).sum::<u64>();
    let mut made = Vec::new();
    ebml::put_head(&mut made, id::CLUSTER, all);
    made.extend(head);
    for frame in frames {
        ebml::put_head(&mut made, id::SIMPLE_BLOCK, block_size(block, frame));
        ebml::put_vint(&mut made, u64::from(frame.track) + 1);
        let relative = i128::from(time(frame)) - i128::from(starts);
        let relative = i16::try_from(relative).expect("a Cluster holds 30 s either way");
        made.extend(relative.to_be_bytes());
        made.push(if frame.key || !block.tracks[usize::from(frame.track)].codec.is_video() {
            0x80
        } else {
            0
        });
        pieces.make(&made);
        made.clear();
        block.parts(frame).iter().for_each(|part| pieces.part(*part));
    }
}

/// Bytes of a `SimpleBlock` without its head: number, time, flags, frame.
fn block_size(block: &Block, frame: &Frame) -> u64 {
    4 + u64::from(block.frame_bytes(frame))
}

fn vint_bytes(value: u64) -> u64 {
    (1..8).find(|width| value < (1 << (7 * width)) - 1).unwrap_or(8)
}

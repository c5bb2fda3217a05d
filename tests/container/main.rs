//! The readers of blocks over small blocks of every container: cut anywhere, changed anywhere, they
//! say what is wrong or read a block, in memory for at most four times their bytes; and what the
//! writers make of a block is read back as the same frames. No player is needed here.

#![expect(clippy::disallowed_methods, reason = "a test outside the program reads its own files")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod boxes;
mod packets;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use peak_alloc::PeakAlloc;
use vidstreamd::base::rng::Rng;
use vidstreamd::container::{self, Block, Clock, Error, Frame, Output, Slice};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes below which a block may take more than four times as many.
const SMALL: usize = 64 << 10;

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Every block of the corpus, with its name.
fn blocks() -> Vec<(String, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut blocks = Vec::new();
    for container in ["container_mkv", "container_mp4", "container_ts"] {
        for file in fs::read_dir(corpus.join(container)).unwrap() {
            let path = file.unwrap().path();
            let name = format!("{container}/{}", path.file_name().unwrap().to_string_lossy());
            blocks.push((name, fs::read(path).unwrap()));
        }
    }
    blocks.sort();
    blocks
}

/// Reads, and tells how much memory that took at most.
fn measured(bytes: &[u8]) -> (Result<Block, Error>, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let read = container::read(bytes);
    (read, MEMORY.peak_usage().saturating_sub(before))
}

fn clock(block: &Block, seq: u64) -> Clock {
    let starts_ns = i64::try_from(seq * block.lasts_ns).unwrap();
    Clock { seq, starts_ns, lasts_ns: block.lasts_ns, first: false, last: false, stands_in: false }
}

/// One output of a block, as a file.
fn made(output: Output, bytes: &[u8], block: &Block, seq: u64) -> Vec<u8> {
    made_at(output, bytes, block, &clock(block, seq))
}

fn made_at(output: Output, bytes: &[u8], block: &Block, clock: &Clock) -> Vec<u8> {
    match output {
        Output::Mkv => {
            let clusters = container::mkv::clusters(block, clock).bytes(bytes);
            [container::mkv::header(block), clusters].concat()
        }
        Output::Mp4 => {
            let fragments = container::mp4::fragments(block, clock, None).unwrap();
            let init = container::mp4::init(block).unwrap();
            [init, fragments.pieces.bytes(bytes)].concat()
        }
        Output::Ts => container::ts::packets(bytes, block, clock).unwrap(),
    }
}

/// A frame's bytes.
fn payload(bytes: &[u8], block: &Block, frame: &Frame) -> Vec<u8> {
    let mut payload = Vec::new();
    for part in block.parts(frame) {
        match part.range() {
            Some(range) => payload.extend_from_slice(&bytes[range]),
            None => payload.extend(part.length_prefix().unwrap()),
        }
    }
    payload
}

#[test]
fn blocks_of_every_container_are_read() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(block.tracks.len(), 2, "{name}");
        let pictures = block.frames_of(0).count();
        assert_eq!(pictures, 10, "{name}");
        assert_eq!(block.lasts_ns, 400_000_000, "{name}");
        assert!(block.frames_of(1).count() >= 4, "{name}");
        assert!(block.frames_of(0).next().unwrap().key, "{name}: begins with a key frame");
        let dts = block.frames_of(0).map(|frame| frame.dts).collect::<Vec<_>>();
        assert!(dts.is_sorted_by(|a, b| a < b), "{name}: {dts:?}");
        assert!(block.frames.iter().all(|frame| frame.dts <= frame.pts), "{name}");
    }
}

#[test]
fn what_is_written_is_read_back_frame_by_frame() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap();
        for output in Output::ALL.into_iter().filter(|output| output.takes(&block).is_ok()) {
            let again = made(output, &bytes, &block, 5);
            let read = container::read(&again).unwrap_or_else(|e| panic!("{name} {output}: {e}"));
            for (track, about) in block.tracks.iter().enumerate() {
                let frames = |bytes: &[u8], block: &Block| -> Vec<_> {
                    let of_track = block.frames_of(track);
                    of_track.map(|f| (payload(bytes, block, f).len(), f.key)).collect()
                };
                let (before, after) = (frames(&bytes, &block), frames(&again, &read));
                assert_eq!(before.len(), after.len(), "{name} {output} {}", about.codec);
                // Units of another length of prefix, sets in band: only ts changes sizes.
                if output != Output::Ts {
                    assert_eq!(before, after, "{name} {output} {}", about.codec);
                    assert_eq!(about.codec, read.tracks[track].codec);
                    assert_eq!(about.shape, read.tracks[track].shape, "{name} {output}");
                }
                let times = block.frames_of(track).zip(read.frames_of(track));
                for (a, b) in times {
                    assert!(a.pts.abs_diff(b.pts) < 1_100_000, "{name} {output}: {a:?} {b:?}");
                }
            }
        }
    }
}

#[test]
fn a_block_cut_anywhere_is_an_error_or_a_shorter_block() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let whole = container::read(&bytes).unwrap();
        let mut errors = 0;
        for len in 0..bytes.len() {
            let (read, memory) = measured(&bytes[..len]);
            assert!(memory <= 4 * len.max(SMALL), "{name} cut at {len}: {memory} bytes");
            match read {
                Ok(block) => assert!(block.frames.len() <= whole.frames.len(), "{name} at {len}"),
                Err(why) => {
                    assert!(why.to_string().starts_with("byte "), "{name} cut at {len}: {why}");
                    errors += 1;
                }
            }
        }
        assert!(errors > bytes.len() / 2, "{name}: {errors} errors");
    }
}

#[test]
fn a_block_changed_anywhere_takes_little_memory() {
    let _alone = alone();
    let seed = 0xb10c;
    println!("seed {seed:#x}");
    let mut rng = Rng::new(seed);
    for (name, bytes) in blocks() {
        for _ in 0..3_000 {
            let mut changed = bytes.clone();
            for _ in 0..=rng.below(6) {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                changed[at] = match rng.below(4) {
                    0 => 0,
                    1 => 0xff,
                    _ => rng.next_u64().to_le_bytes()[0],
                };
            }
            let (read, memory) = measured(&changed);
            if let Err(why) = read {
                assert!(why.to_string().starts_with("byte "), "{name}: {why}");
            }
            assert!(memory <= 4 * bytes.len().max(SMALL), "{name}: {memory} bytes");
        }
    }
}

#[test]
fn a_large_block_of_the_smallest_frames_is_bounded() {
    let _alone = alone();
    let (_, bytes) = blocks().into_iter().find(|(name, _)| name.ends_with("mkv/h264_aac")).unwrap();
    let block = container::read(&bytes).unwrap();
    let mut file = container::mkv::header(&block);
    file.extend([0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    // Sound of one byte a frame, laced and not.
    for lacing in [&[0xa3, 0x85, 0x82, 0, 0, 0x80, 1][..], &[0xa3, 0x88, 0x82, 0, 0, 4, 2, 1, 1, 1]]
    {
        let mut file = file.clone();
        while file.len() < 4 << 20 {
            file.extend(lacing);
        }
        let (read, memory) = measured(&file);
        assert!(matches!(read, Err(Error::TooMany { what: "frames", .. })), "{read:?}");
        assert!(memory <= 4 * file.len(), "{memory} of {}", file.len());
    }
}

#[test]
fn frames_stay_where_they_are_in_mkv_and_mp4() {
    let _alone = alone();
    for (name, bytes) in blocks().into_iter().filter(|(name, _)| !name.contains("ts")) {
        let block = container::read(&bytes).unwrap();
        let all: u64 = block.frames.iter().map(|f| u64::from(block.frame_bytes(f))).sum();
        let body = |pieces: &container::Pieces| -> u64 {
            let of = |slice| if let Slice::Body(range) = slice { range.len() as u64 } else { 0 };
            pieces.slices().map(of).sum()
        };
        assert_eq!(body(&container::mkv::clusters(&block, &clock(&block, 0))), all, "{name}");
        if let Ok(made) = container::mp4::fragments(&block, &clock(&block, 0), None) {
            assert_eq!(body(&made.pieces), all, "{name}");
        }
    }
}

#[test]
fn counters_of_ts_go_on_over_joints() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap();
        if Output::Ts.takes(&block).is_err() {
            continue;
        }
        let mut last = std::collections::BTreeMap::new();
        let mut clocks = Vec::new();
        for seq in 11..17 {
            for packet in made(Output::Ts, &bytes, &block, seq).chunks(188) {
                let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
                let payload = packet[3] & 0x10 != 0;
                if let Some(before) = last.insert(pid, packet[3] & 15) {
                    let expected = (before + u8::from(payload)) & 15;
                    assert_eq!(packet[3] & 15, expected, "{name} block {seq} stream {pid:#x}");
                }
                if packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0 {
                    let base = u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]]);
                    clocks.push(u64::from(base) << 1 | u64::from(packet[10] >> 7));
                }
            }
        }
        assert!(clocks.is_sorted(), "{name}: clock references go on");
        let gap = clocks.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(gap <= 9_000, "{name}: a clock reference each 100 ms, but {gap} ticks");
    }
}

#[test]
fn parts_are_the_whole_fragmented_and_as_short_as_asked() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap();
        let part = core::time::Duration::from_millis(120);
        let Ok(made) = container::mp4::fragments(&block, &clock(&block, 3), Some(part)) else {
            continue;
        };
        assert_eq!(made.runs.len(), 4, "{name}: 10 frames of 40 ms, 3 in a part");
        assert!(made.runs.iter().all(|run| run.lasts_ns <= 120_000_000), "{name}");
        assert!(made.runs[0].independent, "{name}");
        let init = container::mp4::init(&block).unwrap();
        let file = [init, made.pieces.bytes(&bytes)].concat();
        assert_eq!(container::read(&file).unwrap().frames.len(), block.frames.len(), "{name}");
    }
}

#[test]
fn packets_with_a_time_before_each_are_read_too() {
    let _alone = alone();
    for (name, bytes) in blocks().into_iter().filter(|(name, _)| name.contains("_ts")) {
        let timed = |packet: &[u8]| [&[0x12, 0x34, 0x56, 0x78], packet].concat();
        let longer: Vec<u8> = bytes.chunks(188).flat_map(timed).collect();
        let (plain, timed) = (container::read(&bytes).unwrap(), container::read(&longer).unwrap());
        let all = |bytes: &[u8], block: &Block| -> Vec<_> {
            block.frames.iter().map(|f| (f.pts, payload(bytes, block, f))).collect()
        };
        assert_eq!(all(&bytes, &plain), all(&longer, &timed), "{name}");
        let lost = [&bytes[..188 * 6], &bytes[188 * 7..]].concat();
        let error = container::read(&lost).unwrap_err().to_string();
        assert!(error.contains("packets are missing"), "{name}: {error}");
    }
}

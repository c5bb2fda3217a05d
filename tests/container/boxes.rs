//! mp4 as mp4-atom reads it: what the reader takes for the frames of a block, and what the writer
//! makes of one.

use std::io::Cursor;

use mp4_atom::{Any, Decode as _, Moof, Moov, Stbl, StszSamples, Trak};
use vidstreamd::container::{self, Clock, Output};

use crate::{alone, blocks, clock, made_at, payload};

/// A sample: when it is decoded and shown in ticks, and its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sample {
    dts: i64,
    pts: i64,
    lasts: i64,
    bytes: Vec<u8>,
}

/// The samples of a track, and ticks in a second.
struct Samples {
    ticks: i64,
    all: Vec<Sample>,
}

impl Samples {
    fn ns(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * 1_000_000_000 / i128::from(self.ticks)).unwrap()
    }
}

/// Every box of a file, and where it begins.
fn boxes(bytes: &[u8], name: &str) -> Vec<(usize, Any)> {
    let mut cursor = Cursor::new(bytes);
    let mut boxes = Vec::new();
    while cursor.position() < bytes.len() as u64 {
        let at = usize::try_from(cursor.position()).unwrap();
        let read = Any::decode(&mut cursor).unwrap_or_else(|why| panic!("{name} at {at}: {why}"));
        boxes.push((at, read));
    }
    boxes
}

/// What is in the file, a list for each track.
fn samples(bytes: &[u8], name: &str) -> Vec<Samples> {
    let boxes = boxes(bytes, name);
    let moov = boxes.iter().find_map(|(_, one)| match one {
        Any::Moov(moov) => Some(moov),
        _ => None,
    });
    let moov = moov.unwrap_or_else(|| panic!("{name}: no moov"));
    let mut tracks: Vec<Samples> = moov.trak.iter().map(|trak| plain(bytes, trak)).collect();
    for (at, one) in &boxes {
        if let Any::Moof(moof) = one {
            fragment(bytes, moov, (*at, moof), &mut tracks);
        }
    }
    tracks
}

/// Repeats each value as often as its entry says.
fn spread<T: Copy>(entries: impl Iterator<Item = (u32, T)>) -> Vec<T> {
    entries.flat_map(|(count, value)| (0..count).map(move |_| value)).collect()
}

/// The samples that the tables of a track name.
fn plain(bytes: &[u8], trak: &Trak) -> Samples {
    let stbl: &Stbl = &trak.mdia.minf.stbl;
    let sizes = match &stbl.stsz.samples {
        StszSamples::Identical { count, size } => vec![*size; *count as usize],
        StszSamples::Different { sizes } => sizes.clone(),
    };
    let lasts = spread(stbl.stts.entries.iter().map(|e| (e.sample_count, e.sample_delta)));
    let shifts = stbl
        .ctts
        .as_ref()
        .map(|ctts| spread(ctts.entries.iter().map(|e| (e.sample_count, e.sample_offset))));
    let short = stbl.stco.iter().flat_map(|stco| stco.entries.iter().map(|at| u64::from(*at)));
    let long = stbl.co64.iter().flat_map(|co64| co64.entries.iter().copied());
    let chunks: Vec<u64> = short.chain(long).collect();
    let (mut all, mut dts, mut next) = (Vec::new(), 0, 0);
    for (number, at) in (1..).zip(&chunks) {
        let of_chunk = stbl.stsc.entries.iter().rev().find(|e| e.first_chunk <= number).unwrap();
        let mut at = usize::try_from(*at).unwrap();
        for _ in 0..of_chunk.samples_per_chunk {
            let (size, lasts) = (sizes[next] as usize, i64::from(lasts[next]));
            let pts = dts + shifts.as_ref().map_or(0, |shifts| shifts[next]);
            all.push(Sample { dts, pts, lasts, bytes: bytes[at..at + size].to_vec() });
            (dts, at, next) = (dts + lasts, at + size, next + 1);
        }
    }
    assert_eq!(next, sizes.len(), "all samples lie in chunks");
    Samples { ticks: trak.mdia.mdhd.timescale.into(), all }
}

/// The samples of a fragment.
fn fragment(bytes: &[u8], movie: &Moov, (begins, moof): (usize, &Moof), tracks: &mut [Samples]) {
    for traf in &moof.traf {
        let id = traf.tfhd.track_id;
        let number = movie.trak.iter().position(|trak| trak.tkhd.track_id == id).unwrap();
        let mut all = movie.mvex.iter().flat_map(|mvex| &mvex.trex);
        let defaults = all.find(|one| one.track_id == id).unwrap();
        let base = traf.tfhd.base_data_offset.map_or(begins, |base| usize::try_from(base).unwrap());
        let mut dts = i64::try_from(traf.tfdt.as_ref().unwrap().base_media_decode_time).unwrap();
        for trun in &traf.trun {
            let mut from = base + usize::try_from(trun.data_offset.unwrap()).unwrap();
            for entry in &trun.samples {
                let fallback = traf.tfhd.default_sample_duration;
                let lasts = entry.duration.or(fallback).unwrap_or(defaults.default_sample_duration);
                let fallback = traf.tfhd.default_sample_size;
                let size = entry.size.or(fallback).unwrap_or(defaults.default_sample_size) as usize;
                let pts = dts + entry.cts.unwrap_or(0);
                let lasts = i64::from(lasts);
                let bytes = bytes[from..from + size].to_vec();
                tracks[number].all.push(Sample { dts, pts, lasts, bytes });
                (dts, from) = (dts + lasts, from + size);
            }
        }
    }
}

/// Both see the same frames: bytes, and times from the first on.
fn agrees(name: &str, bytes: &[u8]) {
    let block = container::read(bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
    let tracks = samples(bytes, name);
    assert_eq!(block.tracks.len(), tracks.len(), "{name}");
    for (track, samples) in tracks.iter().enumerate() {
        let frames: Vec<_> = block.frames_of(track).collect();
        // The reader leaves out what an edit list does: sound that only leads the decoder in.
        let skipped = samples.all.len() - frames.len();
        let about = &block.tracks[track].codec;
        assert!(skipped <= 2, "{name} {about}: {} and {}", samples.all.len(), frames.len());
        let kept = &samples.all[skipped..];
        let first = samples.ns(kept[0].pts) - frames[0].pts;
        for (frame, sample) in frames.iter().zip(kept) {
            assert_eq!(payload(bytes, &block, frame), sample.bytes, "{name} {about}");
            let apart = (samples.ns(sample.pts) - first).abs_diff(frame.pts);
            assert!(apart <= 1_000, "{name} {about}: {apart} ns");
        }
    }
}

#[test]
fn another_parser_finds_the_same_frames_in_mp4() {
    let _alone = alone();
    let mut count = 0;
    for (name, bytes) in blocks().iter().filter(|(name, _)| name.contains("mp4")) {
        agrees(name, bytes);
        count += 1;
    }
    assert_eq!(count, 3, "plain ones and a fragmented one");
}

#[test]
fn another_parser_reads_what_is_written_as_mp4_and_its_clock_goes_on() {
    let _alone = alone();
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap();
        if Output::Mp4.takes(&block).is_err() {
            continue;
        }
        // The end of a movie and its beginning: of its sound only what has its place there.
        let at = |seq: u64| Clock { first: seq == 6, last: seq == 5, ..clock(&block, seq) };
        let airings = [5, 6].map(|seq| made_at(Output::Mp4, &bytes, &block, &at(seq)));
        for airing in &airings {
            agrees(&name, airing);
        }
        let [before, after] = airings.map(|airing| samples(&airing, &name));
        for (track, (before, after)) in before.iter().zip(&after).enumerate() {
            let last = before.all.last().unwrap();
            let gap = before.ns(after.all[0].dts - last.dts - last.lasts);
            // Pictures follow each other; sound is at most a frame from its place.
            let most = if track == 0 { 1_100_000 } else { before.ns(last.lasts) };
            assert!(gap.abs() <= most, "{name}, track {track}: {gap} ns");
            let pictures = block.frames_of(0).count();
            assert!(track > 0 || before.all.len() == pictures, "{name}: every picture");
        }
    }
}

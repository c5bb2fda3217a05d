//! A block as packets. They depend on the block and its clock only: each elementary stream fills a
//! multiple of 16 packets, so that its counter begins with 0 in every block, and the tables come a
//! fixed number of times a block, so that theirs follows from the block's number.

use crate::container::clock::Clock;
use crate::container::codec::{self, Units, audio, h264, hevc};
use crate::container::output::{Output, WhyNot};
use crate::container::ts::packet::{self, Pcr};
use crate::container::ts::psi;
use crate::container::ts::{PACKET_BYTES, TICKS, TIME_BITS};
use crate::container::types::{Block, Codec, Frame, Track};

/// How often a block has both tables.
const TABLES: u64 = 4;

/// How long before a frame is decoded the clock reference says the time at which it comes.
const AHEAD_NS: i64 = 700_000_000;

/// Longest time between two clock references (ISO 13818-1, 2.7.2), with some room.
const PCR_EVERY_NS: i64 = 80_000_000;

/// Sound of one packet of its elementary stream: bytes and time.
const GROUP_BYTES: u32 = 2_800;
const GROUP_NS: i64 = 150_000_000;

/// A packet of an elementary stream with fewer bytes is stuffed: it must fill 16 packets.
const SHORT_BYTES: usize = 16;

/// Frames that go into one packet of an elementary stream: the first, and how many of its track.
#[derive(Clone, Copy, Debug)]
struct Group {
    track: usize,
    first: usize,
    count: usize,
    last_of_track: bool,
}

/// A block as packets of 188 bytes: tables first. `bytes` are those it was read from.
///
/// # Errors
/// Why ts cannot carry one of the tracks.
pub fn packets(bytes: &[u8], block: &Block, clock: &Clock) -> Result<Vec<u8>, WhyNot> {
    Output::Ts.takes(block)?;
    let frames = clock.frames(block);
    let groups = groups(block, &frames);
    let mut writer = Writer {
        bytes,
        block,
        clock,
        frames: &frames,
        out: Vec::with_capacity(bytes.len() + bytes.len() / 12 + 64 * PACKET_BYTES),
        counts: vec![0; block.tracks.len()],
        pes: Vec::new(),
        scratch: Vec::new(),
        reference: None,
    };
    let pmt = psi::map(block);
    let mut tables = 0;
    for (number, group) in groups.iter().enumerate() {
        while tables < TABLES && number as u64 * TABLES >= tables * groups.len() as u64 {
            writer.tables(&pmt, tables);
            tables += 1;
        }
        writer.group(group);
    }
    (tables..TABLES).for_each(|number| writer.tables(&pmt, number));
    Ok(writer.out)
}

/// Each picture by itself, sounds in groups, in the order of decoding.
fn groups(block: &Block, frames: &[Frame]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open: Vec<Option<usize>> = vec![None; block.tracks.len()];
    let mut bytes = vec![0; block.tracks.len()];
    for (at, frame) in frames.iter().enumerate() {
        let track = usize::from(frame.track);
        let size = block.frame_bytes(frame);
        let joins = open[track].filter(|group| {
            let first = &frames[groups[*group].first];
            let short = frame.pts - first.pts < GROUP_NS && bytes[track] + size <= GROUP_BYTES;
            !block.tracks[track].codec.is_video() && short && follows(frames, at)
        });
        if let Some(group) = joins {
            groups[group].count += 1;
            bytes[track] += size;
        } else {
            bytes[track] = size;
            open[track] = Some(groups.len());
            groups.push(Group { track, first: at, count: 1, last_of_track: false });
        }
    }
    open.into_iter().flatten().for_each(|group| groups[group].last_of_track = true);
    groups
}

/// Whether a sound directly follows the one before it of its track.
fn follows(frames: &[Frame], at: usize) -> bool {
    let frame = &frames[at];
    let before = frames[..at].iter().rev().find(|before| before.track == frame.track);
    before.is_some_and(|before| {
        let ends = before.pts.saturating_add_unsigned(before.lasts);
        ends.abs_diff(frame.pts) <= frame.lasts / 2
    })
}

struct Writer<'a> {
    bytes: &'a [u8],
    block: &'a Block,
    clock: &'a Clock,
    frames: &'a [Frame],
    out: Vec<u8>,
    /// Packets with payload so far, by track.
    counts: Vec<usize>,
    pes: Vec<u8>,
    scratch: Vec<u8>,
    /// The decode time of the last clock reference.
    reference: Option<i64>,
}

impl Writer<'_> {
    fn tables(&mut self, pmt: &[u8], number: u64) {
        let counter = self.clock.seq.wrapping_mul(TABLES).wrapping_add(number);
        packet::put_table(&mut self.out, psi::PAT_PID, counter, &psi::association());
        packet::put_table(&mut self.out, psi::PMT_PID, counter, pmt);
    }

    fn group(&mut self, group: &Group) {
        let track = &self.block.tracks[group.track];
        let first = self.frames[group.first];
        self.pes.clear();
        let of_track = self.frames[group.first..].iter().filter(|f| f.track == first.track);
        for frame in of_track.take(group.count) {
            self.elementary(track, frame);
        }
        let (header, told) = self.header(track, &first, group.last_of_track);
        self.pes.splice(..0, header);
        let leads = group.track == 0;
        if !leads && self.reference.is_none_or(|at| first.dts - at > PCR_EVERY_NS) {
            let counter = self.counts[0].wrapping_sub(1);
            let pcr = self.refer(first.dts);
            packet::put_reference(&mut self.out, psi::pid(self.block, 0), counter, pcr);
        }
        let pcr = leads.then(|| self.refer(first.dts));
        let count = &mut self.counts[group.track];
        let stream = packet::Stream {
            pid: psi::pid(self.block, group.track),
            counter: *count,
            pcr,
            random_access: first.key && track.codec.is_video(),
            head: told,
            fill: group.last_of_track,
        };
        *count += packet::put_stream(&mut self.out, &stream, &self.pes);
    }

    /// The clock reference of this moment.
    fn refer(&mut self, dts: i64) -> Pcr {
        self.reference = Some(dts);
        Pcr(self.time(dts - AHEAD_NS))
    }

    fn time(&self, within_ns: i64) -> u64 {
        self.clock.ticks(within_ns, TICKS) & ((1 << TIME_BITS) - 1)
    }

    /// The header of a packet of an elementary stream (2.4.3.7), and how much of it says something.
    fn header(&self, track: &Track, first: &Frame, fills: bool) -> (Vec<u8>, usize) {
        let (pts, dts) = (self.time(first.pts), self.time(first.dts));
        let stuffing = if fills && self.pes.len() < SHORT_BYTES { SHORT_BYTES } else { 0 };
        let times = if pts == dts { 5 } else { 10 };
        let behind = 3 + times + stuffing + self.pes.len();
        // 0 where it does not fit, which only pictures may do: groups of sounds are short.
        let told = u16::try_from(behind).unwrap_or(0).to_be_bytes();
        let byte = |count: usize| u8::try_from(count).expect("a few bytes");
        let mut header = vec![0, 0, 1, stream_id(track.codec), told[0], told[1], 0x84];
        header.extend([if pts == dts { 0x80 } else { 0xc0 }, byte(times + stuffing)]);
        header.extend(stamp(if pts == dts { 2 } else { 3 }, pts));
        if pts != dts {
            header.extend(stamp(1, dts));
        }
        let told = header.len();
        header.resize(told + stuffing, 0xff);
        (header, told)
    }

    /// Appends a frame in the form that elementary streams have.
    fn elementary(&mut self, track: &Track, frame: &Frame) {
        let whole = match self.block.parts(frame) {
            [part] if part.range().is_some() => &self.bytes[part.range().unwrap_or_default()],
            parts => {
                self.scratch.clear();
                for part in parts {
                    match part.range() {
                        Some(range) => self.scratch.extend_from_slice(&self.bytes[range]),
                        None => {
                            self.scratch.extend(part.length_prefix().unwrap_or_default());
                        }
                    }
                }
                &self.scratch
            }
        };
        let into = &mut self.pes;
        match track.codec {
            Codec::H264 | Codec::Hevc => annex_b(into, track, frame.key, whole),
            Codec::Aac => {
                let aac = audio::aac(&track.config);
                into.extend(
                    aac.and_then(|aac| audio::adts_header(aac, whole.len())).iter().flatten(),
                );
                into.extend_from_slice(whole);
            }
            Codec::Opus => opus(into, whole),
            Codec::Mpeg2 if frame.key && !whole.starts_with(&[0, 0, 1, 0xb3]) => {
                into.extend_from_slice(&track.config);
                into.extend_from_slice(whole);
            }
            _ => into.extend_from_slice(whole),
        }
    }
}

/// A time of 33 bits between markers (2.4.3.7).
fn stamp(kind: u8, time: u64) -> [u8; 5] {
    let bits = |shift: u32, mask: u64| u8::try_from(time >> shift & mask).expect("masked");
    [
        kind << 4 | bits(30, 7) << 1 | 1,
        bits(22, 0xff),
        bits(15, 0x7f) << 1 | 1,
        bits(7, 0xff),
        bits(0, 0x7f) << 1 | 1,
    ]
}

fn stream_id(codec: Codec) -> u8 {
    match codec {
        _ if codec.is_video() => 0xe0,
        Codec::Aac | Codec::Mp3 => 0xc0,
        _ => 0xbd,
    }
}

/// Units with start codes, behind a delimiter; parameter sets before a key frame that has none.
fn annex_b(into: &mut Vec<u8>, track: &Track, key: bool, frame: &[u8]) {
    let hevc = track.codec == Codec::Hevc;
    let kind = |unit: &[u8]| if hevc { hevc::kind(unit) } else { h264::kind(unit) };
    let (delimiter, sps) =
        if hevc { (hevc::DELIMITER, hevc::SPS) } else { (h264::DELIMITER, h264::SPS) };
    let Some(prefix) = codec::prefix(track) else { return };
    if hevc {
        into.extend(hevc::DELIMITER_UNIT);
    } else {
        into.extend(h264::DELIMITER_UNIT);
    }
    let units = || Units::new(frame, prefix).filter_map(Result::ok).filter(|unit| !unit.is_empty());
    if key && !units().any(|unit| kind(unit) == sps) {
        for set in sets(track) {
            into.extend([0, 0, 0, 1]);
            into.extend_from_slice(set);
        }
    }
    for unit in units().filter(|unit| kind(unit) != delimiter) {
        into.extend([0, 0, 0, 1]);
        into.extend_from_slice(unit);
    }
}

fn sets(track: &Track) -> Vec<&[u8]> {
    if track.codec == Codec::Hevc {
        return hevc::config(&track.config).map_or(Vec::new(), |config| config.sets);
    }
    h264::config(&track.config).map_or(Vec::new(), |config| [config.sps, config.pps].concat())
}

/// An Opus packet behind its control header (Opus in MPEG-2 ts, 4.2): no trimming, its size.
fn opus(into: &mut Vec<u8>, packet: &[u8]) {
    into.extend([0x7f, 0xe0]);
    let mut size = packet.len();
    while size >= 255 {
        into.push(255);
        size -= 255;
    }
    into.push(u8::try_from(size).expect("below 255"));
    into.extend_from_slice(packet);
}

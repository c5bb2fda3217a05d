//! ts as mpeg2ts-reader reads it: counters, tables, times and bytes of what the writer makes.

#![expect(unreachable_pub, reason = "the macro of mpeg2ts-reader makes a public type of these")]

use mpeg2ts_reader::demultiplex::{
    Demultiplex, DemuxContext, FilterChangeset, FilterRequest, NullPacketFilter, PatPacketFilter,
    PmtPacketFilter,
};
use mpeg2ts_reader::packet_filter_switch;
use mpeg2ts_reader::pes::{
    ElementaryStreamConsumer, PesContents, PesHeader, PesPacketFilter, PtsDts,
};
use mpeg2ts_reader::psi::pat::PAT_PID;
use vidstreamd::container::{self, Block, Codec, Frame, Output};

use crate::{alone, blocks, made, payload};

/// A packet of a stream: when it is shown, in ticks of 90 kHz, and its bytes.
#[derive(Default, Debug)]
pub struct Packet {
    pts: Option<u64>,
    bytes: Vec<u8>,
}

/// What was found: the packets of each stream, and counters that did not go on.
#[derive(Default)]
pub struct Found {
    changes: FilterChangeset<Filter>,
    streams: Vec<Vec<Packet>>,
    gaps: usize,
}

/// The consumer of the stream with this number.
pub struct Stream(usize);

packet_filter_switch! {
    Filter<Found> {
        Pat: PatPacketFilter<Found>,
        Pmt: PmtPacketFilter<Found>,
        Stream: PesPacketFilter<Found, Stream>,
        Other: NullPacketFilter<Found>,
    }
}

impl DemuxContext for Found {
    type F = Filter;

    fn filter_changeset(&mut self) -> &mut FilterChangeset<Filter> {
        &mut self.changes
    }

    fn construct(&mut self, request: FilterRequest<'_, '_>) -> Filter {
        match request {
            FilterRequest::ByPid(PAT_PID) => Filter::Pat(PatPacketFilter::default()),
            FilterRequest::Pmt { pid, program_number } => {
                Filter::Pmt(PmtPacketFilter::new(pid, program_number))
            }
            FilterRequest::ByStream { .. } => {
                self.streams.push(Vec::new());
                Filter::Stream(PesPacketFilter::new(Stream(self.streams.len() - 1)))
            }
            FilterRequest::ByPid(_) | FilterRequest::Nit { .. } => {
                Filter::Other(NullPacketFilter::default())
            }
        }
    }
}

impl ElementaryStreamConsumer<Found> for Stream {
    fn start_stream(&mut self, _: &mut Found) {}

    fn begin_packet(&mut self, found: &mut Found, header: PesHeader<'_>) {
        let PesContents::Parsed(Some(parsed)) = header.contents() else {
            panic!("a packet without times");
        };
        let pts = match parsed.pts_dts() {
            Ok(PtsDts::PtsOnly(Ok(pts)) | PtsDts::Both { pts: Ok(pts), .. }) => Some(pts.value()),
            _ => None,
        };
        found.streams[self.0].push(Packet { pts, bytes: parsed.payload().to_vec() });
    }

    fn continue_packet(&mut self, found: &mut Found, data: &[u8]) {
        found.streams[self.0].last_mut().unwrap().bytes.extend_from_slice(data);
    }

    fn end_packet(&mut self, _: &mut Found) {}

    fn continuity_error(&mut self, found: &mut Found) {
        found.gaps += 1;
    }
}

fn parse(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    let mut demux = Demultiplex::new(&mut found);
    demux.push(&mut found, bytes);
    found
}

/// A frame's bytes as ts has them: units of H.264 and HEVC without their lengths.
fn units(source: &[u8], block: &Block, frame: &Frame) -> Vec<Vec<u8>> {
    let whole = payload(source, block, frame);
    if !matches!(block.tracks[usize::from(frame.track)].codec, Codec::H264 | Codec::Hevc) {
        return vec![whole];
    }
    let (mut units, mut rest) = (Vec::new(), &whole[..]);
    while let Some((len, behind)) = rest.split_first_chunk() {
        let (unit, behind) = behind.split_at(u32::from_be_bytes(*len) as usize);
        units.push(unit.to_vec());
        rest = behind;
    }
    units
}

/// Whether a frame's bytes lie in these, in their order, whatever is between them.
fn carries(stream: &[u8], units: &[Vec<u8>]) -> bool {
    let mut rest = stream;
    units.iter().all(|unit| {
        let found = rest.windows(unit.len()).position(|window| window == unit);
        found.is_some_and(|at| {
            rest = &rest[at + unit.len()..];
            true
        })
    })
}

#[test]
fn another_parser_reads_what_is_written_as_ts() {
    let _alone = alone();
    let mut count = 0;
    for (name, bytes) in blocks() {
        let block = container::read(&bytes).unwrap();
        if Output::Ts.takes(&block).is_err() {
            continue;
        }
        count += 1;
        // Two airings, one behind the other: counters and tables go on over the joint.
        let airings = [5, 6].map(|seq| made(Output::Ts, &bytes, &block, seq));
        let lens = airings
            .each_ref()
            .map(|airing| parse(airing).streams.iter().map(Vec::len).sum::<usize>());
        let both = parse(&airings.concat());
        assert_eq!(both.gaps, 0, "{name}: counters go on");
        assert_eq!(both.streams.len(), block.tracks.len(), "{name}: streams of the table");
        assert_eq!(both.streams.iter().map(Vec::len).sum::<usize>(), lens[0] + lens[1], "{name}");
        for (track, packets) in both.streams.iter().enumerate() {
            let frames: Vec<_> = block.frames_of(track).collect();
            let first = packets[0].pts.expect("a time");
            let (of_first, _) = packets.split_at(packets.len() / 2);
            let whole: Vec<u8> = of_first.iter().flat_map(|packet| packet.bytes.clone()).collect();
            for frame in &frames {
                assert!(
                    carries(&whole, &units(&bytes, &block, frame)),
                    "{name}, track {track}: {frame:?}"
                );
            }
            if track > 0 {
                continue;
            }
            assert_eq!(packets.len(), 2 * frames.len(), "{name}: a picture a packet");
            for (packet, frame) in of_first.iter().zip(&frames) {
                assert!(carries(&packet.bytes, &units(&bytes, &block, frame)), "{name}: {frame:?}");
                let since = packet.pts.unwrap().cast_signed() - first.cast_signed();
                let apart = (since * 100_000 / 9).abs_diff(frame.pts - frames[0].pts);
                // A tick of ts is 11 us.
                assert!(apart <= 23_000, "{name}: {apart} ns");
            }
        }
    }
    assert!(count >= 5, "{count} blocks have ts");
}

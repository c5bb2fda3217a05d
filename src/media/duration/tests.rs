//! Headers as real muxers write them, and everything that is not one.

use core::cell::Cell;

use proptest::prelude::*;

use super::*;

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len()).unwrap() | 0x4000;
    [id, &size.to_be_bytes(), body].concat()
}

/// A Matroska file: `ffmpeg` and `mkvmerge` put a `SeekHead` and a Void before the Info.
fn mkv(info: &[u8], before: &[u8]) -> Vec<u8> {
    let ebml = element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"matroska"));
    let info = element(b"\x15\x49\xa9\x66", info);
    let cluster = element(b"\x1f\x43\xb6\x75", &[0; 40]);
    // The size of the Segment is unknown, as in a live recording.
    [&ebml[..], b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", before, &info, &cluster]
        .concat()
}

fn mkv_info(millis: f64) -> Vec<u8> {
    let scale = element(b"\x2a\xd7\xb1", &1_000_000_u32.to_be_bytes());
    let app = element(b"\x4d\x80", b"Lavf");
    [scale, app, element(b"\x44\x89", &millis.to_be_bytes())].concat()
}

fn iso(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes(), kind, body].concat()
}

fn mvhd_v0(timescale: u32, lasts: u32) -> Vec<u8> {
    let values = [0, 0, 0, timescale, lasts].map(u32::to_be_bytes).concat();
    iso(b"mvhd", &[&values[..], &[0; 80]].concat())
}

/// A plain file with its `moov` at the end, as `ffmpeg`'s segment muxer writes it.
fn mp4(mvhd: &[u8]) -> Vec<u8> {
    let moov = iso(b"moov", &[mvhd, &iso(b"trak", &[0; 90])].concat());
    [iso(b"ftyp", b"isom\0\0\0\0"), iso(b"free", b""), iso(b"mdat", &[7; 5000]), moov].concat()
}

fn pes(pid: u8, stream: u8, ticks: u64) -> Vec<u8> {
    let [_, _, _, hi, b, c, d, e] = (ticks & (WRAP - 1)).to_be_bytes();
    let ticks = u64::from_be_bytes([0, 0, 0, hi, b, c, d, e]);
    let part = |shift: u32| u16::try_from(ticks >> shift & 0x7fff).unwrap() << 1 | 1;
    let top = u8::try_from(ticks >> 30).unwrap() << 1 | 0x21;
    let mut packet = vec![0x47, 0x40, pid, 0x10, 0, 0, 1, stream, 0, 0, 0x80, 0x80, 5, top];
    packet.extend(part(15).to_be_bytes());
    packet.extend(part(0).to_be_bytes());
    packet.resize(188, 0xff);
    packet
}

const WRAP: u64 = 1 << 33;

fn ts(start: u64) -> Vec<u8> {
    let other = |n: usize| [&[0x47, 0, 33, 0x10][..], &[0xaa; 184]].concat().repeat(n);
    let stamps = [0, 10_800, 3600, 7200].map(|t| pes(0, 0xe0, start + t)).concat();
    let late = [172_800, 180_000, 176_400].map(|t| pes(0, 0xe0, start + t)).concat();
    [stamps, pes(1, 0xc0, start), other(2000), late, pes(1, 0xc0, start + 999_999), other(9)]
        .concat()
}

fn of(bytes: &[u8]) -> Option<u128> {
    duration(&Slice(bytes)).map(|d| d.as_micros())
}

struct Slice<'a>(&'a [u8]);

impl ReadAt for Slice<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> usize {
        self.0.read_at(at, into)
    }
}

#[test]
fn matroska_tells_its_duration() {
    assert_eq!(of(&mkv(&mkv_info(2002.0), b"")), Some(2_002_000));
    let before = [element(b"\x11\x4d\x9b\x74", &[0; 60]), element(b"\xec", &[0; 4000])].concat();
    assert_eq!(of(&mkv(&mkv_info(2002.0), &before)), Some(2_002_000));
    let single = element(b"\x44\x89", &1500_f32.to_be_bytes());
    assert_eq!(of(&mkv(&single, b"")), Some(1_500_000));
}

#[test]
fn sound_that_outlasts_the_pictures_does_not_count() {
    let entry = |kind: u8, ns: u32| {
        let ns = element(b"\x23\xe3\x83", &ns.to_be_bytes());
        element(b"\xae", &[element(b"\xd7", &[1]), element(b"\x83", &[kind]), ns].concat())
    };
    let tracks = [entry(2, 21_333_333), entry(1, 41_708_333)].concat();
    let before = element(b"\x16\x54\xae\x6b", &tracks);
    assert_eq!(of(&mkv(&mkv_info(2021.0), &before)), Some(2_002_000));
    let sound_only = element(b"\x16\x54\xae\x6b", &entry(2, 21_333_333));
    assert_eq!(of(&mkv(&mkv_info(2021.0), &sound_only)), Some(2_021_000));
    let track = |handler: &[u8], lasts: u32| {
        let values = [0, 0, 0, 24_000, lasts, 0, 0, 0].map(u32::to_be_bytes).concat();
        let handler = [&[0; 8], handler, &[0; 13]].concat();
        let media = [iso(b"mdhd", &values), iso(b"hdlr", &handler)].concat();
        iso(b"trak", &iso(b"mdia", &media))
    };
    let tracks = [track(b"soun", 48_504), track(b"vide", 48_048)].concat();
    let moov = iso(b"moov", &[mvhd_v0(1000, 2_021), tracks].concat());
    assert_eq!(of(&[iso(b"ftyp", b"isom\0\0\0\0"), moov].concat()), Some(2_002_000));
}

#[test]
fn matroska_without_a_usable_duration_tells_none() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 99.0, 60_001.0] {
        assert_eq!(of(&mkv(&mkv_info(bad), b"")), None, "{bad}");
    }
    assert_eq!(of(&mkv(b"", b"")), None);
    let cluster_first = element(b"\x1f\x43\xb6\x75", b"");
    assert_eq!(of(&mkv(&mkv_info(2000.0), &cluster_first)), None);
    let endless = element(b"\xec", b"").repeat(100);
    assert_eq!(of(&mkv(&mkv_info(2000.0), &endless)), None);
}

#[test]
fn iso_media_tells_its_duration_wherever_the_header_is() {
    assert_eq!(of(&mp4(&mvhd_v0(1000, 2002))), Some(2_002_000));
    let long = [
        &[1, 0, 0, 0][..],
        &[0; 16],
        &90_000_u32.to_be_bytes(),
        &180_000_u64.to_be_bytes(),
        &[0; 80],
    ];
    assert_eq!(of(&mp4(&iso(b"mvhd", &long.concat()))), Some(2_000_000));
    let mut wide = iso(b"ftyp", b"isom\0\0\0\0");
    wide.extend([0, 0, 0, 1]);
    wide.extend([&b"mdat"[..], &20_u64.to_be_bytes(), b"abcd"].concat());
    wide.extend(iso(b"moov", &mvhd_v0(600, 1200)));
    assert_eq!(of(&wide), Some(2_000_000));
}

#[test]
fn fragmented_media_tells_its_duration_in_mehd() {
    let mehd = |body: &[u8]| iso(b"mvex", &[iso(b"trex", &[0; 24]), iso(b"mehd", body)].concat());
    let file = |mvex: &[u8]| {
        let moov = iso(b"moov", &[&mvhd_v0(1000, 0), mvex].concat());
        [iso(b"ftyp", b"iso5\0\0\0\0"), moov, iso(b"moof", &[0; 30])].concat()
    };
    assert_eq!(of(&file(&mehd(&[0, 0, 0, 0, 0, 0, 7, 0xd0]))), Some(2_000_000));
    assert_eq!(of(&file(&mehd(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xd0]))), Some(2_000_000));
    assert_eq!(of(&file(b"")), None);
}

#[test]
fn iso_media_with_broken_boxes_tells_none() {
    assert_eq!(of(&mp4(&mvhd_v0(0, 2000))), None);
    assert_eq!(of(&iso(b"ftyp", b"isom")), None);
    let mut cut = mp4(&mvhd_v0(1000, 2000));
    cut.truncate(cut.len() - 1);
    assert_eq!(of(&cut), None);
    let many = [iso(b"ftyp", b""), iso(b"free", b"").repeat(100), iso(b"moov", &mvhd_v0(1, 2))];
    assert_eq!(of(&many.concat()), None);
    assert_eq!(of(b"\0\0\0\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xff"), None);
}

#[test]
fn a_transport_stream_tells_the_distance_of_its_stamps() {
    assert_eq!(of(&ts(0)), Some(2_000_000));
    assert_eq!(of(&ts(WRAP - 90_000)), Some(2_000_000));
    assert_eq!(of(&[0x47; 1000]), None);
}

#[test]
fn a_transport_stream_without_stamps_falls_back_to_its_clock() {
    let clock = |ticks: u32| {
        let mut packet = vec![0x47, 0, 5, 0x20, 183, 0x10];
        packet.extend((ticks >> 1).to_be_bytes());
        packet.resize(188, 0xff);
        packet
    };
    let fill = [0x47, 0, 6, 0x10].iter().chain(&[0; 184]).copied().collect::<Vec<u8>>().repeat(50);
    assert_eq!(of(&[clock(0), fill, clock(90_000)].concat()), Some(1_000_000));
}

/// Counts what is read of it.
struct Counted<'a>(&'a [u8], Cell<(usize, usize)>);

impl ReadAt for Counted<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> usize {
        let (reads, bytes) = self.1.get();
        self.1.set((reads + 1, bytes + into.len()));
        self.0.read_at(at, into)
    }
}

fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let file = Counted(bytes, Cell::default());
    if let Some(lasts) = duration(&file) {
        prop_assert!((limits::BLOCK_LASTS_MIN..=limits::BLOCK_LASTS_MAX).contains(&lasts));
    }
    let (reads, read) = file.1.get();
    prop_assert!(reads <= limits::HEADER_READS_MAX as usize, "{reads} reads");
    prop_assert!(read <= limits::HEADER_BYTES_MAX, "{read} bytes");
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        start in prop::sample::select(vec![&b""[..], b"\x1a\x45\xdf\xa3", b"\0\0\0\x08ftyp"]),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        survives(&[start, &bytes].concat())?;
    }

    #[test]
    fn damaged_headers_are_survived(
        which in 0_usize..3,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = match which {
            0 => mkv(&mkv_info(2000.0), &element(b"\xec", &[0; 30])),
            1 => mp4(&mvhd_v0(1000, 2000)),
            _ => ts(77),
        };
        // Headers are at the start or the end; that is where damage matters.
        let len = bytes.len();
        for (at, value) in damage {
            let near = at.index(400.min(len));
            bytes[if value % 2 == 0 { near } else { len - 1 - near }] = value;
        }
        survives(&bytes)?;
        survives(&bytes[..cut.index(len)])?;
    }
}

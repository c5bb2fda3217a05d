//! A block of 1 MiB as players get them, made without an encoder. Benches that carry blocks which
//! nobody looks into take those of `films`, which tell their number.

use std::path::Path;

use vidstreamd::base::rng::Rng;
use vidstreamd::container;

const BLOCK_BYTES: usize = 1 << 20;
const PICTURES: usize = 50;
const SOUNDS: usize = 94;

/// A block of the demo movies with pictures as large as to make 1 MiB: the parameters of its
/// tracks, one Cluster, one unit a picture.
pub(crate) fn mkv() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies/bars/bars_00000.mkv");
    let small = std::fs::read(path).expect("the demo movies are here");
    let mut file = container::mkv::header(&container::read(&small).expect("a block"));
    let mut cluster = vec![0xe7, 0x81, 0];
    let mut rng = Rng::new(1);
    let sound_bytes = 250;
    let picture_bytes = (BLOCK_BYTES - SOUNDS * sound_bytes) / PICTURES;
    let mut frames: Vec<(usize, usize)> = (0..PICTURES).map(|n| (n * 40, 1)).collect();
    frames.extend((0..SOUNDS).map(|n| (n * 1024 / 48, 2)));
    frames.sort_unstable();
    for (ms, track) in frames {
        let bytes = if track == 1 { picture_bytes } else { sound_bytes };
        let key = ms == 0 || track == 2;
        let size = u32::try_from(bytes + 4).expect("small") | 0x1000_0000;
        cluster.push(0xa3);
        cluster.extend(size.to_be_bytes());
        let time = u16::try_from(ms).expect("two seconds").to_be_bytes();
        cluster.extend([0x80 | u8::try_from(track).expect("1 or 2"), time[0], time[1]]);
        cluster.push(if key { 0x80 } else { 0 });
        let mut rest = bytes;
        if track == 1 {
            cluster.extend(u32::try_from(bytes - 4).expect("small").to_be_bytes());
            cluster.push(if key { 0x65 } else { 0x41 });
            rest -= 5;
        }
        cluster.extend((0..rest).map(|_| rng.next_u64().to_le_bytes()[0]));
    }
    let size = u64::try_from(cluster.len()).expect("a length") | 0x0100_0000_0000_0000;
    file.extend([0x1f, 0x43, 0xb6, 0x75]);
    file.extend(size.to_be_bytes());
    file.extend(cluster);
    file
}

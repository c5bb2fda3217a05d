//! The fuzz targets over their corpus, and over seeded changes of each file of it: a stable
//! compiler and no engine are enough for that. `tests/fuzz` says how to look for more.

#![expect(clippy::disallowed_methods, reason = "a test outside the program reads its own files")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

use vidstreamd::base::rng::Rng;

/// How often each file of the corpus is changed.
const CHANGES: usize = 500;

/// The most changed bytes in one go.
const BYTES_CHANGED_MOST: u64 = 4;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Some bytes changed, left out, repeated, or the end cut off.
fn changed(rng: &mut Rng, of: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = of.to_vec();
    for _ in 0..=rng.below(BYTES_CHANGED_MOST) {
        let at = usize::try_from(rng.below(bytes.len() as u64 + 1)).unwrap();
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.next_u64().to_le_bytes()[0]),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.extend_from_slice(&of[at.min(of.len())..]),
            4 => bytes.splice(at.., other.iter().copied().skip(at)).for_each(drop),
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ => bytes.push(0),
        }
    }
    bytes
}

#[test]
fn every_target_holds_over_its_corpus() {
    for (name, run) in targets::TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in &files {
            run(file);
        }
    }
}

#[test]
fn every_target_holds_over_changes_of_its_corpus() {
    let seed = 0x5eed;
    println!("seed {seed:#x}");
    for (name, run) in targets::TARGETS {
        let mut rng = Rng::new(seed);
        let files = corpus(name);
        for file in &files {
            for _ in 0..CHANGES {
                let other = usize::try_from(rng.below(files.len() as u64)).unwrap();
                run(&changed(&mut rng, file, &files[other]));
            }
        }
    }
}

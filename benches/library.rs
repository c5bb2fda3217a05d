//! How long a large library keeps the start waiting, and how much memory it stays in: 100 movies of
//! 3000 blocks, with indexes and without. `cargo bench --bench library [-- DIRECTORY]` makes the
//! files in `DIRECTORY` (the system's temporary one unless told) and removes them afterwards.
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use vidstreamd::io::library::{Survey, scan};
use vidstreamd::media::Options;
use vidstreamd::media::index;
use vidstreamd::media::name::file_name;
use vidstreamd::media::sniff::Container;

const MOVIES: usize = 100;
const BLOCKS: u64 = 3000;
const RUNS: usize = 7;
/// Files that one slice of a survey looks at.
const SLICE_FILES: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    match &given[..] {
        [measure, path] if measure == "measure" => measured(Path::new(path)),
        [directory] => compare(&TempDir::new_in(directory)?),
        _ => compare(&TempDir::new()?),
    }
}

/// Both kinds of library, each measured in a process of its own so that memory is its own too.
fn compare(directory: &TempDir) -> Result<(), Box<dyn Error>> {
    for (kind, indexed, lasts) in [
        ("plain", false, [2.0; 3]),
        ("indexed", true, [2.0; 3]),
        ("uneven", true, [2.0, 2.021, 1.98]),
    ] {
        let library = directory.path().join(kind);
        make(&library, indexed, lasts)?;
        let measured =
            Command::new(std::env::current_exe()?).arg("measure").arg(&library).output()?;
        if !measured.status.success() {
            return Err(String::from_utf8_lossy(&measured.stderr).into());
        }
        println!("{kind:8} {}", String::from_utf8_lossy(&measured.stdout).trim());
    }
    Ok(())
}

fn make(library: &Path, indexed: bool, lasts: [f64; 3]) -> Result<(), Box<dyn Error>> {
    for movie in 0..MOVIES {
        let stem = format!("movie{movie:03}");
        let folder = library.join(&stem);
        fs::create_dir_all(&folder)?;
        let names: Vec<_> = (0..BLOCKS).map(|n| file_name(&stem, n, Container::Mkv)).collect();
        for name in &names {
            // Bytes that take no room on disk.
            File::create(folder.join(name))?.set_len(1 << 20)?;
        }
        for sampled in [0, (names.len() - 1) / 2, names.len() - 1] {
            fs::write(folder.join(&names[sampled]), header(2002.0))?;
        }
        if indexed {
            let lasts = lasts.iter().copied().cycle().map(Duration::from_secs_f64);
            let text = index::write(names.iter().map(String::as_str).zip(lasts));
            fs::write(folder.join(format!("{stem}.m3u8")), text)?;
        }
    }
    Ok(())
}

/// A Matroska header that says how long the block lasts, in milliseconds.
fn header(lasts: f64) -> Vec<u8> {
    let before = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
    [before, &b"\x15\x49\xa9\x66\x8b\x44\x89\x88"[..], &lasts.to_be_bytes()].concat()
}

fn measured(library: &Path) -> Result<(), Box<dyn Error>> {
    let options = Options::default();
    let before = resident()?;
    let began = Instant::now();
    let first = scan(library, &options)?;
    let cold = began.elapsed();
    let kept = resident()?.saturating_sub(before);
    let cpu = processor()?;
    let mut scans: Vec<_> = (0..RUNS).map(|_| timed(|| scan(library, &options))).collect();
    let cpu = processor()?.saturating_sub(cpu) / u32::try_from(RUNS)?;
    scans.sort();
    let mut survey = Survey::new(&first);
    let (mut longest, mut whole) = (Duration::ZERO, Duration::ZERO);
    let mut done = false;
    while !done {
        let slice = timed(|| done = survey.step(SLICE_FILES));
        (longest, whole) = (longest.max(slice), whole + slice);
    }
    let movies = first.catalog.movies();
    let blocks: u32 = movies.iter().map(|m| m.blocks()).sum();
    println!(
        "{} movies {blocks} blocks {} findings: \
         scan first {:.1} ms, best {:.1} ms, median {:.1} ms, CPU {:.1} ms; \
         survey {:.1} ms, longest slice of {SLICE_FILES} {:.2} ms; RSS grew by {} KiB",
        movies.len(),
        first.findings.len() + survey.findings().len(),
        millis(cold),
        millis(scans[0]),
        millis(scans[RUNS / 2]),
        millis(cpu),
        millis(whole),
        millis(longest),
        kept / 1024,
    );
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    drop(work());
    began.elapsed()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Processor time of this process; unlike the wall's it does not grow when others use the machine.
fn processor() -> Result<Duration, Box<dyn Error>> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

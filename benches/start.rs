//! From the start of the process to its `ready` line, with a library of 100 movies of 3000 blocks:
//! with indexes, with indexes whose durations differ, and without any. `cargo bench --bench start
//! [-- DIRECTORY]` makes the 900 000 files in `DIRECTORY` (the system's temporary one unless told),
//! which takes a minute, and removes them afterwards.
//!
//! Each figure is the median of nine starts of the real daemon, files and directories in the page
//! cache; the spread is that of the nine. The yardstick beside it reads every name in those
//! directories with `readdir` and every index from end to end, and does nothing with them; it is
//! measured between the starts. `RSS` is what is resident when the daemon says that it is ready.
//!
//! The run fails when a median is above 200 ms.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have seven digits at most")]

mod lab;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vidstreamd::media::index;
use vidstreamd::media::name::file_name;
use vidstreamd::media::sniff::Container;

use lab::daemon::{command, configuration, cpu, memory};
use lab::figures::{Verdicts, median, spread};
use lab::{Outcome, arguments, load};

const MOVIES: usize = 100;
const BLOCKS: u64 = 3000;
const STARTS: usize = 9;
const READY_MS: f64 = 200.0;

fn main() -> ExitCode {
    let directory = match &arguments()[..] {
        [directory] => TempDir::new_in(directory),
        _ => TempDir::new(),
    };
    match directory.map_err(Into::into).and_then(|directory| bench(directory.path())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(directory: &Path) -> Outcome<bool> {
    println!("{MOVIES} movies of {BLOCKS} blocks, {STARTS} starts each; {}", load());
    let columns = ["ready, ms", "spread", "CPU, ms", "bare, ms", "ratio", "RSS, MiB"];
    let [ready, range, used, bare, ratio, rss] = columns;
    println!("{:10}{ready:>10}{range:>18}{used:>9}{bare:>10}{ratio:>7}{rss:>10}", "");
    let mut verdicts = Verdicts::default();
    for (kind, lasts) in [("indexed", &[2.0][..]), ("uneven", &[2.0, 2.021, 1.98]), ("plain", &[])]
    {
        let library = directory.join(kind);
        make(&library, lasts)?;
        let found = measure(directory, &library)?;
        println!("{kind:10}{}", found.row());
        let ready = median(&found.ready);
        verdicts.note(ready <= READY_MS, format!("{kind}: {ready:.0} ms; at most {READY_MS}"));
    }
    verdicts.lines().iter().for_each(|line| println!("{line}"));
    Ok(verdicts.all_kept())
}

/// Figures of some starts, one each.
#[derive(Default)]
struct Found {
    ready: Vec<f64>,
    used: Vec<f64>,
    bare: Vec<f64>,
    resident: Vec<f64>,
}

impl Found {
    fn row(&self) -> String {
        let (ready, bare) = (median(&self.ready), median(&self.bare));
        format!(
            "{ready:>10.1}{:>18}{:>9.1}{bare:>10.1}{:>7.2}{:>10.1}",
            spread(&self.ready, 1),
            median(&self.used),
            ready / bare,
            median(&self.resident),
        )
    }
}

fn measure(directory: &Path, library: &Path) -> Outcome<Found> {
    let file = directory.join("bench.toml");
    fs::write(&file, configuration(library, &["movie000", "movie099"], 9091))?;
    let mut found = Found::default();
    // The first of each brings everything into the page cache.
    read_names(library)?;
    start(&file, &mut Found::default())?;
    for _ in 0..STARTS {
        let began = Instant::now();
        read_names(library)?;
        found.bare.push(millis(began.elapsed()));
        start(&file, &mut found)?;
    }
    Ok(found)
}

/// Starts the daemon and notes when it is ready, and what it has used until then.
fn start(configuration: &Path, found: &mut Found) -> Outcome<()> {
    let began = Instant::now();
    let mut child = Running(command(configuration).stderr(Stdio::piped()).spawn()?);
    let stderr = child.0.stderr.take().ok_or("the daemon's log")?;
    let mut lines = BufReader::new(stderr).lines();
    let ready = lines.find(|l| l.as_ref().map_or(true, |line| line.contains(" ready: ")));
    found.ready.push(millis(began.elapsed()));
    ready.ok_or("the daemon ended before it was ready")??;
    found.used.push(millis(cpu(child.0.id())?));
    found.resident.push(memory(child.0.id(), "VmRSS")? as f64 / f64::from(1 << 20));
    Ok(())
}

/// A child that does not outlive its measurement.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The least that looking at a library can cost.
fn read_names(library: &Path) -> Outcome<usize> {
    let mut bytes = 0;
    for movie in fs::read_dir(library)? {
        for entry in fs::read_dir(movie?.path())? {
            let name = entry?.file_name();
            bytes += name.len();
            if name.as_encoded_bytes().ends_with(b".m3u8") {
                let folder = library.join(Path::new(&name).file_stem().unwrap_or_default());
                bytes += fs::read(folder.join(&name))?.len();
            }
        }
    }
    Ok(std::hint::black_box(bytes))
}

/// Movies of blocks that take no room on disk; with an index where durations are given.
fn make(library: &Path, lasts: &[f64]) -> Outcome<()> {
    for movie in 0..MOVIES {
        let stem = format!("movie{movie:03}");
        let folder = library.join(&stem);
        fs::create_dir_all(&folder)?;
        let names: Vec<_> = (0..BLOCKS).map(|n| file_name(&stem, n, Container::Mkv)).collect();
        for name in &names {
            File::create(folder.join(name))?.set_len(1 << 20)?;
        }
        // The blocks by which a movie without an index is judged say how long they last.
        for sampled in [0, (names.len() - 1) / 2, names.len() - 1] {
            fs::write(folder.join(&names[sampled]), header(2002.0))?;
        }
        if !lasts.is_empty() {
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

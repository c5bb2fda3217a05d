//! What it costs to read a block of 1 MiB and to make all three outputs of it.
//! `cargo bench --bench container`; the promise of the program is 1.5 ms together, and the run
//! fails when it takes longer.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its own files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use core::hint::black_box;
use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;

use vidstreamd::container::{self, Clock};

#[path = "lab/block.rs"]
mod block;

const ROUNDS: usize = 300;
const BOUND: Duration = Duration::from_micros(1_500);

/// One `step`, at the best of some rounds: the rest is other people's work.
fn measure<T>(name: &str, mut step: impl FnMut() -> T) -> Duration {
    let round = |_| {
        let begin = Instant::now();
        black_box(step());
        begin.elapsed()
    };
    let best = (0..ROUNDS).map(round).min().expect("there are rounds");
    println!("{name:<12} {best:>12.1?}");
    best
}

fn main() -> ExitCode {
    let bytes = block::mkv();
    let block = container::read(&bytes).expect("a sound block");
    let lasts_ns = block.lasts_ns;
    let clock = Clock {
        seq: 4711,
        starts_ns: 1 << 50,
        lasts_ns,
        first: false,
        last: false,
        stands_in: false,
    };
    println!("a block of {} bytes, {} frames", bytes.len(), block.frames.len());
    let all = measure("read", || container::read(&bytes))
        + measure("mkv", || container::mkv::clusters(&block, &clock))
        + measure("fMP4", || container::mp4::fragments(&block, &clock, None))
        + measure("ts", || container::ts::packets(&bytes, &block, &clock));
    println!("{:<12} {all:>12.1?}, at most {BOUND:?}", "together");
    let ts = container::ts::packets(&bytes, &block, &clock).expect("ts carries it");
    measure("read ts", || container::read(&ts));
    if all <= BOUND { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

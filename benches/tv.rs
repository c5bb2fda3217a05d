//! A thousand viewers of one channel, 1 MiB each 2 s, from the real daemon over loopback, beside
//! the least that it can cost; then the same with 200 among them that accept and never read.
//! `cargo bench --bench tv` (about three minutes, some 2500 descriptors).
//!
//! First table: processor seconds of the sending process for each gigabyte, and when the block was
//! whole, in milliseconds from its air time, at the median viewer, the 99th of a hundred and the
//! last. `bare` is a process that only dials and writes from a map, `vidstreamd` is the daemon; the
//! ratio of the two is what schedule, strikes, timers and fairness cost. The machine's speed cancels
//! out, and so does, mostly, the work of others on it.
//!
//! Second table: the time of the 99th of a hundred of 800 viewers, in rounds with and without 200
//! that stall, by turns. `idle` ones join between two blocks and never read; `sudden` ones took
//! every block before and stop reading with the rounds' first. The median of the rounds' ratios is
//! what counts; the spread between rounds without any is how much of it is noise.
//!
//! The run fails when a block was not whole within 1.5 s at every viewer, when one of them was
//! struck, when idle ones change the others' 99th by 5 % or more, or when one that stalls is still
//! there after its second block.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod lab;

use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use tempfile::TempDir;

use lab::daemon::{Daemon, configuration};
use lab::figures::{Verdicts, median, rank, spread};
use lab::films::Film;
use lab::sender::{self, Cost};
use lab::viewers::{Taken, Viewers, free_port};
use lab::{Outcome, arguments, load, need_descriptors, wall};

const FILM: Film = Film { blocks: 16, bytes: 1 << 20, lasts: Duration::from_secs(2) };
const VIEWERS: usize = 1000;
const STALLED: usize = 200;
/// Blocks of the daemon that are measured, and those of the yardstick before and after them.
const BLOCKS: u64 = 10;
const BARE_BLOCKS: u64 = 4;
const ROUNDS: usize = 7;
/// Within this every viewer has the block.
const WHOLE_MS: f64 = 1500.0;
/// How much those that stall may change the others' time.
const CHANGE: f64 = 0.05;
/// Into a block's time, when all that is asked of the daemon has been done.
const QUIET: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    let arguments = arguments();
    let result = match &arguments[..] {
        [word, rest @ ..] if word == sender::WORD => sender::main(rest).map(|()| true),
        _ => bench(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("tv: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<bool> {
    need_descriptors(4000)?;
    println!("{VIEWERS} viewers, 1 MiB each 2 s; {}", load());
    let directory = TempDir::new()?;
    FILM.make(&directory.path().join("movies"), "load")?;
    let port = free_port()?;
    let configuration = configuration(&directory.path().join("movies"), &["load"], port);
    let mut viewers = Viewers::new(port, FILM)?;
    let all = viewers.add(VIEWERS, true)?;
    let mut verdicts = Verdicts::default();

    let before = bare(&mut viewers, port)?;
    let daemon = Daemon::start(directory.path(), &configuration)?;
    join(&mut viewers, &daemon, all.clone())?;
    let served = serve(&mut viewers, &daemon)?;
    judge(&served, &daemon, &viewers, &mut verdicts)?;
    // The last 200 go, so that as many as before are there with those that stall.
    let (others, leaving) = (0..VIEWERS - STALLED, VIEWERS - STALLED..VIEWERS);
    viewers.ask(daemon.tv, "12", leaving)?;
    let stalled = viewers.add(STALLED, false)?;
    let rounds = stall(&mut viewers, &daemon, (others, stalled), &mut verdicts)?;
    daemon.stop()?;
    let after = bare(&mut viewers, port)?;

    print_costs(&before, &after, &served);
    print_rounds(&rounds);
    verdicts.lines().iter().for_each(|line| println!("{line}"));
    Ok(verdicts.all_kept())
}

/// What sending some blocks cost, and what of them was taken.
struct Served {
    cost: Cost,
    taken: Vec<Taken>,
}

fn bare(viewers: &mut Viewers, port: u16) -> Outcome<Served> {
    viewers.taken.clear();
    let cost = sender::run(viewers, (FILM, port), (VIEWERS, BARE_BLOCKS))?;
    Ok(Served { cost, taken: std::mem::take(&mut viewers.taken) })
}

/// Lets viewers in and waits until each has been told so, and is in the middle of its watching.
fn join(viewers: &mut Viewers, daemon: &Daemon, who: Range<usize>) -> Outcome<()> {
    let wanted = viewers.let_in + who.len();
    viewers.ask(daemon.tv, "10", who)?;
    viewers.run_until("all are let in", Duration::from_secs(20), |v| Ok(v.let_in >= wanted))
}

/// Waits for the quiet part of the block on the air; its number.
fn quiet(viewers: &mut Viewers) -> Outcome<u64> {
    let now = FILM.air(wall());
    let live = if wall() > now.at + QUIET { FILM.starts(now.seq + 1) } else { now };
    viewers.run(live.at + QUIET)?;
    Ok(live.seq)
}

/// Blocks to everyone.
fn serve(viewers: &mut Viewers, daemon: &Daemon) -> Outcome<Served> {
    // The block in which they joined, and one whole one to warm up.
    viewers.run(FILM.starts(FILM.air(wall()).seq + 1).at)?;
    let before = quiet(viewers)?;
    viewers.taken.clear();
    let began = daemon.cpu()?;
    viewers.run(FILM.starts(before + BLOCKS).at + QUIET)?;
    let used = (daemon.cpu()? - began).as_secs_f64();
    let each = used / (BLOCKS as f64 * VIEWERS as f64 * FILM.bytes as f64 / 1e9);
    let taken = std::mem::take(&mut viewers.taken);
    Ok(Served { cost: Cost { write: f64::NAN, whole: each }, taken })
}

fn judge(
    served: &Served,
    daemon: &Daemon,
    viewers: &Viewers,
    verdicts: &mut Verdicts,
) -> Outcome<()> {
    let expected = VIEWERS * usize::try_from(BLOCKS)?;
    let whole = served.taken.iter().filter(|t| t.ended <= WHOLE_MS).count();
    let what = format!("{whole} of {expected} blocks whole within {WHOLE_MS} ms of their air time");
    verdicts.note(whole == expected, what);
    let (strikes, removed) = (daemon.figure("/tv/strikes")?, daemon.figure("/tv/removed")?);
    let broken = viewers.broken;
    let what = format!("{strikes} strikes, {removed} removed, {broken} broken callbacks");
    verdicts.note(strikes + removed == 0 && broken == 0, what);
    Ok(())
}

/// The 99th of a hundred of the others, in each round.
#[derive(Default)]
struct Rounds {
    without: Vec<f64>,
    idle: Vec<f64>,
    sudden: Vec<f64>,
    /// Blocks that the others did not take.
    missing: usize,
}

fn stall(
    viewers: &mut Viewers,
    daemon: &Daemon,
    (others, stalled): (Range<usize>, Range<usize>),
    verdicts: &mut Verdicts,
) -> Outcome<Rounds> {
    let mut rounds = Rounds::default();
    let mut late = 0;
    for _ in 0..ROUNDS {
        quiet(viewers)?;
        let without = ninety_ninth(viewers, &others, &mut rounds.missing)?;
        rounds.without.push(without);
        viewers.ask(daemon.tv, "10", stalled.clone())?;
        let idle = ninety_ninth(viewers, &others, &mut rounds.missing)?;
        rounds.idle.push(idle);
        late += gone(viewers, daemon, &stalled)?;

        viewers.set_reading(stalled.clone(), true);
        join(viewers, daemon, stalled.clone())?;
        viewers.run(FILM.starts(FILM.air(wall()).seq + 1).at)?;
        quiet(viewers)?;
        viewers.set_reading(stalled.clone(), false);
        let sudden = ninety_ninth(viewers, &others, &mut rounds.missing)?;
        rounds.sudden.push(sudden);
        late += gone(viewers, daemon, &stalled)?;
    }
    let expected = u64::try_from(ROUNDS * STALLED * 2)?;
    let (strikes, removed) = (daemon.figure("/tv/strikes")?, daemon.figure("/tv/removed")?);
    let lines = daemon.log()?.lines().filter(|line| line.contains("removed")).count();
    let what = format!(
        "{removed} of {expected} that stalled were removed ({lines} log lines), {late} of them after \
         their second block; {strikes} strikes"
    );
    let exact = removed == expected && strikes == 2 * expected && late == 0;
    verdicts.note(exact, what);
    let missing = rounds.missing;
    verdicts.note(missing == 0, format!("{missing} blocks did not reach the others meanwhile"));
    let change = change(&rounds.without, &rounds.idle);
    let what = format!("{:+.1} % at the others' 99th; the bound is 5 %", change * 100.0);
    verdicts.note(change < CHANGE, what);
    Ok(rounds)
}

/// The 99th of a hundred over the next two blocks; what was not taken is counted and left out.
fn ninety_ninth(viewers: &mut Viewers, of: &Range<usize>, missing: &mut usize) -> Outcome<f64> {
    let before = FILM.air(wall()).seq;
    viewers.taken.clear();
    viewers.run(FILM.starts(before + 2).at + QUIET)?;
    let new = |t: &&Taken| of.contains(&t.viewer) && t.seq > before;
    let times: Vec<_> = viewers.taken.iter().filter(new).map(|t| t.ended).collect();
    *missing += (of.len() * 2).saturating_sub(times.len());
    Ok(rank(&times, 0.99))
}

/// Waits until the second block of those that stall is over; how many are still there then.
fn gone(viewers: &mut Viewers, daemon: &Daemon, stalled: &Range<usize>) -> Outcome<u64> {
    let others = u64::try_from(VIEWERS - STALLED)?;
    let still_there = |daemon: &Daemon| {
        Ok::<_, Box<dyn std::error::Error>>(daemon.figure("/tv/clients")?.saturating_sub(others))
    };
    // The time of a block runs from when it began at that viewer, so the second one's may end as
    // late into the third as the first began into its own.
    viewers.run(FILM.starts(FILM.air(wall()).seq + 1).at + QUIET)?;
    let late = still_there(daemon)?;
    viewers.run_until("all that stall are out", Duration::from_secs(5), |_| {
        Ok(still_there(daemon)? == 0)
    })?;
    viewers.set_reading(stalled.clone(), false);
    Ok(late)
}

/// The median of the rounds' ratios, less one.
fn change(without: &[f64], with: &[f64]) -> f64 {
    let ratios: Vec<_> = without.iter().zip(with).map(|(a, b)| b / a).collect();
    median(&ratios) - 1.0
}

fn print_costs(before: &Served, after: &Served, served: &Served) {
    let both = |of: fn(&Cost) -> f64| (of(&before.cost) + of(&after.cost)) / 2.0;
    let (write, whole) = (both(|c| c.write), both(|c| c.whole));
    println!("{:34}{:>9}{:>8}{:>8}{:>8}{:>8}", "", "CPU s/GB", "ratio", "median", "99th", "last");
    println!("{:34}{write:>9.3}{:>8.2}", "bare: write alone", write / whole);
    for (name, bare) in [("before", before), ("after", after)] {
        let name = format!("bare: dial, write, close ({name})");
        row(&name, bare, whole);
    }
    row("vidstreamd", served, whole);
}

fn row(name: &str, served: &Served, yardstick: f64) {
    let times: Vec<_> = served.taken.iter().map(|t| t.ended).collect();
    let [half, most, last] = [0.5, 0.99, 1.0].map(|part| rank(&times, part));
    let cost = served.cost.whole;
    let ratio = cost / yardstick;
    println!("{name:34}{cost:>9.3}{ratio:>8.2}{half:>8.0}{most:>8.0}{last:>8.0}");
}

fn print_rounds(rounds: &Rounds) {
    println!();
    let title = format!("{} others, {ROUNDS} rounds of 2 blocks", VIEWERS - STALLED);
    println!("{title:34}{:>9}{:>8}  rounds' 99th, ms", "99th, ms", "change");
    let row = |name: &str, with: &[f64]| {
        let change = change(&rounds.without, with) * 100.0;
        println!("{name:34}{:>9.0}{change:>+7.1}%  {}", median(with), spread(with, 0));
    };
    row("nobody stalls", &rounds.without);
    row(&format!("{STALLED} idle ones stall"), &rounds.idle);
    row(&format!("{STALLED} sudden ones stall"), &rounds.sudden);
}

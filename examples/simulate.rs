//! Plays a mesh of any size in virtual time and tells what its members got: to plan capacity, and
//! to show that the figures hold (`--figures`). The machines are those of the daemon; the world
//! around them is that of the tests (`tests/sim/world`). Needs the pure part of the library only.
//!
//! `cargo run --release --example simulate -- --help` names the flags.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::cast_precision_loss, reason = "seconds for people")]

#[path = "../tests/sim/figures.rs"]
mod figures;
#[path = "../tests/sim/pools.rs"]
mod pools;
#[path = "../tests/sim/world/mod.rs"]
mod world;

use std::process::ExitCode;

use lexopt::prelude::*;

use world::SECOND;
use world::scenario::{Fault, Outcome, Scenario};

const HELP: &str = "\
Plays a mesh in virtual time and tells what its members got.

  --nodes N            members (1000)
  --slots S            children of each: a number, or slots:percent,... (4)
  --root-slots N       children of the root (8)
  --stripes K          stripes of a block (8)
  --lead T             how long before its air time a block enters (6s)
  --mean-life T        how long a member lives; another one joins then (for ever)
  --minutes M          how long it is measured (2)
  --silent             who dies says nothing; else its system resets its connections
  --join-every T       between two joins (10ms)
  --warm T             from the last join to the first figure (60s)
  --delay MIN:MAX      what a letter takes; MIN divides a second (5ms:40ms)
  --uplink F           each uplink carries F times the channel (no limit)
  --deaths P           P percent die in one instant, 20 s after measuring began
  --partition P:T      P percent are cut off for T, 20 s after measuring began
  --root-restart T     the root dies and comes back after T, 20 s after measuring began
  --rescue-rate B      bytes a second that the root sends to who asks (4194304)
  --seed N             of all that is drawn (7)
  --remember N         tell of each fault the last N events of its host (0)
  --json               the outcome as one JSON object
  --figures            every case that must hold; fails when one falls short
  --only WORD          of these, the cases whose name has the word
";

#[global_allocator]
static POOLS: pools::Pools = pools::Pools::new();

/// What was asked for.
struct Request {
    scenario: Scenario,
    json: bool,
    figures: bool,
    only: Option<String>,
}

fn main() -> ExitCode {
    let request = match read(lexopt::Parser::from_env()) {
        Ok(Some(request)) => request,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}; --help names the flags");
            return ExitCode::from(2);
        }
    };
    take_large_pages();
    if request.figures {
        let world = &request.scenario.world;
        let about = (world.seed, world.remember);
        let met = figures::print_all((clock, pools::enter), request.only.as_deref(), about);
        return if met { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let began = clock();
    let outcome = request.scenario.run();
    let seconds = clock().saturating_sub(began) as f64 / 1e9;
    print_outcome(&outcome, request.json, seconds);
    ExitCode::SUCCESS
}

fn read(mut parser: lexopt::Parser) -> Result<Option<Request>, lexopt::Error> {
    let mut request =
        Request { scenario: Scenario::new(7, 1_000), json: false, figures: false, only: None };
    (request.scenario.clock, request.scenario.memory) = (clock, pools::enter);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("json") => request.json = true,
            Long("figures") => request.figures = true,
            Long("only") => request.only = Some(parser.value()?.string()?),
            Long(name) => {
                let name = name.to_owned();
                read_flag(&mut parser, &name, &mut request.scenario)?;
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(request))
}

fn read_flag(
    parser: &mut lexopt::Parser,
    name: &str,
    scenario: &mut Scenario,
) -> Result<(), lexopt::Error> {
    let at = 20 * SECOND;
    match name {
        "silent" => scenario.silent = true,
        "nodes" => scenario.nodes = parser.value()?.parse()?,
        "slots" => scenario.slots = parser.value()?.parse_with(mix)?,
        "root-slots" => scenario.world.root_slots = parser.value()?.parse()?,
        "stripes" => scenario.world.stripes = parser.value()?.parse()?,
        "lead" => scenario.world.lead = parser.value()?.parse_with(time)?,
        "mean-life" => scenario.mean_life = Some(parser.value()?.parse_with(time)?),
        "minutes" => scenario.time = parser.value()?.parse::<u64>()? * 60 * SECOND,
        "join-every" => scenario.join_every = parser.value()?.parse_with(time)?,
        "warm" => scenario.warm = parser.value()?.parse_with(time)?,
        "delay" => scenario.world.delay = parser.value()?.parse_with(delays)?,
        "rescue-rate" => scenario.world.rescue_rate = parser.value()?.parse()?,
        "uplink" => scenario.world.uplink = uplink(scenario, parser.value()?.parse()?),
        "deaths" => {
            let (percent, silent) = (parser.value()?.parse()?, scenario.silent);
            scenario.fault = Some((at, Fault::Deaths { percent, silent }));
        }
        "partition" => {
            let (percent, lasts) = parser.value()?.parse_with(partition)?;
            scenario.fault = Some((at, Fault::Partition { percent, lasts }));
        }
        "root-restart" => {
            let after = parser.value()?.parse_with(time)?;
            scenario.fault = Some((at, Fault::RootRestart { after }));
        }
        "seed" => scenario.world.seed = parser.value()?.parse()?,
        "remember" => scenario.world.remember = parser.value()?.parse()?,
        other => return Err(format!("there is no flag --{other}").into()),
    }
    if let Some((_, Fault::Deaths { silent, .. })) = &mut scenario.fault {
        *silent = scenario.silent;
    }
    Ok(())
}

fn uplink(scenario: &Scenario, factor: f64) -> u64 {
    figures::rate(&scenario.world, factor)
}

/// `4`, or `0:5,2:10,4:85`.
fn mix(text: &str) -> Result<Vec<(usize, u64)>, String> {
    let part = |part: &str| {
        let (slots, percent) = part.split_once(':').unwrap_or((part, "100"));
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
        Ok((usize::try_from(number(slots)?).unwrap_or(usize::MAX), number(percent)?))
    };
    text.split(',').map(part).collect()
}

fn time(text: &str) -> Result<u64, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(time.as_nanos()).map_err(|error| error.to_string())
}

fn partition(text: &str) -> Result<(u64, u64), String> {
    let (percent, lasts) = text.split_once(':').ok_or("percent:time is wanted")?;
    Ok((percent.parse().map_err(|error| format!("{error}"))?, time(lasts)?))
}

fn delays(text: &str) -> Result<(u64, u64), String> {
    let (least, most) = text.split_once(':').ok_or("two times are wanted")?;
    let (least, most) = (time(least)?, time(most)?);
    if least == 0 || !SECOND.is_multiple_of(least) || most < least {
        return Err(format!("{text}: the first has to divide a second and be the lesser"));
    }
    Ok((least, most))
}

/// Starts this program again with its memory in large pages, if the C library can: the nodes of a
/// large mesh fit no cache, and a third of the time goes to looking pages up.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn take_large_pages() {
    use std::os::unix::process::CommandExt;

    let name = "GLIBC_TUNABLES";
    if std::env::var_os(name).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = std::process::Command::new(program);
    again
        .args(std::env::args_os().skip(1))
        .env(name, "glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=20000");
    let error = again.exec();
    eprintln!("goes on with small pages, which is slower: {error}");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn take_large_pages() {}

/// How long this thread has run, in nanoseconds: what else the machine does is not counted.
fn clock() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(std::time::Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn print_outcome(outcome: &Outcome, json: bool, seconds: f64) {
    let trace = format!("{:016x}", outcome.trace);
    let value = serde_json::json!({
        "seed": outcome.seed,
        "members": outcome.members,
        "deaths": outcome.deaths,
        "blocks": outcome.blocks,
        "missed_blocks": outcome.missed,
        "unserved": outcome.unserved,
        "refused": outcome.refused,
        "reason": outcome.reason,
        "jain": outcome.jain,
        "max_over_mean": outcome.max_over_mean,
        "depth_max": outcome.depth_max,
        "slots_exceeded": outcome.slots_exceeded,
        "cycles": outcome.cycles,
        "moves_per_s": outcome.moves_per_s,
        "join_us_median": outcome.join_us_median,
        "holes": outcome.holes,
        "repair_ms_p50": outcome.repair_ms_p50,
        "repair_ms_p99": outcome.repair_ms_p99,
        "pull_share": outcome.pull_share,
        "catch_up_share": outcome.catch_up_share,
        "wasted_share": outcome.wasted_share,
        "rescue_share": outcome.rescue_share,
        "rescue_rate": outcome.rescue_rate,
        "control_share": outcome.control_share,
        "root_copies": outcome.root_copies,
        "parents_changed": outcome.parents_changed,
        "astray": outcome.astray.1,
        "astray_before": outcome.astray.0,
        "letters": outcome.letters,
        "timers": outcome.timers,
        "seconds": seconds,
        "trace": trace,
        "faults": outcome.faults,
    });
    if json {
        return println!("{value}");
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        println!("{key:16} {value}");
    }
}

//! The cases that must hold, with their bounds: `simulate --figures` plays and prints them.
#![allow(dead_code, unreachable_pub, reason = "the tests take the uplinks from here only")]
#![allow(clippy::print_stdout, reason = "a table for people")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are shares and rates: far below what a f64 holds exactly"
)]

use std::fmt::Write as _;

use vidstreamd::base::rng::Rng;
use vidstreamd::base::time::Mono;
use vidstreamd::mesh::planner::{self, Answer, Event, Joining, Planner};
use vidstreamd::mesh::wire::{NodeId, Stripes};

use crate::world::measure::quantile;
use crate::world::scenario::{Fault, Outcome, Scenario};
use crate::world::{SECOND, Settings};

const MINUTE: u64 = 60 * SECOND;

/// Bytes a second of so many times the channel.
pub fn rate(world: &Settings, factor: f64) -> u64 {
    (world.block_bytes as f64 * 1e9 / world.lasts as f64 * factor) as u64
}

/// One bound of a case, and what was measured.
struct Check {
    bound: String,
    measured: String,
    met: bool,
}

/// What a case is judged by.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn most(&mut self, name: &str, value: f64, most: f64) {
        let met = value <= most;
        let (bound, measured) = (format!("{name} <= {most}"), short(value));
        self.0.push(Check { bound, measured, met });
    }

    fn least(&mut self, name: &str, value: f64, least: f64) {
        let met = value >= least;
        let (bound, measured) = (format!("{name} >= {least}"), short(value));
        self.0.push(Check { bound, measured, met });
    }

    fn holds(&mut self, bound: &str, measured: String, met: bool) {
        self.0.push(Check { bound: bound.to_owned(), measured, met });
    }

    /// What must hold in every run.
    fn sound(&mut self, outcome: &Outcome) {
        self.most("missed", outcome.missed as f64, 0.0);
        self.most("without a block", outcome.unserved as f64, 0.0);
        self.most("slots exceeded", outcome.slots_exceeded as f64, 0.0);
        self.most("cycles", outcome.cycles as f64, 0.0);
    }

    /// What nodes asked each other for stays little.
    fn quiet(&mut self, scenario: &Scenario, outcome: &Outcome) {
        self.most("pulled %", (outcome.pull_share + outcome.catch_up_share) * 100.0, 2.0);
        self.most("rescue B/s", outcome.rescue_rate, scenario.world.rescue_rate as f64);
    }
}

fn short(value: f64) -> String {
    if value == 0.0 || value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// A case: its name, what is played, and how that is judged.
struct Case {
    name: &'static str,
    scenario: Scenario,
    judge: fn(&Scenario, &Outcome, &mut Checks),
}

/// A clock, and what says whose memory is asked for.
pub type Hooks = (fn() -> u64, fn(Option<u32>));

/// Plays all cases whose names have the word; whether all bounds are met.
pub fn print_all(
    (clock, memory): Hooks,
    only: Option<&str>,
    (seed, remember): (u64, usize),
) -> bool {
    let (mut all_met, mut count) = (true, 0);
    for mut case in cases(seed) {
        if only.is_some_and(|word| !case.name.contains(word)) {
            continue;
        }
        (case.scenario.clock, case.scenario.memory) = (clock, memory);
        case.scenario.world.remember = remember;
        let began = clock();
        let outcome = case.scenario.run();
        let seconds = clock().saturating_sub(began) as f64 / 1e9;
        let mut checks = Checks::default();
        (case.judge)(&case.scenario, &outcome, &mut checks);
        if case.name.starts_with("10 000") {
            checks.most("seconds", seconds, 60.0);
            let median = planner_join_us(clock, case.scenario.nodes, seed);
            checks.most("a join of the planner us, median", median, 50.0);
        }
        if case.name.starts_with("equal") {
            let again = case.scenario.run().trace;
            let measured = format!("{:016x} {again:016x}", outcome.trace);
            checks.holds("equal traces", measured, again == outcome.trace);
        }
        all_met &= print_case(case.name, seconds, &checks, &outcome);
        count += 1;
    }
    println!("\n{count} cases; {}", if all_met { "all bounds met" } else { "some fall short" });
    all_met && count > 0
}

/// Microseconds of the planner for a join at the median, while a mesh of so many is built and then
/// as many as a tenth of them go and others come. The other figure of a join, printed with every
/// case, has all that the root does in it: proof, places of everybody who moves, frames.
fn planner_join_us(clock: fn() -> u64, nodes: usize, seed: u64) -> f64 {
    let settings = planner::Settings {
        stripes: 8,
        root_slots: 8,
        members_max: 2 * nodes,
        rate: 500_000,
        seed,
    };
    let mut rng = Rng::new(seed);
    let mut planner = Planner::new(NodeId(0), settings, Mono(0));
    let (mut members, mut times) = (Vec::new(), Vec::new());
    for name in 1..=(nodes + nodes / 10) as u64 {
        let now = Mono(name * SECOND / 200);
        if name > nodes as u64 {
            let gone = rng.below(members.len() as u64) as usize;
            planner.plan(now, Event::Lost { member: members.swap_remove(gone) });
        }
        let joining = Joining {
            name: NodeId(name),
            slots: 4,
            reachable: true,
            held: Vec::new(),
            forwards: Stripes::EMPTY,
            part: false,
        };
        let began = clock();
        let plan = planner.plan(now, Event::Join(joining));
        times.push(clock().saturating_sub(began));
        if let Some(Answer::Placed(member)) = plan.answer {
            members.push(member);
        }
        if name.is_multiple_of(200) {
            planner.plan(now, Event::Tick);
        }
    }
    quantile(&mut times, 0.5) as f64 / 1e3
}

fn print_case(name: &str, seconds: f64, checks: &Checks, outcome: &Outcome) -> bool {
    println!("\n{name} ({seconds:.0} s)");
    for Check { bound, measured, met } in &checks.0 {
        println!("  {bound:32} {measured:>20}  {}", if *met { "met" } else { "FALLS SHORT" });
    }
    let mut more = String::new();
    let o = outcome;
    let _ = write!(more, "  blocks {} deaths {} moves/s {:.1} ", o.blocks, o.deaths, o.moves_per_s);
    let _ = write!(more, "pulled {:.2} % ", o.pull_share * 100.0);
    let _ = write!(more, "caught up {:.2} % ", o.catch_up_share * 100.0);
    let _ = write!(more, "twice {:.2} % ", o.wasted_share * 100.0);
    let _ = write!(more, "holes {} p50 {:.0} ms ", o.holes, o.repair_ms_p50);
    let _ = write!(more, "p99 {:.0} ms join {:.0} us", o.repair_ms_p99, o.join_us_median);
    println!("{more}");
    outcome.faults.iter().for_each(|fault| println!("  ! {fault}"));
    checks.0.iter().all(|check| check.met)
}

/// Every case.
fn cases(seed: u64) -> Vec<Case> {
    let mut all = vec![steady(seed)];
    all.extend(churned(seed));
    all.extend(broken(seed));
    all.extend(limited(seed));
    all.extend(scarce(seed));
    all.extend(large(seed));
    all
}

fn steady(seed: u64) -> Case {
    let mut scenario = Scenario::new(seed, 1_000);
    scenario.warm = 2 * MINUTE;
    let judge = |s: &Scenario, o: &Outcome, c: &mut Checks| {
        c.sound(o);
        c.least("Jain", o.jain, 0.99);
        c.most("max/mean", o.max_over_mean, 1.1);
        c.most("depth", o.depth_max as f64, 8.0);
        c.most("root copies", o.root_copies, 8.0);
        c.quiet(s, o);
    };
    Case { name: "steady: 1000 of 4 slots", scenario, judge }
}

fn churn(seed: u64) -> Scenario {
    let mut scenario = Scenario::new(seed, 1_000);
    scenario.mean_life = Some(10 * MINUTE);
    scenario.silent = true;
    scenario.time = 10 * MINUTE;
    scenario
}

fn mixed(seed: u64) -> Scenario {
    let slots = vec![(0, 5), (2, 10), (4, 50), (6, 20), (8, 15)];
    Scenario { slots, ..churn(seed) }
}

fn churned(seed: u64) -> Vec<Case> {
    let judge = |s: &Scenario, o: &Outcome, c: &mut Checks| {
        c.sound(o);
        c.least("Jain of the grown", o.jain, 0.98);
        c.most("depth", o.depth_max as f64, 12.0);
        c.quiet(s, o);
    };
    let judge_mixed = |s: &Scenario, o: &Outcome, c: &mut Checks| {
        c.sound(o);
        c.most("max/mean with slots", o.max_over_mean, 1.3);
        c.most("depth", o.depth_max as f64, 24.0);
        c.quiet(s, o);
    };
    vec![
        Case { name: "churn: mean life 600 s, silent", scenario: churn(seed), judge },
        Case { name: "mixed slots: churn", scenario: mixed(seed), judge: judge_mixed },
    ]
}

fn struck(seed: u64, fault: Fault) -> Scenario {
    let mut scenario = Scenario::new(seed, 1_000);
    scenario.time = 2 * MINUTE;
    scenario.fault = Some((20 * SECOND + SECOND / 20, fault));
    scenario
}

fn broken(seed: u64) -> Vec<Case> {
    let silent = struck(seed, Fault::Deaths { percent: 10, silent: true });
    let reset = struck(seed, Fault::Deaths { percent: 10, silent: false });
    let mut parted = struck(seed, Fault::Partition { percent: 33, lasts: 5 * SECOND });
    parted.world.lead = 8 * SECOND;
    let root = struck(seed, Fault::RootRestart { after: 2 * SECOND });
    vec![
        Case {
            name: "deaths: 10 % at once, silent",
            scenario: silent,
            judge: |s, o, c| {
                c.sound(o);
                c.most("hole p99 ms", o.repair_ms_p99, 3_000.0);
                c.quiet(s, o);
            },
        },
        Case {
            name: "deaths: 10 % at once, reset",
            scenario: reset,
            judge: |s, o, c| {
                c.sound(o);
                c.most("hole p99 ms", o.repair_ms_p99, 300.0);
                c.quiet(s, o);
            },
        },
        Case {
            name: "partition: a third for 5 s, lead 8 s",
            scenario: parted,
            judge: |s, o, c| {
                c.sound(o);
                c.quiet(s, o);
            },
        },
        Case {
            name: "root restart: 2 s",
            scenario: root,
            judge: |s, o, c| {
                c.sound(o);
                c.most("parents changed %", o.parents_changed * 100.0, 5.0);
                c.quiet(s, o);
            },
        },
    ]
}

/// Uplinks of 1.5 times the channel.
fn limited(seed: u64) -> Vec<Case> {
    let mut churned = churn(seed);
    churned.time = 3 * MINUTE;
    let mut deaths = struck(seed, Fault::Deaths { percent: 10, silent: true });
    for scenario in [&mut churned, &mut deaths] {
        scenario.world.uplink = rate(&scenario.world, 1.5);
    }
    let judge = |s: &Scenario, o: &Outcome, c: &mut Checks| {
        c.sound(o);
        c.quiet(s, o);
    };
    vec![
        Case { name: "uplinks 1.5 x: churn", scenario: churned, judge },
        Case { name: "uplinks 1.5 x: 10 % die at once", scenario: deaths, judge },
    ]
}

fn scarce(seed: u64) -> Vec<Case> {
    let mut half = Scenario::new(seed, 1_000);
    half.slots = vec![(0, 50), (4, 50)];
    let mut chain = Scenario::new(seed, 200);
    (chain.slots, chain.world.root_slots) = (vec![(1, 100)], 1);
    (chain.world.lead, chain.join_every) = (14 * SECOND, SECOND / 2);
    let mut few = Scenario::new(seed, 200);
    (few.slots, few.world.root_slots) = (vec![(0, 50), (1, 50)], 1);
    (few.world.lead, few.join_every) = (14 * SECOND, SECOND / 2);
    let sound = |_: &Scenario, o: &Outcome, c: &mut Checks| {
        c.sound(o);
        c.most("refused", o.refused as f64, 0.0);
    };
    vec![
        Case { name: "half of 0 slots, half of 4", scenario: half, judge: sound },
        Case { name: "chain of 200", scenario: chain, judge: sound },
        Case {
            name: "half of 0 slots, half of 1, root 1",
            scenario: few,
            judge: |s, o, c| {
                c.sound(o);
                let served = o.members - o.refused;
                // Everybody with a slot makes room for one more.
                let with_slots = s.nodes / 2;
                c.least("served", served as f64, with_slots as f64 * 0.9);
                let reason = o.reason.clone().unwrap_or_default();
                let full = o.refused > 0 && reason.contains("offer slots");
                c.holds("the rest are told why", reason, full);
            },
        },
    ]
}

fn large(seed: u64) -> Vec<Case> {
    let mut large = Scenario::new(seed, 10_000);
    (large.join_every, large.warm) = (1_000_000, 0);
    large.mean_life = Some(10 * MINUTE);
    large.silent = true;
    let mut twice = mixed(seed + 1);
    (twice.nodes, twice.time, twice.warm) = (200, MINUTE, 10 * SECOND);
    vec![
        Case {
            name: "10 000 members, churn",
            scenario: large,
            judge: |_, o, c| {
                c.sound(o);
                c.most("depth", o.depth_max as f64, 12.0);
            },
        },
        Case { name: "equal runs", scenario: twice, judge: |_, o, c| c.sound(o) },
    ]
}

//! The simulator's own tests: small meshes in virtual time, with faults drawn at random. The large
//! runs are those of `examples/simulate.rs`. A run that fails says its seed:
//! `SIM_SEED=17 cargo test --test sim one_seed -- --nocapture` plays that one again.
#![allow(clippy::cast_possible_truncation, reason = "numbers of nodes")]

mod figures;
#[allow(dead_code, reason = "only the program that plays large meshes gives it all")]
mod pools;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use vidstreamd::base::rng::Rng;

use world::scenario::{Fault, Outcome, Scenario};
use world::{MS, SECOND, Settings, World};

const MEMBERS: usize = 64;
/// How long faults come, and how long the mesh then has to mend.
const FAULTS: u64 = 10 * SECOND;
const REST: u64 = 10 * SECOND;

/// A mesh of nodes of all kinds, drawn from a seed.
struct Chaos {
    world: World,
    rng: Rng,
    slots: Vec<usize>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Settings {
            seed,
            root_slots: 4 + rng.below(5) as usize,
            stripes: [1, 3, 4, 8, 8, 16][rng.below(6) as usize],
            lead: 8 * SECOND,
            check_every: 16,
            remember: 24,
            ..Scenario::new(seed, 0).world
        };
        let slots = vec![0, 2, 3, 4, 4, 4, 6, 8];
        let mut chaos = Self { world: World::new(settings), rng, slots };
        for _ in 0..MEMBERS {
            chaos.join();
            chaos.pass(50 * MS);
        }
        chaos.pass(5 * SECOND);
        chaos
    }

    fn draw(&mut self, end: usize) -> usize {
        self.rng.below(end as u64) as usize
    }

    fn join(&mut self) {
        let drawn = self.draw(self.slots.len());
        self.world.join(self.slots[drawn]);
    }

    fn pass(&mut self, time: u64) {
        let until = self.world.now + time;
        while self.world.now < until {
            let second = (self.world.now / SECOND + 1) * SECOND;
            self.world.run(until.min(second));
            if self.world.now == second {
                self.world.look();
            }
        }
    }

    /// One thing goes wrong, or somebody comes.
    fn fault(&mut self) {
        if self.world.alive().len() < MEMBERS / 2 {
            return self.join();
        }
        let drawn = self.draw(self.world.alive().len());
        let host = self.world.alive()[drawn];
        match self.draw(12) {
            0..=2 => self.world.kill(host, true),
            3..=5 => self.world.kill(host, false),
            6 => {
                // Its machine starts anew: a node of another name at the same address.
                let silent = self.draw(2) == 0;
                self.world.kill(host, silent);
                self.pass(200 * MS);
                let slots = self.draw(self.slots.len());
                self.world.start(host, self.slots[slots]);
            }
            7 => self.world.leave(host),
            8 => {
                let some: Vec<u32> = self.world.alive().iter().copied().take(10).collect();
                let until = self.world.now + 300 * MS * (1 + self.draw(8) as u64);
                self.world.part(&some, until);
            }
            9 if self.draw(4) == 0 => {
                let silent = self.draw(2) == 0;
                self.world.kill(0, silent);
                self.pass(SECOND);
                self.world.start_root();
            }
            10 if self.draw(3) == 0 => self.world.corrupt(host),
            _ => self.join(),
        }
    }

    fn play(&mut self) {
        let until = self.world.now + FAULTS;
        while self.world.now < until {
            self.fault();
            let wait = 100 + self.draw(900) as u64;
            self.pass(wait / 5 * 5 * MS);
        }
        self.pass(REST);
        self.world.close_books();
        self.world.end();
    }

    /// What must not be.
    fn faults(&mut self, served: usize) -> Vec<String> {
        let mut faults: Vec<String> = self.world.net.faults.iter().cloned().collect();
        if served > 0 {
            faults.push(format!("{served} members have no block"));
        }
        faults
    }
}

/// Plays a seed; what went wrong, and the hash of all that happened.
fn play(seed: u64) -> (Vec<String>, u64) {
    let mut chaos = Chaos::new(seed);
    chaos.play();
    let unserved = chaos.world.unserved_at_end();
    (chaos.faults(unserved), chaos.world.trace())
}

fn play_all(seeds: core::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok((faults, _)) if faults.is_empty() => {}
            Ok((faults, _)) => failed.push((seed, faults)),
            Err(_) => failed.push((seed, vec!["it panicked".to_owned()])),
        }
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    assert!(failed.is_empty(), "seeds {seeds:?}: {failed:#?}");
}

#[test]
fn no_fault_makes_anybody_miss_a_block_1() {
    play_all(0..25);
}

#[test]
fn no_fault_makes_anybody_miss_a_block_2() {
    play_all(25..50);
}

#[test]
fn no_fault_makes_anybody_miss_a_block_3() {
    play_all(50..75);
}

#[test]
fn no_fault_makes_anybody_miss_a_block_4() {
    play_all(75..100);
}

#[test]
fn one_seed_gives_one_run() {
    let seed = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    let (faults, trace) = play(seed);
    for fault in &faults {
        println!("{fault}");
    }
    assert_eq!(faults, Vec::<String>::new(), "seed {seed}");
    assert_eq!(play(seed).1, trace, "seed {seed}");
    assert_ne!(play(seed + 1).1, trace, "seed {seed}");
}

/// What waits for a host's next turn is handled at its own moment, as if it had not waited.
#[test]
fn what_waits_for_the_next_turn_changes_nothing() {
    for seed in 0..6 {
        let mut scenario = Scenario::new(seed, 60);
        (scenario.warm, scenario.time, scenario.grown) = (5 * SECOND, 20 * SECOND, 5 * SECOND);
        (scenario.mean_life, scenario.silent) = (Some(30 * SECOND), seed % 2 == 0);
        let partition = Fault::Partition { percent: 20, lasts: SECOND };
        scenario.fault = (seed < 3).then_some((2 * SECOND, partition));
        let lazy = scenario.run();
        scenario.world.prompt = true;
        let prompt = scenario.run();
        // The hash has the order of letters in it, and what reaches an end that is closed by then
        // is answered when it is handled: nobody cares, but it comes between other letters.
        let trace = lazy.trace;
        assert_eq!(lazy, Outcome { trace, ..prompt }, "seed {seed}");
        assert!(lazy.deaths > 0 && lazy.holes > 0, "seed {seed}");
    }
}

#[test]
fn a_scenario_tells_what_it_saw() {
    let mut scenario = Scenario::new(5, 40);
    (scenario.warm, scenario.time, scenario.grown) = (5 * SECOND, 15 * SECOND, 5 * SECOND);
    scenario.fault = Some((2 * SECOND, Fault::Deaths { percent: 10, silent: false }));
    scenario.world.uplink = figures::rate(&scenario.world, 3.0);
    scenario.clean = true;
    let outcome = scenario.run();
    assert_eq!((outcome.missed, outcome.faults), (0, vec![]));
    assert_eq!((outcome.deaths, outcome.members, outcome.unserved), (4, 36, 0));
    assert!(outcome.holes > 0 && outcome.depth_max > 1 && outcome.blocks > 200);
}

//! A whole run: who joins, how long they live, what fails, and what came of it.

use vidstreamd::base::rng::Rng;

use super::measure::{millis, quantile};
use super::net::{MS, SECOND};
use super::{Settings, World};

/// What happens once, some time after measuring has begun.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// So many percent of all members die in the same instant.
    Deaths { percent: u64, silent: bool },
    /// So many percent of all members and the rest do not reach each other for so long.
    Partition { percent: u64, lasts: u64 },
    /// The root's process dies and starts again.
    RootRestart { after: u64 },
}

/// What is to be run; times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub world: Settings,
    pub nodes: usize,
    /// Slots, and how many percent of all members have so many.
    pub slots: Vec<(usize, u64)>,
    /// Nanoseconds between two joins.
    pub join_every: u64,
    /// From the last join to the first figure.
    pub warm: u64,
    /// How long it is measured.
    pub time: u64,
    pub mean_life: Option<u64>,
    pub silent: bool,
    pub fault: Option<(u64, Fault)>,
    /// Members younger than this are left out of the balance.
    pub grown: u64,
    pub clock: fn() -> u64,
    /// As [`Net::memory`](super::net::Net::memory).
    pub memory: fn(Option<u32>),
    /// All leave at the end, and nothing may be left.
    pub clean: bool,
}

impl Scenario {
    /// The usual run: blocks of 2 s and 1 MB, links of 5 to 40 ms.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let world = Settings {
            seed,
            root_slots: 8,
            stripes: 8,
            lead: 6 * SECOND,
            lasts: 2 * SECOND,
            block_bytes: 1_000_000,
            rescue_rate: 4 << 20,
            uplink: 0,
            delay: (5 * MS, 40 * MS),
            jitter: 3 * MS,
            check_every: 4_096,
            remember: 0,
            prompt: false,
        };
        Self {
            world,
            nodes,
            slots: vec![(4, 100)],
            join_every: 10 * MS,
            warm: 60 * SECOND,
            time: 120 * SECOND,
            mean_life: None,
            silent: false,
            fault: None,
            grown: 120 * SECOND,
            clock: || 0,
            memory: |_| (),
            clean: false,
        }
    }
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub members: usize,
    pub deaths: u64,
    pub blocks: u64,
    pub missed: u64,
    pub unserved: usize,
    pub refused: usize,
    pub reason: Option<String>,
    pub jain: f64,
    pub max_over_mean: f64,
    pub depth_max: usize,
    pub slots_exceeded: u64,
    pub cycles: u64,
    pub moves_per_s: f64,
    pub join_us_median: f64,
    pub holes: usize,
    pub repair_ms_p50: f64,
    pub repair_ms_p99: f64,
    pub pull_share: f64,
    pub catch_up_share: f64,
    pub wasted_share: f64,
    /// Bytes a second that the root sent outside its slots.
    pub rescue_rate: f64,
    pub rescue_share: f64,
    pub control_share: f64,
    pub root_copies: f64,
    /// The share of parents that a fault has changed in the end.
    pub parents_changed: f64,
    /// The share of places that were not as planned when measuring began, and at the end.
    pub astray: (f64, f64),
    pub letters: u64,
    pub timers: u64,
    pub trace: u64,
    pub faults: Vec<String>,
}

impl Scenario {
    /// Runs it.
    pub fn run(&self) -> Outcome {
        let (mut world, deaths, changed) = self.play();
        world.close_books();
        let outcome = self.outcome(&mut world, deaths, changed);
        if !self.clean {
            return outcome;
        }
        let missed = world.net.fault_count;
        world.end();
        let faults = world.net.faults.iter().cloned().collect();
        Outcome { faults, missed: outcome.missed + world.net.fault_count - missed, ..outcome }
    }

    fn draw_slots(&self, rng: &mut Rng) -> usize {
        let all: u64 = self.slots.iter().map(|(_, percent)| percent).sum();
        let mut drawn = rng.below(all.max(1));
        for (slots, percent) in &self.slots {
            if drawn < *percent {
                return *slots;
            }
            drawn -= percent;
        }
        0
    }

    fn play(&self) -> (World, u64, f64) {
        let mut world = World::new(self.world.clone());
        (world.net.clock, world.net.memory) = (self.clock, self.memory);
        let mut rng = Rng::new(self.world.seed ^ 0x5eed);
        let began = world.now;
        for count in 1..=self.nodes as u64 {
            world.join(self.draw_slots(&mut rng));
            let since = world.now - began;
            self.pass(&mut world, &mut rng, count * self.join_every - since, &mut 0);
        }
        self.pass(&mut world, &mut rng, self.warm, &mut 0);
        world.begin_measuring();
        world.survey.astray = world.astray().0;
        let (mut deaths, mut changed) = (0, 0.0);
        if let Some((after, fault)) = self.fault {
            self.pass(&mut world, &mut rng, after, &mut deaths);
            let before = world.parents();
            Self::strike(&mut world, &mut rng, fault, &mut deaths);
            self.pass(&mut world, &mut rng, self.time.saturating_sub(after), &mut deaths);
            changed = world.changed_since(&before);
        } else {
            self.pass(&mut world, &mut rng, self.time, &mut deaths);
        }
        (world, deaths, changed)
    }

    /// Lets time go by, with the deaths of that time.
    fn pass(&self, world: &mut World, rng: &mut Rng, time: u64, deaths: &mut u64) {
        let window = self.world.delay.0;
        let until = world.now + time / window * window;
        while world.now < until {
            let second = (world.now / SECOND + 1) * SECOND;
            let death = self.next_death(world, rng);
            let next = until.min(second).min(death.unwrap_or(u64::MAX));
            world.run(next);
            if world.now == second {
                world.look();
            }
            if Some(world.now) == death && !world.alive().is_empty() {
                let victim = world.alive()[rng.below(world.alive().len() as u64) as usize];
                world.kill(victim, self.silent);
                world.join(self.draw_slots(rng));
                *deaths += 1;
            }
        }
    }

    /// When somebody dies next; drawn anew each time, as lives have no memory.
    fn next_death(&self, world: &World, rng: &mut Rng) -> Option<u64> {
        let life = self.mean_life?;
        let mean = life as f64 / world.alive().len().max(1) as f64;
        let drawn = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let wait = -mean * (1.0 - drawn).ln();
        let window = self.world.delay.0;
        Some((world.now + wait as u64) / window * window + window)
    }

    fn strike(world: &mut World, rng: &mut Rng, fault: Fault, deaths: &mut u64) {
        match fault {
            Fault::Deaths { percent, silent } => {
                for host in some(world, rng, percent) {
                    world.kill(host, silent);
                    *deaths += 1;
                }
            }
            Fault::Partition { percent, lasts } => {
                let hosts = some(world, rng, percent);
                let until = world.now + lasts;
                world.part(&hosts, until);
            }
            Fault::RootRestart { after } => {
                world.kill(0, false);
                let back = world.now + after;
                world.run(back);
                world.start_root();
            }
        }
    }

    fn outcome(&self, world: &mut World, deaths: u64, parents_changed: f64) -> Outcome {
        let stats = world.stats();
        let tally = world.net.tally;
        let seconds = (self.time / SECOND).max(1) as f64;
        let with_slots = self.slots.iter().any(|(slots, _)| *slots == 0);
        let spread = world.spread(self.grown, with_slots);
        let body = (tally.body as f64).max(1.0);
        let (refused, reason) = world.refused();
        let reason = reason.map(str::to_owned);
        let (mut holes, mut joins) =
            (core::mem::take(&mut world.net.holes), core::mem::take(&mut world.net.joins));
        Outcome {
            seed: self.world.seed,
            members: world.alive().len(),
            deaths,
            blocks: tally.blocks,
            missed: tally.missed,
            unserved: world.unserved(10 * SECOND),
            refused,
            reason,
            jain: spread.jain,
            max_over_mean: spread.max_over_mean,
            depth_max: world.survey.depth_max,
            slots_exceeded: tally.slots_exceeded,
            cycles: world.survey.cycles,
            moves_per_s: world.survey.moves as f64 / seconds,
            join_us_median: quantile(&mut joins, 0.5) as f64 / 1e3,
            holes: holes.len(),
            repair_ms_p50: millis(quantile(&mut holes, 0.5)),
            repair_ms_p99: millis(quantile(&mut holes, 0.99)),
            pull_share: tally.pulled as f64 / body,
            catch_up_share: tally.caught_up as f64 / body,
            wasted_share: stats.bytes_wasted as f64 / (stats.bytes_received as f64).max(1.0),
            rescue_rate: tally.rescued as f64 / seconds,
            rescue_share: tally.rescued as f64 / body,
            control_share: tally.control as f64 / (body + tally.control as f64),
            root_copies: world.root_copies(),
            parents_changed,
            astray: (world.survey.astray, world.astray().0),
            letters: tally.letters,
            timers: tally.timers,
            trace: world.trace(),
            faults: world.net.faults.iter().cloned().collect(),
        }
    }
}

/// Some members, drawn.
fn some(world: &World, rng: &mut Rng, percent: u64) -> Vec<u32> {
    let mut all = world.alive().to_vec();
    let count = all.len() * percent as usize / 100;
    for i in 0..count {
        let j = i + rng.below((all.len() - i) as u64) as usize;
        all.swap(i, j);
    }
    all.truncate(count);
    all
}

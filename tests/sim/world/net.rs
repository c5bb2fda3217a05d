//! What is between the hosts: who can be reached, how long it takes, and what was carried.

use std::collections::VecDeque;

use vidstreamd::base::port::Output;
use vidstreamd::base::rng::Rng;
use vidstreamd::mesh::wire::Stripes;

use super::calendar::Calendar;
use super::host::Told;

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000 * MS;
/// What went wrong that is written out; the rest is counted.
const FAULTS_SHOWN: usize = 12;

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// A process listens.
    Up,
    /// The system is there, but no process: whoever dials is refused.
    Down,
    /// Nothing ever comes back.
    Silent,
}

/// A host, as others see it.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub state: State,
    /// Which of its processes is the present one.
    pub life: u32,
    /// On which side of a partition.
    pub side: bool,
    /// Whether it has got a block.
    pub begun: bool,
    /// Stripes whose bytes make it do nothing that others see.
    pub quiet: Stripes,
    /// Whether its parents may be others than when they were last looked at.
    pub stirred: bool,
}

/// Whether bytes get from one host to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    Open,
    /// Not before this moment.
    Cut(u64),
    Never,
}

/// Sums over all hosts.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// Bytes of blocks.
    pub body: u64,
    /// All other bytes.
    pub control: u64,
    /// Bytes of blocks that were asked for by who had begun, or had not yet.
    pub pulled: u64,
    pub caught_up: u64,
    /// Of both, what the root sent.
    pub rescued: u64,
    pub letters: u64,
    pub timers: u64,
    pub blocks: u64,
    pub missed: u64,
    /// Instants at which somebody had more children than slots.
    pub slots_exceeded: u64,
}

/// The net.
#[derive(Debug)]
pub struct Net {
    pub calendar: Calendar,
    pub status: Vec<Status>,
    seed: u64,
    /// The shortest and the longest delay of a link, and how much longer a letter may take.
    delay: (u64, u64),
    jitter: u64,
    /// While the sides do not reach each other: until when.
    pub cut_until: Option<u64>,
    pub tally: Tally,
    /// The ways out of the host whose turn it is: one memory for all, which stays in the cache.
    pub out: VecDeque<Output>,
    pub told: VecDeque<Told>,
    /// Nanoseconds that lost bytes were waited for, by who lost a parent.
    pub holes: Vec<u64>,
    /// What a clock showed for each member taken in.
    pub joins: Vec<u64>,
    pub clock: fn() -> u64,
    /// Says whose memory is asked for from now on: that of a host, by the number of its pool.
    pub memory: fn(Option<u32>),
    pub stripes: usize,
    /// How long a block lasts, and when the first entered the mesh, and its number.
    pub lasts: u64,
    pub first: (u64, u64),
    /// Turns of a host between two looks at its books.
    pub check_every: u32,
    /// Events that each host remembers.
    pub remember: usize,
    /// Whether nothing waits for a host's next turn.
    pub prompt: bool,
    pub faults: VecDeque<String>,
    pub fault_count: u64,
}

impl Net {
    pub fn new(seed: u64, delay: (u64, u64), jitter: u64) -> Self {
        Self {
            calendar: Calendar::new(delay.0),
            status: Vec::new(),
            seed,
            delay,
            jitter,
            cut_until: None,
            tally: Tally::default(),
            out: VecDeque::new(),
            told: VecDeque::new(),
            holes: Vec::new(),
            joins: Vec::new(),
            clock: || 0,
            memory: |_| (),
            stripes: 1,
            lasts: SECOND,
            first: (0, 0),
            check_every: 64,
            remember: 0,
            prompt: false,
            faults: VecDeque::new(),
            fault_count: 0,
        }
    }

    /// The usual delay between two hosts, the same both ways.
    pub fn delay(&self, a: u32, b: u32) -> u64 {
        let pair = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
        let mut rng = Rng::new(self.seed ^ pair.wrapping_mul(0x9e37_79b9));
        self.delay.0 + rng.below((self.delay.1 - self.delay.0).max(1))
    }

    /// How much longer this one takes.
    pub fn jitter(&self, rng: &mut Rng) -> u64 {
        rng.below(self.jitter.max(1))
    }

    pub fn reach(&self, from: u32, to: u32) -> Reach {
        let (a, b) = (self.status[from as usize], self.status[to as usize]);
        match self.cut_until {
            _ if b.state == State::Silent || a.state == State::Silent => Reach::Never,
            Some(until) if a.side != b.side => Reach::Cut(until),
            _ => Reach::Open,
        }
    }

    /// When a block entered, or will.
    pub fn entry_of(&self, seq: u64) -> u64 {
        self.first.0 + seq.saturating_sub(self.first.1) * self.lasts
    }

    /// When a block entered that was not too long ago to be of interest.
    pub fn entered(&self, seq: u64) -> Option<u64> {
        (seq >= self.first.1).then(|| self.entry_of(seq))
    }

    /// Writes down what must not be.
    pub fn fault(&mut self, now: u64, host: u32, what: &str) {
        self.fault_count += 1;
        // The first ones and the last ones.
        if self.faults.len() == FAULTS_SHOWN {
            self.faults.remove(FAULTS_SHOWN / 2);
        }
        let (seconds, millis) = (now / SECOND, now / MS % 1_000);
        self.faults.push_back(format!("{seconds}.{millis:03} s, host {host}: {what}"));
    }
}

/// When a segment that was lost at `now` is sent again for the first time after `until`: the waits
/// double, from `first` on.
pub fn retransmitted(now: u64, until: u64, first: u64) -> u64 {
    let (mut at, mut wait) = (now, first);
    while at < until {
        at += wait;
        wait *= 2;
    }
    at
}

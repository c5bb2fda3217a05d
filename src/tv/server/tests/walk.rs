//! Clients, hosts and channels that do anything in any order. Nothing is expected of the outcome
//! but what must hold after each step, and that nothing is left at the end.

use super::world::rules;
use super::*;
use crate::base::rng::Rng;

const SEEDS: u64 = 256;
const ACTIONS: u64 = 300;
const CLIENTS: u64 = 12;
const CHANNELS: usize = 3;

struct Walk {
    world: World,
    rng: Rng,
    /// Connections to the command port that somebody may go on with.
    conns: Vec<Conn>,
}

/// Says which seed it was when a walk fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the walk of seed {} failed", self.0);
        }
    }
}

#[test]
fn whatever_happens_the_books_agree_and_nothing_is_left() {
    let mut all = Stats::default();
    for seed in 0..SEEDS {
        let seed = Seed(seed);
        let mut walk = Walk::new(seed.0);
        for _ in 0..ACTIONS {
            walk.act();
        }
        let stats = walk.world.server.stats();
        all.joins += stats.joins;
        all.full += stats.full;
        all.leaves += stats.leaves;
        all.removed += stats.removed;
        all.blocks += stats.blocks;
        walk.world.finish();
    }
    let least = [all.joins, all.full, all.leaves, all.removed, all.blocks].into_iter().min();
    assert!(least > Some(SEEDS), "a walk that goes nowhere shows nothing: {all:?}");
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut world = World::new(CHANNELS, seed);
        world.timers_first = seed % 2 == 1;
        Self { world, rng: Rng::new(seed ^ 0x0074_7673), conns: Vec::new() }
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.below(end as u64)).unwrap()
    }

    fn client(&mut self) -> IpAddr {
        ip(2 + u32::try_from(self.rng.below(CLIENTS)).unwrap())
    }

    fn act(&mut self) {
        match self.rng.below(100) {
            0..30 => self.pass(),
            30..50 => self.command("10"),
            50..58 => self.command("12"),
            58..62 => self.command("13"),
            62..78 => self.decide(),
            78..82 => self.break_off(),
            82..86 => self.connect(),
            86..90 => self.go_on(),
            90..96 => self.programme(),
            96..98 => self.reload(),
            _ => self.off_air(),
        }
    }

    fn pass(&mut self) {
        let most = [1, 30, 300, 3000][self.pick(4)];
        let time = self.rng.between(Duration::ZERO, ms(most));
        self.world.run(time);
    }

    fn command(&mut self, code: &str) {
        let (client, channel) = (self.client(), self.pick(CHANNELS + 1));
        self.world.ask(client, &format!("{code}{channel}"));
    }

    fn fate(&mut self) -> Fate {
        let until = self.rng.between(Duration::ZERO, ms(3000));
        let part = self.rng.below(LEN);
        match self.pick(13) {
            0..4 => Fate::Takes,
            4 => Fate::Rate(LEN / 4 + part),
            5 => Fate::Stalls,
            6 => Fate::Refuses,
            7 | 8 => Fate::RefusesUntil(self.world.later(until)),
            9 => Fate::Silent,
            10 => Fate::Breaks(part, Gone::Reset),
            11 => Fate::Breaks(part, Gone::Faulted),
            _ => Fate::Fails([Gone::Exhausted, Gone::Unreachable, Gone::TimedOut][self.pick(3)]),
        }
    }

    /// A host changes its mind.
    fn decide(&mut self) {
        let (client, count) = (self.client(), 1 + self.pick(3));
        let fates: Vec<_> = (0..count).map(|_| self.fate()).collect();
        self.world.fate(client, fates);
    }

    fn break_off(&mut self) {
        let conns: Vec<_> = self.world.server.dials.iter().map(|(conn, _)| conn).collect();
        if !conns.is_empty() {
            let conn = conns[self.pick(conns.len())];
            let why = [Gone::Reset, Gone::TimedOut, Gone::Faulted, Gone::Exhausted][self.pick(4)];
            self.world.break_off(conn, why);
        }
    }

    fn connect(&mut self) {
        let client = self.client();
        self.conns.extend(self.world.connect(client));
    }

    fn go_on(&mut self) {
        if self.conns.is_empty() {
            return;
        }
        let at = self.pick(self.conns.len());
        if self.pick(3) == 0 {
            let conn = self.conns.swap_remove(at);
            self.world.hang_up(conn);
        } else {
            let bytes = [&b"1"[..], b"0", b"00", b"2", b"?"][self.pick(5)];
            self.world.feed(self.conns[at], bytes);
        }
    }

    fn programme(&mut self) {
        let channel = self.pick(CHANNELS);
        self.world.end_programme(channel);
        let lasts = ms([100, 500, 2000, 5000][self.pick(4)]);
        self.world.programme(channel, lasts);
    }

    fn off_air(&mut self) {
        let channel = self.pick(CHANNELS);
        self.world.end_programme(channel);
    }

    fn reload(&mut self) {
        let places = [0, 1, 4, 100][self.pick(4)];
        let channels = self.pick(CHANNELS + 1);
        for ended in channels..CHANNELS {
            self.world.end_programme(ended);
        }
        let world = &mut self.world;
        world.server.set_rules(&config::Tv { commands_max: 1 + places, ..rules() }, &[]);
        world.server.set_channels(&mut world.cx, &vec![places; channels]);
        world.run(Duration::ZERO);
    }
}

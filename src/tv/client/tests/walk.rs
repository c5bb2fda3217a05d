//! A server that does anything in any order. Nothing is expected of the outcome but what must hold
//! after each step, and that a second after leaving nothing is left.

use super::*;
use crate::base::rng::Rng;

const SEEDS: u64 = 256;
const ACTIONS: u64 = 300;

struct Walk {
    world: World,
    rng: Rng,
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
fn whatever_the_server_does_the_books_agree_and_nothing_is_left() {
    let mut all = Stats::default();
    for seed in 0..SEEDS {
        let seed = Seed(seed);
        let mut walk = Walk { world: World::new(seed.0), rng: Rng::new(seed.0 ^ 0x0077_616c) };
        for _ in 0..ACTIONS {
            walk.act();
        }
        let stats = walk.world.client.stats();
        all.blocks += stats.blocks;
        all.joins += stats.joins;
        all.rejected += stats.rejected;
        all.torn += stats.torn;
        all.strangers += stats.strangers;
        walk.world.finish();
    }
    let least = [all.blocks, all.joins, all.rejected, all.torn, all.strangers].into_iter().min();
    assert!(least > Some(SEEDS), "a walk that goes nowhere shows nothing: {all:?}");
}

impl Walk {
    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.below(end as u64)).unwrap()
    }

    fn act(&mut self) {
        match self.rng.below(100) {
            0..30 => {
                let most = [1, 100, 3000, 20_000][self.pick(4)];
                let time = self.rng.between(Duration::ZERO, ms(most));
                self.world.run(time);
            }
            30..45 => drop(self.world.dial_in("127.0.0.1")),
            45..48 => drop(self.world.dial_in("127.0.0.3")),
            48..60 => self.answer(),
            60..70 => self.on_one(|world, conn| world.pour(conn, b"some bytes")),
            70..78 => self.on_one(World::end),
            78..84 => self.on_one(|world, conn| world.break_off(conn, Gone::Reset)),
            84..86 => self.on_one(World::no_room),
            86..94 => self.decide(),
            94..97 => {
                self.world.unsealable = if self.pick(3) == 0 { Some("no space") } else { None };
            }
            _ => {
                let period = self.rng.between(ms(100), ms(5000));
                self.world.client.set_period(period);
            }
        }
    }

    fn answer(&mut self) {
        let bytes: &[u8] = [&b"10"[..], b"10", b"00", b"0", b"a whole block"][self.pick(5)];
        if let Some(conn) = self.world.dial_in("127.0.0.1") {
            self.world.pour(conn, bytes);
            self.world.end(conn);
        }
    }

    fn on_one(&mut self, act: impl FnOnce(&mut World, Conn)) {
        let conns: Vec<_> = self.world.receiving().collect();
        if !conns.is_empty() {
            let conn = conns[self.pick(conns.len())];
            act(&mut self.world, conn);
        }
    }

    fn decide(&mut self) {
        let failures = [Gone::Refused, Gone::Reset, Gone::Exhausted, Gone::TimedOut];
        let failure = failures[self.pick(4)];
        let fates = [Fate::Taken, Fate::Taken, Fate::Mute, Fate::Silent, Fate::Fails(failure)];
        self.world.fates = [fates[self.pick(5)]].into();
    }
}

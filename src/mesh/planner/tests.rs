//! The planner against random events, honest and not; a mirror follows its moves. Seeds are
//! printed by every failure.

use std::collections::BTreeMap;

use crate::base::arena::Key;
use crate::base::rng::Rng;
use crate::base::time::Mono;
use crate::mesh::wire::{NodeId, Stripes};

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A planner, what is known of it from its moves alone, and the seed of what happens to it.
struct Bench {
    planner: Planner,
    now: Mono,
    rng: Rng,
    parents: BTreeMap<(Key, usize), Key>,
    /// By member: the children that it was told of.
    children: BTreeMap<Key, BTreeMap<Key, Stripes>>,
    names: u64,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let planner = Planner::new(NodeId(0), settings, Mono(0));
        let rng = Rng::new(settings.seed ^ 0x5eed);
        let (parents, children) = (BTreeMap::new(), BTreeMap::new());
        Self { planner, now: Mono(0), rng, parents, children, names: 0 }
    }

    fn of(stripes: usize, root_slots: usize, seed: u64) -> Self {
        Self::new(Settings { stripes, root_slots, members_max: 5_000, rate: 1_000, seed })
    }

    /// One event, after some time, with everything that holds after it.
    fn step(&mut self, after: u64, event: Event) -> Plan {
        self.now = Mono(self.now.0 + after);
        let plan = self.planner.plan(self.now, event);
        self.planner.check_invariants();
        let gone: Vec<_> = {
            let live = |key: &Key| self.planner.name(*key).is_some();
            self.parents.keys().filter(|(x, _)| !live(x)).copied().collect()
        };
        for place in &gone {
            self.parents.remove(place);
        }
        for m in &plan.moves {
            for s in m.stripes.iter() {
                let from = self.parents.remove(&(m.member, s));
                assert_eq!(from, m.from, "a move starts where the stripe came from");
                m.to.map(|to| self.parents.insert((m.member, s), to));
            }
        }
        for x in self.planner.members() {
            for s in self.planner.stripes().iter() {
                let told = self.parents.get(&(x, s)).copied();
                assert_eq!(told, self.planner.parent_of(x, s), "moves tell all");
            }
        }
        self.check_told(&plan);
        plan
    }

    /// Every member knows its children: it takes no others when it is full.
    fn check_told(&mut self, plan: &Plan) {
        for x in &plan.touched {
            self.children.insert(*x, self.planner.children_of(*x).collect());
        }
        for x in self.planner.members() {
            let live = |(key, _): &(Key, Stripes)| self.planner.name(*key).is_some();
            let told = self.children.get(&x).into_iter().flatten().map(|(key, s)| (*key, *s));
            let told: BTreeMap<Key, Stripes> = told.filter(live).collect();
            assert_eq!(told, self.planner.children_of(x).collect(), "a parent knows its children");
        }
    }

    fn join(&mut self, slots: usize) -> Option<Key> {
        self.join_as(slots, false)
    }

    fn join_part(&mut self) -> Option<Key> {
        self.join_as(0, true)
    }

    fn join_as(&mut self, slots: usize, part: bool) -> Option<Key> {
        self.names += 1;
        let joining = Joining {
            name: NodeId(self.names),
            slots,
            reachable: true,
            held: Vec::new(),
            forwards: Stripes::EMPTY,
            part,
        };
        match self.step(SECOND / 10, Event::Join(joining)).answer {
            Some(Answer::Placed(key)) => Some(key),
            _ => None,
        }
    }

    fn crowd(&mut self, count: usize, slots: usize) {
        for _ in 0..count {
            self.join(slots);
        }
    }

    fn rest(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step(SECOND, Event::Tick);
        }
    }

    fn draw(&mut self, end: usize) -> usize {
        shelf::pick(&mut self.rng, end)
    }

    fn member(&mut self) -> Option<Key> {
        let members: Vec<_> = self.planner.members().collect();
        (!members.is_empty()).then(|| members[self.draw(members.len())])
    }

    /// Something that may happen, or that somebody may claim.
    fn event(&mut self) -> Event {
        let member = self.member().unwrap_or_else(|| self.planner.root());
        let other = self.member().unwrap_or_else(|| self.planner.root());
        let bits = u16::try_from(self.draw(1 << 16)).unwrap();
        let stripe = self.draw(16);
        match self.draw(20) {
            0..=6 => {
                self.names += 1;
                let known = self.draw(10) == 0 && self.names > 3;
                let name = if known { self.draw(3) as u64 + 1 } else { self.names };
                Event::Join(Joining {
                    name: NodeId(name),
                    slots: [0, 1, 1, 2, 4, 4, 8, usize::MAX][self.draw(8)],
                    reachable: self.draw(8) > 0,
                    held: self.claims(),
                    forwards: Stripes::from_bits(if self.draw(3) == 0 { bits } else { 0 }),
                    part: self.draw(6) == 0,
                })
            }
            7..=9 => Event::Lost { member },
            10 => Event::Leave { member },
            11 => Event::Proof { member, reachable: self.draw(2) == 0 },
            12..=14 => Event::Strayed {
                member,
                stripes: Stripes::from_bits(bits),
                from: self.planner.parent_of(member, stripe).unwrap_or(other),
                to: (self.draw(3) > 0).then_some(other),
            },
            15..=16 => Event::Report { member, health: self.health() },
            _ => Event::Tick,
        }
    }

    fn claims(&mut self) -> Vec<Option<NodeId>> {
        if self.draw(4) > 0 {
            return Vec::new();
        }
        let names = usize::try_from(self.names).unwrap() + 3;
        (0..self.draw(20))
            .map(|_| (self.draw(2) == 0).then(|| NodeId(self.draw(names) as u64)))
            .collect()
    }

    fn health(&mut self) -> Health {
        let wild = [0, 1, 700, 1_500, 3_000, u64::MAX - 1, u64::MAX];
        let mut any = || wild[self.draw(wild.len())];
        Health { sent: any(), received: any(), late: any(), goodput: Some(any()) }
    }
}

#[test]
fn no_order_of_events_and_no_report_breaks_a_rule() {
    for seed in 0..256 {
        let stripes = [1, 2, 3, 5, 8, 8, 8, 16][usize::try_from(seed).unwrap() % 8];
        let told = std::panic::catch_unwind(|| {
            let mut bench = Bench::of(stripes, 1 + usize::try_from(seed).unwrap() % 5, seed);
            for _ in 0..120 {
                let event = bench.event();
                let after = bench.draw(2_000) as u64 * SECOND / 1_000;
                bench.step(after, event);
            }
        });
        assert!(told.is_ok(), "seed {seed}");
    }
}

#[test]
fn parts_take_half_of_the_roots_slots_at_once_and_others_as_they_become_free() {
    for stripes in [1, 8] {
        let mut bench = Bench::of(stripes, 4, 3);
        bench.crowd(20, 4);
        bench.rest(60);
        let root = bench.planner.root();
        let parts: Vec<Key> = (0..4).map(|_| bench.join_part().unwrap()).collect();
        let tops: Vec<Key> = bench.planner.children_of(root).map(|(key, _)| key).collect();
        let seated = |parts: &[Key]| parts.iter().filter(|part| tops.contains(part)).count();
        // They push nobody out of the other half.
        assert_eq!(seated(&parts), 2, "{stripes} stripes");
        assert_eq!(bench.planner.unplaced(), 0);
        // The slot of a root's child that is lost is theirs before anybody else's.
        let carrier = tops.iter().copied().find(|top| !parts.contains(top)).unwrap();
        let part = parts.into_iter().find(|part| !tops.contains(part)).unwrap();
        bench.step(1, Event::Lost { member: carrier });
        assert_eq!(bench.planner.parent_of(part, 0), Some(root), "{stripes} stripes");
    }
}

#[test]
fn who_makes_way_for_a_part_finds_a_place_though_all_slots_are_taken() {
    for seed in 0..32 {
        let mut bench = Bench::of(1, 2, seed);
        bench.crowd(2, 1);
        bench.rest(60);
        bench.join(0).unwrap();
        let part = bench.join_part().unwrap();
        assert_eq!(bench.planner.parent_of(part, 0), Some(bench.planner.root()), "seed {seed}");
        assert_eq!(bench.planner.unplaced(), 0, "seed {seed}");
    }
}

#[test]
fn everybody_is_served_while_there_are_slots() {
    for seed in 0..20 {
        let mut bench = Bench::of(8, 4, seed);
        for _ in 0..100 {
            let slots = [0, 2, 4, 4, 6][bench.draw(5)];
            bench.join(slots);
        }
        bench.rest(120);
        for _ in 0..200 {
            let member = bench.member().unwrap();
            bench.step(SECOND, Event::Lost { member });
            bench.join(4);
            bench.rest(1);
        }
        bench.rest(40);
        assert_eq!(bench.planner.unplaced(), 0, "seed {seed}");
    }
}

#[test]
fn equal_members_carry_equal_loads() {
    let mut bench = Bench::of(8, 8, 7);
    bench.crowd(300, 4);
    bench.rest(200);
    let units: Vec<_> = bench.planner.members().map(|x| bench.planner.units_of(x)).collect();
    let (sum, most) = (units.iter().sum::<usize>(), units.iter().max().unwrap());
    assert!(most * units.len() * 10 <= sum * 11, "max {most}, mean {}/{}", sum, units.len());
    assert!(bench.planner.depth_max() <= 7, "depth {}", bench.planner.depth_max());
}

/// Its children's other stripes come from it, too, until it sends so many more than it is to.
fn burden(planner: &mut Planner, q: Key, excess: usize) {
    let children: Vec<Key> = planner.children_of(q).map(|(child, _)| child).collect();
    for (x, s) in children.iter().flat_map(|x| (0..8).map(|s| (*x, s))) {
        let elsewhere = planner.parent_of(x, s).is_some_and(|p| p != q && p != planner.root());
        let enough = planner.units_of(q) >= planner.budget_of(q) + excess;
        if elsewhere && !enough && !planner.barred(x, q, s) {
            planner.shift(q, x, Stripes::one(s), Reason::Heir);
        }
    }
    assert_eq!(planner.units_of(q), planner.budget_of(q) + excess);
}

#[test]
fn who_is_furthest_above_its_budget_is_relieved_first() {
    let mut bench = Bench::of(8, 8, 6);
    bench.crowd(60, 4);
    bench.rest(60);
    let planner = &mut bench.planner;
    let full = |x: &Key| planner.children_of(*x).count() == 4;
    let full: Vec<Key> = planner.members().filter(full).collect();
    for (light, heavy) in [(full[0], full[full.len() - 1]), (full[full.len() - 2], full[1])] {
        burden(planner, light, 1);
        burden(planner, heavy, 4);
        let units = [light, heavy].map(|x| planner.units_of(x));
        planner.relieve(1);
        let left = [light, heavy].map(|x| planner.units_of(x));
        assert_eq!(left[0], units[0]);
        assert!(left[1] < units[1], "{left:?} of {units:?}");
        planner.relieve(60);
    }
}

#[test]
fn a_member_without_slots_makes_way_at_the_root() {
    let mut bench = Bench::of(4, 1, 1);
    let idle = bench.join(0).unwrap();
    let root = bench.planner.root();
    assert_eq!(bench.planner.parent_of(idle, 0), Some(root));
    let able = bench.join(2).unwrap();
    for s in 0..4 {
        assert_eq!(bench.planner.parent_of(able, s), Some(root));
        assert_eq!(bench.planner.parent_of(idle, s), Some(able));
    }
}

#[test]
fn nobody_is_taken_in_whom_nobody_could_feed() {
    let mut bench = Bench::of(8, 1, 1);
    let served = (0..40).filter(|i| bench.join(i % 2).is_some()).count();
    assert_eq!((served, bench.planner.count()), (21, 21));
    assert_eq!(bench.planner.unplaced(), 0);
    let joining = Joining {
        name: NodeId(1_000),
        slots: 0,
        reachable: false,
        held: Vec::new(),
        forwards: Stripes::EMPTY,
        part: false,
    };
    let answer = bench.step(1, Event::Join(joining)).answer;
    let refusal = Refusal::Slots { slots: 21, members: 21 };
    assert_eq!(answer, Some(Answer::Full(refusal)));
    assert!(refusal.to_string().contains("offer slots"));
}

#[test]
fn whoever_cannot_be_dialled_stays_a_leaf() {
    let mut bench = Bench::of(8, 2, 3);
    bench.crowd(30, 4);
    bench.rest(60);
    let joining = Joining {
        name: NodeId(1_000),
        slots: 8,
        reachable: false,
        held: Vec::new(),
        forwards: Stripes::EMPTY,
        part: false,
    };
    let Some(Answer::Placed(x)) = bench.step(1, Event::Join(joining)).answer else { panic!() };
    bench.rest(60);
    assert_eq!(bench.planner.units_of(x), 0);
    assert!(bench.planner.why(x).unwrap().to_string().contains("its port did not answer"));
    bench.step(1, Event::Proof { member: x, reachable: true });
    bench.rest(90);
    assert!(bench.planner.units_of(x) > 0, "{}", bench.planner.why(x).unwrap());
}

#[test]
fn a_slow_member_loses_its_children_and_gets_others_when_it_is_faster() {
    let mut bench = Bench::of(8, 4, 5);
    bench.crowd(60, 4);
    bench.rest(120);
    let slow = bench.planner.members().find(|x| bench.planner.units_of(*x) >= 6).unwrap();
    let report = |goodput| Event::Report {
        member: slow,
        health: Health { goodput: Some(goodput), ..Health::default() },
    };
    bench.step(1, report(900));
    bench.rest(120);
    assert!(bench.planner.units_of(slow) <= 2, "{}", bench.planner.units_of(slow));
    bench.step(1, report(2_000));
    bench.rest(120);
    assert!(bench.planner.units_of(slow) >= 5, "{}", bench.planner.units_of(slow));
}

#[test]
fn orphans_go_to_their_heirs() {
    let mut bench = Bench::of(8, 4, 9);
    bench.crowd(60, 4);
    bench.rest(120);
    let (mut stayed, mut all) = (0, 0);
    for _ in 0..20 {
        let dead = bench.member().unwrap();
        let orphans: Vec<_> = bench.planner.children_of(dead).collect();
        let root = bench.planner.root();
        for (x, stripes) in &orphans {
            for s in stripes.iter() {
                let heir = bench.planner.heir_of(*x, s);
                all += 1;
                stayed += usize::from(heir.is_some_and(|q| {
                    q == root || bench.planner.children_of(q).any(|(child, _)| child == *x)
                }));
            }
        }
        bench.step(SECOND, Event::Lost { member: dead });
        bench.join(4);
        bench.rest(15);
    }
    assert!(stayed * 10 >= all * 9, "{stayed} of {all} heirs need no new slot");
}

#[test]
fn a_root_that_came_back_learns_its_trees() {
    let mut before = Bench::of(8, 4, 11);
    before.crowd(80, 4);
    before.rest(120);
    let mut after = Bench::of(8, 4, 12);
    let mut members: Vec<_> = before.planner.members().collect();
    for i in (1..members.len()).rev() {
        let j = after.draw(i + 1);
        members.swap(i, j);
    }
    for x in members {
        let held =
            (0..8).map(|s| before.planner.parent_of(x, s).and_then(|p| before.planner.name(p)));
        let forwards = before.planner.children_of(x).map(|(_, stripes)| stripes);
        let joining = Joining {
            name: before.planner.name(x).unwrap(),
            slots: 4,
            reachable: true,
            held: held.collect(),
            forwards: forwards.fold(Stripes::EMPTY, |a, b| a | b),
            part: false,
        };
        after.step(SECOND / 100, Event::Join(joining));
    }
    let parents = |bench: &Bench| -> BTreeMap<(NodeId, usize), Option<NodeId>> {
        let planner = &bench.planner;
        let places = planner.members().flat_map(|x| (0..8).map(move |s| (x, s)));
        let parent = |x, s| planner.parent_of(x, s).and_then(|p| planner.name(p));
        places.map(|(x, s)| ((planner.name(x).unwrap(), s), parent(x, s))).collect()
    };
    after.rest(7);
    let (old, new) = (parents(&before), parents(&after));
    let changed = old.iter().filter(|(place, parent)| new.get(place) != Some(parent)).count();
    assert!(changed * 20 < old.len(), "{changed} of {} parents changed", old.len());
    assert_eq!(after.planner.unplaced(), 0);
}

#[test]
fn one_seed_gives_one_plan() {
    let run = |seed| {
        let mut bench = Bench::of(8, 3, seed);
        let mut moves = Vec::new();
        for _ in 0..200 {
            let event = bench.event();
            moves.push(bench.step(SECOND, event).moves);
        }
        moves
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_tree_shows_everybody_once_below_the_root() {
    let mut bench = Bench::of(8, 3, 2);
    bench.crowd(50, 3);
    for stripe in [None, Some(0), Some(7)] {
        let rows = bench.planner.tree(stripe);
        assert_eq!((rows.len(), rows[0].name, rows[0].depth), (51, NodeId(0), 0));
        assert!(rows.windows(2).all(|w| w[1].depth <= w[0].depth + 1));
    }
    assert!(bench.planner.why(bench.planner.root()).is_none());
}

#[test]
fn the_last_round_of_events_leaves_nothing_behind() {
    let mut bench = Bench::of(8, 3, 21);
    for _ in 0..300 {
        let event = bench.event();
        bench.step(SECOND, event);
    }
    let members: Vec<_> = bench.planner.members().collect();
    for member in members {
        bench.step(1, Event::Lost { member });
    }
    bench.rest(5);
    assert_eq!((bench.planner.count(), bench.planner.unplaced()), (0, 0));
    assert!(bench.planner.index.everybody.is_empty() && bench.planner.index.open.is_empty());
    assert!(bench.planner.extras.is_empty() && bench.planner.young.is_empty());
}

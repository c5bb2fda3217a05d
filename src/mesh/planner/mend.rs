//! Small repairs with every event and rounds every thirty seconds: makeshift places, lifts, what is
//! above its budget, what is below the mean.

use std::cmp::Reverse;

use crate::base::arena::Key;
use crate::base::limits::MESH_BALANCE_EVERY;
use crate::mesh::wire::Stripes;

use super::Planner;
use super::node::{Grade, Reason};
use super::shelf::pick;

/// Leaves of one depth that are compared for a lift, and depths that are looked at.
const COMPARED: usize = 12;
const DEPTHS: usize = 6;
/// An excess of depth that is worth several lifts at once, and how many.
const STEEP: usize = 4;
const LIFTS_MORE: usize = 4;
/// Members that a light node looks at for units to take over.
const OFFERS: usize = 60;

/// Two places that are exchanged: `up` goes below `upper`, and `down` below `lower`.
#[derive(Clone, Copy, Debug)]
struct Swap {
    up: Key,
    lower: Key,
    down: Key,
    upper: Key,
    stripes: Stripes,
}

impl Planner {
    /// Whether a stripe comes from a node that is not meant to send it, or that sends too much.
    pub(super) fn is_makeshift(&self, x: Key, s: usize) -> bool {
        let Some(p) = self.parent(x, s).filter(|p| *p != self.root) else { return false };
        !self.homes_of(p).has(s) || self.at(p).units > self.budget_of(p)
    }

    /// Mends up to `count` makeshift places.
    pub(super) fn mend(&mut self, count: usize) {
        for _ in 0..count.min(self.extras.len()) {
            let Some((x, s)) = self.extras.pop_front() else { return };
            if self.nodes.get(x).is_some() && self.is_makeshift(x, s) && !self.relocate(x, s) {
                self.extras.push_back((x, s));
            }
        }
    }

    /// Moves a makeshift place, and others of `x` with it, to a node that is meant for it.
    pub(super) fn relocate(&mut self, x: Key, s: usize) -> bool {
        let others = self.at(x).distinct_parents();
        let fit = |q: &&Key| {
            self.parent(x, s) != Some(**q)
                && self.homes_of(**q).has(s)
                && self.at(**q).units < self.budget_of(**q)
                && !self.barred(x, **q, s)
        };
        if let Some(q) = others.iter().find(fit).copied() {
            self.shift(q, x, Stripes::one(s), Reason::Mended);
            return true;
        }
        let makeshift: Stripes = self.all.iter().filter(|s| self.is_makeshift(x, *s)).collect();
        let mut groups: Vec<_> = self.groups_of(s).collect();
        groups.reverse();
        for group in groups {
            let stripes = self.groups[group];
            // A slot for a large group is worth it only when all of the group moves.
            if stripes.len() > 2 && !makeshift.holds(stripes) {
                continue;
            }
            let wanted = stripes & makeshift;
            if let Some(q) = self.shallowest_open(x, group, wanted) {
                let room = self.budget_of(q).saturating_sub(self.at(q).units);
                let some = wanted.iter().take(room).collect();
                self.shift(q, x, some, Reason::Mended);
                return true;
            }
        }
        false
    }

    /// Brings deep inner nodes up: each in its turn, a stripe is looked at for an inner node that a
    /// shallow leaf can change places with. Where a loss has made a stripe much deeper than it has
    /// to be, several times.
    pub(super) fn lift(&mut self, tries: usize) {
        for _ in 0..tries {
            self.turn = (self.turn + 1) % self.all.len();
            self.lift_in(self.turn);
        }
        for s in self.all.iter() {
            for _ in 0..LIFTS_MORE {
                if self.excess(s) < STEEP || !self.lift_in(s) {
                    break;
                }
            }
        }
    }

    /// Levels between the deepest inner node of a stripe and the shallowest leaf.
    fn excess(&self, s: usize) -> usize {
        let leaf = self.index.leaves[s].shallowest().unwrap_or(usize::MAX);
        self.index.inner[s].deepest().unwrap_or(0).saturating_sub(leaf)
    }

    /// One exchange in a stripe, if there is one to be made.
    fn lift_in(&mut self, s: usize) -> bool {
        let Some((y, q, leaf)) = self.find_deep(s) else { return false };
        let mut best: Option<(isize, Swap)> = None;
        for depth in leaf..self.depth(y, s).min(leaf + DEPTHS) {
            for x in self.index.leaves[s].sample(depth, COMPARED, &mut self.rng) {
                let Some((score, swap)) = self.swap_worth((y, q), x, s) else { continue };
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, swap));
                }
            }
            if best.is_some() {
                break;
            }
        }
        let Some((_, swap)) = best else { return self.raise(y, q, s) };
        self.exchange(swap);
        true
    }

    /// Above the deepest inner node of a stripe the one half way to the shallowest leaf, its
    /// parent, and the level of that leaf.
    fn find_deep(&mut self, s: usize) -> Option<(Key, Key, usize)> {
        let leaf = self.index.leaves[s].shallowest()?;
        let inner = self.index.inner[s].deepest().filter(|inner| *inner > leaf)?;
        let mut y = self.index.inner[s].any(inner, &mut self.rng)?;
        let goal = (leaf + 1).max((inner + leaf).div_ceil(2));
        let below_root = |y: &Key| *y != self.root;
        while self.depth(y, s) > goal {
            y = self.parent(y, s).filter(below_root)?;
        }
        let q = self.parent(y, s).filter(below_root)?;
        Some((y, q, leaf))
    }

    /// Exchanging `up` below `lower` with the leaf `down`: allowed when no slot is exceeded and
    /// nothing loops; better the more of what `up` forwards comes up, and the fewer links are
    /// split.
    fn swap_worth(&self, (up, lower): (Key, Key), down: Key, s: usize) -> Option<(isize, Swap)> {
        let upper = self.parent(down, s)?;
        if [up, lower].contains(&down) || [up, lower, self.root].contains(&upper) {
            return None;
        }
        let (high, low) = (self.at(lower).sends(up), self.at(upper).sends(down));
        let stripes = (high & low) - self.at(down).forwards();
        let full =
            |parent: Key, child: Key, whole: bool| !whole && !self.at(parent).has_slot_for(child);
        if !stripes.has(s) || full(upper, up, low == stripes) || full(lower, down, high == stripes)
        {
            return None;
        }
        if self.barred_in(up, upper, stripes) || self.barred_in(down, lower, stripes) {
            return None;
        }
        let gain = 2 * (stripes & self.at(up).forwards()).len();
        let odd = (high - low).len() + (low - high).len();
        let score = isize::try_from(gain).ok()? - isize::try_from(odd).ok()?;
        Some((score, Swap { up, lower, down, upper, stripes }))
    }

    fn exchange(&mut self, swap: Swap) {
        for s in swap.stripes.iter() {
            self.detach(swap.up, s);
            self.detach(swap.down, s);
        }
        for s in swap.stripes.iter() {
            self.attach(swap.upper, swap.up, s, Reason::Lifted);
            self.attach(swap.lower, swap.down, s, Reason::Lifted);
        }
        self.flush();
    }

    /// Without a leaf to change with: a free slot higher up.
    fn raise(&mut self, y: Key, q: Key, s: usize) -> bool {
        for group in self.groups_of(s).take(3).collect::<Vec<_>>() {
            let wanted = self.groups[group] & self.at(q).sends(y);
            let Some(free) = self.shallowest_open(y, group, wanted) else { continue };
            if self.depth(free, s) + 1 < self.depth(y, s) {
                let room = self.budget_of(free).saturating_sub(self.at(free).units);
                let some = wanted.iter().take(room).collect();
                self.shift(free, y, some, Reason::Lifted);
                return true;
            }
        }
        false
    }

    /// The round of every thirty seconds, when it is due.
    pub(super) fn balance_when_due(&mut self) {
        if self.now < self.balance_at {
            return;
        }
        self.balance_at = self.now.after(MESH_BALANCE_EVERY);
        self.settle_theta(true);
        let most = (self.count() / 50).max(1);
        self.relieve(most);
        self.mend(4 * most);
        self.level(most);
    }

    /// Nodes above their budget give a unit away, those far above it first.
    pub(super) fn relieve(&mut self, most: usize) {
        let excess = |x: &Key| self.at(*x).units.saturating_sub(self.budget_of(*x));
        let all = self.index.everybody.level(0).iter().copied();
        let mut heavy: Vec<_> = all.filter(|x| excess(x) > 0).collect();
        heavy.sort_by_key(|x| Reverse(excess(x)));
        heavy.truncate(most);
        for p in heavy {
            let widest = self.at(p).links.iter().max_by_key(|l| l.stripes.len()).copied();
            let Some(link) = widest else { continue };
            let odd = link.stripes - self.homes_of(p);
            let Some(s) = odd.iter().chain(link.stripes.iter()).next() else { continue };
            if !self.relocate(link.child, s) {
                self.extras.push_back((link.child, s));
            }
        }
    }

    /// Nodes below the mean take units over from nodes above it.
    fn level(&mut self, most: usize) {
        let able = |x: &Key| self.at(*x).grade == Grade::Able;
        let members: Vec<_> = self.index.everybody.level(0).iter().copied().filter(able).collect();
        let units: usize = members.iter().map(|x| self.at(*x).units).sum();
        let mean = units / members.len().max(1);
        let light = members.iter().filter(|x| self.at(**x).units < mean).copied();
        let light: Vec<_> = light.take(most).collect();
        for q in light {
            self.fill(q, mean);
        }
    }

    /// Brings a light node up to the mean, from its own children's other parents first.
    fn fill(&mut self, q: Key, mean: usize) {
        let own: Vec<_> = self.at(q).links.iter().map(|link| link.child).collect();
        let everybody = self.index.everybody.level(0).len();
        for offer in 0..OFFERS.max(own.len()) {
            let units = self.at(q).units;
            if units >= mean.min(self.budget_of(q)) {
                return;
            }
            let x = match own.get(offer) {
                Some(x) => *x,
                None => self.index.everybody.level(0)[pick(&mut self.rng, everybody)],
            };
            if x == q || !self.at(q).has_slot_for(x) {
                continue;
            }
            self.take_over(q, x);
        }
    }

    /// `q` takes units of `x` in its home over from a parent that sends at least two more.
    fn take_over(&mut self, q: Key, x: Key) {
        let (home, units) = (self.homes_of(q), self.at(q).units);
        let heavier = |s: &usize| {
            self.parent(x, *s)
                .filter(|p| *p != self.root && *p != q && self.at(*p).units >= units + 2)
        };
        let Some(p) = home.iter().find_map(|s| heavier(&s)) else { return };
        let link = self.at(p).sends(x);
        let (common, surplus) = (link & home, self.at(p).units - units);
        let whole = link == common && link.len() <= surplus;
        let want = if whole { (surplus / 2).max(link.len()) } else { surplus / 2 };
        let room = want.min(self.budget_of(q).saturating_sub(units));
        let flat = |s: &usize| self.depth(q, *s) <= self.depth(x, *s) + 1 && !self.barred(x, q, *s);
        let some: Stripes = common.iter().filter(flat).take(room).collect();
        self.shift(q, x, some, Reason::Levelled);
    }

    /// Free slots of the root go to roots of parts, then to able members, those who send most
    /// first.
    pub(super) fn fill_root(&mut self) {
        while self.at(self.root).links.len() < self.at(self.root).slots {
            let fit = |x: &Key| self.is_able(*x) || self.at(*x).part;
            let below = |x: &&Key| fit(x) && self.at(self.root).link(**x).is_none();
            let members = self.index.everybody.level(0).iter().filter(below);
            let worth = |x: &&Key| (self.at(**x).part, self.at(**x).units, **x);
            let Some(x) = members.max_by_key(worth).copied() else {
                return;
            };
            self.seat_at_root(x);
        }
    }
}

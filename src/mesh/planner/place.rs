//! Finding parents: the ladder from the best place to the last resort.

use crate::base::arena::Key;
use crate::mesh::wire::Stripes;

use super::Planner;
use super::node::Reason;
use super::shelf::pick;

/// Candidates of one depth that are compared.
const COMPARED: usize = 8;
/// Candidates that are compared when depth does not matter.
const COMPARED_ANY: usize = 24;
/// Random draws of a last resort.
const DRAWS: usize = 400;

/// One rung; each is cheaper for the trees than the next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Parents that it has, where they are inner already.
    LinksAtHome,
    /// The shallowest node at home in a group with room for all of it.
    Groups,
    /// Parents that it has, in any stripe.
    Links,
    /// The shallowest node at home in a stripe.
    Single,
    /// Any node with units left.
    AnyUnits,
    /// Parents that it has, this many units above their budget.
    LinksOver(usize),
    /// Any node with a slot.
    AnySlot,
    /// A slot that another child can do without.
    Squeeze,
}

const LADDER: [Step; 9] = [
    Step::LinksAtHome,
    Step::Groups,
    Step::Links,
    Step::Single,
    Step::AnyUnits,
    Step::LinksOver(2),
    Step::LinksOver(usize::MAX),
    Step::AnySlot,
    Step::Squeeze,
];

impl Planner {
    /// Finds parents for stripes of `x` in which it has none; what is left found nobody.
    pub(super) fn place(&mut self, x: Key, wanted: Stripes) -> Stripes {
        let mut left = wanted;
        for step in LADDER {
            if left.is_empty() {
                break;
            }
            self.climb(step, x, &mut left);
        }
        left
    }

    fn climb(&mut self, step: Step, x: Key, left: &mut Stripes) {
        match step {
            Step::LinksAtHome => self.on_links(x, left, true, 0),
            Step::Groups => self.by_group(x, 1, left),
            Step::Links => self.on_links(x, left, false, 0),
            Step::Single => self.by_stripe(x, left),
            Step::AnyUnits => self.any_units(x, left),
            Step::LinksOver(slack) => self.on_links(x, left, false, slack),
            Step::AnySlot => self.any_slot(x, left),
            Step::Squeeze => self.squeeze(x, left),
        }
        self.flush();
    }

    /// Units that a node would take beyond its budget by `slack`.
    fn room(&self, q: Key, slack: usize) -> usize {
        let meant = self.budget_of(q).saturating_add(slack).min(self.limit_of(q));
        meant.saturating_sub(self.at(q).units)
    }

    /// More stripes over links that exist: the least loaded at home, else the shallowest.
    fn on_links(&mut self, x: Key, left: &mut Stripes, at_home: bool, slack: usize) {
        let parents = self.at(x).distinct_parents();
        while !left.is_empty() {
            let mut best: Option<(usize, Key, usize)> = None;
            for &q in parents.iter().filter(|q| self.room(**q, slack) > 0) {
                let stripes = if at_home { *left & self.homes_of(q) } else { *left };
                for s in stripes.iter() {
                    let cost = self.link_cost(q, s, at_home);
                    let better = best.is_none_or(|(least, ..)| cost < least);
                    if better && !self.barred(x, q, s) {
                        best = Some((cost, q, s));
                    }
                }
            }
            let Some((_, q, s)) = best else { return };
            let why = if slack > 0 { Reason::OverBudget } else { Reason::SharedLink };
            self.put(q, x, s, why);
            left.cut(s);
        }
    }

    fn link_cost(&self, q: Key, s: usize, at_home: bool) -> usize {
        if q == self.root {
            return 0;
        }
        let units = self.at(q).units;
        if at_home {
            units
        } else {
            self.depth(q, s) * 4 + units.saturating_sub(self.budget_of(q)) * 8
        }
    }

    /// The stripes in which a node is inner by plan.
    pub(super) fn homes_of(&self, q: Key) -> Stripes {
        if q == self.root { self.all } else { self.groups[self.at(q).home] }
    }

    /// Attaches, and remembers a makeshift place for mending.
    pub(super) fn put(&mut self, q: Key, x: Key, s: usize, why: Reason) {
        self.attach(q, x, s, why);
        if !self.homes_of(q).has(s) {
            self.extras.push_back((x, s));
        }
    }

    /// As many of these stripes from `q` as it has room for; a last resort looks at no budget.
    fn put_some(&mut self, q: Key, x: Key, stripes: Stripes, why: Reason) -> Stripes {
        let last_resort = matches!(why, Reason::OverBudget | Reason::Squeezed);
        let room = self.room(q, if last_resort { usize::MAX } else { 0 });
        let mut done = Stripes::EMPTY;
        if self.at(q).has_slot_for(x) {
            for s in
                stripes.iter().filter(|s| !self.barred(x, q, *s)).take(room).collect::<Vec<_>>()
            {
                self.put(q, x, s, why);
                done.add(s);
            }
        }
        self.flush();
        done
    }

    /// The largest groups first: one link carries a whole group.
    fn by_group(&mut self, x: Key, group: usize, left: &mut Stripes) {
        let stripes = self.groups[group];
        if !left.meets(stripes) {
            return;
        }
        let single = stripes.len() == 1;
        let fits = single || left.holds(stripes);
        if let Some(q) = fits.then(|| self.shallowest_open(x, group, stripes)).flatten() {
            *left -= self.put_some(q, x, *left & stripes, Reason::Group);
        }
        if 2 * group < self.groups.len() {
            self.by_group(x, 2 * group, left);
            self.by_group(x, 2 * group + 1, left);
        }
    }

    /// Any node that is at home in a stripe, whatever its group.
    fn by_stripe(&mut self, x: Key, left: &mut Stripes) {
        for s in left.iter() {
            if !left.has(s) {
                continue;
            }
            for group in self.groups_of(s) {
                let wanted = self.groups[group] & *left;
                if let Some(q) = self.shallowest_open(x, group, wanted) {
                    *left -= self.put_some(q, x, wanted, Reason::Stripe);
                    break;
                }
            }
        }
    }

    /// The groups that a stripe is in, the smallest first.
    pub(super) fn groups_of(&self, s: usize) -> impl Iterator<Item = usize> + use<> {
        let leaf = self.groups.len() / 2 + s;
        core::iter::successors(Some(leaf), |group| (*group > 1).then_some(group / 2))
    }

    /// The shallowest node that is at home in this group, has a free slot and units left, and would
    /// not loop; among equals the least loaded.
    pub(super) fn shallowest_open(&mut self, x: Key, group: usize, wanted: Stripes) -> Option<Key> {
        for depth in 0..self.index.homes[group].depth() {
            let near = self.index.homes[group].sample(depth, COMPARED, &mut self.rng);
            let fits = near.into_iter().filter(|q| {
                *q != x
                    && self.at(*q).link(x).is_none()
                    && self.room(*q, 0) > 0
                    && !self.barred_in(x, *q, wanted)
            });
            let best = fits.min_by_key(|q| self.at(*q).units);
            if best.is_some() {
                return best;
            }
        }
        None
    }

    /// Any node with a slot and units left, in as many stripes and as shallow as can be.
    fn any_units(&mut self, x: Key, left: &mut Stripes) {
        while !left.is_empty() {
            let near = self.index.open.sample(0, COMPARED_ANY, &mut self.rng);
            let mut best: Option<(isize, Key, Stripes)> = None;
            for q in near.into_iter().filter(|q| *q != x && self.at(*q).link(x).is_none()) {
                let can: Stripes = left.iter().filter(|s| !self.barred(x, q, *s)).collect();
                let Some(score) = self.worth(q, can) else { continue };
                if best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, q, can));
                }
            }
            let Some((_, q, can)) = best else { return };
            let done = self.put_some(q, x, can, Reason::AnyUnits);
            if done.is_empty() {
                return;
            }
            *left -= done;
        }
    }

    /// Stripes that a node would take, less its mean depth in them.
    fn worth(&self, q: Key, can: Stripes) -> Option<isize> {
        let depths: usize = can.iter().map(|s| self.depth(q, s)).sum();
        let mean = depths.checked_div(can.len())?;
        let taken = self.room(q, 0).min(can.len());
        Some(isize::try_from(taken).ok()? - isize::try_from(mean).ok()?)
    }

    /// Anybody with a slot, whatever its budget.
    fn any_slot(&mut self, x: Key, left: &mut Stripes) {
        for _ in 0..DRAWS {
            let Some(q) = self.anybody() else { return };
            if q == x || !self.at(q).has_slot_for(x) || self.room(q, usize::MAX) == 0 {
                continue;
            }
            *left -= self.put_some(q, x, *left, Reason::OverBudget);
            if left.is_empty() {
                return;
            }
        }
    }

    /// Frees a slot: a child that its other parents can feed leaves a thin link.
    fn squeeze(&mut self, x: Key, left: &mut Stripes) {
        for draw in 0..DRAWS {
            let Some(y) = self.anybody() else { return };
            let parents = self.at(y).distinct_parents();
            if y == x || parents.len() < 2 {
                continue;
            }
            let p = parents[pick(&mut self.rng, parents.len())];
            let thin = self.at(p).sends(y);
            if p == x
                || p == self.root
                || self.at(p).link(x).is_some()
                || thin.len() > 1 + draw / 100
            {
                continue;
            }
            let helped = left.iter().any(|s| !self.barred(x, p, s));
            if helped && self.spread(y, p, thin, &parents) {
                *left -= self.put_some(p, x, *left, Reason::Squeezed);
            }
            if left.is_empty() {
                return;
            }
        }
    }

    /// Moves what `y` takes from `p` to its other parents, if they can take all of it.
    fn spread(&mut self, y: Key, p: Key, stripes: Stripes, parents: &[Key]) -> bool {
        let mut plan: Vec<(Key, usize)> = Vec::new();
        for s in stripes.iter() {
            let more = |q: &Key| plan.iter().filter(|(to, _)| to == q).count();
            let fit = |q: &&Key| {
                **q != p && self.room(**q, usize::MAX) > more(q) && !self.barred(y, **q, s)
            };
            let Some(q) = parents.iter().find(fit).copied() else { return false };
            plan.push((q, s));
        }
        for (q, s) in plan {
            self.detach(y, s);
            self.put(q, y, s, Reason::Squeezed);
        }
        self.flush();
        true
    }
}

//! Who may carry how much: grades, the budget of units, groups of stripes and homes.

use std::collections::BTreeMap;

use crate::base::arena::Key;
use crate::base::limits::{MESH_STRIPES_MAX, MESH_YOUNG_MAX};
use crate::mesh::wire::Stripes;

use super::Planner;
use super::node::Grade;
use super::shelf::pick;

/// As many members have slots and units left before the young are let wait.
const SPARE: usize = 8;

/// How many members there are of each strength (units that one can carry at most).
type Strengths = BTreeMap<usize, usize>;

/// The sums from which the budget follows.
#[derive(Debug)]
pub(super) struct Budget {
    /// Units that a node carries before others are full, too.
    pub(super) theta: usize,
    strengths: Strengths,
    /// Slots of all members that can be dialled.
    pub(super) slots: usize,
    /// By stripe: about how many children the members at home there can feed, in thousandths.
    supply: [usize; MESH_STRIPES_MAX],
}

impl Budget {
    /// Members that can carry anything.
    pub(super) fn carriers(&self) -> usize {
        self.strengths.values().sum()
    }

    pub(super) fn new(stripes: usize) -> Self {
        Self {
            theta: stripes,
            strengths: Strengths::new(),
            slots: 0,
            supply: [0; MESH_STRIPES_MAX],
        }
    }
}

/// The groups of `stripes` by heap number: 1 is all, 2 and 3 are its halves, and so on down to
/// single stripes. Number 0 is the empty group of those who have no home.
pub(super) fn groups(stripes: usize) -> Vec<Stripes> {
    let round = stripes.next_power_of_two();
    let all = Stripes::first(stripes);
    let group = |number: usize| {
        let level = number.ilog2();
        let width = round >> level;
        Stripes::run((number - (1 << level)) * width, width) & all
    };
    core::iter::once(Stripes::EMPTY).chain((1..2 * round).map(group)).collect()
}

impl Planner {
    /// Units that a node is meant to carry.
    pub(super) fn budget_of(&self, x: Key) -> usize {
        if x == self.root { self.all.len() * self.at(x).slots } else { self.strength_cap(x) }
    }

    fn strength_cap(&self, x: Key) -> usize {
        self.budget.theta.min(self.at(x).hard)
    }

    /// Units that a node can carry when nothing else is left.
    pub(super) fn limit_of(&self, x: Key) -> usize {
        let node = self.at(x);
        if x == self.root || node.reachable { self.all.len() * node.slots } else { 0 }
    }

    /// Units that a member could carry if it were able: what its slots take, and what it was seen
    /// to send. Below the channel itself it is a leaf.
    pub(super) fn strength(&self, x: Key) -> usize {
        let node = self.at(x);
        let by_slots = self.all.len() * node.slots;
        let rate = self.settings.rate;
        match node.health.goodput {
            _ if !node.reachable => 0,
            Some(goodput) if rate > 0 && goodput < rate => 0,
            Some(goodput) if rate > 0 => {
                let units = goodput.saturating_mul(self.all.len() as u64) / rate;
                by_slots.min(usize::try_from(units).unwrap_or(usize::MAX))
            }
            _ => by_slots,
        }
    }

    /// Puts a member into the sums, by what is known of it now.
    pub(super) fn count_in(&mut self, x: Key) {
        let hard = if self.at(x).grade == Grade::Leaf { 0 } else { self.strength(x) };
        self.at_mut(x).hard = hard;
        let node = self.at(x);
        self.budget.slots += if node.reachable { node.slots } else { 0 };
        if hard > 0 {
            *self.budget.strengths.entry(hard).or_default() += 1;
        }
        self.mark_dirty(x);
    }

    /// Takes a member out of the sums, just as it was put in.
    pub(super) fn count_out(&mut self, x: Key) {
        let node = self.at(x);
        let hard = node.hard;
        self.budget.slots -= if node.reachable { node.slots } else { 0 };
        if hard == 0 {
            return;
        }
        let left = self.budget.strengths.get_mut(&hard).expect("it was counted in");
        *left -= 1;
        if *left == 0 {
            self.budget.strengths.remove(&hard);
        }
    }

    /// Changes what is known of a member and what follows from it.
    pub(super) fn regrade(&mut self, x: Key, change: impl FnOnce(&mut Self)) {
        self.unsupply(x);
        self.count_out(x);
        change(self);
        let strong = self.strength(x) > 0;
        let was_leaf = self.at(x).grade == Grade::Leaf;
        if !strong {
            self.at_mut(x).grade = Grade::Leaf;
            self.set_home(x, 0);
        } else if was_leaf {
            self.at_mut(x).grade = Grade::Young;
            self.young.push_back(x);
        }
        self.count_in(x);
        self.supply(x);
        if self.at(x).units > self.at(x).hard {
            self.disown(x);
        }
    }

    /// The children of a node that may not have so many are to be found other parents.
    fn disown(&mut self, x: Key) {
        let links = self.at(x).links.clone();
        let units = links.iter().flat_map(|l| l.stripes.iter().map(|s| (l.child, s)));
        self.extras.extend(units);
    }

    /// Raises the budget to what is needed, and lowers it when `also_lower`.
    pub(super) fn settle_theta(&mut self, also_lower: bool) {
        let needed = self.theta();
        if needed > self.budget.theta || also_lower && needed < self.budget.theta {
            self.budget.theta = needed;
            let everybody = self.index.everybody.level(0);
            self.record.dirty.extend(everybody.iter().map(|x| (*x, Stripes::EMPTY)));
            self.flush();
        }
    }

    /// The smallest budget with which these members and the root carry everybody; between the
    /// number of stripes and what the strongest can carry.
    fn theta(&self) -> usize {
        let strengths = &self.budget.strengths;
        let stripes = self.all.len();
        let needed = (stripes * self.count()).saturating_sub(self.budget_of(self.root));
        let carried =
            |theta: usize| strengths.iter().map(|(hard, n)| n * theta.min(*hard)).sum::<usize>();
        let most = strengths.keys().next_back().map_or(stripes, |hard| (*hard).max(stripes));
        let mut theta = self.budget.theta.clamp(stripes, most);
        while theta > stripes && carried(theta - 1) >= needed {
            theta -= 1;
        }
        while theta < most && carried(theta) < needed {
            theta += 1;
        }
        theta
    }

    /// Young members that have been there long enough, or that cannot be done without: somebody
    /// has to have slots and units left.
    pub(super) fn grow_up(&mut self) {
        while let Some(x) = self.young.front().copied() {
            let old = self.now.since(self.at(x).joined) >= MESH_YOUNG_MAX;
            if !old && self.index.open.level(0).len() >= SPARE {
                break;
            }
            self.young.pop_front();
            if self.at(x).grade == Grade::Young {
                self.at_mut(x).grade = Grade::Able;
                self.mark_dirty(x);
                self.flush();
            }
        }
    }

    /// Gives a member a home: the group that is supplied least, about as wide as its budget shared
    /// among its slots. A child of the root prefers what fewest others there forward.
    pub(super) fn choose_home(&mut self, x: Key, at_root: bool) {
        self.unsupply(x);
        let share = self.strength_cap(x) * 900 / self.at(x).slots.max(1);
        let round = self.all.len().next_power_of_two();
        let width = (0..=round.ilog2()).map(|e| 1 << e).find(|width| width * 1000 >= share);
        let count = round / width.unwrap_or(round);
        let from = pick(&mut self.rng, count);
        let numbers = (0..count).map(|i| count + (i + from) % count);
        let mut best: Option<(usize, usize)> = None;
        for number in numbers.filter(|number| !self.groups[*number].is_empty()) {
            let supplied = self.supplied(number, at_root);
            if best.is_none_or(|(least, _)| supplied < least) {
                best = Some((supplied, number));
            }
        }
        self.set_home(x, best.map_or(1, |(_, number)| number));
        self.supply(x);
    }

    fn supplied(&self, group: usize, at_root: bool) -> usize {
        let stripes = self.groups[group];
        let tops = &self.at(self.root).links;
        let by_root =
            |s: usize| tops.iter().filter(|l| self.groups[self.at(l.child).home].has(s)).count();
        let root = |s: usize| if at_root { 1_000_000_000 * by_root(s) } else { 0 };
        stripes.iter().map(|s| self.budget.supply[s] + root(s)).sum::<usize>() / stripes.len()
    }

    pub(super) fn supply(&mut self, x: Key) {
        let stripes = self.groups[self.at(x).home];
        let share = self.strength_cap(x) * 1000 / stripes.len().max(1);
        let children = share.min(self.at(x).slots * 1000);
        stripes.iter().for_each(|s| self.budget.supply[s] += children);
        self.at_mut(x).supplies = children;
    }

    pub(super) fn unsupply(&mut self, x: Key) {
        let children = core::mem::take(&mut self.at_mut(x).supplies);
        let stripes = self.groups[self.at(x).home];
        stripes.iter().for_each(|s| self.budget.supply[s] -= children);
    }
}

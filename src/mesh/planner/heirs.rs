//! Whom a member turns to when a parent is lost, fixed in advance: heirs and helpers. Every heir
//! that a member was handed holds after every event; helpers are looked at again with each tick.

use crate::base::arena::Key;
use crate::base::limits::MESH_HELPERS_MAX;
use crate::mesh::wire::Stripes;

use super::Planner;
use super::shelf::pick;

/// Nodes that are looked at for a member's helpers.
const HELPER_TRIES: usize = 12;

impl Planner {
    /// Renews the heirs that no longer hold, and those of whoever changed.
    pub(super) fn settle_heirs(&mut self) {
        let mut doubts = core::mem::take(&mut self.record.doubts);
        doubts.sort_unstable();
        doubts.dedup();
        for (x, s) in doubts {
            if x == self.root || self.nodes.get(x).is_none() {
                continue;
            }
            if self.heir_is_good(x, s) {
                continue;
            }
            let heir = self.heir(x, s);
            if self.at(x).heirs[s] != heir {
                self.at_mut(x).heirs[s] = heir;
                self.record.touched.push(x);
            }
        }
    }

    /// Whether there is no reason to look for another heir.
    fn heir_is_good(&self, x: Key, s: usize) -> bool {
        let Some(lost) = self.parent(x, s).filter(|p| *p != self.root) else { return false };
        self.at(x).heirs[s].is_some_and(|q| self.may_inherit(x, lost, q, s) && !self.strain(q))
    }

    /// The best heir of a place: another parent of `x`, not below the lost one, which needs no new
    /// slot; else the grandparent, which has the lost parent's slot to give. Children of the root
    /// have none: when the root is gone there is nobody above.
    fn heir(&self, x: Key, s: usize) -> Option<Key> {
        let lost = self.parent(x, s).filter(|p| *p != self.root)?;
        let node = self.at(x);
        let known = node.heirs[s].filter(|q| self.may_inherit(x, lost, *q, s));
        let others = node.distinct_parents().into_iter();
        let best = others
            .filter(|q| self.may_inherit(x, lost, *q, s))
            .min_by_key(|q| (self.strain(*q), Some(*q) != known, self.depth_of(*q, s), *q));
        best.or_else(|| self.parent(lost, s))
    }

    /// Whether `q`, a parent of `x`, can stand in for `lost`.
    pub(super) fn may_inherit(&self, x: Key, lost: Key, q: Key, s: usize) -> bool {
        let feeds = self.nodes.get(q).is_some_and(|node| node.link(x).is_some());
        q != lost && feeds && !self.loops(lost, q, s) && !self.loops(x, q, s)
    }

    /// Whether an heir would be far above what it was seen to carry.
    fn strain(&self, q: Key) -> bool {
        q != self.root && self.at(q).units > self.at(q).hard
    }

    fn depth_of(&self, q: Key, s: usize) -> usize {
        if q == self.root { 0 } else { self.depth(q, s) }
    }

    /// Whether what a member was handed as heir still holds.
    pub(super) fn heir_holds(&self, x: Key, s: usize) -> bool {
        let Some(lost) = self.parent(x, s).filter(|p| *p != self.root) else {
            return self.at(x).heirs[s].is_none();
        };
        match self.at(x).heirs[s] {
            Some(heir) if Some(heir) == self.parent(lost, s) => true,
            Some(heir) => self.may_inherit(x, lost, heir, s),
            None => self.parent(lost, s).is_none(),
        }
    }

    /// Draws helpers for a member: for each stripe nodes that hang under another child of the root.
    pub(super) fn choose_helpers(&mut self, x: Key) {
        let mut helpers: Vec<(Key, Stripes)> = Vec::new();
        let (mut once, mut twice) = (Stripes::EMPTY, Stripes::EMPTY);
        for _ in 0..HELPER_TRIES {
            let Some(h) = self.index.reachable.any(0, &mut self.rng) else { break };
            let good = self.helps_with(x, h);
            if helpers.iter().any(|(known, _)| *known == h) || twice.holds(good) {
                continue;
            }
            twice |= once & good;
            once |= good;
            helpers.push((h, good));
            if twice == self.all || helpers.len() == MESH_HELPERS_MAX {
                break;
            }
        }
        if self.at(x).helpers != helpers {
            self.at_mut(x).helpers = helpers;
            self.record.touched.push(x);
        }
    }

    /// The stripes in which `h` is independent of whoever feeds `x`.
    fn helps_with(&self, x: Key, h: Key) -> Stripes {
        if h == x {
            return Stripes::EMPTY;
        }
        let one_top = self.at(self.root).links.len() < 2;
        let (node, helper) = (self.at(x), self.at(h));
        let apart = |s: &usize| {
            helper.parents[*s].is_some() && helper.tops[*s] != node.tops[*s]
                // With a single child of the root only those well above the member are left.
                || one_top && helper.depths[*s] < node.depths[*s] / 2 + 1 && !self.barred(x, h, *s)
        };
        self.all.iter().filter(apart).collect()
    }

    /// Looks again at the helpers of some members, each in its turn.
    pub(super) fn refresh_helpers(&mut self, count: usize) {
        let everybody = self.index.everybody.level(0).len();
        for _ in 0..count.min(everybody) {
            self.helper_turn = (self.helper_turn + 1) % everybody;
            let x = self.index.everybody.level(0)[self.helper_turn];
            let good = |(h, stripes): &(Key, Stripes)| {
                self.nodes.get(*h).is_some() && self.helps_with(x, *h).holds(*stripes)
            };
            let helpers = &self.at(x).helpers;
            if helpers.len() < 2 || !helpers.iter().all(good) {
                self.choose_helpers(x);
            }
        }
    }

    /// Any member.
    pub(super) fn anybody(&mut self) -> Option<Key> {
        let all = self.index.everybody.level(0);
        (!all.is_empty()).then(|| all[pick(&mut self.rng, all.len())])
    }
}

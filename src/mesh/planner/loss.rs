//! Who goes: the children of a lost node on their heirs, then in better places.

use std::cmp::Reverse;

use crate::base::arena::Key;
use crate::base::limits::MESH_SUSPICION_MAX;
use crate::mesh::wire::Stripes;

use super::Planner;
use super::node::{Grade, Link, Reason};

/// Children that must say that a node is lost before it is taken for lost.
const ACCUSERS: usize = 2;

impl Planner {
    /// Takes a node out. Its children have taken their heirs already unless it left gracefully, and
    /// then they are moved while it still serves them.
    pub(super) fn depart(&mut self, dead: Key, graceful: bool) {
        let mut orphans = self.at(dead).links.clone();
        let (above, at_root) = (self.at(dead).parents, self.at(self.root).link(dead).is_some());
        orphans.sort_by_key(|link| self.rank(*link));
        let heirs = self.heirs_of(&orphans, graceful);
        self.uproot(dead, &orphans);
        self.settle_theta(false);
        for (x, s, heir) in heirs {
            if self.nodes.get(heir).is_some_and(|q| q.link(x).is_some()) && !self.barred(x, heir, s)
            {
                self.attach(heir, x, s, Reason::Heir);
            }
        }
        self.flush();
        if at_root {
            self.seat_parts();
            self.replace_at_root(&orphans);
        } else if let Some(best) = orphans.first().copied() {
            self.inherit(best, &above);
        }
        for link in orphans {
            self.settle_orphan(link);
        }
        self.retry_unplaced();
    }

    /// The best child first: it forwards most of what it lost, then has the most slots.
    fn rank(&self, link: Link) -> (Reverse<usize>, Reverse<usize>, Key) {
        let child = self.at(link.child);
        let inner = (child.forwards() & link.stripes).len();
        let slots = if child.grade == Grade::Able { child.slots } else { 0 };
        (Reverse(inner), Reverse(slots), link.child)
    }

    fn heirs_of(&self, orphans: &[Link], graceful: bool) -> Vec<(Key, usize, Key)> {
        if graceful {
            return Vec::new();
        }
        let lost = orphans.iter().flat_map(|l| l.stripes.iter().map(|s| (l.child, s)));
        lost.filter_map(|(x, s)| Some((x, s, self.at(x).heirs[s]?))).collect()
    }

    fn uproot(&mut self, dead: Key, orphans: &[Link]) {
        for link in orphans {
            link.stripes.iter().for_each(|s| self.detach(link.child, s));
        }
        self.all.iter().for_each(|s| self.detach(dead, s));
        self.unsupply(dead);
        self.count_out(dead);
        self.remove(dead);
    }

    /// The slot of a lost child of the root goes to its best child that may have children.
    fn replace_at_root(&mut self, orphans: &[Link]) {
        let best = orphans.iter().map(|l| l.child).find(|x| self.is_able(*x));
        if let Some(best) = best.filter(|x| self.at(self.root).has_slot_for(*x)) {
            self.seat_at_root(best);
        }
    }

    /// The best child takes the lost node's places in the stripes that it had from it.
    fn inherit(&mut self, link: Link, above: &[Option<Key>]) {
        let x = link.child;
        for s in link.stripes.iter() {
            let Some(p) = above[s].filter(|p| self.nodes.get(*p).is_some()) else { continue };
            let fits = self.at(p).has_slot_for(x) && self.budget_of(p) > self.at(p).units;
            if self.parent(x, s) != Some(p) && fits && !self.barred(x, p, s) {
                self.shift(p, x, Stripes::one(s), Reason::Inherited);
            }
        }
    }

    /// An orphan without an heir is placed; one with an heir is placed better, if that is possible.
    fn settle_orphan(&mut self, link: Link) {
        self.place_rest(link.child);
        for s in link.stripes.iter() {
            if self.is_makeshift(link.child, s) && !self.relocate(link.child, s) {
                self.extras.push_back((link.child, s));
            }
        }
    }

    /// A member says that it left a parent for another, or for nobody.
    pub(super) fn strayed(&mut self, x: Key, stripes: Stripes, from: Key, to: Option<Key>) {
        let left: Stripes =
            (stripes & self.all).iter().filter(|s| self.parent(x, *s) == Some(from)).collect();
        // Of a root that learns its trees they say in their joins where they are.
        if left.is_empty() || self.settling.is_some() {
            return;
        }
        for s in left.iter() {
            let to = to.filter(|q| *q != from && self.may_stray(x, *q, s));
            self.detach(x, s);
            if let Some(to) = to {
                self.attach(to, x, s, Reason::Reported);
                self.extras.push_back((x, s));
            }
        }
        self.flush();
        self.place_rest(x);
        if from != self.root {
            self.suspect(from, x);
        }
    }

    /// Whether a member may have gone to `q` by itself: to its heir, or where it has a link.
    fn may_stray(&self, x: Key, q: Key, s: usize) -> bool {
        let Some(node) = self.nodes.get(q) else { return false };
        let known = node.link(x).is_some() || self.at(x).heirs[s] == Some(q);
        known && node.has_slot_for(x) && self.limit_of(q) > node.units && !self.barred(x, q, s)
    }

    /// Remembers who said that a node is lost. When several of its children agree, it is.
    fn suspect(&mut self, node: Key, accuser: Key) {
        let now = self.now;
        let suspected = &mut self.at_mut(node).suspected;
        suspected.retain(|(by, at)| *by != accuser && now.since(*at) < MESH_SUSPICION_MAX);
        suspected.push((accuser, now));
        if suspected.len() >= ACCUSERS {
            self.dismissed.push(node);
            self.depart(node, false);
        }
    }
}

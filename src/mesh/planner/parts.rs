//! Roots of parts. Each has members of its own, of whom this planner knows nothing, and such a
//! member may be here as well while it moves from one root to the other. A part below it would take
//! its stripes from its own members, and be cut off with them: parts hang directly below the root.

use crate::base::arena::Key;

use super::Planner;

/// Children of the root that forward each stripe, at least.
const TOPS: usize = 2;

impl Planner {
    /// The root of a part goes directly below the root, if need be in the place of a member that
    /// has nobody below it, or else has the least and finds another place.
    pub(super) fn seat_part(&mut self, x: Key) {
        if self.at(self.root).link(x).is_some() || self.settling.is_some() {
            return;
        }
        let free = self.at(self.root).has_slot_for(x);
        let idle = self.idle_at_root().filter(|_| !free);
        if free || idle.is_some() {
            return self.seat_at_root_for(x, idle);
        }
        if let Some(other) = self.spare_at_root() {
            self.seat_at_root_for(x, Some(other));
        }
    }

    /// A slot of the root is free: it goes to a part that hangs elsewhere.
    pub(super) fn seat_parts(&mut self) {
        let below = self.nodes.iter().filter(|(_, node)| node.part).map(|(key, _)| key);
        let below: Vec<Key> = below.filter(|x| self.at(self.root).link(*x).is_none()).collect();
        for x in below {
            if self.at(self.root).has_slot_for(x) {
                self.seat_at_root(x);
            }
        }
    }

    /// The child of the root that has the least below it, if there are enough others on whom
    /// everybody else can hang: no part has room for them. Anybody can say that it is a part, so
    /// half of the slots are pushed out of by none; these go to parts as they become free.
    fn spare_at_root(&self) -> Option<Key> {
        let root = self.at(self.root);
        let links = root.links.iter().map(|link| link.child);
        let others: Vec<Key> = links.filter(|child| !self.at(*child).part).collect();
        let enough = others.len() > self.all.len().min(TOPS).max(root.slots / 2);
        others.into_iter().filter(|_| enough).min_by_key(|x| (self.at(*x).units, *x))
    }
}

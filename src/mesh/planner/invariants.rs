//! What holds after every event, whatever the members say. A panic here is a fault of ours.

use crate::base::arena::Key;
use crate::mesh::wire::Stripes;

use super::Planner;
use super::node::{Grade, Node};

impl Planner {
    /// Checks all of it; the simulator and the tests call it.
    ///
    /// * Nobody has more distinct children than slots, and links agree at both ends.
    /// * No stripe comes back to its sender.
    /// * Everybody has a parent in each stripe, unless it is known to wait for one.
    /// * Depths are right, and every heir could take over now.
    /// * The sums from which the budget follows are those of the members.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check_invariants(&self) {
        assert!(self.at(self.root).parents.iter().all(Option::is_none), "the root has no parent");
        let (mut slots, mut carriers) = (0, 0);
        for (key, node) in self.nodes.iter() {
            self.check_links(key, node);
            if key == self.root {
                continue;
            }
            slots += if node.reachable { node.slots } else { 0 };
            carriers += usize::from(node.hard > 0);
            assert_eq!(node.hard > 0, node.grade != Grade::Leaf, "leaves carry nothing");
            assert_eq!(self.names.get(&node.name), Some(&key), "names lead to their nodes");
            self.all.iter().for_each(|s| self.check_stripe(key, s));
        }
        assert_eq!(self.budget.slots, slots, "slots are those of the members");
        assert_eq!(self.budget.carriers(), carriers, "who can carry is counted");
        assert!(self.budget.theta >= self.all.len(), "a budget is at least one block");
    }

    fn check_links(&self, key: Key, node: &Node) {
        assert!(node.links.len() <= node.slots, "{} exceeds its slots", node.name);
        let units: usize = node.links.iter().map(|link| link.stripes.len()).sum();
        assert_eq!(units, node.units, "units of {}", node.name);
        for (i, link) in node.links.iter().enumerate() {
            assert!(!link.stripes.is_empty(), "a link carries something");
            assert!(node.links[..i].iter().all(|l| l.child != link.child), "one link to a child");
            assert_eq!(self.at(link.child).takes_from(key), link.stripes, "links have two ends");
        }
        for parent in node.distinct_parents() {
            let sent = self.at(parent).sends(key);
            assert_eq!(sent, node.takes_from(parent), "links have two ends");
        }
        let strangers = node.forwards() - self.all;
        assert_eq!(strangers, Stripes::EMPTY, "there are {} stripes", self.all.len());
    }

    fn check_stripe(&self, x: Key, s: usize) {
        let node = self.at(x);
        let Some(parent) = node.parents[s] else {
            assert!(self.waits(x, s), "{} waits for stripe {s} unknown to anybody", node.name);
            return;
        };
        let connected = self.check_path(x, s);
        if connected {
            assert_eq!(self.depth(x, s), self.depth(parent, s) + 1, "depth of {}", node.name);
            let top = if parent == self.root { Some(x) } else { self.at(parent).tops[s] };
            assert_eq!(node.tops[s], top, "top of {}", node.name);
        }
        if self.settling.is_none() {
            assert!(self.heir_holds(x, s), "heir of {} in stripe {s}", node.name);
        }
    }

    /// Walks up; whether the root is there.
    fn check_path(&self, x: Key, s: usize) -> bool {
        let (mut at, mut steps) = (x, 0);
        while let Some(parent) = self.at(at).parents[s] {
            at = parent;
            steps += 1;
            assert!(
                steps <= self.nodes.len(),
                "stripe {s} of {} goes in a circle",
                self.at(x).name
            );
        }
        assert!(at == self.root || self.waits(at, s), "a path ends at the root or at who waits");
        at == self.root
    }

    fn waits(&self, x: Key, s: usize) -> bool {
        self.unplaced.contains(&(x, s))
    }
}

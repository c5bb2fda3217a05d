//! A root that came back: its members say whom they take what from, and the trees are learnt from
//! that instead of being built anew.

use crate::base::arena::Key;
use crate::base::limits::{MESH_SETTLE_MAX, MESH_YOUNG_MAX};
use crate::mesh::wire::{NodeId, Stripes};

use super::node::{Grade, Reason};
use super::{Joining, Planner};

impl Planner {
    /// Takes in a member that has parents already.
    pub(super) fn adopt(&mut self, x: Key, joining: &Joining) {
        if self.settling.is_none() && self.now.since(self.started) < MESH_YOUNG_MAX {
            self.settling = Some(self.now.after(MESH_SETTLE_MAX));
        }
        if !joining.forwards.is_empty() && self.strength(x) > 0 {
            self.at_mut(x).grade = Grade::Able;
            self.unsupply(x);
            self.set_home(x, self.group_like(joining.forwards));
            self.supply(x);
        }
        for (s, parent) in joining.held.iter().enumerate().take(self.all.len()) {
            let Some(name) = *parent else { continue };
            match self.names.get(&name).copied() {
                Some(q) => self.adopt_link(x, s, q),
                None if self.settling.is_some() => {
                    self.claims.entry(name).or_default().push((x, s));
                }
                None => {}
            }
        }
        self.adopt_children(x, joining.name);
        self.flush();
        if self.settling.is_none() {
            self.place_rest(x);
        } else {
            let left = self.missing(x);
            self.unplaced.extend(left.iter().map(|s| (x, s)));
        }
    }

    fn adopt_children(&mut self, x: Key, name: NodeId) {
        for (child, s) in self.claims.remove(&name).unwrap_or_default() {
            if self.nodes.get(child).is_some() {
                self.adopt_link(child, s, x);
            }
        }
    }

    /// Believes a member where neither a slot nor the rule against cycles speaks against it.
    fn adopt_link(&mut self, x: Key, s: usize, q: Key) {
        let free = self.parent(x, s).is_none() && self.at(q).has_slot_for(x);
        if free && self.limit_of(q) > self.at(q).units && !self.loops(x, q, s) {
            self.attach(q, x, s, Reason::Adopted);
            self.unplaced.remove(&(x, s));
        }
    }

    /// The group that is most like what a member forwards.
    fn group_like(&self, forwards: Stripes) -> usize {
        let unlike = |group: &usize| {
            let stripes = self.groups[*group];
            (stripes - forwards).len() + (forwards - stripes).len()
        };
        (1..self.groups.len())
            .filter(|g| !self.groups[*g].is_empty())
            .min_by_key(unlike)
            .unwrap_or(1)
    }

    /// Ends the wait: who named a parent that did not come is placed like anybody else.
    pub(super) fn end_settling_when_due(&mut self) {
        if self.settling.is_none_or(|until| self.now < until) {
            return;
        }
        self.settling = None;
        self.claims.clear();
        self.settle_theta(false);
        self.retry_unplaced();
        let everybody = self.index.everybody.level(0);
        let all = everybody.iter().flat_map(|x| self.all.iter().map(|s| (*x, s)));
        self.record.doubts.extend(all.collect::<Vec<_>>());
    }
}

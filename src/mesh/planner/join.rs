//! Who comes: the answer to a join, the first place, and the place of a member that may have
//! children from now on.

use crate::base::arena::Key;
use crate::base::limits;
use crate::mesh::wire::Stripes;

use super::node::{Grade, Node, Reason};
use super::shelf::pick;
use super::{Answer, Joining, Planner, Refusal};

/// Leaves of one depth that are compared.
const COMPARED: usize = 12;
/// Leaves after which no deeper ones are looked at.
const ENOUGH: usize = 8;
/// Random draws of the last resort.
const DRAWS: usize = 200;

impl Planner {
    /// Takes a member in, or says why not.
    pub(super) fn join(&mut self, joining: &Joining) -> Answer {
        if let Some(known) = self.names.get(&joining.name).copied() {
            // Its connection broke and nobody had missed it yet: it keeps its place.
            self.record.touched.push(known);
            return Answer::Placed(known);
        }
        let adopts = joining.held.iter().any(Option::is_some);
        if let Err(refusal) = self.admit(joining, adopts) {
            return refusal;
        }
        let slots = joining.slots.min(limits::MESH_SLOTS_MAX);
        let node = Node::new(joining.name, slots, self.now);
        let x = self.nodes.insert(node).expect("there is room: it was asked for");
        self.names.insert(joining.name, x);
        self.at_mut(x).part = joining.part;
        self.count_in(x);
        self.regrade(x, |planner| planner.at_mut(x).reachable = joining.reachable);
        self.flush();
        if adopts {
            self.adopt(x, joining);
        } else {
            self.seat(x);
        }
        if joining.part {
            self.seat_part(x);
        }
        self.choose_helpers(x);
        self.record.touched.push(x);
        Answer::Placed(x)
    }

    fn admit(&self, joining: &Joining, adopts: bool) -> Result<(), Answer> {
        let root_slots = self.at(self.root).slots;
        let offered = joining.slots.min(limits::MESH_SLOTS_MAX);
        if self.count() >= self.settings.members_max.min(limits::MESH_MEMBERS_MAX) {
            return Err(Answer::Full(Refusal::Members { most: self.settings.members_max }));
        }
        // A root that came back believes those who were there; another one has its own slots.
        if adopts && self.now.since(self.started) < limits::MESH_YOUNG_MAX {
            return Ok(());
        }
        if self.settling.is_some() {
            return Err(Answer::Wait(Refusal::Settling));
        }
        let own = if joining.reachable { offered } else { 0 };
        let slots = self.budget.slots + root_slots;
        if slots + own > self.count() {
            return Ok(());
        }
        let refusal = Refusal::Slots { slots, members: self.count() };
        let later = slots + offered > self.count();
        Err(if later { Answer::Wait(refusal) } else { Answer::Full(refusal) })
    }

    /// The first place of a member.
    fn seat(&mut self, x: Key) {
        self.settle_theta(false);
        self.give_home(x);
        self.grow_up();
        self.place_rest(x);
    }

    /// Finds parents for whatever a member has none in, by all means.
    pub(super) fn place_rest(&mut self, x: Key) {
        let mut left = self.missing(x);
        if left.is_empty() {
            return;
        }
        left = self.place(x, left);
        if !left.is_empty() && self.at(self.root).has_slot_for(x) {
            self.seat_at_root(x);
            return;
        }
        if !left.is_empty() && self.at(x).reachable {
            left = self.force(x, left);
        }
        self.unplaced.extend(left.iter().map(|s| (x, s)));
    }

    /// The stripes in which a member has no parent.
    pub(super) fn missing(&self, x: Key) -> Stripes {
        let node = self.at(x);
        self.all.iter().filter(|s| node.parents[*s].is_none()).collect()
    }

    /// A home for a member that can carry but has none, and a place where it is of use.
    pub(super) fn give_home(&mut self, x: Key) {
        if self.at(x).grade == Grade::Leaf || self.at(x).home > 0 {
            return;
        }
        let at_root = self.at(self.root).link(x).is_some();
        let idle = self.idle_at_root();
        if !at_root && (self.at(self.root).has_slot_for(x) || idle.is_some()) {
            self.choose_home(x, true);
            self.seat_at_root_for(x, idle.filter(|_| !self.at(self.root).has_slot_for(x)));
            return;
        }
        self.choose_home(x, at_root);
        self.flush();
        if !at_root {
            for _ in 0..2 {
                self.take_leaf_place(x);
            }
        }
    }

    /// A child of the root that cannot forward anything, and has no members of its own.
    pub(super) fn idle_at_root(&self) -> Option<Key> {
        let tops = self.at(self.root).links.iter().map(|link| link.child);
        tops.into_iter().find(|child| {
            let child = self.at(*child);
            child.grade == Grade::Leaf && !child.part
        })
    }

    /// The slot of an idle child of the root goes to `x`, and the idle one elsewhere.
    pub(super) fn seat_at_root_for(&mut self, x: Key, idle: Option<Key>) {
        let Some(idle) = idle else { return self.seat_at_root(x) };
        for s in self.all.iter() {
            self.detach(idle, s);
        }
        self.seat_at_root(x);
        self.place_rest(idle);
    }

    /// All stripes of `x` over one of the root's slots, which is free.
    pub(super) fn seat_at_root(&mut self, x: Key) {
        let root = self.root;
        self.unplaced.retain(|(key, _)| *key != x);
        self.shift(root, x, self.all, Reason::RootSlot);
    }

    /// `j` has slots and takes the place of a leaf on the link that carries `j`'s home best, and
    /// becomes the leaf's parent: no slot is used up.
    fn take_leaf_place(&mut self, j: Key) {
        let home = self.homes_of(j);
        let Some(first) = home.iter().next() else { return };
        let deepest = self.index.homes[self.at(j).home].shallowest().unwrap_or(usize::MAX);
        let fed = self.parent(j, first).is_some();
        let deepest =
            if fed { deepest.min(self.depth(j, first).saturating_sub(1)) } else { deepest };
        let (mut best, mut seen): (Option<(isize, Key, Key, Stripes)>, usize) = (None, 0);
        for depth in 0..self.index.leaves[first].depth().min(deepest.saturating_add(1)) {
            for x in self.index.leaves[first].sample(depth, COMPARED, &mut self.rng) {
                let Some((p, take, score)) = self.leaf_worth(j, x, first, depth) else { continue };
                seen += 1;
                if best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, x, p, take));
                }
            }
            if seen >= ENOUGH {
                break;
            }
        }
        if let Some((_, x, p, take)) = best {
            self.insert_above(j, x, p, take);
        }
    }

    /// The parent of a leaf, what `j` would take over of its link, and how good that is.
    fn leaf_worth(&self, j: Key, x: Key, s: usize, depth: usize) -> Option<(Key, Stripes, isize)> {
        let p = self.parent(x, s).filter(|p| x != j && *p != j && *p != self.root)?;
        let home = self.homes_of(j);
        let link = self.at(p).sends(x);
        if self.at(p).link(j).is_some() || !self.at(j).has_slot_for(x) {
            return None;
        }
        let common = link & home;
        let (take, mut score) = if link == home {
            (link, 10)
        } else if self.at(p).links.len() < self.at(p).slots && !common.is_empty() {
            (common, isize::try_from(common.len()).ok()?)
        } else if link.len() <= home.len() + 1 {
            let odd = (link - home).len() + (home - link).len();
            (link, 2 - isize::try_from(odd).ok()?)
        } else {
            return None;
        };
        if self.at(x).forwards().meets(take) {
            score -= 4;
        }
        let room = self.budget_of(j).saturating_sub(self.at(j).units);
        if take.len() > room || self.barred_in(j, p, take) {
            return None;
        }
        Some((p, take, score - 4 * isize::try_from(depth).ok()?))
    }

    fn insert_above(&mut self, j: Key, x: Key, p: Key, take: Stripes) {
        for s in take.iter() {
            self.detach(x, s);
            self.detach(j, s);
        }
        for s in take.iter() {
            self.put(p, j, s, Reason::TookLeafPlace(x));
        }
        for s in take.iter() {
            self.put(j, x, s, Reason::Displaced);
        }
        self.flush();
    }

    /// The last resort: `x` takes the whole link of some child and feeds that child instead. Needs
    /// a free slot of `x`, uses none of others.
    fn force(&mut self, x: Key, mut left: Stripes) -> Stripes {
        for _ in 0..DRAWS {
            if left.is_empty() || self.at(x).links.len() >= self.at(x).slots {
                break;
            }
            let Some(p) = self.anybody() else { break };
            let count = self.at(p).links.len();
            if p == x || count == 0 {
                continue;
            }
            let draw = pick(&mut self.rng, count);
            let link = self.at(p).links[draw];
            let (c, stripes) = (link.child, link.stripes);
            let fits = left.holds(stripes) && c != x && self.at(x).link(c).is_none();
            if fits && !self.barred_in(x, p, stripes) {
                stripes.iter().for_each(|s| self.detach(c, s));
                stripes.iter().for_each(|s| self.put(p, x, s, Reason::Forced));
                stripes.iter().for_each(|s| self.put(x, c, s, Reason::Displaced));
                self.flush();
                left -= stripes;
            }
        }
        left
    }

    /// Tries again for those who found no place.
    pub(super) fn retry_unplaced(&mut self) {
        if self.settling.is_some() {
            return;
        }
        let mut members: Vec<Key> =
            core::mem::take(&mut self.unplaced).into_iter().map(|(x, _)| x).collect();
        members.dedup();
        for x in members {
            self.place_rest(x);
        }
    }
}

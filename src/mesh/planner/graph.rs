//! The trees themselves: links are put in and taken out here and nowhere else, with everything that
//! follows from it (units, depths, shelves, heirs to be looked at again).

use crate::base::arena::Key;
use crate::base::limits::MESH_STRIPES_MAX;
use crate::mesh::wire::Stripes;

use super::node::{Grade, Link, Node, Reason};
use super::shelf::Shelf;
use super::{Move, Planner};

/// The shelves, one for each question that placing asks.
#[derive(Debug)]
pub(super) struct Index {
    /// By group: who is inner there and has a slot and units left.
    pub(super) homes: Vec<Shelf>,
    /// Who has a slot and units left, anywhere.
    pub(super) open: Shelf,
    /// By stripe: members that are neither inner nor at home there, but below a member.
    pub(super) leaves: Vec<Shelf>,
    /// By stripe: members that are inner there and below a member.
    pub(super) inner: Vec<Shelf>,
    /// Every member that can be dialled.
    pub(super) reachable: Shelf,
    /// Every member.
    pub(super) everybody: Shelf,
}

impl Index {
    pub(super) fn new(groups: usize) -> Self {
        let shelves = |count: usize| (0..count).map(|_| Shelf::default()).collect();
        Self {
            homes: shelves(groups),
            open: Shelf::default(),
            leaves: shelves(MESH_STRIPES_MAX),
            inner: shelves(MESH_STRIPES_MAX),
            reachable: Shelf::default(),
            everybody: Shelf::default(),
        }
    }

    fn remove(&mut self, key: Key) {
        let lists = [&mut self.homes, &mut self.leaves, &mut self.inner];
        lists.into_iter().flatten().for_each(|shelf| shelf.set(key, None));
        for shelf in [&mut self.open, &mut self.reachable, &mut self.everybody] {
            shelf.set(key, None);
        }
    }
}

/// What one event has changed so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The parent that a stripe of a member had before, each time it changed.
    changes: Vec<(Key, usize, Option<Key>)>,
    /// Nodes whose shelves may be wrong, in these stripes.
    pub(super) dirty: Vec<(Key, Stripes)>,
    /// Heirs that may not hold any longer.
    pub(super) doubts: Vec<(Key, usize)>,
    /// Members whose place reads differently now.
    pub(super) touched: Vec<Key>,
}

impl Planner {
    pub(super) fn at(&self, key: Key) -> &Node {
        self.nodes.get(key).expect("the planner only keeps keys of nodes that it has")
    }

    pub(super) fn at_mut(&mut self, key: Key) -> &mut Node {
        self.nodes.get_mut(key).expect("the planner only keeps keys of nodes that it has")
    }

    pub(super) fn parent(&self, x: Key, s: usize) -> Option<Key> {
        self.at(x).parents[s]
    }

    pub(super) fn depth(&self, x: Key, s: usize) -> usize {
        usize::from(self.at(x).depths[s])
    }

    /// Whether `x` would be fed by itself if `q` fed it: `x` is `q` or above it.
    pub(super) fn loops(&self, x: Key, q: Key, s: usize) -> bool {
        let mut at = q;
        loop {
            if at == x {
                return true;
            }
            match self.at(at).parents[s] {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// Whether `q` cannot feed `x`: it would loop, or `q` is cut off from the root.
    pub(super) fn barred(&self, x: Key, q: Key, s: usize) -> bool {
        let mut at = q;
        loop {
            if at == self.root {
                return false;
            }
            if at == x {
                return true;
            }
            match self.at(at).parents[s] {
                Some(parent) => at = parent,
                None => return true,
            }
        }
    }

    /// The same for any of these stripes.
    pub(super) fn barred_in(&self, x: Key, q: Key, stripes: Stripes) -> bool {
        stripes.iter().any(|s| self.barred(x, q, s))
    }

    /// Makes `p` the parent of `x` in a stripe in which it has none.
    pub(super) fn attach(&mut self, p: Key, x: Key, s: usize, why: Reason) {
        assert!(self.at(x).parents[s].is_none(), "a stripe comes from one parent");
        assert!(!self.loops(x, p, s), "a stripe never comes back to its sender");
        let parent = self.at_mut(p);
        if let Some(i) = parent.link(x) {
            parent.links[i].stripes.add(s);
        } else {
            assert!(parent.links.len() < parent.slots, "slots are never exceeded");
            parent.links.push(Link { child: x, stripes: Stripes::one(s) });
        }
        parent.units += 1;
        self.record.changes.push((x, s, None));
        let node = self.at_mut(x);
        node.parents[s] = Some(p);
        node.reasons[s] = why;
        self.sink(x, s);
        self.mark(p, x, s);
    }

    /// Takes a stripe of `x` from its parent, if it has one.
    pub(super) fn detach(&mut self, x: Key, s: usize) {
        let Some(p) = self.at_mut(x).parents[s].take() else { return };
        let parent = self.at_mut(p);
        let i = parent.link(x).expect("a parent has a link to its child");
        parent.links[i].stripes.cut(s);
        if parent.links[i].stripes.is_empty() {
            parent.links.swap_remove(i);
        }
        parent.units -= 1;
        self.record.changes.push((x, s, Some(p)));
        self.mark(p, x, s);
    }

    /// Moves some stripes of `x` to another parent.
    pub(super) fn shift(&mut self, p: Key, x: Key, stripes: Stripes, why: Reason) {
        for s in stripes.iter() {
            self.detach(x, s);
            self.attach(p, x, s, why);
        }
        self.flush();
    }

    fn mark(&mut self, p: Key, x: Key, s: usize) {
        self.record.dirty.push((p, Stripes::one(s)));
        self.record.dirty.push((x, Stripes::one(s)));
        let all = self.all;
        self.record.doubts.extend(all.iter().map(|t| (x, t)));
        // The grandparent of x's children in this stripe is another now.
        let below = self.nodes.get(x).map_or(&[][..], |node| &node.links);
        let fed = below.iter().filter(|link| link.stripes.has(s));
        self.record.doubts.extend(fed.map(|link| (link.child, s)));
    }

    /// Sets depth and top of everything below a link that is new. All of it is walked: an heir may
    /// have come to hang below the parent that it stands in for, whatever the depths say.
    fn sink(&mut self, x: Key, s: usize) {
        let mut stack = vec![x];
        while let Some(x) = stack.pop() {
            let parent = self.at(x).parents[s].expect("it was reached from its parent");
            let depth = self.at(parent).depths[s].saturating_add(1);
            let top = if parent == self.root { Some(x) } else { self.at(parent).tops[s] };
            let node = self.nodes.get_mut(x).expect("a link leads to a node");
            node.depths[s] = depth;
            node.tops[s] = top;
            stack.extend(node.links.iter().filter(|l| l.stripes.has(s)).map(|l| l.child));
            self.record.dirty.push((x, Stripes::one(s)));
            self.doubt_heirs_named(x, s);
        }
    }

    fn doubt_heirs_named(&mut self, y: Key, s: usize) {
        let children = self.at(y).links.iter().map(|link| link.child);
        let named: Vec<_> =
            children.filter(|c| self.at(*c).heirs[s] == Some(y)).map(|c| (c, s)).collect();
        self.record.doubts.extend(named);
    }

    pub(super) fn mark_dirty(&mut self, key: Key) {
        self.record.dirty.push((key, self.all));
    }

    /// Brings the shelves up to date.
    pub(super) fn flush(&mut self) {
        while let Some((key, stripes)) = self.record.dirty.pop() {
            if key != self.root && self.nodes.get(key).is_some() {
                self.reshelve(key, stripes);
            }
        }
    }

    fn reshelve(&mut self, key: Key, stripes: Stripes) {
        let node = self.at(key);
        let free = node.links.len() < node.slots && node.units < self.budget_of(key);
        let open = free && node.grade == Grade::Able;
        let home = self.groups[node.home];
        let fed = home.iter().all(|s| node.parents[s].is_some());
        let depth = home.iter().map(|s| usize::from(node.depths[s])).max();
        let (group, reachable) = (node.home, node.reachable);
        let forwards = node.forwards();
        let below_member = |s: usize| node.parents[s].is_some_and(|p| p != self.root);
        let depths = node.depths;
        let leaf = stripes.iter().filter(|s| below_member(*s)).collect::<Stripes>();
        let (inner, leaf) = (leaf & forwards, leaf - forwards - home);
        if group > 0 {
            self.index.homes[group].set(key, depth.filter(|_| open && fed));
        }
        self.index.open.set(key, open.then_some(0));
        self.index.reachable.set(key, reachable.then_some(0));
        self.index.everybody.set(key, Some(0));
        for s in stripes.iter() {
            let depth = usize::from(depths[s]);
            self.index.leaves[s].set(key, leaf.has(s).then_some(depth));
            self.index.inner[s].set(key, inner.has(s).then_some(depth));
        }
    }

    /// Changes the group in which a member is inner.
    pub(super) fn set_home(&mut self, x: Key, group: usize) {
        let old = core::mem::replace(&mut self.at_mut(x).home, group);
        self.index.homes[old].set(x, None);
        self.mark_dirty(x);
    }

    /// Takes a node out that has no links left in either direction.
    pub(super) fn remove(&mut self, x: Key) {
        self.flush();
        self.index.remove(x);
        let node = self.nodes.remove(x).expect("it is there until it is removed");
        assert!(
            node.links.is_empty() && node.parents.iter().all(Option::is_none),
            "links are left"
        );
        self.names.remove(&node.name);
        self.extras.retain(|(key, _)| *key != x);
        self.unplaced.retain(|(key, _)| *key != x);
        self.young.retain(|key| *key != x);
    }

    /// The net moves since they were last asked for: each stripe from where it came to where it
    /// comes from now.
    pub(super) fn take_moves(&mut self) -> Vec<Move> {
        let mut changes = core::mem::take(&mut self.record.changes);
        changes.retain(|(x, ..)| self.nodes.get(*x).is_some());
        changes.sort_by_key(|(x, s, _)| (*x, *s));
        changes.dedup_by_key(|(x, s, _)| (*x, *s));
        let mut moves: Vec<Move> = Vec::new();
        for (member, s, from) in changes {
            let to = self.at(member).parents[s];
            if from == to {
                continue;
            }
            match moves
                .iter_mut()
                .rev()
                .take_while(|m| m.member == member)
                .find(|m| m.from == from && m.to == to)
            {
                Some(same) => same.stripes.add(s),
                None => moves.push(Move { member, stripes: Stripes::one(s), from, to }),
            }
        }
        moves
    }

    /// Whether a member counts as somebody who has children by right.
    pub(super) fn is_able(&self, x: Key) -> bool {
        x == self.root || self.at(x).grade == Grade::Able
    }
}

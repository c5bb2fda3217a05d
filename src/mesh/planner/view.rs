//! What people may ask the planner: why a member is where it is, and the trees.

use core::fmt;

use crate::base::arena::Key;
use crate::mesh::wire::{NodeId, Stripes};

use super::Planner;
use super::node::{Grade, Health, Reason};

/// Where a member takes some stripes from, and why from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// These stripes.
    pub stripes: Stripes,
    /// The parent; none for stripes that found no place.
    pub parent: Option<NodeId>,
    /// The parent taken when this one is lost.
    pub heir: Option<NodeId>,
    /// Links to the root, at most.
    pub depth: usize,
    /// Why there.
    pub reason: Reason,
}

/// The reasons for a member's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The member.
    pub name: NodeId,
    /// Whether it may have children.
    pub grade: Grade,
    /// Whether its advertised port answered.
    pub reachable: bool,
    /// Slots, and how many of them are taken.
    pub slots: (usize, usize),
    /// Units that it sends, and its budget.
    pub units: (usize, usize),
    /// Stripes in which it is inner by plan.
    pub home: Stripes,
    /// What it last said of itself.
    pub health: Health,
    /// Where each stripe comes from.
    pub sources: Vec<Source>,
    /// Whom it asks for bytes that are late, in which stripes.
    pub helpers: Vec<(NodeId, Stripes)>,
}

/// One line of a tree, in the order in which it is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Which node.
    pub name: NodeId,
    /// Links to the root in this tree; 0 for the root.
    pub depth: usize,
    /// What comes from the row's parent; all stripes for the root.
    pub stripes: Stripes,
    /// Slots, and how many of them are taken.
    pub slots: (usize, usize),
    /// Units that it sends, and its budget.
    pub units: (usize, usize),
    /// Bytes that it said it has sent.
    pub sent: u64,
}

impl Planner {
    /// Why a member takes its stripes where it does.
    #[must_use]
    pub fn why(&self, member: Key) -> Option<Place> {
        let node = self.nodes.get(member).filter(|_| member != self.root)?;
        let mut sources: Vec<Source> = Vec::new();
        for s in self.all.iter() {
            let parent = node.parents[s].map(|p| self.at(p).name);
            let heir = node.heirs[s].map(|p| self.at(p).name);
            let (depth, reason) = (usize::from(node.depths[s]), node.reasons[s]);
            let same = |known: &&mut Source| {
                known.parent == parent && known.heir == heir && known.reason == reason
            };
            if let Some(known) = sources.iter_mut().find(same) {
                known.stripes.add(s);
                known.depth = known.depth.max(depth);
            } else {
                let stripes = Stripes::one(s);
                sources.push(Source { stripes, parent, heir, depth, reason });
            }
        }
        Some(Place {
            name: node.name,
            grade: node.grade,
            reachable: node.reachable,
            slots: (node.slots, node.links.len()),
            units: (node.units, self.budget_of(member)),
            home: self.homes_of(member),
            health: node.health,
            sources,
            helpers: {
                let helpers = node.helpers.iter();
                helpers.filter_map(|(key, s)| Some((self.nodes.get(*key)?.name, *s))).collect()
            },
        })
    }

    /// The tree of one stripe, each node below its parent. Without a stripe: every node once, below
    /// the parent of its lowest stripe that leads to a node already drawn.
    #[must_use]
    pub fn tree(&self, stripe: Option<usize>) -> Vec<Row> {
        let shown = stripe.map_or(self.all, |s| self.all & Stripes::one(s));
        let mut rows = Vec::with_capacity(self.nodes.len());
        let mut drawn = vec![false; self.supremum()];
        let mut stack = vec![(self.root, 0, self.all)];
        drawn[self.root.index()] = true;
        while let Some((x, depth, stripes)) = stack.pop() {
            let node = self.at(x);
            rows.push(Row {
                name: node.name,
                depth,
                stripes,
                slots: (node.slots, node.links.len()),
                units: (node.units, self.budget_of(x)),
                sent: node.health.sent,
            });
            let mut below: Vec<_> =
                node.links.iter().filter(|link| link.stripes.meets(shown)).collect();
            below.sort_by_key(|link| self.at(link.child).name);
            for link in below.into_iter().rev() {
                if !core::mem::replace(&mut drawn[link.child.index()], true) {
                    stack.push((link.child, depth + 1, link.stripes & shown));
                }
            }
        }
        rows
    }

    /// One more than the highest slot of the arena in use.
    fn supremum(&self) -> usize {
        self.nodes.iter().map(|(key, _)| key.index() + 1).max().unwrap_or(0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Able => "may have children",
            Grade::Young => "is young: a leaf while others can carry it",
            Grade::Leaf if !self.reachable => "is a leaf: its port did not answer",
            Grade::Leaf if self.slots.0 == 0 => "is a leaf: it offers no slots",
            Grade::Leaf => "is a leaf: it sends too slowly",
        };
        writeln!(f, "{} {grade}", self.name)?;
        writeln!(f, "slots {} of {} taken", self.slots.1, self.slots.0)?;
        writeln!(f, "units {} of {} sent; home {}", self.units.0, self.units.1, self.home)?;
        for source in &self.sources {
            write!(f, "stripes {} ", source.stripes)?;
            match source.parent {
                Some(parent) => write!(f, "from {parent} at depth {}", source.depth)?,
                None => write!(f, "from nobody")?,
            }
            if let Some(heir) = source.heir {
                write!(f, ", heir {heir}")?;
            }
            writeln!(f, ": {}", source.reason)?;
        }
        Ok(())
    }
}

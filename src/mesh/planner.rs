//! Who takes which stripe from whom: the planner that the root of a mesh runs.
//!
//! `plan(event) -> moves`: events come in one by one ([`Event`]), the whole state is here, and what
//! has changed goes out ([`Plan`]). It reads no clock and no socket; the daemon and the simulator
//! run these very lines. It is not told by members what to do: whatever they report, the rules of
//! [`Planner::check_invariants`] hold after every event.
//!
//! * *Budget*: θ, the fewest units with which all who can carry, carry everybody. A node that has
//!   θ units is full while others are not.
//! * *Home*: an aligned group of 1, 2, 4 or 8 stripes, in which a member is inner; elsewhere it is
//!   a leaf. A child takes a whole group over one link, so slots go far.
//! * *Ladder* (`place`): from the parents that a member has already to the last resort.
//! * *Grades*: who has no slots, cannot be dialled or is slow is a leaf; who is young is a leaf
//!   while others can carry it.
//! * *Heirs* are exact after every event: each could take over now.
//!
//! An event's moves are one exchange: all of them take effect with the same block, and no node has
//! more children than slots before or after it. Until then the new connections wait, without a
//! stripe and without a slot.

mod adopt;
mod budget;
mod graph;
mod heirs;
mod invariants;
mod join;
mod loss;
mod mend;
mod node;
mod parts;
mod place;
mod shelf;
#[cfg(test)]
mod tests;
mod view;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::arena::{Arena, Key};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::Mono;
use crate::mesh::wire::{NodeId, Stripes};

use budget::Budget;
use graph::{Index, Record};
use node::Node;

pub use node::{Grade, Health, Reason};
pub use view::{Place, Row, Source};

/// Inner nodes that are looked at with each event for a place nearer to the root.
const LIFTS: usize = 3;

/// What a mesh is set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Stripes of a block, 1 to 16.
    pub stripes: usize,
    /// Children that the root may have.
    pub root_slots: usize,
    /// Members that are taken in at most.
    pub members_max: usize,
    /// Bytes a second of the channel; 0 when it is not known.
    pub rate: u64,
    /// The seed of all that is drawn.
    pub seed: u64,
}

/// A member that wants in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joining {
    /// Its name.
    pub name: NodeId,
    /// How many children it offers to have.
    pub slots: usize,
    /// Whether its advertised port was dialled and answered.
    pub reachable: bool,
    /// By stripe: whom it takes it from already. Empty for one that comes anew.
    pub held: Vec<Option<NodeId>>,
    /// Stripes that it sends to others already.
    pub forwards: Stripes,
    /// Whether it is the root of a part with members of its own: a slot of the root is well spent
    /// on it though it offers none here.
    pub part: bool,
}

/// What has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Somebody wants in, or is back.
    Join(Joining),
    /// A member's port was dialled.
    Proof {
        /// Whose.
        member: Key,
        /// Whether it answered.
        reachable: bool,
    },
    /// A member tells how it is.
    Report {
        /// Who.
        member: Key,
        /// How.
        health: Health,
    },
    /// A member left a parent by itself.
    Strayed {
        /// Who.
        member: Key,
        /// In these stripes.
        stripes: Stripes,
        /// The parent that it left.
        from: Key,
        /// Where it is now; nowhere when it found nobody.
        to: Option<Key>,
    },
    /// A member leaves and serves until its children have moved.
    Leave {
        /// Who.
        member: Key,
    },
    /// A member is gone.
    Lost {
        /// Who.
        member: Key,
    },
    /// Time has passed; about once a second.
    Tick,
}

/// The answer to a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is in.
    Placed(Key),
    /// Not yet; it may ask again.
    Wait(Refusal),
    /// No.
    Full(Refusal),
}

/// Why somebody is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// As many members as the planner may have.
    Members {
        /// That many.
        most: usize,
    },
    /// No slot is left for one more.
    Slots {
        /// Slots of the root and of all members that can be dialled.
        slots: usize,
        /// Members.
        members: usize,
    },
    /// The root came back and learns the trees.
    Settling,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members { most } => write!(f, "all {most} memberships are taken"),
            Self::Slots { slots, members } => {
                write!(f, "{members} members share {slots} slots; offer slots, or try another root")
            }
            Self::Settling => f.write_str("the root came back and learns the trees"),
        }
    }
}

/// Some stripes of a member from one parent to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Whose stripes.
    pub member: Key,
    /// Which.
    pub stripes: Stripes,
    /// From whom they came.
    pub from: Option<Key>,
    /// From whom they come now.
    pub to: Option<Key>,
}

/// What an event leads to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// The answer to a join.
    pub answer: Option<Answer>,
    /// What moves, all with the same block.
    pub moves: Vec<Move>,
    /// Members whose parents, children, heirs or helpers read differently now; they are to be told.
    pub touched: Vec<Key>,
    /// Members that were taken out because several children said that they are gone. If one is
    /// there after all, it is to join again.
    pub dismissed: Vec<Key>,
}

/// All that is known of a mesh.
#[derive(Debug)]
pub struct Planner {
    settings: Settings,
    all: Stripes,
    /// By heap number.
    groups: Vec<Stripes>,
    nodes: Arena<Node>,
    root: Key,
    names: BTreeMap<NodeId, Key>,
    index: Index,
    budget: Budget,
    record: Record,
    /// Makeshift places, to be mended in turn.
    extras: VecDeque<(Key, usize)>,
    /// Places that nobody was found for.
    unplaced: BTreeSet<(Key, usize)>,
    /// Young members, oldest first.
    young: VecDeque<Key>,
    /// By the name of the parent that has not joined yet: who says that it feeds them.
    claims: BTreeMap<NodeId, Vec<(Key, usize)>>,
    settling: Option<Mono>,
    dismissed: Vec<Key>,
    started: Mono,
    now: Mono,
    balance_at: Mono,
    turn: usize,
    helper_turn: usize,
    rng: Rng,
}

impl Planner {
    /// A mesh of a root alone. `stripes` is taken as 1 to 16.
    ///
    /// # Panics
    /// Never: an empty arena takes one node.
    #[must_use]
    pub fn new(root: NodeId, settings: Settings, now: Mono) -> Self {
        let stripes = settings.stripes.clamp(1, limits::MESH_STRIPES_MAX);
        let mut nodes = Arena::new(limits::MESH_MEMBERS_MAX + 1);
        let slots = settings.root_slots.min(limits::MESH_SLOTS_MAX);
        let key = nodes.insert(Node::new(root, slots, now)).expect("it is the first");
        let groups = budget::groups(stripes);
        Self {
            settings,
            all: Stripes::first(stripes),
            index: Index::new(groups.len()),
            groups,
            nodes,
            root: key,
            names: BTreeMap::from([(root, key)]),
            budget: Budget::new(stripes),
            record: Record::default(),
            extras: VecDeque::new(),
            unplaced: BTreeSet::new(),
            young: VecDeque::new(),
            claims: BTreeMap::new(),
            settling: None,
            dismissed: Vec::new(),
            started: now,
            now,
            balance_at: now.after(limits::MESH_BALANCE_EVERY),
            turn: 0,
            helper_turn: 0,
            rng: Rng::new(settings.seed),
        }
    }

    /// Takes one event in. Events of members that are gone lead to nothing.
    pub fn plan(&mut self, now: Mono, event: Event) -> Plan {
        self.now = now.max(self.now);
        let answer = self.apply(event);
        if self.settling.is_none() {
            self.mend(limits::MESH_MENDS_MAX);
            self.lift(LIFTS);
        }
        self.flush();
        let moves = self.take_moves();
        // A parent has to know its new children before it takes them in the place of others.
        let told = |m: &Move| [Some(m.member), m.from, m.to];
        let told = moves.iter().flat_map(told).flatten().filter(|key| *key != self.root);
        self.record.touched.extend(told);
        self.settle_heirs();
        let mut touched = core::mem::take(&mut self.record.touched);
        touched.retain(|x| self.nodes.get(*x).is_some());
        touched.sort_unstable();
        touched.dedup();
        Plan { answer, moves, touched, dismissed: core::mem::take(&mut self.dismissed) }
    }

    /// Bytes a second of the channel; what a member can carry follows with its next report.
    pub fn set_rate(&mut self, rate: u64) {
        self.settings.rate = rate;
    }

    fn apply(&mut self, event: Event) -> Option<Answer> {
        match event {
            Event::Join(joining) => return Some(self.join(&joining)),
            Event::Proof { member, reachable } if self.is_member(member) => {
                self.regrade(member, |planner| planner.at_mut(member).reachable = reachable);
                self.settle_theta(false);
                self.give_home(member);
            }
            Event::Report { member, health } if self.is_member(member) => self.hear(member, health),
            Event::Strayed { member, stripes, from, to } if self.is_member(member) => {
                self.strayed(member, stripes, from, to);
            }
            Event::Leave { member } if self.is_member(member) => self.depart(member, true),
            Event::Lost { member } if self.is_member(member) => self.depart(member, false),
            Event::Tick => self.tick(),
            _ => {}
        }
        None
    }

    fn hear(&mut self, member: Key, health: Health) {
        self.regrade(member, |planner| planner.at_mut(member).health = health);
        self.settle_theta(false);
        self.give_home(member);
    }

    fn tick(&mut self) {
        self.end_settling_when_due();
        if self.settling.is_some() {
            return;
        }
        self.grow_up();
        self.retry_unplaced();
        self.fill_root();
        self.balance_when_due();
        self.refresh_helpers((self.count() / 4).max(8));
    }

    fn is_member(&self, key: Key) -> bool {
        key != self.root && self.nodes.get(key).is_some()
    }

    /// Members, without the root.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len() - 1
    }

    /// The root's own key.
    #[must_use]
    pub fn root(&self) -> Key {
        self.root
    }

    /// All stripes of a block.
    #[must_use]
    pub fn stripes(&self) -> Stripes {
        self.all
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: NodeId) -> Option<Key> {
        self.names.get(&name).copied().filter(|key| *key != self.root)
    }

    /// The name of the root or of a member.
    #[must_use]
    pub fn name(&self, key: Key) -> Option<NodeId> {
        self.nodes.get(key).map(|node| node.name)
    }

    /// Every member.
    pub fn members(&self) -> impl Iterator<Item = Key> {
        self.nodes.iter().map(|(key, _)| key).filter(|key| *key != self.root)
    }

    /// From whom a member takes a stripe.
    #[must_use]
    pub fn parent_of(&self, member: Key, stripe: usize) -> Option<Key> {
        self.nodes.get(member)?.parents.get(stripe).copied().flatten()
    }

    /// From whom it takes that stripe when the parent is lost.
    #[must_use]
    pub fn heir_of(&self, member: Key, stripe: usize) -> Option<Key> {
        self.nodes.get(member)?.heirs.get(stripe).copied().flatten()
    }

    /// Whom a member asks for bytes that are late, and in which stripes.
    #[must_use]
    pub fn helpers_of(&self, member: Key) -> &[(Key, Stripes)] {
        self.nodes.get(member).map_or(&[], |node| &node.helpers)
    }

    /// The children of a node and what each is sent.
    pub fn children_of(&self, node: Key) -> impl Iterator<Item = (Key, Stripes)> {
        let links = self.nodes.get(node).map_or(&[][..], |node| &node.links);
        links.iter().map(|link| (link.child, link.stripes))
    }

    /// Links between the root and the deepest place of a member.
    #[must_use]
    pub fn depth_max(&self) -> usize {
        let deepest = |(_, node): (Key, &Node)| {
            let fed = self.all.iter().filter(|s| node.parents[*s].is_some());
            fed.map(|s| usize::from(node.depths[s])).max()
        };
        self.nodes.iter().filter_map(deepest).max().unwrap_or(0)
    }

    /// Units that a node sends.
    #[must_use]
    pub fn units_of(&self, node: Key) -> usize {
        self.nodes.get(node).map_or(0, |node| node.units)
    }

    /// Places that nobody was found for.
    #[must_use]
    pub fn unplaced(&self) -> usize {
        self.unplaced.len()
    }
}

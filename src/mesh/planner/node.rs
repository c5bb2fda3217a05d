//! What the planner knows of one node, and the reasons it remembers for a place. Only values; the
//! planner's other files change them.

use core::fmt;

use crate::base::arena::Key;
use crate::base::limits::MESH_STRIPES_MAX;
use crate::base::time::Mono;
use crate::mesh::wire::{NodeId, Stripes};

/// A child and the stripes that it is sent; never none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) child: Key,
    pub(super) stripes: Stripes,
}

/// Whether a member may have children.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grade {
    /// It has no slots, cannot be dialled, or sends too slowly.
    Leaf,
    /// It has not been there long enough to be relied on; taken when nobody else is left.
    Young,
    /// It may.
    Able,
}

/// Why a member takes a stripe where it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It has no place yet.
    None,
    /// A slot of the root was free, or taken by a member without slots of its own.
    RootSlot,
    /// It brought slots and took the place of this leaf, which it now feeds.
    TookLeafPlace(Key),
    /// A member with slots took its place and feeds it since.
    Displaced,
    /// A parent that is inner in a whole group of stripes had room for the group.
    Group,
    /// A parent that is inner in this stripe had room.
    Stripe,
    /// A parent that it had already had units left; no new slot was needed.
    SharedLink,
    /// A node with any units left.
    AnyUnits,
    /// All budgets are used up; a parent above its budget.
    OverBudget,
    /// All slots were taken; another child gave this one up for its other parents.
    Squeezed,
    /// It took the place of another child, which it feeds since: nothing else was left.
    Forced,
    /// Its parent was lost and this was its heir.
    Heir,
    /// Its parent was lost and it took that parent's slot.
    Inherited,
    /// Moved towards the root, in exchange with a leaf.
    Lifted,
    /// Moved to even out what the nodes send.
    Levelled,
    /// Moved from a makeshift place to a node that is inner in this stripe.
    Mended,
    /// It said so when the root came back.
    Adopted,
    /// It moved there by itself.
    Reported,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no place yet",
            Self::RootSlot => "a slot of the root was there for it",
            Self::TookLeafPlace(_) => "it brought slots and took the place of a leaf",
            Self::Displaced => "a member with slots took its place and feeds it since",
            Self::Group => "the shallowest parent with room for the whole group",
            Self::Stripe => "the shallowest parent with room for this stripe",
            Self::SharedLink => "its parent already, so no new slot was needed",
            Self::AnyUnits => "no node that is inner here had room; this one had units left",
            Self::OverBudget => "every budget was used up",
            Self::Squeezed => "every slot was taken; another child made room",
            Self::Forced => "every slot was taken; it took a child's place and feeds that child",
            Self::Heir => "its parent was lost and this was the heir",
            Self::Inherited => "its parent was lost and it took that parent's slot",
            Self::Lifted => "moved towards the root, in exchange with a leaf",
            Self::Levelled => "moved to even out what the nodes send",
            Self::Mended => "moved here from a makeshift place",
            Self::Adopted => "was there already when the root came back",
            Self::Reported => "moved there by itself",
        })
    }
}

/// What a member last said of itself. Believed only where it can do no harm.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Health {
    /// Bytes sent to children since it joined.
    pub sent: u64,
    /// Bytes received since it joined.
    pub received: u64,
    /// Blocks that were late.
    pub late: u64,
    /// The most bytes a second that it was seen to send; none before it has sent.
    pub goodput: Option<u64>,
}

/// The root or a member.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeId,
    pub(super) joined: Mono,
    pub(super) slots: usize,
    pub(super) reachable: bool,
    /// It has members of its own, of which this planner knows nothing.
    pub(super) part: bool,
    pub(super) health: Health,
    pub(super) grade: Grade,
    /// Units that it can carry at most; 0 unless able. Not used for the root.
    pub(super) hard: usize,
    /// Group of stripes in which it is inner; 0 for none.
    pub(super) home: usize,
    /// Children, in thousandths, for which it stands in the supply of its home.
    pub(super) supplies: usize,
    pub(super) units: usize,
    pub(super) links: Vec<Link>,
    pub(super) parents: [Option<Key>; MESH_STRIPES_MAX],
    pub(super) heirs: [Option<Key>; MESH_STRIPES_MAX],
    pub(super) reasons: [Reason; MESH_STRIPES_MAX],
    /// Links to the root; right while the stripe is connected.
    pub(super) depths: [u16; MESH_STRIPES_MAX],
    /// The child of the root that it hangs under.
    pub(super) tops: [Option<Key>; MESH_STRIPES_MAX],
    pub(super) helpers: Vec<(Key, Stripes)>,
    /// Children that said that they lost it, and when.
    pub(super) suspected: Vec<(Key, Mono)>,
}

impl Node {
    pub(super) fn new(name: NodeId, slots: usize, joined: Mono) -> Self {
        Self {
            name,
            joined,
            slots,
            reachable: false,
            part: false,
            health: Health::default(),
            grade: Grade::Leaf,
            hard: 0,
            home: 0,
            supplies: 0,
            units: 0,
            links: Vec::new(),
            parents: [None; MESH_STRIPES_MAX],
            heirs: [None; MESH_STRIPES_MAX],
            reasons: [Reason::None; MESH_STRIPES_MAX],
            depths: [0; MESH_STRIPES_MAX],
            tops: [None; MESH_STRIPES_MAX],
            helpers: Vec::new(),
            suspected: Vec::new(),
        }
    }

    pub(super) fn link(&self, child: Key) -> Option<usize> {
        self.links.iter().position(|link| link.child == child)
    }

    /// The stripes that it sends to this child.
    pub(super) fn sends(&self, child: Key) -> Stripes {
        self.link(child).map_or(Stripes::EMPTY, |i| self.links[i].stripes)
    }

    /// Whether this child would not need more slots than there are.
    pub(super) fn has_slot_for(&self, child: Key) -> bool {
        self.links.len() < self.slots || self.link(child).is_some()
    }

    /// The stripes that it sends to anybody.
    pub(super) fn forwards(&self) -> Stripes {
        self.links.iter().fold(Stripes::EMPTY, |set, link| set | link.stripes)
    }

    /// Its parents, each once.
    pub(super) fn distinct_parents(&self) -> Vec<Key> {
        let mut distinct = Vec::with_capacity(4);
        for parent in self.parents.iter().flatten() {
            if !distinct.contains(parent) {
                distinct.push(*parent);
            }
        }
        distinct
    }

    /// The stripes that it takes from this parent.
    pub(super) fn takes_from(&self, parent: Key) -> Stripes {
        let from = |s: &usize| self.parents[*s] == Some(parent);
        (0..MESH_STRIPES_MAX).filter(from).collect()
    }
}

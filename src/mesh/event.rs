//! What a mesh tells its node, and what it is asked for: only values.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::port::Blob;
use crate::base::time::Wall;
use crate::mesh::wire::{NodeId, Stripes, Timeline};

/// What a root is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootSettings {
    /// Its name, drawn at random.
    pub node: NodeId,
    /// The channel's name.
    pub channel: String,
    /// What its own timers carry, so that a node with several roots can tell them apart.
    pub number: u64,
    /// The run of the channel: the same for all roots of it.
    pub epoch: u64,
    /// What members show to each other.
    pub ticket: [u8; 16],
    /// Where it can be dialled.
    pub advertise: SocketAddr,
    /// Children that it may have.
    pub slots: usize,
    /// Stripes of a block, 1 to 16.
    pub stripes: usize,
    /// How long before its air time a block is given to [`super::Mesh::air`].
    pub lead: Duration,
    /// Members at most.
    pub members_max: usize,
    /// Bytes a second of the channel; 0 when it is not known.
    pub rate: u64,
    /// Bytes a second that it sends outside its slots.
    pub rescue_rate: u64,
    /// Other roots of the channel, best first: named to whoever is not taken in.
    pub roots: Vec<SocketAddr>,
    /// The address of this machine that it dials from; any when none.
    pub from: Option<IpAddr>,
}

/// What a member is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSettings {
    /// Its name, drawn at random.
    pub node: NodeId,
    /// The channel's name.
    pub channel: String,
    /// The port at which it can be dialled; 0 when it cannot.
    pub port: u16,
    /// Children that it may have.
    pub slots: usize,
    /// Roots, best first; none while their names are not known.
    pub roots: Vec<SocketAddr>,
    /// The address of this machine that it dials from; any when none.
    pub from: Option<IpAddr>,
    /// A relay: the root of a part of the mesh, with members of its own.
    pub part: Option<PartSettings>,
}

/// What a member is set to that has members of its own: all its slots are for these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartSettings {
    /// Where it can be dialled.
    pub advertise: SocketAddr,
    /// Members at most.
    pub members_max: usize,
    /// Bytes a second that it sends outside its slots.
    pub rescue_rate: u64,
}

/// A block of a root that enters the mesh.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Airing {
    /// Its number in the channel; larger than that of the one before.
    pub seq: u64,
    /// The movie; not empty.
    pub movie: Rc<str>,
    /// Its file's name; not empty.
    pub file: Rc<str>,
    /// Its bytes. The node's: it says [`super::Mesh::retire`] before it gives them up.
    pub blob: Blob,
    /// How many; not 0.
    pub len: u64,
    /// When it goes on the air.
    pub starts_at: Wall,
    /// For how long.
    pub lasts: Duration,
    /// Where it lies on its programme's timeline, where that is known.
    pub timeline: Option<Timeline>,
}

/// A block that a member has complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// Its number in the channel.
    pub seq: u64,
    /// The movie.
    pub movie: Rc<str>,
    /// Its file's name.
    pub file: Rc<str>,
    /// Its bytes. The node's from now on: it says [`super::Mesh::retire`] before it gives them up.
    pub blob: Blob,
    /// How many.
    pub len: u64,
    /// When it goes on the air.
    pub starts_at: Wall,
    /// For how long.
    pub lasts: Duration,
    /// Where it lies on its programme's timeline, where the root knew that.
    pub timeline: Option<Timeline>,
    /// Its first bytes, to tell what it is.
    pub head: Box<[u8]>,
    /// When it was complete.
    pub at: Wall,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Member: the next block is complete; they come in order.
    Block(Arrived),
    /// Member: a block was not complete when it went on the air.
    Missed {
        /// Its number.
        seq: u64,
    },
    /// Member: a root gave it a place.
    Joined {
        /// Where the root is.
        root: SocketAddr,
        /// The run of the channel.
        epoch: u64,
    },
    /// Member: no root takes it now.
    Full {
        /// The root's words.
        reason: String,
        /// When it asks again.
        again_in: Duration,
    },
    /// Member: a root is gone, or does not answer.
    RootLost {
        /// Where it was.
        root: SocketAddr,
        /// When it is asked again, or the next one.
        again_in: Duration,
    },
    /// Member: every root was asked in vain; told again after each round.
    Rootless,
    /// Member: a parent is gone, silent or refuses.
    LostParent {
        /// Which.
        node: NodeId,
        /// What it sent.
        stripes: Stripes,
        /// Why.
        why: &'static str,
    },
    /// A stripe was not what its head said, and was dropped.
    BadStripe {
        /// The block.
        seq: u64,
        /// The stripe.
        stripe: usize,
        /// Who sent it.
        from: Vec<NodeId>,
    },
    /// The stripes did not make up their block, which was dropped.
    BadBlock {
        /// The block.
        seq: u64,
    },
    /// A peer said what it may not.
    Nonsense {
        /// Where.
        address: Option<SocketAddr>,
        /// What.
        why: String,
    },
    /// Root: a member has its place.
    Entered {
        /// Who.
        node: NodeId,
        /// Where.
        address: SocketAddr,
    },
    /// Root: somebody was not taken in.
    Denied {
        /// Who.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Root: a member is gone.
    Departed {
        /// Who.
        node: NodeId,
    },
    /// It has left the mesh; nothing of it is left.
    Left,
}

/// One link, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkRow {
    /// Whether the other end sends to this node.
    pub sends_to_us: bool,
    /// Who; none while it has not said so.
    pub node: Option<NodeId>,
    /// Where.
    pub address: Option<SocketAddr>,
    /// What goes over it.
    pub stripes: Stripes,
    /// Bytes so far, in the direction of the stripes.
    pub bytes: u64,
    /// Bytes queued for it.
    pub queued: u64,
    /// Of a child: blocks between the newest here and the one that it is sent. Of a parent: blocks
    /// between the newest that anybody told of and the last that it has begun to send.
    pub lag: u64,
}

/// A block on its way in or kept, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockRow {
    /// Its number.
    pub seq: u64,
    /// Its file's name.
    pub file: Rc<str>,
    /// Bytes in it, and bytes that are here.
    pub bytes: (u64, u64),
    /// When it goes on the air.
    pub starts_at: Wall,
    /// Whether it is complete and right.
    pub whole: bool,
}

/// Counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the names say what is counted")]
pub struct Stats {
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub bytes_wasted: u64,
    pub bytes_rescued: u64,
    pub blocks: u64,
    pub blocks_missed: u64,
    pub blocks_late: u64,
    pub pulls: u64,
    pub parents_lost: u64,
    pub bad_stripes: u64,
    pub nonsense: u64,
    pub joins: u64,
    pub children_most: u64,
}

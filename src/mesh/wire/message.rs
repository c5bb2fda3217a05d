//! The messages as values.

use core::ops::Range;
use core::time::Duration;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::time::Wall;

use super::set::{NodeId, Stripes};

/// Whatever one node says to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// First on every connection, from both ends.
    Hello(Hello),
    /// I want in.
    Join(Join),
    /// Your place.
    Place(Place),
    /// Not yet; ask again.
    Wait(Denial),
    /// No.
    Full(Denial),
    /// Send me these stripes.
    Subscribe(Subscribe),
    /// Send me these stripes no longer.
    Release(Release),
    /// I will.
    Accept(Accept),
    /// I will not, or no longer.
    Refuse(Refuse),
    /// Bytes of a stripe follow.
    Block(Block),
    /// Send me bytes that I miss.
    Want(Want),
    /// I do not have them.
    Gone(Gone),
    /// I am there.
    Beat(Beat),
    /// How I am.
    Report(Report),
    /// I stop: go to your heirs now.
    Leaving,
}

/// Who speaks, and of what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Who.
    pub node: NodeId,
    /// The run of the channel that it takes part in; none when it takes part in none yet.
    pub epoch: Option<u64>,
    /// What the root gave it to show to others; zeros before that.
    pub ticket: [u8; 16],
    /// The channel's name.
    pub channel: String,
}

/// A member offers itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// The port at which it can be dialled; 0 when it cannot.
    pub port: u16,
    /// How many children it offers to have.
    pub slots: u16,
    /// The newest block that it holds complete.
    pub newest: Option<u64>,
    /// Stripes that it sends to others already.
    pub forwards: Stripes,
    /// Whom it takes stripes from already, lowest stripe first.
    pub held: Vec<(u8, NodeId)>,
    /// Whether it has members of its own below, which its slots are for.
    pub part: bool,
}

/// A node and where it is dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Who.
    pub node: NodeId,
    /// Where.
    pub address: SocketAddr,
}

/// A member's place in the trees. Parents, heirs and helpers are named by their place in `peers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The run of the channel.
    pub epoch: u64,
    /// How long before its air time a block enters the mesh.
    pub lead: Duration,
    /// The newest block in the mesh.
    pub newest: u64,
    /// The oldest that the root has: nobody asks for older ones.
    pub oldest: u64,
    /// The first block for which this place holds; until then the old one does.
    pub from: u64,
    /// What to show to others.
    pub ticket: [u8; 16],
    /// Every node that is named below.
    pub peers: Vec<Peer>,
    /// By stripe: the parent. Its length is the number of stripes, 1 to 16.
    pub parents: Vec<Option<u8>>,
    /// By stripe: the parent to take when that one is lost. As long as `parents`.
    pub heirs: Vec<Option<u8>>,
    /// Whom to ask for missing bytes, in which stripes.
    pub helpers: Vec<(u8, Stripes)>,
    /// Who is to be served, with what.
    pub children: Vec<(NodeId, Stripes)>,
}

/// Why a member is not taken in, and where else it may ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// For people.
    pub reason: String,
    /// Other roots, best first.
    pub roots: Vec<SocketAddr>,
}

/// A child asks for stripes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// Which, each with the byte of it to begin with in the first block; lowest stripe first.
    pub stripes: Vec<(u8, u32)>,
    /// The first block.
    pub first: u64,
    /// A child of the parent's that is dead and whose slot is asked for.
    pub instead: Option<NodeId>,
}

/// A child needs stripes no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// Which.
    pub stripes: Stripes,
    /// The first block that is not needed.
    pub from: u64,
}

/// A parent will send stripes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accept {
    /// Which.
    pub stripes: Stripes,
    /// The first block.
    pub first: u64,
    /// Stripes that are late with the parent itself.
    pub late: Stripes,
}

/// A parent will not send stripes, or no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// Which.
    pub stripes: Stripes,
    /// Why.
    pub why: Refused,
}

/// Why a parent refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// All slots are taken.
    NoSlot,
    /// The run of the channel is not known here.
    UnknownEpoch,
    /// The child is above the parent in this stripe.
    WouldLoop,
    /// The parent leaves.
    Leaving,
    /// The ticket is not the root's.
    Ticket,
    /// The slot is for somebody else from this block on.
    Displaced,
}

impl Refused {
    /// Every reason, in the order of its code on the wire.
    pub const ALL: [Self; 6] = [
        Self::NoSlot,
        Self::UnknownEpoch,
        Self::WouldLoop,
        Self::Leaving,
        Self::Ticket,
        Self::Displaced,
    ];
}

/// Some bytes of one stripe of a block; they follow the frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The block's number in the channel.
    pub seq: u64,
    /// Which stripe.
    pub stripe: u8,
    /// Of how many.
    pub stripes: u8,
    /// Bytes in the whole block.
    pub length: u32,
    /// First byte of the stripe that follows, and how many do.
    pub range: Range<u32>,
    /// When it is shown.
    pub air: Wall,
    /// For how long: in whole microseconds where there is no timeline.
    pub lasts: Duration,
    /// BLAKE3 of the block.
    pub block_hash: [u8; 32],
    /// BLAKE3 of the stripe.
    pub stripe_hash: [u8; 32],
    /// The movie's name.
    pub movie: Rc<str>,
    /// The block's file name.
    pub name: Rc<str>,
    /// Where it lies on the timeline of its programme, where the root knows that.
    pub timeline: Option<Timeline>,
}

/// Where a block lies on the timeline of its programme: what is made of it for players depends on
/// this, so that all nodes make the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// Its air time in nanoseconds since the programme's epoch.
    pub since_epoch_ns: i64,
    /// Whether another movie, or the end of this one, is on before it.
    pub first: bool,
    /// Whether another movie, or the beginning of this one, is on after it.
    pub last: bool,
    /// Whether it stands in for the block that was to be on.
    pub stands_in: bool,
}

/// A request for bytes of one stripe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// The block.
    pub seq: u64,
    /// The stripe.
    pub stripe: u8,
    /// Which bytes of the stripe.
    pub range: Range<u32>,
}

/// The answer to a [`Want`] that cannot be met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// The block.
    pub seq: u64,
    /// The stripe.
    pub stripe: u8,
}

/// The way of some stripes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// Which stripes go this way.
    pub stripes: Stripes,
    /// The sender's parent first, the root last.
    pub nodes: Vec<NodeId>,
}

/// A sign of life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    /// The newest block that the sender holds complete.
    pub newest: u64,
    /// Stripes that are late with the sender; it looks after that.
    pub late: Stripes,
    /// Where its stripes come from; none when that is as it was.
    pub paths: Vec<Path>,
}

/// A parent that was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Whom.
    pub parent: NodeId,
    /// In which stripes.
    pub stripes: Stripes,
    /// Who sends them now.
    pub now: Option<NodeId>,
}

/// What a member says of itself, every five seconds and on a loss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Bytes sent to others since it joined.
    pub sent: u64,
    /// Bytes received since it joined.
    pub received: u64,
    /// Of these, bytes that the root sent outside its slots.
    pub rescued: u64,
    /// Blocks that were late.
    pub late: u64,
    /// The most bytes a second that it has sent.
    pub goodput: Option<u64>,
    /// Links to the root in its deepest stripe.
    pub depth: u16,
    /// Parents lost since the last report.
    pub losses: Vec<Loss>,
}

/// The bytes of a block that are a stripe: `[j·len/K, (j+1)·len/K)`.
#[must_use]
pub fn stripe_of(length: u32, stripe: u8, stripes: u8) -> Range<u32> {
    let (stripe, stripes) = (u64::from(stripe), u64::from(stripes.max(1)));
    let edge = |j: u64| u32::try_from(u64::from(length) * j / stripes).unwrap_or(u32::MAX);
    edge(stripe)..edge(stripe + 1)
}

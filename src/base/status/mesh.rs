//! What a node tells of its part in the relay trees: the summary that is in the status document,
//! and the answers to `connections`, `files`, `tree` and `why` of the control socket. Plain values,
//! like all of [`crate::base::status`]; the node fills them, `control` words them.

use core::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use serde::{Serialize, Serializer};

use crate::base::stats::Histogram;

/// The name of a node of the mesh, as people write it: 16 digits of hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What [`MeshStatus::role`] may say.
pub const MESH_ROLES: [&str; 3] = ["root", "relay", "member"];

/// A node's part in the mesh of one channel. All counters are from the start.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct MeshStatus {
    /// The channel.
    pub channel: usize,
    /// One of [`MESH_ROLES`].
    pub role: &'static str,
    /// The name of this node.
    pub node: Id,
    /// The run of the channel, once it is known.
    pub epoch: Option<u64>,
    /// Links between this node and the root in the stripe in which it is deepest; 0 in a root.
    pub depth: usize,
    /// The root that this node has a link to; none in a root, and while there is none.
    pub root: Option<SocketAddr>,
    /// Members of its own, in a root and in a relay; none in a member.
    pub members: Option<usize>,
    /// How many others may be sent stripes.
    pub slots: usize,
    /// How many are.
    pub slots_used: usize,
    /// The most that were at once.
    pub slots_used_max: u64,
    /// How many send to this node.
    pub parents: usize,
    /// Bytes sent over the links of the mesh.
    pub bytes_sent: u64,
    /// Bytes received over them.
    pub bytes_received: u64,
    /// Of these, bytes that were here already.
    pub bytes_wasted: u64,
    /// Bytes received from the root though it is no parent.
    pub bytes_rescued: u64,
    /// Blocks that were complete.
    pub blocks: u64,
    /// Blocks that were not complete at their air time.
    pub blocks_missed: u64,
    /// Blocks of which something was late.
    pub blocks_late: u64,
    /// Requests for bytes that were late.
    pub pulls: u64,
    /// Parents that were lost.
    pub parents_lost: u64,
    /// Stripes that were not what their sender had announced.
    pub bad_stripes: u64,
    /// Peers that said what they may not.
    pub nonsense: u64,
    /// Members that a root took in; in a member, how often it was.
    pub joins: u64,
    /// From the loss of a stripe's parent to the first byte of another, for each stripe.
    #[serde(serialize_with = "super::histogram")]
    pub repairs: Histogram,
}

/// One connection, or one tv client, which has none between two blocks.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct ConnectionRow {
    /// What it is for.
    pub service: &'static str,
    /// Whether blocks come `from` the other end or go `to` it; empty when neither.
    pub direction: &'static str,
    /// The other end, address and port.
    pub peer: String,
    /// Its name in the mesh.
    pub node: Option<Id>,
    /// Seconds since it began, where that is known.
    pub age_s: Option<f64>,
    /// The stripes that go over it; empty outside the mesh.
    pub stripes: String,
    /// Bytes of blocks sent or received, in the direction of the blocks.
    pub bytes: u64,
    /// How far behind it is.
    pub lag: Option<Lag>,
    /// What it is doing.
    pub note: String,
}

/// How far a receiver is behind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Lag {
    /// Blocks between the newest one and the one that it is being sent.
    pub blocks: u64,
    /// How long these last, in milliseconds, as far as that is known.
    pub ms: Option<u64>,
}

/// A block of the mesh that is not on the air yet.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct ArrivingBlock {
    /// The channel.
    pub channel: usize,
    /// Its number there.
    pub seq: u64,
    /// Its file's name.
    pub name: String,
    /// Bytes in it.
    pub bytes: u64,
    /// Of these, how many are here.
    pub arrived: u64,
    /// Whether all are, and are right.
    pub complete: bool,
    /// Its air time.
    pub starts_at: String,
    /// Milliseconds until then; 0 when that is over and it is still not complete.
    pub airs_in_ms: u64,
}

/// One node in a tree.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct TreeRow {
    /// Who.
    pub node: Id,
    /// Where it can be dialled; none for the node that tells this.
    pub address: Option<SocketAddr>,
    /// Links between it and the root in this tree; 0 for the root.
    pub depth: usize,
    /// What its parent in this tree sends to it.
    pub stripes: Box<str>,
    /// How many children it may have.
    pub slots: usize,
    /// How many it has.
    pub slots_used: usize,
    /// Stripes that it sends, counted once for each child.
    pub units: usize,
    /// How many of these the planner means it to send.
    pub budget: usize,
    /// Bytes that it said it has sent.
    pub bytes_sent: u64,
}

/// A tree of one channel. The rows are in the order in which a tree is drawn: each below its
/// parent, the root first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// The channel.
    pub channel: usize,
    /// The stripe; none when all are merged, each node below one of its parents.
    pub stripe: Option<usize>,
    /// How many stripes the channel has.
    pub stripes: usize,
    /// All members, also those that have no place in this tree.
    pub members: usize,
    /// Who is in it.
    pub rows: Rc<[TreeRow]>,
}

/// A node that another one takes stripes from, or would.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Neighbour {
    /// Who.
    pub node: Id,
    /// Where, when it is known; none for the node that tells this.
    pub address: Option<SocketAddr>,
    /// Whether it is the node that tells this.
    pub is_this_node: bool,
}

/// From where a member takes some stripes.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct SourceRow {
    /// These.
    pub stripes: String,
    /// The parent; none when no place was found.
    pub parent: Option<Neighbour>,
    /// Links to the root.
    pub depth: usize,
    /// The rule that chose this parent, in words.
    pub reason: String,
    /// The parent when this one is lost.
    pub heir: Option<Neighbour>,
}

/// Why the planner placed a member where it is.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct WhyRow {
    /// The channel.
    pub channel: usize,
    /// Who.
    pub node: Id,
    /// Where it can be dialled.
    pub address: Option<SocketAddr>,
    /// Whether it may have children, and why not, in words.
    pub grade: &'static str,
    /// Whether its advertised port answered.
    pub reachable: bool,
    /// How many children it may have.
    pub slots: usize,
    /// How many it has.
    pub slots_used: usize,
    /// Stripes that it sends, counted once for each child.
    pub units: usize,
    /// How many of these the planner means it to send.
    pub budget: usize,
    /// The stripes in which it is meant to have children.
    pub home: String,
    /// Bytes that it said it has sent.
    pub bytes_sent: u64,
    /// Bytes that it said it has received.
    pub bytes_received: u64,
    /// Blocks that it said were late.
    pub blocks_late: u64,
    /// Where each stripe comes from.
    pub sources: Vec<SourceRow>,
    /// Whom it asks for bytes that are late.
    pub helpers: Vec<HelperRow>,
}

/// Whom a member asks for bytes that are late.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct HelperRow {
    /// In these stripes.
    pub stripes: String,
    /// This node.
    pub helper: Neighbour,
}

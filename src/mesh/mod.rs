//! The relay trees: viewers carry the channel. A block is cut into stripes; each stripe goes down a
//! tree of its own, and a member is inner in few of them and a leaf in the rest, so that everybody
//! can send about as much as it receives.
//!
//! * [`wire`]: the bytes between nodes, to values and back.
//! * [`planner`]: who takes which stripe from whom; pure, run by the root of a mesh.
//! * `link`, `store`, `feed`, `hub`: what every node has: connections, blocks by stripe, children.
//! * [`Lobby`]: links that have not said yet which channel they want; one port serves all meshes.
//! * `realm`: what makes a node a root: members, their control links and the planner.
//! * `root` and `member`: the two kinds of node. [`Mesh`] is either, as a node sees it. A relay is
//!   a member with a realm of its own: it takes a channel from the mesh above, and is the root of a
//!   part below, of the same run, so that another relay or the server itself is as good as it.
//!
//! Words: the *root* is the node whose channel does not come from the mesh; every other node is a
//! *member*; a *slot* is one child connection; a *stripe* is one of the K parts of each block; a
//! *unit* is one stripe sent to one child; an *heir* is the parent that a member takes when this
//! one is lost, fixed in advance; a *helper* is a node elsewhere in the trees that is asked for
//! bytes that are late.
//!
//! # How a stripe travels
//! Each head announces only bytes that its sender has: a stripe that is on its way in goes on in
//! pieces, so a parent that waits for the rest of one stripe still sends others, beats and answers
//! over the same link. A link has a queue of limited bytes; what a slow child has not been sent is
//! no queue but its place in the blocks that are kept.
//!
//! # Figures
//! `cargo run --release --example simulate -- --figures` plays every case and says which bounds
//! hold. On a machine of 2 shared cores (Linux 6.18), 1000 members of 4 slots, 8 stripes, lead 6 s
//! unless said; nobody missed a block, no slot was exceeded and no cycle was seen in any of them:
//!
//! | case | measured | bound |
//! |---|---|---|
//! | steady | Jain .9990, max/mean 1.01, depth 6, root 8.0 copies | .99, 1.1, 8, 8 |
//! | mean life 600 s, silent, 10 min | Jain .9997, depth 10, pulled 1.42 % | .98, 12, 2 % |
//! | mixed slots, the same | max/mean 1.25, depth 17, pulled 1.53 % | 1.3, 24, 2 % |
//! | 10 % die at once, silent | hole p99 2.27 s | 3 s |
//! | the same, reset | hole p50 58 ms, p99 282 ms | 300 ms |
//! | a third cut off for 5 s, lead 8 s | pulled 1.57 % | 2 % |
//! | root away for 2 s | 3.2 % of parents changed | 5 % |
//! | uplinks of 1.5 channels, silent churn | pulled 1.79 % | 2 % |
//! | the same, 10 % die at once | pulled 0.57 % | 2 % |
//! | half of 0 slots, half of 4 | all served | all |
//! | chain of 200 of 1 slot | served | all |
//! | half of 0, half of 1, root 1 | 101 of 200 served, the rest told why | those that fit |
//! | 10 000, churn | depth 12, planner's join 14 to 23 us, 51 to 58 s of a core | 12, 50 us, 60 s |
//!
//! The seconds of the last row hang on what else the machine does: the same program took 51 and
//! 58 s within five minutes, and that of the session before 93 s. The members are
//! more than any cache holds: more than half of the time was memory, the rest about 130 000
//! instructions for each second of a member. What helped, in the order of how much: a host's memory
//! in pages of its own (a quarter); all that a frame asks of a link in two lines of the cache, and
//! nothing elsewhere (half of all misses are gone with what is like it); whatever makes nobody do
//! anything handled with a host's next turn; looks that would find nothing passed over. What did
//! not: memory that is fetched ahead, even all of a host's at once; allocators that are to be had;
//! links of 20 to 55 ms (a fifth, and trees 14 deep). Signs of life are four fifths of all letters.
//! Those of parents every 750 ms would save a tenth, but of 400 meshes with slow uplinks in which
//! two inner members die one after the other eight then missed a block instead of two; nine did
//! when each link was looked at just when its silence was too long, and not twice a second. With
//! those of children every 1.5 s and those of idle links every 2 s it is the same two.
//! Of what is pulled under churn nearly half is what each newcomer begins with: the blocks between
//! the one on the air and the newest, which its parents send.
//!
//! On real sockets, `cargo bench --bench mesh`: until stripe bytes come again at the last of all
//! children of parents that are killed, 24 clients, 24 clients below a relay and 12 relays: 67, 68
//! and 202 ms on loopback, 73, 66 and 101 ms in network namespaces (bound 300 ms), no block missed;
//! a member adds 152 us to the first byte of a stripe (bound 200 us).

mod complaints;
mod event;
mod feed;
mod hub;
mod link;
mod lobby;
mod member;
pub mod planner;
mod realm;
mod root;
mod store;
#[cfg(test)]
mod tests;
pub mod wire;

use std::net::SocketAddr;

use crate::base::port::{Blob, Conn, Cx, Facts, Gone, Span, Why};
use crate::base::stats::Histogram;

use hub::Hub;
use member::Member;
use realm::Realm;
use root::Root;
use wire::NodeId;

pub use event::{
    Airing, Arrived, BlockRow, Event, LinkRow, MemberSettings, PartSettings, RootSettings, Stats,
};
pub use lobby::{Guest, Lobby};

/// One node's part in the mesh of one channel.
#[derive(Debug)]
pub struct Mesh(Kind);

#[derive(Debug)]
enum Kind {
    Root(Box<Root>),
    Member(Box<Member>),
}

/// Calls the same method of either kind.
macro_rules! either {
    ($mesh:expr, $node:ident => $call:expr) => {
        match &mut $mesh.0 {
            Kind::Root($node) => $call,
            Kind::Member($node) => $call,
        }
    };
}

impl Mesh {
    /// The root of a mesh. Its port must be open by now.
    #[must_use]
    pub fn new_root(cx: &mut Cx, settings: RootSettings) -> Self {
        Self(Kind::Root(Box::new(Root::new(cx, settings))))
    }

    /// A member, which asks the first root at once. Its port must be open by now.
    #[must_use]
    pub fn new_member(cx: &mut Cx, settings: MemberSettings) -> Self {
        Self(Kind::Member(Box::new(Member::new(cx, settings))))
    }

    /// The channel that it carries, as a hello names it.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.hub().channel
    }

    /// Whether a connection is one of its links.
    #[must_use]
    pub fn has(&self, conn: Conn) -> bool {
        self.hub().links.get(conn).is_some()
    }

    /// Whether it looks at a connection from time to time, which so needs no timer.
    #[must_use]
    pub fn looks_at(&self, conn: Conn) -> bool {
        self.timers() > 0 && self.hub().links.looks_at(conn)
    }

    /// Takes a link that wants this mesh from the [`Lobby`].
    pub fn admit(&mut self, cx: &mut Cx, guest: Guest) {
        let Guest { conn, link, hello } = guest;
        if self.hub_mut().admit(cx, conn, link) {
            either!(self, node => node.greeted(cx, conn, &hello));
        }
    }

    /// A connection stands. Nothing follows from that: the hello is on its way already.
    pub fn connected(&mut self, _cx: &mut Cx, _conn: Conn) {}

    /// Bytes arrived.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        either!(self, node => node.data(cx, conn, bytes));
    }

    /// Bytes arrived in a blob.
    pub fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) {
        if let Kind::Member(member) = &mut self.0 {
            member.filled(cx, conn, upto);
        }
    }

    /// The other end sends no more: a link that is half closed is over.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        cx.close(conn, crate::base::port::End::Reset);
        self.closed(cx, conn, Gone::Closed);
    }

    /// The kernel took bytes.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, bytes: u64) {
        self.hub_mut().sent(cx, conn, bytes);
    }

    /// A connection is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        match &mut self.0 {
            Kind::Root(root) => root.closed(cx, conn),
            Kind::Member(member) => member.closed(cx, conn, why),
        }
    }

    /// A timer of a connection: [`Why::MeshHello`], [`Why::MeshBeat`].
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        either!(self, node => node.timeout(cx, conn));
    }

    /// One of its own timers: [`Why::MeshTick`], [`Why::MeshJoin`].
    pub fn timer(&mut self, cx: &mut Cx, why: Why) {
        match &mut self.0 {
            Kind::Root(root) => root.timer(cx),
            Kind::Member(member) => member.timer(cx, why),
        }
    }

    /// A hash is known.
    pub fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) {
        either!(self, node => node.hashed(cx, span, hash));
    }

    /// A block that was received is sealed. `false`: the blob is none of this mesh's.
    pub fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        match &mut self.0 {
            Kind::Root(_) => false,
            Kind::Member(member) => member.opened(cx, blob, facts),
        }
    }

    /// A blob cannot be had. `false`: it is none of this mesh's.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob) -> bool {
        self.hub_mut().store.unreadable(cx, blob)
    }

    /// Root: a block enters the mesh, `lead` before its air time. Its blob is open.
    pub fn air(&mut self, cx: &mut Cx, airing: &Airing) {
        if let Kind::Root(root) = &mut self.0 {
            root.air(cx, airing);
        }
    }

    /// The node is about to give a blob up that [`Event::Block`] or [`Mesh::air`] named.
    pub fn retire(&mut self, blob: Blob) {
        self.hub_mut().store.retire(blob);
    }

    /// Leaves; [`Event::Left`] follows, for a member when its children have moved or after 2 s.
    pub fn leave(&mut self, cx: &mut Cx) {
        either!(self, node => node.leave(cx));
    }

    /// Ends its part at once, without a word to anybody: another takes its place.
    pub fn abandon(&mut self, cx: &mut Cx) {
        either!(self, node => node.over(cx));
    }

    /// The stripes of which more bytes, if they are right, make it do nothing that others see: for
    /// whoever plays many nodes, and has to take their turns in some order.
    #[must_use]
    pub fn keeps_to_itself(&self) -> wire::Stripes {
        match &self.0 {
            Kind::Root(_) => wire::Stripes::EMPTY,
            Kind::Member(member) => member.keeps_to_itself(),
        }
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.hub_mut().events.pop_front()
    }

    /// Who it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.hub().me
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let stats = self.hub().stats();
        match &self.0 {
            Kind::Root(_) => stats,
            Kind::Member(member) => Stats { bytes_rescued: member.rescued(), ..stats },
        }
    }

    /// From the loss of a stripe's parent to the first byte of another, for each stripe.
    #[must_use]
    pub fn repairs(&self) -> Histogram {
        self.hub().repairs
    }

    /// The run of the channel, once it is known.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.hub().epoch
    }

    /// Links between it and the root in the stripe in which it is deepest; 0 for the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.hub().paths.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// By stripe: who sends it to this node.
    pub fn parents(&self) -> impl Iterator<Item = Option<NodeId>> {
        let member = match &self.0 {
            Kind::Root(_) => None,
            Kind::Member(member) => Some(member),
        };
        member.into_iter().flat_map(|member| member.fed_by())
    }

    /// Every link that carries stripes: who sends to this node, then who is sent to.
    #[must_use]
    pub fn links(&self, cx: &Cx) -> Vec<LinkRow> {
        let mut rows = match &self.0 {
            Kind::Root(_) => Vec::new(),
            Kind::Member(member) => member.parent_rows(cx),
        };
        rows.extend(self.hub().child_rows(cx));
        rows
    }

    /// The blocks that it has or is getting, oldest first.
    #[must_use]
    pub fn blocks(&self) -> Vec<BlockRow> {
        self.hub().block_rows()
    }

    /// Root or relay: the tree of a stripe, or of all merged. Empty on other members.
    #[must_use]
    pub fn tree(&self, stripe: Option<usize>) -> Vec<(planner::Row, Option<SocketAddr>)> {
        self.realm().map_or_else(Vec::new, |realm| realm.tree(stripe))
    }

    /// Root or relay: why a member is where it is.
    #[must_use]
    pub fn why(&self, node: NodeId) -> Option<planner::Place> {
        self.realm()?.why(node)
    }

    /// Root or relay: how many members it has.
    #[must_use]
    pub fn members(&self) -> usize {
        self.realm().map_or(0, Realm::members)
    }

    /// Whether it is the root of the whole mesh.
    #[must_use]
    pub fn is_root(&self) -> bool {
        matches!(self.0, Kind::Root(_))
    }

    /// Other addresses of the roots, best first: of a member those that it asks, of a root those
    /// that it names to whoever is not taken in.
    pub fn set_roots(&mut self, roots: Vec<SocketAddr>) {
        match &mut self.0 {
            Kind::Root(root) => root.realm.set_roots(roots),
            Kind::Member(member) => member.set_roots(roots),
        }
    }

    fn realm(&self) -> Option<&Realm> {
        match &self.0 {
            Kind::Root(root) => Some(&root.realm),
            Kind::Member(member) => member.realm.as_deref(),
        }
    }

    /// Children that have a slot.
    #[must_use]
    pub fn served(&self) -> usize {
        self.hub().feed.served()
    }

    /// Timers that it holds beside those of connections.
    #[must_use]
    pub fn timers(&self) -> usize {
        match &self.0 {
            Kind::Root(root) => root.timers(),
            Kind::Member(member) => member.timers(),
        }
    }

    /// Blobs that it holds and that are not the node's.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.hub().store.blobs()
    }

    /// Looks the books through.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        match &self.0 {
            Kind::Root(root) => root.check_invariants(cx),
            Kind::Member(member) => member.check_invariants(cx),
        }
    }

    fn hub(&self) -> &Hub {
        match &self.0 {
            Kind::Root(root) => &root.hub,
            Kind::Member(member) => &member.hub,
        }
    }

    fn hub_mut(&mut self) -> &mut Hub {
        either!(self, node => &mut node.hub)
    }
}

//! What makes a node the root of members: it takes them in, runs the planner over their control
//! links, and tells each its place. Knows nothing of where the blocks come from: a root has them
//! from its channel, a relay from the mesh above; both lend their hub.
//!
//! | control link | told | becomes |
//! |---|---|---|
//! | up | a join with a port | proving: the port is dialled |
//! | proving | the port said its name, or did not in a second | placed, or denied and closed |
//! | placed | a report | the planner hears it |
//! | | leaving | placed elsewhere by the planner while it still serves |
//! | | gone | lost to the planner |
//! | any | [`Realm::disband`] | told to ask another root, closed |

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::base::arena::{Key, Side};
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Why};
use crate::mesh::event::Event;
use crate::mesh::hub::Hub;
use crate::mesh::planner::{self, Answer, Health, Joining, Plan, Planner, Row};
use crate::mesh::wire::{Denial, Hello, Join, Message, NodeId, Peer, Place, Report, Stripes};

/// What a realm is set to.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) node: NodeId,
    /// The run of the channel, and how long before its air time a block enters it.
    pub(super) epoch: u64,
    pub(super) lead: Duration,
    /// Where the node can be dialled.
    pub(super) advertise: SocketAddr,
    pub(super) slots: usize,
    pub(super) stripes: usize,
    pub(super) members_max: usize,
    pub(super) rate: u64,
    /// Other roots, named to whoever is not taken in.
    pub(super) roots: Vec<SocketAddr>,
}

/// A join that waits for the proof of its port.
#[derive(Debug)]
struct Pending {
    control: Conn,
    node: NodeId,
    address: SocketAddr,
    join: Join,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    control: Conn,
    address: SocketAddr,
}

/// The members of a root.
#[derive(Debug)]
pub(super) struct Realm {
    settings: Settings,
    planner: Planner,
    members: Side<Entry>,
    controls: BTreeMap<Conn, Key>,
    /// By the link to the port that is proved.
    proofs: BTreeMap<Conn, Pending>,
    /// Lengths and durations of the last blocks, for the rate of the channel.
    aired: VecDeque<(u64, Duration)>,
}

/// Links that members, guests and proofs may make to a root, beside its slots.
pub(super) fn accepted_max(slots: usize, members_max: usize) -> usize {
    members_max + slots + limits::MESH_GUESTS_MAX + limits::MESH_PROOFS_MAX
}

impl Realm {
    pub(super) fn new(cx: &mut Cx, settings: Settings) -> Self {
        let plan = planner::Settings {
            stripes: settings.stripes,
            root_slots: settings.slots,
            members_max: settings.members_max,
            rate: settings.rate,
            seed: cx.rng.next_u64(),
        };
        let planner = Planner::new(settings.node, plan, cx.now.mono);
        let (members, controls, proofs) = (Side::default(), BTreeMap::new(), BTreeMap::new());
        let aired = VecDeque::new();
        Self { settings, planner, members, controls, proofs, aired }
    }

    /// A block of the channel goes out: one whose rate is not set has that of its last blocks.
    pub(super) fn reckon_rate(&mut self, length: u64, lasts: Duration) {
        self.aired.push_back((length, lasts));
        if self.aired.len() > limits::MESH_RATE_BLOCKS_MAX {
            self.aired.pop_front();
        }
        let bytes: u64 = self.aired.iter().map(|(bytes, _)| bytes).sum();
        let micros: u128 = self.aired.iter().map(|(_, lasts)| lasts.as_micros()).sum();
        if self.settings.rate == 0 && micros > 0 {
            let rate = u128::from(bytes) * 1_000_000 / micros;
            self.planner.set_rate(u64::try_from(rate).unwrap_or(u64::MAX));
        }
    }

    /// Whether these are the run and the stripes that it was made for.
    pub(super) fn is_of(&self, epoch: u64, stripes: usize) -> bool {
        (self.settings.epoch, self.count()) == (epoch, stripes)
    }

    /// Others than this root, best first.
    pub(super) fn set_roots(&mut self, roots: Vec<SocketAddr>) {
        self.settings.roots = roots;
    }

    /// Whether it knows of any.
    pub(super) fn has_others(&self) -> bool {
        !self.settings.roots.is_empty()
    }

    /// Whether a hello is the proof of a port, which then is dealt with.
    pub(super) fn proved(
        &mut self,
        cx: &mut Cx,
        hub: &mut Hub,
        (conn, hello): (Conn, &Hello),
    ) -> bool {
        let Some(pending) = self.proofs.remove(&conn) else { return false };
        hub.drop_link(cx, conn, End::Flushed);
        let proved = hello.node == pending.node;
        self.take_in(cx, hub, pending, proved);
        true
    }

    /// What somebody says who is not above: `Err` when that may not be said to a root.
    pub(super) fn message(
        &mut self,
        cx: &mut Cx,
        hub: &mut Hub,
        (conn, message): (Conn, Message),
    ) -> Result<(), &'static str> {
        match message {
            Message::Join(join) => return self.join(cx, hub, conn, join),
            Message::Report(report) => return self.report(cx, hub, conn, &report),
            Message::Leaving => {
                if let Some(member) = self.controls.remove(&conn) {
                    self.forget(hub, member);
                    self.plan(cx, hub, planner::Event::Leave { member });
                }
            }
            // The port that is proved may refuse this node; it is there all the same.
            Message::Full(_) => {}
            other => return hub.child(cx, conn, other),
        }
        Ok(())
    }

    fn join(
        &mut self,
        cx: &mut Cx,
        hub: &mut Hub,
        conn: Conn,
        join: Join,
    ) -> Result<(), &'static str> {
        let peer = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        let (Some(node), Some(peer)) = (hub.links.node(conn), peer) else { return Ok(()) };
        let address = SocketAddr::new(peer.ip(), join.port);
        let busy = self.proofs.values().any(|pending| pending.control == conn);
        if busy || self.controls.contains_key(&conn) {
            return Err("a second join");
        }
        let port = join.port;
        let pending = Pending { control: conn, node, address, join };
        let room = port != 0 && self.proofs.len() < limits::MESH_PROOFS_MAX;
        match room.then(|| hub.dial(cx, address)).flatten() {
            Some(proof) => {
                cx.arm(proof, Why::MeshHello, limits::MESH_PROOF_PATIENCE);
                self.proofs.insert(proof, pending);
            }
            None => self.take_in(cx, hub, pending, false),
        }
        Ok(())
    }

    /// The answer to a join whose port is proved, or not.
    fn take_in(&mut self, cx: &mut Cx, hub: &mut Hub, pending: Pending, reachable: bool) {
        let Pending { control, node, address, join } = pending;
        if hub.links.get(control).is_none() {
            return;
        }
        let mut held = vec![None; if join.held.is_empty() { 0 } else { self.count() }];
        for (stripe, parent) in &join.held {
            if let Some(slot) = held.get_mut(usize::from(*stripe)) {
                *slot = Some(*parent);
            }
        }
        if self.is_taken(cx, node, (control, address, reachable)) {
            let reason = "a member of that name is there; try again when it is gone".to_owned();
            return self.deny(cx, hub, (control, node), (reason, Message::Wait));
        }
        let (slots, forwards, part) = (usize::from(join.slots), join.forwards, join.part);
        let joining = Joining { name: node, slots, reachable, held, forwards, part };
        let mut plan = self.planner.plan(cx.now.mono, planner::Event::Join(joining));
        match plan.answer.take() {
            Some(Answer::Placed(key)) => {
                let old = self.members.insert(key, Entry { control, address });
                self.controls.insert(control, key);
                hub.links.prove(control);
                if let Some(old) = old.filter(|old| old.control != control) {
                    self.controls.remove(&old.control);
                    hub.drop_link(cx, old.control, End::Flushed);
                }
                hub.stats.joins += 1;
                hub.events.push_back(Event::Entered { node, address });
            }
            Some(Answer::Wait(refusal)) => {
                let reason = refusal.to_string();
                self.deny(cx, hub, (control, node), (reason, Message::Wait));
            }
            Some(Answer::Full(refusal)) => {
                let reason = refusal.to_string();
                self.deny(cx, hub, (control, node), (reason, Message::Full));
            }
            None => {}
        }
        self.carry_out(cx, hub, plan);
    }

    /// Whether a name belongs to a member that is still there. Its own new link is told from a
    /// stranger's by the port: the old address answers to the name, or the old link has to go
    /// first, which silence ends before long.
    fn is_taken(
        &self,
        cx: &Cx,
        node: NodeId,
        (control, address, reachable): (Conn, SocketAddr, bool),
    ) -> bool {
        let known = self.planner.member(node).and_then(|key| self.members.get(key));
        let Some(old) = known.filter(|old| old.control != control) else { return false };
        let itself = reachable && old.address == address;
        !itself && cx.is_open(old.control)
    }

    /// Whether a node is one of its members.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.planner.member(node).is_some()
    }

    fn count(&self) -> usize {
        self.planner.stripes().len()
    }

    fn deny(
        &self,
        cx: &mut Cx,
        hub: &mut Hub,
        (control, node): (Conn, NodeId),
        (reason, message): (String, fn(Denial) -> Message),
    ) {
        let denial = Denial { reason: reason.clone(), roots: self.settings.roots.clone() };
        hub.links.say(cx, control, &message(denial));
        hub.drop_link(cx, control, End::Flushed);
        hub.events.push_back(Event::Denied { node, reason });
    }

    fn report(
        &mut self,
        cx: &mut Cx,
        hub: &mut Hub,
        conn: Conn,
        report: &Report,
    ) -> Result<(), &'static str> {
        let Some(member) = self.controls.get(&conn).copied() else { return Ok(()) };
        let named = report.losses.iter().fold(Stripes::EMPTY, |all, loss| all | loss.stripes);
        if !self.planner.stripes().holds(named) {
            return Err("a loss of a stripe that the channel does not have");
        }
        let Report { sent, received, late, goodput, .. } = *report;
        let health = Health { sent, received, late, goodput };
        self.plan(cx, hub, planner::Event::Report { member, health });
        for loss in &report.losses {
            let Some(from) = self.key(loss.parent) else { continue };
            let to = loss.now.and_then(|now| self.key(now));
            let stripes = loss.stripes;
            self.plan(cx, hub, planner::Event::Strayed { member, stripes, from, to });
        }
        Ok(())
    }

    fn key(&self, node: NodeId) -> Option<Key> {
        let root = (node == self.settings.node).then(|| self.planner.root());
        self.planner.member(node).or(root)
    }

    fn plan(&mut self, cx: &mut Cx, hub: &mut Hub, event: planner::Event) {
        let plan = self.planner.plan(cx.now.mono, event);
        self.carry_out(cx, hub, plan);
    }

    /// Time has passed; once a second.
    pub(super) fn tick(&mut self, cx: &mut Cx, hub: &mut Hub) {
        self.plan(cx, hub, planner::Event::Tick);
    }

    /// Tells everybody whose place has changed.
    fn carry_out(&mut self, cx: &mut Cx, hub: &mut Hub, plan: Plan) {
        for member in plan.dismissed {
            self.dismiss(cx, hub, member);
        }
        if plan.moves.is_empty() && plan.touched.is_empty() {
            return;
        }
        let root = self.planner.root();
        let children = self.named_children(root);
        hub.feed.list(&children, next_seq(hub));
        for member in plan.touched {
            let Some(entry) = self.members.get(member).copied() else { continue };
            let place = self.place(hub, member);
            hub.links.say(cx, entry.control, &Message::Place(place));
        }
    }

    /// Several said that it is gone. If it is not, it may join again.
    fn dismiss(&mut self, cx: &mut Cx, hub: &mut Hub, member: Key) {
        let Some(entry) = self.forget(hub, member) else { return };
        self.controls.remove(&entry.control);
        let reason = "children of yours lost you; join again".to_owned();
        let denial = Denial { reason, roots: Vec::new() };
        hub.links.say(cx, entry.control, &Message::Wait(denial));
        hub.drop_link(cx, entry.control, End::Flushed);
    }

    fn forget(&mut self, hub: &mut Hub, member: Key) -> Option<Entry> {
        let entry = self.members.remove(member)?;
        if let Some(node) = hub.links.node(entry.control) {
            hub.events.push_back(Event::Departed { node });
        }
        Some(entry)
    }

    /// Sends every member to another root; they keep their parents until they have others there.
    pub(super) fn disband(&mut self, cx: &mut Cx, hub: &mut Hub, reason: &str) {
        for conn in core::mem::take(&mut self.proofs).into_keys() {
            hub.drop_link(cx, conn, End::Flushed);
        }
        for (conn, member) in core::mem::take(&mut self.controls) {
            self.members.remove(member);
            let denial = Denial { reason: reason.to_owned(), roots: self.settings.roots.clone() };
            hub.links.say(cx, conn, &Message::Wait(denial));
            hub.drop_link(cx, conn, End::Flushed);
        }
    }

    fn named_children(&self, node: Key) -> Vec<(NodeId, Stripes)> {
        let children = self.planner.children_of(node);
        children.filter_map(|(child, s)| Some((self.planner.name(child)?, s))).collect()
    }

    fn place(&self, hub: &Hub, member: Key) -> Place {
        let mut peers = Vec::new();
        let mut index = |key: Option<Key>| self.peer_index(&mut peers, key?);
        let stripes = 0..self.count();
        let parents = stripes.clone().map(|s| index(self.planner.parent_of(member, s))).collect();
        let heirs = stripes.map(|s| index(self.planner.heir_of(member, s))).collect();
        let helpers = self.planner.helpers_of(member).iter();
        let helpers = helpers.filter_map(|(key, s)| Some((index(Some(*key))?, *s))).collect();
        Place {
            epoch: self.settings.epoch,
            lead: self.settings.lead,
            newest: hub.store.newest().unwrap_or(0),
            oldest: hub.store.first().unwrap_or(0),
            from: next_seq(hub),
            ticket: hub.ticket,
            peers,
            parents,
            heirs,
            helpers,
            children: self.named_children(member),
        }
    }

    /// A node's place in a list of peers, where it is put when it is new.
    fn peer_index(&self, peers: &mut Vec<Peer>, key: Key) -> Option<u8> {
        let node = self.planner.name(key)?;
        let known = peers.iter().position(|peer| peer.node == node);
        let at = known.unwrap_or(peers.len());
        if known.is_none() {
            let address = if key == self.planner.root() {
                self.settings.advertise
            } else {
                self.members.get(key)?.address
            };
            peers.push(Peer { node, address });
        }
        u8::try_from(at).ok().filter(|at| usize::from(*at) < limits::MESH_PEERS_MAX)
    }

    /// What hung on a link that is no more.
    pub(super) fn lost(&mut self, cx: &mut Cx, hub: &mut Hub, conn: Conn) {
        if let Some(pending) = self.proofs.remove(&conn) {
            self.take_in(cx, hub, pending, false);
        }
        if let Some(member) = self.controls.remove(&conn) {
            if let Some(node) = self.planner.name(member) {
                hub.events.push_back(Event::Departed { node });
            }
            self.members.remove(member);
            self.plan(cx, hub, planner::Event::Lost { member });
        }
    }

    pub(super) fn tree(&self, stripe: Option<usize>) -> Vec<(Row, Option<SocketAddr>)> {
        let address = |row: &Row| Some(self.members.get(self.planner.member(row.name)?)?.address);
        self.planner.tree(stripe).into_iter().map(|row| (row, address(&row))).collect()
    }

    pub(super) fn why(&self, node: NodeId) -> Option<planner::Place> {
        self.planner.why(self.planner.member(node)?)
    }

    pub(super) fn members(&self) -> usize {
        self.planner.count()
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.planner.check_invariants();
        for (conn, key) in &self.controls {
            assert!(cx.is_open(*conn), "a member has a link");
            assert!(self.planner.name(*key).is_some(), "a link has a member");
        }
    }
}

/// The block after the newest of which there is anything.
fn next_seq(hub: &Hub) -> u64 {
    hub.store.last().map_or(0, |last| last + 1)
}

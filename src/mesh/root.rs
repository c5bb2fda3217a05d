//! The root of a mesh: takes members in, runs the planner over their control links, tells each its
//! place, and sends each new block to the few that are its own children. It asks nobody for bytes.
//!
//! | control link | told | becomes |
//! |---|---|---|
//! | up | a join with a port | proving: the port is dialled |
//! | proving | the port said its name, or did not in a second | placed, or denied and closed |
//! | placed | a report | the planner hears it |
//! | | leaving | placed elsewhere by the planner while it still serves |
//! | | gone | lost to the planner |

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::base::arena::{Key, Side};
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Span, Why};
use crate::base::wheel::Timer;
use crate::mesh::event::{Airing, Event, RootSettings};
use crate::mesh::feed::Feed;
use crate::mesh::hub::Hub;
use crate::mesh::link::{News, Pulse};
use crate::mesh::planner::{self, Answer, Health, Joining, Plan, Planner, Row};
use crate::mesh::store::{Facts, Verdict};
use crate::mesh::wire::{Denial, Hello, Join, Message, NodeId, Peer, Place, Report, Stripes};

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

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) hub: Hub,
    settings: RootSettings,
    planner: Planner,
    members: Side<Entry>,
    controls: BTreeMap<Conn, Key>,
    /// By the link to the port that is proved.
    proofs: BTreeMap<Conn, Pending>,
    /// Lengths and durations of the last blocks, for the rate of the channel.
    aired: VecDeque<(u64, Duration)>,
    tick: Option<Timer>,
}

impl Root {
    pub(super) fn new(cx: &mut Cx, settings: RootSettings) -> Self {
        let now = cx.now.mono;
        let accepted_max = settings.members_max
            + settings.slots
            + limits::MESH_GUESTS_MAX
            + limits::MESH_PROOFS_MAX;
        let feed = Feed::new(settings.slots, Some(settings.rescue_rate), now);
        let mut hub = Hub::new(settings.node, settings.channel.clone(), feed, accepted_max);
        (hub.epoch, hub.stripes) =
            (Some(settings.epoch), settings.stripes.clamp(1, limits::MESH_STRIPES_MAX));
        hub.set_ticket(settings.ticket);
        let plan = planner::Settings {
            stripes: settings.stripes,
            root_slots: settings.slots,
            members_max: settings.members_max,
            rate: settings.rate,
            seed: cx.rng.next_u64(),
        };
        let planner = Planner::new(settings.node, plan, now);
        let tick = Some(cx.wake(Why::MeshTick, 0, limits::MESH_TICK_EVERY * 4));
        Self {
            hub,
            settings,
            planner,
            members: Side::default(),
            controls: BTreeMap::new(),
            proofs: BTreeMap::new(),
            aired: VecDeque::new(),
            tick,
        }
    }

    /// A block enters the mesh.
    pub(super) fn air(&mut self, cx: &mut Cx, airing: &Airing) {
        let Ok(length) = u32::try_from(airing.len) else { return };
        let stripes = u8::try_from(self.planner.stripes().len()).unwrap_or(1);
        if length == 0 || self.hub.store.last().is_some_and(|last| last >= airing.seq) {
            return;
        }
        let facts = Facts {
            length,
            stripes,
            air: airing.starts_at,
            lasts: airing.lasts,
            movie: airing.movie.clone(),
            name: airing.file.clone(),
        };
        self.hub.store.insert(cx, airing.seq, facts, airing.blob);
        self.reckon_rate(airing);
    }

    /// A channel whose rate is not set has that of its last blocks.
    fn reckon_rate(&mut self, airing: &Airing) {
        self.aired.push_back((airing.len, airing.lasts));
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

    pub(super) fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) {
        if let Verdict::Ready(_) = self.hub.store.hashed(cx, span, hash) {
            self.hub.stats.blocks += 1;
            self.hub.pump_all(cx);
        }
    }

    pub(super) fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        match self.hub.links.data(cx, conn, bytes) {
            None => {}
            Some(News::Hello(hello)) => self.greeted(cx, conn, &hello),
            Some(News::Message(message)) => self.message(cx, conn, message),
            Some(News::Block(_)) => self.throw_out(cx, conn, "nobody sends blocks to a root"),
            Some(News::Bad(why)) => {
                self.hub.turn_away(cx, conn, why);
                self.lost(cx, conn);
            }
        }
    }

    fn throw_out(&mut self, cx: &mut Cx, conn: Conn, why: &str) {
        self.hub.turn_away(cx, conn, why.to_owned());
        self.lost(cx, conn);
    }

    fn greeted(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) {
        if let Some(pending) = self.proofs.remove(&conn) {
            self.hub.drop_link(cx, conn, End::Flushed);
            let proved = hello.node == pending.node;
            return self.take_in(cx, pending, proved);
        }
        self.hub.greet(cx, conn, hello);
    }

    fn message(&mut self, cx: &mut Cx, conn: Conn, message: Message) {
        match message {
            Message::Join(join) => self.join(cx, conn, join),
            Message::Report(report) => self.report(cx, conn, &report),
            Message::Leaving => {
                if let Some(member) = self.controls.remove(&conn) {
                    self.forget(member);
                    self.plan(cx, planner::Event::Leave { member });
                }
            }
            // The port that is proved may refuse this node; it is there all the same.
            Message::Full(_) => {}
            other => {
                if let Err(why) = self.hub.child(cx, conn, other) {
                    self.throw_out(cx, conn, why);
                }
            }
        }
    }

    fn join(&mut self, cx: &mut Cx, conn: Conn, join: Join) {
        let peer = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        let (Some(node), Some(peer)) = (self.hub.links.node(conn), peer) else { return };
        let address = SocketAddr::new(peer.ip(), join.port);
        let busy = self.proofs.values().any(|pending| pending.control == conn);
        if busy || self.controls.contains_key(&conn) {
            return self.throw_out(cx, conn, "a second join");
        }
        let port = join.port;
        let pending = Pending { control: conn, node, address, join };
        if port == 0 || self.proofs.len() >= limits::MESH_PROOFS_MAX {
            return self.take_in(cx, pending, false);
        }
        match self.hub.dial(cx, address) {
            Some(proof) => {
                cx.arm(proof, Why::MeshHello, limits::MESH_PROOF_PATIENCE);
                self.proofs.insert(proof, pending);
            }
            None => self.take_in(cx, pending, false),
        }
    }

    /// The answer to a join whose port is proved, or not.
    fn take_in(&mut self, cx: &mut Cx, pending: Pending, reachable: bool) {
        let Pending { control, node, address, join } = pending;
        if self.hub.links.get(control).is_none() {
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
            return self.turn_down(cx, (control, node), reason, Message::Wait);
        }
        let (slots, forwards) = (usize::from(join.slots), join.forwards);
        let joining = Joining { name: node, slots, reachable, held, forwards };
        let mut plan = self.planner.plan(cx.now.mono, planner::Event::Join(joining));
        match plan.answer.take() {
            Some(Answer::Placed(key)) => {
                let old = self.members.insert(key, Entry { control, address });
                self.controls.insert(control, key);
                self.hub.links.prove(control);
                if let Some(old) = old.filter(|old| old.control != control) {
                    self.controls.remove(&old.control);
                    self.hub.drop_link(cx, old.control, End::Flushed);
                }
                self.hub.stats.joins += 1;
                self.hub.events.push_back(Event::Entered { node, address });
            }
            Some(Answer::Wait(refusal)) => self.deny(cx, (control, node), &refusal, Message::Wait),
            Some(Answer::Full(refusal)) => self.deny(cx, (control, node), &refusal, Message::Full),
            None => {}
        }
        self.carry_out(cx, plan);
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

    fn count(&self) -> usize {
        self.planner.stripes().len()
    }

    fn deny(
        &mut self,
        cx: &mut Cx,
        (control, node): (Conn, NodeId),
        refusal: &planner::Refusal,
        message: fn(Denial) -> Message,
    ) {
        self.turn_down(cx, (control, node), refusal.to_string(), message);
    }

    fn turn_down(
        &mut self,
        cx: &mut Cx,
        (control, node): (Conn, NodeId),
        reason: String,
        message: fn(Denial) -> Message,
    ) {
        let denial = Denial { reason: reason.clone(), roots: self.settings.roots.clone() };
        self.hub.links.say(cx, control, &message(denial));
        self.hub.drop_link(cx, control, End::Flushed);
        self.hub.events.push_back(Event::Denied { node, reason });
    }

    fn report(&mut self, cx: &mut Cx, conn: Conn, report: &Report) {
        let Some(member) = self.controls.get(&conn).copied() else { return };
        let named = report.losses.iter().fold(Stripes::EMPTY, |all, loss| all | loss.stripes);
        if !self.planner.stripes().holds(named) {
            return self.throw_out(cx, conn, "a loss of a stripe that the channel does not have");
        }
        let Report { sent, received, late, goodput, .. } = *report;
        let health = Health { sent, received, late, goodput };
        self.plan(cx, planner::Event::Report { member, health });
        for loss in &report.losses {
            let Some(from) = self.key(loss.parent) else { continue };
            let to = loss.now.and_then(|now| self.key(now));
            let stripes = loss.stripes;
            self.plan(cx, planner::Event::Strayed { member, stripes, from, to });
        }
    }

    fn key(&self, node: NodeId) -> Option<Key> {
        let root = (node == self.settings.node).then(|| self.planner.root());
        self.planner.member(node).or(root)
    }

    fn plan(&mut self, cx: &mut Cx, event: planner::Event) {
        let plan = self.planner.plan(cx.now.mono, event);
        self.carry_out(cx, plan);
    }

    /// Tells everybody whose place has changed.
    fn carry_out(&mut self, cx: &mut Cx, plan: Plan) {
        for member in plan.dismissed {
            self.dismiss(cx, member);
        }
        if plan.moves.is_empty() && plan.touched.is_empty() {
            return;
        }
        let root = self.planner.root();
        let children = self.named_children(root);
        self.hub.feed.list(&children, self.next_seq());
        for member in plan.touched {
            let Some(entry) = self.members.get(member).copied() else { continue };
            let place = self.place(member);
            self.hub.links.say(cx, entry.control, &Message::Place(place));
        }
    }

    /// Several said that it is gone. If it is not, it may join again.
    fn dismiss(&mut self, cx: &mut Cx, member: Key) {
        let Some(entry) = self.forget(member) else { return };
        self.controls.remove(&entry.control);
        let reason = "children of yours lost you; join again".to_owned();
        let denial = Denial { reason, roots: Vec::new() };
        self.hub.links.say(cx, entry.control, &Message::Wait(denial));
        self.hub.drop_link(cx, entry.control, End::Flushed);
    }

    fn forget(&mut self, member: Key) -> Option<Entry> {
        let entry = self.members.remove(member)?;
        if let Some(node) = self.hub.links.node(entry.control) {
            self.hub.events.push_back(Event::Departed { node });
        }
        Some(entry)
    }

    fn next_seq(&self) -> u64 {
        self.hub.store.last().map_or(0, |last| last + 1)
    }

    fn named_children(&self, node: Key) -> Vec<(NodeId, Stripes)> {
        let children = self.planner.children_of(node);
        children.filter_map(|(child, s)| Some((self.planner.name(child)?, s))).collect()
    }

    fn place(&self, member: Key) -> Place {
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
            newest: self.hub.store.newest().unwrap_or(0),
            oldest: self.hub.store.first().unwrap_or(0),
            from: self.next_seq(),
            ticket: self.settings.ticket,
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

    pub(super) fn closed(&mut self, cx: &mut Cx, conn: Conn) {
        self.hub.closed(cx, conn);
        self.lost(cx, conn);
        self.hub.pump_all(cx);
    }

    /// What hung on a link that is no more.
    fn lost(&mut self, cx: &mut Cx, conn: Conn) {
        if let Some(pending) = self.proofs.remove(&conn) {
            self.take_in(cx, pending, false);
        }
        if let Some(member) = self.controls.remove(&conn) {
            if let Some(node) = self.planner.name(member) {
                self.hub.events.push_back(Event::Departed { node });
            }
            self.members.remove(member);
            self.plan(cx, planner::Event::Lost { member });
        }
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        match self.hub.links.timer(cx, conn) {
            Pulse::Beat => self.hub.beat(cx, conn),
            Pulse::Lost => {
                self.hub.drop_link(cx, conn, End::Reset);
                self.lost(cx, conn);
                self.hub.pump_all(cx);
            }
            Pulse::Unknown => cx.close(conn, End::Reset),
        }
    }

    /// [`Why::MeshTick`].
    pub(super) fn timer(&mut self, cx: &mut Cx) {
        self.tick = Some(cx.wake(Why::MeshTick, 0, limits::MESH_TICK_EVERY * 4));
        self.plan(cx, planner::Event::Tick);
        self.hub.sweep(cx);
    }

    /// Closes everything.
    pub(super) fn leave(&mut self, cx: &mut Cx) {
        self.hub.feed.leave();
        let conns: Vec<Conn> = self.hub.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            self.hub.drop_link(cx, conn, End::Flushed);
        }
        self.proofs.clear();
        self.controls.clear();
        if let Some(tick) = self.tick.take() {
            cx.wheel.cancel(tick);
        }
        self.hub.store.clear(cx);
        self.hub.events.push_back(Event::Left);
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

    pub(super) fn timers(&self) -> usize {
        usize::from(self.tick.is_some())
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.hub.check_invariants(cx);
        self.planner.check_invariants();
        for (conn, key) in &self.controls {
            assert!(cx.is_open(*conn), "a member has a link");
            assert!(self.planner.name(*key).is_some(), "a link has a member");
        }
    }
}

//! A member of a mesh: asks a root for a place, takes each stripe from the parent that the place
//! names, sends it on to its children, and sees to it that no block is missed.
//!
//! | control | told | becomes |
//! |---|---|---|
//! | waiting | [`Why::MeshJoin`] | asking: the next root is dialled |
//! | asking | hello | the join is sent |
//! | | place | joined |
//! | | wait, full, gone, silent | waiting, 0.2 s to 10 s with jitter |
//! | joined | place | the stripes move (`intake`) |
//! | | gone, silent, another run | waiting; links, heirs and helpers go on without a root |
//! | | wait: the root stops, or has lost us | waiting, then the next root; all links go on |
//! | any | [`Member::leave`] | leaving: children are told and served for 2 s at most |
//!
//! A member that is set to be the root of a part has, from its first place on, a realm of members
//! that uses its links, blocks and children; before that it asks whoever joins to wait.
//!
//! `intake` has the parents and what becomes of a stripe without one; `repair` finds what is late
//! or wrong, and hands complete blocks up in order; `dispute` asks the root who is right.

mod dispute;
mod gap;
mod home;
mod intake;
mod intakes;
mod leave;
mod part;
mod pull;
mod repair;
mod rest;
mod view;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use litemap::LiteMap;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, End, Facts, Gone, Span, Why};
use crate::base::time::Mono;
use crate::base::wheel::Timer;
use crate::mesh::event::{Event, MemberSettings};
use crate::mesh::feed::Feed;
use crate::mesh::hub::Hub;
use crate::mesh::link::{News, Pulse};
use crate::mesh::realm::{self, Realm};
use crate::mesh::store::Verdict;
use crate::mesh::wire::{Hello, Join, Loss, Message, NodeId, Place, Stripes};

use dispute::Dispute;
use gap::Gaps;
use home::Home;
use intake::Upstream;
use intakes::Intakes;
use pull::Pull;
use repair::Reference;

/// Why a link is lost whose other end says nothing any more.
const SILENT: &str = "is silent";

/// The link to the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Control {
    /// Time will tell.
    Waiting,
    /// A root was dialled, and perhaps has the join.
    Asking(Conn),
    /// A root knows us.
    Joined(Conn),
    /// It is over.
    Left,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) hub: Hub,
    /// The members below, where this is the root of a part and has its own place.
    pub(super) realm: Option<Box<Realm>>,
    settings: Box<MemberSettings>,
    control: Control,
    /// Which root is asked next, or was asked last.
    turn: usize,
    /// How many have been asked in vain since the last place.
    tries: usize,
    /// Roots that another root named.
    named: Vec<SocketAddr>,
    backoff: Duration,
    join_timer: Option<Timer>,
    tick: Option<Timer>,
    ticks: u32,
    /// The look that it passes over, because there will be nothing to do.
    passed: Option<Mono>,
    /// The root that gave us our place.
    root: Option<(NodeId, SocketAddr)>,
    /// How many roots the settings name before that one.
    better: usize,
    /// Where those are dialled whom the last places named.
    peers: LiteMap<NodeId, SocketAddr>,
    helpers: Vec<(NodeId, Stripes)>,
    /// Links that this end made, by who is there.
    ups: LiteMap<NodeId, Box<Upstream>>,
    by_conn: LiteMap<Conn, NodeId>,
    /// One for each stripe of the channel.
    intakes: Intakes,
    pulls: BTreeMap<(u64, usize), Pull>,
    /// The next block to be handed up.
    next: Option<u64>,
    /// Whether a block was handed up.
    begun: bool,
    reference: Option<Reference>,
    /// The newest block that the root told of, and when it did.
    told: (u64, Mono),
    /// The oldest that it has.
    oldest: u64,
    /// The first block that parents send by themselves; what was before has to be asked for.
    pushed: u64,
    /// The newest block that was counted as late.
    late_seq: Option<u64>,
    /// Bytes that came from the root though it is not the parent.
    rescued: u64,
    /// Who sent a wrong stripe, which, and when: it may still say that it was wrong there too.
    suspects: Vec<(NodeId, usize, Mono)>,
    /// Who did not.
    liars: Vec<NodeId>,
    /// Blocks of which different things are said, and when the root was asked.
    disputes: BTreeMap<u64, Dispute>,
    gaps: Box<Gaps>,
    home: Home,
    losses: Vec<Loss>,
    report_at: Mono,
    leaving: Option<Mono>,
}

impl Member {
    pub(super) fn new(cx: &mut Cx, settings: MemberSettings) -> Self {
        let now = cx.now.mono;
        let accepted_max = match &settings.part {
            Some(part) => realm::accepted_max(settings.slots, part.members_max),
            None => settings.slots + limits::MESH_GUESTS_MAX,
        };
        let rescue_rate = settings.part.as_ref().map(|part| part.rescue_rate);
        let feed = Feed::new(settings.slots, rescue_rate, now);
        let name = (settings.node, settings.channel.clone());
        let mut hub = Hub::new(now, name, feed, (accepted_max, true));
        hub.links.from = settings.from;
        let tick = Some(cx.wake(Why::MeshTick, 0, limits::MESH_TICK_EVERY));
        let mut member = Self {
            hub,
            realm: None,
            settings: Box::new(settings),
            control: Control::Waiting,
            turn: 0,
            tries: 0,
            named: Vec::new(),
            backoff: limits::MESH_REJOIN_MIN,
            join_timer: None,
            tick,
            ticks: 0,
            passed: None,
            root: None,
            better: 0,
            peers: LiteMap::new(),
            helpers: Vec::new(),
            ups: LiteMap::new(),
            by_conn: LiteMap::new(),
            intakes: Intakes::default(),
            pulls: BTreeMap::new(),
            next: None,
            begun: false,
            reference: None,
            told: (0, now),
            oldest: 0,
            pushed: 0,
            late_seq: None,
            rescued: 0,
            suspects: Vec::new(),
            liars: Vec::new(),
            disputes: BTreeMap::new(),
            gaps: Box::default(),
            home: Home::new(now),
            losses: Vec::new(),
            report_at: now,
            leaving: None,
        };
        member.ask_root(cx);
        member
    }

    /// The root whose turn it is: those of the settings, then those that another named.
    fn root_in_turn(&self) -> Option<SocketAddr> {
        let all = self.settings.roots.len() + self.named.len();
        let turn = self.turn.checked_rem(all)?;
        self.settings.roots.iter().chain(&self.named).nth(turn).copied()
    }

    fn ask_root(&mut self, cx: &mut Cx) {
        let conn = self.root_in_turn().and_then(|root| self.hub.dial_root(cx, root));
        match conn {
            Some(conn) => self.control = Control::Asking(conn),
            None => drop(self.ask_later(cx)),
        }
    }

    /// Other addresses of roots, because their names mean others now, or better ones are known.
    pub(super) fn set_roots(&mut self, roots: Vec<SocketAddr>) {
        let fresh = roots != self.settings.roots;
        self.settings.roots = roots;
        self.set_root(self.root);
        if fresh && !matches!(self.control, Control::Joined(_)) {
            (self.turn, self.backoff) = (0, limits::MESH_REJOIN_MIN);
        }
        if let Some(realm) = &mut self.realm {
            realm.set_roots(self.settings.roots.clone());
        }
    }

    /// The next root: soon, while there are others that have not been asked since the last place,
    /// else after the backoff, which doubles when every root was asked.
    fn ask_later(&mut self, cx: &mut Cx) -> Duration {
        self.control = Control::Waiting;
        self.turn += 1;
        self.tries = self.tries.saturating_add(1);
        let all = (self.settings.roots.len() + self.named.len()).max(1);
        let wait = if all > 1 && self.tries <= all {
            cx.rng.between(Duration::ZERO, limits::MESH_REJOIN_MIN / 4)
        } else {
            cx.rng.between(self.backoff / 2, self.backoff)
        };
        if self.turn.is_multiple_of(all) {
            self.backoff = (self.backoff * 2).min(limits::MESH_REJOIN_MAX);
            self.hub.events.push_back(Event::Rootless);
        }
        if let Some(old) = self.join_timer.replace(cx.wake(Why::MeshJoin, 0, wait)) {
            cx.wheel.cancel(old);
        }
        wait
    }

    pub(super) fn timer(&mut self, cx: &mut Cx, why: Why) {
        match why {
            Why::MeshJoin => {
                self.join_timer = None;
                if self.control == Control::Waiting && self.leaving.is_none() {
                    self.ask_root(cx);
                }
            }
            Why::MeshTick if self.control != Control::Left => {
                self.tick = None;
                for conn in self.hub.links.due(cx.now.mono) {
                    self.timeout(cx, conn);
                }
                self.look(cx);
                self.look_again(cx);
            }
            _ => {}
        }
    }

    /// What is done at each look.
    fn look(&mut self, cx: &mut Cx) {
        if let Some(since) = self.leaving {
            let served = self.hub.feed.subscribers().len();
            if served == 0 || cx.now.mono.since(since) >= limits::MESH_LEAVE_MAX {
                return self.over(cx);
            }
        }
        self.hub.pump_wants(cx);
        self.repair(cx);
        if !self.intakes.is_calm() {
            self.settle_intakes(cx);
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(4) {
            if let Some(realm) = &mut self.realm {
                realm.tick(cx, &mut self.hub);
            }
            self.hub.sweep(cx);
            self.sweep_upstreams(cx);
        }
        self.note_gaps(cx.now.mono);
        self.look_home(cx);
        self.tell_root(cx);
        self.intakes.look();
    }

    pub(super) fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        let mut next = self.hub.links.data(cx, conn, bytes);
        let mut stirred = false;
        while let Some(news) = next {
            stirred |= !news.is_sign_of_life();
            match news {
                News::Hello(hello) => self.greeted(cx, conn, &hello),
                News::Message(message) => self.message(cx, conn, message),
                News::Block(head) => self.block(cx, conn, &head),
                News::Bad(why) => {
                    self.hub.turn_away(cx, conn, why);
                    self.lost(cx, conn, "sent nonsense");
                }
            }
            next = self.hub.links.more(cx, conn);
        }
        if stirred {
            self.note_gaps(cx.now.mono);
            self.be_awake(cx);
        }
    }

    fn throw_out(&mut self, cx: &mut Cx, conn: Conn, why: &str) {
        self.hub.turn_away(cx, conn, why.to_owned());
        self.lost(cx, conn, "said what it may not");
    }

    pub(super) fn greeted(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) {
        if self.realm.as_mut().is_some_and(|r| r.proved(cx, &mut self.hub, (conn, hello))) {
            return;
        }
        if !self.hub.greet(cx, conn, hello) {
            return self.lost(cx, conn, "is another node than it should be");
        }
        if self.control == Control::Asking(conn) {
            return self.join(cx, conn, hello);
        }
        if self.home_greets(cx, conn, hello) {
            return;
        }
        match self.by_conn.get(&conn) {
            Some(node) if *node != hello.node => {
                self.hub.drop_link(cx, conn, End::Reset);
                self.lost(cx, conn, "is another node than it should be");
            }
            Some(node) => self.upstream_ready(cx, *node),
            None => {}
        }
    }

    fn join(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) {
        let address = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        let before = self.root.map(|(root, _)| root);
        self.set_root(address.map(|address| (hello.node, address)));
        let join = self.join_for(hello, before);
        // What was lost before is in what it holds now.
        self.losses.clear();
        self.hub.links.say(cx, conn, &Message::Join(join));
    }

    /// What a root is asked; `before` is the one before it, if that may be the same.
    fn join_for(&self, hello: &Hello, before: Option<NodeId>) -> Join {
        let same_run = hello.epoch.is_some() && hello.epoch == self.hub.epoch;
        let mut held = if same_run { self.parents() } else { Vec::new() };
        // What the last root sent, this one is asked for: it may be the same after a restart.
        let its = held.iter_mut().filter(|(_, parent)| Some(*parent) == before);
        its.for_each(|(_, parent)| *parent = hello.node);
        let join = Join {
            port: self.settings.port,
            slots: u16::try_from(self.settings.slots.min(limits::MESH_SLOTS_MAX)).unwrap_or(0),
            newest: self.hub.store.newest(),
            forwards: self.hub.feed.forwards(),
            held,
            part: false,
        };
        // The slots of the root of a part are all for its own members.
        match self.settings.part {
            Some(_) => Join { slots: 0, forwards: Stripes::EMPTY, part: true, ..join },
            None => join,
        }
    }

    fn is_control(&self, conn: Conn) -> bool {
        matches!(self.control, Control::Asking(c) | Control::Joined(c) if c == conn)
    }

    fn message(&mut self, cx: &mut Cx, conn: Conn, message: Message) {
        if self.is_control(conn) {
            return self.root_says(cx, conn, message);
        }
        let Some(node) = self.by_conn.get(&conn).copied() else {
            let other = self.home_says(cx, conn, message);
            return other.map_or((), |message| self.below_says(cx, conn, message));
        };
        if !Stripes::first(self.intakes.len()).holds(stripes_named(&message)) {
            return self.throw_out(cx, conn, "a stripe that the channel does not have");
        }
        match message {
            Message::Accept(accept) => self.accepted(cx, node, &accept),
            Message::Refuse(refuse) => self.refused(cx, node, refuse),
            Message::Beat(beat) => self.parent_beat(cx, node, beat),
            Message::Gone(gone) => self.not_there(cx, node, gone),
            Message::Leaving => self.parent_leaves(cx, node),
            Message::Full(_) => {
                self.hub.drop_link(cx, conn, End::Reset);
                self.lost(cx, conn, "turns this node away");
            }
            _ => self.throw_out(cx, conn, "a message that is not a parent's"),
        }
    }

    fn root_says(&mut self, cx: &mut Cx, conn: Conn, message: Message) {
        match message {
            Message::Place(place) => self.placed(cx, conn, &place),
            Message::Wait(denial) | Message::Full(denial) => {
                self.hub.drop_link(cx, conn, End::Flushed);
                let known = |root: &SocketAddr| self.settings.roots.contains(root);
                let others = denial.roots.into_iter().filter(|root| !known(root));
                self.named = others.take(limits::MESH_PEERS_MAX).collect();
                let again_in = self.ask_later(cx);
                self.hub.events.push_back(Event::Full { reason: denial.reason, again_in });
            }
            Message::Beat(beat) => self.told_of(cx.now.mono, beat.newest),
            _ => self.throw_out(cx, conn, "a message that is not a root's"),
        }
    }

    fn placed(&mut self, cx: &mut Cx, conn: Conn, place: &Place) {
        let Some((root, address)) = self.root else { return };
        if self.leaving.is_some() {
            return;
        }
        if self.hub.epoch != Some(place.epoch) {
            self.new_run(cx, place);
        }
        self.hub.show(place.ticket);
        self.hub.stripes = place.parents.len();
        self.found_realm(cx, place);
        if self.control != Control::Joined(conn) {
            // One that has come home has left trees that are whole.
            if !self.home.is_parting() {
                self.cast_off();
            }
            self.control = Control::Joined(conn);
            (self.backoff, self.tries) = (limits::MESH_REJOIN_MIN, 0);
            self.hub.stats.joins += 1;
            self.hub.events.push_back(Event::Joined { root: address, epoch: place.epoch });
        }
        self.told_of(cx.now.mono, place.newest);
        // A root that has nothing yet: the channel begins with the first block that comes.
        self.oldest = if place.from == 0 { u64::MAX } else { place.oldest };
        if self.realm.is_none() {
            self.hub.feed.list(&place.children, place.from);
        }
        self.take_place(cx, place, (root, address));
        self.hub.pump_all(cx);
    }

    /// Another run of the channel has nothing to do with what is here.
    fn new_run(&mut self, cx: &mut Cx, place: &Place) {
        let ups: Vec<Conn> = self.ups.values().map(|up| up.conn).collect();
        for conn in ups.into_iter().chain(self.hub.feed.subscribers()) {
            self.hub.drop_link(cx, conn, End::Reset);
        }
        self.ups.clear();
        self.by_conn.clear();
        self.pulls.clear();
        self.hub.store.clear(cx);
        (self.next, self.begun, self.reference) = (None, false, None);
        (self.told, self.pushed) = ((0, cx.now.mono), 0);
        self.hub.store.floor = 0;
        self.suspects.clear();
        self.liars.clear();
        self.disputes.clear();
        self.late_seq = None;
        self.intakes = Intakes::new(place.parents.len());
        self.hub.begin_run(place.epoch);
    }

    pub(super) fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) {
        let Some(filled) = self.hub.links.filled(cx, conn, upto) else { return };
        let grown = self.hub.store.filled(cx, conn, (filled.upto, filled.done));
        let Some((seq, stripe)) = grown else { return };
        if let Some(node) = self.by_conn.get(&conn).copied() {
            self.heard_from(cx.now.mono, node, stripe);
            self.close_gap(cx.now.mono, node, stripe);
        }
        self.grew(cx.now.mono, seq, stripe);
        let Hub { feed, links, store, .. } = &mut self.hub;
        feed.pump_stripe(cx, links, store, stripe);
    }

    pub(super) fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) {
        let verdict = self.hub.store.hashed(cx, span, hash);
        if verdict != Verdict::None {
            self.judge(cx, verdict);
            self.be_awake(cx);
        }
    }

    pub(super) fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        let Some(seq) = self.hub.store.opened(blob, facts.head) else { return false };
        self.pulls.retain(|(pulled, _), _| *pulled != seq);
        self.confirm(seq);
        self.deliver(cx);
        true
    }

    pub(super) fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        self.hub.closed(cx, conn);
        let why = match why {
            Gone::Reset => "reset the link",
            Gone::Refused => "does not listen",
            Gone::Unreachable => "cannot be reached",
            Gone::TimedOut => "does not answer",
            _ => "closed the link",
        };
        self.lost(cx, conn, why);
        self.note_gaps(cx.now.mono);
        self.hub.pump_all(cx);
        self.be_awake(cx);
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        let node = self.by_conn.get(&conn).copied();
        let fed = node.is_some_and(|node| !self.stripes_from(node).is_empty());
        match self.hub.timer(cx, conn, fed) {
            Pulse::Beat => self.hub.pulse(cx, conn),
            Pulse::Quiet => {}
            Pulse::Lost => {
                self.hub.drop_link(cx, conn, End::Reset);
                self.lost(cx, conn, SILENT);
                // One process has both links; on the other it is missed later.
                let root = self.root.map(|(root, _)| root);
                if let Control::Joined(control) = self.control
                    && fed
                    && node == root
                {
                    self.hub.drop_link(cx, control, End::Reset);
                    self.lost(cx, control, SILENT);
                }
                self.note_gaps(cx.now.mono);
                self.hub.pump_all(cx);
            }
            Pulse::Unknown => cx.close(conn, End::Reset),
        }
    }

    /// What hung on a link that is no more.
    fn lost(&mut self, cx: &mut Cx, conn: Conn, why: &'static str) {
        if self.is_control(conn) && self.leaving.is_none() {
            let root = self.root_in_turn();
            // The same root first: it may only have been restarted. One that is silent was not.
            let joined = matches!(self.control, Control::Joined(_)) && why != SILENT;
            let again_in = self.ask_later(cx);
            self.turn -= usize::from(joined);
            if let Some(root) = root {
                self.hub.events.push_back(Event::RootLost { root, again_in });
            }
        }
        self.home_lost(cx.now.mono, conn);
        if let Some(node) = self.by_conn.remove(&conn) {
            self.upstream_lost(cx, node, conn, why);
        }
        if let Some(realm) = &mut self.realm {
            realm.lost(cx, &mut self.hub, conn);
        }
    }

    /// Bytes that came from the root though it is not the parent.
    pub(super) fn rescued(&self) -> u64 {
        self.rescued
    }

    pub(super) fn timers(&self) -> usize {
        usize::from(self.tick.is_some()) + usize::from(self.join_timer.is_some())
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.hub.check_invariants(cx);
        self.realm.iter().for_each(|realm| realm.check_invariants(cx));
        for (node, up) in &self.ups {
            assert_eq!(self.by_conn.get(&up.conn), Some(node), "both books name a link");
            assert!(cx.is_open(up.conn), "an upstream has a connection");
        }
        self.intakes.check_invariants();
        assert_eq!(self.ups.len(), self.by_conn.len(), "no link is named once only");
        for intake in self.intakes.iter() {
            let known = |node: &NodeId| self.ups.contains_key(node);
            assert!(intake.parent.iter().all(known), "a parent has a link");
            assert!(intake.asked.iter().all(|a| known(&a.node)), "who is asked has a link");
        }
        let waits = matches!(self.control, Control::Waiting) && self.leaving.is_none();
        assert!(!waits || self.join_timer.is_some(), "who waits for a root has a timer");
        assert!((self.control == Control::Left) != self.tick.is_some(), "a member looks around");
    }
}

/// The stripes of which a parent speaks.
fn stripes_named(message: &Message) -> Stripes {
    match message {
        Message::Accept(accept) => accept.stripes | accept.late,
        Message::Refuse(refuse) => refuse.stripes,
        Message::Gone(gone) => Stripes::one(usize::from(gone.stripe)),
        Message::Beat(beat) => beat.paths.iter().fold(beat.late, |all, path| all | path.stripes),
        _ => Stripes::EMPTY,
    }
}

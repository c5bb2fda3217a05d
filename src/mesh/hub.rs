//! What a root and a member have in common: their links, their blocks, their children, and the way
//! that each stripe takes to them. Called by both; asks no one for bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::stats::Histogram;
use crate::base::text::escaped;
use crate::base::time::Mono;
use crate::mesh::complaints::Complaints;
use crate::mesh::event::{BlockRow, Event, LinkRow, Stats};
use crate::mesh::feed::Feed;
use crate::mesh::link::{Link, Links, Pulse, Use};
use crate::mesh::store::Store;
use crate::mesh::wire::{
    Beat, Denial, Gone, Hello, Message, NodeId, Path, Refuse, Refused, Stripes,
};

/// The common part.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) me: NodeId,
    pub(super) channel: String,
    pub(super) epoch: Option<u64>,
    pub(super) ticket: [u8; 16],
    /// What other roots of the same run gave to be shown, newest last: links made before a move
    /// from one root to another stay good, and a root that was restarted gives a new one, but not
    /// to all at once.
    old_tickets: VecDeque<[u8; 16]>,
    /// Stripes of the channel; 0 while that is not known.
    pub(super) stripes: usize,
    pub(super) links: Links,
    pub(super) store: Store,
    pub(super) feed: Feed,
    pub(super) events: VecDeque<Event>,
    /// By stripe: the nodes between this one and the root, the parent first, the root last.
    pub(super) paths: Vec<Vec<NodeId>>,
    /// Stripes that are late here.
    pub(super) late: Stripes,
    pub(super) stats: Stats,
    /// From the loss of a stripe's parent to the first byte of another.
    pub(super) repairs: Histogram,
    /// Links that others may have made here.
    pub(super) accepted_max: usize,
    complaints: Complaints,
}

impl Hub {
    pub(super) fn new(
        now: Mono,
        (me, channel): (NodeId, String),
        feed: Feed,
        (accepted_max, looks): (usize, bool),
    ) -> Self {
        Self {
            me,
            channel,
            epoch: None,
            ticket: [0; 16],
            old_tickets: VecDeque::new(),
            stripes: 0,
            links: Links::new(now, looks),
            store: Store::default(),
            feed,
            events: VecDeque::new(),
            paths: vec![Vec::new(); limits::MESH_STRIPES_MAX],
            late: Stripes::EMPTY,
            stats: Stats::default(),
            repairs: Histogram::default(),
            accepted_max,
            complaints: Complaints::default(),
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            node: self.me,
            epoch: self.epoch,
            ticket: self.ticket,
            channel: self.channel.clone(),
        }
    }

    /// What is shown to others from now on.
    pub(super) fn show(&mut self, ticket: [u8; 16]) {
        if ticket != self.ticket {
            let old = core::mem::replace(&mut self.ticket, ticket);
            if old != [0; 16] {
                self.old_tickets.push_back(old);
            }
            if self.old_tickets.len() > limits::MESH_ROOTS_MAX {
                self.old_tickets.pop_front();
            }
        }
    }

    /// Takes part in another run from now on, in which no ticket of the old one is good.
    pub(super) fn begin_run(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
        self.ticket = [0; 16];
        self.old_tickets.clear();
    }

    /// Whether these bytes were given out by a root of this run.
    fn shows_ticket(&self, ticket: [u8; 16]) -> bool {
        let given = ticket == self.ticket || self.old_tickets.contains(&ticket);
        self.epoch.is_some() && given && ticket != [0; 16]
    }

    /// Dials a root, whatever run it is of.
    pub(super) fn dial_root(&mut self, cx: &mut Cx, to: SocketAddr) -> Option<Conn> {
        let hello = Hello { epoch: None, ..self.hello() };
        self.links.dial(cx, to, &hello)
    }

    pub(super) fn dial(&mut self, cx: &mut Cx, to: SocketAddr) -> Option<Conn> {
        let hello = self.hello();
        self.links.dial(cx, to, &hello)
    }

    /// Takes a link from the lobby, and answers its hello, unless there are too many.
    pub(super) fn admit(&mut self, cx: &mut Cx, conn: Conn, link: Link) -> bool {
        let peer = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        let unproven = peer.map_or(0, |peer| self.links.unproven(peer.ip()));
        let full = self.links.accepted() >= self.accepted_max;
        // Of a member, which has less room, one address gets no more than a quarter.
        let crowd = unproven >= limits::MESH_UNPROVEN_MAX.min(self.accepted_max / 4);
        self.links.adopt(cx, conn, link);
        if full {
            self.turn_away(cx, conn, "as many links as there may be".to_owned());
        } else if crowd {
            let why = format!("{unproven} links from there have not been let in; no more for now");
            self.turn_away(cx, conn, why);
        } else {
            let hello = self.hello();
            self.links.say(cx, conn, &Message::Hello(hello));
        }
        !full && !crowd
    }

    /// Whether whoever says hello belongs here; one that does not is told so and closed.
    pub(super) fn greet(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) -> bool {
        let other_run = self.epoch.zip(hello.epoch).is_some_and(|(ours, its)| ours != its);
        let reason = if hello.channel != self.channel {
            let its = escaped(hello.channel.as_bytes());
            format!("this is channel {:?}, not \"{its}\"", self.channel)
        } else if hello.node == self.me {
            "that is the name of this very node".to_owned()
        } else if other_run && self.links.get(conn).is_some_and(|link| !link.dialled) {
            "that is another run of the channel; join again".to_owned()
        } else {
            if self.shows_ticket(hello.ticket) {
                self.links.prove(conn);
            }
            return true;
        };
        self.turn_away(cx, conn, reason);
        false
    }

    /// Says why not, and closes.
    pub(super) fn turn_away(&mut self, cx: &mut Cx, conn: Conn, reason: String) {
        self.nonsense(cx, conn, reason.clone());
        let denial = Denial { reason, roots: Vec::new() };
        self.links.say(cx, conn, &Message::Full(denial));
        self.drop_link(cx, conn, End::Flushed);
    }

    /// Counts what a peer said wrongly.
    pub(super) fn nonsense(&mut self, cx: &Cx, conn: Conn, why: String) {
        let address = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        self.complain(cx, address, why);
    }

    /// Counts it, and puts it into words once a minute for each address.
    fn complain(&mut self, cx: &Cx, address: Option<SocketAddr>, why: String) {
        self.stats.nonsense += 1;
        if self.complaints.may_say(cx.now.mono, address) {
            self.events.push_back(Event::Nonsense { address, why });
        }
    }

    /// Ends a link and forgets what hangs on it; the end of its connection then finds nothing.
    pub(super) fn drop_link(&mut self, cx: &mut Cx, conn: Conn, end: End) {
        if let Some(link) = self.links.close(cx, conn, end) {
            self.count(link.sent, link.received);
        }
        self.store.gone(conn);
        self.feed.gone(conn);
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, cx: &Cx, conn: Conn) -> bool {
        let Some(link) = self.links.closed(cx.now.mono, conn) else { return false };
        self.count(link.sent, link.received);
        self.store.gone(conn);
        self.feed.gone(conn);
        true
    }

    fn count(&mut self, sent: u64, received: u64) {
        self.stats.bytes_sent += sent;
        self.stats.bytes_received += received;
    }

    /// The counters, with what the links that are there have carried.
    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.stats;
        for (_, link) in self.links.iter() {
            stats.bytes_sent += link.sent;
            stats.bytes_received += link.received;
        }
        stats.bytes_wasted = self.store.wasted;
        stats.children_most = self.feed.served_most as u64;
        stats
    }

    /// What a child may say. `Err`: it is no message of a child, or not of one of this run.
    pub(super) fn child(
        &mut self,
        cx: &mut Cx,
        conn: Conn,
        message: Message,
    ) -> Result<(), &'static str> {
        let Some(link) = self.links.get(conn) else { return Ok(()) };
        let proven = link.proven && !link.dialled;
        let shows = proven || self.shows_ticket(link.ticket());
        let Some(node) = link.node else { return Err("a message before any hello") };
        if self.epoch.is_none() {
            return self.too_early(cx, conn, &message);
        }
        if shows {
            self.links.prove(conn);
            return self.own_child(cx, (conn, node), message);
        }
        match message {
            Message::Subscribe(subscribe) => {
                let stripes = subscribe.stripes.iter().map(|(s, _)| usize::from(*s)).collect();
                let refuse = Refuse { stripes, why: Refused::Ticket };
                self.links.say(cx, conn, &Message::Refuse(refuse));
                Err("the ticket is not of this run of the channel; join again")
            }
            Message::Want(_) | Message::Release(_) => {
                Err("the ticket is not of this run of the channel; join again")
            }
            Message::Beat(_) => Ok(()),
            _ => Err("a message that is not for this node"),
        }
    }

    /// What somebody says who was told of this node before this node was told of anything.
    fn too_early(
        &mut self,
        cx: &mut Cx,
        conn: Conn,
        message: &Message,
    ) -> Result<(), &'static str> {
        let answer = match message {
            Message::Subscribe(subscribe) => {
                let stripes = subscribe.stripes.iter().map(|(s, _)| usize::from(*s)).collect();
                Message::Refuse(Refuse { stripes, why: Refused::UnknownEpoch })
            }
            Message::Want(want) => Message::Gone(Gone { seq: want.seq, stripe: want.stripe }),
            Message::Release(_) | Message::Beat(_) => return Ok(()),
            _ => return Err("a message that is not for this node"),
        };
        self.links.say(cx, conn, &answer);
        Ok(())
    }

    fn own_child(
        &mut self,
        cx: &mut Cx,
        (conn, node): (Conn, NodeId),
        message: Message,
    ) -> Result<(), &'static str> {
        let (now, all) = (cx.now.mono, Stripes::first(self.stripes));
        match message {
            Message::Subscribe(subscribe) => {
                let asked = subscribe.stripes.iter().map(|(s, _)| usize::from(*s));
                if !all.holds(asked.collect()) {
                    return Err("a subscription to a stripe that the channel does not have");
                }
                if subscribe.stripes.iter().any(|at| self.is_outside(subscribe.first, *at)) {
                    return Err("a subscription from a byte outside the stripe");
                }
                self.feed.enter(now, conn, node);
                let ways = (&self.paths[..], self.late);
                self.feed.subscribe(cx, &mut self.links, (conn, &subscribe), ways);
                self.beat(cx, conn);
                self.links.hasten(cx, conn);
                self.feed.pump_all(cx, &mut self.links, &self.store);
            }
            Message::Release(release) if !all.holds(release.stripes) => {
                return Err("a release of a stripe that the channel does not have");
            }
            Message::Release(release) => {
                self.feed.release(now, conn, &release);
                self.feed.pump_all(cx, &mut self.links, &self.store);
            }
            Message::Want(want) if !all.has(usize::from(want.stripe)) => {
                return Err("a request for a stripe that the channel does not have");
            }
            Message::Want(want) if self.is_outside(want.seq, (want.stripe, want.range.start)) => {
                return Err("a request for bytes outside the stripe");
            }
            Message::Want(want) => {
                self.feed.enter(now, conn, node);
                self.feed.want(cx, &mut self.links, (conn, want), &self.store);
                self.feed.pump(cx, &mut self.links, &self.store, conn);
            }
            Message::Beat(_) => {}
            _ => return Err("a message that is not for this node"),
        }
        Ok(())
    }

    /// Whether a stripe of a block that is here ends before a byte. Its very end is none of its
    /// bytes but may be asked for: that is where the next block begins.
    fn is_outside(&self, seq: u64, (stripe, offset): (u8, u32)) -> bool {
        let part = self.store.get(seq).and_then(|held| held.parts.get(usize::from(stripe)));
        part.is_some_and(|part| u64::from(offset) > part.len)
    }

    /// The kernel took bytes.
    pub(super) fn sent(&mut self, cx: &mut Cx, conn: Conn, bytes: u64) {
        self.links.sent(cx.now.mono, conn, bytes);
        self.feed.pump_on(cx, &mut self.links, &self.store, conn);
    }

    /// Some time has passed, which may be too long for whoever asked for something.
    pub(super) fn pump_wants(&mut self, cx: &mut Cx) {
        self.feed.pump_wants(cx, &mut self.links, &self.store);
    }

    /// Something changed that may let many go on.
    pub(super) fn pump_all(&mut self, cx: &mut Cx) {
        self.feed.pump_all(cx, &mut self.links, &self.store);
    }

    /// The timer of a link; `fed` when stripes come over it.
    pub(super) fn timer(&mut self, cx: &mut Cx, conn: Conn, fed: bool) -> Pulse {
        let stripes = self.feed.stripes_of(conn);
        let used = Use { fed, feeds: !stripes.is_empty(), news: self.late.meets(stripes) };
        self.links.timer(cx, conn, used)
    }

    /// A sign of life when nothing else is to be told: the ways are those of the last beat.
    pub(super) fn pulse(&mut self, cx: &mut Cx, conn: Conn) {
        let late = self.late & self.feed.stripes_of(conn);
        let newest = self.store.newest().unwrap_or(0);
        self.links.say(cx, conn, &Message::Beat(Beat { newest, late, paths: Vec::new() }));
    }

    /// What comes which way, and what is late.
    pub(super) fn beat(&mut self, cx: &mut Cx, conn: Conn) {
        let stripes = self.feed.stripes_of(conn);
        let mut paths: Vec<Path> = Vec::new();
        for s in stripes.iter() {
            let nodes = &self.paths[s];
            match paths.iter_mut().find(|path| path.nodes == *nodes) {
                Some(path) => path.stripes.add(s),
                None => paths.push(Path { stripes: Stripes::one(s), nodes: nodes.clone() }),
            }
        }
        let late = self.late & stripes;
        let beat = Beat { newest: self.store.newest().unwrap_or(0), late, paths };
        self.links.say(cx, conn, &Message::Beat(beat));
    }

    /// Guests that have asked for nothing for long, and those that never showed who they are.
    pub(super) fn sweep(&mut self, cx: &mut Cx) {
        let (idle, strangers) = (self.feed.idle(cx.now.mono), self.links.strangers(cx.now.mono));
        for conn in idle.into_iter().chain(strangers) {
            self.drop_link(cx, conn, End::Flushed);
        }
    }

    /// The links to children, for people.
    pub(super) fn child_rows(&self, cx: &Cx) -> Vec<LinkRow> {
        let last = self.store.last().unwrap_or(0);
        let row = |fed: crate::mesh::feed::Fed| {
            let link = self.links.get(fed.conn);
            LinkRow {
                sends_to_us: false,
                node: Some(fed.node),
                address: cx.peers.get(fed.conn.0).and_then(|peer| peer.addr),
                stripes: fed.stripes,
                bytes: link.map_or(0, |link| link.sent),
                queued: link.map_or(0, Link::queued),
                lag: fed.seq.map_or(0, |seq| last.saturating_sub(seq)),
            }
        };
        self.feed.rows().into_iter().map(row).collect()
    }

    /// The blocks, for people.
    pub(super) fn block_rows(&self) -> Vec<BlockRow> {
        let row = |(seq, held): (u64, &crate::mesh::store::Held)| BlockRow {
            seq,
            file: held.facts.name.clone(),
            bytes: (u64::from(held.facts.length), held.parts.iter().map(|p| p.filled).sum()),
            starts_at: held.facts.air,
            whole: held.is_whole(),
        };
        self.store.iter().map(row).collect()
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.store.check_invariants(cx);
        self.feed.check_invariants(cx);
        self.links.check_invariants();
        self.complaints.check_invariants();
        for (conn, _) in self.links.iter() {
            assert!(cx.is_open(conn), "a link has a connection");
        }
    }
}

//! The children of a node, on a root and on a member alike: who has a slot, which stripes each is
//! sent from where on, what each asked for besides. Puts bytes on links as they come in; does not
//! know where they come from.
//!
//! | child | told | becomes |
//! |---|---|---|
//! | guest | wants bytes | answered with a block, or gone |
//! | | subscribes, a slot is free | served |
//! | | subscribes, no slot is free, but the plan names it | waiting, without a slot |
//! | | subscribes otherwise | refused |
//! | waiting | the plan's first block is here | served, in the slot of one not in the plan |
//! | served | releases its last stripe | guest |
//!
//! A stripe is sent as it arrives (cut-through), in pieces that are there already: a stripe that
//! stops in the middle never stops the link.

mod wants;

use std::collections::{BTreeMap, VecDeque};

use litemap::LiteMap;

use crate::base::limits;
use crate::base::port::{Conn, Cx, Payload};
use crate::base::time::Mono;
use crate::mesh::link::Links;
use crate::mesh::store::Store;
use crate::mesh::wire::{
    self, Accept, Message, NodeId, Refuse, Refused, Release, Stripes, Subscribe,
};

/// Where a child is in a stripe: the next byte that it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    stripe: usize,
    seq: u64,
    offset: u64,
    /// The first block that it needs no longer.
    until: Option<u64>,
}

/// A child. What is asked of all children again and again stands in their map.
#[derive(Debug)]
struct Child {
    /// Which stripes it is sent.
    stripes: Stripes,
    served: bool,
    /// Whether the last thing queued for it was of its stripes.
    pushed: bool,
    /// Whether there may be more for it than its link has room for.
    held_back: bool,
    node: NodeId,
    account: Box<Account>,
}

#[derive(Debug)]
struct Account {
    /// One for each stripe that it is sent, lowest first.
    cursors: Vec<Cursor>,
    wants: VecDeque<wants::Asked>,
    /// When it last had a subscription or asked for something.
    used: Mono,
}

impl Child {
    fn cursor(&self, stripe: usize) -> Option<&Cursor> {
        self.account.cursors.iter().find(|cursor| cursor.stripe == stripe)
    }

    fn cursor_mut(&mut self, stripe: usize) -> Option<&mut Cursor> {
        self.account.cursors.iter_mut().find(|cursor| cursor.stripe == stripe)
    }

    /// Begins with a stripe, or goes on with it from elsewhere.
    fn put(&mut self, cursor: Cursor) {
        if let Some(old) = self.cursor_mut(cursor.stripe) {
            *old = cursor;
            return;
        }
        let at = self.account.cursors.partition_point(|other| other.stripe < cursor.stripe);
        self.account.cursors.insert(at, cursor);
        self.stripes.add(cursor.stripe);
    }

    /// Is sent nothing from some stripes any more.
    fn drop_stripes(&mut self, stripes: Stripes) {
        self.account.cursors.retain(|cursor| !stripes.has(cursor.stripe));
        self.stripes -= stripes;
    }
}

/// A bound on bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bucket {
    rate: u64,
    level: u64,
    at: Mono,
}

impl Bucket {
    /// Whether so many bytes may go now; they are taken out.
    fn take(&mut self, now: Mono, bytes: u64) -> bool {
        let nanos = now.since(self.at).as_nanos();
        let come = u64::try_from(u128::from(self.rate) * nanos / 1_000_000_000).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(come).min(self.rate.saturating_mul(2));
        self.at = now;
        let enough = self.level >= bytes;
        if enough {
            self.level -= bytes;
        }
        enough
    }
}

/// One row of what a node sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fed {
    pub(super) conn: Conn,
    pub(super) node: NodeId,
    pub(super) stripes: Stripes,
    /// The block that it is sent now, in the stripe furthest behind.
    pub(super) seq: Option<u64>,
}

/// The children of a node.
#[derive(Debug)]
pub(super) struct Feed {
    slots: usize,
    children: LiteMap<Conn, Child>,
    listed: BTreeMap<NodeId, Stripes>,
    listed_from: u64,
    leaving: bool,
    rescue: Option<Bucket>,
    /// Requests of all children that wait, and whose was answered last.
    wanted: usize,
    answered: Option<Conn>,
    /// Whether a slot has become free of itself, for whoever waits for one.
    freed: bool,
    /// The most children that ever were served at once.
    pub(super) served_most: usize,
}

impl Feed {
    /// Nobody, with so many slots. What is asked for is bounded by `rescue` bytes a second.
    pub(super) fn new(slots: usize, rescue: Option<u64>, now: Mono) -> Self {
        Self {
            slots,
            children: LiteMap::new(),
            listed: BTreeMap::new(),
            listed_from: 0,
            leaving: false,
            rescue: rescue.map(|rate| Bucket { rate, level: rate, at: now }),
            wanted: 0,
            answered: None,
            freed: false,
            served_most: 0,
        }
    }

    /// Whom the plan names, from which block on.
    pub(super) fn list(&mut self, children: &[(NodeId, Stripes)], from: u64) {
        self.listed = children.iter().copied().collect();
        self.listed_from = from;
    }

    /// A link to somebody who may be a child; a second time does nothing.
    pub(super) fn enter(&mut self, now: Mono, conn: Conn, node: NodeId) {
        if self.children.contains_key(&conn) {
            return;
        }
        let account = Account { cursors: Vec::new(), wants: VecDeque::new(), used: now };
        let child = Child {
            stripes: Stripes::EMPTY,
            served: false,
            pushed: false,
            held_back: false,
            node,
            account: Box::new(account),
        };
        self.children.insert(conn, child);
    }

    /// A link is gone; its slot is free.
    pub(super) fn gone(&mut self, conn: Conn) -> Option<NodeId> {
        let child = self.children.remove(&conn)?;
        self.wanted -= child.account.wants.len();
        Some(child.node)
    }

    /// Children that have slots.
    pub(super) fn served(&self) -> usize {
        self.children.values().filter(|child| child.served).count()
    }

    /// Whether somebody waits for bytes that it has asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.wanted > 0
    }

    /// Stripes that somebody is sent.
    pub(super) fn forwards(&self) -> Stripes {
        let served = self.children.values().filter(|child| child.served);
        served.fold(Stripes::EMPTY, |set, child| set | child.stripes)
    }

    /// Stripes that somebody is sent or waits for; all, when somebody waits for a slot.
    pub(super) fn subscribed(&self) -> Stripes {
        let each = self.children.values().map(|child| {
            let waits = !child.served && !child.stripes.is_empty();
            if waits { Stripes::first(limits::MESH_STRIPES_MAX) } else { child.stripes }
        });
        each.fold(Stripes::EMPTY, |set, stripes| set | stripes)
    }

    /// The links of all who have a slot or wait for one.
    pub(super) fn subscribers(&self) -> Vec<Conn> {
        let subscribed = self.children.iter().filter(|(_, child)| !child.stripes.is_empty());
        subscribed.map(|(conn, _)| *conn).collect()
    }

    /// What goes over a link.
    pub(super) fn stripes_of(&self, conn: Conn) -> Stripes {
        self.children.get(&conn).map_or(Stripes::EMPTY, |child| child.stripes)
    }

    /// Everybody who is sent something.
    pub(super) fn rows(&self) -> Vec<Fed> {
        let row = |(conn, child): (&Conn, &Child)| Fed {
            conn: *conn,
            node: child.node,
            stripes: child.stripes,
            seq: child.account.cursors.iter().map(|cursor| cursor.seq).min(),
        };
        self.children.iter().map(row).collect()
    }

    /// Nobody new is taken from now on.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// A child asks for stripes; `paths` is where ours come from, `late` what is late here.
    pub(super) fn subscribe(
        &mut self,
        cx: &mut Cx,
        links: &mut Links,
        (conn, subscribe): (Conn, &Subscribe),
        (paths, late): (&[Vec<NodeId>], Stripes),
    ) {
        let Some(node) = self.children.get(&conn).map(|child| child.node) else { return };
        let stripes = subscribe.stripes.iter().map(|(s, _)| usize::from(*s));
        let asked: Stripes = stripes.collect();
        let above = |s: &usize| paths.get(*s).is_some_and(|path| path.contains(&node));
        let loops: Stripes = asked.iter().filter(above).collect();
        let (refused, why) = if self.leaving {
            (asked, Refused::Leaving)
        } else if !loops.is_empty() {
            (loops, Refused::WouldLoop)
        } else if !self.find_slot(cx, links, conn, subscribe.instead) {
            (asked, Refused::NoSlot)
        } else {
            (Stripes::EMPTY, Refused::NoSlot)
        };
        if !refused.is_empty() {
            links.say(cx, conn, &Message::Refuse(Refuse { stripes: refused, why }));
        }
        let accepted = asked - refused;
        if accepted.is_empty() || (refused == loops && !self.find_slot(cx, links, conn, None)) {
            return;
        }
        self.enroll(cx.now.mono, conn, subscribe, accepted);
        let accept = Accept { stripes: accepted, first: subscribe.first, late: late & accepted };
        links.say(cx, conn, &Message::Accept(accept));
    }

    fn enroll(&mut self, now: Mono, conn: Conn, subscribe: &Subscribe, accepted: Stripes) {
        let free = self.served() < self.slots;
        let Some(child) = self.children.get_mut(&conn) else { return };
        for (stripe, offset) in &subscribe.stripes {
            let s = usize::from(*stripe);
            if accepted.has(s) {
                let asked = (subscribe.first, u64::from(*offset));
                // Who takes the stripe already has what went before elsewhere, and skips it.
                let lasting = child.cursor(s).filter(|cursor| cursor.until.is_none());
                let (seq, offset) = lasting.map_or(asked, |old| asked.max((old.seq, old.offset)));
                child.put(Cursor { stripe: s, seq, offset, until: None });
            }
        }
        child.account.used = now;
        child.served |= free;
        self.served_most = self.served_most.max(self.served());
    }

    /// Whether a child may have a slot now, or wait for one.
    fn find_slot(
        &mut self,
        cx: &mut Cx,
        links: &mut Links,
        conn: Conn,
        instead: Option<NodeId>,
    ) -> bool {
        let Some(child) = self.children.get(&conn) else { return false };
        if child.served || self.served() < self.slots {
            return true;
        }
        if self.slots > 0 && self.listed.contains_key(&child.node) {
            return true;
        }
        // A dead child's slot is given away only when it was not heard of itself.
        let silent = |conn: &Conn| {
            let link = links.get(*conn);
            link.is_none_or(|l| cx.now.mono.since(l.heard) > limits::MESH_CHILD_BEAT_EVERY * 3 / 2)
        };
        let dead = self.children.iter().find(|(_, other)| Some(other.node) == instead);
        let Some(dead) = dead.map(|(conn, _)| *conn).filter(silent) else { return false };
        self.strike(cx, links, dead, Refused::Displaced);
        true
    }

    /// Takes a child's slot away.
    fn strike(&mut self, cx: &mut Cx, links: &mut Links, conn: Conn, why: Refused) {
        let Some(child) = self.children.get_mut(&conn) else { return };
        let stripes = child.stripes;
        child.drop_stripes(stripes);
        (child.served, child.account.used) = (false, cx.now.mono);
        if !stripes.is_empty() {
            links.say(cx, conn, &Message::Refuse(Refuse { stripes, why }));
        }
    }

    /// A child needs stripes no longer.
    pub(super) fn release(&mut self, now: Mono, conn: Conn, release: &Release) {
        let Some(child) = self.children.get_mut(&conn) else { return };
        for s in release.stripes.iter() {
            let Some(cursor) = child.cursor_mut(s) else { continue };
            cursor.until = Some(release.from);
            if cursor.seq >= release.from {
                child.drop_stripes(Stripes::one(s));
            }
        }
        child.rest(now);
    }

    /// Gives waiting children their slots, when the block of the plan is here.
    fn promote(&mut self, cx: &mut Cx, links: &mut Links, store: &Store) {
        let waits = |child: &Child| !child.served && !child.stripes.is_empty();
        let due = store.last().is_some_and(|last| last >= self.listed_from);
        while let Some((conn, node)) =
            self.children.iter().find(|(_, c)| waits(c)).map(|(conn, child)| (*conn, child.node))
        {
            if self.served() >= self.slots {
                let listed = |child: &Child| self.listed.contains_key(&child.node);
                let other = self.children.iter().find(|(_, c)| c.served && !listed(c));
                let other = other.map(|(conn, _)| *conn);
                let Some(other) = other.filter(|_| due && self.listed.contains_key(&node)) else {
                    return;
                };
                self.strike(cx, links, other, Refused::Displaced);
            }
            if let Some(child) = self.children.get_mut(&conn) {
                child.served = true;
            }
            self.served_most = self.served_most.max(self.served());
        }
    }

    /// Puts on every link what there is for it.
    pub(super) fn pump_all(&mut self, cx: &mut Cx, links: &mut Links, store: &Store) {
        for _ in 0..=self.slots {
            self.freed = false;
            self.promote(cx, links, store);
            let conns: Vec<Conn> = self.children.keys().copied().collect();
            for conn in conns {
                self.pump_one(cx, links, store, conn);
            }
            if !self.freed {
                break;
            }
        }
        self.pump_wants(cx, links, store);
    }

    /// The same when one stripe grew.
    pub(super) fn pump_stripe(
        &mut self,
        cx: &mut Cx,
        links: &mut Links,
        store: &Store,
        stripe: usize,
    ) {
        let due = self.children.iter().filter(|(_, child)| child.stripes.has(stripe));
        let due: Vec<Conn> = due.map(|(conn, _)| *conn).collect();
        for conn in due {
            self.pump_one(cx, links, store, conn);
        }
        self.pass_on(cx, links, store);
    }

    /// The kernel took bytes of a link: puts on it what it had no room for.
    pub(super) fn pump_on(&mut self, cx: &mut Cx, links: &mut Links, store: &Store, conn: Conn) {
        if self.children.get(&conn).is_some_and(|child| child.held_back) {
            self.pump_one(cx, links, store, conn);
            self.pass_on(cx, links, store);
        }
        self.pump_wants(cx, links, store);
    }

    /// Puts on a link as much as it takes.
    pub(super) fn pump(&mut self, cx: &mut Cx, links: &mut Links, store: &Store, conn: Conn) {
        self.pump_one(cx, links, store, conn);
        self.pass_on(cx, links, store);
        self.pump_wants(cx, links, store);
    }

    /// A child that was through with its last block has left its slot: to whoever waits.
    fn pass_on(&mut self, cx: &mut Cx, links: &mut Links, store: &Store) {
        if self.freed {
            self.pump_all(cx, links, store);
        }
    }

    fn pump_one(&mut self, cx: &mut Cx, links: &mut Links, store: &Store, conn: Conn) {
        let Some(child) = self.children.get_mut(&conn) else { return };
        loop {
            child.held_back = !links.has_room(conn);
            if child.held_back {
                break;
            }
            let Some(payload) = child.next_piece(store) else { break };
            (child.account.used, child.pushed) = (cx.now.mono, true);
            links.send(cx, conn, payload);
        }
        let served = child.served;
        child.rest(cx.now.mono);
        self.freed |= served && !child.served;
    }

    /// Links that carry nothing and have not for long.
    pub(super) fn idle(&self, now: Mono) -> Vec<Conn> {
        let idle = |child: &Child| {
            child.stripes.is_empty() && now.since(child.account.used) > limits::MESH_IDLE_MAX
        };
        self.children.iter().filter(|(_, child)| idle(child)).map(|(conn, _)| *conn).collect()
    }

    /// Looks the books through.
    pub(super) fn check_invariants(&self, cx: &Cx) {
        let wanted: usize = self.children.values().map(|child| child.account.wants.len()).sum();
        assert_eq!(wanted, self.wanted, "requests are counted");
        assert!(self.served() <= self.slots && self.served_most <= self.slots, "slots are a limit");
        for (conn, child) in &self.children {
            assert!(cx.is_open(*conn), "a child has a link");
            assert!(child.account.wants.len() <= limits::MESH_WANTS_MAX, "requests are bounded");
            assert!(!child.served || !child.account.cursors.is_empty(), "a slot is for somebody");
            let ascends = child.account.cursors.is_sorted_by(|a, b| a.stripe < b.stripe);
            assert!(ascends, "a stripe has one cursor");
            let stripes: Stripes =
                child.account.cursors.iter().map(|cursor| cursor.stripe).collect();
            assert_eq!(stripes, child.stripes, "both books name the stripes");
        }
    }
}

impl Child {
    /// Gives the slot back when nothing is sent any more.
    fn rest(&mut self, now: Mono) {
        if self.served && self.stripes.is_empty() {
            (self.served, self.account.used) = (false, now);
        }
    }

    /// The next piece of the stripe that is furthest behind.
    fn next_piece(&mut self, store: &Store) -> Option<Payload> {
        if !self.served {
            return None;
        }
        let mut best: Option<(u64, u64, usize, u64)> = None;
        let mut over = Stripes::EMPTY;
        self.account.cursors.retain_mut(|cursor| {
            let s = cursor.stripe;
            let sendable = cursor.settle(store);
            if cursor.until.is_some_and(|until| cursor.seq >= until) {
                over.add(s);
                return false;
            }
            let Some((filled, len)) = sendable else { return true };
            let ready = filled.saturating_sub(cursor.offset);
            let worth = ready >= limits::MESH_PIECE_BYTES_MIN || (filled == len && ready > 0);
            let order = (cursor.seq, cursor.offset, s, ready);
            if worth && best.is_none_or(|other| order < other) {
                best = Some(order);
            }
            true
        });
        self.stripes -= over;
        let (seq, offset, s, ready) = best?;
        let to = offset + ready.min(limits::MESH_PIECE_BYTES_MAX);
        let (head, span) = store.piece(seq, s, offset..to)?;
        if let Some(cursor) = self.cursor_mut(s) {
            cursor.offset = to;
        }
        Some(payload(head, span))
    }
}

impl Cursor {
    /// Moves on to the next block when it is through with one, and past blocks that are no longer
    /// there, but not beyond its end. What can be sent of the block where it is then.
    fn settle(&mut self, store: &Store) -> Option<(u64, u64)> {
        loop {
            if let Some(next) = store.instead_of(self.seq) {
                (self.seq, self.offset) = (next, 0);
            }
            let sendable = store.sendable(self.seq, self.stripe);
            if sendable.is_none_or(|(_, len)| self.offset < len) {
                return sendable;
            }
            (self.seq, self.offset) = (self.seq + 1, 0);
            if self.until.is_some_and(|until| self.seq >= until) {
                return None;
            }
        }
    }
}

fn payload(head: wire::Block, span: crate::base::port::Span) -> Payload {
    let head = Message::Block(head).emit().into();
    Payload { head, body: Some(span), ..Payload::default() }
}

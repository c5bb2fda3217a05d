//! Links: the TCP connections between two nodes of a mesh. Frames in and out, the hello of both
//! ends, signs of life, and bounds on everything. What a message means is not known here; the root
//! and the member call this and are told [`News`].
//!
//! | link | told | becomes |
//! |---|---|---|
//! | greeting | a hello | up |
//! | | any other frame, 3 s over, a long frame | lost |
//! | up, at a frame | a message | up |
//! | | a block | up, undecided, until [`Links::put`] |
//! | undecided | put | its bytes go into a blob, or nowhere |
//! | up | silent for long, nothing taken for 3 s, 60 payloads queued | lost |
//!
//! A head is read exactly: no byte behind it is taken from the socket before its owner has said
//! where that belongs. So as many bytes are asked for first as a plain beat has, which is all of
//! most frames; no head of a block is as short as that.

mod coming;
mod goodput;
mod pulse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, End, Output, Payload, Service, Span, Why};
use crate::base::time::Mono;
use crate::mesh::wire::{self, BEAT_BYTES, Block, Hello, Message, NodeId};

use coming::{Body, Coming};
use goodput::Goodput;

pub(super) use pulse::{Pulse, Use};

/// What arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// The other end says who it is.
    Hello(Hello),
    /// A message without bytes behind it.
    Message(Message),
    /// Bytes of a stripe follow; [`Links::put`] says where they go.
    Block(Block),
    /// Nonsense: the link is to be closed.
    Bad(String),
}

impl News {
    /// Whether it tells only that the other end is there, and how far it is.
    pub(super) fn is_sign_of_life(&self) -> bool {
        matches!(self, Self::Message(Message::Beat(beat)) if beat.paths.is_empty())
    }
}

/// Bytes that went into a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Filled {
    pub(super) blob: Blob,
    /// Every byte of the piece before this offset of the blob is there.
    pub(super) upto: u64,
    /// Whether that was all of the piece.
    pub(super) done: bool,
}

/// One link. What every frame asks of it stands here; the rest is elsewhere, so that the links of a
/// node take few lines of the cache.
#[derive(Debug)]
pub(super) struct Link {
    /// Whether this end dialled.
    pub(super) dialled: bool,
    /// Whether it has shown that it belongs here; always so when this end dialled.
    pub(super) proven: bool,
    /// Who is at the other end, once it has said so.
    pub(super) node: Option<NodeId>,
    /// Bytes taken by the kernel, and bytes that came.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// When something came, and when something last was taken.
    pub(super) heard: Mono,
    drained: Mono,
    /// Since when something has been queued all the time.
    waits_since: Mono,
    /// When something was last queued.
    spoke: Mono,
    /// When its signs of life are looked at, unless a timer of its own says so.
    look_at: Mono,
    queued: u64,
    /// Where more than one payload is queued.
    payloads: Option<Box<Payloads>>,
    /// What has come of something that is not all there.
    coming: Option<Box<Coming>>,
    about: Box<About>,
}

/// Lengths of what is queued, oldest first.
#[derive(Debug)]
struct Payloads(VecDeque<u64>);

/// What is seldom asked for.
#[derive(Debug)]
struct About {
    /// What it showed.
    ticket: [u8; 16],
    /// Where it came from, while that counts against its address.
    from: Option<IpAddr>,
    since: Mono,
    /// By stripe: the newest block of which a head came.
    begun: Vec<u64>,
}

/// All links of a node.
#[derive(Debug, Default)]
pub(super) struct Links {
    all: Side<Link>,
    /// Links that others made.
    accepted: usize,
    /// Of these, by address, those that have not been taken in.
    unproven: BTreeMap<IpAddr, usize>,
    /// Links to children on which something waits.
    waiting: usize,
    goodput: Goodput,
    /// When its owner began, from which it counts its looks.
    phase: Mono,
    /// Whether the owner looks at what is [`Links::due`] four times a second.
    looks: bool,
    /// The address of ours that links are made from, where that is of the same kind.
    pub(super) from: Option<IpAddr>,
}

impl Links {
    /// No links, of a node that begins now; whether it looks at them four times a second.
    pub(super) fn new(now: Mono, looks: bool) -> Self {
        Self { phase: now, looks, ..Self::default() }
    }

    /// Connects to a node and says who we are.
    pub(super) fn dial(&mut self, cx: &mut Cx, to: SocketAddr, hello: &Hello) -> Option<Conn> {
        let patience = (Why::MeshHello, limits::MESH_HELLO_PATIENCE);
        let alike = |from: &IpAddr| {
            from.is_ipv4() == to.is_ipv4() && from.is_loopback() == to.ip().is_loopback()
        };
        let conn = cx.dial(Service::Mesh, (to, self.from.filter(alike)), patience)?;
        self.open(cx, conn, true);
        self.say(cx, conn, &Message::Hello(hello.clone()));
        Some(conn)
    }

    /// Takes a connection. Whoever dialled speaks first.
    pub(super) fn accept(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) -> Option<Conn> {
        let patience = (Why::MeshHello, limits::MESH_HELLO_PATIENCE);
        let conn = cx.accept(Service::Mesh, peer, patience)?;
        self.open(cx, conn, false);
        self.accepted += 1;
        if let (Some(link), Some(peer)) = (self.all.get_mut(conn.0), peer) {
            let from = neighbourhood(peer.ip());
            link.about.from = Some(from);
            *self.unproven.entry(from).or_default() += 1;
        }
        Some(conn)
    }

    /// Gives a link away that goes on elsewhere.
    pub(super) fn take(&mut self, now: Mono, conn: Conn) -> Option<Link> {
        let from = self.all.get(conn.0)?.about.from;
        let mut link = self.remove(now, conn)?;
        link.about.from = from;
        Some(link)
    }

    /// Goes on with a link from elsewhere, that others made.
    pub(super) fn adopt(&mut self, cx: &mut Cx, conn: Conn, link: Link) {
        self.accepted += 1;
        if let Some(from) = link.about.from {
            *self.unproven.entry(from).or_default() += 1;
        }
        self.waiting += usize::from(link.queued > 0);
        self.all.insert(conn.0, Link { look_at: pulse::NEVER, ..link });
        self.hasten(cx, conn);
    }

    fn open(&mut self, cx: &mut Cx, conn: Conn, dialled: bool) {
        let now = cx.now.mono;
        let about = About { ticket: [0; 16], from: None, since: now, begun: Vec::new() };
        let link = Link {
            dialled,
            proven: dialled,
            node: None,
            sent: 0,
            received: 0,
            heard: now,
            drained: now,
            waits_since: now,
            spoke: now,
            look_at: pulse::NEVER,
            queued: 0,
            payloads: None,
            coming: None,
            about: Box::new(about),
        };
        self.all.insert(conn.0, link);
        take(cx, conn, BEAT_BYTES as u64);
    }

    /// A link by its connection.
    pub(super) fn get(&self, conn: Conn) -> Option<&Link> {
        self.all.get(conn.0)
    }

    /// Who is at the other end of a link that is up.
    pub(super) fn node(&self, conn: Conn) -> Option<NodeId> {
        self.all.get(conn.0)?.node
    }

    /// Every link.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Conn, &Link)> {
        self.all.iter().map(|(key, link)| (Conn(key), link))
    }

    /// Links that others made.
    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }

    /// Links from an address that have not been taken in.
    pub(super) fn unproven(&self, ip: IpAddr) -> usize {
        self.unproven.get(&neighbourhood(ip)).copied().unwrap_or(0)
    }

    /// Whoever is there belongs here.
    pub(super) fn prove(&mut self, conn: Conn) {
        let Some(link) = self.all.get_mut(conn.0).filter(|link| !link.proven) else { return };
        link.proven = true;
        let from = link.about.from.take();
        self.uncount(from);
    }

    fn uncount(&mut self, from: Option<IpAddr>) {
        let Some(from) = from else { return };
        let left = self.unproven.get(&from).map_or(0, |count| count - 1);
        if left == 0 {
            self.unproven.remove(&from);
        } else {
            self.unproven.insert(from, left);
        }
    }

    /// Links that others made and that have shown nothing for long.
    pub(super) fn strangers(&self, now: Mono) -> Vec<Conn> {
        let stranger =
            |l: &Link| !l.proven && now.since(l.about.since) > limits::MESH_UNPROVEN_PATIENCE;
        self.iter().filter(|(_, link)| stranger(link)).map(|(conn, _)| conn).collect()
    }

    /// The most bytes a second that this node was seen to send while its uplink held it back.
    pub(super) fn goodput(&self, now: Mono) -> Option<u64> {
        self.goodput.most(now)
    }

    /// Queues a message. A link that has too much queued is struck out by its next timer.
    pub(super) fn say(&mut self, cx: &mut Cx, conn: Conn, message: &Message) {
        self.send(cx, conn, Payload::bytes(message.emit()));
    }

    /// Queues a payload.
    pub(super) fn send(&mut self, cx: &mut Cx, conn: Conn, payload: Payload) {
        let Some(link) = self.all.get_mut(conn.0) else { return };
        if link.payloads() >= limits::MESH_PAYLOADS_MAX {
            return;
        }
        if link.queued == 0 {
            (link.drained, link.waits_since) = (cx.now.mono, cx.now.mono);
            self.waiting += usize::from(!link.dialled);
            self.goodput.backlog(cx.now.mono, self.waiting);
        }
        link.spoke = cx.now.mono;
        link.push(payload.len());
        debug_assert!(cx.is_open(conn), "a link has a connection");
        cx.out.push_back(Output::Send { conn, payload });
    }

    /// Bytes that the kernel has not taken yet.
    pub(super) fn queued(&self, conn: Conn) -> u64 {
        self.all.get(conn.0).map_or(0, |link| link.queued)
    }

    /// Whether the other end has taken nothing for a while of what is queued for it.
    pub(super) fn is_stuck(&self, now: Mono, conn: Conn) -> bool {
        let stuck = |l: &Link| l.queued > 0 && now.since(l.drained) > limits::MESH_STUCK_AFTER;
        self.all.get(conn.0).is_some_and(stuck)
    }

    /// Whether more of a stripe may be put on a link.
    pub(super) fn has_room(&self, conn: Conn) -> bool {
        self.all.get(conn.0).is_some_and(|link| {
            link.queued < limits::MESH_QUEUED_BYTES_MAX
                && link.payloads() < limits::MESH_PIECES_QUEUED_MAX
        })
    }

    /// The kernel took bytes.
    pub(super) fn sent(&mut self, now: Mono, conn: Conn, bytes: u64) {
        let Some(link) = self.all.get_mut(conn.0) else { return };
        let waited = link.queued > 0;
        link.drained = now;
        link.sent += bytes;
        link.pop(bytes);
        let (child, empty) = (!link.dialled, waited && link.queued == 0);
        if child {
            self.measure(now, bytes, empty);
        }
    }

    /// A child took bytes, and perhaps all that waited for it.
    fn measure(&mut self, now: Mono, bytes: u64, empty: bool) {
        let full = self.goodput.took(now, bytes);
        self.waiting = self.waiting.saturating_sub(usize::from(empty));
        self.goodput.backlog(now, self.waiting);
        if let Some(since) = full {
            // What waits for the dead, and what has just been queued, says nothing of the uplink.
            let takes = |l: &&Link| {
                let lately = now.since(l.drained) < limits::MESH_GOODPUT_WINDOW / 2;
                !l.dialled && l.queued > 0 && lately && l.waits_since <= since
            };
            let waiting = self.all.iter().map(|(_, link)| link).filter(takes).count();
            self.goodput.close(now, waiting);
        }
    }

    /// Bytes arrived. There may be [`Links::more`] in them than one frame.
    pub(super) fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) -> Option<News> {
        let link = self.all.get_mut(conn.0)?;
        link.heard = cx.now.mono;
        link.received += bytes.len() as u64;
        if link.coming.is_none()
            && let Ok(Some(parsed)) = wire::parse(bytes)
        {
            if parsed.used < bytes.len() {
                link.keep(&bytes[parsed.used..]);
            }
            // All of it came in what is asked for first, which is asked for already.
            return Some(self.news(cx, conn, parsed.message));
        }
        if matches!(link.body(), Body::Skip(..)) {
            link.skip(cx, conn, bytes.len() as u64);
            return None;
        }
        link.keep(bytes);
        self.next_frame(cx, conn)
    }

    /// The next frame of what has arrived.
    pub(super) fn more(&mut self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let coming = self.all.get(conn.0)?.coming.as_deref()?;
        let at_frame = matches!(coming.body, Body::Frame) && !coming.inbox.is_empty();
        if at_frame { self.next_frame(cx, conn) } else { None }
    }

    fn next_frame(&mut self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let link = self.all.get_mut(conn.0)?;
        match wire::parse(link.inbox()) {
            Err(error) => Some(News::Bad(error.to_string())),
            Ok(None) => link.read_on(cx, conn),
            Ok(Some(parsed)) => {
                link.forget(parsed.used);
                if !matches!(parsed.message, Message::Block(_)) {
                    take(cx, conn, BEAT_BYTES as u64);
                }
                Some(self.news(cx, conn, parsed.message))
            }
        }
    }

    fn news(&mut self, cx: &mut Cx, conn: Conn, message: Message) -> News {
        let Some(link) = self.all.get_mut(conn.0) else { return News::Message(message) };
        let news = link.message(message);
        if matches!(news, News::Hello(_)) {
            self.hasten(cx, conn);
        }
        news
    }

    /// Says where the bytes behind the last [`News::Block`] go: after `skip` of them into `into`,
    /// which then has all the rest; nowhere without it.
    pub(super) fn put(&mut self, cx: &mut Cx, conn: Conn, skip: u64, into: Option<Span>) {
        let Some(link) = self.all.get_mut(conn.0) else { return };
        let Body::Undecided(length) = link.body() else { return };
        let skip = if into.is_some() { skip } else { length };
        link.set_body(Body::Skip(skip, into));
        link.skip(cx, conn, 0);
    }

    /// Bytes arrived where [`Links::put`] said.
    pub(super) fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) -> Option<Filled> {
        let link = self.all.get_mut(conn.0)?;
        let Body::Into(blob, at, end) = link.body() else { return None };
        link.heard = cx.now.mono;
        link.received += upto.saturating_sub(at);
        let done = upto >= end;
        link.set_body(if done { Body::Frame } else { Body::Into(blob, upto, end) });
        if done {
            take(cx, conn, BEAT_BYTES as u64);
        }
        Some(Filled { blob, upto, done })
    }

    /// Ends a link; what becomes of it is told by [`crate::base::port::Input::Closed`].
    pub(super) fn close(&mut self, cx: &mut Cx, conn: Conn, end: End) -> Option<Link> {
        cx.close(conn, end);
        self.remove(cx.now.mono, conn)
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, now: Mono, conn: Conn) -> Option<Link> {
        self.remove(now, conn)
    }

    fn remove(&mut self, now: Mono, conn: Conn) -> Option<Link> {
        let mut link = self.all.remove(conn.0)?;
        if !link.dialled {
            self.accepted -= 1;
            self.uncount(link.about.from.take());
            self.waiting = self.waiting.saturating_sub(usize::from(link.queued > 0));
            self.goodput.backlog(now, self.waiting);
        }
        Some(link)
    }

    /// Looks the books through.
    pub(super) fn check_invariants(&self) {
        let accepted = || self.iter().filter(|(_, link)| !link.dialled);
        assert_eq!(accepted().count(), self.accepted, "links of others are counted");
        let waiting = accepted().filter(|(_, link)| link.queued > 0).count();
        assert_eq!(waiting, self.waiting, "children that wait are counted");
        let unproven = self.iter().filter(|(_, link)| link.about.from.is_some()).count();
        assert_eq!(unproven, self.unproven.values().sum::<usize>(), "strangers are counted");
    }
}

/// What one peer can choose its address from: IPv6 is given out 64 bits at a time.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip @ IpAddr::V4(_) => ip,
    }
}

impl Link {
    /// Bytes queued that the kernel has not taken.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// What it showed.
    pub(super) fn ticket(&self) -> [u8; 16] {
        self.about.ticket
    }

    /// Payloads that are queued.
    fn payloads(&self) -> usize {
        self.payloads.as_ref().map_or(usize::from(self.queued > 0), |all| all.0.len())
    }

    fn push(&mut self, bytes: u64) {
        if self.queued > 0 {
            let queued = self.queued;
            let first = || Box::new(Payloads(VecDeque::from([queued])));
            self.payloads.get_or_insert_with(first).0.push_back(bytes);
        }
        self.queued += bytes;
    }

    /// So many bytes were taken, the oldest first.
    fn pop(&mut self, bytes: u64) {
        self.queued = self.queued.saturating_sub(bytes);
        let Some(Payloads(all)) = self.payloads.as_deref_mut() else { return };
        let mut left = bytes;
        while let Some(first) = all.front_mut() {
            if *first > left {
                *first -= left;
                break;
            }
            left -= *first;
            all.pop_front();
        }
        if all.len() < 2 {
            self.payloads = None;
        }
    }

    fn note_begun(&mut self, stripe: usize, seq: u64) {
        let begun = &mut self.about.begun;
        if begun.len() <= stripe {
            begun.resize(stripe + 1, 0);
        }
        begun[stripe] = begun[stripe].max(seq);
    }

    /// The newest block of a stripe that the other end has begun to send; none before the first.
    pub(super) fn begun(&self, stripe: usize) -> Option<u64> {
        self.about.begun.get(stripe).copied().filter(|seq| *seq > 0)
    }

    fn message(&mut self, message: Message) -> News {
        if let Message::Block(block) = message {
            if self.node.is_none() {
                return News::Bad("a block before any hello".to_owned());
            }
            if !self.inbox().is_empty() {
                return News::Bad("bytes behind a head that were not asked for".to_owned());
            }
            self.note_begun(usize::from(block.stripe), block.seq);
            let length = u64::from(block.range.end - block.range.start);
            self.set_body(Body::Undecided(length));
            return News::Block(block);
        }
        match (message, self.node) {
            (Message::Hello(hello), None) => {
                (self.node, self.about.ticket) = (Some(hello.node), hello.ticket);
                News::Hello(hello)
            }
            (Message::Hello(_), Some(_)) => News::Bad("a second hello".to_owned()),
            (Message::Full(denial), None) => News::Message(Message::Full(denial)),
            (_, None) => News::Bad("a message before any hello".to_owned()),
            (message, Some(_)) => News::Message(message),
        }
    }
}

fn take(cx: &mut Cx, conn: Conn, bytes: u64) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, 64 << 10);
    cx.out.push_back(Output::Take { conn, bytes });
}

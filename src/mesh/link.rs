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
use crate::mesh::wire::{self, BEAT_BYTES, Block, HEAD_BYTES, Hello, Message, NodeId};

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

/// Bytes that went into a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Filled {
    pub(super) blob: Blob,
    /// Every byte of the piece before this offset of the blob is there.
    pub(super) upto: u64,
    /// Whether that was all of the piece.
    pub(super) done: bool,
}

#[derive(Debug)]
enum Body {
    /// At a frame.
    Frame,
    /// So many bytes wait for a decision.
    Undecided(u64),
    /// So many bytes go nowhere, then the rest into this span.
    Skip(u64, Option<Span>),
    /// Into a blob: the next offset, and the one behind the last.
    Into(Blob, u64, u64),
}

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    /// Whether this end dialled.
    pub(super) dialled: bool,
    /// Who is at the other end, once it has said so.
    pub(super) node: Option<NodeId>,
    /// What it showed.
    pub(super) ticket: [u8; 16],
    /// Whether it has shown that it belongs here; always so when this end dialled.
    pub(super) proven: bool,
    /// Where it came from, while that counts against its address.
    from: Option<IpAddr>,
    since: Mono,
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
    inbox: Vec<u8>,
    body: Body,
    queued: u64,
    /// Lengths of what is queued, oldest first.
    payloads: VecDeque<u64>,
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
            link.from = Some(from);
            *self.unproven.entry(from).or_default() += 1;
        }
        Some(conn)
    }

    /// Gives a link away that goes on elsewhere.
    pub(super) fn take(&mut self, now: Mono, conn: Conn) -> Option<Link> {
        let from = self.all.get(conn.0)?.from;
        let link = self.remove(now, conn)?;
        Some(Link { from, ..link })
    }

    /// Goes on with a link from elsewhere, that others made.
    pub(super) fn adopt(&mut self, cx: &mut Cx, conn: Conn, link: Link) {
        self.accepted += 1;
        if let Some(from) = link.from {
            *self.unproven.entry(from).or_default() += 1;
        }
        self.waiting += usize::from(link.queued > 0);
        self.all.insert(conn.0, Link { look_at: pulse::NEVER, ..link });
        self.hasten(cx, conn);
    }

    fn open(&mut self, cx: &mut Cx, conn: Conn, dialled: bool) {
        let now = cx.now.mono;
        let link = Link {
            dialled,
            node: None,
            ticket: [0; 16],
            proven: dialled,
            from: None,
            since: now,
            sent: 0,
            received: 0,
            heard: now,
            drained: now,
            waits_since: now,
            spoke: now,
            look_at: pulse::NEVER,
            inbox: Vec::new(),
            body: Body::Frame,
            queued: 0,
            payloads: VecDeque::new(),
            begun: Vec::new(),
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
        let from = link.from.take();
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
        let stranger = |l: &Link| !l.proven && now.since(l.since) > limits::MESH_UNPROVEN_PATIENCE;
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
        let Some(link) = self.all.get_mut(conn.0).filter(|_| cx.is_open(conn)) else { return };
        if link.payloads.len() >= limits::MESH_PAYLOADS_MAX {
            return;
        }
        if link.queued == 0 {
            (link.drained, link.waits_since) = (cx.now.mono, cx.now.mono);
            self.waiting += usize::from(!link.dialled);
            self.goodput.backlog(cx.now.mono, self.waiting);
        }
        link.spoke = cx.now.mono;
        link.queued += payload.len();
        link.payloads.push_back(payload.len());
        cx.send(conn, payload);
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
                && link.payloads.len() < limits::MESH_PIECES_QUEUED_MAX
        })
    }

    /// The kernel took bytes.
    pub(super) fn sent(&mut self, now: Mono, conn: Conn, bytes: u64) {
        let Some(link) = self.all.get_mut(conn.0) else { return };
        let waited = link.queued > 0;
        link.drained = now;
        link.sent += bytes;
        link.queued = link.queued.saturating_sub(bytes);
        let mut left = bytes;
        while let Some(first) = link.payloads.front_mut() {
            if *first > left {
                *first -= left;
                break;
            }
            left -= *first;
            link.payloads.pop_front();
        }
        if link.payloads.is_empty() {
            // The ring begins at its beginning again: short ones stay in the cache.
            link.payloads.clear();
        }
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
        let link = self.all.get_mut(conn.0).filter(|_| cx.is_open(conn))?;
        link.heard = cx.now.mono;
        link.received += bytes.len() as u64;
        if matches!(link.body, Body::Skip(..)) {
            link.skip(cx, conn, bytes.len() as u64);
            return None;
        }
        if link.inbox.is_empty()
            && let Ok(Some(parsed)) = wire::parse(bytes)
        {
            link.inbox.extend_from_slice(&bytes[parsed.used..]);
            return Some(self.news(cx, conn, parsed.message));
        }
        link.inbox.extend_from_slice(bytes);
        self.next_frame(cx, conn)
    }

    /// The next frame of what has arrived.
    pub(super) fn more(&mut self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let link = self.all.get(conn.0).filter(|link| !link.inbox.is_empty())?;
        let at_frame = matches!(link.body, Body::Frame) && cx.is_open(conn);
        if at_frame { self.next_frame(cx, conn) } else { None }
    }

    fn next_frame(&mut self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let link = self.all.get_mut(conn.0)?;
        match wire::parse(&link.inbox) {
            Err(error) => Some(News::Bad(error.to_string())),
            Ok(None) => link.read_on(cx, conn),
            Ok(Some(parsed)) => {
                link.inbox.drain(..parsed.used);
                Some(self.news(cx, conn, parsed.message))
            }
        }
    }

    fn news(&mut self, cx: &mut Cx, conn: Conn, message: Message) -> News {
        let Some(link) = self.all.get_mut(conn.0) else { return News::Message(message) };
        let news = link.message(cx, conn, message);
        if matches!(news, News::Hello(_)) {
            self.hasten(cx, conn);
        }
        news
    }

    /// Says where the bytes behind the last [`News::Block`] go: after `skip` of them into `into`,
    /// which then has all the rest; nowhere without it.
    pub(super) fn put(&mut self, cx: &mut Cx, conn: Conn, skip: u64, into: Option<Span>) {
        let Some(link) = self.all.get_mut(conn.0) else { return };
        let Body::Undecided(length) = link.body else { return };
        let skip = if into.is_some() { skip } else { length };
        link.body = Body::Skip(skip, into);
        link.skip(cx, conn, 0);
    }

    /// Bytes arrived where [`Links::put`] said.
    pub(super) fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) -> Option<Filled> {
        let link = self.all.get_mut(conn.0)?;
        let Body::Into(blob, at, end) = link.body else { return None };
        link.heard = cx.now.mono;
        link.received += upto.saturating_sub(at);
        link.body = Body::Into(blob, upto, end);
        let done = upto >= end;
        if done {
            link.body = Body::Frame;
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
            self.uncount(link.from.take());
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
        let unproven = self.iter().filter(|(_, link)| link.from.is_some()).count();
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

    fn read_on(&self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let frame = self.frame_bytes();
        let most = if self.node.is_none() {
            limits::MESH_HELLO_BYTES_MAX
        } else {
            limits::MESH_FRAME_BYTES_MAX
        };
        if frame > HEAD_BYTES + most {
            return Some(News::Bad(format!("a frame of {frame} bytes before any hello")));
        }
        take(cx, conn, (frame - self.inbox.len()) as u64);
        None
    }

    /// Bytes of the frame that has begun, as far as that is known.
    fn frame_bytes(&self) -> usize {
        let Some(head) = self.inbox.first_chunk::<HEAD_BYTES>() else { return BEAT_BYTES };
        HEAD_BYTES + u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize
    }

    fn note_begun(&mut self, stripe: usize, seq: u64) {
        if self.begun.len() <= stripe {
            self.begun.resize(stripe + 1, 0);
        }
        self.begun[stripe] = self.begun[stripe].max(seq);
    }

    /// The newest block of a stripe that the other end has begun to send; none before the first.
    pub(super) fn begun(&self, stripe: usize) -> Option<u64> {
        self.begun.get(stripe).copied().filter(|seq| *seq > 0)
    }

    fn message(&mut self, cx: &mut Cx, conn: Conn, message: Message) -> News {
        if let Message::Block(block) = message {
            if self.node.is_none() {
                return News::Bad("a block before any hello".to_owned());
            }
            if !self.inbox.is_empty() {
                return News::Bad("bytes behind a head that were not asked for".to_owned());
            }
            self.note_begun(usize::from(block.stripe), block.seq);
            self.body = Body::Undecided(u64::from(block.range.end - block.range.start));
            return News::Block(block);
        }
        take(cx, conn, BEAT_BYTES as u64);
        match (message, self.node) {
            (Message::Hello(hello), None) => {
                (self.node, self.ticket) = (Some(hello.node), hello.ticket);
                News::Hello(hello)
            }
            (Message::Hello(_), Some(_)) => News::Bad("a second hello".to_owned()),
            (Message::Full(denial), None) => News::Message(Message::Full(denial)),
            (_, None) => News::Bad("a message before any hello".to_owned()),
            (message, Some(_)) => News::Message(message),
        }
    }

    /// So many bytes went nowhere.
    fn skip(&mut self, cx: &mut Cx, conn: Conn, bytes: u64) {
        let Body::Skip(left, into) = &mut self.body else { return };
        *left = left.saturating_sub(bytes);
        if *left > 0 {
            return take(cx, conn, *left);
        }
        if let Some(into) = into.filter(|span| span.len > 0) {
            self.body = Body::Into(into.blob, into.from, into.from + into.len);
            cx.out.push_back(Output::Receive { conn, into });
        } else {
            self.body = Body::Frame;
            take(cx, conn, BEAT_BYTES as u64);
        }
    }
}

fn take(cx: &mut Cx, conn: Conn, bytes: u64) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, 64 << 10);
    cx.out.push_back(Output::Take { conn, bytes });
}

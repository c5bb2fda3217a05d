//! One host of the world: the machine of a node, its connections, its blocks by name, and the line
//! to the net. Carries out what the machine wants; decides nothing for it.

mod judged;
mod outgoing;
mod socket;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use vidstreamd::base::arena::Key;
use vidstreamd::base::port::{
    Blob, Conn, Cx, End, Facts, Gone, Output, Payload, Service, Span, Why,
};
use vidstreamd::base::rng::Rng;
use vidstreamd::base::time::{Mono, Now, Wall};
use vidstreamd::mesh::{Event, Lobby, Mesh};

use super::calendar::{Body, Chunk, Far, Letter, News};
use super::line::Line;
use super::net::{Net, Reach, SECOND, State, retransmitted};
use socket::Socket;

/// The clock on the wall when the world begins.
pub const BEGAN: Wall = Wall(1_800_000_000_000_000_000);
/// The mesh's port on every host.
pub const PORT: u16 = 7_070;
/// The wait before a lost segment, and a lost first one, is sent again.
const RETRANSMIT: u64 = SECOND / 5;
const RETRANSMIT_DIAL: u64 = SECOND;
/// Blocks that a node keeps.
const KEPT: usize = 10;
/// Kinds of frames that are looked at on their way.
const KIND_BLOCK: u8 = 10;
const KIND_WANT: u8 = 11;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Where a host is dialled.
pub fn address(host: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | host)), PORT)
}

fn host_at(address: SocketAddr) -> Option<u32> {
    match address.ip() {
        IpAddr::V4(ip) if ip.octets()[0] == 10 => Some(ip.to_bits() & 0x00ff_ffff),
        _ => None,
    }
}

/// A block, without its bytes.
#[derive(Debug)]
struct Bytes {
    blob: Blob,
    len: u64,
    seq: Option<u64>,
    /// Where they are wrong.
    wrong: Vec<(u64, u64)>,
}

/// What a host hears of its own system, in its turn.
#[derive(Debug)]
pub enum Told {
    Hashed(Span, [u8; 32]),
    Opened(Blob),
    Closed(Conn),
    Sent(Conn, u64),
}

/// A stripe whose parent was lost, until its next bytes are there.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub stripe: usize,
    pub seq: u64,
    pub due: u64,
}

/// What a node has got so far.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Log {
    /// Bytes that it sent, and of these, bytes of blocks in its slots.
    pub sent: u64,
    pub pushed: u64,
    /// The hash of all that reached it.
    pub trace: u64,
    pub watches: Vec<Watch>,
    /// The next block that it has to get.
    pub next: Option<u64>,
    /// When it got its place.
    pub placed: Option<u64>,
    pub left: bool,
    pub full: Option<String>,
    pub started: u64,
    pub events: VecDeque<String>,
    /// By stripe: the newest block that is complete, and how long after its entry it was.
    pub done: [(u64, u64); 16],
}

/// A process on a host. What every turn asks of it stands together, in this order.
#[derive(Debug)]
#[repr(C)]
pub struct Host {
    pub id: u32,
    pub life: u32,
    pub wake_at: u64,
    rng: Rng,
    sockets: Vec<Option<Socket>>,
    pub mesh: Mesh,
    turns: u32,
    /// Sends wrong bytes.
    pub lies: bool,
    leaving: bool,
    pub line: Line,
    pub cx: Cx,
    pub log: Log,
    /// Where links wait that have not said hello.
    pub lobby: Lobby,
    blobs: Vec<Option<Bytes>>,
    kept: VecDeque<Blob>,
    pub slots: usize,
    /// Which memory is its own.
    pub pool: u32,
    arriving: Option<Far>,
}

/// The two clocks of the world.
pub fn clocks(now: u64) -> Now {
    Now { mono: Mono(now), wall: Wall(BEGAN.0.saturating_add_unsigned(now)) }
}

impl Host {
    pub fn new((id, life): (u32, u32), slots: usize, (mesh, cx): (Mesh, Cx), uplink: Line) -> Self {
        let log = Log { started: cx.now.mono.0, ..Log::default() };
        let rng = cx.rng.clone();
        Self {
            id,
            life,
            slots,
            pool: 0,
            mesh,
            lobby: Lobby::default(),
            cx,
            line: uplink,
            log,
            lies: false,
            leaving: false,
            wake_at: u64::MAX,
            rng,
            sockets: Vec::new(),
            blobs: Vec::new(),
            kept: VecDeque::new(),
            arriving: None,
            turns: 0,
        }
    }

    /// All that happens here before `end`; the letters in the order of their moments.
    pub fn run(&mut self, net: &mut Net, letters: &[Letter], end: u64) {
        core::mem::swap(&mut self.cx.out, &mut net.out);
        let mut letters = letters.iter().peekable();
        let due = loop {
            let mail = letters.peek().map_or(u64::MAX, |letter| letter.at);
            let timer = self.cx.wheel.next().map_or(u64::MAX, |at| at.0);
            let line = self.line.done_at();
            let at = mail.min(timer).min(line);
            if at >= end {
                break timer.min(line);
            }
            self.cx.now = clocks(at.max(self.cx.now.mono.0));
            if mail == at {
                if let Some(letter) = letters.next() {
                    self.arrive(net, letter);
                }
            } else if line == at {
                self.line_done(net);
            } else {
                self.timers(net);
            }
        };
        core::mem::swap(&mut self.cx.out, &mut net.out);
        if self.wake_at < end {
            self.wake_at = u64::MAX;
        }
        self.rest(net, due);
    }

    /// Lets the machine do something of its own accord.
    pub fn drive(&mut self, net: &mut Net, now: u64, what: impl FnOnce(&mut Mesh, &mut Cx)) {
        self.cx.now = clocks(now);
        what(&mut self.mesh, &mut self.cx);
        self.settle(net);
        let timer = self.cx.wheel.next().map_or(u64::MAX, |at| at.0);
        self.rest(net, timer.min(self.line.done_at()));
    }

    /// Nothing happens here before `due`, unless it comes from elsewhere.
    fn rest(&mut self, net: &mut Net, due: u64) {
        self.turns += 1;
        let status = &mut net.status[self.id as usize];
        let before = core::mem::replace(&mut status.quiet, self.mesh.keeps_to_itself());
        status.stirred |= before.is_empty() || status.quiet.is_empty();
        if self.turns.is_multiple_of(16) {
            self.check_slots(net);
        }
        if self.turns.is_multiple_of(net.check_every) {
            self.mesh.check_invariants(&self.cx);
        }
        if due < self.wake_at {
            net.calendar.wake(due, self.id);
            self.wake_at = due;
        }
    }

    /// Leaves gracefully.
    pub fn leave(&mut self, net: &mut Net, now: u64) {
        self.leaving = true;
        self.cx.now = clocks(now);
        self.lobby.clear(&mut self.cx);
        self.drive(net, now, Mesh::leave);
    }

    /// Nobody has more children than slots.
    pub fn check_slots(&self, net: &mut Net) {
        if self.mesh.served() > self.slots {
            net.tally.slots_exceeded += 1;
            net.fault(self.now(), self.id, "more children than slots");
        }
    }

    fn now(&self) -> u64 {
        self.cx.now.mono.0
    }

    fn timers(&mut self, net: &mut Net) {
        net.tally.timers += 1;
        while let Some((_, wake)) = self.cx.wheel.pop_due(self.cx.now.mono) {
            match wake.why {
                Why::MeshTick | Why::MeshJoin => self.mesh.timer(&mut self.cx, wake.why),
                why => {
                    let conn = Conn(Key::from_bits(wake.what));
                    let Some(peer) = self.cx.peers.get_mut(conn.0) else { continue };
                    peer.timer = None;
                    if why == Why::ClosePatience {
                        self.cx.out.push_back(Output::Close { conn, end: End::Reset });
                    } else if self.lobby.has(conn) {
                        self.lobby.end(&mut self.cx, conn);
                    } else {
                        self.mesh.timeout(&mut self.cx, conn);
                    }
                }
            }
        }
        self.settle(net);
    }

    fn arrive(&mut self, net: &mut Net, letter: &Letter) {
        net.tally.letters += 1;
        let mark = letter.at ^ letter.news.mark().rotate_left(24) ^ u64::from(letter.from.host);
        self.log.trace = (self.log.trace.rotate_left(7) ^ mark).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if matches!(letter.news, News::Incoming) {
            // A node that leaves takes nobody in any more.
            return if self.leaving {
                super::answer_for_nobody(net, letter);
            } else {
                self.incoming(net, letter.from);
            };
        }
        let conn = letter.to.conn;
        let known = self.socket(conn).is_some() && letter.to.life == self.life;
        if !known {
            let asks = !matches!(letter.news, News::Taken(_) | News::Closed(_));
            if asks {
                let at = letter.at + net.delay(self.id, letter.from.host);
                let news = News::Closed(Gone::Reset);
                net.calendar.post(at, (letter.from, letter.to), news);
            }
            return;
        }
        match &letter.news {
            News::Incoming => {}
            News::Connected => {
                if let Some(socket) = self.socket(conn) {
                    socket.far = Some(letter.from);
                }
                self.mesh.connected(&mut self.cx, conn);
                self.flush(net, conn);
            }
            News::Bytes(chunk, ack) => {
                if *ack {
                    let at = letter.at + net.delay(self.id, letter.from.host);
                    let news = News::Taken(chunk.len());
                    net.calendar.post(at, (letter.from, letter.to), news);
                }
                self.read(net, conn, chunk);
            }
            News::Sign(frame) => self.read_head(net, conn, frame),
            News::Taken(bytes) => {
                if let Some(socket) = self.socket(conn) {
                    socket.stuck = false;
                }
                net.told.push_back(Told::Sent(conn, *bytes));
                self.flush(net, conn);
            }
            News::Ended if self.lobby.has(conn) => self.lobby.end(&mut self.cx, conn),
            News::Ended => self.mesh.ended(&mut self.cx, conn),
            News::Closed(why) => self.closed(conn, *why),
        }
        self.settle(net);
    }

    fn incoming(&mut self, net: &mut Net, from: Far) {
        self.arriving = Some(from);
        let peer = SocketAddr::new(address(from.host).ip(), 40_000);
        self.lobby.incoming(&mut self.cx, Some(peer));
        self.settle(net);
        if self.arriving.take().is_some() {
            let at = self.now() + net.delay(self.id, from.host);
            let here = Far { host: self.id, life: self.life, conn: from.conn };
            net.calendar.post(at, (from, here), News::Closed(Gone::Reset));
        }
    }

    fn socket(&mut self, conn: Conn) -> Option<&mut Socket> {
        self.sockets.get_mut(conn.0.index())?.as_mut().filter(|socket| socket.conn == conn)
    }

    /// Hands up what has arrived, as much as the machine asks for at a time.
    fn read(&mut self, net: &mut Net, conn: Conn, chunk: &Chunk) {
        if chunk.head.get(3) == Some(&KIND_WANT) {
            self.note_want(net, conn, &chunk.head);
        }
        self.read_head(net, conn, &chunk.head);
        self.read_body(net, conn, chunk.body);
    }

    fn read_head(&mut self, net: &mut Net, conn: Conn, mut head: &[u8]) {
        while let Some(socket) = self.socket(conn).filter(|_| !head.is_empty()) {
            let count = head.len().min(socket.take as usize);
            let (some, left) = head.split_at(count);
            self.hear(net, conn, some);
            self.settle(net);
            head = left;
        }
    }

    fn read_body(&mut self, net: &mut Net, conn: Conn, body: Option<Body>) {
        let Some(mut body) = body else { return };
        while let Some(socket) = self.socket(conn).filter(|_| body.len > 0) {
            let count = if let Some((span, at)) = socket.directed() {
                let count = body.len.min(span.len - at);
                let at = at + count;
                socket.direct(Some((span, at)).filter(|_| at < span.len));
                self.fill(span.blob, span.from + at - count, Body { len: count, ..body });
                self.mesh.filled(&mut self.cx, conn, span.from + at);
                count
            } else {
                let room = ZEROS.len().min(socket.take as usize);
                let count = room.min(usize::try_from(body.len).unwrap_or(room));
                self.mesh.data(&mut self.cx, conn, &ZEROS[..count]);
                count as u64
            };
            self.settle(net);
            body = Body { from: body.from + count, len: body.len - count, ..body };
        }
    }

    /// Bytes arrived: on a link of the mesh, or on one that has not said hello.
    fn data(&mut self, conn: Conn, bytes: &[u8]) {
        if !self.lobby.has(conn) {
            return self.mesh.data(&mut self.cx, conn, bytes);
        }
        let Some(guest) = self.lobby.data(&mut self.cx, conn, bytes) else { return };
        if guest.channel() == self.mesh.channel() {
            self.mesh.admit(&mut self.cx, guest);
        } else {
            self.lobby.refuse(&mut self.cx, &guest, &[self.mesh.channel()]);
        }
    }

    fn hear(&mut self, net: &mut Net, conn: Conn, bytes: &[u8]) {
        if self.id != 0 {
            return self.data(conn, bytes);
        }
        let members = self.mesh.members();
        let began = (net.clock)();
        self.data(conn, bytes);
        if self.mesh.members() > members {
            net.joins.push((net.clock)().saturating_sub(began));
        }
    }

    fn note_want(&mut self, net: &Net, conn: Conn, frame: &[u8]) {
        let Some((seq, stripe)) = seq_and_stripe(frame) else { return };
        let Some(socket) = self.socket(conn) else { return };
        let begun = socket.far.is_some_and(|far| net.status[far.host as usize].begun);
        socket.want((seq, stripe, begun));
    }

    fn fill(&mut self, blob: Blob, at: u64, body: Body) {
        let Some(bytes) = self.bytes(blob) else { return };
        let (from, to) = (at, at + body.len);
        bytes.wrong = bytes.wrong.iter().flat_map(|w| without(*w, (from, to))).collect();
        if bytes.seq.is_none() {
            bytes.seq = body.seq;
        }
        if body.taint || body.from != at || body.seq != bytes.seq {
            bytes.wrong.push((from, to));
        }
    }

    fn bytes(&mut self, blob: Blob) -> Option<&mut Bytes> {
        self.blobs.get_mut(blob.0.index())?.as_mut().filter(|bytes| bytes.blob == blob)
    }

    fn settle(&mut self, net: &mut Net) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                self.act(net, output);
            }
            while let Some(event) = self.mesh.poll_event().or_else(|| self.lobby.poll_event()) {
                self.note(net, event);
            }
            match net.told.pop_front() {
                // What was noted may have let blocks go.
                None if !self.cx.out.is_empty() => {}
                None => {
                    // The rings begin at their beginnings again: what is short stays in the cache.
                    self.cx.out.clear();
                    net.told.clear();
                    return;
                }
                Some(Told::Hashed(span, hash)) => self.mesh.hashed(&mut self.cx, span, Some(hash)),
                Some(Told::Opened(blob)) => {
                    let len = self.bytes(blob).map_or(1, |bytes| bytes.len);
                    let facts = Facts { len, modified: BEGAN, head: &ZEROS[..8] };
                    self.mesh.opened(&mut self.cx, blob, facts);
                }
                Some(Told::Closed(conn)) => self.closed(conn, Gone::Closed),
                Some(Told::Sent(conn, bytes)) => self.mesh.sent(&mut self.cx, conn, bytes),
            }
        }
    }

    fn act(&mut self, net: &mut Net, output: Output) {
        match output {
            Output::Dial { conn, to, .. } => self.dial(net, conn, to),
            Output::Accept { conn } => {
                let Some(far) = self.arriving.take() else { return };
                let delay = net.delay(self.id, far.host);
                let mut socket = Socket::new(conn, Some(far), delay);
                let here = Far { host: self.id, life: self.life, conn };
                socket.last_at = self.now() + delay;
                net.calendar.post(socket.last_at, (far, here), News::Connected);
                self.seat(socket);
            }
            Output::Send { conn, payload } => self.send(net, conn, payload),
            Output::Receive { conn, into } => {
                if let Some(socket) = self.socket(conn) {
                    socket.direct(Some((into, 0)));
                }
            }
            Output::Take { conn, bytes } => {
                if let Some(socket) = self.socket(conn) {
                    socket.take = bytes;
                }
            }
            Output::Close { conn, end } => self.close(net, conn, end),
            Output::Create { blob, max } => self.put(blob, max, None),
            Output::Seal { blob, .. } => net.told.push_back(Told::Opened(blob)),
            Output::Hash { span } => self.hash(net, span),
            Output::Release { blob } => {
                if self.bytes(blob).is_some() {
                    self.blobs[blob.0.index()] = None;
                }
            }
            other => net.fault(self.now(), self.id, &format!("a mesh does not want {other:?}")),
        }
    }

    fn seat(&mut self, socket: Socket) {
        let index = socket.conn.0.index();
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(socket);
    }

    fn put(&mut self, blob: Blob, len: u64, seq: Option<u64>) {
        let index = blob.0.index();
        if self.blobs.len() <= index {
            self.blobs.resize_with(index + 1, || None);
        }
        self.blobs[index] = Some(Bytes { blob, len, seq, wrong: Vec::new() });
    }

    /// A block of the root's own.
    pub fn own_block(&mut self, seq: u64, len: u64) -> Option<Blob> {
        let blob = self.cx.blobs.insert(()).map(Blob)?;
        self.put(blob, len, Some(seq));
        self.keep(blob);
        Some(blob)
    }

    fn dial(&mut self, net: &mut Net, conn: Conn, to: SocketAddr) {
        let host = host_at(to).filter(|host| (*host as usize) < net.status.len());
        let Some(host) = host else { return self.seat(Socket::new(conn, None, SECOND)) };
        let delay = net.delay(self.id, host);
        self.seat(Socket::new(conn, None, delay));
        let here = Far { host: self.id, life: self.life, conn };
        let there = Far { host, life: net.status[host as usize].life, conn };
        let at = match net.reach(self.id, host) {
            Reach::Open => self.now(),
            Reach::Cut(until) => retransmitted(self.now(), until, RETRANSMIT_DIAL),
            Reach::Never => return,
        };
        if net.status[host as usize].state == State::Down {
            net.calendar.post(at + 2 * delay, (here, there), News::Closed(Gone::Refused));
        } else {
            net.calendar.post(at + delay, (there, here), News::Incoming);
        }
    }

    /// A connection is gone, as the node that owns the arena handles it.
    fn closed(&mut self, conn: Conn, why: Gone) {
        if self.socket(conn).is_none() {
            return;
        }
        self.sockets[conn.0.index()] = None;
        if let Some(peer) = self.cx.peers.remove(conn.0) {
            if let Some(timer) = peer.timer {
                self.cx.wheel.cancel(timer);
            }
            assert_eq!(peer.service, Service::Mesh, "there are no others");
            self.lobby.closed(&self.cx, conn);
            self.mesh.closed(&mut self.cx, conn, why);
        }
    }

    /// Keeps a block as a window does, and lets the oldest go.
    fn keep(&mut self, blob: Blob) {
        self.kept.push_back(blob);
        if self.kept.len() > KEPT
            && let Some(old) = self.kept.pop_front()
        {
            self.mesh.retire(old);
            self.cx.release(old);
        }
    }

    /// Lets go of all blocks; what is left then was forgotten.
    pub fn empty(&mut self, net: &mut Net) {
        for blob in core::mem::take(&mut self.kept) {
            self.mesh.retire(blob);
            self.cx.release(blob);
        }
        self.settle(net);
    }
}

impl Bytes {
    fn is_wrong(&self, span: Span) -> bool {
        self.wrong.iter().any(|(from, to)| *from < span.from + span.len && *to > span.from)
    }
}

/// The parts of a range that are not in another.
fn without((from, to): (u64, u64), (cut_from, cut_to): (u64, u64)) -> Vec<(u64, u64)> {
    let parts = [(from, to.min(cut_from)), (from.max(cut_to), to)];
    parts.into_iter().filter(|(from, to)| from < to).collect()
}

/// The first two fields of a block's head and of a request.
fn seq_and_stripe(frame: &[u8]) -> Option<(u64, u8)> {
    let seq = u64::from_be_bytes(*frame.get(8..)?.first_chunk()?);
    Some((seq, *frame.get(16)?))
}

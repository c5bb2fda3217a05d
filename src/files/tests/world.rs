//! A server and its clients joined by links that lose, double, reorder and limit, in virtual time.
//! The file's bytes are a function of their place, so that nothing need be kept to compare.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::base::arena::Key;
use crate::base::port::{Blob, Conn, Cx, Facts, Gone, Output, Service, Span};
use crate::base::rng::Rng;
use crate::base::time::{Mono, Now, Wall};
use crate::config;
use crate::files::client::{Client, Event, Failure};
use crate::files::server::{self, Server};
use crate::files::wire::{Request, Verdict};

/// What a link does, in parts of a thousand datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) delay: Duration,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) reordered: u64,
    /// Bits a second.
    pub(super) rate: u64,
    /// Longest datagram.
    pub(super) longest: usize,
    /// What waits for its turn, at most.
    pub(super) queue: Duration,
}

impl Link {
    pub(super) fn new(millis: u64, lost: u64) -> Self {
        Self {
            delay: Duration::from_millis(millis),
            lost,
            doubled: 0,
            reordered: 0,
            rate: 100_000_000,
            longest: 1472,
            queue: Duration::from_millis(40),
        }
    }
}

/// Bytes that the file repeats: a prime number of them, so that none stands where another belongs.
const PERIOD: usize = 65_521;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(0xf11e);
    let numbers = std::iter::repeat_with(|| rng.next_u64().to_le_bytes());
    numbers.flatten().take(PERIOD).collect()
});

/// The bytes at a place of the file.
pub(super) fn bytes(from: u64, len: u64) -> Vec<u8> {
    let (mut from, mut left) = (from, usize::try_from(len).unwrap());
    let mut bytes = Vec::with_capacity(left);
    while left > 0 {
        let at = usize::try_from(from % PERIOD as u64).unwrap();
        let piece = &BYTES[at..PERIOD.min(at + left)];
        bytes.extend_from_slice(piece);
        (from, left) = (from + piece.len() as u64, left - piece.len());
    }
    bytes
}

/// The hash that the server tells.
pub(super) const HASH: [u8; 32] = [9; 32];

/// One client and what it has.
pub(super) struct Peer {
    pub(super) client: Client,
    /// What it got, from `from` on.
    pub(super) got: Vec<u8>,
    pub(super) from: u64,
    pub(super) complete: Option<Mono>,
    pub(super) failure: Option<Failure>,
    pub(super) list: Option<String>,
    pub(super) tag: u64,
    /// Bytes that arrived on the link, by whole seconds.
    pub(super) arrived: BTreeMap<u64, u64>,
}

enum Flying {
    ToServer(usize, SocketAddr, Vec<u8>),
    ToClient(usize, SocketAddr, Vec<u8>),
}

pub(super) struct World {
    pub(super) now: Mono,
    pub(super) cx: Cx,
    pub(super) server: Server,
    pub(super) peers: Vec<Peer>,
    pub(super) link: Link,
    pub(super) size: u64,
    pub(super) rng: Rng,
    flying: BTreeMap<(Mono, u64), Flying>,
    number: u64,
    /// When each direction is free again.
    free: [Mono; 2],
    ports: BTreeMap<Key, u16>,
    told: VecDeque<Told>,
    pub(super) events: Vec<server::Event>,
    /// Requests arrive as an original client words them, without what ours adds.
    pub(super) plain: bool,
    /// Bytes out of the server and into it, for each client.
    pub(super) out: u64,
    pub(super) came: u64,
}

enum Told {
    Opened(Blob),
    Hashed(Blob),
    Closed(Conn),
}

pub(super) fn settings() -> config::Files {
    config::Files {
        listen: "10.0.0.1:50000".parse().unwrap(),
        directory: PathBuf::from("/srv"),
        transfers_max: 2_000,
        per_address_max: 0,
        rate_max: crate::base::limits::FILES_RATE_MAX,
        total_rate_max: crate::base::limits::FILES_RATE_MAX,
        buffer: crate::base::limits::FILES_BUFFER_BYTES,
    }
}

pub(super) fn well_known() -> SocketAddr {
    "10.0.0.1:50000".parse().unwrap()
}

pub(super) fn address(peer: usize) -> SocketAddr {
    let number = u16::try_from(peer).unwrap();
    SocketAddr::from(([10, 0, 1, 1], 1_000 + number))
}

impl World {
    pub(super) fn new(seed: u64, link: Link, size: u64) -> Self {
        Self::with(seed, link, size, &settings())
    }

    pub(super) fn with(seed: u64, link: Link, size: u64, settings: &config::Files) -> Self {
        let now = Mono(1_000_000_000);
        let names = ["a.mkv", "b.mkv"].map(Into::into);
        Self {
            now,
            cx: Cx::new(Now { mono: now, wall: Wall(0) }, seed),
            server: Server::new(settings, &names),
            peers: Vec::new(),
            link,
            size,
            rng: Rng::new(seed),
            flying: BTreeMap::new(),
            number: 0,
            free: [now; 2],
            ports: BTreeMap::new(),
            told: VecDeque::new(),
            events: Vec::new(),
            plain: false,
            out: 0,
            came: 0,
        }
    }

    pub(super) fn add(&mut self, client: Client, from: u64) {
        self.peers.push(Peer {
            client,
            got: Vec::new(),
            from,
            complete: None,
            failure: None,
            list: None,
            tag: 0,
            arrived: BTreeMap::new(),
        });
    }

    /// A datagram goes on its way, or does not.
    fn fly(&mut self, way: usize, len: usize, what: impl Fn() -> Flying) {
        let link = self.link;
        let mut happens = |per_mille: u64| self.rng.below(1000) < per_mille;
        let (lost, doubled) = (happens(link.lost), happens(link.doubled));
        let reordered = happens(link.reordered);
        let sent = self.free[way].max(self.now);
        if len > link.longest || sent.since(self.now) > link.queue {
            return;
        }
        let bits = (len as u64 + 28) * 8;
        let sent = sent.after(Duration::from_nanos(bits * 1_000_000_000 / link.rate));
        self.free[way] = sent;
        if lost {
            return;
        }
        let later = if reordered { link.delay / 4 } else { Duration::ZERO };
        for copy in 0..=u64::from(doubled) {
            let extra = later + Duration::from_micros(300 * copy);
            self.number += 1;
            self.flying.insert((sent.after(link.delay + extra), self.number), what());
        }
    }

    fn send_out(&mut self, to: SocketAddr, from: u16, bytes: &[u8]) {
        self.out += bytes.len() as u64;
        let from = SocketAddr::new(well_known().ip(), from);
        let peer = usize::from(to.port() - 1_000);
        self.fly(1, bytes.len(), || Flying::ToClient(peer, from, bytes.to_vec()));
    }

    /// Carries out what the server wants.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                self.act(output);
            }
            while let Some(event) = self.server.poll_event() {
                self.events.push(event);
            }
            let Some(told) = self.told.pop_front() else { break };
            match told {
                Told::Opened(blob) => {
                    let facts = Facts { len: self.size, modified: Wall(5), head: &[] };
                    assert!(self.server.opened(&mut self.cx, blob, facts));
                }
                Told::Hashed(blob) => {
                    let span = Span { blob, from: 0, len: self.size };
                    self.server.hashed(&mut self.cx, span, Some(HASH));
                }
                Told::Closed(conn) => {
                    if let Some(timer) = self.cx.peers.remove(conn.0).and_then(|p| p.timer) {
                        self.cx.wheel.cancel(timer);
                    }
                    self.server.closed(&mut self.cx, conn, Gone::Closed);
                }
            }
        }
        self.server.check_invariants(&self.cx);
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::OpenFile { blob, .. } => self.told.push_back(Told::Opened(blob)),
            Output::HashFile { blob } => self.told.push_back(Told::Hashed(blob)),
            Output::OpenPort { conn, .. } => {
                let port = 20_000 + u16::try_from(self.number % 40_000).unwrap();
                self.number += 1;
                self.ports.insert(conn.0, port);
            }
            Output::Close { conn, .. } => {
                self.ports.remove(&conn.0);
                self.told.push_back(Told::Closed(conn));
            }
            Output::Say { conn, to, bytes } => {
                let port = self.ports[&conn.0];
                self.send_out(to, port, &bytes);
            }
            Output::SendTo { service, to, payload } => {
                assert_eq!(service, Service::Files);
                self.send_out(to, well_known().port(), &payload.head);
            }
            Output::SendTrain { conn, to, train, .. } => {
                let port = self.ports[&conn.0];
                let head = train.heads.len() / train.bodies.len();
                let first = train.bodies[0].1;
                for (index, (from, len)) in train.bodies.iter().enumerate() {
                    let last = index + 1 == train.bodies.len();
                    assert!(*len == first || last && *len < first, "the kernel cuts equal pieces");
                    assert!(from + u64::from(*len) <= self.size);
                    let head = &train.heads[index * head..][..head];
                    let datagram = [head, &bytes(*from, (*len).into())].concat();
                    self.send_out(to, port, &datagram);
                }
            }
            Output::Release { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn listen(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        while let Some(event) = peer.client.poll_event() {
            match event {
                Event::Listed(list) => peer.list = Some(list),
                Event::Offered { size, tag } => {
                    assert_eq!(size, self.size);
                    peer.tag = tag;
                    peer.client.start(self.now, peer.from);
                }
                Event::Original => {}
                Event::Kept { offset, bytes } => peer.put(offset, &bytes),
                Event::Complete { size, hash } => {
                    assert_eq!(size, self.size);
                    assert!(hash.is_none_or(|hash| hash == HASH));
                    peer.complete = Some(self.now);
                    if hash.is_some() {
                        peer.client.finish(Verdict::Whole);
                    }
                }
                Event::Failed(failure) => peer.failure = Some(failure),
            }
        }
        while let Some((to, bytes)) = self.peers[number].client.poll_transmit(self.now) {
            self.fly(0, bytes.len(), || Flying::ToServer(number, to, bytes.clone()));
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Mono> {
        let flying = self.flying.first_key_value().map(|((at, _), _)| *at);
        let clients = self.peers.iter().filter_map(|p| p.client.poll_timeout());
        flying.into_iter().chain(self.cx.wheel.next()).chain(clients).min()
    }

    /// One step; `false` when nothing happens any more.
    pub(super) fn step(&mut self) -> bool {
        let Some(next) = self.next() else { return false };
        self.now = self.now.max(next);
        self.cx.now.mono = self.now;
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Flying::ToServer(peer, to, bytes) => self.serve(peer, to, &bytes),
                Flying::ToClient(peer, from, bytes) => self.deliver(peer, from, &bytes),
            }
        }
        while let Some((_, wake)) = self.cx.wheel.pop_due(self.now) {
            let conn = Conn(Key::from_bits(wake.what));
            self.cx.peers.get_mut(conn.0).into_iter().for_each(|p| p.timer = None);
            self.server.timeout(&mut self.cx, conn);
            self.drain();
        }
        for number in 0..self.peers.len() {
            self.peers[number].client.handle_timeout(self.now);
            self.listen(number);
        }
        true
    }

    fn serve(&mut self, peer: usize, to: SocketAddr, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        let from = address(peer);
        if to == well_known() {
            match Request::parse(bytes) {
                Ok(Request::Get(index, Some(_))) if self.plain => {
                    let bytes = Request::Get(index, None).bytes();
                    self.server.datagram(&mut self.cx, from, &bytes);
                }
                _ => self.server.datagram(&mut self.cx, from, bytes),
            }
        } else if let Some((key, _)) = self.ports.iter().find(|(_, port)| **port == to.port()) {
            self.server.heard(&mut self.cx, Conn(*key), from, bytes);
        }
        self.drain();
    }

    fn deliver(&mut self, number: usize, from: SocketAddr, bytes: &[u8]) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        *peer.arrived.entry(self.now.0 / 1_000_000_000).or_insert(0) += bytes.len() as u64 + 28;
        if let Some(placed) = peer.client.handle_datagram(self.now, from, bytes) {
            peer.put(placed.offset, &bytes[placed.at..placed.at + placed.len]);
        }
    }

    /// Goes on until every client has ended, at most so long.
    pub(super) fn run(&mut self, most: Duration) {
        let until = self.now.after(most);
        self.begin();
        while self.now < until && !self.peers.iter().all(|p| p.client.is_over()) && self.step() {}
    }

    /// Takes in what a test did by itself.
    fn begin(&mut self) {
        self.drain();
        (0..self.peers.len()).for_each(|number| self.listen(number));
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let until = self.now.after(time);
        self.begin();
        while self.next().is_some_and(|at| at <= until) && self.step() {}
        self.now = until;
        self.cx.now.mono = until;
    }

    /// Whether a client has every byte as it should be.
    pub(super) fn is_whole(&self, number: usize) -> bool {
        let peer = &self.peers[number];
        peer.complete.is_some() && peer.got == bytes(peer.from, self.size - peer.from)
    }
}

impl Peer {
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset - self.from).unwrap();
        let end = offset + bytes.len();
        if self.got.len() < end {
            self.got.resize(end, 0);
        }
        self.got[offset..end].copy_from_slice(bytes);
    }
}

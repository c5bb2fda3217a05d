//! Nodes of a mesh in one process under virtual time: their connections, blobs and hashes. Bytes
//! are real, so that hashes are; uplinks have a rate, links a delay. Decides nothing about nodes.
//! What goes wrong there is in `trouble`.

mod host;
mod sending;
pub(super) mod trouble;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::base::arena::Key;
use crate::base::port::{Blob, Conn, Cx, End, Facts, Gone, Output, Span, Why};
use crate::base::rng::Rng;
use crate::base::time::{Mono, Now, Wall};
use crate::mesh::wire::NodeId;
use crate::mesh::{Airing, Event, Lobby, MemberSettings, Mesh, PartSettings, RootSettings};

pub(super) const LATENCY: Duration = Duration::from_millis(2);
const BEGAN: Wall = Wall(1_800_000_000_000_000_000);
const STARTED: Mono = Mono(1_000_000_000);
const CHUNK: usize = 8 << 10;
/// What a node sends that drips, and how often.
const DROP: usize = 256;
const DRIP_EVERY: Duration = Duration::from_millis(700);
pub(super) const LASTS: Duration = Duration::from_secs(1);
pub(super) const LEAD: Duration = Duration::from_secs(6);

/// Bytes and their hash.
type Hashed = (Vec<u8>, [u8; 32]);

#[derive(Debug)]
enum News {
    Incoming { to: usize, peer: SocketAddr },
    Connected,
    Bytes(Vec<u8>),
    Sent(u64),
    Ended,
    Closed(Gone),
}

#[derive(Debug)]
struct Socket {
    /// Which connection, and whether this end took it.
    end: (usize, usize),
    inbox: Vec<u8>,
    take: usize,
    directed: Option<(Span, u64)>,
    /// When the last of them is.
    free_at: Mono,
    ended: bool,
}

#[derive(Debug)]
enum Told {
    Hashed(Span, [u8; 32]),
    Opened(Blob),
    Closed(Conn),
}

/// A node and its machine.
#[expect(clippy::struct_excessive_bools, reason = "independent faults, not one state")]
pub(super) struct Host {
    pub(super) mesh: Mesh,
    pub(super) lobby: Lobby,
    pub(super) cx: Cx,
    pub(super) address: SocketAddr,
    pub(super) slots: usize,
    pub(super) dead: bool,
    pub(super) left: bool,
    /// It reads nothing any more, so nothing more is taken from who sends to it.
    pub(super) stalled: bool,
    /// Sends wrong bytes.
    pub(super) lies: bool,
    /// Sends wrong bytes of a stripe, and heads that go with them.
    pub(super) deceives: bool,
    /// Sends a few bytes of a stripe, and more only after a while.
    pub(super) drips: bool,
    /// Says wrong hashes of blocks.
    pub(super) forges: bool,
    /// Whether it can be dialled.
    pub(super) listens: bool,
    pub(super) events: Vec<Event>,
    /// Numbers and moments of the blocks that it handed up.
    pub(super) got: Vec<u64>,
    pub(super) missed: Vec<u64>,
    /// Those that were complete after their air time only.
    pub(super) late: Vec<u64>,
    /// Bytes a second of its uplink.
    pub(super) rate: u64,
    uplink: Mono,
    /// When its wheel is to be turned, as [`World::due`] has it.
    due: Option<Mono>,
    sockets: BTreeMap<Conn, Socket>,
    blobs: BTreeMap<Blob, Vec<u8>>,
    kept: VecDeque<Blob>,
    told: VecDeque<Told>,
}

/// The nodes, the first of which is the root.
pub(super) struct World {
    pub(super) hosts: Vec<Host>,
    pub(super) rng: Rng,
    pub(super) mono: Mono,
    pub(super) stripes: usize,
    /// What the root gives its members to show.
    pub(super) ticket: [u8; 16],
    pub(super) block_bytes: usize,
    /// Whether all new members dial from one address.
    pub(super) share_address: bool,
    /// Who is at the end that dialled, and at the other.
    pipes: Vec<[Option<(usize, Conn)>; 2]>,
    coming: BTreeMap<(Mono, u64), ((usize, usize), News)>,
    /// When whose wheel is to be turned.
    due: BTreeSet<(Mono, usize)>,
    /// What was hashed, by length and first bytes: to compare is faster than to hash again.
    hashes: BTreeMap<(usize, Vec<u8>), Vec<Hashed>>,
    /// Members that are cut off from the others, and what is on its way across.
    pub(super) cut_off: BTreeSet<usize>,
    crossing: Vec<((usize, usize), News)>,
    /// By pipe: what strangers were told.
    heard: BTreeMap<usize, Vec<u8>>,
    serial: u64,
    settled: u64,
    pub(super) next_seq: u64,
    air_at: Mono,
}

fn address(host: usize) -> SocketAddr {
    let [.., b, c] = u32::try_from(host + 1).unwrap().to_be_bytes();
    SocketAddr::from(([127, 9, b, c], 7070))
}

fn now(mono: Mono) -> Now {
    Now { mono, wall: BEGAN + mono.since(STARTED) }
}

pub(super) fn block_bytes(seq: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seq);
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(64) {
        let words = rng.next_u64().to_le_bytes().repeat(8);
        chunk.copy_from_slice(&words[..chunk.len()]);
    }
    bytes
}

impl World {
    /// A root alone; its first block is aired after a second.
    pub(super) fn new(seed: u64, root_slots: usize, stripes: usize) -> Self {
        let mut world = Self {
            hosts: Vec::new(),
            rng: Rng::new(seed),
            mono: STARTED,
            stripes,
            ticket: [0; 16],
            block_bytes: 24 << 10,
            share_address: false,
            pipes: Vec::new(),
            coming: BTreeMap::new(),
            due: BTreeSet::new(),
            hashes: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            crossing: Vec::new(),
            heard: BTreeMap::new(),
            serial: 0,
            settled: 0,
            next_seq: 100,
            air_at: STARTED.after(LASTS),
        };
        world.root_of(root_slots, 77, Vec::new());
        world
    }

    /// A root, which airs the same blocks as every other.
    pub(super) fn root_of(&mut self, slots: usize, epoch: u64, others: Vec<usize>) -> usize {
        let host = self.hosts.len();
        // No two processes draw the same.
        let ticket = core::array::from_fn(|_| self.rng.next_u64().to_le_bytes()[0]);
        self.ticket = ticket;
        let settings = RootSettings {
            node: NodeId(host as u64 + 1),
            channel: "one".to_owned(),
            number: 0,
            epoch,
            ticket,
            advertise: address(host),
            slots,
            stripes: self.stripes,
            lead: LEAD,
            members_max: 1000,
            rate: 0,
            rescue_rate: 1 << 20,
            roots: others.into_iter().map(address).collect(),
            from: None,
        };
        let mut cx = Cx::new(now(self.mono), self.rng.next_u64());
        let mesh = Mesh::new_root(&mut cx, settings);
        self.enter(mesh, cx, slots);
        host
    }

    /// A member joins.
    pub(super) fn join(&mut self, slots: usize) -> usize {
        self.join_at(slots, &[0])
    }

    /// A member that knows these roots.
    pub(super) fn join_at(&mut self, slots: usize, roots: &[usize]) -> usize {
        self.member(slots, roots, false)
    }

    /// A relay: the root of a part below these roots.
    pub(super) fn relay(&mut self, slots: usize, roots: &[usize]) -> usize {
        self.member(slots, roots, true)
    }

    fn member(&mut self, slots: usize, roots: &[usize], part: bool) -> usize {
        let host = self.hosts.len();
        let settings =
            PartSettings { advertise: address(host), members_max: 100, rescue_rate: 1 << 20 };
        let settings = MemberSettings {
            node: NodeId(host as u64 + 1),
            channel: "one".to_owned(),
            port: 7070,
            slots,
            roots: roots.iter().copied().map(address).collect(),
            from: None,
            part: part.then_some(settings),
        };
        let mut cx = Cx::new(now(self.mono), self.rng.next_u64());
        let mesh = Mesh::new_member(&mut cx, settings);
        self.enter(mesh, cx, slots);
        host
    }

    fn enter(&mut self, mesh: Mesh, cx: Cx, slots: usize) {
        let host = self.hosts.len();
        self.hosts.push(Host {
            mesh,
            lobby: Lobby::default(),
            cx,
            address: address(host),
            slots,
            dead: false,
            left: false,
            stalled: false,
            lies: false,
            deceives: false,
            drips: false,
            forges: false,
            listens: true,
            events: Vec::new(),
            got: Vec::new(),
            missed: Vec::new(),
            late: Vec::new(),
            rate: 1 << 20,
            uplink: self.mono,
            due: None,
            sockets: BTreeMap::new(),
            blobs: BTreeMap::new(),
            kept: VecDeque::new(),
            told: VecDeque::new(),
        });
        self.settle(host);
    }

    pub(super) fn leave(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        it.cx.now = now(self.mono);
        it.mesh.leave(&mut it.cx);
        self.settle(host);
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.mono.after(time);
        for _ in 0..20_000_000_u64 {
            let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
            let timer = self.due.first().copied();
            let air = Some(self.air_at).filter(|_| self.roots().next().is_some());
            let next = [coming, timer.map(|(at, _)| at), air].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.mono = until;
                return;
            };
            self.mono = self.mono.max(at);
            if coming == Some(at) {
                let (_, (end, news)) = self.coming.pop_first().unwrap();
                self.arrive(end, news);
            } else if air == Some(at) {
                self.air();
            } else if let Some((_, host)) = timer {
                self.timer(host);
            }
        }
        panic!("the world does not come to rest");
    }

    /// Notes when a host's wheel is to be turned next.
    fn plan(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        let next = it.cx.wheel.next().filter(|_| !it.dead);
        if next != it.due {
            self.unplan(host);
            self.hosts[host].due = next;
            self.due.extend(next.map(|at| (at, host)));
        }
    }

    fn unplan(&mut self, host: usize) {
        if let Some(at) = self.hosts[host].due.take() {
            self.due.remove(&(at, host));
        }
    }

    fn timer(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        if it.dead {
            return self.unplan(host);
        }
        it.cx.now = now(self.mono);
        while let Some((_, wake)) = it.cx.wheel.pop_due(self.mono) {
            match wake.why {
                Why::MeshTick | Why::MeshJoin => it.mesh.timer(&mut it.cx, wake.why),
                why => {
                    let conn = Conn(Key::from_bits(wake.what));
                    let Some(peer) = it.cx.peers.get_mut(conn.0) else { continue };
                    peer.timer = None;
                    if why == Why::ClosePatience {
                        it.cx.out.push_back(Output::Close { conn, end: End::Reset });
                    } else if it.lobby.has(conn) {
                        it.lobby.end(&mut it.cx, conn);
                    } else {
                        it.mesh.timeout(&mut it.cx, conn);
                    }
                }
            }
        }
        self.settle(host);
    }

    /// Every root that is there.
    fn roots(&self) -> impl Iterator<Item = usize> {
        let airs = |host: &Host| host.mesh.is_root() && !host.dead && !host.left;
        self.hosts.iter().enumerate().filter(move |(_, host)| airs(host)).map(|(i, _)| i)
    }

    fn air(&mut self) {
        for root in self.roots().collect::<Vec<_>>() {
            self.air_at(root);
        }
        (self.next_seq, self.air_at) = (self.next_seq + 1, self.air_at.after(LASTS));
    }

    fn air_at(&mut self, host: usize) {
        let len = self.block_bytes;
        let root = &mut self.hosts[host];
        root.cx.now = now(self.mono);
        let seq = self.next_seq;
        let blob = root.cx.blobs.insert(()).map(Blob).unwrap();
        root.blobs.insert(blob, block_bytes(seq, len));
        let airing = Airing {
            seq,
            movie: "movie".into(),
            file: format!("movie_{seq:05}.ts").into(),
            blob,
            len: len as u64,
            starts_at: root.cx.now.wall + LEAD,
            lasts: LASTS,
            timeline: None,
        };
        root.mesh.air(&mut root.cx, &airing);
        root.keep(blob);
        self.settle(host);
    }

    fn post(&mut self, at: Mono, end: (usize, usize), news: News) {
        self.serial += 1;
        self.coming.insert((at, self.serial), (end, news));
    }

    fn arrive(&mut self, end: (usize, usize), news: News) {
        if !self.cut_off.is_empty() && self.is_cut(end, &news) {
            return self.crossing.push((end, news));
        }
        if let News::Incoming { to, peer } = news {
            return self.incoming(to, peer, end);
        }
        let Some((host, conn)) = self.pipes[end.0][end.1] else {
            if let News::Bytes(bytes) = news {
                self.heard.entry(end.0).or_default().extend(bytes);
            }
            return;
        };
        let far = self.pipes[end.0][1 - end.1].map(|(far, _)| far);
        let stalled = |host: usize| self.hosts.get(host).is_some_and(|host| host.stalled);
        match news {
            News::Sent(_) if far.is_some_and(stalled) => return,
            News::Bytes(_) if stalled(host) => return,
            _ => {}
        }
        let it = &mut self.hosts[host];
        if it.dead {
            return;
        }
        it.cx.now = now(self.mono);
        match news {
            News::Connected if it.cx.is_open(conn) => it.mesh.connected(&mut it.cx, conn),
            News::Sent(bytes) if it.cx.is_open(conn) => it.mesh.sent(&mut it.cx, conn, bytes),
            News::Connected | News::Sent(_) | News::Incoming { .. } => {}
            News::Bytes(bytes) => {
                if let Some(socket) = it.sockets.get_mut(&conn) {
                    socket.inbox.extend(bytes);
                }
                self.read(host, conn);
            }
            News::Ended => {
                if let Some(socket) = it.sockets.get_mut(&conn) {
                    socket.ended = true;
                }
                self.read(host, conn);
            }
            News::Closed(why) => it.closed(conn, why),
        }
        self.settle(host);
    }

    fn incoming(&mut self, host: usize, peer: SocketAddr, end: (usize, usize)) {
        let it = &mut self.hosts[host];
        if it.dead {
            return;
        }
        it.cx.now = now(self.mono);
        it.lobby.incoming(&mut it.cx, Some(peer));
        let accept = it.cx.out.iter().position(|o| matches!(o, Output::Accept { .. }));
        let Some(at) = accept else {
            return self.post(self.mono.after(LATENCY), other(end), News::Closed(Gone::Reset));
        };
        let Some(Output::Accept { conn }) = it.cx.out.remove(at) else { unreachable!() };
        it.sockets.insert(conn, Socket::new(end, self.mono));
        self.pipes[end.0][end.1] = Some((host, conn));
        self.post(self.mono.after(LATENCY), other(end), News::Connected);
        self.settle(host);
    }

    /// Hands up what has arrived, as much as the node asks for at a time.
    fn read(&mut self, host: usize, conn: Conn) {
        loop {
            let it = &mut self.hosts[host];
            if !it.cx.is_open(conn) {
                return;
            }
            let Some(socket) = it.sockets.get_mut(&conn) else { return };
            if socket.inbox.is_empty() {
                if core::mem::take(&mut socket.ended) {
                    it.lobby.end(&mut it.cx, conn);
                    it.mesh.ended(&mut it.cx, conn);
                    self.settle(host);
                }
                return;
            }
            if let Some((span, at)) = socket.directed {
                let count = socket.inbox.len().min(usize::try_from(span.len - at).unwrap());
                let bytes = socket.take_bytes(count);
                let at = at + count as u64;
                socket.directed = Some((span, at)).filter(|_| at < span.len);
                if let Some(blob) = it.blobs.get_mut(&span.blob) {
                    let end = usize::try_from(span.from + at).unwrap();
                    blob[end - count..end].copy_from_slice(&bytes);
                }
                it.mesh.filled(&mut it.cx, conn, span.from + at);
            } else {
                let count = socket.inbox.len().min(socket.take.max(1));
                let bytes = socket.take_bytes(count);
                it.data(conn, &bytes);
            }
            self.settle(host);
        }
    }

    fn settle(&mut self, host: usize) {
        loop {
            while let Some(output) = self.hosts[host].cx.out.pop_front() {
                self.act(host, output);
            }
            let it = &mut self.hosts[host];
            while let Some(event) = it.mesh.poll_event().or_else(|| it.lobby.poll_event()) {
                it.note(event);
            }
            let Some(told) = it.told.pop_front() else { break };
            match told {
                Told::Hashed(span, hash) => it.mesh.hashed(&mut it.cx, span, Some(hash)),
                Told::Opened(blob) => {
                    let Some(bytes) = it.blobs.get(&blob) else { continue };
                    let head = bytes[..bytes.len().min(512)].to_vec();
                    let facts = Facts { len: bytes.len() as u64, modified: BEGAN, head: &head };
                    it.mesh.opened(&mut it.cx, blob, facts);
                }
                Told::Closed(conn) => it.closed(conn, Gone::Closed),
            }
        }
        // After each input it would be all that a debug build does.
        self.settled += 1;
        let it = &self.hosts[host];
        if self.settled.is_multiple_of(7) {
            it.mesh.check_invariants(&it.cx);
        }
        self.plan(host);
    }

    fn act(&mut self, host: usize, output: Output) {
        let it = &mut self.hosts[host];
        match output {
            Output::Dial { conn, to, .. } => {
                let pipe = self.pipes.len();
                self.pipes.push([Some((host, conn)), None]);
                it.sockets.insert(conn, Socket::new((pipe, 0), self.mono));
                let ip = if self.share_address { [127, 6, 6, 6].into() } else { it.address.ip() };
                let peer = SocketAddr::new(ip, 40_000);
                let at = self.mono.after(LATENCY);
                let there = self.hosts.iter().rposition(|other| other.address == to);
                // A dead host says nothing; where no process listens, the system refuses.
                match there.filter(|there| self.hosts[*there].listens && !self.hosts[*there].left) {
                    Some(to) => self.post(at, (pipe, 1), News::Incoming { to, peer }),
                    None => self.post(at, (pipe, 0), News::Closed(Gone::Refused)),
                }
            }
            Output::Send { conn, payload } => self.send(host, conn, &payload),
            Output::Receive { conn, into } => {
                it.sockets.get_mut(&conn).unwrap().directed = Some((into, 0));
            }
            Output::Take { conn, bytes } => {
                it.sockets.get_mut(&conn).unwrap().take = bytes as usize;
            }
            Output::Close { conn, end } => self.close(host, conn, end),
            Output::Create { blob, max } => {
                it.blobs.insert(blob, vec![0; usize::try_from(max).unwrap()]);
            }
            Output::Seal { blob, .. } => it.told.push_back(Told::Opened(blob)),
            Output::Hash { span } => {
                let bytes = &it.blobs[&span.blob];
                let from = usize::try_from(span.from).unwrap();
                let bytes = &bytes[from..from + usize::try_from(span.len).unwrap()];
                let known = (bytes.len(), bytes[..bytes.len().min(16)].to_vec());
                let known = self.hashes.entry(known).or_default();
                let hash = known.iter().find(|(same, _)| same == bytes).map(|(_, hash)| *hash);
                let hash = hash.unwrap_or_else(|| {
                    known.push((bytes.to_vec(), *blake3::hash(bytes).as_bytes()));
                    known[known.len() - 1].1
                });
                it.told.push_back(Told::Hashed(span, hash));
            }
            Output::Release { blob } => drop(it.blobs.remove(&blob)),
            other => panic!("a mesh does not want {other:?}"),
        }
    }
}

/// The other end of a connection.
fn other((pipe, end): (usize, usize)) -> (usize, usize) {
    (pipe, 1 - end)
}

impl Socket {
    fn new(end: (usize, usize), now: Mono) -> Self {
        let inbox = Vec::new();
        Self { end, inbox, take: usize::MAX, directed: None, free_at: now, ended: false }
    }

    fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        let left = self.inbox.split_off(count);
        core::mem::replace(&mut self.inbox, left)
    }
}

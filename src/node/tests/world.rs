//! Whole nodes in one process: their network, disks and clocks as plain values. Bytes of files move
//! by name ([`Piece`]), so that a block costs nothing however large it is; time is virtual. Decides
//! nothing about nodes: it carries out what they want and tells them what that brings about.

mod content;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::base::port::{End, Facts, Payload, Piece as Gathered, Span, StoreError};
use crate::base::time::Wall;
use crate::config::{self, Place};
use crate::media::catalog::Movie;

use content::size;
pub(super) use content::{Answer, Content, Piece};

/// The wall clock when a world begins, by hosts whose clock is right.
pub(super) const BEGAN: Wall = Wall(1_800_000_000_000_000_000);
/// From one host to another.
const LATENCY: Duration = Duration::from_millis(1);
/// Bytes of data told at once.
const DATA: u64 = 64 << 10;

/// A host, a process on it, or somebody outside who speaks to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Who {
    Node(usize, Conn),
    Person(usize),
}

/// What reaches one end of a connection.
#[derive(Clone, Debug)]
enum News {
    Incoming { service: Service, local: SocketAddr, peer: SocketAddr },
    Connected,
    Bytes(Content),
    Ended,
    Closed(Gone),
}

#[derive(Debug)]
struct Wire {
    /// Who dialled, and who took it.
    ends: [Option<Who>; 2],
}

/// Somebody who is not a node, at the end of a connection of its own.
#[derive(Default, Debug)]
struct Person {
    wire: usize,
    got: Content,
    ended: bool,
}

/// What has arrived at a node and was not handed up.
#[derive(Debug)]
struct Inbox {
    content: Content,
    ended: bool,
    /// Bytes handed up at once.
    take: u64,
    /// Where they go instead, and how far that is filled.
    directed: Option<(Span, u64)>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { content: Content::default(), ended: false, take: DATA, directed: None }
    }
}

/// What a node is told by its own host.
#[derive(Debug)]
enum Told {
    Sent(Conn, u64),
    Closed(Conn, Gone),
    Opened(Blob),
    Unreadable(Blob, &'static str),
    Hashed(Span, [u8; 32]),
    Read(Span, Vec<u8>),
    Stored(Rc<str>, Result<u64, StoreError>),
}

/// One node and all that is its own.
pub(super) struct Host {
    pub(super) node: Node,
    pub(super) lines: Vec<(Level, String)>,
    pub(super) done: bool,
    /// Files of its library that cannot be read.
    pub(super) missing: BTreeSet<String>,
    /// What its store holds.
    pub(super) stored: BTreeMap<String, Content>,
    /// Whether its store is full.
    pub(super) full: bool,
    /// Nanoseconds that its wall clock is ahead.
    pub(super) ahead: i64,
    wires: BTreeMap<Conn, (usize, usize)>,
    inboxes: BTreeMap<Conn, Inbox>,
    blobs: BTreeMap<Blob, Content>,
    told: VecDeque<Told>,
    dead: bool,
}

/// Nodes, and what lies between them.
pub(super) struct World {
    pub(super) hosts: Vec<Host>,
    /// Names and sizes of the files that every library holds.
    pub(super) files: BTreeMap<String, u64>,
    mono: Mono,
    wires: Vec<Wire>,
    persons: Vec<Person>,
    to_come: BTreeMap<(Mono, u64), (usize, usize, News)>,
    serial: u64,
}

/// A catalog of movies that are whole: each by name, blocks, and what one lasts.
pub(super) fn catalog(movies: &[(&str, u32, Duration)]) -> Catalog {
    let movie = |(stem, blocks, each): &(&str, u32, Duration)| {
        Movie::even(stem, Container::Mkv, *blocks, *each)
    };
    Catalog::new(movies.iter().map(movie).collect()).0
}

pub(super) fn config(text: &str) -> Config {
    let environment = config::Environment { uid: 1000, ..config::Environment::default() };
    let directory = Path::new("/srv/tv").to_owned();
    let place = Place { file: "x.toml".into(), directory, environment };
    Config::parse(text, &place).unwrap_or_else(|error| panic!("{error}"))
}

impl World {
    /// A world without nodes, in which files of these sizes can be read.
    pub(super) fn new(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self {
            hosts: Vec::new(),
            files: files.into_iter().collect(),
            mono: Mono(1_000_000_000),
            wires: Vec::new(),
            persons: Vec::new(),
            to_come: BTreeMap::new(),
            serial: 0,
        }
    }

    pub(super) fn now(&self, host: usize) -> Now {
        let elapsed = Duration::from_nanos(self.mono.0 - 1_000_000_000);
        let wall = Wall((BEGAN + elapsed).0 + self.hosts.get(host).map_or(0, |h| h.ahead));
        Now { mono: self.mono, wall }
    }

    /// Starts a node.
    pub(super) fn start(&mut self, text: &str, catalog: &Catalog) -> usize {
        let (host, config) = (self.hosts.len(), config(text));
        let address = |s: &config::Source| SocketAddr::new(s.host.parse().unwrap(), s.port);
        let source = config.source.as_ref().map(address);
        let mesh = config.mesh.as_ref().map(|mesh| mesh.listen);
        // Names are none of this world's: what is no address is not known.
        let roots = config.mesh.iter().flat_map(|mesh| &mesh.roots);
        let roots =
            roots.filter_map(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, *port)));
        let roots = roots.collect();
        let environment = Environment { source, mesh, roots, ..Environment::default() };
        let now = self.now(host);
        let mut node = Node::new(config, catalog, environment, now, host as u64);
        node.start(now);
        self.hosts.push(Host {
            node,
            lines: Vec::new(),
            done: false,
            missing: BTreeSet::new(),
            stored: BTreeMap::new(),
            full: false,
            ahead: 0,
            wires: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            blobs: BTreeMap::new(),
            told: VecDeque::new(),
            dead: false,
        });
        self.settle(host);
        host
    }

    pub(super) fn reload(&mut self, host: usize, text: &str, catalog: &Catalog) {
        let now = self.now(host);
        let node = &mut self.hosts[host].node;
        let environment = Environment { source: node.source_address(), ..Environment::default() };
        node.reload(now, config(text), catalog, environment);
        self.settle(host);
    }

    pub(super) fn stop(&mut self, host: usize) {
        let now = self.now(host);
        self.hosts[host].node.handle_input(now, Input::Stop);
        self.settle(host);
    }

    /// The host disappears: nothing is said, and nothing ever comes back from there.
    pub(super) fn kill(&mut self, host: usize) {
        self.hosts[host].dead = true;
    }

    /// Its process dies: its system resets every connection, and refuses new ones.
    pub(super) fn crash(&mut self, host: usize) {
        self.hosts[host].done = true;
        for (wire, end) in core::mem::take(&mut self.hosts[host].wires).into_values() {
            self.wires[wire].ends[end] = None;
            self.post(wire, 1 - end, News::Closed(Gone::Reset));
        }
    }

    /// What looking the roots' names up gives from now on, told when all have failed.
    pub(super) fn look_up(&mut self, host: usize, roots: Vec<SocketAddr>) {
        assert!(self.hosts[host].node.take_rootless(), "it asks for that");
        let now = self.now(host);
        self.hosts[host].node.set_roots(now, roots);
        self.settle(host);
    }

    /// A block breaks, and every connection that it is being sent on.
    pub(super) fn fault(&mut self, host: usize, blob: Blob) {
        let now = self.now(host);
        self.hosts[host].node.handle_input(now, Input::Faulted { blob });
        self.settle(host);
    }

    /// What one HTTP request gives.
    pub(super) fn http(&mut self, host: usize, head: &str) -> Answer {
        self.http_at_once(&[host], head).remove(0)
    }

    /// What the same HTTP request gives at several nodes at the same moment.
    pub(super) fn http_at_once(&mut self, hosts: &[usize], head: &str) -> Vec<Answer> {
        let request = format!("{head} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let mut persons = Vec::new();
        for host in hosts {
            let http = self.hosts[*host].node.config.http.as_ref().expect("it serves HTTP");
            persons.push(self.speak(http.listen, request.as_bytes()));
        }
        self.run(LATENCY * 10);
        persons.into_iter().map(|person| Answer::read(&self.persons[person].got)).collect()
    }

    /// What a tv command gives on its own connection.
    pub(super) fn command(&mut self, to: &str, command: &str) -> String {
        let person = self.speak(to.parse().unwrap(), command.as_bytes());
        self.run(LATENCY * 10);
        String::from_utf8(self.persons[person].got.bytes()).unwrap()
    }

    fn speak(&mut self, to: SocketAddr, bytes: &[u8]) -> usize {
        let person = self.persons.len();
        let wire = self.dial(Who::Person(person), to, "127.9.9.9:40000".parse().unwrap());
        self.persons.push(Person { wire, ..Person::default() });
        self.post(wire, 1, News::Bytes(Content(vec![Piece::Own(bytes.to_vec())])));
        person
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.mono.after(time);
        for _ in 0..10_000_000_u64 {
            let coming = self.to_come.first_key_value().map(|((at, _), _)| *at);
            let alive = self.hosts.iter().enumerate().filter(|(_, host)| !host.dead && !host.done);
            let timers = alive.filter_map(|(i, host)| Some((host.node.poll_timeout()?, i)));
            let timer = timers.min();
            let next = coming.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.mono = until;
                return;
            };
            self.mono = self.mono.max(at);
            if coming == Some(at) {
                let (_, (wire, end, news)) = self.to_come.pop_first().unwrap();
                self.arrive(wire, end, news);
            } else if let Some((_, host)) = timer {
                let now = self.now(host);
                self.hosts[host].node.handle_timeout(now);
                self.settle(host);
            }
        }
        panic!("the world does not come to rest");
    }

    /// Carries out every output of a node, and tells it what that brings about.
    fn settle(&mut self, host: usize) {
        loop {
            while let Some(output) = self.hosts[host].node.poll_output() {
                self.act(host, output);
            }
            let Some(told) = self.hosts[host].told.pop_front() else { break };
            self.tell(host, told);
        }
        assert!(self.hosts[host].node.check_invariants());
    }

    fn tell(&mut self, host: usize, told: Told) {
        let now = self.now(host);
        let it = &mut self.hosts[host];
        match told {
            Told::Sent(conn, bytes) => {
                it.node.handle_input(now, Input::Sent { conn, bytes, left: 0 });
            }
            Told::Closed(conn, why) => it.node.handle_input(now, Input::Closed { conn, why }),
            Told::Opened(blob) => {
                let content = &it.blobs[&blob];
                let head = content.part(0, content.len().min(512)).bytes();
                let facts = Facts { len: content.len(), modified: BEGAN, head: &head };
                it.node.handle_input(now, Input::Opened { blob, facts });
            }
            Told::Unreadable(blob, why) => {
                it.node.handle_input(now, Input::Unreadable { blob, why });
            }
            Told::Hashed(span, hash) => {
                it.node.handle_input(now, Input::Hashed { span, hash: Some(hash) });
            }
            Told::Read(span, bytes) => {
                it.node.handle_input(now, Input::Read { span, bytes: Some(&bytes) });
            }
            Told::Stored(name, result) => it.node.handle_input(now, Input::Stored { name, result }),
        }
    }

    fn act(&mut self, host: usize, output: Output) {
        match output {
            Output::Dial { conn, to, from } => {
                let from = SocketAddr::new(from.unwrap_or("127.0.0.1".parse().unwrap()), 40_000);
                let wire = self.dial(Who::Node(host, conn), to, from);
                self.hosts[host].wires.insert(conn, (wire, 0));
            }
            Output::Send { conn, payload } => self.send(host, conn, payload),
            Output::Finish { conn } => self.post_other(host, conn, News::Ended),
            Output::Close { conn, end } => {
                let news = match end {
                    End::Flushed => News::Ended,
                    End::Reset => News::Closed(Gone::Reset),
                };
                self.post_other(host, conn, news);
                self.hang_up(host, conn, Gone::Closed);
            }
            Output::Accept { .. } => unreachable!("taken where it is told"),
            output => self.hosts[host].act(output, &self.files),
        }
    }

    fn dial(&mut self, who: Who, to: SocketAddr, peer: SocketAddr) -> usize {
        let wire = self.wires.len();
        self.wires.push(Wire { ends: [Some(who), None] });
        let dead = |host: &Host| host.dead && host.listens(to).is_some();
        match self.listener(to) {
            Some((_, service)) => self.post(wire, 1, News::Incoming { service, local: to, peer }),
            None if self.hosts.iter().any(dead) => {}
            None => self.post(wire, 0, News::Closed(Gone::Refused)),
        }
        wire
    }

    /// Which node listens there, and for what.
    fn listener(&self, at: SocketAddr) -> Option<(usize, Service)> {
        let alive = |host: &Host| !host.done && !host.dead && host.node.stopping.is_none();
        let mut alive = self.hosts.iter().enumerate().filter(|(_, host)| alive(host));
        alive.find_map(|(i, host)| Some((i, host.listens(at)?)))
    }

    fn send(&mut self, host: usize, conn: Conn, payload: Payload) {
        let Payload { head, body, tail } = payload;
        let mut content = Content(vec![Piece::Own(head.into())]);
        if let Some(Span { blob, from, len }) = body {
            let whole = self.hosts[host].blobs.get(&blob).expect("only blobs that are held");
            assert!(from + len <= whole.len(), "a span lies in its blob");
            whole.part(from, len).0.into_iter().for_each(|piece| content.push(piece));
        }
        content.push(Piece::Own(tail.into()));
        self.hosts[host].told.push_back(Told::Sent(conn, content.len()));
        self.post_other(host, conn, News::Bytes(content));
    }

    /// Sends to the other end of a node's connection.
    fn post_other(&mut self, host: usize, conn: Conn, news: News) {
        if let Some((wire, end)) = self.hosts[host].wires.get(&conn).copied() {
            self.post(wire, 1 - end, news);
        }
    }

    fn post(&mut self, wire: usize, end: usize, news: News) {
        self.serial += 1;
        self.to_come.insert((self.mono.after(LATENCY), self.serial), (wire, end, news));
    }

    /// A node's end of a connection is no more.
    fn hang_up(&mut self, host: usize, conn: Conn, why: Gone) {
        let it = &mut self.hosts[host];
        if let Some((wire, end)) = it.wires.remove(&conn) {
            it.inboxes.remove(&conn);
            self.wires[wire].ends[end] = None;
            it.told.push_back(Told::Closed(conn, why));
        }
    }

    fn arrive(&mut self, wire: usize, end: usize, news: News) {
        if let News::Incoming { service, local, peer } = news {
            return self.incoming(wire, service, (local, peer));
        }
        match self.wires[wire].ends[end] {
            Some(Who::Node(host, _)) if self.hosts[host].dead => {}
            Some(Who::Node(host, conn)) => {
                self.arrive_at_node(host, conn, news);
                self.settle(host);
                self.read(host, conn);
            }
            Some(Who::Person(person)) => self.arrive_at_person(person, news),
            None => {}
        }
    }

    fn incoming(&mut self, wire: usize, service: Service, (local, peer): (SocketAddr, SocketAddr)) {
        let Some((host, _)) = self.listener(local) else { return };
        let now = self.now(host);
        let (local, peer) = (Some(local), Some(peer));
        self.hosts[host].node.handle_input(now, Input::Incoming { service, local, peer });
        let mut taken = false;
        while let Some(output) = self.hosts[host].node.poll_output() {
            if let Output::Accept { conn } = output {
                taken = true;
                self.wires[wire].ends[1] = Some(Who::Node(host, conn));
                self.hosts[host].wires.insert(conn, (wire, 1));
            } else {
                self.act(host, output);
            }
        }
        self.post(wire, 0, if taken { News::Connected } else { News::Closed(Gone::Reset) });
        self.settle(host);
    }

    fn arrive_at_node(&mut self, host: usize, conn: Conn, news: News) {
        let now = self.now(host);
        let it = &mut self.hosts[host];
        match news {
            News::Connected => {
                let local = "127.0.0.1:40000".parse().unwrap();
                it.node.handle_input(now, Input::Connected { conn, local });
            }
            News::Bytes(content) => {
                let inbox = it.inboxes.entry(conn).or_default();
                content.0.into_iter().for_each(|piece| inbox.content.push(piece));
            }
            News::Ended => it.inboxes.entry(conn).or_default().ended = true,
            News::Closed(why) => self.hang_up(host, conn, why),
            News::Incoming { .. } => unreachable!("told to whoever listens"),
        }
    }

    /// Hands up what has arrived, as much as the node wants at a time.
    fn read(&mut self, host: usize, conn: Conn) {
        while self.hosts[host].wires.contains_key(&conn) {
            let now = self.now(host);
            let it = &mut self.hosts[host];
            let Some(inbox) = it.inboxes.get_mut(&conn) else { return };
            let len = inbox.content.len();
            if len == 0 {
                if core::mem::take(&mut inbox.ended) {
                    it.node.handle_input(now, Input::Ended { conn });
                    self.settle(host);
                }
                return;
            }
            let most = inbox.directed.map_or(inbox.take, |(span, at)| span.from + span.len - at);
            let part = inbox.content.part(0, len.min(most));
            inbox.content = inbox.content.part(part.len(), len - part.len());
            if let Some((Span { blob, from, len }, at)) = inbox.directed {
                let upto = at + part.len();
                let left = upto < from + len;
                inbox.directed = left.then_some((Span { blob, from, len }, upto));
                it.blobs.get_mut(&blob).expect("it was made").put(at, part);
                it.node.handle_input(now, Input::Filled { conn, blob, upto });
            } else {
                it.node.handle_input(now, Input::Data { conn, bytes: &part.bytes() });
            }
            self.settle(host);
        }
    }

    fn arrive_at_person(&mut self, person: usize, news: News) {
        let it = &mut self.persons[person];
        match news {
            News::Bytes(content) => content.0.into_iter().for_each(|piece| it.got.push(piece)),
            News::Ended if !it.ended => {
                it.ended = true;
                let wire = it.wire;
                self.post(wire, 1, News::Ended);
            }
            _ => {}
        }
    }
}

impl Host {
    /// What it listens there for.
    fn listens(&self, at: SocketAddr) -> Option<Service> {
        let config = &self.node.config;
        let tv = config.tv.as_ref().map(|tv| (tv.listen, Service::Tv));
        let receive = config.receive.as_ref().map(|r| (r.listen, Service::TvReceive));
        let http = config.http.as_ref().map(|http| (http.listen, Service::Http));
        let mesh = config.mesh.as_ref().map(|mesh| (mesh.listen, Service::Mesh));
        let mut all = [tv, receive, http, mesh].into_iter().flatten();
        all.find(|(listen, _)| *listen == at).map(|(_, service)| service)
    }

    /// Carries out what needs nobody else.
    fn act(&mut self, output: Output, files: &BTreeMap<String, u64>) {
        match output {
            Output::Open { blob, path } => {
                let len = files.get(&*path).filter(|_| !self.missing.contains(&*path));
                self.told.push_back(match len {
                    Some(len) => {
                        self.blobs.insert(blob, Content::file(&path, *len));
                        Told::Opened(blob)
                    }
                    None => Told::Unreadable(blob, "no such file"),
                });
            }
            // A block of known size is filled from several sides at once.
            Output::Create { blob, max } => {
                let known = max < limits::BLOCK_BYTES_MAX;
                let len = if known { size(max) } else { 0 };
                let empty = Content(vec![Piece::Own(vec![0; len])]);
                self.blobs.insert(blob, empty);
            }
            Output::Receive { conn, into } => {
                self.inboxes.entry(conn).or_default().directed = Some((into, into.from));
            }
            Output::Take { conn, bytes } => {
                self.inboxes.entry(conn).or_default().take = bytes.into();
            }
            Output::Hash { span } => {
                let bytes = self.blobs[&span.blob].part(span.from, span.len).bytes();
                self.told.push_back(Told::Hashed(span, *blake3::hash(&bytes).as_bytes()));
            }
            Output::Read { span } => {
                let bytes = self.blobs[&span.blob].part(span.from, span.len).bytes();
                self.told.push_back(Told::Read(span, bytes));
            }
            Output::Keep { blob, of, gather } => {
                let mut content = Content::default();
                let part = |piece: &Gathered| match *piece {
                    Gathered::Made { from, len } => {
                        let made = Content(vec![Piece::Own(gather.made.to_vec())]);
                        made.part(from.into(), len.into())
                    }
                    Gathered::Body { from, len } => {
                        self.blobs[&of.expect("pieces of a blob")].part(from.into(), len.into())
                    }
                };
                let pieces = gather.list.iter().flat_map(|piece| part(piece).0);
                pieces.for_each(|piece| content.push(piece));
                self.blobs.insert(blob, content);
            }
            Output::Seal { blob, len } => {
                assert_eq!(self.blobs[&blob].len(), len, "all that came is sealed");
                self.told.push_back(Told::Opened(blob));
            }
            Output::Release { blob } => drop(self.blobs.remove(&blob)),
            Output::Store { blob, len, name } => {
                let result = if self.full { Err(StoreError::Full) } else { Ok(len) };
                if result.is_ok() {
                    self.stored.insert(name.to_string(), self.blobs[&blob].part(0, len));
                }
                self.told.push_back(Told::Stored(name, result));
            }
            Output::Unstore { name } => drop(self.stored.remove(&*name)),
            Output::Log { level, text } => self.lines.push((level, text)),
            Output::Done => self.done = true,
            // Whoever is told to stop reading here has had all that will come.
            Output::Hold { .. } => {}
            other => panic!("nothing here can do this: {other:?}"),
        }
    }

    /// The channel's number and file on the air.
    pub(super) fn live(&self, channel: usize) -> Option<(u64, String)> {
        let block = self.node.channels.get(channel)?.window.live()?;
        Some((block.seq, block.file.to_string()))
    }

    pub(super) fn is_logged(&self, part: &str) -> bool {
        self.lines.iter().any(|(_, line)| line.contains(part))
    }

    /// Asserts that a node that has stopped holds nothing any more.
    pub(super) fn check_empty(&self) {
        let cx = &self.node.cx;
        assert!(self.done, "it has said that it is done");
        assert_eq!((cx.peers.len(), cx.wheel.len(), cx.blobs.len()), (0, 0, 0));
        assert_eq!((self.wires.len(), self.blobs.len()), (0, 0), "nor does its host");
    }
}

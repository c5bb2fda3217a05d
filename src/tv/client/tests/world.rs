//! Plays the server, the node, the kernel and the clock for one tv client. The server does what a
//! test tells it to; bytes that it sends are kept, so that each block can be compared with them.

use std::collections::BTreeMap;

use super::*;
use crate::base::arena::Key;
use crate::base::port::Wake;
use crate::base::time::Now;

/// How often blocks are taken to come.
pub(super) const PERIOD: Duration = Duration::from_secs(2);
/// From an output to what it brings about.
const LATENCY: Duration = Duration::from_millis(1);

/// What becomes of a connection to the server's command port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is taken, the command read, and closed.
    Taken,
    /// It is taken, and nothing more.
    Mute,
    /// Nothing ever comes back.
    Silent,
    /// It cannot be had.
    Fails(Gone),
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Ended,
    Closed(Gone),
}

/// A block as the client gave it on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Got {
    pub(super) bytes: Vec<u8>,
    pub(super) head: Vec<u8>,
}

/// A tv client and all that it deals with.
pub(super) struct World {
    pub(super) cx: Cx,
    pub(super) client: Client,
    pub(super) events: Vec<Event>,
    pub(super) blocks: Vec<Got>,
    /// Commands that reached the server: when, and what.
    pub(super) commands: Vec<(Duration, String)>,
    /// What becomes of the next connections to the server, the last for ever.
    pub(super) fates: VecDeque<Fate>,
    /// Whether the next seals fail, and why.
    pub(super) unsealable: Option<&'static str>,
    /// Commands under way.
    asking: BTreeMap<Conn, Fate>,
    /// Connections that were dialled in.
    receiving: BTreeMap<Conn, Blob>,
    contents: BTreeMap<Blob, Vec<u8>>,
    sealed: VecDeque<(Blob, u64)>,
    told: VecDeque<(Conn, Told)>,
    to_come: BTreeMap<(Mono, u64), (Conn, Told)>,
    serial: u64,
    began: Mono,
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn server() -> SocketAddr {
    "127.0.0.1:6060".parse().unwrap()
}

impl World {
    /// A client of channel 3 that has just been told to start.
    pub(super) fn new(seed: u64) -> Self {
        let began = Mono(7_000_000_000);
        let from = "127.0.0.9".parse().unwrap();
        let mut world = Self {
            cx: Cx::new(Now { mono: began, wall: Wall(1_000_000_000_000) }, seed),
            client: Client::new(server(), 3, Some(from), PERIOD),
            events: Vec::new(),
            blocks: Vec::new(),
            commands: Vec::new(),
            fates: [Fate::Taken].into(),
            unsealable: None,
            asking: BTreeMap::new(),
            receiving: BTreeMap::new(),
            contents: BTreeMap::new(),
            sealed: VecDeque::new(),
            told: VecDeque::new(),
            to_come: BTreeMap::new(),
            serial: 0,
            began,
        };
        world.client.start(&mut world.cx);
        world.settle();
        world
    }

    /// A client that has been let in.
    pub(super) fn watching() -> Self {
        let mut world = Self::new(1);
        world.run(ms(5));
        world.deliver(&[b"10"]);
        assert_eq!(
            (world.client.state(), world.take_events()),
            (State::Watching, vec![Event::Joined])
        );
        world
    }

    pub(super) fn time(&self) -> Duration {
        self.cx.now.mono.since(self.began)
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Somebody dials in where the server should; taken, or not.
    pub(super) fn dial_in(&mut self, from: &str) -> Option<Conn> {
        let before: Vec<_> = self.receiving.keys().copied().collect();
        let peer = SocketAddr::new(from.parse().unwrap(), 45_000);
        self.client.incoming(&mut self.cx, Some(peer));
        self.settle();
        self.receiving.keys().copied().find(|conn| !before.contains(conn))
    }

    /// The server sends bytes on a connection that it dialled.
    pub(super) fn pour(&mut self, conn: Conn, bytes: &[u8]) {
        let Some(blob) = self.receiving.get(&conn).copied() else { return };
        let content = self.contents.get_mut(&blob).expect("what is received has a place");
        content.extend_from_slice(bytes);
        let upto = content.len() as u64;
        self.filled(conn, upto);
    }

    /// As many bytes have come, without their being kept here.
    pub(super) fn filled(&mut self, conn: Conn, upto: u64) {
        if self.cx.is_open(conn) {
            self.client.filled(&mut self.cx, conn, upto);
        }
        self.settle();
    }

    /// The server hangs up on a connection that it dialled.
    pub(super) fn end(&mut self, conn: Conn) {
        self.told.push_back((conn, Told::Ended));
        self.settle();
    }

    /// A connection ends.
    pub(super) fn break_off(&mut self, conn: Conn, why: Gone) {
        self.told.push_back((conn, Told::Closed(why)));
        self.settle();
    }

    /// The room for a block cannot be had.
    pub(super) fn no_room(&mut self, conn: Conn) {
        if let Some(blob) = self.receiving.get(&conn).copied() {
            assert!(self.client.unreadable(&mut self.cx, blob, "no memory"));
            self.settle();
        }
    }

    /// One callback of the server from beginning to end, in these pieces.
    pub(super) fn deliver(&mut self, pieces: &[&[u8]]) {
        let conn = self.dial_in("127.0.0.1").expect("taken");
        for piece in pieces {
            self.pour(conn, piece);
        }
        self.end(conn);
    }

    /// A block each period, from now on.
    pub(super) fn stream(&mut self, blocks: usize, period: Duration) {
        for _ in 0..blocks {
            self.deliver(&[b"a block"]);
            self.run(period);
        }
    }

    pub(super) fn receiving(&self) -> impl Iterator<Item = Conn> {
        self.receiving.keys().copied()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.cx.now.mono.after(time);
        for _ in 0..1_000_000 {
            let coming = self.to_come.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = coming.into_iter().chain(self.cx.wheel.next()).min() else { break };
            if at > until {
                break;
            }
            self.advance(at.max(self.cx.now.mono));
            if coming == Some(at) {
                let (_, told) = self.to_come.pop_first().unwrap();
                self.told.push_back(told);
                self.settle();
            } else {
                self.fire();
            }
        }
        assert!(self.to_come.first_key_value().is_none_or(|((at, _), _)| *at > until), "it rests");
        self.advance(until);
    }

    fn advance(&mut self, mono: Mono) {
        let by = mono.since(self.cx.now.mono);
        self.cx.now = Now { mono, wall: self.cx.now.wall + by };
    }

    fn fire(&mut self) {
        while let Some((_, Wake { why, what })) = self.cx.wheel.pop_due(self.cx.now.mono) {
            if matches!(why, Why::Join | Why::Silent) {
                self.client.timer(&mut self.cx, why);
            } else {
                let conn = Conn(Key::from_bits(what));
                self.cx.peers.get_mut(conn.0).expect("timers end with their owner").timer = None;
                if why == Why::ClosePatience {
                    self.cx.out.push_back(Output::Close { conn, end: End::Reset });
                } else {
                    self.client.timeout(&mut self.cx, conn, why);
                }
            }
            self.settle();
        }
    }

    /// Carries out every output, and tells what that brings about, until there is nothing left.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                self.carry_out(output);
            }
            self.client.check_invariants(&self.cx);
            if let Some((conn, told)) = self.told.pop_front() {
                self.tell(conn, told);
            } else if let Some((blob, len)) = self.sealed.pop_front() {
                self.opened(blob, len);
            } else {
                break;
            }
        }
        self.collect();
        self.check();
    }

    fn tell(&mut self, conn: Conn, told: Told) {
        match told {
            Told::Ended if self.cx.is_open(conn) => self.client.ended(&mut self.cx, conn),
            Told::Ended => {}
            Told::Closed(why) => {
                let Some(peer) = self.cx.peers.remove(conn.0) else { return };
                peer.timer.and_then(|timer| self.cx.wheel.cancel(timer));
                self.asking.remove(&conn);
                self.receiving.remove(&conn);
                self.client.closed(&mut self.cx, conn, why);
            }
        }
    }

    fn opened(&mut self, blob: Blob, len: u64) {
        if let Some(why) = self.unsealable {
            assert!(self.client.unreadable(&mut self.cx, blob, why));
            return;
        }
        let content = &self.contents[&blob];
        assert_eq!(content.len() as u64, len, "all that came is sealed");
        let head = content[..content.len().min(limits::SNIFF_BYTES_MAX)].to_vec();
        let facts = Facts { len, modified: self.cx.now.wall, head: &head };
        assert!(self.client.opened(&mut self.cx, blob, facts));
    }

    /// Takes the events, and from those that are blocks the bytes.
    fn collect(&mut self) {
        while let Some(event) = self.client.poll_event() {
            if let Event::Block { blob, len, head, .. } = &event {
                let bytes = self.contents[blob].clone();
                assert_eq!(bytes.len() as u64, *len);
                self.blocks.push(Got { bytes, head: head.to_vec() });
                self.cx.release(*blob);
            }
            self.events.push(event);
        }
        while let Some(output) = self.cx.out.pop_front() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial { conn, to, from } => {
                assert_eq!((to, from), (server(), Some("127.0.0.9".parse().unwrap())));
                self.dial(conn);
            }
            Output::Send { conn, payload } => {
                let text = String::from_utf8(payload.head.into_vec()).unwrap();
                if self.asking[&conn] == Fate::Taken {
                    self.commands.push((self.time(), text));
                }
            }
            Output::Finish { conn } => {
                assert!(self.asking.contains_key(&conn), "only a command is finished");
            }
            Output::Close { conn, .. } => self.told.push_back((conn, Told::Closed(Gone::Closed))),
            Output::Create { blob, .. } => drop(self.contents.insert(blob, Vec::new())),
            Output::Receive { conn, into } => {
                assert_eq!((into.from, into.len), (0, limits::BLOCK_BYTES_MAX));
                self.receiving.insert(conn, into.blob);
            }
            Output::Seal { blob, len } => self.sealed.push_back((blob, len)),
            Output::Release { blob } => {
                assert!(self.contents.remove(&blob).is_some(), "a blob is released once");
            }
            Output::Accept { .. } => {}
            other => panic!("not the tv client's business: {other:?}"),
        }
    }

    fn dial(&mut self, conn: Conn) {
        let fate = if self.fates.len() > 1 { self.fates.pop_front() } else { None };
        let fate = fate.unwrap_or(self.fates[0]);
        self.asking.insert(conn, fate);
        let told = match fate {
            Fate::Taken => Told::Ended,
            Fate::Fails(why) => Told::Closed(why),
            Fate::Mute | Fate::Silent => return,
        };
        self.serial += 1;
        self.to_come.insert((self.cx.now.mono.after(LATENCY), self.serial), (conn, told));
    }

    fn check(&self) {
        for (_, peer) in self.cx.peers.iter() {
            assert!(peer.timer.is_some(), "each connection has a timer: {peer:?}");
        }
        let timers = self.cx.peers.len() + self.client.timers();
        assert_eq!(self.cx.wheel.len(), timers, "each timer has an owner");
        assert_eq!(self.cx.blobs.len(), self.client.blobs(), "each blob has an owner");
        assert_eq!(self.cx.blobs.len(), self.contents.len(), "and is one for `io`, too");
    }

    pub(super) fn leave(&mut self) {
        self.client.leave(&mut self.cx);
        self.settle();
    }

    /// Leaves; within a second nothing may be left.
    pub(super) fn finish(mut self) {
        self.leave();
        self.run(limits::TV_LINGER + LATENCY);
        assert_eq!(self.client.state(), State::Over);
        assert_eq!(self.events.iter().filter(|event| **event == Event::Left).count(), 1);
        assert_eq!((self.cx.peers.len(), self.cx.wheel.len()), (0, 0), "no connection, no timer");
        assert_eq!((self.cx.blobs.len(), self.contents.len()), (0, 0), "no blob");
    }
}

//! Plays node, kernel, network and clock for one tv server. What each client's host does with the
//! connections that come to it is programmed by address; nothing else is decided here. After each
//! step everything that must always hold is looked at.

use std::collections::BTreeMap;

use super::*;
use crate::base::port::{Blob, Output, Wake};
use crate::base::time::{Mono, Now, Wall};
use crate::media::sniff::Container;

/// How long a block lasts unless a test wants otherwise.
pub(super) const LASTS: Duration = Duration::from_secs(2);
/// Bytes of a block.
pub(super) const LEN: u64 = 1_000_000;
/// From an output to what it brings about.
const LATENCY: Duration = Duration::from_millis(1);
/// A host with a rate takes a part this often.
const SIP: Duration = Duration::from_millis(10);
/// How many blocks of a channel are kept.
const KEPT: usize = 3;

/// What a host does with one connection that is dialled to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Takes it, and all that comes.
    Takes,
    /// Takes it, and so many bytes a second.
    Rate(u64),
    /// Takes it, and not a byte.
    Stalls,
    /// Nobody listens.
    Refuses,
    /// Nobody listens until then.
    RefusesUntil(Mono),
    /// Nothing ever comes back.
    Silent,
    /// The connection ends like this after so many bytes.
    Breaks(u64, Gone),
    /// It cannot even be dialled.
    Fails(Gone),
}

/// What a callback carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Answer(Reply),
    Block(u64),
}

/// What became of one callback that carried something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Delivery {
    pub(super) address: IpAddr,
    pub(super) what: What,
    /// From its first byte to its end.
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// Whether it ended cleanly, all of it taken.
    pub(super) whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Connected,
    Sent { bytes: u64, left: u64 },
    Closed(Gone),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Connect,
    Take(u64),
    Break(Gone),
    HangUp,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Link(Conn, Step),
    Air(usize),
}

#[derive(Debug)]
struct Link {
    address: IpAddr,
    fate: Option<Fate>,
    carries: Option<What>,
    began: Mono,
    taken: u64,
    queued: u64,
    closing: bool,
    connecting: bool,
}

/// What is on in a channel.
#[derive(Debug)]
struct Programme {
    lasts: Duration,
    seq: u64,
    kept: VecDeque<Blob>,
}

/// A tv server and all that it deals with.
pub(super) struct World {
    pub(super) cx: Cx,
    pub(super) server: Server,
    pub(super) events: Vec<Event>,
    pub(super) deliveries: Vec<Delivery>,
    /// Every dial: when, to whom.
    pub(super) dialled: Vec<(Duration, IpAddr)>,
    /// The most that were being dialled at once.
    pub(super) dials_most: usize,
    /// The most command connections at once.
    pub(super) commands_most: usize,
    fates: BTreeMap<IpAddr, VecDeque<Fate>>,
    answers: BTreeMap<Conn, (String, bool)>,
    links: BTreeMap<Conn, Link>,
    told: VecDeque<(Conn, Told)>,
    to_come: BTreeMap<(Mono, u64), Happening>,
    serial: u64,
    programmes: BTreeMap<usize, Programme>,
    began: Mono,
    /// Of what happens at the same moment, whether timers come first.
    pub(super) timers_first: bool,
}

pub(super) fn ip(last: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x7f00_0000 + last).into()
}

/// The address that the server is asked at.
fn ours() -> IpAddr {
    ip(0x00_ffff)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn rules() -> config::Tv {
    config::Tv {
        listen: "127.0.0.1:6060".parse().unwrap(),
        callback_port: 9091,
        callback_allow: vec![Allow::Loopback],
        max_clients: 100,
        commands_max: 50,
        join_pause: ms(100),
    }
}

impl World {
    /// A server of so many channels, with room for 400 in each; nothing is on the air.
    pub(super) fn new(channels: usize, seed: u64) -> Self {
        let began = Mono(5_000_000_000);
        let mut cx = Cx::new(Now { mono: began, wall: Wall(1_000_000_000_000) }, seed);
        let mut server = Server::new(&rules(), &[]);
        server.set_channels(&mut cx, &vec![400; channels]);
        Self {
            cx,
            server,
            events: Vec::new(),
            deliveries: Vec::new(),
            dialled: Vec::new(),
            dials_most: 0,
            commands_most: 0,
            fates: BTreeMap::new(),
            answers: BTreeMap::new(),
            links: BTreeMap::new(),
            told: VecDeque::new(),
            to_come: BTreeMap::new(),
            serial: 0,
            programmes: BTreeMap::new(),
            began,
            timers_first: false,
        }
    }

    /// A server whose channel 0 has just put its block 0 on the air.
    pub(super) fn on_air() -> Self {
        let mut world = Self::new(1, 1);
        world.programme(0, LASTS);
        world
    }

    /// Time since the beginning.
    pub(super) fn time(&self) -> Duration {
        self.cx.now.mono.since(self.began)
    }

    /// That much later than now.
    pub(super) fn later(&self, by: Duration) -> Mono {
        self.cx.now.mono.after(by)
    }

    /// From now on a channel airs a block each `lasts`, the first at once.
    pub(super) fn programme(&mut self, channel: usize, lasts: Duration) {
        self.programmes.insert(channel, Programme { lasts, seq: 0, kept: VecDeque::new() });
        self.air(channel);
        self.settle();
    }

    /// Nothing more is aired in a channel, and what is kept is given up.
    pub(super) fn end_programme(&mut self, channel: usize) {
        self.server.off_air(channel);
        let kept = self.programmes.remove(&channel).into_iter().flat_map(|p| p.kept);
        kept.for_each(|blob| self.cx.release(blob));
        self.settle();
    }

    /// Airs a channel's next block now, whenever it was to be.
    pub(super) fn air_again(&mut self, channel: usize) {
        self.to_come.retain(|_, h| !matches!(h, Happening::Air(c) if *c == channel));
        self.air(channel);
        self.settle();
    }

    fn air(&mut self, channel: usize) {
        let Some(programme) = self.programmes.get_mut(&channel) else { return };
        let blob = self.cx.create(LEN).unwrap();
        programme.kept.push_back(blob);
        let old = if programme.kept.len() > KEPT { programme.kept.pop_front() } else { None };
        let (seq, lasts) = (programme.seq, programme.lasts);
        programme.seq += 1;
        if let Some(old) = old {
            self.cx.release(old);
        }
        let block = Block {
            seq,
            movie: "m".into(),
            index: 0,
            file: "m_00000.mkv".into(),
            blob,
            len: LEN,
            modified: Wall(0),
            container: Container::Mkv,
            starts_at: self.cx.now.wall,
            lasts,
            replaced: false,
            place: None,
        };
        self.server.air(&mut self.cx, channel, &block);
        self.plan(lasts, Happening::Air(channel));
    }

    fn seq_of(&self, blob: Blob) -> u64 {
        let found = self.programmes.values().find_map(|p| {
            let at = p.kept.iter().position(|kept| *kept == blob)? as u64;
            Some(p.seq - p.kept.len() as u64 + at)
        });
        found.expect("only blocks that are kept are sent")
    }

    /// What a host does with the connections to come, the last for ever.
    pub(super) fn fate(&mut self, address: IpAddr, fates: impl IntoIterator<Item = Fate>) {
        self.fates.insert(address, fates.into_iter().collect());
    }

    fn next_fate(&mut self, address: IpAddr) -> Fate {
        let Some(fates) = self.fates.get_mut(&address) else { return Fate::Takes };
        if fates.len() > 1 { fates.pop_front() } else { fates.front().copied() }
            .unwrap_or(Fate::Takes)
    }

    /// Connects to the command port.
    pub(super) fn connect(&mut self, from: IpAddr) -> Option<Conn> {
        let (local, peer) = (SocketAddr::new(ours(), 6060), SocketAddr::new(from, 40_000));
        self.server.incoming(&mut self.cx, Some(local), Some(peer));
        let accepted = self.cx.out.iter().find_map(|output| match output {
            Output::Accept { conn } => Some(*conn),
            _ => None,
        });
        if let Some(conn) = accepted {
            self.answers.insert(conn, (String::new(), false));
            self.link(conn, from, None);
        }
        self.settle();
        accepted
    }

    fn link(&mut self, conn: Conn, address: IpAddr, fate: Option<Fate>) {
        let link = Link {
            address,
            fate,
            carries: None,
            began: self.cx.now.mono,
            taken: 0,
            queued: 0,
            closing: false,
            connecting: fate.is_some(),
        };
        assert!(self.links.insert(conn, link).is_none(), "a connection begins once");
    }

    /// Bytes on a command connection, if it is still open.
    pub(super) fn feed(&mut self, conn: Conn, bytes: &[u8]) {
        if self.cx.is_open(conn) {
            self.server.data(&mut self.cx, conn, bytes);
        }
        self.settle();
    }

    /// The sender of a command hangs up.
    pub(super) fn hang_up(&mut self, conn: Conn) {
        if self.cx.is_open(conn) {
            self.server.ended(&mut self.cx, conn);
        }
        self.settle();
    }

    /// A whole command as the original client gives it: what comes back until the server says that
    /// no more will come.
    pub(super) fn ask(&mut self, from: IpAddr, command: &str) -> String {
        let conn = self.connect(from).expect("taken");
        self.feed(conn, command.as_bytes());
        assert!(self.answers[&conn].1, "all is said at once");
        self.plan(LATENCY, Happening::Link(conn, Step::HangUp));
        self.answers[&conn].0.clone()
    }

    /// What came back on a command connection; `None` while more may come.
    pub(super) fn answer(&self, conn: Conn) -> Option<&str> {
        let (text, over) = &self.answers[&conn];
        over.then_some(text)
    }

    pub(super) fn is_there(&self, conn: Conn) -> bool {
        self.links.contains_key(&conn)
    }

    /// Asks for channel 0 and waits until it watches.
    pub(super) fn join(&mut self, address: IpAddr) {
        self.ask(address, "100");
        self.run(ms(110));
        assert!(self.listed(0).contains(&address), "{address} is in");
    }

    /// Who is in a channel, as the server tells it.
    pub(super) fn listed(&mut self, channel: usize) -> Vec<IpAddr> {
        let text = self.ask(ip(0xff_0001), &format!("11{channel}"));
        let count = self.ask(ip(0xff_0001), &format!("13{channel}"));
        let clients = wire::parse_list(&text).expect("a list");
        assert_eq!(count, clients.len().to_string());
        clients
    }

    pub(super) fn strikes(&self, address: IpAddr) -> Option<u8> {
        self.server.clients().find(|viewer| viewer.address == address).map(|v| v.strikes)
    }

    /// Blocks that somebody got whole, in the order in which they ended.
    pub(super) fn blocks(&self, address: IpAddr) -> Vec<u64> {
        let whole = self.deliveries.iter().filter(|d| d.address == address && d.whole);
        let blocks = whole.map(|d| d.what);
        blocks.filter_map(|w| if let What::Block(seq) = w { Some(seq) } else { None }).collect()
    }

    /// Everything that was sent to somebody.
    pub(super) fn sent_to(&self, address: IpAddr) -> Vec<Delivery> {
        self.deliveries.iter().filter(|d| d.address == address).copied().collect()
    }

    /// When somebody was dialled.
    pub(super) fn dials_to(&self, address: IpAddr) -> Vec<Duration> {
        self.dialled.iter().filter(|(_, to)| *to == address).map(|(at, _)| *at).collect()
    }

    fn plan(&mut self, after: Duration, happening: Happening) {
        self.serial += 1;
        self.to_come.insert((self.cx.now.mono.after(after), self.serial), happening);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.cx.now.mono.after(time);
        for _ in 0..10_000_000_u64 {
            let happening = self.to_come.first_key_value().map(|((at, _), _)| *at);
            let timer = self.cx.wheel.next();
            let Some(at) = happening.into_iter().chain(timer).min() else { break };
            if at > until {
                break;
            }
            self.advance(at.max(self.cx.now.mono));
            if happening == Some(at) && !(self.timers_first && timer == happening) {
                let (_, happening) = self.to_come.pop_first().unwrap();
                self.happen(happening);
            } else {
                self.fire();
            }
        }
        assert!(self.to_come.first_key_value().is_none_or(|((at, _), _)| *at > until), "it rests");
        self.advance(until);
    }

    /// Lets time pass until then, from the beginning.
    pub(super) fn run_to(&mut self, time: Duration) {
        self.run(time.checked_sub(self.time()).expect("it lies ahead"));
    }

    fn advance(&mut self, mono: Mono) {
        let by = mono.since(self.cx.now.mono);
        self.cx.now = Now { mono, wall: self.cx.now.wall + by };
    }

    fn fire(&mut self) {
        while let Some((_, Wake { why, what })) = self.cx.wheel.pop_due(self.cx.now.mono) {
            if matches!(why, Why::JoinPause | Why::CallbackRetry) {
                self.server.client_timeout(&mut self.cx, what, why);
            } else {
                let conn = Conn(Key::from_bits(what));
                self.cx.peers.get_mut(conn.0).expect("timers end with their owner").timer = None;
                if why == Why::ClosePatience {
                    self.cx.out.push_back(Output::Close { conn, end: End::Reset });
                } else {
                    self.server.timeout(&mut self.cx, conn, why);
                }
            }
            self.settle();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Air(channel) => self.air(channel),
            Happening::Link(conn, step) => self.step(conn, step),
        }
        self.settle();
    }

    fn step(&mut self, conn: Conn, step: Step) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        match step {
            Step::Connect => {
                link.connecting = false;
                self.told.push_back((conn, Told::Connected));
            }
            Step::Take(bytes) => {
                let bytes = bytes.min(link.queued);
                link.queued -= bytes;
                link.taken += bytes;
                let left = link.queued;
                if bytes > 0 {
                    self.told.push_back((conn, Told::Sent { bytes, left }));
                }
                self.sip(conn);
            }
            Step::Break(why) => self.drop_link(conn, why),
            Step::HangUp => self.hang_up(conn),
        }
    }

    /// Plans what a host does next with what is queued for it.
    fn sip(&mut self, conn: Conn) {
        let Some(link) = self.links.get(&conn).filter(|link| link.queued > 0) else { return };
        let (fate, taken) = (link.fate, link.taken);
        let mut plan = |after, step| self.plan(after, Happening::Link(conn, step));
        match fate {
            Some(Fate::Rate(rate)) => plan(SIP, Step::Take(rate / 100)),
            Some(Fate::Breaks(after, _)) if taken < after => plan(LATENCY, Step::Take(after)),
            Some(Fate::Breaks(_, why)) => plan(LATENCY, Step::Break(why)),
            None | Some(Fate::Takes | Fate::RefusesUntil(_)) => {
                plan(LATENCY, Step::Take(u64::MAX));
            }
            Some(Fate::Stalls | Fate::Refuses | Fate::Silent | Fate::Fails(_)) => {}
        }
    }

    /// Carries out every output, and tells what that brings about, until there is nothing left.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                self.carry_out(output);
            }
            self.server.check_invariants(&self.cx);
            let Some((conn, told)) = self.told.pop_front() else { break };
            self.tell(conn, told);
        }
        self.check();
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    fn tell(&mut self, conn: Conn, told: Told) {
        match told {
            Told::Closed(why) => {
                let peer = self.cx.peers.remove(conn.0).expect("a connection is closed once");
                peer.timer.and_then(|timer| self.cx.wheel.cancel(timer));
                self.server.closed(&mut self.cx, conn, why);
            }
            _ if !self.cx.is_open(conn) => {}
            Told::Connected => self.server.connected(&mut self.cx, conn),
            Told::Sent { bytes, left } => self.server.sent(&mut self.cx, conn, bytes, left),
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial { conn, to, from } => {
                assert_eq!(from, Some(ours()), "clients know the server by this address only");
                self.dial(conn, to);
            }
            Output::Send { conn, payload } => self.send(conn, &payload),
            Output::Finish { conn } => self.answers.get_mut(&conn).unwrap().1 = true,
            Output::Close { conn, end } => self.close(conn, end),
            Output::Accept { .. } | Output::Create { .. } | Output::Release { .. } => {}
            other => panic!("not the tv server's business: {other:?}"),
        }
    }

    fn dial(&mut self, conn: Conn, to: SocketAddr) {
        assert_eq!(to.port(), 9091);
        let again = self.links.values().any(|l| l.fate.is_some() && l.address == to.ip());
        assert!(!again, "{to} has a callback already");
        self.dialled.push((self.time(), to.ip()));
        let fate = self.next_fate(to.ip());
        let step = match fate {
            Fate::Refuses => Step::Break(Gone::Refused),
            Fate::RefusesUntil(until) if self.cx.now.mono < until => Step::Break(Gone::Refused),
            Fate::Fails(why) => Step::Break(why),
            _ => Step::Connect,
        };
        self.link(conn, to.ip(), Some(fate));
        if fate != Fate::Silent {
            self.plan(LATENCY, Happening::Link(conn, step));
        }
    }

    fn send(&mut self, conn: Conn, payload: &Payload) {
        let carries = payload.body.map(|body| What::Block(self.seq_of(body.blob)));
        let link = self.links.get_mut(&conn).expect("only what is open is sent to");
        link.queued += payload.len();
        if link.fate.is_some() {
            assert!(link.carries.is_none() && !link.connecting, "one thing a callback");
            let answer = || Reply::parse(&payload.head).map(What::Answer);
            link.carries = carries.or_else(answer);
            assert!(link.carries.is_some(), "an answer or a block");
            link.began = self.cx.now.mono;
        } else {
            let text = std::str::from_utf8(&payload.head).unwrap();
            self.answers.get_mut(&conn).unwrap().0.push_str(text);
        }
        self.sip(conn);
    }

    fn close(&mut self, conn: Conn, end: End) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.closing = true;
        if end == End::Reset || link.connecting || link.queued == 0 {
            self.drop_link(conn, Gone::Closed);
        }
    }

    /// A connection ends.
    pub(super) fn break_off(&mut self, conn: Conn, why: Gone) {
        self.drop_link(conn, why);
        self.settle();
    }

    fn drop_link(&mut self, conn: Conn, why: Gone) {
        let Some(link) = self.links.remove(&conn) else { return };
        self.told.push_back((conn, Told::Closed(why)));
        if let Some(what) = link.carries {
            let (address, whole) = (link.address, link.queued == 0 && why == Gone::Closed);
            let (began, ended) = (link.began.since(self.began), self.time());
            self.deliveries.push(Delivery { address, what, began, ended, whole });
        }
    }

    fn check(&mut self) {
        for (key, peer) in self.cx.peers.iter() {
            assert!(peer.timer.is_some(), "each connection has a timer: {key:?} {peer:?}");
        }
        let timers = self.cx.peers.len() + self.server.timers();
        assert_eq!(self.cx.wheel.len(), timers, "each timer has an owner");
        let connecting = self.links.values().filter(|link| link.connecting).count();
        assert_eq!(connecting, self.server.dials(), "what is dialled is counted");
        self.dials_most = self.dials_most.max(connecting);
        let commands = self.links.values().filter(|link| link.fate.is_none() && !link.closing);
        self.commands_most = self.commands_most.max(commands.count());
    }

    /// Stops everything; nothing may be left.
    pub(super) fn finish(mut self) {
        let lasts = self.programmes.values().map(|p| p.lasts).max().unwrap_or_default();
        let dialled = self.dialled.len();
        self.server.drain(&mut self.cx);
        self.settle();
        for channel in self.programmes.keys().copied().collect::<Vec<_>>() {
            self.end_programme(channel);
        }
        self.run(limits::TV_GRACE + limits::TV_COMMAND_PATIENCE + lasts * 3);
        assert_eq!(self.dialled.len(), dialled, "nobody is dialled while draining");
        assert_eq!((self.links.len(), self.cx.peers.len()), (0, 0), "no connection is left");
        assert_eq!((self.cx.wheel.len(), self.cx.blobs.len()), (0, 0), "no timer and no blob");
        assert_eq!(self.server.roster.iter().count(), 0, "and no client");
        assert_eq!(self.server.dials.iter().count() + self.server.dials.waiting(), 0);
    }
}

//! The ticker's server: registrations in, one datagram an event to each member out.
//!
//! | state | what ends it |
//! |---|---|
//! | idle: no event is due | game, file: the first registration; FIFO, socket: a line |
//! | transmitting: an event each interval at most | the source's end: `End of transmission` |
//!
//! With the end everybody is forgotten: a registration is for one transmission, and the original
//! clients stop there too. A match and a file wait for their first member and then go on by the
//! clock, whoever stays; a FIFO and a socket go on by those who write. The count begins with 1 in
//! each transmission and a line that is refused has none, so that a hole in it is always a loss.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Output, Service, Why};
use crate::base::time::Mono;
use crate::base::wheel::Timer;
use crate::config;
use crate::events::feed::{Feed, Lines};
use crate::events::game::Game;
use crate::events::members::{Entry, Members};
use crate::events::teams::Teams;
use crate::events::wire::{self, Bad, Request};

pub use crate::events::feed::LineError;

/// What may change while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Between two events, at least.
    pub interval: Duration,
    /// Members at once.
    pub members_max: usize,
    /// Of these at one address; 0 sets no limit.
    pub per_address_max: usize,
    /// Silence after which a member is forgotten; zero for never.
    pub expire: Duration,
    /// Whether an address must register again after its first event.
    pub prove: bool,
}

impl Rules {
    fn of(config: &config::Events) -> Self {
        let config::Events { interval, members_max, per_address_max, expire, prove, .. } = *config;
        Self { interval, members_max, per_address_max, expire, prove }
    }
}

/// Where events come from.
#[derive(Debug)]
pub enum Source {
    /// Simulated matches of these teams, the first drawn from this seed.
    Game(Teams, u64),
    /// Lines that wait in a file until somebody wants them.
    File,
    /// Lines as somebody writes them, into a FIFO or a socket.
    Live,
}

/// What happened, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A new member.
    Joined(SocketAddr),
    /// A member has unregistered.
    Left(SocketAddr),
    /// A member was silent too long.
    Expired(SocketAddr),
    /// Nobody more is taken in, in all or from this address. Told once a minute at most.
    Full {
        /// Who was the last.
        address: SocketAddr,
        /// How many since it was last told.
        refused: u64,
    },
    /// A datagram that is no command.
    BadRequest {
        /// From whom.
        address: SocketAddr,
        /// What it is instead.
        why: Bad,
        /// Its bytes, as far as they may be shown.
        bytes: Vec<u8>,
    },
    /// A match begins.
    KickOff {
        /// Who plays.
        teams: [String; 2],
        /// With this seed it can be had again.
        seed: u64,
    },
    /// A line of the source was refused.
    BadLine(LineError),
    /// The source has ended, after so many events.
    Ended(u64),
}

/// Counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Events of all transmissions.
    pub events: u64,
    /// Datagrams that were wanted for them.
    pub datagrams: u64,
    /// New members.
    pub joins: u64,
    /// Registrations for which there was no room.
    pub refused: u64,
    /// Datagrams that were no command.
    pub bad_requests: u64,
    /// Lines that were refused.
    pub bad_lines: u64,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    members: Members,
    source: Source,
    game: Option<Game>,
    feed: Feed,
    /// Who writes lines: connections, and none for the file or FIFO.
    writers: BTreeMap<Option<Conn>, Writer>,
    /// Whether something has been sent, or is awaited, that must be ended.
    transmitting: bool,
    count: u64,
    matches: u64,
    /// Before this no event is sent.
    due: Mono,
    tick: Option<Timer>,
    full: Full,
    /// When it was last looked for those who are silent.
    swept: Mono,
    stats: Stats,
    events: VecDeque<Event>,
}

#[derive(Debug, Default)]
struct Writer {
    lines: Lines,
    held: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Full {
    refused: u64,
    said: Option<Mono>,
}

impl Server {
    /// A server that nobody has registered with. [`Server::start`] begins.
    #[must_use]
    pub fn new(config: &config::Events, source: Source) -> Self {
        Self {
            rules: Rules::of(config),
            members: Members::default(),
            source,
            game: None,
            feed: Feed::default(),
            writers: BTreeMap::new(),
            transmitting: false,
            count: 0,
            matches: 0,
            due: Mono::default(),
            tick: None,
            full: Full::default(),
            swept: Mono::default(),
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Begins to read a live source; the others wait for a member.
    pub fn start(&mut self, cx: &mut Cx) {
        if matches!(self.source, Source::Live) {
            cx.out.push_back(Output::HoldLines { on: false });
        }
    }

    /// Lives by other rules from now on; what is due stays due.
    pub fn set_rules(&mut self, config: &config::Events) {
        self.rules = Rules::of(config);
    }

    /// A datagram arrived.
    pub fn datagram(&mut self, cx: &mut Cx, from: SocketAddr, bytes: &[u8]) {
        match Request::parse(bytes) {
            Ok(Request::Register) => self.register(cx, from),
            Ok(Request::Unregister) => {
                if self.members.leave(from) {
                    self.events.push_back(Event::Left(from));
                }
            }
            Err(why) => {
                self.stats.bad_requests += 1;
                let bytes = bytes[..bytes.len().min(limits::SHOWN_BYTES_MAX + 1)].to_vec();
                self.events.push_back(Event::BadRequest { address: from, why, bytes });
            }
        }
    }

    fn register(&mut self, cx: &mut Cx, from: SocketAddr) {
        self.sweep(cx.now.mono);
        match self.members.enter(cx.now.mono, from, &self.rules) {
            Entry::Known => {}
            Entry::New => {
                self.stats.joins += 1;
                self.events.push_back(Event::Joined(from));
                self.wanted(cx);
            }
            Entry::Full => self.refuse(cx.now.mono, from),
        }
    }

    fn refuse(&mut self, now: Mono, address: SocketAddr) {
        self.stats.refused += 1;
        self.full.refused += 1;
        if self.full.said.is_none_or(|at| now.since(at) >= limits::SAY_AGAIN) {
            let refused = std::mem::take(&mut self.full.refused);
            self.full.said = Some(now);
            self.events.push_back(Event::Full { address, refused });
        }
    }

    /// Somebody listens: what waited for that begins.
    fn wanted(&mut self, cx: &mut Cx) {
        if self.transmitting {
            return;
        }
        match &self.source {
            Source::Live => {}
            Source::File => {
                self.transmitting = true;
                cx.out.push_back(Output::HoldLines { on: false });
            }
            Source::Game(teams, first) => {
                let seed = first.wrapping_add(self.matches);
                let game = Game::new(teams, seed);
                let teams = game.teams().map(str::to_owned);
                self.events.push_back(Event::KickOff { teams, seed });
                self.game = Some(game);
                self.matches += 1;
                self.transmitting = true;
                self.due = cx.now.mono.after(self.rules.interval);
                self.arm(cx);
            }
        }
    }

    fn arm(&mut self, cx: &mut Cx) {
        let after = self.due.since(cx.now.mono);
        self.tick = Some(cx.wake(Why::EventsTick, 0, after));
    }

    /// The next event is due.
    pub fn tick(&mut self, cx: &mut Cx) {
        self.tick = None;
        if self.game.is_some() { self.play(cx) } else { self.pump(cx) }
    }

    fn play(&mut self, cx: &mut Cx) {
        let Some(mut event) = self.game.as_mut().and_then(Game::play) else {
            return self.finish(cx);
        };
        event.message.count = self.count + 1;
        match event.encode() {
            Ok(bytes) => self.send(cx, bytes),
            Err(large) => self.bad_line(LineError::Large(large)),
        }
        self.advance(cx.now.mono);
        self.arm(cx);
    }

    /// The next event is an interval after the last was due, so that nothing drifts; one that is
    /// late by more than that does not bring the next ones early.
    fn advance(&mut self, now: Mono) {
        let next = self.due.after(self.rules.interval);
        self.due = if next > now { next } else { now.after(self.rules.interval) };
    }

    /// Forgets the silent; a walk over all members, so not with each event.
    fn sweep(&mut self, now: Mono) {
        if now.since(self.swept) >= limits::EVENTS_SWEEP_EVERY {
            self.swept = now;
            let silent = self.members.expire(now, &self.rules);
            self.events.extend(silent.into_iter().map(Event::Expired));
        }
    }

    fn send(&mut self, cx: &mut Cx, bytes: Rc<[u8]>) {
        self.sweep(cx.now.mono);
        self.count += 1;
        self.stats.events += 1;
        self.send_all(cx, bytes);
    }

    fn send_all(&mut self, cx: &mut Cx, bytes: Rc<[u8]>) {
        let to = self.members.recipients();
        if !to.is_empty() {
            self.stats.datagrams += to.len() as u64;
            cx.out.push_back(Output::SendAll { service: Service::Events, to, bytes });
        }
    }

    fn bad_line(&mut self, why: LineError) {
        self.stats.bad_lines += 1;
        self.events.push_back(Event::BadLine(why));
    }

    /// The source has ended: tells everybody, and forgets them.
    fn finish(&mut self, cx: &mut Cx) {
        if self.transmitting {
            self.send_all(cx, wire::END.into());
            self.events.push_back(Event::Ended(self.count));
        }
        self.members.clear();
        self.game = None;
        self.feed = Feed::default();
        self.writers.clear();
        self.transmitting = false;
        self.count = 0;
        self.start(cx);
    }

    /// Ends what is under way, for good.
    pub fn drain(&mut self, cx: &mut Cx) {
        if let Some(tick) = self.tick.take() {
            cx.wheel.cancel(tick);
        }
        self.transmitting |= self.members.len() > 0;
        for conn in self.writers.keys().copied().flatten().collect::<Vec<_>>() {
            cx.close(conn, End::Flushed);
        }
        self.finish(cx);
        cx.out.push_back(Output::HoldLines { on: true });
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Members now.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Timers of its own in the wheel.
    #[must_use]
    pub fn timers(&self) -> usize {
        usize::from(self.tick.is_some())
    }

    /// Holds the books against each other.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        self.members.check_invariants();
        assert!(self.game.is_none() || self.tick.is_some(), "a match goes on");
        for (conn, writer) in &self.writers {
            let open = conn.is_none_or(|conn| cx.peers.get(conn.0).is_some());
            assert!(open || writer.ended, "who writes is there, or has ended");
            assert!(!writer.lines.has_line() || self.tick.is_some(), "a line has its time");
        }
    }
}

// Lines, from wherever.
impl Server {
    /// Bytes of the file or FIFO.
    pub fn lines(&mut self, cx: &mut Cx, bytes: &[u8]) {
        self.written(cx, None, bytes);
    }

    /// The file is read, or the FIFO's writers have closed it.
    pub fn lines_ended(&mut self, cx: &mut Cx) {
        // What the next writer writes must wait until this transmission has ended.
        self.writers.entry(None).or_default().held = true;
        cx.out.push_back(Output::HoldLines { on: true });
        self.writer_ended(cx, None);
    }

    /// Somebody connected to the socket.
    pub fn incoming(&mut self, cx: &mut Cx) {
        let open = self.writers.values().filter(|w| !w.ended).count();
        if open >= limits::EVENTS_FEEDERS_MAX {
            return;
        }
        let patience = (Why::EventsFeeder, limits::EVENTS_FEEDER_EVERY);
        if let Some(conn) = cx.accept(Service::EventLines, None, patience) {
            let bytes = u32::try_from(limits::EVENTS_READ_BYTES_MAX).unwrap_or(u32::MAX);
            cx.out.push_back(Output::Take { conn, bytes });
            self.writers.insert(Some(conn), Writer::default());
        }
    }

    /// Bytes of a connection.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        if self.writers.contains_key(&Some(conn)) {
            self.written(cx, Some(conn), bytes);
        }
    }

    /// A connection will send no more.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        cx.close(conn, End::Flushed);
        self.writer_ended(cx, Some(conn));
    }

    /// A connection is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn) {
        self.writer_ended(cx, Some(conn));
    }

    /// A connection has been silent, which is no fault.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        cx.arm(conn, Why::EventsFeeder, limits::EVENTS_FEEDER_EVERY);
    }

    fn written(&mut self, cx: &mut Cx, who: Option<Conn>, bytes: &[u8]) {
        self.writers.entry(who).or_default().lines.push(bytes);
        self.transmitting = true;
        if self.tick.is_none() {
            self.pump(cx);
        } else {
            self.hold(cx);
        }
    }

    fn writer_ended(&mut self, cx: &mut Cx, who: Option<Conn>) {
        let Some(writer) = self.writers.get_mut(&who).filter(|w| !w.ended) else { return };
        writer.ended = true;
        writer.lines.finish();
        if self.tick.is_none() {
            self.pump(cx);
        }
    }

    /// Sends what may be sent now, and waits for its time with the rest.
    fn pump(&mut self, cx: &mut Cx) {
        while self.due <= cx.now.mono {
            let Some(line) = self.next_line() else { break };
            if self.read(cx, line) {
                self.advance(cx.now.mono);
            }
        }
        self.writers.retain(|_, w| !w.ended || w.lines.has_line());
        if self.writers.values().any(|w| w.lines.has_line()) {
            self.arm(cx);
        } else if self.writers.is_empty() && self.transmitting {
            return self.finish(cx);
        }
        self.hold(cx);
    }

    /// The next line of any writer.
    fn next_line(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        self.writers.values_mut().find_map(|writer| writer.lines.take())
    }

    /// Makes an event of a line; whether it became one.
    fn read(&mut self, cx: &mut Cx, line: Result<Vec<u8>, LineError>) -> bool {
        match line.and_then(|line| self.feed.read(&line, self.count + 1)) {
            Ok(Some(bytes)) => {
                self.send(cx, bytes);
                true
            }
            Ok(None) => false,
            Err(why) => {
                self.bad_line(why);
                false
            }
        }
    }

    /// Reads from those writers of whom no line waits.
    fn hold(&mut self, cx: &mut Cx) {
        for (who, writer) in self.writers.iter_mut().filter(|(_, w)| !w.ended) {
            let on = writer.lines.has_line();
            if std::mem::replace(&mut writer.held, on) == on {
                continue;
            }
            match *who {
                None => cx.out.push_back(Output::HoldLines { on }),
                Some(conn) if cx.is_open(conn) => cx.out.push_back(Output::Hold { conn, on }),
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

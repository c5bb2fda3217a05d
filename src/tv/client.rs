//! The tv client: joins a channel of a tv server (ours or the original), takes its answers and
//! blocks on the port where the server dials in, joins again when blocks stop, leaves at the end.
//!
//! | state | told | becomes |
//! |---|---|---|
//! | idle | [`Why::Join`] | asking: `10c` is sent |
//! | asking | `10` arrives | watching |
//! | | `00` arrives | idle, asks again after the backoff; with a mesh: listing, `11c` is sent |
//! | | a block arrives (an answer that came late) | watching |
//! | | [`Why::Silent`], no connection | idle, asks again after the backoff |
//! | watching | a block arrives | watching, backoff back to its start |
//! | | [`Why::Silent`]: three periods without one | idle, asks again after the backoff |
//! | listing | a list of others | resting, until [`Client::ask_again`] |
//! | | no list, nobody in it, patience over | idle, asks again after the backoff |
//! | any | [`Client::leave`] | leaving: `12c` is sent |
//! | leaving | the server hangs up, or patience ends | over: what still comes is cut off |
//!
//! The period is learnt from the blocks. One that was assumed much too short would have us join
//! again before each next block, for ever: so it doubles until a gap can be measured.
//!
//! The wire does not say what a connection carries: two bytes `10` or `00` and the end are an
//! answer, anything else is a block. Everything received goes into a blob without passing through
//! this code.

mod list;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, End, Facts, Gone, Output, Payload, Service, Span, Why};
use crate::base::time::{Mono, Wall};
use crate::base::wheel::Timer;
use crate::tv::callback::canonical;
use crate::tv::wire::{Ask, Command, REPLY_BYTES, Reply};

/// A period is believed between these.
const PERIODS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The server let us in.
    Joined,
    /// The server is full or has no such channel; asking again after this.
    Full {
        /// The wait.
        again_in: Duration,
    },
    /// The server cannot be reached or does not answer; asking again after this.
    Unanswered {
        /// What the connection said, if it said anything.
        why: Option<Gone>,
        /// The wait.
        again_in: Duration,
    },
    /// Blocks have stopped coming.
    Silent {
        /// For so long.
        since: Duration,
    },
    /// A block is complete.
    Block {
        /// Its bytes; the receiver of this event owns them.
        blob: Blob,
        /// How many.
        len: u64,
        /// Its first bytes.
        head: Box<[u8]>,
        /// When it was complete.
        at: Wall,
    },
    /// A block broke off and is thrown away.
    Torn {
        /// After so many bytes.
        bytes: u64,
    },
    /// Somebody who is not the server dialled in.
    Stranger {
        /// Who.
        address: IpAddr,
    },
    /// A block could not be kept in memory.
    Unreceivable {
        /// Why.
        why: String,
    },
    /// We were not let in, and these are: one of them may pass the channel on.
    Listed {
        /// Never none.
        clients: Vec<IpAddr>,
    },
    /// We have left, or tried to.
    Left,
}

/// Where the client is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Between two tries.
    Idle,
    /// `10c` is on its way, or waits for its answer.
    Asking,
    /// In the channel.
    Watching,
    /// `11c` is on its way, or waits for its answer.
    Listing,
    /// Somebody else brings the channel.
    Resting,
    /// `12c` is on its way.
    Leaving,
    /// Out.
    Over,
}

impl State {
    /// The name in the status document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "waiting",
            Self::Asking => "joining",
            Self::Watching => "watching",
            Self::Listing => "asking who is in",
            Self::Resting => "out, in the mesh",
            Self::Leaving => "leaving",
            Self::Over => "left",
        }
    }
}

/// Counters of a tv client.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the names say what is counted")]
pub struct Stats {
    pub blocks: u64,
    pub bytes: u64,
    pub joins: u64,
    pub rejected: u64,
    pub torn: u64,
    pub strangers: u64,
    pub last_block_at: Option<Wall>,
}

#[derive(Debug)]
struct Receiving {
    blob: Blob,
    bytes: u64,
}

/// A client of one channel of one server.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    channel: u8,
    /// Where the server dials in is also where our commands come from.
    from: Option<IpAddr>,
    period: Duration,
    state: State,
    backoff: Duration,
    timer: Option<Timer>,
    command: Option<Conn>,
    /// Whether others who are let in may pass the channel on.
    has_mesh: bool,
    /// The list of those, as far as it has come.
    list: Vec<u8>,
    receiving: Side<Receiving>,
    sealing: VecDeque<(Blob, u64)>,
    /// When we were let in, or the last block came.
    heard: Mono,
    /// Blocks since we were let in.
    blocks_in: u64,
    last_block: Option<Mono>,
    /// Whether a gap was measured since we were last let in.
    measured: bool,
    stats: Stats,
    events: VecDeque<Event>,
}

impl Client {
    /// A client of `channel` (0 to 9) at `server`. `from` is the address that the server dials,
    /// when it is not any; `period` is how often blocks come until that is measured.
    #[must_use]
    pub fn new(server: SocketAddr, channel: u8, from: Option<IpAddr>, period: Duration) -> Self {
        Self {
            server,
            channel,
            from,
            period,
            state: State::Idle,
            backoff: limits::TV_REJOIN_MIN,
            timer: None,
            command: None,
            has_mesh: false,
            list: Vec::new(),
            receiving: Side::default(),
            sealing: VecDeque::new(),
            heard: Mono::default(),
            blocks_in: 0,
            last_block: None,
            measured: false,
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Another assumed period, until the next is measured.
    pub fn set_period(&mut self, period: Duration) {
        (self.period, self.measured) = (period, false);
    }

    /// Joins. The port where the server dials in must be open by now.
    pub fn start(&mut self, cx: &mut Cx) {
        self.state = State::Asking;
        self.command(cx, Ask::Join);
        self.watch(cx);
    }

    fn command(&mut self, cx: &mut Cx, ask: Ask) {
        if let Some(old) = self.command.take() {
            cx.close(old, End::Reset);
        }
        let to = (self.server, self.from);
        let patience = (Why::JoinPatience, limits::TV_COMMAND_PATIENCE);
        self.command = cx.dial(Service::TvCommand, to, patience);
        if let Some(conn) = self.command {
            let command = Command { ask, channel: self.channel };
            cx.send(conn, Payload::bytes(command.emit().to_vec()));
            cx.finish(conn);
        }
    }

    /// Waits three periods for a block or an answer.
    fn watch(&mut self, cx: &mut Cx) {
        let patience = self.period * limits::TV_SILENT_PERIODS;
        // The original answers a join only when it comes round to it.
        let patience = if matches!(self.state, State::Asking | State::Listing) {
            patience.max(limits::TV_COMMAND_PATIENCE)
        } else {
            patience
        };
        self.set_timer(cx, Why::Silent, patience);
    }

    fn set_timer(&mut self, cx: &mut Cx, why: Why, after: Duration) {
        if let Some(old) = self.timer.take() {
            cx.wheel.cancel(old);
        }
        self.timer = Some(cx.wake(why, 0, after));
    }

    /// Somebody dialled in where the server should.
    pub fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        let Some(peer) = peer else { return };
        let address = canonical(peer.ip());
        if address != canonical(self.server.ip()) {
            self.stats.strangers += 1;
            return self.events.push_back(Event::Stranger { address });
        }
        let full = self.receiving.len() >= limits::TV_CALLBACKS_MAX;
        if full || matches!(self.state, State::Leaving | State::Over) {
            return;
        }
        let Some(blob) = cx.create(limits::BLOCK_BYTES_MAX) else { return };
        let patience = (Why::ReceivePatience, self.receive_patience());
        let Some(conn) = cx.accept(Service::TvReceive, Some(peer), patience) else {
            return cx.release(blob);
        };
        let into = Span { blob, from: 0, len: limits::BLOCK_BYTES_MAX };
        cx.out.push_back(Output::Receive { conn, into });
        self.receiving.insert(conn.0, Receiving { blob, bytes: 0 });
    }

    /// How long a block may rest in the middle.
    fn receive_patience(&self) -> Duration {
        (self.period * limits::TV_SILENT_PERIODS).max(limits::TV_COMMAND_PATIENCE)
    }

    /// Bytes arrived in a block.
    pub fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) {
        let patience = self.receive_patience();
        let Some(receiving) = self.receiving.get_mut(conn.0) else { return };
        receiving.bytes = upto;
        if upto >= limits::BLOCK_BYTES_MAX {
            return self.tear(cx, conn);
        }
        cx.arm(conn, Why::ReceivePatience, patience);
    }

    /// The other side sends no more: a block is whole, or a command is done.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        cx.close(conn, End::Flushed);
        if self.command == Some(conn) {
            self.command_over(cx);
        }
        let Some(Receiving { blob, bytes }) = self.receiving.remove(conn.0) else { return };
        if bytes == 0 {
            return cx.release(blob);
        }
        self.sealing.push_back((blob, bytes));
        cx.out.push_back(Output::Seal { blob, len: bytes });
    }

    fn command_over(&mut self, cx: &mut Cx) {
        self.command = None;
        if self.state == State::Listing {
            self.listed(cx);
        }
        if self.state == State::Leaving {
            self.over(cx);
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        if self.command == Some(conn) {
            self.command_over(cx);
            if self.state == State::Asking && why != Gone::Closed {
                self.unanswered(cx, Some(why));
            }
        }
        self.tear(cx, conn);
    }

    /// Gives up what a connection has brought so far.
    fn tear(&mut self, cx: &mut Cx, conn: Conn) {
        let bytes = self.cut(cx, conn);
        if bytes > 0 {
            self.stats.torn += 1;
            self.events.push_back(Event::Torn { bytes });
        }
    }

    /// Ends a connection and forgets what it has brought: so many bytes.
    fn cut(&mut self, cx: &mut Cx, conn: Conn) -> u64 {
        let Some(Receiving { blob, bytes }) = self.receiving.remove(conn.0) else { return 0 };
        cx.release(blob);
        cx.close(conn, End::Reset);
        bytes
    }

    /// What was received is whole and sealed. `false`: it was not this client's.
    pub fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        let Some(at) = self.sealing.iter().position(|(b, _)| *b == blob) else { return false };
        self.sealing.remove(at);
        let reply = (facts.len == REPLY_BYTES as u64).then(|| Reply::parse(facts.head)).flatten();
        if let Some(reply) = reply {
            cx.release(blob);
            self.reply(cx, reply);
        } else {
            self.block(cx, blob, facts);
        }
        true
    }

    /// What was received could not be kept. `false`: it was not this client's.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob, why: &str) -> bool {
        let sealing = self.sealing.iter().position(|(b, _)| *b == blob);
        let conn = self.receiving.iter().find(|(_, r)| r.blob == blob).map(|(key, _)| Conn(key));
        sealing.and_then(|at| self.sealing.remove(at));
        match (sealing, conn) {
            (_, Some(conn)) => self.tear(cx, conn),
            (Some(_), None) => cx.release(blob),
            (None, None) => return false,
        }
        self.events.push_back(Event::Unreceivable { why: why.into() });
        true
    }

    fn reply(&mut self, cx: &mut Cx, reply: Reply) {
        if self.state != State::Asking {
            return;
        }
        if reply == Reply::In {
            self.enter(cx);
        } else if self.has_mesh {
            self.stats.rejected += 1;
            self.ask_who(cx);
        } else {
            self.stats.rejected += 1;
            let again_in = self.again(cx);
            self.events.push_back(Event::Full { again_in });
        }
    }

    fn enter(&mut self, cx: &mut Cx) {
        self.state = State::Watching;
        (self.heard, self.blocks_in, self.last_block) = (cx.now.mono, 0, None);
        self.stats.joins += 1;
        self.events.push_back(Event::Joined);
        self.watch(cx);
    }

    fn block(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) {
        // One that was on its way when we were not let in again is nobody's.
        let out = [State::Listing, State::Resting, State::Leaving, State::Over];
        if out.contains(&self.state) {
            return cx.release(blob);
        }
        if self.state == State::Asking {
            self.enter(cx);
        }
        self.measure(cx.now.mono);
        self.backoff = limits::TV_REJOIN_MIN;
        self.stats.blocks += 1;
        self.stats.bytes += facts.len;
        self.stats.last_block_at = Some(cx.now.wall);
        let (len, head, at) = (facts.len, facts.head.into(), cx.now.wall);
        self.events.push_back(Event::Block { blob, len, head, at });
        if self.state == State::Watching {
            self.watch(cx);
        }
    }

    /// Learns the period from the gap between two blocks: a quarter of each new gap counts.
    fn measure(&mut self, now: Mono) {
        self.heard = now;
        self.blocks_in += 1;
        // The first block comes as soon as we are in, whatever is left of its time.
        if self.blocks_in == 1 {
            return;
        }
        if let Some(last) = self.last_block.replace(now) {
            let gap = now.since(last).clamp(PERIODS.0, PERIODS.1);
            self.period = (self.period * 3 + gap) / 4;
            self.measured = true;
        }
    }

    /// No block for three periods.
    fn silent(&mut self, cx: &mut Cx) {
        self.events.push_back(Event::Silent { since: cx.now.mono.since(self.heard) });
        if self.blocks_in > 0 && !self.measured {
            self.period = (self.period * 2).min(PERIODS.1);
        }
        (self.measured, self.last_block) = (false, None);
        self.again(cx);
    }

    fn unanswered(&mut self, cx: &mut Cx, why: Option<Gone>) {
        let again_in = self.again(cx);
        self.events.push_back(Event::Unanswered { why, again_in });
    }

    /// Asks again after the backoff, which doubles, with jitter so that not all come at once.
    fn again(&mut self, cx: &mut Cx) -> Duration {
        self.state = State::Idle;
        let wait = cx.rng.between(self.backoff / 2, self.backoff);
        self.backoff = (self.backoff * 2).min(limits::TV_REJOIN_MAX);
        self.set_timer(cx, Why::Join, wait);
        wait
    }

    /// One of its own timers: [`Why::Join`], [`Why::Silent`].
    pub fn timer(&mut self, cx: &mut Cx, why: Why) {
        self.timer = None;
        match (self.state, why) {
            (State::Idle, Why::Join) => self.start(cx),
            (State::Asking | State::Listing, Why::Silent) => self.unanswered(cx, None),
            (State::Watching, Why::Silent) => self.silent(cx),
            (State::Leaving, _) => self.over(cx),
            _ => {}
        }
    }

    /// A timer of a connection: [`Why::JoinPatience`], [`Why::ReceivePatience`].
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn, why: Why) {
        if why == Why::ReceivePatience {
            return self.tear(cx, conn);
        }
        cx.close(conn, End::Reset);
        if self.command == Some(conn) {
            self.command_over(cx);
            if self.state == State::Asking {
                self.unanswered(cx, Some(Gone::TimedOut));
            }
        }
    }

    /// Leaves the channel; [`Event::Left`] follows.
    pub fn leave(&mut self, cx: &mut Cx) {
        if matches!(self.state, State::Leaving | State::Over) {
            return;
        }
        self.state = State::Leaving;
        self.command(cx, Ask::Leave);
        self.set_timer(cx, Why::Silent, limits::TV_LINGER);
    }

    fn over(&mut self, cx: &mut Cx) {
        self.state = State::Over;
        let receiving: Vec<_> = self.receiving.iter().map(|(key, _)| Conn(key)).collect();
        for conn in receiving {
            self.cut(cx, conn);
        }
        if let Some(command) = self.command.take() {
            cx.close(command, End::Reset);
        }
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
        self.events.push_back(Event::Left);
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The server's address and the channel's number there.
    #[must_use]
    pub fn source(&self) -> (SocketAddr, u8) {
        (self.server, self.channel)
    }

    /// How often blocks come.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Blobs that it holds.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.receiving.len() + self.sealing.len()
    }

    /// Timers that it holds beside those of connections.
    #[must_use]
    pub fn timers(&self) -> usize {
        usize::from(self.timer.is_some())
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Looks the books through.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        assert!(self.receiving.len() <= limits::TV_CALLBACKS_MAX, "callbacks are bounded");
        for (key, receiving) in self.receiving.iter() {
            assert!(cx.is_open(Conn(key)), "what is received has a connection");
            assert!(cx.blobs.get(receiving.blob.0).is_some(), "and a blob");
        }
        for (blob, _) in &self.sealing {
            assert!(cx.blobs.get(blob.0).is_some(), "what is sealed is a blob");
        }
        let over = self.state == State::Over;
        let rests = over || self.state == State::Resting;
        assert!(self.timer.is_some() != rests, "a client always waits for something with a limit");
        assert!(self.command.is_none_or(|conn| cx.is_open(conn)), "a command has a connection");
        assert!(!over || (self.command, self.receiving.len()) == (None, 0), "who is out has none");
    }
}

#[cfg(test)]
mod tests;

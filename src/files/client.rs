//! The client of files: asks for the list or for one file, works with our server and with the
//! original, and says where the bytes of each datagram belong. Files, sockets and hashes are its
//! driver's, `vidstream files`.
//!
//! | state | what ends it |
//! |---|---|
//! | asking | a list, an offer, a first fragment, an error; or ten requests without an answer |
//! | offered | [`Client::start`] |
//! | receiving | all is there, and the hash (ours) or the end (original) |
//! | finishing | [`Client::finish`]; an original's end is answered again for a second |
//! | over | |

mod plain;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::time::Mono;
use crate::files::player::Player;
use crate::files::receiver::{Placed, Receiver};
use crate::files::wire::{self, Done, Head, Nonce, Offer, Request, Start, Verdict, Why, kind};

pub use crate::files::player::Marks;
use plain::Plain;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The list, its names joined with `#`.
    Listed(String),
    /// Our server has the file; [`Client::start`] is wanted.
    Offered {
        /// Bytes in it.
        size: u64,
        /// Another when the file is another.
        tag: u64,
    },
    /// An original server sends the file, from its beginning, however long it is.
    Original,
    /// A fragment that was kept belongs there.
    Kept {
        /// Where in the file.
        offset: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// All is there.
    Complete {
        /// Bytes in it.
        size: u64,
        /// Its BLAKE3, from our server.
        hash: Option<[u8; 32]>,
    },
    /// It cannot be had.
    Failed(Failure),
}

/// Why a file or a list cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing answers.
    #[error("no answer: is there a server of files, and is the port right?")]
    NoAnswer,
    /// The server has gone in the middle.
    #[error("the server has fallen silent; what came is kept, the same command goes on from there")]
    Silent,
    /// In the server's words.
    #[error("the server says \"{0}\"")]
    Refused(String),
    /// Our server cannot go on.
    #[error("{0}")]
    Server(Why),
    /// The list does not end.
    #[error("the list has more than {} MiB", limits::FILES_LIST_TAKEN_MAX >> 20)]
    LongList,
}

/// Figures for people.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Figures {
    /// Bytes in the file, when that is known.
    pub size: Option<u64>,
    /// Everything before this is there.
    pub contiguous: u64,
    /// Bytes that have come.
    pub come: u64,
    /// Datagrams that have come.
    pub datagrams: u64,
    /// Of these, with nothing new.
    pub duplicates: u64,
    /// Datagrams that were sent, as far as can be told.
    pub sent: u64,
    /// The round trip at the start.
    pub rtt: Duration,
    /// What a player has buffered.
    pub buffered: Option<Duration>,
    /// How often the player stood.
    pub stalls: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Asking,
    Offered,
    Receiving,
    /// Until then the end of an original is answered.
    Finishing(Option<Mono>),
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    List,
    Get(usize, Nonce),
}

/// A client of one wish.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    wish: Wish,
    state: State,
    asks: u32,
    asked: Mono,
    heard: Mono,
    /// When an ack was sent last, or was not worth it.
    acked: Mono,
    /// When one was sent.
    said: Mono,
    list: BTreeMap<u32, Box<[u8]>>,
    offer: Option<(Offer, SocketAddr)>,
    receiver: Option<Receiver>,
    plain: Option<Plain>,
    player: Option<Player>,
    marks: Option<Marks>,
    started: Option<Start>,
    rtt: Duration,
    ack_due: bool,
    /// Whether that ack is only a sign of life.
    ack_short: bool,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Client {
    /// Asks for the list.
    #[must_use]
    pub fn list(now: Mono, server: SocketAddr) -> Self {
        Self::new(now, server, Wish::List)
    }

    /// Asks for a file by its number; for a player when there are marks. `nonce` is a number that
    /// nobody can guess.
    #[must_use]
    pub fn get(
        now: Mono,
        server: SocketAddr,
        index: usize,
        nonce: u64,
        marks: Option<Marks>,
    ) -> Self {
        Self { marks, ..Self::new(now, server, Wish::Get(index, Nonce(nonce))) }
    }

    fn new(now: Mono, server: SocketAddr, wish: Wish) -> Self {
        let mut client = Self {
            server,
            wish,
            state: State::Asking,
            asks: 0,
            asked: now,
            heard: now,
            acked: now,
            said: now,
            list: BTreeMap::new(),
            offer: None,
            receiver: None,
            plain: None,
            player: None,
            marks: None,
            started: None,
            rtt: Duration::ZERO,
            ack_due: false,
            ack_short: false,
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        client.ask(now);
        client
    }

    fn ask(&mut self, now: Mono) {
        self.asks += 1;
        self.asked = now;
        let request = match self.wish {
            Wish::List => Request::List,
            Wish::Get(index, nonce) => Request::Get(Some(index), Some(nonce)),
        };
        self.out.push_back((self.server, request.bytes()));
    }

    /// The next datagram to send, and where to. Ask after everything that it was told; at best
    /// after several datagrams, which one ack then answers.
    pub fn poll_transmit(&mut self, now: Mono) -> Option<(SocketAddr, Vec<u8>)> {
        if let Some(out) = self.out.pop_front() {
            return Some(out);
        }
        if !std::mem::take(&mut self.ack_due) {
            return None;
        }
        (self.acked, self.said) = (now, now);
        self.widen(now);
        let (receiver, (_, port)) = self.receiver.as_ref().zip(self.offer)?;
        let short = std::mem::take(&mut self.ack_short);
        Some((port, receiver.ack(short).bytes()))
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some((offset, bytes)) = self.plain.as_mut().and_then(Plain::poll_kept) {
            return Some(Event::Kept { offset, bytes });
        }
        self.look_for_end(self.heard);
        self.events.pop_front()
    }

    /// Whether nothing more happens.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether the list or the file has begun to come.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.state == State::Receiving
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Over;
        self.events.push_back(Event::Failed(failure));
    }

    /// A datagram has come: where its bytes belong, if it has some that are new.
    pub fn handle_datagram(&mut self, now: Mono, from: SocketAddr, bytes: &[u8]) -> Option<Placed> {
        let (head, rest) = Head::split(bytes).ok()?;
        if from.ip() != self.server.ip() || self.state == State::Over {
            return None;
        }
        match head.kind {
            kind::TEXT => self.text(now, head, rest),
            kind::FIRST | kind::DATA => return self.fragment(now, from, head, rest),
            kind::END => self.ended(now, from, head),
            _ => return self.ours(now, from, (head, rest), bytes),
        }
        None
    }

    fn text(&mut self, now: Mono, head: Head, body: &[u8]) {
        if self.state != State::Asking {
            return;
        }
        self.heard = now;
        if self.wish != Wish::List {
            let text = String::from_utf8_lossy(body).into_owned();
            return self.fail(Failure::Refused(text));
        }
        if self.list.len() > limits::FILES_LIST_TAKEN_MAX / wire::FRAGMENT {
            return self.fail(Failure::LongList);
        }
        self.list.insert(head.seq, body.into());
        let (count, window) = (self.list.len(), head.window as usize);
        // Of more than one datagram the original tells no number: silence ends it, too.
        if count >= window
            && window == self.list.last_key_value().map_or(0, |(n, _)| *n as usize + 1)
        {
            self.listed();
        }
    }

    fn listed(&mut self) {
        let bytes: Vec<u8> = self.list.values().flat_map(|part| part.iter().copied()).collect();
        self.state = State::Over;
        self.events.push_back(Event::Listed(String::from_utf8_lossy(&bytes).into_owned()));
    }

    fn ours(
        &mut self,
        now: Mono,
        from: SocketAddr,
        (head, rest): (Head, &[u8]),
        bytes: &[u8],
    ) -> Option<Placed> {
        if head.kind == kind::OFFER {
            self.offered(now, from, bytes);
            return None;
        }
        let receiver = self.receiver.as_mut()?;
        if self.offer.is_none_or(|(_, port)| port != from) {
            return None;
        }
        if let Some(start) = self.started.take() {
            // The first answer to the start.
            debug_assert!(start.limit <= receiver.limit(), "windows only grow");
            if self.rtt.is_zero() {
                self.rtt = now.since(self.acked);
            }
        }
        self.heard = now;
        match head.kind {
            kind::BYTES => {
                let (offset, body) = wire::parse_data(head, rest).ok()?;
                (self.ack_due, self.ack_short) = (true, false);
                receiver.came(head.seq, offset, body.len())
            }
            kind::PROBE => {
                receiver.probed(bytes.len());
                if bytes.len() > wire::HEAD {
                    (self.ack_due, self.ack_short) = (true, false);
                }
                None
            }
            kind::HASH => {
                let (size, hash) = wire::parse_hash(bytes).ok()?;
                if self.state == State::Receiving && receiver.is_whole() {
                    self.state = State::Finishing(None);
                    self.events.push_back(Event::Complete { size, hash: Some(hash) });
                }
                None
            }
            kind::FAILED => {
                let why = wire::parse_failed(bytes).ok()?;
                self.fail(Failure::Server(why));
                None
            }
            _ => None,
        }
    }

    fn offered(&mut self, now: Mono, from: SocketAddr, bytes: &[u8]) {
        let Ok(offer) = Offer::parse(bytes) else { return };
        let asked = matches!(self.wish, Wish::Get(_, nonce) if nonce == offer.nonce);
        if self.state == State::Asking && asked {
            self.heard = now;
            self.rtt = if self.asks == 1 { now.since(self.asked) } else { Duration::ZERO };
            self.offer = Some((offer, from));
            self.state = State::Offered;
            let Offer { size, tag, .. } = offer;
            self.events.push_back(Event::Offered { size, tag });
        }
    }

    /// Begins to receive what was offered, from this byte.
    pub fn start(&mut self, now: Mono, from: u64) {
        let Some((offer, _)) = self.offer.filter(|_| self.state == State::Offered) else { return };
        self.player = self.marks.map(|marks| Player::new(now, marks, from));
        let limit = self.player.as_ref().map_or(from + limits::FILES_BUFFER_BYTES, Player::limit);
        let receiver = Receiver::new(offer.token, offer.size, from, limit);
        let datagram = u16::try_from(limits::FILES_DATAGRAM_MAX).unwrap_or(u16::MAX);
        let limit = receiver.limit();
        self.started = Some(Start { token: offer.token, from, limit, datagram });
        self.receiver = Some(receiver);
        self.state = State::Receiving;
        self.asks = 0;
        self.send_start(now);
    }

    fn send_start(&mut self, now: Mono) {
        if let (Some(start), Some((_, port))) = (self.started, self.offer) {
            self.asks += 1;
            self.asked = now;
            self.acked = now;
            self.out.push_back((port, start.bytes()));
        }
    }

    /// Everything before this was played.
    pub fn played(&mut self, now: Mono, position: u64) {
        self.player.iter_mut().for_each(|player| player.took(now, position));
    }

    fn widen(&mut self, now: Mono) {
        let Some(receiver) = &mut self.receiver else { return };
        let there = receiver.contiguous();
        match &mut self.player {
            None => receiver.widen(there + limits::FILES_BUFFER_BYTES),
            Some(player) => {
                player.advance(now, there, receiver.is_whole());
                receiver.widen(player.limit());
            }
        }
    }

    /// The file is what it should be, or not, or is not wanted any more.
    pub fn finish(&mut self, verdict: Verdict) {
        if let Some((offer, port)) = self.offer {
            let done = Done { token: offer.token, verdict }.bytes();
            // The server only waits for it; three copies are surer than one, and nothing waits.
            (0..3).for_each(|_| self.out.push_back((port, done.clone())));
        }
        self.state = State::Over;
    }

    /// When [`Client::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        match self.state {
            State::Over | State::Offered | State::Finishing(None) => None,
            State::Asking if !self.list.is_empty() => {
                Some(self.heard.after(limits::FILES_LIST_SILENCE))
            }
            State::Asking => Some(self.asked.after(limits::FILES_ASK_EVERY)),
            State::Finishing(until) => until,
            State::Receiving => Some(self.acked.after(self.ack_every())),
        }
    }

    /// How long after an ack another is due that nothing brings about.
    fn ack_every(&self) -> Duration {
        match (&self.receiver, &self.player) {
            (Some(_), _) if self.started.is_some() => limits::FILES_ASK_EVERY,
            (Some(receiver), _) if !receiver.is_satisfied() => limits::FILES_ASK_EVERY,
            (Some(_), Some(_)) => limits::FILES_WIDEN_EVERY,
            (None, _) if self.plain.as_ref().is_some_and(Plain::is_first) => {
                limits::FILES_ASK_EVERY
            }
            _ => limits::FILES_KEEP_ALIVE,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::Asking if !self.list.is_empty() => self.listed(),
            State::Asking if self.asks >= limits::FILES_ASKS_MAX => self.fail(Failure::NoAnswer),
            State::Asking => self.ask(now),
            State::Finishing(_) => self.state = State::Over,
            State::Receiving if now.since(self.heard) >= limits::FILES_SERVER_SILENCE_MAX => {
                self.fail(Failure::Silent);
            }
            State::Receiving if self.started.is_some() => self.send_start(now),
            State::Receiving => self.ack_again(now),
            State::Offered | State::Over => {}
        }
    }

    /// Nothing has come for a while: what was wanted is said again, or, when a player has gone on,
    /// that more is wanted now; while nothing is wanted, only now and then.
    fn ack_again(&mut self, now: Mono) {
        if let Some(plain) = &self.plain {
            self.acked = now;
            if plain.is_first() {
                // Perhaps its ack was lost, and nothing more comes without it.
                self.ack_plain(0);
            }
            return;
        }
        let before = self.receiver.as_ref().map(Receiver::limit);
        let waiting = self.receiver.as_ref().is_some_and(|r| !r.is_satisfied());
        self.widen(now);
        let widened = self.receiver.as_ref().map(Receiver::limit) != before;
        if waiting || widened || now.since(self.said) >= limits::FILES_KEEP_ALIVE {
            self.ack_due = true;
            self.ack_short = !waiting;
        }
        self.acked = now;
    }

    /// Figures for people.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures { rtt: self.rtt, ..Figures::default() };
        if let Some(receiver) = &self.receiver {
            let (come, datagrams, duplicates) = receiver.counts();
            figures.size = self.offer.map(|(offer, _)| offer.size);
            figures.contiguous = receiver.contiguous();
            (figures.come, figures.datagrams) = (come, datagrams);
            (figures.duplicates, figures.sent) = (duplicates, receiver.sent());
        }
        if let Some(plain) = &self.plain {
            (figures.contiguous, figures.come) = (plain.offset(), plain.offset());
            (figures.datagrams, figures.duplicates) = (plain.datagrams, plain.duplicates);
            figures.sent = plain.sent();
        }
        if let Some(player) = &self.player {
            figures.buffered = Some(player.buffered(figures.contiguous));
            figures.stalls = player.stalls();
        }
        figures
    }

    /// How far the player is.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.player.as_ref().map(Player::position)
    }
}

// Original servers.
impl Client {
    fn fragment(&mut self, now: Mono, from: SocketAddr, head: Head, body: &[u8]) -> Option<Placed> {
        if self.wish == Wish::List || self.receiver.is_some() {
            return None;
        }
        if self.plain.is_none() {
            self.plain = Some(Plain::default());
            self.state = State::Receiving;
            self.offer = None;
            self.rtt = now.since(self.asked);
            self.events.push_back(Event::Original);
        }
        self.heard = now;
        self.acked = now;
        let plain = self.plain.as_mut()?;
        plain.from(from);
        let (placed, ack) = plain.came(head.seq, body);
        if ack {
            self.ack_plain(head.seq);
        }
        self.look_for_end(now);
        placed
    }

    fn ack_plain(&mut self, seq: u32) {
        let ack = wire::plain_ack(seq);
        let ports = self.plain.iter().flat_map(Plain::ports);
        let acks = ports.map(|port| (port, ack.clone()));
        self.out.extend(acks);
    }

    fn ended(&mut self, now: Mono, from: SocketAddr, head: Head) {
        if let Wish::Get(..) = self.wish
            && self.plain.is_none()
            && self.receiver.is_none()
        {
            // An empty file has nothing but its end.
            self.plain = Some(Plain::default());
            self.state = State::Receiving;
            self.events.push_back(Event::Original);
        }
        let Some(plain) = &mut self.plain else { return };
        plain.from(from);
        plain.ended(head.seq);
        self.heard = now;
        self.ack_plain(head.seq);
        self.look_for_end(now);
    }

    fn look_for_end(&mut self, now: Mono) {
        let whole = self.plain.as_ref().is_some_and(Plain::is_whole);
        if whole && self.state == State::Receiving {
            let size = self.plain.as_ref().map_or(0, Plain::offset);
            self.state = State::Finishing(Some(now.after(limits::FILES_LINGER)));
            self.events.push_back(Event::Complete { size, hash: None });
        }
    }
}

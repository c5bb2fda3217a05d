//! One transfer of the server: from the request to the client's last word. It is told of datagrams
//! and of time, and wants datagrams sent; which file that is and how many there may be is the
//! server's.
//!
//! | state | ours | original | ends with |
//! |---|---|---|---|
//! | opening | the file is opened | same | the facts of the file |
//! | unproven | offer, twice at most | first fragment, three times at most | start; its ack |
//! | running | data | fragments | all acked |
//! | ending | hash, when it is known | `encerramento_lista` each second | done; anything |
//!
//! In every state a client that is silent for six seconds is given up; an original that has only
//! to answer the end is waited for longer.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Output, Why as Wake};
use crate::base::time::Mono;
use crate::files::sender::{Sender, Stats};
use crate::files::wire::{self, Ack, Bad, Done, Nonce, Offer, Start, Verdict, Why, kind};

/// What the server knows of a file that is being sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) tag: u64,
}

/// How far a transfer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Unproven,
    Running,
    /// How often the end was sent, and when last.
    Ending(u32, Mono),
}

/// How a transfer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The client has everything.
    Whole,
    /// The client says that its hash is another.
    Differs,
    /// The client wants no more.
    Left,
    /// The client has gone.
    Silent,
    /// The server cannot go on.
    Failed(Why),
}

/// One transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) conn: Conn,
    pub(super) peer: SocketAddr,
    pub(super) nonce: Option<Nonce>,
    pub(super) file: Rc<str>,
    blob: Blob,
    token: u32,
    state: State,
    facts: Facts,
    sender: Option<Sender>,
    rate_max: u64,
    buffer: u64,
    /// Bytes that came from the address before it had proved itself, and those it was sent.
    came: u64,
    said: u64,
    heard: Mono,
    offered: Mono,
    spoken: Mono,
    /// Numbers of datagrams that were no good.
    pub(super) bad: u64,
}

/// What a transfer is about, for [`Transfer::new`].
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) conn: Conn,
    pub(super) peer: SocketAddr,
    pub(super) nonce: Option<Nonce>,
    pub(super) file: Rc<str>,
    pub(super) blob: Blob,
    pub(super) bytes: u64,
    pub(super) rate_max: u64,
    pub(super) buffer: u64,
}

impl Transfer {
    pub(super) fn new(cx: &mut Cx, asked: Asked) -> Self {
        let now = cx.now.mono;
        Self {
            conn: asked.conn,
            peer: asked.peer,
            nonce: asked.nonce,
            file: asked.file,
            blob: asked.blob,
            token: u32::try_from(cx.rng.below(1 << 32)).expect("it is below 2^32"),
            state: State::Opening,
            facts: Facts { size: 0, tag: 0 },
            sender: None,
            rate_max: asked.rate_max,
            buffer: asked.buffer,
            came: asked.bytes,
            said: 0,
            heard: now,
            offered: now,
            spoken: now,
            bad: 0,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running | State::Ending(..))
    }

    pub(super) fn blob(&self) -> Blob {
        self.blob
    }

    pub(super) fn stats(&self) -> Stats {
        self.sender.as_ref().map(Sender::stats).unwrap_or_default()
    }

    pub(super) fn sender(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    pub(super) fn set_max(&mut self, rate_max: u64) {
        self.rate_max = rate_max;
        self.sender.iter_mut().for_each(|s| s.set_max(rate_max));
    }

    fn say(&mut self, cx: &mut Cx, bytes: Vec<u8>) {
        self.said += bytes.len() as u64;
        self.spoken = cx.now.mono;
        let (conn, to) = (self.conn, self.peer);
        cx.out.push_back(Output::Say { conn, to, bytes: bytes.into() });
    }

    /// The file is open.
    pub(super) fn opened(&mut self, cx: &mut Cx, facts: Facts) {
        if self.state != State::Opening {
            return;
        }
        self.facts = facts;
        self.state = State::Unproven;
        let now = cx.now.mono;
        self.offered = now;
        if self.nonce.is_some() {
            return self.offer(cx);
        }
        let pace = (self.token.to_be_bytes()[0], self.rate_max);
        self.sender = Some(Sender::plain(now, facts.size, self.buffer, pace));
    }

    /// An unproven address gets no more than three times what came from it.
    fn may_say(&self, bytes: usize) -> bool {
        self.state != State::Unproven || self.said + bytes as u64 <= 3 * self.came
    }

    fn offer(&mut self, cx: &mut Cx) {
        let Some(nonce) = self.nonce else { return };
        let Facts { size, tag } = self.facts;
        let offer = Offer { nonce, size, tag, token: self.token }.bytes();
        if self.may_say(offer.len()) {
            self.offered = cx.now.mono;
            self.say(cx, offer);
        }
    }

    /// The same request came again.
    pub(super) fn asked_again(&mut self, cx: &mut Cx, bytes: u64) {
        if self.state == State::Unproven {
            self.came += bytes;
            self.offer(cx);
        }
    }

    /// A datagram of the client; what it means for the transfer.
    pub(super) fn heard(&mut self, cx: &mut Cx, bytes: &[u8]) -> Option<Ending> {
        let ending = match self.nonce {
            Some(_) => self.heard_ours(cx, bytes),
            None => self.heard_plain(cx, bytes),
        };
        ending.unwrap_or_else(|_| {
            self.bad += 1;
            None
        })
    }

    fn heard_plain(&mut self, cx: &mut Cx, bytes: &[u8]) -> Result<Option<Ending>, Bad> {
        let now = cx.now.mono;
        if let State::Ending(..) = self.state {
            // Any datagram is an answer to the end, but for the ack of a fragment that was doubled
            // or is late: the end itself may be lost.
            let end = self.sender.as_ref().map_or(0, Sender::end_number);
            let late = wire::parse_plain_ack(bytes).is_ok_and(|seq| seq < end);
            return Ok((!late).then_some(Ending::Whole));
        }
        let seq = wire::parse_plain_ack(bytes)?;
        let sender = self.sender.as_mut().ok_or(Bad::Number)?;
        if !sender.acked_plain(now, seq) {
            return Err(Bad::Number);
        }
        self.heard = now;
        if self.state == State::Unproven {
            self.state = State::Running;
        }
        Ok(None)
    }

    fn heard_ours(&mut self, cx: &mut Cx, bytes: &[u8]) -> Result<Option<Ending>, Bad> {
        let (head, _) = wire::Head::split(bytes)?;
        let now = cx.now.mono;
        match head.kind {
            kind::START => {
                let start = Start::parse(bytes)?;
                return self.start(cx, &start);
            }
            kind::RANGES => {
                let ack = Ack::parse(bytes)?;
                let sender = self.sender.as_mut().filter(|_| ack.token == self.token);
                if !sender.ok_or(Bad::Number)?.acked(now, &ack) {
                    return Err(Bad::Number);
                }
                self.heard = now;
                self.show_life(cx);
            }
            kind::DONE => {
                let done = Done::parse(bytes)?;
                if done.token != self.token {
                    return Err(Bad::Number);
                }
                return Ok(Some(match done.verdict {
                    Verdict::Whole => Ending::Whole,
                    Verdict::Differs => Ending::Differs,
                    Verdict::Left => Ending::Left,
                }));
            }
            _ => return Err(Bad::Number),
        }
        Ok(None)
    }

    /// A client that wants nothing now still wants to know that somebody is there.
    fn show_life(&mut self, cx: &mut Cx) {
        let quiet = self.sender.as_ref().is_some_and(Sender::is_quiet);
        if quiet && cx.now.mono.since(self.spoken) >= limits::FILES_KEEP_ALIVE / 2 {
            self.say(cx, wire::probe(0));
        }
    }

    fn start(&mut self, cx: &mut Cx, start: &Start) -> Result<Option<Ending>, Bad> {
        if start.token != self.token {
            return Err(Bad::Number);
        }
        let now = cx.now.mono;
        self.heard = now;
        if self.state != State::Unproven {
            return Ok(None);
        }
        if start.from > self.facts.size {
            return Ok(Some(Ending::Failed(Why::Beyond)));
        }
        let seed = self.token.to_be_bytes()[0];
        let (from, to) = (start.from, self.facts.size);
        let mut sender = Sender::ours(now, to, from, (seed, self.rate_max));
        sender.measured(now, now.since(self.offered));
        sender.allow(usize::from(start.datagram));
        sender.widen(start.limit);
        self.sender = Some(sender);
        self.state = State::Running;
        Ok(None)
    }

    /// Sends what may go now, and sets the timer; `hash` when it is known.
    pub(super) fn pump(&mut self, cx: &mut Cx, hash: Option<&[u8; 32]>) -> Option<Ending> {
        let now = cx.now.mono;
        if now.since(self.heard) >= self.patience() {
            return Some(Ending::Silent);
        }
        if self.sender.as_ref().is_some_and(Sender::is_done) {
            self.end(cx, hash);
        } else {
            self.send(cx);
        }
        let after = self.deadline(now).map_or(limits::FILES_SILENCE_MAX, |at| at.since(now));
        let silent = self.heard.after(self.patience()).since(now);
        cx.arm(self.conn, Wake::FilesTransfer, after.min(silent));
        None
    }

    fn patience(&self) -> core::time::Duration {
        match (self.nonce, self.state) {
            (None, State::Ending(..)) => limits::FILES_END_EVERY * limits::FILES_ENDS_MAX,
            _ => limits::FILES_SILENCE_MAX,
        }
    }

    fn send(&mut self, cx: &mut Cx) {
        let now = cx.now.mono;
        let first = wire::HEAD + usize::try_from(wire::FIRST).expect("it is small");
        if !self.may_say(first) {
            return;
        }
        let Some(sender) = &mut self.sender else { return };
        sender.timeout(now);
        if let Some(bytes) = sender.poll_probe(now) {
            self.say(cx, wire::probe(bytes));
        }
        let (conn, to, blob) = (self.conn, self.peer, self.blob);
        let Some(sender) = &mut self.sender else { return };
        while let Some(train) = sender.poll_train(now) {
            let bodies: u64 = train.bodies.iter().map(|(_, len)| u64::from(*len)).sum();
            self.said += bodies + train.heads.len() as u64;
            self.spoken = now;
            cx.out.push_back(Output::SendTrain { conn, to, blob, train });
        }
    }

    /// When time alone gives it something to do.
    fn deadline(&self, now: Mono) -> Option<Mono> {
        let sender = self.sender.as_ref()?;
        match self.state {
            State::Ending(tries, at) => Some(at.after(self.end_every(sender, tries))),
            _ if !self.may_say(wire::HEAD + 1) => None,
            _ => sender.deadline(now),
        }
    }

    fn end_every(&self, sender: &Sender, tries: u32) -> core::time::Duration {
        if self.nonce.is_none() {
            return limits::FILES_END_EVERY;
        }
        let wait = sender.rtt().timeout() * 2_u32.pow(tries.min(6));
        wait.min(limits::FILES_END_EVERY)
    }

    fn end(&mut self, cx: &mut Cx, hash: Option<&[u8; 32]>) {
        let now = cx.now.mono;
        let Some(sender) = &self.sender else { return };
        let tries = match self.state {
            State::Ending(tries, at) if now < at.after(self.end_every(sender, tries)) => return,
            State::Ending(tries, _) => tries + 1,
            _ => 0,
        };
        let bytes = match (self.nonce, hash) {
            (None, _) => {
                let head = wire::Head { seq: sender.end_number(), window: 1, kind: kind::END };
                [&head.bytes()[..], wire::END_TEXT].concat()
            }
            (Some(_), Some(hash)) => wire::hash(self.facts.size, hash),
            // Whoever waits for the hash is kept alive by his own acks.
            (Some(_), None) => return,
        };
        self.state = State::Ending(tries, now);
        self.say(cx, bytes);
    }

    /// The last word of the server.
    pub(super) fn fail(&mut self, cx: &mut Cx, why: Why) {
        if self.nonce.is_some() && self.is_running() || why == Why::Beyond {
            self.say(cx, wire::failed(why));
        }
    }
}

//! The HTTP connections of a node: heads in, one request at a time to the node, answers out. Holds
//! no socket and no blob and knows no channel; the node drives it with what [`Input`] tells, takes
//! requests with [`Server::poll_request`] and answers each with [`Server::respond`].
//!
//! | state | what is here | timer | goes to |
//! |---|---|---|---|
//! | quiet | no byte of a request | `Idle`; `HeadPatience` when new | head, asked, sending |
//! | head | a part of a head | `HeadPatience`, from its first byte | asked, sending |
//! | asked | a request, the node has it | `Stall`, then 503 | sending |
//! | sending | an answer being taken | `Stall`, anew with each byte | all but sending, or refused |
//! | lingering | nothing; the last answer is taken | `Idle`, 2 s | |
//! | streaming | an answer without end | `Stall`; `Idle` when all is taken | lingering |
//!
//! Block after block is given to streaming with [`Server::push`], as long as few wait there. Who
//! has not taken `lag_max` of them when the next comes misses blocks until those are taken, then
//! gets the newest ([`Server::poll_caught_up`]), and is closed when that happens again. A block
//! begins and ends cleanly, so what is sent stays a stream.
//!
//! While lingering, what still comes is forgotten, so that no reset overtakes the answer.
//!
//! From each a connection can end. While one is told to close, nothing of it is known here. What a
//! peer sends ahead waits, up to [`limits::HTTP_HEAD_BYTES_MAX`] and one read; then its reading is
//! held. Those quiet or lingering make room for new ones, the longest quiet first.
//!
//! [`Input`]: crate::base::port::Input

mod streaming;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Output, Payload, Service, Span, Why};
use crate::base::status::HttpStatus;
use crate::base::time::Mono;
use crate::http::answer::{self, Answer, Response, Then};
use crate::http::inbox::Inbox;
use crate::http::wire::{self, Refused, Request};

use streaming::{Behind, Stream};

/// Every HTTP connection of a node.
#[derive(Debug)]
pub struct Server {
    clients: Side<Client>,
    /// Those with a request that the node has not taken yet.
    asking: VecDeque<Conn>,
    /// Those that may make room, and since when.
    idle: BTreeSet<(Mono, Conn)>,
    per_address: BTreeMap<IpAddr, usize>,
    connections_max: usize,
    per_address_max: usize,
    /// Blocks that the reader of an answer without end may have waiting.
    lag_max: usize,
    /// Streams that fell behind and have taken all that they were given.
    caught_up: Vec<Conn>,
    draining: bool,
    stats: HttpStatus,
}

#[derive(Debug)]
struct Client {
    state: State,
    inbox: Inbox,
    /// What it counts under in `per_address`.
    address: Option<IpAddr>,
    /// Its place in `idle`.
    idle_since: Option<Mono>,
    /// Bytes forgotten after the last request.
    forgotten: u64,
    /// The peer sends no more.
    ended: bool,
    /// Its reading is held.
    held: bool,
}

// With its place in `idle` and the node's own record a quiet connection stays below 512 bytes.
const _: () = assert!(size_of::<Client>() <= 128, "one connection stays small");

#[derive(Debug)]
enum State {
    Quiet,
    Head,
    Asked(Box<Request>),
    Sending {
        /// Bytes that the kernel has not taken.
        left: u64,
        /// Bytes of body at the end of the answer.
        body: u64,
        /// Whether the connection ends after it.
        last: bool,
    },
    Lingering,
    Streaming(Box<Stream>),
}

impl Server {
    /// No connections yet. An address is an IPv4 address or the first half of an IPv6 address,
    /// which is what one host has.
    #[must_use]
    pub fn new(connections_max: usize, per_address_max: usize, lag_max: usize) -> Self {
        Self {
            clients: Side::default(),
            asking: VecDeque::new(),
            idle: BTreeSet::new(),
            per_address: BTreeMap::new(),
            connections_max,
            per_address_max,
            lag_max,
            caught_up: Vec::new(),
            draining: false,
            stats: HttpStatus::default(),
        }
    }

    /// Changes the bounds for connections to come; what is there stays.
    pub fn set_limits(&mut self, connections_max: usize, per_address_max: usize, lag_max: usize) {
        self.connections_max = connections_max;
        self.per_address_max = per_address_max;
        self.lag_max = lag_max;
    }

    /// Somebody connected; taken with [`Output::Accept`], or not.
    pub fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        let address = peer.map(|peer| host(peer.ip()));
        let taken = !self.draining && self.has_room_for(address) && self.make_room(cx);
        let patience = (Why::HeadPatience, limits::HTTP_HEAD_PATIENCE);
        let conn = if taken { cx.accept(Service::Http, peer, patience) } else { None };
        let Some(conn) = conn else {
            self.stats.refused += 1;
            return;
        };
        self.stats.accepted += 1;
        if let Some(address) = address {
            *self.per_address.entry(address).or_default() += 1;
        }
        self.clients.insert(conn.0, Client::new(address, cx.now.mono));
        self.idle.insert((cx.now.mono, conn));
    }

    fn has_room_for(&self, address: Option<IpAddr>) -> bool {
        let count = address.and_then(|address| self.per_address.get(&address));
        self.per_address_max == 0 || count.is_none_or(|count| *count < self.per_address_max)
    }

    /// Whether one more fits, after closing those that were quiet longest if need be.
    fn make_room(&mut self, cx: &mut Cx) -> bool {
        while self.clients.len() >= self.connections_max {
            let Some((_, oldest)) = self.idle.first().copied() else { return false };
            self.stats.evicted += 1;
            self.close(cx, oldest, End::Flushed);
        }
        true
    }

    /// Bytes arrived.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        match client.state {
            State::Quiet | State::Head => {
                client.inbox.push(bytes);
                if client.inbox.may_hold_more_heads(bytes) {
                    self.read_head(cx, conn);
                }
            }
            State::Asked(_) | State::Sending { last: false, .. } => {
                client.inbox.push(bytes);
                client.hold(cx, conn, client.inbox.is_full());
            }
            State::Sending { last: true, .. } => {
                let too_much = client.forget(bytes);
                client.hold(cx, conn, too_much);
            }
            State::Lingering | State::Streaming(_) => {
                if client.forget(bytes) {
                    self.close(cx, conn, End::Flushed);
                }
            }
        }
    }

    /// Looks for a request in what has arrived.
    fn read_head(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        match wire::parse(client.inbox.rest()) {
            Ok(Some((request, used))) => {
                client.inbox.advance(used);
                self.asking.push_back(conn);
                self.change_state(cx, conn, State::Asked(Box::new(request)));
            }
            Ok(None) if matches!(client.state, State::Quiet) => {
                self.change_state(cx, conn, State::Head);
            }
            Ok(None) => {}
            Err(why) => self.refuse(cx, conn, why),
        }
    }

    /// The peer will send no more; what it asked for before is still answered.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        client.ended = true;
        match client.state {
            State::Quiet | State::Head | State::Lingering => self.close(cx, conn, End::Flushed),
            // Some say so right after their request, and still read; a reset tells who is gone.
            State::Streaming(_) | State::Asked(_) | State::Sending { .. } => {}
        }
    }

    /// The kernel took bytes and `left` are still queued.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, left: u64) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        if let State::Streaming(stream) = &mut client.state {
            self.stats.body_bytes += stream.taken(left);
            if stream.has_caught_up() {
                self.caught_up.push(conn);
            }
            return match (left, stream.over) {
                (0, true) => self.change_state(cx, conn, State::Lingering),
                (0, false) => cx.arm(conn, Why::Idle, limits::HTTP_STREAM_IDLE_MAX),
                _ => cx.arm(conn, Why::Stall, limits::HTTP_STALL_MAX),
            };
        }
        let State::Sending { left: before, body, last } = &mut client.state else { return };
        if left >= *before {
            return;
        }
        self.stats.body_bytes += (*before).min(*body) - left.min(*body);
        *before = left;
        let last = *last;
        match (left, last) {
            (1.., _) => cx.arm(conn, Why::Stall, limits::HTTP_STALL_MAX),
            (0, false) => self.next_request(cx, conn),
            (0, true) if client.ended || self.draining => self.close(cx, conn, End::Flushed),
            (0, true) => self.change_state(cx, conn, State::Lingering),
        }
    }

    /// After an answer that was not the last: what was sent ahead has its turn.
    fn next_request(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        client.hold(cx, conn, client.inbox.is_full());
        let ended = client.ended;
        if client.inbox.is_empty() {
            self.change_state(cx, conn, State::Quiet);
        } else {
            self.change_state(cx, conn, State::Head);
            self.read_head(cx, conn);
        }
        let waits = |client: &Client| matches!(client.state, State::Quiet | State::Head);
        if ended && self.clients.get(conn.0).is_some_and(waits) {
            self.close(cx, conn, End::Flushed);
        }
    }

    /// The connection is gone.
    pub fn closed(&mut self, conn: Conn) {
        if let Some(client) = self.clients.remove(conn.0) {
            self.uncount(conn, &client);
        }
    }

    /// Its timer is due.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn, why: Why) {
        let Some(client) = self.clients.get(conn.0) else { return };
        match (why, &client.state) {
            (Why::HeadPatience, State::Quiet) => {
                self.stats.slow_heads += 1;
                self.close(cx, conn, End::Flushed);
            }
            (Why::HeadPatience, State::Head) => {
                self.stats.slow_heads += 1;
                self.refuse(cx, conn, Refused::Slow);
            }
            (Why::Stall, State::Asked(_)) => {
                let text = "503 Service Unavailable: this could not be had in time";
                let late = Response::text(503, text);
                let head_only = self.asks_for_head(conn);
                let answer = answer::whole(late, head_only, cx.now.wall, Then::Close);
                self.transmit(cx, conn, answer, true);
            }
            (Why::Stall, State::Sending { .. } | State::Streaming(_)) => {
                self.stats.stalled += 1;
                self.close(cx, conn, End::Reset);
            }
            // Only Idle in quiet and lingering is left; another reason would be one that no state
            // here arms, and ends the same way rather than wait for ever.
            _ => self.close(cx, conn, End::Flushed),
        }
    }

    fn asks_for_head(&self, conn: Conn) -> bool {
        match self.clients.get(conn.0).map(|client| (&client.state, &client.inbox)) {
            Some((State::Asked(request), _)) => request.method == wire::Method::Head,
            Some((_, inbox)) => inbox.rest().starts_with(b"HEAD "),
            None => false,
        }
    }

    /// The next request that waits for an answer.
    pub fn poll_request(&mut self) -> Option<(Conn, Request)> {
        while let Some(conn) = self.asking.pop_front() {
            if let Some(State::Asked(request)) = self.clients.get(conn.0).map(|c| &c.state) {
                return Some((conn, Request::clone(request)));
            }
        }
        None
    }

    /// Answers the request of a connection; nothing happens when there is none any more.
    pub fn respond(&mut self, cx: &mut Cx, conn: Conn, response: Response) {
        let Some(client) = self.clients.get(conn.0) else { return };
        let State::Asked(request) = &client.state else { return };
        let silent = client.ended && client.inbox.is_empty();
        let then = match (request.keep_alive && !self.draining && !silent, request.old) {
            (false, _) => Then::Close,
            (true, true) => Then::StayOld,
            (true, false) => Then::Stay,
        };
        let answer = answer::answer(request, response, cx.now.wall, then);
        self.transmit(cx, conn, answer, then == Then::Close);
    }

    /// Begins an answer without end: these bytes, and from then on what [`Server::push`] gives.
    /// False when there is nobody to stream to: gone, or asking only for the head.
    pub fn stream(&mut self, cx: &mut Cx, conn: Conn, media_type: &str, start: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(conn.0) else { return false };
        let State::Asked(request) = &client.state else { return false };
        let head_only = request.method == wire::Method::Head;
        let start = if head_only { &[] } else { start };
        let payload = answer::endless(media_type, start, cx.now.wall);
        self.stats.answers.count(200);
        client.inbox.clear();
        client.hold(cx, conn, false);
        if head_only || self.draining {
            let sending = State::Sending { left: payload.len(), body: 0, last: true };
            cx.send(conn, payload);
            cx.finish(conn);
            self.change_state(cx, conn, sending);
            return false;
        }
        let stream = Stream::new(payload.len(), start.len() as u64);
        cx.send(conn, payload);
        self.stats.streams += 1;
        self.change_state(cx, conn, State::Streaming(Box::new(stream)));
        true
    }

    /// The next block of an answer without end. False when there is nobody to stream to any more.
    pub fn push(&mut self, cx: &mut Cx, conn: Conn, block: Span) -> bool {
        let Some(client) = self.clients.get_mut(conn.0) else { return false };
        let State::Streaming(stream) = &mut client.state else { return false };
        if stream.over {
            return false;
        }
        match stream.push(block.len, self.lag_max) {
            Ok(()) => {
                cx.send(conn, Payload::span(block));
                if stream.is_alone() {
                    cx.arm(conn, Why::Stall, limits::HTTP_STALL_MAX);
                }
            }
            Err(Behind::First) => self.stats.skipped += 1,
            Err(Behind::Still) => {}
            Err(Behind::Again) => {
                self.stats.lagged += 1;
                self.close(cx, conn, End::Reset);
                return false;
            }
        }
        true
    }

    /// The next stream that missed blocks and has taken all others: it wants the newest.
    pub fn poll_caught_up(&mut self) -> Option<Conn> {
        self.caught_up.pop()
    }

    /// Ends an answer without end, after what was given.
    pub fn end_stream(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        let State::Streaming(stream) = &mut client.state else { return };
        stream.over = true;
        let taken = stream.is_empty();
        cx.finish(conn);
        if taken {
            self.change_state(cx, conn, State::Lingering);
        }
    }

    /// Answers what is not served, and ends the connection.
    fn refuse(&mut self, cx: &mut Cx, conn: Conn, why: Refused) {
        let head_only = self.asks_for_head(conn);
        let response = Response::refusal(why);
        let answer = answer::whole(response, head_only, cx.now.wall, Then::Close);
        self.transmit(cx, conn, answer, true);
    }

    fn transmit(&mut self, cx: &mut Cx, conn: Conn, answer: Answer, last: bool) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        self.stats.answers.count(answer.status);
        let sending = State::Sending { left: answer.payload.len(), body: answer.body_len, last };
        cx.send(conn, answer.payload);
        if last {
            client.inbox.clear();
            client.hold(cx, conn, false);
            cx.finish(conn);
        }
        self.change_state(cx, conn, sending);
    }

    /// Every transition between states: its timer and its place among the idle.
    fn change_state(&mut self, cx: &mut Cx, conn: Conn, to: State) {
        let Some(client) = self.clients.get_mut(conn.0) else { return };
        let (why, after) = match to {
            State::Quiet => (Why::Idle, limits::HTTP_IDLE_MAX),
            State::Head => (Why::HeadPatience, limits::HTTP_HEAD_PATIENCE),
            State::Asked(_) | State::Sending { .. } | State::Streaming(_) => {
                (Why::Stall, limits::HTTP_STALL_MAX)
            }
            State::Lingering => (Why::Idle, limits::HTTP_LINGER_MAX),
        };
        if let Some(since) = client.idle_since.take() {
            self.idle.remove(&(since, conn));
        }
        if to.makes_room() {
            client.idle_since = Some(cx.now.mono);
            self.idle.insert((cx.now.mono, conn));
        }
        client.state = to;
        cx.arm(conn, why, after);
    }

    fn close(&mut self, cx: &mut Cx, conn: Conn, end: End) {
        self.closed(conn);
        cx.close(conn, end);
    }

    fn uncount(&mut self, conn: Conn, client: &Client) {
        if let Some(since) = client.idle_since {
            self.idle.remove(&(since, conn));
        }
        let Some(address) = client.address else { return };
        let count = self.per_address.get_mut(&address).expect("each client was counted once");
        *count -= 1;
        if *count == 0 {
            self.per_address.remove(&address);
        }
    }

    /// Stops gracefully: no new connections, those without a request are closed, the others after
    /// their answer.
    pub fn drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        let all: Vec<Conn> = self.clients.iter().map(|(key, _)| Conn(key)).collect();
        for conn in all {
            match self.clients.get_mut(conn.0).map(|client| &mut client.state) {
                Some(State::Sending { last, .. }) => *last = true,
                Some(State::Asked(_)) | None => {}
                Some(_) => self.close(cx, conn, End::Flushed),
            }
        }
    }

    /// Counters, and connections now.
    #[must_use]
    pub fn stats(&self) -> HttpStatus {
        HttpStatus { connections: self.clients.len(), ..self.stats }
    }

    /// Compares the tables with each other and with the node's.
    ///
    /// # Panics
    /// When they disagree, naming what holds no longer.
    pub fn check_invariants(&self, cx: &Cx) {
        let mut idle = 0;
        for (key, client) in self.clients.iter() {
            let peer = cx.peers.get(key).expect("a client is a known connection");
            assert!(
                peer.service == Service::Http && !peer.closing,
                "closing clients are forgotten"
            );
            assert!(peer.timer.is_some(), "every client has a timer");
            client.check_invariants();
            let place = client.idle_since.map(|since| (since, Conn(key)));
            assert!(place.is_none_or(|p| self.idle.contains(&p)), "an idle client has its place");
            idle += usize::from(place.is_some());
        }
        assert_eq!(self.idle.len(), idle, "only idle clients have a place");
        let counted = self.clients.iter().filter(|(_, client)| client.address.is_some()).count();
        assert_eq!(self.per_address.values().sum::<usize>(), counted, "addresses add up");
    }
}

impl State {
    /// Whether nobody loses anything when such a connection is closed.
    fn makes_room(&self) -> bool {
        matches!(self, Self::Quiet | Self::Lingering)
    }
}

impl Client {
    fn new(address: Option<IpAddr>, now: Mono) -> Self {
        Self {
            state: State::Quiet,
            inbox: Inbox::default(),
            address,
            idle_since: Some(now),
            forgotten: 0,
            ended: false,
            held: false,
        }
    }

    /// Stops or resumes reading, when that is a change.
    fn hold(&mut self, cx: &mut Cx, conn: Conn, on: bool) {
        if self.held != on {
            self.held = on;
            cx.out.push_back(Output::Hold { conn, on });
        }
    }

    /// Counts bytes that nobody wants; whether they are too many.
    fn forget(&mut self, bytes: &[u8]) -> bool {
        self.forgotten = self.forgotten.saturating_add(bytes.len() as u64);
        self.forgotten > limits::HTTP_LINGER_BYTES_MAX
    }

    fn check_invariants(&self) {
        assert_eq!(self.idle_since.is_some(), self.state.makes_room(), "idle and makes room agree");
        match self.state {
            State::Quiet | State::Lingering => {
                assert!(self.inbox.is_unallocated(), "an idle client holds no buffer");
            }
            State::Head => assert!(!self.inbox.is_empty(), "a head has begun"),
            State::Sending { left, .. } => assert!(left > 0, "an answer is on its way"),
            State::Asked(_) | State::Streaming(_) => {}
        }
        let waits_for_head = matches!(self.state, State::Quiet | State::Head);
        assert!(!(waits_for_head && self.held), "whoever is to send is read");
    }
}

/// What connections are counted under: one host's addresses together.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6((v6.to_bits() & (u128::from(u64::MAX) << 64)).into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

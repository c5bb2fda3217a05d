//! The machine driven through its context: a small world plays the node, the kernel and the clock.

mod streams;

use core::time::Duration;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::base::arena::Key;
use crate::base::port::{Blob, Payload, Wake};
use crate::base::time::{Now, Wall};
use crate::http::answer::Body;

/// Blocks that may wait for a reader.
const LAG: usize = 3;
const TEXT: &str = "GET /text HTTP/1.1\r\nHost: h\r\n\r\n";
const LEN: u64 = 1000;

/// What the other end of a connection has seen.
#[derive(Default, Debug)]
struct Seen {
    bytes: Vec<u8>,
    queued: u64,
    finished: bool,
    held: bool,
    end: Option<End>,
}

struct World {
    cx: Cx,
    server: Server,
    blob: Blob,
    seen: BTreeMap<Conn, Seen>,
    /// Those with something queued.
    queued: BTreeSet<Conn>,
    /// Whether the kernel takes everything at once.
    eager: bool,
    inbox_max: usize,
}

impl World {
    fn new(connections_max: usize, per_address_max: usize) -> Self {
        let wall = Wall(784_111_800 * 1_000_000_000);
        let mut cx = Cx::new(Now { wall, ..Now::default() }, 1);
        let blob = cx.create(LEN).unwrap();
        cx.out.clear();
        let server = Server::new(connections_max, per_address_max, LAG);
        Self {
            cx,
            server,
            blob,
            seen: BTreeMap::new(),
            queued: BTreeSet::new(),
            eager: true,
            inbox_max: 0,
        }
    }

    fn connect(&mut self, n: u32) -> Option<Conn> {
        let peer = SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + n), 4000));
        self.server.incoming(&mut self.cx, Some(peer));
        let accepted = self.cx.out.iter().find_map(|output| match output {
            Output::Accept { conn } => Some(*conn),
            _ => None,
        });
        self.seen.extend(accepted.map(|conn| (conn, Seen::default())));
        self.settle();
        accepted
    }

    fn feed(&mut self, conn: Conn, bytes: &[u8]) {
        if self.is_there(conn) {
            self.server.data(&mut self.cx, conn, bytes);
            self.settle();
        }
    }

    fn end(&mut self, conn: Conn) {
        self.server.ended(&mut self.cx, conn);
        self.settle();
    }

    fn is_there(&self, conn: Conn) -> bool {
        self.cx.peers.get(conn.0).is_some()
    }

    fn text(&self, conn: Conn) -> String {
        String::from_utf8_lossy(&self.seen[&conn].bytes).into_owned()
    }

    /// Plays node and kernel until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.measure();
            if let Some(output) = self.cx.out.pop_front() {
                self.carry_out(output);
            } else if let Some((conn, request)) = self.server.poll_request() {
                if let Some(response) = site(self.blob, &request) {
                    self.server.respond(&mut self.cx, conn, response);
                }
            } else if !self.eager || !self.take_all() {
                return;
            }
        }
        panic!("the machine goes on for ever");
    }

    fn measure(&mut self) {
        self.server.check_invariants(&self.cx);
        let most = self.server.clients.iter().map(|(_, c)| c.inbox.rest().len()).max();
        self.inbox_max = self.inbox_max.max(most.unwrap_or(0));
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn, payload } => {
                let seen = self.seen.get_mut(&conn).unwrap();
                assert!(!seen.finished, "nothing follows a finish");
                seen.queued += payload.len();
                self.queued.insert(conn);
                seen.bytes.extend(rendered(&payload));
            }
            Output::Finish { conn } => self.seen.get_mut(&conn).unwrap().finished = true,
            Output::Hold { conn, on } => self.seen.get_mut(&conn).unwrap().held = on,
            Output::Close { conn, end } => {
                self.seen.get_mut(&conn).unwrap().end = Some(end);
                self.gone(conn);
            }
            Output::Accept { .. } => {}
            other => panic!("not http's business: {other:?}"),
        }
    }

    fn gone(&mut self, conn: Conn) {
        self.cx.out.retain(|output| !matches!(output, Output::Close { conn: c, .. } if *c == conn));
        let peer = self.cx.peers.remove(conn.0).unwrap();
        peer.timer.map(|timer| self.cx.wheel.cancel(timer));
        self.server.closed(conn);
    }

    /// The kernel takes what one connection has queued.
    fn take_all(&mut self) -> bool {
        let Some(conn) = self.queued.first().copied() else { return false };
        self.take(conn, u64::MAX);
        true
    }

    fn take(&mut self, conn: Conn, bytes: u64) {
        let seen = self.seen.get_mut(&conn).unwrap();
        seen.queued = seen.queued.saturating_sub(bytes);
        let left = seen.queued;
        if left == 0 {
            self.queued.remove(&conn);
        }
        if self.is_there(conn) {
            self.server.sent(&mut self.cx, conn, left);
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.cx.now.mono.after(time);
        while let Some(at) = self.cx.wheel.next().filter(|at| *at <= until) {
            self.cx.now.mono = at;
            while let Some((_, Wake { why, what })) = self.cx.wheel.pop_due(at) {
                self.server.timeout(&mut self.cx, Conn(Key::from_bits(what)), why);
                self.settle();
            }
        }
        self.cx.now.mono = until;
    }

    fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }
}

fn site(blob: Blob, request: &Request) -> Option<Response> {
    match request.path.as_str() {
        "/text" => Some(Response::new(200, "text/plain", *b"hello world")),
        "/block" => Some(Response {
            body: Body::Blob { blob, len: LEN },
            etag: Some(wire::Tag::strong("block-7")),
            ..Response::new(200, "video/x-matroska", [])
        }),
        "/never" => None,
        _ => Some(Response::not_found()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the byte at an offset is made up")]
fn rendered(payload: &Payload) -> Vec<u8> {
    let body = payload.body.into_iter().flat_map(|s| s.from..s.from + s.len).map(|at| at as u8);
    payload.head.iter().copied().chain(body).chain(payload.tail.iter().copied()).collect()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn a_stream_cut_anywhere_is_answered_alike() {
    let stream = format!(
        "\r\n{TEXT}HEAD /block HTTP/1.1\r\nhost: h\r\n\r\n\
         GET /block HTTP/1.1\nHost: h\nRange: bytes=3-5\n\n\
         GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
         GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n{TEXT}"
    );
    let stream = stream.as_bytes();
    let run = |pieces: &[&[u8]]| {
        let mut world = World::new(1, 1);
        let conn = world.connect(1).unwrap();
        for piece in pieces {
            world.feed(conn, piece);
        }
        world.end(conn);
        (world.text(conn), world.seen[&conn].end)
    };
    let whole = run(&[stream]);
    assert_eq!(count(&whole.0, "HTTP/1.1 "), 5, "{}", whole.0);
    assert!(whole.0.contains("\r\n\r\n\u{3}\u{4}\u{5}HTTP/1.1 404 "));
    assert_eq!(count(&whole.0, "HTTP/1.1 400 "), 1);
    assert_eq!(whole.1, Some(End::Flushed));
    for cut in 0..stream.len() {
        assert_eq!(run(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(run(&stream.chunks(1).collect::<Vec<_>>()), whole);
}

#[test]
fn a_pipeline_is_answered_in_order_one_at_a_time() {
    let mut world = World::new(1, 1);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    world.feed(conn, format!("{TEXT}GET /block HTTP/1.1\r\nHost: h\r\n\r\n{TEXT}").as_bytes());
    for (answers, part) in [(1, "hello"), (2, "matroska"), (3, "hello")] {
        assert_eq!(count(&world.text(conn), "HTTP/1.1 200"), answers);
        assert!(world.text(conn).rsplit("HTTP/1.1 200").next().unwrap().contains(part));
        world.take(conn, 10);
        world.settle();
        assert_eq!(count(&world.text(conn), "HTTP/1.1 200"), answers, "the first is not through");
        world.take(conn, u64::MAX);
        world.settle();
    }
    assert_eq!(world.server.stats().body_bytes, 2 * 11 + LEN);
    assert!(world.is_there(conn));
}

#[test]
fn what_is_sent_ahead_is_bounded_and_nothing_is_lost() {
    const READ: usize = 64 << 10;
    let mut world = World::new(1, 1);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    let requests = 10_000;
    let stream = TEXT.repeat(requests).into_bytes();
    let mut reads = stream.chunks(READ);
    for _ in 0..10 * requests {
        if !world.seen[&conn].held {
            reads.next().into_iter().for_each(|bytes| world.feed(conn, bytes));
        }
        world.take(conn, u64::MAX);
        world.settle();
    }
    assert_eq!(count(&world.text(conn), "hello world"), requests);
    assert!(world.inbox_max <= limits::HTTP_HEAD_BYTES_MAX + READ, "{}", world.inbox_max);
    assert!(world.server.clients.get(conn.0).unwrap().inbox.is_unallocated());
    assert!(!world.seen[&conn].held);
}

#[test]
fn a_head_that_trickles_in_is_cut_off_in_time() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    world.seconds(4);
    for byte in TEXT.as_bytes().iter().take(4) {
        world.feed(conn, &[*byte]);
        world.seconds(1);
        assert_eq!(world.text(conn), "");
    }
    world.feed(conn, b"/");
    world.seconds(1);
    assert!(world.text(conn).starts_with("HTTP/1.1 408 "), "{}", world.text(conn));
    assert!(world.text(conn).contains("\r\nConnection: close\r\n"));
    assert!(world.seen[&conn].finished && world.is_there(conn));
    world.seconds(2);
    assert!(!world.is_there(conn));
    assert_eq!(world.server.stats().slow_heads, 1);
}

#[test]
fn a_client_that_says_nothing_is_closed_without_a_word() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    world.seconds(3);
    world.feed(conn, b"\r\n");
    world.seconds(2);
    assert_eq!((world.text(conn).as_str(), world.seen[&conn].end), ("", Some(End::Flushed)));
}

#[test]
fn a_kept_connection_is_closed_after_its_idle_time() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    for _ in 0..3 {
        world.feed(conn, TEXT.as_bytes());
        world.seconds(29);
        assert!(world.is_there(conn));
    }
    world.seconds(1);
    assert!(!world.is_there(conn));
    assert_eq!(world.server.stats().slow_heads, 0);
}

#[test]
fn ten_thousand_silent_connections_are_bounded_and_the_rest_is_served() {
    let mut world = World::new(40, 10);
    let crowd = (0..10_000).filter_map(|_| world.connect(7)).count();
    assert_eq!((crowd, world.server.stats().connections), (10, 10));
    for n in 0..10_000 {
        assert!(world.connect(1000 + n).is_some(), "the longest silent one makes room");
        assert!(world.server.stats().connections <= 40);
    }
    let conn = world.connect(5).unwrap();
    world.feed(conn, TEXT.as_bytes());
    assert!(world.text(conn).ends_with("hello world"));
    let stats = world.server.stats();
    assert_eq!((stats.accepted, stats.refused), (10_011, 9_990));
    world.seconds(40);
    assert_eq!((world.server.stats().connections, world.cx.peers.len()), (0, 0));
    assert!(world.server.per_address.is_empty() && world.server.idle.is_empty());
}

#[test]
fn the_longest_idle_makes_room_and_the_busy_never() {
    let mut world = World::new(3, 3);
    let conns: Vec<_> = (0..3).map(|n| world.connect(n).unwrap()).collect();
    for conn in [conns[1], conns[0], conns[2]] {
        world.seconds(1);
        world.feed(conn, TEXT.as_bytes());
    }
    world.feed(conns[1], b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    let new = world.connect(9).unwrap();
    assert!(!world.is_there(conns[0]) && world.is_there(conns[1]) && world.is_there(conns[2]));
    world.feed(conns[2], b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    world.feed(new, b"G");
    assert_eq!(world.connect(10), None, "all are busy");
    let stats = world.server.stats();
    assert_eq!((stats.evicted, stats.refused, stats.connections), (1, 1, 3));
}

#[test]
fn half_an_ipv6_address_is_one_host() {
    let mut world = World::new(100, 2);
    let mut from = |address: &str| {
        let before = world.server.stats().accepted;
        world.server.incoming(&mut world.cx, Some(SocketAddr::new(address.parse().unwrap(), 1)));
        world.server.stats().accepted > before
    };
    assert!(from("2001:db8::1") && from("2001:db8::2:1") && !from("2001:db8::3"));
    assert!(from("2001:db8:0:1::1"));
    assert!(from("10.0.0.1") && from("::ffff:10.0.0.1") && !from("10.0.0.1"));
}

#[test]
fn a_reader_that_takes_nothing_is_reset_and_a_slow_one_is_not() {
    let mut world = World::new(2, 2);
    world.eager = false;
    let (stalled, slow) = (world.connect(1).unwrap(), world.connect(2).unwrap());
    for conn in [stalled, slow] {
        world.feed(conn, b"GET /block HTTP/1.1\r\nHost: h\r\n\r\n");
        world.take(conn, 1);
    }
    for _ in 0..3 {
        world.seconds(29);
        world.take(slow, 1);
    }
    assert_eq!(world.seen[&stalled].end, Some(End::Reset));
    assert!(world.is_there(slow));
    assert_eq!(world.server.stats().stalled, 1);
}

#[test]
fn a_report_without_progress_gains_no_time() {
    let mut world = World::new(1, 1);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    world.feed(conn, TEXT.as_bytes());
    world.seconds(29);
    world.take(conn, 0);
    world.seconds(1);
    assert_eq!(world.seen[&conn].end, Some(End::Reset));
}

#[test]
fn a_request_that_the_node_leaves_lying_is_answered_503() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    world.feed(conn, b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    world.seconds(30);
    assert!(world.text(conn).starts_with("HTTP/1.1 503 "));
    let before = world.text(conn);
    world.server.respond(&mut world.cx, conn, Response::not_found());
    world.settle();
    assert_eq!(world.text(conn), before, "the late answer is dropped");
    world.seconds(2);
    assert!(!world.is_there(conn));
}

#[test]
fn a_peer_that_ended_early_gets_what_it_asked_for() {
    let mut world = World::new(1, 1);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    world.feed(conn, format!("{TEXT}{TEXT}GET /half").as_bytes());
    world.end(conn);
    for _ in 0..3 {
        world.take(conn, u64::MAX);
        world.settle();
    }
    assert_eq!(count(&world.text(conn), "hello world"), 2);
    assert_eq!(world.seen[&conn].end, Some(End::Flushed));
}

#[test]
fn the_last_answer_is_not_overtaken_by_a_reset() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    world.feed(conn, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n");
    assert!(world.text(conn).starts_with("HTTP/1.1 405 "), "{}", world.text(conn));
    assert!(world.text(conn).contains("\r\nAllow: GET, HEAD\r\n"));
    assert!(world.seen[&conn].finished);
    world.feed(conn, &vec![b'x'; 900_000]);
    assert!(world.is_there(conn), "what follows is read and forgotten");
    world.end(conn);
    assert_eq!(world.seen[&conn].end, Some(End::Flushed));
    let flood = world.connect(1).unwrap();
    world.feed(flood, b"\x16\x03\x01");
    world.feed(flood, &vec![b'x'; 2 << 20]);
    assert!(!world.is_there(flood), "but not for ever");
    assert_eq!(world.inbox_max, 0, "none of it is kept");
}

#[test]
fn a_flood_behind_an_answer_that_nobody_takes_is_held() {
    let mut world = World::new(1, 1);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    world.feed(conn, b"\0");
    world.feed(conn, &vec![b'x'; 2 << 20]);
    assert!(world.seen[&conn].held && world.is_there(conn));
    world.seconds(30);
    assert_eq!(world.seen[&conn].end, Some(End::Reset));
}

#[test]
fn a_graceful_stop_finishes_answers_and_closes_the_rest() {
    let mut world = World::new(10, 10);
    world.eager = false;
    let conns: Vec<_> = (0..4).map(|n| world.connect(n).unwrap()).collect();
    world.feed(conns[1], b"GET /te");
    world.feed(conns[2], TEXT.as_bytes());
    world.feed(conns[3], b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    world.server.drain(&mut world.cx);
    world.settle();
    assert_eq!(world.connect(9), None);
    let there = |world: &World| conns.iter().map(|c| world.is_there(*c)).collect::<Vec<_>>();
    assert_eq!(there(&world), [false, false, true, true]);
    world.server.respond(&mut world.cx, conns[3], Response::not_found());
    world.settle();
    assert!(world.text(conns[3]).contains("\r\nConnection: close\r\n"));
    world.eager = true;
    world.settle();
    assert_eq!(there(&world), [false; 4]);
    assert!(world.text(conns[2]).ends_with("hello world"));
}

#[test]
fn http_1_0_is_closed_unless_it_asks_to_stay() {
    let mut world = World::new(2, 2);
    let (plain, stays) = (world.connect(1).unwrap(), world.connect(2).unwrap());
    world.feed(plain, b"GET /text HTTP/1.0\r\n\r\n");
    assert!(world.text(plain).contains("\r\nConnection: close\r\n") && world.seen[&plain].finished);
    world.feed(stays, b"GET /text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    world.feed(stays, TEXT.as_bytes());
    assert!(world.text(stays).contains("\r\nConnection: keep-alive\r\n"));
    assert_eq!(count(&world.text(stays), "hello world"), 2);
}

#[test]
fn no_answer_repeats_what_was_asked() {
    for request in [
        "GET /<script>alert(1)</script> HTTP/1.1\r\nHost: h\r\n\r\n",
        "<script>alert(1)</script>\r\n\r\n",
        "<script> / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /.. HTTP/1.1\r\nHost: <script>\r\nRange: <script>\r\n\r\n",
    ] {
        let mut world = World::new(1, 1);
        let conn = world.connect(1).unwrap();
        world.feed(conn, request.as_bytes());
        assert!(world.text(conn).starts_with("HTTP/1.1 4"), "{request}");
        assert!(!world.text(conn).contains("script"), "{}", world.text(conn));
    }
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let mut world = World::new(1, 1);
    let conn = world.connect(1).unwrap();
    world.feed(conn, b"HEAD /.. HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        world.text(conn).starts_with("HTTP/1.1 400 ") && world.text(conn).ends_with("\r\n\r\n")
    );
}

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Step {
    Connect,
    Bytes(usize, Vec<u8>),
    Known(usize, &'static str),
    Take(usize, u64),
    End(usize),
    Reset(usize),
    Pass(u64),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8_usize;
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let known = prop_oneof![
        Just(TEXT),
        Just("GET /block HTTP/1.1\r\nHost: h\r\nRange: bytes=1-\r\n\r\n"),
        Just("GET /never HTTP/1.0\r\n\r\n"),
        Just("HEAD /x HTTP/1.1\r\nHost:"),
        Just(" h\r\n\r\n"),
        Just("\r\n"),
    ];
    prop_oneof![
        3 => Just(Step::Connect),
        2 => (which.clone(), bytes).prop_map(|(n, b)| Step::Bytes(n, b)),
        6 => (which.clone(), known).prop_map(|(n, b)| Step::Known(n, b)),
        6 => (which.clone(), 0..2000_u64).prop_map(|(n, b)| Step::Take(n, b)),
        1 => which.clone().prop_map(Step::End),
        1 => which.prop_map(Step::Reset),
        3 => (0..7000_u64).prop_map(Step::Pass),
        1 => Just(Step::Drain),
    ]
}

impl World {
    fn play(&mut self, step: Step) {
        let alive: Vec<Conn> = self.server.clients.iter().map(|(key, _)| Conn(key)).collect();
        let pick = |n: usize| alive.get(n % alive.len().max(1)).copied();
        match step {
            Step::Connect => drop(self.connect(1)),
            Step::Bytes(n, bytes) => pick(n).into_iter().for_each(|c| self.feed(c, &bytes)),
            Step::Known(n, text) => pick(n).into_iter().for_each(|c| self.feed(c, text.as_bytes())),
            Step::Take(n, bytes) => pick(n).into_iter().for_each(|c| self.take(c, bytes)),
            Step::End(n) => pick(n).into_iter().for_each(|c| self.end(c)),
            Step::Reset(n) => pick(n).into_iter().for_each(|c| self.gone(c)),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Step::Drain => self.server.drain(&mut self.cx),
        }
        self.settle();
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_connection_ends(
        eager in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(5, 8);
        world.eager = eager;
        let drain_at = steps.len() - steps.len() / 4;
        for (n, step) in steps.into_iter().enumerate() {
            if n >= drain_at || !matches!(step, Step::Drain) {
                world.play(step);
            }
        }
        // Asked, then sending, then lingering is the longest way without a word from the peer.
        world.seconds(30 + 30 + 2 + 1);
        prop_assert_eq!(world.cx.peers.len(), 0);
        prop_assert_eq!(world.server.stats().connections, 0);
        prop_assert!(world.server.per_address.is_empty() && world.server.idle.is_empty());
    }
}

//! The reactor with real sockets and files, driven as the daemon drives it, no node above.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;
use crate::base::arena::Arena;
use crate::base::port::{Output, Payload};

/// A reactor, the names that a node would give, and all that it was told.
struct World {
    reactor: Reactor,
    arena: Arena<()>,
    now: Now,
    told: Vec<Told>,
    bytes: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    fn new(conns_max: usize) -> Self {
        let reactor = Reactor::new(conns_max).unwrap();
        let (arena, now) = (Arena::new(1000), Now::default());
        Self { reactor, arena, now, told: Vec::new(), bytes: Vec::new() }
    }

    fn key(&mut self) -> Key {
        self.arena.insert(()).unwrap()
    }

    fn act(&mut self, output: Output) {
        self.reactor.act(output, self.now);
    }

    /// One turn: reads go to `bytes`, the rest to `told`.
    fn turn(&mut self) {
        let mut buffer = [0; 4096];
        self.now.mono = self.now.mono.after(Duration::from_millis(10));
        self.reactor.poll(Some(Duration::from_millis(10)), self.now.mono).unwrap();
        while let Some(conn) = self.reactor.next_ready() {
            loop {
                match self.reactor.read(conn, &mut buffer) {
                    Read::Bytes(count) => self.bytes.extend(&buffer[..count]),
                    Read::Filled(..) => {}
                    Read::Ended | Read::Nothing => break,
                }
            }
        }
        while self.reactor.dirty_len() > 0 && self.reactor.flush_next(&mut buffer) {}
        self.reactor.hash();
        self.told.extend(std::iter::from_fn(|| self.reactor.poll_told()));
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "no {what}: {:?}", self.told);
            self.turn();
        }
    }

    fn gone(&self, conn: Conn) -> Option<Gone> {
        self.told.iter().find_map(|told| match told {
            Told::Closed(closed, why) if *closed == conn => Some(*why),
            _ => None,
        })
    }

    /// A connection of ours, accepted, and its other end.
    fn pair(&mut self) -> (Conn, TcpStream) {
        let any = Place::Tcp("127.0.0.1:0".parse().unwrap());
        let Place::Tcp(addr) = self.reactor.listen(Service::Tv, &any).unwrap() else { panic!() };
        let index = self.reactor.listeners_len() - 1;
        let other = TcpStream::connect(addr).unwrap();
        let conn = Conn(self.key());
        self.until("connection", |w| w.reactor.accept(index, w.now).is_some());
        self.act(Output::Accept { conn });
        self.reactor.refuse_unclaimed();
        (conn, other)
    }
}

/// Reads from the other end to its end.
fn rest(mut other: TcpStream) -> std::io::Result<Vec<u8>> {
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    other.read_to_end(&mut bytes).map(|_| bytes)
}

#[test]
fn a_connection_that_nobody_takes_is_refused() {
    let mut world = World::new(10);
    let any = Place::Tcp("127.0.0.1:0".parse().unwrap());
    let Place::Tcp(addr) = world.reactor.listen(Service::Tv, &any).unwrap() else { panic!() };
    let other = TcpStream::connect(addr).unwrap();
    world.until("connection", |w| w.reactor.accept(0, w.now).is_some());
    world.reactor.refuse_unclaimed();
    assert_eq!(rest(other).unwrap(), b"");
    assert_eq!(world.reactor.conns_len(), 0);
}

#[test]
fn a_dial_stands_or_says_why_not() {
    let mut world = World::new(10);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let conn = Conn(world.key());
    world.act(Output::Dial { conn, to, from: Some("127.0.0.7".parse().unwrap()) });
    let stands = |told: &Told| matches!(told, Told::Connected(c, _) if *c == conn);
    world.until("connection", |w| w.told.iter().any(stands));
    assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.7");
    drop(listener);
    let refused = Conn(world.key());
    world.act(Output::Dial { conn: refused, to, from: None });
    world.until("refusal", |w| w.gone(refused).is_some());
    assert_eq!(world.gone(refused), Some(Gone::Refused));
}

#[test]
fn what_arrives_goes_into_the_map_and_on_while_the_rest_is_on_its_way() {
    let mut world = World::new(10);
    let (source, mut upstream) = world.pair();
    let (sink, mut downstream) = world.pair();
    let blob = Blob(world.key());
    world.act(Output::Create { blob, max: 1 << 20 });
    let into = Span { blob, from: 0, len: 10 };
    world.act(Output::Receive { conn: source, into });
    downstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = [0; 5];
    for (from, part) in [(0, b"first"), (5, b"other")] {
        upstream.write_all(part).unwrap();
        let mut filled = 0;
        world.until("part", |w| {
            let mut buffer = [0; 64];
            w.reactor.poll(Some(Duration::from_millis(10)), w.now.mono).unwrap();
            if let Read::Filled(_, upto) = w.reactor.read(source, &mut buffer) {
                filled = upto;
            }
            filled == from + 5
        });
        let body = Span { blob, from, len: 5 };
        world.act(Output::Send { conn: sink, payload: Payload::span(body) });
        world.turn();
        downstream.read_exact(&mut got).unwrap();
        assert_eq!(&got, part, "passed on before the block was whole");
    }
    // The span is full: what follows is no longer the block's.
    upstream.write_all(b"next").unwrap();
    world.until("bytes", |w| w.bytes == b"next");
    world.act(Output::Seal { blob, len: 10 });
    world.turn();
    let opened = world.told.iter().find_map(|told| match told {
        Told::Opened(_, len, _, head) => Some((*len, head.clone())),
        _ => None,
    });
    assert_eq!(opened, Some((10, b"firstother".to_vec())));
}

#[test]
fn a_block_that_broke_is_told_once_and_ends_its_connections_by_reset() {
    let mut world = World::new(10);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    std::fs::write(&path, vec![7; 300_000]).unwrap();
    world.reactor.set_library(Some(File::open(directory.path()).unwrap()));
    let blob = Blob(world.key());
    world.act(Output::Open { blob, path: "a".into() });
    let (one, other) = (world.pair(), world.pair());
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let body = Span { blob, from: 0, len: 300_000 };
    for conn in [one.0, other.0] {
        world.act(Output::Send { conn, payload: Payload::span(body) });
        world.act(Output::Finish { conn });
    }
    world.until("both ends", |w| w.gone(one.0).is_some() && w.gone(other.0).is_some());
    assert_eq!(
        (world.gone(one.0), world.gone(other.0)),
        (Some(Gone::Faulted), Some(Gone::Faulted))
    );
    let faults = world.told.iter().filter(|told| matches!(told, Told::Faulted(_))).count();
    assert_eq!(faults, 1);
    assert!(rest(one.1).is_err(), "a cut block does not end as a whole one does");
}

#[test]
fn a_flushed_close_sends_all_and_a_reset_nothing_more() {
    let mut world = World::new(10);
    let (flushed, whole) = world.pair();
    let bytes = vec![1; 2_000_000];
    world.act(Output::Send { conn: flushed, payload: Payload::bytes(bytes.clone()) });
    world.act(Output::Close { conn: flushed, end: End::Flushed });
    let reader = std::thread::Builder::new().spawn(move || rest(whole)).unwrap();
    world.until("end", |w| w.gone(flushed).is_some());
    assert_eq!(reader.join().unwrap().unwrap(), bytes);
    let (reset, cut) = world.pair();
    world.act(Output::Send { conn: reset, payload: Payload::bytes(bytes) });
    world.act(Output::Close { conn: reset, end: End::Reset });
    world.until("end", |w| w.gone(reset).is_some());
    assert!(rest(cut).is_err());
}

#[test]
fn an_event_of_an_old_connection_does_not_reach_the_new_owner_of_its_slot() {
    let mut world = World::new(10);
    let (old, mut theirs) = world.pair();
    theirs.write_all(b"late").unwrap();
    world.act(Output::Close { conn: old, end: End::Reset });
    world.arena.remove(old.0);
    let (new, _quiet) = world.pair();
    assert_eq!(old.0.index(), new.0.index(), "the slot is used again");
    for _ in 0..5 {
        world.turn();
    }
    assert!(world.bytes.is_empty() && world.gone(new).is_none());
}

#[test]
fn a_held_connection_is_not_read_until_it_is_let_go() {
    let mut world = World::new(10);
    let (conn, mut theirs) = world.pair();
    world.act(Output::Hold { conn, on: true });
    theirs.write_all(b"waiting").unwrap();
    for _ in 0..5 {
        world.turn();
    }
    assert!(world.bytes.is_empty());
    world.act(Output::Hold { conn, on: false });
    world.until("bytes", |w| w.bytes == b"waiting");
}

#[test]
fn when_all_places_are_taken_it_is_said_once_and_ends_with_the_first_free_one() {
    let mut world = World::new(2);
    let any = Place::Tcp("127.0.0.1:0".parse().unwrap());
    let Place::Tcp(addr) = world.reactor.listen(Service::Tv, &any).unwrap() else { panic!() };
    let crowd: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let conns = [Conn(world.key()), Conn(world.key())];
    for conn in conns {
        world.until("connection", |w| w.reactor.accept(0, w.now).is_some());
        world.act(Output::Accept { conn });
    }
    for _ in 0..200 {
        assert!(world.reactor.accept(0, world.now).is_none());
        world.now.mono = world.now.mono.after(Duration::from_millis(50));
    }
    let notes: Vec<_> = std::iter::from_fn(|| world.reactor.poll_note()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    world.act(Output::Close { conn: conns[0], end: End::Reset });
    assert!(world.reactor.accept(0, world.now).is_some(), "without waiting");
    drop(crowd);
}

#[test]
fn a_head_is_read_without_what_follows_it() {
    let mut world = World::new(10);
    let (conn, mut theirs) = world.pair();
    world.act(Output::Take { conn, bytes: 4 });
    theirs.write_all(b"headbody").unwrap();
    let mut buffer = [0; 64];
    world.until("head", |w| {
        w.reactor.poll(Some(Duration::from_millis(10)), w.now.mono).unwrap();
        matches!(w.reactor.read(conn, &mut buffer), Read::Bytes(4))
    });
    let blob = Blob(world.key());
    world.act(Output::Create { blob, max: 100 });
    world.act(Output::Receive { conn, into: Span { blob, from: 0, len: 4 } });
    let got = world.reactor.read(conn, &mut buffer);
    assert!(matches!(got, Read::Filled(_, 4)), "{got:?}");
    assert_eq!(&buffer[..4], b"head");
}

#[test]
fn bytes_of_files_and_of_received_blocks_have_the_same_hash() {
    let mut world = World::new(10);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), b"0123456789").unwrap();
    world.reactor.set_library(Some(File::open(directory.path()).unwrap()));
    let (file, memory) = (Blob(world.key()), Blob(world.key()));
    world.act(Output::Open { blob: file, path: "a".into() });
    world.act(Output::Create { blob: memory, max: 10 });
    let (conn, mut theirs) = world.pair();
    world.act(Output::Receive { conn, into: Span { blob: memory, from: 0, len: 10 } });
    theirs.write_all(b"0123456789").unwrap();
    let mut buffer = [0; 64];
    world.until("block", |w| {
        w.reactor.poll(Some(Duration::from_millis(10)), w.now.mono).unwrap();
        matches!(w.reactor.read(conn, &mut buffer), Read::Filled(_, 10))
    });
    for blob in [file, memory] {
        world.act(Output::Hash { span: Span { blob, from: 2, len: 5 } });
    }
    world.turn();
    let hash = |told: &Told| if let Told::Hashed(_, hash) = told { *hash } else { None };
    let hashes: Vec<_> = world.told.iter().filter_map(hash).collect();
    let expected = *blake3::hash(b"23456").as_bytes();
    assert_eq!(hashes, [expected, expected]);
    std::fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
    world.act(Output::Hash { span: Span { blob: file, from: 0, len: 1 } });
    world.turn();
    assert!(matches!(world.told.last(), Some(Told::Hashed(_, None))), "the file is gone");
}

#[test]
fn hashes_wait_until_they_are_asked_for_and_a_turn_takes_no_more_than_its_part() {
    let mut world = World::new(10);
    let len = limits::HASH_BUDGET_BYTES / 2 + 1;
    let blobs = [0; 5].map(|_| Blob(world.key()));
    for blob in blobs {
        world.act(Output::Create { blob, max: len });
        world.act(Output::Hash { span: Span { blob, from: 0, len } });
    }
    assert!(world.reactor.poll_told().is_none(), "what is to be sent goes first");
    world.act(Output::Release { blob: blobs[1] });
    let mut turn = || {
        world.reactor.hash();
        std::iter::from_fn(|| world.reactor.poll_told()).count()
    };
    assert_eq!([turn(), turn(), turn()], [2, 2, 0], "and not what was given up");
}

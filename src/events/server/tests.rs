//! The ticker's server alone, under virtual time: what it is told is written here, what it wants
//! done is read off the way out.

use super::*;
use crate::base::port::Wake;
use crate::base::time::Now;
use crate::config::EventSource;
use crate::events::wire::{END, Received, Seen};

const INTERVAL: Duration = Duration::from_millis(100);

struct World {
    cx: Cx,
    server: Server,
    /// Every datagram: to whom, and its bytes.
    sent: Vec<(SocketAddr, Rc<[u8]>)>,
    held: bool,
}

fn config() -> config::Events {
    config::Events {
        listen: "127.0.0.1:0".parse().unwrap(),
        interval: INTERVAL,
        source: EventSource::Game,
        teams: None,
        seed: Some(1),
        members_max: 100,
        per_address_max: 10,
        expire: Duration::ZERO,
        prove: false,
    }
}

fn who(number: u16) -> SocketAddr {
    let host = u8::try_from(number / 10).unwrap();
    SocketAddr::from(([127, 0, 0, host], 1000 + number))
}

impl World {
    fn new(config: &config::Events, source: Source) -> Self {
        // Not the clock's origin: a server may start at any time.
        let now = Now { mono: Mono(7_000_000_000), ..Now::default() };
        let mut world = Self {
            cx: Cx::new(now, 0),
            server: Server::new(config, source),
            sent: Vec::new(),
            held: true,
        };
        world.server.start(&mut world.cx);
        world.drain();
        world
    }

    fn game() -> Self {
        Self::new(&config(), Source::Game(Teams::default(), 1))
    }

    fn live() -> Self {
        Self::new(&config(), Source::Live)
    }

    fn drain(&mut self) {
        while let Some(output) = self.cx.out.pop_front() {
            match output {
                Output::SendAll { service, to, bytes } => {
                    assert_eq!(service, Service::Events);
                    self.sent.extend(to.iter().map(|to| (*to, Rc::clone(&bytes))));
                }
                Output::HoldLines { on } => self.held = on,
                _ => {}
            }
        }
        self.server.check_invariants(&self.cx);
    }

    fn say(&mut self, from: SocketAddr, words: &[u8]) {
        self.server.datagram(&mut self.cx, from, words);
        self.drain();
    }

    fn register(&mut self, numbers: std::ops::Range<u16>) {
        numbers.for_each(|number| self.say(who(number), b"register"));
    }

    fn write(&mut self, text: &str) {
        self.server.lines(&mut self.cx, text.as_bytes());
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.cx.now.mono.after(time);
        while let Some(next) = self.cx.wheel.next().filter(|at| *at <= end) {
            self.cx.now.mono = next.max(self.cx.now.mono);
            while let Some((_, wake)) = self.cx.wheel.pop_due(self.cx.now.mono) {
                self.wake(wake);
                self.drain();
            }
        }
        self.cx.now.mono = end;
    }

    fn wake(&mut self, wake: Wake) {
        assert_eq!(wake.why, Why::EventsTick);
        self.server.tick(&mut self.cx);
    }

    fn take(&mut self) -> Vec<(SocketAddr, Rc<[u8]>)> {
        std::mem::take(&mut self.sent)
    }

    /// The numbers that one client got, and whether the end came last.
    fn got(&mut self, by: SocketAddr) -> (Vec<u64>, bool) {
        let mut counts = Vec::new();
        let mut ended = false;
        for (_, bytes) in self.take().iter().filter(|(to, _)| *to == by) {
            assert!(!ended, "nothing comes after the end");
            match Received::parse(bytes).unwrap() {
                Received::Event(seen) => counts.push(seen.count),
                Received::End => ended = true,
            }
        }
        (counts, ended)
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

fn seen(bytes: &[u8]) -> Seen {
    match Received::parse(bytes).unwrap() {
        Received::Event(seen) => seen,
        Received::End => panic!("the end"),
    }
}

#[test]
fn a_match_begins_with_its_first_member_and_counts_from_one() {
    let mut world = World::game();
    world.pass(Duration::from_secs(60));
    assert!(world.sent.is_empty(), "nobody listens");
    world.register(1..3);
    world.pass(INTERVAL * 3);
    assert_eq!(world.sent.len(), 6);
    let (counts, ended) = world.got(who(2));
    assert_eq!((counts, ended), (vec![1, 2, 3], false));
    world.register(3..4);
    world.pass(INTERVAL * 2);
    assert_eq!(world.got(who(3)).0, [4, 5]);
}

#[test]
fn the_end_goes_to_everybody_and_the_next_match_counts_anew() {
    let mut world = World::game();
    world.register(1..3);
    world.pass(INTERVAL * 100);
    let (counts, ended) = world.got(who(1));
    assert!(ended && counts.len() > 40, "{counts:?}");
    assert_eq!(counts, (1..=counts.len() as u64).collect::<Vec<_>>());
    assert_eq!(world.server.members(), 0);
    world.pass(INTERVAL * 100);
    assert!(world.take().is_empty(), "all are forgotten");
    world.register(2..3);
    world.pass(INTERVAL);
    assert_eq!(world.got(who(2)).0, [1]);
    let seeds: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|e| if let Event::KickOff { seed, .. } = e { Some(seed) } else { None })
        .collect();
    assert_eq!(seeds, [1, 2]);
}

#[test]
fn everybody_gets_the_same_bytes_without_a_copy() {
    let mut world = World::game();
    world.register(0..50);
    world.pass(INTERVAL);
    let sent = world.take();
    assert_eq!(sent.len(), 50);
    assert!(sent.iter().all(|(_, bytes)| Rc::ptr_eq(bytes, &sent[0].1)));
}

#[test]
fn events_do_not_drift() {
    let mut world = World::game();
    world.register(1..2);
    let began = world.cx.now.mono;
    for turn in 1..=20 {
        let (next, _) = world.cx.wheel.next_timer().unwrap();
        // The loop is late by up to 7 ms each time.
        world.cx.now.mono = next.after(Duration::from_millis(turn % 8));
        while let Some((_, wake)) = world.cx.wheel.pop_due(world.cx.now.mono) {
            world.wake(wake);
        }
        world.drain();
    }
    let (next, _) = world.cx.wheel.next_timer().unwrap();
    assert_eq!(next, began.after(INTERVAL * 21));
}

#[test]
fn registering_twice_is_once_and_unregistering_ends_it() {
    let mut world = World::game();
    world.register(1..2);
    world.register(1..2);
    world.pass(INTERVAL);
    assert_eq!(world.got(who(1)).0, [1]);
    world.say(who(1), b"unregister");
    world.say(who(1), b"unregister");
    world.pass(INTERVAL * 3);
    assert!(world.take().is_empty());
    let events = world.events();
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Joined(_))).count(), 1);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Left(_))).count(), 1);
}

#[test]
fn registrations_are_bounded_for_each_address_and_in_all() {
    let mut world = World::game();
    for port in 0..20 {
        world.say(SocketAddr::from(([10, 0, 0, 1], 2000 + port)), b"register");
    }
    assert_eq!(world.server.members(), 10);
    world.register(0..150);
    assert_eq!(world.server.members(), 100);
    assert_eq!(world.server.stats().refused, 70);
    let told = world.events().into_iter().filter(|e| matches!(e, Event::Full { .. })).count();
    assert_eq!(told, 1, "and not once for each");
    world.say(who(0), b"unregister");
    world.say(who(149), b"register");
    assert_eq!(world.server.members(), 100, "a place that is free is given");
}

#[test]
fn what_is_no_command_is_told_and_changes_nothing() {
    let mut world = World::game();
    world.register(1..2);
    for bad in [&b"regist"[..], b"\xff\xfe", b"", &vec![b'r'; 60_000]] {
        world.say(who(1), bad);
        world.say(who(2), bad);
    }
    assert_eq!((world.server.members(), world.server.stats().bad_requests), (1, 8));
    let longest = world.events().into_iter().filter_map(|event| match event {
        Event::BadRequest { bytes, .. } => Some(bytes.len()),
        _ => None,
    });
    assert!(longest.max().unwrap() <= limits::SHOWN_BYTES_MAX + 1);
}

#[test]
fn the_silent_are_forgotten_where_that_is_wanted() {
    let expire = Duration::from_secs(1);
    let config = config::Events { expire, ..config() };
    let mut world = World::new(&config, Source::Game(Teams::default(), 1));
    world.register(1..3);
    for _ in 0..4 {
        world.pass(Duration::from_millis(600));
        world.register(2..3);
    }
    assert_eq!(world.server.members(), 1);
    assert!(world.events().contains(&Event::Expired(who(1))));
    let mut world = World::game();
    world.register(1..2);
    world.pass(Duration::from_secs(4));
    assert_eq!(world.server.members(), 1, "the originals never speak again");
}

#[test]
fn an_address_that_proves_nothing_gets_one_datagram_a_registration() {
    let config = config::Events { prove: true, ..config() };
    let mut world = World::new(&config, Source::Game(Teams::default(), 1));
    world.register(1..3);
    world.register(1..3);
    world.pass(INTERVAL * 3);
    assert_eq!(world.got(who(1)).0, [1], "twice before the first event is once");
    world.say(who(1), b"register");
    world.pass(INTERVAL * 2);
    let sent = world.take();
    assert!(sent.iter().all(|(to, _)| *to == who(1)), "only who proved it");
    assert_eq!(sent.len(), 2);
    // Addresses that others invented do not fill the list for ever.
    let interval = Duration::from_secs(2);
    let config = config::Events { interval, ..config };
    let mut world = World::new(&config, Source::Game(Teams::default(), 1));
    world.register(0..100);
    world.pass(interval);
    world.say(who(7), b"register");
    world.pass(Duration::from_secs(40));
    assert_eq!(world.server.members(), 1);
}

#[test]
fn a_line_is_an_event_at_once_and_the_next_after_the_interval() {
    let mut world = World::live();
    assert!(!world.held, "who writes is read, whoever listens");
    world.register(1..2);
    world.write("one\ntwo\nthree\nfo");
    assert!(world.held, "while lines wait no more are read");
    assert_eq!(world.sent.len(), 1);
    world.pass(INTERVAL * 3);
    assert!(!world.held);
    world.pass(INTERVAL);
    world.write("ur\n");
    let texts: Vec<_> =
        world.take().iter().map(|(_, b)| (seen(b).count, seen(b).content)).collect();
    let expected = ["one", "two", "three", "four"];
    let expected: Vec<_> = (1..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_line_that_is_refused_is_told_and_has_no_number() {
    let mut world = World::live();
    world.register(1..2);
    world.write("one\n");
    world.pass(INTERVAL);
    world.write(&format!("{}\n", "x".repeat(4_000)));
    world.write("\n{\"unknown\": 1}\n");
    world.server.lines(&mut world.cx, b"\xff\n");
    world.write("two\n");
    world.pass(INTERVAL * 5);
    assert_eq!(world.got(who(1)).0, [1, 2]);
    let bad: Vec<_> =
        world.events().into_iter().filter(|e| matches!(e, Event::BadLine(_))).collect();
    assert_eq!((bad.len(), world.server.stats().bad_lines), (3, 3), "{bad:?}");
}

#[test]
fn the_end_of_the_lines_is_the_end_of_the_transmission() {
    let mut world = World::live();
    world.register(1..2);
    world.write("one\ntwo\nlast");
    world.server.lines_ended(&mut world.cx);
    world.drain();
    assert!(world.held, "the next writer waits");
    world.pass(INTERVAL * 5);
    assert_eq!(world.got(who(1)), (vec![1, 2, 3], true));
    assert!(!world.held);
    world.register(1..2);
    world.write("again\n");
    assert_eq!(world.got(who(1)).0, [1], "a new one counts from 1");
    assert_eq!(world.server.writers.len(), 1);
}

#[test]
fn a_file_waits_for_its_first_member() {
    let mut world = World::new(&config(), Source::File);
    assert!(world.held);
    world.register(1..2);
    assert!(!world.held);
    world.write("one\n");
    world.server.lines_ended(&mut world.cx);
    world.drain();
    world.pass(INTERVAL);
    assert_eq!(world.got(who(1)), (vec![1], true));
    assert!(world.held, "until somebody wants it again");
    world.register(2..3);
    assert!(!world.held);
}

#[test]
fn several_may_write_and_the_last_ends_it() {
    let mut world = World::live();
    world.register(1..2);
    world.server.incoming(&mut world.cx);
    world.server.incoming(&mut world.cx);
    let conns: Vec<_> = world.server.writers.keys().copied().flatten().collect();
    world.drain();
    world.server.data(&mut world.cx, conns[0], b"a\n");
    world.server.data(&mut world.cx, conns[1], b"b\nc");
    world.server.ended(&mut world.cx, conns[0]);
    world.drain();
    world.pass(INTERVAL * 2);
    world.server.timeout(&mut world.cx, conns[1]);
    world.server.closed(&mut world.cx, conns[1]);
    world.drain();
    world.pass(INTERVAL * 2);
    assert_eq!(world.got(who(1)), (vec![1, 2, 3], true));
}

#[test]
fn so_many_may_write_and_no_more() {
    let mut world = World::live();
    for _ in 0..limits::EVENTS_FEEDERS_MAX + 5 {
        world.server.incoming(&mut world.cx);
    }
    assert_eq!(world.cx.peers.len(), limits::EVENTS_FEEDERS_MAX);
    assert_eq!(world.server.writers.len(), limits::EVENTS_FEEDERS_MAX);
}

#[test]
fn a_server_that_stops_says_so_to_its_members() {
    let mut world = World::game();
    world.register(1..4);
    world.pass(INTERVAL);
    world.take();
    world.server.drain(&mut world.cx);
    world.drain();
    let sent = world.take();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(_, bytes)| **bytes == *END));
    assert_eq!((world.cx.wheel.len(), world.server.timers()), (0, 0));
}

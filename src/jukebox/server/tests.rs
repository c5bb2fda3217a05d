//! Plays node, kernel, network and clock for a jukebox: what each listener is sent stands with its
//! time in a list, and the kernel takes as much as a test lets it.

use super::*;
use crate::base::port::{Span, Wake};
use crate::base::time::{Now, Wall};

const MS: u64 = 1_000_000;
/// 128 kbit/s.
const RATE: u64 = 16_000;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Sent {
    Text(String),
    Frame(Span),
}

struct World {
    cx: Cx,
    server: Server,
    sent: Vec<(Conn, u64, Sent)>,
    opens: Vec<Blob>,
    released: usize,
    /// The kernel takes payloads of these only up to so many bytes more.
    room: BTreeMap<Conn, u64>,
    queued: BTreeMap<Conn, u64>,
    ended: BTreeMap<Conn, End>,
    holds: Vec<(Conn, bool)>,
}

fn config() -> config::Jukebox {
    config::Jukebox {
        listen: ([127, 0, 0, 1], 0).into(),
        directory: "/music".into(),
        extensions: vec!["mp3".into()],
        pace: Pace::Times(2),
        listeners_max: 8,
        per_address_max: 4,
        stall_max: Duration::from_secs(30),
    }
}

fn song(file: &str, bytes: u64) -> Song {
    let lasts = Some(Duration::from_millis(bytes * 1000 / RATE));
    Song { file: file.into(), bytes, lasts, rate: Some(RATE) }
}

fn songs() -> Vec<Song> {
    vec![song("b.mp3", 10_000), song("a.mp3", 160_000), song("c.mp3", 4072 * 2)]
}

impl World {
    fn new(config: &config::Jukebox) -> Self {
        let now = Now { mono: Mono(1_000_000_000_000), wall: Wall(0) };
        Self {
            cx: Cx::new(now, 1),
            server: Server::new(config, &songs()),
            sent: Vec::new(),
            opens: Vec::new(),
            released: 0,
            room: BTreeMap::new(),
            queued: BTreeMap::new(),
            ended: BTreeMap::new(),
            holds: Vec::new(),
        }
    }

    fn join(&mut self, last: u8) -> Option<Conn> {
        self.server.incoming(&mut self.cx, Some(([10, 0, 0, last], 5).into()));
        let taken = self.cx.out.iter().find_map(|output| match output {
            Output::Accept { conn } => Some(*conn),
            _ => None,
        });
        self.settle();
        taken
    }

    fn say(&mut self, conn: Conn, text: &str) {
        self.server.data(&mut self.cx, conn, text.as_bytes());
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.cx.out.pop_front() {
            match output {
                Output::Send { conn, payload } => {
                    let before = self.queued.insert(conn, payload.len());
                    assert!(before.is_none_or(|left| left == 0), "one payload at a time");
                    self.note(conn, &payload);
                    self.take(conn);
                }
                Output::OpenSong { blob, .. } => self.opens.push(blob),
                Output::Release { .. } => self.released += 1,
                Output::Close { conn, end } => {
                    self.ended.insert(conn, end);
                }
                Output::Hold { conn, on } => self.holds.push((conn, on)),
                _ => {}
            }
        }
        self.server.check_invariants(&self.cx);
    }

    fn note(&mut self, conn: Conn, payload: &Payload) {
        let what = match payload.body {
            Some(span) => {
                assert_eq!((&*payload.head, &*payload.tail), (wire::PLAY, wire::TAIL));
                Sent::Frame(span)
            }
            None => Sent::Text(String::from_utf8(payload.head.to_vec()).unwrap()),
        };
        self.sent.push((conn, self.cx.now.mono.0, what));
    }

    /// The kernel takes what it has room for.
    fn take(&mut self, conn: Conn) {
        let room = self.room.get(&conn).copied().unwrap_or(u64::MAX);
        let queued = self.queued.get_mut(&conn).expect("something was sent");
        let taken = room.min(*queued);
        if taken == 0 {
            return;
        }
        *queued -= taken;
        let left = *queued;
        if let Some(room) = self.room.get_mut(&conn) {
            *room -= taken;
        }
        self.server.sent(&mut self.cx, conn, left);
        self.settle();
    }

    fn open(&mut self, len: u64) {
        for blob in core::mem::take(&mut self.opens) {
            let facts = Facts { len, modified: Wall(0), head: b"ID3" };
            self.server.opened(&mut self.cx, blob, facts);
            self.settle();
        }
    }

    /// Lets time go on, timer by timer.
    fn run(&mut self, ms: u64) {
        let until = Mono(self.cx.now.mono.0 + ms * MS);
        while let Some(at) = self.cx.wheel.next().filter(|at| *at <= until) {
            self.cx.now.mono = at.max(self.cx.now.mono);
            while let Some((_, Wake { why, what })) = self.cx.wheel.pop_due(self.cx.now.mono) {
                let conn = Conn(crate::base::arena::Key::from_bits(what));
                if let Some(peer) = self.cx.peers.get_mut(conn.0) {
                    peer.timer = None;
                }
                if why != Why::ClosePatience {
                    self.server.timeout(&mut self.cx, conn, why);
                    self.settle();
                }
            }
        }
        self.cx.now.mono = until;
    }

    fn texts(&self, conn: Conn) -> Vec<String> {
        let theirs = self.sent.iter().filter(|(to, ..)| *to == conn);
        theirs
            .map(|(_, _, what)| match what {
                Sent::Text(text) => text.clone(),
                Sent::Frame(span) => format!("{}+{}", span.from, span.len),
            })
            .collect()
    }

    fn bytes(&self, conn: Conn) -> u64 {
        let frames = self.sent.iter().filter(|(to, ..)| *to == conn);
        frames.map(|(_, _, what)| if let Sent::Frame(span) = what { span.len } else { 0 }).sum()
    }
}

#[test]
fn the_list_is_sorted_by_name_and_the_number_listed_is_played() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "list<NEXT;><END;>play<NEXT;>1<NEXT;><END;>");
    let list = "list<NEXT;>{sid: 0 title: a.mp3}\n{sid: 1 title: b.mp3}\n\
                {sid: 2 title: c.mp3}\n<NEXT;><END;>";
    assert_eq!(world.texts(conn), [list]);
    world.run(10);
    world.open(10_000);
    world.run(60_000);
    assert_eq!(world.texts(conn)[1..], ["0+4072", "4072+4072", "8144+1856"]);
    let event = world.server.poll_event();
    assert!(matches!(event, Some(Event::Plays { sid: 1, ref file, .. }) if &**file == "b.mp3"));
    assert_eq!((world.released, world.server.stats().songs_over), (1, 1));
}

#[test]
fn a_song_is_sent_no_faster_than_its_pace_and_no_slower_than_it_plays() {
    for times in [1, 2, 7] {
        let mut world = World::new(&config::Jukebox { pace: Pace::Times(times), ..config() });
        let conn = world.join(1).unwrap();
        world.say(conn, "play<NEXT;>0<NEXT;><END;>");
        world.open(160_000);
        let began = world.cx.now.mono.0;
        for step in 0..60 {
            world.run(100);
            let played = (world.cx.now.mono.0 - began) * RATE / 1_000_000_000;
            let sent = world.bytes(conn);
            assert!(sent <= RATE + u64::from(times) * played, "{times}x, step {step}: {sent}");
            let least = (played + RATE).saturating_sub(2 * 4072).min(160_000);
            assert!(sent >= least, "{times}x, step {step}: {sent} of {least}");
        }
    }
}

#[test]
fn without_a_pace_frames_follow_each_other_at_once() {
    let mut world = World::new(&config::Jukebox { pace: Pace::Off, ..config() });
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    assert_eq!(world.bytes(conn), 160_000);
    world.say(conn, "stop<NEXT;><END;>");
    assert!(world.texts(conn).last().unwrap().contains('+'), "a reply keeps its distance");
    world.run(5);
    assert_eq!(world.texts(conn).last().unwrap(), "stop<NEXT;><END;>");
}

#[test]
fn payloads_to_one_listener_keep_their_distance() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    for _ in 0..20 {
        world.run(7);
        world.say(
            conn,
            "list<NEXT;><END;>stop<NEXT;><END;>play<NEXT;>0<NEXT;><END;>list<NEXT;><END;>",
        );
        world.open(160_000);
    }
    world.run(20_000);
    let times: Vec<_> = world.sent.iter().map(|(_, at, _)| *at).collect();
    assert!(times.len() > 60, "{}", times.len());
    assert!(times.windows(2).all(|t| t[1] - t[0] >= MS), "at least 1 ms between two");
}

#[test]
fn nothing_of_the_old_song_follows_the_stop_reply() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    world.run(1_000);
    // A frame is on its way, and stuck in the middle.
    world.room.insert(conn, 1_000);
    world.run(300);
    let before = world.texts(conn).len();
    world.say(conn, "stop<NEXT;><END;>play<NEXT;>2<NEXT;><END;>");
    world.run(100);
    assert_eq!(world.texts(conn).len(), before, "no reply in the middle of a frame");
    world.room.remove(&conn);
    world.take(conn);
    world.run(10);
    world.open(8144);
    world.run(10_000);
    let after = world.texts(conn).split_off(before);
    assert_eq!(after, ["stop<NEXT;><END;>", "0+4072", "4072+4072"]);
    assert_eq!(world.server.stats().split, 1);
}

#[test]
fn stop_is_answered_within_one_frame_time() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    for wait in [3, 90, 110, 126] {
        world.run(wait);
        let asked = world.cx.now.mono.0;
        world.say(conn, "stop<NEXT;><END;>");
        world.run(50);
        let (_, at, what) = world.sent.last().unwrap().clone();
        assert_eq!(what, Sent::Text("stop<NEXT;><END;>".into()));
        assert!(at - asked <= 2 * MS, "{} ms", (at - asked) / MS);
        world.say(conn, "play<NEXT;>0<NEXT;><END;>");
        world.open(160_000);
    }
}

#[test]
fn an_unknown_song_gets_no_answer_and_changes_nothing() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>3<NEXT;><END;>play<NEXT;>x<NEXT;><END;>nonsense<END;>");
    world.run(1_000);
    assert_eq!(world.texts(conn), [""; 0]);
    world.say(conn, "play<NEXT;>2<NEXT;><END;>");
    world.open(8144);
    world.say(conn, "play<NEXT;>99<NEXT;><END;>");
    world.run(5_000);
    assert_eq!(world.texts(conn), ["0+4072", "4072+4072"]);
}

#[test]
fn who_greets_is_told_how_long_songs_are() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "hello<NEXT;>1<NEXT;><END;>play<NEXT;>2<NEXT;><END;>");
    world.run(10);
    world.open(8144);
    world.run(5_000);
    world.say(conn, "play<NEXT;>3<NEXT;><END;>");
    world.run(10);
    assert_eq!(
        world.texts(conn),
        [
            "hello<NEXT;>1<NEXT;><END;>",
            "song<NEXT;>2<NEXT;>8144<NEXT;>509<NEXT;><END;>",
            "0+4072",
            "4072+4072",
            "song<NEXT;>3<NEXT;><END;>"
        ]
    );
}

#[test]
fn a_song_that_cannot_be_opened_is_as_if_it_were_not_there() {
    let mut world = World::new(&config());
    let (plain, greeted) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.say(greeted, "hello<NEXT;>1<NEXT;><END;>");
    for conn in [plain, greeted] {
        world.say(conn, "play<NEXT;>0<NEXT;><END;>list<NEXT;><END;>");
    }
    assert_eq!(world.opens.len(), 1, "one map for both");
    let blob = world.opens[0];
    assert!(world.server.unreadable(&mut world.cx, blob, "gone"));
    world.settle();
    world.run(10);
    assert!(world.texts(plain)[0].starts_with("list<NEXT;>"));
    assert_eq!(world.texts(greeted)[1], "song<NEXT;>0<NEXT;><END;>");
    assert!(world.texts(greeted)[2].starts_with("list<NEXT;>"));
    assert_eq!((world.server.blobs(), world.released), (0, 1));
}

#[test]
fn listeners_of_one_song_share_it_each_at_its_own_place() {
    let mut world = World::new(&config());
    let (a, b) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.say(a, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    world.run(2_000);
    world.say(b, "play<NEXT;>0<NEXT;><END;>");
    assert!(world.opens.is_empty());
    world.run(100);
    assert_eq!(world.texts(b)[0], "0+4072");
    world.say(a, "stop<NEXT;><END;>");
    assert_eq!(world.released, 0);
    world.say(b, "quit<NEXT;><END;>");
    world.run(10);
    assert_eq!((world.released, world.ended.get(&b)), (1, Some(&End::Flushed)));
    assert_eq!(world.texts(b).last().unwrap(), "quit<NEXT;><END;>");
}

#[test]
fn a_listener_that_stops_reading_costs_one_frame_and_is_closed() {
    let mut world = World::new(&config());
    let (stuck, other) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.room.insert(stuck, 5_000);
    for conn in [stuck, other] {
        world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    }
    world.open(160_000);
    world.run(20_000);
    assert_eq!(world.texts(stuck).len(), 2);
    assert_eq!(world.bytes(other), 160_000);
    assert!(world.ended.is_empty());
    world.run(15_000);
    assert_eq!(world.ended, BTreeMap::from([(stuck, End::Reset)]));
    assert_eq!(world.server.stats().stalled, 1);
}

#[test]
fn bytes_without_an_end_close_their_sender_only() {
    let mut world = World::new(&config());
    let (bad, good) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.say(bad, &"x".repeat(limits::JUKEBOX_FRAME_BYTES_MAX - 1));
    assert!(world.ended.is_empty());
    world.say(bad, "x");
    assert_eq!(world.ended.get(&bad), Some(&End::Flushed));
    world.say(good, "stop<NEXT;><END;>");
    assert_eq!(world.texts(good), ["stop<NEXT;><END;>"]);
}

#[test]
fn who_asks_faster_than_it_is_answered_is_not_read() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, &"list<NEXT;><END;>".repeat(1_000));
    assert_eq!(world.holds, [(conn, true)]);
    world.run(5_000);
    assert_eq!(world.texts(conn).len(), 1_000);
    assert_eq!(world.holds, [(conn, true), (conn, false)]);
}

#[test]
fn listeners_are_bounded_and_the_longest_idle_makes_room() {
    let mut world = World::new(&config());
    let first: Vec<_> = (1..=8).map(|last| world.join(last).unwrap()).collect();
    assert_eq!(world.join(9), None);
    world.run(61_000);
    world.say(first[0], "list<NEXT;><END;>");
    assert!(world.join(9).is_some());
    assert_eq!(world.ended.keys().copied().collect::<Vec<_>>(), [first[1]]);
    let mut world = World::new(&config());
    assert_eq!((0..6).filter(|_| world.join(1).is_some()).count(), 4, "of one address");
    assert_eq!(world.server.stats().refused, 2);
}

#[test]
fn who_sends_no_more_hears_its_song_to_the_end() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>1<NEXT;><END;>");
    world.server.ended(&mut world.cx, conn);
    world.settle();
    world.open(10_000);
    world.run(5_000);
    assert_eq!(world.bytes(conn), 10_000);
    assert_eq!(world.ended.get(&conn), Some(&End::Flushed));
}

#[test]
fn a_reload_leaves_a_song_that_plays_alone() {
    let mut world = World::new(&config());
    let conn = world.join(1).unwrap();
    world.say(conn, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    world.server.set_songs(&[song("z.mp3", 9)]);
    world.say(conn, "list<NEXT;><END;>");
    world.run(20_000);
    assert_eq!(world.bytes(conn), 160_000);
    assert!(
        world.texts(conn).contains(&"list<NEXT;>{sid: 0 title: z.mp3}\n<NEXT;><END;>".to_owned())
    );
}

#[test]
fn a_song_that_breaks_cuts_its_listeners_off_and_no_others() {
    let mut world = World::new(&config());
    let (a, b) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.say(a, "play<NEXT;>0<NEXT;><END;>");
    let blob = world.opens[0];
    world.open(160_000);
    world.say(b, "play<NEXT;>2<NEXT;><END;>");
    world.open(8144);
    assert!(world.server.faulted(&mut world.cx, blob));
    world.settle();
    world.run(5_000);
    assert_eq!(world.ended, BTreeMap::from([(a, End::Reset)]));
    assert_eq!(world.bytes(b), 8144);
}

#[test]
fn a_graceful_stop_ends_every_listener() {
    let mut world = World::new(&config());
    let (a, b) = (world.join(1).unwrap(), world.join(2).unwrap());
    world.say(a, "play<NEXT;>0<NEXT;><END;>");
    world.open(160_000);
    world.server.drain(&mut world.cx);
    world.settle();
    assert_eq!(world.ended, BTreeMap::from([(a, End::Flushed), (b, End::Flushed)]));
    assert_eq!((world.released, world.join(3)), (1, None));
}

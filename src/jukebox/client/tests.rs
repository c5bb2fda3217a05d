//! Two servers to talk to: ours, as `server` behaves, and an original with its quirks: it looks
//! only at the first request of a segment, plays the song before the one it is asked for, sends all
//! of a song before it looks at anything else, and ignores what it does not know.

use super::*;
use crate::base::port::Wake;
use crate::base::time::{Now, Wall};
use crate::jukebox::wire;

const MS: u64 = 1_000_000;

struct World {
    cx: Cx,
    client: Client,
    conn: Conn,
    /// Segments that the client sent.
    asked: Vec<String>,
    events: Vec<Event>,
    closed: Option<End>,
}

impl World {
    fn new(as_listed: bool) -> Self {
        let now = Now { mono: Mono(5_000 * MS), wall: Wall(0) };
        let (mut cx, mut client) = (Cx::new(now, 1), Client::new(as_listed));
        client.start(&mut cx, ([127, 0, 0, 1], 6063).into());
        let conn = client.conn.unwrap();
        cx.out.clear();
        client.connected(&mut cx);
        let mut world =
            Self { cx, client, conn, asked: Vec::new(), events: Vec::new(), closed: None };
        world.settle();
        world
    }

    /// Connected to a server of ours.
    fn ours() -> Self {
        let mut world = Self::new(false);
        world.hear(wire::HELLO);
        assert_eq!(world.took(), [Event::Ready(true)]);
        world.asked.clear();
        world
    }

    /// Connected to an original.
    fn original(as_listed: bool) -> Self {
        let mut world = Self::new(as_listed);
        assert_eq!(world.asked, ["hello<NEXT;>1<NEXT;><END;>"]);
        world.run(299);
        assert_eq!(world.took(), []);
        world.run(1);
        assert_eq!(world.took(), [Event::Ready(false)]);
        world.asked.clear();
        world
    }

    fn settle(&mut self) {
        while let Some(output) = self.cx.out.pop_front() {
            match output {
                Output::Send { payload, .. } => {
                    self.asked.push(String::from_utf8(payload.head.to_vec()).unwrap());
                }
                Output::Close { end, .. } => self.closed = Some(end),
                _ => {}
            }
        }
        self.events.extend(core::iter::from_fn(|| self.client.poll_event()));
        let peer = self.cx.peers.get(self.conn.0).unwrap();
        assert!(peer.timer.is_some(), "there is always a timer");
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.client.data(&mut self.cx, bytes);
        self.settle();
    }

    fn want(&mut self, wish: Wish) {
        self.client.want(&mut self.cx, wish);
        self.settle();
    }

    fn run(&mut self, ms: u64) {
        let until = Mono(self.cx.now.mono.0 + ms * MS);
        while let Some(at) = self.cx.wheel.next().filter(|at| *at <= until) {
            self.cx.now.mono = at.max(self.cx.now.mono);
            while let Some((_, Wake { why, .. })) = self.cx.wheel.pop_due(self.cx.now.mono) {
                if why != Why::ClosePatience {
                    self.cx.peers.get_mut(self.conn.0).unwrap().timer = None;
                    self.client.timeout(&mut self.cx, why);
                    self.settle();
                }
            }
        }
        self.cx.now.mono = until;
    }

    fn took(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// The bytes of songs among what was taken.
    fn music(&mut self) -> Vec<u8> {
        let data = self.took().into_iter().map(|event| match event {
            Event::Data(bytes) => bytes.to_vec(),
            _ => vec![],
        });
        data.flatten().collect()
    }
}

fn frames(music: &[u8]) -> Vec<u8> {
    let frame = |part: &[u8]| [wire::PLAY, part, wire::TAIL].concat();
    music.chunks(4072).flat_map(frame).collect()
}

fn untold(sid: usize, got: u64) -> Song {
    Song { sid, got, ..Song::default() }
}

fn told(sid: usize, bytes: u64, got: u64) -> Song {
    Song { sid, bytes: Some(bytes), ms: Some(500), got }
}

#[test]
fn a_told_song_is_over_with_its_last_byte() {
    let mut world = World::ours();
    world.want(Wish::Play(2));
    assert_eq!(world.asked, ["play<NEXT;>2<NEXT;><END;>"]);
    world.hear(&wire::song(2, Some((8_144, 500))));
    assert_eq!(world.took(), [Event::Began(told(2, 8_144, 0))]);
    // The last frame is a full one and holds what looks like the end of a song.
    let mut music = vec![1; 8_144];
    music[5_000..5_013].copy_from_slice(wire::TAIL);
    let bytes = frames(&music);
    world.hear(&bytes[..5_000]);
    world.run(60_000);
    world.hear(&bytes[5_000..]);
    assert!(world.events.contains(&Event::Finished(told(2, 8_144, 8_144))));
    assert_eq!(world.music(), music);
    assert_eq!(world.client.playing(), None);
}

#[test]
fn an_original_is_asked_for_the_number_behind() {
    for (as_listed, number) in [(false, 4), (true, 3)] {
        let mut world = World::original(as_listed);
        world.want(Wish::Play(3));
        assert_eq!(world.asked, [format!("play<NEXT;>{number}<NEXT;><END;>")]);
    }
}

#[test]
fn the_song_of_an_original_is_over_when_it_is_silent() {
    let mut world = World::original(false);
    world.want(Wish::Play(0));
    world.hear(&frames(&[7; 10_000]));
    assert_eq!(world.client.playing(), Some(untold(0, 8_144)));
    world.run(250);
    assert!(world.events.contains(&Event::Finished(untold(0, 10_000))));
    assert_eq!(world.music(), [7; 10_000]);
    // One that ends with a full frame needs a longer silence.
    world.want(Wish::Play(0));
    world.hear(&frames(&[8; 8_144]));
    world.run(4_999);
    assert_eq!(world.client.playing(), Some(untold(0, 8_144)));
    world.run(1);
    assert!(world.events.contains(&Event::Finished(untold(0, 8_144))));
}

#[test]
fn a_pause_in_a_frame_of_an_original_does_not_end_its_song() {
    let mut world = World::original(false);
    world.want(Wish::Play(0));
    let bytes = frames(&[7; 10_000]);
    world.hear(&bytes[..6_000]);
    world.run(20_000);
    assert_eq!(world.client.playing(), Some(untold(0, 4_072)));
    world.hear(&bytes[6_000..]);
    world.run(300);
    assert_eq!(world.music(), [7; 10_000]);
}

#[test]
fn the_next_song_waits_for_the_stop_that_an_original_answers_late() {
    let mut world = World::original(false);
    world.want(Wish::Play(0));
    let bytes = frames(&vec![7; 20_000]);
    world.hear(&bytes[..4_096]);
    assert_eq!(world.music(), [7; 4_072]);
    world.want(Wish::Play(1));
    world.run(100);
    // Everything of the old song comes first; nothing of it is taken for the new one.
    world.hear(&[&bytes[4_096..], wire::STOP].concat());
    assert_eq!(world.asked, ["play<NEXT;>1<NEXT;><END;>", "stop<NEXT;><END;>"]);
    world.run(250);
    assert_eq!(world.took(), [Event::Stopped]);
    assert_eq!(world.asked[2..], ["play<NEXT;>2<NEXT;><END;>"]);
    world.hear(&frames(&[9; 100]));
    world.run(250);
    assert_eq!(world.music(), [9; 100]);
}

#[test]
fn one_request_is_under_way_at_a_time() {
    let mut world = World::ours();
    // A song does not take the place of a list that waits.
    for wish in [Wish::List, Wish::Play(0), Wish::List, Wish::Play(1)] {
        world.want(wish);
    }
    assert_eq!(world.asked, ["list<NEXT;><END;>"]);
    world.hear(&wire::list([].into_iter()));
    assert_eq!(world.took(), [Event::Listed(vec![])]);
    assert_eq!(world.asked, ["list<NEXT;><END;>"; 2]);
    world.hear(&wire::list(["a.mp3"].into_iter()));
    assert_eq!(world.asked[2..], ["play<NEXT;>1<NEXT;><END;>"]);
    world.hear(&wire::song(1, None));
    let listed = Entry { sid: 0, title: "a.mp3".to_owned() };
    assert_eq!(world.took(), [Event::Listed(vec![listed]), Event::NoSong(1)]);
    // Of three songs wanted in a hurry the last is played.
    for sid in [5, 6, 7] {
        world.want(Wish::Play(sid));
    }
    world.hear(&wire::song(5, Some((9, 500))));
    world.hear(wire::STOP);
    assert_eq!(world.asked[4..], ["stop<NEXT;><END;>", "play<NEXT;>7<NEXT;><END;>"]);
}

#[test]
fn a_list_may_come_between_the_frames_of_a_song() {
    let mut world = World::ours();
    world.want(Wish::Play(1));
    world.hear(&wire::song(1, Some((5_000, 500))));
    let bytes = frames(&[3; 5_000]);
    world.want(Wish::List);
    world.hear(&bytes[..4_096]);
    world.hear(&wire::list([].into_iter()));
    world.hear(&bytes[4_096..]);
    let events = world.took();
    assert!(events.contains(&Event::Listed(vec![])));
    assert!(events.contains(&Event::Finished(told(1, 5_000, 5_000))));
}

#[test]
fn a_song_that_an_original_does_not_have_is_given_up() {
    let mut world = World::original(false);
    world.want(Wish::Play(77));
    world.run(5_000);
    assert_eq!(world.took(), [Event::NoSong(77)]);
    world.want(Wish::Stop);
    assert_eq!((world.took(), world.asked.len()), (vec![Event::Stopped], 1));
}

#[test]
fn quitting_waits_for_the_answer_but_not_for_ever() {
    let mut world = World::ours();
    world.want(Wish::Quit);
    assert_eq!(world.asked, ["quit<NEXT;><END;>"]);
    world.hear(wire::QUIT);
    assert_eq!(world.took(), [Event::Over(Ok(()))]);
    assert_eq!(world.closed, Some(End::Flushed));
    let mut world = World::ours();
    world.want(Wish::Quit);
    world.hear(b"play<NEXT;>half a frame");
    world.run(6_000);
    assert_eq!(world.took(), [Event::Over(Err(Lost::Late))]);
    // An original that just closes did what was asked.
    let mut world = World::original(false);
    world.want(Wish::Quit);
    world.client.ended(&mut world.cx);
    world.settle();
    assert_eq!(world.took(), [Event::Over(Ok(()))]);
}

#[test]
fn a_connection_that_ends_in_a_song_is_lost_or_its_end() {
    let mut world = World::ours();
    world.want(Wish::Play(1));
    world.hear(&wire::song(1, Some((5_000, 500))));
    world.hear(&frames(&[3; 5_000])[..4_096]);
    world.client.ended(&mut world.cx);
    world.settle();
    assert_eq!(world.took().last(), Some(&Event::Over(Err(Lost::Ended))));
    // An original that closes behind a song has sent it.
    let mut world = World::original(false);
    world.want(Wish::Play(0));
    world.hear(&frames(&[3; 5_000]));
    world.client.ended(&mut world.cx);
    world.settle();
    assert!(world.events.contains(&Event::Finished(untold(0, 5_000))));
}

#[test]
fn what_is_no_jukebox_is_left() {
    let mut world = World::new(false);
    world.hear(b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(world.took(), [Event::Over(Err(Lost::Bad(Bad::Foreign)))]);
    assert_eq!(world.closed, Some(End::Reset));
    let mut world = World::ours();
    world.want(Wish::List);
    world.hear(&[&b"list<NEXT;>"[..], &vec![b'x'; 65_536]].concat());
    assert_eq!(world.took(), [Event::Over(Err(Lost::Bad(Bad::Endless)))]);
}

#[test]
fn a_player_that_takes_nothing_is_no_silence() {
    let mut world = World::original(false);
    world.want(Wish::Play(0));
    world.hear(&frames(&[7; 8_144]));
    world.client.hold(&mut world.cx, true);
    world.run(3_600_000);
    assert_eq!(world.client.playing(), Some(untold(0, 8_144)));
    world.client.hold(&mut world.cx, false);
    world.run(5_000);
    assert!(world.events.contains(&Event::Finished(untold(0, 8_144))));
}

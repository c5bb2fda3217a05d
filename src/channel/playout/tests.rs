//! The machine driven through its context: a small world plays node, disk and both clocks.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::arena::Key;
use crate::base::port::{Output, Wake};
use crate::base::time::{Mono, Now};
use crate::media::sniff::Container;

const EPOCH: Wall = Wall(1_700_000_000_000_000_000);
const LASTS: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    cx: Cx,
    playout: Playout,
    /// What cannot be read.
    missing: BTreeSet<&'static str>,
    /// Whether the disk answers only when it is told to.
    slow: bool,
    asked: VecDeque<(Blob, Rc<str>)>,
    open: BTreeMap<Blob, Rc<str>>,
    /// Every file that was asked for.
    opened: Vec<String>,
    events: Vec<Event>,
    /// What is on the air, as the window of a node would keep it.
    live: Option<Rc<Block>>,
    aired: Vec<(Wall, Rc<Block>)>,
    /// Blobs of somebody else.
    others: Vec<Key>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn movie(stem: &str, blocks: u32, each: Duration) -> Rc<Movie> {
    Rc::new(Movie::even(stem, Container::Mkv, blocks, each))
}

fn schedule(repeat: bool) -> Schedule {
    Schedule::new(EPOCH, repeat, vec![movie("a", 3, LASTS), movie("b", 2, LASTS)])
}

fn filler() -> Rc<Movie> {
    Rc::new(Movie::even("f", Container::Ts, 2, ms(1000)))
}

/// A world at a wall time, whose channel has a filler and has been started.
fn started(wall: Wall) -> World {
    started_with(wall, schedule(true), Some(filler()), &[])
}

fn started_with(
    wall: Wall,
    schedule: Schedule,
    filler: Option<Rc<Movie>>,
    missing: &[&'static str],
) -> World {
    start(wall, Playout::new(4, schedule, filler), missing)
}

/// A channel that has its blocks open so long before their time.
fn started_leading(wall: Wall, lead: Duration, missing: &[&'static str]) -> World {
    let playout = Playout::new(4, schedule(true), Some(filler())).with_lead(lead);
    start(wall, playout, missing)
}

fn start(wall: Wall, playout: Playout, missing: &[&'static str]) -> World {
    let mut world = World {
        cx: Cx::new(Now { mono: Mono(3_000_000_000), wall }, 1),
        playout,
        missing: missing.iter().copied().collect(),
        slow: false,
        asked: VecDeque::new(),
        open: BTreeMap::new(),
        opened: Vec::new(),
        events: Vec::new(),
        live: None,
        aired: Vec::new(),
        others: Vec::new(),
    };
    world.playout.turn(&mut world.cx);
    world.settle();
    world
}

impl World {
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                self.carry_out(output);
            }
            if self.slow || !self.answer() {
                break;
            }
        }
        self.collect();
        let held = self.playout.blobs() + usize::from(self.live.is_some());
        assert_eq!(self.cx.blobs.len(), held + self.others.len(), "each blob has an owner");
        assert_eq!(self.open.len(), held, "and is one for `io`, too");
        assert_eq!(self.cx.wheel.len(), self.playout.timers(), "and each timer");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open { blob, path } => {
                self.opened.push(path.to_string());
                self.open.insert(blob, Rc::clone(&path));
                self.asked.push_back((blob, path));
            }
            Output::Release { blob } => assert!(self.open.remove(&blob).is_some()),
            other => panic!("not a playout's business: {other:?}"),
        }
    }

    /// The disk answers the oldest question.
    fn answer(&mut self) -> bool {
        let Some((blob, path)) = self.asked.pop_front() else { return false };
        let known = if self.missing.contains(&*path) {
            self.playout.unreadable(&mut self.cx, blob, "no such file")
        } else {
            let facts = Facts { len: 100, modified: Wall(7), head: b"" };
            self.playout.opened(&mut self.cx, blob, facts)
        };
        assert_eq!(known, self.open.contains_key(&blob) || self.missing.contains(&*path));
        true
    }

    fn collect(&mut self) {
        while let Some(event) = self.playout.poll_event() {
            if let Event::Aired(block) = &event {
                if let Some(old) = self.live.replace(Rc::clone(block)) {
                    self.cx.release(old.blob);
                }
                self.aired.push((self.cx.now.wall, Rc::clone(block)));
            } else {
                self.events.push(event);
            }
        }
        while let Some(output) = self.cx.out.pop_front() {
            self.carry_out(output);
        }
    }

    /// Lets time pass on both clocks.
    fn run(&mut self, time: Duration) {
        let until = self.cx.now.mono.after(time);
        while let Some(at) = self.cx.wheel.next().filter(|at| *at <= until) {
            self.advance(at);
            while let Some((_, Wake { why, what })) = self.cx.wheel.pop_due(at) {
                assert_eq!((why, what), (Why::BlockStart, 4));
                self.playout.turn(&mut self.cx);
                self.settle();
            }
        }
        self.advance(until);
    }

    fn advance(&mut self, mono: Mono) {
        let by = mono.since(self.cx.now.mono);
        self.cx.now = Now { mono, wall: self.cx.now.wall + by };
    }

    /// The clock on the wall is set; nobody is told.
    fn set_clock(&mut self, wall: Wall) {
        self.cx.now.wall = wall;
    }

    fn reschedule(&mut self, schedule: Schedule, filler: Option<Rc<Movie>>) {
        self.playout.reschedule(&mut self.cx, schedule, filler);
        self.settle();
    }

    /// The block on the air breaks, and whoever sends it finds out.
    fn fault(&mut self) {
        let block = self.live.take().expect("something is on the air");
        self.cx.release(block.blob);
        self.playout.broke(&mut self.cx, &block);
        self.settle();
    }

    /// What went on the air since the last question: number and file.
    fn take_aired(&mut self) -> Vec<(u64, String)> {
        self.aired.drain(..).map(|(_, block)| (block.seq, block.file.to_string())).collect()
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn stats(&self) -> (u64, u64, u64) {
        let stats = self.playout.stats();
        (stats.aired, stats.replaced, stats.skipped)
    }

    /// Stops; nothing may be left.
    fn finish(mut self) {
        self.playout.stop(&mut self.cx);
        self.settle();
        if let Some(block) = self.live.clone() {
            self.playout.broke(&mut self.cx, &block);
            self.cx.release(block.blob);
        }
        self.live = None;
        self.slow = false;
        self.settle();
        assert_eq!((self.cx.wheel.len(), self.cx.blobs.len(), self.open.len()), (0, 0, 0));
    }
}

fn file(seq: u64, name: &str) -> (u64, String) {
    (seq, name.to_owned())
}

#[test]
fn each_block_is_opened_one_ahead_and_airs_at_its_time() {
    let mut world = started(EPOCH);
    assert_eq!(world.opened, ["a_00000.mkv", "a_00001.mkv"]);
    assert_eq!(world.take_aired(), [file(0, "a_00000.mkv")]);
    world.run(ms(1999));
    assert!(world.aired.is_empty());
    world.run(ms(1));
    assert_eq!(world.opened.last().map(String::as_str), Some("a_00002.mkv"));
    world.run(LASTS * 5);
    for (at, block) in &world.aired {
        assert_eq!(*at, EPOCH + LASTS * u32::try_from(block.seq).unwrap());
        assert_eq!((block.starts_at, block.lasts, block.len), (*at, LASTS, 100));
    }
    let seqs: Vec<_> = world.aired.iter().map(|(_, b)| (b.seq, &*b.movie, b.index)).collect();
    let (a, b) = ("a", "b");
    assert_eq!(seqs, [(1, a, 1), (2, a, 2), (3, b, 0), (4, b, 1), (5, a, 0), (6, a, 1)]);
    assert_eq!((world.opened.len(), world.stats()), (8, (7, 0, 0)));
    assert!(world.events.is_empty());
    world.finish();
}

#[test]
fn with_a_lead_blocks_are_open_and_told_of_before_their_time() {
    let mut world = started_leading(EPOCH, ms(6000), &["a_00002.mkv"]);
    let mut told = Vec::new();
    for turn in 0_u64..6 {
        let now = world.cx.now.wall;
        for event in world.take_events() {
            let Event::Ready(block) = event else { continue };
            assert!(block.starts_at <= now + ms(6000) + LASTS, "not long before");
            told.push((block.seq, block.file.to_string(), block.replaced));
        }
        let reached = told.last().map_or(0, |(seq, ..)| *seq);
        assert!(reached >= turn + 3, "block {reached} at the start of block {turn}");
        world.run(LASTS);
    }
    let seqs: Vec<_> = told.iter().map(|(seq, ..)| *seq).collect();
    assert!(seqs.windows(2).all(|w| w[0] + 1 == w[1]), "in order, each once: {seqs:?}");
    assert_eq!(told[1], (2, "f_00000.ts".to_owned(), true), "the filler, where one is missing");
    assert!(world.take_aired().windows(2).all(|w| w[0].0 + 1 == w[1].0));
    world.set_clock(EPOCH + DAY);
    world.run(LASTS);
    world.take_aired();
    world.finish();
}

#[test]
fn a_late_start_airs_the_current_block_at_once() {
    let mut world = started(EPOCH + ms(2_000_000_007_500));
    let seq = 1_000_000_003;
    assert_eq!(world.take_aired(), [file(seq, "b_00000.mkv")]);
    assert_eq!(world.live.as_ref().unwrap().starts_at, EPOCH + ms(2_000_000_006_000));
    world.run(ms(500));
    assert_eq!(world.take_aired(), [file(seq + 1, "b_00001.mkv")]);
    assert!(world.events.is_empty(), "nothing is said of what was before");
    world.finish();
}

#[test]
fn blocks_that_are_missing_are_replaced_and_told_once_a_run() {
    let missing = ["a_00001.mkv", "a_00002.mkv", "b_00001.mkv"];
    let mut world = started_with(EPOCH, schedule(true), Some(filler()), &missing);
    world.run(LASTS * 4);
    let aired = world.take_aired();
    let names: Vec<_> = aired.iter().map(|(_, file)| file.as_str()).collect();
    assert_eq!(names, ["a_00000.mkv", "f_00001.ts", "f_00000.ts", "b_00000.mkv", "f_00000.ts"]);
    let replaced = |file: &str, by: &str| Event::Replaced {
        file: file.into(),
        why: "no such file".into(),
        by: by.into(),
    };
    assert_eq!(
        world.take_events(),
        [
            replaced("a_00001.mkv", "f_00001.ts"),
            Event::Recovered { blocks: 2 },
            replaced("b_00001.mkv", "f_00000.ts"),
        ]
    );
    let block = world.live.clone().unwrap();
    assert_eq!((block.seq, &*block.movie, block.index, block.replaced), (4, "f", 0, true));
    assert_eq!((block.container, block.lasts), (Container::Ts, LASTS), "for the whole time");
    assert_eq!(world.stats(), (5, 3, 0));
    world.run(LASTS);
    assert_eq!(world.take_events(), [Event::Recovered { blocks: 1 }]);
    world.finish();
}

#[test]
fn without_a_filler_a_missing_block_is_skipped_and_the_next_one_airs() {
    let missing = ["a_00000.mkv", "a_00001.mkv"];
    let mut world = started_with(EPOCH, schedule(true), None, &missing);
    let skipped = Event::Skipped { file: "a_00000.mkv".into(), why: "no such file".into() };
    assert_eq!((world.take_events(), world.aired.len()), (vec![skipped], 0));
    world.run(LASTS);
    assert_eq!((world.events.len(), world.aired.len()), (0, 0), "told once");
    world.run(LASTS);
    assert_eq!(world.take_aired(), [file(2, "a_00002.mkv")]);
    assert_eq!(world.take_events(), [Event::Recovered { blocks: 2 }]);
    assert_eq!(world.stats(), (1, 0, 2));
    world.finish();
}

#[test]
fn a_filler_that_is_missing_too_is_no_help() {
    let missing = ["a_00001.mkv", "f_00001.ts"];
    let mut world = started_with(EPOCH, schedule(true), Some(filler()), &missing);
    world.take_aired();
    world.run(LASTS * 2);
    let skipped = Event::Skipped { file: "a_00001.mkv".into(), why: "no such file".into() };
    assert_eq!(world.take_events(), [skipped, Event::Recovered { blocks: 1 }]);
    assert_eq!(world.take_aired(), [file(2, "a_00002.mkv")]);
    world.finish();
}

#[test]
fn too_many_open_blocks_skip_one() {
    let mut world = started(EPOCH);
    world.take_aired();
    world.others = std::iter::from_fn(|| world.cx.blobs.insert(())).collect();
    world.run(LASTS);
    assert_eq!(world.take_aired(), [file(1, "a_00001.mkv")], "it was open before");
    for other in world.others.drain(..) {
        world.cx.blobs.remove(other);
    }
    world.run(LASTS);
    let why = "too many blocks are open".into();
    assert_eq!(world.take_events(), [Event::Skipped { file: "a_00002.mkv".into(), why }]);
    world.run(LASTS);
    assert_eq!(world.take_aired(), [file(3, "b_00000.mkv")]);
    world.finish();
}

#[test]
fn the_filler_takes_the_rest_of_a_block_that_breaks_on_the_air() {
    let mut world = started(EPOCH);
    world.run(ms(700));
    world.take_aired();
    world.fault();
    assert_eq!(world.take_aired(), [file(0, "f_00000.ts")]);
    let block = world.live.clone().unwrap();
    assert_eq!((block.starts_at, block.lasts, block.replaced), (EPOCH, LASTS, true));
    let why = "it shrank or broke while on the air".into();
    let by = "f_00000.ts".into();
    assert_eq!(world.take_events(), [Event::Replaced { file: "a_00000.mkv".into(), why, by }]);
    world.fault();
    assert!(world.aired.is_empty(), "a filler that breaks is not replaced");
    world.run(ms(1300));
    assert_eq!(world.take_aired(), [file(1, "a_00001.mkv")]);
    assert_eq!(world.take_events(), [Event::Recovered { blocks: 1 }]);
    world.finish();
}

#[test]
fn without_a_filler_nothing_is_on_after_a_block_broke() {
    let mut world = started_with(EPOCH, schedule(true), None, &[]);
    world.take_aired();
    world.fault();
    assert!(matches!(world.take_events()[..], [Event::Skipped { .. }]));
    world.run(LASTS);
    assert_eq!(world.take_aired(), [file(1, "a_00001.mkv")]);
    world.finish();
}

#[test]
fn a_block_that_breaks_after_its_time_changes_nothing() {
    let mut world = started(EPOCH);
    let old = world.live.clone().unwrap();
    world.run(LASTS);
    world.take_aired();
    world.playout.broke(&mut world.cx, &old);
    world.settle();
    assert!(world.aired.is_empty() && world.events.is_empty());
    world.finish();
}

#[test]
fn after_a_jump_of_the_clock_the_channel_follows_at_the_next_block() {
    let from = EPOCH + DAY * 10;
    let at = |wall: Wall| wall.since(EPOCH).as_secs() / 2;
    for to in [from + DAY, from - DAY, from + ms(7000), from - ms(7000)] {
        let mut world = started(from + ms(300));
        world.take_aired();
        world.run(ms(400));
        world.set_clock(to);
        assert!(world.aired.is_empty());
        world.run(ms(1299));
        assert!(world.aired.is_empty(), "the block that is on goes on");
        world.run(ms(1));
        let seq = at(to + ms(1300));
        assert_eq!(world.take_aired().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [seq]);
        assert_eq!(world.take_events(), [Event::Jumped { expected: at(from) + 1, seq }]);
        world.run(LASTS * 5);
        let aired: Vec<_> = world.take_aired().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(aired, (seq + 1..seq + 6).collect::<Vec<_>>(), "one after the other again");
        assert!(world.events.is_empty());
        world.finish();
    }
}

#[test]
fn a_clock_that_is_set_within_a_block_moves_its_end() {
    for (by, early) in [(ms(800), true), (ms(300), false)] {
        let mut world = started(EPOCH + LASTS * 20);
        world.run(ms(900));
        world.take_aired();
        let now = world.cx.now.wall;
        world.set_clock(if early { now + by } else { now - by });
        world.run(LASTS * 4);
        for (at, block) in world.aired.iter().skip(1) {
            assert_eq!(block.starts_at, *at);
        }
        let seqs: Vec<_> = world.take_aired().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, (21..21 + seqs.len() as u64).collect::<Vec<_>>());
        assert!(world.events.is_empty() && seqs.len() >= 3, "no jump: {seqs:?}");
        world.finish();
    }
}

#[test]
fn before_the_epoch_it_waits_and_looks_at_the_clock_each_minute() {
    let mut world = started(EPOCH - DAY);
    assert_eq!(world.take_events(), [Event::Waiting { until: EPOCH }]);
    assert_eq!(world.playout.state(), Some(State::Waiting));
    assert!(world.opened.is_empty());
    world.run(ms(59_000));
    world.set_clock(EPOCH - ms(10_000));
    world.run(ms(1_000));
    assert!(world.events.is_empty() && world.opened.is_empty(), "told once");
    world.run(ms(8_999));
    assert!(world.aired.is_empty());
    world.run(ms(1));
    assert_eq!(world.take_aired(), [file(0, "a_00000.mkv")]);
    assert_eq!((world.aired.len(), world.events.len()), (0, 0));
    world.finish();
}

#[test]
fn a_clock_that_is_set_before_the_epoch_ends_the_programme_until_it_is_back() {
    let mut world = started(EPOCH + LASTS * 3);
    world.set_clock(EPOCH - DAY);
    world.run(LASTS);
    assert_eq!(world.take_events(), [Event::Waiting { until: EPOCH }]);
    assert_eq!(world.playout.blobs(), 0, "nothing is prefetched");
    world.take_aired();
    world.set_clock(EPOCH + LASTS * 9);
    world.run(ms(60_000));
    assert_eq!(world.take_aired().len(), 1);
    assert!(world.events.is_empty());
    world.finish();
}

#[test]
fn a_playlist_without_repeat_is_over_after_its_last_block() {
    let mut world = started_with(EPOCH, schedule(false), Some(filler()), &[]);
    world.run(LASTS * 5);
    assert_eq!((world.take_aired().len(), world.take_events()), (5, vec![Event::Over]));
    assert_eq!((world.playout.state(), world.playout.blobs()), (Some(State::Over), 0));
    world.run(DAY);
    assert!(world.aired.is_empty() && world.events.is_empty());
    world.set_clock(EPOCH + LASTS * 4 - ms(60_000));
    world.run(ms(60_000) + LASTS);
    assert_eq!(world.take_aired(), [file(4, "b_00001.mkv")], "the clock was set back");
    assert_eq!(world.take_events(), [Event::Over]);
    world.finish();
}

#[test]
fn a_reschedule_that_agrees_keeps_what_is_on() {
    let mut world = started(EPOCH);
    world.run(ms(2500));
    world.take_aired();
    let opened = world.opened.len();
    world.reschedule(schedule(true), None);
    assert_eq!((world.aired.len(), world.events.len()), (0, 0));
    assert_eq!(world.opened[opened..], ["a_00002.mkv"], "opened anew, and one ahead");
    world.run(ms(1500));
    assert_eq!(world.take_aired(), [file(2, "a_00002.mkv")]);
    world.finish();
}

#[test]
fn a_reschedule_that_differs_changes_at_once() {
    let mut world = started(EPOCH);
    world.run(ms(2500));
    world.take_aired();
    let other = Schedule::new(EPOCH, true, vec![movie("c", 9, LASTS)]);
    world.reschedule(other, Some(filler()));
    assert_eq!(world.take_aired(), [file(1, "c_00001.mkv")]);
    let shorter = Schedule::new(EPOCH, true, vec![movie("c", 9, ms(500))]);
    world.reschedule(shorter, None);
    assert_eq!(world.take_aired(), [file(5, "c_00005.mkv")]);
    world.run(ms(500));
    assert_eq!(world.take_aired(), [file(6, "c_00006.mkv")]);
    world.reschedule(Schedule::new(EPOCH + DAY, true, vec![movie("c", 9, LASTS)]), None);
    assert_eq!(world.take_events(), [Event::Waiting { until: EPOCH + DAY }]);
    world.reschedule(Schedule::new(EPOCH, true, vec![]), None);
    assert_eq!(world.take_events(), [Event::Over]);
    world.finish();
}

#[test]
fn a_reschedule_while_a_block_is_being_opened_does_not_lose_it() {
    let mut world = started(EPOCH);
    world.take_aired();
    world.slow = true;
    world.run(LASTS * 2);
    assert_eq!(world.take_aired(), [file(1, "a_00001.mkv")], "block 2 is not open yet");
    world.reschedule(schedule(true), None);
    world.slow = false;
    world.settle();
    assert_eq!(world.take_aired(), [file(2, "a_00002.mkv")]);
    assert!(world.events.is_empty());
    world.finish();
}

#[test]
fn a_block_that_is_opened_late_airs_late_and_one_that_is_too_late_does_not() {
    let mut world = started(EPOCH);
    world.take_aired();
    world.slow = true;
    world.run(LASTS * 2 + ms(700));
    assert_eq!(world.take_aired(), [file(1, "a_00001.mkv")]);
    world.slow = false;
    world.settle();
    assert_eq!(world.take_aired(), [file(2, "a_00002.mkv")]);
    world.slow = true;
    world.run(LASTS * 2);
    world.slow = false;
    world.settle();
    assert_eq!(world.take_aired(), [file(3, "b_00000.mkv"), file(4, "b_00001.mkv")]);
    assert!(world.events.is_empty());
    world.finish();
}

#[test]
fn a_stop_leaves_nothing_whatever_it_comes_upon() {
    for slow in [false, true] {
        for wall in [EPOCH - DAY, EPOCH, EPOCH + ms(3333)] {
            let mut world = started(wall);
            world.slow = slow;
            world.run(LASTS);
            world.finish();
        }
    }
}

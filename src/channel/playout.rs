//! The source of a server's channel: what the schedule says is on, opened one block ahead, put on
//! the air at its time; the filler where a block is missing.
//!
//! | state | told | becomes |
//! |---|---|---|
//! | waiting (before the epoch), over | timer, at most a minute away | as the schedule says |
//! | on | the block's end, by the wall clock | the block that the schedule has now |
//! | any slot: opening | opened | ready; on the air if it is due |
//! | | unreadable | the filler's block is opened in its place; if that fails too, skipped |
//! | on the air | faulted | the filler takes the rest of its time |
//!
//! Positions are computed, never counted: every turn asks the schedule anew, and what it says is
//! the prefetched block, or after a jump of the clock another.

use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::port::{Blob, Cx, Facts, Why};
use crate::base::time::Wall;
use crate::base::wheel::Timer;
use crate::channel::Block;
use crate::media::catalog::Movie;
use crate::media::schedule::{At, Position, Schedule};

/// A wait for the wall clock is looked at again this often: the clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What happened to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A block goes on the air now.
    Aired(Rc<Block>),
    /// The scheduled block could not be read; the filler stands in. Told once a run of such blocks.
    Replaced {
        /// The block that is missing.
        file: String,
        /// What was the matter.
        why: String,
        /// The filler's block.
        by: String,
    },
    /// The scheduled block could not be read and there is no filler either. Once a run.
    Skipped {
        /// The block that is missing.
        file: String,
        /// What was the matter.
        why: String,
    },
    /// After so many replaced or skipped blocks the schedule's own are on again.
    Recovered {
        /// How many were not as scheduled.
        blocks: u64,
    },
    /// The wall clock was set: the channel follows.
    Jumped {
        /// The block that would have been next.
        expected: u64,
        /// The block that is on now.
        seq: u64,
    },
    /// Nothing is on yet.
    Waiting {
        /// The epoch.
        until: Wall,
    },
    /// The playlist is over and does not repeat.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Ready,
    Failed,
}

/// A block on its way to the air.
#[derive(Debug)]
struct Slot {
    position: Position,
    blob: Option<Blob>,
    stage: Stage,
    due: bool,
    /// Why the scheduled block is not there, once the filler is tried.
    missing: Option<String>,
    file: Rc<str>,
    facts: (u64, Wall),
}

/// What a channel is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Before the epoch.
    Waiting,
    /// On the air.
    On,
    /// After the end.
    Over,
}

/// Counters of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Blocks put on the air, the filler's among them.
    pub aired: u64,
    /// Of these, the filler's.
    pub replaced: u64,
    /// Blocks for which nothing was on.
    pub skipped: u64,
}

/// The playout of one channel.
#[derive(Debug)]
pub struct Playout {
    number: u64,
    schedule: Schedule,
    filler: Option<Rc<Movie>>,
    state: Option<State>,
    current: Option<Position>,
    slot: Option<Slot>,
    timer: Option<Timer>,
    unscheduled: u64,
    stats: Stats,
    events: VecDeque<Event>,
}

impl Playout {
    /// The playout of channel `number`; [`Playout::turn`] starts it.
    #[must_use]
    pub fn new(number: usize, schedule: Schedule, filler: Option<Rc<Movie>>) -> Self {
        Self {
            number: number as u64,
            schedule,
            filler,
            state: None,
            current: None,
            slot: None,
            timer: None,
            unscheduled: 0,
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Another schedule from now on. What is on the air stays until its end when the new schedule
    /// agrees, else [`Playout::turn`] changes it at once.
    pub fn reschedule(&mut self, cx: &mut Cx, schedule: Schedule, filler: Option<Rc<Movie>>) {
        self.schedule = schedule;
        self.filler = filler;
        self.drop_slot(cx);
        let same = |p: &Position| self.schedule.position(p.seq).as_ref() == Some(p);
        self.current = self.current.take().filter(same);
        self.turn(cx);
    }

    /// Gives up every blob and timer.
    pub fn stop(&mut self, cx: &mut Cx) {
        self.drop_slot(cx);
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
    }

    /// What it does now.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.state
    }

    /// The schedule it follows.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Looks at the clock: at the start, and at [`Why::BlockStart`].
    pub fn turn(&mut self, cx: &mut Cx) {
        match self.schedule.at(cx.now.wall) {
            At::Before { starts_at } => {
                self.rest(cx, State::Waiting, Event::Waiting { until: starts_at });
                self.wake(cx, (starts_at.since(cx.now.wall)).min(LOOK_AGAIN));
            }
            At::After => {
                self.rest(cx, State::Over, Event::Over);
                self.wake(cx, LOOK_AGAIN);
            }
            At::On(position) => {
                let end = position.starts_at + position.lasts;
                self.wake(cx, end.since(cx.now.wall));
                self.state = Some(State::On);
                if self.current.as_ref().is_none_or(|p| p.seq != position.seq) {
                    self.begin(cx, position);
                }
            }
        }
    }

    fn rest(&mut self, cx: &mut Cx, state: State, event: Event) {
        if self.state != Some(state) {
            self.state = Some(state);
            self.current = None;
            self.drop_slot(cx);
            self.events.push_back(event);
        }
    }

    fn wake(&mut self, cx: &mut Cx, after: Duration) {
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
        self.timer = Some(cx.wake(Why::BlockStart, self.number, after));
    }

    /// The schedule has come to this block.
    fn begin(&mut self, cx: &mut Cx, position: Position) {
        if let Some(last) = self.current.replace(position.clone()) {
            let (expected, seq) = (last.seq + 1, position.seq);
            if expected != seq {
                self.events.push_back(Event::Jumped { expected, seq });
            }
        }
        if self.slot.as_ref().is_none_or(|s| s.position != position) {
            self.drop_slot(cx);
            self.prepare(cx, position);
        }
        if let Some(slot) = &mut self.slot {
            slot.due = true;
        }
        self.settle(cx);
    }

    /// Opens a block's file.
    fn prepare(&mut self, cx: &mut Cx, position: Position) {
        let file = position.movie.path(position.block).unwrap_or_else(|| "".into());
        let blob = cx.open(Rc::clone(&file));
        let stage = if blob.is_some() { Stage::Opening } else { Stage::Failed };
        let facts = (0, Wall(0));
        let missing = None;
        self.slot = Some(Slot { position, blob, stage, due: false, missing, file, facts });
    }

    /// Puts the slot's block on the air if it is due and ready, and prepares the next one.
    fn settle(&mut self, cx: &mut Cx) {
        let Some(slot) = self.slot.take_if(|s| s.due && s.stage != Stage::Opening) else { return };
        let next = self.schedule.position(slot.position.seq + 1);
        match slot.stage {
            Stage::Ready => self.air(slot),
            _ => self.skip(&slot),
        }
        if let Some(next) = next {
            self.prepare(cx, next);
        }
    }

    fn air(&mut self, slot: Slot) {
        let Slot { position, blob: Some(blob), facts: (len, modified), .. } = slot else { return };
        let replaced = slot.missing.is_some();
        self.stats.aired += 1;
        self.stats.replaced += u64::from(replaced);
        if replaced {
            self.depart(|file, why| Event::Replaced { file, why, by: slot.file.to_string() }, {
                (path(&position), slot.missing.unwrap_or_default())
            });
        } else if self.unscheduled > 0 {
            self.events.push_back(Event::Recovered { blocks: self.unscheduled });
            self.unscheduled = 0;
        }
        let movie = if replaced { self.filler.as_ref() } else { Some(&position.movie) };
        let Some(movie) = movie else { return };
        self.events.push_back(Event::Aired(Rc::new(Block {
            seq: position.seq,
            movie: Rc::clone(movie.name()),
            index: if replaced { filler_block(movie, position.seq) } else { position.block },
            file: slot.file,
            blob,
            len,
            modified,
            container: movie.container(),
            starts_at: position.starts_at,
            lasts: position.lasts,
            replaced,
        })));
    }

    fn skip(&mut self, slot: &Slot) {
        self.stats.skipped += 1;
        let why = slot.missing.clone().unwrap_or_else(|| "too many blocks are open".into());
        self.depart(|file, why| Event::Skipped { file, why }, (path(&slot.position), why));
    }

    /// Tells of the first block of a run that is not as scheduled.
    fn depart(
        &mut self,
        event: impl FnOnce(String, String) -> Event,
        (file, why): (String, String),
    ) {
        if self.unscheduled == 0 {
            self.events.push_back(event(file, why));
        }
        self.unscheduled += 1;
    }

    /// A file that was asked for is open. `false`: it was not this channel's.
    pub fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        let Some(slot) = self.slot.as_mut().filter(|s| s.blob == Some(blob)) else { return false };
        slot.stage = Stage::Ready;
        slot.facts = (facts.len, facts.modified);
        self.settle(cx);
        true
    }

    /// A file that was asked for cannot be read. `false`: it was not this channel's.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob, why: &str) -> bool {
        let Some(slot) = self.slot.as_mut().filter(|s| s.blob == Some(blob)) else { return false };
        slot.blob = None;
        cx.release(blob);
        if slot.missing.is_none() {
            slot.missing = Some(why.into());
            self.fill(cx);
        } else {
            slot.stage = Stage::Failed;
        }
        self.settle(cx);
        true
    }

    /// Opens the filler in the slot's place.
    fn fill(&mut self, cx: &mut Cx) {
        let Some(slot) = self.slot.as_mut() else { return };
        slot.stage = Stage::Failed;
        let Some(filler) = &self.filler else { return };
        let block = filler_block(filler, slot.position.seq);
        let Some(file) = filler.path(block) else { return };
        slot.blob = cx.open(Rc::clone(&file));
        slot.file = file;
        if slot.blob.is_some() {
            slot.stage = Stage::Opening;
        }
    }

    /// A block of this channel broke while it was sent; whoever took it out of the window says so.
    /// The one on the air is replaced for the rest of its time.
    pub fn broke(&mut self, cx: &mut Cx, block: &Block) {
        let Some(position) = self.current.clone().filter(|p| p.seq == block.seq) else { return };
        if block.replaced {
            return;
        }
        self.drop_slot(cx);
        let file = Rc::clone(&block.file);
        let missing = Some("it shrank or broke while on the air".to_owned());
        let (blob, stage, due) = (None, Stage::Failed, true);
        self.slot = Some(Slot { position, blob, stage, due, missing, file, facts: (0, Wall(0)) });
        self.fill(cx);
        self.settle(cx);
    }

    fn drop_slot(&mut self, cx: &mut Cx) {
        if let Some(blob) = self.slot.take().and_then(|s| s.blob) {
            cx.release(blob);
        }
    }
}

/// Which of the filler's blocks stands in: they take turns.
fn filler_block(filler: &Movie, seq: u64) -> u32 {
    let blocks = u64::from(filler.blocks().max(1));
    u32::try_from(seq % blocks).expect("less than the filler's blocks, which are 32 bits")
}

fn path(position: &Position) -> String {
    position.movie.path(position.block).map_or_else(String::new, |p| p.to_string())
}

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
    /// What is opened: a block of the scheduled movie, or of the filler.
    movie: Rc<Movie>,
    index: u32,
    file: Rc<str>,
    facts: (u64, Wall),
}

impl Slot {
    /// A slot for the scheduled block, of which nothing is there yet.
    fn new(position: Position) -> Self {
        Self {
            movie: Rc::clone(&position.movie),
            index: position.block,
            file: path(&position),
            position,
            blob: None,
            stage: Stage::Failed,
            due: false,
            missing: None,
            facts: (0, Wall(0)),
        }
    }

    fn open(&mut self, cx: &mut Cx) {
        self.blob = cx.open(Rc::clone(&self.file));
        self.stage = if self.blob.is_some() { Stage::Opening } else { Stage::Failed };
    }
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
    /// agrees, else it changes at once.
    pub fn reschedule(&mut self, cx: &mut Cx, schedule: Schedule, filler: Option<Rc<Movie>>) {
        self.schedule = schedule;
        self.filler = filler;
        // What was opened may be another library's: all of it is opened anew.
        let on_air = self.slot.as_ref().is_none_or(|slot| !slot.due);
        self.drop_slot(cx);
        let same = |p: &Position| self.schedule.position(p.seq).as_ref() == Some(p);
        self.current = self.current.take().filter(|p| on_air && same(p));
        self.turn(cx);
        if let (Some(current), None) = (&self.current, &self.slot) {
            let next = current.seq + 1;
            self.prepare(cx, next);
        }
    }

    /// Gives up every blob and timer. Nothing more comes of it.
    pub fn stop(&mut self, cx: &mut Cx) {
        self.drop_slot(cx);
        self.current = None;
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
        let seq = position.seq;
        if self.slot.as_ref().is_none_or(|s| s.position != position) {
            self.drop_slot(cx);
            self.prepare(cx, seq);
        }
        if let Some(slot) = &mut self.slot {
            slot.due = true;
        }
        if let Some(last) = self.current.replace(position).filter(|last| last.seq + 1 != seq) {
            self.events.push_back(Event::Jumped { expected: last.seq + 1, seq });
        }
        self.settle(cx);
    }

    /// Opens a block's file, if the schedule has a block of that number.
    fn prepare(&mut self, cx: &mut Cx, seq: u64) {
        self.slot = self.schedule.position(seq).map(Slot::new);
        if let Some(slot) = &mut self.slot {
            slot.open(cx);
        }
    }

    /// Puts the slot's block on the air if it is due and ready, and prepares the next one.
    fn settle(&mut self, cx: &mut Cx) {
        let Some(slot) = self.slot.take_if(|s| s.due && s.stage != Stage::Opening) else { return };
        let next = slot.position.seq + 1;
        match slot.blob.filter(|_| slot.stage == Stage::Ready) {
            Some(blob) => self.air(slot, blob),
            None => self.skip(slot),
        }
        self.prepare(cx, next);
    }

    fn air(&mut self, slot: Slot, blob: Blob) {
        let Slot { position, missing, movie, index, file, facts: (len, modified), .. } = slot;
        let replaced = missing.is_some();
        self.stats.aired += 1;
        self.stats.replaced += u64::from(replaced);
        if let Some(why) = missing {
            let (file, by) = (path(&position).to_string(), file.to_string());
            self.depart(Event::Replaced { file, why, by });
        } else if self.unscheduled > 0 {
            self.events.push_back(Event::Recovered { blocks: self.unscheduled });
            self.unscheduled = 0;
        }
        self.events.push_back(Event::Aired(Rc::new(Block {
            seq: position.seq,
            movie: Rc::clone(movie.name()),
            index,
            file,
            blob,
            len,
            modified,
            container: movie.container(),
            starts_at: position.starts_at,
            lasts: position.lasts,
            replaced,
        })));
    }

    fn skip(&mut self, slot: Slot) {
        self.stats.skipped += 1;
        let why = slot.missing.unwrap_or_else(|| "too many blocks are open".into());
        self.depart(Event::Skipped { file: path(&slot.position).to_string(), why });
    }

    /// Tells of the first block of a run that is not as scheduled.
    fn depart(&mut self, event: Event) {
        if self.unscheduled == 0 {
            self.events.push_back(event);
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
        (slot.blob, slot.stage) = (None, Stage::Failed);
        cx.release(blob);
        if slot.missing.is_none() {
            slot.missing = Some(why.into());
            self.fill(cx);
        }
        self.settle(cx);
        true
    }

    /// Opens the filler in the slot's place.
    fn fill(&mut self, cx: &mut Cx) {
        let (Some(slot), Some(filler)) = (&mut self.slot, &self.filler) else { return };
        let index = filler_block(filler, slot.position.seq);
        let Some(file) = filler.path(index) else { return };
        (slot.movie, slot.index, slot.file) = (Rc::clone(filler), index, file);
        slot.open(cx);
    }

    /// A block of this channel broke while it was sent; whoever took it out of the window says so.
    /// The one on the air is replaced for the rest of its time.
    pub fn broke(&mut self, cx: &mut Cx, block: &Block) {
        let Some(position) = self.current.clone().filter(|p| p.seq == block.seq) else { return };
        if block.replaced {
            return;
        }
        self.drop_slot(cx);
        let missing = Some("it shrank or broke while on the air".to_owned());
        self.slot = Some(Slot { due: true, missing, ..Slot::new(position) });
        self.fill(cx);
        self.settle(cx);
    }

    /// Blobs that it holds: the next block's.
    #[must_use]
    pub fn blobs(&self) -> usize {
        usize::from(self.slot.as_ref().is_some_and(|slot| slot.blob.is_some()))
    }

    /// Timers that it holds.
    #[must_use]
    pub fn timers(&self) -> usize {
        usize::from(self.timer.is_some())
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

fn path(position: &Position) -> Rc<str> {
    position.movie.path(position.block).unwrap_or_else(|| "".into())
}

#[cfg(test)]
mod tests;

//! The source of a server's channel: what the schedule says is on, opened one block ahead (or as
//! far ahead as the relay trees want it), put on the air at its time; the filler where a block is
//! missing.
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

use crate::base::limits;
use crate::base::port::{Blob, Cx, Facts, Why};
use crate::base::time::Wall;
use crate::base::wheel::Timer;
use crate::channel::{Block, Place};
use crate::media::catalog::Movie;
use crate::media::schedule::{At, Position, Schedule};

/// A wait for the wall clock is looked at again this often: the clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What happened to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A block that will go on the air is open: for those who carry it ahead of its time. Told only
    /// with a lead, in the order of the blocks, and not again if it is given up after all.
    Ready(Rc<Block>),
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
    /// It has been told of with [`Event::Ready`].
    told: bool,
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
            told: false,
            missing: None,
            facts: (0, Wall(0)),
        }
    }

    fn open(&mut self, cx: &mut Cx) {
        self.blob = cx.open(Rc::clone(&self.file));
        self.stage = if self.blob.is_some() { Stage::Opening } else { Stage::Failed };
    }

    /// Opens the filler's block in the scheduled one's place.
    fn fill(&mut self, cx: &mut Cx, filler: Option<&Rc<Movie>>) {
        let Some(filler) = filler else { return };
        let index = filler_block(filler, self.position.seq);
        let Some(file) = filler.path(index) else { return };
        (self.movie, self.index, self.file) = (Rc::clone(filler), index, file);
        self.open(cx);
    }

    /// The block that it will be on the air, once it is open.
    fn block(&self, (schedule, run): (&Schedule, u64)) -> Option<Block> {
        let (len, modified) = self.facts;
        Some(Block {
            seq: self.position.seq,
            movie: Rc::clone(self.movie.name()),
            index: self.index,
            file: Rc::clone(&self.file),
            blob: self.blob?,
            len,
            modified,
            container: self.movie.container(),
            starts_at: self.position.starts_at,
            lasts: self.position.lasts,
            replaced: self.missing.is_some(),
            place: Some(Place::of(schedule, &self.position, run)),
        })
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
    /// [`Schedule::fingerprint`].
    run: u64,
    filler: Option<Rc<Movie>>,
    state: Option<State>,
    current: Option<Position>,
    /// What is opened ahead, in the order in which it airs.
    slots: VecDeque<Slot>,
    /// How long before its time a block is open at the latest.
    lead: Duration,
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
            run: schedule.fingerprint(),
            schedule,
            filler,
            state: None,
            current: None,
            slots: VecDeque::new(),
            lead: Duration::ZERO,
            timer: None,
            unscheduled: 0,
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Opens blocks at least so long before their time, and tells of each.
    #[must_use]
    pub fn with_lead(self, lead: Duration) -> Self {
        Self { lead, ..self }
    }

    /// Another schedule from now on. What is on the air stays until its end when the new schedule
    /// agrees, else it changes at once.
    pub fn reschedule(&mut self, cx: &mut Cx, schedule: Schedule, filler: Option<Rc<Movie>>) {
        self.run = schedule.fingerprint();
        self.schedule = schedule;
        self.filler = filler;
        // What was opened may be another library's: all of it is opened anew.
        let on_air = self.slots.front().is_none_or(|slot| !slot.due);
        self.drop_slots(cx);
        let same = |p: &Position| self.schedule.position(p.seq).as_ref() == Some(p);
        self.current = self.current.take().filter(|p| on_air && same(p));
        self.turn(cx);
        self.look_ahead(cx);
    }

    /// Gives up every blob and timer. Nothing more comes of it.
    pub fn stop(&mut self, cx: &mut Cx) {
        self.drop_slots(cx);
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

    /// What stands in for blocks that cannot be read.
    #[must_use]
    pub fn filler(&self) -> Option<&Rc<Movie>> {
        self.filler.as_ref()
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
            self.drop_slots(cx);
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
        if self.slots.front().is_none_or(|s| s.position != position) {
            self.drop_slots(cx);
            self.prepare(cx, seq);
        }
        if let Some(slot) = self.slots.front_mut() {
            slot.due = true;
        }
        if let Some(last) = self.current.replace(position).filter(|last| last.seq + 1 != seq) {
            self.events.push_back(Event::Jumped { expected: last.seq + 1, seq });
        }
        self.settle(cx);
    }

    /// Opens a block's file behind those that are open, if the schedule has a block of that number.
    fn prepare(&mut self, cx: &mut Cx, seq: u64) -> bool {
        let Some(mut slot) = self.schedule.position(seq).map(Slot::new) else { return false };
        slot.open(cx);
        self.slots.push_back(slot);
        true
    }

    /// Opens what is to be open by now: the next block, and all whose lead begins before it ends.
    fn look_ahead(&mut self, cx: &mut Cx) {
        let Some(current) = &self.current else { return };
        let after = self.slots.back().map_or(0, |last| last.position.seq + 1);
        let mut next = after.max(current.seq + 1);
        while self.wants_more(cx.now.wall + self.lead) && self.prepare(cx, next) {
            next += 1;
        }
    }

    fn wants_more(&self, until: Wall) -> bool {
        let ahead = self.slots.iter().filter(|slot| !slot.due).count();
        let reached = self.slots.back().is_some_and(|slot| slot.position.starts_at > until);
        ahead < limits::BLOCKS_AHEAD_MAX && (ahead == 0 || (!self.lead.is_zero() && !reached))
    }

    /// Puts the first slot's block on the air if it is due and ready, and looks ahead.
    fn settle(&mut self, cx: &mut Cx) {
        let ready = |slot: &Slot| slot.due && slot.stage != Stage::Opening;
        if self.slots.front().is_some_and(ready) {
            let slot = self.slots.pop_front().expect("it was just looked at");
            match slot.blob.filter(|_| slot.stage == Stage::Ready) {
                Some(_) => self.air(slot),
                None => self.skip(slot),
            }
            self.look_ahead(cx);
        }
        self.tell_ready();
    }

    /// Tells of the blocks that are open now, in their order.
    fn tell_ready(&mut self) {
        if self.lead.is_zero() {
            return;
        }
        for slot in &mut self.slots {
            match slot.stage {
                Stage::Opening => break,
                Stage::Ready if !slot.told => {
                    slot.told = true;
                    let block = slot.block((&self.schedule, self.run));
                    self.events.extend(block.map(|block| Event::Ready(Rc::new(block))));
                }
                _ => {}
            }
        }
    }

    fn air(&mut self, slot: Slot) {
        let Some(block) = slot.block((&self.schedule, self.run)) else { return };
        self.stats.aired += 1;
        self.stats.replaced += u64::from(block.replaced);
        if let Some(why) = slot.missing {
            let (file, by) = (path(&slot.position).to_string(), slot.file.to_string());
            self.depart(Event::Replaced { file, why, by });
        } else if self.unscheduled > 0 {
            self.events.push_back(Event::Recovered { blocks: self.unscheduled });
            self.unscheduled = 0;
        }
        self.events.push_back(Event::Aired(Rc::new(block)));
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
        let Some(slot) = self.slot_of(blob) else { return false };
        slot.stage = Stage::Ready;
        slot.facts = (facts.len, facts.modified);
        self.settle(cx);
        true
    }

    /// A file that was asked for cannot be read. `false`: it was not this channel's.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob, why: &str) -> bool {
        let filler = self.filler.clone();
        let Some(slot) = self.slot_of(blob) else { return false };
        (slot.blob, slot.stage) = (None, Stage::Failed);
        cx.release(blob);
        if slot.missing.is_none() {
            slot.missing = Some(why.into());
            slot.fill(cx, filler.as_ref());
        }
        self.settle(cx);
        true
    }

    fn slot_of(&mut self, blob: Blob) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.blob == Some(blob))
    }

    /// A block of this channel broke while it was sent; whoever took it out of the window says so.
    /// The one on the air is replaced for the rest of its time.
    pub fn broke(&mut self, cx: &mut Cx, block: &Block) {
        let Some(position) = self.current.clone().filter(|p| p.seq == block.seq) else { return };
        if block.replaced {
            return;
        }
        if self.lead.is_zero() {
            // Whoever changed this file may have changed the next: it is looked at anew. What has
            // been told of is others' by now.
            self.drop_slots(cx);
        }
        let missing = Some("it shrank or broke while on the air".to_owned());
        let mut slot = Slot { due: true, told: true, missing, ..Slot::new(position) };
        slot.fill(cx, self.filler.as_ref());
        self.slots.push_front(slot);
        self.settle(cx);
    }

    /// Blobs that it holds: the next blocks'.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.slots.iter().filter(|slot| slot.blob.is_some()).count()
    }

    /// Timers that it holds.
    #[must_use]
    pub fn timers(&self) -> usize {
        usize::from(self.timer.is_some())
    }

    fn drop_slots(&mut self, cx: &mut Cx) {
        for blob in self.slots.drain(..).filter_map(|slot| slot.blob) {
            cx.release(blob);
        }
    }
}

/// Which of the filler's blocks stands in: they take turns.
#[must_use]
pub fn filler_block(filler: &Movie, seq: u64) -> u32 {
    let blocks = u64::from(filler.blocks().max(1));
    u32::try_from(seq % blocks).unwrap_or(0)
}

fn path(position: &Position) -> Rc<str> {
    position.movie.path(position.block).unwrap_or_else(|| "".into())
}

#[cfg(test)]
mod tests;

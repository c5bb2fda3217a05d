//! The edge: what players take, made of a channel's blocks by [`crate::container`] once a block and
//! shared by all who watch or ask. Endless answers (`/ch/0.mkv`, `.mp4`, `.ts`) follow the window;
//! playlists follow the schedule where there is one, and a segment that this node has not aired
//! itself is made of its file. Nothing is made before somebody asks.
//!
//! | slot | what is here | goes to |
//! |---|---|---|
//! | opening | a file that io maps | reading; else as refused |
//! | reading | a block that io reads into memory | made; else as refused |
//! | refused | the filler takes its place | opening, or bad when that was the filler |
//! | made | the outputs, as blobs | |
//! | bad | why there are none | |
//!
//! What waits is tried anew whenever something is made: it remembers nothing but what was asked.

mod answer;
mod list;
mod make;
mod paths;
mod place;
mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Facts, Level, Output as Act, Span};
use crate::base::text::escaped;
use crate::channel::playout::{self, Playout};
use crate::container::{self, Output, Signature};
use crate::node::Node;

use list::Lists;
use make::Made;
pub(super) use paths::{Want, want};
use place::{About, Clocks};
use probe::Probes;

/// A channel's number and a block's.
type Key = (usize, u64);

/// What is made and who waits for it.
#[derive(Default, Debug)]
pub(super) struct Edge {
    slots: BTreeMap<Key, Slot>,
    /// Requests whose answer is not made yet.
    waiting: Vec<(Conn, usize, Want)>,
    viewers: Vec<Viewer>,
    lists: Lists,
    clocks: Clocks,
    probes: Probes,
    /// Blocks of movies of which it was said that they are refused.
    told: BTreeSet<(Rc<str>, u32)>,
}

#[derive(Debug)]
struct Slot {
    about: About,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Opening(Blob),
    Reading {
        source: Span,
        /// Whether the blob is the edge's, not the window's.
        own: bool,
    },
    Made(Made),
    Bad(String),
}

impl Stage {
    fn blobs(&self) -> Vec<Blob> {
        match self {
            Self::Opening(blob) => vec![*blob],
            Self::Reading { source, own } => own.then_some(source.blob).into_iter().collect(),
            Self::Made(made) => made.blobs().collect(),
            Self::Bad(_) => Vec::new(),
        }
    }

    fn made(&self) -> Option<&Made> {
        match self {
            Self::Made(made) => Some(made),
            _ => None,
        }
    }

    /// Whether nothing more will come of it.
    fn is_settled(&self) -> bool {
        matches!(self, Self::Made(_) | Self::Bad(_))
    }
}

/// Somebody with an endless answer.
#[derive(Debug)]
struct Viewer {
    conn: Conn,
    channel: usize,
    output: Output,
    signature: Signature,
    /// The last block that it was given, or that was left out for it.
    last: u64,
}

impl Edge {
    /// Blobs that it holds.
    pub(super) fn blobs(&self) -> usize {
        let slots = self.slots.values().map(|slot| slot.stage.blobs().len());
        slots.sum::<usize>() + self.probes.blobs()
    }

    /// Timers that it holds.
    pub(super) fn timers(&self) -> usize {
        self.probes.timers()
    }

    /// Endless answers of a channel.
    pub(super) fn viewers(&self, channel: usize) -> usize {
        self.viewers.iter().filter(|viewer| viewer.channel == channel).count()
    }

    fn made(&self, key: Key) -> Option<&Made> {
        self.slots.get(&key)?.stage.made()
    }

    fn change(&mut self, cx: &mut Cx, key: Key, stage: Stage) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let old = core::mem::replace(&mut slot.stage, stage);
        old.blobs().into_iter().for_each(|blob| cx.release(blob));
    }

    fn forget(&mut self, cx: &mut Cx, which: impl Fn(&Key) -> bool) {
        let keys: Vec<Key> = self.slots.keys().filter(|key| which(key)).copied().collect();
        for slot in keys.into_iter().filter_map(|key| self.slots.remove(&key)) {
            slot.stage.blobs().into_iter().for_each(|blob| cx.release(blob));
        }
    }

    fn find(&self, wanted: impl Fn(&Stage) -> bool) -> Option<Key> {
        self.slots.iter().find(|(_, slot)| wanted(&slot.stage)).map(|(key, _)| *key)
    }
}

impl Node {
    /// Has a block made, unless that is done or under way.
    fn edge_want(&mut self, key: Key) {
        if self.edge.slots.contains_key(&key) {
            return;
        }
        let (channel, seq) = key;
        let Some(about) = self.edge_about(key) else { return };
        let block = self.channels.get(channel).and_then(|from| from.window.get(seq));
        let stage = if let Some(span) = block.map(|block| block.span()) {
            self.cx.out.push_back(Act::Read { span });
            Stage::Reading { source: span, own: false }
        } else {
            match about.path.clone().and_then(|path| self.cx.open(path)) {
                Some(blob) => Stage::Opening(blob),
                None => Stage::Bad("this block cannot be opened".to_owned()),
            }
        };
        self.edge.slots.insert(key, Slot { about, stage });
    }

    /// A file that was asked for is open. `false`: it was not the edge's.
    pub(super) fn edge_opened(&mut self, blob: Blob, facts: Facts<'_>) -> bool {
        let opening = |stage: &Stage| matches!(stage, Stage::Opening(b) if *b == blob);
        let Some(key) = self.edge.find(opening) else {
            return self.edge.probes.opened(&mut self.cx, blob, facts);
        };
        let source = Span { blob, from: 0, len: facts.len };
        if let Some(slot) = self.edge.slots.get_mut(&key) {
            slot.stage = Stage::Reading { source, own: true };
        }
        self.cx.out.push_back(Act::Read { span: source });
        true
    }

    /// A file cannot be read, or what an output was to be kept of is gone. `false`: it was not the
    /// edge's.
    pub(super) fn edge_unreadable(&mut self, blob: Blob, why: &str) -> bool {
        let Some(key) = self.edge.find(|stage| stage.blobs().contains(&blob)) else {
            return self.probe_unreadable(blob, why);
        };
        self.edge_refuse(key, &escaped(why.as_bytes()));
        true
    }

    /// What an output consists of broke while it was sent. `false`: it was not the edge's.
    pub(super) fn edge_faulted(&mut self, blob: Blob) -> bool {
        let Some(key) = self.edge.find(|stage| stage.blobs().contains(&blob)) else {
            return false;
        };
        self.edge_refuse(key, "its file shrank or broke while it was sent");
        true
    }

    /// The bytes of a block are in memory: its outputs are made of them.
    pub(super) fn edge_read(&mut self, span: Span, bytes: Option<&[u8]>) {
        let reading =
            |stage: &Stage| matches!(stage, Stage::Reading { source, .. } if *source == span);
        // A block may be wanted of several channels at once.
        let mut found = false;
        while let Some(key) = self.edge.find(reading) {
            found = true;
            let made = match bytes {
                Some(bytes) => self.edge_make(key, span.blob, bytes),
                None => Err("its file is not what it was".to_owned()),
            };
            match made {
                Ok(made) => {
                    self.edge.change(&mut self.cx, key, Stage::Made(made));
                    self.edge_settle(key);
                }
                Err(why) => self.edge_refuse(key, &why),
            }
        }
        if !found {
            self.probe_read(span, bytes);
        }
    }

    fn edge_make(&mut self, key: Key, source: Blob, bytes: &[u8]) -> Result<Made, String> {
        let block = container::read(bytes).map_err(|why| why.to_string())?;
        let Some(slot) = self.edge.slots.get(&key) else { return Err("nobody asks".to_owned()) };
        let known = slot.about.clock;
        let clock = known.unwrap_or_else(|| self.edge.clocks.of(key, block.lasts_ns));
        let made = Made::of(&mut self.cx, (source, bytes), &block, &clock);
        made.ok_or_else(|| "too many blobs".to_owned())
    }

    /// A block is not for players: the filler takes its place, as it does on the air.
    fn edge_refuse(&mut self, key: Key, why: &str) {
        let Some(slot) = self.edge.slots.get(&key) else { return };
        let (about, (channel, seq)) = (slot.about.clone(), key);
        let playout = self.channels.get(channel).and_then(|state| state.playout.as_ref());
        let filler = playout.and_then(Playout::filler).filter(|_| !about.stands_in);
        let by = filler.and_then(|filler| {
            let index = playout::filler_block(filler, seq);
            Some((Rc::clone(filler.name()), index, filler.path(index)?))
        });
        self.edge_tell(channel, &about, why, by.as_ref().map(|(_, _, path)| &**path));
        let opened = by.and_then(|by| Some((by.clone(), self.cx.open(by.2)?)));
        let stage = match opened {
            Some(((movie, index, path), blob)) => {
                let about = about.filled(movie, index, path);
                self.edge.slots.entry(key).and_modify(|slot| slot.about = about);
                Stage::Opening(blob)
            }
            None => Stage::Bad(why.to_owned()),
        };
        let settled = stage.is_settled();
        self.edge.change(&mut self.cx, key, stage);
        if settled {
            self.edge_settle(key);
        }
    }

    /// Says once of each block that it is refused.
    fn edge_tell(&mut self, channel: usize, about: &About, why: &str, by: Option<&str>) {
        let known = &mut self.edge.told;
        let full = known.len() >= limits::EDGE_REFUSED_TOLD_MAX;
        if full || !known.insert((Rc::clone(&about.movie), about.index)) {
            return;
        }
        let (movie, block) = (escaped(about.movie.as_bytes()), about.index);
        let instead = by.map_or_else(String::new, |by| {
            format!("; {} stands in for it", escaped(by.as_bytes()))
        });
        let text = format!(
            "channel {channel}: movie {movie}, block {block}: not for players: {why}{instead}"
        );
        self.lines.push_back((Level::Warn, text));
    }

    /// A block is made, or will not be: those who wait for it are answered, viewers get it.
    fn edge_settle(&mut self, key: Key) {
        self.edge_push(key);
        self.edge_retry();
    }

    /// A block went on the air: it is made if somebody watches, and what is old is forgotten.
    pub(super) fn edge_aired(&mut self, channel: usize, seq: u64) {
        let oldest = self.edge_oldest(channel, seq);
        self.edge.forget(&mut self.cx, |(of, block)| {
            *of == channel && (*block < oldest || *block > seq)
        });
        self.edge.clocks.forget(channel, oldest);
        if self.edge.viewers(channel) > 0 {
            self.edge_want((channel, seq));
            self.edge_push((channel, seq));
        }
        self.edge_retry();
    }

    /// Schedules may be others now, or the node stops: all that was made is forgotten.
    pub(super) fn edge_reset(&mut self) {
        self.edge.forget(&mut self.cx, |_| true);
        self.edge.lists = Lists::default();
        self.edge.told.clear();
        self.edge.probes.clear(&mut self.cx);
        for (conn, _, _) in core::mem::take(&mut self.edge.waiting) {
            let off_air = answer::off_air();
            self.http.iter_mut().for_each(|http| http.respond(&mut self.cx, conn, off_air.clone()));
        }
    }
}

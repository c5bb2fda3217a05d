//! What goes to disk: every block of a channel under `<channel>_<NNNNN>.<ext>`, numbers going on
//! where an earlier run stopped; the oldest are removed when more than the wanted number is kept.
//! A full disk is said once and tried again with the next block. `io/spooler` does the writing.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::port::{Cx, Output, StoreError};
use crate::channel::Block;
use crate::media::name;

/// What happened in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Blocks cannot be stored any more; told once.
    Failing {
        /// Why.
        why: StoreError,
    },
    /// Blocks are stored again; so many were not.
    Working {
        /// Blocks that were not stored meanwhile.
        missed: u64,
    },
    /// A block is on disk.
    Stored {
        /// Under this name.
        name: Rc<str>,
        /// So many bytes.
        bytes: u64,
    },
}

/// A stored block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its file.
    pub name: Rc<str>,
    /// Its bytes.
    pub bytes: u64,
    /// Its number in the channel, when this run received it.
    pub seq: Option<u64>,
}

/// Counters of a store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Blocks written in this run.
    pub stored: u64,
    /// Blocks that could not be.
    pub failed: u64,
    /// Blocks removed because newer ones took their place.
    pub removed: u64,
}

/// The store of one channel.
#[derive(Debug)]
pub struct Spool {
    channel: String,
    keep: usize,
    next: u32,
    files: VecDeque<Stored>,
    waiting: VecDeque<(Rc<str>, u64)>,
    failing: Option<StoreError>,
    missed: u64,
    stats: Stats,
    events: VecDeque<Event>,
}

impl Spool {
    /// The store of a channel, with what it holds already (name and bytes). `keep` 0 keeps all.
    #[must_use]
    pub fn new(channel: usize, keep: usize, held: impl IntoIterator<Item = (String, u64)>) -> Self {
        let channel = channel.to_string();
        let mut files = Vec::new();
        for (file, bytes) in held {
            if let Some(number) = number_of(&file, &channel) {
                files.push((number, Stored { name: file.into(), bytes, seq: None }));
            }
        }
        files.sort_by_key(|(number, _)| *number);
        let next = files.last().map_or(0, |(number, _)| number + 1);
        let files = files.into_iter().map(|(_, file)| file).collect();
        Self {
            channel,
            keep,
            next,
            files,
            waiting: VecDeque::new(),
            failing: None,
            missed: 0,
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// How many blocks to keep from now on.
    pub fn set_keep(&mut self, cx: &mut Cx, keep: usize) {
        self.keep = keep;
        self.trim(cx);
    }

    /// Stores a block.
    pub fn block(&mut self, cx: &mut Cx, block: &Block) {
        let file: Rc<str> =
            name::file_name(&self.channel, u64::from(self.next), block.container).into();
        self.next += 1;
        self.waiting.push_back((Rc::clone(&file), block.seq));
        cx.out.push_back(Output::Store { blob: block.blob, len: block.len, name: file });
    }

    /// An [`Output::Store`] is over.
    pub fn stored(&mut self, cx: &mut Cx, name: &Rc<str>, result: Result<u64, StoreError>) {
        let at = self.waiting.iter().position(|(waiting, _)| waiting == name);
        let Some((name, seq)) = at.and_then(|at| self.waiting.remove(at)) else { return };
        match result {
            Ok(bytes) => self.kept(cx, Stored { name, bytes, seq: Some(seq) }),
            Err(why) => self.failed(why),
        }
    }

    fn kept(&mut self, cx: &mut Cx, file: Stored) {
        self.stats.stored += 1;
        if self.failing.take().is_some() {
            self.events.push_back(Event::Working { missed: self.missed });
            self.missed = 0;
        }
        self.events.push_back(Event::Stored { name: Rc::clone(&file.name), bytes: file.bytes });
        self.files.push_back(file);
        self.trim(cx);
    }

    fn failed(&mut self, why: StoreError) {
        self.stats.failed += 1;
        self.missed += 1;
        if self.failing.as_ref() != Some(&why) {
            self.events.push_back(Event::Failing { why: why.clone() });
            self.failing = Some(why);
        }
    }

    fn trim(&mut self, cx: &mut Cx) {
        while self.keep > 0 && self.files.len() > self.keep {
            if let Some(old) = self.files.pop_front() {
                self.stats.removed += 1;
                cx.out.push_back(Output::Unstore { name: old.name });
            }
        }
    }

    /// Why blocks are not stored at the moment.
    #[must_use]
    pub fn failing(&self) -> Option<&StoreError> {
        self.failing.as_ref()
    }

    /// Blocks on disk, oldest first.
    #[must_use]
    pub fn files(&self) -> &VecDeque<Stored> {
        &self.files
    }

    /// Whether blocks are still being written.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
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
}

/// The number of a stored block of this channel; none when the file is something else.
fn number_of(file: &str, channel: &str) -> Option<u32> {
    name::parse(file).filter(|name| name.stem == channel).map(|name| name.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Now;
    use crate::channel::window::tests::block;

    fn store(spool: &mut Spool, cx: &mut Cx, seq: u64, result: Result<u64, StoreError>) -> String {
        let block = block(cx, seq);
        spool.block(cx, &block);
        let Some(Output::Store { name, .. }) = cx.out.pop_front() else {
            panic!("no store was asked for")
        };
        spool.stored(cx, &name, result);
        name.to_string()
    }

    #[test]
    fn numbers_go_on_where_an_earlier_run_stopped() {
        let mut cx = Cx::new(Now::default(), 1);
        let held = ["0_00041.mkv", "0_00007.mkv", "1_00099.mkv", "notes.txt"];
        let mut spool = Spool::new(0, 0, held.map(|name| (name.to_owned(), 1)));
        assert_eq!(store(&mut spool, &mut cx, 5, Ok(100)), "0_00042.mkv");
        let names: Vec<_> = spool.files().iter().map(|f| &*f.name).collect();
        assert_eq!(names, ["0_00007.mkv", "0_00041.mkv", "0_00042.mkv"]);
    }

    #[test]
    fn the_oldest_blocks_make_room() {
        let mut cx = Cx::new(Now::default(), 1);
        let mut spool = Spool::new(0, 2, []);
        for seq in 0..3 {
            store(&mut spool, &mut cx, seq, Ok(1));
        }
        assert_eq!(cx.out.pop_front(), Some(Output::Unstore { name: "0_00000.mkv".into() }));
        assert_eq!((spool.files().len(), spool.stats().removed), (2, 1));
    }

    #[test]
    fn a_full_disk_is_said_once_and_so_is_its_end() {
        let mut cx = Cx::new(Now::default(), 1);
        let mut spool = Spool::new(0, 0, []);
        store(&mut spool, &mut cx, 0, Err(StoreError::Full));
        store(&mut spool, &mut cx, 1, Err(StoreError::Full));
        assert_eq!(spool.poll_event(), Some(Event::Failing { why: StoreError::Full }));
        assert_eq!(spool.poll_event(), None);
        store(&mut spool, &mut cx, 2, Ok(5));
        assert_eq!(spool.poll_event(), Some(Event::Working { missed: 2 }));
        assert_eq!(spool.stats().failed, 2);
    }
}

//! One end of a connection. All that each letter asks of it lies in one line of the cache: a large
//! mesh has more of them than any cache holds.

use std::collections::VecDeque;

use vidstreamd::base::port::{Conn, Span};

use super::super::calendar::{Chunk, Far};

/// Requests that are remembered for each connection.
const WANTED: usize = 64;

/// One end of a connection.
#[derive(Debug)]
#[repr(align(64))]
pub struct Socket {
    pub conn: Conn,
    /// The other end; none while it is dialled.
    pub far: Option<Far>,
    /// Nanoseconds of a letter's way.
    pub delay: u64,
    /// When the last thing arrives that was sent: nothing overtakes.
    pub last_at: u64,
    /// The most bytes that its owner takes at once.
    pub take: u32,
    /// Whether it stands in the queue for the line.
    pub queued: bool,
    /// Whether the other end has taken nothing since it could not be reached.
    pub stuck: bool,
    rest: Option<Box<Rest>>,
}

/// What nearly every connection is without nearly always.
#[derive(Debug, Default)]
struct Rest {
    /// Where the bytes go that come next, and how many of them have come.
    directed: Option<(Span, u64)>,
    /// What the line has not taken.
    outbox: VecDeque<Chunk>,
    /// What was asked for over it: block, stripe, and whether by somebody who has begun.
    wanted: VecDeque<(u64, u8, bool)>,
}

impl Socket {
    pub fn new(conn: Conn, far: Option<Far>, delay: u64) -> Self {
        let (last_at, take, queued, stuck) = (0, u32::MAX, false, false);
        Self { conn, far, delay, last_at, take, queued, stuck, rest: None }
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Gives the memory of what is empty back.
    fn tidy(&mut self) {
        let empty = |rest: &Rest| {
            rest.directed.is_none() && rest.outbox.is_empty() && rest.wanted.is_empty()
        };
        if self.rest.as_deref().is_some_and(empty) {
            self.rest = None;
        }
    }

    pub fn directed(&self) -> Option<(Span, u64)> {
        self.rest.as_ref()?.directed
    }

    pub fn direct(&mut self, into: Option<(Span, u64)>) {
        self.rest().directed = into;
        self.tidy();
    }

    /// Bytes that the line has not taken.
    pub fn waiting(&self) -> u64 {
        self.rest.as_ref().map_or(0, |rest| rest.outbox.iter().map(Chunk::len).sum())
    }

    pub fn has_waiting(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| !rest.outbox.is_empty())
    }

    pub fn push(&mut self, chunk: Chunk) {
        self.rest().outbox.push_back(chunk);
    }

    /// Takes something from the queue.
    pub fn pop(
        &mut self,
        cut: impl FnOnce(&mut VecDeque<Chunk>) -> Option<Chunk>,
    ) -> Option<Chunk> {
        let chunk = cut(&mut self.rest.as_mut()?.outbox);
        self.tidy();
        chunk
    }

    /// Something was asked for over it.
    pub fn want(&mut self, what: (u64, u8, bool)) {
        let wanted = &mut self.rest().wanted;
        if wanted.len() == WANTED {
            wanted.pop_front();
        }
        wanted.push_back(what);
    }

    /// Whether bytes were asked for over it, and if so whether by somebody who had begun.
    pub fn wanted(&self, what: Option<(u64, u8)>) -> Option<bool> {
        let mut wanted = self.rest.as_ref()?.wanted.iter();
        let asked = wanted.find(|(seq, stripe, _)| Some((*seq, *stripe)) == what);
        asked.map(|(.., begun)| *begun)
    }
}

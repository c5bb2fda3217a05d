//! What is on its way of an answer without end, and when its reader has fallen behind.

use std::collections::VecDeque;

/// An answer without end.
#[derive(Debug)]
pub(super) struct Stream {
    /// Bytes given so far, head and all.
    given: u64,
    /// Of these, what the reader has taken.
    taken: u64,
    /// Of these, bytes that are no body.
    head: u64,
    /// Where each block ends that is not taken whole.
    blocks: VecDeque<u64>,
    /// Blocks are left out until all that was given is taken.
    behind: bool,
    /// That has happened before.
    warned: bool,
    /// Nothing more will be given.
    pub(super) over: bool,
}

/// Why a block is not given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    /// Too many wait to be taken.
    First,
    /// They still do.
    Still,
    /// They do once more.
    Again,
}

impl Stream {
    /// So many bytes are given, and so many of them are body.
    pub(super) fn new(given: u64, body: u64) -> Self {
        Self {
            given,
            taken: 0,
            head: given - body,
            blocks: VecDeque::new(),
            behind: false,
            warned: false,
            over: false,
        }
    }

    /// A block of so many bytes wants to be given.
    pub(super) fn push(&mut self, bytes: u64, lag_max: usize) -> Result<(), Behind> {
        if self.behind && !self.blocks.is_empty() {
            return Err(Behind::Still);
        }
        self.behind = self.blocks.len() >= lag_max;
        if self.behind {
            let again = core::mem::replace(&mut self.warned, true);
            return Err(if again { Behind::Again } else { Behind::First });
        }
        self.given += bytes;
        self.blocks.push_back(self.given);
        Ok(())
    }

    /// So many bytes are not taken; how many of body were since the last time.
    pub(super) fn taken(&mut self, left: u64) -> u64 {
        let taken = self.given.saturating_sub(left).max(self.taken);
        let body = taken.max(self.head) - self.taken.max(self.head);
        self.taken = taken;
        while self.blocks.front().is_some_and(|end| *end <= taken) {
            self.blocks.pop_front();
        }
        body
    }

    /// Whether it missed blocks and has taken all that it was given. Once each time.
    pub(super) fn has_caught_up(&mut self) -> bool {
        self.behind && self.is_empty() && core::mem::take(&mut self.behind)
    }

    /// Whether all that was given is taken.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.given
    }

    /// Whether nothing waited before the last block.
    pub(super) fn is_alone(&self) -> bool {
        self.blocks.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_misses_blocks_once_and_is_closed_the_next_time() {
        let mut stream = Stream::new(110, 10);
        let full = |stream: &mut Stream| {
            (0..3).for_each(|_| assert_eq!(stream.push(100, 3), Ok(())));
        };
        full(&mut stream);
        assert_eq!(stream.push(100, 3), Err(Behind::First));
        assert_eq!(stream.push(100, 3), Err(Behind::Still));
        // One block taken is not yet a clean start.
        stream.taken(stream.given - 210);
        assert_eq!((stream.push(100, 3), stream.has_caught_up()), (Err(Behind::Still), false));
        stream.taken(0);
        assert!(stream.is_empty());
        assert_eq!((stream.has_caught_up(), stream.has_caught_up()), (true, false));
        full(&mut stream);
        assert_eq!(stream.push(100, 3), Err(Behind::Again));
    }

    #[test]
    fn body_bytes_are_counted_once() {
        let mut stream = Stream::new(110, 10);
        assert_eq!((stream.taken(60), stream.taken(5), stream.taken(0)), (0, 5, 5));
        assert_eq!(stream.push(40, 1), Ok(()));
        assert!(stream.is_alone() && !stream.is_empty());
        assert_eq!((stream.taken(30), stream.taken(0), stream.taken(0)), (10, 30, 0));
    }
}

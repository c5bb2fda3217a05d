//! The receiving end of a transfer of ours: which bytes have come, which datagrams, and the ack
//! that says so. It is shown datagrams and says where their bytes belong; it keeps none of them.

use crate::base::limits;
use crate::files::ranges::Ranges;
use crate::files::wire::{Ack, DATA_HEAD};

/// Bytes of a datagram that are new, and where they belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Where in the file.
    pub offset: u64,
    /// Where in the datagram.
    pub at: usize,
    /// How many.
    pub len: usize,
}

/// The receiving end of one transfer.
#[derive(Debug)]
pub struct Receiver {
    token: u32,
    size: u64,
    from: u64,
    limit: u64,
    bytes: Ranges,
    numbers: Ranges,
    /// The highest number that an ack has told, and numbers that are missing below the highest.
    highest: Option<u64>,
    longest: usize,
    duplicates: u64,
    datagrams: u64,
    come: u64,
}

impl Receiver {
    /// One that wants a file of this size from this byte, up to a limit for now.
    #[must_use]
    pub fn new(token: u32, size: u64, from: u64, limit: u64) -> Self {
        Self {
            token,
            size,
            from,
            limit: limit.clamp(from, size),
            bytes: Ranges::default(),
            numbers: Ranges::default(),
            highest: None,
            longest: 0,
            duplicates: 0,
            datagrams: 0,
            come: 0,
        }
    }

    /// A datagram of this length with a number has brought bytes. None when they are not new, or
    /// not wanted; only what is wanted is acked.
    pub fn came(&mut self, number: u32, offset: u64, len: usize) -> Option<Placed> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.size)?;
        if offset < self.from || self.bytes.len() >= limits::FILES_HOLES_MAX {
            return None;
        }
        self.longest = self.longest.max(len + DATA_HEAD);
        self.datagrams += 1;
        let number = u64::from(number);
        self.numbers.insert(number, number + 1);
        self.numbers.keep_highest(limits::FILES_RUNS_MAX);
        self.highest = self.highest.max(Some(number));
        let new = self.bytes.insert(offset, end);
        self.come += new;
        if new == 0 {
            self.duplicates += 1;
            return None;
        }
        Some(Placed { offset, at: DATA_HEAD, len })
    }

    /// A probe of this length has come.
    pub fn probed(&mut self, len: usize) {
        self.longest = self.longest.max(len);
    }

    /// Wants bytes before this, too. Less than before changes nothing.
    pub fn widen(&mut self, limit: u64) {
        self.limit = self.limit.max(limit.min(self.size));
    }

    /// No byte at or behind this is wanted yet.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// All bytes before this are there.
    #[must_use]
    pub fn contiguous(&self) -> u64 {
        self.bytes.end_from(self.from)
    }

    /// Whether every byte is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.contiguous() >= self.size
    }

    /// Whether what is wanted so far is there.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.contiguous() >= self.limit
    }

    /// The ack of all that has come; a short one only of the latest.
    #[must_use]
    pub fn ack(&self, short: bool) -> Ack {
        let most = if short { limits::FILES_SHORT_ACK_MAX } else { limits::FILES_ACK_RANGES_MAX };
        let runs = self.numbers.down().take(most);
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ack {
            token: self.token,
            limit: self.limit,
            datagram: u16::try_from(self.longest).unwrap_or(u16::MAX),
            ranges: runs.map(|(a, b)| (number(a), number(b - 1))).collect(),
        }
    }

    /// Bytes of the file that have come, datagrams that brought some, and how many of these
    /// brought nothing new.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.come, self.datagrams, self.duplicates)
    }

    /// Datagrams that were sent, as far as can be told from their numbers.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.highest.map_or(0, |highest| highest + 1)
    }
}

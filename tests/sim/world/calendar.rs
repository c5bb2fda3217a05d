//! What is on its way between hosts, by windows of virtual time. No link is shorter than a window,
//! so the hosts of one window know nothing of each other: each handles all that it has in the
//! window before the next one does, which keeps its memory warm.

use std::collections::VecDeque;

use vidstreamd::base::port::{Conn, Gone};

/// The end of a connection: a host, which of its processes, and its name there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Far {
    pub host: u32,
    pub life: u32,
    pub conn: Conn,
}

/// Bytes of a block that follow a head: by name, never themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body {
    /// Which block they are of; none when nobody knows any more.
    pub seq: Option<u64>,
    /// Where in the block.
    pub from: u64,
    pub len: u64,
    /// Whether they are wrong.
    pub taint: bool,
}

/// Some of the bytes of a connection: of frames, then of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    pub head: Box<[u8]>,
    pub body: Option<Body>,
}

impl Chunk {
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.body.map_or(0, |body| body.len)
    }
}

/// What reaches a host.
#[derive(Debug)]
pub enum News {
    Incoming,
    Connected,
    /// Bytes; the sender is told when they have arrived (`true`).
    Bytes(Chunk, bool),
    Taken(u64),
    Ended,
    Closed(Gone),
}

impl News {
    /// What of it goes into the hash of the run.
    pub fn mark(&self) -> u64 {
        match self {
            Self::Incoming => 1,
            Self::Connected => 2,
            Self::Bytes(chunk, _) => 3 | chunk.len() << 8,
            Self::Taken(bytes) => 4 | bytes << 8,
            Self::Ended => 5,
            Self::Closed(_) => 6,
        }
    }
}

/// One thing on its way.
#[derive(Debug)]
pub struct Letter {
    pub at: u64,
    serial: u64,
    pub to: Far,
    pub from: Far,
    pub news: News,
}

/// What happens in one window.
#[derive(Debug, Default)]
pub struct Bucket {
    pub letters: Vec<Letter>,
    /// Hosts whose timers may be due.
    pub wakes: Vec<u32>,
}

/// All that is on its way.
#[derive(Debug)]
pub struct Calendar {
    /// Nanoseconds of a window; no link is shorter.
    pub window: u64,
    /// The window of the first bucket.
    first: u64,
    buckets: VecDeque<Bucket>,
    spare: Vec<Bucket>,
    serial: u64,
}

impl Calendar {
    pub fn new(window: u64) -> Self {
        Self { window, first: 0, buckets: VecDeque::new(), spare: Vec::new(), serial: 0 }
    }

    fn bucket(&mut self, at: u64) -> &mut Bucket {
        let index =
            usize::try_from((at / self.window).saturating_sub(self.first)).expect("a window");
        while self.buckets.len() <= index {
            let bucket = self.spare.pop().unwrap_or_default();
            self.buckets.push_back(bucket);
        }
        &mut self.buckets[index]
    }

    /// Sends something, to arrive at a moment that is not in a window already begun.
    pub fn post(&mut self, at: u64, (to, from): (Far, Far), news: News) {
        self.serial += 1;
        let letter = Letter { at, serial: self.serial, to, from, news };
        self.bucket(at).letters.push(letter);
    }

    /// Wakes a host.
    pub fn wake(&mut self, at: u64, host: u32) {
        self.bucket(at).wakes.push(host);
    }

    /// When the next window begins in which there is something.
    pub fn next(&self) -> Option<u64> {
        let full = |bucket: &Bucket| !bucket.letters.is_empty() || !bucket.wakes.is_empty();
        let index = self.buckets.iter().position(full)?;
        Some((self.first + index as u64) * self.window)
    }

    /// What happens in the window of this moment, host by host; what lay before is gone.
    pub fn open(&mut self, at: u64) -> Bucket {
        while self.first < at / self.window {
            self.first += 1;
            self.spare.extend(self.buckets.pop_front());
        }
        self.first += 1;
        let mut bucket = self.buckets.pop_front().unwrap_or_default();
        bucket.letters.sort_unstable_by_key(|letter| (letter.to.host, letter.at, letter.serial));
        bucket.wakes.sort_unstable();
        bucket.wakes.dedup();
        bucket
    }

    /// Takes the memory of a bucket back.
    pub fn give_back(&mut self, mut bucket: Bucket) {
        bucket.letters.clear();
        bucket.wakes.clear();
        self.spare.push(bucket);
    }
}

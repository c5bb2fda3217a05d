//! What is on its way between hosts, by windows of virtual time. No link is shorter than a window,
//! so the hosts of one window know nothing of each other: each handles all that it has in the
//! window before the next one does, which keeps its memory warm. A mere sign of life makes no host
//! do anything: it is handled before whatever happens there next, at its own moment.

use std::collections::VecDeque;

use vidstreamd::base::port::{Conn, Gone};
use vidstreamd::mesh::wire::BEAT_BYTES;

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

/// The kind of a beat, and where in it stands what is late.
const KIND_BEAT: u8 = 13;
const LATE: core::ops::Range<usize> = 16..18;

impl Chunk {
    /// Whether it is a beat that tells nothing but that its sender is there, and how far it is.
    pub fn is_sign_of_life(&self) -> bool {
        let frame = &self.head;
        let plain = self.body.is_none() && frame.len() == BEAT_BYTES && frame[3] == KIND_BEAT;
        plain && frame[LATE].iter().all(|byte| *byte == 0)
    }

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
    pub to: Far,
    pub from: Far,
    pub news: News,
}

/// What happens in one window.
#[derive(Debug, Default)]
pub struct Bucket {
    letters: Vec<Option<Letter>>,
    /// The order in which hosts handle them: the host, the moment, and which letter it is. To put
    /// these in order costs far less than the letters themselves.
    order: Vec<(u32, u64, u32)>,
    next: usize,
    woken: usize,
    /// Hosts whose timers may be due.
    wakes: Vec<u32>,
}

impl Bucket {
    /// The host whose turn it is, once all letters of the one before were taken.
    pub fn next_host(&mut self) -> Option<u32> {
        let mail = self.order.get(self.next).map(|(host, ..)| *host);
        let woken = self.wakes.get(self.woken).copied();
        let host = mail.into_iter().chain(woken).min()?;
        self.woken += usize::from(woken == Some(host));
        Some(host)
    }

    /// The next letter, if it is for this host.
    pub fn take(&mut self, host: u32) -> Option<Letter> {
        let (to, _, at) = *self.order.get(self.next)?;
        if to != host {
            return None;
        }
        self.next += 1;
        self.letters[at as usize].take()
    }

    fn push(&mut self, letter: Letter) {
        let place = u32::try_from(self.letters.len()).expect("a window has fewer letters");
        self.order.push((letter.to.host, letter.at, place));
        self.letters.push(Some(letter));
    }

    fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.wakes.is_empty()
    }
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
    /// By host: signs of life that wait for its next turn.
    waiting: Vec<Vec<Letter>>,
}

impl Calendar {
    pub fn new(window: u64) -> Self {
        let (buckets, spare, waiting) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { window, first: 0, buckets, spare, waiting }
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
        self.bucket(at).push(Letter { at, to, from, news });
    }

    /// Sends a sign of life to a host that has a process, and so turns of its own.
    pub fn post_beat(&mut self, at: u64, (to, from): (Far, Far), news: News) {
        let host = to.host as usize;
        if self.waiting.len() <= host {
            self.waiting.resize_with(host + 1, Vec::new);
        }
        self.waiting[host].push(Letter { at, to, from, news });
    }

    /// Adds the signs of life that a host has by a moment, in the order of sending; whether any.
    pub fn collect(&mut self, host: u32, by: u64, mail: &mut Vec<Letter>) -> bool {
        let Some(waiting) = self.waiting.get_mut(host as usize) else { return false };
        let before = mail.len();
        mail.extend(waiting.extract_if(.., |letter| letter.at < by));
        mail.len() > before
    }

    /// Wakes a host.
    pub fn wake(&mut self, at: u64, host: u32) {
        self.bucket(at).wakes.push(host);
    }

    /// When the next window begins in which there is something.
    pub fn next(&self) -> Option<u64> {
        let index = self.buckets.iter().position(|bucket| !bucket.is_empty())?;
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
        bucket.order.sort_unstable();
        bucket.wakes.sort_unstable();
        bucket.wakes.dedup();
        bucket
    }

    /// Takes the memory of a bucket back.
    pub fn give_back(&mut self, mut bucket: Bucket) {
        bucket.letters.clear();
        bucket.order.clear();
        bucket.wakes.clear();
        (bucket.next, bucket.woken) = (0, 0);
        self.spare.push(bucket);
    }
}

#[cfg(test)]
mod tests {
    use vidstreamd::mesh::wire::{Beat, Message, NodeId, Path, Stripes};

    use super::Chunk;

    #[test]
    fn only_what_makes_nobody_do_anything_waits() {
        let beat = |late, paths| Message::Beat(Beat { newest: u64::MAX, late, paths });
        let path = Path { stripes: Stripes::one(0), nodes: vec![NodeId(1)] };
        let cases = [
            (beat(Stripes::EMPTY, Vec::new()), true),
            (beat(Stripes::one(0), Vec::new()), false),
            (beat(Stripes::one(15), Vec::new()), false),
            (beat(Stripes::EMPTY, vec![path]), false),
            (Message::Leaving, false),
        ];
        for (message, waits) in cases {
            let chunk = Chunk { head: message.emit().into(), body: None };
            assert_eq!(chunk.is_sign_of_life(), waits, "{message:?}");
        }
    }
}

//! What is on its way between hosts, by windows of virtual time. No link is shorter than a window,
//! so the hosts of one window know nothing of each other: each handles all that it has in the
//! window before the next one does, which keeps its memory warm. A mere sign of life makes no host
//! do anything, nor does a stripe that it sends to nobody: such is handled before whatever happens
//! there next, at its own moment.

use std::collections::VecDeque;

use vidstreamd::base::arena::Key;
use vidstreamd::base::port::{Conn, Gone};
use vidstreamd::mesh::wire::{BEAT_BYTES, Stripes};

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
const KIND_BLOCK: u8 = 10;
const LATE: core::ops::Range<usize> = 16..18;

impl Chunk {
    /// Whether it is a beat that tells nothing but that its sender is there, and how far it is.
    pub fn sign_of_life(&self) -> Option<Sign> {
        let frame = <&Sign>::try_from(&*self.head).ok().filter(|_| self.body.is_none())?;
        let plain = frame[3] == KIND_BEAT && frame[LATE].iter().all(|byte| *byte == 0);
        plain.then_some(*frame)
    }

    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.body.map_or(0, |body| body.len)
    }
}

/// The frame of a plain beat.
pub type Sign = [u8; BEAT_BYTES];

/// What reaches a host.
#[derive(Debug)]
pub enum News {
    Incoming,
    Connected,
    /// Bytes; the sender is told when they have arrived (`true`).
    Bytes(Chunk, bool),
    /// A plain beat.
    Sign(Sign),
    Taken(u64),
    Ended,
    Closed(Gone),
}

impl News {
    /// The stripe of which these are right bytes, if their sender is told nothing of them.
    fn stripe(&self) -> Option<usize> {
        let Self::Bytes(chunk, false) = self else { return None };
        let right = chunk.body.is_some_and(|body| !body.taint && body.seq.is_some());
        let block = right && chunk.head.get(3) == Some(&KIND_BLOCK);
        chunk.head.get(16).filter(|_| block).map(|stripe| usize::from(*stripe))
    }

    /// What of it goes into the hash of the run.
    pub fn mark(&self) -> u64 {
        match self {
            Self::Incoming => 1,
            Self::Connected => 2,
            Self::Bytes(chunk, _) => 3 | chunk.len() << 8,
            Self::Sign(frame) => 3 | (frame.len() as u64) << 8,
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

/// What arrives in one window.
#[derive(Debug, Default)]
struct Mail {
    letters: Vec<Option<Letter>>,
    /// The order in which hosts handle them: the host, the moment, and which letter it is. To put
    /// these in order costs far less than the letters themselves.
    order: Vec<(u32, u64, u32)>,
}

impl Mail {
    fn push(&mut self, letter: Letter) {
        let place = u32::try_from(self.letters.len()).expect("a window has fewer letters");
        self.order.push((letter.to.host, letter.at, place));
        self.letters.push(Some(letter));
    }
}

/// What happens in one window.
#[derive(Debug, Default)]
pub struct Bucket {
    mail: Mail,
    next: usize,
    /// Hosts whose timers may be due.
    wakes: Vec<u32>,
    woken: usize,
}

impl Bucket {
    /// The host whose turn it is, once all letters of the one before were taken, and whether its
    /// timers may be due.
    pub fn next_host(&mut self) -> Option<(u32, bool)> {
        let mail = self.mail.order.get(self.next).map(|(host, ..)| *host);
        let woken = self.wakes.get(self.woken).copied();
        let host = mail.into_iter().chain(woken).min()?;
        let woken = woken == Some(host);
        self.woken += usize::from(woken);
        Some((host, woken))
    }

    /// Whether all letters for a host are right bytes of some stripes.
    pub fn all_of_stripes(&self, host: u32, stripes: Stripes) -> bool {
        let mut own = self.mail.order[self.next..].iter().take_while(|(to, ..)| *to == host);
        !stripes.is_empty()
            && own.all(|(.., at)| {
                let letter = self.mail.letters[*at as usize].as_ref();
                letter.and_then(|letter| letter.news.stripe()).is_some_and(|s| stripes.has(s))
            })
    }

    /// The next letter, if it is for this host.
    pub fn take(&mut self, host: u32) -> Option<Letter> {
        let (to, _, at) = *self.mail.order.get(self.next)?;
        if to != host {
            return None;
        }
        self.next += 1;
        self.mail.letters[at as usize].take()
    }
}

/// A sign of life on its way.
#[derive(Clone, Copy, Debug)]
struct SignOnWay {
    at: u64,
    to: Far,
    from: Far,
    sign: Sign,
}

/// What a host handles in its next turn. Most of it are signs of life, which need so little room
/// that each is in one line of the cache.
#[derive(Debug, Default)]
struct Waiting {
    signs: Vec<SignOnWay>,
    letters: Vec<Letter>,
}

/// More signs of life than most hosts ever have waiting.
const SIGNS_USUAL: usize = 24;

/// All that is on its way. Letters are not long on theirs, and wakes lie further ahead: each kind
/// has its own windows, so that the memory of a few is used again and again and stays in the cache.
#[derive(Debug)]
pub struct Calendar {
    /// Nanoseconds of a window; no link is shorter.
    pub window: u64,
    /// The first window.
    first: u64,
    mail: VecDeque<Mail>,
    wakes: VecDeque<Vec<u32>>,
    spare_mail: Vec<Mail>,
    spare_wakes: Vec<Vec<u32>>,
    /// By host: what waits for its next turn.
    waiting: Vec<Waiting>,
    blank: SignOnWay,
}

fn slot<T: Default>(ring: &mut VecDeque<T>, index: usize) -> &mut T {
    if ring.len() <= index {
        ring.resize_with(index + 1, T::default);
    }
    &mut ring[index]
}

impl Calendar {
    pub fn new(window: u64) -> Self {
        let nowhere = Far { host: 0, life: 0, conn: Conn(Key::from_bits(0)) };
        let sign = [0; BEAT_BYTES];
        Self {
            blank: SignOnWay { at: 0, to: nowhere, from: nowhere, sign },
            window,
            first: 0,
            mail: VecDeque::new(),
            wakes: VecDeque::new(),
            spare_mail: Vec::new(),
            spare_wakes: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// How many windows ahead a moment is.
    fn ahead(&self, at: u64) -> usize {
        usize::try_from((at / self.window).saturating_sub(self.first)).expect("a window")
    }

    /// Sends something, to arrive at a moment that is not in a window already begun.
    pub fn post(&mut self, at: u64, (to, from): (Far, Far), news: News) {
        let ahead = self.ahead(at);
        let mail = slot(&mut self.mail, ahead);
        if mail.letters.capacity() == 0 {
            *mail = self.spare_mail.pop().unwrap_or_default();
        }
        mail.push(Letter { at, to, from, news });
    }

    /// Sends a sign of life to a host that has a process, and so turns of its own.
    pub fn post_sign(&mut self, at: u64, (to, from): (Far, Far), sign: Sign) {
        // Written where it stays: what is put together first and then moved waits, at the move, for
        // all memory that was written before, and that is cold.
        let blank = self.blank;
        let signs = &mut self.waiting(to.host).signs;
        signs.push(blank);
        if let Some(last) = signs.last_mut() {
            (last.at, last.to, last.from) = (at, to, from);
            last.sign = sign;
        }
    }

    fn waiting(&mut self, host: u32) -> &mut Waiting {
        let host = host as usize;
        if self.waiting.len() <= host {
            self.waiting.resize_with(host + 1, Waiting::default);
        }
        &mut self.waiting[host]
    }

    /// Room for what a new host has waiting, in memory of its own.
    pub fn make_room(&mut self, host: u32) {
        let waiting = self.waiting(host);
        waiting.signs = Vec::with_capacity(SIGNS_USUAL);
        waiting.letters = Vec::with_capacity(4);
    }

    /// Keeps letters of a host for its next turn.
    pub fn wait(&mut self, host: u32, letters: impl Iterator<Item = Letter>) {
        self.waiting(host).letters.extend(letters);
    }

    /// Adds what waits for a host and reaches it before a moment; whether there is any.
    pub fn collect(&mut self, host: u32, by: u64, mail: &mut Vec<Letter>) -> bool {
        let Some(waiting) = self.waiting.get_mut(host as usize) else { return false };
        let before = mail.len();
        let due = waiting.signs.extract_if(.., |sign| sign.at < by);
        mail.extend(due.map(|SignOnWay { at, to, from, sign }| {
            let news = News::Sign(sign);
            Letter { at, to, from, news }
        }));
        mail.append(&mut waiting.letters);
        mail.len() > before
    }

    /// Wakes a host.
    pub fn wake(&mut self, at: u64, host: u32) {
        let ahead = self.ahead(at);
        let wakes = slot(&mut self.wakes, ahead);
        if wakes.capacity() == 0 {
            *wakes = self.spare_wakes.pop().unwrap_or_default();
        }
        wakes.push(host);
    }

    /// When the next window begins in which there is something.
    pub fn next(&self) -> Option<u64> {
        let mail = self.mail.iter().position(|mail| !mail.letters.is_empty());
        let wakes = self.wakes.iter().position(|wakes| !wakes.is_empty());
        let index = mail.into_iter().chain(wakes).min()?;
        Some((self.first + index as u64) * self.window)
    }

    /// What happens in the window of this moment, host by host; what lay before is gone.
    pub fn open(&mut self, at: u64) -> Bucket {
        let gone = self.ahead(at);
        self.mail.drain(..gone.min(self.mail.len()));
        self.wakes.drain(..gone.min(self.wakes.len()));
        self.first += gone as u64 + 1;
        let mut mail = self.mail.pop_front().unwrap_or_default();
        let mut wakes = self.wakes.pop_front().unwrap_or_default();
        mail.order.sort_unstable();
        wakes.sort_unstable();
        wakes.dedup();
        Bucket { mail, wakes, ..Bucket::default() }
    }

    /// Takes the memory of a bucket back.
    pub fn give_back(&mut self, Bucket { mut mail, mut wakes, .. }: Bucket) {
        if mail.letters.capacity() > 0 {
            mail.letters.clear();
            mail.order.clear();
            self.spare_mail.push(mail);
        }
        if wakes.capacity() > 0 {
            wakes.clear();
            self.spare_wakes.push(wakes);
        }
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
            assert_eq!(chunk.sign_of_life().is_some(), waits, "{message:?}");
        }
    }
}

//! The sending end of a transfer, for both wires: what goes next, when, and what goes again. It is
//! told of acks and asked for trains of datagrams; bytes of the file it never sees.
//!
//! On the original's wire a piece is named by its fragment's number, on ours by its offset in the
//! file; everything else is the same for both.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::base::limits;
use crate::base::port::Train;
use crate::base::time::Mono;
use crate::files::flight::{Flight, Piece, Settled};
use crate::files::ranges::Ranges;
use crate::files::rate::{Rate, over};
use crate::files::rtt::Rtt;
use crate::files::wire::{self, Ack, DATA_HEAD, HEAD, Head, kind};

/// Lengths of datagrams that are tried, beside the shortest: Ethernet's with IPv6 and IPv4, then
/// those of networks that take more.
const LADDER: [usize; 7] = [1452, 1472, 2000, 4400, 8952, 8972, limits::FILES_DATAGRAM_MAX];

/// How pieces are named and headed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// As the original: fragments of batches.
    Plain,
    /// As ours: bytes from any offset, in datagrams as long as the path takes.
    Ours,
}

/// Figures of one transfer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Of these, sent again.
    pub again: u64,
    /// Found to be lost.
    pub lost: u64,
    /// Found to be lost, and came after all.
    pub late: u64,
    /// Bytes of the file that were acked.
    pub acked: u64,
    /// The smoothed round trip.
    pub rtt: Duration,
    /// Bytes a second that come through.
    pub bandwidth: u64,
    /// Bytes in a datagram.
    pub datagram: usize,
}

/// Which longer datagrams come through.
#[derive(Debug)]
struct Ladder {
    step: usize,
    most: usize,
    tried: u8,
    sent_at: Option<Mono>,
}

/// The sending end of one transfer.
#[derive(Debug)]
pub struct Sender {
    layout: Layout,
    size: u64,
    /// The first piece, the next new one, and the end, in the layout's names.
    first: u64,
    next: u64,
    end: u64,
    /// On the original's wire: fragments behind the first that is not acked.
    ahead: u64,
    /// What is not wanted yet begins here.
    limit: u64,
    come: Ranges,
    /// What was lost and is to be sent again: name and bytes.
    again: BTreeMap<u64, u32>,
    /// On the original's wire: the datagram that carried a fragment last, and whether it was the
    /// only one.
    carriers: BTreeMap<u32, (u32, bool)>,
    flight: Flight,
    rtt: Rtt,
    rate: Rate,
    datagram: usize,
    ladder: Ladder,
    /// Bytes that may go now, reckoned then.
    allowance: (u64, Mono),
    /// Datagrams that go whatever pace and window say.
    urgent: u8,
    /// Timeouts in a row.
    backoff: u32,
    /// When something was sent or acked last.
    moved: Mono,
    /// Until so much is acked, rates tell what was wanted and not what the path takes.
    limited_until: u64,
    sent: u64,
    sent_again: u64,
}

impl Sender {
    /// Sends a file of this size on the original's wire: the first fragment, and when that is
    /// acked so many bytes behind the first one that is not. A seed, and the highest rate.
    #[must_use]
    pub fn plain(now: Mono, size: u64, buffer: u64, pace: (u8, u64)) -> Self {
        let ahead = (buffer / wire::FRAGMENT as u64).max(1);
        Self { ahead, ..Self::new(now, (Layout::Plain, size), (0, fragments(size)), pace) }
    }

    /// Sends a file of this size on our wire, from any byte. A seed, and the highest rate.
    #[must_use]
    pub fn ours(now: Mono, size: u64, from: u64, pace: (u8, u64)) -> Self {
        Self::new(now, (Layout::Ours, size), (from, size), pace)
    }

    fn new(
        now: Mono,
        (layout, size): (Layout, u64),
        (first, end): (u64, u64),
        (seed, rate_max): (u8, u64),
    ) -> Self {
        let datagram = match layout {
            Layout::Plain => HEAD + wire::FRAGMENT,
            Layout::Ours => limits::FILES_DATAGRAM_MIN,
        };
        let mut rate = Rate::new(now, seed, rate_max);
        rate.set_datagram(datagram);
        Self {
            layout,
            size,
            first,
            next: first,
            end,
            ahead: 0,
            limit: match layout {
                Layout::Plain => end.min(1),
                Layout::Ours => first,
            },
            come: Ranges::default(),
            again: BTreeMap::new(),
            carriers: BTreeMap::new(),
            flight: Flight::default(),
            rtt: Rtt::default(),
            rate,
            datagram,
            ladder: Ladder { step: 0, most: 0, tried: 0, sent_at: None },
            allowance: (0, now),
            urgent: 0,
            backoff: 0,
            moved: now,
            limited_until: 0,
            sent: 0,
            sent_again: 0,
        }
    }

    /// A round trip was measured by other means.
    pub fn measured(&mut self, now: Mono, rtt: Duration) {
        self.rtt.measured(rtt);
        let sample = crate::files::rate::Sample { rtt: Some(rtt), ..Default::default() };
        self.rate.acked(now, &sample);
        self.moved = now;
    }

    /// Everything before this name is wanted. Less than before changes nothing.
    pub fn widen(&mut self, limit: u64) {
        self.limit = self.limit.max(limit.min(self.end));
    }

    /// Datagrams up to this length may be tried.
    pub fn allow(&mut self, datagram: usize) {
        self.ladder.most = datagram.min(limits::FILES_DATAGRAM_MAX);
    }

    /// Never faster than this, in bytes a second.
    pub fn set_max(&mut self, rate_max: u64) {
        self.rate.set_max(rate_max);
    }

    /// The next number on the original's wire, behind the last fragment.
    #[must_use]
    pub fn end_number(&self) -> u32 {
        u32::try_from(self.end).unwrap_or(u32::MAX)
    }

    /// Whether everything is acked.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.come.contains(self.first, self.end)
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.flight.bytes() == 0
    }

    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            datagrams: self.sent,
            again: self.sent_again,
            lost: self.flight.lost,
            late: self.flight.late,
            acked: self.flight.delivered(),
            rtt: self.rtt.smoothed(),
            bandwidth: self.rate.bandwidth(),
            datagram: self.datagram,
        }
    }

    /// The controller, for the curious.
    #[must_use]
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// The timers of round trips.
    #[must_use]
    pub fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// An ack of our wire; `false` when it names what was never sent.
    pub fn acked(&mut self, now: Mono, ack: &Ack) -> bool {
        let next = self.flight.next_number();
        if ack.ranges.first().is_some_and(|(_, last)| *last >= next) {
            return false;
        }
        self.widen(ack.limit);
        self.climb(usize::from(ack.datagram));
        let settled = self.flight.acked(now, &ack.ranges, &mut self.rtt);
        self.settle(now, &settled);
        true
    }

    /// An ack of the original's wire; `false` when it names what was never sent.
    pub fn acked_plain(&mut self, now: Mono, seq: u32) -> bool {
        if u64::from(seq) >= self.next {
            return false;
        }
        let Some((number, once)) = self.carriers.remove(&seq) else { return true };
        let mut unsure = self.rtt;
        // Of a fragment that was sent twice nobody knows which one is acked (Karn).
        let rtt = if once { &mut self.rtt } else { &mut unsure };
        let mut settled = self.flight.acked(now, &[(number, number)], rtt);
        if !once {
            (settled.sample.rtt, settled.sample.rate) = (None, None);
        }
        // Its carrier may be forgotten, when it came very late.
        let len = wire::fragment(seq, self.size).map_or(0, |f| f.len);
        settled.come.push(Piece { from: seq.into(), len });
        self.settle(now, &settled);
        self.widen(self.come.end_from(self.first) + self.ahead);
        true
    }

    fn settle(&mut self, now: Mono, settled: &Settled) {
        for piece in settled.come.iter().chain(&settled.late) {
            let (from, to) = self.span(*piece);
            self.come.insert(from, to);
            self.again.remove(&piece.from);
        }
        for piece in &settled.lost {
            self.lost(*piece);
        }
        if settled.sample.acked > 0 {
            self.moved = now;
            self.backoff = 0;
        }
        if settled.sample.acked + settled.sample.lost > 0 {
            self.rate.acked(now, &settled.sample);
        }
    }

    fn lost(&mut self, piece: Piece) {
        let (from, to) = self.span(piece);
        if !self.come.contains(from, to) {
            self.again.insert(piece.from, piece.len);
        }
    }

    fn span(&self, piece: Piece) -> (u64, u64) {
        match self.layout {
            Layout::Plain => (piece.from, piece.from + 1),
            Layout::Ours => (piece.from, piece.from + u64::from(piece.len)),
        }
    }

    fn payload(&self) -> u32 {
        u32::try_from(self.datagram - DATA_HEAD).expect("datagrams are short")
    }

    /// The next piece that is wanted, and whether it was sent before.
    fn wanted(&self) -> Option<(Piece, bool)> {
        if let Some((from, len)) = self.again.first_key_value() {
            let len = match self.layout {
                Layout::Plain => *len,
                Layout::Ours => (*len).min(self.payload()),
            };
            return Some((Piece { from: *from, len }, true));
        }
        let room = self.limit.checked_sub(self.next).filter(|room| *room > 0)?;
        let len = match self.layout {
            Layout::Plain => wire::fragment(u32::try_from(self.next).ok()?, self.size)?.len,
            Layout::Ours => {
                let len = self.payload().min(u32::try_from(room).unwrap_or(u32::MAX));
                // What the window cuts short waits for more of it, but for the end of the file.
                if len < self.payload() && self.limit < self.end && !self.is_quiet() {
                    return None;
                }
                len
            }
        };
        Some((Piece { from: self.next, len }, false))
    }

    fn take(&mut self, piece: Piece, again: bool) {
        if again {
            let len = self.again.remove(&piece.from).unwrap_or(piece.len);
            if len > piece.len {
                self.again.insert(piece.from + u64::from(piece.len), len - piece.len);
            }
            self.sent_again += 1;
        } else {
            self.next = self.span(piece).1;
        }
        self.sent += 1;
    }

    /// The next train of datagrams, while pace and window allow one.
    pub fn poll_train(&mut self, now: Mono) -> Option<Train> {
        self.accrue(now);
        let mut train = Train::default();
        let mut bytes = 0;
        while let Some((piece, again)) = self.wanted() {
            let len = u64::from(piece.len);
            let full = train.bodies.len() >= limits::FILES_TRAIN_MAX
                || bytes + len + DATA_HEAD as u64 > limits::FILES_TRAIN_BYTES_MAX;
            // All but the last are of one length: that is what the kernel cuts.
            let longer = train.bodies.first().is_some_and(|(_, first)| piece.len > *first);
            let closed = train.bodies.last().map(|l| l.1) != train.bodies.first().map(|f| f.1);
            if full || longer || closed || !self.may_send(len) {
                break;
            }
            bytes += len + DATA_HEAD as u64;
            self.take(piece, again);
            self.put(now, &mut train, piece);
        }
        if self.wanted().is_none() {
            self.limited_until = self.flight.delivered() + self.flight.bytes().max(1);
        }
        (!train.bodies.is_empty()).then_some(train)
    }

    fn may_send(&self, len: u64) -> bool {
        let room = self.flight.has_room();
        let window = self.flight.bytes() + len <= self.window();
        room && (self.urgent > 0 || (window && self.allowance.0 >= len))
    }

    fn window(&self) -> u64 {
        match self.layout {
            Layout::Plain => {
                let most = limits::FILES_PLAIN_DATAGRAMS_MAX * wire::FRAGMENT as u64;
                self.rate.window().min(most)
            }
            Layout::Ours => self.rate.window(),
        }
    }

    fn put(&mut self, now: Mono, train: &mut Train, piece: Piece) {
        let limited = self.flight.delivered() < self.limited_until;
        let number = self.flight.sent(now, piece, limited);
        match self.layout {
            Layout::Ours => {
                train.heads.extend(wire::data_head(number, piece.from));
                train.bodies.push((piece.from, piece.len));
            }
            Layout::Plain => {
                let seq = u32::try_from(piece.from).expect("fragments have 32 bits");
                let part = wire::fragment(seq, self.size).expect("it is in the file");
                let kind = if seq == 0 { kind::FIRST } else { kind::DATA };
                train.heads.extend(Head { seq, window: part.window, kind }.bytes());
                train.bodies.push((part.from, part.len));
                let once = !self.carriers.contains_key(&seq);
                self.carriers.insert(seq, (number, once));
            }
        }
        self.allowance.0 = self.allowance.0.saturating_sub(piece.len.into());
        self.urgent = self.urgent.saturating_sub(1);
        self.moved = now;
    }

    /// Time makes room; not for more than a few milliseconds of it.
    fn accrue(&mut self, now: Mono) {
        let (allowance, at) = self.allowance;
        let pace = self.rate.pace();
        let most = over(pace, limits::FILES_BURST_MAX).max(2 * self.datagram as u64);
        let more = over(pace, now.since(at));
        if more > 0 {
            self.allowance = ((allowance + more).min(most), now);
        }
    }

    /// When [`Sender::timeout`] or [`Sender::poll_train`] has something to do by itself.
    #[must_use]
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let send = self.wanted().filter(|(piece, _)| {
            let len = u64::from(piece.len);
            self.flight.has_room() && self.flight.bytes() + len <= self.window()
        });
        let send = send.map(|(piece, _)| {
            let burst = over(self.rate.pace(), limits::FILES_QUANTUM).max(piece.len.into());
            let missing = burst.saturating_sub(self.allowance.0);
            self.allowance.1.after(time_of(missing, self.rate.pace()))
        });
        let again = (!self.is_quiet()).then(|| self.resend_at());
        let probe = self.probe_at(now);
        [send, self.flight.lost_at(&self.rtt), again, probe].into_iter().flatten().min()
    }

    fn resend_at(&self) -> Mono {
        let wait = self.rtt.timeout() * 2_u32.pow(self.backoff.min(limits::FILES_BACKOFF_MAX));
        let most = limits::FILES_RESEND_MAX.max(self.rtt.smoothed() * 2);
        self.moved.after(wait.min(most))
    }

    /// Time has passed: what is lost is found, and what nobody acks goes again.
    pub fn timeout(&mut self, now: Mono) {
        let settled = self.flight.look(now, &self.rtt);
        self.settle(now, &settled);
        if self.is_quiet() || now < self.resend_at() {
            return;
        }
        self.backoff += 1;
        self.moved = now;
        if self.backoff == 1 {
            // Perhaps only the last ones of all are lost: one of them brings an ack of the others.
            if let Some(piece) = self.flight.oldest().and_then(|(n, _)| self.flight.piece(n)) {
                self.lost(piece);
            }
        } else {
            for piece in self.flight.give_up() {
                self.lost(piece);
            }
            if self.backoff > 2 && self.layout == Layout::Ours {
                // Perhaps the path takes no such long ones any more.
                self.set_datagram(limits::FILES_DATAGRAM_MIN);
                self.ladder.step = LADDER.len();
            }
        }
        self.urgent = 1;
    }

    fn set_datagram(&mut self, bytes: usize) {
        self.datagram = bytes;
        self.rate.set_datagram(bytes);
    }
}

// Longer datagrams.
impl Sender {
    fn next_step(&self) -> Option<usize> {
        let step = LADDER.get(self.ladder.step).copied();
        step.filter(|bytes| *bytes <= self.ladder.most && self.rtt.is_known())
    }

    fn probe_at(&self, now: Mono) -> Option<Mono> {
        self.next_step()?;
        Some(self.ladder.sent_at.map_or(now, |at| at.after(self.rtt.timeout())))
    }

    /// The length of a probe that is due.
    pub fn poll_probe(&mut self, now: Mono) -> Option<usize> {
        if self.probe_at(now)? > now {
            return None;
        }
        self.ladder.tried += 1;
        if self.ladder.tried > limits::FILES_PROBES_MAX {
            self.ladder.step = LADDER.len();
            return None;
        }
        self.ladder.sent_at = Some(now);
        self.next_step()
    }

    /// Datagrams of this length have come.
    fn climb(&mut self, came: usize) {
        while let Some(bytes) = self.next_step().filter(|bytes| came >= *bytes) {
            self.set_datagram(bytes);
            self.ladder.step += 1;
            (self.ladder.tried, self.ladder.sent_at) = (0, None);
        }
    }

    /// Holds the books against each other.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self) {
        self.flight.check_invariants();
        assert!(self.next >= self.first && self.next <= self.end, "inside the file");
        assert!(self.again.keys().all(|name| *name < self.next), "only what was sent goes again");
    }
}

/// How long a rate takes for so many bytes.
fn time_of(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Fragments of a file of this size on the original's wire.
fn fragments(size: u64) -> u64 {
    let first = u64::from(wire::BATCH_FRAGMENTS - 1) * wire::FRAGMENT as u64 + wire::FIRST;
    let Some(rest) = size.checked_sub(first) else {
        let first = u64::from(size > 0);
        return first + size.saturating_sub(wire::FIRST).div_ceil(wire::FRAGMENT as u64);
    };
    let (whole, left) = (rest / wire::BATCH, rest % wire::BATCH);
    u64::from(wire::BATCH_FRAGMENTS) * (whole + 1) + left.div_ceil(wire::FRAGMENT as u64)
}

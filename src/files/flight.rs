//! Datagrams that are under way: which were sent when, which of them have come, which are lost,
//! and what that says of the path. It decides nothing about what is sent next.
//!
//! A datagram's number is used once, so that an ack always says which of several sendings came
//! through. Lost is what a later one has overtaken: by three numbers, or, once late ones were seen
//! to come after all, by a part of a round trip (RACK, RFC 8985).

use core::time::Duration;
use std::collections::VecDeque;

use crate::base::limits;
use crate::base::time::Mono;
use crate::files::rate::{Sample, per_second};
use crate::files::rtt::Rtt;

/// What a datagram carried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Piece {
    /// Where in the file.
    pub(super) from: u64,
    /// How many bytes.
    pub(super) len: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Out,
    Come,
    Lost,
}

/// A datagram that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    piece: Piece,
    fate: Fate,
    limited: bool,
    at: Mono,
    /// Bytes acked in all then, and since when: what a rate is reckoned from.
    delivered: u64,
    delivered_at: Mono,
    first_at: Mono,
}

/// The datagrams of one transfer.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The number of the first of `sent`.
    base: u32,
    sent: VecDeque<Sent>,
    bytes: u64,
    delivered: u64,
    delivered_at: Mono,
    first_at: Mono,
    /// When the latest sent of those that came was sent, and its number.
    newest: Option<(Mono, u32)>,
    /// Sixteenths of a round trip that a late one is waited for; none while nothing came late.
    patience: u32,
    /// All below have come or are lost.
    settled: u32,
    pub(super) lost: u64,
    pub(super) late: u64,
}

/// What an ack did.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) sample: Sample,
    /// What is to be sent again.
    pub(super) lost: Vec<Piece>,
    /// What was thought lost and has come.
    pub(super) late: Vec<Piece>,
    /// What has come for the first time.
    pub(super) come: Vec<Piece>,
}

impl Flight {
    /// Bytes under way.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that have come.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The number that the next datagram gets.
    pub(super) fn next_number(&self) -> u32 {
        self.base.wrapping_add(u32::try_from(self.sent.len()).unwrap_or(u32::MAX))
    }

    /// Whether there is room to remember another.
    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < limits::FILES_IN_FLIGHT_MAX && self.next_number() < u32::MAX
    }

    /// A datagram is sent; `limited`: more might have been.
    pub(super) fn sent(&mut self, now: Mono, piece: Piece, limited: bool) -> u32 {
        if self.bytes == 0 {
            (self.first_at, self.delivered_at) = (now, now);
        }
        let number = self.next_number();
        self.bytes += u64::from(piece.len);
        self.sent.push_back(Sent {
            piece,
            fate: Fate::Out,
            limited,
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_at: self.first_at,
        });
        number
    }

    /// The oldest that is under way: its number, and when it was sent.
    pub(super) fn oldest(&self) -> Option<(u32, Mono)> {
        let from = (self.settled - self.base) as usize;
        let mut out = self.sent.iter().enumerate().skip(from);
        let (index, sent) = out.find(|(_, s)| s.fate == Fate::Out)?;
        Some((self.base + u32::try_from(index).ok()?, sent.at))
    }

    /// What a datagram carried, while it is remembered.
    pub(super) fn piece(&self, number: u32) -> Option<Piece> {
        let index = number.checked_sub(self.base)?;
        self.sent.get(index as usize).map(|sent| sent.piece)
    }

    /// Takes in an ack: runs of numbers, first and last of each. Numbers that were never sent are
    /// the caller's to refuse ([`Flight::next_number`]).
    pub(super) fn acked(&mut self, now: Mono, ranges: &[(u32, u32)], rtt: &mut Rtt) -> Settled {
        let mut settled = Settled::default();
        let mut newest: Option<(u32, Sent)> = None;
        for (first, last) in ranges {
            let from = (*first).max(self.base);
            for number in from..=(*last).max(from).min(self.next_number().wrapping_sub(1)) {
                if *last < from {
                    break;
                }
                self.come(now, number, &mut settled, &mut newest);
            }
        }
        if let Some((number, sent)) = newest {
            self.measure(now, (number, sent), rtt, &mut settled.sample);
        }
        self.overtaken(now, rtt, &mut settled);
        self.forget(now, rtt);
        settled.sample.in_flight = self.bytes;
        settled.sample.delivered = self.delivered;
        settled
    }

    fn come(
        &mut self,
        now: Mono,
        number: u32,
        settled: &mut Settled,
        newest: &mut Option<(u32, Sent)>,
    ) {
        let Some(sent) = self.sent.get_mut((number - self.base) as usize) else { return };
        let fate = std::mem::replace(&mut sent.fate, Fate::Come);
        let (piece, len) = (sent.piece, u64::from(sent.piece.len));
        match fate {
            Fate::Come => return,
            Fate::Out => self.bytes -= len,
            Fate::Lost => {
                self.late += 1;
                self.patience = (self.patience + 2).clamp(4, 16);
                settled.late.push(piece);
            }
        }
        if newest.is_none_or(|(known, _)| number > known) {
            *newest = Some((number, *sent));
        }
        settled.come.push(piece);
        settled.sample.acked += len;
        self.delivered += len;
        self.delivered_at = now;
    }

    /// Round trip and rate, from the newest that came.
    fn measure(&mut self, now: Mono, newest: (u32, Sent), rtt: &mut Rtt, sample: &mut Sample) {
        let (number, sent) = newest;
        if self.newest.is_none_or(|(_, known)| number > known) {
            self.newest = Some((sent.at, number));
            let took = now.since(sent.at);
            rtt.measured(took);
            sample.rtt = Some(took);
        }
        let sending = sent.at.since(sent.first_at);
        let coming = now.since(sent.delivered_at);
        let interval = sending.max(coming);
        let delivered = self.delivered - sent.delivered;
        if !interval.is_zero() {
            sample.rate = Some(per_second(delivered, interval));
        }
        sample.limited = sent.limited;
        sample.delivered_before = sent.delivered;
        self.first_at = self.first_at.max(sent.at);
    }

    /// Finds those that later ones have overtaken.
    fn overtaken(&mut self, now: Mono, rtt: &Rtt, settled: &mut Settled) {
        let Some((newest_at, newest)) = self.newest else { return };
        let wait = self.wait(rtt);
        let mut index = (self.settled - self.base) as usize;
        let mut all = true;
        while let Some(sent) = self.sent.get_mut(index) {
            let number = self.base + u32::try_from(index).unwrap_or(u32::MAX);
            if number >= newest || sent.at > newest_at {
                break;
            }
            if sent.fate == Fate::Out {
                let by_number = self.patience == 0 && newest - number >= limits::FILES_OVERTAKEN;
                if by_number || now.since(sent.at) >= wait {
                    sent.fate = Fate::Lost;
                    self.bytes -= u64::from(sent.piece.len);
                    self.lost += 1;
                    settled.sample.lost += u64::from(sent.piece.len);
                    settled.lost.push(sent.piece);
                } else {
                    all = false;
                }
            }
            index += 1;
            if all {
                self.settled = number + 1;
            }
        }
    }

    /// How old an overtaken one is when it is lost.
    fn wait(&self, rtt: &Rtt) -> Duration {
        let trip = rtt.smoothed().max(rtt.latest());
        trip + trip * self.patience.max(2) / 16 + limits::FILES_TIMER_MIN
    }

    /// When the oldest that was overtaken is lost, if one was.
    pub(super) fn lost_at(&self, rtt: &Rtt) -> Option<Mono> {
        let (_, newest) = self.newest?;
        let (number, at) = self.oldest()?;
        (number < newest).then(|| at.after(self.wait(rtt)))
    }

    /// Everything under way is lost: nothing came for too long.
    pub(super) fn give_up(&mut self) -> Vec<Piece> {
        let mut lost = Vec::new();
        for sent in self.sent.iter_mut().filter(|s| s.fate == Fate::Out) {
            sent.fate = Fate::Lost;
            self.lost += 1;
            lost.push(sent.piece);
        }
        self.bytes = 0;
        self.settled = self.next_number();
        lost
    }

    /// Looks for lost ones without an ack.
    pub(super) fn look(&mut self, now: Mono, rtt: &Rtt) -> Settled {
        let mut settled = Settled::default();
        self.overtaken(now, rtt, &mut settled);
        settled.sample.in_flight = self.bytes;
        settled.sample.delivered = self.delivered;
        settled
    }

    /// Drops what nothing can be learnt of any more. A lost one is kept for a while: if it comes
    /// after all, the next ones are waited for longer.
    fn forget(&mut self, now: Mono, rtt: &Rtt) {
        let keep = rtt.smoothed() * 3;
        let full = self.sent.len() > limits::FILES_IN_FLIGHT_MAX * 3 / 4;
        while let Some(sent) = self.sent.front() {
            let over = match sent.fate {
                Fate::Out => false,
                Fate::Come => true,
                Fate::Lost => full || now.since(sent.at) > keep,
            };
            if !over {
                break;
            }
            self.sent.pop_front();
            self.base += 1;
        }
        self.settled = self.settled.max(self.base);
    }

    /// Holds the books against each other.
    pub(super) fn check_invariants(&self) {
        assert!(self.sent.len() <= limits::FILES_IN_FLIGHT_MAX, "it is bounded");
        if self.sent.len() > 256 {
            // A look at each after every ack would be all that a debug build does.
            return;
        }
        let out = self.sent.iter().filter(|s| s.fate == Fate::Out);
        let bytes: u64 = out.map(|s| u64::from(s.piece.len)).sum();
        assert_eq!(bytes, self.bytes, "what is under way is counted");
    }
}

//! How fast a transfer may go, and how much of it may be under way: a rate-based congestion
//! controller in the manner of BBR (Cardwell et al., 2016). Told by the sender what each ack
//! brought; it holds no packets and no timers.
//!
//! Why this kind: a controller that takes each loss for a full queue (Reno, cubic) goes down to
//! one packet in 1/sqrt(loss) at a time, 4 Mbit/s at 1 % and 40 ms. Here the two properties of the
//! path are measured instead: *bandwidth*, the highest rate at which bytes came through in the
//! last ten round trips, and the *shortest round trip* of the last ten seconds.
//!
//! | state | pace, of the bandwidth | until |
//! |---|---|---|
//! | startup | 277 % | three rounds brought less than a quarter more |
//! | drain | 36 % | no more is under way than the path holds |
//! | cruise | 125 %, 75 %, then 100 % for six round trips | for ever, but for |
//! | look | as before, half as much under way | 100 ms or a round trip, if longer; each 10 s |
//!
//! What differs from BBR: losses that come all the time are the path's, not ours. Their share is
//! measured outside the 125 % and the startup, as a median, and the pace is raised so that the
//! bandwidth still comes through; nine tenths of it only, so that two transfers that press each
//! other calm down. Without that a path that loses more than a fifth would slow down for ever.
//!
//! And losses beyond that share, while round trips are longer than the path's own, are a queue
//! that is full, because somebody else fills it, too: then it does as TCP cubic does (RFC 9438),
//! which is in `beside`. So it does as well when a queue lasts that it does not make. When the
//! queue is gone for some rounds, or more may be under way than the path takes, it is forgotten.

mod beside;

use core::time::Duration;
use std::collections::VecDeque;

use crate::base::limits;
use crate::base::time::{Mono, nanos};

use beside::Beside;

/// What one ack told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    /// Bytes a second at which the newest acked datagram and those before it came through.
    pub rate: Option<u64>,
    /// Whether less was sent meanwhile than might have been.
    pub limited: bool,
    /// How long the newest acked datagram's round trip took.
    pub rtt: Option<Duration>,
    /// Bytes acked.
    pub acked: u64,
    /// Bytes found to be lost.
    pub lost: u64,
    /// Bytes still under way.
    pub in_flight: u64,
    /// Bytes acked in all when the newest acked datagram was sent.
    pub delivered_before: u64,
    /// Bytes acked in all.
    pub delivered: u64,
}

/// What it does at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Finds out how much the path takes.
    Startup,
    /// Lets the queue run empty that the startup built.
    Drain,
    /// One of the eight phases: the first pushes, the second makes up for it.
    Cruise(u8),
}

/// The controller of one transfer.
#[derive(Clone, Debug)]
pub struct Rate {
    state: State,
    /// The highest rates of late: in which round, bytes a second; the first is the highest.
    rates: VecDeque<(u64, u64)>,
    rounds: u64,
    /// The round ends when this many bytes are acked.
    round_end: u64,
    shortest: Option<(Duration, Mono)>,
    /// While it looks for the shortest round trip: until then.
    looking: Option<Mono>,
    /// The rate at the last growth of a quarter, and rounds since.
    plateau: (u64, u8),
    phase_since: Mono,
    /// Bytes acked and lost since the share was last reckoned.
    counted: (u64, u64),
    /// Bytes acked and lost in this round.
    round: (u64, u64),
    /// The shortest round trip in this round, and the latest of all.
    round_trip: Duration,
    latest: Duration,
    /// Whether all round trips of the last round were longer than the path's own.
    queueing: bool,
    /// Rounds in a row with a queue, and without one.
    pressed: u32,
    calm: u32,
    /// How much may be under way while others fill the queue as well.
    beside: Option<Beside>,
    now: Mono,
    /// The shares of late.
    shares: VecDeque<u64>,
    /// Share of what is sent that the path loses, in parts of 65536.
    loss: u64,
    /// Bytes in a datagram.
    datagram: u64,
    /// Never faster than this.
    fastest: u64,
}

const PHASES: u8 = 8;
const ONE: u64 = 65_536;

impl Rate {
    /// One that knows nothing yet. `first` picks the phase in which the cruise begins, so that
    /// transfers which began together do not push together.
    #[must_use]
    pub fn new(now: Mono, first: u8, rate_max: u64) -> Self {
        Self {
            state: State::Startup,
            rates: VecDeque::new(),
            rounds: 0,
            round_end: 0,
            shortest: None,
            looking: None,
            plateau: (0, 0),
            phase_since: now,
            counted: (0, first.into()),
            round: (0, 0),
            round_trip: Duration::MAX,
            latest: Duration::ZERO,
            queueing: false,
            pressed: 0,
            calm: 0,
            beside: None,
            now,
            shares: VecDeque::new(),
            loss: 0,
            datagram: limits::FILES_DATAGRAM_MIN as u64,
            fastest: rate_max,
        }
    }

    /// Datagrams have this many bytes from now on.
    pub fn set_datagram(&mut self, bytes: usize) {
        self.datagram = bytes as u64;
    }

    /// Never faster than this, in bytes a second.
    pub fn set_max(&mut self, rate_max: u64) {
        self.fastest = rate_max;
    }

    /// What it does at present.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes a second that come through; 0 before it is known.
    #[must_use]
    pub fn bandwidth(&self) -> u64 {
        self.rates.front().map_or(0, |(_, rate)| *rate)
    }

    /// The share of bytes that the path loses, in parts of a million.
    #[must_use]
    pub fn loss_ppm(&self) -> u64 {
        self.loss * 1_000_000 / ONE
    }

    /// The shortest round trip of late.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        self.shortest.map_or(limits::FILES_RTT_UNKNOWN, |(rtt, _)| rtt)
    }

    /// Bytes a second that may be sent now.
    #[must_use]
    pub fn pace(&self) -> u64 {
        let percent = match self.state {
            State::Startup => 277,
            State::Drain => 36,
            State::Cruise(0) => 125,
            State::Cruise(1) => 75,
            State::Cruise(_) => 100,
        };
        let base = match self.bandwidth() {
            0 => per_second(self.first_window(), self.shortest()),
            _ => self.needed(),
        };
        let wanted = base.saturating_mul(percent) / 100;
        wanted.min(self.ceiling()).clamp(limits::FILES_RATE_MIN, self.fastest)
    }

    /// Bytes that may be under way now.
    #[must_use]
    pub fn window(&self) -> u64 {
        let least = 4 * self.datagram;
        if self.bandwidth() == 0 {
            return self.first_window();
        }
        let held = self.held() + over(self.needed(), limits::FILES_JITTER);
        let window = match (self.looking, self.state) {
            (Some(_), _) => held / 2,
            (None, State::Startup | State::Drain) => held * 3,
            (None, State::Cruise(_)) => {
                (held * limits::FILES_WINDOW_PERCENT / 100).max(self.curve().unwrap_or(0))
            }
        };
        window.max(least).min(limits::FILES_IN_FLIGHT_BYTES_MAX)
    }

    /// Bytes that the path itself holds. To the shortest round trip comes what the loop's clock
    /// adds to it.
    fn held(&self) -> u64 {
        over(self.needed(), self.shortest() + limits::FILES_QUANTUM)
    }

    /// Bytes a second to send so that the bandwidth comes through.
    fn needed(&self) -> u64 {
        let through = ONE - (self.loss * 9 / 10).min(ONE / 2);
        u64::try_from(u128::from(self.bandwidth()) * u128::from(ONE) / u128::from(through))
            .unwrap_or(u64::MAX)
    }

    /// What cubic would have under way.
    fn curve(&self) -> Option<u64> {
        self.beside.map(|beside| beside.window(self.now, self.datagram))
    }

    /// The rate that goes with that.
    fn ceiling(&self) -> u64 {
        self.curve().map_or(u64::MAX, |window| per_second(window, self.latest))
    }

    /// At the end of a round: whether the queue is full, because others fill it as well.
    fn look_for_others(&mut self, sample: &Sample) {
        let (acked, lost) = std::mem::take(&mut self.round);
        let (own, shortest) = (self.shortest(), self.round_trip);
        self.round_trip = Duration::MAX;
        let cruises = matches!(self.state, State::Cruise(_));
        self.queueing =
            shortest != Duration::MAX && shortest > own + own / 8 + limits::FILES_TIMER_MIN;
        let queue = self.queueing && cruises;
        self.pressed = if queue { self.pressed + 1 } else { 0 };
        self.calm = if queue { 0 } else { self.calm + 1 };
        let expected = (acked + lost) / self.datagram * self.loss / ONE;
        // More than chance does; where nothing is lost by chance, more than one.
        let chance = if self.loss == 0 { 1 } else { 5 * (expected + 1).isqrt() + 3 };
        let full = lost / self.datagram > expected + chance;
        let under_way = sample.in_flight + sample.acked + lost;
        let starts = self.state == State::Startup && self.queueing;
        // A push makes a queue for two rounds, not for more.
        if full && (self.pressed > 2 || starts) {
            if starts {
                self.change(self.now, State::Drain);
            }
            self.beside = Some(Beside::full(self.beside, self.now, self.rounds, under_way));
        } else if self.pressed >= limits::FILES_PRESSED_ROUNDS && self.beside.is_none() {
            self.beside = Some(Beside::pressed(under_way));
        } else if self.calm >= limits::FILES_CALM_ROUNDS
            || self.ceiling() > self.needed().saturating_mul(2)
        {
            self.beside = None;
        } else if let Some(beside) = &mut self.beside {
            beside.round(under_way);
        }
    }

    fn first_window(&self) -> u64 {
        limits::FILES_FIRST_DATAGRAMS * self.datagram
    }

    /// Takes in what an ack told.
    pub fn acked(&mut self, now: Mono, sample: &Sample) {
        self.now = now;
        if let Some(rtt) = sample.rtt {
            self.latest = rtt;
            self.round_trip = self.round_trip.min(rtt);
        }
        let new_round = sample.acked > 0 && sample.delivered_before >= self.round_end;
        if new_round {
            self.rounds += 1;
            self.round_end = sample.delivered;
        }
        if let Some(rate) = sample.rate.filter(|r| !sample.limited || *r > self.bandwidth()) {
            self.came_through(rate);
        }
        self.count(sample);
        if new_round {
            self.look_for_others(sample);
        }
        if new_round && self.state == State::Startup && !sample.limited {
            self.look_for_plateau(now);
        }
        self.look_at_round_trip(now, sample);
        self.advance(now, sample);
    }

    fn came_through(&mut self, rate: u64) {
        let oldest = self.rounds.saturating_sub(limits::FILES_RATE_ROUNDS);
        while self.rates.back().is_some_and(|(_, r)| *r <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.rounds, rate));
        while self.rates.front().is_some_and(|(round, _)| *round < oldest) {
            self.rates.pop_front();
        }
    }

    /// The share that is lost as a rule: the median of late, which a full queue now and then, that
    /// loses much at once, does not change.
    fn count(&mut self, sample: &Sample) {
        self.round.0 += sample.acked;
        self.round.1 += sample.lost;
        if !matches!(self.state, State::Cruise(1..)) {
            return;
        }
        self.counted.0 += sample.acked;
        self.counted.1 += sample.lost;
        let (acked, lost) = self.counted;
        if acked + lost >= limits::FILES_LOSS_DATAGRAMS * self.datagram {
            self.shares.push_back(lost * ONE / (acked + lost));
            if self.shares.len() > limits::FILES_LOSS_SHARES {
                self.shares.pop_front();
            }
            let mut sorted: Vec<_> = self.shares.iter().copied().collect();
            sorted.sort_unstable();
            self.loss = sorted[sorted.len() / 2];
            self.counted = (0, 0);
        }
    }

    fn look_for_plateau(&mut self, now: Mono) {
        let rate = self.bandwidth();
        if rate >= self.plateau.0 * 5 / 4 {
            self.plateau = (rate, 0);
            return;
        }
        self.plateau.1 += 1;
        if self.plateau.1 >= 3 {
            self.change(now, State::Drain);
        }
    }

    fn look_at_round_trip(&mut self, now: Mono, sample: &Sample) {
        let old = self.shortest.is_some_and(|(_, at)| now.since(at) > limits::FILES_LOOK_EVERY);
        if let Some(rtt) = sample.rtt {
            let shorter = self.shortest.is_none_or(|(known, _)| rtt <= known);
            // A little longer is as good, so that a calm path need not be looked at.
            let near = self.shortest.is_some_and(|(known, _)| rtt <= known + known / 16);
            if shorter {
                self.shortest = Some((rtt, now));
            } else if near && let Some((_, at)) = &mut self.shortest {
                *at = now;
            } else if old && self.looking.is_none() {
                self.shortest = Some((rtt, now));
                let least = limits::FILES_LOOK_LASTS.max(rtt);
                self.looking = Some(now.after(least));
            }
        }
        if self.looking.is_some_and(|until| now >= until) {
            self.looking = None;
        }
    }

    fn advance(&mut self, now: Mono, sample: &Sample) {
        let held = self.held();
        let lasted = now.since(self.phase_since);
        let trip = self.shortest().max(limits::FILES_QUANTUM);
        match self.state {
            State::Startup => {}
            State::Drain if sample.in_flight > held && lasted < trip * 3 => {}
            State::Drain => {
                // Never with the phase that makes up for a push that was not.
                let first = 2 + u8::try_from(self.counted.1 % 6).unwrap_or(0);
                self.counted = (0, 0);
                self.change(now, State::Cruise(first));
            }
            State::Cruise(0 | 2..) if lasted < trip => {}
            State::Cruise(0) if sample.in_flight < held * 5 / 4 && lasted < trip * 2 => {}
            State::Cruise(1) if sample.in_flight > held && lasted < trip => {}
            State::Cruise(phase) => self.change(now, State::Cruise((phase + 1) % PHASES)),
        }
    }

    fn change(&mut self, now: Mono, to: State) {
        self.state = to;
        self.phase_since = now;
    }
}

/// Bytes in a time, as a rate.
#[must_use]
pub fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / u128::from(nanos(time).max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Bytes that a rate makes in a time.
#[must_use]
pub fn over(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * u128::from(nanos(time)) / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

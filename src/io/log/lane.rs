//! One destination of the log with the lines that wait for it and the count of those that it
//! lost. It keeps their order: while a line waits or a loss is untold, none overtakes.

use std::collections::VecDeque;
use std::time::Duration;

use syslog::Formatter3164;

use super::outlets::{Outlet, Sent, Speech};
use crate::base::limits;
use crate::base::port::Level;
use crate::base::time::{Mono, Now};

/// A destination and its queue.
#[derive(Debug)]
pub(super) struct Lane<O> {
    outlet: O,
    waiting: VecDeque<Vec<u8>>,
    /// Dropped since the last line that went through.
    untold: u64,
    dropped: u64,
    /// Not before this is the outlet tried again.
    retry_at: Mono,
    /// How long the last failure made us wait.
    pause: Duration,
}

impl<O: Outlet> Lane<O> {
    pub(super) fn new(outlet: O) -> Self {
        let (waiting, untold, dropped) = (VecDeque::new(), 0, 0);
        Self { outlet, waiting, untold, dropped, retry_at: Mono(0), pause: Duration::ZERO }
    }

    pub(super) fn outlet(&self) -> &O {
        &self.outlet
    }

    pub(super) fn outlet_mut(&mut self) -> &mut O {
        &mut self.outlet
    }

    /// When to [`Lane::flush`]; none while nothing waits.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.is_waiting().then_some(self.retry_at)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Lines that were dropped and not told of yet.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// Lines that are not sent yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Counts lines as dropped here.
    pub(super) fn lose(&mut self, lines: u64) {
        self.untold += lines;
        self.dropped += lines;
    }

    /// Sends a line, or keeps it, or counts it.
    pub(super) fn push(&mut self, now: Now, level: Level, text: &str, formatter: &Formatter3164) {
        self.flush(now, formatter);
        if self.untold > 0 || self.waiting.len() >= limits::LOG_WAITING_MAX {
            self.lose(1);
            return;
        }
        let line = self.outlet.word(&Speech { formatter, now, level, text });
        if self.is_waiting() || !self.send(now.mono, &line) {
            self.waiting.push_back(line);
        }
    }

    /// Sends what waits, then says what was lost after it; nothing before its time.
    pub(super) fn flush(&mut self, now: Now, formatter: &Formatter3164) {
        if self.is_waiting() && now.mono >= self.retry_at {
            self.flush_now(now, formatter);
        }
    }

    /// As [`Lane::flush`], but waits a little for room, in a bounded number of steps.
    pub(super) fn finish(&mut self, now: Now, formatter: &Formatter3164) {
        const STEPS: u32 = 10;
        for _ in 0..STEPS {
            self.flush_now(now, formatter);
            if !self.is_waiting() || !self.outlet.wait(limits::LOG_FINISH_MAX / STEPS) {
                return;
            }
        }
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.untold > 0
    }

    fn flush_now(&mut self, now: Now, formatter: &Formatter3164) {
        while let Some(line) = self.waiting.pop_front() {
            if !self.send(now.mono, &line) {
                self.waiting.push_front(line);
                return;
            }
        }
        let text = match self.untold {
            0 => return,
            1 => "1 line was dropped".to_owned(),
            many => format!("{many} lines were dropped"),
        };
        let line = self.outlet.word(&Speech { formatter, now, level: Level::Warn, text: &text });
        if self.send(now.mono, &line) {
            self.untold = 0;
        }
    }

    /// Whether the outlet took a line; when not, the next try is put off.
    fn send(&mut self, now: Mono, line: &[u8]) -> bool {
        self.pause = match self.outlet.send(line) {
            Sent::Whole => Duration::ZERO,
            Sent::Full => (self.pause * 2).clamp(limits::LOG_RETRY_MIN, limits::LOG_RETRY_MAX),
            Sent::Gone => limits::LOG_RETRY_MAX,
        };
        self.retry_at = now.after(self.pause);
        self.pause.is_zero()
    }
}

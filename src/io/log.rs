//! Where the words go: syslog, the standard error output, or both. Called by `daemon.rs`, which
//! hands in the time and the text; it words nothing but its own losses, and it never waits.
//!
//! Lines that a destination does not take wait ([`limits::LOG_WAITING_MAX`] of them) and go out
//! with the next line or [`Log::flush`]; further ones are dropped and counted, and the next line
//! that goes through is preceded by "17 lines were dropped". journald takes 11 datagrams and then
//! none until it has run, so this happens on every busy machine. A syslog that was restarted
//! refuses for ever on the old socket, so it is opened again, at most once a second: over a restart
//! of journald no line is lost but what the queue does not hold.
//!
//! [`LogTarget::Auto`] is syslog when it can be opened, and also the standard error output when
//! that is a terminal; without a syslog the standard error output alone. This is decided at start
//! and on reload, not line by line.
//!
//! Syslog lines are made by the syslog crate's RFC 3164 formatter; its time stamp is in UTC,
//! which journald does not look at.

mod lane;
mod outlets;

use std::path::{Path, PathBuf};

use syslog::{Facility, Formatter3164};

use crate::base::limits;
use crate::base::port::Level;
use crate::base::time::{Mono, Now};
use crate::config::LogTarget;
use lane::Lane;
use outlets::{Stderr, Syslog};

/// Where syslog listens.
const SYSLOG_SOCKET: &str = "/dev/log";

/// The log of this process.
#[derive(Debug)]
pub struct Log {
    level: Level,
    target: LogTarget,
    socket: PathBuf,
    formatter: Formatter3164,
    syslog: Option<Lane<Syslog>>,
    stderr: Lane<Stderr>,
    started: bool,
    /// Lines lost by destinations that a reload has closed.
    lost: u64,
    /// The line in hand.
    line: String,
}

impl Log {
    /// Lines of at least this level, to this target, from `program[pid]`.
    ///
    /// There is no error: a syslog that cannot be opened is tried again, and [`Log::dropped`]
    /// tells what was lost until then.
    #[must_use]
    pub fn new(level: Level, target: LogTarget, program: &str, pid: u32) -> Self {
        Self::over(level, target, (program, pid), (Path::new(SYSLOG_SOCKET), Stderr::inherited()))
    }

    /// As [`Log::new`], with a syslog and a standard error output of the caller's.
    fn over(
        level: Level,
        target: LogTarget,
        (program, pid): (&str, u32),
        (socket, stderr): (&Path, Stderr),
    ) -> Self {
        // No host name: a local syslog adds it, and expects none.
        let formatter = Formatter3164 {
            facility: Facility::LOG_DAEMON,
            hostname: None,
            process: program.to_owned(),
            pid,
        };
        let stderr = Lane::new(stderr);
        let socket = socket.to_owned();
        let (started, lost, line) = (false, 0, String::new());
        let mut log =
            Self { level, target, socket, formatter, syslog: None, stderr, started, lost, line };
        log.open();
        log
    }

    /// Writes one line, or keeps it for later, or drops and counts it; never waits.
    ///
    /// The text is cut at [`limits::LOG_LINE_BYTES_MAX`] bytes. Callers escape what came from
    /// elsewhere; a control character that is left all the same becomes `?`.
    pub fn write(&mut self, now: Now, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        tidy(text, &mut line);
        if let Some(syslog) = &mut self.syslog {
            syslog.push(now, level, &line, &self.formatter);
        }
        if self.reaches_stderr(level) {
            self.stderr.push(now, level, &line, &self.formatter);
        }
        self.line = line;
    }

    /// Sends what waits, when it is time for that: cheap enough for each turn.
    pub fn flush(&mut self, now: Now) {
        if let Some(syslog) = &mut self.syslog {
            syslog.flush(now, &self.formatter);
        }
        self.stderr.flush(now, &self.formatter);
    }

    /// When to call [`Log::flush`] at the latest; none while nothing waits. The loop must not
    /// sleep past it, for no event tells when a destination takes lines again.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let lanes = [self.syslog.as_ref().and_then(Lane::deadline), self.stderr.deadline()];
        lanes.into_iter().flatten().min()
    }

    /// Start-up is over: from now on errors go to the target alone.
    pub fn started(&mut self) {
        self.started = true;
    }

    /// The process is about to end: gives what waits at most [`limits::LOG_FINISH_MAX`] more.
    pub fn finish(&mut self, now: Now) {
        self.flush(now);
        if let Some(syslog) = &mut self.syslog {
            syslog.finish(now, &self.formatter);
        }
        self.stderr.finish(now, &self.formatter);
    }

    /// Lines less grave than this are no longer written.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Sends lines elsewhere from now on. Also with the same target [`LogTarget::Auto`] is decided
    /// anew; what waits for a syslog that stays goes on waiting.
    pub fn set_target(&mut self, now: Now, target: LogTarget) {
        self.flush(now);
        self.target = target;
        let stays = |s: &mut Lane<Syslog>| match target {
            LogTarget::Auto => s.outlet_mut().open(),
            LogTarget::Syslog => true,
            LogTarget::Stderr => false,
        };
        if self.syslog.as_mut().is_none_or(|s| !stays(s)) {
            self.close();
            self.open();
        }
    }

    /// Lines that a destination did not take, ever, summed over the destinations.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lost + self.syslog.as_ref().map_or(0, Lane::dropped) + self.stderr.dropped()
    }

    fn open(&mut self) {
        let wanted = self.target != LogTarget::Stderr;
        let syslog = wanted.then(|| Syslog::new(&self.socket));
        self.syslog =
            syslog.filter(|s| s.is_open() || self.target == LogTarget::Syslog).map(Lane::new);
    }

    /// Gives syslog up. What it was still to be sent is lost, and standard error is told so.
    fn close(&mut self) {
        if let Some(syslog) = self.syslog.take() {
            self.lost += syslog.dropped() - syslog.untold();
            self.stderr.lose(syslog.untold() + syslog.waiting());
        }
    }

    /// Errors of the start also go to where whoever starts the daemon looks, unless the journal
    /// would then show them twice.
    fn reaches_stderr(&self, level: Level) -> bool {
        let Some(syslog) = &self.syslog else { return true };
        let stderr = self.stderr.outlet();
        let also = self.target == LogTarget::Auto && stderr.is_terminal();
        let twice = stderr.is_journal() && syslog.outlet().is_open();
        also || (!self.started && level == Level::Error && !twice)
    }
}

/// The text as one line of bounded length: cut on a character boundary, nothing that could drive
/// a terminal or begin another line.
fn tidy(text: &str, line: &mut String) {
    const CUT: &str = "…";
    line.clear();
    let cut = text.len() > limits::LOG_LINE_BYTES_MAX;
    let room = if cut { limits::LOG_LINE_BYTES_MAX - CUT.len() } else { text.len() };
    let kept = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room);
    line.extend(kept.map(|(_, c)| if c.is_control() { '?' } else { c }));
    if cut {
        line.push_str(CUT);
    }
}

#[cfg(test)]
mod tests;

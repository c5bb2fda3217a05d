//! The process: one turn of the loop, reload, shutdown. Joins a [`Node`] to the [`Reactor`];
//! decides nothing about channels or peers. Called by `main.rs` with what the flags asked for.
//!
//! A turn: poll (timeout 0 while there is work that no event will announce, else until the next
//! deadline) → clocks, once → signals → ready sockets, each with a byte budget, each input followed
//! by a full drain → due timers → flush dirty connections → hashes → accept → a slice of the
//! disk's work → watchdog. What a drained output brings about at once (a file opened, a dial
//! refused) is told before the next input.

mod reload;
mod setup;

use std::io::Write as _;
use std::time::Duration;

use crate::base::limits;
use crate::base::port::{Input, Level, Output};
use crate::base::time::{Mono, Now};
use crate::config::{self, Config};
use crate::flags::{Options, exit};
use crate::io::clock::Clock;
use crate::io::library::{Finding, Survey};
use crate::io::lines::Taken;
use crate::io::log::Log;
use crate::io::notify::Notify;
use crate::io::reactor::{Reactor, Read};
use crate::io::signals::Signals;
use crate::node::Node;

/// Bytes read from a socket at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Files that the survey of the library looks at in one turn.
const SURVEY_FILES: usize = 512;
/// Datagrams taken from one socket in one turn.
const DATAGRAMS: usize = 256;

/// Why the process could not start: what to say, and what to exit with.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

/// Serves until told to stop; gives the exit code.
#[must_use]
pub fn run(options: &Options) -> u8 {
    match Daemon::start(options) {
        Ok(daemon) => daemon.serve(),
        Err(failure) => {
            complain(&failure.text);
            failure.code
        }
    }
}

/// Checks the configuration and the library it names, and prints what was found.
#[must_use]
pub fn check(options: &Options) -> u8 {
    report(setup::check(options))
}

/// Prints the whole configuration, defaults filled in and paths made absolute.
#[must_use]
pub fn print_config(options: &Options) -> u8 {
    report(setup::load(options).map(|config| config::print(&config)))
}

fn report(result: Result<String, Failure>) -> u8 {
    match result {
        Ok(text) => {
            // Nobody reads any more: nothing to be done about it, and no reason to fail.
            std::io::stdout().write_all(text.as_bytes()).ok();
            exit::OK
        }
        Err(failure) => {
            complain(&failure.text);
            failure.code
        }
    }
}

/// Says on standard error why there is no service; each line stands for itself.
fn complain(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        writeln!(stderr, "vidstreamd: {line}").ok();
    }
}

/// A running process.
#[derive(Debug)]
struct Daemon {
    options: Options,
    config: Config,
    clock: Clock,
    now: Now,
    log: Log,
    notify: Notify,
    signals: Signals,
    reactor: Reactor,
    node: Node,
    listening: setup::Listening,
    /// Why names of roots could not be looked up, as it was last logged.
    unknown: Vec<String>,
    survey: Option<Survey>,
    /// The next [`Notify::ping`], when systemd watches.
    ping_at: Option<Mono>,
    buffer: Box<[u8]>,
    done: bool,
    /// Until then the last datagrams may wait for the kernel.
    over_by: Mono,
}

impl Daemon {
    fn serve(mut self) -> u8 {
        while !self.is_over() {
            if let Err(error) = self.turn() {
                self.say(Level::Error, &format!("the event loop failed: {error}"));
                self.log.finish(self.now);
                return exit::OSERR;
            }
        }
        self.say(Level::Info, "stopped");
        self.log.finish(self.now);
        exit::OK
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let signalled = self.reactor.poll(self.timeout(), self.now.mono)?;
        self.now = self.clock.read();
        if signalled {
            self.obey();
        }
        self.settle();
        self.read();
        self.receive();
        self.hear();
        self.read_lines();
        self.node.set_log_dropped(self.log.dropped());
        self.node.handle_timeout(self.now);
        self.settle();
        self.flush();
        self.reactor.send_datagrams(self.now.mono);
        self.reactor.hash();
        self.settle();
        self.accept();
        self.reactor.spool();
        self.reactor.hash_some();
        self.settle();
        self.look_around();
        self.look_up();
        self.ping();
        self.log.flush(self.now);
        Ok(())
    }

    /// Whether the node is done and its last words are on their way, as far as the kernel lets.
    fn is_over(&self) -> bool {
        self.done && (!self.reactor.is_sending() || self.now.mono >= self.over_by)
    }

    /// How long nothing needs doing.
    fn timeout(&self) -> Option<Duration> {
        if self.survey.is_some() {
            return Some(Duration::ZERO);
        }
        let last = self.done.then_some(self.over_by);
        let waits = [self.node.poll_timeout(), self.log.deadline(), self.ping_at, last];
        // The kernel counts whole milliseconds, and a timer must not be looked for too early.
        let until = |at: Mono| at.since(self.now.mono) + Duration::from_micros(999);
        waits.into_iter().flatten().min().map(until)
    }

    /// Carries out everything that the node wants, and tells it what that brings about.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Log { level, text } => self.log.write(self.now, level, &text),
                    Output::Done => {
                        self.done = true;
                        self.over_by = self.now.mono.after(limits::DRAIN_MAX);
                    }
                    output => self.reactor.act(output, self.now),
                }
            }
            let Some(told) = self.reactor.poll_told() else { break };
            self.node.handle_input(self.now, told.as_input());
        }
        while let Some((level, text)) = self.reactor.poll_note() {
            self.say(level, &text);
        }
    }

    fn say(&mut self, level: Level, text: &str) {
        self.log.write(self.now, level, text);
    }

    /// Does what signals ask for.
    fn obey(&mut self) {
        let taken = self.signals.take();
        if taken.stop_again {
            self.done = true;
            self.over_by = self.now.mono;
        } else if taken.stop {
            self.stop();
        } else if taken.reload {
            self.reload();
        }
    }

    fn stop(&mut self) {
        self.notify.stopping();
        self.say(Level::Info, "stopping: leaving, and finishing what is under way");
        for (service, place) in
            self.reactor.places().map(|(s, p)| (s, p.clone())).collect::<Vec<_>>()
        {
            self.reactor.unlisten(service, &place);
        }
        self.survey = None;
        self.node.handle_input(self.now, Input::Stop);
    }

    /// Reads from each ready connection, up to its budget.
    fn read(&mut self) {
        for _ in 0..self.reactor.ready_len() {
            let Some(conn) = self.reactor.next_ready() else { break };
            let mut left = limits::READ_BUDGET_BYTES;
            loop {
                let (count, input) = match self.reactor.read(conn, &mut self.buffer) {
                    Read::Bytes(count) => {
                        (count, Input::Data { conn, bytes: &self.buffer[..count] })
                    }
                    Read::Filled(blob, upto) => (BUFFER_BYTES, Input::Filled { conn, blob, upto }),
                    Read::Ended => (0, Input::Ended { conn }),
                    Read::Nothing => break,
                };
                self.node.handle_input(self.now, input);
                self.settle();
                left = left.saturating_sub(count);
                if left == 0 {
                    self.reactor.read_later(conn);
                    break;
                }
            }
        }
        self.settle();
    }

    fn receive(&mut self) {
        for index in 0..self.reactor.datagrams_len() {
            for _ in 0..DATAGRAMS {
                let Some((service, from, count)) = self.reactor.receive(index, &mut self.buffer)
                else {
                    break;
                };
                let bytes = &self.buffer[..count];
                self.node.handle_input(self.now, Input::Datagram { service, from, bytes });
                self.settle();
            }
        }
    }

    /// What came to the ports of transfers, each up to its budget.
    fn hear(&mut self) {
        for _ in 0..self.reactor.heard_len() {
            let Some(conn) = self.reactor.next_heard() else { break };
            for _ in 0..DATAGRAMS {
                let Some((from, count)) = self.reactor.hear(conn, &mut self.buffer) else { break };
                let bytes = &self.buffer[..count];
                self.node.handle_input(self.now, Input::Heard { conn, from, bytes });
                self.settle();
            }
            self.reactor.hear_later(conn);
        }
    }

    fn read_lines(&mut self) {
        match self.reactor.read_lines(&mut self.buffer) {
            Taken::Bytes(count) => {
                self.node.handle_input(self.now, Input::Lines { bytes: &self.buffer[..count] });
            }
            Taken::Ended => self.node.handle_input(self.now, Input::LinesEnded),
            Taken::Nothing => return,
        }
        self.settle();
    }

    /// Writes to each connection that was dirty when this began.
    fn flush(&mut self) {
        for _ in 0..self.reactor.dirty_len() {
            if !self.reactor.flush_next(&mut self.buffer) {
                break;
            }
            self.settle();
        }
    }

    fn accept(&mut self) {
        for index in 0..self.reactor.listeners_len() {
            for _ in 0..limits::ACCEPT_BUDGET {
                let Some(input) = self.reactor.accept(index, self.now) else { break };
                self.node.handle_input(self.now, input);
                self.settle();
                self.reactor.refuse_unclaimed();
            }
        }
        self.settle();
    }

    /// Goes on looking at the library's files, a few a turn, so that the start need not wait.
    fn look_around(&mut self) {
        let Some(survey) = &mut self.survey else { return };
        if survey.step(SURVEY_FILES) {
            let findings = self.survey.take().map(Survey::findings).unwrap_or_default();
            self.tell(&findings);
        }
    }

    /// Looks the roots' names up again when all roots have failed: at most once in each pause
    /// between two rounds of asking them. Blocks for as long as the system's resolver does; nothing
    /// comes from a root meanwhile anyway.
    fn look_up(&mut self) {
        if !self.node.take_rootless() || !setup::roots_have_names(&self.config) {
            return;
        }
        let (roots, unknown) = setup::roots(&self.config);
        if unknown != self.unknown {
            for text in &unknown {
                self.log.write(self.now, Level::Warn, text);
            }
            self.unknown = unknown;
        }
        if roots != self.node.roots() {
            self.node.set_roots(self.now, roots);
            self.settle();
        }
    }

    fn tell(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.log.write(self.now, Level::Warn, &format!("library: {finding}"));
        }
    }

    fn tell_songs(&mut self, findings: &[String]) {
        for finding in findings {
            self.log.write(self.now, Level::Warn, &format!("jukebox: {finding}"));
        }
    }

    fn tell_videos(&mut self, findings: &[String]) {
        for finding in findings {
            self.log.write(self.now, Level::Warn, &format!("files: {finding}"));
        }
    }

    fn ping(&mut self) {
        if self.ping_at.is_none_or(|at| at <= self.now.mono) {
            self.notify.ping();
            // Half the time, so that one late turn does not look like a dead process.
            let watchdog = self.notify.watchdog().map(|interval| interval / 2);
            // Without a watchdog each turn does: it sends again what systemd had no room for.
            self.ping_at = watchdog.map(|wait| self.now.mono.after(wait));
        }
    }
}

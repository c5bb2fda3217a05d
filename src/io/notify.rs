//! What systemd is told: ready, reloading, stopping, a status line and the watchdog's pings.
//! Called by `daemon.rs`. It never waits and never fails: without a service manager it does
//! nothing, and what could not be sent is counted.
//!
//! The messages are the sd-notify crate's. The socket is our own: the crate's blocks when the
//! service manager is busy, and one thread must not wait for it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::base::limits;
use crate::base::time::Mono;

/// The way to the service manager.
#[derive(Debug)]
pub struct Notify {
    to: Option<SocketAddr>,
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    /// Messages of state that the manager had no room for: lost, they would leave it waiting.
    waiting: VecDeque<String>,
    unsent: u64,
}

impl Notify {
    /// The manager named by `NOTIFY_SOCKET`, and the watchdog by `WATCHDOG_USEC` and
    /// `WATCHDOG_PID`.
    #[must_use]
    pub fn new() -> Self {
        Self::to(std::env::var_os("NOTIFY_SOCKET"), sd_notify::watchdog_enabled())
    }

    /// A manager that listens at `path` (`@` first: an abstract name); nobody when there is none.
    #[must_use]
    pub fn to(path: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let to = path.and_then(|p| address(&p).ok());
        let watchdog = watchdog.filter(|w| to.is_some() && !w.is_zero());
        Self { to, socket: None, watchdog, waiting: VecDeque::new(), unsent: 0 }
    }

    /// How long the manager waits for a [`Notify::ping`] before it ends the process; ping at
    /// half of it. None when there is no watchdog.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Start-up is over.
    pub fn ready(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// A reload has begun at this time of `CLOCK_MONOTONIC`; [`Notify::ready`] must follow,
    /// whatever came of it.
    pub fn reloading(&mut self, now: Mono) {
        let micros = NotifyState::MonotonicUsec(i128::from(now.0 / 1_000));
        self.tell(&[NotifyState::Reloading, micros]);
    }

    /// The process is on its way out.
    pub fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`. Lost when the manager is busy: the next one says it anew.
    pub fn status(&mut self, text: &str) {
        // A line feed would begin another assignment.
        let line = text.replace(|c: char| c.is_control(), " ");
        self.send_again();
        self.send_or_count(&message(&[NotifyState::Status(&line)]));
    }

    /// The loop turns. Also sends again what the manager had no room for, so call it now and
    /// then without a watchdog, too.
    pub fn ping(&mut self) {
        self.send_again();
        if self.watchdog.is_some() {
            self.send_or_count(&message(&[NotifyState::Watchdog]));
        }
    }

    /// Messages that did not get through, for the metrics.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Sends a change of state, behind those that still wait.
    fn tell(&mut self, states: &[NotifyState]) {
        if self.to.is_none() {
            return;
        }
        if self.waiting.len() == limits::NOTIFY_WAITING_MAX {
            self.waiting.pop_front();
            self.unsent += 1;
        }
        self.waiting.push_back(message(states));
        self.send_again();
    }

    fn send_again(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            if self.send(&first).is_err() {
                self.waiting.push_front(first);
                return;
            }
        }
    }

    fn send_or_count(&mut self, text: &str) {
        if self.send(text).is_err() {
            self.unsent += 1;
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        let Some(to) = &self.to else { return Ok(()) };
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            self.socket = Some(socket);
        }
        // By address each time, so that a manager that was executed anew is found again.
        let socket = self.socket.as_ref().expect("made just above");
        socket.send_to_addr(text.as_bytes(), to).map(drop)
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

/// One datagram: an assignment a line.
fn message(states: &[NotifyState]) -> String {
    let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    fn manager() -> (tempfile::TempDir, UnixDatagram, OsString) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        (dir, socket, path.into_os_string())
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_service_tells_its_whole_life() {
        let (_dir, socket, path) = manager();
        let mut notify = Notify::to(Some(path), Some(Duration::from_secs(10)));
        assert_eq!(notify.watchdog(), Some(Duration::from_secs(10)));
        notify.ready();
        assert_eq!(heard(&socket), "READY=1\n");
        notify.status("2 channels\nMAINPID=1");
        assert_eq!(heard(&socket), "STATUS=2 channels MAINPID=1\n");
        notify.ping();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        notify.reloading(Mono(12_345_678));
        assert_eq!(heard(&socket), "RELOADING=1\nMONOTONIC_USEC=12345\n");
        notify.ready();
        assert_eq!(heard(&socket), "READY=1\n");
        notify.stopping();
        assert_eq!(heard(&socket), "STOPPING=1\n");
        assert_eq!(notify.unsent(), 0);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let mut notify = Notify::to(None, Some(Duration::from_secs(10)));
        notify.ready();
        notify.ping();
        notify.status("nobody hears this");
        assert_eq!((notify.watchdog(), notify.unsent()), (None, 0));
    }

    #[test]
    fn a_busy_manager_blocks_nobody_and_misses_no_change_of_state() {
        let (_dir, socket, path) = manager();
        let mut notify = Notify::to(Some(path), Some(Duration::from_secs(10)));
        // More than any queue of datagrams holds (net.unix.max_dgram_qlen, or the send buffer).
        let mut pings = 0;
        while notify.unsent() == 0 {
            notify.ping();
            pings += 1;
            assert!(pings < 100_000, "the queue never filled");
        }
        notify.reloading(Mono(5_000));
        notify.ready();
        assert_eq!(notify.unsent(), 1, "changes of state wait, they are not lost");
        (1..pings).for_each(|_| assert_eq!(heard(&socket), "WATCHDOG=1\n"));
        notify.ping();
        assert_eq!(heard(&socket), "RELOADING=1\nMONOTONIC_USEC=5\n");
        assert_eq!(heard(&socket), "READY=1\n");
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_comes_back_is_found_again() {
        let (dir, socket, path) = manager();
        let mut notify = Notify::to(Some(path.clone()), Some(Duration::from_secs(10)));
        notify.ready();
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        notify.ping();
        assert_eq!(notify.unsent(), 1);
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        notify.ping();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_with_an_abstract_name_is_reached() {
        let name = format!("vidstreamd-notify-{}", std::process::id());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let mut notify = Notify::to(Some(format!("@{name}").into()), None);
        notify.ready();
        assert_eq!(heard(&socket), "READY=1\n");
        assert_eq!(notify.watchdog(), None);
    }
}

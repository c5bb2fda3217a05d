//! The two destinations of the log, each with its form of a line and a way to send one without
//! waiting. They keep no lines (that is the lane's part).

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};
use syslog::{Formatter3164, LogFormat as _, Severity};

use crate::base::port::Level;
use crate::base::time::Now;

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// It is on its way.
    Whole,
    /// There is no room for it now.
    Full,
    /// Nobody is there to take it now.
    Gone,
}

/// What a line is made of.
pub(super) struct Speech<'a> {
    pub(super) formatter: &'a Formatter3164,
    pub(super) now: Now,
    pub(super) level: Level,
    /// One line, no control characters, of bounded length.
    pub(super) text: &'a str,
}

/// A destination.
pub(super) trait Outlet {
    /// The line as this destination reads it.
    fn word(&self, speech: &Speech) -> Vec<u8>;
    /// Sends a line without waiting.
    fn send(&mut self, line: &[u8]) -> Sent;
    /// Waits for room; false when waiting is no use.
    fn wait(&self, at_most: Duration) -> bool;
}

/// The local syslog: a datagram a line.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Tries to open the syslog that listens at a path.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: connect(path).ok() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Tries again when it is not open; whether it is now.
    pub(super) fn open(&mut self) -> bool {
        if self.socket.is_none() {
            self.socket = connect(&self.path).ok();
        }
        self.socket.is_some()
    }
}

/// Never blocks, and sends to whoever listens at the path now, for as long as that lives.
fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

impl Outlet for Syslog {
    fn word(&self, speech: &Speech) -> Vec<u8> {
        let mut line = Vec::with_capacity(speech.text.len() + 64);
        let severity = match speech.level {
            Level::Error => Severity::LOG_ERR,
            Level::Warn => Severity::LOG_WARNING,
            Level::Info => Severity::LOG_INFO,
            Level::Debug => Severity::LOG_DEBUG,
        };
        let written = speech.formatter.format(&mut line, severity, speech.text);
        written.expect("a Vec takes every write");
        line
    }

    fn send(&mut self, line: &[u8]) -> Sent {
        // Twice at most: on the socket that is there, then on a new one.
        for _ in 0..2 {
            self.open();
            let Some(socket) = &self.socket else { return Sent::Gone };
            match socket.send(line) {
                Ok(_) => return Sent::Whole,
                Err(e) if is_full(&e) => return Sent::Full,
                // Refused for ever: the syslog behind this socket has ended.
                Err(_) => self.socket = None,
            }
        }
        Sent::Gone
    }

    fn wait(&self, at_most: Duration) -> bool {
        self.socket.as_ref().is_some_and(|s| has_room(s.as_fd(), at_most))
    }
}

/// The standard error output, whatever it is connected to.
#[derive(Debug)]
pub(super) struct Stderr {
    way: Way,
    terminal: bool,
    journal: bool,
    /// What a terminal or a socket left of a line that it took in part.
    rest: Vec<u8>,
}

/// How to write without waiting.
#[derive(Debug)]
enum Way {
    /// A file, or a pipe or terminal opened once more for this process alone, so that it could
    /// be made non-blocking without changing it for those who share it.
    Own(File),
    /// A pipe or terminal that could not be opened again: asked for room first.
    Asked(OwnedFd),
    /// A socket, such as the journal's.
    Socket(OwnedFd),
    /// Not open.
    Nowhere,
}

impl Stderr {
    /// Descriptor 2 of this process.
    pub(super) fn inherited() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(fd) => Self::over(fd, stream.as_deref()),
            Err(_) => Self { way: Way::Nowhere, terminal: false, journal: false, rest: Vec::new() },
        }
    }

    /// Any descriptor; `journal_stream` is "device:inode" of the journal's socket.
    pub(super) fn over(fd: OwnedFd, journal_stream: Option<&str>) -> Self {
        let terminal = fd.is_terminal();
        let Ok(stat) = fstat(&fd) else {
            return Self { way: Way::Nowhere, terminal, journal: false, rest: Vec::new() };
        };
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let way = match kind {
            SFlag::S_IFSOCK => Way::Socket(fd),
            SFlag::S_IFREG => Way::Own(File::from(fd)),
            _ => opened_again(&fd).map_or(Way::Asked(fd), Way::Own),
        };
        let journal = journal_stream == Some(&format!("{}:{}", stat.st_dev, stat.st_ino));
        Self { way, terminal, journal, rest: Vec::new() }
    }

    /// As if it could not be opened again.
    #[cfg(test)]
    pub(super) fn asked(fd: OwnedFd) -> Self {
        Self { way: Way::Asked(fd), terminal: false, journal: false, rest: Vec::new() }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether it is the journal that reads this.
    pub(super) fn is_journal(&self) -> bool {
        self.journal
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Own(file) => file.write(bytes),
            // Room is reported when a whole page fits, and a line is shorter than that.
            Way::Asked(fd) if !has_room(fd.as_fd(), Duration::ZERO) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Way::Asked(fd) => Ok(nix::unistd::write(fd, bytes)?),
            Way::Socket(fd) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(send(fd.as_raw_fd(), bytes, flags)?)
            }
            Way::Nowhere => Err(Errno::EBADF.into()),
        }
    }

    /// Another try with what is left of an earlier line.
    fn write_rest(&mut self) -> io::Result<()> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let taken = self.write(&rest);
            self.rest.extend_from_slice(&rest[*taken.as_ref().unwrap_or(&0)..]);
            taken?;
        }
        if self.rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

/// Opens a pipe or terminal again: a new open file has flags of its own, a duplicate would not.
fn opened_again(fd: &OwnedFd) -> Option<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok()
}

impl Outlet for Stderr {
    fn word(&self, speech: &Speech) -> Vec<u8> {
        let Speech { now, level, text, .. } = speech;
        let line = if self.journal {
            format!("<{}>{text}\n", priority(*level))
        } else {
            format!("{} {} {text}\n", now.wall, level.name())
        };
        line.into_bytes()
    }

    fn send(&mut self, line: &[u8]) -> Sent {
        match self.write_rest().and_then(|()| self.write(line)) {
            Ok(taken) => {
                self.rest.extend_from_slice(&line[taken..]);
                Sent::Whole
            }
            Err(e) if is_full(&e) => Sent::Full,
            Err(_) => Sent::Gone,
        }
    }

    fn wait(&self, at_most: Duration) -> bool {
        match &self.way {
            Way::Own(file) => has_room(file.as_fd(), at_most),
            Way::Asked(fd) | Way::Socket(fd) => has_room(fd.as_fd(), at_most),
            Way::Nowhere => false,
        }
    }
}

/// The severity of RFC 3164 that the journal reads at the start of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

fn is_full(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// Whether a write would go through, within a time.
fn has_room(fd: BorrowedFd<'_>, at_most: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::ZERO);
    poll(&mut fds, timeout).is_ok_and(|n| n > 0)
        && fds[0].revents().is_some_and(|r| r.contains(PollFlags::POLLOUT))
}

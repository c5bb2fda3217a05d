//! One connection's socket, its queue of payloads and its readiness. Nothing here knows what the
//! bytes mean. Owned and called by the reactor.
//!
//! A stream registers for reading and writing once and keeps its own readiness bits; a bit is
//! cleared only by `WouldBlock`.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use nix::libc;
use socket2::SockRef;

use crate::base::limits;
use crate::base::port::{Blob, End, Gone};
use crate::io::blobs::{Map, Part, write_apart, write_parts};
use crate::io::gathered::Gathered;

/// The kinds of socket that carry streams.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => socket,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
        }
    }

    /// The error that the kernel holds for this socket, if any.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(self).take_error()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Bytes waiting to be sent.
#[derive(Debug)]
pub(super) enum Chunk {
    Own { bytes: Box<[u8]>, at: usize },
    Mapped { map: Rc<Map>, blob: Blob, from: u64, len: u64 },
    Gathered { it: Rc<Gathered>, blob: Blob, from: u64, len: u64 },
}

impl Chunk {
    fn len(&self) -> u64 {
        match self {
            Self::Own { bytes, at } => (bytes.len() - at) as u64,
            Self::Mapped { len, .. } | Self::Gathered { len, .. } => *len,
        }
    }

    /// Names its bytes in the first of these places, which are not none; how many were needed.
    fn parts<'a>(&'a self, into: &mut [Part<'a>]) -> usize {
        into[0] = match self {
            Self::Own { bytes, at } => Part::Own(&bytes[*at..]),
            Self::Mapped { map, from, len, .. } => Part::Mapped(map, *from, *len),
            Self::Gathered { it, from, len, .. } => return it.parts(*from, *len, into),
        };
        1
    }

    /// The map that its bytes are in, and the blob that this is to be told of.
    fn map(&self) -> Option<(Blob, &Rc<Map>)> {
        match self {
            Self::Own { .. } => None,
            Self::Mapped { map, blob, .. } => Some((*blob, map)),
            Self::Gathered { it, blob, .. } => Some((*blob, it.source()?)),
        }
    }

    fn advance(&mut self, by: u64) {
        match self {
            Self::Own { at, .. } => *at += usize::try_from(by).expect("no more than it had"),
            Self::Mapped { from, len, .. } | Self::Gathered { from, len, .. } => {
                *from += by;
                *len -= by;
            }
        }
    }
}

/// Where arriving bytes go instead of upwards.
#[derive(Debug)]
pub(super) struct Directed {
    pub(super) into: Rc<Map>,
    pub(super) blob: Blob,
    pub(super) at: u64,
    pub(super) end: u64,
}

/// What one read brought.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Got {
    /// So many bytes in the buffer.
    Bytes(usize),
    /// The blob is filled up to here.
    Filled(Blob, u64),
    /// The peer sends no more.
    End,
    /// Nothing now.
    Nothing,
    /// The connection is over.
    Broken(Gone),
}

/// What one flush did.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// So many bytes were taken; `true`: the queue is empty or the socket is full, else the budget
    /// ended.
    Bytes(u64, bool),
    /// The connection is over.
    Broken(Gone),
    /// This blob is damaged.
    Faulted(Blob),
}

/// A connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent readiness bits, not one state")]
pub(super) struct Stream {
    pub(super) socket: Socket,
    queue: VecDeque<Chunk>,
    queued: u64,
    pub(super) directed: Option<Box<Directed>>,
    /// The most bytes to hand up at once.
    pub(super) take: u32,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) connecting: bool,
    pub(super) held: bool,
    pub(super) ended: bool,
    pub(super) finish: bool,
    pub(super) finished: bool,
    pub(super) listed: bool,
    pub(super) dirty: bool,
    /// Each payload is a segment of its own.
    pub(super) apart: bool,
    resets: bool,
    pub(super) end: Option<End>,
}

impl Stream {
    pub(super) fn new(socket: Socket, connecting: bool) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            queued: 0,
            directed: None,
            take: u32::MAX,
            readable: false,
            writable: false,
            connecting,
            held: false,
            ended: false,
            finish: false,
            finished: false,
            listed: false,
            dirty: false,
            apart: false,
            resets: false,
            end: None,
        }
    }

    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    pub(super) fn push(&mut self, chunk: Chunk) {
        assert!(self.queue.len() < limits::QUEUE_PAYLOADS_MAX * 3, "a machine queues without end");
        if chunk.len() > 0 {
            self.queued += chunk.len();
            self.queue.push_back(chunk);
        }
    }

    /// Whether reading can go on now.
    pub(super) fn wants_read(&self) -> bool {
        self.readable && !self.held && !self.ended && !self.connecting
    }

    /// One read, into the buffer or where the bytes were directed.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Got {
        let result = if let Some(to) = &self.directed {
            to.into.read(&self.socket, to.at, to.end - to.at)
        } else {
            let most = buffer.len().min(usize::try_from(self.take).unwrap_or(usize::MAX));
            self.socket.read(&mut buffer[..most])
        };
        match result {
            Ok(0) => {
                self.ended = true;
                Got::End
            }
            Ok(count) => self.took(count),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Got::Nothing
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Got::Nothing,
            Err(e) => Got::Broken(gone(&e)),
        }
    }

    fn took(&mut self, count: usize) -> Got {
        let Some(to) = &mut self.directed else { return Got::Bytes(count) };
        to.at += count as u64;
        let filled = Got::Filled(to.blob, to.at);
        if to.at == to.end {
            self.directed = None;
        }
        filled
    }

    /// Throws away what has arrived, so that closing does not turn into a reset that would take
    /// our last bytes out of the peer's hands.
    pub(super) fn discard(&mut self, buffer: &mut [u8]) {
        for _ in 0..4 {
            if !matches!(self.socket.read(buffer), Ok(count) if count > 0) {
                return;
            }
        }
    }

    /// Writes until the queue, the socket's room or the budget ends.
    pub(super) fn flush(&mut self, budget: usize) -> Put {
        let mut taken = 0;
        while !self.queue.is_empty() && self.writable && taken < budget as u64 {
            match self.write() {
                Ok(count) => {
                    self.advance(count as u64);
                    taken += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::EFAULT) => return self.faulted(),
                Err(e) => return Put::Broken(gone(&e)),
            }
        }
        if self.queue.is_empty() {
            self.reset_on_close(false);
        }
        if self.queue.is_empty() && self.finish && !self.finished {
            self.finished = true;
            // A peer that is already gone shows on the next read.
            self.socket.shutdown().ok();
        }
        Put::Bytes(taken, self.queue.is_empty() || !self.writable)
    }

    fn write(&self) -> io::Result<usize> {
        let mut parts = [Part::Own(&[]); limits::STREAM_PARTS_MAX];
        let mut count = 0;
        for chunk in &self.queue {
            if count == parts.len() {
                break;
            }
            count += chunk.parts(&mut parts[count..]);
        }
        // A machine that wants its payloads apart queues one at a time: this is all of one.
        if self.apart {
            write_apart(self.socket.as_fd(), &parts[..count])
        } else {
            write_parts(self.socket.as_fd(), &parts[..count])
        }
    }

    /// The blob of the first mapped chunk: the one whose pages are gone.
    fn faulted(&self) -> Put {
        let blob = self.queue.iter().find_map(|chunk| Some(chunk.map()?.0));
        blob.map_or(Put::Broken(Gone::Other(libc::EFAULT)), Put::Faulted)
    }

    /// Blobs whose last queued byte the next [`Stream::flush`] may send.
    pub(super) fn mapped(&self) -> Option<(Blob, Rc<Map>)> {
        // A payload that stands apart may end in bytes of its own.
        let looked_at = if self.apart { 2 } else { 1 };
        let mut last = self.queue.iter().rev().take(looked_at);
        last.find_map(|chunk| chunk.map().map(|(blob, map)| (blob, Rc::clone(map))))
    }

    fn advance(&mut self, mut by: u64) {
        self.queued -= by;
        while by > 0 {
            let first = self.queue.front_mut().expect("no more was taken than was queued");
            let step = first.len().min(by);
            first.advance(step);
            by -= step;
            if first.len() == 0 {
                self.queue.pop_front();
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > 4 {
            self.queue = VecDeque::new();
        }
    }

    /// Makes a close from now on a reset (`true`), or an orderly end again. While a block is on its
    /// way its end must not look like the block's, not even when this process is killed.
    pub(super) fn reset_on_close(&mut self, on: bool) {
        let Socket::Tcp(socket) = &self.socket else { return };
        if self.resets != on {
            self.resets = on;
            SockRef::from(socket).set_linger(on.then_some(std::time::Duration::ZERO)).ok();
        }
    }
}

/// The contract's word for a socket error.
pub(super) fn gone(error: &io::Error) -> Gone {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Gone::Refused,
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => Gone::Reset,
        Some(libc::ETIMEDOUT) => Gone::TimedOut,
        Some(
            libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EACCES
            | libc::EPERM
            | libc::EADDRNOTAVAIL
            | libc::EINVAL,
        ) => Gone::Unreachable,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => {
            Gone::Exhausted
        }
        Some(code) => Gone::Other(code),
        None => Gone::Other(0),
    }
}

// One connection's state in `io`; the node's part is bounded in `base::port` and the machines.
const _: () = assert!(size_of::<Stream>() <= 256, "a connection stays small");

//! The sockets, maps and files of a node: carries out outputs and tells what happened.
//!
//! It decides nothing. Only the daemon calls it, once a phase of the loop's turn; what an output
//! brought about at once (an opened file, a refused dial) waits in [`Reactor::poll_told`] and is
//! told after the outputs are drained.

mod act;
mod ports;
mod ticker;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::base::arena::{Key, Side};
use crate::base::limits;
use crate::base::port::{Blob, Conn, End, Facts, Gone, Input, Level, Service, Span, StoreError};
use crate::base::time::{Mono, Now, Wall};
use crate::io::blobs::{Home, Map};
use crate::io::datagram::Datagram;
use crate::io::gathered::Gathered;
use crate::io::hashing::Hashing;
use crate::io::lines::Lines;
use crate::io::listener::{Accepted, Listener, Place};
use crate::io::port::Port;
use crate::io::spooler::Spooler;
use crate::io::stream::{Got, Put, Socket, Stream, gone};

/// Tokens at and above this bit are not connections.
const OTHER: usize = 1 << 63;
/// The token of whatever the daemon itself polls: the signals.
pub const SIGNALS: Token = Token(OTHER);
const LISTENERS: usize = OTHER | 1 << 32;
const DATAGRAMS: usize = OTHER | 2 << 32;
const LINES: usize = OTHER | 4 << 32;
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// An [`Input`] that owns what it tells, for the queue.
#[derive(Debug)]
pub enum Told {
    /// See [`Input::Connected`].
    Connected(Conn, SocketAddr),
    /// See [`Input::Closed`].
    Closed(Conn, Gone),
    /// See [`Input::Sent`]: connection, taken, left.
    Sent(Conn, u64, u64),
    /// See [`Input::Opened`]: blob, length, change time, first bytes.
    Opened(Blob, u64, Wall, Vec<u8>),
    /// See [`Input::Unreadable`].
    Unreadable(Blob, String),
    /// See [`Input::Faulted`].
    Faulted(Blob),
    /// See [`Input::Hashed`].
    Hashed(Span, Option<[u8; 32]>),
    /// See [`Input::Read`].
    Read(Span, Option<Vec<u8>>),
    /// See [`Input::Stored`].
    Stored(Rc<str>, Result<u64, StoreError>),
}

impl Told {
    /// The same, as the contract has it.
    #[must_use]
    pub fn as_input(&self) -> Input<'_> {
        match self {
            Self::Connected(conn, local) => Input::Connected { conn: *conn, local: *local },
            Self::Closed(conn, why) => Input::Closed { conn: *conn, why: *why },
            Self::Sent(conn, bytes, left) => {
                Input::Sent { conn: *conn, bytes: *bytes, left: *left }
            }
            Self::Opened(blob, len, modified, head) => {
                Input::Opened { blob: *blob, facts: Facts { len: *len, modified: *modified, head } }
            }
            Self::Unreadable(blob, why) => Input::Unreadable { blob: *blob, why },
            Self::Faulted(blob) => Input::Faulted { blob: *blob },
            Self::Hashed(span, hash) => Input::Hashed { span: *span, hash: *hash },
            Self::Read(span, bytes) => Input::Read { span: *span, bytes: bytes.as_deref() },
            Self::Stored(name, result) => {
                Input::Stored { name: Rc::clone(name), result: result.clone() }
            }
        }
    }
}

/// What a connection brought when it was read.
#[derive(Debug)]
pub enum Read {
    /// So many bytes of the caller's buffer.
    Bytes(usize),
    /// Bytes went where they were directed.
    Filled(Blob, u64),
    /// The peer sends no more.
    Ended,
    /// Nothing (now, or it is over and [`Reactor::poll_told`] says so).
    Nothing,
}

/// Everything of a node that the kernel knows.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    events: Events,
    listeners: Vec<Option<Listener>>,
    datagrams: Vec<Option<Datagram>>,
    lines: Option<Lines>,
    ports: Side<Port>,
    /// Ports where something has come.
    heard: VecDeque<Conn>,
    hashing: Hashing,
    streams: Side<Stream>,
    incoming: Option<Socket>,
    maps: Side<Rc<Map>>,
    gathered: Side<Rc<Gathered>>,
    faulted: Side<()>,
    library: Option<File>,
    songs: Option<File>,
    files: Option<File>,
    spooler: Option<Spooler>,
    ready: VecDeque<Conn>,
    dirty: VecDeque<Conn>,
    /// What is to be hashed once everything that waited to be sent is on its way.
    hashes: VecDeque<(Span, Rc<Map>)>,
    told: VecDeque<Told>,
    notes: Vec<(Level, String)>,
    conns_max: usize,
    /// When it was last said that no connection can be accepted.
    said_full: Option<Mono>,
}

impl Reactor {
    /// A reactor without sockets that will hold at most `conns_max` connections.
    ///
    /// # Errors
    /// The system's, when there is no epoll.
    pub fn new(conns_max: usize) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            listeners: Vec::new(),
            datagrams: Vec::new(),
            lines: None,
            ports: Side::default(),
            heard: VecDeque::new(),
            hashing: Hashing::default(),
            streams: Side::default(),
            incoming: None,
            maps: Side::default(),
            gathered: Side::default(),
            faulted: Side::default(),
            library: None,
            songs: None,
            files: None,
            spooler: None,
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            hashes: VecDeque::new(),
            told: VecDeque::new(),
            notes: Vec::new(),
            conns_max: conns_max.clamp(1, limits::CONNS_MAX),
            said_full: None,
        })
    }

    /// For sources of the daemon's own.
    #[must_use]
    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Listens; gives the place it really got (port 0 becomes a port).
    ///
    /// # Errors
    /// The system's, when the address cannot be bound.
    pub fn listen(&mut self, service: Service, place: &Place) -> io::Result<Place> {
        if let Place::Udp(addr) = place {
            return self.bind(service, *addr).map(Place::Udp);
        }
        let mut listener = Listener::open(service, place)?;
        let index = free_slot(&mut self.listeners);
        self.poll.registry().register(
            listener.source(),
            Token(LISTENERS | index),
            Interest::READABLE,
        )?;
        let place = listener.place.clone();
        self.listeners[index] = Some(listener);
        Ok(place)
    }

    /// Stops listening.
    pub fn unlisten(&mut self, service: Service, place: &Place) {
        if let Place::Udp(addr) = place {
            self.unbind(service, *addr);
        }
        for slot in &mut self.listeners {
            if slot.as_ref().is_some_and(|l| l.service == service && l.place == *place) {
                *slot = None;
            }
        }
    }

    /// Where connections are listened for, and for what.
    pub fn places(&self) -> impl Iterator<Item = (Service, &Place)> {
        self.listeners.iter().flatten().map(|l| (l.service, &l.place))
    }

    /// The directory that [`crate::base::port::Output::Open`] paths are below.
    pub fn set_library(&mut self, directory: Option<File>) {
        self.library = directory;
    }

    /// The directory that [`crate::base::port::Output::OpenSong`] paths are below.
    pub fn set_songs(&mut self, directory: Option<File>) {
        self.songs = directory;
    }

    /// The directory that [`crate::base::port::Output::OpenFile`] paths are below.
    pub fn set_files(&mut self, directory: Option<File>) {
        self.files = directory;
    }

    /// The store that [`crate::base::port::Output::Store`] writes to.
    pub fn set_spooler(&mut self, spooler: Option<Spooler>) {
        self.spooler = spooler;
    }

    /// Waits for events, at most so long; `true` when [`SIGNALS`] were among them.
    ///
    /// # Errors
    /// The system's, when epoll itself fails.
    pub fn poll(&mut self, timeout: Option<Duration>, now: Mono) -> io::Result<bool> {
        let timeout = if self.is_busy() { Some(Duration::ZERO) } else { self.rested(timeout, now) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut signals = false;
        for event in &events {
            signals |= self.note(event);
        }
        self.events = events;
        Ok(signals)
    }

    /// Whether there is work that no event will announce.
    fn is_busy(&self) -> bool {
        let backlog = |l: &Listener| l.readable && l.paused_until.is_none();
        !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.hashes.is_empty()
            || !self.told.is_empty()
            || !self.heard.is_empty()
            || self.hashing.is_busy()
            || self.spooler.as_ref().is_some_and(Spooler::is_busy)
            || self.listeners.iter().flatten().any(backlog)
            || self.datagrams.iter().flatten().any(|d| d.readable || d.wants_flush())
            || self.lines.as_ref().is_some_and(Lines::wants_read)
    }

    /// The timeout, cut to the end of the earliest listener's rest.
    fn rested(&self, timeout: Option<Duration>, now: Mono) -> Option<Duration> {
        let rests = self.listeners.iter().flatten().filter_map(|l| l.paused_until);
        let rest = rests.min().map(|until| until.since(now) + Duration::from_millis(1));
        timeout.into_iter().chain(rest).min()
    }

    /// Keeps an event's readiness; `true` for the signals.
    fn note(&mut self, event: &Event) -> bool {
        let token = event.token().0;
        if token == SIGNALS.0 {
            return true;
        }
        let index = token & 0xffff_ffff;
        if token == LINES {
            self.lines.iter_mut().for_each(Lines::note);
        } else if token & OTHER == 0 {
            self.note_stream(Conn(Key::from_bits(token as u64)), event);
        } else if token & LISTENERS == LISTENERS {
            if let Some(listener) = self.listeners.get_mut(index).and_then(Option::as_mut) {
                listener.readable = true;
            }
        } else if let Some(datagram) = self.datagrams.get_mut(index).and_then(Option::as_mut) {
            datagram.readable |= event.is_readable() || event.is_error();
            datagram.writable |= event.is_writable() || event.is_error();
        }
        false
    }

    fn note_stream(&mut self, conn: Conn, event: &Event) {
        let Some(stream) = self.streams.get_mut(conn.0) else {
            return self.note_port(conn, event);
        };
        let broken = event.is_error();
        stream.readable |= event.is_readable() || event.is_read_closed() || broken;
        stream.writable |= event.is_writable() || event.is_write_closed() || broken;
        if broken || stream.connecting {
            self.check_connection(conn);
        }
        self.list(conn);
        self.mark_dirty(conn);
    }

    /// Settles a dial, and finds errors that neither reading nor writing would meet.
    fn check_connection(&mut self, conn: Conn) {
        let Some(stream) = self.streams.get_mut(conn.0) else { return };
        match stream.socket.take_error() {
            Ok(Some(error)) | Err(error) => return self.drop_stream(conn, gone(&error)),
            Ok(None) => {}
        }
        let Socket::Tcp(socket) = &stream.socket else { return };
        if stream.connecting && socket.peer_addr().is_ok() {
            stream.connecting = false;
            stream.writable = true;
            if let Ok(local) = socket.local_addr() {
                self.told.push_back(Told::Connected(conn, local));
            }
        }
    }

    fn list(&mut self, conn: Conn) {
        let Some(stream) = self.streams.get_mut(conn.0) else { return };
        if stream.wants_read() && !stream.listed {
            stream.listed = true;
            self.ready.push_back(conn);
        }
    }

    fn mark_dirty(&mut self, conn: Conn) {
        let Some(stream) = self.streams.get_mut(conn.0) else { return };
        let work = stream.queued() > 0 || (stream.finish && !stream.finished);
        let work = work || stream.end == Some(End::Flushed);
        if work && stream.writable && !stream.connecting && !stream.dirty {
            stream.dirty = true;
            self.dirty.push_back(conn);
        }
    }

    /// How many connections wait to be read this turn.
    #[must_use]
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The next connection to read.
    pub fn next_ready(&mut self) -> Option<Conn> {
        let conn = self.ready.pop_front()?;
        if let Some(stream) = self.streams.get_mut(conn.0) {
            stream.listed = false;
        }
        Some(conn)
    }

    /// Reads once from a connection that wants to be read.
    pub fn read(&mut self, conn: Conn, buffer: &mut [u8]) -> Read {
        let Some(stream) = self.streams.get_mut(conn.0).filter(|s| s.wants_read()) else {
            return Read::Nothing;
        };
        match stream.read(buffer) {
            Got::Bytes(count) => Read::Bytes(count),
            Got::Filled(blob, upto) => Read::Filled(blob, upto),
            Got::End => Read::Ended,
            Got::Nothing => Read::Nothing,
            Got::Broken(why) => {
                self.drop_stream(conn, why);
                Read::Nothing
            }
        }
    }

    /// Puts a connection back on the list when its budget ended before its bytes did.
    pub fn read_later(&mut self, conn: Conn) {
        self.list(conn);
    }

    /// How many connections wait to be flushed this turn.
    #[must_use]
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Flushes the next dirty connection; `false` when there is none.
    pub fn flush_next(&mut self, buffer: &mut [u8]) -> bool {
        let Some(conn) = self.dirty.pop_front() else { return false };
        let Some(stream) = self.streams.get_mut(conn.0) else { return true };
        stream.dirty = false;
        let last = stream.mapped();
        match stream.flush(limits::WRITE_BUDGET_BYTES) {
            Put::Bytes(bytes, _) => self.flushed(conn, bytes, last, buffer),
            Put::Broken(why) => self.drop_stream(conn, why),
            Put::Faulted(blob) => self.fault(conn, blob),
        }
        true
    }

    fn flushed(
        &mut self,
        conn: Conn,
        bytes: u64,
        last: Option<(Blob, Rc<Map>)>,
        buffer: &mut [u8],
    ) {
        let Some(stream) = self.streams.get_mut(conn.0) else { return };
        let left = stream.queued();
        if let Some((blob, map)) = last.filter(|_| left == 0) {
            let home = match map.home() {
                Home::Library => &self.library,
                Home::Songs => &self.songs,
                Home::Files => &self.files,
            };
            let whole = home.as_ref().is_none_or(|d| map.is_whole(d.as_fd()));
            if !whole {
                return self.fault(conn, blob);
            }
        }
        if bytes > 0 {
            self.told.push_back(Told::Sent(conn, bytes, left));
        }
        if left == 0 && stream.end == Some(End::Flushed) {
            stream.discard(buffer);
            self.drop_stream(conn, Gone::Closed);
        } else {
            self.mark_dirty(conn);
        }
    }

    /// Ends a connection whose bytes are no longer there; the blob's damage is told once.
    fn fault(&mut self, conn: Conn, blob: Blob) {
        if self.faulted.insert(blob.0, ()).is_none() {
            self.told.push_back(Told::Faulted(blob));
        }
        if let Some(stream) = self.streams.get_mut(conn.0) {
            stream.reset_on_close(true);
        }
        self.drop_stream(conn, Gone::Faulted);
    }

    fn drop_stream(&mut self, conn: Conn, why: Gone) {
        if let Some(mut stream) = self.streams.remove(conn.0) {
            // Closing the descriptor would do as well; this keeps epoll's books exact.
            self.poll.registry().deregister(stream.socket.source()).ok();
            self.told.push_back(Told::Closed(conn, why));
            self.wake_listeners();
        }
    }

    /// A descriptor is free: listeners that rest for want of one go on below nine tenths, so that
    /// they do not stop again at once.
    fn wake_listeners(&mut self) {
        if self.streams.len() < (self.conns_max - self.conns_max / 10).max(1) {
            self.listeners.iter_mut().flatten().for_each(|l| l.paused_until = None);
        }
    }

    /// What happened by itself since the last question.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// What the log should say.
    pub fn poll_note(&mut self) -> Option<(Level, String)> {
        self.notes.pop()
    }

    /// How many listener slots [`Reactor::accept`] knows.
    #[must_use]
    pub fn listeners_len(&self) -> usize {
        self.listeners.len()
    }

    /// Takes one waiting connection of a listener; the [`Input::Incoming`] to tell.
    pub fn accept(&mut self, index: usize, now: Now) -> Option<Input<'static>> {
        let full = self.streams.len() >= self.conns_max;
        let listener = self.listeners[index].as_mut()?;
        if !listener.is_due(now.mono) {
            return None;
        }
        if full {
            self.rest(index, now, &format!("{} connections are open", self.conns_max));
            return None;
        }
        match listener.accept() {
            Accepted::One(socket, local, peer) => {
                let service = listener.service;
                self.incoming = Some(socket);
                Some(Input::Incoming { service, local, peer })
            }
            Accepted::Nothing => None,
            Accepted::Exhausted(error) => {
                self.rest(index, now, &error.to_string());
                None
            }
        }
    }

    fn rest(&mut self, index: usize, now: Now, why: &str) {
        let Some(listener) = self.listeners[index].as_mut() else { return };
        listener.pause(now.mono);
        let silent = self.said_full.is_none_or(|at| now.mono.since(at) >= limits::SAY_AGAIN);
        if silent {
            self.said_full = Some(now.mono);
            let (service, place) = (listener.service.name(), listener.place.to_string());
            self.notes.push((
                Level::Warn,
                format!(
                    "{service} on {place}: no connection can be accepted ({why}); trying again \
                     each second; raise the descriptor limit (LimitNOFILE=) if this stays"
                ),
            ));
        }
    }

    /// Refuses the connection of the last [`Reactor::accept`] unless the node took it.
    pub fn refuse_unclaimed(&mut self) {
        self.incoming = None;
    }

    /// Hashes what was asked for, as much as one turn may take.
    pub fn hash(&mut self) {
        let mut left = limits::HASH_BUDGET_BYTES;
        while let Some((span, map)) = self.hashes.pop_front() {
            let library = self.library.as_ref().map(AsFd::as_fd);
            let hash = map.hash(library, span.from, span.len);
            self.told.push_back(Told::Hashed(span, hash));
            left = left.saturating_sub(span.len);
            if left == 0 {
                return;
            }
        }
    }

    /// Writes a slice of what is to be stored.
    pub fn spool(&mut self) {
        if let Some((name, result)) = self.spooler.as_mut().and_then(Spooler::step) {
            self.told.push_back(Told::Stored(name, result));
        }
    }

    /// Connections open now.
    #[must_use]
    pub fn conns_len(&self) -> usize {
        self.streams.len()
    }
}

fn free_slot<T>(slots: &mut Vec<Option<T>>) -> usize {
    slots.iter().position(Option::is_none).unwrap_or_else(|| {
        slots.push(None);
        slots.len() - 1
    })
}

#[cfg(test)]
mod tests;

//! What every machine is lent while it handles something. See the parent for the contract.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::arena::Arena;
use crate::base::limits;
use crate::base::port::{Blob, Conn, End, Gather, Output, Payload, Service, Wake, Why};
use crate::base::rng::Rng;
use crate::base::time::{Mono, Now};
use crate::base::wheel::{Timer, Wheel};

/// What the node knows of every connection.
#[derive(Debug)]
pub struct Peer {
    /// Whose it is.
    pub service: Service,
    /// The other end; none on a Unix socket.
    pub addr: Option<SocketAddr>,
    /// Its one timer.
    pub timer: Option<Timer>,
    /// Whether it has been told to close.
    pub closing: bool,
    /// When it began.
    pub since: Mono,
}

/// What every machine is lent while it handles something: the time, the way out, the timers, the
/// arenas. The node owns it.
#[derive(Debug)]
pub struct Cx {
    /// This turn's time.
    pub now: Now,
    /// What is to be done, in order.
    pub out: VecDeque<Output>,
    /// The one timer wheel.
    pub wheel: Wheel<Wake>,
    /// Jitter.
    pub rng: Rng,
    /// Every connection.
    pub peers: Arena<Peer>,
    /// Every blob.
    pub blobs: Arena<()>,
}

impl Cx {
    /// Empty, at a time, with the seed of all its jitter.
    #[must_use]
    pub fn new(now: Now, seed: u64) -> Self {
        Self {
            now,
            out: VecDeque::new(),
            wheel: Wheel::new(now.mono),
            rng: Rng::new(seed),
            peers: Arena::new(limits::CONNS_MAX),
            blobs: Arena::new(limits::BLOBS_MAX),
        }
    }

    /// Takes the connection of this [`crate::base::port::Input::Incoming`]; it must answer within
    /// `patience`.
    pub fn accept(
        &mut self,
        service: Service,
        addr: Option<SocketAddr>,
        (why, patience): (Why, Duration),
    ) -> Option<Conn> {
        let conn = self.enter(service, addr)?;
        self.out.push_back(Output::Accept { conn });
        self.arm(conn, why, patience);
        Some(conn)
    }

    /// Dials; the connection must stand within `patience`.
    pub fn dial(
        &mut self,
        service: Service,
        (to, from): (SocketAddr, Option<IpAddr>),
        (why, patience): (Why, Duration),
    ) -> Option<Conn> {
        let conn = self.enter(service, Some(to))?;
        self.out.push_back(Output::Dial { conn, to, from });
        self.arm(conn, why, patience);
        Some(conn)
    }

    /// Opens a UDP port of its own at an address of ours, for one peer.
    pub fn open_port(
        &mut self,
        service: Service,
        (peer, at): (SocketAddr, IpAddr),
        (why, patience): (Why, Duration),
    ) -> Option<Conn> {
        let conn = self.enter(service, Some(peer))?;
        self.out.push_back(Output::OpenPort { conn, at });
        self.arm(conn, why, patience);
        Some(conn)
    }

    fn enter(&mut self, service: Service, addr: Option<SocketAddr>) -> Option<Conn> {
        let since = self.now.mono;
        let peer = Peer { service, addr, timer: None, closing: false, since };
        self.peers.insert(peer).map(Conn)
    }

    /// Sets a connection's one timer, in place of the one it had.
    pub fn arm(&mut self, conn: Conn, why: Why, after: Duration) {
        self.disarm(conn);
        let Some(peer) = self.peers.get_mut(conn.0).filter(|p| !p.closing) else { return };
        let wake = Wake { why, what: conn.0.to_bits() };
        peer.timer = Some(self.wheel.insert(self.now.mono.after(after), wake));
    }

    /// Takes a connection's timer away.
    pub fn disarm(&mut self, conn: Conn) {
        let Some(peer) = self.peers.get_mut(conn.0).filter(|p| !p.closing) else { return };
        if let Some(old) = peer.timer.take() {
            self.wheel.cancel(old);
        }
    }

    /// Sets a timer that belongs to no connection.
    pub fn wake(&mut self, why: Why, what: u64, after: Duration) -> Timer {
        self.wheel.insert(self.now.mono.after(after), Wake { why, what })
    }

    /// Queues bytes on a connection that is not being closed.
    pub fn send(&mut self, conn: Conn, payload: Payload) {
        if self.is_open(conn) {
            self.out.push_back(Output::Send { conn, payload });
        }
    }

    /// Half-closes a connection after what is queued.
    pub fn finish(&mut self, conn: Conn) {
        if self.is_open(conn) {
            self.out.push_back(Output::Finish { conn });
        }
    }

    /// Ends a connection; a flush that does not end is cut off by [`Why::ClosePatience`].
    pub fn close(&mut self, conn: Conn, end: End) {
        if !self.is_open(conn) {
            return;
        }
        self.arm(conn, Why::ClosePatience, limits::DRAIN_MAX);
        if let Some(peer) = self.peers.get_mut(conn.0) {
            peer.closing = true;
        }
        self.out.push_back(Output::Close { conn, end });
    }

    /// Whether a connection is known and has not been told to close.
    #[must_use]
    pub fn is_open(&self, conn: Conn) -> bool {
        self.peers.get(conn.0).is_some_and(|p| !p.closing)
    }

    /// Maps a library file.
    pub fn open(&mut self, path: Rc<str>) -> Option<Blob> {
        let blob = self.blobs.insert(()).map(Blob)?;
        self.out.push_back(Output::Open { blob, path });
        Some(blob)
    }

    /// Maps a file of the directory of songs.
    pub fn open_song(&mut self, path: Rc<str>) -> Option<Blob> {
        let blob = self.blobs.insert(()).map(Blob)?;
        self.out.push_back(Output::OpenSong { blob, path });
        Some(blob)
    }

    /// Maps a file of the directory of files.
    pub fn open_file(&mut self, path: Rc<str>) -> Option<Blob> {
        let blob = self.blobs.insert(()).map(Blob)?;
        self.out.push_back(Output::OpenFile { blob, path });
        Some(blob)
    }

    /// Makes a blob to receive into.
    pub fn create(&mut self, max: u64) -> Option<Blob> {
        let blob = self.blobs.insert(()).map(Blob)?;
        self.out.push_back(Output::Create { blob, max });
        Some(blob)
    }

    /// Makes a blob of this, whose pieces may be ranges of another.
    pub fn keep(&mut self, of: Option<Blob>, gather: Gather) -> Option<Blob> {
        let blob = self.blobs.insert(()).map(Blob)?;
        self.out.push_back(Output::Keep { blob, of, gather });
        Some(blob)
    }

    /// Gives a blob up; a second time does nothing.
    pub fn release(&mut self, blob: Blob) {
        if self.blobs.remove(blob.0).is_some() {
            self.out.push_back(Output::Release { blob });
        }
    }
}

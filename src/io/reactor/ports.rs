//! Ports of transfers: what comes to them, room for what waits, and files hashed beside.

use std::net::SocketAddr;

use mio::event::Event;

use crate::base::port::{Blob, Conn};
use crate::io::port::Went;
use crate::io::reactor::{Reactor, Told};

impl Reactor {
    pub(super) fn note_port(&mut self, conn: Conn, event: &Event) {
        let Some(port) = self.ports.get_mut(conn.0) else { return };
        port.readable |= event.is_readable() || event.is_error();
        if port.readable && !port.listed {
            port.listed = true;
            self.heard.push_back(conn);
        }
        if event.is_writable() {
            let went = port.flush();
            self.went(went);
        }
    }

    pub(super) fn went(&mut self, went: Went) {
        if let Went::Faulted(blob) = went {
            self.lost_bytes(blob);
        }
    }

    fn lost_bytes(&mut self, blob: Blob) {
        if self.faulted.insert(blob.0, ()).is_none() {
            self.told.push_back(Told::Faulted(blob));
        }
    }

    /// How many ports have something.
    #[must_use]
    pub fn heard_len(&self) -> usize {
        self.heard.len()
    }

    /// The next port that has something.
    pub fn next_heard(&mut self) -> Option<Conn> {
        let conn = self.heard.pop_front()?;
        if let Some(port) = self.ports.get_mut(conn.0) {
            port.listed = false;
        }
        Some(conn)
    }

    /// One datagram of a port into the buffer.
    pub fn hear(&mut self, conn: Conn, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let port = self.ports.get_mut(conn.0).filter(|port| port.readable)?;
        let (count, from) = port.receive(buffer)?;
        Some((from, count))
    }

    /// Puts a port back on the list when its turn ended before its datagrams did.
    pub fn hear_later(&mut self, conn: Conn) {
        if let Some(port) = self.ports.get_mut(conn.0).filter(|port| port.readable && !port.listed)
        {
            port.listed = true;
            self.heard.push_back(conn);
        }
    }

    /// Hashes a little.
    pub fn hash_some(&mut self) {
        if let Some((span, hash)) = self.hashing.step() {
            self.told.push_back(Told::Hashed(span, hash));
        }
    }
}

//! The reactor's UDP sockets and its source of lines: what the live ticker needs of it, and any
//! later service that speaks in datagrams.

use std::io;
use std::net::SocketAddr;

use mio::{Interest, Token};

use crate::base::limits;
use crate::base::port::{Level, Service};
use crate::base::text::escaped;
use crate::base::time::Mono;
use crate::io::datagram::Datagram;
use crate::io::lines::{Lines, Taken};
use crate::io::reactor::{DATAGRAMS, LINES, Reactor, free_slot};

impl Reactor {
    /// Binds a UDP socket; gives the address it really got.
    ///
    /// # Errors
    /// The system's, when the address cannot be bound.
    pub fn bind(&mut self, service: Service, addr: SocketAddr) -> io::Result<SocketAddr> {
        let mut datagram = Datagram::open(service, addr)?;
        let index = free_slot(&mut self.datagrams);
        self.poll.registry().register(
            &mut datagram.socket,
            Token(DATAGRAMS | index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let addr = datagram.socket.local_addr()?;
        self.datagrams[index] = Some(datagram);
        Ok(addr)
    }

    /// Closes a UDP socket.
    pub(super) fn unbind(&mut self, service: Service, addr: SocketAddr) {
        for slot in &mut self.datagrams {
            let is_it = |d: &Datagram| {
                d.service == service && d.socket.local_addr().is_ok_and(|at| at == addr)
            };
            if slot.as_ref().is_some_and(is_it) {
                *slot = None;
            }
        }
    }

    /// How many UDP sockets [`Reactor::receive`] knows.
    #[must_use]
    pub fn datagrams_len(&self) -> usize {
        self.datagrams.len()
    }

    /// Takes one datagram of a UDP socket: for what, from where, how long.
    pub fn receive(
        &mut self,
        index: usize,
        buffer: &mut [u8],
    ) -> Option<(Service, SocketAddr, usize)> {
        let datagram = self.datagrams[index].as_mut().filter(|d| d.readable)?;
        let (count, from) = datagram.receive(buffer)?;
        Some((datagram.service, from, count))
    }

    /// Sends some of the datagrams that wait; the rest in later turns.
    pub fn send_datagrams(&mut self, now: Mono) {
        for datagram in self.datagrams.iter_mut().flatten() {
            datagram.flush(limits::DATAGRAM_BUDGET);
            if let Some(count) = datagram.report(now) {
                let service = datagram.service.name();
                let text = format!(
                    "{service}: {count} datagrams could not be sent: no way to their receivers, \
                     or more than this machine sends"
                );
                self.notes.push((Level::Warn, text));
            }
        }
    }

    /// Whether datagrams wait to be sent.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.datagrams.iter().flatten().any(Datagram::is_sending)
    }

    /// The source that [`crate::base::port::Input::Lines`] comes from, in place of the one before.
    ///
    /// # Errors
    /// The system's, when it cannot be polled.
    pub fn set_lines(&mut self, lines: Option<Lines>) -> io::Result<()> {
        // The old one's descriptor leaves epoll when it is closed.
        self.lines = None;
        if let Some(lines) = lines {
            lines.register(self.poll.registry(), Token(LINES))?;
            self.lines = Some(lines);
        }
        Ok(())
    }

    /// Whether the source of lines is written while it is read.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.lines.as_ref().is_some_and(Lines::is_live)
    }

    /// Reads once from the source of lines.
    pub fn read_lines(&mut self, buffer: &mut [u8]) -> Taken {
        let Some(lines) = self.lines.as_mut().filter(|l| l.wants_read()) else {
            return Taken::Nothing;
        };
        let most = buffer.len().min(limits::EVENTS_READ_BYTES_MAX);
        let registry = self.poll.registry();
        lines.read(&mut buffer[..most], (registry, Token(LINES))).unwrap_or_else(|error| {
            let why = escaped(error.to_string().as_bytes());
            let text = format!("events: the source of lines can no longer be read: {why}");
            self.notes.push((Level::Error, text));
            self.lines = None;
            Taken::Ended
        })
    }
}

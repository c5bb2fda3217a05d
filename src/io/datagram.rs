//! One UDP socket: receives into the loop's buffer, sends payloads from own bytes and maps without
//! a copy. What the socket has no room for is dropped and counted: datagrams may be lost anyway,
//! and whoever needs them repeats them. Owned and called by the reactor.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;

use crate::base::port::Service;
use crate::io::blobs::{Part, send_parts};

/// A bound UDP socket.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) socket: UdpSocket,
    pub(super) service: Service,
    pub(super) readable: bool,
    pub(super) dropped: u64,
}

impl Datagram {
    pub(super) fn open(service: Service, addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(addr)?, service, readable: true, dropped: 0 })
    }

    /// One datagram into the buffer; nothing when there is none.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match self.socket.recv_from(buffer) {
            Ok(got) => Some(got),
            Err(e) => {
                // Anything else is an earlier send's ICMP error: the next datagram is behind it.
                self.readable = e.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Sends one datagram, or counts it as dropped.
    pub(super) fn send(&mut self, to: SocketAddr, parts: &[Part<'_>]) {
        if send_parts(&self.socket, to, parts).is_err() {
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_as_it_was_put_together() {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut ours = Datagram::open(Service::Http, any).unwrap();
        let theirs = std::net::UdpSocket::bind(any).unwrap();
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        ours.send(theirs.local_addr().unwrap(), &[Part::Own(b"he"), Part::Own(b"llo")]);
        let mut buffer = [0; 16];
        let (count, from) = theirs.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], ours.dropped), (&b"hello"[..], 0));
        theirs.send_to(b"back", from).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let got = loop {
            if let Some((count, _)) = ours.receive(&mut buffer) {
                break buffer[..count].to_vec();
            }
            assert!(std::time::Instant::now() < deadline, "no datagram came");
        };
        assert_eq!(got, b"back");
    }
}

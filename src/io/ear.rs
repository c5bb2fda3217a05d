//! One UDP socket with one peer, one clock and the signals of a person's program: what
//! `vidstream events` waits on. It decides nothing and knows no protocol; bytes go in and out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use crate::base::time::Mono;
use crate::io::clock::Clock;
use crate::io::signals::Signals;

/// Bytes that the kernel may keep for us while we write to a slow terminal; it may give less.
const BUFFER_BYTES: usize = 4 << 20;

/// A socket that hears one peer.
#[derive(Debug)]
pub struct Ear {
    poll: Poll,
    events: Events,
    socket: UdpSocket,
    signals: Signals,
    clock: Clock,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// A datagram of so many bytes, in the caller's buffer.
    Datagram(usize),
    /// The peer's system says that nobody listens there.
    Refused,
    /// The person wants it to end.
    Stop,
    /// The time is over.
    Nothing,
}

impl Ear {
    /// Opens a socket for a peer, from an address of ours when one is named.
    ///
    /// # Errors
    /// The system's: no such address here, or no way there.
    pub fn open(peer: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let any = match peer {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut socket = UdpSocket::bind(SocketAddr::new(from.unwrap_or(any), 0))?;
        // From here on the kernel passes over what others send.
        socket.connect(peer)?;
        let more = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_ok();
        if !more {
            SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES).ok();
        }
        let mut signals = Signals::new()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        poll.registry().register(&mut signals, Token(1), Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(4), socket, signals, clock: Clock::new() })
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Mono {
        self.clock.read().mono
    }

    /// Sends a datagram, if the system takes it: what must arrive is sent again.
    pub fn send(&self, bytes: &[u8]) {
        self.socket.send(bytes).ok();
    }

    /// Waits until something happens, at most until a time.
    ///
    /// # Errors
    /// The system's, when it cannot be waited or received.
    pub fn wait(&mut self, until: Option<Mono>, buffer: &mut [u8]) -> io::Result<Came> {
        loop {
            let taken = self.signals.take();
            // SIGHUP is the end of the terminal: for a person's program that is the same.
            if taken.stop || taken.stop_again || taken.reload {
                return Ok(Came::Stop);
            }
            match self.socket.recv(buffer) {
                Ok(count) => return Ok(Came::Datagram(count)),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(Came::Refused),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            let left = until.map(|at| at.since(self.now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Came::Nothing);
            }
            match self.poll.poll(&mut self.events, left) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_hears_its_peer_and_nobody_else() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut ear = Ear::open(peer.local_addr().unwrap(), None).unwrap();
        ear.send(b"hello");
        let mut buffer = [0; 16];
        let (_, from) = peer.recv_from(&mut buffer).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"stranger", from).unwrap();
        peer.send_to(b"peer", from).unwrap();
        let until = ear.now().after(Duration::from_secs(5));
        assert_eq!(ear.wait(Some(until), &mut buffer).unwrap(), Came::Datagram(4));
        assert_eq!(&buffer[..4], b"peer");
        let until = ear.now().after(Duration::from_millis(20));
        assert_eq!(ear.wait(Some(until), &mut buffer).unwrap(), Came::Nothing);
        drop(peer);
        ear.send(b"anybody?");
        let until = ear.now().after(Duration::from_secs(5));
        assert_eq!(ear.wait(Some(until), &mut buffer).unwrap(), Came::Refused);
    }
}

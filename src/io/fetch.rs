//! What `vidstream files` waits on: a UDP socket that hears any port of a server, a clock, and the
//! signals of a person's program. It decides nothing and knows no protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use crate::base::limits;
use crate::base::time::{Mono, Now};
use crate::io::blobs::{Batch, receive_batches, set_option};
use crate::io::clock::Clock;
use crate::io::signals::Signals;

/// Bytes that the kernel may keep for us; it may give less.
const BUFFER_BYTES: usize = 8 << 20;
/// Bytes of datagrams that come as one.
const BATCH_BYTES: usize = 64 << 10;

/// From this token on there are others, who wake it too.
pub(super) const GUESTS: Token = Token(2);

/// A socket, a clock and signals.
#[derive(Debug)]
pub struct Fetch {
    poll: Poll,
    events: Events,
    socket: UdpSocket,
    signals: Signals,
    clock: Clock,
    buffers: Vec<Box<[u8]>>,
    batches: Vec<Batch>,
    /// Whether more may have come than was taken: the kernel tells only once that something has.
    more: bool,
    stop: bool,
}

impl Fetch {
    /// Opens a socket for a server, from an address of ours when one is named.
    ///
    /// # Errors
    /// The system's: no such address here.
    pub fn open(server: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut socket = UdpSocket::bind(SocketAddr::new(from.unwrap_or(any), 0))?;
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
            SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES).ok();
        }
        // Without it each datagram comes by itself, which is slower and no less right.
        set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1).ok();
        let mut signals = Signals::new()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        poll.registry().register(&mut signals, Token(1), Interest::READABLE)?;
        let buffers = (0..limits::FILES_BATCHES_MAX).map(|_| vec![0; BATCH_BYTES].into());
        Ok(Self {
            poll,
            events: Events::with_capacity(32),
            socket,
            signals,
            clock: Clock::new(),
            buffers: buffers.collect(),
            batches: Vec::new(),
            more: false,
            stop: false,
        })
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Mono {
        self.both_clocks().mono
    }

    /// And the calendar's.
    #[must_use]
    pub fn both_clocks(&self) -> Now {
        self.clock.read()
    }

    /// Where others register who are to end its waiting.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Whether the person wants it to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop
    }

    /// Sends a datagram, if the system takes it: what must arrive is sent again.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).ok();
    }

    /// Waits until something comes, at most until a time; not at all when something is left of what
    /// has come.
    ///
    /// # Errors
    /// The system's, when it cannot be waited.
    pub fn wait(&mut self, until: Option<Mono>) -> io::Result<()> {
        // The kernel counts whole milliseconds, and a timer must not be looked for too early.
        let left = until.map(|at| at.since(self.now()) + Duration::from_micros(999));
        let left = if self.more { Some(Duration::ZERO) } else { left };
        match self.poll.poll(&mut self.events, left) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let taken = self.signals.take();
        // SIGHUP is the end of the terminal: for a person's program that is the same.
        self.stop |= taken.stop || taken.stop_again || taken.reload;
        Ok(())
    }

    /// Takes what has come, as much as one call gives, and shows each datagram; `false` when
    /// nothing has.
    ///
    /// # Errors
    /// The system's.
    pub fn receive<'a>(
        &'a mut self,
        mut each: impl FnMut(SocketAddr, &'a [u8]),
    ) -> io::Result<bool> {
        self.batches.clear();
        self.more = true;
        match receive_batches(&self.socket, &mut self.buffers, &mut self.batches) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.more = false;
                return Ok(false);
            }
            // An earlier datagram of ours met nobody; the next one is behind that news.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            result => result?,
        }
        for (batch, buffer) in self.batches.iter().zip(&self.buffers) {
            for datagram in buffer[..batch.len].chunks(batch.segment.max(1)) {
                each(batch.from, datagram);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_was_sent_together_comes_datagram_by_datagram() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut fetch = Fetch::open(peer.local_addr().unwrap(), None).unwrap();
        fetch.send(peer.local_addr().unwrap(), b"hello");
        let mut buffer = [0; 16];
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"hello");
        set_option(&peer, libc::SOL_UDP, libc::UDP_SEGMENT, 3).unwrap();
        peer.send_to(b"onetwosix9", from).unwrap();
        let until = fetch.now().after(Duration::from_secs(5));
        let mut got = Vec::new();
        while got.len() < 4 && fetch.now() < until {
            fetch.wait(Some(until)).unwrap();
            fetch.receive(|_, bytes| got.push(bytes.to_vec())).unwrap();
        }
        assert_eq!(got, [&b"one"[..], b"two", b"six", b"9"]);
        assert!(!fetch.receive(|_, _| ()).unwrap() && !fetch.is_stopped());
    }

    #[test]
    fn what_was_left_is_not_waited_for() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut fetch = Fetch::open(peer.local_addr().unwrap(), None).unwrap();
        fetch.send(peer.local_addr().unwrap(), b"hello");
        let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
        let count = limits::FILES_BATCHES_MAX * 2;
        for _ in 0..count {
            peer.send_to(b"one", from).unwrap();
        }
        // All have come, and nothing comes that could wake anybody.
        let (mut got, until) = (0, fetch.now().after(Duration::from_secs(20)));
        while got < count {
            fetch.wait(Some(until)).unwrap();
            assert!(fetch.receive(|_, _| got += 1).unwrap(), "it woke for something");
        }
        assert!(fetch.now() < until, "it was not waited for");
        assert!(!fetch.receive(|_, _| ()).unwrap());
    }
}

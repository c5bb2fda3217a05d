//! One UDP socket: receives into the loop's buffer, sends single datagrams, and rounds of one
//! datagram to each of many. What the kernel has no room for is dropped and counted when it is a
//! single one: whoever needs those repeats them. A round waits and goes on when there is room; only
//! when rounds pile up is what remains of the oldest dropped, and said. Owned by the reactor.
//!
//! A round is a cursor over one list and one text, however many it goes to. It is sent in batches
//! by `sendmmsg`, which saves a few in a hundred against one `sendto` each; connected sockets cost
//! more, and segmentation is for one receiver (`benches/events`). The rest is the kernel's work.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use socket2::SockRef;

use crate::base::limits;
use crate::base::port::Service;
use crate::base::time::Mono;
use crate::io::blobs::{Part, send_parts};

/// A bound UDP socket.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) socket: UdpSocket,
    pub(super) service: Service,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) dropped: u64,
    rounds: VecDeque<Round>,
    /// Room for the heads of one batch; made with the first round.
    heads: Option<MultiHeaders<SockaddrStorage>>,
    /// When it was last said what was dropped, and how much that was in all.
    said: Option<(Mono, u64)>,
}

/// One datagram on its way to many.
#[derive(Debug)]
struct Round {
    to: Rc<[SocketAddr]>,
    bytes: Rc<[u8]>,
    /// How many have it.
    done: usize,
}

impl Datagram {
    pub(super) fn open(service: Service, addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        // Everybody may register at once, as after a restart. The system may give less.
        SockRef::from(&socket).set_recv_buffer_size(limits::DATAGRAM_RECEIVE_BYTES_MAX).ok();
        Ok(Self {
            socket,
            service,
            readable: true,
            writable: true,
            dropped: 0,
            rounds: VecDeque::new(),
            heads: None,
            said: None,
        })
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

    /// Queues one datagram for each of many; [`Datagram::flush`] sends them.
    pub(super) fn send_all(&mut self, to: Rc<[SocketAddr]>, bytes: Rc<[u8]>) {
        if self.rounds.len() >= limits::DATAGRAM_ROUNDS_MAX {
            let oldest = self.rounds.pop_front();
            self.dropped += oldest.map_or(0, |round| (round.to.len() - round.done) as u64);
        }
        self.rounds.push_back(Round { to, bytes, done: 0 });
    }

    /// Whether rounds wait.
    pub(super) fn is_sending(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// Whether rounds wait that the kernel has room for.
    pub(super) fn wants_flush(&self) -> bool {
        self.writable && self.is_sending()
    }

    /// Sends at most so many datagrams of the rounds that wait.
    pub(super) fn flush(&mut self, most: usize) {
        let mut tried = 0;
        while tried < most && self.wants_flush() {
            tried += self.send_batch(most - tried);
        }
    }

    /// Sends the next few of the first round; how many were tried.
    fn send_batch(&mut self, most: usize) -> usize {
        let Some(round) = self.rounds.front_mut() else { return 0 };
        let rest = &round.to[round.done..];
        let batch = &rest[..rest.len().min(most).min(limits::DATAGRAM_BATCH_MAX)];
        let heads = self
            .heads
            .get_or_insert_with(|| MultiHeaders::preallocate(limits::DATAGRAM_BATCH_MAX, None));
        let bytes = [IoSlice::new(&round.bytes)];
        let addresses: [Option<SockaddrStorage>; limits::DATAGRAM_BATCH_MAX] =
            std::array::from_fn(|i| batch.get(i).map(|to| SockaddrStorage::from(*to)));
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let slices = batch.iter().map(|_| &bytes);
        let sent = sendmmsg(fd, heads, slices, &addresses[..batch.len()], [], flags);
        let tried = match sent.map(Iterator::count) {
            Ok(count) => count,
            Err(Errno::EAGAIN) => {
                self.writable = false;
                0
            }
            Err(Errno::EINTR) => 0,
            // The first of them cannot be reached; the others can.
            Err(_) => {
                self.dropped += 1;
                1
            }
        };
        round.done += tried;
        if round.done >= round.to.len() {
            self.rounds.pop_front();
        }
        tried
    }

    /// What was dropped since it was last said, once a minute at most.
    pub(super) fn report(&mut self, now: Mono) -> Option<u64> {
        let (since, told) = self.said.map_or((None, 0), |(at, told)| (Some(at), told));
        let due = since.is_none_or(|at| now.since(at) >= limits::SAY_AGAIN);
        if self.dropped == told || !due {
            return None;
        }
        self.said = Some((now, self.dropped));
        Some(self.dropped - told)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn theirs() -> std::net::UdpSocket {
        let socket = std::net::UdpSocket::bind(any()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn a_datagram_arrives_as_it_was_put_together() {
        let mut ours = Datagram::open(Service::Http, any()).unwrap();
        let theirs = theirs();
        ours.send(theirs.local_addr().unwrap(), &[Part::Own(b"he"), Part::Own(b"llo")]);
        let mut buffer = [0; 16];
        let (count, from) = theirs.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], ours.dropped), (&b"hello"[..], 0));
        theirs.send_to(b"back", from).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let got = loop {
            if let Some((count, _)) = ours.receive(&mut buffer) {
                break buffer[..count].to_vec();
            }
            assert!(Instant::now() < deadline, "no datagram came");
        };
        assert_eq!(got, b"back");
    }

    #[test]
    fn a_round_reaches_everybody_in_order_and_as_much_at_once_as_is_allowed() {
        let mut ours = Datagram::open(Service::Events, any()).unwrap();
        let all: Vec<_> = (0..5).map(|_| theirs()).collect();
        let to: Rc<[SocketAddr]> = all.iter().map(|s| s.local_addr().unwrap()).collect();
        ours.send_all(Rc::clone(&to), (*b"one").into());
        ours.send_all(to, (*b"two").into());
        ours.flush(7);
        assert!(ours.is_sending());
        ours.flush(7);
        assert!(!ours.is_sending() && ours.dropped == 0);
        for socket in &all {
            let mut buffer = [0; 16];
            for text in [b"one", b"two"] {
                let (count, _) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..count], text);
            }
        }
    }

    #[test]
    fn who_cannot_be_reached_is_passed_over_and_counted() {
        let mut ours = Datagram::open(Service::Events, any()).unwrap();
        let last = theirs();
        // Broadcast needs a permission that the socket has not got.
        let to = ["255.255.255.255:9".parse().unwrap(), last.local_addr().unwrap()];
        ours.send_all(Rc::new(to), (*b"x").into());
        ours.flush(10);
        assert_eq!(last.recv_from(&mut [0; 4]).unwrap().0, 1);
        assert_eq!((ours.dropped, ours.is_sending()), (1, false));
        assert_eq!(ours.report(Mono(1)), Some(1));
        assert_eq!(ours.report(Mono(2)), None);
        ours.dropped += 2;
        assert_eq!(ours.report(Mono(3)), None, "not each time");
        assert_eq!(ours.report(Mono(3).after(limits::SAY_AGAIN)), Some(2));
    }

    #[test]
    fn a_round_waits_while_there_is_no_room() {
        let mut ours = Datagram::open(Service::Events, any()).unwrap();
        let last = theirs();
        let to: Rc<[SocketAddr]> = Rc::new([last.local_addr().unwrap()]);
        ours.writable = false;
        for number in 0..limits::DATAGRAM_ROUNDS_MAX + 3 {
            ours.send_all(Rc::clone(&to), Rc::new([u8::try_from(number).unwrap()]));
            ours.flush(10);
        }
        assert_eq!((ours.dropped, ours.wants_flush(), ours.is_sending()), (3, false, true));
        ours.writable = true;
        ours.flush(100);
        let mut buffer = [0; 4];
        let got: Vec<_> = (0..limits::DATAGRAM_ROUNDS_MAX)
            .map(|_| last.recv_from(&mut buffer).map(|_| usize::from(buffer[0])).unwrap())
            .collect();
        assert_eq!(got, (3..limits::DATAGRAM_ROUNDS_MAX + 3).collect::<Vec<_>>());
    }
}

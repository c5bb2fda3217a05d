//! The UDP port of one transfer: trains of datagrams out, straight from a file's map, and whatever
//! comes in. What the kernel has no room for waits, a bounded number of trains of it, and goes when
//! there is room. Owned by the reactor.
//!
//! A page of the file that is not in memory makes the send wait for the disk, and with it the loop.
//! So the disk is asked ahead of what is sent. What remains: the first bytes of a transfer, a disk
//! that is slower than the transfer, and pages that were thrown out again before they were sent;
//! there the loop waits for one read each time, which holds the transfer at the disk's rate.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use mio::net::UdpSocket;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use crate::base::limits;
use crate::base::port::{Blob, Train};
use crate::io::blobs::{Map, Part, send_parts, send_train, set_option};

/// Bytes that the kernel is asked to keep for what is sent; it may give less.
const SEND_BYTES: usize = 4 << 20;
/// And of what comes: acks only.
const RECEIVE_BYTES: usize = 1 << 20;

/// A port with one peer.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) readable: bool,
    pub(super) listed: bool,
    waiting: VecDeque<Waiting>,
    /// Whether the kernel cuts trains.
    cuts: bool,
    pub(super) dropped: u64,
    /// Up to here the file is asked for from the disk.
    asked: u64,
}

#[derive(Debug)]
struct Waiting {
    to: SocketAddr,
    blob: Blob,
    map: Rc<Map>,
    train: Train,
}

/// What became of a train.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Went {
    Out,
    /// The bytes of this blob are no longer there.
    Faulted(Blob),
}

impl Port {
    pub(super) fn open(at: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(at, 0))?;
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BYTES).is_err() {
            SockRef::from(&socket).set_send_buffer_size(SEND_BYTES).ok();
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES).is_err() {
            SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BYTES).ok();
        }
        // Whole or not at all, whatever the kernel believes of the path: it is probed.
        let (level, name, probe) = if at.is_ipv4() {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
        };
        set_option(&socket, level, name, probe).ok();
        let waiting = VecDeque::new();
        Ok(Self {
            socket,
            readable: true,
            listed: false,
            waiting,
            cuts: true,
            dropped: 0,
            asked: 0,
        })
    }

    /// One datagram into the buffer; nothing when there is none.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match self.socket.recv_from(buffer) {
            Ok(got) => Some(got),
            Err(e) => {
                // Anything else is an earlier send's error: the next datagram is behind it.
                self.readable = e.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Sends one datagram, if the kernel takes it: what must arrive is said again.
    pub(super) fn say(&mut self, to: SocketAddr, bytes: &[u8]) {
        if send_parts(&self.socket, to, &[Part::Own(bytes)]).is_err() {
            self.dropped += 1;
        }
    }

    /// Sends a train, or lets it wait behind others.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        (blob, map): (Blob, &Rc<Map>),
        train: Train,
    ) -> Went {
        self.ask_ahead(map, &train);
        if self.waiting.is_empty() {
            match self.put(to, map, &train) {
                Ok(()) => return Went::Out,
                Err(e) if e.raw_os_error() == Some(libc::EFAULT) => return Went::Faulted(blob),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.dropped += train.bodies.len() as u64;
                    return Went::Out;
                }
            }
        }
        if self.waiting.len() >= limits::FILES_TRAINS_MAX {
            self.dropped += train.bodies.len() as u64;
        } else {
            self.waiting.push_back(Waiting { to, blob, map: Rc::clone(map), train });
        }
        Went::Out
    }

    /// Has the disk begin with what goes next, so that the send of it need not wait for the disk.
    fn ask_ahead(&mut self, map: &Map, train: &Train) {
        let Some((from, _)) = train.bodies.last() else { return };
        if *from + limits::FILES_AHEAD_BYTES / 2 >= self.asked {
            let begin = self.asked.max(*from);
            self.asked = begin + limits::FILES_AHEAD_BYTES;
            map.will_need(begin, limits::FILES_AHEAD_BYTES);
        }
    }

    /// There is room again.
    pub(super) fn flush(&mut self) -> Went {
        while let Some(first) = self.waiting.pop_front() {
            match self.put(first.to, &first.map, &first.train) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push_front(first);
                    break;
                }
                Err(e) if e.raw_os_error() == Some(libc::EFAULT) => {
                    return Went::Faulted(first.blob);
                }
                Err(_) => self.dropped += first.train.bodies.len() as u64,
            }
        }
        Went::Out
    }

    fn put(&mut self, to: SocketAddr, map: &Map, train: &Train) -> io::Result<()> {
        if self.cuts {
            let head = train.heads.len() / train.bodies.len().max(1);
            let segment = train.bodies.first().map_or(0, |(_, len)| head + *len as usize);
            let segment = u16::try_from(segment).ok();
            match send_train(&self.socket, to, map, train, segment) {
                // Some devices cannot: then one at a time.
                Err(e)
                    if train.bodies.len() > 1
                        && matches!(e.raw_os_error(), Some(libc::EIO | libc::EINVAL)) =>
                {
                    self.cuts = false;
                }
                result => return result.map(|_| ()),
            }
        }
        let head = (train.heads.len() / train.bodies.len().max(1)).max(1);
        let mut result = Ok(());
        for (head, (from, len)) in train.heads.chunks_exact(head).zip(&train.bodies) {
            let parts = [Part::Own(head), Part::Mapped(map, *from, (*len).into())];
            match send_parts(&self.socket, to, &parts) {
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::EFAULT) => return Err(e),
                // The rest of it counts as lost.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.dropped += 1,
                Err(e) => result = Err(e),
            }
        }
        result
    }
}

//! A transfer of an original server: fragments by number, in any order, from any of its ports.
//! Where a fragment belongs is known only when all before it are there; until then it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::base::limits;
use crate::files::receiver::Placed;
use crate::files::wire::HEAD;

/// Ports of one server that acks go to.
const PORTS: usize = 3;

/// The receiving end.
#[derive(Debug, Default)]
pub(super) struct Plain {
    next: u32,
    offset: u64,
    kept: BTreeMap<u32, Box<[u8]>>,
    kept_bytes: u64,
    end: Option<u32>,
    /// Where data came from: the transfer port, and that of repeats, which an original server does
    /// not listen at.
    ports: BTreeSet<SocketAddr>,
    pub(super) datagrams: u64,
    pub(super) duplicates: u64,
    highest: u32,
}

impl Plain {
    /// Remembers a port; to all of them goes each ack.
    pub(super) fn from(&mut self, port: SocketAddr) {
        if self.ports.len() < PORTS {
            self.ports.insert(port);
        }
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports.iter().copied()
    }

    /// A fragment: where it belongs, if that is known; and whether it may be acked.
    pub(super) fn came(&mut self, seq: u32, body: &[u8]) -> (Option<Placed>, bool) {
        self.datagrams += 1;
        self.highest = self.highest.max(seq);
        if seq < self.next || self.kept.contains_key(&seq) {
            self.duplicates += 1;
            return (None, true);
        }
        if seq > self.next {
            let room = self.kept_bytes + body.len() as u64 <= limits::FILES_BUFFER_BYTES;
            if room {
                self.kept_bytes += body.len() as u64;
                self.kept.insert(seq, body.into());
            }
            return (None, room);
        }
        let placed = Placed { offset: self.offset, at: HEAD, len: body.len() };
        self.next += 1;
        self.offset += body.len() as u64;
        (Some(placed), true)
    }

    /// One that was kept and whose place is known now.
    pub(super) fn poll_kept(&mut self) -> Option<(u64, Box<[u8]>)> {
        let body = self.kept.remove(&self.next)?;
        self.kept_bytes -= body.len() as u64;
        let offset = self.offset;
        self.next += 1;
        self.offset += body.len() as u64;
        Some((offset, body))
    }

    /// The server says that all before this number is sent.
    pub(super) fn ended(&mut self, seq: u32) {
        self.end = Some(seq);
    }

    /// Whether the first fragment has come, and nothing else.
    pub(super) fn is_first(&self) -> bool {
        self.next == 1 && self.kept.is_empty() && self.end.is_none()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Fragments that were sent, as far as can be told from their numbers.
    pub(super) fn sent(&self) -> u64 {
        u64::from(self.highest) + u64::from(self.datagrams > 0) + self.duplicates
    }
}

//! What goes wrong in a world: deaths, partitions, strangers, forged heads.

use core::time::Duration;
use std::net::SocketAddr;

use crate::base::port::{Conn, Gone};
use crate::mesh::wire::{self, Message};

use super::{LATENCY, News, World, now, other};

/// The node that somebody talks to, and over what.
pub(in crate::mesh::tests) type Stranger = (usize, usize, Conn);

/// By how much forged air times are too early.
const TOO_EARLY: Duration = Duration::from_secs(30);

impl World {
    /// The root's process starts again, with nothing but its settings.
    pub(in crate::mesh::tests) fn restart_root(&mut self) {
        self.restart_as(77);
    }

    /// The same as another run of the channel.
    pub(in crate::mesh::tests) fn restart_as(&mut self, epoch: u64) {
        for pipe in &mut self.pipes {
            for end in pipe.iter_mut() {
                *end = end.filter(|(host, _)| *host != 0);
            }
        }
        let slots = self.hosts[0].slots;
        self.unplan(0);
        let members = self.hosts.split_off(1);
        self.hosts.clear();
        self.root_of(slots, epoch, Vec::new());
        self.hosts.extend(members);
    }

    /// Nothing is said, and nothing ever comes back from there.
    pub(in crate::mesh::tests) fn kill_silently(&mut self, host: usize) {
        self.hosts[host].dead = true;
    }

    /// Its process dies: its system resets every connection.
    pub(in crate::mesh::tests) fn kill(&mut self, host: usize) {
        self.hosts[host].dead = true;
        self.hosts[host].left = true;
        let ends: Vec<_> = self.hosts[host].sockets.values().map(|s| s.end).collect();
        for end in ends {
            self.post(self.mono.after(LATENCY), other(end), News::Closed(Gone::Reset));
        }
    }

    /// The connections that `from` made to `to` are gone, and `to` does not hear of it.
    pub(in crate::mesh::tests) fn cut_quietly(&mut self, from: usize, to: usize) {
        for pipe in 0..self.pipes.len() {
            let [Some((dialler, conn)), Some((taker, _))] = self.pipes[pipe] else { continue };
            if (dialler, taker) == (from, to) {
                self.pipes[pipe] = [None, None];
                self.hosts[from].cx.now = now(self.mono);
                self.hosts[from].closed(conn, Gone::Unreachable);
                self.settle(from);
            }
        }
    }

    /// Somebody who is no node connects to one, from this address, and says hello; none when the
    /// connection is not taken.
    pub(in crate::mesh::tests) fn stranger(
        &mut self,
        host: usize,
        ip: [u8; 4],
        hello: &[u8],
    ) -> Option<Stranger> {
        let peer = SocketAddr::from((ip, 999));
        self.pipes.push([None, None]);
        let pipe = self.pipes.len() - 1;
        self.arrive((pipe, 1), News::Incoming { to: host, peer });
        let (_, conn) = self.pipes[pipe][1]?;
        self.say((host, pipe, conn), hello);
        Some((host, pipe, conn))
    }

    pub(in crate::mesh::tests) fn say(&mut self, (_, pipe, _): Stranger, bytes: &[u8]) {
        self.arrive((pipe, 1), News::Bytes(bytes.to_vec()));
    }

    pub(in crate::mesh::tests) fn hang_up(&mut self, (_, pipe, _): Stranger) {
        self.arrive((pipe, 1), News::Closed(Gone::Reset));
    }

    /// What was said to a stranger so far.
    pub(in crate::mesh::tests) fn heard(&self, stranger: Stranger) -> Vec<Message> {
        let messages = self.answered(stranger);
        let bytes = |message: &Message| matches!(message, Message::Block(_));
        assert!(!messages.iter().any(bytes), "strangers get no bytes");
        messages
    }

    /// The same of one that may get bytes: they are passed over.
    pub(in crate::mesh::tests) fn answered(&self, (_, pipe, _): Stranger) -> Vec<Message> {
        let mut bytes = self.heard.get(&pipe).map_or(&[][..], |bytes| &bytes[..]);
        let mut messages = Vec::new();
        while let Some(parsed) = wire::parse(bytes).unwrap() {
            bytes = &bytes[parsed.used..];
            if let Message::Block(block) = &parsed.message {
                bytes = bytes.get(block.range.len()..).unwrap_or_default();
            }
            messages.push(parsed.message);
        }
        messages
    }

    pub(in crate::mesh::tests) fn is_open(&self, (host, _, conn): Stranger) -> bool {
        self.hosts[host].cx.is_open(conn)
    }

    /// One that takes nothing takes so much of what a host sends to it.
    pub(in crate::mesh::tests) fn sip(&mut self, host: usize, child: usize, bytes: u64) {
        let is_there = |conn: &Conn| {
            let (pipe, end) = self.hosts[host].sockets[conn].end;
            self.pipes[pipe][1 - end].is_some_and(|(far, _)| far == child)
        };
        let conns: Vec<Conn> = self.hosts[host].sockets.keys().copied().filter(is_there).collect();
        let it = &mut self.hosts[host];
        it.cx.now = now(self.mono);
        for conn in conns {
            it.mesh.sent(&mut it.cx, conn, bytes);
        }
        self.settle(host);
    }

    /// The network is whole again: what was on its way arrives.
    pub(in crate::mesh::tests) fn heal(&mut self) {
        self.cut_off.clear();
        for (end, news) in core::mem::take(&mut self.crossing) {
            self.post(self.mono.after(LATENCY), end, news);
        }
    }

    /// Whether the two ends of a connection cannot reach each other.
    pub(super) fn is_cut(&self, end: (usize, usize), news: &News) -> bool {
        let [dialler, taker] = self.pipes[end.0].map(|end| end.map(|(host, _)| host));
        let taker = match news {
            News::Incoming { to, .. } => Some(*to),
            _ => taker,
        };
        let apart = |a, b| self.cut_off.contains(&a) != self.cut_off.contains(&b);
        dialler.zip(taker).is_some_and(|(a, b)| apart(a, b))
    }
}

/// A head with another hash of the block, and another air time.
pub(super) fn agreeing(head: &[u8], body: &[u8]) -> Vec<u8> {
    match wire::parse(head).unwrap().unwrap().message {
        Message::Block(mut block) => {
            block.stripe_hash = blake3::hash(body).into();
            Message::Block(block).emit()
        }
        other => panic!("bytes behind {other:?}"),
    }
}

pub(super) fn forged(head: &[u8]) -> Vec<u8> {
    match wire::parse(head).unwrap().unwrap().message {
        Message::Block(mut block) => {
            block.block_hash[0] ^= 1;
            block.air = block.air - TOO_EARLY;
            Message::Block(block).emit()
        }
        other => panic!("bytes behind {other:?}"),
    }
}

//! One node of a world: what it got, and what it lets go of again.

use crate::base::port::{Blob, Conn, Gone, Service};
use crate::mesh::Event;

use super::{Host, block_bytes};

impl Host {
    /// A connection is gone, as the node that owns the arena handles it.
    pub(super) fn closed(&mut self, conn: Conn, why: Gone) {
        if self.sockets.remove(&conn).is_none() {
            return;
        }
        if let Some(peer) = self.cx.peers.remove(conn.0) {
            if let Some(timer) = peer.timer {
                self.cx.wheel.cancel(timer);
            }
            assert_eq!(peer.service, Service::Mesh);
            self.lobby.closed(&self.cx, conn);
            self.mesh.closed(&mut self.cx, conn, why);
        }
    }

    /// What it got is none of the others' business any more.
    pub(in crate::mesh::tests) fn forget(&mut self) {
        (self.missed, self.late, self.got) = (Vec::new(), Vec::new(), Vec::new());
        self.dead = true;
    }

    /// Looks its books through.
    pub(in crate::mesh::tests) fn check(&self) {
        self.mesh.check_invariants(&self.cx);
    }

    pub(super) fn data(&mut self, conn: Conn, bytes: &[u8]) {
        if !self.lobby.has(conn) {
            return self.mesh.data(&mut self.cx, conn, bytes);
        }
        let Some(guest) = self.lobby.data(&mut self.cx, conn, bytes) else { return };
        if guest.channel() == self.mesh.channel() {
            self.mesh.admit(&mut self.cx, guest);
        } else {
            self.lobby.refuse(&mut self.cx, &guest, &[self.mesh.channel()]);
        }
    }

    /// Keeps a block as a window does, and lets the oldest go.
    pub(super) fn keep(&mut self, blob: Blob) {
        self.kept.push_back(blob);
        if self.kept.len() > 12 {
            let old = self.kept.pop_front().unwrap();
            self.drop_kept(old);
        }
    }

    fn drop_kept(&mut self, blob: Blob) {
        self.mesh.retire(blob);
        self.cx.release(blob);
    }

    /// The node lets go of all blocks.
    pub(in crate::mesh::tests) fn empty(&mut self) {
        for blob in core::mem::take(&mut self.kept) {
            self.drop_kept(blob);
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        match &event {
            Event::Block(block) => {
                let bytes = &self.blobs[&block.blob];
                assert!(*bytes == block_bytes(block.seq, bytes.len()), "the right bytes");
                if block.at > block.starts_at && !self.got.is_empty() {
                    self.late.push(block.seq);
                }
                self.got.push(block.seq);
                self.keep(block.blob);
            }
            Event::Missed { seq } => self.missed.push(*seq),
            Event::Left => self.left = true,
            _ => {}
        }
        self.events.push(event);
    }
}

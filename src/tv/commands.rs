//! Connections on the command port: three bytes in, perhaps a text out, then both hang up. Knows
//! the form of commands, not their meaning; `server` gives that.
//!
//! | state | told | becomes |
//! |---|---|---|
//! | asking | three bytes | answered: [`Commands::data`] gives them, [`Commands::answer`] follows |
//! | | end, patience over | closed |
//! | | too many others | closed, the longest waiting first |
//! | answered | more bytes | they are forgotten |
//! | | end, linger over | closed |
//!
//! They are read all the same: closing on unread bytes would be a reset, and might take the answer
//! out of the sender's hands.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Payload, Service, Why};
use crate::tv::callback::canonical;
use crate::tv::wire::COMMAND_BYTES;

#[derive(Debug)]
struct Asking {
    address: IpAddr,
    bytes: [u8; COMMAND_BYTES],
    count: usize,
    answered: bool,
    extra: u64,
    order: u64,
}

/// Every connection on the command port.
#[derive(Default, Debug)]
pub(super) struct Commands {
    conns: Side<Asking>,
    /// Those that have not asked yet, oldest first.
    silent: BTreeMap<u64, Conn>,
    order: u64,
    /// Connections that ended without three bytes.
    pub(super) unasked: u64,
}

impl Commands {
    /// Takes a connection in; when there are too many, the oldest that has not asked makes room.
    pub(super) fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>, max: usize) {
        let Some(peer) = peer else { return };
        if self.conns.len() >= max {
            let Some((_, oldest)) = self.silent.pop_first() else { return };
            self.conns.remove(oldest.0);
            self.unasked += 1;
            cx.close(oldest, End::Reset);
        }
        let patience = (Why::CommandPatience, limits::TV_COMMAND_PATIENCE);
        let Some(conn) = cx.accept(Service::Tv, Some(peer), patience) else { return };
        self.order += 1;
        self.silent.insert(self.order, conn);
        let (bytes, count, answered, extra) = ([0; COMMAND_BYTES], 0, false, 0);
        let address = canonical(peer.ip());
        let asking = Asking { address, bytes, count, answered, extra, order: self.order };
        self.conns.insert(conn.0, asking);
    }

    /// Bytes came; the command and its sender when that makes it whole.
    pub(super) fn data(
        &mut self,
        cx: &mut Cx,
        conn: Conn,
        bytes: &[u8],
    ) -> Option<([u8; COMMAND_BYTES], IpAddr)> {
        let asking = self.conns.get_mut(conn.0)?;
        if asking.answered {
            asking.extra += bytes.len() as u64;
            if asking.extra > limits::TV_COMMAND_EXTRA_BYTES_MAX {
                cx.close(conn, End::Reset);
            }
            return None;
        }
        let take = bytes.len().min(COMMAND_BYTES - asking.count);
        asking.bytes[asking.count..asking.count + take].copy_from_slice(&bytes[..take]);
        asking.count += take;
        asking.extra = (bytes.len() - take) as u64;
        if asking.count < COMMAND_BYTES {
            return None;
        }
        asking.answered = true;
        self.silent.remove(&asking.order);
        Some((asking.bytes, asking.address))
    }

    /// Answers a command, perhaps with nothing, and says that no more will come.
    pub(super) fn answer(cx: &mut Cx, conn: Conn, text: Option<String>) {
        if let Some(text) = text {
            cx.send(conn, Payload::bytes(text.into_bytes()));
        }
        cx.finish(conn);
        cx.arm(conn, Why::CommandLinger, limits::TV_LINGER);
    }

    /// The sender hung up.
    pub(super) fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(asking) = self.conns.get(conn.0) else { return };
        self.unasked += u64::from(!asking.answered);
        cx.close(conn, End::Flushed);
    }

    /// [`Why::CommandPatience`] or [`Why::CommandLinger`].
    pub(super) fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        self.ended(cx, conn);
    }

    /// The connection is gone.
    pub(super) fn closed(&mut self, conn: Conn) {
        if let Some(asking) = self.conns.remove(conn.0) {
            self.silent.remove(&asking.order);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn check_invariants(&self) {
        let silent = self.conns.iter().filter(|(_, asking)| !asking.answered).count();
        assert_eq!(silent, self.silent.len(), "each silent connection is in the queue once");
    }
}

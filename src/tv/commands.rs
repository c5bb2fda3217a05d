//! Connections on the command port: three bytes in, perhaps a text out, then both hang up. Knows
//! the form of commands, not their meaning; `server` gives that.
//!
//! | state | told | becomes |
//! |---|---|---|
//! | asking | three bytes | answered: [`Commands::data`] gives them, [`Commands::answer`] follows |
//! | | end, patience over | closed |
//! | answered | more bytes | they are forgotten |
//! | | end, linger over | closed |
//! | either | too many others | closed: first the longest silent, then the longest answered |
//!
//! What follows a command is read and forgotten because closing on unread bytes would be a reset,
//! and might take the answer with it.

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
    /// Those that may make room: first who has not asked yet, then who was answered.
    oldest: BTreeMap<(bool, u64), Conn>,
    order: u64,
    /// Connections that ended without three bytes.
    pub(super) unasked: u64,
}

impl Commands {
    /// Takes a connection in; when there are too many, another makes room.
    pub(super) fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>, max: usize) {
        let Some(peer) = peer else { return };
        if self.conns.len() >= max {
            self.make_room(cx);
        }
        let patience = (Why::CommandPatience, limits::TV_COMMAND_PATIENCE);
        let Some(conn) = cx.accept(Service::Tv, Some(peer), patience) else { return };
        self.order += 1;
        self.oldest.insert((false, self.order), conn);
        let (bytes, count, answered, extra) = ([0; COMMAND_BYTES], 0, false, 0);
        let address = canonical(peer.ip());
        let asking = Asking { address, bytes, count, answered, extra, order: self.order };
        self.conns.insert(conn.0, asking);
    }

    fn make_room(&mut self, cx: &mut Cx) {
        let Some(((answered, _), conn)) = self.oldest.pop_first() else { return };
        self.conns.remove(conn.0);
        self.unasked += u64::from(!answered);
        cx.close(conn, if answered { End::Flushed } else { End::Reset });
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
        self.oldest.remove(&(false, asking.order));
        self.oldest.insert((true, asking.order), conn);
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
            self.oldest.remove(&(asking.answered, asking.order));
        }
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        assert_eq!(self.conns.len(), self.oldest.len(), "each connection is in the order once");
        for ((answered, order), conn) in &self.oldest {
            let asking = self.conns.get(conn.0).expect("what is in the order is known");
            assert_eq!((asking.answered, asking.order), (*answered, *order), "under its state");
            assert!(cx.peers.get(conn.0).is_some(), "a command has a connection");
        }
    }
}

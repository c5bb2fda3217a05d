//! What nodes ask of this one beside their stripes: bytes that are late with them. It goes out
//! behind all that children are promised, over all links: else one node that is late makes those
//! late that help it, and all that hang below these.

use crate::base::limits;
use crate::base::port::{Conn, Cx, Payload};
use crate::base::time::Mono;
use crate::mesh::link::Links;
use crate::mesh::store::Store;
use crate::mesh::wire::{self, Message};

use super::{Feed, payload};

/// A request, and when it came or was last answered in part: whoever asks does not wait for long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    want: wire::Want,
    at: Mono,
}

/// What there is to say to a request.
enum Answer {
    Piece(Payload),
    /// All of it went out before.
    Through,
    Gone,
}

impl Feed {
    /// A child asks for bytes that it misses. It is told at once when it had better ask elsewhere.
    pub(in crate::mesh) fn want(
        &mut self,
        cx: &mut Cx,
        links: &mut Links,
        (conn, want): (Conn, wire::Want),
        store: &Store,
    ) {
        let now = cx.now.mono;
        let many = self.wanted >= limits::MESH_WANTS_WAITING_MAX && self.is_busy(now, links);
        let refused = many || self.is_behind(now, links, store);
        let Some(child) = self.children.get_mut(&conn) else { return };
        child.account.used = now;
        let stripe = usize::from(want.stripe);
        let from = u64::from(want.range.start);
        let there = store.sendable(want.seq, stripe).filter(|(filled, _)| *filled > from);
        let bytes = there.map_or(0, |(filled, _)| filled.min(want.range.end.into()) - from);
        let full = child.account.wants.len() >= limits::MESH_WANTS_MAX;
        let refused = refused || full || bytes == 0;
        if refused || !self.rescue.as_mut().is_none_or(|bucket| bucket.take(now, bytes)) {
            return links.say(cx, conn, &gone(&want));
        }
        child.account.wants.push_back(Asked { want, at: now });
        self.wanted += 1;
    }

    /// Whether a child is so far behind the newest block that this node has no bytes to spare for
    /// others. One that takes nothing at all is dead, not slow, and costs no bytes.
    fn is_behind(&self, now: Mono, links: &Links, store: &Store) -> bool {
        let Some(newest) = store.newest() else { return false };
        let served = self.children.iter().filter(|(_, child)| child.served);
        let slow = served.filter(|(conn, _)| !links.is_stuck(now, **conn)).map(|(_, child)| child);
        let mut oldest = slow.flat_map(|c| c.account.cursors.iter().map(|at| at.seq));
        oldest.any(|seq| seq.saturating_add(limits::MESH_BEHIND_MAX) < newest)
    }

    /// Whether the uplink is taken up by what children are promised. One of several that waits may
    /// be slow itself.
    fn is_busy(&self, now: Mono, links: &Links) -> bool {
        let (mut served, mut waiting) = (0, 0);
        for (conn, child) in self.children.iter().filter(|(_, child)| child.served) {
            if links.is_stuck(now, *conn) {
                continue;
            }
            served += 1;
            waiting += usize::from(child.pushed && links.queued(*conn) > 0);
        }
        waiting > 0 && waiting >= served.min(2)
    }

    /// Whoever has waited for too long is told to ask elsewhere.
    fn give_up(&mut self, cx: &mut Cx, links: &mut Links) {
        let now = cx.now.mono;
        for (conn, child) in
            self.children.iter_mut().filter(|(_, child)| !child.account.wants.is_empty())
        {
            child.account.wants.retain(|asked| {
                let old = now.since(asked.at) > limits::MESH_WANT_WAITS_MAX;
                if old {
                    self.wanted -= 1;
                    links.say(cx, *conn, &gone(&asked.want));
                }
                !old
            });
        }
    }

    /// Answers requests, one piece for each child in its turn, while there is room for it.
    pub(in crate::mesh) fn pump_wants(&mut self, cx: &mut Cx, links: &mut Links, store: &Store) {
        if self.wanted == 0 {
            return;
        }
        self.give_up(cx, links);
        if self.is_busy(cx.now.mono, links) {
            return;
        }
        let asking = self.children.iter().filter(|(_, child)| !child.account.wants.is_empty());
        let asking: Vec<Conn> = asking.map(|(conn, _)| *conn).collect();
        let next = asking.partition_point(|conn| self.answered.is_some_and(|last| *conn <= last));
        let (before, after) = asking.split_at(next);
        let under_way =
            |conn: &&Conn| links.queued(**conn) > 0 && !links.is_stuck(cx.now.mono, **conn);
        let mut under_way = asking.iter().filter(under_way).count();
        for conn in after.iter().chain(before).copied() {
            if under_way >= limits::MESH_WANTS_AT_ONCE_MAX {
                return;
            }
            if links.queued(conn) == 0 && self.answer(cx, links, store, conn) {
                self.answered = Some(conn);
                under_way += 1;
            }
        }
    }

    /// Sends a piece of what a child asked for; what is no longer there is answered with gone.
    fn answer(&mut self, cx: &mut Cx, links: &mut Links, store: &Store, conn: Conn) -> bool {
        let now = cx.now.mono;
        while let Some(child) = self.children.get_mut(&conn)
            && let Some(asked) = child.account.wants.front_mut()
        {
            match asked.next(now, store) {
                Answer::Piece(piece) => {
                    (child.account.used, child.pushed) = (now, false);
                    links.send(cx, conn, piece);
                    return true;
                }
                Answer::Through => {}
                Answer::Gone => links.say(cx, conn, &gone(&asked.want)),
            }
            child.account.wants.pop_front();
            self.wanted -= 1;
        }
        false
    }
}

fn gone(want: &wire::Want) -> Message {
    Message::Gone(wire::Gone { seq: want.seq, stripe: want.stripe })
}

impl Asked {
    /// The next piece; the request begins behind it from now on.
    fn next(&mut self, now: Mono, store: &Store) -> Answer {
        let (seq, stripe) = (self.want.seq, usize::from(self.want.stripe));
        let (from, end) = (u64::from(self.want.range.start), u64::from(self.want.range.end));
        let Some((filled, len)) = store.sendable(seq, stripe) else { return Answer::Gone };
        // Whoever does not know how long a stripe is asks for more than there is.
        if from >= len.min(end) {
            return Answer::Through;
        }
        let to = filled.min(end).min(from + limits::MESH_PIECE_BYTES_MAX);
        let piece = if to > from { store.piece(seq, stripe, from..to) } else { None };
        let Some((head, span)) = piece else { return Answer::Gone };
        (self.want.range.start, self.at) = (head.range.end, now);
        Answer::Piece(payload(head, span))
    }
}

//! Heads that contradict each other. Anybody may make up a head whose hashes agree with its bytes,
//! and who comes first would keep the true block out. So the root, whose block it is, is asked for
//! its own head, with one byte; what that contradicts is taken back, and its senders are suspected
//! as those of wrong bytes are: who was deceived itself says so in time, and stays.
//!
//! | block | told | becomes |
//! |---|---|---|
//! | agreed | a head that says something else; stripes that do not make it up | asked |
//! | asked | the root's head | settled: whatever contradicts it is skipped from now on |
//! | | 750 ms over | asked again when there is a reason |

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::time::Mono;
use crate::mesh::store::Corrected;
use crate::mesh::wire::{self, Message, NodeId, Stripes, Want};

use super::{Control, Member};

/// A block of which different things are said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dispute {
    /// The root was asked.
    Asked(Mono),
    /// It has answered.
    Settled,
}

impl Member {
    fn is_root(&self, node: NodeId) -> bool {
        self.root.is_some_and(|(root, _)| root == node)
    }

    /// Whether a head is to be passed over until the root has spoken.
    pub(super) fn is_open_question(&self, seq: u64, node: NodeId) -> bool {
        let asked = matches!(self.disputes.get(&seq), Some(Dispute::Asked(_)));
        let heard = matches!(self.control, Control::Joined(_));
        asked && heard && !self.is_root(node) && self.hub.store.get(seq).is_none()
    }

    /// Before a head is acted upon: when it is the root's, what contradicts it goes. `true`: the
    /// question is settled, and everything of the block is to be asked for.
    pub(super) fn hear_root(&mut self, cx: &mut Cx, node: NodeId, head: &wire::Block) -> bool {
        if !self.is_root(node) {
            return false;
        }
        let Corrected { senders, writers } = self.hub.store.correct(cx, head);
        for conn in writers {
            self.hub.drop_link(cx, conn, End::Reset);
            self.lost(cx, conn, "sent another block");
        }
        for (sender, stripe) in &senders {
            self.set_late(cx, self.hub.late | Stripes::one(*stripe));
            self.suspect(*sender, *stripe, cx.now.mono);
        }
        let open = self.disputes.get_mut(&head.seq);
        let asked = open.is_some_and(|dispute| {
            matches!(core::mem::replace(dispute, Dispute::Settled), Dispute::Asked(_))
        });
        if asked {
            for s in 0..self.intakes.len() {
                self.pulls.remove(&(head.seq, s));
            }
        }
        asked
    }

    /// A head was passed over because it contradicts another one.
    pub(super) fn contradicted(&mut self, cx: &mut Cx, node: NodeId, head: &wire::Block) {
        let (seq, stripe) = (head.seq, head.stripe);
        if self.disputes.get(&seq) == Some(&Dispute::Settled) {
            self.suspect(node, usize::from(stripe), cx.now.mono);
            let gone = wire::Gone { seq, stripe };
            return self.not_there(cx, node, gone);
        }
        self.ask_truth(cx, seq, Stripes::one(usize::from(stripe)));
    }

    /// Asks the root for its heads of some stripes.
    pub(super) fn ask_truth(&mut self, cx: &mut Cx, seq: u64, stripes: Stripes) {
        let now = cx.now.mono;
        let Some((root, _)) = self.root else { return };
        let recent = |dispute: &Dispute| match dispute {
            Dispute::Asked(at) => now.since(*at) < limits::MESH_PULL_PATIENCE,
            Dispute::Settled => false,
        };
        let full = self.disputes.len() >= limits::WINDOW_BLOCKS_MAX;
        if self.disputes.get(&seq).map_or(full, recent) {
            return;
        }
        self.disputes.insert(seq, Dispute::Asked(now));
        for stripe in stripes.iter() {
            let stripe = u8::try_from(stripe).expect("stripes are below 16");
            self.tell(cx, root, Message::Want(Want { seq, stripe, range: 0..1 }));
        }
    }

    /// Blocks that were handed up are no question any more.
    pub(super) fn forget_disputes(&mut self) {
        let next = self.next.unwrap_or(0);
        self.disputes.retain(|seq, _| *seq >= next);
    }

    /// Somebody may have been deceived itself, and then says so before long.
    pub(super) fn suspect(&mut self, node: NodeId, stripe: usize, now: Mono) {
        let feeds = self.intakes[stripe].parent == Some(node);
        if !feeds {
            return self.note_liar(node);
        }
        let known = self.suspects.iter().any(|(who, what, _)| (*who, *what) == (node, stripe));
        if !known && self.suspects.len() < limits::MESH_STRIPES_MAX {
            self.suspects.push((node, stripe, now));
        }
    }

    fn note_liar(&mut self, node: NodeId) {
        let known = self.liars.contains(&node) || self.is_root(node);
        if !known && self.liars.len() < limits::MESH_LIARS_MAX {
            self.liars.push(node);
        }
    }

    /// Those of the suspects whose time is over and who have not said that they were deceived.
    pub(super) fn convicted(&mut self, now: Mono) -> Vec<(NodeId, Stripes, &'static str)> {
        let due = |(_, _, at): &(NodeId, usize, Mono)| now.since(*at) >= limits::MESH_VERDICT_MAX;
        let (judged, open) = core::mem::take(&mut self.suspects).into_iter().partition(due);
        self.suspects = open;
        let mut left = Vec::new();
        for (node, s, _) in judged {
            let says = self.ups.get(&node).is_some_and(|up| up.late.has(s));
            if !says {
                self.note_liar(node);
                left.push((node, self.stripes_from(node), "sent a wrong stripe"));
            }
        }
        left
    }

    /// Passes over a head of which the root was asked. `true`: it did.
    pub(super) fn question(
        &mut self,
        cx: &mut Cx,
        (conn, node): (Conn, NodeId),
        head: &wire::Block,
    ) -> bool {
        let open = self.is_open_question(head.seq, node);
        if open {
            self.ask_truth(cx, head.seq, Stripes::one(usize::from(head.stripe)));
            self.hub.links.put(cx, conn, 0, None);
        }
        open
    }
}

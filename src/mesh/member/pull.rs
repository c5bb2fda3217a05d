//! Bytes that are asked for besides what parents send: of whom, and of whom next. Which are missing
//! is found in `repair`.

use crate::base::limits;
use crate::base::port::Cx;
use crate::base::time::Mono;
use crate::mesh::store::{Held, Part};
use crate::mesh::wire::{self, Message, NodeId, Want};

use super::Member;

/// Bytes that were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Pull {
    /// Of whom; of nobody at the moment.
    pub(super) to: Option<NodeId>,
    pub(super) since: Mono,
    /// How many have been asked.
    pub(super) turn: usize,
    /// Whether bytes come, and the parent was told that they do.
    pub(super) comes: bool,
    /// Whether the root was asked because little time is left.
    rushed: bool,
}

impl Pull {
    /// Whether somebody is to be asked now; `rush` when little time is left.
    fn is_due(&self, now: Mono, candidates: usize, rush: bool) -> bool {
        if self.turn == 0 || (rush && !self.rushed) {
            return true;
        }
        let rounds = u32::try_from(self.turn / candidates).unwrap_or(u32::MAX).clamp(1, 8);
        let patience =
            if self.to.is_some() { limits::MESH_PULL_PATIENCE } else { limits::MESH_AGAIN_MIN };
        now.since(self.since) >= patience * rounds
    }

    /// Whom to ask: one after the other, and the last, which is the root, as soon as there is
    /// little time. It has everything, and bytes to spare for such requests.
    fn ask_next(&mut self, now: Mono, candidates: &[NodeId], rush: bool) -> NodeId {
        let last = rush && self.turn > 0 && !self.rushed;
        let node =
            candidates[if last { candidates.len() - 1 } else { self.turn % candidates.len() }];
        let rushed = self.rushed || last;
        *self = Self { to: Some(node), since: now, turn: self.turn + 1, rushed, ..*self };
        node
    }
}

impl Member {
    /// Whom to ask for bytes of a stripe, best first; the root last.
    fn candidates(&self, s: usize) -> Vec<NodeId> {
        let parent = self.intakes[s].parent;
        let near = self.helpers.iter().filter(|(_, h)| h.has(s)).map(|(node, _)| *node);
        let helpers = self.helpers.iter().map(|(node, _)| *node);
        let parents = self.intakes.iter().filter_map(|i| i.parent).filter(|p| Some(*p) != parent);
        let heir = self.intakes[s].heir;
        let root = self.root.map(|(root, _)| root);
        let mut all: Vec<NodeId> = Vec::new();
        let others = near.chain(helpers).chain(heir).chain(parents).chain(parent);
        for node in others.filter(|node| Some(*node) != root).chain(root) {
            if !all.contains(&node) && !self.liars.contains(&node) && node != self.hub.me {
                all.push(node);
            }
        }
        all
    }

    /// Asks somebody for a stripe of a block, unless that is under way.
    pub(super) fn pull(&mut self, cx: &mut Cx, seq: u64, s: usize) {
        let now = cx.now.mono;
        let room = self.pulls.len() < limits::MESH_WANTS_MAX * 2;
        let candidates = self.candidates(s);
        if candidates.is_empty() || (!room && !self.pulls.contains_key(&(seq, s))) {
            return;
        }
        let rush = self.is_rush(cx, seq);
        if self.pulls.entry((seq, s)).or_default().is_due(now, candidates.len(), rush) {
            self.pull_from(cx, (seq, s), &candidates);
        }
    }

    fn pull_from(&mut self, cx: &mut Cx, (seq, s): (u64, usize), candidates: &[NodeId]) {
        let part = self.hub.store.get(seq).and_then(|held| held.parts.get(s));
        let whole = (0, limits::BLOCK_BYTES_MAX);
        let (from, to) = part.map_or(whole, |part| (part.filled, part.len));
        let offset = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
        let stripe = u8::try_from(s).expect("stripes are below 16");
        let want = Want { seq, stripe, range: offset(from)..offset(to) };
        let rush = self.is_rush(cx, seq);
        let Some(pull) = self.pulls.get_mut(&(seq, s)) else { return };
        let node = pull.ask_next(cx.now.mono, candidates, rush);
        if self.tell(cx, node, Message::Want(want)) {
            self.hub.stats.pulls += 1;
        } else if let Some(pull) = self.pulls.get_mut(&(seq, s)) {
            pull.to = None;
        }
    }

    /// Somebody does not have what it was asked for: the next one is asked.
    pub(super) fn not_there(&mut self, cx: &mut Cx, node: NodeId, gone: wire::Gone) {
        let (seq, s) = (gone.seq, usize::from(gone.stripe));
        let Some(pull) = self.pulls.get_mut(&(seq, s)).filter(|p| p.to == Some(node)) else {
            return;
        };
        pull.to = None;
        let turn = pull.turn;
        let full = |held: &Held| held.parts.get(s).is_none_or(Part::is_full);
        if s >= self.intakes.len() || self.hub.store.get(seq).is_some_and(full) {
            return;
        }
        let candidates = self.candidates(s);
        if turn < candidates.len() {
            self.pull_from(cx, (seq, s), &candidates);
        }
    }

    /// A node is gone, and with it what it was asked for: others are asked.
    pub(super) fn pulls_lost(&mut self, cx: &mut Cx, node: NodeId) {
        let lost = self.pulls.iter().filter(|(_, pull)| pull.to == Some(node));
        let lost: Vec<(u64, usize)> = lost.map(|(what, _)| *what).collect();
        for (seq, s) in lost {
            let candidates = self.candidates(s);
            if let Some(pull) = self.pulls.get_mut(&(seq, s)) {
                pull.to = None;
                if pull.turn < candidates.len() {
                    self.pull_from(cx, (seq, s), &candidates);
                }
            }
        }
    }

    pub(super) fn forget_pulls(&mut self) {
        let next = self.next.unwrap_or(0);
        let store = &self.hub.store;
        let missing = |seq: u64, s: usize| {
            store.get(seq).is_none_or(|held| held.parts.get(s).is_some_and(|p| !p.is_full()))
        };
        self.pulls.retain(|(seq, s), _| *seq >= next && missing(*seq, *s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_asked_after_the_other_and_the_root_when_little_time_is_left() {
        let all = [1, 2, 3, 9].map(NodeId);
        let at = |millis: u64| Mono(millis * 1_000_000);
        let mut pull = Pull::default();
        assert!(pull.is_due(at(0), all.len(), false));
        assert_eq!(pull.ask_next(at(0), &all, false), NodeId(1));
        assert!(!pull.is_due(at(749), all.len(), false) && pull.is_due(at(750), all.len(), false));
        assert_eq!(pull.ask_next(at(750), &all, false), NodeId(2));
        // There is no time to wait for the second, nor for the third.
        assert!(pull.is_due(at(800), all.len(), true));
        assert_eq!(pull.ask_next(at(800), &all, true), NodeId(9));
        assert!(
            !pull.is_due(at(1_549), all.len(), true) && pull.is_due(at(1_550), all.len(), true)
        );
        assert_eq!(pull.ask_next(at(1_550), &all, true), NodeId(9), "it has its turn as well");
        assert_eq!(pull.ask_next(at(2_300), &all, true), NodeId(1));
        pull.to = None;
        assert!(pull.is_due(at(2_500), all.len(), true), "who said no is not waited for");
    }

    #[test]
    fn the_first_asked_is_never_the_root() {
        let all = [1, 9].map(NodeId);
        assert_eq!(Pull::default().ask_next(Mono(0), &all, true), NodeId(1));
    }
}

//! What a member tells people of its parents: the links, how far each is behind, and how long
//! stripes were without one.

use crate::base::port::{Conn, Cx};
use crate::base::time::Mono;
use crate::mesh::event::LinkRow;
use crate::mesh::link::Link;
use crate::mesh::wire::{NodeId, Stripes};

use super::Member;
use super::intake::Upstream;

impl Member {
    pub(in crate::mesh) fn parent_rows(&self, cx: &Cx) -> Vec<LinkRow> {
        let row = |(node, up): (&NodeId, &Upstream)| {
            let link = self.hub.links.get(up.conn);
            LinkRow {
                sends_to_us: true,
                node: Some(*node),
                address: cx.peers.get(up.conn.0).and_then(|peer| peer.addr),
                stripes: self.stripes_from(*node),
                bytes: link.map_or(0, |link| link.received),
                queued: link.map_or(0, Link::queued),
                lag: self.lag_of(*node, up.conn),
            }
        };
        self.ups.iter().map(row).collect()
    }

    /// Blocks between the newest that anybody told of and the last that this parent has begun to
    /// send, in the stripe furthest behind.
    fn lag_of(&self, node: NodeId, conn: Conn) -> u64 {
        let told = self.ups.values().map(|up| up.newest).chain([self.told.0]);
        let newest = told.chain(self.hub.store.last()).max().unwrap_or(0);
        let Some(link) = self.hub.links.get(conn) else { return 0 };
        let begun = |s: usize| link.begun(s).unwrap_or(newest);
        let behind = self.stripes_from(node).iter().map(|s| newest.saturating_sub(begun(s))).max();
        behind.unwrap_or(0)
    }

    /// Notes stripes that are without a parent: what has just happened may have taken it.
    pub(super) fn note_gaps(&mut self, now: Mono) {
        let lacks = |s: &usize| self.intakes[*s].parent.is_none();
        let orphans: Stripes = (0..self.intakes.len()).filter(lacks).collect();
        if !orphans.is_empty() {
            self.gaps.note(now, orphans);
        }
    }

    /// Bytes of a stripe came from a node: when that is its parent, a gap is over.
    pub(super) fn close_gap(&mut self, now: Mono, node: NodeId, stripe: usize) {
        if self.intakes.get(stripe).is_some_and(|intake| intake.parent == Some(node))
            && let Some(took) = self.gaps.close(now, stripe)
        {
            self.hub.repairs.record(took);
        }
    }
}

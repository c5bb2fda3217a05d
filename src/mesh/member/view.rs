//! What a member tells: people of its parents, how far each is behind and how long stripes were
//! without one; the root how it is.

use crate::base::limits;
use crate::base::port::{Conn, Cx};
use crate::base::time::Mono;
use crate::mesh::event::LinkRow;
use crate::mesh::link::Link;
use crate::mesh::wire::{Message, NodeId, Report, Stripes};

use super::intake::Upstream;
use super::{Control, Member};

impl Member {
    pub(in crate::mesh) fn fed_by(&self) -> impl Iterator<Item = Option<NodeId>> {
        self.intakes.iter().map(|intake| intake.parent)
    }

    pub(in crate::mesh) fn parent_rows(&self, cx: &Cx) -> Vec<LinkRow> {
        let row = |node: &NodeId, up: &Upstream| {
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
        self.ups.iter().map(|(node, up)| row(node, up)).collect()
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

    /// Says how it is, every five seconds and when a parent was lost.
    pub(super) fn tell_root(&mut self, cx: &mut Cx) {
        let Control::Joined(conn) = self.control else { return };
        let now = cx.now.mono;
        let due = now.since(self.report_at) >= limits::MESH_REPORT_EVERY;
        if self.losses.is_empty() && !due {
            return;
        }
        let stats = self.hub.stats();
        if due {
            self.report_at = now;
        }
        let few = self.losses.len().min(limits::MESH_LOSSES_MAX);
        let depth = self.hub.paths.iter().map(Vec::len).max().unwrap_or(0);
        let report = Report {
            sent: stats.bytes_sent,
            received: stats.bytes_received,
            rescued: self.rescued,
            late: stats.blocks_late,
            goodput: self.hub.links.goodput(now),
            depth: u16::try_from(depth).unwrap_or(u16::MAX),
            losses: self.losses.drain(..few).collect(),
        };
        self.hub.links.say(cx, conn, &Message::Report(report));
    }

    /// Notes stripes that are without a parent: what has just happened may have taken it.
    pub(super) fn note_gaps(&mut self, now: Mono) {
        if self.intakes.is_calm() {
            return;
        }
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

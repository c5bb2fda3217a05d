//! What is done about intakes four times a second: answers that do not come, planned parents asked
//! again, links that carry nothing.

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::time::Mono;
use crate::mesh::wire::{NodeId, Stripes};

use super::{Asked, Intake, Member};

impl Member {
    /// Subscriptions that nobody answers, and stripes that found nobody.
    pub(in crate::mesh::member) fn settle_intakes(&mut self, cx: &mut Cx) {
        let now = cx.now.mono;
        let mut orphans = Stripes::EMPTY;
        for (s, intake) in self.intakes.iter_mut().enumerate() {
            let over = |a: &Asked| now.since(a.since) > limits::MESH_ASK_PATIENCE;
            if let Some(asked) = intake.asked.filter(over) {
                intake.asked = None;
                intake.tried.push(asked.node);
            }
            if intake.parent.is_none() && intake.asked.is_none() {
                orphans.add(s);
                if now >= intake.again_at {
                    intake.tried.retain(|node| Some(*node) != intake.planned);
                    intake.again_at = now.after(limits::MESH_ASK_AGAIN);
                }
                if now > intake.tried_at && intake.tried_at > Mono::default() {
                    intake.tried.clear();
                }
            }
        }
        if !orphans.is_empty() {
            self.rehome(cx, orphans);
        }
        self.ask_planned(cx);
    }

    /// Asks planned parents again that have refused: their own place may not have reached them, or
    /// the way to the root was another one then. A plan that nobody keeps to is neither fair nor
    /// flat.
    fn ask_planned(&mut self, cx: &mut Cx) {
        if self.leaving.is_some() {
            return;
        }
        let now = cx.now.mono;
        for s in 0..self.intakes.len() {
            let intake = &mut self.intakes[s];
            let settled = intake.parent.is_some() && intake.asked.is_none();
            let planned = intake.planned.filter(|p| settled && intake.parent != Some(*p));
            let Some(planned) = planned.filter(|_| now >= intake.again_at) else { continue };
            let wait = limits::MESH_AGAIN_MIN * (1 << intake.again.min(limits::MESH_AGAIN_MAX));
            (intake.again_at, intake.again) = (now.after(wait), intake.again + 1);
            if !self.liars.contains(&planned) {
                self.ask(cx, s, planned, Some(0));
            }
        }
        self.send_asked(cx);
    }

    /// Links that have carried nothing for long.
    pub(in crate::mesh::member) fn sweep_upstreams(&mut self, cx: &mut Cx) {
        let now = cx.now.mono;
        let serves = |node: &NodeId| {
            let uses =
                |i: &Intake| i.parent == Some(*node) || i.asked.is_some_and(|a| a.node == *node);
            self.intakes.iter().any(uses) || self.pulls.values().any(|pull| pull.to == Some(*node))
        };
        let idle = self
            .ups
            .iter()
            .filter(|(node, up)| now.since(up.used) > limits::MESH_IDLE_MAX && !serves(node));
        let idle: Vec<(NodeId, Conn)> = idle.map(|(node, up)| (*node, up.conn)).collect();
        for (node, conn) in idle {
            self.ups.remove(&node);
            self.by_conn.remove(&conn);
            self.hub.drop_link(cx, conn, End::Flushed);
        }
    }
}

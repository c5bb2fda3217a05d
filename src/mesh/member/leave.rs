//! The end of a membership: children and the root are told, and nothing is kept.

use crate::base::port::{Conn, Cx, End};
use crate::mesh::event::Event;
use crate::mesh::wire::Message;

use super::intakes::Intakes;
use super::{Control, Member};

impl Member {
    /// Tells the children and the root; it is over when they have moved, or after 2 s.
    pub(in crate::mesh) fn leave(&mut self, cx: &mut Cx) {
        if self.leaving.is_some() || self.control == Control::Left {
            return;
        }
        self.leaving = Some(cx.now.mono);
        self.hub.feed.leave();
        let children = self.hub.feed.subscribers();
        let root = match self.control {
            Control::Joined(conn) => Some(conn),
            _ => None,
        };
        // The members of a part go to another root and take their stripes along; children told to
        // go to their heirs would find these below this very node.
        let told = if self.realm.is_some() { &[] } else { &children[..] };
        self.disband(cx, "this root stops");
        for conn in told.iter().copied().chain(root) {
            self.hub.links.say(cx, conn, &Message::Leaving);
        }
        if let Some(timer) = self.join_timer.take() {
            cx.wheel.cancel(timer);
        }
        if children.is_empty() {
            self.over(cx);
        }
        self.be_awake(cx);
    }

    pub(in crate::mesh) fn over(&mut self, cx: &mut Cx) {
        self.disband(cx, "this root stops");
        self.control = Control::Left;
        let conns: Vec<Conn> = self.hub.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            self.hub.drop_link(cx, conn, End::Flushed);
        }
        for timer in [self.join_timer.take(), self.tick.take()].into_iter().flatten() {
            cx.wheel.cancel(timer);
        }
        self.ups.clear();
        self.by_conn.clear();
        self.pulls.clear();
        self.hub.store.clear(cx);
        self.intakes = Intakes::default();
        self.hub.events.push_back(Event::Left);
    }
}

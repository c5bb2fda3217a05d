//! The way back. A member whose root is not the one that its settings name first looks every few
//! seconds whether a better one answers. When that has done so for long enough it joins there, and
//! tells the old root only when every stripe comes from where the new one has placed it.
//!
//! | way back | told | becomes |
//! |---|---|---|
//! | away | time has passed | looking: a better root is dialled |
//! | looking | hello, not for long enough yet | away, to look again soon |
//! | | hello, for long enough | asking: the join is sent |
//! | looking, asking | gone, silent, wait, full, another run | away, to look again later |
//! | asking | place | parting: that root is the root |
//! | parting | all stripes have moved, or 4 s are over | the old root is told, and left |

use core::time::Duration;
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::time::Mono;
use crate::mesh::wire::{Hello, Message, NodeId, Place};

use super::{Control, Member};

/// Where a member is on its way back.
#[derive(Debug)]
pub(super) struct Home {
    /// The link to a better root.
    link: Option<Conn>,
    /// Who is there, once it was asked for a place, and when it was.
    asked: Option<(NodeId, SocketAddr, Mono)>,
    /// Since when it has answered every time.
    since: Option<Mono>,
    /// When it is dialled next.
    next: Mono,
    wait: Duration,
    /// Which of the better roots: the next one after each failure.
    turn: usize,
    /// The root that is left, and since when.
    left: Option<(Conn, Mono)>,
}

impl Home {
    pub(super) fn new(now: Mono) -> Self {
        let wait = limits::MESH_HOME_EVERY;
        Self { link: None, asked: None, since: None, next: now, wait, turn: 0, left: None }
    }

    /// Whether a root is still to be told that it is left.
    pub(super) fn is_parting(&self) -> bool {
        self.left.is_some()
    }

    /// Whether no other root is spoken to than the one that is the root now.
    pub(super) fn is_quiet(&self) -> bool {
        self.link.is_none() && self.left.is_none()
    }

    fn failed(&mut self, now: Mono) {
        (self.link, self.asked, self.since) = (None, None, None);
        self.turn = self.turn.wrapping_add(1);
        self.next = now.after(self.wait);
        self.wait = (self.wait * 2).min(limits::MESH_REJOIN_MAX);
    }
}

impl Member {
    /// Roots that the settings name before the one that gave us our place.
    pub(super) fn better_roots(&self) -> &[SocketAddr] {
        let joined = matches!(self.control, Control::Joined(_));
        if joined && self.better > 0 { &self.settings.roots[..self.better] } else { &[] }
    }

    /// This is the root of which a place is asked for.
    pub(super) fn set_root(&mut self, root: Option<(NodeId, SocketAddr)>) {
        let roots = &self.settings.roots;
        let same = |(_, root)| roots.iter().position(|other| *other == root);
        self.better = root.map_or(0, |root| same(root).unwrap_or(roots.len()));
        self.root = root;
    }

    /// Looks whether a better root is there; at each look.
    pub(super) fn look_home(&mut self, cx: &mut Cx) {
        self.part(cx);
        let now = cx.now.mono;
        let better = self.better_roots();
        let root = self.home.turn.checked_rem(better.len()).map(|at| better[at]);
        let silent = |at: Mono| now.since(at) > limits::MESH_ASK_PATIENCE * 2;
        let over = root.is_none() || self.home.asked.is_some_and(|(.., at)| silent(at));
        if let Some(conn) = self.home.link.filter(|_| over) {
            self.hub.drop_link(cx, conn, End::Flushed);
            self.home.failed(now);
        }
        let due = self.home.link.is_none() && self.home.left.is_none() && now >= self.home.next;
        if let Some(root) = root.filter(|_| due && self.leaving.is_none()) {
            self.home.link = self.hub.dial_root(cx, root);
            if self.home.link.is_none() {
                self.home.failed(now);
            }
        }
    }

    /// A better root says who it is. `false`: it is not one.
    pub(super) fn home_greets(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) -> bool {
        if self.home.link != Some(conn) {
            return false;
        }
        let now = cx.now.mono;
        let address = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        // One that takes the channel from here is no way up.
        let below = self.realm.as_ref().is_some_and(|realm| realm.has(hello.node));
        let good = hello.epoch.is_some() && hello.epoch == self.hub.epoch && !below;
        let Some(address) = address.filter(|_| good) else {
            self.hub.drop_link(cx, conn, End::Flushed);
            self.home.failed(now);
            return true;
        };
        if now.since(*self.home.since.get_or_insert(now)) < limits::MESH_HOME_AFTER {
            self.hub.drop_link(cx, conn, End::Flushed);
            let every = limits::MESH_HOME_EVERY;
            self.home.link = None;
            self.home.next = now.after(cx.rng.between(every / 2, every));
            return true;
        }
        self.home.asked = Some((hello.node, address, now));
        let join = self.join_for(hello, None);
        self.hub.links.say(cx, conn, &Message::Join(join));
        true
    }

    /// A message of a better root, or of the one that is left; else it is given back.
    pub(super) fn home_says(&mut self, cx: &mut Cx, conn: Conn, said: Message) -> Option<Message> {
        if self.home.left.is_some_and(|(left, _)| left == conn) {
            // It does not know yet, or goes as well.
            if matches!(said, Message::Wait(_) | Message::Full(_)) {
                self.hub.drop_link(cx, conn, End::Flushed);
                self.home.left = None;
            }
            return None;
        }
        if self.home.link != Some(conn) {
            return Some(said);
        }
        match (said, self.home.asked) {
            (Message::Place(place), Some((node, address, _))) => {
                self.come_home(cx, conn, (node, address), &place);
            }
            (Message::Wait(_) | Message::Full(_), _) => {
                self.hub.drop_link(cx, conn, End::Flushed);
                self.home.failed(cx.now.mono);
            }
            (Message::Beat(_), _) => {}
            _ => self.throw_out(cx, conn, "a message that is not a root's"),
        }
        None
    }

    fn come_home(&mut self, cx: &mut Cx, conn: Conn, root: (NodeId, SocketAddr), place: &Place) {
        let now = cx.now.mono;
        match self.control {
            Control::Joined(old) => self.home.left = Some((old, now)),
            Control::Asking(other) => self.hub.drop_link(cx, other, End::Flushed),
            Control::Waiting => {}
            Control::Left => return,
        }
        self.set_root(Some(root));
        let roots = &self.settings.roots;
        self.turn = roots.iter().position(|other| *other == root.1).unwrap_or(0);
        (self.home.link, self.home.asked, self.home.since) = (None, None, None);
        (self.home.turn, self.home.wait) = (0, limits::MESH_HOME_EVERY);
        self.home.next = now.after(limits::MESH_HOME_AFTER);
        self.control = Control::Asking(conn);
        self.placed(cx, conn, place);
    }

    /// Tells the root that is left, once nothing hangs on its plan any more: at once, for until
    /// then it may place others below this node who are above it in the other tree.
    pub(super) fn part(&mut self, cx: &mut Cx) {
        let Some((conn, since)) = self.home.left else { return };
        let moved = self.intakes.iter().all(|i| i.asked.is_none() && i.parent == i.planned);
        let due = cx.now.mono.since(since) >= limits::MESH_LEAVE_MAX * 2;
        if moved || due {
            self.hub.links.say(cx, conn, &Message::Leaving);
            self.hub.drop_link(cx, conn, End::Flushed);
            self.home.left = None;
        }
    }

    /// A link is gone that may have been to one of them.
    pub(super) fn home_lost(&mut self, now: Mono, conn: Conn) {
        if self.home.link == Some(conn) {
            self.home.failed(now);
        }
        self.home.left = self.home.left.filter(|(left, _)| *left != conn);
    }
}

//! Where the stripes come from: parents, asked and accepted, moves from one to another, and what is
//! done when one is lost.
//!
//! | stripe | told | becomes |
//! |---|---|---|
//! | fed | a place names another parent | asked there, while the old one goes on |
//! | fed, its root gone | a place of the next root | asked there for all that is not here |
//! | asked | accepted | fed by the new one; the old one is released from that block on |
//! | | refused, gone, 2 s over | fed by the old one still, or without a parent |
//! | fed | its parent gone, silent, stuck, refusing, in its own path | without a parent |
//! | without | | asked at the next of: planned parent, heir, other parents, helpers |
//! | | all have been asked | told to the root; asked anew a second later |

mod upkeep;

use core::time::Duration;
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::time::Mono;
use crate::mesh::event::Event;
use crate::mesh::wire::{
    Accept, Beat, Loss, Message, NodeId, Path, Place, Refuse, Refused, Release, Stripes, Subscribe,
};

use super::Member;
use super::intakes::Intakes;

/// A link that this end made.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) conn: Conn,
    ready: bool,
    /// What is late with it, by its last beat.
    pub(super) late: Stripes,
    paths: Vec<Path>,
    /// The newest block that it holds complete, by its last beat.
    pub(super) newest: u64,
    pub(super) used: Mono,
    /// What is sent when the link is up.
    pub(super) waiting: Vec<Message>,
}

/// A subscription that was not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) node: NodeId,
    since: Mono,
    /// The first block, for a move from a parent that goes on until then.
    from: Option<u64>,
    sent: bool,
}

/// One stripe's way in.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) parent: Option<NodeId>,
    pub(super) asked: Option<Asked>,
    pub(super) planned: Option<NodeId>,
    pub(super) heir: Option<NodeId>,
    /// The parent that was lost and is not yet replaced, for the report.
    lost: Option<NodeId>,
    lost_at: Mono,
    /// Who has been asked since there was a parent.
    tried: Vec<NodeId>,
    tried_at: Mono,
    /// The first block that the parent said it would send.
    pub(super) first: u64,
    /// Who sends the blocks before that one.
    before: Option<NodeId>,
    /// Since when the parent owes bytes.
    pub(super) stuck: Option<Mono>,
    /// Blocks in a row whose bytes had to be fetched elsewhere.
    pub(super) failures: u8,
    /// The root is gone that gave it the parent, and nothing has come since: that may hang below
    /// this node in a moment, and is not waited for.
    adrift: bool,
    /// How long the parent lets it rest in between, of late.
    pub(super) lull: Duration,
    /// When the planned parent is asked again that has refused, and how often it was.
    again_at: Mono,
    again: u32,
}

impl Intake {
    /// Whether nothing is to be done about it.
    pub(super) fn is_settled(&self) -> bool {
        let planned = self.parent.is_some() && self.planned.is_none_or(|p| self.parent == Some(p));
        planned && self.asked.is_none() && self.stuck.is_none()
    }
}

impl Member {
    /// The parents as a root that came back is told them; where there is none at the moment, the
    /// one that there should be.
    pub(super) fn parents(&self) -> Vec<(u8, NodeId)> {
        let root = self.root.map(|(root, _)| root);
        let from_root = |i: &Intake| i.lost.filter(|lost| Some(*lost) == root);
        let fed = self.intakes.iter().enumerate();
        let fed = fed.map(|(s, i)| (s, i.parent.or_else(|| from_root(i)).or(i.planned)));
        fed.filter_map(|(s, parent)| Some((u8::try_from(s).ok()?, parent?))).collect()
    }

    /// Whether a stripe came from a root that is gone as such, a moment ago: it may only have been
    /// restarted, and nobody else has what it would send. Which of the links to a root breaks first
    /// says nothing.
    fn awaits_root(&self, s: usize, now: Mono) -> bool {
        let joined = matches!(self.control, super::Control::Joined(_));
        let patience = if joined { limits::MESH_AGAIN_MIN } else { limits::MESH_ROOT_PATIENCE };
        let intake = &self.intakes[s];
        let from_root = intake.lost.is_some() && intake.lost == self.root.map(|(root, _)| root);
        from_root && now.since(intake.lost_at) < patience
    }

    /// What comes from a node.
    pub(super) fn stripes_from(&self, node: NodeId) -> Stripes {
        self.intakes.from(node)
    }

    /// Another root than the one of now is to say where everything comes from.
    pub(super) fn cast_off(&mut self) {
        self.intakes.iter_mut().for_each(|intake| intake.adrift = true);
    }

    /// A root says where everything comes from.
    pub(super) fn take_place(&mut self, cx: &mut Cx, place: &Place, root: (NodeId, SocketAddr)) {
        if self.intakes.len() != place.parents.len() {
            self.intakes = Intakes::new(place.parents.len());
        }
        let node = |at: &Option<u8>| at.map(|at| place.peers[usize::from(at)].node);
        self.peers = place.peers.iter().map(|peer| (peer.node, peer.address)).collect();
        self.peers.insert(root.0, root.1);
        let helper = |(at, s): &(u8, Stripes)| (place.peers[usize::from(*at)].node, *s);
        self.helpers = place.helpers.iter().map(helper).collect();
        let fresh = !self.begun && self.intakes.iter().all(|intake| intake.parent.is_none());
        // Parents send a newcomer the newest block as well: what it has to ask others for is the
        // most of all that is asked for.
        let newest = place.newest.max(1).min(place.from);
        for s in 0..self.intakes.len() {
            let (planned, heir) = (node(&place.parents[s]), node(&place.heirs[s]));
            let intake = &mut self.intakes[s];
            if intake.planned != planned {
                intake.again = 0;
            }
            (intake.planned, intake.heir) = (planned, heir);
            intake.tried.clear();
            let asked = intake.asked.map(|asked| asked.node);
            let Some(planned) = planned.filter(|p| asked.or(intake.parent) != Some(*p)) else {
                continue;
            };
            intake.asked = None;
            if intake.parent == Some(planned) {
                continue;
            }
            let first = if fresh { newest } else { place.from };
            let goes_on = intake.parent.is_some() && !intake.adrift;
            let from = (goes_on || fresh).then_some(first);
            self.ask(cx, s, planned, from);
            self.intakes[s].again_at = cx.now.mono.after(limits::MESH_AGAIN_MIN);
        }
        self.send_asked(cx);
        if fresh && place.from > 0 {
            self.pushed = newest;
            // How long its parents let it wait is not known yet; it has time before the first.
            self.intakes.iter_mut().for_each(|intake| intake.lull = limits::MESH_LATE_AFTER);
            if newest > self.oldest {
                self.catch_up(cx, newest - 1);
            }
        }
    }

    /// A link to a node, new or not.
    pub(super) fn upstream(&mut self, cx: &mut Cx, node: NodeId) -> Option<&mut Upstream> {
        if !self.ups.contains_key(&node) {
            let address = *self.peers.get(&node).filter(|_| node != self.hub.me)?;
            if self.ups.len() >= limits::MESH_UPSTREAMS_MAX || address.port() == 0 {
                return None;
            }
            let conn = self.hub.dial(cx, address)?;
            self.by_conn.insert(conn, node);
            let up = Upstream {
                conn,
                ready: false,
                late: Stripes::EMPTY,
                paths: Vec::new(),
                newest: 0,
                used: cx.now.mono,
                waiting: Vec::new(),
            };
            self.ups.insert(node, Box::new(up));
        }
        let up = self.ups.get_mut(&node)?;
        up.used = cx.now.mono;
        Some(up)
    }

    /// Says something to a node, now or when the link to it is up.
    pub(super) fn tell(&mut self, cx: &mut Cx, node: NodeId, message: Message) -> bool {
        let Some(up) = self.upstream(cx, node) else { return false };
        if !up.ready {
            let room = up.waiting.len() < limits::MESH_WANTS_MAX;
            if room {
                up.waiting.push(message);
            }
            return room;
        }
        let conn = up.conn;
        self.hub.links.say(cx, conn, &message);
        true
    }

    /// Notes that a stripe is to be asked for; [`Member::send_asked`] does it.
    fn ask(&mut self, cx: &mut Cx, s: usize, node: NodeId, from: Option<u64>) -> bool {
        if self.upstream(cx, node).is_none() {
            return false;
        }
        let since = cx.now.mono;
        self.intakes[s].asked = Some(Asked { node, since, from, sent: false });
        true
    }

    /// Sends subscriptions, those for one parent and block together.
    fn send_asked(&mut self, cx: &mut Cx) {
        let mut messages: Vec<(NodeId, Subscribe)> = Vec::new();
        for s in 0..self.intakes.len() {
            let Some(asked) = self.intakes[s].asked.filter(|asked| !asked.sent) else { continue };
            if !self.ups.get(&asked.node).is_some_and(|up| up.ready) {
                continue;
            }
            let (first, offset) = match asked.from {
                Some(from) => (from.max(self.after_last()), 0),
                None => self.resume_at(s),
            };
            let lost = self.intakes[s].lost;
            if let Some(asked) = &mut self.intakes[s].asked {
                asked.sent = true;
            }
            let stripe = u8::try_from(s).expect("stripes are below 16");
            let same = |(node, subscribe): &&mut (NodeId, Subscribe)| {
                (*node, subscribe.first, subscribe.instead) == (asked.node, first, lost)
            };
            if let Some((_, subscribe)) = messages.iter_mut().find(same) {
                subscribe.stripes.push((stripe, offset));
            } else {
                let stripes = vec![(stripe, offset)];
                messages.push((asked.node, Subscribe { stripes, first, instead: lost }));
            }
        }
        for (node, subscribe) in messages {
            self.tell(cx, node, Message::Subscribe(subscribe));
        }
    }

    fn after_last(&self) -> u64 {
        self.hub.store.last().map_or(0, |last| last + 1)
    }

    /// The first byte of a stripe that is not here.
    fn resume_at(&self, s: usize) -> (u64, u32) {
        let next = self.next.unwrap_or(0);
        let mut expected = next;
        for (seq, held) in self.hub.store.iter().filter(|(seq, _)| *seq >= next) {
            let part = held.parts.get(s);
            if seq != expected {
                break;
            }
            // What is asked for elsewhere would come twice.
            let pulled = self.is_pulled(seq, s);
            if let Some(part) = part.filter(|part| !part.is_full() && !pulled) {
                return (seq, u32::try_from(part.filled).unwrap_or(0));
            }
            expected = seq + 1;
        }
        (expected, 0)
    }

    pub(super) fn upstream_ready(&mut self, cx: &mut Cx, node: NodeId) {
        let Some(up) = self.ups.get_mut(&node) else { return };
        up.ready = true;
        let conn = up.conn;
        for message in core::mem::take(&mut up.waiting) {
            self.hub.links.say(cx, conn, &message);
        }
        self.send_asked(cx);
    }

    pub(super) fn accepted(&mut self, cx: &mut Cx, node: NodeId, accept: &Accept) {
        let mut released: Vec<(NodeId, Stripes)> = Vec::new();
        let mut unwanted = Stripes::EMPTY;
        let all = Stripes::first(self.intakes.len());
        for s in (accept.stripes & all).iter() {
            let intake = &mut self.intakes[s];
            if intake.asked.is_none_or(|asked| asked.node != node) {
                if intake.parent != Some(node) {
                    unwanted.add(s);
                }
                continue;
            }
            intake.asked = None;
            intake.tried.clear();
            (intake.stuck, intake.first, intake.failures) = (None, accept.first, 0);
            intake.adrift = false;
            let old = intake.parent.replace(node).filter(|old| *old != node);
            intake.before = old;
            if let Some(lost) = intake.lost.take() {
                self.losses.push(Loss { parent: lost, stripes: Stripes::one(s), now: Some(node) });
            }
            match (old, released.iter_mut().find(|(other, _)| Some(*other) == old)) {
                (Some(_), Some((_, stripes))) => stripes.add(s),
                (Some(old), None) => released.push((old, Stripes::one(s))),
                (None, _) => {}
            }
        }
        for (old, stripes) in released {
            self.tell(cx, old, Message::Release(Release { stripes, from: accept.first }));
        }
        if !unwanted.is_empty() {
            self.tell(cx, node, Message::Release(Release { stripes: unwanted, from: 0 }));
        }
        if let Some(up) = self.ups.get_mut(&node) {
            up.late = (up.late - accept.stripes) | accept.late;
        }
        self.find_paths(cx);
        self.tell_losses(cx);
        self.part(cx);
    }

    /// Joins losses of the same parent and successor, and reports them.
    fn tell_losses(&mut self, cx: &mut Cx) {
        let mut joined: Vec<Loss> = Vec::new();
        for loss in self.losses.drain(..) {
            let same = |l: &&mut Loss| (l.parent, l.now) == (loss.parent, loss.now);
            match joined.iter_mut().find(same) {
                Some(known) => known.stripes |= loss.stripes,
                None => joined.push(loss),
            }
        }
        self.losses = joined;
        if !self.losses.is_empty() {
            self.tell_root(cx);
        }
    }

    pub(super) fn refused(&mut self, cx: &mut Cx, node: NodeId, refuse: Refuse) {
        let mut orphans = Stripes::EMPTY;
        let all = Stripes::first(self.intakes.len());
        for s in (refuse.stripes & all).iter() {
            let intake = &mut self.intakes[s];
            if intake.asked.is_some_and(|asked| asked.node == node) {
                intake.asked = None;
                intake.tried.push(node);
                if intake.planned == Some(node) && intake.parent.is_none() {
                    // It may not have heard of the plan yet.
                    intake.again_at = cx.now.mono.after(limits::MESH_AGAIN_MIN);
                }
            } else if intake.parent == Some(node) {
                intake.parent = None;
                intake.tried.push(node);
                if refuse.why != Refused::Displaced {
                    intake.lost = Some(node);
                }
            }
            if intake.parent.is_none() {
                orphans.add(s);
            } else if intake.before == Some(node) {
                // Its slot was given away before it was through with what it still had to send.
                self.fetch_between(cx, node, s);
            }
        }
        // The link showed what a root gave that is gone; the next one shows what is good now.
        let conn = self.ups.get(&node).map(|up| up.conn);
        if let Some(conn) = conn.filter(|_| refuse.why == Refused::Ticket) {
            self.hub.drop_link(cx, conn, End::Flushed);
            return self.lost(cx, conn, "does not know this node's root");
        }
        if !orphans.is_empty() {
            self.rehome(cx, orphans);
        }
    }

    /// Asks the next in turn for stripes that have no parent.
    pub(super) fn rehome(&mut self, cx: &mut Cx, orphans: Stripes) {
        if self.leaving.is_some() {
            return;
        }
        for s in orphans.iter() {
            let intake = &self.intakes[s];
            let fed = intake.parent.is_some() || intake.asked.is_some();
            if fed || self.awaits_root(s, cx.now.mono) {
                continue;
            }
            let others = self.intakes.iter().filter_map(|other| other.parent);
            let helpers = self.helpers.iter().filter(|(_, h)| h.has(s)).map(|(node, _)| *node);
            let known = intake.planned.into_iter().chain(intake.heir).chain(others).chain(helpers);
            let known: Vec<NodeId> = known.filter(|node| !intake.tried.contains(node)).collect();
            let found = known.into_iter().find(|node| self.ask(cx, s, *node, None));
            let intake = &mut self.intakes[s];
            if found.is_none() && intake.tried_at <= cx.now.mono {
                intake.tried_at = cx.now.mono.after(limits::MESH_ASK_AGAIN);
                if let Some(parent) = intake.lost.or(intake.planned) {
                    self.losses.push(Loss { parent, stripes: Stripes::one(s), now: None });
                }
            }
        }
        self.send_asked(cx);
        self.tell_losses(cx);
        self.find_paths(cx);
    }

    /// A link that this end made is gone.
    pub(super) fn upstream_lost(
        &mut self,
        cx: &mut Cx,
        node: NodeId,
        conn: Conn,
        why: &'static str,
    ) {
        if self.ups.get(&node).is_none_or(|up| up.conn != conn) {
            return;
        }
        self.ups.remove(&node);
        let stripes = self.stripes_from(node);
        for intake in self.intakes.iter_mut() {
            if intake.asked.is_some_and(|asked| asked.node == node) {
                intake.asked = None;
                intake.tried.push(node);
            }
        }
        if !stripes.is_empty() {
            self.hub.stats.parents_lost += 1;
            self.hub.events.push_back(Event::LostParent { node, stripes, why });
        }
        self.orphan(cx.now.mono, stripes, node);
        self.pulls_lost(cx, node);
        self.pull_missing(cx, stripes);
        for s in 0..self.intakes.len() {
            self.fetch_between(cx, node, s);
        }
        let orphans = (0..self.intakes.len()).filter(|s| self.intakes[*s].parent.is_none());
        let orphans = orphans.collect();
        self.rehome(cx, orphans);
    }

    /// A move from a parent that is gone may be under way, to one that begins with a later block:
    /// what is between is nobody's, seen or not.
    fn fetch_between(&mut self, cx: &mut Cx, gone: NodeId, s: usize) {
        let intake = &mut self.intakes[s];
        let asked = intake.asked.as_mut().filter(|_| intake.parent.is_none());
        let later = match asked {
            Some(asked) if asked.sent => asked.from,
            Some(asked) => {
                asked.from = None;
                None
            }
            None => Some(intake.first).filter(|_| intake.before == Some(gone)),
        };
        let (Some(next), Some(later)) = (self.next, later) else { return };
        let begin = self.resume_at(s).0.max(next).max(self.pushed);
        for seq in (begin..later).take(limits::WINDOW_BLOCKS_MAX) {
            self.pull(cx, seq, s);
        }
    }

    fn orphan(&mut self, now: Mono, stripes: Stripes, node: NodeId) {
        for s in stripes.iter() {
            let intake = &mut self.intakes[s];
            (intake.parent, intake.lost, intake.stuck) = (None, Some(node), None);
            intake.lost_at = now;
            intake.tried.push(node);
        }
    }

    /// Leaves a parent in some stripes, for a reason of our own.
    pub(super) fn leave_parent(
        &mut self,
        cx: &mut Cx,
        (node, stripes): (NodeId, Stripes),
        why: &'static str,
    ) {
        let stripes = stripes & self.stripes_from(node);
        if stripes.is_empty() {
            return;
        }
        self.hub.stats.parents_lost += 1;
        self.hub.events.push_back(Event::LostParent { node, stripes, why });
        self.tell(cx, node, Message::Release(Release { stripes, from: 0 }));
        self.orphan(cx.now.mono, stripes, node);
        self.pull_missing(cx, stripes);
        self.rehome(cx, stripes);
    }

    /// A parent says that it stops, and serves until we have moved.
    pub(super) fn parent_leaves(&mut self, cx: &mut Cx, node: NodeId) {
        let from = Some(self.after_last());
        for s in self.stripes_from(node).iter() {
            let intake = &mut self.intakes[s];
            intake.tried.push(node);
            let heir = intake.heir.filter(|heir| *heir != node);
            if let Some(heir) = heir.filter(|_| intake.asked.is_none()) {
                self.ask(cx, s, heir, from);
            }
        }
        self.send_asked(cx);
    }

    pub(super) fn parent_beat(&mut self, cx: &mut Cx, node: NodeId, beat: Beat) {
        let Some(up) = self.ups.get_mut(&node) else { return };
        (up.late, up.newest) = (beat.late, beat.newest);
        if beat.paths.is_empty() {
            return;
        }
        if beat.paths != up.paths {
            up.paths = beat.paths;
            self.find_paths(cx);
        }
        let me = self.hub.me;
        let loops = |s: &usize| self.hub.paths[*s].contains(&me);
        let looping: Stripes = self.stripes_from(node).iter().filter(loops).collect();
        if !looping.is_empty() {
            self.leave_parent(cx, (node, looping), "is below this node");
        }
    }

    /// Works out the ways of all stripes; children hear at once of one that has changed.
    fn find_paths(&mut self, cx: &mut Cx) {
        let mut changed = Stripes::EMPTY;
        for (s, intake) in self.intakes.iter().enumerate() {
            let up = intake.parent.and_then(|parent| self.ups.get(&parent));
            let above = up.and_then(|up| up.paths.iter().find(|path| path.stripes.has(s)));
            let above = above.map_or(&[][..], |path| &path.nodes);
            let path = intake.parent.iter().chain(above).copied();
            let path = path.take(limits::MESH_DEPTH_MAX / limits::MESH_STRIPES_MAX);
            if !self.hub.paths[s].iter().copied().eq(path.clone()) {
                self.hub.paths[s] = path.collect();
                changed.add(s);
            }
        }
        if changed.is_empty() {
            return;
        }
        for conn in self.hub.feed.subscribers() {
            if self.hub.feed.stripes_of(conn).meets(changed) {
                self.hub.beat(cx, conn);
            }
        }
    }

    /// Bytes of a stripe came from a node.
    pub(super) fn heard_from(&mut self, now: Mono, node: NodeId, stripe: usize) {
        if let Some(up) = self.ups.get_mut(&node) {
            up.used = now;
        }
        let waited = |i: &Intake| i.parent == Some(node) && (i.adrift || i.stuck.is_some());
        if self.intakes.get(stripe).is_some_and(waited) {
            let intake = &mut self.intakes[stripe];
            (intake.stuck, intake.adrift) = (None, false);
        }
    }

    /// Bytes that the parent of a stripe owes come from elsewhere: it is told to go on with the
    /// next block. One that fails again and again is left, though nothing is missing any more.
    pub(super) fn fetched_elsewhere(&mut self, cx: &mut Cx, seq: u64, s: usize) {
        let intake = &mut self.intakes[s];
        let Some(parent) = intake.parent.filter(|_| seq >= intake.first) else { return };
        intake.failures += 1;
        if intake.failures >= limits::MESH_FAILURES_MAX {
            return self.leave_parent(cx, (parent, Stripes::one(s)), "failed again and again");
        }
        let stripe = u8::try_from(s).expect("stripes are below 16");
        let stripes = vec![(stripe, 0)];
        let skip = Subscribe { stripes, first: seq + 1, instead: None };
        self.tell(cx, parent, Message::Subscribe(skip));
    }
}

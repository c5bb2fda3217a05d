//! The root of a mesh: gives each new block of its channel to the few that are its own children,
//! and has a realm of members. It asks nobody for bytes.

use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Span, Why};
use crate::base::time::Mono;
use crate::base::wheel::Timer;
use crate::mesh::event::{Airing, Event, RootSettings};
use crate::mesh::feed::Feed;
use crate::mesh::hub::Hub;
use crate::mesh::link::{News, Pulse};
use crate::mesh::realm::{self, Realm};
use crate::mesh::store::{Facts, Verdict};
use crate::mesh::wire::Hello;

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) hub: Hub,
    pub(super) realm: Realm,
    number: u64,
    stripes: usize,
    tick: Option<Timer>,
    /// Since when members go to other roots.
    leaving: Option<Mono>,
}

impl Root {
    pub(super) fn new(cx: &mut Cx, settings: RootSettings) -> Self {
        let now = cx.now.mono;
        let RootSettings { node, number, stripes, slots, members_max, .. } = settings;
        let feed = Feed::new(slots, Some(settings.rescue_rate), now);
        let accepted_max = realm::accepted_max(slots, members_max);
        let mut hub = Hub::new(now, (node, settings.channel), feed, (accepted_max, false));
        hub.epoch = Some(settings.epoch);
        hub.stripes = stripes.clamp(1, limits::MESH_STRIPES_MAX);
        hub.show(settings.ticket);
        hub.links.from = settings.from;
        let realm = realm::Settings {
            node,
            epoch: settings.epoch,
            lead: settings.lead,
            advertise: settings.advertise,
            slots,
            stripes,
            members_max,
            rate: settings.rate,
            roots: settings.roots,
        };
        let realm = Realm::new(cx, realm);
        let tick = Some(cx.wake(Why::MeshTick, number, limits::MESH_TICK_EVERY * 4));
        Self { hub, realm, number, stripes, tick, leaving: None }
    }

    /// A block enters the mesh.
    pub(super) fn air(&mut self, cx: &mut Cx, airing: &Airing) {
        let Ok(length) = u32::try_from(airing.len) else { return };
        let stripes = u8::try_from(self.stripes).unwrap_or(1);
        let known = self.hub.store.last().is_some_and(|last| last >= airing.seq);
        if length == 0 || known || self.leaving.is_some() {
            return;
        }
        let facts = Facts {
            length,
            stripes,
            air: airing.starts_at,
            lasts: airing.lasts,
            timeline: airing.timeline,
            movie: airing.movie.clone(),
            name: airing.file.clone(),
        };
        self.hub.store.insert(cx, airing.seq, facts, airing.blob);
        self.realm.reckon_rate(airing.len, airing.lasts);
    }

    pub(super) fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) {
        if let Verdict::Ready(_) = self.hub.store.hashed(cx, span, hash) {
            self.hub.stats.blocks += 1;
            self.hub.pump_all(cx);
        }
    }

    pub(super) fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        let mut next = self.hub.links.data(cx, conn, bytes);
        while let Some(news) = next {
            match news {
                News::Hello(hello) => self.greeted(cx, conn, &hello),
                News::Message(message) => {
                    let told = self.realm.message(cx, &mut self.hub, (conn, message));
                    told.unwrap_or_else(|why| self.throw_out(cx, conn, why));
                }
                News::Block(_) => self.throw_out(cx, conn, "nobody sends blocks to a root"),
                News::Bad(why) => {
                    self.hub.turn_away(cx, conn, why);
                    self.realm.lost(cx, &mut self.hub, conn);
                }
            }
            next = self.hub.links.more(cx, conn);
        }
    }

    fn throw_out(&mut self, cx: &mut Cx, conn: Conn, why: &str) {
        self.hub.turn_away(cx, conn, why.to_owned());
        self.realm.lost(cx, &mut self.hub, conn);
    }

    pub(super) fn greeted(&mut self, cx: &mut Cx, conn: Conn, hello: &Hello) {
        if !self.realm.proved(cx, &mut self.hub, (conn, hello)) {
            self.hub.greet(cx, conn, hello);
        }
    }

    pub(super) fn closed(&mut self, cx: &mut Cx, conn: Conn) {
        self.hub.closed(cx, conn);
        self.realm.lost(cx, &mut self.hub, conn);
        self.hub.pump_all(cx);
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        match self.hub.timer(cx, conn, false) {
            Pulse::Beat => self.hub.pulse(cx, conn),
            Pulse::Quiet => {}
            Pulse::Lost => {
                self.hub.drop_link(cx, conn, End::Reset);
                self.realm.lost(cx, &mut self.hub, conn);
                self.hub.pump_all(cx);
            }
            Pulse::Unknown => cx.close(conn, End::Reset),
        }
    }

    /// [`Why::MeshTick`].
    pub(super) fn timer(&mut self, cx: &mut Cx) {
        self.tick = None;
        if let Some(since) = self.leaving {
            let served = self.hub.feed.subscribers().len();
            if served == 0 || cx.now.mono.since(since) >= limits::MESH_LEAVE_MAX {
                return self.over(cx);
            }
            self.tick = Some(cx.wake(Why::MeshTick, self.number, limits::MESH_TICK_EVERY));
            return;
        }
        self.tick = Some(cx.wake(Why::MeshTick, self.number, limits::MESH_TICK_EVERY * 4));
        self.hub.pump_wants(cx);
        self.realm.tick(cx, &mut self.hub);
        self.hub.sweep(cx);
    }

    /// Sends the members to the other roots, if it knows any, and serves them until they are there
    /// or 2 s have passed; else it is over at once.
    pub(super) fn leave(&mut self, cx: &mut Cx) {
        if self.leaving.is_some() || self.tick.is_none() {
            return;
        }
        self.leaving = Some(cx.now.mono);
        self.hub.feed.leave();
        self.realm.disband(cx, &mut self.hub, "this root stops");
        if !self.realm.has_others() || self.hub.feed.subscribers().is_empty() {
            return self.over(cx);
        }
        if let Some(tick) = self.tick.take() {
            cx.wheel.cancel(tick);
        }
        self.tick = Some(cx.wake(Why::MeshTick, self.number, limits::MESH_TICK_EVERY));
    }

    /// Closes everything.
    pub(super) fn over(&mut self, cx: &mut Cx) {
        self.hub.feed.leave();
        self.realm.disband(cx, &mut self.hub, "this root stops");
        let conns: Vec<Conn> = self.hub.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            self.hub.drop_link(cx, conn, End::Flushed);
        }
        if let Some(tick) = self.tick.take() {
            cx.wheel.cancel(tick);
        }
        self.hub.store.clear(cx);
        self.hub.events.push_back(Event::Left);
    }

    pub(super) fn timers(&self) -> usize {
        usize::from(self.tick.is_some())
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.hub.check_invariants(cx);
        self.realm.check_invariants(cx);
    }
}

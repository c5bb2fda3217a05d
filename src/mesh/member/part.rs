//! A member that is the root of a part: when it has a realm of its own, and what becomes of those
//! who ask it for a place.

use crate::base::port::{Conn, Cx, End};
use crate::mesh::realm::{self, Realm};
use crate::mesh::wire::{Denial, Message, Place};

use super::Member;

impl Member {
    /// The root of a part is one as soon as it has a place itself, for that run and its stripes.
    pub(super) fn found_realm(&mut self, cx: &mut Cx, place: &Place) {
        let Some(part) = self.settings.part else { return };
        let stripes = place.parents.len();
        if self.realm.as_ref().is_some_and(|realm| realm.is_of(place.epoch, stripes)) {
            return;
        }
        self.disband(cx, "another run of the channel has begun");
        let settings = realm::Settings {
            node: self.settings.node,
            epoch: place.epoch,
            lead: place.lead,
            advertise: part.advertise,
            slots: self.settings.slots,
            stripes,
            members_max: part.members_max,
            rate: 0,
            roots: self.settings.roots.clone(),
        };
        self.realm = Some(Box::new(Realm::new(cx, settings)));
    }

    pub(super) fn disband(&mut self, cx: &mut Cx, reason: &str) {
        if let Some(mut realm) = self.realm.take() {
            realm.disband(cx, &mut self.hub, reason);
        }
    }

    /// Somebody who is neither a root nor a parent says something.
    pub(super) fn below_says(&mut self, cx: &mut Cx, conn: Conn, message: Message) {
        let told = match (&mut self.realm, message) {
            (Some(realm), message) => realm.message(cx, &mut self.hub, (conn, message)),
            (None, Message::Join(_)) if self.settings.part.is_some() => {
                let reason = "this relay has no place itself yet".to_owned();
                let denial = Denial { reason, roots: self.settings.roots.clone() };
                self.hub.links.say(cx, conn, &Message::Wait(denial));
                return self.hub.drop_link(cx, conn, End::Flushed);
            }
            (None, Message::Join(_)) => Err("this node is no root; ask the one it takes from"),
            (None, message) => self.hub.child(cx, conn, message),
        };
        told.unwrap_or_else(|why| self.throw_out(cx, conn, why));
    }
}

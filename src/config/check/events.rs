//! The part of the check that is about the live ticker: the keys of `[events]`.

use super::Check;
use crate::config::Events;
use crate::config::raw::{RawEvents, Table};
use crate::config::value;

impl Check<'_, '_> {
    pub(super) fn events(&mut self, t: &Table<RawEvents>) -> Option<Events> {
        let keys = &t.keys;
        let listen = self.listen(t, keys.listen.as_ref());
        let interval = self.span(t, "interval", keys.interval.as_ref());
        let directory = self.place.directory.clone();
        let source = self.text(t, "source", keys.source.as_ref(), |s| value::events(s, &directory));
        let teams = keys.teams.as_ref();
        let teams = teams.map(|given| self.path(t, "teams", Some(given)));
        let seed = keys.seed.as_ref().map(|given| self.number(t, "seed", Some(given)));
        let members_max = self.number(t, "members_max", keys.members_max.as_ref());
        let per_address_max = self.number(t, "per_address_max", keys.per_address_max.as_ref());
        let expire = self.span(t, "expire", keys.expire.as_ref());
        Some(Events {
            listen: listen?,
            interval: interval?,
            source: source?,
            teams: super::all_good(teams)?,
            seed: super::all_good(seed)?.map(|seed| seed as u64),
            members_max: members_max?,
            per_address_max: per_address_max?,
            expire: expire?,
            prove: keys.prove.as_ref().is_some_and(|given| *given.get_ref()),
        })
    }
}

//! Which nonsense of strangers is put into words: once a minute for each address; all of it is
//! counted. Owned by a hub and by the lobby.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::base::limits;
use crate::base::time::Mono;

/// When the nonsense of each address was last put into words.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    said: BTreeMap<Option<IpAddr>, Mono>,
}

impl Complaints {
    /// Whether this time it is to be said.
    pub(super) fn may_say(&mut self, now: Mono, address: Option<SocketAddr>) -> bool {
        let who = address.map(|address| address.ip().to_canonical());
        let recent = |at: &Mono| now.since(*at) < limits::SAY_AGAIN;
        if self.said.get(&who).is_some_and(recent) {
            return false;
        }
        if self.said.len() >= limits::MESH_COMPLAINTS_MAX {
            self.said.retain(|_, at| recent(at));
        }
        let room = self.said.len() < limits::MESH_COMPLAINTS_MAX;
        if room {
            self.said.insert(who, now);
        }
        room
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.said.len() <= limits::MESH_COMPLAINTS_MAX, "complaints are bounded");
    }
}

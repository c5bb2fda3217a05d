//! The connections to clients: who waits for one, which are being dialled, whose each is. Bounds
//! how many are dialled at once; knows nothing of what they carry, which is `server`'s business.
//!
//! Those that took their last block go first. The others may use only a part of the slots, so that
//! hosts which never answer keep nobody waiting who does.

use std::collections::BTreeMap;

use crate::base::arena::{Key, Side};
use crate::base::limits;
use crate::base::port::Conn;

/// A client's place among the waiting: the proven first, each in the order they came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    unproven: bool,
    order: u64,
}

#[derive(Clone, Copy, Debug)]
struct Callback {
    client: Key,
    /// It is being dialled; whether it counts among the unproven.
    dialling: Option<bool>,
}

/// Every connection to a client, and those still to be made.
#[derive(Default, Debug)]
pub(super) struct Dials {
    callbacks: Side<Callback>,
    waiting: BTreeMap<Place, Key>,
    order: u64,
    dialling: usize,
    dialling_unproven: usize,
}

impl Dials {
    /// Lets a client wait for its turn.
    pub(super) fn queue(&mut self, client: Key, proven: bool) -> Place {
        self.order += 1;
        let place = Place { unproven: !proven, order: self.order };
        self.waiting.insert(place, client);
        place
    }

    /// It waits no more.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Whose turn it is, while another may be dialled.
    pub(super) fn next(&mut self) -> Option<Key> {
        let first = self.waiting.first_entry()?;
        let room = !first.key().unproven || self.dialling_unproven < limits::TV_DIALS_UNPROVEN_MAX;
        (room && self.dialling < limits::TV_DIALS_MAX).then(|| first.remove())
    }

    /// A client is being dialled on this connection.
    pub(super) fn begin(&mut self, conn: Conn, client: Key, proven: bool) {
        self.dialling += 1;
        self.dialling_unproven += usize::from(!proven);
        self.callbacks.insert(conn.0, Callback { client, dialling: Some(!proven) });
    }

    /// The connection stands, so that another may be dialled. Whose it is.
    pub(super) fn connected(&mut self, conn: Conn) -> Option<Key> {
        let callback = self.callbacks.get_mut(conn.0)?;
        if let Some(unproven) = callback.dialling.take() {
            self.dialling -= 1;
            self.dialling_unproven -= usize::from(unproven);
        }
        Some(callback.client)
    }

    /// The connection is no longer of interest. Whose it was.
    pub(super) fn forget(&mut self, conn: Conn) -> Option<Key> {
        let client = self.connected(conn)?;
        self.callbacks.remove(conn.0);
        Some(client)
    }

    /// Whose connection this is.
    pub(super) fn client(&self, conn: Conn) -> Option<Key> {
        self.callbacks.get(conn.0).map(|callback| callback.client)
    }

    /// How many are being dialled.
    pub(super) fn dialling(&self) -> usize {
        self.dialling
    }

    /// Every connection and whose it is.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Conn, Key)> {
        self.callbacks.iter().map(|(conn, callback)| (Conn(conn), callback.client))
    }

    /// Who has this place among the waiting.
    pub(super) fn at(&self, place: Place) -> Option<Key> {
        self.waiting.get(&place).copied()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn check_invariants(&self) {
        let dialling: Vec<_> = self.callbacks.iter().filter_map(|(_, c)| c.dialling).collect();
        let unproven = dialling.iter().filter(|unproven| **unproven).count();
        assert_eq!(dialling.len(), self.dialling, "dial slots are counted");
        assert_eq!(unproven, self.dialling_unproven, "and the unproven");
        assert!(self.dialling <= limits::TV_DIALS_MAX, "no more dials than allowed");
        assert!(unproven <= limits::TV_DIALS_UNPROVEN_MAX, "the proven keep some of them");
    }
}

//! The books of a node, looked through: after each turn in a debug build, and in every test.

use crate::base::port::Conn;
use crate::channel::playout::Playout;
use crate::node::trees::Trees;
use crate::node::{Node, Stopping};
use crate::{events, files, jukebox, tv};

impl Node {
    /// Looks the books through; always true, so that it can stand in an assertion.
    ///
    /// # Panics
    /// When they do not agree.
    #[must_use]
    pub fn check_invariants(&self) -> bool {
        for (key, peer) in self.cx.peers.iter() {
            let looked_at = || self.trees.iter().any(|trees| trees.looks_at(Conn(key)));
            let waits = peer.timer.is_some() || peer.closing || looked_at();
            assert!(waits, "each connection is waited for or is being closed: {peer:?}");
        }
        self.tv.iter().for_each(|tv| tv.check_invariants(&self.cx));
        self.client.iter().for_each(|c| c.check_invariants(&self.cx));
        self.http.iter().for_each(|http| http.check_invariants(&self.cx));
        self.control.iter().for_each(|control| control.check_invariants(&self.cx));
        self.trees.iter().for_each(|trees| trees.check_invariants(&self.cx));
        self.jukebox.iter().for_each(|jukebox| jukebox.check_invariants(&self.cx));
        self.files.iter().for_each(|files| files.check_invariants(&self.cx));
        self.events.iter().for_each(|events| events.check_invariants(&self.cx));
        self.check_owners();
        true
    }

    /// Whatever is held has an owner, so that nothing is ever left behind.
    fn check_owners(&self) {
        let playouts = || self.channels.iter().filter_map(|c| c.playout.as_ref());
        let client = self.client.iter();
        let (tv, peers) = (self.tv.iter(), self.cx.peers.iter());
        let timers = usize::from(matches!(self.stopping, Some(Stopping::Draining(_))))
            + peers.filter(|(_, peer)| peer.timer.is_some()).count()
            + tv.map(tv::server::Server::timers).sum::<usize>()
            + playouts().map(Playout::timers).sum::<usize>()
            + client.clone().map(tv::client::Client::timers).sum::<usize>()
            + self.trees.iter().map(Trees::timers).sum::<usize>()
            + self.edge.timers()
            + self.events.iter().map(events::server::Server::timers).sum::<usize>();
        assert_eq!(self.cx.wheel.len(), timers, "each timer has an owner");
        let blobs = self.channels.iter().map(|c| c.window.iter().count()).sum::<usize>()
            + playouts().map(Playout::blobs).sum::<usize>()
            + client.map(tv::client::Client::blobs).sum::<usize>()
            + self.trees.iter().map(Trees::blobs).sum::<usize>()
            + self.jukebox.iter().map(jukebox::server::Server::blobs).sum::<usize>()
            + self.files.iter().map(files::server::Server::blobs).sum::<usize>()
            + self.edge.blobs();
        assert_eq!(self.cx.blobs.len(), blobs, "each blob has an owner");
    }
}

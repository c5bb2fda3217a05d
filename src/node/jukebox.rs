//! The jukebox joined to a node: its songs opened, its events to the log, its part of a reload.

use crate::base::port::{Blob, Facts, Service};
use crate::node::{Node, make, observe};

impl Node {
    pub(super) fn settle_jukebox(&mut self) -> bool {
        let Some(jukebox) = &mut self.jukebox else { return false };
        let events = std::iter::from_fn(|| jukebox.poll_event());
        let before = self.lines.len();
        self.lines.extend(events.map(|event| observe::jukebox(&event)));
        self.lines.len() > before
    }

    pub(super) fn song_opened(&mut self, blob: Blob, facts: Facts<'_>) -> bool {
        self.jukebox.as_mut().is_some_and(|j| j.opened(&mut self.cx, blob, facts))
    }

    pub(super) fn song_unreadable(&mut self, blob: Blob, why: &str) -> bool {
        self.jukebox.as_mut().is_some_and(|j| j.unreadable(&mut self.cx, blob, why))
    }

    pub(super) fn song_faulted(&mut self, blob: Blob) -> bool {
        self.jukebox.as_mut().is_some_and(|j| j.faulted(&mut self.cx, blob))
    }

    pub(super) fn reload_jukebox(&mut self) {
        match (&mut self.jukebox, &self.config.jukebox) {
            (Some(jukebox), Some(config)) => {
                jukebox.set_rules(config);
                jukebox.set_songs(&self.environment.songs);
            }
            (None, Some(_)) => self.jukebox = make::jukebox(&self.config, &self.environment),
            (Some(jukebox), None) => {
                jukebox.drain(&mut self.cx);
                self.jukebox = None;
                self.hang_up(&[Service::Jukebox]);
            }
            (None, None) => {}
        }
    }
}

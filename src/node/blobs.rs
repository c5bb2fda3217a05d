//! What becomes of a blob in a node: whose it is when it is open, cannot be, or breaks.

use crate::base::port::{Blob, Facts};
use crate::node::{Node, observe};

impl Node {
    pub(super) fn opened(&mut self, blob: Blob, facts: Facts<'_>) {
        let cx = &mut self.cx;
        let mut playouts = self.channels.iter_mut().filter_map(|c| c.playout.as_mut());
        let _taken = playouts.any(|p| p.opened(cx, blob, facts))
            || self.client.as_mut().is_some_and(|c| c.opened(cx, blob, facts))
            || self.trees.as_mut().is_some_and(|t| t.opened(cx, blob, facts))
            || self.song_opened(blob, facts)
            || self.edge_opened(blob, facts)
            || self.file_opened(blob, facts);
    }

    pub(super) fn unreadable(&mut self, blob: Blob, why: &str) {
        let cx = &mut self.cx;
        let mut playouts = self.channels.iter_mut().filter_map(|c| c.playout.as_mut());
        let _taken = playouts.any(|p| p.unreadable(cx, blob, why))
            || self.client.as_mut().is_some_and(|c| c.unreadable(cx, blob, why))
            || self.trees.as_mut().is_some_and(|t| t.unreadable(cx, blob))
            || self.song_unreadable(blob, why)
            || self.edge_unreadable(blob, why)
            || self.file_unreadable(blob, why);
    }

    pub(super) fn faulted(&mut self, blob: Blob) {
        if self.song_faulted(blob) || self.file_faulted(blob) || self.edge_faulted(blob) {
            return;
        }
        for (number, channel) in self.channels.iter_mut().enumerate() {
            let Some(block) = channel.window.remove(&mut self.cx, blob) else { continue };
            self.lines.push_back(observe::faulted(number, &block));
            if channel.window.live().is_none() {
                self.tv.iter_mut().for_each(|tv| tv.off_air(number));
            }
            if let Some(playout) = &mut channel.playout {
                playout.broke(&mut self.cx, &block);
            }
        }
        self.take_back();
    }
}

//! The ring of a channel's newest blocks, in the order of their numbers. The last one is on the
//! air. It owns its blocks' blobs: whoever pushes releases what falls out.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Cx};
use crate::channel::Block;

/// A channel's blocks, oldest first.
#[derive(Default, Debug)]
pub struct Window {
    ring: VecDeque<Rc<Block>>,
    off_air: bool,
}

impl Window {
    /// Puts a block on the air. Blocks with this or a later number leave: the clock went back, or
    /// the filler takes a damaged block's place. Releases the blobs of all that leave.
    pub fn push(&mut self, cx: &mut Cx, block: Rc<Block>) {
        while self.ring.back().is_some_and(|last| last.seq >= block.seq) {
            self.ring.pop_back().inspect(|old| cx.release(old.blob));
        }
        if self.ring.len() >= limits::WINDOW_BLOCKS_MAX {
            self.ring.pop_front().inspect(|old| cx.release(old.blob));
        }
        self.ring.push_back(block);
        self.off_air = false;
    }

    /// Takes a damaged block out.
    pub fn remove(&mut self, cx: &mut Cx, blob: Blob) -> Option<Rc<Block>> {
        let at = self.ring.iter().position(|b| b.blob == blob)?;
        let was_live = at + 1 == self.ring.len();
        let block = self.ring.remove(at)?;
        self.off_air |= was_live;
        cx.release(blob);
        Some(block)
    }

    /// Takes everything out.
    pub fn clear(&mut self, cx: &mut Cx) {
        self.ring.drain(..).for_each(|old| cx.release(old.blob));
    }

    /// Nothing is on the air until the next push; what was stays to be read.
    pub fn go_off_air(&mut self) {
        self.off_air = true;
    }

    /// The block on the air.
    #[must_use]
    pub fn live(&self) -> Option<&Rc<Block>> {
        self.ring.back().filter(|_| !self.off_air)
    }

    /// The block of a number, while it is kept.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<&Rc<Block>> {
        let at = self.ring.binary_search_by_key(&seq, |b| b.seq).ok()?;
        self.ring.get(at)
    }

    /// The first and the last number kept.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        Some((self.ring.front()?.seq, self.ring.back()?.seq))
    }

    /// Every block, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Block>> {
        self.ring.iter()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use core::time::Duration;

    use super::*;
    use crate::base::time::{Now, Wall};
    use crate::media::sniff::Container;

    /// A block for tests of whatever takes blocks.
    pub(crate) fn block(cx: &mut Cx, seq: u64) -> Rc<Block> {
        let blob = cx.create(1).expect("tests hold few blobs");
        cx.out.clear();
        Rc::new(Block {
            seq,
            movie: "m".into(),
            index: 0,
            file: format!("m_{seq:05}.mkv").into(),
            blob,
            len: 100,
            modified: Wall(0),
            container: Container::Mkv,
            starts_at: Wall(0),
            lasts: Duration::from_secs(2),
            replaced: false,
            place: None,
        })
    }

    fn filled(seqs: impl IntoIterator<Item = u64>) -> (Cx, Window) {
        let (mut cx, mut window) = (Cx::new(Now::default(), 1), Window::default());
        for seq in seqs {
            let block = block(&mut cx, seq);
            window.push(&mut cx, block);
        }
        (cx, window)
    }

    #[test]
    fn the_oldest_block_leaves_a_full_window() {
        let (cx, window) = filled(0..100);
        let kept = limits::WINDOW_BLOCKS_MAX as u64;
        assert_eq!(window.range(), Some((100 - kept, 99)));
        assert_eq!(window.live().map(|b| b.seq), Some(99));
        assert_eq!((window.get(99 - kept), window.get(95).map(|b| b.seq)), (None, Some(95)));
        assert_eq!(cx.blobs.len(), limits::WINDOW_BLOCKS_MAX);
    }

    #[test]
    fn a_clock_that_went_back_empties_what_is_ahead() {
        let (cx, window) = filled([10, 11, 12, 5]);
        assert_eq!((window.range(), cx.blobs.len()), (Some((5, 5)), 1));
        let (_, window) = filled([10, 11, 12, 12]);
        assert_eq!(window.range(), Some((10, 12)));
    }

    #[test]
    fn a_damaged_block_leaves_and_takes_the_channel_off_the_air() {
        let (mut cx, mut window) = filled([1, 2]);
        let blob = window.live().unwrap().blob;
        assert_eq!(window.remove(&mut cx, blob).unwrap().seq, 2);
        assert!(window.live().is_none());
        assert_eq!(window.get(1).unwrap().seq, 1);
    }
}

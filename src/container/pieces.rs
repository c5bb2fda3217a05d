//! What a writer makes of a block without copying its frames: bytes of its own, and ranges of the
//! block between them. Whoever sends it gathers both; [`Pieces::bytes`] joins them where a copy is
//! wanted.

use core::ops::Range;

use crate::base::port::Gather;
pub use crate::base::port::Piece;
use crate::container::types::Part;

/// One run of bytes, resolved as far as it can be without the block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slice<'a> {
    /// Bytes that the writer made.
    Made(&'a [u8]),
    /// A range of the block.
    Body(Range<usize>),
}

/// An output made of a block.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Pieces {
    made: Vec<u8>,
    list: Vec<Piece>,
    len: u64,
}

impl Pieces {
    /// Bytes of all pieces together.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes that the writer made; [`Piece::Made`] names parts of them.
    #[must_use]
    pub fn made(&self) -> &[u8] {
        &self.made
    }

    /// The pieces in order; no two of a kind stand beside each other that could be one.
    #[must_use]
    pub fn list(&self) -> &[Piece] {
        &self.list
    }

    /// The pieces in order, those of the writer as bytes.
    #[must_use]
    pub fn slices(&self) -> impl ExactSizeIterator<Item = Slice<'_>> {
        self.list.iter().map(|piece| match *piece {
            Piece::Made { from, len } => Slice::Made(&self.made[range(from, len)]),
            Piece::Body { from, len } => Slice::Body(range(from, len)),
        })
    }

    /// The whole output in one, with the bytes of the block that it was made of.
    #[must_use]
    pub fn bytes(&self, block: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        for slice in self.slices() {
            bytes.extend_from_slice(match slice {
                Slice::Made(made) => made,
                Slice::Body(body) => &block[body],
            });
        }
        bytes
    }

    /// The same for whoever sends it.
    #[must_use]
    pub fn into_gather(self) -> Gather {
        Gather { made: self.made.into(), list: self.list.into() }
    }

    /// Adds bytes of our own.
    pub(super) fn make(&mut self, bytes: &[u8]) {
        let (from, len) = (short(self.made.len()), short(bytes.len()));
        self.made.extend_from_slice(bytes);
        self.len += u64::from(len);
        match self.list.last_mut() {
            Some(Piece::Made { len: before, .. }) => *before += len,
            _ if len > 0 => self.list.push(Piece::Made { from, len }),
            _ => {}
        }
    }

    /// Adds a part of a frame.
    pub(super) fn part(&mut self, part: Part) {
        let Some(range) = part.range() else {
            return self.make(&part.length_prefix().unwrap_or_default());
        };
        let (from, len) = (short(range.start), short(range.len()));
        self.len += u64::from(len);
        match self.list.last_mut() {
            Some(Piece::Body { from: before, len: so_far }) if *before + *so_far == from => {
                *so_far += len;
            }
            _ => self.list.push(Piece::Body { from, len }),
        }
    }
}

fn range(from: u32, len: u32) -> Range<usize> {
    from as usize..from as usize + len as usize
}

/// What a writer makes of a block is about as long as the block, and that is far below 4 GiB.
fn short(count: usize) -> u32 {
    u32::try_from(count).expect("outputs of one block have less than 4 GiB")
}

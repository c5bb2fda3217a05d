//! Outputs put together of bytes of our own and ranges of a map: never joined, the kernel gathers
//! them when they are sent. Owned by the reactor, shared with the queues of connections.

use std::io;
use std::rc::Rc;

use crate::base::port::{Gather, Piece};
use crate::io::blobs::{Map, Part};

/// What a blob consists of that was put together.
#[derive(Debug)]
pub(super) struct Gathered {
    gather: Gather,
    /// The map that pieces are ranges of.
    source: Option<Rc<Map>>,
    /// Where each piece ends.
    ends: Box<[u64]>,
}

impl Gathered {
    /// Every piece must lie in what it is of.
    pub(super) fn new(gather: Gather, source: Option<Rc<Map>>) -> io::Result<Self> {
        let made = gather.made.len() as u64;
        let body = source.as_ref().map_or(0, |map| map.len());
        let fits = |piece: &Piece| match *piece {
            Piece::Made { from, len } => u64::from(from) + u64::from(len) <= made,
            Piece::Body { from, len } => u64::from(from) + u64::from(len) <= body,
        };
        if !gather.list.iter().all(fits) || gather.is_empty() {
            return Err(io::Error::other("what it was made of is no longer there"));
        }
        let ends = gather.list.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        Ok(Self { ends: ends.collect(), gather, source })
    }

    pub(super) fn source(&self) -> Option<&Rc<Map>> {
        self.source.as_ref()
    }

    /// Puts the bytes from an offset on into the first of these places, as many as there are; how
    /// many were needed.
    pub(super) fn parts<'a>(&'a self, from: u64, len: u64, into: &mut [Part<'a>]) -> usize {
        let first = self.ends.partition_point(|end| *end <= from);
        let (mut skip, mut left, mut count) = (from - self.starts(first), len, 0);
        for (place, piece) in into.iter_mut().zip(&self.gather.list[first..]) {
            if left == 0 {
                break;
            }
            let step = (piece.len() - skip).min(left);
            *place = self.part(*piece, skip, step);
            (skip, left, count) = (0, left - step, count + 1);
        }
        count
    }

    fn starts(&self, piece: usize) -> u64 {
        piece.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn part(&self, piece: Piece, skip: u64, len: u64) -> Part<'_> {
        match (piece, &self.source) {
            (Piece::Body { from, .. }, Some(map)) => Part::Mapped(map, u64::from(from) + skip, len),
            (Piece::Made { from, .. } | Piece::Body { from, .. }, _) => {
                let index = |at: u64| usize::try_from(at).expect("it lies in memory");
                let from = index(u64::from(from) + skip);
                Part::Own(&self.gather.made[from..from + index(len)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifty bytes, of which every other ten are ranges of a map.
    fn gathered() -> Gathered {
        let map = Map::memory(1_000).unwrap();
        let piece = |n: u32| match n % 2 {
            0 => Piece::Made { from: n * 10, len: 10 },
            _ => Piece::Body { from: n * 100, len: 10 },
        };
        let gather = Gather { made: (0..50).collect(), list: (0..5).map(piece).collect() };
        Gathered::new(gather, Some(Rc::new(map))).unwrap()
    }

    fn shown(gathered: &Gathered, from: u64, len: u64, most: usize) -> Vec<(bool, u64, u64)> {
        let mut parts = vec![Part::Own(&[]); most];
        let count = gathered.parts(from, len, &mut parts);
        let one = |part: &Part<'_>| match *part {
            Part::Own(bytes) => (false, bytes[0].into(), bytes.len() as u64),
            Part::Mapped(_, from, len) => (true, from, len),
        };
        parts[..count].iter().map(one).collect()
    }

    #[test]
    fn any_part_of_it_is_a_list_of_slices() {
        let it = gathered();
        assert_eq!(shown(&it, 0, 50, 8).len(), 5);
        assert_eq!(shown(&it, 5, 10, 8), [(false, 5, 5), (true, 100, 5)]);
        assert_eq!(shown(&it, 39, 2, 8), [(true, 309, 1), (false, 40, 1)]);
        assert_eq!(shown(&it, 10, 40, 2), [(true, 100, 10), (false, 20, 10)], "as many as fit");
        assert_eq!(shown(&it, 50, 0, 8), []);
    }

    #[test]
    fn pieces_outside_of_what_they_are_of_are_refused() {
        let gather = |piece| Gather { made: [0; 4].into(), list: [piece].into() };
        let refused = |piece| Gathered::new(gather(piece), None).is_err();
        assert!(
            refused(Piece::Made { from: 1, len: 4 }) && refused(Piece::Body { from: 0, len: 1 })
        );
        assert!(
            refused(Piece::Made { from: 0, len: 0 }) && !refused(Piece::Made { from: 0, len: 4 })
        );
    }
}

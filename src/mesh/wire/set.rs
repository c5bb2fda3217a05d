//! The two small values that every message is made of: a node's id and a set of stripes.

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign, Sub, SubAssign};

use crate::base::limits::MESH_STRIPES_MAX;

/// The name of a node, drawn at random when it starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Some of the stripes 0 to 15.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stripes(u16);

impl Stripes {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// The stripes 0 to `count - 1`; all 16 from 16 on.
    #[must_use]
    pub fn first(count: usize) -> Self {
        if count >= MESH_STRIPES_MAX { Self(u16::MAX) } else { Self((1 << count) - 1) }
    }

    /// Only this one, which is below 16.
    #[must_use]
    pub fn one(stripe: usize) -> Self {
        debug_assert!(stripe < MESH_STRIPES_MAX, "stripe {stripe}");
        Self(1 << stripe)
    }

    /// `count` stripes from `start` on.
    #[must_use]
    pub fn run(start: usize, count: usize) -> Self {
        Self::first(start + count) - Self::first(start)
    }

    /// The set with these bits, bit 0 for stripe 0.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Bit 0 for stripe 0.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether this stripe is among them.
    #[must_use]
    pub fn has(self, stripe: usize) -> bool {
        stripe < MESH_STRIPES_MAX && self.0 >> stripe & 1 == 1
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether some of `other` are among them.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Puts a stripe in.
    pub fn add(&mut self, stripe: usize) {
        *self |= Self::one(stripe);
    }

    /// Takes a stripe out.
    pub fn cut(&mut self, stripe: usize) {
        *self -= Self::one(stripe);
    }

    /// Each, lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let next = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                next
            })
        })
    }
}

impl BitOr for Stripes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Stripes {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Stripes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOrAssign for Stripes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl SubAssign for Stripes {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl FromIterator<usize> for Stripes {
    fn from_iter<I: IntoIterator<Item = usize>>(stripes: I) -> Self {
        stripes.into_iter().fold(Self::EMPTY, |set, stripe| set | Self::one(stripe))
    }
}

/// `0-3,7`; `none` when empty.
impl fmt::Display for Stripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut left = *self;
        let mut comma = "";
        while let Some(from) = left.iter().next() {
            let past = (from..=MESH_STRIPES_MAX).find(|s| !left.has(*s));
            let past = past.unwrap_or(MESH_STRIPES_MAX);
            write!(f, "{comma}{from}")?;
            if past > from + 1 {
                write!(f, "-{}", past - 1)?;
            }
            left -= Self::run(from, past - from);
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Stripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_as_runs() {
        let set: Stripes = [0, 1, 2, 3, 7, 15].into_iter().collect();
        assert_eq!(set.to_string(), "0-3,7,15");
        assert_eq!(Stripes::EMPTY.to_string(), "none");
        assert_eq!(Stripes::first(16).to_string(), "0-15");
        assert_eq!(Stripes::run(4, 2).iter().collect::<Vec<_>>(), [4, 5]);
        assert_eq!((set.len(), set.has(7), set.has(16)), (6, true, false));
    }

    #[test]
    fn sets_combine() {
        let (low, high) = (Stripes::first(4), Stripes::run(2, 4));
        assert_eq!((low | high, low & high, low - high), {
            (Stripes::first(6), Stripes::run(2, 2), Stripes::first(2))
        });
        assert!(low.meets(high) && !low.holds(high) && (low | high).holds(high));
    }
}

//! Slots with generations: a key that outlived its value finds nothing, never the slot's next
//! owner. [`Arena`] (over `slab`) makes the keys; [`Side`] hangs further values on keys made
//! elsewhere.

use slab::Slab;

/// An index and the generation of its slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    fn new(index: usize, generation: u32) -> Self {
        let index = u32::try_from(index).expect("arenas are far below 2^32 slots");
        Self { index, generation }
    }

    /// The slot, for dense side tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Generation in the upper half, index in the lower: the event token of this key.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that [`Key::to_bits`] gave.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves are cut apart on purpose")]
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Values in reusable slots, reached by [`Key`].
#[derive(Debug)]
pub struct Arena<T> {
    slots: Slab<(u32, T)>,
    generation: u32,
    max: usize,
}

impl<T> Arena<T> {
    /// An empty arena that never holds more than `max` values.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { slots: Slab::new(), generation: 0, max }
    }

    /// Puts a value in; `None` when the arena is full.
    pub fn insert(&mut self, value: T) -> Option<Key> {
        if self.slots.len() >= self.max {
            return None;
        }
        // 31 bits, so that a key's bits are never the all-ones token that mio keeps for itself.
        self.generation = (self.generation + 1) & 0x7fff_ffff;
        let index = self.slots.insert((self.generation, value));
        Some(Key::new(index, self.generation))
    }

    /// The value, unless its slot has been freed since.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.index()).filter(|(g, _)| *g == key.generation).map(|(_, v)| v)
    }

    /// The value, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.index()).filter(|(g, _)| *g == key.generation).map(|(_, v)| v)
    }

    /// Takes a value out and frees its slot.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index()).1)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every value in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().map(|(i, (generation, value))| (Key::new(i, *generation), value))
    }
}

/// Values hung on keys of an [`Arena`] elsewhere; dense, by slot, checked by generation.
#[derive(Debug)]
pub struct Side<T> {
    slots: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for Side<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }
}

impl<T> Side<T> {
    /// Hangs a value on a key, in place of whatever that slot had.
    pub fn insert(&mut self, key: Key, value: T) -> Option<T> {
        if self.slots.len() <= key.index() {
            self.slots.resize_with(key.index() + 1, || None);
        }
        let old = self.slots[key.index()].replace((key.generation, value));
        self.len += usize::from(old.is_none());
        old.map(|(_, v)| v)
    }

    /// The value of this very key.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.slots.get(key.index())?.as_ref()?;
        (*generation == key.generation).then_some(value)
    }

    /// The value of this very key, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(key.index())?.as_mut()?;
        (*generation == key.generation).then_some(value)
    }

    /// Takes the value of this very key.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.len -= 1;
        self.slots[key.index()].take().map(|(_, v)| v)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every value in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(i, slot)| {
            let (generation, value) = slot.as_ref()?;
            Some((Key::new(i, *generation), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_freed_slot_finds_nothing() {
        let mut arena = Arena::new(8);
        let old = arena.insert("old").unwrap();
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert("new").unwrap();
        assert_eq!(old.index(), new.index());
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&"new")));
        assert_eq!(arena.remove(old), None);
        assert_eq!(Key::from_bits(new.to_bits()), new);
    }

    #[test]
    fn a_full_arena_refuses() {
        let mut arena = Arena::new(1);
        assert!(arena.insert(1).is_some());
        assert!(arena.insert(2).is_none());
    }

    #[test]
    fn a_side_table_minds_generations() {
        let mut arena = Arena::new(8);
        let mut side = Side::default();
        let old = arena.insert(()).unwrap();
        side.insert(old, 1);
        arena.remove(old);
        let new = arena.insert(()).unwrap();
        assert_eq!(side.get(new), None);
        side.insert(new, 2);
        assert_eq!((side.get(old), side.get(new), side.len()), (None, Some(&2), 1));
        assert_eq!((side.remove(old), side.remove(new), side.len()), (None, Some(2), 0));
    }
}

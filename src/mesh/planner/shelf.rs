//! Nodes by depth, each put, moved and removed in constant time: what lets the planner find the
//! shallowest place without a walk.

use crate::base::arena::Key;
use crate::base::rng::Rng;

/// Deeper nodes share the last level.
const LEVELS: usize = 64;

/// A set of nodes in levels.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    levels: Vec<Vec<Key>>,
    /// Where a slot of the arena stands: its level and the place in it.
    spots: Vec<Option<(u8, u32)>>,
}

impl Shelf {
    /// Puts a node on a level, moves it there, or takes it off (`None`).
    pub(super) fn set(&mut self, key: Key, depth: Option<usize>) {
        let level = depth.map(|depth| depth.min(LEVELS - 1));
        let spot = self.spots.get(key.index()).copied().flatten();
        if spot.map(|(at, _)| usize::from(at)) == level {
            return;
        }
        if let Some(spot) = spot {
            self.take_off(key, spot);
        }
        if let Some(level) = level {
            self.put(key, level);
        }
    }

    fn take_off(&mut self, key: Key, (level, place): (u8, u32)) {
        let level = &mut self.levels[usize::from(level)];
        level.swap_remove(place as usize);
        let moved = level.get(place as usize).map(|key| key.index());
        if let Some((_, its)) = moved.and_then(|index| self.spots[index].as_mut()) {
            *its = place;
        }
        self.spots[key.index()] = None;
    }

    fn put(&mut self, key: Key, level: usize) {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        if self.spots.len() <= key.index() {
            self.spots.resize(key.index() + 1, None);
        }
        let place = u32::try_from(self.levels[level].len()).expect("arenas are below 2^32 slots");
        self.levels[level].push(key);
        let level = u8::try_from(level).expect("there are 64 levels");
        self.spots[key.index()] = Some((level, place));
    }

    /// How many levels there may be something on.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The first level that has a node.
    pub(super) fn shallowest(&self) -> Option<usize> {
        self.levels.iter().position(|level| !level.is_empty())
    }

    /// The last level that has a node.
    pub(super) fn deepest(&self) -> Option<usize> {
        self.levels.iter().rposition(|level| !level.is_empty())
    }

    /// Every node of a level.
    pub(super) fn level(&self, depth: usize) -> &[Key] {
        self.levels.get(depth).map_or(&[], Vec::as_slice)
    }

    /// Up to `count` nodes of a level that stand side by side, from a random one on.
    pub(super) fn sample(&self, depth: usize, count: usize, rng: &mut Rng) -> Vec<Key> {
        let level = self.level(depth);
        if level.is_empty() {
            return Vec::new();
        }
        let from = pick(rng, level.len());
        (0..level.len().min(count)).map(|i| level[(from + i) % level.len()]).collect()
    }

    /// Any node of a level.
    pub(super) fn any(&self, depth: usize, rng: &mut Rng) -> Option<Key> {
        let level = self.level(depth);
        (!level.is_empty()).then(|| level[pick(rng, level.len())])
    }

    /// Whether there is nothing on it.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shallowest().is_none()
    }
}

/// A place in a list of `count`, which is at least 1.
pub(super) fn pick(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).expect("it is below a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::arena::Arena;

    #[test]
    fn nodes_are_found_where_they_were_put_last() {
        let mut arena = Arena::new(100);
        let keys: Vec<_> = (0..20).map(|_| arena.insert(()).unwrap()).collect();
        let mut shelf = Shelf::default();
        keys.iter().enumerate().for_each(|(i, key)| shelf.set(*key, Some(i % 5 + 2)));
        keys.iter().take(10).for_each(|key| shelf.set(*key, Some(90)));
        keys.iter().skip(15).for_each(|key| shelf.set(*key, None));
        assert_eq!((shelf.shallowest(), shelf.deepest()), (Some(2), Some(63)));
        assert_eq!(shelf.level(63).len(), 10);
        assert_eq!((2..7).map(|level| shelf.level(level).len()).sum::<usize>(), 5);
        for key in keys {
            shelf.set(key, None);
        }
        assert!(shelf.is_empty());
    }
}

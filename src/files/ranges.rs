//! Which numbers have come: runs of them, few when little is missing. Used by both ends for bytes
//! and for datagrams.

use std::collections::BTreeMap;

/// A set of numbers as runs that do not touch.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Ranges {
    /// First number of a run, and the first behind it.
    runs: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the numbers from `from` up to, not including, `to`; gives how many of them are new.
    pub fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        // Nearly always it goes on where the last run ends.
        if let Some(mut last) = self.runs.last_entry()
            && *last.get() == from
        {
            *last.get_mut() = to;
            return to - from;
        }
        let (mut first, mut end, mut known) = (from, to, 0);
        let before = self.runs.range(..=from).next_back().map(|(a, b)| (*a, *b));
        if let Some((a, b)) = before.filter(|(_, b)| *b >= from) {
            known += b.min(to) - from;
            (first, end) = (a, end.max(b));
        }
        let inside: Vec<_> = self.runs.range(from + 1..=to).map(|(a, b)| (*a, *b)).collect();
        for (a, b) in inside {
            known += b.min(to) - a;
            end = end.max(b);
            self.runs.remove(&a);
        }
        self.runs.insert(first, end);
        to - from - known
    }

    /// Whether all numbers from `from` up to, not including, `to` are there.
    #[must_use]
    pub fn contains(&self, from: u64, to: u64) -> bool {
        let run = self.runs.range(..=from).next_back();
        from >= to || run.is_some_and(|(_, end)| *end >= to)
    }

    /// The first number at or behind `from` that is missing.
    #[must_use]
    pub fn end_from(&self, from: u64) -> u64 {
        let run = self.runs.range(..=from).next_back();
        run.map_or(from, |(_, end)| from.max(*end))
    }

    /// Runs, the highest first: first number, and the first behind it.
    pub fn down(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().rev().map(|(a, b)| (*a, *b))
    }

    /// How many runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets the lowest runs until there are so many.
    pub fn keep_highest(&mut self, most: usize) {
        while self.runs.len() > most {
            self.runs.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(steps in prop::collection::vec((0u64..60, 0u64..12), 0..40)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (from, len) in steps {
                let before = model.len();
                model.extend(from..from + len);
                let new = ranges.insert(from, from + len);
                prop_assert_eq!(new, (model.len() - before) as u64);
                for number in 0..75 {
                    prop_assert_eq!(ranges.contains(number, number + 1), model.contains(&number));
                    let end = (number..1_000).find(|n| !model.contains(n)).unwrap();
                    prop_assert_eq!(ranges.end_from(number), end);
                }
                let mut last = u64::MAX;
                for (a, b) in ranges.down() {
                    prop_assert!(a < b && b < last, "runs stand apart");
                    last = a;
                }
            }
        }
    }

    #[test]
    fn only_the_highest_runs_are_kept() {
        let mut ranges = Ranges::default();
        assert_eq!([1, 3, 5].map(|n| ranges.insert(n, n + 1)), [1; 3]);
        ranges.keep_highest(2);
        assert_eq!(ranges.down().collect::<Vec<_>>(), [(5, 6), (3, 4)]);
        assert_eq!((ranges.len(), ranges.is_empty()), (2, false));
    }
}

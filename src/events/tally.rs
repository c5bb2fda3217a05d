//! What the numbers of the events tell of the way they came: by the rule of the original client,
//! and honestly. Plain counting; `client` feeds it.
//!
//! | | original | honest |
//! |---|---|---|
//! | 5 then 7 | 1 lost | 1 lost |
//! | then 6 | 1 out of order | 1 late, and no longer lost |
//! | then 8 | 1 lost: it looks one back only | nothing |
//! | then 8 again | nothing | 1 duplicate |

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::limits;

/// The figures of the original client, by its own rule.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Original {
    /// Events that came, each time one did.
    pub received: u64,
    /// Numbers left out between one event and the next.
    pub lost: u64,
    /// Events with a number below the one before.
    pub out_of_order: u64,
}

/// What really happened to the numbers from the first that came to the highest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Honest {
    /// Different events that came.
    pub received: u64,
    /// Events that never came.
    pub lost: u64,
    /// Of those that came, how many came after one with a higher number.
    pub late: u64,
    /// Events that came again.
    pub duplicates: u64,
    /// How often the server began to count anew without a word.
    pub restarts: u64,
}

impl Honest {
    /// How many of a hundred that were sent were lost.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage of counts far below 2^52")]
    pub fn lost_percent(&self) -> f64 {
        let sent = self.received + self.lost;
        if sent == 0 { 0.0 } else { self.lost as f64 * 100.0 / sent as f64 }
    }
}

/// Both counts under way.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally {
    original: Original,
    last: Option<u64>,
    honest: Honest,
    run: Option<Run>,
    /// Numbers, one after the other, that are either old or the beginning of a new count.
    doubtful: Vec<u64>,
}

/// One unbroken count of a server.
#[derive(Clone, Debug)]
struct Run {
    first: u64,
    highest: u64,
    /// Those between that did not come; only the newest are known.
    missing: BTreeSet<u64>,
}

/// So many old numbers in a row are no accident: the server counts anew.
const ANEW: usize = 3;

impl Tally {
    pub(super) fn note(&mut self, count: u64) {
        self.note_original(count);
        self.note_honest(count);
    }

    pub(super) fn original(&self) -> Original {
        self.original
    }

    /// The honest figures so far.
    pub(super) fn honest(&self) -> Honest {
        let mut settled = self.clone();
        settled.settle_doubts();
        settled.honest
    }

    fn note_original(&mut self, count: u64) {
        self.original.received += 1;
        if let Some(last) = self.last {
            if count < last {
                self.original.out_of_order += 1;
            } else if count - last > 1 {
                self.original.lost = self.original.lost.saturating_add(count - last - 1);
            }
        }
        self.last = Some(count);
    }

    fn note_honest(&mut self, count: u64) {
        let Some(run) = &mut self.run else { return self.begin(count) };
        if count > run.highest {
            self.settle_doubts();
            self.advance(count);
        } else if run.missing.remove(&count) {
            self.settle_doubts();
            self.honest.received += 1;
            self.honest.late += 1;
            self.honest.lost = self.honest.lost.saturating_sub(1);
        } else {
            self.doubt(count);
        }
    }

    fn begin(&mut self, count: u64) {
        self.honest.received += 1;
        self.run = Some(Run { first: count, highest: count, missing: BTreeSet::new() });
    }

    fn advance(&mut self, count: u64) {
        let Some(run) = &mut self.run else { return };
        let gap = count - run.highest - 1;
        self.honest.received += 1;
        self.honest.lost = self.honest.lost.saturating_add(gap);
        let behind = limits::EVENTS_BEHIND_MAX;
        let oldest = (run.highest + 1).max(count.saturating_sub(behind as u64));
        run.missing.extend(oldest..count);
        while run.missing.len() > behind {
            run.missing.pop_first();
        }
        run.highest = count;
    }

    fn doubt(&mut self, count: u64) {
        if self.doubtful.last().is_some_and(|last| last.checked_add(1) != Some(count)) {
            self.settle_doubts();
        }
        self.doubtful.push(count);
        if self.doubtful.len() == ANEW {
            let first = self.doubtful[0];
            self.doubtful.clear();
            self.honest.restarts += 1;
            self.honest.received += ANEW as u64;
            self.run = Some(Run { first, highest: count, missing: BTreeSet::new() });
        }
    }

    /// Doubtful numbers that nothing followed are what they seem: old.
    fn settle_doubts(&mut self) {
        for count in std::mem::take(&mut self.doubtful) {
            let Some(run) = &mut self.run else { return };
            if run.missing.remove(&count) {
                self.honest.received += 1;
                self.honest.late += 1;
                self.honest.lost = self.honest.lost.saturating_sub(1);
                continue;
            }
            let before = run.first.saturating_sub(count);
            if before == 0 || before > limits::EVENTS_BEHIND_MAX as u64 {
                self.honest.duplicates += 1;
                continue;
            }
            // It was sent before the first one that came, and so were those between them.
            run.missing.extend(count + 1..run.first);
            run.first = count;
            self.honest.received += 1;
            self.honest.late += 1;
            self.honest.lost += before - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(counts: &[u64]) -> (Original, Honest) {
        let mut tally = Tally::default();
        for count in counts {
            tally.note(*count);
        }
        (tally.original(), tally.honest())
    }

    #[test]
    fn the_rule_of_the_original_and_the_honest_figures_stand_beside_each_other() {
        let (original, honest) = after(&[5, 7, 6, 8, 8, 12]);
        assert_eq!(original, Original { received: 6, lost: 5, out_of_order: 1 });
        let expected = Honest { received: 5, lost: 3, late: 1, duplicates: 1, restarts: 0 };
        assert_eq!(honest, expected);
        assert!((honest.lost_percent() - 37.5).abs() < 1e-9);
    }

    #[test]
    fn an_event_from_before_the_first_is_late() {
        let expected = Honest { received: 3, lost: 1, late: 1, ..Honest::default() };
        assert_eq!(after(&[4, 5, 2]).1, expected);
        assert_eq!(after(&[4, 5, 2, 3]).1, Honest { received: 4, lost: 0, late: 2, ..expected });
    }

    #[test]
    fn a_server_that_counts_anew_is_no_loss() {
        let expected = Honest { received: 7, restarts: 1, ..Honest::default() };
        assert_eq!(after(&[1, 2, 3, 1, 2, 3, 4]).1, expected);
        assert_eq!(after(&[20, 21, 1, 2, 3, 4]).1, Honest { received: 6, ..expected });
    }

    #[test]
    fn numbers_of_any_size_are_counted() {
        let (original, honest) = after(&[0, u64::MAX, 0, u64::MAX]);
        assert_eq!(original.lost, u64::MAX);
        assert_eq!((honest.lost, honest.duplicates), (u64::MAX - 1, 2));
    }

    proptest! {
        #[test]
        fn whatever_the_order_each_event_is_counted_once(
            sent in 1_u64..300,
            fate in proptest::collection::vec((0_u8..4, 0_u64..5), 300),
        ) {
            // Each is lost, sent once, or sent twice; each copy is held up by a few places.
            let mut copies = Vec::new();
            for count in 1..=sent {
                let (kind, delay) = fate[usize::try_from(count - 1).unwrap()];
                let times = [1, 1, 0, 2][usize::from(kind)];
                (0..times).for_each(|copy| copies.push((count + delay + copy * 2, count)));
            }
            copies.sort_unstable();
            let counts: Vec<_> = copies.iter().map(|(_, count)| *count).collect();
            let distinct: BTreeSet<_> = counts.iter().copied().collect();
            let (original, honest) = after(&counts);
            prop_assert_eq!(original.received, counts.len() as u64);
            // A new count is only seen in what looks like one.
            if honest.restarts == 0 {
                prop_assert_eq!(honest.received, distinct.len() as u64);
                prop_assert_eq!(honest.duplicates, (counts.len() - distinct.len()) as u64);
                let range = distinct.last().zip(distinct.first()).map_or(0, |(l, f)| l - f + 1);
                prop_assert_eq!(honest.lost, range - distinct.len() as u64);
            }
        }
    }
}

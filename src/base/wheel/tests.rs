//! The wheel against a sorted model, and its promises one by one.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MS: u64 = TICK_NS;

fn ms(n: u64) -> Mono {
    Mono(n * MS)
}

fn drain<T>(wheel: &mut Wheel<T>, now: Mono) -> Vec<(Mono, T)> {
    let due = core::iter::from_fn(|| wheel.pop_due(now)).collect();
    wheel.check_invariants();
    assert!(wheel.next().is_none_or(|next| next > now), "after None, next is later than now");
    due
}

#[test]
fn a_timer_fires_in_the_first_whole_millisecond_after_its_deadline() {
    let mut wheel = Wheel::new(Mono(0));
    wheel.insert(Mono(5 * MS + 1), 'a');
    assert_eq!(wheel.next(), Some(ms(6)));
    assert_eq!(drain(&mut wheel, Mono(6 * MS - 1)), []);
    assert_eq!(drain(&mut wheel, ms(6)), [(Mono(5 * MS + 1), 'a')]);
    assert_eq!((wheel.next(), wheel.is_empty()), (None, true));
}

#[test]
fn a_timer_at_the_start_fires_at_the_start() {
    for start in [Mono(0), ms(64), Mono(5 * MS + 3)] {
        let mut wheel = Wheel::new(start);
        wheel.insert(Mono(start.0 / MS * MS), ());
        assert_eq!(drain(&mut wheel, start).len(), 1);
    }
}

#[test]
fn timers_of_one_tick_come_in_the_order_of_deadline_then_insertion() {
    let mut wheel = Wheel::new(Mono(0));
    for (value, ns) in [(0, 900), (1, 100), (2, 900), (3, 500), (4, 100)] {
        wheel.insert(Mono(70 * MS + ns), value);
    }
    let order: Vec<_> = drain(&mut wheel, ms(1_000)).into_iter().map(|(_, v)| v).collect();
    assert_eq!(order, [1, 4, 3, 0, 2]);
}

#[test]
fn inserting_into_the_past_while_popping_ends() {
    let mut wheel = Wheel::new(Mono(0));
    wheel.insert(ms(10), ());
    wheel.insert(ms(5_000), ());
    let now = ms(1_000_000);
    let mut pops = 0;
    while wheel.pop_due(now).is_some() {
        pops += 1;
        wheel.insert(ms(20), ());
        wheel.insert(now, ());
        assert!(pops < 10, "a pop series ends");
    }
    assert_eq!((pops, wheel.next()), (2, Some(ms(1_000_001))));
    assert_eq!(drain(&mut wheel, ms(1_000_001)).len(), 4);
}

#[test]
fn a_stale_handle_cancels_nothing() {
    let mut wheel = Wheel::new(Mono(0));
    let old = wheel.insert(ms(1), "old");
    assert_eq!((wheel.cancel(old), wheel.cancel(old)), (Some("old"), None));
    let new = wheel.insert(ms(1), "new");
    assert_eq!(old.at, new.at, "the place is used again");
    assert_eq!(wheel.cancel(old), None);
    assert_eq!(drain(&mut wheel, ms(1)), [(ms(1), "new")]);
    assert_eq!(wheel.cancel(new), None);
}

#[test]
fn a_due_timer_can_still_be_cancelled() {
    let mut wheel = Wheel::new(Mono(0));
    wheel.insert(ms(3), 'a');
    let second = wheel.insert(ms(3), 'b');
    wheel.insert(ms(3), 'c');
    assert_eq!(wheel.pop_due(ms(9)), Some((ms(3), 'a')));
    assert_eq!(wheel.cancel(second), Some('b'));
    assert_eq!(drain(&mut wheel, ms(9)), [(ms(3), 'c')]);
}

#[test]
fn time_going_back_finds_nothing_and_loses_nothing() {
    let mut wheel = Wheel::new(ms(100));
    wheel.insert(ms(150), 'a');
    wheel.insert(ms(150), 'b');
    wheel.insert(ms(160), 'c');
    assert_eq!(wheel.pop_due(ms(155)), Some((ms(150), 'a')));
    assert_eq!(drain(&mut wheel, ms(120)), []);
    assert_eq!(drain(&mut wheel, ms(155)), [(ms(150), 'b')]);
    assert_eq!(drain(&mut wheel, Mono(0)), []);
    assert_eq!(wheel.next(), Some(ms(160)));
    assert_eq!(drain(&mut wheel, ms(160)), [(ms(160), 'c')]);
}

#[test]
fn what_lies_beyond_the_reach_fires_in_its_time_and_in_order() {
    let year = 365 * 86_400_000;
    let mut wheel = Wheel::new(ms(7));
    wheel.insert(ms(100 * year), "far");
    assert_eq!(drain(&mut wheel, ms(2 * year)), []);
    wheel.insert(ms(4 * year), "near");
    assert_eq!(wheel.next_timer(), Some((ms(4 * year), &"near")));
    assert_eq!(drain(&mut wheel, ms(4 * year)), [(ms(4 * year), "near")]);
    assert_eq!(drain(&mut wheel, Mono(100 * year * MS - 1)), []);
    assert_eq!(drain(&mut wheel, ms(100 * year)), [(ms(100 * year), "far")]);
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let mut wheel = Wheel::new(Mono(u64::MAX));
    wheel.insert(Mono(u64::MAX), ());
    wheel.insert(Mono(0), ());
    assert_eq!(wheel.pop_due(Mono(u64::MAX)), Some((Mono(0), ())));
    // The first whole millisecond after it lies beyond the end.
    assert_eq!((wheel.pop_due(Mono(u64::MAX)), wheel.len()), (None, 1));
    wheel.check_invariants();
}

#[test]
fn what_is_far_away_wakes_nobody_before_its_time() {
    let mut wheel = Wheel::new(Mono(0));
    let first = wheel.insert(ms(1_000), 'a');
    wheel.insert(ms(1_020), 'b');
    assert_eq!(wheel.next(), Some(ms(1_000)), "not when the slot of both begins");
    // Who was to fire first is gone: to find out who is now would cost as much as a look then.
    wheel.cancel(first);
    assert_eq!(wheel.next(), Some(ms(1_000)));
    assert_eq!(drain(&mut wheel, ms(1_000)), []);
    assert_eq!(wheel.next(), Some(ms(1_020)));
    wheel.insert(ms(1_010), 'c');
    assert_eq!(wheel.next(), Some(ms(1_010)));
    assert_eq!(drain(&mut wheel, ms(2_000)), [(ms(1_010), 'c'), (ms(1_020), 'b')]);
    assert_eq!(wheel.next(), None);
}

#[test]
fn a_jump_visits_occupied_slots_only() {
    let mut wheel = Wheel::new(Mono(0));
    wheel.insert(Mono(0).after(Duration::from_hours(24 * 365)), ());
    let mut visits = 0;
    while let Some(next) = wheel.next() {
        visits += 1;
        drain(&mut wheel, next);
    }
    assert!(visits <= 6, "a year of milliseconds took {visits} visits");
}

#[test]
fn a_wheel_shows_how_many_and_which_is_next() {
    let mut wheel = Wheel::new(Mono(0));
    wheel.insert(ms(2), 'b');
    wheel.insert(ms(1), 'a');
    let shown = format!("{wheel:?}");
    assert_eq!(shown, "Wheel { len: 2, next: Some((Mono(1000000), 'a')), .. }");
}

/// What is done to the wheel and to the model.
#[derive(Clone, Debug)]
enum Step {
    /// A timer so many nanoseconds from now, or before it.
    Insert(i64),
    /// The n-th of all handles ever given, live or stale.
    Cancel(prop::sample::Index),
    /// Time moves by so much, then one timer is popped.
    PopOne(i64),
    /// Time moves by so much, then all that is due is popped.
    Drain(i64),
    /// Time moves to what `next` says, then all that is due is popped.
    DrainNext,
}

/// Every magnitude from a nanosecond to decades, now and then backwards.
fn spans() -> impl Strategy<Value = i64> {
    let magnitude = (0_u32..60, any::<i64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1));
    let near = 0..100 * MS.cast_signed();
    prop_oneof![4 => magnitude, 4 => near, 1 => -200 * MS.cast_signed()..0]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => spans().prop_map(Step::Insert),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => spans().prop_map(Step::PopOne),
        2 => spans().prop_map(Step::Drain),
        3 => Just(Step::DrainNext),
    ];
    prop::collection::vec(step, 1..200)
}

/// The same promises on a sorted map, without levels or slots.
struct Model {
    /// By the millisecond in which it fires, deadline, number.
    timers: BTreeMap<(u64, Mono, usize), Timer>,
    /// The first millisecond that was not asked for yet.
    open_ms: u64,
}

impl Model {
    fn pop(&mut self, now: Mono) -> Option<(Mono, usize)> {
        self.open_ms = self.open_ms.max(now.0 / MS + 1);
        let first = self.timers.first_entry()?;
        let (fires_ms, deadline, number) = *first.key();
        (fires_ms <= now.0 / MS).then(|| first.remove())?;
        Some((deadline, number))
    }
}

struct Pair {
    now: Mono,
    wheel: Wheel<usize>,
    model: Model,
    given: Vec<Timer>,
}

impl Pair {
    fn new(start: Mono) -> Self {
        let model = Model { timers: BTreeMap::new(), open_ms: start.0 / MS };
        Self { now: start, wheel: Wheel::new(start), model, given: Vec::new() }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Insert(by) => self.insert(self.now.0.saturating_add_signed(*by)),
            Step::Cancel(which) if !self.given.is_empty() => self.cancel(*which.get(&self.given)),
            Step::Cancel(_) => {}
            Step::PopOne(by) => {
                self.now = Mono(self.now.0.saturating_add_signed(*by));
                self.pop();
            }
            Step::Drain(by) => self.drain(Mono(self.now.0.saturating_add_signed(*by))),
            Step::DrainNext => self.drain(self.wheel.next().unwrap_or(self.now)),
        }
        self.compare();
    }

    fn insert(&mut self, at: u64) {
        let number = self.given.len();
        let timer = self.wheel.insert(Mono(at), number);
        let fires_ms = at.div_ceil(MS).max(self.model.open_ms);
        self.model.timers.insert((fires_ms, Mono(at), number), timer);
        self.given.push(timer);
    }

    fn cancel(&mut self, timer: Timer) {
        let known = self.model.timers.iter().find(|(_, t)| **t == timer).map(|(key, _)| *key);
        known.map(|key| self.model.timers.remove(&key));
        assert_eq!(self.wheel.cancel(timer), known.map(|(_, _, number)| number));
    }

    fn pop(&mut self) -> bool {
        let popped = self.wheel.pop_due(self.now);
        assert_eq!(popped, self.model.pop(self.now));
        popped.is_some()
    }

    fn drain(&mut self, now: Mono) {
        self.now = now;
        while self.pop() {}
        assert!(self.wheel.next().is_none_or(|next| next > now));
    }

    fn compare(&self) {
        self.wheel.check_invariants();
        assert_eq!(self.wheel.len(), self.model.timers.len());
        let first = self.model.timers.first_key_value().map(|(key, _)| *key);
        let (fires_at, exact) = first.map(|(m, at, n)| (ms(m), (at, n))).unzip();
        assert_eq!(self.wheel.next_timer().map(|(at, n)| (at, *n)), exact);
        assert_eq!(self.wheel.next().is_some(), fires_at.is_some());
        assert!(self.wheel.next() <= fires_at, "next is never late");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(start in 0_u64..1 << 60, steps in steps()) {
        let mut pair = Pair::new(Mono(start));
        for step in &steps {
            pair.run(step);
        }
        // The last timers fire too: each visit of `next` either pops or cascades.
        for _ in 0..steps.len() * 32 {
            if pair.wheel.is_empty() {
                break;
            }
            pair.run(&Step::DrainNext);
        }
        prop_assert!(pair.wheel.is_empty(), "{} timers never fired", pair.wheel.len());
    }
}

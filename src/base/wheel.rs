//! The one timer wheel: what each wait of the program hangs on. Told the time, it never reads it.
//! The node owns one and drains it once a turn; machines insert and cancel through `base::port`.
//!
//! Six levels of 64 slots, in ticks of 1 ms: a slot of level *n* is 64^*n* ticks wide. A timer
//! hangs in the level where its distance fits, and moves to a finer one (a *cascade*) when the time
//! comes to the start of its slot, at most five times in its life. Inserting and cancelling cost
//! O(1). One bit a slot says whether something hangs there, so a jump of days costs as much as the
//! timers that it touches. What lies further than 64^6 ticks (2.2 years) is held in the last slot
//! and placed anew when the time gets there.
//!
//! Ticks are counted from one, so that "no tick was popped yet" is tick 0 at the clock's origin.

use core::fmt;
use core::num::NonZeroU64;

use crate::base::limits;
use crate::base::time::Mono;

const LEVELS: u32 = 6;
const SLOTS: u32 = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Ticks that the levels reach over.
const REACH: u64 = 1 << (SLOT_BITS * LEVELS);
const TICK_NS: u64 = 1_000_000;

/// The list of timers whose tick has come, in the order in which they fire.
const DUE: u32 = LEVELS * SLOTS;
/// Lists in all. The first links belong to them (their ends), the rest to timers.
const LISTS: u32 = DUE + 1;
/// The end of the chain of free entries: the links of a list, which no entry has.
const NONE: u32 = 0;

/// A timer that was inserted. Outliving it is harmless: a fired or cancelled timer's handle cancels
/// nothing, whoever has its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timer {
    // Where its links are; its entry is `LISTS` before.
    at: u32,
    // Unique for ever, and ascending: it is the order of insertion, too.
    serial: NonZeroU64,
}

/// Neighbours in a circular list, or (`next` only) in the chain of free entries.
#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    fn alone(link: u32) -> Self {
        Self { prev: link, next: link }
    }
}

struct Entry<T> {
    deadline: Mono,
    /// The tick in which it fires; later than the deadline's own when that was popped already.
    tick: u64,
    serial: NonZeroU64,
    /// None when the entry is free.
    value: Option<T>,
}

impl<T> Entry<T> {
    /// What timers are ordered by.
    fn rank(&self) -> (u64, Mono, NonZeroU64) {
        (self.tick, self.deadline, self.serial)
    }
}

/// Timers that each carry a value.
///
/// Call [`Wheel::pop_due`] until it gives `None`, then wait until [`Wheel::next`].
pub struct Wheel<T> {
    // Links lie apart from the entries: to unlink a timer touches both its neighbours, and eight
    // bytes for each of a million timers stay in the cache where whole entries do not.
    links: Vec<Link>,
    entries: Vec<Entry<T>>,
    free: u32,
    bits: [u64; LEVELS as usize],
    /// By occupied slot: no timer that hangs there fires before this tick.
    soonest: Vec<u64>,
    /// Slots that start at this tick or before are emptied; the due list is of this very tick.
    elapsed: u64,
    /// The last tick that a `pop_due` asked for; what is inserted from now on fires after it.
    asked: u64,
    serial: NonZeroU64,
    len: usize,
    /// The only timer and its tick, while there is one only, which hangs nowhere: many small wheels
    /// would touch more memory than a cache holds.
    lone: Option<(u32, u64)>,
    /// Room to sort one tick's timers in, kept between uses.
    sorting: Vec<u32>,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `start`.
    #[must_use]
    pub fn new(start: Mono) -> Self {
        let elapsed = last_tick_before(start);
        Self {
            links: (0..LISTS).map(Link::alone).collect(),
            entries: Vec::new(),
            free: NONE,
            bits: [0; LEVELS as usize],
            soonest: vec![0; index(DUE)],
            elapsed,
            asked: elapsed,
            serial: NonZeroU64::MIN,
            len: 0,
            lone: None,
            sorting: Vec::new(),
        }
    }

    /// Adds a timer that fires in the first whole millisecond at or after `at`, never before it.
    ///
    /// A millisecond that [`Wheel::pop_due`] was already asked for does not come again: what is
    /// inserted into the past fires in the next one. So whoever inserts timers while it pops some
    /// cannot keep itself popping for ever.
    ///
    /// # Panics
    /// With more than [`limits::TIMERS_MAX`] timers: every owner of timers is bounded far below.
    pub fn insert(&mut self, at: Mono, value: T) -> Timer {
        assert!(self.len < limits::TIMERS_MAX, "owners of timers are bounded below TIMERS_MAX");
        let serial = self.serial;
        self.serial = serial.checked_add(1).expect("2^64 insertions take longer than the hardware");
        let tick = first_tick_from(at).max(self.asked + 1);
        let entry = Entry { deadline: at, tick, serial, value: Some(value) };
        let link = self.store(entry);
        if self.len == 0 {
            self.lone = Some((link, tick));
        } else {
            if let Some((first, _)) = self.lone.take() {
                self.hang(first);
            }
            self.hang(link);
        }
        self.len += 1;
        Timer { at: link, serial }
    }

    /// Takes a timer out before it fires, in constant time; `None` when it is gone already.
    pub fn cancel(&mut self, timer: Timer) -> Option<T> {
        let entry = self.entries.get_mut(index(timer.at - LISTS))?;
        if entry.serial != timer.serial {
            return None;
        }
        let value = entry.value.take()?;
        if self.lone.take_if(|(link, _)| *link == timer.at).is_some() {
            self.free(timer.at);
        } else {
            self.discard(timer.at);
        }
        Some(value)
    }

    /// The next timer that is due at `now`: its deadline and its value. Call until it gives `None`;
    /// after that, [`Wheel::next`] is later than `now`.
    ///
    /// They come in the order of their deadlines, equal ones in the order of insertion. A `now`
    /// before an earlier one only finds nothing due.
    pub fn pop_due(&mut self, now: Mono) -> Option<(Mono, T)> {
        let target = last_tick_before(now) + 1;
        self.asked = self.asked.max(target);
        if let Some((link, tick)) = self.lone {
            self.elapsed = self.elapsed.max(tick.min(target));
            if tick > target {
                return None;
            }
            self.lone = None;
            let fired = self.fire(link);
            self.free(link);
            return Some(fired);
        }
        while self.link(DUE).next == DUE {
            match self.next_slot_start() {
                Some(start) if start <= target => self.arrive(start),
                _ => {
                    self.elapsed = self.elapsed.max(target);
                    return None;
                }
            }
        }
        (self.elapsed <= target).then(|| self.pop_first_due())
    }

    /// When to call [`Wheel::pop_due`] again; `None` when there are no timers.
    ///
    /// Never late. It may be early when a timer more than 64 ms away was cancelled, or one lies
    /// beyond the reach: then `pop_due` finds nothing but a later `next`.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        if let Some((_, tick)) = self.lone {
            return Some(moment(tick));
        }
        if self.link(DUE).next != DUE {
            return Some(moment(self.elapsed));
        }
        let soonest = |(level, _, slot): (u32, u32, u32)| self.soonest[index(level * SLOTS + slot)];
        self.nearest_slots().map(soonest).min().map(moment)
    }

    /// The deadline and value of the very timer that fires first, for logs and tests: it walks the
    /// nearest slot of each level and all of the last.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Mono, &T)> {
        if let Some((link, _)) = self.lone {
            let lone = self.entry(link);
            return lone.value.as_ref().map(|value| (lone.deadline, value));
        }
        let nearest = (0..LEVELS - 1).filter_map(|level| {
            let (_, slot) = self.nearest(level)?;
            Some(level * SLOTS + slot)
        });
        // Timers beyond the reach wait in the last level in a slot that is not their own.
        let last = (LEVELS - 1) * SLOTS..LISTS;
        let first =
            nearest.chain(last).flat_map(|list| self.list(list)).min_by_key(|e| e.rank())?;
        first.value.as_ref().map(|value| (first.deadline, value))
    }

    /// How many timers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Walks everything, for tests.
    ///
    /// # Panics
    /// When links, occupancy bits, slots and counts do not agree.
    pub fn check_invariants(&self) {
        let hanging: usize = (0..LISTS).map(|list| self.check_list(list)).sum();
        let lone = usize::from(self.lone.is_some());
        assert_eq!(hanging + lone, self.len, "as many timers hang in lists as are counted");
        if let Some((link, tick)) = self.lone {
            assert!(hanging == 0 && tick > self.elapsed, "a lone timer is alone, and to come");
            assert!(self.entry(link).value.is_some(), "a lone timer has a value");
        }
        let mut free = 0;
        let mut link = self.free;
        while link != NONE {
            assert!(self.entry(link).value.is_none(), "a free entry holds no value");
            free += 1;
            assert!(free <= self.entries.len(), "the chain of free entries ends");
            link = self.link(link).next;
        }
        let known = hanging + lone + free;
        assert_eq!(known, self.entries.len(), "an entry is free, alone or hangs in a list");
    }

    fn check_list(&self, list: u32) -> usize {
        let mut count = 0;
        let mut link = self.link(list).next;
        while link != list {
            assert_eq!(self.link(self.link(link).prev).next, link, "neighbours know each other");
            let entry = self.entry(link);
            assert!(entry.value.is_some(), "what hangs in a list has a value");
            assert!(entry.tick >= self.start_of(list), "no timer is found too late");
            assert!(list != DUE || entry.tick == self.elapsed, "the due list is of one tick");
            let soonest = self.soonest.get(index(list));
            assert!(soonest.is_none_or(|tick| entry.tick >= *tick), "the wheel wakes in time");
            count += 1;
            assert!(count <= self.len, "a list comes back to its end");
            link = self.link(link).next;
        }
        let bit = list < DUE && self.bits[index(list / SLOTS)] >> (list % SLOTS) & 1 == 1;
        assert_eq!(bit, list < DUE && count > 0, "the bit says whether the slot is occupied");
        count
    }

    /// The first tick of the slot of a list, counted from where the wheel stands.
    fn start_of(&self, list: u32) -> u64 {
        if list == DUE {
            return self.elapsed;
        }
        let (level, slot) = (list / SLOTS, list % SLOTS);
        let ahead = (slot + SLOTS - slot_of(self.elapsed, level) - 1) % SLOTS + 1;
        self.slot_start(level, ahead)
    }

    /// Puts an entry where one is free and gives its link.
    fn store(&mut self, entry: Entry<T>) -> u32 {
        let link = self.free;
        if link == NONE {
            let link = u32::try_from(self.links.len()).expect("TIMERS_MAX is far below 2^32");
            self.links.push(Link::alone(link));
            self.entries.push(entry);
            return link;
        }
        self.free = self.link(link).next;
        self.entries[index(link - LISTS)] = entry;
        link
    }

    /// Hangs a stored entry at the end of the list where its tick belongs.
    fn hang(&mut self, link: u32) {
        let held = self.entry(link).tick.min(self.elapsed + REACH - 1);
        let list = match held - self.elapsed {
            0 => DUE,
            distance => {
                let level = distance.ilog2() / SLOT_BITS;
                let slot = slot_of(held, level);
                let list = level * SLOTS + slot;
                let empty = self.bits[index(level)] >> slot & 1 == 0;
                let soonest = &mut self.soonest[index(list)];
                *soonest = if empty { held } else { held.min(*soonest) };
                self.bits[index(level)] |= 1 << slot;
                list
            }
        };
        self.push_back(list, link);
    }

    fn push_back(&mut self, list: u32, link: u32) {
        let tail = self.link(list).prev;
        self.links[index(link)] = Link { prev: tail, next: list };
        self.links[index(tail)].next = link;
        self.links[index(list)].prev = link;
    }

    /// Unlinks an entry whose value was taken, and frees it.
    fn discard(&mut self, link: u32) {
        let Link { prev, next } = self.link(link);
        self.links[index(prev)].next = next;
        self.links[index(next)].prev = prev;
        // The same on both sides is the end of a list that is empty now.
        if prev == next && prev < DUE {
            self.bits[index(prev / SLOTS)] &= !(1 << (prev % SLOTS));
        }
        self.free(link);
    }

    fn free(&mut self, link: u32) {
        self.links[index(link)].next = self.free;
        self.free = link;
        self.len -= 1;
    }

    fn pop_first_due(&mut self) -> (Mono, T) {
        let link = self.link(DUE).next;
        let fired = self.fire(link);
        self.discard(link);
        fired
    }

    fn fire(&mut self, link: u32) -> (Mono, T) {
        let entry = &mut self.entries[index(link - LISTS)];
        let value = entry.value.take().expect("a timer that has not fired has a value");
        (entry.deadline, value)
    }

    /// How many slots ahead the nearest occupied slot of a level is (1 to 64), and which it is. The
    /// slot in which the wheel stands is emptied; what hangs there is a whole turn away.
    fn nearest(&self, level: u32) -> Option<(u32, u32)> {
        let here = slot_of(self.elapsed, level);
        let coming = self.bits[index(level)].rotate_right(here + 1);
        let ahead = (coming != 0).then(|| coming.trailing_zeros() + 1)?;
        Some((ahead, (here + ahead) % SLOTS))
    }

    /// The first tick of the slot that lies so many ahead of where the wheel stands.
    fn slot_start(&self, level: u32, ahead: u32) -> u64 {
        ((self.elapsed >> shift(level)) + u64::from(ahead)) << shift(level)
    }

    /// The first tick of the nearest occupied slot of any level.
    fn next_slot_start(&self) -> Option<u64> {
        self.nearest_slots().map(|(level, ahead, _)| self.slot_start(level, ahead)).min()
    }

    /// The nearest occupied slot of each level that has one: level, how many slots ahead, which.
    fn nearest_slots(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        (0..LEVELS).filter_map(|level| {
            let (ahead, slot) = self.nearest(level)?;
            Some((level, ahead, slot))
        })
    }

    /// Moves on to the tick where an occupied slot starts: every slot that starts there is emptied
    /// into finer levels, and what fires in this tick into the due list.
    fn arrive(&mut self, tick: u64) {
        self.elapsed = tick;
        // Upwards, so that nothing is moved twice.
        for level in 0..LEVELS {
            if tick.trailing_zeros() < shift(level) {
                break;
            }
            self.cascade(level, slot_of(tick, level));
        }
        self.sort_due();
    }

    fn cascade(&mut self, level: u32, slot: u32) {
        let list = level * SLOTS + slot;
        let mut link = self.link(list).next;
        self.links[index(list)] = Link::alone(list);
        self.bits[index(level)] &= !(1 << slot);
        while link != list {
            let next = self.link(link).next;
            self.hang(link);
            link = next;
        }
    }

    fn sort_due(&mut self) {
        let mut sorting = core::mem::take(&mut self.sorting);
        let mut link = self.link(DUE).next;
        while link != DUE {
            sorting.push(link);
            link = self.link(link).next;
        }
        sorting.sort_unstable_by_key(|link| self.entry(*link).rank());
        self.links[index(DUE)] = Link::alone(DUE);
        sorting.drain(..).for_each(|link| self.push_back(DUE, link));
        self.sorting = sorting;
    }

    fn link(&self, link: u32) -> Link {
        self.links[index(link)]
    }

    fn entry(&self, link: u32) -> &Entry<T> {
        &self.entries[index(link - LISTS)]
    }

    fn list(&self, list: u32) -> impl Iterator<Item = &Entry<T>> {
        let step = move |link: &u32| Some(self.link(*link).next);
        core::iter::successors(step(&list), step)
            .take_while(move |link| *link != list)
            .map(|link| self.entry(link))
    }
}

/// How many timers and which is next: a million of them help nobody.
impl<T: fmt::Debug> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.next_timer();
        f.debug_struct("Wheel").field("len", &self.len).field("next", &next).finish_non_exhaustive()
    }
}

/// The tick of the first whole millisecond at or after a moment.
fn first_tick_from(at: Mono) -> u64 {
    at.0.div_ceil(TICK_NS) + 1
}

/// The tick before the one that a moment lies in.
fn last_tick_before(at: Mono) -> u64 {
    at.0 / TICK_NS
}

/// When a tick begins, held at the end of time.
fn moment(tick: u64) -> Mono {
    Mono((tick - 1).saturating_mul(TICK_NS))
}

fn shift(level: u32) -> u32 {
    SLOT_BITS * level
}

#[expect(clippy::cast_possible_truncation, reason = "a slot is below 64")]
fn slot_of(tick: u64, level: u32) -> u32 {
    (tick >> shift(level) & u64::from(SLOTS - 1)) as u32
}

fn index(n: u32) -> usize {
    n as usize
}

#[cfg(test)]
mod tests;

//! Memory by host: what a host asks for in its turns lies together, in pages of its own. A machine
//! whose memory is cold at each turn waits for pages as much as for bytes: ten thousand hosts take
//! a quarter less time so. Allocators that are to be had keep a heap for each thread, and the
//! simulator has one thread.
//!
//! Small pieces come from segments of a region; each segment belongs to one host, and a table says
//! to which. What is given back goes to its host, whoever gives it back. All else is the system's.
#![allow(unsafe_code, reason = "an allocator cannot be had without")]
#![allow(clippy::cast_ptr_alignment, reason = "pieces begin at multiples of 16")]
#![allow(clippy::cast_possible_truncation, reason = "pools are numbered below 2^16")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;
use std::alloc::System;

/// The most memory that hosts have; what does not fit is the system's.
const REGION_BYTES_MAX: usize = 16 << 30;
const REGION_BYTES_MIN: usize = 1 << 28;
const SEGMENT_BYTES: usize = 16 << 10;
/// The largest piece that is a host's own.
const PIECE_BYTES_MAX: usize = 4 << 10;
const ALIGN_MAX: usize = 64;
/// Hosts share what is numbered alike above this.
const POOLS: usize = 1 << 16;
/// Sizes by 16 bytes up to 256, then four for each doubling.
const CLASSES: usize = 16 + 16;

thread_local! {
    /// Whose memory is asked for, in the thread that plays; everybody else asks the system.
    static WHOSE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The memory that is asked for from now on is a host's, or the system's.
pub(crate) fn enter(host: Option<u32>) {
    WHOSE.set(host);
}

/// What a host has.
struct Pool {
    /// By class: pieces that were given back, each with the address of the next one in it.
    free: [*mut u8; CLASSES],
    /// The rest of its last segment.
    next: usize,
    end: usize,
}

/// The region; nothing of it is there before a host asks for the first time.
struct Region {
    from: usize,
    next: usize,
    end: usize,
    /// By segment.
    owners: *mut u16,
    pools: *mut Pool,
    tried: bool,
}

/// The allocator.
pub(crate) struct Pools(UnsafeCell<Region>);

// SAFETY: the region is read and changed only by the thread that has called [`enter`].
unsafe impl Sync for Pools {}

impl Pools {
    pub(crate) const fn new() -> Self {
        let (owners, pools) = (null_mut(), null_mut());
        Self(UnsafeCell::new(Region { from: 0, next: 0, end: 0, owners, pools, tried: false }))
    }
}

/// The class of a size, and the bytes of its pieces; none when it is not for a pool.
fn class(layout: Layout) -> Option<(usize, usize)> {
    // Classes that are multiples of 64 are aligned to that.
    let size = layout.size().next_multiple_of(if layout.align() > 16 { ALIGN_MAX } else { 16 });
    if size > PIECE_BYTES_MAX || layout.align() > ALIGN_MAX || size == 0 {
        return None;
    }
    if size <= 256 {
        return Some((size / 16 - 1, size));
    }
    let doubling = (size - 1).ilog2();
    let step = 1 << (doubling - 2);
    let steps = (size - (1 << doubling)).div_ceil(step);
    Some((16 + 4 * (doubling as usize - 8) + steps - 1, (1 << doubling) + steps * step))
}

impl Region {
    /// Takes the addresses; memory comes when it is touched.
    unsafe fn open(&mut self) {
        self.tried = true;
        let mut bytes = REGION_BYTES_MAX;
        while bytes >= REGION_BYTES_MIN {
            let segments = bytes / SEGMENT_BYTES;
            let layouts = (
                Layout::from_size_align(bytes, 2 << 20),
                Layout::array::<u16>(segments),
                Layout::array::<Pool>(POOLS),
            );
            let (Ok(region), Ok(owners), Ok(pools)) = layouts else { return };
            // SAFETY: none of the layouts is empty. A pool of zeros has nothing.
            unsafe {
                let from = System.alloc(region);
                if !from.is_null() {
                    self.owners = System.alloc_zeroed(owners).cast();
                    self.pools = System.alloc_zeroed(pools).cast();
                    if !self.owners.is_null() && !self.pools.is_null() {
                        self.from = from as usize;
                        self.next = self.from;
                        self.end = self.from + bytes;
                    }
                    return;
                }
            }
            bytes /= 2;
        }
    }

    /// A piece for a host; none when there is no room.
    unsafe fn take(&mut self, host: u32, (class, bytes): (usize, usize)) -> Option<*mut u8> {
        if !self.tried {
            // SAFETY: that of this function.
            unsafe { self.open() };
        }
        if self.end == 0 {
            return None;
        }
        let number = host as usize % POOLS;
        // SAFETY: the number is below that of the pools, and nobody else has the region now.
        let pool = unsafe { &mut *self.pools.add(number) };
        let free = pool.free[class];
        if !free.is_null() {
            // SAFETY: a piece that was given back begins with the address of the next one.
            pool.free[class] = unsafe { *free.cast::<*mut u8>() };
            return Some(free);
        }
        // Pieces of classes that are multiples of 64 begin at such multiples.
        let align = if bytes.is_multiple_of(ALIGN_MAX) { ALIGN_MAX } else { 16 };
        let mut at = pool.next.next_multiple_of(align);
        if at + bytes > pool.end {
            if self.next + SEGMENT_BYTES > self.end {
                return None;
            }
            at = self.next;
            self.next += SEGMENT_BYTES;
            pool.end = self.next;
            // SAFETY: the segment lies in the region, for each of which there is an entry.
            unsafe { *self.owners.add((at - self.from) / SEGMENT_BYTES) = number as u16 };
        }
        pool.next = at + bytes;
        Some(at as *mut u8)
    }

    fn has(&self, piece: *mut u8) -> bool {
        (self.from..self.end).contains(&(piece as usize))
    }

    /// Takes a piece back that is in the region.
    unsafe fn give_back(&mut self, piece: *mut u8, class: usize) {
        let segment = (piece as usize - self.from) / SEGMENT_BYTES;
        // SAFETY: the segment was given out, so its owner is one of the pools; the piece has room
        // for an address, and nobody else uses it any more.
        unsafe {
            let pool = &mut *self.pools.add(usize::from(*self.owners.add(segment)));
            *piece.cast::<*mut u8>() = pool.free[class];
            pool.free[class] = piece;
        }
    }
}

// SAFETY: pieces have at least the size and the alignment of their class, which are those that were
// asked for or larger; none is given out twice before it was given back. The region is touched only
// where `WHOSE` has been set, which one thread does.
unsafe impl GlobalAlloc for Pools {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let (Some(host), Some(class)) = (WHOSE.get(), class(layout)) {
            // SAFETY: this is the thread that plays.
            let piece = unsafe { (*self.0.get()).take(host, class) };
            if let Some(piece) = piece {
                return piece;
            }
        }
        // SAFETY: the caller's word on the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the bounds of the region do not change once they are set.
        let region = unsafe { &mut *self.0.get() };
        match class(layout) {
            // SAFETY: the piece is in the region and of this class, by the caller's word.
            Some((class, _)) if region.has(piece) => unsafe { region.give_back(piece, class) },
            // SAFETY: what is not in the region is the system's.
            _ => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        // SAFETY: as above.
        let inside = unsafe { (*self.0.get()).has(piece) };
        if inside && class(wanted) == class(layout) {
            return piece;
        }
        if !inside && class(wanted).is_none() {
            // SAFETY: the system's, by the caller's word, and to stay so.
            return unsafe { System.realloc(piece, layout, size) };
        }
        // SAFETY: both are there, are not the same, and have so many bytes.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(piece, size.min(layout.size()));
                self.dealloc(piece, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use vidstreamd::base::rng::Rng;

    use super::*;

    #[test]
    fn a_class_has_room_for_each_of_its_sizes() {
        let mut last = None;
        for size in 1..=PIECE_BYTES_MAX {
            let (number, bytes) = class(Layout::from_size_align(size, 8).unwrap()).unwrap();
            assert!(number < CLASSES && bytes >= size, "{size} in {number} of {bytes}");
            assert!(size <= 16 || bytes - size < size / 4 + 16, "{size} in {number} of {bytes}");
            if let Some((before, room)) = last {
                let same = (number, bytes) == (before, room);
                assert!(same || (number == before + 1 && size == room + 1), "{size}");
            }
            last = Some((number, bytes));
        }
        assert_eq!(last, Some((CLASSES - 1, PIECE_BYTES_MAX)));
        assert_eq!(class(Layout::from_size_align(PIECE_BYTES_MAX + 1, 8).unwrap()), None);
    }

    /// Each piece is filled with a byte of its own; nothing else may write there.
    #[test]
    fn no_piece_is_given_out_twice() {
        for seed in 0..4 {
            let (pools, mut rng) = (Pools::new(), Rng::new(seed));
            let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
            for round in 0..20_000_u32 {
                let drawn = rng.below(100);
                if drawn < 55 || held.is_empty() {
                    let most = [32, 300, 5_000][rng.below(3) as usize];
                    let size = 1 + rng.below(most) as usize;
                    let align = 1 << rng.below(8);
                    let layout = Layout::from_size_align(size, align).unwrap();
                    let whose = rng.below(6);
                    enter((whose > 0).then_some(whose as u32));
                    let mark = round as u8;
                    // SAFETY: the layout is not empty, and the piece has so many bytes.
                    let piece = unsafe { pools.alloc(layout) };
                    assert!(!piece.is_null() && (piece as usize).is_multiple_of(align));
                    // SAFETY: as above.
                    unsafe { piece.write_bytes(mark, size) };
                    held.push((piece, layout, mark));
                    continue;
                }
                let at = rng.below(held.len() as u64) as usize;
                let (piece, layout, mark) = held.swap_remove(at);
                // SAFETY: nobody has given it back.
                let bytes = unsafe { core::slice::from_raw_parts(piece, layout.size()) };
                assert!(bytes.iter().all(|byte| *byte == mark), "seed {seed}, round {round}");
                if drawn < 90 {
                    // SAFETY: it is given back once, as what it was asked for.
                    unsafe { pools.dealloc(piece, layout) };
                    continue;
                }
                let size = 1 + rng.below(5_000) as usize;
                // SAFETY: as above; the first bytes are those of before.
                unsafe {
                    let piece = pools.realloc(piece, layout, size);
                    let same = size.min(layout.size());
                    let kept = core::slice::from_raw_parts(piece, same);
                    assert!(kept.iter().all(|byte| *byte == mark), "seed {seed}, round {round}");
                    piece.write_bytes(mark, size);
                    let layout = Layout::from_size_align(size, layout.align()).unwrap();
                    held.push((piece, layout, mark));
                }
            }
            enter(None);
        }
    }

    #[test]
    fn what_one_host_gives_back_is_its_own_again() {
        let (pools, layout) = (Pools::new(), Layout::from_size_align(48, 8).unwrap());
        // SAFETY: the layout is not empty, and each piece is given back once.
        unsafe {
            enter(Some(1));
            let first = pools.alloc(layout);
            enter(Some(2));
            let other = pools.alloc(layout);
            pools.dealloc(first, layout);
            assert_ne!(pools.alloc(layout), first, "it is the first host's");
            enter(Some(1));
            assert_eq!(pools.alloc(layout), first);
            enter(None);
            pools.dealloc(other, layout);
        }
    }
}

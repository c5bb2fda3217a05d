//! The only place that reads clocks. `daemon.rs` reads once a turn of the loop and hands the
//! result down; nothing below asks for the time again. It keeps no timers (that is
//! `base::wheel`).

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::base::time::{Mono, Now, Wall};

/// Both clocks of the system.
///
/// They are read by the C library's `clock_gettime`, which a test may replace by preloading
/// another (faketime) to make the wall clock jump.
#[derive(Clone, Copy, Default, Debug)]
pub struct Clock(());

impl Clock {
    /// A reader of the system's clocks.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// The time now: `CLOCK_MONOTONIC` from its own origin, which is what systemd expects in
    /// `MONOTONIC_USEC`, and `CLOCK_REALTIME`.
    #[must_use]
    pub fn read(&self) -> Now {
        let mono = u64::try_from(nanos(ClockId::CLOCK_MONOTONIC)).unwrap_or(0);
        Now { mono: Mono(mono), wall: Wall(nanos(ClockId::CLOCK_REALTIME)) }
    }
}

/// Nanoseconds shown by one clock, held at the ends of what 64 bits tell.
fn nanos(id: ClockId) -> i64 {
    let time: TimeSpec = clock_gettime(id).expect("every Linux kernel has both clocks");
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_never_goes_back_in_time() {
        let clock = Clock::new();
        let mut last = clock.read().mono;
        for _ in 0..10_000 {
            let next = clock.read().mono;
            assert!(next >= last, "{next:?} came after {last:?}");
            last = next;
        }
        assert!(last > Mono(0));
    }

    #[test]
    fn the_wall_clock_is_the_one_that_files_are_dated_by() {
        let before = Clock::new().read().wall.seconds();
        let file = tempfile::tempfile().unwrap();
        let dated = file.metadata().unwrap().modified().unwrap();
        let dated = dated.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let after = Clock::new().read().wall.seconds();
        // The kernel dates files by its last tick, which may lie a little before our reading.
        let dated = i64::try_from(dated).unwrap();
        assert!((before - 1..=after).contains(&dated), "{before} {dated} {after}");
    }
}

//! What TCP cubic would have under way (RFC 9438, and Linux where it does otherwise), for a
//! transfer that shares a queue with others. Pure arithmetic; [`super`] says when.

use crate::base::time::Mono;

/// How much may be under way while others fill the queue as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beside {
    /// Nothing was lost yet: so many bytes, a twentieth more with each round, as Linux has it.
    Growing(u64),
    /// The queue was full.
    Yielded {
        /// When.
        at: Mono,
        /// In which round.
        round: u64,
        /// Bytes under way that were left then.
        from: u64,
        /// Bytes under way that the curve comes back to.
        most: u64,
    },
}

impl Beside {
    /// The queue has lasted for as many rounds as tell that others fill it. Until then it did not
    /// grow as they did: that is made good. A twentieth in each of eight rounds is a half; but
    /// whoever begins grows faster still.
    pub(super) fn pressed(under_way: u64) -> Self {
        Self::Growing(under_way * 7 / 4)
    }

    /// The queue is full: three tenths are given up. For a round after that, what is lost is still
    /// of what was sent before.
    pub(super) fn full(before: Option<Self>, now: Mono, round: u64, under_way: u64) -> Self {
        let most = match before {
            Some(same @ Self::Yielded { round: last, .. }) if round <= last + 1 => return same,
            // Whoever yields below where it was leaves room to others.
            Some(Self::Yielded { most, .. }) if under_way < most => under_way * 17 / 20,
            _ => under_way,
        };
        Self::Yielded { at: now, round, from: under_way * 7 / 10, most }
    }

    /// A round is over, with so much under way.
    pub(super) fn round(&mut self, under_way: u64) {
        if let Self::Growing(window) = self {
            // What is not used does not grow.
            *window = (*window).min(under_way * 5 / 4) * 21 / 20;
        }
    }

    /// Bytes that may be under way now, in datagrams of this size.
    #[expect(clippy::cast_precision_loss, reason = "bytes under way are few")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held above 0")]
    pub(super) fn window(self, now: Mono, datagram: u64) -> u64 {
        let (at, from, most) = match self {
            Self::Growing(window) => return window,
            Self::Yielded { at, from, most, .. } => (at, from, most),
        };
        let size = datagram as f64;
        let (from, most) = (from as f64 / size, most as f64 / size);
        let back = ((most - from) / 0.4).cbrt();
        let window = 0.4 * (now.since(at).as_secs_f64() - back).powi(3) + most;
        (window.max(4.0) * size) as u64
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const DATAGRAM: u64 = 1_000;

    fn yielded(under_way: u64) -> Beside {
        Beside::full(None, Mono(0), 10, under_way)
    }

    fn after(beside: Beside, seconds: u64) -> u64 {
        beside.window(Mono(0).after(Duration::from_secs(seconds)), DATAGRAM)
    }

    #[test]
    fn the_curve_begins_at_seven_tenths_comes_back_and_goes_on() {
        let beside = yielded(400_000);
        // The cube root of 400 * 0.3 / 0.4 is 6.7 s.
        let windows: Vec<u64> = (0..=14).map(|second| after(beside, second)).collect();
        assert!((279_000..281_000).contains(&windows[0]), "{windows:?}");
        assert!(windows.windows(2).all(|pair| pair[0] <= pair[1]), "{windows:?}");
        assert!((399_000..=400_100).contains(&windows[7]), "{windows:?}");
        assert!(windows[14] > 550_000, "{windows:?}");
    }

    #[test]
    fn what_is_lost_within_a_round_of_it_is_the_same_event() {
        let first = yielded(400_000);
        assert_eq!(Beside::full(Some(first), Mono(1), 11, 300_000), first);
        let second = Beside::full(Some(first), Mono(2), 12, 300_000);
        assert_ne!(second, first);
    }

    #[test]
    fn who_yields_below_where_it_was_comes_back_to_less() {
        let less = Beside::full(Some(yielded(400_000)), Mono(0), 20, 300_000);
        assert!(matches!(less, Beside::Yielded { from: 210_000, most: 255_000, .. }), "{less:?}");
        let more = Beside::full(Some(yielded(400_000)), Mono(0), 20, 500_000);
        assert!(matches!(more, Beside::Yielded { from: 350_000, most: 500_000, .. }), "{more:?}");
    }

    #[test]
    fn before_the_first_loss_it_grows_by_a_twentieth_a_round_while_that_is_used() {
        let mut beside = Beside::pressed(100_000);
        let mut windows = vec![beside.window(Mono(0), DATAGRAM)];
        assert_eq!(windows[0], 175_000);
        for _ in 0..10 {
            let used = windows[windows.len() - 1];
            beside.round(used);
            windows.push(beside.window(Mono(0), DATAGRAM));
        }
        assert!(windows.windows(2).all(|pair| pair[1] == pair[0] * 21 / 20), "{windows:?}");
        for _ in 0..10 {
            beside.round(100_000);
        }
        assert_eq!(beside.window(Mono(0), DATAGRAM), 131_250);
    }
}

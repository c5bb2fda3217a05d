//! How long a round trip takes, and how much that varies (RFC 6298, with the shortest of late
//! beside it). It only reckons; when to measure is the sender's business.

use core::time::Duration;

use crate::base::limits;

/// The estimate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    latest: Duration,
}

impl Rtt {
    /// A round trip took so long.
    pub fn measured(&mut self, took: Duration) {
        self.latest = took;
        match self.smoothed {
            None => (self.smoothed, self.variance) = (Some(took), took / 2),
            Some(smoothed) => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(took)) / 4;
                self.smoothed = Some((smoothed * 7 + took) / 8);
            }
        }
    }

    /// The smoothed time; a second before it is known.
    #[must_use]
    pub fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(limits::FILES_RTT_UNKNOWN)
    }

    /// The last one measured.
    #[must_use]
    pub fn latest(&self) -> Duration {
        self.latest
    }

    /// Whether there was one.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.smoothed.is_some()
    }

    /// After so long without an ack something is sent again.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let wait = self.smoothed() + (self.variance * 4).max(limits::FILES_TIMER_MIN);
        wait.max(limits::FILES_RESEND_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured_and_waits_longer_when_that_varies() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.smoothed(), limits::FILES_RTT_UNKNOWN);
        (0..100).for_each(|_| rtt.measured(Duration::from_millis(20)));
        let calm = rtt.timeout();
        assert_eq!(rtt.smoothed(), Duration::from_millis(20));
        assert!(calm < Duration::from_millis(30), "{calm:?}");
        for n in 0..100 {
            rtt.measured(Duration::from_millis(if n % 2 == 0 { 10 } else { 30 }));
        }
        assert!(rtt.timeout() > calm + Duration::from_millis(20), "{:?}", rtt.timeout());
    }
}

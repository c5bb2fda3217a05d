//! Two clocks that never mix: [`Mono`] for waiting, [`Wall`] for the schedule. Neither can be read
//! here; `io/clock.rs` reads both once a turn and hands them down as one [`Now`].

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds of a clock that only goes forward, from an origin without meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Mono(pub u64);

/// Nanoseconds since 1970-01-01T00:00:00Z of the clock on the wall; it may jump either way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Wall(pub i64);

/// Both clocks, read together once a turn of the loop.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Now {
    /// For every wait, watchdog and retry.
    pub mono: Mono,
    /// For the schedule and for what people read.
    pub wall: Wall,
}

/// A duration in whole nanoseconds, cut at about 584 years.
#[must_use]
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Mono {
    /// The moment `d` later, held at the end of time rather than wrapped.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }

    /// How long ago `earlier` was; nothing when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// How long ago `earlier` was; nothing when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(nanos(d)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(nanos(d)))
    }
}

/// RFC 3339 in UTC with milliseconds, as logs, the status document and the guide show it.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.seconds().div_euclid(86_400), self.seconds().rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let millis = self.0.rem_euclid(1_000_000_000) / 1_000_000;
        let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day number (days since 1970-01-01), proleptic Gregorian.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_prints_as_rfc_3339() {
        assert_eq!(Wall(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Wall(951_782_400_123_000_000).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Wall(-1_000_000).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Wall(4_107_542_399_000_000_000).to_string(), "2100-02-28T23:59:59.000Z");
    }

    #[test]
    fn neither_clock_wraps_at_its_end() {
        assert_eq!(Mono(u64::MAX).after(Duration::from_secs(1)), Mono(u64::MAX));
        assert_eq!(Mono(1).since(Mono(5)), Duration::ZERO);
        assert_eq!(Wall(i64::MAX) + Duration::from_secs(1), Wall(i64::MAX));
    }
}

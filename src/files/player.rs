//! What a player needs: how far ahead of it there must be bytes, and how far ahead is enough. It
//! is told how far the player is, or, of a player that only exists as a rate, works it out.

use core::time::Duration;

use crate::base::limits;
use crate::base::time::Mono;
use crate::files::rate::{over, per_second};

/// Between which marks there is to be something buffered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marks {
    /// Seconds before play begins, and before it goes on when it stood.
    pub low: Duration,
    /// Seconds above which nothing is asked for.
    pub high: Duration,
    /// Bytes a second of the film; measured when none.
    pub rate: Option<u64>,
    /// Whether a real player says how far it is; else it is reckoned from the rate.
    pub real: bool,
}

/// A player.
#[derive(Debug)]
pub(super) struct Player {
    marks: Marks,
    position: u64,
    /// Since when it plays, and from where; none while it waits.
    playing: Option<(Mono, u64)>,
    /// What it took of late: bytes a second, and since when and where that is measured.
    measured: u64,
    measuring: (Mono, u64),
    stalls: u64,
}

impl Player {
    pub(super) fn new(now: Mono, marks: Marks, from: u64) -> Self {
        Self {
            marks,
            position: from,
            playing: None,
            measured: marks.rate.unwrap_or(limits::FILES_PLAYER_RATE),
            measuring: (now, from),
            stalls: 0,
        }
    }

    fn rate(&self) -> u64 {
        self.marks.rate.unwrap_or(self.measured)
    }

    /// The real player has taken everything before this.
    pub(super) fn took(&mut self, now: Mono, position: u64) {
        self.position = self.position.max(position);
        let (since, from) = self.measuring;
        let lasted = now.since(since);
        if lasted >= limits::FILES_MEASURE_EVERY {
            let rate = per_second(self.position - from, lasted);
            if rate > 0 {
                self.measured = (self.measured * 3 + rate) / 4;
            }
            self.measuring = (now, self.position);
        }
    }

    /// Time has passed, and everything before `there` has come; `all` when nothing is missing.
    pub(super) fn advance(&mut self, now: Mono, there: u64, all: bool) {
        if self.marks.real {
            return;
        }
        let Some((since, from)) = self.playing else {
            if all || there - self.position >= over(self.rate(), self.marks.low) {
                self.playing = Some((now, self.position));
            }
            return;
        };
        self.position = from + over(self.rate(), now.since(since));
        if self.position > there {
            self.position = there;
            if !all {
                self.stalls += 1;
                self.playing = None;
            }
        }
    }

    /// No byte at or behind this is wanted yet.
    pub(super) fn limit(&self) -> u64 {
        let ahead = over(self.rate(), self.marks.high);
        self.position + ahead.clamp(limits::FILES_BUFFER_MIN, limits::FILES_BUFFER_MAX)
    }

    /// How long what is buffered lasts.
    pub(super) fn buffered(&self, there: u64) -> Duration {
        let rate = self.rate().max(1);
        Duration::from_millis(there.saturating_sub(self.position) * 1000 / rate)
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn stalls(&self) -> u64 {
        self.stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks {
        low: Duration::from_secs(2),
        high: Duration::from_secs(8),
        rate: Some(1_000_000),
        real: false,
    };

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    #[test]
    fn a_player_begins_at_the_low_mark_and_stands_when_nothing_is_left() {
        let mut player = Player::new(at(0), MARKS, 0);
        player.advance(at(0), 1_999_999, false);
        player.advance(at(1_000), 1_999_999, false);
        assert_eq!(player.position(), 0);
        player.advance(at(1_000), 2_000_000, false);
        player.advance(at(2_500), 2_000_000, false);
        assert_eq!((player.position(), player.limit()), (1_500_000, 9_500_000));
        assert_eq!(player.buffered(2_000_000), Duration::from_millis(500));
        player.advance(at(4_000), 2_000_000, false);
        assert_eq!((player.position(), player.stalls()), (2_000_000, 1));
        player.advance(at(5_000), 3_000_000, false);
        player.advance(at(6_000), 4_000_000, true);
        player.advance(at(7_000), 4_000_000, true);
        assert_eq!((player.position(), player.stalls()), (3_000_000, 1));
    }

    #[test]
    fn the_rate_of_a_real_player_is_measured() {
        let mut player = Player::new(at(0), Marks { rate: None, real: true, ..MARKS }, 0);
        for second in 1..=60 {
            player.took(at(second * 1_000), second * 250_000);
        }
        let ahead = player.limit() - player.position();
        assert!((1_900_000..2_200_000).contains(&ahead), "{ahead}");
        // While it stands nothing is measured, and nothing more is asked for.
        let limit = player.limit();
        player.took(at(90_000), 60 * 250_000);
        assert_eq!(player.limit(), limit);
    }
}

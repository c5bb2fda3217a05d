//! One song of the jukebox as plain facts: what its file is called, how large it is, how fast it
//! plays. Read by `io/songs`, played by `jukebox`.

use core::time::Duration;
use std::rc::Rc;

use crate::base::limits;

/// A song.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Song {
    /// Its file's name in the directory of songs.
    pub file: Rc<str>,
    /// Its file's size.
    pub bytes: u64,
    /// How long it plays, by its own headers.
    pub lasts: Option<Duration>,
    /// Bytes that a second of its music takes, by its own headers.
    pub rate: Option<u64>,
}

impl Song {
    /// Bytes a second at which it plays: of its music, else of all of it; as fast as a compact disc
    /// when its headers tell nothing, because no compressed song is faster. Never 0.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        let lasts_ms = self.lasts.map_or(0, |lasts| lasts.as_millis());
        let of_all = u128::from(self.bytes).saturating_mul(1000).checked_div(lasts_ms);
        let of_all = of_all.map(|rate| u64::try_from(rate).unwrap_or(u64::MAX));
        let known = self.rate.filter(|rate| *rate > 0).or(of_all);
        known.unwrap_or(limits::JUKEBOX_RATE_UNKNOWN).clamp(1, limits::JUKEBOX_RATE_MAX)
    }

    /// Bytes of its file that are not music, such as a picture in front of it: a player must have
    /// them before it begins.
    #[must_use]
    pub fn front(&self) -> u64 {
        let Some(lasts) = self.lasts else { return 0 };
        let music = u128::from(self.bytes_per_second()).saturating_mul(lasts.as_millis()) / 1000;
        let rest = u128::from(self.bytes).saturating_sub(music);
        u64::try_from(rest).unwrap_or(u64::MAX).min(limits::JUKEBOX_FRONT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song(bytes: u64, lasts_s: Option<u64>, rate: Option<u64>) -> Song {
        Song { file: "a.mp3".into(), bytes, lasts: lasts_s.map(Duration::from_secs), rate }
    }

    #[test]
    fn what_is_not_music_is_not_its_rate() {
        let with_picture = song(2_000_000 + 500_000, Some(125), Some(16_000));
        assert_eq!((with_picture.bytes_per_second(), with_picture.front()), (16_000, 500_000));
        let bare = song(2_000_000, Some(125), None);
        assert_eq!((bare.bytes_per_second(), bare.front()), (16_000, 0));
    }

    #[test]
    fn headers_that_tell_nothing_or_nonsense_give_a_rate_all_the_same() {
        assert_eq!(song(9, None, None).bytes_per_second(), limits::JUKEBOX_RATE_UNKNOWN);
        assert_eq!(song(9, Some(0), Some(0)).bytes_per_second(), limits::JUKEBOX_RATE_UNKNOWN);
        assert_eq!(song(9, Some(1000), None).bytes_per_second(), 1);
        assert_eq!(song(u64::MAX, Some(1), None).bytes_per_second(), limits::JUKEBOX_RATE_MAX);
        assert!(song(u64::MAX, Some(1), Some(1)).front() <= limits::JUKEBOX_FRONT_BYTES_MAX);
    }
}

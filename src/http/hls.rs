//! Playlists of HLS (RFC 8216), computed from the schedule and the clock alone: two servers with
//! the same movies, and one that has just started, give the same bytes. The node asks; what the
//! segments hold is made elsewhere, by the same numbers.
//!
//! * A segment is a block, its name is the block's number; it is there from its air time on.
//! * Where another movie begins there is a discontinuity; where a movie begins anew there is none,
//!   since clocks go on. Each airing has an init segment in fMP4.
//! * An init segment has the number of the first block of its airing, so it never changes either.

use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::base::limits;
use crate::base::time::Wall;
use crate::http::answer::Response;
use crate::media::schedule::{At, Position, Schedule};

/// What the segments are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Fragmented MP4, with init segments.
    Mp4,
    /// Transport stream.
    Ts,
}

impl Form {
    fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "m4s",
            Self::Ts => "ts",
        }
    }

    /// As HTTP names a segment.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Ts => "video/mp2t",
        }
    }
}

/// What lies under `/ch/<number>/` for players of HLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// `index.m3u8` or `ts.m3u8`.
    Playlist(Form),
    /// `<seq>.m4s` or `<seq>.ts`.
    Segment(Form, u64),
    /// `init-<seq>.mp4`.
    Init(u64),
}

impl Name {
    /// The name that the last part of a path is.
    #[must_use]
    pub fn of(file: &str) -> Option<Self> {
        if let Some(seq) = file.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            return number(seq).map(Self::Init);
        }
        match file.split_once('.')? {
            ("index", "m3u8") => Some(Self::Playlist(Form::Mp4)),
            ("ts", "m3u8") => Some(Self::Playlist(Form::Ts)),
            (seq, "m4s") => number(seq).map(|seq| Self::Segment(Form::Mp4, seq)),
            (seq, "ts") => number(seq).map(|seq| Self::Segment(Form::Ts, seq)),
            _ => None,
        }
    }
}

/// A decimal number as it is written here: a cache must not see one thing under two names.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// What of a schedule a playlist needs and that is too long to look up each time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Whole seconds that no segment is longer than.
    target_s: u64,
    /// For each entry of the schedule, entries up to it that do not show what was on before; the
    /// first counts when it differs from the last.
    changes: Vec<u64>,
}

impl Plan {
    /// Looks through a schedule once.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Self {
        let movies = schedule.playlist();
        let each = movies.iter().flat_map(|m| (0..m.blocks()).filter_map(|block| m.lasts(block)));
        // RFC 8216, 4.3.3.1: to the nearest second, no segment is longer.
        let target_s = each.map(rounded_s).max().unwrap_or(1).max(1);
        let befores = movies.last().into_iter().chain(movies);
        let changes = movies.iter().zip(befores).scan(0, |sum, (movie, before)| {
            *sum += u64::from(movie.name() != before.name());
            Some(*sum)
        });
        Self { target_s, changes: changes.collect() }
    }

    /// Changes of movie before a block, its own not among them.
    fn changes_before(&self, schedule: &Schedule, position: &Position) -> u64 {
        let lap = position.seq / schedule.lap_blocks().max(1);
        let a_lap = self.changes.last().copied().unwrap_or(0);
        let upto = |entry: usize| self.changes.get(entry).copied().unwrap_or(0);
        let own = u64::from(position.block > 0);
        let entries = match (position.entry.checked_sub(1), own) {
            (_, 1) => upto(position.entry),
            (Some(before), _) => upto(before),
            (None, _) => 0,
        };
        // At the very beginning nothing was on before, whatever the last entry is.
        let counted = lap.saturating_mul(a_lap).saturating_add(entries);
        let began = lap > 0 || position.entry > 0 || position.block > 0;
        counted.saturating_sub(if began { upto(0) } else { 0 })
    }

    /// Whether another movie begins with this block.
    fn is_change(&self, position: &Position) -> bool {
        let before = position.entry.checked_sub(1).map_or(0, |entry| self.changes[entry]);
        position.block == 0 && position.seq > 0 && self.changes[position.entry] > before
    }
}

fn rounded_s(lasts: Duration) -> u64 {
    (lasts + Duration::from_millis(500)).as_secs()
}

/// The block that an airing begins with: what its init segment is called by.
#[must_use]
pub fn airing(position: &Position) -> u64 {
    position.seq - u64::from(position.block)
}

/// The first and the last block of the playlists at a moment; none when nothing is on.
#[must_use]
pub fn range(schedule: &Schedule, now: Wall) -> Option<(u64, u64)> {
    let At::On(live) = schedule.at(now) else { return None };
    Some(((live.seq + 1).saturating_sub(limits::HLS_SEGMENTS), live.seq))
}

/// The playlist of a channel at a moment. Segments are beside it, or under `base`, which ends in a
/// slash.
#[must_use]
pub fn response(
    (schedule, plan): (&Schedule, &Plan),
    form: Form,
    base: &str,
    now: Wall,
) -> Response {
    let Some(range) = range(schedule, now) else {
        return Response::text(503, "nothing is on the air").with("Retry-After", "1");
    };
    let mut text = String::with_capacity(2048);
    // Nothing here makes an error, and a String takes every write.
    let _: fmt::Result = write(&mut text, (schedule, plan), (form, base), range);
    Response::new(200, "application/vnd.apple.mpegurl", text.into_bytes())
        .with("Cache-Control", "public, max-age=1")
        .with("Access-Control-Allow-Origin", "*")
}

fn write(
    text: &mut String,
    (schedule, plan): (&Schedule, &Plan),
    (form, base): (Form, &str),
    (first, last): (u64, u64),
) -> fmt::Result {
    let segments = (first..=last).filter_map(|seq| schedule.position(seq));
    let before = schedule.position(first).map_or(0, |p| plan.changes_before(schedule, &p));
    writeln!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{before}\n#EXT-X-INDEPENDENT-SEGMENTS",
        plan.target_s,
    )?;
    for position in segments {
        let begins = position.seq == first;
        let change = plan.is_change(&position);
        if change {
            text.write_str("#EXT-X-DISCONTINUITY\n")?;
        }
        if form == Form::Mp4 && (begins || position.block == 0) {
            writeln!(text, "#EXT-X-MAP:URI=\"{base}init-{}.mp4\"", airing(&position))?;
        }
        if begins || change {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", position.starts_at)?;
        }
        let (lasts, extension) = (position.lasts.as_secs_f64(), form.extension());
        writeln!(text, "#EXTINF:{lasts:.6},\n{base}{}.{extension}", position.seq)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

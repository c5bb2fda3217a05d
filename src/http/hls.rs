//! Playlists of HLS (RFC 8216): of a list of blocks, bytes that depend on nothing else.
//! Where that list follows from a schedule two servers with the same movies, and one that has just
//! started, give the same bytes. The node asks; what the segments hold is made elsewhere.
//!
//! * A segment is a block. Its name is the block's number behind that of the run of the channel:
//!   under another programme the same number has another name, and caches never mix them.
//! * An init segment is called by the parameters that it holds, which are all that it holds.
//! * Where a movie begins with other parameters than the one before it there is a discontinuity;
//!   one that begins anew is none, and neither is another with the same parameters, since clocks go
//!   on. Where they change inside of a movie only the init segment is another (RFC 8216, 4.3.2.3:
//!   with the same tracks and clocks that is enough). So the schedule and the first block of each
//!   movie tell how many there were since the beginning, and no server has to read a whole library
//!   to count as another does.
//! * Blocks shorter than a second are listed as parts too (RFC 8216bis), and who says which block
//!   it waits for is answered when that is on.

use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::base::limits;
use crate::base::time::Wall;
use crate::container::Signature;
use crate::http::answer::Response;
use crate::media::catalog::Movie;
use crate::media::schedule::{At, Position, Schedule};

/// What the segments are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
    /// `<run>-<seq>.m4s` or `<run>-<seq>.ts`: which run of the channel, and which block of it.
    Segment(Form, u64, u64),
    /// `init-<signature>.mp4`.
    Init(Signature),
}

impl Name {
    /// The name that the last part of a path is.
    #[must_use]
    pub fn of(file: &str) -> Option<Self> {
        if let Some(name) = file.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            return hexadecimal(name).map(|name| Self::Init(Signature(name)));
        }
        let (name, extension) = file.split_once('.')?;
        let form = match (name, extension) {
            ("index", "m3u8") => return Some(Self::Playlist(Form::Mp4)),
            ("ts", "m3u8") => return Some(Self::Playlist(Form::Ts)),
            (_, "m4s") => Form::Mp4,
            (_, "ts") => Form::Ts,
            _ => return None,
        };
        let (run, seq) = name.split_once('-')?;
        Some(Self::Segment(form, hexadecimal(run)?, number(seq)?))
    }
}

/// A number of 64 bits as it is written here: in 16 digits, small letters.
fn hexadecimal(text: &str) -> Option<u64> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let plain = text.len() == 16 && text.bytes().all(digit);
    u64::from_str_radix(text, 16).ok().filter(|_| plain)
}

/// A decimal number as it is written here: a cache must not see one thing under two names.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// How long blocks last, as far as playlists say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    longest: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self { longest: Duration::from_secs(1) }
    }
}

impl Shape {
    /// Looks through a schedule.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Self {
        let movies = schedule.playlist().iter();
        Self::lasting(movies.flat_map(|m| (0..m.blocks()).filter_map(|block| m.lasts(block))))
    }

    /// From the durations of blocks.
    pub fn lasting(each: impl Iterator<Item = Duration>) -> Self {
        each.max().map_or_else(Self::default, |longest| Self { longest })
    }

    /// Whole seconds that no segment is longer than, to the nearest (RFC 8216, 4.3.3.1).
    fn target_s(self) -> u64 {
        (self.longest + Duration::from_millis(500)).as_secs().max(1)
    }

    /// Whether blocks are listed as parts.
    #[must_use]
    pub fn is_low(self) -> bool {
        self.longest < Duration::from_secs(1)
    }

    /// Segments of a playlist.
    #[must_use]
    pub fn segments(self) -> u64 {
        if self.is_low() { limits::HLS_SHORT_SEGMENTS } else { limits::HLS_SEGMENTS }
    }
}

/// Where parameters change in a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// For each entry of the schedule, entries up to it whose parameters are not those of the one
    /// before; the first counts when it differs from the last.
    changes: Vec<u64>,
}

impl Plan {
    /// Looks through a schedule once, with what the parameters of its movies are called.
    pub fn of(schedule: &Schedule, name: impl Fn(&Movie) -> Option<Signature>) -> Self {
        let movies = schedule.playlist();
        let befores = movies.last().into_iter().chain(movies);
        let changes = movies.iter().zip(befores).scan(0, |sum, (movie, before)| {
            *sum += u64::from(name(movie) != name(before));
            Some(*sum)
        });
        Self { changes: changes.collect() }
    }

    /// Whether the parameters of a block's movie are not those of the movie before it, and this is
    /// its first block. Nothing is on before the very first one.
    #[must_use]
    pub fn changes_at(&self, position: &Position) -> bool {
        let upto = |entry: usize| self.changes.get(entry).copied().unwrap_or(0);
        let before = position.entry.checked_sub(1).map_or(0, upto);
        position.block == 0 && position.seq > 0 && upto(position.entry) > before
    }

    /// Changes before a block, its own not among them.
    #[must_use]
    pub fn changes_before(&self, schedule: &Schedule, position: &Position) -> u64 {
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
}

/// The first and the last block of a playlist of so many at a moment; none when nothing is on.
#[must_use]
pub fn range(schedule: &Schedule, segments: u64, now: Wall) -> Option<(u64, u64)> {
    let At::On(live) = schedule.at(now) else { return None };
    Some(((live.seq + 1).saturating_sub(segments), live.seq))
}

/// A block that is listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The run that its number counts in.
    pub run: u64,
    /// Its number.
    pub seq: u64,
    /// Its air time.
    pub starts_at: Wall,
    /// For how long.
    pub lasts: Duration,
    /// What its parameters are called; none where it cannot be had in this form.
    pub signature: Option<Signature>,
    /// Whether a discontinuity stands before it: another movie begins, with other parameters.
    pub change: bool,
}

/// A playlist that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Playlist<'a> {
    /// What its segments are.
    pub form: Form,
    /// What stands before their names; nothing, or an address that ends in a slash.
    pub base: &'a str,
    /// How long blocks last.
    pub shape: Shape,
    /// Discontinuities before the first segment, its own not among them.
    pub before: u64,
    /// Blocks with numbers one after the other.
    pub segments: &'a [Segment],
}

impl Playlist<'_> {
    /// It, for whoever asked.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut text = String::with_capacity(2048);
        // Nothing here makes an error, and a String takes every write.
        let _: fmt::Result = self.write(&mut text);
        Response::new(200, "application/vnd.apple.mpegurl", text.into_bytes())
            .with("Cache-Control", "public, max-age=1")
            .with("Access-Control-Allow-Origin", "*")
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let first = self.segments.first().map_or(0, |segment| segment.seq);
        let (version, target) = (if self.shape.is_low() { 9 } else { 8 }, self.shape.target_s());
        writeln!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n\
             #EXT-X-INDEPENDENT-SEGMENTS",
            self.before,
        )?;
        if self.shape.is_low() {
            let part = self.shape.longest.as_secs_f64();
            writeln!(
                text,
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.6}\n\
                 #EXT-X-PART-INF:PART-TARGET={part:.6}",
                3.0 * part,
            )?;
        }
        let mut map = None;
        for segment in self.segments {
            self.segment(text, segment, &mut map)?;
        }
        Ok(())
    }

    fn segment(
        &self,
        text: &mut String,
        segment: &Segment,
        map: &mut Option<Signature>,
    ) -> fmt::Result {
        let (base, extension) = (self.base, self.form.extension());
        if segment.change {
            text.write_str("#EXT-X-DISCONTINUITY\n")?;
        }
        let wanted = segment.signature.filter(|_| self.form == Form::Mp4);
        if let Some(signature) = wanted.filter(|wanted| segment.change || *map != Some(*wanted)) {
            writeln!(text, "#EXT-X-MAP:URI=\"{base}init-{:016x}.mp4\"", signature.0)?;
            *map = Some(signature);
        }
        let begins = self.segments.first().is_some_and(|first| first.seq == segment.seq);
        if begins || segment.change {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.starts_at)?;
        }
        let name = format_args!("{base}{:016x}-{}.{extension}", segment.run, segment.seq);
        let lasts = segment.lasts.as_secs_f64();
        if segment.signature.is_none() {
            text.write_str("#EXT-X-GAP\n")?;
        } else if self.shape.is_low() {
            writeln!(text, "#EXT-X-PART:DURATION={lasts:.6},URI=\"{name}\",INDEPENDENT=YES")?;
        }
        writeln!(text, "#EXTINF:{lasts:.6},\n{name}")
    }
}

#[cfg(test)]
mod tests;

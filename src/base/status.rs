//! What a node tells of itself, as plain values: the one document behind `/status.json`,
//! `/metrics`, the page at `/` and the control socket. The node fills it, `http` and `control` word
//! it; it decides nothing and reads nothing.
//!
//! Times are RFC 3339 in UTC (the `Display` of [`crate::base::time::Wall`]), lengths of time are
//! seconds, sizes are bytes.

pub mod mesh;

use core::fmt::Write as _;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::base::stats::Histogram;

pub use mesh::MeshStatus;

/// Everything, at one moment.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct Status {
    /// The process.
    pub node: NodeStatus,
    /// Every channel, by number.
    pub channels: Vec<ChannelStatus>,
    /// The movies of the channels and their fillers, by name; empty where there is no schedule.
    pub movies: Vec<MovieStatus>,
    /// The tv server; none when it is switched off.
    pub tv: Option<TvStatus>,
    /// What a client receives; none in a server.
    pub receive: Option<ReceiveStatus>,
    /// Where a client stores; none in a server.
    pub store: Option<StoreStatus>,
    /// Its part in the relay trees, by channel; empty without any.
    pub mesh: Vec<MeshStatus>,
    /// The jukebox; none when it is switched off.
    pub jukebox: Option<JukeboxStatus>,
    /// The live ticker; none when it is switched off.
    pub events: Option<EventsStatus>,
    /// Files over UDP; none when they are switched off.
    pub files: Option<FilesStatus>,
    /// The HTTP server.
    pub http: HttpStatus,
    /// Log lines that could not be written.
    pub log_lines_dropped: u64,
}

/// The process and its loop.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct NodeStatus {
    /// `server`, `relay` or `client`.
    pub role: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// When it started.
    pub started_at: String,
    /// When this was written.
    pub now: String,
    /// Seconds since the start, by the clock that never jumps.
    pub uptime_s: f64,
    /// Connections of every kind.
    pub connections: u64,
    /// Timers armed.
    pub timers: u64,
    /// Blobs known.
    pub blobs: u64,
    /// Configurations applied since the start.
    pub reloads: u64,
    /// Turns of the loop.
    pub loop_turns: u64,
}

/// One channel.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct ChannelStatus {
    /// Its number.
    pub number: usize,
    /// Its name in the configuration.
    pub name: String,
    /// One of [`CHANNEL_STATES`].
    pub state: &'static str,
    /// The block on the air.
    pub on_air: Option<OnAir>,
    /// The block after it.
    pub next: Option<Next>,
    /// The movie on the air; none where that is not known.
    pub programme: Option<Programme>,
    /// The movie after it.
    pub then: Option<Programme>,
    /// Clients of the tv server.
    pub viewers_tv: usize,
    /// Endless answers over HTTP; readers of HLS come and go and are not counted.
    pub viewers_http: usize,
    /// The most of them that it takes.
    pub max_clients: usize,
    /// Blocks that went on the air.
    pub blocks_aired: u64,
    /// Of these, how many were the filler.
    pub blocks_replaced: u64,
    /// Blocks that were missing with no filler to take their place.
    pub blocks_skipped: u64,
    /// First and last block that can be had now.
    pub window: Option<(u64, u64)>,
}

/// A movie, and what players can have of it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct MovieStatus {
    /// Its name.
    pub name: String,
    /// Every output that there is, by its first block; none until that was looked at, which being
    /// asked for this document begins.
    pub outputs: Option<Vec<OutputStatus>>,
}

/// Whether a movie can be had in one form.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct OutputStatus {
    /// `mkv`, `mp4` or `ts`.
    pub output: &'static str,
    /// Why not; none where it can.
    pub why_not: Option<String>,
}

/// What [`ChannelStatus::state`] may say.
pub const CHANNEL_STATES: [&str; 4] = ["on_air", "waiting", "ended", "off"];

/// The block on the air.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct OnAir {
    /// Its number on the channel.
    pub seq: u64,
    /// The movie it belongs to.
    pub movie: String,
    /// Its number in the movie.
    pub block: u32,
    /// Its file in the library.
    pub file: String,
    /// Its air time.
    pub starts_at: String,
    /// How long it lasts.
    pub lasts_s: f64,
    /// Its size.
    pub bytes: u64,
    /// What it is, as HTTP names it.
    pub media_type: &'static str,
    /// Whether the filler stands in for it.
    pub replaced: bool,
}

/// The block after the one on the air.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Next {
    /// Its number on the channel.
    pub seq: u64,
    /// The movie it belongs to.
    pub movie: String,
    /// Its number in the movie.
    pub block: u32,
    /// Its air time.
    pub starts_at: String,
}

/// One airing of a movie.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct Programme {
    /// The movie.
    pub movie: String,
    /// When it begins.
    pub starts_at: String,
    /// How long it lasts.
    pub lasts_s: f64,
    /// How much of it is over.
    pub over_s: f64,
}

/// The tv server.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct TvStatus {
    /// Clients on all channels.
    pub clients: usize,
    /// Joins answered with `10`.
    pub joins: u64,
    /// Joins answered with `00`.
    pub full: u64,
    /// Clients that left.
    pub leaves: u64,
    /// Clients that were removed.
    pub removed: u64,
    /// Failures held against clients.
    pub strikes: u64,
    /// Commands understood.
    pub commands: u64,
    /// Commands not understood.
    pub bad_commands: u64,
    /// Callbacks that `callback_allow` forbids.
    pub refused_callbacks: u64,
    /// Blocks delivered whole.
    pub blocks_sent: u64,
    /// Bytes of blocks that the kernel took.
    pub bytes_sent: u64,
    /// Callbacks being dialled now.
    pub dials: usize,
    /// From a block's start to its last byte taken, for each client.
    #[serde(serialize_with = "histogram")]
    pub delivery: Histogram,
}

/// What a client receives.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct ReceiveStatus {
    /// The server it watches.
    pub server: String,
    /// The channel there.
    pub channel: u8,
    /// What it is doing about it.
    pub state: &'static str,
    /// Blocks received whole.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Joins that the server took.
    pub joins: u64,
    /// Connections and blocks turned away.
    pub rejected: u64,
    /// When the last block was whole.
    pub last_block_at: Option<String>,
    /// Seconds between two blocks, as observed.
    pub period_s: f64,
}

/// Where a client stores.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct StoreStatus {
    /// The directory.
    pub directory: String,
    /// One of [`STORE_STATES`].
    pub state: &'static str,
    /// Blocks in it.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The newest of them, oldest first.
    pub files: Vec<StoredFile>,
    /// Blocks stored since the start.
    pub stored: u64,
    /// Blocks that could not be stored.
    pub failed: u64,
    /// Blocks removed again.
    pub removed: u64,
}

/// What [`StoreStatus::state`] may say.
pub const STORE_STATES: [&str; 3] = ["ok", "full", "failing"];

/// One file of the store.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct StoredFile {
    /// Its name in the directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The number of its block, when that is known.
    pub seq: Option<u64>,
}

/// The jukebox; all but `songs`, `listeners` and `playing` count from the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct JukeboxStatus {
    /// Songs that can be played.
    pub songs: usize,
    /// Listeners now.
    pub listeners: usize,
    /// Of these, those that hear a song.
    pub playing: usize,
    /// Listeners taken.
    pub accepted: u64,
    /// Listeners refused: too many in all or of one address, or stopping.
    pub refused: u64,
    /// Idle listeners closed to make room for new ones.
    pub evicted: u64,
    /// Requests understood.
    pub requests: u64,
    /// Messages not understood.
    pub unknown: u64,
    /// Songs begun.
    pub songs_begun: u64,
    /// Songs sent to their end.
    pub songs_over: u64,
    /// Frames of songs sent.
    pub frames: u64,
    /// Bytes of songs sent.
    pub song_bytes: u64,
    /// Payloads that the kernel did not take in one write.
    pub split: u64,
    /// Listeners closed because they took nothing.
    pub stalled: u64,
    /// Listeners cut off because their song broke.
    pub faulted: u64,
}

/// The live ticker; all but `members` count from the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct EventsStatus {
    /// Members now.
    pub members: usize,
    /// New members.
    pub joins: u64,
    /// Registrations for which there was no room.
    pub refused: u64,
    /// Events of all transmissions.
    pub events: u64,
    /// Datagrams that were wanted for them.
    pub datagrams: u64,
    /// Datagrams that were no command.
    pub bad_requests: u64,
    /// Lines that were refused.
    pub bad_lines: u64,
}

/// Files over UDP; all but `files`, `transfers` and `running` count from the start. What transfers
/// that are under way have done so far is counted, too.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct FilesStatus {
    /// Files that are listed.
    pub files: usize,
    /// Transfers now.
    pub transfers: usize,
    /// Of these, those whose client has answered from where it asked.
    pub running: usize,
    /// Transfers begun.
    pub begun: u64,
    /// Of these, those that have ended with everything delivered.
    pub whole: u64,
    /// Requests for which there was no room.
    pub refused: u64,
    /// Datagrams that were no request.
    pub bad_requests: u64,
    /// Datagrams at transfer ports that came from somebody else.
    pub strangers: u64,
    /// Datagrams of clients that were no good.
    pub bad_datagrams: u64,
    /// Lists sent.
    pub lists: u64,
    /// Lists not sent, because there were too many.
    pub lists_refused: u64,
    /// Bytes of files that were acknowledged.
    pub bytes: u64,
    /// Datagrams sent with bytes of files.
    pub datagrams: u64,
    /// Of these, sent again.
    pub retransmitted: u64,
    /// Datagrams found to be lost.
    pub lost: u64,
}

/// The HTTP server; all but `connections` count from the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct HttpStatus {
    /// Connections now.
    pub connections: usize,
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused: too many in all or of one address, or stopping.
    pub refused: u64,
    /// Idle connections closed to make room for new ones.
    pub evicted: u64,
    /// Answers that began, by class of status.
    pub answers: Answers,
    /// Bytes of bodies that the kernel took.
    pub body_bytes: u64,
    /// Connections whose request head did not come in time.
    pub slow_heads: u64,
    /// Connections reset because the reader took nothing.
    pub stalled: u64,
    /// Endless answers begun.
    pub streams: u64,
    /// Of these, how often one was so far behind that blocks were left out.
    pub skipped: u64,
    /// Of these, those closed because they were so far behind a second time.
    pub lagged: u64,
}

/// HTTP answers by class of status.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Answers {
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub ok: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub elsewhere: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    pub refused: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub failed: u64,
}

impl Answers {
    /// Counts one answer; a status outside 200 to 599 counts as a failure of ours.
    pub fn count(&mut self, status: u16) {
        match status {
            200..=299 => self.ok += 1,
            300..=399 => self.elsewhere += 1,
            400..=499 => self.refused += 1,
            _ => self.failed += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ok + self.elsewhere + self.refused + self.failed
    }
}

/// A document as JSON, laid out for people, ending with a line end. Safe on a terminal: what
/// [`crate::base::text::escaped`] would spell out is a `\uXXXX` here.
///
/// # Panics
/// Never for what is in this file and in [`mesh`]: plain structs with text keys have a JSON form.
#[must_use]
pub fn json<T: Serialize + ?Sized>(document: &T) -> Vec<u8> {
    let mut text = safe(&serde_json::to_string_pretty(document).expect(PLAIN));
    text.push('\n');
    text.into_bytes()
}

/// The same on one line, without its end.
///
/// # Panics
/// See [`json`].
#[must_use]
pub fn json_line<T: Serialize + ?Sized>(document: &T) -> String {
    safe(&serde_json::to_string(document).expect(PLAIN))
}

const PLAIN: &str = "plain structs with text keys have a JSON form, and a String takes every write";

fn safe(document: &str) -> String {
    let mut safe = String::with_capacity(document.len() + 1);
    for c in document.chars() {
        if c != '\n' && drives_terminal(c) {
            write!(safe, "\\u{:04x}", u32::from(c)).expect("a String takes every write");
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Control characters, and those that change the direction of writing. All are below U+10000.
fn drives_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn histogram<S: Serializer>(h: &Histogram, to: S) -> Result<S::Ok, S::Error> {
    /// How many took at most so long; none is without bound.
    #[derive(Serialize)]
    struct Bucket {
        at_most_ms: Option<u64>,
        count: u64,
    }
    let buckets: Vec<_> =
        h.cumulative().map(|(at_most_ms, count)| Bucket { at_most_ms, count }).collect();
    let mut fields = to.serialize_struct("Histogram", 3)?;
    fields.serialize_field("count", &h.count())?;
    fields.serialize_field("total_s", &h.total().as_secs_f64())?;
    fields.serialize_field("buckets", &buckets)?;
    fields.end()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serde_json::Value;

    use super::*;

    fn parsed(status: &Status) -> Value {
        serde_json::from_slice(&json(status)).unwrap()
    }

    #[test]
    fn the_document_has_every_part_even_when_empty() {
        let value = parsed(&Status::default());
        let parts = ["node", "channels", "tv", "receive", "store", "mesh", "http"];
        for part in parts.into_iter().chain(["log_lines_dropped"]) {
            assert!(value.get(part).is_some(), "{part}");
        }
        assert_eq!(value["http"]["answers"]["4xx"], 0);
    }

    #[test]
    fn names_come_back_whole_and_cannot_drive_a_terminal() {
        let name = "a\"b\\c\u{9b}31m\u{7f}\u{202e}\n\u{fc}";
        let channel = ChannelStatus { name: name.to_owned(), ..ChannelStatus::default() };
        let status = Status { channels: vec![channel], ..Status::default() };
        assert_eq!(parsed(&status)["channels"][0]["name"], name);
        let text = String::from_utf8(json(&status)).unwrap();
        assert!(text.ends_with("}\n"));
        assert!(!text.chars().any(|c| c != '\n' && drives_terminal(c)));
    }

    #[test]
    fn a_histogram_is_cumulative_with_an_open_end() {
        let mut tv = TvStatus::default();
        for ms in [3, 30, 90_000] {
            tv.delivery.record(Duration::from_millis(ms));
        }
        let value = parsed(&Status { tv: Some(tv), ..Status::default() });
        let delivery = &value["tv"]["delivery"];
        assert_eq!((&delivery["count"], &delivery["total_s"]), (&3.into(), &90.033.into()));
        assert_eq!(delivery["buckets"][0]["count"], 1);
        assert_eq!(delivery["buckets"][10]["at_most_ms"], Value::Null);
        assert_eq!(delivery["buckets"][10]["count"], 3);
    }

    #[test]
    fn every_answer_is_in_one_class() {
        let mut answers = Answers::default();
        for status in [200, 206, 304, 404, 416, 503, 99] {
            answers.count(status);
        }
        assert_eq!(answers, Answers { ok: 2, elsewhere: 1, refused: 2, failed: 2 });
        assert_eq!(answers.total(), 7);
    }
}

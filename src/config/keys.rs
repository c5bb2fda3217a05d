//! The table of every configuration key: where it stands, what it takes, what it is when it is not
//! given, and whether a reload brings it into force. It words the messages, gives the defaults and
//! feeds the reload plan; the tests hold the manual page against it.

use core::fmt;
use core::time::Duration;

use crate::base::limits;

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The table it stands in, without brackets; empty at the top of the file.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when it is not given, without quotes; none when it must be given, or when the
    /// default is not one value (the manual page tells).
    pub default: Option<&'static str>,
    /// Whether a reload brings a new value into force.
    pub live: bool,
}

/// What a key takes. [`fmt::Display`] gives the words that follow "expected".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A whole number, both ends included.
    Number(u64, u64),
    /// A port, both ends included.
    Port(u16, u16),
    /// A duration as text, both ends included.
    Span(Duration, Duration),
    /// One of these words.
    Word(&'static [&'static str]),
    /// true or false.
    Switch,
    /// A name of at most so many bytes.
    Name(usize),
    /// Names of movies.
    Movies,
    /// A path.
    Path,
    /// An address of ours with a port.
    Listen,
    /// Networks.
    Networks,
    /// A moment.
    Moment,
    /// Where a channel comes from.
    Source,
    /// An address of ours as others dial it.
    Advertised,
    /// Roots of a mesh.
    Roots,
    /// Extensions of songs.
    Extensions,
    /// How fast songs are sent.
    Pace,
    /// Where events come from.
    Events,
    /// An address of HTTP that names can be put behind.
    Base,
}

/// The tables of a file, in the order in which they are printed; `channel` is a list of them.
pub(super) const TABLES: &[&str] = &[
    "log", "library", "channel", "tv", "receive", "mesh", "jukebox", "files", "store", "http",
    "events", "control",
];

const SECONDS_2: &str = "2s";
const BLOCK_LASTS: Kind = Kind::Span(limits::BLOCK_LASTS_MIN, limits::BLOCK_LASTS_MAX);
const CHANNEL: Kind = Kind::Number(0, limits::CHANNELS_MAX as u64 - 1);
const CONNS: Kind = Kind::Number(1, limits::CONNS_MAX as u64);
const EVENTS_INTERVAL: Kind = Kind::Span(limits::EVENTS_INTERVAL_MIN, limits::EVENTS_INTERVAL_MAX);
const LEAD: Kind = Kind::Span(limits::MESH_LEAD_MIN, limits::MESH_LEAD_MAX);
const RATE: Kind = Kind::Number(0, limits::FILES_RATE_MAX);
const TRANSFERS: Kind = Kind::Number(1, limits::FILES_TRANSFERS_MAX as u64);
const STALL: Kind = Kind::Span(limits::JUKEBOX_STALL_MIN, limits::JUKEBOX_STALL_MAX);
const MOVIE: Kind = Kind::Name(limits::MOVIE_NAME_BYTES_MAX);

/// Every key, in the order in which they are printed.
pub const KEYS: &[Key] = &[
    key("", "role", Kind::Word(&["server", "relay", "client"])).restart(),
    key("", "source", Kind::Source).restart(),
    key("log", "level", Kind::Word(&["error", "warn", "info", "debug"])).or("info"),
    key("log", "target", Kind::Word(&["auto", "syslog", "stderr"])).or("auto"),
    key("library", "directory", Kind::Path),
    key("library", "block_duration", BLOCK_LASTS).or(SECONDS_2),
    key("library", "durations", Kind::Word(&["header", "nominal"])).or("header"),
    key("channel", "number", CHANNEL),
    key("channel", "name", Kind::Name(limits::CHANNEL_NAME_BYTES_MAX)),
    key("channel", "playlist", Kind::Movies),
    key("channel", "repeat", Kind::Switch).or("true"),
    key("channel", "epoch", Kind::Moment).or("1970-01-01T00:00:00Z"),
    key("channel", "filler", MOVIE),
    key("channel", "max_clients", CONNS),
    key("tv", "listen", Kind::Listen).or("127.0.0.1:6060"),
    key("tv", "callback_port", Kind::Port(limits::TV_CALLBACK_PORT_MIN, u16::MAX)).or("9091"),
    key("tv", "callback_allow", Kind::Networks).or("loopback private attached"),
    key("tv", "max_clients", CONNS).or("64"),
    key("tv", "commands_max", CONNS).or("256"),
    key("tv", "join_pause", Kind::Span(Duration::ZERO, limits::TV_JOIN_PAUSE_MAX)).or("100ms"),
    key("receive", "listen", Kind::Listen).or("127.0.0.1:9091").restart(),
    key("receive", "period", BLOCK_LASTS).or(SECONDS_2),
    key("mesh", "listen", Kind::Listen).or("127.0.0.1:6061").restart(),
    key("mesh", "advertise", Kind::Advertised).restart(),
    key("mesh", "slots", Kind::Number(0, limits::MESH_SLOTS_MAX as u64)).restart(),
    key("mesh", "stripes", Kind::Number(1, limits::MESH_STRIPES_MAX as u64)).or("8").restart(),
    key("mesh", "lead", LEAD).or("6s").restart(),
    key("mesh", "members_max", Kind::Number(1, limits::MESH_MEMBERS_MAX as u64))
        .or("10000")
        .restart(),
    key("mesh", "rescue_rate", Kind::Number(0, limits::MESH_RESCUE_RATE_MAX))
        .or("1250000")
        .restart(),
    key("mesh", "roots", Kind::Roots).restart(),
    key("mesh", "channel", CHANNEL).or("0").restart(),
    key("jukebox", "listen", Kind::Listen).or("127.0.0.1:6063"),
    key("jukebox", "directory", Kind::Path),
    key("jukebox", "extensions", Kind::Extensions).or("mp3 flac ogg oga opus wav m4a aac"),
    key("jukebox", "pace", Kind::Pace).or("2x"),
    key("jukebox", "listeners_max", CONNS).or("4096"),
    key("jukebox", "per_address_max", Kind::Number(0, limits::CONNS_MAX as u64)).or("64"),
    key("jukebox", "stall_max", STALL).or("30s"),
    key("files", "listen", Kind::Listen).or("127.0.0.1:50000"),
    key("files", "directory", Kind::Path),
    key("files", "transfers_max", TRANSFERS).or("1024"),
    key("files", "per_address_max", Kind::Number(0, limits::FILES_TRANSFERS_MAX as u64)).or("16"),
    key("files", "rate_max", RATE).or("0"),
    key("files", "total_rate_max", RATE).or("0"),
    key("files", "buffer", Kind::Number(limits::FILES_BUFFER_MIN, limits::FILES_BUFFER_MAX))
        .or("8388608"),
    key("store", "directory", Kind::Path),
    key("store", "keep_blocks", Kind::Number(0, limits::KEEP_BLOCKS_MAX as u64)).or("900"),
    key("http", "listen", Kind::Listen).or("127.0.0.1:6080"),
    key("http", "connections_max", CONNS).or("10000"),
    key("http", "per_address_max", Kind::Number(0, limits::CONNS_MAX as u64)).or("0"),
    key("http", "lag_max", Kind::Number(1, limits::HTTP_LAG_BLOCKS_MAX as u64)).or("3"),
    key("http", "segment_base_url", Kind::Base),
    key("events", "listen", Kind::Listen).or("127.0.0.1:12345"),
    key("events", "interval", EVENTS_INTERVAL).or(SECONDS_2),
    key("events", "source", Kind::Events).or("game"),
    key("events", "teams", Kind::Path),
    key("events", "seed", Kind::Number(0, i64::MAX as u64)),
    key("events", "members_max", Kind::Number(1, limits::EVENTS_MEMBERS_MAX as u64)).or("10000"),
    key("events", "per_address_max", Kind::Number(0, limits::EVENTS_MEMBERS_MAX as u64)).or("256"),
    key("events", "expire", Kind::Span(Duration::ZERO, limits::EVENTS_EXPIRE_MAX)).or("0s"),
    key("events", "prove", Kind::Switch).or("false"),
    key("control", "socket", Kind::Path),
];

const fn key(table: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { table, name, kind, default: None, live: true }
}

impl Key {
    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn restart(self) -> Self {
        Self { live: false, ..self }
    }
}

/// The key of that name in a table (empty: the top of the file).
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.table == table && k.name == name)
}

/// The key of that name in a table, by the names that this program writes.
pub(super) fn named(table: &str, name: &str) -> &'static Key {
    find(table, name).expect("the code names only keys of the table; a test holds it to that")
}

/// `[table] name`, as messages say it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table {
            "" => f.write_str(self.name),
            table => write!(f, "{} {}", header(table), self.name),
        }
    }
}

/// A table's name in the brackets that it wears in the file.
pub(super) fn header(table: &str) -> String {
    if table == "channel" { "[[channel]]".to_owned() } else { format!("[{table}]") }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Port(least, most) => write!(f, "a port from {least} to {most}"),
            Self::Span(least, most) => write!(
                f,
                "a duration from \"{}\" to \"{}\", written like \"2s\" or \"500ms\"",
                humantime::format_duration(*least),
                humantime::format_duration(*most)
            ),
            Self::Word(words) => write_words(f, words),
            Self::Switch => f.write_str("true or false"),
            Self::Name(most) => write!(f, "a name of 1 to {most} bytes"),
            Self::Movies => write!(f, "a list of 1 to {} movie names", limits::PLAYLIST_MAX),
            Self::Path => f.write_str("a path"),
            Self::Listen => f.write_str("an address and port such as \"127.0.0.1:6060\""),
            Self::Networks => write!(
                f,
                "a list of 1 to {} of \"loopback\", \"private\", \"attached\" and networks such \
                 as \"192.0.2.0/24\"",
                limits::CALLBACK_ALLOW_MAX
            ),
            Self::Moment => f.write_str(
                "a date and time with its offset such as 2026-01-01T00:00:00Z, from 1970 to 2199",
            ),
            Self::Source => f.write_str("\"tv://HOST:PORT/CHANNEL\" with a channel from 0 to 9"),
            Self::Base => write!(
                f,
                "an http or https address that ends in /, of at most {} bytes, such as \
                 \"https://cdn.example.org/tv/\"",
                limits::SEGMENT_BASE_BYTES_MAX
            ),
            Self::Advertised => f.write_str("a host and port such as \"node.example.org:6061\""),
            Self::Roots => write!(
                f,
                "a list of 1 to {} hosts or hosts and ports such as \"tv.example.org:6061\"",
                limits::MESH_ROOTS_MAX
            ),
            Self::Extensions => write!(
                f,
                "a list of 1 to {} extensions such as \"mp3\"",
                limits::JUKEBOX_EXTENSIONS_MAX
            ),
            Self::Pace => write!(
                f,
                "\"off\" or a multiple of a song's own rate from \"1x\" to \"{}x\"",
                limits::JUKEBOX_PACE_MAX
            ),
            Self::Events => {
                f.write_str("\"game\", \"lines:PATH\" (a file or FIFO) or \"socket:PATH\"")
            }
        }
    }
}

fn write_words(f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
    for (i, word) in words.iter().enumerate() {
        let between = if i == 0 {
            ""
        } else if i + 1 == words.len() {
            " or "
        } else {
            ", "
        };
        write!(f, "{between}\"{word}\"")?;
    }
    Ok(())
}

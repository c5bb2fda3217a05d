//! The configuration: one TOML file to one checked [`Config`], and what follows from two of them.
//!
//! This is the only way to a [`Config`]: whoever holds one holds values that were checked, with
//! defaults filled in and paths made absolute. Pure: the caller reads the file and the environment
//! and hands both in ([`Place`]). Called by the daemon (start, `--check`, `--print-config`, reload)
//! and, section by section, by the machines.
//!
//! A section that is there switches its part on; one that is left out leaves it off.

mod check;
mod diff;
mod keys;
mod print;
mod problem;
mod raw;
mod value;

#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::base::limits;
use crate::base::port::Level;
use crate::base::text::escaped;
use crate::base::time::Wall;
use crate::config::problem::Report;

pub use crate::media::Durations;
pub use diff::{Apply, Change, Plan, apply, plan};
pub use keys::{KEYS, Key, Kind};
pub use print::print;
pub use problem::{ConfigError, Problem, did_you_mean};

/// A checked configuration. Two are equal when they mean the same, wherever they were written.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What this node is.
    pub role: Role,
    /// The tv server that the channel comes from; client and relay only, which have this, roots of
    /// a mesh, or both.
    pub source: Option<Source>,
    /// What is logged, and where to.
    pub log: Log,
    /// The folder of movies; server only.
    pub library: Option<Library>,
    /// The channels, sorted by number, which is also their index; server only.
    pub channels: Vec<Channel>,
    /// The tv server; server and relay.
    pub tv: Option<Tv>,
    /// Where a tv server dials back to; there when, and only when, [`Self::source`] is.
    pub receive: Option<Receive>,
    /// The relay trees.
    pub mesh: Option<Mesh>,
    /// The jukebox; server only.
    pub jukebox: Option<Jukebox>,
    /// Files over UDP; server only.
    pub files: Option<Files>,
    /// Received blocks on disk; client only.
    pub store: Option<Store>,
    /// The HTTP server.
    pub http: Option<Http>,
    /// The live ticker; server only.
    pub events: Option<Events>,
    /// The control socket.
    pub control: Option<Control>,
    /// Where the movies of the channels are written, for messages.
    origin: Origin,
}

impl Config {
    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// Every fault of the file, each with its place; of a text that is not TOML the first one.
    pub fn parse(text: &str, from: &Place) -> Result<Self, ConfigError> {
        let mut report = Report::new(shown(from), text);
        let raw = if is_text(text, &mut report) { raw::read(text, &mut report) } else { None };
        let config = raw.and_then(|raw| check::check(&raw, from, &mut report));
        report.finish(config)
    }

    /// [`Self::parse`] for bytes, which may not be text at all.
    ///
    /// # Errors
    /// As [`Self::parse`]; and of bytes that are not UTF-8 the first one.
    pub fn parse_bytes(bytes: &[u8], from: &Place) -> Result<Self, ConfigError> {
        let text = String::from_utf8_lossy(bytes);
        if let Err(error) = str::from_utf8(bytes) {
            // What stands before the first bad byte is the same in both, and so is its place.
            let mut report = Report::new(shown(from), &text);
            report
                .add(error.valid_up_to(), "not text: here is a byte that is not UTF-8".to_owned());
            return report.finish(None);
        }
        Self::parse(&text, from)
    }

    /// Looks every movie of every channel up among those that the library has.
    ///
    /// # Errors
    /// Each that is not there, with its place in the file and the name that is most like it.
    pub fn check_movies(&self, known: &[&str]) -> Result<(), ConfigError> {
        let names: BTreeSet<&str> = known.iter().copied().collect();
        let mut report = Report::new(self.origin.file.clone(), &self.origin.text);
        for channel in &self.channels {
            let entries = channel.playlist.iter().enumerate().map(|(i, name)| (Some(i), name));
            for (entry, name) in entries.chain(channel.filler.iter().map(|name| (None, name))) {
                if names.contains(name.as_str()) {
                    continue;
                }
                // What is only counted needs no words: finding some takes all names there are.
                if report.is_full() {
                    report.add(0, String::new());
                } else {
                    let at = self.origin.find(channel.number, entry);
                    report.add(at, unknown_movie(entry, name, known));
                }
            }
        }
        report.finish(Some(()))
    }
}

fn shown(place: &Place) -> String {
    escaped(place.file.as_os_str().as_encoded_bytes())
}

/// Whether a text may be one at all: neither endless nor binary.
fn is_text(text: &str, report: &mut Report<'_>) -> bool {
    let most = limits::CONFIG_BYTES_MAX;
    if text.len() as u64 > most {
        report.add(0, format!("too large: {} bytes, at most {most} are read", text.len()));
    } else if let Some(at) = text.find('\0') {
        report.add(at, "not text: here is a NUL byte".to_owned());
    }
    report.is_clean()
}

fn unknown_movie(entry: Option<usize>, name: &str, known: &[&str]) -> String {
    let key = if entry.is_some() { "playlist, entry" } else { "filler =" };
    let hint = did_you_mean(name, known.iter().copied());
    let name = escaped(name.as_bytes());
    format!("[[channel]] {key} \"{name}\": expected a movie of the library{hint}")
}

/// Where a configuration was written. Two configurations that mean the same are equal, so this
/// is equal to every other.
#[derive(Clone, Default, Debug)]
struct Origin {
    /// The file, as messages show it.
    file: String,
    /// All of it, so that a place can be told as line and column.
    text: Arc<str>,
    /// Every movie named in it.
    movies: Vec<MovieAt>,
}

/// One movie named in the file.
#[derive(Clone, Copy, Debug)]
struct MovieAt {
    /// The number of the channel.
    channel: usize,
    /// Which entry of its playlist; none for its filler.
    entry: Option<usize>,
    /// The byte of the file.
    at: usize,
}

impl Origin {
    /// The byte where a channel names a movie; the beginning when it was not read from a file.
    fn find(&self, channel: usize, entry: Option<usize>) -> usize {
        let found = self.movies.iter().find(|m| m.channel == channel && m.entry == entry);
        found.map_or(0, |m| m.at)
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a node is: only which sources and sinks are switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Airs channels from a library.
    Server,
    /// Takes a channel and passes it on.
    Relay,
    /// Takes a channel and keeps or plays it.
    Client,
}

impl Role {
    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        value::word_of(self)
    }
}

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// Lines less grave than this are dropped.
    pub level: Level,
    /// Where lines go.
    pub target: LogTarget,
}

/// Where log lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// Syslog when there is one, else standard error.
    Auto,
    /// Syslog only.
    Syslog,
    /// Standard error only.
    Stderr,
}

impl LogTarget {
    /// Every target, the default first.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Syslog, Self::Stderr];

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        value::word_of(self)
    }
}

/// `[library]`: the movies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    /// The folder that holds one folder a movie; absolute when [`Place::directory`] is.
    pub directory: PathBuf,
    /// How long a block lasts that has no index (and, with [`Durations::Header`], no header).
    pub block_duration: Duration,
    /// What tells the duration of a block without an index.
    pub durations: Durations,
}

/// One `[[channel]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// Its number: 0 to N without holes. The three-byte command reaches 0 to 9.
    pub number: usize,
    /// Its name for people; 1 to [`limits::CHANNEL_NAME_BYTES_MAX`] bytes, no control characters.
    ///
    /// [`limits::CHANNEL_NAME_BYTES_MAX`]: crate::base::limits::CHANNEL_NAME_BYTES_MAX
    pub name: String,
    /// Names of movies, in the order in which they air; never empty.
    pub playlist: Vec<String>,
    /// Whether the playlist begins again when it has ended.
    pub repeat: bool,
    /// When the first block of the playlist was, or will be, on the air.
    pub epoch: Wall,
    /// The movie whose blocks replace those that cannot be read; they are skipped when none.
    pub filler: Option<String>,
    /// Clients that the tv server lets into this channel.
    pub max_clients: usize,
}

/// `[tv]`: the tv server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tv {
    /// Where commands come in; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The port of the client that blocks are dialled to.
    pub callback_port: u16,
    /// Which addresses may be dialled back; never empty.
    pub callback_allow: Vec<Allow>,
    /// Clients a channel, for channels that say nothing else.
    pub max_clients: usize,
    /// Command connections at once.
    pub commands_max: usize,
    /// Between the `10` that lets a client in and its first block.
    pub join_pause: Duration,
}

/// Addresses that the tv server may dial back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allow {
    /// This machine.
    Loopback,
    /// Networks that are not routed on the internet (RFC 1918, RFC 4193).
    Private,
    /// Networks that an interface of this machine is in.
    Attached,
    /// One network.
    Net(IpNet),
}

/// `source`: where a client or relay takes its channel from; `tv://host[:6060]/channel`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The tv server's command port.
    pub port: u16,
    /// The channel, 0 to 9.
    pub channel: u8,
}

/// `[receive]`: where a tv server dials back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receive {
    /// Where blocks come in. An original server dials port 9091 only.
    pub listen: SocketAddr,
    /// How far apart blocks are taken to be until that has been measured.
    pub period: Duration,
}

/// `[mesh]`: the relay trees. A host is a name or an address, an IPv6 address without its brackets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mesh {
    /// Where children and members connect; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Host and port that others dial; none when that is the address this node is seen from, with
    /// the port it listens on.
    pub advertise: Option<(String, u16)>,
    /// How many other nodes may connect to this one for blocks, 0 to
    /// [`MESH_SLOTS_MAX`](limits::MESH_SLOTS_MAX).
    pub slots: usize,
    /// Into how many stripes blocks are cut where this node is the root, 1 to
    /// [`MESH_STRIPES_MAX`](limits::MESH_STRIPES_MAX).
    pub stripes: usize,
    /// How long before its air time a server's block enters the mesh.
    pub lead: Duration,
    /// Members that this node takes where it is the root.
    pub members_max: usize,
    /// Bytes a second that this node, where it is the root, sends to members that miss some,
    /// outside its slots.
    pub rescue_rate: u64,
    /// Hosts and ports of roots in order of preference. Of a server: others with the same channels,
    /// which it names to its members. Not used by who has a source.
    pub roots: Vec<(String, u16)>,
    /// Which channel of the roots is taken; 0 when there are none, and for a server.
    pub channel: usize,
}

impl Mesh {
    /// How many may connect when the configuration does not say: a server feeds the first level,
    /// the others about as many as keep the trees flat and everybody's upload small.
    #[must_use]
    pub fn default_slots(role: Role) -> usize {
        match role {
            Role::Server => 8,
            Role::Relay | Role::Client => 4,
        }
    }
}

/// `[jukebox]`: songs over TCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jukebox {
    /// Where listeners connect; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The folder of songs; absolute when [`Place::directory`] is.
    pub directory: PathBuf,
    /// Which of its files are songs, in small letters; never empty.
    pub extensions: Vec<String>,
    /// How fast a song is sent.
    pub pace: Pace,
    /// Listeners at once.
    pub listeners_max: usize,
    /// Listeners at once from one address; 0 sets no limit.
    pub per_address_max: usize,
    /// How long a listener may take nothing of what is sent to it.
    pub stall_max: Duration,
}

/// How fast a song is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As fast as the listener takes it.
    Off,
    /// After its first second at most so many times as fast as it plays.
    Times(u32),
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Times(times) => write!(f, "{times}x"),
        }
    }
}

/// `[store]`: received blocks on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// The folder they are put in; absolute when [`Place::directory`] is.
    pub directory: PathBuf,
    /// How many are kept, the newest; 0 keeps all.
    pub keep_blocks: usize,
}

/// `[http]`: the HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address; 0 sets no limit.
    pub per_address_max: usize,
    /// Blocks that the reader of an endless answer may have waiting before it misses some.
    pub lag_max: usize,
    /// What stands before the names of segments in playlists, with a slash at its end; they are
    /// beside the playlist when none.
    pub segment_base_url: Option<String>,
}

/// `[files]`: video files over UDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// Where lists and files are asked for; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The folder of files; absolute when [`Place::directory`] is.
    pub directory: PathBuf,
    /// Transfers at once.
    pub transfers_max: usize,
    /// Of these to one address; 0 sets no limit.
    pub per_address_max: usize,
    /// Bytes a second of one transfer.
    pub rate_max: u64,
    /// Bytes a second of all together.
    pub total_rate_max: u64,
    /// Bytes that an original client is sent behind the first that it has not acked.
    pub buffer: u64,
}

/// `[events]`: the live ticker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Events {
    /// Where clients register; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Between two events, at least.
    pub interval: Duration,
    /// Where events come from.
    pub source: EventSource,
    /// The file of the teams that play; those that are built in when none.
    pub teams: Option<PathBuf>,
    /// What the matches are drawn from; another one at each start when none.
    pub seed: Option<u64>,
    /// Members at once.
    pub members_max: usize,
    /// Of these, how many may be at one address; 0 sets no limit.
    pub per_address_max: usize,
    /// The silence after which a member is forgotten; zero for never.
    pub expire: Duration,
    /// Whether an address gets one datagram only until it registers again.
    pub prove: bool,
}

/// Where events come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventSource {
    /// `game`: simulated matches.
    Game,
    /// `lines:PATH`: the lines of a file or FIFO.
    Lines(PathBuf),
    /// `socket:PATH`: the lines of whoever connects to this Unix socket.
    Socket(PathBuf),
}

/// `[control]`: what `vidstream ctl` talks to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Path of the Unix socket.
    pub socket: PathBuf,
}

impl Control {
    /// Where the socket is when the configuration does not say; `vidstream ctl` looks there too.
    #[must_use]
    pub fn default_socket(role: Role, environment: &Environment) -> PathBuf {
        let file = format!("{}.sock", role.name());
        let runtime = environment.runtime_directory.as_deref();
        let runtime = runtime.and_then(|several| std::env::split_paths(several).next());
        let session = environment.xdg_runtime_dir.clone();
        // The rules for both variables: what is not absolute was not set for us.
        if let Some(directory) = runtime.filter(|d| d.is_absolute()) {
            directory.join("control.sock")
        } else if let Some(directory) = session.filter(|d| d.is_absolute()) {
            directory.join("vidstreamd").join(file)
        } else if environment.uid == 0 {
            PathBuf::from("/run/vidstreamd").join(file)
        } else {
            PathBuf::from(format!("/tmp/vidstreamd-{}", environment.uid)).join(file)
        }
    }
}

/// Where a configuration was read, and the environment that some defaults depend on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file as the operator named it; messages begin with it.
    pub file: PathBuf,
    /// The directory of that file, absolute: relative paths in the file begin here.
    pub directory: PathBuf,
    /// What the process was given.
    pub environment: Environment,
}

/// The part of the environment that the default of `[control] socket` depends on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Environment {
    /// `$RUNTIME_DIRECTORY`, as systemd sets it; the first of several separated by `:` counts.
    pub runtime_directory: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The user's number; 0 is root.
    pub uid: u32,
}

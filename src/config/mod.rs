//! The configuration: one TOML file to one checked [`Config`], and what follows from two of them.
//!
//! This is the only way to a [`Config`]: whoever holds one holds values that were checked, with
//! defaults filled in and paths made absolute. Pure: the caller reads the file and the environment
//! and hands both in ([`Place`]). Called by the daemon (start, `--check`, `--print-config`, reload)
//! and, section by section, by the machines.
//!
//! A section that is there switches its part on; one that is left out leaves it off.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::base::port::Level;
use crate::base::time::Wall;

/// A checked configuration. Two are equal when they mean the same, wherever they were written.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What this node is.
    pub role: Role,
    /// Where the channel comes from; client and relay only.
    pub source: Option<Source>,
    /// What is logged, and where to.
    pub log: Log,
    /// The folder of movies; server only.
    pub library: Option<Library>,
    /// The channels, sorted by number, which is also their index; server only.
    pub channels: Vec<Channel>,
    /// The tv server; server and relay.
    pub tv: Option<Tv>,
    /// Where a tv server dials back to; client and relay.
    pub receive: Option<Receive>,
    /// Received blocks on disk; client only.
    pub store: Option<Store>,
    /// The HTTP server.
    pub http: Option<Http>,
    /// The control socket.
    pub control: Option<Control>,
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

/// What tells the duration of a block that no index names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durations {
    /// Every such block lasts [`Library::block_duration`].
    Nominal,
    /// The file's own header; [`Library::block_duration`] where it says nothing.
    Header,
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
}

/// `[control]`: what `vidstream ctl` talks to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Path of the Unix socket.
    pub socket: PathBuf,
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

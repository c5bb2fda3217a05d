//! A [`Config`] as text: complete, with every default written out and every path absolute, and read
//! again it gives an equal [`Config`]. Also the rows that the reload plan compares.

use toml::Value;
use toml::value::Datetime;

use crate::base::limits;
use crate::config::keys::{Key, header, named};
use crate::config::value::{moment_text, word_of};
use crate::config::{
    Allow, Channel, Config, EventSource, Events, Files, Http, Jukebox, Library, Log, Mesh, Receive,
    Role, Source, Store, Tv,
};

/// The whole configuration as TOML.
#[must_use]
pub fn print(config: &Config) -> String {
    let mut text = String::new();
    for table in tables(config) {
        if !table.name.is_empty() {
            text.extend(["\n", &header(table.name), "\n"]);
        }
        for (key, value) in table.values {
            text.extend([key.name, " = ", &value.to_string(), "\n"]);
        }
    }
    text
}

/// One table of a configuration.
pub(super) struct Rows {
    /// Its name, as in the table of keys.
    pub(super) name: &'static str,
    /// Which of the channels; none for every other table.
    pub(super) number: Option<usize>,
    /// Its keys, each with its value.
    pub(super) values: Vec<(&'static Key, Value)>,
}

/// Every table that is there, in the order in which they are printed.
pub(super) fn tables(config: &Config) -> Vec<Rows> {
    let mut tables = vec![top(config), log(&config.log)];
    tables.extend(config.library.as_ref().map(library));
    tables.extend(config.channels.iter().map(channel));
    tables.extend(config.tv.as_ref().map(tv));
    tables.extend(config.receive.as_ref().map(receive));
    let takes = config.role != Role::Server;
    tables.extend(config.mesh.as_ref().map(|table| mesh(table, takes)));
    tables.extend(config.jukebox.as_ref().map(jukebox));
    tables.extend(config.files.as_ref().map(files));
    tables.extend(config.store.as_ref().map(store));
    tables.extend(config.http.as_ref().map(http));
    tables.extend(config.events.as_ref().map(events));
    let control = config.control.as_ref();
    tables.extend(control.map(|c| Rows::of("control").with("socket", path(&c.socket))));
    tables
}

impl Rows {
    fn of(name: &'static str) -> Self {
        Self { name, number: None, values: Vec::new() }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.push((named(self.name, name), value.into()));
        self
    }

    fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

fn top(config: &Config) -> Rows {
    Rows::of("").with("role", config.role.name()).maybe("source", config.source.as_ref().map(url))
}

fn url(source: &Source) -> String {
    format!("tv://{}/{}", host_port(&source.host, source.port), source.channel)
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn log(log: &Log) -> Rows {
    Rows::of("log").with("level", log.level.name()).with("target", log.target.name())
}

fn library(library: &Library) -> Rows {
    Rows::of("library")
        .with("directory", path(&library.directory))
        .with("block_duration", span(library.block_duration))
        .with("durations", word_of(library.durations))
}

fn channel(channel: &Channel) -> Rows {
    let mut rows = Rows::of("channel")
        .with("number", count(channel.number))
        .with("name", &*channel.name)
        .with("playlist", channel.playlist.clone())
        .with("repeat", channel.repeat)
        .with("epoch", moment(channel))
        .maybe("filler", channel.filler.clone())
        .with("max_clients", count(channel.max_clients));
    rows.number = Some(channel.number);
    rows
}

fn tv(tv: &Tv) -> Rows {
    let allow = tv.callback_allow.iter().map(allow_text).collect::<Vec<_>>();
    Rows::of("tv")
        .with("listen", tv.listen.to_string())
        .with("callback_port", i64::from(tv.callback_port))
        .with("callback_allow", allow)
        .with("max_clients", count(tv.max_clients))
        .with("commands_max", count(tv.commands_max))
        .with("join_pause", span(tv.join_pause))
}

fn receive(receive: &Receive) -> Rows {
    Rows::of("receive")
        .with("listen", receive.listen.to_string())
        .with("period", span(receive.period))
}

/// Without roots there is no channel of theirs, and a server may name neither.
fn mesh(mesh: &Mesh, takes: bool) -> Rows {
    let peer = |(host, port): &(String, u16)| host_port(host, *port);
    let roots: Vec<_> = mesh.roots.iter().map(peer).collect();
    let channel = (takes && !roots.is_empty()).then(|| count(mesh.channel));
    Rows::of("mesh")
        .with("listen", mesh.listen.to_string())
        .maybe("advertise", mesh.advertise.as_ref().map(peer))
        .with("slots", count(mesh.slots))
        .with("stripes", count(mesh.stripes))
        .with("lead", span(mesh.lead))
        .with("members_max", count(mesh.members_max))
        .with("rescue_rate", i64::try_from(mesh.rescue_rate).unwrap_or(i64::MAX))
        .maybe("roots", (!roots.is_empty()).then_some(roots))
        .maybe("channel", channel)
}

fn jukebox(jukebox: &Jukebox) -> Rows {
    Rows::of("jukebox")
        .with("listen", jukebox.listen.to_string())
        .with("directory", path(&jukebox.directory))
        .with("extensions", jukebox.extensions.clone())
        .with("pace", jukebox.pace.to_string())
        .with("listeners_max", count(jukebox.listeners_max))
        .with("per_address_max", count(jukebox.per_address_max))
        .with("stall_max", span(jukebox.stall_max))
}

fn store(store: &Store) -> Rows {
    Rows::of("store")
        .with("directory", path(&store.directory))
        .with("keep_blocks", count(store.keep_blocks))
}

fn http(http: &Http) -> Rows {
    Rows::of("http")
        .with("listen", http.listen.to_string())
        .with("connections_max", count(http.connections_max))
        .with("per_address_max", count(http.per_address_max))
        .with("lag_max", count(http.lag_max))
        .maybe("segment_base_url", http.segment_base_url.clone())
}

fn files(files: &Files) -> Rows {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let rate = |rate: u64| if rate >= limits::FILES_RATE_MAX { 0 } else { number(rate) };
    Rows::of("files")
        .with("listen", files.listen.to_string())
        .with("directory", path(&files.directory))
        .with("transfers_max", count(files.transfers_max))
        .with("per_address_max", count(files.per_address_max))
        .with("rate_max", rate(files.rate_max))
        .with("total_rate_max", rate(files.total_rate_max))
        .with("buffer", number(files.buffer))
}

fn events(events: &Events) -> Rows {
    let source = match &events.source {
        EventSource::Game => "game".to_owned(),
        EventSource::Lines(file) => format!("lines:{}", path(file)),
        EventSource::Socket(file) => format!("socket:{}", path(file)),
    };
    Rows::of("events")
        .with("listen", events.listen.to_string())
        .with("interval", span(events.interval))
        .with("source", source)
        .maybe("teams", events.teams.as_deref().map(path))
        .maybe("seed", events.seed.map(|seed| i64::try_from(seed).unwrap_or(i64::MAX)))
        .with("members_max", count(events.members_max))
        .with("per_address_max", count(events.per_address_max))
        .with("expire", span(events.expire))
        .with("prove", events.prove)
}

fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

fn span(span: core::time::Duration) -> String {
    humantime::format_duration(span).to_string()
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn allow_text(allow: &Allow) -> String {
    match allow {
        Allow::Loopback => "loopback".to_owned(),
        Allow::Private => "private".to_owned(),
        Allow::Attached => "attached".to_owned(),
        Allow::Net(net) => net.to_string(),
    }
}

/// As TOML's own type where that is possible, which it is for every checked epoch.
fn moment(channel: &Channel) -> Value {
    let text = moment_text(channel.epoch);
    text.parse::<Datetime>().map_or(Value::String(text), Value::Datetime)
}

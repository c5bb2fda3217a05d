//! From a file as it is written to a [`Config`]: every value is checked against the table of keys,
//! then the tables against the role and against each other. Faults are noted and the check goes on,
//! so that one run names them all; a value that is missing here has been reported.

mod events;
mod files;
mod jukebox;
mod mesh;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;

use crate::base::limits;
use crate::base::time::Wall;
use crate::config::keys::{self, Key, Kind};
use crate::config::problem::{Report, did_you_mean};
use crate::config::raw::{
    Raw, RawChannel, RawControl, RawEpoch, RawHttp, RawLibrary, RawLog, RawReceive, RawStore,
    RawTop, RawTv, Table, Texts,
};
use crate::config::value::{self, Words, Wrong};
use crate::config::{
    Allow, Channel, Config, Control, Http, Library, Log, MovieAt, Origin, Place, Receive, Role,
    Store, Tv,
};

/// A value with its place, if it was given.
type Given<'a, T> = Option<&'a Spanned<T>>;

/// Checks a whole file. A configuration comes back when, and only when, the report is clean.
pub(super) fn check(raw: &Raw, place: &Place, report: &mut Report<'_>) -> Option<Config> {
    let mut check = Check { place, report, listeners: Vec::new(), movies: Vec::new() };
    let role = check.role(&raw.top);
    if let (Some(role), Some(written)) = (role, &raw.top.keys.role) {
        check.suits_role(raw, role, written.span().start);
    }
    // A wrong role has been reported; which default the control socket has then is of no matter.
    let config = check.tables(raw, role.unwrap_or(Role::Server));
    check.listeners_differ();
    config.filter(|_| check.report.is_clean())
}

struct Check<'a, 'text> {
    place: &'a Place,
    report: &'a mut Report<'text>,
    /// Every address to listen on, with where it is written.
    listeners: Vec<(&'static Key, SocketAddr, usize)>,
    /// Every movie that a channel names.
    movies: Vec<MovieAt>,
}

/// A table that only some roles use.
struct Use {
    /// Its name; `source` is a key, but obeys the same rule.
    name: &'static str,
    roles: &'static [Role],
    /// Whether those roles need it.
    needed: bool,
    because: &'static str,
}

const USES: &[Use] = &[
    Use {
        name: "source",
        roles: &[Role::Relay, Role::Client],
        needed: false,
        because: mesh::WHO_TAKES,
    },
    Use {
        name: "library",
        roles: &[Role::Server],
        needed: true,
        because: "a server, and only a server, airs movies of its own",
    },
    Use {
        name: "channel",
        roles: &[Role::Server],
        needed: true,
        because: "a server airs its channels, others have the channel of their source",
    },
    Use {
        name: "tv",
        roles: &[Role::Server, Role::Relay],
        needed: false,
        because: "a client passes nothing on",
    },
    Use {
        name: "receive",
        roles: &[Role::Relay, Role::Client],
        needed: false,
        because: mesh::WHO_DIALS_BACK,
    },
    Use {
        name: "jukebox",
        roles: &[Role::Server],
        needed: false,
        because: "only a server has songs of its own",
    },
    Use {
        name: "events",
        roles: &[Role::Server],
        needed: false,
        because: "the ticker stands beside the channels of a server",
    },
    Use {
        name: "files",
        roles: &[Role::Server],
        needed: false,
        because: "only a server has files of its own",
    },
    Use {
        name: "store",
        roles: &[Role::Client],
        needed: false,
        because: "only a client keeps what it receives",
    },
];

// Tables and roles.
impl Check<'_, '_> {
    fn role(&mut self, top: &Table<RawTop>) -> Option<Role> {
        self.word(top, "role", top.keys.role.as_ref())
    }

    fn suits_role(&mut self, raw: &Raw, role: Role, role_at: usize) {
        let word = role.name();
        for Use { name, roles, needed, because } in USES {
            let label = if *name == "source" { (*name).to_owned() } else { keys::header(name) };
            match place_of(raw, name) {
                Some(at) if !roles.contains(&role) => {
                    self.report.add(at, format!("{label}: not used by a {word}: {because}"));
                }
                None if *needed && roles.contains(&role) => {
                    let text = format!("role = \"{word}\": {label} is missing: {because}");
                    self.report.add(role_at, text);
                }
                _ => {}
            }
        }
        match role {
            Role::Server => self.takes_from_nobody(raw),
            Role::Relay | Role::Client => self.takes_from_somewhere(raw, role, role_at),
        }
    }

    fn tables(&mut self, raw: &Raw, role: Role) -> Option<Config> {
        let top = &raw.top;
        let source = top.keys.source.as_ref();
        let source = source.map(|given| self.text(top, "source", Some(given), value::source));
        let log = self.log(raw.log.as_ref().unwrap_or(&Table::absent("log")));
        let library = raw.library.as_ref().map(|t| self.library(t));
        let tv = raw.tv.as_ref().map(|t| self.tv(t));
        let max_clients = max_clients(raw);
        let channels = self.channels(&raw.channel, max_clients);
        let receive = raw.receive.as_ref().map(|t| self.receive(t));
        let mesh = raw.mesh.as_ref().map(|t| self.mesh(t, role));
        let jukebox = raw.jukebox.as_ref().map(|t| self.jukebox(t));
        let files = raw.files.as_ref().map(|t| self.files(t));
        let store = raw.store.as_ref().map(|t| self.store(t));
        let http = raw.http.as_ref().map(|t| self.http(t));
        let events = raw.events.as_ref().map(|t| self.events(t));
        let control = raw.control.as_ref().map(|t| self.control(t, role));
        Some(Config {
            role,
            source: all_good(source)?,
            log: log?,
            library: all_good(library)?,
            channels: channels?,
            tv: all_good(tv)?,
            receive: all_good(receive)?,
            mesh: all_good(mesh)?,
            jukebox: all_good(jukebox)?,
            files: all_good(files)?,
            store: all_good(store)?,
            http: all_good(http)?,
            events: all_good(events)?,
            control: all_good(control)?,
            origin: Origin {
                file: self.report.file().to_owned(),
                text: Arc::from(self.report.text()),
                movies: core::mem::take(&mut self.movies),
            },
        })
    }

    fn log(&mut self, t: &Table<RawLog>) -> Option<Log> {
        let level = self.word(t, "level", t.keys.level.as_ref());
        let target = self.word(t, "target", t.keys.target.as_ref());
        Some(Log { level: level?, target: target? })
    }

    fn library(&mut self, t: &Table<RawLibrary>) -> Option<Library> {
        let directory = self.path(t, "directory", t.keys.directory.as_ref());
        let block_duration = self.span(t, "block_duration", t.keys.block_duration.as_ref());
        let durations = self.word(t, "durations", t.keys.durations.as_ref());
        Some(Library {
            directory: directory?,
            block_duration: block_duration?,
            durations: durations?,
        })
    }

    fn tv(&mut self, t: &Table<RawTv>) -> Option<Tv> {
        let listen = self.listen(t, t.keys.listen.as_ref());
        let callback_port = self.number(t, "callback_port", t.keys.callback_port.as_ref());
        let callback_allow = self.networks(t, t.keys.callback_allow.as_ref());
        let max_clients = self.number(t, "max_clients", t.keys.max_clients.as_ref());
        let commands_max = self.number(t, "commands_max", t.keys.commands_max.as_ref());
        let join_pause = self.span(t, "join_pause", t.keys.join_pause.as_ref());
        Some(Tv {
            listen: listen?,
            callback_port: callback_port.and_then(|p| u16::try_from(p).ok())?,
            callback_allow: callback_allow?,
            max_clients: max_clients?,
            commands_max: commands_max?,
            join_pause: join_pause?,
        })
    }

    fn receive(&mut self, t: &Table<RawReceive>) -> Option<Receive> {
        let listen = self.listen(t, t.keys.listen.as_ref());
        let period = self.span(t, "period", t.keys.period.as_ref());
        Some(Receive { listen: listen?, period: period? })
    }

    fn store(&mut self, t: &Table<RawStore>) -> Option<Store> {
        let directory = self.path(t, "directory", t.keys.directory.as_ref());
        let keep_blocks = self.number(t, "keep_blocks", t.keys.keep_blocks.as_ref());
        Some(Store { directory: directory?, keep_blocks: keep_blocks? })
    }

    fn http(&mut self, t: &Table<RawHttp>) -> Option<Http> {
        let listen = self.listen(t, t.keys.listen.as_ref());
        let connections_max = self.number(t, "connections_max", t.keys.connections_max.as_ref());
        let per_address_max = self.number(t, "per_address_max", t.keys.per_address_max.as_ref());
        let lag_max = self.number(t, "lag_max", t.keys.lag_max.as_ref());
        let base = t.keys.segment_base_url.as_ref();
        let base = base.map(|given| self.text(t, "segment_base_url", Some(given), value::base));
        Some(Http {
            listen: listen?,
            connections_max: connections_max?,
            per_address_max: per_address_max?,
            lag_max: lag_max?,
            segment_base_url: all_good(base)?,
        })
    }

    fn control(&mut self, t: &Table<RawControl>, role: Role) -> Option<Control> {
        let default = || Some(Control::default_socket(role, &self.place.environment));
        let socket = match (t.keys.socket.as_ref(), t.refused.contains(&"socket")) {
            (None, false) => default(),
            (given, _) => self.path(t, "socket", given),
        }?;
        let long = socket.as_os_str().len();
        if long > limits::SOCKET_PATH_BYTES_MAX {
            let at = t.keys.socket.as_ref().map_or(t.at, |g| g.span().start);
            let most = limits::SOCKET_PATH_BYTES_MAX;
            let text =
                format!("[control] socket: expected a path of at most {most} bytes, because");
            self.report.add(
                at,
                format!("{text} the kernel takes no more; with its directory this has {long}"),
            );
        }
        Some(Control { socket })
    }
}

/// Where a table, or `source`, stands in the file.
fn place_of(raw: &Raw, name: &str) -> Option<usize> {
    match name {
        "source" => {
            let given = raw.top.keys.source.as_ref().map(|g| g.span().start);
            given.or(raw.top.refused.contains(&"source").then_some(0))
        }
        "library" => raw.library.as_ref().map(|t| t.at),
        "channel" => raw.channel.first().map(|t| t.at),
        "tv" => raw.tv.as_ref().map(|t| t.at),
        "receive" => raw.receive.as_ref().map(|t| t.at),
        "jukebox" => raw.jukebox.as_ref().map(|t| t.at),
        "files" => raw.files.as_ref().map(|t| t.at),
        "store" => raw.store.as_ref().map(|t| t.at),
        "events" => raw.events.as_ref().map(|t| t.at),
        _ => None,
    }
}

/// A table that is not there is good, one that is there must be.
#[expect(clippy::option_option, reason = "the outer one is whether it is there")]
fn all_good<T>(table: Option<Option<T>>) -> Option<Option<T>> {
    match table {
        Some(Some(good)) => Some(Some(good)),
        Some(None) => None,
        None => Some(None),
    }
}

/// Clients a channel where the channel says nothing.
fn max_clients(raw: &Raw) -> usize {
    let given = raw.tv.as_ref().and_then(|t| t.keys.max_clients.as_ref());
    let default = keys::named("tv", "max_clients").default.and_then(|d| d.parse().ok());
    given.and_then(|g| usize::try_from(*g.get_ref()).ok()).or(default).unwrap_or(1)
}

// Channels.
impl Check<'_, '_> {
    fn channels(
        &mut self,
        tables: &[Table<RawChannel>],
        max_clients: usize,
    ) -> Option<Vec<Channel>> {
        self.channels_are_numbered(tables);
        // No `collect` into an Option: that would stop at the first fault.
        let channels: Vec<_> = tables.iter().map(|t| self.channel(t, max_clients)).collect();
        let mut channels = channels.into_iter().collect::<Option<Vec<_>>>()?;
        channels.sort_by_key(|c| c.number);
        Some(channels)
    }

    fn channel(&mut self, t: &Table<RawChannel>, max_clients: usize) -> Option<Channel> {
        let number = self.number(t, "number", t.keys.number.as_ref());
        let name = self.name(t, "name", t.keys.name.as_ref());
        let playlist = self.playlist(t, number);
        let repeat = t.keys.repeat.as_ref().is_none_or(|g| *g.get_ref());
        let epoch = self.epoch(t, repeat);
        let filler = t.keys.filler.as_ref().map(|_| self.filler(t, number));
        let max_clients = match t.keys.max_clients {
            None => Some(max_clients),
            Some(_) => self.number(t, "max_clients", t.keys.max_clients.as_ref()),
        };
        Some(Channel {
            number: number?,
            name: name?,
            playlist: playlist?,
            repeat,
            epoch: epoch?,
            filler: all_good(filler)?,
            max_clients: max_clients?,
        })
    }

    /// Numbers are given once, and from 0 without holes. When one is no number at all, holes are
    /// not looked for: it may be what fills them.
    fn channels_are_numbered(&mut self, tables: &[Table<RawChannel>]) {
        let mut lines = BTreeMap::new();
        for given in tables.iter().filter_map(|t| t.keys.number.as_ref()) {
            let (number, at) = (*given.get_ref(), given.span().start);
            if let Some(first) = lines.insert(number, at) {
                lines.insert(number, first);
                let line = self.report.line(first);
                let text = format!("[[channel]] number = {number}: given already on line {line}");
                self.report.add(at, text);
            }
        }
        if tables.iter().all(|t| t.keys.number.is_some()) {
            self.numbers_have_no_hole(&lines);
        }
    }

    fn numbers_have_no_hole(&mut self, places: &BTreeMap<i64, usize>) {
        let behind_hole = (0..).zip(places).find(|(expected, (number, _))| expected != *number);
        if let Some((expected, (number, at))) = behind_hole {
            let text =
                format!("[[channel]] number = {number}: expected {expected}, because channels");
            self.report.add(*at, format!("{text} are numbered from 0 without holes"));
        }
    }

    fn playlist(&mut self, t: &Table<RawChannel>, number: Option<usize>) -> Option<Vec<String>> {
        let key = keys::named("channel", "playlist");
        let list = self.list(t, key, t.keys.playlist.as_ref(), limits::PLAYLIST_MAX)?;
        let movies: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(i, entry)| {
                self.movie_at(number, Some(i), entry);
                self.entry(key, entry, MOVIE_NAME, |name| {
                    value::name(name, limits::MOVIE_NAME_BYTES_MAX)
                })
            })
            .collect();
        movies.into_iter().collect()
    }

    fn filler(&mut self, t: &Table<RawChannel>, number: Option<usize>) -> Option<String> {
        if let Some(given) = &t.keys.filler {
            self.movie_at(number, None, given);
        }
        self.name(t, "filler", t.keys.filler.as_ref())
    }

    fn movie_at(&mut self, channel: Option<usize>, entry: Option<usize>, given: &Spanned<String>) {
        self.movies.extend(channel.map(|c| MovieAt { channel: c, entry, at: given.span().start }));
    }

    fn epoch(&mut self, t: &Table<RawChannel>, repeat: bool) -> Option<Wall> {
        let key = keys::named("channel", "epoch");
        let Some(given) = &t.keys.epoch else {
            let refused = t.refused.contains(&"epoch");
            if !repeat && !refused {
                let text = "[[channel]] epoch: missing; a playlist that airs once must say when";
                self.report.add(t.at, text.to_owned());
            }
            return key.default.filter(|_| repeat && !refused).and_then(|d| value::moment(d).ok());
        };
        let read = match given.get_ref() {
            RawEpoch::Datetime(moment) => value::wall(moment),
            RawEpoch::Text(text) => value::moment(text),
        };
        self.good(key, given, read)
    }
}

const MOVIE_NAME: &str = "the name of a movie";
const NETWORK: &str =
    "\"loopback\", \"private\", \"attached\" or a network such as \"192.0.2.0/24\"";

// Single values. Each takes the table it stands in, its name there, and what was given.
impl Check<'_, '_> {
    fn text<R, T>(
        &mut self,
        t: &Table<R>,
        name: &'static str,
        given: Given<'_, String>,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let key = keys::named(t.name, name);
        match given {
            Some(given) => self.good(key, given, read(given.get_ref())),
            None => self.default(t, key).and_then(|text| read(text).ok()),
        }
    }

    /// What a key is that was not given; reported when it had to be.
    fn default<R>(&mut self, t: &Table<R>, key: &'static Key) -> Option<&'static str> {
        if t.refused.contains(&key.name) {
            return None;
        }
        if key.default.is_none() {
            self.report.add(t.at, format!("{key}: missing; expected {}", key.kind));
        }
        key.default
    }

    /// The value, or a report of what is wrong with it.
    fn good<R, T>(&mut self, key: &Key, given: &Spanned<R>, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|why| self.report.refuse(key, given.span(), &why)).ok()
    }

    fn word<T: Words>(
        &mut self,
        t: &Table<impl Sized>,
        name: &'static str,
        given: Given<'_, String>,
    ) -> Option<T> {
        let known = || T::WORDS.iter().map(|(word, _)| *word);
        self.text(t, name, given, |text| {
            value::from_word(text).ok_or_else(|| did_you_mean(text, known()))
        })
    }

    fn number(
        &mut self,
        t: &Table<impl Sized>,
        name: &'static str,
        given: Given<'_, i64>,
    ) -> Option<usize> {
        let key = keys::named(t.name, name);
        let Some(given) = given else {
            return self.default(t, key).and_then(|d| d.parse().ok());
        };
        self.good(key, given, value::number(*given.get_ref(), key.kind))
    }

    fn span(
        &mut self,
        t: &Table<impl Sized>,
        name: &'static str,
        given: Given<'_, String>,
    ) -> Option<Duration> {
        let kind = keys::named(t.name, name).kind;
        self.text(t, name, given, |text| value::span(text, kind))
    }

    fn name(
        &mut self,
        t: &Table<impl Sized>,
        name: &'static str,
        given: Given<'_, String>,
    ) -> Option<String> {
        let Kind::Name(bytes_max) = keys::named(t.name, name).kind else { return None };
        self.text(t, name, given, |text| value::name(text, bytes_max))
    }

    fn path(
        &mut self,
        t: &Table<impl Sized>,
        name: &'static str,
        given: Given<'_, String>,
    ) -> Option<PathBuf> {
        let directory = self.place.directory.clone();
        self.text(t, name, given, |text| value::path(text, &directory))
    }

    fn listen(&mut self, t: &Table<impl Sized>, given: Given<'_, String>) -> Option<SocketAddr> {
        let address = self.text(t, "listen", given, value::listen)?;
        let at = given.map_or(t.at, |g| g.span().start);
        self.listeners.push((keys::named(t.name, "listen"), address, at));
        Some(address)
    }

    fn networks(&mut self, t: &Table<RawTv>, given: Given<'_, Texts>) -> Option<Vec<Allow>> {
        let key = keys::named("tv", "callback_allow");
        if given.is_none() {
            let words = self.default(t, key)?.split(' ');
            return words.map(|word| value::allow(word).ok()).collect();
        }
        let list = self.list(t, key, given, limits::CALLBACK_ALLOW_MAX)?;
        let read = list.iter().map(|e| self.entry(key, e, NETWORK, value::allow));
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// A list with something in it, but not too much.
    fn list<'g>(
        &mut self,
        t: &Table<impl Sized>,
        key: &'static Key,
        given: Given<'g, Texts>,
        most: usize,
    ) -> Option<&'g Texts> {
        let Some(given) = given else {
            self.default(t, key);
            return None;
        };
        let read = match given.get_ref().len() {
            0 => Err("; this is empty".to_owned()),
            n if n > most => Err(format!("; this has {n}")),
            _ => Ok(given.get_ref()),
        };
        self.good(key, given, read)
    }

    fn entry<T>(
        &mut self,
        key: &Key,
        given: &Spanned<String>,
        expected: &str,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let quoted = self.report.quoted(&given.span());
        let at = given.span().start;
        read(given.get_ref())
            .map_err(|why| {
                self.report.add(at, format!("{key}, entry {quoted}: expected {expected}{why}"));
            })
            .ok()
    }

    /// Two listeners on one address would fail at the second bind, with less to say.
    fn listeners_differ(&mut self) {
        self.listeners.sort_by_key(|(_, _, at)| *at);
        for (i, (key, address, at)) in self.listeners.iter().enumerate() {
            let earlier =
                self.listeners[..i].iter().find(|(_, other, _)| collide(*other, *address));
            if let Some((other, _, _)) = earlier {
                let text =
                    format!("{key} = \"{address}\": expected an address of its own, because");
                self.report.add(*at, format!("{text} {other} has this one"));
            }
        }
    }
}

/// Whether two listeners cannot stand side by side; port 0 is another port each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    let same_family = a.is_ipv4() == b.is_ipv4();
    let overlap = a.ip() == b.ip() || same_family && (any(a.ip()) || any(b.ip()));
    a.port() != 0 && a.port() == b.port() && overlap
}

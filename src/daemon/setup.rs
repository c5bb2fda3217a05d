//! From the flags to a running process: the file read and checked, the library scanned, sockets
//! opened, the node made. Everything here may fail, with a code and a reason; nothing after it may.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Level, Service};
use crate::base::text::escaped;
use crate::config::{Config, ConfigError, EventSource, Place as ConfigPlace, Source};
use crate::daemon::{BUFFER_BYTES, Daemon, Failure};
use crate::flags::{Options, exit};
use crate::io::clock::Clock;
use crate::io::descriptors;
use crate::io::files;
use crate::io::library::{self, LibraryError, Scan, Survey};
use crate::io::lines::Lines;
use crate::io::listener::Place;
use crate::io::log::Log;
use crate::io::notify::Notify;
use crate::io::reactor::{Reactor, SIGNALS};
use crate::io::signals::Signals;
use crate::io::songs::{self, Songs};
use crate::io::spooler::Spooler;
use crate::io::videos::{self, Videos};
use crate::media::song::Song;
use crate::media::{self, catalog::Catalog};
use crate::node::{Environment, Node, Teams};

mod outputs;

/// What is listened on: as configured, and as the system gave it.
pub(super) type Listening = Vec<(Service, Place, Place)>;

impl Failure {
    pub(super) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(exit::CONFIG, error.to_string())
    }
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        let code = match error {
            LibraryError::Denied { .. } => exit::NOPERM,
            _ => exit::NOINPUT,
        };
        Self::new(code, format!("[library] directory: {error}"))
    }
}

/// Reads and checks the configuration file.
pub(super) fn load(options: &Options) -> Result<Config, Failure> {
    let bytes = read(&options.config)?;
    let mut config = Config::parse_bytes(&bytes, &place(&options.config))?;
    options.override_log(&mut config);
    options.override_events(&mut config).map_err(|e| Failure::new(exit::USAGE, e.to_string()))?;
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    // One byte more than is allowed, so that too much is seen without reading all of it.
    read_upto(path, limits::CONFIG_BYTES_MAX + 1)
}

fn read_upto(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let refuse = |error: &io::Error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            _ => exit::NOINPUT,
        };
        Failure::new(code, format!("{}: cannot be read: {error}", shown(path)))
    };
    let file = files::open(path).map_err(|e| refuse(&e))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|e| refuse(&e))?;
    Ok(bytes)
}

fn place(file: &Path) -> ConfigPlace {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = absolute.parent().unwrap_or_else(|| Path::new("/")).to_owned();
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let environment = crate::config::Environment {
        runtime_directory: variable("RUNTIME_DIRECTORY"),
        xdg_runtime_dir: variable("XDG_RUNTIME_DIR"),
        uid: nix::unistd::geteuid().as_raw(),
    };
    ConfigPlace { file: file.to_owned(), directory, environment }
}

pub(super) fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

/// Reads the library, if the role has one, and looks up every movie that the channels name.
pub(super) fn scan(config: &Config) -> Result<Option<Scan>, Failure> {
    let Some(library) = &config.library else { return Ok(None) };
    let options =
        media::Options { block_duration: library.block_duration, durations: library.durations };
    let scan = library::scan(&library.directory, &options)?;
    config.check_movies(&known(config, &scan.catalog))?;
    Ok(Some(scan))
}

/// The names that a playlist may use: the catalog's, and the short forms that lead to them.
fn known<'a>(config: &'a Config, catalog: &'a Catalog) -> Vec<&'a str> {
    let named = config.channels.iter().flat_map(|c| c.playlist.iter().chain(&c.filler));
    let short = named.map(String::as_str).filter(|name| catalog.find(name).is_some());
    catalog.movies().iter().map(|m| &**m.name()).chain(short).collect()
}

/// `--check`: what was found, as text.
pub(super) fn check(options: &Options) -> Result<String, Failure> {
    let config = load(options)?;
    teams(&config)?;
    let mut text = String::new();
    if let Some(scan) = scan(&config)? {
        describe(&mut text, &config, &scan);
        outputs::describe(&mut text, &config, &scan);
        let findings = library::survey_all(&scan);
        for finding in scan.findings.iter().chain(&findings) {
            line(&mut text, &format!("library: {finding}"));
        }
    }
    if let Some(songs) = songs(&config)? {
        describe_songs(&mut text, &songs);
    }
    if let Some(found) = videos(&config)? {
        describe_videos(&mut text, &found);
    }
    line(&mut text, &format!("{}: the configuration is good", shown(&options.config)));
    Ok(text)
}

fn describe(text: &mut String, config: &Config, scan: &Scan) {
    for movie in scan.catalog.movies() {
        let (name, blocks) = (escaped(movie.name().as_bytes()), movie.blocks());
        let seconds = movie.total().as_secs_f64();
        line(text, &format!("movie {name}: {blocks} blocks, {seconds:.3} s"));
    }
    for channel in &config.channels {
        let (number, name) = (channel.number, escaped(channel.name.as_bytes()));
        let entries = channel.playlist.len();
        line(text, &format!("channel {number} {name}: {entries} in its playlist"));
    }
}

fn describe_songs(text: &mut String, found: &Songs) {
    for song in &found.songs {
        let (name, kbits) = (escaped(song.file.as_bytes()), song.bytes_per_second() * 8 / 1000);
        let lasts =
            song.lasts.map_or_else(|| "unknown".into(), |l| format!("{:.3} s", l.as_secs_f64()));
        line(text, &format!("song {name}: {} bytes, {lasts}, {kbits} kbit/s", song.bytes));
    }
    for finding in &found.findings {
        line(text, &format!("jukebox: {finding}"));
    }
}

fn describe_videos(text: &mut String, found: &Videos) {
    for (number, name) in found.names.iter().enumerate() {
        line(text, &format!("file {number} {}", escaped(name.as_bytes())));
    }
    for finding in &found.findings {
        line(text, &format!("files: {finding}"));
    }
}

fn line(text: &mut String, what: &str) {
    writeln!(text, "{what}").expect("a String takes every write");
}

/// The addresses that the names of `[mesh] roots` have now, and why some have none: another root
/// may do, and a name may come up later.
pub(super) fn roots(config: &Config) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (host, port) in config.mesh.iter().flat_map(|mesh| &mesh.roots) {
        match resolve("[mesh] roots", host, *port) {
            Ok(root) => known.push(root),
            Err(failure) => unknown.push(failure.text),
        }
    }
    (known, unknown)
}

/// Whether looking the roots up again may tell anything new.
pub(super) fn roots_have_names(config: &Config) -> bool {
    let mut roots = config.mesh.iter().flat_map(|mesh| &mesh.roots);
    config.source.is_none() && roots.any(|(host, _)| host.parse::<IpAddr>().is_err())
}

/// The address that `[mesh] advertise` has now.
fn advertised(config: &Config) -> Option<Result<SocketAddr, Failure>> {
    let (host, port) = config.mesh.as_ref()?.advertise.as_ref()?;
    Some(resolve("[mesh] advertise", host, *port))
}

/// The address that a name in the configuration has now.
fn resolve(key: &str, host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let refuse = |why: String| {
        let host = escaped(host.as_bytes());
        Failure::new(exit::NOHOST, format!("{key}: {host}: {why}; write an address or correct it"))
    };
    let found = (host, port).to_socket_addrs().map_err(|e| refuse(e.to_string()))?;
    let mut found: Vec<_> = found.collect();
    // The original server knows IPv4 only.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| refuse("has no address".into()))
}

/// Reads the folder of songs, if there is to be a jukebox.
pub(super) fn songs(config: &Config) -> Result<Option<Songs>, Failure> {
    let Some(jukebox) = &config.jukebox else { return Ok(None) };
    let refuse = |error: songs::SongsError| {
        let denied = matches!(error.why, nix::errno::Errno::EACCES | nix::errno::Errno::EPERM);
        let code = if denied { exit::NOPERM } else { exit::NOINPUT };
        Failure::new(code, format!("[jukebox] directory: {error}"))
    };
    songs::scan(&jukebox.directory, &jukebox.extensions).map(Some).map_err(refuse)
}

/// Reads the folder of files, if files are served.
pub(super) fn videos(config: &Config) -> Result<Option<Videos>, Failure> {
    let Some(files) = &config.files else { return Ok(None) };
    let refuse = |error: videos::VideosError| {
        let denied = matches!(error.why, nix::errno::Errno::EACCES | nix::errno::Errno::EPERM);
        let code = if denied { exit::NOPERM } else { exit::NOINPUT };
        Failure::new(code, format!("[files] directory: {error}"))
    };
    videos::scan(&files.directory).map(Some).map_err(refuse)
}

/// What a configuration wants listened on, in the order in which it is told.
pub(super) fn wanted(config: &Config) -> Vec<(Service, Place)> {
    let tv = config.tv.as_ref().map(|tv| (Service::Tv, Place::Tcp(tv.listen)));
    let receive = config.receive.as_ref().map(|r| (Service::TvReceive, Place::Tcp(r.listen)));
    let http = config.http.as_ref().map(|http| (Service::Http, Place::Tcp(http.listen)));
    let mesh = config.mesh.as_ref().map(|mesh| (Service::Mesh, Place::Tcp(mesh.listen)));
    let jukebox = config.jukebox.as_ref().map(|j| (Service::Jukebox, Place::Tcp(j.listen)));
    let control = config.control.as_ref();
    let control = control.map(|c| (Service::Control, Place::Unix(c.socket.clone())));
    let events = config.events.as_ref();
    let lines = events.and_then(|e| match &e.source {
        EventSource::Socket(path) => Some((Service::EventLines, Place::Unix(path.clone()))),
        EventSource::Game | EventSource::Lines(_) => None,
    });
    let events = events.map(|e| (Service::Events, Place::Udp(e.listen)));
    let files = config.files.as_ref().map(|f| (Service::Files, Place::Udp(f.listen)));
    [tv, receive, mesh, jukebox, files, http, events, lines, control]
        .into_iter()
        .flatten()
        .collect()
}

/// Reads the file of teams, if one is named.
pub(super) fn teams(config: &Config) -> Result<Option<Teams>, Failure> {
    let path = config.events.as_ref().and_then(|events| events.teams.as_deref());
    let Some(path) = path else { return Ok(None) };
    let refuse =
        |why: String| Failure::new(exit::CONFIG, format!("[events] teams {}: {why}", shown(path)));
    let bytes = read_upto(path, limits::TEAMS_BYTES_MAX + 1)?;
    if bytes.len() as u64 > limits::TEAMS_BYTES_MAX {
        return Err(refuse(format!("at most {} bytes are read", limits::TEAMS_BYTES_MAX)));
    }
    let text = String::from_utf8(bytes).map_err(|e| refuse(e.to_string()))?;
    Teams::parse(&text).map(Some).map_err(|e| refuse(e.to_string()))
}

/// Opens the source of lines, if it is a file or FIFO.
pub(super) fn lines(config: &Config) -> Result<Option<Lines>, Failure> {
    let Some(EventSource::Lines(path)) = config.events.as_ref().map(|events| &events.source) else {
        return Ok(None);
    };
    Lines::open(path).map(Some).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            _ => exit::NOINPUT,
        };
        let hint = "make it with mkfifo, or write socket:PATH for a Unix socket";
        Failure::new(code, format!("[events] source: lines:{}: {error}; {hint}", shown(path)))
    })
}

/// Opens one listener.
pub(super) fn listen(
    reactor: &mut Reactor,
    service: Service,
    place: &Place,
) -> Result<Place, Failure> {
    reactor.listen(service, place).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            _ => exit::UNAVAILABLE,
        };
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program is there: stop it or choose another",
            io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
            _ => "",
        };
        Failure::new(code, format!("{} cannot listen on {place}: {error}{hint}", service.name()))
    })
}

/// The spooler, and the names and sizes of what is in the store.
pub(super) type Store = (Spooler, Vec<(String, u64)>);

/// Opens the store.
pub(super) fn store(config: &Config) -> Result<Option<Store>, Failure> {
    let Some(store) = &config.store else { return Ok(None) };
    let (spooler, files) = Spooler::open(&store.directory).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            _ => exit::CANTCREAT,
        };
        let path = shown(&store.directory);
        Failure::new(code, format!("[store] directory {path}: {error}"))
    })?;
    Ok(Some((spooler, files.into_iter().map(|f| (f.name, f.bytes)).collect())))
}

/// The directory that block paths are below.
pub(super) fn library_directory(config: &Config) -> Result<Option<File>, Failure> {
    let Some(library) = &config.library else { return Ok(None) };
    let refuse =
        |e: io::Error| Failure::new(exit::NOINPUT, format!("{}: {e}", shown(&library.directory)));
    files::open(&library.directory).map(Some).map_err(refuse)
}

fn system(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(exit::OSERR, format!("{what}: {error}"))
}

impl Daemon {
    /// Everything up to the first turn of the loop.
    pub(super) fn start(options: &Options) -> Result<Self, Failure> {
        let config = load(options)?;
        let clock = Clock::new();
        let now = clock.read();
        let scan = scan(&config)?;
        let limit = descriptors::limit();
        let mut reactor = Reactor::new(limit.saturating_sub(limits::RESERVED_DESCRIPTORS))
            .map_err(system("epoll"))?;
        let mut signals = Signals::new().map_err(system("signals"))?;
        let (registry, interest) = (reactor.registry(), mio::Interest::READABLE);
        registry.register(&mut signals, SIGNALS, interest).map_err(system("signals"))?;
        let source = config.source.as_ref();
        let source = source.map(|s| resolve("source", &s.host, s.port)).transpose()?;
        let (roots, mut unknown) = roots(&config);
        let advertise = advertised(&config)
            .and_then(|found| found.map_err(|failure| unknown.push(failure.text)).ok());
        let (spooler, stored) = store(&config)?.unzip();
        let songs = songs(&config)?;
        let videos = videos(&config)?;
        let teams = teams(&config)?;
        reactor.set_lines(lines(&config)?).map_err(system("[events] source"))?;
        let listening = open_all(&mut reactor, &config)?;
        reactor.set_library(library_directory(&config)?);
        reactor.set_spooler(spooler);
        let log = Log::new(config.log.level, config.log.target, "vidstreamd", std::process::id());
        let attached = descriptors::attached();
        let stored = stored.unwrap_or_default();
        let mesh = mesh_address(&listening);
        let (songs, found) = in_use(&mut reactor, songs);
        let (files, amiss) = videos_in_use(&mut reactor, videos);
        let lines_live = reactor.is_live();
        let environment = Environment {
            attached,
            source,
            mesh,
            advertise,
            roots,
            stored,
            songs,
            files,
            teams,
            lines_live,
        };
        let empty = Catalog::default();
        let catalog = scan.as_ref().map_or(&empty, |scan| &scan.catalog);
        let seed = now.mono.0 ^ u64::from(std::process::id()).rotate_left(32);
        let node = Node::new(config.clone(), catalog, environment, now, seed);
        let mut daemon = Self {
            options: options.clone(),
            config,
            clock,
            now,
            log,
            notify: Notify::new(),
            signals,
            reactor,
            node,
            listening,
            unknown,
            survey: scan.as_ref().map(Survey::new),
            ping_at: None,
            buffer: vec![0; BUFFER_BYTES].into(),
            done: false,
            over_by: now.mono,
        };
        daemon.tell_songs(&found);
        daemon.tell_videos(&amiss);
        daemon.begin(scan.as_ref());
        Ok(daemon)
    }

    /// Tells that all is there, and lets the node begin.
    fn begin(&mut self, scan: Option<&Scan>) {
        if let Some(scan) = scan {
            self.tell(&scan.findings);
        }
        for text in self.unknown.clone() {
            self.say(Level::Warn, &text);
        }
        for (service, _, place) in self.listening.clone() {
            self.say(Level::Info, &format!("listening: {} on {place}", service.name()));
        }
        self.node.start(self.now);
        self.settle();
        let text = self.summary(scan);
        self.say(Level::Info, &format!("ready: {text}"));
        self.log.started();
        self.notify.ready();
        self.notify.status(&text);
        self.ping();
    }
}

impl Daemon {
    /// What this process is, in a line.
    fn summary(&self, scan: Option<&Scan>) -> String {
        let (version, role) = (env!("CARGO_PKG_VERSION"), self.config.role.name());
        let (source, mesh) = (self.config.source.as_ref(), self.config.mesh.as_ref());
        let root = mesh.and_then(|mesh| mesh.roots.first().map(|root| (mesh.channel, root)));
        let what = if let Some(Source { host, port, channel }) = source {
            format!("channel {channel} of tv://{}:{port}", escaped(host.as_bytes()))
        } else if let Some((channel, (host, port))) = root {
            format!("channel {channel} of mesh://{}:{port}", escaped(host.as_bytes()))
        } else {
            let movies = scan.map_or(0, |scan| scan.catalog.movies().len());
            let channels = self.config.channels.len();
            format!("{} of {}", counted(channels, "channel"), counted(movies, "movie"))
        };
        format!("vidstreamd {version}, {role}, {what}")
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Puts a folder of songs to use; its songs, and what is amiss with it.
pub(super) fn in_use(reactor: &mut Reactor, songs: Option<Songs>) -> (Vec<Song>, Vec<String>) {
    let Some(Songs { songs, findings, directory }) = songs else {
        reactor.set_songs(None);
        return (Vec::new(), Vec::new());
    };
    reactor.set_songs(Some(directory));
    (songs, findings)
}

/// Puts a folder of files to use; their names, and what is amiss with it.
pub(super) fn videos_in_use(
    reactor: &mut Reactor,
    videos: Option<Videos>,
) -> (Vec<Rc<str>>, Vec<String>) {
    let Some(Videos { names, findings, directory }) = videos else {
        reactor.set_files(None);
        return (Vec::new(), Vec::new());
    };
    reactor.set_files(Some(directory));
    (names, findings)
}

/// Where the mesh port really is.
pub(super) fn mesh_address(listening: &Listening) -> Option<SocketAddr> {
    listening.iter().find_map(|(service, _, got)| match got {
        Place::Tcp(addr) if *service == Service::Mesh => Some(*addr),
        _ => None,
    })
}

fn open_all(reactor: &mut Reactor, config: &Config) -> Result<Listening, Failure> {
    wanted(config)
        .into_iter()
        .map(|(service, place)| {
            let got = listen(reactor, service, &place)?;
            Ok((service, place, got))
        })
        .collect()
}

//! A mesh of real daemons on loopback: a server as root, relays, clients with stores of their own,
//! and what can be seen of it from outside: stored blocks, log lines, sockets.

use std::cell::Cell;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::eventually;
use super::lab::{Lab, Movie, address};
use super::namespaces::Host;
use super::setup::Server;

/// How long before its air time a block enters the mesh. What a repair takes on an idle machine is
/// for benches to say; here every block has time enough even where the nodes wait for a processor,
/// so that a block that is missed is the nodes' fault.
pub(crate) const LEAD: Duration = Duration::from_secs(10);
/// The mesh port of whoever has an address of its own.
const PORT: u16 = 6061;
/// More blocks than any test shows, so that a stored block tells its number.
const BLOCKS: usize = 150;
/// A block that is so few after another is later, not from the movie's showing before.
const LATER: usize = BLOCKS / 3;
/// A node that waits for a processor for more of the time than this may be late with an answer.
const STARVED: f64 = 0.15;
/// How a block that a member did not have in time is told.
const MISSED: &str = "was not complete in time";
/// Many processes start on a busy machine.
const AT_LAST: Duration = Duration::from_secs(40);

/// How many nodes, with how many slots, and what is shown.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) relays: usize,
    pub(crate) clients: usize,
    pub(crate) root_slots: usize,
    pub(crate) relay_slots: usize,
    pub(crate) client_slots: usize,
    /// Of each block.
    pub(crate) lasts: Duration,
    pub(crate) bytes: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            relays: 2,
            clients: 5,
            root_slots: 3,
            relay_slots: 4,
            client_slots: 2,
            lasts: Duration::from_secs(1),
            bytes: 80_000,
        }
    }
}

/// A running mesh. The daemons go before their directory.
pub(crate) struct Mesh {
    pub(crate) server: Daemon,
    pub(crate) relays: Vec<Member>,
    pub(crate) clients: Vec<Member>,
    pub(crate) movie: Movie,
    /// The server's mesh port.
    pub(crate) root: SocketAddr,
    layout: Layout,
    file: PathBuf,
    before: Vec<String>,
    pub(crate) lab: Lab,
}

impl Mesh {
    /// The server alone.
    pub(crate) fn root(layout: Layout) -> Self {
        // An address of its own: a server that is started again has the same port.
        Self::root_at(layout, SocketAddr::from((address(), PORT)), Vec::new())
    }

    /// The server alone, on a host of its own.
    pub(crate) fn root_on(layout: Layout, host: &Host) -> Self {
        Self::root_at(layout, on(host), host.namespace.before())
    }

    fn root_at(layout: Layout, root: SocketAddr, before: Vec<String>) -> Self {
        let lab = Lab::new();
        let movie =
            Movie::new("clip", BLOCKS, layout.bytes).lasting(layout.lasts).write(&lab.movies());
        let text = format!(
            "{}[mesh]\nlisten = \"{root}\"\nslots = {}\nstripes = 4\nlead = \"{}ms\"\n",
            Server::new(&lab, &["clip"]).text(),
            layout.root_slots,
            LEAD.as_millis(),
        );
        let file = lab.write("root.toml", text);
        let server = start(&before, &file);
        let (relays, clients) = (Vec::new(), Vec::new());
        Self { server, relays, clients, movie, root, layout, file, before, lab }
    }

    /// The whole of it; returns when every member has stored some blocks.
    pub(crate) fn start(layout: Layout) -> Self {
        let mut mesh = Self::root(layout);
        mesh.add_members();
        mesh.settle();
        mesh
    }

    /// Starts the relays, then the clients: those that ask a relay without a place go to another.
    pub(crate) fn add_members(&mut self) {
        for _ in 0..self.layout.relays {
            self.add_relay((ANYWHERE, Vec::new()));
        }
        for relay in &self.relays {
            let placed = || relay.daemon.texts(|text| text.ends_with("gave us a place")).pop();
            eventually(AT_LAST, "a relay with a place", placed);
        }
        for _ in 0..self.layout.clients {
            self.add_client((ANYWHERE, Vec::new()));
        }
    }

    pub(crate) fn add_relay_on(&mut self, host: &Host) {
        self.add_relay((on(host), host.namespace.before()));
    }

    pub(crate) fn add_client_on(&mut self, host: &Host) {
        self.add_client((on(host), host.namespace.before()));
    }

    fn add_relay(&mut self, place: (SocketAddr, Vec<String>)) {
        let name = format!("relay{}", self.relays.len());
        let kind = Kind { role: "relay", name, slots: self.layout.relay_slots };
        self.relays.push(Member::start(&self.lab, &[self.root], &kind, place));
    }

    fn add_client(&mut self, place: (SocketAddr, Vec<String>)) {
        let number = self.clients.len();
        let name = format!("client{number}");
        let kind = Kind { role: "client", name, slots: self.layout.client_slots };
        self.clients.push(Member::start(&self.lab, &self.roots_of(number), &kind, place));
    }

    /// The relay whose turn it is, the other relays, the server.
    fn roots_of(&self, number: usize) -> Vec<SocketAddr> {
        let mut roots: Vec<_> = self.relays.iter().map(|relay| relay.port).collect();
        if !roots.is_empty() {
            let first = number % roots.len();
            roots.rotate_left(first);
        }
        roots.push(self.root);
        roots
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.relays.iter().chain(&self.clients)
    }

    /// Waits until every member has what was in the mesh when the last of them had joined: what it
    /// misses after that it does not miss because it came late.
    pub(crate) fn settle(&self) {
        for member in self.members() {
            eventually(AT_LAST, &format!("a place for {}", member.name), || {
                let places = member.daemon.texts(|text| text.ends_with("gave us a place"));
                (!places.is_empty()).then_some(())
            });
        }
        let newest = newest(&self.server, "is ready");
        for member in self.members() {
            eventually(AT_LAST, &format!("block {newest} at {}", member.name), || {
                (newest_of(&member.daemon, "is complete") >= Some(newest)).then_some(())
            });
            let (mark, waited) = (member.daemon.mark(), member.daemon.waited());
            let at = Some(Instant::now());
            member.settled.set(Settled { mark, seq: newest, at, waited });
        }
    }

    /// Waits until each client has stored the blocks that are in the mesh now and some that enter
    /// it after, and looks whether all are there. Whether the machine gave the nodes the time to be
    /// judged by how soon they answer, too.
    pub(crate) fn assert_nothing_missed(&self) -> bool {
        let time = LEAD + Duration::from_secs(2);
        let blocks = time.as_millis() / self.layout.lasts.as_millis();
        let until = self.movie.seq_on_air() + blocks as u64;
        let stored = self.clients.iter().filter_map(|c| c.gap(&self.movie, until));
        let missed = self.members().filter_map(Member::missed);
        let faults: Vec<String> = stored.chain(missed).collect();
        let starved = self.members().map(Member::starved).fold(0.0, f64::max);
        assert!(faults.is_empty(), "{faults:#?} (waited for a processor: {starved:.2})");
        if starved > STARVED {
            println!("a node waited for a processor {:.0} % of the time", starved * 100.0);
        }
        starved <= STARVED
    }

    /// The relay or client that sends most to others, taken out of the mesh.
    pub(crate) fn take_innermost(&mut self) -> Member {
        let sent: Vec<u64> = self.members().map(Member::sent).collect();
        let most = sent.iter().max().copied().unwrap_or_default();
        assert!(most > 0, "nobody sends anything");
        let at = sent.iter().position(|bytes| *bytes == most).expect("the most of them");
        let relays = self.relays.len();
        if at < relays { self.relays.remove(at) } else { self.clients.remove(at - relays) }
    }

    /// Starts the server again at its old place.
    pub(crate) fn restart_server(&mut self) {
        self.server = start(&self.before, &self.file);
    }
}

/// What a member is, as its configuration has it.
struct Kind {
    role: &'static str,
    name: String,
    slots: usize,
}

/// A mesh port on loopback that nobody else has.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The mesh port of a host.
fn on(host: &Host) -> SocketAddr {
    SocketAddr::new(host.address.parse().expect("an address"), PORT)
}

/// Starts a daemon behind these words.
fn start(before: &[String], file: &Path) -> Daemon {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    Daemon::start_by(&before, file)
}

/// What is known of a member at [`Mesh::settle`].
#[derive(Clone, Copy, Default)]
struct Settled {
    /// Lines of its log.
    mark: usize,
    /// The block from which on it has all.
    seq: u64,
    at: Option<Instant>,
    /// How long it had been ready to run while others ran.
    waited: Duration,
}

/// A relay, or a client with a store.
pub(crate) struct Member {
    pub(crate) daemon: Daemon,
    pub(crate) name: String,
    /// Its mesh port.
    pub(crate) port: SocketAddr,
    store: PathBuf,
    /// What a command that is to see its sockets runs behind.
    before: Vec<String>,
    settled: Cell<Settled>,
}

impl Member {
    fn start(
        lab: &Lab,
        roots: &[SocketAddr],
        kind: &Kind,
        (listen, before): (SocketAddr, Vec<String>),
    ) -> Self {
        let text = member_text(lab, listen, roots, kind);
        let Kind { name, .. } = kind;
        let daemon = start(&before, &lab.write(&format!("{name}.toml"), text));
        let port = daemon.listens("mesh");
        let store = lab.path(&format!("{name}.store"));
        Self { daemon, name: name.clone(), port, store, before, settled: Cell::default() }
    }

    /// The blocks stored so far, as numbers in the movie.
    pub(crate) fn stored(&self, movie: &Movie) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(&self.store) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "mkv"));
        names.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
        names.sort();
        names.iter().map(|path| movie.index_of(&fs::read(path).unwrap())).collect()
    }

    /// What it says that it missed.
    fn missed(&self) -> Option<String> {
        let missed = self.daemon.texts_after(self.settled.get().mark, |t| t.contains(MISSED));
        (!missed.is_empty()).then(|| format!("{}: {missed:?}", self.name))
    }

    /// What is missing in its store.
    fn gap(&self, movie: &Movie, until: u64) -> Option<String> {
        let stored = self.wait_stored(movie, until);
        let first = movie.index_at(self.settled.get().seq);
        let from = stored.iter().position(|index| *index == first);
        let Some(from) = from else {
            return Some(format!("{}: no {first} in {stored:?}", self.name));
        };
        let stored = &stored[from..];
        let follows = stored.windows(2).all(|w| movie.after(w[0]) == w[1]);
        (!follows).then(|| format!("{}: a block is missing in {stored:?}", self.name))
    }

    /// Which part of the time since [`Mesh::settle`] it was ready to run and others ran.
    fn starved(&self) -> f64 {
        let Settled { at, waited, .. } = self.settled.get();
        let waited = self.daemon.waited().saturating_sub(waited);
        at.map_or(0.0, |at| waited.as_secs_f64() / at.elapsed().as_secs_f64())
    }

    /// Waits until it has stored a block of this number or a later one; what it has stored by then.
    pub(crate) fn wait_stored(&self, movie: &Movie, seq: u64) -> Vec<usize> {
        let late = |index: &usize| {
            let after = movie.blocks.len() + index - movie.index_at(seq);
            after % movie.blocks.len() < LATER
        };
        // The store is not read again and again while nothing can be there.
        let aired = || (movie.seq_on_air() > seq).then_some(());
        eventually(AT_LAST, &format!("the end of block {seq}"), aired);
        eventually(AT_LAST, &format!("block {seq} in {}", self.store.display()), || {
            Some(self.stored(movie)).filter(|stored| stored.iter().any(late))
        })
    }

    /// Bytes that it has sent to those who dialled it and are still there, as the kernel counts
    /// them.
    pub(crate) fn sent(&self) -> u64 {
        let filter = format!("src {}", self.port);
        let ss = ["ss", "-tnHi", "state", "established", &filter];
        let words: Vec<&str> = self.before.iter().map(String::as_str).chain(ss).collect();
        let output = Command::new(words[0]).args(&words[1..]).output().expect("ss runs");
        let text = String::from_utf8(output.stdout).expect("ss writes text");
        let counts = text.split_whitespace().filter_map(|word| word.strip_prefix("bytes_acked:"));
        counts.map(|bytes| bytes.parse::<u64>().expect("a number")).sum()
    }
}

/// The newest block of which a log says something.
fn newest_of(daemon: &Daemon, what: &str) -> Option<u64> {
    let lines = daemon.texts(|text| text.contains("block ") && text.contains(what));
    let number = |line: &String| line.split_once("block ")?.1.split(' ').next()?.parse().ok();
    lines.iter().rev().find_map(number)
}

fn newest(daemon: &Daemon, what: &str) -> u64 {
    eventually(AT_LAST, what, || newest_of(daemon, what))
}

fn member_text(lab: &Lab, listen: SocketAddr, roots: &[SocketAddr], kind: &Kind) -> String {
    let Kind { role, name, slots } = kind;
    let roots: Vec<_> = roots.iter().map(ToString::to_string).collect();
    let port = lab.callback_port;
    let own = match *role {
        "relay" => format!("[tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = {port}\n"),
        _ => format!("[store]\ndirectory = \"{name}.store\"\nkeep_blocks = 0\n"),
    };
    format!(
        "role = \"{role}\"\n{own}\
         [mesh]\nlisten = \"{listen}\"\nslots = {slots}\nroots = {roots:?}\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"{name}.sock\"\n"
    )
}

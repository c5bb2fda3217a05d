//! A mesh of real daemons on loopback: a server as root, relays, clients with stores of their own,
//! and what can be seen of it from outside: stored blocks, log lines, sockets.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::daemon::Daemon;
use super::eventually;
use super::lab::{Lab, Movie, address};
use super::setup::Server;

/// How long before its air time a block enters the mesh.
pub(crate) const LEAD: Duration = Duration::from_secs(6);
/// More blocks than any test shows, so that a stored block tells its number.
const BLOCKS: usize = 150;
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
            lasts: Duration::from_millis(500),
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
    pub(crate) lab: Lab,
}

impl Mesh {
    /// The server alone.
    pub(crate) fn root(layout: Layout) -> Self {
        let lab = Lab::new();
        let movie =
            Movie::new("clip", BLOCKS, layout.bytes).lasting(layout.lasts).write(&lab.movies());
        // An address of its own: a server that is started again has the same port.
        let root = SocketAddr::from((address(), 6061));
        let text = format!(
            "{}[mesh]\nlisten = \"{root}\"\nslots = {}\nstripes = 4\nlead = \"{}ms\"\n",
            Server::new(&lab, &["clip"]).text(),
            layout.root_slots,
            LEAD.as_millis(),
        );
        let file = lab.write("root.toml", text);
        let server = Daemon::start(&file);
        let (relays, clients) = (Vec::new(), Vec::new());
        Self { server, relays, clients, movie, root, layout, file, lab }
    }

    /// The whole of it; returns when every member has stored some blocks.
    pub(crate) fn start(layout: Layout) -> Self {
        let mut mesh = Self::root(layout);
        mesh.add_members();
        mesh.settle();
        mesh
    }

    /// Starts the relays, then the clients.
    pub(crate) fn add_members(&mut self) {
        for number in 0..self.layout.relays {
            let roots = [self.root];
            let member = Member::start(&self.lab, &roots, &Kind::relay(number, self.layout));
            self.relays.push(member);
        }
        for number in 0..self.layout.clients {
            let roots = self.roots_of(number);
            let member = Member::start(&self.lab, &roots, &Kind::client(number, self.layout));
            self.clients.push(member);
        }
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
            member.daemon.wait_after(0, "a place", |text| text.ends_with("gave us a place"));
        }
        let newest = newest(&self.server, "is ready");
        for member in self.members() {
            eventually(AT_LAST, &format!("block {newest} at {}", member.name), || {
                (newest_of(&member.daemon, "is complete") >= Some(newest)).then_some(())
            });
            member.settled.set((member.daemon.mark(), newest));
        }
    }

    /// Waits until each client has stored the blocks that are in the mesh now and some that enter
    /// it after, and looks whether all are there.
    pub(crate) fn assert_nothing_missed(&self) {
        let time = LEAD + Duration::from_secs(2);
        let blocks = time.as_millis() / self.layout.lasts.as_millis();
        let until = self.movie.seq_on_air() + blocks as u64;
        for client in &self.clients {
            client.assert_stored(&self.movie, until);
        }
        for member in self.members() {
            member.assert_nothing_missed();
        }
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
        self.server = Daemon::start(&self.file);
    }
}

/// What a member is, as its configuration has it.
struct Kind {
    role: &'static str,
    name: String,
    slots: usize,
}

impl Kind {
    fn relay(number: usize, layout: Layout) -> Self {
        Self { role: "relay", name: format!("relay{number}"), slots: layout.relay_slots }
    }

    fn client(number: usize, layout: Layout) -> Self {
        Self { role: "client", name: format!("client{number}"), slots: layout.client_slots }
    }
}

/// A relay, or a client with a store.
pub(crate) struct Member {
    pub(crate) daemon: Daemon,
    pub(crate) name: String,
    /// Its mesh port.
    pub(crate) port: SocketAddr,
    store: PathBuf,
    /// Lines of its log, and the block from which on it has all, at [`Mesh::settle`].
    settled: Cell<(usize, u64)>,
}

impl Member {
    fn start(lab: &Lab, roots: &[SocketAddr], kind: &Kind) -> Self {
        let text = member_text(lab, ("127.0.0.1:0", "127.0.0.1:0"), roots, kind);
        let Kind { name, .. } = kind;
        let daemon = Daemon::start(&lab.write(&format!("{name}.toml"), text));
        let port = daemon.listens("mesh");
        let store = lab.path(&format!("{name}.store"));
        Self { daemon, name: name.clone(), port, store, settled: Cell::default() }
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

    fn assert_nothing_missed(&self) {
        let missed = self.daemon.texts_after(self.settled.get().0, |text| text.contains(MISSED));
        assert!(missed.is_empty(), "{}: {missed:?}", self.name);
    }

    fn assert_stored(&self, movie: &Movie, until: u64) {
        let stored = self.wait_stored(movie, until);
        let first = movie.index_at(self.settled.get().1);
        let from = stored.iter().position(|index| *index == first);
        let from = from.unwrap_or_else(|| panic!("{}: no {first} in {stored:?}", self.name));
        let follows = stored[from..].windows(2).all(|w| movie.after(w[0]) == w[1]);
        assert!(follows, "{}: a block is missing in {:?}", self.name, &stored[from..]);
    }

    /// Waits until it has stored a block of this number; what it has stored by then.
    pub(crate) fn wait_stored(&self, movie: &Movie, seq: u64) -> Vec<usize> {
        let index = movie.index_at(seq);
        eventually(AT_LAST, &format!("block {seq} ({index}) in {}", self.store.display()), || {
            Some(self.stored(movie)).filter(|stored| stored.contains(&index))
        })
    }

    /// Bytes that it has sent to those who dialled it and are still there.
    pub(crate) fn sent(&self) -> u64 {
        sent_from(self.port)
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

fn member_text(lab: &Lab, (mesh, http): (&str, &str), roots: &[SocketAddr], kind: &Kind) -> String {
    let Kind { role, name, slots } = kind;
    let roots: Vec<_> = roots.iter().map(ToString::to_string).collect();
    let port = lab.callback_port;
    let own = match *role {
        "relay" => format!("[tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = {port}\n"),
        _ => format!("[store]\ndirectory = \"{name}.store\"\nkeep_blocks = 0\n"),
    };
    format!(
        "role = \"{role}\"\n{own}[mesh]\nlisten = \"{mesh}\"\nslots = {slots}\nroots = {roots:?}\n\
         [http]\nlisten = \"{http}\"\n[control]\nsocket = \"{name}.sock\"\n"
    )
}

/// Bytes that went out over the connections that others made to this port, as the kernel counts
/// them.
fn sent_from(port: SocketAddr) -> u64 {
    let filter = format!("src {port}");
    let output = Command::new("ss").args(["-tnHi", "state", "established", &filter]).output();
    let text = String::from_utf8(output.expect("ss runs").stdout).expect("ss writes text");
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix("bytes_acked:"));
    words.map(|bytes| bytes.parse::<u64>().expect("a number")).sum()
}

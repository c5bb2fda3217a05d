//! A mesh of real nodes in which one with children is killed: who takes from whom, when each of its
//! children receives again, and who missed a block. On loopback, or each node in a network
//! namespace of its own. What a node says of itself comes from its control socket.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Outcome;
use super::daemon::{Daemon, configuration};
use super::films::Film;
use super::namespaces::{Host, Place};

/// How long before its air time a block enters the mesh.
const LEAD: Duration = Duration::from_secs(6);
const BLOCK_EVERY: Duration = Duration::from_millis(100);
const FILM: Film = Film { blocks: 256, bytes: 40 << 10, lasts: BLOCK_EVERY };
const PORT: u16 = 6061;
/// Fewer bytes than this are no stripe.
const SOME_BYTES: u64 = 1_000;
/// How often the kernel's counts are read.
const GLANCE: Duration = Duration::from_micros(500);
/// Who has heard nothing by then never will.
const NEVER: Duration = Duration::from_secs(5);
/// What happens by itself in a mesh takes no longer.
const SETTLED: Duration = Duration::from_secs(60);

/// How many of what, and where.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) root_slots: usize,
    pub(crate) relays: usize,
    pub(crate) relay_slots: usize,
    pub(crate) clients: usize,
    pub(crate) client_slots: usize,
    /// A relay is killed, else a client.
    pub(crate) kill_relays: bool,
    /// Each node has a network namespace of its own.
    pub(crate) hosts: bool,
    pub(crate) kills: usize,
}

/// What was seen.
pub(crate) struct Figures {
    /// Milliseconds until stripe bytes came again, one for each child of a killed parent.
    pub(crate) again: Vec<f64>,
    /// Blocks that the nodes say they missed, the killed ones among them.
    pub(crate) missed: u64,
    /// Blocks that those had which were there at the end.
    pub(crate) blocks: u64,
}

/// A node with a place that outlives it: the next of its name has the same address and port.
struct Node {
    daemon: Daemon,
    name: String,
    directory: PathBuf,
    relay: bool,
    id: String,
    /// Blocks that it had missed when it had all that it began with.
    missed: u64,
}

/// Where nodes are put.
struct Ground {
    directory: PathBuf,
    place: Option<Place>,
    hosts: BTreeMap<String, Host>,
}

/// Starts the nodes and kills one after another.
pub(crate) fn run(directory: &Path, layout: Layout) -> Outcome<Figures> {
    let mut mesh = Mesh::start(directory, layout)?;
    let mut figures = Figures { again: Vec::new(), missed: 0, blocks: 0 };
    for _ in 0..layout.kills {
        mesh.fill()?;
        let parents = mesh.settle()?;
        let (again, missed) = mesh.kill_one(&parents)?;
        figures.again.extend(again);
        figures.missed += missed;
    }
    // A block that is missing is missed at its air time.
    thread::sleep(LEAD + BLOCK_EVERY * 10);
    for node in &mesh.nodes {
        figures.missed += node.figure("blocks_missed")? - node.missed;
        figures.blocks += node.figure("blocks")?;
    }
    Ok(figures)
}

struct Mesh {
    layout: Layout,
    nodes: Vec<Node>,
    ground: Ground,
    roots: Vec<SocketAddr>,
    _server: Daemon,
}

impl Mesh {
    fn start(directory: &Path, layout: Layout) -> Outcome<Self> {
        let library = directory.join("movies");
        FILM.make(&library, "load")?;
        let place = layout.hosts.then(|| Place::new(1));
        let hosts = BTreeMap::new();
        let mut ground = Ground { directory: directory.to_owned(), place, hosts };
        let root = ground.address("server", 1);
        let lead = LEAD.as_secs();
        let text = configuration(&library, &["load"], 9091)
            + &format!(
                "[mesh]\nlisten = \"{root}\"\nslots = {}\nstripes = 1\nlead = \"{lead}s\"\n",
                layout.root_slots
            );
        let server = Daemon::start_by(&ground.before("server"), directory, &text)?;
        let mut roots: Vec<SocketAddr> =
            (0..layout.relays).map(|n| ground.address(&format!("relay{n}"), 2 + n)).collect();
        roots.push(root);
        Ok(Self { layout, nodes: Vec::new(), ground, roots, _server: server })
    }

    /// Starts whoever is missing: relays first.
    fn fill(&mut self) -> Outcome<()> {
        let relays = (0..self.layout.relays).map(|n| (format!("relay{n}"), true));
        let clients = (0..self.layout.clients).map(|n| (format!("client{n}"), false));
        for (at, (name, relay)) in relays.chain(clients).enumerate() {
            if self.nodes.iter().all(|node| node.name != name) {
                let node = self.start_node((name, relay), at)?;
                self.nodes.push(node);
            }
        }
        Ok(())
    }

    fn start_node(&mut self, (name, relay): (String, bool), at: usize) -> Outcome<Node> {
        let address = self.ground.address(&name, 2 + at);
        let directory = self.ground.directory.join(&name);
        fs::create_dir_all(&directory)?;
        let text = self.text(relay, address);
        let daemon = Daemon::start_by(&self.ground.before(&name), &directory, &text)?;
        Ok(Node { daemon, name, directory, relay, id: String::new(), missed: 0 })
    }

    fn text(&self, relay: bool, address: SocketAddr) -> String {
        let root = self.roots.last().map(ToString::to_string);
        let (role, slots, roots) = if relay {
            ("relay", self.layout.relay_slots, root.into_iter().collect())
        } else {
            let roots: Vec<String> = self.roots.iter().map(ToString::to_string).collect();
            ("client", self.layout.client_slots, roots)
        };
        let tv = "[tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = 9091\n";
        let own = if relay { tv } else { "" };
        format!(
            "role = \"{role}\"\n{own}\
             [mesh]\nlisten = \"{address}\"\nslots = {slots}\nroots = {roots:?}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"c.sock\"\n"
        )
    }

    /// Waits until everybody takes from a parent, has what its newest root had when it came, and
    /// nobody moved for a while; who takes from whom.
    fn settle(&mut self) -> Outcome<Vec<Option<usize>>> {
        // Who is younger than that is given no children, and a repair is over by then.
        thread::sleep(Duration::from_secs(3));
        let deadline = Instant::now() + SETTLED;
        let mut last = Vec::new();
        loop {
            let parents = self.parents()?;
            // Members come back to a relay only when it has been there for a while.
            let relay = |at: usize| self.nodes.get(at).is_some_and(|node| node.relay);
            let fed = !self.layout.kill_relays || parents.iter().flatten().any(|at| relay(*at));
            let all = fed && parents.iter().all(Option::is_some);
            if all && parents == last {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("no tree within {SETTLED:?}: {parents:?}").into());
            }
            last = if all { parents } else { Vec::new() };
            thread::sleep(BLOCK_EVERY * 3);
        }
        Ok(last.into_iter().map(|parent| parent.filter(|at| *at < self.nodes.len())).collect())
    }

    /// The one parent of each node, as it says itself: the server is one past the last of them.
    fn parents(&mut self) -> Outcome<Vec<Option<usize>>> {
        for node in self.nodes.iter_mut().filter(|node| node.id.is_empty()) {
            node.id = node.word("/mesh/0/node")?;
        }
        let parent = |node: &Node| -> Outcome<Option<usize>> {
            let rows = node.ask("connections --json")?;
            let rows = rows.as_array().ok_or("no rows")?.iter();
            let takes = rows.filter(|row| row["service"] == "mesh" && row["direction"] == "from");
            let ids: Vec<_> = takes.filter_map(|row| row["node"].as_str()).collect();
            let [id] = ids[..] else { return Ok(None) };
            let at = self.nodes.iter().position(|other| other.id == id);
            Ok(Some(at.unwrap_or(self.nodes.len())))
        };
        self.nodes.iter().map(parent).collect()
    }

    /// Kills the one with the most children between two blocks; the milliseconds of each child,
    /// and the blocks that the killed one had missed.
    fn kill_one(&mut self, parents: &[Option<usize>]) -> Outcome<(Vec<f64>, u64)> {
        let children = |parent: usize| -> Vec<usize> {
            (0..self.nodes.len()).filter(|child| parents[*child] == Some(parent)).collect()
        };
        let kind =
            (0..self.nodes.len()).filter(|at| self.nodes[*at].relay == self.layout.kill_relays);
        let parent = kind.max_by_key(|at| children(*at).len()).ok_or("no nodes")?;
        let children = children(parent);
        if children.is_empty() {
            return Err(
                format!("nobody takes from any of those that are killed: {parents:?}").into()
            );
        }
        let missed = self.nodes[parent].figure("blocks_missed")?;
        let pids: Vec<u32> = children.iter().map(|child| self.nodes[*child].daemon.pid()).collect();
        quiet(&pids)?;
        let counts = pids.iter().map(|pid| read(*pid)).collect::<Outcome<Vec<u64>>>()?;
        let killed = Instant::now();
        drop(self.nodes.remove(parent));
        let mut again = vec![None; pids.len()];
        while again.iter().any(Option::is_none) && killed.elapsed() < NEVER {
            for (at, pid) in pids.iter().enumerate() {
                if again[at].is_none() && read(*pid)? > counts[at] + SOME_BYTES {
                    again[at] = Some(killed.elapsed());
                }
            }
            thread::sleep(GLANCE);
        }
        let again = again.iter().map(|at| at.unwrap_or(NEVER).as_secs_f64() * 1e3).collect();
        Ok((again, missed))
    }
}

impl Ground {
    /// Where a node listens.
    fn address(&mut self, name: &str, number: usize) -> SocketAddr {
        let ip = match &mut self.place {
            None => {
                let own = 2 + u8::try_from(std::process::id() % 250).unwrap_or(0);
                let number = u8::try_from(number).unwrap_or(u8::MAX);
                IpAddr::V4(Ipv4Addr::new(127, own, 77, number))
            }
            Some(place) => {
                let host = self.hosts.entry(name.to_owned()).or_insert_with(|| place.host());
                host.address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
        };
        SocketAddr::new(ip, PORT)
    }

    /// What a node's command stands behind.
    fn before(&self, name: &str) -> Vec<String> {
        self.hosts.get(name).map_or_else(Vec::new, |host| host.namespace.before())
    }
}

impl Node {
    /// What its control socket answers.
    fn ask(&self, line: &str) -> Outcome<Value> {
        let mut stream = UnixStream::connect(self.directory.join("c.sock"))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    fn figure(&self, name: &str) -> Outcome<u64> {
        let status = self.ask("status --json")?;
        let value = status.pointer(&format!("/mesh/0/{name}")).and_then(Value::as_u64);
        value.ok_or_else(|| format!("no {name} in the status of {}", self.name).into())
    }

    fn word(&self, path: &str) -> Outcome<String> {
        let status = self.ask("status --json")?;
        let value = status.pointer(path).and_then(Value::as_str);
        Ok(value.ok_or_else(|| format!("no {path} in the status of {}", self.name))?.to_owned())
    }
}

/// Waits until nothing has come to any of them for a while: what a dead parent sent is read.
fn quiet(pids: &[u32]) -> Outcome<()> {
    let mut last = (Instant::now(), Vec::new());
    loop {
        let counts = pids.iter().map(|pid| read(*pid)).collect::<Outcome<Vec<u64>>>()?;
        if counts != last.1 {
            last = (Instant::now(), counts);
        } else if last.0.elapsed() > BLOCK_EVERY / 4 {
            return Ok(());
        }
        thread::sleep(GLANCE);
    }
}

/// Bytes that a process has taken by `read`.
fn read(pid: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    Ok(line.ok_or("no rchar")?.parse()?)
}

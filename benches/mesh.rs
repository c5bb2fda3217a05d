//! What a node of the mesh costs between its parent and its children, and how soon they receive
//! again when it is killed: the real program in release, real sockets on loopback.
//!
//!     cargo bench --bench mesh [hop] [cost] [kill]
//!
//! * *hop*: from the first byte of a stripe out of the root to the first byte in at a child: with
//!   nobody between, through a process that only reads and writes, and through a member. What a
//!   member adds is its median less that of nobody.
//! * *cost*: processor seconds for each gigabyte sent to eight children, beside the same process.
//!   The member keeps each block, hashes it twice and watches over its links; the other does not.
//! * *kill*: an inner node is killed with SIGKILL; for each of its children the time until stripe
//!   bytes come again. There is one stripe, so that whatever comes after comes from a new parent;
//!   blocks last 100 ms, and the wait for the next one is part of the time. Bytes of stripes are
//!   all that a node reads by `read`, so the kernel's count of these (`/proc/PID/io`) tells.
//!
//! The run fails when a hop adds more than 200 microseconds at the median, or when a child of a
//! killed parent receives nothing for 300 ms.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod lab;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use lab::daemon::{Daemon, configuration, cpu};
use lab::figures::{Verdicts, rank};
use lab::films::Film;
use lab::hop::{self, Forwarder, Hop, Load};
use lab::{Outcome, arguments, load};

/// Stripes of 32 KiB, one at a time.
const HOP: Load = Load { stripes: 4, bytes: 128 << 10, children: 1 };
const HOP_BLOCKS: u64 = 100;
const HOP_MICROS: f64 = 200.0;
/// Blocks of 2 MiB to eight children.
const COST: Load = Load { stripes: 8, bytes: 2 << 20, children: 8 };
const COST_BLOCKS: u64 = 40;
/// Between two stripes of a hop, and between two blocks.
const STRIPE_EVERY: Duration = Duration::from_millis(25);
const BLOCK_EVERY: Duration = Duration::from_millis(100);

const FILM: Film = Film { blocks: 64, bytes: 40 << 10, lasts: BLOCK_EVERY };
const NODES: usize = 8;
const KILLS: usize = 24;
const AGAIN_MS: f64 = 300.0;
/// Fewer bytes than this are no stripe.
const SOME_BYTES: u64 = 1_000;
/// How often the kernel's counts are read.
const GLANCE: Duration = Duration::from_micros(500);

fn main() -> ExitCode {
    let arguments = arguments();
    let result = match &arguments[..] {
        [word, rest @ ..] if word == hop::WORD => hop::main(rest).map(|()| true),
        parts => bench(parts),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("mesh: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(parts: &[String]) -> Outcome<bool> {
    println!("{}", load());
    let mut verdicts = Verdicts::default();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    if wanted("hop") {
        hops(&mut verdicts)?;
    }
    if wanted("cost") {
        costs()?;
    }
    if wanted("kill") {
        kills(&mut verdicts)?;
    }
    verdicts.lines().iter().for_each(|line| println!("{line}"));
    Ok(verdicts.all_kept())
}

/// A relay whose only root is this process.
fn relay(directory: &Path, roots: SocketAddr, slots: usize) -> Outcome<Daemon> {
    fs::create_dir_all(directory)?;
    let text = format!(
        "role = \"relay\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nslots = {slots}\n\
         roots = [\"{roots}\"]\n[tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = 9091\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"c.sock\"\n"
    );
    Daemon::start(directory, &text)
}

fn hops(verdicts: &mut Verdicts) -> Outcome<()> {
    println!("\nfirst byte out to first byte in, {HOP_BLOCKS} blocks of 4 stripes of 32 KiB, us");
    println!("{:24}{:>9}{:>9}{:>9}{:>9}", "", "median", "90th", "99th", "last");
    let nobody = pass(Hop::direct(HOP)?)?;
    row("nobody", &nobody);
    row("bare forwarder", &bare_hop()?);
    let directory = TempDir::new()?;
    let root = TcpListener::bind("127.0.0.1:0")?;
    let daemon = relay(directory.path(), root.local_addr()?, HOP.children)?;
    let member = pass(Hop::member(HOP, &root, daemon.listens("mesh")?)?)?;
    row("vidstreamd", &member);
    row("bare forwarder, after", &bare_hop()?);
    let added = rank(&member, 0.5) - rank(&nobody, 0.5);
    let what = format!("a member adds {added:.0} us at the median; the bound is {HOP_MICROS} us");
    verdicts.note(added <= HOP_MICROS, what);
    Ok(())
}

fn bare_hop() -> Outcome<Vec<f64>> {
    let forwarder = Forwarder::start(HOP.children)?;
    pass(Hop::bare(HOP, forwarder.address)?)
}

/// Sends stripe after stripe; the microseconds of each.
fn pass(mut hop: Hop) -> Outcome<Vec<f64>> {
    let began = Instant::now();
    let mut took = Vec::new();
    let mut due = Duration::ZERO;
    for seq in 1..=HOP_BLOCKS {
        for stripe in 0..HOP.stripes {
            due += STRIPE_EVERY;
            thread::sleep(due.saturating_sub(began.elapsed()));
            let sent = hop.send(seq, stripe)?;
            let seen = hop.wait_seen((seq, stripe), false, 1)?;
            took.push((seen - sent).as_secs_f64() * 1e6);
            hop.wait_seen((seq, stripe), true, 1)?;
        }
    }
    Ok(took)
}

fn row(name: &str, samples: &[f64]) {
    let [half, most, nearly, last] = [0.5, 0.9, 0.99, 1.0].map(|part| rank(samples, part));
    println!("{name:24}{half:>9.0}{most:>9.0}{nearly:>9.0}{last:>9.0}");
}

fn costs() -> Outcome<()> {
    println!("\n{COST_BLOCKS} blocks of 2 MiB to 8 children, CPU s for each GB sent");
    let bare = || -> Outcome<f64> {
        let forwarder = Forwarder::start(COST.children)?;
        cost(Hop::bare(COST, forwarder.address)?, forwarder.pid())
    };
    let before = bare()?;
    let directory = TempDir::new()?;
    let root = TcpListener::bind("127.0.0.1:0")?;
    let daemon = relay(directory.path(), root.local_addr()?, COST.children)?;
    let member = cost(Hop::member(COST, &root, daemon.listens("mesh")?)?, daemon.pid())?;
    let after = bare()?;
    let yardstick = f64::midpoint(before, after);
    println!("{:24}{before:>9.3} before,{after:>9.3} after", "bare forwarder");
    println!("{:24}{member:>9.3}, {:.2} of that", "vidstreamd", member / yardstick);
    Ok(())
}

/// Sends block after block; what the node used for each gigabyte.
fn cost(mut hop: Hop, pid: u32) -> Outcome<f64> {
    let (clock, began) = (cpu(pid)?, Instant::now());
    for (seq, due) in (1..=COST_BLOCKS).zip(1..) {
        thread::sleep((BLOCK_EVERY * due).saturating_sub(began.elapsed()));
        for stripe in 0..COST.stripes {
            hop.send(seq, stripe)?;
        }
        hop.wait_seen((seq, COST.stripes - 1), true, COST.children)?;
    }
    let used = cpu(pid)?.saturating_sub(clock).as_secs_f64();
    let sent = COST_BLOCKS as f64 * f64::from(COST.bytes) * COST.children as f64;
    Ok(used / (sent / 1e9))
}

/// A node, and where its children connect.
struct Node {
    daemon: Daemon,
    port: SocketAddr,
}

fn kills(verdicts: &mut Verdicts) -> Outcome<()> {
    let directory = TempDir::new()?;
    FILM.make(&directory.path().join("movies"), "load")?;
    let server = configuration(&directory.path().join("movies"), &["load"], 9091)
        + "[mesh]\nlisten = \"127.0.0.1:0\"\nslots = 2\nstripes = 1\nlead = \"6s\"\n";
    let server = Daemon::start(directory.path(), &server)?;
    let root = server.listens("mesh")?;
    let mut nodes = Vec::new();
    let mut took = Vec::new();
    for round in 0..KILLS {
        while nodes.len() < NODES {
            let name = format!("node{round}.{}", nodes.len());
            let daemon = relay(&directory.path().join(name), root, 3)?;
            nodes.push(Node { port: daemon.listens("mesh")?, daemon });
        }
        took.extend(kill_one(&mut nodes)?);
    }
    println!(
        "\nkill -9 of a parent to stripe bytes again, {} children of {KILLS} parents, ms",
        took.len()
    );
    let [half, nearly, last] = [0.5, 0.99, 1.0].map(|part| rank(&took, part));
    println!("median {half:.0}, 99th {nearly:.0}, last {last:.0}");
    let what = format!("{last:.0} ms at the last child; the bound is {AGAIN_MS} ms");
    verdicts.note(!took.is_empty() && last <= AGAIN_MS, what);
    Ok(())
}

/// Kills the node with the most children between two blocks; the milliseconds of each child.
fn kill_one(nodes: &mut Vec<Node>) -> Outcome<Vec<f64>> {
    // The newest are young, and the last repair is over by then.
    thread::sleep(Duration::from_secs(3));
    let before = received(nodes)?;
    thread::sleep(BLOCK_EVERY * 5);
    let after = received(nodes)?;
    // A parent sends about a block each time; whatever else goes over a link is far less.
    let feeds = |parent: usize, child: usize| {
        after[child][parent].saturating_sub(before[child][parent]) > FILM.bytes as u64 * 2
    };
    let children = |parent: usize| -> Vec<usize> {
        (0..nodes.len()).filter(|child| feeds(parent, *child)).collect()
    };
    let parent = (0..nodes.len()).max_by_key(|node| children(*node).len()).ok_or("no nodes")?;
    let children = children(parent);
    let pids: Vec<u32> = children.iter().map(|child| nodes[*child].daemon.pid()).collect();
    quiet(&pids)?;
    let counts = pids.iter().map(|pid| read(*pid)).collect::<Outcome<Vec<u64>>>()?;
    let killed = Instant::now();
    drop(nodes.remove(parent));
    let mut again = vec![None; pids.len()];
    while again.iter().any(Option::is_none) && killed.elapsed() < Duration::from_secs(5) {
        for (at, pid) in pids.iter().enumerate() {
            if again[at].is_none() && read(*pid)? > counts[at] + SOME_BYTES {
                again[at] = Some(killed.elapsed());
            }
        }
        thread::sleep(GLANCE);
    }
    let never = Duration::from_secs(5);
    Ok(again.iter().map(|at| at.unwrap_or(never).as_secs_f64() * 1e3).collect())
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

/// By child and parent: bytes that came over the links between them, as the kernel counts them.
fn received(nodes: &[Node]) -> Outcome<Vec<Vec<u64>>> {
    let output = Command::new("ss").args(["-tnHiOp", "state", "established"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut bytes = vec![vec![0; nodes.len()]; nodes.len()];
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let peer = words.get(3).copied().unwrap_or_default();
        let child = nodes.iter().position(|n| line.contains(&format!("pid={},", n.daemon.pid())));
        let parent = nodes.iter().position(|node| node.port.to_string() == peer);
        let count = words.iter().find_map(|word| word.strip_prefix("bytes_received:"));
        if let (Some(child), Some(parent), Some(count)) = (child, parent, count) {
            bytes[child][parent] += count.parse::<u64>()?;
        }
    }
    Ok(bytes)
}

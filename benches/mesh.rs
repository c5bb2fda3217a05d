//! What a node of the mesh costs between its parent and its children, and how soon they receive
//! again when it is killed: the real program in release, real sockets on loopback.
//!
//!     cargo bench --bench mesh -- [hop] [cost] [kill] [hosts]
//!
//! * *hop*: from the first byte of a stripe out of the root to the first byte in at a child: with
//!   nobody between, through a process that only reads and writes, and through a member. What a
//!   member adds is its median less that of nobody.
//! * *cost*: processor seconds for each gigabyte sent to eight children, beside the same process.
//!   The member keeps each block, hashes it twice and watches over its links; the other does not.
//! * *kill*: a parent is killed with SIGKILL, a client or a relay; for each of its children the
//!   time until stripe bytes come again. There is one stripe, so that whatever comes after comes
//!   from a new parent; blocks last 100 ms, and the wait for the next one is part of the time.
//!   Bytes of stripes are all that a node reads by `read`, so the kernel's count of these
//!   (`/proc/PID/io`) tells.
//! * *hosts*: the same with a network namespace for each node, where root allows it.
//!
//! The run fails when a hop adds more than 200 microseconds at the median, when a child of a killed
//! parent receives nothing for 300 ms, or when anybody misses a block.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod lab;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use lab::daemon::{Daemon, cpu};
use lab::figures::{Verdicts, rank};
use lab::hop::{self, Forwarder, Hop, Load};
use lab::kill::{self, Figures, Layout};
use lab::namespaces::obstacle;
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

/// Two of eight have a place at the root, the others below these.
const MEMBERS: Layout = Layout {
    root_slots: 2,
    relays: 0,
    relay_slots: 2,
    clients: 8,
    client_slots: 3,
    kill_relays: false,
    hosts: false,
    kills: KILLS,
};
const KILLS: usize = 24;
const AGAIN_MS: f64 = 300.0;

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
        kills(&mut verdicts, false)?;
    }
    if wanted("hosts") {
        kills(&mut verdicts, true)?;
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

fn kills(verdicts: &mut Verdicts, hosts: bool) -> Outcome<()> {
    if let Some(why) = obstacle().filter(|_| hosts) {
        println!("\nnot measured in network namespaces: {why}");
        return Ok(());
    }
    let place = if hosts { "network namespaces" } else { "loopback" };
    println!("\nkill -9 of a parent to stripe bytes again, {place}, ms");
    println!("{:24}{:>9}{:>9}{:>9}{:>9}", "", "children", "median", "90th", "last");
    let members = Layout { hosts, ..MEMBERS };
    for (name, layout) in [
        ("a client", members),
        ("a client below a relay", Layout { relays: 1, ..members }),
        ("a relay", Layout { relays: 2, kill_relays: true, kills: KILLS / 2, ..members }),
    ] {
        let directory = TempDir::new()?;
        let Figures { again, missed, blocks } = kill::run(directory.path(), layout)?;
        let [half, most, last] = [0.5, 0.9, 1.0].map(|part| rank(&again, part));
        println!("{name:24}{:>9}{half:>9.0}{most:>9.0}{last:>9.0}", again.len());
        let what = format!(
            "{last:.0} ms at the last child of {name} on {place}; the bound is {AGAIN_MS} ms"
        );
        verdicts.note(!again.is_empty() && last <= AGAIN_MS, what);
        let what = format!("{missed} of {blocks} blocks missed ({name}, {place})");
        verdicts.note(missed == 0 && blocks > 0, what);
    }
    Ok(())
}

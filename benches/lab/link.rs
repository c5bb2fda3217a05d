//! A link between two network namespaces that has a rate, a queue and a delay, and loses, doubles
//! and reorders: two TUN devices and one thread that carries packets between them. What happens to
//! a packet depends on the seed, the direction and its number only. Good for several 100 Mbit/s.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use vidstreamd::base::rng::Rng;

use super::Outcome;

/// The longest packet of any link.
const MTU_MAX: usize = 9_000;
/// Packets taken from one device before the other has its turn.
const TURN: usize = 64;

/// What a link does; both directions alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impairment {
    /// Of each direction.
    pub(crate) delay: Duration,
    /// Parts of a thousand packets.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Bits a second.
    pub(crate) rate: u64,
    /// What waits for its turn, at most.
    pub(crate) queue: Duration,
    /// Bytes in a packet, at most.
    pub(crate) mtu: usize,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces and the link between them; gone when it is dropped.
pub(crate) struct Link {
    /// The names of the namespaces: the server's and the client's.
    pub(crate) near: String,
    pub(crate) far: String,
    over: Arc<AtomicBool>,
    /// Bytes that have come to the client.
    carried: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// The server's address, and the client's.
pub(crate) const NEAR: &str = "10.79.0.1";
const FAR: &str = "10.79.0.2";

impl Link {
    pub(crate) fn new(impairment: Impairment, seed: u64) -> Outcome<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("vb{}{end}{number}", std::process::id() % 1_000_000);
        let (near, far) = (name("n"), name("f"));
        let (over, carried) = (Arc::default(), Arc::default());
        let mut link = Self { near, far, over, carried, thread: None };
        let mtu = impairment.mtu;
        let ends = [device(&link.near, NEAR, FAR, mtu)?, device(&link.far, FAR, NEAR, mtu)?];
        let (over, carried) = (Arc::clone(&link.over), Arc::clone(&link.carried));
        let run = move || Carrier::new(impairment, seed).carry(&ends, &over, &carried);
        link.thread = Some(std::thread::Builder::new().spawn(run)?);
        Ok(link)
    }

    /// The words that make a command run in a namespace.
    pub(crate) fn command(namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Bytes that have come to the client, headers and all.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        for namespace in [&self.near, &self.far] {
            Command::new("ip").args(["netns", "del", namespace]).status().ok();
        }
    }
}

fn ip(words: &[&str]) -> Outcome<()> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("ip {}: {why}", words.join(" ")).into())
}

/// A TUN device, up in a namespace of its own in which TCP to the other end is cubic.
fn device(namespace: &str, own: &str, other: &str, mtu: usize) -> Outcome<File> {
    ip(&["netns", "add", namespace])?;
    ip(&["-n", namespace, "link", "set", "lo", "up"])?;
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    attach(&file, namespace)?;
    ip(&["link", "set", namespace, "netns", namespace])?;
    let address = format!("{own}/32");
    ip(&["-n", namespace, "addr", "add", &address, "peer", other, "dev", namespace])?;
    let mtu = mtu.to_string();
    ip(&["-n", namespace, "link", "set", namespace, "mtu", &mtu, "txqueuelen", "10000", "up"])?;
    // By the route, because the system may allow no other choice.
    let host = format!("{other}/32");
    ip(&["-n", namespace, "route", "replace", &host, "dev", namespace, "congctl", "cubic"])?;
    Ok(file)
}

#[expect(unsafe_code, reason = "an ioctl that no crate offers")]
fn attach(file: &File, name: &str) -> Outcome<()> {
    // SAFETY: an ifreq of zeros is a valid one, with an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the request outlives the call, which reads and writes no more than an ifreq.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// One direction.
struct Way {
    rng: Rng,
    /// When, which, and its bytes.
    packets: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    number: u64,
    last: Instant,
    free: Instant,
}

struct Carrier {
    impairment: Impairment,
    ways: [Way; 2],
    spare: Vec<Vec<u8>>,
}

impl Carrier {
    fn new(impairment: Impairment, seed: u64) -> Self {
        let now = Instant::now();
        let way = |direction| Way {
            rng: Rng::new(seed ^ direction),
            packets: BinaryHeap::new(),
            number: 0,
            last: now,
            free: now,
        };
        Self { impairment, ways: [way(0), way(1 << 40)], spare: Vec::new() }
    }

    fn carry(mut self, ends: &[File; 2], over: &AtomicBool, carried: &AtomicU64) {
        while !over.load(Ordering::Relaxed) {
            let mut busy = false;
            for (way, end) in ends.iter().enumerate() {
                busy |= self.take(way, end);
            }
            for (way, end) in ends.iter().rev().enumerate() {
                let bytes = self.give(way, end);
                if way == 0 {
                    carried.fetch_add(bytes, Ordering::Relaxed);
                }
            }
            if !busy {
                self.wait(ends);
            }
        }
    }

    /// Until a packet comes or is due.
    fn wait(&self, ends: &[File; 2]) {
        let due = |way: &Way| way.packets.peek().map(|Reverse((at, ..))| *at);
        let next = self.ways.iter().filter_map(due).min();
        let most = Duration::from_millis(50);
        let left = next.map_or(most, |at| at.saturating_duration_since(Instant::now()).min(most));
        let mut fds = [
            PollFd::new(ends[0].as_fd(), PollFlags::POLLIN),
            PollFd::new(ends[1].as_fd(), PollFlags::POLLIN),
        ];
        // A signal only makes it look again.
        ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None).ok();
    }

    /// Takes what a device has; whether there may be more.
    fn take(&mut self, way: usize, mut from: &File) -> bool {
        for _ in 0..TURN {
            let mut packet = self.spare.pop().unwrap_or_default();
            packet.resize(MTU_MAX, 0);
            match from.read(&mut packet) {
                Ok(count) => {
                    packet.truncate(count);
                    self.admit(way, packet);
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn admit(&mut self, way: usize, packet: Vec<u8>) {
        let (impairment, way) = (self.impairment, &mut self.ways[way]);
        let mut happens = |per_mille: u64| way.rng.below(1_000) < per_mille;
        let (lost, doubled) = (happens(impairment.lost), happens(impairment.doubled));
        let reordered = happens(impairment.reordered);
        let now = Instant::now();
        let sent = way.free.max(now);
        if sent - now > impairment.queue {
            return self.spare.push(packet);
        }
        let nanos = packet.len() as u64 * 8 * 1_000_000_000 / impairment.rate;
        let sent = sent + Duration::from_nanos(nanos);
        way.free = sent;
        if lost {
            return self.spare.push(packet);
        }
        let mut at = sent + impairment.delay;
        if reordered {
            at = sent + impairment.delay / 2;
        } else {
            at = at.max(way.last);
            way.last = at;
        }
        way.number += 1;
        if doubled {
            way.packets.push(Reverse((at, way.number, packet.clone())));
        }
        way.packets.push(Reverse((at, way.number, packet)));
    }

    /// Gives a device what is due to it; bytes.
    fn give(&mut self, way: usize, mut to: &File) -> u64 {
        let (now, mut bytes) = (Instant::now(), 0);
        let way = &mut self.ways[way];
        while way.packets.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, packet))) = way.packets.pop() else { break };
            // A device that is down takes nothing: that is a lost packet.
            if to.write(&packet).is_ok() {
                bytes += packet.len() as u64;
            }
            self.spare.push(packet);
        }
        bytes
    }
}

//! A link between two network namespaces that delays, loses, doubles, reorders and spoils packets:
//! two TUN devices, and for each direction a thread that takes packets and one that gives them.
//! What happens to a packet depends on the seed, the direction and its number only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::lab::Random;
use super::namespaces::{Namespace, ip};

/// Longest packet that is carried.
const MTU: usize = 1500;
/// A packet that would wait longer than this for its turn is lost.
const BACKLOG: Duration = Duration::from_millis(250);

/// What a link does, in parts of a thousand packets.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Impairment {
    pub(crate) delay: Duration,
    /// More than that, at most.
    pub(crate) jitter: Duration,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Overtake what was sent before.
    pub(crate) reordered: u64,
    /// One byte behind the headers is another.
    pub(crate) spoilt: u64,
    /// Bits a second; 0 is no limit.
    pub(crate) rate: u64,
}

/// A running link. It ends with its namespaces.
pub(crate) struct Link(Vec<Arc<Way>>);

impl Link {
    /// Joins two namespaces: each gets a device of this name with its address and the other's.
    pub(crate) fn join(
        (near, near_address): (&Namespace, &str),
        (far, far_address): (&Namespace, &str),
        impairment: Impairment,
        seed: &str,
    ) -> Self {
        let ends =
            [device(near, near_address, far_address), device(far, far_address, near_address)];
        let ways = [(&ends[0], &ends[1]), (&ends[1], &ends[0])];
        let ways = ways.into_iter().enumerate().map(|(number, (from, to))| {
            let way = Arc::new(Way::new(impairment));
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let random = Random::from_name(&format!("{seed} {number}"));
            let (taker, giver) = (Arc::clone(&way), Arc::clone(&way));
            thread::spawn(move || taker.take(from, random));
            thread::spawn(move || giver.give(to));
            way
        });
        Self(ways.collect())
    }

    /// Packets taken, and of these lost, in both directions.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let counts = self.0.iter().map(|way| {
            let queue = way.queue.lock().unwrap();
            (queue.taken, queue.lost)
        });
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for way in &self.0 {
            way.queue.lock().unwrap().over = true;
            way.more.notify_all();
        }
    }
}

/// One direction.
struct Way {
    impairment: Impairment,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    /// When, which, and its bytes.
    packets: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// When the last one that keeps its place is given.
    last: Option<Instant>,
    /// When the wire is free again.
    free: Option<Instant>,
    taken: u64,
    lost: u64,
    over: bool,
}

impl Way {
    fn new(impairment: Impairment) -> Self {
        Self { impairment, queue: Mutex::default(), more: Condvar::new() }
    }

    fn take(&self, mut from: File, mut random: Random) {
        let mut buffer = vec![0; MTU];
        while let Ok(count) = from.read(&mut buffer) {
            let mut queue = self.queue.lock().unwrap();
            if queue.over {
                return;
            }
            queue.admit(self.impairment, &buffer[..count], &mut random);
            self.more.notify_one();
        }
    }

    fn give(&self, mut to: File) {
        let mut queue = self.queue.lock().unwrap();
        while !queue.over {
            let now = Instant::now();
            match queue.packets.peek().map(|Reverse((at, ..))| *at) {
                Some(at) if at <= now => {
                    let Some(Reverse((_, _, bytes))) = queue.packets.pop() else { continue };
                    drop(queue);
                    // A device that is down takes nothing: that is a lost packet.
                    let _ = to.write(&bytes);
                    queue = self.queue.lock().unwrap();
                }
                Some(at) => queue = self.more.wait_timeout(queue, at - now).unwrap().0,
                None => queue = self.more.wait(queue).unwrap(),
            }
        }
    }
}

impl Queue {
    fn admit(&mut self, impairment: Impairment, packet: &[u8], random: &mut Random) {
        let mut happens = |per_mille: u64| random.below(1_000) < per_mille;
        let (lost, doubled) = (happens(impairment.lost), happens(impairment.doubled));
        let (reordered, spoilt) = (happens(impairment.reordered), happens(impairment.spoilt));
        let micros = impairment.jitter.as_micros() as u64 + 1;
        let jitter = Duration::from_micros(random.below(micros));
        self.taken += 1;
        let now = Instant::now();
        let sent = self.free.map_or(now, |free| free.max(now));
        if lost || sent - now > BACKLOG {
            self.lost += 1;
            return;
        }
        let bits = packet.len() as u64 * 8;
        let took = (bits * 1_000_000_000).checked_div(impairment.rate).unwrap_or(0);
        let sent = sent + Duration::from_nanos(took);
        self.free = Some(sent);
        let mut at = sent + impairment.delay + jitter;
        if reordered {
            at = sent + impairment.delay / 2;
        } else {
            at = self.last.map_or(at, |last| last.max(at));
            self.last = Some(at);
        }
        let mut bytes = packet.to_vec();
        if let Some(byte) = bytes.last_mut().filter(|_| spoilt) {
            *byte ^= 0x10;
        }
        for _ in 0..=u64::from(doubled) {
            self.packets.push(Reverse((at, self.taken, bytes.clone())));
        }
    }
}

/// A TUN device, up in a namespace.
fn device(namespace: &Namespace, own: &str, other: &str) -> File {
    // It is made here without an address and moved while it is down: no packet passes here.
    let name = format!("t{}", namespace.name);
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let file = file.expect("a TUN device");
    attach(&file, &name);
    ip(&["link", "set", &name, "netns", &namespace.name]);
    namespace.ip(&["addr", "add", &format!("{own}/32"), "peer", other, "dev", &name]);
    namespace.ip(&["link", "set", &name, "mtu", &MTU.to_string(), "txqueuelen", "5000", "up"]);
    file
}

/// Makes a file of `/dev/net/tun` the device of this name (`Documentation/networking/tuntap.rst`).
#[expect(unsafe_code, reason = "an ioctl that no crate offers")]
fn attach(file: &File, name: &str) {
    use nix::libc;
    assert!(name.len() < libc::IFNAMSIZ, "{name} is too long");
    // SAFETY: an ifreq of zeros is a valid one, with an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: the request outlives the call, which reads and writes no more than an ifreq.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(done, 0, "TUNSETIFF {name}: {}", std::io::Error::last_os_error());
}

//! Whole meshes in virtual time: the machines are the real ones, everything between them is made
//! here. Frames are real bytes; the bytes of blocks are only named, counted and judged. Used by
//! the simulator's tests and by `examples/simulate.rs`; equal seeds give equal runs.
//!
//! * `calendar`: what is on its way. `net`: who reaches whom, and the sums. `line`: uplinks.
//! * `host`: one machine with its connections and blocks.
//! * `measure`: what is looked at each second, and the figures at the end.
//! * `scenario`: a whole run: who joins, what fails.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are shares and times: far below what a f64 holds exactly"
)]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "two programs share it, no one else")]

mod calendar;
mod host;
mod line;
pub mod measure;
mod net;
pub mod scenario;

use std::time::Duration;

use vidstreamd::base::port::Cx;
use vidstreamd::base::rng::Rng;
use vidstreamd::mesh::wire::{NodeId, Stripes};
use vidstreamd::mesh::{Airing, MemberSettings, Mesh, RootSettings, Stats};

use calendar::{Bucket, Far, Letter, News};
use host::{Host, PORT, address, clocks};
use line::Line;
use measure::Survey;
use net::{Net, Reach, State, Status};

#[allow(unused_imports, reason = "each program takes what it needs")]
pub use net::{MS, SECOND};

use net::Tally;

/// What a world is made of; times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub root_slots: usize,
    pub stripes: usize,
    pub lead: u64,
    pub lasts: u64,
    pub block_bytes: u64,
    pub rescue_rate: u64,
    /// Bytes a second of each member's uplink; 0 when there is no limit.
    pub uplink: u64,
    pub delay: (u64, u64),
    pub jitter: u64,
    /// Turns of a host between two looks at its books.
    pub check_every: u32,
    /// Events that each host remembers, for people who look for a fault.
    pub remember: usize,
    /// Each host handles each letter in its own window, which is slower and must be the same.
    pub prompt: bool,
}

/// The hosts and all that is between them. The root is host 0.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub net: Net,
    pub now: u64,
    pub rng: Rng,
    pub survey: Survey,
    hosts: Vec<Option<Box<Host>>>,
    /// Hosts with a process, without the root.
    alive: Vec<u32>,
    next_seq: u64,
    air_at: u64,
    /// Of those that are no more.
    past: Stats,
    trace: u64,
    /// What a host handles in its turn: one memory for all.
    mail: Vec<Letter>,
    /// Memory of hosts that are no more, for the next ones, and the next number.
    pools: Vec<u32>,
    next_pool: u32,
}

fn node_id(host: u32, life: u32) -> NodeId {
    NodeId(u64::from(life) << 32 | u64::from(host + 1))
}

/// Which host a name belongs to.
fn host_of(node: NodeId) -> usize {
    usize::try_from((node.0 & 0xffff_ffff).saturating_sub(1)).unwrap_or(usize::MAX)
}

impl World {
    /// A root alone; its first block enters after one block's time.
    pub fn new(settings: Settings) -> Self {
        let mut net = Net::new(settings.seed, settings.delay, settings.jitter);
        net.stripes = settings.stripes;
        net.lasts = settings.lasts;
        net.check_every = settings.check_every;
        net.remember = settings.remember;
        net.prompt = settings.prompt;
        let next_seq = 100;
        assert!(SECOND.is_multiple_of(settings.delay.0), "seconds begin with a window");
        let air_at = SECOND + settings.lasts;
        net.first = (air_at, next_seq);
        let mut world = Self {
            rng: Rng::new(settings.seed),
            net,
            now: SECOND,
            survey: Survey::default(),
            hosts: vec![None],
            alive: Vec::new(),
            next_seq,
            air_at,
            past: Stats::default(),
            trace: 0,
            mail: Vec::new(),
            pools: Vec::new(),
            next_pool: 0,
            settings,
        };
        let status = Status {
            state: State::Down,
            life: 0,
            side: false,
            begun: true,
            quiet: Stripes::EMPTY,
            stirred: true,
        };
        world.net.status.push(status);
        world.start_root();
        world
    }

    /// The root's process starts.
    pub fn start_root(&mut self) {
        let life = self.rise(0);
        let settings = RootSettings {
            node: node_id(0, 0),
            channel: "one".to_owned(),
            number: 0,
            epoch: 77,
            // A process that is started again draws another.
            ticket: [9 + u8::try_from(life % 200).unwrap_or(0); 16],
            advertise: address(0),
            slots: self.settings.root_slots,
            stripes: self.settings.stripes,
            lead: Duration::from_nanos(self.settings.lead),
            members_max: 20_000,
            rate: self.settings.block_bytes * SECOND / self.settings.lasts,
            rescue_rate: self.settings.rescue_rate,
            roots: Vec::new(),
            from: None,
        };
        let mut cx = Cx::new(clocks(self.now), self.settings.seed ^ u64::from(life) << 40);
        let mesh = Mesh::new_root(&mut cx, settings);
        let slots = self.settings.root_slots;
        let uplink = Line::new(0);
        self.enter(Host::new((0, life), slots, (mesh, cx), uplink));
        // What is already in the mesh and not yet on the air enters again.
        let window = self.settings.lead / self.settings.lasts;
        let from = self.next_seq.saturating_sub(window).max(self.net.first.1);
        (from..self.next_seq).for_each(|seq| self.air(seq));
    }

    fn rise(&mut self, host: u32) -> u32 {
        let status = &mut self.net.status[host as usize];
        status.life += 1;
        status.state = State::Up;
        status.begun = host == 0;
        status.quiet = Stripes::EMPTY;
        let life = status.life;
        if life > 1 {
            // Whoever was below another process of this host is below nobody now.
            self.net.status.iter_mut().for_each(|status| status.stirred = true);
        }
        life
    }

    /// A new member on a new host.
    pub fn join(&mut self, slots: usize) -> u32 {
        let host = u32::try_from(self.hosts.len()).expect("hosts fit their addresses");
        self.hosts.push(None);
        let status = Status {
            state: State::Down,
            life: 0,
            side: false,
            begun: false,
            quiet: Stripes::EMPTY,
            stirred: true,
        };
        self.net.status.push(status);
        self.start(host, slots);
        host
    }

    /// A process starts on a host.
    pub fn start(&mut self, host: u32, slots: usize) {
        let life = self.rise(host);
        let settings = MemberSettings {
            node: node_id(host, life),
            channel: "one".to_owned(),
            port: PORT,
            slots,
            roots: vec![address(0)],
            from: None,
            part: None,
        };
        let pool = self.pools.pop().unwrap_or_else(|| {
            self.next_pool += 1;
            self.next_pool
        });
        (self.net.memory)(Some(pool));
        self.net.calendar.make_room(host);
        let own = Rng::new(self.settings.seed ^ node_id(host, life).0.rotate_left(17)).next_u64();
        let mut cx = Cx::new(clocks(self.now), own);
        let mesh = Mesh::new_member(&mut cx, settings);
        let uplink = Line::new(self.settings.uplink);
        self.alive.push(host);
        let mut it = Host::new((host, life), slots, (mesh, cx), uplink);
        it.pool = pool;
        self.enter(it);
    }

    fn enter(&mut self, mut host: Host) {
        host.drive(&mut self.net, self.now, |_, _| {});
        let id = host.id as usize;
        let host = Box::new(host);
        (self.net.memory)(None);
        self.hosts[id] = Some(host);
    }

    /// Members with a process.
    pub fn alive(&self) -> &[u32] {
        &self.alive
    }

    fn host(&mut self, host: u32) -> Option<&mut Host> {
        self.hosts.get_mut(host as usize)?.as_deref_mut()
    }

    /// A process ends: `silent`, nothing ever comes back from its host; else its system resets all
    /// its connections and refuses new ones.
    pub fn kill(&mut self, host: u32, silent: bool) {
        self.catch_up(host);
        let Some(dead) = self.hosts[host as usize].take() else { return };
        if !silent {
            for (far, here) in dead.connections() {
                if self.net.reach(host, far.host) == Reach::Open {
                    let at = self.now + self.net.delay(host, far.host);
                    let reset = News::Closed(vidstreamd::base::port::Gone::Reset);
                    self.net.calendar.post(at, (far, here), reset);
                }
            }
        }
        self.net.status[host as usize].state = if silent { State::Silent } else { State::Down };
        self.watch_orphans(&dead);
        self.bury(&dead);
    }

    /// Whoever was fed by the dead is watched until it is fed again.
    fn watch_orphans(&mut self, dead: &Host) {
        for row in dead.mesh.links(&dead.cx).iter().filter(|row| !row.sends_to_us) {
            let Some(child) = row.node.map(host_of) else { continue };
            self.catch_up(u32::try_from(child).expect("a host"));
            let Some(Some(child)) = self.hosts.get_mut(child) else { continue };
            row.stripes.iter().for_each(|s| child.watch(&self.net, s, self.now));
        }
    }

    fn bury(&mut self, dead: &Host) {
        let status = &mut self.net.status[dead.id as usize];
        (status.quiet, status.stirred) = (Stripes::EMPTY, true);
        // What waited for its next turn is answered by its system, if by anybody.
        let mut mail = Vec::new();
        self.net.calendar.collect(dead.id, u64::MAX, &mut mail);
        for letter in mail {
            self.net.calendar.post(letter.at.max(self.now), (letter.to, letter.from), letter.news);
        }
        self.alive.retain(|host| *host != dead.id);
        self.pools.extend((dead.id != 0).then_some(dead.pool));
        self.count_missing(dead);
        self.count_slots(dead);
        self.past = sum(self.past, dead.mesh.stats());
        self.trace =
            (self.trace.rotate_left(9) ^ dead.log.trace).wrapping_mul(0x2545_f491_4f6c_dd1d);
    }

    /// Blocks that went on the air and of which the machine said nothing.
    fn count_missing(&mut self, host: &Host) {
        let Some(next) = host.log.next.filter(|_| host.id != 0 && !host.log.left) else { return };
        let shown = self.now.saturating_sub(self.net.first.0 + self.settings.lead);
        let on_air = self.net.first.1 + shown.div_ceil(self.settings.lasts);
        let missing = on_air.saturating_sub(next);
        if missing > 0 && shown > 0 {
            self.net.tally.missed += missing;
            let what = format!("{missing} blocks from {next} on never came");
            self.net.fault(self.now, host.id, &what);
        }
    }

    /// The machine's own count of the most children that it ever had at one instant.
    fn count_slots(&mut self, host: &Host) {
        if host.mesh.stats().children_most > host.slots as u64 {
            self.net.tally.slots_exceeded += 1;
            self.net.fault(self.now, host.id, "had more children than slots");
        }
    }

    /// A member leaves gracefully; its process ends when it has.
    pub fn leave(&mut self, host: u32) {
        let now = self.now;
        self.catch_up(host);
        let Some(Some(it)) = self.hosts.get_mut(host as usize) else { return };
        it.leave(&mut self.net, now);
        self.clear_away(host);
    }

    /// Ends the process of a host that has left, and looks for what it forgot.
    fn clear_away(&mut self, host: u32) {
        let Some(Some(it)) = self.hosts.get_mut(host as usize) else { return };
        if !it.log.left {
            return;
        }
        let Some(mut it) = self.hosts[host as usize].take() else { return };
        it.empty(&mut self.net);
        let left = (it.cx.peers.len(), it.cx.blobs.len(), it.cx.wheel.len(), it.mesh.timers());
        if left != (0, 0, 0, 0) {
            let what = format!("left behind: connections, blobs, timers, own timers: {left:?}");
            self.net.fault(self.now, host, &what);
        }
        self.net.status[host as usize].state = State::Down;
        self.bury(&it);
    }

    /// Some hosts and the rest do not reach each other until a moment.
    pub fn part(&mut self, hosts: &[u32], until: u64) {
        self.net.status.iter_mut().for_each(|status| status.side = false);
        for host in hosts {
            self.net.status[*host as usize].side = true;
        }
        self.net.cut_until = Some(until);
    }

    /// The node sends wrong bytes from now on.
    pub fn corrupt(&mut self, host: u32) {
        if let Some(host) = self.host(host) {
            host.lies = true;
        }
    }

    fn air(&mut self, seq: u64) {
        let (len, now) = (self.settings.block_bytes, self.now);
        let starts_at = clocks(self.net.entry_of(seq) + self.settings.lead).wall;
        let lasts = Duration::from_nanos(self.settings.lasts);
        let Some(Some(root)) = self.hosts.get_mut(0) else { return };
        let Some(blob) = root.own_block(seq, len) else { return };
        let file = format!("movie_{seq:05}.ts").into();
        let movie = "movie".into();
        let timeline = None;
        let airing = Airing { seq, movie, file, blob, len, starts_at, lasts, timeline };
        root.drive(&mut self.net, now, |mesh, cx| mesh.air(cx, &airing));
    }

    /// Lets time go by, up to a moment at the edge of a window.
    pub fn run(&mut self, until: u64) {
        loop {
            let next = self.net.calendar.next().unwrap_or(until).max(self.now);
            let next = next.min(self.air_at).min(until);
            self.now = next;
            if self.net.cut_until.is_some_and(|cut| cut <= next) {
                self.net.cut_until = None;
            }
            if next >= until {
                return;
            }
            if self.air_at == next {
                self.next_seq += 1;
                self.air_at += self.settings.lasts;
                self.air(self.next_seq - 1);
            }
            let bucket = self.net.calendar.open(next);
            let window = self.net.calendar.window;
            self.now = next / window * window + window;
            self.turn(bucket);
        }
    }

    /// Lets a host handle what has reached it by now.
    fn catch_up(&mut self, host: u32) {
        let Some(Some(it)) = self.hosts.get_mut(host as usize) else { return };
        let mut mail = Vec::new();
        if self.net.calendar.collect(host, self.now, &mut mail) {
            mail.sort_by_key(|letter| letter.at);
            (self.net.memory)(Some(it.pool));
            it.run(&mut self.net, &mail, self.now);
            (self.net.memory)(None);
        }
    }

    /// Lets all hosts handle what has reached them by now.
    pub fn catch_up_all(&mut self) {
        for host in self.alive.clone() {
            self.catch_up(host);
        }
    }

    /// All hosts have their turn in a window that ends now.
    fn turn(&mut self, mut bucket: Bucket) {
        let end = self.now;
        let mut mail = core::mem::take(&mut self.mail);
        while let Some((host, woken)) = bucket.next_host() {
            let quiet = self.net.status[host as usize].quiet;
            if !(woken || self.net.prompt) && bucket.all_of_stripes(host, quiet) {
                let letters = core::iter::from_fn(|| bucket.take(host));
                self.net.calendar.wait(host, letters);
                continue;
            }
            let waited = self.net.calendar.collect(host, end, &mut mail);
            mail.extend(core::iter::from_fn(|| bucket.take(host)));
            if waited {
                mail.sort_by_key(|letter| letter.at);
            }
            if let Some(Some(it)) = self.hosts.get_mut(host as usize) {
                (self.net.memory)(Some(it.pool));
                it.run(&mut self.net, &mail, end);
                (self.net.memory)(None);
                if it.log.left {
                    self.clear_away(host);
                }
            } else {
                for letter in &mail {
                    answer_for_nobody(&mut self.net, letter);
                }
            }
            mail.clear();
        }
        self.mail = mail;
        self.net.calendar.give_back(bucket);
    }

    /// The counters of all machines, past and present.
    pub fn stats(&self) -> Stats {
        let present = self.hosts.iter().flatten().map(|host| host.mesh.stats());
        present.fold(self.past, sum)
    }

    /// The hash of all that has reached anybody.
    pub fn trace(&self) -> u64 {
        let hosts = self.hosts.iter().flatten();
        hosts.fold(self.trace, |trace, host| {
            (trace.rotate_left(9) ^ host.log.trace).wrapping_mul(0x2545_f491_4f6c_dd1d)
        })
    }
}

/// The system of a host without a process resets and refuses; a silent host does nothing.
fn answer_for_nobody(net: &mut Net, letter: &Letter) {
    if net.status[letter.to.host as usize].state == State::Silent {
        return;
    }
    let why = match letter.news {
        News::Incoming => vidstreamd::base::port::Gone::Refused,
        News::Bytes(..) | News::Sign(_) | News::Connected | News::Ended => {
            vidstreamd::base::port::Gone::Reset
        }
        News::Taken(_) | News::Closed(_) => return,
    };
    let at = letter.at + net.delay(letter.to.host, letter.from.host);
    net.calendar.post(at, (letter.from, Far { ..letter.to }), News::Closed(why));
}

fn sum(a: Stats, b: Stats) -> Stats {
    Stats {
        bytes_sent: a.bytes_sent + b.bytes_sent,
        bytes_received: a.bytes_received + b.bytes_received,
        bytes_wasted: a.bytes_wasted + b.bytes_wasted,
        bytes_rescued: a.bytes_rescued + b.bytes_rescued,
        blocks: a.blocks + b.blocks,
        blocks_missed: a.blocks_missed + b.blocks_missed,
        blocks_late: a.blocks_late + b.blocks_late,
        pulls: a.pulls + b.pulls,
        parents_lost: a.parents_lost + b.parents_lost,
        bad_stripes: a.bad_stripes + b.bad_stripes,
        nonsense: a.nonsense + b.nonsense,
        joins: a.joins + b.joins,
        children_most: a.children_most.max(b.children_most),
    }
}

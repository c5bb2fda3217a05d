//! The tv server: commands in, blocks out to every client of a channel at once, each over its own
//! callback connection, none waiting for another. The node tells it what goes on the air.
//!
//! | client | told | becomes |
//! |---|---|---|
//! | answering | connected, `10` or `00` sent | pausing, or forgotten |
//! | | refused within the grace | dialled again in 20 to 50 ms (the original binds late) |
//! | | any other failure | forgotten |
//! | pausing | [`Why::JoinPause`] | watching, and the current block begins |
//! | watching, idle | a block goes on the air | queued, dialling, sending |
//! | watching, busy | a block goes on the air | owed: it begins when the last one is through, if that still had time |
//! | sending | through in time | idle, no strikes |
//! | | time over | a strike, once a block's time; the block goes on, the next one is skipped |
//! | any | refused after the grace, reset, not accepted | a strike |
//! | any | second strike in a row | removed |
//! | any | `12c`, `10` elsewhere | removed |

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::base::arena::{Key, Side};
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Gone, Payload, Service, Why};
use crate::base::stats::Histogram;
use crate::base::time::Mono;
use crate::channel::Block;
use crate::config::{self, Allow};
use crate::tv::callback::Networks;
use crate::tv::commands::Commands;
use crate::tv::roster::{Client, Live, Phase, Roster, Task};
use crate::tv::wire::{self, Ask, COMMAND_BYTES, Command, Reply};

/// Why a callback did not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The connection failed or broke.
    Gone(Gone),
    /// It was not accepted in time.
    NotAccepted,
    /// The block was not through in its own time.
    Late,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A client is in a channel.
    Joined {
        /// Who.
        address: IpAddr,
        /// Where.
        channel: usize,
    },
    /// A client was told `00`.
    Full {
        /// Who.
        address: IpAddr,
        /// Where it wanted to go.
        channel: usize,
    },
    /// A client asked to join but could not be answered.
    Unreachable {
        /// Who.
        address: IpAddr,
        /// Where it wanted to go.
        channel: usize,
        /// Why.
        why: Failure,
    },
    /// A client left, or joined elsewhere.
    Left {
        /// Who.
        address: IpAddr,
        /// Which channel.
        channel: usize,
    },
    /// A callback failed.
    Struck {
        /// Whose.
        address: IpAddr,
        /// Which channel.
        channel: usize,
        /// Why.
        why: Failure,
        /// Whether it was the second in a row: the client is removed.
        removed: bool,
    },
    /// An address that may not be called back asked to join.
    NotAllowed {
        /// Who.
        address: IpAddr,
    },
    /// Three bytes that are no command.
    BadCommand {
        /// From whom.
        address: IpAddr,
        /// The bytes.
        bytes: [u8; COMMAND_BYTES],
    },
}

/// Counters of the tv server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the names say what is counted")]
pub struct Stats {
    pub commands: u64,
    pub bad_commands: u64,
    pub joins: u64,
    pub full: u64,
    pub leaves: u64,
    pub removed: u64,
    pub strikes: u64,
    pub not_allowed: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// From the first byte offered to the last byte taken, of blocks.
    pub delivery: Histogram,
}

/// One client, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Who.
    pub address: IpAddr,
    /// In which channel.
    pub channel: usize,
    /// Since when.
    pub since: Mono,
    /// Blocks it took.
    pub blocks: u64,
    /// Bytes it took.
    pub bytes: u64,
    /// Failures in a row.
    pub strikes: u8,
}

#[derive(Debug)]
struct Rules {
    port: u16,
    networks: Networks,
    commands_max: usize,
    join_pause: Duration,
}

/// A connection to a client.
#[derive(Clone, Copy, Debug)]
struct Callback {
    client: Key,
    /// It is being dialled; whether it counts among the unproven.
    dialling: Option<bool>,
}

/// The tv server of a node.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    commands: Commands,
    roster: Roster,
    callbacks: Side<Callback>,
    /// Clients to be dialled: those that took their last block first.
    proven: VecDeque<Key>,
    unproven: VecDeque<Key>,
    dialling: usize,
    dialling_unproven: usize,
    draining: bool,
    stats: Stats,
    events: VecDeque<Event>,
}

impl Server {
    /// A server without channels; `attached` are the networks of this machine's interfaces.
    #[must_use]
    pub fn new(config: &config::Tv, attached: &[IpNet]) -> Self {
        Self {
            rules: Rules::new(config, attached),
            commands: Commands::default(),
            roster: Roster::new(),
            callbacks: Side::default(),
            proven: VecDeque::new(),
            unproven: VecDeque::new(),
            dialling: 0,
            dialling_unproven: 0,
            draining: false,
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Other rules from now on; who is in stays in.
    pub fn set_rules(&mut self, config: &config::Tv, attached: &[IpNet]) {
        self.rules = Rules::new(config, attached);
    }

    /// The channels, each by how many clients it takes. Clients of channels that end are let go.
    pub fn set_channels(&mut self, cx: &mut Cx, clients_max: &[usize]) {
        for key in self.roster.set_channels(clients_max) {
            self.remove(cx, key);
        }
    }

    /// Somebody connected to the command port.
    pub fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        self.commands.incoming(cx, peer, self.rules.commands_max);
    }

    /// Bytes on a command connection. A client has nothing to say on a callback.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        if let Some((command, address)) = self.commands.data(cx, conn, bytes) {
            let answer = self.command(cx, command, address);
            Commands::answer(cx, conn, answer);
        }
    }

    fn command(
        &mut self,
        cx: &mut Cx,
        bytes: [u8; COMMAND_BYTES],
        address: IpAddr,
    ) -> Option<String> {
        self.stats.commands += 1;
        let Some(Command { ask, channel }) = Command::parse(bytes) else {
            self.stats.bad_commands += 1;
            self.events.push_back(Event::BadCommand { address, bytes });
            return None;
        };
        let channel = usize::from(channel);
        match ask {
            Ask::Join => self.join(cx, address, channel),
            Ask::Leave => self.leave(cx, address, channel),
            Ask::List => return self.known(channel).map(|c| wire::list(self.addresses(c))),
            Ask::Count => return self.known(channel).map(|c| self.viewers(c).to_string()),
        }
        None
    }

    fn known(&self, channel: usize) -> Option<usize> {
        self.roster.channel(channel).map(|_| channel)
    }

    fn addresses(&self, channel: usize) -> impl Iterator<Item = IpAddr> {
        self.roster.listed(channel).map(|c| c.address)
    }

    /// How many clients a channel sends to.
    #[must_use]
    pub fn viewers(&self, channel: usize) -> usize {
        self.roster.listed(channel).count()
    }

    fn join(&mut self, cx: &mut Cx, address: IpAddr, channel: usize) {
        if self.draining {
            return;
        }
        if !self.rules.networks.allow(address) {
            self.stats.not_allowed += 1;
            return self.events.push_back(Event::NotAllowed { address });
        }
        if let Some(old) = self.roster.find(address) {
            self.part(cx, old);
        }
        let room = self
            .roster
            .channel(channel)
            .is_some_and(|c| self.roster.members(channel).len() < c.clients_max);
        let phase = Phase::Answering(if room { Reply::In } else { Reply::Full });
        if let Some(key) = self.roster.insert(client(cx.now.mono, address, channel, phase)) {
            self.queue(cx, key);
        }
    }

    fn leave(&mut self, cx: &mut Cx, address: IpAddr, channel: usize) {
        let found = self.roster.find(address);
        let found = found.filter(|k| self.roster.get(*k).is_some_and(|c| c.channel == channel));
        if let Some(key) = found {
            self.part(cx, key);
        }
    }

    /// A client goes of its own will.
    fn part(&mut self, cx: &mut Cx, key: Key) {
        let Some(client) = self.remove(cx, key) else { return };
        if client.is_listed() {
            self.stats.leaves += 1;
            let (address, channel) = (client.address, client.channel);
            self.events.push_back(Event::Left { address, channel });
        }
    }

    /// Takes a client out, with all that is under way to it.
    fn remove(&mut self, cx: &mut Cx, key: Key) -> Option<Client> {
        let client = self.roster.remove(key)?;
        if let Some(timer) = client.timer {
            cx.wheel.cancel(timer);
        }
        if let Task::Dialling(Some(conn)) | Task::Sending(conn) = client.task {
            self.forget(conn);
            cx.close(conn, End::Reset);
            self.pump(cx);
        }
        Some(client)
    }

    /// A block goes on the air: to everyone who is free to take it.
    pub fn air(&mut self, cx: &mut Cx, channel: usize, block: &Block) {
        let lasts = block.lasts;
        let Some(state) = self.roster.channel_mut(channel).filter(|_| !self.draining) else {
            return;
        };
        state.live = Some(Live { span: block.span(), lasts });
        for key in self.roster.members(channel).to_vec() {
            let Some(client) = self.roster.get_mut(key) else { continue };
            match (client.phase, client.task) {
                (Phase::Watching, Task::Idle) => self.offer(cx, key, lasts),
                (Phase::Watching, Task::Sending(_)) => client.owed = !client.late,
                _ => {}
            }
        }
        self.pump(cx);
    }

    /// Whether it knows what a channel has on the air.
    #[must_use]
    pub fn is_told(&self, channel: usize) -> bool {
        self.roster.channel(channel).is_some_and(|c| c.live.is_some())
    }

    /// Nothing is on the air.
    pub fn off_air(&mut self, channel: usize) {
        if let Some(channel) = self.roster.channel_mut(channel) {
            channel.live = None;
        }
    }

    /// Begins a client's next block, whichever is on the air when it answers.
    fn offer(&mut self, cx: &mut Cx, key: Key, lasts: Duration) {
        let Some(client) = self.roster.get_mut(key) else { return };
        client.grace_until = cx.now.mono.after(limits::TV_GRACE.min(lasts));
        self.enqueue(key);
    }

    fn queue(&mut self, cx: &mut Cx, key: Key) {
        self.enqueue(key);
        self.pump(cx);
    }

    fn enqueue(&mut self, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Queued;
        let queue = if client.proven { &mut self.proven } else { &mut self.unproven };
        queue.push_back(key);
    }

    /// Dials as many of the waiting as may be dialled at once.
    fn pump(&mut self, cx: &mut Cx) {
        while self.dialling < limits::TV_DIALS_MAX {
            let room = self.dialling_unproven < limits::TV_DIALS_UNPROVEN_MAX;
            let next = self.proven.pop_front();
            let next = next.or_else(|| if room { self.unproven.pop_front() } else { None });
            let Some(key) = next else { return };
            if self.roster.get(key).is_some_and(|c| c.task == Task::Queued) {
                self.dial(cx, key);
            }
        }
    }

    fn dial(&mut self, cx: &mut Cx, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        let to = SocketAddr::new(client.address, self.rules.port);
        let patience = (Why::CallbackPatience, limits::TV_GRACE);
        let Some(conn) = cx.dial(Service::TvCallback, (to, None), patience) else {
            return self.retry(cx, key);
        };
        client.task = Task::Dialling(Some(conn));
        let unproven = !client.proven;
        self.dialling += 1;
        self.dialling_unproven += usize::from(unproven);
        self.callbacks.insert(conn.0, Callback { client: key, dialling: Some(unproven) });
    }

    /// A callback stands.
    pub fn connected(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(key) = self.dialled(conn) else { return };
        self.pump(cx);
        let live = self.roster.channel(client_channel(&self.roster, key)).and_then(|c| c.live);
        let Some(client) = self.roster.get_mut(key) else { return };
        let (payload, time) = match (client.phase, live) {
            (Phase::Answering(reply), _) => {
                (Payload::bytes(reply.emit().to_vec()), limits::TV_GRACE)
            }
            (_, Some(live)) => (Payload::span(live.span), live.lasts),
            (_, None) => {
                client.task = Task::Idle;
                self.forget(conn);
                return cx.close(conn, End::Reset);
            }
        };
        client.task = Task::Sending(conn);
        (client.owed, client.late, client.started) = (false, false, cx.now.mono);
        cx.send(conn, payload);
        cx.arm(conn, Why::CallbackDeadline, time);
    }

    /// A dial has ended: gives its slot back.
    fn dialled(&mut self, conn: Conn) -> Option<Key> {
        let callback = self.callbacks.get_mut(conn.0)?;
        if let Some(unproven) = callback.dialling.take() {
            self.dialling -= 1;
            self.dialling_unproven -= usize::from(unproven);
        }
        Some(callback.client)
    }

    /// A callback is no longer of interest.
    fn forget(&mut self, conn: Conn) -> Option<Key> {
        let key = self.dialled(conn)?;
        self.callbacks.remove(conn.0);
        Some(key)
    }

    /// The kernel took bytes of an answer or a block.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, bytes: u64, left: u64) {
        let Some(callback) = self.callbacks.get(conn.0) else { return };
        let Some(client) = self.roster.get_mut(callback.client) else { return };
        if client.phase == Phase::Watching {
            client.bytes += bytes;
            self.stats.bytes += bytes;
        }
        if left == 0 {
            self.through(cx, conn);
        }
    }

    /// All of it is sent.
    fn through(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(key) = self.forget(conn) else { return };
        cx.close(conn, End::Flushed);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Idle;
        match client.phase {
            Phase::Answering(reply) => self.answered(cx, key, reply),
            _ => self.delivered(cx, key),
        }
        if self.draining {
            self.remove(cx, key);
        }
    }

    fn answered(&mut self, cx: &mut Cx, key: Key, reply: Reply) {
        let Some(client) = self.roster.get_mut(key) else { return };
        let (address, channel) = (client.address, client.channel);
        if reply == Reply::Full {
            self.stats.full += 1;
            self.remove(cx, key);
            return self.events.push_back(Event::Full { address, channel });
        }
        self.stats.joins += 1;
        client.phase = Phase::Pausing;
        client.timer = Some(cx.wake(Why::JoinPause, key.to_bits(), self.rules.join_pause));
        self.events.push_back(Event::Joined { address, channel });
    }

    fn delivered(&mut self, cx: &mut Cx, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        self.stats.blocks += 1;
        self.stats.delivery.record(cx.now.mono.since(client.started));
        client.blocks += 1;
        if !client.late {
            client.strikes = 0;
            client.proven = true;
        }
        let owed = std::mem::take(&mut client.owed);
        let live = self.roster.channel(client_channel(&self.roster, key)).and_then(|c| c.live);
        if let Some(live) = live.filter(|_| owed && !self.draining) {
            self.offer(cx, key, live.lasts);
            self.pump(cx);
        }
    }

    /// The client hung up. On a callback it has nothing to say, so that changes nothing: either it
    /// still takes its bytes, or writing will tell.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        self.commands.ended(cx, conn);
    }

    /// A connection is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        self.commands.closed(conn);
        let Some(key) = self.forget(conn) else { return };
        self.pump(cx);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Idle;
        let answering = matches!(client.phase, Phase::Answering(_));
        match why {
            Gone::Refused | Gone::Exhausted if cx.now.mono < client.grace_until => {
                self.retry(cx, key);
            }
            // Our own want, or a block of ours that broke, is not the client's failure.
            Gone::Exhausted | Gone::Faulted if !answering => {}
            why => self.fail(cx, key, Failure::Gone(why)),
        }
    }

    /// Dials again in a moment.
    fn retry(&mut self, cx: &mut Cx, key: Key) {
        let wait = cx.rng.between(limits::TV_RETRY_MIN, limits::TV_RETRY_MAX);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Dialling(None);
        client.timer = Some(cx.wake(Why::CallbackRetry, key.to_bits(), wait));
    }

    fn fail(&mut self, cx: &mut Cx, key: Key, why: Failure) {
        let Some(client) = self.roster.get(key) else { return };
        let (address, channel) = (client.address, client.channel);
        if matches!(client.phase, Phase::Answering(_)) {
            self.remove(cx, key);
            self.events.push_back(Event::Unreachable { address, channel, why });
        } else if !client.late {
            // A block that was late already has its strike.
            self.strike(cx, key, why);
        }
    }

    fn strike(&mut self, cx: &mut Cx, key: Key, why: Failure) {
        let Some(client) = self.roster.get_mut(key) else { return };
        client.strikes += 1;
        client.proven = false;
        self.stats.strikes += 1;
        let removed = client.strikes >= limits::TV_STRIKES_MAX;
        let (address, channel) = (client.address, client.channel);
        self.events.push_back(Event::Struck { address, channel, why, removed });
        if removed {
            self.stats.removed += 1;
            self.remove(cx, key);
        }
    }

    /// A timer of a connection.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn, why: Why) {
        match why {
            Why::CallbackPatience => {
                let Some(key) = self.forget(conn) else { return };
                cx.close(conn, End::Reset);
                if let Some(client) = self.roster.get_mut(key) {
                    client.task = Task::Idle;
                }
                self.fail(cx, key, Failure::NotAccepted);
                self.pump(cx);
            }
            Why::CallbackDeadline => self.overdue(cx, conn),
            _ => self.commands.timeout(cx, conn),
        }
    }

    /// A block's time is over and it is not through: a strike for each such time.
    fn overdue(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(key) = self.callbacks.get(conn.0).map(|c| c.client) else { return };
        let Some(client) = self.roster.get_mut(key) else { return };
        if matches!(client.phase, Phase::Answering(_)) {
            self.forget(conn);
            cx.close(conn, End::Reset);
            return self.fail(cx, key, Failure::Late);
        }
        (client.late, client.owed) = (true, false);
        let live = self.roster.channel(client_channel(&self.roster, key)).and_then(|c| c.live);
        self.strike(cx, key, Failure::Late);
        if self.roster.get(key).is_some() {
            let lasts = live.map_or(limits::TV_GRACE, |l| l.lasts);
            cx.arm(conn, Why::CallbackDeadline, lasts);
        }
    }

    /// A timer of a client: [`Why::JoinPause`] or [`Why::CallbackRetry`], with the
    /// number it was armed with.
    pub fn client_timeout(&mut self, cx: &mut Cx, what: u64, why: Why) {
        let key = Key::from_bits(what);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.timer = None;
        if why == Why::CallbackRetry {
            return self.queue(cx, key);
        }
        client.phase = Phase::Watching;
        let channel = client.channel;
        if let Some(live) = self.roster.channel(channel).and_then(|c| c.live) {
            self.offer(cx, key, live.lasts);
            self.pump(cx);
        }
    }

    /// Lets everyone go who is not in the middle of a block.
    pub fn drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        let idle = |c: &Client| !matches!(c.task, Task::Sending(_));
        let keys: Vec<_> = self.roster.iter().filter(|(_, c)| idle(c)).map(|(k, _)| k).collect();
        for key in keys {
            self.remove(cx, key);
        }
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.callbacks.is_empty() && self.commands.len() == 0
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.bad_commands += self.commands.unasked;
        stats
    }

    /// Callbacks being dialled now.
    #[must_use]
    pub fn dials(&self) -> usize {
        self.dialling
    }

    /// Everyone in a channel.
    pub fn clients(&self) -> impl Iterator<Item = Viewer> {
        self.roster.iter().filter(|(_, c)| c.is_listed()).map(|(_, c)| Viewer {
            address: c.address,
            channel: c.channel,
            since: c.since,
            blocks: c.blocks,
            bytes: c.bytes,
            strikes: c.strikes,
        })
    }

    /// Looks the books through.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        self.commands.check_invariants();
        let dialling: Vec<_> = self.callbacks.iter().filter_map(|(_, c)| c.dialling).collect();
        let unproven = dialling.iter().filter(|unproven| **unproven).count();
        assert_eq!(dialling.len(), self.dialling, "dial slots are counted");
        assert_eq!(unproven, self.dialling_unproven, "and the unproven");
        assert!(self.dialling <= limits::TV_DIALS_MAX, "no more dials than allowed");
        for (key, callback) in self.callbacks.iter() {
            let client = self.roster.get(callback.client).expect("a callback has a client");
            let conn = Conn(key);
            let known = [Task::Dialling(Some(conn)), Task::Sending(conn)].contains(&client.task);
            assert!(known && cx.is_open(conn), "a client and its callback know each other");
        }
        for (key, client) in self.roster.iter() {
            assert!(client.strikes < limits::TV_STRIKES_MAX, "the second strike removes");
            assert_eq!(self.roster.find(client.address), Some(key), "an address is one client");
        }
        assert!(self.roster.len() <= limits::CONNS_MAX, "the roster is bounded");
    }
}

impl Rules {
    fn new(config: &config::Tv, attached: &[IpNet]) -> Self {
        Self {
            port: config.callback_port,
            networks: Networks::new(&config.callback_allow as &[Allow], attached),
            commands_max: config.commands_max,
            join_pause: config.join_pause,
        }
    }
}

fn client(now: Mono, address: IpAddr, channel: usize, phase: Phase) -> Client {
    Client {
        address,
        channel,
        phase,
        task: Task::Idle,
        strikes: 0,
        proven: false,
        owed: false,
        late: false,
        grace_until: now.after(limits::TV_GRACE),
        started: now,
        timer: None,
        since: now,
        blocks: 0,
        bytes: 0,
    }
}

fn client_channel(roster: &Roster, key: Key) -> usize {
    roster.get(key).map_or(usize::MAX, |c| c.channel)
}

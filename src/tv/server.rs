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
//! | watching, busy | a block goes on the air | owed, if the last one still has time |
//! | busy and owed | the last one is through, or failed | the block on the air begins |
//! | dialling | refused within the grace | dialled again in 20 to 50 ms |
//! | sending | through in time | idle, no strikes |
//! | | time over | a strike, once a block's time; the block goes on, the next one is skipped |
//! | any | refused after the grace, reset, not accepted | a strike |
//! | any | a want of ours, a block of ours that broke | idle |
//! | any | second strike in a row | removed |
//! | any | `12c`, `10` elsewhere, its channel ends | removed |
//!
//! The grace begins with the first dial. For an answer it is two seconds, for a block no more than
//! the block's time.

mod event;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::base::arena::Key;
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Gone, Payload, Service, Why};
use crate::channel::Block;
use crate::config::{self, Allow};
use crate::tv::callback::Networks;
use crate::tv::commands::Commands;
use crate::tv::dials::Dials;
use crate::tv::roster::{Client, Live, Phase, Roster, Task};
use crate::tv::wire::{self, Ask, COMMAND_BYTES, Command, Reply};

pub use event::{Event, Failure, Stats, Viewer};

#[derive(Debug)]
struct Rules {
    port: u16,
    networks: Networks,
    commands_max: usize,
    join_pause: Duration,
}

/// The tv server of a node.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    commands: Commands,
    roster: Roster,
    dials: Dials,
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
            dials: Dials::default(),
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
            self.part(cx, key);
        }
        self.pump(cx);
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
            self.pump(cx);
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
        let reply = if room { Reply::In } else { Reply::Full };
        let client = Client::new(cx.now.mono, address, channel, reply);
        if let Some(key) = self.roster.insert(client) {
            self.queue(key);
        }
    }

    fn leave(&mut self, cx: &mut Cx, address: IpAddr, channel: usize) {
        let found = self.roster.find(address);
        let found = found.filter(|k| self.roster.get(*k).is_some_and(|c| c.channel == channel));
        if let Some(key) = found {
            self.part(cx, key);
        }
    }

    /// A client goes of its own will, or its channel ends.
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
        if let Task::Queued(place) = client.task {
            self.dials.leave(place);
        }
        if let Some(conn) = client.conn() {
            self.dials.forget(conn);
            cx.close(conn, End::Reset);
        }
        Some(client)
    }

    /// A block goes on the air: to everyone who is free to take it.
    pub fn air(&mut self, cx: &mut Cx, channel: usize, block: &Block) {
        let Some(state) = self.roster.channel_mut(channel).filter(|_| !self.draining) else {
            return;
        };
        state.live = Some(Live { span: block.span(), lasts: block.lasts });
        for key in self.roster.members(channel).to_vec() {
            let Some(client) = self.roster.get_mut(key) else { continue };
            match (client.phase, client.task) {
                (Phase::Watching, Task::Idle) => self.offer(key),
                (Phase::Watching, Task::Dialling(_) | Task::Retrying) => client.owed = true,
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
    fn offer(&mut self, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        (client.owed, client.late, client.grace_until) = (false, false, None);
        self.queue(key);
    }

    fn queue(&mut self, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Queued(self.dials.queue(key, client.proven));
    }

    /// Dials as many of the waiting as may be dialled at once. The end of whatever may have let
    /// somebody wait, or made room.
    fn pump(&mut self, cx: &mut Cx) {
        while let Some(key) = self.dials.next() {
            self.dial(cx, key);
        }
    }

    fn dial(&mut self, cx: &mut Cx, key: Key) {
        let live = self.roster.live(key);
        let Some(client) = self.roster.get_mut(key) else { return };
        let lasts =
            if client.is_answering() { Some(limits::TV_GRACE) } else { live.map(|l| l.lasts) };
        let Some(lasts) = lasts else {
            client.task = Task::Idle;
            return;
        };
        let now = cx.now.mono;
        let until = *client.grace_until.get_or_insert(now.after(lasts.min(limits::TV_GRACE)));
        let patience = until.since(now).max(limits::TV_RETRY_MAX);
        let to = SocketAddr::new(client.address, self.rules.port);
        match cx.dial(Service::TvCallback, (to, None), (Why::CallbackPatience, patience)) {
            Some(conn) => {
                client.task = Task::Dialling(conn);
                self.dials.begin(conn, key, client.proven);
            }
            None => self.broken(cx, key, Gone::Exhausted),
        }
    }

    /// A callback stands.
    pub fn connected(&mut self, cx: &mut Cx, conn: Conn) {
        if let Some(key) = self.dials.connected(conn) {
            self.begin(cx, key, conn);
            self.pump(cx);
        }
    }

    /// Sends a client its answer, or what is on the air.
    fn begin(&mut self, cx: &mut Cx, key: Key, conn: Conn) {
        let live = self.roster.live(key);
        let Some(client) = self.roster.get_mut(key) else { return };
        let (payload, time) = match (client.phase, live) {
            (Phase::Answering(reply), _) => {
                (Payload::bytes(reply.emit().to_vec()), limits::TV_GRACE)
            }
            (_, Some(live)) => (Payload::span(live.span), live.lasts),
            (_, None) => {
                client.task = Task::Idle;
                self.dials.forget(conn);
                return cx.close(conn, End::Reset);
            }
        };
        client.task = Task::Sending(conn);
        (client.owed, client.started) = (false, cx.now.mono);
        cx.send(conn, payload);
        cx.arm(conn, Why::CallbackDeadline, time);
    }

    /// The kernel took bytes of an answer or a block.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, bytes: u64, left: u64) {
        let Some(key) = self.dials.client(conn) else { return };
        let Some(client) = self.roster.get_mut(key) else { return };
        if client.phase == Phase::Watching {
            client.bytes += bytes;
            self.stats.bytes += bytes;
        }
        if left == 0 {
            self.through(cx, key, conn);
            self.pump(cx);
        }
    }

    /// All of it is sent.
    fn through(&mut self, cx: &mut Cx, key: Key, conn: Conn) {
        self.dials.forget(conn);
        cx.close(conn, End::Flushed);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Idle;
        match client.phase {
            Phase::Answering(reply) => self.answered(cx, key, reply),
            Phase::Pausing | Phase::Watching => self.delivered(cx, key),
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

    fn delivered(&mut self, cx: &Cx, key: Key) {
        let Some(client) = self.roster.get_mut(key) else { return };
        self.stats.blocks += 1;
        self.stats.delivery.record(cx.now.mono.since(client.started));
        client.blocks += 1;
        if !client.late {
            client.strikes = 0;
            client.proven = true;
        }
        self.go_on(key);
    }

    /// After a block, or one that failed: the one that went on the air meanwhile, if it is owed.
    fn go_on(&mut self, key: Key) {
        let draining = self.draining;
        if self.roster.get(key).is_some_and(|client| client.owed && !draining) {
            self.offer(key);
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
        if let Some(key) = self.dials.forget(conn) {
            self.broken(cx, key, why);
            self.pump(cx);
        }
    }

    /// A callback came to nothing.
    fn broken(&mut self, cx: &mut Cx, key: Key, why: Gone) {
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Idle;
        let in_grace = client.grace_until.is_some_and(|until| cx.now.mono < until);
        match why {
            _ if self.draining => drop(self.remove(cx, key)),
            Gone::Refused | Gone::Exhausted if in_grace => self.retry(cx, key),
            // Our own want, or a block of ours that broke, is not the client's failure.
            Gone::Exhausted | Gone::Faulted if !client.is_answering() => self.go_on(key),
            why => self.fail(cx, key, Failure::Gone(why)),
        }
    }

    /// Dials again in a moment.
    fn retry(&mut self, cx: &mut Cx, key: Key) {
        let wait = cx.rng.between(limits::TV_RETRY_MIN, limits::TV_RETRY_MAX);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.task = Task::Retrying;
        client.timer = Some(cx.wake(Why::CallbackRetry, key.to_bits(), wait));
    }

    fn fail(&mut self, cx: &mut Cx, key: Key, why: Failure) {
        let Some(client) = self.roster.get(key) else { return };
        let (address, channel) = (client.address, client.channel);
        if client.is_answering() {
            self.remove(cx, key);
            return self.events.push_back(Event::Unreachable { address, channel, why });
        }
        // A block that was late already has its strike.
        if !client.late {
            self.strike(cx, key, why);
        }
        self.go_on(key);
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
            Why::CallbackPatience => self.give_up(cx, conn, Failure::NotAccepted),
            Why::CallbackDeadline => self.overdue(cx, conn),
            _ => self.commands.timeout(cx, conn),
        }
        self.pump(cx);
    }

    fn give_up(&mut self, cx: &mut Cx, conn: Conn, why: Failure) {
        let Some(key) = self.dials.forget(conn) else { return };
        cx.close(conn, End::Reset);
        if let Some(client) = self.roster.get_mut(key) {
            client.task = Task::Idle;
        }
        self.fail(cx, key, why);
    }

    /// A block's time is over and it is not through: a strike for each such time.
    fn overdue(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(key) = self.dials.client(conn) else { return };
        let live = self.roster.live(key);
        let Some(client) = self.roster.get_mut(key) else { return };
        if client.is_answering() {
            return self.give_up(cx, conn, Failure::Late);
        }
        (client.late, client.owed) = (true, false);
        cx.arm(conn, Why::CallbackDeadline, live.map_or(limits::TV_GRACE, |l| l.lasts));
        self.strike(cx, key, Failure::Late);
    }

    /// A timer of a client: [`Why::JoinPause`] or [`Why::CallbackRetry`], with the
    /// number it was armed with.
    pub fn client_timeout(&mut self, cx: &mut Cx, what: u64, why: Why) {
        let key = Key::from_bits(what);
        let Some(client) = self.roster.get_mut(key) else { return };
        client.timer = None;
        if why == Why::CallbackRetry {
            self.queue(key);
        } else {
            client.phase = Phase::Watching;
            self.offer(key);
        }
        self.pump(cx);
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
        self.dials.dialling()
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

    /// Timers that it holds beside those of connections.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.roster.iter().filter(|(_, client)| client.timer.is_some()).count()
    }

    /// Looks the books through.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        self.commands.check_invariants(cx);
        self.roster.check_invariants();
        self.dials.check_invariants();
        for (conn, key) in self.dials.iter() {
            let client = self.roster.get(key).expect("a callback has a client");
            assert!(client.conn() == Some(conn) && cx.is_open(conn), "and the client knows it");
        }
        let mut waiting = 0;
        for (key, client) in self.roster.iter() {
            let times = client.phase == Phase::Pausing || client.task == Task::Retrying;
            assert_eq!(client.timer.is_some(), times, "who waits for a time has a timer");
            let at_rest = client.is_answering() && client.task == Task::Idle;
            assert!(!at_rest, "who waits for an answer is dialled");
            if let Task::Queued(place) = client.task {
                assert_eq!(self.dials.at(place), Some(key), "who is queued has that place");
                waiting += 1;
            }
        }
        assert_eq!(waiting, self.dials.waiting(), "and nobody else waits");
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

#[cfg(test)]
mod tests;

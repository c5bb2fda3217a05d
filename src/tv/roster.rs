//! Who is in which channel, and what each client is owed. Only bookkeeping: `server` decides.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::base::arena::{Arena, Key};
use crate::base::limits;
use crate::base::port::{Conn, Span};
use crate::base::time::Mono;
use crate::base::wheel::Timer;
use crate::tv::dials::Place;
use crate::tv::wire::Reply;

/// What a client is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// To be told this; not listed yet.
    Answering(Reply),
    /// The first block, a moment after `10`.
    Pausing,
    /// Blocks.
    Watching,
}

/// What is under way to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Task {
    /// Nothing.
    Idle,
    /// It waits for its turn to be dialled.
    Queued(Place),
    /// It is being dialled.
    Dialling(Conn),
    /// It was refused, and is dialled again in a moment.
    Retrying,
    /// It is being sent an answer or a block.
    Sending(Conn),
}

/// A client: an address.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) channel: usize,
    pub(super) phase: Phase,
    pub(super) task: Task,
    pub(super) strikes: u8,
    /// It has taken a block, and the last one in time.
    pub(super) proven: bool,
    /// A block went on the air while it was busy with an earlier one that still had time.
    pub(super) owed: bool,
    /// What it is being sent has run over its time.
    pub(super) late: bool,
    /// Refusals before this are the original's late bind, not a failure; none until it is dialled.
    pub(super) grace_until: Option<Mono>,
    pub(super) started: Mono,
    pub(super) timer: Option<Timer>,
    pub(super) since: Mono,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

impl Client {
    /// Somebody who is to be answered, and has nothing under way yet.
    pub(super) fn new(now: Mono, address: IpAddr, channel: usize, reply: Reply) -> Self {
        Self {
            address,
            channel,
            phase: Phase::Answering(reply),
            task: Task::Idle,
            strikes: 0,
            proven: false,
            owed: false,
            late: false,
            grace_until: None,
            started: now,
            timer: None,
            since: now,
            blocks: 0,
            bytes: 0,
        }
    }

    pub(super) fn is_answering(&self) -> bool {
        matches!(self.phase, Phase::Answering(_))
    }

    /// The connection to it.
    pub(super) fn conn(&self) -> Option<Conn> {
        match self.task {
            Task::Dialling(conn) | Task::Sending(conn) => Some(conn),
            Task::Idle | Task::Queued(_) | Task::Retrying => None,
        }
    }

    pub(super) fn is_listed(&self) -> bool {
        matches!(self.phase, Phase::Pausing | Phase::Watching)
    }
}

/// What a channel has on the air.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Live {
    pub(super) span: Span,
    pub(super) lasts: Duration,
}

/// One channel's part.
#[derive(Default, Debug)]
pub(super) struct Channel {
    pub(super) clients_max: usize,
    pub(super) live: Option<Live>,
    members: Vec<Key>,
}

/// Every client of every channel.
#[derive(Debug)]
pub(super) struct Roster {
    clients: Arena<Client>,
    by_address: BTreeMap<IpAddr, Key>,
    channels: Vec<Channel>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            clients: Arena::new(limits::CONNS_MAX),
            by_address: BTreeMap::new(),
            channels: Vec::new(),
        }
    }

    pub(super) fn channel(&self, number: usize) -> Option<&Channel> {
        self.channels.get(number)
    }

    pub(super) fn channel_mut(&mut self, number: usize) -> Option<&mut Channel> {
        self.channels.get_mut(number)
    }

    /// Channels from now on, by their clients' limit; members of those that end are returned.
    pub(super) fn set_channels(&mut self, clients_max: &[usize]) -> Vec<Key> {
        let ended = self.channels.drain(clients_max.len().min(self.channels.len())..);
        let ended = ended.flat_map(|c| c.members).collect();
        self.channels.resize_with(clients_max.len(), Channel::default);
        for (channel, max) in self.channels.iter_mut().zip(clients_max) {
            channel.clients_max = *max;
        }
        ended
    }

    pub(super) fn insert(&mut self, client: Client) -> Option<Key> {
        let (address, channel) = (client.address, client.channel);
        let answering = client.phase == Phase::Answering(Reply::Full);
        let key = self.clients.insert(client)?;
        self.by_address.insert(address, key);
        if let Some(channel) = self.channels.get_mut(channel).filter(|_| !answering) {
            channel.members.push(key);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Client> {
        let client = self.clients.remove(key)?;
        if self.by_address.get(&client.address) == Some(&key) {
            self.by_address.remove(&client.address);
        }
        if let Some(channel) = self.channels.get_mut(client.channel) {
            channel.members.retain(|member| *member != key);
        }
        Some(client)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Client> {
        self.clients.get(key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Client> {
        self.clients.get_mut(key)
    }

    pub(super) fn find(&self, address: IpAddr) -> Option<Key> {
        self.by_address.get(&address).copied()
    }

    /// What the channel of a client has on the air.
    pub(super) fn live(&self, key: Key) -> Option<Live> {
        self.channel(self.clients.get(key)?.channel)?.live
    }

    /// Those in a channel, the ones about to be let in among them, in the order they came.
    pub(super) fn members(&self, number: usize) -> &[Key] {
        self.channels.get(number).map_or(&[], |c| &c.members)
    }

    /// Those that the channel sends to, in the order they came.
    pub(super) fn listed(&self, number: usize) -> impl Iterator<Item = &Client> {
        let members = self.members(number).iter();
        members.filter_map(|key| self.clients.get(*key)).filter(|c| c.is_listed())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Client)> {
        self.clients.iter()
    }

    pub(super) fn check_invariants(&self) {
        let mut seated = BTreeSet::new();
        for (number, channel) in self.channels.iter().enumerate() {
            for key in &channel.members {
                let client = self.clients.get(*key).expect("each member is a client");
                assert_eq!(client.channel, number, "it is in the channel that it names");
                assert!(seated.insert(*key), "and there once");
            }
        }
        for (key, client) in self.iter() {
            let refused = client.phase == Phase::Answering(Reply::Full);
            assert_eq!(seated.contains(&key), !refused, "who was not refused is in a channel");
            assert!(client.strikes < limits::TV_STRIKES_MAX, "the second strike removes");
            assert_eq!(self.find(client.address), Some(key), "an address is one client");
        }
        assert_eq!(self.by_address.len(), self.clients.len(), "each address is a client");
    }
}

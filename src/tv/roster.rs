//! Who is in which channel, and what each client is owed. Only bookkeeping: `server` decides.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::arena::{Arena, Key};
use crate::base::limits;
use crate::base::port::{Conn, Span};
use crate::base::time::Mono;
use crate::base::wheel::Timer;
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
    Queued,
    /// It is being dialled, or will be again in a moment.
    Dialling(Option<Conn>),
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
    /// Refusals before this are the original's late bind, not a failure.
    pub(super) grace_until: Mono,
    pub(super) started: Mono,
    pub(super) timer: Option<Timer>,
    pub(super) since: Mono,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

impl Client {
    pub(super) fn is_listed(&self) -> bool {
        matches!(self.phase, Phase::Pausing | Phase::Watching)
    }
}

/// What a channel has on the air.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Live {
    pub(super) span: Span,
    pub(super) lasts: core::time::Duration,
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

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }
}

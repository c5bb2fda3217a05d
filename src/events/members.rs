//! Who has registered: addresses with ports, bounded in all and for each address, and, where
//! proofs are asked for, whether somebody is there. `server` asks it whom an event goes to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::limits;
use crate::base::time::Mono;
use crate::events::server::Rules;

/// What a registration led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// A member that was none before.
    New,
    /// A member already: nothing changes but that it was heard.
    Known,
    /// There is no room, in all or for its address.
    Full,
}

/// What is known of one member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Member {
    heard: Mono,
    proof: Proof,
}

/// Whether the address that a registration named is one where somebody listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    /// It registered again after it was sent an event, or no proof is asked for.
    Given,
    /// It is still to be sent the one event that a registration is worth.
    Owed,
    /// It was sent that, and has not spoken since.
    Awaited,
}

/// Everybody who has registered.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: BTreeMap<SocketAddr, Member>,
    addresses: BTreeMap<IpAddr, usize>,
    /// Those whom every event goes to, while none came or went.
    proven: Option<Rc<[SocketAddr]>>,
    /// How many are owed one event.
    owed: usize,
}

impl Members {
    /// Registers, for the first time or again.
    pub(super) fn enter(&mut self, now: Mono, from: SocketAddr, rules: &Rules) -> Entry {
        if let Some(member) = self.all.get_mut(&from) {
            member.heard = now;
            if member.proof == Proof::Awaited {
                member.proof = Proof::Given;
                self.proven = None;
            }
            return Entry::Known;
        }
        let here = self.addresses.get(&from.ip()).copied().unwrap_or(0);
        let per_address =
            if rules.per_address_max == 0 { usize::MAX } else { rules.per_address_max };
        if self.all.len() >= rules.members_max || here >= per_address {
            return Entry::Full;
        }
        let proof = if rules.prove { Proof::Owed } else { Proof::Given };
        self.owed += usize::from(rules.prove);
        self.all.insert(from, Member { heard: now, proof });
        *self.addresses.entry(from.ip()).or_default() += 1;
        self.proven = None;
        Entry::New
    }

    /// Takes a member out; whether it was one.
    pub(super) fn leave(&mut self, from: SocketAddr) -> bool {
        let Some(member) = self.all.remove(&from) else { return false };
        self.owed -= usize::from(member.proof == Proof::Owed);
        self.proven = None;
        if let Some(count) = self.addresses.get_mut(&from.ip()) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&from.ip());
            }
        }
        true
    }

    /// Whom the event of now goes to. It settles what was owed.
    pub(super) fn recipients(&mut self) -> Rc<[SocketAddr]> {
        let proven = self.proven.get_or_insert_with(|| {
            let proven = self.all.iter().filter(|(_, m)| m.proof == Proof::Given);
            proven.map(|(to, _)| *to).collect()
        });
        if self.owed == 0 {
            return Rc::clone(proven);
        }
        let mut to = proven.to_vec();
        for (address, member) in self.all.iter_mut().filter(|(_, m)| m.proof == Proof::Owed) {
            member.proof = Proof::Awaited;
            to.push(*address);
        }
        self.owed = 0;
        to.into()
    }

    /// Forgets those who have been silent too long; gives them.
    pub(super) fn expire(&mut self, now: Mono, rules: &Rules) -> Vec<SocketAddr> {
        let may_wait = |member: &Member| match member.proof {
            Proof::Given if rules.expire.is_zero() => None,
            Proof::Given => Some(rules.expire),
            // Otherwise invented addresses would fill the list for ever.
            Proof::Owed | Proof::Awaited => Some(limits::EVENTS_PROOF_PATIENCE),
        };
        if rules.expire.is_zero() && !rules.prove {
            return Vec::new();
        }
        let silent = |m: &Member| may_wait(m).is_some_and(|most| now.since(m.heard) > most);
        let gone: Vec<_> = self.all.iter().filter(|(_, m)| silent(m)).map(|(a, _)| *a).collect();
        for address in &gone {
            self.leave(*address);
        }
        gone
    }

    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Holds the books against each other.
    ///
    /// # Panics
    /// When they do not agree.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.addresses.values().sum::<usize>(), self.all.len(), "each has an address");
        let owed = self.all.values().filter(|m| m.proof == Proof::Owed).count();
        assert_eq!(owed, self.owed, "what is owed is known");
    }
}

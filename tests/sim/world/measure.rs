//! What is looked at each second of a run, and what is made of it: depths, cycles, moves, who was
//! served, how evenly bytes were sent.

use std::fmt::Write as _;

use super::net::{MS, SECOND};
use super::{World, host_of};

const NOBODY: u32 = u32::MAX;

/// What was seen, second by second.
#[derive(Debug, Default)]
pub struct Survey {
    /// By host: whom it takes each stripe from.
    parents: Vec<[u32; 16]>,
    /// Members in a cycle when last looked: host and stripe.
    looping: Vec<(u32, usize)>,
    pub depth_max: usize,
    pub moves: u64,
    pub looks: u64,
    /// Cycles that stood for two looks.
    pub cycles: u64,
    /// Places without a parent, summed over all looks.
    pub orphans: u64,
    unserved: usize,
    pub astray: f64,
    /// By host: what it had sent when measuring began.
    base: Vec<(u64, u64)>,
    root_base: u64,
}

/// How evenly something is spread.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub count: usize,
    pub jain: f64,
    pub max_over_mean: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
        let squares: f64 = values.iter().map(|value| value * value).sum();
        let most = values.iter().copied().fold(0.0, f64::max);
        if sum <= 0.0 {
            return Self { count: values.len(), jain: 1.0, max_over_mean: 1.0 };
        }
        let (jain, max_over_mean) = (sum * sum / (count * squares), most * count / sum);
        Self { count: values.len(), jain, max_over_mean }
    }
}

impl World {
    /// Looks at all trees.
    pub fn look(&mut self) {
        let stripes = self.settings.stripes;
        let mut parents = self.survey.parents.clone();
        parents.resize(self.hosts.len(), [NOBODY; 16]);
        for (i, row) in parents.iter_mut().enumerate() {
            if core::mem::take(&mut self.net.status[i].stirred) {
                *row = self.parents_of(i);
            }
        }
        let known = self.survey.parents.iter().zip(&parents).zip(&self.hosts);
        let moved = |(old, new): (&[u32; 16], &[u32; 16])| {
            let pairs = old.iter().zip(new).take(stripes);
            pairs.filter(|(a, b)| **a != NOBODY && **b != NOBODY && a != b).count() as u64
        };
        self.survey.moves +=
            known.filter(|(_, host)| host.is_some()).map(|(pair, _)| moved(pair)).sum::<u64>();
        let (mut looping, mut deepest) = (Vec::new(), 0);
        for s in 0..stripes {
            let depth = self.depths(&parents, s, &mut looping);
            deepest = deepest.max(depth);
        }
        let orphaned = |host: &u32| {
            let begun = self.net.status[*host as usize].begun;
            let missing = parents[*host as usize].iter().take(stripes).filter(|p| **p == NOBODY);
            if begun { missing.count() as u64 } else { 0 }
        };
        self.survey.orphans += self.alive.iter().map(orphaned).sum::<u64>();
        let stands = looping.iter().filter(|place| self.survey.looping.contains(place)).count();
        if stands > 0 {
            self.survey.cycles += 1;
            let (host, stripe) = looping[0];
            let mut what = format!("a cycle of {stands} places in stripe {stripe}");
            for (host, s) in looping.iter().take(if self.net.remember > 0 { 20 } else { 0 }) {
                let up = parents[*host as usize][*s];
                let memory = self.memories(*host).join("\n    ");
                write!(what, "\n  {host} below {up} in {s}\n    {memory}")
                    .expect("a String takes it");
            }
            self.net.fault(self.now, host, &what);
        }
        self.survey.looks += 1;
        self.survey.depth_max = self.survey.depth_max.max(deepest);
        (self.survey.looping, self.survey.parents) = (looping, parents);
    }

    fn parents_of(&self, host: usize) -> [u32; 16] {
        let mut parents = [NOBODY; 16];
        let Some(host) = self.hosts[host].as_ref().filter(|host| host.id != 0) else {
            return parents;
        };
        for (s, node) in host.mesh.parents().enumerate() {
            let Some(node) = node else { continue };
            let parent = u32::try_from(host_of(node)).unwrap_or(NOBODY);
            // Another process of the same machine is another node.
            let present = self.net.status.get(host_of(node)).map(|status| status.life);
            if parent != 0 && present != Some((node.0 >> 32) as u32) {
                continue;
            }
            parents[s] = parent;
        }
        parents
    }

    /// The depth of the deepest member in a stripe; those that the walk up comes back to are put
    /// down as looping.
    fn depths(&self, parents: &[[u32; 16]], s: usize, looping: &mut Vec<(u32, usize)>) -> usize {
        // 0: not walked; 1: on the walk; else its depth and 2, or a place without a way up.
        const LOST: u32 = u32::MAX;
        let mut depths = vec![0_u32; self.hosts.len()];
        depths[0] = 2;
        let mut deepest = 0;
        let mut walk = Vec::new();
        for host in &self.alive {
            let mut at = *host;
            while depths[at as usize] == 0 {
                depths[at as usize] = 1;
                walk.push(at);
                let up = parents[at as usize][s];
                if up == NOBODY || self.hosts[up as usize].is_none() {
                    depths[at as usize] = LOST;
                    walk.pop();
                    break;
                }
                at = up;
            }
            if depths[at as usize] == 1 {
                let from = walk.iter().position(|walked| *walked == at).unwrap_or(0);
                looping.extend(walk[from..].iter().map(|host| (*host, s)));
                depths[at as usize] = LOST;
            }
            let mut depth = depths[at as usize];
            while let Some(down) = walk.pop() {
                if depth != LOST {
                    depth += 1;
                    deepest = deepest.max(depth - 2);
                }
                depths[down as usize] = depth;
            }
        }
        deepest as usize
    }

    /// The parents of all members, to be compared later.
    pub fn parents(&self) -> Vec<[u32; 16]> {
        self.survey.parents.clone()
    }

    /// The share of places of members that are still there whose parent is another than then.
    pub fn changed_since(&self, before: &[[u32; 16]]) -> f64 {
        let (mut changed, mut all) = (0_u64, 0_u64);
        for host in &self.alive {
            let Some(old) = before.get(*host as usize) else { continue };
            let new = &self.survey.parents[*host as usize];
            for (old, new) in old.iter().zip(new).take(self.settings.stripes) {
                all += u64::from(*old != NOBODY);
                changed += u64::from(*old != NOBODY && old != new);
            }
        }
        changed as f64 / (all as f64).max(1.0)
    }

    /// The share of places in which a member is fed by another than the plan says, and one of them:
    /// member, stripe, its parent and the planned one.
    pub fn astray(&self) -> (f64, Option<(u32, usize, u32, u32)>) {
        let Some(Some(root)) = self.hosts.first() else { return (0.0, None) };
        let (mut astray, mut all, mut first) = (0_u64, 0_u64, None);
        for host in &self.alive {
            let life = self.net.status[*host as usize].life;
            let Some(place) = root.mesh.why(super::node_id(*host, life)) else { continue };
            let actual = self.parents_of(*host as usize);
            for source in &place.sources {
                let planned = source.parent.map_or(NOBODY, |node| host_of(node) as u32);
                for s in source.stripes.iter() {
                    all += 1;
                    if actual[s] != planned {
                        astray += 1;
                        first = first.or(Some((*host, s, actual[s], planned)));
                    }
                }
            }
        }
        (astray as f64 / (all as f64).max(1.0), first)
    }

    /// From now on it counts.
    pub fn begin_measuring(&mut self) {
        self.catch_up_all();
        let now = self.now;
        let sent = |host: &Option<Box<super::Host>>| host.as_ref().map_or(0, |h| h.log.sent);
        self.survey.root_base = self.host(0).map_or(0, |root| root.log.pushed);
        self.survey.base = self.hosts.iter().map(|host| (now, sent(host))).collect();
        self.survey.depth_max = 0;
        self.survey.moves = 0;
        self.survey.looks = 0;
        self.net.tally = super::Tally::default();
    }

    /// How evenly bytes were sent by members that have been there for long; those with slots only,
    /// if wanted.
    pub fn spread(&self, at_least: u64, with_slots: bool) -> Spread {
        let hosts = self.hosts.iter().flatten().filter(|host| host.id != 0);
        let rate = |host: &super::Host| {
            let placed = host.log.placed?;
            let base = self.survey.base.get(host.id as usize).copied().unwrap_or((placed, 0));
            let (since, sent) = if base.0 > placed { base } else { (placed, 0) };
            let there = self.now.saturating_sub(placed) > at_least;
            let counts = there && (!with_slots || host.slots > 0);
            let nanos = self.now.saturating_sub(since).max(1);
            counts.then(|| (host.log.sent - sent) as f64 / nanos as f64)
        };
        Spread::of(&hosts.map(|host| &**host).filter_map(rate).collect::<Vec<_>>())
    }

    /// Copies of the channel that the root has sent since measuring began.
    pub fn root_copies(&self) -> f64 {
        let Some(Some(root)) = self.hosts.first() else { return 0.0 };
        let since = self.survey.base.first().map_or(SECOND, |(since, _)| *since);
        let channel = self.settings.block_bytes as f64 * (self.now - since) as f64
            / self.settings.lasts as f64;
        root.log.pushed.saturating_sub(self.survey.root_base) as f64 / channel.max(1.0)
    }

    /// Members that a root took in some time ago and that have still got no block.
    pub fn unserved(&self, after: u64) -> usize {
        let hosts = self.hosts.iter().flatten();
        let old = hosts.filter(|h| h.log.placed.is_some_and(|at| self.now - at > after));
        old.filter(|host| host.log.next.is_none()).count()
    }

    /// Members that no root took in, and what they were told.
    pub fn refused(&self) -> (usize, Option<&str>) {
        let hosts = self.hosts.iter().flatten().filter(|host| host.id != 0);
        let out: Vec<_> = hosts.filter(|host| host.log.placed.is_none()).collect();
        (out.len(), out.iter().find_map(|host| host.log.full.as_deref()))
    }

    /// Counts, at the end, what nobody has said is missing, and holes that never closed.
    pub fn close_books(&mut self) {
        self.catch_up_all();
        let hosts = core::mem::take(&mut self.hosts);
        for host in hosts.iter().flatten() {
            self.count_missing(host);
            self.count_slots(host);
            let now = self.now;
            let open = host.log.watches.iter().filter(|watch| watch.due + 2 * SECOND < now);
            self.net.holes.extend(open.map(|watch| now - watch.due));
        }
        self.hosts = hosts;
    }

    /// Everybody leaves, the root last; whoever does not, or leaves something behind, is a fault.
    pub fn end(&mut self) {
        self.survey.unserved = self.unserved(8 * SECOND);
        for host in self.alive.clone().into_iter().rev() {
            self.leave(host);
        }
        self.run(self.now + 5 * SECOND);
        if let Some(host) = self.alive.first().copied() {
            self.net.fault(self.now, host, "does not leave");
        }
        self.leave(0);
    }

    /// Members that had no block when the end came.
    pub fn unserved_at_end(&self) -> usize {
        self.survey.unserved
    }

    /// What the hosts of the first faults remember.
    pub fn memories(&self, host: u32) -> Vec<String> {
        let host = self.hosts.get(host as usize).and_then(Option::as_ref);
        host.map_or_else(Vec::new, |host| host.log.events.iter().cloned().collect())
    }
}

/// The value that a share of all values are not above.
pub fn quantile(values: &mut [u64], share: f64) -> u64 {
    values.sort_unstable();
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// Nanoseconds as milliseconds.
pub fn millis(nanos: u64) -> f64 {
    nanos as f64 / MS as f64
}

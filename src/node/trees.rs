//! The relay trees joined to a node: a server is the root of a mesh for each of its channels, a
//! relay or client whose configuration names roots is a member. What the mesh brings is kept until
//! its air time and then goes where every source's blocks go.
//!
//! One port carries all meshes of a node: who connects waits in the lobby until it has said which
//! channel it wants.

use core::time::Duration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Facts, Gone, Span, Why};
use crate::base::time::Wall;
use crate::base::wheel::Timer;
use crate::channel::playout::Playout;
use crate::channel::{Block, Place};
use crate::config::{self, Role};
use crate::media::name;
use crate::media::schedule::Schedule;
use crate::media::sniff::{Container, sniff};
use crate::mesh::wire::{NodeId, Timeline};
use crate::mesh::{
    Airing, Arrived, Event, Lobby, MemberSettings, Mesh, PartSettings, RootSettings,
};
use crate::node::{Channel, Node, observe};

/// A node's parts in meshes.
#[derive(Debug, Default)]
pub(super) struct Trees {
    lobby: Lobby,
    /// By the number of the channel in this node.
    each: BTreeMap<usize, Tree>,
}

/// The part in the mesh of one channel.
#[derive(Debug, Default)]
struct Tree {
    /// None before it has one, and when it has left it.
    mesh: Option<Mesh>,
    /// The run of the channel, where this node is its root.
    epoch: Option<u64>,
    /// The newest block that a root gave to the mesh, and its air time.
    given: Option<(u64, Wall)>,
    /// Blocks that are complete and not on the air yet, oldest first.
    waiting: VecDeque<Rc<Block>>,
    timer: Option<Timer>,
    /// Blobs that the mesh may still send from.
    lent: Vec<Blob>,
}

impl Trees {
    /// Every mesh with the number of its channel in this node.
    pub(super) fn meshes(&self) -> impl Iterator<Item = (usize, &Mesh)> + Clone {
        self.each.iter().filter_map(|(number, tree)| Some((*number, tree.mesh.as_ref()?)))
    }

    fn meshes_mut(&mut self) -> impl Iterator<Item = &mut Mesh> {
        self.each.values_mut().filter_map(|tree| tree.mesh.as_mut())
    }

    /// Whether a mesh looks at this connection from time to time, so that it needs no timer.
    pub(super) fn looks_at(&self, conn: Conn) -> bool {
        self.meshes().any(|(_, mesh)| mesh.looks_at(conn))
    }

    fn mesh_of(&mut self, conn: Conn) -> Option<&mut Mesh> {
        self.meshes_mut().find(|mesh| mesh.has(conn))
    }

    pub(super) fn set_roots(&mut self, roots: &[SocketAddr]) {
        self.meshes_mut().for_each(|mesh| mesh.set_roots(roots.to_vec()));
    }

    /// Timers that it holds beside those of connections.
    pub(super) fn timers(&self) -> usize {
        let meshes: usize = self.meshes().map(|(_, mesh)| mesh.timers()).sum();
        meshes + self.each.values().filter(|tree| tree.timer.is_some()).count()
    }

    /// Blobs that it holds and that are in no window.
    pub(super) fn blobs(&self) -> usize {
        let meshes: usize = self.meshes().map(|(_, mesh)| mesh.blobs()).sum();
        meshes + self.each.values().map(|tree| tree.waiting.len()).sum::<usize>()
    }

    /// Whether nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        self.meshes().next().is_none()
    }

    pub(super) fn check_invariants(&self, cx: &Cx) {
        self.meshes().for_each(|(_, mesh)| mesh.check_invariants(cx));
    }

    /// Bytes for a link of some mesh, or for one that has still to say which.
    pub(super) fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        if !self.lobby.has(conn) {
            return self.mesh_of(conn).into_iter().for_each(|mesh| mesh.data(cx, conn, bytes));
        }
        let Some(guest) = self.lobby.data(cx, conn, bytes) else { return };
        let mut trees = self.each.values_mut();
        let wanted = |mesh: &&mut Mesh| mesh.channel() == guest.channel();
        if let Some(mesh) = trees.find_map(|t| t.mesh.as_mut().filter(wanted)) {
            return mesh.admit(cx, guest);
        }
        let meshes = self.each.values().filter_map(|tree| tree.mesh.as_ref());
        let ours: Vec<&str> = meshes.map(Mesh::channel).collect();
        self.lobby.refuse(cx, &guest, &ours);
    }

    pub(super) fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        self.lobby.incoming(cx, peer);
    }

    pub(super) fn filled(&mut self, cx: &mut Cx, conn: Conn, upto: u64) {
        self.mesh_of(conn).into_iter().for_each(|mesh| mesh.filled(cx, conn, upto));
    }

    pub(super) fn sent(&mut self, cx: &mut Cx, conn: Conn, bytes: u64) {
        self.mesh_of(conn).into_iter().for_each(|mesh| mesh.sent(cx, conn, bytes));
    }

    pub(super) fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        self.lobby.end(cx, conn);
        self.mesh_of(conn).into_iter().for_each(|mesh| mesh.ended(cx, conn));
    }

    pub(super) fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        self.lobby.closed(cx, conn);
        match self.mesh_of(conn) {
            Some(mesh) => mesh.closed(cx, conn, why),
            // A mesh may remember more of it than the link.
            None => self.meshes_mut().for_each(|mesh| mesh.closed(cx, conn, why)),
        }
    }

    pub(super) fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        if self.lobby.has(conn) {
            return self.lobby.end(cx, conn);
        }
        match self.mesh_of(conn) {
            Some(mesh) => mesh.timeout(cx, conn),
            None => cx.close(conn, crate::base::port::End::Reset),
        }
    }

    /// A timer of a mesh, by the number of its channel.
    pub(super) fn timer(&mut self, cx: &mut Cx, number: u64, why: Why) {
        let tree = usize::try_from(number).ok().and_then(|number| self.each.get_mut(&number));
        tree.and_then(|tree| tree.mesh.as_mut()).into_iter().for_each(|mesh| mesh.timer(cx, why));
    }

    pub(super) fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) {
        self.meshes_mut().for_each(|mesh| mesh.hashed(cx, span, hash));
    }

    pub(super) fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        self.meshes_mut().any(|mesh| mesh.opened(cx, blob, facts))
    }

    pub(super) fn unreadable(&mut self, cx: &mut Cx, blob: Blob) -> bool {
        self.meshes_mut().any(|mesh| mesh.unreadable(cx, blob))
    }
}

impl Tree {
    fn set_timer(&mut self, cx: &mut Cx, number: usize) {
        if let Some(old) = self.timer.take() {
            cx.wheel.cancel(old);
        }
        if let Some(first) = self.waiting.front() {
            let wait = first.starts_at.since(cx.now.wall).min(LOOK_AGAIN);
            self.timer = Some(cx.wake(Why::MeshAir, number as u64, wait));
        }
    }

    /// What is lent and has been given up since.
    fn take_back(&mut self, cx: &Cx) {
        let mesh = &mut self.mesh;
        self.lent.retain(|blob| {
            let held = cx.blobs.get(blob.0).is_some();
            if let Some(mesh) = mesh.as_mut().filter(|_| !held) {
                mesh.retire(*blob);
            }
            held
        });
    }

    /// Whether the blocks that a root has given to the mesh have the same numbers by this schedule.
    /// Where they have not the numbers begin anew, perhaps lower, and only another run of the
    /// channel lets members take them.
    fn goes_on(&self, schedule: Option<&Schedule>) -> bool {
        let time = |seq| Some(schedule?.position(seq)?.starts_at);
        self.epoch == Some(run_of(schedule))
            || self.given.is_some_and(|(s, at)| time(s) == Some(at))
    }

    /// Gives up what waits for its air time.
    fn drop_waiting(&mut self, cx: &mut Cx) {
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
        self.waiting.drain(..).for_each(|block| cx.release(block.blob));
        self.take_back(cx);
    }

    /// Ends its part in the mesh at once.
    fn abandon(&mut self, cx: &mut Cx) {
        if let Some(mut mesh) = self.mesh.take() {
            mesh.abandon(cx);
        }
        (self.epoch, self.given) = (None, None);
        self.lent.clear();
    }
}

impl Node {
    /// Takes the node's place in the meshes of its channels, if its configuration has one.
    pub(super) fn start_trees(&mut self) {
        let Some(config) = self.config.mesh.clone() else { return };
        self.trees = Some(Trees::default());
        if self.config.role == Role::Server {
            return self.sync_roots();
        }
        self.put_mesh(0, Tree::default());
        if self.config.source.is_none() {
            self.become_member(&config, config.channel, self.environment.roots.clone());
        }
    }

    /// In place of whatever it was before.
    fn become_member(&mut self, config: &config::Mesh, channel: usize, roots: Vec<SocketAddr>) {
        let settings = MemberSettings {
            node: NodeId(self.cx.rng.next_u64()),
            channel: channel.to_string(),
            port: self.advertised_port(config),
            slots: config.slots,
            roots,
            from: dials_from(config),
            part: (self.config.role == Role::Relay).then(|| PartSettings {
                advertise: self.advertised(config),
                members_max: config.members_max,
                rescue_rate: config.rescue_rate,
            }),
        };
        let mesh = Mesh::new_member(&mut self.cx, settings);
        self.change_mesh(None, mesh);
    }

    /// The tv server lets this node in: it is the root of a mesh of its own run, whatever it was.
    pub(super) fn let_in(&mut self) {
        let (Some(config), Some(source)) = (self.config.mesh.clone(), self.config.source.clone())
        else {
            return;
        };
        let tree = self.trees.as_ref().and_then(|trees| trees.each.get(&0));
        if tree.is_none_or(|tree| tree.epoch.is_some()) {
            return;
        }
        // Others may have been the root before: numbers go on from theirs, and never come again.
        let seconds = u64::try_from(self.cx.now.wall.seconds()).unwrap_or(0);
        if let Some(channel) = self.channels.first_mut() {
            let last = channel.window.range().map_or(0, |(_, last)| last + 1);
            channel.arrivals.0 = channel.arrivals.0.max(last).max(seconds);
        }
        let epoch = self.cx.rng.next_u64();
        let settings = self.root_settings(&config, usize::from(source.channel), epoch);
        let settings = RootSettings { number: 0, roots: Vec::new(), ..settings };
        let mesh = Mesh::new_root(&mut self.cx, settings);
        self.change_mesh(Some(epoch), mesh);
    }

    /// The tv server lets others in instead: one of them is the root of a mesh, or none.
    pub(super) fn let_others_in(&mut self, others: &[IpAddr]) {
        let (Some(config), Some(source)) = (self.config.mesh.clone(), self.config.source.clone())
        else {
            return;
        };
        let me = self.config.receive.as_ref().map(|receive| receive.listen.ip());
        let port = self.environment.mesh.unwrap_or(config.listen).port();
        let others = others.iter().filter(|ip| Some(**ip) != me).take(limits::MESH_PEERS_MAX);
        let roots: Vec<SocketAddr> = others.map(|ip| SocketAddr::new(*ip, port)).collect();
        self.rootless = false;
        let tree = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&0));
        let Some(tree) = tree else { return };
        match &mut tree.mesh {
            Some(mesh) if tree.epoch.is_none() => mesh.set_roots(roots),
            _ => self.become_member(&config, usize::from(source.channel), roots),
        }
    }

    /// Another part in the mesh of the one channel: what waits for its air time still has it.
    fn change_mesh(&mut self, epoch: Option<u64>, mesh: Mesh) {
        let tree = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&0));
        let Some(tree) = tree else { return };
        tree.abandon(&mut self.cx);
        (tree.epoch, tree.mesh) = (epoch, Some(mesh));
    }

    /// A block that the tv client brought goes on the air now; with a mesh it goes into that now,
    /// and on the air with all members.
    pub(super) fn pass(&mut self, block: Block) {
        let Some(lead) = self.config.mesh.as_ref().filter(|_| self.trees.is_some()) else {
            return self.air(0, &Rc::new(block));
        };
        let lead = lead.lead;
        // The answer that lets us in may come after the first block.
        self.let_in();
        let movie: Rc<str> = "live".into();
        let file = name::file_name(&movie, u64::from(block.index), block.container).into();
        let starts_at = block.starts_at + lead;
        let block = Rc::new(Block { movie, file, starts_at, ..block });
        self.lend(0, &block);
        if let Some(tree) = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&0)) {
            tree.waiting.push_back(block);
        }
        self.air_due(0);
    }

    /// Every root has failed: their names may mean others by now, or the tv server knows of others,
    /// or lets this node in.
    fn seek_roots(&mut self) {
        self.rootless = true;
        match &mut self.client {
            Some(client) if self.stopping.is_none() => client.ask_again(&mut self.cx),
            _ => {}
        }
    }

    fn put_mesh(&mut self, number: usize, tree: Tree) {
        if let Some(trees) = &mut self.trees {
            trees.each.insert(number, tree);
        }
    }

    /// A server is the root of a mesh for each channel that it has, and of no other.
    pub(super) fn sync_roots(&mut self) {
        let config = self.config.mesh.clone().filter(|_| self.config.role == Role::Server);
        let (Some(config), Some(mut trees)) = (config, self.trees.take()) else { return };
        let schedules: Vec<_> = self.channels.iter().map(schedule_of).collect();
        trees.each.retain(|number, tree| {
            let stays = schedules.get(*number).is_some_and(|schedule| tree.goes_on(*schedule));
            if !stays {
                tree.abandon(&mut self.cx);
            }
            stays
        });
        let runs: Vec<u64> = schedules.into_iter().map(run_of).collect();
        for (number, epoch) in runs.into_iter().enumerate() {
            if let Entry::Vacant(vacant) = trees.each.entry(number) {
                let settings = self.root_settings(&config, number, epoch);
                let mesh = Some(Mesh::new_root(&mut self.cx, settings));
                vacant.insert(Tree { mesh, epoch: Some(epoch), ..Tree::default() });
            }
        }
        self.trees = Some(trees);
    }

    fn advertised_port(&self, config: &config::Mesh) -> u16 {
        let written = config.advertise.as_ref().map(|(_, port)| *port);
        written.unwrap_or_else(|| self.environment.mesh.unwrap_or(config.listen).port())
    }

    /// Where others dial this node, as far as it can tell.
    fn advertised(&self, config: &config::Mesh) -> SocketAddr {
        self.environment.advertise.or(self.environment.mesh).unwrap_or(config.listen)
    }

    fn root_settings(&mut self, config: &config::Mesh, number: usize, epoch: u64) -> RootSettings {
        let mut ticket = [0; 16];
        for half in ticket.chunks_exact_mut(8) {
            half.copy_from_slice(&self.cx.rng.next_u64().to_be_bytes());
        }
        RootSettings {
            node: NodeId(self.cx.rng.next_u64()),
            channel: number.to_string(),
            number: number as u64,
            epoch,
            ticket,
            advertise: self.advertised(config),
            slots: config.slots,
            stripes: config.stripes,
            lead: config.lead,
            members_max: config.members_max,
            rate: 0,
            rescue_rate: config.rescue_rate,
            roots: self.environment.roots.clone(),
            from: dials_from(config),
        }
    }

    /// A block that will go on the air, or goes on the air now, enters the mesh once.
    pub(super) fn lend(&mut self, number: usize, block: &Block) {
        let tree = self.trees.as_mut().and_then(|t| t.each.get_mut(&number));
        let Some(tree) = tree.filter(|t| t.epoch.is_some()) else { return };
        let Some(mesh) = &mut tree.mesh else { return };
        if tree.given.is_some_and(|(seq, _)| seq >= block.seq) {
            return;
        }
        tree.given = Some((block.seq, block.starts_at));
        tree.lent.push(block.blob);
        let airing = Airing {
            seq: block.seq,
            movie: Rc::clone(&block.movie),
            file: file_name(&block.file),
            blob: block.blob,
            len: block.len,
            starts_at: block.starts_at,
            lasts: block.lasts,
            timeline: block.place.map(|place| timeline(block, place)),
        };
        mesh.air(&mut self.cx, &airing);
    }

    /// Takes back what was lent and has been given up since.
    pub(super) fn take_back(&mut self) {
        let cx = &self.cx;
        let trees = self.trees.iter_mut().flat_map(|trees| trees.each.values_mut());
        trees.for_each(|tree| tree.take_back(cx));
    }

    pub(super) fn settle_trees(&mut self) -> bool {
        let Some(trees) = &mut self.trees else { return false };
        let mut events: Vec<(Option<usize>, Event)> =
            std::iter::from_fn(|| trees.lobby.poll_event()).map(|event| (None, event)).collect();
        for (number, tree) in &mut trees.each {
            let Some(mesh) = &mut tree.mesh else { continue };
            events.extend(std::iter::from_fn(|| mesh.poll_event()).map(|e| (Some(*number), e)));
        }
        let said = !events.is_empty();
        for (number, event) in events {
            let named = number.filter(|_| self.channels.len() > 1);
            self.lines.push_back(observe::mesh(named, &event));
            if let Some(number) = number {
                self.mesh_event(number, event);
            }
        }
        said
    }

    fn mesh_event(&mut self, number: usize, event: Event) {
        let tree = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&number));
        let Some(tree) = tree else { return };
        match event {
            Event::Block(arrived) => {
                // One that is over is not shown any more, but stored all the same. What waits and
                // airs later is of a run that is over.
                let stays = tree.waiting.partition_point(|b| b.starts_at < arrived.starts_at);
                tree.waiting.drain(stays..).for_each(|block| self.cx.release(block.blob));
                tree.lent.push(arrived.blob);
                let run = tree.mesh.as_ref().and_then(Mesh::epoch).unwrap_or(0);
                tree.waiting.push_back(Rc::new(block(&arrived, run)));
                self.air_due(number);
            }
            Event::Left => {
                tree.mesh = None;
                tree.drop_waiting(&mut self.cx);
            }
            Event::Rootless => self.seek_roots(),
            _ => {}
        }
    }

    /// Puts the blocks on the air whose time has come, and waits for the next one's.
    fn air_due(&mut self, number: usize) {
        let wall = self.cx.now.wall;
        loop {
            let tree = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&number));
            let Some(tree) = tree else { return };
            if self.stopping.is_some() || tree.waiting.front().is_none_or(|b| b.starts_at > wall) {
                return tree.set_timer(&mut self.cx, number);
            }
            let Some(block) = tree.waiting.pop_front() else { return };
            // What the tv client brought has been counted already.
            let counts = tree.epoch.is_none();
            if let Some(channel) = self.channels.get_mut(number).filter(|_| counts) {
                channel.arrivals.1 += 1;
            }
            self.air(number, &block);
        }
    }

    /// [`Why::MeshAir`].
    pub(super) fn air_time(&mut self, number: u64) {
        let Ok(number) = usize::try_from(number) else { return };
        let tree = self.trees.as_mut().and_then(|trees| trees.each.get_mut(&number));
        if let Some(tree) = tree {
            tree.timer = None;
        }
        self.air_due(number);
    }

    /// Leaves every mesh. What waits for its air time is kept until then: children may lack it.
    pub(super) fn leave_trees(&mut self) {
        let Some(trees) = &mut self.trees else { return };
        trees.lobby.clear(&mut self.cx);
        for tree in trees.each.values_mut() {
            match &mut tree.mesh {
                Some(mesh) => mesh.leave(&mut self.cx),
                None => tree.drop_waiting(&mut self.cx),
            }
        }
    }

    /// Whatever is left of the trees is given up.
    pub(super) fn drop_trees(&mut self) {
        let Some(trees) = &mut self.trees else { return };
        for tree in trees.each.values_mut() {
            tree.abandon(&mut self.cx);
            tree.drop_waiting(&mut self.cx);
        }
    }
}

fn schedule_of(channel: &Channel) -> Option<&Schedule> {
    channel.playout.as_ref().map(Playout::schedule)
}

/// The run of a channel: the same for every server of the same programme.
fn run_of(schedule: Option<&Schedule>) -> u64 {
    schedule.map_or(0, Schedule::fingerprint)
}

/// The clock may be set while a block waits for its time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// One machine may have nodes at several addresses of its own: each is seen where it listens.
fn dials_from(config: &config::Mesh) -> Option<IpAddr> {
    let ip = config.listen.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// The last part of a path: what a stranger may know of the library's folders.
fn file_name(path: &Rc<str>) -> Rc<str> {
    path.rsplit_once('/').map_or_else(|| Rc::clone(path), |(_, name)| name.into())
}

/// What the mesh carries of a block's place: the run is the mesh's own.
fn timeline(block: &Block, place: Place) -> Timeline {
    let Place { since_epoch_ns, first, last, .. } = place;
    Timeline { since_epoch_ns, first, last, stands_in: block.replaced }
}

fn block(arrived: &Arrived, run: u64) -> Block {
    // A block of no known kind keeps the seed's extension.
    let container = sniff(&arrived.head).unwrap_or(Container::Mkv);
    let number = name::parse(&arrived.file).map_or(0, |name| name.number);
    Block {
        seq: arrived.seq,
        movie: Rc::clone(&arrived.movie),
        index: number,
        file: Rc::clone(&arrived.file),
        blob: arrived.blob,
        len: arrived.len,
        modified: arrived.at,
        container,
        starts_at: arrived.starts_at,
        lasts: arrived.lasts,
        replaced: arrived.timeline.is_some_and(|timeline| timeline.stands_in),
        place: arrived.timeline.map(|timeline| Place {
            run,
            since_epoch_ns: timeline.since_epoch_ns,
            first: timeline.first,
            last: timeline.last,
        }),
    }
}

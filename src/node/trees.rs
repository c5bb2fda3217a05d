//! The relay trees joined to a node: a server is the root of its first channel's mesh, a relay or
//! client whose configuration names roots is a member. What the mesh brings is kept until its air
//! time and then goes where every source's blocks go.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::port::{Blob, Conn, Facts, Level, Span, Why};
use crate::base::wheel::Timer;
use crate::channel::Block;
use crate::config::{self, Role};
use crate::media::name;
use crate::media::sniff::{Container, sniff};
use crate::mesh::wire::NodeId;
use crate::mesh::{Airing, Arrived, Event, MemberSettings, Mesh, RootSettings};
use crate::node::{Node, observe};

/// The channel that the mesh of a node carries.
const CHANNEL: usize = 0;

/// A node's part in a mesh.
#[derive(Debug)]
pub(super) struct Trees {
    pub(super) mesh: Mesh,
    /// The newest block that a root gave to the mesh.
    given: Option<u64>,
    /// Blocks that are complete and not on the air yet, oldest first.
    waiting: VecDeque<Arrived>,
    timer: Option<Timer>,
    /// Blobs that the mesh may still send from.
    lent: Vec<Blob>,
    left: bool,
}

impl Trees {
    fn new(mesh: Mesh) -> Self {
        let (waiting, lent) = (VecDeque::new(), Vec::new());
        Self { mesh, given: None, waiting, timer: None, lent, left: false }
    }

    /// Timers that it holds beside those of connections.
    pub(super) fn timers(&self) -> usize {
        self.mesh.timers() + usize::from(self.timer.is_some())
    }

    /// Blobs that it holds and that are in no window.
    pub(super) fn blobs(&self) -> usize {
        self.mesh.blobs() + self.waiting.len()
    }

    /// Whether nothing of it is left.
    pub(super) fn is_over(&self) -> bool {
        self.left
    }
}

impl Node {
    /// Takes the node's place in the mesh, if its configuration has one.
    pub(super) fn start_trees(&mut self) {
        let Some(config) = self.config.mesh.clone() else { return };
        if self.config.source.is_some() {
            let text = "mesh: a node that takes its channel from a tv server has no part in it";
            return self.lines.push_back((Level::Warn, text.into()));
        }
        let node = NodeId(self.cx.rng.next_u64());
        let mesh = if self.config.role == Role::Server {
            let settings = self.root_settings(&config, node);
            Mesh::new_root(&mut self.cx, settings)
        } else if self.environment.roots.is_empty() {
            return;
        } else {
            let settings = MemberSettings {
                node,
                channel: config.channel.to_string(),
                port: self.environment.mesh.map_or(config.listen.port(), |a| a.port()),
                slots: config.slots,
                roots: self.environment.roots.clone(),
            };
            Mesh::new_member(&mut self.cx, settings)
        };
        self.trees = Some(Trees::new(mesh));
    }

    fn root_settings(&mut self, config: &config::Mesh, node: NodeId) -> RootSettings {
        // The same for every server of the same programme, and another after it was changed.
        let epoch = self.config.channels.first().map_or(0, |c| c.epoch.0.unsigned_abs());
        let mut ticket = [0; 16];
        for half in ticket.chunks_exact_mut(8) {
            half.copy_from_slice(&self.cx.rng.next_u64().to_be_bytes());
        }
        RootSettings {
            node,
            channel: CHANNEL.to_string(),
            epoch,
            ticket,
            advertise: self.environment.mesh.unwrap_or(config.listen),
            slots: config.slots,
            stripes: config.stripes,
            lead: config.lead,
            members_max: config.members_max,
            rate: 0,
            rescue_rate: config.rescue_rate,
            roots: Vec::new(),
        }
    }

    /// A block that will go on the air, or goes on the air now, enters the mesh once.
    pub(super) fn lend(&mut self, number: usize, block: &Block) {
        let Some(trees) = self.trees.as_mut().filter(|_| number == CHANNEL) else { return };
        if self.config.role != Role::Server || trees.given.is_some_and(|seq| seq >= block.seq) {
            return;
        }
        trees.given = Some(block.seq);
        trees.lent.push(block.blob);
        let airing = Airing {
            seq: block.seq,
            movie: Rc::clone(&block.movie),
            file: file_name(&block.file),
            blob: block.blob,
            len: block.len,
            starts_at: block.starts_at,
            lasts: block.lasts,
        };
        trees.mesh.air(&mut self.cx, &airing);
    }

    /// Takes back what was lent and has been given up since.
    pub(super) fn take_back(&mut self) {
        let Some(trees) = &mut self.trees else { return };
        let blobs = &self.cx.blobs;
        let (kept, gone): (Vec<_>, Vec<_>) =
            trees.lent.iter().partition(|blob| blobs.get(blob.0).is_some());
        trees.lent = kept;
        for blob in gone {
            trees.mesh.retire(blob);
        }
    }

    pub(super) fn settle_trees(&mut self) -> bool {
        let mut said = false;
        while let Some(event) = self.trees.as_mut().and_then(|t| t.mesh.poll_event()) {
            said = true;
            self.lines.push_back(observe::mesh(&event));
            match event {
                Event::Block(arrived) => {
                    self.trees.iter_mut().for_each(|t| t.waiting.push_back(arrived.clone()));
                    self.air_due();
                }
                Event::Left => self.trees.iter_mut().for_each(|t| t.left = true),
                _ => {}
            }
        }
        said
    }

    /// Puts the blocks on the air whose time has come, and waits for the next one's.
    pub(super) fn air_due(&mut self) {
        let wall = self.cx.now.wall;
        loop {
            let Some(trees) = &mut self.trees else { return };
            if trees.waiting.front().is_none_or(|first| first.starts_at > wall) {
                break;
            }
            let Some(arrived) = trees.waiting.pop_front() else { return };
            // One that is over is not shown any more, but stored all the same.
            let block = Rc::new(block(&arrived));
            self.trees.iter_mut().for_each(|t| t.lent.push(block.blob));
            if let Some(channel) = self.channels.first_mut() {
                channel.arrivals.1 += 1;
            }
            self.air(CHANNEL, &block);
        }
        let Some(trees) = &mut self.trees else { return };
        if let Some(old) = trees.timer.take() {
            self.cx.wheel.cancel(old);
        }
        if let Some(first) = trees.waiting.front() {
            let wait = first.starts_at.since(wall).min(LOOK_AGAIN);
            trees.timer = Some(self.cx.wake(Why::MeshAir, 0, wait));
        }
    }

    /// [`Why::MeshAir`].
    pub(super) fn air_time(&mut self) {
        self.trees.iter_mut().for_each(|t| t.timer = None);
        self.air_due();
    }

    /// Leaves the mesh; what waited for its air time is given up.
    pub(super) fn leave_trees(&mut self) {
        let Some(trees) = &mut self.trees else { return };
        for arrived in trees.waiting.drain(..) {
            trees.mesh.retire(arrived.blob);
            self.cx.release(arrived.blob);
        }
        if let Some(timer) = trees.timer.take() {
            self.cx.wheel.cancel(timer);
        }
        trees.mesh.leave(&mut self.cx);
    }

    pub(super) fn mesh_incoming(&mut self, peer: Option<SocketAddr>) {
        let cx = &mut self.cx;
        self.trees.iter_mut().for_each(|t| t.mesh.incoming(cx, peer));
    }

    pub(super) fn mesh_filled(&mut self, conn: Conn, upto: u64) {
        let cx = &mut self.cx;
        self.trees.iter_mut().for_each(|t| t.mesh.filled(cx, conn, upto));
    }

    pub(super) fn mesh_hashed(&mut self, span: Span, hash: Option<[u8; 32]>) {
        let cx = &mut self.cx;
        self.trees.iter_mut().for_each(|t| t.mesh.hashed(cx, span, hash));
    }

    pub(super) fn mesh_opened(&mut self, blob: Blob, facts: Facts<'_>) -> bool {
        self.trees.as_mut().is_some_and(|t| t.mesh.opened(&mut self.cx, blob, facts))
    }

    pub(super) fn mesh_unreadable(&mut self, blob: Blob) -> bool {
        self.trees.as_mut().is_some_and(|t| t.mesh.unreadable(&mut self.cx, blob))
    }
}

/// The clock may be set while a block waits for its time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The last part of a path: what a stranger may know of the library's folders.
fn file_name(path: &Rc<str>) -> Rc<str> {
    path.rsplit_once('/').map_or_else(|| Rc::clone(path), |(_, name)| name.into())
}

fn block(arrived: &Arrived) -> Block {
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
        replaced: false,
    }
}

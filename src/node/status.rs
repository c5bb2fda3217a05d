//! The node's state as the one document behind `/status.json`, `/metrics`, `/` and `ctl`, and what
//! each command of `ctl` gives.

mod ctl;

use std::net::SocketAddr;

use crate::base::port::{Service, StoreError};
use crate::base::status::{
    ChannelStatus, EventsStatus, HttpStatus, MeshStatus, Next, NodeStatus, OnAir, Programme,
    ReceiveStatus, Status, StoreStatus, StoredFile, TvStatus,
};
use crate::base::text::escaped;
use crate::channel::Block;
use crate::channel::playout::Playout;
use crate::channel::spool::Spool;
use crate::config::Role;
use crate::http;
use crate::media::schedule::{At, Position, Schedule};
use crate::mesh::Mesh;
use crate::node::{Channel, Node};

pub(super) use ctl::control;

/// Files of the store that the document names, the newest.
const FILES: usize = 1_000;

pub(super) fn of(node: &Node) -> Status {
    let numbered = node.channels.iter().enumerate();
    Status {
        node: process(node),
        channels: numbered.map(|(number, c)| channel(node, number, c)).collect(),
        movies: node.movie_statuses(),
        tv: node.tv.as_ref().map(tv),
        receive: node.client.as_ref().map(receive),
        store: node.spool.as_ref().map(|spool| store(node, spool)),
        mesh: parts(node).map(|part| mesh(node, &part)).collect(),
        jukebox: node.jukebox.as_ref().map(crate::jukebox::server::Server::stats),
        events: node.events.as_ref().map(events),
        files: node.files.as_ref().map(crate::files::server::Server::status),
        http: node.http.as_ref().map_or_else(HttpStatus::default, http::server::Server::stats),
        log_lines_dropped: node.log_dropped,
    }
}

fn process(node: &Node) -> NodeStatus {
    NodeStatus {
        role: match node.config.role {
            Role::Server => "server",
            Role::Relay => "relay",
            Role::Client => "client",
        },
        version: env!("CARGO_PKG_VERSION"),
        started_at: node.started.wall.to_string(),
        now: node.cx.now.wall.to_string(),
        uptime_s: node.cx.now.mono.since(node.started.mono).as_secs_f64(),
        connections: node.cx.peers.len() as u64,
        timers: node.cx.wheel.len() as u64,
        blobs: node.cx.blobs.len() as u64,
        reloads: node.reloads,
        loop_turns: node.turns,
    }
}

fn channel(node: &Node, number: usize, channel: &Channel) -> ChannelStatus {
    let live = channel.window.live();
    let playout = channel.playout.as_ref();
    let stats = playout.map(Playout::stats).unwrap_or_default();
    let seq = live.map(|block| block.seq + 1);
    let next = playout.and_then(|p| p.schedule().position(seq.unwrap_or(0)));
    let (programme, then) = playout.map_or((None, None), |p| programmes(node, p.schedule()));
    ChannelStatus {
        number,
        name: channel.name.clone(),
        state: channel.state(),
        on_air: live.map(|block| on_air(block)),
        next: next.map(|position| self::next(&position)),
        programme,
        then,
        viewers_http: node.edge.viewers(number),
        viewers_tv: node.tv.as_ref().map_or(0, |tv| tv.viewers(number)),
        max_clients: channel.max_clients,
        blocks_aired: if playout.is_some() { stats.aired } else { channel.arrivals.1 },
        blocks_replaced: stats.replaced,
        blocks_skipped: stats.skipped,
        window: channel.window.range(),
    }
}

/// The airing that is on and the one after it.
fn programmes(node: &Node, schedule: &Schedule) -> (Option<Programme>, Option<Programme>) {
    let now = node.cx.now.wall;
    let airing = |position: &Position| {
        let before = position.movie.starts(position.block).unwrap_or_default();
        let starts_at = position.starts_at - before;
        Programme {
            movie: position.movie.name().to_string(),
            starts_at: starts_at.to_string(),
            lasts_s: position.movie.total().as_secs_f64(),
            over_s: now.since(starts_at).as_secs_f64(),
        }
    };
    match schedule.at(now) {
        At::On(on) => {
            let left = u64::from(on.movie.blocks() - on.block);
            let then = schedule.position(on.seq.saturating_add(left));
            (Some(airing(&on)), then.as_ref().map(airing))
        }
        At::Before { .. } => (None, schedule.position(0).as_ref().map(airing)),
        At::After => (None, None),
    }
}

fn on_air(block: &Block) -> OnAir {
    OnAir {
        seq: block.seq,
        movie: block.movie.to_string(),
        block: block.index,
        file: block.file.to_string(),
        starts_at: block.starts_at.to_string(),
        lasts_s: block.lasts.as_secs_f64(),
        bytes: block.len,
        media_type: block.container.media_type(),
        replaced: block.replaced,
    }
}

fn next(position: &Position) -> Next {
    Next {
        seq: position.seq,
        movie: position.movie.name().to_string(),
        block: position.block,
        starts_at: position.starts_at.to_string(),
    }
}

fn tv(tv: &crate::tv::server::Server) -> TvStatus {
    let stats = tv.stats();
    TvStatus {
        clients: tv.clients().count(),
        joins: stats.joins,
        full: stats.full,
        leaves: stats.leaves,
        removed: stats.removed,
        strikes: stats.strikes,
        commands: stats.commands,
        bad_commands: stats.bad_commands,
        refused_callbacks: stats.not_allowed,
        blocks_sent: stats.blocks,
        bytes_sent: stats.bytes,
        dials: tv.dials(),
        delivery: stats.delivery,
    }
}

fn events(events: &crate::events::server::Server) -> EventsStatus {
    let stats = events.stats();
    EventsStatus {
        members: events.members(),
        joins: stats.joins,
        refused: stats.refused,
        events: stats.events,
        datagrams: stats.datagrams,
        bad_requests: stats.bad_requests,
        bad_lines: stats.bad_lines,
    }
}

fn receive(client: &crate::tv::client::Client) -> ReceiveStatus {
    let ((server, channel), stats) = (client.source(), client.stats());
    ReceiveStatus {
        server: server.to_string(),
        channel,
        state: client.state().name(),
        blocks: stats.blocks,
        bytes: stats.bytes,
        joins: stats.joins,
        rejected: stats.rejected,
        last_block_at: stats.last_block_at.map(|at| at.to_string()),
        period_s: client.period().as_secs_f64(),
    }
}

fn store(node: &Node, spool: &Spool) -> StoreStatus {
    let (files, stats) = (spool.files(), spool.stats());
    let directory =
        node.config.store.as_ref().map_or_else(String::new, |store| {
            escaped(store.directory.as_os_str().as_encoded_bytes())
        });
    let newest = files.iter().skip(files.len().saturating_sub(FILES));
    StoreStatus {
        directory,
        state: match spool.failing() {
            None => "ok",
            Some(StoreError::Full) => "full",
            Some(_) => "failing",
        },
        blocks: files.len(),
        bytes: files.iter().map(|f| f.bytes).sum(),
        files: newest
            .map(|f| StoredFile { name: f.name.to_string(), bytes: f.bytes, seq: f.seq })
            .collect(),
        stored: stats.stored,
        failed: stats.failed,
        removed: stats.removed,
    }
}

/// The part that this node has in the mesh of a channel.
#[derive(Clone, Copy)]
struct Part<'a> {
    channel: usize,
    /// One of [`crate::base::status::mesh::MESH_ROLES`].
    role: &'static str,
    mesh: &'a Mesh,
}

/// Every part that it has, by channel.
fn parts(node: &Node) -> impl Iterator<Item = Part<'_>> + Clone {
    let relay = node.config.role == Role::Relay;
    let meshes = node.trees.iter().flat_map(crate::node::trees::Trees::meshes);
    meshes.map(move |(channel, mesh)| {
        let role = match mesh.is_root() {
            true => "root",
            false if relay => "relay",
            false => "member",
        };
        Part { channel, role, mesh }
    })
}

/// The root that a relay or a member has a link to.
fn root_of(node: &Node, part: &Part) -> Option<SocketAddr> {
    let linked = |root: &&SocketAddr| {
        let mut peers = node.cx.peers.iter().map(|(_, peer)| peer);
        peers.any(|p| p.service == Service::Mesh && !p.closing && p.addr == Some(**root))
    };
    node.environment.roots.iter().filter(|_| part.role != "root").find(linked).copied()
}

fn mesh(node: &Node, part: &Part) -> MeshStatus {
    let stats = part.mesh.stats();
    let links = part.mesh.links(&node.cx);
    MeshStatus {
        channel: part.channel,
        role: part.role,
        node: ctl::id(part.mesh.node()),
        epoch: part.mesh.epoch(),
        depth: part.mesh.depth(),
        root: root_of(node, part),
        members: (part.role != "member").then(|| part.mesh.members()),
        slots: node.config.mesh.as_ref().map_or(0, |mesh| mesh.slots),
        slots_used: part.mesh.served(),
        slots_used_max: stats.children_most,
        parents: links.iter().filter(|l| l.sends_to_us && !l.stripes.is_empty()).count(),
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        bytes_wasted: stats.bytes_wasted,
        bytes_rescued: stats.bytes_rescued,
        blocks: stats.blocks,
        blocks_missed: stats.blocks_missed,
        blocks_late: stats.blocks_late,
        pulls: stats.pulls,
        parents_lost: stats.parents_lost,
        bad_stripes: stats.bad_stripes,
        nonsense: stats.nonsense,
        joins: stats.joins,
        repairs: part.mesh.repairs(),
    }
}

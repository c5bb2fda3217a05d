//! What each control command gives. Only looks: nothing here changes the node. The words are those
//! of [`crate::control::text`]; here is what they are about.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::port::Service;
use crate::base::status::mesh::{
    ArrivingBlock, ConnectionRow, HelperRow, Id, Lag, Neighbour, SourceRow, Tree, TreeRow, WhyRow,
};
use crate::base::text::escaped;
use crate::base::time::Mono;
use crate::control::text::{self, Files};
use crate::control::wire;
use crate::control::{Answer, Command, What};
use crate::mesh::planner::{Grade, Place, Row};
use crate::mesh::wire::NodeId;
use crate::mesh::{BlockRow, LinkRow};
use crate::node::Node;

use super::{Part, parts, root_of};

/// The answer to a control command.
pub(in crate::node) fn control(node: &Node, command: Command) -> Answer {
    let Command { what, json, channel } = command;
    match what {
        What::Status if json => text::document(&node.status()).into(),
        What::Status => text::status(&node.status()).into(),
        What::Channels if json => text::document(&node.status().channels).into(),
        What::Channels => text::channels(&node.status().channels).into(),
        What::Files => files(node, json).into(),
        What::Connections => text::connections(connections(node), json),
        What::Tree { stripe } => match tree(node, channel, stripe) {
            Ok(tree) => text::tree(tree, json),
            Err(why) => Answer::error(why),
        },
        What::Why { node: said } => why(node, channel, &said, json),
        What::Help => wire::help().into(),
    }
}

fn files(node: &Node, json: bool) -> String {
    let members = parts(node).filter(|part| part.role != "root");
    let blocks: Vec<_> = members
        .clone()
        .flat_map(|part| part.mesh.blocks().into_iter().map(move |block| (part.channel, block)))
        .filter_map(|(channel, block)| arriving(node, channel, &block))
        .collect();
    let store = super::of(node).store;
    let is_member = members.count() > 0;
    let files = Files { arriving: is_member.then_some(&*blocks), store: store.as_ref() };
    if json { text::document(&files) } else { text::files(&files) }
}

/// A block that is not on the air yet; one that was is only kept for children.
fn arriving(node: &Node, channel: usize, block: &BlockRow) -> Option<ArrivingBlock> {
    let airs_in = block.starts_at.since(node.cx.now.wall);
    (!block.whole || !airs_in.is_zero()).then(|| ArrivingBlock {
        channel,
        seq: block.seq,
        name: block.file.to_string(),
        bytes: block.bytes.0,
        arrived: block.bytes.1,
        complete: block.whole,
        starts_at: block.starts_at.to_string(),
        airs_in_ms: u64::try_from(airs_in.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Who sends and who receives first: the source, the mesh, the tv clients, which have no connection
/// between two blocks. Then every other connection.
fn connections(node: &Node) -> Vec<ConnectionRow> {
    let now = node.cx.now.mono;
    let mut open = Open::of(node);
    let source = node.client.iter().map(|client| {
        let ((server, channel), stats) = (client.source(), client.stats());
        ConnectionRow {
            service: "source",
            direction: "from",
            peer: server.to_string(),
            age_s: Some(age(now, node.started.mono)),
            bytes: stats.bytes,
            note: format!("sends channel {channel}, {} blocks", stats.blocks),
            ..ConnectionRow::default()
        }
    });
    let mut rows: Vec<_> = source.collect();
    for part in parts(node) {
        let links = part.mesh.links(&node.cx);
        rows.extend(links.into_iter().map(|link| mesh_row(node, &part, &link, &mut open)));
    }
    rows.extend(node.tv.iter().flat_map(crate::tv::server::Server::clients).map(|c| {
        let strikes = if c.strikes > 0 { ", one failure" } else { "" };
        ConnectionRow {
            service: "tv",
            direction: "to",
            peer: SocketAddr::new(c.address, callback_port(node)).to_string(),
            age_s: Some(age(now, c.since)),
            bytes: c.bytes,
            note: format!("takes channel {}, {} blocks{strikes}", c.channel, c.blocks),
            ..ConnectionRow::default()
        }
    }));
    rows.extend(open.rest(now));
    rows
}

fn mesh_row(node: &Node, part: &Part, link: &LinkRow, open: &mut Open) -> ConnectionRow {
    let lasts = node.channels.get(part.channel).and_then(|c| c.window.live()).map(|b| b.lasts);
    let ms = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
    let lag = Lag { blocks: link.lag, ms: ms.map(|ms| ms.saturating_mul(link.lag)) };
    let queued = match link.queued {
        0 => String::new(),
        bytes => format!("{bytes} bytes queued"),
    };
    ConnectionRow {
        service: Service::Mesh.name(),
        direction: match (link.stripes.is_empty(), link.sends_to_us) {
            (true, _) => "",
            (false, true) => "from",
            (false, false) => "to",
        },
        peer: link.address.map_or_else(|| "gone".into(), |address| address.to_string()),
        node: link.node.map(id),
        age_s: link.address.and_then(|at| open.take(at)).map(|at| age(node.cx.now.mono, at)),
        stripes: if link.stripes.is_empty() { String::new() } else { link.stripes.to_string() },
        bytes: link.bytes,
        lag: (!link.stripes.is_empty()).then_some(lag),
        note: queued,
    }
}

/// The connections that no other row is about.
struct Open {
    rows: Vec<(Service, Option<SocketAddr>, Mono, bool)>,
    /// Links of the mesh by address, of one address the youngest last: where two lead to the same,
    /// the older one is the control link.
    mesh: BTreeMap<SocketAddr, Vec<Mono>>,
}

impl Open {
    fn of(node: &Node) -> Self {
        let (mut rows, mut mesh) = (Vec::new(), BTreeMap::new());
        for (_, peer) in node.cx.peers.iter() {
            match (peer.service, peer.addr) {
                (Service::Mesh, Some(addr)) if !peer.closing => {
                    let same: &mut Vec<Mono> = mesh.entry(addr).or_default();
                    same.push(peer.since);
                    same.sort_unstable();
                }
                (service, addr) => rows.push((service, addr, peer.since, peer.closing)),
            }
        }
        Self { rows, mesh }
    }

    /// When the link to this address began; it is told of no more.
    fn take(&mut self, address: SocketAddr) -> Option<Mono> {
        self.mesh.get_mut(&address)?.pop()
    }

    fn rest(self, now: Mono) -> impl Iterator<Item = ConnectionRow> {
        let mesh = self.mesh.into_iter().flat_map(|(address, began)| {
            began.into_iter().map(move |at| (Service::Mesh, Some(address), at, false))
        });
        mesh.chain(self.rows).map(move |(service, address, since, closing)| ConnectionRow {
            service: service.name(),
            peer: address.map_or_else(|| "local".into(), |a| a.to_string()),
            age_s: Some(age(now, since)),
            note: match (closing, service) {
                (true, _) => "closing".into(),
                (false, Service::Mesh) => "carries no stripes".into(),
                (false, _) => String::new(),
            },
            ..ConnectionRow::default()
        })
    }
}

fn callback_port(node: &Node) -> u16 {
    node.config.tv.as_ref().map_or(0, |tv| tv.callback_port)
}

fn age(now: Mono, since: Mono) -> f64 {
    now.since(since).as_secs_f64()
}

/// A mesh whose trees this node plans, and the tree of all its stripes merged.
struct Planned<'a> {
    part: Part<'a>,
    merged: Vec<(Row, Option<SocketAddr>)>,
}

/// The mesh of a channel that this node plans, or of the first.
fn planned(node: &Node, channel: Option<usize>) -> Result<Planned<'_>, String> {
    let wanted = |part: &Part| channel.is_none_or(|channel| part.channel == channel);
    for part in parts(node).filter(wanted) {
        let merged = part.mesh.tree(None);
        if !merged.is_empty() {
            return Ok(Planned { part, merged });
        }
    }
    match (parts(node).find(wanted), channel) {
        (Some(part), _) => Err(ask_the_root(node, &part)),
        (None, Some(channel)) if parts(node).next().is_some() => {
            let known: Vec<_> = parts(node).map(|part| part.channel.to_string()).collect();
            let known = known.join(", ");
            Err(format!("channel {channel} has no mesh here; channels with one: {known}"))
        }
        _ => Err("this node has no part in a mesh: its configuration has no [mesh]".to_owned()),
    }
}

fn ask_the_root(node: &Node, part: &Part) -> String {
    let (channel, me) = (part.channel, id(part.mesh.node()));
    let root = if let Some(root) = root_of(node, part) {
        format!("its root is at {root}")
    } else {
        let roots: Vec<_> = node.environment.roots.iter().map(ToString::to_string).collect();
        format!("no root answers it now; its configuration names {}", roots.join(", "))
    };
    format!(
        "this node is no root but member {me} of channel {channel}, and the trees are planned by \
         the root: ask there; {root}"
    )
}

fn tree(node: &Node, channel: Option<usize>, stripe: Option<usize>) -> Result<Tree, String> {
    let Planned { part, merged } = planned(node, channel)?;
    let stripes = merged.first().map_or(0, |(row, _)| row.stripes.len());
    if let Some(stripe) = stripe.filter(|stripe| *stripe >= stripes) {
        let last = stripes.saturating_sub(1);
        return Err(format!("no stripe {stripe}: this channel has stripes 0 to {last}"));
    }
    let rows = if stripe.is_some() { part.mesh.tree(stripe) } else { merged };
    let sent = |row: &Row| match row.depth {
        0 => part.mesh.stats().bytes_sent,
        _ => row.sent,
    };
    let rows: Rc<[TreeRow]> =
        rows.into_iter().map(|(row, address)| tree_row(&row, address, sent(&row))).collect();
    Ok(Tree { channel: part.channel, stripe, stripes, members: part.mesh.members(), rows })
}

fn tree_row(row: &Row, address: Option<SocketAddr>, bytes_sent: u64) -> TreeRow {
    TreeRow {
        node: id(row.name),
        address,
        depth: row.depth,
        stripes: row.stripes.to_string().into(),
        slots: row.slots.0,
        slots_used: row.slots.1,
        units: row.units.0,
        budget: row.units.1,
        bytes_sent,
    }
}

/// This node and every member that has a place, by name.
type Known = BTreeMap<NodeId, Option<SocketAddr>>;

fn why(node: &Node, channel: Option<usize>, said: &str, json: bool) -> Answer {
    let (part, known) = match planned(node, channel) {
        Ok(Planned { part, merged }) => {
            (part, merged.into_iter().map(|(row, address)| (row.name, address)).collect::<Known>())
        }
        Err(why) => return Answer::error(why),
    };
    let fits = meant(said, &known);
    if fits.len() > 1 {
        let fits: Vec<_> = fits.iter().map(|name| (id(*name), known[name])).collect();
        return text::ambiguous(&escaped(said.as_bytes()), &fits).into();
    }
    // One that has lost its place is in no tree.
    let name = fits.first().copied().or_else(|| whole_name(said));
    if let Some(place) = name.and_then(|name| part.mesh.why(name)) {
        let row = why_row(&part, &place, &known);
        return if json { text::document(&row).into() } else { text::why(&row).into() };
    }
    let (channel, said) = (part.channel, escaped(said.as_bytes()));
    Answer::error(if name == Some(part.mesh.node()) {
        format!("\"{said}\" is this node, which places the members of channel {channel}")
    } else {
        format!(
            "no member \"{said}\": expected a name, the beginning of one, or an address, as \
             \"tree\" shows them"
        )
    })
}

/// Whom an operator may mean: by address, address and port, or the beginning of a name.
fn meant(said: &str, known: &Known) -> Vec<NodeId> {
    let fits = |name: NodeId, address: Option<SocketAddr>| {
        if let Ok(socket) = said.parse::<SocketAddr>() {
            address == Some(socket)
        } else if let Ok(host) = said.parse::<IpAddr>() {
            address.is_some_and(|address| address.ip() == host)
        } else {
            !said.is_empty() && name.to_string().starts_with(&said.to_ascii_lowercase())
        }
    };
    known.iter().filter(|(name, address)| fits(**name, **address)).map(|(name, _)| *name).collect()
}

fn whole_name(said: &str) -> Option<NodeId> {
    let digits = said.len() == 16 && said.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(said, 16).ok().filter(|_| digits).map(NodeId)
}

fn why_row(part: &Part, place: &Place, known: &Known) -> WhyRow {
    let me = part.mesh.node();
    let neighbour = |name: NodeId| Neighbour {
        node: id(name),
        address: known.get(&name).copied().flatten(),
        is_this_node: name == me,
    };
    let sources = place.sources.iter().map(|source| SourceRow {
        stripes: source.stripes.to_string(),
        parent: source.parent.map(neighbour),
        depth: source.depth,
        reason: source.reason.to_string(),
        heir: source.heir.map(neighbour),
    });
    let helpers = place.helpers.iter().map(|(name, stripes)| HelperRow {
        stripes: stripes.to_string(),
        helper: neighbour(*name),
    });
    WhyRow {
        channel: part.channel,
        node: id(place.name),
        address: known.get(&place.name).copied().flatten(),
        grade: match place.grade {
            Grade::Able => "may have children",
            Grade::Young => "none while others can carry them: it is young",
            Grade::Leaf if place.slots.0 == 0 => "none: it offers no slots",
            Grade::Leaf if !place.reachable => "none: nobody could connect to it",
            Grade::Leaf => "none: it sends too slowly",
        },
        reachable: place.reachable,
        slots: place.slots.0,
        slots_used: place.slots.1,
        units: place.units.0,
        budget: place.units.1,
        home: place.home.to_string(),
        bytes_sent: place.health.sent,
        bytes_received: place.health.received,
        blocks_late: place.health.late,
        sources: sources.collect(),
        helpers: helpers.collect(),
    }
}

pub(super) fn id(node: NodeId) -> Id {
    Id(node.0)
}

#[cfg(test)]
mod tests;

//! The words for a node's part in the relay trees, but for the trees themselves: its line of
//! `status`, the blocks of `files`, the answers to `why`.

use core::fmt::Write as _;
use core::time::Duration;
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::status::mesh::{
    ArrivingBlock, HelperRow, Id, MeshStatus, Neighbour, SourceRow, WhyRow,
};

use super::{Left, Right, table};

/// A node's part in one mesh, as a line of `status`.
pub(super) fn summary(mesh: &MeshStatus) -> String {
    let MeshStatus { channel, role, node, slots, slots_used, parents, .. } = mesh;
    let mut text = format!("{role} of channel {channel} as {node}: ");
    if let Some(members) = mesh.members {
        write!(text, "{members} members, ").expect("a String takes every write");
    }
    if *role != "root" {
        let root = mesh.root.map_or_else(|| "no root".to_owned(), |root| format!("root {root}"));
        write!(text, "{root}, {parents} parents, depth {}, ", mesh.depth)
            .expect("a String takes every write");
    }
    let MeshStatus { blocks, blocks_missed, bytes_sent, bytes_received, .. } = mesh;
    let text = text
        + &format!(
            "{slots_used} of {slots} slots used, {blocks} blocks, {blocks_missed} missed, \
             {bytes_sent} bytes sent, {bytes_received} received"
        );
    match u32::try_from(mesh.repairs.count()) {
        Ok(count @ 1..) => {
            let mean = (mesh.repairs.total() / count).as_millis();
            text + &format!(", {count} stripes repaired within {mean} ms on average")
        }
        _ => text,
    }
}

/// The blocks that are not on the air yet.
pub(super) fn arriving(blocks: &[ArrivingBlock]) -> String {
    let columns = [
        Right("channel"),
        Right("block"),
        Left("name"),
        Right("bytes"),
        Right("here"),
        Right("on air in"),
    ];
    let rows = blocks.iter().map(|block| {
        let ArrivingBlock { channel, seq, name, bytes, .. } = block;
        let numbers = [channel.to_string(), seq.to_string(), bytes.to_string()];
        let [channel, seq, bytes] = numbers;
        [channel, seq, name.clone(), bytes, here(block), on_air_in(block)]
    });
    let complete = blocks.iter().filter(|block| block.complete).count();
    let rest = blocks.len() - complete;
    let table = table(&columns, rows);
    format!("{table}{complete} complete and waiting for their air time, {rest} arriving\n")
}

/// A block that is all here but not yet checked is not complete, so it never is at 100 %.
fn here(block: &ArrivingBlock) -> String {
    if block.complete {
        return "complete".to_owned();
    }
    let percent = (block.arrived.saturating_mul(100)).checked_div(block.bytes).unwrap_or(0);
    format!("{} %", percent.min(99))
}

fn on_air_in(block: &ArrivingBlock) -> String {
    if block.airs_in_ms == 0 && !block.complete {
        return "late".to_owned();
    }
    let tenths = Duration::from_millis(block.airs_in_ms).as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// The answer to `why`.
#[must_use]
pub fn why(row: &WhyRow) -> String {
    let address = row.address.map_or_else(String::new, |address| format!(" at {address}"));
    let WhyRow { channel, node, grade, slots, slots_used, units, budget, home, .. } = row;
    let port = if row.reachable { "its port answered" } else { "its port did not answer" };
    let home = if home == "none" {
        "none: a leaf in every stripe".to_owned()
    } else {
        format!("stripes {home}: meant to have children there, and to be a leaf elsewhere")
    };
    let mut text = format!(
        "{node}{address}, member of channel {channel}\n\
         \x20 children  {grade}; {port}\n\
         \x20 slots     {slots_used} of {slots} taken\n\
         \x20 load      sends {units} units of a budget of {budget}; {} bytes sent, {} received, \
         {} blocks late\n\
         \x20 home      {home}\n",
        row.bytes_sent, row.bytes_received, row.blocks_late
    );
    for source in &row.sources {
        text += &self::source(source);
    }
    for HelperRow { stripes, helper } in &row.helpers {
        writeln!(text, "late bytes of stripes {stripes} are asked of {}", neighbour(helper))
            .expect("a String takes every write");
    }
    text
}

fn source(source: &SourceRow) -> String {
    let SourceRow { stripes, parent, depth, reason, heir } = source;
    let Some(parent) = parent else {
        return format!("stripes {stripes} from nobody: {reason}\n");
    };
    let heir = match heir {
        Some(heir) => neighbour(heir),
        None => "none: when this parent is lost, nobody is above it".to_owned(),
    };
    format!(
        "stripes {stripes} from {}, at depth {depth}\n\
         \x20 because   {reason}\n\
         \x20 heir      {heir}\n",
        neighbour(parent)
    )
}

fn neighbour(neighbour: &Neighbour) -> String {
    let Neighbour { node, address, is_this_node } = neighbour;
    match address {
        _ if *is_this_node => format!("this node, {node}"),
        Some(address) => format!("{node} at {address}"),
        None => node.to_string(),
    }
}

/// The names that a question fits, when they are more than one.
#[must_use]
pub fn ambiguous(said: &str, fits: &[(Id, Option<SocketAddr>)]) -> String {
    let shown = fits.len().min(limits::CONTROL_NODES_SHOWN_MAX);
    let mut text = format!("error: \"{said}\" fits {} nodes:\n", fits.len());
    for (node, address) in &fits[..shown] {
        let address = address.map_or_else(|| "(this node)".to_owned(), |a| a.to_string());
        writeln!(text, "  {node} {address}").expect("a String takes every write");
    }
    if shown < fits.len() {
        writeln!(text, "  and {} more", fits.len() - shown).expect("a String takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_summary_tells_a_root_from_a_member() {
        let root = MeshStatus {
            role: "root",
            node: Id(0xa),
            members: Some(12),
            slots: 4,
            slots_used: 3,
            blocks: 7,
            bytes_sent: 5_000,
            ..MeshStatus::default()
        };
        assert_eq!(
            summary(&root),
            "root of channel 0 as 000000000000000a: 12 members, 3 of 4 slots used, 7 blocks, \
             0 missed, 5000 bytes sent, 0 received"
        );
        let member =
            MeshStatus { role: "member", members: None, parents: 2, blocks_missed: 1, ..root };
        assert!(
            summary(&member)
                .contains("no root, 2 parents, depth 0, 3 of 4 slots used, 7 blocks, 1")
        );
        let member = MeshStatus { root: Some(address(6061)), ..member };
        assert!(summary(&member).contains("000a: root 127.0.0.1:6061, 2 parents"));
    }

    #[test]
    fn blocks_are_waiting_or_arriving_or_late() {
        let block = |seq, arrived, airs_in_ms| ArrivingBlock {
            seq,
            name: format!("clip_{seq:05}.mkv"),
            bytes: 2_000,
            arrived,
            complete: seq == 7,
            airs_in_ms,
            ..ArrivingBlock::default()
        };
        assert_eq!(
            arriving(&[block(6, 1_999, 0), block(7, 2_000, 1_849), block(8, 2_000, 13_000)]),
            "channel  block  name            bytes      here  on air in\n\
             \x20     0      6  clip_00006.mkv   2000      99 %       late\n\
             \x20     0      7  clip_00007.mkv   2000  complete      1.8 s\n\
             \x20     0      8  clip_00008.mkv   2000      99 %     13.0 s\n\
             1 complete and waiting for their air time, 2 arriving\n"
        );
    }

    fn placed() -> WhyRow {
        let parent = Neighbour { node: Id(1), address: None, is_this_node: true };
        let heir = Neighbour { node: Id(3), address: Some(address(40_003)), is_this_node: false };
        WhyRow {
            channel: 0,
            node: Id(0x9f00_0000_0000_0002),
            address: Some(address(40_002)),
            grade: "may have children",
            reachable: true,
            slots: 4,
            slots_used: 2,
            units: 12,
            budget: 14,
            home: "0-1".to_owned(),
            bytes_sent: 100,
            bytes_received: 200,
            blocks_late: 3,
            sources: vec![
                SourceRow {
                    stripes: "0-1".to_owned(),
                    parent: Some(parent),
                    depth: 1,
                    reason: "a slot of the root was there for it".to_owned(),
                    heir: None,
                },
                SourceRow {
                    stripes: "2".to_owned(),
                    parent: Some(Neighbour {
                        node: Id(4),
                        address: Some(address(40_004)),
                        ..parent
                    })
                    .map(|p| Neighbour { is_this_node: false, ..p }),
                    depth: 3,
                    reason: "the shallowest parent with room for this stripe".to_owned(),
                    heir: Some(heir),
                },
                SourceRow {
                    stripes: "3".to_owned(),
                    reason: "no place yet".to_owned(),
                    ..SourceRow::default()
                },
            ],
            helpers: vec![HelperRow { stripes: "0-2".to_owned(), helper: heir }],
        }
    }

    #[test]
    fn a_place_is_told_in_words() {
        assert_eq!(
            why(&placed()),
            "9f00000000000002 at 127.0.0.1:40002, member of channel 0\n\
             \x20 children  may have children; its port answered\n\
             \x20 slots     2 of 4 taken\n\
             \x20 load      sends 12 units of a budget of 14; 100 bytes sent, 200 received, \
             3 blocks late\n\
             \x20 home      stripes 0-1: meant to have children there, and to be a leaf elsewhere\n\
             stripes 0-1 from this node, 0000000000000001, at depth 1\n\
             \x20 because   a slot of the root was there for it\n\
             \x20 heir      none: when this parent is lost, nobody is above it\n\
             stripes 2 from 0000000000000004 at 127.0.0.1:40004, at depth 3\n\
             \x20 because   the shallowest parent with room for this stripe\n\
             \x20 heir      0000000000000003 at 127.0.0.1:40003\n\
             stripes 3 from nobody: no place yet\n\
             late bytes of stripes 0-2 are asked of 0000000000000003 at 127.0.0.1:40003\n"
        );
        let leaf = WhyRow { home: "none".to_owned(), reachable: false, ..placed() };
        assert!(why(&leaf).contains("home      none: a leaf in every stripe\n"));
        assert!(why(&leaf).contains("; its port did not answer\n"));
    }

    #[test]
    fn what_fits_many_is_listed_within_a_bound() {
        let fits: Vec<_> = (0..25).map(|n| (Id(n), Some(address(40_000)))).collect();
        let text = ambiguous("00", &fits);
        assert!(text.starts_with("error: \"00\" fits 25 nodes:\n  0000000000000000 127.0.0.1:4"));
        assert!(text.ends_with("  and 5 more\n"), "{text}");
        assert_eq!(text.lines().count(), 2 + limits::CONTROL_NODES_SHOWN_MAX);
        assert!(ambiguous("0", &[(Id(1), None)]).ends_with("  0000000000000001 (this node)\n"));
    }
}

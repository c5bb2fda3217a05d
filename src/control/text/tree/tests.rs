//! Trees as text: what is drawn is what was given, each node once and as deep as it is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::status::mesh::Id;

fn row(node: u64, depth: usize) -> TreeRow {
    TreeRow {
        node: Id(node),
        address: (depth > 0).then(|| format!("127.0.0.1:{}", 40_000 + node).parse().unwrap()),
        depth,
        stripes: "0-3".into(),
        slots: 2,
        slots_used: 1,
        units: 4,
        budget: 8,
        bytes_sent: 1_048_576,
    }
}

fn of(rows: Vec<TreeRow>, stripe: Option<usize>) -> Tree {
    Tree { channel: 0, stripe, stripes: 4, members: rows.len() - 1, rows: rows.into() }
}

fn small() -> Vec<TreeRow> {
    vec![
        TreeRow { units: 16, slots: 12, slots_used: 10, ..row(0xabc, 0) },
        row(1, 1),
        TreeRow { stripes: "2".into(), bytes_sent: 0, ..row(2, 2) },
        row(3, 1),
    ]
}

#[test]
fn a_tree_is_drawn_by_indentation() {
    let text = tree(of(small(), None), false).into_text();
    assert_eq!(
        text,
        "channel 0, 4 stripes merged, each node below one of its parents: 3 members, depth 2\n\
         depth  slots  units  budget  bytes sent  stripes  node\n\
         \x20   0  10/12     16       8     1048576  0-3      0000000000000abc (this node)\n\
         \x20   1    1/2      4       8     1048576  0-3        0000000000000001 127.0.0.1:40001\n\
         \x20   2    1/2      4       8           0  2            0000000000000002 \
         127.0.0.1:40002\n\
         \x20   1    1/2      4       8     1048576  0-3        0000000000000003 127.0.0.1:40003\n"
    );
}

#[test]
fn one_stripe_and_who_is_missing_are_told() {
    let tree = Tree { members: 5, ..of(small(), Some(2)) };
    let text = super::tree(tree, false).into_text();
    assert!(text.starts_with("channel 0, stripe 2 of 4: 5 members, depth 2\n"), "{text}");
    assert!(text.ends_with("\n2 members have no place in it now\n"), "{text}");
}

#[test]
fn a_tree_is_json_with_a_row_a_line() {
    let text = tree(of(small(), None), true).into_text();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["stripe"], &value["members"]), (&Value::Null, &3.into()));
    assert_eq!((&value["stripes"], &value["unplaced"]), (&4.into(), &0.into()));
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["node"], "0000000000000abc");
    assert!(rows[0]["address"].is_null() && rows[1]["address"] == "127.0.0.1:40001", "{text}");
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn a_chain_stays_on_the_screen() {
    let rows: Vec<_> = (0..2_000).map(|depth| row(depth as u64, depth)).collect();
    let text = tree(of(rows, None), false).into_text();
    assert!(text.lines().all(|line| line.len() < 220), "no line is endless");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(" 1999") && last.contains("  +1959 00000000000007cf"), "{last}");
}

/// What a line says: the depth in its column, the levels of indentation, the name.
fn read(line: &str) -> (usize, usize, u64) {
    let depth = line.split_whitespace().next().unwrap().parse().unwrap();
    let at = line.find("0-3").unwrap() + "0-3".len() + 6;
    let drawn = line[at..].trim_start();
    let levels = (line.len() - at - drawn.len()) / 2;
    let (more, drawn) = match drawn.strip_prefix('+') {
        Some(rest) => rest.split_once(' ').unwrap(),
        None => ("0", drawn),
    };
    let name = u64::from_str_radix(&drawn[..16], 16).unwrap();
    (depth, levels + more.parse::<usize>().unwrap(), name)
}

proptest! {
    #[test]
    fn every_node_of_any_tree_is_drawn_once_and_as_deep_as_it_is(
        depths in proptest::collection::vec(0_usize..60, 0..400),
    ) {
        // Any walk that goes down by one at most is the drawing order of some tree.
        let mut rows = vec![row(0, 0)];
        for (n, wish) in depths.iter().enumerate() {
            let depth = (*wish).clamp(1, rows[n].depth + 1);
            rows.push(row(n as u64 + 1, depth));
        }
        let text = tree(of(rows.clone(), None), false).into_text();
        let drawn: Vec<_> = text.lines().skip(2).map(read).collect();
        prop_assert_eq!(drawn.len(), rows.len());
        for ((depth, levels, name), row) in drawn.iter().zip(&rows) {
            prop_assert_eq!((*depth, *levels, *name), (row.depth, row.depth, row.node.0));
        }
        let names: BTreeSet<_> = drawn.iter().map(|(.., name)| *name).collect();
        prop_assert_eq!(names.len(), rows.len());
        let value: Value =
            serde_json::from_str(&tree(of(rows, None), true).into_text()).unwrap();
        prop_assert_eq!(value["rows"].as_array().unwrap().len(), drawn.len());
    }
}

//! Trees of the real planner as an operator sees them, and whom an operator may mean.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::base::arena::Key;
use crate::mesh::planner::{Answer as Answered, Event, Joining, Planner, Settings};
use crate::mesh::wire::Stripes;

const SECOND: u64 = 1_000_000_000;

/// A planner after members have come (`Ok`: with so many slots) and gone (`Err`: the nth).
fn planned(steps: &[Result<usize, usize>]) -> Planner {
    let settings = Settings { stripes: 4, root_slots: 3, members_max: 500, rate: 1_000, seed: 7 };
    let mut planner = Planner::new(NodeId(0), settings, Mono(0));
    let mut members = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let now = Mono((n as u64 + 1) * SECOND);
        match step {
            Ok(slots) => {
                let joining = Joining {
                    name: NodeId(n as u64 + 1),
                    slots: *slots,
                    reachable: slots % 3 > 0,
                    held: Vec::new(),
                    forwards: Stripes::EMPTY,
                    part: false,
                };
                let answer = planner.plan(now, Event::Join(joining)).answer;
                if let Some(Answered::Placed(key)) = answer {
                    members.push(key);
                }
            }
            Err(nth) if !members.is_empty() => {
                let member = members.swap_remove(nth % members.len());
                planner.plan(now, Event::Lost { member });
            }
            Err(_) => {}
        }
    }
    planner
}

/// The rows as they are drawn: name, levels of indentation.
fn drawn(planner: &Planner, stripe: Option<usize>) -> Vec<(NodeId, usize)> {
    let rows = planner.tree(stripe);
    let tree = Tree {
        channel: 0,
        stripe,
        stripes: 4,
        members: planner.count(),
        rows: rows.iter().map(|row| tree_row(row, None, 0)).collect(),
    };
    let text = text::tree(tree, false).into_text();
    let lines = text.lines().skip(2).filter(|line| line.ends_with("(this node)"));
    let read = |line: &str| {
        let line = line.strip_suffix(" (this node)").unwrap();
        let (columns, name) = line.split_at(line.len() - 16);
        // The stripes end a column of eight, and two spaces follow it.
        let spaces = columns.len() - columns.trim_end().len();
        let stripes = columns.trim_end().rsplit(' ').next().unwrap().len();
        let levels = (spaces + stripes - "stripes".len() - 2) / 2;
        (NodeId(u64::from_str_radix(name, 16).unwrap()), levels)
    };
    lines.map(read).collect()
}

/// Whether the parents of a stripe lead to the root.
fn is_fed(planner: &Planner, member: Key, stripe: usize) -> bool {
    let up = |at: &Key| planner.parent_of(*at, stripe);
    std::iter::successors(Some(member), up).take(1_000).any(|at| at == planner.root())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_member_is_drawn_once_below_a_parent_of_its_own(
        steps in proptest::collection::vec(
            prop_oneof![3 => (0_usize..5).prop_map(Ok), 1 => (0_usize..100).prop_map(Err)],
            0..80,
        ),
    ) {
        let planner = planned(&steps);
        let key = |name: NodeId| planner.member(name).unwrap_or_else(|| planner.root());
        for stripe in [None, Some(0), Some(1), Some(2), Some(3)] {
            let drawn = drawn(&planner, stripe);
            let mut names = BTreeSet::new();
            let mut above: Vec<NodeId> = Vec::new();
            for (name, levels) in &drawn {
                prop_assert!(names.insert(*name), "{name} twice in {stripe:?}");
                prop_assert!(*levels <= above.len(), "{name} hangs in the air");
                above.truncate(*levels);
                if let Some(parent) = above.last() {
                    let mut stripes = (0..4).filter(|s| stripe.is_none_or(|only| only == *s));
                    let fed =
                        stripes.any(|s| planner.parent_of(key(*name), s) == Some(key(*parent)));
                    prop_assert!(fed, "{name} takes nothing from {parent} in {stripe:?}");
                }
                above.push(*name);
            }
            // Whoever is not drawn takes no stripe that comes from the root.
            for member in planner.members() {
                let name = planner.name(member).unwrap();
                if !names.contains(&name) {
                    let stripes: Vec<_> =
                        (0..4).filter(|s| stripe.is_none_or(|only| only == *s)).collect();
                    let fed = |s: &usize| is_fed(&planner, member, *s);
                    prop_assert!(!stripes.iter().any(fed), "{name} is not drawn in {stripe:?}");
                }
            }
        }
    }
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

#[test]
fn a_node_is_meant_by_the_beginning_of_its_name_or_by_its_address() {
    let (a, b, root) = (NodeId(0xab1 << 52), NodeId(0xab2 << 52), NodeId(0x1));
    let known = Known::from([(a, Some(address(1, 40))), (b, Some(address(1, 41))), (root, None)]);
    assert_eq!(meant("AB1", &known), [a]);
    assert_eq!(meant("ab", &known), [a, b]);
    assert_eq!(meant("ab20000000000000", &known), [b]);
    assert_eq!(meant("127.0.0.1:41", &known), [b]);
    assert_eq!(meant("127.0.0.1", &known), [a, b]);
    assert_eq!(meant("0", &known), [root]);
    for nobody in
        ["", "x", "ab3", "127.0.0.2", "127.0.0.1:42", "::1", "ab200000000000000", "\u{fc}"]
    {
        assert_eq!(meant(nobody, &known), [], "{nobody}");
    }
}

#[test]
fn only_a_whole_name_is_one_that_is_in_no_tree() {
    assert_eq!(whole_name("00000000000000fF"), Some(NodeId(255)));
    for not in ["ff", "+0000000000000ff", "00000000000000fg", "000000000000000ff"] {
        assert_eq!(whole_name(not), None, "{not}");
    }
}

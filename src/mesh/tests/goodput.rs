//! Members whose uplink is too slow for what they are asked to send.

use super::*;

#[test]
fn a_member_with_a_slow_uplink_ends_as_a_leaf_and_nobody_misses_a_block() {
    let mut world = grown(15, 12);
    world.run(SECOND * 12);
    let slow = inner(&world);
    assert!(world.hosts[slow].mesh.served() > 0);
    // Less than one channel, and it has several children.
    world.hosts[slow].rate = 20 << 10;
    world.run(SECOND * 30);
    check(&world, 40, 15);
    let node = world.hosts[slow].mesh.node();
    let place = world.hosts[0].mesh.why(node).expect("it is a member still");
    assert_eq!(place.grade, planner::Grade::Leaf, "{place}");
    assert!(place.health.goodput.is_some_and(|rate| rate < 36 << 10), "{:?}", place.health);
    assert_eq!(world.hosts[slow].mesh.served(), 0);
    let others = world.hosts[0].mesh.tree(None);
    let leaves = |row: &planner::Row| {
        let why = world.hosts[0].mesh.why(row.name);
        why.is_some_and(|place| place.grade == planner::Grade::Leaf)
    };
    assert_eq!(others.iter().filter(|(row, _)| leaves(row)).count(), 1, "nobody else is slow");
}

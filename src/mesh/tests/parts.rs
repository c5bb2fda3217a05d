//! More than one root: relays with members of their own, several roots of one run, and a root of
//! another run in the place of one that is gone.

use super::world::World;
use super::*;

/// A server, a relay with three slots below it, and members that know the relay first.
fn parted(seed: u64, members: usize) -> (World, usize) {
    let mut world = World::new(seed, 3, 4);
    let relay = world.relay(3, &[0]);
    world.run(SECOND);
    for _ in 0..members {
        world.join_at(2, &[relay, 0]);
        world.run(Duration::from_millis(300));
    }
    (world, relay)
}

fn joined(world: &World, host: usize) -> usize {
    let events = &world.hosts[host].events;
    events.iter().filter(|event| matches!(event, Event::Joined { .. })).count()
}

#[test]
fn a_relay_is_a_member_above_and_a_root_below() {
    let (mut world, relay) = parted(30, 6);
    world.run(SECOND * 8);
    check(&world, 8, 30);
    assert_eq!((world.hosts[0].mesh.members(), world.hosts[relay].mesh.members()), (1, 6));
    assert_eq!(world.hosts[0].mesh.served(), 1, "the server sends one copy");
    let rows = world.hosts[relay].mesh.tree(None);
    assert_eq!(rows.iter().filter(|(row, _)| row.depth == 1).count(), 3, "{rows:?}");
    nothing_is_left(&mut world);
}

#[test]
fn when_a_relay_dies_its_members_go_on_at_the_server() {
    for silent in [false, true] {
        let (mut world, relay) = parted(31, 6);
        world.run(SECOND * 8);
        if silent {
            world.kill_silently(relay);
        } else {
            world.kill(relay);
        }
        world.run(SECOND * 12);
        check(&world, 16, 31);
        assert_eq!(world.hosts[0].mesh.members(), 6, "silent: {silent}");
    }
}

#[test]
fn the_children_of_a_relay_that_is_reset_have_another_parent_within_300_ms() {
    for seed in 40..48 {
        let (mut world, relay) = parted(seed, 6);
        world.run(SECOND * 12);
        let name = world.hosts[relay].mesh.node();
        world.kill(relay);
        world.run(Duration::from_millis(300));
        for member in 2..world.hosts.len() {
            let host = &world.hosts[member];
            let rows = host.mesh.links(&host.cx).into_iter().filter(|row| row.sends_to_us);
            let fed = rows.filter(|row| row.node != Some(name));
            let fed = fed.fold(wire::Stripes::EMPTY, |all, row| all | row.stripes);
            assert_eq!(fed, wire::Stripes::first(4), "seed {seed}: member {member}");
        }
    }
}

#[test]
fn a_block_that_was_on_its_way_through_a_relay_is_not_waited_for() {
    for seed in 50..82 {
        let mut world = World::new(seed, 2, 1);
        world.block_bytes = 2 << 10;
        let relays = [world.relay(2, &[0]), world.relay(2, &[0])];
        world.run(SECOND);
        for _ in 0..8 {
            world.join_at(3, &[relays[0], relays[1], 0]);
            world.run(Duration::from_millis(300));
        }
        world.run(SECOND * 12);
        let seq = world.next_seq;
        while world.next_seq == seq {
            world.run(Duration::from_millis(1));
        }
        // The relay has nothing of it yet.
        world.kill(relays[0]);
        world.run(Duration::from_millis(300));
        for member in 3..world.hosts.len() {
            let newest = world.hosts[member].got.last().copied();
            assert_eq!(newest, Some(seq), "seed {seed}: member {member}");
        }
    }
}

#[test]
fn members_of_a_relay_that_dies_may_go_to_another_relay() {
    let mut world = World::new(32, 2, 4);
    let relays = [world.relay(3, &[0]), world.relay(3, &[0])];
    world.run(SECOND);
    for n in 0..6 {
        world.join_at(2, &[relays[n % 2], relays[1 - n % 2]]);
        world.run(Duration::from_millis(300));
    }
    world.run(SECOND * 8);
    assert_eq!(world.hosts[relays[0]].mesh.members(), 3);
    world.kill(relays[0]);
    world.run(SECOND * 12);
    check(&world, 16, 32);
    assert_eq!(world.hosts[relays[1]].mesh.members(), 6);
}

#[test]
fn a_relay_that_leaves_hands_its_members_over_first() {
    let (mut world, relay) = parted(33, 6);
    world.run(SECOND * 8);
    world.leave(relay);
    world.run(Duration::from_millis(2_300));
    assert!(world.hosts[relay].left);
    let lost = |host: &world::Host| {
        let lost = |event: &Event| matches!(event, Event::LostParent { .. });
        host.events.iter().any(lost)
    };
    assert!(!world.hosts.iter().any(lost), "nobody lost a parent: all had moved");
    world.run(SECOND * 8);
    check(&world, 16, 33);
    assert_eq!(world.hosts[0].mesh.members(), 6);
}

#[test]
fn two_roots_of_one_run_are_as_good_as_each_other() {
    for graceful in [false, true] {
        let mut world = World::new(34, 2, 4);
        let second = world.root_of(2, 77, vec![0]);
        for _ in 0..6 {
            world.join_at(2, &[0, second]);
            world.run(Duration::from_millis(300));
        }
        world.run(SECOND * 8);
        if graceful {
            let other = world.hosts[second].address;
            world.hosts[0].mesh.set_roots(vec![other]);
            world.leave(0);
        } else {
            world.kill(0);
        }
        world.run(SECOND * 12);
        check(&world, 16, 34);
        assert_eq!(world.hosts[second].mesh.members(), 6, "graceful: {graceful}");
    }
}

#[test]
fn a_relay_takes_the_place_of_a_leaf_at_the_root() {
    let mut world = World::new(35, 2, 4);
    let leaf = world.join(0);
    world.run(SECOND);
    world.join(4);
    world.run(SECOND * 12);
    let relay = world.relay(3, &[0]);
    world.run(SECOND * 2);
    let rows = world.hosts[0].mesh.tree(None);
    let depth = |host: usize| {
        rows.iter().find(|(row, _)| row.name == NodeId(host as u64 + 1)).map(|(row, _)| row.depth)
    };
    assert_eq!((depth(relay), depth(leaf)), (Some(1), Some(2)), "{rows:?}");
    // Nobody who comes later with slots takes it away again.
    for _ in 0..4 {
        world.join(4);
        world.run(SECOND * 11);
    }
    let rows = world.hosts[0].mesh.tree(None);
    let at = rows.iter().find(|(row, _)| row.name == NodeId(relay as u64 + 1)).unwrap();
    assert_eq!(at.0.depth, 1, "{rows:?}");
    check(&world, 8, 35);
}

#[test]
fn members_take_the_run_of_a_new_root() {
    let (mut world, relay) = parted(36, 4);
    world.run(SECOND * 6);
    let before: Vec<usize> = (0..world.hosts.len()).map(|host| joined(&world, host)).collect();
    world.kill(0);
    world.run(SECOND);
    world.restart_as(78);
    world.run(SECOND * 20);
    for (host, before) in before.into_iter().enumerate().skip(1) {
        assert!(joined(&world, host) > before, "member {host}");
        let newest = world.hosts[relay].got.last().copied().unwrap();
        assert!(world.hosts[host].got.last().unwrap() + 4 >= newest, "member {host} goes on");
    }
    let members = |host: usize| world.hosts[host].mesh.members();
    assert_eq!(members(relay) + members(0), 5);
}

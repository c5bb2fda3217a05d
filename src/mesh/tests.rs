//! Whole meshes under virtual time: what every member gets, and what happens to those below a node
//! that dies, lies, leaves or is slow.

mod catch_up;
mod drip;
mod faults;
mod goodput;
mod home;
mod parts;
mod room;
mod strangers;
mod telling;
mod wants;
mod world;

use core::time::Duration;

use super::*;
use crate::base::rng::Rng;
use world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A root with two slots and members with two slots each: three levels and more.
fn grown(seed: u64, members: usize) -> World {
    let mut world = World::new(seed, 2, 4);
    for _ in 0..members {
        world.join(2);
        world.run(Duration::from_millis(150));
    }
    world
}

/// Every living member has everything since its first block, in order, up to the newest; nobody
/// ever had more children than slots.
fn check(world: &World, least: usize, seed: u64) {
    let newest = world.hosts.iter().flat_map(|h| h.got.iter().copied()).max().unwrap_or(0);
    for (i, host) in world.hosts.iter().enumerate().filter(|(_, h)| !h.mesh.is_root()) {
        assert!(host.missed.is_empty(), "seed {seed}: member {i} missed {:?}", host.missed);
        assert!(host.late.is_empty(), "seed {seed}: member {i} had {:?} too late", host.late);
        let ordered = host.got.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(ordered, "seed {seed}: member {i} got {:?}", host.got);
        if !host.dead && !host.left {
            let end = host.got.last().copied().unwrap_or(0);
            let enough = host.got.len() >= least && end + 4 >= newest;
            let events = || host.events.iter().filter(|e| !matches!(e, Event::Block(_)));
            let events = || events().collect::<Vec<_>>();
            assert!(enough, "seed {seed}: member {i}: {:?} of {newest}; {:?}", host.got, events());
        }
        let most = host.mesh.stats().children_most;
        assert!(most <= host.slots as u64, "seed {seed}: member {i} had {most} children");
    }
}

/// The member that feeds most others.
fn inner(world: &World) -> usize {
    let members = (1..world.hosts.len()).filter(|i| !world.hosts[*i].dead);
    members.max_by_key(|i| world.hosts[*i].mesh.served()).expect("there are members")
}

/// Stops all, and looks for what is left.
fn nothing_is_left(world: &mut World) {
    for host in (0..world.hosts.len()).rev().filter(|i| !world.hosts[*i].dead).collect::<Vec<_>>() {
        world.leave(host);
    }
    world.run(SECOND * 5);
    for (i, host) in world.hosts.iter_mut().enumerate().filter(|(_, host)| !host.dead) {
        assert!(host.left, "member {i} has left");
        host.empty();
        assert_eq!(host.cx.peers.len(), 0, "connections of member {i}");
        assert_eq!(host.cx.blobs.len(), 0, "blobs of member {i}");
        assert_eq!((host.cx.wheel.len(), host.mesh.timers()), (0, 0), "timers of member {i}");
    }
}

#[test]
fn every_member_gets_every_block_in_order_and_leaves_nothing() {
    let mut world = grown(1, 14);
    world.block_bytes = 96 << 10;
    world.hosts.iter_mut().for_each(|host| host.rate = 400_000);
    world.run(SECOND * 8);
    check(&world, 8, 1);
    let depth = world.hosts[0].mesh.tree(None).iter().map(|(row, _)| row.depth).max();
    assert!(depth >= Some(3), "{depth:?}");
    let pulled: u64 = world.hosts.iter().map(|host| host.mesh.stats().bytes_wasted).sum();
    let got: u64 = world.hosts.iter().map(|host| host.mesh.stats().bytes_received).sum();
    assert!(pulled * 5 < got, "{pulled} bytes of {got} came twice");
    nothing_is_left(&mut world);
}

#[test]
fn nobody_misses_a_block_when_an_inner_member_is_reset() {
    let mut world = grown(2, 14);
    world.run(SECOND * 6);
    let dead = inner(&world);
    assert!(world.hosts[dead].mesh.served() > 0);
    world.kill(dead);
    world.run(SECOND * 10);
    check(&world, 12, 2);
}

#[test]
fn nobody_misses_a_block_when_an_inner_member_falls_silent() {
    let mut world = grown(3, 14);
    world.run(SECOND * 6);
    let dead = inner(&world);
    world.kill_silently(dead);
    world.run(SECOND * 10);
    check(&world, 12, 3);
}

#[test]
fn a_parent_that_sends_wrong_bytes_is_left_and_nobody_misses_a_block() {
    let mut world = grown(4, 14);
    world.run(SECOND * 6);
    let liar = inner(&world);
    world.hosts[liar].lies = true;
    world.run(SECOND * 12);
    check(&world, 12, 4);
    let bad: u64 = world.hosts.iter().map(|host| host.mesh.stats().bad_stripes).sum();
    assert!(bad > 0, "somebody noticed");
    let left =
        |event: &Event| matches!(event, Event::LostParent { why: "sent a wrong stripe", .. });
    assert!(world.hosts.iter().any(|host| host.events.iter().any(left)), "and left it");
}

#[test]
fn a_member_that_leaves_hands_its_children_over() {
    let mut world = grown(5, 14);
    world.run(SECOND * 6);
    let leaver = inner(&world);
    world.leave(leaver);
    world.run(SECOND * 3);
    assert!(world.hosts[leaver].left && world.hosts[leaver].mesh.served() == 0);
    world.run(SECOND * 7);
    check(&world, 12, 5);
    let pulls: u64 = world.hosts.iter().map(|host| host.mesh.stats().blocks_missed).sum();
    assert_eq!(pulls, 0);
}

#[test]
fn a_root_without_room_says_so() {
    let mut world = World::new(8, 1, 4);
    world.join(0);
    world.run(SECOND);
    let late = world.join(0);
    world.run(SECOND * 2);
    let full =
        |event: &Event| matches!(event, Event::Full { reason, .. } if reason.contains("slots"));
    assert!(world.hosts[late].events.iter().any(full), "{:?}", world.hosts[late].events);
    assert_eq!(world.hosts[0].mesh.members(), 1);
}

#[test]
fn a_member_whose_port_does_not_answer_has_no_children() {
    let mut world = World::new(9, 2, 4);
    let hidden = world.join(4);
    world.hosts[hidden].listens = false;
    world.run(SECOND * 2);
    for _ in 0..4 {
        world.join(2);
        world.run(SECOND);
    }
    world.run(SECOND * 3);
    assert_eq!(world.hosts[hidden].mesh.stats().children_most, 0);
    check(&world, 2, 9);
}

#[test]
fn nobody_misses_a_block_while_the_root_restarts_and_few_parents_change() {
    let mut world = grown(10, 14);
    world.run(SECOND * 14);
    let parents = |world: &World| -> Vec<Vec<(Option<NodeId>, wire::Stripes)>> {
        let fed = |row: &LinkRow| row.sends_to_us && !row.stripes.is_empty();
        let rows = |host: &world::Host| host.mesh.links(&host.cx).into_iter().filter(fed);
        let parents = |host| rows(host).map(|row| (row.node, row.stripes)).collect();
        world.hosts.iter().skip(1).map(parents).collect()
    };
    let before = parents(&world);
    world.kill(0);
    world.run(SECOND * 2);
    world.restart_root();
    world.run(SECOND * 3);
    let after = parents(&world);
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    world.run(SECOND * 5);
    check(&world, 12, 10);
    assert_eq!(world.hosts[0].mesh.members(), 14);
    println!("{changed} of 14 members changed a parent");
    assert!(changed <= 7, "{changed} of 14 members changed a parent");
}

#[test]
fn a_child_that_takes_nothing_is_struck_out_and_delays_nobody() {
    let mut world = grown(12, 8);
    world.run(SECOND * 3);
    let stalled = 5;
    world.hosts[stalled].stalled = true;
    world.run(SECOND * 8);
    world.hosts[stalled].dead = true;
    check(&world, 8, 12);
    let stuck = world.hosts[stalled].address.ip();
    for host in world.hosts.iter().filter(|host| host.address.ip() != stuck) {
        let rows = host.mesh.links(&host.cx);
        let fed = |row: &LinkRow| !row.sends_to_us && row.node == Some(NodeId(6));
        assert!(!rows.iter().any(fed), "it is fed no longer");
    }
}

#[test]
fn a_tenth_may_die_at_once() {
    let mut world = World::new(11, 4, 4);
    for _ in 0..30 {
        world.join(3);
        world.run(Duration::from_millis(120));
    }
    world.run(SECOND * 12);
    for dead in [3, 14, 25] {
        world.kill_silently(dead);
    }
    world.run(SECOND * 10);
    check(&world, 12, 11);
    let sum =
        |of: fn(Stats) -> u64| -> u64 { world.hosts.iter().map(|h| of(h.mesh.stats())).sum() };
    let (wasted, got) = (sum(|s| s.bytes_wasted), sum(|s| s.bytes_received));
    println!("{wasted} of {got} bytes came twice; {} pulls", sum(|s| s.pulls));
    assert!(wasted * 10 < got, "{wasted} bytes of {got} came twice");
}

/// Joins, silent deaths, resets and leaves at random, one at a time.
fn walk(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut world = grown(seed, 8);
    world.block_bytes = 6_000;
    world.run(SECOND * 2);
    for _ in 0..6 {
        let alive: Vec<usize> = (1..world.hosts.len())
            .filter(|i| !world.hosts[*i].dead && !world.hosts[*i].left)
            .collect();
        let any = alive[usize::try_from(rng.below(alive.len() as u64)).unwrap()];
        match rng.below(5) {
            0 if alive.len() > 5 => world.kill(any),
            1 if alive.len() > 5 => world.kill_silently(any),
            2 if alive.len() > 5 => world.leave(any),
            _ => drop(world.join(usize::try_from(rng.below(4)).unwrap())),
        }
        world.run(rng.between(SECOND / 10, SECOND * 3));
    }
    world.run(SECOND * 6);
    check(&world, 1, seed);
    nothing_is_left(&mut world);
}

#[test]
fn whatever_happens_one_at_a_time_nobody_misses_a_block() {
    (0..30).for_each(walk);
}

#[test]
fn whatever_happens_in_other_orders_nobody_misses_a_block() {
    (30..60).for_each(walk);
}

#[test]
fn a_child_of_a_reset_parent_has_another_one_within_300_ms() {
    let mut world = grown(13, 14);
    world.run(SECOND * 14);
    let dead = inner(&world);
    let lost = NodeId(dead as u64 + 1);
    world.kill(dead);
    world.run(Duration::from_millis(300));
    let fed = |host: &world::Host| {
        let rows = host.mesh.links(&host.cx).into_iter().filter(|row| row.sends_to_us);
        rows.fold(wire::Stripes::EMPTY, |all, row| {
            assert_ne!(row.node, Some(lost));
            all | row.stripes
        })
    };
    for (i, host) in world.hosts.iter().enumerate().skip(1).filter(|(_, host)| !host.dead) {
        assert_eq!(fed(host), wire::Stripes::first(4), "member {i}");
    }
}

#[test]
fn the_hash_of_no_bytes_is_known() {
    assert_eq!(store::NOTHING_HASH, blake3::hash(b"").as_bytes());
}

//! Whole meshes under virtual time: what every member gets, and what happens to those below a node
//! that dies, lies, leaves or is slow.

mod world;

use core::time::Duration;

use super::*;
use crate::base::rng::Rng;
use world::{LASTS, World};

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

/// Every living member has everything since its first block, in order, up to the last but `behind`.
fn check(world: &World, least: usize, seed: u64) {
    let newest = world.hosts.iter().flat_map(|h| h.got.iter().copied()).max().unwrap_or(0);
    for (i, host) in world.hosts.iter().enumerate().skip(1) {
        assert!(host.missed.is_empty(), "seed {seed}: member {i} missed {:?}", host.missed);
        let ordered = host.got.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(ordered, "seed {seed}: member {i} got {:?}", host.got);
        if !host.dead && !host.left {
            let last = host.got.last().copied().unwrap_or(0);
            assert!(
                host.got.len() >= least && last + 2 >= newest,
                "seed {seed}: member {i} got {:?} of {newest}; {:?}", host.got, host.events
            );
        }
        let most = host.mesh.stats().children_most;
        assert!(most <= host.slots as u64, "seed {seed}: member {i} had {most} children");
    }
}

#[test]
fn every_member_gets_every_block_in_order() {
    let mut world = grown(1, 14);
    world.run(SECOND * 12);
    check(&world, 10, 1);
}

//! What a member asks others for: that which exists and which it does not get anyway.

use super::*;

/// Bytes that came twice, of all that came.
fn wasted(world: &World) -> (u64, u64) {
    let sum = |of: fn(Stats) -> u64| world.hosts.iter().map(|h| of(h.mesh.stats())).sum();
    (sum(|s| s.bytes_wasted), sum(|s| s.bytes_received))
}

#[test]
fn who_joins_a_young_channel_asks_for_what_exists_only() {
    let mut world = World::new(20, 2, 4);
    world.run(SECOND * 3);
    let member = world.join(2);
    world.run(SECOND / 2);
    let stats = world.hosts[member].mesh.stats();
    // Two blocks or three of four stripes each were there before it came.
    assert!(stats.pulls <= 3 * 4, "{} pulls", stats.pulls);
    assert_eq!(world.hosts[member].got.first(), Some(&100), "it has them, and all of them");
    world.run(SECOND * 5);
    assert_eq!(world.hosts[member].mesh.stats().pulls, stats.pulls, "and needs no more");
    check(&world, 7, 20);
}

#[test]
fn who_joins_late_is_up_to_date_within_a_block() {
    let mut world = grown(21, 8);
    world.run(SECOND * 10);
    let member = world.join(2);
    world.run(SECOND);
    let newest = world.hosts[1].got.last().copied();
    assert_eq!(world.hosts[member].got.last().copied(), newest);
    let pulls = world.hosts[member].mesh.stats().pulls;
    // The one on the air and those up to the newest, which its parents send.
    assert!(pulls <= 5 * 4, "{pulls} pulls for five blocks of four stripes");
    check(&world, 6, 21);
}

#[test]
fn the_first_blocks_of_a_channel_may_have_any_numbers() {
    let mut world = World::new(22, 2, 4);
    world.next_seq = 5_000_000_000;
    world.join(2);
    world.join(2);
    world.run(SECOND * 6);
    check(&world, 4, 22);
    assert_eq!(world.hosts[2].got.first(), Some(&5_000_000_000));
}

#[test]
fn little_comes_twice_when_members_die() {
    let (mut twice, mut all, mut pulls) = (0, 0, 0);
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut world = grown(100 + seed, 14);
        world.hosts.iter_mut().for_each(|host| host.rate = 400_000);
        world.block_bytes = 96 << 10;
        world.run(SECOND * 4);
        for _ in 0..3 {
            let dead = inner(&world);
            if rng.below(2) == 0 {
                world.kill(dead);
            } else {
                world.kill_silently(dead);
            }
            world.run(rng.between(SECOND * 2, SECOND * 4));
        }
        world.run(SECOND * 6);
        check(&world, 8, seed);
        let (wasted, got) = wasted(&world);
        (twice, all) = (twice + wasted, all + got);
        pulls += world.hosts.iter().map(|host| host.mesh.stats().pulls).sum::<u64>();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = twice as f64 / all as f64 * 100.0;
    println!("{twice} of {all} bytes came twice: {share:.2} %; {pulls} pulls");
    assert!(twice * 200 < all, "{twice} of {all} bytes came twice");
}

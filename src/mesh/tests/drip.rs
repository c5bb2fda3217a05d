//! A parent that sends a few bytes now and then: never silent, and never done.

use super::*;

#[test]
fn a_parent_that_drips_is_left_and_nobody_misses_a_block() {
    let mut world = grown(70, 14);
    world.run(SECOND * 12);
    let slow = inner(&world);
    world.hosts[slow].drips = true;
    world.run(SECOND * 20);
    check(&world, 24, 70);
}

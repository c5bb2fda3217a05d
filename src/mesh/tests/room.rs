//! What a link has no room for goes on it as the kernel takes what is there.

use super::*;
use crate::base::limits::MESH_QUEUED_BYTES_MAX;

#[test]
fn what_a_link_had_no_room_for_follows_when_the_kernel_takes_bytes() {
    let mut world = World::new(80, 1, 4);
    // Each stripe of a block is as much as a link takes at once, and one link carries all four.
    world.block_bytes = 4 * usize::try_from(MESH_QUEUED_BYTES_MAX).unwrap();
    world.join(2);
    world.run(SECOND * 4);
    let pulls = world.hosts[1].mesh.stats().pulls;
    world.run(SECOND * 8);
    check(&world, 8, 80);
    assert_eq!(world.hosts[1].mesh.stats().pulls, pulls, "nothing has to be asked for");
}

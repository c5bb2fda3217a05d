//! What a member tells of its parents: how far behind they are, how long stripes were without one.

use super::*;

fn parent_rows(world: &World, host: usize) -> Vec<LinkRow> {
    let host = &world.hosts[host];
    let rows = host.mesh.links(&host.cx).into_iter();
    rows.filter(|row| row.sends_to_us && !row.stripes.is_empty()).collect()
}

#[test]
fn a_parent_that_is_behind_shows_its_lag() {
    let mut world = grown(40, 12);
    world.run(SECOND * 12);
    for host in 1..world.hosts.len() {
        for row in parent_rows(&world, host) {
            assert!(row.lag <= 1, "member {host}: {row:?}");
        }
    }
    let slow = inner(&world);
    let name = world.hosts[slow].mesh.node();
    // Nothing that its children are owed gets through to them.
    world.hosts[slow].rate = 2 << 10;
    let mut most = 0;
    for _ in 0..12 {
        world.run(Duration::from_millis(250));
        let members = (1..world.hosts.len()).flat_map(|host| parent_rows(&world, host));
        let of_slow = members.filter(|row| row.node == Some(name)).map(|row| row.lag);
        most = of_slow.max().unwrap_or(0).max(most);
    }
    assert!(most >= 2, "its children see a lag of {most}");
}

#[test]
fn the_time_until_a_stripe_comes_again_is_counted() {
    let mut world = grown(41, 14);
    world.run(SECOND * 12);
    let all = |world: &World| -> Vec<u64> {
        world.hosts.iter().map(|host| host.mesh.repairs().count()).collect()
    };
    let before = all(&world);
    let dead = inner(&world);
    let name = world.hosts[dead].mesh.node();
    let owed = |world: &World, host: usize| -> usize {
        let rows = parent_rows(world, host).into_iter();
        rows.filter(|row| row.node == Some(name)).map(|row| row.stripes.len()).sum()
    };
    let owed: Vec<usize> = (0..world.hosts.len()).map(|host| owed(&world, host)).collect();
    assert!(owed.iter().sum::<usize>() > 0, "somebody hangs on it");
    world.kill(dead);
    world.run(SECOND * 4);
    for (host, after) in all(&world).into_iter().enumerate().filter(|(host, _)| *host != dead) {
        assert_eq!(after - before[host], owed[host] as u64, "stripes of member {host}");
    }
    let repairs = |host: &world::Host| host.mesh.repairs();
    let longest = world.hosts.iter().map(|host| repairs(host).total()).max();
    // A new parent at once, and then the next block, which comes after a second at most.
    assert!(longest < Some(SECOND * 6), "{longest:?}");
}

//! What a member tells of its parents: how far behind they are, how long stripes were without one.

use super::strangers::insider;
use super::*;
use crate::base::limits::{MESH_IDLE_BEAT_EVERY, MESH_SILENCE_MAX, MESH_TICK_EVERY};
use crate::mesh::wire::Message;

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

/// However many links it has, a member at rest waits for its own next look only.
#[test]
fn a_member_wakes_for_all_its_links_at_once() {
    let mut world = grown(42, 12);
    world.run(SECOND * 14);
    for host in &world.hosts[1..] {
        assert_eq!(host.cx.wheel.len(), host.mesh.timers());
    }
    let links = world.hosts[0].cx.peers.len();
    assert!(world.hosts[0].cx.wheel.len() >= links, "those of a root are spread over time");
}

/// At rest it looks around no more often than it speaks; what is late is seen as soon as ever.
#[test]
fn a_member_passes_over_looks_that_would_find_nothing() {
    let mut world = grown(44, 12);
    world.run(SECOND * 14);
    let (tick, member) = (MESH_TICK_EVERY, inner(&world));
    let (mut wakes, mut next) = (0, None);
    for _ in 0..1_000 {
        world.run(Duration::from_millis(10));
        let now = world.hosts[member].cx.wheel.next();
        wakes += u32::from(now != next);
        next = now;
    }
    // Ten seconds: 40 looks if none were passed over, and 20 beats.
    assert!((20..=32).contains(&wakes), "{wakes} wakes");
    // Something to do: the next look is the one that is due, whatever was to be passed over.
    let parent = parent_rows(&world, member)[0].node;
    let parent = world.hosts.iter().position(|host| Some(host.mesh.node()) == parent).unwrap();
    world.kill(parent);
    world.run(MESH_SILENCE_MAX + tick * 3);
    let next = world.hosts[member].cx.wheel.next().unwrap();
    assert!(next.since(world.mono) <= tick, "it looks again in {:?}", next.since(world.mono));
}

/// A link that carried nothing is looked at rarely; who is fed over it counts on more from then on.
#[test]
fn who_subscribes_hears_of_its_parent_before_it_gives_it_up() {
    let mut world = World::new(43, 2, 4);
    for _ in 0..3 {
        world.join(8);
    }
    world.run(SECOND * 14);
    let target = 3;
    assert!(world.hosts[target].mesh.served() < 8, "it has a slot left");
    for part in 0..10 {
        let guest = insider(&mut world, target);
        world.run(SECOND + MESH_IDLE_BEAT_EVERY * part / 10);
        // From a block on that is far away: nothing but signs of life comes.
        let (first, stripes) = (world.next_seq + 1_000, vec![(0, 0)]);
        let subscribe = wire::Subscribe { stripes, first, instead: None };
        world.say(guest, &Message::Subscribe(subscribe).emit());
        world.run(SECOND / 10);
        let before = world.heard(guest).len();
        assert!(matches!(world.heard(guest)[before - 2..], [Message::Accept(_), Message::Beat(_)]));
        world.run(MESH_SILENCE_MAX * 6 / 7);
        let beats = world.heard(guest).len() - before;
        assert!(beats >= 2, "{beats} beats, {part} tenths on");
        world.hang_up(guest);
        world.run(SECOND / 4);
    }
}

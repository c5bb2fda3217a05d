//! Members that had to go to another root than the one they like best, and come back.

use super::world::World;
use super::*;

/// By then a member has seen that its root answers again, and has gone back.
const BACK: Duration = Duration::from_secs(20);

/// Two roots of one run, and members that like the first best and are at the second.
fn away(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, 2, 4);
    let second = world.root_of(2, 77, vec![0]);
    for _ in 0..6 {
        world.join_at(2, &[0, second]);
        world.run(Duration::from_millis(300));
    }
    world.run(SECOND * 8);
    world.kill(0);
    world.run(SECOND * 12);
    assert_eq!(world.hosts[second].mesh.members(), 6);
    (world, second)
}

#[test]
fn members_go_back_to_the_root_they_like_best_and_miss_nothing() {
    let (mut world, second) = away(50);
    world.restart_root();
    let lost = |world: &World| -> usize {
        let lost = |event: &&Event| matches!(event, Event::LostParent { .. });
        world.hosts.iter().map(|host| host.events.iter().filter(lost).count()).sum()
    };
    let before = lost(&world);
    world.run(SECOND * 9);
    assert_eq!(world.hosts[second].mesh.members(), 6, "it may go again at once");
    world.run(BACK);
    let members = |host: usize| world.hosts[host].mesh.members();
    assert_eq!((members(0), members(second)), (6, 0));
    assert_eq!(lost(&world), before, "new parents were there before the old ones went");
    world.run(SECOND * 8);
    check(&world, 30, 50);
    nothing_is_left(&mut world);
}

#[test]
fn a_root_that_answers_now_and_then_draws_nobody() {
    let (mut world, second) = away(51);
    for _ in 0..4 {
        world.restart_root();
        world.run(SECOND * 8);
        world.kill(0);
        world.run(SECOND * 6);
    }
    assert_eq!(world.hosts[second].mesh.members(), 6);
    check(&world, 50, 51);
}

#[test]
fn a_root_of_another_run_draws_nobody() {
    let (mut world, second) = away(52);
    world.restart_as(78);
    world.run(BACK * 2);
    assert_eq!(world.hosts[second].mesh.members(), 6);
    check(&world, 40, 52);
}

#[test]
fn members_of_a_relay_go_back_to_it() {
    let mut world = World::new(53, 3, 4);
    let relay = world.relay(3, &[0]);
    world.run(SECOND);
    for _ in 0..6 {
        world.join_at(2, &[relay, 0]);
        world.run(Duration::from_millis(300));
    }
    world.run(SECOND * 8);
    let apart: Vec<usize> = (2..world.hosts.len()).collect();
    // The relay cannot be heard, and nobody can hear it, for long enough to be given up.
    world.cut_off = [relay].into();
    world.run(SECOND * 8);
    assert_eq!(world.hosts[0].mesh.members(), apart.len());
    world.heal();
    world.run(BACK * 2);
    assert_eq!(world.hosts[relay].mesh.members(), 6);
    assert_eq!(world.hosts[0].mesh.members(), 1, "the relay");
    for host in apart {
        assert!(world.hosts[host].missed.is_empty(), "member {host}");
    }
}

//! Several things that go wrong at once, and members that harm others on purpose.

use super::*;
use crate::mesh::wire::{Join, Loss, Message, Report, Stripes};

/// The members at these places of the list, for the time being cut off with each other.
fn cut(world: &mut World, members: &[usize], time: Duration) {
    world.cut_off.extend(members);
    world.run(time);
    world.heal();
}

#[test]
fn nobody_misses_a_block_when_a_third_is_cut_off_for_three_seconds() {
    let mut world = grown(30, 14);
    world.run(SECOND * 12);
    cut(&mut world, &[2, 5, 8, 11, 14], SECOND * 3);
    world.run(SECOND * 14);
    check(&world, 20, 30);
    assert_eq!(world.hosts[0].mesh.members(), 14);
    nothing_is_left(&mut world);
}

#[test]
fn who_was_cut_off_for_longer_than_the_lead_goes_on_with_what_is_to_be_had() {
    let mut world = grown(31, 10);
    world.run(SECOND * 12);
    cut(&mut world, &[3, 6], SECOND * 9);
    world.run(SECOND * 14);
    let newest = world.hosts[1].got.last().copied().unwrap();
    for host in [3, 6] {
        let last = world.hosts[host].got.last().copied().unwrap();
        assert!(last + 2 >= newest, "{last} of {newest}");
        let (missed, late) = (&world.hosts[host].missed, &world.hosts[host].late);
        assert!((1..=6).contains(&(missed.len() + late.len())), "{missed:?} and {late:?}");
        println!("missed {missed:?}, too late {late:?}");
        world.hosts[host].forget();
    }
    check(&world, 20, 31);
}

#[test]
fn four_faults_in_one_second_cost_nobody_a_block() {
    for seed in 32..38 {
        let mut world = World::new(seed, 4, 4);
        for _ in 0..20 {
            world.join(3);
            world.run(Duration::from_millis(120));
        }
        world.run(SECOND * 12);
        let first = inner(&world);
        world.kill_silently(first);
        world.run(SECOND / 4);
        let second = inner(&world);
        world.kill(second);
        world.run(SECOND / 4);
        let third = inner(&world);
        world.leave(third);
        world.run(SECOND / 4);
        let fourth = inner(&world);
        world.kill(fourth);
        world.join(2);
        world.run(SECOND * 12);
        check(&world, 3, seed);
    }
}

#[test]
fn every_uplink_may_be_as_slow_as_one_and_a_half_channels() {
    for seed in 40..80 {
        let mut world = grown(seed, 14);
        world.run(SECOND * 6);
        let rate = 24 << 10;
        world.hosts.iter_mut().for_each(|host| host.rate = rate * 3 / 2);
        world.hosts[0].rate = rate * 3;
        world.run(SECOND * 12);
        let dead = inner(&world);
        world.kill_silently(dead);
        world.run(SECOND * 6);
        let dead = inner(&world);
        world.kill(dead);
        world.run(SECOND * 10);
        check(&world, 20, seed);
    }
}

#[test]
fn a_forged_hash_of_a_block_costs_nobody_a_block() {
    for seed in 41..45 {
        let mut world = grown(seed, 14);
        world.run(SECOND * 8);
        let liar = inner(&world);
        world.hosts[liar].forges = true;
        world.run(SECOND * 14);
        check(&world, 14, seed);
    }
}

#[test]
fn a_forged_hash_of_a_block_from_the_only_parent_costs_no_block() {
    let mut world = World::new(46, 1, 4);
    for _ in 0..3 {
        world.join(1);
        world.run(SECOND);
    }
    world.run(SECOND * 8);
    world.hosts[1].forges = true;
    world.run(SECOND * 12);
    check(&world, 10, 46);
    let bad = |event: &Event| matches!(event, Event::BadBlock { .. });
    let noticed = world.hosts.iter().any(|host| host.events.iter().any(bad));
    assert!(noticed, "the stripes agreed and the block did not");
}

#[test]
fn a_parent_whose_heads_go_with_its_wrong_bytes_is_left() {
    for seed in 60..64 {
        let mut world = grown(seed, 14);
        world.run(SECOND * 12);
        let liar = inner(&world);
        let name = world.hosts[liar].mesh.node();
        world.hosts[liar].deceives = true;
        world.run(SECOND * 12);
        check(&world, 20, seed);
        let fed =
            |row: &LinkRow| row.sends_to_us && row.node == Some(name) && !row.stripes.is_empty();
        for (member, host) in world.hosts.iter().enumerate().skip(1) {
            let rows = host.mesh.links(&host.cx);
            assert!(!rows.iter().any(fed), "seed {seed}: member {member} takes from it");
        }
    }
}

#[test]
fn two_liars_at_once_cost_nobody_a_block() {
    let mut world = World::new(47, 4, 4);
    for _ in 0..16 {
        world.join(3);
        world.run(Duration::from_millis(120));
    }
    world.run(SECOND * 12);
    let first = inner(&world);
    world.hosts[first].lies = true;
    let others = (1..world.hosts.len()).filter(|i| *i != first);
    let second = others.max_by_key(|i| world.hosts[*i].mesh.served()).unwrap();
    world.hosts[second].lies = true;
    world.run(SECOND * 12);
    check(&world, 18, 47);
}

#[test]
fn a_child_that_takes_half_a_block_and_no_more_delays_nobody() {
    let mut world = grown(48, 10);
    world.hosts.iter_mut().for_each(|host| host.rate = 90 << 10);
    world.run(SECOND * 8);
    let stalled = inner(&world);
    let had = |world: &World| -> (u64, u64) {
        let rows = world.hosts[stalled].mesh.blocks();
        rows.last().map(|row| row.bytes).unwrap()
    };
    for _ in 0..1_000 {
        let (all, here) = had(&world);
        if here > 0 && here < all {
            break;
        }
        world.run(Duration::from_millis(5));
    }
    let (all, here) = had(&world);
    assert!(here > 0 && here < all, "it has {here} of {all} bytes");
    world.hosts[stalled].stalled = true;
    world.run(SECOND * 10);
    world.hosts[stalled].forget();
    check(&world, 14, 48);
}

#[test]
fn a_member_that_reports_nonsense_cannot_break_a_rule() {
    for seed in 50..54 {
        let mut rng = Rng::new(seed);
        let mut world = grown(seed, 10);
        world.run(SECOND * 2);
        let mut liars = Vec::new();
        for i in 0..3 {
            let (node, channel) = (NodeId(900 + i), "one".to_owned());
            let hello = wire::Hello { node, epoch: None, ticket: [0; 16], channel };
            let held = (0..4).map(|s| (s, any_node(&mut rng))).collect();
            let slots = u16::try_from(rng.below(1_000)).unwrap();
            let forwards = Stripes::from_bits(any_bits(&mut rng));
            let join =
                Join { port: 7070, slots, newest: Some(u64::MAX), forwards, held, part: false };
            let bytes = [Message::Hello(hello).emit(), Message::Join(join).emit()].concat();
            let [.., octet] = i.to_be_bytes();
            liars.push(world.stranger(0, [127, 8, 8, octet], &bytes).unwrap());
        }
        world.run(SECOND * 2);
        for _ in 0..150 {
            let draw = usize::try_from(rng.below(3)).unwrap();
            world.say(liars[draw], &Message::Report(nonsense(&mut rng)).emit());
            world.run(SECOND / 50);
            world.hosts[0].check();
        }
        world.run(SECOND * 10);
        check(&world, 10, seed);
    }
}

fn any_bits(rng: &mut Rng) -> u16 {
    u16::try_from(rng.below(16)).unwrap()
}

/// The root, a member, a liar, or nobody.
fn any_node(rng: &mut Rng) -> NodeId {
    NodeId(if rng.below(5) == 0 { 900 + rng.below(4) } else { 1 + rng.below(12) })
}

fn nonsense(rng: &mut Rng) -> Report {
    let mut absurd = || match rng.below(3) {
        0 => u64::MAX,
        1 => 0,
        _ => rng.next_u64(),
    };
    let (sent, received, rescued, late) = (absurd(), absurd(), absurd(), absurd());
    let goodput = Some(absurd()).filter(|goodput| goodput % 2 == 0);
    let loss = |rng: &mut Rng| Loss {
        parent: any_node(rng),
        stripes: Stripes::from_bits(any_bits(rng).max(1)),
        now: Some(any_node(rng)).filter(|_| rng.below(4) > 0),
    };
    let losses = (0..rng.below(8)).map(|_| loss(rng)).collect();
    Report { sent, received, rescued, late, goodput, depth: u16::MAX, losses }
}

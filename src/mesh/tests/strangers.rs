//! Whoever is no node of the mesh, or says what no node may say: told why not, closed, counted, and
//! of no harm to anybody else.

use super::world::trouble::Stranger;
use super::*;
use crate::base::limits::{
    MESH_COMPLAINTS_MAX, MESH_GUESTS_MAX, MESH_LOBBY_ADDRESS_MAX, MESH_UNPROVEN_MAX,
};
use crate::mesh::wire::{Denial, Join, Message, Refused, Report, Stripes};

const ADDRESS: [u8; 4] = [127, 8, 8, 8];

fn hello_of(node: u64, channel: &str, epoch: Option<u64>, ticket: [u8; 16]) -> Vec<u8> {
    let (node, channel) = (NodeId(node), channel.to_owned());
    Message::Hello(wire::Hello { node, epoch, ticket, channel }).emit()
}

fn hello(channel: &str, epoch: Option<u64>) -> Vec<u8> {
    hello_of(99, channel, epoch, [0; 16])
}

/// A mesh of six, and one of its inner members.
pub(super) fn six(seed: u64) -> (World, usize) {
    let mut world = grown(seed, 6);
    world.run(SECOND * 3);
    let target = inner(&world);
    (world, target)
}

/// Somebody who shows the right ticket to a member.
pub(super) fn insider(world: &mut World, host: usize) -> Stranger {
    let hello = hello_of(99, "one", Some(77), world.ticket);
    world.stranger(host, ADDRESS, &hello).expect("it is taken")
}

fn nonsense(world: &World, host: usize) -> u64 {
    world.hosts[host].mesh.stats().nonsense + world.hosts[host].lobby.nonsense()
}

/// Whether it was turned away in words that have these among them.
fn was_told(world: &World, stranger: Stranger, words: &str) -> bool {
    world.heard(stranger).iter().any(|message| match message {
        Message::Full(Denial { reason, .. }) => reason.contains(words),
        _ => false,
    })
}

/// Says it to the root and to a member: both answer with a reason that has this word, close, and
/// count it.
fn turned_away(bytes: &[u8], reason: &str) {
    let (mut world, target) = six(6);
    for host in [0, target] {
        let before = (world.hosts[host].mesh.served(), nonsense(&world, host));
        let stranger = world.stranger(host, ADDRESS, bytes).unwrap();
        assert!(!world.is_open(stranger), "closed by {host}");
        world.run(SECOND / 10);
        assert!(was_told(&world, stranger, reason), "{:?}", world.heard(stranger));
        let after = (world.hosts[host].mesh.served(), nonsense(&world, host) - 1);
        assert_eq!(after, before, "it is counted, and nobody suffers");
    }
    world.run(SECOND * 8);
    check(&world, 5, 6);
}

/// A member is told something by somebody with the right ticket: closed, and counted.
fn thrown_out(bytes: &[u8], reason: &str) {
    let (mut world, target) = six(16);
    let stranger = insider(&mut world, target);
    let before = nonsense(&world, target);
    world.say(stranger, bytes);
    assert!(!world.is_open(stranger), "closed");
    assert_eq!(nonsense(&world, target), before + 1, "counted");
    world.run(SECOND / 10);
    assert!(was_told(&world, stranger, reason), "{:?}", world.heard(stranger));
    world.run(SECOND * 6);
    check(&world, 3, 16);
}

#[test]
fn a_wrong_magic_is_turned_away() {
    turned_away(b"GET / HTTP/1.1\r\n\r\n", "right port");
}

#[test]
fn a_wrong_version_is_turned_away() {
    let mut bytes = hello("one", None);
    bytes[2] = 9;
    turned_away(&bytes, "version 9");
}

#[test]
fn a_wrong_channel_is_turned_away() {
    turned_away(&hello("two", None), "channel");
}

#[test]
fn a_wrong_epoch_is_turned_away() {
    turned_away(&hello("one", Some(1)), "another run");
}

#[test]
fn a_wrong_ticket_is_turned_away() {
    let subscribe = wire::Subscribe { stripes: vec![(0, 0)], first: 0, instead: None };
    let mut bytes = hello_of(99, "one", Some(77), [1; 16]);
    bytes.extend(Message::Subscribe(subscribe).emit());
    turned_away(&bytes, "ticket");
    let (mut world, target) = six(7);
    let stranger = world.stranger(target, ADDRESS, &bytes).unwrap();
    world.run(SECOND / 10);
    let refused =
        |m: &Message| matches!(m, Message::Refuse(refuse) if refuse.why == Refused::Ticket);
    assert!(world.heard(stranger).iter().any(refused), "in the words of the mesh, too");
    let want = Message::Want(wire::Want { seq: 101, stripe: 0, range: 0..100 }).emit();
    let asks = [hello_of(99, "one", Some(77), [1; 16]), want].concat();
    turned_away(&asks, "ticket");
}

#[test]
fn a_second_hello_is_turned_away() {
    turned_away(&[hello("one", None), hello("one", None)].concat(), "second hello");
}

#[test]
fn a_long_first_frame_is_turned_away() {
    let mut long = hello("one", None);
    long[4..8].copy_from_slice(&10_000_u32.to_be_bytes());
    turned_away(&long, "before any hello");
}

#[test]
fn a_message_before_any_hello_is_turned_away() {
    turned_away(&Message::Leaving.emit(), "before any hello");
}

#[test]
fn a_frame_longer_than_any_is_thrown_out() {
    let mut long = Message::Leaving.emit();
    long[4..8].copy_from_slice(&1_000_000_u32.to_be_bytes());
    thrown_out(&long, "at most");
}

#[test]
fn a_frame_that_goes_on_behind_its_fields_is_thrown_out() {
    let mut long = Message::Leaving.emit();
    long[7] = 3;
    long.extend([0; 3]);
    thrown_out(&long, "too many");
}

#[test]
fn a_count_above_its_limit_is_thrown_out() {
    let losses = vec![wire::Loss { parent: NodeId(1), stripes: Stripes::one(0), now: None }];
    let report = Report {
        losses,
        ..Report {
            sent: 0,
            received: 0,
            rescued: 0,
            late: 0,
            goodput: None,
            depth: 0,
            losses: Vec::new(),
        }
    };
    let mut bytes = Message::Report(report).emit();
    let count = 8 + 4 * 8 + 9 + 2;
    assert_eq!(bytes[count], 1, "the count of the losses");
    bytes[count] = 200;
    thrown_out(&bytes, "losses");
}

#[test]
fn a_subscription_to_a_stripe_that_does_not_exist_is_thrown_out() {
    let subscribe = wire::Subscribe { stripes: vec![(9, 0)], first: 0, instead: None };
    thrown_out(&Message::Subscribe(subscribe).emit(), "does not have");
}

#[test]
fn a_request_for_a_stripe_that_does_not_exist_is_thrown_out() {
    let want = wire::Want { seq: 101, stripe: 9, range: 0..100 };
    thrown_out(&Message::Want(want).emit(), "does not have");
}

#[test]
fn a_release_of_a_stripe_that_does_not_exist_is_thrown_out() {
    let release = wire::Release { stripes: Stripes::one(9), from: 0 };
    thrown_out(&Message::Release(release).emit(), "does not have");
}

#[test]
fn a_request_for_bytes_outside_the_stripe_is_thrown_out() {
    let want = wire::Want { seq: 101, stripe: 0, range: 1_000_000..1_000_001 };
    thrown_out(&Message::Want(want).emit(), "outside");
}

#[test]
fn a_subscription_from_a_byte_outside_the_stripe_is_thrown_out() {
    let subscribe = wire::Subscribe { stripes: vec![(0, 1_000_000)], first: 101, instead: None };
    thrown_out(&Message::Subscribe(subscribe).emit(), "outside");
}

#[test]
fn a_block_whose_bytes_lie_outside_its_stripe_is_thrown_out() {
    thrown_out(&block(0..9_000).emit(), "of a block of");
}

#[test]
fn a_block_from_a_child_is_thrown_out() {
    thrown_out(&block(0..100).emit(), "sends no blocks");
}

fn block(range: core::ops::Range<u32>) -> Message {
    Message::Block(wire::Block {
        seq: 101,
        stripe: 0,
        stripes: 4,
        length: 24 << 10,
        range,
        air: crate::base::time::Wall(0),
        lasts: SECOND,
        timeline: None,
        block_hash: [0; 32],
        stripe_hash: [0; 32],
        movie: "movie".into(),
        name: "movie_00001.ts".into(),
    })
}

#[test]
fn whoever_says_nothing_has_three_seconds() {
    let (mut world, target) = six(8);
    for host in [0, target] {
        let silent = world.stranger(host, ADDRESS, b"VM").unwrap();
        assert!(world.is_open(silent));
        world.run(SECOND * 4);
        assert!(!world.is_open(silent), "it had three seconds to say who it is");
    }
}

#[test]
fn whoever_only_says_hello_and_beats_is_closed_after_a_while() {
    let (mut world, target) = six(9);
    for host in [0, target] {
        let idle = world.stranger(host, ADDRESS, &hello("one", None)).unwrap();
        let beat = wire::Beat { newest: 0, late: Stripes::EMPTY, paths: Vec::new() };
        for _ in 0..24 {
            world.say(idle, &Message::Beat(beat.clone()).emit());
            world.run(SECOND / 2);
        }
        assert!(!world.is_open(idle), "it had ten seconds to be let in");
    }
}

#[test]
fn one_address_has_so_many_links_that_say_nothing() {
    let (mut world, target) = six(10);
    for host in [0, target] {
        let before = nonsense(&world, host);
        let most = MESH_LOBBY_ADDRESS_MAX;
        let strangers: Vec<_> =
            (0..most).map(|_| world.stranger(host, ADDRESS, b"VM").unwrap()).collect();
        assert!(world.stranger(host, ADDRESS, b"VM").is_none(), "one too many");
        assert_eq!(nonsense(&world, host), before + 1);
        assert!(world.stranger(host, [127, 8, 8, 9], b"VM").is_some(), "others are let in");
        world.run(SECOND * 4);
        assert!(strangers.iter().all(|s| !world.is_open(*s)));
        assert!(world.stranger(host, ADDRESS, b"VM").is_some(), "there is room again");
    }
    check(&world, 6, 10);
}

#[test]
fn one_address_has_so_many_links_that_were_not_let_in() {
    let (mut world, target) = six(17);
    let bytes = hello("one", None);
    for host in [0, target] {
        let most = if host == 0 { MESH_UNPROVEN_MAX } else { (2 + MESH_GUESTS_MAX) / 4 };
        let strangers: Vec<_> =
            (0..most).map(|_| world.stranger(host, ADDRESS, &bytes).unwrap()).collect();
        assert!(strangers.iter().all(|s| world.is_open(*s)));
        let before = nonsense(&world, host);
        let more = world.stranger(host, ADDRESS, &bytes).unwrap();
        assert!(!world.is_open(more), "one too many");
        assert_eq!(nonsense(&world, host), before + 1);
        let other = world.stranger(host, [127, 8, 8, 9], &bytes).unwrap();
        assert!(world.is_open(other), "others are let in");
        world.run(SECOND * 12);
        assert!(strangers.iter().all(|s| !world.is_open(*s)), "they had ten seconds");
    }
    check(&world, 6, 17);
}

#[test]
fn a_crowd_behind_one_address_is_let_in() {
    let mut world = World::new(11, 100, 4);
    let many = MESH_UNPROVEN_MAX + 20;
    (world.share_address, world.block_bytes) = (true, 1_000);
    for _ in 0..many {
        world.join(2);
    }
    world.run(SECOND * 8);
    assert_eq!(world.hosts[0].mesh.members(), many);
}

#[test]
fn nonsense_is_counted_always_and_told_once_a_minute() {
    let (mut world, target) = six(12);
    let told = |world: &World| {
        let nonsense = |event: &&Event| matches!(event, Event::Nonsense { .. });
        world.hosts[target].events.iter().filter(nonsense).count()
    };
    for _ in 0..5 {
        world.stranger(target, ADDRESS, b"GET /");
    }
    assert_eq!((nonsense(&world, target), told(&world)), (5, 1));
    world.stranger(target, [127, 8, 8, 9], b"GET /");
    assert_eq!(told(&world), 2, "each address has its own minute");
    world.run(SECOND * 61);
    world.stranger(target, ADDRESS, b"GET /");
    assert_eq!((nonsense(&world, target), told(&world)), (7, 3));
    for i in 0..600_u16 {
        let [b, c] = i.to_be_bytes();
        world.stranger(target, [127, 7, b, c], b"GET /");
    }
    assert_eq!(nonsense(&world, target), 607);
    assert_eq!(told(&world), 2 + MESH_COMPLAINTS_MAX);
}

#[test]
fn a_stranger_with_the_name_of_a_member_does_not_take_its_place() {
    let (mut world, target) = six(13);
    let name = world.hosts[target].mesh.node();
    let (forwards, held) = (Stripes::EMPTY, Vec::new());
    let join = Join { port: 0, slots: 2, newest: None, forwards, held, part: false };
    let bytes = |port| {
        let join = Message::Join(Join { port, ..join.clone() }).emit();
        [hello_of(name.0, "one", None, [0; 16]), join].concat()
    };
    let served = world.hosts[target].mesh.served();
    // Without a port, and with one at which nobody of that name answers.
    for port in [0, 7070] {
        let stranger = world.stranger(0, ADDRESS, &bytes(port)).unwrap();
        world.run(SECOND * 2);
        let waits = |m: &Message| matches!(m, Message::Wait(_));
        let placed = |m: &Message| matches!(m, Message::Place(_));
        assert!(world.heard(stranger).iter().any(waits), "{:?}", world.heard(stranger));
        assert!(!world.heard(stranger).iter().any(placed), "it gets no ticket");
        assert!(!world.is_open(stranger));
    }
    world.run(SECOND * 3);
    let lost = |event: &Event| matches!(event, Event::RootLost { .. } | Event::Full { .. });
    assert!(!world.hosts[target].events.iter().any(lost), "the member is as it was");
    assert_eq!(world.hosts[target].mesh.served(), served);
    check(&world, 8, 13);
}

#[test]
fn a_member_whose_link_broke_has_its_place_again_at_once() {
    let (mut world, target) = six(14);
    world.run(SECOND * 8);
    let served = world.hosts[target].mesh.served();
    // The root does not hear that the link is gone.
    world.cut_quietly(target, 0);
    world.run(SECOND);
    let joined = |event: &&Event| matches!(event, Event::Joined { .. });
    assert_eq!(world.hosts[target].events.iter().filter(joined).count(), 2);
    assert_eq!(world.hosts[target].mesh.served(), served);
    world.run(SECOND * 3);
    check(&world, 12, 14);
}

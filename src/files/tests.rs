//! Both ends against each other through a link that loses, doubles and reorders, in virtual time.

#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod world;

use core::time::Duration;

use crate::base::limits;
use crate::base::rng::Rng;
use crate::files::client::{Client, Failure, Marks};
use crate::files::server::{Ending, Event};
use crate::files::wire::{self, Nonce, Request};
use world::{Link, World, address, settings, well_known};

const LONG: Duration = Duration::from_secs(600);

fn ours(world: &World, index: usize) -> Client {
    Client::get(world.now, well_known(), index, 7 + world.peers.len() as u64, None)
}

/// Mbit/s of file bytes.
fn goodput(world: &World, number: usize, size: u64) -> f64 {
    let took = world.peers[number].complete.unwrap().since(crate::base::time::Mono(1_000_000_000));
    size as f64 * 8e-6 / took.as_secs_f64()
}

#[test]
fn a_thousand_seeds_of_loss_doubling_and_reordering_deliver_the_file() {
    (0..1_000).for_each(|seed| deliver(seed, false));
}

#[test]
fn a_thousand_seeds_deliver_it_on_the_originals_wire_as_well() {
    (0..1_000).for_each(|seed| deliver(seed, true));
}

/// One file over one bad link; when it is delivered, nothing of it is left at the server.
fn deliver(seed: u64, plain: bool) {
    let mut rng = Rng::new(seed);
    let size = 1 + rng.below(120_000);
    let link = Link {
        lost: rng.below(310),
        doubled: rng.below(50),
        reordered: rng.below(200),
        rate: 1_000_000 + rng.below(100_000_000),
        longest: [1_252, 1_472, 9_000][usize::try_from(rng.below(3)).unwrap()],
        queue: Duration::from_millis(5 + rng.below(200)),
        ..Link::new(rng.below(120), 0)
    };
    let mut world = World::new(seed, link, size);
    world.plain = plain;
    // An original server begins at the beginning.
    let from = if !plain && rng.below(4) == 0 { rng.below(size) } else { 0 };
    let client = ours(&world, 0);
    world.add(client, from);
    world.run(LONG);
    assert!(
        world.is_whole(0),
        "seed {seed}, plain: {plain}: {link:?}, {size} bytes from {from}: {:?} {:?}",
        world.peers[0].failure,
        world.peers[0].client.figures()
    );
    // The end is repeated to an original client until something comes back.
    let ends = limits::FILES_END_EVERY * (limits::FILES_ENDS_MAX + 1);
    world.run_for(limits::FILES_SILENCE_MAX * 2 + if plain { ends } else { Duration::ZERO });
    let left = (world.server.transfers(), world.cx.blobs.len());
    assert_eq!(left, (0, 0), "seed {seed}, plain: {plain}");
    assert!(world.cx.peers.is_empty() && world.cx.wheel.is_empty(), "seed {seed}, plain: {plain}");
}

#[test]
fn the_link_is_filled_whatever_it_loses() {
    for (lost, least) in [(0, 94.0), (10, 92.0), (50, 85.0), (100, 76.0)] {
        let size = 60_000_000;
        let mut world = World::new(lost, Link { lost, ..Link::new(10, 0) }, size);
        let client = ours(&world, 0);
        world.add(client, 0);
        world.run(LONG);
        assert!(world.is_whole(0));
        let reached = goodput(&world, 0, size);
        println!("{lost} in 1000 lost: {reached:.1} Mbit/s");
        assert!(reached >= least, "{lost} in 1000 lost: {reached:.1} Mbit/s");
    }
}

#[test]
fn a_long_path_that_loses_reorders_and_doubles_is_filled() {
    let size = 60_000_000;
    let link = Link { lost: 100, reordered: 50, doubled: 10, ..Link::new(50, 0) };
    let mut world = World::new(4, link, size);
    let client = ours(&world, 0);
    world.add(client, 0);
    world.run(LONG);
    assert!(world.is_whole(0));
    let reached = goodput(&world, 0, size);
    println!("{reached:.1} Mbit/s");
    assert!(reached >= 65.0, "{reached:.1} Mbit/s");
}

#[test]
fn a_third_of_everything_lost_still_delivers_at_half_the_links_rate() {
    let size = 20_000_000;
    let mut world = World::new(5, Link::new(10, 300), size);
    let client = ours(&world, 0);
    world.add(client, 0);
    world.run(LONG);
    assert!(world.is_whole(0));
    let reached = goodput(&world, 0, size);
    println!("{reached:.1} Mbit/s");
    assert!(reached >= 35.0, "{reached:.1} Mbit/s");
}

#[test]
fn a_player_gets_what_it_plays_and_a_pause_costs_signs_of_life_only() {
    let rate = 1_000_000;
    let marks = Marks {
        low: Duration::from_secs(2),
        high: Duration::from_secs(8),
        rate: Some(rate),
        real: false,
    };
    let mut world = World::new(6, Link::new(10, 0), 60_000_000);
    let client = Client::get(world.now, well_known(), 0, 1, Some(marks));
    world.add(client, 0);
    world.run_for(Duration::from_secs(45));
    let figures = world.peers[0].client.figures();
    assert_eq!(figures.stalls, 0);
    assert!(figures.buffered.unwrap() >= Duration::from_millis(7_500), "{figures:?}");
    // From when the buffer is full on, any ten seconds carry ten seconds of the film.
    let arrived = &world.peers[0].arrived;
    for from in 5..30 {
        let bytes: u64 = arrived.range(from..from + 10).map(|(_, bytes)| bytes).sum();
        let share = bytes as f64 / (10 * rate) as f64;
        assert!((0.97..1.05).contains(&share), "{share:.3} from second {from}");
    }
}

#[test]
fn a_player_that_stands_costs_a_sign_of_life_every_two_seconds() {
    let marks = Marks {
        low: Duration::from_secs(2),
        high: Duration::from_secs(8),
        rate: Some(1_000_000),
        real: true,
    };
    let mut world = World::new(6, Link::new(10, 0), 60_000_000);
    let client = Client::get(world.now, well_known(), 0, 1, Some(marks));
    world.add(client, 0);
    world.run_for(Duration::from_secs(5));
    let (out, came) = (world.out, world.came);
    world.run_for(Duration::from_secs(60));
    assert!(world.out - out <= 31 * 8, "{} bytes out", world.out - out);
    assert!(world.came - came <= 31 * 40, "{} bytes in", world.came - came);
    // And it goes on as if nothing had been.
    let now = world.now;
    world.peers[0].client.played(now, 6_000_000);
    world.run_for(Duration::from_secs(2));
    assert!(world.peers[0].client.figures().contiguous >= 14_000_000);
}

#[test]
fn who_does_not_answer_from_the_transfer_port_gets_three_times_what_he_sent() {
    for request in [Request::Get(Some(0), None), Request::Get(Some(0), Some(Nonce(3)))] {
        let mut world = World::new(1, Link::new(1, 0), 1_000_000);
        let bytes = request.bytes();
        for asked in 1..4 {
            world.server.datagram(&mut world.cx, address(0), &bytes);
            world.run_for(Duration::from_secs(1));
            let most = 3 * bytes.len() as u64 * asked;
            assert!(world.out > 0 && world.out <= most, "{request:?}: {} of {most}", world.out);
        }
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.server.transfers(), 0, "he is forgotten");
    }
}

#[test]
fn transfers_are_bounded_in_all_and_for_each_address() {
    let mut settings = settings();
    (settings.transfers_max, settings.per_address_max) = (3, 2);
    let mut world = World::with(1, Link::new(1, 0), 1_000_000, &settings);
    for nonce in 0..5 {
        let bytes = Request::Get(Some(0), Some(Nonce(nonce))).bytes();
        world.server.datagram(&mut world.cx, address(0), &bytes);
    }
    world.run_for(Duration::from_millis(10));
    assert_eq!((world.server.transfers(), world.server.stats().refused), (2, 3));
    let told = world.events.iter().filter(|e| matches!(e, Event::Full { .. })).count();
    assert_eq!(told, 1, "once a minute");
}

#[test]
fn what_is_no_request_gets_no_answer() {
    let mut world = World::new(1, Link::new(1, 0), 1_000);
    let long = [&b"12345678get 0 "[..], &vec![b' '; 2_000]].concat();
    for bytes in [&b""[..], b"1234567", b"12345678hello", b"12345678\xff\xffget 0", &long] {
        world.server.datagram(&mut world.cx, address(0), bytes);
    }
    world.run_for(Duration::from_secs(3));
    assert_eq!((world.out, world.server.stats().bad_requests), (0, 5));
}

#[test]
fn a_list_and_the_errors_are_told_from_the_well_known_port() {
    let mut world = World::new(1, Link::new(1, 0), 1_000);
    let client = Client::list(world.now, well_known());
    world.add(client, 0);
    let client = ours(&world, 9);
    world.add(client, 0);
    world.run(LONG);
    assert_eq!(world.peers[0].list.as_deref(), Some("a.mkv#b.mkv"));
    assert_eq!(world.peers[1].failure, Some(Failure::Refused(wire::BAD_INDEX.into())));
}

#[test]
fn many_transfers_share_a_server_and_none_is_starved() {
    let mut settings = settings();
    settings.total_rate_max = 10_000_000;
    let mut world = World::with(3, Link::new(5, 0), 100_000_000, &settings);
    for _ in 0..80 {
        let client = ours(&world, 0);
        world.add(client, 0);
    }
    world.peers.iter_mut().for_each(|p| p.from = 99_000_000);
    world.run_for(Duration::from_secs(3));
    let come: Vec<_> = world.peers.iter().map(|p| p.client.figures().come).collect();
    let mean = come.iter().sum::<u64>() / 80;
    let least = *come.iter().min().unwrap();
    println!("least {least}, mean {mean}");
    assert!(mean > 250_000 && least * 10 >= mean * 8, "least {least}, mean {mean}");
}

#[test]
fn a_file_that_breaks_ends_its_transfers_with_that_reason() {
    let mut world = World::new(1, Link::new(5, 0), 50_000_000);
    let client = ours(&world, 0);
    world.add(client, 0);
    world.run_for(Duration::from_millis(500));
    let blob = world.cx.blobs.iter().next().unwrap().0;
    assert!(world.server.faulted(&mut world.cx, crate::base::port::Blob(blob)));
    world.run(LONG);
    assert_eq!(world.peers[0].failure, Some(Failure::Server(wire::Why::Changed)));
    let ended = world.events.iter().any(|event| {
        matches!(event, Event::Ended { ending: Ending::Failed(wire::Why::Changed), .. })
    });
    assert!(ended && world.server.transfers() == 0);
}

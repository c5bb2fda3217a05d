//! The machine driven through its context against a server that does what a test wants. `world`
//! plays everything around it, `walk` plays it at random.

mod walk;
mod world;

use super::*;

use world::{Fate, PERIOD, World, ms};

/// The waits between two commands to join.
fn waits(world: &World) -> Vec<Duration> {
    let joins: Vec<_> =
        world.commands.iter().filter(|(_, c)| c == "103").map(|(at, _)| *at).collect();
    joins.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap()).collect()
}

// Joining.

#[test]
fn it_asks_from_the_address_that_is_dialled_and_says_no_more() {
    let mut world = World::new(1);
    assert_eq!(world.commands, [(Duration::ZERO, "103".to_owned())]);
    world.run(ms(5));
    assert_eq!((world.client.state(), world.cx.peers.len()), (State::Asking, 0));
    world.finish();
}

#[test]
fn it_is_in_when_the_answer_says_so() {
    for pieces in [&[&b"10"[..]][..], &[b"1", b"0"]] {
        let mut world = World::new(1);
        world.deliver(pieces);
        assert_eq!((world.client.state(), world.events.len()), (State::Watching, 1));
        assert_eq!(world.events, [Event::Joined]);
        assert!(world.blocks.is_empty());
        world.finish();
    }
}

#[test]
fn a_full_channel_is_asked_again_and_again_ever_later() {
    let mut world = World::new(1);
    for round in 0..12 {
        world.run(ms(5));
        world.deliver(&[b"00"]);
        assert_eq!(world.client.state(), State::Idle);
        let Some(Event::Full { again_in }) = world.events.last().cloned() else {
            panic!("{:?}", world.events)
        };
        let longest = (limits::TV_REJOIN_MIN * (1 << round)).min(limits::TV_REJOIN_MAX);
        assert!(again_in >= longest / 2 && again_in < longest, "{round}: {again_in:?}");
        world.run(again_in + ms(1));
        assert_eq!((world.client.state(), world.commands.len()), (State::Asking, round + 2));
    }
    assert_eq!(world.client.stats().rejected, 12);
    world.finish();
}

#[test]
fn not_all_clients_ask_again_at_once() {
    let wait = |seed| {
        let mut world = World::new(seed);
        world.deliver(&[b"00"]);
        world.events.pop()
    };
    let all: Vec<_> = (0..50).map(wait).collect();
    let different = (1..50).filter(|at| !all[..*at].contains(&all[*at])).count();
    assert!(different > 45, "{different} of 50");
}

#[test]
fn a_server_that_does_not_call_back_is_asked_again() {
    let mut world = World::new(1);
    world.run(ms(5999));
    assert!(world.events.is_empty(), "the original answers when it comes round to it");
    world.run(ms(2));
    assert!(matches!(world.events[..], [Event::Unanswered { why: None, .. }]));
    world.run(ms(30_000));
    let waits = waits(&world);
    assert!(waits.len() >= 3 && waits.is_sorted(), "{waits:?}");
    world.finish();
}

#[test]
fn a_server_that_cannot_be_reached_is_asked_again() {
    for (fate, after, why) in [
        (Fate::Fails(Gone::Refused), ms(1), Gone::Refused),
        (Fate::Fails(Gone::Unreachable), ms(1), Gone::Unreachable),
        (Fate::Silent, limits::TV_COMMAND_PATIENCE, Gone::TimedOut),
        (Fate::Mute, limits::TV_COMMAND_PATIENCE, Gone::TimedOut),
    ] {
        let mut world = World::new(1);
        world.fates = [fate, fate, Fate::Taken].into();
        world.run(ms(3));
        world.client.start(&mut world.cx);
        world.settle();
        world.take_events();
        let asked = world.commands.len();
        world.run(after);
        let told = world.take_events();
        assert!(matches!(told[..], [Event::Unanswered { why: Some(w), .. }] if w == why));
        world.run(after + ms(1000));
        assert_eq!((world.client.state(), world.commands.len()), (State::Asking, asked + 1));
        world.deliver(&[b"10"]);
        assert_eq!(world.client.state(), State::Watching);
        world.finish();
    }
}

#[test]
fn a_block_is_as_good_as_an_answer() {
    let mut world = World::new(1);
    world.deliver(&[b"a block"]);
    assert_eq!((world.client.state(), world.blocks.len()), (State::Watching, 1));
    assert_eq!(world.client.stats().joins, 1);
    world.finish();
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut world = World::watching();
    world.deliver(&[b"00"]);
    world.deliver(&[b"10"]);
    assert_eq!((world.client.state(), world.events.len()), (State::Watching, 0));
    assert!(world.blocks.is_empty(), "nor is it a block");
    world.finish();
}

// Blocks.

#[test]
fn a_block_split_anywhere_is_one_block() {
    let block = b"\x1a\x45\xdf\xa3 matroska";
    for cut in 0..block.len() {
        let mut world = World::watching();
        world.deliver(&[&block[..cut], &block[cut..]]);
        assert_eq!(world.blocks.len(), 1, "cut at {cut}");
        assert_eq!(world.blocks[0].bytes, block);
        world.deliver(&block.chunks(1).collect::<Vec<_>>());
        assert_eq!(world.blocks[1], world.blocks[0]);
        world.finish();
    }
}

#[test]
fn only_two_bytes_that_are_an_answer_are_no_block() {
    let mut world = World::watching();
    for bytes in [&b"1"[..], b"11", b"100", b"1\n", b"0"] {
        world.deliver(&[bytes]);
        assert_eq!(world.blocks.last().map(|got| &got.bytes[..]), Some(bytes));
    }
    assert_eq!(world.client.stats().blocks, 5);
    world.finish();
}

#[test]
fn a_connection_that_brings_nothing_is_nothing() {
    let mut world = World::watching();
    world.deliver(&[]);
    let conn = world.dial_in("127.0.0.1").unwrap();
    world.break_off(conn, Gone::Reset);
    assert_eq!((world.events.len(), world.blocks.len()), (0, 0));
    world.finish();
}

#[test]
fn a_large_block_is_told_by_its_first_bytes() {
    let mut world = World::watching();
    let block: Vec<_> = (0..u8::MAX).cycle().take(3000).collect();
    world.deliver(&block.chunks(1000).collect::<Vec<_>>());
    assert_eq!(world.blocks[0].bytes, block);
    assert_eq!(world.blocks[0].head, &block[..limits::SNIFF_BYTES_MAX]);
    world.finish();
}

#[test]
fn a_torn_block_is_thrown_away() {
    let mut world = World::watching();
    let conn = world.dial_in("127.0.0.1").unwrap();
    world.pour(conn, b"half a bl");
    world.break_off(conn, Gone::Reset);
    assert_eq!(world.take_events(), [Event::Torn { bytes: 9 }]);
    assert_eq!((world.blocks.len(), world.client.stats().torn), (0, 1));
    world.deliver(&[b"a block"]);
    assert_eq!(world.blocks.len(), 1);
    world.finish();
}

#[test]
fn a_block_that_stops_in_the_middle_is_thrown_away_and_one_that_creeps_is_not() {
    let mut world = World::watching();
    let stuck = world.dial_in("127.0.0.1").unwrap();
    let slow = world.dial_in("127.0.0.1").unwrap();
    world.pour(stuck, b"ha");
    for _ in 0..8 {
        world.pour(slow, b"a");
        world.run(ms(1000));
    }
    assert!(world.events.contains(&Event::Torn { bytes: 2 }));
    world.end(slow);
    assert_eq!(world.blocks.last().unwrap().bytes, b"aaaaaaaa");
    world.finish();
}

#[test]
fn an_endless_block_is_cut_off() {
    let mut world = World::watching();
    let conn = world.dial_in("127.0.0.1").unwrap();
    world.filled(conn, limits::BLOCK_BYTES_MAX - 1);
    assert!(world.events.is_empty());
    world.filled(conn, limits::BLOCK_BYTES_MAX);
    assert_eq!(world.take_events(), [Event::Torn { bytes: limits::BLOCK_BYTES_MAX }]);
    assert_eq!(world.receiving().count(), 0);
    world.finish();
}

#[test]
fn a_block_that_cannot_be_kept_is_told() {
    let mut world = World::watching();
    world.unsealable = Some("no space");
    world.deliver(&[b"a block"]);
    assert_eq!(world.take_events(), [Event::Unreceivable { why: "no space".into() }]);
    world.unsealable = None;
    let conn = world.dial_in("127.0.0.1").unwrap();
    world.no_room(conn);
    assert_eq!(world.take_events(), [Event::Unreceivable { why: "no memory".into() }]);
    assert_eq!(world.receiving().count(), 0);
    world.deliver(&[b"a block"]);
    assert_eq!(world.blocks.len(), 1);
    world.finish();
}

#[test]
fn strangers_are_not_let_in() {
    let mut world = World::watching();
    for _ in 0..3 {
        assert_eq!(world.dial_in("127.0.0.2"), None);
    }
    assert!(world.dial_in("::ffff:127.0.0.1").is_some(), "the server through an IPv6 socket");
    let address = "127.0.0.2".parse().unwrap();
    assert_eq!(world.take_events(), vec![Event::Stranger { address }; 3]);
    assert_eq!(world.client.stats().strangers, 3);
    world.finish();
}

#[test]
fn no_more_than_eight_callbacks_are_taken_at_once() {
    let mut world = World::watching();
    let conns: Vec<_> = (0..20).filter_map(|_| world.dial_in("127.0.0.1")).collect();
    assert_eq!((conns.len(), world.cx.blobs.len()), (8, 8));
    world.pour(conns[5], b"a block");
    world.end(conns[5]);
    assert_eq!(world.blocks.len(), 1);
    assert!(world.dial_in("127.0.0.1").is_some(), "one makes room for another");
    world.finish();
}

#[test]
fn a_node_without_room_does_without() {
    let mut world = World::watching();
    let peers = std::mem::replace(&mut world.cx.peers, crate::base::arena::Arena::new(0));
    assert_eq!(world.dial_in("127.0.0.1"), None);
    world.run(ms(20_000));
    world.cx.peers = peers;
    let blobs = std::mem::replace(&mut world.cx.blobs, crate::base::arena::Arena::new(0));
    assert_eq!(world.dial_in("127.0.0.1"), None);
    world.cx.blobs = blobs;
    world.run(ms(20_000));
    world.deliver(&[b"10"]);
    assert_eq!(world.client.state(), State::Watching);
    world.finish();
}

// Silence, and the period.

#[test]
fn when_blocks_stop_for_three_periods_it_asks_again() {
    let mut world = World::watching();
    world.stream(10, PERIOD);
    assert_eq!((world.commands.len(), world.client.period()), (1, PERIOD));
    world.run(ms(3990));
    assert_eq!(world.take_events().len(), 10);
    world.run(ms(10));
    let [Event::Silent { since }] = world.take_events()[..] else { panic!("one silence") };
    assert_eq!((since, world.client.state()), (PERIOD * 3, State::Idle));
    world.run(limits::TV_REJOIN_MIN);
    assert_eq!((world.client.state(), world.commands.len()), (State::Asking, 2));
    world.finish();
}

#[test]
fn a_server_that_lets_us_in_and_sends_nothing_is_asked_ever_later() {
    let mut world = World::watching();
    while world.time() < ms(120_000) {
        world.run(ms(10));
        if world.client.state() == State::Asking {
            world.deliver(&[b"10"]);
        }
    }
    let mut longest = limits::TV_REJOIN_MIN;
    for wait in waits(&world) {
        let backoff = wait.checked_sub(PERIOD * 3).unwrap();
        assert!(backoff >= longest / 2 && backoff < longest + ms(20), "{backoff:?} of {longest:?}");
        longest = (longest * 2).min(limits::TV_REJOIN_MAX);
    }
    assert_eq!(longest, limits::TV_REJOIN_MAX);
    world.finish();
}

#[test]
fn the_backoff_begins_anew_with_a_block() {
    let mut world = World::new(1);
    for _ in 0..6 {
        world.deliver(&[b"00"]);
        world.run(limits::TV_REJOIN_MAX);
        world.take_events();
    }
    world.deliver(&[b"10"]);
    world.deliver(&[b"a block"]);
    world.run(PERIOD * 6);
    world.deliver(&[b"00"]);
    let again = world.take_events().into_iter().rev().find_map(|event| match event {
        Event::Full { again_in } => Some(again_in),
        _ => None,
    });
    assert!(again < Some(limits::TV_REJOIN_MIN * 2), "{again:?}");
    world.finish();
}

#[test]
fn the_period_is_learnt_from_the_blocks() {
    for period in [ms(200), ms(1800), ms(5000)] {
        let mut world = World::watching();
        world.stream(30, period);
        let learnt = world.client.period();
        let off = learnt.abs_diff(period);
        assert!(off < period / 50, "{learnt:?} instead of {period:?}");
        assert_eq!(world.commands.len(), 1, "without asking again");
        world.finish();
    }
}

#[test]
fn the_first_block_says_nothing_about_the_period() {
    let mut world = World::watching();
    world.deliver(&[b"the end of a block's time"]);
    world.run(ms(100));
    world.stream(20, PERIOD);
    assert_eq!(world.client.period(), PERIOD);
    world.finish();
}

#[test]
fn a_lost_block_changes_the_period_for_a_while_only() {
    let mut world = World::watching();
    world.stream(5, PERIOD);
    world.run(PERIOD);
    world.stream(20, PERIOD);
    assert!(world.client.period().abs_diff(PERIOD) < ms(50), "{:?}", world.client.period());
    assert_eq!(world.commands.len(), 1);
    world.finish();
}

/// A server that sends the current block to whoever joins, as ours and the original do.
fn serve(world: &mut World, lasts: Duration, time: Duration) {
    let until = world.time() + time;
    let (mut asked, mut aired) = (world.commands.len(), 0);
    while world.time() < until {
        let block = world.time().as_millis() / lasts.as_millis();
        if world.commands.len() > asked {
            asked = world.commands.len();
            world.deliver(&[b"10"]);
            world.deliver(&[b"the current block"]);
        } else if block > aired {
            world.deliver(&[b"the next block"]);
        }
        aired = block;
        world.run(ms(50));
    }
}

#[test]
fn blocks_much_longer_than_was_assumed_are_learnt_too() {
    for lasts in [ms(10_000), ms(60_000)] {
        let mut world = World::watching();
        serve(&mut world, lasts, lasts * 5 + ms(60_000));
        let asked = world.commands.len();
        assert!(asked < 8, "asked {asked} times for blocks of {lasts:?}");
        serve(&mut world, lasts, lasts * 30);
        assert_eq!(world.commands.len(), asked, "blocks of {lasts:?}");
        let off = world.client.period().abs_diff(lasts);
        assert!(off < lasts / 10, "{:?} for {lasts:?}", world.client.period());
        world.finish();
    }
}

#[test]
fn an_outage_leaves_a_period_that_was_measured() {
    let mut world = World::watching();
    world.stream(10, PERIOD);
    world.fates = [Fate::Fails(Gone::Refused)].into();
    world.run(ms(60_000));
    assert_eq!(world.client.period(), PERIOD);
    world.finish();
}

#[test]
fn a_configured_period_counts_until_the_next_gap() {
    let mut world = World::watching();
    world.stream(10, PERIOD);
    world.client.set_period(ms(500));
    assert_eq!(world.client.period(), ms(500));
    world.stream(30, ms(1000));
    assert!(world.client.period().abs_diff(ms(1000)) < ms(20));
    world.finish();
}

// Leaving.

#[test]
fn it_leaves_with_a_command_and_ends_with_its_connection() {
    let mut world = World::watching();
    world.stream(2, PERIOD);
    world.leave();
    assert_eq!(world.client.state(), State::Leaving);
    world.leave();
    world.run(ms(1));
    assert_eq!(world.client.state(), State::Over);
    assert_eq!(world.commands.last().map(|(_, command)| command.as_str()), Some("123"));
    assert_eq!((world.commands.len(), world.dial_in("127.0.0.1")), (2, None));
    world.finish();
}

#[test]
fn a_dead_server_holds_a_leave_up_for_a_second_at_most() {
    for fate in [Fate::Silent, Fate::Mute, Fate::Fails(Gone::Refused)] {
        let mut world = World::watching();
        world.fates = [fate].into();
        let conn = world.dial_in("127.0.0.1").unwrap();
        world.pour(conn, b"half a bl");
        world.finish();
    }
}

#[test]
fn whoever_may_still_be_listed_says_that_it_leaves() {
    let mut asking = World::new(1);
    asking.run(ms(5));
    let mut waiting = World::watching();
    waiting.run(PERIOD * 3);
    assert_eq!(waiting.client.state(), State::Idle);
    for mut world in [asking, waiting] {
        world.leave();
        world.run(ms(10));
        assert_eq!(world.commands.last().map(|(_, command)| command.as_str()), Some("123"));
        world.finish();
    }
}

#[test]
fn what_is_under_way_may_end_while_leaving_but_is_of_no_use_any_more() {
    let mut world = World::watching();
    world.fates = [Fate::Mute].into();
    let conn = world.dial_in("127.0.0.1").unwrap();
    world.pour(conn, b"a block");
    world.leave();
    world.end(conn);
    assert_eq!((world.blocks.len(), world.client.state()), (0, State::Leaving));
    world.finish();
}

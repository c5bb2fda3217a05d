//! The machine driven through its context, each row of its table and of the wire's facts under the
//! name of what is to be seen from outside. `world` plays everything around it, `walk` plays it at
//! random.

mod strikes;
mod walk;
mod world;

use super::*;

use world::{Fate, LASTS, LEN, What, World, ip, ms};

const IN: What = What::Answer(Reply::In);
const FULL: What = What::Answer(Reply::Full);

fn removed(world: &World, address: IpAddr) -> bool {
    world.events.iter().any(
        |event| matches!(event, Event::Struck { address: a, removed: true, .. } if *a == address),
    )
}

// Commands.

#[test]
fn a_join_is_answered_by_a_callback_before_the_client_is_listed() {
    let mut world = World::on_air();
    assert_eq!(world.ask(ip(2), "100"), "", "nothing comes on its own connection");
    assert!(world.listed(0).is_empty());
    world.run(ms(1));
    assert!(world.deliveries.is_empty() && world.listed(0).is_empty(), "the answer is on its way");
    world.run(ms(1));
    assert_eq!(world.sent_to(ip(2)).last().map(|d| (d.what, d.whole)), Some((IN, true)));
    assert_eq!(world.listed(0), [ip(2)]);
    assert_eq!(world.events, [Event::Joined { address: ip(2), channel: 0 }]);
    world.finish();
}

#[test]
fn the_current_block_follows_the_answer_after_a_pause() {
    let mut world = World::on_air();
    world.run_to(ms(2500));
    world.ask(ip(2), "100\n");
    world.run_to(ms(3000));
    let [answer, block] = world.sent_to(ip(2))[..] else { panic!("{:?}", world.deliveries) };
    assert_eq!((answer.what, block.what), (IN, What::Block(1)));
    let pause = block.began.checked_sub(answer.ended).unwrap();
    assert!(pause >= ms(100) && pause < ms(105), "{pause:?}");
    world.run_to(ms(6100));
    assert_eq!(world.blocks(ip(2)), [1, 2, 3]);
    world.finish();
}

#[test]
fn a_join_elsewhere_moves_the_client() {
    let mut world = World::new(2, 1);
    world.programme(0, LASTS);
    world.programme(1, LASTS);
    world.join(ip(2));
    world.ask(ip(2), "101");
    assert!(world.listed(0).is_empty() && world.listed(1).is_empty(), "out before it is in");
    world.run(ms(2));
    assert_eq!((world.listed(0), world.listed(1)), (vec![], vec![ip(2)]));
    let left = Event::Left { address: ip(2), channel: 0 };
    assert_eq!(world.events[1..], [left, Event::Joined { address: ip(2), channel: 1 }]);
    world.finish();
}

#[test]
fn after_00_a_client_is_in_no_channel() {
    let mut world = World::on_air();
    world.server.set_channels(&mut world.cx, &[2]);
    for client in 2..4 {
        world.join(ip(client));
    }
    world.ask(ip(4), "100");
    world.run(ms(5));
    world.ask(ip(3), "105");
    world.run(ms(5));
    for refused in 3..5 {
        assert_eq!(world.sent_to(ip(refused)).last().unwrap().what, FULL);
    }
    assert_eq!(world.listed(0), [ip(2)], "it asked for a channel that is not, and lost its own");
    let full = |last, channel| Event::Full { address: ip(last), channel };
    assert!(world.events.contains(&full(4, 0)) && world.events.contains(&full(3, 5)));
    world.run(LASTS * 2);
    assert_eq!(world.sent_to(ip(4)).len(), 1, "and gets no blocks");
    world.join(ip(4));
    world.finish();
}

#[test]
fn a_place_is_taken_from_the_moment_of_asking() {
    let mut world = World::on_air();
    world.server.set_channels(&mut world.cx, &[1]);
    world.ask(ip(2), "100");
    world.ask(ip(3), "100");
    world.run(ms(5));
    assert_eq!(world.sent_to(ip(2))[0].what, IN);
    assert_eq!(world.sent_to(ip(3))[0].what, FULL);
    world.ask(ip(2), "100");
    world.run(ms(5));
    assert_eq!(world.listed(0), [ip(2)], "who asks again gets the place that was its own");
    world.finish();
}

#[test]
fn lists_and_counts_are_those_of_the_original() {
    let mut world = World::on_air();
    assert_eq!((world.ask(ip(9), "110"), world.ask(ip(9), "130")), ("[]".into(), "0".into()));
    world.join(ip(1));
    world.join(ip(2));
    assert_eq!(world.ask(ip(9), "110"), "['127.0.0.1', '127.0.0.2']");
    assert_eq!(world.ask(ip(9), "130"), "2");
    assert_eq!((world.ask(ip(9), "111"), world.ask(ip(9), "131")), (String::new(), String::new()));
    world.finish();
}

#[test]
fn a_client_leaves_only_the_channel_that_it_is_in() {
    let mut world = World::new(2, 1);
    world.programme(0, LASTS);
    world.join(ip(2));
    for (from, command) in [(ip(2), "121"), (ip(2), "129"), (ip(3), "120")] {
        assert_eq!(world.ask(from, command), "");
        assert_eq!(world.listed(0), [ip(2)], "{command}");
    }
    assert_eq!(world.ask(ip(2), "120"), "");
    assert!(world.listed(0).is_empty());
    world.run(LASTS);
    assert_eq!(world.blocks(ip(2)), [0], "nothing after it left");
    world.finish();
}

#[test]
fn what_is_no_command_is_closed_without_a_word() {
    let mut world = World::on_air();
    let bad = ["999", "10a", "\0\0\0", "1 0", "GET / HTTP/1.1\r\n\r\n"];
    for text in bad {
        assert_eq!(world.ask(ip(2), text), "", "{text:?}");
    }
    let short = world.connect(ip(2)).unwrap();
    world.feed(short, b"10");
    world.hang_up(short);
    assert!(!world.is_there(short));
    assert_eq!((world.server.stats().bad_commands, world.dialled.len()), (6, 0));
    let told = |e: &Event| matches!(e, Event::BadCommand { .. });
    assert_eq!(world.events.iter().filter(|e| told(e)).count(), bad.len());
    world.finish();
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let mut world = World::on_air();
    let conn = world.connect(ip(2)).unwrap();
    for byte in b"130" {
        assert_eq!(world.answer(conn), None);
        world.run(ms(900));
        world.feed(conn, &[*byte]);
    }
    assert_eq!(world.answer(conn), Some("0"));
    world.finish();
}

#[test]
fn what_follows_a_command_is_forgotten_up_to_a_bound() {
    let mut world = World::on_air();
    let more = "7".repeat(64 << 10);
    assert_eq!(world.ask(ip(2), &format!("130{more}")), "0");
    let conn = world.connect(ip(2)).unwrap();
    world.feed(conn, b"130");
    for _ in 0..16 {
        world.feed(conn, more.as_bytes());
        assert!(world.is_there(conn));
    }
    world.feed(conn, b"!");
    assert!(!world.is_there(conn), "more than a mebibyte is no mistake");
    world.finish();
}

#[test]
fn a_command_that_does_not_come_is_closed_after_three_seconds() {
    let mut world = World::on_air();
    let conns = ["", "1", "13"].map(|part| {
        let conn = world.connect(ip(2)).unwrap();
        world.feed(conn, part.as_bytes());
        conn
    });
    world.run(ms(2990));
    world.feed(conns[0], b"1");
    assert!(conns.iter().all(|conn| world.is_there(*conn)));
    world.run(ms(10));
    assert!(!conns.iter().any(|conn| world.is_there(*conn)), "whatever has come of it");
    assert_eq!(world.server.stats().bad_commands, 3);
    world.finish();
}

#[test]
fn who_does_not_hang_up_after_an_answer_is_hung_up_on() {
    let mut world = World::on_air();
    let conn = world.connect(ip(2)).unwrap();
    world.feed(conn, b"130");
    world.run(ms(990));
    assert!(world.is_there(conn));
    world.run(ms(10));
    assert!(!world.is_there(conn));
    world.finish();
}

#[test]
fn ten_thousand_silent_connections_keep_nobody_from_being_served() {
    let mut world = World::on_air();
    for n in 0..10_000 {
        assert!(world.connect(ip(1000 + n)).is_some(), "the longest silent one makes room");
        if n % 1000 == 0 {
            assert_eq!(world.ask(ip(2), "130"), "0");
        }
        world.run(ms(1));
    }
    assert!(world.commands_most <= 50, "{} commands at once", world.commands_most);
    world.finish();
}

#[test]
fn ten_thousand_answered_connections_keep_nobody_from_being_served() {
    let mut world = World::on_air();
    for n in 0..10_000 {
        let conn = world.connect(ip(1000 + n)).expect("the longest answered one makes room");
        world.feed(conn, b"130");
        assert_eq!(world.answer(conn), Some("0"));
        world.run(ms(1));
    }
    assert!(world.commands_most <= 50, "{} commands at once", world.commands_most);
    world.finish();
}

#[test]
fn who_may_not_be_called_back_is_not() {
    let mut world = World::on_air();
    let far: IpAddr = "8.8.8.8".parse().unwrap();
    world.ask(far, "100");
    world.run(LASTS);
    assert_eq!((world.dialled.len(), world.server.stats().not_allowed), (0, 1));
    assert_eq!(world.events, [Event::NotAllowed { address: far }]);
    assert_eq!(world.ask(far, "130"), "0", "but it may ask");
    world.finish();
}

// Calling back.

#[test]
fn a_refused_callback_is_tried_again_for_two_seconds() {
    let mut world = World::on_air();
    world.fate(ip(2), [Fate::Refuses]);
    world.ask(ip(2), "100");
    world.run(ms(5000));
    let dials = world.dials_to(ip(2));
    for pair in dials.windows(2) {
        let wait = pair[1].checked_sub(pair[0]).unwrap();
        assert!(wait >= ms(20) && wait <= ms(52), "{wait:?}");
    }
    assert!(dials.len() > 40 && dials.last() > Some(&ms(1940)), "{dials:?}");
    assert!(dials.last() < Some(&ms(2060)), "{dials:?}");
    let why = Failure::Gone(Gone::Refused);
    assert_eq!(world.events, [Event::Unreachable { address: ip(2), channel: 0, why }]);
    assert!(world.listed(0).is_empty());
    world.finish();
}

#[test]
fn the_late_bind_of_the_original_is_survived() {
    let mut world = World::on_air();
    let (open, again) = (world.later(ms(150)), world.later(ms(700)));
    // It binds after it has asked, and after the answer it closes and binds once more.
    world.fate(ip(2), [Fate::RefusesUntil(open); 7].into_iter().chain([Fate::RefusesUntil(again)]));
    world.ask(ip(2), "100");
    world.run_to(ms(1900));
    assert_eq!(world.sent_to(ip(2)).len(), 2, "{:?}", world.deliveries);
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0], Some(0)));
    world.finish();
}

#[test]
fn the_grace_begins_with_the_first_dial() {
    let mut world = World::on_air();
    for silent in 100..132 {
        world.fate(ip(silent), [Fate::Silent]);
        world.ask(ip(silent), "100");
    }
    world.fate(ip(2), [Fate::Refuses, Fate::Refuses, Fate::Takes]);
    world.ask(ip(2), "100");
    assert_eq!(world.server.dials(), limits::TV_DIALS_UNPROVEN_MAX);
    world.run(ms(1990));
    assert_eq!(world.dials_to(ip(2)).len(), 0, "it waits for its turn");
    world.run(ms(300));
    assert_eq!(world.listed(0), [ip(2)]);
    world.finish();
}

#[test]
fn one_that_never_answers_a_join_is_forgotten() {
    let mut world = World::on_air();
    world.fate(ip(2), [Fate::Silent]);
    world.fate(ip(3), [Fate::Stalls]);
    world.fate(ip(4), [Fate::Breaks(0, Gone::Reset)]);
    for client in 2..5 {
        world.ask(ip(client), "100");
    }
    world.run(ms(2100));
    let why = [Failure::Gone(Gone::Reset), Failure::NotAccepted, Failure::Late];
    for (last, why) in [4, 2, 3].into_iter().zip(why) {
        let event = Event::Unreachable { address: ip(last), channel: 0, why };
        assert!(world.events.contains(&event), "{:?}", world.events);
    }
    assert!(world.listed(0).is_empty() && world.server.roster.iter().count() == 0);
    world.finish();
}

#[test]
fn no_more_than_64_are_dialled_at_once_and_32_of_the_unproven() {
    let mut world = World::on_air();
    for proven in 1000..1200 {
        world.ask(ip(proven), "100");
    }
    world.run_to(ms(1990));
    assert_eq!(world.blocks(ip(1199)), [0]);
    for unproven in 2000..2100 {
        world.fate(ip(unproven), [Fate::Silent]);
        world.ask(ip(unproven), "100");
    }
    assert_eq!(world.server.dials(), 32);
    for proven in 1000..1200 {
        world.fate(ip(proven), [Fate::Silent]);
    }
    let before = world.dialled.len();
    world.run_to(ms(3900));
    assert_eq!(world.server.dials(), 64);
    assert!(world.dialled[before..].iter().all(|(_, to)| *to < ip(2000)), "the proven go first");
    world.run_to(ms(20_000));
    assert_eq!(world.dials_most, 64);
    world.finish();
}

#[test]
fn hosts_that_never_answer_do_not_hold_up_those_that_do() {
    let mut world = World::on_air();
    world.join(ip(2));
    for silent in 1000..1300 {
        world.fate(ip(silent), [Fate::Silent]);
        world.ask(ip(silent), "100");
    }
    world.run_to(ms(9000));
    assert_eq!(world.dials_most, 33);
    for block in world.sent_to(ip(2)).iter().skip(2) {
        let after = u32::try_from(block.began.as_millis() % 2000).unwrap();
        assert!(block.whole && after <= 2, "{block:?}");
    }
    assert_eq!(world.blocks(ip(2)), [0, 1, 2, 3, 4]);
    world.finish();
}

#[test]
fn joins_without_end_wait_in_one_place() {
    let mut world = World::on_air();
    for silent in 1000..1032 {
        world.fate(ip(silent), [Fate::Silent]);
        world.ask(ip(silent), "100");
    }
    for _ in 0..1000 {
        world.ask(ip(2), "100");
        world.run(ms(1));
        assert_eq!(world.server.dials.waiting(), 1);
    }
    world.finish();
}

// Blocks.

#[test]
fn a_late_joiner_is_owed_the_next_block() {
    let mut world = World::on_air();
    world.run_to(ms(1500));
    world.fate(ip(2), [Fate::Takes, Fate::Rate(LEN), Fate::Takes]);
    world.ask(ip(2), "100");
    world.run_to(ms(2100));
    assert_eq!(world.blocks(ip(2)).len(), 0, "block 1 is on, and block 0 has still time");
    world.run_to(ms(3000));
    let [_, first, second] = world.sent_to(ip(2))[..] else { panic!("{:?}", world.deliveries) };
    assert_eq!((first.what, second.what), (What::Block(0), What::Block(1)));
    assert!(second.began.checked_sub(first.ended) <= Some(ms(2)), "at once after the first");
    assert_eq!(world.strikes(ip(2)), Some(0));
    world.run_to(ms(8500));
    assert_eq!(world.blocks(ip(2)), [0, 1, 2, 3, 4]);
    world.finish();
}

#[test]
fn a_leave_in_the_middle_cuts_the_block_off() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Rate(LEN)]);
    world.run_to(ms(2500));
    world.ask(ip(2), "120");
    let last = world.sent_to(ip(2)).pop().unwrap();
    assert_eq!((last.what, last.whole, last.ended), (What::Block(1), false, ms(2500)));
    assert!(world.listed(0).is_empty());
    world.run(LASTS * 2);
    assert_eq!(world.sent_to(ip(2)).len(), 3);
    world.finish();
}

#[test]
fn a_join_in_the_middle_cuts_the_block_off_and_begins_anew() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Rate(LEN), Fate::Takes]);
    world.run_to(ms(2500));
    world.ask(ip(2), "100");
    world.run_to(ms(2700));
    let sent: Vec<_> = world.sent_to(ip(2))[2..].iter().map(|d| (d.what, d.whole)).collect();
    assert_eq!(sent, [(What::Block(1), false), (IN, true), (What::Block(1), true)]);
    world.run_to(ms(4100));
    assert_eq!(world.blocks(ip(2)), [0, 1, 2]);
    world.finish();
}

#[test]
fn nothing_is_sent_while_nothing_is_on_the_air() {
    let mut world = World::new(1, 1);
    world.join(ip(2));
    world.run(LASTS * 3);
    assert_eq!(world.sent_to(ip(2)).len(), 1, "only the answer");
    world.programme(0, LASTS);
    world.fate(ip(2), [Fate::Takes]);
    world.run(ms(5));
    assert_eq!(world.blocks(ip(2)), [0]);
    world.run(ms(1995));
    assert_eq!(world.server.dials(), 1, "it is being dialled for block 1");
    world.end_programme(0);
    world.run(LASTS);
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0], Some(0)));
    world.finish();
}

#[test]
fn clients_of_a_channel_that_ends_are_let_go() {
    let mut world = World::new(2, 1);
    world.programme(0, LASTS);
    world.programme(1, LASTS);
    world.join(ip(2));
    for client in 3..100 {
        world.fate(ip(client), [Fate::Takes, Fate::Silent]);
        world.ask(ip(client), "101");
    }
    world.run_to(ms(1000));
    assert_eq!(world.listed(1).len(), 97);
    let dials = world.dialled.len();
    world.end_programme(1);
    world.server.set_channels(&mut world.cx, &[400]);
    world.run(ms(1));
    assert_eq!(world.dialled.len(), dials, "nobody is dialled to be let go");
    assert_eq!((world.listed(0), world.ask(ip(9), "111").as_str()), (vec![ip(2)], ""));
    assert_eq!(world.server.roster.iter().count(), 1);
    assert_eq!(world.server.stats().leaves, 97);
    world.run_to(ms(2100));
    assert_eq!(world.blocks(ip(2)), [0, 1]);
    world.finish();
}

#[test]
fn a_stop_finishes_the_blocks_under_way() {
    let mut world = World::on_air();
    for client in 2..6 {
        world.join(ip(client));
    }
    world.fate(ip(2), [Fate::Rate(LEN)]);
    world.fate(ip(3), [Fate::Silent]);
    world.fate(ip(4), [Fate::Breaks(LEN / 2, Gone::Exhausted)]);
    for silent in 100..150 {
        world.fate(ip(silent), [Fate::Silent]);
        world.ask(ip(silent), "100");
    }
    world.run_to(ms(2002));
    let dials = world.dialled.len();
    world.server.drain(&mut world.cx);
    world.ask(ip(7), "100");
    world.run_to(ms(5000));
    assert_eq!(world.blocks(ip(2)), [0, 1], "it is sent to its end");
    assert_eq!(world.blocks(ip(5)), [0, 1]);
    assert_eq!(world.blocks(ip(4)), [0], "and what fails is not tried again");
    assert_eq!(world.dialled.len(), dials, "nobody is dialled any more");
    assert_eq!(world.server.roster.iter().count(), 0);
    world.finish();
}

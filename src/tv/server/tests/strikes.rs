//! Who is late or broken twice in a row is out, and nobody else waits for it.

use super::*;

#[test]
fn a_stalled_client_is_out_after_its_second_block_and_delays_nobody() {
    let mut world = World::on_air();
    for client in 2..12 {
        world.join(ip(client));
    }
    let stalled: Vec<_> = (2..12).step_by(3).map(ip).collect();
    for client in &stalled {
        world.fate(*client, [Fate::Stalls]);
    }
    world.run_to(ms(3990));
    assert_eq!(world.strikes(stalled[0]), Some(0));
    world.run_to(ms(4010));
    assert_eq!(world.strikes(stalled[0]), Some(1), "at the end of its block's time");
    world.run_to(ms(5990));
    assert_eq!(world.listed(0).len(), 10);
    world.run_to(ms(6010));
    assert_eq!(world.listed(0).len(), 6, "at the end of the next");
    assert!(stalled.iter().all(|client| removed(&world, *client)));
    world.run_to(ms(9000));
    for client in (2..12).map(ip) {
        let sent = world.sent_to(client);
        if stalled.contains(&client) {
            assert_eq!(sent.len(), 3, "an answer, a block, and one that stalled: {sent:?}");
            assert!(!sent[2].whole, "what was cut off does not look whole");
        } else {
            assert_eq!(world.blocks(client), [0, 1, 2, 3, 4]);
            let late = |d: &world::Delivery| d.ended.as_millis() % 2000 > 5;
            assert!(!sent[2..].iter().any(late), "{sent:?}");
        }
    }
    world.finish();
}

#[test]
fn a_block_that_came_late_does_not_clear_its_strike_and_one_in_time_does() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Rate(LEN / 3), Fate::Takes]);
    world.run_to(ms(5500));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 1], Some(1)));
    world.run_to(ms(5990));
    assert_eq!(world.sent_to(ip(2)).len(), 3, "block 2 went on while it was late: skipped");
    world.run_to(ms(6100));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 1, 3], Some(0)));
    world.finish();
}

#[test]
fn one_that_is_late_skips_what_goes_on_the_air_meanwhile() {
    let mut world = World::on_air();
    world.run_to(ms(1500));
    world.fate(ip(2), [Fate::Takes, Fate::Rate(LEN / 3), Fate::Takes]);
    world.ask(ip(2), "100");
    world.run_to(ms(5900));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0], Some(1)));
    assert_eq!(world.dials_to(ip(2)).len(), 2, "block 2 went on while it was late");
    world.run_to(ms(6100));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 3], Some(0)));
    world.finish();
}

#[test]
fn a_failure_after_a_late_block_is_the_second_in_a_row() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Rate(LEN / 3), Fate::Refuses]);
    world.run_to(ms(6000));
    assert_eq!(world.strikes(ip(2)), Some(1));
    world.run_to(ms(8100));
    assert!(removed(&world, ip(2)), "{:?}", world.events);
    world.finish();
}

#[test]
fn a_block_that_was_late_and_then_broke_is_one_strike() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Stalls, Fate::Takes]);
    world.run_to(ms(4500));
    let conn = world.server.roster.iter().find_map(|(_, client)| client.conn()).unwrap();
    world.break_off(conn, Gone::Reset);
    assert_eq!(world.strikes(ip(2)), Some(1));
    world.run_to(ms(6100));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 3], Some(0)));
    world.finish();
}

#[test]
fn a_reset_is_a_strike_and_two_in_a_row_remove() {
    let mut world = World::on_air();
    world.join(ip(2));
    let reset = Fate::Breaks(LEN / 2, Gone::Reset);
    world.fate(ip(2), [reset, Fate::Takes, reset, Fate::Breaks(0, Gone::TimedOut)]);
    world.run_to(ms(2100));
    assert_eq!(world.strikes(ip(2)), Some(1));
    world.run_to(ms(4100));
    assert_eq!((world.strikes(ip(2)), world.blocks(ip(2))), (Some(0), vec![0, 2]));
    world.run_to(ms(8100));
    assert!(removed(&world, ip(2)));
    assert_eq!(world.sent_to(ip(2)).len(), 1 + 5, "one try a block");
    world.finish();
}

#[test]
fn one_that_refuses_is_removed_after_two_blocks() {
    for (lasts, out) in [(2000, 6100), (1000, 3100)] {
        let mut world = World::new(1, 1);
        world.programme(0, ms(lasts));
        world.join(ip(2));
        world.fate(ip(2), [Fate::Refuses]);
        world.run_to(ms(out - 200));
        assert_eq!(world.strikes(ip(2)), Some(1), "blocks of {lasts} ms");
        world.run_to(ms(out));
        assert!(removed(&world, ip(2)), "blocks of {lasts} ms: {:?}", world.events);
        world.finish();
    }
}

#[test]
fn one_that_never_answers_is_removed_after_two_blocks() {
    for (lasts, out) in [(2000, 6100), (1000, 3100)] {
        let mut world = World::new(1, 1);
        world.programme(0, ms(lasts));
        world.join(ip(2));
        world.fate(ip(2), [Fate::Silent]);
        world.run_to(ms(out - 200));
        assert_eq!(world.strikes(ip(2)), Some(1), "blocks of {lasts} ms");
        world.run_to(ms(out));
        assert!(removed(&world, ip(2)), "blocks of {lasts} ms: {:?}", world.events);
        assert_eq!(world.dials_to(ip(2)).len(), 4, "one dial a block");
        world.finish();
    }
}

#[test]
fn after_a_failure_the_block_that_is_on_is_tried() {
    let mut world = World::on_air();
    world.join(ip(2));
    let back = world.later(ms(4500 - 110));
    world.fate(ip(2), [Fate::RefusesUntil(back)]);
    world.run_to(ms(5000));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 2], Some(0)));
    world.finish();
}

#[test]
fn a_block_of_ours_that_breaks_is_no_strike() {
    let mut world = World::on_air();
    for client in 2..4 {
        world.join(ip(client));
    }
    world.fate(ip(2), [Fate::Breaks(LEN / 2, Gone::Faulted), Fate::Takes]);
    world.fate(ip(3), [Fate::Stalls, Fate::Takes]);
    world.run_to(ms(2100));
    world.server.off_air(0);
    world.air_again(0);
    assert_eq!(world.strikes(ip(2)), Some(0));
    let late = world.server.roster.iter().find(|(_, c)| c.address == ip(3));
    let conn = late.and_then(|(_, client)| client.conn()).unwrap();
    world.break_off(conn, Gone::Faulted);
    world.run(ms(5));
    for client in 2..4 {
        assert_eq!(world.blocks(ip(client)), [0, 2], "what took its place");
        assert_eq!(world.strikes(ip(client)), Some(0));
    }
    world.finish();
}

#[test]
fn a_want_of_descriptors_is_no_strike() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.fate(ip(2), [Fate::Fails(Gone::Exhausted)]);
    world.run_to(ms(6500));
    assert_eq!(world.strikes(ip(2)), Some(0));
    let dials = world.dials_to(ip(2)).len();
    assert!(dials < 250, "{dials} dials");
    world.fate(ip(2), [Fate::Takes]);
    world.run_to(ms(6600));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 3], Some(0)));
    world.fate(ip(3), [Fate::Fails(Gone::Exhausted)]);
    world.ask(ip(3), "100");
    world.run(ms(2100));
    let why = Failure::Gone(Gone::Exhausted);
    assert!(world.events.contains(&Event::Unreachable { address: ip(3), channel: 0, why }));
    world.finish();
}

#[test]
fn a_node_full_of_connections_is_no_strike() {
    let mut world = World::on_air();
    world.join(ip(2));
    world.run_to(ms(1000));
    let room = std::mem::replace(&mut world.cx.peers, crate::base::arena::Arena::new(0));
    world.run_to(ms(2500));
    assert_eq!(world.dials_to(ip(2)).len(), 2, "there is no connection to dial on");
    world.cx.peers = room;
    world.run_to(ms(2600));
    assert_eq!((world.blocks(ip(2)), world.strikes(ip(2))), (vec![0, 1], Some(0)));
    world.finish();
}

//! What others ask a member for, beside what its children are promised.

use super::strangers::{insider, six};
use super::world::trouble::Stranger;
use super::*;
use crate::base::limits::{MESH_STUCK_AFTER, MESH_WANT_WAITS_MAX, MESH_WANTS_WAITING_MAX};
use crate::mesh::wire::Message;

/// A stripe's bytes: a quarter of a block.
const STRIPE: u32 = 6 << 10;

fn ask(world: &mut World, stranger: Stranger, seq: u64, stripe: u8) {
    let want = wire::Want { seq, stripe, range: 0..STRIPE };
    world.say(stranger, &Message::Want(want).emit());
}

/// Bytes that came for what was asked, and requests that had better go elsewhere.
fn answers(world: &World, stranger: Stranger) -> (usize, usize) {
    let (mut bytes, mut gone) = (0, 0);
    for message in world.answered(stranger) {
        match message {
            Message::Block(block) => bytes += block.range.len(),
            Message::Gone(_) => gone += 1,
            _ => {}
        }
    }
    (bytes, gone)
}

fn child_rows(world: &World, host: usize) -> Vec<LinkRow> {
    let host = &world.hosts[host];
    let rows = host.mesh.links(&host.cx).into_iter();
    rows.filter(|row| !row.sends_to_us && !row.stripes.is_empty()).collect()
}

/// The members that a member feeds.
fn children(world: &World, host: usize) -> Vec<usize> {
    let rows = child_rows(world, host);
    let is_child = |i: &usize| rows.iter().any(|r| r.node == Some(world.hosts[*i].mesh.node()));
    let children: Vec<usize> = (1..world.hosts.len()).filter(is_child).collect();
    assert!(!children.is_empty(), "it feeds somebody");
    children
}

/// A block that a member has had for a while.
fn old_block(world: &World, host: usize) -> u64 {
    world.hosts[host].got.last().expect("it has blocks") - 1
}

#[test]
fn who_has_room_answers_at_once() {
    let (mut world, target) = six(31);
    let stranger = insider(&mut world, target);
    let seq = old_block(&world, target);
    for stripe in 0..4 {
        ask(&mut world, stranger, seq, stripe);
    }
    world.run(SECOND / 4);
    assert_eq!(answers(&world, stranger), (4 * STRIPE as usize, 0));
}

/// Its children take nothing while this lasts; all of them are in the middle of a block.
fn held_up(world: &mut World, target: usize) -> Vec<usize> {
    let children = children(world, target);
    for child in &children {
        world.hosts[*child].stalled = true;
    }
    for _ in 0..40 {
        let rows = child_rows(world, target);
        if rows.iter().all(|row| row.queued > 0) {
            return children;
        }
        world.run(SECOND / 40);
    }
    panic!("nothing is pushed to {children:?}");
}

#[test]
fn requests_wait_behind_what_children_are_promised() {
    let (mut world, target) = six(32);
    let stranger = insider(&mut world, target);
    let children = held_up(&mut world, target);
    let seq = old_block(&world, target);
    ask(&mut world, stranger, seq, 0);
    world.run(MESH_STUCK_AFTER / 4);
    assert_eq!(answers(&world, stranger), (0, 0), "it waits");
    for child in children {
        world.hosts[child].stalled = false;
        world.sip(target, child, 1 << 20);
    }
    world.run(SECOND / 10);
    assert_eq!(answers(&world, stranger), (STRIPE as usize, 0));
}

#[test]
fn who_waits_in_vain_hears_that_it_is_gone() {
    let (mut world, target) = six(33);
    let stranger = insider(&mut world, target);
    let children = held_up(&mut world, target);
    let seq = old_block(&world, target);
    for _ in 0..MESH_WANTS_WAITING_MAX + 3 {
        ask(&mut world, stranger, seq, 0);
    }
    world.run(SECOND / 10);
    assert_eq!(answers(&world, stranger), (0, 3), "so many may wait");
    for _ in 0..4 {
        // They are slow, not dead.
        for child in &children {
            world.sip(target, *child, 1);
        }
        world.run(MESH_WANT_WAITS_MAX / 2);
    }
    assert_eq!(answers(&world, stranger), (0, MESH_WANTS_WAITING_MAX + 3));
}

/// One that takes nothing waits for nothing: those that can be helped are.
#[test]
fn a_child_that_takes_nothing_holds_up_no_request() {
    let (mut world, target) = six(34);
    let stranger = insider(&mut world, target);
    for child in children(&world, target) {
        world.hosts[child].stalled = true;
    }
    world.run(MESH_STUCK_AFTER + SECOND);
    let seq = old_block(&world, target);
    ask(&mut world, stranger, seq, 2);
    world.run(SECOND / 4);
    assert_eq!(answers(&world, stranger), (STRIPE as usize, 0));
}

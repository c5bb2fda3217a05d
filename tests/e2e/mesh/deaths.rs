//! Nodes that end in every way there is, and nobody below them misses a block.

use std::time::{Duration, Instant};

use crate::harness::mesh::{Layout, Member, Mesh};
use crate::harness::{SOON, eventually};

#[test]
fn nobody_misses_a_block_when_an_inner_node_is_killed() {
    let mut mesh = Mesh::start(Layout::default());
    let mut inner = mesh.take_innermost();
    inner.daemon.kill();
    mesh.assert_nothing_missed();
}

#[test]
fn nobody_misses_a_block_when_each_relay_is_killed_in_turn() {
    let mut mesh = Mesh::start(Layout::default());
    while !mesh.relays.is_empty() {
        let mut relay = mesh.relays.remove(0);
        relay.daemon.kill();
        // Two seconds of blocks.
        mesh.clients[0].wait_stored(&mesh.movie, mesh.movie.seq_on_air() + 2);
    }
    mesh.assert_nothing_missed();
}

#[test]
fn nobody_misses_a_block_when_the_server_is_killed_and_comes_back() {
    let mut mesh = Mesh::start(Layout::default());
    let killed = Instant::now();
    mesh.server.kill();
    let down = Duration::from_secs(2);
    eventually(SOON, "two seconds without a server", || (killed.elapsed() >= down).then_some(()));
    mesh.restart_server();
    if !mesh.assert_nothing_missed() {
        return;
    }
    let places =
        |member: &Member| member.daemon.texts(|text| text.ends_with("gave us a place")).len();
    // The clients' root is a relay, which stayed.
    for relay in &mesh.relays {
        assert_eq!(places(relay), 2, "{} joined again", relay.name);
    }
    for client in &mesh.clients {
        assert_eq!(places(client), 1, "{} had no reason to", client.name);
    }
}

#[test]
fn nobody_misses_a_block_when_an_inner_node_falls_silent() {
    let mut mesh = Mesh::start(Layout::default());
    let inner = mesh.take_innermost();
    inner.daemon.signal("STOP");
    mesh.assert_nothing_missed();
}

#[test]
fn a_node_that_stops_hands_its_children_over_and_nobody_is_late() {
    let mut mesh = Mesh::start(Layout { relays: 0, clients: 7, ..Layout::default() });
    let mut inner = mesh.take_innermost();
    let marks: Vec<_> = mesh.members().map(|member| member.daemon.mark()).collect();
    inner.daemon.stop();
    if !mesh.assert_nothing_missed() {
        return;
    }
    for (member, mark) in mesh.members().zip(marks) {
        let lost = member.daemon.texts_after(mark, |text| text.contains("is lost"));
        assert!(lost.is_empty(), "{} was not handed over: {lost:?}", member.name);
    }
}

//! The relay trees with real processes on loopback: who receives from whom is the planner's, what
//! arrives must be every block of the channel, byte for byte, whoever dies meanwhile.

mod deaths;
mod liars;
mod namespaces;
mod stalled;
mod strangers;

use std::time::Duration;

use crate::harness::http;
use crate::harness::mesh::{Layout, Mesh};

#[test]
fn members_carry_every_block_to_each_other() {
    let mesh = Mesh::start(Layout { relays: 0, clients: 6, root_slots: 2, ..Layout::default() });
    mesh.assert_nothing_missed();
    let live = http::get(mesh.clients[5].daemon.http(), "/ch/0/blocks/live");
    mesh.movie.index_of(&live.body);
    let Mesh { clients, .. } = mesh;
    for mut client in clients {
        client.daemon.stop();
    }
}

/// 24 processes.
#[test]
fn three_relays_and_twenty_clients_lose_a_relay_and_miss_nothing() {
    let mut mesh = Mesh::start(Layout {
        relays: 3,
        clients: 20,
        root_slots: 4,
        lasts: Duration::from_secs(1),
        bytes: 150_000,
        ..Layout::default()
    });
    let mut relay = mesh.relays.remove(0);
    relay.daemon.kill();
    mesh.assert_nothing_missed();
}

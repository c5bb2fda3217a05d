//! The original programs: first against each other, which shows that the emulations are right,
//! then each against the daemon.

use std::time::Duration;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, Movie};
use crate::harness::original_client::OriginalClient;
use crate::harness::original_server::{OriginalServer, PERIOD, Programme};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually};

/// How long the original client takes to come to its listener.
const SLOW: Duration = Duration::from_millis(400);

fn programme(lab: &Lab, movie: &Movie, period: Duration) -> Programme {
    Programme {
        channels: vec![movie.blocks.clone(), movie.blocks.clone()],
        callback_port: lab.callback_port,
        period,
        max_clients: 2,
        slowness: Duration::ZERO,
    }
}

#[test]
fn the_original_server_serves_a_viewer_that_listens_in_time() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 4, 20_000);
    let server = OriginalServer::start(0, programme(&lab, &movie, PERIOD / 6));
    let viewer = Viewer::joined(&lab, server.address, 0);
    let first = movie.index_of(&viewer.block());
    movie.assert_follows(first, movie.index_of(&viewer.block()));
    let one = format!("['{}']", viewer.address);
    assert_eq!(viewer.command(server.address, "110"), one);
    assert_eq!(viewer.command(server.address, "130\n"), "1");
    assert_eq!(viewer.command(server.address, "111"), "[]");
    assert_eq!(viewer.command(server.address, "120"), "");
    assert_eq!(count(server.address, 0), 0);
}

#[test]
fn the_original_server_refuses_when_full() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 4, 20_000);
    let server = OriginalServer::start(0, programme(&lab, &movie, PERIOD / 6));
    let inside = [(); 2].map(|()| Viewer::joined(&lab, server.address, 0));
    let third = Viewer::new(&lab);
    assert_eq!(third.join(server.address, 0), "00");
    assert_eq!(third.join(server.address, 7), "00", "no such channel");
    assert_eq!(server.listed(0), inside.each_ref().map(|viewer| viewer.address));
}

#[test]
fn the_original_programs_miss_each_other_when_the_client_is_slow() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 4, 20_000);
    let server = OriginalServer::start(0, programme(&lab, &movie, PERIOD / 6));
    let client = OriginalClient::start(&lab, server.address, 0, SLOW);
    eventually(SOON, "the join", || (server.joins() == 1).then_some(()));
    // The callback was refused, so the client waits and the server does not list it.
    let viewer = Viewer::joined(&lab, server.address, 0);
    viewer.block();
    viewer.block();
    assert_eq!(server.listed(0), [viewer.address]);
    drop(client);
}

#[test]
fn the_original_programs_work_when_the_client_is_quick() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 4, 20_000);
    let mut programme = programme(&lab, &movie, PERIOD / 6);
    programme.slowness = SLOW;
    let server = OriginalServer::start(0, programme);
    let client = OriginalClient::start(&lab, server.address, 0, Duration::ZERO);
    assert_eq!(client.reply(), "10");
    let first = movie.index_of(&client.block());
    movie.assert_follows(first, movie.index_of(&client.block()));
    assert_eq!(server.listed(0), [client.address]);
}

#[test]
fn the_original_client_is_served_although_it_listens_late() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 20, 60_000);
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let client = OriginalClient::start(&lab, daemon.tv(), 0, SLOW);
    assert_eq!(client.reply(), "10");
    let mut index = clip.index_of(&client.block());
    for _ in 0..4 {
        let next = clip.index_of(&client.block());
        clip.assert_follows(index, next);
        index = next;
    }
    assert_eq!(count(daemon.tv(), 0), 1);
}

#[test]
fn the_original_client_is_served_at_any_speed() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 20, 60_000);
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let pauses = [0, 5, 30, 90, 250, 900, 1500].map(Duration::from_millis);
    let clients = pauses.map(|pause| OriginalClient::start(&lab, daemon.tv(), 0, pause));
    for (client, pause) in clients.iter().zip(pauses) {
        assert_eq!(client.reply(), "10", "after {pause:?}");
        let first = clip.index_of(&client.block());
        clip.assert_follows(first, clip.index_of(&client.block()));
    }
    assert_eq!(count(daemon.tv(), 0), pauses.len() as u32);
}

#[test]
fn the_original_client_is_told_00() {
    let lab = Lab::new();
    lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let client = OriginalClient::start(&lab, daemon.tv(), 5, SLOW);
    assert_eq!(client.reply(), "00");
    assert_eq!(count(daemon.tv(), 0), 0);
}

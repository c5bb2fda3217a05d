//! The daemon as a relay of a tv server: what it receives goes on to tv clients and over HTTP.

use std::fs;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, address};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually, http};

fn relay(lab: &Lab, server: std::net::SocketAddr) -> Daemon {
    let (ours, port) = (address(), lab.callback_port);
    Daemon::start(&lab.write(
        "relay.toml",
        format!(
            "role = \"relay\"\nsource = \"tv://{server}/0\"\n\
             [receive]\nlisten = \"{ours}:{port}\"\nperiod = \"500ms\"\n\
             [tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = {port}\n\
             callback_allow = [\"loopback\"]\n[http]\nlisten = \"127.0.0.1:0\"\n"
        ),
    ))
}

#[test]
fn a_relay_passes_on_what_it_receives() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut relay = relay(&lab, server.tv());
    eventually(SOON, "the relay on the air", || {
        (http::status(relay.http())["channels"][0]["state"] == "on_air").then_some(())
    });
    let viewer = Viewer::joined(&lab, relay.tv(), 0);
    let first = movie.index_of(&viewer.block());
    assert_eq!(movie.index_of(&viewer.block()), movie.after(first), "in order, byte for byte");
    movie.index_of(&http::get(relay.http(), "/ch/0/blocks/live").body);
    assert_eq!(count(server.tv(), 0), 1, "the server sends to the relay only");
    assert_eq!(count(relay.tv(), 0), 1);
    relay.stop();
    assert_eq!(count(server.tv(), 0), 0, "it left");
}

#[test]
fn a_relay_of_a_relay_shows_the_same_blocks() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let near = relay(&lab, server.tv());
    fs::remove_file(lab.path("relay.toml")).unwrap();
    let far = relay(&lab, near.tv());
    let viewer = Viewer::joined(&lab, far.tv(), 0);
    let shown: Vec<_> = (0..3).map(|_| movie.index_of(&viewer.block())).collect();
    assert!(shown.windows(2).all(|w| movie.after(w[0]) == w[1]), "{shown:?}");
}

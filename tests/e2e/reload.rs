//! SIGHUP: the new configuration or the old one, never half of one.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::{BINARY, Daemon};
use crate::harness::lab::{self, Lab, Movie};
use crate::harness::setup::{Channel, Client, Server};
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually, http};

fn lab_with_server() -> (Lab, Movie, Server, Daemon) {
    let lab = Lab::new();
    let clip = lab.clip();
    let setup = Server::new(&lab, &["clip"]);
    let daemon = Daemon::start(&setup.write(&lab));
    (lab, clip, setup, daemon)
}

/// Waits until the daemon counts so many applied configurations.
fn wait_reloads(daemon: &Daemon, wanted: u64) {
    eventually(SOON, &format!("{wanted} reloads"), || {
        (http::status(daemon.http())["node"]["reloads"] == wanted).then_some(())
    });
}

#[test]
fn a_reload_adds_a_channel_and_disturbs_nobody() {
    let (lab, clip, mut setup, daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let before = clip.index_of(&viewer.block());
    let second = lab.movie("second", 5, 20_000);
    setup.channels.push(Channel::of("second"));
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 1);
    let other = Viewer::joined(&lab, daemon.tv(), 1);
    second.index_of(&other.block());
    clip.assert_follows(before, clip.index_of(&viewer.block()));
    assert_eq!((count(daemon.tv(), 0), count(daemon.tv(), 1)), (1, 1));
}

#[test]
fn a_reload_changes_how_many_clients_a_channel_takes() {
    let (lab, _clip, mut setup, daemon) = lab_with_server();
    let first = Viewer::joined(&lab, daemon.tv(), 0);
    setup.channels[0].max_clients = 1;
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 1);
    let second = Viewer::new(&lab);
    assert_eq!(second.join(daemon.tv(), 0), "00");
    setup.channels[0].max_clients = 2;
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 2);
    assert_eq!(second.join(daemon.tv(), 0), "10");
    drop(first);
}

#[test]
fn a_broken_file_changes_nothing_and_is_named() {
    let (lab, clip, setup, mut daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    for (broken, named) in [
        (format!("{}\n[tv\n", setup.text()), "server.toml:"),
        (setup.text().replace("callback_port", "callbak_port"), "callback_port"),
        (setup.text().replace("playlist = [\"clip\"]", "playlist = []"), "playlist"),
    ] {
        lab.write("server.toml", broken);
        let mark = daemon.mark();
        daemon.reload();
        let told = |text: &str| text.contains("server.toml:") && text.contains(named);
        daemon.wait_after(mark, named, told);
        assert!(daemon.is_alive());
        clip.index_of(&viewer.block());
    }
    fs::remove_file(lab.path("server.toml")).unwrap();
    daemon.reload();
    clip.index_of(&viewer.block());
    assert_eq!(http::status(daemon.http())["node"]["reloads"], 0);
    assert_eq!(count(daemon.tv(), 0), 1);
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 1);
}

#[test]
fn a_broken_file_is_not_half_applied() {
    let (lab, _clip, mut setup, daemon) = lab_with_server();
    let first = Viewer::joined(&lab, daemon.tv(), 0);
    setup.channels[0].max_clients = 1;
    lab.write("server.toml", format!("{}\nnonsense = 1\n", setup.text()));
    daemon.reload();
    let second = Viewer::joined(&lab, daemon.tv(), 0);
    assert_eq!(count(daemon.tv(), 0), 2);
    drop((first, second));
}

#[test]
fn a_playlist_that_names_no_movie_is_refused_with_a_proposal() {
    let (lab, clip, mut setup, daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    setup.channels[0].playlist = vec!["clipp".to_owned()];
    setup.write(&lab);
    let mark = daemon.mark();
    daemon.reload();
    daemon.wait_after(mark, "clipp and clip", |text| {
        text.contains("clipp") && text.contains("did you mean \"clip\"")
    });
    clip.index_of(&viewer.block());
}

#[test]
fn what_needs_a_restart_is_named() {
    let (lab, clip, _setup, server) = lab_with_server();
    let mut setup = Client::new(&lab, server.tv());
    let client = Daemon::start(&setup.write(&lab));
    let received = || http::status(client.http())["receive"]["blocks"].as_u64();
    eventually(SOON, "a block", || (received() >= Some(1)).then_some(()));
    setup.address = lab::address();
    setup.channel = 1;
    setup.write(&lab);
    let mark = client.mark();
    client.reload();
    for key in ["source", "[receive] listen"] {
        client.wait_after(mark, key, |text| {
            text.starts_with(&format!("reload: {key}")) && text.contains("needs a restart")
        });
    }
    let then = received();
    eventually(SOON, "a block by the old address", || (received() > then).then_some(()));
    assert_eq!(count(server.tv(), 0), 1);
    drop(clip);
}

#[test]
fn a_reload_moves_a_listener_and_loses_nobody() {
    let (lab, clip, mut setup, daemon) = lab_with_server();
    let old = daemon.tv();
    let viewer = Viewer::joined(&lab, old, 0);
    let first = clip.index_of(&viewer.block());
    setup.tv_listen = format!("{}:0", lab::address());
    setup.write(&lab);
    let mark = daemon.mark();
    daemon.reload();
    let text = daemon.wait_after(mark, "the new listener", |t| t.starts_with("listening: tv on"));
    let new = text.rsplit(' ').next().unwrap().parse().expect("an address");
    assert_ne!(old, new);
    clip.assert_follows(first, clip.index_of(&viewer.block()));
    assert_eq!(count(new, 0), 1);
    eventually(SOON, "the end of the old listener", || TcpStream::connect(old).err());
}

#[test]
fn a_listener_that_cannot_be_had_changes_nothing() {
    let (lab, clip, mut setup, daemon) = lab_with_server();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    setup.tv_listen = taken.local_addr().unwrap().to_string();
    setup.channels[0].max_clients = 1;
    setup.write(&lab);
    let mark = daemon.mark();
    daemon.reload();
    daemon.wait_after(mark, "the address in the log", |t| t.contains(&setup.tv_listen));
    clip.index_of(&viewer.block());
    let second = Viewer::new(&lab);
    assert_eq!(second.join(daemon.tv(), 0), "10", "all or nothing");
    assert_eq!(http::status(daemon.http())["node"]["reloads"], 0);
}

#[test]
fn a_reload_finds_new_blocks_and_movies() {
    let (lab, clip, mut setup, daemon) = lab_with_server();
    let newer = lab.movie("newer", 3, 20_000);
    setup.channels[0].playlist = vec!["newer".to_owned()];
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 1);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    // The block on the air may be the old one to its end.
    eventually(SOON, "a block of the new movie", || newer.find(&viewer.block()));
    let first = newer.index_of(&viewer.block());
    newer.assert_follows(first, newer.index_of(&viewer.block()));
    assert!(clip.find(&newer.blocks[0]).is_none());
}

#[test]
fn a_reload_that_changes_nothing_says_so() {
    let (lab, clip, _setup, daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let first = clip.index_of(&viewer.block());
    daemon.reload();
    clip.assert_follows(first, clip.index_of(&viewer.block()));
}

#[test]
fn a_channel_that_a_reload_takes_away_is_gone() {
    let lab = Lab::new();
    let clip = lab.clip();
    let mut setup = Server::new(&lab, &["clip", "clip"]);
    let daemon = Daemon::start(&setup.write(&lab));
    let stays = Viewer::joined(&lab, daemon.tv(), 0);
    let goes = Viewer::joined(&lab, daemon.tv(), 1);
    clip.index_of(&goes.block());
    setup.channels.pop();
    setup.write(&lab);
    daemon.reload();
    wait_reloads(&daemon, 1);
    assert_eq!(goes.command(daemon.tv(), "131"), "", "an unknown channel");
    goes.blocks_for(Duration::from_millis(200));
    assert!(goes.block_within(Duration::from_millis(1200)).is_none(), "blocks of no channel");
    clip.index_of(&stays.block());
    assert_eq!(http::get(daemon.http(), "/ch/1/blocks/live").status, 404);
}

#[test]
fn ten_reloads_at_once_are_survived() {
    let (lab, clip, _setup, mut daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    for _ in 0..10 {
        daemon.signal("HUP");
    }
    clip.index_of(&viewer.block());
    clip.index_of(&viewer.block());
    daemon.stop();
}

#[test]
fn the_service_manager_is_told_of_every_state() {
    let lab = Lab::new();
    lab.clip();
    let config = Server::new(&lab, &["clip"]).write(&lab);
    let path = lab.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut command = Command::new(BINARY);
    command.arg("-c").arg(&config).args(["--log-target", "stderr", "--log-level", "debug"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let mut daemon = Daemon::run(command);
    let next = |wanted: &str| {
        eventually(SOON, wanted, || {
            let mut buffer = [0; 4096];
            let read = match manager.recv(&mut buffer) {
                Err(why) if why.kind() == ErrorKind::Interrupted => return None,
                received => received.expect("a message to the service manager"),
            };
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            text.lines().any(|line| line.starts_with(wanted)).then_some(text)
        })
    };
    next("READY=1");
    next("WATCHDOG=1");
    daemon.signal("HUP");
    let reloading = next("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    next("READY=1");
    daemon.signal("TERM");
    next("STOPPING=1");
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

//! The client's disk when it is full or in the way.

use std::fs;
use std::path::PathBuf;

use crate::harness::daemon::Daemon;
use crate::harness::lab::Lab;
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::count;
use crate::harness::{SOON, eventually, http, skip, works};

/// The store as a client sees it that has its own mounts.
fn store_of(client: &Daemon, lab: &Lab) -> PathBuf {
    let path = lab.path("store");
    PathBuf::from(format!("/proc/{}/root{}", client.pid(), path.display()))
}

fn stored(client: &Daemon) -> u64 {
    http::status(client.http())["store"]["stored"].as_u64().expect("a number")
}

#[test]
fn a_full_disk_stops_the_storing_and_room_lets_it_go_on() {
    if !works("unshare", &["-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]) {
        return skip("mounting needs root");
    }
    let lab = Lab::new();
    let clip = lab.movie("clip", 8, 20_000);
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let config = Client::new(&lab, server.tv()).write(&lab);
    fs::create_dir(lab.path("store")).unwrap();
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"";
    let store = lab.path("store");
    let before = ["unshare", "-m", "sh", "-c", mount, store.to_str().unwrap()];
    let client = Daemon::start_by(&before, &config);
    let state = |wanted: &'static str| {
        eventually(SOON, wanted, || {
            let status = http::status(client.http());
            (status["store"]["state"] == wanted).then_some(())
        });
    };
    state("full");
    let received = || http::status(client.http())["receive"]["blocks"].as_u64().unwrap();
    let then = received();
    eventually(SOON, "three more blocks received", || (received() >= then + 3).then_some(()));
    let told = client.texts(|text| text.contains("full") || text.contains("No space"));
    assert_eq!(told.len(), 1, "said once: {told:#?}");
    assert_eq!(count(server.tv(), 0), 1, "it goes on watching");
    let seen = store_of(&client, &lab);
    let before_room = stored(&client);
    for entry in fs::read_dir(&seen).unwrap() {
        let path = entry.unwrap().path();
        clip.index_of(&fs::read(&path).unwrap());
        fs::remove_file(path).unwrap();
    }
    eventually(SOON, "a block stored again", || (stored(&client) > before_room).then_some(()));
    let told = client.texts(|text| text.contains("room") || text.contains("again"));
    assert!(!told.is_empty(), "and that it goes on is said too");
    for entry in fs::read_dir(&seen).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "mkv") {
            clip.index_of(&fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_store_that_is_taken_away_is_survived() {
    let lab = Lab::new();
    lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut client = Daemon::start(&Client::new(&lab, server.tv()).write(&lab));
    eventually(SOON, "two blocks stored", || (stored(&client) >= 2).then_some(()));
    fs::remove_dir_all(lab.path("store")).unwrap();
    let received = || http::status(client.http())["receive"]["blocks"].as_u64().unwrap();
    let then = received();
    eventually(SOON, "three more blocks received", || (received() >= then + 3).then_some(()));
    assert!(client.is_alive());
    assert_eq!(count(server.tv(), 0), 1, "it goes on watching");
    client.stop();
}

#[test]
fn a_store_that_cannot_be_made_is_named_at_the_start() {
    let lab = Lab::new();
    lab.write("store", "a file, not a directory");
    let config = Client::new(&lab, "127.0.0.1:6060".parse().unwrap()).write(&lab);
    let arguments = ["-c", config.to_str().unwrap(), "--log-target", "stderr"];
    let done = crate::harness::daemon::run(&arguments, "/".as_ref());
    assert!(done.code > 0, "{}", done.code);
    assert!(done.stderr.contains("store"), "{}", done.stderr);
}

#[test]
fn what_a_killed_client_left_half_written_is_no_block() {
    let lab = Lab::new();
    let clip = lab.movie("clip", 8, 2 << 20);
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let config = Client::new(&lab, server.tv()).write(&lab);
    for _ in 0..3 {
        let mut client = Daemon::start(&config);
        eventually(SOON, "a block stored", || (stored(&client) >= 1).then_some(()));
        client.kill();
    }
    for entry in fs::read_dir(lab.path("store")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "mkv") {
            clip.index_of(&fs::read(&path).unwrap());
        }
    }
}

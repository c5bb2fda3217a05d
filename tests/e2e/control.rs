//! The control socket, asked by `vidstream ctl` and by strangers.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::harness::daemon::{Daemon, Finished, run_program};
use crate::harness::lab::Lab;
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::Viewer;
use crate::harness::{SOON, eventually, http};

/// What a person types.
fn ctl(lab: &Lab, socket: &str, words: &[&str]) -> Finished {
    let path = lab.path(socket);
    let words: Vec<_> =
        ["ctl", "--socket", path.to_str().unwrap()].iter().chain(words).copied().collect();
    run_program(env!("CARGO_BIN_EXE_vidstream"), &words, &lab.path(""))
}

fn lab_with_server() -> (Lab, Daemon) {
    let lab = Lab::new();
    lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip", "clip"]).write(&lab));
    (lab, daemon)
}

#[test]
fn ctl_tells_what_is_on_the_air_and_who_watches() {
    let (lab, daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 1);
    let channels = ctl(&lab, "server.sock", &["channels"]);
    assert_eq!(channels.code, 0, "{}", channels.stderr);
    let row = channels.stdout.lines().find(|line| line.contains("1/32")).expect("a viewer");
    assert!(row.contains("Only clip") && row.trim_start().starts_with('1'), "{row}");
    let connections = ctl(&lab, "server.sock", &["connections"]);
    assert!(connections.stdout.contains(&viewer.address.to_string()), "{}", connections.stdout);
    let status = ctl(&lab, "server.sock", &["status"]);
    assert!(status.stdout.contains("1 clients"), "{}", status.stdout);
}

#[test]
fn ctl_has_the_status_document_of_http() {
    let (lab, daemon) = lab_with_server();
    let asked = ctl(&lab, "server.sock", &["status", "json"]);
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    let document: serde_json::Value = serde_json::from_str(&asked.stdout).expect("JSON");
    let other = http::status(daemon.http());
    assert_eq!(document["node"]["started_at"], other["node"]["started_at"]);
    assert_eq!(document["channels"].as_array().map(Vec::len), Some(2));
}

#[test]
fn ctl_lists_a_clients_files_and_its_source() {
    let (lab, server) = lab_with_server();
    let client = Daemon::start(&Client::new(&lab, server.tv()).write(&lab));
    eventually(SOON, "a stored block", || {
        (http::status(client.http())["store"]["stored"].as_u64() >= Some(1)).then_some(())
    });
    let files = ctl(&lab, "client.sock", &["files"]);
    assert!(files.stdout.contains("0_00000.mkv"), "{}", files.stdout);
    let connections = ctl(&lab, "client.sock", &["connections"]);
    assert!(connections.stdout.contains(&server.tv().to_string()), "{}", connections.stdout);
}

#[test]
fn ctl_says_what_is_wrong() {
    let (lab, mut daemon) = lab_with_server();
    let unknown = ctl(&lab, "server.sock", &["chanels"]);
    let told = unknown.stdout + &unknown.stderr;
    assert!(told.contains("chanels") && told.contains("channels"), "{told}");
    daemon.stop();
    let nobody = ctl(&lab, "server.sock", &["status"]);
    assert!(nobody.code > 0 && nobody.stderr.contains("server.sock"), "{}", nobody.stderr);
    let usage = run_program(env!("CARGO_BIN_EXE_vidstream"), &["--nonsense"], &lab.path(""));
    assert_eq!(usage.code, 64, "{}", usage.stderr);
}

#[test]
fn a_silent_control_connection_is_closed_and_noise_is_survived() {
    let (lab, mut daemon) = lab_with_server();
    let connect = || {
        let stream = UnixStream::connect(lab.path("server.sock")).expect("the control socket");
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let began = Instant::now();
    let mut silent: Vec<_> = (0..3).map(|_| connect()).collect();
    let mut noisy = connect();
    let _ = noisy.write_all(&vec![0x1b; 100_000]);
    let mut answer = Vec::new();
    // It may be reset when not all of the noise was read.
    let _ = noisy.read_to_end(&mut answer);
    assert!(!answer.contains(&0x1b), "noise comes back raw");
    for stream in &mut silent {
        answer.clear();
        stream.read_to_end(&mut answer).expect("an end");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(daemon.is_alive());
    assert_eq!(ctl(&lab, "server.sock", &["status"]).code, 0);
}

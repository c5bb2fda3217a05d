//! Flags, exit codes (sysexits.h), start and stop.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::daemon::{BINARY, Daemon, run};
use crate::harness::lab::{LASTS, Lab};
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::{Viewer, count};
use crate::harness::{SOON, eventually, http};

/// Wrong flags.
const USAGE: i32 = 64;
/// A file that is not there.
const NO_INPUT: i32 = 66;
/// A configuration that is wrong.
const CONFIG: i32 = 78;

/// A lab with a good `server.toml`.
fn lab() -> (Lab, Server) {
    let lab = Lab::new();
    lab.clip();
    let server = Server::new(&lab, &["clip"]);
    server.write(&lab);
    (lab, server)
}

#[test]
fn the_version_is_that_of_the_package() {
    let done = run(&["--version"], "/".as_ref());
    let wanted = format!("vidstreamd {}", env!("CARGO_PKG_VERSION"));
    assert_eq!((done.code, done.stdout.trim_end()), (0, wanted.as_str()), "{}", done.stderr);
    assert_eq!(done.stderr, "");
}

#[test]
fn help_names_every_flag() {
    let done = run(&["--help"], "/".as_ref());
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let flags =
        ["-c", "--check", "--print-config", "--log-level", "--log-target", "--version", "--help"];
    for flag in flags {
        assert!(done.stdout.contains(flag), "{flag} in {}", done.stdout);
    }
}

#[test]
fn wrong_flags_are_a_usage_error() {
    let (lab, _) = lab();
    let here = lab.path("");
    let wrong: [&[&str]; 6] = [
        &["--nonsense"],
        &["-c"],
        &["--log-level", "loud", "-c", "server.toml"],
        &["--log-target", "moon", "-c", "server.toml"],
        &["stray"],
        &["--chekc"],
    ];
    for flags in wrong {
        let done = run(flags, &here);
        assert_eq!(done.code, USAGE, "{flags:?}: {}", done.stderr);
        assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{flags:?}");
    }
}

#[test]
fn a_check_of_a_good_file_succeeds_and_makes_nothing() {
    let (lab, _) = lab();
    let done = run(&["--check", "-c", "server.toml"], &lab.path(""));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let client = Client::new(&lab, "127.0.0.1:6060".parse().unwrap()).write(&lab);
    let done = run(&["--check", "-c", client.to_str().unwrap()], "/".as_ref());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(!lab.path("store").exists(), "a check makes nothing");
    assert!(!lab.path("server.sock").exists(), "a check makes nothing");
}

#[test]
fn a_missing_file_is_no_input() {
    let (lab, _) = lab();
    for flags in [&["-c", "absent.toml"][..], &["--check", "-c", "absent.toml"]] {
        let done = run(flags, &lab.path(""));
        assert_eq!(done.code, NO_INPUT, "{}", done.stderr);
        assert!(done.stderr.contains("absent.toml"), "{}", done.stderr);
    }
}

#[test]
fn a_broken_file_is_a_configuration_error_at_a_place() {
    let (lab, server) = lab();
    let text = server.text().replace("callback_port", "callbak_port");
    let line = 1 + text.lines().position(|l| l.starts_with("callbak_port")).unwrap();
    lab.write("broken.toml", text);
    for flags in [&["-c", "broken.toml"][..], &["--check", "-c", "broken.toml"]] {
        let done = run(flags, &lab.path(""));
        assert_eq!(done.code, CONFIG, "{}", done.stderr);
        assert!(done.stderr.contains(&format!("broken.toml:{line}:1:")), "{}", done.stderr);
        assert!(done.stderr.contains("did you mean \"callback_port\""), "{}", done.stderr);
    }
}

#[test]
fn a_playlist_with_an_unknown_movie_is_a_configuration_error() {
    let (lab, mut server) = lab();
    server.channels[0].playlist = vec!["clpi".to_owned()];
    server.write(&lab);
    for flags in [&["-c", "server.toml"][..], &["--check", "-c", "server.toml"]] {
        let done = run(flags, &lab.path(""));
        assert_eq!(done.code, CONFIG, "{}", done.stderr);
        assert!(done.stderr.contains("clpi"), "{}", done.stderr);
        assert!(done.stderr.contains("did you mean \"clip\""), "{}", done.stderr);
    }
}

#[test]
fn the_printed_configuration_prints_itself() {
    let (lab, mut server) = lab();
    server.channels[0].name = "Zero \"quoted\" \\ ü".to_owned();
    server.channels[0].filler = Some("clip".to_owned());
    server.write(&lab);
    let first = run(&["--print-config", "-c", "server.toml"], &lab.path(""));
    assert_eq!(first.code, 0, "{}", first.stderr);
    fs::create_dir(lab.path("elsewhere")).unwrap();
    lab.write("elsewhere/printed.toml", &first.stdout);
    let second = run(&["--print-config", "-c", "elsewhere/printed.toml"], &lab.path(""));
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{}", second.stderr);
    let daemon = Daemon::start(&lab.path("elsewhere/printed.toml"));
    assert_eq!(http::status(daemon.http())["channels"][0]["name"], server.channels[0].name);
}

#[test]
fn a_client_prints_its_configuration_too() {
    let lab = Lab::new();
    let client = Client::new(&lab, "127.0.0.1:6060".parse().unwrap()).write(&lab);
    let first = run(&["--print-config", "-c", client.to_str().unwrap()], "/".as_ref());
    assert_eq!(first.code, 0, "{}", first.stderr);
    let printed = lab.write("printed.toml", &first.stdout);
    let second = run(&["--print-config", "-c", printed.to_str().unwrap()], "/".as_ref());
    assert_eq!((second.code, second.stdout), (0, first.stdout), "{}", second.stderr);
}

#[test]
fn paths_are_relative_to_the_file_not_to_the_caller() {
    let (lab, _) = lab();
    let done = run(&["--check", "-c", lab.path("server.toml").to_str().unwrap()], "/".as_ref());
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (lab, mut server) = lab();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    server.tv_listen.clone_from(&address);
    server.write(&lab);
    let done = run(&["-c", "server.toml", "--log-target", "stderr"], &lab.path(""));
    assert!(done.code > 0, "{}", done.code);
    assert!(done.stderr.contains(&address), "{}", done.stderr);
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let (lab, mut server) = lab();
    server.library = "moveis".to_owned();
    server.write(&lab);
    let done = run(&["-c", "server.toml", "--log-target", "stderr"], &lab.path(""));
    assert!([NO_INPUT, CONFIG].contains(&done.code), "{}: {}", done.code, done.stderr);
    assert!(done.stderr.contains("moveis"), "{}", done.stderr);
}

#[test]
fn the_log_level_of_the_command_line_wins() {
    let (lab, _) = lab();
    let mut command = Command::new(BINARY);
    command.arg("-c").arg(lab.path("server.toml"));
    command.args(["--log-target", "stderr", "--log-level", "error"]);
    let mut daemon = Daemon::run(command);
    eventually(SOON, "the control socket", || lab.path("server.sock").exists().then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().code(), Some(0));
    assert_eq!(daemon.texts(|_| true), Vec::<String>::new(), "the file says debug");
}

#[test]
fn a_stop_is_clean_and_leaves_no_socket() {
    let (lab, _) = lab();
    let mut daemon = Daemon::start(&lab.path("server.toml"));
    let kind = fs::metadata(lab.path("server.sock")).expect("the control socket").file_type();
    assert!(kind.is_socket());
    let mode = fs::metadata(lab.path("server.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "the control socket is not for everybody: {mode:o}");
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    viewer.block();
    let began = Instant::now();
    daemon.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(!lab.path("server.sock").exists());
}

#[test]
fn sigint_stops_like_sigterm() {
    let (lab, _) = lab();
    let mut daemon = Daemon::start(&lab.path("server.toml"));
    daemon.signal("INT");
    assert_eq!(daemon.wait_exit().code(), Some(0));
    daemon.wait_text("stopped");
}

#[test]
fn a_stop_lets_the_block_that_is_under_way_through() {
    let lab = Lab::new();
    let wide = lab.movie("wide", 4, 6 << 20);
    let mut daemon = Daemon::start(&Server::new(&lab, &["wide"]).write(&lab));
    let viewer = Viewer::narrow(&lab);
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    let mut stream = viewer.accept(SOON).expect("a block");
    daemon.signal("TERM");
    let mut block = Vec::new();
    let whole = std::io::Read::read_to_end(&mut stream, &mut block);
    // Either it is whole, or it is visibly broken; never short and clean.
    assert!(whole.is_err() || wide.find(&block).is_some(), "{} bytes", block.len());
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_no_hindrance() {
    let (lab, _) = lab();
    let mut daemon = Daemon::start(&lab.path("server.toml"));
    daemon.kill();
    assert!(lab.path("server.sock").exists(), "kill -9 leaves it");
    let daemon = Daemon::start(&lab.path("server.toml"));
    assert_eq!(count(daemon.tv(), 0), 0);
}

#[test]
fn a_hundred_movies_do_not_make_the_start_slow() {
    let lab = Lab::new();
    let movies: Vec<_> = (0..100).map(|i| lab.movie(&format!("m{i}"), 20, 200)).collect();
    let mut setup = Server::new(&lab, &["m7"]);
    setup.channels[0].playlist = movies.iter().map(|movie| movie.name.clone()).collect();
    let began = Instant::now();
    let daemon = Daemon::start(&setup.write(&lab));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let block = viewer.block();
    assert!(movies.iter().any(|movie| movie.find(&block).is_some()));
}

#[test]
fn an_idle_daemon_sleeps() {
    let (lab, _) = lab();
    let daemon = Daemon::start(&lab.path("server.toml"));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    let before = daemon.cpu();
    viewer.blocks_for(LASTS * 3);
    let used = daemon.cpu().saturating_sub(before);
    assert!(used < Duration::from_millis(300), "{used:?} for three blocks to one viewer");
    eventually(SOON, "the status", || http::status(daemon.http())["node"]["loop_turns"].as_u64());
}

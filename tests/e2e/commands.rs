//! The three-byte commands of the tv protocol, as any program of the network may send them.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{self, Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::viewer::{Viewer, command, count, last_command};
use crate::harness::{SOON, eventually, http, skip, works};

/// A lab whose server shows a clip on each of so many channels.
fn lab_with_channels(channels: usize) -> (Lab, Movie, Daemon) {
    let lab = Lab::new();
    let clip = lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &vec!["clip"; channels]).write(&lab));
    (lab, clip, daemon)
}

/// Checks that these callbacks bring blocks of the clip, one after the other, from `first` on.
fn follow(viewer: &Viewer, clip: &Movie, blocks: usize) {
    let mut index = clip.index_of(&viewer.block());
    for _ in 1..blocks {
        let next = clip.index_of(&viewer.block());
        clip.assert_follows(index, next);
        index = next;
    }
}

#[test]
fn a_joiner_is_told_10_and_then_gets_the_blocks_of_the_files_in_order() {
    let (lab, clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::new(&lab);
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    follow(&viewer, &clip, 5);
}

#[test]
fn what_follows_the_three_bytes_is_ignored() {
    let (lab, clip, daemon) = lab_with_channels(1);
    for tail in ["\n", "\r\n", " 100", &"x".repeat(900)] {
        let viewer = Viewer::new(&lab);
        assert_eq!(viewer.command(daemon.tv(), &format!("100{tail}")), "");
        assert_eq!(viewer.reply(), "10", "after {tail:?}");
        clip.index_of(&viewer.block());
        assert_eq!(viewer.command(daemon.tv(), &format!("130{tail}")), "1", "after {tail:?}");
        assert_eq!(viewer.command(daemon.tv(), &format!("120{tail}")), "");
        assert_eq!(count(daemon.tv(), 0), 0);
    }
}

#[test]
fn a_command_may_end_its_side_of_the_connection() {
    let (lab, clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::new(&lab);
    assert_eq!(last_command(daemon.tv(), viewer.address, b"100"), b"");
    assert_eq!(viewer.reply(), "10");
    assert_eq!(last_command(daemon.tv(), viewer.address, b"130"), b"1");
    follow(&viewer, &clip, 2);
}

#[test]
fn netcat_joins_a_channel_for_its_address() {
    if !works("sh", &["-c", "command -v nc"]) {
        return skip("nc is not installed");
    }
    let (lab, clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::new(&lab);
    let (server, from) = (daemon.tv(), viewer.address);
    let line = format!("printf 100 | nc -w 5 -s {from} {} {}", server.ip(), server.port());
    let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    assert_eq!(output.stdout, b"", "a join is answered by callback only");
    assert_eq!(viewer.reply(), "10");
    follow(&viewer, &clip, 2);
}

#[test]
fn the_list_is_written_as_python_writes_it() {
    let (lab, _clip, daemon) = lab_with_channels(2);
    let asker = lab::address();
    assert_eq!(command(daemon.tv(), asker, b"110"), b"[]");
    let first = Viewer::joined(&lab, daemon.tv(), 0);
    let one = format!("['{}']", first.address);
    assert_eq!(String::from_utf8(command(daemon.tv(), asker, b"110")).unwrap(), one);
    let second = Viewer::joined(&lab, daemon.tv(), 0);
    let two = format!("['{}', '{}']", first.address, second.address);
    assert_eq!(String::from_utf8(command(daemon.tv(), asker, b"110")).unwrap(), two);
    assert_eq!(command(daemon.tv(), asker, b"111"), b"[]");
}

#[test]
fn the_count_is_plain_decimal() {
    let (lab, _clip, daemon) = lab_with_channels(2);
    let asker = lab::address();
    assert_eq!(command(daemon.tv(), asker, b"130"), b"0");
    let viewers: Vec<_> = (0..11).map(|_| Viewer::joined(&lab, daemon.tv(), 0)).collect();
    assert_eq!(command(daemon.tv(), asker, b"130"), b"11");
    assert_eq!(command(daemon.tv(), asker, b"131"), b"0");
    drop(viewers);
}

#[test]
fn leaving_is_not_answered_and_ends_the_blocks() {
    let (lab, clip, daemon) = lab_with_channels(2);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    follow(&viewer, &clip, 2);
    assert_eq!(viewer.command(daemon.tv(), "121"), "", "another channel's leave");
    assert_eq!(count(daemon.tv(), 0), 1, "it only leaves the channel it names");
    assert_eq!(viewer.command(daemon.tv(), "120"), "");
    assert_eq!(count(daemon.tv(), 0), 0);
    // A block that was under way may still arrive; after it nothing does.
    viewer.blocks_for(lab::LASTS / 5);
    assert_eq!(viewer.blocks_for(lab::LASTS * 3).len(), 0, "blocks after leaving");
}

#[test]
fn leaving_a_channel_that_one_is_not_in_does_nothing() {
    let (lab, clip, daemon) = lab_with_channels(1);
    let stranger = lab::address();
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    assert_eq!(command(daemon.tv(), stranger, b"120"), b"");
    assert_eq!(count(daemon.tv(), 0), 1);
    follow(&viewer, &clip, 2);
}

#[test]
fn joining_another_channel_leaves_the_first() {
    let lab = Lab::new();
    let (first, second) = (lab.movie("first", 6, 20_000), lab.movie("second", 5, 20_000));
    let daemon = Daemon::start(&Server::new(&lab, &["first", "second"]).write(&lab));
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    first.index_of(&viewer.block());
    assert_eq!(viewer.command(daemon.tv(), "101"), "");
    // The block of the old channel that was under way may come before the answer.
    let answer =
        eventually(SOON, "the second 10", || Some(viewer.block()).filter(|b| b.len() == 2));
    assert_eq!(answer, b"10");
    assert_eq!((count(daemon.tv(), 0), count(daemon.tv(), 1)), (0, 1));
    follow(&viewer, &second, 3);
}

#[test]
fn joining_twice_is_being_in_it_once() {
    let (lab, clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&viewer.block());
    assert_eq!(viewer.command(daemon.tv(), "100"), "");
    let answer =
        eventually(SOON, "the second 10", || Some(viewer.block()).filter(|b| b.len() == 2));
    assert_eq!(answer, b"10");
    assert_eq!(count(daemon.tv(), 0), 1);
    follow(&viewer, &clip, 3);
}

#[test]
fn a_full_channel_answers_00_and_leaves_the_asker_in_none() {
    let lab = Lab::new();
    let clip = lab.clip();
    let mut server = Server::new(&lab, &["clip", "clip"]);
    server.channels[1].max_clients = 1;
    let daemon = Daemon::start(&server.write(&lab));
    let inside = Viewer::joined(&lab, daemon.tv(), 1);
    let asker = Viewer::joined(&lab, daemon.tv(), 0);
    clip.index_of(&asker.block());
    assert_eq!(asker.command(daemon.tv(), "101"), "");
    let answer = eventually(SOON, "the 00", || Some(asker.block()).filter(|b| b.len() == 2));
    assert_eq!(answer, b"00");
    assert_eq!((count(daemon.tv(), 0), count(daemon.tv(), 1)), (0, 1));
    follow(&inside, &clip, 2);
    assert_eq!(asker.blocks_for(lab::LASTS * 2).len(), 0, "blocks after 00");
    inside.command(daemon.tv(), "121");
    assert_eq!(asker.join(daemon.tv(), 1), "10", "there is room again");
}

#[test]
fn a_channel_that_does_not_exist_answers_00() {
    let (lab, clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::new(&lab);
    assert_eq!(viewer.join(daemon.tv(), 1), "00");
    assert_eq!(viewer.join(daemon.tv(), 9), "00");
    assert_eq!(viewer.join(daemon.tv(), 0), "10");
    clip.index_of(&viewer.block());
    assert_eq!(viewer.command(daemon.tv(), "107"), "");
    let answer = eventually(SOON, "the 00", || Some(viewer.block()).filter(|b| b.len() == 2));
    assert_eq!(answer, b"00");
    assert_eq!(count(daemon.tv(), 0), 0, "it is in no channel now");
}

#[test]
fn unknown_commands_get_no_bytes_and_no_callback() {
    let (lab, _clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::new(&lab);
    let unknown: [&[u8]; 12] = [
        b"990",
        b"000",
        b"140",
        b"abc",
        b"10x",
        b"1o0",
        b"   ",
        b"-10",
        b"119",
        b"139",
        b"129",
        b"\xff\xfe\xfd",
    ];
    for bytes in unknown {
        assert_eq!(command(daemon.tv(), viewer.address, bytes), b"", "{bytes:?}");
    }
    assert!(viewer.block_within(Duration::from_millis(200)).is_none(), "a callback for nothing");
    assert_eq!(count(daemon.tv(), 0), 0);
}

#[test]
fn only_allowed_addresses_are_dialled_back() {
    let lab = Lab::new();
    let clip = lab.clip();
    let (inside, outside) = (lab::address(), lab::address());
    let mut server = Server::new(&lab, &["clip"]);
    server.callback_allow = format!("[\"{inside}/32\"]");
    let daemon = Daemon::start(&server.write(&lab));
    let outside = Viewer::at(outside, lab.callback_port);
    assert_eq!(outside.command(daemon.tv(), "100"), "");
    assert!(outside.block_within(Duration::from_millis(500)).is_none(), "dialled all the same");
    assert_eq!(outside.command(daemon.tv(), "130"), "0", "it may ask, and is not listed");
    let inside = Viewer::at(inside, lab.callback_port);
    assert_eq!(inside.join(daemon.tv(), 0), "10");
    follow(&inside, &clip, 2);
}

#[test]
fn a_client_is_its_address_whatever_its_port() {
    let (lab, _clip, daemon) = lab_with_channels(1);
    let viewer = Viewer::joined(&lab, daemon.tv(), 0);
    assert_eq!(command(daemon.tv(), viewer.address, b"120"), b"", "from a new port");
    assert_eq!(count(daemon.tv(), 0), 0);
    assert_ne!(viewer.address, Ipv4Addr::LOCALHOST);
}

#[test]
fn the_protocol_and_the_status_document_agree_on_the_viewers() {
    let (lab, _clip, daemon) = lab_with_channels(2);
    let viewers: Vec<_> = (0..3).map(|_| Viewer::joined(&lab, daemon.tv(), 1)).collect();
    let status = http::status(daemon.http());
    assert_eq!(status["channels"][0]["viewers_tv"], 0);
    assert_eq!(status["channels"][1]["viewers_tv"], 3);
    assert_eq!(status["tv"]["clients"], 3);
    assert_eq!(status["tv"]["joins"], 3);
    drop(viewers);
}

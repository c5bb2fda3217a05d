//! A child that subscribes, shows that it lives, and reads nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use vidstreamd::mesh::wire::{Message, NodeId};

use crate::harness::mesh::{Layout, Mesh};
use crate::harness::peer::{self, BEAT, Peer};

/// By then a child that takes nothing is cut off: queues fill, then three seconds.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(12);
/// What a stalled child may cost its parent.
const MEMORY: u64 = 4 << 20;

#[test]
fn a_stalled_child_is_cut_off_and_delays_nobody() {
    let lasts = Duration::from_millis(500);
    let layout = Layout { relays: 0, clients: 4, lasts, bytes: 300_000, ..Layout::default() };
    let mesh = Mesh::start(layout);
    let nodes: Vec<_> = mesh.members().map(|m| &m.daemon).chain([&mesh.server]).collect();
    let before: Vec<u64> = nodes.iter().map(|node| memory(node.pid())).collect();

    let (control, place) = peer::join(mesh.root, NodeId(0xdead), (0, 0));
    let alive = keep_alive(control);
    let hello = peer::placed_hello(NodeId(0xdead), &place);
    let parents = peer::parents(&place);
    assert!(!parents.is_empty(), "it was given parents: {place:?}");
    let stalled: Vec<_> = parents
        .iter()
        .map(|(parent, stripes)| {
            let mut link = Peer::dial_narrow(*parent, &hello);
            link.say(&peer::subscribe(*stripes, place.from));
            let accepted = link.wait(|said| matches!(said, Message::Accept(_)).then_some(()));
            accepted.expect("a child like any other");
            thread::spawn(move || beat_until_cut(link))
        })
        .collect();
    for cut in stalled {
        cut.join().expect("it is cut off");
    }
    for (node, before) in nodes.iter().zip(before) {
        let grown = memory(node.pid()).saturating_sub(before);
        assert!(grown < MEMORY, "process {} grew by {grown} bytes", node.pid());
    }
    mesh.assert_nothing_missed();
    drop(mesh);
    alive.join().expect("the control link ends with the server");
}

/// Beats and takes nothing until the other end has had enough.
fn beat_until_cut(mut link: Peer) {
    let began = Instant::now();
    while link.beat() {
        assert!(began.elapsed() < CUT_OFF_WITHIN, "not cut off");
        thread::sleep(BEAT);
    }
}

/// Answers on a control link until it ends.
fn keep_alive(mut control: Peer) -> thread::JoinHandle<()> {
    let mut writer = control.writer();
    thread::spawn(move || {
        while let Some((message, _)) = control.next() {
            if matches!(message, Message::Beat(_)) && !writer.beat() {
                return;
            }
        }
    })
}

/// Bytes of a process that are its own: no maps of files.
fn memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

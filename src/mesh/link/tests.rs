//! Frames that come in any pieces, and when links are looked at.

use core::time::Duration;

use super::*;
use crate::base::time::{Now, Wall};
use crate::mesh::wire::tests::block;
use crate::mesh::wire::{Gone, Stripes};

const START: Mono = Mono(7_000_000_000);

fn now(mono: Mono) -> Now {
    Now { mono, wall: Wall(0) }
}

/// A link that is up, which others made or this end.
fn up(looks: bool, dialled: bool) -> (Cx, Links, Conn) {
    let (mut cx, mut links) = (Cx::new(now(START), 1), Links::new(START, looks));
    let hello = Hello { node: NodeId(9), epoch: None, ticket: [0; 16], channel: "one".into() };
    let conn = if dialled {
        links.dial(&mut cx, SocketAddr::from(([127, 0, 0, 1], 9)), &hello)
    } else {
        links.accept(&mut cx, None)
    };
    let conn = conn.unwrap();
    let frame = Message::Hello(hello).emit();
    let (first, rest) = frame.split_at(BEAT_BYTES);
    assert_eq!(links.data(&mut cx, conn, first), None);
    assert_eq!(asked(&mut cx), Some(rest.len()));
    assert!(matches!(links.data(&mut cx, conn, rest), Some(News::Hello(_))));
    assert_eq!(asked(&mut cx), Some(BEAT_BYTES));
    (cx, links, conn)
}

/// Bytes that it wants from now on; none when that is as before.
fn asked(cx: &mut Cx) -> Option<usize> {
    let take = |output: &Output| match output {
        Output::Take { bytes, .. } => Some(*bytes as usize),
        _ => None,
    };
    let last = cx.out.iter().filter_map(take).next_back();
    cx.out.clear();
    last
}

/// All that it makes of some bytes.
fn told(cx: &mut Cx, links: &mut Links, conn: Conn, bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    let mut next = links.data(cx, conn, bytes);
    while let Some(news) = next {
        let News::Message(message) = news else { panic!("{news:?}") };
        all.push(message);
        next = links.more(cx, conn);
    }
    all
}

#[test]
fn frames_come_in_any_pieces() {
    let gone = |seq| Message::Gone(Gone { seq, stripe: 3 });
    let beat = wire::Beat { newest: 5, late: Stripes::EMPTY, paths: Vec::new() };
    let all = [Message::Leaving, gone(1), Message::Beat(beat), gone(2), Message::Leaving];
    let bytes: Vec<u8> = all.iter().flat_map(Message::emit).collect();
    // What arrives at a time, if not all that was asked for.
    for most in [1, 2, 7, 8, 9, BEAT_BYTES] {
        let (mut cx, mut links, conn) = up(true, false);
        let (mut left, mut want, mut heard) = (&bytes[..], BEAT_BYTES, Vec::new());
        while !left.is_empty() {
            let (some, rest) = left.split_at(want.min(most).min(left.len()));
            heard.extend(told(&mut cx, &mut links, conn, some));
            (left, want) = (rest, asked(&mut cx).unwrap_or(want));
            assert!((1..=BEAT_BYTES).contains(&want));
        }
        assert_eq!(heard, all, "{most} bytes at a time");
    }
}

#[test]
fn no_byte_behind_the_head_of_a_block_is_asked_for() {
    let (mut cx, mut links, conn) = up(true, false);
    // The shortest frame before it, so that as much of it as can be comes with that.
    let bytes = [Message::Leaving.emit(), Message::Block(block()).emit()].concat();
    let (first, rest) = bytes.split_at(BEAT_BYTES);
    assert_eq!(told(&mut cx, &mut links, conn, first), [Message::Leaving]);
    assert_eq!(asked(&mut cx), Some(rest.len()));
    assert!(matches!(links.data(&mut cx, conn, rest), Some(News::Block(_))));
    assert!(cx.out.is_empty(), "its owner says where the rest goes: {:?}", cx.out);
}

#[test]
fn bytes_behind_the_head_of_a_block_that_nobody_asked_for_are_nonsense() {
    let (mut cx, mut links, conn) = up(true, false);
    let bytes = [&Message::Block(block()).emit()[..], &[0]].concat();
    assert!(matches!(links.data(&mut cx, conn, &bytes), Some(News::Bad(_))));
}

#[test]
fn a_member_looks_at_its_links_and_a_root_has_timers() {
    for looks in [true, false] {
        let (mut cx, mut links, conn) = up(looks, false);
        assert_eq!(cx.wheel.is_empty(), looks);
        let half = Duration::from_millis(500);
        assert_eq!(links.due(START.after(half)).contains(&conn), looks);
        cx.now = now(START.after(half));
        let idle = links.timer(&mut cx, conn, Use::default());
        assert_eq!(idle, Pulse::Quiet, "nothing is due on a new link");
        assert_eq!(cx.wheel.is_empty(), looks);
        links.hasten(&mut cx, conn);
        let next = START.after(half * 2);
        assert_eq!(links.due(next).contains(&conn), looks, "its use has changed");
        let timer = cx.wheel.next();
        assert_eq!(timer, Some(next).filter(|_| !looks));
    }
}

#[test]
fn who_sends_nothing_else_speaks_often_enough() {
    let (idle, child) = (limits::MESH_IDLE_SILENCE_MAX, limits::MESH_CHILD_SILENCE_MAX);
    let uses = [
        (false, Use { feeds: true, ..Use::default() }, limits::MESH_SILENCE_MAX),
        (false, Use::default(), idle),
        (true, Use::default(), child),
        (true, Use { fed: true, ..Use::default() }, child),
    ];
    for looks in [true, false] {
        for (dialled, used, patience) in uses {
            // It says something else at any moment, and then nothing.
            for after in (0..4_000).step_by(130) {
                let (mut cx, mut links, conn) = up(looks, dialled);
                links.sent(START, conn, links.queued(conn));
                let spoke = START.after(Duration::from_millis(after));
                let mut said = false;
                for tick in 1..40 {
                    cx.now = now(START.after(limits::MESH_TICK_EVERY * tick));
                    if !said && cx.now.mono >= spoke {
                        links.say(&mut cx, conn, &Message::Leaving);
                        said = true;
                        links.sent(cx.now.mono, conn, 8);
                    }
                    links.all.get_mut(conn.0).unwrap().heard = cx.now.mono;
                    let mut due = links.due(cx.now.mono);
                    due.extend(cx.wheel.pop_due(cx.now.mono).map(|_| conn));
                    let quiet = cx.now.mono.since(links.get(conn).unwrap().spoke);
                    assert!(quiet < patience, "{used:?}: {quiet:?} of silence, {after} ms");
                    if !due.is_empty() && links.timer(&mut cx, conn, used) == Pulse::Beat {
                        links.say(&mut cx, conn, &Message::Leaving);
                        links.sent(cx.now.mono, conn, 8);
                    }
                }
            }
        }
    }
}

#[test]
fn payloads_are_counted_as_they_are_taken() {
    for seed in 0..20 {
        let mut rng = crate::base::rng::Rng::new(seed);
        let (mut cx, mut links, conn) = up(true, false);
        links.sent(START, conn, links.queued(conn));
        let mut all: VecDeque<u64> = VecDeque::new();
        for _ in 0..500 {
            if rng.below(2) == 0 && all.len() < 12 {
                let bytes = 1 + rng.below(9);
                let payload = Payload::bytes(vec![0; usize::try_from(bytes).unwrap()]);
                links.send(&mut cx, conn, payload);
                all.push_back(bytes);
            } else {
                let mut taken = rng.below(12).min(all.iter().sum());
                links.sent(START, conn, taken);
                while let Some(first) = all.front_mut().filter(|_| taken > 0) {
                    let some = taken.min(*first);
                    (*first, taken) = (*first - some, taken - some);
                    all.pop_front_if(|left| *left == 0);
                }
            }
            let link = links.get(conn).unwrap();
            assert_eq!((link.payloads(), link.queued()), (all.len(), all.iter().sum()), "{seed}");
        }
    }
}

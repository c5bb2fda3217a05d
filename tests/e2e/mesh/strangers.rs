//! Who has no business at the mesh port, or says what makes no sense there: told so, closed, and no
//! harm to those who have.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use vidstreamd::mesh::wire::{Hello, Join, Message, NodeId, Refused, Stripes};

use crate::harness::lab::Random;
use crate::harness::mesh::{Layout, Mesh};
use crate::harness::peer::{self, Peer};
use crate::harness::{SOON, eventually};

/// A hello must be there within three seconds.
const HELLO_WITHIN: Duration = Duration::from_secs(3);
/// Connections that say nothing.
const MANY: usize = 1_000;
const ME: NodeId = NodeId(0x57_1234);

fn small() -> Layout {
    Layout { relays: 0, clients: 2, root_slots: 2, bytes: 30_000, ..Layout::default() }
}

/// What comes back for these bytes until the other end closes, and how long that took.
fn answer_to(port: SocketAddr, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(port).expect("the mesh port takes connections");
    stream.set_read_timeout(Some(SOON)).unwrap();
    // It may be closed before all is written, and reset with bytes unread: both are an end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(why) => panic!("still open after {:?}: {why}", began.elapsed()),
        }
    }
    (answer, began.elapsed())
}

/// The reason with which a node that says this hello is turned away.
fn turned_away(port: SocketAddr, hello: &Hello) -> Option<String> {
    let mut peer = Peer::dial(port, hello);
    peer.wait(|message| match message {
        Message::Full(denial) => Some(denial.reason.clone()),
        _ => None,
    })
}

#[test]
fn who_does_not_belong_to_the_channel_is_told_so_and_closed() {
    let mesh = Mesh::start(small());
    let (_control, place) = peer::join(mesh.root, ME, (0, 0));
    let right = peer::placed_hello(ME, &place);
    for port in [mesh.root, mesh.clients[0].port] {
        let reason = turned_away(port, &Hello { channel: "9".to_owned(), ..right.clone() });
        assert!(reason.as_ref().is_some_and(|r| r.contains("channel")), "{reason:?}");
        let reason = turned_away(port, &Hello { epoch: Some(place.epoch + 1), ..right.clone() });
        assert!(reason.as_ref().is_some_and(|r| r.contains("run")), "{reason:?}");
        assert_eq!(refused(port, &Hello { ticket: [7; 16], ..right.clone() }), Refused::Ticket);
    }
    mesh.assert_nothing_missed();
}

/// Why a subscription under this hello is refused.
fn refused(port: SocketAddr, hello: &Hello) -> Refused {
    let mut peer = Peer::dial(port, hello);
    peer.say(&peer::subscribe(Stripes::one(0), 0));
    let refused = peer.wait(|message| match message {
        Message::Refuse(refuse) => Some(refuse.why),
        Message::Accept(_) => panic!("accepted"),
        _ => None,
    });
    refused.expect("a refusal with its reason")
}

#[test]
fn what_is_no_frame_is_closed_at_once() {
    let mesh = Mesh::start(small());
    let hello = Message::Hello(peer::hello(ME)).emit();
    let change = |at: usize, to: u8| {
        let mut bytes = hello.clone();
        bytes[at] = to;
        bytes
    };
    let long = [&hello[..4], &u32::MAX.to_be_bytes(), &hello[8..]].concat();
    let cases = [
        ("magic", change(0, b'G')),
        ("version", change(2, 99)),
        ("kind", change(3, 200)),
        ("length", long),
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a join before the hello", a_join()),
        ("a second hello", [hello.clone(), hello.clone()].concat()),
    ];
    for port in [mesh.root, mesh.clients[0].port] {
        for (what, bytes) in &cases {
            let (_, took) = answer_to(port, bytes);
            assert!(took < HELLO_WITHIN, "{what}: closed after {took:?}");
        }
    }
    mesh.assert_nothing_missed();
}

fn a_join() -> Vec<u8> {
    let (forwards, held) = (Stripes::EMPTY, Vec::new());
    Message::Join(Join { port: 0, slots: 0, newest: None, forwards, held, part: false }).emit()
}

#[test]
fn half_a_hello_is_waited_for_three_seconds() {
    let mesh = Mesh::root(small());
    let hello = Message::Hello(peer::hello(ME)).emit();
    for part in [&hello[..0], &hello[..5], &hello[..hello.len() - 1]] {
        let (_, took) = answer_to(mesh.root, part);
        let late = took.saturating_sub(HELLO_WITHIN);
        let early = HELLO_WITHIN.saturating_sub(took);
        assert!(
            early < Duration::from_millis(50) && late < Duration::from_secs(1),
            "closed after {took:?}"
        );
    }
}

#[test]
fn random_bytes_end_their_connection_and_nothing_else() {
    let mut mesh = Mesh::start(small());
    let mut random = Random::from_name("random_bytes_end_their_connection_and_nothing_else");
    let hello = Message::Hello(peer::hello(ME)).emit();
    for round in 0..200 {
        let mut bytes = if round % 2 == 0 { Vec::new() } else { hello.clone() };
        // Every other frame has a right head, so that its fields are looked at.
        if round % 4 > 1 {
            let kind = 1 + random.below(15) as u8;
            bytes.extend_from_slice(&[b'V', b'M', 1, kind, 0, 0, 0, random.below(200) as u8]);
        }
        let length = 1 + random.below(600) as usize;
        bytes.extend_from_slice(&random.bytes(length));
        let port = if round % 3 == 0 { mesh.clients[0].port } else { mesh.root };
        let mut stream = TcpStream::connect(port).expect("the mesh port takes connections");
        let _ = stream.write_all(&bytes);
    }
    assert!(mesh.server.is_alive() && mesh.clients[0].daemon.is_alive());
    mesh.assert_nothing_missed();
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_nobody_out() {
    let mesh = Mesh::start(small());
    let before = mesh.clients[0].daemon.descriptors();
    let port = mesh.clients[0].port;
    let held: Vec<_> = (0..MANY).filter_map(|_| TcpStream::connect(port).ok()).collect();
    assert!(held.len() > MANY / 2, "{} connections stand", held.len());
    let open = mesh.clients[0].daemon.descriptors() - before;
    assert!(open < 200, "{open} of them are kept");
    mesh.assert_nothing_missed();
    eventually(SOON, "their descriptors are given back", || {
        (mesh.clients[0].daemon.descriptors() <= before + 8).then_some(())
    });
    // And one that does speak is heard.
    let mut peer = Peer::dial(mesh.clients[0].port, &peer::hello(ME));
    assert!(peer.wait(|said| matches!(said, Message::Hello(_)).then_some(())).is_some());
    drop(held);
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_no_member_from_its_root() {
    let mut mesh = Mesh::root(small());
    let held: Vec<_> = (0..MANY).filter_map(|_| TcpStream::connect(mesh.root).ok()).collect();
    assert!(held.len() > MANY / 2, "{} connections stand", held.len());
    mesh.add_members();
    mesh.settle();
    mesh.assert_nothing_missed();
}

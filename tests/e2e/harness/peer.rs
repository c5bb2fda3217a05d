//! Hand-written nodes of a mesh, which say what no right node says. The only part of the harness
//! that uses the daemon's library: its frames. Who says what, and when, is written here anew.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use vidstreamd::mesh::wire::{
    Beat, Hello, Join, Message, NodeId, Parsed, Place, Stripes, Subscribe, parse,
};

use super::SOON;

/// One end of a link.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    inbox: Vec<u8>,
}

impl Peer {
    /// Connects and says hello.
    pub(crate) fn dial(to: SocketAddr, hello: &Hello) -> Self {
        let mut peer = Self::of(TcpStream::connect(to).expect("the mesh port takes connections"));
        peer.say(&Message::Hello(hello.clone()));
        peer
    }

    /// The same with hardly any room for what is not read.
    pub(crate) fn dial_narrow(to: SocketAddr, hello: &Hello) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&to.into()).expect("the mesh port takes connections");
        let mut peer = Self::of(socket.into());
        peer.say(&Message::Hello(hello.clone()));
        peer
    }

    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, inbox: Vec::new() }
    }

    /// The same link for another thread, which only writes.
    pub(crate) fn writer(&self) -> Self {
        Self::of(self.stream.try_clone().expect("a descriptor"))
    }

    /// Says something; whether the other end is still there is seen by reading.
    pub(crate) fn say(&mut self, message: &Message) {
        let _ = self.stream.write_all(&message.emit());
    }

    /// Whether a sign of life could be written.
    pub(crate) fn beat(&mut self) -> bool {
        let beat = Beat { newest: 0, late: Stripes::EMPTY, paths: Vec::new() };
        self.stream.write_all(&Message::Beat(beat).emit()).is_ok()
    }

    /// The next message, and the bytes behind it when it is a head. None when the link is over.
    pub(crate) fn next(&mut self) -> Option<(Message, Vec<u8>)> {
        loop {
            if let Some(Parsed { message, used }) = parse(&self.inbox).expect("a right frame") {
                self.inbox.drain(..used);
                let length = match &message {
                    Message::Block(head) => (head.range.end - head.range.start) as usize,
                    _ => 0,
                };
                while self.inbox.len() < length {
                    self.read()?;
                }
                return Some((message, self.inbox.drain(..length).collect()));
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        self.inbox.extend_from_slice(&buffer[..count]);
        Some(())
    }

    /// Skips messages until there is one as wanted.
    pub(crate) fn wait<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> Option<T> {
        loop {
            let (message, _) = self.next()?;
            if let Some(found) = wanted(&message) {
                return Some(found);
            }
        }
    }
}

/// The hello of a node that takes part in nothing yet.
pub(crate) fn hello(node: NodeId) -> Hello {
    Hello { node, epoch: None, ticket: [0; 16], channel: "0".to_owned() }
}

/// The hello of a node that has a place.
pub(crate) fn placed_hello(node: NodeId, place: &Place) -> Hello {
    Hello { epoch: Some(place.epoch), ticket: place.ticket, ..hello(node) }
}

/// Joins at a root; the control link and the first place.
pub(crate) fn join(root: SocketAddr, node: NodeId, (port, slots): (u16, u16)) -> (Peer, Place) {
    let mut control = Peer::dial(root, &hello(node));
    let (forwards, held) = (Stripes::EMPTY, Vec::new());
    control.say(&Message::Join(Join { port, slots, newest: None, forwards, held, part: false }));
    let place = control.wait(|message| match message {
        Message::Place(place) => Some(place.clone()),
        Message::Wait(denial) | Message::Full(denial) => panic!("not taken in: {denial:?}"),
        _ => None,
    });
    (control, place.expect("a place"))
}

/// Where a place sends its member for what.
pub(crate) fn parents(place: &Place) -> BTreeMap<SocketAddr, Stripes> {
    let mut parents: BTreeMap<_, Stripes> = BTreeMap::new();
    for (stripe, parent) in place.parents.iter().enumerate() {
        let Some(parent) = parent else { continue };
        let address = place.peers[usize::from(*parent)].address;
        parents.entry(address).or_default().add(stripe);
    }
    parents
}

/// The request for stripes from a block on.
pub(crate) fn subscribe(stripes: Stripes, first: u64) -> Message {
    let stripes = stripes.iter().map(|stripe| (stripe as u8, 0)).collect();
    Message::Subscribe(Subscribe { stripes, first, instead: None })
}

/// Between two signs of life of a hand-written node.
pub(crate) const BEAT: Duration = Duration::from_millis(400);

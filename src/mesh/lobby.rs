//! Where links wait that others made until they have said who they are and which channel they want:
//! one mesh port carries the meshes of all channels of a node. Bounds whoever has proved nothing
//! yet. Called by the node; knows no mesh.
//!
//! | link | told | becomes |
//! |---|---|---|
//! | waiting | a hello | a [`Guest`], for [`super::Mesh::admit`] or [`Lobby::refuse`] |
//! | | any other frame, a long frame, 3 s over | closed |

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Payload};
use crate::base::text::escaped;
use crate::mesh::complaints::Complaints;
use crate::mesh::event::Event;
use crate::mesh::link::{Link, Links, News};
use crate::mesh::wire::{Denial, Hello, Message};

/// The links that have not said hello.
#[derive(Debug, Default)]
pub struct Lobby {
    links: Links,
    events: VecDeque<Event>,
    complaints: Complaints,
    nonsense: u64,
}

/// A link that has: to be admitted or refused.
#[derive(Debug)]
pub struct Guest {
    pub(super) conn: Conn,
    pub(super) link: Link,
    pub(super) hello: Hello,
}

impl Guest {
    /// The channel whose mesh it wants.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.hello.channel
    }
}

impl Lobby {
    /// Somebody connected to the mesh's port; not taken when too many wait already.
    pub fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        let waiting = peer.map_or(0, |peer| self.links.unproven(peer.ip()));
        if waiting >= limits::MESH_LOBBY_ADDRESS_MAX {
            let why = format!("{waiting} links from there have not said hello; no more for now");
            self.complain(cx, peer, why);
        } else if self.links.accepted() < limits::MESH_LOBBY_MAX {
            self.links.accept(cx, peer);
        }
    }

    /// Whether a link still waits here.
    #[must_use]
    pub fn has(&self, conn: Conn) -> bool {
        // Asked of each link of the node before anything is done for it; nearly never one is here.
        self.links.accepted() > 0 && self.links.get(conn).is_some()
    }

    /// Bytes arrived on a link that waits here.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) -> Option<Guest> {
        match self.links.data(cx, conn, bytes)? {
            News::Hello(hello) => {
                let link = self.links.take(cx.now.mono, conn)?;
                Some(Guest { conn, link, hello })
            }
            News::Bad(why) => {
                self.turn_away(cx, conn, why);
                None
            }
            News::Message(_) | News::Block(_) => {
                self.turn_away(cx, conn, "a message before any hello".to_owned());
                None
            }
        }
    }

    /// No mesh here is the one that is wanted: says so and closes. `ours` are the channels here.
    pub fn refuse(&mut self, cx: &mut Cx, guest: &Guest, ours: &[&str]) {
        let its = escaped(guest.hello.channel.as_bytes());
        let reason = match ours {
            [] => "this node has no part in a mesh yet".to_owned(),
            [one] => format!("this is channel {one:?}, not \"{its}\""),
            [first, .., last] => format!("these are channels {first} to {last}, not \"{its}\""),
        };
        self.turn_away(cx, guest.conn, reason);
    }

    fn turn_away(&mut self, cx: &mut Cx, conn: Conn, why: String) {
        let address = cx.peers.get(conn.0).and_then(|peer| peer.addr);
        let denial = Denial { reason: why.clone(), roots: Vec::new() };
        cx.send(conn, Payload::bytes(Message::Full(denial).emit()));
        cx.close(conn, End::Flushed);
        self.links.closed(cx.now.mono, conn);
        self.complain(cx, address, why);
    }

    fn complain(&mut self, cx: &Cx, address: Option<SocketAddr>, why: String) {
        self.nonsense += 1;
        if self.complaints.may_say(cx.now.mono, address) {
            self.events.push_back(Event::Nonsense { address, why });
        }
    }

    /// The other end sends no more, or its time is over.
    pub fn end(&mut self, cx: &mut Cx, conn: Conn) {
        self.links.close(cx, conn, End::Reset);
    }

    /// A connection is gone.
    pub fn closed(&mut self, cx: &Cx, conn: Conn) {
        self.links.closed(cx.now.mono, conn);
    }

    /// Closes everything.
    pub fn clear(&mut self, cx: &mut Cx) {
        let conns: Vec<Conn> = self.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            self.end(cx, conn);
        }
    }

    /// What happened since the last question: only [`Event::Nonsense`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Links that were turned away.
    #[must_use]
    pub fn nonsense(&self) -> u64 {
        self.nonsense
    }
}

//! The contract between what decides and what touches the world.
//!
//! Machines never read a clock, a socket or a file. They are told ([`Input`], and due timers) and
//! answer with [`Output`]s. **One input, then drain the outputs until there are none**; whoever
//! drives a node (the daemon or the simulator) keeps to that.
//!
//! * A connection's [`Conn`] is made by the node: with [`Output::Dial`], or with
//!   [`Output::Accept`] as the answer to [`Input::Incoming`]. It lives until the one
//!   [`Input::Closed`] that always comes, also after [`Output::Close`]; until then its slot is not
//!   used again.
//! * **Payload is a name, never bytes**: a [`Span`] of a blob. Only `io` turns it into an address.
//! * A blob's [`Blob`] is made by the node with [`Output::Open`] or [`Output::Create`] and is the
//!   node's until [`Output::Release`]; what `io` still sends or stores of it lives on there.
//! * Every connection has a timer ([`Peer::timer`]), is one of those that a member of a mesh looks
//!   at when it wakes for all of them, or is being closed; checked by the node.

mod cx;
mod gather;
mod train;
mod wake;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::arena::Key;
use crate::base::time::Wall;

pub use cx::{Cx, Peer};
pub use gather::{Gather, Piece};
pub use train::Train;
pub use wake::{Wake, Why};

/// A connection, whatever it carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Conn(pub Key);

/// A mapped block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Blob(pub Key);

/// Some bytes of a blob, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Whose bytes.
    pub blob: Blob,
    /// First byte.
    pub from: u64,
    /// How many.
    pub len: u64,
}

/// What one send puts on the wire: own bytes, then a blob's, then own bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Payload {
    /// Bytes before the body.
    pub head: Box<[u8]>,
    /// The body, by name.
    pub body: Option<Span>,
    /// Bytes after the body.
    pub tail: Box<[u8]>,
}

impl Payload {
    /// Own bytes only.
    #[must_use]
    pub fn bytes(head: impl Into<Box<[u8]>>) -> Self {
        Self { head: head.into(), ..Self::default() }
    }

    /// A blob's bytes only.
    #[must_use]
    pub fn span(body: Span) -> Self {
        Self { body: Some(body), ..Self::default() }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.body.map_or(0, |b| b.len) + self.tail.len() as u64
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a listener or a connection is for. Also the name of a UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// tv server: three-byte commands come in here.
    Tv,
    /// tv server: a connection dialled back to a client, for a reply or a block.
    TvCallback,
    /// tv client: the server dials in here.
    TvReceive,
    /// tv client: a command of ours to the server.
    TvCommand,
    /// HTTP.
    Http,
    /// The control socket.
    Control,
    /// mesh: a link between two nodes.
    Mesh,
    /// jukebox: a listener.
    Jukebox,
    /// events: the UDP socket of the ticker.
    Events,
    /// events: somebody who writes lines connects here.
    EventLines,
    /// files: the UDP socket of requests.
    Files,
    /// files: the UDP socket of one transfer.
    FilesTransfer,
}

impl Service {
    /// The name used in logs, metrics and the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tv => "tv",
            Self::TvCallback => "tv-callback",
            Self::TvReceive => "tv-receive",
            Self::TvCommand => "tv-command",
            Self::Http => "http",
            Self::Control => "control",
            Self::Mesh => "mesh",
            Self::Jukebox => "jukebox",
            Self::Events => "events",
            Self::EventLines => "events-lines",
            Self::Files => "files",
            Self::FilesTransfer => "files-transfer",
        }
    }
}

/// Why a connection is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// We closed it ([`Output::Close`]), all sent.
    Closed,
    /// Nobody listens there.
    Refused,
    /// The peer broke it.
    Reset,
    /// The kernel gave up on the peer.
    TimedOut,
    /// No way there, or the local system forbids it.
    Unreachable,
    /// No descriptor or memory for it on this side.
    Exhausted,
    /// The blob it was sending is damaged ([`Input::Faulted`] says so once).
    Faulted,
    /// Any other error, by its errno.
    Other(i32),
}

/// How to end a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// When all that was queued is sent.
    Flushed,
    /// At once, what is queued is dropped; the peer sees a reset, never a short block.
    Reset,
}

/// What `io` found when it opened a file or closed a received one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    /// Bytes in it; never 0.
    pub len: u64,
    /// When it was last changed.
    pub modified: Wall,
    /// Its first bytes, at most [`crate::base::limits::SNIFF_BYTES_MAX`].
    pub head: &'a [u8],
}

/// Why something could not be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// No room on the disk or in the quota.
    Full,
    /// A file of that name is there already.
    Taken,
    /// Anything else, in the system's words.
    Other(String),
}

/// What a node is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// Somebody connected; answer with [`Output::Accept`], or do not and it is refused.
    Incoming {
        /// The listener.
        service: Service,
        /// Our end; none on a Unix socket.
        local: Option<SocketAddr>,
        /// The other end; none on a Unix socket.
        peer: Option<SocketAddr>,
    },
    /// A dialled connection stands.
    Connected {
        /// Which.
        conn: Conn,
        /// Our end of it.
        local: SocketAddr,
    },
    /// Bytes arrived on a connection without a directed receive.
    Data {
        /// Which.
        conn: Conn,
        /// The bytes, in order.
        bytes: &'a [u8],
    },
    /// Bytes arrived where [`Output::Receive`] said.
    Filled {
        /// Which.
        conn: Conn,
        /// The blob that has them now.
        blob: Blob,
        /// Every byte of the span before this offset of the blob is there.
        upto: u64,
    },
    /// The peer will send no more.
    Ended {
        /// Which.
        conn: Conn,
    },
    /// The kernel took bytes.
    Sent {
        /// Which.
        conn: Conn,
        /// How many, since the last time.
        bytes: u64,
        /// Queued bytes that it has not taken yet.
        left: u64,
    },
    /// A connection is gone, and its slot with it. Comes exactly once.
    Closed {
        /// Which.
        conn: Conn,
        /// Why.
        why: Gone,
    },
    /// An [`Output::Hash`] is done.
    Hashed {
        /// What was hashed.
        span: Span,
        /// Its BLAKE3; none when the bytes are no longer there.
        hash: Option<[u8; 32]>,
    },
    /// An [`Output::Read`] is done.
    Read {
        /// What was read.
        span: Span,
        /// Its bytes; none when they are no longer there.
        bytes: Option<&'a [u8]>,
    },
    /// A datagram arrived.
    Datagram {
        /// On which socket.
        service: Service,
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A datagram arrived at a port of its own ([`Output::OpenPort`]).
    Heard {
        /// Which port.
        conn: Conn,
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// Bytes of the source of lines, in order.
    Lines {
        /// The bytes; lines may be cut anywhere.
        bytes: &'a [u8],
    },
    /// The source of lines has ended; what it brings after this is a new one.
    LinesEnded,
    /// An [`Output::Open`] or [`Output::Seal`] went well.
    Opened {
        /// Which.
        blob: Blob,
        /// What it is.
        facts: Facts<'a>,
    },
    /// An [`Output::Open`], [`Output::Create`] or [`Output::Seal`] failed.
    Unreadable {
        /// Which.
        blob: Blob,
        /// Why, for the log.
        why: &'a str,
    },
    /// A mapped file shrank or broke while it was being sent. Comes once a blob.
    Faulted {
        /// Which.
        blob: Blob,
    },
    /// An [`Output::Store`] is over.
    Stored {
        /// The name it was given.
        name: Rc<str>,
        /// Bytes on disk, or why there are none.
        result: Result<u64, StoreError>,
    },
    /// Stop gracefully: leave, drain, then [`Output::Done`].
    Stop,
}

/// What a node wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Take the connection that [`Input::Incoming`] told of.
    Accept {
        /// Its name from now on.
        conn: Conn,
    },
    /// Connect to an address.
    Dial {
        /// The connection's name.
        conn: Conn,
        /// Where to.
        to: SocketAddr,
        /// From which address of ours; any when none.
        from: Option<IpAddr>,
    },
    /// Queue bytes on a connection.
    Send {
        /// Which.
        conn: Conn,
        /// What.
        payload: Payload,
    },
    /// When all queued bytes are sent, say that no more will come; reading goes on.
    Finish {
        /// Which.
        conn: Conn,
    },
    /// From now on put what arrives into this span instead of [`Input::Data`].
    Receive {
        /// Which.
        conn: Conn,
        /// Where to.
        into: Span,
    },
    /// Hand up at most so many bytes at once from now on, so that a head can be read without what
    /// follows it: that may belong into a blob.
    Take {
        /// Which.
        conn: Conn,
        /// The most, at least 1.
        bytes: u32,
    },
    /// Stop reading (`true`) or go on.
    Hold {
        /// Which.
        conn: Conn,
        /// Whether to stop.
        on: bool,
    },
    /// End a connection; [`Input::Closed`] follows.
    Close {
        /// Which.
        conn: Conn,
        /// How.
        end: End,
    },
    /// Send one datagram.
    SendTo {
        /// From which socket.
        service: Service,
        /// Where to.
        to: SocketAddr,
        /// What.
        payload: Payload,
    },
    /// Send one datagram to each of many, as soon as the kernel takes them, in order with other
    /// such rounds. The same bytes for all: nothing is copied for each.
    SendAll {
        /// From which socket.
        service: Service,
        /// Where to.
        to: Rc<[SocketAddr]>,
        /// What.
        bytes: Rc<[u8]>,
    },
    /// Stop reading the source of lines (`true`) or go on. It begins stopped.
    HoldLines {
        /// Whether to stop.
        on: bool,
    },
    /// Map a file of the library, read-only.
    Open {
        /// The blob's name.
        blob: Blob,
        /// Path relative to the library's directory.
        path: Rc<str>,
    },
    /// Map a file of the directory of songs, read-only.
    OpenSong {
        /// The blob's name.
        blob: Blob,
        /// Path relative to the directory of songs.
        path: Rc<str>,
    },
    /// Open a UDP port of its own, at this address of ours. It is a connection by name: it is
    /// closed as one, and [`Input::Closed`] follows.
    OpenPort {
        /// Its name.
        conn: Conn,
        /// Where.
        at: IpAddr,
    },
    /// Send one datagram from a port.
    Say {
        /// From which port.
        conn: Conn,
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: Box<[u8]>,
    },
    /// Send datagrams from a port.
    SendTrain {
        /// From which port.
        conn: Conn,
        /// Where to.
        to: SocketAddr,
        /// Whose bytes.
        blob: Blob,
        /// What.
        train: Train,
    },
    /// Map a file of the directory of files, read-only, however long it is.
    OpenFile {
        /// The blob's name.
        blob: Blob,
        /// Path relative to the directory of files.
        path: Rc<str>,
    },
    /// Hash a whole file little by little; [`Input::Hashed`] follows.
    HashFile {
        /// Which.
        blob: Blob,
    },
    /// From now on each payload is a segment of its own, never in one with the next. Whoever asks
    /// for this queues one payload at a time.
    Apart {
        /// Which.
        conn: Conn,
    },
    /// Make room in memory for a block to be received.
    Create {
        /// The blob's name.
        blob: Blob,
        /// The most it may hold.
        max: u64,
    },
    /// A received block is complete at this length; [`Input::Opened`] follows.
    Seal {
        /// Which.
        blob: Blob,
        /// Its length.
        len: u64,
    },
    /// Hash bytes of a blob; [`Input::Hashed`] follows.
    Hash {
        /// Which bytes.
        span: Span,
    },
    /// Read bytes of a blob into memory; [`Input::Read`] follows. For what must be understood, not
    /// only passed on.
    Read {
        /// Which bytes.
        span: Span,
    },
    /// Keep this as a blob, so that it can be sent to many without a copy for each. Where that
    /// cannot be, [`Input::Unreadable`] follows; else nothing. The bytes of the other blob live on
    /// for as long; where they break, both are told of.
    Keep {
        /// The blob's name.
        blob: Blob,
        /// The blob that pieces of it are ranges of.
        of: Option<Blob>,
        /// What it consists of; at least one byte.
        gather: Gather,
    },
    /// The node has no more use for a blob.
    Release {
        /// Which.
        blob: Blob,
    },
    /// Write a blob to the store under a temporary name, then give it this one;
    /// [`Input::Stored`] follows.
    Store {
        /// Which.
        blob: Blob,
        /// Its length.
        len: u64,
        /// File name inside the store.
        name: Rc<str>,
    },
    /// Remove a file from the store.
    Unstore {
        /// File name inside the store.
        name: Rc<str>,
    },
    /// A line for the log.
    Log {
        /// How grave.
        level: Level,
        /// What, one line, foreign parts escaped.
        text: String,
    },
    /// All is left and drained; the process may end.
    Done,
}

/// How grave a log line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// The operator must act.
    Error,
    /// Something is wrong and was coped with.
    Warn,
    /// What an operator wants to read.
    Info,
    /// Each step.
    Debug,
}

impl Level {
    /// The name used in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Every level, gravest first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];
}

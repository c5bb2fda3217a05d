//! vidstreamd turns a folder of movie blocks into live TV channels.
//!
//! # One sentence
//! A node has, for each channel, **one source, one window of blocks, many sinks**; a *role* is only
//! which sources and sinks are switched on; everything that decides is plain values driven by one
//! event loop, and only [`io`] touches the world.
//!
//! ```text
//! sources                     window (ring of blocks)        sinks
//! playout  schedule + movies ─┐                       ┌─ tv     one callback connection a block
//! tv       a tv server        ┴─► seq 4711 4712 4713 ─┼─ http   blocks, page, status, metrics
//!                                 (mapped blobs)      └─ spool  files on disk
//! ```
//!
//! | role | sources | sinks |
//! |---|---|---|
//! | server | playout | tv, http, [`mesh`] (root) |
//! | relay | tv or mesh | tv, http, mesh |
//! | client | tv or mesh | spool, http, mesh |
//!
//! The relay trees are switched on by `[mesh]`, for all channels of a node over one port.
//!
//! Beside the channels a server may have [`events`], the live ticker: one datagram an event to
//! everybody who registered, from a simulated match or from lines that others write. It shares
//! nothing with the channels but the loop.
//!
//! A block goes to disks and to other nodes as it is. What players take is made of it at the edge:
//! [`container`] reads its frames as ranges of bytes and puts other boxes around them, with clocks
//! that follow from the schedule alone; `node/edge.rs` has that done once a block, for all who ask.
//!
//! [`files`] delivers whole video files over UDP, each from a port of its own: what is sent when is
//! decided by a rate-based controller, and the bytes go from the file's map to the kernel.
//!
//! # The channel is a function of the clock
//! A position is computed, never counted: [`media::schedule::Schedule::at`] of the wall clock, from
//! an epoch in the configuration and the durations in the movies' indexes. So a restart goes on at
//! the right block, two servers with the same files and configuration send the same blocks under
//! the same numbers with nothing shared between them, and a programme guide cannot drift.
//!
//! # The contract ([`base::port`])
//! Machines never read a clock, a socket or a file. A node is told ([`base::port::Input`],
//! [`node::Node::handle_timeout`]) and asked ([`node::Node::poll_output`],
//! [`node::Node::poll_timeout`]). **One input, then drain the outputs until there are none.**
//! Inside a node each machine has the same verbs and is lent one [`base::port::Cx`]: the time, the
//! way out, the wheel, the arenas.
//!
//! * **Payload above io is a name, never bytes** ([`base::port::Span`]): a fan-out is many small
//!   cursors over one map, a simulated node moves no data, and no code above io can fault on a map.
//! * **Directed receive**: [`base::port::Output::Receive`] has io read from the socket straight
//!   into a blob's map. Received blocks of unknown length get the address space of the longest
//!   block and only the memory they fill.
//! * **A blob is a map**: a library block is its file, mapped read-only; a received block is a
//!   memfd whose size is sealed. A file that shrinks under its map makes the write fail (EFAULT):
//!   the block is taken off with one log line and the filler takes its place.
//! * *Errors* are bad input: an error value and a closed peer. *Panics* are bugs of ours.
//!
//! # One turn of the loop ([`daemon`])
//! poll (timeout 0 while there is work that no event will announce, else until the next deadline) →
//! both clocks once → signals → ready sockets, each with a byte budget, each input followed by a
//! full drain → due timers → flush dirty writers → accept, with a budget → a slice of the disk's
//! work → watchdog. A socket is registered READ|WRITE once and its readiness bits are kept here; a
//! bit is cleared only by `WouldBlock`; what still has bits and no budget stays on the list. Bytes
//! that the program queues itself raise no edge: the connection is dirty and flushed this turn. A
//! token is generation and index, so a stale event cannot reach the slot's next owner. At EMFILE
//! the listener rests one second, says so once, and goes on when there is room.
//!
//! # Layers
//! | may use | base | `wire.rs` | media | config | machines | node | io | daemon |
//! |---|---|---|---|---|---|---|---|---|
//! | base | ✓ | | | | | | | |
//! | any `wire.rs` | ✓ | itself | | | | | | |
//! | media, [`container`], config | ✓ | | ✓ | config only | | | | |
//! | machines (tv, mesh, events, …) | ✓ | own | ✓ | own section | own, `channel` | | | |
//! | node | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | | |
//! | io | ✓ | | ✓ | ✓ | | | ✓ | |
//! | daemon, flags | ✓ | | ✓ | ✓ | | ✓ | ✓ | ✓ |
//! | programs (`vidstream`) | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ |
//!
//! No cycles. `tests/tidy` reads the paths and fails on what this table does not allow; the feature
//! `daemon` gates the crates that touch the world, so `cargo check --lib --no-default-features`
//! proves that the pure part names none of them; clippy's `disallowed-methods` keeps clock reads,
//! threads, sockets and files inside `io`.
//!
//! # Where this differs from the first plan, and why
//! * A connection's name is made by the node, also for accepted ones: io asks
//!   ([`base::port::Input::Incoming`]) and the node takes it or does not. One kind of name, and who
//!   is let in is decided by pure code.
//! * Machines are lent a [`base::port::Cx`] instead of owning an outbox each: nothing has to be
//!   moved from queue to queue, and the wheel stays the only one.
//! * A library block's descriptor is closed once it is mapped; whether its file is still whole is
//!   asked by name when a send ends. A window of blocks then costs no descriptors, and a file that
//!   lost less than a page (zeros, no EFAULT) is still found out.
//! * A program of one connection, such as `vidstream jukebox`, joins one machine to the reactor by
//!   itself: a node around it would have nothing to join. Its prompt is the one thread beside the
//!   loop, because line editing can only block; the daemon has none.
//! * What is made of a block for players is kept as a blob ([`base::port::Output::Keep`]) that
//!   consists of bytes of our own and ranges of the block's map; all who watch are sent spans of
//!   it, and the kernel gathers them. Frames of mkv and fMP4 are never copied; ts is made once.
//! * The relay trees carry where a block lies on its programme's timeline, so that a relay makes
//!   the very segments of its server, under the same names.
//! * Only parents beat twice a second. Whoever dialled speaks every 1.5 s and is lost after 4 s,
//!   other ends every 2 s and 4.5 s: nobody misses a block when such an end is silent, and a root
//!   has a link to each member. A member has no timer for each of its links, but looks at those
//!   that are due when it looks for what is late: it wakes once for all. It looks four times a
//!   second only while there is something that may have to be done soon, else twice. A member is a
//!   leaf when it was seen to send less than the channel, not one and a half times that: what is
//!   measured is always a little below the uplink, so that uplinks of one and a half channels made
//!   a leaf of everybody.
//! * What members ask of each other goes out behind all that was promised to children, over all
//!   links of a node, waits for 550 ms at most and is refused in words: else helpers became late
//!   themselves, and a mesh of modest uplinks never got up again.
//! * A jukebox listener's payloads are segments of their own ([`base::port::Output::Apart`]): the
//!   original client takes each read as one frame.
//! * `status.json`, the metrics, the page and the control socket are words of one plain value,
//!   [`base::status::Status`], which stands in `base` because two machines need it.
//! * Received blocks are spooled by the daemon's loop in slices ([`io::spooler`]), not mapped files
//!   of the store: a full disk then costs a log line, never a signal, and never the channel.

pub mod base;
pub mod channel;
pub mod config;
pub mod container;
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod events;
pub mod files;
#[cfg(feature = "daemon")]
pub mod flags;
pub mod http;
#[cfg(feature = "daemon")]
pub mod io;
pub mod jukebox;
pub mod media;
pub mod mesh;
pub mod node;
pub mod tv;

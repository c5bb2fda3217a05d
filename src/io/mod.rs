//! Everything that touches the world: sockets, maps, files, clocks, signals, the log. It decides
//! nothing; `daemon.rs` drives it and joins it to a node.

#![expect(clippy::disallowed_methods, reason = "this is the layer that may")]

pub mod clock;
pub mod ctl;
pub mod descriptors;
pub mod ear;
pub mod feed;
pub mod fetch;
pub mod files;
pub mod guests;
pub mod library;
pub mod lines;
pub mod listener;
pub mod log;
pub mod notify;
pub mod outlet;
pub mod part;
pub mod prompt;
pub mod reactor;
pub mod signals;
pub mod songs;
pub mod spooler;
pub mod videos;

mod beneath;
mod blobs;
mod datagram;
mod gathered;
mod hashing;
mod port;
mod stream;

//! The jukebox: songs of a folder played over TCP by commands of text, each frame in one write.
//! `wire` is the bytes, `server` serves listeners, `client` is what `vidstream jukebox` runs.
//!
//! The protocol is the original's, with one extension that an original server ignores and an
//! original client never asks for ([`wire::Request::Hello`]): who greets is told the length of each
//! song before its first frame, because no message of the protocol ends a song.

pub mod client;
pub mod server;
pub mod wire;

//! What the tv server tells of itself: events for the log, counters, its clients. Only values.

use std::net::IpAddr;

use crate::base::port::Gone;
use crate::base::stats::Histogram;
use crate::base::time::Mono;
use crate::tv::wire::COMMAND_BYTES;

/// Why a callback did not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The connection failed or broke.
    Gone(Gone),
    /// It was not accepted in time.
    NotAccepted,
    /// The block was not through in its own time.
    Late,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A client is in a channel.
    Joined {
        /// Who.
        address: IpAddr,
        /// Where.
        channel: usize,
    },
    /// A client was told `00`.
    Full {
        /// Who.
        address: IpAddr,
        /// Where it wanted to go.
        channel: usize,
    },
    /// A client asked to join but could not be answered.
    Unreachable {
        /// Who.
        address: IpAddr,
        /// Where it wanted to go.
        channel: usize,
        /// Why.
        why: Failure,
    },
    /// A client left, or joined elsewhere.
    Left {
        /// Who.
        address: IpAddr,
        /// Which channel.
        channel: usize,
    },
    /// A callback failed.
    Struck {
        /// Whose.
        address: IpAddr,
        /// Which channel.
        channel: usize,
        /// Why.
        why: Failure,
        /// Whether it was the second in a row: the client is removed.
        removed: bool,
    },
    /// An address that may not be called back asked to join.
    NotAllowed {
        /// Who.
        address: IpAddr,
    },
    /// Three bytes that are no command.
    BadCommand {
        /// From whom.
        address: IpAddr,
        /// The bytes.
        bytes: [u8; COMMAND_BYTES],
    },
}

/// Counters of the tv server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the names say what is counted")]
pub struct Stats {
    pub commands: u64,
    pub bad_commands: u64,
    pub joins: u64,
    pub full: u64,
    pub leaves: u64,
    pub removed: u64,
    pub strikes: u64,
    pub not_allowed: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// From the first byte offered to the last byte taken, of blocks.
    pub delivery: Histogram,
}

/// One client, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Who.
    pub address: IpAddr,
    /// In which channel.
    pub channel: usize,
    /// Since when.
    pub since: Mono,
    /// Blocks it took.
    pub blocks: u64,
    /// Bytes it took.
    pub bytes: u64,
    /// Failures in a row.
    pub strikes: u8,
}

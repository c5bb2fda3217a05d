//! Blocks into frames and back: readers for mkv, mp4 (plain and fragmented) and ts, writers for one
//! endless mkv, fMP4 and ts. Clocks and boxes are moved, frames never: no codec work is done here,
//! and no file or socket is touched. Who has the bytes of a block hands them in as a slice; the
//! HTTP outputs ask, and `--check` does.
//!
//! ```text
//! bytes ─ read() ─► Block { tracks, frames as ranges of the bytes } ─┬─► mkv::clusters  Pieces
//!                                  Clock (where the block lies) ─────┼─► mp4::fragments Pieces
//!                                                                    └─► ts::packets    bytes
//! ```
//!
//! # What a writer's bytes depend on
//! Only on the block and on its [`Clock`]: no writer remembers the block before. So two nodes make
//! the same bytes, and so does one that started anew in the middle.
//! * Time stands still between blocks: each is put at its place of the endless timeline, in
//!   nanoseconds, and rounded once to the output's unit. Nothing accumulates.
//! * Continuity counters of ts: each elementary stream has a multiple of 16 packets a block, so it
//!   begins with 0 in each; tables have a fixed number of packets a block, counted by the block's
//!   number.
//! * Whether an init segment, a header or the tables differ from the block before is read off
//!   [`Block::signature`].
//!
//! # What is left out, and refused or ignored
//! Subtitles, chapters, attachments and second pictures are ignored. Encryption, compression other
//! than stripped headers, and ts programmes after the first are not read; where that concerns a
//! picture or a sound the block is refused with its reason.

mod build;
mod bytes;
pub mod clock;
mod codec;
pub mod mkv;
pub mod mp4;
mod output;
mod pieces;
mod profile;
pub mod ts;
mod types;

use crate::base::limits;
use crate::media::sniff::{self, Container};

pub use clock::Clock;
pub use output::{Output, WhyNot};
pub use pieces::{Piece, Pieces, Slice};
pub use profile::Profile;
pub use types::{Block, Codec, Frame, Part, Shape, Signature, Track};

/// What is wrong with a block, and at which byte of it.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nothing that is known begins like this.
    #[error("byte 0: neither mkv nor mp4 nor ts begins like this")]
    Unknown,
    /// An element, box or packet is longer than what holds it.
    #[error("byte {at}: {what} wants {wants} bytes, {left} are left")]
    Cut {
        /// Where it begins.
        at: u64,
        /// What is cut.
        what: &'static str,
        /// How long it says it is.
        wants: u64,
        /// How long it can be.
        left: u64,
    },
    /// A value that cannot be.
    #[error("byte {at}: {what}")]
    Bad {
        /// Where it stands.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A codec or a form of one that no output carries.
    #[error("byte {at}: {kind} {name:?} is not known here")]
    Codec {
        /// Where it is named.
        at: u64,
        /// What is named: a codec, a sample entry.
        kind: &'static str,
        /// Its name, escaped.
        name: String,
    },
    /// More than a block may have.
    #[error("byte {at}: more than {most} {what} in a block of this size")]
    TooMany {
        /// Where the first too many stands.
        at: u64,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// Something without which there is nothing to show.
    #[error("byte {at}: the block ends without {what}")]
    Missing {
        /// Where it ends.
        at: u64,
        /// What was looked for.
        what: &'static str,
    },
}

impl Error {
    /// The block, which has so many bytes, has no such thing.
    fn missing(bytes: usize, what: &'static str) -> Self {
        Self::Missing { at: bytes as u64, what }
    }

    fn bad(at: usize, what: &'static str) -> Self {
        Self::Bad { at: at as u64, what }
    }
}

/// Reads a block whole: its tracks, and its frames as ranges of these bytes. Takes time in
/// proportion to the bytes and memory for at most 4 times as many.
///
/// # Errors
/// Whatever is not sound in the block, with its byte.
pub fn read(bytes: &[u8]) -> Result<Block, Error> {
    if bytes.len() as u64 > limits::BLOCK_BYTES_MAX {
        let (at, most) = (limits::BLOCK_BYTES_MAX, limits::BLOCK_BYTES_MAX);
        return Err(Error::TooMany { at, what: "bytes", most });
    }
    match sniff::sniff(bytes) {
        Some(Container::Mkv) => mkv::read(bytes),
        Some(Container::Mp4) => mp4::read(bytes),
        Some(Container::Ts) => ts::read(bytes),
        None if ts::has_prefixes(bytes) => ts::read(bytes),
        None => Err(Error::Unknown),
    }
}

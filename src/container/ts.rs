//! MPEG-2 transport streams (ISO 13818-1): blocks read, packets written.

mod es;
mod packet;
mod psi;
mod read;
mod units;
mod write;

pub(super) use read::{has_prefixes, read};
pub use write::packets;

/// Bytes of a packet, and of its header.
const PACKET_BYTES: usize = 188;
const HEADER_BYTES: usize = 4;

/// What every packet begins with.
const SYNC: u8 = 0x47;

/// Ticks a second of times in packets, and how many bits they have.
const TICKS: u32 = 90_000;
const TIME_BITS: u32 = 33;

/// The checksum of tables (annex A).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 }
        })
    })
}

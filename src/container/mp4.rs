//! ISO base media (ISO 14496-12): plain and fragmented blocks read, fragments written.

mod boxes;
mod init;
mod write;

pub use init::{codecs, init};
pub use write::{Fragments, Run, fragments};

/// Reads a block that begins with a box.
pub(super) fn read(_bytes: &[u8]) -> Result<super::Block, super::Error> {
    Err(super::Error::Unknown)
}

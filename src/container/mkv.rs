//! Matroska (RFC 9559), and `WebM` which is a part of it: blocks read, one endless file written.

mod draft;
mod ebml;
mod lacing;
mod read;
mod write;

pub(super) use read::read;
pub use write::{clusters, header};

#[cfg(test)]
mod tests;

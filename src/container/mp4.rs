//! ISO base media (ISO 14496-12): plain and fragmented blocks read, fragments written.

mod boxes;
mod entry;
mod fragment;
mod init;
mod read;
mod table;
mod write;

pub use init::{codecs, init};
pub(super) use read::read;
pub use write::{Fragments, Run, fragments};

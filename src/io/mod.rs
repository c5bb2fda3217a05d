//! Everything that touches the world, and nothing that decides: `daemon.rs` is the only caller.

pub mod clock;
pub mod descriptors;
pub mod log;
pub mod notify;
pub mod signals;

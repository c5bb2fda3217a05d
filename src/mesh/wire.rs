//! The bytes between nodes of a mesh, to values and back. Decides nothing: who may say what, and
//! whether it is true, is the business of the machines that call it.
//!
//! Every message is one frame: 8 bytes of head (magic `VM`, version, kind, length of what follows),
//! then fields in fixed order, numbers in network order. Behind a [`Block`] frame follow exactly
//! the bytes that it announces; they are no part of the frame.
//!
//! | message | from, to |
//! |---|---|
//! | [`Hello`] | both, first on every connection |
//! | [`Join`] | member to root |
//! | [`Place`], or [`Denial`] as *wait* or *full* | root to member |
//! | [`Subscribe`], [`Release`] | child to parent |
//! | [`Accept`], [`Refuse`] | parent to child |
//! | [`Block`] | parent to child, helper to whoever asked |
//! | [`Want`], answered with a block or [`Gone`] | child to helper or parent |
//! | [`Beat`] | both, when nothing else was said for a while: a parent half a second |
//! | [`Report`] | member to root |
//! | leaving | parent to children, member to root |
//!
//! Lengths, counts, sets and offsets are checked here: what [`parse`] lets through names stripes
//! that exist, ranges inside the block, and no more of anything than `limits.rs` has.

mod bytes;
mod codec;
mod message;
mod set;
#[cfg(test)]
pub(in crate::mesh) mod tests;

pub use codec::{BEAT_BYTES, HEAD_BYTES, Parsed, WireError, parse};
pub use message::{
    Accept, Beat, Block, Denial, Gone, Hello, Join, Loss, Message, Path, Peer, Place, Refuse,
    Refused, Report, Subscribe, Timeline, Want,
};
pub use message::{Release, stripe_of};
pub use set::{NodeId, Stripes};

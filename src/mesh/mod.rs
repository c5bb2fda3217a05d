//! The relay trees: viewers carry the channel. A block is cut into stripes; each stripe goes down a
//! tree of its own, and a member is inner in few of them and a leaf in the rest, so that everybody
//! can send about as much as it receives.
//!
//! What exists:
//! * [`wire`]: the bytes between nodes, to values and back.
//! * [`planner`]: who takes which stripe from whom; pure, run by the root of a mesh.
//!
//! Words: the *root* is the node whose channel does not come from the mesh; every other node is a
//! *member*; a *slot* is one child connection; a *stripe* is one of the K parts of each block; a
//! *unit* is one stripe sent to one child; an *heir* is the parent that a member takes when this one
//! is lost, fixed in advance; a *helper* is a node elsewhere in the trees that is asked for bytes
//! that are late.

pub mod planner;
pub mod wire;

//! The bytes between nodes of a mesh.

mod set;

pub use set::{NodeId, Stripes};

//! What touches the world.

pub mod library;

//! The Unix socket on which an operator asks a running node: one line in, one answer out, closed.

pub mod answer;
pub mod server;
pub mod text;
pub mod wire;

pub use answer::Answer;
pub use server::Server;
pub use wire::{Command, What};

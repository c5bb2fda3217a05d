//! The Unix socket on which an operator asks a running node: one line in, one answer out, closed.

pub mod server;
pub mod text;
pub mod wire;

pub use server::Server;
pub use wire::Command;

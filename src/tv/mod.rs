//! Live TV as seed 001 has it: three-byte commands on one port, everything else by calling the
//! client back. [`server`] serves the original clients, [`client`] watches the original servers.
//!
//! What is assumed, and what is left out:
//! * A client is its source IP address; two clients behind one address are one client.
//! * A block's connection has no name and no length; its end is the block's end. A cut block ends
//!   in a reset, never in a clean end.
//! * The original client binds its port after it has asked: a refused callback is tried again.
//! * There is no authentication; whom the server calls back is bounded by `callback_allow`.

pub mod client;
pub mod server;
pub mod wire;

mod callback;
mod commands;
mod dials;
mod roster;

//! The live ticker as seed 004 has it: JSON datagrams, one an event, to everybody who registered.
//! [`server`] serves the original clients, [`client`] listens to the original servers, [`game`] is
//! the simulated match, one source of events; the other is lines that somebody writes.
//!
//! What is assumed, and what is left out:
//! * A client is its address and port. `register` twice is the same as once; nothing is answered.
//! * A datagram that is lost stays lost: the numbers in the events tell how many, nobody repeats.
//! * A registration is for one transmission. `End of transmission` ends it, and with it all
//!   registrations; the next transmission counts from 1 again.
//! * There is no authentication, and the original clients cannot prove their address: members are
//!   bounded in all and for each address, and `prove` is off unless the operator sets it.

pub mod client;
pub mod game;
pub mod server;
pub mod teams;
pub mod wire;

mod feed;
mod members;
mod phrases;
mod tally;

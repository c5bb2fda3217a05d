//! Video files over UDP as seed 002 has them: a list of files, and one of them delivered with our
//! own control of delivery. [`server`] serves the original clients and ours on the same port,
//! [`client`] gets from the original servers and from ours; [`sender`] and [`receiver`] are the
//! two ends of one transfer, [`rate`] says how fast it may go.
//!
//! # What is ours, on the same wire
//! A request of ours has words behind `get N` that an original server does not read. A server that
//! knows them answers with an *offer* from the transfer port instead of the first fragment; what
//! follows uses the message types from 16 up ([`wire`]). An original peer never sees one of them.
//!
//! # Assumed, and left out
//! * Files do not change while they are sent. One that does is found out, by its size, by its time
//!   of change or by the hash, and its transfers end with that reason.
//! * Nobody is authenticated and nothing is encrypted. An address that has not answered from the
//!   transfer port gets at most three times the bytes it sent, but for a list, which the originals
//!   take without proof: those are bounded for each address and in all.
//! * A transfer is one client's; nothing is multicast.

pub mod client;
pub mod ranges;
pub mod rate;
pub mod receiver;
pub mod rtt;
pub mod sender;
pub mod server;
pub mod wire;

mod flight;
mod lists;
mod player;
mod transfer;

#[cfg(test)]
mod tests;

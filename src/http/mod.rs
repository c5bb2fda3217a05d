//! HTTP/1.1 for browsers, players and monitoring: requests in, blocks, pages and documents out.
//! Only `GET` and `HEAD`; no request bodies, no TLS, no clock and no sockets of its own.

mod answer;
pub mod document;
pub mod growing;
pub mod guide;
pub mod hls;
mod inbox;
pub mod lineup;
mod markup;
pub mod metrics;
pub mod page;
#[cfg(test)]
mod samples;
pub mod server;
pub mod wire;

pub use answer::{Body, Response};
pub use document::Document;
pub use server::Server;
pub use wire::{Method, Request};

//! vidstreamd (crate documentation follows with the loop).

pub mod base;
pub mod channel;
pub mod config;
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod flags;
pub mod http;
#[cfg(feature = "daemon")]
pub mod io;
pub mod media;
pub mod mesh;
pub mod node;
pub mod tv;

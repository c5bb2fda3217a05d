//! The world around the daemon. But for the frames of `peer` it never uses the daemon's own
//! library, so that an error there cannot hide itself here.

pub(crate) mod daemon;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod liar;
pub(crate) mod link;
pub(crate) mod mesh;
pub(crate) mod namespaces;
pub(crate) mod original_client;
pub(crate) mod original_files;
pub(crate) mod original_juke;
pub(crate) mod original_server;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod pulse;
pub(crate) mod setup;
pub(crate) mod ticker;
pub(crate) mod viewer;

use std::time::Duration;

pub(crate) use patience::{eventually, skip, works};

/// What should happen at once; long only because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);

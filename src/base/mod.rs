//! What every layer stands on: time, the wheel, arenas, seeded randomness, limits, counters and the
//! contract between what decides and what touches the world. Uses nothing else of the crate.

pub mod arena;
pub mod limits;
pub mod port;
pub mod rng;
pub mod stats;
pub mod status;
pub mod text;
pub mod time;
pub mod wheel;

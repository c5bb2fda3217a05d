//! The cases that must hold, with their bounds: `simulate --figures` plays and prints them.

use crate::world::Settings;

/// Bytes a second of so many times the channel.
pub fn rate(world: &Settings, factor: f64) -> u64 {
    (world.block_bytes as f64 * 1e9 / world.lasts as f64 * factor) as u64
}

pub fn print_all(_clock: fn() -> u64, _only: Option<&str>, _seed: u64) -> bool {
    false
}

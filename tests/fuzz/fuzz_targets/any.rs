//! One fuzz binary for every target: the environment variable `TARGET` names it.

#![no_main]

#[path = "../targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let name = std::env::var("TARGET").expect("TARGET names one of the targets");
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = found.expect("a known TARGET");
    run(data);
});

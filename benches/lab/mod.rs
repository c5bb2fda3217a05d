//! What the benches share: a daemon of their own, blocks that tell their number, a thousand viewers
//! in one process, a bare sender to compare with. No bench and no test; `tv`, `http`, `mesh`,
//! `memory`, `players` and `start` use it, each a part of it.
#![allow(dead_code, reason = "each bench uses a part")]

pub(crate) mod block;
pub(crate) mod daemon;
pub(crate) mod figures;
pub(crate) mod films;
pub(crate) mod hop;
pub(crate) mod kill;
pub(crate) mod link;
#[path = "../../tests/e2e/harness/namespaces.rs"]
pub(crate) mod namespaces;
pub(crate) mod readers;
pub(crate) mod sender;
pub(crate) mod server;
pub(crate) mod viewers;

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit};

/// What every step of a bench may end in: a text for whoever ran it.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The wall clock, by which channels go.
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Makes room for so many descriptors in this process and those it starts.
pub(crate) fn need_descriptors(count: u64) -> Outcome<()> {
    let lent = vidstreamd::io::descriptors::limit() as u64;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if lent < count {
        return Err(format!("{count} descriptors are needed and {hard} are lent").into());
    }
    Ok(())
}

/// The arguments that are not cargo's own.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|a| a != "--bench").collect()
}

/// The machine's load, for whoever compares figures.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let average = text.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores, load average {average} at the start")
}

/// Whether a command runs and succeeds here.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

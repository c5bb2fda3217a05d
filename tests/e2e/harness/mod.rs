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
pub(crate) mod peer;
pub(crate) mod pulse;
pub(crate) mod setup;
pub(crate) mod ticker;
pub(crate) mod viewer;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What should happen at once; long only because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// How often a condition that nobody announces is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Looks again and again until there is something, at most `within`.
///
/// # Panics
/// When the time is over; `what` says what was waited for.
pub(crate) fn eventually<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        thread::sleep(GLANCE);
    }
}

/// Says that a test was not done, and fails when nothing may be left out.
pub(crate) fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
    let required = std::env::var("VIDSTREAMD_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "VIDSTREAMD_REQUIRE_ALL=1, but: {reason}");
}

/// Whether a command runs and succeeds here.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

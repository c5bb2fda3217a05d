//! Patience with an end, and skipping aloud: for all tests that run other programs.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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

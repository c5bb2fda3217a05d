//! Whether this machine gives its processes time: what a late daemon may be excused by.

use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(20);
/// A beat that is so late is a machine that stood still.
const LATE: Duration = Duration::from_millis(200);
/// How long that excuses what is seen.
const LATELY: Duration = Duration::from_secs(4);

static STARTED: Once = Once::new();
static STOOD_STILL: Mutex<Option<Instant>> = Mutex::new(None);

/// Begins to watch, once.
pub(crate) fn start() {
    STARTED.call_once(|| drop(thread::spawn(watch)));
}

/// Whether everything stood still for a moment in the last seconds.
pub(crate) fn stood_still() -> bool {
    let last = *STOOD_STILL.lock().unwrap();
    last.is_some_and(|at| at.elapsed() < LATELY)
}

fn watch() {
    loop {
        let began = Instant::now();
        thread::sleep(BEAT);
        if began.elapsed() > BEAT + LATE {
            println!("the machine stood still for {:?}", began.elapsed());
            *STOOD_STILL.lock().unwrap() = Some(Instant::now());
        }
    }
}

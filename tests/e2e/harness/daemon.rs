//! The real binary as a child process, with its log read line by line.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{SOON, eventually};

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_vidstreamd");
/// Lines of the log that a failed test shows.
const SHOWN_LINES: usize = 200;

/// A running daemon. It is killed when it goes out of scope; a failed test shows its log.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
    name: String,
}

impl Daemon {
    /// Starts with this configuration and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_by(&[], config)
    }

    /// The same behind commands that end in executing it (`prlimit`, `env`, `unshare`).
    pub(crate) fn start_by(before: &[&str], config: &Path) -> Self {
        let daemon = Self::launch(before, config);
        daemon.wait_text("ready");
        daemon
    }

    /// Starts and waits for nothing.
    pub(crate) fn launch(before: &[&str], config: &Path) -> Self {
        let mut words = before.iter().copied().chain([BINARY]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("-c").arg(config);
        command.args(["--log-target", "stderr", "--log-level", "debug"]);
        command.env("RUST_BACKTRACE", "1").env_remove("NOTIFY_SOCKET");
        Self::run(command)
    }

    /// Starts any command as a daemon whose log is followed.
    pub(crate) fn run(mut command: Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("{name}: {why}"));
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("it was piped");
        let reader = Arc::clone(&log);
        thread::spawn(move || reader.follow(stderr));
        Self { child, log, name }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where a service listens, as the log says.
    pub(crate) fn listens(&self, service: &str) -> SocketAddr {
        let head = format!("listening: {service} on ");
        let text = self.wait_text(&head);
        let address = text.strip_prefix(&head).expect("just found by it");
        address.trim().parse().unwrap_or_else(|why| panic!("{text:?}: {why}"))
    }

    pub(crate) fn tv(&self) -> SocketAddr {
        self.listens("tv")
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.listens("http")
    }

    /// How many lines the log has now.
    pub(crate) fn mark(&self) -> usize {
        self.log.state.lock().unwrap().lines.len()
    }

    /// Waits for a line whose text begins so; returns the text.
    pub(crate) fn wait_text(&self, head: &str) -> String {
        self.wait_after(0, head, |text| text.starts_with(head))
    }

    /// Waits for a line after a mark whose text is as wanted; returns the text.
    pub(crate) fn wait_after(
        &self,
        mark: usize,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        self.log.wait(mark, wanted).unwrap_or_else(|| panic!("no log line: {what}"))
    }

    /// Every text of the log so far that is as wanted.
    pub(crate) fn texts(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.texts_after(0, wanted)
    }

    /// The same after a mark.
    pub(crate) fn texts_after(&self, mark: usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let state = self.log.state.lock().unwrap();
        let texts = state.lines[mark..].iter().map(|line| text_of(line));
        texts.filter(|text| wanted(text)).map(str::to_owned).collect()
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status().expect("a shell");
        assert!(status.success(), "{line}");
    }

    /// SIGHUP, and the `reload:` line that it leads to.
    pub(crate) fn reload(&self) -> String {
        let mark = self.mark();
        self.signal("HUP");
        self.wait_after(mark, "reload:", |text| text.starts_with("reload:"))
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let name = self.name.clone();
        eventually(SOON, &format!("end of {name}"), || self.child.try_wait().expect("our child"))
    }

    /// SIGTERM; it must say so and end well.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "exit code after SIGTERM");
        self.wait_text("stopped");
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let after_name = &stat[stat.rfind(')').expect("a name in brackets") + 2..];
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// How long it was ready to run while others had the processors; nothing where the kernel does
    /// not count that.
    pub(crate) fn waited(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        let nanos = text.split(' ').nth(1).and_then(|nanos| nanos.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// What was wrong in the log, whatever the test was about.
    fn faults(&self) -> Vec<String> {
        let state = self.log.state.lock().unwrap();
        let mut faults = panics(&state.lines);
        if let Some(at) = state.raw.iter().position(|b| *b < 0x20 && *b != b'\n' || *b == 0x7f) {
            faults.push(format!("raw control byte {:#04x} in the log", state.raw[at]));
        }
        faults
    }

    fn show(&self) {
        let state = self.log.state.lock().unwrap();
        let from = state.lines.len().saturating_sub(SHOWN_LINES);
        println!("---- the last lines of {}", self.name);
        for line in &state.lines[from..] {
            println!("{}", line.escape_debug());
        }
        // Whether it sleeps, in which call and with which time-out (proc_pid_syscall(5)).
        for about in ["stat", "syscall", "wchan"] {
            let path = format!("/proc/{}/{about}", self.pid());
            println!("---- {path}: {}", fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            return;
        }
        let _ = self.log.wait_end();
        let faults = self.faults();
        if !faults.is_empty() {
            self.show();
            panic!("the daemon's log has faults: {faults:#?}");
        }
    }
}

/// The lines of a panic.
fn panics(lines: &[String]) -> Vec<String> {
    let at = lines.iter().position(|line| line.contains("panicked at"));
    at.map(|at| lines[at..lines.len().min(at + 6)].to_vec()).unwrap_or_default()
}

/// What a daemon has written to its standard error.
#[derive(Default)]
struct Log {
    state: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    raw: Vec<u8>,
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(&self, stderr: ChildStderr) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let mut state = self.state.lock().unwrap();
            state.raw.extend_from_slice(&line);
            state.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
            self.more.notify_all();
        }
        self.state.lock().unwrap().ended = true;
        self.more.notify_all();
    }

    fn wait(&self, mark: usize, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + SOON;
        let mut state = self.state.lock().unwrap();
        let mut from = mark;
        loop {
            let found = state.lines[from..].iter().map(|l| text_of(l)).find(|text| wanted(text));
            if let Some(text) = found {
                return Some(text.to_owned());
            }
            from = state.lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            if state.ended {
                return None;
            }
            state = self.more.wait_timeout(state, left).unwrap().0;
        }
    }

    fn wait_end(&self) -> bool {
        let state = self.state.lock().unwrap();
        let ended = self.more.wait_timeout_while(state, SOON, |state| !state.ended);
        ended.unwrap().0.ended
    }
}

/// `2026-11-20T23:25:11.123Z info TEXT` without what stands before the text; a line of another
/// form (a panic) as it is.
fn text_of(line: &str) -> &str {
    let mut parts = line.splitn(3, ' ');
    let (time, level, text) = (parts.next(), parts.next(), parts.next());
    let levels = ["error", "warn", "info", "debug"];
    match (time, level, text) {
        (Some(time), Some(level), Some(text)) if time.ends_with('Z') && levels.contains(&level) => {
            text
        }
        _ => line,
    }
}

/// A finished run of the binary: for flags that print and end.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the daemon's binary to its end.
pub(crate) fn run(arguments: &[&str], directory: &Path) -> Finished {
    run_program(BINARY, arguments, directory)
}

/// Runs any program to its end.
pub(crate) fn run_program(program: &str, arguments: &[&str], directory: &Path) -> Finished {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let guard = Ended(child);
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).expect("what it prints");
    let stderr = errors.join().unwrap().expect("what it complains");
    Finished {
        code: guard.code(),
        stdout: String::from_utf8(bytes).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
    }
}

struct Ended(Child);

impl Ended {
    fn code(mut self) -> i32 {
        let status = eventually(SOON, "end of the run", || self.0.try_wait().expect("our child"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

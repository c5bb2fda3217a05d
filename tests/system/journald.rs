//! A lone journald that hangs, ends and comes back, in a mount namespace with a `/run`, `/dev` and
//! `/var/log` of its own. The daemon must serve all the while, lose no more than it has to, and say
//! how much that was.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{BINARY, can, eventually, get, run, server, write_library};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Ends a child when a test does, however it does.
struct Guard(Child);

impl Guard {
    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}")))
    }

    fn signal(&self, name: &str) {
        let done = run(Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]));
        assert_eq!(done, (Some(0), String::new()), "kill -{name}");
    }

    fn wait(&mut self) -> Option<i32> {
        eventually("the end of a child", || self.0.try_wait().expect("our child")).code()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The namespace. It lasts as long as its holder, and that as long as its standard input.
struct Place {
    holder: Guard,
}

impl Place {
    fn new() -> Self {
        const SETUP: &str = "set -e
            mount -t tmpfs tmpfs /var/log
            mount -t tmpfs tmpfs /run
            mkdir -p /run/systemd/journal /run/log /run/dev
            mount -t tmpfs tmpfs /run/dev
            for name in null zero full random urandom tty; do
                touch /run/dev/$name
                mount --bind /dev/$name /run/dev/$name
            done
            ln -s /run/systemd/journal/dev-log /run/dev/log
            mount --rbind /run/dev /dev
            echo made
            exec cat";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SETUP]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Guard::spawn(&mut command);
        let mut line = String::new();
        let stdout = holder.0.stdout.as_mut().expect("it was piped");
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "made\n", "no namespace with its own /run and /dev");
        Self { holder }
    }

    /// A command that runs in here; the process is the one that is named, with its pid.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--target={}", self.holder.0.id()), "--mount", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// A journald that takes lines.
    fn journald(&self) -> Guard {
        let mut command = self.command(JOURNALD);
        let journald = Guard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let path = format!("/proc/{}/root/run/systemd/journal/dev-log", self.holder.0.id());
        eventually("journald's socket", || UnixDatagram::unbound().unwrap().connect(&path).ok());
        journald
    }

    /// The daemon's lines, as the journal has them now.
    fn lines(&self) -> Vec<String> {
        run(self.command("journalctl").args(["--quiet", "--sync"]));
        let mut command = self.command("journalctl");
        let (_, text) = run(command.args(["--quiet", "-o", "cat", "-t", "vidstreamd"]));
        text.lines().map(str::to_owned).collect()
    }

    /// The first line after so many others that is as wanted.
    fn line(&self, after: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = || self.lines().into_iter().skip(after).find(|l| wanted(l));
        eventually(&format!("in the journal: {what}"), found)
    }
}

/// A daemon whose only log is the place's journal.
struct Daemon {
    process: Guard,
    http: u16,
    _dir: TempDir,
}

impl Daemon {
    fn start(place: &Place) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = write_library(&dir.path().join("movies"));
        let socket = dir.path().join("control");
        let text = server(&library, socket.to_str().expect("ours"), [0, 0, 19092]);
        let config = dir.path().join("server.toml");
        std::fs::write(&config, text).unwrap();
        let mut command = place.command(BINARY);
        command.arg("-c").arg(config).args(["--log-target", "syslog"]).env_remove("NOTIFY_SOCKET");
        let process = Guard::spawn(&mut command);
        place.line(0, "ready", |l| l.starts_with("ready"));
        let line = place.line(0, "the HTTP port", |l| l.starts_with("listening: http on "));
        let http = line.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        Self { process, http, _dir: dir }
    }

    /// It answers, so no write to a log holds it up.
    fn assert_serving(&self) {
        let answer = get(self.http, "/healthz").expect("an answer within its time");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Makes it write at least one line.
    fn reload(&self) {
        self.process.signal("HUP");
        self.assert_serving();
    }
}

fn needs_met() -> bool {
    can(true, &["unshare", "nsenter", "journalctl", JOURNALD])
}

#[test]
fn a_restart_of_journald_loses_no_line() {
    if !needs_met() {
        return;
    }
    let place = Place::new();
    let mut journald = place.journald();
    let mut daemon = Daemon::start(&place);
    journald.signal("TERM");
    journald.wait();
    let before = place.lines().len();
    daemon.reload();
    daemon.assert_serving();
    assert_eq!(place.lines().len(), before, "there is no journald");

    let _journald = place.journald();
    place.line(before, "what was said in between", |l| l.starts_with("reload:"));
    assert!(!place.lines().iter().any(|l| l.contains("dropped")), "{:#?}", place.lines());
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(), Some(0));
    place.line(before, "stopped", |l| l == "stopped");
}

#[test]
fn a_journald_that_hangs_holds_nobody_up_and_its_losses_are_counted() {
    if !needs_met() {
        return;
    }
    let place = Place::new();
    let journald = place.journald();
    let daemon = Daemon::start(&place);
    let before = place.lines().len();
    journald.signal("STOP");
    // More than the socket and the queue of the log hold together.
    let reloads = vidstreamd::base::limits::LOG_WAITING_MAX + 100;
    (0..reloads).for_each(|_| daemon.reload());
    journald.signal("CONT");

    let told = place.line(before, "the losses", |l| l.ends_with(" lines were dropped"));
    let dropped: usize = told.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    let lines = place.lines();
    let kept = lines.iter().skip(before).take_while(|l| **l != told).count();
    println!("{reloads} reloads: {kept} lines kept, {dropped} dropped");
    assert!(dropped > 0 && kept >= vidstreamd::base::limits::LOG_WAITING_MAX, "{kept} {dropped}");
    daemon.reload();
    place.line(before + kept + 1, "what is new", |l| l.starts_with("reload:"));
}

//! The real program as a child process, killed when the bench lets go of it, and what the kernel
//! says about it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;

use super::Outcome;
use super::films::EPOCH;

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_vidstreamd");
/// What should happen at once; long only because the machine may be busy.
const SOON: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(5);

/// A server's configuration: one channel for each movie, everything on ports of the system's
/// choice, no limit that a bench would meet.
pub(crate) fn configuration(library: &Path, movies: &[&str], callback_port: u16) -> String {
    let channels: String = movies.iter().enumerate().map(channel).collect();
    format!(
        "role = \"server\"\n\
         [library]\ndirectory = \"{}\"\n\
         {channels}\
         [tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = {callback_port}\n\
         callback_allow = [\"loopback\"]\nmax_clients = 4000\ncommands_max = 4000\n\
         [http]\nlisten = \"127.0.0.1:0\"\nconnections_max = 15000\nper_address_max = 0\n",
        library.display()
    )
}

fn channel((number, movie): (usize, &&str)) -> String {
    format!(
        "[[channel]]\nnumber = {number}\nname = \"Load {number}\"\nplaylist = [{movie:?}]\n\
         repeat = true\nepoch = {EPOCH}\n"
    )
}

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where it takes three-byte commands.
    pub(crate) tv: SocketAddr,
    /// Where it answers HTTP.
    pub(crate) http: SocketAddr,
}

impl Daemon {
    /// Starts with this configuration, written into `directory` beside the log; returns when it is
    /// ready.
    pub(crate) fn start(directory: &Path, configuration: &str) -> Outcome<Self> {
        Self::start_by(&[], directory, configuration)
    }

    /// The same behind other words, such as those that put it on a host of its own.
    pub(crate) fn start_by(
        before: &[String],
        directory: &Path,
        configuration: &str,
    ) -> Outcome<Self> {
        let file = directory.join("bench.toml");
        fs::write(&file, configuration)?;
        let log = directory.join("log");
        let mut command = command_by(before, &file);
        let child = command.stderr(File::create(&log)?).spawn()?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self { child, log, tv: nowhere, http: nowhere };
        daemon.wait_for_log("ready: ")?;
        // A client serves no tv.
        daemon.tv = daemon.listens("tv").unwrap_or(nowhere);
        daemon.http = daemon.listens("http")?;
        Ok(daemon)
    }

    /// Where a service listens, as the log says.
    pub(crate) fn listens(&self, service: &str) -> Outcome<SocketAddr> {
        let head = format!("listening: {service} on ");
        let log = self.log()?;
        let place = log.lines().find_map(|line| line.split_once(&head));
        Ok(place.ok_or_else(|| format!("no line {head:?} in the log"))?.1.trim().parse()?)
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> Outcome<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    fn wait_for_log(&mut self, words: &str) -> Outcome<()> {
        let deadline = Instant::now() + SOON;
        while !self.log()?.contains(words) {
            if Instant::now() > deadline || self.child.try_wait()?.is_some() {
                return Err(format!("the daemon does not say {words:?}:\n{}", self.log()?).into());
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its `/status.json`.
    pub(crate) fn status(&self) -> Outcome<Value> {
        let mut stream = TcpStream::connect(self.http)?;
        stream.set_read_timeout(Some(SOON))?;
        stream
            .write_all(b"GET /status.json HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body in the answer")?;
        Ok(serde_json::from_str(body)?)
    }

    /// One number of the status, by its path.
    pub(crate) fn figure(&self, path: &str) -> Outcome<u64> {
        let status = self.status()?;
        let value = status.pointer(path).and_then(Value::as_u64);
        value.ok_or_else(|| format!("no number at {path} in the status").into())
    }

    /// Processor time it has used.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        cpu(self.pid())
    }

    /// Asks it to stop and waits; its log must hold no panic.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status()?;
        let deadline = Instant::now() + SOON;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("the daemon does not stop".into());
            }
            std::thread::sleep(GLANCE);
        }
        let log = self.log()?;
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => Err(line.to_owned().into()),
            None => Ok(()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The command that starts the program with a configuration file.
pub(crate) fn command(configuration: &Path) -> Command {
    command_by(&[], configuration)
}

fn command_by(before: &[String], configuration: &Path) -> Command {
    let mut words = before.iter().map(String::as_str).chain([BINARY]);
    let mut command = Command::new(words.next().unwrap_or(BINARY));
    command.args(words);
    command.arg("-c").arg(configuration).args(["--log-target", "stderr"]);
    command.env_remove("NOTIFY_SOCKET").env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Processor time that a process has used.
pub(crate) fn cpu(pid: u32) -> Outcome<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.into())
}

/// Bytes of a process's memory: one line of `/proc/PID/status`, such as `VmRSS` or `RssAnon`.
pub(crate) fn memory(pid: u32, line: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let found = found.ok_or_else(|| format!("no {line} in the status of {pid}"))?;
    Ok(found.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// How long a process was ready to run while others had the processors; nothing where the kernel
/// does not count it.
pub(crate) fn waited(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

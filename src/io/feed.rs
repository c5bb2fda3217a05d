//! Bytes for a player, at the speed at which it takes them: a command's standard input, or our own
//! standard output. It never waits: what is not taken now is offered again. Only `vidstream files`
//! uses it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::base::limits;

/// Who takes the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taker {
    /// This command of a shell.
    Player(String),
    /// Whoever reads our standard output.
    Stdout,
    /// A pipe or a device.
    Device(PathBuf),
}

/// A player that is fed.
#[derive(Debug)]
pub struct Feed {
    to: Option<File>,
    child: Option<Child>,
}

impl Feed {
    /// Starts the player.
    ///
    /// # Errors
    /// The system's, when there is no shell.
    pub fn open(taker: &Taker) -> io::Result<Self> {
        match taker {
            Taker::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                Ok(Self { to: Some(stdout.into()), child: None })
            }
            Taker::Device(path) => {
                let to = File::options().write(true).open(path)?;
                Ok(Self { to: Some(to), child: None })
            }
            Taker::Player(command) => {
                // The shell gives its place to the player, so that ending one ends the other.
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::piped());
                let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
                let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
                Ok(Self { to: Some(OwnedFd::from(stdin).into()), child: Some(child) })
            }
        }
    }

    /// Whether it takes something now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let Some(to) = &self.to else { return false };
        let mut ask = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
        poll(&mut ask, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Gives it at most [`limits::FILES_FEED_BYTES`], when it is ready: a pipe that takes any takes
    /// so many at once.
    ///
    /// # Errors
    /// The system's; `BrokenPipe` when it has ended.
    pub fn give(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(limits::FILES_FEED_BYTES)];
        self.to.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |to| to.write(bytes))
    }

    /// It has everything: waits until a player has played that.
    pub fn finish(mut self) {
        self.to = None;
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

//! Where the bytes of a song go: a player's standard input, a file, or our standard output. A
//! player takes them at the speed at which it plays, so that its pipe is written without waiting
//! and what it does not take yet is kept, up to a bound that the caller heeds. Only `vidstream`
//! uses it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mio::unix::pipe::Sender;
use mio::{Interest, Registry, Token};

use crate::base::limits;

/// Where songs go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// To this command of a shell.
    Player(String),
    /// To this file, each song from its beginning.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// One song after the other to a place.
#[derive(Debug)]
pub struct Outlet {
    place: Place,
    child: Option<Child>,
    pipe: Option<Sender>,
    file: Option<File>,
    /// Bytes that the player has not taken.
    kept: Vec<u8>,
    given: u64,
    ending: bool,
}

impl Outlet {
    /// Nothing under way.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let kept = Vec::new();
        Self { place, child: None, pipe: None, file: None, kept, given: 0, ending: false }
    }

    /// Where songs go.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A song begins; an earlier one is cut off. Room in a player's pipe wakes the poll of this
    /// registry.
    ///
    /// # Errors
    /// The system's, when there is no such file or no shell.
    pub fn begin(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.abort();
        match &self.place {
            Place::Player(command) => {
                // The shell gives its place to the player, so that ending one ends the other.
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("exec {command}")]).stdin(Stdio::piped());
                let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
                let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
                let mut pipe = Sender::from(stdin);
                pipe.set_nonblocking(true)?;
                registry.register(&mut pipe, token, Interest::WRITABLE)?;
                (self.child, self.pipe) = (Some(child), Some(pipe));
            }
            Place::File(path) => self.file = Some(File::create(path)?),
            Place::Stdout => {}
        }
        Ok(())
    }

    /// The next bytes of the song.
    ///
    /// # Errors
    /// The system's; of a player that has ended `BrokenPipe`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&self.place, &mut self.file) {
            (Place::Player(_), _) => {
                self.kept.extend_from_slice(bytes);
                return self.flush();
            }
            (_, Some(file)) => file.write_all(bytes)?,
            (_, None) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
            }
        }
        self.given += bytes.len() as u64;
        Ok(())
    }

    /// Gives the player what it takes now.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.kept.is_empty()) {
            match pipe.write(&self.kept) {
                Ok(count) => {
                    self.kept.drain(..count);
                    self.given += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.ending {
            self.pipe = None;
        }
        Ok(())
    }

    /// The song is whole: the player gets its end behind what it has not taken yet.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn end(&mut self) -> io::Result<()> {
        self.file = None;
        self.ending = true;
        self.flush()
    }

    /// Cuts the song off, and its player.
    pub fn abort(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
        (self.pipe, self.file) = (None, None);
        self.kept.clear();
        (self.given, self.ending) = (0, false);
    }

    /// Whether no more should come for now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kept.len() >= limits::OUTLET_BYTES_MAX
    }

    /// Whether a player still has to take something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pipe.is_some() && !self.kept.is_empty()
    }

    /// Bytes of the song that were taken.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Waits until the player has played what it has; how it ended, if not well.
    pub fn wait(&mut self) -> Option<String> {
        let status = self.child.take()?.wait();
        match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.abort();
    }
}

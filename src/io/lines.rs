//! A source of lines: a file, or a FIFO that others write to. It hands up bytes and says when there
//! are no more; what a line is, and what becomes of it, is decided above. Owned by the reactor.
//!
//! A FIFO without writers is at its end and would be reported as such for ever. So at each end it
//! is opened anew, and only then closed: a writer in between finds a reader. A file begins anew.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::libc;

/// A file or FIFO that is read, when it is not held.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
    fifo: bool,
    pub(super) held: bool,
    readable: bool,
}

/// What reading gave.
#[derive(Debug)]
pub enum Taken {
    /// So many bytes of the caller's buffer.
    Bytes(usize),
    /// There is no more; what comes next is a new source.
    Ended,
    /// Nothing now.
    Nothing,
}

impl Lines {
    /// Opens it; it begins held.
    ///
    /// # Errors
    /// The system's, or that it is neither a file nor a FIFO.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, fifo) = open(path)?;
        Ok(Self { path: path.to_owned(), file, fifo, held: true, readable: !fifo })
    }

    /// Whether somebody writes it while it is read.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.fifo
    }

    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        // A file is always ready, and epoll knows it not.
        if self.fifo {
            SourceFd(&self.file.as_raw_fd()).register(registry, token, Interest::READABLE)?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self) {
        self.readable = true;
    }

    pub(super) fn wants_read(&self) -> bool {
        self.readable && !self.held
    }

    /// Reads once.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        (registry, token): (&Registry, Token),
    ) -> io::Result<Taken> {
        match self.file.read(buffer) {
            // Before its first writer a FIFO is at its end too, but then no event brought us here.
            Ok(0) if self.fifo => self.reopen(registry, token).map(|()| Taken::Ended),
            Ok(0) => self.file.rewind().map(|()| Taken::Ended),
            Ok(count) => Ok(Taken::Bytes(count)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Taken::Nothing)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Taken::Nothing),
            Err(e) => Err(e),
        }
    }

    fn reopen(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let (file, fifo) = open(&self.path)?;
        SourceFd(&self.file.as_raw_fd()).deregister(registry)?;
        (self.file, self.fifo) = (file, fifo);
        self.readable = false;
        self.register(registry, token)
    }
}

/// Never waits for a writer.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_fifo() {
        return Ok((file, kind.is_fifo()));
    }
    Err(io::Error::other("neither a file nor a FIFO"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use mio::{Events, Poll};
    use nix::sys::stat::Mode;

    use super::*;

    const TOKEN: Token = Token(3);

    struct World {
        poll: Poll,
        lines: Lines,
    }

    impl World {
        fn new(path: &Path) -> Self {
            let poll = Poll::new().unwrap();
            let mut lines = Lines::open(path).unwrap();
            lines.held = false;
            lines.register(poll.registry(), TOKEN).unwrap();
            Self { poll, lines }
        }

        fn wait(&mut self) -> bool {
            let mut events = Events::with_capacity(4);
            self.poll.poll(&mut events, Some(Duration::from_millis(200))).unwrap();
            let came = events.iter().next().is_some();
            self.lines.readable |= came;
            came
        }

        fn read(&mut self) -> Option<String> {
            let mut buffer = [0; 64];
            match self.lines.read(&mut buffer, (self.poll.registry(), TOKEN)).unwrap() {
                Taken::Bytes(count) => Some(String::from_utf8_lossy(&buffer[..count]).into()),
                Taken::Ended => Some("END".into()),
                Taken::Nothing => None,
            }
        }
    }

    #[test]
    fn a_fifo_ends_with_each_writer_and_is_quiet_in_between() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut world = World::new(&path);
        assert!(world.lines.is_live() && !world.wait(), "no writer, no event");
        for text in ["one\n", "two\n"] {
            let mut writer = File::options().write(true).open(&path).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            assert!(world.wait());
            assert_eq!(world.read().as_deref(), Some(text));
            assert_eq!(world.read(), None);
            assert!(!world.lines.wants_read());
            drop(writer);
            assert!(world.wait());
            assert_eq!(world.read().as_deref(), Some("END"));
            assert!(!world.wait(), "one end is told once");
        }
    }

    #[test]
    fn a_file_begins_anew_after_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        std::fs::write(&path, "one\n").unwrap();
        let mut world = World::new(&path);
        for _ in 0..2 {
            assert_eq!(world.read().as_deref(), Some("one\n"));
            assert_eq!(world.read().as_deref(), Some("END"));
        }
        assert!(!world.lines.is_live());
        let error = Lines::open(directory.path()).unwrap_err().to_string();
        assert_eq!(error, "neither a file nor a FIFO");
    }
}

//! A file that is being received: under a name of its own until it is whole, hashed as it grows,
//! and kept when it is interrupted. Only `vidstream files` uses it.
//!
//! The name is made of the wanted one and of the tag that the server gives its file, so that the
//! rest of another file is never taken for this one. `.part` may have holes, but none before its
//! last 8 MiB, because no more is ever wanted beyond the first hole; `.rest` has none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::uio::pwritev;

use crate::base::limits;

/// Slices that one call to the system writes.
const SLICES: usize = 512;

/// A file on its way.
#[derive(Debug)]
pub struct Part {
    file: Flock<File>,
    names: Option<Names>,
    hasher: blake3::Hasher,
    hashed: u64,
    /// Bytes right behind those that are hashed, gathered as they were written: long runs hash
    /// several times faster, and need not be read again.
    gathered: Vec<u8>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Names {
    target: PathBuf,
    part: PathBuf,
    rest: PathBuf,
}

impl Names {
    fn of(target: &Path, tag: u64) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::other("it is no file name"))?;
        let with = |end: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{tag:016x}.{end}"));
            target.with_file_name(hidden)
        };
        Ok(Self { target: target.to_owned(), part: with("part"), rest: with("rest") })
    }
}

impl Part {
    /// Opens what there is of a file, or a new one; and up to where it is there.
    ///
    /// # Errors
    /// The system's, and when another program receives the same file just now.
    pub fn open(target: &Path, tag: u64) -> io::Result<(Self, u64)> {
        let names = Names::of(target, tag)?;
        let whole = fs::rename(&names.rest, &names.part).is_ok();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&names.part)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, _)| io::Error::other("another program receives it just now"))?;
        let len = file.metadata()?.len();
        let from = if whole { len } else { len.saturating_sub(limits::FILES_BUFFER_BYTES) };
        file.set_len(from)?;
        Ok((Self::new(file, Some(names)), from))
    }

    /// One without a name, gone when it is dropped.
    ///
    /// # Errors
    /// The system's.
    pub fn nameless() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir())?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Self::new(file, None))
    }

    fn new(file: Flock<File>, names: Option<Names>) -> Self {
        let hasher = blake3::Hasher::new();
        Self { file, names, hasher, hashed: 0, gathered: Vec::new(), buffer: Vec::new() }
    }

    /// Starts anew, with nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn clear(&mut self) -> io::Result<()> {
        (self.hasher, self.hashed) = (blake3::Hasher::new(), 0);
        self.gathered.clear();
        self.file.set_len(0)
    }

    /// Writes pieces to their places; what lies together goes in one call.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, pieces: &[(u64, &[u8])]) -> io::Result<()> {
        let mut rest = pieces;
        while let Some((start, _)) = rest.first() {
            let (mut slices, mut end) = (Vec::with_capacity(SLICES.min(rest.len())), *start);
            for (offset, bytes) in rest.iter().take(SLICES) {
                if *offset != end {
                    break;
                }
                slices.push(IoSlice::new(bytes));
                end += bytes.len() as u64;
            }
            self.write_at(*start, &slices, end - start)?;
            rest = &rest[slices.len()..];
        }
        for (offset, bytes) in pieces {
            self.gather(*offset, bytes);
        }
        Ok(())
    }

    /// Keeps what goes on where the hash is; what does not is read again by [`Part::hash`].
    fn gather(&mut self, offset: u64, bytes: &[u8]) {
        if offset != self.hashed() {
            return;
        }
        self.gathered.extend_from_slice(bytes);
        // Whole pieces of this length, because the hash is a tree of them.
        if self.gathered.len() >= limits::FILES_HASH_BYTES {
            self.hasher.update(&self.gathered[..limits::FILES_HASH_BYTES]);
            self.hashed += limits::FILES_HASH_BYTES as u64;
            self.gathered.drain(..limits::FILES_HASH_BYTES);
        }
    }

    fn write_at(&self, at: u64, slices: &[IoSlice<'_>], len: u64) -> io::Result<()> {
        let offset = libc::off_t::try_from(at).map_err(io::Error::other)?;
        let done = pwritev(&*self.file, slices, offset)? as u64;
        if done == len {
            return Ok(());
        }
        // A signal or a disk that is nearly full: the rest piece by piece, for its own reason.
        let mut from = 0;
        for slice in slices {
            let skip = done.saturating_sub(from).min(slice.len() as u64);
            let bytes = &slice[usize::try_from(skip).unwrap_or(slice.len())..];
            self.file.write_all_at(bytes, at + from + skip)?;
            from += slice.len() as u64;
        }
        Ok(())
    }

    /// Reads what is there already.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    /// Hashes on, up to here, but no more than so many bytes; whether it got there.
    ///
    /// # Errors
    /// The system's.
    pub fn hash(&mut self, upto: u64, most: u64) -> io::Result<bool> {
        if self.hashed() >= upto {
            return Ok(true);
        }
        self.hasher.update(&self.gathered);
        self.hashed += self.gathered.len() as u64;
        self.gathered.clear();
        self.buffer.resize(limits::FILES_HASH_BYTES, 0);
        let until = upto.min(self.hashed.saturating_add(most));
        while self.hashed < until {
            let left = usize::try_from(until - self.hashed).unwrap_or(usize::MAX);
            let step = left.min(self.buffer.len());
            self.file.read_exact_at(&mut self.buffer[..step], self.hashed)?;
            self.hasher.update(&self.buffer[..step]);
            self.hashed += step as u64;
        }
        Ok(self.hashed >= upto)
    }

    /// Bytes that need not be read to be hashed.
    fn hashed(&self) -> u64 {
        self.hashed + self.gathered.len() as u64
    }

    /// The hash of what is hashed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.gathered);
        *hasher.finalize().as_bytes()
    }

    /// It is whole: it gets its name, in place of what has it, and can still be read.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&mut self) -> io::Result<()> {
        self.names.take().map_or(Ok(()), |names| fs::rename(&names.part, &names.target))
    }

    /// It ends here, and may go on from here another time.
    ///
    /// # Errors
    /// The system's.
    pub fn interrupt(self, contiguous: u64) -> io::Result<()> {
        let Some(names) = &self.names else { return Ok(()) };
        if contiguous == 0 {
            return fs::remove_file(&names.part);
        }
        self.file.set_len(contiguous)?;
        fs::rename(&names.part, &names.rest)
    }

    /// It is no good.
    ///
    /// # Errors
    /// The system's.
    pub fn discard(self) -> io::Result<()> {
        self.names.as_ref().map_or(Ok(()), |names| fs::remove_file(&names.part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gets_its_name_when_it_is_whole_and_its_hash_grows_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.mkv");
        let (mut part, from) = Part::open(&target, 1).unwrap();
        assert_eq!(from, 0);
        assert!(Part::open(&target, 1).is_err(), "only one at a time");
        part.write(&[(6, b"world"), (0, b"hel"), (3, b"lo ")]).unwrap();
        assert!(part.hash(5, 100).unwrap() && !part.hash(11, 2).unwrap());
        assert!(part.hash(11, 100).unwrap());
        assert_eq!(part.digest(), *blake3::hash(b"hello world").as_bytes());
        assert!(!target.exists());
        part.keep().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"hello world");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_hash_is_that_of_the_file_in_whatever_order_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n * 7 / 3).to_le_bytes()[1]).collect();
        for (number, swap) in [(0, 0), (1, 3), (2, 50)] {
            let target = folder.path().join(format!("{number}"));
            let mut part = Part::open(&target, 1).unwrap().0;
            let mut pieces: Vec<_> = (0_u64..).step_by(9_000).zip(bytes.chunks(9_000)).collect();
            pieces.swap(10, 10 + swap);
            for (number, some) in pieces.chunks(7).enumerate() {
                part.write(some).unwrap();
                if number == 4 {
                    part.hash(90_000, u64::MAX).unwrap();
                }
            }
            let all = bytes.len() as u64;
            assert!((0..100).any(|_| part.hash(all, 300_000).unwrap()), "it comes to its end");
            assert_eq!(part.digest(), *blake3::hash(&bytes).as_bytes(), "{swap}");
        }
    }

    #[test]
    fn what_was_interrupted_goes_on_and_what_was_killed_goes_on_before_its_holes() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.mkv");
        let (mut part, _) = Part::open(&target, 1).unwrap();
        part.write(&[(0, b"hello"), (8, b"hole")]).unwrap();
        part.interrupt(5).unwrap();
        assert_eq!(Part::open(&target, 2).unwrap().1, 0, "another file");
        let (mut part, from) = Part::open(&target, 1).unwrap();
        assert_eq!(from, 5);
        part.write(&[(limits::FILES_BUFFER_BYTES + 9, b"x")]).unwrap();
        drop(part);
        assert_eq!(Part::open(&target, 1).unwrap().1, 10);
    }
}

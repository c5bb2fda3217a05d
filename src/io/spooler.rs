//! Blocks onto disk, a slice a turn: temporary name, room asked for first, then the final name
//! without ever replacing a file. Owned by the daemon; told by the node what to store and remove.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, RenameFlags, fallocate, openat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::base::port::StoreError;
use crate::io::blobs::{Map, Part, write_parts};

/// Bytes written in one turn of the loop.
const SLICE_BYTES: u64 = 1 << 20;
/// Blocks waiting to be written; a disk slower than the channel must not fill the memory.
const WAITING: usize = 16;
/// What temporary names begin with; leftovers are removed at the start.
const TEMPORARY: &str = ".partial-";

/// A file that is in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

#[derive(Debug)]
struct Job {
    map: Rc<Map>,
    len: u64,
    name: Rc<str>,
    open: Option<(File, u64)>,
}

/// The store's directory and the blocks on their way into it.
#[derive(Debug)]
pub struct Spooler {
    directory: File,
    jobs: VecDeque<Job>,
}

impl Spooler {
    /// Opens the store, making the directory if need be; also what it holds already.
    ///
    /// # Errors
    /// The system's, when the directory cannot be made, read or written.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<StoredFile>)> {
        std::fs::create_dir_all(path)?;
        let directory = File::open(path)?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(TEMPORARY) {
                unlinkat(&directory, name.as_str(), UnlinkatFlags::NoRemoveDir).ok();
            } else if let Ok(meta) = entry.metadata().map(|m| (m.is_file(), m.len())) {
                files.extend(meta.0.then_some(StoredFile { name, bytes: meta.1 }));
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { directory, jobs: VecDeque::new() }, files))
    }

    /// Queues a block; what is too much is given back as an answer at once.
    pub(super) fn store(&mut self, map: Rc<Map>, len: u64, name: Rc<str>) -> Option<Done> {
        if self.jobs.len() >= WAITING {
            let why = "the disk is slower than the channel".into();
            return Some((name, Err(StoreError::Other(why))));
        }
        self.jobs.push_back(Job { map, len, name, open: None });
        None
    }

    /// Removes a stored file.
    pub(super) fn remove(&self, name: &str) {
        if is_plain(name) {
            unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir).ok();
        }
    }

    /// Whether there is something to write.
    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Writes one slice; an answer when a block is over.
    pub(super) fn step(&mut self) -> Option<Done> {
        let job = self.jobs.front_mut()?;
        match job.step(&self.directory) {
            Ok(false) => None,
            result => {
                let job = self.jobs.pop_front().expect("it was just looked at");
                Some((Rc::clone(&job.name), job.finish(&self.directory, result)))
            }
        }
    }
}

/// The outcome of one block: its name, and its bytes or why not.
pub(super) type Done = (Rc<str>, Result<u64, StoreError>);

impl Job {
    fn step(&mut self, directory: &File) -> io::Result<bool> {
        if self.open.is_none() {
            self.open = Some((create(directory, &temporary(&self.name), self.len)?, 0));
        }
        let Some((file, at)) = &mut self.open else { return Ok(false) };
        let step = (self.len - *at).min(SLICE_BYTES);
        let put = write_parts(file.as_fd(), &[Part::Mapped(&self.map, *at, step)])?;
        *at += put as u64;
        Ok(*at == self.len)
    }

    fn finish(self, directory: &File, result: io::Result<bool>) -> Result<u64, StoreError> {
        let temporary = temporary(&self.name);
        let named = result.and_then(|_| {
            let flags = RenameFlags::RENAME_NOREPLACE;
            renameat2(directory, &temporary, directory, Path::new(&*self.name), flags)?;
            Ok(self.len)
        });
        named.map_err(|error| {
            unlinkat(directory, &temporary, UnlinkatFlags::NoRemoveDir).ok();
            reason(&error)
        })
    }
}

fn temporary(name: &str) -> PathBuf {
    PathBuf::from(format!("{TEMPORARY}{name}"))
}

/// Makes the temporary file with all its room, so that a full disk shows before a byte is written.
fn create(directory: &File, name: &Path, len: u64) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP;
    let file = File::from(openat(directory, name, flags | OFlag::O_NOFOLLOW, mode)?);
    let room = i64::try_from(len).map_err(io::Error::other)?;
    match fallocate(&file, FallocateFlags::empty(), 0, room) {
        // Not every file system can; there the write itself tells.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(file),
        Err(error) => Err(error.into()),
    }
}

fn reason(error: &io::Error) -> StoreError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => StoreError::Full,
        Some(Errno::EEXIST) => StoreError::Taken,
        _ => StoreError::Other(error.to_string()),
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn map(directory: &Path, bytes: &[u8]) -> Rc<Map> {
        let mut file = File::create(directory.join("source")).unwrap();
        file.write_all(bytes).unwrap();
        Rc::new(Map::open(File::open(directory).unwrap().as_fd(), "source").unwrap().0)
    }

    fn finish(spooler: &mut Spooler) -> Done {
        (0..100).find_map(|_| spooler.step()).expect("a block is stored in a hundred slices")
    }

    #[test]
    fn a_block_is_stored_whole_and_never_over_another() {
        let (source, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes = vec![9; 3_000_000];
        let map = map(source.path(), &bytes);
        let (mut spooler, found) = Spooler::open(store.path()).unwrap();
        assert!(found.is_empty());
        assert_eq!(spooler.store(Rc::clone(&map), 3_000_000, "a".into()), None);
        assert_eq!(finish(&mut spooler), ("a".into(), Ok(3_000_000)));
        assert_eq!(std::fs::read(store.path().join("a")).unwrap(), bytes);
        spooler.store(map, 3, "a".into());
        assert_eq!(finish(&mut spooler), ("a".into(), Err(StoreError::Taken)));
        assert_eq!(std::fs::read(store.path().join("a")).unwrap(), bytes);
        let (_, found) = Spooler::open(store.path()).unwrap();
        assert_eq!(found, [StoredFile { name: "a".into(), bytes: 3_000_000 }]);
    }

    #[test]
    fn leftovers_of_a_crash_are_removed_at_the_start() {
        let store = tempfile::tempdir().unwrap();
        std::fs::write(store.path().join(".partial-x"), b"half").unwrap();
        let (_, found) = Spooler::open(store.path()).unwrap();
        assert!(found.is_empty());
        assert!(!store.path().join(".partial-x").exists());
    }

    #[test]
    fn a_queue_that_grows_without_end_is_refused() {
        let (source, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let map = map(source.path(), b"abc");
        let (mut spooler, _) = Spooler::open(store.path()).unwrap();
        for n in 0..WAITING {
            assert_eq!(spooler.store(Rc::clone(&map), 3, n.to_string().into()), None);
        }
        assert!(matches!(spooler.store(map, 3, "x".into()), Some((_, Err(_)))));
    }
}

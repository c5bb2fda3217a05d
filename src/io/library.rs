//! The movies folder, read: directories and index files in, a catalog and findings out. What the
//! names mean is `media`'s; opening a block for the air is `io/blobs`'. `daemon.rs` calls it at
//! start and on reload, `--check` too.
//!
//! The start must not wait for the size of a library, so the scan only reads directories, indexes
//! and a few headers. It makes no stat and no string a file; what needs a stat of every file is
//! left to a [`Survey`], which runs in slices once the program is ready.
//!
//! Nothing here leaves the library (`io/beneath`) or waits for a pipe (`O_NONBLOCK`, and the type
//! is looked at before a byte is read).

use core::time::Duration;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use nix::dir::{Dir, Entry, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::io::beneath::open_beneath;
use crate::media::Options;
use crate::media::catalog::{Catalog, Movie};
use crate::media::duration::{ReadAt, duration};
use crate::media::finding::{Bound, Findings, Odd, Unfit, shown};
use crate::media::folder::Folder;
use crate::media::name;

pub use crate::media::finding::Finding;
pub use survey::{Survey, survey_all};

mod survey;

#[cfg(test)]
mod tests;

/// Why a library cannot be read at all.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LibraryError {
    /// Nothing is there.
    #[error("{path}: no such directory; create it or correct the path in the configuration")]
    Missing {
        /// The library.
        path: String,
    },
    /// Something else is there.
    #[error("{path}: not a directory; name the directory that holds the movies")]
    NotADirectory {
        /// The library.
        path: String,
    },
    /// Not for us.
    #[error("{path}: permission denied; let the user of this program read and enter it")]
    Denied {
        /// The library.
        path: String,
    },
    /// Anything else.
    #[error("{path}: cannot be read: {why}")]
    Failed {
        /// The library.
        path: String,
        /// In the system's words.
        why: &'static str,
    },
}

/// A library that was read.
#[derive(Debug)]
pub struct Scan {
    /// Its movies.
    pub catalog: Catalog,
    /// What is amiss, as far as names tell.
    pub findings: Vec<Finding>,
    root: Rc<OwnedFd>,
    /// The directories inside it, and it itself as the empty one.
    folders: Vec<Box<str>>,
}

impl Scan {
    /// The bytes of a block, by its path in the library.
    ///
    /// # Errors
    /// Why it cannot be read, in a few words.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let file = open_file(&self.root, path).map_err(|error| error.desc().to_owned())?;
        let file = file.ok_or_else(|| "not a regular file".to_owned())?;
        let mut bytes = Vec::new();
        // One byte more than a block may have, so that too many are told.
        let read = file.take(limits::BLOCK_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// Reads a library: blocks and indexes directly in `directory` and in the directories there.
///
/// # Errors
/// When `directory` itself cannot be read. What is amiss inside it is a finding.
pub fn scan(directory: &Path, options: &Options) -> Result<Scan, LibraryError> {
    let root = open(directory, DIRECTORY, Mode::empty()).map_err(|e| refused(directory, e))?;
    let mut scanner = Scanner { root, options, kept: Kept::default() };
    let mut folders: Vec<Box<str>> = vec!["".into()];
    folders.append(&mut scanner.folder("").map_err(|e| refused(directory, e))?);
    for folder in &folders[1..] {
        if let Err(error) = scanner.folder(folder) {
            let path = shown("", folder.as_bytes());
            let why = error.desc().to_owned();
            scanner.kept.findings.push(Finding::Unreadable { path, why });
        }
    }
    let Scanner { root, kept: Kept { movies, mut findings, .. }, .. } = scanner;
    let (catalog, more) = Catalog::new(movies);
    findings.absorb(more);
    Ok(Scan { catalog, findings: findings.into_vec(), root: Rc::new(root), folders })
}

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);
const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

struct Scanner<'a> {
    root: OwnedFd,
    options: &'a Options,
    kept: Kept,
}

/// What the directories read so far have given.
#[derive(Default)]
struct Kept {
    movies: Vec<Movie>,
    blocks: usize,
    findings: Findings,
}

impl Scanner<'_> {
    /// Reads one directory; the directories in it, for the library's own.
    fn folder(&mut self, path: &str) -> Result<Vec<Box<str>>, Errno> {
        let mut dir = open_folder(&self.root, path)?;
        let mut reading = Reading { root: &self.root, folder: Folder::new(path), inner: vec![] };
        for entry in dir.iter() {
            reading.entry(&entry?);
        }
        let Reading { mut folder, mut inner, .. } = reading;
        for name in folder.indexes() {
            self.index(&mut folder, &name);
        }
        let mut header = |name: &str| header(&self.root, &join(path, name));
        let (movies, findings) = folder.finish(self.options, &mut header);
        self.kept.findings.absorb(findings);
        self.kept.keep(movies);
        inner.sort_unstable();
        Ok(inner)
    }

    fn index(&self, folder: &mut Folder, name: &str) {
        match read_index(&self.root, &join(folder.path(), name)) {
            Ok(text) => folder.index(name, &text),
            Err(NoIndex::Unfit(why)) => folder.unfit(name, 0, why),
            Err(NoIndex::Failed(error)) => {
                folder.unreadable(name.as_bytes(), error.desc().to_owned());
            }
        }
    }
}

impl Kept {
    /// Takes movies as long as there is room for their blocks.
    fn keep(&mut self, movies: Vec<Movie>) {
        for movie in movies {
            let blocks = self.blocks + movie.blocks() as usize;
            if blocks > limits::LIBRARY_BLOCKS_MAX {
                let path = movie.shown();
                self.findings.push(Finding::LeftOut { path, why: Bound::Blocks });
            } else {
                self.blocks = blocks;
                self.movies.push(movie);
            }
        }
    }
}

/// One directory while its entries come in.
struct Reading<'a> {
    root: &'a OwnedFd,
    folder: Folder,
    inner: Vec<Box<str>>,
}

impl Reading<'_> {
    fn entry(&mut self, entry: &Entry) {
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") {
            return;
        }
        match self.kind(name, entry.file_type()) {
            Kind::File => self.folder.file(name),
            Kind::Directory => self.directory(name),
            Kind::Stranger(why) => self.folder.stranger(name, why),
        }
    }

    /// What an entry is; file systems that do not tell are asked only about names that no block
    /// has, the [`Survey`] finds out about the others.
    fn kind(&self, name: &[u8], told: Option<Type>) -> Kind {
        let block = || core::str::from_utf8(name).is_ok_and(|n| name::parse(n).is_some());
        match told {
            Some(Type::File) => Kind::File,
            Some(Type::Directory) => Kind::Directory,
            None if block() => Kind::File,
            None | Some(Type::Symlink) => look(self.root, &join_bytes(self.folder.path(), name)),
            Some(_) => Kind::Stranger(Odd::Special),
        }
    }

    fn directory(&mut self, name: &[u8]) {
        let safe = name::safe(name);
        if safe.is_some_and(|n| name::parse(n).is_some()) {
            self.folder.stranger(name, Odd::DirectoryAsBlock);
        } else if !self.folder.path().is_empty() {
            self.folder.stranger(name, Odd::TooDeep);
        } else if let Some(name) = safe.filter(|_| self.inner.len() < limits::LIBRARY_FOLDERS_MAX) {
            self.inner.push(name.into());
        } else {
            let why = if safe.is_some() { Odd::TooManyFolders } else { Odd::UnsafeName };
            self.folder.stranger(name, why);
        }
    }
}

enum Kind {
    File,
    Directory,
    Stranger(Odd),
}

/// What a path leads to, links followed inside the library.
fn look(root: &OwnedFd, path: &[u8]) -> Kind {
    let Ok(fd) = beneath(root, path, LOOK) else { return Kind::Stranger(Odd::LinkOut) };
    match file_type(&fd) {
        Ok(SFlag::S_IFREG) => Kind::File,
        Ok(SFlag::S_IFDIR) => Kind::Directory,
        _ => Kind::Stranger(Odd::Special),
    }
}

fn file_type(fd: &impl AsFd) -> Result<SFlag, Errno> {
    Ok(SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits()))
}

/// Opens a path relative to the library; what leads out of it is refused.
fn beneath(root: &OwnedFd, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    open_beneath(root.as_fd(), OsStr::from_bytes(path), flags)
}

fn open_folder(root: &OwnedFd, path: &str) -> Result<Dir, Errno> {
    let path = if path.is_empty() { "." } else { path };
    Dir::from_fd(beneath(root, path.as_bytes(), DIRECTORY)?)
}

/// Opens a regular file of the library; whatever else is there is not waited for.
fn open_file(root: &OwnedFd, path: &str) -> Result<Option<File>, Errno> {
    let fd = beneath(root, path.as_bytes(), FILE)?;
    Ok((file_type(&fd)? == SFlag::S_IFREG).then(|| File::from(fd)))
}

enum NoIndex {
    Unfit(Unfit),
    Failed(Errno),
}

fn read_index(root: &OwnedFd, path: &str) -> Result<Vec<u8>, NoIndex> {
    let file = open_file(root, path).map_err(NoIndex::Failed)?;
    let file = file.ok_or(NoIndex::Unfit(Unfit::NotAFile))?;
    let mut text = Vec::new();
    let read = file.take(limits::INDEX_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| NoIndex::Failed(Errno::from_raw(e.raw_os_error().unwrap_or(0))))?;
    if text.len() as u64 > limits::INDEX_BYTES_MAX {
        return Err(NoIndex::Unfit(Unfit::TooLarge));
    }
    Ok(text)
}

/// How long a block lasts by its own header.
fn header(root: &OwnedFd, path: &str) -> Option<Duration> {
    let file = open_file(root, path).ok()??;
    let len = file.metadata().ok()?.len();
    duration(&Block { file, len })
}

struct Block {
    file: File,
    len: u64,
}

impl ReadAt for Block {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> usize {
        let mut count = 0;
        while let Ok(more @ 1..) = self.file.read_at(&mut into[count..], at + count as u64) {
            count += more;
        }
        count
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn join_bytes(folder: &str, name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_owned();
    }
    [folder.as_bytes(), b"/", name].concat()
}

fn refused(directory: &Path, error: Errno) -> LibraryError {
    let path = escaped(directory.as_os_str().as_encoded_bytes());
    match error {
        Errno::ENOENT => LibraryError::Missing { path },
        Errno::ENOTDIR => LibraryError::NotADirectory { path },
        Errno::EACCES | Errno::EPERM => LibraryError::Denied { path },
        other => LibraryError::Failed { path, why: other.desc() },
    }
}

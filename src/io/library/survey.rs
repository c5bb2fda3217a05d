//! What only a stat of every file tells: empty, too large, not readable, not a file after all. In
//! slices, so that the loop goes on between them. `daemon.rs` drives it after ready, `--check` all
//! at once.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::dir::{Entry, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};

use super::{LOOK, Scan, beneath, join_bytes, open_folder};
use crate::base::limits;
use crate::media::finding::{Finding, Findings, Odd, shown};
use crate::media::name;

/// A walk over the files of a library that was scanned.
#[derive(Debug)]
pub struct Survey {
    root: Rc<OwnedFd>,
    /// Directories still to be walked, the next one last.
    folders: Vec<Box<str>>,
    current: Option<Walk>,
    findings: Findings,
}

/// A directory being walked.
#[derive(Debug)]
struct Walk {
    path: Box<str>,
    entries: OwningIter,
    at: OwnedFd,
}

/// Walks the whole library at once.
#[must_use]
pub fn survey_all(scan: &Scan) -> Vec<Finding> {
    let mut survey = Survey::new(scan);
    while !survey.step(usize::MAX) {}
    survey.findings()
}

impl Survey {
    /// A walk that has not begun.
    #[must_use]
    pub fn new(scan: &Scan) -> Self {
        let folders = scan.folders.iter().rev().cloned().collect();
        Self { root: scan.root.clone(), folders, current: None, findings: Findings::default() }
    }

    /// Looks at this many files more; whether all are done.
    pub fn step(&mut self, budget_files: usize) -> bool {
        for _ in 0..budget_files {
            let Some(walk) = &mut self.current else {
                let Some(path) = self.folders.pop() else { return true };
                self.enter(&path);
                continue;
            };
            match walk.entries.next() {
                Some(Ok(entry)) => {
                    if let Some(finding) = walk.look(&self.root, &entry) {
                        self.findings.push(finding);
                    }
                }
                Some(Err(_)) | None => self.current = None,
            }
        }
        false
    }

    fn enter(&mut self, path: &str) {
        match Walk::open(&self.root, path) {
            Ok(walk) => self.current = Some(walk),
            // Gone since the scan, or reported by it.
            Err(Errno::ENOENT | Errno::EACCES) => {}
            Err(error) => self.findings.push(Finding::Unreadable {
                path: shown("", path.as_bytes()),
                why: error.desc().to_owned(),
            }),
        }
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(self) -> Vec<Finding> {
        self.findings.into_vec()
    }
}

impl Walk {
    fn open(root: &OwnedFd, path: &str) -> Result<Self, Errno> {
        let entries = open_folder(root, path)?.into_iter();
        let place = if path.is_empty() { "." } else { path };
        let at = beneath(root, place.as_bytes(), LOOK | OFlag::O_DIRECTORY)?;
        Ok(Self { path: path.into(), entries, at })
    }

    fn look(&self, root: &OwnedFd, entry: &Entry) -> Option<Finding> {
        let name = entry.file_name();
        name::parse(name.to_str().ok()?)?;
        let stat = self.stat(root, entry).ok()?;
        let path = || shown(&self.path, name.to_bytes());
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        if kind != SFlag::S_IFREG {
            // Where the directory told the type, the scan has reported it.
            let why = if kind == SFlag::S_IFDIR { Odd::DirectoryAsBlock } else { Odd::Special };
            let untold = entry.file_type().is_none();
            return untold.then(|| Finding::Stranger { path: path(), why });
        }
        match u64::try_from(stat.st_size).unwrap_or(0) {
            0 => Some(Finding::Empty { path: path() }),
            size if size > limits::BLOCK_BYTES_MAX => Some(Finding::TooLarge { path: path() }),
            _ => {
                let why = self.refusal(entry, &stat)?.desc().to_owned();
                Some(Finding::Unreadable { path: path(), why })
            }
        }
    }

    fn stat(&self, root: &OwnedFd, entry: &Entry) -> Result<FileStat, Errno> {
        let name = entry.file_name();
        let stat = fstatat(&self.at, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let link = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits();
        if !link {
            return Ok(stat);
        }
        fstat(beneath(root, &join_bytes(&self.path, name.to_bytes()), LOOK)?)
    }

    /// Why a file may not be read; asked only where it is not open to all.
    fn refusal(&self, entry: &Entry, stat: &FileStat) -> Option<Errno> {
        if Mode::from_bits_truncate(stat.st_mode).contains(Mode::S_IROTH) {
            return None;
        }
        faccessat(&self.at, entry.file_name(), AccessFlags::R_OK, AtFlags::AT_EACCESS).err()
    }
}

//! Whole files hashed little by little beside everything else, by reading them: a map must not be
//! looked at. Owned by the reactor, which does a slice of it each turn.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::base::limits;
use crate::base::port::{Blob, Span};

/// Files that are being hashed.
#[derive(Debug, Default)]
pub(super) struct Hashing {
    jobs: VecDeque<Job>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Job {
    blob: Blob,
    file: File,
    hasher: blake3::Hasher,
    at: u64,
    len: u64,
    /// When it was changed last, as it was at the start.
    changed: (i64, i64),
}

/// What a file has become.
type Done = (Span, Option<[u8; 32]>);

impl Hashing {
    /// Begins; nothing when the file cannot be looked at.
    pub(super) fn begin(&mut self, blob: Blob, file: File, len: u64) -> Option<()> {
        let changed = changed(&file)?;
        // Only hints: a read that finds its bytes in memory does not hold up the loop.
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL).ok();
        ask_ahead(&file, 0);
        let hasher = blake3::Hasher::new();
        self.jobs.push_back(Job { blob, file, hasher, at: 0, len, changed });
        Some(())
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Nobody wants to know any more.
    pub(super) fn forget(&mut self, blob: Blob) {
        self.jobs.retain(|job| job.blob != blob);
    }

    /// Hashes the next bytes of one of them.
    pub(super) fn step(&mut self) -> Option<Done> {
        let mut job = self.jobs.pop_front()?;
        self.buffer.resize(limits::FILES_HASH_BYTES, 0);
        let span = Span { blob: job.blob, from: 0, len: job.len };
        let step = usize::try_from(job.len - job.at).unwrap_or(usize::MAX).min(self.buffer.len());
        let bytes = &mut self.buffer[..step];
        if job.file.read_exact_at(bytes, job.at).is_err() {
            return Some((span, None));
        }
        job.hasher.update(bytes);
        let asked = job.at / limits::FILES_AHEAD_BYTES;
        job.at += step as u64;
        if job.at / limits::FILES_AHEAD_BYTES > asked {
            ask_ahead(&job.file, job.at);
        }
        if job.at < job.len {
            self.jobs.push_back(job);
            return None;
        }
        let same = changed(&job.file) == Some(job.changed)
            && job.file.metadata().is_ok_and(|facts| facts.len() == job.len);
        Some((span, same.then(|| *job.hasher.finalize().as_bytes())))
    }
}

/// Has the disk begin with what is hashed next.
fn ask_ahead(file: &File, at: u64) {
    let most = i64::try_from(2 * limits::FILES_AHEAD_BYTES);
    if let (Ok(at), Ok(most)) = (i64::try_from(at), most) {
        posix_fadvise(file, at, most, PosixFadviseAdvice::POSIX_FADV_WILLNEED).ok();
    }
}

fn changed(file: &File) -> Option<(i64, i64)> {
    file.metadata().ok().map(|facts| (facts.mtime(), facts.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::base::arena::Arena;

    fn run(hashing: &mut Hashing) -> Done {
        (0..1000).find_map(|_| hashing.step()).unwrap()
    }

    #[test]
    fn a_file_is_hashed_in_slices_and_one_that_changes_is_found_out() {
        let mut blobs = Arena::new(2);
        let blob = Blob(blobs.insert(()).unwrap());
        let bytes = vec![7; 3 * limits::FILES_HASH_BYTES + 1];
        let mut named = tempfile::NamedTempFile::new().unwrap();
        named.write_all(&bytes).unwrap();
        let mut hashing = Hashing::default();
        hashing.begin(blob, named.reopen().unwrap(), bytes.len() as u64).unwrap();
        let (span, hash) = run(&mut hashing);
        assert_eq!((span.len, hash), (bytes.len() as u64, Some(*blake3::hash(&bytes).as_bytes())));
        assert!(!hashing.is_busy());
        hashing.begin(blob, named.reopen().unwrap(), bytes.len() as u64).unwrap();
        assert_eq!(hashing.step(), None);
        named.as_file().set_len(100).unwrap();
        assert_eq!(run(&mut hashing).1, None);
        hashing.begin(blob, named.reopen().unwrap(), 100).unwrap();
        hashing.forget(blob);
        assert_eq!((hashing.step(), hashing.is_busy()), (None, false));
    }
}

//! Opens a path below a directory without ever leaving it, links followed. What is opened, and what
//! for, is the caller's (`library`, `blobs`).
//!
//! The kernel does this by itself (`openat2` with `RESOLVE_BENEATH`, Linux 5.6), but not
//! everywhere: `RestrictSUIDSGID=` of a systemd unit, which `DynamicUser=` brings with it, answers
//! every `openat2` with ENOSYS, as do the filters of older containers. There the path is walked a
//! name at a time, with the same outcome.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::base::limits;

/// Opens a path relative to a directory.
///
/// # Errors
/// `EXDEV` when the path or a link on it leads out of the directory, `ELOOP` when links lead to
/// links without end; otherwise what `open` says.
pub(super) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    match openat2(root, path, how) {
        Err(Errno::ENOSYS) => walk(root, path, flags),
        opened => opened,
    }
}

/// What is still to be walked, the next name last. A descriptor is kept of each directory on the
/// way: `..` goes back to that one, wherever it may have been moved since.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    way: Vec<OwnedFd>,
    names: Vec<OsString>,
    links: usize,
}

fn walk(root: BorrowedFd<'_>, path: &OsStr, flags: OFlag) -> nix::Result<OwnedFd> {
    let mut walk = Walk { root, way: Vec::new(), names: Vec::new(), links: 0 };
    walk.put(path)?;
    while let Some(name) = walk.names.pop() {
        if name == "." {
            // Where we are; as the last name it is opened below.
        } else if name == ".." {
            walk.way.pop().ok_or(Errno::EXDEV)?;
        } else if let Some(opened) = walk.step(&name, flags)? {
            return Ok(opened);
        }
    }
    openat(walk.here(), ".", flags | OFlag::O_CLOEXEC, Mode::empty())
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.way.last().map_or(self.root, AsFd::as_fd)
    }

    /// Puts the names of a path before what is still to be walked.
    fn put(&mut self, path: &OsStr) -> nix::Result<()> {
        let bytes = path.as_bytes();
        match bytes.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => return Err(Errno::EXDEV),
            Some(_) => {}
        }
        let names = bytes.rsplit(|b| *b == b'/').filter(|n| !n.is_empty());
        // A slash at the end says that what is before it must be a directory, and so does a dot.
        self.names.extend(bytes.ends_with(b"/").then(|| OsString::from(".")));
        self.names.extend(names.map(|n| OsStr::from_bytes(n).to_owned()));
        Ok(())
    }

    /// Goes one name further; what was opened when it was the last one.
    fn step(&mut self, name: &OsStr, flags: OFlag) -> nix::Result<Option<OwnedFd>> {
        let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(self.here(), name, look, Mode::empty())?;
        let kind = SFlag::from_bits_truncate(fstat(&found)?.st_mode) & SFlag::S_IFMT;
        let is_last = self.names.is_empty();
        if kind == SFlag::S_IFLNK && !(is_last && flags.contains(OFlag::O_NOFOLLOW)) {
            self.links += 1;
            if self.links > limits::LINKS_MAX {
                return Err(Errno::ELOOP);
            }
            let target = readlinkat(&found, "")?;
            self.put(&target)?;
        } else if is_last {
            // No link is followed that was put in its place since.
            let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            return openat(self.here(), name, flags, Mode::empty()).map(Some);
        } else if kind == SFlag::S_IFDIR {
            self.way.push(found);
        } else {
            return Err(Errno::ENOTDIR);
        }
        Ok(None)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// A library with a neighbour, and links of every kind; the paths to try.
    fn library() -> (tempfile::TempDir, File, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("library");
        fs::create_dir_all(root.join("a/deep")).unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        for name in ["library/top", "library/a/block", "library/a/deep/block", "outside/block"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let links = [
            ("in", "a/deep"),
            ("up", "a/../top"),
            ("a/sideways", "../top"),
            ("a/self", "."),
            ("out", "../outside/block"),
            ("a/out", "../../outside"),
            ("absolute", "/etc/passwd"),
            ("loop", "loop"),
            ("dangling", "nowhere"),
            ("chain", "in/../sideways"),
        ];
        for (name, to) in links {
            symlink(to, root.join(name)).unwrap();
        }
        let mut paths = vec![".", "a", "a/", "a/.", "./a//block", "a/deep/../block", "a/..", ".."];
        paths.extend(["../outside/block", "a/../../outside/block", "/etc/passwd", "", "missing"]);
        paths.extend(["top/", "top/x", "top/.", "top/..", "in/block", "in/", "a/self/self/block"]);
        paths.extend(["a/out/block", "a/deep/block", "missing/..", "loop/x", "up/"]);
        paths.extend(links.map(|(name, _)| name));
        (dir, File::open(root).unwrap(), paths.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_walk_comes_to_where_the_kernel_comes() {
        let (_dir, root, paths) = library();
        let inode =
            |fd: nix::Result<OwnedFd>| fd.map(|fd| File::from(fd).metadata().unwrap().ino());
        let mut refused = 0;
        for flags in [OFlag::O_RDONLY, OFlag::O_PATH, OFlag::O_RDONLY | OFlag::O_DIRECTORY] {
            for path in &paths {
                let kernel = inode(open_beneath(root.as_fd(), path.as_ref(), flags));
                let walked = inode(walk(root.as_fd(), path.as_ref(), flags));
                assert_eq!(walked, kernel, "{path:?} {flags:?}");
                refused += usize::from(walked == Err(Errno::EXDEV));
            }
        }
        assert!(refused >= 3 * 7, "{refused} ways out were tried");
    }

    #[test]
    fn links_without_end_are_given_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0"), "block").unwrap();
        for n in 1..=limits::LINKS_MAX + 1 {
            symlink((n - 1).to_string(), dir.path().join(n.to_string())).unwrap();
        }
        let root = File::open(dir.path()).unwrap();
        let opened = |n: usize| walk(root.as_fd(), n.to_string().as_ref(), OFlag::O_RDONLY);
        assert!(opened(limits::LINKS_MAX).is_ok());
        assert_eq!(opened(limits::LINKS_MAX + 1).map(drop), Err(Errno::ELOOP));
    }
}

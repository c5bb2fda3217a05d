//! The folder of files that are sent over UDP, read: the names of those that can be had. Opening
//! one to be sent is `io/blobs`'. `daemon.rs` calls it at start and on reload, `--check` too.
//!
//! Only regular files directly in the folder count; nothing here leaves it, also not through links.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::io::beneath::open_beneath;

/// Why a folder of files cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{path}: {}; name the directory that holds the files", .why.desc())]
pub struct VideosError {
    /// The folder, safe to show.
    pub path: String,
    /// The system's reason.
    pub why: Errno,
}

/// A folder of files that was read.
#[derive(Debug)]
pub struct Videos {
    /// The names of its files, sorted.
    pub names: Vec<Rc<str>>,
    /// What is amiss, a line each.
    pub findings: Vec<String>,
    /// The folder itself.
    pub directory: File,
}

/// Reads a folder.
///
/// # Errors
/// When the folder itself cannot be read. What is amiss inside it is a finding.
pub fn scan(directory: &Path) -> Result<Videos, VideosError> {
    let path = || escaped(directory.as_os_str().as_encoded_bytes());
    let refused = |why| VideosError { path: path(), why };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let root = open(directory, flags, Mode::empty()).map_err(refused)?;
    let (mut names, mut findings) = (Vec::new(), Vec::new());
    for name in entries(&root).map_err(refused)? {
        match fit(&root, &name) {
            Ok(name) => names.push(name),
            Err(why) => findings.push(format!("{}: {why}; left out", escaped(&name))),
        }
    }
    names.sort_unstable();
    if names.len() > limits::FILES_MAX {
        let more = names.split_off(limits::FILES_MAX).len();
        findings.push(format!("{more} files too many, of {} at most", limits::FILES_MAX));
    }
    if findings.len() > limits::FINDINGS_SHOWN_MAX {
        let more = findings.split_off(limits::FINDINGS_SHOWN_MAX).len();
        findings.push(format!("and {more} more of the kind"));
    }
    Ok(Videos { names, findings, directory: File::from(root) })
}

/// The names in the folder that are not hidden.
fn entries(root: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut dir = Dir::from_fd(open_beneath(root.as_fd(), OsStr::new("."), flags)?)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !name.starts_with(b".") && names.len() <= 2 * limits::FILES_MAX {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// A name whose file can be sent.
fn fit(root: &OwnedFd, name: &[u8]) -> Result<Rc<str>, String> {
    let text = str::from_utf8(name).map_err(|_| "its name is not UTF-8".to_owned())?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = open_beneath(root.as_fd(), OsStr::from_bytes(name), flags);
    let file = File::from(opened.map_err(|e| e.desc().to_owned())?);
    let facts = file.metadata().map_err(|e| e.to_string())?;
    let most = limits::FILES_BYTES_MAX;
    match facts.len() {
        _ if !facts.is_file() => Err("it is no file".to_owned()),
        0 => Err("it is empty".to_owned()),
        bytes if bytes > most => Err(format!("it has more than {} GiB", most >> 30)),
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_of_the_folder_are_listed() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("in");
        fs::create_dir(&folder).unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        for name in ["b.mkv", "a#1.mp4", "c d.ts", ".hidden", "empty"] {
            fs::write(folder.join(name), if name == "empty" { "" } else { "x" }).unwrap();
        }
        fs::create_dir(folder.join("folder")).unwrap();
        symlink("../secret", folder.join("out")).unwrap();
        symlink("b.mkv", folder.join("within")).unwrap();
        fs::write(folder.join(OsStr::from_bytes(b"\xff.mkv")), "x").unwrap();
        let found = scan(&folder).unwrap();
        let names: Vec<_> = found.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["a#1.mp4", "b.mkv", "c d.ts", "within"]);
        assert_eq!(found.findings.len(), 4, "{:?}", found.findings);
        assert!(scan(&folder.join("none")).unwrap_err().to_string().contains("name the directory"));
    }
}

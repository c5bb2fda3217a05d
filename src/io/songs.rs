//! The folder of songs, read: which files are songs, how large they are and how fast they play.
//! Opening one to be sent is `io/blobs`'. `daemon.rs` calls it at start and on reload, `--check`
//! too.
//!
//! Only files directly in the folder count, links inside it included; nothing here leaves it or
//! waits for a pipe. What a file's own headers say is read by the lofty crate, and a file that it
//! cannot read is a song all the same.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lofty::config::{ParseOptions, ParsingMode};
use lofty::file::AudioFile as _;
use lofty::probe::Probe;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::io::beneath::open_beneath;
use crate::media::song::Song;

/// Why a folder of songs cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{path}: {}; name the directory that holds the songs", .why.desc())]
pub struct SongsError {
    /// The folder, safe to show.
    pub path: String,
    /// The system's reason.
    pub why: Errno,
}

/// A folder of songs that was read.
#[derive(Debug)]
pub struct Songs {
    /// Its songs, sorted by name.
    pub songs: Vec<Song>,
    /// What is amiss, a line each.
    pub findings: Vec<String>,
    /// The folder itself.
    pub directory: File,
}

/// Reads a folder: the files in it with one of these extensions (in small letters).
///
/// # Errors
/// When the folder itself cannot be read. What is amiss inside it is a finding.
pub fn scan(directory: &Path, extensions: &[String]) -> Result<Songs, SongsError> {
    let path = || escaped(directory.as_os_str().as_encoded_bytes());
    let refused = |why| SongsError { path: path(), why };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let root = open(directory, flags, Mode::empty()).map_err(refused)?;
    let (names, mut findings) = names(&root, extensions).map_err(refused)?;
    let mut songs = Vec::new();
    for name in names {
        match song(&root, &name) {
            Ok(song) => songs.push(song),
            Err(why) => findings.push(format!("{}: {why}; left out", escaped(name.as_bytes()))),
        }
    }
    if findings.len() > limits::FINDINGS_SHOWN_MAX {
        let more = findings.split_off(limits::FINDINGS_SHOWN_MAX).len();
        findings.push(format!("and {more} more of the kind"));
    }
    Ok(Songs { songs, findings, directory: File::from(root) })
}

/// The names that songs have, sorted.
fn names(root: &OwnedFd, extensions: &[String]) -> Result<(Vec<String>, Vec<String>), Errno> {
    let (mut names, mut findings) = (Vec::new(), Vec::new());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut dir = Dir::from_fd(open_beneath(root.as_fd(), OsStr::new("."), flags)?)?;
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") || !is_song(name, extensions) {
            continue;
        }
        match str::from_utf8(name) {
            Ok(name) => names.push(name.to_owned()),
            Err(_) => findings.push(format!("{}: its name is not UTF-8; left out", escaped(name))),
        }
    }
    names.sort_unstable();
    if names.len() > limits::JUKEBOX_SONGS_MAX {
        let more = names.split_off(limits::JUKEBOX_SONGS_MAX).len();
        findings.push(format!("{more} songs too many, of {} at most", limits::JUKEBOX_SONGS_MAX));
    }
    Ok((names, findings))
}

fn is_song(name: &[u8], extensions: &[String]) -> bool {
    let extension = name.rsplit(|b| *b == b'.').next().filter(|e| e.len() < name.len());
    extension.is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x.as_bytes())))
}

fn song(root: &OwnedFd, name: &str) -> Result<Song, String> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = open_beneath(root.as_fd(), OsStr::from_bytes(name.as_bytes()), flags);
    let file = File::from(opened.map_err(|e| e.desc().to_owned())?);
    let facts = file.metadata().map_err(|e| e.to_string())?;
    let most = limits::BLOCK_BYTES_MAX;
    match facts.len() {
        _ if !facts.is_file() => Err("it is no file".to_owned()),
        0 => Err("it is empty".to_owned()),
        bytes if bytes > most => Err(format!("it has more than {} MiB", most >> 20)),
        bytes => Ok(facts_of(file, name, bytes)),
    }
}

/// How long and how fast, by the file's own headers, as far as they can be read.
fn facts_of(file: File, name: &str, bytes: u64) -> Song {
    let mut song = Song { file: name.into(), bytes, lasts: None, rate: None };
    let mut reader = BufReader::new(file);
    if reader.rewind().is_err() {
        return song;
    }
    let options = ParseOptions::new().read_tags(false).parsing_mode(ParsingMode::Relaxed);
    let probe = Probe::new(reader).options(options).guess_file_type();
    if let Some(found) = probe.ok().and_then(|probe| probe.read().ok()) {
        let properties = found.properties();
        song.lasts = Some(properties.duration()).filter(|lasts| !lasts.is_zero());
        song.rate = properties.audio_bitrate().map(|kbits| u64::from(kbits) * 1000 / 8);
    }
    song
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a folder of their own for each test")]

    use core::time::Duration;
    use std::fs;

    use super::*;

    /// One second of a WAV file: 8 kHz, 8 bits, one channel.
    fn wav() -> Vec<u8> {
        let mut bytes = b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend(8000u32.to_le_bytes());
        bytes.extend(8000u32.to_le_bytes());
        bytes.extend(b"\x01\0\x08\0data\x40\x1f\0\0");
        bytes.extend([0x80; 8000]);
        bytes
    }

    fn scanned(fill: impl Fn(&Path)) -> Songs {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        scan(directory.path(), &["mp3".to_owned(), "wav".to_owned()]).unwrap()
    }

    #[test]
    fn songs_are_the_files_with_an_extension_sorted_by_name() {
        let found = scanned(|at| {
            for name in ["b.mp3", "a.WAV", "c.txt", ".d.mp3", "mp3", "e.mp3.part"] {
                fs::write(at.join(name), b"no header at all").unwrap();
            }
        });
        let names: Vec<_> = found.songs.iter().map(|song| &*song.file).collect();
        assert_eq!((names, found.findings), (vec!["a.WAV", "b.mp3"], vec![]));
        assert_eq!((found.songs[0].lasts, found.songs[0].bytes), (None, 16));
    }

    #[test]
    fn a_song_tells_how_fast_it_plays() {
        let found = scanned(|at| fs::write(at.join("a.wav"), wav()).unwrap());
        let song = &found.songs[0];
        assert_eq!((song.lasts, song.bytes_per_second()), (Some(Duration::from_secs(1)), 8000));
        assert_eq!(song.front(), 44);
    }

    #[test]
    fn what_is_no_song_is_told() {
        let found = scanned(|at| {
            fs::write(at.join("empty.mp3"), b"").unwrap();
            fs::create_dir(at.join("folder.mp3")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", at.join("out.mp3")).unwrap();
            fs::write(at.join(OsStr::from_bytes(b"\xff.mp3")), b"x").unwrap();
        });
        assert!(found.songs.is_empty());
        assert_eq!(found.findings.len(), 4, "{:?}", found.findings);
        assert!(found.findings.iter().any(|f| f == "empty.mp3: it is empty; left out"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let error = scan(Path::new("/nonexistent/music"), &[]).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/music: No such file"), "{error}");
    }
}

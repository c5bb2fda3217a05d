//! Maps of real files and of memory, sent, shrunk, removed and received.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

fn write_file(directory: &Path, name: &str, bytes: &[u8]) -> File {
    let mut file =
        File::options().create(true).truncate(true).write(true).open(directory.join(name));
    file.as_mut().unwrap().write_all(bytes).unwrap();
    file.unwrap()
}

fn open_directory(path: &Path) -> File {
    File::options().read(true).open(path).unwrap()
}

#[test]
fn a_library_block_is_sent_from_its_map() {
    let directory = tempfile::tempdir().unwrap();
    write_file(directory.path(), "a", b"0123456789");
    let (map, found) = Map::open(open_directory(directory.path()).as_fd(), "a").unwrap();
    assert_eq!((found.len, &found.head[..]), (10, &b"0123456789"[..]));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let parts = [Part::Own(b"<"), Part::Mapped(&map, 2, 3), Part::Own(b">")];
    assert_eq!(write_parts(ours.as_fd(), &parts).unwrap(), 5);
    drop(ours);
    let mut got = String::new();
    theirs.read_to_string(&mut got).unwrap();
    assert_eq!(got, "<234>");
}

#[test]
fn a_file_that_shrank_is_an_error_not_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_file(directory.path(), "a", &vec![7; 100_000]);
    let opened = open_directory(directory.path());
    let (map, _) = Map::open(opened.as_fd(), "a").unwrap();
    assert!(map.is_whole(opened.as_fd()));
    file.set_len(99_999).unwrap();
    assert!(!map.is_whole(opened.as_fd()));
    file.set_len(10).unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let error = write_parts(ours.as_fd(), &[Part::Mapped(&map, 50_000, 10)]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[test]
fn a_removed_or_replaced_file_stays_whole_in_its_map() {
    let directory = tempfile::tempdir().unwrap();
    write_file(directory.path(), "a", b"old and long");
    let opened = open_directory(directory.path());
    let (map, _) = Map::open(opened.as_fd(), "a").unwrap();
    write_file(directory.path(), "b", b"new");
    nix::fcntl::renameat(opened.as_fd(), "b", opened.as_fd(), "a").unwrap();
    assert!(map.is_whole(opened.as_fd()));
    nix::unistd::unlinkat(opened.as_fd(), "a", nix::unistd::UnlinkatFlags::NoRemoveDir).unwrap();
    assert!(map.is_whole(opened.as_fd()));
}

#[test]
fn bytes_come_back_from_files_and_from_memory_and_not_from_what_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_file(directory.path(), "a", b"0123456789");
    let opened = open_directory(directory.path());
    let (map, _) = Map::open(opened.as_fd(), "a").unwrap();
    assert_eq!(map.copy(Some(opened.as_fd()), 2, 3).as_deref(), Some(&b"234"[..]));
    assert_eq!(map.copy(None, 2, 3), None);
    file.set_len(4).unwrap();
    assert_eq!(map.copy(Some(opened.as_fd()), 2, 3), None);
    std::fs::remove_file(directory.path().join("a")).unwrap();
    assert_eq!(map.copy(Some(opened.as_fd()), 0, 1), None);
}

#[test]
fn only_whole_regular_files_inside_the_library_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("in");
    nix::unistd::mkdir(&inside, nix::sys::stat::Mode::S_IRWXU).unwrap();
    write_file(directory.path(), "outside", b"x");
    write_file(&inside, "empty", b"");
    write_file(&inside, "huge", b"x").set_len(limits::BLOCK_BYTES_MAX + 1).unwrap();
    nix::unistd::mkfifo(&inside.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("../outside", inside.join("link")).unwrap();
    let opened = open_directory(&inside);
    for name in ["empty", "huge", "fifo", "link", "../outside", "/etc/passwd", "none", "."] {
        assert!(Map::open(opened.as_fd(), name).is_err(), "{name} was opened");
    }
}

#[test]
fn a_received_block_is_read_into_its_map() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"hello block").unwrap();
    let map = Map::memory(1 << 20).unwrap();
    assert_eq!(map.read(&theirs, 0, 5).unwrap(), 5);
    assert_eq!(map.read(&theirs, 5, 100).unwrap(), 6);
    let found = map.finish(11, Wall(1)).unwrap();
    assert_eq!((found.len, &found.head[..]), (11, &b"hello block"[..]));
    // What comes after its end has no room any more.
    ours.write_all(b"more").unwrap();
    assert_eq!(map.read(&theirs, 11, 100).unwrap(), 0);
}

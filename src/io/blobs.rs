//! Blobs: blocks as maps, and the only unsafe code of the program.
//!
//! A library block is its file, mapped read-only; a received block is a memfd whose size is sealed.
//! Nothing here or above ever looks at a library file's map from user space: the kernel copies out
//! of it, and where the file shrank it answers EFAULT ("bad address") instead of the SIGBUS that a
//! reader would get. Called by `stream`, `datagram`, `spooler` and the reactor.

#![expect(unsafe_code, reason = "system calls that read from and write to maps by raw address")]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::fcntl::{AtFlags, FcntlArg, OFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{SockaddrLike as _, SockaddrStorage};
use nix::sys::stat::{fstat, fstatat};

use crate::base::limits;
use crate::base::port::Train;
use crate::base::time::Wall;
use crate::io::beneath::open_beneath;

/// Bytes of a file that are read at once to be hashed.
const HASH_BYTES: usize = 256 << 10;

/// What tells whether a file is still the one that was mapped, and whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
}

/// A block in memory, by address.
#[derive(Debug)]
pub(super) struct Map {
    raw: MmapRaw,
    len: Cell<u64>,
    file: Option<(Identity, Box<str>)>,
    /// Which directory its file is in.
    home: Home,
}

/// The directories that files are mapped from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    Library,
    Songs,
    Files,
}

/// What a fresh map is, for [`crate::base::port::Facts`].
#[derive(Debug)]
pub(super) struct Found {
    pub(super) len: u64,
    pub(super) modified: Wall,
    pub(super) head: Vec<u8>,
}

/// One part of a gathered write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Bytes of our own.
    Own(&'a [u8]),
    /// Bytes of a map: which, from where, how many.
    Mapped(&'a Map, u64, u64),
}

/// Opens a path below a directory without leaving it through links and without ever waiting on a
/// FIFO; only regular files come back.
fn open_file(directory: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::from(open_beneath(directory, path.as_os_str(), flags)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

impl Map {
    /// Maps a file of the library, and asks the kernel to read it ahead.
    pub(super) fn open(directory: BorrowedFd<'_>, path: &str) -> io::Result<(Self, Found)> {
        Self::open_in(Home::Library, directory, path)
    }

    /// Maps a file of one of the directories. What is one block or song is asked of the kernel at
    /// once; of a file of a transfer, which may be long, what comes next is.
    pub(super) fn open_in(
        home: Home,
        directory: BorrowedFd<'_>,
        path: &str,
    ) -> io::Result<(Self, Found)> {
        let file = open_file(directory, Path::new(path))?;
        let stat = fstat(&file)?;
        let len = u64::try_from(stat.st_size).map_err(io::Error::other)?;
        let (most, advice) = match home {
            Home::Files => (limits::FILES_BYTES_MAX, Advice::Sequential),
            Home::Library | Home::Songs => (limits::BLOCK_BYTES_MAX, Advice::WillNeed),
        };
        if len == 0 {
            return Err(io::Error::other("the file is empty"));
        }
        if len > most {
            let most = most >> 20;
            return Err(io::Error::other(format!("{len} bytes; a block has at most {most} MiB")));
        }
        let modified = Wall(stat.st_mtime.saturating_mul(1_000_000_000) + stat.st_mtime_nsec);
        let head = head(&file, len)?;
        let raw = MmapOptions::new().len(size(len)).map_raw_read_only(&file)?;
        // Only a hint: without it the first viewer waits for the disk.
        raw.advise(advice).ok();
        let identity = Identity { device: stat.st_dev, inode: stat.st_ino };
        let file = Some((identity, path.into()));
        let map = Self { raw, len: Cell::new(len), file, home };
        Ok((map, Found { len, modified, head }))
    }

    /// Has the kernel begin to read what is soon sent; only a hint.
    pub(super) fn will_need(&self, at: u64, len: u64) {
        let at = at.min(self.len.get());
        let len = len.min(self.len.get() - at);
        if len > 0 {
            self.raw.advise_range(Advice::WillNeed, size(at), size(len)).ok();
        }
    }

    /// Which directory its file is in.
    pub(super) fn home(&self) -> Home {
        self.home
    }

    /// Its file's name, and what tells whether that is still the same.
    fn origin(&self) -> Option<(Identity, &str)> {
        self.file.as_ref().map(|(identity, path)| (*identity, &**path))
    }

    /// Opens its file again to be read, when it is still the same and as long.
    pub(super) fn reopen(&self, directory: BorrowedFd<'_>) -> Option<File> {
        let (identity, path) = self.origin()?;
        let file = open_file(directory, Path::new(path)).ok()?;
        let stat = fstat(&file).ok()?;
        let same = stat.st_dev == identity.device && stat.st_ino == identity.inode;
        let len = u64::try_from(stat.st_size).ok()?;
        (same && len == self.len.get()).then_some(file)
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> u64 {
        self.len.get()
    }

    /// Whether the mapped file still has all its bytes. A file that lost less than a page gives no
    /// EFAULT but zeros; a file replaced by another name's content is still mapped whole.
    pub(super) fn is_whole(&self, directory: BorrowedFd<'_>) -> bool {
        let Some((identity, path)) = &self.file else { return true };
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        // A name that is gone, or is another file's now, leaves the map whole.
        fstatat(directory, Path::new(&**path), flags).map_or(true, |stat| {
            let same = stat.st_dev == identity.device && stat.st_ino == identity.inode;
            !same || u64::try_from(stat.st_size).is_ok_and(|len| len >= self.len.get())
        })
    }
}

fn head(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut head = vec![0; size(len).min(limits::SNIFF_BYTES_MAX)];
    file.read_exact_at(&mut head, 0)?;
    Ok(head)
}

fn size(len: u64) -> usize {
    usize::try_from(len).expect("blocks are at most BLOCK_BYTES_MAX long")
}

// Blocks that are received: address space for the most one may have, memory only for what came.
impl Map {
    /// Makes room for a block of at most so many bytes. Its size is sealed, so that nothing can
    /// make a reader fault.
    pub(super) fn memory(max: u64) -> io::Result<Self> {
        let memory = memfd_create("block", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let max = max.min(limits::BLOCK_BYTES_MAX);
        nix::unistd::ftruncate(&memory, i64::try_from(max).map_err(io::Error::other)?)?;
        let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        let raw = MmapOptions::new().len(size(max)).map_raw(&memory)?;
        Ok(Self { raw, len: Cell::new(max), file: None, home: Home::Library })
    }

    /// Reads from a socket straight into the map. `Ok(0)` is the end of the stream.
    pub(super) fn read(&self, from: &impl AsRawFd, at: u64, len: u64) -> io::Result<usize> {
        assert!(self.file.is_none(), "only memory of our own is received into");
        let at = at.min(self.len.get());
        let len = size(len.min(self.len.get() - at));
        // SAFETY: `at + len` lies inside the map, which lives as long as `self` and is writable
        // because it is no file's; the kernel writes there, and no Rust reference to that memory
        // exists anywhere at this time.
        let got = unsafe {
            libc::read(from.as_raw_fd(), self.raw.as_mut_ptr().add(size(at)).cast(), len)
        };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    }

    /// A received block is complete at this length.
    pub(super) fn finish(&self, len: u64, now: Wall) -> io::Result<Found> {
        if len == 0 {
            return Err(io::Error::other("nothing was received"));
        }
        self.len.set(len.min(self.len.get()));
        let most = limits::SNIFF_BYTES_MAX as u64;
        let head = self.with_bytes(0, most, <[u8]>::to_vec).unwrap_or_default();
        Ok(Found { len: self.len.get(), modified: now, head })
    }

    /// The BLAKE3 of some bytes: a received block's from memory, a file's by reading it again, as
    /// its map must not be looked at. None when the file is not the mapped one any more.
    pub(super) fn hash(
        &self,
        directory: Option<BorrowedFd<'_>>,
        at: u64,
        len: u64,
    ) -> Option<[u8; 32]> {
        let Some((identity, path)) = &self.file else {
            return self.with_bytes(at, len, |bytes| *blake3::hash(bytes).as_bytes());
        };
        let file = open_file(directory?, Path::new(&**path)).ok()?;
        let stat = fstat(&file).ok()?;
        let same = Identity { device: stat.st_dev, inode: stat.st_ino } == *identity;
        let mut hasher = blake3::Hasher::new();
        let (mut at, mut left, mut buffer) = (at, len, vec![0; HASH_BYTES]);
        while same && left > 0 {
            let step = buffer.len().min(size(left));
            file.read_exact_at(&mut buffer[..step], at).ok()?;
            hasher.update(&buffer[..step]);
            at += step as u64;
            left -= step as u64;
        }
        same.then(|| *hasher.finalize().as_bytes())
    }

    /// A copy of some bytes: a received block's from memory, a file's by reading it again. None
    /// when they are not there any more.
    pub(super) fn copy(
        &self,
        directory: Option<BorrowedFd<'_>>,
        at: u64,
        len: u64,
    ) -> Option<Vec<u8>> {
        let Some((identity, path)) = &self.file else {
            return self.with_bytes(at, len, <[u8]>::to_vec);
        };
        let file = open_file(directory?, Path::new(&**path)).ok()?;
        let stat = fstat(&file).ok()?;
        let same = Identity { device: stat.st_dev, inode: stat.st_ino } == *identity;
        let mut bytes = vec![0; size(len.min(limits::BLOCK_BYTES_MAX))];
        file.read_exact_at(&mut bytes, at).ok()?;
        same.then_some(bytes)
    }

    /// Looks at bytes of a received block; nothing for a file's, which could fault.
    fn with_bytes<T>(&self, at: u64, len: u64, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.file.is_some() {
            return None;
        }
        let at = at.min(self.len.get());
        let len = size(len.min(self.len.get() - at));
        // SAFETY: the range lies inside the map, whose memory cannot shrink (sealed) and is written
        // only by `read` above, which cannot run while `look` does: there is one thread.
        let bytes = unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(size(at)), len) };
        Some(look(bytes))
    }
}

/// Writes parts in one call. EFAULT means that a mapped file is no longer there.
pub(super) fn write_parts(to: BorrowedFd<'_>, parts: &[Part<'_>]) -> io::Result<usize> {
    let mut vectors =
        [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; limits::STREAM_PARTS_MAX];
    let count = parts.len().min(limits::STREAM_PARTS_MAX);
    for (vector, part) in vectors.iter_mut().zip(parts) {
        *vector = part.vector();
    }
    let count = libc::c_int::try_from(count).expect("limits::STREAM_PARTS_MAX is small");
    // SAFETY: the first `count` vectors each name memory that their `Part` borrows for this call:
    // a slice, or bytes inside a map that lives as long as the borrow. The kernel only reads.
    let put = unsafe { libc::writev(to.as_raw_fd(), vectors.as_ptr(), count) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

/// Writes parts in one call, as a segment of their own: what is written later is never put into the
/// same one (`MSG_EOR`). The kernel takes them whole or, where it has no room, not at all.
pub(super) fn write_apart(to: BorrowedFd<'_>, parts: &[Part<'_>]) -> io::Result<usize> {
    let mut vectors =
        [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; limits::WRITE_PARTS_MAX];
    for (vector, part) in vectors.iter_mut().zip(parts) {
        *vector = part.vector();
    }
    // SAFETY: a msghdr of zeros is a valid empty one; what is used is set below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = parts.len().min(limits::WRITE_PARTS_MAX);
    let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
    // SAFETY: the vectors outlive the call, and each names memory that its `Part` borrows for it.
    // The kernel only reads.
    let put = unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, flags) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

impl Part<'_> {
    fn vector(&self) -> libc::iovec {
        match *self {
            Part::Own(bytes) => {
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
            }
            Part::Mapped(map, from, len) => {
                let from = from.min(map.len.get());
                let base = map.raw.as_ptr().wrapping_add(size(from));
                libc::iovec {
                    iov_base: base.cast_mut().cast(),
                    iov_len: size(len.min(map.len.get() - from)),
                }
            }
        }
    }
}

/// Writes parts of a datagram to an address, in one call and without a copy of the map.
pub(super) fn send_parts(
    from: &impl AsFd,
    to: std::net::SocketAddr,
    parts: &[Part<'_>],
) -> io::Result<usize> {
    let mut vectors =
        [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; limits::WRITE_PARTS_MAX];
    for (vector, part) in vectors.iter_mut().zip(parts) {
        *vector = part.vector();
    }
    let address = socket2::SockAddr::from(to);
    // SAFETY: a msghdr of zeros is a valid empty one; every field that is used is set below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_ptr().cast_mut().cast();
    message.msg_namelen = address.len();
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = parts.len().min(limits::WRITE_PARTS_MAX);
    // SAFETY: the address and the vectors outlive the call, and each vector names memory that its
    // `Part` borrows for it. The kernel only reads.
    let sent = unsafe { libc::sendmsg(from.as_fd().as_raw_fd(), &raw const message, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes a train of datagrams to an address in one call, without a copy of the map: the kernel
/// cuts it into datagrams of `segment` bytes (`UDP_SEGMENT`); one that is no longer than that goes
/// as it is.
pub(super) fn send_train(
    from: &impl AsFd,
    to: std::net::SocketAddr,
    map: &Map,
    train: &Train,
    segment: Option<u16>,
) -> io::Result<usize> {
    let mut vectors =
        [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2 * limits::FILES_TRAIN_MAX];
    let head = train.heads.len() / train.bodies.len().max(1);
    let heads = train.heads.chunks_exact(head.max(1));
    for (pair, (head, body)) in vectors.chunks_exact_mut(2).zip(heads.zip(&train.bodies)) {
        pair[0] = Part::Own(head).vector();
        pair[1] = Part::Mapped(map, body.0, body.1.into()).vector();
    }
    let address = socket2::SockAddr::from(to);
    // Room for one control message of 16 bits, aligned as its head must be.
    let mut control = [0_u64; 4];
    // SAFETY: a msghdr of zeros is a valid empty one; every field that is used is set below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_ptr().cast_mut().cast();
    message.msg_namelen = address.len();
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = (2 * train.bodies.len()).min(vectors.len());
    if let Some(segment) = segment.filter(|_| train.bodies.len() > 1) {
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: only the length is reckoned; `control` is longer than that of two bytes, and the
        // head and the two bytes behind it are written inside of it.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(2) as usize;
            let first = libc::CMSG_FIRSTHDR(&raw const message);
            (*first).cmsg_level = libc::SOL_UDP;
            (*first).cmsg_type = libc::UDP_SEGMENT;
            (*first).cmsg_len = libc::CMSG_LEN(2) as usize;
            libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
        }
    }
    // SAFETY: the address, the vectors and the control message outlive the call, and each vector
    // names memory that the train or the map holds for it. The kernel only reads.
    let sent = unsafe { libc::sendmsg(from.as_fd().as_raw_fd(), &raw const message, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What one buffer got: bytes, the length of each datagram in them, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) len: usize,
    pub(super) segment: usize,
    pub(super) from: std::net::SocketAddr,
}

/// Fills buffers with what a socket has, in one call (`recvmmsg`). Datagrams of one sender that
/// came together are in one buffer (`UDP_GRO`).
pub(super) fn receive_batches(
    from: &impl AsFd,
    buffers: &mut [Box<[u8]>],
    got: &mut Vec<Batch>,
) -> io::Result<()> {
    const MOST: usize = limits::FILES_BATCHES_MAX;
    // SAFETY: all three are plain numbers and pointers, for which zeros are valid.
    let (mut heads, mut names, mut vectors): (
        [libc::mmsghdr; MOST],
        [libc::sockaddr_storage; MOST],
        [libc::iovec; MOST],
    ) = unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
    let mut controls = [[0_u64; 8]; MOST];
    let count = buffers.len().min(MOST);
    for i in 0..count {
        vectors[i].iov_base = buffers[i].as_mut_ptr().cast();
        vectors[i].iov_len = buffers[i].len();
        let head = &mut heads[i].msg_hdr;
        head.msg_name = (&raw mut names[i]).cast();
        head.msg_namelen =
            libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).expect("128 bytes");
        head.msg_iov = &raw mut vectors[i];
        head.msg_iovlen = 1;
        head.msg_control = controls[i].as_mut_ptr().cast();
        head.msg_controllen = size_of_val(&controls[i]);
    }
    let most = libc::c_uint::try_from(count).expect("MOST is small");
    // SAFETY: each head names a buffer, a name and a control message that outlive the call, with
    // their lengths; the kernel writes no more than that.
    let done = unsafe {
        libc::recvmmsg(
            from.as_fd().as_raw_fd(),
            heads.as_mut_ptr(),
            most,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let done = usize::try_from(done).map_err(|_| io::Error::last_os_error())?;
    for (head, name) in heads.iter().zip(&names).take(done) {
        let len = head.msg_len as usize;
        // SAFETY: the kernel has written an address there, and its length.
        let from = unsafe {
            SockaddrStorage::from_raw((&raw const *name).cast(), Some(head.msg_hdr.msg_namelen))
        };
        if let Some(from) = from.as_ref().and_then(address_of) {
            got.push(Batch { len, segment: segment_of(&head.msg_hdr).unwrap_or(len), from });
        } else {
            got.push(Batch { len: 0, segment: 0, from: ([0, 0, 0, 0], 0).into() });
        }
    }
    Ok(())
}

fn address_of(name: &SockaddrStorage) -> Option<std::net::SocketAddr> {
    let v4 = name.as_sockaddr_in().map(|a| (a.ip(), a.port()).into());
    v4.or_else(|| name.as_sockaddr_in6().map(|a| (a.ip(), a.port()).into()))
}

/// What the kernel says of the length of the datagrams that it put together.
fn segment_of(head: &libc::msghdr) -> Option<usize> {
    // SAFETY: the control messages are those that the kernel has written, in memory that is
    // aligned for them and outlives this.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(head);
        while !at.is_null() {
            if (*at).cmsg_level == libc::SOL_UDP && (*at).cmsg_type == libc::UDP_GRO {
                let value = libc::CMSG_DATA(at).cast::<libc::c_int>().read_unaligned();
                return usize::try_from(value).ok().filter(|segment| *segment > 0);
            }
            at = libc::CMSG_NXTHDR(head, at);
        }
    }
    None
}

/// Sets an option of a socket that is a number.
pub(super) fn set_option(of: &impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<i32>()).expect("4 bytes");
    // SAFETY: the kernel reads four bytes of a number that outlives the call.
    let done = unsafe {
        libc::setsockopt(of.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;

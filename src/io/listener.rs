//! Listening sockets and the rule for the day when descriptors run out: rest one second, say so
//! once, go on when there is room. Owned and called by the reactor.
//!
//! The listener's readiness is kept here too: with edge-triggered events a connection that could
//! not be accepted for want of a descriptor would otherwise wait for ever.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mio::event::Source;
use nix::libc;
use socket2::{Domain, Protocol, Type};

use crate::base::limits;
use crate::base::port::Service;
use crate::base::time::Mono;
use crate::io::stream::Socket;

/// Connections that the kernel keeps waiting for us; a burst of joins must not be refused.
const BACKLOG: i32 = 4096;

/// Where a listener listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket in the file system.
    Unix(PathBuf),
    /// UDP, which has no connections: the reactor keeps it apart.
    Udp(SocketAddr),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr) | Self::Udp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => {
                use std::os::unix::ffi::OsStrExt as _;
                f.write_str(&crate::base::text::escaped(path.as_os_str().as_bytes()))
            }
        }
    }
}

#[derive(Debug)]
enum Inner {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener, PathBuf),
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    inner: Inner,
    pub(super) service: Service,
    pub(super) place: Place,
    pub(super) readable: bool,
    pub(super) paused_until: Option<Mono>,
}

/// What accepting gave.
#[derive(Debug)]
pub(super) enum Accepted {
    One(Socket, Option<SocketAddr>, Option<SocketAddr>),
    Nothing,
    Exhausted(io::Error),
}

impl Listener {
    pub(super) fn open(service: Service, place: &Place) -> io::Result<Self> {
        let inner = match place {
            Place::Tcp(addr) => Inner::Tcp(tcp(*addr)?),
            Place::Unix(path) => Inner::Unix(unix(path)?, path.clone()),
            Place::Udp(_) => return Err(io::Error::other("datagrams are not listened for")),
        };
        let place = match &inner {
            Inner::Tcp(listener) => Place::Tcp(listener.local_addr()?),
            Inner::Unix(..) => place.clone(),
        };
        Ok(Self { inner, service, place, readable: true, paused_until: None })
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        match &mut self.inner {
            Inner::Tcp(listener) => listener,
            Inner::Unix(listener, _) => listener,
        }
    }

    /// Takes one waiting connection. Errors of a connection that died in the queue are passed over.
    pub(super) fn accept(&mut self) -> Accepted {
        let result = match &self.inner {
            Inner::Tcp(listener) => listener.accept().map(|(socket, peer)| {
                let local = socket.local_addr().ok();
                (Socket::Tcp(socket), local, Some(peer))
            }),
            Inner::Unix(listener, _) => {
                listener.accept().map(|(socket, _)| (Socket::Unix(socket), None, None))
            }
        };
        match result {
            Ok((socket, local, peer)) => Accepted::One(socket, local, peer),
            Err(e) if is_exhausted(&e) => Accepted::Exhausted(e),
            Err(e) => {
                self.readable = e.kind() != io::ErrorKind::WouldBlock;
                Accepted::Nothing
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Inner::Unix(_, path) = &self.inner {
            nix::unistd::unlink(path).ok();
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn tcp(addr: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let domain = Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

/// Binds a Unix socket for its owner and group, in place of one that nobody serves any more.
fn unix(path: &Path) -> io::Result<mio::net::UnixListener> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let stale = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path).is_err();
    if stale {
        nix::unistd::unlink(path)?;
    }
    let listener = mio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

impl Listener {
    /// Whether it may accept now; ends a rest that is over.
    pub(super) fn is_due(&mut self, now: Mono) -> bool {
        if self.paused_until.is_some_and(|until| until > now) {
            return false;
        }
        self.paused_until = None;
        self.readable
    }

    /// Rests for [`limits::ACCEPT_PAUSE`].
    pub(super) fn pause(&mut self, now: Mono) {
        self.paused_until = Some(now.after(limits::ACCEPT_PAUSE));
    }
}

//! TCP connections to a person's program: taken, read and written as far as each goes at once. It
//! knows no protocol. Only `vidstream files` uses it, which has a handful; a node has a reactor.
//!
//! Whatever one of them has to say ends [`Fetch::wait`]. Which one it was is not told: to ask a
//! handful costs less than to remember.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use socket2::SockRef;

use crate::io::fetch::{Fetch, GUESTS};

/// Bytes that the kernel may keep for one that does not read: what it keeps, the player has not
/// played.
const BUFFER_BYTES: usize = 256 << 10;

/// Calls for what one has sent in vain, when it is closed.
const CALLS: i32 = 16;

/// A listener and those who came.
#[derive(Debug)]
pub struct Guests {
    listener: TcpListener,
    address: SocketAddr,
    registry: Registry,
    all: Slab<TcpStream>,
}

impl Guests {
    /// Listens; what happens here ends the waiting of this fetch.
    ///
    /// # Errors
    /// The system's: no such address here, or somebody else listens there.
    pub fn listen(fetch: &Fetch, address: SocketAddr) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        let registry = fetch.registry().try_clone()?;
        registry.register(&mut listener, GUESTS, Interest::READABLE)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, registry, all: Slab::new() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next one who has come.
    pub fn accept(&mut self) -> Option<usize> {
        // Who is gone already, or has no descriptor here, is passed over: players ask again.
        let (mut guest, _) = self.listener.accept().ok()?;
        SockRef::from(&guest).set_send_buffer_size(BUFFER_BYTES).ok();
        let entry = self.all.vacant_entry();
        let token = Token(GUESTS.0 + 1 + entry.key());
        self.registry.register(&mut guest, token, Interest::READABLE | Interest::WRITABLE).ok()?;
        let key = entry.key();
        entry.insert(guest);
        Some(key)
    }

    /// What one has sent, as much as one call gives: no bytes when there is nothing now, none at
    /// all when nothing more comes.
    ///
    /// # Errors
    /// The system's: it is gone.
    pub fn read<'a>(&mut self, guest: usize, into: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match self.stream(guest)?.read(into) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(&into[..count])),
            Err(e) if is_later(&e) => Ok(Some(&[])),
            Err(e) => Err(e),
        }
    }

    /// Gives bytes to one; how many it took.
    ///
    /// # Errors
    /// The system's: it is gone.
    pub fn write(&mut self, guest: usize, bytes: &[u8]) -> io::Result<usize> {
        match self.stream(guest)?.write(bytes) {
            Err(e) if is_later(&e) => Ok(0),
            result => result,
        }
    }

    fn stream(&mut self, guest: usize) -> io::Result<&mut TcpStream> {
        self.all.get_mut(guest).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Closes one, after what it was given.
    pub fn close(&mut self, guest: usize) {
        if let Some(mut stream) = self.all.try_remove(guest) {
            // What it sent and nobody read would turn the end into a reset.
            let mut rest = [0; 4096];
            let more = |_: &i32| stream.read(&mut rest).is_ok_and(|count| count > 0);
            (0..CALLS).take_while(more).for_each(drop);
            self.registry.deregister(&mut stream).ok();
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

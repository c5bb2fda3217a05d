//! A thousand viewers in one process: each listens on a loopback address of its own, asks to be let
//! in from there, and reads every block that it is called with to its end. What is noted is when
//! each block was whole, from the moment its time on the air began.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use super::films::{self, Film, HEAD_BYTES};
use super::{Outcome, wall};

/// Tokens from here on are connections, those below are listeners.
const CONNECTIONS: usize = 1 << 20;
const BUFFER_BYTES: usize = 256 << 10;
/// Callbacks that may wait to be accepted; the originals have 1.
const BACKLOG: i32 = 16;

/// A block that a viewer has whole. Times are milliseconds from the block's air time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Taken {
    pub(crate) viewer: usize,
    pub(crate) seq: u64,
    /// When its connection was accepted.
    pub(crate) began: f64,
    /// When its last byte and the end of the stream were read.
    pub(crate) ended: f64,
}

struct Place {
    listener: TcpListener,
    address: Ipv4Addr,
    /// Reads what it accepts.
    reads: bool,
    /// Callbacks that are held and not read.
    held: Vec<TcpStream>,
}

struct Connection {
    stream: TcpStream,
    viewer: usize,
    callback: bool,
    began: Duration,
    bytes: usize,
    head: [u8; HEAD_BYTES],
}

/// All viewers.
pub(crate) struct Viewers {
    film: Film,
    port: u16,
    poll: Poll,
    events: Events,
    places: Vec<Place>,
    connections: Slab<Connection>,
    buffer: Vec<u8>,
    /// Blocks taken since this was last emptied.
    pub(crate) taken: Vec<Taken>,
    /// Callbacks that said `10`.
    pub(crate) let_in: usize,
    /// Callbacks that were neither `10` nor a whole block.
    pub(crate) broken: usize,
}

/// The loopback address of a viewer.
pub(crate) fn address(viewer: usize) -> Ipv4Addr {
    let octet = |n: usize| u8::try_from(n).expect("the remainder fits an octet");
    Ipv4Addr::new(127, 1, octet(viewer / 250 % 250), octet(viewer % 250 + 1))
}

/// A port that is free on the viewers' addresses, below those that the system hands out.
pub(crate) fn free_port() -> Outcome<u16> {
    let start = u16::try_from(std::process::id() % 8_000)?;
    let ports = (0..100).map(|n| 20_000 + (start + n * 79) % 8_000);
    let free = |port: &u16| {
        let bound = |viewer| listen(SocketAddr::from((address(viewer), *port))).is_ok();
        bound(0) && bound(999)
    };
    ports.into_iter().find(free).ok_or_else(|| "no free port for callbacks".into())
}

fn listen(at: SocketAddr) -> Outcome<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Viewers {
    /// Nobody yet; `port` is where all will listen, `film` what they will be shown.
    pub(crate) fn new(port: u16, film: Film) -> Outcome<Self> {
        Ok(Self {
            film,
            port,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            places: Vec::new(),
            connections: Slab::new(),
            buffer: vec![0; BUFFER_BYTES],
            taken: Vec::new(),
            let_in: 0,
            broken: 0,
        })
    }

    /// So many more, listening; those that do not read accept and leave it at that.
    pub(crate) fn add(&mut self, count: usize, reads: bool) -> Outcome<Range<usize>> {
        let first = self.places.len();
        for viewer in first..first + count {
            let address = address(viewer);
            let mut listener = listen(SocketAddr::from((address, self.port)))?;
            self.poll.registry().register(&mut listener, Token(viewer), Interest::READABLE)?;
            self.places.push(Place { listener, address, reads, held: Vec::new() });
        }
        Ok(first..first + count)
    }

    /// From now on these read what they accept, or not.
    pub(crate) fn set_reading(&mut self, viewers: Range<usize>, reads: bool) {
        for place in &mut self.places[viewers] {
            place.reads = reads;
            place.held.clear();
        }
    }

    /// Sends a command of each to the server: `10` to join, `12` to leave.
    pub(crate) fn ask(&mut self, server: SocketAddr, code: &str, of: Range<usize>) -> Outcome<()> {
        for viewer in of {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((self.places[viewer].address, 0)).into())?;
            socket.connect(&server.into())?;
            socket.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(socket.into());
            stream.write_all(format!("{code}0").as_bytes())?;
            self.enter(viewer, stream, false)?;
            // Callbacks of those before must not wait for the asking to end.
            self.turn(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Serves until a time of the wall clock.
    pub(crate) fn run(&mut self, until: Duration) -> Outcome<()> {
        loop {
            let left = until.saturating_sub(wall());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Serves until something is so, which is looked at now and then.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        within: Duration,
        mut so: impl FnMut(&mut Self) -> Outcome<bool>,
    ) -> Outcome<()> {
        let deadline = wall() + within;
        while !so(self)? {
            if wall() > deadline {
                return Err(format!("not within {within:?}: {what}").into());
            }
            self.run(wall() + Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Outcome<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e.into()),
            _ => {}
        }
        let tokens: Vec<_> = self.events.iter().map(|event| event.token().0).collect();
        for token in tokens {
            match token.checked_sub(CONNECTIONS) {
                Some(index) => self.read(index),
                None => self.accept(token)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self, viewer: usize) -> Outcome<()> {
        loop {
            match self.places[viewer].listener.accept() {
                Ok((stream, _)) if self.places[viewer].reads => self.enter(viewer, stream, true)?,
                Ok((stream, _)) => self.places[viewer].held.push(stream),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn enter(&mut self, viewer: usize, mut stream: TcpStream, callback: bool) -> Outcome<()> {
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        let token = Token(CONNECTIONS + index);
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        let (began, head) = (wall(), [0; HEAD_BYTES]);
        entry.insert(Connection { stream, viewer, callback, began, bytes: 0, head });
        self.read(index);
        Ok(())
    }

    /// Reads a connection until nothing comes or it ends.
    fn read(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let ended = loop {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => break true,
                Ok(count) => connection.note(&self.buffer[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break false,
            }
        };
        let connection = self.connections.remove(index);
        if connection.callback {
            self.ended(&connection, ended);
        }
    }

    fn ended(&mut self, connection: &Connection, well: bool) {
        let now = wall();
        let number = films::number(connection.head);
        match (well, connection.bytes, number) {
            (true, 2, _) if connection.head.starts_with(b"10") => self.let_in += 1,
            (true, bytes, Some(number)) if bytes == self.film.bytes => {
                let air = self.film.airing(number, now);
                let since = |at: Duration| (at.as_secs_f64() - air.at.as_secs_f64()) * 1e3;
                let (began, ended) = (since(connection.began), since(now));
                let (viewer, seq) = (connection.viewer, air.seq);
                self.taken.push(Taken { viewer, seq, began, ended });
            }
            _ => self.broken += 1,
        }
    }
}

impl Connection {
    fn note(&mut self, bytes: &[u8]) {
        if self.bytes < HEAD_BYTES {
            let count = bytes.len().min(HEAD_BYTES - self.bytes);
            self.head[self.bytes..self.bytes + count].copy_from_slice(&bytes[..count]);
        }
        self.bytes += bytes.len();
    }
}

/// Where a viewer is called back.
pub(crate) fn callback(viewer: usize, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(address(viewer)), port)
}

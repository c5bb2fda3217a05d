//! Each [`Output`] carried out. The other direction, what happens by itself, is in the parent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;

use mio::{Interest, Token};
use nix::libc;
use socket2::{Domain, Protocol, SockRef, Type};

use crate::base::limits;
use crate::base::port::{
    Blob, Conn, End, Gather, Gone, Output, Payload, Service, Span, StoreError, Train,
};
use crate::base::time::Now;
use crate::io::blobs::{Found, Home, Map, Part};
use crate::io::gathered::Gathered;
use crate::io::port::Port;
use crate::io::reactor::{Reactor, Told};
use crate::io::stream::{Chunk, Directed, Socket, Stream, gone};

impl Reactor {
    /// Carries out one output. [`Output::Log`] and [`Output::Done`] are the daemon's own.
    pub fn act(&mut self, output: Output, now: Now) {
        match output {
            Output::Accept { conn } => {
                if let Some(socket) = self.incoming.take() {
                    self.enter(conn, socket, false);
                }
            }
            Output::Dial { conn, to, from } => self.dial(conn, to, from),
            Output::Send { conn, payload } => self.send(conn, payload),
            Output::Finish { conn } => self.change(conn, |s| s.finish = true),
            Output::Receive { conn, into } => self.direct(conn, into),
            Output::Take { conn, bytes } => self.change(conn, |s| s.take = bytes.max(1)),
            Output::Hold { conn, on } => self.change(conn, |s| s.held = on),
            Output::Close { conn, end } => self.close(conn, end),
            Output::SendTo { service, to, payload } => self.send_to(service, to, &payload),
            Output::SendAll { service, to, bytes } => self.send_all(service, to, bytes),
            Output::HoldLines { on } => self.hold_lines(on),
            Output::Open { blob, path } => self.open(blob, &path),
            Output::OpenSong { blob, path } => self.open_song(blob, &path),
            Output::OpenFile { blob, path } => self.open_file(blob, &path),
            Output::HashFile { blob } => self.hash_file(blob),
            Output::OpenPort { conn, at } => self.open_port(conn, at),
            Output::Say { conn, to, bytes } => {
                self.ports.get_mut(conn.0).into_iter().for_each(|port| port.say(to, &bytes));
            }
            Output::SendTrain { conn, to, blob, train } => self.send_train(conn, to, blob, train),
            Output::Apart { conn } => self.change(conn, |s| s.apart = true),
            Output::Create { blob, max } => self.create(blob, max),
            Output::Seal { blob, len } => self.seal(blob, len, now),
            Output::Hash { span } => self.hash_later(span),
            Output::Read { span } => self.read_back(span),
            Output::Keep { blob, of, gather } => self.keep(blob, of, gather),
            Output::Release { blob } => self.release(blob),
            Output::Store { blob, len, name } => self.store(blob, len, name),
            Output::Unstore { name } => {
                if let Some(spooler) = &self.spooler {
                    spooler.remove(&name);
                }
            }
            Output::Log { .. } | Output::Done => unreachable!("the daemon keeps these to itself"),
        }
    }

    fn change(&mut self, conn: Conn, change: impl FnOnce(&mut Stream)) {
        if let Some(stream) = self.streams.get_mut(conn.0) {
            change(stream);
            self.list(conn);
            self.mark_dirty(conn);
        }
    }

    fn enter(&mut self, conn: Conn, mut socket: Socket, connecting: bool) {
        if let Socket::Tcp(tcp) = &socket {
            tune(&SockRef::from(tcp));
        }
        let token = Token(usize::try_from(conn.0.to_bits()).expect("64-bit machines only"));
        let both = Interest::READABLE | Interest::WRITABLE;
        match self.poll.registry().register(socket.source(), token, both) {
            Ok(()) => {
                let mut stream = Stream::new(socket, connecting);
                // A fresh socket has room; the first event then only confirms it.
                stream.writable = !connecting;
                self.streams.insert(conn.0, stream);
            }
            Err(error) => self.told.push_back(Told::Closed(conn, gone(&error))),
        }
    }

    fn dial(&mut self, conn: Conn, to: SocketAddr, from: Option<IpAddr>) {
        match connect(to, from) {
            Ok(socket) => {
                let socket = mio::net::TcpStream::from_std(socket.into());
                self.enter(conn, Socket::Tcp(socket), true);
            }
            Err(error) => self.told.push_back(Told::Closed(conn, gone(&error))),
        }
    }

    fn send(&mut self, conn: Conn, payload: Payload) {
        let chunk = payload.body.and_then(|body| self.chunk(body));
        let Some(stream) = self.streams.get_mut(conn.0) else { return };
        if payload.body.is_some() && chunk.is_none() {
            return self.drop_stream(conn, Gone::Faulted);
        }
        if payload.head.is_empty() && chunk.is_some() {
            // A body behind a head of its own has a length that tells a cut one from a whole one.
            stream.reset_on_close(true);
        }
        stream.push(Chunk::Own { bytes: payload.head, at: 0 });
        if let Some(chunk) = chunk {
            stream.push(chunk);
        }
        stream.push(Chunk::Own { bytes: payload.tail, at: 0 });
        self.mark_dirty(conn);
    }

    /// Bytes of a blob, whatever it consists of.
    fn chunk(&self, body: Span) -> Option<Chunk> {
        let Span { blob, from, len } = body;
        if let Some(map) = self.maps.get(blob.0) {
            return Some(Chunk::Mapped { map: Rc::clone(map), blob, from, len });
        }
        let it = Rc::clone(self.gathered.get(blob.0)?);
        Some(Chunk::Gathered { it, blob, from, len })
    }

    fn direct(&mut self, conn: Conn, into: Span) {
        let Some(map) = self.maps.get(into.blob.0) else { return };
        let directed = Directed {
            into: Rc::clone(map),
            blob: into.blob,
            at: into.from,
            end: into.from + into.len,
        };
        self.change(conn, |s| s.directed = Some(Box::new(directed)));
    }

    fn close(&mut self, conn: Conn, end: End) {
        let Some(stream) = self.streams.get_mut(conn.0) else { return self.close_port(conn) };
        stream.end = Some(end);
        stream.held = true;
        if end == End::Reset || stream.connecting {
            stream.reset_on_close(true);
            self.drop_stream(conn, Gone::Closed);
        } else {
            self.mark_dirty(conn);
        }
    }

    fn send_to(&mut self, service: Service, to: SocketAddr, payload: &Payload) {
        let mut datagrams = self.datagrams.iter_mut().flatten();
        let Some(datagram) = datagrams.find(|d| d.service == service) else { return };
        let body = payload.body.and_then(|b| self.maps.get(b.blob.0).map(|map| (b, map)));
        let body = body.map_or(Part::Own(&[]), |(b, map)| Part::Mapped(map, b.from, b.len));
        datagram.send(to, &[Part::Own(&payload.head), body, Part::Own(&payload.tail)]);
    }

    fn send_all(&mut self, service: Service, to: Rc<[SocketAddr]>, bytes: Rc<[u8]>) {
        let mut datagrams = self.datagrams.iter_mut().flatten();
        if let Some(datagram) = datagrams.find(|d| d.service == service) {
            datagram.send_all(to, bytes);
        }
    }

    fn hold_lines(&mut self, on: bool) {
        if let Some(lines) = &mut self.lines {
            lines.held = on;
        }
    }

    fn open(&mut self, blob: Blob, path: &str) {
        let result = match &self.library {
            Some(directory) => Map::open(directory.as_fd(), path),
            None => Err(io::Error::other("there is no library")),
        };
        let result = result.map(|(map, found)| {
            self.maps.insert(blob.0, Rc::new(map));
            found
        });
        self.opened(blob, result);
    }

    fn open_song(&mut self, blob: Blob, path: &str) {
        let result = match &self.songs {
            Some(directory) => Map::open_in(Home::Songs, directory.as_fd(), path),
            None => Err(io::Error::other("there is no directory of songs")),
        };
        let result = result.map(|(map, found)| {
            self.maps.insert(blob.0, Rc::new(map));
            found
        });
        self.opened(blob, result);
    }

    fn open_file(&mut self, blob: Blob, path: &str) {
        let result = match &self.files {
            Some(directory) => Map::open_in(Home::Files, directory.as_fd(), path),
            None => Err(io::Error::other("there is no directory of files")),
        };
        let result = result.map(|(map, found)| {
            self.maps.insert(blob.0, Rc::new(map));
            found
        });
        self.opened(blob, result);
    }

    fn hash_file(&mut self, blob: Blob) {
        let map = self.maps.get(blob.0);
        let len = map.map_or(0, |map| map.len());
        let file = map.zip(self.files.as_ref()).and_then(|(map, d)| map.reopen(d.as_fd()));
        if file.and_then(|file| self.hashing.begin(blob, file, len)).is_none() {
            self.told.push_back(Told::Hashed(Span { blob, from: 0, len }, None));
        }
    }

    fn open_port(&mut self, conn: Conn, at: IpAddr) {
        let opened = Port::open(at).and_then(|mut port| {
            let token = Token(usize::try_from(conn.0.to_bits()).expect("64-bit machines only"));
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut port.socket, token, both)?;
            Ok(port)
        });
        match opened {
            Ok(port) => {
                self.ports.insert(conn.0, port);
            }
            Err(error) => self.told.push_back(Told::Closed(conn, gone(&error))),
        }
    }

    fn close_port(&mut self, conn: Conn) {
        if let Some(mut port) = self.ports.remove(conn.0) {
            self.poll.registry().deregister(&mut port.socket).ok();
            self.told.push_back(Told::Closed(conn, Gone::Closed));
        }
    }

    fn send_train(&mut self, conn: Conn, to: SocketAddr, blob: Blob, train: Train) {
        let (map, port) = (self.maps.get(blob.0), self.ports.get_mut(conn.0));
        let Some((map, port)) = map.zip(port) else { return };
        let went = port.send(to, (blob, map), train);
        self.went(went);
    }

    fn opened(&mut self, blob: Blob, result: io::Result<Found>) {
        self.told.push_back(match result {
            Ok(found) => Told::Opened(blob, found.len, found.modified, found.head),
            Err(error) => Told::Unreadable(blob, error.to_string()),
        });
    }

    fn create(&mut self, blob: Blob, max: u64) {
        match Map::memory(max) {
            Ok(map) => {
                self.maps.insert(blob.0, Rc::new(map));
            }
            Err(error) => self.told.push_back(Told::Unreadable(blob, error.to_string())),
        }
    }

    fn seal(&mut self, blob: Blob, len: u64, now: Now) {
        let Some(map) = self.maps.get(blob.0) else { return };
        let result = map.finish(len, now.wall);
        self.opened(blob, result);
    }

    /// Children are sent the last bytes of a stripe before it is hashed: each hop would add that.
    fn hash_later(&mut self, span: Span) {
        match self.maps.get(span.blob.0) {
            Some(map) => self.hashes.push_back((span, Rc::clone(map))),
            None => self.told.push_back(Told::Hashed(span, None)),
        }
    }

    fn read_back(&mut self, span: Span) {
        let map = self.maps.get(span.blob.0);
        let library = self.library.as_ref().map(AsFd::as_fd);
        let bytes = map.and_then(|map| map.copy(library, span.from, span.len));
        self.told.push_back(Told::Read(span, bytes));
    }

    fn keep(&mut self, blob: Blob, of: Option<Blob>, gather: Gather) {
        let source = of.and_then(|of| self.maps.get(of.0)).map(Rc::clone);
        match Gathered::new(gather, source) {
            Ok(gathered) => {
                self.gathered.insert(blob.0, Rc::new(gathered));
            }
            Err(error) => self.told.push_back(Told::Unreadable(blob, error.to_string())),
        }
    }

    fn release(&mut self, blob: Blob) {
        self.hashes.retain(|(span, _)| span.blob != blob);
        self.maps.remove(blob.0);
        self.gathered.remove(blob.0);
        self.faulted.remove(blob.0);
        self.hashing.forget(blob);
    }

    fn store(&mut self, blob: Blob, len: u64, name: Rc<str>) {
        let map = self.maps.get(blob.0).map(Rc::clone);
        let answer = match map.zip(self.spooler.as_mut()) {
            Some((map, spooler)) => spooler.store(map, len, name),
            // Who waits for an answer must get one.
            None => Some((name, Err(StoreError::Other("there is no store".into())))),
        };
        if let Some((name, result)) = answer {
            self.told.push_back(Told::Stored(name, result));
        }
    }
}

/// Options of every TCP connection. Errors are left: a connection without them still works.
fn tune(socket: &SockRef<'_>) {
    socket.set_tcp_nodelay(true).ok();
    socket.set_tcp_notsent_lowat(limits::NOTSENT_BYTES_MAX).ok();
}

fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = socket2::Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    if let Some(from) = from {
        // Binding must not pick the port yet: the pair of both ends is what has to be unique.
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::IpBindAddressNoPort,
            &true,
        )
        .ok();
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(e) => Err(e),
    }
}

//! The yardstick of HTTP: the least that answering can cost. A process of its own that takes every
//! read for one request and writes a fixed head and a map; nothing is parsed, timed or refused.

use std::io::{BufRead as _, BufReader, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use memmap2::MmapMut;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::{Outcome, need_descriptors};

/// What a bench is told to be this process: `server BYTES`.
pub(crate) const WORD: &str = "server";
const LISTENER: Token = Token(usize::MAX - 1);

/// The yardstick as a child of a bench.
pub(crate) struct Bare {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Bare {
    /// Starts it with a body of so many bytes.
    pub(crate) fn start(bytes: usize) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WORD, &bytes.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut bare = Self { child: command.spawn()?, addr: SocketAddr::from(([0; 4], 0)) };
        let mut line = String::new();
        let stdout = bare.child.stdout.take().ok_or("the server's output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        bare.addr = line.trim().parse()?;
        Ok(bare)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct Client {
    stream: TcpStream,
    /// Bytes of the answer still to be written, head and body together.
    left: usize,
}

/// The process itself; says where it listens and serves until it is killed.
#[expect(clippy::print_stdout, reason = "its parent reads it there")]
pub(crate) fn main(arguments: &[String]) -> Outcome<()> {
    let bytes: usize = arguments.first().ok_or("BYTES")?.parse()?;
    need_descriptors(4000)?;
    let mut map = MmapMut::map_anon(bytes)?;
    map.fill(0x5a);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    println!("{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: Vec<Client> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut clients)?,
                Token(index) => serve(&mut clients[index], &head, &map)?,
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, clients: &mut Vec<Client>) -> Outcome<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(clients.len()), both)?;
                clients.push(Client { stream, left: 0 });
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Goes on with the answer under way, or begins one when a request is there.
fn serve(client: &mut Client, head: &[u8], map: &[u8]) -> Outcome<()> {
    let whole = head.len() + map.len();
    loop {
        if client.left == 0 {
            match client.stream.read(&mut [0; 4096]) {
                Ok(count) if count > 0 => client.left = whole,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A reader that hung up; its place is not used again.
                _ => return Ok(()),
            }
        }
        let done = whole - client.left;
        let head = &head[done.min(head.len())..];
        let map = &map[map.len() - client.left.min(map.len())..];
        match client.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(map)]) {
            Ok(count) => client.left -= count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Ok(()),
        }
    }
}

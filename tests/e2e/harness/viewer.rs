//! A well-made tv viewer (it listens before it sends), and the bare command.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::lab::{self, Lab};
use super::{SOON, eventually};

/// Connects from an address of ours.
pub(crate) fn connect(server: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddrV4::new(from, 0).into()).expect("loopback addresses are ours");
    socket
        .connect_timeout(&server.into(), SOON)
        .unwrap_or_else(|why| panic!("connect to {server}: {why}"));
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.into()
}

/// Sends a command and returns all that comes back on its connection.
pub(crate) fn command(server: SocketAddr, from: Ipv4Addr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(server, from);
    // A server that has answered may close while the rest of a long command is on its way.
    let _ = stream.write_all(bytes);
    to_end(&mut stream)
}

/// The same, saying first that no more will come.
pub(crate) fn last_command(server: SocketAddr, from: Ipv4Addr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(server, from);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    to_end(&mut stream)
}

/// The number of viewers of a channel, asked for by the tv protocol.
pub(crate) fn count(server: SocketAddr, channel: u8) -> u32 {
    let answer = command(server, Ipv4Addr::LOCALHOST, format!("13{channel}").as_bytes());
    let text = String::from_utf8(answer).expect("decimal");
    text.parse().unwrap_or_else(|why| panic!("13{channel} gave {text:?}: {why}"))
}

/// Reads until the other end closes; a reset counts as an end.
fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(why) if why.kind() == io::ErrorKind::ConnectionReset => bytes,
        Err(why) => panic!("no end of the answer, {} bytes so far: {why}", bytes.len()),
    }
}

/// A viewer with a loopback address of its own.
pub(crate) struct Viewer {
    pub(crate) address: Ipv4Addr,
    port: u16,
    listener: Option<Socket>,
}

impl Viewer {
    /// Listens, and has not joined.
    pub(crate) fn new(lab: &Lab) -> Self {
        Self::at(lab::address(), lab.callback_port)
    }

    /// Listens at a given address.
    pub(crate) fn at(address: Ipv4Addr, port: u16) -> Self {
        let listener = Some(listener(address, port, 64, None));
        Self { address, port, listener }
    }

    /// A viewer whose connections hold only some 100 KiB that were not read.
    pub(crate) fn narrow(lab: &Lab) -> Self {
        let address = lab::address();
        let port = lab.callback_port;
        Self { address, port, listener: Some(listener(address, port, 64, Some(64 << 10))) }
    }

    /// Listens and joins; the answer must be `10`.
    pub(crate) fn joined(lab: &Lab, server: SocketAddr, channel: u8) -> Self {
        let viewer = Self::new(lab);
        assert_eq!(viewer.join(server, channel), "10");
        viewer
    }

    /// Sends `10c` and returns what the callback brings.
    pub(crate) fn join(&self, server: SocketAddr, channel: u8) -> String {
        let echo = self.command(server, &format!("10{channel}"));
        assert_eq!(echo, "", "a join is not answered on its own connection");
        self.reply()
    }

    /// Sends a command from this viewer's address.
    pub(crate) fn command(&self, server: SocketAddr, text: &str) -> String {
        let answer = command(server, self.address, text.as_bytes());
        String::from_utf8(answer).expect("text")
    }

    /// What one callback brings, as text.
    pub(crate) fn reply(&self) -> String {
        let bytes = self.block();
        assert_eq!(bytes.len(), 2, "a reply is two bytes");
        String::from_utf8(bytes).expect("digits")
    }

    /// What the next callback brings, whole.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut stream = self.accept(SOON).expect("a callback");
        to_end(&mut stream)
    }

    /// The next callback's bytes, or none when there is none within this time.
    pub(crate) fn block_within(&self, within: Duration) -> Option<Vec<u8>> {
        self.accept(within).map(|mut stream| to_end(&mut stream))
    }

    /// The next callback's connection, unread.
    pub(crate) fn accept(&self, within: Duration) -> Option<TcpStream> {
        let listener = self.listener.as_ref().expect("this viewer listens");
        let deadline = Instant::now() + within;
        loop {
            // The time for one wait is also that of the accept, and 0 would mean no bound.
            let left = deadline.saturating_duration_since(Instant::now());
            listener.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            match listener.accept() {
                Ok((socket, _)) => {
                    socket.set_read_timeout(Some(SOON)).unwrap();
                    return Some(socket.into());
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return None,
                // A process that was stopped and goes on sees this, handler or not.
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => panic!("accept: {why}"),
            }
        }
    }

    /// Every callback's bytes for this long.
    pub(crate) fn blocks_for(&self, time: Duration) -> Vec<Vec<u8>> {
        let end = Instant::now() + time;
        let mut blocks = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            blocks.extend(self.block_within(left));
        }
        blocks
    }

    /// Stops listening: callbacks are refused, those in the queue are reset.
    pub(crate) fn vanish(&mut self) {
        self.listener = None;
    }

    /// Listens again.
    pub(crate) fn return_home(&mut self) {
        self.listener = Some(listener(self.address, self.port, 64, None));
    }
}

/// A listening socket; `buffer` bounds what each connection holds.
pub(crate) fn listener(
    address: Ipv4Addr,
    port: u16,
    backlog: i32,
    buffer: Option<usize>,
) -> Socket {
    let at = SocketAddrV4::new(address, port);
    // A process that another test starts at this moment holds a closed listener until its exec.
    eventually(SOON, &format!("a listener on {at}"), || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).unwrap();
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind(&at.into()).and_then(|()| socket.listen(backlog)).ok().map(|()| socket)
    })
}

/// Ends a connection by a reset.
pub(crate) fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a socket takes options");
}

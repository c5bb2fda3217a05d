//! The original viewer program, with its quirks: it sends `10c` **before** it binds its callback
//! port, listens with a backlog of one, closes that listener after the reply and opens a new one,
//! and has no time-outs anywhere. A callback that comes too early leaves it waiting for ever.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::SOON;
use super::lab::{self, Lab};
use super::viewer::{connect, listener};

/// The program, running in a thread.
pub(crate) struct OriginalClient {
    pub(crate) address: Ipv4Addr,
    port: u16,
    news: Receiver<News>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

enum News {
    Reply(Vec<u8>),
    Block(Vec<u8>),
}

/// Where the program goes and how slow it is.
#[derive(Clone, Copy)]
struct Habits {
    server: SocketAddr,
    channel: u8,
    own: SocketAddrV4,
    /// Between its command and its first listener.
    pause: Duration,
}

impl OriginalClient {
    /// Starts it; `pause` is how long it takes to come from its command to its listener.
    pub(crate) fn start(
        lab: &Lab,
        server: SocketAddr,
        channel_number: u8,
        pause: Duration,
    ) -> Self {
        let address = lab::address();
        let port = lab.callback_port;
        let own = SocketAddrV4::new(address, port);
        let habits = Habits { server, channel: channel_number, own, pause };
        let (sender, news) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || live(habits, &sender, &stopped)));
        Self { address, port, news, stop, thread }
    }

    /// The two bytes that it was answered.
    pub(crate) fn reply(&self) -> String {
        match self.news.recv_timeout(SOON).expect("the original client gets a reply") {
            News::Reply(bytes) => String::from_utf8(bytes).expect("digits"),
            News::Block(_) => panic!("a block before a reply"),
        }
    }

    /// The next block that it takes.
    pub(crate) fn block(&self) -> Vec<u8> {
        match self.news.recv_timeout(SOON).expect("the original client gets a block") {
            News::Block(bytes) => bytes,
            News::Reply(_) => panic!("a second reply"),
        }
    }
}

impl Drop for OriginalClient {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("only dropped once");
        super::eventually(SOON, "end of the original client", || {
            // It has no time-outs: only a connection wakes it.
            let _ = TcpStream::connect(SocketAddrV4::new(self.address, self.port));
            thread.is_finished().then_some(())
        });
    }
}

fn live(habits: Habits, news: &Sender<News>, stop: &AtomicBool) {
    let Habits { server, channel, own, pause } = habits;
    let mut command = connect(server, *own.ip());
    command.write_all(format!("10{channel}").as_bytes()).expect("the server takes a command");
    thread::sleep(pause);
    let first = listener(*own.ip(), own.port(), 1, None);
    let reply = take(&first, 2);
    drop(command);
    drop(first);
    let joined = reply == b"10";
    if news.send(News::Reply(reply)).is_err() || !joined || stop.load(Ordering::SeqCst) {
        return;
    }
    let second = listener(*own.ip(), own.port(), 1, None);
    while !stop.load(Ordering::SeqCst) {
        let block = take(&second, u64::MAX);
        if stop.load(Ordering::SeqCst) || news.send(News::Block(block)).is_err() {
            return;
        }
    }
}

/// One connection, read to its end or to so many bytes.
fn take(listener: &socket2::Socket, limit: u64) -> Vec<u8> {
    let (socket, _) = listener.accept().expect("a listener accepts");
    let mut bytes = Vec::new();
    // A connection that breaks ends its block; the original does not tell the difference.
    let _ = TcpStream::from(socket).take(limit).read_to_end(&mut bytes);
    bytes
}

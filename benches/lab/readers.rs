//! A thousand readers over HTTP in one process: each keeps its connection and asks for the same
//! path again as soon as it has the answer. What is counted is whole answers and their bytes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::Outcome;

const BUFFER_BYTES: usize = 256 << 10;
/// Reads of one connection before the next has its turn.
const READS: usize = 8;

/// What all readers together have had.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Had {
    /// Answers with status 200 that came whole.
    pub(crate) answers: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Answers with another status or length, connections that ended.
    pub(crate) wrong: u64,
}

struct Reader {
    stream: TcpStream,
    /// The answer's head, until it is whole.
    head: Vec<u8>,
    /// Bytes of the body still to come, once its head is there.
    left: Option<u64>,
    ready: bool,
}

/// All readers.
pub(crate) struct Readers {
    poll: Poll,
    readers: Vec<Reader>,
    buffer: Vec<u8>,
    request: Vec<u8>,
    /// The length that each body must have.
    body: u64,
    had: Had,
}

impl Readers {
    /// Connects so many; none has asked yet.
    pub(crate) fn new(count: usize, server: SocketAddr, path: &str, body: u64) -> Outcome<Self> {
        let poll = Poll::new()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes();
        let mut readers = Vec::new();
        for index in 0..count {
            let stream = std::net::TcpStream::connect(server)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            readers.push(Reader { stream, head: Vec::new(), left: None, ready: false });
        }
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Self { poll, readers, buffer, request, body, had: Had::default() })
    }

    /// Each asks once.
    pub(crate) fn begin(&mut self) -> Outcome<()> {
        for reader in &mut self.readers {
            reader.stream.write_all(&self.request)?;
        }
        Ok(())
    }

    /// Reads and asks for so long; what was had meanwhile.
    pub(crate) fn run(&mut self, time: Duration) -> Outcome<Had> {
        self.had = Had::default();
        let mut events = Events::with_capacity(1024);
        let until = Instant::now() + time;
        let mut ready: Vec<usize> =
            (0..self.readers.len()).filter(|index| self.readers[*index].ready).collect();
        while Instant::now() < until {
            let wait = if ready.is_empty() { Duration::from_millis(50) } else { Duration::ZERO };
            self.poll.poll(&mut events, Some(wait))?;
            for index in events.iter().map(|event| event.token().0) {
                if !std::mem::replace(&mut self.readers[index].ready, true) {
                    ready.push(index);
                }
            }
            for index in std::mem::take(&mut ready) {
                self.read(index)?;
                if self.readers[index].ready {
                    ready.push(index);
                }
            }
        }
        Ok(self.had)
    }

    fn read(&mut self, index: usize) -> Outcome<()> {
        for _ in 0..READS {
            let reader = &mut self.readers[index];
            match reader.stream.read(&mut self.buffer) {
                Ok(count) if count > 0 => {
                    if reader.take(&self.buffer[..count], self.body, &mut self.had) {
                        reader.stream.write_all(&self.request)?;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    reader.ready = false;
                    return Ok(());
                }
                result => return Err(format!("a reader's connection ended: {result:?}").into()),
            }
        }
        Ok(())
    }
}

impl Reader {
    /// Bytes came; whether the answer is whole with them.
    fn take(&mut self, mut bytes: &[u8], body: u64, had: &mut Had) -> bool {
        if self.left.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(4096)]);
            let Some(end) = self.head.windows(4).position(|w| w == b"\r\n\r\n") else {
                return false;
            };
            bytes = &bytes[end + 4 - before..];
            let length = length(&self.head[..end]);
            had.wrong += u64::from(length != Some(body));
            self.left = Some(length.unwrap_or(0));
            self.head.clear();
        }
        let left = self.left.unwrap_or(0).saturating_sub(bytes.len() as u64);
        had.bytes += bytes.len() as u64;
        self.left = (left > 0).then_some(left);
        had.answers += u64::from(left == 0);
        left == 0
    }
}

/// What the head of a good answer says about its body.
fn length(head: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    lines.next()?.split(' ').nth(1).filter(|status| *status == "200")?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next()?.1.trim().parse().ok()
}

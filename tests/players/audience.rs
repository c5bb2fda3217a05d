//! Viewers of HLS by the thousand in one thread: each reads the playlist again and again, and every
//! new segment once, over a connection that it keeps. No picture is decoded.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How often each looks at the playlist: players do so once a segment.
const LOOKS: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 256 << 10;

/// What all viewers together had.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Had {
    pub(crate) playlists: u64,
    pub(crate) segments: u64,
    /// Answers other than 200.
    pub(crate) refused: u64,
}

struct Viewer {
    stream: TcpStream,
    /// What came of the answer so far: its head, or the body of a playlist with it.
    text: Vec<u8>,
    /// Bytes of the body still to come; none before the head is whole.
    left: Option<usize>,
    /// What is asked for next.
    wanted: VecDeque<String>,
    /// What was asked for last.
    asked: String,
    /// The number of the last segment.
    last: Option<u64>,
}

/// All of them.
pub(crate) struct Audience {
    poll: Poll,
    viewers: Vec<Viewer>,
    /// When each looks at the playlist next, in that order.
    looks: VecDeque<(Instant, usize)>,
    folder: &'static str,
    playlist: &'static str,
    buffer: Vec<u8>,
    had: Had,
}

impl Audience {
    /// Connects so many, who will look at a playlist in a folder, evenly spread over time.
    pub(crate) fn new(
        count: usize,
        server: SocketAddr,
        (folder, playlist): (&'static str, &'static str),
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut viewers = Vec::with_capacity(count);
        for number in 0..count {
            let stream = std::net::TcpStream::connect(server)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            let (text, wanted, asked) = (Vec::new(), VecDeque::new(), String::new());
            viewers.push(Viewer { stream, text, left: None, wanted, asked, last: None });
        }
        let now = Instant::now();
        let step = LOOKS / u32::try_from(count).expect("thousands");
        let at = |number: usize| now + step * u32::try_from(number).expect("thousands");
        let looks = (0..count).map(|number| (at(number), number)).collect();
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Self { poll, viewers, looks, folder, playlist, buffer, had: Had::default() })
    }

    /// Watches for so long; what all had meanwhile.
    pub(crate) fn watch(&mut self, time: Duration) -> io::Result<Had> {
        self.had = Had::default();
        let mut events = Events::with_capacity(1024);
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look()?;
            self.poll.poll(&mut events, Some(Duration::from_millis(5)))?;
            for event in &events {
                self.read(event.token().0)?;
            }
        }
        Ok(self.had)
    }

    /// Whose time it is asks for the playlist, unless an answer is still under way.
    fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while let Some((at, number)) = self.looks.front().copied().filter(|(at, _)| *at <= now) {
            self.looks.pop_front();
            self.looks.push_back((at + LOOKS, number));
            if self.viewers[number].asked.is_empty() {
                self.viewers[number].ask(self.playlist.to_owned(), self.folder)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> io::Result<()> {
        loop {
            let viewer = &mut self.viewers[number];
            match viewer.stream.read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::other("the server hung up")),
                Ok(count) => {
                    if viewer.take(&self.buffer[..count], &mut self.had)
                        && let Some(next) = viewer.wanted.pop_front()
                    {
                        viewer.ask(next, self.folder)?;
                    }
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(why) => return Err(why),
            }
        }
    }
}

impl Viewer {
    fn ask(&mut self, name: String, folder: &str) -> io::Result<()> {
        let head = format!("GET {folder}{name} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.asked = name;
        self.stream.write_all(head.as_bytes())
    }

    /// Bytes came; whether the answer is whole with them.
    fn take(&mut self, bytes: &[u8], had: &mut Had) -> bool {
        let list = is_kind(&self.asked, "m3u8");
        let mut count = bytes.len();
        if self.left.is_none() {
            let before = self.text.len();
            self.text.extend_from_slice(bytes);
            let Some(end) = self.text.windows(4).position(|w| w == b"\r\n\r\n") else {
                return false;
            };
            let answer = String::from_utf8_lossy(&self.text[..end]);
            had.refused += u64::from(!answer.starts_with("HTTP/1.1 200 "));
            self.left = Some(length(&answer));
            count = before + bytes.len() - (end + 4);
        } else if list {
            self.text.extend_from_slice(bytes);
        }
        self.left = self.left.map(|left| left.saturating_sub(count));
        if self.left != Some(0) {
            return false;
        }
        if list {
            had.playlists += 1;
            self.note();
        } else {
            had.segments += 1;
        }
        self.left = None;
        self.text.clear();
        self.asked.clear();
        true
    }

    /// Notes what is new on a playlist: the last segment at first.
    fn note(&mut self) {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        for name in text.lines().filter(|line| is_kind(line, "m4s") || is_kind(line, "ts")) {
            let Some(seq) = number(name) else { continue };
            match self.last {
                None => self.wanted = VecDeque::from([name.to_owned()]),
                Some(last) if seq > last => self.wanted.push_back(name.to_owned()),
                Some(_) => {}
            }
            if self.last.is_some_and(|last| seq > last) {
                self.last = Some(seq);
            }
        }
        if self.last.is_none() {
            self.last = self.wanted.front().and_then(|name| number(name));
        }
    }
}

/// The number in a segment's name, `run-number.kind`.
fn number(name: &str) -> Option<u64> {
    name.split_once('.')?.0.rsplit('-').next()?.parse().ok()
}

fn is_kind(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == extension)
}

fn length(head: &str) -> usize {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).expect("a length")
}

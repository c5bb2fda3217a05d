//! What a server sends, cut into replies. The data of a song may hold every delimiter, so the end
//! of a `play` frame is found by what else is known, in this order:
//!
//! 1. The server told how long the song is ([`Reply::Song`]): the frame's length follows.
//! 2. An end at byte 4096: a full frame.
//! 3. When 4096 bytes are there without that, or nothing more has come for a while
//!    ([`Frames::silence`]): the first end that another frame, or the silence, follows.
//!
//! So how the bytes were split on their way does not matter: before a rule can be applied for good,
//! nothing is decided.

use thiserror::Error;

use super::{DATA_BYTES, END, Entry, FRAME_BYTES, PLAY, TAIL, entries, fields, find, number};
use crate::base::limits;

/// One reply of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The songs.
    List(Vec<Entry>),
    /// Bytes of the song, and whether its frame was a full one.
    Data(Box<[u8]>, bool),
    /// No more of the song follows.
    Stop,
    /// The end.
    Quit,
    /// The server will tell how long songs are.
    Hello,
    /// This song begins: its number, bytes and milliseconds.
    Song(usize, u64, u64),
    /// There is no song of that number.
    NoSong(usize),
}

/// Bytes that no jukebox sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Bad {
    /// No end within the bound.
    #[error("{} bytes without an end; this is no jukebox", limits::JUKEBOX_FRAME_BYTES_MAX)]
    Endless,
    /// What begins like no reply.
    #[error("it answered with bytes that begin no reply; this is no jukebox")]
    Foreign,
}

/// What has arrived and is not a whole reply yet.
#[derive(Default, Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Bytes at the start that were taken.
    read: usize,
    /// Bytes of the song that are still to come, where the server told.
    told: Option<u64>,
    /// Nothing more has come for a while.
    silent: bool,
}

/// Every way in which a reply begins.
const HEADS: [&[u8]; 6] =
    [PLAY, b"list<NEXT;>", b"stop<NEXT;>", b"quit<NEXT;>", b"hello<NEXT;>", b"song<NEXT;>"];

impl Frames {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.silent = false;
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing more has come for a while: what looks like an end now is one.
    pub fn silence(&mut self) {
        self.silent = true;
    }

    /// Whether a part of a reply waits for more, or for silence.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.read < self.bytes.len()
    }

    /// The next reply.
    ///
    /// # Errors
    /// When this is no jukebox; nothing more can be had.
    pub fn poll(&mut self) -> Result<Option<Reply>, Bad> {
        let rest = &self.bytes[self.read..];
        let Some(head) = HEADS.iter().find(|head| rest.starts_with(head)) else {
            let may_become = HEADS.iter().any(|head| head.starts_with(rest));
            return if may_become { Ok(None) } else { Err(Bad::Foreign) };
        };
        let found = if *head == PLAY { self.play(rest) } else { message(rest) };
        let Some(len) = found else {
            let endless = rest.len() >= limits::JUKEBOX_FRAME_BYTES_MAX;
            return if endless { Err(Bad::Endless) } else { Ok(None) };
        };
        let reply = reply(&rest[..len]).ok_or(Bad::Foreign)?;
        self.read += len;
        self.told = match &reply {
            Reply::Song(_, bytes, _) => Some(*bytes),
            Reply::Data(data, _) => self.told.map(|told| told.saturating_sub(data.len() as u64)),
            Reply::Stop => None,
            _ => self.told,
        };
        Ok(Some(reply))
    }

    /// The length of the `play` frame at the start, when it can be told.
    fn play(&self, rest: &[u8]) -> Option<usize> {
        let full = size(FRAME_BYTES);
        if let Some(told @ 1..) = self.told {
            let len = PLAY.len() + size(told.min(DATA_BYTES)) + TAIL.len();
            match rest.get(len - TAIL.len()..len) {
                Some(TAIL) => return Some(len),
                None => return None,
                // It does not send what it told: as if it had told nothing.
                Some(_) => {}
            }
        }
        if rest.get(full - TAIL.len()..full) == Some(TAIL) {
            return Some(full);
        }
        let decided = self.silent || rest.len() >= full;
        decided.then(|| self.first_end(rest)).flatten()
    }

    /// The first end that is followed by what only can follow an end.
    fn first_end(&self, rest: &[u8]) -> Option<usize> {
        let mut from = PLAY.len();
        while let Some(at) = find(&rest[from..], TAIL) {
            let end = from + at + TAIL.len();
            let after = &rest[end..];
            let is_last = self.silent && after.is_empty();
            if is_last || HEADS.iter().any(|head| after.starts_with(head)) {
                return Some(end);
            }
            from += at + 1;
        }
        None
    }
}

/// The length of a message that holds no foreign bytes.
fn message(rest: &[u8]) -> Option<usize> {
    find(rest, END).map(|at| at + END.len())
}

fn reply(frame: &[u8]) -> Option<Reply> {
    if let Some(data) = frame.strip_prefix(PLAY) {
        let data = data.strip_suffix(TAIL)?;
        return Some(Reply::Data(data.into(), data.len() as u64 == DATA_BYTES));
    }
    let mut fields = fields(frame.strip_suffix(END)?);
    match fields.next()? {
        b"list" => Some(Reply::List(entries(fields.next()?))),
        b"stop" => Some(Reply::Stop),
        b"quit" => Some(Reply::Quit),
        b"hello" => Some(Reply::Hello),
        _ => {
            let sid = fields.next().and_then(number)?;
            match fields.next().filter(|field| !field.is_empty()) {
                None => Some(Reply::NoSong(sid)),
                Some(bytes) => {
                    let ms = fields.next().and_then(number).unwrap_or(0);
                    Some(Reply::Song(sid, number(bytes)?, ms))
                }
            }
        }
    }
}

fn size(len: u64) -> usize {
    usize::try_from(len).expect("no more than a frame")
}

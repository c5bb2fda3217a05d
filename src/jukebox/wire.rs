//! The bytes of the jukebox: requests and replies to values and back, nothing else. Fields are
//! ended by `<NEXT;>`, a message by `<END;>`; there are no line ends and no lengths.
//!
//! | bytes | from | meaning |
//! |---|---|---|
//! | `list<NEXT;><END;>` | client | which songs are there |
//! | `play<NEXT;>SID<NEXT;><END;>` | client | play that one; an unknown one gets no answer |
//! | `stop<NEXT;><END;>` | client | play no more |
//! | `quit<NEXT;><END;>` | client | good bye |
//! | `hello<NEXT;>1<NEXT;><END;>` | client | tell me how long songs are (ours) |
//! | `list<NEXT;>LINES<NEXT;><END;>` | server | lines `{sid: 0 title: a.mp3}`, each with its end |
//! | `play<NEXT;>DATA<NEXT;><END;>` | server | at most [`DATA_BYTES`] bytes of the song |
//! | `stop<NEXT;><END;>`, `quit<NEXT;><END;>` | server | done |
//! | `hello<NEXT;>1<NEXT;><END;>` | server | I will (ours) |
//! | `song<NEXT;>SID<NEXT;>BYTES<NEXT;>MS<NEXT;><END;>` | server | this begins now (ours) |
//! | `song<NEXT;>SID<NEXT;><END;>` | server | there is no such song (ours) |
//!
//! MS is how long the song lasts in milliseconds, 0 when that is not known. A title never holds a
//! delimiter or a control character ([`title`]); the data of a song may hold anything.

mod frames;

use core::fmt::Write as _;

use crate::base::limits;
use crate::base::text::escaped;

pub use frames::{Bad, Frames, Reply};

/// Ends a field.
pub const NEXT: &[u8] = b"<NEXT;>";
/// Ends a message.
pub const END: &[u8] = b"<END;>";
/// How every message ends.
pub const TAIL: &[u8] = b"<NEXT;><END;>";
/// How a frame of a song begins.
pub const PLAY: &[u8] = b"play<NEXT;>";
/// A full frame of a song: what the original reads at once.
pub const FRAME_BYTES: u64 = 4096;
/// Bytes of the song in a full frame.
pub const DATA_BYTES: u64 = FRAME_BYTES - PLAY.len() as u64 - TAIL.len() as u64;

const _: () = assert!(DATA_BYTES == 4072, "the original's frames");

/// The answer to `stop`.
pub const STOP: &[u8] = b"stop<NEXT;><END;>";
/// The answer to `quit`.
pub const QUIT: &[u8] = b"quit<NEXT;><END;>";
/// The answer to the greeting, which it looks like.
pub const HELLO: &[u8] = b"hello<NEXT;>1<NEXT;><END;>";

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The list of songs.
    List,
    /// A song by its number; none when what stands there is no number that a song could have.
    Play(Option<usize>),
    /// No more of the song.
    Stop,
    /// The end.
    Quit,
    /// To be told how long songs are.
    Hello,
}

impl Request {
    /// As it goes over the wire.
    #[must_use]
    pub fn bytes(self) -> Box<[u8]> {
        match self {
            Self::List => b"list<NEXT;><END;>".as_slice().into(),
            Self::Play(sid) => {
                let sid = sid.map_or_else(String::new, |sid| sid.to_string());
                format!("play<NEXT;>{sid}<NEXT;><END;>").into_bytes().into()
            }
            Self::Stop => STOP.into(),
            Self::Quit => QUIT.into(),
            Self::Hello => HELLO.into(),
        }
    }

    /// One message without its end; none when it is no request.
    fn parse(message: &[u8]) -> Option<Self> {
        let mut fields = fields(message);
        match (fields.next()?, fields.next()) {
            (b"list", _) => Some(Self::List),
            (b"play", sid) => Some(Self::Play(sid.and_then(number))),
            (b"stop", _) => Some(Self::Stop),
            (b"quit", _) => Some(Self::Quit),
            (b"hello", Some(b"1")) => Some(Self::Hello),
            _ => None,
        }
    }
}

/// What a client has sent and nobody has taken yet.
#[derive(Default, Debug)]
pub struct Requests {
    bytes: Vec<u8>,
    /// Bytes at the start in which no end begins.
    seen: usize,
}

/// What stood in front of an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A request.
    Request(Request),
    /// Nothing known: its first bytes, for the log. The original ignores it too.
    Unknown(Box<[u8]>),
}

/// [`limits::JUKEBOX_FRAME_BYTES_MAX`] bytes without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endless;

impl Requests {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next message off, as soon as its end is there.
    ///
    /// # Errors
    /// When there is no end within the bound; nothing more can be had.
    pub fn poll(&mut self) -> Result<Option<Asked>, Endless> {
        let Some(end) = find(&self.bytes[self.seen..], END).map(|at| at + self.seen) else {
            self.seen = self.bytes.len().saturating_sub(END.len() - 1);
            let endless = self.bytes.len() >= limits::JUKEBOX_FRAME_BYTES_MAX;
            return if endless { Err(Endless) } else { Ok(None) };
        };
        if end >= limits::JUKEBOX_FRAME_BYTES_MAX {
            return Err(Endless);
        }
        // Scripts put line ends between messages.
        let message = self.bytes[..end].trim_ascii_start();
        let asked = Request::parse(message).map_or_else(
            || Asked::Unknown(message[..message.len().min(limits::SHOWN_BYTES_MAX)].into()),
            Asked::Request,
        );
        self.bytes.drain(..end + END.len());
        self.seen = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Ok(Some(asked))
    }
}

/// The answer to `list`: titles by their numbers, from 0.
#[must_use]
pub fn list<'a>(titles: impl Iterator<Item = &'a str>) -> Box<[u8]> {
    let mut text = String::from("list<NEXT;>");
    for (sid, title) in titles.enumerate() {
        writeln!(text, "{}", line(sid, title)).expect("a String takes every write");
    }
    text.push_str("<NEXT;><END;>");
    text.into_bytes().into()
}

/// How many of these titles one list has room for.
#[must_use]
pub fn fitting<'a>(titles: impl Iterator<Item = &'a str>) -> usize {
    let mut room = limits::JUKEBOX_FRAME_BYTES_MAX - b"list<NEXT;>".len() - TAIL.len();
    let fits = |(sid, title): &(usize, &str)| {
        let rest = room.checked_sub(line(*sid, title).len() + 1);
        room = rest.unwrap_or(room);
        rest.is_some()
    };
    titles.enumerate().take_while(fits).count()
}

/// One line of the list without its end.
#[must_use]
pub fn line(sid: usize, title: &str) -> String {
    format!("{{sid: {sid} title: {title}}}")
}

/// A file name as the list has it: control characters are written `\xNN`, a backslash twice, and a
/// delimiter begins with `\x3c`.
#[must_use]
pub fn title(name: &str) -> String {
    escaped(name.as_bytes()).replace("<NEXT;>", "\\x3cNEXT;>").replace("<END;>", "\\x3cEND;>")
}

/// Tells who greeted what begins now: its bytes and, when known, its milliseconds; or that there is
/// no such song.
#[must_use]
pub fn song(sid: usize, facts: Option<(u64, u64)>) -> Box<[u8]> {
    let facts = facts.map_or_else(String::new, |(bytes, ms)| format!("{bytes}<NEXT;>{ms}<NEXT;>"));
    format!("song<NEXT;>{sid}<NEXT;>{facts}<END;>").into_bytes().into()
}

/// One song of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number.
    pub sid: usize,
    /// Its title, safe to show.
    pub title: String,
}

/// The lines of a list; what is no such line is left out.
fn entries(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    let inner = line.strip_prefix(b"{sid: ")?.strip_suffix(b"}")?;
    let at = find(inner, b" title: ")?;
    Some(Entry { sid: number(&inner[..at])?, title: shown(&inner[at + b" title: ".len()..]) })
}

/// A title of a peer; backslashes that its server wrote to be safe stay as they are.
fn shown(title: &[u8]) -> String {
    escaped(title).replace("\\\\", "\\")
}

fn fields(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(message);
    core::iter::from_fn(move || {
        let all = rest?;
        let at = find(all, NEXT);
        rest = at.map(|at| &all[at + NEXT.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}

/// Digits, perhaps with spaces around them; nothing else, and not too many.
fn number<T: core::str::FromStr>(field: &[u8]) -> Option<T> {
    let digits = field.trim_ascii();
    let plain = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests;

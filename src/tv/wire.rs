//! The bytes of live TV: three-byte commands, and the texts that answer them.
//!
//! | command | answer |
//! |---|---|
//! | `10c` join channel c | by callback: `10` or `00`, then the blocks, one connection each |
//! | `11c` list | `[]` or `['127.0.0.1', '127.0.0.2']` on the command's connection |
//! | `12c` leave | none |
//! | `13c` count | decimal digits on the command's connection |
//!
//! What follows the three bytes is ignored. Anything else is answered by closing.

use core::fmt::Write as _;
use std::net::IpAddr;

/// Bytes of a command.
pub const COMMAND_BYTES: usize = 3;
/// Bytes of the answer to a join.
pub const REPLY_BYTES: usize = 2;
/// The port that clients are called back on, unless configured otherwise.
pub const CALLBACK_PORT: u16 = 9091;

/// What a client may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// 10: put me into the channel.
    Join,
    /// 11: who is in it?
    List,
    /// 12: take me out of it.
    Leave,
    /// 13: how many are in it?
    Count,
}

/// A command: what, and about which channel (0 to 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// What is asked.
    pub ask: Ask,
    /// The channel it is about.
    pub channel: u8,
}

/// The answer to a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// `10`: blocks will come.
    In,
    /// `00`: the channel is full, or there is none of that number.
    Full,
}

impl Command {
    /// Reads a command; none when these are not one.
    #[must_use]
    pub fn parse(bytes: [u8; COMMAND_BYTES]) -> Option<Self> {
        let ask = match &bytes[..2] {
            b"10" => Ask::Join,
            b"11" => Ask::List,
            b"12" => Ask::Leave,
            b"13" => Ask::Count,
            _ => return None,
        };
        bytes[2].is_ascii_digit().then(|| Self { ask, channel: bytes[2] - b'0' })
    }

    /// The bytes of a command. The channel is a digit.
    #[must_use]
    pub fn emit(self) -> [u8; COMMAND_BYTES] {
        let code = match self.ask {
            Ask::Join => b'0',
            Ask::List => b'1',
            Ask::Leave => b'2',
            Ask::Count => b'3',
        };
        [b'1', code, b'0' + self.channel % 10]
    }
}

impl Reply {
    /// Reads the answer to a join; none when these bytes are not one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"10" => Some(Self::In),
            b"00" => Some(Self::Full),
            _ => None,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn emit(self) -> [u8; REPLY_BYTES] {
        match self {
            Self::In => *b"10",
            Self::Full => *b"00",
        }
    }
}

/// The list of a channel's clients, as Python prints a list of strings.
#[must_use]
pub fn list(clients: impl IntoIterator<Item = IpAddr>) -> String {
    let mut text = String::from("[");
    for (i, client) in clients.into_iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        write!(text, "{comma}'{client}'").expect("a String takes every write");
    }
    text.push(']');
    text
}

/// Reads a list; none when it is not one. What [`list`] writes, with or without spaces.
#[must_use]
pub fn parse_list(text: &str) -> Option<Vec<IpAddr>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    if inner.is_empty() {
        return Some(Vec::new());
    }
    inner
        .split(',')
        .map(|item| item.trim().strip_prefix('\'')?.strip_suffix('\'')?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_four_commands_are_what_the_original_sends() {
        let table = [
            (b"100", Ask::Join, 0),
            (b"119", Ask::List, 9),
            (b"123", Ask::Leave, 3),
            (b"131", Ask::Count, 1),
        ];
        for (bytes, ask, channel) in table {
            let command = Command { ask, channel };
            assert_eq!((Command::parse(*bytes), command.emit()), (Some(command), *bytes));
        }
        for bytes in [b"140", b"090", b"10a", b"1 0", b"\0\0\0", b"10/", b"10:"] {
            assert_eq!(Command::parse(*bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_join_is_answered_in_two_bytes() {
        assert_eq!((Reply::In.emit(), Reply::Full.emit()), (*b"10", *b"00"));
        assert_eq!(Reply::parse(b"10"), Some(Reply::In));
        assert_eq!(Reply::parse(b"00"), Some(Reply::Full));
        assert_eq!(
            (Reply::parse(b"1"), Reply::parse(b"100"), Reply::parse(b"01")),
            (None, None, None)
        );
    }

    #[test]
    fn a_list_is_what_python_prints() {
        let (a, b) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        assert_eq!(list([]), "[]");
        assert_eq!(list([a]), "['127.0.0.1']");
        assert_eq!(list([a, b]), "['127.0.0.1', '127.0.0.2']");
        assert_eq!(parse_list("['127.0.0.1', '127.0.0.2']\n"), Some(vec![a, b]));
        assert_eq!(
            (parse_list("[]"), parse_list("[x]"), parse_list("")),
            (Some(vec![]), None, None)
        );
    }

    proptest! {
        #[test]
        fn every_list_reads_back(clients in proptest::collection::vec(any::<IpAddr>(), 0..20)) {
            prop_assert_eq!(parse_list(&list(clients.iter().copied())), Some(clients));
        }

        #[test]
        fn no_text_breaks_the_list_reader(text in ".{0,64}") {
            let _ = parse_list(&text);
        }
    }
}

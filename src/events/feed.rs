//! Lines that somebody writes, as events: cut out of a stream of bytes, read, and kept between one
//! line and the next. `server` asks for them one by one.
//!
//! A line that begins with `{` is a JSON object with any of the keys `content`, `type`, `score`,
//! `time_passed`, `timeA`, `timeB`, `goleiroA` and `goleiroB`; any other line is the `content`.
//! What a line does not say is as the line before had it, but for the content, which is empty.

use std::rc::Rc;

use serde::Deserialize;
use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::events::wire::{Event, Keeper, Player, TooLarge};

/// Why a line is no event.
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub enum LineError {
    /// More bytes than a line may have; they were not kept.
    #[error("it has {0} bytes, and {max} are the most", max = limits::EVENTS_LINE_BYTES_MAX)]
    Long(usize),
    /// Not UTF-8.
    #[error("it is not UTF-8 text (at byte {0})")]
    NotText(usize),
    /// It begins as JSON but is none, or none of ours.
    #[error("it begins as JSON, but: {0}")]
    Json(String),
    /// It does not fit a datagram.
    #[error("{0}")]
    Large(TooLarge),
}

/// The bytes of one writer, cut into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Bytes of an endless line that were thrown away.
    skipped: usize,
}

impl Lines {
    /// Puts bytes behind those that are there.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.skip();
    }

    /// Throws away what no line can be any more.
    fn skip(&mut self) {
        if self.buffer.len() > limits::EVENTS_LINE_BYTES_MAX && !self.has_line() {
            self.skipped += self.buffer.len();
            self.buffer.clear();
        }
    }

    /// Whether a whole line is there.
    pub(super) fn has_line(&self) -> bool {
        self.buffer.contains(&b'\n')
    }

    /// The writer has ended: what is left is a line too.
    pub(super) fn finish(&mut self) {
        let cut = self.buffer.last().map_or(self.skipped > 0, |last| *last != b'\n');
        if cut {
            self.buffer.push(b'\n');
        }
    }

    /// The next line without its end.
    pub(super) fn take(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        let end = self.buffer.iter().position(|b| *b == b'\n')?;
        let mut line: Vec<_> = self.buffer.drain(..=end).collect();
        self.skip();
        let long = std::mem::take(&mut self.skipped) + end;
        if long > limits::EVENTS_LINE_BYTES_MAX {
            return Some(Err(LineError::Long(long)));
        }
        line.truncate(line.trim_ascii_end().len());
        Some(Ok(line))
    }
}

/// What a JSON line may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    content: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    score: Option<String>,
    time_passed: Option<u32>,
    #[serde(rename = "timeA")]
    team_a: Option<Vec<Player>>,
    #[serde(rename = "timeB")]
    team_b: Option<Vec<Player>>,
    #[serde(rename = "goleiroA")]
    keeper_a: Option<Keeper>,
    #[serde(rename = "goleiroB")]
    keeper_b: Option<Keeper>,
}

/// The event that the last line left.
#[derive(Clone, Default, Debug)]
pub(super) struct Feed(Event);

impl Feed {
    /// The datagram that a line becomes under this number; nothing of an empty line. A line that is
    /// refused changes nothing.
    pub(super) fn read(&mut self, line: &[u8], count: u64) -> Result<Option<Rc<[u8]>>, LineError> {
        let text = str::from_utf8(line).map_err(|e| LineError::NotText(e.valid_up_to()))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let mut next = self.clone();
        if text.starts_with('{') {
            let given: Given = serde_json::from_str(text)
                .map_err(|e| LineError::Json(escaped(e.to_string().as_bytes())))?;
            next.apply(given);
        } else {
            text.clone_into(&mut next.0.message.content);
        }
        next.0.message.count = count;
        let bytes = next.0.encode().map_err(LineError::Large)?;
        *self = next;
        Ok(Some(bytes))
    }

    fn apply(&mut self, given: Given) {
        let Event { message, team_a, team_b, keeper_a, keeper_b } = &mut self.0;
        message.content = given.content;
        keep(&mut message.kind, given.kind);
        keep(&mut message.score, given.score);
        keep(&mut message.time_passed, given.time_passed);
        keep(team_a, given.team_a);
        keep(team_b, given.team_b);
        keep(keeper_a, given.keeper_a);
        keep(keeper_b, given.keeper_b);
    }
}

fn keep<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::wire::{Received, Seen};

    fn seen(feed: &mut Feed, line: &str) -> Seen {
        let bytes = feed.read(line.as_bytes(), 9).unwrap().unwrap();
        match Received::parse(&bytes).unwrap() {
            Received::Event(seen) => seen,
            Received::End => panic!("{line}"),
        }
    }

    #[test]
    fn a_plain_line_is_the_content_and_the_rest_stays() {
        let mut feed = Feed::default();
        let line = r#"{"content": "a", "type": "Gol!", "score": "1 - 0", "time_passed": 46}"#;
        let first = seen(&mut feed, line);
        let rest = Seen { kind: "Gol!".into(), score: "1 - 0".into(), ..Seen::default() };
        let rest = Seen { count: 9, minute: Some(46), ..rest };
        assert_eq!(first, Seen { content: "a".into(), ..rest.clone() });
        assert_eq!(seen(&mut feed, "b {"), Seen { content: "b {".into(), ..rest.clone() });
        let other = Seen { score: "1 - 1".into(), ..rest };
        assert_eq!(seen(&mut feed, r#"{"score": "1 - 1"}"#), other);
    }

    #[test]
    fn players_can_be_given_too() {
        let mut feed = Feed::default();
        let line = r#"{"timeA": [{"nome": "Z"}], "goleiroB": {"nome": "G", "time": "T"}}"#;
        let bytes = feed.read(line.as_bytes(), 1).unwrap().unwrap();
        let text = str::from_utf8(&bytes).unwrap();
        assert!(text.contains(r#""timeA": [{"nome": "Z", "time": "", "posicao": "", "#), "{text}");
        assert!(text.ends_with(r#""goleiroB": {"nome": "G", "time": "T"}}"#), "{text}");
    }

    #[test]
    fn a_line_that_is_refused_changes_nothing() {
        let mut feed = Feed::default();
        seen(&mut feed, r#"{"score": "1 - 0"}"#);
        let large = format!(r#"{{"score": "2 - 0", "content": "{}"}}"#, "x".repeat(4_000));
        assert!(matches!(feed.read(large.as_bytes(), 2), Err(LineError::Large(_))));
        assert_eq!(feed.read(b"ab\xff", 2), Err(LineError::NotText(2)));
        for bad in [r#"{"points": 1}"#, "{", r#"{"time_passed": -1}"#, "{} {}"] {
            assert!(matches!(feed.read(bad.as_bytes(), 2), Err(LineError::Json(_))), "{bad}");
        }
        assert_eq!(feed.read(b" \t", 2), Ok(None));
        assert_eq!(seen(&mut feed, "x").score, "1 - 0");
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&[b'x'; 4_096]);
            assert!(lines.buffer.len() <= limits::EVENTS_LINE_BYTES_MAX + 4_096);
        }
        lines.push(b"\nok\r\n");
        assert_eq!(lines.take(), Some(Err(LineError::Long(409_600))));
        assert_eq!(lines.take(), Some(Ok(b"ok".to_vec())));
        assert_eq!(lines.take(), None);
        lines.push(b"last");
        lines.finish();
        assert_eq!(lines.take(), Some(Ok(b"last".to_vec())));
        lines.finish();
        assert_eq!(lines.take(), None);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_lines_are_the_same(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
            cuts in proptest::collection::vec(1_usize..50, 1..40),
        ) {
            let mut whole = Lines::default();
            whole.push(&bytes);
            whole.finish();
            let mut cut = Lines::default();
            let (mut rest, mut found) = (&bytes[..], Vec::new());
            for size in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*size));
                cut.push(piece);
                found.extend(std::iter::from_fn(|| cut.take()));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            cut.finish();
            found.extend(std::iter::from_fn(|| cut.take()));
            let expected: Vec<_> = std::iter::from_fn(|| whole.take()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_line_is_too_much(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut feed = Feed::default();
            let _ = feed.read(&line, 1);
            let mut json = b"{".to_vec();
            json.extend(line);
            let _ = feed.read(&json, 1);
        }
    }
}

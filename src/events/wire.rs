//! The bytes of the live ticker: two commands, one datagram an event, and the words of the end.
//!
//! | direction | datagram |
//! |---|---|
//! | client to server | `register` or `unregister`, bare |
//! | server to client | an event: the JSON below, in fewer than 4096 bytes |
//! | server to client | `End of transmission` |
//!
//! ```json
//! {"message": {"count": 1, "score": "Placar: A 0 - 0 B", "content": "...", "type": "Falta!",
//!   "time_passed": 4}, "timeA": [], "timeB": [], "goleiroA": {"nome": "", "time": ""},
//!   "goleiroB": {"nome": "", "time": ""}}
//! ```
//!
//! It is written as Python's `json.dumps` writes it: keys in this order, `, ` and `: ` between
//! them, everything that is not printable ASCII as `\uXXXX`. The original client stops on a missing
//! key, so none is ever left out. What is read is read with more patience: only `count` must be
//! there.

use std::io;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use thiserror::Error;

use crate::base::limits;

/// What the server sends when there is no more.
pub const END: &[u8] = b"End of transmission";

/// What a client may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Send me the events from now on.
    Register,
    /// Send me no more.
    Unregister,
}

/// Why a datagram is none.
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub enum Bad {
    /// More bytes than any of its kind has.
    #[error("{0} bytes are too many")]
    Long(usize),
    /// Not UTF-8.
    #[error("not text")]
    NotText,
    /// Text, but no command.
    #[error("no command")]
    Unknown,
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON without a number that counts it.
    #[error("no \"message\" with a \"count\"")]
    NoCount,
}

/// An event that does not fit a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
#[error(
    "as a datagram it has {0} bytes, and {max} are the most; shorten it",
    max = limits::EVENT_BYTES_MAX
)]
pub struct TooLarge(pub usize);

impl Request {
    /// Reads a command. White space around it is forgiven: people type it by hand.
    ///
    /// # Errors
    /// What it is instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        if bytes.len() > limits::EVENTS_REQUEST_BYTES_MAX {
            return Err(Bad::Long(bytes.len()));
        }
        match str::from_utf8(bytes).map_err(|_| Bad::NotText)?.trim() {
            "register" => Ok(Self::Register),
            "unregister" => Ok(Self::Unregister),
            _ => Err(Bad::Unknown),
        }
    }

    /// Its bytes, as the original client sends them.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Register => b"register",
            Self::Unregister => b"unregister",
        }
    }
}

/// A whole datagram. The fields stand in the order of its keys.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Event {
    /// What happened.
    pub message: Message,
    /// The first team's ten players.
    #[serde(rename = "timeA")]
    pub team_a: Vec<Player>,
    /// The second team's.
    #[serde(rename = "timeB")]
    pub team_b: Vec<Player>,
    /// The first team's goalkeeper.
    #[serde(rename = "goleiroA")]
    pub keeper_a: Keeper,
    /// The second team's.
    #[serde(rename = "goleiroB")]
    pub keeper_b: Keeper,
}

/// What happened, and where it stands in the stream.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Message {
    /// Its place in the stream, from 1.
    pub count: u64,
    /// The score after it: `Placar: A 0 - 0 B`.
    pub score: String,
    /// The phrase.
    pub content: String,
    /// The kind of event: `Gol!` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The minute.
    pub time_passed: u32,
}

/// A player of the field.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Player {
    /// The name.
    #[serde(rename = "nome")]
    pub name: String,
    /// The team's name.
    #[serde(rename = "time")]
    pub team: String,
    /// The position.
    #[serde(rename = "posicao")]
    pub position: String,
    /// Whether sent off.
    #[serde(rename = "cartao_vermelho")]
    pub red_card: bool,
    /// How many goals.
    #[serde(rename = "gols")]
    pub goals: u32,
    /// The minutes of the goals.
    #[serde(rename = "tempo_gols")]
    pub goal_minutes: Vec<u32>,
    /// The minute of the red card; 0 without one.
    #[serde(rename = "tempo_cv")]
    pub red_minute: u32,
}

/// A goalkeeper.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Keeper {
    /// The name.
    #[serde(rename = "nome")]
    pub name: String,
    /// The team's name.
    #[serde(rename = "time")]
    pub team: String,
}

impl Event {
    /// The datagram.
    ///
    /// # Errors
    /// When it has more than [`limits::EVENT_BYTES_MAX`] bytes.
    ///
    /// # Panics
    /// Never: such values are always JSON.
    pub fn encode(&self) -> Result<Rc<[u8]>, TooLarge> {
        let mut bytes = Vec::with_capacity(limits::EVENT_BYTES_MAX);
        let mut serializer = Serializer::with_formatter(&mut bytes, AsPython);
        self.serialize(&mut serializer).expect("texts, numbers and lists, written to memory");
        if bytes.len() > limits::EVENT_BYTES_MAX {
            return Err(TooLarge(bytes.len()));
        }
        Ok(bytes.into())
    }
}

/// JSON as Python's `json.dumps` spells it when it is asked for nothing else.
struct AsPython;

impl Formatter for AsPython {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// What a client takes out of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// An event.
    Event(Seen),
    /// There is no more.
    End,
}

/// The part of an event that is shown. Texts are foreign: not escaped yet.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// Its place in the stream.
    pub count: u64,
    /// The score after it.
    pub score: String,
    /// The phrase.
    pub content: String,
    /// The kind of event.
    pub kind: String,
    /// The minute, when there is one.
    pub minute: Option<u64>,
}

impl Received {
    /// Reads a datagram of any server: of an event only its `count` must be there, and each other
    /// value may have any type.
    ///
    /// # Errors
    /// What it is instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        if bytes.trim_ascii() == END {
            return Ok(Self::End);
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| Bad::NotJson(e.to_string()))?;
        let message = value.get("message").ok_or(Bad::NoCount)?;
        let count = message.get("count").and_then(Value::as_u64).ok_or(Bad::NoCount)?;
        let text = |key: &str| message.get(key).map_or_else(String::new, as_text);
        Ok(Self::Event(Seen {
            count,
            score: text("score"),
            content: text("content"),
            kind: text("type"),
            minute: message.get("time_passed").and_then(Value::as_u64),
        }))
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The minute as a screen shows it: what is played on after each half stands behind a `+`.
#[must_use]
pub fn minute_text(minute: u64) -> String {
    match minute {
        46..=49 => format!("45+{}'", minute - 45),
        91.. => format!("90+{}'", minute - 90),
        _ => format!("{minute}'"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn player(name: &str, team: &str) -> Player {
        let (name, team, position) = (name.into(), team.into(), "Atacante".into());
        Player { name, team, position, ..Player::default() }
    }

    fn sample() -> Event {
        let message = Message {
            count: 1,
            score: "Placar: Gal\u{e1}ticos 0 - 0 The Bests".into(),
            content: "P\u{ea}nalti \"claro\"\n\u{1f600}\u{7f}".into(),
            kind: "Falta!".into(),
            time_passed: 4,
        };
        let scorer = Player {
            red_card: true,
            goals: 2,
            goal_minutes: vec![4, 46],
            red_minute: 50,
            ..player("Z\u{e9}", "Gal\u{e1}ticos")
        };
        Event {
            message,
            team_a: vec![scorer, player("B", "Gal\u{e1}ticos")],
            team_b: Vec::new(),
            keeper_a: Keeper { name: "G".into(), team: "Gal\u{e1}ticos".into() },
            keeper_b: Keeper::default(),
        }
    }

    #[test]
    fn an_event_has_exactly_these_bytes() {
        let golden = concat!(
            r#"{"message": {"count": 1, "score": "Placar: Gal\u00e1ticos 0 - 0 The Bests", "#,
            r#""content": "P\u00eanalti \"claro\"\n\ud83d\ude00\u007f", "type": "Falta!", "#,
            r#""time_passed": 4}, "timeA": [{"nome": "Z\u00e9", "time": "Gal\u00e1ticos", "#,
            r#""posicao": "Atacante", "cartao_vermelho": true, "gols": 2, "tempo_gols": [4, 46], "#,
            r#""tempo_cv": 50}, {"nome": "B", "time": "Gal\u00e1ticos", "posicao": "Atacante", "#,
            r#""cartao_vermelho": false, "gols": 0, "tempo_gols": [], "tempo_cv": 0}], "#,
            r#""timeB": [], "goleiroA": {"nome": "G", "time": "Gal\u00e1ticos"}, "#,
            r#""goleiroB": {"nome": "", "time": ""}}"#,
        );
        assert_eq!(str::from_utf8(&sample().encode().unwrap()).unwrap(), golden);
    }

    #[test]
    fn the_commands_are_bare_words() {
        assert_eq!(Request::parse(b"register"), Ok(Request::Register));
        assert_eq!(Request::parse(b"unregister\n"), Ok(Request::Unregister));
        for request in [Request::Register, Request::Unregister] {
            assert_eq!(Request::parse(request.bytes()), Ok(request));
        }
        assert_eq!(Request::Register.bytes(), b"register");
        assert_eq!(Request::Unregister.bytes(), b"unregister");
        assert_eq!(END, b"End of transmission");
    }

    #[test]
    fn what_is_no_command_is_said() {
        assert_eq!(Request::parse(b""), Err(Bad::Unknown));
        assert_eq!(Request::parse(b"Register"), Err(Bad::Unknown));
        assert_eq!(Request::parse(b"register register"), Err(Bad::Unknown));
        assert_eq!(Request::parse(b"register\xff"), Err(Bad::NotText));
        assert_eq!(Request::parse(&[b'r'; 65]), Err(Bad::Long(65)));
    }

    #[test]
    fn one_byte_more_than_a_datagram_may_have_is_refused() {
        let mut event = Event::default();
        let rest = limits::EVENT_BYTES_MAX - event.encode().unwrap().len();
        event.message.content = "x".repeat(rest);
        assert_eq!(event.encode().unwrap().len(), 4095);
        event.message.content.push('x');
        assert_eq!(event.encode(), Err(TooLarge(4096)));
    }

    #[test]
    fn an_event_is_read_whatever_its_values_are() {
        let seen = Received::parse(br#"{"message":{"count":7,"type":3,"score":null}}"#).unwrap();
        let expected = Seen { count: 7, kind: "3".into(), ..Seen::default() };
        assert_eq!(seen, Received::Event(expected));
        assert_eq!(Received::parse(END), Ok(Received::End));
        assert_eq!(Received::parse(b"{\"message\": {\"count\": -1}}"), Err(Bad::NoCount));
        assert_eq!(Received::parse(b"[]"), Err(Bad::NoCount));
        assert!(matches!(Received::parse(b"\xff\xfe"), Err(Bad::NotJson(_))));
        assert!(matches!(Received::parse(b""), Err(Bad::NotJson(_))));
    }

    #[test]
    fn the_minutes_after_each_half_stand_behind_a_plus() {
        let shown: Vec<_> = [0, 4, 45, 46, 49, 50, 90, 91, 97].map(minute_text).into();
        assert_eq!(shown, ["0'", "4'", "45'", "45+1'", "45+4'", "50'", "90'", "90+1'", "90+7'"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            count in any::<u64>(),
            texts in proptest::collection::vec("\\PC{0,40}|[\\x00-\\x7f]{0,40}", 3),
            minute in any::<u32>(),
        ) {
            let message = Message {
                count,
                score: texts[0].clone(),
                content: texts[1].clone(),
                kind: texts[2].clone(),
                time_passed: minute,
            };
            let bytes = Event { message, ..Event::default() }.encode().unwrap();
            prop_assert!(bytes.iter().all(|b| matches!(b, b' '..=b'~')));
            let seen = Seen {
                count,
                score: texts[0].clone(),
                content: texts[1].clone(),
                kind: texts[2].clone(),
                minute: Some(u64::from(minute)),
            };
            prop_assert_eq!(Received::parse(&bytes), Ok(Received::Event(seen)));
        }

        #[test]
        fn no_datagram_is_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&bytes);
            let _ = Received::parse(&bytes);
        }
    }
}

//! The one line of a control connection to a command. Answers are plain text or JSON and need no
//! form of their own. [`crate::control::server`] calls it.

use core::str;

use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;

/// What an operator asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `status`: the node in a few lines.
    Status,
    /// `status json`: the whole document of `/status.json`.
    StatusJson,
    /// `channels`: what is on the air.
    Channels,
    /// `files`: what a client has stored and not shown.
    Files,
    /// `connections`: who is there.
    Connections,
    /// `help`: this list.
    Help,
}

/// Every command: its words, what it is, what it tells.
const COMMANDS: [(&str, Command, &str); 6] = [
    ("status", Command::Status, "the node in a few lines"),
    ("status json", Command::StatusJson, "all of it, as /status.json has it"),
    ("channels", Command::Channels, "what is on the air, who watches"),
    ("files", Command::Files, "the blocks waiting in the store"),
    ("connections", Command::Connections, "every connection, its age and its bytes"),
    ("help", Command::Help, "this list"),
];

/// Why a line is not a command. The words go to the operator.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// There is no such command.
    #[error("unknown command \"{said}\"{}; \"help\" lists the commands", hint(*meant))]
    Unknown {
        /// What came, safe to show.
        said: String,
        /// What is spelt nearly like it.
        meant: Option<&'static str>,
    },
    /// No line end within the bound.
    #[error("a command is one line of at most {} bytes", limits::CONTROL_LINE_BYTES_MAX)]
    TooLong,
    /// The line did not come in time.
    #[error("no command came in time")]
    Slow,
}

/// The command in what has arrived; `None` while its line is incomplete. `whole` says that nothing
/// will follow, which ends a line, too.
///
/// # Errors
/// When it is no command.
pub fn parse(bytes: &[u8], whole: bool) -> Result<Option<Command>, Refused> {
    let end = bytes.iter().position(|b| *b == b'\n').or(whole.then_some(bytes.len()));
    match end {
        Some(end) if end < limits::CONTROL_LINE_BYTES_MAX => command(&bytes[..end]).map(Some),
        None if bytes.len() < limits::CONTROL_LINE_BYTES_MAX => Ok(None),
        _ => Err(Refused::TooLong),
    }
}

fn command(line: &[u8]) -> Result<Command, Refused> {
    let words: Vec<&str> =
        str::from_utf8(line).unwrap_or_default().split_ascii_whitespace().collect();
    let said = words.join(" ");
    let known = COMMANDS.iter().find(|(name, ..)| *name == said);
    known
        .map(|(_, command, _)| *command)
        .ok_or_else(|| Refused::Unknown { said: escaped(line.trim_ascii()), meant: nearest(&said) })
}

/// The command with the fewest letters to change, when they are few.
fn nearest(said: &str) -> Option<&'static str> {
    let near = |name: &str| strsim::damerau_levenshtein(said, name);
    let (name, ..) = COMMANDS.iter().min_by_key(|(name, ..)| near(name))?;
    (said.len() <= 2 * name.len() && near(name) <= name.len() / 3).then_some(*name)
}

fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

/// The answer to `help`.
#[must_use]
pub fn help() -> String {
    COMMANDS
        .iter()
        .fold(String::new(), |text, (name, _, what)| text + &format!("{name:<13}{what}\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_listed_command_is_known_with_any_spaces_around() {
        for (name, command, _) in COMMANDS {
            assert_eq!(parse(format!("{name}\n").as_bytes(), false), Ok(Some(command)));
            let loose = format!("  {}\r\nmore", name.replace(' ', "\t "));
            assert_eq!(parse(loose.as_bytes(), false), Ok(Some(command)), "{loose:?}");
            assert_eq!(parse(name.as_bytes(), true), Ok(Some(command)));
            assert_eq!(parse(name.as_bytes(), false), Ok(None));
            assert!(help().lines().any(|line| line.starts_with(name)));
        }
    }

    #[test]
    fn what_is_not_a_command_is_told_so() {
        let told = |line: &[u8]| parse(line, true).unwrap_err().to_string();
        assert_eq!(
            told(b"chanels"),
            "unknown command \"chanels\" (did you mean \"channels\"?); \"help\" lists the commands"
        );
        assert_eq!(told(b"reboot"), "unknown command \"reboot\"; \"help\" lists the commands");
        assert_eq!(told(b""), "unknown command \"\"; \"help\" lists the commands");
        assert_eq!(
            told(b"\xff\x1b[31m"),
            "unknown command \"\\xff\\x1b[31m\"; \"help\" lists the commands"
        );
    }

    #[test]
    fn a_line_has_a_bound() {
        let max = limits::CONTROL_LINE_BYTES_MAX;
        assert_eq!(parse(&vec![b'x'; max - 1], false), Ok(None));
        assert_eq!(parse(&vec![b'x'; max], false), Err(Refused::TooLong));
        assert_eq!(
            parse(&[vec![b' '; max], b"help\n".to_vec()].concat(), false),
            Err(Refused::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_a_reason(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            prop_assert!(parse(&bytes, true) != Ok(None));
        }
    }
}

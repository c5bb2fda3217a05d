//! The one line of a control connection to a command. Answers are plain text or JSON and need no
//! form of their own. [`crate::control::server`] calls it.
//!
//! A line is the command's word, what it is about, and flags in any order:
//! `tree --stripe 3 --channel 0 --json`. `json` without dashes is the same as `--json`.

use core::str;

use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;

/// What an operator asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// For what.
    pub what: What,
    /// Whether a program is to read the answer.
    pub json: bool,
    /// Of which channel; the first that there is, when none was named.
    pub channel: Option<usize>,
}

/// What can be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The node in a few lines; as JSON the whole document of `/status.json`.
    Status,
    /// What is on the air.
    Channels,
    /// What is waiting to be shown.
    Files,
    /// Who is there.
    Connections,
    /// A root's whole tree: of one stripe, or all merged.
    Tree {
        /// The stripe.
        stripe: Option<usize>,
    },
    /// Why a member is where it is.
    Why {
        /// What was said of it: its name or the beginning of it, or its address.
        node: String,
    },
    /// The list of commands.
    Help,
}

/// A command's word, how it is used, what it tells.
struct Entry {
    word: &'static str,
    usage: &'static str,
    tells: &'static str,
}

const COMMANDS: [Entry; 7] = [
    Entry {
        word: "status",
        usage: "status [--json]",
        tells: "the node in a few lines; as JSON all that /status.json has",
    },
    Entry {
        word: "channels",
        usage: "channels [--json]",
        tells: "what is on the air, who watches",
    },
    Entry {
        word: "files",
        usage: "files [--json]",
        tells: "the blocks that wait to be shown, and those that are arriving",
    },
    Entry {
        word: "connections",
        usage: "connections [--json]",
        tells: "who sends to this node, who receives from it, and the rest",
    },
    Entry {
        word: "tree",
        usage: "tree [--stripe N] [--channel C] [--json]",
        tells: "on a root: everybody, each below its parent",
    },
    Entry {
        word: "why",
        usage: "why NODE [--channel C] [--json]",
        tells: "on a root: why NODE (name or address) is where it is",
    },
    Entry { word: "help", usage: "help", tells: "this list" },
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
    /// The command is known, what follows it is not as it should be.
    #[error("{word}: {what}; it is used so: {usage}")]
    Usage {
        /// The command.
        word: &'static str,
        /// What is wrong, safe to show.
        what: String,
        /// How it should be.
        usage: &'static str,
    },
    /// No line end within the bound.
    #[error("a command is one line of at most {} bytes", limits::CONTROL_LINE_BYTES_MAX)]
    TooLong,
    /// The line did not come in time.
    #[error("no command came in time")]
    Slow,
    /// As many long answers as there may be are on their way.
    #[error(
        "{} long answers are being read by others; ask again",
        limits::CONTROL_LONG_ANSWERS_MAX
    )]
    Busy,
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
    let mut words = str::from_utf8(line).unwrap_or_default().split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let Some(entry) = COMMANDS.iter().find(|entry| entry.word == first) else {
        let said = escaped(line.trim_ascii());
        return Err(Refused::Unknown { said, meant: nearest(first) });
    };
    let wrong = |what| Refused::Usage { word: entry.word, what, usage: entry.usage };
    let rest = rest(entry, words).map_err(wrong)?;
    let what = match (entry.word, rest.operand) {
        ("status", _) => What::Status,
        ("channels", _) => What::Channels,
        ("files", _) => What::Files,
        ("connections", _) => What::Connections,
        ("tree", _) => What::Tree { stripe: rest.stripe },
        ("why", Some(node)) => What::Why { node: node.to_owned() },
        ("why", None) => return Err(wrong("expected the name or the address of a node".into())),
        _ => What::Help,
    };
    Ok(Command { what, json: rest.json, channel: rest.channel })
}

/// What follows a command's word.
#[derive(Default)]
struct Rest<'a> {
    operand: Option<&'a str>,
    json: bool,
    stripe: Option<usize>,
    channel: Option<usize>,
}

fn rest<'a>(entry: &Entry, words: impl Iterator<Item = &'a str>) -> Result<Rest<'a>, String> {
    let mut rest = Rest::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let known = |flag: &str| word == flag && entry.usage.contains(flag);
        if known("--json") || word == "json" && entry.usage.contains("--json") {
            rest.json = true;
        } else if known("--stripe") {
            rest.stripe = Some(number(word, words.next())?);
        } else if known("--channel") {
            rest.channel = Some(number(word, words.next())?);
        } else if entry.usage.contains(" NODE") && rest.operand.is_none() && !word.starts_with('-')
        {
            rest.operand = Some(word);
        } else {
            return Err(format!("\"{}\" is not expected", escaped(word.as_bytes())));
        }
    }
    Ok(rest)
}

fn number(flag: &str, value: Option<&str>) -> Result<usize, String> {
    let plain = value.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    plain.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let said = value.map_or_else(String::new, |v| format!(", not {}", escaped(v.as_bytes())));
        format!("{flag}: expected a number{said}")
    })
}

/// The command with the fewest letters to change, when they are few.
fn nearest(said: &str) -> Option<&'static str> {
    let near = |word: &str| strsim::damerau_levenshtein(said, word);
    let word = COMMANDS.iter().map(|entry| entry.word).min_by_key(|word| near(word))?;
    (said.len() <= 2 * word.len() && near(word) <= word.len() / 3).then_some(word)
}

fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

/// The answer to `help`.
#[must_use]
pub fn help() -> String {
    COMMANDS
        .iter()
        .fold(String::new(), |text, entry| text + &format!("{:<42}{}\n", entry.usage, entry.tells))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(line: &str) -> Command {
        parse(line.as_bytes(), true).unwrap().unwrap()
    }

    fn plain(what: What) -> Command {
        Command { what, json: false, channel: None }
    }

    fn told(line: &[u8]) -> String {
        parse(line, true).unwrap_err().to_string()
    }

    #[test]
    fn every_listed_command_is_known_with_any_spaces_around() {
        let all = [
            ("status", What::Status),
            ("channels", What::Channels),
            ("files", What::Files),
            ("connections", What::Connections),
            ("tree", What::Tree { stripe: None }),
            ("why a1", What::Why { node: "a1".to_owned() }),
            ("help", What::Help),
        ];
        assert_eq!(all.len(), COMMANDS.len());
        for (line, what) in all {
            let command = Some(plain(what));
            assert_eq!(parse(format!("{line}\n").as_bytes(), false), Ok(command.clone()));
            let loose = format!("  {}\r\nmore", line.replace(' ', "\t "));
            assert_eq!(parse(loose.as_bytes(), false), Ok(command.clone()), "{loose:?}");
            assert_eq!(parse(line.as_bytes(), true), Ok(command));
            assert_eq!(parse(line.as_bytes(), false), Ok(None));
            let word = line.split(' ').next().unwrap();
            assert!(help().lines().any(|line| line.starts_with(word)));
        }
        assert!(help().lines().all(|line| line.len() < 110 && !line.contains("]on")), "{}", help());
    }

    #[test]
    fn flags_come_in_any_order() {
        let tree = What::Tree { stripe: Some(3) };
        let command = Command { what: tree, json: true, channel: Some(12) };
        assert_eq!(asked("tree --stripe 3 --channel 12 --json"), command);
        assert_eq!(asked("tree json --channel 12 --stripe 3"), command);
        let what = What::Why { node: "127.0.0.1:6061".to_owned() };
        assert_eq!(asked("why --json 127.0.0.1:6061"), Command { json: true, ..plain(what) });
        assert_eq!(asked("status json"), Command { json: true, ..plain(What::Status) });
    }

    #[test]
    fn what_is_not_a_command_is_told_so() {
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
    fn what_does_not_belong_to_a_command_is_told_with_its_usage() {
        let usage = "it is used so: tree [--stripe N] [--channel C] [--json]";
        assert_eq!(told(b"tree \x1bx"), format!("tree: \"\\x1bx\" is not expected; {usage}"));
        assert_eq!(told(b"tree --stripe"), format!("tree: --stripe: expected a number; {usage}"));
        assert_eq!(
            told(b"tree --stripe -1"),
            format!("tree: --stripe: expected a number, not -1; {usage}")
        );
        assert_eq!(
            told(b"why --json"),
            "why: expected the name or the address of a node; \
             it is used so: why NODE [--channel C] [--json]"
        );
        let big = told(b"tree --channel 99999999999999999999999");
        assert!(big.contains("--channel: expected a number, not 9999"), "{big}");
        for line in ["help --json", "files --stripe 1", "why a b", "why a --stripe 1", "tree a"] {
            assert!(told(line.as_bytes()).contains("is not expected"), "{line}");
        }
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

        #[test]
        fn any_words_are_a_command_or_a_reason(
            words in proptest::collection::vec("tree|why|--json|--stripe|-?[0-9a-f]{1,3}", 0..9),
        ) {
            prop_assert!(parse(words.join(" ").as_bytes(), true) != Ok(None));
        }
    }
}

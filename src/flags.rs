//! The command line of vidstreamd: one table of flags, which feeds the parser, `--help` and the
//! test that holds the manual page against it; and the codes that the process ends with. Not the
//! command line of `vidstream`. Called by `main`.

use core::time::Duration;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use lexopt::{Arg, Parser};
use thiserror::Error;

use crate::base::limits;
use crate::base::port::Level;
use crate::base::text::escaped;
use crate::config::{Config, LogTarget, did_you_mean};

/// What the process ends with; the numbers of sysexits(3).
pub mod exit {
    /// All was well.
    pub const OK: u8 = 0;
    /// The command line was wrong.
    pub const USAGE: u8 = 64;
    /// A file or directory to read is not there, or not readable.
    pub const NOINPUT: u8 = 66;
    /// A host is not known.
    pub const NOHOST: u8 = 68;
    /// Something that is needed does not answer.
    pub const UNAVAILABLE: u8 = 69;
    /// A fault of the program itself.
    pub const SOFTWARE: u8 = 70;
    /// The system refused something: a descriptor, memory, an address in use.
    pub const OSERR: u8 = 71;
    /// A file, directory or socket cannot be created.
    pub const CANTCREAT: u8 = 73;
    /// Reading or writing failed.
    pub const IOERR: u8 = 74;
    /// Something is not permitted.
    pub const NOPERM: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// One flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flag {
    /// Its name behind `--`.
    pub long: &'static str,
    /// Its letter behind `-`.
    pub short: Option<char>,
    /// What its value is called; none when it takes none.
    pub value: Option<&'static str>,
    /// What it does, one line.
    pub help: &'static str,
}

/// Every flag, in the order of `--help`.
pub const FLAGS: &[Flag] = &[
    Flag {
        long: "config",
        short: Some('c'),
        value: Some("FILE"),
        help: "Read the configuration from FILE; always needed.",
    },
    Flag {
        long: "check",
        short: None,
        value: None,
        help: "Check configuration and library, print what is found, and exit.",
    },
    Flag {
        long: "print-config",
        short: None,
        value: None,
        help: "Print the configuration with every default and full paths, and exit.",
    },
    Flag {
        long: "log-level",
        short: None,
        value: Some("LEVEL"),
        help: "Log error, warn, info or debug and graver, whatever the file says.",
    },
    Flag {
        long: "log-target",
        short: None,
        value: Some("TARGET"),
        help: "Log to auto, syslog or stderr, whatever the file says.",
    },
    Flag {
        long: "events-interval",
        short: None,
        value: Some("SPAN"),
        help: "Send an event each SPAN, such as 500ms, whatever the file says.",
    },
    Flag { long: "version", short: None, value: None, help: "Print the version, and exit." },
    Flag { long: "help", short: None, value: None, help: "Print this text, and exit." },
];

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Serve until told to stop.
    Run(Options),
    /// Check configuration and library, and say what was found.
    Check(Options),
    /// Print the whole configuration.
    PrintConfig(Options),
    /// Print [`version`].
    Version,
    /// Print [`help`].
    Help,
}

/// What goes with a command that reads a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The configuration file, as it was named.
    pub config: PathBuf,
    /// In place of `[log] level`.
    pub log_level: Option<Level>,
    /// In place of `[log] target`.
    pub log_target: Option<LogTarget>,
    /// In place of `[events] interval`.
    pub events_interval: Option<Duration>,
}

impl Options {
    /// Puts what the command line said in place of what the file says; again after each reload.
    pub fn override_log(&self, config: &mut Config) {
        config.log.level = self.log_level.unwrap_or(config.log.level);
        config.log.target = self.log_target.unwrap_or(config.log.target);
    }

    /// The same for the ticker.
    ///
    /// # Errors
    /// When the file has no ticker.
    pub fn override_events(&self, config: &mut Config) -> Result<(), UsageError> {
        let Some(interval) = self.events_interval else { return Ok(()) };
        let events = config.events.as_mut().ok_or(UsageError::NoEvents)?;
        events.interval = interval;
        Ok(())
    }
}

/// What is wrong with a command line. The process then ends with [`exit::USAGE`].
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub enum UsageError {
    /// No such flag.
    #[error("{flag}: unknown flag{hint}")]
    Unknown {
        /// The flag, safe to show.
        flag: String,
        /// A flag that is like it, or nothing.
        hint: String,
    },
    /// A flag stands twice.
    #[error("--{0}: given twice")]
    Twice(&'static str),
    /// A flag has a value that it does not take.
    #[error("--{flag} {value}: expected {expected}{hint}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// Its value, safe to show.
        value: String,
        /// What it takes.
        expected: &'static str,
        /// A word that is like it, or nothing.
        hint: String,
    },
    /// A flag lacks its value.
    #[error("--{flag}: expected {value} behind it")]
    NoValue {
        /// The flag.
        flag: &'static str,
        /// What its value is called.
        value: &'static str,
    },
    /// A flag that takes no value has one.
    #[error("{0}")]
    Excess(String),
    /// A word that belongs to no flag.
    #[error("{0}: unexpected; to name a configuration file, write --config FILE")]
    Word(String),
    /// Two flags that exclude each other.
    #[error("--check and --print-config: only one of them at a time")]
    Both,
    /// An interval for a ticker that is not switched on.
    #[error("--events-interval: the configuration has no [events], so there is no ticker")]
    NoEvents,
    /// No configuration file.
    #[error("--config FILE is missing; a sample to begin with is etc/server.toml")]
    NoConfig,
}

/// Reads a command line, without the name of the program.
///
/// # Errors
/// What is wrong with it. `--help` and `--version` are followed as soon as they are met.
pub fn parse<I>(args: I) -> Result<Command, UsageError>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = Parser::from_args(args);
    let mut given = Given::default();
    while let Some(arg) = parser.next().map_err(excess)? {
        let flag = flag_of(arg)?;
        match flag.long {
            "help" => return Ok(Command::Help),
            "version" => return Ok(Command::Version),
            _ => given.take(flag, &mut parser)?,
        }
    }
    given.command()
}

/// The text of `--help`, with the newline at its end.
#[must_use]
pub fn help() -> String {
    let left: Vec<_> = FLAGS.iter().map(Flag::usage).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    let lines = left.iter().zip(FLAGS).map(|(l, f)| format!("  {l:width$}  {}", f.help));
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!(
        "vidstreamd: live TV channels from a folder of movie blocks\n\n\
         Usage: vidstreamd --config FILE [--check | --print-config] [flags]\n\n\
         Flags:\n{lines}\n\n\
         Manual: vidstreamd(8), vidstreamd.toml(5)\n"
    )
}

/// The text of `--version`, with the newline at its end.
#[must_use]
pub fn version() -> String {
    format!("vidstreamd {}\n", env!("CARGO_PKG_VERSION"))
}

impl Flag {
    /// `-c, --config FILE`.
    fn usage(&self) -> String {
        let short = self.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = self.value.map_or_else(String::new, |value| format!(" {value}"));
        format!("{short}--{}{value}", self.long)
    }
}

fn flag_of(arg: Arg<'_>) -> Result<&'static Flag, UsageError> {
    let (found, written) = match arg {
        Arg::Long(name) => (FLAGS.iter().find(|f| f.long == name), format!("--{name}")),
        Arg::Short(letter) => {
            (FLAGS.iter().find(|f| f.short == Some(letter)), format!("-{letter}"))
        }
        Arg::Value(word) => return Err(UsageError::Word(shown(&word))),
    };
    found.ok_or_else(|| {
        let known: Vec<_> = FLAGS.iter().map(|f| format!("--{}", f.long)).collect();
        let hint = did_you_mean(&written, known.iter().map(String::as_str));
        UsageError::Unknown { flag: escaped(written.as_bytes()), hint }
    })
}

/// The flags met so far.
#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    log_level: Option<Level>,
    log_target: Option<LogTarget>,
    events_interval: Option<Duration>,
    check: bool,
    print: bool,
    seen: Vec<&'static str>,
}

impl Given {
    fn take(&mut self, flag: &'static Flag, parser: &mut Parser) -> Result<(), UsageError> {
        if self.seen.contains(&flag.long) {
            return Err(UsageError::Twice(flag.long));
        }
        self.seen.push(flag.long);
        let value = match flag.value {
            None => OsString::new(),
            Some(value) => {
                parser.value().map_err(|_| UsageError::NoValue { flag: flag.long, value })?
            }
        };
        match flag.long {
            "check" => self.check = true,
            "print-config" => self.print = true,
            "log-level" => self.log_level = Some(level(flag, &value)?),
            "log-target" => self.log_target = Some(target(flag, &value)?),
            "events-interval" => self.events_interval = Some(interval(flag, &value)?),
            _ => self.config = Some(path(flag, value)?),
        }
        Ok(())
    }

    fn command(self) -> Result<Command, UsageError> {
        let config = self.config.ok_or(UsageError::NoConfig)?;
        let Self { log_level, log_target, events_interval, .. } = self;
        let options = Options { config, log_level, log_target, events_interval };
        match (self.check, self.print) {
            (true, true) => Err(UsageError::Both),
            (true, false) => Ok(Command::Check(options)),
            (false, true) => Ok(Command::PrintConfig(options)),
            (false, false) => Ok(Command::Run(options)),
        }
    }
}

fn path(flag: &'static Flag, value: OsString) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        return Err(wrong(flag, &value, "the path of a file", String::new()));
    }
    Ok(value.into())
}

fn level(flag: &'static Flag, value: &OsStr) -> Result<Level, UsageError> {
    let word = value.to_string_lossy();
    Level::ALL.into_iter().find(|level| level.name() == word).ok_or_else(|| {
        let hint = did_you_mean(&word, Level::ALL.map(Level::name));
        wrong(flag, value, "error, warn, info or debug", hint)
    })
}

fn target(flag: &'static Flag, value: &OsStr) -> Result<LogTarget, UsageError> {
    let word = value.to_string_lossy();
    LogTarget::ALL.into_iter().find(|target| target.name() == word).ok_or_else(|| {
        let hint = did_you_mean(&word, LogTarget::ALL.map(LogTarget::name));
        wrong(flag, value, "auto, syslog or stderr", hint)
    })
}

fn interval(flag: &'static Flag, value: &OsStr) -> Result<Duration, UsageError> {
    let range = limits::EVENTS_INTERVAL_MIN..=limits::EVENTS_INTERVAL_MAX;
    let span = humantime::parse_duration(&value.to_string_lossy()).ok();
    let expected = "a duration from 1ms to 1h, written like 2s or 500ms";
    span.filter(|s| range.contains(s)).ok_or_else(|| wrong(flag, value, expected, String::new()))
}

fn wrong(flag: &'static Flag, value: &OsStr, expected: &'static str, hint: String) -> UsageError {
    UsageError::Value { flag: flag.long, value: format!("\"{}\"", shown(value)), expected, hint }
}

/// The one thing that the tokenizer itself refuses is a value that nobody asked for.
fn excess(error: lexopt::Error) -> UsageError {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            let option = escaped(option.as_bytes());
            UsageError::Excess(format!(
                "{option}: takes no value, and \"{}\" is one",
                shown(&value)
            ))
        }
        other => UsageError::Excess(escaped(other.to_string().as_bytes())),
    }
}

fn shown(text: &OsStr) -> String {
    escaped(text.as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    fn run(args: &[&str]) -> Result<Command, UsageError> {
        parse(args)
    }

    fn options(config: &str) -> Options {
        Options { config: config.into(), log_level: None, log_target: None, events_interval: None }
    }

    #[test]
    fn a_configuration_file_is_all_that_is_needed() {
        for args in [&["-c", "x"][..], &["--config", "x"], &["--config=x"], &["-cx"], &["-c=x"]] {
            assert_eq!(run(args), Ok(Command::Run(options("x"))), "{args:?}");
        }
    }

    #[test]
    fn a_command_takes_the_log_from_the_command_line() {
        let args = ["--check", "-c", "x", "--log-level", "debug", "--log-target=stderr"];
        let log_level = Some(Level::Debug);
        let log_target = Some(LogTarget::Stderr);
        let expected = Options { log_level, log_target, ..options("x") };
        assert_eq!(run(&args), Ok(Command::Check(expected)));
        assert_eq!(run(&["--print-config", "-cx"]), Ok(Command::PrintConfig(options("x"))));
    }

    #[test]
    fn help_and_version_need_nothing_else() {
        assert_eq!(run(&["--check", "--help", "--nonsense"]), Ok(Command::Help));
        assert_eq!(run(&["--version"]), Ok(Command::Version));
        assert_eq!(version(), format!("vidstreamd {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong() {
        for (args, expected) in [
            (&[][..], "--config FILE is missing; a sample to begin with is etc/server.toml"),
            (&["--confg", "x"], "--confg: unknown flag; did you mean \"--config\"?"),
            (&["--colour"], "--colour: unknown flag"),
            (&["-x"], "-x: unknown flag"),
            (&["x.toml"], "x.toml: unexpected; to name a configuration file, write --config FILE"),
            (&["a\x1bb"], "a\\x1bb: unexpected; to name a configuration file, write --config FILE"),
            (&["-c"], "--config: expected FILE behind it"),
            (&["--config="], "--config \"\": expected the path of a file"),
            (&["-cx", "-cy"], "--config: given twice"),
            (&["-cx", "--check=no"], "--check: takes no value, and \"no\" is one"),
            (
                &["-cx", "--check", "--print-config"],
                "--check and --print-config: only one of them at a time",
            ),
            (
                &["-cx", "--log-level", "inf"],
                "--log-level \"inf\": expected error, warn, info or debug; did you mean \"info\"?",
            ),
            (
                &["-cx", "--events-interval", "500"],
                "--events-interval \"500\": expected a duration from 1ms to 1h, written like 2s \
                 or 500ms",
            ),
            (&["--log-target", "file"], "--log-target \"file\": expected auto, syslog or stderr"),
        ] {
            assert_eq!(run(args).unwrap_err().to_string(), expected, "{args:?}");
        }
    }

    #[test]
    fn every_flag_of_the_table_is_understood_and_explained() {
        let text = help();
        for flag in FLAGS {
            assert!(text.contains(&flag.usage()) && text.contains(flag.help), "{flag:?}");
            let mut args = vec![format!("--{}", flag.long)];
            args.extend(flag.value.map(|_| "info".to_owned()));
            let unknown = matches!(parse(args), Err(UsageError::Unknown { .. }));
            assert!(!unknown, "{flag:?}");
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn the_manual_page_has_every_flag_and_every_exit_code() {
        let page = include_str!("../man/vidstreamd.8");
        for flag in FLAGS {
            assert!(page.contains(&format!("Fl -{}", flag.long)), "{flag:?}");
        }
        for code in [0, 64, 66, 68, 69, 70, 71, 73, 74, 77, 78] {
            assert!(page.contains(&format!(".It {code} ")), "{code}");
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text = include_str!("../etc/client.toml");
        let place = crate::config::Place {
            file: "client.toml".into(),
            directory: "/".into(),
            environment: crate::config::Environment::default(),
        };
        let mut config = Config::parse(text, &place).unwrap();
        let before = config.clone();
        options("x").override_log(&mut config);
        assert_eq!(config, before);
        let log_level = Some(Level::Warn);
        Options { log_level, ..options("x") }.override_log(&mut config);
        assert_eq!((config.log.level, config.log.target), (Level::Warn, LogTarget::Auto));
    }

    #[test]
    fn the_interval_of_the_ticker_is_taken_from_the_command_line() {
        let args = ["-cx", "--events-interval", "500ms"];
        let interval = Duration::from_millis(500);
        let expected = Options { events_interval: Some(interval), ..options("x") };
        assert_eq!(run(&args), Ok(Command::Run(expected.clone())));
        let text = include_str!("../etc/server.toml");
        let place = crate::config::Place {
            file: "server.toml".into(),
            directory: "/".into(),
            environment: crate::config::Environment::default(),
        };
        let mut config = Config::parse(text, &place).unwrap();
        assert_eq!(expected.override_events(&mut config), Ok(()));
        assert_eq!(config.events.as_ref().unwrap().interval, interval);
        config.events = None;
        assert_eq!(options("x").override_events(&mut config), Ok(()));
        assert_eq!(expected.override_events(&mut config), Err(UsageError::NoEvents));
    }

    proptest! {
        #[test]
        fn no_command_line_is_too_much(
            args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..5),
        ) {
            let args = args.iter().map(|bytes| OsStr::from_bytes(bytes));
            if let Err(error) = parse(args) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }
}

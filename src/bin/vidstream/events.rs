//! `vidstream events`: shows the live ticker of a server, ours or an original one, and tells at the
//! end how much of it came. What to send and what was lost is decided by the library's client; here
//! it gets a socket and a screen.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use vidstreamd::base::text::escaped;
use vidstreamd::events::client::{Client, Ending, Wish};
use vidstreamd::events::wire::{Seen, minute_text};
use vidstreamd::flags::exit;
use vidstreamd::io::ear::{Came, Ear};
use vidstreamd::io::files;

use crate::Outcome;

/// The port of a server that is named without one.
const PORT: u16 = 12345;
/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65_536;
/// Datagrams that are no events are told so often; then they are only counted.
const COMPLAINTS: u64 = 5;

/// What the command line asks for.
#[derive(Default)]
struct Options {
    server: String,
    from: Option<IpAddr>,
    stats_file: Option<PathBuf>,
    table: bool,
    json: bool,
}

/// Runs it, with what stands behind `events`.
pub(crate) fn run(parser: Parser) -> Outcome {
    let options = options(parser).map_err(|why| (exit::USAGE, why))?;
    let server = resolve(&options.server)?;
    let refused = |e: io::Error| (exit::UNAVAILABLE, format!("{server}: {e}"));
    let mut ear = Ear::open(server, options.from).map_err(refused)?;
    let stats_file = options.stats_file.as_deref().map(files::create).transpose();
    let stats_file = stats_file.map_err(|e| (exit::CANTCREAT, format!("--stats-file: {e}")))?;
    let mut screen = Screen { options: &options, complaints: 0, lines: 0 };
    let mut client = Client::new(ear.now());
    let ending = listen(&mut ear, &mut client, &mut screen, server)?;
    tell(&client, ending, &options, stats_file)
}

fn options(mut parser: Parser) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("table") => options.table = true,
            Arg::Long("json") => options.json = true,
            Arg::Long("stats-file") => {
                options.stats_file = Some(parser.value().map_err(|e| e.to_string())?.into());
            }
            Arg::Long("from") => {
                let text = parser.value().map_err(|e| e.to_string())?;
                let address = text.to_str().and_then(|text| text.parse().ok());
                let shown = escaped(text.as_encoded_bytes());
                let wrong = || format!("--from \"{shown}\": expected an address of this machine");
                options.from = Some(address.ok_or_else(wrong)?);
            }
            Arg::Value(word) if options.server.is_empty() => {
                let text = word.into_string();
                options.server =
                    text.map_err(|w| format!("{}: no host", escaped(w.as_encoded_bytes())))?;
            }
            other => return Err(format!("events: {}", other.unexpected())),
        }
    }
    match options.server.as_str() {
        "" => Err("events: expected HOST or HOST:PORT behind it".into()),
        _ => Ok(options),
    }
}

/// `HOST`, `HOST:PORT`, `V6` or `[V6]:PORT`.
fn resolve(text: &str) -> Result<SocketAddr, (u8, String)> {
    let unknown = |why: String| (exit::NOHOST, format!("{}: {why}", escaped(text.as_bytes())));
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, PORT));
    }
    let plain = |t: &str| t.strip_prefix('[').and_then(|t| t.strip_suffix(']')).map(str::to_owned);
    let found = match (plain(text), text.contains(':')) {
        (Some(host), _) => (host.as_str(), PORT).to_socket_addrs(),
        (None, true) => text.to_socket_addrs(),
        (None, false) => (text, PORT).to_socket_addrs(),
    };
    let mut found: Vec<_> = found.map_err(|e| unknown(e.to_string()))?.collect();
    // The original server knows IPv4 only.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| unknown("has no address".into()))
}

fn listen(
    ear: &mut Ear,
    client: &mut Client,
    screen: &mut Screen<'_>,
    server: SocketAddr,
) -> Result<Ending, (u8, String)> {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        while let Some(wish) = client.poll_wish() {
            match wish {
                Wish::Send(bytes) => ear.send(bytes),
                // Nobody reads any more: that is as good as Ctrl+C.
                Wish::Show(seen) if screen.show(&seen).is_err() => client.interrupt(),
                Wish::Show(_) => {}
                Wish::Complain(why) => screen.complain(&format!("no event: {why}")),
                Wish::Unanswered => {
                    say(&format!("nobody listens at {server}; asking again each second"));
                }
                Wish::Over(ending) => return Ok(ending),
            }
        }
        let broken = |e: io::Error| (exit::IOERR, format!("{server}: {e}"));
        match ear.wait(client.poll_timeout(), &mut buffer).map_err(broken)? {
            Came::Datagram(count) => client.handle_datagram(ear.now(), &buffer[..count]),
            Came::Refused => client.handle_refusal(),
            Came::Stop => client.interrupt(),
            Came::Nothing => {}
        }
        client.handle_timeout(ear.now());
    }
}

fn say(text: &str) {
    writeln!(io::stderr(), "vidstream: {text}").ok();
}

/// Where events are shown.
struct Screen<'a> {
    options: &'a Options,
    complaints: u64,
    lines: u64,
}

impl Screen<'_> {
    fn show(&mut self, seen: &Seen) -> io::Result<()> {
        if self.options.json {
            return Ok(());
        }
        let mut screen = io::stdout().lock();
        if self.options.table && self.lines == 0 {
            writeln!(
                screen,
                "{:>6} {:>6} {:<16} {:<40} event",
                "count", "minute", "type", "score"
            )?;
        }
        self.lines += 1;
        let text = if self.options.table { row(seen) } else { card(seen) };
        screen.write_all(text.as_bytes())?;
        screen.flush()
    }

    fn complain(&mut self, text: &str) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS {
            say(text);
        }
    }
}

/// Kind and minute, phrase, score: as the original shows them.
fn card(seen: &Seen) -> String {
    let minute = seen.minute.map_or_else(String::new, minute_text);
    let [kind, content, score] = [&seen.kind, &seen.content, &seen.score].map(|t| shown(t));
    format!("{minute} {kind}\n{content}\n{score}\n\n")
}

/// An event a line.
fn row(seen: &Seen) -> String {
    let minute = seen.minute.map_or_else(String::new, minute_text);
    let [kind, content, score] = [&seen.kind, &seen.content, &seen.score].map(|t| shown(t));
    format!("{:>6} {minute:>6} {kind:<16} {score:<40} {content}\n", seen.count)
}

fn shown(text: &str) -> String {
    escaped(text.as_bytes())
}

/// The end: figures on the screen and in the file.
fn tell(client: &Client, ending: Ending, options: &Options, file: Option<File>) -> Outcome {
    let statistics = client.statistics();
    let original = statistics.original_file(ending);
    if let Some(mut file) = file {
        let failed = |e: io::Error| (exit::IOERR, format!("--stats-file: {e}"));
        file.write_all(original.as_bytes()).map_err(failed)?;
    }
    let text =
        if options.json { statistics.json(ending) } else { original + &statistics.honest_text() };
    super::print(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_as_the_original_shows_it() {
        let seen = Seen {
            count: 3,
            score: "Placar: A 0 - 0 B".into(),
            content: "Perto\u{7}!".into(),
            kind: "Falta!".into(),
            minute: Some(47),
        };
        assert_eq!(card(&seen), "45+2' Falta!\nPerto\\x07!\nPlacar: A 0 - 0 B\n\n");
        assert!(row(&seen).starts_with("     3  45+2' Falta!           Placar: A 0 - 0 B "));
        assert!(row(&seen).ends_with(" Perto\\x07!\n"));
    }

    #[test]
    fn a_server_is_named_with_or_without_its_port() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:12345"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("::1", "[::1]:12345"),
            ("[::1]", "[::1]:12345"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(resolve(text), Ok(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(resolve("127.0.0.1:99999").unwrap_err().0, exit::NOHOST);
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong() {
        let read = |args: &[&str]| options(Parser::from_args(args)).map(|o| o.server);
        assert_eq!(read(&["--table", "a", "--json"]), Ok("a".into()));
        for (args, expected) in [
            (&[][..], "expected HOST"),
            (&["a", "b"], "b"),
            (&["a", "--from", "x"], "--from \"x\": expected an address"),
            (&["a", "--tabel"], "--tabel"),
            (&["a", "--stats-file"], "--stats-file"),
        ] {
            let error = read(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

//! `vidstream files`: the list of a server of files, and one file of it. Joins the machine
//! ([`vidstreamd::files::client`]) to a socket, a file and a player; how one is got is in `get`.

mod get;
mod port;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser};

use vidstreamd::base::limits;
use vidstreamd::base::text::escaped;
use vidstreamd::files::client::{Client, Event};
use vidstreamd::flags::exit;
use vidstreamd::io::fetch::Fetch;

type Failure = (u8, String);
type Outcome = Result<(), Failure>;

/// What a player is if none is named.
const PLAYER: &str = "mpv --no-terminal -";

/// What the command line asks for.
#[derive(Default, Debug)]
struct Asked {
    words: Vec<String>,
    output: Option<PathBuf>,
    play: bool,
    player: Option<String>,
    /// Bytes a second.
    rate: Option<u64>,
    buffer: Option<Duration>,
    /// Where players may read it over HTTP.
    http: Option<SocketAddr>,
    json: bool,
    quiet: bool,
}

/// Does it.
pub(crate) fn run(parser: Parser) -> Outcome {
    let asked = asked(parser).map_err(|why| (exit::USAGE, why))?;
    let words: Vec<_> = asked.words.iter().map(String::as_str).collect();
    match words[..] {
        ["list", server] => list(&asked, resolve(server)?),
        ["get", server, number] => {
            let wrong = || format!("{}: expected the number of a file", shown(number));
            let number = number.parse().map_err(|_| (exit::USAGE, wrong()))?;
            get::run(&asked, resolve(server)?, number)
        }
        _ => Err((exit::USAGE, "files: expected \"list HOST\" or \"get HOST N\"".into())),
    }
}

fn asked(mut parser: Parser) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Short('o') | Arg::Long("output") => {
                asked.output = Some(parser.value().map_err(|e| e.to_string())?.into());
            }
            Arg::Long("play") => asked.play = true,
            Arg::Long("player") => asked.player = Some(text(&mut parser)?),
            Arg::Long("rate") => asked.rate = Some(rate(&text(&mut parser)?)?),
            Arg::Long("buffer") => asked.buffer = Some(seconds(&text(&mut parser)?)?),
            Arg::Long("http") => asked.http = Some(address(&text(&mut parser)?)?),
            Arg::Long("json") => asked.json = true,
            Arg::Long("quiet") => asked.quiet = true,
            Arg::Value(word) => {
                let word = word.into_string();
                asked.words.push(word.map_err(|w| escaped(w.as_encoded_bytes()))?);
            }
            other => return Err(format!("files: {}", other.unexpected())),
        }
    }
    if asked.player.is_some() && !asked.play {
        return Err("--player: only with --play".into());
    }
    if asked.http.is_some() && (asked.play || asked.output.as_deref() == Some(Path::new("-"))) {
        return Err("--http: not with --play or -o -".into());
    }
    Ok(asked)
}

fn text(parser: &mut Parser) -> Result<String, String> {
    let word = parser.value().map_err(|e| e.to_string())?;
    word.into_string().map_err(|w| format!("{}: not text", escaped(w.as_encoded_bytes())))
}

/// Bits a second such as `8M`, `2500k` or `64000`, as bytes a second.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, times) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let bits = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(times));
    let bytes = bits
        .map(|bits| bits / 8)
        .filter(|bytes| (limits::FILES_RATE_MIN..=limits::FILES_RATE_MAX).contains(bytes));
    bytes.ok_or_else(|| format!("--rate {}: expected bits a second such as 8M", shown(text)))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    let wrong = || format!("--buffer {}: expected 1 to 600 seconds", shown(text));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// `PORT` of this machine alone, or `ADDRESS:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let wrong = |_| {
        let shown = shown(text);
        format!("--http {shown}: expected a port such as 8000, or one behind an address and \":\"")
    };
    port.or_else(|_| text.parse()).map_err(wrong)
}

fn shown(text: &str) -> String {
    escaped(text.as_bytes())
}

/// `HOST`, `HOST:PORT`, `V6` or `[V6]:PORT`.
fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let refuse = |why: &str| (exit::NOHOST, format!("{}: {why}", shown(server)));
    let bare = server.parse().map(|ip: std::net::IpAddr| (ip.to_string(), limits::FILES_PORT));
    let (host, port) = match (bare, server.rsplit_once(':')) {
        (Ok(bare), _) => bare,
        (Err(_), Some((host, port))) => {
            let port = port.parse().map_err(|_| refuse("no port behind the colon"))?;
            (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
        }
        (Err(_), None) => (server.to_owned(), limits::FILES_PORT),
    };
    let found = (host.as_str(), port).to_socket_addrs().map_err(|e| refuse(&e.to_string()))?;
    let mut found: Vec<_> = found.collect();
    // The original server knows IPv4 only.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| refuse("has no address"))
}

fn system(error: &io::Error) -> Failure {
    (exit::OSERR, error.to_string())
}

/// The names of a server's files, by their numbers.
fn names(fetch: &mut Fetch, server: SocketAddr) -> Result<Vec<String>, Failure> {
    let mut client = Client::list(fetch.now(), server);
    loop {
        let now = fetch.now();
        while let Some((to, bytes)) = client.poll_transmit(now) {
            fetch.send(to, &bytes);
        }
        match client.poll_event() {
            Some(Event::Listed(list)) if list.is_empty() => return Ok(Vec::new()),
            Some(Event::Listed(list)) => return Ok(list.split('#').map(str::to_owned).collect()),
            Some(Event::Failed(why)) => {
                return Err((exit::UNAVAILABLE, format!("{server}: {why}")));
            }
            _ => {}
        }
        fetch.wait(client.poll_timeout()).map_err(|e| system(&e))?;
        if fetch.is_stopped() {
            return Err((get::INTERRUPTED, "interrupted".into()));
        }
        let now = fetch.now();
        let heard = |from, bytes: &[u8]| {
            client.handle_datagram(now, from, bytes);
        };
        fetch.receive(heard).map_err(|e| system(&e))?;
        client.handle_timeout(now);
    }
}

fn list(asked: &Asked, server: SocketAddr) -> Outcome {
    let mut fetch = Fetch::open(server, None).map_err(|e| system(&e))?;
    let names = names(&mut fetch, server)?;
    let text = if asked.json {
        format!("{}\n", serde_json::json!({ "files": names }))
    } else {
        let lines = names.iter().enumerate();
        let lines = lines.map(|(number, name)| format!("{number:>4}  {}\n", shown(name)));
        lines.collect::<Vec<_>>().concat()
    };
    super::print(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it() {
        let rates = ["8M", "2500k", "64000", "1G"].map(|text| rate(text).unwrap());
        assert_eq!(rates, [1_000_000, 312_500, 8_000, 125_000_000]);
        for wrong in ["", "M", "8MB", "-1", "1", "99999999999G"] {
            assert!(rate(wrong).unwrap_err().contains("such as 8M"), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong() {
        let read = |args: &[&str]| asked(Parser::from_args(args));
        let good = read(&["get", "h", "1", "-o", "x", "--play", "--player", "p"]).unwrap();
        assert_eq!((good.words.len(), good.play, good.output), (3, true, Some("x".into())));
        for (args, expected) in [
            (&["--player", "x"][..], "only with --play"),
            (&["--buffer", "0"], "1 to 600"),
            (&["--http", "loopback"], "such as 8000"),
            (&["--http", "0", "--play"], "not with --play"),
            (&["--http", "0", "-o", "-"], "not with --play or -o -"),
            (&["--tabel"], "--tabel"),
        ] {
            let error = read(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

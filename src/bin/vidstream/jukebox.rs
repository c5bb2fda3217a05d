//! `vidstream jukebox`: a jukebox from a prompt, or from a script. Joins the machine
//! ([`vidstreamd::jukebox::client`]) to a socket, a prompt and a player; what is asked of the
//! server and what its bytes mean is the machine's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use lexopt::{Arg, Parser};

use vidstreamd::base::limits;
use vidstreamd::base::port::{Conn, Cx, Output};
use vidstreamd::base::text::escaped;
use vidstreamd::base::time::Mono;
use vidstreamd::flags::exit;
use vidstreamd::io::clock::Clock;
use vidstreamd::io::outlet::{Outlet, Place};
use vidstreamd::io::prompt::{Prompt, Said};
use vidstreamd::io::reactor::{Reactor, Read, SIGNALS, Told};
use vidstreamd::jukebox::client::{Client, Event, Lost, Song, Wish};
use vidstreamd::jukebox::wire::Entry;

/// What plays a song when nothing else is said.
const PLAYER: &str = "mpv --no-video --no-terminal -";

const COMMANDS: &str = "\
list, l      the songs and their numbers
play N, p N  play song N; what plays is stopped
stop, s      play no more
now, n       what plays, and how far it is
quit, q      good bye";

type Failure = (u8, String);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    server: String,
    place: Option<Place>,
    as_listed: bool,
    /// One command, and then the end; else a prompt.
    command: Option<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Wish(Wish),
    Now,
    Help,
}

/// Reads what stands behind `jukebox`.
pub(crate) fn asked(parser: &mut Parser) -> Result<Asked, String> {
    let (mut place, mut as_listed, mut words) = (None, false, Vec::new());
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("player") => place = Some(Place::Player(text(&value(parser)?)?)),
            Arg::Long("output") => {
                let path = value(parser)?;
                let stdout = path == "-";
                place = Some(if stdout { Place::Stdout } else { Place::File(path.into()) });
            }
            Arg::Long("as-listed") => as_listed = true,
            Arg::Value(word) => words.push(text(&word)?),
            other => return Err(format!("jukebox: {}", other.unexpected())),
        }
    }
    let Some((server, words)) = words.split_first() else {
        return Err("jukebox: expected HOST or HOST:PORT behind it".into());
    };
    let command = (!words.is_empty()).then(|| command(&words.join(" "))).transpose()?;
    if let Some(Command::Now | Command::Help | Command::Wish(Wish::Stop | Wish::Quit)) = command {
        return Err("jukebox: only list and play make sense by themselves".into());
    }
    Ok(Asked { server: server.clone(), place, as_listed, command })
}

fn value(parser: &mut Parser) -> Result<OsString, String> {
    parser.value().map_err(|e| e.to_string())
}

fn text(word: &OsString) -> Result<String, String> {
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{}: not text", escaped(word.as_encoded_bytes())))
}

fn command(line: &str) -> Result<Command, String> {
    let mut words = line.split_whitespace();
    let (word, number, more) = (words.next().unwrap_or("now"), words.next(), words.next());
    let known = match (word, number) {
        ("list" | "l", None) => Some(Command::Wish(Wish::List)),
        ("stop" | "s", None) => Some(Command::Wish(Wish::Stop)),
        ("quit" | "q" | "exit", None) => Some(Command::Wish(Wish::Quit)),
        ("now" | "n", None) => Some(Command::Now),
        ("help" | "h" | "?", None) => Some(Command::Help),
        ("play" | "p", Some(number)) => number.parse().ok().map(|n| Command::Wish(Wish::Play(n))),
        _ => None,
    };
    let shown = || escaped(line.as_bytes());
    known.filter(|_| more.is_none()).ok_or_else(|| format!("{}: unknown; try help", shown()))
}

/// Does it.
pub(crate) fn run(asked: &Asked) -> Result<(), Failure> {
    let server = resolve(&asked.server)?;
    let stdout_is_free = !io::stdout().is_terminal() && !lists(asked);
    let usual = if stdout_is_free { Place::Stdout } else { Place::Player(PLAYER.into()) };
    let place = asked.place.clone().unwrap_or(usual);
    let reactor = Reactor::new(1).map_err(system)?;
    let prompt = match asked.command {
        Some(_) => None,
        None => Some(Prompt::start(reactor.registry(), SIGNALS, "jukebox").map_err(system)?),
    };
    let clock = Clock::new();
    let mut session = Session {
        cx: Cx::new(clock.read(), 0),
        reactor,
        clock,
        client: Client::new(asked.as_listed),
        outlet: Outlet::new(place),
        prompt,
        titles: BTreeMap::new(),
        song: None,
        held: false,
        ending: None,
        patient: asked.command.is_some(),
        buffer: vec![0; 64 << 10],
    };
    session.client.start(&mut session.cx, server);
    if let Some(Command::Wish(wish)) = asked.command {
        session.client.want(&mut session.cx, wish);
    }
    session.serve()
}

fn lists(asked: &Asked) -> bool {
    asked.command == Some(Command::Wish(Wish::List))
}

fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let refuse = |why: &str| (exit::NOHOST, format!("{}: {why}", escaped(server.as_bytes())));
    let bare = server.parse().map(|ip: std::net::IpAddr| (ip.to_string(), limits::JUKEBOX_PORT));
    let (host, port) = match (bare, server.rsplit_once(':')) {
        (Ok(bare), _) => bare,
        (Err(_), Some((host, port))) => {
            let port = port.parse().map_err(|_| refuse("no port behind the colon"))?;
            (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
        }
        (Err(_), None) => (server.to_owned(), limits::JUKEBOX_PORT),
    };
    let found = (host.as_str(), port).to_socket_addrs().map_err(|e| refuse(&e.to_string()))?;
    let mut found: Vec<_> = found.collect();
    // The original server knows IPv4 only.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| refuse("has no address"))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn system(error: io::Error) -> Failure {
    (exit::OSERR, error.to_string())
}

/// A running program.
#[derive(Debug)]
struct Session {
    cx: Cx,
    reactor: Reactor,
    clock: Clock,
    client: Client,
    outlet: Outlet,
    /// None when one command was given.
    prompt: Option<Prompt>,
    titles: BTreeMap<usize, String>,
    /// What plays, or has come whole and is still being taken.
    song: Option<Song>,
    held: bool,
    ending: Option<Result<(), Failure>>,
    /// The player is heard to its end.
    patient: bool,
    buffer: Vec<u8>,
}

impl Session {
    fn serve(mut self) -> Result<(), Failure> {
        self.settle();
        while self.ending.is_none() || self.outlet.is_busy() {
            self.turn().map_err(system)?;
        }
        let ending = self.ending.take().unwrap_or(Ok(()));
        let ended = if self.patient && ending.is_ok() { self.outlet.wait() } else { None };
        match ended {
            Some(why) => Err((exit::IOERR, format!("the player ended with {why}; see --player"))),
            None => ending,
        }
    }

    /// One turn of the loop: wait, read, what is due, write, what was said, what a player took.
    fn turn(&mut self) -> io::Result<()> {
        let wait = self.cx.wheel.next().map(|at| until(self.cx.now.mono, at));
        self.reactor.poll(wait, self.cx.now.mono)?;
        self.cx.now = self.clock.read();
        self.settle();
        self.read();
        while let Some((_, wake)) = self.cx.wheel.pop_due(self.cx.now.mono) {
            let conn = Conn(vidstreamd::base::arena::Key::from_bits(wake.what));
            if let Some(peer) = self.cx.peers.get_mut(conn.0) {
                peer.timer = None;
            }
            self.client.timeout(&mut self.cx, wake.why);
            self.settle();
        }
        for _ in 0..self.reactor.dirty_len() {
            self.reactor.flush_next(&mut self.buffer);
        }
        self.settle();
        self.listen();
        let flushed = self.outlet.flush();
        self.given(flushed);
        self.settle();
        Ok(())
    }

    /// Carries out what the machine wants, and tells it what that brings about.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.cx.out.pop_front() {
                if !matches!(output, Output::Log { .. } | Output::Done) {
                    self.reactor.act(output, self.cx.now);
                }
            }
            match self.reactor.poll_told() {
                Some(Told::Connected(..)) => self.client.connected(&mut self.cx),
                Some(Told::Closed(conn, why)) => {
                    let peer = self.cx.peers.remove(conn.0);
                    if let Some(timer) = peer.and_then(|peer| peer.timer) {
                        self.cx.wheel.cancel(timer);
                    }
                    self.client.closed(why);
                }
                Some(_) => {}
                None => match self.client.poll_event() {
                    Some(event) => self.happened(event),
                    None => return,
                },
            }
        }
    }

    fn read(&mut self) {
        for _ in 0..self.reactor.ready_len() {
            let Some(conn) = self.reactor.next_ready() else { return };
            // A turn for each read: what a player does not take must be noticed before the next.
            match self.reactor.read(conn, &mut self.buffer) {
                Read::Bytes(count) => {
                    self.client.data(&mut self.cx, &self.buffer[..count]);
                    self.reactor.read_later(conn);
                }
                Read::Ended => self.client.ended(&mut self.cx),
                Read::Filled(..) | Read::Nothing => {}
            }
            self.settle();
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Ready(_) => {}
            Event::Listed(songs) => self.listed(&songs),
            Event::Began(song) => {
                self.song = Some(song);
                self.held = false;
                let begun = self.outlet.begin(self.reactor.registry(), SIGNALS);
                match begun {
                    Ok(()) => self.tell(&format!("playing {}", self.named(song))),
                    Err(error) => self.fail(&error),
                }
            }
            // What a player left, nobody hears.
            Event::Data(_) | Event::Finished(_) if self.song.is_none() => {}
            Event::Data(bytes) => {
                self.song = self.client.playing().or(self.song);
                let written = self.outlet.write(&bytes);
                self.given(written);
            }
            Event::Finished(song) => {
                self.song = Some(song);
                let ended = self.outlet.end();
                self.given(ended);
                self.tell(&format!("{}: all of it has come, {} bytes", self.named(song), song.got));
                self.done();
            }
            Event::Stopped => {
                self.outlet.abort();
                if let Some(song) = self.song.take() {
                    self.tell(&format!("{}: stopped", self.named(song)));
                }
            }
            Event::NoSong(sid) => {
                let text = format!("there is no song {sid}");
                self.failed((exit::NOINPUT, text));
            }
            Event::Over(Ok(())) => self.ending = Some(Ok(())),
            Event::Over(Err(lost)) => {
                let code =
                    if matches!(lost, Lost::Ended) { exit::IOERR } else { exit::UNAVAILABLE };
                self.ending = Some(Err((code, lost.to_string())));
            }
        }
    }

    fn listed(&mut self, songs: &[Entry]) {
        self.titles = songs.iter().map(|song| (song.sid, song.title.clone())).collect();
        let lines = songs.iter().map(|song| format!("{:>4}  {}", song.sid, song.title));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if songs.is_empty() {
            "there are no songs".clone_into(&mut text);
        }
        if self.prompt.is_some() {
            return self.tell(&text);
        }
        let printed = writeln!(io::stdout(), "{text}");
        self.ending = Some(printed.map_err(|e| (exit::IOERR, format!("standard output: {e}"))));
    }

    /// One command is done; a prompt goes on, unless nobody will say anything more.
    fn done(&mut self) {
        if self.prompt.is_none() {
            self.ending.get_or_insert(Ok(()));
        }
    }

    /// A command failed; a prompt goes on.
    fn failed(&mut self, failure: Failure) {
        if self.prompt.is_some() {
            self.tell(&failure.1);
        } else {
            self.ending = Some(Err(failure));
        }
    }

    /// After each write: a player that has had enough is waited for, one that has ended is left.
    fn given(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            return self.fail(&error);
        }
        let full = self.outlet.is_full();
        if full != self.held {
            self.held = full;
            self.client.hold(&mut self.cx, full);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let what = match self.outlet.place() {
            Place::Player(_) => {
                let how = self.outlet.wait().map_or_else(String::new, |how| format!(" ({how})"));
                format!("the player has ended{how}; another is named with --player")
            }
            Place::File(path) => {
                format!("{}: {error}", escaped(path.as_os_str().as_encoded_bytes()))
            }
            Place::Stdout => format!("standard output: {error}"),
        };
        self.outlet.abort();
        self.song = None;
        self.client.want(&mut self.cx, Wish::Stop);
        self.failed((exit::IOERR, what));
    }

    /// Does what a person or a script says.
    fn listen(&mut self) {
        while let Some(said) = self.prompt.as_mut().and_then(Prompt::take) {
            match said {
                Said::Line(line) => match command(&line) {
                    Ok(Command::Wish(wish)) => self.client.want(&mut self.cx, wish),
                    Ok(Command::Now) => self.tell(&self.now()),
                    Ok(Command::Help) => self.tell(COMMANDS),
                    Err(why) => self.tell(&why),
                },
                Said::End(true) => self.client.want(&mut self.cx, Wish::Quit),
                // A script has said all: what plays is still heard.
                Said::End(false) => {
                    self.patient = true;
                    self.client.want(&mut self.cx, Wish::Leave);
                }
            }
            self.settle();
        }
    }

    fn tell(&mut self, text: &str) {
        match &mut self.prompt {
            Some(prompt) => prompt.print(text),
            // Nobody reads any more: no reason to fail.
            None => drop(writeln!(io::stderr(), "vidstream: {text}")),
        }
    }

    /// What plays, and how far it is: what the player has taken.
    fn now(&self) -> String {
        let Some(song) = self.song else { return "nothing plays".to_owned() };
        let given = self.outlet.given();
        let mut text = format!("{}: ", self.named(song));
        match (song.bytes, song.ms) {
            (Some(bytes @ 1..), Some(ms)) => {
                let at = u128::from(given) * u128::from(ms) / u128::from(bytes);
                let at = u64::try_from(at).unwrap_or(ms);
                write!(text, "{} of {}", minutes(at), minutes(ms))
            }
            (Some(bytes), _) => write!(text, "{given} of {bytes} bytes"),
            (None, _) => write!(text, "{given} bytes"),
        }
        .expect("a String takes every write");
        text
    }

    fn named(&self, song: Song) -> String {
        let title = self.titles.get(&song.sid).map_or_else(String::new, |t| format!(", {t}"));
        let length = song.ms.map_or_else(String::new, |ms| format!(" ({})", minutes(ms)));
        format!("song {}{title}{length}", song.sid)
    }
}

fn until(now: Mono, at: Mono) -> Duration {
    at.since(now) + Duration::from_micros(999)
}

fn minutes(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_originals_short_forms() {
        for (line, wish) in [
            ("list", Wish::List),
            (" l ", Wish::List),
            ("play 3", Wish::Play(3)),
            ("p 0", Wish::Play(0)),
            ("stop", Wish::Stop),
            ("s", Wish::Stop),
            ("quit", Wish::Quit),
            ("q", Wish::Quit),
        ] {
            assert_eq!(command(line), Ok(Command::Wish(wish)), "{line}");
        }
        assert_eq!(command(""), Ok(Command::Now));
        for line in ["play", "play x", "play -1", "play 1 2", "lst", "\u{1b}[31m"] {
            let why = command(line).unwrap_err();
            assert!(!why.contains('\u{1b}'), "{why}");
        }
    }

    #[test]
    fn the_command_line_names_a_server_and_perhaps_a_command() {
        let asked = |words: &[&str]| asked(&mut Parser::from_args(words));
        let all = asked(&["--output", "-", "host:1", "play", "2", "--as-listed"]).unwrap();
        assert_eq!(all.command, Some(Command::Wish(Wish::Play(2))));
        assert_eq!((all.place, all.as_listed, &*all.server), (Some(Place::Stdout), true, "host:1"));
        assert_eq!(asked(&["host", "--output", "a"]).unwrap().place, Some(Place::File("a".into())));
        for wrong in [&[][..], &["host", "stop"], &["host", "fly"], &["host", "--loud"]] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_server_has_a_port_or_the_usual_one() {
        let at = |server| resolve(server).map(|a| a.to_string()).map_err(|(code, _)| code);
        assert_eq!(at("127.0.0.1"), Ok("127.0.0.1:6063".to_owned()));
        assert_eq!(at("127.0.0.1:9"), Ok("127.0.0.1:9".to_owned()));
        assert_eq!(at("[::1]:9"), Ok("[::1]:9".to_owned()));
        assert_eq!(at("::1"), Ok("[::1]:6063".to_owned()));
        assert_eq!(at("127.0.0.1:x"), Err(exit::NOHOST));
    }
}

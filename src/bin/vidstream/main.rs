//! vidstream: the person's program. It asks a running node through its control socket, and is a
//! client of its services. Each word of the command line has a file of its own; `ctl` is here.

mod events;
mod files;
mod jukebox;

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, Parser};

use vidstreamd::base::text::escaped;
use vidstreamd::config::{Control, Environment, Role};
use vidstreamd::flags::exit;
use vidstreamd::io::ctl;

const HELP: &str = "\
Usage: vidstream ctl [--socket PATH] COMMAND
       vidstream jukebox [--player COMMAND | --output FILE] [--as-listed] HOST[:PORT] [COMMAND]
       vidstream events HOST[:PORT] [--table] [--json] [--stats-file FILE]
       vidstream files list HOST[:PORT] [--json]
       vidstream files get HOST[:PORT] N [-o FILE] [--play | --http PORT] [--rate BITS] [--json]

ctl asks a running vidstreamd on this machine. Its commands:
  status         the node in a few lines
  channels       what is on the air, who watches
  files          the blocks that wait to be shown, and those that are arriving
  connections    who sends to this node, who receives from it, and the rest
  tree           on a root: everybody, each below its parent
  why NODE       on a root: why NODE (name or address) is where it is

jukebox plays songs. Without a command it has a prompt: list, play N, stop, now, quit.
  list           the songs and their numbers
  play N         song N, to its end

events shows the live ticker of a server until it ends or Ctrl+C, then what was lost.
  --table            one event a line
  --json             show no events, and the figures at the end as JSON
  --stats-file FILE  write the figures as the original client does
  --from ADDRESS     the address of this machine to listen on

files gets video files over UDP, through loss, from our servers and the original ones.
  list               the files and their numbers
  get N              file N, under its own name; an interrupted one goes on where it ended
  -o FILE            under this name instead, - is standard output
  --play             play it meanwhile, and get no more of it than the player needs
  --player COMMAND   with this, instead of mpv
  --http [ADDRESS:]PORT  players of this machine, or of those that reach ADDRESS, read it there
  --rate BITS        the film's bits a second, such as 8M; without --play, get it that fast
  --buffer SECONDS   how far ahead of the player, from 1 to 600; else 8
  --quiet            no progress bar

Flags:
  --socket PATH  the node's control socket; else the usual places are tried
  --stripe N     tree: of this stripe only; else all are merged
  --channel C    tree, why: of this channel; else of the first
  --json         the answer for programs
  --player COMMAND  what plays a song from its standard input
  --output FILE  put songs into this file instead, - is standard output
  --as-listed    the server is no vidstreamd, but plays the number that it lists
  --version      print the version, and exit
  --help         print this text, and exit
";

/// How an answer begins that is none.
const ERROR: &[u8] = b"error: ";

/// What the command line asks for.
enum Wish {
    Ask { socket: Option<PathBuf>, command: String },
    Jukebox(jukebox::Asked),
    Print(String),
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match words.split_first() {
        Some((word, rest)) if word == "events" && !rest.iter().any(|w| w == "--help") => {
            events::run(Parser::from_args(rest))
        }
        Some((word, rest)) if word == "files" && !rest.iter().any(|w| w == "--help") => {
            files::run(Parser::from_args(rest))
        }
        _ => rest(Parser::from_args(&words)),
    };
    let Err((code, why)) = result else { return ExitCode::SUCCESS };
    writeln!(io::stderr(), "vidstream: {why}").ok();
    ExitCode::from(code)
}

fn rest(parser: Parser) -> Outcome {
    match wish(parser) {
        Ok(Wish::Print(text)) => print(text.as_bytes()),
        Ok(Wish::Jukebox(asked)) => jukebox::run(&asked),
        Ok(Wish::Ask { socket, command }) => ask(socket, &command),
        Err(why) => Err((exit::USAGE, format!("{why}\nTry 'vidstream --help'."))),
    }
}

fn wish(mut parser: Parser) -> Result<Wish, String> {
    let (mut socket, mut words) = (None, Vec::new());
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") => return Ok(Wish::Print(HELP.into())),
            Arg::Long("version") => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Wish::Print(format!("vidstream {version}\n")));
            }
            Arg::Long("socket") => {
                let path = parser.value().map_err(|e| e.to_string())?;
                socket = Some(PathBuf::from(path));
            }
            Arg::Long("json") => words.push("--json".into()),
            Arg::Long(flag @ ("stripe" | "channel")) => {
                words.push(format!("--{flag}"));
                let value = parser.value().map_err(|e| e.to_string())?;
                words.push(escaped(value.as_encoded_bytes()));
            }
            Arg::Value(word) if words.is_empty() && word == "jukebox" => {
                return jukebox::asked(&mut parser).map(Wish::Jukebox);
            }
            Arg::Value(word) => words.push(escaped(word.as_encoded_bytes())),
            other => return Err(other.unexpected().to_string()),
        }
    }
    match words.split_first() {
        Some((ctl, command)) if ctl == "ctl" && !command.is_empty() => {
            Ok(Wish::Ask { socket, command: command.join(" ") })
        }
        Some((ctl, _)) if ctl == "ctl" => Err("ctl: expected a command behind it".into()),
        Some((word, _)) => Err(format!("{word}: unknown; did you mean \"ctl {word}\"?")),
        None => {
            Err("expected \"ctl\" and a command, or \"jukebox\", \"events\" or \"files\"".into())
        }
    }
}

type Outcome = Result<(), (u8, String)>;

fn ask(socket: Option<PathBuf>, command: &str) -> Outcome {
    let stream = connect(socket)?;
    let broken = |e: io::Error| (exit::IOERR, format!("the answer broke off: {e}"));
    let answer = ctl::ask(stream, command).map_err(broken)?;
    match answer.strip_prefix(ERROR) {
        // The node has made it safe to show.
        Some(why) => Err((exit::USAGE, String::from_utf8_lossy(why).trim_end().to_owned())),
        None => print(&answer),
    }
}

/// Connects to the socket that was named, or to the first of the usual ones that answers.
fn connect(socket: Option<PathBuf>) -> Result<UnixStream, (u8, String)> {
    let places = socket.map_or_else(usual_places, |path| vec![path]);
    let mut tried = Vec::new();
    for place in places {
        match ctl::connect(&place) {
            Ok(stream) => return Ok(stream),
            Err(e) => tried.push(format!("{}: {e}", escaped(place.as_os_str().as_encoded_bytes()))),
        }
    }
    let tried = tried.join("\n  ");
    let hint = "name the socket of [control] in the node's configuration with --socket";
    Err((exit::UNAVAILABLE, format!("no node answers; {hint}\n  {tried}")))
}

/// Where nodes make their sockets: started by hand, as this user or as root, or by systemd.
fn usual_places() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let environment = Environment {
        runtime_directory: variable("RUNTIME_DIRECTORY"),
        xdg_runtime_dir: variable("XDG_RUNTIME_DIR"),
        uid: nix::unistd::geteuid().as_raw(),
    };
    let roles = [Role::Client, Role::Relay, Role::Server];
    let mut places: Vec<_> =
        roles.iter().map(|role| Control::default_socket(*role, &environment)).collect();
    places.push("/run/vidstreamd/control.sock".into());
    places.dedup();
    places
}

fn print(text: &[u8]) -> Outcome {
    match io::stdout().write_all(text) {
        // Whoever reads has read enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err((exit::IOERR, format!("standard output: {e}"))),
        Ok(()) => Ok(()),
    }
}

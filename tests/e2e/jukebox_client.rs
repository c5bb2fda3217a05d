//! `vidstream jukebox` as a person or a script uses it, with our server and with an original.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::original_juke::OriginalServer;
use crate::harness::{SOON, eventually, skip, works};
use crate::jukebox::{Jukebox, wav};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vidstream");

fn vidstream(home: &Path, server: SocketAddr, words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", PROGRAM, "jukebox", &server.to_string()]).args(words);
    command.env("XDG_STATE_HOME", home).stdin(Stdio::null());
    command
}

fn done(mut command: Command) -> Output {
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A prompt without a terminal: lines in, and what was said.
struct Lines(Child);

impl Lines {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("the program runs"))
    }

    fn say(&mut self, line: &str) {
        writeln!(self.0.stdin.as_ref().unwrap(), "{line}").expect("it reads");
    }

    fn end(mut self) -> Output {
        drop(self.0.stdin.take());
        self.0.wait_with_output().expect("it ends")
    }
}

#[test]
fn a_script_lists_songs_and_gets_one() {
    let song = wav("a", 1_000);
    let songs = [("a.wav", &song[..]), ("b\x1b[31m.wav", &wav("b", 200))];
    let jukebox = Jukebox::new(&songs, "");
    let home = jukebox.lab.path("state");
    let list = done(vidstream(&home, jukebox.address, &["list"]));
    assert_eq!(text(&list.stdout), "   0  a.wav\n   1  b\\x1b[31m.wav\n");
    let play = done(vidstream(&home, jukebox.address, &["play", "0"]));
    assert_eq!(play.status.code(), Some(0), "{}", text(&play.stderr));
    assert!(play.stdout == song, "byte for byte, its delimiters and all");
    assert!(text(&play.stderr).contains("playing song 0 (0:01)"), "{}", text(&play.stderr));
    let none = done(vidstream(&home, jukebox.address, &["play", "2"]));
    assert_eq!(
        (none.status.code(), text(&none.stderr)),
        (Some(66), "vidstream: there is no song 2\n")
    );
}

#[test]
fn a_song_may_go_to_a_file_or_a_player() {
    let song = wav("a", 3_000);
    let jukebox = Jukebox::new(&[("a.wav", &song)], "pace = \"off\"");
    let [home, file, heard] = ["state", "song", "heard"].map(|name| jukebox.lab.path(name));
    let output = ["--output", file.to_str().unwrap(), "play", "0"];
    assert_eq!(done(vidstream(&home, jukebox.address, &output)).status.code(), Some(0));
    assert!(fs::read(&file).unwrap() == song);
    // A player that begins late holds the server back, and loses nothing.
    let player = format!("sh -c 'sleep 0.3; cat > {}'", heard.display());
    let output = ["--player", &player, "play", "0"];
    assert_eq!(done(vidstream(&home, jukebox.address, &output)).status.code(), Some(0));
    assert!(fs::read(&heard).unwrap() == song);
    let broken = done(vidstream(&home, jukebox.address, &["--player", "false", "play", "0"]));
    assert_eq!(broken.status.code(), Some(74), "{}", text(&broken.stderr));
    assert!(text(&broken.stderr).contains("--player"), "{}", text(&broken.stderr));
}

#[test]
fn a_prompt_plays_stops_and_tells_how_far_it_is() {
    let (long, short) = (wav("long", 60_000), wav("short", 500));
    let jukebox = Jukebox::new(&[("a.wav", &long), ("b.wav", &short)], "");
    let home = jukebox.lab.path("state");
    let heard = jukebox.lab.path("heard");
    let mut lines =
        Lines::start(vidstream(&home, jukebox.address, &["--output", heard.to_str().unwrap()]));
    lines.say("list");
    lines.say("p 0");
    eventually(SOON, "some of the song", || fs::metadata(&heard).ok().filter(|m| m.len() > 8_000));
    lines.say("now");
    lines.say("fly");
    lines.say("play 1");
    // No more is said: the song is heard to its end.
    let output = lines.end();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(fs::read(&heard).unwrap() == short, "nothing of the first song is in the second");
    for part in [
        "   0  a.wav\n   1  b.wav",
        "playing song 0, a.wav (1:00)",
        "song 0, a.wav (1:00): 0:0",
        "fly: unknown; try help",
        "song 0, a.wav (1:00): stopped",
        "playing song 1, b.wav (0:00)",
        "song 1, b.wav (0:00): all of it has come, 8044 bytes",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn an_original_server_plays_what_it_lists() {
    let mut songs = ["a.wav", "b.wav"].map(|name| (name.to_owned(), wav(name, 2_000))).to_vec();
    // The second begins with a delimiter and ends with a full frame.
    songs[1].1.truncate(4072 * 3);
    songs[1].1[..6].copy_from_slice(b"<END;>");
    let home = tempfile::tempdir().unwrap();
    let server = OriginalServer::start(songs.clone());
    let list = done(vidstream(home.path(), server.address, &["list"]));
    assert_eq!(text(&list.stdout), "   0  a.wav\n   1  b.wav\n");
    for (sid, (_, song)) in songs.iter().enumerate() {
        let server = OriginalServer::start(songs.clone());
        let play = done(vidstream(home.path(), server.address, &["play", &sid.to_string()]));
        assert_eq!(play.status.code(), Some(0), "{}", text(&play.stderr));
        assert!(play.stdout == *song, "song {sid}, {} bytes of {}", play.stdout.len(), song.len());
        let asked: Vec<String> = server.asked.try_iter().collect();
        let play = format!("play<NEXT;>{}<NEXT;><END;>", sid + 1);
        assert_eq!(asked, ["hello<NEXT;>1<NEXT;><END;>", &play]);
    }
}

#[test]
fn an_original_server_stops_late_and_nothing_is_lost_or_mixed() {
    let (long, short) = (wav("long", 300_000), wav("short", 300));
    let server = OriginalServer::start(vec![("a".into(), long), ("b".into(), short.clone())]);
    let home = tempfile::tempdir().unwrap();
    let heard = home.path().join("heard");
    let output = ["--output", heard.to_str().unwrap()];
    let mut lines = Lines::start(vidstream(home.path(), server.address, &output));
    lines.say("play 0");
    eventually(SOON, "some of the song", || fs::metadata(&heard).ok().filter(|m| m.len() > 8_000));
    lines.say("stop");
    lines.say("play 1");
    let output = lines.end();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(fs::read(&heard).unwrap() == short);
}

#[test]
fn nobody_there_and_nonsense_there_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = done(vidstream(home.path(), free, &["list"]));
    assert_eq!(
        (gone.status.code(), text(&gone.stderr)),
        (Some(69), "vidstream: nobody listens there\n")
    );
    let other = Jukebox::new(&[], "");
    let http = done(vidstream(home.path(), other.daemon.http(), &["list"]));
    let said = text(&http.stderr);
    assert!(said.contains("this is no jukebox") || said.contains("no answer"), "{said}");
    assert_eq!(http.status.code(), Some(69));
}

/// The prompt of a person: line editing and history on a terminal that `script` makes.
#[test]
fn a_person_has_a_prompt_with_history() {
    if !works("script", &["-q", "-c", "true", "/dev/null"]) {
        return skip("this needs script");
    }
    let song = wav("a", 60_000);
    let jukebox = Jukebox::new(&[("a.wav", &song)], "");
    let (home, heard) = (jukebox.lab.path("state"), jukebox.lab.path("heard"));
    let line = format!(
        "timeout --foreground 30 {PROGRAM} jukebox {} --output {}",
        jukebox.address,
        heard.display()
    );
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).env("XDG_STATE_HOME", &home);
    command.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    // "plai", mended by a backspace.
    stdin.write_all(b"plai\x7fy 0\r").unwrap();
    eventually(SOON, "some of the song", || fs::metadata(&heard).ok().filter(|m| m.len() > 8_000));
    let file = home.join("vidstream/jukebox_history");
    let history = || fs::read_to_string(&file).unwrap_or_default();
    child.stdin.as_mut().unwrap().write_all(b"stop\r").unwrap();
    eventually(SOON, "a line in the history", || history().contains("stop").then_some(()));
    // The arrow up brings the line before back, and Ctrl+U takes it away.
    child.stdin.as_mut().unwrap().write_all(b"\x1b[A\x15quit\r").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("jukebox> ") && shown.contains("playing song 0"), "{shown}");
    assert!(history().contains("play 0\nstop"), "{}", history());
}

#[test]
fn a_script_that_says_no_more_comes_to_its_end() {
    let jukebox = Jukebox::new(&[("a.wav", &wav("a", 60_000))], "");
    let home = jukebox.lab.path("state");
    for _ in 0..10 {
        let mut lines = Lines::start(vidstream(&home, jukebox.address, &["--output", "/dev/null"]));
        lines.say("list");
        lines.say("stop");
        let output = lines.end();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), "   0  a.wav\n"));
    }
}

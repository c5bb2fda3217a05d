//! The jukebox as listeners meet it: the original client, byte for byte, a script with a socket,
//! and those that mean no good.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::http::status;
use crate::harness::lab::{Lab, Random};
use crate::harness::original_juke::{FRAME, OriginalClient};
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, skip, works};

const STOP: &[u8] = b"stop<NEXT;><END;>";

/// A WAV file that plays so long at 16 kB/s, its samples anything, delimiters among them.
pub(crate) fn wav(seed: &str, millis: usize) -> Vec<u8> {
    let mut samples = Random::from_name(seed).bytes(millis * 16);
    for (at, what) in [(5_000, &b"<NEXT;><END;>"[..]), (9_000, b"<END;>stop<NEXT;><END;>")] {
        if samples.len() > at + what.len() {
            samples[at..at + what.len()].copy_from_slice(what);
        }
    }
    let len = samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((len + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(16_000u32.to_le_bytes());
    bytes.extend(16_000u32.to_le_bytes());
    bytes.extend(b"\x01\0\x08\0data");
    bytes.extend(len.to_le_bytes());
    bytes.extend(samples);
    bytes
}

/// A daemon with a jukebox over these songs; `more` are lines of `[jukebox]`.
pub(crate) struct Jukebox {
    pub(crate) lab: Lab,
    pub(crate) daemon: Daemon,
    pub(crate) address: SocketAddr,
}

pub(crate) fn write_config(lab: &Lab, more: &str) -> PathBuf {
    let movie = lab.clip();
    let text = Server::new(lab, &[&movie.name]).text();
    let jukebox = format!("[jukebox]\nlisten = \"127.0.0.1:0\"\ndirectory = \"music\"\n{more}\n");
    lab.write("server.toml", text + &jukebox)
}

impl Jukebox {
    pub(crate) fn new(songs: &[(&str, &[u8])], more: &str) -> Self {
        let lab = Lab::new();
        fs::create_dir(lab.path("music")).unwrap();
        for (name, bytes) in songs {
            fs::write(lab.path("music").join(name), bytes).unwrap();
        }
        let daemon = Daemon::start(&write_config(&lab, more));
        let address = daemon.listens("jukebox");
        Self { lab, daemon, address }
    }

    fn figure(&self, name: &str) -> u64 {
        status(self.daemon.http())["jukebox"][name].as_u64().unwrap()
    }
}

#[test]
fn the_original_client_lists_plays_and_quits() {
    let (first, second) = (wav("first", 900), wav("second", 1_300));
    let songs = [("b_second.wav", &second[..]), ("a_first.wav", &first), ("notes.txt", b"no song")];
    let jukebox = Jukebox::new(&songs, "");
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("list<NEXT;><END;>");
    let list =
        "list<NEXT;>{sid: 0 title: a_first.wav}\n{sid: 1 title: b_second.wav}\n<NEXT;><END;>";
    assert_eq!(String::from_utf8(client.read()).unwrap(), list);
    // The number that was listed is the one that is played.
    assert!(client.song(1, second.len()) == second, "the second song, byte for byte");
    assert!(client.song(0, first.len()) == first, "the first song, byte for byte");
    client.ask("play<NEXT;>2<NEXT;><END;>");
    client.ask("nonsense<NEXT;><END;>");
    assert_eq!(client.read_within(Duration::from_millis(300)), None, "no answer to either");
    client.ask("quit<NEXT;><END;>");
    assert_eq!(client.read(), b"quit<NEXT;><END;>");
    assert_eq!(client.read(), b"", "closed");
    assert_eq!(jukebox.figure("split"), 0);
}

#[test]
fn a_stop_is_answered_at_once_and_nothing_of_the_song_follows() {
    let (first, second) = (wav("long", 60_000), wav("short", 300));
    let jukebox = Jukebox::new(&[("a.wav", &first), ("b.wav", &second)], "");
    let mut client = OriginalClient::connect(jukebox.address);
    for _ in 0..5 {
        client.ask("play<NEXT;>0<NEXT;><END;>");
        for _ in 0..6 {
            assert!(
                OriginalClient::music(&client.read())
                    .is_some_and(|m| first.starts_with(m) || m.len() == 4072)
            );
        }
        let asked = Instant::now();
        client.ask("stop<NEXT;><END;>");
        let mut reads = 0;
        while client.read() != STOP {
            reads += 1;
        }
        assert!(reads <= 1, "only the frame that was on its way comes before the answer");
        // One frame of 16 kB/s at twice its pace lasts 127 ms.
        assert!(asked.elapsed() < Duration::from_millis(127), "{:?}", asked.elapsed());
        // The original waits a second here; with ours nobody needs to.
        assert!(client.song(1, second.len()) == second);
    }
}

#[test]
fn a_song_is_not_sent_faster_than_twice_its_pace() {
    let song = wav("paced", 4_000);
    let jukebox = Jukebox::new(&[("a.wav", &song)], "");
    let mut client = OriginalClient::connect(jukebox.address);
    let began = Instant::now();
    assert!(client.song(0, song.len()) == song);
    // A second at once, three at twice the pace.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_400), "{took:?}");
    assert!(took < Duration::from_millis(3_500), "{took:?}");
}

#[test]
fn without_a_pace_a_song_comes_as_fast_as_it_is_taken() {
    let song = wav("fast", 600_000);
    let jukebox = Jukebox::new(&[("a.wav", &song)], "pace = \"off\"");
    let mut stream = TcpStream::connect(jukebox.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"play<NEXT;>0<NEXT;><END;>").unwrap();
    let frames = song.len().div_ceil(4072);
    let mut bytes = vec![0; song.len() + frames * 24];
    stream.read_exact(&mut bytes).expect("600 s of music at once");
    let music: Vec<u8> = bytes
        .chunks(FRAME)
        .flat_map(|frame| OriginalClient::music(frame).unwrap().to_vec())
        .collect();
    assert!(music == song);
}

/// Every frame leaves in one call, and none is put together with another (`MSG_EOR`): what the
/// kernel was asked for, as strace saw it.
#[test]
fn every_frame_is_one_write() {
    if !works("strace", &["-V"]) || !works("strace", &["-o", "/dev/null", "true"]) {
        return skip("this needs strace and the right to trace");
    }
    let song = wav("traced", 1_500);
    let lab = Lab::new();
    fs::create_dir(lab.path("music")).unwrap();
    fs::write(lab.path("music").join("a.wav"), &song).unwrap();
    let config = write_config(&lab, "");
    let trace = lab.path("trace");
    let before = ["strace", "-e", "trace=sendmsg,writev,write,sendto", "-qq", "-o"];
    let before: Vec<&str> = before.into_iter().chain([trace.to_str().unwrap()]).collect();
    let mut daemon = Daemon::start_by(&before, &config);
    let address = daemon.listens("jukebox");
    let mut client = OriginalClient::connect(address);
    assert!(client.song(0, song.len()) == song);
    client.ask("stop<NEXT;><END;>");
    assert_eq!(client.read(), STOP);
    drop(client);
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    let done = Command::new("kill").args(["-TERM", child.trim()]).status().unwrap();
    assert!(done.success());
    assert_eq!(daemon.wait_exit().code(), Some(0));
    let text = fs::read_to_string(&trace).unwrap();
    let frames: Vec<_> = text.lines().filter(|line| line.contains("\"play<NEXT;>\"")).collect();
    assert_eq!(frames.len(), song.len().div_ceil(4072));
    let (last, full) = frames.split_last().unwrap();
    for frame in full {
        assert!(frame.contains("MSG_EOR") && frame.ends_with("= 4096"), "{frame}");
    }
    assert!(last.contains("MSG_EOR"), "{last}");
}

#[test]
fn a_listener_that_stops_reading_delays_nobody_and_is_closed() {
    let song = wav("large", 1_500_000);
    let more = "pace = \"off\"\nstall_max = \"1s\"";
    let jukebox = Jukebox::new(&[("a.wav", &song)], more);
    let mut stuck = TcpStream::connect(jukebox.address).unwrap();
    stuck.write_all(b"play<NEXT;>0<NEXT;><END;>").unwrap();
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("list<NEXT;><END;>");
    assert!(client.read().starts_with(b"list<NEXT;>"));
    jukebox
        .daemon
        .wait_after(0, "closed", |text| text.ends_with("took nothing for too long; closed"));
    assert_eq!((jukebox.figure("stalled"), jukebox.figure("split")), (1, 0), "stuck, not split");
    client.ask("stop<NEXT;><END;>");
    assert_eq!(client.read(), STOP);
}

#[test]
fn nonsense_is_borne_up_to_its_bound() {
    let jukebox = Jukebox::new(&[("a.wav", &wav("x", 100))], "");
    let mut client = OriginalClient::connect(jukebox.address);
    let mut bad = TcpStream::connect(jukebox.address).unwrap();
    bad.set_read_timeout(Some(SOON)).unwrap();
    bad.write_all(b"\xff\xfe\x00<NEXT;><END;>\x1b[31m<END;>list<NEXT;><END;>").unwrap();
    let mut answer = [0; 5];
    bad.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"list<", "what follows nonsense is still answered");
    // The daemon may close before it has read all of it.
    let _ = bad.write_all(&vec![b'x'; 70_000]);
    let mut rest = Vec::new();
    let _ = bad.read_to_end(&mut rest);
    jukebox.daemon.wait_after(0, "closed", |text| text.ends_with("without an end; closed"));
    client.ask("list<NEXT;><END;>");
    assert!(client.read().starts_with(b"list<NEXT;>"));
}

#[test]
fn names_that_would_break_the_list_are_escaped() {
    let song = wav("x", 100);
    let evil = "a<NEXT;>b<END;>\n\x1b[31m}.wav";
    let jukebox = Jukebox::new(&[(evil, &song)], "");
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("list<NEXT;><END;>");
    let list =
        "list<NEXT;>{sid: 0 title: a\\x3cNEXT;>b\\x3cEND;>\\x0a\\x1b[31m}.wav}\n<NEXT;><END;>";
    assert_eq!(String::from_utf8(client.read()).unwrap(), list);
    assert!(client.song(0, song.len()) == song);
}

#[test]
fn a_reload_finds_new_songs_and_leaves_what_plays_alone() {
    let (old, new) = (wav("old", 3_000), wav("new", 300));
    let jukebox = Jukebox::new(&[("b.wav", &old)], "");
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("play<NEXT;>0<NEXT;><END;>");
    let mut heard = OriginalClient::music(&client.read()).unwrap().to_vec();
    let music = jukebox.lab.path("music");
    fs::write(music.join("a.wav"), &new).unwrap();
    fs::remove_file(music.join("b.wav")).unwrap();
    jukebox.daemon.reload();
    while heard.len() < old.len() {
        heard.extend(OriginalClient::music(&client.read()).unwrap());
    }
    assert!(heard == old, "to its end, though its file is gone");
    client.ask("list<NEXT;><END;>");
    assert_eq!(client.read(), b"list<NEXT;>{sid: 0 title: a.wav}\n<NEXT;><END;>");
    assert!(client.song(0, new.len()) == new);
}

#[test]
fn a_reload_may_switch_the_jukebox_off() {
    let jukebox = Jukebox::new(&[("a.wav", &wav("x", 60_000))], "");
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("play<NEXT;>0<NEXT;><END;>");
    assert!(OriginalClient::music(&client.read()).is_some());
    let file = jukebox.lab.path("server.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.find("[jukebox]").unwrap()]).unwrap();
    jukebox.daemon.reload();
    eventually(SOON, "the end of the connection", || client.read().is_empty().then_some(()));
    assert!(TcpStream::connect(jukebox.address).is_err());
    assert_eq!(status(jukebox.daemon.http())["node"]["blobs"].as_u64().map(|b| b < 64), Some(true));
}

#[test]
fn a_song_that_shrinks_cuts_its_listener_off_and_nobody_else() {
    let jukebox = Jukebox::new(&[("a.wav", &wav("a", 60_000)), ("b.wav", &wav("b", 400))], "");
    let mut client = OriginalClient::connect(jukebox.address);
    client.ask("play<NEXT;>0<NEXT;><END;>");
    assert!(OriginalClient::music(&client.read()).is_some());
    let file = fs::File::options().write(true).open(jukebox.lab.path("music").join("a.wav"));
    file.unwrap().set_len(20_000).unwrap();
    jukebox
        .daemon
        .wait_after(0, "broke", |text| text.starts_with("jukebox: a.wav shrank or broke"));
    eventually(SOON, "the end of the connection", || client.read().is_empty().then_some(()));
    let mut other = OriginalClient::connect(jukebox.address);
    let song = wav("b", 400);
    assert!(other.song(1, song.len()) == song);
}

#[test]
fn listeners_of_one_address_are_bounded() {
    let jukebox = Jukebox::new(&[], "per_address_max = 2");
    let mut kept: Vec<_> = (0..2).map(|_| OriginalClient::connect(jukebox.address)).collect();
    for client in &mut kept {
        client.ask("list<NEXT;><END;>");
        assert_eq!(client.read(), b"list<NEXT;><NEXT;><END;>");
    }
    let third = OriginalClient::connect(jukebox.address);
    assert_eq!(third.read(), b"", "not let in");
    kept.pop();
    eventually(SOON, "room for another", || {
        let mut stream = TcpStream::connect(jukebox.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // Where it is not let in, either of both fails.
        let asked = stream.write_all(b"list<NEXT;><END;>");
        asked.and_then(|()| stream.read_exact(&mut [0; 24])).ok()
    });
}

#[test]
fn a_configuration_check_tells_of_the_songs() {
    let lab = Lab::new();
    let config = write_config(&lab, "");
    let run = |config: &PathBuf| {
        crate::harness::daemon::run(&["--check", "-c", config.to_str().unwrap()], "/".as_ref())
    };
    let done = run(&config);
    assert_eq!(done.code, 66, "{}", done.stderr);
    assert!(done.stderr.contains("[jukebox] directory: ") && done.stderr.contains("No such file"));
    fs::create_dir(lab.path("music")).unwrap();
    fs::write(lab.path("music").join("a.wav"), wav("x", 2_000)).unwrap();
    fs::write(lab.path("music").join("b.mp3"), "").unwrap();
    let done = run(&config);
    assert!(
        done.stdout.contains("song a.wav: 32044 bytes, 2.000 s, 128 kbit/s"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("jukebox: b.mp3: it is empty; left out"), "{}", done.stdout);
    assert_eq!(done.code, 0);
}

/// A script with a shell and netcat: requests on lines, answers until the end.
#[test]
fn netcat_drives_it() {
    if !works("sh", &["-c", "command -v nc"]) {
        return skip("this needs nc");
    }
    let jukebox = Jukebox::new(&[("a.wav", &wav("x", 100))], "");
    let line = format!(
        "printf 'list<NEXT;><END;>\\nquit<NEXT;><END;>\\n' | timeout 10 nc 127.0.0.1 {}",
        jukebox.address.port()
    );
    let done = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text, "list<NEXT;>{sid: 0 title: a.wav}\n<NEXT;><END;>quit<NEXT;><END;>");
}

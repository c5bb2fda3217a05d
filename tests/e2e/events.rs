//! The live ticker with the original programs on either side, with sources that others write, and
//! with those who mean harm.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::daemon::{BINARY, Daemon, run, run_program};
use crate::harness::lab::Lab;
use crate::harness::setup::Server;
use crate::harness::ticker::{OriginalListener, OriginalTicker, original_datagram, shown};
use crate::harness::{SOON, eventually, skip, works};

const VIDSTREAM: &str = env!("CARGO_BIN_EXE_vidstream");
const MARKS: &str = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>> STATISTICS <<<<<<<<<<<<<<<<<<<<<<<<<<<<<< \n";

/// A server with a ticker of these keys.
fn ticker(lab: &Lab, keys: &str) -> Daemon {
    Daemon::start(&configuration(lab, keys))
}

fn configuration(lab: &Lab, keys: &str) -> std::path::PathBuf {
    lab.clip();
    rewrite(lab, keys)
}

fn rewrite(lab: &Lab, keys: &str) -> std::path::PathBuf {
    let mut server = Server::new(lab, &["clip"]);
    server.head = format!("[events]\nlisten = \"127.0.0.1:0\"\n{keys}\n");
    server.write(lab)
}

fn events(daemon: &Daemon) -> SocketAddr {
    daemon.listens("events")
}

/// `vidstream events`, running.
struct Listener(Child);

impl Listener {
    fn start(server: SocketAddr, flags: &[&str], directory: &Path) -> Self {
        let child = Command::new(VIDSTREAM)
            .args(["events", &server.to_string()])
            .args(flags)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("the program runs"))
    }

    /// Ctrl+C.
    fn interrupt(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// What it printed, when it has ended.
    fn finish(mut self) -> String {
        let status = eventually(SOON, "end of the client", || self.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn statistics(received: u64, lost: u64, out_of_order: u64) -> String {
    format!(
        "{MARKS}(client) Number of packets received: {received} \n\
         (client) Number of lost packets: {lost} \n\
         (client) Number of packets out of order: {out_of_order}\n"
    )
}

#[test]
fn three_original_clients_follow_a_match_to_its_end() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"20ms\"\nseed = 3\n");
    let clients: Vec<_> = (0..3).map(|_| OriginalListener::start(events(&daemon))).collect();
    for _ in 0..3 {
        daemon.wait_text("events: 127.0.0.1:");
    }
    // All at once: what nobody reads, the kernel keeps some forty of, and drops the rest.
    let all: Vec<_> = std::thread::scope(|scope| {
        let reading: Vec<_> = clients.iter().map(|c| scope.spawn(|| c.rest())).collect();
        reading.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for seen in &all {
        let first = seen[0].count;
        let counts: Vec<_> = seen.iter().map(|s| s.count).collect();
        assert_eq!(counts, (first..first + seen.len() as u64).collect::<Vec<_>>());
        assert!(seen.len() > 30 && seen.last().unwrap().minute >= 95);
        assert_eq!(seen.last(), all[0].last());
        assert!(seen.iter().all(|s| s.score.starts_with("Placar: ")));
    }
    assert_eq!(all[0][0].count, 1, "the first client is there from the beginning");
    daemon.wait_text("events: end of transmission after ");
    // The same seed is the same match.
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"5ms\"\nseed = 3\n");
    assert_eq!(OriginalListener::start(events(&daemon)).rest(), all[0]);
}

#[test]
fn every_datagram_is_as_python_would_write_it() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"5ms\"\n");
    let client = OriginalListener::start(events(&daemon));
    let mut text = Vec::new();
    for _ in 0..40 {
        let datagram = client.datagram();
        assert!(datagram.len() < 4096 && datagram.iter().all(|b| (b' '..=b'~').contains(b)));
        let order = ["message", "timeA", "timeB", "goleiroA", "goleiroB"];
        let at = |key: &&str| {
            let key = format!("\"{key}\": ");
            let found = datagram.windows(key.len()).position(|w| w == key.as_bytes());
            found.unwrap_or_else(|| panic!("no {key}"))
        };
        assert!(order.iter().map(at).is_sorted());
        text.extend(datagram);
        text.push(b'\n');
    }
    if !works("python3", &["--version"]) {
        return skip("python3 is not there to write the same");
    }
    let path = lab.write("datagrams", text);
    let program = "import json,sys\n\
        for line in open(sys.argv[1]):\n  assert json.dumps(json.loads(line)) == line[:-1], line";
    let finished = run_program("python3", &["-c", program, path.to_str().unwrap()], &lab.path(""));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn the_original_client_would_stop_on_a_missing_key() {
    let whole = original_datagram(7);
    assert_eq!(shown(whole.as_bytes()).map(|s| (s.count, s.minute)), Ok((7, 10)));
    let without = whole.replace(", \"time_passed\": 10", "");
    assert_eq!(shown(without.as_bytes()), Err("time_passed".into()));
    let without = whole.replace(", \"tempo_cv\": 0", "");
    assert_eq!(shown(without.as_bytes()), Err("tempo_cv".into()));
}

#[test]
fn our_client_follows_an_original_server() {
    let lab = Lab::new();
    let mut datagrams: Vec<_> =
        [5, 7, 6, 8, 8, 12].map(|count| original_datagram(count).into_bytes()).into();
    datagrams.push(b"End of transmission".to_vec());
    let server = OriginalTicker::start(datagrams.clone(), false);
    let client = Listener::start(server.address, &["--stats-file", "stats.log"], &lab.path(""));
    let text = client.finish();
    let card = "8' Falta!\nQue falta! \u{c9} perigosa\nPlacar: Gal\u{e1}ticos 0 - 0 The Bests\n\n";
    assert!(text.starts_with(card), "{text}");
    let expected = format!("\n(client) Received end of transmission.{}", statistics(6, 5, 1));
    assert_eq!(fs::read_to_string(lab.path("stats.log")).unwrap(), expected);
    let honest = "Of 8 events 3 never came (37.50 %); 1 came late, 1 came again.\n";
    assert!(text.ends_with(&format!("{expected}{honest}")), "{text}");
    assert_eq!(server.told(), [b"register"]);
    // The same as a document, and as a table.
    let server = OriginalTicker::start(datagrams.clone(), false);
    let text = Listener::start(server.address, &["--json"], &lab.path("")).finish();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["original"]["lost"], 5);
    assert_eq!(document["honest"]["lost"], 3);
    assert_eq!(document["ending"], "end_of_transmission");
    drop(server.told());
    let server = OriginalTicker::start(datagrams, false);
    let text = Listener::start(server.address, &["--table"], &lab.path("")).finish();
    assert!(text.starts_with(" count minute type "), "{text}");
    assert_eq!(text.lines().filter(|l| l.contains("Falta!")).count(), 6);
}

#[test]
fn ctrl_c_unregisters() {
    let lab = Lab::new();
    let datagrams = vec![original_datagram(1).into_bytes(), original_datagram(2).into_bytes()];
    let server = OriginalTicker::start(datagrams, true);
    let client = Listener::start(server.address, &["--stats-file", "stats.log"], &lab.path(""));
    let mut client = client;
    let mut first = [0; 3];
    client.0.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    client.interrupt();
    let told = server.told();
    assert_eq!(
        (told.first(), told.last()),
        (Some(&b"register".to_vec()), Some(&b"unregister".to_vec()))
    );
    client.finish();
    let text = fs::read_to_string(lab.path("stats.log")).unwrap();
    let head = "\n(client) Ctrl+C received. Unregistering client.";
    assert!(text.starts_with(&format!("{head}{MARKS}")), "{text}");
    // And a server of ours takes it out.
    let daemon = ticker(&lab, "interval = \"50ms\"\n");
    let client = Listener::start(events(&daemon), &[], &lab.path(""));
    daemon.wait_after(0, "a registration", |text| text.ends_with(" registered"));
    client.interrupt();
    client.finish();
    daemon.wait_after(0, "its end", |text| text.ends_with(" unregistered"));
}

#[test]
fn lines_of_a_fifo_are_events_and_its_end_is_the_end() {
    let lab = Lab::new();
    let fifo = lab.path("score");
    if !works("mkfifo", &[fifo.to_str().unwrap()]) {
        return skip("mkfifo is not there");
    }
    let daemon = ticker(&lab, "interval = \"1ms\"\nsource = \"lines:score\"\n");
    for round in 0..2 {
        let mark = daemon.mark();
        let client = OriginalListener::start(events(&daemon));
        daemon.wait_after(mark, "a registration", |text| text.ends_with(" registered"));
        let mut writer = File::options().write(true).open(&fifo).unwrap();
        writer.write_all(b"Kick-off\n{\"score\": \"1 - 0\", \"content\": \"Gol!\"}\n").unwrap();
        writer.write_all(&[b'x'; 4_200]).unwrap();
        writer.write_all(b"\n\xff\xfe\nlast").unwrap();
        drop(writer);
        let seen = client.rest();
        let texts: Vec<_> = seen.iter().map(|s| (s.count, &*s.content, &*s.score)).collect();
        let expected = [(1, "Kick-off", ""), (2, "Gol!", "1 - 0"), (3, "last", "1 - 0")];
        assert_eq!(texts, expected, "round {round}");
        let refused = "events: a line of the source is refused: ";
        let why = daemon.wait_after(mark, refused, |text| text.starts_with(refused));
        assert!(why.contains("4095 are the most"), "{why}");
        daemon.wait_after(mark, "not UTF-8", |text| text.contains("not UTF-8"));
    }
}

#[test]
fn lines_of_a_file_wait_for_somebody_who_listens() {
    let lab = Lab::new();
    lab.write("match.txt", "one\ntwo\nthree\n");
    let daemon = ticker(&lab, "interval = \"5ms\"\nsource = \"lines:match.txt\"\n");
    for _ in 0..2 {
        let seen = OriginalListener::start(events(&daemon)).rest();
        let texts: Vec<_> = seen.iter().map(|s| (s.count, &*s.content)).collect();
        assert_eq!(texts, [(1, "one"), (2, "two"), (3, "three")]);
    }
}

#[test]
fn lines_of_a_unix_socket_are_events() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"1ms\"\nsource = \"socket:feed.sock\"\n");
    daemon.wait_text("listening: events-lines on ");
    let client = OriginalListener::start(events(&daemon));
    daemon.wait_after(0, "a registration", |text| text.ends_with(" registered"));
    let mut feed = UnixStream::connect(lab.path("feed.sock")).unwrap();
    // More than is read at once, so that it is held and goes on.
    let lines: Vec<_> = (1..=2_000).map(|number| format!("event {number}\n")).collect();
    feed.write_all(lines.concat().as_bytes()).unwrap();
    drop(feed);
    let seen = client.rest();
    assert_eq!(seen.last().map(|s| (s.count, &*s.content)), Some((2_000, "event 2000")));
    assert!(seen.iter().all(|s| s.content == format!("event {}", s.count)));
}

#[test]
fn nonsense_gets_no_answer_and_harms_nobody() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"20ms\"\nper_address_max = 5\n");
    let good = OriginalListener::start(events(&daemon));
    let bad = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let large = vec![b'x'; 60_000];
    for bytes in [&b""[..], b"registe", b"\xff\x00\x1b[31m", b"register\0", &large] {
        bad.send_to(bytes, events(&daemon)).unwrap();
    }
    daemon.wait_after(0, "nonsense", |text| text.contains("60000 bytes are too many"));
    bad.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    assert!(bad.recv_from(&mut [0; 16]).is_err(), "nothing is answered");
    let flood: Vec<_> = (0..50).map(|_| OriginalListener::start(events(&daemon))).collect();
    daemon.wait_after(0, "no room", |text| text.contains("no room"));
    assert_eq!(good.rest()[0].count, 1);
    assert_eq!(flood.iter().filter(|c| !c.is_quiet()).count(), 4, "as many as have room");
}

#[test]
fn where_proofs_are_wanted_our_client_gives_one_and_others_get_one_datagram() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"30ms\"\nprove = true\n");
    let silent = OriginalListener::start(events(&daemon));
    let ours = Listener::start(events(&daemon), &["--json"], &lab.path(""));
    let document: serde_json::Value = serde_json::from_str(&ours.finish()).unwrap();
    assert!(document["honest"]["received"].as_u64().unwrap() > 30, "{document}");
    assert!(silent.event().is_some());
    assert!(silent.is_quiet(), "one, and no more");
}

#[test]
fn the_interval_can_be_given_on_the_command_line() {
    let lab = Lab::new();
    let config = configuration(&lab, "interval = \"1h\"\n");
    let mut command = Command::new(BINARY);
    command.arg("-c").arg(&config).args(["--events-interval", "5ms", "--log-target", "stderr"]);
    let daemon = Daemon::run(command);
    let client = OriginalListener::start(events(&daemon));
    assert!(client.rest().len() > 30);
    let plain = Server::new(&lab, &["clip"]).write(&lab);
    let arguments = ["--check", "-c", plain.to_str().unwrap(), "--events-interval", "5ms"];
    let finished = run(&arguments, &lab.path(""));
    assert_eq!(finished.code, 64, "{}", finished.stderr);
    assert!(finished.stderr.contains("no [events]"), "{}", finished.stderr);
}

#[test]
fn a_reload_changes_the_interval_and_the_source() {
    let lab = Lab::new();
    let daemon = ticker(&lab, "interval = \"1h\"\n");
    let client = OriginalListener::start(events(&daemon));
    daemon.wait_after(0, "a registration", |text| text.ends_with(" registered"));
    lab.write("match.txt", "one\n");
    let mark = daemon.mark();
    rewrite(&lab, "interval = \"5ms\"\nsource = \"lines:match.txt\"\n");
    daemon.signal("HUP");
    daemon.wait_after(mark, "the reload", |text| text == "reload: done");
    assert_eq!(client.rest(), [], "the match has ended");
    let seen = OriginalListener::start(events(&daemon)).rest();
    assert_eq!(seen[0].content, "one");
    // What cannot be had changes nothing.
    rewrite(&lab, "source = \"lines:nowhere\"\n");
    assert!(daemon.reload().contains("reload: [events] source: lines:"));
    assert_eq!(OriginalListener::start(events(&daemon)).rest().len(), 1);
    rewrite(&lab, "teams = \"match.txt\"\n");
    assert!(daemon.reload().contains("[events] teams "));
}

#[test]
fn a_server_that_stops_ends_the_transmission() {
    let lab = Lab::new();
    let mut daemon = ticker(&lab, "interval = \"10ms\"\nper_address_max = 0\n");
    let clients: Vec<_> = (0..200).map(|_| OriginalListener::start(events(&daemon))).collect();
    assert!(clients.iter().all(|client| client.event().is_some()));
    daemon.stop();
    for client in clients {
        client.rest();
    }
}

//! Thirty broken configuration files, each refused at its place with words that help.

use crate::harness::daemon::run;
use crate::harness::lab::Lab;
use crate::harness::setup::{Client, Server};

/// A configuration that is wrong (sysexits.h).
const CONFIG: i32 = 78;

/// One fault: what to change in a good file, where the message must point, what it must say.
struct Fault {
    /// This text of the good file ...
    good: &'static str,
    /// ... becomes this.
    bad: &'static str,
    /// The message points at the line on which this stands.
    at: &'static str,
    /// The message holds each of these.
    says: &'static [&'static str],
}

const fn fault(
    good: &'static str,
    bad: &'static str,
    at: &'static str,
    says: &'static [&'static str],
) -> Fault {
    Fault { good, bad, at, says }
}

/// Faults of a server's file.
const SERVER: [Fault; 26] = [
    fault("role = \"server\"", "role = \"sever\"", "role", &["role", "did you mean \"server\""]),
    fault("role = \"server\"", "role = 7", "role", &["role"]),
    fault("role = \"server\"", "rol = \"server\"", "rol", &["rol", "did you mean \"role\""]),
    fault("[tv]", "[tv", "[tv", &["not TOML"]),
    fault("[tv]", "[tvv]", "[tvv]", &["tvv", "did you mean \"tv\""]),
    fault("[control]", "[control]\nsocket = \"a\"", "socket = \"server", &["not TOML", "socket"]),
    fault("level = \"debug\"", "level = \"debgu\"", "level", &["did you mean \"debug\""]),
    fault("level = \"debug\"", "level = true", "level", &["level", "true"]),
    fault("directory =", "directry =", "directry", &["did you mean \"directory\""]),
    fault("number = 0", "number = 1", "number = 1", &["number"]),
    fault("number = 0", "number = -1", "number = -1", &["number", "-1"]),
    fault("number = 0", "number = \"0\"", "number", &["number"]),
    fault("playlist = [\"clip\"]", "playlist = []", "playlist", &["playlist"]),
    fault("playlist = [\"clip\"]", "playlist = \"clip\"", "playlist", &["playlist"]),
    fault("playlist = [\"clip\"]", "playlist = [1]", "playlist", &["playlist"]),
    fault("repeat = true", "repeat = \"yes\"", "repeat", &["repeat"]),
    fault("epoch = 2026-01-01T00:00:00Z", "epoch = 2026-01-01", "epoch", &["epoch"]),
    fault("epoch = 2026-01-01T00:00:00Z", "epoch = 2026-13-01T00:00:00Z", "epoch", &["not TOML"]),
    fault("max_clients = 32", "max_clients = 0", "max_clients = 0", &["max_clients", "0"]),
    fault("max_clients = 32", "max_clients = 1e3", "max_clients = 1e3", &["max_clients"]),
    fault("name = \"Only clip\"", "name = \"\"", "name = \"\"", &["name"]),
    fault("name = \"Only clip\"", "name = \"a\\u001bb\"", "name = \"a", &["name", "control"]),
    fault("[\"loopback\"]", "[\"lopback\"]", "callback_allow", &["did you mean \"loopback\""]),
    fault("[\"loopback\"]", "[]", "callback_allow", &["callback_allow"]),
    fault("join_pause = \"100ms\"", "join_pause = \"soon\"", "join_pause", &["join_pause"]),
    fault("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1\"", "listen", &["listen"]),
];

/// Faults of a client's file.
const CLIENT: [Fault; 8] = [
    fault("tv://127.0.0.1:6060/0", "127.0.0.1:6060/0", "source", &["source", "tv://"]),
    fault("tv://127.0.0.1:6060/0", "tv://127.0.0.1:6060/10", "source", &["source", "digit"]),
    fault("tv://127.0.0.1:6060/0", "tv://127.0.0.1:99999/0", "source", &["source", "65535"]),
    fault("keep_blocks = 0", "keep_blocks = -3", "keep_blocks", &["keep_blocks", "-3"]),
    fault("period = \"400ms\"", "period = 500", "period", &["period", "500"]),
    fault("[store]", "[stor]", "[stor]", &["did you mean \"store\""]),
    fault("role = \"client\"", "role = \"server\"", "", &["source"]),
    fault("source = ", "sourse = ", "sourse", &["sourse", "did you mean \"source\""]),
];

#[test]
fn faults_of_a_server_file_are_refused_at_their_place() {
    let lab = Lab::new();
    lab.clip();
    let text = Server::new(&lab, &["clip"]).text();
    for fault in &SERVER {
        check(&lab, &text, fault);
    }
}

#[test]
fn faults_of_a_client_file_are_refused_at_their_place() {
    let lab = Lab::new();
    let text = Client::new(&lab, "127.0.0.1:6060".parse().unwrap()).text();
    for fault in &CLIENT {
        check(&lab, &text, fault);
    }
}

fn check(lab: &Lab, text: &str, fault: &Fault) {
    let Fault { good, bad, at, says } = *fault;
    assert!(text.contains(good), "{good:?} is in the good file");
    let broken = text.replacen(good, bad, 1);
    lab.write("broken.toml", &broken);
    let done = run(&["--check", "-c", "broken.toml"], &lab.path(""));
    let told = done.stderr;
    assert_eq!(done.code, CONFIG, "{bad}: {told}");
    let position = broken.lines().position(|line| line.contains(at) && !at.is_empty());
    let place = position.map_or("broken.toml:".to_owned(), |i| format!("broken.toml:{}:", i + 1));
    let line = told.lines().find(|line| line.contains(&place));
    let line = line.unwrap_or_else(|| panic!("{bad}: nothing of {place} in {told}"));
    for word in says {
        assert!(told.contains(word), "{bad}: no {word:?} in {told}");
    }
    let column = line[line.find(&place).unwrap() + place.len()..].split(':').next().unwrap();
    assert!(at.is_empty() || column.parse::<u32>().is_ok(), "{bad}: no column in {line}");
    assert!(told.bytes().all(|b| b == b'\n' || b >= 0x20), "{bad}: raw bytes in {told:?}");
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let lab = Lab::new();
    lab.clip();
    let text = Server::new(&lab, &["clip"]).text();
    let text = text.replace("repeat", "repaet").replace("level", "leval");
    lab.write("broken.toml", text.replace("join_pause = \"100ms\"", "join_pause = 1"));
    let done = run(&["--check", "-c", "broken.toml"], &lab.path(""));
    assert_eq!(done.code, CONFIG);
    for word in ["repaet", "leval", "join_pause"] {
        assert!(done.stderr.contains(word), "{word} in {}", done.stderr);
    }
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let lab = Lab::new();
    lab.write("broken.toml", b"role = \"\xff\x1b[31m\"\n");
    let done = run(&["--check", "-c", "broken.toml"], &lab.path(""));
    assert_eq!(done.code, CONFIG, "{}", done.stderr);
    assert!(done.stderr.contains("broken.toml"), "{}", done.stderr);
    assert!(!done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
    lab.write("broken.toml", "");
    assert_eq!(run(&["--check", "-c", "broken.toml"], &lab.path("")).code, CONFIG);
    lab.write("broken.toml", vec![b'#'; 2 << 20]);
    assert_eq!(run(&["--check", "-c", "broken.toml"], &lab.path("")).code, CONFIG);
}

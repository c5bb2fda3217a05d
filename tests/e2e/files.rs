//! Files as clients meet them: the original ones, byte for byte, `vidstream files`, and those that
//! mean no good.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::daemon::Daemon;
use crate::harness::http::{get, status};
use crate::harness::lab::{Lab, Random};
use crate::harness::original_files::{OriginalClient, OriginalServer};
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually};

const VIDSTREAM: &str = env!("CARGO_BIN_EXE_vidstream");

pub(crate) struct Files {
    pub(crate) lab: Lab,
    pub(crate) daemon: Daemon,
    pub(crate) server: SocketAddr,
}

impl Files {
    pub(crate) fn new(files: &[(&str, &[u8])], more: &str) -> Self {
        Self::at("127.0.0.1:0", files, more)
    }

    pub(crate) fn at(listen: &str, files: &[(&str, &[u8])], more: &str) -> Self {
        let lab = Lab::new();
        fs::create_dir(lab.path("films")).unwrap();
        for (name, bytes) in files {
            fs::write(lab.path("films").join(name), bytes).unwrap();
        }
        let movie = lab.clip();
        let text = Server::new(&lab, &[&movie.name]).text();
        let keys = format!("[files]\nlisten = \"{listen}\"\ndirectory = \"films\"\n");
        let config = lab.write("server.toml", format!("{text}{keys}{more}\n"));
        let daemon = Daemon::start(&config);
        let server = daemon.listens("files");
        Self { lab, daemon, server }
    }

    /// What the daemon counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        status(self.daemon.http())["files"][name].as_u64().unwrap()
    }

    /// Bytes that were sent when no more are.
    pub(crate) fn rest_at(&self) -> u64 {
        let mut last = (0, Instant::now());
        let still = || {
            let sent = self.count("bytes");
            if sent != last.0 {
                last = (sent, Instant::now());
            }
            (sent > 0 && last.1.elapsed() > Duration::from_secs(1)).then_some(sent)
        };
        eventually(SOON, "a pause", still)
    }

    /// Waits until so much of a file is there under the name of its part.
    fn wait_part(&self, bytes: u64) {
        let part = || {
            let all = fs::read_dir(self.lab.path("")).unwrap().flatten();
            let mut parts = all.filter(|e| e.file_name().to_string_lossy().contains(".part"));
            parts.any(|e| e.metadata().unwrap().len() > bytes).then_some(())
        };
        eventually(SOON, "some megabytes", part);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lab.path("films").join(name)
    }
}

pub(crate) fn film(seed: &str, bytes: usize) -> Vec<u8> {
    Random::from_name(seed).bytes(bytes)
}

pub(crate) fn vidstream(words: &[&str], server: SocketAddr) -> Command {
    let mut command = Command::new(VIDSTREAM);
    let server = server.to_string();
    let words = words.iter().map(|w| if *w == "SERVER" { server.as_str() } else { w });
    command.arg("files").args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str], server: SocketAddr) -> Output {
    vidstream(words, server).output().unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    let why = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {why}"))
}

#[test]
fn the_original_client_lists_and_gets_byte_for_byte() {
    let (first, second) = (film("a", 1_000_003), film("b", 321));
    let files = Files::new(&[("a.mkv", &first), ("b#1.mkv", &second)], "");
    let mut client = OriginalClient::new(files.server);
    assert_eq!(client.text("arquivos lista"), "a.mkv#b\\x231.mkv");
    assert!(client.get(0) == first, "the first file");
    assert_eq!(client.windows[..99], [99; 99], "a batch has 99 fragments");
    assert!(OriginalClient::new(files.server).get(1) == second, "the second");
    for bad in ["get", "get 2", "get x", "get -1"] {
        assert_eq!(client.text(bad), "erro index invalido", "{bad}");
    }
    fs::remove_file(files.path("a.mkv")).unwrap();
    assert_eq!(client.text("get 0"), "erro arquivo nao encontrado");
}

#[test]
fn what_an_original_client_does_not_ack_comes_again_soon() {
    let bytes = film("a", 400_000);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let mut client = OriginalClient::new(files.server);
    client.deaf = Some(7);
    let began = Instant::now();
    assert!(client.get(0) == bytes);
    // 57 losses; the original would take 3 seconds for each batch of them. The end takes one.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn our_client_gets_from_an_original_server_that_loses() {
    let (a, b) = (film("a", 350_000), film("b", 1));
    let files = vec![("a.mkv".to_owned(), a.clone()), ("b.mkv".to_owned(), b.clone())];
    let lab = Lab::new();
    for (losing, index, bytes) in [(0, "0", &a), (10, "0", &a), (0, "1", &b)] {
        let server = OriginalServer::start(files.clone(), losing);
        let to = lab.path(&format!("got{losing}{index}"));
        let words = ["get", "SERVER", index, "--json", "-o", to.to_str().unwrap()];
        let figures = json(&run(&words, server.address));
        assert_eq!((&figures["wire"], &figures["verified"]), (&"original".into(), &Value::Null));
        assert!(fs::read(&to).unwrap() == *bytes, "losing {losing}");
    }
    let server = OriginalServer::start(files, 0);
    let list = json(&run(&["list", "SERVER", "--json"], server.address));
    assert_eq!(list["files"], serde_json::json!(["a.mkv", "b.mkv"]));
    let output = run(&["get", "SERVER", "9", "-o", "/dev/null"], server.address);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("erro index invalido"), "{why}");
}

#[test]
fn ours_gets_a_file_under_its_own_name_and_verifies_it() {
    let bytes = film("a", 20_000_001);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let here = files.lab.path("here");
    fs::create_dir(&here).unwrap();
    let mut command = vidstream(&["get", "SERVER", "0", "--json"], files.server);
    let figures = json(&command.current_dir(&here).output().unwrap());
    assert_eq!((&figures["verified"], &figures["wire"]), (&true.into(), &"ours".into()));
    assert!(fs::read(here.join("a.mkv")).unwrap() == bytes);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 1, "nothing else is left");
    files.daemon.wait_after(0, "the end", |text| text.contains("has all of a.mkv"));
}

#[test]
fn an_interrupted_get_goes_on_where_it_ended() {
    let bytes = film("a", 12_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "rate_max = 4000000");
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    let mut child = vidstream(&words, files.server).stdout(Stdio::piped()).spawn().unwrap();
    files.wait_part(4_000_000);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!to.exists());
    files.daemon.wait_after(0, "a word of parting", |text| text.contains("wants no more of"));
    let figures = json(&run(&words, files.server));
    assert!(figures["resumed_from"].as_u64().unwrap() > 1_000_000, "{figures}");
    assert_eq!(figures["verified"], true);
    assert!(fs::read(&to).unwrap() == bytes);
}

#[test]
fn a_killed_client_goes_on_and_only_what_is_missing_is_sent() {
    let bytes = film("a", 30_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "rate_max = 12000000");
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    let mut child = vidstream(&words, files.server).stdout(Stdio::piped()).spawn().unwrap();
    files.wait_part(15_000_000);
    child.kill().unwrap();
    child.wait().unwrap();
    files.daemon.wait_after(0, "its end", |text| text.contains("has gone in the middle of"));
    let before = files.count("bytes");
    assert!(before < 30_000_000, "it was in the middle");
    let figures = json(&run(&words, files.server));
    let resumed = figures["resumed_from"].as_u64().unwrap();
    assert!(resumed > 6_000_000, "{figures}");
    assert_eq!(figures["verified"], true);
    assert!(fs::read(&to).unwrap() == bytes);
    eventually(SOON, "the end", || (files.count("transfers") == 0).then_some(()));
    // A datagram that was late and came twice counts twice.
    let (sent, missing) = (files.count("bytes") - before, 30_000_000 - resumed);
    assert!((missing..missing + missing / 10).contains(&sent), "{sent} sent of {missing}");
    assert_eq!((files.count("begun"), files.count("whole")), (2, 1));
}

#[test]
fn a_client_goes_on_when_its_server_was_killed_and_is_back() {
    let bytes = film("a", 24_000_000);
    let mut files = Files::new(&[("a.mkv", &bytes)], "rate_max = 8000000");
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    let child = vidstream(&words, files.server).stdout(Stdio::piped()).spawn().unwrap();
    files.wait_part(9_000_000);
    files.daemon.kill();
    let config = files.lab.path("server.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (any, same) = ("listen = \"127.0.0.1:0\"\ndirectory = \"films\"", files.server);
    let same = text.replace(any, &format!("listen = \"{same}\"\ndirectory = \"films\""));
    assert_ne!(text, same);
    fs::write(&config, same).unwrap();
    files.daemon = Daemon::start(&config);
    let figures = json(&child.wait_with_output().unwrap());
    assert_eq!((&figures["verified"], &figures["resumed_from"]), (&true.into(), &0.into()));
    assert!(fs::read(&to).unwrap() == bytes);
    eventually(SOON, "the end", || (files.count("transfers") == 0).then_some(()));
    let sent = files.count("bytes");
    assert!(sent < 20_000_000, "{sent} bytes of the rest");
}

#[test]
fn a_list_and_a_file_come_over_ipv6() {
    let bytes = film("a", 5_000_000);
    let files = Files::at("[::1]:0", &[("a.mkv", &bytes)], "");
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    let figures = json(&run(&words, files.server));
    assert_eq!((&figures["verified"], &figures["wire"]), (&true.into(), &"ours".into()));
    assert!(fs::read(&to).unwrap() == bytes);
    let list = json(&run(&["list", "SERVER", "--json"], files.server));
    assert_eq!(list["files"], serde_json::json!(["a.mkv"]));
}

#[test]
fn a_pipe_gets_the_file_and_stays_a_pipe() {
    let bytes = film("a", 3_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let to = files.lab.path("pipe");
    assert!(Command::new("mkfifo").arg(&to).status().unwrap().success());
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    let child = vidstream(&words, files.server).stdout(Stdio::piped()).spawn().unwrap();
    assert!(fs::read(&to).unwrap() == bytes);
    assert_eq!(json(&child.wait_with_output().unwrap())["verified"], true);
    assert!(!fs::metadata(&to).unwrap().is_file());
}

#[test]
fn the_figures_are_told_in_the_status_the_metrics_and_ctl() {
    let bytes = film("a", 1_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "transfers_max = 1");
    files.daemon.wait_text("ready");
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"12345678nonsense", files.server).unwrap();
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "--json", "-o", to.to_str().unwrap()];
    json(&run(&words, files.server));
    eventually(SOON, "the end", || (files.count("transfers") == 0).then_some(()));
    let counts = ["files", "begun", "whole", "bad_requests", "refused"];
    assert_eq!(counts.map(|name| files.count(name)), [1, 1, 1, 1, 0]);
    let (sent, again) = (files.count("datagrams"), files.count("retransmitted"));
    assert!(files.count("bytes") >= 1_000_000 && sent >= 110 && again < sent);
    let metrics = get(files.daemon.http(), "/metrics");
    assert!(metrics.text().contains("\nvidstreamd_files_whole_total 1\n"), "{}", metrics.text());
    let output = Command::new(VIDSTREAM)
        .args(["ctl", "--socket"])
        .arg(files.lab.path("server.sock"))
        .arg("status")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 listed, 0 transfers, 1 begun, 1 whole, 0 refused"), "{text}");
}

#[test]
fn a_reader_of_standard_output_sets_the_pace() {
    let bytes = film("a", 60_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "");
    let words = ["get", "SERVER", "0", "-o", "-", "--rate", "8M", "--buffer", "4"];
    let mut command = vidstream(&words, files.server);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = vec![0; 1_000_000];
    std::io::Read::read_exact(&mut stdout, &mut first).unwrap();
    assert!(first == bytes[..1_000_000]);
    // Nobody reads on: the buffer fills to its mark, and no further.
    assert!(files.rest_at() < 20_000_000);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stdout, &mut rest).unwrap();
    assert!(rest == bytes[1_000_000..]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_file_that_shrinks_ends_its_transfer_and_nothing_else() {
    let bytes = film("a", 30_000_000);
    let files = Files::new(&[("a.mkv", &bytes), ("b.mkv", b"still here")], "rate_max = 3000000");
    let to = files.lab.path("got.mkv");
    let words = ["get", "SERVER", "0", "-o", to.to_str().unwrap(), "--quiet"];
    let child = vidstream(&words, files.server).stderr(Stdio::piped()).spawn().unwrap();
    files.daemon.wait_after(0, "a transfer", |text| text.contains("gets a.mkv"));
    let file = fs::File::options().write(true).open(files.path("a.mkv")).unwrap();
    file.set_len(100_000).unwrap();
    let output = child.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("the file changed"), "{why}");
    let other = files.lab.path("b");
    let words = ["get", "SERVER", "1", "--json", "-o", other.to_str().unwrap()];
    assert_eq!(json(&run(&words, files.server))["verified"], true);
}

#[test]
fn nothing_outside_the_folder_is_listed_or_sent() {
    let files = Files::new(&[("a.mkv", b"film")], "");
    fs::write(files.lab.path("secret"), "secret").unwrap();
    symlink("../secret", files.path("link.mkv")).unwrap();
    files.daemon.reload();
    let client = OriginalClient::new(files.server);
    assert_eq!(client.text("arquivos lista"), "a.mkv");
    // Also when it becomes a link behind the server's back.
    fs::remove_file(files.path("a.mkv")).unwrap();
    symlink("../secret", files.path("a.mkv")).unwrap();
    assert_eq!(client.text("get 0"), "erro arquivo nao encontrado");
    assert_eq!(client.text("get ../secret"), "erro index invalido");
}

#[test]
fn nonsense_is_met_with_silence_and_strangers_are_ignored() {
    let bytes = film("a", 3_000_000);
    let files = Files::new(&[("a.mkv", &bytes)], "rate_max = 1000000");
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = Random::from_name("nonsense");
    for length in [0, 1, 7, 8, 9, 100, 1_024, 1_025, 9_000] {
        stranger.send_to(&random.bytes(length), files.server).unwrap();
    }
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stranger.recv(&mut [0; 64]).is_err(), "no answer");
    let client = OriginalClient::new(files.server);
    client.ask("get 0");
    let (_, transfer) = client.receive();
    let ack = |text: &str| [&b"\0\0\0\0\0\0\x01\x04"[..], text.as_bytes()].concat();
    for text in ["0", "99999", "x", ""] {
        stranger.send_to(&ack(text), transfer).unwrap();
    }
    for text in ["99999", "-1", "x", "", "4294967296"] {
        client.socket.send_to(&ack(text), transfer).unwrap();
    }
    client.socket.send_to(b"\0\0", transfer).unwrap();
    // Nothing of that has proved the address: no second fragment comes, only the first again.
    client.socket.set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
    let mut buffer = [0; 1_024];
    let mut out = 13;
    while let Ok((count, _)) = client.socket.recv_from(&mut buffer) {
        assert_eq!(buffer[..4], [0; 4], "only the first fragment");
        out += count;
    }
    assert!(out <= 39, "{out} bytes for 13");
    let mut next = OriginalClient::new(files.server);
    assert!(next.get(0) == bytes, "the daemon lives");
}

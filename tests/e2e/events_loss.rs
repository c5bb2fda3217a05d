//! The figures of loss against the counters of a link that really loses: a network namespace in
//! which the kernel drops some of what the ticker sends.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::daemon::{BINARY, Daemon, run_program};
use crate::harness::lab::Lab;
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, skip, works};

const VIDSTREAM: &str = env!("CARGO_BIN_EXE_vidstream");
/// Events while the link loses some.
const EVENTS: u64 = 2_000;

/// A daemon in a network of its own.
struct Network {
    daemon: Daemon,
    server: SocketAddr,
}

impl Network {
    fn start(lab: &Lab, keys: &str) -> Self {
        lab.clip();
        let mut server = Server::new(lab, &["clip"]);
        server.head = format!("[events]\nlisten = \"127.0.0.1:0\"\n{keys}\n");
        let up = ["unshare", "-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
        let daemon = Daemon::start_by(&up, &server.write(lab));
        let server = daemon.listens("events");
        Self { daemon, server }
    }

    /// A command inside.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.daemon.pid().to_string(), "-n"]).args(words);
        command
    }

    fn nft(&self, rules: &str) {
        let mut child = self.command(&["nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{rules}");
    }

    /// Packets that a counter of the link has counted.
    fn counted(&self, name: &str) -> u64 {
        let output = self.command(&["nft", "list", "counter", "inet", "lossy", name]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Datagrams that the kernel dropped because nobody took them in time.
    fn overflowed(&self) -> u64 {
        let output = self.command(&["cat", "/proc/net/snmp"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("Udp: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut both = names.split(' ').zip(values.split(' '));
        both.find(|(name, _)| *name == "RcvbufErrors").unwrap().1.parse().unwrap()
    }
}

fn is_possible() -> bool {
    let tools = "command -v nsenter nft ip mkfifo";
    works("unshare", &["-n", "nft", "list", "ruleset"]) && works("sh", &["-c", tools])
}

#[test]
fn the_honest_figures_are_those_of_the_link() {
    if !is_possible() {
        return skip("a network that loses needs root, nsenter, nft and ip");
    }
    for percent in [1, 10, 30] {
        let lab = Lab::new();
        let fifo = lab.path("score");
        assert!(works("mkfifo", &[fifo.to_str().unwrap()]));
        let net = Network::start(&lab, "interval = \"1ms\"\nsource = \"lines:score\"\n");
        let rule = format!("udp sport {} ip daddr 127.0.0.2", net.server.port());
        net.nft(&format!(
            "table inet lossy {{\n counter offered {{ }}\n counter dropped {{ }}\n \
             chain count {{ type filter hook input priority -1; {rule} counter name offered; }}\n \
             chain lose {{ type filter hook input priority 0; }}\n}}\n"
        ));
        let server = net.server.to_string();
        let ours = [VIDSTREAM, "events", &server, "--from", "127.0.0.2", "--json"];
        let client = net.command(&ours).stdout(Stdio::piped()).spawn().unwrap();
        net.daemon.wait_after(0, "a registration", |text| text.ends_with(" registered"));
        let mut writer = File::options().write(true).open(&fifo).unwrap();
        let passed = |count: u64| {
            let what = format!("{count} events on the link");
            eventually(SOON, &what, || (net.counted("offered") >= count).then_some(()));
        };
        writer.write_all(b"first\n").unwrap();
        passed(1);
        net.nft(&format!(
            "add rule inet lossy lose {rule} numgen random mod 100 < {percent} \
             counter name dropped drop\n"
        ));
        for number in 0..EVENTS {
            writeln!(writer, "event {number}").unwrap();
        }
        passed(1 + EVENTS);
        net.nft("flush chain inet lossy lose\n");
        writer.write_all(b"last\n").unwrap();
        drop(writer);
        let output = client.wait_with_output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let dropped = net.counted("dropped");
        let lost = dropped + net.overflowed();
        println!("{percent} %: the link dropped {dropped} of {EVENTS}; {document}");
        assert_eq!(document["honest"]["lost"], lost, "{document}");
        assert_eq!(document["original"]["lost"], lost, "nothing came out of order");
        assert_eq!(document["honest"]["received"], EVENTS + 2 - lost, "{document}");
        // Five standard deviations of what chance does; both sides squared.
        let off = dropped.abs_diff(EVENTS * percent / 100);
        let variance = EVENTS * percent * (100 - percent) / 10_000;
        assert!(off * off <= 25 * variance, "{dropped} of {EVENTS} at {percent} %");
    }
}

#[test]
fn one_command_leaves_the_logs_of_three_clients() {
    if !is_possible() {
        return skip("a network that loses needs root, nsenter, nft and ip");
    }
    let lab = Lab::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/events/logs");
    let programs = std::path::Path::new(BINARY).parent().unwrap();
    let finished = run_program(
        "env",
        &[&format!("BIN={}", programs.display()), script, "logs", "30", "20ms"],
        &lab.path(""),
    );
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let read = |name: &str| std::fs::read_to_string(lab.path("logs").join(name)).unwrap();
    let lost = |number: u32| {
        let text = read(&format!("client_{number}_stats.log"));
        let (_, after) = text.split_once("lost packets: ").expect("figures");
        after.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((lost(1), lost(2)), (0, 0));
    assert!(lost(3) > 0, "{}", read("link.txt"));
    assert!(read("client_3.log").contains("Placar: "));
    assert!(read("server.log").contains("events: end of transmission after "));
    assert!(read("link.txt").contains("counter dropped"));
}

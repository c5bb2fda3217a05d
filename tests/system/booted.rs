//! The units under a whole systemd: booted in a container from this machine's own `/usr`, without a
//! network, with a probe (`probe.sh`) that drives them and writes down what it sees.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{BINARY, can, run, server, write_library, write_units};

/// Where the container sees the program: its `/usr` is this machine's and read-only.
const PROGRAM: &str = "/opt/vidstreamd";

/// What the container is made of: a directory each for units, configurations, movies and findings.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = Self { dir };
        for name in ["units", "etc", "movies", "out"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        machine.write_units();
        machine.write_configurations();
        write_library(&machine.path("movies"));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The units, with a watchdog that is not worth waiting for, and the probe.
    fn write_units(&self) {
        let units = self.path("units");
        write_units(&units, PROGRAM);
        for name in ["vidstreamd.service.d", "vidstreamd@.service.d"] {
            fs::create_dir(units.join(name)).unwrap();
            fs::write(units.join(name).join("test.conf"), "[Service]\nWatchdogSec=2\n").unwrap();
        }
        let probe = "[Service]\nType=oneshot\nExecStart=/opt/probe.sh\n";
        fs::write(units.join("probe.service"), probe).unwrap();
        let target = "[Unit]\nRequires=basic.target probe.service\nAfter=basic.target\n";
        fs::write(units.join("probe.target"), target).unwrap();
        fs::write(self.path("probe.sh"), include_str!("probe.sh")).unwrap();
        fs::set_permissions(self.path("probe.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write_configurations(&self) {
        let etc = self.path("etc");
        let socket = "/run/vidstreamd/server/control";
        let server = server(Path::new("/srv/movies"), socket, [16060, 16080, 19091]);
        fs::write(etc.join("server.toml"), &server).unwrap();
        fs::write(etc.join("broken.toml"), server + "bogus = 1\n").unwrap();
        let client = "role = \"client\"\nsource = \"tv://127.0.0.1:16060/0\"\n\
             [receive]\nlisten = \"127.0.0.1:19091\"\nperiod = \"500ms\"\n\
             [store]\ndirectory = \"/var/lib/vidstreamd/client\"\n";
        fs::write(etc.join("client.toml"), client).unwrap();
    }

    /// Boots, and returns when the probe has switched the machine off; what the console showed.
    fn run(&self) -> String {
        let bind = |name: &str, to: &str| format!("{}:{to}", self.path(name).display());
        let mut command = Command::new("timeout");
        command.args(["--kill-after=2", "45", "unshare", "--mount", "sh", "-c"]);
        // The container's manager keeps its own things below /run; this machine's stay untouched.
        command.arg(
            "mount -t tmpfs tmpfs /run && mkdir -p /run/lock /run/systemd && \
             exec systemd-nspawn --quiet --register=no --keep-unit --private-network \
             --directory=/ --volatile=yes --boot \"$@\" \
             systemd.firstboot=off systemd.unit=probe.target",
        );
        command.arg("sh");
        command.arg(format!("--bind-ro={}", bind("units", "/run/systemd/system")));
        command.arg(format!("--bind-ro={}", bind("probe.sh", "/opt/probe.sh")));
        command.arg(format!("--bind-ro={}", bind("movies", "/srv/movies")));
        command.arg(format!("--bind-ro={BINARY}:{PROGRAM}"));
        command.arg(format!("--bind={}", bind("etc", "/etc/vidstreamd")));
        command.arg(format!("--bind={}", bind("out", "/out")));
        run(&mut command).1
    }

    /// The findings. Without an end of the probe there is nothing to judge.
    fn findings(self) -> Findings {
        let console = self.run();
        let findings = Findings { machine: self };
        assert!(
            findings.machine.path("out/finished").exists(),
            "the probe did not finish\n---- console\n{console}\n---- probe\n{}",
            findings.text("probe.stderr"),
        );
        findings
    }
}

/// What the probe wrote down.
struct Findings {
    machine: Machine,
}

impl Findings {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.machine.path("out").join(name)).unwrap_or_default()
    }

    fn succeeded(&self, name: &str) -> bool {
        self.text(&format!("{name}.status")).trim() == "0"
    }

    fn property(&self, name: &str, key: &str) -> String {
        let text = self.text(name);
        let values = text.lines().filter_map(|l| l.split_once('='));
        values.filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned()).next().unwrap_or_default()
    }

    /// A unit is active under this number of restarts; its process id.
    fn active(&self, name: &str, restarts: &str) -> String {
        assert_eq!(self.property(name, "ActiveState"), "active", "{name}\n{}", self.journal());
        assert_eq!(self.property(name, "NRestarts"), restarts, "{name}\n{}", self.journal());
        self.property(name, "MainPID")
    }

    fn assert_done(&self, name: &str) {
        assert!(self.succeeded(name), "{name}: {}\n{}", self.text(name), self.journal());
    }

    fn journal(&self) -> String {
        self.text("journal_of_all")
    }
}

#[test]
fn the_units_live_under_a_whole_systemd() {
    if !can(true, &["systemd-nspawn", "unshare", "timeout", "bash"]) {
        return;
    }
    let findings = Machine::new().findings();
    starts_and_serves(&findings);
    reloads_only_what_is_right(&findings);
    comes_back(&findings);
    a_client_is_an_instance(&findings);
    a_wrong_configuration_is_not_tried_again(&findings);
    stops_and_says_so(&findings);
}

/// `Type=notify`: the start is over when the daemon says so, and then it serves.
fn starts_and_serves(findings: &Findings) {
    findings.assert_done("start");
    findings.active("started", "0");
    let answer = findings.text("healthz");
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    let journal = findings.text("journal");
    let lines =
        ["listening: tv on 127.0.0.1:16060", "listening: http on 127.0.0.1:16080", "ready: "];
    for line in lines {
        assert!(journal.contains(&format!("]: {line}")), "{line}\n{journal}");
    }
}

fn reloads_only_what_is_right(findings: &Findings) {
    findings.assert_done("reload");
    findings.assert_done("reload_line");
    assert!(!findings.succeeded("bad_reload"), "the check let a broken file through");
    assert_eq!(findings.active("after_bad_reload", "0"), findings.active("started", "0"));
}

/// After a kill, and after a hang that the watchdog ends.
fn comes_back(findings: &Findings) {
    let first = findings.active("started", "0");
    findings.assert_done("restarted");
    let second = findings.active("after_kill", "1");
    findings.assert_done("watched");
    let third = findings.active("after_watchdog", "2");
    assert!(first != second && second != third, "{first} {second} {third}");
    findings.assert_done("watchdog_line");
    let journal = findings.text("journal");
    assert!(journal.contains("code=killed, status=6/ABRT"), "{journal}");
}

/// The template's directories are there, and what the client receives is written to one of them.
fn a_client_is_an_instance(findings: &Findings) {
    findings.assert_done("client");
    assert_eq!(findings.property("client_started", "ActiveState"), "active");
    findings.assert_done("directories");
    findings.assert_done("stored");
    findings.assert_done("client_stop");
}

fn a_wrong_configuration_is_not_tried_again(findings: &Findings) {
    assert!(!findings.succeeded("broken"));
    assert_eq!(findings.property("broken_shown", "ExecMainStatus"), "78");
    assert_eq!(findings.property("broken_shown", "ActiveState"), "failed");
    assert_eq!(findings.property("broken_shown", "NRestarts"), "0");
}

fn stops_and_says_so(findings: &Findings) {
    findings.assert_done("stop");
    assert_eq!(findings.property("stopped", "ActiveState"), "inactive");
    assert_eq!(findings.property("stopped", "Result"), "success");
    let journal = findings.text("journal");
    let own = journal.lines().filter(|l| l.contains("vidstreamd["));
    assert!(own.clone().next_back().is_some_and(|l| l.ends_with("]: stopped")), "{journal}");
    assert!(!journal.contains("panicked at"), "{journal}");
}

//! The control socket, asked by `vidstream ctl` and by strangers.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::daemon::{Daemon, Finished, run_program};
use crate::harness::lab::Lab;
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::Viewer;
use crate::harness::{SOON, eventually, http};

/// What a person types.
fn ctl(lab: &Lab, socket: &str, words: &[&str]) -> Finished {
    let path = lab.path(socket);
    let words: Vec<_> =
        ["ctl", "--socket", path.to_str().unwrap()].iter().chain(words).copied().collect();
    run_program(env!("CARGO_BIN_EXE_vidstream"), &words, &lab.path(""))
}

/// The same with `--json`.
fn ctl_json(lab: &Lab, socket: &str, words: &[&str]) -> Value {
    let words: Vec<_> = words.iter().chain(&["--json"]).copied().collect();
    let asked = ctl(lab, socket, &words);
    assert_eq!(asked.code, 0, "{words:?}: {}", asked.stderr);
    serde_json::from_str(&asked.stdout).unwrap_or_else(|why| panic!("{why}: {}", asked.stdout))
}

fn lab_with_server() -> (Lab, Daemon) {
    let lab = Lab::new();
    lab.clip();
    let daemon = Daemon::start(&Server::new(&lab, &["clip", "clip"]).write(&lab));
    (lab, daemon)
}

#[test]
fn ctl_tells_what_is_on_the_air_and_who_watches() {
    let (lab, daemon) = lab_with_server();
    let viewer = Viewer::joined(&lab, daemon.tv(), 1);
    let channels = ctl(&lab, "server.sock", &["channels"]);
    assert_eq!(channels.code, 0, "{}", channels.stderr);
    let row = channels.stdout.lines().find(|line| line.contains("1/32")).expect("a viewer");
    assert!(row.contains("Only clip") && row.trim_start().starts_with('1'), "{row}");
    let connections = ctl(&lab, "server.sock", &["connections"]);
    assert!(connections.stdout.contains(&viewer.address.to_string()), "{}", connections.stdout);
    let status = ctl(&lab, "server.sock", &["status"]);
    assert!(status.stdout.contains("1 clients"), "{}", status.stdout);
}

#[test]
fn ctl_has_the_status_document_of_http() {
    let (lab, daemon) = lab_with_server();
    let asked = ctl(&lab, "server.sock", &["status", "json"]);
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    let document: serde_json::Value = serde_json::from_str(&asked.stdout).expect("JSON");
    let other = http::status(daemon.http());
    assert_eq!(document["node"]["started_at"], other["node"]["started_at"]);
    assert_eq!(document["channels"].as_array().map(Vec::len), Some(2));
}

#[test]
fn ctl_lists_a_clients_files_and_its_source() {
    let (lab, server) = lab_with_server();
    let client = Daemon::start(&Client::new(&lab, server.tv()).write(&lab));
    eventually(SOON, "a stored block", || {
        (http::status(client.http())["store"]["stored"].as_u64() >= Some(1)).then_some(())
    });
    let files = ctl(&lab, "client.sock", &["files"]);
    assert!(files.stdout.contains("0_00000.mkv"), "{}", files.stdout);
    let connections = ctl(&lab, "client.sock", &["connections"]);
    assert!(connections.stdout.contains(&server.tv().to_string()), "{}", connections.stdout);
}

#[test]
fn ctl_says_what_is_wrong() {
    let (lab, mut daemon) = lab_with_server();
    let unknown = ctl(&lab, "server.sock", &["chanels"]);
    let told = unknown.stdout + &unknown.stderr;
    assert!(told.contains("chanels") && told.contains("channels"), "{told}");
    daemon.stop();
    let nobody = ctl(&lab, "server.sock", &["status"]);
    assert!(nobody.code > 0 && nobody.stderr.contains("server.sock"), "{}", nobody.stderr);
    let usage = run_program(env!("CARGO_BIN_EXE_vidstream"), &["--nonsense"], &lab.path(""));
    assert_eq!(usage.code, 64, "{}", usage.stderr);
}

#[test]
fn a_silent_control_connection_is_closed_and_noise_is_survived() {
    let (lab, mut daemon) = lab_with_server();
    let connect = || {
        let stream = UnixStream::connect(lab.path("server.sock")).expect("the control socket");
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let began = Instant::now();
    let mut silent: Vec<_> = (0..3).map(|_| connect()).collect();
    let mut noisy = connect();
    let _ = noisy.write_all(&vec![0x1b; 100_000]);
    let mut answer = Vec::new();
    // It may be reset when not all of the noise was read.
    let _ = noisy.read_to_end(&mut answer);
    assert!(!answer.contains(&0x1b), "noise comes back raw");
    for stream in &mut silent {
        answer.clear();
        stream.read_to_end(&mut answer).expect("an end");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(daemon.is_alive());
    assert_eq!(ctl(&lab, "server.sock", &["status"]).code, 0);
}

/// A server that is the root of a mesh, and members with slots of their own.
struct Trees {
    lab: Lab,
    root: Daemon,
    members: Vec<Daemon>,
}

impl Trees {
    fn grown(count: usize) -> Self {
        let lab = Lab::new();
        lab.clip();
        let mesh = "[mesh]\nlisten = \"127.0.0.1:0\"\nslots = 2\nstripes = 4\nlead = \"3s\"\n";
        let text = Server::new(&lab, &["clip"]).text() + mesh;
        let root = Daemon::start(&lab.write("root.toml", text));
        let listens = root.listens("mesh");
        let members = (0..count).map(|n| member(&lab, n, listens)).collect();
        let trees = Self { lab, root, members };
        eventually(SOON, "every member in the tree", || {
            let tree = ctl_json(&trees.lab, "server.sock", &["tree"]);
            let placed = tree["rows"].as_array().map(Vec::len) == Some(count + 1);
            (placed && tree["unplaced"] == 0).then_some(())
        });
        trees
    }

    /// The names that `tree` draws for people, the root's first, and the text.
    fn tree(&self, words: &[&str]) -> (Vec<String>, String) {
        let words: Vec<_> = ["tree"].iter().chain(words).copied().collect();
        let asked = ctl(&self.lab, "server.sock", &words);
        assert_eq!(asked.code, 0, "{}", asked.stderr);
        let lines = asked.stdout.lines().skip(2);
        let name = |line: &str| line.split_whitespace().nth(6).unwrap().to_owned();
        (lines.map(name).collect(), asked.stdout)
    }

    fn name_of(&self, member: usize) -> String {
        let mesh = http::status(self.members[member].http())["mesh"][0].clone();
        assert_eq!(mesh["role"], "member");
        mesh["node"].as_str().expect("a name").to_owned()
    }
}

fn member(lab: &Lab, number: usize, root: SocketAddr) -> Daemon {
    let text = format!(
        "role = \"client\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nslots = 2\n\
         roots = [\"{root}\"]\n[store]\ndirectory = \"store{number}\"\nkeep_blocks = 0\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"member{number}.sock\"\n"
    );
    Daemon::start(&lab.write(&format!("member{number}.toml"), text))
}

#[test]
fn ctl_draws_the_tree_and_the_new_one_within_a_second_of_a_kill() {
    let mut trees = Trees::grown(3);
    let mut names: Vec<_> = (0..3).map(|n| trees.name_of(n)).collect();
    for words in [&[][..], &["--stripe", "0"], &["--stripe", "3", "--channel", "0"]] {
        let (drawn, text) = trees.tree(words);
        assert_eq!(drawn.len(), 4, "{text}");
        assert!(names.iter().all(|name| drawn[1..].contains(name)), "{names:?}: {text}");
    }
    trees.members[0].kill();
    let (killed, dead) = (Instant::now(), names.remove(0));
    let text = eventually(Duration::from_secs(1), "the tree without the dead member", || {
        let (drawn, text) = trees.tree(&[]);
        let stripes = (0..4).map(|s| trees.tree(&["--stripe", &s.to_string()]).0);
        let whole = |drawn: Vec<String>| drawn.len() == 3 && !drawn.contains(&dead);
        (whole(drawn) && stripes.into_iter().all(whole)).then_some(text)
    });
    println!("{} ms after the kill:\n{text}", killed.elapsed().as_millis());
    assert!(names.iter().all(|name| text.contains(name.as_str())), "{text}");
    assert!(text.contains("2 members"), "{text}");
}

#[test]
fn ctl_says_why_a_member_is_where_it_is() {
    let trees = Trees::grown(3);
    let name = trees.name_of(1);
    let ask = |words: &[&str]| ctl(&trees.lab, "server.sock", words);
    let why = ask(&["why", &name]);
    assert_eq!(why.code, 0, "{}", why.stderr);
    for part in
        [name.as_str(), "slots     ", "budget of ", "home      ", "because   ", "heir      "]
    {
        assert!(why.stdout.contains(part), "{part}: {}", why.stdout);
    }
    let row = ctl_json(&trees.lab, "server.sock", &["why", &name[..15]]);
    assert_eq!(row["node"], name.as_str());
    let address = row["address"].as_str().expect("where it can be dialled");
    assert!(address.ends_with(&trees.members[1].listens("mesh").port().to_string()), "{row}");
    assert!(ask(&["why", address]).stdout.starts_with(&format!("{name} at {address}")));
    let many = ask(&["why", "127.0.0.1"]);
    assert!(many.code > 0 && many.stderr.contains("fits 3 nodes"), "{}", many.stderr);
    let nobody = ask(&["why", "no\u{1b}body"]);
    assert!(nobody.code > 0 && nobody.stderr.contains("no member"), "{}", nobody.stderr);
    assert!(!nobody.stderr.contains('\u{1b}'), "{}", nobody.stderr);
    for (words, told) in [
        (&["tree", "--stripe", "4"][..], "stripes 0 to 3"),
        (&["tree", "--channel", "1"], "channel 1 has no mesh here"),
        (&["tree", "--stripe", "x"], "expected a number"),
        (&["why"], "expected the name"),
    ] {
        let asked = ask(words);
        assert!(asked.code > 0 && asked.stderr.contains(told), "{words:?}: {}", asked.stderr);
    }
}

#[test]
fn a_member_tells_its_connections_its_blocks_and_where_its_root_is() {
    let trees = Trees::grown(3);
    let root = trees.root.listens("mesh").to_string();
    for words in [&["tree"][..], &["why", "0"]] {
        let asked = ctl(&trees.lab, "member1.sock", words);
        assert!(asked.code > 0 && asked.stderr.contains(&root), "{words:?}: {}", asked.stderr);
        assert!(asked.stderr.contains(&trees.name_of(1)), "{}", asked.stderr);
    }
    let from = eventually(SOON, "somebody who sends every stripe", || {
        let document = ctl_json(&trees.lab, "member1.sock", &["connections"]);
        let rows = document.as_array().expect("rows").clone();
        let from: Vec<_> = rows.into_iter().filter(|row| row["direction"] == "from").collect();
        let bytes = from.iter().filter_map(|row| row["bytes"].as_u64()).sum::<u64>();
        (!from.is_empty() && bytes > 0).then_some(from)
    });
    let text = ctl(&trees.lab, "member1.sock", &["connections"]).stdout;
    for row in from {
        let peer = row["peer"].as_str().expect("address and port");
        assert!(peer.parse::<SocketAddr>().is_ok() && text.contains(peer), "{row}: {text}");
        assert!(!row["stripes"].as_str().unwrap().is_empty(), "{row}");
    }
    let to = ctl_json(&trees.lab, "server.sock", &["connections"]);
    let to = to.as_array().unwrap().iter().filter(|row| row["direction"] == "to").count();
    assert!((1..=2).contains(&to), "the root has two slots: {to}");
    let block = eventually(SOON, "a block that waits for its air time", || {
        let files = ctl_json(&trees.lab, "member1.sock", &["files"]);
        let arriving = files["arriving"].as_array().expect("a member's blocks").clone();
        arriving.into_iter().find(|block| block["complete"] == true)
    });
    assert!(
        block["airs_in_ms"].as_u64() > Some(0) && block["arrived"] == block["bytes"],
        "{block}"
    );
    let files = ctl(&trees.lab, "member1.sock", &["files"]).stdout;
    assert!(files.contains("on air in") && files.contains("blocks waiting, "), "{files}");
}

#[test]
fn the_documents_tell_of_the_mesh() {
    let trees = Trees::grown(2);
    let root = http::status(trees.root.http())["mesh"][0].clone();
    assert_eq!((&root["role"], &root["members"]), (&"root".into(), &2.into()), "{root}");
    assert_eq!((&root["slots"], &root["slots_used"]), (&2.into(), &2.into()), "{root}");
    let metrics = http::get(trees.root.http(), "/metrics").body;
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("vidstreamd_mesh_members{channel=\"0\",role=\"root\"} 2\n"));
    let page = String::from_utf8(http::get(trees.members[0].http(), "/").body).expect("text");
    assert!(page.contains("Relay trees") && page.contains("member "), "{page}");
    let status = ctl(&trees.lab, "member0.sock", &["status"]).stdout;
    assert!(status.contains(&trees.root.listens("mesh").to_string()), "{status}");
}

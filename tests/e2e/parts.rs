//! Relays as real processes: a relay that is told to stop, and the sample configurations of server,
//! relay and client together, as they stand.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, skip, works};

fn mesh(slots: usize, roots: &[SocketAddr]) -> String {
    let roots: Vec<_> = roots.iter().map(ToString::to_string).collect();
    let roots = if roots.is_empty() { String::new() } else { format!("roots = {roots:?}\n") };
    format!(
        "[mesh]\nlisten = \"127.0.0.1:0\"\nslots = {slots}\nstripes = 4\nlead = \"3s\"\n{roots}"
    )
}

fn files(store: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(store) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    names.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    names.sort();
    names
}

fn stored(store: &Path, movie: &Movie) -> Vec<usize> {
    files(store).iter().map(|path| movie.index_of(&fs::read(path).unwrap())).collect()
}

fn wait_stored(store: &Path, blocks: usize) -> Vec<PathBuf> {
    eventually(SOON, &format!("{blocks} blocks in {}", store.display()), || {
        Some(files(store)).filter(|files| files.len() >= blocks)
    })
}

#[test]
fn a_relay_that_is_told_to_stop_hands_its_clients_over_first() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = lab.write("server.toml", Server::new(&lab, &["clip"]).text() + &mesh(3, &[]));
    let server = Daemon::start(&server);
    let above = server.listens("mesh");
    let relay = lab.write("relay.toml", "role = \"relay\"\n".to_owned() + &mesh(3, &[above]));
    let mut relay = Daemon::start(&relay);
    let roots = [relay.listens("mesh"), above];
    relay.wait_text(&format!("mesh: {above} gave us a place"));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let store = format!("[store]\ndirectory = \"store{n}\"\nkeep_blocks = 0\n");
            let text = format!("role = \"client\"\n{}{store}", mesh(2, &roots));
            let client = Daemon::start(&lab.write(&format!("client{n}.toml"), text));
            client.wait_text(&format!("mesh: {} gave us a place", roots[0]));
            (client, lab.path(&format!("store{n}")))
        })
        .collect();
    let before: Vec<_> = clients.iter().map(|(_, store)| wait_stored(store, 4).len()).collect();
    let began = Instant::now();
    relay.stop();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "2 s for its children, and some: {took:?}");
    for ((client, store), before) in clients.iter().zip(before) {
        wait_stored(store, before + 12);
        // By then the joins are over: what is missing from there on is missing because of the stop.
        let stored = stored(store, &movie).split_off(before - 1);
        let follows = stored.windows(2).all(|pair| movie.after(pair[0]) == pair[1]);
        assert!(follows, "a block is missing: {stored:?}");
        client.wait_text(&format!("mesh: {above} gave us a place"));
    }
}

/// `etc/` beside `movies/` in a folder of its own, so that blocks are stored there.
fn sample(lab: &Lab, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(lab.path("samples/etc")).unwrap();
    symlink(from.join("movies"), lab.path("samples/movies")).ok();
    for beside in ["music", "events"] {
        symlink(from.join("etc").join(beside), lab.path("samples/etc").join(beside)).ok();
    }
    let text = fs::read_to_string(from.join("etc").join(name)).unwrap();
    lab.write(&format!("samples/etc/{name}"), text)
}

#[test]
fn the_samples_work_together_as_they_stand() {
    if !works("unshare", &["-n", "true"]) || !works("sh", &["-c", "command -v nsenter ip"]) {
        return skip("this needs root and nsenter");
    }
    let lab = Lab::new();
    let own = |name: &str| {
        let folder = lab.path(name);
        fs::create_dir_all(&folder).unwrap();
        format!("RUNTIME_DIRECTORY={}", folder.display())
    };
    let up = "ip link set lo up && exec env \"$0\" \"$@\"";
    let run = own("run-server");
    let server =
        Daemon::start_by(&["unshare", "-n", "sh", "-c", up, &run], &sample(&lab, "server.toml"));
    let network = server.pid().to_string();
    let start = |name: &str, file: &Path| {
        let run = own(name);
        Daemon::start_by(&["nsenter", "-t", &network, "-n", "env", &run], file)
    };
    let relay = start("run-relay", &sample(&lab, "relay.toml"));
    relay.wait_text("mesh: 127.0.0.1:6061 gave us a place");
    let file = sample(&lab, "client.toml");
    let first = start("run-client", &file);
    first.wait_text("mesh: 127.0.0.1:6071 gave us a place");
    // A second client needs a copy with a store of its own, and no port.
    let text = fs::read_to_string(&file).unwrap().replace("../received", "../received2");
    let second = start("run-client2", &lab.write("samples/etc/client2.toml", text));
    second.wait_text("mesh: 127.0.0.1:6071 gave us a place");
    let movies: Vec<_> = ["received", "received2"]
        .map(|store| {
            let files = wait_stored(&lab.path(&format!("samples/{store}")), 2);
            files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
        })
        .into_iter()
        .collect();
    let clock = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies");
    let library: Vec<_> = walk(&clock).iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(movies.iter().flatten().all(|block| library.contains(block)), "the movie's own bytes");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

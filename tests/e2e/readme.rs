//! What the README promises: the sample configurations as they stand in the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::daemon::{Daemon, run};
use crate::harness::{SOON, eventually, skip, works};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_sample_configurations_are_right_as_they_stand() {
    for name in ["server", "relay", "client"] {
        let file = root().join("etc").join(format!("{name}.toml"));
        let done = run(&["--check", "-c", file.to_str().unwrap()], "/".as_ref());
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);
    }
}

/// A listener as a person would start it, inside the network of a process.
fn listen(network: &str, into: &Path) -> Child {
    Command::new("nsenter")
        .args(["-t", network, "-n", "timeout", "30", "nc", "-l", "127.0.0.1", "9091"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(into).unwrap())
        .spawn()
        .expect("nsenter and nc")
}

/// Every block of the repository's movies.
fn demo_blocks(folder: &Path) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    for entry in fs::read_dir(folder).expect("the demo movies") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            blocks.extend(demo_blocks(&path));
        } else if path.extension().is_some_and(|e| e == "mkv" || e == "mp4" || e == "ts") {
            blocks.push(fs::read(path).unwrap());
        }
    }
    blocks
}

/// `printf 100 | nc 127.0.0.1 6060` with a listener on 9091 prints 10, then blocks of `movies/`.
#[test]
fn netcat_gets_10_and_then_blocks_of_the_movies_folder() {
    if !works("unshare", &["-n", "true"]) || !works("sh", &["-c", "command -v nc nsenter ip"]) {
        return skip("this needs root, nc and nsenter");
    }
    let directory = tempfile::tempdir().unwrap();
    let up = "ip link set lo up && exec env \"RUNTIME_DIRECTORY=$0\" \"$@\"";
    let runtime = directory.path().to_str().unwrap();
    let before = ["unshare", "-n", "sh", "-c", up, runtime];
    let daemon = Daemon::start_by(&before, &root().join("etc/server.toml"));
    let network = daemon.pid().to_string();
    let first = directory.path().join("reply");
    let mut listener = listen(&network, &first);
    let join = "printf 100 | nc -w 5 127.0.0.1 6060";
    let joined =
        Command::new("nsenter").args(["-t", &network, "-n", "sh", "-c", join]).output().unwrap();
    assert!(joined.status.success(), "{joined:?}");
    let ended = |child: &mut Child| {
        eventually(SOON, "nc's end", || child.try_wait().unwrap());
    };
    ended(&mut listener);
    assert_eq!(fs::read(&first).unwrap(), b"10");
    let blocks = demo_blocks(&root().join("movies"));
    for index in 0..2 {
        let into = directory.path().join(format!("block{index}"));
        let mut listener = listen(&network, &into);
        ended(&mut listener);
        let block = fs::read(&into).unwrap();
        assert!(blocks.contains(&block), "{} bytes that are no block of movies/", block.len());
    }
}

//! The relay trees with real processes on loopback: who receives from whom is the planner's, what
//! arrives must be every block of the channel, byte for byte, whoever dies meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, Movie};
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, http};

fn root(lab: &Lab, slots: usize) -> Daemon {
    let text = Server::new(lab, &["clip"]).text();
    let mesh =
        format!("[mesh]\nlisten = \"127.0.0.1:0\"\nslots = {slots}\nstripes = 4\nlead = \"3s\"\n");
    Daemon::start(&lab.write("root.toml", text + &mesh))
}

/// A client of a mesh with a store of its own.
struct Member {
    daemon: Daemon,
    store: PathBuf,
}

impl Member {
    fn start(lab: &Lab, number: usize, root: SocketAddr, slots: usize) -> Self {
        let store = format!("store{number}");
        let text = format!(
            "role = \"client\"\n[mesh]\nlisten = \"127.0.0.1:0\"\nslots = {slots}\n\
             roots = [\"{root}\"]\n[store]\ndirectory = \"{store}\"\nkeep_blocks = 0\n\
             [http]\nlisten = \"127.0.0.1:0\"\n"
        );
        let daemon = Daemon::start(&lab.write(&format!("member{number}.toml"), text));
        Self { daemon, store: lab.path(&store) }
    }

    /// The blocks stored so far, as numbers in the movie.
    fn stored(&self, movie: &Movie) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(&self.store) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "mkv"));
        names.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
        names.sort();
        names.iter().map(|path| movie.index_of(&fs::read(path).unwrap())).collect()
    }

    fn wait_stored(&self, movie: &Movie, blocks: usize) -> Vec<usize> {
        eventually(SOON, &format!("{blocks} blocks in {}", self.store.display()), || {
            Some(self.stored(movie)).filter(|stored| stored.len() >= blocks)
        })
    }
}

fn assert_complete(movie: &Movie, stored: &[usize]) {
    let follows = stored.windows(2).all(|w| movie.after(w[0]) == w[1]);
    assert!(follows, "a block is missing: {stored:?}");
}

#[test]
fn members_carry_every_block_to_each_other() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = root(&lab, 2);
    let mesh = server.listens("mesh");
    let members: Vec<_> = (0..6).map(|n| Member::start(&lab, n, mesh, 2)).collect();
    for member in &members {
        let stored = member.wait_stored(&movie, 4);
        assert_complete(&movie, &stored);
    }
    let live = http::get(members[5].daemon.http(), "/ch/0/blocks/live");
    movie.index_of(&live.body);
    for mut member in members {
        member.daemon.stop();
    }
}

#[test]
fn nobody_misses_a_block_when_a_member_is_killed() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = root(&lab, 2);
    let mesh = server.listens("mesh");
    let mut members: Vec<_> = (0..6).map(|n| Member::start(&lab, n, mesh, 2)).collect();
    for member in &members {
        member.wait_stored(&movie, 4);
    }
    // By now the joins are over: what is missing from here on is missing because of the kill.
    let before: Vec<_> = members.iter().map(|m| m.stored(&movie).len()).collect();
    members[0].daemon.kill();
    for (member, before) in members.iter().zip(before).skip(1) {
        let stored = member.wait_stored(&movie, before + 12);
        assert_complete(&movie, &stored[before - 1..]);
    }
}

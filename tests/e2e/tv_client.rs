//! The daemon as a client: at the original server, at our own, and when its server fails it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{self, LASTS, Lab, Movie};
use crate::harness::original_server::{OriginalServer, Programme};
use crate::harness::setup::{Client, Server};
use crate::harness::viewer::{Viewer, command, count, reset};
use crate::harness::{SOON, eventually, http};

fn programme(lab: &Lab, movie: &Movie) -> Programme {
    Programme {
        channels: vec![movie.blocks.clone()],
        callback_port: lab.callback_port,
        period: LASTS,
        max_clients: 1,
        slowness: Duration::ZERO,
    }
}

/// Names of the whole blocks in a store, sorted.
fn stored(store: &Path, extension: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(store) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().expect("ASCII names"))
        .filter(|name| name.ends_with(&format!(".{extension}")) && !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Waits until a store has so many blocks; returns their names.
fn wait_stored(store: &Path, blocks: usize) -> Vec<String> {
    eventually(SOON, &format!("{blocks} blocks in {}", store.display()), || {
        Some(stored(store, "mkv")).filter(|names| names.len() >= blocks)
    })
}

/// Checks the form `<channel>_<NNNNN>.mkv`, that the numbers follow each other, and every byte.
fn check_store(store: &Path, names: &[String], movie: &Movie, channel: u8) -> Vec<usize> {
    let number = |name: &str| -> u32 {
        let (head, tail) = name.split_once('_').expect("an underscore");
        assert_eq!(head, channel.to_string(), "{name}");
        let digits = tail.strip_suffix(".mkv").expect("sniffed as mkv");
        assert!(digits.len() >= 5 && digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
        digits.parse().expect("digits")
    };
    let numbers: Vec<_> = names.iter().map(|name| number(name)).collect();
    assert!(numbers.windows(2).all(|w| w[0] + 1 == w[1]), "{names:?}");
    names.iter().map(|name| movie.index_of(&fs::read(store.join(name)).unwrap())).collect()
}

fn assert_consecutive(movie: &Movie, indexes: &[usize]) {
    indexes.windows(2).for_each(|w| movie.assert_follows(w[0], w[1]));
}

#[test]
fn the_client_stores_what_the_original_server_sends() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 9, 30_000);
    let server = OriginalServer::start(0, programme(&lab, &movie));
    let setup = Client::new(&lab, server.address);
    let mut client = Daemon::start(&setup.write(&lab));
    let store = lab.path("store");
    let names = wait_stored(&store, 4);
    let indexes = check_store(&store, &names, &movie, 0);
    assert_consecutive(&movie, &indexes);
    assert_eq!(server.listed(0), [setup.address]);
    client.stop();
    assert_eq!(server.listed(0).len(), 0, "it left with 12");
}

#[test]
fn the_client_stores_what_our_server_sends() {
    let lab = Lab::new();
    let movie = lab.movie("clip", 9, 30_000);
    let server = Daemon::start(&Server::new(&lab, &["clip", "clip"]).write(&lab));
    let mut setup = Client::new(&lab, server.tv());
    setup.channel = 1;
    let mut client = Daemon::start(&setup.write(&lab));
    let store = lab.path("store");
    let names = wait_stored(&store, 4);
    let indexes = check_store(&store, &names, &movie, 1);
    assert_consecutive(&movie, &indexes);
    assert_eq!((count(server.tv(), 0), count(server.tv(), 1)), (0, 1));
    client.stop();
    assert_eq!(count(server.tv(), 1), 0, "it left with 12");
    let later = stored(&store, "mkv").len();
    assert!(later >= names.len(), "what was stored stays");
    assert_eq!(stored(&store, "mkv").len(), fs::read_dir(&store).unwrap().count(), "and only that");
}

#[test]
fn the_client_tells_blocks_apart_by_their_bytes() {
    let kinds = [
        (Movie::new("stream", 6, 188 * 150).of_ts(), "ts"),
        (Movie::new("boxes", 6, 30_000).of_mp4(), "mp4"),
    ];
    for (movie, extension) in kinds {
        let lab = Lab::new();
        let movie = movie.write(&lab.movies());
        let server = Daemon::start(&Server::new(&lab, &[&movie.name]).write(&lab));
        let _client = Daemon::start(&Client::new(&lab, server.tv()).write(&lab));
        let store = lab.path("store");
        let name = eventually(SOON, extension, || stored(&store, extension).first().cloned());
        movie.index_of(&fs::read(store.join(name)).unwrap());
    }
}

#[test]
fn the_client_shows_its_list_of_files() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let client = Daemon::start(&Client::new(&lab, server.tv()).write(&lab));
    let store = lab.path("store");
    wait_stored(&store, 2);
    let status = eventually(SOON, "two files in the status", || {
        let status = http::status(client.http());
        (status["store"]["blocks"].as_u64() >= Some(2)).then_some(status)
    });
    let files = status["store"]["files"].as_array().expect("a list of files");
    for file in files {
        let bytes = fs::read(store.join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], bytes.len());
        movie.index_of(&bytes);
    }
    assert_eq!(status["receive"]["server"], server.tv().to_string());
    assert_eq!(status["receive"]["channel"], 0);
}

#[test]
fn the_client_joins_again_when_our_server_comes_back() {
    let lab = Lab::new();
    let movie = lab.clip();
    let mut setup = Server::new(&lab, &["clip"]);
    let mut server = Daemon::start(&setup.write(&lab));
    let address = server.tv();
    let _client = Daemon::start(&Client::new(&lab, address).write(&lab));
    let store = lab.path("store");
    let before = wait_stored(&store, 2).len();
    server.kill();
    setup.tv_listen = address.to_string();
    let server = Daemon::start(&setup.write(&lab));
    eventually(SOON * 2, "the client again", || (count(server.tv(), 0) == 1).then_some(()));
    let names = wait_stored(&store, before + 3);
    check_store(&store, &names, &movie, 0);
}

#[test]
fn the_client_joins_again_when_the_original_server_comes_back() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 9, 30_000);
    let server = OriginalServer::start(0, programme(&lab, &movie));
    let address = server.address;
    let setup = Client::new(&lab, address);
    let _client = Daemon::start(&setup.write(&lab));
    let store = lab.path("store");
    let before = wait_stored(&store, 2).len();
    drop(server);
    let server = OriginalServer::start(address.port(), programme(&lab, &movie));
    eventually(SOON * 2, "the client again", || (server.listed(0).len() == 1).then_some(()));
    let names = wait_stored(&store, before + 3);
    check_store(&store, &names, &movie, 0);
}

#[test]
fn the_client_joins_again_when_blocks_stop() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 9, 30_000);
    let server = OriginalServer::start(0, programme(&lab, &movie));
    let setup = Client::new(&lab, server.address);
    let _client = Daemon::start(&setup.write(&lab));
    let store = lab.path("store");
    let before = wait_stored(&store, 2).len();
    // As if another program of that machine had left in its name.
    server.take_out(0, setup.address);
    eventually(SOON, "a second join", || (server.joins() >= 2).then_some(()));
    wait_stored(&store, before + 2);
}

#[test]
fn the_client_starts_before_its_server() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 9, 30_000);
    let address = OriginalServer::start(0, programme(&lab, &movie)).address;
    let _client = Daemon::start(&Client::new(&lab, address).write(&lab));
    let _server = OriginalServer::start(address.port(), programme(&lab, &movie));
    wait_stored(&lab.path("store"), 1);
}

#[test]
fn the_client_asks_again_after_00() {
    let lab = Lab::new();
    lab.clip();
    let mut setup = Server::new(&lab, &["clip"]);
    setup.channels[0].max_clients = 1;
    let server = Daemon::start(&setup.write(&lab));
    let inside = Viewer::joined(&lab, server.tv(), 0);
    let client = Client::new(&lab, server.tv());
    let _client = Daemon::start(&client.write(&lab));
    eventually(SOON, "two refusals", || {
        (http::status(server.http())["tv"]["full"].as_u64() >= Some(2)).then_some(())
    });
    assert_eq!(stored(&lab.path("store"), "mkv").len(), 0);
    inside.command(server.tv(), "120");
    wait_stored(&lab.path("store"), 1);
    let list = format!("['{}']", client.address);
    assert_eq!(command(server.tv(), lab::address(), b"110"), list.as_bytes());
}

#[test]
fn the_client_keeps_as_many_blocks_as_it_is_told() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let mut setup = Client::new(&lab, server.tv());
    setup.keep_blocks = 2;
    let client = Daemon::start(&setup.write(&lab));
    eventually(SOON, "five blocks stored", || {
        (http::status(client.http())["store"]["stored"].as_u64() >= Some(5)).then_some(())
    });
    let store = lab.path("store");
    let names = eventually(SOON, "only two left", || {
        Some(stored(&store, "mkv")).filter(|names| names.len() <= 2)
    });
    for name in names {
        // It may be removed between the listing and the reading.
        if let Ok(bytes) = fs::read(store.join(name)) {
            movie.index_of(&bytes);
        }
    }
}

#[test]
fn a_client_that_starts_again_overwrites_nothing() {
    let lab = Lab::new();
    let movie = lab.clip();
    let server = Daemon::start(&Server::new(&lab, &["clip"]).write(&lab));
    let config = Client::new(&lab, server.tv()).write(&lab);
    let store = lab.path("store");
    let mut client = Daemon::start(&config);
    wait_stored(&store, 2);
    client.stop();
    let names = stored(&store, "mkv");
    let old: Vec<_> = names.iter().map(|name| fs::read(store.join(name)).unwrap()).collect();
    let _client = Daemon::start(&config);
    wait_stored(&store, names.len() + 2);
    for (name, bytes) in names.iter().zip(old) {
        assert!(fs::read(store.join(name)).unwrap() == bytes, "{name} was overwritten");
    }
    check_store(&store, &stored(&store, "mkv"), &movie, 0);
}

/// Dials a client back as its server; the connection ends well, or by a reset.
fn call_back(client: &Client, bytes: &[u8], well: bool) {
    let to = SocketAddrV4::new(client.address, client.callback_port);
    let mut stream = TcpStream::connect(to).expect("the client listens before it sends");
    stream.write_all(bytes).expect("the client reads");
    if !well {
        reset(stream);
    }
}

#[test]
fn a_block_that_breaks_off_is_not_stored() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 3, 300_000);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = Client::new(&lab, server.local_addr().unwrap());
    setup.period = "10s".to_owned();
    let _client = Daemon::start(&setup.write(&lab));
    let mut command = [0; 3];
    server.accept().unwrap().0.read_exact(&mut command).unwrap();
    assert_eq!(&command, b"100");
    call_back(&setup, b"10", true);
    call_back(&setup, &movie.blocks[0], true);
    call_back(&setup, &movie.blocks[1][..200_000], false);
    call_back(&setup, b"", true);
    call_back(&setup, &movie.blocks[2], true);
    let store = lab.path("store");
    let names = wait_stored(&store, 2);
    assert_eq!(check_store(&store, &names, &movie, 0), [0, 2]);
}

#[test]
fn blocks_at_the_same_time_are_kept_apart() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 4, 300_000);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = Client::new(&lab, server.local_addr().unwrap());
    setup.period = "10s".to_owned();
    let _client = Daemon::start(&setup.write(&lab));
    let _command = server.accept().unwrap();
    call_back(&setup, b"10", true);
    thread::scope(|scope| {
        for block in &movie.blocks {
            scope.spawn(|| call_back(&setup, block, true));
        }
    });
    let store = lab.path("store");
    let names = wait_stored(&store, 4);
    let mut indexes = check_store(&store, &names, &movie, 0);
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2, 3]);
}

#[test]
fn the_client_takes_blocks_from_its_server_only() {
    let lab = Lab::new();
    let movie = Movie::new("clip", 9, 30_000);
    let server = OriginalServer::start(0, programme(&lab, &movie));
    let setup = Client::new(&lab, server.address);
    let client = Daemon::start(&setup.write(&lab));
    wait_stored(&lab.path("store"), 1);
    let forged = Movie::new("forged", 1, 30_000);
    let door = client.listens("tv-receive");
    command(door, lab::address(), &forged.blocks[0]);
    let store = lab.path("store");
    let seen = stored(&store, "mkv").len();
    for name in wait_stored(&store, seen + 2) {
        movie.index_of(&fs::read(store.join(&name)).unwrap());
    }
}

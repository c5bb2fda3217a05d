//! Whole nodes of each role, driven through the contract only. `world` is everything around them.

mod trees;
mod world;

use core::time::Duration;

use super::*;

use world::{Content, World, catalog};

const LASTS: Duration = Duration::from_secs(2);
const LEN: u64 = 900_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn movies() -> Catalog {
    catalog(&[("a", 5, LASTS), ("b", 3, LASTS), ("f", 2, LASTS)])
}

/// A world whose libraries hold all blocks of [`movies`], each of its own length.
fn world() -> World {
    let blocks = [("a", 5), ("b", 3), ("f", 2)].into_iter();
    let names = blocks.flat_map(|(m, n)| (0..n).map(move |i| format!("{m}_{i:05}.mkv")));
    World::new(names.zip(LEN..))
}

fn server_text(address: &str, channels: &[&str]) -> String {
    let channel = |(number, movie): (usize, &&str)| {
        format!(
            "[[channel]]\nnumber = {number}\nname = \"{movie}\"\nplaylist = [\"{movie}\"]\n\
             repeat = true\nepoch = 2026-01-01T00:00:00Z\nfiller = \"f\"\n"
        )
    };
    let channels: Vec<_> = channels.iter().enumerate().map(channel).collect();
    format!(
        "role = \"server\"\n[library]\ndirectory = \"movies\"\n\
         [tv]\nlisten = \"{address}:6060\"\n[http]\nlisten = \"{address}:6080\"\n\
         [log]\nlevel = \"debug\"\n{}",
        channels.concat()
    )
}

fn client_text(address: &str, source: &str) -> String {
    format!(
        "role = \"client\"\nsource = \"tv://{source}\"\n[receive]\nlisten = \"{address}:9091\"\n\
         [store]\ndirectory = \"received\"\nkeep_blocks = 100\n\
         [http]\nlisten = \"{address}:6080\"\n[log]\nlevel = \"debug\"\n"
    )
}

fn relay_text(address: &str, source: &str) -> String {
    format!(
        "role = \"relay\"\nsource = \"tv://{source}\"\n[receive]\nlisten = \"{address}:9091\"\n\
         [tv]\nlisten = \"{address}:6060\"\n[http]\nlisten = \"{address}:6080\"\n"
    )
}

/// A server with channels of these movies at 127.0.0.1.
fn server(world: &mut World, channels: &[&str]) -> usize {
    world.start(&server_text("127.0.0.1", channels), &movies())
}

fn client(world: &mut World, address: &str, source: &str) -> usize {
    world.start(&client_text(address, source), &Catalog::default())
}

/// The blocks that a client has stored, in order: which file each is, byte by byte.
fn stored(world: &World, host: usize) -> Vec<String> {
    let known = |content: &Content| {
        let is = |(name, len): &(&String, &u64)| *content == Content::file(name, **len);
        let found = world.files.iter().find(is).unwrap_or_else(|| panic!("no file: {content:?}"));
        found.0.clone()
    };
    world.hosts[host].stored.values().map(known).collect()
}

/// The file after another in its movie.
fn after(file: &str) -> String {
    let (stem, number) = (&file[..1], file[2..7].parse::<u32>().unwrap());
    let blocks = if stem == "a" { 5 } else { 3 };
    format!("{stem}_{:05}.mkv", (number + 1) % blocks)
}

#[test]
fn a_client_gets_the_very_bytes_that_the_server_airs() {
    let mut world = world();
    let server = server(&mut world, &["a", "b"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/1");
    world.run(ms(20_500));
    let files = stored(&world, client);
    assert!(files.len() >= 10, "{files:?}");
    assert!(files.windows(2).all(|pair| pair[1] == after(&pair[0])), "{files:?}");
    assert!(files.iter().all(|file| file.starts_with("b_")), "{files:?}");
    let live = world.hosts[server].live(1).unwrap().1;
    assert_eq!(files.last(), Some(&live), "the newest is on the air");
    assert_eq!(world.command("127.0.0.1:6060", "111"), "['127.0.0.2']");
    let sent = world.http(server, "GET /ch/1/blocks/live");
    let got = world.http(client, "GET /ch/0/blocks/live");
    assert_eq!((sent.status, got.status), (200, 200));
    assert_eq!(sent.body, got.body);
    assert_eq!(sent.body, Content::file(&live, world.files[&live]));
}

#[test]
fn a_relay_passes_the_blocks_on() {
    let mut world = world();
    server(&mut world, &["a"]);
    let text = relay_text("127.0.0.2", "127.0.0.1:6060/0");
    let relay = world.start(&text, &Catalog::default());
    let far = client(&mut world, "127.0.0.3", "127.0.0.2:6060/0");
    world.run(ms(20_000));
    let files = stored(&world, far);
    assert!(files.len() >= 8, "{files:?}");
    assert!(files.windows(2).all(|pair| pair[1] == after(&pair[0])), "{files:?}");
    assert_eq!(world.command("127.0.0.1:6060", "110"), "['127.0.0.2']");
    assert_eq!(world.command("127.0.0.2:6060", "110"), "['127.0.0.3']");
    for host in [far, relay] {
        world.stop(host);
        world.run(ms(3000));
        world.hosts[host].check_empty();
    }
}

#[test]
fn a_hundred_clients_get_every_block_when_it_airs() {
    let mut world = world();
    let server = server(&mut world, &["a", "b"]);
    world.reload(
        server,
        &server_text("127.0.0.1", &["a", "b"]).replace(
            "[tv]\n",
            "[tv]\n\
         max_clients = 50\n",
        ),
        &movies(),
    );
    let clients: Vec<_> = (2..102)
        .map(|n| client(&mut world, &format!("127.0.0.{n}"), &format!("127.0.0.1:6060/{}", n % 2)))
        .collect();
    world.run(ms(1500));
    for seconds in 1..10 {
        world.run(LASTS);
        for client in &clients {
            assert_eq!(stored(&world, *client).len(), 1 + seconds, "after {seconds} blocks");
        }
    }
    let tv = world.hosts[server].node.status().tv.unwrap();
    assert_eq!((tv.clients, tv.strikes, tv.full, tv.blocks_sent), (100, 0, 0, 1000));
}

#[test]
fn two_nodes_with_the_same_files_air_the_same_at_the_same_moment() {
    let mut world = world();
    let one = server(&mut world, &["a", "b"]);
    world.run(ms(3333));
    let other = world.start(&server_text("127.0.0.2", &["a", "b"]), &movies());
    for _ in 0..20 {
        world.run(ms(777));
        for channel in 0..2 {
            let path = format!("GET /ch/{channel}/blocks/live");
            let [a, b] = &world.http_at_once(&[one, other], &path)[..] else { panic!("two") };
            assert_eq!((a.status, b.status), (200, 200));
            for name in ["etag", "content-location", "last-modified", "content-length"] {
                assert!(a.header(name).is_some(), "{name}");
                assert_eq!(a.header(name), b.header(name), "{name}");
            }
            assert_eq!(a.body, b.body);
        }
    }
}

#[test]
fn a_node_that_starts_again_is_where_the_clock_says() {
    let mut world = world();
    let one = server(&mut world, &["a"]);
    world.run(ms(5000));
    let (seq, _) = world.hosts[one].live(0).unwrap();
    world.kill(one);
    world.run(ms(60_000));
    let again = server(&mut world, &["a"]);
    assert_eq!(world.hosts[again].live(0).map(|(seq, _)| seq), Some(seq + 30));
    assert!(!world.hosts[again].lines.iter().any(|(level, _)| *level <= Level::Warn));
}

#[test]
fn a_client_comes_back_when_its_server_does() {
    let mut world = world();
    let one = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(8000));
    world.kill(one);
    world.run(ms(30_000));
    let before = stored(&world, client).len();
    server(&mut world, &["a"]);
    world.run(ms(20_000));
    let files = stored(&world, client);
    assert!(files.len() > before + 4, "{before} {files:?}");
    assert!(
        world.hosts[client].is_logged("no block for") && world.hosts[client].is_logged("asking")
    );
}

#[test]
fn what_is_no_movie_is_said_to_players_once_a_block_and_leaves_nothing_behind() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    world.run(ms(3000));
    for _ in 0..2 {
        for path in ["/ch/0.ts", "/ch/0.mp4", "/ch/0.mkv"] {
            let answer = world.http(server, &format!("GET {path}"));
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.text().starts_with("byte "), "{path}: {}", answer.text());
        }
    }
    // All that a playlist can list are gaps.
    let list = world.http(server, "GET /ch/0/index.m3u8").text();
    assert_eq!(list.matches("#EXT-X-GAP\n").count(), 6, "{list}");
    let told = |world: &World, part: &str| {
        world.hosts[server].lines.iter().filter(|(_, line)| line.contains(part)).count()
    };
    assert_eq!(told(&world, "not for players"), 5 + 2, "each block of the movie and the filler");
    world.http(server, "GET /status.json");
    world.run(ms(100));
    let movies = world.hosts[server].node.status().movies;
    let names: Vec<_> = movies.iter().map(|movie| movie.name.as_str()).collect();
    assert_eq!(names, ["a", "f"]);
    let why = |output: &crate::base::status::OutputStatus| output.why_not.is_some();
    assert!(movies.iter().all(|m| m.outputs.as_ref().is_some_and(|o| o.iter().all(why))));
    assert_eq!(told(&world, "filler f is not for all players"), 1);
    world.stop(server);
    world.run(ms(3100));
    world.hosts[server].check_empty();
}

// Stopping.

#[test]
fn a_stopped_server_drains_and_holds_nothing() {
    let mut world = world();
    let server = server(&mut world, &["a", "b"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(9000));
    let before = stored(&world, client).len();
    world.stop(server);
    world.run(ms(3100));
    world.hosts[server].check_empty();
    assert_eq!(stored(&world, client).len(), before, "nothing new went out");
}

#[test]
fn a_stop_lets_the_block_that_is_under_way_arrive() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    let before = stored(&world, client);
    let start = world.hosts[server].live(0);
    while world.hosts[server].live(0) == start {
        world.run(ms(1));
    }
    world.run(ms(2));
    assert_eq!(stored(&world, client), before, "the next one is on its way");
    world.stop(server);
    world.run(ms(3100));
    world.hosts[server].check_empty();
    assert_eq!(stored(&world, client).len(), before.len() + 1);
}

#[test]
fn a_stopped_client_leaves_and_holds_nothing() {
    let mut world = world();
    server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5001));
    world.stop(client);
    world.run(ms(100));
    world.hosts[client].check_empty();
    assert_eq!(world.command("127.0.0.1:6060", "110"), "[]");
}

#[test]
fn a_client_whose_server_is_dead_stops_within_a_second() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    world.kill(server);
    world.stop(client);
    world.run(ms(1001));
    world.hosts[client].check_empty();
}

#[test]
fn a_second_stop_does_not_wait() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let silent = world.hosts[server].node.cx.peers.len();
    world.run(ms(10));
    let peer = "127.0.0.9:1".parse().unwrap();
    let now = world.now(server);
    let input = Input::Incoming { service: Service::Tv, local: None, peer: Some(peer) };
    let node = &mut world.hosts[server].node;
    node.handle_input(now, input);
    while let Some(output) = node.poll_output() {
        assert!(matches!(output, Output::Accept { .. }));
    }
    assert_eq!(node.cx.peers.len(), silent + 1);
    world.stop(server);
    assert!(!world.hosts[server].done, "somebody is connected");
    world.stop(server);
    assert!(world.hosts[server].done);
    let last = world.hosts[server].node.cx.blobs.len();
    assert_eq!(last, 0, "blocks are given up all the same");
}

#[test]
fn a_stop_has_an_end_whoever_holds_on() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let now = world.now(server);
    let peer = "127.0.0.9:1".parse().unwrap();
    let input = Input::Incoming { service: Service::Tv, local: None, peer: Some(peer) };
    world.hosts[server].node.handle_input(now, input);
    while world.hosts[server].node.poll_output().is_some() {}
    world.stop(server);
    world.run(ms(2990));
    assert!(!world.hosts[server].done);
    world.run(ms(11));
    assert!(world.hosts[server].done);
}

// Reloading.

#[test]
fn a_reload_adds_a_channel_and_removes_it_again() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let stays = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    let comes = client(&mut world, "127.0.0.3", "127.0.0.1:6060/1");
    world.run(ms(5000));
    assert!(stored(&world, comes).is_empty());
    assert!(world.hosts[comes].is_logged("full or does not exist"));
    world.reload(server, &server_text("127.0.0.1", &["a", "b"]), &movies());
    world.run(ms(15_000));
    let files = stored(&world, comes);
    assert!(files.len() >= 3 && files.iter().all(|f| f.starts_with("b_")), "{files:?}");
    world.reload(server, &server_text("127.0.0.1", &["a"]), &movies());
    assert_eq!(world.http(server, "GET /ch/1/blocks/live").status, 404);
    let before = stored(&world, comes).len();
    world.run(ms(10_000));
    assert_eq!(stored(&world, comes).len(), before);
    assert_eq!(world.command("127.0.0.1:6060", "111"), "", "there is no such channel");
    let files = stored(&world, stays);
    assert!(files.len() >= 15 && files.windows(2).all(|p| p[1] == after(&p[0])), "{files:?}");
    world.stop(server);
    world.run(ms(3100));
    world.hosts[server].check_empty();
}

#[test]
fn a_reload_changes_a_programme_at_once() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    world.reload(server, &server_text("127.0.0.1", &["b"]), &movies());
    assert!(world.hosts[server].live(0).unwrap().1.starts_with("b_"));
    world.run(ms(100));
    assert!(stored(&world, client).last().unwrap().starts_with("b_"));
    world.reload(server, &server_text("127.0.0.1", &["b"]), &movies());
    let live = world.hosts[server].live(0);
    world.run(ms(1));
    assert_eq!(world.hosts[server].live(0), live, "and keeps what has not changed");
}

#[test]
fn a_reload_switches_services_off_and_on() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    let text = server_text("127.0.0.1", &["a"]);
    let without = text.replace("[tv]\nlisten = \"127.0.0.1:6060\"\n", "");
    world.reload(server, &without, &movies());
    world.run(ms(5000));
    assert!(world.hosts[server].node.tv.is_none());
    world.reload(server, &text, &movies());
    world.run(ms(30_000));
    assert_eq!(world.command("127.0.0.1:6060", "110"), "['127.0.0.2']");
    assert_eq!(stored(&world, client).last(), Some(&world.hosts[server].live(0).unwrap().1));
    let without = text.replace("[http]\nlisten = \"127.0.0.1:6080\"\n", "");
    world.reload(server, &without, &movies());
    assert!(world.hosts[server].node.http.is_none());
    world.reload(server, &text, &movies());
    assert_eq!(world.http(server, "GET /healthz").status, 200);
    assert_eq!(world.hosts[server].node.status().node.reloads, 4);
}

#[test]
fn a_reload_does_not_hold_a_stop_up() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    let start = world.hosts[server].live(0);
    while world.hosts[server].live(0) == start {
        world.run(ms(1));
    }
    world.run(ms(1));
    world.stop(server);
    world.reload(server, &server_text("127.0.0.1", &["a", "b"]), &movies());
    world.run(ms(3100));
    world.hosts[server].check_empty();
}

// What is on the air.

#[test]
fn a_block_that_breaks_on_the_air_is_replaced_for_everyone() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(6500));
    let blob = world.hosts[server].node.channels[0].window.live().unwrap().blob;
    let (seq, _) = world.hosts[server].live(0).unwrap();
    world.fault(server, blob);
    let (again, file) = world.hosts[server].live(0).unwrap();
    assert_eq!((again, file.starts_with("f_")), (seq, true));
    world.run(ms(100));
    assert_eq!(stored(&world, client).last(), Some(&file));
    assert!(world.hosts[server].is_logged("shrank or broke; taken off"));
    assert_eq!(world.hosts[server].node.status().tv.unwrap().strikes, 0);
    world.run(LASTS);
    assert!(world.hosts[server].live(0).unwrap().1.starts_with("a_"));
    world.stop(server);
    world.run(ms(3100));
    world.hosts[server].check_empty();
}

#[test]
fn a_missing_block_is_replaced_and_logged_once_a_run() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    for block in 1..4 {
        world.hosts[server].missing.insert(format!("a_{block:05}.mkv"));
    }
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(20_500));
    let files = stored(&world, client);
    assert!(files.iter().filter(|file| file.starts_with("f_")).count() >= 5, "{files:?}");
    let told = world.hosts[server].lines.iter().filter(|(_, line)| line.contains("cannot be read"));
    assert!((2..=3).contains(&told.count()), "{:?}", world.hosts[server].lines);
}

#[test]
fn a_channel_follows_a_clock_that_is_set_a_day_off() {
    for off in [86_400_i64, -86_400] {
        let mut world = world();
        let server = server(&mut world, &["a"]);
        let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
        world.run(ms(6500));
        let (seq, _) = world.hosts[server].live(0).unwrap();
        let before = stored(&world, client).len();
        world.hosts[server].ahead = off * 1_000_000_000;
        world.run(ms(8000));
        let (now, _) = world.hosts[server].live(0).unwrap();
        assert_eq!(now, seq.checked_add_signed(4 + off / 2).unwrap(), "where the clock says");
        assert_eq!(stored(&world, client).len(), before + 4, "one after the other");
        let lines = &world.hosts[server].lines;
        let told = lines.iter().filter(|(_, line)| line.contains("the clock or the playlist"));
        assert_eq!(told.count(), 1, "{lines:?}");
    }
}

#[test]
fn a_full_store_is_told_once_and_nothing_else_suffers() {
    let mut world = world();
    server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(5000));
    world.hosts[client].full = true;
    world.run(ms(10_000));
    let grave = |world: &World| {
        world.hosts[client].lines.iter().filter(|(level, _)| *level == Level::Error).count()
    };
    assert_eq!(grave(&world), 1);
    assert_eq!(world.http(client, "GET /ch/0/blocks/live").status, 200);
    world.hosts[client].full = false;
    world.run(ms(5000));
    assert!(world.hosts[client].is_logged("blocks are stored again; 5 were not"));
    assert_eq!(grave(&world), 1);
}

// HTTP.

#[test]
fn a_block_has_its_own_address_for_as_long_as_it_is_kept() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let (first, _) = world.hosts[server].live(0).unwrap();
    world.run(LASTS * 20);
    let (seq, file) = world.hosts[server].live(0).unwrap();
    let live = world.http(server, "GET /ch/0/blocks/live");
    let path = format!("/ch/0/blocks/{seq}");
    assert_eq!(live.header("content-location"), Some(path.as_str()));
    assert_eq!(live.header("cache-control"), Some("no-store"));
    let block = world.http(server, &format!("GET {path}"));
    assert_eq!((block.status, &block.body), (200, &live.body));
    assert_eq!(block.body, Content::file(&file, world.files[&file]));
    assert!(block.header("cache-control").unwrap().contains("immutable"));
    assert_eq!((block.header("etag"), block.header("content-type")), {
        (live.header("etag"), Some("video/x-matroska"))
    });
    let head = world.http(server, &format!("HEAD {path}"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), block.header("content-length"));
    for (seq, status) in [(seq + 1, 404), (seq + 1000, 404), (first, 410), (0, 410)] {
        assert_eq!(world.http(server, &format!("GET /ch/0/blocks/{seq}")).status, status);
    }
    for path in ["/ch/1/blocks/live", "/ch/0/blocks/01", "/ch/0/blocks/x", "/ch/0"] {
        assert_eq!(world.http(server, &format!("GET {path}")).status, 404, "{path}");
    }
}

#[test]
fn a_block_that_was_left_out_is_gone() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    world.run(ms(4500));
    let (seq, _) = world.hosts[server].live(0).unwrap();
    world.hosts[server].ahead = 20_000_000_000;
    world.run(ms(4000));
    assert!(world.hosts[server].live(0).unwrap().0 > seq + 10);
    assert_eq!(world.http(server, &format!("GET /ch/0/blocks/{seq}")).status, 200);
    assert_eq!(world.http(server, &format!("GET /ch/0/blocks/{}", seq + 5)).status, 410);
}

#[test]
fn a_channel_with_nothing_on_says_so() {
    let mut world = world();
    let text = server_text("127.0.0.1", &["a"]).replace("2026-01-01", "2199-01-01");
    let server = world.start(&text, &movies());
    world.run(ms(1000));
    let answer = world.http(server, "GET /ch/0/blocks/live");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(world.http(server, "GET /ch/0/blocks/0").status, 404);
    assert!(world.hosts[server].is_logged("begins at 2199-01-01T00:00:00.000Z"));
    let status = world.http(server, "GET /status.json").text();
    assert!(status.contains("\"waiting\""), "{status}");
    assert_eq!(world.http(server, "GET /healthz").text(), "ok\n");
}

#[test]
fn the_status_tells_who_is_there() {
    let mut world = world();
    let server = server(&mut world, &["a"]);
    let client = client(&mut world, "127.0.0.2", "127.0.0.1:6060/0");
    world.run(ms(7000));
    let status = world.hosts[server].node.status();
    let tv = status.tv.unwrap();
    assert_eq!((tv.clients, tv.joins, tv.removed, tv.strikes, tv.dials), (1, 1, 0, 0, 0));
    assert_eq!((status.channels[0].viewers_tv, status.channels[0].state), (1, "on_air"));
    let blocks = stored(&world, client).len() as u64;
    assert_eq!((tv.blocks_sent, status.channels[0].blocks_replaced), (blocks, 0));
    let status = world.hosts[client].node.status();
    let receive = status.receive.unwrap();
    assert_eq!((receive.state, receive.joins, receive.blocks), ("watching", 1, blocks));
    assert_eq!((status.channels[0].blocks_aired, status.store.unwrap().stored), (blocks, blocks));
}

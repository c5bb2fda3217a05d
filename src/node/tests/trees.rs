//! The relay trees with whole nodes: every channel on one port, relays with clients below, servers
//! that stand in for each other, and the mesh under a tv server that knows nothing of it.

use super::world::Piece;
use super::*;

const LEN: u64 = 20_000;

/// Libraries of small blocks: all of them are really hashed here.
fn world() -> World {
    let blocks = [("a", 5), ("b", 3), ("f", 2)].into_iter();
    let names = blocks.flat_map(|(m, n)| (0..n).map(move |i| format!("{m}_{i:05}.mkv")));
    World::new(names.zip(LEN..))
}

fn movies() -> Catalog {
    catalog(&[("a", 5, LASTS), ("b", 3, LASTS), ("f", 2, LASTS)])
}

fn mesh_text(listen: &str, slots: usize, roots: &[&str]) -> String {
    let roots = if roots.is_empty() { String::new() } else { format!("roots = {roots:?}\n") };
    format!("[mesh]\nlisten = \"{listen}\"\nslots = {slots}\nstripes = 4\n{roots}")
}

/// A server of channels `a` and `b`, with a mesh.
fn root(world: &mut World, address: &str, slots: usize) -> usize {
    let text = server_text(address, &["a", "b"]);
    world.start(&(text + &mesh_text(&format!("{address}:6061"), slots, &[])), &movies())
}

fn member(world: &mut World, port: u16, roots: &[&str], more: &str) -> usize {
    let mesh = mesh_text(&format!("127.0.0.1:{port}"), 2, roots);
    let store = "[store]\ndirectory = \"received\"\nkeep_blocks = 0\n[log]\nlevel = \"debug\"\n";
    world.start(&format!("role = \"client\"\n{mesh}{more}{store}"), &Catalog::default())
}

fn relay(world: &mut World, port: u16, roots: &[&str]) -> usize {
    let mesh = mesh_text(&format!("127.0.0.1:{port}"), 3, roots);
    let text = format!("role = \"relay\"\n{mesh}[log]\nlevel = \"debug\"\n");
    world.start(&text, &Catalog::default())
}

/// Takes its channel from the tv server at 127.0.0.1, as the one client that this lets in or from
/// the mesh of that one.
fn fed(world: &mut World, address: &str) -> usize {
    let mesh = mesh_text(&format!("{address}:6061"), 3, &[]);
    world.start(&(client_text(address, "127.0.0.1:6060/0") + &mesh), &Catalog::default())
}

/// The numbers in the movie of the blocks that a client stored, each whole and right.
fn stored(world: &World, host: usize, movie: &str) -> Vec<u64> {
    let number = |content: &Content| match &content.0[..] {
        [Piece::File { name, from: 0, len }] if world.files.get(&**name) == Some(len) => {
            let number = name.strip_prefix(movie).and_then(|n| n.strip_suffix(".mkv"));
            number.and_then(|n| n[1..].parse().ok()).unwrap_or_else(|| panic!("{name}"))
        }
        other => panic!("no whole block: {other:?}"),
    };
    world.hosts[host].stored.values().map(number).collect()
}

fn check_complete(world: &World, host: usize, (movie, blocks): (&str, u64), least: usize) {
    let stored = stored(world, host, movie);
    let follows = stored.windows(2).all(|pair| (pair[0] + 1) % blocks == pair[1]);
    assert!(follows && stored.len() >= least, "host {host}: {stored:?}");
}

/// The same of each of these, which take channel `a`.
fn check_all(world: &World, hosts: &[usize], least: usize) {
    for host in hosts {
        check_complete(world, *host, ("a", 5), least);
    }
}

#[test]
fn one_port_carries_the_meshes_of_all_channels() {
    let mut world = world();
    let server = root(&mut world, "127.0.0.1", 2);
    let first = member(&mut world, 7001, &["127.0.0.1:6061"], "");
    let second = member(&mut world, 7002, &["127.0.0.1:6061"], "channel = 1\n");
    let third = member(&mut world, 7003, &["127.0.0.1:6061"], "channel = 1\n");
    let none = member(&mut world, 7004, &["127.0.0.1:6061"], "channel = 7\n");
    world.run(LASTS * 12);
    check_complete(&world, first, ("a", 5), 8);
    check_complete(&world, second, ("b", 3), 8);
    check_complete(&world, third, ("b", 3), 8);
    let members = |number: usize| {
        let trees = world.hosts[server].node.trees.as_ref().unwrap();
        trees.meshes().find(|(n, _)| *n == number).map(|(_, mesh)| mesh.members())
    };
    assert_eq!((members(0), members(1)), (Some(1), Some(2)));
    let lines = &world.hosts[none].lines;
    assert!(world.hosts[none].is_logged("these are channels 0 to 1, not"), "{lines:?}");
    assert_eq!(world.hosts[none].stored.len(), 0);
    for host in [none, third, second, first, server] {
        world.stop(host);
        world.run(LASTS * 3);
        world.hosts[host].check_empty();
    }
}

#[test]
fn a_relay_carries_every_block_to_its_clients_and_another_root_when_it_dies() {
    let mut world = world();
    let server = root(&mut world, "127.0.0.1", 3);
    let relay = relay(&mut world, 6071, &["127.0.0.1:6061"]);
    world.run(ms(1_000));
    let roots = ["127.0.0.1:6071", "127.0.0.1:6061"];
    let mut clients = Vec::new();
    for port in 7001..7007 {
        clients.push(member(&mut world, port, &roots, ""));
        world.run(ms(300));
    }
    world.run(LASTS * 10);
    check_all(&world, &clients, 7);
    let members = |world: &World, host: usize| {
        let trees = world.hosts[host].node.trees.as_ref().unwrap();
        trees.meshes().next().map_or(0, |(_, mesh)| mesh.members())
    };
    assert_eq!((members(&world, server), members(&world, relay)), (1, 6));
    world.crash(relay);
    world.run(LASTS * 12);
    check_all(&world, &clients, 19);
    assert_eq!(members(&world, server), 6);
}

#[test]
fn a_relay_that_is_told_to_stop_hands_its_clients_over_before_it_exits() {
    let mut world = world();
    root(&mut world, "127.0.0.1", 3);
    let relay = relay(&mut world, 6071, &["127.0.0.1:6061"]);
    world.run(ms(1_000));
    let roots = ["127.0.0.1:6071", "127.0.0.1:6061"];
    let clients: Vec<_> = (7001..7005).map(|p| member(&mut world, p, &roots, "")).collect();
    world.run(LASTS * 10);
    world.stop(relay);
    assert!(!world.hosts[relay].done, "it serves until they have moved");
    world.run(ms(2_300));
    world.hosts[relay].check_empty();
    for client in &clients {
        assert!(!world.hosts[*client].is_logged("is lost"), "all had moved");
    }
    world.run(LASTS * 8);
    check_all(&world, &clients, 14);
}

#[test]
fn two_servers_of_one_programme_stand_in_for_each_other() {
    let mut world = world();
    let first = root(&mut world, "127.0.0.1", 2);
    root(&mut world, "127.0.0.2", 2);
    let roots = ["127.0.0.1:6061", "127.0.0.2:6061"];
    let clients: Vec<_> = (7001..7005).map(|p| member(&mut world, p, &roots, "")).collect();
    world.run(LASTS * 8);
    world.crash(first);
    world.run(LASTS * 12);
    check_all(&world, &clients, 17);
}

#[test]
fn a_playlist_with_fewer_blocks_for_the_same_time_stalls_nobody() {
    let mut world = world();
    let text = |movie: &str| {
        let channel = server_text("127.0.0.1", &[movie]);
        channel + &mesh_text("127.0.0.1:6061", 2, &[])
    };
    let server = world.start(&text("a"), &movies());
    let relay = relay(&mut world, 6071, &["127.0.0.1:6061"]);
    world.run(ms(1_000));
    let direct = member(&mut world, 7001, &["127.0.0.1:6061"], "");
    let below = member(&mut world, 7002, &["127.0.0.1:6071"], "");
    world.run(LASTS * 8);
    // Blocks that last three times as long: a third of the number at any time.
    let longer = catalog(&[("a", 5, LASTS), ("b", 3, LASTS * 3), ("f", 2, LASTS)]);
    world.reload(server, &text("b"), &longer);
    world.run(LASTS * 12);
    let live = |host: usize| world.hosts[host].live(0).map(|live| live.1);
    for host in [direct, below, relay] {
        assert_eq!(live(host), live(server), "host {host}");
    }
    for host in [direct, below] {
        let stored = world.hosts[host].stored.len();
        world.run(LASTS * 9);
        assert!(world.hosts[host].stored.len() >= stored + 3, "host {host} goes on");
    }
}

#[test]
fn a_playlist_that_goes_on_as_it_was_is_the_same_run() {
    let mut world = world();
    let text = |movies: &str| {
        let channel = server_text("127.0.0.1", &["a"]).replace("[\"a\"]", movies);
        let channel = channel.replace("repeat = true", "repeat = false");
        // When this world begins.
        channel.replace("2026-01-01T00:00:00Z", "2027-01-15T08:00:00Z")
            + &mesh_text("127.0.0.1:6061", 2, &[])
    };
    let server = world.start(&text("[\"a\", \"a\", \"a\", \"a\"]"), &movies());
    let client = member(&mut world, 7001, &["127.0.0.1:6061"], "");
    world.run(LASTS * 6);
    world.reload(server, &text("[\"a\", \"a\", \"a\", \"a\", \"b\"]"), &movies());
    world.run(LASTS * 6);
    let lines = world.hosts[client].lines.iter();
    let places = lines.filter(|(_, line)| line.ends_with("gave us a place"));
    assert_eq!(places.count(), 1, "nothing has changed for it");
    check_complete(&world, client, ("a", 5), 8);
}

#[test]
fn roots_whose_names_come_up_later_are_found_then() {
    let mut world = world();
    root(&mut world, "127.0.0.1", 2);
    let client = member(&mut world, 7001, &["later.example.org"], "");
    world.run(ms(3_000));
    assert_eq!(world.hosts[client].stored.len(), 0);
    world.look_up(client, vec!["127.0.0.1:6061".parse().unwrap()]);
    world.run(LASTS * 8);
    check_complete(&world, client, ("a", 5), 4);
}

/// A tv server without a mesh that has room for one client, and three nodes that want it.
fn under_a_tv_server() -> (World, [usize; 3]) {
    let mut world = world();
    let text = server_text("127.0.0.1", &["a"]).replace("filler", "max_clients = 1\nfiller");
    world.start(&text, &movies());
    let nodes = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|address| {
        let node = fed(&mut world, address);
        world.run(ms(500));
        node
    });
    (world, nodes)
}

fn is_root(world: &World, host: usize) -> bool {
    let trees = world.hosts[host].node.trees.as_ref().unwrap();
    trees.meshes().any(|(_, mesh)| mesh.is_root())
}

#[test]
fn the_first_that_a_tv_server_lets_in_is_the_root_of_the_others() {
    let (mut world, nodes) = under_a_tv_server();
    world.run(LASTS * 10);
    assert_eq!(nodes.map(|node| is_root(&world, node)), [true, false, false]);
    assert_eq!(world.command("127.0.0.1:6060", "130"), "1", "the tv server feeds one");
    check_all(&world, &nodes, 6);
    for _ in 0..7 {
        world.run(ms(700));
        let live = nodes.map(|node| world.hosts[node].live(0));
        assert!(live[0].is_some() && live[0] == live[1] && live[1] == live[2], "{live:?}");
    }
    let file = |world: &World, node: usize| world.hosts[node].live(0).unwrap().1;
    assert!(file(&world, nodes[1]).starts_with("live_"), "{}", file(&world, nodes[1]));
    for node in nodes.into_iter().rev() {
        world.stop(node);
        world.run(LASTS * 3);
        world.hosts[node].check_empty();
    }
}

#[test]
fn when_that_root_dies_the_first_that_is_let_in_is_the_next() {
    let (mut world, nodes) = under_a_tv_server();
    world.run(LASTS * 8);
    world.crash(nodes[0]);
    world.run(LASTS * 20);
    let roots = nodes[1..].iter().filter(|node| is_root(&world, **node)).count();
    assert_eq!(roots, 1, "one of them, and the other is its member");
    let before = nodes.map(|node| world.hosts[node].stored.len());
    world.run(LASTS * 6);
    for (node, before) in nodes.into_iter().zip(before).skip(1) {
        assert!(world.hosts[node].stored.len() >= before + 5, "host {node} goes on");
    }
    let live = |node: usize| world.hosts[node].live(0);
    assert_eq!(live(nodes[1]), live(nodes[2]));
}

#[test]
fn a_root_that_the_tv_server_does_not_let_in_again_is_a_member() {
    let mut world = world();
    let text = server_text("127.0.0.1", &["a"]).replace("filler", "max_clients = 1\nfiller");
    let server = world.start(&text, &movies());
    let first = fed(&mut world, "127.0.0.2");
    world.run(LASTS * 4);
    // The tv server forgets the first, and another is let in before that has noticed.
    world.crash(server);
    world.start(&text, &movies());
    let second = fed(&mut world, "127.0.0.3");
    world.run(LASTS * 12);
    assert_eq!([first, second].map(|node| is_root(&world, node)), [false, true]);
    world.run(LASTS * 4);
    assert_eq!(world.hosts[first].live(0), world.hosts[second].live(0));
}

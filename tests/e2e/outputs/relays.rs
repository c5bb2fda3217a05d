//! The outputs on nodes without a schedule: what the relay trees and tv servers bring.

use std::net::SocketAddr;

use crate::harness::daemon::Daemon;
use crate::harness::lab::{Lab, address};
use crate::harness::{SOON, eventually, http};

use super::{beginning, names_of, on_the_air, setup};

const MESH: &str = "slots = 3\nstripes = 2\nlead = \"1s\"\n";

/// A server that is the root of a mesh, and a relay in it.
fn mesh(lab: &Lab) -> (Daemon, Daemon) {
    let root = SocketAddr::from((address(), 6061));
    let text = format!("{}[mesh]\nlisten = \"{root}\"\n{MESH}", setup(lab, "root").text());
    let server = Daemon::start(&lab.write("root.toml", text));
    let relay = format!(
        "role = \"relay\"\n[log]\nlevel = \"debug\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [mesh]\nroots = [\"{root}\"]\nchannel = 0\nlisten = \"{}:6061\"\nslots = 2\n",
        address(),
    );
    (server, Daemon::start(&lab.write("relay.toml", relay)))
}

#[test]
fn a_relay_gives_the_same_segments_as_its_server() {
    let lab = Lab::new();
    let (server, relay) = mesh(&lab);
    on_the_air(&server);
    on_the_air(&relay);
    for playlist in ["/ch/0/index.m3u8", "/ch/0/ts.m3u8"] {
        // From the second block on, a block's neighbours are both there.
        let list = eventually(SOON, "three blocks", || {
            let list = http::get(relay.http(), playlist);
            assert_eq!(list.status, 200, "{}", list.text());
            (list.text().matches("#EXTINF").count() >= 3).then_some(list)
        });
        let names = names_of(list.text());
        for name in &names {
            let path = format!("/ch/0/{name}");
            let (a, b) = (http::get(server.http(), &path), http::get(relay.http(), &path));
            assert_eq!((a.status, b.status), (200, 200), "{path}: {}", list.text());
            assert!(!a.body.is_empty() && a.body == b.body, "{path} is the same on both");
            assert_eq!(a.header("etag"), b.header("etag"), "{path}");
        }
    }
    let (head, body) = beginning(relay.http(), "/ch/0.ts", 100_000);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.chunks(188).all(|packet| packet[0] == 0x47), "packet after packet");
}

#[test]
fn a_relay_of_a_tv_server_has_every_output_under_names_of_its_own() {
    let lab = Lab::new();
    let server = Daemon::start(&setup(&lab, "server").write(&lab));
    let (ours, port) = (address(), lab.callback_port);
    let relay = format!(
        "role = \"relay\"\nsource = \"tv://{}/0\"\n[receive]\nlisten = \"{ours}:{port}\"\n\
         period = \"2s\"\n[tv]\nlisten = \"127.0.0.1:0\"\ncallback_port = {port}\n\
         callback_allow = [\"loopback\"]\n[http]\nlisten = \"127.0.0.1:0\"\n",
        server.tv()
    );
    let relay = Daemon::start(&lab.write("relay.toml", relay));
    on_the_air(&relay);
    for path in ["/ch/0.mkv", "/ch/0.mp4", "/ch/0.ts"] {
        let (head, _) = beginning(relay.http(), path, 1_000);
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    }
    let list = eventually(SOON, "two blocks", || {
        let list = http::get(relay.http(), "/ch/0/index.m3u8");
        (list.text().matches("#EXTINF").count() >= 2).then_some(list)
    });
    assert!(!list.text().contains("#EXT-X-GAP"), "{}", list.text());
    let names = names_of(list.text());
    let bodies = |names: &[String]| -> Vec<_> {
        names.iter().map(|n| http::get(relay.http(), &format!("/ch/0/{n}")).body).collect()
    };
    let before = bodies(&names);
    assert!(before.iter().all(|body| !body.is_empty()));
    assert_eq!(before, bodies(&names), "what has a name stays what it is");
}

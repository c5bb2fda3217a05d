//! Any configuration that there can be.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use proptest::prelude::*;

use crate::config::*;

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 '\"\\\\#=\u{fc}\u{202e}._-]{1,30}"
}

fn path() -> impl Strategy<Value = PathBuf> {
    "(/[a-z '\"\\\\\u{fc}-]{1,8}){1,3}".prop_map(PathBuf::from)
}

fn address(port: u16) -> impl Strategy<Value = SocketAddr> {
    (any::<[u8; 4]>(), any::<[u16; 8]>(), any::<bool>())
        .prop_map(move |(v4, v6, is_v4)| if is_v4 { (v4, port).into() } else { (v6, port).into() })
}

fn millis(from: u64, to: u64) -> impl Strategy<Value = Duration> {
    (from..=to).prop_map(Duration::from_millis)
}

fn word_value<T: value::Words + core::fmt::Debug>() -> impl Strategy<Value = T> {
    proptest::sample::select(T::WORDS).prop_map(|(_, value)| value)
}

fn allow() -> impl Strategy<Value = Allow> {
    let net = (any::<[u8; 4]>(), 0..=32u8).prop_map(|(address, length)| {
        Allow::Net(IpNet::new(address.into(), length).expect("at most 32").trunc())
    });
    prop_oneof![Just(Allow::Loopback), Just(Allow::Private), Just(Allow::Attached), net]
}

fn channels() -> impl Strategy<Value = Vec<Channel>> {
    let playlist = proptest::collection::vec(text(), 1..4);
    let epoch = (0..limits::EPOCH_END.0).prop_map(Wall);
    let filler = proptest::option::of(text());
    let channel = (text(), playlist, any::<bool>(), epoch, filler, 1..=limits::CONNS_MAX).prop_map(
        |(name, playlist, repeat, epoch, filler, max_clients)| Channel {
            number: 0,
            name,
            playlist,
            repeat,
            epoch,
            filler,
            max_clients,
        },
    );
    proptest::collection::vec(channel, 1..4).prop_map(|mut channels| {
        channels.iter_mut().enumerate().for_each(|(i, c)| c.number = i);
        channels
    })
}

fn tv() -> impl Strategy<Value = Tv> {
    let most = limits::CONNS_MAX;
    let allow = proptest::collection::vec(allow(), 1..4);
    (address(6060), 1024..=u16::MAX, allow, 1..=most, 1..=most, millis(0, 5_000)).prop_map(
        |(listen, callback_port, callback_allow, max_clients, commands_max, join_pause)| Tv {
            listen,
            callback_port,
            callback_allow,
            max_clients,
            commands_max,
            join_pause,
        },
    )
}

fn http() -> impl Strategy<Value = Http> {
    let base = prop::option::of("https?://[a-z0-9.]{1,9}(:[0-9]{1,4})?/([a-z0-9_-]{1,9}/)?");
    let lag_max = 1..=limits::HTTP_LAG_BLOCKS_MAX;
    (address(6080), 1..=limits::CONNS_MAX, 0..=limits::CONNS_MAX, lag_max, base).prop_map(
        |(listen, connections_max, per_address_max, lag_max, segment_base_url)| Http {
            listen,
            connections_max,
            per_address_max,
            lag_max,
            segment_base_url,
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    let host = prop_oneof!["[a-z0-9._-]{1,20}", any::<[u16; 8]>().prop_map(ipv6_text)];
    (host, 1..=u16::MAX, 0..=9u8).prop_map(|(host, port, channel)| Source { host, port, channel })
}

fn ipv6_text(address: [u16; 8]) -> String {
    std::net::Ipv6Addr::from(address).to_string()
}

fn library() -> impl Strategy<Value = Library> {
    (path(), millis(100, 60_000), word_value()).prop_map(
        |(directory, block_duration, durations)| Library { directory, block_duration, durations },
    )
}

fn receive() -> impl Strategy<Value = Receive> {
    (address(9091), millis(100, 60_000)).prop_map(|(listen, period)| Receive { listen, period })
}

/// A host that one node can have: no random word is an address, no address one of many nodes.
fn node() -> impl Strategy<Value = (String, u16)> {
    let address = any::<[u16; 7]>()
        .prop_map(|[a, b, c, d, e, f, g]| ipv6_text([0x2001, a, b, c, d, e, f, g]));
    let host = prop_oneof!["[a-z][a-z0-9._-]{0,19}", "10\\.[1-9]\\.0\\.[1-9]", address];
    (host, 1..=u16::MAX)
}

fn roots() -> impl Strategy<Value = Vec<(String, u16)>> {
    let several = proptest::collection::btree_set(node(), 1..=limits::MESH_ROOTS_MAX);
    let several = several.prop_map(|several| several.into_iter().collect::<Vec<_>>());
    several.prop_shuffle()
}

/// `[mesh]` of a relay or client that takes its channel from roots.
fn mesh() -> impl Strategy<Value = Mesh> {
    let bounds = (1..=limits::MESH_MEMBERS_MAX, 0..=limits::MESH_RESCUE_RATE_MAX);
    let ours = (address(6061), proptest::option::of(node()), 0..=limits::MESH_SLOTS_MAX);
    let blocks = (1..=limits::MESH_STRIPES_MAX, millis(500, 60_000));
    let theirs = (roots(), 0..limits::CHANNELS_MAX);
    (ours, blocks, bounds, theirs).prop_map(|(ours, blocks, bounds, theirs)| Mesh {
        listen: ours.0,
        advertise: ours.1,
        slots: ours.2,
        stripes: blocks.0,
        lead: blocks.1,
        members_max: bounds.0,
        rescue_rate: bounds.1,
        roots: theirs.0,
        channel: theirs.1,
    })
}

fn jukebox() -> impl Strategy<Value = Jukebox> {
    let extensions = proptest::collection::btree_set("[a-z0-9]{1,16}", 1..6);
    let extensions = extensions.prop_map(|some| some.into_iter().collect()).prop_shuffle();
    let pace = (0..=limits::JUKEBOX_PACE_MAX).prop_map(|times| match times {
        0 => Pace::Off,
        times => Pace::Times(times),
    });
    let bounds = (1..=limits::CONNS_MAX, 0..=limits::CONNS_MAX, millis(1_000, 3_600_000));
    (address(6063), path(), extensions, pace, bounds).prop_map(
        |(listen, directory, extensions, pace, bounds)| Jukebox {
            listen,
            directory,
            extensions,
            pace,
            listeners_max: bounds.0,
            per_address_max: bounds.1,
            stall_max: bounds.2,
        },
    )
}

fn files() -> impl Strategy<Value = Files> {
    let rate = || prop_oneof![1..limits::FILES_RATE_MAX, Just(limits::FILES_RATE_MAX)];
    let most = limits::FILES_TRANSFERS_MAX;
    let buffer = limits::FILES_BUFFER_MIN..=limits::FILES_BUFFER_MAX;
    (address(6085), path(), 1..=most, 0..=most, rate(), rate(), buffer).prop_map(|values| Files {
        listen: values.0,
        directory: values.1,
        transfers_max: values.2,
        per_address_max: values.3,
        rate_max: values.4,
        total_rate_max: values.5,
        buffer: values.6,
    })
}

fn store() -> impl Strategy<Value = Store> {
    (path(), 0..=limits::KEEP_BLOCKS_MAX)
        .prop_map(|(directory, keep_blocks)| Store { directory, keep_blocks })
}

/// `[events]`, switched on or not.
fn events() -> impl Strategy<Value = Option<Events>> {
    let source = prop_oneof![
        Just(EventSource::Game),
        path().prop_map(EventSource::Lines),
        path().prop_map(EventSource::Socket),
    ];
    let ours = (address(12345), millis(1, 3_600_000), source);
    let game = (proptest::option::of(path()), proptest::option::of(0..=i64::MAX as u64));
    let most = limits::EVENTS_MEMBERS_MAX;
    let theirs = (1..=most, 0..=most, millis(0, 86_400_000), any::<bool>());
    let events = (ours, game, theirs).prop_map(|(ours, game, theirs)| Events {
        listen: ours.0,
        interval: ours.1,
        source: ours.2,
        teams: game.0,
        seed: game.1,
        members_max: theirs.0,
        per_address_max: theirs.1,
        expire: theirs.2,
        prove: theirs.3,
    });
    proptest::option::of(events)
}

/// Every valid configuration: all tables, and then only those that the role uses.
pub(super) fn config() -> impl Strategy<Value = Config> {
    let log = (word_value(), word_value()).prop_map(|(level, target)| Log { level, target });
    let control = path().prop_map(|socket| Control { socket });
    let always = (word_value::<Role>(), log);
    let needed = (source(), library(), channels(), receive());
    let maybe = (
        tv(),
        store(),
        http(),
        control,
        mesh(),
        jukebox(),
        events(),
        (files(), any::<[bool; 9]>()),
    );
    (always, needed, maybe).prop_map(|((role, log), needed, maybe)| {
        let (source, library, channels, receive) = needed;
        let (tv, store, http, control, mesh, jukebox, events, (files, on)) = maybe;
        let server = role == Role::Server;
        // A relay or client has a source, roots, or both.
        let (has_source, has_roots) = (!server && on[4], !server && (on[5] || !on[4]));
        let rootless = Mesh { roots: Vec::new(), channel: 0, ..mesh.clone() };
        // Those of a server are others like it, and have no channel that it takes.
        let like_it = Mesh { channel: 0, ..mesh.clone() };
        let rootless = if server && on[5] { like_it } else { rootless };
        Config {
            role,
            source: has_source.then_some(source),
            log,
            library: server.then_some(library),
            channels: if server { channels } else { Vec::new() },
            tv: (role != Role::Client && on[0]).then_some(tv),
            receive: has_source.then_some(receive),
            mesh: if has_roots { Some(mesh) } else { on[6].then_some(rootless) },
            jukebox: (server && on[7]).then_some(jukebox),
            files: (server && on[8]).then_some(files),
            store: (role == Role::Client && on[1]).then_some(store),
            http: on[2].then_some(http),
            events: events.filter(|_| server),
            control: on[3].then_some(control),
            origin: Origin::default(),
        }
    })
}

//! Properties of the whole: no text makes the reader panic, what is printed is read as the same
//! configuration, and a reload plan and the configuration that it leads to agree.

mod any;

use core::time::Duration;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use any::config;

const SERVER: &str = include_str!("../../etc/server.toml");
const CLIENT: &str = include_str!("../../etc/client.toml");
const TV_CLIENT: &str = "role = \"client\"\nsource = \"tv://127.0.0.1:6060/0\"\n\
     [receive]\nlisten = \"127.0.0.1:9091\"\nperiod = \"2s\"\n\
     [store]\ndirectory = \"../received\"\n";
const MEMBER: &str = "role = \"client\"\n[mesh]\nlisten = \"0.0.0.0:6061\"\n\
     advertise = \"me.example.org:6061\"\nslots = 3\nlead = \"6s\"\nrescue_rate = 0\n\
     roots = [\"tv.example.org\", \"[2001:db8::1]:7000\"]\nchannel = 12\n";

fn place() -> Place {
    let environment = Environment { uid: 1000, ..Environment::default() };
    Place { file: "x.toml".into(), directory: "/srv/tv".into(), environment }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, &place())
}

fn server() -> Config {
    read(SERVER).unwrap()
}

fn client() -> Config {
    read(TV_CLIENT).unwrap()
}

fn member() -> Config {
    read(MEMBER).unwrap()
}

// Any text.

/// What must hold for every text: a configuration that can be printed, or faults that are sorted,
/// lie in the file and are safe to show.
fn check_outcome(text: &str) {
    match read(text) {
        Ok(config) => assert_eq!(read(&print(&config)), Ok(config)),
        Err(error) => {
            let problems = error.problems();
            assert!(!problems.is_empty() && problems.len() <= limits::CONFIG_PROBLEMS_MAX);
            assert!(problems.is_sorted_by_key(|p| (p.line, p.column)));
            let lines = text.matches('\n').count() + 1;
            for problem in problems {
                assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem}");
                assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
            }
        }
    }
}

/// Words of the language in any order come much further than random letters.
fn word() -> impl Strategy<Value = String> {
    let names = KEYS.iter().flat_map(|k| [k.name.to_owned(), format!("{} = ", k.name)]);
    let tables = keys::TABLES.iter().map(|t| format!("\n{}\n", keys::header(t)));
    let values = KEYS
        .iter()
        .filter_map(|k| k.default)
        .flat_map(|d| [d.to_owned(), format!("\"{d}\"\n"), format!("[\"{d}\", ")]);
    let marks =
        ["\n", "\"", "'", "[", "]", "{", "}", "=", ".", ",", "#", " ", "\0", "\u{1b}", "-1"];
    let marks = marks.map(str::to_owned);
    let words: Vec<_> = names.chain(tables).chain(values).chain(marks).collect();
    prop_oneof![9 => proptest::sample::select(words), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn no_text_at_all_is_too_much(text in any::<String>()) {
        check_outcome(&text);
    }

    #[test]
    fn no_order_of_words_is_too_much(words in proptest::collection::vec(word(), 0..40)) {
        check_outcome(&words.concat());
    }

    #[test]
    fn no_damage_to_a_file_is_too_much(
        file in proptest::sample::select(&[SERVER, CLIENT, TV_CLIENT, MEMBER][..]),
        damage in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..20usize, word()),
            1..4,
        ),
    ) {
        let mut text: Vec<char> = file.chars().collect();
        for (place, removed, inserted) in damage {
            let from = place.index(text.len() + 1);
            let to = (from + removed).min(text.len());
            text.splice(from..to, inserted.chars());
            text.push('\n');
        }
        check_outcome(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let error = Config::parse_bytes(&bytes, &place());
        prop_assert!(error.is_err(), "no configuration is that short: {bytes:?}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for text in ["[".repeat(100_000), "a.".repeat(100_000), format!("a = {}", "[".repeat(100_000))]
    {
        check_outcome(&text);
    }
}

#[test]
fn a_flood_of_faults_is_counted() {
    let flood: Vec<_> = (0..20_000).map(|i| format!("key_{i} = 1")).collect();
    let error = read(&flood.join("\n")).unwrap_err();
    assert_eq!(error.problems().len(), limits::CONFIG_PROBLEMS_MAX);
    assert_eq!(error.more(), 20_001 - limits::CONFIG_PROBLEMS_MAX);
}

// Any configuration.

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(config in config()) {
        prop_assert_eq!(read(&print(&config)), Ok(config));
    }

    #[test]
    fn after_a_reload_only_what_needs_a_restart_is_left(old in config(), new in config()) {
        let now = apply(&old, &new);
        prop_assert!(!plan(&old, &now).needs_restart());
        let left = plan(&now, &new);
        prop_assert!(left.changes.iter().all(|c| c.apply == Apply::Restart), "{}", left);
        let live = plan(&old, &new).changes.into_iter().filter(|c| c.apply == Apply::Live).count();
        prop_assert_eq!(plan(&old, &now).changes.len(), live);
        prop_assert_eq!(read(&print(&now)), Ok(now), "what is in force is valid");
    }

    #[test]
    fn a_plan_is_empty_when_nothing_differs(config in config()) {
        prop_assert!(plan(&config, &config.clone()).is_empty());
        prop_assert_eq!(&apply(&config, &config), &config);
    }
}

// Reload plans by example.

#[test]
fn a_plan_names_each_key_with_its_old_and_new_value() {
    let (old, mut new) = (server(), server());
    new.tv.as_mut().unwrap().max_clients = 32;
    new.channels[0].name = "Uhr".to_owned();
    new.channels[0].filler = None;
    new.channels[1].playlist.pop();
    new.log.level = Level::Debug;
    let lines = plan(&old, &new).log_lines();
    assert_eq!(
        lines,
        [
            "reload: [log] level: info -> debug",
            "reload: [[channel]] 0 name: Clock -> Uhr",
            "reload: [[channel]] 0 filler: bars.mkv -> none",
            "reload: [[channel]] 1 playlist: [\"bars.mkv\", \"bars.mp4\", \"clock\"] -> \
             [\"bars.mkv\", \"bars.mp4\"]",
            "reload: [tv] max_clients: 64 -> 32",
        ]
    );
    assert_eq!(apply(&old, &new), new);
    assert!(!plan(&old, &new).needs_restart());
}

#[test]
fn a_channel_that_comes_or_goes_is_one_change() {
    let (old, mut new) = (server(), server());
    new.channels.pop();
    new.http = None;
    let lines = plan(&old, &new).log_lines();
    assert_eq!(
        lines,
        [
            "reload: [[channel]] 1: number 1, name Bars, playlist [\"bars.mkv\", \"bars.mp4\", \
             \"clock\"], repeat true, epoch 2026-01-01T00:00:00Z, max_clients 32 -> none",
            "reload: [http]: listen 127.0.0.1:6080, connections_max 10000, per_address_max 0, \
             lag_max 3 -> none",
        ]
    );
    let back = plan(&new, &old);
    assert!(back.changes.iter().all(|c| c.old == "none" && c.apply == Apply::Live), "{back}");
}

#[test]
fn what_needs_a_restart_keeps_its_old_value() {
    let (old, mut new) = (client(), client());
    new.source.as_mut().unwrap().channel = 7;
    new.receive.as_mut().unwrap().listen.set_port(9092);
    new.receive.as_mut().unwrap().period = Duration::from_secs(4);
    let plan = plan(&old, &new);
    assert_eq!(
        plan.to_string(),
        "reload: source: tv://127.0.0.1:6060/0 -> tv://127.0.0.1:6060/7 needs a restart\n\
         reload: [receive] listen: 127.0.0.1:9091 -> 127.0.0.1:9092 needs a restart\n\
         reload: [receive] period: 2s -> 4s"
    );
    let now = apply(&old, &new);
    assert_eq!(now.source, old.source);
    let receive = now.receive.unwrap();
    assert_eq!((receive.listen.port(), receive.period), (9091, Duration::from_secs(4)));
}

#[test]
fn a_member_stays_where_it_is_until_a_restart() {
    let (old, mut new) = (member(), member());
    let mesh = new.mesh.as_mut().unwrap();
    mesh.slots = 5;
    mesh.members_max = 20;
    mesh.rescue_rate = 1;
    mesh.roots.pop();
    mesh.channel = 3;
    assert_eq!(
        plan(&old, &new).log_lines(),
        [
            "reload: [mesh] slots: 3 -> 5 needs a restart",
            "reload: [mesh] members_max: 10000 -> 20 needs a restart",
            "reload: [mesh] rescue_rate: 0 -> 1 needs a restart",
            "reload: [mesh] roots: [\"tv.example.org:6061\", \"[2001:db8::1]:7000\"] -> \
             [\"tv.example.org:6061\"] needs a restart",
            "reload: [mesh] channel: 12 -> 3 needs a restart",
        ]
    );
    let (now, old) = (apply(&old, &new).mesh.unwrap(), old.mesh.unwrap());
    assert_eq!(now, old);
}

#[test]
fn a_mesh_comes_and_goes_with_a_restart() {
    let without = read(LEAST_SERVER).unwrap();
    let with = read(&format!("{LEAST_SERVER}[mesh]\n")).unwrap();
    assert_eq!(
        plan(&without, &with).log_lines(),
        ["reload: [mesh]: none -> listen 127.0.0.1:6061, slots 8, stripes 8, lead 6s, \
          members_max 10000, rescue_rate 1250000 needs a restart"]
    );
    assert_eq!(apply(&without, &with), without);
    assert_eq!(apply(&with, &without), with);
}

#[test]
fn a_new_role_waits_with_all_that_it_brings() {
    let (old, mut new) = (server(), client());
    new.log.level = Level::Warn;
    let plan = plan(&old, &new);
    let lines = plan.log_lines();
    assert_eq!(lines[0], "reload: role: server -> client needs a restart");
    assert_eq!(lines[2], "reload: [log] level: info -> warn");
    let live: Vec<_> = plan.changes.iter().filter(|c| c.apply == Apply::Live).collect();
    assert_eq!(live.len(), 1, "{live:?}");
    assert_eq!(apply(&old, &new), Config { log: new.log, ..old });
}

#[test]
fn foreign_text_in_a_plan_is_harmless() {
    let (old, mut new) = (server(), server());
    new.channels[0].name = "\u{202e}kcolc".to_owned();
    let line = plan(&old, &new).to_string();
    assert_eq!(line, "reload: [[channel]] 0 name: Clock -> \\xe2\\x80\\xaekcolc");
}

// Defaults.

const LEAST_SERVER: &str = "role = \"server\"\n[library]\ndirectory = \"m\"\n\
     [[channel]]\nnumber = 0\nname = \"A\"\nplaylist = [\"a\"]\n";

#[test]
fn a_table_that_is_left_out_is_off() {
    let config = read(LEAST_SERVER).unwrap();
    assert_eq!((config.tv, config.http, config.control), (None, None, None));
    assert_eq!(config.log, Log { level: Level::Info, target: LogTarget::Auto });
    assert_eq!(config.channels[0].max_clients, 64);
    assert_eq!(config.channels[0].epoch, Wall(0));
    assert!(config.channels[0].repeat);
}

#[test]
fn a_mesh_has_more_slots_in_a_server_than_elsewhere() {
    let server = read(&format!("{LEAST_SERVER}[mesh]\n")).unwrap().mesh.unwrap();
    assert_eq!((server.slots, server.roots, server.channel), (8, Vec::new(), 0));
    assert_eq!((server.stripes, server.lead), (8, Duration::from_secs(6)));
    assert_eq!((server.members_max, server.rescue_rate), (10_000, 1_250_000));
    for role in ["relay", "client"] {
        let text = format!("role = \"{role}\"\n[mesh]\nroots = [\"a\"]\n");
        let mesh = read(&text).unwrap().mesh.unwrap();
        assert_eq!((mesh.slots, mesh.advertise), (4, None));
        assert_eq!(mesh.roots, [("a".to_owned(), limits::MESH_PORT)]);
    }
}

#[test]
fn a_channel_comes_from_a_tv_server_or_roots_or_both() {
    let (source, receive) = ("source = \"tv://a/1\"\n", "[receive]\n");
    let (mesh, roots) = ("[mesh]\n", "[mesh]\nroots = [\"a\"]\n");
    let file = |parts: [&str; 3]| read(&format!("role = \"relay\"\n{}", parts.concat()));
    for good in [[source, receive, ""], [source, receive, mesh], [source, receive, roots]] {
        let config = file(good).unwrap();
        assert!(config.source.is_some() && config.receive.is_some());
    }
    let config = file(["", "", roots]).unwrap();
    assert_eq!((config.source, config.receive), (None, None));
    for bad in [["", "", ""], ["", "", mesh], ["", receive, mesh], ["", receive, roots]] {
        assert_eq!(file(bad).unwrap_err().problems().len(), 1, "{bad:?}");
    }
    assert_eq!(file([source, "", roots]).unwrap_err().problems().len(), 1);
}

#[test]
fn a_channel_has_the_clients_of_its_tv_server() {
    let config = read(&format!("{LEAST_SERVER}[tv]\nmax_clients = 7\n")).unwrap();
    assert_eq!(config.channels[0].max_clients, 7);
    assert_eq!(config.tv.map(|tv| tv.callback_allow.len()), Some(3));
}

#[test]
fn channels_may_stand_in_any_order() {
    let second = "[[channel]]\nnumber = 1\nname = \"B\"\nplaylist = [\"b\"]\n";
    let config = read(&LEAST_SERVER.replace("[[channel]]", &format!("{second}[[channel]]")));
    let names: Vec<_> = config.unwrap().channels.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn every_default_is_one_that_the_key_takes() {
    for table in keys::TABLES.iter().filter(|t| **t != "channel") {
        let default = |key: &Key| match (key.default, key.kind) {
            (None, _) => String::new(),
            (Some(d), Kind::Number(..) | Kind::Port(..) | Kind::Switch) => {
                format!("{} = {d}\n", key.name)
            }
            (Some(d), Kind::Networks | Kind::Extensions) => {
                format!("{} = [\"{}\"]\n", key.name, d.replace(' ', "\", \""))
            }
            (Some(d), _) => format!("{} = \"{d}\"\n", key.name),
        };
        let keys = KEYS.iter().filter(|k| k.table == *table).map(default).collect::<String>();
        let error = read(&format!("[{table}]\n{keys}")).unwrap_err().to_string();
        assert!(!error.contains(" = "), "{keys}{error}");
    }
}

#[test]
fn the_control_socket_follows_the_environment() {
    let at = |runtime: Option<&str>, session: Option<&str>, uid| {
        let environment = Environment {
            runtime_directory: runtime.map(PathBuf::from),
            xdg_runtime_dir: session.map(PathBuf::from),
            uid,
        };
        Control::default_socket(Role::Relay, &environment).to_str().unwrap().to_owned()
    };
    let (run, user) = (Some("/run/a:/run/b"), Some("/run/user/7"));
    assert_eq!(at(run, user, 0), "/run/a/control.sock");
    assert_eq!(at(None, user, 0), "/run/user/7/vidstreamd/relay.sock");
    assert_eq!(at(Some(""), Some("relative"), 0), "/run/vidstreamd/relay.sock");
    assert_eq!(at(None, None, 7), "/tmp/vidstreamd-7/relay.sock");
}

#[test]
fn paths_begin_at_the_file() {
    let config = read(&LEAST_SERVER.replace("\"m\"", "\"./m/\"")).unwrap();
    assert_eq!(config.library.unwrap().directory.to_str(), Some("/srv/tv/m"));
    let config = read(&LEAST_SERVER.replace("\"m\"", "\"/m\"")).unwrap();
    assert_eq!(config.library.unwrap().directory.to_str(), Some("/m"));
}

#[test]
fn listeners_on_port_0_never_collide() {
    let both = "[tv]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    assert!(read(&format!("{LEAST_SERVER}{both}")).is_ok());
}

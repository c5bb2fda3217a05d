//! Configurations as files: the samples of `etc/` are read as they stand, and every broken file of
//! `tests/golden/config` gives the message that lies beside it. With `GOLDEN=write` set in the
//! environment the messages are written anew, to be read before they are committed.
#![expect(clippy::disallowed_methods, reason = "a test reads files, and writes messages anew")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};

use vidstreamd::base::limits;
use vidstreamd::config::{
    Allow, Config, Control, Durations, Environment, KEYS, Key, LogTarget, Mesh, Place, Role,
    Source, print,
};

/// As few as this would mean that the folder was not read.
const GOLDEN_MIN: usize = 30;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn place(file: &str) -> Place {
    let environment = Environment { uid: 1000, ..Environment::default() };
    Place { file: file.into(), directory: "/srv/tv/etc".into(), environment }
}

fn sample(name: &str) -> Config {
    let bytes = fs::read(root().join("etc").join(name)).unwrap();
    Config::parse_bytes(&bytes, &place(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn golden_files() -> Vec<PathBuf> {
    let folder = root().join("tests/golden/config");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_broken_file_gives_its_message() {
    let files = golden_files();
    assert!(files.len() >= GOLDEN_MIN, "{} files", files.len());
    let wrong: Vec<_> = files.iter().filter_map(|file| difference(file)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn difference(file: &Path) -> Option<String> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let Err(error) = Config::parse_bytes(&fs::read(file).unwrap(), &place(name)) else {
        return Some(format!("{name}: no fault was found"));
    };
    let found = format!("{error}\n");
    let beside = file.with_extension("txt");
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "write") {
        fs::write(&beside, &found).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    (found != expected).then(|| format!("{name}: expected\n{expected}found\n{found}"))
}

#[test]
fn every_message_lies_beside_a_file() {
    let folder = root().join("tests/golden/config");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let alone: Vec<_> = paths.filter(|path| !path.with_extension("toml").exists()).collect();
    assert!(alone.is_empty(), "{alone:?}");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let large = "#".repeat(usize::try_from(limits::CONFIG_BYTES_MAX).unwrap() + 1);
    let error = Config::parse(&large, &place("large.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "large.toml:1:1: too large: 1048577 bytes, at most 1048576 are read"
    );
    let fits = Config::parse(&large[1..], &place("large.toml")).unwrap_err();
    assert!(fits.to_string().contains("role: missing"), "{fits}");
}

#[test]
fn the_sample_server_works_as_it_stands() {
    let config = sample("server.toml");
    assert_eq!(config.role, Role::Server);
    assert_eq!(config.log.target, LogTarget::Auto);
    let library = config.library.as_ref().unwrap();
    assert_eq!(library.directory, Path::new("/srv/tv/etc/../movies"));
    assert_eq!(library.durations, Durations::Header);
    assert_eq!(config.channels.len(), 2);
    assert_eq!(config.channels[0].name, "Clock");
    assert_eq!(config.channels[0].playlist, ["clock"]);
    assert_eq!(config.channels[0].epoch.to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(config.channels[0].filler.as_deref(), Some("bars.mkv"));
    assert_eq!(config.channels[0].max_clients, 64);
    assert_eq!(config.channels[1].max_clients, 32);
    let tv = config.tv.as_ref().unwrap();
    assert_eq!(tv.listen, "127.0.0.1:6060".parse().unwrap());
    assert_eq!(tv.callback_allow, [Allow::Loopback, Allow::Private, Allow::Attached]);
    assert_eq!(config.http.as_ref().unwrap().listen, "127.0.0.1:6080".parse().unwrap());
    assert_eq!(config.check_movies(&["bars.mkv", "bars.mp4", "clock"]), Ok(()));
}

#[test]
fn the_sample_client_works_as_it_stands() {
    let config = sample("client.toml");
    assert_eq!(config.role, Role::Client);
    assert_eq!((&config.source, &config.receive), (&None, &None));
    let store = config.store.as_ref().unwrap();
    assert_eq!(
        (store.directory.to_str(), store.keep_blocks),
        (Some("/srv/tv/etc/../received"), 900)
    );
    assert_eq!(config.http.as_ref().unwrap().listen, "127.0.0.1:0".parse().unwrap());
    let socket = "/tmp/vidstreamd-1000/client.sock".into();
    assert_eq!(config.control, Some(Control { socket }));
}

#[test]
fn the_samples_listen_on_this_machine_only() {
    for config in [sample("server.toml"), sample("client.toml"), sample("relay.toml")] {
        let listeners = [
            config.tv.map(|tv| tv.listen),
            config.http.map(|http| http.listen),
            config.receive.map(|receive| receive.listen),
            config.mesh.map(|mesh| mesh.listen),
        ];
        assert!(listeners.into_iter().flatten().all(|address| address.ip().is_loopback()));
    }
}

#[test]
fn the_sample_meshes_fit_each_other() {
    let mesh = |name: &str| sample(name).mesh.unwrap();
    let (server, relay, client) = (mesh("server.toml"), mesh("relay.toml"), mesh("client.toml"));
    let at = |mesh: &Mesh| (mesh.listen.ip().to_string(), mesh.listen.port());
    assert_eq!(server.roots, []);
    assert_eq!(relay.roots, [at(&server)]);
    assert_eq!(client.roots, [at(&relay), at(&server)]);
    assert_eq!(client.listen.port(), 0);
    for (name, mesh) in [("server.toml", server), ("relay.toml", relay), ("client.toml", client)] {
        let role = sample(name).role;
        assert_eq!(mesh.slots, Mesh::default_slots(role), "{name}");
        assert_eq!((mesh.stripes, mesh.members_max, mesh.channel), (8, 10_000, 0), "{name}");
    }
}

#[test]
fn a_sample_takes_its_channel_from_a_tv_server_when_that_is_switched_on() {
    for name in ["client.toml", "relay.toml"] {
        let on = text(&format!("etc/{name}"))
            .replace("# source =", "source =")
            .replace("# [receive]\n# listen", "[receive]\nlisten")
            .replace("# period", "period");
        let config = Config::parse(&on, &place(name)).unwrap_or_else(|error| panic!("{error}"));
        let source = Source { host: "127.0.0.1".into(), port: 6060, channel: 0 };
        assert_eq!(config.source, Some(source), "{name}");
        assert_eq!(config.receive.unwrap().listen.port(), 9091, "{name}");
    }
}

#[test]
fn a_printed_sample_is_read_as_the_same_configuration() {
    for name in ["server.toml", "client.toml", "relay.toml"] {
        let config = sample(name);
        let printed = print(&config);
        assert_eq!(Config::parse(&printed, &place("printed.toml")), Ok(config), "{printed}");
    }
}

#[test]
fn a_movie_that_the_library_lacks_is_named_where_it_is_written() {
    let config = sample("server.toml");
    let error = config.check_movies(&["clocks", "bars.mkv"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "server.toml:28:13: [[channel]] playlist, entry \"clock\": expected a movie of the \
         library; did you mean \"clocks\"?\n\
         server.toml:36:25: [[channel]] playlist, entry \"bars.mp4\": expected a movie of the \
         library; did you mean \"bars.mkv\"?\n\
         server.toml:36:37: [[channel]] playlist, entry \"clock\": expected a movie of the \
         library; did you mean \"clocks\"?"
    );
}

#[test]
fn the_samples_name_every_key() {
    let samples = text("etc/server.toml") + &text("etc/client.toml");
    for key in KEYS {
        let line = |l: &str| l.trim_start_matches("# ").starts_with(&format!("{} = ", key.name));
        assert!(samples.lines().any(line), "no sample gives {key}");
    }
}

#[test]
fn the_manual_page_tells_every_key_with_its_default_and_what_needs_a_restart() {
    let page = text("man/vidstreamd.toml.5");
    for key in KEYS {
        let entry = entry(&page, key).unwrap_or_else(|| panic!("the page lacks {key}"));
        let default = key.default.unwrap_or("").replace(' ', ", ");
        let words = entry.replace("\n.Cm ", " ");
        assert!(words.contains(&format!("Default {default}")) || default.is_empty(), "{entry}");
        assert_eq!(words.contains(".Em restart"), !key.live, "{key}: {entry}");
    }
}

#[test]
fn the_manual_page_tells_how_many_slots_each_role_has() {
    let page = text("man/vidstreamd.toml.5");
    let slots = KEYS.iter().find(|key| key.name == "slots").unwrap();
    let [server, relay, client] =
        [Role::Server, Role::Relay, Role::Client].map(Mesh::default_slots);
    assert_eq!(relay, client);
    let told = format!("Default {server} for a server, {relay} for others");
    assert!(entry(&page, slots).unwrap().contains(&told), "the page lacks: {told}");
}

/// What the page says of a key: in the section of its table, up to the next key.
fn entry<'a>(page: &'a str, key: &Key) -> Option<&'a str> {
    let header = match key.table {
        "" => ".Ss Top of the file\n".to_owned(),
        "channel" => ".Ss [[channel]]\n".to_owned(),
        table => format!(".Ss [{table}]\n"),
    };
    let section = page.split_once(&header)?.1.split("\n.S").next()?;
    let (_, entry) = section.split_once(&format!(".It Ic {}\n", key.name))?;
    entry.split(".It Ic ").next()
}

#[test]
fn the_examples_of_the_manual_page_are_good() {
    let page = text("man/vidstreamd.toml.5");
    let (_, examples) = page.split_once(".Sh EXAMPLES").unwrap();
    let blocks: Vec<_> = examples.split(".Bd -literal -offset indent\n").skip(1).collect();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let example = block.split(".Ed").next().unwrap();
        let read = Config::parse(example, &place("example.toml"));
        assert!(read.is_ok(), "{example}: {read:?}");
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

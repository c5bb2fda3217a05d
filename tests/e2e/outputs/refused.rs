//! Blocks that the readers refuse: said once, and the filler is on instead, for every player.

use std::fs;
use std::path::Path;

use crate::harness::daemon::{Daemon, run};
use crate::harness::http;
use crate::harness::lab::Lab;
use crate::harness::setup::Server;

use super::{beginning, movies, names_of, on_the_air, same_packets};

/// A library with two movies of the demo, of which one has a few bytes changed in every block but
/// the first.
fn broken(lab: &Lab) -> Server {
    for movie in ["clock", "bars"] {
        let to = lab.movies().join(movie);
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(Path::new(&movies()).join(movie)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    for file in fs::read_dir(lab.movies().join("clock")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "mkv") && !path.ends_with("clock_00000.mkv") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes.truncate(middle);
            fs::write(&path, bytes).unwrap();
        }
    }
    let mut setup = Server::new(lab, &["clock"]);
    setup.channels[0].filler = Some("bars".to_owned());
    setup
}

#[test]
fn the_filler_is_on_where_a_block_is_refused() {
    let lab = Lab::new();
    let daemon = Daemon::start(&broken(&lab).write(&lab));
    on_the_air(&daemon);
    for (playlist, most) in [("/ch/0/index.m3u8", 7), ("/ch/0/ts.m3u8", 6)] {
        let list = http::get(daemon.http(), playlist);
        assert_eq!(list.status, 200, "{}", list.text());
        assert!(!list.text().contains("#EXT-X-GAP"), "{}", list.text());
        let names = names_of(list.text());
        assert!(names.len() >= most, "{}", list.text());
        for name in names {
            let answer = http::get(daemon.http(), &format!("/ch/0/{name}"));
            assert_eq!(answer.status, 200, "{name}: {}", list.text());
        }
    }
    let told = daemon.texts(|text| text.contains("not for players"));
    assert!(told.len() >= 4, "{told:?}");
    let first = &told[0];
    let words = ["channel 0: movie clock, block ", "byte ", "bars/bars_", "stands in for it"];
    assert!(words.iter().all(|word| first.contains(word)), "{first}");
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), told.len(), "each once: {told:?}");
    let (_, body) = beginning(daemon.http(), "/ch/0.ts", 30_000);
    assert!(same_packets(&body), "packet after packet");
    assert_eq!(told.len(), daemon.texts(|text| text.contains("not for players")).len());
}

#[test]
fn each_movie_says_which_outputs_it_has() {
    let lab = Lab::new();
    let mut setup = broken(&lab);
    lab.clip();
    setup.channels[0].playlist.push("clip".to_owned());
    let config = setup.write(&lab);
    let daemon = Daemon::start(&config);
    let movies = crate::harness::eventually(crate::harness::SOON, "all looked at", || {
        let movies = http::status(daemon.http())["movies"].clone();
        let all = movies.as_array().expect("a list").iter().all(|m| !m["outputs"].is_null());
        all.then_some(movies)
    });
    let of = |name: &str| {
        let list = movies.as_array().unwrap();
        let movie = list.iter().find(|movie| movie["name"] == name).expect("each is there");
        movie["outputs"].as_array().unwrap().clone()
    };
    let outputs = |name: &str| -> Vec<(String, bool)> {
        let word = |v: &serde_json::Value| v["output"].as_str().unwrap().to_owned();
        of(name).iter().map(|output| (word(output), output["why_not"].is_null())).collect()
    };
    let all = |has| ["mkv", "mp4", "ts"].map(|output| (output.to_owned(), has));
    assert_eq!(outputs("bars"), all(true));
    assert_eq!(outputs("clock"), all(true), "by its first block");
    assert_eq!(outputs("clip"), all(false));
    let why = of("clip")[0]["why_not"].as_str().unwrap().to_owned();
    assert!(why.contains("byte "), "{why}");
    let done = run(&["--check", "-c", config.to_str().unwrap()], "/".as_ref());
    for line in [
        "movie bars: players get mkv, mp4, ts",
        "movie clip: players get nothing",
        &format!("movie clip: clip/clip_00000.mkv: {why}"),
    ] {
        assert!(done.stdout.lines().any(|found| found == line), "{line}: {}", done.stdout);
    }
}

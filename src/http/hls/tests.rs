//! Playlists against texts, and against a player that remembers what it has read.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::http::Body;
use crate::media::catalog::Movie;
use crate::media::sniff::Container;

const SECOND: i64 = 1_000_000_000;

fn schedule(repeat: bool, movies: &[(&str, u32, u64)]) -> Schedule {
    let movie = |(name, blocks, ms): &(&str, u32, u64)| {
        Rc::new(Movie::even(name, Container::Mkv, *blocks, Duration::from_millis(*ms)))
    };
    Schedule::new(Wall(0), repeat, movies.iter().map(movie).collect())
}

fn text(schedule: &Schedule, form: Form, base: &str, now: i64) -> String {
    let response = response((schedule, &Plan::of(schedule)), form, base, Wall(now));
    assert_eq!(response.status, 200);
    let Body::Bytes(bytes) = response.body else { panic!("a playlist is written here") };
    String::from_utf8(bytes.into()).unwrap()
}

#[test]
fn a_playlist_names_the_newest_blocks_and_where_another_movie_begins() {
    let schedule = schedule(true, &[("a", 4, 2002), ("b", 3, 1000)]);
    let list = text(&schedule, Form::Mp4, "", 9 * SECOND);
    let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MAP:URI=\"init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n\
        #EXTINF:2.002000,\n0.m4s\n#EXTINF:2.002000,\n1.m4s\n#EXTINF:2.002000,\n2.m4s\n\
        #EXTINF:2.002000,\n3.m4s\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-4.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:08.008Z\n#EXTINF:1.000000,\n4.m4s\n";
    assert_eq!(list, expected);
    let list = text(&schedule, Form::Ts, "https://cdn.example/ch/0/", 9 * SECOND);
    assert!(list.contains("\nhttps://cdn.example/ch/0/4.ts\n") && !list.contains("MAP"), "{list}");
}

#[test]
fn a_movie_that_begins_anew_is_no_discontinuity() {
    let schedule = schedule(true, &[("a", 2, 1000), ("a", 2, 1000)]);
    let list = text(&schedule, Form::Ts, "", 1_000 * SECOND);
    assert!(!list.contains("#EXT-X-DISCONTINUITY\n"), "{list}");
    assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{list}");
    assert_eq!(list.lines().last(), Some("1000.ts"));
}

#[test]
fn nothing_is_listed_when_nothing_is_on() {
    let schedule = schedule(false, &[("a", 2, 1000)]);
    let at = |wall| response((&schedule, &Plan::of(&schedule)), Form::Ts, "", Wall(wall)).status;
    assert_eq!((at(-1), at(0), at(2 * SECOND)), (503, 200, 503));
}

#[test]
fn every_name_is_one_thing() {
    assert_eq!(Name::of("index.m3u8"), Some(Name::Playlist(Form::Mp4)));
    assert_eq!(Name::of("ts.m3u8"), Some(Name::Playlist(Form::Ts)));
    assert_eq!(Name::of("17.m4s"), Some(Name::Segment(Form::Mp4, 17)));
    assert_eq!(Name::of("0.ts"), Some(Name::Segment(Form::Ts, 0)));
    assert_eq!(Name::of("init-4.mp4"), Some(Name::Init(4)));
    for other in ["", "ts", "017.ts", "+1.ts", "1.mp4", "init-.mp4", "init-01.mp4", "1.m4s.ts"] {
        assert_eq!(Name::of(other), None, "{other}");
    }
}

/// What a player takes from a playlist: for each segment its discontinuity number and its map.
fn read(list: &str) -> Vec<(u64, (u64, String))> {
    let value = |tag: &str| list.lines().find_map(|line| line.strip_prefix(tag)).unwrap();
    let mut seq: u64 = value("#EXT-X-MEDIA-SEQUENCE:").parse().unwrap();
    let mut discontinuity: u64 = value("#EXT-X-DISCONTINUITY-SEQUENCE:").parse().unwrap();
    let (mut map, mut segments) = (String::new(), Vec::new());
    for line in list.lines() {
        match line {
            "#EXT-X-DISCONTINUITY" => discontinuity += 1,
            _ if line.starts_with("#EXT-X-MAP:") => line.clone_into(&mut map),
            _ if line.starts_with('#') => {}
            _ => {
                assert_eq!(line, format!("{seq}.m4s"));
                segments.push((seq, (discontinuity, map.clone())));
                seq += 1;
            }
        }
    }
    segments
}

proptest! {
    #[test]
    fn what_was_read_of_a_segment_stays_true(
        movies in prop::collection::vec(0_usize..3, 1..6),
        repeat in any::<bool>(),
    ) {
        let names = ["a", "b", "c"];
        // A name is one movie: its length follows from it.
        let movies: Vec<_> = movies.iter().map(|name| (names[*name], [2, 5, 3][*name], 1000))
            .collect();
        let schedule = schedule(repeat, &movies);
        let mut known = std::collections::BTreeMap::new();
        let until = i64::try_from(schedule.lap_blocks()).unwrap() * if repeat { 3 } else { 1 };
        for second in 0..until {
            let list = text(&schedule, Form::Mp4, "", second * SECOND + 1);
            let segments = read(&list);
            prop_assert_eq!(segments.last().unwrap().0, u64::try_from(second).unwrap());
            for (seq, about) in segments {
                let before = known.entry(seq).or_insert_with(|| about.clone()).clone();
                prop_assert_eq!(before, about, "segment {}", seq);
            }
        }
    }
}

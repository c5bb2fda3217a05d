//! Playlists against texts, and against a player that remembers what it has read.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::http::Body;
use crate::media::catalog::Movie;
use crate::media::sniff::Container;

const SECOND: i64 = 1_000_000_000;
const RUN: u64 = 0xab;

fn schedule(repeat: bool, movies: &[(&str, u32, u64)]) -> Schedule {
    let movie = |(name, blocks, ms): &(&str, u32, u64)| {
        Rc::new(Movie::even(name, Container::Mkv, *blocks, Duration::from_millis(*ms)))
    };
    Schedule::new(Wall(0), repeat, movies.iter().map(movie).collect())
}

/// Movies whose names begin alike have the same parameters.
fn signature(movie: &Movie) -> Option<Signature> {
    movie.name().bytes().next().map(u64::from).map(Signature)
}

/// The blocks of a playlist, as the node lists them.
fn segments(schedule: &Schedule, (first, last): (u64, u64)) -> Vec<Segment> {
    let plan = Plan::of(schedule, signature);
    let segment = |seq| {
        let position = schedule.position(seq).unwrap();
        let (change, signature) = (plan.changes_at(&position), signature(&position.movie));
        let (starts_at, lasts) = (position.starts_at, position.lasts);
        Segment { run: RUN, seq, starts_at, lasts, signature, change }
    };
    (first..=last).map(segment).collect()
}

fn text_of(playlist: &Playlist<'_>) -> String {
    let response = playlist.response();
    assert_eq!(response.status, 200);
    let Body::Bytes(bytes) = response.body else { panic!("a playlist is written here") };
    String::from_utf8(bytes.into()).unwrap()
}

fn text(schedule: &Schedule, form: Form, base: &str, now: i64) -> String {
    let shape = Shape::of(schedule);
    let range = range(schedule, shape.segments(), Wall(now)).unwrap();
    let position = schedule.position(range.0).unwrap();
    let before = Plan::of(schedule, signature).changes_before(schedule, &position);
    let segments = segments(schedule, range);
    text_of(&Playlist { form, base, shape, before, segments: &segments })
}

#[test]
fn a_playlist_names_the_newest_blocks_and_where_parameters_change() {
    let schedule = schedule(true, &[("a", 2, 2002), ("another", 2, 2002), ("b", 3, 1000)]);
    let list = text(&schedule, Form::Mp4, "", 9 * SECOND);
    let expected = "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MAP:URI=\"init-0000000000000061.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n\
        #EXTINF:2.002000,\n00000000000000ab-0.m4s\n#EXTINF:2.002000,\n00000000000000ab-1.m4s\n\
        #EXTINF:2.002000,\n00000000000000ab-2.m4s\n#EXTINF:2.002000,\n00000000000000ab-3.m4s\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-0000000000000062.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:08.008Z\n\
        #EXTINF:1.000000,\n00000000000000ab-4.m4s\n";
    assert_eq!(list, expected);
    let list = text(&schedule, Form::Ts, "https://cdn.example/ch/0/", 9 * SECOND);
    let newest = "\nhttps://cdn.example/ch/0/00000000000000ab-4.ts\n";
    assert!(list.contains(newest) && !list.contains("MAP"), "{list}");
}

#[test]
fn a_movie_that_begins_anew_is_no_discontinuity() {
    let schedule = schedule(true, &[("a", 2, 1000), ("a", 2, 1000)]);
    let list = text(&schedule, Form::Ts, "", 1_000 * SECOND);
    assert!(!list.contains("#EXT-X-DISCONTINUITY\n"), "{list}");
    assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{list}");
    assert_eq!(list.lines().last(), Some("00000000000000ab-1000.ts"));
}

#[test]
fn nothing_is_listed_when_nothing_is_on() {
    let schedule = schedule(false, &[("a", 2, 1000)]);
    let at = |wall| range(&schedule, 6, Wall(wall));
    assert_eq!((at(-1), at(0), at(2 * SECOND)), (None, Some((0, 0)), None));
}

#[test]
fn blocks_shorter_than_a_second_are_parts_too() {
    let schedule = schedule(true, &[("a", 4, 400)]);
    let list = text(&schedule, Form::Mp4, "", 100 * SECOND);
    for line in [
        "#EXT-X-VERSION:9",
        "#EXT-X-TARGETDURATION:1",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.200000",
        "#EXT-X-PART-INF:PART-TARGET=0.400000",
        "#EXT-X-PART:DURATION=0.400000,URI=\"00000000000000ab-250.m4s\",INDEPENDENT=YES",
    ] {
        assert!(list.lines().any(|found| found == line), "{line}: {list}");
    }
    let uris = list.lines().filter(|line| !line.starts_with('#')).count() as u64;
    assert_eq!(uris, limits::HLS_SHORT_SEGMENTS);
}

#[test]
fn a_block_that_cannot_be_had_is_a_gap() {
    let schedule = schedule(true, &[("a", 4, 1000)]);
    let mut listed = segments(&schedule, (3, 5));
    listed[1].signature = None;
    let shape = Shape::of(&schedule);
    let list = Playlist { form: Form::Mp4, base: "", shape, before: 7, segments: &listed };
    let list = text_of(&list);
    let gap = "#EXT-X-GAP\n#EXTINF:1.000000,\n00000000000000ab-4.m4s\n\
        #EXTINF:1.000000,\n00000000000000ab-5.m4s\n";
    assert!(list.contains(gap), "{list}");
    assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:7\n"), "{list}");
}

#[test]
fn a_block_with_parameters_of_its_own_has_its_own_init_segment() {
    let schedule = schedule(true, &[("a", 4, 1000)]);
    let mut listed = segments(&schedule, (1, 3));
    listed[1].signature = Some(Signature(5));
    let shape = Shape::of(&schedule);
    let list = Playlist { form: Form::Mp4, base: "", shape, before: 0, segments: &listed };
    let list = text_of(&list);
    let maps: Vec<_> =
        list.lines().filter_map(|line| line.strip_prefix("#EXT-X-MAP:URI=")).collect();
    let [own, its] = ["\"init-0000000000000061.mp4\"", "\"init-0000000000000005.mp4\""];
    assert_eq!(maps, [own, its, own]);
    // What nobody could count beforehand is not counted.
    assert!(!list.contains("#EXT-X-DISCONTINUITY\n"), "{list}");
}

#[test]
fn every_name_is_one_thing() {
    assert_eq!(Name::of("index.m3u8"), Some(Name::Playlist(Form::Mp4)));
    assert_eq!(Name::of("ts.m3u8"), Some(Name::Playlist(Form::Ts)));
    let segment = |form, seq| Some(Name::Segment(form, RUN, seq));
    assert_eq!(Name::of("00000000000000ab-17.m4s"), segment(Form::Mp4, 17));
    assert_eq!(Name::of("00000000000000ab-0.ts"), segment(Form::Ts, 0));
    let init = Some(Name::Init(Signature(RUN)));
    assert_eq!(Name::of("init-00000000000000ab.mp4"), init);
    for other in [
        "",
        "ts",
        "17.ts",
        "00000000000000ab-017.ts",
        "00000000000000AB-17.ts",
        "0000000000000ab-17.ts",
        "00000000000000ab-+1.ts",
        "00000000000000ab-1.mp4",
        "init-.mp4",
        "init-ab.mp4",
        "00000000000000ab-1.m4s.ts",
    ] {
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
                assert_eq!(line, format!("00000000000000ab-{seq}.m4s"));
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
        movies in prop::collection::vec(0_usize..4, 1..6),
        repeat in any::<bool>(),
    ) {
        let names = ["a", "b", "c", "also"];
        // A name is one movie: its length follows from it.
        let movies: Vec<_> = movies.iter().map(|name| (names[*name], [2, 5, 3, 4][*name], 1000))
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

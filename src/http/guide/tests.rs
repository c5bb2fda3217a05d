//! The guide against a text, a parser and the schedule.

use core::time::Duration;
use std::rc::Rc;

use roxmltree::Document;

use super::*;
use crate::http::samples::EVIL;
use crate::media::catalog::Movie;
use crate::media::sniff::Container;

const SECOND: i64 = 1_000_000_000;
/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600 * SECOND;

fn movie(name: &str, blocks: u32) -> Rc<Movie> {
    Rc::new(Movie::even(name, Container::Mkv, blocks, Duration::from_secs(2)))
}

fn schedule(repeat: bool, movies: &[(&str, u32)]) -> Schedule {
    let playlist = movies.iter().map(|(name, blocks)| movie(name, *blocks)).collect();
    Schedule::new(Wall(EPOCH), repeat, playlist)
}

fn channel<'a>(name: &'a str, schedule: &'a Schedule) -> Channel<'a> {
    Channel { number: 0, name, schedule: Some(schedule) }
}

#[test]
fn the_guide_tells_what_is_on_and_what_comes() {
    let schedule = schedule(false, &[("bars", 1800), ("a<b", 900)]);
    let guide = xml(&[channel("One & only", &schedule)], Wall(EPOCH + 7 * SECOND));
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <tv generator-info-name=\"vidstreamd\">\n\
        <channel id=\"ch0.vidstreamd\"><display-name>One &amp; only</display-name>\
        <display-name>1</display-name></channel>\n\
        <programme start=\"20260101000000 +0000\" stop=\"20260101010000 +0000\" \
        channel=\"ch0.vidstreamd\"><title>bars</title></programme>\n\
        <programme start=\"20260101010000 +0000\" stop=\"20260101013000 +0000\" \
        channel=\"ch0.vidstreamd\"><title>a&lt;b</title></programme>\n\
        </tv>\n";
    assert_eq!(guide, expected);
}

#[test]
fn a_parser_reads_back_every_name_whatever_is_in_it() {
    let schedule = schedule(true, &[("x", 4000)]);
    for name in [EVIL, "]]>", "\u{fffe}\u{ffff}", "\u{0}\u{85}\u{2028}", "&amp;<!--", "\u{10ffff}"]
    {
        let guide = xml(&[channel(name, &schedule)], Wall(EPOCH));
        let document = Document::parse(&guide).unwrap_or_else(|why| panic!("{name:?}: {why}"));
        let shown = document.descendants().find(|n| n.has_tag_name("display-name")).unwrap();
        let expected = crate::base::text::escaped(name.as_bytes());
        let expected = expected.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
        assert_eq!(shown.text(), Some(expected.as_str()));
    }
}

#[test]
fn two_days_of_programmes_follow_each_other_and_are_those_of_the_schedule() {
    let schedule = schedule(true, &[("a", 700), ("b", 1), ("c", 2500)]);
    let now = Wall(EPOCH + 123_456_789 * SECOND + 1);
    let all: Vec<_> = programmes(&schedule, now).collect();
    assert!(all[0].starts_at <= now && now < all[0].ends_at);
    assert!(all.windows(2).all(|two| two[0].ends_at == two[1].starts_at));
    assert!(all.last().unwrap().ends_at >= now + limits::GUIDE_AHEAD);
    for programme in &all {
        let At::On(position) = schedule.at(programme.starts_at) else { panic!("it is on") };
        assert_eq!((position.block, position.movie.name()), (0, &programme.title));
    }
    let guide = xml(&[channel("x", &schedule)], now);
    let document = Document::parse(&guide).unwrap();
    assert_eq!(document.descendants().filter(|n| n.has_tag_name("programme")).count(), all.len());
}

#[test]
fn a_guide_of_very_short_movies_is_bounded_and_shared() {
    let short = schedule(true, &[("a", 1)]);
    let channels: Vec<_> =
        (0..4).map(|number| Channel { number, name: "x", schedule: Some(&short) }).collect();
    let guide = xml(&channels, Wall(EPOCH));
    let of = |id: &str| guide.matches(&format!("channel=\"{id}.vidstreamd\"")).count();
    let share = limits::GUIDE_PROGRAMMES_MAX / 4;
    assert_eq!((of("ch0"), of("ch3")), (share, share));
}

#[test]
fn before_the_epoch_the_beginning_is_told_and_after_the_end_nothing() {
    let schedule = schedule(false, &[("a", 1800)]);
    let count = |wall| programmes(&schedule, Wall(wall)).count();
    assert_eq!(count(EPOCH - 3600 * SECOND), 1);
    assert_eq!(count(EPOCH - 72 * 3600 * SECOND), 0);
    assert_eq!(count(EPOCH + 3600 * SECOND), 0);
    let empty = Schedule::new(Wall(0), true, vec![]);
    assert_eq!(programmes(&empty, Wall(5)).count(), 0);
    let unknown = Channel { number: 0, name: "tv://a/0", schedule: None };
    assert!(Document::parse(&xml(&[unknown], Wall(0))).is_ok());
}

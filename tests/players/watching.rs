//! Every player on every output of a channel, over a change of movie and a loop.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::browser::Browser;
use crate::film::Shown;
use crate::harness::{Channel, SOON, can, first_byte};
use crate::programs::{self, Seat, Watched};

/// Every output that a player can be told.
const OUTPUTS: [&str; 5] =
    ["/ch/0.ts", "/ch/0.mp4", "/ch/0.mkv", "/ch/0/index.m3u8", "/ch/0/ts.m3u8"];
/// Those that a browser plays as they are.
const OF_BROWSERS: [&str; 3] = ["/ch/0.mp4", "/ch/0/index.m3u8", "/ch/0/ts.m3u8"];
/// The script that reads pictures.
pub(crate) const WATCH: &str = include_str!("watch.js");
/// A browser that knows no HLS by itself, as many do.
pub(crate) const NO_HLS: &str = "HTMLMediaElement.prototype.canPlayType = () => ''";
/// Seconds that the players watch, unless the environment says otherwise.
const SECONDS: u32 = 32;
const SECONDS_LEAST: u32 = 30;
/// How long after its first picture a browser has found its place.
const PLACE_MS: u32 = 1000;

/// One line of the table.
struct Line {
    player: &'static str,
    path: &'static str,
    shown: Shown,
    /// Pictures that the player itself says it let go.
    dropped: u32,
    /// How often it stood still because the next picture was not there.
    waits: u64,
    /// From the address to the first picture, where it was measured.
    first_ms: Option<f64>,
    complaints: Vec<String>,
}

/// How often the first picture is waited for, and what it may take.
const FIRSTS: usize = 5;
const FIRST_MS_MAX: f64 = 300.0;
/// How often players may try to show everything.
const TRIES: usize = 3;

/// Seconds to watch, and whether somebody asked for just that.
fn seconds() -> (u32, bool) {
    let asked = std::env::var("VIDSTREAMD_PLAYERS_SECONDS").ok();
    let asked = asked.map(|text| text.parse().expect("VIDSTREAMD_PLAYERS_SECONDS is a number"));
    (asked.unwrap_or(SECONDS).max(SECONDS_LEAST), asked.is_some())
}

/// The players want the machine for themselves: they take turns.
static MACHINE: Mutex<()> = Mutex::new(());

/// Holds the others up until it is dropped.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    // One that has failed has let go of the machine, too.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ffmpeg_and_mpv_show_every_picture() {
    if can(&["ffmpeg", "mpv"]) {
        let _turn = alone();
        watch(|channel, seconds| in_programs(channel, seconds, &[programs::ffmpeg, programs::mpv]));
    }
}

#[test]
fn vlc_shows_the_pictures() {
    if can(&["ffmpeg", "cvlc", "mkfifo"]) {
        let _turn = alone();
        watch(|channel, seconds| in_programs(channel, seconds, &[programs::vlc]));
    }
}

#[test]
fn chromium_shows_every_picture() {
    if can(&["ffmpeg", "chromium"]) {
        let _turn = alone();
        watch(|channel, seconds| {
            thread::scope(|scope| {
                let own = scope.spawn(|| in_browser(channel, seconds));
                let page = in_page(channel, seconds);
                own.join().expect("a browser").into_iter().chain(page).collect()
            })
        });
    }
}

/// One at a time, as a person opens them: the time is not the machine's that starts two browsers.
#[test]
fn the_first_picture_comes_at_once() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    let channel = Channel::start(12);
    let mut browser = Browser::start((1000, 600));
    browser.before_each_page(NO_HLS);
    for path in OF_BROWSERS.into_iter().chain(["/"]) {
        let mut times: Vec<_> =
            (0..FIRSTS).map(|_| first_ms(&mut browser, path, &channel)).collect();
        println!("first picture of {path}: {times:.0?} ms");
        times.sort_by(f64::total_cmp);
        let (median, strict) = (times[FIRSTS / 2], seconds().1);
        assert!(!strict || median <= FIRST_MS_MAX, "{path}: {median} ms");
    }
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// From the address, or the click, to the first picture, in a page that was just opened.
fn first_ms(browser: &mut Browser, path: &str, channel: &Channel) -> f64 {
    if path == "/" {
        browser.open(&channel.url("/"));
        browser.run(WATCH);
        browser.run("watchPictures('/', document.getElementById('video'))");
        browser.run("document.querySelector('a[data-channel=\"0\"]').click()");
    } else {
        browser.open(&channel.url("/healthz"));
        browser.run(WATCH);
        browser.run(&format!("watchUrl('{path}', '{path}')"));
    }
    browser.wait(&format!("watched['{path}'].firstMs >= 0"));
    browser.run(&format!("watched['{path}'].firstMs")).as_f64().expect("a number")
}

#[test]
fn the_first_byte_comes_at_once() {
    if !can(&["ffmpeg"]) {
        return;
    }
    let _turn = alone();
    let channel = Channel::start(12);
    for path in OUTPUTS {
        println!("first byte of {path}: {:.1?}", first_byte(channel.daemon.http(), path));
    }
}

/// Has some players watch, prints their table and judges it.
fn watch(players: impl Fn(&Channel, u32) -> Vec<Line>) {
    let (seconds, strict) = seconds();
    // Players decode in real time: a machine that does something else for a second makes them drop
    // pictures that were sent as they should be. Nothing but that may be tried again.
    let tries = if strict { 1 } else { TRIES };
    let mut dropped = Vec::new();
    for _ in 0..tries {
        // Within the time lie the end of the one and of the other.
        let channel = Channel::start(seconds / 6 * 2);
        open_to_nobody(channel.directory.path());
        let mut lines = players(&channel, seconds);
        lines.sort_by_key(|line| (line.player, line.path));
        println!("{}", table(&lines, seconds));
        let faults: Vec<String> = lines.iter().flat_map(line_faults).collect();
        assert!(faults.is_empty(), "{faults:#?}");
        dropped = lines.iter().flat_map(|line| line_drops(line, seconds, strict)).collect();
        if dropped.is_empty() {
            return;
        }
        println!("{dropped:#?}");
    }
    panic!("{dropped:#?}");
}

fn in_programs(channel: &Channel, seconds: u32, programs: &[fn(&Seat) -> Watched]) -> Vec<Line> {
    let seats = programs.iter().flat_map(|program| OUTPUTS.map(|path| (program, path)));
    thread::scope(|scope| {
        let watching: Vec<_> = (0..)
            .zip(seats)
            .map(|(number, (program, path)): (usize, _)| {
                let directory = channel.directory.path().join(format!("seat{number}"));
                fs::create_dir(&directory).expect("a directory");
                let seat = Seat { url: channel.url(path), path, seconds, directory };
                scope.spawn(move || program_line(&program(&seat), channel))
            })
            .collect();
        watching.into_iter().map(|one| one.join().expect("a player")).collect()
    })
}

/// VLC is nobody, and must come to its own directory.
fn open_to_nobody(directory: &Path) {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory, open).expect("our own directory");
}

fn program_line(watched: &Watched, channel: &Channel) -> Line {
    let Watched { player, path, numbers, complaints } = watched;
    let shown = Shown::of(numbers, channel.pictures);
    Line {
        player,
        path,
        shown,
        dropped: 0,
        waits: 0,
        first_ms: None,
        complaints: complaints.clone(),
    }
}

/// Chromium's own players, side by side in one page.
fn in_browser(channel: &Channel, seconds: u32) -> Vec<Line> {
    let mut browser = Browser::start((1000, 600));
    browser.open(&channel.url("/healthz"));
    let native =
        browser.run("document.createElement('video').canPlayType('application/x-mpegurl')");
    let paths = if native == "" { &OF_BROWSERS[..1] } else { &OF_BROWSERS[..] };
    browser.run(WATCH);
    for path in paths {
        browser.run(&format!("watchUrl('{path}', '{path}')"));
    }
    wait(&mut browser, seconds);
    let complaints = browser.complaints();
    let mut line = |path: &&'static str| browser_line(&mut browser, ("Chromium", path), channel);
    let mut lines: Vec<Line> = paths.iter().map(&mut line).collect();
    // Nobody says which of the players it was.
    lines[0].complaints.extend(complaints);
    lines
}

/// The page's own player, by Media Source.
fn in_page(channel: &Channel, seconds: u32) -> Vec<Line> {
    let mut browser = Browser::start((1000, 600));
    browser.before_each_page(NO_HLS);
    browser.open(&channel.url("/"));
    browser.run(WATCH);
    browser.run("watchPictures('/', document.getElementById('video'))");
    browser.run("document.querySelector('a[data-channel=\"0\"]').click()");
    wait(&mut browser, seconds);
    let complaints = browser.complaints();
    let mut line = browser_line(&mut browser, ("Chromium, page", "/"), channel);
    line.complaints.extend(complaints);
    vec![line]
}

fn wait(browser: &mut Browser, seconds: u32) {
    let script = format!("new Promise(r => setTimeout(r, {seconds} * 1000))");
    browser.run_within(&script, Duration::from_secs(seconds.into()) + SOON);
}

fn browser_line(
    browser: &mut Browser,
    (player, path): (&'static str, &'static str),
    channel: &Channel,
) -> Line {
    let report = browser.run(&format!("watched['{path}'].end()"));
    let list = |key: &str| -> Vec<u32> {
        let all = report[key].as_array().expect("a list");
        all.iter().map(|n| n.as_u64().and_then(|n| n.try_into().ok()).expect("small")).collect()
    };
    // A player of live playlists looks for its place first, and jumps there.
    let times = list("times");
    let begins = times.iter().take_while(|time| **time < times[0] + PLACE_MS).count();
    let mut shown = Shown::of(&list("numbers")[begins..], channel.pictures);
    // Pictures that were on the screen although the script, which has its turn when it can, did
    // not come to see them.
    let presented = &list("presented")[begins..];
    let unseen: u32 = presented.windows(2).map(|two| (two[1] - two[0]).saturating_sub(1)).sum();
    let unseen = unseen.min(shown.missing);
    shown.missing -= unseen;
    shown.pictures += unseen;
    let fault = report["fault"].as_str().map(|why| format!("the video: {why}"));
    Line {
        player,
        path,
        shown,
        dropped: report["dropped"].as_u64().map_or(0, |n| n.try_into().expect("small")),
        waits: report["waits"].as_u64().expect("a number"),
        first_ms: report["firstMs"].as_f64(),
        complaints: fault.into_iter().collect(),
    }
}

fn table(lines: &[Line], seconds: u32) -> String {
    let mut text = format!("{seconds} s of each output:\n");
    writeln!(
        text,
        "{:<16}{:<18}{:>9}{:>9}{:>7}{:>9}{:>7}{:>9}{:>11}{:>8}",
        "player",
        "path",
        "pictures",
        "missing",
        "again",
        "dropped",
        "waits",
        "changes",
        "first, ms",
        "faults"
    )
    .expect("a string takes text");
    for line in lines {
        let Shown { pictures, missing, again, changes, .. } = &line.shown;
        let first = line.first_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
        writeln!(
            text,
            "{:<16}{:<18}{pictures:>9}{missing:>9}{again:>7}{:>9}{:>7}{changes:>9}{first:>11}{:>8}",
            line.player,
            line.path,
            line.dropped,
            line.waits,
            line.complaints.len(),
        )
        .expect("a string takes text");
    }
    text
}

/// What a player must not have done, however busy the machine is.
fn line_faults(line: &Line) -> Vec<String> {
    let Shown { strange, changes, .. } = &line.shown;
    let mut faults = line.complaints.clone();
    if *strange > 0 || *changes < 2 {
        faults.push(format!("{strange} strange pictures, {changes} changes of movie"));
    }
    named(line, faults)
}

/// Pictures that it has not shown.
fn line_drops(line: &Line, seconds: u32, strict: bool) -> Vec<String> {
    let Shown { pictures, missing, holes, .. } = &line.shown;
    let whole = seconds * 25;
    let allowed = match (line.player, strict) {
        ("VLC", true) => whole / 200,
        ("VLC", false) => whole / 50,
        // A busy machine makes a browser let pictures go, and it says so.
        ("Chromium" | "Chromium, page", false) => line.dropped,
        _ => 0,
    };
    let mut drops = Vec::new();
    if *missing > allowed {
        drops.push(format!("{missing} pictures missing, {holes:?}"));
    }
    // What it takes to begin, on a busy machine.
    let least = if strict { whole - 8 * 25 } else { whole / 2 };
    if *pictures < least {
        drops.push(format!("{pictures} pictures of {whole}"));
    }
    named(line, drops)
}

fn named(line: &Line, faults: Vec<String>) -> Vec<String> {
    let name = |fault: String| format!("{} on {}: {fault}", line.player, line.path);
    faults.into_iter().map(name).collect()
}

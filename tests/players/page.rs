//! The page at `/` in a real browser: its player plays with what the browser has, it can be used
//! without a mouse, it has words for those who do not see it, and it fits a phone and a wall.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::browser::Browser;
use crate::harness::{Channel, can};
use crate::watching::{NO_HLS, WATCH, alone};

/// Widths and heights of what the page is looked at on.
const SCREENS: [(&str, (u32, u32)); 3] =
    [("phone", (390, 844)), ("desktop", (1440, 900)), ("wall", (3840, 2160))];
/// It plays: its clock goes, and at least as many pictures were shown as a second has.
const PLAYS: &str = "(() => { const v = document.getElementById('video'); \
                     return !v.paused && v.readyState > 2 && \
                     v.getVideoPlaybackQuality().totalVideoFrames > 25 && \
                     v.currentTime - v.played.start(0) > 1; })()";

/// A daemon with its page in a browser, after the browser was prepared by a script.
fn page(before: &str, size: (u32, u32)) -> (Channel, Browser) {
    let channel = Channel::start(12);
    let mut browser = Browser::start(size);
    browser.before_each_page(before);
    browser.open(&channel.url("/"));
    (channel, browser)
}

fn assert_no_complaints(browser: &mut Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_page_plays_with_what_the_browser_has() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    let no_source =
        format!("{NO_HLS}; delete window.MediaSource; delete window.ManagedMediaSource");
    let ways = [("HLS of its own", ""), ("Media Source", NO_HLS), ("neither", &*no_source)];
    for (what, before) in ways {
        let (_channel, mut browser) = page(before, (1000, 700));
        browser.run(WATCH);
        browser.run("watchPictures('/', document.getElementById('video'))");
        browser.run("document.querySelector('a[data-channel]').click()");
        browser.wait(PLAYS);
        let report = browser.run("watched['/'].end()");
        println!("{what}: the first picture after {} ms", report["firstMs"]);
        assert_eq!(report["fault"], json!(null), "{what}");
        assert_no_complaints(&mut browser);
    }
}

#[test]
fn codecs_are_called_what_browsers_call_them() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    let (channel, mut browser) = page("", (1000, 700));
    // What Debian's Chromium decodes, and by its name alone what it does not.
    let kinds = [
        (["libx264", "aac"], r"avc1\.6400[0-9a-f]{2},mp4a\.40\.2", true),
        (["libvpx-vp9", "libopus"], r"vp09\.00\.\d\d\.08,opus", true),
        (["libsvtav1", "flac"], r"av01\.0\.\d\dM\.08,flac", true),
        (["libx265", "ac3"], r"hev1\.1\.6\.L\d+(\.[0-9a-f]+)*,ac-3", false),
        (["libx264", "libmp3lame"], r"avc1\.6400[0-9a-f]{2},mp4a\.6b", false),
    ];
    for ([video, audio], pattern, plays) in kinds {
        let init = init(&channel, video, audio);
        let name = browser.run(&format!("mediaType(new Uint8Array({init:?}).buffer)"));
        let name = name.as_str().expect("a text");
        let fits = format!("/^video\\/mp4; codecs=\"{pattern}\"$/.test('{name}')");
        assert_eq!(browser.run(&fits), json!(true), "{video} and {audio}: {name}");
        if plays {
            let known = browser.run(&format!("MediaSource.isTypeSupported('{name}')"));
            assert_eq!(known, json!(true), "{name}");
        }
    }
}

/// The beginning of a movie that ffmpeg made of these codecs.
fn init(channel: &Channel, video: &str, audio: &str) -> Vec<u8> {
    let file = channel.directory.path().join("codecs.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=128x96:d=0.4"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=d=0.4", "-pix_fmt", "yuv420p", "-c:v", video]);
    ffmpeg.args(["-c:a", audio, "-ac", "2", "-strict", "-2"]);
    ffmpeg.args(["-movflags", "empty_moov+delay_moov"]).arg(&file).stderr(Stdio::null());
    assert!(ffmpeg.status().expect("ffmpeg runs").success(), "{ffmpeg:?}");
    let bytes = fs::read(&file).expect("it was made");
    let end = bytes.windows(4).position(|w| w == b"moof").expect("a fragment");
    bytes[..end].to_vec()
}

#[test]
fn a_player_that_lost_its_server_goes_on_when_it_is_back() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    let (mut channel, mut browser) = page(NO_HLS, (1000, 700));
    browser.run("document.querySelector('a[data-channel]').click()");
    browser.wait(PLAYS);
    channel.restart();
    browser.run("window.then = document.getElementById('video').currentTime");
    browser.wait("document.getElementById('video').currentTime > then + 8");
    browser.wait(PLAYS);
}

#[test]
fn the_page_is_used_by_keys_and_read_aloud() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    let (_channel, mut browser) = page("", (390, 844));
    browser.press("Tab", 9);
    assert_eq!(browser.run("document.activeElement.dataset.channel"), "0");
    let outline = browser.run("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "it is seen where one stands");
    browser.press("Enter", 13);
    browser.wait(PLAYS);
    assert_eq!(browser.run("document.activeElement.id"), "video");
    let current = "document.querySelector('a[data-channel]').getAttribute('aria-current')";
    assert_eq!(browser.run(current), "true");
    browser.call("Accessibility.enable", json!({}));
    let tree = browser.call("Accessibility.getFullAXTree", json!({})).to_string();
    for words in ["Watch channel 0, Bars", "Watching channel 0, Bars", "Channels", "Player"] {
        assert!(tree.contains(words), "{words}");
    }
    // What is new on the page every five seconds leaves one where one stands.
    browser.run("document.querySelector('a[data-channel]').focus()");
    browser.run("window.old = document.querySelector('.list')");
    browser.wait("document.querySelector('.list') !== old");
    assert_eq!(browser.run("document.activeElement.dataset.channel"), "0");
    assert_no_complaints(&mut browser);
}

#[test]
fn the_page_fits_every_screen() {
    if !can(&["ffmpeg", "chromium"]) {
        return;
    }
    let _turn = alone();
    // For whoever wants to look at it.
    let pictures = std::env::var_os("VIDSTREAMD_PLAYERS_PICTURES").map(PathBuf::from);
    for (name, size) in SCREENS {
        let (channel, mut browser) = page("", size);
        for scheme in ["light", "dark"] {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            browser.call("Emulation.setEmulatedMedia", json!({"features": features}));
            browser.open(&channel.url("/"));
            browser.run("document.querySelector('a[data-channel]').click()");
            browser.wait(PLAYS);
            let wide = browser.run("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(wide, json!(true), "{name} in {scheme}: nothing goes over its edge");
            let button = "document.querySelector('.watch').getBoundingClientRect().height >= 40";
            assert_eq!(browser.run(button), json!(true), "{name}: a finger finds it");
            if let Some(folder) = &pictures {
                browser.picture(&folder.join(format!("{name}-{scheme}.png")));
            }
        }
        assert_no_complaints(&mut browser);
    }
}

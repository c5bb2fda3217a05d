//! The page at `/` in a real browser: its player plays with what the browser has, it can be used
//! without a mouse, it has words for those who do not see it, and it fits a phone and a wall.

use std::path::PathBuf;

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

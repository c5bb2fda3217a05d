//! The page against the rules of HTML that matter to it.

use super::*;
use crate::http::samples::full;

const VOID: [&str; 1] = ["meta"];

type Attributes = Vec<(String, String)>;

/// Every tag's name and attributes; panics where one is not well formed, not closed or closed out
/// of order.
fn tags(page: &str) -> Vec<(String, Attributes)> {
    let body = page.strip_prefix("<!DOCTYPE html>\n").expect("standards mode");
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut rest = body;
    while let Some((before, inside)) = rest.split_once('<') {
        assert!(!before.contains('>') && entities_are_known(before), "{before}");
        let (tag, behind) = inside.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
        } else {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{tag}");
            found.push((name.to_owned(), attributes_of(attributes)));
            if !VOID.contains(&name) {
                open.push(name.to_owned());
            }
        }
        rest = behind;
    }
    assert!(open.is_empty() && rest == "\n", "{open:?} {rest:?}");
    found
}

fn attributes_of(mut text: &str) -> Attributes {
    let mut attributes = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").expect("values are quoted");
        let (value, behind) = rest.split_once('"').expect("quotes are closed");
        assert!(entities_are_known(value), "{value}");
        attributes.push((name.to_owned(), value.to_owned()));
        text = behind.strip_prefix(' ').unwrap_or(behind);
    }
    attributes
}

fn entities_are_known(text: &str) -> bool {
    let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
    text.split('&').skip(1).all(|rest| known.iter().any(|name| rest.starts_with(name)))
}

fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_page_is_well_formed_and_readable_by_every_browser() {
    for status in [Status::default(), full()] {
        let page = html(&status);
        let tags = tags(&page);
        let has = |name: &str, key: &str, value: &str| {
            tags.iter().any(|(n, a)| n == name && attribute(a, key) == Some(value))
        };
        assert!(has("html", "lang", "en") && has("meta", "charset", "utf-8"));
        assert!(has("meta", "name", "viewport") && has("meta", "http-equiv", "refresh"));
        assert!(has("meta", "content", "light dark"));
        let count = |name: &str| tags.iter().filter(|(n, _)| n == name).count();
        assert_eq!((count("title"), count("h1"), count("main"), count("script")), (1, 1, 1, 1));
        assert!(
            tags.iter()
                .filter(|(n, _)| n == "progress")
                .all(|(_, a)| { attribute(a, "aria-label").is_some() })
        );
        assert_eq!(count("caption"), count("table"));
        assert!(
            tags.iter().filter(|(n, _)| n == "th").all(|(_, a)| attribute(a, "scope").is_some())
        );
    }
}

#[test]
fn every_address_is_one_of_our_own() {
    let page = html(&full());
    let mut links = Vec::new();
    for (_, attributes) in tags(&page) {
        assert!(attribute(&attributes, "src").is_none_or(|src| src == SCRIPT_PATH));
        assert!(attribute(&attributes, "style").is_none());
        assert!(attributes.iter().all(|(_, value)| !value.contains("//")), "no other address");
        links.extend(attribute(&attributes, "href").map(str::to_owned));
    }
    let expected = ["/ch/0.mp4", "/channels.m3u", "/guide.xml", "/status.json", "/metrics"];
    assert_eq!(links, expected);
}

#[test]
fn the_script_is_small_and_knows_no_other_address() {
    assert!(SCRIPT.len() < 10_000, "{} bytes", SCRIPT.len());
    for foreign in ["http:", "https:", "\"//", "`//", "'//", "eval", "innerHTML", "import("] {
        assert!(!SCRIPT.contains(foreign), "{foreign}");
    }
}

#[test]
fn foreign_text_stays_text() {
    let page = html(&full());
    assert!(!page.contains("<script>") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"), "{page}");
}

#[test]
fn the_page_tells_what_is_on() {
    let page = html(&full());
    for part in [
        "relay 0.1.0, up 1day 2h 3m 4s",
        "</strong> (filler in its place), since <time ",
        "<progress max=\"3600\" value=\"900\" ",
        "data-channel=\"0\"",
        "<time datetime=\"2026-01-02T03:04:05.678Z\">03:04:05 UTC</time>",
        ", at <time datetime=\"2026-01-02T04:04:05.678Z\">04:04:05 UTC</time></p>",
        "<p class=\"viewers\">3 watching over tv, of 10; 2 over HTTP</p>",
        "<p>Off</p>",
        "17 blocks received",
        "2 files, 2.1 MB",
        "no room for more",
        "member 00000000000000ab of 127.0.0.1:6061, 2 parents</th><td>1 of 4</td>",
        "root 00000000000000ac, 12 members</th>",
        "<td>7, 1 missed, 2 late</td><td>3 pulls, 4 parents lost, 5 bad stripes</td>",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn sizes_and_ages_are_short() {
    let shown: Vec<_> =
        [0, 999, 1_500, 3_000_000, 7_000_000_000].map(|n| Size(n).to_string()).into();
    assert_eq!(shown, ["0 B", "999 B", "1.5 kB", "3.0 MB", "7.0 GB"]);
    assert_eq!((age(59.9), age(f64::NAN), age(-1.0)), ("59s".into(), "0s".into(), "0s".into()));
}

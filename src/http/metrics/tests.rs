//! The document against a strict reading of the `OpenMetrics` 1.0 text format.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::http::samples::{EVIL, full};

type Labels = BTreeMap<String, String>;

/// One family as it was read.
#[derive(Default, Debug)]
struct Read {
    kind: String,
    unit: String,
    help: String,
    samples: Vec<(String, Labels, f64)>,
}

/// Reads a document; panics with the line that breaks a rule.
fn read(document: &str) -> BTreeMap<String, Read> {
    let lines = document.strip_suffix("# EOF\n").expect("the last line is # EOF");
    let mut families: BTreeMap<String, Read> = BTreeMap::new();
    let mut current = String::new();
    for line in lines.split_terminator('\n') {
        assert!(!line.is_empty() && line != "# EOF" && !line.contains('\r'), "{line:?}");
        if let Some(metadata) = line.strip_prefix("# ") {
            let mut words = metadata.splitn(3, ' ');
            let (what, name, value) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(is_name(name, true), "{line}");
            if name != current {
                assert!(!families.contains_key(name), "families are not mixed: {line}");
                current = name.to_owned();
            }
            let family = families.entry(current.clone()).or_default();
            assert!(family.samples.is_empty(), "what describes comes first: {line}");
            let place = match what {
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                "HELP" => &mut family.help,
                _ => panic!("{line}"),
            };
            assert!(place.is_empty(), "said twice: {line}");
            value.clone_into(place);
        } else {
            let sample = read_sample(line);
            families.get_mut(&current).expect("a family begins with its type").samples.push(sample);
        }
    }
    families
}

fn is_name(name: &str, colon: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn read_sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, true), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"").unwrap();
            assert!(is_name(label, false), "{line}");
            let (value, behind) = read_value(behind, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
            if let Some(behind) = behind.strip_prefix('}') {
                rest = behind;
                break;
            }
            rest = behind.strip_prefix(',').unwrap_or_else(|| panic!("{line}"));
        }
    }
    let number = rest.strip_prefix(' ').unwrap();
    assert!(!number.contains(' '), "no timestamp was meant: {line}");
    (name.to_owned(), labels, number.parse().unwrap_or_else(|_| panic!("{line}")))
}

fn read_value<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => panic!("no such escape: {line}"),
            },
            c => value.push(c),
        }
    }
    panic!("a quote is open: {line}");
}

fn check(name: &str, family: &Read) {
    assert!(name.starts_with("vidstreamd_") && !family.help.is_empty(), "{name}");
    assert!(family.unit.is_empty() || name.ends_with(&format!("_{}", family.unit)), "{name}");
    assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
    let mut seen = BTreeSet::new();
    for (sample, labels, value) in &family.samples {
        assert!(seen.insert((sample, labels)), "{sample} {labels:?} twice");
        let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{sample} under {name}"));
        let good = match (family.kind.as_str(), suffix) {
            ("counter", "_total") => *value >= 0.0,
            ("gauge", "") | ("histogram", "_bucket" | "_count" | "_sum") => value.is_finite(),
            ("info", "_info") => value.to_string() == "1",
            ("stateset", "") => {
                labels.contains_key(name) && ["0", "1"].contains(&value.to_string().as_str())
            }
            _ => false,
        };
        assert!(good, "{} {sample} {labels:?} {value}", family.kind);
        assert_eq!(labels.contains_key("le"), suffix == "_bucket");
    }
    if family.kind == "histogram" {
        check_histogram(name, family);
    }
}

fn check_histogram(name: &str, family: &Read) {
    let of = |suffix: &str| {
        let name = format!("{name}{suffix}");
        family.samples.iter().filter(move |(sample, ..)| *sample == name)
    };
    // One distribution for each set of labels: here those of the first.
    let (_, first, _) = of("_count").next().unwrap();
    let of = |suffix: &str| {
        let alike = |labels: &Labels| first.iter().all(|(label, value)| labels[label] == *value);
        of(suffix).filter(move |(_, labels, _)| alike(labels)).collect::<Vec<_>>().into_iter()
    };
    let buckets: Vec<(f64, f64)> =
        of("_bucket").map(|(_, labels, v)| (labels["le"].parse().unwrap(), *v)).collect();
    assert!(buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1), "{buckets:?}");
    assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, of("_count").next().unwrap().2));
    assert!(
        of("_bucket").all(|(_, labels, _)| labels["le"] == "+Inf" || labels["le"].contains('.'))
    );
    assert_eq!((of("_count").count(), of("_sum").count()), (1, 1));
}

#[test]
fn every_family_keeps_the_rules_of_the_format() {
    for status in [Status::default(), full()] {
        let document = exposition(&status);
        let families = read(&document);
        for (name, family) in &families {
            check(name, family);
        }
        let samples: Vec<_> = families
            .iter()
            .flat_map(|(name, f)| f.samples.iter().map(move |(sample, ..)| (sample, name)))
            .collect();
        for (sample, name) in samples {
            assert!(sample == name || !families.contains_key(sample), "{sample} is two things");
        }
    }
}

#[test]
fn numbers_and_names_arrive_as_they_were() {
    let families = read(&exposition(&full()));
    let first = |name: &str| families[name].samples[0].clone();
    let answers: Vec<f64> =
        families["vidstreamd_http_answers"].samples.iter().map(|(.., v)| *v).collect();
    assert_eq!(answers, [5.0, 4.0, 3.0, 2.0]);
    let (_, labels, _) = first("vidstreamd_channel");
    assert_eq!(
        (labels["channel"].as_str(), labels["name"].clone()),
        ("0", text::escaped(EVIL.as_bytes()))
    );
    assert!(exposition(&full()).contains("vidstreamd_tv_sent_bytes_total 18446744073709551615\n"));
    let mesh: Vec<_> = families["vidstreamd_mesh_sent_bytes"]
        .samples
        .iter()
        .map(|(_, labels, value)| (labels["channel"].as_str(), labels["role"].as_str(), *value))
        .collect();
    assert_eq!(mesh, [("0", "member", 8_000.0), ("0", "root", 9_000.0)]);
    assert_eq!(families["vidstreamd_mesh_members"].samples.len(), 1, "a member has none");
    assert_eq!(first("vidstreamd_mesh").1["node"], "00000000000000ab");
    let repairs = |name: &str| first("vidstreamd_mesh_repair_seconds").1[name].clone();
    assert_eq!((repairs("channel").as_str(), repairs("role").as_str()), ("0", "member"));
    assert!(
        exposition(&full())
            .contains("_repair_seconds_bucket{channel=\"0\",role=\"member\",le=\"0.25\"} 1\n")
    );
    for (name, value) in [
        ("jukebox_songs", 3.0),
        ("jukebox_frames", 70.0),
        ("events_members", 5.0),
        ("events_bad_lines", 6.0),
        ("files_transfers", 4.0),
        ("files_acked_bytes", 5e9),
        ("files_retransmitted", 8.0),
        ("files_lost", 9.0),
        ("files_refused", 10.0),
        ("files_bad_requests", 11.0),
    ] {
        assert_eq!(first(&format!("vidstreamd_{name}")).2.to_bits(), f64::to_bits(value), "{name}");
    }
    let on = |name: &str| {
        let on = families[name].samples.iter().filter(|(.., v)| *v > 0.0);
        on.map(|(_, labels, _)| labels[name].clone()).collect::<Vec<_>>()
    };
    assert_eq!(on("vidstreamd_channel_state"), ["on_air", "off"]);
    assert_eq!(on("vidstreamd_store_state"), ["full"]);
    let bounds: Vec<String> = families["vidstreamd_tv_delivery_seconds"]
        .samples
        .iter()
        .filter_map(|(_, labels, _)| labels.get("le").cloned())
        .collect();
    assert_eq!(
        bounds,
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.0", "5.0", "+Inf"]
    );
}

#[test]
fn the_reader_of_these_tests_is_strict() {
    for broken in [
        "",
        "# TYPE a gauge\n# HELP a x.\na 1\n",
        "# TYPE a gauge\n\n# EOF\n",
        "a 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"\\x\"} 1\n# EOF\n",
        "# TYPE a gauge\na{b=\"c\",b=\"c\"} 1\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n",
        "# TYPE a gauge\n# TYPE a gauge\n# EOF\n",
    ] {
        assert!(std::panic::catch_unwind(|| read(broken)).is_err(), "{broken:?}");
    }
}

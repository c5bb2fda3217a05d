//! Who may use whom: the table of the architecture as data, and the paths of the source against it.
//! Code under `#[cfg(test)]` may name what it likes except what touches the world.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::rust::{Kind, Source, Token};

/// A row of the table.
struct Layer {
    name: &'static str,
    /// Its places: folders or files of `src` without `.rs`, or folders of the root. `*` is any one.
    holds: &'static [&'static str],
    /// The layers that it may use. [`OWN`] is the folder of the file itself, [`OWN_WIRE`] only its
    /// wire file.
    uses: &'static [&'static str],
}

const OWN: &str = "own folder";
const OWN_WIRE: &str = "own wire file";
const LIBRARY: &str = "vidstreamd";

/// The table. A place belongs to the first row that holds it.
const LAYERS: &[Layer] = &[
    Layer { name: "crate root", holds: &["lib"], uses: &[] },
    Layer { name: "base", holds: &["base"], uses: &["base"] },
    Layer { name: "wire", holds: &["*/wire"], uses: &["base", OWN_WIRE] },
    Layer { name: "media", holds: &["media", "container"], uses: &["base", "media"] },
    Layer { name: "config", holds: &["config"], uses: &["base", "media", "config"] },
    Layer { name: "channel", holds: &["channel"], uses: &["base", "media", "config", OWN] },
    Layer {
        name: "machines",
        holds: &["tv", "mesh", "group", "files", "jukebox", "events", "http", "control"],
        uses: &["base", "media", "config", "channel", OWN],
    },
    Layer {
        name: "node",
        holds: &["node"],
        uses: &["base", "wire", "media", "config", "channel", "machines", "node"],
    },
    Layer { name: "io", holds: &["io"], uses: &["base", "media", "config", "io"] },
    Layer {
        name: "daemon",
        holds: &["daemon", "flags", "main"],
        uses: &["base", "media", "config", "node", "io", "daemon"],
    },
    Layer {
        name: "programs",
        holds: &["bin"],
        uses: &["base", "wire", "media", "config", "machines", "node", "io", "daemon"],
    },
    Layer {
        name: "simulation",
        holds: &["tests/sim"],
        uses: &["base", "wire", "media", "config", "channel", "machines", "node"],
    },
    // They drive the program from outside, or one part of it alone.
    Layer {
        name: "tests",
        holds: &["tests"],
        uses: &["base", "wire", "media", "config", "channel", "machines", "node", "io", "daemon"],
    },
];

/// What touches the world: not even tests of another layer use it.
const WORLD: &[&str] = &["io", "daemon"];

/// A path into this crate that a file names, from the root: `tv`, `wire`, ...
#[derive(PartialEq, Eq, Debug)]
struct Named {
    line: usize,
    test: bool,
    segments: Vec<String>,
}

/// Checks one file against the table.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let place = place_of(&source.path);
    let Some(layer) = layer_of(&place) else {
        let what =
            format!("{} belongs to no layer of the table in tests/tidy/layers.rs", source.path);
        return vec![source.finding(1, "layers", what)];
    };
    let wrong = |named: Named| {
        let why = forbidden(layer, &place, &named)?;
        Some(source.finding(
            named.line,
            "layers",
            format!("`{}`: {why}", named.segments.join("::")),
        ))
    };
    named(source).into_iter().filter_map(wrong).collect()
}

/// Why a file of a layer may not name this; `None` when it may.
fn forbidden(layer: &Layer, place: &[String], named: &Named) -> Option<String> {
    let Some(target) = layer_of(&named.segments) else {
        return Some("no folder of the layer table".to_owned());
    };
    let same_folder = place[0] == named.segments[0];
    let may = |used: &&str| match *used {
        OWN => same_folder,
        OWN_WIRE => same_folder && target.name == "wire",
        other => other == target.name,
    };
    if layer.uses.iter().any(may) || (named.test && !WORLD.contains(&target.name)) {
        return None;
    }
    Some(format!("{} may use {}, not {}", layer.name, list(layer.uses), target.name))
}

fn list(uses: &[&str]) -> String {
    if uses.is_empty() { "nothing".to_owned() } else { uses.join(", ") }
}

/// A cycle of top-level folders in what is not test code, told once with all its edges.
pub(crate) fn cycles(sources: &[Source]) -> Vec<Finding> {
    let mut edges: BTreeMap<String, BTreeMap<String, (&Source, usize)>> = BTreeMap::new();
    for source in sources {
        let from = place_of(&source.path)[0].clone();
        for named in named(source).into_iter().filter(|named| !named.test) {
            let to = named.segments[0].clone();
            if from != to {
                let known = edges.entry(from.clone()).or_default();
                known.entry(to).or_insert((source, named.line));
            }
        }
    }
    let mut findings = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for start in edges.keys() {
        let Some(cycle) = way_back(&edges, start, start, &mut BTreeSet::new()) else { continue };
        if cycle.iter().any(|(folder, _)| told.contains(folder)) {
            continue;
        }
        told.extend(cycle.iter().map(|(folder, _)| *folder));
        let (source, line) = cycle[0].1;
        let ways = cycle.iter().map(|(to, (s, line))| format!("-> {to} ({}:{line})", s.path));
        let what = format!("{start} {}", ways.collect::<Vec<_>>().join(" "));
        findings.push(source.finding(line, "no cycles between folders", what));
    }
    findings
}

type Edges<'s> = BTreeMap<String, BTreeMap<String, (&'s Source, usize)>>;
type Steps<'e, 's> = Vec<(&'e str, (&'s Source, usize))>;

fn way_back<'e, 's>(
    edges: &'e Edges<'s>,
    from: &str,
    to: &str,
    seen: &mut BTreeSet<&'e str>,
) -> Option<Steps<'e, 's>> {
    for (next, place) in edges.get(from)? {
        if next == to {
            return Some(vec![(next, *place)]);
        }
        if seen.insert(next) {
            let rest = way_back(edges, next, to, seen);
            if let Some(rest) = rest {
                return Some([vec![(next.as_str(), *place)], rest].concat());
            }
        }
    }
    None
}

/// A file's place: its module path for a file of `src`, its folders for others.
fn place_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut place: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if place.len() > 1 && place.last().is_some_and(|name| name == "mod") {
        place.pop();
    }
    place
}

fn layer_of(place: &[String]) -> Option<&'static Layer> {
    let holds = |pattern: &&str| {
        let parts: Vec<_> = pattern.split('/').collect();
        let fits = |(part, name): (&&str, &String)| *part == "*" || *part == name;
        parts.len() <= place.len() && parts.iter().zip(place).all(fits)
    };
    LAYERS.iter().find(|layer| layer.holds.iter().any(holds))
}

/// Every path into the library that a file names.
fn named(source: &Source) -> Vec<Named> {
    let outside = ["src/main.rs", "src/bin/", "tests/", "benches/"];
    let outside = outside.iter().any(|prefix| source.path.starts_with(prefix));
    let mut inner = Inner::default();
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        inner.follow(&source.tokens, at);
        let starts = follows(&source.tokens, at, "::") && !precedes(&source.tokens, at, "::");
        if !starts || token.kind != Kind::Word {
            continue;
        }
        let from = match token.text.as_str() {
            LIBRARY if outside => Vec::new(),
            "crate" if !outside => Vec::new(),
            "super" if !outside => inner.parent(&source.path),
            _ => continue,
        };
        let mut tree = Tree { tokens: &source.tokens, at: at + 2, found: Vec::new() };
        tree.read(from);
        found.append(&mut tree.found);
    }
    found
}

fn follows(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at + 1).is_some_and(|token| token.is(text))
}

fn precedes(tokens: &[Token], at: usize, text: &str) -> bool {
    at > 0 && tokens[at - 1].is(text)
}

/// The modules that are open inside a file.
#[derive(Default)]
struct Inner {
    depth: usize,
    open: Vec<(String, usize)>,
}

impl Inner {
    fn follow(&mut self, tokens: &[Token], at: usize) {
        let token = &tokens[at];
        if token.is("{") {
            self.depth += 1;
            if at > 1 && tokens[at - 2].is("mod") {
                self.open.push((tokens[at - 1].text.clone(), self.depth));
            }
        } else if token.is("}") {
            self.open.pop_if(|(_, depth)| *depth == self.depth);
            self.depth = self.depth.saturating_sub(1);
        }
    }

    /// The module path of what `super` means here.
    fn parent(&self, path: &str) -> Vec<String> {
        let mut module = place_of(path);
        if path == "src/lib.rs" {
            module.clear();
        }
        module.extend(self.open.iter().map(|(name, _)| name.clone()));
        module.pop();
        module
    }
}

/// A path with its groups, read to its ends.
struct Tree<'t> {
    tokens: &'t [Token],
    at: usize,
    found: Vec<Named>,
}

impl Tree<'_> {
    fn read(&mut self, mut path: Vec<String>) {
        while let Some(token) = self.tokens.get(self.at) {
            if token.is("{") {
                self.at += 1;
                return self.read_group(&path);
            }
            match token.text.as_str() {
                "super" => drop(path.pop()),
                "self" => {}
                _ => path.push(token.text.clone()),
            }
            if !follows(self.tokens, self.at, "::") {
                break;
            }
            self.at += 2;
        }
        self.emit(path);
    }

    fn read_group(&mut self, path: &[String]) {
        while let Some(token) = self.tokens.get(self.at) {
            if token.is("}") {
                return;
            }
            if token.is(",") {
                self.at += 1;
            } else if token.is("as") {
                self.at += 2;
            } else {
                self.read(path.to_vec());
                self.at += 1;
            }
        }
    }

    fn emit(&mut self, segments: Vec<String>) {
        let Some(token) = self.tokens.get(self.at) else { return };
        let segments = if segments.is_empty() { vec!["self".to_owned()] } else { segments };
        self.found.push(Named { line: token.line, test: token.test, segments });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    fn broken(path: &str, text: &str) -> bool {
        !findings(path, text).is_empty()
    }

    #[test]
    fn a_finding_names_file_line_and_rule() {
        let text =
            "//! x\nuse crate::base::{\n  time,\n};\nuse crate::{\n  base,\n  io::stream,\n};\n";
        assert_eq!(
            findings("src/tv/server.rs", text),
            ["src/tv/server.rs:7: layers: `io::stream`: machines may use base, media, config, \
              channel, own folder, not io"]
        );
    }

    #[test]
    fn each_row_of_the_table_can_be_broken() {
        for (path, good, bad) in [
            ("src/base/x.rs", "base::time", "media::name"),
            ("src/tv/wire.rs", "base::time", "media::name"),
            ("src/tv/wire.rs", "tv::wire::Command", "tv::server"),
            ("src/http/wire/range.rs", "http::wire", "tv::wire"),
            ("src/media/x.rs", "base::time", "config"),
            ("src/container/mkv.rs", "media::sniff", "channel"),
            ("src/config/mod.rs", "media::name", "tv::wire"),
            ("src/channel/window.rs", "config", "tv::wire"),
            ("src/tv/server.rs", "tv::wire", "http::wire"),
            ("src/tv/server.rs", "channel::window", "http::server"),
            ("src/http/server.rs", "config", "node"),
            ("src/node/server.rs", "http::wire", "io::clock"),
            ("src/io/stream.rs", "base::port", "tv::wire"),
            ("src/io/stream.rs", "config", "node"),
            ("src/daemon.rs", "io::reactor", "tv::server"),
            ("src/flags.rs", "config", "http::server"),
            ("src/lib.rs", "", "base::time"),
        ] {
            let text = |used: &str| format!("use crate::{used};");
            assert!(good.is_empty() || !broken(path, &text(good)), "{path} may use {good}");
            assert!(broken(path, &text(bad)), "{path} may not use {bad}");
        }
    }

    #[test]
    fn programs_and_tests_are_checked_by_the_name_of_the_library() {
        assert!(!broken("src/main.rs", "vidstreamd::daemon::run()"));
        assert!(broken("src/main.rs", "use vidstreamd::tv::server;"));
        assert!(!broken("src/bin/vidstream.rs", "use vidstreamd::{control::wire, flags};"));
        assert!(!broken("src/bin/vidstream.rs", "use vidstreamd::{jukebox::client, flags};"));
        assert!(broken("src/bin/vidstream.rs", "use vidstreamd::{channel::window, flags};"));
        assert!(!broken("tests/sim/main.rs", "use vidstreamd::tv::server;"));
        assert!(broken("tests/sim/net.rs", "use vidstreamd::io::stream;"));
        assert!(broken("tests/sim/main.rs", "let x = vidstreamd::daemon::run();"));
        assert!(!broken("tests/e2e/main.rs", "use vidstreamd::io::stream;"));
    }

    #[test]
    fn super_is_followed_out_of_the_folder() {
        assert!(!broken("src/tv/server.rs", "use super::wire; use super::super::channel;"));
        assert!(broken("src/tv/server.rs", "use super::super::http;"));
        assert!(broken("src/tv/mod.rs", "use super::http::server;"));
        assert!(broken("src/tv/server/inbox.rs", "use super::{super::super::{base, io}};"));
        assert!(!broken("src/tv/server.rs", "mod inner { use super::super::super::base; }"));
        assert!(broken("src/tv/server.rs", "mod inner { use super::super::super::node; }"));
        assert!(broken("src/tv/server.rs", "mod inner { fn f() {} } use super::super::node;"));
        assert!(!broken("src/tv/server.rs", "pub(super) fn f() {} pub(crate) fn g() {}"));
    }

    #[test]
    fn groups_and_expressions_are_read_to_their_ends() {
        assert!(broken("src/tv/x.rs", "use crate::{base::{a as b, c::{d, e}}, node::f};"));
        assert!(!broken("src/tv/x.rs", "use crate::{base::{a as b, c::{d, self}}, tv::*};"));
        assert!(broken("src/tv/x.rs", "fn f(x: &crate::node::Node) {}"));
        assert!(broken("src/tv/x.rs", "impl<T> From<T> for crate::io::Thing<T> {}"));
        assert!(broken("src/tv/x.rs", "use crate::*;"));
        assert!(broken("src/tv/x.rs", "use crate::{self};"));
        assert!(!broken("src/tv/x.rs", "// crate::io\nlet x = \"crate::io\";"));
    }

    #[test]
    fn tests_may_name_anything_but_the_world() {
        let text = |used: &str| format!("#[cfg(test)]\nmod tests {{ use crate::{used}; }}");
        assert!(!broken("src/tv/server.rs", &text("http::wire")));
        assert!(broken("src/tv/server.rs", &text("io::clock")));
        assert!(broken("src/tv/server/tests.rs", "use crate::daemon;"));
        assert!(!broken("src/tv/server/tests.rs", "use super::*; use crate::node;"));
    }

    #[test]
    fn a_folder_that_nobody_planned_is_a_finding() {
        assert!(broken("src/misc/helpers.rs", "//! x"));
        assert!(broken("src/tv/server.rs", "use crate::misc::helpers;"));
    }

    #[test]
    fn a_cycle_is_told_once_with_its_edges() {
        let file = |path: &str, text: &str| Source::new(path, text);
        let one_way = [
            file("src/node/mod.rs", "use crate::tv::server;"),
            file("src/tv/server.rs", "use crate::base::time;\nuse crate::channel;"),
            file("src/channel/mod.rs", "#[cfg(test)] mod tests { use crate::tv; }"),
        ];
        assert!(cycles(&one_way).is_empty());
        let back = [file("src/channel/window.rs", "\nuse crate::tv::wire;")];
        let all: Vec<_> = one_way.into_iter().chain(back).collect();
        let told: Vec<_> = cycles(&all).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["src/channel/window.rs:2: no cycles between folders: channel -> tv \
              (src/channel/window.rs:2) -> channel (src/tv/server.rs:2)"]
        );
    }
}

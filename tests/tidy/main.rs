//! The tidy test: reads the source tree and says where it leaves the rules that no compiler knows.
//! Every finding names file, line and rule. Each rule is a function over paths and texts, tested
//! beside it with texts that break it, so the tidy test can fail.
//!
//! It reads texts, not types: a rule that it cannot see through (a macro that builds a path) is not
//! checked. Run alone with `cargo test --test tidy`.

#![expect(clippy::disallowed_methods, reason = "reads the source tree")]

mod agree;
mod layers;
mod rust;
mod shape;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rust::Source;

/// A rule that is broken.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// Fails with every finding on a line of its own.
fn assert_clean(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<_> = findings.into_iter().map(|f| f.to_string()).collect();
    assert!(lines.is_empty(), "{} findings\n{}\n", lines.len(), lines.join("\n"));
}

/// The root of the source tree.
fn root() -> PathBuf {
    let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR");
    by_cargo.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A file of the tree; `None` when it is not there.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// Every `.rs` file below some folders, sorted by path.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources: Vec<_> = folders.iter().flat_map(|f| files_below(Path::new(f))).collect();
    sources.sort();
    let rust = sources.into_iter().filter(|path| is_kind(path, "rs"));
    rust.map(|path| {
        let text = read(&path).expect("a file that was just listed can be read");
        Source::new(&path, &text)
    })
    .collect()
}

fn is_kind(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == extension)
}

/// Paths, relative to the root, of every file below a folder of it that is not built.
fn files_below(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root().join(folder)) else { return Vec::new() };
    let below = |entry: std::fs::DirEntry| {
        let path = folder.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() == "target" => Vec::new(),
            Ok(kind) if kind.is_dir() => files_below(&path),
            _ => vec![path.to_string_lossy().into_owned()],
        }
    };
    entries.map(|e| e.expect("the tree does not change while it is read")).flat_map(below).collect()
}

/// Every file that git tracks, with its size in bytes; none outside of a repository.
fn tracked() -> Vec<(String, u64)> {
    if !root().join(".git").exists() {
        return Vec::new();
    }
    // In a container the tree may belong to someone else.
    let git = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git can be run in its own repository");
    assert!(git.status.success(), "git ls-files: {}", String::from_utf8_lossy(&git.stderr));
    let names = String::from_utf8_lossy(&git.stdout).into_owned();
    let size = |name: &str| {
        let data = std::fs::symlink_metadata(root().join(name)).ok()?;
        Some((name.to_owned(), data.len()))
    };
    names.split('\0').filter(|name| !name.is_empty()).filter_map(size).collect()
}

#[test]
fn layers_use_only_what_the_table_allows() {
    assert_clean(sources(&["src", "tests"]).iter().flat_map(layers::check));
}

#[test]
fn folders_form_no_cycle() {
    assert_clean(layers::cycles(&sources(&["src"])));
}

#[test]
fn bounds_stand_in_limits_rs() {
    assert_clean(sources(&["src"]).iter().flat_map(shape::bounds));
}

#[test]
fn files_have_their_shape() {
    assert_clean(sources(&["src", "tests", "benches"]).iter().flat_map(shape::file));
}

#[test]
fn unsafe_code_stands_where_the_maps_are() {
    assert_clean(sources(&["src"]).iter().flat_map(shape::unsafe_code));
}

#[test]
fn the_changelog_has_an_unreleased_head() {
    assert_clean(shape::changelog(read("CHANGELOG.md").as_deref()));
}

#[test]
fn nothing_large_is_tracked() {
    assert_clean(shape::sizes(&tracked()));
}

#[test]
fn keys_and_flags_are_documented_printed_and_shown() {
    assert_clean(agree::check(&agree::Texts {
        raw: read("src/config/raw.rs"),
        print: read("src/config/print.rs"),
        samples: files_below(Path::new("etc"))
            .into_iter()
            .filter(|path| is_kind(path, "toml"))
            .filter_map(|path| Some((path.clone(), read(&path)?)))
            .collect(),
        keys_page: read("man/vidstreamd.toml.5"),
        flags: read("src/flags.rs"),
        flag_pages: [read("man/vidstreamd.8"), read("man/vidstream.1")],
    }));
}

//! The shape of files: openings, sizes, words that have no place, where bounds and `unsafe` stand.

use crate::Finding;
use crate::rust::Source;

const COLUMNS: usize = 100;
const LINES: usize = 600;
const TRACKED_BYTES: u64 = 1 << 20;
const MOVIES_BYTES: u64 = 6 << 20;

const LIMITS: &str = "src/base/limits.rs";
/// Its parts.
const LIMITS_OF: &str = "src/base/limits/";
const MAPS: &str = "src/io/blobs.rs";

/// Written in two parts: this file is checked, too.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimple", "mented!"),
    concat!("to", "do!"),
];

/// The form of one file.
pub(crate) fn file(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !source.text.starts_with("//! ") {
        let what = "begins with `//!` and what the file is, what it is not, who calls it";
        findings.push(source.finding(1, "opening", what.to_owned()));
    }
    let lines = body_lines(source);
    if source.path.starts_with("src/") && lines > LINES {
        let what = format!("{lines} lines without its tests; at most {LINES}");
        findings.push(source.finding(LINES + 1, "file length", what));
    }
    for (number, line) in (1..).zip(source.text.lines()) {
        let columns = line.chars().count();
        if columns > COLUMNS {
            let what = format!("{columns} columns; at most {COLUMNS}");
            findings.push(source.finding(number, "line length", what));
        }
        if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
            let what = format!("`{word}`: finish it, or write an issue");
            findings.push(source.finding(number, "nothing unfinished", what));
        }
    }
    findings
}

/// Lines before a trailing block of tests; none of a file that is all tests.
fn body_lines(source: &Source) -> usize {
    let all = source.text.lines().count();
    match source.tokens.last() {
        _ if source.is_test() => 0,
        Some(last) if last.test => {
            let body = source.tokens.iter().rev().take_while(|token| token.test);
            body.last().map_or(all, |first| first.line - 1)
        }
        _ => all,
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// Constants that are bounds by their name stand in `limits.rs`, where they are seen together.
pub(crate) fn bounds(source: &Source) -> Vec<Finding> {
    if source.path == LIMITS || source.path.starts_with(LIMITS_OF) {
        return Vec::new();
    }
    let endings = ["_MAX", "_MIN", "_BUDGET", "_PATIENCE"];
    let declared = source.tokens.windows(3).filter(|w| !w[0].test && w[2].is(":"));
    declared
        .filter(|w| w[0].is("const") || w[0].is("static"))
        .filter(|w| endings.iter().any(|ending| w[1].text.ends_with(ending)))
        .map(|w| source.finding(w[1].line, "bounds", format!("{} belongs in {LIMITS}", w[1].text)))
        .collect()
}

/// `unsafe` stands where memory is mapped and nowhere else.
pub(crate) fn unsafe_code(source: &Source) -> Vec<Finding> {
    let wrong = source.tokens.iter().filter(|token| token.is("unsafe") && source.path != MAPS);
    wrong.map(|t| source.finding(t.line, "unsafe", format!("only {MAPS} has any"))).collect()
}

/// What changed since the last release has its head, even when nothing did.
pub(crate) fn changelog(text: Option<&str>) -> Vec<Finding> {
    if text.is_some_and(|text| text.lines().any(|line| line.trim_end() == "## Unreleased")) {
        return Vec::new();
    }
    let what = "has a line `## Unreleased`".to_owned();
    vec![Finding { path: "CHANGELOG.md".to_owned(), line: 1, rule: "changelog", what }]
}

/// No large files in the repository; the demo movies are small in all.
pub(crate) fn sizes(tracked: &[(String, u64)]) -> Vec<Finding> {
    let large = |path: &str, what| Finding { path: path.to_owned(), line: 1, rule: "size", what };
    let (movies, others): (Vec<_>, Vec<_>) =
        tracked.iter().partition(|(path, _)| path.starts_with("movies/"));
    let others = others.into_iter().filter(|(_, bytes)| *bytes > TRACKED_BYTES);
    let mut findings: Vec<_> = others
        .map(|(path, bytes)| large(path, format!("{bytes} bytes; at most {TRACKED_BYTES}")))
        .collect();
    let in_all: u64 = movies.iter().map(|(_, bytes)| bytes).sum();
    if in_all >= MOVIES_BYTES {
        findings.push(large("movies/", format!("{in_all} bytes in all; under {MOVIES_BYTES}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        file(&Source::new(path, text)).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(rules("src/x.rs", "//! x\n"), [""; 0]);
        assert_eq!(rules("src/x.rs", "use y;\n//! x\n"), ["opening"]);
        assert_eq!(rules("src/x.rs", ""), ["opening"]);
    }

    #[test]
    fn columns_are_characters() {
        let line = |length: usize| format!("//! x\n// {}\n", "\u{fc}".repeat(length - 3));
        assert_eq!(rules("src/x.rs", &line(100)), [""; 0]);
        assert_eq!(rules("tests/x.rs", &line(101)), ["line length"]);
    }

    #[test]
    fn lines_are_counted_up_to_the_tests() {
        let code = |lines: usize| format!("//! x\n{}", "fn f() {}\n".repeat(lines - 1));
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn g() {}\n".repeat(700));
        assert_eq!(rules("src/x.rs", &(code(600) + &tests)), [""; 0]);
        assert_eq!(rules("src/x.rs", &(code(601) + &tests)), ["file length"]);
        assert_eq!(rules("src/x.rs", &(tests.clone() + &code(10)))[1], "file length");
        assert_eq!(rules("src/x/tests.rs", &code(700)), [""; 0]);
        assert_eq!(rules("tests/x.rs", &code(700)), [""; 0]);
    }

    #[test]
    fn nothing_is_left_for_later() {
        for word in UNFINISHED {
            let text = format!("//! x\nfn f() {{ {word}() }}\n");
            assert_eq!(rules("src/x.rs", &text), ["nothing unfinished"], "{word}");
        }
        assert_eq!(rules("src/x.rs", &format!("//! {}S\n", UNFINISHED[0])), [""; 0]);
    }

    #[test]
    fn a_bound_elsewhere_is_found() {
        let text = "pub const A_MAX: u8 = 1;\nconst B: u8 = A_MAX;\n    const C_PATIENCE: D = D;\n\
                    #[cfg(test)] const D_MIN: u8 = 1;";
        let lines = |path| {
            let found = bounds(&Source::new(path, text));
            found.into_iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("src/tv/server.rs"), [1, 3]);
        assert_eq!(lines(LIMITS), [0; 0]);
        assert_eq!(lines("src/base/limits/mesh.rs"), [0; 0]);
    }

    #[test]
    fn unsafe_is_found_outside_the_maps() {
        let text = "// unsafe\n#![deny(unsafe_code)]\nfn f() { unsafe { g() } }";
        assert_eq!(unsafe_code(&Source::new("src/io/x.rs", text))[0].line, 3);
        assert!(unsafe_code(&Source::new(MAPS, text)).is_empty());
    }

    #[test]
    fn a_changelog_without_its_head_is_found() {
        assert!(changelog(Some("# Changes\n\n## Unreleased\n")).is_empty());
        assert_eq!(changelog(Some("# Changes\n\n## 0.1\n")).len(), 1);
        assert_eq!(changelog(None).len(), 1);
    }

    #[test]
    fn large_files_are_found() {
        let files = |movie: u64, other: u64| {
            let file = |path: &str, bytes| (path.to_owned(), bytes);
            let all = [file("movies/a", movie), file("movies/b", 1), file("src/x.rs", other)];
            sizes(&all).iter().map(|finding| finding.path.clone()).collect::<Vec<_>>()
        };
        assert!(files(MOVIES_BYTES - 2, TRACKED_BYTES).is_empty());
        assert_eq!(files(MOVIES_BYTES - 1, 1), ["movies/"]);
        assert_eq!(files(1, TRACKED_BYTES + 1), ["src/x.rs"]);
    }
}

//! What is wrong with a configuration file, and where. Not the checks themselves: they report into
//! a [`Report`], which becomes one [`ConfigError`] with every fault in the order of the file.

use core::fmt;
use core::ops::Range;

use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::config::keys::Key;

/// Every fault of one configuration file, in the order of the file. [`fmt::Display`] gives a line
/// for each.
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
    more: usize,
}

/// One fault: `FILE:LINE:COLUMN: what was wrong`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Error, Debug)]
#[error("{file}:{line}:{column}: {text}")]
pub struct Problem {
    /// The file as the operator named it, made safe to show.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was wrong, what was expected; one line, safe to show.
    pub text: String,
}

impl ConfigError {
    /// The faults, sorted by line; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many faults there are besides [`Self::problems`].
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        match (self.more, self.problems.last()) {
            (1.., Some(last)) => write!(f, "\n{}: and {} more faults", last.file, self.more),
            _ => Ok(()),
        }
    }
}

/// Faults found so far in one text.
pub(super) struct Report<'a> {
    file: String,
    text: &'a str,
    found: Vec<(usize, String)>,
    more: usize,
}

impl<'a> Report<'a> {
    /// None yet; `file` is shown as it is.
    pub(super) fn new(file: String, text: &'a str) -> Self {
        Self { file, text, found: Vec::new(), more: 0 }
    }

    /// The name of the file, as it is shown.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The text that was read.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Whether nothing was wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether another fault would only be counted; its words need not be found.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= limits::CONFIG_PROBLEMS_MAX
    }

    /// The line of a byte of the text, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        locate(self.text, at).0
    }

    /// Notes a fault at a byte of the text.
    pub(super) fn add(&mut self, at: usize, text: String) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.found.push((at, text));
        }
    }

    /// Notes that the value written at `span` is not what `key` takes. `why` follows as it is:
    /// empty, or beginning with its own comma or semicolon.
    pub(super) fn refuse(&mut self, key: &Key, span: Range<usize>, why: &str) {
        let quoted = self.quoted(&span);
        self.add(span.start, format!("{key} = {quoted}: expected {}{why}", key.kind));
    }

    /// What the file says there, made safe to show.
    pub(super) fn quoted(&self, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let shown = prefix(text, limits::CONFIG_QUOTED_BYTES_MAX);
        let dots = if shown.len() < text.len() { "…" } else { "" };
        format!("{}{dots}", escaped(shown.as_bytes()))
    }

    /// What was made of the text, or everything that was noted, sorted by place. Whoever made
    /// nothing has noted why.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, ConfigError> {
        match made {
            Some(made) if self.is_clean() => Ok(made),
            _ => Err(self.into_error()),
        }
    }

    fn into_error(mut self) -> ConfigError {
        self.found.sort();
        let (file, text) = (&self.file, self.text);
        let problem = |(at, words): (usize, String)| {
            let (line, column) = locate(text, at);
            Problem { file: file.clone(), line, column, text: words }
        };
        let problems = self.found.into_iter().map(problem).collect();
        ConfigError { problems, more: self.more }
    }
}

/// The longest beginning of a text that has at most so many bytes.
pub(super) fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Line and column of a byte, both from 1; the end for a byte behind it.
fn locate(text: &str, at: usize) -> (usize, usize) {
    let before = prefix(text, at);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// `; did you mean "X"?` with the word most like `word`, or nothing when none is like it.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |best| {
        format!("; did you mean \"{}\"?", escaped(best.as_bytes()))
    })
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > limits::CONFIG_COMPARED_BYTES_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    let wrong_max = word.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .filter(|k| {
            k.len().abs_diff(word.len()) <= 4 * wrong_max
                && k.len() <= limits::CONFIG_COMPARED_BYTES_MAX
        })
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(wrong, k)| *wrong <= wrong_max && *wrong < k.chars().count())
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "ab\n\u{fc}x\n";
        assert_eq!(locate(text, 0), (1, 1));
        assert_eq!(locate(text, 2), (1, 3));
        assert_eq!(locate(text, 3), (2, 1));
        assert_eq!(locate(text, 5), (2, 2));
        assert_eq!(locate(text, 7), (3, 1));
        assert_eq!(locate(text, 99), (3, 1));
    }

    #[test]
    fn only_a_word_that_is_alike_is_proposed() {
        let known = ["listen", "callback_port", "max_clients"];
        assert_eq!(nearest("callbak_port", known), Some("callback_port"));
        assert_eq!(nearest("Lsiten", known), Some("listen"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"l".repeat(100), known), None);
        assert_eq!(did_you_mean("list", ["lists"]), "; did you mean \"lists\"?");
    }

    #[test]
    fn what_is_too_much_to_show_is_counted() {
        let mut report = Report::new("x.toml".into(), "a\nb");
        (0..limits::CONFIG_PROBLEMS_MAX + 3).for_each(|i| report.add(3 - i % 2, format!("{i}")));
        let error = report.finish(Some(())).unwrap_err();
        assert_eq!(error.problems().len(), limits::CONFIG_PROBLEMS_MAX);
        assert_eq!(error.more(), 3);
        assert!(error.problems().is_sorted_by_key(|p| (p.line, p.column)));
        assert!(error.to_string().ends_with("\nx.toml: and 3 more faults"));
    }
}

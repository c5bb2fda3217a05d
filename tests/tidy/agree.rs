//! Configuration keys and flags against everything that has to name them: the manual pages, the
//! printer, the sample files.

use crate::Finding;
use crate::rust::{Kind, Source, Token};

const RAW: &str = "src/config/raw.rs";
const PRINT: &str = "src/config/print.rs";
const FLAGS: &str = "src/flags.rs";
const KEYS_PAGE: &str = "man/vidstreamd.toml.5";
const FLAG_PAGES: &str = "man/vidstreamd.8 or man/vidstream.1";

/// What is compared; `None` where a file is missing.
pub(crate) struct Texts {
    /// The serde tables. While there are none, nothing is compared.
    pub(crate) raw: Option<String>,
    pub(crate) print: Option<String>,
    /// The sample configurations, with their paths.
    pub(crate) samples: Vec<(String, String)>,
    pub(crate) keys_page: Option<String>,
    pub(crate) flags: Option<String>,
    pub(crate) flag_pages: [Option<String>; 2],
}

/// A name with the line that declares it.
#[derive(PartialEq, Eq, Debug)]
struct Declared {
    name: String,
    line: usize,
}

pub(crate) fn check(texts: &Texts) -> Vec<Finding> {
    let Some(raw) = &texts.raw else { return Vec::new() };
    let mut findings = missing(texts);
    let keys = keys(&Source::new(RAW, raw));
    if keys.is_empty() {
        findings.push(finding(RAW, 1, "no struct with deny_unknown_fields declares a key"));
    }
    // What is missing is told once, not once for each name that it should have.
    if let Some(page) = &texts.keys_page {
        findings.extend(in_page(&keys, page));
    }
    if let Some(print) = &texts.print {
        findings.extend(in_print(&keys, print));
    }
    if !texts.samples.is_empty() {
        findings.extend(in_samples(&keys, &texts.samples));
    }
    if let Some(flags) = &texts.flags {
        findings.extend(in_flag_pages(flags, &texts.flag_pages));
    }
    findings
}

fn missing(texts: &Texts) -> Vec<Finding> {
    let there = [
        (PRINT, texts.print.is_some()),
        ("etc/server.toml", !texts.samples.is_empty()),
        (KEYS_PAGE, texts.keys_page.is_some()),
        (FLAGS, texts.flags.is_some()),
        ("man/vidstreamd.8", texts.flag_pages[0].is_some()),
    ];
    let absent = there.iter().filter(|(_, there)| !there);
    absent.map(|(path, _)| finding(path, 1, "is missing")).collect()
}

fn finding(path: &str, line: usize, what: &str) -> Finding {
    Finding { path: path.to_owned(), line, rule: "agreement", what: what.to_owned() }
}

/// The fields of every struct that refuses unknown ones, by the names they have in the file.
fn keys(source: &Source) -> Vec<Declared> {
    let tokens = &source.tokens;
    let strict = |at: &usize| tokens[*at].is("deny_unknown_fields");
    let mut keys = Vec::new();
    for at in (0..tokens.len()).filter(strict) {
        let rest = &tokens[at..];
        let Some(open) = rest.iter().position(|token| token.is("{") || token.is(";")) else {
            break;
        };
        if rest[open].is("{") {
            fields(&rest[open + 1..], &mut keys);
        }
    }
    keys
}

fn fields(mut tokens: &[Token], keys: &mut Vec<Declared>) {
    while let Some(first) = tokens.first().filter(|token| !token.is("}")) {
        let length = field_length(tokens);
        let (field, rest) = tokens.split_at(length);
        let colon = field.iter().position(|token| token.is(":"));
        let name = colon.and_then(|colon| field[..colon].last());
        let rename = field.windows(3).find(|w| w[0].is("rename") && w[2].kind == Kind::Text);
        let name = rename.map(|w| &w[2]).or(name);
        keys.extend(name.map(|t| Declared { name: t.text.clone(), line: first.line.max(t.line) }));
        tokens = rest;
    }
}

/// Tokens up to and with the comma behind a field, or up to the brace behind the last.
fn field_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Sign) {
        match token.text.as_str() {
            "," if depth == 0 => return i + 1,
            "}" if depth == 0 => return i,
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}

/// The long names of a flag table.
fn flags(source: &Source) -> Vec<Declared> {
    let named = source.tokens.windows(5).filter(|w| !w[0].test && w[0].is("long") && w[1].is(":"));
    let text = |w: &[Token]| w[2..].iter().take_while(|t| !t.is(",")).find_map(as_text);
    named.filter_map(text).collect()
}

fn as_text(token: &Token) -> Option<Declared> {
    let declared = || Declared { name: token.text.clone(), line: token.line };
    (token.kind == Kind::Text).then(declared)
}

/// The words of every item of a page: `.It Ic key`, `.It Fl -flag`.
fn items(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(".It "));
    let word = |word: &str| word.trim_matches('"').replace(['\\'], "").replace('&', "");
    lines.map(|line| line.split_whitespace().map(word).collect()).collect()
}

/// A key has an item for each table that has it.
fn in_page<'k>(keys: &'k [Declared], page: &str) -> impl Iterator<Item = Finding> + 'k {
    let items = items(page);
    let documented = move |name: &str| items.iter().filter(|i| i.iter().any(|w| w == name)).count();
    let nth = |at: usize| keys[..=at].iter().filter(|key| key.name == keys[at].name).count();
    keys.iter().enumerate().filter(move |(at, key)| documented(&key.name) < nth(*at)).map(
        |(_, key)| {
            let what = format!("{} has too few `.It Ic {}` in {KEYS_PAGE}", key.name, key.name);
            finding(RAW, key.line, &what)
        },
    )
}

/// A key is printed by its name, unless serde prints all of them.
fn in_print<'k>(keys: &'k [Declared], print: &str) -> impl Iterator<Item = Finding> + 'k {
    let source = Source::new(PRINT, print);
    let by_serde = print.contains("toml::to_string");
    let printed = move |name: &str| by_serde || source.tokens.iter().any(|t| t.text == name);
    keys.iter()
        .filter(move |key| !printed(&key.name))
        .map(|key| finding(RAW, key.line, &format!("{} is not printed by {PRINT}", key.name)))
}

/// A key is shown in a sample, if only as a comment.
fn in_samples<'k>(
    keys: &'k [Declared],
    samples: &'k [(String, String)],
) -> impl Iterator<Item = Finding> + 'k {
    let shown = |name: &str| {
        samples.iter().flat_map(|(_, text)| text.lines()).any(|line| {
            let line = line.trim_start_matches(['#', ' ', '[']);
            let rest = line.strip_prefix(name).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with(['=', ']', '.']))
        })
    };
    keys.iter().filter(move |key| !shown(&key.name)).map(|key| {
        finding(RAW, key.line, &format!("{} is in no etc/*.toml, not even as a comment", key.name))
    })
}

fn in_flag_pages(flags_text: &str, pages: &[Option<String>]) -> Vec<Finding> {
    let flags = flags(&Source::new(FLAGS, flags_text));
    if flags.is_empty() {
        return vec![finding(FLAGS, 1, "no entry of a flag table has `long: \"name\"`")];
    }
    let items: Vec<_> = pages.iter().flatten().flat_map(|page| items(page)).collect();
    let documented = |name: &str| {
        let is = |w: &[String]| w[0] == "Fl" && w[1].strip_prefix('-') == Some(name);
        items.iter().any(|item| item.windows(2).any(is))
    };
    let absent = flags.iter().filter(|flag| !documented(&flag.name));
    let told = |name: &str| format!("`.It Fl -{name}` is not in {FLAG_PAGES}");
    absent.map(|flag| finding(FLAGS, flag.line, &told(&flag.name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE_RAW: &str = "\
#[serde(deny_unknown_fields)]
struct RawTv {
    pub(super) listen: Option<Map<String, (u8, u8)>>,
    #[serde(default, rename = \"max\")]
    pub max_clients: u8,
}
struct Inner { not_a_key: u8 }
#[serde(deny_unknown_fields)]
struct RawHttp { listen: u8 }
";
    const SAMPLE_FLAGS: &str = "\
const FLAGS: &[Flag] = &[
    Flag { short: Some('c'), long: \"config\", help: \"x\" },
    Flag { short: None, long: \"log-level\", help: \"x\" },
];
";

    fn good() -> Texts {
        let text = |text: &str| Some(text.to_owned());
        Texts {
            raw: text(SAMPLE_RAW),
            print: text("fn f() { row(\"listen\"); row(\"max\"); }"),
            samples: vec![("etc/a.toml".to_owned(), "listen = 1\n#max = 2\n".to_owned())],
            keys_page: text(".It Ic listen\n.It Ic max Ar n\n.It Ic \"listen\"\n"),
            flags: text(SAMPLE_FLAGS),
            flag_pages: [text(".It Fl c , Fl -config Ar file\n"), text(".It Fl \\-log\\-level\n")],
        }
    }

    fn told(texts: &Texts) -> Vec<String> {
        check(texts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_agrees_has_no_findings() {
        assert_eq!(told(&good()), [""; 0]);
        assert_eq!(told(&Texts { raw: None, flags: None, ..good() }), [""; 0]);
        let by_serde = Some("toml::to_string(&raw)".to_owned());
        assert_eq!(told(&Texts { print: by_serde, ..good() }), [""; 0]);
    }

    #[test]
    fn keys_are_fields_of_strict_structs() {
        let names: Vec<_> =
            keys(&Source::new(RAW, SAMPLE_RAW)).into_iter().map(|k| (k.name, k.line)).collect();
        let expected = [("listen", 3), ("max", 4), ("listen", 9)];
        assert_eq!(names, expected.map(|(name, line)| (name.to_owned(), line)));
    }

    #[test]
    fn a_key_that_is_not_documented_is_found() {
        let page = Some(".It Ic listen\n.It Ic max\nlisten is a word\n".to_owned());
        let found = told(&Texts { keys_page: page, ..good() });
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/config/raw.rs:9: agreement: listen has too few"));
    }

    #[test]
    fn a_key_that_is_not_printed_is_found() {
        let print = Some("fn f() { row(\"listen\") } // max".to_owned());
        assert!(told(&Texts { print, ..good() })[0].contains("max is not printed"));
    }

    #[test]
    fn a_key_that_no_sample_shows_is_found() {
        let samples =
            vec![("etc/a.toml".to_owned(), "listen = \"max = 2\"\nmaximum = 1".to_owned())];
        assert!(told(&Texts { samples, ..good() })[0].contains("max is in no etc/*.toml"));
    }

    #[test]
    fn a_flag_that_is_not_documented_is_found() {
        let flag_pages = [Some(".It Fl -config\nsee Fl -log-level\n".to_owned()), None];
        let found = told(&Texts { flag_pages, ..good() });
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/flags.rs:3: agreement: `.It Fl -log-level`"));
    }

    #[test]
    fn missing_files_and_empty_tables_are_found() {
        let none = Texts {
            raw: Some(String::new()),
            print: None,
            samples: Vec::new(),
            keys_page: None,
            flags: None,
            flag_pages: [None, None],
        };
        assert_eq!(told(&none).len(), 6);
        let empty = Texts { flags: Some("//! x".to_owned()), ..good() };
        assert!(told(&empty)[0].contains("no entry of a flag table"));
    }
}

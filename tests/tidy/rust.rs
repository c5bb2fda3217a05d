//! Rust source as tokens with lines: enough to read paths, items and names past comments, strings
//! and what only tests see. Not a parser.

use crate::Finding;

/// One file of the tree.
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

/// A word, a sign or the content of a string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Whether it is compiled for tests only.
    pub(crate) test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Identifiers, keywords, numbers.
    Word,
    /// One character of punctuation; `::` is one.
    Sign,
    /// A string literal; the text is what stands between the quotes.
    Text,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut tokens = Reader { text, at: 0, line: 1 }.tokens();
        let whole = path.ends_with("/tests.rs") || path.contains("/tests/");
        if whole {
            mark(&mut tokens);
        }
        mark_tests(&mut tokens);
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    pub(crate) fn finding(&self, line: usize, rule: &'static str, what: String) -> Finding {
        Finding { path: self.path.clone(), line, rule, what }
    }

    /// Whether all of it is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        !self.tokens.is_empty() && self.tokens.iter().all(|token| token.test)
    }
}

/// Marks each item behind `#[cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    for at in 0..tokens.len() {
        let here = &tokens[at..];
        if here.iter().zip(attribute).filter(|(token, text)| token.is(text)).count() == 7 {
            let end = at + item_end(here);
            mark(&mut tokens[at..end]);
        }
    }
}

fn mark(tokens: &mut [Token]) {
    for token in tokens {
        token.test = true;
    }
}

/// How many tokens the item at the start has: up to its `;`, or the end of its braces.
fn item_end(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Sign) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (token.is(";") || token.is("}")) {
            return i + 1;
        }
    }
    tokens.len()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn tokens(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(next) = self.peek(0) {
            let (line, start) = (self.line, self.at);
            if let Some(text) = self.string() {
                tokens.push(Token { line, kind: Kind::Text, text, test: false });
            } else if next == '/' && matches!(self.peek(1), Some('/' | '*')) {
                self.comment();
            } else if next == '\'' {
                self.quote();
            } else if is_word(next) {
                self.skip_while(is_word);
                let text = self.text[start..self.at].to_owned();
                tokens.push(Token { line, kind: Kind::Word, text, test: false });
            } else if next.is_whitespace() {
                self.skip(1);
            } else {
                self.skip(if self.text[self.at..].starts_with("::") { 2 } else { 1 });
                let text = self.text[start..self.at].to_owned();
                tokens.push(Token { line, kind: Kind::Sign, text, test: false });
            }
        }
        tokens
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text[self.at..].chars().nth(ahead)
    }

    fn skip(&mut self, chars: usize) {
        for c in self.text[self.at..].chars().take(chars) {
            self.at += c.len_utf8();
            self.line += usize::from(c == '\n');
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let count = self.text[self.at..].chars().take_while(|c| wanted(*c)).count();
        self.skip(count);
    }

    /// A string of any kind, if one begins here.
    fn string(&mut self) -> Option<String> {
        let here = &self.text[self.at..];
        let prefix = here.len() - here.trim_start_matches(['b', 'c', 'r']).len();
        let hashes = here[prefix..].len() - here[prefix..].trim_start_matches('#').len();
        let raw = here[..prefix].contains('r');
        let opens = here[prefix + hashes..].starts_with('"');
        if !opens || prefix > 2 || (hashes > 0 && !raw) {
            return None;
        }
        self.skip(prefix + hashes + 1);
        let start = self.at;
        let end = format!("\"{}", "#".repeat(hashes));
        while self.at < self.text.len() && !self.text[self.at..].starts_with(&end) {
            let escape = !raw && self.peek(0) == Some('\\');
            self.skip(if escape { 2 } else { 1 });
        }
        let content = self.text[start..self.at].to_owned();
        self.skip(end.len());
        Some(content)
    }

    fn comment(&mut self) {
        if self.peek(1) == Some('/') {
            return self.skip_while(|c| c != '\n');
        }
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (Some(_), _) => {
                    self.skip(1);
                    continue;
                }
                (None, _) => return,
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.skip(3);
                self.skip_while(|c| c != '\'');
                self.skip(1);
            }
            (_, Some('\'')) => self.skip(3),
            _ => self.skip(1),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::new("src/x.rs", text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_strings_and_characters_hide_nothing_and_add_nothing() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(words(r##"x("// \" y", r#"" z"#, b"w") v"##).last().unwrap(), "v");
        assert_eq!(words(r##"r#"a"b"# c"##), ["a\"b", "c"]);
        assert_eq!(words(r"f('{', '\'', '\u{7d}', b'\\') g"), words("f(, , , b) g"));
        assert_eq!(words("x<'a> 'b: loop"), ["x", "<", "a", ">", "b", ":", "loop"]);
        assert_eq!(words("crate::a"), ["crate", "::", "a"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let source = Source::new("src/x.rs", "\"a\nb\" /*\n*/ c\nd");
        let lines: Vec<_> = source.tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }

    #[test]
    fn what_only_tests_see_is_marked() {
        let text =
            "fn a() {} #[cfg(test)] mod tests; #[cfg(test)] #[x] mod t { fn b() {} } fn c() {}";
        let source = Source::new("src/x.rs", text);
        let seen = |name: &str| source.tokens.iter().any(|t| t.is(name) && !t.test);
        assert_eq!(["a", "tests", "b", "c"].map(seen), [true, false, false, true]);
        assert!(!source.is_test());
        assert!(Source::new("src/x/tests.rs", "fn a() {}").is_test());
    }
}

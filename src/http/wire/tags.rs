//! Entity tags (RFC 9110, 8.8.3) and the lists of them in conditional requests.

use core::fmt::{self, Write as _};

/// One entity tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Whether it only promises the same meaning, not the same bytes.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: String,
}

/// What a condition names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tags {
    /// `*`: anything that exists.
    Any,
    /// At least one tag.
    List(Vec<Tag>),
}

impl Tag {
    /// A tag that promises the same bytes. What may not stand in a tag is written as `%XX`, so
    /// that different names stay different.
    #[must_use]
    pub fn strong(name: &str) -> Self {
        let mut opaque = String::with_capacity(name.len());
        for byte in name.bytes() {
            if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
                opaque.push(char::from(byte));
            } else {
                write!(opaque, "%{byte:02X}").expect("a String takes every write");
            }
        }
        Self { weak: false, opaque }
    }

    /// Reads a tag at the start of a text and gives what follows it.
    fn take(text: &str) -> Option<(Self, &str)> {
        let quoted = text.strip_prefix("W/").unwrap_or(text);
        let weak = quoted.len() < text.len();
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        let legal = !opaque.contains(|c: char| c == ' ' || c.is_control());
        legal.then(|| (Self { weak, opaque: opaque.to_owned() }, rest))
    }

    /// The tag that a text is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::take(text).filter(|(_, rest)| rest.is_empty()).map(|(tag, _)| tag)
    }

    /// Same bytes: neither is weak and they are alike.
    #[must_use]
    pub fn same_bytes(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Same meaning: alike, weak or not.
    #[must_use]
    pub fn same_meaning(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// As it stands in `ETag`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

impl Tags {
    /// The tags of all lines of a header together; none when one of them is not well formed.
    #[must_use]
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut tags = Vec::new();
        for line in lines {
            if line.trim() == "*" {
                return Some(Self::Any);
            }
            let mut rest = line.trim_matches(is_separator);
            while !rest.is_empty() {
                let (tag, behind) = Tag::take(rest)?;
                tags.push(tag);
                let next = behind.trim_start_matches(is_space);
                if !next.is_empty() && !next.starts_with(',') {
                    return None;
                }
                rest = next.trim_start_matches(is_separator);
            }
        }
        (!tags.is_empty()).then_some(Self::List(tags))
    }

    /// Whether something with this tag, or without one, is among them in the eyes of `alike`.
    #[must_use]
    pub fn name(&self, tag: Option<&Tag>, alike: fn(&Tag, &Tag) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tag.is_some_and(|tag| tags.iter().any(|one| alike(one, tag))),
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_separator(c: char) -> bool {
    c == ',' || is_space(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(weak: bool, opaque: &str) -> Tag {
        Tag { weak, opaque: opaque.to_owned() }
    }

    #[test]
    fn lists_are_read_over_lines_and_empty_members() {
        let three = Tags::List(vec![tag(false, "a,b"), tag(true, "c"), tag(false, "")]);
        assert_eq!(Tags::parse(["\"a,b\", W/\"c\",\"\""]), Some(three.clone()));
        assert_eq!(Tags::parse([", \"a,b\" ,", "W/\"c\" ,, \"\"\t"]), Some(three));
        assert_eq!(Tags::parse([" * "]), Some(Tags::Any));
        for bad in
            ["", ",", "a", "\"a", "\"a\"b", "\"a\" \"b\"", "w/\"a\"", "W/a", "\"a b\"", "\"a\",*"]
        {
            assert_eq!(Tags::parse([bad]), None, "{bad}");
        }
    }

    #[test]
    fn a_weak_tag_is_never_the_same_bytes() {
        let (strong, weak) = (tag(false, "x"), tag(true, "x"));
        assert!(strong.same_bytes(&strong) && !strong.same_bytes(&weak) && !weak.same_bytes(&weak));
        assert!(strong.same_meaning(&weak) && !strong.same_meaning(&tag(false, "X")));
    }

    #[test]
    fn a_tag_of_any_name_reads_back() {
        for name in ["", "block-17", "a \"b\" 100%\r\n", "gr\u{fc}n"] {
            let made = Tag::strong(name);
            assert_eq!(Tag::parse(&made.to_string()), Some(made));
        }
        assert_eq!(Tag::strong("a \"%").to_string(), "\"a%20%22%25\"");
        assert_eq!(tag(true, "x").to_string(), "W/\"x\"");
    }

    #[test]
    fn a_star_names_what_has_no_tag() {
        assert!(Tags::Any.name(None, Tag::same_bytes));
        assert!(!Tags::List(vec![tag(false, "x")]).name(None, Tag::same_meaning));
        assert!(Tags::List(vec![tag(true, "x")]).name(Some(&tag(false, "x")), Tag::same_meaning));
    }
}

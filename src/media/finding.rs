//! What a library scan found amiss: values with words that say what to do. Not errors; whatever is
//! named here, the rest of the library is on the air. `folder.rs`, `catalog.rs` and
//! `io/library.rs` make them; the log and `--check` show them.

use core::fmt;

use crate::base::limits;
use crate::base::text::escaped;
use crate::media::index::Why;
use crate::media::sniff::Container;

/// One thing that is amiss. Every path is relative to the library and made safe to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Blocks between others are missing; the filler takes their place.
    Gap {
        /// The movie's stem.
        movie: String,
        /// The number of the first missing block.
        first: u32,
        /// The number of the last one.
        last: u32,
    },
    /// A movie without an index does not begin at 0.
    LateStart {
        /// The movie's stem.
        movie: String,
        /// The number of its first block.
        first: u32,
    },
    /// Something that is not a block of any movie.
    Stranger {
        /// Where.
        path: String,
        /// Why not.
        why: Odd,
    },
    /// A block without bytes.
    Empty {
        /// Where.
        path: String,
    },
    /// A block beyond [`limits::BLOCK_BYTES_MAX`].
    TooLarge {
        /// Where.
        path: String,
    },
    /// A block or movie that is there already.
    Duplicate {
        /// The one left out.
        path: String,
        /// The one that stays.
        kept: String,
    },
    /// An index that is not used.
    BadIndex {
        /// Where.
        path: String,
        /// From 1; 0 when no line is to blame.
        line: u32,
        /// Why.
        why: Unfit,
    },
    /// Something that could not be read.
    Unreadable {
        /// Where.
        path: String,
        /// In the system's words.
        why: String,
    },
    /// A movie beyond a bound of the program.
    LeftOut {
        /// The movie's stem, with its directory.
        path: String,
        /// Which bound.
        why: Bound,
    },
    /// Findings of one kind that are not named.
    More {
        /// What they are called.
        kind: &'static str,
        /// How many.
        count: u64,
    },
}

/// Why something is not a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Odd {
    /// Its name is not UTF-8, or holds control characters.
    UnsafeName,
    /// Its name is not that of a block.
    NotABlock,
    /// The movie's index does not list it.
    NotInIndex,
    /// Too far from the movie's first number.
    FarNumber,
    /// A directory called like a block.
    DirectoryAsBlock,
    /// A directory inside a movie's directory.
    TooDeep,
    /// A directory beyond [`limits::LIBRARY_FOLDERS_MAX`].
    TooManyFolders,
    /// A pipe, socket or device.
    Special,
    /// A link that leads out of the library or nowhere.
    LinkOut,
}

/// Why an index is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// A line is wrong.
    Line(Why),
    /// It names a file that is not mkv, mp4 or ts.
    NotABlock,
    /// It mixes containers.
    Mixed(Container),
    /// None of its files is there.
    NothingThere,
    /// Another index was there first.
    Second,
    /// More than [`limits::INDEX_BYTES_MAX`].
    TooLarge,
    /// Not a file, or a link out of the library.
    NotAFile,
}

/// A bound that a library can reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// [`limits::MOVIES_MAX`].
    Movies,
    /// [`limits::LIBRARY_BLOCKS_MAX`].
    Blocks,
}

/// `name` inside `folder`, as one harmless line.
#[must_use]
pub fn shown(folder: &str, name: &[u8]) -> String {
    if folder.is_empty() {
        return escaped(name);
    }
    format!("{}/{}", escaped(folder.as_bytes()), escaped(name))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { movie, first, last } if first == last => {
                write!(f, "movie {movie}: block {first} is missing; the filler takes its place")
            }
            Self::Gap { movie, first, last } => write!(
                f,
                "movie {movie}: blocks {first} to {last} are missing; the filler takes their place"
            ),
            Self::LateStart { movie, first } => write!(
                f,
                "movie {movie}: begins at block {first}; if earlier blocks are lost, put them back"
            ),
            Self::Stranger { path, why } => write!(f, "{path}: {why}"),
            Self::Empty { path } => write!(f, "{path}: empty; put the block back or remove it"),
            Self::TooLarge { path } => write!(
                f,
                "{path}: larger than {} MiB, never on the air; cut it into blocks",
                limits::BLOCK_BYTES_MAX >> 20
            ),
            Self::Duplicate { path, kept } => {
                write!(f, "{path}: left out, {kept} is the same; rename or remove one of them")
            }
            Self::BadIndex { path, line: 0, why } => write!(f, "{path}: index not used: {why}"),
            Self::BadIndex { path, line, why } => {
                write!(f, "{path}: index not used: line {line}: {why}")
            }
            Self::Unreadable { path, why } => write!(f, "{path}: cannot be read: {why}"),
            Self::LeftOut { path, why } => write!(f, "{path}: left out: {why}"),
            Self::More { kind, count } => write!(f, "and {count} more: {kind}"),
        }
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TooManyFolders => {
                let most = limits::LIBRARY_FOLDERS_MAX;
                return write!(f, "not read: a library has at most {most} directories");
            }
            Self::UnsafeName => "not a block: its name is not UTF-8 or has control characters",
            Self::NotABlock => {
                "not a block (<movie>_00000.mkv, .mp4 or .ts) nor an index; move it elsewhere"
            }
            Self::NotInIndex => "left out: the movie's index does not list it; add or remove it",
            Self::FarNumber => "left out: its number is too far from the movie's first block",
            Self::DirectoryAsBlock => "not a block but a directory",
            Self::TooDeep => "not read: only one level of directories is; move it up",
            Self::Special => "not a block but a pipe, socket or device; remove it",
            Self::LinkOut => "not followed: the link leads out of the library or nowhere",
        };
        f.write_str(text)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(why) => why.fmt(f),
            Self::NotABlock => f.write_str("names a file that is not mkv, mp4 or ts"),
            Self::Mixed(first) => {
                write!(
                    f,
                    "mixes containers; begun with {}, write one index each",
                    first.extension()
                )
            }
            Self::NothingThere => f.write_str("none of the files it names is there"),
            Self::Second => f.write_str("the movie has an index already; remove one"),
            Self::TooLarge => write!(f, "larger than {} MiB", limits::INDEX_BYTES_MAX >> 20),
            Self::NotAFile => f.write_str("not a file inside the library"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, what) = match self {
            Self::Movies => (limits::MOVIES_MAX, "movies"),
            Self::Blocks => (limits::LIBRARY_BLOCKS_MAX, "blocks"),
        };
        write!(f, "a library has at most {most} {what}")
    }
}

impl Finding {
    /// Place in the count, and what the unnamed ones are called.
    fn kind(&self) -> (usize, &'static str) {
        match self {
            Self::Gap { .. } => (0, "gaps in movies"),
            Self::LateStart { .. } => (1, "movies that do not begin at block 0"),
            Self::Stranger { .. } => (2, "files that are not blocks"),
            Self::Empty { .. } => (3, "empty blocks"),
            Self::TooLarge { .. } => (4, "blocks that are too large"),
            Self::Duplicate { .. } => (5, "duplicates"),
            Self::BadIndex { .. } => (6, "unfit indexes"),
            Self::Unreadable { .. } => (7, "unreadable files"),
            Self::LeftOut { .. } => (8, "movies left out"),
            Self::More { .. } => (9, "findings"),
        }
    }
}

/// Findings while they are collected: of each kind the first
/// [`limits::FINDINGS_SHOWN_MAX`], the others counted.
#[derive(Clone, Default, Debug)]
pub struct Findings {
    named: Vec<Finding>,
    counts: [(u64, &'static str); 10],
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        let (at, kind) = finding.kind();
        let count = &mut self.counts[at];
        *count = (count.0 + 1, kind);
        if count.0 <= limits::FINDINGS_SHOWN_MAX as u64 {
            self.named.push(finding);
        }
    }

    /// Adds all of another collection.
    pub fn absorb(&mut self, mut other: Self) {
        for finding in other.named {
            other.counts[finding.kind().0].0 -= 1;
            self.push(finding);
        }
        for (mine, (count, kind)) in self.counts.iter_mut().zip(other.counts) {
            if count > 0 {
                *mine = (mine.0 + count, kind);
            }
        }
    }

    /// The list that people read: by kind, then by name, then how many are not named.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<Finding> {
        self.named.sort_by_cached_key(|f| (f.kind().0, f.to_string()));
        for (count, kind) in self.counts {
            let count = count.saturating_sub(limits::FINDINGS_SHOWN_MAX as u64);
            if count > 0 {
                self.named.push(Finding::More { kind, count });
            }
        }
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_harmless_line() {
        let path = shown("a\x1bb", b"c\xff\n.mkv");
        let text = Finding::Stranger { path, why: Odd::UnsafeName }.to_string();
        assert!(text.starts_with("a\\x1bb/c\\xff\\x0a.mkv: not a block"), "{text}");
        assert_eq!(shown("", b"x"), "x");
        let text = Finding::BadIndex { path: "i".into(), line: 3, why: Unfit::Line(Why::NoName) };
        assert_eq!(
            text.to_string(),
            "i: index not used: line 3: no file name after the last #EXTINF"
        );
    }

    #[test]
    fn what_is_many_is_counted() {
        let mut findings = Findings::default();
        for first in 0..15 {
            findings.push(Finding::Gap { movie: "m".into(), first, last: first });
        }
        findings.push(Finding::Empty { path: "e".into() });
        let mut all = Findings::default();
        all.push(Finding::Gap { movie: "a".into(), first: 1, last: 1 });
        all.absorb(findings);
        let list = all.into_vec();
        assert_eq!(list.len(), limits::FINDINGS_SHOWN_MAX + 2);
        assert_eq!(list.last(), Some(&Finding::More { kind: "gaps in movies", count: 6 }));
    }
}

//! One directory's names and index texts turned into movies. Pure: names come in as the directory
//! gives them, in any order; headers are asked for through a callback. Not the reading of
//! directories (`io/library.rs`, the caller) and not the naming of movies (`catalog.rs`).
//!
//! A movie without an index begins at its lowest number, and a number that is missing after that
//! is still a block, so that the numbers of the others stand when a file is lost or put back. Of a
//! movie with an index the index is the truth.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::limits;
use crate::base::time::nanos;
use crate::media::catalog::{Lasts, Movie, Place};
use crate::media::finding::{Finding, Findings, Odd, Unfit, shown};
use crate::media::index::{self, Entry};
use crate::media::name::{self, Name};
use crate::media::names::{Called, Names};
use crate::media::sniff::Container;
use crate::media::{Durations, Options, rates};

/// Asks the header of a block of this directory, by file name, how long it lasts.
pub type Header<'a> = dyn FnMut(&str) -> Option<Duration> + 'a;

/// A directory being read: names first, then the indexes among them, then [`Folder::finish`].
#[derive(Debug)]
pub struct Folder {
    path: Rc<str>,
    groups: Vec<Group>,
    /// Places in `groups`, by container and stem.
    by_stem: [BTreeMap<Rc<str>, usize>; 3],
    /// The group of the name before; directories tend to list a movie's blocks together.
    recent: usize,
    indexes: Vec<Box<str>>,
    others: Vec<Box<str>>,
    movies: Vec<Movie>,
    findings: Findings,
}

/// Blocks of one stem and container.
#[derive(Debug)]
struct Group {
    stem: Rc<str>,
    container: Container,
    /// Number and digits of each, packed by [`packed`]; sorted once all names are in.
    present: Vec<u64>,
    /// Whether an index speaks for them.
    indexed: bool,
}

impl Folder {
    /// An empty directory, `path` relative to the library, empty for the library itself.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            groups: Vec::new(),
            by_stem: [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()],
            recent: 0,
            indexes: Vec::new(),
            others: Vec::new(),
            movies: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Where it is, relative to the library.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes the name of a file. Hidden ones are passed over, and so is what people keep beside
    /// movies on purpose: notes in Markdown and shell scripts.
    pub fn file(&mut self, name: &[u8]) {
        if name.starts_with(b".") {
            return;
        }
        let Some(safe) = name::safe(name) else { return self.stranger(name, Odd::UnsafeName) };
        if let Some(block) = name::parse_safe(safe) {
            let group = self.enter(block.stem, block.container);
            self.groups[group].present.push(packed(block.number, block.digits));
        } else if index_rank(safe).is_some() {
            self.indexes.push(safe.into());
        } else if is_companion(safe) {
            // Not a block, and nobody took it for one.
        } else if self.others.len() < limits::FOLDER_OTHERS_MAX {
            self.others.push(safe.into());
        } else {
            self.stranger(name, Odd::NotABlock);
        }
    }

    /// Reports something in this directory that is not a file.
    pub fn stranger(&mut self, name: &[u8], why: Odd) {
        let path = shown(&self.path, name);
        self.findings.push(Finding::Stranger { path, why });
    }

    /// Reports something in this directory that could not be read.
    pub fn unreadable(&mut self, name: &[u8], why: String) {
        let path = shown(&self.path, name);
        self.findings.push(Finding::Unreadable { path, why });
    }

    /// Reports an index that cannot be used as a whole.
    pub fn unfit(&mut self, name: &str, line: u32, why: Unfit) {
        let path = shown(&self.path, name.as_bytes());
        self.findings.push(Finding::BadIndex { path, line, why });
    }

    /// No more names will come: the indexes among them, to be read and told in this order.
    pub fn indexes(&mut self) -> Vec<Box<str>> {
        self.groups.iter_mut().for_each(|g| g.present.sort_unstable());
        self.others.sort_unstable();
        // Of two of the same movie the .m3u8 speaks.
        self.indexes.sort_unstable();
        self.indexes.sort_by_key(|name| index_rank(name));
        core::mem::take(&mut self.indexes)
    }

    /// Takes the text of an index.
    pub fn index(&mut self, name: &str, text: &[u8]) {
        if let Err((line, why)) = self.apply(name, text) {
            self.unfit(name, line, why);
        }
    }

    /// Everything in this directory: its movies, unnamed yet, and what is amiss.
    #[must_use]
    pub fn finish(mut self, options: &Options, header: &mut Header<'_>) -> (Vec<Movie>, Findings) {
        let mut groups = core::mem::take(&mut self.groups);
        groups.sort_by(|a, b| (&a.stem, a.container).cmp(&(&b.stem, b.container)));
        for group in groups.into_iter().filter(|g| !g.indexed) {
            self.plain(group, options, header);
        }
        for other in core::mem::take(&mut self.others) {
            self.stranger(other.as_bytes(), Odd::NotABlock);
        }
        (self.movies, self.findings)
    }

    fn enter(&mut self, stem: &str, container: Container) -> usize {
        if let Some(at) = self.find(stem, container) {
            self.recent = at;
            return at;
        }
        let (stem, at) = (Rc::<str>::from(stem), self.groups.len());
        self.by_stem[container as usize].insert(stem.clone(), at);
        self.groups.push(Group { stem, container, present: Vec::new(), indexed: false });
        self.recent = at;
        at
    }

    fn find(&self, stem: &str, container: Container) -> Option<usize> {
        let recent = self.groups.get(self.recent);
        if recent.is_some_and(|g| g.container == container && *g.stem == *stem) {
            return Some(self.recent);
        }
        self.by_stem[container as usize].get(stem).copied()
    }

    /// Makes the movie that an index describes; otherwise the line and the reason.
    fn apply(&mut self, name: &str, text: &[u8]) -> Result<(), (u32, Unfit)> {
        let entries = index::parse(text).map_err(|e| (e.line, Unfit::Line(e.why)))?;
        let names: Vec<_> = entries.iter().map(|e| name::parse_safe(e.name)).collect();
        let container = one_container(&entries, &names)?;
        let common = common_stem(&names);
        let stem = common.unwrap_or_else(|| stem_of_index(name));
        let group = self.find(stem, container);
        if group.is_some_and(|g| self.groups[g].indexed) {
            return Err((0, Unfit::Second));
        }
        let present = self.present(group.filter(|_| common.is_some()), &entries, &names);
        if !present.contains(&true) {
            return Err((0, Unfit::NothingThere));
        }
        let mut told = Names::default();
        for ((block, entry), parsed) in (0..).zip(&entries).zip(&names) {
            told.tell(block, Called::of(parsed.filter(|_| common.is_some()), entry.name));
        }
        self.gaps(stem, &told, present.iter().copied());
        self.unlisted(group, &names);
        self.forget_others(&entries);
        let place = Place { folder: self.path.clone(), stem: stem.into(), container };
        let each: Vec<_> = rates::exact(entries.iter().map(|entry| entry.lasts)).collect();
        let lasts = Lasts::of(each.into_iter()).ok_or((0, Unfit::TooLarge))?;
        self.movies.push(Movie::new(place, told, lasts));
        Ok(())
    }

    /// Which of the files that an index names are in this directory; `group` is where all of them
    /// belong, if they do.
    fn present(
        &self,
        group: Option<usize>,
        entries: &[Entry<'_>],
        names: &[Option<Name<'_>>],
    ) -> Vec<bool> {
        let mut next = group.map_or(&[][..], |g| &self.groups[g].present).iter().peekable();
        let here = |(entry, name): (&Entry<'_>, &Option<Name<'_>>)| {
            // An index tends to list files as they are numbered; then no search is needed.
            let key = name.map(|n| packed(n.number, n.digits));
            key.is_some_and(|key| next.next_if_eq(&&key).is_some())
                || self.has(entry.name, name.as_ref())
        };
        entries.iter().zip(names).map(here).collect()
    }

    /// Whether a file that an index names is in this directory.
    fn has(&self, text: &str, name: Option<&Name<'_>>) -> bool {
        let Some(name) = name else {
            return self.others.binary_search_by(|o| (**o).cmp(text)).is_ok();
        };
        let key = packed(name.number, name.digits);
        self.find(name.stem, name.container)
            .is_some_and(|g| self.groups[g].present.binary_search(&key).is_ok())
    }

    /// Reports blocks of an indexed movie that the index does not list, and closes its group.
    fn unlisted(&mut self, group: Option<usize>, names: &[Option<Name<'_>>]) {
        let Some(group) = group.map(|g| &mut self.groups[g]) else { return };
        group.indexed = true;
        let own = names.iter().flatten().filter(|n| *n.stem == *group.stem);
        let mut listed: Vec<_> = own.map(|n| packed(n.number, n.digits)).collect();
        listed.sort_unstable();
        if listed == group.present {
            return;
        }
        let strange: Vec<_> = group
            .present
            .iter()
            .filter(|key| listed.binary_search(key).is_err())
            .map(|key| written(&group.stem, *key, group.container))
            .collect();
        for name in strange {
            self.stranger(name.as_bytes(), Odd::NotInIndex);
        }
    }

    /// Takes the odd names that an index lists off the list of strangers.
    fn forget_others(&mut self, entries: &[Entry<'_>]) {
        if !self.others.is_empty() {
            let mut listed: Vec<_> = entries.iter().map(|e| e.name).collect();
            listed.sort_unstable();
            self.others.retain(|other| listed.binary_search(&&**other).is_err());
        }
    }

    /// Reports runs of missing blocks.
    fn gaps(&mut self, stem: &str, names: &Names, present: impl Iterator<Item = bool>) {
        let mut open = None;
        for (block, here) in (0..).zip(present.chain([true])) {
            match (open, here) {
                (None, false) => open = Some(block),
                (Some(from), true) => {
                    self.gap(stem, names, (from, block - 1));
                    open = None;
                }
                _ => {}
            }
        }
    }

    fn gap(&mut self, stem: &str, names: &Names, (from, to): (u32, u32)) {
        let number = |block| names.number(block).unwrap_or(block);
        let movie = shown("", stem.as_bytes());
        self.findings.push(Finding::Gap { movie, first: number(from), last: number(to) });
    }

    /// Makes the movie of a group without an index.
    fn plain(&mut self, group: Group, options: &Options, header: &mut Header<'_>) {
        let Some(first) = group.present.first().map(|key| unpacked(*key).0) else { return };
        let (names, present) = self.numbered(&group, first);
        if first > 0 {
            let movie = shown("", group.stem.as_bytes());
            self.findings.push(Finding::LateStart { movie, first });
        }
        for pair in present.windows(2).filter(|pair| pair[1] - pair[0] > 1) {
            self.gap(&group.stem, &names, (pair[0] + 1, pair[1] - 1));
        }
        let place =
            Place { folder: self.path.clone(), stem: group.stem, container: group.container };
        let nominal = options.block_duration;
        let lasts = match options.durations {
            Durations::Nominal => even(&present, nominal, nominal),
            Durations::Header => {
                let mut of = |block| {
                    let name = names.name(block, &place.stem, place.container);
                    name.and_then(|n| header(&n)).unwrap_or(nominal)
                };
                sampled(&present, nominal, &mut of)
            }
        };
        self.movies.push(Movie::new(place, names, lasts));
    }

    /// The blocks of a plain movie that are there, by number less the first; duplicates and what
    /// is too far out are reported.
    fn numbered(&mut self, group: &Group, first: u32) -> (Names, Vec<u32>) {
        let mut names = Names::default();
        let mut present: Vec<u32> = Vec::with_capacity(group.present.len());
        for key in &group.present {
            let ((number, digits), text) =
                (unpacked(*key), || written(&group.stem, *key, group.container));
            let block = number - first;
            if present.last() == Some(&block) {
                let kept = names.name(block, &group.stem, group.container).unwrap_or_default();
                let (path, kept) =
                    (shown(&self.path, text().as_bytes()), shown(&self.path, kept.as_bytes()));
                self.findings.push(Finding::Duplicate { path, kept });
            } else if block as usize >= limits::BLOCKS_MAX {
                self.stranger(text().as_bytes(), Odd::FarNumber);
            } else {
                names.tell(block, Called::Numbered { number, digits });
                present.push(block);
            }
        }
        (names, present)
    }
}

/// Durations of a plain movie by its headers. The first, the middle and the last block are asked;
/// where the first two disagree, every one is.
fn sampled(present: &[u32], nominal: Duration, of: &mut dyn FnMut(u32) -> Duration) -> Lasts {
    let [first, .., last] = *present else {
        let only = present.first().map_or(nominal, |b| of(*b));
        return even(present, only, only);
    };
    let each = of(first);
    // Never the last one: that one is often shorter and speaks only for itself.
    if each == of(present[(present.len() - 1) / 2]) {
        return even(present, each, of(last));
    }
    let mut next = present.iter().peekable();
    let all: Vec<_> = (0..=last)
        .map(|block| if next.next_if_eq(&&block).is_some() { of(block) } else { nominal })
        .collect();
    Lasts::of(all.into_iter()).unwrap_or_else(|| even(present, nominal, nominal))
}

/// Blocks 0 to the last present one, all lasting the same but the last.
fn even(present: &[u32], each: Duration, last: Duration) -> Lasts {
    let blocks = present.last().map_or(1, |b| b + 1);
    Lasts::Even { blocks, each: nanos(each).max(1), last: nanos(last).max(1) }
}

/// The container that all entries agree on.
fn one_container(
    entries: &[Entry<'_>],
    names: &[Option<Name<'_>>],
) -> Result<Container, (u32, Unfit)> {
    let mut first = None;
    for (entry, name) in entries.iter().zip(names) {
        let container = name.map(|n| n.container).or_else(|| name::container(entry.name));
        let container = container.ok_or((entry.line, Unfit::NotABlock))?;
        if *first.get_or_insert(container) != container {
            return Err((entry.line, Unfit::Mixed(first.unwrap_or(container))));
        }
    }
    first.ok_or((0, Unfit::NothingThere))
}

/// The stem of all names, when each is a block's and all have the same.
fn common_stem<'a>(names: &[Option<Name<'a>>]) -> Option<&'a str> {
    let stem = names.first()?.as_ref()?.stem;
    names.iter().all(|n| n.as_ref().is_some_and(|n| n.stem == stem)).then_some(stem)
}

fn stem_of_index(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The order in which indexes speak; nothing for what is none.
fn index_rank(name: &str) -> Option<usize> {
    let extension = name.rsplit_once('.')?.1;
    ["m3u8", "m3u"].iter().position(|e| *e == extension)
}

/// What people keep beside movies on purpose.
fn is_companion(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "md" | "sh"))
}

/// Number and digits in one word that sorts by number.
fn packed(number: u32, digits: u8) -> u64 {
    u64::from(number) << 8 | u64::from(digits)
}

fn unpacked(key: u64) -> (u32, u8) {
    let [.., a, b, c, d, digits] = key.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), digits)
}

/// The file name that a packed number was read from.
fn written(stem: &str, key: u64, container: Container) -> String {
    let (number, digits) = unpacked(key);
    format!("{stem}_{number:0width$}.{}", container.extension(), width = usize::from(digits))
}

#[cfg(test)]
mod tests;

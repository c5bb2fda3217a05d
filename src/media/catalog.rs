//! The movies of a library and their blocks: names, numbers, durations. Not what is on the air
//! (`schedule.rs`) and not the reading of directories (`folder.rs`, `io/library.rs`). Channels,
//! the guide and the configuration ask here.
//!
//! A library of 300 000 blocks must stay small, so nothing is stored a block but the moment it
//! ends, and not even that when all last the same.

use core::fmt;
use core::time::Duration;
use std::rc::Rc;

use crate::base::limits;
use crate::base::time::nanos;
use crate::media::finding::{Bound, Finding, Findings, shown};
use crate::media::names::{Called, Names};
use crate::media::sniff::Container;

/// A movie: at least one block, numbered from 0 whatever its files are called.
#[derive(Clone, PartialEq, Eq)]
pub struct Movie {
    name: Rc<str>,
    place: Place,
    names: Names,
    lasts: Lasts,
}

/// Where a movie's files are and how they are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Relative to the library, with forward slashes; empty for the library itself.
    pub(super) folder: Rc<str>,
    /// What all its block names begin with.
    pub(super) stem: Rc<str>,
    pub(super) container: Container,
}

impl Movie {
    pub(super) fn new(place: Place, names: Names, lasts: Lasts) -> Self {
        Self { name: place.stem.clone(), place, names, lasts }
    }

    /// A movie directly in the library: `blocks` files from `<stem>_00000` on, each of which lasts
    /// `each`. At least one block, and at least a nanosecond.
    #[must_use]
    pub fn even(stem: &str, container: Container, blocks: u32, each: Duration) -> Self {
        let place = Place { folder: "".into(), stem: stem.into(), container };
        let mut names = Names::default();
        names.tell(0, Called::Numbered { number: 0, digits: 5 });
        let each = nanos(each).max(1);
        Self::new(place, names, Lasts::Even { blocks: blocks.max(1), each, last: each })
    }

    /// What playlists call it: its stem, or `<stem>.<extension>` where another has the same stem.
    #[must_use]
    pub fn name(&self) -> &Rc<str> {
        &self.name
    }

    /// What its blocks are.
    #[must_use]
    pub fn container(&self) -> Container {
        self.place.container
    }

    /// How many blocks, missing ones among them; at least 1.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        match &self.lasts {
            Lasts::Even { blocks, .. } => *blocks,
            Lasts::Ends(ends) => u32::try_from(ends.len()).unwrap_or(u32::MAX),
        }
    }

    /// How long all its blocks last together.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.lasts.end(self.blocks() - 1))
    }

    /// How long a block lasts.
    #[must_use]
    pub fn lasts(&self, block: u32) -> Option<Duration> {
        let starts = nanos(self.starts(block)?);
        Some(Duration::from_nanos(self.lasts.end(block) - starts))
    }

    /// When a block starts, from the start of the movie.
    #[must_use]
    pub fn starts(&self, block: u32) -> Option<Duration> {
        if block >= self.blocks() {
            return None;
        }
        Some(Duration::from_nanos(block.checked_sub(1).map_or(0, |b| self.lasts.end(b))))
    }

    /// The block that runs at this offset from the movie's start; the boundary between two belongs
    /// to the later one, and what lies beyond the end to the last.
    #[must_use]
    pub fn at(&self, offset: Duration) -> u32 {
        let offset = nanos(offset);
        let block = match &self.lasts {
            Lasts::Even { each, .. } => u32::try_from(offset / each).unwrap_or(u32::MAX),
            Lasts::Ends(ends) => {
                u32::try_from(ends.partition_point(|end| *end <= offset)).unwrap_or(u32::MAX)
            }
        };
        block.min(self.blocks() - 1)
    }

    /// A block's file, relative to the library, with forward slashes.
    #[must_use]
    pub fn path(&self, block: u32) -> Option<Rc<str>> {
        let name = self.file_name(block)?;
        Some(match &*self.place.folder {
            "" => name.into(),
            folder => format!("{folder}/{name}").into(),
        })
    }

    /// A block's file name, without its directory.
    #[must_use]
    pub fn file_name(&self, block: u32) -> Option<String> {
        if block >= self.blocks() {
            return None;
        }
        self.names.name(block, &self.place.stem, self.place.container)
    }

    /// What findings call the movie as a whole.
    #[must_use]
    pub fn shown(&self) -> String {
        let name = format!("{}.{}", self.place.stem, self.place.container.extension());
        shown(&self.place.folder, name.as_bytes())
    }
}

/// A line, not thousands of durations.
impl fmt::Debug for Movie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path(0).unwrap_or_default();
        write!(f, "Movie({}: {} blocks, {:?}, {path})", self.name, self.blocks(), self.total())
    }
}

/// How long blocks last, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Lasts {
    /// All the same but the last one.
    Even { blocks: u32, each: u64, last: u64 },
    /// The moment each ends, from the start of the movie.
    Ends(Box<[u64]>),
}

impl Lasts {
    /// From each block's own duration; nothing when there is none.
    pub(super) fn of(each: impl ExactSizeIterator<Item = Duration>) -> Option<Self> {
        let mut ends = Vec::with_capacity(each.len());
        let mut end = 0_u64;
        for lasts in each {
            end = end.checked_add(nanos(lasts).max(1))?;
            ends.push(end);
        }
        let (first, last) = (*ends.first()?, ends.last().copied()?);
        let before = ends.len().saturating_sub(2);
        let even =
            (1_u64..).zip(&ends[..=before]).all(|(n, end)| n.checked_mul(first) == Some(*end));
        if !even {
            return Some(Self::Ends(ends.into()));
        }
        let last = if ends.len() == 1 { last } else { last - ends[before] };
        Some(Self::Even { blocks: u32::try_from(ends.len()).ok()?, each: first, last })
    }

    /// When a block that exists ends.
    fn end(&self, block: u32) -> u64 {
        match self {
            Self::Even { blocks, each, last } if block + 1 == *blocks => {
                u64::from(block) * each + last
            }
            Self::Even { each, .. } => (u64::from(block) + 1) * each,
            Self::Ends(ends) => ends[block as usize],
        }
    }
}

/// All movies of a library.
#[derive(Clone, Default, Debug)]
pub struct Catalog {
    /// By name.
    movies: Vec<Rc<Movie>>,
}

impl Catalog {
    /// Names the movies and sets aside what cannot be told apart or is too much. Of two with the
    /// same stem and container the one whose directory sorts first stays.
    #[must_use]
    pub fn new(mut movies: Vec<Movie>) -> (Self, Findings) {
        let mut findings = Findings::default();
        movies.sort_by(|a, b| a.place.key().cmp(&b.place.key()));
        keep_first(&mut movies, &mut findings, |a, b| {
            a.place.stem == b.place.stem && a.place.container == b.place.container
        });
        for movie in movies.iter().skip(limits::MOVIES_MAX) {
            findings.push(Finding::LeftOut { path: movie.shown(), why: Bound::Movies });
        }
        movies.truncate(limits::MOVIES_MAX);
        for same in movies.chunk_by_mut(|a, b| a.place.stem == b.place.stem) {
            name(same);
        }
        movies.sort_by(|a, b| a.name.cmp(&b.name));
        keep_first(&mut movies, &mut findings, |a, b| a.name == b.name);
        (Self { movies: movies.into_iter().map(Rc::new).collect() }, findings)
    }

    /// All of them, by name.
    #[must_use]
    pub fn movies(&self) -> &[Rc<Movie>] {
        &self.movies
    }

    /// A movie by its name; a stem that several share finds the first of mkv, mp4, ts.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Rc<Movie>> {
        self.named(name).or_else(|| {
            let full = |c: Container| format!("{name}.{}", c.extension());
            Container::ALL
                .into_iter()
                .find_map(|c| self.named(&full(c)).filter(|m| &*m.place.stem == name))
        })
    }

    fn named(&self, name: &str) -> Option<&Rc<Movie>> {
        let at = self.movies.binary_search_by(|m| (*m.name).cmp(name)).ok()?;
        self.movies.get(at)
    }
}

impl Place {
    fn key(&self) -> (&str, Container, &str) {
        (&self.stem, self.container, &self.folder)
    }
}

/// Gives movies of one stem names that tell them apart.
fn name(same: &mut [Movie]) {
    if same.len() > 1 {
        for movie in same {
            movie.name =
                format!("{}.{}", movie.place.stem, movie.place.container.extension()).into();
        }
    }
}

/// Leaves the first of each run of equals and reports the others.
fn keep_first(
    movies: &mut Vec<Movie>,
    findings: &mut Findings,
    equal: impl Fn(&Movie, &Movie) -> bool,
) {
    movies.dedup_by(|later, kept| {
        let same = equal(later, kept);
        if same {
            findings.push(Finding::Duplicate { path: later.shown(), kept: kept.shown() });
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: Duration = Duration::from_secs(2);

    fn movie(folder: &str, stem: &str, container: Container) -> Movie {
        let mut movie = Movie::even(stem, container, 3, TWO);
        movie.place.folder = folder.into();
        movie
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.movies().iter().map(|m| &**m.name()).collect()
    }

    #[test]
    fn a_stem_in_two_containers_is_told_apart_by_extension() {
        let (catalog, findings) = Catalog::new(vec![
            movie("b", "bars", Container::Mp4),
            movie("c", "clock", Container::Ts),
            movie("a", "bars", Container::Mkv),
        ]);
        assert_eq!(findings.into_vec(), []);
        assert_eq!(names(&catalog), ["bars.mkv", "bars.mp4", "clock"]);
        assert_eq!(catalog.find("bars").unwrap().container(), Container::Mkv);
        assert_eq!(catalog.find("bars.mp4").unwrap().path(2).as_deref(), Some("b/bars_00002.mp4"));
        assert_eq!(catalog.find("clock").unwrap().container(), Container::Ts);
        assert!(catalog.find("clock.ts").is_none() && catalog.find("").is_none());
    }

    #[test]
    fn of_two_equal_movies_the_first_directory_stays() {
        let (catalog, findings) =
            Catalog::new(vec![movie("b", "x", Container::Mkv), movie("", "x", Container::Mkv)]);
        assert_eq!(names(&catalog), ["x"]);
        assert_eq!(catalog.find("x").unwrap().path(0).as_deref(), Some("x_00000.mkv"));
        let expected = Finding::Duplicate { path: "b/x.mkv".into(), kept: "x.mkv".into() };
        assert_eq!(findings.into_vec(), [expected]);
    }

    #[test]
    fn a_stem_that_looks_like_a_name_takes_no_other_movies_place() {
        let (catalog, findings) = Catalog::new(vec![
            movie("a", "x", Container::Mkv),
            movie("b", "x", Container::Mp4),
            movie("c", "x.mp4", Container::Mkv),
        ]);
        assert_eq!((names(&catalog), findings.into_vec().len()), (vec!["x.mkv", "x.mp4"], 1));
        let (catalog, _) = Catalog::new(vec![movie("c", "x.mp4", Container::Mkv)]);
        assert!(catalog.find("x").is_none());
    }

    #[test]
    fn the_last_block_may_be_shorter() {
        let lasts = [TWO, TWO, Duration::from_millis(700)];
        let lasts = Lasts::of(lasts.into_iter()).unwrap();
        assert!(matches!(lasts, Lasts::Even { blocks: 3, last: 700_000_000, .. }));
        let movie = Movie { lasts, ..movie("", "x", Container::Mkv) };
        assert_eq!(movie.total(), Duration::from_millis(4700));
        assert_eq!(movie.lasts(2), Some(Duration::from_millis(700)));
        assert_eq!((movie.lasts(3), movie.starts(3), movie.file_name(3)), (None, None, None));
    }

    proptest! {
        #[test]
        fn blocks_follow_each_other_without_a_break(
            lasts in prop::collection::vec(prop::sample::select(vec![100, 2002, 60_000]), 1..40),
            probe in any::<u64>(),
        ) {
            let each = lasts.iter().map(|ms| Duration::from_millis(*ms));
            let all = Lasts::of(each.clone()).unwrap();
            let movie = Movie { lasts: all, ..movie("", "x", Container::Mkv) };
            prop_assert_eq!(movie.blocks() as usize, lasts.len());
            prop_assert_eq!(movie.total(), each.clone().sum::<Duration>());
            let mut end = Duration::ZERO;
            for (block, lasts) in (0..).zip(each) {
                prop_assert_eq!(movie.starts(block), Some(end));
                prop_assert_eq!(movie.lasts(block), Some(lasts));
                prop_assert_eq!(movie.at(end), block);
                end += lasts;
                prop_assert_eq!(movie.at(end.checked_sub(Duration::from_nanos(1)).unwrap()), block);
            }
            let offset = Duration::from_nanos(probe % nanos(end));
            let block = movie.at(offset);
            let starts = movie.starts(block).unwrap();
            prop_assert!(starts <= offset && offset < starts + movie.lasts(block).unwrap());
            prop_assert_eq!(movie.at(end + TWO), movie.blocks() - 1);
        }
    }
}

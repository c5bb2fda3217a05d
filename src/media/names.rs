//! The file names of all blocks of a movie in a few bytes: runs of numbers that go on by one, and
//! the odd name between them. Not the reading of one name (`name.rs`). Only a movie holds this.

use crate::media::name::Name;
use crate::media::sniff::Container;

/// How a block's file is called, as far as its movie's stem and container do not say it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Called<'a> {
    /// `<stem>_<number>.<extension>` with at least so many digits.
    Numbered { number: u32, digits: u8 },
    /// Anything else, in full.
    Odd(&'a str),
}

impl<'a> Called<'a> {
    /// How a file is called: by `name` when it is one of the movie's own, else by `text`.
    pub(super) fn of(name: Option<Name<'_>>, text: &'a str) -> Self {
        match name {
            Some(name) => Self::Numbered { number: name.number, digits: name.digits },
            None => Self::Odd(text),
        }
    }
}

/// Names of blocks 0, 1, 2 …; what was not told goes on from the run before it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Names(Vec<Run>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    /// The first block of the run.
    block: u32,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Numbered { number: u32, digits: u8 },
    Odd(Box<str>),
}

impl Names {
    /// Tells the name of `block`, which is higher than any told before.
    pub(super) fn tell(&mut self, block: u32, called: Called<'_>) {
        if !self.derives(block, called) {
            self.0.push(Run { block, kind: Kind::from(called) });
        }
    }

    fn derives(&self, block: u32, called: Called<'_>) -> bool {
        let (Some(run), Called::Numbered { number, digits }) = (self.0.last(), called) else {
            return false;
        };
        run.number(block).is_some_and(|(n, d)| n == number && d.max(decimal_digits(n)) == digits)
    }

    /// The number in the file name of `block`; nothing when its name is odd.
    pub(super) fn number(&self, block: u32) -> Option<u32> {
        self.run(block)?.number(block).map(|(number, _)| number)
    }

    /// The file name of `block`.
    pub(super) fn name(&self, block: u32, stem: &str, container: Container) -> Option<String> {
        let run = self.run(block)?;
        Some(match (&run.kind, run.number(block)) {
            (Kind::Odd(name), _) => name.to_string(),
            (Kind::Numbered { .. }, number) => {
                let ((number, digits), extension) = (number?, container.extension());
                format!("{stem}_{number:0width$}.{extension}", width = usize::from(digits))
            }
        })
    }

    /// The run that `block` belongs to.
    fn run(&self, block: u32) -> Option<&Run> {
        let after = self.0.partition_point(|run| run.block <= block);
        self.0.get(after.checked_sub(1)?)
    }
}

impl Run {
    /// Number and least digits of a block of this run.
    fn number(&self, block: u32) -> Option<(u32, u8)> {
        match self.kind {
            Kind::Numbered { number, digits } => {
                Some((number.checked_add(block.checked_sub(self.block)?)?, digits))
            }
            Kind::Odd(_) => None,
        }
    }
}

impl From<Called<'_>> for Kind {
    fn from(called: Called<'_>) -> Self {
        match called {
            Called::Numbered { number, digits } => Self::Numbered { number, digits },
            Called::Odd(name) => Self::Odd(name.into()),
        }
    }
}

fn decimal_digits(number: u32) -> u8 {
    u8::try_from(number.checked_ilog10().unwrap_or(0) + 1).expect("a u32 has at most 10 digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::name;

    fn told(list: &[&str], stem: &str) -> Names {
        let mut names = Names::default();
        for (block, text) in (0..).zip(list) {
            let name = name::parse(text).filter(|n| n.stem == stem);
            names.tell(block, Called::of(name, text));
        }
        names
    }

    #[test]
    fn every_told_name_comes_back() {
        let list = ["a_8.ts", "a_9.ts", "a_10.ts", "a_011.ts", "intro.ts", "b_13.ts", "a_14.ts"];
        let names = told(&list, "a");
        for (block, text) in (0..).zip(list) {
            assert_eq!(names.name(block, "a", Container::Ts).as_deref(), Some(text));
        }
        assert_eq!(names.0.len(), 5);
        assert_eq!((names.number(2), names.number(4)), (Some(10), None));
    }

    #[test]
    fn regular_names_cost_one_run_at_any_padding() {
        for digits in [1, 3, 5] {
            let list: Vec<_> = (0..2000).map(|n| format!("a_{n:0digits$}.mkv")).collect();
            let names = told(&list.iter().map(String::as_str).collect::<Vec<_>>(), "a");
            assert_eq!(names.0.len(), 1);
            assert_eq!(
                names.name(1999, "a", Container::Mkv).as_deref(),
                Some("a_1999.mkv").filter(|_| digits < 5).or(Some("a_01999.mkv"))
            );
        }
    }

    #[test]
    fn a_block_that_was_not_told_goes_on_from_the_run_before() {
        let mut names = Names::default();
        names.tell(0, Called::Numbered { number: 5, digits: 5 });
        assert_eq!(names.name(7, "a", Container::Mp4).as_deref(), Some("a_00012.mp4"));
    }
}

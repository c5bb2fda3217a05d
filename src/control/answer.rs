//! An answer to an operator: a text as a whole, or rows that are worded piece by piece while they
//! are taken. [`crate::control::server`] sends it.

use core::fmt;
use std::rc::Rc;

use crate::base::limits;

/// Something with many lines, each of which can be worded by itself.
pub trait Lines: fmt::Debug {
    /// What stands above the lines.
    fn head(&self) -> String;
    /// How many lines there are.
    fn count(&self) -> usize;
    /// Writes a line, with its end. `at` is below the count.
    fn line(&self, at: usize, into: &mut String);
    /// What stands below the lines.
    fn tail(&self) -> String;
}

/// An answer, or what is left of it.
#[derive(Clone, Debug)]
pub struct Answer(Rest);

#[derive(Clone, Debug)]
enum Rest {
    Text(String),
    Lines { lines: Rc<dyn Lines>, next: Next },
}

/// What of some lines comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Head,
    Line(usize),
    Over,
}

impl Answer {
    /// Lines, to be worded when they are taken.
    #[must_use]
    pub fn lines(lines: Rc<dyn Lines>) -> Self {
        Self(Rest::Lines { lines, next: Next::Head })
    }

    /// What stands for an answer when there is none.
    #[must_use]
    pub fn error(why: impl fmt::Display) -> Self {
        format!("error: {why}\n").into()
    }

    /// Whether it may have more than one piece, for which it keeps rows.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(self.0, Rest::Lines { next: Next::Head | Next::Line(_), .. })
    }

    /// The next piece, of about [`limits::CONTROL_PIECE_BYTES_MAX`] bytes; empty at the end.
    pub fn piece(&mut self) -> String {
        match &mut self.0 {
            Rest::Text(text) => core::mem::take(text),
            Rest::Lines { lines, next } => piece(&**lines, next),
        }
    }

    /// All that is left, in one.
    #[must_use]
    pub fn into_text(mut self) -> String {
        let mut text = String::new();
        loop {
            let piece = self.piece();
            if piece.is_empty() {
                return text;
            }
            text += &piece;
        }
    }
}

fn piece(lines: &dyn Lines, next: &mut Next) -> String {
    let mut text = String::new();
    while *next != Next::Over && text.len() < limits::CONTROL_PIECE_BYTES_MAX {
        *next = match *next {
            Next::Line(at) if at < lines.count() => {
                lines.line(at, &mut text);
                Next::Line(at + 1)
            }
            Next::Head => {
                text += &lines.head();
                Next::Line(0)
            }
            Next::Line(_) | Next::Over => {
                text += &lines.tail();
                Next::Over
            }
        };
    }
    text
}

impl Default for Answer {
    /// Nothing to say any more.
    fn default() -> Self {
        Self(Rest::Text(String::new()))
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self(Rest::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[derive(Debug)]
    struct Numbers(usize);

    impl Lines for Numbers {
        fn head(&self) -> String {
            "head\n".to_owned()
        }
        fn count(&self) -> usize {
            self.0
        }
        fn line(&self, at: usize, into: &mut String) {
            writeln!(into, "{at:09}").unwrap();
        }
        fn tail(&self) -> String {
            "tail\n".to_owned()
        }
    }

    #[test]
    fn pieces_are_bounded_and_make_up_the_whole() {
        for count in [0, 1, 10_000] {
            let lines: Rc<dyn Lines> = Rc::new(Numbers(count));
            let mut answer = Answer::lines(Rc::clone(&lines));
            let (mut text, mut pieces) = (String::new(), 0);
            while answer.is_long() {
                let piece = answer.piece();
                assert!(piece.len() < limits::CONTROL_PIECE_BYTES_MAX + 10, "{}", piece.len());
                text += &piece;
                pieces += 1;
            }
            assert_eq!(answer.piece(), "");
            assert_eq!(pieces, 1 + count * 10 / limits::CONTROL_PIECE_BYTES_MAX);
            let numbers: Vec<usize> = text.lines().filter_map(|line| line.parse().ok()).collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>());
            assert!(text.starts_with("head\n") && text.ends_with("tail\n"));
            assert_eq!(text.len(), 10 + 10 * count);
            assert_eq!(Answer::lines(lines).into_text(), text);
        }
    }

    #[test]
    fn a_text_is_one_piece() {
        let mut answer = Answer::error("no");
        assert!(!answer.is_long());
        assert_eq!((answer.piece(), answer.piece()), ("error: no\n".to_owned(), String::new()));
    }
}

//! Byte ranges (RFC 9110, 14): one range in, the bytes of it for a length out.

/// One range as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeSpec {
    /// `bytes=5-9`; the last is not before the first.
    FromTo(u64, u64),
    /// `bytes=5-`.
    From(u64),
    /// `bytes=-5`.
    Suffix(u64),
}

/// What a range means for a body of some length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// The whole body: there is no part of an empty one to name.
    Whole,
    /// So many bytes, at least one, from an offset on.
    Part {
        /// First byte.
        from: u64,
        /// How many.
        len: u64,
    },
    /// Nothing of the body lies in it.
    Unsatisfiable,
}

impl RangeSpec {
    /// One range of bytes. Several ranges, other units and what is not well formed give none, and
    /// the header is as if it were not there, which the RFC allows for each of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, ranges) = text.split_once('=')?;
        let (first, last) = ranges.trim().split_once('-')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first.is_empty(), last.is_empty()) {
            (true, _) => number(last).map(Self::Suffix),
            (_, true) => number(first).map(Self::From),
            _ => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// The bytes of it in a body of `len`.
    #[must_use]
    pub fn resolve(self, len: u64) -> Resolved {
        let (from, end) = match self {
            Self::FromTo(first, last) => (first, last.saturating_add(1).min(len)),
            Self::From(first) => (first, len),
            Self::Suffix(0) => return Resolved::Unsatisfiable,
            Self::Suffix(_) if len == 0 => return Resolved::Whole,
            Self::Suffix(count) => (len.saturating_sub(count), len),
        };
        if from >= len {
            return Resolved::Unsatisfiable;
        }
        Resolved::Part { from, len: end - from }
    }
}

/// Digits only; more than fits is as far as can be.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_anything_else_is_not_there() {
        use RangeSpec::{From, FromTo, Suffix};
        let table: [(&str, Option<RangeSpec>); 20] = [
            ("bytes=0-0", Some(FromTo(0, 0))),
            ("bytes=5-9", Some(FromTo(5, 9))),
            ("Bytes=5-9", Some(FromTo(5, 9))),
            ("bytes= 5-9 ", Some(FromTo(5, 9))),
            ("bytes=5-", Some(From(5))),
            ("bytes=-5", Some(Suffix(5))),
            ("bytes=-0", Some(Suffix(0))),
            ("bytes=0-99999999999999999999999", Some(FromTo(0, u64::MAX))),
            ("bytes=9-5", None),
            ("bytes=0-1,3-4", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=1-2-3", None),
            ("bytes=--5", None),
            ("bytes 5-9", None),
            ("blocks=5-9", None),
            ("5-9", None),
            ("", None),
        ];
        for (text, spec) in table {
            assert_eq!(RangeSpec::parse(text), spec, "{text}");
        }
    }

    #[test]
    fn a_range_is_cut_to_the_body() {
        use Resolved::{Part, Unsatisfiable, Whole};
        let table = [
            (RangeSpec::FromTo(0, 0), 10, Part { from: 0, len: 1 }),
            (RangeSpec::FromTo(2, 4), 10, Part { from: 2, len: 3 }),
            (RangeSpec::FromTo(2, u64::MAX), 10, Part { from: 2, len: 8 }),
            (RangeSpec::FromTo(10, 12), 10, Unsatisfiable),
            (RangeSpec::From(9), 10, Part { from: 9, len: 1 }),
            (RangeSpec::From(10), 10, Unsatisfiable),
            (RangeSpec::From(u64::MAX), u64::MAX, Unsatisfiable),
            (RangeSpec::From(0), 0, Unsatisfiable),
            (RangeSpec::Suffix(3), 10, Part { from: 7, len: 3 }),
            (RangeSpec::Suffix(30), 10, Part { from: 0, len: 10 }),
            (RangeSpec::Suffix(0), 10, Unsatisfiable),
            (RangeSpec::Suffix(3), 0, Whole),
        ];
        for (spec, len, resolved) in table {
            assert_eq!(spec.resolve(len), resolved, "{spec:?} of {len}");
        }
    }
}

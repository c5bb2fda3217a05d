//! The file name of a block, `<movie>_<number>.<extension>`, read and written. Not the names of a
//! whole movie (`names.rs`). The library scan reads them, the client's store writes them.

use crate::base::limits;
use crate::media::sniff::Container;

/// A block's file name, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// The movie's part, never empty; may hold `_` itself.
    pub stem: &'a str,
    /// The block's number, below 10^9.
    pub number: u32,
    /// How many digits the number is written with, 1 to 9.
    pub digits: u8,
    /// What the extension says.
    pub container: Container,
}

/// Takes a block's file name apart; nothing when it is not one or not [`safe`].
#[must_use]
pub fn parse(name: &str) -> Option<Name<'_>> {
    parse_safe(safe(name.as_bytes())?)
}

/// [`parse`] of a name that is known to be [`safe`]. Every file of a library goes through here at
/// the start, so it is one walk from the end.
pub(super) fn parse_safe(name: &str) -> Option<Name<'_>> {
    let (base, container) = Container::ALL.into_iter().find_map(|container| {
        let base = name.strip_suffix(container.extension())?.strip_suffix('.')?;
        Some((base, container))
    })?;
    let text = base.as_bytes();
    let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (stem, number) = base.split_at_checked(text.len() - digits)?;
    let stem = stem.strip_suffix('_').filter(|stem| !stem.is_empty())?;
    if !(1..=limits::BLOCK_NUMBER_DIGITS_MAX).contains(&digits) {
        return None;
    }
    let number = number.bytes().fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(Name { stem, number, digits: u8::try_from(digits).ok()?, container })
}

/// The file name of a block, its number with at least five digits as the seed system writes it.
#[must_use]
pub fn file_name(stem: &str, number: u64, container: Container) -> String {
    format!("{stem}_{number:05}.{}", container.extension())
}

/// The container that a file name's extension says, whatever the rest of the name is.
#[must_use]
pub fn container(name: &str) -> Option<Container> {
    Container::from_extension(name.rsplit_once('.')?.1)
}

/// A name that may be opened and shown: UTF-8, no control characters, no `/`, not hidden, not
/// longer than a file name can be. So it is never `.` or `..` and never leaves its directory.
#[must_use]
pub fn safe(name: &[u8]) -> Option<&str> {
    core::str::from_utf8(name).ok().filter(|name| is_safe(name))
}

/// [`safe`] for what is known to be UTF-8.
pub(super) fn is_safe(name: &str) -> bool {
    let bytes = name.as_bytes();
    let fits = !bytes.is_empty() && bytes.len() <= limits::FILE_NAME_BYTES_MAX && bytes[0] != b'.';
    // Names that are all ASCII, nearly all of them, need no decoding.
    fits && !has_bad_ascii(bytes) && (name.is_ascii() || !name.chars().any(char::is_control))
}

/// Whether there is a control character of ASCII or a `/`; without branches, so that it is many
/// bytes at a time.
fn has_bad_ascii(name: &[u8]) -> bool {
    let bad = |b: u8| u8::from(b < 0x20) | u8::from(b == 0x7f) | u8::from(b == b'/');
    name.iter().fold(0, |any, b| any | bad(*b)) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn block_names_of_any_padding_are_read() {
        let of = |name| parse(name).map(|n| (n.stem, n.number, n.digits, n.container));
        assert_eq!(of("film_00000.mkv"), Some(("film", 0, 5, Container::Mkv)));
        assert_eq!(of("film_000040.mkv"), Some(("film", 40, 6, Container::Mkv)));
        assert_eq!(of("film_10000.mp4"), Some(("film", 10_000, 5, Container::Mp4)));
        assert_eq!(of("a_b_7.ts"), Some(("a_b", 7, 1, Container::Ts)));
        assert_eq!(of("\u{e9}t\u{e9} 1_3.mkv"), Some(("\u{e9}t\u{e9} 1", 3, 1, Container::Mkv)));
        assert_eq!(of("x_999999999.mkv"), Some(("x", 999_999_999, 9, Container::Mkv)));
    }

    #[test]
    fn what_is_no_block_name_is_refused() {
        for name in [
            "",
            "film.mkv",
            "film_.mkv",
            "_00000.mkv",
            "film_00000.avi",
            "film_00000.MKV",
            "film_00000",
            "film_+1.mkv",
            "film_1000000000.mkv",
            ".film_00000.mkv",
            "a/film_00000.mkv",
            "fi\nlm_00000.mkv",
            "fi\u{85}lm_00000.mkv",
            "../film_00000.mkv",
        ] {
            assert_eq!(parse(name), None, "{name:?}");
        }
        assert_eq!(parse(&format!("{}_0.mkv", "x".repeat(250))), None);
        assert!(parse(&format!("{}_0.mkv", "x".repeat(249))).is_some());
        assert_eq!(safe(b"\xff_0.mkv"), None);
        assert_eq!(safe(b".."), None);
    }

    proptest! {
        #[test]
        fn a_written_name_is_read_back(stem in "[a-z_ ]{1,20}", number in 0_u32..1_000_000_000) {
            for container in Container::ALL {
                let name = file_name(&stem, number.into(), container);
                let read = parse(&name).unwrap();
                prop_assert_eq!((read.stem, read.number), (&*stem, number));
                prop_assert_eq!(read.container, container);
                prop_assert!(read.digits >= 5);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(name) = safe(&bytes) {
                let _ = parse(name);
                prop_assert!(!name.contains(['/', '\0', '\n']));
            }
        }
    }
}

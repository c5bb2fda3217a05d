//! The index beside a movie's blocks, an M3U playlist with durations, read and written. Not HLS:
//! what it does not know is passed over. The library scan reads indexes, `vidstream import` writes.

use core::fmt::Write as _;
use core::time::Duration;

use thiserror::Error;

use crate::base::limits;
use crate::base::time::nanos;
use crate::media::name;

/// One line of an index: a file and how long it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Where the name stands, from 1.
    pub line: u32,
    /// A safe file name without directories.
    pub name: &'a str,
    /// Between [`limits::BLOCK_LASTS_MIN`] and [`limits::BLOCK_LASTS_MAX`]; a shorter last piece
    /// of a movie is held at the minimum.
    pub lasts: Duration,
}

/// What is wrong with an index, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {why}")]
pub struct IndexError {
    /// From 1.
    pub line: u32,
    /// What is wrong there.
    pub why: Why,
}

/// What can be wrong with a line of an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Why {
    /// The first line is another.
    #[error("not an index: the first line must be #EXTM3U")]
    NoHeader,
    /// Not text.
    #[error("not UTF-8 text")]
    NotText,
    /// No number of seconds where one belongs.
    #[error("#EXTINF needs seconds as a decimal number, like #EXTINF:2.002,")]
    BadDuration,
    /// A duration that no block may have.
    #[error("a block lasts more than 0 s and at most {} s", limits::BLOCK_LASTS_MAX.as_secs())]
    OutOfRange,
    /// A name without a duration before it.
    #[error("no #EXTINF before this name")]
    NoDuration,
    /// A name that is not just a file's.
    #[error("a block is named without directories, control characters or a leading dot")]
    BadName,
    /// A duration without a name after it.
    #[error("no file name after the last #EXTINF")]
    NoName,
    /// Nothing in it.
    #[error("lists no block")]
    Empty,
    /// Too much in it.
    #[error("lists more than {} blocks", limits::BLOCKS_MAX)]
    TooMany,
}

/// Reads an index. Line ends, a byte order mark, blank lines and unknown tags do not matter.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &[u8]) -> Result<Vec<Entry<'_>>, IndexError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = core::str::from_utf8(text).map_err(|e| {
        let line = text[..e.valid_up_to()].split(|b| *b == b'\n').count();
        IndexError { line: u32::try_from(line).unwrap_or(u32::MAX), why: Why::NotText }
    })?;
    let mut reader = Reader::default();
    let mut rest = text;
    while !rest.is_empty() {
        // Lines are short: plain counting finds their ends sooner than a searcher is set up.
        let end = rest.bytes().position(|b| b == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        reader.line += 1;
        reader.line(line.trim_ascii())?;
        rest = after.strip_prefix('\n').unwrap_or_default();
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    line: u32,
    header: bool,
    pending: Option<Duration>,
    /// The last text after `#EXTINF:`, and what it says.
    before: Option<(&'a str, Duration)>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, text: &'a str) -> Result<(), IndexError> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.header {
            self.header = text.starts_with("#EXTM3U");
            return if self.header { Ok(()) } else { Err(self.error(Why::NoHeader)) };
        }
        if let Some(rest) = text.strip_prefix("#EXTINF:") {
            // Most blocks of a movie last the same, so most of these lines are the same.
            if self.before.is_none_or(|(text, _)| text != rest) {
                self.before = Some((rest, lasts(rest).map_err(|why| self.error(why))?));
            }
            self.pending = self.before.map(|(_, lasts)| lasts);
            return Ok(());
        }
        if text.starts_with('#') { Ok(()) } else { self.name(text) }
    }

    fn name(&mut self, text: &'a str) -> Result<(), IndexError> {
        let lasts = self.pending.take().ok_or_else(|| self.error(Why::NoDuration))?;
        if !name::is_safe(text) {
            return Err(self.error(Why::BadName));
        }
        if self.entries.len() == limits::BLOCKS_MAX {
            return Err(self.error(Why::TooMany));
        }
        self.entries.push(Entry { line: self.line, name: text, lasts });
        Ok(())
    }

    fn finish(self) -> Result<Vec<Entry<'a>>, IndexError> {
        if !self.header {
            return Err(self.error(Why::NoHeader));
        }
        if self.pending.is_some() {
            return Err(self.error(Why::NoName));
        }
        if self.entries.is_empty() { Err(self.error(Why::Empty)) } else { Ok(self.entries) }
    }

    fn error(&self, why: Why) -> IndexError {
        IndexError { line: self.line.max(1), why }
    }
}

/// The duration of an `#EXTINF` line, after its colon: seconds, then perhaps a comma and a title.
fn lasts(rest: &str) -> Result<Duration, Why> {
    let rest = rest.as_bytes();
    let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
    let lasts = decimal(rest[..end].trim_ascii()).ok_or(Why::BadDuration)?;
    if lasts.is_zero() || lasts > limits::BLOCK_LASTS_MAX {
        return Err(Why::OutOfRange);
    }
    Ok(lasts.max(limits::BLOCK_LASTS_MIN))
}

/// A decimal number of seconds to the nanosecond, without floats; a tenth decimal rounds.
fn decimal(text: &[u8]) -> Option<Duration> {
    let point = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or(b"0"));
    let fraction_kept = &fraction[..fraction.len().min(9)];
    let places = u32::try_from(9 - fraction_kept.len()).ok()?;
    let nanoseconds = digits(fraction_kept)? * 10_u64.pow(places);
    let beyond = &fraction[fraction_kept.len()..];
    let exact = beyond.iter().all(u8::is_ascii_digit);
    let up = u64::from(beyond.first().is_some_and(|b| *b >= b'5'));
    let seconds = Duration::from_secs(digits(whole).filter(|_| exact)?);
    seconds.checked_add(Duration::from_nanos(nanoseconds + up))
}

/// A number of digits only, at least one.
fn digits(text: &[u8]) -> Option<u64> {
    let number = text.iter().try_fold(0_u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    });
    number.filter(|_| !text.is_empty())
}

/// An index of these files, in this order.
#[must_use]
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a str, Duration)>) -> String {
    let mut text = String::from("#EXTM3U\n");
    for (name, lasts) in entries {
        writeln!(text, "#EXTINF:{},\n{name}", seconds(lasts)).expect("a String takes every write");
    }
    text
}

/// Seconds with at least three decimals and no zeros after them.
fn seconds(lasts: Duration) -> String {
    let nanoseconds = nanos(lasts);
    let mut text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let kept = text.trim_end_matches('0').len().max(text.len() - 6);
    text.truncate(kept);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> (u32, Why) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.line, error.why)
    }

    #[test]
    fn an_index_from_elsewhere_is_read() {
        let text = "\u{feff}#EXTM3U\r\n#EXT-X-VERSION:3\r\n\r\n#EXTINF:2.002,\r\na_0.mkv\r\n\
                    #EXTINF:1.9999999999,title, more\r\n#EXT-X-BYTERANGE:1\r\nb c.mkv\r\n\
                    #EXTINF: 2\r\na_2.mkv\r\n#EXTINF:0.04,\r\na_3.mkv\r\n#EXT-X-ENDLIST";
        let read = parse(text.as_bytes()).unwrap();
        let read: Vec<_> = read.iter().map(|e| (e.name, e.lasts.as_nanos())).collect();
        assert_eq!(
            read,
            [
                ("a_0.mkv", 2_002_000_000),
                ("b c.mkv", 2_000_000_000),
                ("a_2.mkv", 2_000_000_000),
                ("a_3.mkv", 100_000_000)
            ]
        );
    }

    #[test]
    fn each_error_names_its_line() {
        assert_eq!(wrong(""), (1, Why::NoHeader));
        assert_eq!(wrong("a.mkv\n"), (1, Why::NoHeader));
        assert_eq!(wrong("#EXTM3U\n"), (1, Why::Empty));
        assert_eq!(wrong("#EXTM3U\na.mkv"), (2, Why::NoDuration));
        for bad in ["x", "", "-1", "2.", ".5", "1e3", "2,5e", "99999999999999999999"] {
            let text = format!("#EXTM3U\n\n#EXTINF:{bad},\na.mkv\n");
            let why = if bad == "2,5e" { None } else { Some((3, Why::BadDuration)) };
            assert_eq!(parse(text.as_bytes()).err().map(|e| (e.line, e.why)), why, "{bad}");
        }
        assert_eq!(wrong("#EXTM3U\n#EXTINF:0,\na.mkv"), (2, Why::OutOfRange));
        assert_eq!(wrong("#EXTM3U\n#EXTINF:60.1,\na.mkv"), (2, Why::OutOfRange));
        for bad in ["/etc/passwd", "../a.mkv", "b/a.mkv", ".a.mkv", "a\u{7}.mkv"] {
            let text = format!("#EXTM3U\n#EXTINF:2,\n{bad}\n");
            assert_eq!(wrong(&text), (3, Why::BadName), "{bad}");
        }
        assert_eq!(wrong("#EXTM3U\n#EXTINF:2,\n"), (2, Why::NoName));
        let error = parse(b"#EXTM3U\n\n#\xff\n").unwrap_err();
        assert_eq!((error.line, error.why), (3, Why::NotText));
        assert_eq!(
            parse(b"#EXTM3U\n#EXTINF:2,\n/x").unwrap_err().to_string(),
            "line 3: a block is named without directories, control characters or a leading dot"
        );
    }

    #[test]
    fn an_index_is_written_with_exact_decimals() {
        let text = write([
            ("a_00000.mkv", Duration::from_millis(2002)),
            ("a_00001.mkv", Duration::new(1, 23)),
        ]);
        assert_eq!(
            text,
            "#EXTM3U\n#EXTINF:2.002,\na_00000.mkv\n#EXTINF:1.000000023,\na_00001.mkv\n"
        );
    }

    const NANOS: core::ops::Range<u64> = 100_000_000..60_000_000_000;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            list in prop::collection::vec(
                ("[a-z][a-z ]{1,8}[a-z]", NANOS.prop_map(Duration::from_nanos)),
                1..50,
            ),
        ) {
            let text = write(list.iter().map(|(n, d)| (n.as_str(), *d)));
            let entries = parse(text.as_bytes()).unwrap();
            let read: Vec<_> = entries.iter().map(|e| (e.name.to_owned(), e.lasts)).collect();
            prop_assert_eq!(read, list);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&[b"#EXTM3U\n", &bytes[..]].concat());
            let _ = parse(&bytes);
        }
    }
}

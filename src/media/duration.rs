//! How long a block lasts by its own header, read in a few small pieces. No demuxing: where the
//! header does not say it, nobody here finds out. The library scan asks for blocks without an
//! index, `vidstream import` asks for those it writes one for.

use core::time::Duration;

use crate::base::limits;
use crate::media::sniff::{Container, sniff};

mod mkv;
mod mp4;
mod ts;

#[cfg(test)]
mod tests;

/// A file, as far as this module needs one.
pub trait ReadAt {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from offset `at` on as far as there are bytes; how many there were.
    fn read_at(&self, at: u64, into: &mut [u8]) -> usize;
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> usize {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// The duration in a block's header; nothing when there is none, when the block is malformed, or
/// when no block may last so short or long ([`limits::BLOCK_LASTS_MIN`],
/// [`limits::BLOCK_LASTS_MAX`]). Reads at most 64 KiB in at most 64 pieces, whatever the bytes.
#[must_use]
pub fn duration(file: &dyn ReadAt) -> Option<Duration> {
    let mut pieces =
        Pieces { file, bytes: limits::HEADER_BYTES_MAX, reads: limits::HEADER_READS_MAX };
    let mut head = [0; limits::SNIFF_BYTES_MAX];
    let count = pieces.some(0, &mut head)?;
    let lasts = match sniff(&head[..count])? {
        Container::Mkv => mkv::duration(&mut pieces),
        Container::Mp4 => mp4::duration(&mut pieces),
        Container::Ts => ts::duration(&mut pieces),
    }?;
    (limits::BLOCK_LASTS_MIN..=limits::BLOCK_LASTS_MAX).contains(&lasts).then_some(lasts)
}

/// The file, and how much of it may still be read.
struct Pieces<'a> {
    file: &'a dyn ReadAt,
    bytes: usize,
    reads: u32,
}

impl Pieces<'_> {
    fn len(&self) -> u64 {
        self.file.len()
    }

    /// Reads what there is of this piece; nothing when the budget is used up.
    fn some(&mut self, at: u64, into: &mut [u8]) -> Option<usize> {
        self.reads = self.reads.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(into.len())?;
        Some(self.file.read_at(at, into).min(into.len()))
    }

    /// Reads exactly these bytes.
    fn all<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.some(at, &mut bytes)? == N).then_some(bytes)
    }
}

/// `count` units, of which a second has `per_second`, to the nanosecond.
fn scaled(count: u64, per_second: u64) -> Option<Duration> {
    let nanoseconds = u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1));
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

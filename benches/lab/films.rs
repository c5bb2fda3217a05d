//! Libraries made for a bench: blocks that carry their number, so that whoever receives one knows
//! when it went on the air.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vidstreamd::media::index;
use vidstreamd::media::name::file_name;
use vidstreamd::media::sniff::Container;

use super::Outcome;

/// The bytes that begin each block: Matroska's, and ours.
const MARK: [u8; 8] = *b"\x1a\x45\xdf\xa3LOAD";
/// Bytes until a block's number is known.
pub(crate) const HEAD_BYTES: usize = 16;

/// 2026-01-01T00:00:00Z, the epoch of every channel here.
pub(crate) const EPOCH: &str = "2026-01-01T00:00:00Z";
const EPOCH_SECONDS: u64 = 1_767_225_600;

/// A movie that is shown again and again from [`EPOCH`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Film {
    pub(crate) blocks: u64,
    pub(crate) bytes: usize,
    pub(crate) lasts: Duration,
}

/// A block on the air: its number on the channel, and when its time began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Air {
    pub(crate) seq: u64,
    pub(crate) at: Duration,
}

impl Film {
    /// Writes its blocks and their index into a library.
    pub(crate) fn make(&self, library: &Path, name: &str) -> Outcome<()> {
        let folder = library.join(name);
        fs::create_dir_all(&folder)?;
        let names: Vec<_> = (0..self.blocks).map(|n| file_name(name, n, Container::Mkv)).collect();
        for (number, name) in (0..).zip(&names) {
            let mut bytes = vec![0x5a; self.bytes];
            stamp(&mut bytes, number);
            fs::write(folder.join(name), bytes)?;
        }
        let text = index::write(names.iter().map(|name| (name.as_str(), self.lasts)));
        fs::write(folder.join(format!("{name}.m3u8")), text)?;
        Ok(())
    }

    /// What is on the air at a time of the wall clock.
    pub(crate) fn air(&self, now: Duration) -> Air {
        let since = now.saturating_sub(Duration::from_secs(EPOCH_SECONDS));
        let seq = u64::try_from(since.as_nanos() / self.lasts.as_nanos()).unwrap_or(u64::MAX);
        self.starts(seq)
    }

    /// When a block's time begins.
    pub(crate) fn starts(&self, seq: u64) -> Air {
        let nanos = u64::try_from(self.lasts.as_nanos()).unwrap_or(u64::MAX);
        let after = Duration::from_nanos(nanos.saturating_mul(seq));
        Air { seq, at: Duration::from_secs(EPOCH_SECONDS) + after }
    }

    /// The latest airing, not after `now`, of the block with this number in the movie.
    pub(crate) fn airing(&self, number: u64, now: Duration) -> Air {
        let live = self.air(now).seq;
        let behind = (live % self.blocks + self.blocks - number % self.blocks) % self.blocks;
        self.starts(live.saturating_sub(behind))
    }
}

/// Makes these bytes the block with this number.
pub(crate) fn stamp(bytes: &mut [u8], number: u64) {
    let head = [MARK, number.to_le_bytes()].concat();
    bytes[..HEAD_BYTES].copy_from_slice(&head);
}

/// The number of the block that begins so; none when it is no block of ours.
pub(crate) fn number(head: [u8; HEAD_BYTES]) -> Option<u64> {
    let (mark, number) = head.split_at(MARK.len());
    (mark == MARK).then(|| number.try_into().map(u64::from_le_bytes).ok())?
}

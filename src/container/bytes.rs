//! A place in a block's bytes, with bounds that are errors, and bits of a codec's header. Every
//! reader of a container goes through [`Cursor`]; nothing else indexes into foreign bytes.

use core::ops::Range;

use crate::container::Error;

/// A part of a block that is read from front to back. Offsets are those of the whole block.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len() }
    }

    /// Another part of the same block; what lies outside of it is left out.
    pub(super) fn within(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.bytes.len());
        Self { bytes: self.bytes, at: range.start.min(end), end }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// All bytes of the block, whatever the part.
    pub(super) fn block(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is left, as bytes.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..self.end]
    }

    /// The range of the next `count` bytes, and goes behind it.
    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<Range<usize>, Error> {
        let left = self.left();
        let Some(count) = usize::try_from(count).ok().filter(|count| *count <= left) else {
            return Err(Error::Cut { at: self.at as u64, what, wants: count, left: left as u64 });
        };
        let from = self.at;
        self.at += count;
        Ok(from..self.at)
    }

    /// The next `count` bytes as a part of its own.
    pub(super) fn part(&mut self, count: u64, what: &'static str) -> Result<Self, Error> {
        let range = self.take(count, what)?;
        Ok(self.within(range))
    }

    pub(super) fn slice(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], Error> {
        let range = self.take(count, what)?;
        Ok(&self.bytes[range])
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// An error at this place.
    pub(super) fn bad(&self, what: &'static str) -> Error {
        Error::bad(self.at, what)
    }
}

/// Bits from the highest down. What lies behind the end is nothing, never zero.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// `ue(v)` of H.264 and HEVC.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        (1_u32 << zeros).checked_add(rest)?.checked_sub(1)
    }
}

/// `bytes` without the emulation prevention of H.264 and HEVC (ISO 14496-10, 7.4.1).
pub(super) fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let (mut plain, mut zeros) = (Vec::with_capacity(bytes.len()), 0);
    for byte in bytes {
        if *byte == 3 && zeros >= 2 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

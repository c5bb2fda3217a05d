//! The datagrams that only our own programs exchange, types 16 and up. The table is in the parent.

use super::{Bad, HEAD, Head, Nonce, kind, message};
use crate::base::limits;

/// What a server offers behind a request of ours, from the transfer port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The request's.
    pub nonce: Nonce,
    /// Bytes in the file.
    pub size: u64,
    /// Another when the file is another.
    pub tag: u64,
    /// Proves, in everything that the client says, that it has heard this.
    pub token: u32,
}

/// From where a client wants the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The offer's.
    pub token: u32,
    /// The first byte wanted.
    pub from: u64,
    /// No byte at or behind this is wanted yet.
    pub limit: u64,
    /// The longest datagram that the client takes.
    pub datagram: u16,
}

/// What has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// The offer's.
    pub token: u32,
    /// No byte at or behind this is wanted yet. Never less than before.
    pub limit: u64,
    /// The longest datagram that has come.
    pub datagram: u16,
    /// Numbers of datagrams that have come, first and last of each run, highest first.
    pub ranges: Vec<(u32, u32)>,
}

/// How it ended for the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The hash holds.
    Whole,
    /// It does not.
    Differs,
    /// The client wants no more.
    Left,
}

/// The last word of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// The offer's.
    pub token: u32,
    /// How it ended.
    pub verdict: Verdict,
}

/// Why a server cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// The file is not what it was when the transfer began.
    #[error("the file changed while it was sent")]
    Changed,
    /// The file cannot be read any more.
    #[error("the server cannot read the file any more")]
    Unreadable,
    /// The server ends.
    #[error("the server is stopping")]
    Stopping,
    /// The client asked for bytes that are not there.
    #[error("the server's file is shorter than what is here already")]
    Beyond,
}

/// Takes numbers off the front of a datagram's body.
struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Bad::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Bad> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, Bad> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Bad> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Bad> {
        self.array().map(u64::from_be_bytes)
    }
}

fn body(bytes: &[u8], kind: u8) -> Result<(Head, Take<'_>), Bad> {
    let (head, rest) = Head::split(bytes)?;
    if head.kind == kind { Ok((head, Take(rest))) } else { Err(Bad::Type) }
}

impl Offer {
    /// Reads one.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let (_, mut take) = body(bytes, kind::OFFER)?;
        let nonce = Nonce(take.u64()?);
        let (size, tag, token) = (take.u64()?, take.u64()?, take.u32()?);
        if size > limits::FILES_BYTES_MAX {
            return Err(Bad::Number);
        }
        Ok(Self { nonce, size, tag, token })
    }

    /// Its datagram.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(28);
        body.extend(self.nonce.0.to_be_bytes());
        body.extend(self.size.to_be_bytes());
        body.extend(self.tag.to_be_bytes());
        body.extend(self.token.to_be_bytes());
        message(kind::OFFER, &body)
    }
}

impl Start {
    /// Reads one.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let (_, mut take) = body(bytes, kind::START)?;
        let (token, from, limit, datagram) = (take.u32()?, take.u64()?, take.u64()?, take.u16()?);
        Ok(Self { token, from, limit, datagram })
    }

    /// Its datagram.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.token.to_be_bytes().to_vec();
        body.extend(self.from.to_be_bytes());
        body.extend(self.limit.to_be_bytes());
        body.extend(self.datagram.to_be_bytes());
        message(kind::START, &body)
    }
}

impl Ack {
    /// Reads one. Runs that go below number 0 are no ack.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let (head, mut take) = body(bytes, kind::RANGES)?;
        let (token, limit, datagram) = (take.u32()?, take.u64()?, take.u16()?);
        let count = usize::from(take.u8()?);
        if count > limits::FILES_ACK_RANGES_MAX {
            return Err(Bad::Number);
        }
        let mut ranges = Vec::with_capacity(count);
        for number in 0..count {
            let (last, below) = match ranges.last() {
                None => (head.seq, take.u32()?),
                Some((first, _)) => {
                    let (missing, come) = (u32::from(take.u16()?), u32::from(take.u16()?));
                    let last = u32::checked_sub(*first, missing + 1).ok_or(Bad::Number)?;
                    (last, come.checked_sub(1).ok_or(Bad::Number)?)
                }
            };
            debug_assert_eq!(number, ranges.len(), "one range a round");
            ranges.push((last.checked_sub(below).ok_or(Bad::Number)?, last));
        }
        Ok(Self { token, limit, datagram, ranges })
    }

    /// Its datagram. Runs behind one that two bytes cannot tell are left out: they were acked
    /// before, or are acked when they are higher.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(19 + 4 * self.ranges.len());
        body.extend(self.token.to_be_bytes());
        body.extend(self.limit.to_be_bytes());
        body.extend(self.datagram.to_be_bytes());
        body.push(0);
        let (count_at, mut count) = (body.len() - 1, 0);
        let mut above = None;
        for (first, last) in self.ranges.iter().copied().take(limits::FILES_ACK_RANGES_MAX) {
            match above {
                None => body.extend((last - first).to_be_bytes()),
                Some(above) => {
                    let missing: u32 = above - last - 1;
                    let (missing, come) = (u16::try_from(missing), u16::try_from(last - first + 1));
                    let (Ok(missing), Ok(come)) = (missing, come) else { break };
                    body.extend(missing.to_be_bytes());
                    body.extend(come.to_be_bytes());
                }
            }
            above = Some(first);
            count += 1;
        }
        body[count_at] = count;
        let seq = self.ranges.first().map_or(0, |(_, last)| *last);
        Head { seq, window: 1, kind: kind::RANGES }.with(&body)
    }
}

impl Done {
    /// Reads one.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let (_, mut take) = body(bytes, kind::DONE)?;
        let token = take.u32()?;
        let verdict = match take.u8()? {
            0 => Verdict::Whole,
            1 => Verdict::Differs,
            2 => Verdict::Left,
            _ => return Err(Bad::Number),
        };
        Ok(Self { token, verdict })
    }

    /// Its datagram.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.token.to_be_bytes().to_vec();
        body.push(match self.verdict {
            Verdict::Whole => 0,
            Verdict::Differs => 1,
            Verdict::Left => 2,
        });
        message(kind::DONE, &body)
    }
}

/// What stands before the bytes of a file at this offset, which is below 2^56.
#[must_use]
pub fn data_head(seq: u32, offset: u64) -> [u8; super::DATA_HEAD] {
    let place = offset.to_be_bytes();
    let window = super::u32_of(&place[1..4]);
    let mut head = [0; super::DATA_HEAD];
    head[..HEAD].copy_from_slice(&Head { seq, window, kind: kind::BYTES }.bytes());
    head[HEAD..].copy_from_slice(&place[4..]);
    head
}

/// The offset and the bytes of a datagram of ours whose head has been read.
///
/// # Errors
/// [`Bad`].
pub fn parse_data(head: Head, rest: &[u8]) -> Result<(u64, &[u8]), Bad> {
    let (low, bytes) = rest.split_first_chunk().ok_or(Bad::Short)?;
    let offset = u64::from(head.window) << 32 | u64::from(u32::from_be_bytes(*low));
    if bytes.is_empty() { Err(Bad::Short) } else { Ok((offset, bytes)) }
}

/// A probe of this many bytes.
#[must_use]
pub fn probe(bytes: usize) -> Vec<u8> {
    let mut datagram = message(kind::PROBE, &[]);
    datagram.resize(bytes.max(HEAD), 0);
    datagram
}

/// The end: how long the file is, and its BLAKE3.
#[must_use]
pub fn hash(size: u64, hash: &[u8; 32]) -> Vec<u8> {
    message(kind::HASH, &[&size.to_be_bytes()[..], hash].concat())
}

/// Reads an end.
///
/// # Errors
/// [`Bad`].
pub fn parse_hash(bytes: &[u8]) -> Result<(u64, [u8; 32]), Bad> {
    let (_, mut take) = body(bytes, kind::HASH)?;
    Ok((take.u64()?, take.array()?))
}

/// Why it cannot go on.
#[must_use]
pub fn failed(why: Why) -> Vec<u8> {
    let code = match why {
        Why::Changed => 1,
        Why::Unreadable => 2,
        Why::Stopping => 3,
        Why::Beyond => 4,
    };
    message(kind::FAILED, &[code])
}

/// Reads why.
///
/// # Errors
/// [`Bad`].
pub fn parse_failed(bytes: &[u8]) -> Result<Why, Bad> {
    let (_, mut take) = body(bytes, kind::FAILED)?;
    match take.u8()? {
        1 => Ok(Why::Changed),
        2 => Ok(Why::Unreadable),
        3 => Ok(Why::Stopping),
        4 => Ok(Why::Beyond),
        _ => Err(Bad::Number),
    }
}

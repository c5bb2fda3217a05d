//! The datagrams of a transfer, to bytes and back; no state. Whoever sends and receives them is in
//! the parent's other files.
//!
//! All numbers in network order. Every datagram begins with `seq u32 | window u24 | type u8`.
//!
//! | type | from | what follows |
//! |---|---|---|
//! | 0 text | server | a list (names joined with `#`), or an error |
//! | 1 request | client | `arquivos lista` or `get N`, and ours: ` vs1=` + 16 hex digits |
//! | 1 first, 2 data | server | at most 1016 bytes; window = fragments of the batch |
//! | 3 end | server | `encerramento_lista` |
//! | 4 ack | client | the acked seq in decimal digits |
//! | 16 offer | server | `nonce u64, size u64, tag u64, token u32` |
//! | 17 start | client | `token u32, from u64, limit u64, datagram u16` |
//! | 18 data | server | `low u32`, bytes; offset = window × 2^32 + low, seq counts datagrams |
//! | 19 ack | client | `token u32, limit u64, datagram u16, count u8`, ranges; seq is the highest |
//! | 20 end | server | `size u64, hash [32]` |
//! | 21 done | client | `token u32, verdict u8` |
//! | 22 probe | server | zeros; answered by the ack's `datagram`, the longest that came |
//! | 23 failed | server | `why u8` |
//!
//! The ranges of an ack: the first is `below u32`, how many right below `seq` have come as well;
//! each further is `missing u16, come u16`, going down.

/// Bytes before everything else.
pub const HEAD: usize = 8;
/// Bytes before the file's own in a datagram of ours.
pub const DATA_HEAD: usize = 12;
/// The file's bytes in a datagram of the original.
pub const FRAGMENT: usize = 1016;
/// What the original reads of a file at once; its last fragment is shorter.
pub const BATCH: u64 = 100_000;
/// Fragments of a batch.
pub const BATCH_FRAGMENTS: u32 = 99;
/// The file's bytes in the very first fragment: three of them are no more than three times the
/// shortest request.
pub const FIRST: u64 = 5;
/// How the original says that all is acked.
pub const END_TEXT: &[u8] = b"encerramento_lista";
/// No such number, or none at all.
pub const BAD_INDEX: &str = "erro index invalido";
/// The file is gone.
pub const NOT_FOUND: &str = "erro arquivo nao encontrado";
/// No more transfers now; only said to those who know the extension.
pub const BUSY: &str = "erro servidor ocupado";
/// What stands before the nonce of a request of ours.
const MARK: &str = "vs1=";

/// The types of datagrams.
pub mod kind {
    /// A list or an error.
    pub const TEXT: u8 = 0;
    /// A request, or the first fragment.
    pub const FIRST: u8 = 1;
    /// A fragment.
    pub const DATA: u8 = 2;
    /// All is sent.
    pub const END: u8 = 3;
    /// One is acked.
    pub const ACK: u8 = 4;
    /// Ours: what there is to be had.
    pub const OFFER: u8 = 16;
    /// Ours: from where.
    pub const START: u8 = 17;
    /// Ours: bytes.
    pub const BYTES: u8 = 18;
    /// Ours: ranges are acked.
    pub const RANGES: u8 = 19;
    /// Ours: all is sent, and this is its hash.
    pub const HASH: u8 = 20;
    /// Ours: the client has what it wants.
    pub const DONE: u8 = 21;
    /// Ours: may such a long one come through?
    pub const PROBE: u8 = 22;
    /// Ours: the server cannot go on.
    pub const FAILED: u8 = 23;
}

/// Why bytes are no datagram of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Bad {
    /// Shorter than its type asks for.
    #[error("it is cut short")]
    Short,
    /// A type that nobody sends here.
    #[error("its type is unknown")]
    Type,
    /// Text that is not UTF-8, or not what was expected there.
    #[error("its text is none that is known")]
    Text,
    /// A number that cannot be.
    #[error("a number in it cannot be")]
    Number,
}

/// The first eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// A number of its own.
    pub seq: u32,
    /// Fragments of the batch; 24 bits.
    pub window: u32,
    /// One of [`kind`].
    pub kind: u8,
}

impl Head {
    /// The head, and what follows it.
    ///
    /// # Errors
    /// [`Bad::Short`].
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), Bad> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(Bad::Short)?;
        let (seq, window) = (u32_of(&head[..4]), u32_of(&head[4..7]));
        Ok((Self { seq, window, kind: head[7] }, rest))
    }

    /// Its bytes; of the window the lower 24 bits.
    #[must_use]
    pub fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.seq.to_be_bytes());
        bytes[4..7].copy_from_slice(&self.window.to_be_bytes()[1..]);
        bytes[7] = self.kind;
        bytes
    }

    fn with(self, body: &[u8]) -> Vec<u8> {
        [&self.bytes()[..], body].concat()
    }
}

/// A number of at most four bytes.
fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A short message: seq 0, window 1.
#[must_use]
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    Head { seq: 0, window: 1, kind }.with(body)
}

/// What somebody asks the well-known port for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The list.
    List,
    /// A file by its number; none when the number is missing or bad.
    Get(Option<usize>, Option<Nonce>),
}

/// What a client of ours knows its answer by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nonce(pub u64);

impl Request {
    /// Reads a request as the original does: by its text alone, whatever the head says.
    ///
    /// # Errors
    /// [`Bad::Short`], or [`Bad::Text`] for what the original does not answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let text = str::from_utf8(bytes.get(HEAD..).ok_or(Bad::Short)?).map_err(|_| Bad::Text)?;
        if text.contains("arquivos lista") {
            return Ok(Self::List);
        }
        if !text.contains("get") {
            return Err(Bad::Text);
        }
        let mut words = text.split(' ').skip(1);
        let index = words.next().and_then(|word| word.trim().parse().ok());
        let nonce = words.find_map(Nonce::parse);
        Ok(Self::Get(index, index.and(nonce)))
    }

    /// Its datagram.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut text = String::new();
        match self {
            Self::List => text.push_str("arquivos lista"),
            Self::Get(None, _) => text.push_str("get"),
            Self::Get(Some(index), None) => text = format!("get {index}"),
            Self::Get(Some(index), Some(Nonce(n))) => text = format!("get {index} {MARK}{n:016x}"),
        }
        message(kind::FIRST, text.as_bytes())
    }
}

impl Nonce {
    fn parse(word: &str) -> Option<Self> {
        let digits = word.strip_prefix(MARK).filter(|d| d.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

/// The datagrams of a list: its text cut where it fills one.
pub fn list(text: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let count = text.len().div_ceil(FRAGMENT).max(1);
    let window = u32::try_from(count).unwrap_or(u32::MAX);
    (0..count).map(move |number| {
        let from = number * FRAGMENT;
        let body = &text.as_bytes()[from..text.len().min(from + FRAGMENT)];
        let seq = u32::try_from(number).unwrap_or(u32::MAX);
        Head { seq, window, kind: kind::TEXT }.with(body)
    })
}

/// An original client's ack of one fragment.
#[must_use]
pub fn plain_ack(seq: u32) -> Vec<u8> {
    message(kind::ACK, seq.to_string().as_bytes())
}

/// The number that an original client acks.
///
/// # Errors
/// [`Bad`]: no ack, or no number in it.
pub fn parse_plain_ack(bytes: &[u8]) -> Result<u32, Bad> {
    let (head, body) = Head::split(bytes)?;
    if head.kind != kind::ACK {
        return Err(Bad::Type);
    }
    let text = str::from_utf8(body).map_err(|_| Bad::Text)?;
    text.trim().parse().map_err(|_| Bad::Number)
}

/// One fragment of a file on the original's wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Where its bytes are in the file.
    pub from: u64,
    /// How many.
    pub len: u32,
    /// Fragments of its batch.
    pub window: u32,
}

/// The fragment of this number in a file of this length. The first batch begins with a short
/// fragment and is else like the others.
#[must_use]
pub fn fragment(seq: u32, size: u64) -> Option<Fragment> {
    let first = size.min(FIRST);
    let first_batch = first + u64::from(BATCH_FRAGMENTS - 1) * FRAGMENT as u64;
    let (batch, index) = (u64::from(seq / BATCH_FRAGMENTS), u64::from(seq % BATCH_FRAGMENTS));
    let (batch_from, batch_len, ahead) = if batch == 0 {
        (0, first_batch.min(size), first)
    } else {
        let from = first_batch + (batch - 1) * BATCH;
        (from, BATCH.min(size.checked_sub(from).filter(|left| *left > 0)?), 0)
    };
    let step = FRAGMENT as u64;
    let at = if ahead > 0 && index > 0 { ahead + (index - 1) * step } else { index * step };
    let left = batch_len.checked_sub(at).filter(|left| *left > 0)?;
    let len = if ahead > 0 && index == 0 { ahead } else { left.min(step) };
    let window = (batch_len - ahead).div_ceil(step) + u64::from(ahead > 0);
    Some(Fragment {
        from: batch_from + at,
        len: u32::try_from(len).ok()?,
        window: u32::try_from(window).ok()?,
    })
}

mod ours;
pub use ours::{Ack, Done, Offer, Start, Verdict, Why, data_head, failed, hash, parse_hash, probe};
pub use ours::{parse_data, parse_failed};

#[cfg(test)]
mod tests;

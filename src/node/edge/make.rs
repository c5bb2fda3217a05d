//! One block's outputs: made all at once, kept as blobs, given to everybody from there.

use crate::base::limits;
use crate::base::port::{Blob, Cx, Span};
use crate::container::{Block, Clock, Output, Signature, WhyNot, mkv, mp4, ts};

/// The outputs of a block, or why the block does not have them.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) seq: u64,
    pub(super) signature: Signature,
    header: Box<[u8]>,
    /// The init segment.
    pub(super) init: Result<Box<[u8]>, String>,
    mkv: Span,
    mp4: Result<Span, String>,
    ts: Result<Span, String>,
}

impl Made {
    /// Makes them; none when there are too many blobs.
    pub(super) fn of(cx: &mut Cx, bytes: &[u8], block: &Block, clock: &Clock) -> Option<Self> {
        let words = |why: WhyNot| why.to_string();
        // A browser begins when it has met both pictures and sounds: they must lie near each other.
        let fragments = mp4::fragments(block, clock, Some(limits::FRAGMENT_LASTS_MAX));
        let fragments = fragments.map(|fragments| fragments.pieces.bytes(bytes)).map_err(words);
        let packets = ts::packets(bytes, block, clock).map_err(words);
        let mkv = keep(cx, mkv::clusters(block, clock).bytes(bytes))?;
        let mut made = Self {
            seq: clock.seq,
            signature: block.signature(),
            header: mkv::header(block).into(),
            init: mp4::init(block).map(Into::into).map_err(words),
            mkv,
            mp4: Err(String::new()),
            ts: Err(String::new()),
        };
        for (output, made_of) in [(Output::Mp4, fragments), (Output::Ts, packets)] {
            let span = match made_of.map(|bytes| keep(cx, bytes)) {
                Ok(Some(span)) => Ok(span),
                Ok(None) => {
                    made.blobs().for_each(|blob| cx.release(blob));
                    return None;
                }
                Err(why) => Err(why),
            };
            *(if output == Output::Ts { &mut made.ts } else { &mut made.mp4 }) = span;
        }
        Some(made)
    }

    /// The bytes of one output.
    pub(super) fn span(&self, output: Output) -> Result<Span, &str> {
        match output {
            Output::Mkv => Ok(self.mkv),
            Output::Mp4 => self.mp4.as_ref().copied().map_err(String::as_str),
            Output::Ts => self.ts.as_ref().copied().map_err(String::as_str),
        }
    }

    /// What stands before the first block of an endless answer.
    pub(super) fn start(&self, output: Output) -> Result<&[u8], &str> {
        match output {
            Output::Mkv => Ok(&self.header),
            Output::Mp4 => self.init.as_deref().map_err(String::as_str),
            Output::Ts => Ok(&[]),
        }
    }

    /// The blobs that it holds.
    pub(super) fn blobs(&self) -> impl Iterator<Item = Blob> {
        let others = [&self.mp4, &self.ts].into_iter().flatten();
        core::iter::once(&self.mkv).chain(others).map(|span| span.blob)
    }
}

fn keep(cx: &mut Cx, bytes: Vec<u8>) -> Option<Span> {
    let len = bytes.len() as u64;
    cx.keep(bytes).map(|blob| Span { blob, from: 0, len })
}

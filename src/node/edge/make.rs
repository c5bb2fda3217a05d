//! One block's outputs: made all at once, kept as blobs, given to everybody from there. Frames of
//! mkv and fMP4 stay where they are, in the block's own map.

use crate::base::limits;
use crate::base::port::{Blob, Cx, Gather, Span};
use crate::container::{Block, Clock, Output, Profile, Signature, WhyNot, mkv, mp4, ts};

/// The outputs of a block, or why the block does not have them.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) profile: Profile,
    /// How long its pictures last, exactly.
    pub(super) lasts_ns: u64,
    header: Box<[u8]>,
    /// The init segment.
    pub(super) init: Result<Box<[u8]>, String>,
    mkv: Span,
    mp4: Result<Span, String>,
    ts: Result<Span, String>,
}

impl Made {
    /// Makes them of a block in a blob, whose bytes are these; none when there are too many blobs.
    pub(super) fn of(
        cx: &mut Cx,
        (source, bytes): (Blob, &[u8]),
        block: &Block,
        clock: &Clock,
    ) -> Option<Self> {
        let words = |why: WhyNot| why.to_string();
        // A browser begins when it has met both pictures and sounds: they must lie near each other.
        let fragments = mp4::fragments(block, clock, Some(limits::FRAGMENT_LASTS_MAX));
        let fragments = fragments.map(|made| made.pieces.into_gather()).map_err(words);
        let packets = ts::packets(bytes, block, clock).map(Gather::own).map_err(words);
        let mkv = keep(cx, source, mkv::clusters(block, clock).into_gather())?;
        let mut made = Self {
            profile: Profile::of(block),
            lasts_ns: block.lasts_ns,
            header: mkv::header(block).into(),
            init: mp4::init(block).map(Into::into).map_err(words),
            mkv,
            mp4: Err(String::new()),
            ts: Err(String::new()),
        };
        for (output, gather) in [(Output::Mp4, fragments), (Output::Ts, packets)] {
            let span = match gather.map(|gather| keep(cx, source, gather)) {
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

    pub(super) fn signature(&self) -> Signature {
        self.profile.signature
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

fn keep(cx: &mut Cx, source: Blob, gather: Gather) -> Option<Span> {
    let len = gather.len();
    cx.keep(Some(source), gather).map(|blob| Span { blob, from: 0, len })
}

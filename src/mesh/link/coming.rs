//! What comes over a link and is not all there: the beginning of a frame, or the bytes behind one.

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Output, Span};
use crate::mesh::wire::{BEAT_BYTES, HEAD_BYTES};

use super::{Link, News, take};

/// Most frames are no longer than this.
const FRAME_BYTES_USUAL: usize = 160;

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// At a frame.
    Frame,
    /// So many bytes wait for a decision.
    Undecided(u64),
    /// So many bytes go nowhere, then the rest into this span.
    Skip(u64, Option<Span>),
    /// Into a blob: the next offset, and the one behind the last.
    Into(Blob, u64, u64),
}

/// What is on its way in: the beginning of a frame, or the bytes behind one.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) inbox: Vec<u8>,
    pub(super) body: Body,
}

impl Link {
    pub(super) fn read_on(&self, cx: &mut Cx, conn: Conn) -> Option<News> {
        let frame = self.frame_bytes();
        let most = if self.node.is_none() {
            limits::MESH_HELLO_BYTES_MAX
        } else {
            limits::MESH_FRAME_BYTES_MAX
        };
        if frame > HEAD_BYTES + most {
            return Some(News::Bad(format!("a frame of {frame} bytes before any hello")));
        }
        take(cx, conn, (frame - self.inbox().len()) as u64);
        None
    }

    /// Bytes of the frame that has begun, as far as that is known.
    pub(super) fn frame_bytes(&self) -> usize {
        let Some(head) = self.inbox().first_chunk::<HEAD_BYTES>() else { return BEAT_BYTES };
        HEAD_BYTES + u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize
    }

    pub(super) fn inbox(&self) -> &[u8] {
        self.coming.as_ref().map_or(&[], |coming| &coming.inbox)
    }

    pub(super) fn body(&self) -> Body {
        self.coming.as_ref().map_or(Body::Frame, |coming| coming.body)
    }

    /// What is on its way in, from now on if nothing was.
    pub(super) fn coming(&mut self) -> &mut Coming {
        let nothing = || Box::new(Coming { inbox: Vec::new(), body: Body::Frame });
        self.coming.get_or_insert_with(nothing)
    }

    /// Bytes arrived that are not understood yet.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let inbox = &mut self.coming().inbox;
        if inbox.is_empty() {
            // Room for a head and all that its frame is likely to have.
            inbox.reserve(FRAME_BYTES_USUAL.max(bytes.len()));
        }
        inbox.extend_from_slice(bytes);
    }

    /// So many bytes of what was kept are understood.
    pub(super) fn forget(&mut self, bytes: usize) {
        let coming = self.coming();
        coming.inbox.drain(..bytes);
        if coming.inbox.is_empty() && matches!(coming.body, Body::Frame) {
            self.coming = None;
        }
    }

    /// Nothing is kept between two frames.
    pub(super) fn set_body(&mut self, body: Body) {
        let frame = matches!(body, Body::Frame);
        let coming = self.coming();
        coming.body = body;
        if frame && coming.inbox.is_empty() {
            self.coming = None;
        }
    }

    /// So many bytes went nowhere.
    pub(super) fn skip(&mut self, cx: &mut Cx, conn: Conn, bytes: u64) {
        let Body::Skip(left, into) = self.body() else { return };
        let left = left.saturating_sub(bytes);
        if left > 0 {
            self.set_body(Body::Skip(left, into));
            return take(cx, conn, left);
        }
        if let Some(into) = into.filter(|span| span.len > 0) {
            self.set_body(Body::Into(into.blob, into.from, into.from + into.len));
            cx.out.push_back(Output::Receive { conn, into });
        } else {
            self.set_body(Body::Frame);
            take(cx, conn, BEAT_BYTES as u64);
        }
    }
}

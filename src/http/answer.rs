//! What goes out for one request: conditions (RFC 9110, 13), ranges (14), `HEAD`, and the header
//! lines that every answer has. Knows no connection; [`crate::http::server`] calls it.

use crate::base::port::{Blob, Payload, Span};
use crate::base::time::Wall;
use crate::http::wire::{self, IfRange, Method, Refused, Request, Resolved, Tag, date};

/// What the node answers to a request. Conditions, ranges, `HEAD` and the lines `Date`,
/// `Connection`, `Content-Length`, `Content-Range`, `Accept-Ranges`, `ETag` and `Last-Modified`
/// are the server's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status as if the request had no conditions.
    pub status: u16,
    /// Further header lines.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Body,
    /// Which body this is.
    pub etag: Option<Tag>,
    /// Since when it is this body.
    pub last_modified: Option<Wall>,
}

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Own bytes.
    Bytes(Box<[u8]>),
    /// A blob from its first byte on; it stays the caller's, who may release it right after.
    Blob {
        /// Whose bytes.
        blob: Blob,
        /// Its length.
        len: u64,
    },
    /// So many bytes that the caller sends by itself, behind the head.
    Apart(u64),
}

impl Body {
    /// Bytes in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob { len, .. } | Self::Apart(len) => *len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A head and a part of the body, which must have it.
    fn payload(&self, mut head: Vec<u8>, (from, len): (u64, u64)) -> Payload {
        let body = match self {
            Self::Blob { blob, .. } if len > 0 => Some(Span { blob: *blob, from, len }),
            Self::Bytes(bytes) => {
                let index = |at| usize::try_from(at).expect("a part lies within bytes in memory");
                head.extend_from_slice(&bytes[index(from)..index(from + len)]);
                None
            }
            _ => None,
        };
        Payload { head: head.into(), body, ..Payload::default() }
    }
}

impl Response {
    /// Own bytes of some media type.
    #[must_use]
    pub fn new(status: u16, media_type: impl Into<String>, body: impl Into<Box<[u8]>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", media_type.into())],
            body: Body::Bytes(body.into()),
            etag: None,
            last_modified: None,
        }
    }

    /// A line of text. It must hold nothing of the request.
    #[must_use]
    pub fn text(status: u16, line: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{line}\n").into_bytes())
            .with("X-Content-Type-Options", "nosniff")
            .with("Cache-Control", "no-store")
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found() -> Self {
        Self::text(404, "404 Not Found: there is nothing of this name here")
    }

    /// The answer to a request that is not served.
    #[must_use]
    pub fn refusal(why: Refused) -> Self {
        let status = why.status();
        let answer = Self::text(status, &format!("{status} {}: {why}", wire::reason(status)));
        if status == 405 { answer.with("Allow", "GET, HEAD") } else { answer }
    }

    /// With one more header line.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What the answer says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// It goes on, as HTTP/1.1 has it.
    Stay,
    /// It goes on, which HTTP/1.0 must be told.
    StayOld,
    /// It ends.
    Close,
}

/// One answer, ready to send.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status after conditions.
    pub(super) status: u16,
    /// Head and body.
    pub(super) payload: Payload,
    /// The first byte of the body that is in it, and bytes of body in it.
    pub(super) from: u64,
    /// See `from`.
    pub(super) body_len: u64,
}

/// What the conditions and the range of a request make of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Whole,
    Part { from: u64, len: u64 },
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// Answers a request that was understood.
pub(super) fn answer(request: &Request, response: Response, now: Wall, then: Then) -> Answer {
    let total = response.body.len();
    let head_only = request.method == Method::Head;
    match judge(request, &response, now) {
        Verdict::Whole => whole(response, head_only, now, then),
        Verdict::Part { from, len } => {
            let range = format!("bytes {from}-{}/{total}", from + len - 1);
            let (mut lines, body) = described(response);
            lines.push(("Content-Range", range));
            put(206, (lines, Some(len)), (&body, from, len), (now, then))
        }
        Verdict::NotModified => {
            let (mut lines, _) = described(response);
            // RFC 9110, 15.4.5: what describes the body stays away, what describes its age stays.
            lines.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
            put(304, (lines, None), (&Body::Empty, 0, 0), (now, then))
        }
        Verdict::PreconditionFailed => {
            let text = "412 Precondition Failed: this is no longer what the condition names";
            whole(Response::text(412, text), head_only, now, then)
        }
        Verdict::Unsatisfiable => {
            let text = "416 Range Not Satisfiable: the range begins behind the end";
            let length = format!("bytes */{total}");
            whole(Response::text(416, text).with("Content-Range", length), head_only, now, then)
        }
    }
}

/// A response with all of its body, or only its head.
pub(super) fn whole(response: Response, head_only: bool, now: Wall, then: Then) -> Answer {
    let (status, total) = (response.status, response.body.len());
    let (lines, body) = described(response);
    let sent = if head_only { 0 } else { total };
    put(status, (lines, Some(total)), (&body, 0, sent), (now, then))
}

/// The head of an answer that has no end, and with it the first bytes of its body. An HTTP/1.0
/// peer reads to the end as well, so nothing else is needed.
pub(super) fn endless(media_type: &str, start: &[u8], now: Wall) -> Payload {
    let date = date(now);
    let lines = [
        ("Content-Type", media_type),
        ("Cache-Control", "no-store"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Content-Type-Options", "nosniff"),
        ("Date", date.as_str()),
        ("Connection", "close"),
    ];
    let mut head = wire::emit(200, lines);
    head.extend_from_slice(start);
    Payload::bytes(head)
}

/// The caller's header lines with those that describe the body, and the body.
fn described(response: Response) -> (Vec<(&'static str, String)>, Body) {
    let mut lines = response.headers;
    if response.status == 200 {
        lines.push(("Accept-Ranges", "bytes".to_owned()));
    }
    lines.extend(response.etag.map(|tag| ("ETag", tag.to_string())));
    lines.extend(response.last_modified.map(|at| ("Last-Modified", date(at))));
    (lines, response.body)
}

fn put(
    status: u16,
    (mut lines, content_length): (Vec<(&'static str, String)>, Option<u64>),
    (body, from, len): (&Body, u64, u64),
    (now, then): (Wall, Then),
) -> Answer {
    lines.extend(content_length.map(|len| ("Content-Length", len.to_string())));
    lines.push(("Date", date(now)));
    match then {
        Then::Stay => {}
        Then::StayOld => lines.push(("Connection", "keep-alive".to_owned())),
        Then::Close => lines.push(("Connection", "close".to_owned())),
    }
    let head = wire::emit(status, lines.iter().map(|(name, value)| (*name, value.as_str())));
    Answer { status, payload: body.payload(head, (from, len)), from, body_len: len }
}

/// RFC 9110, 13.2.2: the order in which conditions count. Only a 200 has something to condition.
fn judge(request: &Request, response: &Response, now: Wall) -> Verdict {
    if response.status != 200 {
        return Verdict::Whole;
    }
    if !still_wanted(request, response) {
        return Verdict::PreconditionFailed;
    }
    if !changed(request, response) {
        return Verdict::NotModified;
    }
    match request.range.filter(|_| request.method == Method::Get) {
        Some(range) if same_body(request.if_range.as_ref(), response, now) => {
            match range.resolve(response.body.len()) {
                Resolved::Whole => Verdict::Whole,
                Resolved::Part { from, len } => Verdict::Part { from, len },
                Resolved::Unsatisfiable => Verdict::Unsatisfiable,
            }
        }
        _ => Verdict::Whole,
    }
}

/// `If-Match`, else `If-Unmodified-Since`.
fn still_wanted(request: &Request, response: &Response) -> bool {
    match (&request.if_match, request.if_unmodified_since, response.last_modified) {
        (Some(tags), _, _) => tags.name(response.etag.as_ref(), Tag::same_bytes),
        (None, Some(since), Some(at)) => at.seconds() <= since,
        _ => true,
    }
}

/// `If-None-Match`, else `If-Modified-Since`.
fn changed(request: &Request, response: &Response) -> bool {
    match (&request.if_none_match, request.if_modified_since, response.last_modified) {
        (Some(tags), _, _) => !tags.name(response.etag.as_ref(), Tag::same_meaning),
        (None, Some(since), Some(at)) => at.seconds() > since,
        _ => true,
    }
}

/// `If-Range`: whether a part may be put to what the peer has already.
fn same_body(if_range: Option<&IfRange>, response: &Response, now: Wall) -> bool {
    match if_range {
        None => true,
        Some(IfRange::Tag(tag)) => response.etag.as_ref().is_some_and(|own| own.same_bytes(tag)),
        // RFC 9110, 8.8.2.2: a date tells bodies apart only when it lies a second back.
        Some(IfRange::Date(date)) => response
            .last_modified
            .is_some_and(|at| at.seconds() == *date && at.seconds() < now.seconds()),
    }
}

#[cfg(test)]
mod tests;

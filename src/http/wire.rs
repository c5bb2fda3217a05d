//! Bytes of HTTP/1.x to values and back: request heads by `httparse` (RFC 9112), response heads,
//! and below them ranges, entity tags and dates (RFC 9110). Decides nothing about connections;
//! [`crate::http::server`] calls it.

mod date;
mod range;
mod tags;

use core::str;

use httparse::{Error, Header, Status};
use thiserror::Error as ThisError;

use crate::base::limits;

pub use date::{date, parse_date};
pub use range::{RangeSpec, Resolved};
pub use tags::{Tag, Tags};

/// What is asked for. There are only these two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// The thing.
    Get,
    /// Only what `GET` would say about it.
    Head,
}

/// A request head that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Of what: percent-decoded, begins with `/`, has no empty, `.` or `..` segment and no control
    /// character. A `/` at the end is kept.
    pub path: String,
    /// What follows `?`, as it came.
    pub query: Option<String>,
    /// Under which host and port the peer came here, of characters that a host may have; only in
    /// HTTP/1.0 it may be missing.
    pub host: Option<String>,
    /// `Range`, when it is one range of bytes; anything else is as if it were not there.
    pub range: Option<RangeSpec>,
    /// `If-Range`.
    pub if_range: Option<IfRange>,
    /// `If-Match`.
    pub if_match: Option<Tags>,
    /// `If-None-Match`.
    pub if_none_match: Option<Tags>,
    /// `If-Modified-Since`, in seconds since 1970.
    pub if_modified_since: Option<i64>,
    /// `If-Unmodified-Since`, in seconds since 1970.
    pub if_unmodified_since: Option<i64>,
    /// Whether this is HTTP/1.0, where a connection is kept only when both sides say so.
    pub old: bool,
    /// Whether the peer wants to go on after the answer.
    pub keep_alive: bool,
}

/// The validator of `If-Range`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IfRange {
    /// By entity tag.
    Tag(Tag),
    /// By date, in seconds since 1970.
    Date(i64),
}

/// Why a request is not served. The words go to the peer and hold nothing of the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
pub enum Refused {
    /// Not HTTP.
    #[error("this is not an HTTP/1.1 request head")]
    Malformed,
    /// `Host` is missing, repeated or not a host.
    #[error("an HTTP/1.1 request has one Host line that names a host")]
    Host,
    /// The target cannot be a path.
    #[error("the target is neither a path nor an http URL, or its path is not plain UTF-8 text")]
    Target,
    /// `Content-Length` is not a number.
    #[error("Content-Length is one decimal number")]
    Length,
    /// Neither GET nor HEAD.
    #[error("only GET and HEAD are served here")]
    Method,
    /// The head did not come in time.
    #[error("the request head was not complete in time")]
    Slow,
    /// There is a body.
    #[error("requests with a body are not served here")]
    Body,
    /// The target is too long.
    #[error("the target is longer than {} bytes", limits::HTTP_TARGET_BYTES_MAX)]
    TargetTooLong,
    /// The head is too long.
    #[error(
        "the head is longer than {} bytes or {} lines",
        limits::HTTP_HEAD_BYTES_MAX,
        limits::HTTP_HEADERS_MAX
    )]
    HeadTooLong,
    /// There is a body in a transfer coding.
    #[error("transfer codings of requests are not served here")]
    Coding,
    /// HTTP/2 or something newer.
    #[error("only HTTP/1.0 and HTTP/1.1 are served here")]
    Version,
}

impl Refused {
    /// The status that says so.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Host | Self::Target | Self::Length => 400,
            Self::Method => 405,
            Self::Slow => 408,
            Self::Body => 413,
            Self::TargetTooLong => 414,
            Self::HeadTooLong => 431,
            Self::Coding => 501,
            Self::Version => 505,
        }
    }
}

/// Finds the first request head in what has arrived, and how many bytes it takes; `None` while it
/// is incomplete. Depends only on the bytes, not on how they were cut on the way: only whole lines
/// within the first [`limits::HTTP_HEAD_BYTES_MAX`] bytes are looked at.
///
/// # Errors
/// When no bytes that may follow can make it a request that is served.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    if bytes.first().is_some_and(|b| !b.is_ascii_alphanumeric()) {
        return Err(Refused::Malformed);
    }
    let window = &bytes[..bytes.len().min(limits::HTTP_HEAD_BYTES_MAX)];
    let whole = window.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut fields = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(&window[..whole]) {
        Ok(Status::Complete(used)) => Request::check(&head).map(|request| Some((request, used))),
        Ok(Status::Partial) if window.len() < limits::HTTP_HEAD_BYTES_MAX => Ok(None),
        Ok(Status::Partial) if whole == 0 => Err(Refused::TargetTooLong),
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Err(Refused::HeadTooLong),
        Err(Error::Version) if names_http(window) => Err(Refused::Version),
        Err(_) => Err(Refused::Malformed),
    }
}

/// Whether the first line ends in some version of HTTP.
fn names_http(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    line.rsplit(|b| *b == b' ').next().is_some_and(|last| last.starts_with(b"HTTP/"))
}

impl Request {
    fn check(head: &httparse::Request<'_, '_>) -> Result<Self, Refused> {
        let fields = Fields(head.headers);
        let old = head.version == Some(0);
        let method = match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => return Err(Refused::Method),
        };
        let target = head.path.unwrap_or_default();
        if target.len() > limits::HTTP_TARGET_BYTES_MAX {
            return Err(Refused::TargetTooLong);
        }
        fields.check_host(old)?;
        fields.check_no_body()?;
        let (path, query) = split_target(target)?;
        Ok(Self {
            method,
            path: plain_path(path)?,
            query: query.map(str::to_owned),
            host: host_of(target).or_else(|| fields.one("host")).map(str::to_owned),
            range: fields.one("range").and_then(RangeSpec::parse),
            if_range: fields.one("if-range").and_then(IfRange::parse),
            if_match: fields.tags("if-match"),
            if_none_match: fields.tags("if-none-match"),
            if_modified_since: fields.one("if-modified-since").and_then(parse_date),
            if_unmodified_since: fields.one("if-unmodified-since").and_then(parse_date),
            old,
            keep_alive: if old {
                fields.connection("keep-alive")
            } else {
                !fields.connection("close")
            },
        })
    }
}

impl IfRange {
    fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = parse_date(text) {
            return Some(Self::Date(seconds));
        }
        match Tags::parse([text])? {
            Tags::List(mut tags) if tags.len() == 1 => tags.pop().map(Self::Tag),
            _ => None,
        }
    }
}

/// The lines of a head.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }

    /// The value of a line that there is exactly once and that is text.
    fn one(&self, name: &'static str) -> Option<&'a str> {
        let mut all = self.all(name);
        let value = all.next().filter(|_| all.next().is_none())?;
        str::from_utf8(value).ok().map(str::trim)
    }

    fn tags(&self, name: &'static str) -> Option<Tags> {
        self.all(name).next()?;
        Tags::parse(self.all(name).filter_map(|value| str::from_utf8(value).ok()))
    }

    /// Whether a `Connection` line has this option.
    fn connection(&self, option: &str) -> bool {
        let option = option.as_bytes();
        self.all("connection")
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(option))
    }

    /// RFC 9112, 3.2: a 1.1 request with no, several or a bad `Host` must be refused.
    fn check_host(&self, old: bool) -> Result<(), Refused> {
        let count = self.all("host").count();
        let good = self.all("host").all(is_host);
        if good && (count == 1 || (old && count == 0)) { Ok(()) } else { Err(Refused::Host) }
    }

    fn check_no_body(&self) -> Result<(), Refused> {
        if self.all("transfer-encoding").next().is_some() {
            return Err(Refused::Coding);
        }
        if self.all("content-length").any(|v| v.is_empty() || !v.iter().all(u8::is_ascii_digit)) {
            return Err(Refused::Length);
        }
        // Zero is no body, however often it is said.
        if self.all("content-length").flatten().any(|digit| *digit != b'0') {
            return Err(Refused::Body);
        }
        Ok(())
    }
}

/// The host of a target in absolute form, which counts before `Host` (RFC 9112, 3.2.2).
fn host_of(target: &str) -> Option<&str> {
    let (_, rest) = target.split_once("://").filter(|_| !target.starts_with('/'))?;
    rest.split(['/', '?']).next()
}

/// Whether all of it may stand in a host with a port.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b))
}

/// Path and query of a target in origin or absolute form (RFC 9112, 3.2).
fn split_target(target: &str) -> Result<(&str, Option<&str>), Refused> {
    if target.contains('#') {
        return Err(Refused::Target);
    }
    let (place, query) = match target.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (target, None),
    };
    if place.starts_with('/') {
        return Ok((place, query));
    }
    let (scheme, rest) = place.split_once("://").ok_or(Refused::Target)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !known || host.is_empty() || !is_host(host.as_bytes()) {
        return Err(Refused::Target);
    }
    Ok((if path.is_empty() { "/" } else { path }, query))
}

/// Decodes a path segment by segment, so that no escape can add or remove one.
fn plain_path(raw: &str) -> Result<String, Refused> {
    let mut path = String::with_capacity(raw.len());
    let mut at_end = "";
    for raw_segment in raw.split('/') {
        at_end = raw_segment;
        let segment = decoded(raw_segment).ok_or(Refused::Target)?;
        if segment == ".." || segment.contains('/') || segment.contains(char::is_control) {
            return Err(Refused::Target);
        }
        if !segment.is_empty() && segment != "." {
            path.push('/');
            path.push_str(&segment);
        }
    }
    if path.is_empty() || at_end.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Text with its `%XX` replaced; none when an escape is broken or the result is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The head of a response. A control character in a value becomes a space, so that no value can
/// begin a line of its own.
#[must_use]
pub fn emit<'a>(status: u16, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for (name, value) in fields {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend(value.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The name of a status, for the statuses used here.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unnamed",
    }
}

#[cfg(test)]
mod tests;

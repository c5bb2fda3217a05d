//! A small HTTP client that hides nothing: one request a connection.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::SOON;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value; none when it is not there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }
}

/// GET without more.
pub(crate) fn get(server: SocketAddr, path: &str) -> Answer {
    request(server, "GET", path, &[])
}

/// The status document.
pub(crate) fn status(server: SocketAddr) -> Value {
    let answer = get(server, "/status.json");
    assert_eq!(answer.status, 200, "{}", answer.head);
    serde_json::from_slice(&answer.body).expect("status.json is JSON")
}

/// Any request without a body.
pub(crate) fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a string takes text");
    }
    let bytes = exchange(server, (head + "\r\n").as_bytes());
    let answer = parse(&bytes);
    let length = answer.header("content-length").map(|v| v.parse::<usize>().expect("a length"));
    if method != "HEAD" && answer.status != 304 {
        assert_eq!(length, Some(answer.body.len()), "content-length of {method} {path}");
    }
    answer
}

/// Sends bytes as they are and takes all that comes until the end.
pub(crate) fn exchange(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).expect("the http port takes connections");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).expect("a request fits");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer and its end");
    answer
}

/// The first answer in these bytes.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a text head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    Answer { status: status.expect("a status"), head, body: bytes[end + 4..].to_vec() }
}

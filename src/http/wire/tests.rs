//! Heads in and out.

use proptest::prelude::*;

use super::*;

fn one(bytes: &[u8]) -> Result<Request, Refused> {
    parse(bytes).map(|found| found.expect("a whole head").0)
}

fn get(target: &str) -> Result<Request, Refused> {
    one(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
}

fn with(lines: &str) -> Result<Request, Refused> {
    one(format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n").as_bytes())
}

#[test]
fn a_plain_request_is_understood() {
    let head =
        b"HEAD /ch/0/blocks/live?x=%20 HTTP/1.1\r\nHost: a:6080\r\nRange: bytes=0-1\r\n\r\nrest";
    let (request, used) = parse(head).unwrap().unwrap();
    assert_eq!((request.method, used), (Method::Head, head.len() - 4));
    assert_eq!(
        (request.path.as_str(), request.query.as_deref()),
        ("/ch/0/blocks/live", Some("x=%20"))
    );
    assert_eq!(request.range, Some(RangeSpec::FromTo(0, 1)));
    assert!(request.keep_alive && !request.old);
}

#[test]
fn a_path_is_decoded_once_and_cannot_climb() {
    let table = [
        ("/", Ok("/")),
        ("//a///b", Ok("/a/b")),
        ("/a/./b/.", Ok("/a/b")),
        ("/a/", Ok("/a/")),
        ("/.", Ok("/")),
        ("/a%20b%c3%BC", Ok("/a b\u{fc}")),
        ("/%2561", Ok("/%61")),
        ("/%2e", Ok("/")),
        ("/...", Ok("/...")),
        ("http://h:1/a?q", Ok("/a")),
        ("HTTP://h", Ok("/")),
        ("https://h?q", Ok("/")),
        ("/..", Err(Refused::Target)),
        ("/a/%2E%2e/b", Err(Refused::Target)),
        ("/a%2fb", Err(Refused::Target)),
        ("/a%00b", Err(Refused::Target)),
        ("/a%0ab", Err(Refused::Target)),
        ("/a%c2%9bb", Err(Refused::Target)),
        ("/%ff", Err(Refused::Target)),
        ("/%", Err(Refused::Target)),
        ("/%4", Err(Refused::Target)),
        ("/%zz", Err(Refused::Target)),
        ("/%+1", Err(Refused::Target)),
        ("/a#b", Err(Refused::Target)),
        ("*", Err(Refused::Target)),
        ("a", Err(Refused::Target)),
        ("ftp://h/", Err(Refused::Target)),
        ("http:///a", Err(Refused::Target)),
        ("http://a@b/", Err(Refused::Target)),
    ];
    for (target, path) in table {
        assert_eq!(get(target).map(|r| r.path), path.map(str::to_owned), "{target}");
    }
}

#[test]
fn what_is_not_served_has_its_status() {
    let long = "x".repeat(limits::HTTP_TARGET_BYTES_MAX);
    let many = "A: b\r\n".repeat(limits::HTTP_HEADERS_MAX + 1);
    let large = format!("A: {}\r\n", "x".repeat(limits::HTTP_HEAD_BYTES_MAX));
    let table: [(String, u16); 25] = [
        ("GET /\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1}".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \u{0}\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n".into(), 400),
        ("GET  / HTTP/1.1 x\r\nHost: a\r\n\r\n".into(), 400),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(), 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(), 413),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET /{long}{long}"), 414),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\n{large}\r\n"), 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 501),
        ("PRI * HTTP/2.0\r\n\r\n".into(), 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), 505),
        ("GET / HTTP/3\r\n\r\n".into(), 505),
        ("GET / http/1.1\r\n\r\n".into(), 400),
    ];
    for (head, status) in table {
        let shown = &head[..head.len().min(60)];
        let result = parse(head.as_bytes());
        assert_eq!(result.map(|_| ()).map_err(Refused::status), Err(status), "{shown:?}");
    }
}

#[test]
fn bounds_of_a_head_are_exact() {
    let head = |bytes: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(bytes - frame))
    };
    let largest = head(limits::HTTP_HEAD_BYTES_MAX);
    assert_eq!(parse(largest.as_bytes()).unwrap().unwrap().1, limits::HTTP_HEAD_BYTES_MAX);
    let larger = head(limits::HTTP_HEAD_BYTES_MAX + 1);
    assert_eq!(parse(larger.as_bytes()), Err(Refused::HeadTooLong));
    let lines =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert!(one(lines(limits::HTTP_HEADERS_MAX).as_bytes()).is_ok());
    assert_eq!(one(lines(limits::HTTP_HEADERS_MAX + 1).as_bytes()), Err(Refused::HeadTooLong));
}

#[test]
fn a_connection_is_kept_as_the_version_has_it() {
    let kept = |version: &str, line: &str| {
        let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{line}\r\n");
        one(head.as_bytes()).unwrap().keep_alive
    };
    assert!(kept("1.1", ""));
    assert!(kept("1.1", "Connection: upgrade, keep-alive\r\n"));
    assert!(!kept("1.1", "Connection: foo\r\nconnection: , CLOSE\r\n"));
    assert!(!kept("1.0", ""));
    assert!(kept("1.0", "Connection: Keep-Alive\r\n"));
    assert!(one(b"GET / HTTP/1.0\n\n").is_ok(), "1.0 needs no Host");
}

#[test]
fn conditions_are_read_and_broken_ones_are_not_there() {
    let request = with(
        "If-None-Match: \"a\"\r\nIf-None-Match: W/\"b\"\r\nIf-Match: *\r\n\
         If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nIf-Range: \"c\"",
    )
    .unwrap();
    let tag = |weak, opaque: &str| Tag { weak, opaque: opaque.to_owned() };
    assert_eq!(request.if_none_match, Some(Tags::List(vec![tag(false, "a"), tag(true, "b")])));
    assert_eq!(request.if_match, Some(Tags::Any));
    assert_eq!(request.if_modified_since, Some(784_111_777));
    assert_eq!(request.if_range, Some(IfRange::Tag(tag(false, "c"))));
    let by_date = with("If-Range: Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    assert_eq!(by_date.if_range, Some(IfRange::Date(784_111_777)));
    let broken =
        with("If-None-Match: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\nIf-Range: \"a\", \"b\"")
            .unwrap();
    assert_eq!((broken.if_none_match, broken.range, broken.if_range), (None, None, None));
}

#[test]
fn a_response_head_cannot_be_broken_up_by_a_value() {
    let head = emit(404, [("A", "b\r\nSet-Cookie: c"), ("D", "\u{fc}")]);
    assert_eq!(
        head,
        "HTTP/1.1 404 Not Found\r\nA: b  Set-Cookie: c\r\nD: \u{fc}\r\n\r\n".as_bytes()
    );
    let every = [400, 405, 408, 413, 414, 431, 501, 505, 200, 206, 304, 412, 416, 503];
    assert!(every.iter().all(|status| reason(*status) != "Unnamed"));
}

proptest! {
    #[test]
    fn parsing_ends_for_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some((_, used))) = parse(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }

    #[test]
    fn no_target_escapes(target in "/[a-c./%2eEfF0]{0,40}") {
        if let Ok(request) = get(&target) {
            prop_assert!(request.path.starts_with('/'));
            prop_assert!(!request.path.contains("//"));
            prop_assert!(request.path.split('/').all(|s| s != "." && s != ".."));
        }
    }

    #[test]
    fn a_longer_prefix_never_changes_the_first_answer(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("GET / HTTP/1.1\r\n"), Just("Host: h\r\n"), Just("\r\n"), Just("\n"),
                Just("A: b"), Just("POST /x HTTP/1.0\n"), Just(" x\r\n"), Just("\0"),
                Just("Content-Length: 1\r\n"),
            ], 1..10),
    ) {
        let bytes = lines.concat().into_bytes();
        let first = (0..=bytes.len()).map(|n| parse(&bytes[..n])).find(|r| *r != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), parse(&bytes));
    }
}

#[test]
fn the_host_under_which_one_came_is_told() {
    let host = |head: &str| parse(head.as_bytes()).unwrap().unwrap().0.host;
    assert_eq!(host("GET / HTTP/1.1\r\nHost: a.b:1\r\n\r\n").as_deref(), Some("a.b:1"));
    let absolute = "GET http://c:2/x?y HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(host(absolute).as_deref(), Some("c:2"));
    let bare = "GET http://c?y HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(host(bare).as_deref(), Some("c"));
    assert_eq!(host("GET /?http://c HTTP/1.1\r\nHost: a\r\n\r\n").as_deref(), Some("a"));
    assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), None);
}

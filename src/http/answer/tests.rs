//! Conditions, ranges and header lines, answer by answer.

use core::time::Duration;

use super::*;
use crate::base::port::Cx;
use crate::base::time::Now;

/// A moment after [`MODIFIED`].
const NOW: Wall = Wall(784_111_800 * 1_000_000_000);
/// `Sun, 06 Nov 1994 08:49:37 GMT` and half a second.
const MODIFIED: Wall = Wall(784_111_777 * 1_000_000_000 + 500_000_000);

fn request(method: &str, lines: &[&str]) -> Request {
    let lines = [&["Host: h"], lines, &["\r\n"]].concat().join("\r\n");
    let head = format!("{method} / HTTP/1.1\r\n{lines}");
    wire::parse(head.as_bytes()).unwrap().unwrap().0
}

fn ten_bytes() -> Response {
    Response {
        etag: Some(Tag::strong("v1")),
        last_modified: Some(MODIFIED),
        ..Response::new(200, "text/plain", *b"0123456789").with("Cache-Control", "immutable")
    }
}

fn got(lines: &[&str], response: Response) -> (u16, String, String) {
    let answer = answer(&request("GET", lines), response, NOW, Then::Stay);
    let text = String::from_utf8(answer.payload.head.into_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len() as u64, answer.body_len);
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", answer.status)));
    (answer.status, head.to_owned(), body.to_owned())
}

#[test]
fn ranges_give_their_bytes() {
    let table = [
        ("bytes=0-0", 206, "0", "bytes 0-0/10"),
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-30", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("bytes=4-2", 200, "0123456789", ""),
        ("pages=1-2", 200, "0123456789", ""),
    ];
    for (range, status, bytes, content_range) in table {
        let (got_status, head, body) = got(&[&format!("Range: {range}")], ten_bytes());
        assert_eq!((got_status, body.as_str()), (status, bytes), "{range}");
        assert!(head.contains(&format!("\r\nContent-Length: {}", bytes.len())), "{range}");
        let line = format!("\r\nContent-Range: {content_range}");
        assert_eq!(head.contains(&line), !content_range.is_empty(), "{range}: {head}");
    }
}

#[test]
fn a_range_behind_the_end_is_told_the_length() {
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let (status, head, _) = got(&[&format!("Range: {range}")], ten_bytes());
        assert_eq!(status, 416);
        assert!(head.contains("\r\nContent-Range: bytes */10\r\n"), "{head}");
        assert!(!head.contains("ETag"), "the text is not the body that the tag names");
    }
}

#[test]
fn an_empty_body_is_whole_for_a_suffix_and_has_nothing_else() {
    let empty = || Response { body: Body::Empty, ..ten_bytes() };
    assert_eq!(got(&["Range: bytes=-5"], empty()).0, 200);
    assert_eq!(got(&["Range: bytes=0-"], empty()).0, 416);
}

#[test]
fn conditions_count_in_the_order_of_the_rfc() {
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    let (since, since_before) =
        (format!("If-Modified-Since: {AT}"), format!("If-Modified-Since: {BEFORE}"));
    let (until, until_before) =
        (format!("If-Unmodified-Since: {AT}"), format!("If-Unmodified-Since: {BEFORE}"));
    let table: [(&[&str], u16); 17] = [
        (&["If-None-Match: \"v1\""], 304),
        (&["If-None-Match: W/\"v1\""], 304),
        (&["If-None-Match: \"v0\", \"v1\""], 304),
        (&["If-None-Match: *"], 304),
        (&["If-None-Match: \"v0\""], 200),
        (&["If-None-Match: v1"], 200),
        (&[&since], 304),
        (&[&since_before], 200),
        (&["If-None-Match: \"v0\"", &since], 200),
        (&["If-Match: \"v1\""], 200),
        (&["If-Match: W/\"v1\""], 412),
        (&["If-Match: \"v0\""], 412),
        (&["If-Match: *", &until_before], 200),
        (&[&until], 200),
        (&[&until_before], 412),
        (&["If-Match: \"v0\"", "If-None-Match: \"v1\""], 412),
        (&["If-None-Match: \"v1\"", "Range: bytes=90-"], 304),
    ];
    for (lines, status) in table {
        assert_eq!(got(lines, ten_bytes()).0, status, "{lines:?}");
    }
}

#[test]
fn a_part_is_only_put_to_the_same_bytes() {
    let part = |line: &str| got(&["Range: bytes=1-2", line], ten_bytes()).0;
    assert_eq!(part("If-Range: \"v1\""), 206);
    assert_eq!(part("If-Range: W/\"v1\""), 200);
    assert_eq!(part("If-Range: \"v0\""), 200);
    assert_eq!(part("If-Range: Sun, 06 Nov 1994 08:49:37 GMT"), 206);
    assert_eq!(part("If-Range: Sun, 06 Nov 1994 08:49:36 GMT"), 200);
    let weak = Response { etag: Some(Tag { weak: true, opaque: "v1".into() }), ..ten_bytes() };
    assert_eq!(got(&["Range: bytes=1-2", "If-Range: \"v1\""], weak).0, 200);
    let just_now = Response { last_modified: Some(NOW), ..ten_bytes() };
    let line = format!("If-Range: {}", date(NOW));
    assert_eq!(got(&["Range: bytes=1-2", &line], just_now).0, 200, "it may change this second");
}

#[test]
fn not_modified_says_which_and_nothing_of_the_body() {
    let (_, head, body) = got(&["If-None-Match: \"v1\""], ten_bytes());
    for line in [
        "ETag: \"v1\"",
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
        "Cache-Control: immutable",
        "Date: ",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.to_ascii_lowercase().contains("\r\ncontent-") && body.is_empty(), "{head}");
}

#[test]
fn only_a_200_has_conditions() {
    let missing = Response { etag: Some(Tag::strong("v1")), ..Response::not_found() };
    let lines = ["If-None-Match: \"v1\"", "Range: bytes=0-0", "If-Match: \"v0\""];
    assert_eq!(got(&lines, missing).0, 404);
}

#[test]
fn a_head_answer_is_the_get_answer_without_its_body() {
    for (lines, response) in [
        (vec![], ten_bytes()),
        (vec!["If-None-Match: \"v1\""], ten_bytes()),
        (vec!["If-Match: \"v0\""], ten_bytes()),
        (vec![], Response::not_found()),
        (vec![], Response { body: Body::Empty, ..ten_bytes() }),
    ] {
        let (_, head, _) = got(&lines, response.clone());
        let only = answer(&request("HEAD", &lines), response, NOW, Then::Stay);
        assert_eq!(&*only.payload.head, format!("{head}\r\n\r\n").as_bytes());
        assert_eq!((only.payload.body, only.body_len), (None, 0));
    }
    let ranged = answer(&request("HEAD", &["Range: bytes=0-0"]), ten_bytes(), NOW, Then::Stay);
    assert_eq!(ranged.status, 200, "ranges are for GET");
}

#[test]
fn a_part_of_a_blob_is_a_name() {
    let mut cx = Cx::new(Now::default(), 0);
    let blob = cx.create(10).unwrap();
    let response = || Response { body: Body::Blob { blob, len: 10 }, ..ten_bytes() };
    let body =
        |lines: &[&str]| answer(&request("GET", lines), response(), NOW, Then::Stay).payload.body;
    assert_eq!(body(&[]), Some(Span { blob, from: 0, len: 10 }));
    assert_eq!(body(&["Range: bytes=4-5"]), Some(Span { blob, from: 4, len: 2 }));
    assert_eq!(body(&["If-None-Match: *"]), None);
}

#[test]
fn the_connection_line_says_what_follows() {
    let line = |then| {
        let answer = answer(&request("GET", &[]), ten_bytes(), NOW + Duration::ZERO, then);
        let head = String::from_utf8(answer.payload.head.into_vec()).unwrap();
        head.lines().find_map(|l| l.strip_prefix("Connection: ").map(str::to_owned))
    };
    assert_eq!(line(Then::Stay), None);
    assert_eq!(line(Then::StayOld).as_deref(), Some("keep-alive"));
    assert_eq!(line(Then::Close).as_deref(), Some("close"));
}

#[test]
fn a_refusal_names_what_is_allowed() {
    let refused = Response::refusal(Refused::Method);
    assert_eq!(refused.status, 405);
    assert!(refused.headers.contains(&("Allow", "GET, HEAD".to_owned())));
    assert_eq!(
        Response::refusal(Refused::Slow).headers.iter().filter(|h| h.0 == "Allow").count(),
        0
    );
}

//! A player's connection, byte by byte, without a socket.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::time::Wall;

const SIZE: u64 = 1_000;

fn at(millis: u64) -> Now {
    Now { mono: Mono(millis * 1_000_000), wall: Wall(784_111_800 * 1_000_000_000) }
}

fn film(there: u64) -> Film {
    Film { container: Some(Container::Mkv), size: Some(SIZE), there, tag: 0xabc }
}

/// The byte of the film at a place.
fn byte(at: u64) -> u8 {
    b'a' + u8::try_from(at % 26).unwrap()
}

/// Takes all that there is, at most `step` bytes at once.
fn take(reader: &mut Reader, film: &Film, step: u64) -> String {
    let mut taken = Vec::new();
    for _ in 0..10_000 {
        reader.answer(at(0), film);
        let count = match reader.want(Some(film)) {
            Want::Own(bytes) => {
                let count = bytes.len().min(usize::try_from(step).unwrap());
                taken.extend_from_slice(&bytes[..count]);
                count as u64
            }
            Want::Film { from, len } => {
                assert!(len > 0 && from + len <= film.there, "only what has come");
                let len = len.min(step);
                taken.extend((from..from + len).map(byte));
                len
            }
            Want::Nothing | Want::Close => 0,
        };
        let before = reader.want(Some(film)) == Want::Nothing;
        reader.took(at(0), count, Some(film));
        if count == 0 && before == (reader.want(Some(film)) == Want::Nothing) {
            return String::from_utf8(taken).unwrap();
        }
    }
    panic!("it goes on for ever");
}

fn reader(requests: &str) -> Reader {
    let mut reader = Reader::new(Mono(0));
    reader.data(at(0), requests.as_bytes());
    reader
}

fn text(from: u64, to: u64) -> String {
    (from..to).map(|at| char::from(byte(at))).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n";

#[test]
fn a_film_is_sent_as_it_comes_and_its_reader_may_pause_and_ask_again() {
    let mut reader = reader(&format!("{GET}\r\n"));
    assert_eq!(reader.want(None), Want::Nothing, "nothing is known of it");
    let first = take(&mut reader, &film(300), 7);
    let (head, body) = first.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: video/x-matroska"), "{head}");
    assert!(head.contains("\r\nContent-Length: 1000\r\n"), "{head}");
    assert!(head.contains("\r\nAccept-Ranges: bytes\r\nETag: \"0000000000000abc\""), "{head}");
    assert_eq!((body, reader.position()), (text(0, 300).as_str(), Some(300)));
    assert_eq!(reader.poll_timeout(), None, "a pause may last");
    assert!(!reader.makes_room(Mono(0)) && !reader.has_seen_end());
    assert_eq!(take(&mut reader, &film(SIZE), 64), text(300, SIZE));
    assert!(reader.has_seen_end() && reader.makes_room(Mono(0)));
    reader.data(at(0), format!("{GET}Range: bytes=10-19\r\nConnection: close\r\n\r\n").as_bytes());
    let part = take(&mut reader, &film(SIZE), 64);
    let (head, body) = part.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 206 ") && head.contains("bytes 10-19/1000"), "{head}");
    assert_eq!(body, text(10, 20));
    assert_eq!(reader.want(None), Want::Close);
}

#[test]
fn a_range_that_has_not_come_is_waited_for() {
    let mut reader = reader(&format!("{GET}Range: bytes=900-\r\n\r\n"));
    let head = take(&mut reader, &film(300), 4096);
    assert!(head.starts_with("HTTP/1.1 206 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!((reader.position(), reader.want(Some(&film(900)))), (Some(900), Want::Nothing));
    assert_eq!(take(&mut reader, &film(950), 4096), text(900, 950));
    assert_eq!(take(&mut reader, &film(SIZE), 4096), text(950, SIZE));
    assert!(reader.has_seen_end());
}

#[test]
fn a_film_of_unknown_length_ends_with_its_connection() {
    let mut reader = reader(&format!("{GET}Range: bytes=5-\r\n\r\n"));
    let unknown = Film { size: None, there: 200, ..film(0) };
    let first = take(&mut reader, &unknown, 4096);
    let (head, body) = first.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Content-Length"), "{head}");
    assert!(head.contains("\r\nConnection: close") && body == text(0, 200), "{head}");
    let whole = Film { size: Some(200), ..unknown };
    assert_eq!(take(&mut reader, &whole, 4096), "");
    assert!(reader.has_seen_end() && reader.want(Some(&whole)) == Want::Close);
}

#[test]
fn every_other_request_has_its_answer_and_no_film() {
    let table = [
        ("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 ", true),
        ("GET /a.mkv HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 ", true),
        ("GET /a.mp4 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 ", false),
        ("GET /b/a.mkv HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 ", false),
        ("GET /favicon.ico HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 ", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1000-\r\n\r\n", "HTTP/1.1 416 ", false),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", false),
        ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 ", false),
        ("\0\0\0\0\r\n\r\n", "HTTP/1.1 400 ", false),
    ];
    for (request, beginning, is_film) in table {
        let mut reader = reader(request);
        let answer = take(&mut reader, &film(0), 4096);
        assert!(answer.starts_with(beginning), "{request:?}: {answer}");
        assert_eq!(answer.contains("video/x-matroska"), is_film, "{request:?}: {answer}");
        assert!(!reader.has_seen_end());
    }
    let refusal = take(&mut reader("HEAD / HTTP/1.1\r\n\r\n"), &film(0), 4096);
    assert!(refusal.starts_with("HTTP/1.1 400 ") && refusal.ends_with("\r\n\r\n"), "{refusal}");
    let unknown = Film { container: None, ..film(0) };
    for (path, is_film) in [("/", true), ("/a.mkv", false), ("/favicon.ico", false)] {
        let answer = take(&mut reader(&format!("GET {path} HTTP/1.0\r\n\r\n")), &unknown, 4096);
        assert_eq!(answer.contains("application/octet-stream"), is_film, "{path}: {answer}");
    }
}

#[test]
fn half_a_head_has_five_seconds_and_silence_thirty() {
    let mut slow = reader("GET / HT");
    slow.data(at(4_000), b"TP/1.1\r\n");
    assert_eq!(slow.poll_timeout(), Some(Mono(0).after(limits::HTTP_HEAD_PATIENCE)));
    slow.handle_timeout(at(4_999));
    assert_eq!(slow.want(None), Want::Nothing);
    slow.handle_timeout(at(5_000));
    let answer = take(&mut slow, &film(0), 4096);
    assert!(answer.starts_with("HTTP/1.1 408 ") && slow.want(None) == Want::Close, "{answer}");
    let mut silent = Reader::new(Mono(0));
    assert!(!silent.makes_room(at(4_999).mono) && silent.makes_room(at(5_000).mono));
    silent.handle_timeout(at(29_999));
    assert_eq!(silent.want(None), Want::Nothing);
    silent.handle_timeout(at(30_000));
    assert_eq!(silent.want(None), Want::Close);
    assert_eq!(limits::HTTP_IDLE_MAX, Duration::from_secs(30));
}

#[test]
fn who_sends_no_more_still_gets_what_was_asked_for() {
    let mut reader = reader(&format!("{GET}\r\n{GET}Range: bytes=0-1\r\n\r\n"));
    reader.ended(at(0));
    let all = take(&mut reader, &film(SIZE), 4096);
    assert_eq!(all.matches("HTTP/1.1 20").count(), 2, "{all}");
    assert!(all.ends_with("\r\n\r\nab") && reader.want(None) == Want::Close, "{all}");
}

#[test]
fn what_is_sent_ahead_waits_but_not_without_end() {
    let mut reader = reader(&format!("{GET}\r\n"));
    reader.answer(at(0), &film(0));
    for _ in 0..limits::HTTP_HEAD_BYTES_MAX {
        if reader.takes_bytes() {
            reader.data(at(0), b"GET / H");
        }
    }
    assert!(!reader.takes_bytes());
    let mut refused = super::tests::reader("nonsense\r\n\r\n");
    assert!(refused.takes_bytes());
    take(&mut refused, &film(0), 4096);
    assert!(!refused.takes_bytes(), "who floods is not heard for ever");
}

proptest! {
    /// However requests are cut and answers are taken, the bytes are the same.
    #[test]
    fn cuts_change_nothing(
        ranges in prop::collection::vec((0..SIZE, 0..SIZE), 1..6),
        cut in 1_usize..60,
        step in 1_u64..2_000,
    ) {
        let request = |(from, to): &(u64, u64)| format!("{GET}Range: bytes={from}-{to}\r\n\r\n");
        let requests: String = ranges.iter().map(request).collect();
        let mut reader = Reader::new(Mono(0));
        let mut got = String::new();
        for piece in requests.as_bytes().chunks(cut) {
            reader.data(at(0), piece);
            got += &take(&mut reader, &film(SIZE), step);
        }
        for (from, to) in ranges {
            // A range that ends before it begins is none.
            let body = if to < from { text(0, SIZE) } else { text(from, to + 1) };
            let (_, rest) = got.split_once("\r\n\r\n").expect("an answer for each");
            prop_assert!(rest.starts_with(&body));
            got = rest[body.len()..].to_owned();
        }
        prop_assert_eq!(got, "");
    }
}

//! Golden bytes of every message, and what any split of them gives.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

fn play(data: &[u8]) -> Vec<u8> {
    [PLAY, data, TAIL].concat()
}

fn data(bytes: &[u8]) -> Reply {
    Reply::Data(bytes.into(), bytes.len() as u64 == DATA_BYTES)
}

/// Every reply, the bytes coming in these parts and then nothing more.
fn replies(parts: &[&[u8]]) -> Result<Vec<Reply>, Bad> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for part in parts {
        frames.push(part);
        while let Some(reply) = frames.poll()? {
            found.push(reply);
        }
    }
    frames.silence();
    while let Some(reply) = frames.poll()? {
        found.push(reply);
    }
    Ok(found)
}

fn asked(parts: &[&[u8]]) -> Result<Vec<Asked>, Endless> {
    let mut requests = Requests::default();
    let mut found = Vec::new();
    for part in parts {
        requests.push(part);
        while let Some(asked) = requests.poll()? {
            found.push(asked);
        }
    }
    Ok(found)
}

/// Bytes cut at these places.
fn cut<'a>(bytes: &'a [u8], at: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

#[test]
fn every_request_has_its_bytes() {
    let golden: [(Request, &[u8]); 5] = [
        (Request::List, b"list<NEXT;><END;>"),
        (Request::Play(Some(1)), b"play<NEXT;>1<NEXT;><END;>"),
        (Request::Stop, b"stop<NEXT;><END;>"),
        (Request::Quit, b"quit<NEXT;><END;>"),
        (Request::Hello, b"hello<NEXT;>1<NEXT;><END;>"),
    ];
    for (request, bytes) in golden {
        assert_eq!(&*request.bytes(), bytes);
        assert_eq!(asked(&[bytes]), Ok(vec![Asked::Request(request)]));
    }
}

#[test]
fn every_reply_has_its_bytes() {
    let titles = ["a_first.mp3", "b.mp3"];
    assert_eq!(
        &*list(titles.into_iter()),
        b"list<NEXT;>{sid: 0 title: a_first.mp3}\n{sid: 1 title: b.mp3}\n<NEXT;><END;>"
    );
    assert_eq!(&*list([].into_iter()), b"list<NEXT;><NEXT;><END;>");
    assert_eq!(
        &*song(3, Some((160_749, 10_031))),
        b"song<NEXT;>3<NEXT;>160749<NEXT;>10031<NEXT;><END;>"
    );
    assert_eq!(&*song(7, None), b"song<NEXT;>7<NEXT;><END;>");
    assert_eq!((STOP, QUIT), (&b"stop<NEXT;><END;>"[..], &b"quit<NEXT;><END;>"[..]));
    let entry = |sid, title: &str| Entry { sid, title: title.to_owned() };
    let all =
        [&*list(titles.into_iter()), STOP, HELLO, &song(3, Some((9, 0))), &song(7, None), QUIT];
    let expected = [
        Reply::List(vec![entry(0, "a_first.mp3"), entry(1, "b.mp3")]),
        Reply::Stop,
        Reply::Hello,
        Reply::Song(3, 9, 0),
        Reply::NoSong(7),
        Reply::Quit,
    ];
    assert_eq!(replies(&[&all.concat()]), Ok(expected.to_vec()));
}

#[test]
fn what_scripts_and_strangers_send_is_borne() {
    let sent =
        b" \r\nlist<NEXT;><END;>\nplay<NEXT;> 2 <NEXT;><END;>play<END;>play<NEXT;>-1<NEXT;><END;>\
                 LIST<NEXT;><END;>\xff\xfe<END;>play<NEXT;>99999999999999999999<NEXT;><END;>stop";
    let request = Asked::Request;
    let unknown = |bytes: &[u8]| Asked::Unknown(bytes.into());
    let expected = vec![
        request(Request::List),
        request(Request::Play(Some(2))),
        request(Request::Play(None)),
        request(Request::Play(None)),
        unknown(b"LIST<NEXT;>"),
        unknown(b"\xff\xfe"),
        request(Request::Play(None)),
    ];
    assert_eq!(asked(&[sent]), Ok(expected));
}

#[test]
fn a_request_without_an_end_is_refused_at_the_bound() {
    let most = limits::JUKEBOX_FRAME_BYTES_MAX;
    let long = vec![b'x'; most - 1];
    let kept = Asked::Unknown(long[..limits::SHOWN_BYTES_MAX].into());
    assert_eq!(asked(&[&long, b"<END;>"]), Ok(vec![kept]));
    assert_eq!(asked(&[&long]), Ok(vec![]));
    assert_eq!(asked(&[&long, b"x"]), Err(Endless));
    assert_eq!(asked(&[&long, b"x<END;>"]), Err(Endless));
}

#[test]
fn a_reply_without_an_end_is_refused_at_the_bound() {
    let most = limits::JUKEBOX_FRAME_BYTES_MAX;
    let endless = |head: &[u8]| [head, &vec![b'x'; most - head.len()]].concat();
    for head in [PLAY, b"list<NEXT;>"] {
        let bytes = endless(head);
        assert_eq!(replies(&[&bytes[1..]]), Err(Bad::Foreign));
        assert_eq!(replies(&[&bytes[..most - 1]]), Ok(vec![]));
        assert_eq!(replies(&[&bytes]), Err(Bad::Endless));
    }
    assert_eq!(replies(&[b"HTTP/1.1 400 Bad Request\r\n"]), Err(Bad::Foreign));
    assert_eq!(replies(&[b"pl"]), Ok(vec![]));
}

#[test]
fn a_title_cannot_end_a_message_or_drive_a_terminal() {
    assert_eq!(title("a<NEXT;>b<END;>.mp3"), "a\\x3cNEXT;>b\\x3cEND;>.mp3");
    assert_eq!(title("a\nb\x1b[31m\\<.mp3"), "a\\x0ab\\x1b[31m\\\\<.mp3");
    let titles = [title("<END;>\n}.mp3")];
    let listed = replies(&[&list(titles.iter().map(String::as_str))]).unwrap();
    let shown = Entry { sid: 0, title: "\\x3cEND;>\\x0a}.mp3".to_owned() };
    assert_eq!(listed, [Reply::List(vec![shown])]);
}

#[test]
fn a_list_has_room_for_64_kib() {
    let title = "x".repeat(240);
    let titles = || core::iter::repeat_n(title.as_str(), 1_000);
    let room = fitting(titles());
    let len = |songs| list(titles().take(songs)).len();
    assert!(len(room) <= limits::JUKEBOX_FRAME_BYTES_MAX);
    assert!(len(room + 1) > limits::JUKEBOX_FRAME_BYTES_MAX);
    assert_eq!(fitting(["a", "b"].into_iter()), 2);
}

#[test]
fn a_full_frame_needs_no_silence_and_a_short_one_no_full_one() {
    let full = vec![7; 4072];
    let mut frames = Frames::default();
    frames.push(&play(&full));
    assert_eq!(frames.poll(), Ok(Some(data(&full))));
    frames.push(&play(b"end"));
    assert_eq!(frames.poll(), Ok(None));
    assert!(frames.is_undecided());
    frames.silence();
    assert_eq!(frames.poll(), Ok(Some(data(b"end"))));
    assert!(!frames.is_undecided());
}

#[test]
fn a_short_frame_ends_where_another_reply_begins() {
    let bytes = [&play(b"the end of a song")[..], STOP, &play(&[9; 4072]), QUIT].concat();
    let expected = vec![data(b"the end of a song"), Reply::Stop, data(&[9; 4072]), Reply::Quit];
    assert_eq!(replies(&[&bytes]), Ok(expected.clone()));
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(replies(&single), Ok(expected));
}

#[test]
fn a_server_that_does_not_send_what_it_told_is_understood_all_the_same() {
    let bytes = [&song(0, Some((5_000, 0)))[..], &play(&[1; 4072]), &play(b"short"), STOP].concat();
    let bytes = [&bytes[..], &play(&[2; 4072])].concat();
    let expected =
        [Reply::Song(0, 5_000, 0), data(&[1; 4072]), data(b"short"), Reply::Stop, data(&[2; 4072])];
    assert_eq!(replies(&[&bytes]), Ok(expected.to_vec()));
}

/// Pieces that a song may be made of, delimiters and whole messages among them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        &b"<NEXT;>"[..],
        b"<END;>",
        TAIL,
        b"<NEXT;><END;>play<NEXT;>",
        STOP,
        b"<",
        b"abc",
        b"\xff\0",
    ]);
    vec(piece, 0..2_500).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_told_song_comes_back_whole_however_it_is_split(
        music in pieces(),
        at in vec(any::<Index>(), 0..12),
    ) {
        prop_assume!(!music.is_empty());
        let mut bytes = song(0, Some((music.len() as u64, 0))).to_vec();
        for part in music.chunks(4072) {
            bytes.extend(play(part));
        }
        bytes.extend(STOP);
        let found = replies(&cut(&bytes, &at)).unwrap();
        let got: Vec<u8> = found.iter().flat_map(|reply| match reply {
            Reply::Data(data, _) => data.to_vec(),
            _ => vec![],
        }).collect();
        prop_assert_eq!(got, music);
        prop_assert_eq!(found.last(), Some(&Reply::Stop));
    }

    #[test]
    fn full_frames_come_back_whole_whatever_is_in_them(
        fill in vec(pieces(), 1..4),
        at in vec(any::<Index>(), 0..12),
    ) {
        // Nothing was told; the song ends with a full frame.
        let full = |piece: &Vec<u8>| {
            let mut data = piece.clone();
            data.resize(4072, b'.');
            data
        };
        let frames: Vec<Vec<u8>> = fill.iter().map(full).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|data| play(data)).collect();
        let expected: Vec<_> = frames.iter().map(|bytes| data(bytes)).collect();
        prop_assert_eq!(replies(&cut(&bytes, &at)), Ok(expected));
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_replies(
        parts in vec(select(vec![
            PLAY, TAIL, STOP, QUIT, HELLO, b"list<NEXT;>", b"{sid: 1 title: x}\n",
            b"song<NEXT;>1<NEXT;>", b"4072<NEXT;>", b"<END;>", &[b'x'; 1000], &[b'y'; 4072], b"z",
        ]), 0..30),
        at in vec(any::<Index>(), 0..12),
    ) {
        let bytes = parts.concat();
        let whole = replies(&[&bytes]);
        match replies(&cut(&bytes, &at)) {
            Ok(found) => prop_assert_eq!(Ok(found), whole),
            Err(bad) => prop_assert_eq!(Err(bad), whole),
        }
    }

    #[test]
    fn any_split_of_any_bytes_asks_the_same(
        parts in vec(select(vec![
            &b"list"[..], b"play", b"7", NEXT, END, b"stop", b"quit", b"\n", b"\xff", b"<",
        ]), 0..60),
        at in vec(any::<Index>(), 0..12),
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(asked(&cut(&bytes, &at)), asked(&[&bytes]));
    }

    #[test]
    fn every_title_survives_the_list(names in vec(any::<String>(), 0..8)) {
        let titles: Vec<_> = names.iter().map(|name| title(name)).collect();
        let found = replies(&[&list(titles.iter().map(String::as_str))]).unwrap();
        let expected = titles.into_iter().enumerate().map(|(sid, title)| Entry { sid, title });
        prop_assert_eq!(found, vec![Reply::List(expected.collect())]);
    }
}

//! Golden bytes of both wires, and what is refused.

use proptest::prelude::*;

use super::*;

#[test]
fn a_request_is_what_the_original_sends() {
    let list = b"\0\0\0\0\0\0\x01\x01arquivos lista";
    assert_eq!(Request::List.bytes(), list);
    assert_eq!(Request::parse(list), Ok(Request::List));
    let get = b"\0\0\0\0\0\0\x01\x01get 3";
    assert_eq!(Request::Get(Some(3), None).bytes(), get);
    assert_eq!(Request::parse(get), Ok(Request::Get(Some(3), None)));
    let ours = Request::Get(Some(3), Some(Nonce(0xab)));
    assert_eq!(ours.bytes(), b"\0\0\0\0\0\0\x01\x01get 3 vs1=00000000000000ab");
    assert_eq!(Request::parse(&ours.bytes()), Ok(ours));
}

#[test]
fn a_request_goes_by_its_text_alone() {
    let parse = |text: &str| Request::parse(&[b"12345678", text.as_bytes()].concat());
    assert_eq!(parse("please: arquivos lista!"), Ok(Request::List));
    assert_eq!(parse("get  3"), Ok(Request::Get(None, None)));
    for bad in ["get", "get x", "get -1", "get 1.5", "forget", "get 99999999999999999999999"] {
        assert_eq!(parse(bad), Ok(Request::Get(None, None)), "{bad}");
    }
    assert_eq!(parse("get 2\n"), Ok(Request::Get(Some(2), None)));
    assert_eq!(parse("get 2 vs1=12"), Ok(Request::Get(Some(2), None)));
    assert_eq!(parse("hello"), Err(Bad::Text));
    assert_eq!(Request::parse(b"12345678\xff\xfe get 1"), Err(Bad::Text));
    assert_eq!(Request::parse(b"1234567"), Err(Bad::Short));
}

#[test]
fn a_list_is_cut_where_a_datagram_is_full() {
    let text = "x".repeat(FRAGMENT + 1);
    let all: Vec<_> = list(&text).collect();
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0][..HEAD], all[0].len()), (&b"\0\0\0\0\0\0\x02\0"[..], 1024));
    assert_eq!(all[1], b"\0\0\0\x01\0\0\x02\0x");
    assert_eq!(list("a#b").next().unwrap(), b"\0\0\0\0\0\0\x01\0a#b");
    assert_eq!(list("").next().unwrap(), b"\0\0\0\0\0\0\x01\0");
}

#[test]
fn fragments_make_up_the_file_and_know_their_batch() {
    for size in [0, 1, 4, 5, 6, 1021, 99_573, 99_574, 199_573, 199_574, 1_000_000] {
        let (mut seq, mut at) = (0, 0);
        while let Some(part) = fragment(seq, size) {
            assert_eq!(part.from, at, "{size}: {seq}");
            assert!(part.len > 0 && part.len <= 1016);
            let batch = (seq / BATCH_FRAGMENTS) * BATCH_FRAGMENTS;
            let count = (batch..).take_while(|s| fragment(*s, size).is_some());
            let count = count.take(99).count();
            assert_eq!(part.window as usize, count, "{size}: {seq}");
            at += u64::from(part.len);
            seq += 1;
        }
        assert_eq!(at, size);
    }
    // From the second batch on as the original cuts: 98 whole ones and 432 bytes.
    let last = fragment(2 * BATCH_FRAGMENTS - 1, 1_000_000).unwrap();
    assert_eq!((last.len, last.window), (432, 99));
    assert_eq!(fragment(0, 1_000_000).unwrap(), Fragment { from: 0, len: 5, window: 99 });
}

#[test]
fn an_ack_of_the_original_is_decimal_text() {
    assert_eq!(plain_ack(4711), b"\0\0\0\0\0\0\x01\x044711");
    assert_eq!(parse_plain_ack(b"\0\0\0\0\0\0\x01\x044711"), Ok(4711));
    assert_eq!(parse_plain_ack(b"\0\0\0\0\0\0\x01\x04"), Err(Bad::Number));
    assert_eq!(parse_plain_ack(b"\0\0\0\0\0\0\x01\x02" as &[u8]), Err(Bad::Type));
    assert_eq!(parse_plain_ack(b"\0\0\0\0\0\0\x01\x0499999999999"), Err(Bad::Number));
}

#[test]
fn the_messages_of_our_own_have_these_bytes() {
    let offer = Offer { nonce: Nonce(1), size: 2, tag: 3, token: 4 };
    let bytes =
        b"\0\0\0\0\0\0\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04";
    assert_eq!(offer.bytes(), bytes);
    assert!(bytes.len() <= 3 * Request::Get(Some(0), Some(Nonce(1))).bytes().len());
    let start = Start { token: 4, from: 5, limit: 6, datagram: 7 };
    let bytes = b"\0\0\0\0\0\0\x01\x11\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\x07";
    assert_eq!(start.bytes(), bytes);
    let ack = Ack { token: 4, limit: 6, datagram: 7, ranges: vec![(8, 9), (2, 5)] };
    let bytes =
        b"\0\0\0\x09\0\0\x01\x13\0\0\0\x04\0\0\0\0\0\0\0\x06\0\x07\x02\0\0\0\x01\0\x02\0\x04";
    assert_eq!(ack.bytes(), bytes);
    assert_eq!(data_head(1, 0x0001_0203_0405_0607), *b"\0\0\0\x01\x01\x02\x03\x12\x04\x05\x06\x07");
    let done = Done { token: 4, verdict: Verdict::Differs };
    assert_eq!(done.bytes(), b"\0\0\0\0\0\0\x01\x15\0\0\0\x04\x01");
    assert_eq!((probe(0).len(), probe(1472).len()), (HEAD, 1472));
    assert_eq!(hash(1, &[7; 32]).len(), HEAD + 40);
    assert_eq!(failed(Why::Changed), b"\0\0\0\0\0\0\x01\x17\x01");
}

#[test]
fn an_ack_that_goes_below_zero_or_has_too_many_ranges_is_refused() {
    let ack = Ack { token: 4, limit: 6, datagram: 7, ranges: vec![(8, 9)] };
    let mut bytes = ack.bytes();
    bytes[26] = 10;
    assert_eq!(Ack::parse(&bytes), Err(Bad::Number));
    let mut bytes = ack.bytes();
    bytes[22] = 255;
    assert_eq!(Ack::parse(&bytes), Err(Bad::Number));
    let mut bytes = ack.bytes();
    bytes[22] = 2;
    assert_eq!(Ack::parse(&bytes), Err(Bad::Short));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        token: u32, limit: u64, datagram: u16,
        steps in prop::collection::vec((1u32..9, 1u32..9), 0..40),
    ) {
        let mut at = 0;
        let mut ranges: Vec<_> = steps.iter().map(|(gap, len)| {
            let first = at + gap;
            at = first + len;
            (first, at - 1)
        }).collect();
        ranges.reverse();
        let ack = Ack { token, limit, datagram, ranges };
        prop_assert_eq!(Ack::parse(&ack.bytes()), Ok(ack));
        let start = Start { token, from: limit / 2, limit, datagram };
        prop_assert_eq!(Start::parse(&start.bytes()), Ok(start));
        let offset = limit >> 8;
        let head = data_head(token, offset);
        let (parsed, _) = Head::split(&head).unwrap();
        let rest = [&head[HEAD..], b"x"].concat();
        prop_assert_eq!(parse_data(parsed, &rest), Ok((offset, &b"x"[..])));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = (Request::parse(&bytes), Offer::parse(&bytes), Start::parse(&bytes));
        let _ = (Ack::parse(&bytes), Done::parse(&bytes), parse_hash(&bytes));
        let _ = (parse_plain_ack(&bytes), parse_failed(&bytes));
    }
}

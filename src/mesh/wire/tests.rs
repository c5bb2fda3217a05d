//! Golden bytes, round trips, and bytes that are no messages.

use core::time::Duration;
use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::base::limits;
use crate::base::time::Wall;

use super::*;

/// Hexadecimal digits of a frame, spaces left out.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn golden(message: &Message, hex: &str) {
    let frame = bytes(hex);
    assert_eq!(message.emit(), frame, "{message:?}");
    let parsed = Parsed { message: message.clone(), used: frame.len() };
    assert_eq!(parse(&frame), Ok(Some(parsed)));
}

fn refused(hex: &str) -> WireError {
    parse(&bytes(hex)).unwrap_err()
}

fn stripes(set: &[usize]) -> Stripes {
    set.iter().copied().collect()
}

pub(in crate::mesh) fn block() -> Block {
    Block {
        seq: 4711,
        stripe: 1,
        stripes: 8,
        length: 1_000,
        range: 25..125,
        air: Wall(-2),
        lasts: Duration::from_secs(2),
        block_hash: [0xaa; 32],
        stripe_hash: [0xbb; 32],
        movie: "m".into(),
        name: "m_00007.ts".into(),
        timeline: None,
    }
}

#[test]
fn a_block_may_say_where_it_lies_on_its_timeline() {
    let timeline = Timeline { since_epoch_ns: -2, first: true, last: false, stands_in: true };
    let lasts = Duration::from_nanos(2_002_000_999);
    let told = Message::Block(Block { timeline: Some(timeline), lasts, ..block() });
    let (plain, whole) = (Message::Block(block()).emit(), told.emit());
    assert_eq!(whole.len(), plain.len() + 11);
    assert!(whole.ends_with(&bytes("fffffffffffffffe 03e7 05")));
    let used = whole.len();
    assert_eq!(parse(&whole), Ok(Some(Parsed { message: told, used })));
    for (at, byte) in [(used - 1, 8), (used - 3, 4)] {
        let mut wrong = whole.clone();
        wrong[at] = byte;
        assert_eq!(parse(&wrong), Err(WireError::Flag));
    }
}

#[test]
fn what_is_sent_all_the_time_is_written_into_memory_of_its_length() {
    let timeline = Timeline { since_epoch_ns: 1, first: false, last: false, stands_in: false };
    let paths = vec![
        Path { stripes: stripes(&[0]), nodes: vec![NodeId(1), NodeId(2)] },
        Path { stripes: stripes(&[1, 2]), nodes: vec![NodeId(3)] },
    ];
    let beat = |paths| Message::Beat(Beat { newest: 1, late: Stripes::EMPTY, paths });
    let with_timeline = Block { timeline: Some(timeline), ..block() };
    let all =
        [beat(Vec::new()), beat(paths), Message::Block(block()), Message::Block(with_timeline)];
    for message in all {
        let frame = message.emit();
        assert_eq!(frame.capacity(), frame.len(), "{message:?}");
    }
}

#[test]
fn a_plain_beat_is_shorter_than_the_head_of_any_block() {
    let beat = Message::Beat(Beat { newest: u64::MAX, late: Stripes::EMPTY, paths: Vec::new() });
    assert_eq!(beat.emit().len(), BEAT_BYTES);
    let shortest = Block { movie: "m".into(), name: "m".into(), timeline: None, ..block() };
    assert!(Message::Block(shortest).emit().len() > BEAT_BYTES);
}

#[test]
fn the_small_messages_are_these_bytes() {
    golden(&Message::Leaving, "564d 01 0f 00000000");
    golden(
        &Message::Gone(Gone { seq: 4711, stripe: 7 }),
        "564d 01 0c 00000009 0000000000001267 07",
    );
    golden(
        &Message::Want(Want { seq: 1, stripe: 15, range: 2..0x0300 }),
        "564d 01 0b 00000011 0000000000000001 0f 00000002 00000300",
    );
    golden(
        &Message::Release(Release { stripes: stripes(&[0, 15]), from: 9 }),
        "564d 01 07 0000000a 8001 0000000000000009",
    );
    golden(
        &Message::Accept(Accept { stripes: stripes(&[1]), first: 3, late: stripes(&[0, 1]) }),
        "564d 01 08 0000000c 0002 0000000000000003 0003",
    );
    golden(
        &Message::Refuse(Refuse { stripes: stripes(&[2]), why: Refused::WouldLoop }),
        "564d 01 09 00000003 0004 02",
    );
}

#[test]
fn joining_is_these_bytes() {
    let hello =
        Hello { node: NodeId(0x0102), epoch: Some(5), ticket: [7; 16], channel: "news".to_owned() };
    golden(
        &Message::Hello(hello),
        "564d 01 01 00000026 0000000000000102 01 0000000000000005
         07070707070707070707070707070707 04 6e657773",
    );
    let join = Join {
        port: 7070,
        slots: 4,
        newest: None,
        forwards: stripes(&[4]),
        held: vec![(0, NodeId(1)), (5, NodeId(2))],
        part: true,
    };
    golden(
        &Message::Join(join),
        "564d 01 02 00000022 1b9e 0004 00 0000000000000000 0010 0021
         0000000000000001 0000000000000002 01",
    );
    let roots = vec![SocketAddr::from(([127, 0, 0, 1], 80))];
    let denial = Denial { reason: "no".to_owned(), roots };
    golden(&Message::Full(denial), "564d 01 05 0000000b 02 6e6f 01 04 7f000001 0050");
}

#[test]
fn a_place_is_these_bytes() {
    let place = Place {
        epoch: 1,
        lead: Duration::from_secs(6),
        newest: 2,
        oldest: 1,
        from: 3,
        ticket: [0; 16],
        peers: vec![Peer { node: NodeId(9), address: SocketAddr::from(([10, 0, 0, 1], 7070)) }],
        parents: vec![Some(0), None],
        heirs: vec![None, Some(0)],
        helpers: vec![(0, stripes(&[1]))],
        children: vec![(NodeId(8), stripes(&[0, 1]))],
    };
    golden(
        &Message::Place(place),
        "564d 01 03 00000059 0000000000000001 00001770 0000000000000002 0000000000000001
         0000000000000003
         00000000000000000000000000000000 01 0000000000000009 04 0a000001 1b9e
         02 00ff ff00 01 00 0002 0001 0000000000000008 0003",
    );
}

#[test]
fn a_block_is_these_bytes() {
    let hash = |byte: &str| byte.repeat(32);
    golden(
        &Message::Block(block()),
        &format!(
            "564d 01 0a 0000006f 0000000000001267 01 08 000003e8 00000019 0000007d
             fffffffffffffffe 001e8480 {} {} 01 6d 0a 6d5f30303030372e7473",
            hash("aa"),
            hash("bb"),
        ),
    );
}

#[test]
fn the_rest_are_these_bytes() {
    let subscribe = Subscribe { stripes: vec![(0, 7), (3, 0)], first: 2, instead: Some(NodeId(6)) };
    golden(
        &Message::Subscribe(subscribe),
        "564d 01 06 0000001b 0009 0000000000000002 01 0000000000000006 00000007 00000000",
    );
    let path = Path { stripes: stripes(&[0]), nodes: vec![NodeId(1), NodeId(2)] };
    golden(
        &Message::Beat(Beat { newest: 3, late: stripes(&[2]), paths: vec![path] }),
        "564d 01 0d 0000001f 0000000000000003 0004 01 0001 0002
         0000000000000001 0000000000000002",
    );
    let loss = Loss { parent: NodeId(1), stripes: stripes(&[0]), now: None };
    let report = Report {
        sent: 1,
        received: 2,
        rescued: 3,
        late: 4,
        goodput: Some(5),
        depth: 6,
        losses: vec![loss],
    };
    golden(
        &Message::Report(report),
        "564d 01 0e 0000003f 0000000000000001 0000000000000002 0000000000000003 0000000000000004
         01 0000000000000005 0006 01 0000000000000001 0001 00 0000000000000000",
    );
}

#[test]
fn strangers_are_told_from_the_first_byte_on() {
    assert_eq!(parse(b""), Ok(None));
    assert_eq!(parse(b"V"), Ok(None));
    assert_eq!(parse(b"G"), Err(WireError::Magic));
    assert_eq!(parse(b"VX"), Err(WireError::Magic));
    assert_eq!(parse(b"VM\x02"), Err(WireError::Version(2)));
    assert_eq!(refused("564d 01 00 00000000"), WireError::Kind(0));
    assert_eq!(refused("564d 01 10 00000000"), WireError::Kind(16));
    assert_eq!(refused("564d 01 0f 00010000"), WireError::Long(0x1_0000));
    assert_eq!(refused("564d 01 0f 00000001 00"), WireError::Trailing(1));
    assert_eq!(refused("564d 01 0c 00000008 0000000000000000"), WireError::Short);
}

#[test]
fn what_does_not_exist_is_not_let_through() {
    assert_eq!(refused("564d 01 0c 00000009 0000000000001267 10"), WireError::Stripes);
    assert_eq!(refused("564d 01 07 0000000a 0000 0000000000000009"), WireError::Stripes);
    assert_eq!(refused("564d 01 09 00000003 0004 06"), WireError::Reason(6));
    let backwards = "564d 01 0b 00000011 0000000000000001 0f 00000003 00000002";
    assert_eq!(refused(backwards), WireError::Range { from: 3, to: 2, length: whole() });
    let far = "564d 01 0b 00000011 0000000000000001 0f 00000003 ffffffff";
    assert_eq!(refused(far), WireError::Range { from: 3, to: u32::MAX, length: whole() });
    let many = format!("564d 01 02 00000011 1b9e ffff 00 {} 0010 0000", "00".repeat(8));
    assert_eq!(refused(&many), WireError::Count { what: "slots", count: 65_535, most: 1_024 });
    let twice = "564d 01 0d 00000013 0000000000000003 0000 02 0001 0000 0003 0000";
    assert_eq!(refused(twice), WireError::Stripes);
    assert_eq!(refused("564d 01 04 00000003 01 ff 00"), WireError::Text);
    assert_eq!(refused("564d 01 04 00000009 00 01 05 7f000001 0050"), WireError::Family(5));
    assert_eq!(
        refused("564d 01 04 00000002 00 41"),
        WireError::Count { what: "roots", count: 65, most: 64 }
    );
}

fn whole() -> u32 {
    u32::try_from(limits::BLOCK_BYTES_MAX).unwrap()
}

#[test]
fn a_block_stays_inside_itself() {
    let check = |change: &dyn Fn(&mut Block)| {
        let mut block = block();
        change(&mut block);
        parse(&Message::Block(block).emit())
    };
    assert!(check(&|_| ()).is_ok());
    let outside = WireError::Range { from: 25, to: 126, length: 1_000 };
    assert_eq!(check(&|b| b.range.end = 126), Err(outside));
    assert!(matches!(check(&|b| b.length = 0), Err(WireError::Range { .. })));
    assert!(matches!(check(&|b| b.length = whole() + 1), Err(WireError::Range { .. })));
    assert_eq!(check(&|b| b.stripe = 8), Err(WireError::Stripes));
    assert_eq!(check(&|b| b.stripes = 17), Err(WireError::Stripes));
    assert_eq!(check(&|b| b.movie = "".into()), Err(WireError::Text));
    assert_eq!(check(&|b| b.movie = "x".repeat(241).into()), Err(WireError::Text));
    assert!(matches!(check(&|b| b.lasts = Duration::ZERO), Err(WireError::Lasts(_))));
    let eight = |length| (0..8).map(|j| stripe_of(length, j, 8).len()).sum::<usize>();
    assert_eq!((eight(1_000), eight(7), eight(whole())), (1_000, 7, whole() as usize));
}

#[test]
fn lists_beyond_their_limits_are_cut_not_refused() {
    let nodes = vec![NodeId(1); limits::MESH_DEPTH_MAX];
    let path = |stripe| Path { stripes: stripes(&[stripe]), nodes: nodes.clone() };
    let beat = Beat { newest: 0, late: Stripes::EMPTY, paths: vec![path(0), path(1)] };
    let frame = Message::Beat(beat).emit();
    let Ok(Some(Parsed { message: Message::Beat(beat), .. })) = parse(&frame) else { panic!() };
    assert_eq!(beat.paths[1].nodes, []);
    let denial = Denial { reason: "\u{fc}".repeat(200), roots: Vec::new() };
    let frame = Message::Wait(denial).emit();
    let Ok(Some(Parsed { message: Message::Wait(denial), .. })) = parse(&frame) else { panic!() };
    assert_eq!(denial.reason.chars().count(), 127);
}

fn any_stripes() -> impl Strategy<Value = Stripes> {
    any::<u16>().prop_map(Stripes::from_bits)
}

fn some_stripes() -> impl Strategy<Value = Stripes> {
    (1..=u16::MAX).prop_map(Stripes::from_bits)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

/// A value for each stripe of any set.
fn by_stripe<T: core::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(u8, T)>> {
    (some_stripes(), vec(value, 16)).prop_map(|(set, values)| {
        set.iter().map(|stripe| u8::try_from(stripe).unwrap()).zip(values).collect()
    })
}

fn place() -> impl Strategy<Value = Place> {
    let peer = (node(), address()).prop_map(|(node, address)| Peer { node, address });
    let lists = (vec(peer, 1..20), 1..=16usize).prop_flat_map(|(peers, stripes)| {
        let count = u8::try_from(peers.len()).unwrap();
        let index = proptest::option::of(0..count);
        let set =
            any::<u16>().prop_map(move |bits| Stripes::from_bits(bits) & Stripes::first(stripes));
        (
            Just(peers),
            vec(index.clone(), stripes),
            vec(index, stripes),
            vec((0..count, set.clone()), 0..=4),
            vec((node(), set), 0..40),
        )
    });
    let numbers = (any::<[u64; 4]>(), any::<u32>(), any::<[u8; 16]>());
    (lists, numbers).prop_map(|((peers, parents, heirs, helpers, children), (n, lead, ticket))| {
        Place {
            epoch: n[0],
            lead: Duration::from_millis(u64::from(lead)),
            newest: n[1],
            oldest: n[3],
            from: n[2],
            ticket,
            peers,
            parents,
            heirs,
            helpers,
            children,
        }
    })
}

fn some_block() -> impl Strategy<Value = Block> {
    let shape = (1..=16u8, 1..=whole()).prop_flat_map(|(stripes, length)| {
        (Just(stripes), Just(length), 0..stripes, any::<(u32, u32)>())
    });
    let rest = (any::<u64>(), any::<i64>(), 100_000..=60_000_000u64, any::<[u8; 32]>());
    (shape, rest, "\\PC{1,60}", "[a-z]{1,200}_[0-9]{5}\\.ts").prop_map(
        |((stripes, length, stripe, (a, b)), (seq, air, micros, hash), movie, name)| {
            let whole = stripe_of(length, stripe, stripes);
            let room = whole.end - whole.start + 1;
            let (a, b) = (a % room, b % room);
            Block {
                seq,
                stripe,
                stripes,
                length,
                range: a.min(b)..a.max(b),
                air: Wall(air),
                lasts: Duration::from_micros(micros),
                timeline: None,
                block_hash: hash,
                stripe_hash: [hash[0]; 32],
                movie: movie.into(),
                name: name.into(),
            }
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    let loss = (node(), some_stripes(), proptest::option::of(node()))
        .prop_map(|(parent, stripes, now)| Loss { parent, stripes, now });
    (any::<[u64; 4]>(), any::<Option<u64>>(), any::<u16>(), vec(loss, 0..=16)).prop_map(
        |(n, goodput, depth, losses)| Report {
            sent: n[0],
            received: n[1],
            rescued: n[2],
            late: n[3],
            goodput,
            depth,
            losses,
        },
    )
}

fn beat() -> impl Strategy<Value = Beat> {
    (any::<u64>(), any_stripes(), by_stripe(vec(node(), 0..30))).prop_map(|(newest, late, ways)| {
        let path = |(stripe, nodes)| Path { stripes: Stripes::one(usize::from(stripe)), nodes };
        Beat { newest, late, paths: ways.into_iter().map(path).collect() }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let hello = (node(), any::<Option<u64>>(), any::<[u8; 16]>(), "\\PC{1,16}")
        .prop_map(|(node, epoch, ticket, channel)| Hello { node, epoch, ticket, channel });
    let parts = (any_stripes(), by_stripe(node()), any::<bool>());
    let join = (any::<u16>(), 0..=1_024u16, any::<Option<u64>>(), parts).prop_map(
        |(port, slots, newest, (forwards, held, part))| Join {
            port,
            slots,
            newest,
            forwards,
            held,
            part,
        },
    );
    let denial = || {
        let parts = ("\\PC{0,60}", vec(address(), 0..=64));
        parts.prop_map(|(reason, roots)| Denial { reason, roots })
    };
    let subscribe = (by_stripe(0..=whole()), any::<u64>(), proptest::option::of(node()))
        .prop_map(|(stripes, first, instead)| Subscribe { stripes, first, instead });
    let want = (any::<u64>(), 0..16u8, 0..=whole(), 0..=whole())
        .prop_map(|(seq, stripe, a, b)| Want { seq, stripe, range: a.min(b)..a.max(b) });
    let answers = prop_oneof![
        (some_stripes(), any::<u64>())
            .prop_map(|(stripes, from)| { Message::Release(Release { stripes, from }) }),
        (some_stripes(), any::<u64>(), any_stripes()).prop_map(|(stripes, first, late)| {
            Message::Accept(Accept { stripes, first, late })
        }),
        (some_stripes(), 0..6usize).prop_map(|(stripes, why)| {
            Message::Refuse(Refuse { stripes, why: Refused::ALL[why] })
        }),
        (any::<u64>(), 0..16u8).prop_map(|(seq, stripe)| Message::Gone(Gone { seq, stripe })),
        Just(Message::Leaving),
    ];
    prop_oneof![
        hello.prop_map(Message::Hello),
        join.prop_map(Message::Join),
        place().prop_map(Message::Place),
        denial().prop_map(Message::Wait),
        denial().prop_map(Message::Full),
        subscribe.prop_map(Message::Subscribe),
        some_block().prop_map(Message::Block),
        want.prop_map(Message::Want),
        beat().prop_map(Message::Beat),
        report().prop_map(Message::Report),
        answers,
    ]
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        let frame = message.emit();
        let used = frame.len();
        prop_assert!(used <= HEAD_BYTES + limits::MESH_FRAME_BYTES_MAX);
        prop_assert_eq!(parse(&frame), Ok(Some(Parsed { message, used })));
    }

    #[test]
    fn a_frame_may_be_split_at_any_byte(message in message(), behind in vec(any::<u8>(), 0..20)) {
        let mut frame = message.emit();
        let used = frame.len();
        for cut in 0..used {
            prop_assert_eq!(parse(&frame[..cut]), Ok(None), "cut at {}", cut);
        }
        frame.extend_from_slice(&behind);
        prop_assert_eq!(parse(&frame), Ok(Some(Parsed { message, used })));
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic(body in vec(any::<u8>(), 0..300), kind in 0..20u8) {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let frame = [&b"VM\x01"[..], &[kind], &length, &body].concat();
        if let Ok(Some(parsed)) = parse(&frame) {
            prop_assert_eq!(parsed.message.emit(), frame);
        }
        let _ = parse(&body);
    }

    #[test]
    fn a_changed_byte_is_a_reason_neither(message in message(), at in any::<usize>(), to: u8) {
        let mut frame = message.emit();
        let at = at % frame.len();
        frame[at] = to;
        if let Ok(Some(parsed)) = parse(&frame) {
            prop_assert_eq!(parsed.message.emit(), &frame[..parsed.used]);
        }
    }
}

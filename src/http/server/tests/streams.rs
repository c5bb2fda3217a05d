//! Answers without end: given block by block, and readers that fall behind.

use super::*;

const NEVER: &str = "GET /never HTTP/1.1\r\nHost: h\r\n\r\n";

/// A world whose one reader has asked for a stream and been given its start.
fn streaming() -> (World, Conn) {
    let mut world = World::new(4, 4);
    world.eager = false;
    let conn = world.connect(1).unwrap();
    world.feed(conn, NEVER.as_bytes());
    assert!(world.server.stream(&mut world.cx, conn, "video/mp2t", b"start"));
    world.settle();
    (world, conn)
}

fn push(world: &mut World, conn: Conn) -> bool {
    let block = Span { blob: world.blob, from: 0, len: LEN };
    let stays = world.server.push(&mut world.cx, conn, block);
    world.settle();
    stays
}

#[test]
fn a_stream_has_no_length_and_goes_on_as_long_as_it_is_read() {
    let (mut world, conn) = streaming();
    for _ in 0..100 {
        assert!(push(&mut world, conn));
        world.take(conn, u64::MAX);
        world.seconds(60);
    }
    let text = world.text(conn);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\r\n\r\nstart"), "{text}");
    assert!(!text.contains("Content-Length"), "{text}");
    let stats = world.server.stats();
    assert_eq!((stats.streams, stats.skipped), (1, 0));
    assert_eq!(stats.body_bytes, 100 * LEN + 5);
    world.server.end_stream(&mut world.cx, conn);
    world.settle();
    assert!(world.seen[&conn].finished && !push(&mut world, conn));
    world.seconds(3);
    assert_eq!(world.seen[&conn].end, Some(End::Flushed));
}

#[test]
fn who_falls_behind_misses_blocks_once_and_is_reset_the_second_time() {
    let (mut world, conn) = streaming();
    let given = |world: &World| world.seen[&conn].bytes.len();
    (0..LAG).for_each(|_| assert!(push(&mut world, conn)));
    let before = given(&world);
    assert!(push(&mut world, conn) && push(&mut world, conn));
    assert_eq!((given(&world), world.server.stats().skipped), (before, 1));
    assert_eq!(world.server.poll_caught_up(), None);
    world.take(conn, u64::MAX);
    assert_eq!(world.server.poll_caught_up(), Some(conn), "it wants the newest");
    (0..LAG).for_each(|_| assert!(push(&mut world, conn)));
    assert!(given(&world) > before);
    assert!(!push(&mut world, conn));
    assert_eq!(world.seen[&conn].end, Some(End::Reset));
    assert_eq!(world.server.stats().lagged, 1);
}

#[test]
fn who_takes_nothing_is_reset_and_a_stream_without_blocks_ends() {
    let (mut world, conn) = streaming();
    assert!(push(&mut world, conn));
    world.pass(limits::HTTP_STALL_MAX);
    assert_eq!((world.seen[&conn].end, world.server.stats().stalled), (Some(End::Reset), 1));
    let (mut world, conn) = streaming();
    world.take(conn, u64::MAX);
    world.pass(limits::HTTP_STREAM_IDLE_MAX);
    assert_eq!(world.seen[&conn].end, Some(End::Flushed));
}

#[test]
fn a_head_of_a_stream_is_only_a_head() {
    let mut world = World::new(4, 4);
    let conn = world.connect(1).unwrap();
    world.feed(conn, NEVER.replace("GET", "HEAD").as_bytes());
    assert!(!world.server.stream(&mut world.cx, conn, "video/mp2t", b"start"));
    world.settle();
    assert!(world.text(conn).ends_with("\r\n\r\n") && world.seen[&conn].finished);
}

//! The way out of a host: so many bytes a second, shared fairly by its connections.

use std::collections::VecDeque;

use vidstreamd::base::port::Conn;

use super::calendar::{Body, Chunk};

/// Bytes of one connection that go out before those of the next.
const QUANTUM: u64 = 32 << 10;

/// The line.
#[derive(Debug, Default)]
pub struct Line {
    /// Bytes a second; 0 when there is no limit.
    rate: u64,
    ring: VecDeque<Conn>,
    going: Option<Box<(u64, Conn, Chunk)>>,
}

impl Line {
    pub fn new(rate: u64) -> Self {
        Self { rate, ..Self::default() }
    }

    pub fn is_limited(&self) -> bool {
        self.rate > 0
    }

    /// When the bytes that are going out are through.
    pub fn done_at(&self) -> u64 {
        self.going.as_ref().map_or(u64::MAX, |going| going.0)
    }

    /// A connection has something to send; one with little goes first.
    pub fn enqueue(&mut self, conn: Conn, small: bool) {
        if small {
            self.ring.push_front(conn);
        } else {
            self.ring.push_back(conn);
        }
    }

    /// Whose turn it is, when the line is free.
    pub fn next_in_turn(&mut self) -> Option<Conn> {
        if self.going.is_some() { None } else { self.ring.pop_front() }
    }

    pub fn begin(&mut self, now: u64, conn: Conn, chunk: Chunk) {
        let takes = u128::from(chunk.len()) * 1_000_000_000 / u128::from(self.rate);
        let at = now + u64::try_from(takes).unwrap_or(u64::MAX / 2);
        self.going = Some(Box::new((at, conn, chunk)));
    }

    pub fn finish(&mut self) -> Option<(Conn, Chunk)> {
        self.going.take().map(|going| (going.1, going.2))
    }
}

/// The first bytes of a queue, as many as go out at a time.
pub fn cut(outbox: &mut VecDeque<Chunk>) -> Option<Chunk> {
    let first = outbox.front_mut()?;
    let Some(body) = first.body.filter(|body| body.len > QUANTUM) else {
        return outbox.pop_front();
    };
    first.body = Some(Body { from: body.from + QUANTUM, len: body.len - QUANTUM, ..body });
    let head = core::mem::take(&mut first.head);
    Some(Chunk { head, body: Some(Body { len: QUANTUM, ..body }) })
}

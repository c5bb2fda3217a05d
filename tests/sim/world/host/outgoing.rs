//! What a host sends: the queues of its connections, the line, and what is counted of it.

use std::collections::VecDeque;

use super::{
    Body, Chunk, Conn, End, Far, Gone, Host, KIND_BLOCK, Net, News, Payload, RETRANSMIT, Reach,
    Span, State, Told, retransmitted, seq_and_stripe,
};

impl Host {
    pub(super) fn send(&mut self, net: &mut Net, conn: Conn, payload: Payload) {
        let body = payload.body.map(|span| self.body(span));
        self.tally(net, conn, &payload.head, body);
        let unlimited = !self.line.is_limited();
        let Some(socket) = self.socket(conn) else { return };
        let chunk = Chunk { head: payload.head, body };
        let free = unlimited && !socket.has_waiting() && !socket.stuck;
        if free && socket.far.is_some() {
            return self.transmit(net, conn, chunk);
        }
        socket.push(chunk);
        self.flush(net, conn);
    }

    fn body(&mut self, span: Span) -> Body {
        let lies = self.lies;
        let Some(bytes) = self.bytes(span.blob) else {
            return Body { seq: None, from: span.from, len: span.len, taint: true };
        };
        let taint = lies || bytes.is_wrong(span);
        Body { seq: bytes.seq, from: span.from, len: span.len, taint }
    }

    fn tally(&mut self, net: &mut Net, conn: Conn, head: &[u8], body: Option<Body>) {
        let root = self.id == 0;
        let length = body.map_or(0, |body| body.len);
        self.log.sent += head.len() as u64 + length;
        net.tally.control += head.len() as u64;
        net.tally.body += length;
        self.log.pushed += length;
        if length == 0 || head.get(3) != Some(&KIND_BLOCK) {
            return;
        }
        let Some(socket) = self.socket(conn) else { return };
        if let Some(begun) = socket.wanted(seq_and_stripe(head)) {
            let sum = if begun { &mut net.tally.pulled } else { &mut net.tally.caught_up };
            *sum += length;
            self.log.pushed -= length;
            net.tally.rescued += if root { length } else { 0 };
        }
    }

    /// Puts what is queued on the line, when there is somebody at the other end.
    pub(super) fn flush(&mut self, net: &mut Net, conn: Conn) {
        let limited = self.line.is_limited();
        while let Some(socket) = self.socket(conn) {
            if socket.far.is_none() || socket.stuck || !socket.has_waiting() {
                return;
            }
            if limited {
                if !core::mem::replace(&mut socket.queued, true) {
                    let small = socket.waiting() < 4_096;
                    self.line.enqueue(conn, small);
                    self.line_next();
                }
                return;
            }
            let Some(chunk) = socket.pop(VecDeque::pop_front) else { return };
            self.transmit(net, conn, chunk);
        }
    }

    /// The next bytes go on the line, when it is free.
    fn line_next(&mut self) {
        let now = self.now();
        while let Some(conn) = self.line.next_in_turn() {
            let Some(socket) = self.socket(conn) else { continue };
            let some = socket.pop(crate::world::line::cut);
            socket.queued = false;
            if let Some(some) = some {
                return self.line.begin(now, conn, some);
            }
        }
    }

    pub(super) fn line_done(&mut self, net: &mut Net) {
        let Some((conn, chunk)) = self.line.finish() else { return };
        self.transmit(net, conn, chunk);
        self.flush(net, conn);
        self.line_next();
        self.settle(net);
    }

    fn transmit(&mut self, net: &mut Net, conn: Conn, chunk: Chunk) {
        let (id, life, now) = (self.id, self.life, self.now());
        let jitter = net.jitter(&mut self.rng);
        let Some(socket) = self.socket(conn) else { return };
        let Some(far) = socket.far else { return };
        let length = chunk.len();
        let reach = net.reach(id, far.host);
        let at = match reach {
            Reach::Open => now,
            Reach::Cut(until) => retransmitted(now, until, RETRANSMIT),
            Reach::Never => u64::MAX,
        };
        socket.stuck = reach != Reach::Open;
        if at != u64::MAX {
            socket.last_at = (at + socket.delay + jitter).max(socket.last_at);
            let here = Far { host: id, life, conn };
            let up = net.status[far.host as usize].state == State::Up && far.host != 0;
            let waits = up && reach == Reach::Open && !net.prompt;
            let sign = chunk.sign_of_life().filter(|_| waits);
            if let Some(sign) = sign {
                net.calendar.post_sign(socket.last_at, (far, here), sign);
            } else {
                let news = News::Bytes(chunk, socket.stuck);
                net.calendar.post(socket.last_at, (far, here), news);
            }
        }
        if reach == Reach::Open {
            net.told.push_back(Told::Sent(conn, length));
        }
    }

    pub(super) fn close(&mut self, net: &mut Net, conn: Conn, end: End) {
        let here = Far { host: self.id, life: self.life, conn };
        if self.socket(conn).is_some() && end == End::Flushed {
            while let Some(chunk) = self
                .socket(conn)
                .filter(|s| s.far.is_some())
                .and_then(|s| s.pop(VecDeque::pop_front))
            {
                self.transmit(net, conn, chunk);
            }
        }
        let now = self.now();
        let id = self.id;
        let Some(socket) = self.socket(conn) else { return };
        if let Some(far) = socket.far.filter(|far| net.reach(id, far.host) == Reach::Open) {
            let news = match end {
                End::Flushed => News::Ended,
                End::Reset => News::Closed(Gone::Reset),
            };
            net.calendar.post((now + socket.delay).max(socket.last_at), (far, here), news);
        }
        net.told.push_back(Told::Closed(conn));
    }

    /// Both ends of all connections that stand.
    pub fn connections(&self) -> impl Iterator<Item = (Far, Far)> {
        let (host, life) = (self.id, self.life);
        let sockets = self.sockets.iter().flatten();
        sockets.filter_map(move |s| Some((s.far?, Far { host, life, conn: s.conn })))
    }
}

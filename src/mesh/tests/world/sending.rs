//! How bytes leave a host: over its uplink, with what is wrong with them where it lies.

use core::time::Duration;

use crate::base::port::{Conn, End, Gone, Payload};

use super::{CHUNK, DRIP_EVERY, DROP, LATENCY, News, Told, World, other, trouble};

impl World {
    pub(super) fn send(&mut self, host: usize, conn: Conn, payload: &Payload) {
        let it = &mut self.hosts[host];
        let mut bytes = payload.head.to_vec();
        if let Some(span) = payload.body {
            let from = usize::try_from(span.from).unwrap();
            let len = usize::try_from(span.len).unwrap();
            let mut body = it.blobs[&span.blob][from..from + len].to_vec();
            if it.lies {
                body[0] ^= 1;
            }
            if it.deceives {
                body[0] ^= 1;
                bytes = trouble::agreeing(&bytes, &body);
            }
            if it.forges {
                bytes = trouble::forged(&bytes);
            }
            bytes.extend(body);
        }
        let Some(socket) = it.sockets.get_mut(&conn) else { return };
        let mut posts = Vec::new();
        for chunk in bytes.chunks(if it.drips { DROP } else { CHUNK }) {
            if it.drips {
                let rest = if payload.body.is_some() { DRIP_EVERY } else { Duration::ZERO };
                socket.free_at = socket.free_at.max(self.mono).after(rest);
                posts.push((socket.free_at, chunk.to_vec()));
                continue;
            }
            let takes = Duration::from_nanos(chunk.len() as u64 * 1_000_000_000 / it.rate);
            it.uplink = it.uplink.max(self.mono).after(takes);
            socket.free_at = it.uplink;
            posts.push((it.uplink, chunk.to_vec()));
        }
        let end = socket.end;
        for (at, chunk) in posts {
            self.post(at, end, News::Sent(chunk.len() as u64));
            self.post(at.after(LATENCY), other(end), News::Bytes(chunk));
        }
    }

    pub(super) fn close(&mut self, host: usize, conn: Conn, how: End) {
        let Some(socket) = self.hosts[host].sockets.get(&conn) else { return };
        let (at, news) = match how {
            End::Flushed => (socket.free_at.max(self.mono), News::Ended),
            End::Reset => (self.mono, News::Closed(Gone::Reset)),
        };
        self.post(at.after(LATENCY), other(socket.end), news);
        self.hosts[host].told.push_back(Told::Closed(conn));
    }
}

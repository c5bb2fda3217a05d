//! What is answered: from what is made at once, else as soon as it is. And the viewers of endless
//! answers, who are given each block when it is there.

use crate::base::port::Conn;
use crate::container::{Output, Signature};
use crate::http::hls::{Form, Name};
use crate::http::wire::Tag;
use crate::http::{Body, Response, Server};
use crate::node::Node;
use crate::node::edge::make::Made;
use crate::node::edge::{Key, Stage, Viewer, Want};
use crate::node::site::FOR_EVER;

/// What comes of a request now.
#[derive(Debug)]
pub(super) enum Reply {
    /// This.
    Is(Response),
    /// Nothing: something has still to be made.
    Later,
    /// An endless answer has begun.
    Begun,
}

impl Node {
    /// Answers a request for what players take; nothing when the answer comes later.
    pub(in crate::node) fn edge_answer(
        &mut self,
        conn: Conn,
        channel: usize,
        want: Want,
    ) -> Option<Response> {
        match self.edge_reply(conn, channel, want) {
            Reply::Is(response) => Some(response),
            Reply::Begun => None,
            Reply::Later => {
                self.edge.waiting.push((conn, channel, want));
                None
            }
        }
    }

    /// Tries everything anew that waits.
    pub(super) fn edge_retry(&mut self) {
        for (conn, channel, want) in core::mem::take(&mut self.edge.waiting) {
            if !self.cx.is_open(conn) {
                continue;
            }
            let response = self.edge_answer(conn, channel, want);
            if let (Some(response), Some(http)) = (response, &mut self.http) {
                http.respond(&mut self.cx, conn, response);
            }
        }
    }

    fn edge_reply(&mut self, conn: Conn, channel: usize, want: Want) -> Reply {
        let Some(state) = self.channels.get(channel) else {
            return Reply::Is(Response::not_found());
        };
        match want {
            Want::Live(output) => match state.window.live().map(|block| block.seq) {
                Some(seq) => self.edge_made((channel, seq), |node| {
                    node.edge_begin(conn, (channel, seq), output)
                }),
                None => Reply::Is(off_air()),
            },
            Want::File(Name::Playlist(form)) => self.edge_playlist(channel, form),
            Want::Reload(form, seq) => self.edge_reload(channel, form, seq),
            Want::Nonsense => Reply::Is(Response::text(400, "_HLS_msn and _HLS_part are numbers")),
            Want::File(Name::Segment(form, run, seq)) => {
                if let Err(response) = self.edge_can_have(channel, run, seq) {
                    return Reply::Is(response);
                }
                let key = (channel, seq);
                self.edge_made(key, |node| Reply::Is(node.edge_segment(key, form)))
            }
            Want::File(Name::Init(signature)) => self.edge_init(channel, signature),
        }
    }

    /// What comes of a block, once it is made.
    fn edge_made(&mut self, key: Key, then: impl FnOnce(&mut Self) -> Reply) -> Reply {
        self.edge_want(key);
        match self.edge.slots.get(&key).map(|slot| &slot.stage) {
            None => Reply::Is(Response::text(404, "there is no such block")),
            Some(Stage::Bad(why)) => Reply::Is(Response::text(404, why)),
            Some(Stage::Opening(_) | Stage::Reading { .. }) => Reply::Later,
            Some(Stage::Made(_)) => then(self),
        }
    }

    fn edge_segment(&self, key: Key, form: Form) -> Response {
        let Some(made) = self.edge.made(key) else { return off_air() };
        match made.span(output_of(form)) {
            Ok(span) => {
                let body = Body::Blob { blob: span.blob, len: span.len };
                let name = format!("{:x}-{:x}-{:x}", key.1, made.signature().0, span.len);
                lasting(form.media_type(), body, name)
            }
            Err(why) => Response::text(404, why),
        }
    }

    /// The init segment of a signature, from any block that has it.
    fn edge_init(&mut self, channel: usize, signature: Signature) -> Reply {
        let of_channel = (channel, 0)..=(channel, u64::MAX);
        let made = |node: &Self| {
            let mut slots = node.edge.slots.range(of_channel.clone());
            let has = |made: &&Made| made.signature() == signature;
            slots.find_map(|(_, slot)| slot.stage.made().filter(has)?.init.clone().ok())
        };
        if made(self).is_none() {
            match self.edge_window(channel) {
                Ok(Some(_)) => {}
                Ok(None) => return Reply::Later,
                Err(response) => return Reply::Is(response),
            }
        }
        Reply::Is(match made(self) {
            Some(init) => {
                let name = format!("{:x}-{:x}", signature.0, init.len());
                lasting(Form::Mp4.media_type(), Body::Bytes(init), name)
            }
            None => Response::text(404, "no block that is listed now has these parameters"),
        })
    }

    /// Begins an endless answer with the block on the air.
    fn edge_begin(&mut self, conn: Conn, key: Key, output: Output) -> Reply {
        let (channel, last) = key;
        let Some(made) = self.edge.made(key) else { return Reply::Is(off_air()) };
        let (start, span) = match made.start(output).and_then(|s| Ok((s, made.span(output)?))) {
            Ok(found) => found,
            Err(why) => return Reply::Is(Response::text(404, why)),
        };
        let Some(http) = self.http.as_mut() else { return Reply::Begun };
        let media_type = match output {
            Output::Mkv => "video/x-matroska",
            Output::Mp4 => "video/mp4",
            Output::Ts => "video/mp2t",
        };
        if http.stream(&mut self.cx, conn, media_type, start) && http.push(&mut self.cx, conn, span)
        {
            let signature = made.signature();
            self.edge.viewers.push(Viewer { conn, channel, output, signature, last });
        }
        Reply::Begun
    }

    /// Gives a block to every viewer of its channel.
    pub(super) fn edge_push(&mut self, key: Key) {
        let (channel, seq) = key;
        let Some(http) = &mut self.http else { return self.edge.viewers.clear() };
        let edge = &mut self.edge;
        let Some(made) = edge.slots.get(&key).and_then(|slot| slot.stage.made()) else { return };
        let cx = &mut self.cx;
        edge.viewers.retain_mut(|viewer| {
            if viewer.channel != channel || viewer.last >= seq {
                return true;
            }
            viewer.last = seq;
            // Only ts can change its parameters in mid-stream: the others end, and are asked anew.
            let same = viewer.output == Output::Ts || viewer.signature == made.signature();
            match made.span(viewer.output) {
                Ok(span) if same => http.push(cx, viewer.conn, span),
                _ => {
                    http.end_stream(cx, viewer.conn);
                    false
                }
            }
        });
    }

    /// Gives the newest block to those who missed some and have taken all others.
    pub(in crate::node) fn edge_catch_up(&mut self) {
        while let Some(conn) = self.http.as_mut().and_then(Server::poll_caught_up) {
            let Some(viewer) = self.edge.viewers.iter_mut().find(|v| v.conn == conn) else {
                continue;
            };
            let live = self.channels.get(viewer.channel).and_then(|channel| channel.window.live());
            let Some(seq) = live.map(|block| block.seq) else { continue };
            // The newest may be what was left out for it last.
            viewer.last = viewer.last.min(seq.saturating_sub(1));
            let key = (viewer.channel, seq);
            self.edge_push(key);
        }
    }

    /// Whether a segment may be had now, by its run and number.
    fn edge_can_have(&mut self, channel: usize, run: u64, seq: u64) -> Result<(), Response> {
        let (first, last) = self.edge_range(channel).ok_or_else(off_air)?;
        // Whoever has just read an old playlist may still ask for its first segments.
        let first = first.saturating_sub(last - first + 1);
        if self.edge_run(channel) != Some(run) {
            Err(Response::text(410, "this programme is not on any more"))
        } else if seq > last {
            Err(Response::text(404, "this block is not on the air yet"))
        } else if seq < first {
            Err(Response::text(410, "the time of this block is over"))
        } else {
            Ok(())
        }
    }
}

pub(super) fn output_of(form: Form) -> Output {
    match form {
        Form::Mp4 => Output::Mp4,
        Form::Ts => Output::Ts,
    }
}

pub(super) fn off_air() -> Response {
    Response::text(503, "nothing is on the air").with("Retry-After", "1")
}

/// What never changes under its name.
fn lasting(media_type: &str, body: Body, opaque: String) -> Response {
    Response {
        status: 200,
        headers: vec![
            ("Content-Type", media_type.to_owned()),
            ("Cache-Control", FOR_EVER.to_owned()),
            ("Access-Control-Allow-Origin", "*".to_owned()),
        ],
        body,
        etag: Some(Tag { weak: false, opaque }),
        last_modified: None,
    }
}

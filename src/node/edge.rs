//! The edge: what players take, made of a channel's blocks by [`crate::container`] once a block and
//! shared by all who watch or ask. Endless answers (`/ch/0.mkv`, `.mp4`, `.ts`) follow the window;
//! playlists follow the schedule, and a segment that this node has not aired itself is made of its
//! file. Nothing is made before somebody asks.
//!
//! | slot | what is here | goes to |
//! |---|---|---|
//! | opening | a file that io maps | reading, bad |
//! | reading | a block that io reads into memory | made, bad |
//! | made | the outputs, as blobs | |
//! | bad | why there are none | |

mod make;
mod paths;

use std::collections::BTreeMap;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Facts, Level, Output as Act, Span};
use crate::base::text::escaped;
use crate::channel::playout::Playout;
use crate::container::{Clock, Output, Signature};
use crate::http::hls::{self, Form, Name};
use crate::http::wire::Tag;
use crate::http::{Body, Response};
use crate::media::schedule::Schedule;
use crate::node::Node;
use crate::node::site::FOR_EVER;

use make::Made;
pub(super) use paths::{Want, want};

/// A channel's number and a block's.
type Key = (usize, u64);

/// What is made and who waits for it.
#[derive(Default, Debug)]
pub(super) struct Edge {
    slots: BTreeMap<Key, Slot>,
    /// Requests whose block is not made yet.
    waiting: Vec<(Conn, Key, Want)>,
    viewers: Vec<Viewer>,
    plans: BTreeMap<usize, hls::Plan>,
    /// Where the last block of a channel without a schedule lies on its timeline.
    chains: BTreeMap<usize, Clock>,
}

#[derive(Debug)]
struct Slot {
    stage: Stage,
    /// The block that stands in for the scheduled one is no segment: its parameters are others.
    replaced: bool,
}

#[derive(Debug)]
enum Stage {
    Opening(Blob),
    Reading {
        source: Span,
        /// Whether the blob is the edge's, not the window's.
        own: bool,
    },
    Made(Made),
    Bad(String),
}

impl Stage {
    fn blobs(&self) -> Vec<Blob> {
        match self {
            Self::Opening(blob) => vec![*blob],
            Self::Reading { source, own } => own.then_some(source.blob).into_iter().collect(),
            Self::Made(made) => made.blobs().collect(),
            Self::Bad(_) => Vec::new(),
        }
    }
}

/// Somebody with an endless answer.
#[derive(Debug)]
struct Viewer {
    conn: Conn,
    channel: usize,
    output: Output,
    signature: Signature,
    /// The last block that it was given, or that was left out for it.
    last: u64,
}

impl Edge {
    /// Blobs that it holds.
    pub(super) fn blobs(&self) -> usize {
        self.slots.values().map(|slot| slot.stage.blobs().len()).sum()
    }

    /// Endless answers of a channel.
    pub(super) fn viewers(&self, channel: usize) -> usize {
        self.viewers.iter().filter(|viewer| viewer.channel == channel).count()
    }

    fn change(&mut self, cx: &mut Cx, key: Key, stage: Stage) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let old = core::mem::replace(&mut slot.stage, stage);
        old.blobs().into_iter().for_each(|blob| cx.release(blob));
    }

    fn forget(&mut self, cx: &mut Cx, which: impl Fn(&Key) -> bool) {
        let keys: Vec<Key> = self.slots.keys().filter(|key| which(key)).copied().collect();
        for slot in keys.into_iter().filter_map(|key| self.slots.remove(&key)) {
            slot.stage.blobs().into_iter().for_each(|blob| cx.release(blob));
        }
    }

    fn find(&self, wanted: impl Fn(&Stage) -> bool) -> Option<Key> {
        self.slots.iter().find(|(_, slot)| wanted(&slot.stage)).map(|(key, _)| *key)
    }

    fn plan(&mut self, channel: usize, schedule: &Schedule) -> &hls::Plan {
        self.plans.entry(channel).or_insert_with(|| hls::Plan::of(schedule))
    }
}

impl Node {
    /// Answers a request for what players take; nothing when the answer comes later.
    pub(super) fn edge_answer(
        &mut self,
        conn: Conn,
        channel: usize,
        want: Want,
    ) -> Option<Response> {
        let Some(state) = self.channels.get(channel) else { return Some(Response::not_found()) };
        let schedule = state.playout.as_ref().map(Playout::schedule);
        let seq = match (want, schedule) {
            (Want::Live(_), _) => match state.window.live() {
                Some(block) => block.seq,
                None => return Some(off_air()),
            },
            (Want::File(Name::Playlist(form)), Some(schedule)) => {
                let base = self.config.http.as_ref().and_then(|h| h.segment_base_url.as_deref());
                let base = base.map_or_else(String::new, |base| format!("{base}ch/{channel}/"));
                let plan = self.edge.plan(channel, schedule);
                return Some(hls::response((schedule, plan), form, &base, self.cx.now.wall));
            }
            (Want::File(name), Some(schedule)) => match block_of(schedule, name, &self.cx) {
                Ok(seq) => seq,
                Err(response) => return Some(response),
            },
            (Want::File(_), None) => return Some(Response::not_found()),
        };
        self.edge_want((channel, seq));
        self.edge_serve(conn, (channel, seq), want)
    }

    /// Answers from a slot; nothing while it is not made, or when an endless answer has begun.
    fn edge_serve(&mut self, conn: Conn, key: Key, want: Want) -> Option<Response> {
        let Some(slot) = self.edge.slots.get(&key) else { return Some(off_air()) };
        let made = match &slot.stage {
            Stage::Made(made) => made,
            Stage::Bad(why) => return Some(Response::text(404, why)),
            Stage::Opening(_) | Stage::Reading { .. } => {
                self.edge.waiting.push((conn, key, want));
                return None;
            }
        };
        match want {
            Want::File(_) if slot.replaced => {
                Some(Response::text(404, "the filler stands in for this block"))
            }
            Want::File(Name::Init(_)) => Some(match &made.init {
                Ok(init) => lasting(Form::Mp4.media_type(), Body::Bytes(init.clone()), made),
                Err(why) => Response::text(404, why),
            }),
            Want::File(Name::Segment(form, _)) => Some(match made.span(output_of(form)) {
                Ok(span) => {
                    let body = Body::Blob { blob: span.blob, len: span.len };
                    lasting(form.media_type(), body, made)
                }
                Err(why) => Response::text(404, why),
            }),
            Want::File(Name::Playlist(_)) => Some(Response::not_found()),
            Want::Live(output) => self.edge_begin(conn, key, output),
        }
    }

    /// Begins an endless answer with the block on the air.
    fn edge_begin(&mut self, conn: Conn, (channel, seq): Key, output: Output) -> Option<Response> {
        let slot = self.edge.slots.get(&(channel, seq))?;
        let Stage::Made(made) = &slot.stage else { return Some(off_air()) };
        let (start, span) = match made.start(output).and_then(|s| Ok((s, made.span(output)?))) {
            Ok(found) => found,
            Err(why) => return Some(Response::text(404, why)),
        };
        let http = self.http.as_mut()?;
        let media_type = match output {
            Output::Mkv => "video/x-matroska",
            Output::Mp4 => "video/mp4",
            Output::Ts => "video/mp2t",
        };
        if http.stream(&mut self.cx, conn, media_type, start) && http.push(&mut self.cx, conn, span)
        {
            let signature = made.signature;
            self.edge.viewers.push(Viewer { conn, channel, output, signature, last: seq });
        }
        None
    }

    /// Has a block made, unless that is done or under way.
    fn edge_want(&mut self, (channel, seq): Key) {
        let Some(from) = self.channels.get(channel) else { return };
        if self.edge.slots.contains_key(&(channel, seq)) {
            return;
        }
        let (stage, replaced) = if let Some(block) = from.window.get(seq) {
            self.cx.out.push_back(Act::Read { span: block.span() });
            (Stage::Reading { source: block.span(), own: false }, block.replaced)
        } else {
            let schedule = from.playout.as_ref().map(Playout::schedule);
            let position = schedule.and_then(|schedule| schedule.position(seq));
            let path = position.and_then(|p| p.movie.path(p.block));
            match path.and_then(|path| self.cx.open(path)) {
                Some(blob) => (Stage::Opening(blob), false),
                None => (Stage::Bad("this block cannot be opened".to_owned()), false),
            }
        };
        self.edge.slots.insert((channel, seq), Slot { stage, replaced });
    }

    /// A file that was asked for is open. `false`: it was not the edge's.
    pub(super) fn edge_opened(&mut self, blob: Blob, facts: Facts<'_>) -> bool {
        let opening = |stage: &Stage| matches!(stage, Stage::Opening(b) if *b == blob);
        let Some(key) = self.edge.find(opening) else { return false };
        let source = Span { blob, from: 0, len: facts.len };
        if let Some(slot) = self.edge.slots.get_mut(&key) {
            slot.stage = Stage::Reading { source, own: true };
        }
        self.cx.out.push_back(Act::Read { span: source });
        true
    }

    /// A file cannot be read, or there is no memory for an output. `false`: it was not the edge's.
    pub(super) fn edge_unreadable(&mut self, blob: Blob, why: &str) -> bool {
        let Some(key) = self.edge.find(|stage| stage.blobs().contains(&blob)) else {
            return false;
        };
        self.edge.change(&mut self.cx, key, Stage::Bad(escaped(why.as_bytes())));
        self.edge_settle(key);
        true
    }

    /// The bytes of a block are in memory: its outputs are made of them.
    pub(super) fn edge_read(&mut self, span: Span, bytes: Option<&[u8]>) {
        let reading =
            |stage: &Stage| matches!(stage, Stage::Reading { source, .. } if *source == span);
        let Some(key) = self.edge.find(reading) else { return };
        let made = match bytes {
            Some(bytes) => self.edge_make(key, bytes),
            None => Err("its file is not what it was".to_owned()),
        };
        let stage = made.map_or_else(
            |why| {
                let (channel, seq) = key;
                let text = format!("channel {channel}: block {seq} is not for players: {why}");
                self.lines.push_back((Level::Warn, text));
                Stage::Bad(why)
            },
            Stage::Made,
        );
        self.edge.change(&mut self.cx, key, stage);
        self.edge_settle(key);
    }

    fn edge_make(&mut self, (channel, seq): Key, bytes: &[u8]) -> Result<Made, String> {
        let block = crate::container::read(bytes).map_err(|why| why.to_string())?;
        let playout = self.channels.get(channel).and_then(|state| state.playout.as_ref());
        let clock = match playout.map(Playout::schedule) {
            Some(schedule) => {
                let position = schedule.position(seq).ok_or("the schedule ends before it")?;
                Clock::of(schedule, &position)
            }
            None => self.edge.follow(channel, seq, block.lasts_ns),
        };
        Made::of(&mut self.cx, bytes, &block, &clock).ok_or_else(|| "too many blobs".to_owned())
    }

    /// A block is made, or will not be: those who wait for it are answered, viewers get it.
    fn edge_settle(&mut self, key: Key) {
        let mine = |(_, of, _): &(Conn, Key, Want)| *of == key;
        let waiting: Vec<_> = self.edge.waiting.extract_if(.., |w| mine(w)).collect();
        self.edge_push(key);
        for (conn, key, want) in waiting {
            let response = self.edge_serve(conn, key, want);
            if let (Some(response), Some(http)) = (response, &mut self.http) {
                http.respond(&mut self.cx, conn, response);
            }
        }
    }

    /// Gives a block to every viewer of its channel.
    fn edge_push(&mut self, (channel, seq): Key) {
        let Some(http) = &mut self.http else { return self.edge.viewers.clear() };
        let Some(Stage::Made(made)) = self.edge.slots.get(&(channel, seq)).map(|s| &s.stage) else {
            return;
        };
        let cx = &mut self.cx;
        self.edge.viewers.retain_mut(|viewer| {
            if viewer.channel != channel || viewer.last >= seq {
                return true;
            }
            viewer.last = seq;
            // Only ts can change its parameters in mid-stream: the others end, and are asked anew.
            let same = viewer.output == Output::Ts || viewer.signature == made.signature;
            match made.span(viewer.output) {
                Ok(span) if same => http.push(cx, viewer.conn, span),
                _ => {
                    http.end_stream(cx, viewer.conn);
                    false
                }
            }
        });
    }

    /// A block went on the air: it is made if somebody watches, and what is old is forgotten.
    pub(super) fn edge_aired(&mut self, channel: usize, seq: u64) {
        let oldest = seq.saturating_sub(2 * limits::HLS_SEGMENTS);
        self.edge.forget(&mut self.cx, |(of, block)| {
            *of == channel && (*block < oldest || *block > seq)
        });
        if self.edge.viewers(channel) > 0 {
            self.edge_want((channel, seq));
            self.edge_push((channel, seq));
        }
    }

    /// Schedules may be others now, or the node stops: all that was made is forgotten.
    pub(super) fn edge_reset(&mut self) {
        self.edge.forget(&mut self.cx, |_| true);
        self.edge.plans.clear();
        for (conn, _, _) in core::mem::take(&mut self.edge.waiting) {
            self.http.iter_mut().for_each(|http| http.respond(&mut self.cx, conn, off_air()));
        }
    }
}

impl Edge {
    /// The place of a block that no schedule names: behind the one before.
    fn follow(&mut self, channel: usize, seq: u64, lasts_ns: u64) -> Clock {
        let starts_ns = self.chains.get(&channel).map_or(0, |before| {
            let blocks = i64::try_from(seq.saturating_sub(before.seq)).unwrap_or(i64::MAX);
            let lasts = i64::try_from(before.lasts_ns).unwrap_or(i64::MAX);
            before.starts_ns.saturating_add(blocks.saturating_mul(lasts))
        });
        let clock = Clock { seq, starts_ns, lasts_ns, first: false, last: false };
        self.chains.insert(channel, clock);
        clock
    }
}

/// The block of which a segment or an init segment is made.
fn block_of(schedule: &Schedule, name: Name, cx: &Cx) -> Result<u64, Response> {
    let absent = || Response::text(404, "this block is not on the air yet");
    let (first, last) = hls::range(schedule, cx.now.wall).ok_or_else(off_air)?;
    // Whoever has just read an old playlist may still ask for its first segments.
    let first = first.saturating_sub(limits::HLS_SEGMENTS);
    let over = || Response::text(410, "the time of this block is over");
    match name {
        Name::Segment(_, seq) if seq > last => Err(absent()),
        Name::Segment(_, seq) if seq < first => Err(over()),
        Name::Segment(_, seq) => Ok(seq),
        Name::Init(airing) if airing > last => Err(absent()),
        Name::Init(airing) => {
            let seq = airing.max(first);
            let same = schedule.position(seq).is_some_and(|p| hls::airing(&p) == airing);
            if same { Ok(seq) } else { Err(over()) }
        }
        Name::Playlist(_) => Err(Response::not_found()),
    }
}

fn output_of(form: Form) -> Output {
    match form {
        Form::Mp4 => Output::Mp4,
        Form::Ts => Output::Ts,
    }
}

fn off_air() -> Response {
    Response::text(503, "nothing is on the air").with("Retry-After", "1")
}

/// What never changes under its name.
fn lasting(media_type: &str, body: Body, made: &Made) -> Response {
    let opaque = format!("{:x}-{:x}-{:x}", made.seq, made.signature.0, body.len());
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

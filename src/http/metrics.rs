//! The status document in the words of `OpenMetrics` 1.0, for `/metrics`. Words only: every number
//! was counted elsewhere. [`crate::http::document`] calls it.

use core::fmt::{self, Write as _};

use crate::base::stats::Histogram;
use crate::base::status::{
    Answers, CHANNEL_STATES, ChannelStatus, EventsStatus, FilesStatus, HttpStatus, JukeboxStatus,
    MeshStatus, ReceiveStatus, STORE_STATES, Status, StoreStatus, TvStatus,
};
use crate::base::text;

/// What [`exposition`] is, for `Content-Type`.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole document, `# EOF` and all.
#[must_use]
pub fn exposition(status: &Status) -> String {
    let mut page = Page::default();
    let node = &status.node;
    page.info(
        "build",
        "Which program this is.",
        &[&[("role", node.role), ("version", node.version)]],
    );
    page.plain(&NODE, status);
    channels(&mut page, &status.channels);
    if let Some(tv) = &status.tv {
        page.plain(&TV, tv);
        let help = "From a block's start to its last byte taken, a client.";
        page.histograms("tv_delivery", help, &[(&[], &tv.delivery)]);
    }
    page.plain(&HTTP, &status.http);
    answers(&mut page, &status.http.answers);
    if let Some(receive) = &status.receive {
        let channel = receive.channel.to_string();
        let labels = [("server", receive.server.as_str()), ("channel", &channel)];
        page.info("receive", "What is watched.", &[&labels]);
        page.states(
            "receive_state",
            "What is being done about it.",
            &[receive.state],
            [(vec![], receive.state)],
        );
        page.plain(&RECEIVE, receive);
    }
    if let Some(store) = &status.store {
        page.info("store", "Where blocks are stored.", &[&[("directory", &store.directory)]]);
        page.states(
            "store_state",
            "Whether blocks can be stored.",
            &STORE_STATES,
            [(vec![], store.state)],
        );
        page.plain(&STORE, store);
    }
    meshes(&mut page, &status.mesh);
    if let Some(jukebox) = &status.jukebox {
        page.plain(&JUKEBOX, jukebox);
    }
    if let Some(events) = &status.events {
        page.plain(&EVENTS, events);
    }
    if let Some(files) = &status.files {
        page.plain(&FILES, files);
    }
    page.text.push_str("# EOF\n");
    page.text
}

/// One number, as the document writes it.
#[derive(Clone, Copy)]
enum Value {
    Count(u64),
    Real(f64),
}

/// What kind of number.
#[derive(Clone, Copy)]
enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One family of numbers: its name without prefix, what it tells and where it stands.
struct Family<T> {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<Value>,
}

const fn counter<T>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<Value>,
) -> Family<T> {
    Family { kind: Kind::Counter, name, help, value }
}

const fn gauge<T>(
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<Value>,
) -> Family<T> {
    Family { kind: Kind::Gauge, name, help, value }
}

const NODE: [Family<Status>; 7] = [
    gauge("uptime_seconds", "Time since the start.", |s| real(s.node.uptime_s)),
    gauge("connections", "Connections of every kind.", |s| count(s.node.connections)),
    gauge("timers", "Timers armed.", |s| count(s.node.timers)),
    gauge("blobs", "Blocks mapped or being received.", |s| count(s.node.blobs)),
    counter("reloads", "Configurations applied since the start.", |s| count(s.node.reloads)),
    counter("loop_turns", "Turns of the loop.", |s| count(s.node.loop_turns)),
    counter("log_lines_dropped", "Log lines that could not be written.", |s| {
        count(s.log_lines_dropped)
    }),
];

const CHANNEL: [Family<ChannelStatus>; 9] = [
    gauge("channel_viewers", "Clients of the tv server.", |c| size(c.viewers_tv)),
    gauge("channel_viewers_max", "The most of them that are taken.", |c| size(c.max_clients)),
    counter("channel_blocks_aired", "Blocks that went on the air.", |c| count(c.blocks_aired)),
    counter("channel_blocks_replaced", "Blocks that the filler stood in for.", |c| {
        count(c.blocks_replaced)
    }),
    counter("channel_blocks_skipped", "Blocks that nothing stood in for.", |c| {
        count(c.blocks_skipped)
    }),
    gauge("channel_on_air_seq", "Number of the block on the air.", |c| {
        count(c.on_air.as_ref()?.seq)
    }),
    gauge("channel_on_air_bytes", "Size of the block on the air.", |c| {
        count(c.on_air.as_ref()?.bytes)
    }),
    gauge("channel_window_first_seq", "First block that can be had.", |c| count(c.window?.0)),
    gauge("channel_window_last_seq", "Last block that can be had.", |c| count(c.window?.1)),
];

const TV: [Family<TvStatus>; 12] = [
    gauge("tv_clients", "Clients on all channels.", |t| size(t.clients)),
    gauge("tv_dials", "Callbacks being dialled.", |t| size(t.dials)),
    counter("tv_joins", "Joins answered with 10.", |t| count(t.joins)),
    counter("tv_joins_full", "Joins answered with 00.", |t| count(t.full)),
    counter("tv_leaves", "Clients that left.", |t| count(t.leaves)),
    counter("tv_removed", "Clients that were removed.", |t| count(t.removed)),
    counter("tv_strikes", "Failures held against clients.", |t| count(t.strikes)),
    counter("tv_commands", "Commands understood.", |t| count(t.commands)),
    counter("tv_bad_commands", "Commands not understood.", |t| count(t.bad_commands)),
    counter("tv_refused_callbacks", "Callbacks that the configuration forbids.", |t| {
        count(t.refused_callbacks)
    }),
    counter("tv_blocks_sent", "Blocks delivered whole.", |t| count(t.blocks_sent)),
    counter("tv_sent_bytes", "Bytes of blocks that the kernel took.", |t| count(t.bytes_sent)),
];

const HTTP: [Family<HttpStatus>; 10] = [
    gauge("http_connections", "Connections of the HTTP server.", |h| size(h.connections)),
    counter("http_accepted", "Connections taken.", |h| count(h.accepted)),
    counter("http_refused", "Connections refused.", |h| count(h.refused)),
    counter("http_evicted", "Idle connections closed to make room.", |h| count(h.evicted)),
    counter("http_slow_heads", "Request heads that did not come in time.", |h| count(h.slow_heads)),
    counter("http_stalled", "Readers that took nothing.", |h| count(h.stalled)),
    counter("http_streams", "Endless answers begun.", |h| count(h.streams)),
    counter("http_skipped", "Endless answers that left blocks out.", |h| count(h.skipped)),
    counter("http_lagged", "Endless answers too far behind.", |h| count(h.lagged)),
    counter("http_body_bytes", "Bytes of bodies that the kernel took.", |h| count(h.body_bytes)),
];

const RECEIVE: [Family<ReceiveStatus>; 5] = [
    counter("receive_blocks", "Blocks received whole.", |r| count(r.blocks)),
    counter("receive_bytes", "Their bytes.", |r| count(r.bytes)),
    counter("receive_joins", "Joins that the server took.", |r| count(r.joins)),
    counter("receive_rejected", "Connections and blocks turned away.", |r| count(r.rejected)),
    gauge("receive_period_seconds", "Time between two blocks.", |r| real(r.period_s)),
];

const STORE: [Family<StoreStatus>; 5] = [
    gauge("store_blocks", "Blocks in the store.", |s| size(s.blocks)),
    gauge("store_bytes", "Their bytes.", |s| count(s.bytes)),
    counter("store_blocks_stored", "Blocks stored.", |s| count(s.stored)),
    counter("store_blocks_failed", "Blocks that could not be stored.", |s| count(s.failed)),
    counter("store_blocks_removed", "Blocks removed again.", |s| count(s.removed)),
];

const MESH: [Family<MeshStatus>; 18] = [
    gauge("mesh_members", "Members that this root has a place for.", |m| size(m.members?)),
    gauge("mesh_slots", "How many others may be sent stripes.", |m| size(m.slots)),
    gauge("mesh_slots_used", "How many others are sent stripes.", |m| size(m.slots_used)),
    gauge("mesh_slots_used_max", "The most that were sent stripes at once.", |m| {
        count(m.slots_used_max)
    }),
    gauge("mesh_depth", "Links to the root in the deepest stripe.", |m| size(m.depth)),
    gauge("mesh_parents", "How many others send stripes.", |m| size(m.parents)),
    counter("mesh_sent_bytes", "Bytes sent over links of the mesh.", |m| count(m.bytes_sent)),
    counter("mesh_received_bytes", "Bytes received over links of the mesh.", |m| {
        count(m.bytes_received)
    }),
    counter("mesh_wasted_bytes", "Bytes received that were there already.", |m| {
        count(m.bytes_wasted)
    }),
    counter("mesh_rescued_bytes", "Bytes received from the root that is no parent.", |m| {
        count(m.bytes_rescued)
    }),
    counter("mesh_blocks", "Blocks that were complete.", |m| count(m.blocks)),
    counter("mesh_blocks_missed", "Blocks that were not complete at their air time.", |m| {
        count(m.blocks_missed)
    }),
    counter("mesh_blocks_late", "Blocks of which something was late.", |m| count(m.blocks_late)),
    counter("mesh_pulls", "Requests for bytes that were late.", |m| count(m.pulls)),
    counter("mesh_parents_lost", "Parents that were lost.", |m| count(m.parents_lost)),
    counter("mesh_bad_stripes", "Stripes that were not what was announced.", |m| {
        count(m.bad_stripes)
    }),
    counter("mesh_nonsense", "Peers that said what they may not.", |m| count(m.nonsense)),
    counter("mesh_joins", "Members taken in; in a member, how often it was.", |m| count(m.joins)),
];

const JUKEBOX: [Family<JukeboxStatus>; 15] = [
    gauge("jukebox_songs", "Songs that can be played.", |j| size(j.songs)),
    gauge("jukebox_listeners", "Listeners of the jukebox.", |j| size(j.listeners)),
    gauge("jukebox_playing", "Listeners that hear a song.", |j| size(j.playing)),
    counter("jukebox_accepted", "Listeners taken.", |j| count(j.accepted)),
    counter("jukebox_refused", "Listeners refused.", |j| count(j.refused)),
    counter("jukebox_evicted", "Idle listeners closed to make room.", |j| count(j.evicted)),
    counter("jukebox_requests", "Requests understood.", |j| count(j.requests)),
    counter("jukebox_unknown", "Messages not understood.", |j| count(j.unknown)),
    counter("jukebox_songs_begun", "Songs begun.", |j| count(j.songs_begun)),
    counter("jukebox_songs_over", "Songs sent to their end.", |j| count(j.songs_over)),
    counter("jukebox_frames", "Frames of songs sent.", |j| count(j.frames)),
    counter("jukebox_song_bytes", "Bytes of songs sent.", |j| count(j.song_bytes)),
    counter("jukebox_split", "Payloads that the kernel did not take in one write.", |j| {
        count(j.split)
    }),
    counter("jukebox_stalled", "Listeners that took nothing.", |j| count(j.stalled)),
    counter("jukebox_faulted", "Listeners whose song broke.", |j| count(j.faulted)),
];

const FILES: [Family<FilesStatus>; 15] = [
    gauge("files_listed", "Files that are listed.", |f| size(f.files)),
    gauge("files_transfers", "Transfers of files.", |f| size(f.transfers)),
    gauge("files_running", "Transfers whose client has answered.", |f| size(f.running)),
    counter("files_begun", "Transfers begun.", |f| count(f.begun)),
    counter("files_whole", "Transfers that delivered everything.", |f| count(f.whole)),
    counter("files_refused", "Requests for which there was no room.", |f| count(f.refused)),
    counter("files_bad_requests", "Datagrams that were no request.", |f| count(f.bad_requests)),
    counter("files_strangers", "Datagrams at transfer ports of somebody else.", |f| {
        count(f.strangers)
    }),
    counter("files_bad_datagrams", "Datagrams of clients that were no good.", |f| {
        count(f.bad_datagrams)
    }),
    counter("files_lists", "Lists sent.", |f| count(f.lists)),
    counter("files_lists_refused", "Lists not sent, because there were too many.", |f| {
        count(f.lists_refused)
    }),
    counter("files_acked_bytes", "Bytes of files that clients have.", |f| count(f.bytes)),
    counter("files_datagrams", "Datagrams sent with bytes of files.", |f| count(f.datagrams)),
    counter("files_retransmitted", "Datagrams sent again.", |f| count(f.retransmitted)),
    counter("files_lost", "Datagrams found to be lost.", |f| count(f.lost)),
];

const EVENTS: [Family<EventsStatus>; 7] = [
    gauge("events_members", "Members of the ticker.", |e| size(e.members)),
    counter("events_joins", "New members.", |e| count(e.joins)),
    counter("events_refused", "Registrations for which there was no room.", |e| count(e.refused)),
    counter("events_transmitted", "Events of all transmissions.", |e| count(e.events)),
    counter("events_datagrams", "Datagrams that were wanted for them.", |e| count(e.datagrams)),
    counter("events_bad_requests", "Datagrams that were no command.", |e| count(e.bad_requests)),
    counter("events_bad_lines", "Lines that were refused.", |e| count(e.bad_lines)),
];

#[expect(clippy::unnecessary_wraps, reason = "families whose value may be missing have this shape")]
fn count(value: u64) -> Option<Value> {
    Some(Value::Count(value))
}

fn size(value: usize) -> Option<Value> {
    count(value as u64)
}

#[expect(clippy::unnecessary_wraps, reason = "families whose value may be missing have this shape")]
fn real(value: f64) -> Option<Value> {
    Some(Value::Real(value))
}

fn channels(page: &mut Page, all: &[ChannelStatus]) {
    if all.is_empty() {
        return;
    }
    let numbers: Vec<String> = all.iter().map(|c| c.number.to_string()).collect();
    let names: Vec<_> = all
        .iter()
        .zip(&numbers)
        .map(|(c, number)| [("channel", number.as_str()), ("name", c.name.as_str())])
        .collect();
    let names: Vec<&[(&str, &str)]> = names.iter().map(<[_; 2]>::as_slice).collect();
    page.info("channel", "The channels.", &names);
    let states = all.iter().zip(&numbers).map(|(c, n)| (vec![("channel", n.as_str())], c.state));
    page.states("channel_state", "What a channel is doing.", &CHANNEL_STATES, states);
    for family in &CHANNEL {
        page.head(family.kind.name(), family.name, family.help);
        for (channel, number) in all.iter().zip(&numbers) {
            if let Some(value) = (family.value)(channel) {
                page.sample(family.name, family.kind.suffix(), &[("channel", number)], value);
            }
        }
    }
}

/// A relay may be a member above and a root below in one channel: the role tells them apart.
fn meshes(page: &mut Page, all: &[MeshStatus]) {
    if all.is_empty() {
        return;
    }
    let words: Vec<_> = all.iter().map(|m| (m.channel.to_string(), m.node.to_string())).collect();
    let labels: Vec<_> = all
        .iter()
        .zip(&words)
        .map(|(m, (channel, node))| {
            [("channel", channel.as_str()), ("role", m.role), ("node", node.as_str())]
        })
        .collect();
    let whole: Vec<&[(&str, &str)]> = labels.iter().map(<[_; 3]>::as_slice).collect();
    page.info("mesh", "The parts that this node has in relay trees.", &whole);
    for family in &MESH {
        let values: Vec<_> = all.iter().map(family.value).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        page.head(family.kind.name(), family.name, family.help);
        for (labels, value) in labels.iter().zip(values) {
            if let Some(value) = value {
                page.sample(family.name, family.kind.suffix(), &labels[..2], value);
            }
        }
    }
    let repairs: Vec<_> = labels.iter().zip(all).map(|(l, m)| (&l[..2], &m.repairs)).collect();
    let help = "From the loss of a stripe's parent to the first byte of another.";
    page.histograms("mesh_repair", help, &repairs);
}

fn answers(page: &mut Page, answers: &Answers) {
    page.head("counter", "http_answers", "Answers by class of status.");
    let classes = [
        ("2xx", answers.ok),
        ("3xx", answers.elsewhere),
        ("4xx", answers.refused),
        ("5xx", answers.failed),
    ];
    for (class, value) in classes {
        page.sample("http_answers", "_total", &[("class", class)], Value::Count(value));
    }
}

/// The document while it grows.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("a String takes every write");
        self.text.push('\n');
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        self.line(format_args!("# TYPE vidstreamd_{name} {kind}"));
        // The format wants a unit to be the end of the name, so the name says it all.
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)) {
            self.line(format_args!("# UNIT vidstreamd_{name} {unit}"));
        }
        self.line(format_args!("# HELP vidstreamd_{name} {help}"));
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: Value) {
        let labels = Labels(labels);
        self.line(format_args!("vidstreamd_{name}{suffix}{labels} {value}"));
    }

    /// Families without labels of one source.
    fn plain<T>(&mut self, families: &[Family<T>], source: &T) {
        for family in families {
            if let Some(value) = (family.value)(source) {
                self.head(family.kind.name(), family.name, family.help);
                self.sample(family.name, family.kind.suffix(), &[], value);
            }
        }
    }

    fn info(&mut self, name: &str, help: &str, all: &[&[(&str, &str)]]) {
        self.head("info", name, help);
        for labels in all {
            self.sample(name, "_info", labels, Value::Count(1));
        }
    }

    /// One of several states for each set of labels.
    fn states<'a>(
        &mut self,
        name: &str,
        help: &str,
        known: &[&str],
        all: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, &'a str)>,
    ) {
        self.head("stateset", name, help);
        let label = format!("vidstreamd_{name}");
        for (labels, current) in all {
            for state in known {
                let labels = [labels.as_slice(), &[(label.as_str(), *state)]].concat();
                self.sample(name, "", &labels, Value::Count(u64::from(*state == current)));
            }
        }
    }

    /// Distributions of times, one for each set of labels; `name` is without its unit.
    fn histograms(&mut self, name: &str, help: &str, all: &[(&[(&str, &str)], &Histogram)]) {
        let name = format!("{name}_seconds");
        self.head("histogram", &name, help);
        for (labels, histogram) in all {
            for (bound, count) in histogram.cumulative() {
                let bound = bound.map_or_else(|| "+Inf".to_owned(), seconds);
                let labels = [*labels, &[("le", &*bound)]].concat();
                self.sample(&name, "_bucket", &labels, Value::Count(count));
            }
            self.sample(&name, "_count", labels, Value::Count(histogram.count()));
            self.sample(&name, "_sum", labels, Value::Real(histogram.total().as_secs_f64()));
        }
    }
}

/// Milliseconds in seconds, by text, so that a bound is the same in every scrape.
fn seconds(ms: u64) -> String {
    let thousandths = format!("{:03}", ms % 1000);
    let digits = thousandths.trim_end_matches('0');
    format!("{}.{}", ms / 1000, if digits.is_empty() { "0" } else { digits })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge => "",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// `{a="b"}`, or nothing when there are none.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            let value = text::escaped(value.as_bytes()).replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "{}{name}=\"{value}\"", if n == 0 { '{' } else { ',' })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests;

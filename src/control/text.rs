//! Answers of the control socket in words: the status document and the connections as aligned
//! lines. Every foreign part is escaped, so that a name cannot drive the operator's terminal. The
//! node asks for a text and hands it to [`crate::control::Server::respond`].

mod connections;
mod mesh;
mod tree;

use core::time::Duration;

use serde::Serialize;

use crate::base::status::mesh::ArrivingBlock;
use crate::base::status::{ChannelStatus, FilesStatus, Status, StoreStatus, json};
use crate::base::text::escaped;

pub use connections::connections;
pub use mesh::{ambiguous, why};
pub use tree::tree;

/// The answer to `status`.
#[must_use]
pub fn status(status: &Status) -> String {
    let node = &status.node;
    let mut rows = vec![
        ("role", node.role.to_owned()),
        ("version", node.version.to_owned()),
        ("started", node.started_at.clone()),
        ("now", node.now.clone()),
        ("up", age(node.uptime_s)),
        ("channels", status.channels.len().to_string()),
        ("connections", node.connections.to_string()),
        ("reloads", node.reloads.to_string()),
        ("log lines dropped", status.log_lines_dropped.to_string()),
        ("http", http(status)),
    ];
    rows.extend(status.tv.as_ref().map(|tv| {
        let text = format!(
            "{} clients, {} blocks sent, {} removed",
            tv.clients, tv.blocks_sent, tv.removed
        );
        ("tv", text)
    }));
    rows.extend(status.receive.as_ref().map(|receive| {
        let (server, channel) = (&receive.server, receive.channel);
        (
            "source",
            format!("{server} channel {channel}: {}, {} blocks", receive.state, receive.blocks),
        )
    }));
    rows.extend(status.jukebox.as_ref().map(|jukebox| {
        let (songs, listeners, playing) = (jukebox.songs, jukebox.listeners, jukebox.playing);
        let text = format!("{songs} songs, {listeners} listeners, {playing} of them hear one");
        ("jukebox", text)
    }));
    rows.extend(status.events.as_ref().map(|events| {
        let (members, sent) = (events.members, events.events);
        ("ticker", format!("{members} members, {sent} events sent"))
    }));
    rows.extend(status.files.as_ref().map(|files| ("files", transfers(files))));
    rows.extend(status.store.as_ref().map(|store| {
        let (blocks, bytes) = (store.blocks, store.bytes);
        ("store", format!("{}: {}, {blocks} blocks, {bytes} bytes", store.directory, store.state))
    }));
    rows.extend(status.mesh.iter().map(|part| ("mesh", mesh::summary(part))));
    rows.iter().fold(String::new(), |text, (name, value)| {
        text + &format!("{name:<19}{}\n", escaped(value.as_bytes()))
    })
}

fn transfers(files: &FilesStatus) -> String {
    format!(
        "{} listed, {} transfers, {} begun, {} whole, {} refused; {} bytes in {} datagrams, {} \
         lost, {} sent again; {} bad requests",
        files.files,
        files.transfers,
        files.begun,
        files.whole,
        files.refused,
        files.bytes,
        files.datagrams,
        files.lost,
        files.retransmitted,
        files.bad_requests
    )
}

fn http(status: &Status) -> String {
    let http = &status.http;
    format!(
        "{} connections, {} answers, {} refused",
        http.connections,
        http.answers.total(),
        http.refused
    )
}

/// The answer to `channels`.
#[must_use]
pub fn channels(channels: &[ChannelStatus]) -> String {
    let columns =
        [Right("channel"), Left("name"), Left("on air"), Right("block"), Right("viewers")];
    let rows = channels.iter().map(|channel| {
        let (movie, block) = match &channel.on_air {
            Some(on_air) => (on_air.movie.clone(), on_air.block.to_string()),
            None => (format!("({})", channel.state), String::new()),
        };
        let viewers = format!("{}/{}", channel.viewers_tv, channel.max_clients);
        [channel.number.to_string(), channel.name.clone(), movie, block, viewers]
    });
    table(&columns, rows)
}

/// What is waiting to be shown. As JSON it has these names.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Files<'a> {
    /// Blocks of the mesh that are not on the air yet; none in a node that is no member.
    pub arriving: Option<&'a [ArrivingBlock]>,
    /// What a client has stored.
    pub store: Option<&'a StoreStatus>,
}

/// The answer to `files`.
#[must_use]
pub fn files(files: &Files) -> String {
    let arriving = files.arriving.map(mesh::arriving);
    let parts = [arriving, files.store.map(stored)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "this node stores nothing\n".to_owned() } else { parts.join("\n") }
}

fn stored(store: &StoreStatus) -> String {
    let rows = store.files.iter().map(|file| {
        let seq = file.seq.map_or_else(String::new, |seq| seq.to_string());
        [seq, file.name.clone(), file.bytes.to_string()]
    });
    let table = table(&[Right("block"), Left("name"), Right("bytes")], rows);
    let (all, listed) = (store.blocks, store.files.len());
    let rest = if listed < all { format!(", the last {listed} listed") } else { String::new() };
    format!("{table}{all} blocks waiting, {} bytes{rest}\n", store.bytes)
}

/// Any answer for programs.
///
/// # Panics
/// Never for what is in [`crate::base::status`], which has a JSON form.
#[must_use]
pub fn document<T: Serialize + ?Sized>(document: &T) -> String {
    String::from_utf8(json(document)).expect("JSON is UTF-8")
}

/// A column's head and the side on which its cells stand.
#[derive(Clone, Copy)]
enum Column {
    Left(&'static str),
    Right(&'static str),
}
use Column::{Left, Right};

impl Column {
    fn head(self) -> &'static str {
        let (Left(head) | Right(head)) = self;
        head
    }
}

/// Foreign text as a cell.
fn cell(text: &str) -> String {
    escaped(text.as_bytes())
}

/// Heads and rows with two spaces between columns and none at a line's end.
fn table<const N: usize>(columns: &[Column; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut lines = vec![columns.map(|column| column.head().to_owned())];
    lines.extend(rows.map(|row| row.map(|text| cell(&text))));
    let widths: [usize; N] = core::array::from_fn(|n| {
        lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for cells in &lines {
        put_line(columns, cells, &widths, &mut text);
    }
    text
}

/// One line of a table; a cell that is too wide moves the rest of its line.
fn put_line<const N: usize>(
    columns: &[Column; N],
    cells: &[String; N],
    widths: &[usize; N],
    into: &mut String,
) {
    for ((column, cell), width) in columns.iter().zip(cells).zip(widths) {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (before, after) = match column {
            Left(_) => ("", pad.as_str()),
            Right(_) => (pad.as_str(), ""),
        };
        into.extend([before, cell, after, "  "]);
    }
    into.truncate(into.trim_end_matches(' ').len());
    into.push('\n');
}

/// Whole seconds as people say them.
fn age(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{OnAir, ReceiveStatus, StoredFile, TvStatus};

    const EVIL: &str = "a\u{1b}[31m\nb";

    fn on_air(number: usize, name: &str, movie: &str) -> ChannelStatus {
        ChannelStatus {
            number,
            name: name.to_owned(),
            on_air: Some(OnAir { movie: movie.to_owned(), block: 12, ..OnAir::default() }),
            viewers_tv: 3,
            max_clients: 10,
            ..ChannelStatus::default()
        }
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let off = ChannelStatus {
            number: 10,
            name: "b".into(),
            state: "off",
            ..ChannelStatus::default()
        };
        assert_eq!(
            channels(&[on_air(0, "gr\u{fc}n", "first_movie"), off]),
            "channel  name  on air       block  viewers\n\
             \x20     0  gr\u{fc}n  first_movie     12     3/10\n\
             \x20    10  b     (off)                   0/0\n"
        );
    }

    #[test]
    fn transfers_of_files_are_told_with_their_losses() {
        let files = FilesStatus {
            files: 7,
            transfers: 2,
            begun: 5,
            whole: 3,
            refused: 4,
            bytes: 90_000,
            datagrams: 60,
            lost: 8,
            retransmitted: 9,
            bad_requests: 1,
            ..FilesStatus::default()
        };
        let text = status(&Status { files: Some(files), ..Status::default() });
        let told = "files              7 listed, 2 transfers, 5 begun, 3 whole, 4 refused; 90000 \
                    bytes in 60 datagrams, 8 lost, 9 sent again; 1 bad requests\n";
        assert!(text.contains(told), "{text}");
        assert!(!status(&Status::default()).contains("\nfiles "));
    }

    #[test]
    fn no_name_breaks_out_of_its_cell() {
        let store = StoreStatus {
            blocks: 5,
            bytes: 70,
            directory: EVIL.to_owned(),
            files: vec![StoredFile { name: EVIL.to_owned(), bytes: 7, seq: Some(1) }],
            ..StoreStatus::default()
        };
        let block = ArrivingBlock { name: EVIL.to_owned(), ..ArrivingBlock::default() };
        let all = Status {
            receive: Some(ReceiveStatus { server: EVIL.to_owned(), ..ReceiveStatus::default() }),
            store: Some(store.clone()),
            ..Status::default()
        };
        let texts = [
            channels(&[on_air(0, EVIL, EVIL)]),
            files(&Files { arriving: None, store: Some(&store) }),
            status(&all),
            files(&Files { arriving: Some(&[block]), store: None }),
        ];
        for (text, lines) in texts.iter().zip([2, 3, 12, 3]) {
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(!text.contains('\u{1b}') && text.contains("a\\x1b[31m\\x0ab"), "{text}");
        }
        assert!(texts[1].ends_with("5 blocks waiting, 70 bytes, the last 1 listed\n"));
    }

    #[test]
    fn a_status_has_a_line_for_each_part_that_is_on() {
        let tv = TvStatus { clients: 3, ..TvStatus::default() };
        let text = status(&Status { tv: Some(tv), ..Status::default() });
        assert!(
            text.contains("\ntv                 3 clients, 0 blocks sent, 0 removed\n"),
            "{text}"
        );
        assert!(!text.contains("\nstore ") && !text.contains("\nsource "), "{text}");
        assert_eq!(files(&Files { arriving: None, store: None }), "this node stores nothing\n");
    }

    #[test]
    fn files_on_their_way_come_before_those_in_the_store() {
        let store = StoreStatus { blocks: 1, bytes: 7, ..StoreStatus::default() };
        let block = ArrivingBlock { bytes: 10, arrived: 5, ..ArrivingBlock::default() };
        let both = Files { arriving: Some(&[block]), store: Some(&store) };
        let text = files(&both);
        let (first, second) = text.split_once("\n\n").expect("two parts");
        assert!(first.contains("50 %") && second.starts_with("block  name"), "{text}");
        let value: serde_json::Value = serde_json::from_str(&document(&both)).unwrap();
        assert!(value["arriving"][0]["arrived"] == 5 && value["store"]["bytes"] == 7, "{value}");
    }
}

//! A status document with something in every place, and foreign text that wants to do harm, for
//! the tests of those who word it.

use core::time::Duration;

use crate::base::stats::Histogram;
use crate::base::status::mesh::Id;
use crate::base::status::{
    Answers, ChannelStatus, EventsStatus, FilesStatus, HttpStatus, JukeboxStatus, MeshStatus,
    MovieStatus, Next, NodeStatus, OnAir, OutputStatus, Programme, ReceiveStatus, Status,
    StoreStatus, StoredFile, TvStatus,
};

/// Markup, quotes, line ends and an escape sequence.
pub(crate) const EVIL: &str = "</td><script>alert(\"1\")</script>'&\\ \n\u{1b}[31m\u{202e}";

pub(crate) fn full() -> Status {
    let mut tv = TvStatus { clients: 3, bytes_sent: u64::MAX, ..TvStatus::default() };
    for ms in [1, 40, 40, 900, 7_000] {
        tv.delivery.record(Duration::from_millis(ms));
    }
    let now = "2026-01-02T03:04:05.678Z".to_owned();
    Status {
        node: NodeStatus {
            role: "relay",
            version: "0.1.0",
            started_at: now.clone(),
            now: now.clone(),
            uptime_s: 93_784.5,
            ..NodeStatus::default()
        },
        channels: vec![
            on_air(&now),
            ChannelStatus { number: 1, state: "off", ..ChannelStatus::default() },
        ],
        movies: vec![MovieStatus {
            name: EVIL.to_owned(),
            outputs: Some(vec![OutputStatus { output: "ts", why_not: Some(EVIL.to_owned()) }]),
        }],
        tv: Some(tv),
        receive: Some(ReceiveStatus {
            server: EVIL.to_owned(),
            state: "watching",
            blocks: 17,
            last_block_at: Some(now),
            period_s: 2.002,
            ..ReceiveStatus::default()
        }),
        store: Some(StoreStatus {
            directory: EVIL.to_owned(),
            state: "full",
            blocks: 2,
            bytes: 2_097_152,
            files: vec![
                StoredFile { name: EVIL.to_owned(), bytes: 1_048_576, seq: Some(9) },
                StoredFile { name: "0_00010.mkv".to_owned(), bytes: 5, seq: None },
            ],
            ..StoreStatus::default()
        }),
        mesh: vec![member(), root()],
        jukebox: Some(JukeboxStatus { songs: 3, frames: 70, ..JukeboxStatus::default() }),
        events: Some(EventsStatus { members: 5, bad_lines: 6, ..EventsStatus::default() }),
        files: Some(FilesStatus {
            transfers: 4,
            bytes: 5_000_000_000,
            retransmitted: 8,
            lost: 9,
            refused: 10,
            bad_requests: 11,
            ..FilesStatus::default()
        }),
        http: HttpStatus {
            answers: Answers { ok: 5, elsewhere: 4, refused: 3, failed: 2 },
            ..HttpStatus::default()
        },
        log_lines_dropped: 1,
    }
}

fn on_air(now: &str) -> ChannelStatus {
    ChannelStatus {
        number: 0,
        name: EVIL.to_owned(),
        state: "on_air",
        on_air: Some(OnAir {
            seq: 4711,
            movie: EVIL.to_owned(),
            block: 12,
            file: EVIL.to_owned(),
            starts_at: now.to_owned(),
            lasts_s: 2.0,
            bytes: 1_234_567,
            media_type: "video/x-matroska",
            replaced: true,
        }),
        next: Some(Next {
            seq: 4712,
            movie: "next".to_owned(),
            block: 0,
            starts_at: EVIL.to_owned(),
        }),
        programme: Some(Programme {
            movie: EVIL.to_owned(),
            starts_at: now.to_owned(),
            lasts_s: 3600.0,
            over_s: 900.0,
        }),
        then: Some(Programme {
            movie: EVIL.to_owned(),
            starts_at: "2026-01-02T04:04:05.678Z".to_owned(),
            lasts_s: 60.0,
            over_s: 0.0,
        }),
        viewers_http: 2,
        viewers_tv: 3,
        max_clients: 10,
        window: Some((4700, 4712)),
        ..ChannelStatus::default()
    }
}

fn member() -> MeshStatus {
    let mut repairs = Histogram::default();
    repairs.record(Duration::from_millis(120));
    MeshStatus {
        repairs,
        channel: 0,
        role: "member",
        node: Id(0xab),
        root: Some(([127, 0, 0, 1], 6061).into()),
        slots: 4,
        slots_used: 1,
        parents: 2,
        bytes_sent: 8_000,
        blocks: 7,
        blocks_missed: 1,
        blocks_late: 2,
        pulls: 3,
        parents_lost: 4,
        bad_stripes: 5,
        ..MeshStatus::default()
    }
}

/// The part of a relay in the same channel that is below it.
fn root() -> MeshStatus {
    MeshStatus {
        role: "root",
        node: Id(0xac),
        root: None,
        members: Some(12),
        bytes_sent: 9_000,
        ..member()
    }
}

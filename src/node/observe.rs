//! The words of the log: every event that an operator may want to read, as one line. Nothing else
//! in the pure part words log text.

use std::fmt::Write as _;

use crate::base::port::{Gone, Level, StoreError};
use crate::base::text::escaped;
use crate::channel::{Block, playout, spool};
use crate::events::server as ticker;
use crate::files::server as files;
use crate::jukebox;
use crate::mesh;
use crate::tv::{client, server};

type Line = (Level, String);

/// What happened to a channel's source; a block on the air is only worth a line for those who
/// want each step.
pub(super) fn playout(number: usize, name: &str, event: &playout::Event) -> Line {
    let (level, text) = match event {
        playout::Event::Ready(block) => (Level::Debug, format!("block {} is ready", block.seq)),
        playout::Event::Aired(block) => (Level::Debug, aired(block)),
        playout::Event::Replaced { file, why, by } => {
            (Level::Warn, format!("{} cannot be read ({why}); {} on air", shown(file), shown(by)))
        }
        playout::Event::Skipped { file, why } => (
            Level::Warn,
            format!("{} cannot be read ({why}); skipped, there is no filler", shown(file)),
        ),
        playout::Event::Recovered { blocks } => {
            (Level::Info, format!("back on schedule after {blocks} blocks"))
        }
        playout::Event::Jumped { expected, seq } => (
            Level::Warn,
            format!("the clock or the playlist was changed: block {seq} on air, not {expected}"),
        ),
        playout::Event::Waiting { until } => (Level::Info, format!("begins at {until}")),
        playout::Event::Over => (Level::Info, "the playlist is over and does not repeat".into()),
    };
    (level, format!("channel {number} {}: {text}", shown(name)))
}

fn aired(block: &Block) -> String {
    format!("block {} on air: {} ({} bytes)", block.seq, shown(&block.file), block.len)
}

/// A block broke while it was sent.
pub(super) fn faulted(number: usize, block: &Block) -> Line {
    let (seq, file) = (block.seq, shown(&block.file));
    (Level::Warn, format!("channel {number}: block {seq} ({file}) shrank or broke; taken off"))
}

/// What happened at the tv server.
pub(super) fn tv_server(event: &server::Event) -> Line {
    match event {
        server::Event::Joined { address, channel } => {
            (Level::Info, format!("tv: {address} joined channel {channel}"))
        }
        server::Event::Full { address, channel } => {
            (Level::Info, format!("tv: {address} not let into channel {channel}: full or none"))
        }
        server::Event::Unreachable { address, channel, why } => (
            Level::Info,
            format!(
                "tv: {address} asked for channel {channel} but could not be called back: {}",
                failure(*why)
            ),
        ),
        server::Event::Left { address, channel } => {
            (Level::Info, format!("tv: {address} left channel {channel}"))
        }
        server::Event::Struck { address, channel, why, removed: false } => {
            (Level::Debug, format!("tv: {address} on channel {channel}: {}", failure(*why)))
        }
        server::Event::Struck { address, channel, why, removed: true } => (
            Level::Info,
            format!(
                "tv: {address} removed from channel {channel}: the second failure in a row ({})",
                failure(*why)
            ),
        ),
        server::Event::NotAllowed { address } => {
            (Level::Info, format!("tv: {address} asked to join but is not in [tv] callback_allow"))
        }
        server::Event::BadCommand { address, bytes } => {
            (Level::Debug, format!("tv: {address} sent \"{}\", no command", escaped(bytes)))
        }
    }
}

fn failure(why: server::Failure) -> String {
    match why {
        server::Failure::Gone(gone) => self::gone(gone).into(),
        server::Failure::NotAccepted => "the connection was not accepted in time".into(),
        server::Failure::Late => "the block was not through in its own time".into(),
    }
}

fn gone(why: Gone) -> &'static str {
    match why {
        Gone::Closed => "closed",
        Gone::Refused => "connection refused",
        Gone::Reset => "connection reset",
        Gone::TimedOut => "timed out",
        Gone::Unreachable => "no way there",
        Gone::Exhausted => "out of descriptors or memory here",
        Gone::Faulted => "the block broke",
        Gone::Other(_) => "an error of the system",
    }
}

/// What happened to the tv client.
pub(super) fn tv_client(event: &client::Event) -> Line {
    match event {
        client::Event::Joined => (Level::Info, "receive: the server let us in".into()),
        client::Event::Full { again_in } => (
            Level::Info,
            format!(
                "receive: the channel is full or does not exist; asking again in {} ms",
                again_in.as_millis()
            ),
        ),
        client::Event::Unanswered { why, again_in } => (
            Level::Warn,
            format!(
                "receive: no answer from the server ({}); asking again in {} ms",
                why.map_or("it did not call back", gone),
                again_in.as_millis()
            ),
        ),
        client::Event::Silent { since } => {
            (Level::Warn, format!("receive: no block for {} ms; joining again", since.as_millis()))
        }
        client::Event::Block { len, .. } => {
            (Level::Debug, format!("receive: a block of {len} bytes"))
        }
        client::Event::Torn { bytes } => {
            (Level::Warn, format!("receive: a block broke off after {bytes} bytes; dropped"))
        }
        client::Event::Stranger { address } => {
            (Level::Debug, format!("receive: {address} is not the server; refused"))
        }
        client::Event::Unreceivable { why } => {
            (Level::Warn, format!("receive: a block could not be kept: {why}"))
        }
        client::Event::Listed { clients } => (
            Level::Info,
            format!("receive: the channel is full; {} in it, who may pass it on", clients.len()),
        ),
        client::Event::Left => (Level::Info, "receive: left the channel".into()),
    }
}

/// What happened in a mesh; the channel is told where there are several.
pub(super) fn mesh(channel: Option<usize>, event: &mesh::Event) -> Line {
    let (level, text) = mesh_words(event);
    let of = channel.map_or_else(String::new, |number| format!(" of channel {number}"));
    (level, format!("mesh{of}: {text}"))
}

fn mesh_words(event: &mesh::Event) -> Line {
    use mesh::Event as E;
    match event {
        E::Block(block) => {
            let text = format!("block {} is complete ({} bytes)", block.seq, block.len);
            (Level::Debug, text)
        }
        E::Missed { seq } => (Level::Warn, format!("block {seq} was not complete in time")),
        E::Joined { root, .. } => (Level::Info, format!("{root} gave us a place")),
        E::Full { reason, again_in } => (
            Level::Warn,
            format!(
                "not taken in ({}); asking again in {} ms",
                shown(reason),
                again_in.as_millis()
            ),
        ),
        E::RootLost { root, again_in } => {
            (Level::Warn, format!("no root at {root}; asking again in {} ms", again_in.as_millis()))
        }
        E::Rootless => (Level::Debug, "no root takes this node now".into()),
        E::LostParent { node, stripes, why } => {
            let text = format!("parent {node} of {} stripes is lost: {why}", stripes.len());
            (Level::Info, text)
        }
        E::BadStripe { seq, stripe, from } => {
            let from: Vec<_> = from.iter().map(ToString::to_string).collect();
            let text = format!(
                "stripe {stripe} of block {seq} is not what was announced; dropped, from {}",
                from.join(", ")
            );
            (Level::Warn, text)
        }
        E::BadBlock { seq } => {
            (Level::Warn, format!("the stripes of block {seq} are not its; dropped"))
        }
        E::Nonsense { address, why } => {
            let address = address.map_or_else(|| "somebody".into(), |a| a.to_string());
            (Level::Info, format!("{address} closed: {}", shown(why)))
        }
        E::Entered { node, address } => (Level::Info, format!("{node} at {address} has a place")),
        E::Denied { node, reason } => {
            (Level::Info, format!("{node} was not taken in: {}", shown(reason)))
        }
        E::Departed { node } => (Level::Info, format!("{node} is gone")),
        E::Left => (Level::Info, "left".into()),
    }
}

/// What happened at the jukebox.
pub(super) fn jukebox(event: &jukebox::server::Event) -> Line {
    use jukebox::server::Event as E;
    let who = |address: &Option<std::net::SocketAddr>| {
        address.map_or_else(|| "somebody".into(), |address| address.to_string())
    };
    match event {
        E::LeftOut { songs } => (
            Level::Warn,
            format!("jukebox: the last {songs} songs are left out: a list holds 64 KiB of titles"),
        ),
        E::Plays { address, sid, file } => {
            (Level::Info, format!("jukebox: {} hears song {sid}, {}", who(address), shown(file)))
        }
        E::Unreadable { file, why } => {
            (Level::Warn, format!("jukebox: {} cannot be played ({why})", shown(file)))
        }
        E::Broke { file } => (
            Level::Warn,
            format!("jukebox: {} shrank or broke; who heard it is cut off", shown(file)),
        ),
        E::Stalled { address } => {
            (Level::Info, format!("jukebox: {} took nothing for too long; closed", who(address)))
        }
        E::Endless { address } => {
            (Level::Info, format!("jukebox: {} sent bytes without an end; closed", who(address)))
        }
        E::Unknown { address, bytes } => (
            Level::Debug,
            format!("jukebox: {} sent \"{}\", no request", who(address), escaped(bytes)),
        ),
        E::Full { address } => {
            (Level::Debug, format!("jukebox: {} not let in: full, or stopping", who(address)))
        }
    }
}

/// What happened to the live ticker.
pub(super) fn events(event: &ticker::Event) -> Line {
    use ticker::Event as E;
    match event {
        E::Joined(address) => (Level::Info, format!("events: {address} registered")),
        E::Left(address) => (Level::Info, format!("events: {address} unregistered")),
        E::Expired(address) => {
            (Level::Info, format!("events: {address} forgotten: silent too long"))
        }
        E::Full { address, refused } => (
            Level::Warn,
            format!(
                "events: {address} not registered ({refused} so far): no room in members_max or \
                 per_address_max of [events]"
            ),
        ),
        E::BadRequest { address, why, bytes } => {
            (Level::Debug, format!("events: {address} sent \"{}\": {why}", escaped(bytes)))
        }
        E::KickOff { teams: [a, b], seed } => {
            (Level::Info, format!("events: {} against {}, seed {seed}", shown(a), shown(b)))
        }
        E::BadLine(why) => (Level::Warn, format!("events: a line of the source is refused: {why}")),
        E::Ended(count) => (Level::Info, format!("events: end of transmission after {count}")),
    }
}

/// What happened to the files.
pub(super) fn files(event: &files::Event) -> Line {
    use files::Event as E;
    match event {
        E::Started { peer, file, ours } => {
            let wire = if *ours { "" } else { " on the original's wire" };
            (Level::Info, format!("files: {peer} gets {}{wire}", shown(file)))
        }
        E::Ended { peer, file, ending, figures } => {
            let (acked, sent, again) = (figures.acked, figures.datagrams, figures.again);
            let figures = format!("{acked} bytes, {sent} datagrams, {again} of them again");
            let (level, how) = match ending {
                files::Ending::Whole => (Level::Info, "has all of".to_owned()),
                files::Ending::Differs => (Level::Warn, "says that the hash differs of".to_owned()),
                files::Ending::Left => (Level::Info, "wants no more of".to_owned()),
                files::Ending::Silent => (Level::Info, "has gone in the middle of".to_owned()),
                files::Ending::Failed(why) => (Level::Warn, format!("is left ({why}) with")),
            };
            (level, format!("files: {peer} {how} {}: {figures}", shown(file)))
        }
        E::Unreadable { file, why } => {
            (Level::Warn, format!("files: {} cannot be sent ({why})", shown(file)))
        }
        E::Full { peer, refused } => (
            Level::Warn,
            format!(
                "files: {peer} gets nothing ({refused} so far): no room in transfers_max or \
                 per_address_max of [files]"
            ),
        ),
        E::BadRequest { peer, why, bytes } => {
            (Level::Debug, format!("files: {peer} sent \"{}\": {why}", escaped(bytes)))
        }
    }
}

/// What happened to the store.
pub(super) fn spool(event: &spool::Event) -> Line {
    match event {
        spool::Event::Failing { why } => {
            let mut text = String::from("store: blocks are not stored: ");
            match why {
                StoreError::Full => text.push_str("the disk is full"),
                StoreError::Taken => text.push_str("a file of that name is there already"),
                StoreError::Other(why) => text.push_str(why),
            }
            text.push_str("; tried again with each block");
            (Level::Error, text)
        }
        spool::Event::Working { missed } => {
            let mut text = String::from("store: blocks are stored again");
            write!(text, "; {missed} were not").expect("a String takes every write");
            (Level::Info, text)
        }
        spool::Event::Stored { name, bytes } => {
            (Level::Debug, format!("store: {} ({bytes} bytes)", shown(name)))
        }
    }
}

fn shown(text: &str) -> String {
    escaped(text.as_bytes())
}

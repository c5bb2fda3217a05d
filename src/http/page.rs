//! The page at `/`: what is on the air, for people, in HTML that needs no script, no other file and
//! no other address. [`crate::http::document`] calls it.

use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::base::status::{
    ChannelStatus, MeshStatus, Next, OnAir, ReceiveStatus, Status, StoreStatus,
};
use crate::base::text;

/// What [`html`] is, for `Content-Type`.
pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";
/// What the page may do, for `Content-Security-Policy`: nothing but its own style.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";

/// Seconds after which a browser asks again.
const REFRESH_S: u32 = 10;

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{margin:2rem auto;max-width:70rem;padding:0 1rem}\
div{overflow-x:auto}table{border-collapse:collapse;width:100%}\
caption{font-weight:bold;text-align:start}\
th,td{border-bottom:1px solid;padding:.3rem .6rem;text-align:start;vertical-align:top}";

/// The whole page.
#[must_use]
pub fn html(status: &Status) -> String {
    let mut page = String::with_capacity(4096);
    // Nothing here makes an error, and a String takes every write.
    let _: fmt::Result = write(&mut page, status);
    page
}

fn write(page: &mut String, status: &Status) -> fmt::Result {
    let node = &status.node;
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_S}\">\n\
         <title>vidstreamd</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>vidstreamd</h1>\n\
         <p>{role} {version}, up {up}, at {now}</p>\n",
        role = Safe(node.role),
        version = Safe(node.version),
        up = age(node.uptime_s),
        now = Moment(&node.now),
    )?;
    if let Some(receive) = &status.receive {
        source(page, receive)?;
    }
    if let Some(stored) = &status.store {
        store(page, stored)?;
    }
    channels(page, &status.channels)?;
    meshes(page, &status.mesh)?;
    page.write_str(
        "</main>\n<footer>\n<p><a href=\"/status.json\">Status as JSON</a>, \
         <a href=\"/metrics\">metrics</a></p>\n</footer>\n</body>\n</html>\n",
    )
}

fn source(page: &mut String, receive: &ReceiveStatus) -> fmt::Result {
    write!(
        page,
        "<h2>Source</h2>\n<p>{server}, channel {channel}: {state}, {blocks} blocks received",
        server = Safe(&receive.server),
        channel = receive.channel,
        state = Safe(receive.state),
        blocks = receive.blocks,
    )?;
    if let Some(at) = &receive.last_block_at {
        write!(page, ", the last at {}", Moment(at))?;
    }
    page.write_str("</p>\n")
}

fn store(page: &mut String, store: &StoreStatus) -> fmt::Result {
    let state = match store.state {
        "ok" => "",
        "full" => ", <strong>no room for more</strong>",
        _ => ", <strong>storing fails</strong>",
    };
    writeln!(
        page,
        "<h2>Store</h2>\n<p>{blocks} files, {size}, in {directory}{state}</p>",
        blocks = store.blocks,
        size = Size(store.bytes),
        directory = Safe(&store.directory),
    )
}

fn channels(page: &mut String, channels: &[ChannelStatus]) -> fmt::Result {
    if channels.is_empty() {
        return page.write_str("<p>There are no channels.</p>\n");
    }
    page.write_str(
        "<div>\n<table>\n<caption>Channels</caption>\n<thead>\n<tr><th scope=\"col\">Number</th>\
         <th scope=\"col\">Name</th><th scope=\"col\">On air</th><th scope=\"col\">Next</th>\
         <th scope=\"col\">Viewers</th><th scope=\"col\">Block</th></tr>\n</thead>\n<tbody>\n",
    )?;
    for channel in channels {
        row(page, channel)?;
    }
    page.write_str("</tbody>\n</table>\n</div>\n")
}

fn row(page: &mut String, channel: &ChannelStatus) -> fmt::Result {
    let (number, name) = (channel.number, Safe(&channel.name));
    write!(page, "<tr><td>{number}</td><th scope=\"row\">{name}</th><td>")?;
    match &channel.on_air {
        Some(on_air) => now_showing(page, on_air)?,
        None => page.write_str(state_in_words(channel.state))?,
    }
    page.write_str("</td><td>")?;
    if let Some(Next { movie, block, starts_at, .. }) = &channel.next {
        write!(page, "{}, block {block}, at {}", Safe(movie), Moment(starts_at))?;
    }
    write!(page, "</td><td>{} of {}</td><td>", channel.viewers_tv, channel.max_clients)?;
    if channel.on_air.is_some() {
        write!(page, "<a href=\"/ch/{number}/blocks/live\">Live block of channel {number}</a>")?;
    }
    page.write_str("</td></tr>\n")
}

fn meshes(page: &mut String, meshes: &[MeshStatus]) -> fmt::Result {
    if meshes.is_empty() {
        return Ok(());
    }
    page.write_str(
        "<div>\n<table>\n<caption>Relay trees</caption>\n<thead>\n\
         <tr><th scope=\"col\">Channel</th><th scope=\"col\">This node is</th>\
         <th scope=\"col\">Slots used</th><th scope=\"col\">Sent</th>\
         <th scope=\"col\">Received</th><th scope=\"col\">Blocks</th>\
         <th scope=\"col\">Troubles</th></tr>\n</thead>\n<tbody>\n",
    )?;
    for mesh in meshes {
        mesh_row(page, mesh)?;
    }
    page.write_str("</tbody>\n</table>\n</div>\n")
}

fn mesh_row(page: &mut String, mesh: &MeshStatus) -> fmt::Result {
    let MeshStatus { channel, role, node, slots, slots_used, .. } = mesh;
    write!(page, "<tr><td>{channel}</td><th scope=\"row\">{} {node}", Safe(role))?;
    match (mesh.members, mesh.root) {
        (Some(members), _) => write!(page, ", {members} members")?,
        (None, Some(root)) => write!(page, " of {root}, {} parents", mesh.parents)?,
        (None, None) => write!(page, " without a root, {} parents", mesh.parents)?,
    }
    let MeshStatus { blocks, blocks_missed, blocks_late, pulls, parents_lost, .. } = mesh;
    writeln!(
        page,
        "</th><td>{slots_used} of {slots}</td><td>{}</td><td>{}</td>\
         <td>{blocks}, {blocks_missed} missed, {blocks_late} late</td>\
         <td>{pulls} pulls, {parents_lost} parents lost, {} bad stripes</td></tr>",
        Size(mesh.bytes_sent),
        Size(mesh.bytes_received),
        mesh.bad_stripes,
    )
}

fn now_showing(page: &mut String, on_air: &OnAir) -> fmt::Result {
    write!(
        page,
        "{movie}, block {block}{filler}, {size}, since {since}",
        movie = Safe(&on_air.movie),
        block = on_air.block,
        filler = if on_air.replaced { " (filler in its place)" } else { "" },
        size = Size(on_air.bytes),
        since = Moment(&on_air.starts_at),
    )
}

fn state_in_words(state: &str) -> &'static str {
    match state {
        "waiting" => "Has not begun",
        "ended" => "Has ended",
        "off" => "Off",
        _ => "Nothing at the moment",
    }
}

/// Text from elsewhere, without a character that HTML or a terminal would act on.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in text::escaped(self.0.as_bytes()).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// An RFC 3339 time, shown to the second; anything else as the text that it is.
struct Moment<'a>(&'a str);

impl fmt::Display for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.get(11..19), self.0.ends_with('Z') && self.0.is_ascii()) {
            (Some(clock), true) => {
                write!(f, "<time datetime=\"{}\">{} UTC</time>", Safe(self.0), Safe(clock))
            }
            _ => Safe(self.0).fmt(f),
        }
    }
}

/// Bytes, to three digits or so.
struct Size(u64);

impl fmt::Display for Size {
    #[expect(clippy::cast_precision_loss, reason = "shown to three digits")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000 => write!(f, "{} B", self.0),
            1_000..1_000_000 => write!(f, "{:.1} kB", self.0 as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", self.0 as f64 / 1e6),
            _ => write!(f, "{:.1} GB", self.0 as f64 / 1e9),
        }
    }
}

/// Seconds as people say them.
fn age(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

#[cfg(test)]
mod tests;

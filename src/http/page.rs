//! The page at `/`: what is on the air, for people, and a player. It is whole without its script,
//! which shows a channel in the page, and brings the rest of it up to date without a new page.
//! No other address is in it. [`crate::http::document`] calls it.

use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::base::status::{
    ChannelStatus, MeshStatus, OnAir, Programme, ReceiveStatus, Status, StoreStatus,
};
use crate::http::markup::Safe;

/// What [`html`] is, for `Content-Type`.
pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";
/// What the page may do, for `Content-Security-Policy`: its own style, the script and the streams
/// of this node, whose segments may come from elsewhere (`segment_base_url`) and are then put
/// together by the script (`blob:`).
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; \
                          connect-src http: https:; media-src http: https: blob:; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The page's script.
pub const SCRIPT: &str = include_str!("page/page.js");
/// Where it is.
pub const SCRIPT_PATH: &str = "/page.js";

/// Seconds after which a browser without scripts asks again.
const REFRESH_S: u32 = 10;

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif;--line:#8886;--mark:#06c;\
--soft:#595959}\
@media(prefers-color-scheme:dark){:root{--mark:#6bf;--soft:#aaa}}\
@media(min-width:120rem){:root{font-size:1.5rem}}\
body{margin:0 auto;max-width:90rem;padding:1rem}\
h1{font-size:1.25rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:0}p{margin:.3rem 0}\
.list{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));\
list-style:none;margin:1rem 0;padding:0}\
.list li{border:1px solid var(--line);border-radius:.5rem;padding:1rem;overflow-wrap:anywhere}\
.list li:has([aria-current]){border-color:var(--mark)}\
progress{accent-color:var(--mark);width:100%}\
a{color:var(--mark)}\
.viewers,.node,footer{color:var(--soft);font-size:.875rem}\
.watch{border:2px solid;border-radius:.5rem;display:inline-block;font-weight:bold;\
margin-top:.4rem;min-width:3rem;padding:.5rem 1rem;text-align:center;text-decoration:none}\
.watch[aria-current]{background:var(--mark);border-color:var(--mark);color:Canvas}\
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}\
video{aspect-ratio:16/9;background:#000;border-radius:.5rem;display:block;margin-top:.5rem;\
max-height:65vh;width:100%}\
footer{margin-top:1rem}div{overflow-x:auto}table{border-collapse:collapse;width:100%}\
caption{font-weight:bold;text-align:start}\
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:start;vertical-align:top}\
@media(min-width:60rem){main:has(#player:not([hidden])){display:grid;gap:1rem 1.5rem;\
grid-template-columns:minmax(0,2fr) minmax(20rem,1fr)}.list{margin-top:0}\
#player{position:sticky;top:1rem;align-self:start}video{max-height:80vh}}";

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
         <noscript><meta http-equiv=\"refresh\" content=\"{REFRESH_S}\"></noscript>\n\
         <title>vidstreamd</title>\n<style>{STYLE}</style>\n\
         <script src=\"{SCRIPT_PATH}\" defer=\"\"></script>\n</head>\n<body>\n\
         <header>\n<h1>vidstreamd</h1>\n</header>\n<main>\n\
         <section id=\"player\" aria-label=\"Player\" hidden=\"\">\n\
         <h2 id=\"watching\" aria-live=\"polite\"></h2>\n\
         <video id=\"video\" controls=\"\" playsinline=\"\" \
         aria-labelledby=\"watching\"></video>\n</section>\n\
         <div id=\"live\">\n",
    )?;
    channels(page, &status.channels)?;
    if let Some(receive) = &status.receive {
        source(page, receive)?;
    }
    if let Some(stored) = &status.store {
        store(page, stored)?;
    }
    meshes(page, &status.mesh)?;
    write!(
        page,
        "<p class=\"node\">{role} {version}, up {up}, at {now}</p>\n</div>\n</main>\n<footer>\n<p>\
         <a href=\"/channels.m3u\">Channels for players</a>, <a href=\"/guide.xml\">guide</a>, \
         <a href=\"/status.json\">status as JSON</a>, <a href=\"/metrics\">metrics</a></p>\n\
         </footer>\n</body>\n</html>\n",
        role = Safe(node.role),
        version = Safe(node.version),
        up = age(node.uptime_s),
        now = Moment(&node.now),
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
    page.write_str("<ul class=\"list\" aria-label=\"Channels\">\n")?;
    for channel in channels {
        card(page, channel)?;
    }
    page.write_str("</ul>\n")
}

fn card(page: &mut String, channel: &ChannelStatus) -> fmt::Result {
    let (number, name) = (channel.number, Safe(&channel.name));
    writeln!(page, "<li>\n<h2>{number}: {name}</h2>")?;
    match (&channel.programme, &channel.on_air) {
        (Some(programme), Some(on_air)) => now_showing(page, (number, programme), on_air)?,
        (None, Some(on_air)) => writeln!(page, "<p>On the air: {}</p>", Safe(&on_air.file))?,
        (_, None) => writeln!(page, "<p>{}</p>", state_in_words(channel.state))?,
    }
    if let Some(then) = &channel.then {
        let (movie, at) = (Safe(&then.movie), Moment(&then.starts_at));
        writeln!(page, "<p>Next: {movie}, at {at}</p>")?;
    }
    writeln!(
        page,
        "<p class=\"viewers\">{} watching over tv, of {}; {} over HTTP</p>",
        channel.viewers_tv, channel.max_clients, channel.viewers_http,
    )?;
    if channel.on_air.is_some() {
        writeln!(
            page,
            "<p><a class=\"watch\" href=\"/ch/{number}.mp4\" data-channel=\"{number}\" \
             aria-label=\"Watch channel {number}, {name}\">Watch</a></p>",
        )?;
    }
    page.write_str("</li>\n")
}

fn now_showing(
    page: &mut String,
    (number, programme): (usize, &Programme),
    on_air: &OnAir,
) -> fmt::Result {
    let Programme { movie, starts_at, lasts_s, over_s } = programme;
    let filler = if on_air.replaced { " (filler in its place)" } else { "" };
    let movie = Safe(movie);
    writeln!(
        page,
        "<p>Now: <strong>{movie}</strong>{filler}, since {}</p>\n\
         <progress max=\"{lasts_s:.0}\" value=\"{over_s:.0}\" \
         aria-label=\"How much of {movie} on channel {number} is over\"></progress>",
        Moment(starts_at),
    )
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

fn state_in_words(state: &str) -> &'static str {
    match state {
        "waiting" => "Has not begun",
        "ended" => "Has ended",
        "off" => "Off",
        _ => "Nothing at the moment",
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

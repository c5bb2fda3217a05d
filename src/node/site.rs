//! What each HTTP path gives. Only looks: nothing here changes the node. What each control command
//! gives is in [`super::status`].

use crate::channel::Block;
use crate::http::wire::Tag;
use crate::http::{Body, Document, Request, Response};
use crate::node::Node;

pub(super) use crate::node::status::control;

/// How long a cache may keep a block: for as long as a year is allowed to mean for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The answer to an HTTP request.
pub(super) fn answer(node: &Node, request: &Request) -> Response {
    let path = request.path.as_str();
    if let Some(document) = Document::of(path) {
        document.response(&node.status())
    } else if path == "/healthz" {
        healthz(node)
    } else if let Some((channel, which)) = block_path(path) {
        block(node, channel, which)
    } else {
        Response::not_found()
    }
}

/// Healthy while the loop turns and the node is not stopping; the loop's turning is what answers.
fn healthz(node: &Node) -> Response {
    if node.stopping.is_some() {
        Response::text(503, "stopping")
    } else {
        Response::text(200, "ok")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Live,
    Seq(u64),
}

/// `/ch/<number>/blocks/<seq>` or `/ch/<number>/blocks/live`.
fn block_path(path: &str) -> Option<(usize, Which)> {
    let (channel, which) = path.strip_prefix("/ch/")?.split_once("/blocks/")?;
    let which = match which {
        "live" => Which::Live,
        seq => Which::Seq(number(seq)?),
    };
    Some((usize::try_from(number(channel)?).ok()?, which))
}

/// Digits only: a cache must not see one block under two names.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn block(node: &Node, channel: usize, which: Which) -> Response {
    let Some(channel_state) = node.channels.get(channel) else { return Response::not_found() };
    let window = &channel_state.window;
    match which {
        Which::Seq(seq) => match window.get(seq) {
            Some(block) => whole(block).with("Cache-Control", FOR_EVER),
            None => absent(window.range(), seq),
        },
        Which::Live => match window.live() {
            Some(block) => whole(block)
                .with("Cache-Control", "no-store")
                .with("Content-Location", format!("/ch/{channel}/blocks/{}", block.seq)),
            None => Response::text(503, "nothing is on the air").with("Retry-After", "1"),
        },
    }
}

/// A block whose time is over will not come again, whether it was on the air or left out; one that
/// is not there yet may.
fn absent(range: Option<(u64, u64)>, seq: u64) -> Response {
    match range {
        Some((_, last)) if seq < last => Response::text(410, "the time of this block is over"),
        _ => Response::text(404, "this block is not on the air yet"),
    }
}

fn whole(block: &Block) -> Response {
    // The same on every server that has the same file: two behind one cache must agree.
    let opaque = format!("{:x}-{:x}-{:x}", block.seq, block.len, block.modified.seconds());
    Response {
        status: 200,
        headers: vec![("Content-Type", block.container.media_type().into())],
        body: Body::Blob { blob: block.blob, len: block.len },
        etag: Some(Tag { weak: false, opaque }),
        last_modified: Some(block.modified),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_path() {
        assert_eq!(block_path("/ch/0/blocks/17"), Some((0, Which::Seq(17))));
        assert_eq!(block_path("/ch/12/blocks/live"), Some((12, Which::Live)));
        for path in [
            "/ch/0/blocks/017",
            "/ch/00/blocks/1",
            "/ch/0/blocks/+1",
            "/ch/0/blocks/",
            "/ch//blocks/1",
            "/ch/0/blocks/1/",
            "/ch/-1/blocks/1",
            "/ch/0/blocks/99999999999999999999",
            "/ch/0",
        ] {
            assert_eq!(block_path(path), None, "{path}");
        }
    }
}

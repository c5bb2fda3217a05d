//! What each HTTP path gives that can be had by looking; for what has to be made, [`edge`] is
//! asked. What each control command gives is in [`super::status`].

use crate::channel::Block;
use crate::channel::playout::Playout;
use crate::control;
use crate::http::lineup::{self, List};
use crate::http::wire::Tag;
use crate::http::{self, Body, Document, Request, Response, guide, hls};
use crate::node::{Node, edge, status};

/// How long a cache may keep a block: for as long as a year is allowed to mean for ever.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

impl Node {
    /// Answers requests of the HTTP and control servers.
    pub(super) fn answer(&mut self) -> bool {
        let mut said = false;
        while let Some((conn, request)) =
            self.http.as_mut().and_then(http::server::Server::poll_request)
        {
            said = true;
            let wanted = edge::want(&request.path, request.query.as_deref());
            if Document::of(&request.path) == Some(Document::Status) {
                self.probe_all();
            }
            let response = match wanted {
                Some((channel, want)) => self.edge_answer(conn, channel, want),
                None => Some(answer(self, &request)),
            };
            if let (Some(response), Some(http)) = (response, &mut self.http) {
                http.respond(&mut self.cx, conn, response);
            }
        }
        while let Some((conn, command)) =
            self.control.as_mut().and_then(control::server::Server::poll_command)
        {
            said = true;
            if command.what == control::What::Status {
                self.probe_all();
            }
            let text = status::control(self, command);
            self.control.iter_mut().for_each(|c| c.respond(&mut self.cx, conn, text.clone()));
        }
        said
    }
}

/// The answer to an HTTP request that can be had by looking.
fn answer(node: &Node, request: &Request) -> Response {
    let path = request.path.as_str();
    if let Some(document) = Document::of(path) {
        document.response(&node.status())
    } else if path == "/healthz" {
        healthz(node)
    } else if let Some(list) = List::of(path) {
        let tuners = node.config.http.as_ref().map_or(0, |http| http.connections_max);
        list.response(&channels(node), request.host.as_deref(), tuners)
    } else if path == guide::PATH {
        guide::response(&channels(node), node.cx.now.wall)
    } else if let Some((channel, which)) = block_path(path) {
        block(node, channel, which)
    } else {
        Response::not_found()
    }
}

/// What lists and the guide tell of each channel.
fn channels(node: &Node) -> Vec<lineup::Channel<'_>> {
    let numbered = node.channels.iter().enumerate();
    let told = numbered.map(|(number, channel)| lineup::Channel {
        number,
        name: &channel.name,
        schedule: channel.playout.as_ref().map(Playout::schedule),
    });
    told.collect()
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
        seq => Which::Seq(hls::number(seq)?),
    };
    Some((usize::try_from(hls::number(channel)?).ok()?, which))
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

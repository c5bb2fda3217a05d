//! Whom a timer wakes: the reason says which machine, and the number which of its own.

use crate::base::arena::Key;
use crate::base::port::{Conn, End, Output, Service, Wake, Why};
use crate::node::Node;

impl Node {
    pub(super) fn wake(&mut self, wake: Wake) {
        let Wake { why, what } = wake;
        match why {
            Why::BlockStart => {
                let channel = usize::try_from(what).ok().and_then(|n| self.channels.get_mut(n));
                let playout = channel.and_then(|c| c.playout.as_mut());
                if let Some(playout) = playout {
                    playout.turn(&mut self.cx);
                }
            }
            Why::JoinPause | Why::CallbackRetry => {
                let cx = &mut self.cx;
                self.tv.iter_mut().for_each(|tv| tv.client_timeout(cx, what, why));
            }
            Why::Join | Why::Silent => {
                let cx = &mut self.cx;
                self.client.iter_mut().for_each(|c| c.timer(cx, why));
            }
            Why::MeshAir => self.air_time(what),
            Why::MeshTick | Why::MeshJoin => {
                let cx = &mut self.cx;
                self.trees.iter_mut().for_each(|t| t.timer(cx, what, why));
            }
            Why::EventsTick => {
                let cx = &mut self.cx;
                self.events.iter_mut().for_each(|e| e.tick(cx));
            }
            Why::EdgeProbe => self.probe_next(),
            Why::DrainLimit => self.finish(),
            _ => self.conn_timeout(Conn(Key::from_bits(what)), why),
        }
    }

    fn conn_timeout(&mut self, conn: Conn, why: Why) {
        let cx = &mut self.cx;
        let Some(peer) = cx.peers.get_mut(conn.0) else { return };
        peer.timer = None;
        match (peer.service, why) {
            (_, Why::ClosePatience) => {
                cx.out.push_back(Output::Close { conn, end: End::Reset });
            }
            (Service::Tv | Service::TvCallback, _) => {
                self.tv.iter_mut().for_each(|tv| tv.timeout(cx, conn, why));
            }
            (Service::TvReceive | Service::TvCommand, _) => {
                self.client.iter_mut().for_each(|c| c.timeout(cx, conn, why));
            }
            (Service::Http, _) => self.http.iter_mut().for_each(|h| h.timeout(cx, conn, why)),
            (Service::Control, _) => {
                self.control.iter_mut().for_each(|c| c.timeout(cx, conn, why));
            }
            (Service::Mesh, _) => self.trees.iter_mut().for_each(|t| t.timeout(cx, conn)),
            (Service::Jukebox, _) => self.jukebox.iter_mut().for_each(|j| j.timeout(cx, conn, why)),
            (Service::EventLines, _) => {
                self.events.iter_mut().for_each(|e| e.timeout(cx, conn));
            }
            (Service::FilesTransfer, _) => {
                self.files.iter_mut().for_each(|f| f.timeout(cx, conn));
            }
            (Service::Events | Service::Files, _) => {}
        }
    }
}

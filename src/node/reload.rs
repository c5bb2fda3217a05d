//! A new configuration applied to a running node. The daemon has parsed and checked it, opened
//! its sockets and read its library before: nothing here can fail, so that it is all or nothing.

use crate::base::port::{Conn, End, Service};
use crate::base::time::Now;
use crate::channel::window::Window;
use crate::config::Config;
use crate::media::catalog::Catalog;
use crate::node::make::{channels, programme, spool};
use crate::node::{Channel, Environment, Node};
use crate::{control, http, tv};

impl Node {
    /// Runs by another configuration from now on. What it says of role, source and the port that a
    /// server dials in on must be what this node was made with. A node that is stopping only goes
    /// on stopping. Drain [`Node::poll_output`] after it.
    pub fn reload(
        &mut self,
        now: Now,
        config: Config,
        catalog: &Catalog,
        environment: Environment,
    ) {
        self.cx.now = now;
        if self.stopping.is_some() {
            return;
        }
        self.reloads += 1;
        let store_changed = config.store.as_ref().map(|s| &s.directory)
            != self.config.store.as_ref().map(|s| &s.directory);
        let old_events = self.config.events.take();
        let teams_changed = self.environment.teams != environment.teams
            || self.environment.lines_live != environment.lines_live;
        self.config = config;
        self.environment = environment;
        self.reload_events(old_events.as_ref(), teams_changed);
        self.reload_tv();
        self.edge_reset();
        self.reload_channels(catalog);
        self.sync_roots();
        self.take_back();
        self.reload_http();
        self.reload_control();
        self.reload_jukebox();
        self.reload_files();
        if let (Some(client), Some(receive)) = (&mut self.client, &self.config.receive) {
            client.set_period(receive.period);
        }
        if store_changed {
            self.spool = spool(&self.config, &self.environment);
        } else if let (Some(spool), Some(store)) = (&mut self.spool, &self.config.store) {
            spool.set_keep(&mut self.cx, store.keep_blocks);
        }
        self.settle();
    }

    /// Where the source is, as it was looked up at the start.
    #[must_use]
    pub fn source_address(&self) -> Option<std::net::SocketAddr> {
        self.environment.source
    }

    /// What others dial, as it was looked up at the start.
    #[must_use]
    pub fn advertised_address(&self) -> Option<std::net::SocketAddr> {
        self.environment.advertise
    }

    /// Where the roots are, as they were looked up at the start.
    #[must_use]
    pub fn roots(&self) -> &[std::net::SocketAddr] {
        &self.environment.roots
    }

    /// Whether every root has failed since this was last asked: their names may mean others now.
    pub fn take_rootless(&mut self) -> bool {
        core::mem::take(&mut self.rootless) && self.stopping.is_none()
    }

    /// Where the roots are now. Drain [`Node::poll_output`] after it.
    pub fn set_roots(&mut self, now: Now, roots: Vec<std::net::SocketAddr>) {
        self.cx.now = now;
        self.environment.roots = roots;
        if self.config.source.is_none() && self.stopping.is_none() {
            self.trees.iter_mut().for_each(|trees| trees.set_roots(&self.environment.roots));
        }
        self.settle();
    }

    fn reload_channels(&mut self, catalog: &Catalog) {
        let now = self.cx.now;
        let wanted = channels(&self.config, catalog, now);
        let cx = &mut self.cx;
        for ended in self.channels.drain(wanted.len().min(self.channels.len())..) {
            end(cx, ended);
        }
        let kept = self.channels.len();
        for (number, new) in wanted.into_iter().enumerate() {
            let Some(old) = self.channels.get_mut(number) else {
                self.channels.push(new);
                continue;
            };
            (old.name, old.max_clients) = (new.name, new.max_clients);
            let Some(config) = self.config.channels.get(number) else { continue };
            let (schedule, filler) = programme(config, catalog);
            if let Some(playout) = &mut old.playout {
                playout.reschedule(cx, schedule, filler);
            }
        }
        let limits: Vec<_> = self.channels.iter().map(|c| c.max_clients).collect();
        self.tv.iter_mut().for_each(|tv| tv.set_channels(cx, &limits));
        for playout in self.channels[kept..].iter_mut().filter_map(|c| c.playout.as_mut()) {
            playout.turn(cx);
        }
        self.tell_live();
    }

    /// A tv server that is new does not know what is on the air.
    fn tell_live(&mut self) {
        let Some(tv) = &mut self.tv else { return };
        for (number, channel) in self.channels.iter().enumerate() {
            if let Some(block) = channel.window.live().filter(|_| !tv.is_told(number)) {
                tv.air(&mut self.cx, number, block);
            }
        }
    }

    fn reload_tv(&mut self) {
        match (&mut self.tv, &self.config.tv) {
            (Some(tv), Some(config)) => tv.set_rules(config, &self.environment.attached),
            (None, Some(config)) => {
                self.tv = Some(tv::server::Server::new(config, &self.environment.attached));
            }
            (Some(tv), None) => {
                tv.drain(&mut self.cx);
                self.tv = None;
                self.hang_up(&[Service::Tv, Service::TvCallback]);
            }
            (None, None) => {}
        }
    }

    fn reload_http(&mut self) {
        match (&mut self.http, &self.config.http) {
            (Some(http), Some(h)) => {
                http.set_limits(h.connections_max, h.per_address_max, h.lag_max);
            }
            (None, Some(h)) => {
                let http =
                    http::server::Server::new(h.connections_max, h.per_address_max, h.lag_max);
                self.http = Some(http);
            }
            (Some(_), None) => {
                self.http = None;
                self.hang_up(&[Service::Http]);
            }
            (None, None) => {}
        }
    }

    fn reload_control(&mut self) {
        match (&self.control, &self.config.control) {
            (None, Some(_)) => self.control = Some(control::server::Server::new()),
            (Some(_), None) => {
                self.control = None;
                self.hang_up(&[Service::Control]);
            }
            _ => {}
        }
    }

    /// Ends every connection of services that are switched off.
    pub(super) fn hang_up(&mut self, services: &[Service]) {
        let theirs = self.cx.peers.iter().filter(|(_, peer)| services.contains(&peer.service));
        let conns: Vec<_> = theirs.map(|(key, _)| Conn(key)).collect();
        for conn in conns {
            self.cx.close(conn, End::Reset);
        }
    }
}

fn end(cx: &mut crate::base::port::Cx, mut channel: Channel) {
    if let Some(playout) = &mut channel.playout {
        playout.stop(cx);
    }
    Window::clear(&mut channel.window, cx);
}

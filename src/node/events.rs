//! The live ticker in a node: made from its section, told what arrives, worded for the log by
//! `observe`. It stands beside the channels and shares nothing with them.

use std::net::SocketAddr;

use crate::base::port::Service;
use crate::config::{self, Config, EventSource};
use crate::events::server::{Server, Source};
use crate::node::{Environment, Node, observe};

/// The ticker's server, as the configuration says.
pub(super) fn make(config: &Config, environment: &Environment, seed: u64) -> Option<Server> {
    let config = config.events.as_ref()?;
    let source = match &config.source {
        EventSource::Game => {
            let teams = environment.teams.clone().unwrap_or_default();
            // As much of it as people like to type, when they want that match again.
            Source::Game(teams, config.seed.unwrap_or(seed & 0xffff_ffff))
        }
        EventSource::Lines(_) if !environment.lines_live => Source::File,
        EventSource::Lines(_) | EventSource::Socket(_) => Source::Live,
    };
    Some(Server::new(config, source))
}

impl Node {
    pub(super) fn settle_events(&mut self) -> bool {
        let Some(events) = &mut self.events else { return false };
        let before = self.lines.len();
        let told = std::iter::from_fn(|| events.poll_event());
        self.lines.extend(told.map(|event| observe::events(&event)));
        self.lines.len() > before
    }

    /// Goes over to another configuration; `old` is the section that was in force.
    pub(super) fn reload_events(&mut self, old: Option<&config::Events>, teams_changed: bool) {
        let new = self.config.events.as_ref();
        let origin = |e: &config::Events| (e.source.clone(), e.seed);
        let same = old.map(origin) == new.map(origin) && !teams_changed;
        if same {
            if let (Some(events), Some(config)) = (&mut self.events, new) {
                events.set_rules(config);
            }
            return;
        }
        if let Some(mut ended) = self.events.take() {
            ended.drain(&mut self.cx);
            let told = std::iter::from_fn(|| ended.poll_event());
            self.lines.extend(told.map(|event| observe::events(&event)));
        }
        let seed = self.cx.rng.next_u64();
        self.events = make(&self.config, &self.environment, seed);
        if let Some(events) = &mut self.events {
            events.start(&mut self.cx);
        }
    }

    pub(super) fn datagram(&mut self, service: Service, from: SocketAddr, bytes: &[u8]) {
        if let (Service::Events, None, Some(events)) = (service, self.stopping, &mut self.events) {
            events.datagram(&mut self.cx, from, bytes);
        }
        if let (Service::Files, None, Some(files)) = (service, self.stopping, &mut self.files) {
            files.datagram(&mut self.cx, from, bytes);
        }
    }

    pub(super) fn event_lines(&mut self, bytes: &[u8]) {
        if let (None, Some(events)) = (self.stopping, &mut self.events) {
            events.lines(&mut self.cx, bytes);
        }
    }

    pub(super) fn event_lines_ended(&mut self) {
        if let (None, Some(events)) = (self.stopping, &mut self.events) {
            events.lines_ended(&mut self.cx);
        }
    }
}

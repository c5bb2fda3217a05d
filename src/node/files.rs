//! The files joined to a node: opened, told of datagrams, worded for the log, reloaded.

use std::net::SocketAddr;

use crate::base::port::{Blob, Conn, Facts};
use crate::config::Config;
use crate::files::server::Server;
use crate::node::{Environment, Node, observe};

/// The server of files, as the configuration says.
pub(super) fn make(config: &Config, environment: &Environment) -> Option<Server> {
    config.files.as_ref().map(|config| Server::new(config, &environment.files))
}

impl Node {
    pub(super) fn settle_files(&mut self) -> bool {
        let Some(files) = &mut self.files else { return false };
        let before = self.lines.len();
        let told = std::iter::from_fn(|| files.poll_event());
        self.lines.extend(told.map(|event| observe::files(&event)));
        self.lines.len() > before
    }

    pub(super) fn heard(&mut self, conn: Conn, from: SocketAddr, bytes: &[u8]) {
        if let (true, Some(files)) = (self.cx.is_open(conn), &mut self.files) {
            files.heard(&mut self.cx, conn, from, bytes);
        }
    }

    pub(super) fn file_opened(&mut self, blob: Blob, facts: Facts<'_>) -> bool {
        self.files.as_mut().is_some_and(|f| f.opened(&mut self.cx, blob, facts))
    }

    pub(super) fn file_unreadable(&mut self, blob: Blob, why: &str) -> bool {
        self.files.as_mut().is_some_and(|f| f.unreadable(&mut self.cx, blob, why))
    }

    pub(super) fn file_faulted(&mut self, blob: Blob) -> bool {
        self.files.as_mut().is_some_and(|f| f.faulted(&mut self.cx, blob))
    }

    pub(super) fn reload_files(&mut self) {
        match (&mut self.files, &self.config.files) {
            (Some(files), Some(config)) => files.set(config, &self.environment.files),
            (None, Some(_)) => self.files = make(&self.config, &self.environment),
            (Some(files), None) => {
                files.drain(&mut self.cx);
                let told = std::iter::from_fn(|| files.poll_event());
                self.lines.extend(told.map(|event| observe::files(&event)));
                self.files = None;
            }
            (None, None) => {}
        }
    }
}

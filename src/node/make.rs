//! The parts of a node as its configuration says. Used when a node is made and when it reloads.

use std::rc::Rc;

use crate::base::time::Now;
use crate::channel::playout::Playout;
use crate::channel::spool::Spool;
use crate::channel::window::Window;
use crate::config::{self, Config};
use crate::media::catalog::{Catalog, Movie};
use crate::media::schedule::Schedule;
use crate::node::{Channel, Environment};
use crate::tv;

pub(super) fn channels(config: &Config, catalog: &Catalog, now: Now) -> Vec<Channel> {
    let mut channels: Vec<_> = config.channels.iter().map(|c| scheduled(c, catalog)).collect();
    if let Some(source) = &config.source {
        channels.push(Channel {
            name: format!("tv://{}:{}/{}", source.host, source.port, source.channel),
            max_clients: config.tv.as_ref().map_or(0, |tv| tv.max_clients),
            window: Window::default(),
            playout: None,
            // Caches may hold blocks of an earlier run: numbers must not come again.
            arrivals: (u64::try_from(now.wall.seconds()).unwrap_or(0), 0),
        });
    }
    channels
}

fn scheduled(config: &config::Channel, catalog: &Catalog) -> Channel {
    let (schedule, filler) = programme(config, catalog);
    Channel {
        name: config.name.clone(),
        max_clients: config.max_clients,
        window: Window::default(),
        playout: Some(Playout::new(config.number, schedule, filler)),
        arrivals: (0, 0),
    }
}

/// The schedule and the filler of a channel. Movies that are not in the catalog are left out; the
/// daemon has refused such a configuration before.
pub(super) fn programme(
    config: &config::Channel,
    catalog: &Catalog,
) -> (Schedule, Option<Rc<Movie>>) {
    let movies = config.playlist.iter().filter_map(|name| catalog.find(name)).cloned();
    let schedule = Schedule::new(config.epoch, config.repeat, movies.collect());
    (schedule, config.filler.as_deref().and_then(|name| catalog.find(name)).cloned())
}

pub(super) fn client(config: &Config, environment: &Environment) -> Option<tv::client::Client> {
    let (source, receive) = (config.source.as_ref()?, config.receive.as_ref()?);
    let from = receive.listen.ip();
    let from = (!from.is_unspecified()).then_some(from);
    let server = environment.source?;
    Some(tv::client::Client::new(server, source.channel, from, receive.period))
}

pub(super) fn spool(config: &Config, environment: &Environment) -> Option<Spool> {
    let store = config.store.as_ref()?;
    let channel = config.source.as_ref().map_or(0, |s| s.channel);
    Some(Spool::new(channel, store.keep_blocks, environment.stored.iter().cloned()))
}

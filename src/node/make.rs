//! The parts of a node as its configuration says. Used when a node is made and when it reloads.

use core::time::Duration;
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
    // The relay trees carry blocks ahead of their time.
    let lead = config.mesh.as_ref().map_or(Duration::ZERO, |mesh| mesh.lead);
    let scheduled = |c: &config::Channel| scheduled(c, catalog, lead);
    let mut channels: Vec<_> = config.channels.iter().map(scheduled).collect();
    if let Some(name) = source_name(config) {
        channels.push(Channel {
            name,
            max_clients: config.tv.as_ref().map_or(0, |tv| tv.max_clients),
            window: Window::default(),
            playout: None,
            // Caches may hold blocks of an earlier run: numbers must not come again.
            arrivals: (u64::try_from(now.wall.seconds()).unwrap_or(0), 0),
            run: now.wall.0.unsigned_abs(),
        });
    }
    channels
}

/// What a node that has no schedule calls the channel it takes.
fn source_name(config: &Config) -> Option<String> {
    if let Some(source) = &config.source {
        return Some(format!("tv://{}:{}/{}", source.host, source.port, source.channel));
    }
    let mesh = config.mesh.as_ref()?;
    let (host, port) = mesh.roots.first()?;
    Some(format!("mesh://{host}:{port}/{}", mesh.channel))
}

fn scheduled(config: &config::Channel, catalog: &Catalog, lead: Duration) -> Channel {
    let (schedule, filler) = programme(config, catalog);
    let playout = Playout::new(config.number, schedule, filler).with_lead(lead);
    Channel {
        name: config.name.clone(),
        max_clients: config.max_clients,
        window: Window::default(),
        playout: Some(playout),
        arrivals: (0, 0),
        run: 0,
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
    let client = tv::client::Client::new(server, source.channel, from, receive.period);
    Some(if config.mesh.is_some() { client.with_mesh() } else { client })
}

pub(super) fn jukebox(
    config: &Config,
    environment: &Environment,
) -> Option<crate::jukebox::server::Server> {
    let config = config.jukebox.as_ref()?;
    Some(crate::jukebox::server::Server::new(config, &environment.songs))
}

pub(super) fn spool(config: &Config, environment: &Environment) -> Option<Spool> {
    let store = config.store.as_ref()?;
    let channel = match (&config.source, &config.mesh) {
        (Some(source), _) => usize::from(source.channel),
        (None, mesh) => mesh.as_ref().map_or(0, |mesh| mesh.channel),
    };
    Some(Spool::new(channel, store.keep_blocks, environment.stored.iter().cloned()))
}

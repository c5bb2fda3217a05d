//! SIGHUP: read, check, compare, log the plan, apply all of it or nothing. A file that is not good
//! leaves everything as it was.

use crate::base::port::{Level, Service};
use crate::config::{self, Config, Plan};
use crate::daemon::setup::{self, Listening};
use crate::daemon::{Daemon, Failure};
use crate::io::descriptors;
use crate::io::library::{Scan, Survey};
use crate::io::lines::Lines;
use crate::io::listener::Place;
use crate::io::songs::Songs;
use crate::io::videos::Videos;
use crate::media::catalog::Catalog;
use crate::node::{Environment, Teams};

/// All that a new configuration needs, opened before anything is changed.
struct Prepared {
    config: Config,
    plan: Plan,
    scan: Option<Scan>,
    library: Option<std::fs::File>,
    store: Option<setup::Store>,
    songs: Option<Songs>,
    videos: Option<Videos>,
    opened: Listening,
    ticker: Ticker,
}

/// What the ticker needs.
struct Ticker {
    teams: Option<Teams>,
    /// Whether there is another source of lines, or none any more, and which.
    lines_moved: bool,
    lines: Option<Lines>,
}

impl Daemon {
    pub(super) fn reload(&mut self) {
        self.notify.reloading(self.now.mono);
        match self.prepare() {
            Ok(prepared) => self.change(prepared),
            Err(failure) => {
                for line in failure.text().lines() {
                    self.log.write(self.now, Level::Error, &format!("reload: {line}"));
                }
                self.say(Level::Error, "reload: refused; everything stays as it was");
            }
        }
        self.notify.ready();
    }

    fn prepare(&mut self) -> Result<Prepared, Failure> {
        let new = setup::load(&self.options)?;
        let plan = config::plan(&self.config, &new);
        let config = config::apply(&self.config, &new);
        let scan = setup::scan(&config)?;
        let library = setup::library_directory(&config)?;
        let directory = |c: &Config| c.store.as_ref().map(|s| s.directory.clone());
        let moved = directory(&config) != directory(&self.config);
        let store = if moved { setup::store(&config)? } else { None };
        let songs = setup::songs(&config)?;
        let videos = setup::videos(&config)?;
        let teams = setup::teams(&config)?;
        let source = |c: &Config| c.events.as_ref().map(|e| e.source.clone());
        let lines_moved = source(&config) != source(&self.config);
        let lines = if lines_moved { setup::lines(&config)? } else { None };
        let opened = self.open_new(&config)?;
        let ticker = Ticker { teams, lines_moved, lines };
        Ok(Prepared { config, plan, scan, library, store, songs, videos, opened, ticker })
    }

    /// Opens what is not open yet; closes it again when one of them cannot be had.
    fn open_new(&mut self, config: &Config) -> Result<Listening, Failure> {
        let mut opened = Listening::new();
        for (service, place) in setup::wanted(config) {
            if self.has(service, &place) {
                continue;
            }
            match setup::listen(&mut self.reactor, service, &place) {
                Ok(got) => opened.push((service, place, got)),
                Err(failure) => {
                    for (service, _, got) in opened {
                        self.reactor.unlisten(service, &got);
                    }
                    return Err(failure);
                }
            }
        }
        Ok(opened)
    }

    fn has(&self, service: Service, place: &Place) -> bool {
        self.listening.iter().any(|(s, configured, _)| *s == service && configured == place)
    }

    /// Applies what was prepared. Nothing here can fail.
    fn change(&mut self, prepared: Prepared) {
        let Prepared { config, plan, scan, library, store, songs, videos, opened, ticker } =
            prepared;
        let Ticker { teams, lines_moved, lines } = ticker;
        for line in plan.to_string().lines() {
            self.say(Level::Info, line);
        }
        self.relisten(&config, opened);
        self.reactor.set_library(library);
        self.config = config.clone();
        let directory_changed = store.is_some() || config.store.is_none();
        let (spooler, stored) = store.unzip();
        if directory_changed {
            self.reactor.set_spooler(spooler);
        }
        if lines_moved && let Err(error) = self.reactor.set_lines(lines) {
            self.say(Level::Error, &format!("reload: [events] source: {error}"));
        }
        let source = self.node.source_address();
        let (songs, found) = setup::in_use(&mut self.reactor, songs);
        self.tell_songs(&found);
        let (files, found) = setup::videos_in_use(&mut self.reactor, videos);
        self.tell_videos(&found);
        let environment = Environment {
            attached: descriptors::attached(),
            source,
            mesh: setup::mesh_address(&self.listening),
            advertise: self.node.advertised_address(),
            roots: self.node.roots().to_vec(),
            stored: stored.unwrap_or_default(),
            songs,
            files,
            teams,
            lines_live: self.reactor.is_live(),
        };
        let empty = Catalog::default();
        let catalog = scan.as_ref().map_or(&empty, |scan| &scan.catalog);
        self.node.reload(self.now, config, catalog, environment);
        self.log.set_level(self.config.log.level);
        self.log.set_target(self.now, self.config.log.target);
        self.settle();
        if let Some(scan) = &scan {
            self.tell(&scan.findings);
            self.survey = Some(Survey::new(scan));
        }
        self.say(Level::Info, "reload: done");
    }

    fn relisten(&mut self, config: &Config, opened: Listening) {
        let wanted = setup::wanted(config);
        let stays = |entry: &(Service, Place, Place)| {
            wanted.iter().any(|(service, place)| (*service, place) == (entry.0, &entry.1))
        };
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.listening).into_iter().partition(stays);
        for (service, _, got) in ended {
            self.say(Level::Info, &format!("no longer listening: {} on {got}", service.name()));
            self.reactor.unlisten(service, &got);
        }
        self.listening = kept;
        for (service, place, got) in opened {
            self.say(Level::Info, &format!("listening: {} on {got}", service.name()));
            self.listening.push((service, place, got));
        }
    }
}

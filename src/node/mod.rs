//! A node: the machines of its role joined together, the arena of peers, the wheel. Pure: the
//! daemon and the simulator run the same lines.
//!
//! What belongs where: a machine knows its own protocol and says what happened; here that is
//! passed on (a block that the source brings goes to the window, and from there to every sink) and
//! worded for the log (`observe`). A role is only which machines exist.

mod blobs;
mod edge;
mod events;
mod files;
mod invariants;
mod jukebox;
mod make;
mod observe;
mod reload;
mod site;
mod status;
mod timers;
mod trees;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use ipnet::IpNet;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Gone, Input, Level, Output, Service, Why};
use crate::base::status::Status;
use crate::base::time::{Mono, Now};
use crate::base::wheel::Timer;
use crate::channel::playout::{self, Playout};
use crate::channel::spool::Spool;
use crate::channel::window::Window;
use crate::channel::{Block, playout::State};
use crate::config::Config;
use crate::media::catalog::Catalog;
use crate::media::sniff::{Container, sniff};
use crate::media::song::Song;
use crate::node::trees::Trees;
use crate::{control, http, tv};

pub use crate::events::teams::{Teams, TeamsError};

/// What a node is told of its surroundings at the start and at a reload.
#[derive(Clone, Default, Debug)]
pub struct Environment {
    /// Networks of this machine's interfaces.
    pub attached: Vec<IpNet>,
    /// The source's address, looked up.
    pub source: Option<SocketAddr>,
    /// Where this node's mesh port is.
    pub mesh: Option<SocketAddr>,
    /// What others dial to come there, where that is configured, looked up.
    pub advertise: Option<SocketAddr>,
    /// The roots' addresses, looked up, best first.
    pub roots: Vec<SocketAddr>,
    /// Files that the store holds already: name and bytes.
    pub stored: Vec<(String, u64)>,
    /// The songs of the jukebox.
    pub songs: Vec<Song>,
    /// The names of the files that are served, in the order of the list.
    pub files: Vec<Rc<str>>,
    /// The teams of the simulated matches; those that are built in when none.
    pub teams: Option<Teams>,
    /// Whether the source of lines is written while it is read: a FIFO, no file.
    pub lines_live: bool,
}

/// One channel of this node.
#[derive(Debug)]
struct Channel {
    name: String,
    max_clients: usize,
    window: Window,
    /// The source, when it is a schedule; else the channel is what the tv client brings.
    playout: Option<Playout>,
    /// The number of the next block that the tv client brings, and how many it brought.
    arrivals: (u64, u64),
    /// What the numbering of blocks is called that come without one.
    run: u64,
}

/// Everything that a process is, but for what touches the world.
#[derive(Debug)]
pub struct Node {
    cx: Cx,
    config: Config,
    environment: Environment,
    channels: Vec<Channel>,
    tv: Option<tv::server::Server>,
    client: Option<tv::client::Client>,
    spool: Option<Spool>,
    http: Option<http::server::Server>,
    control: Option<control::server::Server>,
    trees: Option<Trees>,
    jukebox: Option<crate::jukebox::server::Server>,
    events: Option<crate::events::server::Server>,
    files: Option<crate::files::server::Server>,
    started: Now,
    turns: u64,
    reloads: u64,
    log_dropped: u64,
    edge: edge::Edge,
    stopping: Option<Stopping>,
    lines: VecDeque<(Level, String)>,
    /// Whether every root has failed, so that their names are to be looked up again.
    rootless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stopping {
    /// Until all is left and sent, or this timer fires.
    Draining(Timer),
    Done,
}

impl Node {
    /// A node of a checked configuration whose movies are all in the catalog. [`Node::start`]
    /// begins.
    #[must_use]
    pub fn new(
        config: Config,
        catalog: &Catalog,
        environment: Environment,
        now: Now,
        seed: u64,
    ) -> Self {
        let tv = config.tv.as_ref().map(|tv| tv::server::Server::new(tv, &environment.attached));
        let http = config.http.as_ref();
        let http = http
            .map(|h| http::server::Server::new(h.connections_max, h.per_address_max, h.lag_max));
        let control = config.control.as_ref().map(|_| control::server::Server::new());
        let jukebox = make::jukebox(&config, &environment);
        let channels = make::channels(&config, catalog, now);
        let client = make::client(&config, &environment);
        let spool = make::spool(&config, &environment);
        let events = events::make(&config, &environment, seed);
        let files = files::make(&config, &environment);
        Self {
            cx: Cx::new(now, seed),
            config,
            environment,
            channels,
            tv,
            client,
            spool,
            http,
            control,
            trees: None,
            events,
            files,
            jukebox,
            started: now,
            turns: 0,
            reloads: 0,
            log_dropped: 0,
            edge: edge::Edge::default(),
            stopping: None,
            rootless: false,
            lines: VecDeque::new(),
        }
    }

    /// Begins: the sources open their first blocks, the client asks to be let in.
    pub fn start(&mut self, now: Now) {
        self.cx.now = now;
        let limits: Vec<_> = self.channels.iter().map(|c| c.max_clients).collect();
        if let Some(tv) = &mut self.tv {
            tv.set_channels(&mut self.cx, &limits);
        }
        self.start_trees();
        for playout in self.channels.iter_mut().filter_map(|c| c.playout.as_mut()) {
            playout.turn(&mut self.cx);
        }
        if let Some(client) = &mut self.client {
            client.start(&mut self.cx);
        }
        self.events.iter_mut().for_each(|e| e.start(&mut self.cx));
        self.settle();
    }

    /// Tells the node something. Drain [`Node::poll_output`] after it.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.cx.now = now;
        match input {
            Input::Incoming { service, local, peer } => self.incoming(service, local, peer),
            Input::Connected { conn, .. } => self.connected(conn),
            Input::Data { conn, bytes } => self.data(conn, bytes),
            Input::Filled { conn, upto, .. } => self.filled(conn, upto),
            Input::Ended { conn } => self.ended(conn),
            Input::Sent { conn, bytes, left } => self.sent(conn, bytes, left),
            Input::Closed { conn, why } => self.closed(conn, why),
            Input::Hashed { span, hash } => {
                let cx = &mut self.cx;
                if !self.files.as_mut().is_some_and(|f| f.hashed(cx, span, hash)) {
                    self.trees.iter_mut().for_each(|t| t.hashed(cx, span, hash));
                }
            }
            Input::Read { span, bytes } => self.edge_read(span, bytes),
            Input::Datagram { service, from, bytes } => self.datagram(service, from, bytes),
            Input::Heard { conn, from, bytes } => self.heard(conn, from, bytes),
            Input::Lines { bytes } => self.event_lines(bytes),
            Input::LinesEnded => self.event_lines_ended(),
            Input::Opened { blob, facts } => self.opened(blob, facts),
            Input::Unreadable { blob, why } => self.unreadable(blob, why),
            Input::Faulted { blob } => self.faulted(blob),
            Input::Stored { name, result } => {
                if let Some(spool) = &mut self.spool {
                    spool.stored(&mut self.cx, &name, result);
                }
            }
            Input::Stop => self.stop(),
        }
        self.settle();
    }

    /// Handles every timer that is due. Drain [`Node::poll_output`] after it.
    ///
    /// # Panics
    /// When a machine armed a timer that is due at once again and again: a bug of ours.
    pub fn handle_timeout(&mut self, now: Now) {
        self.cx.now = now;
        self.turns += 1;
        while let Some((_, wake)) = self.cx.wheel.pop_due(now.mono) {
            self.wake(wake);
            self.settle();
        }
        let next = self.cx.wheel.next();
        assert!(next.is_none_or(|at| at > now.mono), "what was due has been handled");
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.out.pop_front()
    }

    /// When [`Node::handle_timeout`] is wanted, if anything is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.cx.wheel.next()
    }

    /// The earliest wait and its reason, for the curious.
    #[must_use]
    pub fn next_wake(&self) -> Option<(Mono, Why)> {
        self.cx.wheel.next_timer().map(|(at, wake)| (at, wake.why))
    }

    /// Lines that the log had to drop so far, for the status document.
    pub fn set_log_dropped(&mut self, lines: u64) {
        self.log_dropped = lines;
    }

    fn service(&self, conn: Conn) -> Option<Service> {
        self.cx.peers.get(conn.0).filter(|p| !p.closing).map(|p| p.service)
    }

    fn incoming(&mut self, service: Service, local: Option<SocketAddr>, peer: Option<SocketAddr>) {
        if self.stopping.is_some() {
            return;
        }
        let cx = &mut self.cx;
        match service {
            Service::Tv => self.tv.iter_mut().for_each(|tv| tv.incoming(cx, local, peer)),
            Service::TvReceive => self.client.iter_mut().for_each(|c| c.incoming(cx, peer)),
            Service::Http => self.http.iter_mut().for_each(|http| http.incoming(cx, peer)),
            Service::Control => self.control.iter_mut().for_each(|c| c.incoming(cx)),
            Service::Mesh => self.trees.iter_mut().for_each(|t| t.incoming(cx, peer)),
            Service::Jukebox => self.jukebox.iter_mut().for_each(|j| j.incoming(cx, peer)),
            Service::EventLines => self.events.iter_mut().for_each(|e| e.incoming(cx)),
            Service::TvCallback
            | Service::TvCommand
            | Service::Events
            | Service::Files
            | Service::FilesTransfer => {}
        }
    }

    fn filled(&mut self, conn: Conn, upto: u64) {
        let service = self.service(conn);
        let cx = &mut self.cx;
        match service {
            Some(Service::Mesh) => self.trees.iter_mut().for_each(|t| t.filled(cx, conn, upto)),
            Some(_) => {
                self.client.iter_mut().for_each(|c| c.filled(cx, conn, upto));
            }
            None => {}
        }
    }

    fn connected(&mut self, conn: Conn) {
        if let (Some(Service::TvCallback), Some(tv)) = (self.service(conn), &mut self.tv) {
            tv.connected(&mut self.cx, conn);
        }
    }

    fn data(&mut self, conn: Conn, bytes: &[u8]) {
        let service = self.service(conn);
        let cx = &mut self.cx;
        match service {
            Some(Service::Tv) => self.tv.iter_mut().for_each(|tv| tv.data(cx, conn, bytes)),
            Some(Service::Http) => self.http.iter_mut().for_each(|h| h.data(cx, conn, bytes)),
            Some(Service::Control) => {
                self.control.iter_mut().for_each(|c| c.data(cx, conn, bytes));
            }
            Some(Service::Mesh) => self.trees.iter_mut().for_each(|t| t.data(cx, conn, bytes)),
            Some(Service::TvCommand) => {
                self.client.iter_mut().for_each(|c| c.data(cx, conn, bytes));
            }
            Some(Service::Jukebox) => self.jukebox.iter_mut().for_each(|j| j.data(cx, conn, bytes)),
            Some(Service::EventLines) => {
                self.events.iter_mut().for_each(|e| e.data(cx, conn, bytes));
            }
            // Nobody has anything to say on the others.
            _ => {}
        }
    }

    fn ended(&mut self, conn: Conn) {
        let service = self.service(conn);
        let cx = &mut self.cx;
        match service {
            Some(Service::Tv | Service::TvCallback) => {
                self.tv.iter_mut().for_each(|tv| tv.ended(cx, conn));
            }
            Some(Service::TvReceive | Service::TvCommand) => {
                self.client.iter_mut().for_each(|c| c.ended(cx, conn));
            }
            Some(Service::Http) => self.http.iter_mut().for_each(|h| h.ended(cx, conn)),
            Some(Service::Control) => self.control.iter_mut().for_each(|c| c.ended(cx, conn)),
            Some(Service::Mesh) => self.trees.iter_mut().for_each(|t| t.ended(cx, conn)),
            Some(Service::Jukebox) => self.jukebox.iter_mut().for_each(|j| j.ended(cx, conn)),
            Some(Service::EventLines) => {
                self.events.iter_mut().for_each(|e| e.ended(cx, conn));
            }
            Some(Service::Events | Service::Files | Service::FilesTransfer) | None => {}
        }
    }

    fn sent(&mut self, conn: Conn, bytes: u64, left: u64) {
        let service = self.service(conn);
        let cx = &mut self.cx;
        match service {
            Some(Service::TvCallback) => {
                self.tv.iter_mut().for_each(|tv| tv.sent(cx, conn, bytes, left));
            }
            Some(Service::Http) => {
                self.http.iter_mut().for_each(|h| h.sent(cx, conn, left));
                self.edge_catch_up();
            }
            Some(Service::Control) => {
                self.control.iter_mut().for_each(|c| c.sent(cx, conn, left));
            }
            Some(Service::Mesh) => self.trees.iter_mut().for_each(|t| t.sent(cx, conn, bytes)),
            Some(Service::Jukebox) => self.jukebox.iter_mut().for_each(|j| j.sent(cx, conn, left)),
            _ => {}
        }
    }

    fn closed(&mut self, conn: Conn, why: Gone) {
        let Some(peer) = self.cx.peers.remove(conn.0) else { return };
        if let Some(timer) = peer.timer {
            self.cx.wheel.cancel(timer);
        }
        let cx = &mut self.cx;
        match peer.service {
            Service::Tv | Service::TvCallback => {
                self.tv.iter_mut().for_each(|tv| tv.closed(cx, conn, why));
            }
            Service::TvReceive | Service::TvCommand => {
                self.client.iter_mut().for_each(|c| c.closed(cx, conn, why));
            }
            Service::Http => self.http.iter_mut().for_each(|http| http.closed(conn)),
            Service::Control => self.control.iter_mut().for_each(|c| c.closed(conn)),
            Service::Mesh => self.trees.iter_mut().for_each(|t| t.closed(cx, conn, why)),
            Service::Jukebox => self.jukebox.iter_mut().for_each(|j| j.closed(cx, conn, why)),
            Service::EventLines => self.events.iter_mut().for_each(|e| e.closed(cx, conn)),
            Service::FilesTransfer => {
                self.files.iter_mut().for_each(|f| f.closed(cx, conn, why));
            }
            Service::Events | Service::Files => {}
        }
    }

    /// Passes on what the machines say until none says anything more.
    fn settle(&mut self) {
        loop {
            let mut said = self.settle_channels();
            said |= self.settle_tv();
            said |= self.settle_client();
            said |= self.settle_trees();
            said |= self.settle_jukebox();
            said |= self.settle_events();
            said |= self.settle_files();
            said |= self.answer();
            if !said {
                break;
            }
        }
        let level = self.config.log.level;
        for (grave, text) in self.lines.drain(..).filter(|(grave, _)| *grave <= level) {
            self.cx.out.push_back(Output::Log { level: grave, text });
        }
        if matches!(self.stopping, Some(Stopping::Draining(_))) && self.is_drained() {
            self.finish();
        }
        // With many connections a look after each input would be all that a debug build does.
        debug_assert!(self.cx.peers.len() > 256 || self.check_invariants(), "the books agree");
    }

    fn settle_channels(&mut self) -> bool {
        let mut said = false;
        for number in 0..self.channels.len() {
            while let Some(event) = self.channels[number].playout_event() {
                said = true;
                self.playout_event(number, event);
            }
        }
        said
    }

    fn playout_event(&mut self, number: usize, event: playout::Event) {
        let name = &self.channels[number].name;
        self.lines.push_back(observe::playout(number, name, &event));
        match event {
            playout::Event::Ready(block) => self.lend(number, &block),
            playout::Event::Aired(block) => {
                self.air(number, &block);
                self.lend(number, &block);
            }
            playout::Event::Skipped { .. }
            | playout::Event::Waiting { .. }
            | playout::Event::Over => {
                self.channels[number].window.go_off_air();
                self.tv.iter_mut().for_each(|tv| tv.off_air(number));
            }
            _ => {}
        }
    }

    /// A block goes on the air: into the window and to every sink.
    fn air(&mut self, number: usize, block: &Rc<Block>) {
        self.channels[number].window.push(&mut self.cx, Rc::clone(block));
        if let Some(tv) = &mut self.tv {
            tv.air(&mut self.cx, number, block);
        }
        if let Some(spool) = &mut self.spool {
            spool.block(&mut self.cx, block);
        }
        self.edge_aired(number, block.seq);
        self.take_back();
    }

    fn settle_tv(&mut self) -> bool {
        let Some(tv) = &mut self.tv else { return false };
        let events = std::iter::from_fn(|| tv.poll_event());
        let before = self.lines.len();
        self.lines.extend(events.map(|event| observe::tv_server(&event)));
        self.lines.len() > before
    }

    fn settle_client(&mut self) -> bool {
        let mut said = false;
        while let Some(event) = self.client.as_mut().and_then(tv::client::Client::poll_event) {
            said = true;
            self.lines.push_back(observe::tv_client(&event));
            match event {
                tv::client::Event::Block { blob, len, head, at } => {
                    self.arrive(blob, len, &head, at);
                }
                tv::client::Event::Joined => self.let_in(),
                tv::client::Event::Listed { clients } => self.let_others_in(&clients),
                _ => {}
            }
        }
        while let Some(event) = self.spool.as_mut().and_then(Spool::poll_event) {
            said = true;
            self.lines.push_back(observe::spool(&event));
        }
        said
    }

    /// The tv client brought a block: it is on the air from now on.
    fn arrive(&mut self, blob: Blob, len: u64, head: &[u8], at: crate::base::time::Wall) {
        let period = self.client.as_ref().map_or_else(Default::default, tv::client::Client::period);
        let Some(channel) = self.channels.first_mut() else { return self.cx.release(blob) };
        let (seq, count) = channel.arrivals;
        channel.arrivals = (seq + 1, count + 1);
        // A block of no known kind keeps the seed's extension.
        let container = sniff(head).unwrap_or(Container::Mkv);
        let index = u32::try_from(count).unwrap_or(u32::MAX);
        let block = Block {
            seq,
            movie: "".into(),
            index,
            file: format!("{seq}.{}", container.extension()).into(),
            blob,
            len,
            modified: at,
            container,
            starts_at: at,
            lasts: period,
            replaced: false,
            place: None,
        };
        self.pass(block);
    }

    /// Everything there is to know, now.
    #[must_use]
    pub fn status(&self) -> Status {
        status::of(self)
    }

    /// Leaves, drains, and is done when nothing is under way or [`limits::DRAIN_MAX`] is over.
    fn stop(&mut self) {
        if self.stopping.is_some() {
            return self.finish();
        }
        let cx = &mut self.cx;
        let limit = cx.wake(Why::DrainLimit, 0, limits::DRAIN_MAX);
        self.stopping = Some(Stopping::Draining(limit));
        self.channels.iter_mut().filter_map(|c| c.playout.as_mut()).for_each(|p| p.stop(cx));
        self.tv.iter_mut().for_each(|tv| tv.drain(cx));
        self.client.iter_mut().for_each(|c| c.leave(cx));
        self.http.iter_mut().for_each(|http| http.drain(cx));
        self.control.iter_mut().for_each(|c| c.drain(cx));
        self.jukebox.iter_mut().for_each(|jukebox| jukebox.drain(cx));
        self.events.iter_mut().for_each(|e| e.drain(cx));
        self.files.iter_mut().for_each(|f| f.drain(cx));
        self.leave_trees();
    }

    fn is_drained(&self) -> bool {
        self.cx.peers.is_empty()
            && self.client.as_ref().is_none_or(|c| c.state() == tv::client::State::Over)
            && self.spool.as_ref().is_none_or(|s| !s.is_busy())
            && self.trees.as_ref().is_none_or(Trees::is_over)
    }

    fn finish(&mut self) {
        if let Some(Stopping::Draining(limit)) = self.stopping {
            self.cx.wheel.cancel(limit);
            for (number, channel) in self.channels.iter_mut().enumerate() {
                self.tv.iter_mut().for_each(|tv| tv.off_air(number));
                channel.window.clear(&mut self.cx);
            }
            self.edge_reset();
            self.drop_trees();
            self.stopping = Some(Stopping::Done);
            self.cx.out.push_back(Output::Done);
        }
    }
}

impl Channel {
    fn playout_event(&mut self) -> Option<playout::Event> {
        self.playout.as_mut()?.poll_event()
    }

    fn state(&self) -> &'static str {
        match (&self.playout, self.window.live()) {
            (_, Some(_)) => "on_air",
            (Some(playout), None) if playout.state() == Some(State::Waiting) => "waiting",
            (Some(playout), None) if playout.state() == Some(State::Over) => "ended",
            _ => "off",
        }
    }
}

#[cfg(test)]
mod tests;

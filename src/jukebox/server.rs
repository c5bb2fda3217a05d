//! The listeners of a node's jukebox: requests in, one frame at a time out. Holds no socket and no
//! byte of a song: a frame is a head, a span of the song's blob and a tail. The node drives it with
//! what [`Input`] tells.
//!
//! | a listener | timer | goes on when |
//! |---|---|---|
//! | has something on its way | `JukeboxStall`, anew with each byte | all of it is taken |
//! | has a reply or a frame to come | `JukeboxFrame` | its time has come |
//! | waits for its song to be opened | `JukeboxStall` | it is, or cannot be |
//! | has nothing to do | `JukeboxIdle` | it asks for something |
//!
//! What keeps the original client right: never two payloads queued on a connection, at least
//! [`limits::JUKEBOX_GAP`] between two, so that each of its reads finds one frame; the reply to a
//! request waits for the frame that is on its way and is followed by nothing of the song it ended.
//!
//! The time of a frame follows from the song's own rate: at any time after the song began, no more
//! was sent than one second of it, what is not music in it, and [`Pace`] times what has played.
//!
//! [`Input`]: crate::base::port::Input

mod listener;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, End, Facts, Gone, Output, Payload, Service, Why};
use crate::base::status::JukeboxStatus;
use crate::base::time::Mono;
use crate::config::{self, Pace};
use crate::jukebox::wire::{self, Asked, Request};
use crate::media::song::Song;

use listener::{Listener, Playing};

/// The jukebox of a node.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    songs: Vec<Rc<Song>>,
    /// The answer to `list`.
    list: Box<[u8]>,
    listeners: Side<Listener>,
    /// Songs that are open, each once however many listen to it.
    lent: BTreeMap<Blob, Lent>,
    /// Those with nothing to do, and since when.
    idle: BTreeSet<(Mono, Conn)>,
    per_address: BTreeMap<IpAddr, usize>,
    draining: bool,
    stats: JukeboxStatus,
    events: VecDeque<Event>,
}

/// What the configuration says about listeners.
#[derive(Clone, Copy, Debug)]
struct Rules {
    pace: Pace,
    listeners_max: usize,
    per_address_max: usize,
    stall_max: Duration,
}

impl Rules {
    fn of(config: &config::Jukebox) -> Self {
        Self {
            pace: config.pace,
            listeners_max: config.listeners_max,
            per_address_max: config.per_address_max,
            stall_max: config.stall_max,
        }
    }
}

/// An open song.
#[derive(Debug)]
struct Lent {
    song: Rc<Song>,
    /// Its length; none while it is being opened.
    len: Option<u64>,
    listeners: usize,
}

/// What happened, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// More songs than a list can name; the last are left out.
    LeftOut {
        /// How many.
        songs: usize,
    },
    /// A song begins.
    Plays {
        /// For whom.
        address: Option<SocketAddr>,
        /// Its number.
        sid: usize,
        /// Its file.
        file: Rc<str>,
    },
    /// A song cannot be opened.
    Unreadable {
        /// Its file.
        file: Rc<str>,
        /// Why.
        why: String,
    },
    /// A song shrank or broke while it was sent; who listened to it is cut off.
    Broke {
        /// Its file.
        file: Rc<str>,
    },
    /// A listener took nothing for too long, and is closed.
    Stalled {
        /// Who.
        address: Option<SocketAddr>,
    },
    /// A listener sent bytes without an end, and is closed.
    Endless {
        /// Who.
        address: Option<SocketAddr>,
    },
    /// A listener sent what is no request.
    Unknown {
        /// Who.
        address: Option<SocketAddr>,
        /// The first bytes of it.
        bytes: Box<[u8]>,
    },
    /// Somebody was not let in.
    Full {
        /// Who.
        address: Option<SocketAddr>,
    },
}

impl Server {
    /// A jukebox with these songs and no listeners.
    #[must_use]
    pub fn new(config: &config::Jukebox, songs: &[Song]) -> Self {
        let mut server = Self {
            rules: Rules::of(config),
            songs: Vec::new(),
            list: Box::default(),
            listeners: Side::default(),
            lent: BTreeMap::new(),
            idle: BTreeSet::new(),
            per_address: BTreeMap::new(),
            draining: false,
            stats: JukeboxStatus::default(),
            events: VecDeque::new(),
        };
        server.set_songs(songs);
        server
    }

    /// Plays by other rules from now on.
    pub fn set_rules(&mut self, config: &config::Jukebox) {
        self.rules = Rules::of(config);
    }

    /// Has other songs from now on, sorted by name; who listens to an old one hears it to its end.
    pub fn set_songs(&mut self, songs: &[Song]) {
        let old = core::mem::take(&mut self.songs);
        let kept = |song: &Song| old.iter().find(|old| ***old == *song).map(Rc::clone);
        self.songs = songs.iter().map(|s| kept(s).unwrap_or_else(|| Rc::new(s.clone()))).collect();
        self.songs.sort_by(|a, b| a.file.cmp(&b.file));
        let titles: Vec<_> = self.songs.iter().map(|song| wire::title(&song.file)).collect();
        let listed = wire::fitting(titles.iter().map(String::as_str));
        if listed < titles.len() {
            self.say(Event::LeftOut { songs: titles.len() - listed });
        }
        self.songs.truncate(listed);
        self.list = wire::list(titles[..listed].iter().map(String::as_str));
    }

    /// Somebody connected; taken with [`Output::Accept`], or not.
    pub fn incoming(&mut self, cx: &mut Cx, peer: Option<SocketAddr>) {
        let address = peer.map(|peer| host(peer.ip()));
        let taken = !self.draining && self.has_room_for(address) && self.make_room(cx);
        let idle = (Why::JukeboxIdle, limits::JUKEBOX_IDLE_MAX);
        let conn = if taken { cx.accept(Service::Jukebox, peer, idle) } else { None };
        let Some(conn) = conn else {
            self.stats.refused += 1;
            return self.say(Event::Full { address: peer });
        };
        self.stats.accepted += 1;
        cx.out.push_back(Output::Apart { conn });
        if let Some(address) = address {
            *self.per_address.entry(address).or_default() += 1;
        }
        self.listeners.insert(conn.0, Listener::new(address, cx.now.mono));
        self.idle.insert((cx.now.mono, conn));
    }

    fn has_room_for(&self, address: Option<IpAddr>) -> bool {
        let count = address.and_then(|address| self.per_address.get(&address));
        let most = self.rules.per_address_max;
        most == 0 || count.is_none_or(|count| *count < most)
    }

    /// Whether one more fits, after closing the one that has had nothing to do for longest, if that
    /// was long enough.
    fn make_room(&mut self, cx: &mut Cx) -> bool {
        while self.listeners.len() >= self.rules.listeners_max {
            let Some((since, oldest)) = self.idle.first().copied() else { return false };
            if cx.now.mono.since(since) < limits::JUKEBOX_IDLE_MIN {
                return false;
            }
            self.stats.evicted += 1;
            self.close(cx, oldest, End::Flushed);
        }
        true
    }

    /// Bytes arrived.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        listener.requests.push(bytes);
        self.go_on(cx, conn);
    }

    /// The peer will send no more; what it asked for before is still done.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        listener.ended = true;
        self.go_on(cx, conn);
    }

    /// The kernel took bytes and `left` are still queued.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, left: u64) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        if left >= listener.left {
            return;
        }
        listener.left = left;
        if left > 0 {
            self.stats.split += u64::from(!core::mem::replace(&mut listener.split, true));
            return cx.arm(conn, Why::JukeboxStall, self.rules.stall_max);
        }
        listener.taken_at = Some(cx.now.mono);
        self.go_on(cx, conn);
    }

    /// The connection is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn, why: Gone) {
        self.stats.faulted += u64::from(why == Gone::Faulted);
        self.forget(cx, conn);
    }

    /// Its timer is due.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn, why: Why) {
        match why {
            Why::JukeboxFrame => self.go_on(cx, conn),
            Why::JukeboxStall => {
                self.stats.stalled += 1;
                self.say(Event::Stalled { address: address(cx, conn) });
                self.close(cx, conn, End::Reset);
            }
            // Nothing asked for all day.
            _ => self.close(cx, conn, End::Flushed),
        }
    }

    /// A song was opened; whether it is one of ours.
    pub fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        let Some(lent) = self.lent.get_mut(&blob) else { return false };
        lent.len = Some(facts.len);
        for conn in self.listening(blob) {
            self.begin(cx, conn);
            self.go_on(cx, conn);
        }
        true
    }

    /// A song could not be opened; whether it is one of ours.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob, why: &str) -> bool {
        let Some(lent) = self.lent.get(&blob) else { return false };
        self.events
            .push_back(Event::Unreadable { file: Rc::clone(&lent.song.file), why: why.to_owned() });
        for conn in self.listening(blob) {
            let sid = self.stop(cx, conn);
            let Some(listener) = self.listeners.get_mut(conn.0) else { continue };
            listener.reply = sid.filter(|_| listener.greeted).map(|sid| wire::song(sid, None));
            self.go_on(cx, conn);
        }
        true
    }

    /// A song broke while it was sent; whether it is one of ours. Whoever had a frame of it on its
    /// way is cut off by the reactor, the others here.
    pub fn faulted(&mut self, cx: &mut Cx, blob: Blob) -> bool {
        let Some(lent) = self.lent.get(&blob) else { return false };
        self.events.push_back(Event::Broke { file: Rc::clone(&lent.song.file) });
        for conn in self.listening(blob) {
            self.stats.faulted += 1;
            self.close(cx, conn, End::Reset);
        }
        true
    }

    fn listening(&self, blob: Blob) -> Vec<Conn> {
        let theirs = |l: &Listener| l.playing.as_ref().is_some_and(|p| p.blob == blob);
        let listeners = self.listeners.iter().filter(|(_, listener)| theirs(listener));
        listeners.map(|(key, _)| Conn(key)).collect()
    }

    /// What happened, for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn say(&mut self, event: Event) {
        if self.events.len() < limits::EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    /// Takes requests as long as there is nothing to answer, then sends what is due.
    fn go_on(&mut self, cx: &mut Cx, conn: Conn) {
        while let Some(listener) = self.listeners.get_mut(conn.0).filter(|l| !l.is_busy()) {
            match listener.requests.poll() {
                Ok(Some(Asked::Request(request))) => self.obey(cx, conn, request),
                Ok(Some(Asked::Unknown(bytes))) => {
                    self.stats.unknown += 1;
                    self.say(Event::Unknown { address: address(cx, conn), bytes });
                }
                Ok(None) => break,
                Err(wire::Endless) => {
                    self.say(Event::Endless { address: address(cx, conn) });
                    return self.close(cx, conn, End::Flushed);
                }
            }
        }
        self.advance(cx, conn);
        if let Some(listener) = self.listeners.get_mut(conn.0) {
            listener.hold_if_ahead(cx, conn);
        }
    }

    fn obey(&mut self, cx: &mut Cx, conn: Conn, request: Request) {
        self.stats.requests += 1;
        let reply = match request {
            Request::List => Some(self.list.clone()),
            Request::Stop => {
                self.stop(cx, conn);
                Some(wire::STOP.into())
            }
            Request::Quit => {
                self.stop(cx, conn);
                Some(wire::QUIT.into())
            }
            Request::Hello => Some(wire::HELLO.into()),
            Request::Play(sid) => self.play(cx, conn, sid),
        };
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        listener.reply = reply;
        listener.quits |= request == Request::Quit;
        listener.greeted |= request == Request::Hello;
    }

    /// Begins a song in place of the one that plays; an unknown one changes nothing and is answered
    /// only to those who asked to be told.
    fn play(&mut self, cx: &mut Cx, conn: Conn, sid: Option<usize>) -> Option<Box<[u8]>> {
        let song = sid.and_then(|sid| self.songs.get(sid)).map(Rc::clone);
        let greeted = self.listeners.get(conn.0).is_some_and(|l| l.greeted);
        let unknown = || sid.filter(|_| greeted).map(|sid| wire::song(sid, None));
        let (Some(sid), Some(song)) = (sid, song) else { return unknown() };
        self.stop(cx, conn);
        let open = self.lent.iter_mut().find(|(_, lent)| Rc::ptr_eq(&lent.song, &song));
        let is_open = open.as_ref().is_some_and(|(_, lent)| lent.len.is_some());
        let blob = if let Some((blob, lent)) = open {
            lent.listeners += 1;
            *blob
        } else {
            let Some(blob) = cx.open_song(Rc::clone(&song.file)) else { return unknown() };
            self.lent.insert(blob, Lent { song: Rc::clone(&song), len: None, listeners: 1 });
            blob
        };
        let listener = self.listeners.get_mut(conn.0)?;
        listener.playing = Some(Playing { blob, song, sid, len: None, at: 0, began: cx.now.mono });
        if is_open {
            self.begin(cx, conn);
            return self.listeners.get_mut(conn.0)?.reply.take();
        }
        None
    }

    /// The song of a listener is open: it begins now.
    fn begin(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        let Some(playing) = &mut listener.playing else { return };
        let Some(len) = self.lent.get(&playing.blob).and_then(|lent| lent.len) else { return };
        (playing.len, playing.began) = (Some(len), cx.now.mono);
        let (sid, file) = (playing.sid, Rc::clone(&playing.song.file));
        if listener.greeted {
            let ms = playing.song.lasts.map_or(0, |lasts| lasts.as_millis());
            let ms = u64::try_from(ms).unwrap_or(u64::MAX);
            listener.reply = Some(wire::song(sid, Some((len, ms))));
        }
        self.stats.songs_begun += 1;
        self.say(Event::Plays { address: address(cx, conn), sid, file });
    }

    /// Ends the song of a listener; its number.
    fn stop(&mut self, cx: &mut Cx, conn: Conn) -> Option<usize> {
        let playing = self.listeners.get_mut(conn.0)?.playing.take()?;
        if let Some(lent) = self.lent.get_mut(&playing.blob) {
            lent.listeners -= 1;
            if lent.listeners == 0 {
                self.lent.remove(&playing.blob);
                cx.release(playing.blob);
            }
        }
        Some(playing.sid)
    }

    /// Sends the reply, or the frame, whose time has come; else waits for it.
    fn advance(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        if listener.left > 0 {
            return;
        }
        let Some(due) = listener.due(self.rules.pace) else {
            return self.rest(cx, conn);
        };
        self.leave_idle(conn);
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        if due > cx.now.mono {
            return cx.arm(conn, Why::JukeboxFrame, due.since(cx.now.mono));
        }
        if let Some(reply) = listener.reply.take() {
            (listener.framed, listener.split) = (false, false);
            let quits = listener.quits;
            self.send(cx, conn, Payload::bytes(reply));
            if quits {
                self.close(cx, conn, End::Flushed);
            }
            return;
        }
        let Some(playing) = &mut listener.playing else { return };
        let (frame, bytes, over) = playing.take();
        (listener.framed, listener.split) = (true, false);
        self.stats.frames += 1;
        self.stats.song_bytes += bytes;
        self.send(cx, conn, frame);
        if over {
            self.stats.songs_over += 1;
            self.stop(cx, conn);
        }
    }

    fn send(&mut self, cx: &mut Cx, conn: Conn, payload: Payload) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        listener.left = payload.len();
        cx.send(conn, payload);
        cx.arm(conn, Why::JukeboxStall, self.rules.stall_max);
    }

    /// Nothing is to be sent now: the song is being opened, or there is nothing to do.
    fn rest(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(listener) = self.listeners.get_mut(conn.0) else { return };
        if listener.playing.is_some() {
            self.leave_idle(conn);
            return cx.arm(conn, Why::JukeboxStall, self.rules.stall_max);
        }
        if listener.ended || self.draining {
            return self.close(cx, conn, End::Flushed);
        }
        if listener.idle_since.is_none() {
            listener.idle_since = Some(cx.now.mono);
            self.idle.insert((cx.now.mono, conn));
            cx.arm(conn, Why::JukeboxIdle, limits::JUKEBOX_IDLE_MAX);
        }
    }

    fn leave_idle(&mut self, conn: Conn) {
        let since = self.listeners.get_mut(conn.0).and_then(|l| l.idle_since.take());
        if let Some(since) = since {
            self.idle.remove(&(since, conn));
        }
    }

    fn close(&mut self, cx: &mut Cx, conn: Conn, end: End) {
        self.forget(cx, conn);
        cx.close(conn, end);
    }

    fn forget(&mut self, cx: &mut Cx, conn: Conn) {
        self.stop(cx, conn);
        self.leave_idle(conn);
        let Some(listener) = self.listeners.remove(conn.0) else { return };
        let Some(address) = listener.address else { return };
        let count = self.per_address.get_mut(&address).expect("each listener was counted once");
        *count -= 1;
        if *count == 0 {
            self.per_address.remove(&address);
        }
    }

    /// Stops gracefully: each listener gets the frame that is on its way, and then the end.
    pub fn drain(&mut self, cx: &mut Cx) {
        self.draining = true;
        let all: Vec<Conn> = self.listeners.iter().map(|(key, _)| Conn(key)).collect();
        for conn in all {
            self.close(cx, conn, End::Flushed);
        }
    }

    /// Counters, listeners and songs now.
    #[must_use]
    pub fn stats(&self) -> JukeboxStatus {
        JukeboxStatus {
            songs: self.songs.len(),
            listeners: self.listeners.len(),
            playing: self.lent.values().map(|lent| lent.listeners).sum(),
            ..self.stats
        }
    }

    /// Blobs that it holds.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.lent.len()
    }

    /// Compares the tables with each other and with the node's.
    ///
    /// # Panics
    /// When they disagree, naming what holds no longer.
    pub fn check_invariants(&self, cx: &Cx) {
        let (mut idle, mut playing) = (0, 0);
        for (key, listener) in self.listeners.iter() {
            let peer = cx.peers.get(key).expect("a listener is a known connection");
            assert!(
                peer.service == Service::Jukebox && !peer.closing,
                "closing ones are forgotten"
            );
            assert!(peer.timer.is_some(), "every listener has a timer");
            let place = listener.idle_since.map(|since| (since, Conn(key)));
            assert!(place.is_none_or(|p| self.idle.contains(&p)), "an idle one has its place");
            assert!(
                place.is_none() || (listener.playing.is_none() && listener.reply.is_none()),
                "an idle one has nothing to do"
            );
            let blob = listener.playing.as_ref().map(|p| p.blob);
            assert!(blob.is_none_or(|b| self.lent.contains_key(&b)), "what plays is open");
            idle += usize::from(place.is_some());
            playing += usize::from(blob.is_some());
        }
        assert_eq!(self.idle.len(), idle, "only idle ones have a place");
        let lent = self.lent.values().map(|lent| lent.listeners);
        assert!(lent.clone().all(|count| count > 0), "what nobody hears is released");
        assert_eq!(lent.sum::<usize>(), playing, "each who hears a song holds it once");
        let counted = self.listeners.iter().filter(|(_, l)| l.address.is_some()).count();
        assert_eq!(self.per_address.values().sum::<usize>(), counted, "addresses add up");
    }
}

fn address(cx: &Cx, conn: Conn) -> Option<SocketAddr> {
    cx.peers.get(conn.0).and_then(|peer| peer.addr)
}

/// What listeners are counted under: an IPv4 address, or the first half of an IPv6 address, which
/// is what one host has.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6((v6.to_bits() & (u128::from(u64::MAX) << 64)).into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;

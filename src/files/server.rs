//! The server of files: requests in at the well-known port, each file out from a port of its own.
//! What one transfer does is in `transfer`; here is who may have one, which files are open, and
//! how the rate is shared.
//!
//! A file is mapped once however many take it, and hashed once, while the first of them is under
//! way. A transfer's address that has not answered from its transfer port gets at most three times
//! what it sent; transfers are bounded in all and for each address.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{
    Blob, Conn, Cx, End, Facts as Found, Gone, Output, Payload, Service, Span, Why as Wake,
};
use crate::base::status::FilesStatus;
use crate::config;
use crate::files::lists::{self, Lists};
use crate::files::sender::Stats as Figures;
use crate::files::transfer::{Asked, Facts, Transfer};
use crate::files::wire::{self, Bad, Nonce, Request, Why};

pub use crate::files::transfer::Ending;

/// What may change while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Where transfer ports are.
    pub at: IpAddr,
    /// Transfers at once.
    pub transfers_max: usize,
    /// Of these to one address; 0 sets no limit.
    pub per_address_max: usize,
    /// Bytes a second of one transfer.
    pub rate_max: u64,
    /// Bytes a second of all together.
    pub total_rate_max: u64,
    /// Bytes that an original client is sent behind the first that it has not acked.
    pub buffer: u64,
}

impl Rules {
    fn of(config: &config::Files) -> Self {
        Self {
            at: config.listen.ip(),
            transfers_max: config.transfers_max,
            per_address_max: config.per_address_max,
            rate_max: config.rate_max,
            total_rate_max: config.total_rate_max,
            buffer: config.buffer,
        }
    }
}

/// What happened, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A transfer begins.
    Started {
        /// To whom.
        peer: SocketAddr,
        /// What.
        file: Rc<str>,
        /// Whether it knows our wire.
        ours: bool,
    },
    /// A transfer is over.
    Ended {
        /// Whose.
        peer: SocketAddr,
        /// What.
        file: Rc<str>,
        /// How.
        ending: Ending,
        /// Its figures.
        figures: Figures,
    },
    /// A file that is listed cannot be opened.
    Unreadable {
        /// Which.
        file: Rc<str>,
        /// Why.
        why: String,
    },
    /// Nobody more gets a file now, in all or at this address. Told once a minute at most.
    Full {
        /// Who was the last.
        peer: SocketAddr,
        /// How many since it was last told.
        refused: u64,
    },
    /// A datagram that is no request.
    BadRequest {
        /// From whom.
        peer: SocketAddr,
        /// What it is instead.
        why: Bad,
        /// Its bytes, as far as they may be shown.
        bytes: Vec<u8>,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Lists sent.
    pub lists: u64,
    /// Lists not sent, because there were too many.
    pub lists_refused: u64,
    /// Transfers begun.
    pub transfers: u64,
    /// Of these, with everything delivered.
    pub whole: u64,
    /// Requests for which there was no room.
    pub refused: u64,
    /// Datagrams that were no request.
    pub bad_requests: u64,
    /// Datagrams at transfer ports that came from somebody else.
    pub strangers: u64,
    /// Datagrams of clients that were no good.
    pub bad_datagrams: u64,
    /// Bytes of files that were acked, of transfers that are over.
    pub bytes: u64,
    /// Datagrams sent in transfers that are over, of these again, and found to be lost.
    pub datagrams: u64,
    /// See [`Stats::datagrams`].
    pub again: u64,
    /// See [`Stats::datagrams`].
    pub lost: u64,
}

impl Stats {
    fn add(&mut self, figures: &Figures) {
        self.bytes += figures.acked;
        self.datagrams += figures.datagrams;
        self.again += figures.again;
        self.lost += figures.lost;
    }
}

/// A file that is being sent.
#[derive(Debug)]
struct Open {
    blob: Blob,
    facts: Option<Facts>,
    hash: Option<[u8; 32]>,
    /// Whether its hash has been asked for.
    hashing: bool,
    /// It is not what it was; nobody more gets it.
    stale: bool,
    users: usize,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    names: Vec<Rc<str>>,
    list: String,
    lists: Lists,
    open: BTreeMap<Blob, (Rc<str>, Open)>,
    transfers: BTreeMap<Conn, Transfer>,
    asked: BTreeMap<(SocketAddr, Option<Nonce>), Conn>,
    addresses: BTreeMap<IpAddr, usize>,
    running: usize,
    /// Hashes of files that were sent of late, by name and tag.
    hashes: VecDeque<(Rc<str>, u64, [u8; 32])>,
    refused: (u64, Option<crate::base::time::Mono>),
    stats: Stats,
    events: VecDeque<Event>,
}

impl Server {
    /// A server of files of these names, in the order in which they are listed.
    #[must_use]
    pub fn new(config: &config::Files, names: &[Rc<str>]) -> Self {
        Self {
            rules: Rules::of(config),
            names: names.to_vec(),
            list: lists::text(names),
            lists: Lists::default(),
            open: BTreeMap::new(),
            transfers: BTreeMap::new(),
            asked: BTreeMap::new(),
            addresses: BTreeMap::new(),
            running: 0,
            hashes: VecDeque::new(),
            refused: (0, None),
            stats: Stats::default(),
            events: VecDeque::new(),
        }
    }

    /// Lives by other rules and lists other files from now on; transfers go on.
    pub fn set(&mut self, config: &config::Files, names: &[Rc<str>]) {
        self.rules = Rules::of(config);
        self.names = names.to_vec();
        self.list = lists::text(names);
        self.share();
    }

    /// A datagram at the well-known port.
    pub fn datagram(&mut self, cx: &mut Cx, from: SocketAddr, bytes: &[u8]) {
        let short = bytes.len() <= limits::FILES_REQUEST_BYTES_MAX;
        match if short { Request::parse(bytes) } else { Err(Bad::Text) } {
            Ok(Request::List) => self.tell_list(cx, from),
            Ok(Request::Get(index, nonce)) => self.get(cx, (from, nonce), index, bytes.len()),
            Err(why) => {
                self.stats.bad_requests += 1;
                let bytes = bytes[..bytes.len().min(limits::SHOWN_BYTES_MAX + 1)].to_vec();
                self.events.push_back(Event::BadRequest { peer: from, why, bytes });
            }
        }
    }

    fn tell_list(&mut self, cx: &mut Cx, to: SocketAddr) {
        if !self.lists.may(cx.now.mono, to.ip(), self.list.len() as u64) {
            self.stats.lists_refused += 1;
            return;
        }
        self.stats.lists += 1;
        for bytes in wire::list(&self.list) {
            tell(cx, to, bytes);
        }
    }

    fn get(
        &mut self,
        cx: &mut Cx,
        (peer, nonce): (SocketAddr, Option<Nonce>),
        index: Option<usize>,
        bytes: usize,
    ) {
        if let Some(conn) = self.asked.get(&(peer, nonce)).copied() {
            if let Some(transfer) = self.transfers.get_mut(&conn) {
                transfer.asked_again(cx, bytes as u64);
            }
            return self.pump(cx, conn);
        }
        let Some(file) = index.and_then(|index| self.names.get(index)).cloned() else {
            return tell_text(cx, peer, wire::BAD_INDEX);
        };
        let has = self.addresses.get(&peer.ip()).copied().unwrap_or(0);
        let most = self.rules.per_address_max;
        let full = self.transfers.len() >= self.rules.transfers_max || (most > 0 && has >= most);
        let begun = if full { None } else { self.begin(cx, (peer, nonce), &file, bytes) };
        if begun.is_none() {
            self.refuse(cx, peer, nonce);
        }
    }

    fn refuse(&mut self, cx: &mut Cx, peer: SocketAddr, nonce: Option<Nonce>) {
        let now = cx.now.mono;
        self.stats.refused += 1;
        self.refused.0 += 1;
        if self.refused.1.is_none_or(|at| now.since(at) >= limits::SAY_AGAIN) {
            let refused = std::mem::take(&mut self.refused.0);
            self.refused.1 = Some(now);
            self.events.push_back(Event::Full { peer, refused });
        }
        if nonce.is_some() {
            tell_text(cx, peer, wire::BUSY);
        }
    }

    fn begin(
        &mut self,
        cx: &mut Cx,
        (peer, nonce): (SocketAddr, Option<Nonce>),
        file: &Rc<str>,
        bytes: usize,
    ) -> Option<()> {
        let blob = self.lend(cx, file)?;
        let patience = (Wake::FilesTransfer, limits::FILES_SILENCE_MAX);
        let port = cx.open_port(Service::FilesTransfer, (peer, self.rules.at), patience);
        let Some(conn) = port else {
            self.give_back(cx, blob);
            return None;
        };
        let rate_max = self.rules.rate_max;
        let file = Rc::clone(file);
        let buffer = self.rules.buffer;
        let asked = Asked { conn, peer, nonce, file, blob, bytes: bytes as u64, rate_max, buffer };
        self.transfers.insert(conn, Transfer::new(cx, asked));
        self.asked.insert((peer, nonce), conn);
        *self.addresses.entry(peer.ip()).or_insert(0) += 1;
        if let Some(facts) = self.open.get(&blob).and_then(|(_, open)| open.facts) {
            self.present(cx, conn, facts);
        }
        Some(())
    }

    /// The blob of a file, opened if it is not.
    fn lend(&mut self, cx: &mut Cx, file: &Rc<str>) -> Option<Blob> {
        let known = self.open.values_mut().find(|(name, open)| name == file && !open.stale);
        if let Some((_, open)) = known {
            open.users += 1;
            return Some(open.blob);
        }
        let blob = cx.open_file(Rc::clone(file))?;
        let (facts, hash) = (None, None);
        let open = Open { blob, facts, hash, hashing: false, stale: false, users: 1 };
        self.open.insert(blob, (Rc::clone(file), open));
        Some(blob)
    }

    fn give_back(&mut self, cx: &mut Cx, blob: Blob) {
        let Some((_, open)) = self.open.get_mut(&blob) else { return };
        open.users -= 1;
        if open.users == 0 {
            self.open.remove(&blob);
            cx.release(blob);
        }
    }

    fn present(&mut self, cx: &mut Cx, conn: Conn, facts: Facts) {
        if let Some(transfer) = self.transfers.get_mut(&conn) {
            transfer.opened(cx, facts);
        }
        self.pump(cx, conn);
    }

    /// A file is open; whether it was one of ours.
    pub fn opened(&mut self, cx: &mut Cx, blob: Blob, found: Found<'_>) -> bool {
        let Some((file, open)) = self.open.get_mut(&blob) else { return false };
        let changed = found.modified.0.cast_unsigned();
        let tag = changed.rotate_left(24) ^ found.len.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let facts = Facts { size: found.len, tag };
        open.facts = Some(facts);
        let known = self.hashes.iter().find(|(name, known, _)| name == file && *known == tag);
        open.hash = known.map(|(_, _, hash)| *hash);
        open.hashing = open.hash.is_some();
        for conn in self.users(blob) {
            self.present(cx, conn, facts);
        }
        true
    }

    fn users(&self, blob: Blob) -> Vec<Conn> {
        self.transfers.values().filter(|t| t.blob() == blob).map(|t| t.conn).collect()
    }

    /// A file cannot be opened; whether it was one of ours.
    pub fn unreadable(&mut self, cx: &mut Cx, blob: Blob, why: &str) -> bool {
        let Some((file, _)) = self.open.get(&blob) else { return false };
        let file = Rc::clone(file);
        self.events.push_back(Event::Unreadable { file, why: why.to_owned() });
        for conn in self.users(blob) {
            if let Some(transfer) = self.transfers.get(&conn) {
                tell_text(cx, transfer.peer, wire::NOT_FOUND);
            }
            self.remove(cx, conn);
        }
        true
    }

    /// A file shrank or broke; whether it was one of ours.
    pub fn faulted(&mut self, cx: &mut Cx, blob: Blob) -> bool {
        if !self.open.contains_key(&blob) {
            return false;
        }
        self.fail(cx, blob, Why::Changed);
        true
    }

    fn fail(&mut self, cx: &mut Cx, blob: Blob, why: Why) {
        if let Some((_, open)) = self.open.get_mut(&blob) {
            open.stale = true;
        }
        for conn in self.users(blob) {
            self.over(cx, conn, Ending::Failed(why));
        }
    }

    /// A file is hashed; whether it was one of ours.
    pub fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) -> bool {
        let Some((file, open)) = self.open.get_mut(&span.blob) else { return false };
        open.hash = hash;
        let (Some(hash), Some(facts)) = (hash, open.facts) else {
            self.fail(cx, span.blob, Why::Changed);
            return true;
        };
        self.hashes.push_back((Rc::clone(file), facts.tag, hash));
        if self.hashes.len() > limits::FILES_HASHES_MAX {
            self.hashes.pop_front();
        }
        for conn in self.users(span.blob) {
            self.pump(cx, conn);
        }
        true
    }

    /// A datagram at a transfer port.
    pub fn heard(&mut self, cx: &mut Cx, conn: Conn, from: SocketAddr, bytes: &[u8]) {
        let Some(transfer) = self.transfers.get_mut(&conn) else { return };
        if transfer.peer != from {
            self.stats.strangers += 1;
            return;
        }
        let (began, bad) = (transfer.is_running(), transfer.bad);
        let ending = transfer.heard(cx, bytes);
        self.stats.bad_datagrams += transfer.bad - bad;
        let begins = !began && transfer.is_running();
        match ending {
            Some(ending) => return self.over(cx, conn, ending),
            None if begins => self.started(cx, conn),
            None => {}
        }
        self.pump(cx, conn);
    }

    fn started(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(transfer) = self.transfers.get(&conn) else { return };
        let (peer, file, blob) = (transfer.peer, Rc::clone(&transfer.file), transfer.blob());
        let ours = transfer.nonce.is_some();
        self.stats.transfers += 1;
        self.running += 1;
        self.events.push_back(Event::Started { peer, file, ours });
        self.share();
        if let Some((_, open)) = self.open.get_mut(&blob)
            && ours
            && !open.hashing
        {
            open.hashing = true;
            cx.out.push_back(Output::HashFile { blob });
        }
    }

    /// Divides the rate of all together among those that run.
    fn share(&mut self) {
        let each = self.rules.total_rate_max / self.running.max(1) as u64;
        let each = each.min(self.rules.rate_max).max(limits::FILES_RATE_MIN);
        self.transfers.values_mut().for_each(|t| t.set_max(each));
    }

    /// Time has passed for a transfer.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn) {
        self.pump(cx, conn);
    }

    fn pump(&mut self, cx: &mut Cx, conn: Conn) {
        let Some(transfer) = self.transfers.get_mut(&conn) else { return };
        let open = self.open.get(&transfer.blob());
        let hash = open.and_then(|(_, open)| open.hash.as_ref());
        if let Some(ending) = transfer.pump(cx, hash) {
            self.over(cx, conn, ending);
        }
    }

    fn over(&mut self, cx: &mut Cx, conn: Conn, ending: Ending) {
        if let Some(transfer) = self.transfers.get_mut(&conn) {
            match ending {
                Ending::Failed(why) => transfer.fail(cx, why),
                // Perhaps it changed and kept its time.
                Ending::Differs => self.hashes.retain(|(name, ..)| *name != transfer.file),
                Ending::Whole | Ending::Left | Ending::Silent => {}
            }
            if transfer.is_running() {
                let (peer, file) = (transfer.peer, Rc::clone(&transfer.file));
                let figures = transfer.stats();
                self.stats.whole += u64::from(ending == Ending::Whole);
                self.events.push_back(Event::Ended { peer, file, ending, figures });
            }
        }
        self.remove(cx, conn);
    }

    fn remove(&mut self, cx: &mut Cx, conn: Conn) {
        cx.close(conn, End::Flushed);
        let Some(transfer) = self.transfers.remove(&conn) else { return };
        let figures = transfer.stats();
        self.stats.add(&figures);
        self.asked.remove(&(transfer.peer, transfer.nonce));
        let address = transfer.peer.ip();
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
        if transfer.is_running() {
            self.running -= 1;
            self.share();
        }
        self.give_back(cx, transfer.blob());
    }

    /// A transfer port is gone.
    pub fn closed(&mut self, cx: &mut Cx, conn: Conn, _why: Gone) {
        self.over(cx, conn, Ending::Failed(Why::Unreadable));
    }

    /// Ends everything.
    pub fn drain(&mut self, cx: &mut Cx) {
        for conn in self.transfers.keys().copied().collect::<Vec<_>>() {
            self.over(cx, conn, Ending::Failed(Why::Stopping));
        }
    }

    /// What happened since the last question.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Everything that is counted, transfers under way and all.
    #[must_use]
    pub fn status(&self) -> FilesStatus {
        let mut stats = self.stats;
        self.transfers.values().for_each(|transfer| stats.add(&transfer.stats()));
        FilesStatus {
            files: self.names.len(),
            transfers: self.transfers.len(),
            running: self.running,
            begun: stats.transfers,
            whole: stats.whole,
            refused: stats.refused,
            bad_requests: stats.bad_requests,
            strangers: stats.strangers,
            bad_datagrams: stats.bad_datagrams,
            lists: stats.lists,
            lists_refused: stats.lists_refused,
            bytes: stats.bytes,
            datagrams: stats.datagrams,
            retransmitted: stats.again,
            lost: stats.lost,
        }
    }

    /// Transfers now.
    #[must_use]
    pub fn transfers(&self) -> usize {
        self.transfers.len()
    }

    /// Blobs that it holds.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.open.len()
    }

    /// Holds the books against each other.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check_invariants(&self, cx: &Cx) {
        let users: usize = self.open.values().map(|(_, open)| open.users).sum();
        assert_eq!(users, self.transfers.len(), "each transfer uses one file");
        assert_eq!(self.asked.len(), self.transfers.len(), "each was asked for once");
        let addresses: usize = self.addresses.values().sum();
        assert_eq!(addresses, self.transfers.len(), "each is counted at its address");
        let running = self.transfers.values().filter(|t| t.is_running()).count();
        assert_eq!(running, self.running, "those that run are counted");
        for (conn, transfer) in &self.transfers {
            assert!(cx.is_open(*conn), "a transfer has its port");
            transfer.sender().into_iter().for_each(crate::files::sender::Sender::check_invariants);
        }
    }
}

fn tell(cx: &mut Cx, to: SocketAddr, bytes: Vec<u8>) {
    let payload = Payload::bytes(bytes);
    cx.out.push_back(Output::SendTo { service: Service::Files, to, payload });
}

fn tell_text(cx: &mut Cx, to: SocketAddr, text: &str) {
    tell(cx, to, wire::message(wire::kind::TEXT, text.as_bytes()));
}

//! A connection of a player that reads a film while it comes: requests in, one at a time, heads out
//! and the places of bodies, whose bytes the caller has. It holds no socket and no file; `vidstream
//! files get --http` drives it. A node's connections are in [`crate::http::server`].
//!
//! | state | what is here | timer | goes to |
//! |---|---|---|---|
//! | head | part of a head, or nothing | 5 s from its first byte, or 30 s | asked, sending, over |
//! | asked | a request, and nothing is known of the film yet | none | sending |
//! | sending | an answer being taken | none: a player may pause for hours | head, over |
//! | over | nothing that anybody wants | | |
//!
//! A body ends where the film or the range does; what has not come is sent when it has. As long as
//! nobody knows how long the film is, it is sent from its first byte on, and its end is the
//! connection's.

use crate::base::limits;
use crate::base::time::{Mono, Now};
use crate::http::answer::{self, Body, Response, Then};
use crate::http::inbox::Inbox;
use crate::http::wire::{self, Method, Refused, Request, Tag};
use crate::media::sniff::Container;

/// What is known of the film.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Film {
    /// What it is, by its first bytes.
    pub container: Option<Container>,
    /// Its bytes, when that is known.
    pub size: Option<u64>,
    /// Everything before this has come.
    pub there: u64,
    /// A number that another film would not have.
    pub tag: u64,
}

impl Film {
    fn media_type(&self) -> &'static str {
        self.container.map_or("application/octet-stream", Container::media_type)
    }

    /// Whether a path names it: `/`, or any name with its extension, which some players look at.
    fn is_at(&self, path: &str) -> bool {
        let extension = path.rsplit_once('.').and_then(|(_, e)| Container::from_extension(e));
        let same = extension.is_some() && extension == self.container;
        path == "/" || (same && path.rfind('/') == Some(0))
    }
}

/// What is to be sent next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want<'a> {
    /// These bytes.
    Own(&'a [u8]),
    /// Bytes of the film, all of which have come.
    Film {
        /// The first of them.
        from: u64,
        /// How many.
        len: u64,
    },
    /// None now.
    Nothing,
    /// None any more: close it.
    Close,
}

/// One connection.
#[derive(Debug)]
pub struct Reader {
    inbox: Inbox,
    state: State,
    /// Since when it waits for a request, or for the rest of one.
    since: Mono,
    /// The peer sends no more.
    ended: bool,
    /// It has taken the film's last byte.
    saw_end: bool,
    /// It has had an answer.
    answered: bool,
}

#[derive(Debug)]
enum State {
    Head,
    Asked(Box<Request>),
    Sending(Sending),
    Over,
}

/// An answer, and how far it is.
#[derive(Debug)]
struct Sending {
    own: Box<[u8]>,
    told: usize,
    /// The next byte of the film, and where its part ends: with the film when none.
    film: Option<(u64, Option<u64>)>,
    last: bool,
}

impl Reader {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        let inbox = Inbox::default();
        let (state, since) = (State::Head, now);
        Self { inbox, state, since, ended: false, saw_end: false, answered: false }
    }

    /// Whether bytes are taken now; those sent ahead wait, but not without end.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        !self.ended && !self.inbox.is_full() && !matches!(self.state, State::Over)
    }

    /// Bytes arrived.
    pub fn data(&mut self, now: Now, bytes: &[u8]) {
        if matches!(self.state, State::Over) {
            return;
        }
        if matches!(self.state, State::Head) && self.inbox.is_empty() {
            self.since = now.mono;
        }
        self.inbox.push(bytes);
        if self.inbox.may_hold_more_heads(bytes) {
            self.read_head(now);
        }
    }

    /// The peer sends no more; what it asked for is still sent.
    pub fn ended(&mut self, now: Now) {
        self.ended = true;
        self.read_head(now);
    }

    /// Looks for a request when one is waited for.
    fn read_head(&mut self, now: Now) {
        if !matches!(self.state, State::Head) {
            return;
        }
        match wire::parse(self.inbox.rest()) {
            Ok(Some((request, used))) => {
                self.inbox.advance(used);
                self.state = State::Asked(Box::new(request));
            }
            Ok(None) if self.ended => self.state = State::Over,
            Ok(None) => {}
            Err(why) => self.refuse(now, why),
        }
    }

    fn refuse(&mut self, now: Now, why: Refused) {
        let head_only = self.inbox.rest().starts_with(b"HEAD ");
        let refusal = answer::whole(Response::refusal(why), head_only, now.wall, Then::Close);
        self.inbox.clear();
        self.state = State::Sending(Sending::own(refusal.payload.head, true));
    }

    /// Answers the request that waits, if one does, now that something is known of the film.
    pub fn answer(&mut self, now: Now, film: &Film) {
        let State::Asked(request) = &self.state else { return };
        let last = !request.keep_alive || (self.ended && self.inbox.is_empty());
        let then = match (last, request.old) {
            (true, _) => Then::Close,
            (false, true) => Then::StayOld,
            (false, false) => Then::Stay,
        };
        let sending = match film.size {
            _ if !film.is_at(&request.path) => {
                let answer = answer::answer(request, Response::not_found(), now.wall, then);
                Sending::own(answer.payload.head, last)
            }
            None => {
                let head = answer::endless(film.media_type(), &[], now.wall).head;
                let film = (request.method == Method::Get).then_some((0, None));
                Sending { film, ..Sending::own(head, true) }
            }
            Some(size) => {
                let response = Response {
                    status: 200,
                    headers: vec![("Content-Type", film.media_type().to_owned())],
                    body: Body::Apart(size),
                    etag: Some(Tag::strong(&format!("{:016x}", film.tag))),
                    last_modified: None,
                };
                let response = response.with("Cache-Control", "no-store");
                let answer = answer::answer(request, response, now.wall, then);
                let own = answer.payload.head;
                let is_film = matches!(answer.status, 200 | 206) && answer.body_len > 0;
                let film = is_film.then_some((answer.from, Some(answer.from + answer.body_len)));
                Sending { film, ..Sending::own(own, last) }
            }
        };
        self.state = State::Sending(sending);
    }

    /// What is to be sent next.
    #[must_use]
    pub fn want(&self, film: Option<&Film>) -> Want<'_> {
        match &self.state {
            State::Over => Want::Close,
            State::Sending(sending) if sending.told < sending.own.len() => {
                Want::Own(&sending.own[sending.told..])
            }
            State::Sending(Sending { film: Some((from, end)), .. }) => {
                let there = film.map_or(0, |film| film.there.min(end.unwrap_or(film.there)));
                match there.saturating_sub(*from) {
                    0 => Want::Nothing,
                    len => Want::Film { from: *from, len },
                }
            }
            State::Head | State::Asked(_) | State::Sending(_) => Want::Nothing,
        }
    }

    /// So many bytes of what was wanted were taken. Call it after nothing was wanted, too: the film
    /// may have ended there.
    pub fn took(&mut self, now: Now, count: u64, film: Option<&Film>) {
        let State::Sending(sending) = &mut self.state else { return };
        let own = (sending.own.len() - sending.told) as u64;
        sending.told += usize::try_from(own.min(count)).unwrap_or(usize::MAX);
        let size = film.and_then(|film| film.size);
        if let Some((at, end)) = &mut sending.film {
            *at += count.saturating_sub(own);
            self.saw_end |= Some(*at) == size;
            if end.or(size) != Some(*at) {
                return;
            }
        }
        if sending.told < sending.own.len() {
            return;
        }
        self.state = if sending.last { State::Over } else { State::Head };
        (self.since, self.answered) = (now.mono, true);
        if !self.inbox.is_empty() || self.ended {
            self.read_head(now);
        }
    }

    /// Up to which byte of the film it has taken what it reads now.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        match &self.state {
            State::Sending(Sending { film: Some((at, _)), .. }) => Some(*at),
            _ => None,
        }
    }

    /// Whether it has taken the film's last byte at some time.
    #[must_use]
    pub fn has_seen_end(&self) -> bool {
        self.saw_end
    }

    /// Whether nobody loses anything when it is closed: who has just come may have asked already.
    #[must_use]
    pub fn makes_room(&self, now: Mono) -> bool {
        let old = self.answered || now.since(self.since) >= limits::HTTP_HEAD_PATIENCE;
        matches!(self.state, State::Over) || (matches!(self.state, State::Head) && old)
    }

    /// When [`Reader::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let waits = matches!(self.state, State::Head);
        let patience =
            if self.inbox.is_empty() { limits::HTTP_IDLE_MAX } else { limits::HTTP_HEAD_PATIENCE };
        waits.then(|| self.since.after(patience))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        if self.inbox.is_empty() {
            self.state = State::Over;
        } else {
            self.refuse(now, Refused::Slow);
        }
    }
}

impl Sending {
    fn own(own: Box<[u8]>, last: bool) -> Self {
        Self { own, told: 0, film: None, last }
    }
}

#[cfg(test)]
mod tests;

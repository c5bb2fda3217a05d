//! One connection to a jukebox, ours or an original: asks, tells what came. Holds no socket, no
//! terminal and no player; `vidstream jukebox` drives it with what [`Input`] tells and what a
//! person or a script wants ([`Client::want`]), and takes [`Client::poll_event`].
//!
//! | state | asked | timer | goes to |
//! |---|---|---|---|
//! | dialling | | `JukeboxPatience` | greeting, over |
//! | greeting | `hello` | `JukeboxPatience`: an original never answers | ready |
//! | ready | | | listing, asked, stopping, quitting |
//! | listing | `list` | `JukeboxPatience` | ready |
//! | asked | `play` | `JukeboxPatience` | playing, ready |
//! | playing | | `JukeboxSilence` | ready when all has come; listing, stopping |
//! | stopping | `stop` | | ready |
//! | quitting | `quit` | `JukeboxPatience` | over |
//!
//! One request is under way at a time, and the next is sent when it is answered: the original looks
//! only at the first request of a segment, and answers `stop` after the whole song. What is wanted
//! meanwhile waits. So no pause is needed between `stop` and `play`, and nothing of an old song is
//! taken for the new one.
//!
//! **The end of a song.** No message tells it. A server that answers the greeting has told the
//! song's length before its first frame; of another it is over when, after a frame that was not a
//! full one, nothing comes for [`limits::JUKEBOX_SILENCE_MIN`], or after a full one for
//! [`limits::JUKEBOX_SILENCE_MAX`].
//!
//! **The original's numbers.** It lists songs from 0 and plays the one before that it is asked for.
//! A server that does not answer the greeting is asked for the number behind, unless
//! [`Client::new`] was told that it plays what it lists.
//!
//! [`Input`]: crate::base::port::Input

use std::collections::VecDeque;
use std::net::SocketAddr;

use thiserror::Error;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Gone, Output, Payload, Service, Why};
use crate::base::time::Mono;
use crate::jukebox::wire::{Bad, Entry, Frames, Reply, Request};

/// What somebody wants of a jukebox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// The list of songs.
    List,
    /// A song by its number in the list; what plays is stopped before.
    Play(usize),
    /// No more of the song.
    Stop,
    /// The end.
    Quit,
    /// The end, when all that was wanted before has come.
    Leave,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The connection stands; whether the server tells how long songs are.
    Ready(bool),
    /// The songs.
    Listed(Vec<Entry>),
    /// A song begins.
    Began(Song),
    /// Its next bytes.
    Data(Box<[u8]>),
    /// All of it has come.
    Finished(Song),
    /// It was stopped.
    Stopped,
    /// There is no song of that number, or the server does not answer.
    NoSong(usize),
    /// Nothing more will come.
    Over(Result<(), Lost>),
}

/// A song, as far as the server told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Song {
    /// Its number in the list.
    pub sid: usize,
    /// Its size; none when the server does not tell.
    pub bytes: Option<u64>,
    /// How long it plays, in milliseconds; none when nobody knows.
    pub ms: Option<u64>,
    /// Bytes of it that have come.
    pub got: u64,
}

/// Why a connection was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Lost {
    /// It broke, or never stood.
    #[error("{}", gone(*.0))]
    Gone(Gone),
    /// The server closed it.
    #[error("the server closed the connection")]
    Ended,
    /// The server does not answer.
    #[error("no answer within {} s", limits::JUKEBOX_PATIENCE.as_secs())]
    Late,
    /// Something else answers there.
    #[error("{0}")]
    Bad(#[from] Bad),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Dialling,
    Greeting,
    Ready,
    Listing,
    Asked(usize),
    Stopping,
    Quitting,
    Over,
}

impl State {
    /// Whether bytes of a song are taken.
    fn hears(self) -> bool {
        !matches!(self, Self::Stopping | Self::Quitting | Self::Over)
    }
}

/// A connection to a jukebox.
#[derive(Debug)]
pub struct Client {
    conn: Option<Conn>,
    state: State,
    /// The server answered the greeting.
    greeted: bool,
    as_listed: bool,
    frames: Frames,
    playing: Option<Song>,
    /// Whether the last frame was a full one.
    full: bool,
    /// When the last byte came, or the last question was asked.
    heard_at: Mono,
    wishes: VecDeque<Wish>,
    events: VecDeque<Event>,
}

impl Client {
    /// Not connected yet. With `as_listed` a server that does not answer the greeting is taken to
    /// play the number that it lists.
    #[must_use]
    pub fn new(as_listed: bool) -> Self {
        Self {
            conn: None,
            state: State::Dialling,
            greeted: false,
            as_listed,
            frames: Frames::default(),
            playing: None,
            full: false,
            heard_at: Mono::default(),
            wishes: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Connects.
    pub fn start(&mut self, cx: &mut Cx, server: SocketAddr) {
        let patience = (Why::JukeboxPatience, limits::JUKEBOX_PATIENCE);
        self.conn = cx.dial(Service::Jukebox, (server, None), patience);
        if self.conn.is_none() {
            self.end(Err(Lost::Gone(Gone::Exhausted)));
        }
    }

    /// The connection stands.
    pub fn connected(&mut self, cx: &mut Cx) {
        self.ask(cx, Request::Hello, State::Greeting);
        if let Some(conn) = self.conn {
            cx.arm(conn, Why::JukeboxPatience, limits::JUKEBOX_HELLO_PATIENCE);
        }
    }

    /// Asks for something, now or when what is under way is answered. A stop, a quit or a new song
    /// takes the place of what waits, but for lists.
    pub fn want(&mut self, cx: &mut Cx, wish: Wish) {
        if matches!(wish, Wish::Play(_) | Wish::Stop | Wish::Quit) {
            self.wishes.retain(|waiting| *waiting == Wish::List);
        }
        if self.wishes.len() < limits::JUKEBOX_WISHES_MAX {
            self.wishes.push_back(wish);
        }
        self.go_on(cx);
    }

    /// Stops taking bytes from the server, or goes on: what is behind cannot take more.
    pub fn hold(&mut self, cx: &mut Cx, on: bool) {
        if let Some(conn) = self.conn.filter(|conn| cx.is_open(*conn)) {
            cx.out.push_back(Output::Hold { conn, on });
            // What does not come because nobody takes it is no silence.
            self.listen(cx, !on);
        }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What plays, and how far it is.
    #[must_use]
    pub fn playing(&self) -> Option<Song> {
        self.playing
    }

    /// Bytes arrived.
    pub fn data(&mut self, cx: &mut Cx, bytes: &[u8]) {
        if self.state == State::Over {
            return;
        }
        self.heard_at = cx.now.mono;
        self.frames.push(bytes);
        self.take(cx);
    }

    /// Takes every reply that is whole, then waits for more.
    fn take(&mut self, cx: &mut Cx) {
        loop {
            match self.frames.poll() {
                Ok(Some(reply)) => self.reply(cx, reply),
                Ok(None) => break,
                Err(bad) => {
                    self.end(Err(bad.into()));
                    return self.hang_up(cx, End::Reset);
                }
            }
        }
        self.go_on(cx);
        self.listen(cx, true);
    }

    fn reply(&mut self, cx: &mut Cx, reply: Reply) {
        match (reply, self.state) {
            (Reply::Hello, State::Greeting) => self.ready(true),
            (Reply::List(songs), _) => {
                self.events.push_back(Event::Listed(songs));
                self.answered(State::Listing);
            }
            (Reply::Stop, _) => {
                self.playing = None;
                self.events.push_back(Event::Stopped);
                self.answered(State::Stopping);
            }
            (Reply::Quit, _) => {
                self.end(Ok(()));
                self.hang_up(cx, End::Flushed);
            }
            (Reply::Song(sid, bytes, ms), State::Asked(asked)) if sid == asked => {
                let ms = (ms > 0).then_some(ms);
                self.begin(Song { sid, bytes: Some(bytes), ms, got: 0 });
            }
            (Reply::NoSong(sid), State::Asked(asked)) if sid == asked => {
                self.events.push_back(Event::NoSong(sid));
                self.state = State::Ready;
            }
            // Until it is answered, `stop` is followed by what was on its way.
            (Reply::Data(data, full), state) if state.hears() => {
                if let State::Asked(sid) = state {
                    self.begin(Song { sid, ..Song::default() });
                }
                self.music(data, full);
            }
            // An answer to nothing.
            (Reply::Data(..) | Reply::Hello | Reply::Song(..) | Reply::NoSong(_), _) => {}
        }
    }

    fn ready(&mut self, greeted: bool) {
        self.greeted = greeted;
        self.state = State::Ready;
        self.events.push_back(Event::Ready(greeted));
    }

    /// A reply has come; it answers this state's question and no other's.
    fn answered(&mut self, question: State) {
        if self.state == question {
            self.state = State::Ready;
        }
    }

    fn begin(&mut self, song: Song) {
        self.playing = Some(song);
        self.state = State::Ready;
        self.events.push_back(Event::Began(song));
    }

    fn music(&mut self, data: Box<[u8]>, full: bool) {
        let Some(song) = &mut self.playing else { return };
        song.got += data.len() as u64;
        self.full = full;
        let song = *song;
        self.events.push_back(Event::Data(data));
        if song.bytes.is_some_and(|bytes| song.got >= bytes) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(song) = self.playing.take() {
            self.events.push_back(Event::Finished(song));
        }
    }

    /// Sends what is wanted next, if nothing is under way.
    fn go_on(&mut self, cx: &mut Cx) {
        if self.state != State::Ready {
            return;
        }
        match self.wishes.front().copied() {
            Some(Wish::Play(_)) if self.playing.is_some() => {
                self.ask(cx, Request::Stop, State::Stopping);
            }
            Some(Wish::Play(sid)) => {
                // The original plays the one before the number that it gets.
                let shift = usize::from(!self.greeted && !self.as_listed);
                let number = sid.saturating_add(shift);
                self.wishes.pop_front();
                self.ask(cx, Request::Play(Some(number)), State::Asked(sid));
            }
            Some(Wish::List) => self.next(cx, Request::List, State::Listing),
            Some(Wish::Stop) if self.playing.is_none() => {
                self.wishes.pop_front();
                self.events.push_back(Event::Stopped);
                self.go_on(cx);
            }
            Some(Wish::Stop) => self.next(cx, Request::Stop, State::Stopping),
            // Until the song is over.
            Some(Wish::Leave) if self.playing.is_some() => {}
            Some(Wish::Quit | Wish::Leave) => self.next(cx, Request::Quit, State::Quitting),
            None => {}
        }
    }

    fn next(&mut self, cx: &mut Cx, request: Request, to: State) {
        self.wishes.pop_front();
        self.ask(cx, request, to);
    }

    fn ask(&mut self, cx: &mut Cx, request: Request, to: State) {
        let Some(conn) = self.conn else { return };
        self.state = to;
        self.heard_at = cx.now.mono;
        cx.send(conn, Payload::bytes(request.bytes()));
        cx.arm(conn, Why::JukeboxPatience, limits::JUKEBOX_PATIENCE);
    }

    /// Arms the wait for the next bytes, or for their absence.
    fn listen(&mut self, cx: &mut Cx, on: bool) {
        let Some(conn) = self.conn else { return };
        let undecided = self.frames.is_undecided();
        let untold = self.playing.is_some_and(|song| song.bytes.is_none());
        match self.state {
            State::Dialling | State::Greeting | State::Over => {}
            _ if on && (undecided || untold && !self.full) => {
                cx.arm(conn, Why::JukeboxSilence, limits::JUKEBOX_SILENCE_MIN);
            }
            _ if on && untold => cx.arm(conn, Why::JukeboxSilence, limits::JUKEBOX_SILENCE_MAX),
            State::Listing | State::Asked(_) | State::Quitting => {
                cx.arm(conn, Why::JukeboxPatience, limits::JUKEBOX_PATIENCE);
            }
            // The server may be silent for as long as nothing is asked of it, and an original
            // answers `stop` when its song is over.
            State::Ready | State::Stopping => {
                cx.arm(conn, Why::JukeboxIdle, limits::JUKEBOX_IDLE_MAX);
            }
        }
    }

    /// The timer is due.
    pub fn timeout(&mut self, cx: &mut Cx, why: Why) {
        match (why, self.state) {
            (Why::JukeboxSilence, _) => self.silence(cx),
            (Why::JukeboxPatience, State::Greeting) => {
                self.ready(false);
                self.go_on(cx);
                self.listen(cx, true);
            }
            (Why::JukeboxPatience, State::Asked(sid)) => {
                self.events.push_back(Event::NoSong(sid));
                self.state = State::Ready;
                self.go_on(cx);
                self.listen(cx, true);
            }
            (Why::JukeboxPatience, State::Dialling | State::Listing | State::Quitting) => {
                self.end(Err(Lost::Late));
                self.hang_up(cx, End::Reset);
            }
            _ => self.listen(cx, true),
        }
    }

    fn silence(&mut self, cx: &mut Cx) {
        let waited_long = self.full && !self.frames.is_undecided();
        self.frames.silence();
        self.take(cx);
        let untold = self.playing.is_some_and(|song| song.bytes.is_none());
        if untold && (waited_long || !self.full) && !self.frames.is_undecided() {
            self.finish();
            self.go_on(cx);
            self.listen(cx, true);
        }
        let asks = matches!(self.state, State::Listing | State::Asked(_) | State::Quitting);
        if asks && cx.now.mono.since(self.heard_at) >= limits::JUKEBOX_PATIENCE {
            self.end(Err(Lost::Late));
            self.hang_up(cx, End::Reset);
        }
    }

    /// The server sends no more.
    pub fn ended(&mut self, cx: &mut Cx) {
        self.frames.silence();
        self.take(cx);
        let untold = self.playing.is_some_and(|song| song.bytes.is_none());
        if untold && !self.frames.is_undecided() && self.state == State::Ready {
            self.finish();
        }
        let quits = self.state == State::Quitting;
        self.end(if quits { Ok(()) } else { Err(Lost::Ended) });
        self.hang_up(cx, End::Flushed);
    }

    /// The connection is gone.
    pub fn closed(&mut self, why: Gone) {
        self.conn = None;
        let quits = self.state == State::Quitting;
        self.end(if quits { Ok(()) } else { Err(Lost::Gone(why)) });
    }

    fn end(&mut self, how: Result<(), Lost>) {
        if self.state != State::Over {
            self.state = State::Over;
            self.events.push_back(Event::Over(how));
        }
    }

    fn hang_up(&mut self, cx: &mut Cx, end: End) {
        if let Some(conn) = self.conn {
            cx.close(conn, end);
        }
    }
}

fn gone(why: Gone) -> &'static str {
    match why {
        Gone::Refused => "nobody listens there",
        Gone::TimedOut => "no answer from that machine",
        Gone::Unreachable => "there is no way to that machine",
        Gone::Exhausted => "out of descriptors or memory",
        _ => "the connection broke",
    }
}

#[cfg(test)]
mod tests;

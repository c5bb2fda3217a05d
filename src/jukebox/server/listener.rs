//! One listener: what it has asked for, the song it hears, when its next payload is due. Plain
//! bookkeeping; the parent decides.

use core::net::IpAddr;
use core::time::Duration;
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Output, Payload, Span};
use crate::base::time::Mono;
use crate::config::Pace;
use crate::jukebox::wire::{self, Requests};
use crate::media::song::Song;

/// A listener.
#[derive(Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not one state")]
pub(super) struct Listener {
    pub(super) requests: Requests,
    /// What it counts under in the table of addresses.
    pub(super) address: Option<IpAddr>,
    /// Its place among the idle.
    pub(super) idle_since: Option<Mono>,
    pub(super) playing: Option<Playing>,
    /// What goes out next, before any frame.
    pub(super) reply: Option<Box<[u8]>>,
    /// Bytes on their way that the kernel has not taken.
    pub(super) left: u64,
    /// When the last payload was taken.
    pub(super) taken_at: Option<Mono>,
    /// Whether the last payload was a frame of a song.
    pub(super) framed: bool,
    /// The payload on its way was taken in more than one part.
    pub(super) split: bool,
    /// It asked to be told how long songs are.
    pub(super) greeted: bool,
    /// Its reply is the last one.
    pub(super) quits: bool,
    /// It sends no more.
    pub(super) ended: bool,
    /// Its reading is held.
    held: bool,
}

// Two thousand listeners are nothing.
const _: () = assert!(size_of::<Listener>() <= 256, "one listener stays small");

/// The song that a listener hears.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) blob: Blob,
    pub(super) song: Rc<Song>,
    pub(super) sid: usize,
    /// Its length; none while it is being opened.
    pub(super) len: Option<u64>,
    /// The next byte.
    pub(super) at: u64,
    pub(super) began: Mono,
}

impl Listener {
    pub(super) fn new(address: Option<IpAddr>, now: Mono) -> Self {
        Self { address, idle_since: Some(now), ..Self::default() }
    }

    /// Whether the next request has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.reply.is_some() || self.quits || self.is_opening()
    }

    fn is_opening(&self) -> bool {
        self.playing.as_ref().is_some_and(|playing| playing.len.is_none())
    }

    /// When the next payload may go, if there is one.
    pub(super) fn due(&self, pace: Pace) -> Option<Mono> {
        let apart = self.taken_at.map_or(Mono(0), |at| at.after(limits::JUKEBOX_GAP));
        if self.reply.is_some() {
            return Some(apart);
        }
        let due = self.playing.as_ref()?.due(pace)?;
        // As fast as it goes, but a reply stays by itself.
        Some(if pace == Pace::Off && self.framed { due } else { due.max(apart) })
    }

    /// Stops reading from a peer that asks faster than it is answered, and goes on later.
    pub(super) fn hold_if_ahead(&mut self, cx: &mut Cx, conn: Conn) {
        let answers_come = self.is_busy() || self.left > 0;
        let on = answers_come && self.requests.len() > limits::JUKEBOX_AHEAD_BYTES_MAX;
        if self.held != on {
            self.held = on;
            cx.out.push_back(Output::Hold { conn, on });
        }
    }
}

impl Playing {
    fn next_len(&self) -> u64 {
        self.len.map_or(0, |len| len.saturating_sub(self.at).min(wire::DATA_BYTES))
    }

    /// When the next frame may go by the pace; none while the song is being opened.
    fn due(&self, pace: Pace) -> Option<Mono> {
        self.len?;
        let Pace::Times(times) = pace else { return Some(self.began) };
        let rate = self.song.bytes_per_second();
        let at_once = self.song.front() + rate;
        let later = (self.at + self.next_len()).saturating_sub(at_once);
        let nanos =
            u128::from(later) * 1_000_000_000 / (u128::from(rate) * u128::from(times.max(1)));
        Some(self.began.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))))
    }

    /// The next frame, how many bytes of the song are in it, and whether it is the last.
    pub(super) fn take(&mut self) -> (Payload, u64, bool) {
        let len = self.next_len();
        let body = Span { blob: self.blob, from: self.at, len };
        self.at += len;
        let frame = Payload { head: wire::PLAY.into(), body: Some(body), tail: wire::TAIL.into() };
        (frame, len, self.len.is_none_or(|whole| self.at >= whole))
    }
}

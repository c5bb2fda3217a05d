//! A client that is not let in and asks who is: one of those may pass the channel on.

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::tv::wire::{Ask, parse_list};

use super::{Client, Event, State};

impl Client {
    /// From now on it asks who is let in when it is not, and then rests.
    #[must_use]
    pub fn with_mesh(mut self) -> Self {
        self.has_mesh = true;
        self
    }

    /// Nobody else brings the channel any more: joins, unless that is under way.
    pub fn ask_again(&mut self, cx: &mut Cx) {
        if matches!(self.state, State::Idle | State::Resting) {
            self.start(cx);
        }
    }

    /// Bytes arrived on a command's connection: the answer to `11c`.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        if self.command != Some(conn) || self.state != State::Listing {
            return;
        }
        self.list.extend_from_slice(bytes);
        if self.list.len() > limits::TV_LIST_BYTES_MAX {
            cx.close(conn, End::Reset);
            self.command_over(cx);
        }
    }

    pub(super) fn ask_who(&mut self, cx: &mut Cx) {
        self.state = State::Listing;
        self.list.clear();
        self.command(cx, Ask::List);
        self.watch(cx);
    }

    pub(super) fn listed(&mut self, cx: &mut Cx) {
        let list = core::mem::take(&mut self.list);
        let clients = str::from_utf8(&list).ok().and_then(parse_list).unwrap_or_default();
        if clients.is_empty() || list.len() > limits::TV_LIST_BYTES_MAX {
            return self.unanswered(cx, None);
        }
        self.state = State::Resting;
        self.backoff = limits::TV_REJOIN_MIN;
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
        self.events.push_back(Event::Listed { clients });
    }
}

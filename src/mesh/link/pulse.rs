//! Signs of life: when each end of a link speaks if there is nothing to say, and when the other end
//! is lost. A member looks at its few links when it looks around, with all else that it looks at,
//! and wakes once for all; the many links of a root have timers of their own, spread over time.

use core::time::Duration;

use crate::base::limits;
use crate::base::port::{Conn, Cx, Why};
use crate::base::time::Mono;

use super::{Link, Links};

/// A look at a link that is not to be.
pub(super) const NEVER: Mono = Mono(u64::MAX);

/// What a link is for at the moment of its timer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::mesh) struct Use {
    /// The other end sends stripes to this one, and is missed soon.
    pub(in crate::mesh) fed: bool,
    /// This end sends stripes to the other one.
    pub(in crate::mesh) feeds: bool,
    /// There is something to tell even if other things were sent just now.
    pub(in crate::mesh) news: bool,
}

/// What a link's timer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::mesh) enum Pulse {
    /// A beat is due.
    Beat,
    /// The other end has heard of us lately.
    Quiet,
    /// The other end is silent, takes nothing, or never said who it is.
    Lost,
    /// No such link.
    Unknown,
}

impl Links {
    /// [`Why::MeshHello`] or [`Why::MeshBeat`] of a link, or a look that is due.
    pub(in crate::mesh) fn timer(&mut self, cx: &mut Cx, conn: Conn, used: Use) -> Pulse {
        let Some(link) = self.all.get(conn.0) else {
            return Pulse::Unknown;
        };
        let now = cx.now.mono;
        let (every, patience) = link.rhythm(used);
        let silent = now.since(link.heard) > patience;
        let stalled = link.queued > 0 && now.since(link.drained) > limits::MESH_STALL_MAX;
        let flooded = link.payloads() >= limits::MESH_PAYLOADS_MAX;
        if link.node.is_none() || silent || stalled || flooded {
            return Pulse::Lost;
        }
        // Less than the whole time: looks are late by a little, and not always by as much.
        let due = used.news || now.since(link.spoke) >= every * 7 / 8;
        let next = if due || used.fed || used.feeds {
            let every = if used.fed { every.min(limits::MESH_BEAT_EVERY) } else { every };
            self.on_the_beat(now, every)
        } else {
            link.spoke.after(every).since(now)
        };
        self.look_again(cx, conn, next);
        if due { Pulse::Beat } else { Pulse::Quiet }
    }

    /// How long until the next look of those that are so far apart.
    fn on_the_beat(&self, now: Mono, every: Duration) -> Duration {
        if self.is_looked_at() { self.until_next(now, every) } else { every }
    }

    /// Looks at a link again after so long.
    fn look_again(&mut self, cx: &mut Cx, conn: Conn, after: Duration) {
        let few = self.is_looked_at();
        let Some(link) = self.all.get_mut(conn.0) else { return };
        let next = if few { cx.now.mono.after(after) } else { NEVER };
        let timed = core::mem::replace(&mut link.look_at, next) == NEVER;
        if !few {
            cx.arm(conn, Why::MeshBeat, after);
        } else if timed {
            cx.disarm(conn);
        }
    }

    /// The link is up, or what it is for has changed: the other end counts on signs of life, or is
    /// missed, sooner than it was.
    pub(in crate::mesh) fn hasten(&mut self, cx: &mut Cx, conn: Conn) {
        let next = self.on_the_beat(cx.now.mono, limits::MESH_BEAT_EVERY);
        let soon = cx.now.mono.after(next);
        let later = |link: &Link| link.node.is_some() && link.look_at > soon;
        if self.all.get(conn.0).is_some_and(later) {
            self.look_again(cx, conn, next);
        }
    }

    /// Whether a member looks at its links, of which there are few.
    fn is_looked_at(&self) -> bool {
        self.looks && self.accepted <= limits::MESH_GUESTS_MAX
    }

    /// Whether a link is one of those that are looked at, and so needs no timer.
    pub(in crate::mesh) fn looks_at(&self, conn: Conn) -> bool {
        self.all.get(conn.0).is_some_and(|link| link.look_at != NEVER)
    }

    /// The links that are to be looked at now.
    pub(in crate::mesh) fn due(&self, now: Mono) -> Vec<Conn> {
        self.iter().filter(|(_, link)| link.look_at <= now).map(|(conn, _)| conn).collect()
    }

    /// When the next link is to be looked at.
    pub(in crate::mesh) fn soonest_look(&self) -> Mono {
        self.iter().map(|(_, link)| link.look_at).min().unwrap_or(NEVER)
    }

    /// How long until the next multiple of a time.
    pub(in crate::mesh) fn until_next(&self, now: Mono, every: Duration) -> Duration {
        let nanos = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos - now.0.wrapping_sub(self.phase.0) % nanos)
    }
}

impl Link {
    /// How often this end speaks, and how long the other end may be silent.
    fn rhythm(&self, used: Use) -> (Duration, Duration) {
        let (lower, upper) = (
            (limits::MESH_CHILD_BEAT_EVERY, limits::MESH_CHILD_SILENCE_MAX),
            (limits::MESH_IDLE_BEAT_EVERY, limits::MESH_IDLE_SILENCE_MAX),
        );
        let (ours, its) = if self.dialled { (lower, upper) } else { (upper, lower) };
        let every = if used.feeds { limits::MESH_BEAT_EVERY } else { ours.0 };
        (every, if used.fed { limits::MESH_SILENCE_MAX } else { its.1 })
    }
}

//! When a member looks around next. Four times a second while there is anything that may have to
//! be done soon; else it passes over every other look, and wakes little more than it has to speak.

use crate::base::limits;
use crate::base::port::{Cx, Why};
use crate::base::time::{Mono, Now};
use crate::mesh::wire::Stripes;

use super::{Control, Member};

impl Member {
    /// Sets the timer of the next look.
    pub(super) fn look_again(&mut self, cx: &mut Cx) {
        if self.control == Control::Left {
            return;
        }
        let soon = self.hub.links.until_next(cx.now.mono, limits::MESH_TICK_EVERY);
        let then = Now { mono: cx.now.mono.after(soon), wall: cx.now.wall + soon };
        let rests = self.has_leisure() && self.may_pass_over(then);
        self.passed = rests.then_some(then.mono);
        self.ticks = self.ticks.wrapping_add(u32::from(rests));
        let next = if rests { soon + limits::MESH_TICK_EVERY } else { soon };
        self.tick = Some(cx.wake(Why::MeshTick, 0, next));
    }

    /// Something has happened: a look that was to be passed over may be needed.
    pub(super) fn be_awake(&mut self, cx: &mut Cx) {
        let Some(passed) = self.passed.filter(|_| !self.has_leisure()) else { return };
        self.passed = None;
        if cx.now.mono >= passed {
            return;
        }
        if let Some(later) = self.tick.take() {
            cx.wheel.cancel(later);
            self.ticks = self.ticks.wrapping_sub(1);
            self.tick = Some(cx.wake(Why::MeshTick, 0, passed.since(cx.now.mono)));
        }
    }

    /// Whether nothing is being repaired, moved, asked or told.
    fn has_leisure(&self) -> bool {
        self.begun
            && self.intakes.is_calm()
            && self.pulls.is_empty()
            && self.hub.late.is_empty()
            && !self.hub.feed.is_asked()
            && self.losses.is_empty()
            && self.suspects.is_empty()
            && self.disputes.is_empty()
            && self.leaving.is_none()
            && self.realm.is_none()
            && self.home.is_quiet()
    }

    /// Whether a look at a moment would find nothing, whatever comes until then.
    fn may_pass_over(&self, then: Now) -> bool {
        let sweep = self.ticks.wrapping_add(1).is_multiple_of(4);
        let reports = matches!(self.control, Control::Joined(_))
            && then.mono.since(self.report_at) >= limits::MESH_REPORT_EVERY;
        !sweep
            && !reports
            && self.hub.links.soonest_look() > then.mono
            && self.better_roots().is_empty()
            && !self.anything_late(then)
    }

    /// Whether bytes may be late at a moment, or a block be on the air that is not whole.
    fn anything_late(&self, then: Now) -> bool {
        let (Some(next), Some(known)) = (self.next, self.reference) else { return true };
        let soon = |seq: u64| known.air_of(seq).since(then.wall) <= limits::MESH_RUSH;
        if next < self.pushed || soon(next) {
            return true;
        }
        let since = |at: Mono| then.mono.since(at) >= limits::MESH_LATE_AFTER;
        let mut expected = next;
        for (seq, held) in self.hub.store.iter().filter(|(seq, _)| *seq >= next) {
            let rests = held.parts.iter().any(|part| !part.is_full() && since(part.moved));
            let rush = held.facts.air.since(then.wall) <= limits::MESH_RUSH;
            if seq != expected || rests || rush || since(held.since.after(held.facts.lasts)) {
                return true;
            }
            expected = seq + 1;
        }
        let blocks = u32::try_from(expected.saturating_sub(known.seq)).unwrap_or(u32::MAX);
        since(known.at.after(known.lasts.saturating_mul(blocks)))
    }

    /// The stripes of which more bytes, if they are right, make it do nothing that others see.
    pub(in crate::mesh) fn keeps_to_itself(&self) -> Stripes {
        if !self.has_leisure() {
            return Stripes::EMPTY;
        }
        Stripes::first(self.intakes.len()) - self.hub.feed.subscribed()
    }
}

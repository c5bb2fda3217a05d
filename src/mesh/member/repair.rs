//! What is late or wrong: found at each look, asked for elsewhere, and handed up when whole.
//!
//! A stripe that has not grown for 750 ms is late. It is pulled from a helper at once, unless its
//! parent says that it is late itself: then the parent is given time, so that one death does not
//! become a storm. Two seconds before it is on the air nobody has time any more, and the root is
//! asked. Who owes bytes for long and does not say so is left.

use core::time::Duration;

use crate::base::limits;
use crate::base::port::{Conn, Cx, End};
use crate::base::time::{Mono, Now, Wall};
use crate::mesh::event::{Arrived, Event};
use crate::mesh::store::{Held, Part, Verdict};
use crate::mesh::wire::{self, NodeId, Stripes};

use super::Member;

/// The newest block that is whole, from which the others are reckoned; before there is one, the
/// first of which a head was seen. A head alone proves nothing: anybody may have made it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    pub(super) seq: u64,
    air: Wall,
    pub(super) lasts: Duration,
    pub(super) at: Mono,
    whole: bool,
}

impl Reference {
    pub(super) fn air_of(&self, seq: u64) -> Wall {
        let blocks = |count: u64| self.lasts * u32::try_from(count).unwrap_or(u32::MAX);
        if seq >= self.seq {
            self.air + blocks(seq - self.seq)
        } else {
            self.air - blocks(self.seq - seq)
        }
    }
}

impl Member {
    /// Bytes of a stripe are about to come.
    pub(super) fn block(&mut self, cx: &mut Cx, conn: Conn, head: &wire::Block) {
        let Some(node) = self.by_conn.get(&conn).copied() else {
            return self.throw_out(cx, conn, "a child sends no blocks");
        };
        if usize::from(head.stripes) != self.intakes.len() {
            return self.throw_out(cx, conn, "a block of another number of stripes");
        }
        if self.is_too_early(cx.now.mono, head.seq) {
            return self.hub.links.put(cx, conn, 0, None);
        }
        if self.question(cx, (conn, node), head) {
            return;
        }
        let settled = self.hear_root(cx, node, head);
        let stripe = usize::from(head.stripe);
        let first = self.learn(cx, head);
        if self.intakes[stripe].parent == Some(node) {
            self.intakes.quietly(stripe).failures = 0;
            self.note_lull(cx.now.mono, head.seq, stripe);
        }
        let put = self.hub.store.begin(cx, (conn, node), head);
        let rescued = self.root.is_some_and(|(root, _)| root == node)
            && self.intakes[stripe].parent != Some(node);
        if rescued {
            self.rescued += u64::from(head.range.end - head.range.start);
        }
        self.hub.links.put(cx, conn, put.skip, put.into);
        if put.into.is_some() && self.intakes[stripe].parent != Some(node) {
            let pull = self.pulls.get_mut(&(head.seq, stripe)).filter(|pull| !pull.comes);
            if let Some(pull) = pull {
                pull.comes = true;
                self.fetched_elsewhere(cx, head.seq, stripe);
            }
        }
        if put.disputed {
            self.contradicted(cx, node, head);
        }
        if settled {
            (0..self.intakes.len()).for_each(|s| self.pull_empty(cx, head.seq, s));
        }
        if first {
            for (seq, s) in self.before_push() {
                self.pull(cx, seq, s);
            }
        }
    }

    /// Asks for a stripe of which nothing comes.
    fn pull_empty(&mut self, cx: &mut Cx, seq: u64, s: usize) {
        let part = self.hub.store.get(seq).and_then(|held| held.parts.get(s));
        if part.is_none_or(|part| !part.is_full() && part.writer.is_none()) {
            self.pull(cx, seq, s);
        }
    }

    /// The root says which block is the newest.
    pub(super) fn told_of(&mut self, now: Mono, newest: u64) {
        if newest >= self.told.0 {
            self.told = (newest, now);
        }
    }

    /// Whether a block is numbered beyond all that there can be by now.
    fn is_too_early(&self, now: Mono, seq: u64) -> bool {
        let (told, at) = self.told;
        let lasts = self.reference.map_or(limits::BLOCK_LASTS_MIN, |known| known.lasts);
        let since = now.since(at).as_micros() / lasts.as_micros().max(1);
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        told > 0 && seq > told.saturating_add(limits::MESH_EARLY_MAX).saturating_add(since)
    }

    /// A block is whole: what its heads said of the time line is true.
    pub(super) fn confirm(&mut self, seq: u64) {
        let Some(held) = self.hub.store.get(seq) else { return };
        if self.reference.is_none_or(|known| !known.whole || seq > known.seq) {
            let (air, lasts, at) = (held.facts.air, held.facts.lasts, held.since);
            self.reference = Some(Reference { seq, air, lasts, at, whole: true });
        }
    }

    /// What a head says of the time line. `true`: it is the first of all.
    fn learn(&mut self, cx: &Cx, head: &wire::Block) -> bool {
        let first = self.next.is_none();
        if self.reference.is_none() {
            let (seq, air, lasts) = (head.seq, head.air, head.lasts);
            let at = cx.now.mono;
            self.reference = Some(Reference { seq, air, lasts, at, whole: false });
        }
        if first {
            let ahead = head.air.since(cx.now.wall).as_micros();
            let back = ahead / head.lasts.as_micros().max(1);
            let back =
                u64::try_from(back).unwrap_or(u64::MAX).min(limits::WINDOW_BLOCKS_MAX as u64);
            let over = u64::from(head.air + head.lasts <= cx.now.wall);
            let next = (head.seq.saturating_sub(back) + over).max(self.oldest.min(head.seq));
            (self.next, self.hub.store.floor) = (Some(next), next);
        }
        first
    }

    /// What of the blocks is missing that parents do not send because they are older than the link.
    fn before_push(&self) -> Vec<(u64, usize)> {
        let next = self.next.unwrap_or(u64::MAX);
        let end = self.pushed.min(self.told.0.saturating_add(1));
        let end = end.min(next.saturating_add(limits::WINDOW_BLOCKS_MAX as u64));
        let missing = |seq: u64, s: usize| {
            let Some(held) = self.hub.store.get(seq) else { return true };
            held.parts.get(s).is_some_and(|part| !part.is_full() && part.writer.is_none())
        };
        let all = (next..end).flat_map(|seq| (0..self.intakes.len()).map(move |s| (seq, s)));
        all.filter(|(seq, s)| missing(*seq, *s)).collect()
    }

    /// Whether a stripe was asked for of somebody who has not said no.
    pub(super) fn is_pulled(&self, seq: u64, s: usize) -> bool {
        self.pulls.get(&(seq, s)).is_some_and(|pull| pull.to.is_some())
    }

    /// A stripe grew: whoever was asked for it is at it.
    pub(super) fn grew(&mut self, now: Mono, seq: u64, stripe: usize) {
        if let Some(pull) = self.pulls.get_mut(&(seq, stripe)) {
            pull.since = now;
        }
    }

    /// The blocks between the one on the air and those that parents will send: the first head of
    /// any says which these are.
    pub(super) fn catch_up(&mut self, cx: &mut Cx, newest: u64) {
        if self.next.is_none() {
            return self.pull(cx, newest, 0);
        }
        for (seq, s) in self.before_push() {
            self.pull(cx, seq, s);
        }
    }

    /// Asks at once for what a lost parent was about to send.
    pub(super) fn pull_missing(&mut self, cx: &mut Cx, stripes: Stripes) {
        let next = self.next.unwrap_or(0);
        let mut missing = Vec::new();
        for (seq, held) in self.hub.store.iter().filter(|(seq, _)| *seq >= next) {
            let empty =
                |s: &usize| held.parts.get(*s).is_some_and(|p| !p.is_full() && p.writer.is_none());
            missing.extend(stripes.iter().filter(empty).map(|s| (seq, s)));
        }
        for (seq, s) in missing {
            self.pull(cx, seq, s);
        }
    }

    /// Looks for what is late.
    pub(super) fn repair(&mut self, cx: &mut Cx) {
        self.deliver(cx);
        let next = self.next.unwrap_or(0);
        let mut late = Stripes::EMPTY;
        let (mut missing, mut resting) = (Vec::new(), Vec::new());
        for (seq, held) in self.hub.store.iter().filter(|(seq, _)| *seq >= next) {
            for s in self.late_parts(cx.now, held).iter() {
                late.add(s);
                match held.parts[s].writer {
                    Some(writer) => resting.push(writer),
                    None => missing.push((seq, s)),
                }
            }
        }
        for conn in resting {
            // It began a piece that it has, and stopped: it is not there any more.
            self.hub.drop_link(cx, conn, End::Reset);
            self.lost(cx, conn, "stopped in the middle of a stripe");
        }
        // Whoever was asked did not have it either: it may have it by now.
        let idle = self.pulls.iter().filter(|(_, pull)| pull.to.is_none() && pull.turn > 0);
        let again: Vec<(u64, usize)> = idle.map(|(what, _)| *what).collect();
        self.judge_parents(cx, &missing);
        self.set_late(cx, late);
        // A parent is excused for what it is to send, as long as there is time; a block before that
        // is another one's.
        missing.retain(|(seq, s)| {
            let own = *seq >= self.intakes[*s].first && !self.is_rush(cx, *seq);
            !own || !self.is_excused(cx.now.mono, *s)
        });
        missing.extend(self.unknown_blocks(cx.now.mono));
        for (seq, s) in again.into_iter().filter(|what| !missing.contains(what)) {
            let part = self.hub.store.get(seq).and_then(|held| held.parts.get(s));
            if part.is_none_or(|part| !part.is_full() && part.writer.is_none()) {
                self.pull(cx, seq, s);
            }
        }
        for (seq, s) in missing {
            self.count_late(seq);
            self.be_patient(seq, s);
            self.pull(cx, seq, s);
        }
        for (seq, s) in self.before_push() {
            self.pull(cx, seq, s);
        }
        self.forget_pulls();
        self.forget_disputes();
    }

    /// What has not grown for longer than its parent is used to let it wait; shortly before it is
    /// on the air, whatever could have come by now, growing or not: some parents only drip.
    fn late_parts(&self, now: Now, held: &Held) -> Stripes {
        let parts = held.parts.iter().enumerate().filter(|(_, part)| !part.is_full());
        let patience = |s: usize| limits::MESH_LATE_AFTER + self.intakes[s].lull;
        let enough = now.mono.since(held.since) >= held.facts.lasts + limits::MESH_LATE_AFTER;
        let rush = enough && held.facts.air.since(now.wall) <= limits::MESH_RUSH;
        let slow = |part: &Part| rush && now.mono.since(part.began) >= limits::MESH_LATE_AFTER;
        let late =
            parts.filter(|(s, part)| now.mono.since(part.moved) >= patience(*s) || slow(part));
        late.map(|(s, _)| s).collect()
    }

    /// Bytes of a stripe come from its parent after it rested: on slow links one stripe waits for
    /// the others, and that is no reason to ask for it elsewhere.
    fn note_lull(&mut self, now: Mono, seq: u64, s: usize) {
        let part = self.hub.store.get(seq).and_then(|held| held.parts.get(s));
        let Some(rest) = part.map(|part| now.since(part.moved)) else { return };
        let intake = self.intakes.quietly(s);
        intake.lull = rest.max(intake.lull * 7 / 8).min(limits::MESH_LULL_MAX);
    }

    /// A stripe is asked for elsewhere though its parent lives and says nothing: it may only be
    /// slower than it was, which would never show as what it has to send is fetched each time.
    fn be_patient(&mut self, seq: u64, s: usize) {
        let intake = &mut self.intakes[s];
        let first = !self.pulls.contains_key(&(seq, s));
        if first && intake.parent.is_some() && seq >= intake.first {
            let more = intake.lull + limits::MESH_LATE_AFTER / 2;
            intake.lull = more.min(limits::MESH_LULL_MAX);
        }
    }

    /// Whether a block is on the air so soon that nobody is waited for.
    pub(super) fn is_rush(&self, cx: &Cx, seq: u64) -> bool {
        let left = |known: Reference| known.air_of(seq).since(cx.now.wall);
        self.begun && self.reference.is_some_and(|known| left(known) <= limits::MESH_RUSH)
    }

    /// Whether the parent of a stripe says that it is late too, and may have some more time.
    fn is_excused(&self, now: Mono, s: usize) -> bool {
        let intake = &self.intakes[s];
        let up = intake.parent.and_then(|parent| self.ups.get(&parent));
        let patient = intake.stuck.is_none_or(|since| {
            now.since(since) + limits::MESH_LATE_AFTER < limits::MESH_PATIENCE_MAX
        });
        patient && up.is_some_and(|up| up.late.has(s))
    }

    pub(super) fn set_late(&mut self, cx: &mut Cx, late: Stripes) {
        let news = late - self.hub.late;
        self.hub.late = late;
        if news.is_empty() {
            return;
        }
        for conn in self.hub.feed.subscribers() {
            if self.hub.feed.stripes_of(conn).meets(news) {
                self.hub.beat(cx, conn);
            }
        }
    }

    fn count_late(&mut self, seq: u64) {
        if self.late_seq.is_none_or(|last| seq > last) {
            self.late_seq = Some(seq);
            self.hub.stats.blocks_late += 1;
        }
    }

    /// Blocks of which nothing has come though they must be there.
    fn unknown_blocks(&self, now: Mono) -> Vec<(u64, usize)> {
        let (Some(next), Some(reference)) = (self.next, self.reference) else {
            return Vec::new();
        };
        let all = 0..self.intakes.len();
        let due = |seq: u64| {
            if let Some((_, later)) = self.hub.store.iter().find(|(later, _)| *later > seq) {
                return later.since.after(limits::MESH_LATE_AFTER);
            }
            let blocks = u32::try_from(seq.saturating_sub(reference.seq)).unwrap_or(u32::MAX);
            let ahead = reference.lasts.saturating_mul(blocks);
            reference.at.after(ahead + limits::MESH_LATE_AFTER)
        };
        let from = next.max(self.pushed);
        let held = self.hub.store.run_from(from);
        if held.is_some_and(|first| now < due(first)) {
            return Vec::new();
        }
        let most = limits::WINDOW_BLOCKS_MAX as u64;
        let end = self.newest_anywhere(now, reference).saturating_add(1);
        let unknown = (from..end.min(next.saturating_add(most)))
            .filter(|seq| self.hub.store.get(*seq).is_none());
        let due = unknown.filter(|seq| now >= due(*seq));
        due.flat_map(|seq| all.clone().map(move |s| (seq, s))).collect()
    }

    /// The newest block that anybody says there is, as far as the time line allows: more than one
    /// may be missing, after a partition all that was aired meanwhile is.
    fn newest_anywhere(&self, now: Mono, reference: Reference) -> u64 {
        let heard = self.ups.values().map(|up| up.newest).max().unwrap_or(0);
        let since = now.since(reference.at).as_micros() / reference.lasts.as_micros().max(1);
        let possible = reference.seq.saturating_add(u64::try_from(since).unwrap_or(u64::MAX));
        heard.max(self.told.0).min(possible.saturating_add(1)).max(reference.seq)
    }

    /// Leaves parents that owe bytes for long, or have sent wrong ones.
    fn judge_parents(&mut self, cx: &mut Cx, missing: &[(u64, usize)]) {
        let now = cx.now.mono;
        if self.intakes.is_calm() && missing.is_empty() && self.suspects.is_empty() {
            return;
        }
        let mut left: Vec<(NodeId, Stripes, &'static str)> = Vec::new();
        for s in 0..self.intakes.len() {
            let owed =
                |(seq, stripe): &&(u64, usize)| *stripe == s && *seq >= self.intakes[s].first;
            let lacks = missing.iter().any(|m| owed(&m));
            let intake = &mut self.intakes[s];
            let Some(parent) = intake.parent else { continue };
            let says = self.ups.get(&parent).is_some_and(|up| up.late.has(s));
            if !lacks {
                intake.stuck = None;
            } else if now.since(*intake.stuck.get_or_insert(now))
                >= if says { limits::MESH_EXCUSED_MAX } else { limits::MESH_OWES_MAX }
            {
                left.push((parent, Stripes::one(s), "owes a stripe"));
            }
        }
        left.extend(self.convicted(now));
        for (node, stripes, why) in left {
            self.leave_parent(cx, (node, stripes), why);
        }
    }

    /// What a hash has shown.
    pub(super) fn judge(&mut self, cx: &mut Cx, verdict: Verdict) {
        match verdict {
            Verdict::None | Verdict::Ready(_) => {}
            Verdict::BadStripe(seq, stripe, from) => {
                self.hub.stats.bad_stripes += 1;
                self.set_late(cx, self.hub.late | Stripes::one(stripe));
                if let [sender] = from[..] {
                    self.suspect(sender, stripe, cx.now.mono);
                }
                self.hub.events.push_back(Event::BadStripe { seq, stripe, from });
                self.pulls.remove(&(seq, stripe));
                self.pull(cx, seq, stripe);
            }
            Verdict::BadBlock(seq) => {
                self.hub.events.push_back(Event::BadBlock { seq });
                // Whose fault it is cannot be told before the root has said which heads are right.
                self.hub.store.drop_block(cx, seq);
                for s in 0..self.intakes.len() {
                    self.pulls.remove(&(seq, s));
                }
                self.ask_truth(cx, seq, Stripes::first(self.intakes.len()));
            }
        }
    }

    /// Hands up blocks in order, and passes over those whose time is over.
    pub(super) fn deliver(&mut self, cx: &mut Cx) {
        for _ in 0..limits::MESH_AHEAD_MAX {
            let Some(next) = self.next else { return };
            let whole = self.hub.store.get(next).filter(|held| held.is_whole());
            if whole.is_some() && !self.begun && !self.may_begin(cx, next) {
                if !self.is_over(cx, next) {
                    return;
                }
                self.hub.store.drop_block(cx, next);
            } else if let Some(arrived) = whole.map(|held| arrived(cx, next, held)) {
                self.hub.stats.blocks += 1;
                if let Some(realm) = &mut self.realm {
                    realm.reckon_rate(arrived.len, arrived.lasts);
                }
                self.begun = true;
                self.hub.store.hand_over(next);
                self.hub.events.push_back(Event::Block(arrived));
            } else if self.is_over(cx, next) {
                self.hub.store.drop_block(cx, next);
                if self.begun {
                    self.hub.stats.blocks_missed += 1;
                    self.hub.events.push_back(Event::Missed { seq: next });
                }
            } else {
                return;
            }
            (self.next, self.hub.store.floor) = (Some(next + 1), next + 1);
            self.hub.pump_all(cx);
        }
    }

    /// Whether a member may show this block first: only when it will not miss the next one right
    /// after, because that is whole as well, or will be pushed and has some time. One that has
    /// to be asked for comes when others have bytes to spare, and the first that is pushed when
    /// the parent has a slot: both may be late.
    fn may_begin(&self, cx: &Cx, seq: u64) -> bool {
        let Some(reference) = self.reference else { return true };
        let air = reference.air_of(seq + 1);
        let whole = self.hub.store.get(seq + 1).is_some_and(Held::is_whole);
        let comes = seq + 1 > self.pushed && cx.now.wall + limits::MESH_BEGIN_MIN <= air;
        cx.now.wall < air && (whole || comes)
    }

    /// Whether a block that is not whole is of no more use.
    fn is_over(&self, cx: &Cx, seq: u64) -> bool {
        let Some(reference) = self.reference else { return false };
        let exists = seq <= reference.seq.max(self.told.0) || self.hub.store.last() >= Some(seq);
        if !exists {
            return false;
        }
        let known = self.hub.store.get(seq).map(|held| (held.facts.air, held.facts.lasts));
        let reckoned = (reference.air_of(seq), reference.lasts);
        // Both must say so: a head may be made up, and blocks need not last equally long.
        [known.unwrap_or(reckoned), reckoned]
            .into_iter()
            .all(|(air, lasts)| cx.now.wall >= if self.begun { air } else { air + lasts })
    }
}

fn arrived(cx: &Cx, seq: u64, held: &Held) -> Arrived {
    Arrived {
        seq,
        movie: held.facts.movie.clone(),
        file: held.facts.name.clone(),
        blob: held.blob,
        len: u64::from(held.facts.length),
        starts_at: held.facts.air,
        lasts: held.facts.lasts,
        timeline: held.facts.timeline,
        head: held.head.clone(),
        at: cx.now.wall,
    }
}

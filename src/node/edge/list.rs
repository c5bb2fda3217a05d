//! Playlists of HLS: which blocks they list, and what has to be known of these. With a schedule
//! they follow from it and from the blocks alone, so that every server of it gives the same bytes,
//! also one that has just started; without one they follow the window.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::base::limits;
use crate::channel::playout::Playout;
use crate::container::{Profile, Signature};
use crate::http::Response;
use crate::http::hls::{self, Form, Plan, Playlist, Segment, Shape};
use crate::media::catalog::Movie;
use crate::media::schedule::{Position, Schedule};
use crate::node::Node;
use crate::node::edge::answer::{Reply, off_air, output_of};

/// What of channels is too long to find out each time.
#[derive(Default, Debug)]
pub(super) struct Lists {
    runs: BTreeMap<usize, u64>,
    shapes: BTreeMap<usize, Shape>,
    plans: BTreeMap<(usize, Form), Plan>,
    fallen: BTreeMap<(usize, Form), Fallen>,
}

/// Discontinuities that a playlist without a schedule listed once and lists no longer.
#[derive(Clone, Copy, Debug)]
struct Fallen {
    /// The first block of the last playlist.
    first: u64,
    count: u64,
}

impl Lists {
    pub(super) fn run(&mut self, channel: usize, schedule: &Schedule) -> u64 {
        *self.runs.entry(channel).or_insert_with(|| schedule.fingerprint())
    }
}

impl Node {
    /// The first and the last block of a channel's playlists now; none when nothing is on.
    pub(super) fn edge_range(&mut self, channel: usize) -> Option<(u64, u64)> {
        let segments = self.edge_shape(channel).segments();
        let state = self.channels.get(channel)?;
        if let Some(playout) = &state.playout {
            return hls::range(playout.schedule(), segments, self.cx.now.wall);
        }
        let last = state.window.live()?.seq;
        let (oldest, _) = state.window.range()?;
        Some(((last + 1).saturating_sub(segments).max(oldest), last))
    }

    fn edge_shape(&mut self, channel: usize) -> Shape {
        let Some(state) = self.channels.get(channel) else { return Shape::default() };
        match &state.playout {
            Some(playout) => {
                let shapes = &mut self.edge.lists.shapes;
                *shapes.entry(channel).or_insert_with(|| Shape::of(playout.schedule()))
            }
            None => Shape::lasting(state.window.iter().map(|block| block.lasts)),
        }
    }

    /// Blocks of a channel from which on outputs may still be asked for.
    pub(super) fn edge_oldest(&mut self, channel: usize, live: u64) -> u64 {
        live.saturating_sub(2 * self.edge_shape(channel).segments())
    }

    /// The blocks that a playlist lists, and the one before, are made: which those are. Nothing
    /// while that is still to be done.
    pub(super) fn edge_window(&mut self, channel: usize) -> Result<Option<(u64, u64)>, Response> {
        let (first, last) = self.edge_range(channel).ok_or_else(off_air)?;
        let keys = (first.saturating_sub(1)..=last).map(|seq| (channel, seq));
        keys.clone().for_each(|key| self.edge_want(key));
        let settled = |key| self.edge.slots.get(&key).is_none_or(|slot| slot.stage.is_settled());
        Ok(keys.into_iter().all(settled).then_some((first, last)))
    }

    /// A playlist, once this block is listed.
    pub(super) fn edge_reload(&mut self, channel: usize, form: Form, wanted: u64) -> Reply {
        let Some((_, last)) = self.edge_range(channel) else { return Reply::Is(off_air()) };
        if !self.edge_shape(channel).is_low() || wanted <= last {
            self.edge_playlist(channel, form)
        } else if wanted > last + limits::HLS_AHEAD_MAX {
            Reply::Is(Response::text(400, "this block is too far ahead to be waited for"))
        } else {
            Reply::Later
        }
    }

    pub(super) fn edge_playlist(&mut self, channel: usize, form: Form) -> Reply {
        let (first, last) = match self.edge_window(channel) {
            Ok(Some(range)) => range,
            Ok(None) => return Reply::Later,
            Err(response) => return Reply::Is(response),
        };
        if !self.edge_planned((channel, form)) {
            return Reply::Later;
        }
        let segments = self.edge_segments((channel, form), (first, last));
        let before = self.edge_changes_before((channel, form), first, &segments);
        let base = self.config.http.as_ref().and_then(|h| h.segment_base_url.as_deref());
        let base = base.map_or_else(String::new, |base| format!("{base}ch/{channel}/"));
        let shape = self.edge_shape(channel);
        let playlist = Playlist { form, base: &base, shape, before, segments: &segments };
        Reply::Is(playlist.response())
    }

    /// What is listed of each block.
    fn edge_segments(
        &mut self,
        (channel, form): (usize, Form),
        (first, last): (u64, u64),
    ) -> Vec<Segment> {
        let run = self.edge_run(channel).unwrap_or(0);
        let mut segments: Vec<Segment> = Vec::new();
        for seq in first..=last {
            let signature = self.edge_signature((channel, form), seq);
            let change = self.edge_changes_at((channel, form), seq);
            let segment = if let Some(slot) = self.edge.slots.get(&(channel, seq)) {
                let about = &slot.about;
                let (starts_at, lasts, run) = (about.starts_at, about.lasts, about.run);
                let own = slot.stage.made().filter(|_| about.clock.is_none());
                let lasts = own.map_or(lasts, |made| Duration::from_nanos(made.lasts_ns));
                Segment { run, seq, starts_at, lasts, signature, change }
            } else {
                // It did not come: players go over it.
                let (lasts, starts_at) = segments.last().map_or_else(
                    || (Duration::from_secs(1), self.cx.now.wall),
                    |before| (before.lasts, before.starts_at + before.lasts),
                );
                Segment { run, seq, starts_at, lasts, signature, change }
            };
            segments.push(segment);
        }
        segments
    }

    /// What a segment's parameters are called; none where there is no such segment.
    fn edge_signature(&self, (channel, form): (usize, Form), seq: u64) -> Option<Signature> {
        let made = self.edge.made((channel, seq))?;
        made.span(output_of(form)).is_ok().then(|| made.signature())
    }

    /// Whether it is known where the parameters of a channel change: at once without a schedule.
    fn edge_planned(&mut self, key: (usize, Form)) -> bool {
        let scheduled = self.channels.get(key.0).is_some_and(|state| state.playout.is_some());
        if scheduled && !self.edge.lists.plans.contains_key(&key) {
            let Some(plan) = self.edge_plan(key.0, key.1) else { return false };
            self.edge.lists.plans.insert(key, plan);
        }
        true
    }

    /// With a schedule: where parameters change, and a block of it.
    fn edge_plan_at(&self, key: (usize, Form), seq: u64) -> Option<(&Plan, &Schedule, Position)> {
        let schedule = self.channels.get(key.0)?.playout.as_ref().map(Playout::schedule)?;
        Some((self.edge.lists.plans.get(&key)?, schedule, schedule.position(seq)?))
    }

    /// Whether there is a discontinuity right before a block. With a schedule it alone tells.
    fn edge_changes_at(&self, key: (usize, Form), seq: u64) -> bool {
        if let Some((plan, _, position)) = self.edge_plan_at(key, seq) {
            return plan.changes_at(&position);
        }
        let known = seq.checked_sub(1).filter(|b| self.edge.slots.contains_key(&(key.0, *b)));
        known.is_some_and(|b| self.edge_signature(key, b) != self.edge_signature(key, seq))
    }

    /// Discontinuities before a block.
    fn edge_changes_before(&mut self, key: (usize, Form), first: u64, segments: &[Segment]) -> u64 {
        if let Some((plan, schedule, position)) = self.edge_plan_at(key, first) {
            return plan.changes_before(schedule, &position);
        }
        self.edge_fallen(key, first, segments)
    }

    /// Where parameters change in a schedule, once every movie of it was looked at.
    fn edge_plan(&mut self, channel: usize, form: Form) -> Option<Plan> {
        let playout = self.channels.get(channel)?.playout.as_ref()?;
        let (schedule, probes) = (playout.schedule(), &mut self.edge.probes);
        for movie in schedule.playlist() {
            probes.want(&mut self.cx, movie);
        }
        let movies = schedule.playlist();
        movies.iter().all(|movie| probes.known(movie).is_some()).then(|| {
            let has = |profile: &Profile| {
                let mut outputs = profile.outputs();
                outputs.any(|(output, has)| output == output_of(form) && has.is_ok())
            };
            Plan::of(schedule, |movie: &Movie| {
                let profile = probes.known(movie)?.as_ref().ok()?;
                has(profile).then_some(profile.signature)
            })
        })
    }

    /// Without a schedule: what was listed and fell out since the last playlist is counted.
    fn edge_fallen(&mut self, key: (usize, Form), first: u64, segments: &[Segment]) -> u64 {
        let start = Fallen { first, count: 0 };
        let fallen = *self.edge.lists.fallen.entry(key).or_insert(start);
        // One that is newer than what is listed is of a run that is over.
        let old = fallen.first.min(first)..first;
        let signature = |seq| self.edge_signature(key, seq);
        let slot = |seq: &u64| self.edge.slots.contains_key(&(key.0, *seq));
        let pairs = old.filter(|seq| *seq > 0 && slot(seq) && slot(&(seq - 1)));
        let changed = pairs.filter(|seq| signature(*seq) != signature(seq - 1)).count() as u64;
        debug_assert!(
            segments.first().is_none_or(|segment| segment.seq == first),
            "they are listed"
        );
        let count = fallen.count + changed;
        self.edge.lists.fallen.insert(key, Fallen { first, count });
        count
    }
}

//! What players can have of each movie, told by its first block. Nothing is read before somebody
//! asks, and then one block after the other with rests between them: a library of a hundred movies
//! must delay neither the start nor a turn of the loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::base::limits;
use crate::base::port::{Blob, Cx, Facts, Level, Output as Act, Span, Why};
use crate::base::status::{MovieStatus, OutputStatus};
use crate::base::text::escaped;
use crate::base::wheel::Timer;
use crate::channel::playout::Playout;
use crate::container::{Output, Profile};
use crate::media::catalog::Movie;
use crate::node::{Channel, Node};

/// What is known of a movie: its profile, or why it has none.
pub(super) type Known = Result<Profile, String>;

/// The movies that were looked at, and those that wait for it.
#[derive(Default, Debug)]
pub(super) struct Probes {
    known: BTreeMap<Rc<str>, Known>,
    queue: VecDeque<Rc<Movie>>,
    under_way: Option<(Rc<Movie>, Stage)>,
    timer: Option<Timer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening(Blob),
    Reading(Span),
}

impl Stage {
    fn blob(self) -> Blob {
        match self {
            Self::Opening(blob) => blob,
            Self::Reading(span) => span.blob,
        }
    }
}

impl Probes {
    pub(super) fn known(&self, movie: &Movie) -> Option<&Known> {
        self.known.get(movie.name())
    }

    pub(super) fn blobs(&self) -> usize {
        usize::from(self.under_way.is_some())
    }

    pub(super) fn timers(&self) -> usize {
        usize::from(self.timer.is_some())
    }

    /// A movie is to be looked at, unless it was or will be.
    pub(super) fn want(&mut self, cx: &mut Cx, movie: &Rc<Movie>) {
        let name = movie.name();
        let waits = self.queue.iter().any(|m| m.name() == name)
            || self.under_way.as_ref().is_some_and(|(m, _)| m.name() == name);
        if !waits && !self.known.contains_key(name) {
            self.queue.push_back(Rc::clone(movie));
            self.go_on(cx);
        }
    }

    /// Opens the next movie's first block, when nothing else is under way.
    fn go_on(&mut self, cx: &mut Cx) {
        while self.under_way.is_none() && self.timer.is_none() {
            let Some(movie) = self.queue.pop_front() else { return };
            match movie.path(0).and_then(|path| cx.open(path)) {
                Some(blob) => self.under_way = Some((movie, Stage::Opening(blob))),
                None => self.learn(&movie, Err("too many blocks are open".to_owned())),
            }
        }
    }

    fn learn(&mut self, movie: &Movie, known: Known) {
        self.known.insert(Rc::clone(movie.name()), known);
    }

    fn is_at(&self, stage: impl Fn(Stage) -> bool) -> bool {
        self.under_way.as_ref().is_some_and(|(_, now)| stage(*now))
    }

    pub(super) fn opened(&mut self, cx: &mut Cx, blob: Blob, facts: Facts<'_>) -> bool {
        let Some((_, stage)) = &mut self.under_way else { return false };
        if *stage != Stage::Opening(blob) {
            return false;
        }
        let span = Span { blob, from: 0, len: facts.len };
        *stage = Stage::Reading(span);
        cx.out.push_back(Act::Read { span });
        true
    }

    /// The movie that is under way is known from now on; its name, when it was under way.
    fn finish(&mut self, cx: &mut Cx, known: Known) -> Option<Rc<Movie>> {
        let (movie, stage) = self.under_way.take()?;
        cx.release(stage.blob());
        self.learn(&movie, known);
        if !self.queue.is_empty() {
            self.timer = Some(cx.wake(Why::EdgeProbe, 0, limits::EDGE_PROBE_GAP));
        }
        Some(movie)
    }

    /// Whatever was learned is forgotten, and nothing more is looked at.
    pub(super) fn clear(&mut self, cx: &mut Cx) {
        if let Some(timer) = self.timer.take() {
            cx.wheel.cancel(timer);
        }
        if let Some((_, stage)) = self.under_way.take() {
            cx.release(stage.blob());
        }
        self.queue.clear();
        self.known.clear();
    }
}

impl Node {
    /// Every movie of the channels is to be looked at, for whoever asks after them all.
    pub(in crate::node) fn probe_all(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for movie in movies(&self.channels) {
            self.edge.probes.want(&mut self.cx, &movie);
        }
    }

    /// [`Why::EdgeProbe`].
    pub(in crate::node) fn probe_next(&mut self) {
        self.edge.probes.timer = None;
        self.edge.probes.go_on(&mut self.cx);
    }

    /// Bytes that were asked for are there. `false`: it was not a probe that asked.
    pub(super) fn probe_read(&mut self, span: Span, bytes: Option<&[u8]>) -> bool {
        if !self.edge.probes.is_at(|stage| stage == Stage::Reading(span)) {
            return false;
        }
        let read = bytes.ok_or_else(|| "its file is not what it was".to_owned());
        let read = read.and_then(|b| crate::container::read(b).map_err(|why| why.to_string()));
        self.probed(read.map(|block| Profile::of(&block)));
        true
    }

    /// The file of a probe cannot be read. `false`: it was not a probe's.
    pub(super) fn probe_unreadable(&mut self, blob: Blob, why: &str) -> bool {
        if !self.edge.probes.is_at(|stage| stage.blob() == blob) {
            return false;
        }
        self.probed(Err(escaped(why.as_bytes())));
        true
    }

    fn probed(&mut self, known: Known) {
        let lacks = lacks(&known);
        let Some(movie) = self.edge.probes.finish(&mut self.cx, known) else { return };
        let stands_in = |channel: &Channel| {
            let filler = channel.playout.as_ref().and_then(Playout::filler);
            filler.is_some_and(|filler| filler.name() == movie.name())
        };
        if !lacks.is_empty() && self.channels.iter().any(stands_in) {
            let name = escaped(movie.name().as_bytes());
            let text = format!("filler {name} is not for all players: {}", lacks.join("; "));
            self.lines.push_back((Level::Warn, text));
        }
        self.edge_retry();
    }

    /// The movies of the channels, for the status document.
    pub(in crate::node) fn movie_statuses(&self) -> Vec<MovieStatus> {
        let status = |movie: Rc<Movie>| MovieStatus {
            name: movie.name().to_string(),
            outputs: self.edge.probes.known(&movie).map(outputs),
        };
        movies(&self.channels).into_iter().map(status).collect()
    }
}

/// Each output, and why it cannot be had where it cannot.
fn outputs(known: &Known) -> Vec<OutputStatus> {
    let status = |output: Output, why_not: Option<String>| OutputStatus {
        output: output.extension(),
        why_not,
    };
    match known {
        Ok(profile) => {
            let told = profile.outputs();
            told.map(|(output, has)| status(output, has.err().map(|why| why.to_string()))).collect()
        }
        Err(why) => Output::ALL.map(|output| status(output, Some(why.clone()))).into(),
    }
}

/// Why there are not all outputs.
fn lacks(known: &Known) -> Vec<String> {
    match known {
        Ok(profile) => {
            profile.outputs().filter_map(|(_, has)| Some(has.err()?.to_string())).collect()
        }
        Err(why) => vec![why.clone()],
    }
}

/// The movies that channels may show, each once, by name.
fn movies(channels: &[Channel]) -> Vec<Rc<Movie>> {
    let playouts = channels.iter().filter_map(|channel| channel.playout.as_ref());
    let all = playouts.flat_map(|p| p.schedule().playlist().iter().chain(p.filler()));
    let mut seen = BTreeSet::new();
    let mut movies: Vec<_> = all.filter(|m| seen.insert(Rc::clone(m.name()))).cloned().collect();
    movies.sort_by(|a, b| a.name().cmp(b.name()));
    movies
}

//! The blocks of a node of the mesh: those on their way in, stripe by stripe, and the last that are
//! whole. Knows what is missing and what may be sent on; asks nobody for anything.
//!
//! | block | told | becomes |
//! |---|---|---|
//! | filling | the first head of it | so many stripes to fill, each by one link at a time |
//! | | a stripe is full | hashed; a stripe that does not match is empty again |
//! | | all stripes match | the whole is hashed; when that does not match, all are empty again |
//! | | the whole matches | sealed |
//! | sealed | opened | whole |
//! | whole | handed over | the node's: [`Store::retire`] says when it is gone |
//!
//! A root's own block is there at once and is hashed before anybody is sent a byte.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use litemap::LiteMap;

use crate::base::limits;
use crate::base::port::{Blob, Conn, Cx, Output, Span};
use crate::base::time::{Mono, Wall};
use crate::mesh::wire::{self, NodeId, Timeline, stripe_of};

/// What is known of a block from its heads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) length: u32,
    pub(super) stripes: u8,
    pub(super) air: Wall,
    pub(super) lasts: Duration,
    pub(super) movie: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) timeline: Option<Timeline>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Filling,
    Hashing,
    Sealing,
    Whole,
}

/// One stripe of a block.
#[derive(Debug)]
pub(super) struct Part {
    /// Its first byte in the block.
    start: u64,
    /// Its bytes.
    pub(super) len: u64,
    /// How many of them are there, from the first on.
    pub(super) filled: u64,
    hash: Option<[u8; 32]>,
    /// Whether the hash was found to be right.
    pub(super) good: bool,
    /// The link that fills it now.
    pub(super) writer: Option<Conn>,
    /// When it last grew, or its block was first heard of.
    pub(super) moved: Mono,
    /// When the link that fills it began to.
    pub(super) began: Mono,
    /// Everybody who sent bytes of it.
    pub(super) sources: Vec<NodeId>,
}

impl Part {
    /// Whether all its bytes are there, right or not.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.len
    }
}

/// One block.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) facts: Facts,
    pub(super) blob: Blob,
    pub(super) parts: Vec<Part>,
    hash: Option<[u8; 32]>,
    state: State,
    /// Whether the blob is given back when the block is dropped.
    own: bool,
    /// Its first bytes, once it is whole.
    pub(super) head: Box<[u8]>,
    /// When it was first heard of.
    pub(super) since: Mono,
    /// What was said of each stripe, when they turned out not to make up the block.
    said: Vec<Said>,
}

/// The hash of a stripe, and who said so and sent it.
type Said = (Option<[u8; 32]>, Vec<NodeId>);

impl Held {
    /// Whether it is complete and right.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }
}

/// Where the bytes behind a head go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Put {
    /// So many are not needed.
    pub(super) skip: u64,
    /// The rest; nowhere without it.
    pub(super) into: Option<Span>,
    /// The head says something else of the block or the stripe than one before did.
    pub(super) disputed: bool,
}

/// What was taken back because the root says otherwise.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Corrected {
    /// Who sent what, by stripe.
    pub(super) senders: Vec<(NodeId, usize)>,
    /// Links on which more of it is under way.
    pub(super) writers: Vec<Conn>,
}

/// What a hash has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing yet, or it was not asked for here.
    None,
    /// A block of our own may be sent now.
    Ready(u64),
    /// A stripe is not what its head says; these sent it.
    BadStripe(u64, usize, Vec<NodeId>),
    /// The stripes agree with their heads but not with the block.
    BadBlock(u64),
}

/// The blocks of a node.
#[derive(Debug, Default)]
pub(super) struct Store {
    blocks: LiteMap<u64, Box<Held>>,
    writing: LiteMap<Conn, (u64, usize)>,
    /// Blocks below this are not taken in any more.
    pub(super) floor: u64,
    newest: Option<u64>,
    /// What was said of blocks that were dropped because their stripes did not make them up, until
    /// the root has spoken.
    accused: BTreeMap<u64, Vec<Said>>,
    /// Bytes that came although they were there, or did not fit.
    pub(super) wasted: u64,
}

impl Store {
    /// A block of our own: its bytes are there.
    pub(super) fn insert(&mut self, cx: &mut Cx, seq: u64, facts: Facts, blob: Blob) {
        let mut held = Held::new(facts, blob, cx.now.mono, false);
        for part in &mut held.parts {
            part.filled = part.len;
            let span = Span { blob, from: part.start, len: part.len };
            cx.out.push_back(Output::Hash { span });
        }
        held.state = State::Hashing;
        let len = u64::from(held.facts.length);
        if held.parts.len() > 1 {
            cx.out.push_back(Output::Hash { span: Span { blob, from: 0, len } });
        }
        self.blocks.insert(seq, Box::new(held));
        self.floor = self.floor.max(seq + 1);
        self.make_room(cx);
    }

    fn make_room(&mut self, cx: &mut Cx) {
        while self.blocks.len() > limits::MESH_BLOCKS_MAX {
            let Some(oldest) = self.first() else { return };
            if let Some(old) = self.blocks.remove(&oldest) {
                old.drop_blob(cx);
            }
        }
    }

    /// A head has come: where its bytes go.
    pub(super) fn begin(
        &mut self,
        cx: &mut Cx,
        (conn, node): (Conn, NodeId),
        announced: &wire::Block,
    ) -> Put {
        let bytes = u64::from(announced.range.end - announced.range.start);
        let nowhere = Put { skip: bytes, into: None, disputed: false };
        let now = cx.now.mono;
        if !self.admit(cx, announced) {
            self.wasted += bytes;
            return nowhere;
        }
        let Some(held) = self.blocks.get_mut(&announced.seq) else { return nowhere };
        let (blob, stripe) = (held.blob, usize::from(announced.stripe));
        let (agrees, open) = (held.agrees(announced), held.state == State::Filling);
        let part = &mut held.parts[stripe];
        let (from, to) = (u64::from(announced.range.start), u64::from(announced.range.end));
        let known = part.hash.is_none_or(|hash| hash == announced.stripe_hash);
        let fits = from <= part.filled && to > part.filled && part.writer.is_none();
        if !(open && agrees && known && fits) {
            self.wasted += bytes;
            return Put { disputed: open && !(agrees && known), ..nowhere };
        }
        let skip = part.filled - from;
        self.wasted += skip;
        part.hash = Some(announced.stripe_hash);
        (part.writer, part.moved, part.began) = (Some(conn), now, now);
        if !part.sources.contains(&node) {
            part.sources.push(node);
        }
        let into = Span { blob, from: part.start + part.filled, len: to - part.filled };
        self.writing.insert(conn, (announced.seq, stripe));
        Put { skip, into: Some(into), disputed: false }
    }

    /// The root's own head: whatever it contradicts is taken back.
    pub(super) fn correct(&mut self, cx: &mut Cx, announced: &wire::Block) -> Corrected {
        let mut corrected = Corrected::default();
        let accused = self.accused.get_mut(&announced.seq);
        let said = accused.and_then(|all| all.get_mut(usize::from(announced.stripe)));
        if let Some((hash, sources)) = said.map(core::mem::take) {
            let wrong = hash.is_some_and(|hash| hash != announced.stripe_hash);
            let senders = sources.into_iter().filter(|_| wrong);
            corrected.senders.extend(senders.map(|node| (node, usize::from(announced.stripe))));
        }
        let Some(held) = self.blocks.get_mut(&announced.seq).filter(|held| !held.is_whole()) else {
            return corrected;
        };
        let (agrees, stripe) = (held.agrees(announced), usize::from(announced.stripe));
        for (s, part) in held.parts.iter_mut().enumerate() {
            let wrong = part.hash.is_some_and(|hash| hash != announced.stripe_hash);
            if agrees && !(s == stripe && wrong) {
                continue;
            }
            corrected.senders.extend(part.sources.iter().map(|sender| (*sender, s)));
            if agrees {
                // What is still under way would be written over what comes instead.
                corrected.writers.extend(part.writer.take());
                part.empty(cx.now.mono);
            }
        }
        if !agrees {
            self.drop_block(cx, announced.seq);
        }
        corrected
    }

    /// Whether a head's block is here, or may be: then it is from now on.
    fn admit(&mut self, cx: &mut Cx, announced: &wire::Block) -> bool {
        if self.blocks.contains_key(&announced.seq) {
            return true;
        }
        let far =
            self.newest.is_some_and(|n| announced.seq > n.saturating_add(limits::MESH_AHEAD_MAX));
        if announced.seq < self.floor || far || self.filling() >= limits::MESH_BLOCKS_MAX / 2 {
            return false;
        }
        let Some(blob) = cx.create(u64::from(announced.length)) else { return false };
        let facts = Facts {
            length: announced.length,
            stripes: announced.stripes,
            air: announced.air,
            lasts: announced.lasts,
            movie: announced.movie.clone(),
            name: announced.name.clone(),
            timeline: announced.timeline,
        };
        let mut held = Held::new(facts, blob, cx.now.mono, true);
        held.hash = Some(announced.block_hash);
        self.blocks.insert(announced.seq, Box::new(held));
        self.make_room(cx);
        self.blocks.contains_key(&announced.seq)
    }

    fn filling(&self) -> usize {
        self.blocks.values().filter(|held| !held.is_whole()).count()
    }

    /// Bytes arrived: which stripe grew.
    pub(super) fn filled(
        &mut self,
        cx: &mut Cx,
        conn: Conn,
        (upto, done): (u64, bool),
    ) -> Option<(u64, usize)> {
        let (seq, stripe) = *self.writing.get(&conn)?;
        if done {
            self.writing.remove(&conn);
        }
        let held = self.blocks.get_mut(&seq)?;
        let blob = held.blob;
        let part = &mut held.parts[stripe];
        if part.writer != Some(conn) {
            return None;
        }
        part.filled = upto.saturating_sub(part.start).min(part.len).max(part.filled);
        part.moved = cx.now.mono;
        if done {
            part.writer = None;
        }
        if part.is_full() {
            part.writer = None;
            let span = Span { blob, from: part.start, len: part.len };
            cx.out.push_back(Output::Hash { span });
        }
        Some((seq, stripe))
    }

    /// A hash is known.
    pub(super) fn hashed(&mut self, cx: &mut Cx, span: Span, hash: Option<[u8; 32]>) -> Verdict {
        // It is one of the newest.
        let found = self.blocks.iter_mut().rev().find(|(_, held)| held.blob == span.blob);
        let Some((seq, held)) = found else { return Verdict::None };
        let seq = *seq;
        if held.state == State::Hashing {
            let verdict = held.whole_hashed(cx, seq, span, hash);
            if verdict == Verdict::Ready(seq) {
                self.newest = self.newest.max(Some(seq));
            }
            return verdict;
        }
        let mut parts = held.parts.iter_mut().enumerate();
        let part = parts.find(|(_, p)| (p.start, p.len) == (span.from, span.len) && p.is_full());
        let Some((stripe, part)) = part else { return Verdict::None };
        if hash.is_none() || hash != part.hash {
            let sources = core::mem::take(&mut part.sources);
            part.empty(cx.now.mono);
            return Verdict::BadStripe(seq, stripe, sources);
        }
        part.good = true;
        if held.parts.iter().all(|part| part.good || part.len == 0) {
            held.state = State::Hashing;
            let span = Span { blob: held.blob, from: 0, len: u64::from(held.facts.length) };
            cx.out.push_back(Output::Hash { span });
        }
        Verdict::None
    }

    /// A block of our own is open to be read: it is whole. `None`: it is none of ours.
    pub(super) fn opened(&mut self, blob: Blob, first_bytes: &[u8]) -> Option<u64> {
        let sealing = |held: &Held| held.blob == blob && held.state == State::Sealing;
        let (seq, held) = self.blocks.iter_mut().rev().find(|(_, held)| sealing(held))?;
        (held.state, held.head) = (State::Whole, first_bytes.into());
        self.newest = self.newest.max(Some(*seq));
        Some(*seq)
    }

    /// A whole block's blob is the node's from now on.
    pub(super) fn hand_over(&mut self, seq: u64) {
        if let Some(held) = self.blocks.get_mut(&seq).filter(|held| held.is_whole()) {
            held.own = false;
        }
    }

    /// A blob could not be made, or not be sealed. `false`: it is none of ours.
    pub(super) fn unreadable(&mut self, cx: &mut Cx, blob: Blob) -> bool {
        let found = self.blocks.iter().find(|(_, held)| held.blob == blob && held.own);
        let Some(seq) = found.map(|(seq, _)| *seq) else { return false };
        self.drop_block(cx, seq);
        true
    }

    /// The node has no more use for a block that is whole; its blob is not sent from any more.
    pub(super) fn retire(&mut self, blob: Blob) {
        self.blocks.retain(|_, held| held.blob != blob || held.own);
    }

    /// Blobs that are given back when their blocks are dropped.
    pub(super) fn blobs(&self) -> usize {
        self.blocks.values().filter(|held| held.own).count()
    }

    /// Gives up a block.
    pub(super) fn drop_block(&mut self, cx: &mut Cx, seq: u64) {
        let Some(mut held) = self.blocks.remove(&seq) else { return };
        let said = core::mem::take(&mut held.said);
        held.drop_blob(cx);
        self.accused.retain(|seq, _| *seq >= self.floor);
        if !said.is_empty() && self.accused.len() < limits::WINDOW_BLOCKS_MAX {
            self.accused.insert(seq, said);
        }
    }

    /// Gives up whatever is on its way in.
    pub(super) fn clear(&mut self, cx: &mut Cx) {
        for (_, held) in core::mem::take(&mut self.blocks) {
            held.drop_blob(cx);
        }
        self.writing.clear();
        self.accused.clear();
    }

    /// A link is gone, and with it what it was filling.
    pub(super) fn gone(&mut self, conn: Conn) {
        let Some((seq, stripe)) = self.writing.remove(&conn) else { return };
        let part = self.blocks.get_mut(&seq).map(|held| &mut held.parts[stripe]);
        if let Some(part) = part.filter(|part| part.writer == Some(conn)) {
            part.writer = None;
        }
    }

    /// A block.
    pub(super) fn get(&self, seq: u64) -> Option<&Held> {
        self.blocks.get(&seq).map(|held| &**held)
    }

    /// Every block, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.blocks.iter().map(|(seq, held)| (*seq, &**held))
    }

    /// The next block that is there, when this one is not and will not be.
    pub(super) fn instead_of(&self, seq: u64) -> Option<u64> {
        if seq >= self.floor || self.get(seq).is_some() {
            return None;
        }
        self.blocks.keys().find(|next| **next > seq).copied()
    }

    /// The first block from this one on that there is nothing of, when there is nothing of any
    /// block behind it either.
    pub(super) fn run_from(&self, seq: u64) -> Option<u64> {
        let later = self.blocks.keys().filter(|held| **held >= seq).count() as u64;
        let end = seq.saturating_add(later);
        (later == 0 || self.last().is_some_and(|last| last + 1 == end)).then_some(end)
    }

    /// The oldest block that there is anything of.
    pub(super) fn first(&self) -> Option<u64> {
        self.blocks.first().map(|(seq, _)| *seq)
    }

    /// The newest block that there is anything of.
    pub(super) fn last(&self) -> Option<u64> {
        self.blocks.last().map(|(seq, _)| *seq)
    }

    /// The newest block that was whole.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// How many bytes of a stripe there are to be sent on, and how many it has; `None` when nothing
    /// of it can be sent.
    pub(super) fn sendable(&self, seq: u64, stripe: usize) -> Option<(u64, u64)> {
        let held = self.get(seq)?;
        let part = held.parts.get(stripe)?;
        (held.hash.is_some() && part.hash.is_some()).then_some((part.filled, part.len))
    }

    /// A head and the name of the bytes that follow it, for bytes that are there.
    pub(super) fn piece(
        &self,
        seq: u64,
        stripe: usize,
        range: core::ops::Range<u64>,
    ) -> Option<(wire::Block, Span)> {
        let held = self.get(seq)?;
        let part = held.parts.get(stripe)?;
        let offset = |at: u64| u32::try_from(at).expect("blocks are below 4 GiB");
        let announced = wire::Block {
            seq,
            stripe: u8::try_from(stripe).expect("stripes are below 16"),
            stripes: held.facts.stripes,
            length: held.facts.length,
            range: offset(range.start)..offset(range.end),
            air: held.facts.air,
            lasts: held.facts.lasts,
            block_hash: held.hash?,
            stripe_hash: part.hash?,
            movie: held.facts.movie.clone(),
            name: held.facts.name.clone(),
            timeline: held.facts.timeline,
        };
        let len = range.end - range.start;
        Some((announced, Span { blob: held.blob, from: part.start + range.start, len }))
    }

    /// Looks the books through.
    pub(super) fn check_invariants(&self, cx: &Cx) {
        assert!(self.blocks.len() <= limits::MESH_BLOCKS_MAX, "blocks are bounded");
        for held in self.blocks.values() {
            assert!(!held.own || cx.blobs.get(held.blob.0).is_some(), "a block has its blob");
            assert!(held.parts.iter().all(|p| p.filled <= p.len), "no stripe is overfull");
        }
        for conn in self.writing.keys() {
            assert!(cx.is_open(*conn), "what is filled has a link");
        }
    }
}

impl Held {
    fn new(facts: Facts, blob: Blob, now: Mono, own: bool) -> Self {
        let part = |stripe| {
            let range = stripe_of(facts.length, stripe, facts.stripes);
            let (start, len) = (u64::from(range.start), u64::from(range.end - range.start));
            let empty = (len == 0).then_some(*NOTHING_HASH);
            Part {
                start,
                len,
                filled: 0,
                hash: empty,
                good: false,
                writer: None,
                moved: now,
                began: now,
                sources: Vec::new(),
            }
        };
        let parts = (0..facts.stripes).map(part).collect();
        Self {
            facts,
            blob,
            parts,
            hash: None,
            state: State::Filling,
            own,
            head: Box::default(),
            since: now,
            said: Vec::new(),
        }
    }

    /// Whether a head speaks of the same block.
    fn agrees(&self, head: &wire::Block) -> bool {
        (self.facts.length, self.facts.stripes) == (head.length, head.stripes)
            && (self.facts.air, self.facts.lasts) == (head.air, head.lasts)
            && self.facts.timeline == head.timeline
            && self.hash == Some(head.block_hash)
    }

    /// A hash of a block that is all there: of the whole of it, or of a stripe of our own block.
    fn whole_hashed(
        &mut self,
        cx: &mut Cx,
        seq: u64,
        span: Span,
        hash: Option<[u8; 32]>,
    ) -> Verdict {
        let whole = (span.from, span.len) == (0, u64::from(self.facts.length));
        if self.own {
            if !whole {
                return Verdict::None;
            }
            if hash.is_some() && hash == self.hash {
                self.state = State::Sealing;
                cx.out.push_back(Output::Seal { blob: self.blob, len: span.len });
                return Verdict::None;
            }
            let now = cx.now.mono;
            self.said = self.parts.iter().map(|p| (p.hash, p.sources.clone())).collect();
            self.parts.iter_mut().for_each(|part| part.empty(now));
            self.state = State::Filling;
            return Verdict::BadBlock(seq);
        }
        for part in &mut self.parts {
            if (part.start, part.len) == (span.from, span.len) {
                (part.hash, part.good) = (hash, hash.is_some());
            }
        }
        if whole {
            self.hash = hash;
        }
        if self.hash.is_some() && self.parts.iter().all(|part| part.good || part.len == 0) {
            self.state = State::Whole;
            return Verdict::Ready(seq);
        }
        Verdict::None
    }

    fn drop_blob(&self, cx: &mut Cx) {
        if self.own {
            cx.release(self.blob);
        }
    }
}

impl Part {
    fn empty(&mut self, now: Mono) {
        (self.filled, self.hash, self.good) = (0, None, false);
        (self.moved, self.sources) = (now, Vec::new());
    }
}

/// BLAKE3 of no bytes, for the stripes of blocks that are shorter than there are stripes.
pub(super) const NOTHING_HASH: &[u8; 32] =
    b"\xaf\x13\x49\xb9\xf5\xf9\xa1\xa6\xa0\x40\x4d\xea\x36\xdc\xc9\x49\
\x9b\xcb\x25\xc9\xad\xc1\x12\xb7\xcc\x9a\x93\xca\xe4\x1f\x32\x62";

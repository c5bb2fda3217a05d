//! Frames to messages and back.

use core::time::Duration;

use thiserror::Error;

use crate::base::limits;
use crate::base::time::Wall;

use super::bytes::{Reader, Writer};
use super::message::{
    Accept, Beat, Block, Denial, Gone, Hello, Join, Loss, Message, Path, Peer, Place, Refuse,
    Refused, Release, Report, Subscribe, Timeline, Want, stripe_of,
};
use super::set::{NodeId, Stripes};

const MAGIC: [u8; 2] = *b"VM";
const VERSION: u8 = 1;
/// Magic, version, kind, length.
pub const HEAD_BYTES: usize = 8;
/// A beat without paths: the frame that is sent most. No frame with bytes behind it is as short.
pub const BEAT_BYTES: usize = HEAD_BYTES + 11;
/// "No peer" among the places in a list of peers.
const NOBODY: u8 = 0xff;

/// Why bytes are no message. The peer that sent them is closed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    /// The first two bytes are not `VM`.
    #[error("these are not bytes of a mesh; is this the right port?")]
    Magic,
    /// Another version.
    #[error("the mesh speaks version {0} there and {VERSION} here; update the older one")]
    Version(u8),
    /// No such message.
    #[error("there is no message of kind {0}")]
    Kind(u8),
    /// The frame is longer than any may be.
    #[error("a frame of {0} bytes; at most {max}", max = limits::MESH_FRAME_BYTES_MAX)]
    Long(usize),
    /// The frame ends inside a field.
    #[error("a frame ends in the middle of a field")]
    Short,
    /// The frame goes on behind its last field.
    #[error("a frame has {0} bytes too many")]
    Trailing(usize),
    /// Text that is not UTF-8, is empty, or is too long.
    #[error("a name or a reason is empty, too long, or not UTF-8")]
    Text,
    /// An address that is neither IPv4 nor IPv6.
    #[error("an address of family {0}; 4 or 6")]
    Family(u8),
    /// A field that is 0 or 1 is neither, or a value stands where none was announced.
    #[error("a field says neither yes nor no")]
    Flag,
    /// A count above its limit.
    #[error("{what}: {count}; at most {most}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A stripe or a set of stripes that does not exist.
    #[error("a stripe, or a set of stripes, that does not exist here")]
    Stripes,
    /// Bytes outside the stripe, or a block of no or too many bytes.
    #[error("bytes {from} to {to} of a stripe of a block of {length} bytes")]
    Range {
        /// The first.
        from: u32,
        /// Behind the last.
        to: u32,
        /// Bytes in the block.
        length: u32,
    },
    /// A place in the list of peers that is not there.
    #[error("peer {0} of a list that is shorter")]
    Peer(u8),
    /// A reason that is none.
    #[error("reason {0} of a refusal")]
    Reason(u8),
    /// A block that lasts too short or too long.
    #[error("a block that lasts {0:?}")]
    Lasts(Duration),
}

/// A message, and the bytes that its frame took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// What it says.
    pub message: Message,
    /// Bytes of the frame.
    pub used: usize,
}

/// Reads the frame at the start of these bytes; `None` while it is not complete.
///
/// # Errors
/// When no further bytes can make a message of them.
pub fn parse(bytes: &[u8]) -> Result<Option<Parsed>, WireError> {
    if bytes.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
        return Err(WireError::Magic);
    }
    if let Some(version) = bytes.get(2).filter(|version| **version != VERSION) {
        return Err(WireError::Version(*version));
    }
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if length > limits::MESH_FRAME_BYTES_MAX {
        return Err(WireError::Long(length));
    }
    let Some(body) = bytes[HEAD_BYTES..].get(..length) else { return Ok(None) };
    let mut reader = Reader::new(body);
    let message = read(head[3], &mut reader)?;
    reader.end()?;
    Ok(Some(Parsed { message, used: HEAD_BYTES + length }))
}

impl Message {
    /// Its frame. Lists beyond their limits are cut.
    ///
    /// # Panics
    /// Never: a frame is far below 4 GiB.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut writer = Writer::new(HEAD_BYTES + self.about());
        writer.raw(&MAGIC);
        writer.u8(VERSION);
        writer.u8(self.kind());
        writer.u32(0);
        self.write(&mut writer);
        let mut bytes = writer.bytes;
        let length = u32::try_from(bytes.len() - HEAD_BYTES).expect("frames are small");
        bytes[4..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// About how long its body is: right for what is sent all the time.
    fn about(&self) -> usize {
        match self {
            Self::Beat(beat) => {
                BEAT_BYTES - HEAD_BYTES
                    + beat.paths.iter().map(|path| 4 + 8 * path.nodes.len()).sum::<usize>()
            }
            Self::Block(block) => {
                let timeline = if block.timeline.is_some() { 11 } else { 0 };
                100 + block.movie.len() + block.name.len() + timeline
            }
            _ => 64,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Join(_) => 2,
            Self::Place(_) => 3,
            Self::Wait(_) => 4,
            Self::Full(_) => 5,
            Self::Subscribe(_) => 6,
            Self::Release(_) => 7,
            Self::Accept(_) => 8,
            Self::Refuse(_) => 9,
            Self::Block(_) => 10,
            Self::Want(_) => 11,
            Self::Gone(_) => 12,
            Self::Beat(_) => 13,
            Self::Report(_) => 14,
            Self::Leaving => 15,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Hello(hello) => write_hello(w, hello),
            Self::Join(join) => write_join(w, join),
            Self::Place(place) => write_place(w, place),
            Self::Wait(denial) | Self::Full(denial) => write_denial(w, denial),
            Self::Subscribe(subscribe) => write_subscribe(w, subscribe),
            Self::Release(release) => {
                w.u16(release.stripes.bits());
                w.u64(release.from);
            }
            Self::Accept(accept) => {
                w.u16(accept.stripes.bits());
                w.u64(accept.first);
                w.u16(accept.late.bits());
            }
            Self::Refuse(refuse) => {
                w.u16(refuse.stripes.bits());
                w.u8(refuse.why as u8);
            }
            Self::Block(block) => write_block(w, block),
            Self::Want(want) => {
                w.u64(want.seq);
                w.u8(want.stripe);
                w.u32(want.range.start);
                w.u32(want.range.end);
            }
            Self::Gone(gone) => {
                w.u64(gone.seq);
                w.u8(gone.stripe);
            }
            Self::Beat(beat) => write_beat(w, beat),
            Self::Report(report) => write_report(w, report),
            Self::Leaving => {}
        }
    }
}

fn read(kind: u8, r: &mut Reader<'_>) -> Result<Message, WireError> {
    Ok(match kind {
        1 => Message::Hello(read_hello(r)?),
        2 => Message::Join(read_join(r)?),
        3 => Message::Place(read_place(r)?),
        4 => Message::Wait(read_denial(r)?),
        5 => Message::Full(read_denial(r)?),
        6 => Message::Subscribe(read_subscribe(r)?),
        7 => Message::Release(Release { stripes: some_stripes(r)?, from: r.u64()? }),
        8 => Message::Accept(Accept {
            stripes: some_stripes(r)?,
            first: r.u64()?,
            late: Stripes::from_bits(r.u16()?),
        }),
        9 => Message::Refuse(read_refuse(r)?),
        10 => Message::Block(read_block(r)?),
        11 => Message::Want(read_want(r)?),
        12 => Message::Gone(Gone { seq: r.u64()?, stripe: stripe(r)? }),
        13 => Message::Beat(read_beat(r)?),
        14 => Message::Report(read_report(r)?),
        15 => Message::Leaving,
        kind => return Err(WireError::Kind(kind)),
    })
}

fn some_stripes(r: &mut Reader<'_>) -> Result<Stripes, WireError> {
    let stripes = Stripes::from_bits(r.u16()?);
    if stripes.is_empty() { Err(WireError::Stripes) } else { Ok(stripes) }
}

fn stripe(r: &mut Reader<'_>) -> Result<u8, WireError> {
    let stripe = r.u8()?;
    let exists = usize::from(stripe) < limits::MESH_STRIPES_MAX;
    if exists { Ok(stripe) } else { Err(WireError::Stripes) }
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<usize, WireError> {
    if count > most { Err(WireError::Count { what, count, most }) } else { Ok(count) }
}

fn name<'a>(r: &mut Reader<'a>, most: usize) -> Result<&'a str, WireError> {
    let name = r.text()?;
    if name.is_empty() || name.len() > most { Err(WireError::Text) } else { Ok(name) }
}

fn write_hello(w: &mut Writer, hello: &Hello) {
    w.u64(hello.node.0);
    w.maybe_u64(hello.epoch);
    w.raw(&hello.ticket);
    w.text(&hello.channel);
}

fn read_hello(r: &mut Reader<'_>) -> Result<Hello, WireError> {
    Ok(Hello {
        node: NodeId(r.u64()?),
        epoch: r.maybe_u64()?,
        ticket: r.ticket()?,
        channel: name(r, limits::CHANNEL_NAME_BYTES_MAX)?.to_owned(),
    })
}

fn write_join(w: &mut Writer, join: &Join) {
    w.u16(join.port);
    w.u16(join.slots);
    w.maybe_u64(join.newest);
    w.u16(join.forwards.bits());
    let held: Stripes = join.held.iter().map(|(stripe, _)| usize::from(*stripe)).collect();
    w.u16(held.bits());
    join.held.iter().for_each(|(_, node)| w.u64(node.0));
    w.u8(u8::from(join.part));
}

fn read_join(r: &mut Reader<'_>) -> Result<Join, WireError> {
    let (port, slots) = (r.u16()?, r.u16()?);
    at_most("slots", usize::from(slots), limits::MESH_SLOTS_MAX)?;
    let newest = r.maybe_u64()?;
    let forwards = Stripes::from_bits(r.u16()?);
    let held = Stripes::from_bits(r.u16()?);
    let held = held.iter().map(|stripe| Ok((small(stripe), NodeId(r.u64()?))));
    let held = held.collect::<Result<_, WireError>>()?;
    let has_members = match r.u8()? {
        0 => false,
        1 => true,
        _ => return Err(WireError::Flag),
    };
    Ok(Join { port, slots, newest, forwards, held, part: has_members })
}

fn small(stripe: usize) -> u8 {
    u8::try_from(stripe).expect("stripes are below 16")
}

fn write_place(w: &mut Writer, place: &Place) {
    w.u64(place.epoch);
    w.u32(u32::try_from(place.lead.as_millis()).unwrap_or(u32::MAX));
    w.u64(place.newest);
    w.u64(place.oldest);
    w.u64(place.from);
    w.raw(&place.ticket);
    w.few(&place.peers, limits::MESH_PEERS_MAX, |w, peer| {
        w.u64(peer.node.0);
        w.address(peer.address);
    });
    let index = |w: &mut Writer, peer: &Option<u8>| w.u8(peer.unwrap_or(NOBODY));
    w.few(&place.parents, limits::MESH_STRIPES_MAX, index);
    place.heirs.iter().for_each(|heir| index(w, heir));
    w.few(&place.helpers, limits::MESH_HELPERS_MAX, |w, (peer, stripes)| {
        w.u8(*peer);
        w.u16(stripes.bits());
    });
    w.many(&place.children, limits::MESH_SLOTS_MAX, |w, (node, stripes)| {
        w.u64(node.0);
        w.u16(stripes.bits());
    });
}

fn read_place(r: &mut Reader<'_>) -> Result<Place, WireError> {
    let (epoch, lead) = (r.u64()?, Duration::from_millis(u64::from(r.u32()?)));
    let (newest, oldest) = (r.u64()?, r.u64()?);
    let (from, ticket) = (r.u64()?, r.ticket()?);
    let count = at_most("peers", usize::from(r.u8()?), limits::MESH_PEERS_MAX)?;
    let peer = |_| Ok(Peer { node: NodeId(r.u64()?), address: r.address()? });
    let peers = (0..count).map(peer).collect::<Result<Vec<_>, WireError>>()?;
    let stripes = at_most("stripes", usize::from(r.u8()?), limits::MESH_STRIPES_MAX)?;
    if stripes == 0 {
        return Err(WireError::Stripes);
    }
    let all = Stripes::first(stripes);
    let parents = indexes(r, stripes, count)?;
    let heirs = indexes(r, stripes, count)?;
    let helpers = at_most("helpers", usize::from(r.u8()?), limits::MESH_HELPERS_MAX)?;
    let helper = |_| {
        let helper = index(r, count)?.ok_or(WireError::Peer(NOBODY))?;
        Ok((helper, stripes_in(r, all)?))
    };
    let helpers = (0..helpers).map(helper).collect::<Result<_, WireError>>()?;
    let children = at_most("children", usize::from(r.u16()?), limits::MESH_SLOTS_MAX)?;
    let child = |_| Ok((NodeId(r.u64()?), stripes_in(r, all)?));
    let children = (0..children).map(child).collect::<Result<_, WireError>>()?;
    Ok(Place {
        epoch,
        lead,
        newest,
        oldest,
        from,
        ticket,
        peers,
        parents,
        heirs,
        helpers,
        children,
    })
}

fn stripes_in(r: &mut Reader<'_>, all: Stripes) -> Result<Stripes, WireError> {
    let stripes = Stripes::from_bits(r.u16()?);
    if all.holds(stripes) { Ok(stripes) } else { Err(WireError::Stripes) }
}

fn index(r: &mut Reader<'_>, count: usize) -> Result<Option<u8>, WireError> {
    match r.u8()? {
        NOBODY => Ok(None),
        peer if usize::from(peer) < count => Ok(Some(peer)),
        peer => Err(WireError::Peer(peer)),
    }
}

fn indexes(r: &mut Reader<'_>, many: usize, peers: usize) -> Result<Vec<Option<u8>>, WireError> {
    (0..many).map(|_| index(r, peers)).collect()
}

fn write_denial(w: &mut Writer, denial: &Denial) {
    w.text(&denial.reason);
    w.few(&denial.roots, limits::MESH_PEERS_MAX, |w, root| w.address(*root));
}

fn read_denial(r: &mut Reader<'_>) -> Result<Denial, WireError> {
    let reason = r.text()?.to_owned();
    let count = at_most("roots", usize::from(r.u8()?), limits::MESH_PEERS_MAX)?;
    let roots = (0..count).map(|_| r.address()).collect::<Result<_, _>>()?;
    Ok(Denial { reason, roots })
}

fn write_subscribe(w: &mut Writer, subscribe: &Subscribe) {
    let stripes = subscribe.stripes.iter().map(|(stripe, _)| usize::from(*stripe));
    w.u16(stripes.collect::<Stripes>().bits());
    w.u64(subscribe.first);
    w.maybe_u64(subscribe.instead.map(|node| node.0));
    subscribe.stripes.iter().for_each(|(_, offset)| w.u32(*offset));
}

fn read_subscribe(r: &mut Reader<'_>) -> Result<Subscribe, WireError> {
    let (stripes, first) = (some_stripes(r)?, r.u64()?);
    let instead = r.maybe_u64()?.map(NodeId);
    let stripes = stripes.iter().map(|stripe| {
        let offset = r.u32()?;
        within(0..offset, whole_block())?;
        Ok((small(stripe), offset))
    });
    Ok(Subscribe { stripes: stripes.collect::<Result<_, WireError>>()?, first, instead })
}

/// The longest block that there may be.
fn whole_block() -> u32 {
    u32::try_from(limits::BLOCK_BYTES_MAX).unwrap_or(u32::MAX)
}

fn within(range: core::ops::Range<u32>, length: u32) -> Result<core::ops::Range<u32>, WireError> {
    if range.start <= range.end && range.end <= length {
        return Ok(range);
    }
    Err(WireError::Range { from: range.start, to: range.end, length })
}

fn read_refuse(r: &mut Reader<'_>) -> Result<Refuse, WireError> {
    let (stripes, why) = (some_stripes(r)?, r.u8()?);
    let why = Refused::ALL.get(usize::from(why)).copied().ok_or(WireError::Reason(why))?;
    Ok(Refuse { stripes, why })
}

fn write_block(w: &mut Writer, block: &Block) {
    w.u64(block.seq);
    w.u8(block.stripe);
    w.u8(block.stripes);
    w.u32(block.length);
    w.u32(block.range.start);
    w.u32(block.range.end);
    w.raw(&block.air.0.to_be_bytes());
    w.u32(u32::try_from(block.lasts.as_micros()).unwrap_or(u32::MAX));
    w.raw(&block.block_hash);
    w.raw(&block.stripe_hash);
    w.text(&block.movie);
    w.text(&block.name);
    if let Some(timeline) = &block.timeline {
        w.raw(&timeline.since_epoch_ns.to_be_bytes());
        // What whole microseconds leave over.
        w.u16(u16::try_from(block.lasts.subsec_nanos() % 1_000).unwrap_or(0));
        let flags = [timeline.first, timeline.last, timeline.stands_in];
        w.u8((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
    }
}

fn read_timeline(r: &mut Reader<'_>) -> Result<(Timeline, Duration), WireError> {
    let (since_epoch_ns, rest, flags) = (r.i64()?, r.u16()?, r.u8()?);
    if flags > 7 || rest >= 1_000 {
        return Err(WireError::Flag);
    }
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let (first, last, stands_in) = (flag(0), flag(1), flag(2));
    let rest = Duration::from_nanos(rest.into());
    Ok((Timeline { since_epoch_ns, first, last, stands_in }, rest))
}

fn read_block(r: &mut Reader<'_>) -> Result<Block, WireError> {
    let (seq, stripe, stripes) = (r.u64()?, r.u8()?, r.u8()?);
    if stripe >= stripes || usize::from(stripes) > limits::MESH_STRIPES_MAX {
        return Err(WireError::Stripes);
    }
    let (length, range) = (r.u32()?, r.u32()?..r.u32()?);
    if length == 0 || length > whole_block() {
        return Err(WireError::Range { from: range.start, to: range.end, length });
    }
    let whole = stripe_of(length, stripe, stripes);
    let range = within(range.clone(), whole.end - whole.start).map_err(|_| WireError::Range {
        from: range.start,
        to: range.end,
        length,
    })?;
    let air = Wall(r.i64()?);
    let lasts = Duration::from_micros(u64::from(r.u32()?));
    if lasts < limits::BLOCK_LASTS_MIN || lasts > limits::BLOCK_LASTS_MAX {
        return Err(WireError::Lasts(lasts));
    }
    let (block_hash, stripe_hash) = (r.hash()?, r.hash()?);
    let (movie, name) = (name(r, limits::MOVIE_NAME_BYTES_MAX)?, name(r, 255)?);
    let (timeline, rest) = if r.end().is_ok() {
        (None, Duration::ZERO)
    } else {
        let (timeline, rest) = read_timeline(r)?;
        (Some(timeline), rest)
    };
    Ok(Block {
        seq,
        stripe,
        stripes,
        length,
        range,
        air,
        lasts: lasts + rest,
        block_hash,
        stripe_hash,
        movie: movie.into(),
        name: name.into(),
        timeline,
    })
}

fn read_want(r: &mut Reader<'_>) -> Result<Want, WireError> {
    let (seq, stripe) = (r.u64()?, stripe(r)?);
    let range = within(r.u32()?..r.u32()?, whole_block())?;
    Ok(Want { seq, stripe, range })
}

fn write_beat(w: &mut Writer, beat: &Beat) {
    w.u64(beat.newest);
    w.u16(beat.late.bits());
    let mut left = limits::MESH_DEPTH_MAX;
    w.few(&beat.paths, limits::MESH_STRIPES_MAX, |w, path| {
        w.u16(path.stripes.bits());
        w.many(&path.nodes, left, |w, node| w.u64(node.0));
        left -= path.nodes.len().min(left);
    });
}

fn read_beat(r: &mut Reader<'_>) -> Result<Beat, WireError> {
    let (newest, late) = (r.u64()?, Stripes::from_bits(r.u16()?));
    let count = at_most("paths", usize::from(r.u8()?), limits::MESH_STRIPES_MAX)?;
    let (mut seen, mut left) = (Stripes::EMPTY, limits::MESH_DEPTH_MAX);
    let mut paths = Vec::with_capacity(count);
    for _ in 0..count {
        let stripes = some_stripes(r)?;
        if seen.meets(stripes) {
            return Err(WireError::Stripes);
        }
        seen |= stripes;
        let length = at_most("nodes of all paths", usize::from(r.u16()?), left)?;
        left -= length;
        let nodes = (0..length).map(|_| r.u64().map(NodeId)).collect::<Result<_, _>>()?;
        paths.push(Path { stripes, nodes });
    }
    Ok(Beat { newest, late, paths })
}

fn write_report(w: &mut Writer, report: &Report) {
    for number in [report.sent, report.received, report.rescued, report.late] {
        w.u64(number);
    }
    w.maybe_u64(report.goodput);
    w.u16(report.depth);
    w.few(&report.losses, limits::MESH_LOSSES_MAX, |w, loss| {
        w.u64(loss.parent.0);
        w.u16(loss.stripes.bits());
        w.maybe_u64(loss.now.map(|node| node.0));
    });
}

fn read_report(r: &mut Reader<'_>) -> Result<Report, WireError> {
    let (sent, received, rescued, late) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    let (goodput, depth) = (r.maybe_u64()?, r.u16()?);
    let count = at_most("losses", usize::from(r.u8()?), limits::MESH_LOSSES_MAX)?;
    let mut loss = |_| {
        let (parent, stripes) = (NodeId(r.u64()?), some_stripes(r)?);
        Ok(Loss { parent, stripes, now: r.maybe_u64()?.map(NodeId) })
    };
    let losses = (0..count).map(&mut loss).collect::<Result<_, WireError>>()?;
    Ok(Report { sent, received, rescued, late, goodput, depth, losses })
}

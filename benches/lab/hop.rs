//! One node between a hand-written root and hand-written children: a member of the mesh, or the
//! yardstick, which passes on what it reads and knows nothing. Both get the same bytes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use vidstreamd::base::time::Wall;
use vidstreamd::mesh::wire::{
    Accept, Beat, Block, Hello, Message, NodeId, Parsed, Peer, Place, Stripes, Subscribe, parse,
    stripe_of,
};

use super::{Outcome, wall};

/// What a bench is told to be the yardstick: `forwarder CHILDREN`.
pub(crate) const WORD: &str = "forwarder";
const ROOT: NodeId = NodeId(1);
const TICKET: [u8; 16] = [9; 16];
const EPOCH: u64 = 5;
const LASTS: Duration = Duration::from_millis(100);
const LEAD: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(400);
/// What should happen at once.
const SOON: Duration = Duration::from_secs(10);

/// What goes through.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) stripes: u8,
    pub(crate) bytes: u32,
    pub(crate) children: usize,
}

/// The root's end of a link to the node, and the children's.
pub(crate) struct Hop {
    load: Load,
    up: TcpStream,
    /// Each head that a child saw first: which child, block, stripe, when.
    pub(crate) seen: Receiver<Seen>,
    began: Duration,
    body: Vec<u8>,
    block_hash: [u8; 32],
}

/// A child has read the first bytes of a stripe, or all of it.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) seq: u64,
    pub(crate) stripe: u8,
    pub(crate) at: Instant,
    pub(crate) whole: bool,
}

impl Hop {
    /// Around a member that dials this listener.
    pub(crate) fn member(load: Load, root: &TcpListener, node: SocketAddr) -> Outcome<Self> {
        let mut control = greet(root)?;
        control.write_all(&Message::Place(place(load, root.local_addr()?)).emit())?;
        drain(&control)?;
        beat(&control)?;
        let mut up = greet(root)?;
        let mut inbox = Vec::new();
        let subscribe = wait(&mut up, &mut inbox, |said| match said {
            Message::Subscribe(subscribe) => Some(subscribe),
            _ => None,
        })?;
        up.write_all(&accept(&subscribe).emit())?;
        drain(&up)?;
        let (seen, receiver) = channel();
        for number in 0..load.children {
            let mut stream = TcpStream::connect(node)?;
            stream.set_nodelay(true)?;
            let hello = hello(NodeId(100 + number as u64));
            stream.write_all(&Message::Hello(hello).emit())?;
            let stripes = (0..load.stripes).map(|stripe| (stripe, 0)).collect();
            let subscribe = Subscribe { stripes, first: 1, instead: None };
            stream.write_all(&Message::Subscribe(subscribe).emit())?;
            let mut inbox = Vec::new();
            wait(&mut stream, &mut inbox, |said| matches!(said, Message::Accept(_)).then_some(()))?;
            beat(&stream)?;
            watch(stream, inbox, seen.clone());
        }
        Ok(Self::new(load, up, receiver))
    }

    /// Around the yardstick: the children first, then the root.
    pub(crate) fn bare(load: Load, node: SocketAddr) -> Outcome<Self> {
        let (seen, receiver) = channel();
        for _ in 0..load.children {
            watch(TcpStream::connect(node)?, Vec::new(), seen.clone());
        }
        let up = TcpStream::connect(node)?;
        up.set_nodelay(true)?;
        Ok(Self::new(load, up, receiver))
    }

    /// With nobody between: what is left when a hop is taken away.
    pub(crate) fn direct(load: Load) -> Outcome<Self> {
        let (seen, receiver) = channel();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let up = TcpStream::connect(listener.local_addr()?)?;
        up.set_nodelay(true)?;
        watch(listener.accept()?.0, Vec::new(), seen);
        Ok(Self::new(load, up, receiver))
    }

    fn new(load: Load, up: TcpStream, seen: Receiver<Seen>) -> Self {
        let body: Vec<u8> = (0..load.bytes).map(|at| (at % 251) as u8).collect();
        let block_hash = blake3::hash(&body).into();
        Self { load, up, seen, began: wall(), body, block_hash }
    }

    /// Sends one stripe; when its first byte went out.
    pub(crate) fn send(&mut self, seq: u64, stripe: u8) -> Outcome<Instant> {
        let Load { stripes, bytes, .. } = self.load;
        let part = stripe_of(bytes, stripe, stripes);
        let body = &self.body[part.start as usize..part.end as usize];
        let air = self.began + LEAD + LASTS * u32::try_from(seq)?;
        let head = Block {
            seq,
            stripe,
            stripes,
            length: bytes,
            range: 0..part.end - part.start,
            air: Wall(i64::try_from(air.as_nanos())?),
            timeline: None,
            lasts: LASTS,
            block_hash: self.block_hash,
            stripe_hash: blake3::hash(body).into(),
            movie: "load".into(),
            name: format!("load_{:05}.mkv", seq % 100_000).into(),
        };
        let frame = [&Message::Block(head).emit(), body].concat();
        let at = Instant::now();
        self.up.write_all(&frame)?;
        Ok(at)
    }

    /// Waits until so many children have begun or have all of a stripe; when the first did.
    pub(crate) fn wait_seen(
        &self,
        (seq, stripe): (u64, u8),
        whole: bool,
        children: usize,
    ) -> Outcome<Instant> {
        let mut first = None;
        let mut left = children;
        while left > 0 {
            let seen = self.seen.recv_timeout(SOON)?;
            if (seen.seq, seen.stripe, seen.whole) == (seq, stripe, whole) {
                first.get_or_insert(seen.at);
                left -= 1;
            }
        }
        first.ok_or_else(|| "no children".into())
    }
}

fn hello(node: NodeId) -> Hello {
    Hello { node, epoch: Some(EPOCH), ticket: TICKET, channel: "0".to_owned() }
}

fn place(load: Load, root: SocketAddr) -> Place {
    let children = (0..load.children)
        .map(|n| (NodeId(100 + n as u64), Stripes::first(usize::from(load.stripes))));
    Place {
        epoch: EPOCH,
        lead: LEAD,
        newest: 0,
        oldest: 0,
        from: 1,
        ticket: TICKET,
        peers: vec![Peer { node: ROOT, address: root }],
        parents: vec![Some(0); usize::from(load.stripes)],
        heirs: vec![None; usize::from(load.stripes)],
        helpers: Vec::new(),
        children: children.collect(),
    }
}

fn accept(subscribe: &Subscribe) -> Message {
    let stripes = subscribe.stripes.iter().map(|(stripe, _)| usize::from(*stripe)).collect();
    Message::Accept(Accept { stripes, first: subscribe.first, late: Stripes::EMPTY })
}

/// The next connection of the member, which has said hello.
fn greet(root: &TcpListener) -> Outcome<TcpStream> {
    let (mut stream, _) = root.accept()?;
    stream.set_nodelay(true)?;
    stream.write_all(&Message::Hello(hello(ROOT)).emit())?;
    let mut inbox = Vec::new();
    wait(&mut stream, &mut inbox, |said| matches!(said, Message::Hello(_)).then_some(()))?;
    Ok(stream)
}

/// Reads message after message, each no further than its end, until one is as wanted.
fn wait<T>(
    stream: &mut TcpStream,
    inbox: &mut Vec<u8>,
    wanted: impl Fn(Message) -> Option<T>,
) -> Outcome<T> {
    loop {
        if let Some(Parsed { message, used }) = parse(inbox)? {
            inbox.drain(..used);
            if let Some(found) = wanted(message) {
                return Ok(found);
            }
            continue;
        }
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        inbox.push(byte[0]);
    }
}

/// Takes whatever comes.
fn drain(stream: &TcpStream) -> Outcome<()> {
    let mut stream = stream.try_clone()?;
    thread::spawn(move || {
        let mut buffer = vec![0; 4096];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    Ok(())
}

/// Signs of life, on a link that carries nothing else from here.
fn beat(stream: &TcpStream) -> Outcome<()> {
    let mut writer = stream.try_clone()?;
    let beat = Beat { newest: 0, late: Stripes::EMPTY, paths: Vec::new() };
    let frame = Message::Beat(beat).emit();
    thread::spawn(move || {
        while writer.write_all(&frame).is_ok() {
            thread::sleep(BEAT);
        }
    });
    Ok(())
}

/// A child: tells of each stripe when its head is there, and when it is whole.
fn watch(mut stream: TcpStream, mut inbox: Vec<u8>, seen: Sender<Seen>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        // The head of the body under way, and how much of that is still to come.
        let mut body: Option<(Block, usize)> = None;
        while let Ok(count) = stream.read(&mut buffer) {
            let at = Instant::now();
            inbox.extend_from_slice(&buffer[..count]);
            let used = take(&inbox, &mut body, |head, whole| {
                // Nobody may listen any more.
                let _ = seen.send(Seen { seq: head.seq, stripe: head.stripe, at, whole });
            });
            inbox.drain(..used);
            if count == 0 {
                return;
            }
        }
    });
}

/// Goes through bytes; how many of them are done with.
fn take(
    inbox: &[u8],
    body: &mut Option<(Block, usize)>,
    mut tell: impl FnMut(&Block, bool),
) -> usize {
    let mut used = 0;
    loop {
        if let Some((head, left)) = body {
            let some = (*left).min(inbox.len() - used);
            used += some;
            *left -= some;
            if *left > 0 {
                return used;
            }
            if head.range.end as usize == stripe_of(head.length, head.stripe, head.stripes).len() {
                tell(head, true);
            }
            *body = None;
        }
        let Ok(Some(Parsed { message, used: frame })) = parse(&inbox[used..]) else { return used };
        used += frame;
        if let Message::Block(head) = message {
            if head.range.start == 0 {
                tell(&head, false);
            }
            let left = (head.range.end - head.range.start) as usize;
            *body = Some((head, left));
        }
    }
}

/// The yardstick as a process.
pub(crate) struct Forwarder {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Forwarder {
    /// Starts it for so many children.
    pub(crate) fn start(children: usize) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([WORD, &children.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("its output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The process itself: says where it listens; the last to connect is the one that sends.
#[expect(clippy::print_stdout, reason = "its parent reads it there")]
pub(crate) fn main(arguments: &[String]) -> Outcome<()> {
    let children: usize = arguments.first().ok_or("CHILDREN")?.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut streams = Vec::new();
    for _ in 0..=children {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut from = streams.pop().ok_or("nobody sends")?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for to in &mut streams {
            to.write_all(&buffer[..count])?;
        }
    }
}

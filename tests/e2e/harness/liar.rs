//! A hand-written member that takes its place like any other, gets every stripe right, and passes
//! wrong bytes on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use vidstreamd::mesh::wire::{
    Accept, Block, Gone, Message, NodeId, Parsed, Place, Stripes, Subscribe, parse, stripe_of,
};

use super::peer::{self, BEAT, Peer};

/// How often a thread that waits for bytes looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);
/// Its name.
pub(crate) const NAME: NodeId = NodeId(0x11a7);

/// What is wrong with what it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    /// The bytes are not those of the head.
    Bytes,
    /// The head goes with the bytes, and both are wrong.
    Heads,
}

/// A member that lies. Its threads end with it.
pub(crate) struct Liar(Arc<Shared>);

/// What it has of each stripe: the head and the bytes so far.
type Learnt = BTreeMap<(u64, u8), (Vec<u8>, Vec<u8>)>;

struct Shared {
    lie: Lie,
    place: Mutex<Place>,
    stripes: Mutex<Learnt>,
    more: Condvar,
    /// Stripes sent, all wrong.
    lies: AtomicU64,
    /// Stripes that somebody takes from it now.
    taken: AtomicU64,
    over: AtomicBool,
}

impl Liar {
    /// Joins with so many slots, and takes every stripe from where its place says.
    pub(crate) fn join(root: SocketAddr, slots: u16, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().unwrap().port();
        // The root looks whether somebody of this name is there before it answers.
        let proof = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("the root's proof");
            Peer::of(stream).say(&Message::Hello(peer::hello(NAME)));
            listener
        });
        let (control, place) = peer::join(root, NAME, (port, slots));
        let listener = proof.join().expect("a proof");
        let shared = Arc::new(Shared {
            lie,
            place: Mutex::new(place.clone()),
            stripes: Mutex::default(),
            more: Condvar::new(),
            lies: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        shared.run(move |shared| shared.take_children(&listener));
        shared.run(move |shared| shared.obey(control));
        shared.take(&place, &mut BTreeMap::new());
        Self(shared)
    }

    /// Wrong stripes that it has sent.
    pub(crate) fn lies(&self) -> u64 {
        self.0.lies.load(Ordering::Relaxed)
    }

    /// Stripes that somebody takes from it.
    pub(crate) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(self: &Arc<Self>, what: impl FnOnce(Arc<Self>) + Send + 'static) {
        let shared = Arc::clone(self);
        thread::spawn(move || what(shared));
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Signs of life until the link or the test is over.
    fn beat(self: &Arc<Self>, peer: &Peer) {
        let mut writer = peer.writer();
        self.run(move |shared| {
            while !shared.is_over() && writer.beat() {
                thread::sleep(BEAT);
            }
            let _ = writer.stream.shutdown(std::net::Shutdown::Both);
        });
    }

    /// The control link: each place it is given.
    fn obey(self: Arc<Self>, mut control: Peer) {
        self.beat(&control);
        let mut asked = BTreeMap::new();
        while let Some((message, _)) = control.next() {
            if let Message::Place(place) = message {
                *self.place.lock().unwrap() = place.clone();
                self.take(&place, &mut asked);
            }
        }
    }

    /// Takes stripes from the parents of a place that were not asked for them before.
    fn take(self: &Arc<Self>, place: &Place, asked: &mut BTreeMap<SocketAddr, Stripes>) {
        for (parent, stripes) in peer::parents(place) {
            let known = asked.entry(parent).or_default();
            let new = stripes - *known;
            *known |= stripes;
            if new.is_empty() {
                continue;
            }
            let mut link = Peer::dial(parent, &peer::placed_hello(NAME, place));
            link.say(&peer::subscribe(new, place.from));
            self.beat(&link);
            self.run(move |shared| shared.learn(link));
        }
    }

    /// Takes in what a parent sends.
    fn learn(&self, mut link: Peer) {
        while let Some((message, bytes)) = link.next() {
            let Message::Block(head) = message else { continue };
            let mut stripes = self.stripes.lock().unwrap_or_else(PoisonError::into_inner);
            let (name, start) = ((head.seq, head.stripe), head.range.start as usize);
            let frame = Message::Block(head).emit();
            let (_, known) = stripes.entry(name).or_insert_with(|| (frame, Vec::new()));
            if known.len() == start {
                known.extend_from_slice(&bytes);
            }
            self.more.notify_all();
        }
    }

    fn take_children(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.is_over() {
                return;
            }
            self.run(move |shared| shared.serve(Peer::of(stream)));
        }
    }

    /// A child, or the root that looks whether this node is there.
    fn serve(self: Arc<Self>, mut child: Peer) {
        let hello = peer::placed_hello(NAME, &self.place.lock().unwrap());
        child.say(&Message::Hello(hello));
        self.beat(&child);
        let next: Arc<Mutex<BTreeMap<u8, u64>>> = Arc::default();
        let (writer, wanted) = (child.writer(), Arc::clone(&next));
        self.run(move |shared| shared.lie_to(writer, &wanted));
        while let Some((message, _)) = child.next() {
            match message {
                Message::Subscribe(subscribe) => accept(&mut child, &subscribe, &next),
                Message::Release(release) => {
                    let mut next = next.lock().unwrap();
                    next.retain(|stripe, _| !release.stripes.has(usize::from(*stripe)));
                }
                Message::Want(want) => {
                    child.say(&Message::Gone(Gone { seq: want.seq, stripe: want.stripe }));
                }
                _ => {}
            }
        }
        next.lock().unwrap().clear();
    }

    /// Sends wrong bytes of whatever a child takes.
    fn lie_to(&self, mut child: Peer, next: &Mutex<BTreeMap<u8, u64>>) {
        let mut counted = 0;
        while !self.is_over() {
            let taken = next.lock().unwrap().len() as u64;
            self.taken.fetch_add(taken, Ordering::Relaxed);
            self.taken.fetch_sub(counted, Ordering::Relaxed);
            counted = taken;
            let Some((head, bytes)) = self.next_whole(next) else { continue };
            let (head, bytes) = wrong(self.lie, head, bytes);
            let frame = [&Message::Block(head).emit()[..], &bytes].concat();
            if child.stream.write_all(&frame).is_err() {
                break;
            }
            self.lies.fetch_add(1, Ordering::Relaxed);
        }
        self.taken.fetch_sub(counted, Ordering::Relaxed);
    }

    /// The next stripe that a child is to be sent, when all of it is here.
    fn next_whole(&self, next: &Mutex<BTreeMap<u8, u64>>) -> Option<(Block, Vec<u8>)> {
        let stripes = self.stripes.lock().unwrap();
        let (stripes, _) = self.more.wait_timeout(stripes, LOOK).unwrap();
        let mut next = next.lock().unwrap();
        for (stripe, seq) in next.iter_mut() {
            let there = stripes.range((*seq, 0)..).filter(|((_, s), _)| s == stripe);
            let heads = there.map(|(_, (frame, bytes))| (head_of(frame), bytes));
            let whole = |(head, bytes): &(Block, &Vec<u8>)| {
                bytes.len() == stripe_of(head.length, head.stripe, head.stripes).len()
            };
            if let Some((head, bytes)) = heads.into_iter().find(whole) {
                *seq = head.seq + 1;
                return Some((head, bytes.clone()));
            }
        }
        None
    }
}

fn accept(child: &mut Peer, subscribe: &Subscribe, next: &Mutex<BTreeMap<u8, u64>>) {
    let stripes = subscribe.stripes.iter().map(|(stripe, _)| usize::from(*stripe)).collect();
    let accept = Accept { stripes, first: subscribe.first, late: Stripes::EMPTY };
    child.say(&Message::Accept(accept));
    let mut next = next.lock().unwrap();
    next.extend(subscribe.stripes.iter().map(|(stripe, _)| (*stripe, subscribe.first)));
}

/// What a frame of one block's head says; threads share the frame and not the value.
fn head_of(frame: &[u8]) -> Block {
    match parse(frame) {
        Ok(Some(Parsed { message: Message::Block(head), .. })) => head,
        other => panic!("that was the head of a block: {other:?}"),
    }
}

/// The whole stripe, made wrong.
fn wrong(lie: Lie, mut head: Block, mut bytes: Vec<u8>) -> (Block, Vec<u8>) {
    head.range = 0..bytes.len() as u32;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    if lie == Lie::Heads {
        head.stripe_hash = blake3::hash(&bytes).into();
    }
    (head, bytes)
}

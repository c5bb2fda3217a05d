//! What viewers of an endless output cost: a thousand of `/ch/0.ts` from the real daemon, beside as
//! many who fetch the raw block from it each time it airs, and beside a bare process that writes
//! the raw block from a map to as many who ask for it at the same pace.
//! `cargo bench --bench players` (about a minute, some 2500 descriptors).
//!
//! Blocks are real ones of 1 MiB, one each 2 s. Figures are processor time of the serving process
//! for each viewer and block; the ratio is to the raw block of the same daemon. The run fails when
//! `/ch/0.ts` costs more than 1.1 times as much, or when somebody is sent less than was aired.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have seven digits at most")]

mod lab;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use tempfile::TempDir;
use vidstreamd::media::index;
use vidstreamd::media::name::file_name;
use vidstreamd::media::sniff::Container;

use lab::daemon::{Daemon, configuration, cpu};
use lab::figures::{median, spread};
use lab::films::Film;
use lab::server::{self, Bare};
use lab::{Outcome, arguments, block, load, need_descriptors, wall};

const VIEWERS: usize = 1000;
const LASTS: Duration = Duration::from_secs(2);
/// Blocks of each way in a round, and rounds in which the ways take turns.
const BLOCKS: u32 = 3;
const ROUNDS: usize = 4;
/// How much more than the raw block an output may cost.
const BOUND: f64 = 1.1;
const BUFFER_BYTES: usize = 256 << 10;

fn main() -> ExitCode {
    let arguments = arguments();
    let result = match &arguments[..] {
        [word, rest @ ..] if word == server::WORD => server::main(rest).map(|()| true),
        _ => bench(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("players: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One way of serving, and what a viewer's block cost in each round, in microseconds.
struct Way {
    name: &'static str,
    server: (SocketAddr, u32),
    path: &'static str,
    /// Whether each block is asked for; otherwise they come without end.
    asks: bool,
    cost: Vec<f64>,
}

fn bench() -> Outcome<bool> {
    need_descriptors(4000)?;
    println!("{VIEWERS} viewers, 1 MiB each 2 s, {ROUNDS} rounds of {BLOCKS} blocks; {}", load());
    let directory = TempDir::new()?;
    let library = directory.path().join("movies");
    let raw = block::mkv();
    make(&library, &raw)?;
    let daemon = Daemon::start(directory.path(), &configuration(&library, &["film"], 9091))?;
    let bare = Bare::start(raw.len())?;
    let (ours, its) = ((daemon.http, daemon.pid()), (bare.addr, bare.pid()));
    let way = |name, server, path, asks| Way { name, server, path, asks, cost: Vec::new() };
    let mut ways = [
        way("bare: raw block from a map", its, "/", true),
        way("vidstreamd: raw block", ours, "/ch/0/blocks/live", true),
        way("vidstreamd: /ch/0.ts", ours, "/ch/0.ts", false),
        way("vidstreamd: /ch/0.mp4", ours, "/ch/0.mp4", false),
        way("vidstreamd: /ch/0.mkv", ours, "/ch/0.mkv", false),
    ];
    for _ in 0..ROUNDS {
        ways.iter_mut().try_for_each(|way| way.round(raw.len() as u64))?;
    }
    daemon.stop()?;
    let yardstick = median(&ways[1].cost);
    println!("{:28}{:>9}{:>7}  spread", "", "CPU us", "ratio");
    for way in &ways {
        let cost = median(&way.cost);
        let ratio = cost / yardstick;
        println!("{:28}{cost:>9.1}{ratio:>7.2}  {} us", way.name, spread(&way.cost, 1));
    }
    let ratio = median(&ways[2].cost) / yardstick;
    println!("/ch/0.ts: {ratio:.2} of the raw block, at most {BOUND}");
    Ok(ratio <= BOUND)
}

/// A movie of the same block again and again.
fn make(library: &Path, raw: &[u8]) -> Outcome<()> {
    let folder = library.join("film");
    fs::create_dir_all(&folder)?;
    let names: Vec<_> = (0..8).map(|n| file_name("film", n, Container::Mkv)).collect();
    names.iter().try_for_each(|name| fs::write(folder.join(name), raw))?;
    let text = index::write(names.iter().map(|name| (name.as_str(), LASTS)));
    Ok(fs::write(folder.join("film.m3u8"), text)?)
}

impl Way {
    fn round(&mut self, block: u64) -> Outcome<()> {
        let (server, pid) = self.server;
        let mut viewers = Viewers::new(server, self.path)?;
        // A first block, in which all that is done once is done.
        viewers.ask()?;
        viewers.read_until(next_air() + LASTS * 3 / 4)?;
        let (before, had) = (cpu(pid)?, viewers.bytes);
        for _ in 0..BLOCKS {
            let airs = next_air();
            viewers.read_until(airs)?;
            if self.asks {
                viewers.ask()?;
            }
            viewers.read_until(airs + LASTS * 3 / 4)?;
        }
        let used = cpu(pid)?.saturating_sub(before).as_secs_f64();
        let sent = (viewers.bytes - had) / (VIEWERS as u64 * u64::from(BLOCKS));
        if sent < block * 95 / 100 {
            return Err(format!("{}: {sent} bytes of each block of {block}", self.name).into());
        }
        self.cost.push(used * 1e6 / (VIEWERS as f64 * f64::from(BLOCKS)));
        Ok(())
    }
}

/// When the next block airs.
fn next_air() -> Instant {
    let film = Film { blocks: 8, bytes: 0, lasts: LASTS };
    let now = wall();
    Instant::now() + film.starts(film.air(now).seq + 1).at.saturating_sub(now)
}

/// Viewers that read whatever comes.
struct Viewers {
    poll: Poll,
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Viewers {
    fn new(server: SocketAddr, path: &str) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for number in 0..VIEWERS {
            let stream = std::net::TcpStream::connect(server)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            streams.push(stream);
        }
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes();
        Ok(Self { poll, streams, request, buffer: vec![0; BUFFER_BYTES], bytes: 0 })
    }

    fn ask(&mut self) -> Outcome<()> {
        for stream in &mut self.streams {
            stream.write_all(&self.request)?;
        }
        Ok(())
    }

    fn read_until(&mut self, until: Instant) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.poll.poll(&mut events, Some(left))?;
            for event in &events {
                let stream = &mut self.streams[event.token().0];
                loop {
                    match stream.read(&mut self.buffer) {
                        Ok(count) if count > 0 => self.bytes += count as u64,
                        Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                        ended => return Err(format!("a viewer's connection: {ended:?}").into()),
                    }
                }
            }
        }
        Ok(())
    }
}

//! The yardstick: the least that bringing a block to every viewer can cost. A process of its own
//! dials all of them when the block goes on the air, writes from a map until each has it, and knows
//! nothing of channels, time-outs or failures.

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use memmap2::MmapMut;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use nix::time::{ClockId, clock_gettime};

use super::films::{self, Film};
use super::viewers::{Viewers, callback};
use super::{Outcome, need_descriptors, wall};

/// What a bench is told to be this process: `sender PORT VIEWERS ROUNDS BLOCKS BYTES MILLISECONDS`.
pub(crate) const WORD: &str = "sender";

/// Processor seconds for each gigabyte.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cost {
    /// Writing, and nothing else.
    pub(crate) write: f64,
    /// Dialling, writing, closing.
    pub(crate) whole: f64,
}

/// Sends so many blocks to the first `count` viewers from another process, each at its air time.
pub(crate) fn run(
    viewers: &mut Viewers,
    (film, port): (Film, u16),
    (count, rounds): (usize, u64),
) -> Outcome<Cost> {
    let (blocks, bytes, lasts) = (film.blocks, film.bytes, film.lasts.as_millis());
    let line = format!("{WORD} {port} {count} {rounds} {blocks} {bytes} {lasts}");
    let mut child = Command::new(std::env::current_exe()?);
    let mut child = Child(child.args(line.split(' ')).stdout(Stdio::piped()).spawn()?);
    let within = film.lasts * u32::try_from(rounds + 2)? + Duration::from_secs(20);
    viewers.run_until("the sender ends", within, |_| Ok(child.0.try_wait()?.is_some()))?;
    // What is still on its way.
    viewers.run(wall() + Duration::from_millis(500))?;
    let mut said = String::new();
    child.0.stdout.take().ok_or("the sender's output")?.read_to_string(&mut said)?;
    let figures: Vec<f64> = said.split_whitespace().flat_map(str::parse).collect();
    match figures[..] {
        [write, whole] => Ok(Cost { write, whole }),
        _ => Err(format!("the sender said {said:?}").into()),
    }
}

/// A child that does not outlive its bench.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The process itself; says what it used on its standard output.
#[expect(clippy::print_stdout, reason = "its parent reads it there")]
pub(crate) fn main(arguments: &[String]) -> Outcome<()> {
    let numbers: Vec<u64> = arguments.iter().flat_map(|a| a.parse()).collect();
    let [port, count, rounds, blocks, bytes, lasts] = numbers[..] else {
        return Err("PORT VIEWERS ROUNDS BLOCKS BYTES MILLISECONDS".into());
    };
    need_descriptors(count + 64)?;
    let (bytes, lasts) = (usize::try_from(bytes)?, Duration::from_millis(lasts));
    let film = Film { blocks, bytes, lasts };
    let mut map = MmapMut::map_anon(bytes)?;
    let (mut dialling, mut writing) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let next = film.starts(film.air(wall()).seq + 1);
        films::stamp(&mut map, next.seq % blocks);
        std::thread::sleep(next.at.saturating_sub(wall()));
        let began = processor()?;
        let (mut poll, mut streams) = dial(u16::try_from(port)?, usize::try_from(count)?)?;
        let dialled = processor()?;
        write(&mut poll, &mut streams, &map)?;
        (dialling, writing) = (dialling + dialled - began, writing + processor()? - dialled);
    }
    #[expect(clippy::cast_precision_loss, reason = "gigabytes with three digits")]
    let gigabytes = (rounds * count) as f64 * bytes as f64 / 1e9;
    let each = |used: Duration| used.as_secs_f64() / gigabytes;
    println!("{} {}", each(writing), each(dialling + writing));
    Ok(())
}

fn dial(port: u16, count: usize) -> Outcome<(Poll, Vec<Option<TcpStream>>)> {
    let poll = Poll::new()?;
    let mut streams = Vec::new();
    for viewer in 0..count {
        let mut stream = TcpStream::connect(callback(viewer, port))?;
        poll.registry().register(&mut stream, Token(viewer), Interest::WRITABLE)?;
        streams.push(Some(stream));
    }
    Ok((poll, streams))
}

fn write(poll: &mut Poll, streams: &mut [Option<TcpStream>], map: &[u8]) -> Outcome<()> {
    let mut events = Events::with_capacity(1024);
    let mut at = vec![0; streams.len()];
    let mut left = streams.len();
    while left > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err("the viewers take nothing any more".into());
        }
        for viewer in events.iter().map(|event| event.token().0) {
            let Some(stream) = &mut streams[viewer] else { continue };
            if write_some(stream, map, &mut at[viewer])? {
                streams[viewer] = None;
                left -= 1;
            }
        }
    }
    Ok(())
}

/// Writes until the socket is full; whether that was all.
fn write_some(stream: &mut TcpStream, map: &[u8], at: &mut usize) -> Outcome<bool> {
    while *at < map.len() {
        match stream.write(&map[*at..]) {
            Ok(count) => *at += count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(true)
}

fn processor() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

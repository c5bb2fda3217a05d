//! Two thousand listeners of songs of 128 kbit/s: what the daemon's processor costs, how evenly the
//! frames come, and how soon a stop is answered. `cargo bench --bench jukebox` (about a minute).
//!
//! The listeners are sockets of the bench's own process, read by one loop; each hears one of eight
//! songs and begins at its own time within the first two seconds. Measured is what follows the
//! start: at the pace of the songs ("1x"), which is what listening for long comes to, and at twice
//! that, the default, which a listener has until its song has come. Processor time is of the
//! daemon's process alone, as the kernel counts it; the yardstick is a bare loop that does nothing
//! but write as many frames to as many sockets, one `write` each.
//!
//! The run fails when a byte is wrong, a frame was split, or a bound is broken: 25 % of one
//! processor, a stop answered within one frame time.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and opens sockets")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have seven digits at most")]

mod lab;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

use lab::daemon::{Daemon, configuration};
use lab::films::Film;
use lab::{Outcome, load, need_descriptors};

const LISTENERS: usize = 2_000;
const SONGS: usize = 8;
/// Bytes a second of each song: 128 kbit/s.
const RATE: usize = 16_000;
const SONG_SECONDS: usize = 120;
const FRAME: usize = 4_096;
const DATA: usize = 4_072;
/// Everybody has begun, and had the second that comes at once.
const WARMING: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(12);
/// How many stop, one after the other.
const STOPS: usize = 200;
/// The bound: a quarter of one processor.
const CPU_MAX: f64 = 0.25;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("jukebox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    need_descriptors(3 * LISTENERS as u64)?;
    println!("{LISTENERS} listeners of 128 kbit/s; {}", load());
    let mut worst: f64 = 0.0;
    for pace in [1, 2] {
        let cpu = paced(pace)?;
        let yardstick = bare(LISTENERS * RATE * pace / DATA)?;
        println!(
            "{:>4}x  a bare loop of as many writes: {:.1} % of a core",
            pace,
            yardstick * 100.0
        );
        worst = worst.max(cpu);
    }
    if worst > CPU_MAX {
        return Err(format!("{:.1} % of a core, more than a quarter", worst * 100.0).into());
    }
    Ok(())
}

/// A WAV file of noise.
fn song(seed: usize) -> Vec<u8> {
    let len = SONG_SECONDS * RATE;
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    let rate = u32::try_from(RATE).expect("small");
    bytes.extend([rate.to_le_bytes(), rate.to_le_bytes()].concat());
    bytes.extend(b"\x01\0\x08\0data");
    bytes.extend(u32::try_from(len).expect("small").to_le_bytes());
    let mut state = seed as u64 + 1;
    bytes.extend((0..len).map(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }));
    bytes
}

fn start(directory: &Path, songs: &[Vec<u8>], pace: usize) -> Outcome<(Daemon, SocketAddr)> {
    let music = directory.join("music");
    fs::create_dir_all(&music)?;
    for (sid, song) in songs.iter().enumerate() {
        fs::write(music.join(format!("{sid}.wav")), song)?;
    }
    let library = directory.join("movies");
    Film { blocks: 4, bytes: 4096, lasts: Duration::from_secs(2) }.make(&library, "small")?;
    let jukebox = format!(
        "[jukebox]\nlisten = \"127.0.0.1:0\"\ndirectory = \"{}\"\npace = \"{pace}x\"\n\
         per_address_max = 0\n",
        music.display()
    );
    let daemon = Daemon::start(directory, &(configuration(&library, &["small"], 9091) + &jukebox))?;
    let head = "listening: jukebox on ";
    let log = daemon.log()?;
    let found =
        log.lines().find_map(|line| line.split_once(head)).ok_or("no jukebox in the log")?;
    let address = found.1.trim().parse()?;
    Ok((daemon, address))
}

/// One listener: where it is in its song, and when it began.
struct Listener {
    stream: mio::net::TcpStream,
    sid: usize,
    /// Bytes of frames, tails and heads with them.
    got: usize,
    /// The largest number of bytes that one read had.
    most: usize,
    stopped: bool,
}

fn paced(pace: usize) -> Outcome<f64> {
    let directory = TempDir::new()?;
    let songs: Vec<_> = (0..SONGS).map(song).collect();
    let (daemon, address) = start(directory.path(), &songs, pace)?;
    let mut room = Room::new(address, &songs)?;
    room.run(WARMING, true)?;
    let frames = daemon.figure("/jukebox/frames")?;
    let (began, before) = (Instant::now(), daemon.cpu()?);
    room.run(MEASURED, false)?;
    let (time, used) = (began.elapsed().as_secs_f64(), daemon.cpu()?.saturating_sub(before));
    let frames = daemon.figure("/jukebox/frames")? - frames;
    let cpu = used.as_secs_f64() / time;
    let split = daemon.figure("/jukebox/split")?;
    println!(
        "{pace:>4}x  {:.0} frames/s, {:.1} Mbit/s, {:.1} % of a core, {:.1} us a frame; \
         split {split}",
        frames as f64 / time,
        frames as f64 * DATA as f64 * 8.0 / time / 1e6,
        cpu * 100.0,
        used.as_secs_f64() * 1e6 / frames as f64,
    );
    let (median, worst) = room.stop_some()?;
    let frame_time = Duration::from_secs_f64(DATA as f64 / (RATE * pace) as f64);
    println!(
        "{pace:>4}x  a stop is answered after {median:.1?}, at most {worst:.1?}; one frame time is \
         {frame_time:.0?}"
    );
    let single = room.listeners.iter().filter(|l| l.most <= FRAME).count();
    println!(
        "{pace:>4}x  {single} of {LISTENERS} listeners found one frame in each read of 64 KiB"
    );
    daemon.stop()?;
    if split > 0 {
        return Err(format!("{split} frames were split").into());
    }
    if worst > frame_time {
        return Err(format!("a stop was answered after {worst:?}").into());
    }
    Ok(cpu)
}

/// Every listener, and one loop that reads them.
struct Room<'a> {
    poll: Poll,
    listeners: Vec<Listener>,
    songs: &'a [Vec<u8>],
    buffer: Vec<u8>,
    begun: usize,
}

impl<'a> Room<'a> {
    fn new(address: SocketAddr, songs: &'a [Vec<u8>]) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for number in 0..LISTENERS {
            let stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            let sid = number % SONGS;
            listeners.push(Listener { stream, sid, got: 0, most: 0, stopped: false });
        }
        Ok(Self { poll, listeners, songs, buffer: vec![0; 64 << 10], begun: 0 })
    }

    /// Reads for so long; with `begin` the songs begin one after the other, in two seconds.
    fn run(&mut self, time: Duration, begin: bool) -> Outcome<()> {
        let started = Instant::now();
        let mut events = Events::with_capacity(4_096);
        while started.elapsed() < time {
            let due = started.elapsed().as_millis() as usize * LISTENERS / 2_000;
            while begin && self.begun < due.min(LISTENERS) {
                let listener = &mut self.listeners[self.begun];
                let play = format!("play<NEXT;>{}<NEXT;><END;>", listener.sid);
                listener.stream.write_all(play.as_bytes())?;
                self.begun += 1;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(1)))?;
            for event in &events {
                self.hear(event.token().0)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, number: usize) -> Outcome<()> {
        let listener = &mut self.listeners[number];
        loop {
            let count = match listener.stream.read(&mut self.buffer) {
                Ok(0) => return Err("the daemon closed a connection".into()),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            listener.most = listener.most.max(count);
            let mut bytes = &self.buffer[..count];
            if bytes.ends_with(b"stop<NEXT;><END;>") {
                listener.stopped = true;
                bytes = &bytes[..count - b"stop<NEXT;><END;>".len()];
            }
            check(&self.songs[listener.sid], listener.got, bytes)?;
            listener.got += bytes.len();
        }
    }

    /// Stops listeners one after the other; the median and the longest wait for the answer.
    fn stop_some(&mut self) -> Outcome<(Duration, Duration)> {
        let mut waits = Vec::new();
        for number in (0..LISTENERS).step_by(LISTENERS / STOPS) {
            let asked = Instant::now();
            self.listeners[number].stream.write_all(b"stop<NEXT;><END;>")?;
            while !self.listeners[number].stopped {
                let mut events = Events::with_capacity(4_096);
                self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
                // This one first: the others' bytes are no part of its wait.
                self.hear(number)?;
                if self.listeners[number].stopped {
                    waits.push(asked.elapsed());
                }
                for event in &events {
                    self.hear(event.token().0)?;
                }
                if asked.elapsed() > Duration::from_secs(5) {
                    return Err("a stop was not answered".into());
                }
            }
        }
        waits.sort();
        Ok((waits[waits.len() / 2], waits[waits.len() - 1]))
    }
}

/// Bytes at a place of the stream of frames are the song's, or heads and tails.
fn check(song: &[u8], at: usize, bytes: &[u8]) -> Outcome<()> {
    let (head, tail) = (&b"play<NEXT;>"[..], &b"<NEXT;><END;>"[..]);
    let mut at = at;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (frame, inside) = (at / FRAME, at % FRAME);
        let data = &song[frame * DATA..((frame + 1) * DATA).min(song.len())];
        let expected = if inside < head.len() {
            &head[inside..]
        } else if inside < head.len() + data.len() {
            &data[inside - head.len()..]
        } else {
            &tail[inside - head.len() - data.len()..]
        };
        let len = expected.len().min(rest.len());
        if rest[..len] != expected[..len] {
            return Err(format!("wrong bytes at {at}").into());
        }
        at += len;
        rest = &rest[len..];
    }
    Ok(())
}

/// What as many writes of a frame cost a loop that does nothing else.
fn bare(frames_per_second: usize) -> Outcome<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let mut streams = Vec::new();
        for _ in 0..LISTENERS {
            streams.push(TcpStream::connect(address)?);
        }
        let mut buffer = vec![0; FRAME];
        // Until the writer is gone, each in its turn: the order in which it writes.
        loop {
            for stream in &mut streams {
                if stream.read_exact(&mut buffer).is_err() {
                    return Ok(());
                }
            }
        }
    });
    let mut writers = Vec::new();
    for _ in 0..LISTENERS {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        writers.push(stream);
    }
    let frame = vec![0; FRAME];
    let count = frames_per_second * 3;
    let before = own_cpu()?;
    let began = Instant::now();
    for number in 0..count {
        writers[number % LISTENERS].write_all(&frame)?;
        // As even as the daemon's: a millisecond's frames, then a rest.
        let ahead = Duration::from_secs_f64(number as f64 / frames_per_second as f64);
        if ahead > began.elapsed() + Duration::from_millis(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (time, used) = (began.elapsed().as_secs_f64(), own_cpu()?.saturating_sub(before));
    drop(writers);
    reader.join().map_err(|_| "the reader of the yardstick broke")??;
    Ok(used.as_secs_f64() / time)
}

/// Processor time of this thread.
fn own_cpu() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let time = |t: nix::sys::time::TimeVal| {
        Duration::from_secs(t.tv_sec().unsigned_abs())
            + Duration::from_micros(t.tv_usec().unsigned_abs())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

//! Ten thousand registered clients of the ticker, one event of 3 kB each 100 ms, from the real
//! daemon on one core over loopback, counted at the clients. `cargo bench --bench events` (about
//! half a minute, some 11 000 descriptors; on two cores, or the receivers stand in the way).
//!
//! When a datagram came is what the kernel wrote on it, not when it was read. The tick is not in
//! it: the ticks lie on a grid of 100 ms, and the earliest first datagram of any event tells where
//! the grid is, so that a tick that is late counts against the daemon too. The run fails when the
//! 99th of a hundred of all datagrams is later than 50 ms behind its tick, or when one is missing.
//!
//! Before it stand the yardsticks, a bare loop that sends the same datagram to 5000 sockets: with
//! `sendto`; with `sendmmsg`, 64 at a time, as the daemon does; with `send` on sockets that are
//! connected to each receiver. Segmentation (GSO) is not among them: it is for one receiver.
//!
//! On a busy machine the figures are those of the others' work: the last line tells how much, and
//! `chrt -r 5 cargo bench --bench events` (as root, when it is built) keeps them away.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod lab;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg, setsockopt,
    sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use tempfile::TempDir;

use lab::daemon::{Daemon, configuration, waited};
use lab::figures::{Verdicts, median, rank, spread};
use lab::films::Film;
use lab::{Outcome, load, need_descriptors, wall};

const CLIENTS: usize = 10_000;
const BARE_CLIENTS: usize = 5_000;
const ROUNDS: usize = 15;
const INTERVAL: Duration = Duration::from_millis(100);
/// Events before the figures begin: whoever missed the first registers again.
const WARM_UP: u64 = 20;
const EVENTS: u64 = 100;
const EVENT_BYTES: usize = 3_000;
/// Datagrams of one `sendmmsg`.
const BATCH: usize = 64;
/// Behind its tick each datagram is out, with one exception in a hundred.
const OUT_MS: f64 = 50.0;
const FILM: Film = Film { blocks: 4, bytes: 10_000, lasts: Duration::from_secs(2) };

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("events: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<bool> {
    need_descriptors(CLIENTS as u64 + 1_000)?;
    println!("{CLIENTS} clients, {EVENT_BYTES} B each {} ms; {}", INTERVAL.as_millis(), load());
    pin(std::process::id(), 1)?;
    yardsticks()?;
    let mut verdicts = Verdicts::default();
    let directory = TempDir::new()?;
    serve(&directory, &mut verdicts)?;
    verdicts.lines().iter().for_each(|line| println!("{line}"));
    Ok(verdicts.all_kept())
}

/// Keeps a process on one core.
fn pin(pid: u32, core: usize) -> Outcome<()> {
    let (core, pid) = (core.to_string(), pid.to_string());
    let status = Command::new("taskset").args(["-cp", &core, &pid]).output()?;
    if status.status.success() {
        Ok(())
    } else {
        Err("taskset failed: two cores are needed".into())
    }
}

/// Sockets of clients, which note when the kernel received what they have.
struct Clients {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

impl Clients {
    fn new(count: usize) -> Outcome<Self> {
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            sockets.push(socket);
        }
        let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
        Ok(Self { sockets, addresses })
    }

    /// Takes everything that has come: for each datagram its first bytes, its length, its time.
    fn sweep(&self, mut take: impl FnMut(usize, &[u8], usize, Duration)) -> Outcome<()> {
        let mut space = nix::cmsg_space!(TimeSpec);
        let mut buffer = [0; 64];
        for (who, socket) in self.sockets.iter().enumerate() {
            loop {
                let mut parts = [IoSliceMut::new(&mut buffer)];
                let flags = MsgFlags::MSG_TRUNC;
                let fd = socket.as_raw_fd();
                let message = match recvmsg::<()>(fd, &mut parts, Some(&mut space), flags) {
                    Ok(message) => message,
                    Err(nix::errno::Errno::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                };
                let at = message.cmsgs()?.find_map(|c| match c {
                    ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                    _ => None,
                });
                let bytes = message.bytes;
                let at = at.ok_or("a datagram without its time")?;
                take(who, &buffer[..bytes.min(64)], bytes, at);
            }
        }
        Ok(())
    }
}

/// What a bare loop needs for a round in each manner, in microseconds a datagram.
fn yardsticks() -> Outcome<()> {
    let clients = Clients::new(BARE_CLIENTS)?;
    let bytes = vec![b'x'; EVENT_BYTES];
    let one = UdpSocket::bind("127.0.0.1:0")?;
    let connected: Vec<_> = clients
        .addresses
        .iter()
        .map(|to| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(to).map(|()| socket)
        })
        .collect::<Result<_, _>>()?;
    let mut sendto = || -> Outcome<()> {
        for to in &clients.addresses {
            one.send_to(&bytes, to)?;
        }
        Ok(())
    };
    let mut batches = || send_batches(&one, &clients.addresses, &bytes);
    let mut send = || -> Outcome<()> {
        for socket in &connected {
            socket.send(&bytes)?;
        }
        Ok(())
    };
    let mut took: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let manners: [&mut dyn FnMut() -> Outcome<()>; 3] = [&mut sendto, &mut batches, &mut send];
        for (manner, took) in manners.into_iter().zip(&mut took) {
            let began = Instant::now();
            manner()?;
            took.push(began.elapsed().as_secs_f64() * 1e6 / BARE_CLIENTS as f64);
            clients.sweep(|_, _, _, _| {})?;
        }
    }
    let names = ["sendto", "sendmmsg, 64 at a time", "send, connected sockets"];
    println!("bare loop, us a datagram (median of {ROUNDS} rounds, least to most)");
    for (name, took) in names.iter().zip(&took) {
        println!("  {name:24} {:5.2}  ({})", median(took), spread(took, 2));
    }
    Ok(())
}

fn send_batches(from: &UdpSocket, to: &[SocketAddr], bytes: &[u8]) -> Outcome<()> {
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    for batch in to.chunks(BATCH) {
        let slices: Vec<_> = batch.iter().map(|_| [IoSlice::new(bytes)]).collect();
        let addresses: Vec<_> = batch.iter().map(|to| Some(SockaddrStorage::from(*to))).collect();
        let flags = MsgFlags::empty();
        let sent = sendmmsg(from.as_raw_fd(), &mut headers, &slices, &addresses, [], flags)?;
        if sent.count() != batch.len() {
            return Err("sendmmsg sent a part".into());
        }
    }
    Ok(())
}

/// The daemon's own figures.
fn serve(directory: &TempDir, verdicts: &mut Verdicts) -> Outcome<()> {
    let library = directory.path().join("movies");
    FILM.make(&library, "load")?;
    let fifo = directory.path().join("lines");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU)?;
    let text = configuration(&library, &["load"], 9_999);
    let text = format!(
        "{text}[events]\nlisten = \"127.0.0.1:0\"\ninterval = \"{} ms\"\n\
         source = \"lines:lines\"\nper_address_max = 0\nmembers_max = {CLIENTS}\n",
        INTERVAL.as_millis()
    );
    let daemon = Daemon::start(directory.path(), &text)?;
    pin(daemon.pid(), 0)?;
    let server = listens(&daemon)?;
    let clients = Clients::new(CLIENTS)?;
    let line = format!("{{\"content\": \"{}\"}}\n", "x".repeat(EVENT_BYTES - 200));
    let mut feed = feed(&fifo, &line)?;
    let all = 0..CLIENTS;
    register(&clients, server, all)?;
    let (mut heard, mut arrivals) = (vec![false; CLIENTS], BTreeMap::<u64, Vec<Duration>>::new());
    let (mut used, mut asked) = (None, false);
    let deadline = Instant::now() + INTERVAL * 3 * u32::try_from(WARM_UP + EVENTS)?;
    while arrivals.last_key_value().is_none_or(|(last, _)| *last < WARM_UP + EVENTS + 2) {
        if Instant::now() > deadline {
            return Err(format!("the events stop:\n{}", daemon.log()?).into());
        }
        std::thread::sleep(until_quiet(&arrivals));
        clients.sweep(|who, head, bytes, at| {
            heard[who] = true;
            assert!(bytes > EVENT_BYTES - 200, "{bytes} bytes");
            arrivals.entry(count_of(head)).or_default().push(at);
        })?;
        let newest = arrivals.last_key_value().map_or(0, |(last, _)| *last);
        if newest > WARM_UP / 2 && !asked {
            asked = true;
            let missing = (0..CLIENTS).filter(|who| !heard[*who]);
            register(&clients, server, missing)?;
        }
        if newest >= WARM_UP && used.is_none() {
            used = Some((Instant::now(), daemon.cpu()?, waited(daemon.pid())));
        }
    }
    let (since, before, waited_before) = used.ok_or("no warm-up")?;
    let waited = waited(daemon.pid()).saturating_sub(waited_before).as_secs_f64();
    let waited = waited / since.elapsed().as_secs_f64();
    let load = daemon.cpu()?.saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64();
    feed.kill()?;
    feed.wait()?;
    daemon.stop()?;
    judge(&arrivals, load, verdicts);
    println!("  ready to run while others had its core: {:.1} % of the time", waited * 100.0);
    Ok(())
}

/// How long it is until six tenths of a tick are over: who reads while datagrams
/// are sent holds up the sender, which the clients of a network do not.
fn until_quiet(arrivals: &BTreeMap<u64, Vec<Duration>>) -> Duration {
    let newest = arrivals.last_key_value().and_then(|(_, times)| times.iter().min());
    let Some(first) = newest else { return INTERVAL / 4 };
    let quiet = *first + INTERVAL * 6 / 10;
    let behind = wall().saturating_sub(quiet).as_nanos() % INTERVAL.as_nanos();
    INTERVAL.saturating_sub(Duration::from_nanos(u64::try_from(behind).unwrap_or(0)))
}

fn listens(daemon: &Daemon) -> Outcome<SocketAddr> {
    let log = daemon.log()?;
    let place = log.lines().find_map(|l| l.split_once("listening: events on "));
    Ok(place.ok_or("no ticker")?.1.trim().parse()?)
}

/// Somebody who writes lines without end; the daemon takes them at its own pace.
fn feed(fifo: &std::path::Path, line: &str) -> Outcome<std::process::Child> {
    let file = fifo.with_extension("text");
    let mut text = File::create(&file)?;
    for _ in 0..WARM_UP + 2 * EVENTS {
        text.write_all(line.as_bytes())?;
    }
    drop(text);
    fs::metadata(&file)?;
    Ok(Command::new("sh").args(["-c", "cat \"$0\" > \"$1\""]).arg(file).arg(fifo).spawn()?)
}

fn register(
    clients: &Clients,
    server: SocketAddr,
    who: impl Iterator<Item = usize>,
) -> Outcome<()> {
    for (sent, who) in who.enumerate() {
        clients.sockets[who].send_to(b"register", server)?;
        if sent % 64 == 63 {
            // More than a socket holds at once would be lost.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// The number in `{"message": {"count": 17, `.
fn count_of(head: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(head);
    let digits = text.split("\"count\": ").nth(1).unwrap_or_default();
    digits.split(',').next().and_then(|d| d.parse().ok()).unwrap_or(0)
}

fn judge(arrivals: &BTreeMap<u64, Vec<Duration>>, load: f64, verdicts: &mut Verdicts) {
    let measured = WARM_UP + 1..=WARM_UP + EVENTS;
    let tick = |count: u64| INTERVAL * u32::try_from(count).unwrap_or(0);
    let firsts = arrivals.range(measured.clone()).filter_map(|(count, times)| {
        times.iter().min().map(|first| first.saturating_sub(tick(*count)))
    });
    let grid = firsts.min().unwrap_or_default();
    let mut late = Vec::new();
    let mut missing = 0;
    for count in measured {
        let times = arrivals.get(&count).map_or(&[][..], Vec::as_slice);
        missing += CLIENTS.saturating_sub(times.len());
        let behind = times.iter().map(|at| at.saturating_sub(grid + tick(count)));
        late.extend(behind.map(|behind| behind.as_secs_f64() * 1e3));
    }
    let ranks = [0.5, 0.99, 0.999, 1.0].map(|part| rank(&late, part));
    println!("daemon on one core, {EVENTS} events: behind the tick, ms");
    println!(
        "  median {:.1}, p99 {:.1}, p99.9 {:.1}, last {:.1}; {:.0} % of the core, {:.2} us each",
        ranks[0],
        ranks[1],
        ranks[2],
        ranks[3],
        load * 100.0,
        load * INTERVAL.as_secs_f64() * 1e6 / CLIENTS as f64,
    );
    verdicts.note(ranks[1] <= OUT_MS, format!("p99 {:.1} ms of {OUT_MS} ms", ranks[1]));
    verdicts.note(missing == 0, format!("{missing} of {} datagrams missing", late.len() + missing));
}

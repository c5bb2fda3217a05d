//! What the daemon holds in memory: at rest, for each connection that keeps quiet, and for each
//! viewer in the middle of a block. `cargo bench --bench memory` (some twenty seconds).
//!
//! `at rest` is everything resident (VmRSS), the program's own text and the libraries included, with
//! the movies and channels of the repository, before anybody has come. `a connection` is by how much
//! the memory of the daemon's own (RssAnon) grew with 5000 HTTP connections that have asked once and
//! stay, divided by them; `a viewer` the same with 1000 tv clients that take the first bytes of a
//! block and no more. It is what the system sees, so it counts the room that tables have grown ahead
//! of their use and what the allocator keeps. The yardstick is a bare record of the least that any
//! server must know of a connection: its descriptor, both addresses, what is queued.
//!
//! The run fails above 10 MiB at rest or 1 KiB for either.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have seven digits at most")]

mod lab;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use lab::daemon::{Daemon, configuration, memory};
use lab::figures::{Verdicts, rank};
use lab::films::Film;
use lab::viewers::{Viewers, free_port};
use lab::{Outcome, load, need_descriptors};

const FILM: Film = Film { blocks: 16, bytes: 1 << 20, lasts: Duration::from_secs(20) };
const CONNECTIONS: usize = 5000;
const VIEWERS: usize = 1000;
const REST_MIB: f64 = 10.0;
const STATE_BYTES: f64 = 1024.0;
/// The least that can be known of a connection.
const BARE_BYTES: f64 = size_of::<(i32, SocketAddr, SocketAddr, &[u8])>() as f64;

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<bool> {
    need_descriptors(10_500)?;
    println!("{}", load());
    let directory = TempDir::new()?;
    let library = directory.path().join("movies");
    FILM.make(&library, "load")?;
    let port = free_port()?;
    let configuration = configuration(&library, &["load"], port);
    let mut verdicts = Verdicts::default();
    println!("{:46}{:>10}{:>8}", "", "bytes", "ratio");

    let rest = at_rest(directory.path(), &library)?;
    println!("{:46}{rest:>10}", "at rest, all that is resident");
    let mib = rest as f64 / f64::from(1 << 20);
    verdicts.note(mib <= REST_MIB, format!("{mib:.1} MiB at rest; at most {REST_MIB}"));

    println!("{:46}{BARE_BYTES:>10}{:>8.1}", "the barest record of a connection", 1.0);
    for (what, count) in [("a connection", CONNECTIONS), ("a viewer", VIEWERS)] {
        let daemon = Daemon::start(directory.path(), &configuration)?;
        let grown = match count {
            CONNECTIONS => quiet_connections(&daemon)?,
            _ => viewers(&daemon, port)?,
        };
        let each = grown / count as f64;
        println!("{:46}{each:>10.0}{:>8.1}", format!("{what}, of {count}"), each / BARE_BYTES);
        verdicts.note(each <= STATE_BYTES, format!("{each:.0} bytes {what}; at most 1024"));
        daemon.stop()?;
    }
    verdicts.lines().iter().for_each(|line| println!("{line}"));
    Ok(verdicts.all_kept())
}

/// The daemon with the repository's movies, on ports of its own, after some blocks.
fn at_rest(directory: &Path, other: &Path) -> Outcome<u64> {
    let movies = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies");
    // A package of the sources alone has no movies.
    let configuration = if movies.is_dir() {
        configuration(&movies, &["clock", "bars.mkv"], 9091)
    } else {
        Film { lasts: Duration::from_secs(2), ..FILM }.make(other, "short")?;
        configuration(other, &["short", "load"], 9091)
    };
    let daemon = Daemon::start(directory, &configuration)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while daemon.figure("/channels/0/blocks_aired")? < 3 {
        if Instant::now() > deadline {
            return Err("the demo's blocks do not go on the air".into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let rest = memory(daemon.pid(), "VmRSS")?;
    daemon.stop()?;
    Ok(rest)
}

/// By how much the daemon grows with connections that have asked once and stay.
fn quiet_connections(daemon: &Daemon) -> Outcome<f64> {
    let before = own_bytes(daemon)?;
    let streams = (0..CONNECTIONS).map(|_| asked(daemon.http)).collect::<Outcome<Vec<_>>>()?;
    let grown = own_bytes(daemon)? - before;
    let open = daemon.figure("/node/connections")?;
    if open < streams.len() as u64 {
        return Err(format!("{open} connections are open, not {}", streams.len()).into());
    }
    Ok(grown)
}

/// A connection that has asked once and stays.
fn asked(http: SocketAddr) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(http)?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = [0; 512];
    let count = stream.read(&mut answer)?;
    if answer[..count].starts_with(b"HTTP/1.1 200 ") { Ok(stream) } else { Err("no 200".into()) }
}

/// By how much the daemon grows with viewers that take the first bytes of a block and no more.
fn viewers(daemon: &Daemon, port: u16) -> Outcome<f64> {
    let mut viewers = Viewers::new(port, FILM)?;
    let all = viewers.add(VIEWERS, false)?;
    let before = own_bytes(daemon)?;
    viewers.ask(daemon.tv, "10", all)?;
    let sending = |daemon: &Daemon| {
        let begun = daemon.figure("/tv/joins")? == VIEWERS as u64;
        // The one more is the question itself.
        let open = daemon.figure("/node/connections")? == VIEWERS as u64 + 1;
        Ok(begun && open && daemon.figure("/tv/dials")? == 0)
    };
    let within = Duration::from_secs(10);
    viewers.run_until("all are in the middle of a block", within, |_| sending(daemon))?;
    Ok(own_bytes(daemon)? - before)
}

/// Memory of the daemon's own; the least of some looks, for what is on its way out.
fn own_bytes(daemon: &Daemon) -> Outcome<f64> {
    let look = |_| memory(daemon.pid(), "RssAnon").map(|bytes| bytes as f64);
    Ok(rank(&(0..3).map(look).collect::<Outcome<Vec<_>>>()?, 0.0))
}

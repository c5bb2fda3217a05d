//! The block on the air over HTTP, to a thousand readers that keep their connections: the real
//! daemon, a bare server that parses nothing and writes from a map, and nginx (where it is
//! installed) with one worker that sends a file of the same size by `sendfile`.
//! `cargo bench --bench http` (about a minute).
//!
//! Each reader asks for `/ch/0/blocks/live` again as soon as it has an answer; all readers are in
//! the bench's own process and are the same for each server. Blocks of 1 MiB show what a gigabyte
//! costs, blocks of 4 KiB what a request costs. Figures are medians of some rounds in which the
//! servers take turns; the ratios are to the bare server: of requests a second, more is better; of
//! processor time (of the server's process alone), less is better.
//!
//! The run fails when an answer is not what was asked for. There is no other bound.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have seven digits at most")]

mod lab;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use lab::daemon::{Daemon, configuration, cpu};
use lab::figures::{median, spread};
use lab::films::Film;
use lab::readers::{Had, Readers};
use lab::server::{self, Bare};
use lab::{Outcome, arguments, load, need_descriptors};

const READERS: usize = 1000;
const ROUNDS: usize = 5;
/// How long each server is measured in a round, after a first look that is not.
const MEASURED: Duration = Duration::from_millis(1500);
const WARMING: Duration = Duration::from_millis(500);
const SIZES: [(&str, usize); 2] = [("1 MiB", 1 << 20), ("4 KiB", 4 << 10)];

fn main() -> ExitCode {
    let arguments = arguments();
    let result = match &arguments[..] {
        [word, rest @ ..] if word == server::WORD => server::main(rest),
        _ => bench(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    need_descriptors(4000)?;
    println!("{READERS} readers, {ROUNDS} rounds; {}", load());
    let directory = TempDir::new()?;
    let library = directory.path().join("movies");
    let names = ["large", "small"];
    for (name, (_, bytes)) in names.iter().zip(SIZES) {
        Film { blocks: 16, bytes, lasts: Duration::from_secs(2) }.make(&library, name)?;
    }
    let daemon = Daemon::start(directory.path(), &configuration(&library, &names, 9091))?;
    let nginx = Nginx::start(directory.path())?;
    if nginx.is_none() {
        println!("nginx is not installed here");
    }
    for (channel, (size, bytes)) in SIZES.into_iter().enumerate() {
        let bare = Bare::start(bytes)?;
        let live = format!("/ch/{channel}/blocks/live");
        let mut served = vec![
            Served::new("bare: write from a map", (bare.addr, bare.pid()), "/".to_owned()),
            Served::new("vidstreamd", (daemon.http, daemon.pid()), live),
        ];
        let file = format!("/{bytes}");
        served
            .extend(nginx.iter().map(|n| Served::new("nginx: sendfile", n.place(), file.clone())));
        for _ in 0..ROUNDS {
            served.iter_mut().try_for_each(|server| server.round(bytes))?;
        }
        print(size, &served);
    }
    daemon.stop()
}

/// One server and its figures, one a round.
struct Served {
    name: &'static str,
    addr: SocketAddr,
    pid: u32,
    path: String,
    rate: Vec<f64>,
    /// Microseconds of its processor for each answer.
    cost: Vec<f64>,
    bytes: f64,
}

impl Served {
    fn new(name: &'static str, (addr, pid): (SocketAddr, u32), path: String) -> Self {
        Self { name, addr, pid, path, rate: Vec::new(), cost: Vec::new(), bytes: 0.0 }
    }

    fn round(&mut self, bytes: usize) -> Outcome<()> {
        let mut readers = Readers::new(READERS, self.addr, &self.path, bytes as u64)?;
        readers.begin()?;
        readers.run(WARMING)?;
        let (began, before) = (Instant::now(), cpu(self.pid)?);
        let had = readers.run(MEASURED)?;
        let (time, used) = (began.elapsed().as_secs_f64(), cpu(self.pid)?.saturating_sub(before));
        self.check(had)?;
        self.bytes = bytes as f64;
        self.rate.push(had.answers as f64 / time);
        // Answers under way count by what came of them.
        self.cost.push(used.as_secs_f64() * 1e6 / (had.bytes as f64 / bytes as f64));
        Ok(())
    }

    fn check(&self, had: Had) -> Outcome<()> {
        if had.wrong > 0 || had.answers == 0 {
            return Err(
                format!("{}: {} wrong answers of {}", self.name, had.wrong, had.answers).into()
            );
        }
        Ok(())
    }
}

fn print(size: &str, served: &[Served]) {
    let columns = ["requests/s", "ratio", "CPU us each", "CPU s/GB", "ratio"];
    let [rate, ratio, cost, gigabyte, cost_ratio] = columns;
    println!(
        "\nblocks of {size:16}{rate:>11}{ratio:>7}{cost:>13}{gigabyte:>10}{cost_ratio:>7}  spread"
    );
    let (bare_rate, bare_cost) = (median(&served[0].rate), median(&served[0].cost));
    for server in served {
        let (rate, cost) = (median(&server.rate), median(&server.cost));
        println!(
            "{:26}{rate:>11.0}{:>7.2}{cost:>13.1}{:>10.3}{:>7.2}  {} us",
            server.name,
            rate / bare_rate,
            cost / 1e6 / (server.bytes / 1e9),
            cost / bare_cost,
            spread(&server.cost, 0),
        );
    }
}

/// nginx as a child of the bench, in one process.
struct Nginx {
    child: Child,
    addr: SocketAddr,
}

impl Nginx {
    /// Starts it over files of both sizes; none where it is not installed.
    fn start(directory: &Path) -> Outcome<Option<Self>> {
        let root = directory.join("nginx");
        fs::create_dir_all(root.join("files"))?;
        for (_, bytes) in SIZES {
            fs::write(root.join("files").join(bytes.to_string()), vec![0x5a; bytes])?;
        }
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = root.join("nginx.conf");
        fs::write(&file, nginx_configuration(&root, addr))?;
        let mut command = Command::new(program());
        command.arg("-p").arg(&root).arg("-c").arg(&file).stdin(Stdio::null());
        command.stderr(File::create(root.join("said"))?);
        let Ok(child) = command.spawn() else { return Ok(None) };
        let nginx = Self { child, addr };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                return Err(fs::read_to_string(root.join("said"))?.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(nginx))
    }

    fn place(&self) -> (SocketAddr, u32) {
        (self.addr, self.child.id())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Programs of administrators are in no ordinary user's path.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

fn nginx_configuration(root: &Path, addr: SocketAddr) -> String {
    let root = root.display();
    let kept: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nworker_rlimit_nofile 4000;\n\
         pid {root}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 3000; }}\n\
         http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000000;\n\
         open_file_cache max=16;\n{kept}\
         server {{ listen {addr} backlog=4096; root {root}/files; }}\n}}\n"
    )
}

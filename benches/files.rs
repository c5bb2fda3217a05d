//! Files over UDP against the table of the issue, on links of our own between two network
//! namespaces, with `curl` from nginx over TCP cubic in the same run. `cargo bench --bench files`
//! prints it all, in some eight minutes, as root (`ip netns`); `-- ROW` does the rows whose name
//! contains that. 100 MB each, the file compared byte for byte; loopback 2 GB through memory.
//! In the first transfer of loopback the daemon hashes the file as well, which halves its rate.
//!
//! The link's queue holds 50 ms. What the link loses it loses behind the shaper, in both
//! directions, so that 10 % leave 87 Mbit/s of file bytes at most.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and makes files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]

mod lab;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt};
use serde_json::Value;
use tempfile::TempDir;

use lab::daemon::{Daemon, configuration, memory};
use lab::figures::Verdicts;
use lab::films::Film;
use lab::link::{Impairment, Link, NEAR};
use lab::{Outcome, arguments, load, need_descriptors};
use vidstreamd::base::rng::Rng;
use vidstreamd::files::client::{Client, Event};
use vidstreamd::files::wire::Verdict;
use vidstreamd::io::fetch::Fetch;

const VIDSTREAM: &str = env!("CARGO_BIN_EXE_vidstream");
const DAEMON: &str = env!("CARGO_BIN_EXE_vidstreamd");
const FILE_BYTES: usize = 100_000_000;
const LARGE_BYTES: usize = 2_000_000_000;
/// More than a link takes in the time; a hole, which costs no memory.
const WIDE_BYTES: u64 = 400_000_000;
const FILM: Film = Film { blocks: 4, bytes: 10_000, lasts: Duration::from_secs(2) };
/// What cubic may take before it is cut off.
const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("files: {error}");
            ExitCode::FAILURE
        }
    }
}

type Row = (&'static str, fn(&mut Lab) -> Outcome<()>);

const ROWS: &[Row] = &[
    ("loopback", loopback),
    ("loss0", |lab| filled(lab, "20 ms, 0 %", link(10, 0), 95.0)),
    ("loss1", |lab| filled(lab, "20 ms, 1 %", link(10, 10), 92.0)),
    ("loss5", |lab| filled(lab, "20 ms, 5 %", link(10, 50), 85.0)),
    ("loss10", |lab| filled(lab, "20 ms, 10 %", link(10, 100), 75.0)),
    ("long", |lab| {
        let impairment = Impairment { doubled: 10, reordered: 50, ..link(50, 100) };
        filled(lab, "100 ms, 10 %, 5 % reordered, 1 % twice", impairment, 65.0)
    }),
    ("loss30", |lab| filled(lab, "20 ms, 30 %", link(10, 300), 0.0)),
    ("jumbo", |lab| {
        filled(lab, "20 ms, 1 %, packets of 9000", Impairment { mtu: 9_000, ..link(10, 10) }, 92.0)
    }),
    ("beside", beside),
    ("player", player),
    ("thousand", thousand),
];

struct Lab {
    directory: TempDir,
    verdicts: Verdicts,
}

impl Lab {
    fn files(&self) -> PathBuf {
        self.directory.path().join("films")
    }

    fn file(&self) -> PathBuf {
        self.files().join("a.mkv")
    }
}

fn link(millis: u64, lost: u64) -> Impairment {
    let (delay, queue) = (Duration::from_millis(millis), Duration::from_millis(50));
    Impairment { delay, lost, doubled: 0, reordered: 0, rate: 100_000_000, queue, mtu: 1_500 }
}

fn bench() -> Outcome<bool> {
    let wanted = arguments();
    println!("{}", load());
    let mut lab = Lab { directory: TempDir::new_in("/dev/shm")?, verdicts: Verdicts::default() };
    fs::create_dir(lab.files())?;
    make(&lab.file(), FILE_BYTES)?;
    for (name, row) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word)) {
            row(&mut lab)?;
        }
    }
    lab.verdicts.lines().iter().for_each(|line| println!("{line}"));
    println!("{} at the end", load());
    Ok(lab.verdicts.all_kept())
}

fn make(path: &Path, bytes: usize) -> Outcome<()> {
    let (mut rng, mut file) = (Rng::new(7), io::BufWriter::new(File::create(path)?));
    for _ in 0..bytes / 8 {
        file.write_all(&rng.next_u64().to_le_bytes())?;
    }
    file.flush()?;
    Ok(())
}

/// A program that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The daemon in the near namespace of a link; returns when it is ready.
fn daemon(lab: &Lab, namespace: &str) -> Outcome<Running> {
    let text = settings(lab, &format!("{NEAR}:50000"))?;
    let (config, log) = (lab.directory.path().join("far.toml"), lab.directory.path().join("far"));
    fs::write(&config, text)?;
    let mut command = Link::command(namespace, DAEMON);
    command.arg("-c").arg(&config).args(["--log-target", "stderr"]);
    let child = command.stdin(Stdio::null()).stderr(File::create(&log)?).spawn()?;
    let running = Running(child);
    let deadline = Instant::now() + SOON;
    while !fs::read_to_string(&log)?.contains("ready: ") {
        if Instant::now() > deadline {
            return Err(format!("no daemon: {}", fs::read_to_string(&log)?).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

fn settings(lab: &Lab, listen: &str) -> Outcome<String> {
    let library = lab.directory.path().join("library");
    if !library.exists() {
        FILM.make(&library, "film")?;
    }
    let files = lab.files();
    Ok(configuration(&library, &["film"], 9_999)
        + &format!(
            "[files]\nlisten = \"{listen}\"\ndirectory = \"{}\"\ntransfers_max = 4000\n\
             per_address_max = 0\n",
            files.display()
        ))
}

/// nginx in a namespace, with the same files.
fn nginx(lab: &Lab, namespace: &str) -> Outcome<Running> {
    let home = lab.directory.path().join("nginx");
    fs::create_dir_all(home.join("logs"))?;
    let text = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {0}/pid;\nerror_log {0}/error;\n\
         events {{ }}\nhttp {{ access_log off; sendfile on; client_body_temp_path {0}/t; \
         proxy_temp_path {0}/t; fastcgi_temp_path {0}/t; uwsgi_temp_path {0}/t; \
         scgi_temp_path {0}/t; server {{ listen {NEAR}:80; root {1}; }} }}\n",
        home.display(),
        lab.files().display()
    );
    let config = home.join("nginx.conf");
    fs::write(&config, text)?;
    let mut command = Link::command(namespace, "nginx");
    command.arg("-c").arg(&config).arg("-p").arg(&home).stderr(Stdio::null());
    let running = Running(command.spawn()?);
    std::thread::sleep(Duration::from_millis(500));
    Ok(running)
}

/// `curl` in a namespace, for at most so long; Mbit/s.
fn curl(namespace: &str, file: &str, most: Duration) -> Outcome<Child> {
    let mut command = Link::command(namespace, "curl");
    let most = most.as_secs().to_string();
    command.args(["-s", "-o", "/dev/null", "-w", "%{speed_download}", "--max-time", &most]);
    command.arg(format!("http://{NEAR}/{file}"));
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

fn speed(child: Child) -> Outcome<f64> {
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.trim().parse::<f64>()? * 8e-6)
}

fn get(namespace: &str, index: &str, more: &[&str]) -> Outcome<Child> {
    let mut command = Link::command(namespace, VIDSTREAM);
    command.args(["files", "get", NEAR, index, "--json"]).args(more);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

fn figures(child: Child) -> Outcome<Value> {
    let output = child.wait_with_output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}

/// One file over a link, by ours and by cubic, one after the other.
fn filled(lab: &mut Lab, what: &str, impairment: Impairment, least: f64) -> Outcome<()> {
    let cubic = {
        let link = Link::new(impairment, 1)?;
        let _nginx = nginx(lab, &link.near)?;
        speed(curl(&link.far, "a.mkv", PATIENCE)?)?
    };
    let link = Link::new(impairment, 1)?;
    let _daemon = daemon(lab, &link.near)?;
    let got = lab.directory.path().join("got");
    let output = got.display().to_string();
    let value = figures(get(&link.far, "0", &["-o", &output])?)?;
    let same = fs::read(&got)? == fs::read(lab.file())?;
    fs::remove_file(&got)?;
    let reached = number(&value, "mbit_s");
    println!(
        "100 Mbit/s, {what}: ours {reached:.1} Mbit/s of file bytes, cubic {cubic:.1}; {:.1} % of \
         {} datagrams lost; identical: {same}, hash: {}",
        number(&value, "lost_percent"),
        value["sent"],
        value["verified"]
    );
    let kept = reached >= least && same && value["verified"] == true;
    lab.verdicts.note(kept, format!("{what}: {reached:.1} Mbit/s, wanted {least}; identical"));
    Ok(())
}

/// Ours and cubic at once on one link, for the same time.
fn beside(lab: &mut Lab) -> Outcome<()> {
    let wide = lab.files().join("wide.mkv");
    File::create(&wide)?.set_len(WIDE_BYTES)?;
    for millis in [20, 50, 200] {
        let queue = Duration::from_millis(millis);
        let link = Link::new(Impairment { queue, ..link(10, 0) }, 1)?;
        let (_daemon, _nginx) = (daemon(lab, &link.near)?, nginx(lab, &link.near)?);
        let lasts = Duration::from_secs(20);
        let theirs = curl(&link.far, "wide.mkv", lasts)?;
        let output = lab.directory.path().join("got").display().to_string();
        let ours = get(&link.far, "1", &["-o", &output])?;
        std::thread::sleep(lasts);
        interrupt(&ours)?;
        let (ours, theirs) = (number(&figures(ours)?, "mbit_s"), speed(theirs)?);
        let share = ours * 100.0 / (ours + theirs);
        println!(
            "beside one cubic flow, queue of {millis} ms: ours {ours:.1}, cubic {theirs:.1} \
             Mbit/s, {share:.0} % ours"
        );
        let kept = (30.0..=70.0).contains(&share);
        let what = format!("beside cubic, queue {millis} ms: {share:.0} % ours, wanted 30 to 70");
        lab.verdicts.note(kept, what);
    }
    fs::remove_file(wide)?;
    Ok(())
}

/// Ctrl+C.
fn interrupt(child: &Child) -> Outcome<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
    Ok(())
}

/// A player of 8 Mbit/s.
fn player(lab: &mut Lab) -> Outcome<()> {
    let link = Link::new(link(10, 0), 1)?;
    let _daemon = daemon(lab, &link.near)?;
    let output = lab.directory.path().join("got").display().to_string();
    let child = get(&link.far, "0", &["-o", &output, "--rate", "8M"])?;
    let (began, mut seconds) = (Instant::now(), vec![0]);
    while seconds.len() <= 40 {
        let next = began + Duration::from_secs(seconds.len() as u64);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        seconds.push(link.carried());
    }
    interrupt(&child)?;
    let value = figures(child)?;
    fs::remove_file(&output).ok();
    // From the fifth second on the buffer is full.
    let windows = (5..=seconds.len() - 11).map(|at| (seconds[at + 10] - seconds[at]) as f64 * 8e-7);
    let windows: Vec<_> = windows.collect();
    let (least, most) = (lab::figures::rank(&windows, 0.0), lab::figures::rank(&windows, 1.0));
    let stalls = value["stalls"].as_u64().unwrap_or(u64::MAX);
    println!("player of 8 Mbit/s: any 10 s carry {least:.2} to {most:.2} Mbit/s, {stalls} stalls");
    let kept = least >= 7.6 && most <= 8.4 && stalls == 0;
    lab.verdicts.note(kept, format!("player: {least:.2} to {most:.2} Mbit/s, wanted 7.6 to 8.4"));
    Ok(())
}

/// One transfer through memory, and the yardstick: a bare loop that sends the same way.
fn loopback(lab: &mut Lab) -> Outcome<()> {
    let bare = bare()?;
    let large = lab.files().join("large.mkv");
    make(&large, LARGE_BYTES)?;
    let daemon = Daemon::start(lab.directory.path(), &settings(lab, "127.0.0.1:0")?)?;
    let server = daemon.listens("files")?.to_string();
    let output = lab.directory.path().join("got").display().to_string();
    let mut best: f64 = 0.0;
    for _ in 0..3 {
        let rate = received(server.parse()?)?;
        println!("loopback, received and not written: {rate:.2} GB/s");
        best = best.max(rate);
    }
    for _ in 0..2 {
        let mut command = Command::new(VIDSTREAM);
        command.args(["files", "get", &server, "1", "--json", "-o", &output]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let value = figures(child)?;
        fs::remove_file(&output)?;
        let rate = number(&value, "mbit_s") / 8e3;
        println!(
            "loopback, written to memory and hashed: {rate:.2} GB/s, {:.2} % lost, hash {}",
            number(&value, "lost_percent"),
            value["verified"]
        );
    }
    fs::remove_file(&large)?;
    daemon.stop()?;
    println!("loopback: best {best:.2} GB/s of file bytes; a bare GSO loop {bare:.2} GB/s");
    let kept = best >= 1.5 || best >= 0.8 * bare;
    lab.verdicts.note(kept, format!("loopback: {best:.2} GB/s, wanted 1.5 or 0.8 of {bare:.2}"));
    Ok(())
}

/// Receives the large file and looks at nothing but that all of it comes; GB/s.
fn received(server: SocketAddr) -> Outcome<f64> {
    let mut fetch = Fetch::open(server, None)?;
    let began = fetch.now();
    let mut client = Client::get(began, server, 1, began.0, None);
    loop {
        let now = fetch.now();
        while let Some(event) = client.poll_event() {
            match event {
                Event::Offered { .. } => client.start(now, 0),
                Event::Failed(why) => return Err(why.to_string().into()),
                Event::Complete { size, .. } => {
                    client.finish(Verdict::Whole);
                    while let Some((to, bytes)) = client.poll_transmit(now) {
                        fetch.send(to, &bytes);
                    }
                    let came = client.figures().come;
                    assert_eq!(came, size, "every byte has come");
                    return Ok(came as f64 / now.since(began).as_secs_f64() / 1e9);
                }
                _ => {}
            }
        }
        while let Some((to, bytes)) = client.poll_transmit(now) {
            fetch.send(to, &bytes);
        }
        fetch.wait(client.poll_timeout())?;
        let now = fetch.now();
        fetch.receive(|from, bytes| {
            client.handle_datagram(now, from, bytes);
        })?;
        client.handle_timeout(now);
    }
}

/// A sender that does nothing but send trains of 7 datagrams, and a receiver that only takes them.
fn bare() -> Outcome<f64> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    setsockopt(&receiver, sockopt::UdpGroSegment, &true)?;
    setsockopt(&receiver, sockopt::RcvBufForce, &(8 << 20)).ok();
    receiver.set_read_timeout(Some(Duration::from_millis(300)))?;
    let to = receiver.local_addr()?;
    let sender = std::thread::spawn(move || send_bare(to).map_err(|e| e.to_string()));
    let (mut buffer, mut bytes, mut span) = (vec![0; 1 << 16], 0_u64, None);
    while let Ok(count) = receiver.recv(&mut buffer) {
        let now = Instant::now();
        bytes += count as u64;
        span = Some(span.map_or((now, now), |(first, _)| (first, now)));
    }
    sender.join().map_err(|_| "the sender panicked")??;
    let (first, last) = span.ok_or("nothing came")?;
    Ok(bytes as f64 / last.duration_since(first).as_secs_f64() / 1e9)
}

fn send_bare(to: SocketAddr) -> Outcome<()> {
    let SocketAddr::V4(to) = to else { return Err("IPv4 only".into()) };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let (to, train) = (SockaddrIn::from(to), vec![7; 7 * 9_000]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let parts = [io::IoSlice::new(&train)];
        let cut = [ControlMessage::UdpGsoSegments(&9_000)];
        sendmsg(socket.as_raw_fd(), &parts, &cut, MsgFlags::empty(), Some(&to))?;
    }
    Ok(())
}

/// A thousand clients of 1 Mbit/s, all in this process.
fn thousand(lab: &mut Lab) -> Outcome<()> {
    const CLIENTS: usize = 1_000;
    need_descriptors(3 * CLIENTS as u64)?;
    let text = settings(lab, "127.0.0.1:0")? + "rate_max = 125000\n";
    let daemon = Daemon::start(lab.directory.path(), &text)?;
    let server = daemon.listens("files")?;
    let before = memory(daemon.pid(), "RssAnon")?;
    let clock = vidstreamd::io::clock::Clock::new();
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS as u64 {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        clients.push((socket, Client::get(clock.read().mono, server, 0, number, None), 0));
    }
    let (began, mut buffer, mut marked) = (Instant::now(), vec![0; 1 << 16], false);
    let (from, until) = (Duration::from_secs(4), Duration::from_secs(14));
    while began.elapsed() < until {
        if !marked && began.elapsed() >= from {
            marked = true;
            for (_, client, at) in &mut clients {
                *at = client.figures().come;
            }
        }
        for (socket, client, _) in &mut clients {
            serve(socket, client, clock, &mut buffer)?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let lasted = until.checked_sub(from).unwrap_or_default().as_secs_f64();
    let each = clients.iter().map(|(_, c, at)| (c.figures().come - at) as f64 * 8e-6 / lasted);
    let each: Vec<_> = each.collect();
    let (mean, least) =
        (each.iter().sum::<f64>() / each.len() as f64, lab::figures::rank(&each, 0.0));
    let grown = (memory(daemon.pid(), "RssAnon")? - before.min(memory(daemon.pid(), "RssAnon")?))
        / CLIENTS as u64;
    println!(
        "1000 transfers of 1 Mbit/s: mean {mean:.3}, slowest {least:.3} Mbit/s; {} KiB each in \
         the daemon",
        grown >> 10
    );
    lab.verdicts.note(
        least >= 0.8 * mean && mean > 0.8,
        format!("1000 transfers: slowest {least:.3} of {mean:.3} Mbit/s"),
    );
    lab.verdicts
        .note(grown <= 1 << 20, format!("memory: {} KiB a transfer, wanted 1024", grown >> 10));
    drop(clients);
    daemon.stop()
}

fn serve(
    socket: &UdpSocket,
    client: &mut Client,
    clock: vidstreamd::io::clock::Clock,
    buffer: &mut [u8],
) -> Outcome<()> {
    while let Ok((count, from)) = socket.recv_from(buffer) {
        client.handle_datagram(clock.read().mono, from, &buffer[..count]);
    }
    let now = clock.read().mono;
    client.handle_timeout(now);
    while let Some(event) = client.poll_event() {
        match event {
            Event::Offered { .. } => client.start(now, 0),
            Event::Failed(why) => return Err(why.to_string().into()),
            _ => {}
        }
    }
    while let Some((to, bytes)) = client.poll_transmit(now) {
        socket.send_to(&bytes, to).ok();
    }
    Ok(())
}

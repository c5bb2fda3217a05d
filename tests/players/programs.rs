//! ffmpeg, mpv and VLC as they are installed: each watches an address for a while, and the numbers
//! of the pictures that it showed and the lines that it complained in come back.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use crate::film::{HEIGHT, SQUARE, WIDTH, number};

/// The user and the group "nobody": VLC refuses to be root.
const NOBODY: u32 = 65534;
/// How much longer than it watches a player may live.
const GRACE: Duration = Duration::from_secs(45);
const STRIP: usize = WIDTH * SQUARE;

/// What a player left behind.
pub(crate) struct Watched {
    pub(crate) player: &'static str,
    pub(crate) path: &'static str,
    /// The numbers of the pictures, in the order in which they were shown.
    pub(crate) numbers: Vec<u32>,
    /// Lines of its log that tell of a fault.
    pub(crate) complaints: Vec<String>,
}

/// What somebody watches.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) url: String,
    pub(crate) path: &'static str,
    pub(crate) seconds: u32,
    /// A directory of its own.
    pub(crate) directory: PathBuf,
}

impl Seat {
    fn log(&self) -> (PathBuf, File) {
        let path = self.directory.join("log");
        let file = File::create(&path).expect("a log");
        (path, file)
    }

    fn done(
        &self,
        player: &'static str,
        numbers: Vec<u32>,
        log: &Path,
        fault: fn(&str) -> bool,
    ) -> Watched {
        let log = String::from_utf8_lossy(&fs::read(log).expect("a log")).into_owned();
        let faults = log.lines().map(str::trim).filter(|line| !line.is_empty() && fault(line));
        let complaints = faults.map(str::to_owned).collect();
        Watched { player, path: self.path, numbers, complaints }
    }
}

/// ffmpeg decodes pictures and sounds as they come.
pub(crate) fn ffmpeg(seat: &Seat) -> Watched {
    let (log, file) = seat.log();
    let seconds = seat.seconds.to_string();
    let crop = format!("crop={WIDTH}:{SQUARE}:0:0");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-v", "warning", "-t", &seconds, "-i", &seat.url]);
    command.args(["-map", "0:v", "-vf", &crop, "-vsync", "passthrough", "-f", "rawvideo"]);
    command.args(["-pix_fmt", "gray", "-", "-map", "0:a", "-f", "null", "-"]);
    let mut child = Watcher::start(command.stdout(Stdio::piped()).stderr(file), seat);
    let pictures = child.0.stdout.take().expect("it was piped");
    let numbers = thread::spawn(move || strips(pictures));
    child.end(seat);
    seat.done("ffmpeg", numbers.join().expect("a reader"), &log, |line| {
        // ffmpeg asks for the init segment again with each playlist.
        let harmless = ["-vsync is deprecated", "duplicated MOOV", "Last message repeated"];
        !harmless.iter().any(|part| line.contains(part))
    })
}

fn strips(pictures: ChildStdout) -> Vec<u32> {
    let mut pictures = BufReader::with_capacity(STRIP * 8, pictures);
    let (mut numbers, mut strip) = (Vec::new(), vec![0; STRIP]);
    while pictures.read_exact(&mut strip).is_ok() {
        numbers.push(number(&strip));
    }
    numbers
}

/// mpv shows each picture by writing a file.
pub(crate) fn mpv(seat: &Seat) -> Watched {
    let (log, file) = seat.log();
    let pictures = seat.directory.join("pictures");
    let mut command = Command::new("mpv");
    // Not `--length`: it takes mp4 to begin at 0.
    let frames = format!("--frames={}", seat.seconds * 25);
    // `cplayer` says when the machine is slow.
    command.args(["--no-config", "--terminal=yes", "--msg-level=all=warn,cplayer=error"]);
    command.args(["--ao=null", &frames]);
    command.args(["--vo=image", "--vo-image-format=jpg"]);
    command.arg(format!("--vo-image-outdir={}", pictures.display()));
    command.arg(format!("--vf=crop={WIDTH}:{SQUARE}:0:0")).arg(&seat.url);
    let errors = file.try_clone().expect("a second handle");
    Watcher::start(command.stdout(file).stderr(errors), seat).end(seat);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(pictures.join("%08d.jpg"));
    command.args(["-f", "rawvideo", "-pix_fmt", "gray", "-"]).stdout(Stdio::piped());
    let mut child = command.stdin(Stdio::null()).spawn().expect("ffmpeg runs");
    let numbers = strips(child.stdout.take().expect("it was piped"));
    child.wait().expect("our child");
    seat.done("mpv", numbers, &log, |line| !line.contains("duplicated MOOV"))
}

/// VLC shows pictures by writing them into a pipe, in time, and plays the sound to nobody.
pub(crate) fn vlc(seat: &Seat) -> Watched {
    let (log, file) = seat.log();
    fs::set_permissions(&seat.directory, fs::Permissions::from_mode(0o777)).expect("ours");
    let pipe = seat.directory.join("pictures");
    let made = Command::new("mkfifo").args(["-m", "666"]).arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let pipe = Pipe::open(&pipe, Arc::clone(&over));
        thread::spawn(move || whole_pictures(pipe))
    };
    let mut command = Command::new("cvlc");
    command.args(["--intf", "dummy", "-v", "--no-color", "--vout", "yuv", "--aout", "adummy"]);
    command.arg(format!("--yuv-file={}", pipe.display())).arg("--yuv-yuv4mpeg2");
    command.args(["--no-drop-late-frames", "--no-skip-frames"]);
    // Not `--run-time`: it takes mp4 to begin at 0.
    command.arg(&seat.url).arg("vlc://quit");
    command.env("HOME", &seat.directory).env_remove("XDG_RUNTIME_DIR");
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let errors = file.try_clone().expect("a second handle");
    let vlc = Watcher::start(command.stdout(file).stderr(errors), seat);
    thread::sleep(Duration::from_secs(seat.seconds.into()));
    vlc.ask_to_end();
    vlc.end(seat);
    over.store(true, Ordering::Release);
    seat.done("VLC", reader.join().expect("a reader"), &log, is_fault_of_vlc)
}

/// VLC tells much of the desktop that is not there; these are the words of what decodes.
fn is_fault_of_vlc(line: &str) -> bool {
    let parts = ["avcodec", "faad", "demux", "packetizer", " ts ", " mp4 ", " mkv ", "adaptive"];
    // What it says of every endless file, also of those that ffmpeg makes; and of AAC's beginning.
    let harmless = [
        "decoded zero sample",
        "cannot find any cluster or chapter",
        "no chunk defined",
        "STTS table of 0 entries",
        "doesn't look interleaved",
    ];
    let told = line.contains(" error: ") || line.contains(" warning: ");
    let said = |words: &[&str]| words.iter().any(|part| line.contains(part));
    told && said(&parts) && !said(&harmless)
}

/// A named pipe that whoever writes may open and close more than once, as VLC does: it ends only
/// when it is empty and somebody says that all is over.
struct Pipe {
    file: File,
    over: Arc<AtomicBool>,
}

impl Pipe {
    fn open(path: &Path, over: Arc<AtomicBool>) -> Self {
        let mut options = File::options();
        // With a writer of its own it never sees an end.
        options.read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        Self { file: options.open(path).expect("a pipe"), over }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let over = self.over.load(Ordering::Acquire);
            match self.file.read(buffer) {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock && over => return Ok(0),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(5));
                }
                read => return read,
            }
        }
    }
}

/// Pictures as YUV4MPEG2 has them; a header comes with each beginning.
fn whole_pictures(pipe: Pipe) -> Vec<u32> {
    let mut pictures = BufReader::with_capacity(1 << 18, pipe);
    let (mut numbers, mut line) = (Vec::new(), Vec::new());
    let mut picture = vec![0; WIDTH * HEIGHT * 3 / 2];
    while pictures.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        if line.starts_with(b"FRAME") && pictures.read_exact(&mut picture).is_ok() {
            numbers.push(number(&picture));
        }
        line.clear();
    }
    numbers
}

/// A player that does not outlive its test.
struct Watcher(Child);

impl Watcher {
    fn start(command: &mut Command, seat: &Seat) -> Self {
        command.stdin(Stdio::null()).current_dir(&seat.directory);
        Self(command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}")))
    }

    fn ask_to_end(&self) {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.is_ok_and(|status| status.success()), "it had ended before");
    }

    /// Waits until it has ended by itself, and ends it when it does not.
    fn end(mut self, seat: &Seat) {
        let deadline = Instant::now() + Duration::from_secs(u64::from(seat.seconds)) + GRACE;
        while self.0.try_wait().expect("our child").is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

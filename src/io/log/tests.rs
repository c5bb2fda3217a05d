//! The log against a syslog and a standard error output made for each test.

#![expect(clippy::disallowed_methods, reason = "a test makes its own files")]

use std::fs;
use std::io::{PipeReader, Read as _, pipe};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::base::time::Wall;

/// 2026-11-20T23:25:11.123Z, some time after the system's start.
const START: Now = Now { mono: Mono(5_000_000_000), wall: Wall(1_795_217_111_123_000_000) };

fn later(by: Duration) -> Now {
    Now { mono: START.mono.after(by), wall: START.wall + by }
}

struct Stage {
    dir: TempDir,
    stderr: PipeReader,
}

impl Stage {
    fn new() -> (Self, OwnedFd) {
        let (stderr, writer) = pipe().unwrap();
        (Self { dir: tempfile::tempdir().unwrap(), stderr }, writer.into())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn syslog(&self) -> UnixDatagram {
        let socket = UnixDatagram::bind(self.path()).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn log(&self, level: Level, target: LogTarget, writer: OwnedFd) -> Log {
        let stderr = Stderr::over(writer, None);
        Log::over(level, target, ("vidstreamd", 4711), (&self.path(), stderr))
    }

    /// All that reached the standard error output; ends the log, whose end of the pipe is closed.
    fn stderr(mut self, log: Log) -> String {
        drop(log);
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

/// A datagram without its time, or nothing.
fn heard(syslog: &UnixDatagram) -> Option<String> {
    let mut bytes = [0; 4096];
    let len = syslog.recv(&mut bytes).ok()?;
    let line = String::from_utf8(bytes[..len].to_vec()).unwrap();
    let (priority, dated) = line.split_once('>').unwrap();
    let (date, text) = dated.split_at("Nov 20 23:25:11 ".len());
    assert!(date.ends_with(' ') && date.matches(':').count() == 2, "{line}");
    Some(format!("{priority}>{text}"))
}

#[test]
fn syslog_gets_each_level_with_its_severity() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Debug, LogTarget::Auto, writer);
    log.started();
    log.write(START, Level::Error, "a disk is full");
    log.write(START, Level::Warn, "a block is missing");
    log.write(START, Level::Info, "ready");
    log.write(START, Level::Debug, "one byte read");
    assert_eq!(heard(&syslog).unwrap(), "<27>vidstreamd[4711]: a disk is full");
    assert_eq!(heard(&syslog).unwrap(), "<28>vidstreamd[4711]: a block is missing");
    assert_eq!(heard(&syslog).unwrap(), "<30>vidstreamd[4711]: ready");
    assert_eq!(heard(&syslog).unwrap(), "<31>vidstreamd[4711]: one byte read");
    assert_eq!(stage.stderr(log), "", "a pipe is no terminal");
}

#[test]
fn without_a_syslog_lines_go_to_stderr_with_their_time() {
    let (stage, writer) = Stage::new();
    let mut log = stage.log(Level::Info, LogTarget::Auto, writer);
    log.write(START, Level::Info, "ready");
    log.write(START, Level::Debug, "not this");
    log.set_level(Level::Debug);
    log.write(later(Duration::from_secs(1)), Level::Debug, "but this");
    assert_eq!((log.dropped(), log.deadline()), (0, None));
    let text = stage.stderr(log);
    assert_eq!(
        text,
        "2026-11-20T23:25:11.123Z info ready\n2026-11-20T23:25:12.123Z debug but this\n"
    );
}

#[test]
fn the_journal_behind_stderr_is_told_the_severity() {
    let (ours, mut journal) = UnixStream::pair().unwrap();
    let stat = nix::sys::stat::fstat(ours.as_fd()).unwrap();
    let named = format!("{}:{}", stat.st_dev, stat.st_ino);
    let stderr = Stderr::over(ours.into(), Some(&named));
    let nowhere = Path::new("/nonexistent/log");
    let mut log = Log::over(Level::Info, LogTarget::Auto, ("vidstreamd", 1), (nowhere, stderr));
    log.write(START, Level::Warn, "a block is missing");
    log.write(START, Level::Info, "ready");
    drop(log);
    let mut text = String::new();
    journal.read_to_string(&mut text).unwrap();
    assert_eq!(text, "<4>a block is missing\n<6>ready\n");
}

#[test]
fn errors_of_the_start_also_reach_stderr() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Info, LogTarget::Syslog, writer);
    log.write(START, Level::Error, "port 6060 is taken");
    log.write(START, Level::Info, "listening");
    log.started();
    log.write(START, Level::Error, "a disk is full");
    assert_eq!(std::iter::from_fn(|| heard(&syslog)).count(), 3);
    assert_eq!(stage.stderr(log), "2026-11-20T23:25:11.123Z error port 6060 is taken\n");
}

#[test]
fn a_full_syslog_delays_nobody_and_its_losses_are_told_in_their_place() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Info, LogTarget::Syslog, writer);
    log.started();
    let mut written = 0;
    while log.dropped() < 17 {
        log.write(START, Level::Info, &format!("line {written}"));
        written += 1;
        assert!(written < 10_000, "nothing was ever dropped");
    }
    assert!(written > limits::LOG_WAITING_MAX + 17, "{written}");
    // As the reader takes lines, the queue follows, then the count, then what is new.
    let mut lines = Vec::new();
    let mut now = START;
    while let Some(deadline) = log.deadline() {
        lines.extend(std::iter::from_fn(|| heard(&syslog)));
        now.mono = deadline;
        log.flush(now);
        assert!(lines.len() < written, "more lines came out than went in");
    }
    log.write(now, Level::Info, "after");
    lines.extend(std::iter::from_fn(|| heard(&syslog)));
    let kept = written - 17;
    assert_eq!(lines.len(), kept + 2);
    for (i, line) in lines[..kept].iter().enumerate() {
        assert_eq!(line, &format!("<30>vidstreamd[4711]: line {i}"));
    }
    assert_eq!(lines[kept], "<28>vidstreamd[4711]: 17 lines were dropped");
    assert_eq!(lines[kept + 1], "<30>vidstreamd[4711]: after");
    assert_eq!((log.dropped(), log.deadline()), (17, None));
}

#[test]
fn a_syslog_that_was_restarted_is_opened_again_once_a_second() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Info, LogTarget::Auto, writer);
    log.write(START, Level::Info, "before");
    assert!(heard(&syslog).is_some());
    drop(syslog);
    fs::remove_file(stage.path()).unwrap();
    log.write(START, Level::Info, "while it is away");
    assert_eq!(log.deadline(), Some(START.mono.after(limits::LOG_RETRY_MAX)));

    let syslog = stage.syslog();
    log.write(later(Duration::from_millis(999)), Level::Info, "too early to try");
    assert!(heard(&syslog).is_none());
    log.flush(later(Duration::from_secs(1)));
    assert_eq!(heard(&syslog).unwrap(), "<30>vidstreamd[4711]: while it is away");
    assert_eq!(heard(&syslog).unwrap(), "<30>vidstreamd[4711]: too early to try");
    assert_eq!((log.dropped(), log.deadline()), (0, None));

    // Back before we noticed: not a line is late.
    drop(syslog);
    fs::remove_file(stage.path()).unwrap();
    let syslog = stage.syslog();
    log.write(later(Duration::from_secs(2)), Level::Info, "at once");
    assert_eq!(heard(&syslog).unwrap(), "<30>vidstreamd[4711]: at once");
}

#[test]
fn a_pipe_that_nobody_reads_delays_nobody() {
    for reopens in [true, false] {
        let (mut stage, writer) = Stage::new();
        let stderr = if reopens { Stderr::over(writer, None) } else { Stderr::asked(writer) };
        let (names, path) = (("vidstreamd", 1), stage.path());
        let mut log = Log::over(Level::Info, LogTarget::Stderr, names, (&path, stderr));
        let text = "x".repeat(1000);
        let mut written = 0;
        while log.dropped() == 0 {
            log.write(START, Level::Info, &text);
            written += 1;
            assert!(written < 100_000, "nothing was ever dropped");
        }
        let mut first = vec![0; 40_000];
        stage.stderr.read_exact(&mut first).unwrap();
        let mut now = START;
        while let Some(deadline) = log.deadline() {
            now.mono = deadline;
            log.flush(now);
            if log.deadline().is_some() {
                let mut page = [0; 4096];
                let got = stage.stderr.read(&mut page).unwrap();
                first.extend_from_slice(&page[..got]);
            }
        }
        let text = String::from_utf8(first).unwrap() + &stage.stderr(log);
        assert_eq!(text.lines().count(), written, "all but one, and the word about that one");
        assert!(text.ends_with("warn 1 line was dropped\n"));
    }
}

#[test]
fn a_reader_that_has_gone_is_counted() {
    let (stage, writer) = Stage::new();
    let mut log = stage.log(Level::Info, LogTarget::Stderr, writer);
    drop(stage);
    for i in 0..=limits::LOG_WAITING_MAX {
        log.write(START, Level::Info, &format!("line {i}"));
    }
    assert_eq!(log.dropped(), 1);
    log.finish(START);
    assert_eq!(log.deadline(), Some(START.mono.after(limits::LOG_RETRY_MAX)));
}

#[test]
fn the_last_lines_are_given_a_moment() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Info, LogTarget::Syslog, writer);
    let mut written = 0;
    while log.deadline().is_none() {
        log.write(START, Level::Info, "a line");
        written += 1;
        assert!(written < 10_000, "the socket never filled");
    }
    syslog.set_nonblocking(false).unwrap();
    syslog.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (0..written).all(|_| heard(&syslog).is_some()));
        log.finish(START);
        assert!(reader.join().unwrap());
    });
    assert_eq!((log.dropped(), log.deadline()), (0, None));
}

#[test]
fn a_reload_moves_the_log() {
    let (stage, writer) = Stage::new();
    let syslog = stage.syslog();
    let mut log = stage.log(Level::Info, LogTarget::Stderr, writer);
    log.write(START, Level::Info, "one");
    log.set_target(START, LogTarget::Syslog);
    log.write(START, Level::Info, "two");
    log.set_target(START, LogTarget::Stderr);
    log.write(START, Level::Info, "three");
    assert_eq!(heard(&syslog).unwrap(), "<30>vidstreamd[4711]: two");
    assert!(heard(&syslog).is_none());
    let text = stage.stderr(log);
    assert!(text.contains("one") && text.contains("three") && !text.contains("two"), "{text}");
}

#[test]
fn a_reload_that_keeps_the_target_loses_nothing_that_waits() {
    for target in [LogTarget::Syslog, LogTarget::Auto] {
        let (stage, writer) = Stage::new();
        let syslog = stage.syslog();
        let mut log = stage.log(Level::Info, target, writer);
        let mut written = 0;
        while log.deadline().is_none() {
            log.write(START, Level::Info, &format!("line {written}"));
            written += 1;
            assert!(written < 10_000, "the socket never filled");
        }
        log.set_target(START, target);
        let mut heard_lines = std::iter::from_fn(|| heard(&syslog)).count();
        log.flush(later(Duration::from_secs(1)));
        heard_lines += std::iter::from_fn(|| heard(&syslog)).count();
        assert_eq!((heard_lines, log.dropped(), stage.stderr(log).as_str()), (written, 0, ""));
    }
}

#[test]
fn a_reload_that_leaves_a_dead_syslog_says_what_that_cost() {
    for target in [LogTarget::Stderr, LogTarget::Auto] {
        let (stage, writer) = Stage::new();
        let syslog = stage.syslog();
        let mut log = stage.log(Level::Info, LogTarget::Syslog, writer);
        drop(syslog);
        fs::remove_file(stage.path()).unwrap();
        log.write(START, Level::Info, "one");
        log.write(START, Level::Info, "two");
        log.set_target(START, target);
        log.write(START, Level::Info, "three");
        assert_eq!(log.dropped(), 2);
        let text = stage.stderr(log);
        let texts: Vec<&str> =
            text.lines().filter_map(|l| l.split_once(' ')).map(|l| l.1).collect();
        assert_eq!(texts, ["warn 2 lines were dropped", "info three"]);
    }
}

#[test]
fn a_line_stays_a_line_of_bounded_length() {
    let mut line = String::new();
    tidy("one\ntwo\u{1b}[31m\u{85}", &mut line);
    assert_eq!(line, "one?two?[31m?");
    tidy(&"\u{fc}".repeat(limits::LOG_LINE_BYTES_MAX), &mut line);
    assert!(line.len() <= limits::LOG_LINE_BYTES_MAX && line.ends_with("\u{fc}…"), "{line}");
    let whole = "x".repeat(limits::LOG_LINE_BYTES_MAX);
    tidy(&whole, &mut line);
    assert_eq!(line, whole);
}

//! `vidstream files get`: one file, to disk, to a player, or both, with its progress.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::port::{Come, Port};
use super::{Asked, Failure, Outcome, PLAYER, names, shown, system};
use vidstreamd::base::limits;
use vidstreamd::base::time::Mono;
use vidstreamd::files::client::{Client, Event, Failure as Why, Figures, Marks};
use vidstreamd::files::wire::{self, Verdict};
use vidstreamd::flags::exit;
use vidstreamd::io::feed::{Feed, Taker};
use vidstreamd::io::fetch::Fetch;
use vidstreamd::io::part::Part;

/// The exit code of a program that Ctrl+C has ended.
pub(super) const INTERRUPTED: u8 = 130;
/// Bytes that are read again in one turn to be hashed: more than come in one, to catch up.
const HASHED: u64 = 8 << 20;
/// How often somebody who does not take anything is asked.
const FEED_AGAIN: Duration = Duration::from_millis(5);
/// Between two pictures of the progress.
const PICTURE_EVERY: Duration = Duration::from_millis(100);
/// Calls for datagrams in a row before anything else has its turn.
const CALLS: usize = 2;
/// What is buffered before play begins, of what is kept.
const LOW_PART: u32 = 4;
const BUFFER: Duration = Duration::from_secs(8);

/// How it went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Whole,
    Interrupted,
}

struct Get<'a> {
    asked: &'a Asked,
    server: SocketAddr,
    number: usize,
    fetch: Fetch,
    client: Client,
    /// What the server has: bytes and tag.
    offered: Option<(u64, u64)>,
    /// Where the client of now began, and the figures of those before it.
    there: u64,
    before: Figures,
    target: Option<PathBuf>,
    part: Option<Part>,
    feed: Option<Feed>,
    /// Bytes that the player has.
    fed: u64,
    /// Where other players read it.
    port: Option<Port>,
    /// Whether server and file system know that it is whole, while somebody plays it still.
    settled: bool,
    resumed: u64,
    original: bool,
    complete: Option<(u64, Option<[u8; 32]>)>,
    began: Mono,
    bar: ProgressBar,
    pictured: Mono,
    scratch: Vec<u8>,
}

/// Gets it.
pub(super) fn run(asked: &Asked, server: SocketAddr, number: usize) -> Outcome {
    let mut fetch = Fetch::open(server, None).map_err(|e| system(&e))?;
    let taker = taker(asked);
    if taker.is_some() && asked.http.is_some() {
        return Err((exit::USAGE, "--http: not with another player, nor with a pipe".into()));
    }
    let port = asked.http.map(|at| listen(&fetch, at)).transpose()?;
    let plays = taker.is_some() || port.is_some();
    let target = match &asked.output {
        Some(path) if path == Path::new("-") || is_device(path) => None,
        Some(path) => Some(path.clone()),
        None if plays => None,
        None => Some(own_name(&mut fetch, server, number)?),
    };
    let feed = taker.as_ref().map(Feed::open).transpose();
    let feed = feed.map_err(|e| (exit::UNAVAILABLE, format!("the player: {e}")))?;
    let began = fetch.now();
    let client = Client::get(began, server, number, nonce(), marks(asked, plays));
    let mut get = Get {
        asked,
        server,
        number,
        fetch,
        client,
        offered: None,
        there: 0,
        before: Figures::default(),
        target,
        part: None,
        feed,
        fed: 0,
        port,
        settled: false,
        resumed: 0,
        original: false,
        complete: None,
        began,
        bar: bar(asked),
        pictured: began,
        scratch: vec![0; limits::FILES_FEED_BYTES],
    };
    let end = get.receive()?;
    get.finish(end)
}

/// Opens the port, and says where it is: the system may have chosen it.
fn listen(fetch: &Fetch, address: SocketAddr) -> Result<Port, Failure> {
    let opened = Port::listen(fetch, address);
    let port = opened.map_err(|e| (exit::UNAVAILABLE, format!("--http {address}: {e}")))?;
    writeln!(io::stderr(), "vidstream: play http://{}/", port.address()).ok();
    Ok(port)
}

/// Whether it is there and no file that another could take the place of, such as `/dev/null`.
fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|facts| !facts.is_file() && !facts.is_dir())
}

/// Whether nothing is to be kept: then there is no reader whose pace counts.
fn is_null(path: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|facts| facts.rdev());
    device(path).is_ok_and(|own| device(Path::new("/dev/null")).is_ok_and(|null| own == null))
}

/// Who plays, if somebody does.
fn taker(asked: &Asked) -> Option<Taker> {
    if let Some(path) = asked.output.as_ref().filter(|path| is_device(path) && !is_null(path)) {
        return Some(Taker::Device(path.clone()));
    }
    if asked.output.as_deref() == Some(Path::new("-")) {
        return Some(Taker::Stdout);
    }
    let player = asked.player.clone().unwrap_or_else(|| PLAYER.to_owned());
    asked.play.then_some(Taker::Player(player))
}

fn marks(asked: &Asked, real: bool) -> Option<Marks> {
    let high = asked.buffer.unwrap_or(BUFFER);
    let marks = Marks { low: high / LOW_PART, high, rate: asked.rate, real };
    (real || asked.rate.is_some()).then_some(marks)
}

/// A number that nobody can guess.
fn nonce() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// The name that the server lists the file under, if that is a name.
fn own_name(fetch: &mut Fetch, server: SocketAddr, number: usize) -> Result<PathBuf, Failure> {
    let names = names(fetch, server)?;
    let Some(name) = names.get(number) else {
        let why =
            format!("{server} lists {} files, from 0; there is no file {number}", names.len());
        return Err((exit::NOINPUT, why));
    };
    let good = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if good {
        Ok(name.into())
    } else {
        Err((
            exit::NOINPUT,
            format!("\"{}\": no good name for a file; name another with -o", shown(name)),
        ))
    }
}

fn bar(asked: &Asked) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let hidden = asked.quiet || asked.json;
    bar.set_draw_target(if hidden {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    });
    let style = "{wide_bar} {bytes}/{total_bytes} {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is written here"));
    bar
}

impl Get<'_> {
    fn disk(&self, error: &io::Error) -> Failure {
        let name = self.target.as_ref().map_or("the buffer".into(), |path| {
            vidstreamd::base::text::escaped(path.as_os_str().as_encoded_bytes())
        });
        (exit::CANTCREAT, format!("{name}: {error}"))
    }

    /// Until all is there, or the person wants no more.
    fn receive(&mut self) -> Result<End, Failure> {
        loop {
            self.listen()?;
            if self.fetch.is_stopped() {
                return Ok(if self.settled { End::Whole } else { End::Interrupted });
            }
            let fed = self.feed()?;
            let more = self.serve()?;
            let hashed = self.hash()?;
            if let (Some((size, hash)), true) = (self.complete, fed && hashed)
                && self.is_over(size, hash)?
            {
                return Ok(End::Whole);
            }
            self.send();
            let now = self.fetch.now();
            let soon = (!hashed || more).then_some(now);
            let again = (!fed).then(|| now.after(FEED_AGAIN));
            let port = self.port.as_ref().and_then(Port::poll_timeout);
            let timers = [self.client.poll_timeout(), soon, again, port];
            let until = timers.into_iter().flatten().min();
            self.fetch.wait(until).map_err(|e| system(&e))?;
            self.take()?;
            let now = self.fetch.now();
            self.client.handle_timeout(now);
            self.picture(now);
        }
    }

    /// Sends what the client wants sent.
    fn send(&mut self) {
        let now = self.fetch.now();
        while let Some((to, bytes)) = self.client.poll_transmit(now) {
            self.fetch.send(to, &bytes);
        }
    }

    /// Takes datagrams: their bytes go from the kernel's buffer to the file in one call for many.
    fn take(&mut self) -> Result<(), Failure> {
        for _ in 0..CALLS {
            let (now, client) = (self.fetch.now(), &mut self.client);
            let mut pieces: Vec<(u64, &[u8])> = Vec::with_capacity(64);
            let heard = self.fetch.receive(|from, bytes| {
                if let Some(placed) = client.handle_datagram(now, from, bytes) {
                    pieces.push((placed.offset, &bytes[placed.at..placed.at + placed.len]));
                }
            });
            let heard = heard.map_err(|e| system(&e))?;
            if !pieces.is_empty() && self.part.is_none() {
                // An original begins without being asked whether its file is here already.
                self.original = true;
                let opened = nameless_or(self.target.as_deref(), 0);
                let cleared = opened.and_then(|(mut part, _)| part.clear().map(|()| part));
                self.part = Some(cleared.map_err(|e| (exit::CANTCREAT, e.to_string()))?);
            }
            let written = self.part.as_mut().map_or(Ok(()), |part| part.write(&pieces));
            drop(pieces);
            written.map_err(|e| self.disk(&e))?;
            if !heard {
                break;
            }
            self.send();
        }
        Ok(())
    }

    /// Does what the client has found out.
    fn listen(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Offered { size, tag } => self.start(size, tag)?,
                Event::Original => self.begin_original()?,
                Event::Kept { offset, bytes } => {
                    let written =
                        self.part.as_mut().map_or(Ok(()), |p| p.write(&[(offset, &bytes)]));
                    written.map_err(|e| self.disk(&e))?;
                }
                Event::Complete { size, hash } => self.complete = Some((size, hash)),
                Event::Failed(why) if self.may_ask_again(&why) => self.ask_again(),
                Event::Failed(why) => return Err(self.give_up(why)),
                Event::Listed(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the server may come back: it has gone, and has brought something before.
    fn may_ask_again(&self, why: &Why) -> bool {
        let gone = matches!(why, Why::Silent | Why::Server(wire::Why::Stopping));
        gone && !self.original && self.client.figures().contiguous > self.there
    }

    /// Asks for the rest.
    fn ask_again(&mut self) {
        let now = self.fetch.now();
        (self.there, self.before) = (self.there(), self.figures());
        let marks = marks(self.asked, self.feed.is_some() || self.port.is_some());
        self.client = Client::get(now, self.server, self.number, nonce(), marks);
    }

    fn give_up(&mut self, why: Why) -> Failure {
        // Who answered before has gone, and not "is the port right?".
        let gone = why == Why::NoAnswer && self.offered.is_some();
        let why = if gone { Why::Silent } else { why };
        let there = self.there();
        self.bar.finish_and_clear();
        match self.part.take().map_or(Ok(()), |part| part.interrupt(there)) {
            Ok(()) => (exit::UNAVAILABLE, format!("{}: {why}", self.server)),
            Err(error) => self.disk(&error),
        }
    }

    /// Everything before this is there.
    fn there(&self) -> u64 {
        self.client.figures().contiguous.max(self.there)
    }

    /// Figures of all clients together.
    fn figures(&self) -> Figures {
        let (mut figures, before) = (self.client.figures(), &self.before);
        figures.contiguous = self.there();
        figures.come += before.come;
        figures.datagrams += before.datagrams;
        figures.duplicates += before.duplicates;
        figures.sent += before.sent;
        figures.stalls += before.stalls;
        figures
    }

    fn start(&mut self, size: u64, tag: u64) -> Result<(), Failure> {
        if let Some(offered) = self.offered {
            if offered != (size, tag) {
                return Err(self.give_up(Why::Server(wire::Why::Changed)));
            }
            self.client.start(self.fetch.now(), self.there);
            return Ok(());
        }
        let opened = nameless_or(self.target.as_deref(), tag).map_err(|e| self.disk(&e))?;
        let (mut part, mut from) = opened;
        if from > size {
            part.clear().map_err(|e| self.disk(&e))?;
            from = 0;
        }
        (self.part, self.resumed) = (Some(part), from);
        (self.offered, self.there) = (Some((size, tag)), from);
        self.bar.set_length(size);
        self.client.start(self.fetch.now(), from);
        Ok(())
    }

    /// It begins at the beginning, whatever there is.
    fn begin_original(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.original, true) {
            let opened = nameless_or(self.target.as_deref(), 0);
            let cleared = opened.and_then(|(mut part, _)| part.clear().map(|()| part));
            self.part = Some(cleared.map_err(|e| self.disk(&e))?);
        }
        Ok(())
    }

    /// Gives the player what it takes; whether there is nothing left for it just now.
    fn feed(&mut self) -> Result<bool, Failure> {
        let there = self.there();
        let (Some(feed), Some(part)) = (&mut self.feed, &self.part) else { return Ok(true) };
        // No more in one turn than what datagrams would mind.
        let until = there.min(self.fed + (1 << 20));
        while self.fed < until && feed.is_ready() {
            let len = usize::try_from(until - self.fed).unwrap_or(usize::MAX);
            let bytes = &mut self.scratch[..len.min(limits::FILES_FEED_BYTES)];
            part.read(self.fed, bytes).map_err(|e| (exit::IOERR, e.to_string()))?;
            match feed.give(bytes) {
                Ok(count) => self.fed += count as u64,
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                    self.client.finish(Verdict::Left);
                    self.send();
                    return Err((exit::OK, "the player has ended".into()));
                }
                Err(e) => return Err((exit::IOERR, format!("the player: {e}"))),
            }
        }
        self.client.played(self.fetch.now(), self.fed);
        Ok(self.fed >= there)
    }

    /// Serves those who read it over HTTP; whether that could go on at once.
    fn serve(&mut self) -> Result<bool, Failure> {
        let (there, now) = (self.there(), self.fetch.both_clocks());
        let size = self.offered.map(|(size, _)| size).or(self.complete.map(|(size, _)| size));
        let Some(port) = &mut self.port else { return Ok(false) };
        let tag = self.offered.map_or(0, |(_, tag)| tag);
        let come = self.part.as_ref().map(|part| Come { part, size, there, tag });
        let more = port.turn(now, come);
        let more = more.map_err(|e| (exit::IOERR, e.to_string()))?;
        self.client.played(now.mono, port.position());
        Ok(more)
    }

    /// Whether nobody wants more of a file that is whole. An original's end is answered again for a
    /// while, and a player plays to its end.
    fn is_over(&mut self, size: u64, hash: Option<[u8; 32]>) -> Result<bool, Failure> {
        let now = self.fetch.now();
        if !self.client.is_over() && self.original || self.feed.is_some() && self.fed < size {
            return Ok(false);
        }
        let Some(port) = &self.port else { return Ok(true) };
        let over = port.is_over(now);
        if over || self.settled {
            return Ok(over);
        }
        if hash.is_some() && hash != self.part.as_ref().map(Part::digest) {
            return Ok(true);
        }
        // Somebody may watch it for hours; neither the server nor the file's name waits for that.
        self.settled = true;
        self.client.finish(Verdict::Whole);
        let kept = self.part.as_mut().map_or(Ok(()), Part::keep);
        kept.map_err(|e| self.disk(&e))?;
        Ok(false)
    }

    /// Hashes what has come; whether that is all of it.
    fn hash(&mut self) -> Result<bool, Failure> {
        let there = self.there();
        let Some(part) = &mut self.part else { return Ok(self.complete.is_some()) };
        if self.original {
            return Ok(true);
        }
        let hashed = part.hash(there, HASHED);
        hashed.map_err(|e| self.disk(&e))
    }

    fn picture(&mut self, now: Mono) {
        if now.since(self.pictured) < PICTURE_EVERY {
            return;
        }
        self.pictured = now;
        let figures = self.figures();
        self.bar.set_position(figures.contiguous);
        if self.original {
            self.bar.set_length(figures.contiguous);
        }
        let mut text = format!(
            "{:.1} Mbit/s, {:.1} % lost, {:.1} ms",
            mbits(figures.come, now.since(self.began)),
            lost_percent(&figures),
            figures.rtt.as_secs_f64() * 1e3
        );
        if let Some(buffered) = figures.buffered {
            let buffered = buffered.as_secs_f64();
            write!(text, ", {buffered:.1} s buffered").expect("a String takes every write");
        }
        self.bar.set_message(text);
    }

    fn finish(mut self, end: End) -> Outcome {
        self.bar.finish_and_clear();
        let figures = self.figures();
        let took = self.fetch.now().since(self.began);
        let part = self.part.take();
        let digest = part.as_ref().map(Part::digest);
        let hash = self.complete.and_then(|(_, hash)| hash);
        let good = hash.is_none() || hash == digest;
        let verdict = match end {
            End::Interrupted => Verdict::Left,
            End::Whole if good => Verdict::Whole,
            End::Whole => Verdict::Differs,
        };
        if !self.settled {
            self.client.finish(verdict);
            self.send();
        }
        let done = match (part, end) {
            (None, _) => Ok(()),
            (Some(part), End::Interrupted) => part.interrupt(figures.contiguous),
            (Some(mut part), End::Whole) if good => part.keep(),
            (Some(part), End::Whole) => part.discard(),
        };
        done.map_err(|e| self.disk(&e))?;
        self.tell(end, &figures, took, good)?;
        match (end, good) {
            (End::Interrupted, _) => {
                Err((INTERRUPTED, "interrupted; the same command goes on from here".into()))
            }
            (End::Whole, true) => {
                self.feed.take().into_iter().for_each(Feed::finish);
                Ok(())
            }
            (End::Whole, false) => {
                let why = "the hash differs: the file changed on the server; get it again";
                Err((exit::IOERR, why.into()))
            }
        }
    }

    /// The line at the end.
    fn tell(&self, end: End, figures: &Figures, took: Duration, good: bool) -> Outcome {
        let verified = self.complete.and_then(|(_, hash)| hash).map(|_| good);
        let rate = mbits(figures.come, took);
        if self.asked.json {
            let value = json!({
                "file": self.target.as_ref().map(|path| path.to_string_lossy()),
                "bytes": figures.contiguous,
                "received": figures.come,
                "resumed_from": self.resumed,
                "seconds": took.as_secs_f64(),
                "mbit_s": rate,
                "datagrams": figures.datagrams,
                "sent": figures.sent,
                "lost_percent": lost_percent(figures),
                "duplicates": figures.duplicates,
                "rtt_ms": figures.rtt.as_secs_f64() * 1e3,
                "stalls": figures.stalls,
                "wire": if self.original { "original" } else { "ours" },
                "verified": verified,
                "interrupted": end == End::Interrupted,
            });
            return crate::print(format!("{value}\n").as_bytes());
        }
        let hash = match verified {
            Some(true) => ", hash good",
            Some(false) => ", hash differs",
            None => "",
        };
        let line = format!(
            "{} bytes in {:.2} s, {rate:.1} Mbit/s, {} datagrams, {:.1} % lost, {} twice, \
             round trip {:.1} ms{hash}",
            figures.come,
            took.as_secs_f64(),
            figures.datagrams,
            lost_percent(figures),
            figures.duplicates,
            figures.rtt.as_secs_f64() * 1e3
        );
        // Standard output may be the film.
        writeln!(io::stderr(), "{line}").ok();
        Ok(())
    }
}

/// The file of a target, or one without a name, and up to where it is there.
fn nameless_or(target: Option<&Path>, tag: u64) -> io::Result<(Part, u64)> {
    match target {
        Some(target) => Part::open(target, tag),
        None => Part::nameless().map(|part| (part, 0)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mbits(bytes: u64, took: Duration) -> f64 {
    bytes as f64 * 8e-6 / took.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn lost_percent(figures: &Figures) -> f64 {
    let lost = figures.sent.saturating_sub(figures.datagrams);
    lost as f64 * 100.0 / figures.sent.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_file_may_take_the_place_of_is_no_device() {
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        for path in [file.path(), folder.path(), &folder.path().join("none")] {
            assert!(!is_device(path) && !is_null(path), "{}", path.display());
        }
        for (path, null) in [("/dev/null", true), ("/dev/zero", false)] {
            assert!(is_device(Path::new(path)) && is_null(Path::new(path)) == null, "{path}");
        }
    }
}

//! What is fuzzed: every function that meets bytes of strangers. Each takes any bytes, and holds
//! when it does not panic and keeps what it promises. Run by the fuzz binary and `tests/corpus.rs`.

use std::hint::black_box;
use std::path::PathBuf;

use vidstreamd::base::text::escaped;
use vidstreamd::config::{Config, Environment, Place};
use vidstreamd::container::{self, Block, Clock, Output};
use vidstreamd::{control, events, files, http, jukebox, media, mesh, tv};

/// A target: its name, which is that of its corpus, and what it does.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    ("config", config),
    ("container_mkv", container),
    ("container_mp4", container),
    ("container_ts", container),
    ("control", control),
    ("duration", duration),
    ("events", events),
    ("files", files),
    ("http", http),
    ("index", index),
    ("jukebox_client", jukebox_client),
    ("jukebox_server", jukebox_server),
    ("mesh", mesh),
    ("name", name),
    ("teams", teams),
    ("text", text),
    ("tv", tv),
];

fn config(data: &[u8]) {
    let place = Place {
        file: PathBuf::from("server.toml"),
        directory: PathBuf::from("/srv"),
        environment: Environment::default(),
    };
    if let Err(error) = Config::parse_bytes(data, &place) {
        let shown = error.to_string();
        assert!(!shown.is_empty(), "a fault is told");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(control), "what is shown is escaped: {shown:?}");
    }
}

/// A block of any container: an error that is told, or what every output can be made of.
fn container(data: &[u8]) {
    match container::read(data) {
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.contains(char::is_control), "what is shown is escaped: {shown:?}");
        }
        Ok(block) => outputs(data, &block),
    }
}

fn outputs(data: &[u8], block: &Block) {
    for range in block.frames.iter().flat_map(|f| block.parts(f)).filter_map(|p| p.range()) {
        assert!(range.end <= data.len(), "frames lie in the block");
    }
    let lasts_ns = block.lasts_ns;
    let clock =
        Clock { seq: 7, starts_ns: 1 << 40, lasts_ns, first: true, last: true, stands_in: false };
    let mkv = container::mkv::clusters(block, &clock);
    assert_eq!(mkv.bytes(data).len() as u64, mkv.len());
    if Output::Mp4.takes(block).is_ok() {
        let part = Some(core::time::Duration::from_millis(100));
        let made = container::mp4::fragments(block, &clock, part).expect("it takes the block");
        assert_eq!(made.runs.iter().map(|run| run.bytes).sum::<u64>(), made.pieces.len());
        assert_eq!(made.pieces.bytes(data).len() as u64, made.pieces.len());
        container::mp4::init(block).expect("it takes the block");
    }
    if Output::Ts.takes(block).is_ok() {
        let packets = container::ts::packets(data, block, &clock).expect("it takes the block");
        assert!(packets.chunks(188).all(|packet| packet.len() == 188 && packet[0] == 0x47));
    }
}

fn control(data: &[u8]) {
    for whole in [false, true] {
        if let Err(error) = control::wire::parse(data, whole) {
            assert!(!error.to_string().contains(char::is_control), "what is shown is escaped");
        }
    }
}

/// Bytes as a file.
struct InMemory<'a>(&'a [u8]);

impl media::duration::ReadAt for InMemory<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> usize {
        self.0.read_at(at, into)
    }
}

fn duration(data: &[u8]) {
    black_box(media::duration::duration(&InMemory(data)));
    black_box(media::sniff::sniff(data));
}

fn events(data: &[u8]) {
    if let Err(error) = events::wire::Received::parse(data) {
        assert!(!error.to_string().contains(char::is_control), "what is shown is escaped");
    }
    if let Ok(request) = events::wire::Request::parse(data) {
        assert_eq!(events::wire::Request::parse(request.bytes()), Ok(request));
    }
}

/// What comes to a server's ports and to a client.
fn files(data: &[u8]) {
    use files::wire::{self, Ack, Done, Offer, Request, Start};
    if let Ok(request) = Request::parse(data) {
        assert_eq!(Request::parse(&request.bytes()), Ok(request));
    }
    if let Ok(ack) = Ack::parse(data) {
        let down = ack.ranges.windows(2).all(|w| w[1].1 < w[0].0);
        assert!(down && ack.ranges.iter().all(|(a, b)| a <= b), "runs go down");
        assert_eq!(Ack::parse(&ack.bytes()), Ok(ack));
    }
    if let Ok(offer) = Offer::parse(data) {
        assert_eq!(Offer::parse(&offer.bytes()), Ok(offer));
    }
    black_box((Start::parse(data).is_ok(), Done::parse(data).is_ok()));
    black_box((wire::parse_hash(data).is_ok(), wire::parse_plain_ack(data).is_ok()));
    let now = vidstreamd::base::time::Mono(1);
    let server = "127.0.0.1:50000".parse().expect("an address");
    let mut client = files::client::Client::get(now, server, 0, 1, None);
    for bytes in data.split_inclusive(|b| *b == 0xff) {
        if let Some(placed) = client.handle_datagram(now, server, bytes) {
            assert!(placed.at + placed.len <= bytes.len(), "what is placed has come");
        }
        while let Some(event) = client.poll_event() {
            if let files::client::Event::Offered { .. } = event {
                client.start(now, 0);
            }
        }
        black_box(client.poll_transmit(now));
    }
}

fn http(data: &[u8]) {
    if let Ok(Some((_, used))) = http::wire::parse(data) {
        assert!(used <= data.len(), "a head is within what arrived");
    }
    if let Ok(text) = core::str::from_utf8(data) {
        black_box(http::wire::RangeSpec::parse(text));
        black_box(http::wire::Tag::parse(text));
        black_box(http::wire::parse_date(text));
    }
}

fn index(data: &[u8]) {
    if let Err(error) = media::index::parse(data) {
        assert!(!error.to_string().contains(char::is_control), "what is shown is escaped");
    }
}

/// What a jukebox hears, whole and cut in two: the same requests.
fn jukebox_server(data: &[u8]) {
    let heard = |cut: usize| {
        let (mut requests, mut all) = (jukebox::wire::Requests::default(), Vec::new());
        for part in [&data[..cut], &data[cut..]] {
            requests.push(part);
            while let Ok(Some(asked)) = requests.poll() {
                all.push(asked);
            }
        }
        all
    };
    if data.len() < vidstreamd::base::limits::JUKEBOX_FRAME_BYTES_MAX {
        assert_eq!(heard(0), heard(data.len() / 2), "how the bytes were cut does not matter");
    }
}

/// What a listener hears: no more than came.
fn jukebox_client(data: &[u8]) {
    let mut frames = jukebox::wire::Frames::default();
    for part in data.chunks(1500) {
        frames.push(part);
        while let Ok(Some(reply)) = frames.poll() {
            black_box(reply);
        }
    }
    frames.silence();
    while let Ok(Some(reply)) = frames.poll() {
        black_box(reply);
    }
}

fn teams(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        black_box(events::teams::Teams::parse(text).is_ok());
    }
}

fn mesh(data: &[u8]) {
    match mesh::wire::parse(data) {
        Ok(Some(parsed)) => {
            assert!(parsed.used <= data.len(), "a frame is within what arrived");
            let again = parsed.message.emit();
            let read = mesh::wire::parse(&again).expect("what was read can be said");
            assert_eq!(read.map(|read| read.message), Some(parsed.message));
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().contains(char::is_control), "escaped"),
    }
}

fn name(data: &[u8]) {
    if let Some(safe) = media::name::safe(data) {
        assert!(!safe.contains(['/', '\0']), "a safe name is no path");
        black_box(media::name::parse(safe));
    }
}

fn text(data: &[u8]) {
    assert!(!escaped(data).contains(char::is_control), "nothing reaches a terminal");
}

fn tv(data: &[u8]) {
    if let Some(first) = data.first_chunk()
        && let Some(command) = tv::wire::Command::parse(*first)
    {
        assert_eq!(command.emit(), *first, "a command is its bytes");
    }
    black_box(tv::wire::Reply::parse(data));
    if let Ok(text) = core::str::from_utf8(data) {
        black_box(tv::wire::parse_list(text));
    }
}

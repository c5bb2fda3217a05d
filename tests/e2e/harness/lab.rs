//! A place for one test: its directory, its movies, its callback port, its addresses.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::pulse::{self, stood_still};

/// What every channel of these tests counts from, as the configuration writes it.
pub(crate) const EPOCH: &str = "2026-01-01T00:00:00Z";
/// The same in seconds since 1970.
const EPOCH_SECONDS: u64 = 1_767_225_600;
/// How long most blocks of these tests last.
pub(crate) const LASTS: Duration = Duration::from_millis(400);
/// How every Matroska file begins.
pub(crate) const MKV_MAGIC: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
/// Callback ports are taken from here: below the ports that the kernel gives to callers.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

static NEXT_ADDRESS: AtomicU32 = AtomicU32::new(0);
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

/// One test's own place.
pub(crate) struct Lab {
    dir: TempDir,
    /// Where this lab's servers dial their clients.
    pub(crate) callback_port: u16,
}

impl Lab {
    pub(crate) fn new() -> Self {
        pulse::start();
        let dir =
            tempfile::Builder::new().prefix("vidstreamd-e2e-").tempdir().expect("a directory");
        fs::create_dir(dir.path().join("movies")).expect("a new directory");
        Self { dir, callback_port: free_port() }
    }

    /// A path in this lab's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder that the library is made from.
    pub(crate) fn movies(&self) -> PathBuf {
        self.path("movies")
    }

    /// Writes a file into this lab's directory.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("the lab's directory takes files");
        path
    }

    /// A movie of `count` blocks of about `bytes` bytes that last [`LASTS`] each.
    pub(crate) fn movie(&self, name: &str, count: usize, bytes: usize) -> Movie {
        Movie::new(name, count, bytes).write(&self.movies())
    }

    /// A movie of eight small blocks.
    pub(crate) fn clip(&self) -> Movie {
        self.movie("clip", 8, 30_000)
    }
}

/// A loopback address that no other test of this or another run uses: a tv client is its address.
pub(crate) fn address() -> Ipv4Addr {
    let count = NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed);
    assert!(count < 254 * 254, "addresses for one run");
    let own = 2 + (std::process::id() % 250) as u8;
    Ipv4Addr::new(127, own, (count / 254) as u8, 1 + (count % 254) as u8)
}

/// A port that nobody has bound on any address.
fn free_port() -> u16 {
    let size = PORTS.end - PORTS.start;
    for _ in 0..1_000 {
        let count = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let offset = (std::process::id().wrapping_mul(97).wrapping_add(count)) % size;
        let port = (PORTS.start + offset) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// A movie on disk, and what it was made of.
#[derive(Clone)]
pub(crate) struct Movie {
    pub(crate) name: String,
    pub(crate) extension: &'static str,
    /// Of each block.
    pub(crate) lasts: Duration,
    pub(crate) blocks: Vec<Vec<u8>>,
    folder: PathBuf,
}

impl Movie {
    /// Blocks of seeded random bytes, each of its own size.
    pub(crate) fn new(name: &str, count: usize, bytes: usize) -> Self {
        let mut random = Random::from_name(name);
        let blocks = (0..count)
            .map(|_| {
                let len = bytes - random.below(bytes as u64 / 10) as usize;
                let mut block = random.bytes(len);
                block[..4].copy_from_slice(&MKV_MAGIC);
                block
            })
            .collect();
        let folder = PathBuf::new();
        Self { name: name.to_owned(), extension: "mkv", lasts: LASTS, blocks, folder }
    }

    /// The same movie with blocks that last longer or shorter.
    pub(crate) fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    /// The same movie as a transport stream: a sync byte each 188 bytes.
    pub(crate) fn of_ts(mut self) -> Self {
        self.extension = "ts";
        for block in &mut self.blocks {
            block.truncate(block.len() / 188 * 188);
            block.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        }
        self
    }

    /// The same movie as mp4: the first box says so.
    pub(crate) fn of_mp4(mut self) -> Self {
        self.extension = "mp4";
        for block in &mut self.blocks {
            block[..12].copy_from_slice(b"\0\0\0\x18ftypisom");
        }
        self
    }

    /// Writes the blocks and the index beside them into the movie's own folder of a library.
    pub(crate) fn write(mut self, library: &Path) -> Self {
        let folder = library.join(&self.name);
        fs::create_dir_all(&folder).expect("the library takes folders");
        folder.clone_into(&mut self.folder);
        for (index, block) in self.blocks.iter().enumerate() {
            fs::write(self.file(index), block).expect("the folder takes blocks");
        }
        fs::write(folder.join(format!("{}.m3u8", self.name)), self.index()).expect("and an index");
        self
    }

    /// The movie's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn index(&self) -> String {
        let seconds = self.lasts.as_secs_f64();
        let target = seconds.ceil();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:{target}\n"
        );
        for index in 0..self.blocks.len() {
            let name = self.file_name(index);
            write!(text, "#EXTINF:{seconds:.3},\n{name}\n").expect("a string takes text");
        }
        text + "#EXT-X-ENDLIST\n"
    }

    /// A block's file name.
    pub(crate) fn file_name(&self, index: usize) -> String {
        format!("{}_{index:05}.{}", self.name, self.extension)
    }

    /// A block's file.
    pub(crate) fn file(&self, index: usize) -> PathBuf {
        self.folder.join(self.file_name(index))
    }

    /// Which block these bytes are.
    ///
    /// # Panics
    /// When they are none of this movie's.
    pub(crate) fn index_of(&self, bytes: &[u8]) -> usize {
        self.find(bytes)
            .unwrap_or_else(|| panic!("{} bytes that are no block of {}", bytes.len(), self.name))
    }

    /// Which block these bytes are, if any.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.blocks.iter().position(|block| block == bytes)
    }

    /// Which block follows.
    pub(crate) fn after(&self, index: usize) -> usize {
        (index + 1) % self.blocks.len()
    }

    /// Which block has this number when this movie is alone in its playlist.
    pub(crate) fn index_at(&self, seq: u64) -> usize {
        (seq % self.blocks.len() as u64) as usize
    }

    /// Checks that a block comes right after another. When the machine stood still meanwhile, the
    /// channel did right to follow the clock.
    pub(crate) fn assert_follows(&self, last: usize, next: usize) {
        let right = next == self.after(last) || (next != last && stood_still());
        assert!(right, "block {next} of {} after block {last}", self.name);
    }

    /// Which block is on the air when this movie is alone in its playlist, by this machine's clock.
    pub(crate) fn on_air(&self) -> usize {
        self.index_at(self.seq_on_air())
    }

    /// The number of the block on the air.
    pub(crate) fn seq_on_air(&self) -> u64 {
        self.seq_at(SystemTime::now())
    }

    /// The number of the block that is on the air at a time.
    pub(crate) fn seq_at(&self, at: SystemTime) -> u64 {
        let since = at.duration_since(UNIX_EPOCH).expect("after 1970");
        let since = since.saturating_sub(Duration::from_secs(EPOCH_SECONDS));
        (since.as_millis() / self.lasts.as_millis()) as u64
    }
}

/// A small seeded generator (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    /// The seed comes from a name, so that it needs no printing: it is in the test's source.
    pub(crate) fn from_name(name: &str) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number under `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

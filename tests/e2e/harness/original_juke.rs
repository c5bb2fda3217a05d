//! The original jukebox programs, with their quirks.
//!
//! The client takes each `recv(4096)` as one frame: it splits it at `<NEXT;>` and looks at the
//! first two parts, and of music it keeps what stands between the head and the tail of that one
//! read.
//!
//! The server looks at the first request of each `recv(4096)` only, ignores what it does not know,
//! lists songs from 0 but plays the one before the number it is asked for, and looks at nothing
//! while it sends a song.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::SOON;

/// What the original reads at once, and the song in it.
pub(crate) const FRAME: usize = 4096;
pub(crate) const DATA: usize = 4072;
const TAIL: &[u8] = b"<NEXT;><END;>";
const PLAY: &[u8] = b"play<NEXT;>";

/// The original client: what each of its reads gave.
pub(crate) struct OriginalClient {
    stream: TcpStream,
    reads: Receiver<Vec<u8>>,
}

impl OriginalClient {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the jukebox takes connections");
        let mut reader = stream.try_clone().expect("a second handle");
        let (sender, reads): (Sender<Vec<u8>>, _) = channel();
        thread::spawn(move || {
            let mut buffer = [0; FRAME];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                if sender.send(buffer[..count].to_vec()).is_err() || count == 0 {
                    return;
                }
            }
        });
        Self { stream, reads }
    }

    /// Sends a request as it does: in a segment of its own.
    pub(crate) fn ask(&mut self, request: &str) {
        self.stream.set_nodelay(true).unwrap();
        self.stream.write_all(request.as_bytes()).expect("the jukebox takes requests");
    }

    /// What the next read gave; empty at the end.
    pub(crate) fn read(&self) -> Vec<u8> {
        self.reads.recv_timeout(SOON).expect("the jukebox answers")
    }

    /// The same within a time of its own.
    pub(crate) fn read_within(&self, time: Duration) -> Option<Vec<u8>> {
        self.reads.recv_timeout(time).ok()
    }

    /// The music of a read that is one frame, as the original takes it.
    pub(crate) fn music(read: &[u8]) -> Option<&[u8]> {
        read.strip_prefix(PLAY)?.strip_suffix(TAIL)
    }

    /// Plays a song until no more comes, each read one frame.
    pub(crate) fn song(&mut self, number: usize, len: usize) -> Vec<u8> {
        self.ask(&format!("play<NEXT;>{number}<NEXT;><END;>"));
        let mut song = Vec::new();
        while song.len() < len {
            let read = self.read();
            let music = Self::music(&read);
            let music = music.unwrap_or_else(|| panic!("{} bytes are no frame", read.len()));
            assert!(
                music.len() == DATA || song.len() + music.len() == len,
                "only the last is short"
            );
            song.extend(music);
        }
        song
    }
}

impl Drop for OriginalClient {
    fn drop(&mut self) {
        // Its reader has a handle of its own. It may have been closed from the other side.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// The original server over songs in memory. It serves one connection, then ends.
pub(crate) struct OriginalServer {
    pub(crate) address: SocketAddr,
    /// What each of its reads gave, as text.
    pub(crate) asked: Receiver<String>,
}

impl OriginalServer {
    pub(crate) fn start(songs: Vec<(String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            serve(stream, &songs, &sender);
        });
        Self { address, asked }
    }
}

fn serve(mut stream: TcpStream, songs: &[(String, Vec<u8>)], asked: &Sender<String>) {
    let mut buffer = [0; FRAME];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let mut fields = text.split("<NEXT;>");
        let (what, number) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let sent = match what {
            "list" => {
                let lines = songs.iter().enumerate();
                let lines =
                    lines.map(|(sid, (title, _))| format!("{{sid: {sid} title: {title}}}\n"));
                let list = format!("list<NEXT;>{}<NEXT;><END;>", lines.collect::<String>());
                stream.write_all(list.as_bytes())
            }
            "play" => {
                let number = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                let song = number.and_then(|number| songs.get(number));
                song.map_or(Ok(()), |(_, song)| {
                    song.chunks(DATA)
                        .try_for_each(|part| stream.write_all(&[PLAY, part, TAIL].concat()))
                })
            }
            "stop" | "quit" => stream.write_all(format!("{what}<NEXT;><END;>").as_bytes()),
            _ => Ok(()),
        };
        if asked.send(text.clone()).is_err() || sent.is_err() || what == "quit" {
            return;
        }
    }
}

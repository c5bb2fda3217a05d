//! The original file programs, with their quirks.
//!
//! The client acks each datagram to the port that sent the first one, puts fragments in the order
//! of their numbers together, and takes the end for the end. The server sends a batch of 99
//! fragments at a time from a new port, sends what is not acked again after 3 seconds from a port
//! that nobody reads, and repeats the end each second until anything comes.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::SOON;

const BATCH: usize = 100_000;
const FRAGMENT: usize = 1_016;
/// What the original waits before it sends again; shorter here, so that tests end.
const AGAIN: Duration = Duration::from_millis(300);

fn head(seq: u32, window: u32, kind: u8) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&seq.to_be_bytes());
    head[4..].copy_from_slice(&(window << 8 | u32::from(kind)).to_be_bytes());
    head
}

fn message(seq: u32, window: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    [&head(seq, window, kind)[..], body].concat()
}

fn seq_of(datagram: &[u8]) -> u32 {
    u32::from_be_bytes([datagram[0], datagram[1], datagram[2], datagram[3]])
}

/// The original client.
pub(crate) struct OriginalClient {
    pub(crate) socket: UdpSocket,
    server: SocketAddr,
    /// Datagrams that are not acked when they come for the first time: which of how many.
    pub(crate) deaf: Option<u32>,
    /// How often the end came.
    pub(crate) ends: u32,
    pub(crate) windows: Vec<u32>,
}

impl OriginalClient {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, server, deaf: None, ends: 0, windows: Vec::new() }
    }

    pub(crate) fn ask(&self, text: &str) {
        self.socket.send_to(&message(0, 1, 1, text.as_bytes()), self.server).unwrap();
    }

    pub(crate) fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1_024];
        let (count, from) = self.socket.recv_from(&mut buffer).expect("the server answers");
        (buffer[..count].to_vec(), from)
    }

    /// What a text is answered with, from the well-known port.
    pub(crate) fn text(&self, asked: &str) -> String {
        self.ask(asked);
        let (bytes, from) = self.receive();
        assert_eq!(from, self.server);
        assert_eq!(bytes[..8], head(0, 1, 0));
        String::from_utf8(bytes[8..].to_vec()).unwrap()
    }

    /// A file by its number.
    pub(crate) fn get(&mut self, index: usize) -> Vec<u8> {
        self.ask(&format!("get {index}"));
        let (mut parts, mut transfer) = (BTreeMap::<u32, Vec<u8>>::new(), None);
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let (bytes, from) = self.receive();
            let seq = seq_of(&bytes);
            if bytes[7] == 1 {
                assert_eq!(seq, 0);
                assert_ne!(from, self.server, "data has a port of its own");
                transfer = Some(from);
            }
            let transfer = transfer.expect("the first fragment comes first on loopback");
            assert_eq!(from, transfer);
            let first_time = seen.insert(seq);
            if first_time && self.deaf.is_some_and(|n| seq % n == n - 1) {
                continue;
            }
            let ack = message(0, 1, 4, seq.to_string().as_bytes());
            if bytes[7] == 3 {
                assert_eq!(&bytes[8..], b"encerramento_lista");
                self.ends += 1;
                // The first one is not answered: it must come again.
                if self.ends == 2 {
                    self.socket.send_to(&ack, transfer).unwrap();
                    return parts.into_values().flatten().collect();
                }
                continue;
            }
            self.windows.push(u32::from_be_bytes([0, bytes[4], bytes[5], bytes[6]]));
            parts.insert(seq, bytes[8..].to_vec());
            self.socket.send_to(&ack, transfer).unwrap();
        }
    }
}

/// The original server with these files. It ends with the test.
pub(crate) struct OriginalServer {
    pub(crate) address: SocketAddr,
}

impl OriginalServer {
    /// Every so many-th datagram is lost when it is sent for the first time.
    pub(crate) fn start(files: Vec<(String, Vec<u8>)>, losing: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1_024];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[8..count]).into_owned();
                serve(&socket, from, &text, &files, losing);
            }
        });
        Self { address }
    }
}

fn serve(
    socket: &UdpSocket,
    to: SocketAddr,
    text: &str,
    files: &[(String, Vec<u8>)],
    losing: usize,
) {
    let say = |text: &str| {
        socket.send_to(&message(0, 1, 0, text.as_bytes()), to).unwrap();
    };
    if text.contains("arquivos lista") {
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        say(&names.join("#"));
    } else if text.contains("get") {
        let index = text.split(' ').nth(1).and_then(|word| word.trim().parse::<usize>().ok());
        match index.and_then(|index| files.get(index)) {
            None => say("erro index invalido"),
            Some((_, bytes)) => {
                let (bytes, unheard) = (bytes.clone(), socket.try_clone().unwrap());
                thread::spawn(move || send(&unheard, to, &bytes, losing));
            }
        }
    }
}

fn send(unheard: &UdpSocket, to: SocketAddr, file: &[u8], losing: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut seq = 0;
    for batch in file.chunks(BATCH) {
        let fragments: Vec<_> = batch.chunks(FRAGMENT).collect();
        let window = fragments.len() as u32;
        let mut open = BTreeMap::new();
        for fragment in fragments {
            let kind = if seq == 0 { 1 } else { 2 };
            let datagram = message(seq, window, kind, fragment);
            if losing == 0 || seq as usize % losing != losing - 1 {
                socket.send_to(&datagram, to).unwrap();
            }
            open.insert(seq, (datagram, Instant::now()));
            seq += 1;
        }
        while !open.is_empty() {
            let mut buffer = [0; 1_024];
            if let Ok((count, _)) = socket.recv_from(&mut buffer) {
                assert_eq!(buffer[7], 4, "an ack");
                let text = str::from_utf8(&buffer[8..count]).unwrap();
                open.remove(&text.parse::<u32>().unwrap());
            }
            for (datagram, at) in open.values_mut().filter(|(_, at)| at.elapsed() > AGAIN) {
                // Not from the port that data came from.
                unheard.send_to(datagram, to).unwrap();
                *at = Instant::now();
            }
        }
    }
    let end = message(seq, 1, 3, b"encerramento_lista");
    let began = Instant::now();
    while began.elapsed() < SOON {
        socket.send_to(&end, to).unwrap();
        if socket.recv_from(&mut [0; 64]).is_ok() {
            return;
        }
    }
}

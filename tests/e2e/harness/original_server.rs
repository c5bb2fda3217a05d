//! The original server program, with its quirks: it answers a join by calling back once and at
//! once, sends each client one connection a block, one client after the other, each 1.8 s whatever
//! the blocks last, never gives a client up, and forgets everything when it ends.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::SOON;

/// Between two blocks, as the original has it.
pub(crate) const PERIOD: Duration = Duration::from_millis(1800);

/// What an [`OriginalServer`] sends and to how many.
#[derive(Clone)]
pub(crate) struct Programme {
    /// The blocks of each channel.
    pub(crate) channels: Vec<Vec<Vec<u8>>>,
    pub(crate) callback_port: u16,
    pub(crate) period: Duration,
    pub(crate) max_clients: usize,
    /// How long the machine takes to come from a join to the callback: luck decides the original
    /// client's race, and this is the luck.
    pub(crate) slowness: Duration,
}

/// The program, running in threads.
pub(crate) struct OriginalServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    programme: Programme,
    state: Mutex<State>,
    stopped: Condvar,
}

struct State {
    listed: Vec<Vec<Ipv4Addr>>,
    stop: bool,
    /// Joins that came so far, refused ones too.
    joins: usize,
}

impl OriginalServer {
    /// Starts it; port 0 takes any.
    pub(crate) fn start(port: u16, programme: Programme) -> Self {
        let listener = super::eventually(SOON, "the original server's port", || {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
        });
        let address = listener.local_addr().unwrap();
        let listed = vec![Vec::new(); programme.channels.len()];
        let state = Mutex::new(State { listed, stop: false, joins: 0 });
        let shared = Arc::new(Shared { programme, state, stopped: Condvar::new() });
        let mut threads: Vec<_> = (0..shared.programme.channels.len())
            .map(|channel| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.broadcast(channel))
            })
            .collect();
        let commands = Arc::clone(&shared);
        threads.push(thread::spawn(move || commands.serve(&listener)));
        Self { address, shared, threads }
    }

    /// Who is in a channel.
    pub(crate) fn listed(&self, channel: usize) -> Vec<Ipv4Addr> {
        self.shared.state.lock().unwrap().listed[channel].clone()
    }

    /// How many joins have come so far.
    pub(crate) fn joins(&self) -> usize {
        self.shared.state.lock().unwrap().joins
    }

    /// Takes a client out of a channel.
    pub(crate) fn take_out(&self, channel: usize, client: Ipv4Addr) {
        self.shared.state.lock().unwrap().listed[channel].retain(|listed| *listed != client);
    }
}

impl Drop for OriginalServer {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stop = true;
        self.shared.stopped.notify_all();
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let well = thread.join().is_ok();
            assert!(well || thread::panicking(), "a thread of the original server failed");
        }
    }
}

impl Shared {
    /// One thread a channel: the current block to one client after the other.
    fn broadcast(&self, channel: usize) {
        for block in self.programme.channels[channel].iter().cycle() {
            let clients = self.state.lock().unwrap().listed[channel].clone();
            for client in clients {
                let _ = self.call_back(client, block);
            }
            let state = self.state.lock().unwrap();
            let period = self.programme.period;
            let waited = self.stopped.wait_timeout_while(state, period, |state| !state.stop);
            if waited.unwrap().0.stop {
                return;
            }
        }
    }

    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.state.lock().unwrap().stop {
                return;
            }
            let mut stream = stream.expect("a listener accepts");
            let IpAddr::V4(client) = stream.peer_addr().expect("it is connected").ip() else {
                continue;
            };
            // One read, as the original does; it is then blind to what comes later.
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).unwrap_or(0);
            let _ = stream.write_all(self.answer(client, &buffer[..read]).as_bytes());
        }
    }

    fn answer(&self, client: Ipv4Addr, command: &[u8]) -> String {
        let Some((code, [digit, ..])) = command.split_at_checked(2) else { return String::new() };
        let channel = usize::from(digit.wrapping_sub(b'0'));
        let known = channel < self.programme.channels.len();
        match code {
            b"10" => self.join(client, channel),
            b"11" if known => return self.list(channel),
            b"12" if known => self.state.lock().unwrap().listed[channel].retain(|c| *c != client),
            b"13" if known => return self.state.lock().unwrap().listed[channel].len().to_string(),
            _ => {}
        }
        String::new()
    }

    fn join(&self, client: Ipv4Addr, channel: usize) {
        let full = {
            let mut state = self.state.lock().unwrap();
            state.joins += 1;
            state.listed.iter_mut().for_each(|listed| listed.retain(|c| *c != client));
            state.listed.get(channel).is_none_or(|l| l.len() >= self.programme.max_clients)
        };
        thread::sleep(self.programme.slowness);
        let reply: &[u8] = if full { b"00" } else { b"10" };
        let told = self.call_back(client, reply);
        if told.is_ok() && !full {
            self.state.lock().unwrap().listed[channel].push(client);
        }
    }

    /// What Python prints for a list of strings.
    fn list(&self, channel: usize) -> String {
        let state = self.state.lock().unwrap();
        let quoted: Vec<_> = state.listed[channel].iter().map(|c| format!("'{c}'")).collect();
        format!("[{}]", quoted.join(", "))
    }

    fn call_back(&self, client: Ipv4Addr, bytes: &[u8]) -> std::io::Result<()> {
        let mut stream =
            TcpStream::connect(SocketAddrV4::new(client, self.programme.callback_port))?;
        // The original waits for ever; this bound only keeps a failing test from hanging.
        stream.set_write_timeout(Some(SOON))?;
        stream.write_all(bytes)
    }
}

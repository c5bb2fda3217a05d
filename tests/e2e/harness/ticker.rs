//! The original programs of the ticker, with their quirks. The client takes 4096 bytes at a time,
//! asks once, never speaks again, and stops on any key that is missing; the server sends JSON as
//! Python writes it to whoever has said `register` and answers nothing.

use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use super::SOON;

/// What the original client keeps of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) count: u64,
    pub(crate) score: String,
    pub(crate) content: String,
    pub(crate) kind: String,
    pub(crate) minute: u64,
}

/// The original client: one socket, which says its word when it starts.
pub(crate) struct OriginalListener {
    pub(crate) socket: UdpSocket,
    server: SocketAddr,
}

impl OriginalListener {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        let client = Self { socket, server };
        client.say("register");
        client
    }

    pub(crate) fn say(&self, word: &str) {
        self.socket.send_to(word.as_bytes(), self.server).expect("loopback takes it");
    }

    /// The next datagram as it came.
    pub(crate) fn datagram(&self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let (count, from) = self.socket.recv_from(&mut buffer).expect("the next event");
        assert_eq!(from, self.server);
        buffer[..count].to_vec()
    }

    /// The next event; nothing more at the end of the transmission.
    pub(crate) fn event(&self) -> Option<Shown> {
        let bytes = self.datagram();
        if bytes == b"End of transmission" {
            return None;
        }
        Some(shown(&bytes).expect("the original client would have stopped here"))
    }

    /// Everything up to the end.
    pub(crate) fn rest(&self) -> Vec<Shown> {
        std::iter::from_fn(|| self.event()).collect()
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_quiet(&self) -> bool {
        self.socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        let quiet = self.socket.recv_from(&mut [0; 4096]).is_err();
        self.socket.set_read_timeout(Some(SOON)).unwrap();
        quiet
    }
}

/// What the original client does with a datagram: every key is looked up, and the first that is
/// missing is its end.
pub(crate) fn shown(bytes: &[u8]) -> Result<Shown, String> {
    let event: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let key = |of: &Value, name: &str| of.get(name).cloned().ok_or_else(|| name.to_owned());
    let message = key(&event, "message")?;
    for side in ["timeA", "timeB"] {
        for player in key(&event, side)?.as_array().ok_or("no list")? {
            let keys = "nome time posicao cartao_vermelho gols tempo_gols tempo_cv";
            keys.split(' ').try_for_each(|name| key(player, name).map(drop))?;
        }
    }
    for side in ["goleiroA", "goleiroB"] {
        let keeper = key(&event, side)?;
        ["nome", "time"].iter().try_for_each(|name| key(&keeper, name).map(drop))?;
    }
    let text = |name| Ok::<_, String>(key(&message, name)?.as_str().ok_or(name)?.to_owned());
    let number = |name| Ok::<_, String>(key(&message, name)?.as_u64().ok_or(name)?);
    Ok(Shown {
        count: number("count")?,
        score: text("score")?,
        content: text("content")?,
        kind: text("type")?,
        minute: number("time_passed")?,
    })
}

/// A datagram of the original server, byte for byte.
pub(crate) fn original_datagram(count: u64) -> String {
    format!(
        concat!(
            r#"{{"message": {{"count": {}, "score": "Placar: Gal\u00e1ticos 0 - 0 The Bests", "#,
            r#""content": "Que falta! \u00c9 perigosa", "type": "Falta!", "time_passed": {}}}, "#,
            r#""timeA": [{{"nome": "A", "time": "Gal\u00e1ticos", "posicao": "Atacante", "#,
            r#""cartao_vermelho": false, "gols": 0, "tempo_gols": [], "tempo_cv": 0}}], "#,
            r#""timeB": [], "goleiroA": {{"nome": "G", "time": "Gal\u00e1ticos"}}, "#,
            r#""goleiroB": {{"nome": "H", "time": "The Bests"}}}}"#,
        ),
        count,
        count + 3,
    )
}

/// The original server: waits for one client and sends it these datagrams.
pub(crate) struct OriginalTicker {
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<Vec<Vec<u8>>>>,
}

impl OriginalTicker {
    /// Sends them when somebody has registered; what it was told meanwhile is in
    /// [`OriginalTicker::told`].
    pub(crate) fn start(datagrams: Vec<Vec<u8>>, goodbye: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(SOON)).expect("a time-out");
        let address = socket.local_addr().expect("it is bound");
        let thread = Some(thread::spawn(move || serve(&socket, &datagrams, goodbye)));
        Self { address, thread }
    }

    /// Every datagram that clients have sent.
    pub(crate) fn told(mut self) -> Vec<Vec<u8>> {
        self.thread.take().expect("asked once").join().expect("the original server ends well")
    }
}

fn serve(socket: &UdpSocket, datagrams: &[Vec<u8>], goodbye: bool) -> Vec<Vec<u8>> {
    let mut buffer = [0; 4096];
    let (count, client) = socket.recv_from(&mut buffer).expect("somebody registers");
    let mut told = vec![buffer[..count].to_vec()];
    for datagram in datagrams {
        socket.send_to(datagram, client).expect("loopback takes it");
    }
    if goodbye {
        // It listens until its client has gone.
        while told.last().is_none_or(|last| last != b"unregister") {
            let (count, _) = socket.recv_from(&mut buffer).expect("the client takes its leave");
            told.push(buffer[..count].to_vec());
        }
    }
    told
}

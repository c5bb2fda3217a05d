//! Configuration files of servers and clients, as text.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::lab::{EPOCH, Lab};

/// A server's configuration. Tests change the fields and write it again.
#[derive(Clone)]
pub(crate) struct Server {
    /// The file's name in the lab; what else the daemon makes is named after it.
    pub(crate) name: String,
    pub(crate) channels: Vec<Channel>,
    pub(crate) tv_listen: String,
    pub(crate) http_listen: String,
    pub(crate) callback_port: u16,
    pub(crate) callback_allow: String,
    /// Lines put before the first table.
    pub(crate) head: String,
    pub(crate) library: String,
}

/// A channel of a [`Server`].
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) playlist: Vec<String>,
    pub(crate) filler: Option<String>,
    pub(crate) max_clients: u32,
}

impl Channel {
    /// A channel that shows one movie again and again.
    pub(crate) fn of(movie: &str) -> Self {
        Self {
            name: format!("Only {movie}"),
            playlist: vec![movie.to_owned()],
            filler: None,
            max_clients: 32,
        }
    }
}

impl Server {
    /// A server with one channel for each movie.
    pub(crate) fn new(lab: &Lab, movies: &[&str]) -> Self {
        Self {
            name: "server".to_owned(),
            channels: movies.iter().map(|movie| Channel::of(movie)).collect(),
            tv_listen: "127.0.0.1:0".to_owned(),
            http_listen: "127.0.0.1:0".to_owned(),
            callback_port: lab.callback_port,
            callback_allow: "[\"loopback\"]".to_owned(),
            head: String::new(),
            library: "movies".to_owned(),
        }
    }

    /// Writes the file and says where it is.
    pub(crate) fn write(&self, lab: &Lab) -> PathBuf {
        lab.write(&format!("{}.toml", self.name), self.text())
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let Self { name, tv_listen, http_listen, callback_port, callback_allow, .. } = self;
        let channels: String = self.channels.iter().enumerate().map(channel_text).collect();
        format!(
            "role = \"server\"\n{}\
             [log]\nlevel = \"debug\"\n\
             [library]\ndirectory = {:?}\n\
             {channels}\
             [tv]\nlisten = {tv_listen:?}\ncallback_port = {callback_port}\n\
             callback_allow = {callback_allow}\nmax_clients = 64\ncommands_max = 256\n\
             join_pause = \"100ms\"\n\
             [http]\nlisten = {http_listen:?}\n\
             [control]\nsocket = \"{name}.sock\"\n",
            self.head, self.library,
        )
    }
}

fn channel_text((number, channel): (usize, &Channel)) -> String {
    let Channel { name, playlist, max_clients, .. } = channel;
    let mut text = format!(
        "[[channel]]\nnumber = {number}\nname = {name:?}\nplaylist = {playlist:?}\n\
         repeat = true\nepoch = {EPOCH}\nmax_clients = {max_clients}\n"
    );
    if let Some(filler) = &channel.filler {
        writeln!(text, "filler = {filler:?}").expect("a string takes text");
    }
    text
}

/// A client's configuration.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) server: SocketAddr,
    pub(crate) channel: u8,
    /// Where it listens; also the address that it is known by.
    pub(crate) address: Ipv4Addr,
    pub(crate) callback_port: u16,
    pub(crate) period: String,
    pub(crate) store: String,
    pub(crate) keep_blocks: u32,
}

impl Client {
    /// A client of channel 0 of a server, with an address of its own.
    pub(crate) fn new(lab: &Lab, server: SocketAddr) -> Self {
        Self {
            name: "client".to_owned(),
            server,
            channel: 0,
            address: super::lab::address(),
            callback_port: lab.callback_port,
            period: "400ms".to_owned(),
            store: "store".to_owned(),
            keep_blocks: 0,
        }
    }

    /// Writes the file and says where it is.
    pub(crate) fn write(&self, lab: &Lab) -> PathBuf {
        lab.write(&format!("{}.toml", self.name), self.text())
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let Self { name, server, channel, address, callback_port, period, store, .. } = self;
        format!(
            "role = \"client\"\nsource = \"tv://{server}/{channel}\"\n\
             [log]\nlevel = \"debug\"\n\
             [receive]\nlisten = \"{address}:{callback_port}\"\nperiod = {period:?}\n\
             [store]\ndirectory = {store:?}\nkeep_blocks = {}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [control]\nsocket = \"{name}.sock\"\n",
            self.keep_blocks,
        )
    }
}

//! A viewer of an endless output who takes less than there is: it misses blocks once, at a clean
//! joint, and is sent away the second time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::harness::daemon::Daemon;
use crate::harness::lab::Lab;
use crate::harness::setup::Server;
use crate::harness::{SOON, eventually, http, skip, works};

use super::{on_the_air, same_packets};

/// More than the kernel keeps for a connection is a few of these.
const BLOCK_BYTES: usize = 1 << 20;
const BLOCKS: usize = 10;

/// A movie of noise: large blocks of 0.4 s each.
fn noise(lab: &Lab) {
    let folder = lab.path("movies/noise");
    std::fs::create_dir_all(&folder).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    let source = format!("color=gray:s=640x360:r=25:d={},noise=alls=100:allf=t", BLOCKS * 2 / 5);
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source, "-c:v", "mpeg2video"]);
    ffmpeg.args(["-g", "1", "-qscale", "1", "-f", "segment", "-segment_time", "0.4"]);
    ffmpeg.args(["-segment_format", "mpegts", "-segment_list", "noise.m3u8", "noise_%05d.ts"]);
    assert!(ffmpeg.current_dir(&folder).status().unwrap().success(), "{ffmpeg:?}");
    let sizes =
        (0..BLOCKS).map(|n| folder.join(format!("noise_{n:05}.ts")).metadata().unwrap().len());
    let sizes: Vec<u64> = sizes.collect();
    assert!(sizes.iter().all(|size| *size > BLOCK_BYTES as u64), "{sizes:?}");
}

/// A viewer for whom the kernel keeps little.
fn viewer(server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /ch/0.ts HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    stream
}

fn count(daemon: &Daemon, name: &str) -> u64 {
    http::status(daemon.http())["http"][name].as_u64().unwrap()
}

#[test]
fn a_slow_viewer_goes_on_with_the_newest_block_once_and_is_closed_then() {
    if !works("ffmpeg", &["-version"]) {
        return skip("there is no ffmpeg");
    }
    let lab = Lab::new();
    noise(&lab);
    let text = Server::new(&lab, &["noise"]).text();
    let text = text.replace("[http]\n", "[http]\nlag_max = 2\n");
    let daemon = Daemon::start(&lab.write("server.toml", text));
    on_the_air(&daemon);
    let mut slow = viewer(daemon.http());
    // Nothing is read until blocks were left out.
    eventually(SOON, "blocks that it misses", || (count(&daemon, "skipped") == 1).then_some(()));
    assert_eq!(count(&daemon, "lagged"), 0);
    // What waited for it and what is live now follow each other packet by packet.
    let mut taken = vec![0; 24 * BLOCK_BYTES / 188 * 188];
    slow.read_exact(&mut taken).unwrap();
    assert!(same_packets(&taken), "a clean joint");
    assert_eq!((count(&daemon, "skipped"), count(&daemon, "lagged")), (1, 0));
    // It stops again.
    eventually(SOON, "its end", || (count(&daemon, "lagged") == 1).then_some(()));
    let end = loop {
        match slow.read(&mut taken) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(e) => break Some(e.kind()),
        }
    };
    assert_eq!(end, Some(ErrorKind::ConnectionReset), "it must not look like an end");
    // Who takes what there is misses nothing.
    let mut quick = viewer(daemon.http());
    quick.read_exact(&mut taken).unwrap();
    assert!(same_packets(&taken));
    assert_eq!((count(&daemon, "skipped"), count(&daemon, "lagged")), (1, 1));
}

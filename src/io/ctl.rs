//! The other end of the control socket: one line out, the whole answer back. For `vidstream ctl`,
//! which has nothing else to do meanwhile: the only blocking socket of the program.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether somebody answers at a socket.
///
/// # Errors
/// The system's, when nobody does.
pub fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Asks one command and reads the whole answer.
///
/// # Errors
/// The system's, when the connection breaks or the node is silent for 5 s.
pub fn ask(mut stream: UnixStream, command: &str) -> io::Result<Vec<u8>> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

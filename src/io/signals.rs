//! SIGHUP, SIGTERM and SIGINT as something that mio can poll. What they mean is decided by
//! `daemon.rs`, which registers [`Signals`] with its poll and asks [`Signals::take`] when it is
//! readable.
//!
//! SIGPIPE needs no handler: Rust's runtime ignores it before `main`, so a write to a reader that
//! has gone is an error value. SIGXFSZ and the rest keep their default.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// The signals of this process, delivered over a socket pair.
///
/// From [`Signals::new`] on the three signals no longer end the process by themselves, not even
/// after this value is dropped: make it once, early.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    stopping: bool,
}

/// What has been asked for since the last [`Signals::take`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Taken {
    /// SIGHUP: read the configuration again.
    pub reload: bool,
    /// The first SIGTERM or SIGINT: drain and stop. True once in a process's life.
    pub stop: bool,
    /// SIGTERM or SIGINT again, after a [`Taken::stop`] was taken: stop at once.
    pub stop_again: bool,
}

impl Signals {
    /// Takes the three signals over.
    ///
    /// # Errors
    /// No descriptors are left for the socket pair, or the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let wanted = [SIGHUP, SIGTERM, SIGINT];
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, wanted)?;
        Ok(Self { delivery, stopping: false })
    }

    /// Empties the pipe and says what came. The same signal several times between two calls
    /// counts once, as in the kernel.
    pub fn take(&mut self) -> Taken {
        let mut taken = Taken::default();
        let mut stop = false;
        for signal in self.delivery.pending() {
            match signal {
                SIGHUP => taken.reload = true,
                _ => stop = true,
            }
        }
        taken.stop = stop && !self.stopping;
        taken.stop_again = stop && self.stopping;
        self.stopping |= stop;
        taken
    }
}

/// Readable when there is something to [`Signals::take`].
impl Source for Signals {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.delivery.get_read().as_raw_fd()).register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.delivery.get_read().as_raw_fd()).reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        SourceFd(&self.delivery.get_read().as_raw_fd()).deregister(from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};
    use signal_hook::low_level::raise;

    use super::*;

    fn wait(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        events.iter().count()
    }

    // One test, because a process has only one set of signals.
    #[test]
    fn each_signal_wakes_the_poll_and_a_second_stop_is_told_apart() {
        let mut signals = Signals::new().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut signals, Token(7), Interest::READABLE).unwrap();
        assert_eq!(signals.take(), Taken::default());

        raise(SIGHUP).unwrap();
        raise(SIGHUP).unwrap();
        assert_eq!(wait(&mut poll), 1);
        assert_eq!(signals.take(), Taken { reload: true, ..Taken::default() });
        assert_eq!(signals.take(), Taken::default());

        raise(SIGTERM).unwrap();
        raise(SIGINT).unwrap();
        raise(SIGHUP).unwrap();
        assert_eq!(wait(&mut poll), 1);
        assert_eq!(signals.take(), Taken { reload: true, stop: true, stop_again: false });

        for again in [SIGTERM, SIGINT] {
            raise(again).unwrap();
            assert_eq!(wait(&mut poll), 1);
            assert_eq!(signals.take(), Taken { stop_again: true, ..Taken::default() });
        }
    }
}

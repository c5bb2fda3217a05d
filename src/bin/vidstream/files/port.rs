//! The HTTP port of `vidstream files get`: joins players' connections ([`Reader`]) to sockets and
//! to what has come of the film.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use vidstreamd::base::limits;
use vidstreamd::base::time::{Mono, Now};
use vidstreamd::http::growing::{Film, Reader, Want};
use vidstreamd::io::fetch::Fetch;
use vidstreamd::io::guests::Guests;
use vidstreamd::io::part::Part;
use vidstreamd::media::sniff::{Container, sniff};

/// Bytes for one player in one turn: no more than what datagrams would mind.
const TURN_BYTES: u64 = 1 << 20;

/// Bytes read and written in one call.
const SCRATCH_BYTES: usize = 64 << 10;

/// What has come of the film.
#[derive(Clone, Copy, Debug)]
pub(super) struct Come<'a> {
    pub(super) part: &'a Part,
    /// Its bytes, when that is known.
    pub(super) size: Option<u64>,
    /// Everything before this is there.
    pub(super) there: u64,
    /// A number that another film would not have.
    pub(super) tag: u64,
}

/// What the film is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looks {
    Unseen,
    Unknown,
    Known(Container),
}

/// A port and the players on it.
pub(super) struct Port {
    guests: Guests,
    readers: BTreeMap<usize, Reader>,
    looks: Looks,
    /// Up to which byte of the film somebody has taken it.
    position: u64,
    /// Whether somebody has taken the last one.
    seen: bool,
    /// Since when nobody is there.
    alone: Mono,
    scratch: Vec<u8>,
}

impl Port {
    pub(super) fn listen(fetch: &Fetch, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            guests: Guests::listen(fetch, address)?,
            readers: BTreeMap::new(),
            looks: Looks::Unseen,
            position: 0,
            seen: false,
            alone: fetch.now(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.guests.address()
    }

    /// How far the player is.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the film was seen to its end, and nobody has come back to it for a while.
    pub(super) fn is_over(&self, now: Mono) -> bool {
        self.leave_at().is_some_and(|at| at <= now)
    }

    fn leave_at(&self) -> Option<Mono> {
        let over = self.seen && self.readers.is_empty();
        over.then(|| self.alone.after(limits::FILES_PLAYER_AWAY_MAX))
    }

    /// When [`Port::turn`] is wanted, whatever comes.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.readers.values().filter_map(Reader::poll_timeout).chain(self.leave_at()).min()
    }

    /// Hears and serves everybody, as far as that goes now; whether it could go on at once.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn turn(&mut self, now: Now, come: Option<Come<'_>>) -> io::Result<bool> {
        let film = self.look_at(come)?;
        let film = film.as_ref().map(|(film, part)| (film, *part));
        // Those who have gone make room for those who come, who may get their keys.
        let gone = self.hear_all(now);
        let mut more = self.close_all(gone);
        loop {
            // Those for whom there is no room wait in the kernel's queue.
            self.make_room(now.mono);
            if self.readers.len() >= limits::FILES_PLAYERS_MAX {
                break;
            }
            let Some(guest) = self.guests.accept() else { break };
            self.readers.insert(guest, Reader::new(now.mono));
            // What they ask is heard in the next turn, at once.
            more = true;
        }
        let mut gone = Vec::new();
        for (&guest, reader) in &mut self.readers {
            match serve(&mut self.guests, guest, reader, (now, film, &mut self.scratch)) {
                Ok(all) => more |= !all,
                Err(Ended::Disk(e)) => return Err(e),
                Err(Ended::Gone) => gone.push(guest),
            }
            self.position = self.position.max(reader.position().unwrap_or(0));
            if reader.has_seen_end() {
                let size = film.and_then(|(film, _)| film.size);
                (self.seen, self.position) = (true, size.unwrap_or(self.position));
            }
        }
        more |= self.close_all(gone);
        if !self.readers.is_empty() {
            self.alone = now.mono;
        }
        Ok(more)
    }

    /// The film with what it is; none as long as too little of it has come to tell.
    fn look_at<'a>(&mut self, come: Option<Come<'a>>) -> io::Result<Option<(Film, &'a Part)>> {
        let Some(Come { part, size, there, tag }) = come else { return Ok(None) };
        if self.looks == Looks::Unseen {
            let wanted = size.unwrap_or(u64::MAX).min(limits::SNIFF_BYTES_MAX as u64);
            if there < wanted {
                return Ok(None);
            }
            let head = &mut self.scratch[..usize::try_from(wanted).unwrap_or(0)];
            part.read(0, head)?;
            self.looks = sniff(head).map_or(Looks::Unknown, Looks::Known);
        }
        let container = match self.looks {
            Looks::Known(container) => Some(container),
            Looks::Unseen | Looks::Unknown => None,
        };
        Ok(Some((Film { container, size, there, tag }, part)))
    }

    /// Closes these; whether there were any.
    fn close_all(&mut self, gone: Vec<usize>) -> bool {
        let any = !gone.is_empty();
        for guest in gone {
            self.readers.remove(&guest);
            self.guests.close(guest);
        }
        any
    }

    /// Hears everybody; those whose connections are broken.
    fn hear_all(&mut self, now: Now) -> Vec<usize> {
        let mut gone = Vec::new();
        for (&guest, reader) in &mut self.readers {
            match hear(&mut self.guests, guest, reader, (now, &mut self.scratch)) {
                Ok(()) => reader.handle_timeout(now),
                Err(_) => gone.push(guest),
            }
        }
        gone
    }

    /// Who asks for nothing makes room for one who comes.
    fn make_room(&mut self, now: Mono) {
        if self.readers.len() < limits::FILES_PLAYERS_MAX {
            return;
        }
        let quiet = self.readers.iter().find(|(_, reader)| reader.makes_room(now));
        let quiet = quiet.map(|(guest, _)| *guest);
        self.close_all(quiet.into_iter().collect());
    }
}

/// Why one is served no more.
enum Ended {
    Gone,
    Disk(io::Error),
}

fn hear(
    guests: &mut Guests,
    guest: usize,
    reader: &mut Reader,
    (now, scratch): (Now, &mut [u8]),
) -> io::Result<()> {
    while reader.takes_bytes() {
        match guests.read(guest, scratch)? {
            Some([]) => break,
            Some(bytes) => reader.data(now, bytes),
            None => reader.ended(now),
        }
    }
    Ok(())
}

/// Gives one what there is; whether it was all, or all that the system takes.
fn serve(
    guests: &mut Guests,
    guest: usize,
    reader: &mut Reader,
    (now, film, scratch): (Now, Option<(&Film, &Part)>, &mut [u8]),
) -> Result<bool, Ended> {
    let (facts, mut left) = (film.map(|(film, _)| film), TURN_BYTES);
    while left > 0 {
        if let Some(facts) = facts {
            reader.answer(now, facts);
        }
        let taken = match reader.want(facts) {
            Want::Close => return Err(Ended::Gone),
            Want::Nothing => {
                reader.took(now, 0, facts);
                if reader.want(facts) == Want::Nothing {
                    return Ok(true);
                }
                continue;
            }
            Want::Own(bytes) => guests.write(guest, bytes),
            Want::Film { from, len } => {
                let Some((_, part)) = film else { return Ok(true) };
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(scratch.len());
                part.read(from, &mut scratch[..len]).map_err(Ended::Disk)?;
                guests.write(guest, &scratch[..len])
            }
        };
        let taken = taken.map_err(|_| Ended::Gone)? as u64;
        if taken == 0 {
            return Ok(true);
        }
        reader.took(now, taken, facts);
        left = left.saturating_sub(taken);
    }
    Ok(false)
}

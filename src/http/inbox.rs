//! What a peer has sent and nobody has read yet. Empty, it owns no memory. Line ends before a
//! request are not kept (RFC 9112, 2.2).

use crate::base::limits;

/// Unread bytes of one connection.
#[derive(Default, Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Bytes at the start that were read.
    read: usize,
}

impl Inbox {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Whether so much waits that no more may come.
    pub(super) fn is_full(&self) -> bool {
        self.rest().len() >= limits::HTTP_HEAD_BYTES_MAX
    }

    pub(super) fn is_unallocated(&self) -> bool {
        self.bytes.capacity() == 0
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let fresh = if self.is_empty() { without_line_ends(bytes) } else { bytes };
        if !fresh.is_empty() {
            self.bytes.drain(..self.read);
            self.read = 0;
            self.bytes.reserve_exact(fresh.len());
            self.bytes.extend_from_slice(fresh);
        }
    }

    /// Takes a head off, and the line ends after it; gives the memory back with the last byte.
    pub(super) fn advance(&mut self, used: usize) {
        let rest = without_line_ends(&self.rest()[used..]).len();
        self.read = self.bytes.len() - rest;
        if rest == 0 {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the bytes just pushed can have changed what a parser says: only whole lines count,
    /// a first byte, and a buffer that is full. This keeps trickling bytes cheap.
    pub(super) fn may_hold_more_heads(&self, pushed: &[u8]) -> bool {
        let first = self.rest().len() <= pushed.len();
        !self.is_empty() && (first || self.is_full() || pushed.contains(&b'\n'))
    }
}

fn without_line_ends(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[begin..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_read_to_its_end_owns_nothing() {
        let mut inbox = Inbox::default();
        inbox.push(b"\r\n\n");
        assert!(inbox.is_unallocated());
        inbox.push(b"\nabc\r\n\r\ndef");
        inbox.advance(3);
        assert_eq!(inbox.rest(), b"def");
        inbox.push(b"\r\nghi");
        assert_eq!(inbox.rest(), b"def\r\nghi");
        inbox.advance(8);
        assert!(inbox.is_empty() && inbox.is_unallocated());
    }

    #[test]
    fn only_a_line_end_a_first_byte_or_a_full_buffer_is_worth_a_look() {
        let mut inbox = Inbox::default();
        let mut push = |bytes: &[u8]| {
            inbox.push(bytes);
            inbox.may_hold_more_heads(bytes)
        };
        assert!(!push(b"\r\n"));
        assert!(push(b"G"));
        assert!(!push(b"E"));
        assert!(push(b"\n"));
        assert!(push(&[b'x'; limits::HTTP_HEAD_BYTES_MAX]));
    }
}

//! What files, blocks and answers consist of in a world: bytes by name, so that they cost nothing.

use std::rc::Rc;

/// Bytes by name, or bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::node::tests) enum Piece {
    /// So many bytes of a library's file, from the first on.
    File {
        name: Rc<str>,
        from: u64,
        len: u64,
    },
    Own(Vec<u8>),
}

impl Piece {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Own(bytes) => bytes.len() as u64,
        }
    }

    pub(super) fn part(&self, from: u64, len: u64) -> Self {
        match self {
            Self::File { name, from: at, .. } => {
                Self::File { name: Rc::clone(name), from: at + from, len }
            }
            Self::Own(bytes) => Self::Own(bytes[size(from)..size(from + len)].to_vec()),
        }
    }
}

/// What a file, a block or an answer consists of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(in crate::node::tests) struct Content(pub(in crate::node::tests) Vec<Piece>);

impl Content {
    pub(in crate::node::tests) fn file(name: &str, len: u64) -> Self {
        Self(vec![Piece::File { name: name.into(), from: 0, len }])
    }

    pub(in crate::node::tests) fn len(&self) -> u64 {
        self.0.iter().map(Piece::len).sum()
    }

    /// Puts a piece at the end, joining it to the one before where they belong together.
    pub(super) fn push(&mut self, piece: Piece) {
        match (self.0.last_mut(), piece) {
            (
                Some(Piece::File { name, from, len }),
                Piece::File { name: next, from: at, len: more },
            ) if *name == next && *from + *len == at => *len += more,
            (Some(Piece::Own(bytes)), Piece::Own(more)) => bytes.extend(more),
            (_, piece) if piece.len() > 0 => self.0.push(piece),
            _ => {}
        }
    }

    pub(super) fn part(&self, mut from: u64, mut len: u64) -> Self {
        let mut part = Self::default();
        for piece in &self.0 {
            let skipped = from.min(piece.len());
            let taken = len.min(piece.len() - skipped);
            part.push(piece.part(skipped, taken));
            (from, len) = (from - skipped, len - taken);
        }
        part
    }

    /// Overwrites a part, or goes on at the end.
    pub(super) fn put(&mut self, at: u64, piece: Self) {
        let end = at + piece.len();
        let mut all = self.part(0, at.min(self.len()));
        piece.0.into_iter().for_each(|piece| all.push(piece));
        let rest = self.len().saturating_sub(end);
        self.part(end.min(self.len()), rest).0.into_iter().for_each(|piece| all.push(piece));
        *self = all;
    }

    /// The bytes themselves. Those of a file begin as their kind does and go on as their offset.
    pub(in crate::node::tests) fn bytes(&self) -> Vec<u8> {
        let bytes = |piece: &Piece| match piece {
            Piece::Own(bytes) => bytes.clone(),
            Piece::File { from, len, .. } => (*from..from + len).map(file_byte).collect(),
        };
        self.0.iter().flat_map(bytes).collect()
    }
}

fn file_byte(at: u64) -> u8 {
    const MKV: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
    MKV.get(size(at)).copied().unwrap_or(u8::try_from(at % 251).unwrap())
}

pub(super) fn size(len: u64) -> usize {
    usize::try_from(len).unwrap()
}

/// An HTTP answer.
#[derive(Debug)]
pub(in crate::node::tests) struct Answer {
    pub(in crate::node::tests) status: u16,
    head: String,
    pub(in crate::node::tests) body: Content,
}

impl Answer {
    pub(super) fn read(got: &Content) -> Self {
        let Some(Piece::Own(first)) = got.0.first() else { panic!("no answer: {got:?}") };
        let text = String::from_utf8_lossy(first);
        let end = text.find("\r\n\r\n").expect("a whole head") + 4;
        let head = text[..end].to_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let len = got.len() - end as u64;
        Self { status, head, body: got.part(end as u64, len) }
    }

    pub(in crate::node::tests) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.to_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(|l| line(l)).map(|l| &l[name.len() + 2..])
    }

    pub(in crate::node::tests) fn text(&self) -> String {
        String::from_utf8(self.body.bytes()).unwrap()
    }
}

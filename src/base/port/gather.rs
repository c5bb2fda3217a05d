//! What is put together of bytes of our own and ranges of a blob, without a copy of the latter.

/// One run of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Of the bytes of our own.
    Made {
        /// Where they begin.
        from: u32,
        /// How many.
        len: u32,
    },
    /// Of the blob.
    Body {
        /// Where they begin.
        from: u32,
        /// How many.
        len: u32,
    },
}

impl Piece {
    /// Bytes in it.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Made { len, .. } | Self::Body { len, .. } => len.into(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Something put together, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Gather {
    /// Bytes of our own.
    pub made: Box<[u8]>,
    /// What is taken from where.
    pub list: Box<[Piece]>,
}

impl Gather {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.list.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it from bytes of our own.
    ///
    /// # Panics
    /// When they are 4 GiB or more.
    #[must_use]
    pub fn own(made: impl Into<Box<[u8]>>) -> Self {
        let made = made.into();
        let len = u32::try_from(made.len()).expect("what is made of a block is below 4 GiB");
        Self { made, list: [Piece::Made { from: 0, len }].into() }
    }
}

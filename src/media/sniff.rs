//! Which container a block is, from its first bytes. Not whether the rest of it is sound. The tv
//! client asks, since the wire carries no names; so does whoever opens a block.

/// The forms a block may have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Container {
    /// Matroska, and `WebM` which is a part of it.
    Mkv,
    /// ISO base media, plain or fragmented.
    Mp4,
    /// MPEG-2 transport stream.
    Ts,
}

impl Container {
    /// Every container, in the order in which a movie's plain name looks for them.
    pub const ALL: [Self; 3] = [Self::Mkv, Self::Mp4, Self::Ts];

    /// The file name extension, without its dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mkv => "mkv",
            Self::Mp4 => "mp4",
            Self::Ts => "ts",
        }
    }

    /// The container of an extension (without its dot, small letters).
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.extension() == extension)
    }

    /// The media type that HTTP announces.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mkv => "video/x-matroska",
            Self::Mp4 => "video/mp4",
            Self::Ts => "video/mp2t",
        }
    }
}

/// The container that these first bytes belong to; at most
/// [`SNIFF_BYTES_MAX`](crate::base::limits::SNIFF_BYTES_MAX) of them are of use.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Container> {
    if is_mkv(head) {
        Some(Container::Mkv)
    } else if is_mp4(head) {
        Some(Container::Mp4)
    } else if is_ts(head) {
        Some(Container::Ts)
    } else {
        None
    }
}

/// The magic of EBML (RFC 8794) and, where a `DocType` (0x4282) is near, one that is Matroska's.
fn is_mkv(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(&[0x1a, 0x45, 0xdf, 0xa3]) else { return false };
    let Some(at) = rest.windows(2).position(|w| w == [0x42, 0x82]) else { return true };
    let doctype = rest.get(at + 3..).unwrap_or_default();
    doctype.is_empty() || doctype.starts_with(b"matroska") || doctype.starts_with(b"webm")
}

/// A first box (ISO 14496-12, 4.2) of a type that files and segments begin with.
fn is_mp4(head: &[u8]) -> bool {
    let Some((size, rest)) = head.split_first_chunk::<4>() else { return false };
    let size = u32::from_be_bytes(*size);
    let long_enough = size == 1 || size >= 8;
    long_enough && [b"ftyp", b"styp", b"moov", b"moof"].iter().any(|t| rest.starts_with(*t))
}

/// Sync bytes (ISO 13818-1, 2.4.3.2) at the starts of the first three packets.
fn is_ts(head: &[u8]) -> bool {
    [0, 188, 376].iter().all(|at| head.get(*at) == Some(&0x47))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ebml(doctype: &[u8]) -> Vec<u8> {
        let mut head = vec![0x1a, 0x45, 0xdf, 0xa3, 0x9f, 0x42, 0x86, 0x81, 1, 0x42, 0x82];
        head.push(0x80 | u8::try_from(doctype.len()).unwrap());
        head.extend_from_slice(doctype);
        head
    }

    #[test]
    fn each_container_is_told_by_its_first_bytes() {
        assert_eq!(sniff(&ebml(b"matroska")), Some(Container::Mkv));
        assert_eq!(sniff(&ebml(b"webm")), Some(Container::Mkv));
        assert_eq!(sniff(&[0x1a, 0x45, 0xdf, 0xa3]), Some(Container::Mkv));
        assert_eq!(sniff(&ebml(b"other")), None);
        for kind in [b"ftyp", b"styp", b"moov", b"moof"] {
            assert_eq!(sniff(&[&[0, 0, 0, 0x18], &kind[..]].concat()), Some(Container::Mp4));
        }
        assert_eq!(sniff(b"\0\0\0\x04ftyp"), None);
        let mut ts = vec![0; 377];
        for at in [0, 188, 376] {
            ts[at] = 0x47;
        }
        assert_eq!(sniff(&ts), Some(Container::Ts));
        assert_eq!(sniff(&ts[..376]), None);
        assert_eq!(sniff(b""), None);
    }

    #[test]
    fn an_extension_leads_back_to_its_container() {
        for container in Container::ALL {
            assert_eq!(Container::from_extension(container.extension()), Some(container));
        }
        assert_eq!(Container::from_extension("avi"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            magic in prop::sample::select(vec![&b""[..], b"\x1a\x45\xdf\xa3", b"\0\0\0\x08", b"G"]),
            rest in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            let head = [magic, &rest].concat();
            let found = sniff(&head);
            prop_assert!(found != Some(Container::Mkv) || head.starts_with(b"\x1a\x45\xdf\xa3"));
        }
    }
}

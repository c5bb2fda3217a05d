//! Fields in network order: read with a check, written without.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::codec::WireError;

/// What of a frame has not been read yet.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (field, left) = self.left.split_at_checked(count).ok_or(WireError::Short)?;
        self.left = left;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (field, left) = self.left.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.left = left;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(super) fn hash(&mut self) -> Result<[u8; 32], WireError> {
        self.array()
    }

    pub(super) fn ticket(&mut self) -> Result<[u8; 16], WireError> {
        self.array()
    }

    /// 0 and eight bytes that say nothing, or 1 and a number.
    pub(super) fn maybe_u64(&mut self) -> Result<Option<u64>, WireError> {
        let (there, number) = (self.u8()?, self.u64()?);
        match there {
            0 if number == 0 => Ok(None),
            1 => Ok(Some(number)),
            _ => Err(WireError::Flag),
        }
    }

    /// A length in one byte, then that much UTF-8.
    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        let length = usize::from(self.u8()?);
        str::from_utf8(self.take(length)?).map_err(|_| WireError::Text)
    }

    pub(super) fn address(&mut self) -> Result<SocketAddr, WireError> {
        let ip = match self.u8()? {
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)),
            family => return Err(WireError::Family(family)),
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }

    /// Everything must have been read.
    pub(super) fn end(&self) -> Result<(), WireError> {
        if self.left.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.left.len())) }
    }
}

/// A frame being written.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// A frame of about so many bytes: one that is right saves all further allocations.
    pub(super) fn new(length: usize) -> Self {
        Self { bytes: Vec::with_capacity(length) }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn maybe_u64(&mut self, value: Option<u64>) {
        self.u8(u8::from(value.is_some()));
        self.u64(value.unwrap_or(0));
    }

    /// Cut at 255 bytes, between two characters.
    pub(super) fn text(&mut self, text: &str) {
        let ends = (0..=text.len().min(255)).rev();
        let length = ends.into_iter().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.u8(u8::try_from(length).expect("it is 255 at most"));
        self.raw(&text.as_bytes()[..length]);
    }

    pub(super) fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => {
                self.u8(4);
                self.raw(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(6);
                self.raw(&ip.octets());
            }
        }
        self.u16(address.port());
    }

    /// A count in one byte and that many of a list; the rest is left out.
    pub(super) fn few<T>(&mut self, list: &[T], most: usize, mut each: impl FnMut(&mut Self, &T)) {
        let count = list.len().min(most).min(255);
        self.u8(u8::try_from(count).expect("it is 255 at most"));
        list[..count].iter().for_each(|item| each(self, item));
    }

    /// The same with a count in two bytes.
    pub(super) fn many<T>(&mut self, list: &[T], most: usize, mut each: impl FnMut(&mut Self, &T)) {
        let count = list.len().min(most).min(65_535);
        self.u16(u16::try_from(count).expect("it is 65535 at most"));
        list[..count].iter().for_each(|item| each(self, item));
    }
}

//! MPEG-2 transport streams (ISO 13818-1): blocks read, packets written.

/// x
pub(super) fn read(_bytes: &[u8]) -> Result<super::Block, super::Error> {
    Err(super::Error::Unknown)
}
/// x
pub(super) fn has_prefixes(_: &[u8]) -> bool {
    false
}

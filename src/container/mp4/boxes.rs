//! Boxes written (ISO 14496-12, 4.2).

/// Appends a box whose contents `fill` appends.
pub(super) fn put(into: &mut Vec<u8>, kind: [u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let from = into.len();
    into.extend([0; 4]);
    into.extend(kind);
    fill(into);
    let size = u32::try_from(into.len() - from).expect("boxes that are made here are small");
    into[from..from + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends a box with version and flags.
pub(super) fn put_full(
    into: &mut Vec<u8>,
    kind: [u8; 4],
    (version, flags): (u8, u32),
    fill: impl FnOnce(&mut Vec<u8>),
) {
    put(into, kind, |into| {
        put_u32(into, u32::from(version) << 24 | flags);
        fill(into);
    });
}

pub(super) fn put_u16(into: &mut Vec<u8>, value: u16) {
    into.extend(value.to_be_bytes());
}

pub(super) fn put_u32(into: &mut Vec<u8>, value: u32) {
    into.extend(value.to_be_bytes());
}

/// Appends numbers of 32 bits.
pub(super) fn put_all(into: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| put_u32(into, *value));
}

//! Datagrams by name: what the sender of a file hands to io. See the parent for the contract.

/// Datagrams that go to one peer together, all of one length but for a shorter last one: each a
/// head of its own and then bytes of a blob.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Train {
    /// The heads, one behind the other, all of one length.
    pub heads: Vec<u8>,
    /// The bodies: first byte in the blob, and how many.
    pub bodies: Vec<(u64, u32)>,
}

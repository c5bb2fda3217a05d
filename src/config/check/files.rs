//! The part of the check that is about `[files]`.

use super::Check;
use crate::base::limits;
use crate::config::Files;
use crate::config::raw::{RawFiles, Table};

impl Check<'_, '_> {
    pub(super) fn files(&mut self, t: &Table<RawFiles>) -> Option<Files> {
        let keys = &t.keys;
        let listen = self.listen(t, keys.listen.as_ref());
        let directory = self.path(t, "directory", keys.directory.as_ref());
        let transfers_max = self.number(t, "transfers_max", keys.transfers_max.as_ref());
        let per_address_max = self.number(t, "per_address_max", keys.per_address_max.as_ref());
        let rate_max = self.number(t, "rate_max", keys.rate_max.as_ref());
        let total_rate_max = self.number(t, "total_rate_max", keys.total_rate_max.as_ref());
        let buffer = self.number(t, "buffer", keys.buffer.as_ref());
        Some(Files {
            listen: listen?,
            directory: directory?,
            transfers_max: transfers_max?,
            per_address_max: per_address_max?,
            rate_max: rate(rate_max?),
            total_rate_max: rate(total_rate_max?),
            buffer: buffer? as u64,
        })
    }
}

/// 0 sets no limit but the one that everything has.
fn rate(given: usize) -> u64 {
    if given == 0 { limits::FILES_RATE_MAX } else { given as u64 }
}

//! How long each stripe has nobody that sends it: from the moment when its parent was lost to the
//! first byte from another one. What people see of repairs; it decides nothing.

use core::time::Duration;

use crate::base::limits;
use crate::base::time::Mono;
use crate::mesh::wire::Stripes;

/// The gaps of all stripes.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Stripes that came from a parent at some time.
    fed: Stripes,
    since: [Option<Mono>; limits::MESH_STRIPES_MAX],
}

impl Gaps {
    /// These are the stripes that have no parent now.
    pub(super) fn note(&mut self, now: Mono, orphans: Stripes) {
        for s in (orphans & self.fed).iter() {
            self.since[s].get_or_insert(now);
        }
    }

    /// Bytes of a stripe came from its parent; how long there was none, if there was none before.
    pub(super) fn close(&mut self, now: Mono, stripe: usize) -> Option<Duration> {
        self.fed.add(stripe);
        let since = self.since.get_mut(stripe)?.take()?;
        Some(now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_gap_lasts_from_the_loss_to_the_first_byte_of_another_parent() {
        let (mut gaps, start) = (Gaps::default(), Mono(1_000_000_000));
        let both: Stripes = [1, 2].into_iter().collect();
        gaps.note(start, both);
        assert_eq!(gaps.close(start.after(MS * 9), 1), None, "what never came is no repair");
        gaps.note(start.after(MS * 10), both);
        gaps.note(start.after(MS * 30), both);
        assert_eq!(gaps.close(start.after(MS * 50), 1), Some(MS * 40));
        assert_eq!(gaps.close(start.after(MS * 60), 1), None);
    }
}

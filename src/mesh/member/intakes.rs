//! The ways in of all stripes together. Nearly always nothing about them has changed since they
//! were last looked through: each has the parent that it should have, and need not be looked at.

use core::ops::{Deref, DerefMut};

use litemap::LiteMap;

use crate::mesh::wire::{NodeId, Stripes};

use super::intake::Intake;

/// One [`Intake`] for each stripe of the channel.
#[derive(Debug, Default)]
pub(super) struct Intakes {
    all: Vec<Intake>,
    calm: bool,
    /// What comes from whom, while they are calm.
    from: LiteMap<NodeId, Stripes>,
}

impl Intakes {
    /// So many stripes, of which nothing is known.
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| Intake::default()).collect(), ..Self::default() }
    }

    /// Whether nothing was changed since [`Intakes::look`] found nothing to do.
    pub(super) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Looks whether there is anything to do about any of them, which saves all further looks
    /// until something changes if there is not.
    pub(super) fn look(&mut self) {
        if self.calm || !self.all.iter().all(Intake::is_settled) {
            return;
        }
        self.from.clear();
        for (s, intake) in self.all.iter().enumerate() {
            if let Some(parent) = intake.parent {
                self.from.entry(parent).or_default().add(s);
            }
        }
        self.calm = true;
    }

    /// The stripes that come from a node.
    pub(super) fn from(&self, node: NodeId) -> Stripes {
        if self.calm {
            return self.from.get(&node).copied().unwrap_or_default();
        }
        self.found_from(node)
    }

    fn found_from(&self, node: NodeId) -> Stripes {
        (0..self.all.len()).filter(|s| self.all[*s].parent == Some(node)).collect()
    }

    /// One of them, for what gives nobody anything to do.
    pub(super) fn quietly(&mut self, stripe: usize) -> &mut Intake {
        &mut self.all[stripe]
    }

    /// Looks the books through.
    pub(super) fn check_invariants(&self) {
        assert!(!self.calm || self.all.iter().all(Intake::is_settled), "calm is nothing to do");
        for node in self.all.iter().filter_map(|intake| intake.parent) {
            assert_eq!(self.from(node), self.found_from(node), "a parent sends what it is to send");
        }
    }
}

impl Deref for Intakes {
    type Target = [Intake];

    fn deref(&self) -> &[Intake] {
        &self.all
    }
}

impl DerefMut for Intakes {
    fn deref_mut(&mut self) -> &mut [Intake] {
        self.calm = false;
        &mut self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calm_ends_with_any_change() {
        let (mut intakes, parents) = (Intakes::new(3), [4, 9, 4].map(NodeId));
        intakes.look();
        assert!(!intakes.is_calm(), "stripes without parents are something to do");
        for (intake, parent) in intakes.iter_mut().zip(parents) {
            intake.parent = Some(parent);
        }
        intakes.look();
        assert!(intakes.is_calm());
        intakes.check_invariants();
        assert_eq!(intakes.from(NodeId(4)), [0, 2].into_iter().collect());
        assert_eq!(intakes.from(NodeId(5)), Stripes::EMPTY);
        intakes.quietly(0).failures = 1;
        assert!(intakes.is_calm(), "a failure alone is nothing to do");
        intakes[2].parent = None;
        assert!(!intakes.is_calm());
        assert_eq!(intakes.from(NodeId(4)), [0].into_iter().collect(), "nothing old is told");
        intakes.look();
        assert!(!intakes.is_calm());
    }
}

//! The ways in of all stripes together. Nearly always nothing about them has changed since they
//! were last looked through: each has the parent that it should have, and need not be looked at.

use core::ops::{Deref, DerefMut};

use super::intake::Intake;

/// One [`Intake`] for each stripe of the channel.
#[derive(Debug, Default)]
pub(super) struct Intakes {
    all: Vec<Intake>,
    calm: bool,
}

impl Intakes {
    /// So many stripes, of which nothing is known.
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| Intake::default()).collect(), calm: false }
    }

    /// Whether nothing was changed since [`Intakes::look`] found nothing to do.
    pub(super) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether there is nothing to do about any of them.
    pub(super) fn look(&mut self) -> bool {
        self.calm = self.all.iter().all(Intake::is_settled);
        self.calm
    }

    /// One of them, for what gives nobody anything to do.
    pub(super) fn quietly(&mut self, stripe: usize) -> &mut Intake {
        &mut self.all[stripe]
    }

    /// Looks the books through.
    pub(super) fn check_invariants(&self) {
        assert!(!self.calm || self.all.iter().all(Intake::is_settled), "calm is nothing to do");
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

//! What a block is to players: which outputs it has and why not the others, and what their headers
//! depend on. The node looks at the first block of each movie, `--check` does.

use crate::container::output::{Output, WhyNot};
use crate::container::types::{Block, Signature};

/// What can be had of a block, and of every block with the same parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The name of its parameters.
    pub signature: Signature,
    /// For each of [`Output::ALL`] why the block does not have it.
    outputs: [Result<(), WhyNot>; Output::ALL.len()],
}

impl Profile {
    /// The profile of a block that was read.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        let outputs = Output::ALL.map(|output| output.takes(block));
        Self { signature: block.signature(), outputs }
    }

    /// Each output, and why it cannot be had where it cannot.
    pub fn outputs(&self) -> impl Iterator<Item = (Output, Result<(), WhyNot>)> {
        Output::ALL.into_iter().zip(self.outputs)
    }
}

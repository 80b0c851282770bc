//! The partition was split or merged: what comes from now on is its children's.

use weir_types::At;
use weir_types::mutants::{self, Mutant};

use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// What is in it goes on as before: it is leased, returned, parked, moved, until nothing is left.
    pub(crate) fn seal(&mut self, at: At) -> Reply {
        if !self.is_sealed() {
            self.lineage.seal(at.wall_clock, self.header.get().next_message);
            if let Some(keys) = &mut self.backlog.index.keys {
                keys.watch();
            }
        }
        Reply::Sealed
    }

    /// Refuses what a sealed partition does not take in.
    pub(crate) fn check_open(&self) -> Result<(), Rejection> {
        if self.is_sealed() && !mutants::on(Mutant::M55) {
            return Err(Rejection::Sealed);
        }
        Ok(())
    }
}

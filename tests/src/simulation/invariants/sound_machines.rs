//! No machine contradicts itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Invariant, World};

/// Needs no memory.
pub(super) struct SoundMachines;

impl Invariant for SoundMachines {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            let Some(broker) = &node.broker else { continue };
            // The panic's own text is printed, and counted, by the hook of the process.
            if catch_unwind(AssertUnwindSafe(|| broker.check_machines())).is_err() {
                broken.push(format!("sound machines: a machine of {node} contradicts itself"));
            }
        }
    }
}

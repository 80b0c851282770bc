//! What happened in a run, line by line, with virtual time. Two runs of one seed must write the same lines.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::world;

/// The lines of one run. Clones write into the same one.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    /// Writes a line from inside a simulated host, at its time.
    pub(super) fn note(&self, line: impl Display) {
        self.note_at(world::elapsed(), line);
    }

    /// Writes a line at a given time.
    pub(super) fn note_at(&self, at: Duration, line: impl Display) {
        self.0.lock().push(format!("{:>11.6} {line}", at.as_secs_f64()));
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// A fingerprint of the lines (FNV-1a: Fowler, Noll, Vo), to compare runs at a glance.
    pub fn hash(&self) -> u64 {
        let lines = self.0.lock();
        let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
        bytes
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

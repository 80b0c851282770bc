//! When something that failed is tried again.

use std::time::Duration;

use tokio::time::Instant;
use weir_runtime::Runtime;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A rest after each failure in a row, twice as long each time up to five seconds.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    until: Option<Instant>,
    pause: Duration,
}

impl Rest {
    /// The end of the rest, unless it is over.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until.filter(|until| *until > Instant::now())
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, runtime: &Runtime) {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.until = Some(Instant::now() + runtime.jittered(self.pause));
    }
}

//! What came out of a run.

use serde::Serialize;

use crate::ledger::Balance;
use crate::meter::Side;
use crate::plan::Plan;

/// The figures of a run, which are worth something only if [`is_sound`](Self::is_sound).
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked.
    pub plan: Plan,
    /// Confirmed messages; latency until the confirmation.
    pub published: Side,
    /// Consumed (and acked) messages; latency until they arrived. None when nobody consumed under load.
    pub consumed: Option<Side>,
    /// Whether everything that was confirmed came out once.
    pub balance: Balance,
    /// Arrivals of the schedule that were never sent because the window was full: above 0 the rate was not sustained.
    pub unsent: u64,
    /// Processor time of this process during the measured window, in seconds.
    pub client_cpu_s: f64,
    /// The first failure, if there was one.
    pub error: Option<String>,
}

impl Report {
    /// Whether nothing was lost, nothing doubled, and something measured.
    pub fn is_sound(&self) -> bool {
        self.balance.is_even() && self.published.messages > 0
    }

    /// Messages per second that went all the way: consumed ones where somebody consumed.
    pub fn rate(&self) -> f64 {
        self.consumed.as_ref().unwrap_or(&self.published).rate
    }
}

//! How a worker takes messages.

use std::time::Duration;

use weir_types::limits::{LEASE_MESSAGES_MAX, LEASE_MS_MAX};

use crate::{Error, Result};

/// How a [`QueueWorker`](crate::QueueWorker) takes and keeps messages.
///
/// ```
/// use std::time::Duration;
/// use weir_client::WorkerOptions;
///
/// let one_by_one = WorkerOptions { credit: 1, ..WorkerOptions::default() };
/// let short = WorkerOptions { lease: Some(Duration::from_secs(5)), ..WorkerOptions::default() };
/// ```
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Messages that may be in hand per partition: leased, and not yet settled. 1 to 1,024. Default 16.
    pub credit: u32,
    /// How long a lease runs. Default: the queue's setting.
    pub lease: Option<Duration>,
    /// Leases are extended by themselves, each third of the lease, up to this long after the delivery; zero turns
    /// that off. At most 12 hours, the default 1 hour.
    pub lease_total_max: Duration,
    /// Shown in `describe`. Default: empty.
    pub consumer_name: String,
    /// How long a settle is tried before its outcome is unknown. Default 30 s.
    pub settle_timeout: Duration,
    /// A partition that cannot be reached for this long is reported as an error, once each time; it is tried on.
    /// Default 30 s.
    pub stall_timeout: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            credit: 16,
            lease: None,
            lease_total_max: Duration::from_hours(1),
            consumer_name: String::new(),
            settle_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl WorkerOptions {
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1..=LEASE_MESSAGES_MAX).contains(&self.credit) {
            let problem = format!("is {}, allowed are 1 to {LEASE_MESSAGES_MAX}", self.credit);
            return Err(Error::Option { option: "credit", problem });
        }
        let longest = Duration::from_millis(LEASE_MS_MAX);
        for (option, value) in [("lease", self.lease), ("lease_total_max", Some(self.lease_total_max))] {
            if let Some(value) = value.filter(|value| *value > longest) {
                let problem = format!("is {} ms, allowed are {LEASE_MS_MAX} at most", value.as_millis());
                return Err(Error::Option { option, problem });
            }
        }
        Ok(())
    }
}

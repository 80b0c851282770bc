//! What is asked of a run.

use std::time::Duration;

use serde::Serialize;

use crate::stamp::STAMP_BYTES;

/// Largest window, in messages.
pub const IN_FLIGHT_MAX: u32 = 1 << 20;

/// A run: who does what, for how long.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Bytes of a message's body: at least [`STAMP_BYTES`].
    pub size: usize,
    /// Publishers, each with a connection of its own.
    pub publishers: u32,
    /// Consumers. Of a queue they share the messages, of a stream each reads its share of the partitions.
    pub consumers: u32,
    /// Messages in flight at most, of all publishers together. Without consumers a message is in flight until it is
    /// confirmed, with consumers until it is consumed (and acked).
    pub in_flight: u32,
    /// Messages per second, of all publishers together; none: as many as the window lets through.
    pub rate: Option<f64>,
    /// Load that is not measured comes first.
    #[serde(serialize_with = "seconds")]
    pub warm_up: Duration,
    /// Then load that is.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// How long nothing may happen before messages that are confirmed and not seen count as lost.
    #[serde(serialize_with = "seconds")]
    pub patience: Duration,
}

/// A plan that cannot be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadPlan {
    /// The body does not hold the stamp.
    #[error("messages of {0} bytes are too small: {STAMP_BYTES} are needed to tell them apart")]
    Size(usize),
    /// Nobody publishes, or more than there is room for.
    #[error("{publishers} publishers cannot share a window of {in_flight} messages")]
    Publishers {
        /// How many.
        publishers: u32,
        /// The window.
        in_flight: u32,
    },
    /// The window is too large.
    #[error("a window of {0} messages is too large: {IN_FLIGHT_MAX} at most")]
    InFlight(u32),
    /// The rate is no rate.
    #[error("a rate of {0} messages per second cannot be kept")]
    Rate(f64),
    /// Nothing would be measured.
    #[error("a run of no length measures nothing")]
    Duration,
}

impl Plan {
    /// Refuses what cannot be measured.
    ///
    /// # Errors
    /// Which field, and the limit.
    pub fn validate(&self) -> Result<(), BadPlan> {
        if self.size < STAMP_BYTES {
            return Err(BadPlan::Size(self.size));
        }
        if self.publishers == 0 || self.in_flight < self.publishers {
            return Err(BadPlan::Publishers { publishers: self.publishers, in_flight: self.in_flight });
        }
        if self.in_flight > IN_FLIGHT_MAX {
            return Err(BadPlan::InFlight(self.in_flight));
        }
        if let Some(rate) = self.rate.filter(|rate| !(0.001..=10_000_000.0).contains(rate)) {
            return Err(BadPlan::Rate(rate));
        }
        if self.duration.is_zero() {
            return Err(BadPlan::Duration);
        }
        Ok(())
    }

    /// The window of one publisher.
    pub fn window(&self, place: u32) -> u32 {
        self.in_flight / self.publishers + u32::from(place < self.in_flight % self.publishers)
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            size: 1024,
            publishers: 3,
            consumers: 0,
            in_flight: 512,
            rate: None,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_windows_of_all_publishers_make_the_whole_window() {
        let plan = plan();
        assert_eq!((0..3).map(|place| plan.window(place)).sum::<u32>(), 512);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_its_number() {
        assert_eq!(plan().validate(), Ok(()));
        assert_eq!(Plan { size: 31, ..plan() }.validate(), Err(BadPlan::Size(31)));
        let crowd = BadPlan::Publishers { publishers: 513, in_flight: 512 };
        assert_eq!(Plan { publishers: 513, ..plan() }.validate(), Err(crowd));
        let huge = IN_FLIGHT_MAX + 1;
        assert_eq!(Plan { in_flight: huge, ..plan() }.validate(), Err(BadPlan::InFlight(huge)));
        assert_eq!(Plan { rate: Some(0.0), ..plan() }.validate(), Err(BadPlan::Rate(0.0)));
        assert_eq!(Plan { duration: Duration::ZERO, ..plan() }.validate(), Err(BadPlan::Duration));
    }
}

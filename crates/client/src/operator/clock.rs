//! Event time: how far the records say that time is.

/// The watermark of one partition: no record with an earlier timestamp is expected any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventClock {
    latest_ms: Option<u64>,
    out_of_order_ms: u64,
}

impl EventClock {
    /// One that has seen a record of `latest_ms`, and expects others that are up to `out_of_order_ms` older.
    pub(crate) fn new(latest_ms: Option<u64>, out_of_order_ms: u64) -> Self {
        Self { latest_ms, out_of_order_ms }
    }

    /// A record came: whether the watermark rises.
    pub(crate) fn sees(&mut self, timestamp_ms: u64) -> bool {
        let rises = self.latest_ms < Some(timestamp_ms);
        if rises {
            self.latest_ms = Some(timestamp_ms);
        }
        rises
    }

    /// The latest timestamp that was seen.
    pub(crate) fn latest_ms(&self) -> Option<u64> {
        self.latest_ms
    }

    /// The watermark, in milliseconds since the Unix epoch: 0 before the first record. It never falls.
    pub(crate) fn watermark_ms(&self) -> u64 {
        self.latest_ms.map_or(0, |latest| latest.saturating_sub(self.out_of_order_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stays_behind_the_latest_record_and_never_falls() {
        let mut clock = EventClock::new(None, 10);
        assert_eq!(clock.watermark_ms(), 0);
        assert!(clock.sees(100));
        assert!(!clock.sees(95));
        assert_eq!((clock.watermark_ms(), clock.latest_ms()), (90, Some(100)));
        assert!(!clock.sees(100));
        assert!(clock.sees(101));
        assert_eq!(clock.watermark_ms(), 91);
    }
}

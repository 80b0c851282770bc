//! The bound on what is in flight in one group: entries and bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts proposals from submission until they are answered.
#[derive(Debug)]
pub(crate) struct Inflight {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    entries_max: usize,
    bytes_max: usize,
}

/// One proposal's share; dropping it gives the share back.
#[derive(Debug)]
pub(crate) struct Permit {
    inflight: Arc<Inflight>,
    bytes: usize,
}

impl Inflight {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { entries: AtomicUsize::new(0), bytes: AtomicUsize::new(0), entries_max, bytes_max })
    }

    /// A share of `bytes`, or none when the group is over a bound. One proposal always fits.
    pub(crate) fn try_acquire(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let entries_before = self.entries.fetch_add(1, Ordering::AcqRel);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let permit = Permit { inflight: Arc::clone(self), bytes };
        let fits = entries_before < self.entries_max
            && (entries_before == 0 || bytes_before + bytes <= self.bytes_max);
        fits.then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inflight.entries.fetch_sub(1, Ordering::AcqRel);
        self.inflight.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_group_over_its_bounds_takes_nothing_until_shares_return() {
        let inflight = Inflight::new(3, 100);
        let first = inflight.try_acquire(60).unwrap();
        assert!(inflight.try_acquire(60).is_none(), "bytes");
        let second = inflight.try_acquire(10).unwrap();
        let third = inflight.try_acquire(10).unwrap();
        assert!(inflight.try_acquire(1).is_none(), "entries");
        drop((first, second, third));
        assert!(inflight.try_acquire(1_000).is_some(), "one proposal always fits");
    }
}

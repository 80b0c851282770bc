//! Time buckets of the stream log: which are held, which is filled, which are dead.
//!
//! A bucket dies when no group's segment lies in it any more. Its files are dropped after the batch that killed it is
//! synced, and only while no export reads it. Deliberately nothing is ever written into a bucket that is no longer
//! filled, not even a tombstone: it would stand in the newest table file, stretch that file's key range over every
//! bucket between, and make compaction rewrite them all. A bucket that is mostly dead, held by a few entries with a
//! longer life, is emptied by `evacuate`. What cannot be dropped yet (a file still at level 0) is tried again at the next switch.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::LogIndex;

/// A time bucket; rises with time, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(pub(crate) u32);

impl Bucket {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A group's entries from `first` up to `end` or its next segment lie in `bucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) first: LogIndex,
    /// What lies in the bucket from here on was truncated; [`Segment::OPEN`] when nothing was.
    pub(crate) end: LogIndex,
    pub(crate) bucket: Bucket,
}

impl Segment {
    /// No log gets there.
    pub(crate) const OPEN: LogIndex = LogIndex(u64::MAX);

    pub(crate) fn open(first: LogIndex, bucket: Bucket) -> Self {
        Self { first, end: Self::OPEN, bucket }
    }
}

/// A run of buckets, both ends included.
pub(crate) type Run = (Bucket, Bucket);

/// All buckets of a node.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// The bucket being filled; none until the first entry after an open.
    current: Option<Bucket>,
    /// Bytes in it.
    current_bytes: u64,
    /// The next one that was never used.
    next: Bucket,
    /// How many segments, imports and exports hold each bucket.
    holds: BTreeMap<Bucket, usize>,
    /// Held by nobody, files perhaps still there.
    dead: BTreeSet<Bucket>,
    /// Held, but by fewer than when it was last surveyed.
    thinned: BTreeSet<Bucket>,
    /// Dropping dead buckets may achieve something that it did not the last time.
    attempt: bool,
}

impl Buckets {
    /// The buckets of a store that was just opened: `next` as stored.
    pub(crate) fn opened(next: Bucket) -> Self {
        Self { next, ..Self::default() }
    }

    pub(crate) fn current(&self) -> Option<Bucket> {
        self.current
    }

    /// The next bucket that was never used, as stored.
    pub(crate) fn next(&self) -> Bucket {
        self.next
    }

    /// Takes a bucket that was never used.
    pub(crate) fn allocate(&mut self) -> Bucket {
        let bucket = self.next;
        self.next = bucket.next();
        bucket
    }

    /// Makes a new bucket the one being filled.
    pub(crate) fn switch(&mut self) -> Bucket {
        let bucket = self.allocate();
        let before = self.current.replace(bucket);
        self.current_bytes = 0;
        if let Some(before) = before.filter(|before| !self.holds.contains_key(before)) {
            self.dead.insert(before);
        }
        // The switch pushes older files out of level 0, where they can be dropped.
        self.attempt = !self.dead.is_empty() || !self.thinned.is_empty();
        bucket
    }

    pub(crate) fn is_full(&self, bucket_bytes: u64) -> bool {
        self.current.is_some() && self.current_bytes >= bucket_bytes
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.current_bytes += bytes as u64;
    }

    pub(crate) fn hold(&mut self, bucket: Bucket) {
        *self.holds.entry(bucket).or_default() += 1;
        self.dead.remove(&bucket);
    }

    pub(crate) fn is_held(&self, bucket: Bucket) -> bool {
        self.holds.contains_key(&bucket)
    }

    /// Counts every bucket as thinned: nobody knows what happened before the open.
    pub(crate) fn survey_all(&mut self) {
        self.thinned = self.holds.keys().copied().collect();
    }

    /// The thinned buckets that are no longer filled; the one that is stays for the next time.
    pub(crate) fn take_thinned(&mut self) -> BTreeSet<Bucket> {
        let mut thinned = std::mem::take(&mut self.thinned);
        if let Some(current) = self.current
            && thinned.remove(&current)
        {
            self.thinned.insert(current);
        }
        thinned
    }

    /// Lets go of one hold. Returns whether the bucket died of it.
    pub(crate) fn release(&mut self, bucket: Bucket) -> bool {
        let holds = self.holds.get_mut(&bucket).expect("only a held bucket is released");
        *holds -= 1;
        if *holds > 0 {
            self.thinned.insert(bucket);
            return false;
        }
        self.holds.remove(&bucket);
        self.thinned.remove(&bucket);
        self.bury(bucket)
    }

    /// Counts a bucket found on disk as dead unless it is held. Returns whether it is dead.
    pub(crate) fn bury(&mut self, bucket: Bucket) -> bool {
        let dead = !self.holds.contains_key(&bucket) && self.current != Some(bucket);
        if dead {
            self.dead.insert(bucket);
            self.attempt = true;
        }
        dead
    }

    /// Whether dead buckets should be dropped now; asked once per change.
    pub(crate) fn take_attempt(&mut self) -> bool {
        std::mem::take(&mut self.attempt)
    }

    /// The dead buckets in runs without a held one between: a file may span two neighbours.
    pub(crate) fn dead_runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for bucket in &self.dead {
            match runs.last_mut() {
                Some((_, last)) if last.next() == *bucket => *last = *bucket,
                _ => runs.push((*bucket, *bucket)),
            }
        }
        runs
    }

    /// How many are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.holds.len()
    }

    /// The files of a dead bucket are gone.
    pub(crate) fn dropped(&mut self, bucket: Bucket) {
        self.dead.remove(&bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_dies_with_its_last_hold() {
        let mut buckets = Buckets::opened(Bucket(5));
        assert_eq!(buckets.switch(), Bucket(5));
        buckets.hold(Bucket(5));
        buckets.hold(Bucket(5));
        assert_eq!(buckets.switch(), Bucket(6));
        assert!(!buckets.release(Bucket(5)));
        assert!(buckets.release(Bucket(5)));
        assert_eq!(buckets.dead_runs(), [(Bucket(5), Bucket(5))]);
    }

    #[test]
    fn the_bucket_being_filled_dies_only_after_the_switch() {
        let mut buckets = Buckets::opened(Bucket(1));
        buckets.switch();
        buckets.hold(Bucket(1));
        assert!(!buckets.release(Bucket(1)));
        assert_eq!(buckets.dead_runs(), []);
        buckets.switch();
        assert_eq!(buckets.dead_runs(), [(Bucket(1), Bucket(1))]);
    }

    #[test]
    fn neighbouring_dead_buckets_form_one_run() {
        let mut buckets = Buckets::opened(Bucket(9));
        for dead in [1, 2, 3, 5, 7] {
            buckets.bury(Bucket(dead));
        }
        buckets.hold(Bucket(2));
        assert_eq!(
            buckets.dead_runs(),
            [(Bucket(1), Bucket(1)), (Bucket(3), Bucket(3)), (Bucket(5), Bucket(5)), (Bucket(7), Bucket(7))]
        );
        buckets.release(Bucket(2));
        assert_eq!(buckets.dead_runs()[0], (Bucket(1), Bucket(3)));
    }
}

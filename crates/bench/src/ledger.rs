//! Which messages were confirmed, and which came out: a run that lost or doubled one has no figures.

use std::sync::atomic::{AtomicU64, Ordering};

use fixedbitset::FixedBitSet;
use parking_lot::Mutex;
use serde::Serialize;

use crate::stamp::Stamp;

/// All messages of a run, a lock per publisher.
#[derive(Debug)]
pub struct Ledger {
    pages: Vec<Mutex<Page>>,
    /// Messages that are confirmed and not seen.
    owed: AtomicU64,
}

#[derive(Debug, Default)]
struct Page {
    confirmed: FixedBitSet,
    seen: FixedBitSet,
    doubled: u64,
}

/// How the books close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Messages that their publishers were told are safe.
    pub confirmed: u64,
    /// Messages that came out, each counted once.
    pub seen: u64,
    /// Confirmed and not seen.
    pub lost: u64,
    /// How often a message came out that had come out before.
    pub doubled: u64,
}

impl Ledger {
    /// For so many publishers.
    pub fn new(publishers: u32) -> Self {
        Self { pages: (0..publishers).map(|_| Mutex::default()).collect(), owed: AtomicU64::new(0) }
    }

    /// The publisher was told that the message is safe.
    pub fn confirm(&self, publisher: u32, sequence: u32) {
        let mut page = self.pages[publisher as usize].lock();
        if put(&mut page.confirmed, sequence) && !page.seen.contains(sequence as usize) {
            self.owed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The message came out; false when it had before, or its publisher is unknown.
    pub fn see(&self, stamp: &Stamp) -> bool {
        let Some(page) = self.pages.get(stamp.publisher as usize) else { return false };
        let mut page = page.lock();
        let fresh = put(&mut page.seen, stamp.sequence);
        page.doubled += u64::from(!fresh);
        if fresh && page.confirmed.contains(stamp.sequence as usize) {
            self.owed.fetch_sub(1, Ordering::Relaxed);
        }
        fresh
    }

    /// How many messages are confirmed and not seen.
    pub fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    /// The books as they are.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for page in &self.pages {
            let page = page.lock();
            balance.confirmed += page.confirmed.count_ones(..) as u64;
            balance.seen += page.seen.count_ones(..) as u64;
            balance.lost += page.confirmed.difference_count(&page.seen) as u64;
            balance.doubled += page.doubled;
        }
        balance
    }
}

impl Balance {
    /// Nothing lost, nothing doubled.
    pub fn is_even(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

/// Sets a bit; false when it was set.
fn put(bits: &mut FixedBitSet, sequence: u32) -> bool {
    let place = sequence as usize;
    if place >= bits.len() {
        // By halves, so that growing costs little.
        bits.grow((place + 1).max(bits.len() * 3 / 2).next_multiple_of(4_096));
    }
    !bits.put(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(publisher: u32, sequence: u32) -> Stamp {
        Stamp { run: 0, publisher, sequence, intended: 0 }
    }

    #[test]
    fn what_is_confirmed_and_not_seen_is_lost_and_what_is_seen_twice_is_doubled() {
        let ledger = Ledger::new(2);
        (0..10_000).for_each(|sequence| ledger.confirm(1, sequence));
        (0..10_000).filter(|sequence| *sequence != 777).for_each(|sequence| {
            assert!(ledger.see(&stamp(1, sequence)));
        });
        assert!(!ledger.see(&stamp(1, 9_999)));
        // Nobody was told that this one is safe: that it came out is no fault.
        assert!(ledger.see(&stamp(0, 5)));
        assert_eq!(ledger.owed(), 1);
        let balance = ledger.balance();
        assert_eq!(balance, Balance { confirmed: 10_000, seen: 10_000, lost: 1, doubled: 1 });
        assert!(!balance.is_even());
    }
}

//! What a message carries so that it can be told apart and timed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Bytes of a stamp: run, publisher, sequence, intended moment, and what they add up to.
pub const STAMP_BYTES: usize = 32;

/// Who sent a message, and when it was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Tells runs apart, so that what an earlier one left behind is not counted.
    pub run: u64,
    /// The publisher's place.
    pub publisher: u32,
    /// Counts its messages from 0.
    pub sequence: u32,
    /// Microseconds from the beginning of the run to the intended moment.
    pub intended: u64,
}

/// Makes bodies of one size.
#[derive(Clone, Debug)]
pub struct Bodies {
    run: u64,
    filler: Arc<[u8]>,
}

impl Bodies {
    /// Bodies of `size` bytes, of which those behind the stamp are the same in every message and do not compress by
    /// themselves (a batch of them does).
    pub fn new(run: u64, size: usize) -> Self {
        // SplitMix64 (Steele, Lea, Flood 2014): enough to look random to a codec.
        let mut state = run;
        let mut word = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as u8
        };
        Self { run, filler: (STAMP_BYTES..size).map(|_| word()).collect() }
    }

    /// The next body.
    pub fn body(&self, publisher: u32, sequence: u32, intended: u64) -> Bytes {
        let mut body = BytesMut::with_capacity(STAMP_BYTES + self.filler.len());
        body.extend_from_slice(&self.run.to_le_bytes());
        body.extend_from_slice(&publisher.to_le_bytes());
        body.extend_from_slice(&sequence.to_le_bytes());
        body.extend_from_slice(&intended.to_le_bytes());
        let sum = sum(self.run, publisher, sequence, intended);
        body.extend_from_slice(&sum.to_le_bytes());
        body.extend_from_slice(&self.filler);
        body.freeze()
    }

    /// What a body says, if it is whole and of this run.
    pub fn read(&self, body: &[u8]) -> Option<Stamp> {
        if body.len() != STAMP_BYTES + self.filler.len() {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
        let half = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?));
        let stamp = Stamp { run: word(0)?, publisher: half(8)?, sequence: half(12)?, intended: word(16)? };
        let whole = word(24)? == sum(stamp.run, stamp.publisher, stamp.sequence, stamp.intended);
        (whole && stamp.run == self.run && body[STAMP_BYTES..] == *self.filler).then_some(stamp)
    }
}

fn sum(run: u64, publisher: u32, sequence: u32, intended: u64) -> u64 {
    run ^ (u64::from(publisher) << 32 | u64::from(sequence)).rotate_left(17) ^ intended.rotate_left(41)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_body_says_what_it_was_made_of_and_a_foreign_or_damaged_one_nothing() {
        let bodies = Bodies::new(7, 100);
        let body = bodies.body(3, 41, 1_000_000);
        assert_eq!(body.len(), 100);
        let stamp = Stamp { run: 7, publisher: 3, sequence: 41, intended: 1_000_000 };
        assert_eq!(bodies.read(&body).unwrap(), stamp);
        assert_eq!(Bodies::new(8, 100).read(&body), None);
        for place in 0..body.len() {
            let mut damaged = body.to_vec();
            damaged[place] ^= 1;
            assert_eq!(bodies.read(&damaged), None, "byte {place}");
        }
        assert_eq!(bodies.read(&body[..99]), None);
    }
}

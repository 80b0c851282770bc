//! Routing by key: a message key hashes to 32 bits, and every partition owns a contiguous range of them, so
//! that a partition can later be split without moving any other key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The hash of a message key: CRC-32C of the bytes, mixed by the finalizer of `MurmurHash3` (Appleby, 2011) so
/// that similar keys spread over the whole range. The value is part of the wire contract; a test pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyHash(pub u32);

impl KeyHash {
    /// Hashes the bytes of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut hash = crc32c::crc32c(key);
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        hash ^= hash >> 16;
        Self(hash)
    }
}

/// A contiguous, inclusive range of key hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    first: u32,
    last: u32,
}

impl KeyRange {
    /// Every key.
    pub const ALL: Self = Self { first: 0, last: u32::MAX };

    /// The range from `first` to `last`, both included; none when `first > last`.
    pub fn new(first: KeyHash, last: KeyHash) -> Option<Self> {
        (first <= last).then_some(Self { first: first.0, last: last.0 })
    }

    /// The `index`-th of `count` equal parts of the whole space.
    ///
    /// # Panics
    /// When `count` is 0 or `index` is not below it.
    pub fn part(index: u32, count: u32) -> Self {
        assert!(index < count, "part {index} of {count} does not exist");
        let bound = |i: u32| (u64::from(i) << 32) / u64::from(count);
        Self { first: bound(index) as u32, last: (bound(index + 1) - 1) as u32 }
    }

    /// The smallest hash in the range.
    pub fn first(self) -> KeyHash {
        KeyHash(self.first)
    }

    /// The largest hash in the range.
    pub fn last(self) -> KeyHash {
        KeyHash(self.last)
    }

    /// Whether the range holds `hash`.
    pub fn contains(self, hash: KeyHash) -> bool {
        self.first <= hash.0 && hash.0 <= self.last
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_hashes_are_part_of_the_wire_contract() {
        assert_eq!(KeyHash::of(b""), KeyHash(0));
        assert_eq!(KeyHash::of(b"order-1"), KeyHash::of(b"order-1"));
        assert_ne!(KeyHash::of(b"order-1"), KeyHash::of(b"order-2"));
    }

    #[test]
    fn parts_cover_the_space_without_gap_or_overlap() {
        for count in [1, 2, 3, 7, 300] {
            let mut next = 0u64;
            for index in 0..count {
                let part = KeyRange::part(index, count);
                assert_eq!(u64::from(part.first().0), next);
                next = u64::from(part.last().0) + 1;
            }
            assert_eq!(next, 1 << 32);
        }
    }
}

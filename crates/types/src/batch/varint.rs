//! Zigzag varints, as records hold them, over a cursor that never reads past its end.

use super::BatchError;

/// Appends `value`.
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that `value` takes.
pub(super) fn len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let bits = (64 - zigzag.leading_zeros()).max(1) as usize;
    bits.div_ceil(7)
}

/// A length or count as a varint's value. Those written here are bounded by the limits, far below the sign bit.
pub(super) fn from_length(length: usize) -> i64 {
    (length as u64).cast_signed()
}

/// What is left to read of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(BatchError::Truncated { needed: count, had: self.rest.len() })?;
        self.rest = rest;
        Ok(taken)
    }

    /// A zigzag varint of up to 64 bits. Over-long encodings of ten bytes at most are read, as Kafka does.
    pub(super) fn varlong(&mut self) -> Result<i64, BatchError> {
        let mut zigzag = 0u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            zigzag |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(BatchError::Truncated { needed: self.rest.len() + 1, had: self.rest.len() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_numbers_are_one_byte() {
        for (value, bytes) in [(0, [0]), (-1, [1]), (1, [2]), (-64, [127])] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.varlong().unwrap(), value);
            prop_assert!(cursor.rest().is_empty());
        }
    }
}

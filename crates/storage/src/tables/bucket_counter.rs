//! The next bucket that was never used. Buckets are never reused: an old file of a dead bucket may outlive a
//! crash, and must not come back to life in a new one.
//!
//! Key: 3. Value: bucket (4).

use crate::Error;
use crate::buckets::Bucket;
use crate::key::KeyReader;
use crate::tables::kind;

pub(crate) fn key() -> Vec<u8> {
    vec![kind::BUCKET_COUNTER]
}

pub(crate) fn value(next: Bucket) -> Vec<u8> {
    next.0.to_be_bytes().to_vec()
}

pub(crate) fn decode(value: &[u8]) -> Result<Bucket, Error> {
    let mut reader = KeyReader::new("bucket_counter", value);
    let next = Bucket(reader.u32()?);
    reader.end()?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_counters_are_golden() {
        assert_eq!(key(), [3]);
        assert_eq!(value(Bucket(0x0102_0304)), [1, 2, 3, 4]);
        assert_eq!(decode(&[1, 2, 3, 4]).expect("decodes"), Bucket(0x0102_0304));
    }
}

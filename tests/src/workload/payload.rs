//! A value as bytes, padded so that damage shows.

use bytes::Bytes;
use weir_checker::Value;
use weir_client::Record;

use crate::Dice;

/// Longest padding.
const PADDING_MAX: u64 = 400;

/// A record whose body is told by its value.
pub(super) fn record(value: Value) -> Record {
    Record::new(body(value)).key(format!("key-{}", value.sequence % 64))
}

/// The value of a body; none when nobody sent such a body.
pub(super) fn value(found: Option<&Bytes>) -> Option<Value> {
    let found = found?;
    let (producer, rest) = found.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    let value = Value { producer: u32::from_be_bytes(*producer), sequence: u64::from_be_bytes(*sequence) };
    (*found == body(value)).then_some(value)
}

fn body(value: Value) -> Bytes {
    let mut dice = Dice::new(u64::from(value.producer) << 32 | value.sequence);
    let mut body = value.producer.to_be_bytes().to_vec();
    body.extend(value.sequence.to_be_bytes());
    let padding = dice.below(PADDING_MAX) as usize;
    body.extend(dice.bytes(padding));
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes before the padding.
    const HEAD: usize = 12;

    #[test]
    fn values_come_back() {
        for sequence in [0, 1, u64::MAX] {
            let sent = Value { producer: 7, sequence };
            assert_eq!(value(record(sent).value.as_ref()), Some(sent));
        }
    }

    #[test]
    fn a_changed_or_shortened_body_is_nobodys() {
        let longer =
            (0..100).find(|n| body(Value { producer: 1, sequence: *n }).len() > HEAD).expect("most are");
        let mut changed = body(Value { producer: 1, sequence: longer }).to_vec();
        changed[HEAD] ^= 1;
        assert_eq!(value(Some(&Bytes::from(changed.clone()))), None);
        changed.truncate(HEAD - 1);
        assert_eq!(value(Some(&changed.into())), None);
        assert_eq!(value(None), None);
    }
}

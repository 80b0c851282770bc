//! A value as bytes, padded so that damage shows.

use bytes::Bytes;
use weir_client::Record;

use crate::{Dice, Value};

/// Bytes before the padding.
const HEAD: usize = 6;
/// Longest padding.
const PADDING_MAX: u64 = 400;

/// A record whose body is told by its value.
pub(super) fn record(value: Value) -> Record {
    Record::new(body(value)).key(format!("key-{}", value.sequence % 64))
}

/// The value of a body.
///
/// # Panics
/// When the body is not what was sent: damage on the way is found here.
pub(super) fn value(found: Option<&Bytes>) -> Value {
    let found = found.expect("every record of the load has a body");
    assert!(found.len() >= HEAD, "a body of {} bytes was never sent", found.len());
    let value = Value {
        producer: u16::from_be_bytes([found[0], found[1]]),
        sequence: u32::from_be_bytes([found[2], found[3], found[4], found[5]]),
    };
    assert!(*found == body(value), "the body of {value:?} is damaged");
    value
}

fn body(value: Value) -> Bytes {
    let mut dice = Dice::new(u64::from(value.producer) << 32 | u64::from(value.sequence));
    let mut body = value.producer.to_be_bytes().to_vec();
    body.extend(value.sequence.to_be_bytes());
    let padding = dice.below(PADDING_MAX) as usize;
    body.extend(dice.bytes(padding));
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        for sequence in [0, 1, u32::MAX] {
            let sent = Value { producer: 7, sequence };
            assert_eq!(value(record(sent).value.as_ref()), sent);
        }
    }

    #[test]
    #[should_panic(expected = "damaged")]
    fn a_changed_body_is_found() {
        let longer =
            (0..100).find(|n| body(Value { producer: 1, sequence: *n }).len() > HEAD).expect("most are");
        let mut changed = body(Value { producer: 1, sequence: longer }).to_vec();
        changed[HEAD] ^= 1;
        let _ = value(Some(&changed.into()));
    }
}

//! A value as bytes, padded by what it says itself, so that damage shows.

use bytes::Bytes;
use weir_checker::Value;

use crate::dice::Dice;

/// Bytes before the padding: producer and sequence, big-endian.
const HEAD_BYTES: usize = 12;
/// The largest paddings, in bytes, and how many of a hundred payloads stay below each.
const SIZES: [(u64, u64); 4] = [(80, 256), (15, 4 << 10), (4, 64 << 10), (1, 256 << 10)];

/// The body that stands for a value.
pub(super) fn body(value: Value) -> Bytes {
    let mut dice = Dice::new(value.sequence, u64::from(value.producer));
    let mut body = Vec::with_capacity(HEAD_BYTES + 256);
    body.extend(value.producer.to_be_bytes());
    body.extend(value.sequence.to_be_bytes());
    let padding = padding(&mut dice);
    // Eight bytes repeated cost little to make and still show where a block stands in another's place.
    let pattern = dice.number().to_be_bytes();
    body.extend(pattern.iter().cycle().take(padding));
    body.into()
}

/// The value of a body; none when nobody can have sent it.
pub(super) fn value(found: Option<&[u8]>) -> Option<Value> {
    let found = found?;
    let (producer, rest) = found.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    let value = Value { producer: u32::from_be_bytes(*producer), sequence: u64::from_be_bytes(*sequence) };
    (*found == body(value)).then_some(value)
}

fn padding(dice: &mut Dice) -> usize {
    let mut draw = dice.below(100);
    for (share, most) in SIZES {
        if draw < share {
            return dice.below(most) as usize;
        }
        draw -= share;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_damage_shows() {
        for sequence in 0..2_000 {
            let sent = Value { producer: 7, sequence };
            let mut bytes = body(sent).to_vec();
            assert_eq!(value(Some(&bytes)), Some(sent));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(value(Some(&bytes)), None);
        }
        assert_eq!(value(None), None);
        assert_eq!(value(Some(b"short")), None);
    }
}

//! Batches at the broker's door: as they come, and with their length and checksum put right.

use bytes::Bytes;
use weir_broker::fuzzing::batch_at_the_door;
use weir_types::WallClock;

use crate::batch;
use crate::input::Input;

/// A stream and a queue take the same batches, but for the headers that only a queue reads, and read the same of
/// them.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let sealed = input.u8() & 1 == 1;
    let now = WallClock(1_700_000_000_000 + u64::from(input.u16()));
    let batch = if sealed { batch::sealed(input.rest()) } else { input.rest().to_vec() };
    batch_at_the_door(&Bytes::from(batch), now);
}

pub fn seeds() -> Vec<Vec<u8>> {
    batch::batches()
        .iter()
        .flat_map(|batch| [0, 1].map(|sealed| [&[sealed, 0, 9], &batch[..]].concat()))
        .collect()
}

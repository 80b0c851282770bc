//! How a producer sends.

use std::time::Duration;

use weir_types::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use weir_types::{Codec, TopicKind};

use crate::{Error, Result};

/// How a producer gathers, sends and repeats.
///
/// ```
/// use weir_client::{Codec, ProducerOptions};
///
/// let options = ProducerOptions { codec: Codec::Lz4, ..ProducerOptions::default() };
/// ```
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A named producer gets its id back after a restart, under a new epoch that fences its older self. None: a new
    /// anonymous one.
    pub name: Option<String>,
    /// Refuse a topic of another kind. None: queue or stream, whichever the topic is.
    pub kind: Option<TopicKind>,
    /// Every record is appended once, whatever is repeated. Default true. Without it a batch whose answer is lost
    /// fails with `OutcomeUnknown`, and only one batch per partition is in flight, so that order is kept.
    pub idempotent: bool,
    /// How batches are compressed. Default none.
    pub codec: Codec,
    /// Largest batch before compression, in bytes: 1 KiB to 4 MiB. Default 1 MiB.
    pub batch_bytes_max: usize,
    /// Most records of a batch: 1 to 65,536. Default 16,384.
    pub batch_records_max: u32,
    /// Batches per partition that are sent and not yet answered: 1 to 16. Default 5.
    pub in_flight_max: usize,
    /// Bytes of records that are not yet answered, over all partitions: `send` waits for room. Default 32 MiB.
    pub buffer_bytes_max: usize,
    /// How long a record is tried from its `send` on. Default 120 s.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            name: None,
            kind: None,
            idempotent: true,
            codec: Codec::None,
            batch_bytes_max: 1 << 20,
            batch_records_max: 16_384,
            in_flight_max: 5,
            buffer_bytes_max: 32 << 20,
            delivery_timeout: Duration::from_mins(2),
        }
    }
}

impl ProducerOptions {
    /// Least that `buffer_bytes_max` may be: two records of the largest size with what surrounds them.
    pub const BUFFER_BYTES_MIN: usize = 4 << 20;

    pub(crate) fn validate(&self) -> Result<()> {
        within("batch_bytes_max", self.batch_bytes_max, 1 << 10, BATCH_BYTES_MAX)?;
        within("batch_records_max", self.batch_records_max as usize, 1, BATCH_RECORDS_MAX as usize)?;
        within("in_flight_max", self.in_flight_max, 1, 16)?;
        within("buffer_bytes_max", self.buffer_bytes_max, Self::BUFFER_BYTES_MIN, u32::MAX as usize)
    }
}

fn within(option: &'static str, value: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Option { option, problem: format!("is {value}, allowed are {min} to {max}") })
}

//! Where a reader begins and ends.

use std::time::Duration;

use weir_types::limits::BATCH_BYTES_MAX;

use crate::{Error, Result};

/// Where to begin in each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// At the first retained record.
    Earliest,
    /// Behind the last record: only what comes after this moment.
    Latest,
    /// At this offset.
    Offset(u64),
    /// At the first record appended at or after this time, in milliseconds since the Unix epoch.
    TimeMs(u64),
    /// So many records before the end of each partition.
    Lag(u64),
    /// At an offset for each partition; those not named begin at the first retained record.
    Offsets(std::collections::BTreeMap<u32, u64>),
}

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadUntil {
    /// Never: wait for new records.
    Forever,
    /// Behind the record that was the last one when the reader started.
    End,
}

/// What a [`StreamReader`](crate::StreamReader) reads.
///
/// ```
/// use weir_client::{ReadUntil, ReaderOptions, StartPosition};
///
/// let dump = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
/// let tail = ReaderOptions { start: StartPosition::Latest, ..ReaderOptions::default() };
/// ```
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Where to begin. Default: the first retained record.
    pub start: StartPosition,
    /// Where to stop. Default: never.
    pub until: ReadUntil,
    /// Which partitions. Default: all, with those that come of splits and merges later.
    pub partitions: Option<Vec<u32>>,
    /// Bytes of batches fetched ahead per partition: at least 4 MiB, so that any batch fits. Default 4 MiB.
    pub buffer_bytes_max: usize,
    /// A partition that cannot be read for this long is reported as an error, once each time; reading is tried on.
    /// Default 30 s.
    pub stall_timeout: Duration,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            start: StartPosition::Earliest,
            until: ReadUntil::Forever,
            partitions: None,
            buffer_bytes_max: 4 << 20,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl ReaderOptions {
    pub(crate) fn validate(&self) -> Result<()> {
        buffer_is_enough(self.buffer_bytes_max)
    }
}

/// The largest batch must fit, or its reader would wait for it for ever.
pub(crate) fn buffer_is_enough(buffer_bytes_max: usize) -> Result<()> {
    if buffer_bytes_max >= BATCH_BYTES_MAX {
        return Ok(());
    }
    let problem = format!("is {buffer_bytes_max} bytes, at least {BATCH_BYTES_MAX} are needed");
    Err(Error::Option { option: "buffer_bytes_max", problem })
}

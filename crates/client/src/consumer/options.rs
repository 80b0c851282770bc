//! How a member of a consumer group behaves.

use std::time::Duration;

use crate::stream::buffer_is_enough;
use crate::{Error, Result};

/// Where a group begins in a partition in which it has no committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStart {
    /// At the first retained record.
    Earliest,
    /// Behind the last record. In a partition that came of a split or a merge, at the first record since the group was
    /// first joined, so that nothing is passed over.
    Latest,
}

/// How a [`StreamConsumer`](crate::StreamConsumer) takes part in its group.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// Names this member; keep it over restarts to get the same partitions back within the session timeout.
    /// Default: drawn at random.
    pub member_id: Option<String>,
    /// A member that is not heard of for this long loses its partitions: 1 s to 5 min. Default 10 s.
    pub session_timeout: Duration,
    /// Where to begin without a committed position. Default: the first retained record.
    pub start: GroupStart,
    /// Commit what was handed out of a partition when the group takes it away, or when it was split or merged and is read to
    /// its end, once the next record is asked for. Without it the group gets the partitions that have taken over when the
    /// caller has committed all of it. Default true; turn it off if records are handled out of order or after the next one
    /// is asked for, and for [`commit_and_append`](crate::StreamConsumer::commit_and_append).
    pub commit_on_revoke: bool,
    /// Bytes of batches fetched ahead per partition: at least 4 MiB. Default 4 MiB.
    pub buffer_bytes_max: usize,
    /// A partition that cannot be read for this long is reported as an error; reading is tried on. Default 30 s.
    pub stall_timeout: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            member_id: None,
            session_timeout: Duration::from_secs(10),
            start: GroupStart::Earliest,
            commit_on_revoke: true,
            buffer_bytes_max: 4 << 20,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl ConsumerOptions {
    pub(crate) fn validate(&self) -> Result<()> {
        buffer_is_enough(self.buffer_bytes_max)?;
        let (min, max) = (Duration::from_secs(1), Duration::from_mins(5));
        if (min..=max).contains(&self.session_timeout) {
            return Ok(());
        }
        let problem = format!("is {} ms, allowed are 1,000 to 300,000", self.session_timeout.as_millis());
        Err(Error::Option { option: "session_timeout", problem })
    }
}

//! Records that came together.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_types::GroupId;

use super::credit::Credit;
use crate::StreamRecord;

/// Which reader of a partition: in a consumer group a new one is made with every change of ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) group: GroupId,
    /// Of the ownership; 0 without a consumer group.
    pub(crate) epoch: u64,
    /// Counts how often this client has begun to own something: a partition may come back under the same epoch, and what
    /// was on its way before is nothing to do with it then.
    pub(crate) turn: u64,
}

/// Records of one answer, decoded. Dropping it gives their bytes back as credit.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) source: Source,
    pub(crate) records: VecDeque<StreamRecord>,
    bytes: u64,
    credit: Arc<Credit>,
}

impl Chunk {
    pub(crate) fn new(
        source: Source,
        records: VecDeque<StreamRecord>,
        bytes: u64,
        credit: &Arc<Credit>,
    ) -> Self {
        credit.came(bytes);
        Self { source, records, bytes, credit: Arc::clone(credit) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.credit.handled(self.bytes);
    }
}

//! What the log writer is asked to do, in the order in which it was asked.

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_types::{GroupId, LogIndex, RowChange};

use crate::buckets::Bucket;
use crate::catalog::Generation;
use crate::edits::install::Installation;
use crate::edits::retire::Retirement;
use crate::edits::stage::Part;
use crate::pool::ViewJob;
use crate::tables::group_slot::Slot;
use crate::tail_cache::Ticket;
use crate::{Error, LogClass, LogRecord};

/// Called once with the outcome, on the log writer's thread: it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What an operation costs the queue beside its bytes.
pub(crate) const OP_OVERHEAD_BYTES: usize = 64;

/// One request to the log writer.
pub(crate) enum Op {
    Append { group: GroupId, class: LogClass, records: Vec<LogRecord>, ticket: Ticket, done: Done },
    Slot { group: GroupId, class: LogClass, slot: Slot, value: Bytes, done: Option<Done> },
    Truncate { group: GroupId, from: LogIndex },
    Retire { group: GroupId, retirement: Retirement },
    Rows { group: GroupId, class: LogClass, changes: Vec<RowChange> },
    NodeRow { key: Vec<u8>, value: Option<Vec<u8>>, done: Done },
    View { group: Option<GroupId>, hold_buckets: bool, job: ViewJob },
    ReleaseBuckets { buckets: Vec<Bucket> },
    BeginImport { group: GroupId, reply: oneshot::Sender<Result<Generation, Error>> },
    Stage { group: GroupId, generation: Generation, class: LogClass, part: Part },
    AbortImport { group: GroupId, generation: Generation },
    Install { group: GroupId, installation: Installation, done: Done },
    BeginEvacuation { reply: oneshot::Sender<Result<Bucket, Error>> },
    Copy { group: GroupId, to: Bucket, records: Vec<LogRecord>, done: Done },
    Relocate { group: GroupId, from: Bucket, to: Bucket, done: Done },
    Destroy { group: GroupId, class: LogClass, done: Done },
    Close { done: Done },
}

impl Op {
    /// Bytes it holds while it waits.
    pub(crate) fn cost(&self) -> usize {
        let bytes = match self {
            Self::Append { records, .. } | Self::Copy { records, .. } => records_cost(records),
            Self::Slot { value, .. } => value.len(),
            Self::Rows { changes, .. } => changes_cost(changes),
            Self::NodeRow { key, value, .. } => key.len() + value.as_ref().map_or(0, Vec::len),
            Self::Stage { part, .. } => {
                let rows: usize = part.rows.iter().map(|row| row.key.len() + row.value.len()).sum();
                rows + records_cost(&part.records)
            }
            Self::Install { installation, .. } => changes_cost(&installation.extra_rows),
            _ => 0,
        };
        bytes + OP_OVERHEAD_BYTES
    }

    /// Answers that it was not and will not be done.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Append { done, .. }
            | Self::NodeRow { done, .. }
            | Self::Install { done, .. }
            | Self::Copy { done, .. }
            | Self::Relocate { done, .. }
            | Self::Destroy { done, .. }
            | Self::Close { done } => done(Err(error)),
            Self::Slot { done, .. } => {
                if let Some(done) = done {
                    done(Err(error));
                }
            }
            Self::View { job, .. } => job.refuse(error),
            Self::BeginImport { reply, .. } => drop(reply.send(Err(error))),
            Self::BeginEvacuation { reply } => drop(reply.send(Err(error))),
            Self::Truncate { .. }
            | Self::Retire { .. }
            | Self::Rows { .. }
            | Self::ReleaseBuckets { .. }
            | Self::Stage { .. }
            | Self::AbortImport { .. } => {}
        }
    }
}

fn records_cost(records: &[LogRecord]) -> usize {
    records.iter().map(|record| record.payload.len() + OP_OVERHEAD_BYTES).sum()
}

fn changes_cost(changes: &[RowChange]) -> usize {
    changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len)).sum()
}

//! openraft's state machine: runs committed entries through the group's machine and keeps its rows.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use weir_types::mutants::{self, Mutant};
use weir_types::{Corrupt, LogIndex, Row, RowChange, Term};

use super::rows::{ConsensusRows, applied_row, encode, membership_row, snapshot_row};
use super::{
    AppliedPosition, Entry, LogId, Payload, Reply, Shared, SnapshotMeta, StoredMembership, TypeConfig,
};
use crate::snapshot::SnapshotHandle;
use crate::{EntryPosition, Machine, RESERVED_PREFIX};

type ApplyResponder = openraft::storage::ApplyResponder<TypeConfig>;
type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotHandle>;

/// Bytes of payload whose effects go into one write to the store.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Entries whose effects go into one write to the store.
const BATCH_ENTRIES_MAX: usize = 1024;

/// A [`Machine`] with its type erased, so that openraft is compiled once and not once per machine.
pub(crate) trait AnyMachine: Send + Sync {
    /// Applies one entry.
    fn apply(
        &self,
        position: EntryPosition,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> Result<Box<dyn Any + Send>, Corrupt>;
    /// See [`Machine::applied`].
    fn applied(&self, last: LogIndex);
    /// See [`Machine::retained_from`].
    fn retained_from(&self) -> LogIndex;
    /// Replaces the machine by one made of `rows`.
    fn rebuild(&self, rows: Vec<Row>) -> Result<(), Corrupt>;
    /// The way back to the type.
    fn as_any(&self) -> &dyn Any;
}

/// Makes a machine from its rows.
type Make<M> = dyn Fn(Vec<Row>) -> Result<M, Corrupt> + Send + Sync;

/// A machine and the way to make it again. The mutex stays the same for the life of the replica; rebuilding
/// replaces what is in it.
pub(crate) struct TypedMachine<M> {
    machine: Arc<Mutex<M>>,
    make: Box<Make<M>>,
}

impl<M: Machine> TypedMachine<M> {
    pub(crate) fn new(machine: M, make: Box<Make<M>>) -> Self {
        Self { machine: Arc::new(Mutex::new(machine)), make }
    }

    pub(crate) fn machine(&self) -> Arc<Mutex<M>> {
        Arc::clone(&self.machine)
    }
}

impl<M: Machine> AnyMachine for TypedMachine<M> {
    fn apply(
        &self,
        position: EntryPosition,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> Result<Box<dyn Any + Send>, Corrupt> {
        let reply = self.machine.lock().apply(position, payload, changes)?;
        Ok(Box::new(reply))
    }

    fn applied(&self, last: LogIndex) {
        self.machine.lock().applied(last);
    }

    fn retained_from(&self) -> LogIndex {
        self.machine.lock().retained_from()
    }

    fn rebuild(&self, rows: Vec<Row>) -> Result<(), Corrupt> {
        let rebuilt = (self.make)(rows)?;
        *self.machine.lock() = rebuilt;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Applies committed entries of one replica.
pub(crate) struct Applier {
    shared: Arc<Shared>,
}

/// Entries gathered for one write.
#[derive(Default)]
struct Batch {
    entries: Vec<(Entry, Option<ApplyResponder>)>,
    bytes: usize,
}

/// What a batch leaves to write and to answer.
struct Applied {
    position: AppliedPosition,
    changes: Vec<RowChange>,
    replies: Vec<(ApplyResponder, Reply)>,
}

impl Applier {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Applies a batch and queues its rows in one write; only then are the proposers answered.
    async fn apply_batch(&self, batch: Batch) -> io::Result<()> {
        let shared = &self.shared;
        let Some(last) = batch.entries.last().map(|(entry, _)| entry.log_id.index()) else {
            return Ok(());
        };
        let bytes = batch.bytes as u64;
        let replies = {
            let _gate = shared.gate.lock().await;
            shared.check_fence()?;
            let applied = self.run(batch)?;
            shared.store.write_rows(applied.changes).await.map_err(io::Error::other)?;
            shared.set_applied(applied.position, bytes);
            applied.replies
        };
        for (responder, reply) in replies {
            responder.send(reply);
        }
        shared.machine.applied(LogIndex(last));
        if let Some(index) = shared.take_retire_target(false) {
            shared.store.retire_before(index).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn run(&self, batch: Batch) -> io::Result<Applied> {
        let mut applied =
            Applied { position: self.shared.applied(), changes: Vec::new(), replies: Vec::new() };
        let mut membership_changed = false;
        for (entry, responder) in batch.entries {
            // What an installed snapshot already holds must not be applied twice.
            if Some(entry.log_id) <= applied.position.last {
                continue;
            }
            let follows = applied.position.last.is_none_or(|last| last.index() + 1 == entry.log_id.index());
            if !follows && entry.log_id.index() < self.shared.next_index() {
                return Err(io::Error::other(format!("entry {} does not follow", entry.log_id)));
            }
            let reply = match entry.payload {
                EntryPayload::Blank => Reply::none(),
                EntryPayload::Normal(Payload(payload)) => {
                    Reply::new(self.apply_entry(entry.log_id, &payload, &mut applied.changes)?)
                }
                EntryPayload::Membership(membership) => {
                    applied.position.membership = StoredMembership::new(Some(entry.log_id), membership);
                    membership_changed = true;
                    Reply::none()
                }
            };
            applied.position.last = Some(entry.log_id);
            applied.replies.extend(responder.map(|responder| (responder, reply)));
        }
        if mutants::on(Mutant::M14) && !applied.changes.is_empty() {
            applied.changes.remove(0);
        }
        if membership_changed {
            applied.changes.push(membership_row(&applied.position.membership));
        }
        applied.changes.extend(applied.position.last.as_ref().map(applied_row));
        Ok(applied)
    }

    /// Runs one entry through the machine. A panic becomes an error: it would otherwise kill openraft's apply
    /// task and leave its core running without it.
    fn apply_entry(
        &self,
        id: LogId,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> io::Result<Box<dyn Any + Send>> {
        let position = EntryPosition { term: Term(**id.committed_leader_id()), index: LogIndex(id.index()) };
        let ours = changes.len();
        let outcome =
            catch_unwind(AssertUnwindSafe(|| self.shared.machine.apply(position, payload, changes)));
        debug_assert!(
            changes[ours..].iter().all(|change| change.key.first() != Some(&RESERVED_PREFIX)),
            "a machine wrote a reserved row"
        );
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(corrupt)) => Err(io::Error::new(io::ErrorKind::InvalidData, corrupt)),
            Err(_) => Err(io::Error::other(format!("machine panicked at entry {}", id.index()))),
        }
    }
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.shared.applied();
        Ok((applied.last, applied.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            if let EntryPayload::Normal(payload) = &entry.payload {
                batch.bytes += payload.0.len();
            }
            batch.entries.push((entry, responder));
            if batch.bytes >= BATCH_BYTES_MAX || batch.entries.len() >= BATCH_ENTRIES_MAX {
                self.apply_batch(std::mem::take(&mut batch)).await?;
            }
        }
        self.apply_batch(batch).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { shared: Arc::clone(&self.shared) }
    }

    /// Puts a received snapshot in place of everything the group has, and rebuilds the machine from it.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotHandle,
    ) -> Result<(), io::Error> {
        let SnapshotHandle::Received(received) = snapshot else {
            return Err(io::Error::other("a snapshot of our own is not installed"));
        };
        let shared = &self.shared;
        let _gate = shared.gate.lock().await;
        shared.check_fence()?;
        let Some(last) = meta.last_log_id else {
            return Err(io::Error::other("a snapshot without a position"));
        };
        let extra = ConsensusRows::of_snapshot(meta);
        shared.store.install(received.import, extra, encode(&last).into()).await.map_err(io::Error::other)?;
        let rows = shared.store.rows().await.map_err(io::Error::other)?;
        let (_, machine_rows) = ConsensusRows::split(rows)?;
        shared
            .machine
            .rebuild(machine_rows)
            .map_err(|corrupt| io::Error::new(io::ErrorKind::InvalidData, corrupt))?;
        shared.set_installed(meta, received.retained_from);
        shared.set_last_index(Some(last.index()));
        shared.machine.applied(LogIndex(last.index()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.shared.snapshot().map(|meta| Snapshot { meta, snapshot: SnapshotHandle::Own }))
    }
}

/// Takes a "snapshot": notes the applied position. Nothing is copied, since the rows are in the store already
/// and an export reads them from there.
pub(crate) struct SnapshotBuilder {
    shared: Arc<Shared>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let shared = &self.shared;
        let _gate = shared.gate.lock().await;
        shared.check_fence()?;
        let applied = shared.applied();
        let meta = shared
            .raise_snapshot(SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership });
        shared.store.write_rows(vec![snapshot_row(&meta)]).await.map_err(io::Error::other)?;
        Ok(Snapshot { meta, snapshot: SnapshotHandle::Own })
    }
}

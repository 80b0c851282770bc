//! One group, as the broker holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use openraft::errors::ClientWriteError;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use weir_storage::{GroupStore, LogRecord, Reader};
use weir_types::{LogIndex, NodeId, ReplicaId, Row, Term, WallClock};

use crate::raft::{ConsensusRows, KIND_NORMAL, Payload, Responder, TypeConfig, TypedMachine, WriteResult};
use crate::replica::{Replica, other_node};
use crate::{
    EntryPosition, Error, GroupSpec, GroupStatus, Image, Leadership, Machine, ProposeError, ReadError,
    barrier, liveness, membership, status, transfer, wall,
};

/// A log that is not by this part longer than [`Limits::log_bytes_kept`](crate::Limits) is not sparse: little is to be had.
const SPARSE_BEYOND: u64 = 4;
/// In a sparse log, less than one byte of so many is alive.
const SPARSE_FACTOR: u64 = 4;

/// An entry that was committed and applied here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// The entry's term.
    pub term: Term,
    /// The entry's index.
    pub index: LogIndex,
    /// The machine's answer.
    pub reply: R,
}

/// A machine's rows, as the store holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The last entry whose effects are in the rows; none before the first.
    pub applied: Option<EntryPosition>,
    /// The machine's rows, in order of key.
    pub rows: Vec<Row>,
}

/// A handle to this node's replica of one group. Cheap to clone. It stays valid while the replica's core is
/// rebuilt after a crash; after [`Groups::close`](crate::Groups::close) everything answers `Stopped`.
pub struct Group<M> {
    replica: Arc<Replica>,
    machine: Arc<Mutex<M>>,
    reads: GroupStore,
}

impl<M> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self {
            replica: Arc::clone(&self.replica),
            machine: Arc::clone(&self.machine),
            reads: self.reads.clone(),
        }
    }
}

impl<M: Machine> Group<M> {
    pub(crate) fn of(replica: Arc<Replica>, spec: GroupSpec) -> Result<Self, Error> {
        let other = Error::AlreadyOpen { group: spec.group };
        if replica.spec != spec {
            return Err(other);
        }
        let typed = replica.machine.as_any().downcast_ref::<TypedMachine<M>>().ok_or(other)?;
        let machine = typed.machine();
        let reads = replica.context.store.group(spec.group, spec.class).for_reader(Reader::Fetch);
        Ok(Self { replica, machine, reads })
    }

    /// Which replica this is.
    pub fn spec(&self) -> GroupSpec {
        self.replica.spec
    }

    /// Makes a new group of `voters`. Several of them may be asked at once with the same set; where it is done
    /// already nothing happens.
    pub async fn initialize(&self, voters: BTreeMap<ReplicaId, NodeId>) -> Result<(), Error> {
        membership::initialize(&self.replica, voters).await
    }

    /// Wakes a group in which nothing happened for long: until then its leader's proposals may be refused. Waits for a majority's
    /// answer, for a second at most; returns at once where the group is awake, or this replica does not lead it.
    pub async fn wake(&self) {
        liveness::wake(&self.replica).await;
    }

    /// Proposes an entry. [`Group::wake`] comes first. It is queued before this returns, so that entries are proposed in the order of the
    /// calls; the future gives the outcome. Dropping the future does not take the proposal back.
    pub fn submit(
        &self,
        payload: Bytes,
    ) -> impl Future<Output = Result<Applied<M::Reply>, ProposeError>> + Send + use<M> {
        let queued = self.enqueue(payload);
        let node = self.replica.context.node;
        async move {
            // The answer is lost only with the core: the entry may live on in the log.
            let outcome = queued?.await.map_err(|_| ProposeError::OutcomeUnknown)?;
            let written = outcome.map_err(|error| propose_error(error, node))?;
            Ok(Applied {
                term: Term(**written.log_id.committed_leader_id()),
                index: LogIndex(written.log_id.index()),
                reply: written.data.take().ok_or(ProposeError::OutcomeUnknown)?,
            })
        }
    }

    fn enqueue(&self, payload: Bytes) -> Result<oneshot::Receiver<WriteResult>, ProposeError> {
        let core = self.replica.core().ok_or_else(|| self.replica.without_core())?;
        let permit = self.replica.inflight.try_acquire(payload.len()).ok_or(ProposeError::Overloaded)?;
        let (responder, outcome) = Responder::new(permit);
        let send = core.raft.client_write_ff(Payload(payload), Some(responder));
        // Sending to openraft's queue only waits when that is full. Outside tokio's cooperative budget, or a
        // busy caller's last poll would look like a full queue.
        let queued = self.replica.intake.pass(|| tokio::task::unconstrained(send).now_or_never());
        match queued {
            Ok(Some(Ok(()))) => Ok(outcome),
            Ok(Some(Err(_))) => Err(self.replica.without_core()),
            Ok(None) => Err(ProposeError::Overloaded),
            Err(successor) => Err(ProposeError::NotLeader { leader: Some(successor) }),
        }
    }

    /// Waits until everything that was committed before the call is applied here, and gives the index up to
    /// which that is known. Only the leader can, by asking a majority (`ReadIndex`). Concurrent calls share
    /// rounds. `NotLeader` without a leader also says that no majority answered.
    pub async fn read_barrier(&self) -> Result<LogIndex, ProposeError> {
        barrier::wait(&self.replica).await
    }

    /// Who leads, and when that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.replica.leadership.subscribe()
    }

    /// The machine. Lock it briefly, and never across an await: the group applies nothing meanwhile.
    pub fn machine(&self) -> Arc<Mutex<M>> {
        Arc::clone(&self.machine)
    }

    /// The payload of one entry.
    pub async fn read_entry(&self, term: Term, index: LogIndex) -> Result<Bytes, ReadError> {
        let records = self.read(index, index.next(), 1).await?;
        match records.into_iter().next() {
            Some(record) if record.index == index && record.term == term => Ok(record.payload),
            _ => Err(ReadError::Gone),
        }
    }

    /// Entries of the machine from `from` to before `to`, as many as fit `bytes_max` (one always does), in order.
    /// Entries of consensus itself are left out, so gaps in the indices are normal; an empty result says that
    /// there are only such entries. `Gone` when `from` is retired.
    pub async fn read_entries(
        &self,
        from: LogIndex,
        to: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<(EntryPosition, Bytes)>, ReadError> {
        let mut next = from;
        loop {
            let records = self.read(next, to, bytes_max).await?;
            let Some(last) = records.last() else { return Ok(Vec::new()) };
            next = last.index.next();
            let normal: Vec<_> = records.into_iter().filter(|record| record.kind == KIND_NORMAL).collect();
            if !normal.is_empty() || next >= to {
                return Ok(normal.into_iter().map(position_and_payload).collect());
            }
        }
    }

    async fn read(
        &self,
        from: LogIndex,
        to: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, ReadError> {
        match self.reads.read(from.0..to.0, bytes_max).await {
            Ok(records) => Ok(records),
            Err(weir_storage::Error::Retired { .. }) => Err(ReadError::Gone),
            Err(error) => Err(error.into()),
        }
    }

    /// The machine as the store holds it: one consistent look that holds up no entry. All rows are in memory meanwhile.
    pub async fn stored(&self) -> Result<Stored, ReadError> {
        let rows = self.reads.rows().await?;
        let (ours, rows) = ConsensusRows::split(rows)?;
        let applied = ours.applied.last.map(|last| EntryPosition {
            term: Term(**last.committed_leader_id()),
            index: LogIndex(last.index()),
        });
        Ok(Stored { applied, rows })
    }

    /// Whether the log from `from` on takes so much more disk than `live_bytes` that these should be written anew at its end:
    /// more than what is kept for followers anyway, and most of it dead. Only the log of a queue ever is.
    pub async fn is_sparse(&self, from: LogIndex, live_bytes: u64) -> Result<bool, ReadError> {
        let bytes = self.reads.queue_log_bytes(from).await?;
        let kept = self.replica.context.limits.log_bytes_kept;
        let least = kept.saturating_add(kept / SPARSE_BEYOND);
        Ok(bytes >= least && live_bytes.saturating_mul(SPARSE_FACTOR) <= bytes)
    }

    /// Everything that this replica holds at this moment, to be read in bounded pieces: entries go on being applied, and
    /// none of them gets into it. Ask for a [`Group::read_barrier`] first where nothing that was acknowledged may be missing.
    pub async fn image(&self) -> Result<Image, ReadError> {
        Image::take(&self.replica).await
    }

    /// Campaigns, unless somebody leads: for a replica that was seeded, which nobody else can know of.
    pub async fn campaign(&self) {
        if let Some(core) = self.replica.core() {
            // A core that is dead campaigns when it is rebuilt.
            let _ = core.raft.trigger().elect(true).await;
        }
    }

    /// Adds a replica that does not vote yet. Returns when the change is committed and in [`Group::status`], not when
    /// it caught up: see `matched` there. Leader only; adding it again changes nothing.
    pub async fn add_learner(&self, replica: ReplicaId, node: NodeId) -> Result<(), Error> {
        membership::add_learner(&self.replica, replica, node).await
    }

    /// Makes exactly `voters` the voters; each must be a member already. Those that lose their vote stay as
    /// learners. Leader only; repeat it after [`Error::Unfinished`].
    pub async fn change_voters(&self, voters: BTreeSet<ReplicaId>) -> Result<(), Error> {
        membership::change_voters(&self.replica, voters).await
    }

    /// Removes a replica that does not vote: one that does is [`Error::Unfinished`], since its vote has to go first.
    /// Leader only. Its id must never be used again. Also a replica that is no member is removed by an entry of its
    /// own, behind whatever might still let it in.
    pub async fn remove_replica(&self, replica: ReplicaId) -> Result<(), Error> {
        membership::remove(&self.replica, replica).await
    }

    /// Hands the leadership to another voter: `Ok` says that it leads now. Leader only. Nothing is proposed for
    /// the second that this may take at most, and not even that when the voter's node does not answer. After
    /// [`Error::Unfinished`] this replica usually leads on; repeat it, or choose another voter.
    pub async fn transfer_leader(&self, to: ReplicaId) -> Result<(), Error> {
        transfer::transfer(&self.replica, to).await
    }

    /// The replica's state now.
    pub fn status(&self) -> GroupStatus {
        status::of(&self.replica)
    }

    /// This node's wall clock, held within [`WALL_CLOCK_APART_MS_MAX`](weir_types::limits::WALL_CLOCK_APART_MS_MAX)
    /// of the median of the voters' clocks, as far as they are known.
    pub fn wall_clock(&self) -> WallClock {
        wall::now(&self.replica)
    }

    /// On the leader, how long ago a majority last answered it; none elsewhere. It grows to the heartbeat
    /// interval in a healthy idle group.
    pub fn quorum_contact(&self) -> Option<Duration> {
        status::quorum_contact(&self.replica)
    }
}

fn position_and_payload(record: LogRecord) -> (EntryPosition, Bytes) {
    (EntryPosition { term: record.term, index: record.index }, record.payload)
}

fn propose_error(error: ClientWriteError<TypeConfig>, us: NodeId) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            let leader = forward.leader_node.map(|member| member.node);
            ProposeError::NotLeader { leader: other_node(leader, us) }
        }
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::OutcomeUnknown,
        // Errors of membership changes, which a proposal is not.
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            ProposeError::OutcomeUnknown
        }
    }
}

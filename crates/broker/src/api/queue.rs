//! Queues: enqueue, lease, settle, sessions, dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};
use weir_queue::{
    Command, Granted, Lease, MessageState, MessageView, ParkReason, Queue, Reply, SessionEnding, Settle,
    SettleItem, Settled, Stats,
};
use weir_types::limits::{LEASE_MESSAGES_MAX, LEASE_MS_MAX};
use weir_types::{
    ErrorKind, GroupId, LeaseClock, LeaseId, MessageId, Pointer, RequestId, SessionId, Term, WeirError,
};

pub use super::bodies::Record;
use super::bodies::{BatchReader, pick, read_error};
use super::stream::Appended;
use crate::broker::Broker;
use crate::door;
use crate::partition::{Partition, Pending};
use crate::remote::QueueCounts;
use crate::replica::{State as _, unexpected};

/// How long the end of a session is tried while the partition takes nothing in.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// Pause before it is tried again.
const CLOSE_PAUSE: Duration = Duration::from_millis(200);

/// An enqueue on its way.
pub struct PendingEnqueue(Pending<Queue>);

impl PendingEnqueue {
    /// Waits until a majority has it on disk and it is applied.
    pub async fn answer(self) -> Result<Appended, WeirError> {
        let (_, answer) = self.0.answer().await?;
        match answer.map_err(|rejection| Queue::error(&rejection))? {
            Reply::Enqueued { first, repeated, .. } => Ok(Appended { base: first.0, duplicate: repeated }),
            other => Err(unexpected(&other)),
        }
    }
}

/// A request for messages.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest {
    /// A retry with the same id gets the same messages.
    pub request: RequestId,
    /// The session that the leases end with.
    pub session: Option<SessionId>,
    /// At most so many messages.
    pub max_messages: u32,
    /// At most so many bytes, but always one message.
    pub max_bytes: u64,
    /// None takes the queue's setting.
    pub lease_ms: Option<u64>,
}

/// A session that is open over one connection.
#[derive(Clone, Copy, Debug)]
pub struct OpenSession {
    /// The queue partition.
    pub group: GroupId,
    /// The session.
    pub session: SessionId,
    /// The queue's own lease, in milliseconds.
    pub lease_ms: u64,
    /// Tells this connection from an older one of the same session.
    connection: u64,
    /// The leader's term in which it was opened.
    term: Term,
}

/// A message under a lease.
#[derive(Clone, Debug)]
pub struct LeasedMessage {
    /// The message.
    pub message: MessageId,
    /// The grant.
    pub lease: LeaseId,
    /// 1 for the first delivery.
    pub attempt: u32,
    /// How long the lease runs from now, in milliseconds.
    pub lease_ms: u64,
    /// The record.
    pub record: Record,
}

/// A message, looked at.
#[derive(Clone, Debug)]
pub struct PeekedMessage {
    /// The message.
    pub message: MessageId,
    /// Where it stands.
    pub state: PeekedState,
    /// Deliveries so far.
    pub attempts: u32,
    /// Why it is parked.
    pub reason: String,
    /// The record.
    pub record: Record,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekedState {
    /// Can be leased, or waits for its key's turn.
    Ready,
    /// Waits for a time.
    Scheduled,
    /// Under a lease.
    Leased,
    /// A dead letter.
    Parked,
}

impl Broker {
    /// Takes a batch in: each record is a message. When this returns, it keeps its place.
    pub async fn enqueue(&self, group: GroupId, batch: Bytes) -> Result<PendingEnqueue, WeirError> {
        self.check_room()?;
        let partition = self.queue(group)?;
        let (enqueue, tenants) =
            door::enqueue(&batch, partition.group().wall_clock(), fair_by(&partition).as_deref())?;
        partition.admit(Command::enqueue(enqueue, tenants), batch).await.map(PendingEnqueue)
    }

    /// Leases messages, waiting until `deadline` when none is ready, or a limit of leases is reached.
    pub async fn lease(
        &self,
        group: GroupId,
        request: LeaseRequest,
        deadline: Instant,
    ) -> Result<Vec<LeasedMessage>, WeirError> {
        check_lease(&request)?;
        let partition = self.queue(group)?;
        let mut applied = partition.applied();
        let mut leadership = partition.leadership();
        loop {
            applied.borrow_and_update();
            leadership.borrow_and_update();
            partition.check_leads()?;
            if partition.read(|replica| replica.state().leasable_by(request.session)) > 0 {
                let granted = grant(&partition, &request).await?;
                if !granted.is_empty() {
                    return deliver(&partition, granted).await;
                }
            }
            tokio::select! {
                changed = applied.changed() => changed.map_err(|_| stopping())?,
                changed = leadership.changed() => changed.map_err(|_| stopping())?,
                () = sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    /// Settles leased messages: one outcome per item, in order.
    pub async fn settle(
        &self,
        group: GroupId,
        request: Option<RequestId>,
        items: Vec<SettleItem>,
    ) -> Result<Vec<Result<(), WeirError>>, WeirError> {
        let keys: Vec<_> = items.iter().map(|item| (item.message, item.lease)).collect();
        match self.queue(group)?.propose(Command::Settle(Settle { request, items })).await? {
            Reply::Settled { outcomes } => Ok(keys.into_iter().zip(outcomes).map(settled).collect()),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a consumer's session, or takes it up again within its grace. To be run to its end: whoever drops it
    /// half way leaves a session behind that nobody closes.
    pub async fn open_session(&self, group: GroupId, session: SessionId) -> Result<OpenSession, WeirError> {
        let partition = self.queue(group)?;
        let connection = self.random_u64();
        let connected = self.connected(group);
        let mut sessions = connected.lock().await;
        sessions.insert(session, connection);
        let opening = partition.admit(Command::OpenSession { session }, Bytes::new()).await;
        drop(sessions);
        let opened = OpenSession { group, session, connection, lease_ms: 0, term: Term(0) };
        let outcome = match opening {
            Ok(opening) => opening.answer().await,
            Err(error) => Err(error),
        };
        let answered = outcome.and_then(|(position, answer)| {
            answer.map(|_| position.term).map_err(|rejection| Queue::error(&rejection))
        });
        match answered {
            Ok(term) => {
                let lease_ms = partition.read(|replica| replica.state().policy().lease_ms);
                Ok(OpenSession { lease_ms, term, ..opened })
            }
            Err(error) => {
                self.abandon(opened, &error).await;
                Err(error)
            }
        }
    }

    /// A session that was not opened, or may have been: then it must not stay open with nobody behind it.
    async fn abandon(&self, open: OpenSession, error: &WeirError) {
        if error.kind != ErrorKind::OutcomeUnknown {
            return self.forget_session(&open).await;
        }
        let broker = self.clone();
        tokio::spawn(async move {
            if let Err(error) = broker.close_session(open, SessionEnding::Lost).await {
                tracing::debug!(%error, session = %open.session, "session was not closed here");
            }
        });
    }

    /// Ends a session, unless its consumer has come back over another connection meanwhile. As long as this node
    /// leads nobody else would, so it is tried for a while.
    pub async fn close_session(&self, open: OpenSession, ending: SessionEnding) -> Result<(), WeirError> {
        let deadline = Instant::now() + CLOSE_PATIENCE;
        loop {
            let error = match self.begin_to_close(&open, ending).await {
                Ok(Some(closing)) => return closing.answer().await.map(|_| ()),
                Ok(None) => return Ok(()),
                Err(error) => error,
            };
            let again = matches!(error.kind, ErrorKind::Retry | ErrorKind::Throttled);
            if !again || Instant::now() >= deadline {
                self.forget_session(&open).await;
                return Err(error);
            }
            sleep(self.inner().runtime.jittered(CLOSE_PAUSE)).await;
        }
    }

    async fn begin_to_close(
        &self,
        open: &OpenSession,
        ending: SessionEnding,
    ) -> Result<Option<Pending<Queue>>, WeirError> {
        let connected = self.connected(open.group);
        let mut sessions = connected.lock().await;
        if sessions.get(&open.session) != Some(&open.connection) {
            return Ok(None);
        }
        let command = Command::CloseSession { session: open.session, ending };
        let closing = self.queue(open.group)?.admit(command, Bytes::new()).await?;
        sessions.remove(&open.session);
        Ok(Some(closing))
    }

    async fn forget_session(&self, open: &OpenSession) {
        let connected = self.connected(open.group);
        let mut sessions = connected.lock().await;
        if sessions.get(&open.session) == Some(&open.connection) {
            sessions.remove(&open.session);
        }
    }

    /// Resolves when this node does not lead any more in the term in which the session was opened, and says why
    /// its consumer has to come back: the next leader gives every session no more than its grace.
    pub async fn session_moved(&self, open: &OpenSession) -> WeirError {
        let partition = match self.queue(open.group) {
            Ok(partition) => partition,
            Err(error) => return error,
        };
        let mut leadership = partition.leadership();
        if leadership.wait_for(|now| !now.here || now.term != open.term).await.is_err() {
            return stopping();
        }
        partition.check_leads().err().unwrap_or_else(|| {
            WeirError::new(ErrorKind::Retry, "leader-starting", "this node leads the partition anew")
                .after_ms(10)
        })
    }

    /// The messages that a session holds, but its client does not know of: their delivery was lost with the
    /// connection.
    pub async fn undelivered(
        &self,
        group: GroupId,
        session: SessionId,
        known: &[LeaseId],
    ) -> Result<Vec<LeasedMessage>, WeirError> {
        let partition = self.queue(group)?;
        let granted = partition.read(|replica| {
            let held = replica.state().leased_by(session);
            held.filter(|granted| !known.contains(&granted.lease)).collect::<Vec<_>>()
        });
        deliver(&partition, granted).await
    }

    /// Looks at messages without changing anything.
    pub async fn peek(
        &self,
        group: GroupId,
        from: MessageId,
        max: usize,
    ) -> Result<Vec<PeekedMessage>, WeirError> {
        let partition = self.queue(group)?;
        partition.barrier().await?;
        let views = partition.read(|replica| replica.state().peek(from, max));
        show(&partition, views).await
    }

    /// Dead letters, oldest first.
    pub async fn parked(
        &self,
        group: GroupId,
        from: MessageId,
        max: usize,
    ) -> Result<Vec<PeekedMessage>, WeirError> {
        let partition = self.queue(group)?;
        partition.barrier().await?;
        let views = partition.read(|replica| replica.state().parked(None, from, max));
        show(&partition, views).await
    }

    /// Counts of a partition, and the numbers of which they are taken. Never stale.
    pub async fn queue_counts(&self, group: GroupId) -> Result<(QueueCounts, Stats), WeirError> {
        let partition = self.queue(group)?;
        partition.barrier().await?;
        Ok(partition.read(|replica| (counts(replica.state()), replica.state().stats())))
    }
}

/// The header that names the tenants of a queue that they share.
pub(crate) fn fair_by(partition: &Partition<Queue>) -> Option<String> {
    partition.read(|replica| replica.state().policy().fair_by.clone())
}

pub(crate) fn counts(queue: &Queue) -> QueueCounts {
    let stats = queue.stats();
    QueueCounts {
        ready: stats.ready,
        leased: stats.leased,
        scheduled: stats.scheduled + stats.delayed,
        parked: stats.parked,
        bytes: stats.bytes,
        enqueued_total: stats.next_message.0,
        acked_total: stats.acked,
        redelivered_total: stats.redelivered,
        outbox_batches: queue.outbox().len() as u64,
    }
}

fn check_lease(request: &LeaseRequest) -> Result<(), WeirError> {
    if !(1..=LEASE_MESSAGES_MAX).contains(&request.max_messages) {
        let message =
            format!("{} messages asked for, 1 to {LEASE_MESSAGES_MAX} allowed", request.max_messages);
        return Err(WeirError::new(ErrorKind::Invalid, "lease-messages-out-of-range", message));
    }
    if let Some(ms) = request.lease_ms.filter(|ms| *ms > LEASE_MS_MAX) {
        let message = format!("lease of {ms} ms exceeds the limit of {LEASE_MS_MAX} ms");
        return Err(WeirError::new(ErrorKind::Invalid, "lease-too-long", message));
    }
    Ok(())
}

async fn grant(partition: &Partition<Queue>, request: &LeaseRequest) -> Result<Vec<Granted>, WeirError> {
    let command = Command::Lease(Lease {
        request: request.request,
        session: request.session,
        max_messages: request.max_messages,
        max_bytes: request.max_bytes,
        lease_ms: request.lease_ms,
    });
    match partition.propose(command).await? {
        Reply::Leased { messages } => Ok(messages),
        other => Err(unexpected(&other)),
    }
}

/// Reads the records of leased messages, each batch once.
async fn deliver(
    partition: &Partition<Queue>,
    granted: Vec<Granted>,
) -> Result<Vec<LeasedMessage>, WeirError> {
    let now = partition.read(|replica| replica.clocks().lease);
    let places = granted.iter().map(|granted| (granted.message, (granted.pointer, granted.record)));
    let mut records = read_records(partition, places).await?;
    let delivered = granted.into_iter().filter_map(|granted| {
        let record = records.remove(&granted.message)?;
        let lease_ms = granted.deadline - now;
        let Granted { message, lease, attempt, .. } = granted;
        Some(LeasedMessage { message, lease, attempt, lease_ms, record })
    });
    Ok(delivered.collect())
}

async fn show(
    partition: &Partition<Queue>,
    views: Vec<MessageView>,
) -> Result<Vec<PeekedMessage>, WeirError> {
    let places = views.iter().map(|view| (view.message, (view.pointer, view.record)));
    let mut records = read_records(partition, places).await?;
    let shown = views.into_iter().filter_map(|view| {
        // A message that was acked since has no record any more.
        let record = records.remove(&view.message)?;
        let (state, reason) = match view.state {
            MessageState::Ready => (PeekedState::Ready, String::new()),
            MessageState::Scheduled { .. } | MessageState::Delayed { .. } => {
                (PeekedState::Scheduled, String::new())
            }
            MessageState::Leased { .. } => (PeekedState::Leased, String::new()),
            MessageState::Parked { reason, .. } => (PeekedState::Parked, describe(&reason)),
        };
        Some(PeekedMessage { message: view.message, state, attempts: view.attempts, reason, record })
    });
    Ok(shown.collect())
}

/// Why a message is parked, in words.
pub fn describe(reason: &ParkReason) -> String {
    match reason {
        ParkReason::AttemptsUsedUp => "attempts used up".to_owned(),
        ParkReason::Rejected(reason) => reason.clone(),
    }
}

/// Batch, and number of the record in it.
type Place = (Pointer, u32);

/// Reads the records of messages, each batch once. Missing are those of messages that are gone by now. A body that was written
/// anew meanwhile is read where it lies now.
pub(crate) async fn read_records(
    partition: &Partition<Queue>,
    places: impl Iterator<Item = (MessageId, Place)>,
) -> Result<BTreeMap<MessageId, Record>, WeirError> {
    let mut records = BTreeMap::new();
    let mut wanted: Vec<(MessageId, Place)> = places.collect();
    while !wanted.is_empty() {
        let gone = read_where_they_lie(partition, wanted, &mut records).await?;
        wanted = partition.read(|replica| {
            let moved = |(id, place): (MessageId, Place)| {
                let now = replica.state().place(id).filter(|now| *now != place)?;
                Some((id, now))
            };
            gone.into_iter().filter_map(moved).collect()
        });
    }
    Ok(records)
}

/// Reads records at these places; answers what was not there.
async fn read_where_they_lie(
    partition: &Partition<Queue>,
    places: Vec<(MessageId, Place)>,
    records: &mut BTreeMap<MessageId, Record>,
) -> Result<Vec<(MessageId, Place)>, WeirError> {
    let mut batches: BTreeMap<Pointer, Vec<(u32, MessageId)>> = BTreeMap::new();
    for (id, (pointer, record)) in places {
        batches.entry(pointer).or_default().push((record, id));
    }
    let mut reader = BatchReader::new(partition.group());
    let mut gone = Vec::new();
    for (pointer, mut messages) in batches {
        let batch = match reader.read(pointer).await {
            Ok(batch) => batch,
            Err(weir_consensus::ReadError::Gone) => {
                gone.extend(messages.into_iter().map(|(record, id)| (id, (pointer, record))));
                continue;
            }
            Err(error) => return Err(read_error(&error)),
        };
        messages.sort_unstable();
        let numbers: Vec<u32> = messages.iter().map(|(record, _)| *record).collect();
        let ids = messages.into_iter().map(|(_, id)| id);
        records.extend(ids.zip(pick(&batch, &numbers)?));
    }
    Ok(gone)
}

fn settled(((message, lease), outcome): ((MessageId, LeaseId), Settled)) -> Result<(), WeirError> {
    match outcome {
        Settled::Done | Settled::Parked | Settled::Extended { deadline: LeaseClock(_) } => Ok(()),
        Settled::LeaseLost => {
            let message = format!("lease {lease} is not the current one of message {message}");
            Err(WeirError::new(ErrorKind::LeaseLost, "lease-lost", message))
        }
    }
}

fn stopping() -> WeirError {
    WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping").after_ms(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_asked_for_within_its_limits() {
        let code = |max_messages, lease_ms| {
            let (request, session, max_bytes) = (RequestId(1), None, 1);
            let asked = LeaseRequest { request, session, max_messages, max_bytes, lease_ms };
            check_lease(&asked).err().map(|error| error.code)
        };
        for within in [(1, None), (LEASE_MESSAGES_MAX, Some(LEASE_MS_MAX))] {
            assert_eq!(code(within.0, within.1), None, "{within:?}");
        }
        for messages in [0, LEASE_MESSAGES_MAX + 1] {
            assert_eq!(code(messages, None).as_deref(), Some("lease-messages-out-of-range"));
        }
        assert_eq!(code(1, Some(LEASE_MS_MAX + 1)).as_deref(), Some("lease-too-long"));
    }
}

//! Brings what outboxes hold to where it belongs: exactly once, whatever happens on the way (P11).
//!
//! ```text
//!  source's leader                                   destination's leader
//!  outbox: 5 6 7 ──── batches 5 to 7, after 4 ────►  inbox: 4 ─► accept 5, 6, 7 ─► inbox: 7
//!          ▲                                            │
//!          └──── confirm through 7 ◄──── through 7 ─────┘
//! ```
//!
//! The numbers make it safe, not this module: whoever sends, however often, a batch is taken in right behind the one
//! before it or not at all. So nothing is kept here that a new leader would miss. What waits for a partition that is sealed is
//! cut anew for those that have its keys (`recut`).

mod arrivals;
mod recut;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};
use weir_consensus::Leadership;
use weir_queue::Queue;
use weir_stream::Stream;
use weir_types::outbox::Outbox;
use weir_types::{ErrorKind, GroupId, LogIndex, Recut, TransferSequence, TransferSource, WeirError};

use crate::api::bodies::{BatchReader, read_error};
use crate::api::queue::fair_by;
use crate::broker::{Broker, SEALED};
use crate::door;
use crate::hosted::Kind;
use crate::partition::{Partition, Pending};
use crate::remote::{Answer, Request, unexpected};
use crate::replica::{self, State};
use crate::rest::Rest;

pub(crate) use arrivals::{all_arrived, check_nothing_waits, wait_for_arrivals};
pub(crate) use recut::check_order;

/// Most bytes of one request, unless its first batch alone is larger.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most batches of one request.
const REQUEST_BATCHES_MAX: usize = 256;
/// Most destinations that are sent to at once; the others get their turn.
const SENDS_MAX: usize = 16;

/// A machine with an outbox.
pub(crate) trait Sends: State {
    /// Its partition of this id on this node.
    fn partition(broker: &Broker, group: GroupId) -> Result<Partition<Self>, WeirError>;
    /// What waits for other partitions.
    fn outbox(&self) -> &Outbox;
    /// Forgets what has arrived.
    fn confirm(destination: GroupId, through: TransferSequence) -> Self::Command;
    /// Replaces what waits for a sealed partition.
    fn recut(recut: Recut) -> Self::Command;
}

impl Sends for Queue {
    fn partition(broker: &Broker, group: GroupId) -> Result<Partition<Self>, WeirError> {
        broker.queue(group)
    }

    fn outbox(&self) -> &Outbox {
        self.outbox()
    }

    fn confirm(destination: GroupId, through: TransferSequence) -> weir_queue::Command {
        weir_queue::Command::ConfirmTransfer { destination, through }
    }

    fn recut(recut: Recut) -> weir_queue::Command {
        weir_queue::Command::Recut(recut)
    }
}

impl Sends for Stream {
    fn partition(broker: &Broker, group: GroupId) -> Result<Partition<Self>, WeirError> {
        broker.stream(group)
    }

    fn outbox(&self) -> &Outbox {
        self.outbox()
    }

    fn confirm(destination: GroupId, through: TransferSequence) -> weir_stream::Command {
        weir_stream::Command::ConfirmTransfer { destination, through }
    }

    fn recut(recut: Recut) -> weir_stream::Command {
        weir_stream::Command::Recut(recut)
    }
}

/// Sends for one source while this node leads it; ends when the source's replica is closed.
pub(crate) async fn run<S: Sends>(
    broker: Broker,
    source: GroupId,
    mut applied: watch::Receiver<LogIndex>,
    mut leadership: watch::Receiver<Leadership>,
) {
    let mut sender: Sender<S> = Sender::new(broker, source);
    loop {
        applied.borrow_and_update();
        let Leadership { here, .. } = *leadership.borrow_and_update();
        if here {
            sender.begin();
        } else {
            sender.stop();
        }
        let again = sender.next_try();
        let open = tokio::select! {
            changed = applied.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
            Some((destination, sent)) = sender.sending.next(), if !sender.sending.is_empty() => {
                sender.ended(destination, sent);
                true
            }
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => true,
        };
        if !open {
            return;
        }
    }
}

type Sending = Pin<Box<dyn Future<Output = (GroupId, Result<(), WeirError>)> + Send>>;

/// One request per destination at a time, so that a slow destination holds up no other.
struct Sender<S> {
    broker: Broker,
    source: GroupId,
    sending: FuturesUnordered<Sending>,
    busy: BTreeSet<GroupId>,
    /// The last destination that was begun with: the next turn is that of the one behind it.
    last: GroupId,
    /// Destinations that took nothing.
    resting: BTreeMap<GroupId, Rest>,
    machine: PhantomData<fn() -> S>,
}

impl<S: Sends> Sender<S> {
    fn new(broker: Broker, source: GroupId) -> Self {
        let (sending, busy, resting) = (FuturesUnordered::new(), BTreeSet::new(), BTreeMap::new());
        Self { broker, source, sending, busy, last: GroupId(0), resting, machine: PhantomData }
    }

    /// Begins to send to destinations for which something waits, in turn.
    fn begin(&mut self) {
        let Ok(partition) = S::partition(&self.broker, self.source) else { return };
        let mut waiting: Vec<_> = partition.read(|replica| replica.state().outbox().waiting().collect());
        let behind = waiting.partition_point(|(destination, _)| *destination <= self.last);
        waiting.rotate_left(behind);
        for (destination, after) in waiting {
            if self.busy.len() >= SENDS_MAX {
                return;
            }
            let rests = self.resting.get(&destination).is_some_and(|rest| rest.until().is_some());
            if rests || !self.busy.insert(destination) {
                continue;
            }
            self.last = destination;
            let (broker, source, partition) = (self.broker.clone(), self.source, partition.clone());
            self.sending.push(Box::pin(async move {
                (destination, send(&broker, source, &partition, destination, after).await)
            }));
        }
    }

    /// This node leads no more: the next leader sends.
    fn stop(&mut self) {
        self.sending.clear();
        self.busy.clear();
        self.resting.clear();
    }

    fn ended(&mut self, destination: GroupId, sent: Result<(), WeirError>) {
        self.busy.remove(&destination);
        let Err(error) = sent else {
            self.resting.remove(&destination);
            return;
        };
        let source = self.source;
        if error.kind.is_final() {
            warn!(%source, %destination, %error, "a transfer is refused; it will be tried again");
        } else {
            debug!(%source, %destination, %error, "a transfer has to wait");
        }
        metrics::counter!("weir_transfers_failed_total", "code" => error.code).increment(1);
        self.resting.entry(destination).or_default().failed(&self.broker.inner().runtime);
    }

    fn next_try(&self) -> Option<Instant> {
        let idle = self.resting.iter().filter(|(destination, _)| !self.busy.contains(destination));
        idle.filter_map(|(_, rest)| rest.until()).min()
    }
}

/// Sends the next batches to one destination, and notes in the outbox what has arrived.
async fn send<S: Sends>(
    broker: &Broker,
    source: GroupId,
    partition: &Partition<S>,
    destination: GroupId,
    after: TransferSequence,
) -> Result<(), WeirError> {
    let through = if broker.registry(|registry| registry.is_deleted(destination)) {
        let last = partition.read(|replica| {
            let batches = replica.state().outbox().batches(destination, after);
            batches.last().map_or(after, |batch| batch.sequence)
        });
        warn!(%source, %destination, dropped = last.0 - after.0, "the partition to append to was deleted");
        last
    } else {
        let batches = next_batches(partition, destination, after).await?;
        let count = batches.len() as u64;
        let request =
            Request::Transfer { destination, source: TransferSource::outbox(source), after, batches };
        let answer = match broker.at_leader(destination, request).await {
            // Whatever it has taken in before, it has said: this is behind that.
            Err(error) if error.code == SEALED => {
                return Box::pin(recut::recut(broker, source, partition, destination, after)).await;
            }
            answer => answer?,
        };
        match answer {
            Answer::Transferred { through } if through >= after => {
                metrics::counter!("weir_transfers_total").increment(count.min(through.0 - after.0));
                through
            }
            // What was cut anew for others counts as arrived here, and something was put behind it since.
            Answer::Transferred { .. } if recut::is_sealed(broker, destination) => {
                return Box::pin(recut::recut(broker, source, partition, destination, after)).await;
            }
            Answer::Transferred { through } => {
                // Numbers never fall. To go on would mean to append again what is confirmed.
                let message =
                    format!("partition {destination} has forgotten batches: {through} after {after}");
                return Err(WeirError::new(ErrorKind::Corrupt, "transfers-forgotten", message));
            }
            other => return Err(unexpected(&other)),
        }
    };
    partition.propose(S::confirm(destination, through)).await?;
    Ok(())
}

async fn next_batches<S: Sends>(
    partition: &Partition<S>,
    destination: GroupId,
    after: TransferSequence,
) -> Result<Vec<(TransferSequence, Bytes)>, WeirError> {
    let outgoing: Vec<_> = partition.read(|replica| {
        replica.state().outbox().batches(destination, after).take(REQUEST_BATCHES_MAX).collect()
    });
    let mut reader = BatchReader::new(partition.group());
    let (mut batches, mut bytes) = (Vec::with_capacity(outgoing.len()), 0);
    for next in outgoing {
        bytes += next.pointer.length as usize;
        if bytes > REQUEST_BYTES_MAX && !batches.is_empty() {
            break;
        }
        let batch = reader.read(next.pointer).await.map_err(|error| read_error(&error))?;
        batches.push((next.sequence, batch));
    }
    Ok(batches)
}

impl Broker {
    /// Takes in what another partition's outbox sends: answers how far its source is now.
    pub(crate) async fn accept_transfer(
        &self,
        destination: GroupId,
        source: TransferSource,
        after: TransferSequence,
        batches: Vec<(TransferSequence, Bytes)>,
    ) -> Result<TransferSequence, WeirError> {
        self.check_room()?;
        match self.hosted(destination)?.partition {
            Kind::Queue(queue) => {
                let (now, fair_by) = (queue.group().wall_clock(), fair_by(&queue));
                let pending = admit_all(&queue, after, batches, |after, sequence, bytes| {
                    let (batch, tenants) = door::enqueue(bytes, now, fair_by.as_deref())?;
                    let transfer = weir_queue::Transfer { source, after, sequence, batch };
                    Ok(weir_queue::Command::accept_transfer(transfer, tenants))
                });
                all_answers(after, pending.await?, |reply| match reply {
                    weir_queue::Reply::Transferred { through } => Ok(through),
                    other => Err(replica::unexpected(&other)),
                })
                .await
            }
            Kind::Stream(stream) => {
                let pending = admit_all(&stream, after, batches, |after, sequence, bytes| {
                    // What is promised arrives: a record without a key stays in a compacted stream.
                    let batch = door::append(bytes, false)?;
                    let transfer = weir_stream::Transfer { source, after, sequence, batch };
                    Ok(weir_stream::Command::AcceptTransfer(transfer))
                });
                all_answers(after, pending.await?, |reply| match reply {
                    weir_stream::Reply::Transferred { through } => Ok(through),
                    other => Err(replica::unexpected(&other)),
                })
                .await
            }
            Kind::Coordinator(_) => {
                let message = format!("partition {destination} takes no transfers");
                Err(WeirError::new(ErrorKind::Invalid, "wrong-partition-kind", message))
            }
        }
    }
}

/// Takes all batches in, in order: they mostly share an entry.
async fn admit_all<S: State>(
    partition: &Partition<S>,
    mut after: TransferSequence,
    batches: Vec<(TransferSequence, Bytes)>,
    command: impl Fn(TransferSequence, TransferSequence, &Bytes) -> Result<S::Command, WeirError>,
) -> Result<Vec<Pending<S>>, WeirError> {
    let mut pending = Vec::with_capacity(batches.len());
    for (sequence, batch) in batches {
        pending.push(partition.admit(command(after, sequence, &batch)?, batch).await?);
        after = sequence;
    }
    Ok(pending)
}

/// How far the source is after all of them: an error only if none was taken in.
async fn all_answers<S: State>(
    after: TransferSequence,
    pending: Vec<Pending<S>>,
    through: impl Fn(S::Reply) -> Result<TransferSequence, WeirError>,
) -> Result<TransferSequence, WeirError> {
    let (mut known, mut failure) = (None, None);
    for pending in pending {
        let answer = pending
            .answer()
            .await
            .and_then(|(_, answer)| answer.map_err(|rejection| S::error(&rejection)).and_then(&through));
        match answer {
            Ok(through) => known = known.max(Some(through)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match (known, failure) {
        (Some(known), failure) if failure.is_none() || known > after => Ok(known),
        (_, Some(error)) => Err(error),
        (_, None) => Ok(after),
    }
}

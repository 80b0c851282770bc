//! Acked messages that are kept are enqueued anew.

use bytes::Bytes;
use weir_queue::{Command, Enqueue, KeptMessage, Queue, Replay, Replayed, Reply};
use weir_types::batch::reserved_headers;
use weir_types::{BatchBuilder, ErrorKind, GroupId, MessageId, RequestId, WallClock, WeirError};

use super::bodies::Record;
use super::queue::{fair_by, read_records};
use crate::broker::Broker;
use crate::door;
use crate::links::add;
use crate::partition::Partition;
use crate::replica::{State as _, unexpected};

/// Most messages of one step.
const STEP_MESSAGES_MAX: usize = 256;
/// A step ends after the message with which it is this large.
const STEP_BYTES_MAX: usize = 1 << 20;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Messages that it has enqueued, in all its steps.
    pub replayed: u64,
    /// Whether there may be more to do.
    pub more: bool,
}

/// What a leader sees before a step.
struct Look {
    begun: Option<Replayed>,
    next: MessageId,
    /// Where the step ends.
    to: MessageId,
    /// Where the replay ends.
    end: MessageId,
    messages: Vec<KeptMessage>,
}

impl Broker {
    /// One step of a replay: kept messages that arrived from `from` on and before `to`, or until now. Repeated under the
    /// same id it goes on where the last step ended, within the range of the first.
    ///
    /// # Errors
    /// `Invalid` when the queue keeps nothing, for an id of 0 and for a range that ends before it begins; `OutOfSpace`
    /// when the queue is full: the replay goes on when there is room.
    pub async fn replay(
        &self,
        group: GroupId,
        request: RequestId,
        from: WallClock,
        to: Option<WallClock>,
    ) -> Result<ReplayProgress, WeirError> {
        if request.0 == 0 || to.is_some_and(|to| to < from) {
            let message = "a replay has an id that is not 0, and a range of time that ends after it begins";
            return Err(WeirError::new(ErrorKind::Invalid, "replay-invalid", message));
        }
        self.check_room()?;
        let partition = self.queue(group)?;
        partition.barrier().await?;
        let look = partition.read(|replica| look(replica.state(), request, from, to))?;
        if look.next >= look.end {
            let replayed = look.begun.map_or(0, |begun| begun.count);
            return Ok(ReplayProgress { replayed, more: false });
        }
        self.replay_some(group, &partition, request, look).await
    }

    async fn replay_some(
        &self,
        group: GroupId,
        partition: &Partition<Queue>,
        request: RequestId,
        look: Look,
    ) -> Result<ReplayProgress, WeirError> {
        let origin = self.registry(|registry| {
            let partition = registry.partition(group)?;
            Some(format!("{}/{}", registry.topic(partition.topic)?.name, partition.index))
        });
        let origin = origin.unwrap_or_default();
        let places = look.messages.iter().map(|kept| (kept.message, (kept.pointer, kept.record)));
        let records = read_records(partition, places).await?;
        let mut builder = BatchBuilder::default();
        let mut to = look.to;
        for kept in &look.messages {
            // A message counts with the average of its batch; it may be much larger.
            if builder.bytes() >= STEP_BYTES_MAX {
                to = kept.message;
                break;
            }
            // One whose time is over meanwhile has no record any more.
            if let Some(record) = records.get(&kept.message) {
                add_replayed(&mut builder, record, &format!("{origin}/{}", kept.message))?;
            }
        }
        let (mut batch, mut tenants, mut body) = (None, Vec::new(), Bytes::new());
        if !builder.is_empty() {
            body = builder.build(None).expect("a batch with records and without a producer can be built");
            let fair_by = fair_by(partition);
            let (read, whose) = door::enqueue(&body, partition.group().wall_clock(), fair_by.as_deref())?;
            tenants = whose;
            // A message id that was sent with it makes no duplicate of it.
            batch = Some(Enqueue { dedup: Vec::new(), ..read });
        }
        let step = Replay { request, from: look.next, next: to, end: look.end, batch };
        let (_, answer) = partition.admit(Command::replay(step, tenants), body).await?.answer().await?;
        match answer.map_err(|rejection| Queue::error(&rejection))? {
            Reply::Replayed(now) => Ok(ReplayProgress { replayed: now.count, more: now.next < now.end }),
            other => Err(unexpected(&other)),
        }
    }
}

fn look(
    queue: &Queue,
    request: RequestId,
    from: WallClock,
    to: Option<WallClock>,
) -> Result<Look, WeirError> {
    let begun = queue.replayed(request);
    if begun.is_none() && queue.policy().keep_ms.is_none() {
        let message =
            "the queue keeps no acked messages; `weir topic alter QUEUE --keep 24h` begins with that";
        return Err(WeirError::new(ErrorKind::Invalid, "queue-keeps-nothing", message));
    }
    let range = || {
        let end = to.map_or_else(|| queue.stats().next_message, |to| queue.kept_from(to));
        (queue.kept_from(from), end)
    };
    let (next, end) = begun.map_or_else(range, |begun| (begun.next, begun.end));
    let mut messages = queue.kept(next, STEP_MESSAGES_MAX);
    messages.retain(|kept| kept.message < end);
    let all = messages.len();
    messages.truncate(fitting(messages.iter().map(|kept| kept.bytes as usize)));
    let is_cut = messages.len() < all || all == STEP_MESSAGES_MAX;
    let last = messages.last().filter(|_| is_cut);
    let to = last.map_or(end, |last| MessageId(last.message.0 + 1));
    Ok(Look { begun, next, to, end, messages })
}

/// How many messages of these sizes one step takes: at least one, if there is one.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fit = sizes.take_while(|size| {
        let fits = bytes < STEP_BYTES_MAX;
        bytes += size;
        fits
    });
    fit.count()
}

/// As it was sent, but without waiting again, and with the message that it was. One that gets too large by that goes
/// without.
fn add_replayed(batch: &mut BatchBuilder, record: &Record, origin: &str) -> Result<(), WeirError> {
    let keeps = |name: &str| name != reserved_headers::DELIVER_AT && name != reserved_headers::REPLAY_ORIGIN;
    add(batch, record, keeps, &[(reserved_headers::REPLAY_ORIGIN, origin.as_bytes())])
        .or_else(|_| add(batch, record, keeps, &[]))
        .map_err(|error| WeirError::new(error.kind(), error.code(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_with_the_message_that_fills_it_and_takes_one_that_is_larger() {
        let mib = 1 << 20;
        assert_eq!(fitting([3 * mib, 1].into_iter()), 1);
        assert_eq!(fitting([mib / 2, mib / 2, 1].into_iter()), 2);
        assert_eq!(fitting([mib / 2, mib / 2 - 1, mib, 1].into_iter()), 3);
        assert_eq!(fitting([0; 9].into_iter()), 9);
        assert_eq!(fitting([].into_iter()), 0);
    }
}

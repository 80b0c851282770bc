//! A producer's lane: one batch after the other into one partition, each repeated until it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{MessageId, Op, Value};
use weir_types::{
    BatchBuilder, BatchError, ErrorKind, GroupId, ProducerEpoch, ProducerId, ProducerSequence, WeirError,
};

use super::super::client::{Client, SEALED};
use super::super::wire::{Answer, Question};
use super::atlas::Atlas;
use super::flavour::{Drawn, Flavour, Header};
use super::{Journal, QUEUE, STREAM, ended};
use crate::recorder::{Begun, End};

/// The header that names a record's tenant; only a queue that tenants share reads it.
pub(super) const TENANT: &str = "tenant";
/// How many keys there are.
const KEYS: u64 = 16;
/// Most records of one batch.
const RECORDS_MAX: u64 = 4;
/// Where messages have priorities so many times more are sent at once, and as much less often: which of them goes first
/// shows only where several wait.
const BURST: u64 = 4;
/// Before one batch of so many a producer looks who owns the keys, though nobody has refused it.
const LOOKS_ONE_IN: u64 = 12;
/// Longest padding of a body.
const PADDING_MAX: u64 = 200;
/// One message of so many that wait for their delivery time is called off.
const CALLED_OFF_ONE_IN: u64 = 5;
/// How long after it was sent, at most.
const CALLED_OFF_AFTER_MS_MAX: u64 = 400;

/// Which way a producer's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Into the queue, with what its flavour says.
    Queue(Flavour),
    /// Into the stream.
    Stream,
    /// Into the stream that feeds the queue: as messages of the queue they have no place that a producer knows.
    Inlet,
    /// Into the queue that is forwarded to the stream, where their places are not known either.
    Outlet,
}

/// What one producer sends to one partition.
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) door: Door,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) producer: (ProducerId, ProducerEpoch),
    /// The producer in the history.
    pub(super) number: u32,
    /// The next value of the producer, over all its lanes.
    pub(super) next: Arc<AtomicU64>,
    pub(super) pace_ms_max: u64,
    /// Whether records of the stream are told with their keys: each goes to the owner of its key.
    pub(super) keyed: bool,
}

/// One record on its way.
struct Sent {
    value: Value,
    key: u8,
    drawn: Drawn,
}

impl Lane {
    /// Sends until it is `quiet`, and once more when all has `healed`: the partition takes writes again.
    pub(super) async fn run(
        self,
        quiet: CancellationToken,
        healed: CancellationToken,
    ) -> Result<(), WeirError> {
        let mut sequence = 0;
        loop {
            let last = healed.is_cancelled();
            let count = 1 + self.client.below(RECORDS_MAX * self.burst()) as u32;
            let sent = self.send(sequence, count).await?;
            sequence = ProducerSequence::advance(sequence, count);
            if last {
                return Ok(());
            }
            for message in sent {
                self.call_off(message).await?;
            }
            self.pause(&quiet, &healed).await;
        }
    }

    /// Sends each record to the owner of its key until it is `quiet`, and once more of each key when all has `healed`.
    pub(super) async fn run_by_key(
        mut self,
        atlas: Atlas,
        quiet: CancellationToken,
        healed: CancellationToken,
    ) -> Result<(), WeirError> {
        let mut sequences = BTreeMap::new();
        while !healed.is_cancelled() {
            let count = 1 + self.client.below(RECORDS_MAX) as u32;
            let key = self.client.below(KEYS) as u8;
            if self.client.below(LOOKS_ONE_IN) == 0 {
                atlas.refresh(&self.client).await?;
            }
            self.send_by_key((key, count), &atlas, &mut sequences).await?;
            self.pause(&quiet, &healed).await;
        }
        for key in 0..KEYS as u8 {
            self.send_by_key((key, 1), &atlas, &mut sequences).await?;
        }
        Ok(())
    }

    async fn pause(&self, quiet: &CancellationToken, healed: &CancellationToken) {
        let pause = Duration::from_millis(self.client.below(self.pace_ms_max + 1) * self.burst());
        let next = async {
            sleep(pause).await;
            if quiet.is_cancelled() {
                healed.cancelled().await;
            }
        };
        tokio::select! {
            biased;
            () = healed.cancelled() => {}
            () = next => {}
        }
    }

    /// Sends a batch of one key to its owner, and to the next one when that was sealed without it.
    async fn send_by_key(
        &mut self,
        (key, count): (u8, u32),
        atlas: &Atlas,
        sequences: &mut BTreeMap<GroupId, u32>,
    ) -> Result<(), WeirError> {
        let topic = if self.door == Door::Stream { STREAM } else { QUEUE };
        let first = self.next.fetch_add(u64::from(count), Ordering::Relaxed);
        let places = first..first + u64::from(count);
        let records: Vec<Sent> = places.map(|place| self.draw(place, Some(key))).collect();
        let owner = atlas.owner(topic, &[key]);
        self.partition = owner.expect("the table was complete when the load began");
        loop {
            let group = self.partition.1;
            let sequence = sequences.entry(group).or_default();
            match self.try_out(&records, *sequence).await? {
                Ok(_) => {
                    *sequence = ProducerSequence::advance(*sequence, count);
                    return Ok(());
                }
                Err(error) if error.code == SEALED => {
                    self.partition = atlas.owner_after(&self.client, (topic, &[key]), group).await?;
                }
                Err(error) => return Err(self.refused(first, error)),
            }
        }
    }

    fn burst(&self) -> u64 {
        if self.door == Door::Queue(Flavour::Priorities) { BURST } else { 1 }
    }

    /// Sends a batch; the messages of it that wait for their delivery time.
    async fn send(&self, sequence: u32, count: u32) -> Result<Vec<MessageId>, WeirError> {
        let first = self.next.fetch_add(u64::from(count), Ordering::Relaxed);
        let values = (first..first + u64::from(count)).map(|place| self.draw(place, None));
        let records: Vec<Sent> = values.collect();
        let base = self.try_out(&records, sequence).await?.map_err(|error| self.refused(first, error))?;
        let index = self.partition.0;
        let waiting = (base..).zip(records).filter(|(_, sent)| sent.drawn.waits());
        Ok(waiting.map(|(id, _)| MessageId { partition: index, id }).collect())
    }

    /// No error of a producer that repeats itself is expected to be final.
    fn refused(&self, first: u64, error: WeirError) -> WeirError {
        self.journal.violated(format_args!("P1 records from {first} on were refused: {error}"));
        error
    }

    /// Sends records until there is an answer: where the first of them is, or why not.
    async fn try_out(&self, records: &[Sent], sequence: u32) -> Result<Result<u64, WeirError>, WeirError> {
        let (id, epoch) = self.producer;
        let whole = records.iter().map(|sent| (sent.value, sent.key, sent.drawn.header.as_ref()));
        let batch = build(whole, Some(ProducerSequence { id, epoch, base_sequence: sequence }))?;
        let group = self.partition.1;
        let question = match self.door {
            Door::Queue(_) | Door::Outlet => Question::Enqueue { group, batch },
            Door::Stream | Door::Inlet => Question::Append { group, batch },
        };
        let begun: Vec<Begun> = self.ops(records, None).iter().map(|_| self.journal.begin()).collect();
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let base = match told {
            Ok(Answer::Written { base, .. }) => Ok(base),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        };
        let ops = self.ops(records, base.as_ref().ok().copied());
        let end = base.as_ref().map_or_else(ended, |_| End::Ok);
        for (begun, op) in begun.into_iter().zip(ops) {
            self.journal.end(begun, op, end.clone());
        }
        Ok(base)
    }

    fn draw(&self, sequence: u64, key_of_all: Option<u8>) -> Sent {
        let value = Value { producer: self.number, sequence };
        let key = key_of_all.unwrap_or_else(|| key(value));
        let drawn = match self.door {
            Door::Queue(flavour) => flavour.draw(&self.client, key, self.journal.recorder.now()),
            Door::Stream | Door::Inlet | Door::Outlet => Drawn::default(),
        };
        Sent { value, key, drawn }
    }

    /// What the history says of a batch: messages are sent one by one to a queue, records together to a stream, unless
    /// they come to it as messages.
    fn ops(&self, records: &[Sent], base: Option<u64>) -> Vec<Op> {
        let now = self.journal.recorder.now();
        let partition = self.partition.0;
        let key = records.first().filter(|_| self.keyed).map(|sent| sent.key.to_string());
        let append = |values, at| Op::Append { topic: STREAM.to_owned(), values, key: key.clone(), at };
        let enqueue = |sent: &Sent, at| Op::Enqueue {
            topic: QUEUE.to_owned(),
            value: sent.value,
            terms: sent.drawn.terms(now),
            at,
        };
        let placed = |place: u64| base.map(|base| MessageId { partition, id: base + place });
        match self.door {
            Door::Queue(_) => (0..).zip(records).map(|(place, sent)| enqueue(sent, placed(place))).collect(),
            Door::Inlet => records.iter().map(|sent| enqueue(sent, None)).collect(),
            Door::Outlet => records.iter().map(|sent| append(vec![sent.value], None)).collect(),
            Door::Stream => {
                let values = records.iter().map(|sent| sent.value).collect();
                vec![append(values, base.map(|base| (partition, base)))]
            }
        }
    }

    /// Calls off some of the messages that wait.
    async fn call_off(&self, message: MessageId) -> Result<(), WeirError> {
        if self.client.below(CALLED_OFF_ONE_IN) > 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(self.client.below(CALLED_OFF_AFTER_MS_MAX))).await;
        let group = self.partition.1;
        let question = Question::Cancel { group, message: weir_types::MessageId(message.id) };
        let (begun, mut unheard) = (self.journal.begin(), false);
        let told =
            self.client.ask_and_hear(Some(group), &question, Duration::from_secs(1), &mut unheard).await;
        let end = match told {
            Ok(Answer::Count(_)) => End::Ok,
            Ok(other) => return Err(unexpected(&other)),
            Err(error) if unheard => End::Info(error.code),
            Err(error) => ended(&error),
        };
        self.journal.end(begun, Op::Cancel { topic: QUEUE.to_owned(), message }, end);
        Ok(())
    }
}

/// Records that tell these values; with no sequence when it is the partition that they come from that counts them.
pub(super) fn batch(values: &[Value], sequence: Option<ProducerSequence>) -> Result<Vec<u8>, WeirError> {
    build(values.iter().map(|value| (*value, key(*value), None)), sequence)
}

fn build<'a>(
    records: impl Iterator<Item = (Value, u8, Option<&'a Header>)>,
    sequence: Option<ProducerSequence>,
) -> Result<Vec<u8>, WeirError> {
    let mut builder = BatchBuilder::new();
    for (value, key, reserved) in records {
        let tenant = tenant(value);
        let mut headers: Vec<_> = tenant.iter().map(|name| (TENANT, Some(&name[..]))).collect();
        headers.extend(reserved.map(|(name, text)| (*name, Some(text.as_bytes()))));
        builder.push(Some(&[key]), Some(&body(value)), &headers, 0).map_err(bad_batch)?;
    }
    let batch = builder.build(sequence).map_err(bad_batch)?;
    Ok(batch.to_vec())
}

/// The key of a record, where it has no reason to be another one: few, so that messages of a FIFO queue wait for each other.
pub(super) fn key(value: Value) -> u8 {
    (value.sequence % KEYS) as u8
}

/// Three tenants, and records that name none.
fn tenant(value: Value) -> Option<[u8; 1]> {
    let number = (value.sequence % 4) as u8;
    (number > 0).then_some([number])
}

/// The body of a record tells its value, and shows damage.
fn body(value: Value) -> Vec<u8> {
    let mut body = (value.producer as u16).to_be_bytes().to_vec();
    body.extend((value.sequence as u32).to_be_bytes());
    let padding = value.sequence.wrapping_mul(0x9e37_79b9) % PADDING_MAX;
    body.extend((0..padding).map(|place| (place as u8) ^ (value.sequence as u8)));
    body
}

/// The value that a body tells; none when nobody sent such a body.
pub(super) fn value_of(found: &[u8]) -> Option<Value> {
    let (producer, rest) = found.split_first_chunk::<2>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    let (producer, sequence) = (u16::from_be_bytes(*producer), u32::from_be_bytes(*sequence));
    let value = Value { producer: u32::from(producer), sequence: u64::from(sequence) };
    (found == body(value)).then_some(value)
}

fn bad_batch(error: BatchError) -> WeirError {
    WeirError::new(ErrorKind::Internal, "bad-batch", error.to_string())
}

/// An answer to another question.
pub(super) fn unexpected(answer: &Answer) -> WeirError {
    WeirError::new(ErrorKind::Internal, "unexpected-answer", format!("unexpected answer {answer:?}"))
}

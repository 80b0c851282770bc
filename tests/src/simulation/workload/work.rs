//! A worker on one partition of the queue: leases, takes its time, and settles; until the faults are over it also gives
//! back, forgets, and is late. In some runs it appends a record to the stream with every second ack.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Delivery, How, MessageId, Op, Value};
use weir_queue::{Action, SettleItem};
use weir_types::{ErrorKind, GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Leased, Question};
use super::atlas::Atlas;
use super::produce::{batch, key, unexpected, value_of};
use super::{Journal, QUEUE, STREAM, ended};
use crate::recorder::{Begun, End};

/// Most messages of one request.
const MESSAGES_MAX: u64 = 6;
/// How long a request waits for a message, of a worker that has one partition.
pub(super) const WAIT_MS: u64 = 1_000;
/// The same, of one that has them all, and where a partition was sealed.
const ROAMING_WAIT_MS: u64 = 250;
const SEALED_WAIT_MS: u64 = 0;
/// Its pause between two requests.
const ROAMING_PAUSE: Duration = Duration::from_millis(10);
/// One ack of so many appends, where acks do.
const APPENDS_ONE_IN: u64 = 2;
/// Longest ordinary work on what was leased.
const WORK_MS_MAX: u64 = 80;

/// One worker.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) number: u32,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) lease_ms: u64,
    /// How long a request waits for a message.
    pub(super) wait_ms: u64,
    /// What it appends when it acks; nothing where acks do not append.
    pub(super) outputs: Option<Outputs>,
    /// From then on it acks everything in time.
    pub(super) careful: CancellationToken,
}

/// The records that come out of a worker's tasks.
pub(super) struct Outputs {
    /// Where they go.
    pub(super) to: Destination,
    /// Their producer in the history.
    pub(super) producer: u32,
    /// The sequence of the next one.
    pub(super) next: AtomicU64,
}

/// Where records of the stream go.
pub(super) enum Destination {
    /// To any of these Raft groups.
    Any(Vec<GroupId>),
    /// To the owner of their key, as far as is known.
    Owner(Atlas),
}

impl Outputs {
    /// Where a record goes, and the record as a batch.
    pub(super) fn place(&self, value: Value, client: &Client) -> Result<(GroupId, Vec<u8>), WeirError> {
        let destination = match &self.to {
            Destination::Any(groups) => groups[client.below(groups.len() as u64) as usize],
            Destination::Owner(atlas) => {
                let owner = atlas.owner(STREAM, &[key(value)]);
                owner.expect("the table was complete when the load began").1
            }
        };
        Ok((destination, batch(&[value], None)?))
    }
}

impl Worker {
    /// Works until the queue is drained.
    pub(super) async fn run(self, drained: CancellationToken) -> Result<(), WeirError> {
        while !drained.is_cancelled() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Works on any of the queue's partitions until it is drained.
    pub(super) async fn roam(mut self, atlas: Atlas, drained: CancellationToken) -> Result<(), WeirError> {
        // Sealed partitions from which nothing comes any more.
        let mut dry = BTreeSet::new();
        while !drained.is_cancelled() {
            let mut regions = atlas.all(QUEUE);
            regions.retain(|region| !dry.contains(&region.group));
            let region = &regions[self.client.below(regions.len() as u64) as usize];
            self.partition = region.place();
            self.wait_ms = if region.is_sealed { SEALED_WAIT_MS } else { ROAMING_WAIT_MS };
            if !self.turn().await? && region.is_sealed {
                let question = Question::Left { group: region.group };
                if let Answer::Count(0) =
                    self.client.ask(Some(region.group), &question, Duration::ZERO).await?
                {
                    dry.insert(region.group);
                }
            }
            sleep(ROAMING_PAUSE).await;
        }
        Ok(())
    }

    /// Leases once and does what is to be done; false when there was nothing.
    async fn turn(&self) -> Result<bool, WeirError> {
        let leased = self.lease().await?;
        if leased.is_empty() {
            return Ok(false);
        }
        sleep(self.work()).await;
        let mut items: Vec<SettleItem> = leased.iter().filter_map(|leased| self.decide(leased)).collect();
        if let Some(outputs) = &self.outputs {
            let appends = |item: &mut SettleItem| {
                matches!(item.action, Action::Ack) && self.client.below(APPENDS_ONE_IN) == 0
            };
            for item in items.extract_if(.., appends).collect::<Vec<_>>() {
                self.ack_and_append(item, outputs).await?;
            }
        }
        if !items.is_empty() {
            self.settle(items).await?;
        }
        Ok(true)
    }

    async fn lease(&self) -> Result<Vec<Leased>, WeirError> {
        let (index, group) = self.partition;
        let question = Question::Lease {
            group,
            request: self.client.request(),
            messages_max: 1 + self.client.below(MESSAGES_MAX) as u32,
            lease_ms: self.lease_ms,
            wait_ms: self.wait_ms,
        };
        let begun = self.journal.begin();
        let (wait, mut unheard) = (Duration::from_millis(self.wait_ms), false);
        let answer = self.client.ask_and_hear(Some(group), &question, wait, &mut unheard).await?;
        let Answer::Leased(leased) = answer else { return Err(unexpected(&answer)) };
        if unheard {
            // The answer lacks what was leased by then and is over already.
            let first = self.journal.recorder.begin_at(begun.from());
            let end = End::Info("an attempt was not answered".to_owned());
            self.journal.end(first, self.received(Vec::new()), end);
        }
        let deliveries = leased.iter().map(|leased| Delivery {
            message: MessageId { partition: index, id: leased.message.0 },
            value: value_of(&leased.value),
            lease: leased.lease.0,
            attempt: leased.attempt,
            held: Some(self.lease_ms * 1000),
        });
        self.journal.end(begun, self.received(deliveries.collect()), End::Ok);
        Ok(leased)
    }

    fn received(&self, deliveries: Vec<Delivery>) -> Op {
        Op::Receive { topic: QUEUE.to_owned(), consumer: Consumer(self.number), deliveries }
    }

    fn work(&self) -> Duration {
        let late = !self.careful.is_cancelled() && self.client.below(40) == 0;
        let late_ms = if late { self.lease_ms * 11 / 10 } else { 0 };
        Duration::from_millis(late_ms + self.client.below(WORK_MS_MAX))
    }

    /// What becomes of a message; none when the worker forgets it.
    fn decide(&self, leased: &Leased) -> Option<SettleItem> {
        let action = match self.client.below(100) {
            _ if self.careful.is_cancelled() => Action::Ack,
            0..80 => Action::Ack,
            80..92 => Action::Nack { delay_ms: Some(self.client.below(300)) },
            92..95 => Action::Release,
            _ => return None,
        };
        Some(SettleItem { message: leased.message, lease: leased.lease, action })
    }

    async fn ack_and_append(&self, item: SettleItem, outputs: &Outputs) -> Result<(), WeirError> {
        let (index, group) = self.partition;
        let sequence = outputs.next.fetch_add(1, Ordering::Relaxed);
        let value = Value { producer: outputs.producer, sequence };
        let (destination, batch) = outputs.place(value, &self.client)?;
        let question = Question::AckAndAppend {
            group,
            request: self.client.request(),
            message: item.message,
            lease: item.lease,
            destination,
            batch,
        };
        let begun = self.journal.begin();
        let end = match self.client.ask(Some(group), &question, Duration::from_secs(1)).await {
            Ok(Answer::Done) => End::Ok,
            Ok(other) => return Err(unexpected(&other)),
            Err(error) => settled(Some(error))?,
        };
        let op = Op::AckAndAppend {
            queue: QUEUE.to_owned(),
            consumer: Consumer(self.number),
            message: MessageId { partition: index, id: item.message.0 },
            lease: item.lease.0,
            stream: STREAM.to_owned(),
            value,
        };
        self.journal.end(begun, op, end);
        Ok(())
    }

    async fn settle(&self, items: Vec<SettleItem>) -> Result<(), WeirError> {
        let (index, group) = self.partition;
        let request = self.client.request();
        let question = Question::Settle { group, request, items: items.clone() };
        let begun: Vec<Begun> = items.iter().map(|_| self.journal.begin()).collect();
        let answer = self.client.ask(Some(group), &question, Duration::from_secs(1)).await?;
        let Answer::Settled(outcomes) = answer else { return Err(unexpected(&answer)) };
        for ((begun, item), error) in begun.into_iter().zip(items).zip(outcomes) {
            let end = settled(error)?;
            let op = Op::Settle {
                topic: QUEUE.to_owned(),
                consumer: Consumer(self.number),
                message: MessageId { partition: index, id: item.message.0 },
                lease: item.lease.0,
                how: how(&item.action),
            };
            self.journal.end(begun, op, end);
        }
        Ok(())
    }
}

/// How a settle ended: a lease may be lost, and nothing else may be wrong.
fn settled(error: Option<WeirError>) -> Result<End, WeirError> {
    match error {
        None => Ok(End::Ok),
        Some(error) if error.kind == ErrorKind::LeaseLost => Ok(ended(&error)),
        Some(error) => Err(error),
    }
}

fn how(action: &Action) -> How {
    match action {
        Action::Ack => How::Ack,
        Action::Nack { .. } => How::Nack,
        Action::Release => How::Release,
        Action::Reject { .. } => How::Reject,
        Action::Extend { lease_ms } => How::Extend(lease_ms * 1000),
    }
}

//! A producer of a queue or a stream: one batch at a time, repeated under the same ids when nobody knows what became
//! of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_checker::{MessageId, Op, Value};
use weir_proto::v1;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::queue_client::QueueClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::{BatchBuilder, ErrorKind, ProducerSequence};

use super::actor::{Actor, Asked};
use super::flavour::{Drawn, Flavour};
use super::payload;
use super::stage::Stage;
use super::stamps::Stamps;
use crate::history::End;
use crate::wire::{Route, Trouble};

/// Of a hundred batches of which nobody knows what became of them, so many are sent again.
const REPEATED_PERCENT: u64 = 60;
/// How often one batch is sent at most.
const ATTEMPTS_MAX: u32 = 12;
/// Of a hundred messages that wait for their delivery time, so many are called off.
const CALLED_OFF_PERCENT: u64 = 15;
/// Records in a batch of a stream, at most.
const RECORDS_MAX: u64 = 6;
/// Once in so many seconds there is a burst, which lasts one second.
const BURST_EVERY_SECONDS: u64 = 8;
/// How much more is sent in a burst.
const BURST: u32 = 4;

/// Which door the batches go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// One message per batch, with what its flavour says.
    Queue(Flavour),
    /// One to six records per batch.
    Stream,
    /// One record per batch, with a key.
    KeyedStream,
}

/// The code with which a partition that was split or merged refuses what it has not taken in before: neither this try
/// nor an earlier one of the same batch is in it.
const SEALED: &str = "partition-sealed";

/// A producer.
pub(super) struct Producer {
    actor: Actor,
    door: Door,
    topics: Vec<String>,
    /// The topic to which links carry what this one sends.
    carried_to: Option<String>,
    stamps: Stamps,
    /// Everything goes to the owner of its key; otherwise to any partition.
    by_key: bool,
    number: u32,
    sequence: u64,
    pace: Duration,
}

/// What is to be sent.
struct Content {
    values: Vec<Value>,
    /// What they carry.
    drawn: Drawn,
}

/// A batch and where it goes.
struct Batch<'a> {
    route: Route,
    content: &'a Content,
    bytes: Bytes,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is there, or given up.
    Over,
    /// Its partition was sealed without it.
    Sealed,
}

impl Producer {
    /// One of `among` producers who share the run's rate.
    pub(super) fn new(stage: Stage, seat: u64, among: u32, door: Door, topics: Vec<String>) -> Self {
        let pace = Duration::from_secs(1) * among / stage.load.rate.max(1);
        let number = stage.history.producer();
        let actor = Actor::new(stage, seat);
        let (stamps, carried_to) = (Stamps::default(), None);
        Self { actor, door, topics, carried_to, stamps, by_key: false, number, sequence: 0, pace }
    }

    /// One that sends everything to the owner of its key.
    pub(super) fn by_key(self) -> Self {
        Self { by_key: true, ..self }
    }

    /// One whose topic is linked to another: what it is told holds at the other end, too.
    pub(super) fn carried_to(self, topic: String) -> Self {
        Self { carried_to: Some(topic), ..self }
    }

    /// Produces until nothing new is wanted.
    pub(super) async fn run(mut self) {
        while self.actor.stage.may_write().await {
            let wait = self.wait();
            if !self.actor.stage.sleep(wait).await {
                return;
            }
            let adding = Arc::clone(&self.actor.stage.adding);
            let _adding = adding.read().await;
            // A drain that began while this one slept counts on nothing new.
            if self.actor.stage.writes() && !self.send().await {
                return;
            }
        }
    }

    fn wait(&mut self) -> Duration {
        let second = self.actor.stage.history.now() / 1_000_000;
        let bursts = (second + u64::from(self.number)).is_multiple_of(BURST_EVERY_SECONDS);
        self.actor.dice.wait(if bursts { self.pace / BURST } else { self.pace })
    }

    /// Sends one batch until its end is known or it is given up, to another partition when the first one was sealed without
    /// it; false when the run ended.
    async fn send(&mut self) -> bool {
        let topic = self.actor.dice.zipf_of(&self.topics).clone();
        let content = self.content();
        let mut sealed = None;
        loop {
            let Some(route) = self.route(&topic, &content.drawn, sealed).await else { break };
            let Some(stamp) = self.stamps.next(&mut self.actor, route.group).await else { return false };
            let Some(batch) = batch(route, &content, stamp) else { return false };
            if self.try_out(&batch).await == Fate::Over {
                break;
            }
            sealed = Some(batch.route.group);
        }
        !self.actor.stage.stop.is_cancelled()
    }

    /// Where it goes: not to a partition that was sealed. None when the run ends before there is another one.
    async fn route(&mut self, topic: &str, drawn: &Drawn, sealed: Option<u32>) -> Option<Route> {
        if let Some(key) = drawn.key.as_deref().filter(|_| self.by_key) {
            return self.actor.stage.owner(topic, key.as_bytes(), sealed).await;
        }
        let owners = self.actor.stage.owners(topic).await;
        if owners.is_empty() { None } else { Some(self.actor.dice.pick(&owners).clone()) }
    }

    /// Sends a batch to its partition until its end is known or it is given up.
    async fn try_out(&mut self, batch: &Batch<'_>) -> Fate {
        let (mut unknown, mut refused) = (false, false);
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(batch).await {
                Ok(base) => {
                    self.stamps.advance(batch.route.group, batch.content.values.len() as u32);
                    self.call_off(batch, base).await;
                    return Fate::Over;
                }
                Err(trouble) if trouble.code == SEALED => return Fate::Sealed,
                Err(trouble) => {
                    unknown |= trouble.unknown;
                    refused |= trouble.kind == ErrorKind::Invalid || trouble.kind == ErrorKind::Fenced;
                    self.actor.rest(&trouble).await;
                    let again = unknown && self.actor.dice.percent(REPEATED_PERCENT);
                    if !again || self.actor.stage.drains() {
                        break;
                    }
                }
            }
        }
        // A batch that surely was not appended leaves its numbers to the next one; any other one keeps them.
        if unknown || refused {
            self.stamps.give_up(batch.route.group);
        }
        Fate::Over
    }

    fn content(&mut self) -> Content {
        let count = match self.door {
            Door::Queue(_) | Door::KeyedStream => 1,
            Door::Stream => self.actor.dice.between(1, RECORDS_MAX),
        };
        let values = (0..count)
            .map(|_| {
                self.sequence += 1;
                Value { producer: self.number, sequence: self.sequence - 1 }
            })
            .collect();
        let drawn = match self.door {
            Door::Queue(flavour) => flavour.draw(&mut self.actor),
            Door::Stream => Drawn::default(),
            Door::KeyedStream => Flavour::Keys.draw(&mut self.actor),
        };
        Content { values, drawn }
    }

    /// Calls off some of the messages that wait for their delivery time.
    async fn call_off(&mut self, batch: &Batch<'_>, id: u64) {
        if batch.content.drawn.terms.not_before.is_none() || !self.actor.dice.percent(CALLED_OFF_PERCENT) {
            return;
        }
        let Route { topic, partition, group, .. } = batch.route.clone();
        let request = v1::CancelScheduledRequest { group_id: group, message_ids: vec![id] };
        let asked = self
            .actor
            .ask(group, Duration::ZERO, |channel| async move {
                QueueClient::new(channel).cancel_scheduled(request).await
            })
            .await;
        let op = Op::Cancel { topic, message: MessageId { partition, id } };
        self.actor.note(&asked, op, asked.end());
    }

    /// Where the batch begins.
    async fn attempt(&mut self, batch: &Batch<'_>) -> Result<u64, Trouble> {
        let group = batch.route.group;
        let request = v1::ProduceRequest { correlation_id: 0, group_id: group, batch: batch.bytes.clone() };
        let door = self.door;
        let mut asked = self
            .actor
            .ask(group, Duration::ZERO, |channel| async move {
                match door {
                    Door::Queue(_) => QueueClient::new(channel).send(request).await,
                    Door::Stream | Door::KeyedStream => StreamClient::new(channel).append(request).await,
                }
            })
            .await;
        let appended = base_offset(&mut asked);
        let end = appended.as_ref().err().map_or(End::Ok, Trouble::end);
        for op in self.ops(batch, appended.as_ref().ok().copied()) {
            self.actor.note(&asked, op, end.clone());
        }
        appended
    }

    /// What it says in the history. Messages that are forwarded stay in no queue, so they are told as records of the stream
    /// that they come to; records that a queue subscribes to are told as its messages, too.
    fn ops(&self, batch: &Batch<'_>, base: Option<u64>) -> Vec<Op> {
        let Route { topic, partition, .. } = batch.route.clone();
        let Content { values, drawn } = batch.content;
        let enqueue = |topic: &str, value: Value, at| Op::Enqueue {
            topic: topic.to_owned(),
            value,
            terms: drawn.terms.clone(),
            at,
        };
        let key = drawn.key.clone().filter(|_| self.by_key);
        let append = |topic, at| Op::Append { topic, values: values.clone(), key: key.clone(), at };
        match (self.door, &self.carried_to) {
            (Door::Queue(_), None) => {
                vec![enqueue(&topic, values[0], base.map(|id| MessageId { partition, id }))]
            }
            (Door::Queue(_), Some(stream)) => vec![append(stream.clone(), None)],
            (Door::Stream | Door::KeyedStream, queue) => {
                let messages = queue
                    .iter()
                    .flat_map(|queue| values.iter().map(move |value| enqueue(queue, *value, None)));
                let record = append(topic, base.map(|offset| (partition, offset)));
                std::iter::once(record).chain(messages).collect()
            }
        }
    }
}

/// The batch as bytes, for a partition.
fn batch(route: Route, content: &Content, stamp: ProducerSequence) -> Option<Batch<'_>> {
    let Content { values, drawn } = content;
    let key = drawn.key.as_deref().map(str::as_bytes);
    let header = drawn.header.as_ref().map(|(name, value)| (*name, Some(value.as_bytes())));
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(key, Some(&payload::body(*value)), header.as_slice(), now_ms()).ok()?;
    }
    let bytes = builder.build(Some(stamp)).ok()?;
    Some(Batch { route, content, bytes })
}

/// Where the batch begins. An answer that says nothing leaves everything open.
fn base_offset(asked: &mut Asked<v1::ProduceResponse>) -> Result<u64, Trouble> {
    let answer = std::mem::replace(&mut asked.answer, Err(Trouble::nobody()))?;
    match answer.outcome {
        Some(Outcome::BaseOffset(base)) => Ok(base),
        Some(Outcome::Error(error)) => Err(error.into()),
        None => Err(Trouble::empty()),
    }
}

/// Milliseconds since the Unix epoch, as a record's timestamp.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

//! A consumer of a queue: it acks most of what it gets. Of the rest it gives back, extends, parks, forgets, and
//! comes late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_checker::{Consumer, Delivery, How, MessageId, Op};
use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::ErrorKind;

use super::actor::Actor;
use super::outputs::{Output, Outputs};
use super::payload;
use super::stage::Stage;
use crate::history::End;
use crate::wire::{Route, Trouble};

/// Messages asked for at once, at most.
const MESSAGES_MAX: u64 = 8;
/// How long a node is asked to wait for messages, at most.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);
/// The same, of a partition that was sealed: it may be empty soon, and its children wait for that.
const WAIT_SEALED_MAX: Duration = Duration::from_millis(100);
/// Of a hundred receives or settles of which nobody knows, so many are asked again under the same request.
const REPEATED_PERCENT: u64 = 50;
/// Of a hundred consumers that hold messages, so many crash at each of them.
const CRASH_PERCENT: u64 = 2;
/// Of a hundred acks of a receiver that appends, so many go together with a record.
const APPENDS_PERCENT: u64 = 80;
/// How often one call is repeated, at most.
const REPEATS_MAX: u32 = 4;
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A consumer that receives and settles with single calls.
pub(super) struct Receiver {
    actor: Actor,
    topics: Vec<String>,
    /// What it appends in the step that acks a message; none for plain acks.
    outputs: Option<Outputs>,
    /// Who it is at each partition: one call asks one partition, and one that got nothing says nothing of the others.
    consumers: BTreeMap<u32, Consumer>,
    /// Sealed partitions from which nothing comes any more: what is parked there stays, as their keys are in order.
    dry: BTreeSet<u32>,
}

/// A message under a lease.
struct Held {
    token: String,
    message: MessageId,
    lease: u64,
}

/// What becomes of a held message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Settle(How),
    /// More time, then an ack.
    ExtendAndAck(Duration),
    /// An ack when the lease is over.
    Late,
    /// Nothing: it has to come back by itself.
    Forget,
}

impl Receiver {
    pub(super) fn new(stage: Stage, seat: u64, topics: Vec<String>, outputs: Vec<String>) -> Self {
        let actor = Actor::new(stage, seat);
        let outputs = (!outputs.is_empty()).then(|| Outputs::new(&actor, outputs));
        Self { actor, topics, outputs, consumers: BTreeMap::new(), dry: BTreeSet::new() }
    }

    fn consumer(&mut self, route: &Route) -> Consumer {
        let history = &self.actor.stage.history;
        *self.consumers.entry(route.group).or_insert_with(|| history.consumer())
    }

    /// Consumes until the run is over.
    pub(super) async fn run(mut self) {
        while !self.actor.stage.stop.is_cancelled() {
            let topic = self.actor.dice.zipf_of(&self.topics).clone();
            let mut partitions = self.actor.stage.partitions(&topic).await;
            partitions.retain(|route| !self.dry.contains(&route.group));
            if partitions.is_empty() {
                return;
            }
            let route = self.actor.dice.pick(&partitions).clone();
            let most = if route.sealed { WAIT_SEALED_MAX } else { WAIT_MAX };
            let wait = self.actor.dice.duration(Duration::ZERO, most);
            let held = self.receive(&route, wait).await;
            if route.sealed && held.is_empty() && self.is_dry(&route).await {
                self.dry.insert(route.group);
            }
            self.work(&route, held).await;
        }
    }

    /// Whether nothing in a partition is ready or will be.
    async fn is_dry(&mut self, route: &Route) -> bool {
        let request = v1::QueueStatsRequest { group_id: route.group };
        let ask = |channel| async move { QueueClient::new(channel).stats(request).await };
        let asked = self.actor.ask(route.group, Duration::ZERO, ask).await;
        asked.answer.is_ok_and(|stats| stats.ready + stats.leased + stats.scheduled == 0)
    }

    /// Asks one partition for messages; an unknown end may be asked again under the same request, so that what was
    /// leased by the first call comes to light.
    async fn receive(&mut self, route: &Route, wait: Duration) -> Vec<Held> {
        let request = v1::ReceiveRequest {
            group_id: route.group,
            max_messages: self.actor.dice.between(1, MESSAGES_MAX) as u32,
            wait_ms: wait.as_millis() as u64,
            lease_ms: self.lease_ms(),
            request_id: self.actor.dice.number() | 1,
        };
        for repeat in 0..=REPEATS_MAX {
            match self.receive_once(route, request, wait, repeat > 0).await {
                Ok(held) => return held,
                Err(trouble) => {
                    self.actor.rest(&trouble).await;
                    if !trouble.unknown || !self.actor.dice.percent(REPEATED_PERCENT) {
                        break;
                    }
                }
            }
        }
        Vec::new()
    }

    /// Mostly the queue's own lease.
    fn lease_ms(&mut self) -> u64 {
        let lease = self.actor.stage.load.lease.as_millis() as u64;
        if self.actor.dice.percent(70) { 0 } else { self.actor.dice.between(lease / 2, lease * 2) }
    }

    async fn receive_once(
        &mut self,
        route: &Route,
        request: v1::ReceiveRequest,
        wait: Duration,
        repeated: bool,
    ) -> Result<Vec<Held>, Trouble> {
        let asked = self
            .actor
            .ask(route.group, wait, |channel| async move {
                QueueClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).receive(request).await
            })
            .await;
        let messages = asked.answer.as_ref().map_or(&[][..], |answer| &answer.messages);
        // Since when a lease runs that an earlier call was given is not known.
        let deliveries =
            messages.iter().map(|message| delivery(route.partition, message, !repeated)).collect();
        let held = messages.iter().map(|message| Held {
            token: message.token.clone(),
            message: MessageId { partition: route.partition, id: message.message_id },
            lease: message.lease_id,
        });
        let held: Vec<_> = held.collect();
        let op = Op::Receive { topic: route.topic.clone(), consumer: self.consumer(route), deliveries };
        self.actor.note(&asked, op, asked.end());
        asked.answer.map(|_| held)
    }

    async fn work(&mut self, route: &Route, held: Vec<Held>) {
        for message in held {
            let careless = self.actor.stage.careless();
            if careless && self.actor.dice.percent(CRASH_PERCENT) {
                // A crash: another consumer comes in its place, and knows nothing of what this one held.
                self.consumers.clear();
                return;
            }
            match self.fate(careless) {
                Fate::Settle(how) => self.settle(route, &message, how).await,
                Fate::ExtendAndAck(by) => {
                    self.settle(route, &message, How::Extend(by.as_micros() as u64)).await;
                    let busy = self.actor.dice.duration(Duration::ZERO, by / 4);
                    self.actor.stage.sleep(busy).await;
                    self.settle(route, &message, How::Ack).await;
                }
                Fate::Late => {
                    let lease = self.actor.stage.load.lease;
                    let late = self.actor.dice.duration(lease, lease * 2);
                    self.actor.stage.sleep(late).await;
                    self.settle(route, &message, How::Ack).await;
                }
                Fate::Forget => {}
            }
        }
    }

    fn fate(&mut self, careless: bool) -> Fate {
        if !careless {
            return Fate::Settle(How::Ack);
        }
        match self.actor.dice.below(1_000) {
            0..60 => Fate::Settle(How::Nack),
            60..80 => Fate::Settle(How::Release),
            80..90 => Fate::Settle(How::Reject),
            90..120 => {
                let lease = self.actor.stage.load.lease;
                Fate::ExtendAndAck(self.actor.dice.duration(lease / 2, lease * 2))
            }
            120..128 => Fate::Late,
            128..145 => Fate::Forget,
            _ => Fate::Settle(How::Ack),
        }
    }

    /// Settles one message; what nobody knows may be asked again under the same request.
    async fn settle(&mut self, route: &Route, held: &Held, how: How) {
        let output = match &mut self.outputs {
            Some(outputs) if how == How::Ack && self.actor.dice.percent(APPENDS_PERCENT) => {
                outputs.next(&mut self.actor).await
            }
            _ => None,
        };
        let mut request =
            v1::SettleRequest { request_id: self.actor.dice.number() | 1, ..v1::SettleRequest::default() };
        match &output {
            None => request.items.push(item(held, how)),
            Some(output) => {
                let (tokens, outputs) = (vec![held.token.clone()], output.batches.clone());
                request.ack_and_appends.push(v1::AckAndAppend { tokens, outputs });
            }
        }
        for _ in 0..=REPEATS_MAX {
            let request = request.clone();
            let mut asked = self
                .actor
                .ask(route.group, Duration::ZERO, |channel| async move {
                    QueueClient::new(channel).settle(request).await
                })
                .await;
            let settled = settled(std::mem::replace(&mut asked.answer, Err(Trouble::nobody())));
            let (consumer, message, lease) = (self.consumer(route), held.message, held.lease);
            let op = match &output {
                None => Op::Settle { topic: route.topic.clone(), consumer, message, lease, how },
                Some(Output { stream, value, .. }) => {
                    let (queue, stream, value) = (route.topic.clone(), stream.clone(), *value);
                    Op::AckAndAppend { queue, consumer, message, lease, stream, value }
                }
            };
            self.actor.note(&asked, op, settled.as_ref().err().map_or(End::Ok, Trouble::end));
            let Err(trouble) = settled else { return };
            if trouble.kind == ErrorKind::LeaseLost {
                return;
            }
            self.actor.rest(&trouble).await;
            if self.actor.stage.careless() && !self.actor.dice.percent(REPEATED_PERCENT) {
                return;
            }
        }
    }
}

fn delivery(partition: u32, message: &v1::LeasedMessage, since_asked: bool) -> Delivery {
    let body = message.record.as_ref().and_then(|record| record.value.as_deref());
    Delivery {
        message: MessageId { partition, id: message.message_id },
        value: payload::value(body),
        lease: message.lease_id,
        attempt: message.attempt,
        held: since_asked.then_some(message.lease_ms * 1_000),
    }
}

fn item(held: &Held, how: How) -> v1::SettleItem {
    use v1::SettleAction as Action;
    let (action, lease_ms) = match how {
        How::Ack => (Action::Ack, 0),
        How::Nack => (Action::Nack, 0),
        How::Release => (Action::Release, 0),
        How::Reject => (Action::Reject, 0),
        How::Extend(by) => (Action::Extend, by / 1_000),
    };
    let token = held.token.clone();
    v1::SettleItem { token, action: action as i32, delay_ms: None, lease_ms, reason: "not today".to_owned() }
}

/// The one result of a settle of one message.
fn settled(answer: Result<v1::SettleResponse, Trouble>) -> Result<(), Trouble> {
    match answer?.results.into_iter().next() {
        Some(v1::SettleResult { error: None }) => Ok(()),
        Some(v1::SettleResult { error: Some(error) }) => Err(error.into()),
        None => Err(Trouble::empty()),
    }
}

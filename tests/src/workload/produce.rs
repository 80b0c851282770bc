//! A producer: one record each `pace`, without waiting for the answers.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_checker::{MessageId, Op, Terms, Value};
use weir_client::{Client, Delivery, PendingDelivery, ProducerOptions, Result};
use weir_types::TopicKind;

use super::{QUEUE, STREAM, ended, payload};
use crate::{Begun, Recorder};

/// Records that may be unanswered.
const PENDING_MAX: usize = 256;

/// Who produces what.
pub(super) struct Producing {
    pub(super) client: Client,
    pub(super) recorder: Arc<Recorder>,
    pub(super) kind: TopicKind,
    pub(super) number: u32,
    pub(super) pace: Duration,
}

impl Producing {
    /// Produces until it is told to stop, and then until the last answer.
    pub(super) async fn run(self, stop: CancellationToken) {
        let name = if self.kind == TopicKind::Queue { QUEUE } else { STREAM };
        let producer =
            self.client.producer(name, ProducerOptions::default()).await.expect("a producer opens");
        let mut answers = FuturesUnordered::new();
        let mut ticks = interval(self.pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sequence = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = answers.next() => {}
                _ = ticks.tick(), if answers.len() < PENDING_MAX => {
                    let value = Value { producer: self.number, sequence };
                    sequence += 1;
                    let (begun, sent) = (self.recorder.begin(), (self.kind, value));
                    match producer.send(payload::record(value)).await {
                        Ok(pending) => answers.push(answer(&self.recorder, begun, sent, pending)),
                        Err(error) => note(&self.recorder, begun, sent, &Err(error)),
                    }
                }
            }
        }
        producer.flush().await;
        while answers.next().await.is_some() {}
    }
}

async fn answer(recorder: &Recorder, begun: Begun, sent: (TopicKind, Value), pending: PendingDelivery) {
    note(recorder, begun, sent, &pending.await);
}

/// Writes an answer down.
pub(super) fn note(
    recorder: &Recorder,
    begun: Begun,
    (kind, value): (TopicKind, Value),
    answer: &Result<Delivery>,
) {
    let at = answer.as_ref().ok().map(|delivery| (delivery.partition, delivery.offset));
    let op = if kind == TopicKind::Queue {
        let at = at.map(|(partition, id)| MessageId { partition, id });
        Op::Enqueue { topic: QUEUE.to_owned(), value, terms: Terms::default(), at }
    } else {
        Op::Append { topic: STREAM.to_owned(), values: vec![value], key: None, at }
    };
    recorder.end(begun, op, ended(answer));
}

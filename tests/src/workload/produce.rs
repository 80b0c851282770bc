//! A producer: one record each `pace`, without waiting for the answers.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use weir_client::{Client, Delivery, Error, ErrorKind, PendingDelivery, ProducerOptions, Result};

use super::{QUEUE, STREAM, payload};
use crate::history::Topic;
use crate::{Answered, History, Op, Value};

/// Records that may be unanswered.
const PENDING_MAX: usize = 256;

/// Who produces what.
pub(super) struct Producing {
    pub(super) client: Client,
    pub(super) history: Arc<History>,
    pub(super) topic: Topic,
    pub(super) number: u16,
    pub(super) pace: Duration,
}

impl Producing {
    /// Produces until it is told to stop, and then until the last answer.
    pub(super) async fn run(self, stop: CancellationToken) {
        let name = match self.topic {
            Topic::Queue => QUEUE,
            Topic::Stream => STREAM,
        };
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
                    let from = self.history.now();
                    match producer.send(payload::record(value)).await {
                        Ok(pending) => answers.push(answer(&self.history, self.topic, value, from, pending)),
                        Err(error) => note(&self.history, self.topic, value, from, Err(error)),
                    }
                }
            }
        }
        producer.flush().await;
        while answers.next().await.is_some() {}
    }
}

async fn answer(history: &History, topic: Topic, value: Value, from: u64, pending: PendingDelivery) {
    note(history, topic, value, from, pending.await);
}

/// Writes an answer down.
pub(super) fn note(history: &History, topic: Topic, value: Value, from: u64, answer: Result<Delivery>) {
    let (at, answered) = match &answer {
        Ok(delivery) => (Some((delivery.partition, delivery.offset)), Answered::Yes),
        Err(error) => (None, answered(error)),
    };
    if let Err(error) = answer {
        history.note(
            from,
            Op::Trouble { who: format!("a producer of the {topic:?}"), error: error.to_string() },
        );
    }
    history.note(from, Op::Sent { topic, value, at, answered });
}

/// What an error says about what was asked.
pub(super) fn answered(error: &Error) -> Answered {
    if error.kind() == ErrorKind::OutcomeUnknown { Answered::Unknown } else { Answered::No }
}

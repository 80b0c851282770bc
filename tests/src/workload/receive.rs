//! A consumer of single calls, with short leases: what it forgets comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Delivery, How, MessageId, Op};
use weir_client::{Client, LeasedMessage, ReceiveOptions, Settle, SettleAction};

use super::{QUEUE, ended, payload};
use crate::{Begun, Dice, Recorder};

/// How long its leases run.
const LEASE: Duration = Duration::from_secs(3);
/// Of a hundred messages, so many are given back, and so many forgotten.
const GIVEN_BACK_PERCENT: u64 = 5;
const FORGOTTEN_PERCENT: u64 = 5;

/// Receives until it is told to stop; it is careless until `careful` says so, or never.
pub(super) async fn receive(
    client: Client,
    recorder: Arc<Recorder>,
    consumer: Consumer,
    careful: Option<CancellationToken>,
    stop: CancellationToken,
) {
    let mut dice = Dice::new(u64::from(consumer.0));
    let options = ReceiveOptions {
        max_messages: 8,
        wait: Duration::from_secs(1),
        lease: Some(LEASE),
        ..ReceiveOptions::default()
    };
    // A call that was begun is not cut off: what it leases would have to wait until the lease is over.
    while !stop.is_cancelled() {
        let begun = recorder.begin();
        let answer = client.receive(QUEUE, options).await;
        let deliveries = answer.iter().flatten().map(delivery).collect();
        let op = Op::Receive { topic: QUEUE.to_owned(), consumer, deliveries };
        recorder.end(begun, op, ended(&answer));
        let careless = careful.as_ref().is_some_and(|careful| !careful.is_cancelled());
        let messages = answer.unwrap_or_default();
        let settles = messages.iter().filter_map(|message| choose(message, careless, &mut dice));
        settle(&client, &recorder, consumer, settles.collect()).await;
    }
}

fn delivery(message: &LeasedMessage) -> Delivery {
    Delivery {
        message: id(message),
        value: payload::value(message.value.as_ref()),
        lease: message.lease_id,
        attempt: message.attempt,
        held: Some(LEASE.as_micros() as u64),
    }
}

fn id(message: &LeasedMessage) -> MessageId {
    MessageId { partition: message.partition, id: message.message_id }
}

/// A message and what becomes of it; none for one that is forgotten.
fn choose(message: &LeasedMessage, careless: bool, dice: &mut Dice) -> Option<(MessageId, Settle)> {
    let roll = if careless { dice.below(100) } else { 100 };
    let action = if roll < FORGOTTEN_PERCENT {
        return None;
    } else if roll < FORGOTTEN_PERCENT + GIVEN_BACK_PERCENT {
        SettleAction::Nack { delay: None, reason: "not today".to_owned() }
    } else {
        SettleAction::Ack
    };
    Some((id(message), Settle { token: message.token, action }))
}

async fn settle(client: &Client, recorder: &Recorder, consumer: Consumer, settles: Vec<(MessageId, Settle)>) {
    let begun: Vec<Begun> = settles.iter().map(|_| recorder.begin()).collect();
    let items: Vec<Settle> = settles.iter().map(|(_, settle)| settle.clone()).collect();
    let results = client.settle(&items).await;
    for ((begun, (message, settle)), result) in begun.into_iter().zip(settles).zip(results) {
        let (topic, lease) = (QUEUE.to_owned(), settle.token.lease.0);
        let how = if settle.action == SettleAction::Ack { How::Ack } else { How::Nack };
        recorder.end(begun, Op::Settle { topic, consumer, message, lease, how }, ended(&result));
    }
}

//! A queue worker: it acks most of what it gets.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Delivery, How, MessageId, Op};
use weir_client::{Client, Message, WorkerOptions};

use super::{QUEUE, ended, payload};
use crate::recorder::End;
use crate::{Dice, Recorder};

/// Of a hundred messages, a careless worker gives back so many.
const GIVEN_BACK_PERCENT: u64 = 4;

/// Works until it is told to stop.
pub(super) async fn work(
    client: Client,
    recorder: Arc<Recorder>,
    consumer: Consumer,
    careless: bool,
    stop: CancellationToken,
) {
    let name = format!("worker-{}", consumer.0);
    let options = WorkerOptions { consumer_name: name.clone(), ..WorkerOptions::default() };
    // Nobody tells a worker when a session of its was given up, and its leases with it.
    let opened = recorder.now();
    recorder.may_happen(opened, Op::CloseSession { topic: QUEUE.to_owned(), consumer });
    let mut worker = client.queue_worker(QUEUE, options).await.expect("a worker opens");
    let mut dice = Dice::new(u64::from(consumer.0));
    let mut settling = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = settling.next() => {}
            next = worker.next() => match next {
                Some(Ok(message)) => {
                    let deliveries = vec![delivery(&message)];
                    let op = Op::Receive { topic: QUEUE.to_owned(), consumer, deliveries };
                    // It may have waited in the client since then.
                    recorder.end(recorder.begin_at(opened), op, End::Ok);
                    let ack = !careless || dice.below(100) >= GIVEN_BACK_PERCENT;
                    settling.push(settle(&recorder, consumer, message, ack));
                }
                Some(Err(error)) => recorder.trouble(&name, error),
                None => break,
            }
        }
    }
    while settling.next().await.is_some() {}
    if let Err(error) = worker.close().await {
        recorder.trouble(&format!("the end of {name}"), error);
    }
}

/// The client extends leases of a worker by itself, as long as its session lasts.
fn delivery(message: &Message) -> Delivery {
    Delivery {
        message: MessageId { partition: message.partition, id: message.message_id },
        value: payload::value(message.value.as_ref()),
        lease: message.lease_id,
        attempt: message.attempt,
        held: None,
    }
}

async fn settle(recorder: &Recorder, consumer: Consumer, message: Message, ack: bool) {
    let id = MessageId { partition: message.partition, id: message.message_id };
    let (topic, lease) = (QUEUE.to_owned(), message.lease_id);
    let how = if ack { How::Ack } else { How::Nack };
    let begun = recorder.begin();
    let result = if ack { message.ack().await } else { message.nack("not today").await };
    recorder.end(begun, Op::Settle { topic, consumer, message: id, lease, how }, ended(&result));
}

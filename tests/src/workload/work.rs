//! A queue worker: it acks most of what it gets.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use weir_client::{Client, Message, WorkerOptions};

use super::{QUEUE, payload, produce};
use crate::{Answered, Dice, History, Op};

/// Of a hundred messages, a careless worker gives back so many.
const GIVEN_BACK_PERCENT: u64 = 4;

/// Works until it is told to stop.
pub(super) async fn work(
    client: Client,
    history: Arc<History>,
    number: u16,
    careless: bool,
    stop: CancellationToken,
) {
    let options = WorkerOptions { consumer_name: format!("worker-{number}"), ..WorkerOptions::default() };
    let mut worker = client.queue_worker(QUEUE, options).await.expect("a worker opens");
    let mut dice = Dice::new(u64::from(number));
    let mut settling = FuturesUnordered::new();
    loop {
        let from = history.now();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = settling.next() => {}
            next = worker.next() => match next {
                Some(Ok(message)) => {
                    note_delivery(&history, from, number, &message);
                    let ack = !careless || dice.below(100) >= GIVEN_BACK_PERCENT;
                    settling.push(settle(&history, message, ack));
                }
                Some(Err(error)) => {
                    history.note(from, Op::Trouble { who: format!("worker {number}"), error: error.to_string() });
                }
                None => break,
            }
        }
    }
    while settling.next().await.is_some() {}
    let from = history.now();
    if let Err(error) = worker.close().await {
        history
            .note(from, Op::Trouble { who: format!("the end of worker {number}"), error: error.to_string() });
    }
}

/// When a message was leased to a worker is not known: it may have waited in the client.
fn note_delivery(history: &History, from: u64, consumer: u16, message: &Message) {
    history.note(
        from,
        Op::Delivered {
            consumer,
            message: (message.partition, message.message_id),
            value: payload::value(message.value.as_ref()),
            lease_id: message.lease_id,
            held: None,
        },
    );
}

async fn settle(history: &History, message: Message, ack: bool) {
    let (id, lease_id) = ((message.partition, message.message_id), message.lease_id);
    let from = history.now();
    let result = if ack { message.ack().await } else { message.nack("not today").await };
    let answered = result.as_ref().map_or_else(produce::answered, |()| Answered::Yes);
    history.note(from, Op::Settled { message: id, lease_id, ack, answered });
    if let Err(error) = result {
        history.note(from, Op::Trouble { who: format!("settle of {id:?}"), error: error.to_string() });
    }
}

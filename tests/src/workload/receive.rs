//! A consumer of single calls, with short leases: what it forgets comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_client::{Client, LeasedMessage, ReceiveOptions, Settle, SettleAction};

use super::{QUEUE, payload, produce};
use crate::{Answered, Dice, History, Op};

/// How long its leases run.
const LEASE: Duration = Duration::from_secs(3);
/// Of a hundred messages, so many are given back, and so many forgotten.
const GIVEN_BACK_PERCENT: u64 = 5;
const FORGOTTEN_PERCENT: u64 = 5;

/// Receives until it is told to stop; it is careless until `careful` says so, or never.
pub(super) async fn receive(
    client: Client,
    history: Arc<History>,
    number: u16,
    careful: Option<CancellationToken>,
    stop: CancellationToken,
) {
    let mut dice = Dice::new(u64::from(number));
    let options = ReceiveOptions {
        max_messages: 8,
        wait: Duration::from_secs(1),
        lease: Some(LEASE),
        ..ReceiveOptions::default()
    };
    // A call that was begun is not cut off: what it leases would have to wait until the lease is over.
    while !stop.is_cancelled() {
        let from = history.now();
        let messages = client.receive(QUEUE, options).await;
        let careless = careful.as_ref().is_some_and(|careful| !careful.is_cancelled());
        match messages {
            Ok(messages) => {
                for message in &messages {
                    note_delivery(&history, from, number, message);
                }
                let settles = messages.iter().filter_map(|message| choose(message, careless, &mut dice));
                settle(&client, &history, settles.collect()).await;
            }
            Err(error) => {
                history.note(from, Op::Trouble { who: "the receiver".to_owned(), error: error.to_string() });
            }
        }
    }
}

fn note_delivery(history: &History, from: u64, consumer: u16, message: &LeasedMessage) {
    history.note(
        from,
        Op::Delivered {
            consumer,
            message: (message.partition, message.message_id),
            value: payload::value(message.value.as_ref()),
            lease_id: message.lease_id,
            held: Some(LEASE.as_micros() as u64),
        },
    );
}

/// A message and what becomes of it; none for one that is forgotten.
fn choose(message: &LeasedMessage, careless: bool, dice: &mut Dice) -> Option<((u32, u64), Settle)> {
    let roll = if careless { dice.below(100) } else { 100 };
    let action = if roll < FORGOTTEN_PERCENT {
        return None;
    } else if roll < FORGOTTEN_PERCENT + GIVEN_BACK_PERCENT {
        SettleAction::Nack { delay: None, reason: "not today".to_owned() }
    } else {
        SettleAction::Ack
    };
    Some(((message.partition, message.message_id), Settle { token: message.token, action }))
}

async fn settle(client: &Client, history: &History, settles: Vec<((u32, u64), Settle)>) {
    let from = history.now();
    let items: Vec<Settle> = settles.iter().map(|(_, settle)| settle.clone()).collect();
    let results = client.settle(&items).await;
    for ((message, settle), result) in settles.into_iter().zip(results) {
        let answered = result.as_ref().map_or_else(produce::answered, |()| Answered::Yes);
        let ack = settle.action == SettleAction::Ack;
        history.note(from, Op::Settled { message, lease_id: settle.token.lease.0, ack, answered });
        if let Err(error) = result {
            history
                .note(from, Op::Trouble { who: format!("settle of {message:?}"), error: error.to_string() });
        }
    }
}

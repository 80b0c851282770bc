//! A replay: when all is over, everything that a queue has kept of acked messages comes again, each once and as a new
//! message. No history tells of it: there a payload is one message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_checker::{How, MessageId, Op, Outcome, Value};
use weir_queue::{Action, SettleItem};
use weir_types::{GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Leased, Question};
use super::Journal;
use super::produce::{unexpected, value_of};

/// Most messages of one request.
const MESSAGES_MAX: u32 = 200;
/// How long they are leased: nothing fails any more.
const LEASE_MS: u64 = 60_000;

/// What a partition's history says: all messages that were seen, and those that were surely acked.
#[derive(Default)]
struct Told {
    values: BTreeMap<MessageId, Value>,
    acked: BTreeSet<MessageId>,
}

/// Replays one partition of the queue and takes everything out again.
pub(super) async fn all(
    client: &Client,
    journal: &Journal,
    (index, group): (u32, GroupId),
) -> Result<(), WeirError> {
    let told = told(journal, index);
    let wait = Duration::from_secs(1);
    let question = Question::Replay { group, request: client.request() };
    while let Answer::Count(1..) = client.ask(Some(group), &question, wait).await? {}
    let last = told.values.last_key_value().map(|(id, _)| id.id);
    let mut again = BTreeSet::new();
    loop {
        let leased = lease(client, group).await?;
        if leased.is_empty() {
            break;
        }
        for message in &leased {
            let value = value_of(&message.value);
            if Some(message.message.0) <= last || !value.is_some_and(|value| again.insert(value)) {
                journal.violated(format_args!("replay: {value:?} came as message {}", message.message));
            }
        }
        ack(client, group, leased).await?;
    }
    for id in &told.acked {
        if !told.values.get(id).is_some_and(|value| again.contains(value)) {
            journal.violated(format_args!("replay: message {id} was acked and did not come again"));
        }
    }
    Ok(())
}

fn told(journal: &Journal, index: u32) -> Told {
    let mut told = Told::default();
    journal.recorder.each(|event| match &event.op {
        Op::Receive { deliveries, .. } => {
            let own = deliveries.iter().filter(|delivery| delivery.message.partition == index);
            told.values.extend(own.filter_map(|delivery| Some((delivery.message, delivery.value?))));
        }
        Op::Settle { message, how: How::Ack, .. } | Op::AckAndAppend { message, .. }
            if event.outcome == Outcome::Ok && message.partition == index =>
        {
            told.acked.insert(*message);
        }
        _ => {}
    });
    told
}

async fn lease(client: &Client, group: GroupId) -> Result<Vec<Leased>, WeirError> {
    let (request, messages_max, lease_ms) = (client.request(), MESSAGES_MAX, LEASE_MS);
    let question = Question::Lease { group, request, messages_max, lease_ms, wait_ms: 0 };
    match client.ask(Some(group), &question, Duration::ZERO).await? {
        Answer::Leased(leased) => Ok(leased),
        other => Err(unexpected(&other)),
    }
}

async fn ack(client: &Client, group: GroupId, leased: Vec<Leased>) -> Result<(), WeirError> {
    let item = |leased: Leased| {
        let Leased { message, lease, .. } = leased;
        SettleItem { message, lease, action: Action::Ack }
    };
    let items = leased.into_iter().map(item).collect();
    let question = Question::Settle { group, request: client.request(), items };
    client.ask(Some(group), &question, Duration::from_secs(1)).await.map(drop)
}

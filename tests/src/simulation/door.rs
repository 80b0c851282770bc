//! A node's client port in the simulation: the broker's API behind frames, in place of gRPC.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use weir_broker::api::admin::NewTopic;
use weir_broker::api::groups::{Grant, Heartbeat};
use weir_broker::api::outputs::Handled;
use weir_broker::api::queue::LeaseRequest;
use weir_broker::api::reshaping::{Change, Reshaped};
use weir_broker::api::stream::{Appended, Commit, Offsets, poll_deadline};
use weir_broker::api::upkeep::Letters;
use weir_broker::{Broker, Node, PositionView, QueueCounts, ResetTo, SettleItem, Stats};
use weir_runtime::{BoxListener, BoxStream};
use weir_types::{ErrorKind, GroupId, MessageId, Offset, RequestId, WallClock, WeirError};

use super::wire::{self, Answer, Asked, Assigned, Leased, Question};

/// How long the maker of a topic waits for its leaders.
const LEADERS_PATIENCE: Duration = Duration::from_secs(2);
/// How long whoever splits or merges partitions waits until that is done.
const RESHAPE_PATIENCE: Duration = Duration::from_secs(1);
/// Dead letters of one answer.
const PARKED_MAX: usize = 200;
/// Bytes of one lease or fetch.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Serves connections until the node dies.
pub(super) async fn serve(mut listener: BoxListener, node: Arc<Node>, replicas: u32) {
    while let Ok((stream, _)) = listener.accept().await {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            // Whoever asked is gone, or cut off, when this fails: nobody is left to tell.
            let _ = converse(stream, &node, replicas).await;
        });
    }
}

async fn converse(mut stream: BoxStream, node: &Node, replicas: u32) -> io::Result<()> {
    match wire::read(&mut stream).await? {
        Asked::Peer(request) => {
            let answer = node.handle(request.into()).await.map(|answer| answer.to_vec());
            wire::write(&mut stream, &answer).await
        }
        Asked::Client(question) => {
            let answer = match node.broker() {
                Ok(broker) => answer(&broker, question, replicas).await,
                Err(error) => Err(error),
            };
            wire::write(&mut stream, &answer).await
        }
    }
}

async fn answer(broker: &Broker, question: Question, replicas: u32) -> Result<Answer, WeirError> {
    match question {
        Question::Routing => {
            let (table, leaders) = broker.routing();
            Ok(Answer::Routing { table, leaders })
        }
        Question::CreateTopic { name, policy, partitions, request } => {
            let patience = LEADERS_PATIENCE;
            let new = NewTopic { name, policy, partitions, replicas, request, patience };
            broker.create_topic(new).await.map(|_| Answer::Done)
        }
        Question::CreateLink { kind, from, to } => broker
            .create_link(kind, &from, &to, ResetTo::Earliest)
            .await
            .map(|made| Answer::Count(made.link.id.into())),
        Question::InitProducer { request } => {
            let (id, epoch) = broker.init_producer(None, request).await?;
            Ok(Answer::Producer { id, epoch })
        }
        Question::Enqueue { group, batch } => {
            broker.enqueue(group, batch.into()).await?.answer().await.map(written)
        }
        Question::Append { group, batch } => {
            broker.append(group, batch.into()).await?.answer().await.map(written)
        }
        Question::Lease { group, request, messages_max, lease_ms, wait_ms } => {
            let (session, max_bytes, lease_ms) = (None, ANSWER_BYTES_MAX, Some(lease_ms));
            let asked = LeaseRequest { request, session, max_messages: messages_max, max_bytes, lease_ms };
            lease(broker, group, asked, wait_ms).await
        }
        Question::Settle { group, request, items } => settle(broker, group, request, items).await,
        Question::AckAndAppend { group, request, message, lease, destination, batch } => {
            let step = (vec![(message, lease)], vec![(destination, batch.into())]);
            let outcomes = broker.ack_and_append(group, Some(request), vec![step]).await;
            outcomes.into_iter().collect::<Result<(), _>>().map(|()| Answer::Done)
        }
        Question::Fetch { group, offset, wait_ms } => fetch(broker, group, offset, wait_ms).await,
        Question::Parked { group } => parked(broker, group).await,
        Question::Redrive { group, messages } => {
            broker.redrive(group, Letters::Named(messages)).await.map(Answer::Count)
        }
        Question::Discard { group, messages } => {
            broker.discard(group, Letters::Named(messages)).await.map(Answer::Count)
        }
        Question::Replay { group, request } => replay(broker, group, request).await,
        Question::Cancel { group, message } => {
            broker.cancel_scheduled(group, &[message]).await.map(Answer::Count)
        }
        Question::Fence { group, consumers, epoch } => {
            broker.fence(group, consumers, epoch).await.map(|found| position(&found))
        }
        Question::Commit { group, consumers, epoch, offset } => {
            let commit =
                Commit { consumer_group: consumers, epoch, offset, metadata: String::new(), reset: false };
            broker.commit_offset(group, commit).await.map(|_| Answer::Done)
        }
        Question::CommitAndAppend { group, consumers, epoch, from, offset, destination, batch } => {
            let (metadata, outputs) = (String::new(), vec![(destination, batch.into())]);
            let handled = Handled { consumer_group: consumers, epoch, from, offset, metadata, outputs };
            broker.commit_and_append(group, handled).await.map(|_| Answer::Done)
        }
        Question::Position { group, consumers } => {
            broker.position(group, &consumers).await.map(|found| position(&found))
        }
        Question::Bounds { group } => broker.offsets(group, None).await.map(bounds),
        other => answer_about_partitions(broker, other).await,
    }
}

/// What is left in partitions, splits and merges of them, and the members of a group, who share them.
async fn answer_about_partitions(broker: &Broker, question: Question) -> Result<Answer, WeirError> {
    match question {
        Question::Left { group } => broker.queue_counts(group).await.map(left).map(Answer::Count),
        Question::Outbox { group } => Ok(Answer::Count(broker.offsets(group, None).await?.outbox_batches)),
        Question::End { group } => Ok(Answer::Count(broker.offsets(group, None).await?.end.0)),
        Question::Split { topic, partition, at, request } => {
            let change = Change::Split { partition, at };
            broker.reshape(&topic, change, request, RESHAPE_PATIENCE).await.map(reshaped)
        }
        Question::Merge { topic, left, right, request } => {
            let change = Change::Merge { left, right };
            broker.reshape(&topic, change, request, RESHAPE_PATIENCE).await.map(reshaped)
        }
        Question::Scale { topic, partitions, request } => {
            broker.scale_topic(&topic, partitions, request, RESHAPE_PATIENCE).await.map(reshaped)
        }
        Question::Heartbeat { consumers, member, topic, session_timeout_ms, owned } => {
            let grants = |finished: bool| {
                let chosen = owned.iter().filter(move |(.., is_finished)| *is_finished || !finished);
                chosen.map(|(group, epoch, _)| Grant { group: *group, epoch: *epoch }).collect()
            };
            let (owned, finished) = (grants(false), grants(true));
            let topics = vec![topic];
            let heartbeat =
                Heartbeat { group: consumers, member, topics, session_timeout_ms, owned, finished };
            heard(broker, heartbeat).await
        }
        Question::Leave { consumers, member } => broker.leave(consumers, member).await.map(|()| Answer::Done),
        other => Err(WeirError::new(ErrorKind::Internal, "unexpected-question", format!("{other:?}"))),
    }
}

fn reshaped(Reshaped { parents, children, done }: Reshaped) -> Answer {
    Answer::Reshaped { parents, children, done }
}

async fn heard(broker: &Broker, heartbeat: Heartbeat) -> Result<Answer, WeirError> {
    let membership = broker.heartbeat(heartbeat).await?;
    let assigned = membership.assigned.into_iter();
    let assigned =
        assigned.map(|given| Assigned { index: given.index, group: given.group, epoch: given.epoch });
    Ok(Answer::Assigned(assigned.collect()))
}

fn written(appended: Appended) -> Answer {
    Answer::Written { base: appended.base, duplicate: appended.duplicate }
}

fn position(found: &PositionView) -> Answer {
    Answer::Position { committed: found.committed.map(|offset| offset.0) }
}

fn bounds(found: Offsets) -> Answer {
    Answer::Bounds { start: found.start.0, end: found.end.0 }
}

fn left((counts, _): (QueueCounts, Stats)) -> u64 {
    counts.ready + counts.leased + counts.scheduled + counts.parked + counts.outbox_batches
}

async fn lease(
    broker: &Broker,
    group: GroupId,
    asked: LeaseRequest,
    wait_ms: u64,
) -> Result<Answer, WeirError> {
    let leased = broker.lease(group, asked, poll_deadline(wait_ms)).await?;
    let messages = leased.into_iter().map(|leased| Leased {
        message: leased.message,
        lease: leased.lease,
        attempt: leased.attempt,
        value: leased.record.value.unwrap_or_default().to_vec(),
    });
    Ok(Answer::Leased(messages.collect()))
}

async fn settle(
    broker: &Broker,
    group: GroupId,
    request: RequestId,
    items: Vec<SettleItem>,
) -> Result<Answer, WeirError> {
    let outcomes = broker.settle(group, Some(request), items).await?;
    Ok(Answer::Settled(outcomes.into_iter().map(Result::err).collect()))
}

async fn replay(broker: &Broker, group: GroupId, request: RequestId) -> Result<Answer, WeirError> {
    let progress = broker.replay(group, request, WallClock(0), None).await?;
    Ok(Answer::Count(progress.more.into()))
}

async fn fetch(broker: &Broker, group: GroupId, offset: Offset, wait_ms: u64) -> Result<Answer, WeirError> {
    broker.wait_for_record(group, offset, poll_deadline(wait_ms)).await?;
    let fetched = broker.fetch_or_end(group, offset, ANSWER_BYTES_MAX).await?;
    Ok(Answer::Fetched {
        batches: fetched.batches.iter().map(|batch| batch.to_vec()).collect(),
        end: fetched.end,
        sealed: fetched.sealed,
    })
}

async fn parked(broker: &Broker, group: GroupId) -> Result<Answer, WeirError> {
    let parked = broker.parked(group, MessageId(0), PARKED_MAX).await?;
    let shown = parked
        .into_iter()
        .map(|letter| (letter.message, letter.attempts, letter.record.value.unwrap_or_default().to_vec()));
    Ok(Answer::Parked(shown.collect()))
}

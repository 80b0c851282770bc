//! Subscriptions: queues that are fed by a stream.
//!
//! A record is sent under its offset, one above it so that 0 stands before the first: the queue's inbox takes each in
//! once, whoever sends. How far all partitions of the queue are is a committed position of the stream's partition, under
//! the name of the link, which no consumer group can have; a new leader goes on from there, and hears from each inbox
//! what is there already.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tracing::{debug, warn};
use weir_metadata::{Link, LinkKind};
use weir_stream::{Command, CommitOffset, Movement, Stream};
use weir_types::mutants::{self, Mutant};
use weir_types::{BatchBuilder, ErrorKind, GroupId, Offset, TransferSequence, TransferSource, WeirError};

use super::{STEP_BYTES_MAX, Wakes, add, destination, is_free, links_of};
use crate::api::bodies::{BatchReader, Record, all, read_error};
use crate::broker::Broker;
use crate::door;
use crate::partition::Partition;
use crate::remote::{Answer, Request, unexpected};
use crate::rest::Rest;

/// How often one step is cut anew for a partition of the queue that knows of other records.
const CUTS_MAX: u32 = 4;

/// Feeds queues from one stream partition while this node leads it; ends when its replica is closed.
pub(crate) async fn run(broker: Broker, group: GroupId, mut wakes: Wakes) {
    let mut feeds = feeds_of(&broker, group, Vec::new());
    let mut rest = Rest::default();
    loop {
        let mut again = None;
        if wakes.leads() && !feeds.is_empty() && rest.until().is_none() {
            // Large, and most streams feed no queue: each would keep the room for it.
            match Box::pin(send_round(&broker, group, &mut feeds)).await {
                Ok(more) => {
                    rest.succeeded();
                    again = more.then(Instant::now);
                }
                Err(error) => {
                    debug!(%group, %error, "a subscription has to wait");
                    rest.failed(&broker.inner().runtime);
                }
            }
        }
        match wakes.next(again.or_else(|| rest.until())).await {
            Some(true) => feeds = feeds_of(&broker, group, feeds),
            Some(false) => {}
            None => return,
        }
    }
}

/// One step for each subscription, whether or not another one fails; answers whether there may be more to do.
async fn send_round(broker: &Broker, group: GroupId, feeds: &mut [Feed]) -> Result<bool, WeirError> {
    let partition = broker.stream(group)?;
    let mut outcome = Ok(false);
    for feed in feeds {
        let more = feed.send_some(broker, group, &partition).await;
        outcome = outcome.and_then(|known: bool| more.map(|more| known || more));
    }
    outcome
}

/// One subscription of one stream partition.
struct Feed {
    link: Link,
    /// What each partition of the queue was last known to have; a guess costs one question.
    known: BTreeMap<GroupId, TransferSequence>,
}

/// The subscriptions that there are, with what is known of those that there were.
fn feeds_of(broker: &Broker, group: GroupId, mut before: Vec<Feed>) -> Vec<Feed> {
    let links = links_of(broker, group).into_iter().filter(|link| link.kind == LinkKind::Subscription);
    links
        .map(|link| {
            let place = before.iter().position(|feed| feed.link == link);
            place.map_or_else(|| Feed { link, known: BTreeMap::new() }, |place| before.swap_remove(place))
        })
        .collect()
}

impl Feed {
    /// One step; answers whether there may be more to send.
    async fn send_some(
        &mut self,
        broker: &Broker,
        group: GroupId,
        partition: &Partition<Stream>,
    ) -> Result<bool, WeirError> {
        let name = format!("subscription/{}", self.link.id);
        let (wanted, start, epoch) = partition.read(|replica| {
            let (stream, start) = (replica.state(), replica.state().start_offset());
            let committed = stream.committed(&name).map(|committed| committed.offset);
            let wanted = committed.or_else(|| self.link.starts.get(&group).copied());
            (wanted.unwrap_or(start), start, stream.group_epoch(&name))
        });
        if wanted < start {
            warn!(%group, link = self.link.id, %wanted, %start, "retention has overtaken a subscription");
        }
        let position = wanted.max(start);
        let (records, next) = read_from(partition, position).await?;
        if next == position {
            return Ok(false);
        }
        let mut shares: BTreeMap<GroupId, Vec<(Offset, Record)>> = BTreeMap::new();
        for (offset, record) in records {
            let to = destination(broker, self.link.to, record.key.as_deref(), offset.0)?;
            shares.entry(to).or_default().push((offset, record));
        }
        let source = TransferSource { group, channel: self.link.id };
        let guess = if mutants::on(Mutant::M46) { position.next() } else { position };
        let sends = shares.into_iter().map(|(to, share)| {
            let known = self.known.get(&to).copied().unwrap_or(TransferSequence(guess.0));
            async move { (to, send(broker, source, to, known, &share).await) }
        });
        let mut outcome = Ok(());
        for (to, sent) in futures::future::join_all(sends).await {
            match sent {
                Ok(through) => drop(self.known.insert(to, through)),
                Err(error) => {
                    self.known.remove(&to);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome?;
        let commit = CommitOffset {
            group: name,
            epoch,
            offset: next,
            metadata: String::new(),
            movement: Movement::Forward,
        };
        partition.propose(Command::CommitOffset(commit)).await?;
        Ok(true)
    }
}

/// The records from an offset on, about a step's worth, and the offset behind them.
async fn read_from(
    partition: &Partition<Stream>,
    from: Offset,
) -> Result<(Vec<(Offset, Record)>, Offset), WeirError> {
    let located = partition.read(|replica| replica.state().locate(from, STEP_BYTES_MAX as u64));
    let located = located.map_err(|out| WeirError::new(ErrorKind::Retry, out.code(), out.to_string()))?;
    let mut reader = BatchReader::new(partition.group());
    let (mut records, mut next) = (Vec::new(), from);
    for at in located {
        let batch = reader.read(at.pointer).await.map_err(|error| read_error(&error))?;
        let found = all(&batch)?.into_iter();
        let found = found.map(|(delta, record)| (at.base_offset + u64::from(delta), record));
        records.extend(found.filter(|(offset, _)| *offset >= from));
        next = at.next_offset;
    }
    Ok((records, next))
}

/// Sends what a partition of the queue has not got yet; answers how far it is then.
async fn send(
    broker: &Broker,
    source: TransferSource,
    to: GroupId,
    mut known: TransferSequence,
    share: &[(Offset, Record)],
) -> Result<TransferSequence, WeirError> {
    for _ in 0..CUTS_MAX {
        let rest: Vec<_> = share.iter().filter(|(offset, _)| sequence(*offset) > known).collect();
        let Some((last, _)) = rest.last() else { return Ok(known) };
        let (sequence, batch) = (sequence(*last), batch_of(broker, &rest)?);
        let batches = vec![(sequence, batch)];
        let request = Request::Transfer { destination: to, source, after: known, batches };
        match broker.at_leader(to, request).await? {
            Answer::Transferred { through } if through == sequence => return Ok(through),
            Answer::Transferred { through } => known = through,
            other => return Err(unexpected(&other)),
        }
    }
    let message = format!("partition {to} takes in what others send at the same time");
    Err(WeirError::new(ErrorKind::Retry, "transfer-raced", message))
}

fn sequence(offset: Offset) -> TransferSequence {
    TransferSequence(offset.0 + 1)
}

/// The records as messages. Conditions on their delivery that no queue takes are left out: they were never checked.
fn batch_of(broker: &Broker, records: &[&(Offset, Record)]) -> Result<bytes::Bytes, WeirError> {
    let build = |keeps: fn(&str) -> bool| {
        let mut batch = BatchBuilder::new();
        for (_, record) in records {
            add(&mut batch, record, keeps, &[])?;
        }
        batch.build(None)
    };
    let failed =
        |error: weir_types::BatchError| WeirError::new(error.kind(), error.code(), error.to_string());
    let whole = build(|_| true).map_err(failed)?;
    match door::enqueue(&whole, broker.wall(), None) {
        Ok(_) => Ok(whole),
        Err(error) => {
            warn!(%error, "records of a subscription lose their reserved headers");
            build(is_free).map_err(failed)
        }
    }
}

//! Subscriptions: queues that are fed by a stream.
//!
//! A record is sent under its offset, one above it so that 0 stands before the first: the queue's inbox takes each in
//! once, whoever sends. How far all partitions of the queue are is a committed position of the stream's partition, under
//! the name of the link, which no consumer group can have; a new leader goes on from there, and hears from each inbox
//! what is there already.
//!
//! A partition that came of a split or a merge is sent from when the link is at the end of all that it came of: the records
//! of a key stay in order.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tracing::{debug, warn};
use weir_metadata::{Feature, Link, LinkKind, Stage};
use weir_stream::{Command, CommitOffset, Movement, Stream};
use weir_types::mutants::{self, Mutant};
use weir_types::{BatchBuilder, ErrorKind, GroupId, Offset, TransferSequence, TransferSource, WeirError};

use super::{STEP_BYTES_MAX, Wakes, add, destination, is_free, links_of};
use crate::api::bodies::{BatchReader, Record, all, read_error};
use crate::broker::Broker;
use crate::door;
use crate::partition::Partition;
use crate::remote::{Answer, PositionView, Request, unexpected};
use crate::reshaping::ancestors;
use crate::rest::Rest;

/// Stands with a committed position behind which records without a key go by a hash of their offsets.
const BY_HASH: &str = "by-hash";
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
    /// What came before this partition, in those that it came of, is sent. It stays so.
    follows: bool,
}

/// The subscriptions that there are, with what is known of those that there were.
fn feeds_of(broker: &Broker, group: GroupId, mut before: Vec<Feed>) -> Vec<Feed> {
    let links = links_of(broker, group).into_iter().filter(|link| link.kind == LinkKind::Subscription);
    links
        .map(|link| {
            let place = before.iter().position(|feed| feed.link == link);
            let new = || Feed { link, known: BTreeMap::new(), follows: false };
            place.map_or_else(new, |place| before.swap_remove(place))
        })
        .collect()
}

impl Feed {
    /// Fails while something is left to send in a partition that this one came of. One that was removed held nothing.
    async fn check_ancestors(&self, broker: &Broker, group: GroupId, name: &str) -> Result<(), WeirError> {
        let (parents, are_sealed) = broker.registry(|registry| {
            let parents = ancestors(registry, group);
            let are_sealed = parents.iter().all(|parent| registry.stage(*parent) == Stage::Sealed);
            (parents, are_sealed)
        });
        if !are_sealed {
            // There are records here, so they are: this copy of the registry is behind.
            let message =
                format!("this node does not know yet that what comes before partition {group} is sealed");
            return Err(WeirError::new(ErrorKind::Retry, "registry-behind", message));
        }
        for parent in parents {
            let request = Request::Position { group: parent, consumer_group: name.to_owned() };
            let position = match broker.at_leader(parent, request).await {
                Ok(Answer::Position(position)) => position,
                Ok(other) => return Err(unexpected(&other)),
                Err(_) if broker.registry(|registry| registry.is_deleted(parent)) => continue,
                Err(error) => return Err(error),
            };
            if !is_through(&position, self.link.starts.get(&parent).copied()) {
                let message = format!("records of partition {parent}, which comes before, are not sent yet");
                return Err(WeirError::new(ErrorKind::Retry, "reshape-in-progress", message));
            }
        }
        Ok(())
    }

    /// One step; answers whether there may be more to send.
    async fn send_some(
        &mut self,
        broker: &Broker,
        group: GroupId,
        partition: &Partition<Stream>,
    ) -> Result<bool, WeirError> {
        let name = format!("subscription/{}", self.link.id);
        let reshaping = broker.allows(Feature::Reshaping);
        let (wanted, by_hash, start, end, epoch) = partition.read(|replica| {
            let (stream, start) = (replica.state(), replica.state().start_offset());
            let committed = stream.committed(&name);
            // Where a step begins decides it, so that a repetition does the same, whatever level is reached meanwhile.
            let by_hash = committed.map_or(reshaping, |committed| committed.metadata == BY_HASH);
            let wanted = committed.map(|committed| committed.offset);
            let wanted = wanted.or_else(|| self.link.starts.get(&group).copied());
            (wanted.unwrap_or(start), by_hash, start, stream.end_offset(), stream.group_epoch(&name))
        });
        if wanted < start {
            warn!(%group, link = self.link.id, %wanted, %start, "retention has overtaken a subscription");
        }
        let position = wanted.max(start);
        if position >= end {
            return Ok(false);
        }
        if !self.follows {
            self.check_ancestors(broker, group, &name).await?;
            self.follows = true;
        }
        let (records, next) = read_from(partition, position).await?;
        if next == position {
            return Ok(false);
        }
        let mut shares: BTreeMap<GroupId, Vec<(Offset, Record)>> = BTreeMap::new();
        for (offset, record) in records {
            let to = destination(broker, self.link.to, record.key.as_deref(), (offset.0, by_hash))?;
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
            metadata: if reshaping { BY_HASH.to_owned() } else { String::new() },
            movement: Movement::Forward,
        };
        partition.propose(Command::CommitOffset(commit)).await?;
        Ok(true)
    }
}

/// Whether a link that has committed this position, or begins at `begin`, has sent all that was in a sealed partition.
fn is_through(position: &PositionView, begin: Option<Offset>) -> bool {
    let reached = position.committed.or(begin).unwrap_or(position.start);
    // What retention has deleted is not waited for.
    reached.max(position.start) >= position.end
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_through_a_sealed_partition_when_nothing_is_left_there_that_it_has_not_sent() {
        let through = |committed: Option<u64>, begin: Option<u64>, start, end| {
            let committed = committed.map(Offset);
            let (start, end, metadata) = (Offset(start), Offset(end), String::new());
            let position = PositionView { committed, metadata, epoch: 0, start, end, lag_ms: 0 };
            is_through(&position, begin.map(Offset))
        };
        assert!(through(Some(9), None, 0, 9));
        assert!(!through(Some(8), None, 0, 9));
        assert!(!through(Some(8), Some(9), 0, 9), "where it began does not matter any more");
        assert!(through(None, Some(9), 0, 9), "it began at the end");
        assert!(!through(None, None, 0, 9));
        assert!(through(None, None, 9, 9), "retention has deleted all of it");
        assert!(through(Some(3), None, 9, 9));
        assert!(through(None, None, 0, 0), "there never was anything");
    }
}

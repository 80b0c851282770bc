//! What waits for a sealed partition is cut anew for those that have its keys now.
//!
//! The sealed partition says what it has taken in, and takes in nothing behind that. So what is left is in nobody's inbox, and
//! one entry (`Recut`) puts it under new numbers for others, each key's records still in order. Whoever does not know yet that
//! the partition is sealed may put more into the outbox for it: that is cut anew as well.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use tracing::info;
use weir_metadata::{Registry, Stage};
use weir_types::batch::{BatchBuilder, BatchView, Codec};
use weir_types::limits::OUTPUTS_MAX;
use weir_types::{ErrorKind, GroupId, KeyHash, KeyRange, OutputBatch, Recut, TransferSequence, WeirError};

use super::{Sends, next_batches};
use crate::api::bodies::damaged;
use crate::api::nodes::SHOWN_WITHIN;
use crate::broker::{Broker, SEALED};
use crate::partition::Partition;
use crate::reshaping::ancestors;
use crate::rewriting::{built, copy, for_each_record};

/// Replaces the next batches behind `after`, the last one that the destination has taken in, by batches for those that own
/// its keys.
pub(super) async fn recut<S: Sends>(
    broker: &Broker,
    source: GroupId,
    partition: &Partition<S>,
    destination: GroupId,
    after: TransferSequence,
) -> Result<(), WeirError> {
    let moved =
        |registry: &Registry| Owners::of(registry, destination).is_none_or(|owners| !owners.is_empty());
    if !broker.metadata().wait_for(SHOWN_WITHIN, moved).await {
        let message = format!("partition {destination} is sealed, and its children do not own its keys yet");
        return Err(WeirError::new(ErrorKind::Retry, SEALED, message).after_ms(50));
    }
    // What waits for a sealed partition that took over from this one was put in before: nothing is let in for it while
    // something waits for this one.
    if let Some(earlier) = waits_for_descendant(broker, partition, destination) {
        let message = format!("outputs for partition {earlier} are cut anew first");
        return Err(WeirError::new(ErrorKind::Retry, "reshape-in-progress", message).after_ms(20));
    }
    // One that is deleted meanwhile is dealt with in the next turn.
    let owners = broker.registry(|registry| Owners::of(registry, destination));
    let Some(owners) = owners.filter(|owners| !owners.is_empty()) else { return Ok(()) };
    let batches = next_batches(partition, destination, after).await?;
    let Some(cut) = Cut::of(&owners, batches)? else { return Ok(()) };
    let (through, count) = (cut.through, cut.outputs.len());
    let command = S::recut(Recut { destination, after, through, outputs: cut.outputs });
    let (_, answer) = partition.admit(command, cut.bodies.freeze()).await?.answer().await?;
    answer.map_err(|rejection| S::error(&rejection))?;
    info!(%source, %destination, replaced = through.0 - after.0, by = count, "outputs cut anew for other partitions");
    Ok(())
}

/// Whether a destination takes in nothing any more, as this node knows.
pub(super) fn is_sealed(broker: &Broker, destination: GroupId) -> bool {
    broker.registry(|registry| registry.stage(destination) == Stage::Sealed)
}

/// A sealed partition that came of another one, and for which something waits.
fn waits_for_descendant<S: Sends>(broker: &Broker, partition: &Partition<S>, of: GroupId) -> Option<GroupId> {
    let waiting: Vec<GroupId> =
        partition.read(|replica| replica.state().outbox().waiting().map(|(to, _)| to).collect());
    broker.registry(|registry| {
        let came_of_it =
            |to: &GroupId| registry.stage(*to) == Stage::Sealed && ancestors(registry, *to).contains(&of);
        waiting.into_iter().find(came_of_it)
    })
}

/// Refuses outputs for a partition while something waits for one whose keys it took over: that comes first.
pub(crate) fn check_order<S: Sends>(
    broker: &Broker,
    partition: &Partition<S>,
    outputs: &[OutputBatch],
) -> Result<(), WeirError> {
    let before: BTreeSet<GroupId> = broker.registry(|registry| {
        let destinations: BTreeSet<GroupId> = outputs.iter().map(|output| output.destination).collect();
        destinations.into_iter().flat_map(|destination| ancestors(registry, destination)).collect()
    });
    if before.is_empty() {
        return Ok(());
    }
    let first = partition.read(|replica| {
        let outbox = replica.state().outbox();
        before.into_iter().find(|of| outbox.batches(*of, TransferSequence(0)).next().is_some())
    });
    let Some(first) = first else { return Ok(()) };
    let message = format!("outputs wait until those for partition {first}, which is sealed, are cut anew");
    Err(WeirError::new(ErrorKind::Retry, "reshape-in-progress", message).after_ms(20))
}

/// Those that own the keys of a sealed partition, in order of keys.
struct Owners(Vec<(KeyRange, GroupId)>);

impl Owners {
    /// None when the partition is not there; empty while its keys are its own.
    fn of(registry: &Registry, sealed: GroupId) -> Option<Self> {
        let sealed = registry.partition(sealed)?;
        let overlaps =
            |range: KeyRange| range.first() <= sealed.range.last() && sealed.range.first() <= range.last();
        let owners = registry.partitions(sealed.topic).filter(|owner| overlaps(owner.range));
        let owners: Vec<_> = owners.map(|owner| (owner.range, owner.group)).collect();
        let is_own = owners.iter().any(|(_, owner)| *owner == sealed.group);
        Some(Self(if is_own { Vec::new() } else { owners }))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The owner of a record's key. The first gets the records without a key, and those whose key belongs elsewhere: somebody
    /// has put them here all the same.
    fn of_key(&self, key: Option<&[u8]>) -> GroupId {
        let hash = key.map(KeyHash::of);
        let owner = self.0.iter().find(|(range, _)| hash.is_some_and(|hash| range.contains(hash)));
        owner.unwrap_or(&self.0[0]).1
    }

    /// The batch in parts, one for each owner of something in it.
    fn cut(&self, batch: &Bytes) -> Result<Vec<(GroupId, Bytes)>, WeirError> {
        if let [(_, only)] = &self.0[..] {
            return Ok(vec![(*only, batch.clone())]);
        }
        let mut parts: BTreeMap<GroupId, BatchBuilder> = BTreeMap::new();
        for_each_record(batch, |_, record, timestamp_ms| {
            copy(parts.entry(self.of_key(record.key)).or_default(), record, timestamp_ms)
        })?;
        if let Some((only, _)) = parts.first_key_value().filter(|_| parts.len() == 1) {
            return Ok(vec![(*only, batch.clone())]);
        }
        let codec: Codec = BatchView::parse(batch).map_err(damaged)?.header().codec;
        parts.iter().map(|(owner, part)| Ok((*owner, built(part, codec)?))).collect()
    }
}

/// Batches in the place of others.
struct Cut {
    through: TransferSequence,
    outputs: Vec<OutputBatch>,
    bodies: BytesMut,
}

impl Cut {
    /// As many of the batches as one command replaces; none when there are none.
    fn of(owners: &Owners, batches: Vec<(TransferSequence, Bytes)>) -> Result<Option<Self>, WeirError> {
        let mut cut: Option<Self> = None;
        for (sequence, batch) in batches {
            let parts = owners.cut(&batch)?;
            let so_far = cut.get_or_insert_with(|| Self {
                through: sequence,
                outputs: Vec::new(),
                bodies: BytesMut::new(),
            });
            if so_far.outputs.len() + parts.len() > OUTPUTS_MAX {
                break;
            }
            so_far.through = sequence;
            for (destination, part) in parts {
                let (position, length) = (so_far.bodies.len() as u32, part.len() as u32);
                so_far.outputs.push(OutputBatch { destination, position, length });
                so_far.bodies.extend_from_slice(&part);
            }
        }
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::bodies::all;

    const LEFT: GroupId = GroupId(8);
    const RIGHT: GroupId = GroupId(9);

    fn owners() -> Owners {
        // The second half of the keys was theirs.
        let half = |index| KeyRange::part(index, 4);
        Owners(vec![(half(2), LEFT), (half(3), RIGHT)])
    }

    /// A key that lies in a part of the keys.
    fn key_in(range: KeyRange, number: usize) -> String {
        let keys = (0..).map(|number| format!("key-{number}"));
        keys.filter(|key| range.contains(KeyHash::of(key.as_bytes())))
            .nth(number)
            .expect("there are many keys")
    }

    fn batch(keys: &[Option<&str>], codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new();
        for (number, key) in keys.iter().enumerate() {
            let value = number.to_string();
            let headers = [("header", Some(&b"x"[..])), ("empty", None)];
            let added = builder.push(key.map(str::as_bytes), Some(value.as_bytes()), &headers, 5);
            added.expect("a small record fits");
        }
        built(&builder, codec).expect("it is small")
    }

    fn values(batch: &Bytes) -> Vec<String> {
        let records = all(batch).expect("it is a good batch").into_iter();
        records
            .map(|(_, record)| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned())
            .collect()
    }

    #[test]
    fn a_batch_is_cut_by_key_and_the_first_owner_gets_what_belongs_to_none() {
        let [left, right, elsewhere] = [2, 3, 0].map(|part| key_in(KeyRange::part(part, 4), 0));
        let keys = [Some(&*right), None, Some(&*left), Some(&*right), Some(&*elsewhere), Some(&*left)];
        for codec in [Codec::None, Codec::Zstd] {
            let parts = owners().cut(&batch(&keys, codec)).expect("it is a good batch");
            let found: Vec<_> = parts.iter().map(|(owner, part)| (*owner, values(part))).collect();
            let expected = [(LEFT, &["1", "2", "4", "5"][..]), (RIGHT, &["0", "3"])];
            let expected =
                expected.map(|(owner, values)| (owner, values.iter().map(ToString::to_string).collect()));
            assert_eq!(found, expected.to_vec());
            let codecs = parts.iter().map(|(_, part)| BatchView::parse(part).map(|view| view.header().codec));
            assert!(
                codecs.into_iter().all(|found| found == Ok(codec)),
                "parts are compressed as the whole was"
            );
        }
    }

    #[test]
    fn a_batch_for_one_owner_stays_as_it_is() {
        let key = key_in(KeyRange::part(3, 4), 1);
        let whole = batch(&[Some(&*key), Some(&*key)], Codec::Zstd);
        assert_eq!(owners().cut(&whole).ok(), Some(vec![(RIGHT, whole.clone())]));
        let only = Owners(vec![(KeyRange::ALL, LEFT)]);
        assert_eq!(only.cut(&whole).ok(), Some(vec![(LEFT, whole)]));
    }

    #[test]
    fn batches_keep_their_order_for_each_owner_and_lie_end_to_end() {
        let [left, right] = [2, 3].map(|part| key_in(KeyRange::part(part, 4), 0));
        let both = batch(&[Some(&*left), Some(&*right)], Codec::None);
        let one = batch(&[Some(&*left)], Codec::None);
        let batches = vec![(TransferSequence(5), both), (TransferSequence(6), one)];
        let cut = Cut::of(&owners(), batches).expect("they are good").expect("there are batches");
        assert_eq!(cut.through, TransferSequence(6));
        let places: Vec<_> = cut.outputs.iter().map(|output| output.destination).collect();
        assert_eq!(places, [LEFT, RIGHT, LEFT]);
        let mut position = 0;
        for output in &cut.outputs {
            assert_eq!(output.position, position);
            position += output.length;
        }
        assert_eq!(position as usize, cut.bodies.len());
        assert!(Cut::of(&owners(), Vec::new()).expect("nothing is cut").is_none());
    }
}

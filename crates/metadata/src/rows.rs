//! The registry as rows. Each value is a version byte (1) and postcard; ids in keys are big-endian.
//!
//! | key | value |
//! |---|---|
//! | `01` | the cluster: id, version, next ids |
//! | `02` node u64 | [`Node`] |
//! | `03` topic u32 | [`Topic`] |
//! | `04` group u32 | [`Partition`]: what never changes |
//! | `05` group u32 | [`Membership`]: what moves; of the metadata group too |
//! | `06` name | [`NamedProducer`] |
//! | `07` node u64 | [`Reissue`] |
//! | `08` link u32 | [`Link`] |
//! | `09` group u32 | [`Move`]: a replica on its way to another node |
//! | `0a` | [`Level`]: the feature level; not there at the first |
//! | `0b` | [`Restoration`]: the last restore, or the one under way |
//! | `0c` group u32 | [`Lineage`]: of a partition that was split or merged, or came of that |
//!
//! Keys that start with `00` belong to consensus.

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{Corrupt, GroupId, NodeId, Output, Row, RowChange, TopicId};

use crate::feature::Level;
use crate::lineage::Lineage;
use crate::link::Link;
use crate::membership::Membership;
use crate::moves::Move;
use crate::node::{Node, Reissue};
use crate::output::Effect;
use crate::producer::NamedProducer;
use crate::registry::Registry;
use crate::restoration::Restoration;
use crate::topic::{Partition, Topic};

/// Version of every row's value.
const VERSION: u8 = 1;

const CLUSTER: u8 = 1;
const NODE: u8 = 2;
const TOPIC: u8 = 3;
const PARTITION: u8 = 4;
const MEMBERSHIP: u8 = 5;
const PRODUCER: u8 = 6;
const REISSUE: u8 = 7;
const LINK: u8 = 8;
const MOVE: u8 = 9;
const LEVEL: u8 = 10;
const RESTORATION: u8 = 11;
const LINEAGE: u8 = 12;

/// Version byte, then postcard.
pub(crate) fn encode<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("writing to a vector cannot fail")
}

/// Reads what [`encode`] wrote; `what` names it in the error.
pub(crate) fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8], what: &str) -> Result<T, Corrupt> {
    let Some((&found, body)) = bytes.split_first() else {
        return Err(Corrupt(format!("{what} is empty")));
    };
    if found != version {
        return Err(Corrupt(format!("{what} has version {found}, this program reads {version}")));
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Corrupt(format!("{what} has {} bytes too many", rest.len()))),
        Err(error) => Err(Corrupt(format!("{what} cannot be read: {error}"))),
    }
}

fn key(tag: u8, id: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(tag);
    key.extend_from_slice(id);
    key
}

fn put<T: Serialize>(out: &mut Output<Effect>, key: Vec<u8>, value: &T) {
    out.changes.push(RowChange::put(key, encode(VERSION, value)));
}

impl Registry {
    /// Rebuilds the registry from all of its rows, in any order.
    pub fn restore(rows: impl IntoIterator<Item = Row>) -> Result<Self, Corrupt> {
        let mut registry = Self::default();
        let mut outcome = Ok(());
        for row in rows {
            let restored = registry.restore_row(&row);
            outcome = outcome.and(restored);
        }
        // Where a later level is the reason why a row cannot be read, it is named, and not the row.
        registry.level.check_known()?;
        outcome?;
        registry.share_out_keys();
        registry.check()?;
        Ok(registry)
    }

    fn restore_row(&mut self, row: &Row) -> Result<(), Corrupt> {
        let Some((&tag, id)) = row.key.split_first() else {
            return Err(Corrupt("a metadata row has an empty key".into()));
        };
        let value = row.value.as_slice();
        match tag {
            CLUSTER => self.cluster = Some(decode(VERSION, value, "cluster row")?),
            NODE => self.insert_node(decode(VERSION, value, "node row")?),
            TOPIC => self.insert_topic(decode(VERSION, value, "topic row")?),
            PARTITION => self.insert_partition(decode(VERSION, value, "partition row")?),
            MEMBERSHIP => {
                let group = GroupId(u32::from_be_bytes(fixed(id)?));
                self.memberships.insert(group, decode(VERSION, value, "membership row")?);
            }
            PRODUCER => {
                let name = String::from_utf8(id.to_vec())
                    .map_err(|_| Corrupt("a producer's name is not UTF-8".into()))?;
                self.producers.insert(name, decode(VERSION, value, "producer row")?);
            }
            REISSUE => {
                let node = NodeId(u64::from_be_bytes(fixed(id)?));
                self.reissues.insert(node, decode(VERSION, value, "reissue row")?);
            }
            LINK => {
                let id = u32::from_be_bytes(fixed(id)?);
                self.links.insert(id, decode(VERSION, value, "link row")?);
            }
            MOVE => {
                let group = GroupId(u32::from_be_bytes(fixed(id)?));
                self.moves.insert(group, decode(VERSION, value, "move row")?);
            }
            LEVEL => self.level = decode(VERSION, value, "level row")?,
            RESTORATION => self.restoration = Some(decode(VERSION, value, "restoration row")?),
            LINEAGE => {
                let group = GroupId(u32::from_be_bytes(fixed(id)?));
                self.lineages.insert(group, decode(VERSION, value, "lineage row")?);
            }
            other => return Err(Corrupt(format!("metadata row with unknown tag {other}"))),
        }
        Ok(())
    }

    pub(crate) fn put_cluster(&self, out: &mut Output<Effect>) {
        let cluster = self.cluster.expect("the cluster row is written once it is formed");
        put(out, key(CLUSTER, &[]), &cluster);
    }

    /// Ends a command that changed what routing or the reconciler look at.
    pub(crate) fn routing_changed(&mut self, out: &mut Output<Effect>) {
        let cluster = self.formed();
        cluster.version += 1;
        let version = cluster.version;
        self.put_cluster(out);
        out.effects.push(Effect::RoutingChanged { version });
    }

    pub(crate) fn put_level(&mut self, level: Level, out: &mut Output<Effect>) {
        put(out, key(LEVEL, &[]), &level);
        self.level = level;
    }

    pub(crate) fn put_node(&mut self, node: Node, out: &mut Output<Effect>) {
        put(out, key(NODE, &node.id.0.to_be_bytes()), &node);
        self.insert_node(node);
    }

    fn insert_node(&mut self, node: Node) {
        self.node_by_incarnation.insert(node.incarnation, node.id);
        self.nodes.insert(node.id, node);
    }

    pub(crate) fn put_topic(&mut self, topic: Topic, out: &mut Output<Effect>) {
        put(out, key(TOPIC, &topic.id.0.to_be_bytes()), &topic);
        self.insert_topic(topic);
    }

    fn insert_topic(&mut self, topic: Topic) {
        self.topic_by_name.insert(topic.name.clone(), topic.id);
        self.topics.insert(topic.id, topic);
    }

    pub(crate) fn drop_topic(&mut self, topic: TopicId, out: &mut Output<Effect>) {
        out.changes.push(RowChange::delete(key(TOPIC, &topic.0.to_be_bytes())));
        if let Some(topic) = self.topics.remove(&topic) {
            self.topic_by_name.remove(&topic.name);
        }
    }

    pub(crate) fn put_partition(&mut self, partition: Partition, out: &mut Output<Effect>) {
        put(out, key(PARTITION, &partition.group.0.to_be_bytes()), &partition);
        self.insert_partition(partition);
        self.give_keys(partition.group);
    }

    fn insert_partition(&mut self, partition: Partition) {
        self.numbers.insert((partition.topic, partition.index), partition.group);
        self.partitions.insert(partition.group, partition);
    }

    /// Who owns which keys, once all rows are read: a partition's own does not tell.
    fn share_out_keys(&mut self) {
        let groups: Vec<GroupId> = self.partitions.keys().copied().collect();
        for group in groups {
            self.give_keys(group);
        }
    }

    /// A partition that is there and whose stage says so owns its keys from here on.
    fn give_keys(&mut self, group: GroupId) {
        let Some(partition) = self.partitions.get(&group).filter(|_| self.stage(group).owns()) else {
            return;
        };
        self.ranges.insert((partition.topic, partition.range.first()), group);
    }

    /// It does not any more, if it did.
    fn take_keys(&mut self, group: GroupId) {
        let Some(partition) = self.partitions.get(&group) else { return };
        let start = (partition.topic, partition.range.first());
        if self.ranges.get(&start) == Some(&group) {
            self.ranges.remove(&start);
        }
    }

    pub(crate) fn put_lineage(&mut self, group: GroupId, lineage: Lineage, out: &mut Output<Effect>) {
        put(out, key(LINEAGE, &group.0.to_be_bytes()), &lineage);
        self.take_keys(group);
        self.lineages.insert(group, lineage);
        self.give_keys(group);
    }

    /// Of a partition that is open: it owns its keys with a lineage and without.
    pub(crate) fn drop_lineage(&mut self, group: GroupId, out: &mut Output<Effect>) {
        out.changes.push(RowChange::delete(key(LINEAGE, &group.0.to_be_bytes())));
        self.lineages.remove(&group);
    }

    /// Forgets a partition, its membership and its lineage.
    pub(crate) fn drop_partition(&mut self, group: GroupId, out: &mut Output<Effect>) {
        out.changes.push(RowChange::delete(key(PARTITION, &group.0.to_be_bytes())));
        out.changes.push(RowChange::delete(key(MEMBERSHIP, &group.0.to_be_bytes())));
        self.take_keys(group);
        if let Some(partition) = self.partitions.remove(&group) {
            self.numbers.remove(&(partition.topic, partition.index));
        }
        if self.lineages.contains_key(&group) {
            self.drop_lineage(group, out);
        }
        self.memberships.remove(&group);
        if self.moves.contains_key(&group) {
            self.drop_move(group, out);
        }
    }

    pub(crate) fn put_membership(
        &mut self,
        group: GroupId,
        membership: Membership,
        out: &mut Output<Effect>,
    ) {
        put(out, key(MEMBERSHIP, &group.0.to_be_bytes()), &membership);
        self.memberships.insert(group, membership);
    }

    pub(crate) fn put_move(&mut self, group: GroupId, moving: Move, out: &mut Output<Effect>) {
        put(out, key(MOVE, &group.0.to_be_bytes()), &moving);
        self.moves.insert(group, moving);
    }

    pub(crate) fn drop_move(&mut self, group: GroupId, out: &mut Output<Effect>) {
        out.changes.push(RowChange::delete(key(MOVE, &group.0.to_be_bytes())));
        self.moves.remove(&group);
    }

    pub(crate) fn put_producer(&mut self, name: String, producer: NamedProducer, out: &mut Output<Effect>) {
        put(out, key(PRODUCER, name.as_bytes()), &producer);
        self.producers.insert(name, producer);
    }

    pub(crate) fn drop_producers(&mut self, out: &mut Output<Effect>) {
        let names = std::mem::take(&mut self.producers).into_keys();
        out.changes.extend(names.map(|name| RowChange::delete(key(PRODUCER, name.as_bytes()))));
    }

    pub(crate) fn put_link(&mut self, link: Link, out: &mut Output<Effect>) {
        put(out, key(LINK, &link.id.to_be_bytes()), &link);
        self.links.insert(link.id, link);
    }

    pub(crate) fn drop_link(&mut self, id: u32, out: &mut Output<Effect>) {
        out.changes.push(RowChange::delete(key(LINK, &id.to_be_bytes())));
        self.links.remove(&id);
    }

    pub(crate) fn put_restoration(&mut self, restoration: Restoration, out: &mut Output<Effect>) {
        put(out, key(RESTORATION, &[]), &restoration);
        self.restoration = Some(restoration);
    }

    pub(crate) fn put_reissue(&mut self, node: NodeId, reissue: Reissue, out: &mut Output<Effect>) {
        put(out, key(REISSUE, &node.0.to_be_bytes()), &reissue);
        self.reissues.insert(node, reissue);
    }
}

fn fixed<const N: usize>(id: &[u8]) -> Result<[u8; N], Corrupt> {
    id.try_into().map_err(|_| Corrupt(format!("a metadata key has {} id bytes, not {N}", id.len())))
}

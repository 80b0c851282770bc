//! The coordinator as rows. Each value is a version byte (1) and postcard; ids in keys are big-endian, and a
//! consumer group's name is followed by `00`, which no name holds.
//!
//! | key | value |
//! |---|---|
//! | `01` | the last [`Epoch`] given |
//! | `02` topic u32 | what the registry says: version, partitions |
//! | `03` name | the group: when it was created |
//! | `04` name `00` member id | [`Member`] |
//! | `05` name `00` partition u32 | [`Slot`] |
//! | `06` topic u32 | the parents of each partition that has some; no row in a topic without |
//! | `07` name `00` partition u32 | a finished partition: the [`Epoch`] of the grant under which it was finished |
//!
//! Keys that start with `00` belong to consensus.

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{Corrupt, GroupId, Output, Row, RowChange, TopicId, WallClock};

use crate::coordinator::Coordinator;
use crate::group::{Group, Slot};
use crate::member::{Epoch, Member, MemberId};
use crate::output::Effect;
use crate::topic::Topic;

/// Version of every row's value.
const VERSION: u8 = 1;

const EPOCH: u8 = 1;
const TOPIC: u8 = 2;
const GROUP: u8 = 3;
const MEMBER: u8 = 4;
const SLOT: u8 = 5;
const PARENTS: u8 = 6;
const FINISHED: u8 = 7;

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

fn key_in_group(tag: u8, group: &str, id: &[u8]) -> Vec<u8> {
    let mut key = key(tag, group.as_bytes());
    key.push(0);
    key.extend_from_slice(id);
    key
}

fn put<T: Serialize>(out: &mut Output<Effect>, key: Vec<u8>, value: &T) {
    out.changes.push(RowChange::put(key, encode(VERSION, value)));
}

pub(crate) fn put_group(name: &str, group: &Group, out: &mut Output<Effect>) {
    put(out, key(GROUP, name.as_bytes()), &group.created);
}

pub(crate) fn delete_group(name: &str, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key(GROUP, name.as_bytes())));
}

pub(crate) fn put_member(group: &str, id: &MemberId, member: &Member, out: &mut Output<Effect>) {
    put(out, key_in_group(MEMBER, group, id.0.as_bytes()), member);
}

pub(crate) fn delete_member(group: &str, id: &MemberId, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key_in_group(MEMBER, group, id.0.as_bytes())));
}

pub(crate) fn put_topic(id: TopicId, topic: &Topic, out: &mut Output<Effect>) {
    put(out, key(TOPIC, &id.0.to_be_bytes()), &(topic.version, &topic.partitions));
}

pub(crate) fn put_parents(id: TopicId, topic: &Topic, out: &mut Output<Effect>) {
    put(out, key(PARENTS, &id.0.to_be_bytes()), &topic.parents);
}

pub(crate) fn delete_parents(id: TopicId, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key(PARENTS, &id.0.to_be_bytes())));
}

pub(crate) fn delete_topic(id: TopicId, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key(TOPIC, &id.0.to_be_bytes())));
}

pub(crate) fn put_epoch(epoch: Epoch, out: &mut Output<Effect>) {
    put(out, key(EPOCH, &[]), &epoch);
}

pub(crate) fn put_slot(group: &str, partition: GroupId, slot: &Slot, out: &mut Output<Effect>) {
    put(out, key_in_group(SLOT, group, &partition.0.to_be_bytes()), slot);
}

pub(crate) fn delete_slot(group: &str, partition: GroupId, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key_in_group(SLOT, group, &partition.0.to_be_bytes())));
}

pub(crate) fn put_finished(group: &str, partition: GroupId, epoch: Epoch, out: &mut Output<Effect>) {
    put(out, key_in_group(FINISHED, group, &partition.0.to_be_bytes()), &epoch);
}

pub(crate) fn delete_finished(group: &str, partition: GroupId, out: &mut Output<Effect>) {
    out.changes.push(RowChange::delete(key_in_group(FINISHED, group, &partition.0.to_be_bytes())));
}

impl Coordinator {
    /// Rebuilds the coordinator from all of its rows, in any order.
    pub fn restore(rows: impl IntoIterator<Item = Row>) -> Result<Self, Corrupt> {
        let mut coordinator = Self::default();
        for row in rows {
            coordinator.restore_row(&row)?;
        }
        coordinator.index();
        coordinator.check()?;
        Ok(coordinator)
    }

    fn restore_row(&mut self, row: &Row) -> Result<(), Corrupt> {
        let Some((&tag, id)) = row.key.split_first() else {
            return Err(Corrupt("a groups row has an empty key".into()));
        };
        let value = row.value.as_slice();
        match tag {
            EPOCH => self.epoch = decode(VERSION, value, "epoch row")?,
            TOPIC => {
                let topic = self.topics.entry(TopicId(u32::from_be_bytes(fixed(id)?))).or_default();
                (topic.version, topic.partitions) = decode(VERSION, value, "topic row")?;
            }
            PARENTS => {
                let topic = self.topics.entry(TopicId(u32::from_be_bytes(fixed(id)?))).or_default();
                topic.parents = decode(VERSION, value, "parents row")?;
            }
            GROUP => {
                let created: WallClock = decode(VERSION, value, "group row")?;
                self.groups.entry(text(id)?).or_default().created = created;
            }
            MEMBER => {
                let (group, id) = split(id)?;
                let member = decode(VERSION, value, "member row")?;
                self.groups.entry(group).or_default().members.insert(MemberId(text(id)?), member);
            }
            SLOT => {
                let (group, id) = split(id)?;
                let partition = GroupId(u32::from_be_bytes(fixed(id)?));
                let slot = decode(VERSION, value, "slot row")?;
                self.groups.entry(group).or_default().slots.insert(partition, slot);
            }
            FINISHED => {
                let (group, id) = split(id)?;
                let partition = GroupId(u32::from_be_bytes(fixed(id)?));
                let epoch = decode(VERSION, value, "finished row")?;
                self.groups.entry(group).or_default().finished.insert(partition, epoch);
            }
            other => return Err(Corrupt(format!("groups row with unknown tag {other}"))),
        }
        Ok(())
    }

    /// Rebuilds what is derived.
    fn index(&mut self) {
        for (name, group) in &self.groups {
            for (id, member) in &group.members {
                self.deadlines.insert((member.deadline, name.clone(), id.clone()));
                for topic in &member.topics {
                    *self.subscribers.entry(*topic).or_default().entry(name.clone()).or_default() += 1;
                }
            }
            for (partition, slot) in &group.slots {
                let deadline = slot.give_up_by.map(|deadline| (deadline, name.clone(), *partition));
                self.revocations.extend(deadline);
            }
        }
    }
}

/// The group's name and what follows it.
fn split(id: &[u8]) -> Result<(String, &[u8]), Corrupt> {
    let end = id.iter().position(|byte| *byte == 0);
    let end = end.ok_or_else(|| Corrupt("a groups key has no end of the group's name".into()))?;
    Ok((text(&id[..end])?, &id[end + 1..]))
}

fn text(bytes: &[u8]) -> Result<String, Corrupt> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Corrupt("a name in a groups key is not UTF-8".into()))
}

fn fixed<const N: usize>(id: &[u8]) -> Result<[u8; N], Corrupt> {
    id.try_into().map_err(|_| Corrupt(format!("a groups key has {} id bytes, not {N}", id.len())))
}

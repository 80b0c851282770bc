//! How the state is stored.
//!
//! ```text
//! key    kind (1 byte) ‖ name, integers big-endian so that rows sort as their names do
//! value  version (1 byte) ‖ postcard, and in version 2 ‖ postcard of the hash of the tenant whose it is
//!
//! kind  row             name                                value
//! 0x01  header          -                                   Header: clocks and counters
//! 0x02  policy          -                                   QueuePolicy
//! 0x03  turn            rank (1)                            Turn: the tenant that was served last of it
//! 0x10  span            last message id (8)                 Span: untouched, alike messages of one batch
//! 0x11  message         message id (8)                      Message: one that was touched
//! 0x12  kept            first message id (8)                KeptRun: acked messages of one batch
//! 0x20  session         session id (8)                      Session
//! 0x30  producer        producer id (8)                     Producer
//! 0x31  producer batch  producer id (8) ‖ slot (1)          RememberedBatch, the slots used in turn
//! 0x32  dedup id        hash of the message id (16)         RememberedId
//! 0x33  request         request id (8)                      RememberedRequest
//! 0x34  replay          request id (8)                      Replayed: how far a replay is
//! 0x40  destination     group (4)                           Destination: how far its transfers are
//! 0x41  outbox batch    group (4) ‖ sequence (8)            OutboxBatch, until its destination has it
//! 0x42  source          group (4) ‖ channel (4)             Source: the last batch taken in from it
//! 0x50  sealed          -                                   Sealed: since when nothing comes in any more
//! 0x51  awaited         key hash (4) ‖ parent's group (4)   Awaited: the parent has messages of the key left
//! 0x52  heard           parent's group (4)                  Heard: that parent tells which keys are drained
//! 0x53  drained         key hash (4)                        Drained: since the seal, and not confirmed yet
//! ```
//!
//! Version 2 is only of spans and messages that have a tenant; all other rows are of version 1.
//!
//! A span is named by its *last* message: it is consumed from the front, so its name stays.
//! `tests/golden.rs` pins these bytes.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::outbox::Destination;
use weir_types::{
    Corrupt, GroupId, KeyHash, MessageId, ProducerId, QueuePolicy, RequestId, RowChange, SessionId,
    TenantHash, TransferSequence, TransferSource,
};

use crate::command::DedupId;
use crate::dedup::RememberedId;
use crate::inbox::Source;
use crate::kept::KeptRun;
use crate::lineage::{Awaited, Drained, Heard, Sealed};
use crate::message::Message;
use crate::outbox::OutboxBatch;
use crate::producers::{Producer, RememberedBatch};
use crate::queue::Header;
use crate::ready::Rank;
use crate::replays::Replayed;
use crate::requests::RememberedRequest;
use crate::sessions::Session;
use crate::span::Span;
use crate::table::Stored;
use crate::turns::Turn;

const VALUE_VERSION: u8 = 1;
/// Of a row that belongs to a tenant.
const VALUE_VERSION_OF_TENANT: u8 = 2;

/// The first byte of a row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Header = 0x01,
    Policy = 0x02,
    Turn = 0x03,
    Span = 0x10,
    Message = 0x11,
    Kept = 0x12,
    Session = 0x20,
    Producer = 0x30,
    ProducerBatch = 0x31,
    DedupId = 0x32,
    Request = 0x33,
    Replay = 0x34,
    Destination = 0x40,
    OutboxBatch = 0x41,
    Source = 0x42,
    Sealed = 0x50,
    Awaited = 0x51,
    Heard = 0x52,
    Drained = 0x53,
}

impl Kind {
    const ALL: [Self; 19] = [
        Self::Header,
        Self::Policy,
        Self::Turn,
        Self::Span,
        Self::Message,
        Self::Kept,
        Self::Session,
        Self::Producer,
        Self::ProducerBatch,
        Self::DedupId,
        Self::Request,
        Self::Replay,
        Self::Destination,
        Self::OutboxBatch,
        Self::Source,
        Self::Sealed,
        Self::Awaited,
        Self::Heard,
        Self::Drained,
    ];

    /// The kind and the name in a row's key.
    pub(crate) fn of_key(key: &[u8]) -> Result<(Self, &[u8]), Corrupt> {
        let (byte, name) = key.split_first().ok_or_else(|| Corrupt("row with an empty key".to_owned()))?;
        let kind = Self::ALL.into_iter().find(|kind| *kind as u8 == *byte);
        kind.map(|kind| (kind, name)).ok_or_else(|| Corrupt(format!("row of unknown kind {byte:#04x}")))
    }
}

/// The name of a row within its kind, as bytes.
pub(crate) trait KeyBytes: Copy + Ord + Debug {
    fn write(self, key: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// The name of the only row of its kind.
impl KeyBytes for () {
    fn write(self, _key: &mut Vec<u8>) {}

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl KeyBytes for Rank {
    fn write(self, key: &mut Vec<u8>) {
        key.push(self.0);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let [rank] = bytes else { return None };
        Some(Self(*rank))
    }
}

macro_rules! id_key {
    ($($name:ident: $number:ty),*) => {$(
        impl KeyBytes for $name {
            fn write(self, key: &mut Vec<u8>) {
                key.extend_from_slice(&self.0.to_be_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self(<$number>::from_be_bytes(bytes.try_into().ok()?)))
            }
        }
    )*};
}

id_key!(MessageId: u64, SessionId: u64, ProducerId: u64, RequestId: u64, DedupId: u128, GroupId: u32, KeyHash: u32);

impl KeyBytes for (ProducerId, u8) {
    fn write(self, key: &mut Vec<u8>) {
        self.0.write(key);
        key.push(self.1);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (slot, producer) = bytes.split_last()?;
        Some((ProducerId::read(producer)?, *slot))
    }
}

impl KeyBytes for (KeyHash, GroupId) {
    fn write(self, key: &mut Vec<u8>) {
        self.0.write(key);
        self.1.write(key);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, group) = bytes.split_at_checked(4)?;
        Some((KeyHash::read(key)?, GroupId::read(group)?))
    }
}

impl KeyBytes for (GroupId, TransferSequence) {
    fn write(self, key: &mut Vec<u8>) {
        self.0.write(key);
        key.extend_from_slice(&self.1.0.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (group, sequence) = bytes.split_at_checked(4)?;
        Some((GroupId::read(group)?, TransferSequence(u64::from_be_bytes(sequence.try_into().ok()?))))
    }
}

impl KeyBytes for TransferSource {
    fn write(self, key: &mut Vec<u8>) {
        self.group.write(key);
        key.extend_from_slice(&self.channel.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (group, channel) = bytes.split_at_checked(4)?;
        Some(Self { group: GroupId::read(group)?, channel: u32::from_be_bytes(channel.try_into().ok()?) })
    }
}

macro_rules! stored {
    ($($value:ty, $key:ty, $kind:ident $(, of $tenant:ident)?;)*) => {$(
        impl Stored for $value {
            type Key = $key;
            const KIND: Kind = Kind::$kind;
            $(
                fn tenant(&self) -> Option<TenantHash> {
                    self.$tenant
                }

                fn of_tenant(mut self, tenant: TenantHash) -> Option<Self> {
                    self.$tenant = Some(tenant);
                    Some(self)
                }
            )?
        }
    )*};
}

stored! {
    Header, (), Header;
    QueuePolicy, (), Policy;
    Turn, Rank, Turn;
    Span, MessageId, Span, of tenant;
    Message, MessageId, Message, of tenant;
    KeptRun, MessageId, Kept;
    Session, SessionId, Session;
    Producer, ProducerId, Producer;
    RememberedBatch, (ProducerId, u8), ProducerBatch;
    RememberedId, DedupId, DedupId;
    RememberedRequest, RequestId, Request;
    Replayed, RequestId, Replay;
    Source, TransferSource, Source;
    Sealed, (), Sealed;
    Awaited, (KeyHash, GroupId), Awaited;
    Heard, GroupId, Heard;
    Drained, KeyHash, Drained;
}

pub(crate) fn encode_key(kind: Kind, name: impl KeyBytes) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(kind as u8);
    name.write(&mut key);
    key
}

pub(crate) fn encode_value(value: &impl Serialize) -> Vec<u8> {
    let bytes = vec![VALUE_VERSION];
    postcard::to_extend(value, bytes).expect("rows hold only types that postcard can write")
}

/// A row of a table.
pub(crate) fn encode_row<V: Stored>(row: &V) -> Vec<u8> {
    let mut bytes = encode_value(row);
    if let Some(tenant) = row.tenant() {
        bytes[0] = VALUE_VERSION_OF_TENANT;
        bytes = postcard::to_extend(&tenant, bytes).expect("a hash is plain data");
    }
    bytes
}

/// Reads what [`encode_row`] wrote.
pub(crate) fn decode_row<V: Stored>(bytes: &[u8]) -> Result<V, Corrupt> {
    if bytes.first() != Some(&VALUE_VERSION_OF_TENANT) {
        return decode_value(V::KIND, bytes);
    }
    let kind = V::KIND;
    let (row, tenant): (V, TenantHash) = decode_body(kind, &bytes[1..])?;
    row.of_tenant(tenant).ok_or_else(|| {
        Corrupt(format!("{kind:?} row of version {VALUE_VERSION_OF_TENANT}, known is {VALUE_VERSION}"))
    })
}

pub(crate) fn decode_value<V: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<V, Corrupt> {
    let (version, body) =
        bytes.split_first().ok_or_else(|| Corrupt(format!("{kind:?} row with an empty value")))?;
    if *version != VALUE_VERSION {
        return Err(Corrupt(format!("{kind:?} row of version {version}, known is {VALUE_VERSION}")));
    }
    decode_body(kind, body)
}

fn decode_body<V: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<V, Corrupt> {
    let (value, rest) = postcard::take_from_bytes(body)
        .map_err(|error| Corrupt(format!("{kind:?} row does not decode: {error}")))?;
    if !rest.is_empty() {
        return Err(Corrupt(format!("{kind:?} row has {} bytes too many", rest.len())));
    }
    Ok(value)
}

/// A row change in words, for transcripts and for people who look into a node's storage.
pub fn describe(change: &RowChange) -> Result<String, Corrupt> {
    let (kind, name) = Kind::of_key(&change.key)?;
    match &change.value {
        None => Ok(format!("delete {}", name_in_words(kind, name)?)),
        Some(value) => Ok(format!("put {} {}", name_in_words(kind, name)?, value_in_words(kind, value)?)),
    }
}

fn name_in_words(kind: Kind, name: &[u8]) -> Result<String, Corrupt> {
    fn read<K: KeyBytes>(name: &[u8]) -> Result<K, Corrupt> {
        K::read(name).ok_or_else(|| Corrupt(format!("key of {} bytes", name.len())))
    }
    Ok(match kind {
        Kind::Header => "header".to_owned(),
        Kind::Policy => "policy".to_owned(),
        Kind::Turn => format!("turn/{}", read::<Rank>(name)?.0),
        Kind::Span => format!("span/{}", read::<MessageId>(name)?),
        Kind::Message => format!("message/{}", read::<MessageId>(name)?),
        Kind::Kept => format!("kept/{}", read::<MessageId>(name)?),
        Kind::Session => format!("session/{}", read::<SessionId>(name)?),
        Kind::Producer => format!("producer/{}", read::<ProducerId>(name)?),
        Kind::ProducerBatch => {
            let (producer, slot) = read::<(ProducerId, u8)>(name)?;
            format!("producer-batch/{producer}/{slot}")
        }
        Kind::DedupId => format!("dedup/{:032x}", read::<DedupId>(name)?.0),
        Kind::Request => format!("request/{}", read::<RequestId>(name)?),
        Kind::Replay => format!("replay/{}", read::<RequestId>(name)?),
        Kind::Destination => format!("destination/{}", read::<GroupId>(name)?),
        Kind::OutboxBatch => {
            let (destination, sequence) = read::<(GroupId, TransferSequence)>(name)?;
            format!("outbox/{destination}/{sequence}")
        }
        Kind::Source => format!("source/{}", read::<TransferSource>(name)?),
        Kind::Sealed => "sealed".to_owned(),
        Kind::Awaited => {
            let (key, parent) = read::<(KeyHash, GroupId)>(name)?;
            format!("awaited/{:08x}/{parent}", key.0)
        }
        Kind::Heard => format!("heard/{}", read::<GroupId>(name)?),
        Kind::Drained => format!("drained/{:08x}", read::<KeyHash>(name)?.0),
    })
}

fn value_in_words(kind: Kind, value: &[u8]) -> Result<String, Corrupt> {
    fn read<V: Stored>(value: &[u8]) -> Result<String, Corrupt> {
        Ok(format!("{:?}", decode_row::<V>(value)?))
    }
    match kind {
        Kind::Header => read::<Header>(value),
        Kind::Policy => read::<QueuePolicy>(value),
        Kind::Turn => read::<Turn>(value),
        Kind::Span => read::<Span>(value),
        Kind::Message => read::<Message>(value),
        Kind::Kept => read::<KeptRun>(value),
        Kind::Session => read::<Session>(value),
        Kind::Producer => read::<Producer>(value),
        Kind::ProducerBatch => read::<RememberedBatch>(value),
        Kind::DedupId => read::<RememberedId>(value),
        Kind::Request => read::<RememberedRequest>(value),
        Kind::Replay => read::<Replayed>(value),
        Kind::Destination => Ok(format!("{:?}", decode_value::<Destination>(kind, value)?)),
        Kind::OutboxBatch => Ok(format!("{:?}", decode_value::<OutboxBatch>(kind, value)?)),
        Kind::Source => read::<Source>(value),
        Kind::Sealed => read::<Sealed>(value),
        Kind::Awaited => read::<Awaited>(value),
        Kind::Heard => read::<Heard>(value),
        Kind::Drained => read::<Drained>(value),
    }
}

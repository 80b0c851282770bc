//! Doors for the fuzz targets (`tests/fuzz`) to the decoders of what clients and other nodes send and of what the node
//! keeps of itself. Each function takes arbitrary bytes and panics when one of the laws that it names is broken.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use weir_consensus::{EntryPosition, Machine as _};
use weir_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use weir_types::{LogIndex, Row, Term, WallClock};

use crate::founding::Place;
use crate::remote::{Answer, Request, decode, encode};
use crate::replica::{self, Replica, State};
use crate::{door, remote};

/// Which machine an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A queue's partition.
    Queue,
    /// A stream's partition.
    Stream,
    /// A shard of the coordinator.
    Groups,
    /// The metadata group.
    Metadata,
}

/// A batch at the door of a stream and of a queue: both take it or both refuse it, but for the reserved headers that
/// only a queue reads; and what they read of it agrees.
pub fn batch_at_the_door(batch: &Bytes, now: WallClock) {
    let appended = door::append(batch, false);
    let enqueued = door::enqueue(batch, now, Some("tenant"));
    let Ok(append) = appended else {
        assert!(enqueued.is_err(), "a queue takes nothing that a stream refuses");
        return;
    };
    assert_eq!((append.position, append.length as usize), (0, batch.len()));
    let Ok((enqueue, tenants)) = enqueued else { return };
    assert_eq!((enqueue.count, enqueue.length), (append.count, append.length));
    assert!(enqueue.bytes <= BATCH_UNCOMPRESSED_BYTES_MAX as u64);
    let in_runs: u64 = enqueue.runs.iter().map(|run| u64::from(run.count)).sum();
    assert!(enqueue.runs.is_empty() || in_runs == u64::from(enqueue.count), "runs cover the batch");
    let of_tenants: u64 = tenants.iter().map(|run| u64::from(run.count)).sum();
    assert!(tenants.is_empty() || of_tenants == u64::from(enqueue.count), "tenants cover the batch");
    assert!(enqueue.dedup.is_sorted_by_key(|dedup| dedup.record));
    assert!(enqueue.dedup.iter().all(|dedup| dedup.record < enqueue.count));
}

/// The payload of an entry is decoded or refused, and a replica of the machine applies it or calls it corrupt. What
/// decodes is encoded to an entry with the same commands.
pub fn entry(kind: Kind, payload: &Bytes) {
    match kind {
        Kind::Queue => entry_of::<weir_queue::Queue>(payload),
        Kind::Stream => entry_of::<weir_stream::Stream>(payload),
        Kind::Groups => entry_of::<weir_groups::Coordinator>(payload),
        Kind::Metadata => entry_of::<weir_metadata::Registry>(payload),
    }
}

fn entry_of<S: State>(payload: &Bytes) {
    let Ok(entry) = replica::decode_entry::<S::Command>(payload) else { return };
    let bodies = replica::bodies(payload).expect("an entry that decodes has bodies");
    let again = replica::encode(entry.stamp, &entry.commands, &[bodies]);
    let twice = replica::decode_entry::<S::Command>(&again).expect("what was encoded decodes");
    assert_eq!(twice.stamp, entry.stamp);
    let encoded = postcard::to_allocvec(&entry.commands).expect("commands encode");
    assert_eq!(encoded, postcard::to_allocvec(&twice.commands).expect("commands encode"));

    let applied = watch::Sender::new(LogIndex(0));
    let mut replica = Replica::from_rows(Vec::new(), S::empty, applied).expect("no rows are no corruption");
    let position = EntryPosition { term: Term(1), index: LogIndex(1) };
    // Corrupt is an answer too.
    let _ = replica.apply(position, payload, &mut Vec::new());
}

/// Rows of a replica are restored or refused.
pub fn rows(kind: Kind, rows: Vec<Row>) {
    fn restored<S: State>(rows: Vec<Row>) {
        // Corrupt is an answer too.
        let _ = Replica::<S>::restore(rows);
    }
    match kind {
        Kind::Queue => restored::<weir_queue::Queue>(rows),
        Kind::Stream => restored::<weir_stream::Stream>(rows),
        Kind::Groups => restored::<weir_groups::Coordinator>(rows),
        Kind::Metadata => restored::<weir_metadata::Registry>(rows),
    }
}

/// What nodes ask and answer, and what one keeps of its place, survives being decoded and encoded.
pub fn node_message(bytes: &[u8]) {
    fn law<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
        let Ok(message) = decode::<T>(bytes) else { return };
        let once = encode(&message);
        let again = encode(&decode::<T>(&once).expect("what was encoded decodes"));
        assert_eq!(once, again);
    }
    law::<Request>(bytes);
    law::<Answer>(bytes);
    law::<remote::Hello>(bytes);
    if let Ok(Some(place)) = Place::load(bytes) {
        assert_eq!(Place::load(&encode(&place)).ok(), Some(Some(place)));
    }
}

/// The bytes of real ones, as seeds.
pub fn node_message_seeds() -> Vec<Vec<u8>> {
    let addresses = weir_metadata::Addresses {
        client: "127.0.0.1:7400".to_owned(),
        peer: "127.0.0.1:7401".to_owned(),
        http: "127.0.0.1:7402".to_owned(),
    };
    let founder = weir_metadata::Founder {
        node: weir_types::NodeId(1),
        replica: weir_types::ReplicaId(1),
        incarnation: weir_types::Incarnation(11),
        name: "a".to_owned(),
        addresses: addresses.clone(),
        rack: Some("r1".to_owned()),
    };
    let founding = remote::Founding { cluster: weir_types::ClusterId(5), founders: vec![founder.clone()] };
    let place = Place::of_founder(&founding, founder.incarnation).expect("it is its founder");
    let hello = remote::Hello {
        cluster: founding.cluster,
        incarnation: founder.incarnation,
        name: "a".to_owned(),
        addresses: addresses.clone(),
        rack: None,
        seeds: std::collections::BTreeSet::from([addresses.client]),
        bootstrap_expect: 3,
        members: place.members.clone(),
    };
    let requests = [
        Request::Hello,
        Request::Found(founding),
        Request::Position { group: weir_types::GroupId(9), consumer_group: "g".to_owned() },
        Request::ResetPosition {
            group: weir_types::GroupId(9),
            consumer_group: "g".to_owned(),
            to: remote::ResetTo::Time(WallClock(1_700_000_000_000)),
        },
        Request::Metadata(weir_metadata::Command::RemoveNode { node: weir_types::NodeId(3) }),
    ];
    let answers = [Answer::Hello(hello), Answer::NodeView { version: "0.1.0".to_owned() }];
    let requests = requests.iter().map(|request| encode(request).to_vec());
    let answers = answers.iter().map(|answer| encode(answer).to_vec());
    requests.chain(answers).chain([encode(&place).to_vec()]).collect()
}

/// The payload of an entry with these commands, as a leader writes it, as seeds.
pub fn entry_payload<C: Serialize>(commands: &[C], bodies: &[Bytes]) -> Bytes {
    let stamp = replica::Stamp { wall: WallClock(1_700_000_000_000), lease_advance_ms: 250 };
    replica::encode(stamp, commands, bodies)
}

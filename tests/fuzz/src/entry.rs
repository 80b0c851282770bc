//! The payload of a Raft entry, and a replica's rows, for each kind of machine.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_broker::fuzzing::{Kind, entry, entry_payload, rows};

use crate::input::{Input, rows_as_input};
use crate::{batch, golden};

const KINDS: [Kind; 4] = [Kind::Queue, Kind::Stream, Kind::Groups, Kind::Metadata];

/// An entry, or a replica's rows, are applied or called corrupt; an entry that decodes is encoded to the same
/// commands.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let kind = KINDS[usize::from(choice & 3)];
    match choice >> 2 & 3 {
        0 => entry(kind, &Bytes::copy_from_slice(input.rest())),
        1 => {
            // Commands behind a header that is right.
            let commands = input.take(usize::MAX);
            let mut payload = entry_payload::<u8>(&[], &[]).to_vec();
            let at = payload.len() - 5;
            payload.truncate(at);
            payload.extend_from_slice(&(commands.len() as u32).to_le_bytes());
            payload.extend_from_slice(commands);
            entry(kind, &payload.into());
        }
        _ => rows(kind, input.rows()),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    seed_machine::<weir_queue::Command>(&mut seeds, 0, "queue", 0);
    seed_machine::<weir_groups::Command>(&mut seeds, 2, "groups", 1);
    seed_machine::<weir_metadata::Command>(&mut seeds, 3, "metadata", 1);
    let stream =
        [weir_stream::Command::Tick, weir_stream::Command::DeleteGroup { group: "readers".to_owned() }];
    seeds.push([&[1], &entry_payload(&stream, &[])[..]].concat());
    seeds
}

/// `version_bytes` stand before a golden command where it is encoded alone.
fn seed_machine<C: Serialize + DeserializeOwned>(
    seeds: &mut Vec<Vec<u8>>,
    kind: u8,
    machine: &str,
    version_bytes: usize,
) {
    let commands = golden::commands(machine);
    let commands =
        commands.iter().map(|bytes| postcard::from_bytes(&bytes[version_bytes..]).expect("golden bytes"));
    let commands: Vec<C> = commands.collect();
    let body = Bytes::from(batch::batches().remove(0));
    seeds.push([&[kind], &entry_payload(&commands, &[body])[..]].concat());
    seeds.push([vec![kind | 4], postcard::to_allocvec(&commands).expect("commands encode")].concat());
    let stored: Vec<_> = golden::rows(machine)
        .into_iter()
        .map(|(key, value)| ([vec![1], key].concat(), value))
        .chain([(vec![2], vec![200, 1, 232, 7])])
        .collect();
    let pairs = stored.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    seeds.push([vec![kind | 8], rows_as_input(pairs)].concat());
}

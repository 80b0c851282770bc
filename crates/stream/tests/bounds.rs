//! What happens at the bounds: the tables fill up, the memory goes round, sequences wrap.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use weir_stream::limits::{COMMIT_METADATA_BYTES_MAX, GROUPS_PER_PARTITION_MAX};
use weir_stream::{
    Append, Command, CommitAndAppend, CommitOffset, Effect, GroupEpoch, Movement, Rejection, Reply, Stream,
};
use weir_types::batch::SEQUENCE_MAX;
use weir_types::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, NAME_BYTES_MAX, OUTBOX_BATCHES_MAX, OUTPUTS_MAX,
    PRODUCERS_PER_PARTITION_MAX,
};
use weir_types::{
    At, ErrorKind, GroupId, LeaseClock, LogIndex, Offset, Output, OutputBatch, ProducerEpoch, ProducerId,
    ProducerSequence, Recut, Row, StreamPolicy, TransferSequence,
};

struct Replica {
    stream: Stream,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    at: At,
}

impl Replica {
    fn new() -> Self {
        Self { stream: Stream::new(StreamPolicy::default()), store: BTreeMap::new(), at: At::default() }
    }

    fn apply(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.at.index = LogIndex(self.at.index.0 + 1);
        let mut out = Output::<Effect>::default();
        let answer = self.stream.apply(self.at, command, &mut out).unwrap();
        for change in out.changes {
            match change.value {
                Some(value) => self.store.insert(change.key, value),
                None => self.store.remove(&change.key),
            };
        }
        answer
    }

    fn append(&mut self, id: u64, base_sequence: u32, count: u32) -> Result<Reply, Rejection> {
        let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence };
        let (position, length, max_timestamp_ms) = (0, 100, 0);
        self.apply(Command::Append(Append {
            position,
            length,
            count,
            producer: Some(producer),
            max_timestamp_ms,
        }))
    }

    fn fence(&mut self, group: &str, epoch: u64) -> Result<Reply, Rejection> {
        self.apply(Command::Fence { group: group.to_owned(), epoch: GroupEpoch(epoch) })
    }

    fn check_restore(&self) {
        self.stream.check_invariants();
        let rows = self.store.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        assert_eq!(Stream::restore(rows).unwrap(), self.stream);
    }
}

#[test]
fn the_last_64_batches_of_a_producer_are_remembered_and_no_more() {
    let mut replica = Replica::new();
    for batch in 0..200 {
        assert_eq!(
            replica.append(1, batch * 2, 2),
            Ok(Reply::Appended { base_offset: Offset(u64::from(batch) * 2) })
        );
        replica.check_restore();
    }
    for batch in 136..200 {
        let base_offset = Offset(u64::from(batch) * 2);
        assert_eq!(replica.append(1, batch * 2, 2), Ok(Reply::Duplicate { base_offset }));
    }
    assert_eq!(replica.append(1, 270, 2), Err(Rejection::OutOfSequence { expected: 400, got: 270 }));
    assert_eq!(replica.store.keys().filter(|key| key[0] == b'p').count(), 64);
}

#[test]
fn zero_follows_the_largest_sequence() {
    let mut replica = Replica::new();
    let mut sequence = 0;
    while sequence <= SEQUENCE_MAX - BATCH_RECORDS_MAX {
        replica.append(1, sequence, BATCH_RECORDS_MAX).unwrap();
        sequence += BATCH_RECORDS_MAX;
    }
    let left = SEQUENCE_MAX - sequence;
    replica.append(1, sequence, left - 1).unwrap();
    let across = SEQUENCE_MAX - 1;
    let base_offset = replica.stream.end_offset();
    assert_eq!(replica.append(1, across, 5), Ok(Reply::Appended { base_offset }));
    assert!(matches!(replica.append(1, 3, 1), Ok(Reply::Appended { .. })));
    assert_eq!(replica.append(1, across, 5), Ok(Reply::Duplicate { base_offset }));
    replica.check_restore();
}

#[test]
fn a_full_table_forgets_the_producer_that_was_quiet_for_longest() {
    let mut replica = Replica::new();
    for id in 0..PRODUCERS_PER_PARTITION_MAX as u64 {
        replica.at.lease_clock = LeaseClock(id);
        replica.append(id, 0, 1).unwrap();
    }
    replica.append(0, 1, 1).unwrap();
    replica.append(1_000_000, 0, 1).unwrap();
    assert_eq!(replica.stream.producers(), PRODUCERS_PER_PARTITION_MAX);
    assert_eq!(replica.append(1, 1, 1), Err(Rejection::OutOfSequence { expected: 0, got: 1 }));
    assert!(replica.append(0, 2, 1).is_ok());
    replica.check_restore();
}

#[test]
fn deleted_groups_make_room_and_their_epochs_hold_for_all_unknown_groups() {
    let mut replica = Replica::new();
    for group in 0..GROUPS_PER_PARTITION_MAX {
        replica.fence(&format!("group-{group}"), 5).unwrap();
    }
    assert_eq!(
        replica.fence("one-more", 5),
        Err(Rejection::TooManyGroups { groups: GROUPS_PER_PARTITION_MAX })
    );
    replica.apply(Command::DeleteGroup { group: "group-7".to_owned() }).unwrap();
    assert!(replica.fence("one-more", 5).is_ok());
    replica.check_restore();
    // The deleted group is no longer known by name, yet its owners stay fenced.
    replica.apply(Command::DeleteGroup { group: "group-8".to_owned() }).unwrap();
    let fenced = Err(Rejection::GroupFenced { current: GroupEpoch(6), got: GroupEpoch(5) });
    assert_eq!(replica.fence("group-7", 5), fenced);
    assert!(replica.fence("group-7", 6).is_ok());
    replica.check_restore();
}

#[test]
fn what_contradicts_itself_is_rejected_and_changes_nothing() {
    let mut replica = Replica::new();
    replica.apply(Command::Tick).unwrap();
    let before = replica.stream.clone();
    let commit = |group: &str, metadata: usize| {
        Command::CommitOffset(CommitOffset {
            group: group.to_owned(),
            epoch: GroupEpoch(0),
            offset: Offset(0),
            metadata: "m".repeat(metadata),
            movement: Movement::Forward,
        })
    };
    let append = |count, length| {
        Command::Append(Append { position: 0, length, count, producer: None, max_timestamp_ms: 0 })
    };
    let (bytes, limit) = (COMMIT_METADATA_BYTES_MAX + 1, COMMIT_METADATA_BYTES_MAX);
    assert_eq!(replica.apply(commit("g", bytes)), Err(Rejection::MetadataTooLarge { bytes, limit }));
    for command in [
        commit("", 0),
        commit(&"g".repeat(201), 0),
        append(0, 1),
        append(65_537, 1),
        append(1, 0),
        append(1, u32::MAX),
    ] {
        assert!(matches!(replica.apply(command), Err(Rejection::Invalid(_))));
    }
    assert!(matches!(replica.append(1, SEQUENCE_MAX + 1, 1), Err(Rejection::Invalid(_))));
    assert_eq!(replica.stream, before);
}

#[test]
fn what_is_just_within_a_limit_is_taken() {
    let mut replica = Replica::new();
    let append = |count, length| {
        Command::Append(Append { position: 0, length, count, producer: None, max_timestamp_ms: 0 })
    };
    let commit = |group: usize, metadata: usize| {
        Command::CommitOffset(CommitOffset {
            group: "g".repeat(group),
            epoch: GroupEpoch(0),
            offset: Offset(0),
            metadata: "m".repeat(metadata),
            movement: Movement::Forward,
        })
    };
    for command in [
        append(1, 1),
        append(BATCH_RECORDS_MAX, BATCH_BYTES_MAX as u32),
        commit(1, 0),
        commit(NAME_BYTES_MAX, COMMIT_METADATA_BYTES_MAX),
    ] {
        assert!(replica.apply(command.clone()).is_ok(), "{command:?}");
    }
    assert!(matches!(replica.apply(append(1, BATCH_BYTES_MAX as u32 + 1)), Err(Rejection::Invalid(_))));
    replica.check_restore();
}

/// A step of a group that puts so many batches into the outbox.
fn step(from: Option<u64>, offset: u64, outputs: usize) -> Command {
    let output = OutputBatch { destination: GroupId(9), position: 0, length: 1 };
    Command::CommitAndAppend(CommitAndAppend {
        group: "g".to_owned(),
        epoch: GroupEpoch(1),
        from: from.map(Offset),
        offset: Offset(offset),
        metadata: String::new(),
        outputs: vec![output; outputs],
    })
}

#[test]
fn a_step_has_as_many_outputs_as_it_may_and_an_outbox_as_many_batches() {
    let mut replica = Replica::new();
    let steps = OUTBOX_BATCHES_MAX.div_ceil(OUTPUTS_MAX) as u64;
    replica.append(1, 0, steps as u32 + 1).unwrap();
    replica.fence("g", 1).unwrap();
    assert!(matches!(replica.apply(step(None, 1, OUTPUTS_MAX + 1)), Err(Rejection::Invalid(_))));
    for offset in 1..=steps {
        let put = OUTPUTS_MAX * (offset as usize - 1);
        let from = Some(offset - 1).filter(|from| *from > 0);
        let taken = replica.apply(step(from, offset, OUTPUTS_MAX.min(OUTBOX_BATCHES_MAX - put)));
        assert_eq!(taken, Ok(Reply::Committed { offset: Offset(offset) }));
    }
    let before = replica.stream.clone();
    let refused = replica.apply(step(Some(steps), steps + 1, 1)).unwrap_err();
    assert_eq!((refused.code(), replica.stream.clone()), ("outbox-full", before));
    assert!(replica.apply(step(Some(steps), steps + 1, 0)).is_ok(), "a commit alone needs no room");
    replica.check_restore();
}

#[test]
fn a_recut_has_as_many_batches_as_a_step_may_and_needs_no_room() {
    let mut replica = Replica::new();
    let steps = OUTBOX_BATCHES_MAX.div_ceil(OUTPUTS_MAX) as u64;
    replica.append(1, 0, steps as u32).unwrap();
    for offset in 1..=steps {
        let put = OUTPUTS_MAX * (offset as usize - 1);
        let from = Some(offset - 1).filter(|from| *from > 0);
        replica.apply(step(from, offset, OUTPUTS_MAX.min(OUTBOX_BATCHES_MAX - put))).unwrap();
    }
    let recut = |outputs: usize| {
        let output = OutputBatch { destination: GroupId(10), position: 0, length: 1 };
        let (after, through) = (TransferSequence(0), TransferSequence(1));
        let outputs = vec![output; outputs];
        Command::Recut(Recut { destination: GroupId(9), after, through, outputs })
    };
    let before = replica.stream.clone();
    assert!(matches!(replica.apply(recut(OUTPUTS_MAX + 1)), Err(Rejection::Invalid(_))));
    assert_eq!(replica.stream, before);
    assert_eq!(replica.apply(recut(OUTPUTS_MAX)), Ok(Reply::Done));
    assert_eq!(replica.stream.outbox().len(), OUTBOX_BATCHES_MAX - 1 + OUTPUTS_MAX);
    let raced = replica.apply(recut(1)).unwrap_err();
    assert_eq!((raced.code(), raced.kind()), ("recut-raced", ErrorKind::Retry));
    replica.check_restore();
}

#[test]
fn a_sealed_stream_refuses_with_its_end_and_rows_that_contradict_the_seal_are_corrupt() {
    let mut replica = Replica::new();
    replica.append(1, 0, 3).unwrap();
    assert_eq!(replica.apply(Command::Seal), Ok(Reply::Sealed { end: Offset(3) }));
    let refused = replica.append(1, 3, 1).unwrap_err();
    assert_eq!(refused, Rejection::Sealed { end: Offset(3) });
    assert_eq!((refused.code(), refused.kind()), ("partition-sealed", ErrorKind::Retry));
    replica.check_restore();
    let mut other = Replica::new();
    other.append(1, 0, 4).unwrap();
    other.store.extend(replica.store.into_iter().filter(|(key, _)| key == b"x"));
    let rows = other.store.into_iter().map(|(key, value)| Row { key, value });
    assert!(Stream::restore(rows).is_err(), "it has a record behind its end");
}

//! A partition of a stream.

use weir_stream::{
    Append, Command, CommitAndAppend, CommitOffset, GroupEpoch, Movement, Rewrite, RewrittenBatch, Stream,
};
use weir_types::{
    At, Compaction, Corrupt, GroupId, Offset, OutputBatch, ProducerEpoch, ProducerId, ProducerSequence,
    Recut, Retention, Row, RowChange, StreamPolicy, TransferSequence,
};

use crate::machine::{self, Machine, changes_of};

impl Machine for Stream {
    type Command = Command;

    fn empty(variant: u8) -> Self {
        let retention = Retention {
            age_ms: (variant & 1 == 1).then_some(1_000),
            bytes: (variant & 2 == 2).then_some(10_000),
            groups: (variant & 4 == 4).then(|| "g".to_owned()).into_iter().collect(),
        };
        Self::new(StreamPolicy { retention, ..StreamPolicy::default() })
    }

    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt> {
        Self::restore(rows.into_iter())
    }

    fn apply(&mut self, at: At, command: Command, changes: &mut Vec<RowChange>) -> Result<(), Corrupt> {
        changes_of(changes, |out| self.apply(at, command, out))
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }
}

/// As [`machine::law`]: no panic, no contradiction, and rows that restore the state.
pub fn law(data: &[u8]) {
    machine::law::<Stream>(data);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let producer =
        |base_sequence| Some(ProducerSequence { id: ProducerId(5), epoch: ProducerEpoch(1), base_sequence });
    let append = |count, producer| {
        Command::Append(Append {
            position: 0,
            length: 300,
            count,
            producer,
            max_timestamp_ms: 1_700_000_000_000,
        })
    };
    let group = || "readers".to_owned();
    let compaction = Compaction { enabled: true, ..Compaction::default() };
    let compacted = StreamPolicy { compaction, ..StreamPolicy::default() };
    let rewrite = Rewrite {
        pass: 1,
        start: Offset(0),
        from: Offset(0),
        to: Offset(2),
        horizon: Offset(2),
        tombstones_below: Offset(0),
        tombstones: 1,
        batches: vec![RewrittenBatch {
            base_offset: Offset(1),
            last_offset: Offset(1),
            position: 0,
            length: 70,
            max_timestamp_ms: 1_700_000_000_000,
        }],
    };
    let commands = [
        append(10, None),
        append(3, producer(0)),
        append(2, producer(3)),
        append(2, producer(3)),
        Command::Fence { group: group(), epoch: GroupEpoch(4) },
        Command::CommitOffset(CommitOffset {
            group: group(),
            epoch: GroupEpoch(4),
            offset: Offset(12),
            metadata: "m".to_owned(),
            movement: Movement::Forward,
        }),
        Command::CommitAndAppend(CommitAndAppend {
            group: group(),
            epoch: GroupEpoch(4),
            from: Some(Offset(12)),
            offset: Offset(13),
            metadata: "m".to_owned(),
            outputs: vec![OutputBatch { destination: GroupId(9), position: 0, length: 200 }],
        }),
        Command::Recut(Recut {
            destination: GroupId(9),
            after: TransferSequence(0),
            through: TransferSequence(1),
            outputs: vec![OutputBatch { destination: GroupId(10), position: 0, length: 200 }],
        }),
        Command::ConfirmTransfer { destination: GroupId(10), through: TransferSequence(1) },
        Command::FenceProducer { id: ProducerId(5), epoch: ProducerEpoch(2) },
        Command::Trim { before: Offset(5) },
        Command::SetPolicy {
            policy: StreamPolicy {
                retention: Retention { age_ms: Some(500), bytes: None, groups: [group()].into() },
                ..StreamPolicy::default()
            },
        },
        Command::DeleteGroup { group: group() },
        Command::SetPolicy { policy: compacted },
        append(2, None),
        Command::Rewrite(rewrite),
        Command::Seal,
        append(1, None),
        append(2, producer(3)),
        Command::Tick,
    ];
    machine::seeds::<Stream>(&[0, 1, 2, 3, 4], &commands, &[])
}

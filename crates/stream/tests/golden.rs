//! The bytes of every command: they lie in Raft logs, so they never change.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use weir_stream::{
    Append, Command, CommitAndAppend, CommitOffset, GroupEpoch, Movement, Rewrite, RewrittenBatch, Transfer,
};
use weir_types::{
    GroupId, Offset, OutputBatch, ProducerEpoch, ProducerId, ProducerSequence, Recut, Retention,
    StreamPolicy, TransferSequence, TransferSource,
};

fn rewrite() -> Rewrite {
    Rewrite {
        pass: 3,
        start: Offset(5),
        from: Offset(6),
        to: Offset(300),
        horizon: Offset(301),
        tombstones_below: Offset(7),
        tombstones: 1,
        batches: vec![RewrittenBatch {
            base_offset: Offset(8),
            last_offset: Offset(9),
            position: 4,
            length: 10,
            max_timestamp_ms: -1,
        }],
    }
}

fn recut() -> Recut {
    Recut {
        destination: GroupId(300),
        after: TransferSequence(4),
        through: TransferSequence(300),
        outputs: vec![OutputBatch { destination: GroupId(301), position: 7, length: 200 }],
    }
}

#[test]
fn commands_have_their_bytes() {
    let producer = ProducerSequence { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: 300 };
    let batch = |producer| Append { position: 64, length: 128, count: 3, producer, max_timestamp_ms: -1 };
    let append = |producer| Command::Append(batch(producer));
    let transfer = Transfer {
        source: TransferSource { group: GroupId(300), channel: 2 },
        after: TransferSequence(4),
        sequence: TransferSequence(5),
        batch: batch(None),
    };
    let commit = |movement| {
        let (group, metadata) = ("sum".to_owned(), "m".to_owned());
        let (epoch, offset) = (GroupEpoch(2), Offset(128));
        Command::CommitOffset(CommitOffset { group, epoch, offset, metadata, movement })
    };
    let retention = Retention { age_ms: Some(5), ..Retention::default() };
    let read = Retention { groups: ["sum".to_owned()].into(), ..Retention::default() };
    let step = CommitAndAppend {
        group: "sum".to_owned(),
        epoch: GroupEpoch(2),
        from: Some(Offset(127)),
        offset: Offset(128),
        metadata: "m".to_owned(),
        outputs: vec![OutputBatch { destination: GroupId(300), position: 7, length: 200 }],
    };
    let confirm = Command::ConfirmTransfer { destination: GroupId(300), through: TransferSequence(5) };
    let fence = Command::FenceProducer { id: ProducerId(7), epoch: ProducerEpoch(1) };
    let golden: [(Command, &[u8]); 17] = [
        (append(None), &[0, 64, 0x80, 1, 3, 0, 1]),
        (append(Some(producer)), &[0, 64, 0x80, 1, 3, 1, 7, 1, 0xac, 2, 1]),
        (Command::Fence { group: "sum".to_owned(), epoch: GroupEpoch(2) }, b"\x01\x03sum\x02"),
        (commit(Movement::Forward), b"\x02\x03sum\x02\x80\x01\x01m\x00"),
        (commit(Movement::Reset), b"\x02\x03sum\x02\x80\x01\x01m\x01"),
        (Command::DeleteGroup { group: "sum".to_owned() }, b"\x03\x03sum"),
        (Command::Trim { before: Offset(128) }, &[4, 0x80, 1]),
        (
            Command::SetPolicy { policy: StreamPolicy { retention, ..StreamPolicy::default() } },
            &[5, 2, 1, 2, 1, 5, 2, 1, 0],
        ),
        (
            Command::SetPolicy { policy: StreamPolicy { retention: read, ..StreamPolicy::default() } },
            b"\x05\x03\x01\x01\x00\x02\x01\x00\x03\x05\x01\x03sum",
        ),
        (Command::Tick, &[6]),
        (Command::AcceptTransfer(transfer), &[7, 0xac, 2, 2, 4, 5, 64, 0x80, 1, 3, 0, 1]),
        (Command::CommitAndAppend(step), b"\x08\x03sum\x02\x01\x7f\x80\x01\x01m\x01\xac\x02\x07\xc8\x01"),
        (confirm, &[9, 0xac, 2, 5]),
        (fence, &[10, 7, 1]),
        (Command::Rewrite(rewrite()), &[11, 3, 5, 6, 0xac, 2, 0xad, 2, 7, 1, 1, 8, 9, 4, 10, 1]),
        (Command::Seal, &[12]),
        (Command::Recut(recut()), &[13, 0xac, 2, 4, 0xac, 2, 1, 0xad, 2, 7, 0xc8, 1]),
    ];
    for (command, bytes) in golden {
        assert_eq!(postcard::to_allocvec(&command).unwrap(), bytes, "{command:?}");
        assert_eq!(postcard::from_bytes::<Command>(bytes).unwrap(), command);
    }
}

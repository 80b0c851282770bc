//! What a history remembers of the seal, of batches that came from elsewhere, and of those that were cut anew for others.

use std::collections::BTreeMap;

use weir_stream::{Append, Command, Rejection, Reply, Stream, Transfer};
use weir_types::{At, GroupId, OutputBatch, Recut, TransferSequence, TransferSource};

use super::{Model, Step};

impl Model {
    /// Mostly the next batch of a source; now and then one that came before, or one that comes too early.
    pub(super) fn transfer(&mut self, step: &Step) -> Command {
        let source = TransferSource::outbox(GroupId(200 + step.pick.index(2) as u32));
        let through = self.inbox.get(&source).copied().unwrap_or_default().0;
        let skew = if step.count == 5 { step.other.index(3) as u64 } else { 1 };
        let after = (through + skew).saturating_sub(1);
        let sequence = TransferSequence(after + step.other.index(3) as u64);
        self.position += 1;
        let (position, length, count) = (self.position, 100, step.count);
        let batch = Append { position, length, count, producer: None, max_timestamp_ms: i64::from(position) };
        Command::AcceptTransfer(Transfer { source, after: TransferSequence(after), sequence, batch })
    }

    /// P11: a batch comes in once, right behind the one before it.
    pub(super) fn check_transfer(
        &mut self,
        at: At,
        transfer: &Transfer,
        answer: &Result<Reply, Rejection>,
        before: &Stream,
    ) {
        let known = self.inbox.get(&transfer.source).copied().unwrap_or_default();
        let is_sound = transfer.after < transfer.sequence;
        let is_next = is_sound && transfer.after == known;
        match answer {
            Ok(Reply::Transferred { through }) if is_next => {
                assert_eq!(*through, transfer.sequence);
                self.inbox.insert(transfer.source, *through);
                self.remember(at, transfer.batch, before.end_offset());
            }
            Ok(Reply::Transferred { through }) => assert_eq!((*through, is_sound), (known, true)),
            Err(Rejection::Sealed { .. }) => assert!(is_next, "only what would be taken in is refused"),
            answer => assert!(matches!(answer, Err(Rejection::Invalid(_))) && !is_sound, "{answer:?}"),
        }
    }

    /// A destination is sealed: what it does not have, or some of it, is cut anew. Now and then by a leader that does not know
    /// how far it is.
    pub(super) fn recut(&mut self, step: &Step) -> Command {
        let destination = GroupId(100 + step.pick.index(2) as u32);
        let (promised, arrived) = self.promised.entry(destination).or_default();
        let skew = if step.count == 5 { step.other.index(3) } else { 1 };
        let after = (*arrived + skew).saturating_sub(1);
        let through = (after + step.count as usize).min(promised.len() + step.other.index(9) / 8);
        let outputs = (0..step.count % 4).map(|place| {
            self.position += 1;
            OutputBatch { destination: GroupId(102 + place % 2), position: self.position, length: 100 }
        });
        Command::Recut(Recut {
            destination,
            after: TransferSequence(after as u64),
            through: TransferSequence(through as u64),
            outputs: outputs.collect(),
        })
    }

    /// P11: what is replaced waits no more, and what replaces it does; all of it or nothing.
    pub(super) fn check_recut(
        &mut self,
        at: At,
        recut: &Recut,
        answer: &Result<Reply, Rejection>,
        before: &Stream,
    ) {
        let told: BTreeMap<_, _> = before.outbox().waiting().collect();
        let (promised, arrived) = self.promised.entry(recut.destination).or_default();
        let last = TransferSequence(promised.len() as u64);
        let confirmed = told.get(&recut.destination).copied().unwrap_or(last);
        let waits = confirmed <= recut.after && recut.after < recut.through && recut.through <= last;
        match answer {
            Ok(reply) => {
                assert_eq!((reply, waits), (&Reply::Done, true));
                *arrived = (*arrived).max(recut.through.0 as usize);
                for output in &recut.outputs {
                    let (promised, _) = self.promised.entry(output.destination).or_default();
                    promised.push((at.index, output.position));
                }
            }
            Err(Rejection::RecutRaced) => assert!(!waits, "{recut:?} is about what waits"),
            Err(Rejection::Invalid(_)) => {
                assert!(recut.outputs.is_empty() || recut.through <= recut.after, "{recut:?}");
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// P15: a sealed stream takes nothing in, and its end stays; but it still knows what it took in.
    pub(super) fn check_seal(
        &mut self,
        at: At,
        command: &Command,
        answer: &Result<Reply, Rejection>,
        before: &Stream,
        after: &Stream,
    ) {
        match (command, answer) {
            (Command::Seal, answer) => {
                let end = before.end_offset();
                assert_eq!(*answer, Ok(Reply::Sealed { end }));
                self.sealed.get_or_insert((at.wall_clock, end));
            }
            (Command::Append(append), Err(Rejection::Sealed { .. })) => {
                let is_in = append.producer.is_some_and(|stamp| {
                    let stamps = self.producers.get(&stamp.id).map(|(_, stamps)| stamps);
                    let batch = stamps.and_then(|stamps| stamps.get(&(stamp.epoch, stamp.base_sequence)));
                    batch.is_some_and(|(_, count)| *count == append.count)
                });
                assert!(!is_in, "what is told that the stream is sealed is not in it (P10)");
            }
            _ => {}
        }
        assert_eq!(after.sealed_at(), self.sealed.map(|(at, _)| at));
        assert_eq!(after.is_sealed(), self.sealed.is_some());
        let was_refused = matches!(answer, Err(Rejection::Sealed { end }) if *end == before.end_offset());
        assert!(!was_refused || before.is_sealed(), "only a sealed stream refuses so");
        if let Some((_, end)) = self.sealed {
            assert_eq!(after.end_offset(), end, "a sealed stream ends where it was sealed");
        }
    }
}

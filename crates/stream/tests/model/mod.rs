//! A history's memory: what was really answered, from which the next command is derived and against which every
//! answer is checked.

use std::collections::BTreeMap;

mod compaction;
mod sealing;

use proptest::sample::Index as Pick;
use weir_stream::limits::PRODUCER_QUIET_MS_MAX;
use weir_stream::{
    Append, Command, CommitAndAppend, CommitOffset, GroupEpoch, Movement, Rejection, Reply, Stream,
};
use weir_types::{
    At, GroupId, LeaseClock, LogIndex, Offset, OutputBatch, Pointer, ProducerEpoch, ProducerId,
    ProducerSequence, Retention, StreamPolicy, TransferSequence, TransferSource, WallClock,
};

/// One generated step; `kind`, `pick`, `other` and `count` become a command when it is known what came before.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Whether it begins an entry; the clocks advance then.
    pub(crate) new_entry: bool,
    pub(crate) new_term: bool,
    pub(crate) wall_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) restart: bool,
    pub(crate) kind: u8,
    pub(crate) pick: Pick,
    pub(crate) other: Pick,
    pub(crate) count: u32,
}

/// A batch, as it was appended or as compaction has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Appended {
    append: Append,
    base_offset: Offset,
    /// Behind its last record.
    end: Offset,
    pointer: Pointer,
    append_time: WallClock,
}

/// By epoch and base sequence: offset and count.
type Stamps = BTreeMap<(ProducerEpoch, u32), (Offset, u32)>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    appended: Vec<Appended>,
    /// Stamps of batches taken in, with the offset that each got, per producer with its last append.
    producers: BTreeMap<ProducerId, (LeaseClock, Stamps)>,
    /// The highest epoch that each group has shown.
    epochs: BTreeMap<String, GroupEpoch>,
    positions: BTreeMap<String, Offset>,
    retained_from: LogIndex,
    position: u32,
    /// What compaction has done.
    compacted: compaction::Compacted,
    /// Steps that were taken.
    steps: Vec<CommitAndAppend>,
    /// The highest epoch of each producer that shut its older selves out, and when.
    fences: BTreeMap<ProducerId, (ProducerEpoch, LeaseClock)>,
    /// The step that moved each group last; none when something else did.
    moved_last: BTreeMap<String, (GroupEpoch, Option<Offset>, Offset)>,
    /// Where the batches lie that those steps put into the outbox, per destination, in order; and how many of them each
    /// destination has.
    promised: BTreeMap<GroupId, (Vec<(LogIndex, u32)>, usize)>,
    /// When it was sealed, and its end.
    sealed: Option<(WallClock, Offset)>,
    /// What was taken in from each source of transfers.
    inbox: BTreeMap<TransferSource, TransferSequence>,
}

pub(crate) fn plain_append(position: u32, count: u32) -> Command {
    Command::Append(Append { position, length: 100, count, producer: None, max_timestamp_ms: 7 })
}

impl Model {
    pub(crate) fn command(&mut self, at: At, step: &Step, stream: &Stream) -> Command {
        let group = format!("group-{}", step.pick.index(3));
        match step.kind {
            0..=4 => self.append(step, None),
            5..=8 => {
                let stamp = self.next_stamp(step);
                self.append(step, Some(stamp))
            }
            9 => self.repeat(step),
            10 => {
                let mut stamp = self.next_stamp(step);
                stamp.base_sequence += step.other.index(3) as u32;
                stamp.epoch.0 = (stamp.epoch.0 + step.count % 3).saturating_sub(1);
                self.append(step, Some(stamp))
            }
            11 => {
                let mut stamp = self.next_stamp(step);
                (stamp.epoch.0, stamp.base_sequence) = (stamp.epoch.0 + 1, 0);
                self.append(step, Some(stamp))
            }
            12 | 13 => {
                let epoch = self.near_epoch(&group, step.count);
                Command::Fence { group, epoch }
            }
            14..=16 => self.commit(group, step, stream),
            17 => {
                Command::Trim { before: Offset(step.pick.index(stream.end_offset().0 as usize + 3) as u64) }
            }
            18 => match step.count {
                1 => Command::DeleteGroup { group },
                2 => Command::SetPolicy {
                    policy: StreamPolicy {
                        compaction: stream.policy().compaction,
                        retention: Retention {
                            age_ms: (step.pick.index(2) == 0).then_some(100 + step.other.index(900) as u64),
                            bytes: (step.pick.index(3) == 0).then_some(step.other.index(5_000) as u64),
                            groups: (0..step.other.index(3)).map(|group| format!("group-{group}")).collect(),
                        },
                    },
                },
                _ => Command::Tick,
            },
            20 | 21 => self.commit_and_append(group, step, stream),
            22 if !self.steps.is_empty() => {
                Command::CommitAndAppend(self.steps[step.pick.index(self.steps.len())].clone())
            }
            23 => self.arrive(step),
            24 => {
                let stamp = self.next_stamp(step);
                let fenced =
                    self.fences.get(&stamp.id).map_or(stamp.epoch, |(fence, _)| stamp.epoch.max(*fence));
                Command::FenceProducer {
                    id: stamp.id,
                    epoch: ProducerEpoch((fenced.0 + step.count % 3).saturating_sub(1)),
                }
            }
            25..=27 => self.compact(at, step, stream),
            28 if step.count == 1 && step.other.index(2) == 0 => Command::Seal,
            29 => self.transfer(step),
            30 => self.recut(step),
            _ => Command::Tick,
        }
    }

    /// Mostly the group's next step, by its owner; now and then from elsewhere, or by another owner.
    fn commit_and_append(&mut self, group: String, step: &Step, stream: &Stream) -> Command {
        let skew = if step.count == 5 { step.other.index(3) as u64 } else { 1 };
        let epoch = GroupEpoch((stream.group_epoch(&group).0.max(1) + skew).saturating_sub(1));
        let position = stream.committed(&group).map(|committed| committed.offset);
        let from = if step.count == 4 { Some(Offset(step.other.index(9) as u64)) } else { position };
        let offset = Offset(from.map_or(0, |from| from.0) + step.other.index(4) as u64);
        let outputs = (0..step.count % 3).map(|place| {
            self.position += 1;
            let destination = GroupId(100 + (place + step.count) % 2);
            OutputBatch { destination, position: self.position, length: 100 }
        });
        let outputs = outputs.collect();
        Command::CommitAndAppend(CommitAndAppend {
            group,
            epoch,
            from,
            offset,
            metadata: String::new(),
            outputs,
        })
    }

    /// A destination takes in what waits for it, and the stream hears of it, some of it, or too much.
    fn arrive(&mut self, step: &Step) -> Command {
        let destination = GroupId(100 + step.pick.index(4) as u32);
        let known = self.promised.entry(destination).or_default();
        known.1 = known.0.len().min(known.1 + step.count as usize);
        let through = if step.other.index(9) == 0 { known.0.len() + 1 } else { known.1 };
        Command::ConfirmTransfer { destination, through: TransferSequence(through as u64) }
    }

    /// P11: a step is taken once, from where its group stands; what it promised waits, or has arrived.
    fn check_steps(&mut self, at: At, command: &Command, answer: &Result<Reply, Rejection>, before: &Stream) {
        match (command, answer) {
            (Command::CommitAndAppend(step), Ok(Reply::Committed { offset })) => {
                assert_eq!(*offset, step.offset);
                let position = before.committed(&step.group).map(|committed| committed.offset);
                if position != step.from {
                    let taken = self.moved_last.get(&step.group);
                    let this = (step.epoch, step.from, step.offset);
                    assert_eq!(taken, Some(&this), "only what moved the group last is answered again");
                    assert_eq!(before.group_epoch(&step.group), step.epoch, "another owner has taken over");
                    return;
                }
                self.moved_last.insert(step.group.clone(), (step.epoch, step.from, step.offset));
                let earlier = self.epochs.insert(step.group.clone(), step.epoch);
                assert!(
                    earlier.is_none_or(|earlier| earlier <= step.epoch),
                    "a stale owner's step never succeeds"
                );
                self.positions.insert(step.group.clone(), step.offset);
                for output in &step.outputs {
                    let (promised, _) = self.promised.entry(output.destination).or_default();
                    promised.push((at.index, output.position));
                }
                self.steps.push(step.clone());
            }
            (Command::CommitAndAppend(step), Err(Rejection::PositionMoved { committed, from })) => {
                let position = before.committed(&step.group).map(|committed| committed.offset);
                assert_eq!((position, step.from), (*committed, *from));
                assert_ne!(position, step.from);
            }
            (Command::ConfirmTransfer { destination, through }, answer) => {
                let promised = self.promised.get(destination).map_or(0, |(promised, _)| promised.len());
                assert_eq!(answer.is_ok(), through.0 as usize <= promised, "{through} of {promised} arrived");
            }
            _ => {}
        }
    }

    fn check_outbox(&self, after: &Stream) {
        let confirmed: BTreeMap<_, _> = after.outbox().waiting().collect();
        let mut waiting = 0;
        for (destination, (promised, arrived)) in &self.promised {
            let told = confirmed.get(destination).map_or(promised.len(), |through| through.0 as usize);
            assert!(told <= *arrived, "what did not arrive waits");
            let batches = after.outbox().batches(*destination, TransferSequence(0));
            let found: Vec<_> = batches.map(|batch| (batch.pointer.index, batch.pointer.position)).collect();
            assert_eq!(found, promised[told..], "P11: batches for partition {destination}");
            waiting += found.len();
        }
        assert_eq!(waiting, after.outbox().len(), "what waits, waits for a destination");
    }

    fn append(&mut self, step: &Step, producer: Option<ProducerSequence>) -> Command {
        self.position += 1;
        let length = 50 + step.other.index(200) as u32;
        let max_timestamp_ms = i64::from(self.position);
        Command::Append(Append {
            position: self.position,
            length,
            count: step.count,
            producer,
            max_timestamp_ms,
        })
    }

    /// The stamp that follows what the producer has appended.
    fn next_stamp(&self, step: &Step) -> ProducerSequence {
        let id = ProducerId(step.pick.index(4) as u64);
        let last = self.appended.iter().rev().find_map(|batch| {
            let stamp = batch.append.producer.filter(|stamp| stamp.id == id)?;
            Some((stamp.epoch, stamp.base_sequence + batch.append.count))
        });
        let known = self.producers.contains_key(&id);
        let (epoch, base_sequence) = last.filter(|_| known).unwrap_or((ProducerEpoch(0), 0));
        ProducerSequence { id, epoch, base_sequence }
    }

    /// A batch that was taken in, sent again in another entry.
    fn repeat(&mut self, step: &Step) -> Command {
        let stamped: Vec<_> = self.appended.iter().filter(|batch| batch.append.producer.is_some()).collect();
        if stamped.is_empty() {
            return Command::Tick;
        }
        let again = stamped[step.pick.index(stamped.len())].append;
        self.position += 1;
        Command::Append(Append { position: self.position, ..again })
    }

    /// One below, at or above what the group has shown.
    fn near_epoch(&self, group: &str, count: u32) -> GroupEpoch {
        let epoch = self.epochs.get(group).copied().unwrap_or_default();
        GroupEpoch((epoch.0 + u64::from(count % 3)).saturating_sub(1))
    }

    fn commit(&self, group: String, step: &Step, stream: &Stream) -> Command {
        let epoch = self.near_epoch(&group, if step.kind == 14 { step.count } else { 1 });
        let position = stream.committed(&group).map_or(Offset(0), |committed| committed.offset);
        let offset = Offset((position.0 + step.other.index(12) as u64).saturating_sub(2));
        let movement = if step.count == 5 { Movement::Reset } else { Movement::Forward };
        Command::CommitOffset(CommitOffset { group, epoch, offset, metadata: "m".to_owned(), movement })
    }

    /// Checks one answer and remembers it.
    pub(crate) fn check(
        &mut self,
        at: At,
        command: &Command,
        answer: &Result<Reply, Rejection>,
        before: &Stream,
        after: &Stream,
    ) {
        self.check_seal(at, command, answer, before, after);
        match (command, answer) {
            (Command::AcceptTransfer(transfer), answer) => self.check_transfer(at, transfer, answer, before),
            (Command::Recut(recut), answer) => self.check_recut(at, recut, answer, before),
            (Command::Append(append), Ok(Reply::Appended { base_offset })) => {
                assert_eq!(*base_offset, before.end_offset(), "offsets are dense");
                assert_eq!(after.end_offset(), *base_offset + u64::from(append.count));
                self.remember(at, *append, *base_offset);
            }
            (Command::Append(append), Ok(Reply::Duplicate { base_offset })) => {
                let stamp = append.producer.unwrap();
                let original = self.producers[&stamp.id].1[&(stamp.epoch, stamp.base_sequence)];
                assert_eq!((*base_offset, append.count), original, "a repeat gets the original offset (P10)");
                assert_eq!(after.end_offset(), before.end_offset());
            }
            (Command::FenceProducer { id, epoch }, answer) => {
                let appended =
                    self.producers.get(id).and_then(|(_, stamps)| stamps.keys().next_back().copied());
                let known =
                    appended.map(|(epoch, _)| epoch).max(self.fences.get(id).map(|(epoch, _)| *epoch));
                assert_eq!(answer.is_err(), known > Some(*epoch), "{known:?} and {epoch:?}");
                if answer.is_ok() && appended.is_none_or(|(appended, _)| appended < *epoch) {
                    self.fences.insert(*id, (*epoch, at.lease_clock));
                }
            }
            (Command::Rewrite(rewrite), answer) => {
                assert_eq!(after.end_offset(), before.end_offset());
                self.check_rewrite(at, rewrite, answer, before, after);
            }
            (_, answer) => {
                assert_eq!(after.end_offset(), before.end_offset());
                self.check_steps(at, command, answer, before);
                self.check_group(command, answer, after);
            }
        }
        let quiet = |seen: LeaseClock| seen + PRODUCER_QUIET_MS_MAX <= at.lease_clock;
        self.producers.retain(|_, (seen, _)| !quiet(*seen));
        self.fences.retain(|_, (_, seen)| !quiet(*seen));
        self.check_reading(after);
        self.check_outbox(after);
        assert!(before.start_offset() <= after.start_offset(), "the start never falls");
        self.check_retention(command, before, after);
        if let Some(index) = after.retained_from() {
            assert!(self.retained_from <= index, "what the log must hold never grows backwards");
            self.retained_from = index;
        }
    }

    /// Without another bound, what goes by itself was read by all groups that the stream is kept for; and what all of them
    /// have read goes.
    fn check_retention(&self, command: &Command, before: &Stream, after: &Stream) {
        let retention = &after.policy().retention;
        let position = |group| self.positions.get(group).copied().unwrap_or_default();
        let read_below = retention.groups.iter().map(position).min().unwrap_or_default();
        let by_reading = retention.age_ms.is_none() && retention.bytes.is_none();
        if by_reading && !matches!(command, Command::Trim { .. }) {
            let kept_from = before.start_offset().max(read_below);
            assert!(after.start_offset() <= kept_from, "nothing goes before all groups have read it");
        }
        if after.next_deadlines().wall == Some(WallClock(0)) {
            return;
        }
        let start = after.start_offset();
        if let Some(first) = after.locate(start, 1).unwrap().first()
            && !self.compacted.any()
        {
            let entry = |batch: &&Appended| batch.pointer.index == first.pointer.index;
            let last = self.appended.iter().rev().find(entry).unwrap();
            assert!(last.end > read_below, "what all groups have read goes");
        }
    }

    fn remember(&mut self, at: At, append: Append, base_offset: Offset) {
        let Append { position, length, .. } = append;
        let pointer = Pointer { term: at.term, index: at.index, position, length };
        if let Some(stamp) = append.producer {
            let fence = self.fences.remove(&stamp.id);
            assert!(
                fence.is_none_or(|(fence, _)| fence <= stamp.epoch),
                "{stamp:?} was shut out by {fence:?}"
            );
        }
        let end = base_offset + u64::from(append.count);
        self.appended.push(Appended { append, base_offset, end, pointer, append_time: at.wall_clock });
        self.compacted.appended(base_offset, end);
        if let Some(stamp) = append.producer {
            let (seen, stamps) = self.producers.entry(stamp.id).or_default();
            *seen = at.lease_clock;
            let earlier = stamps.insert((stamp.epoch, stamp.base_sequence), (base_offset, append.count));
            assert_eq!(earlier, None, "{stamp:?} is appended once (P10)");
            let newest = stamps.keys().next_back().map(|(epoch, _)| *epoch);
            assert_eq!(newest, Some(stamp.epoch), "an older epoch never appends");
        }
    }

    /// P14: a stale owner changes nothing, and a position moves back only by a reset.
    fn check_group(&mut self, command: &Command, answer: &Result<Reply, Rejection>, after: &Stream) {
        match (command, answer) {
            (Command::Fence { group, epoch }, Ok(Reply::Fenced { committed })) => {
                let shown = self.epochs.entry(group.clone()).or_default();
                assert!(*shown <= *epoch, "a stale owner takes nothing over");
                *shown = *epoch;
                let position = committed.as_ref().map(|committed| committed.offset);
                assert_eq!(position.as_ref(), self.positions.get(group), "the new owner learns the position");
            }
            (Command::CommitOffset(commit), Ok(_)) => {
                let shown = self.epochs.entry(commit.group.clone()).or_default();
                assert!(*shown <= commit.epoch, "a stale owner's commit never succeeds");
                *shown = commit.epoch;
                self.moved_last.remove(&commit.group);
                let earlier = self.positions.insert(commit.group.clone(), commit.offset);
                let moved_back = earlier.is_some_and(|earlier| commit.offset < earlier);
                assert!(
                    !moved_back || commit.movement == Movement::Reset,
                    "a position never moves back by itself"
                );
            }
            (Command::DeleteGroup { group }, Ok(_)) => {
                self.positions.remove(group);
                self.moved_last.remove(group);
                let shown = self.epochs.get_mut(group).unwrap();
                if shown.0 > 0 {
                    shown.0 += 1;
                }
            }
            _ => {}
        }
        for (group, shown) in &self.epochs {
            assert_eq!(after.group_epoch(group), *shown, "epochs never restart");
            let position = after.committed(group).map(|committed| committed.offset);
            assert_eq!(position.as_ref(), self.positions.get(group));
        }
    }

    /// P13: every reader finds at every retained offset the record that was appended there, and is told when an
    /// offset is not there.
    fn check_reading(&self, stream: &Stream) {
        let (start, end) = (stream.start_offset(), stream.end_offset());
        let retained: Vec<_> = self.appended.iter().filter(|batch| batch.end > start).collect();
        let mut next = start;
        let mut expected = retained.iter();
        while next < end {
            let batches = stream.locate(next, 400).unwrap();
            assert!(!batches.is_empty(), "one batch always fits");
            let bytes: u32 = batches.iter().map(|batch| batch.pointer.length).sum();
            assert!(batches.len() == 1 || bytes <= 400);
            for read in batches {
                assert!(next < read.next_offset, "a reader always gets on");
                next = read.next_offset;
                if self.compacted.ends_before(read.base_offset, start) {
                    continue;
                }
                let written = expected.next().unwrap();
                assert_eq!((read.base_offset, read.pointer), (written.base_offset, written.pointer));
                assert_eq!(read.append_time, written.append_time);
                assert_eq!(read.max_timestamp_ms, written.append.max_timestamp_ms);
                let is_dense = read.next_offset == written.end;
                assert!(is_dense || written.end <= stream.compacted_to(), "compaction alone leaves gaps");
            }
        }
        assert_eq!(next, end);
        assert_eq!(expected.next(), None);
        assert!(stream.locate(end.next(), 1).is_err());
        if start > Offset(0) {
            let below = stream.locate(Offset(start.0 - 1), 1).unwrap_err();
            assert_eq!((below.start, below.end), (start, end));
        }
        if let Some(middle) = retained.get(retained.len() / 2) {
            let time = middle.append_time;
            let first = retained.iter().find(|batch| batch.append_time >= time).unwrap();
            let found = stream.offset_for_time(time);
            assert!(found <= first.base_offset.max(start), "a reader from a time on misses nothing");
            assert!(self.compacted.any() || found == first.base_offset.max(start));
        }
        assert!(stream.bytes() >= retained.iter().map(|batch| u64::from(batch.pointer.length)).sum());
    }
}

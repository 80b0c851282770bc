//! A stream of two partitions with a consumer group: a model, with the defects that it can be given.

use std::collections::BTreeMap;

use weir_checker::Value;

/// Partitions of the stream.
pub(crate) const PARTITIONS: u32 = 2;
/// A defect shows in one of so many cases.
const RARE: u64 = 12;

/// Something that the stream does wrong now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    StoresRefused,
    ForgetsProducers,
    LosesTheTail,
    LosesWhatWasRead,
    StoresHalf,
    ReversesBatches,
    TellsWrongOffsets,
    StartsOver,
    LeavesOut,
    BeginsLate,
    BeginsEarly,
    DamagesPayloads,
    ShowsAnOldEnd,
    JumpsOverTheTrimmed,
    StartFalls,
    MovesKeys,
    ReplicasDiffer,
    LetsZombiesCommit,
    LetsZombiesRead,
    ForgetsCommits,
    ResumesTooEarly,
    ResumesTooLate,
    MakesUpPositions,
}

impl Defect {
    /// Each with the anomaly that shows it.
    pub(crate) const ALL: &[(Self, &str)] = &[
        (Self::StoresRefused, "aborted-read"),
        (Self::ForgetsProducers, "duplicate"),
        (Self::LosesTheTail, "lost-write"),
        (Self::LosesTheTail, "tail-regress"),
        (Self::LosesTheTail, "inconsistent-offset"),
        (Self::LosesWhatWasRead, "vanished"),
        (Self::StoresHalf, "batch-torn"),
        (Self::ReversesBatches, "ack-offset-mismatch"),
        (Self::ReversesBatches, "int-nonmonotonic-send"),
        (Self::TellsWrongOffsets, "ack-offset-mismatch"),
        (Self::StartsOver, "spurious-zero-offset"),
        (Self::LeavesOut, "int-poll-skip"),
        (Self::BeginsLate, "poll-skip"),
        (Self::BeginsEarly, "nonmonotonic-poll"),
        (Self::DamagesPayloads, "corrupt-payload"),
        (Self::ShowsAnOldEnd, "stale-tail"),
        (Self::JumpsOverTheTrimmed, "read-below-start"),
        (Self::StartFalls, "low-watermark-regress"),
        (Self::MovesKeys, "key-in-two-partitions"),
        (Self::ReplicasDiffer, "replica-disagreement"),
        (Self::LetsZombiesCommit, "zombie-commit"),
        (Self::LetsZombiesRead, "zombie-poll"),
        (Self::ForgetsCommits, "commit-regress"),
        (Self::ResumesTooEarly, "stale-resume"),
        (Self::ResumesTooLate, "skipped-messages"),
        (Self::MakesUpPositions, "phantom-position"),
    ];
}

/// One partition.
#[derive(Default)]
pub(crate) struct Partition {
    /// Trimmed records included.
    pub(crate) log: Vec<Value>,
    pub(crate) start: u64,
    pub(crate) epoch: u64,
    pub(crate) committed: Option<u64>,
    places: BTreeMap<Value, u64>,
    pub(crate) applied: u64,
}

impl Partition {
    pub(crate) fn end(&self) -> u64 {
        self.log.len() as u64
    }

    /// Stores records once; returns the offset of the first.
    pub(crate) fn append(&mut self, values: &[Value], faulty: &mut dyn FnMut(Defect) -> bool) -> u64 {
        self.applied += 1;
        if let Some(place) = self.places.get(&values[0]).filter(|_| !faulty(Defect::ForgetsProducers)) {
            return *place;
        }
        let first = self.end();
        let mut values = values.to_vec();
        if values.len() > 1 && faulty(Defect::ReversesBatches) {
            values.reverse();
        }
        if values.len() > 1 && faulty(Defect::StoresHalf) {
            values.truncate(1);
        }
        self.places.extend(values.iter().map(|value| (*value, first)));
        self.log.extend(values);
        first
    }

    /// Up to three records from an offset on; none when it was trimmed.
    pub(crate) fn read(&self, offset: u64) -> Option<Vec<(u64, Option<Value>)>> {
        let records = (offset..).zip(self.log.iter().skip(offset as usize)).take(3);
        (offset >= self.start).then(|| records.map(|(offset, value)| (offset, Some(*value))).collect())
    }

    /// The last records are gone.
    pub(crate) fn lose(&mut self, records: usize) {
        let left = self.log.len().saturating_sub(records).max(self.start as usize);
        self.log.truncate(left);
    }

    /// Whether an epoch may do what owners do.
    pub(crate) fn admits(&self, epoch: u64) -> bool {
        epoch >= self.epoch
    }
}

/// Whether a rare defect shows this time.
pub(crate) fn shows(defect: Option<Defect>, asked: Defect, number: u64) -> bool {
    defect == Some(asked) && number.is_multiple_of(RARE)
}

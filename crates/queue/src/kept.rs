//! Acked messages that are kept for a while, so that they can be replayed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::mutants::{self, Mutant};
use weir_types::{LogIndex, MessageId, Pointer, QueuePolicy, RowChange, WallClock};

use crate::limits::{KEPT_LATE_MS, KEPT_RUNS_MAX, KEPT_TOGETHER_MS};
use crate::message::Message;
use crate::table::Table;

/// Acked messages with consecutive ids out of one record batch, named by the first one: they mostly come in order, so its name stays. What they were (key, priority,
/// headers) is read from their records again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRun {
    /// Messages in it: at least 1.
    pub(crate) count: u32,
    /// Number of its first record in the batch.
    pub(crate) record: u32,
    /// The batch.
    pub(crate) pointer: Pointer,
    /// What each message counts for, in bytes.
    pub(crate) bytes_each: u32,
    pub(crate) arrived: WallClock,
    /// When the first of them could go.
    pub(crate) first_until: WallClock,
    /// When all of them go.
    pub(crate) until: WallClock,
}

impl KeptRun {
    /// The message after its last one, given its first one.
    pub(crate) fn end(&self, first: MessageId) -> MessageId {
        MessageId(first.0 + u64::from(self.count))
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.count) * u64::from(self.bytes_each)
    }

    /// This and the run that follows it as one; none when they are not of a piece. Messages that were acked at very
    /// different times stay apart, so that none is kept for much longer than was asked.
    fn joined(&self, next: &Self) -> Option<Self> {
        let first_until = self.first_until.min(next.first_until);
        let until = self.until.max(next.until);
        let fits = self.pointer == next.pointer
            && self.record + self.count == next.record
            && (self.bytes_each, self.arrived) == (next.bytes_each, next.arrived)
            && until - first_until <= KEPT_TOGETHER_MS;
        let more = if mutants::on(Mutant::M49) { 0 } else { next.count };
        fits.then_some(Self { count: self.count + more, first_until, until, ..*self })
    }
}

/// The kept messages of a partition. They are no part of the backlog: none is ever delivered, they count toward no
/// limit of producers, and when there are too many the oldest go first, as only that gives disk space back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    rows: Table<KeptRun>,
    by_until: BTreeSet<(WallClock, MessageId)>,
    messages: u64,
    bytes: u64,
}

impl Kept {
    pub(crate) fn restored(rows: Table<KeptRun>) -> Self {
        let mut kept = Self::default();
        for (name, run) in rows.iter() {
            kept.by_until.insert((run.until, name));
            kept.messages += u64::from(run.count);
            kept.bytes += run.bytes();
        }
        Self { rows, ..kept }
    }

    /// Keeps a message; its entry's bodies are kept by the caller.
    pub(crate) fn add(&mut self, id: MessageId, message: &Message, until: WallClock) {
        let mut run = KeptRun {
            count: 1,
            record: message.record,
            pointer: message.pointer,
            bytes_each: message.bytes,
            arrived: message.arrived,
            first_until: until,
            until,
        };
        let mut name = id;
        let before = self.rows.range(..id).next_back().map(|(first, run)| (first, *run));
        if let Some((first, before)) = before
            && before.end(first) == id
            && let Some(joined) = before.joined(&run)
        {
            self.take(first);
            (name, run) = (first, joined);
        }
        let after = MessageId(id.0 + 1);
        if let Some(joined) = self.rows.get(after).and_then(|next| run.joined(next)) {
            self.take(after);
            run = joined;
        }
        self.messages += u64::from(run.count);
        self.bytes += run.bytes();
        self.by_until.insert((run.until, name));
        self.rows.put(name, run);
    }

    /// Takes a run out.
    pub(crate) fn take(&mut self, name: MessageId) -> KeptRun {
        let run = self.rows.remove(name).expect("the caller names a run");
        self.by_until.remove(&(run.until, name));
        self.messages -= u64::from(run.count);
        self.bytes -= run.bytes();
        run
    }

    /// The bodies of a run lie elsewhere.
    pub(crate) fn relocate(&mut self, name: MessageId, pointer: Pointer, record: u32) {
        let run = *self.rows.get(name).expect("the caller names a run");
        self.rows.put(name, KeptRun { record, pointer, ..run });
    }

    /// The run that has to go first by now: its time is over, or there is more than may be kept.
    pub(crate) fn due(&self, now: WallClock, policy: &QueuePolicy) -> Option<MessageId> {
        if self.is_over(policy) {
            return self.rows.iter().next().map(|(name, _)| name);
        }
        self.by_until.first().filter(|(until, _)| *until <= now).map(|(_, name)| *name)
    }

    /// When an entry is worth it for that alone: at once when there is more than may be kept, else a while after the
    /// first is due, so that one entry takes many along.
    pub(crate) fn next_due(&self, now: WallClock, policy: &QueuePolicy) -> Option<WallClock> {
        let first = self.by_until.first().map(|(until, _)| *until + KEPT_LATE_MS);
        if self.is_over(policy) { Some(now) } else { first }
    }

    fn is_over(&self, policy: &QueuePolicy) -> bool {
        let bytes_max = policy.keep_ms.map_or(0, |_| policy.keep_bytes_max);
        self.bytes > bytes_max
            || self.rows.len() > KEPT_RUNS_MAX
            || (policy.keep_ms.is_none() && self.messages > 0)
    }

    /// The runs with kept messages from `id` on; the first may begin before it.
    pub(crate) fn from(&self, id: MessageId) -> impl Iterator<Item = (MessageId, &KeptRun)> {
        let over = self.rows.range(..id).next_back().filter(move |(first, run)| run.end(*first) > id);
        over.into_iter().chain(self.rows.range(id..))
    }

    pub(crate) fn rows(&self) -> &Table<KeptRun> {
        &self.rows
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn entries_of(&self) -> impl Iterator<Item = (LogIndex, u64)> {
        self.rows.iter().map(|(_, run)| (run.pointer.index, u64::from(run.count)))
    }

    pub(crate) fn entries(&self) -> usize {
        self.rows.len() + self.by_until.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert!(self.rows.is_flushed(), "kept rows left to write");
        assert_eq!(
            *self,
            Self::restored(self.rows.clone()),
            "times of kept messages do not follow from the rows"
        );
    }
}

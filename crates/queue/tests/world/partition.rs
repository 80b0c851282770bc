//! One partition with its rows, and its place in the lineage.

use std::collections::BTreeMap;

use weir_queue::{Command, Queue, Rejection, Reply};
use weir_types::{At, GroupId, KeyRange, LeaseId, LogIndex, Output, QueuePolicy, Row};

/// As the registry sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Coming,
    Open,
    Sealing,
    Sealed,
}

pub(crate) struct Partition {
    pub(crate) group: GroupId,
    pub(crate) queue: Queue,
    pub(crate) range: KeyRange,
    pub(crate) stage: Stage,
    pub(crate) parents: Vec<usize>,
    pub(crate) children: Vec<usize>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    index: LogIndex,
}

impl Partition {
    pub(crate) fn new(
        policy: QueuePolicy,
        group: u32,
        range: KeyRange,
        parents: Vec<usize>,
        stage: Stage,
    ) -> Self {
        Self {
            group: GroupId(group),
            queue: Queue::new(policy, LeaseId(0)),
            range,
            stage,
            parents,
            children: Vec::new(),
            rows: BTreeMap::new(),
            index: LogIndex(0),
        }
    }

    pub(crate) fn apply(&mut self, now: At, command: Command) -> Result<Reply, Rejection> {
        self.index = self.index.next();
        let mut out = Output::default();
        let answer = self.queue.apply(At { index: self.index, ..now }, command, &mut out).unwrap();
        self.queue.check_invariants();
        for change in out.changes {
            match change.value {
                Some(value) => self.rows.insert(change.key, value),
                None => self.rows.remove(&change.key),
            };
        }
        answer
    }

    /// A partition that was never written to has nothing to restart from.
    pub(crate) fn restart(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let rows = self.rows.iter().map(|(key, value)| Row { key: key.clone(), value: value.clone() });
        let restored = Queue::restore(rows).unwrap();
        assert_eq!(restored, self.queue, "the rows are the state");
        self.queue = restored;
    }
}

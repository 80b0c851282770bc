//! The machine.

use std::collections::BTreeMap;

use weir_types::mutants::{self, Mutant};
use weir_types::outbox::Outbox;
use weir_types::{At, Corrupt, Offset, Output, ProducerId, Row, RowChange, StreamPolicy};

use crate::compaction::Compaction;
use crate::groups::Groups;
use crate::inbox::Inbox;
use crate::index::Index;
use crate::producers::Producers;
use crate::retention::{self, Bounds};
use crate::rows::{self, CompactedRow, Key, ProducerRow, RunRow};
use crate::seal::Seal;
use crate::{Command, Effect, Rejection, Reply, apply, outbox};

/// One partition of a stream. See the [crate](crate) for the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub(crate) policy: StreamPolicy,
    /// Whether the policy has its row: the first command writes it.
    policy_is_stored: bool,
    pub(crate) index: Index,
    pub(crate) compaction: Compaction,
    pub(crate) producers: Producers,
    pub(crate) groups: Groups,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// None while it takes records in.
    pub(crate) seal: Option<Seal>,
}

impl Stream {
    /// An empty stream. `policy` must be the same on every replica: that of the partition's creation.
    pub fn new(policy: StreamPolicy) -> Self {
        Self {
            policy,
            policy_is_stored: false,
            index: Index::default(),
            compaction: Compaction::default(),
            producers: Producers::default(),
            groups: Groups::default(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            seal: None,
        }
    }

    /// Takes one step. A rejection is a normal, replicated answer; `Corrupt` means that the log contradicts the
    /// state, and the replica must stop.
    pub fn apply(
        &mut self,
        at: At,
        command: Command,
        out: &mut Output<Effect>,
    ) -> Result<Result<Reply, Rejection>, Corrupt> {
        if !self.policy_is_stored {
            apply::set_policy(self, self.policy.clone(), &mut out.changes);
        }
        let answer = match command {
            Command::Append(append) => apply::append(self, at, &append, out)?,
            Command::Fence { group, epoch } => apply::fence(&mut self.groups, group, epoch, out),
            Command::CommitOffset(commit) => {
                apply::commit_offset(&mut self.groups, &self.index, commit, &mut out.changes)
            }
            Command::DeleteGroup { group } => apply::delete_group(&mut self.groups, group, out),
            Command::Trim { before } => apply::trim(&mut self.index, before, &mut out.changes),
            Command::SetPolicy { policy } => Ok(apply::set_policy(self, policy, &mut out.changes)),
            Command::Tick => Ok(Reply::Done),
            Command::AcceptTransfer(transfer) => apply::accept_transfer(self, at, &transfer, out)?,
            Command::CommitAndAppend(step) => apply::commit_and_append(self, at, step, &mut out.changes),
            Command::FenceProducer { id, epoch } => {
                apply::fence_producer(&mut self.producers, at, id, epoch, &mut out.changes)
            }
            Command::Rewrite(step) => apply::rewrite(self, at, &step, &mut out.changes),
            Command::ConfirmTransfer { destination, through } => {
                let known = self.outbox.confirm(destination, through);
                known.then_some(Reply::Done).ok_or(Rejection::Invalid("more has arrived than was ever sent"))
            }
            Command::Seal => Ok(apply::seal(self, at, out)),
            Command::Recut(recut) => apply::recut(&mut self.outbox, at, &recut),
        };
        outbox::flush(&mut self.outbox, &mut out.changes);
        self.fire_timers(at, out);
        Ok(answer)
    }

    /// The second half of every step: what time, or the command, has made due.
    fn fire_timers(&mut self, at: At, out: &mut Output<Effect>) {
        self.producers.forget_quiet(at.lease_clock, &mut out.changes);
        let bounds = Bounds::of(&self.policy.retention, &self.groups);
        if retention::retire(&mut self.index, &bounds, at.wall_clock, &mut out.changes) {
            out.effects.push(Effect::Retired {
                start_offset: self.start_offset(),
                retained_from: self.retained_from(),
            });
        }
        self.compaction.finish(&mut self.index, at.wall_clock, &mut out.changes);
    }

    pub(crate) fn store_policy(&mut self, policy: StreamPolicy, changes: &mut Vec<RowChange>) {
        self.policy = policy;
        self.policy_is_stored = true;
        rows::put_again(changes, rows::put(&Key::Policy, &self.policy));
    }

    /// The state that wrote these rows, which may come in any order; without any, that of a new stream with the
    /// default policy.
    pub fn restore(rows: impl Iterator<Item = Row>) -> Result<Self, Corrupt> {
        let mut stream = Self::new(StreamPolicy::default());
        let mut runs: BTreeMap<Offset, RunRow> = BTreeMap::new();
        let mut compacted: BTreeMap<Offset, CompactedRow> = BTreeMap::new();
        let mut producers: BTreeMap<ProducerId, BTreeMap<u8, ProducerRow>> = BTreeMap::new();
        let mut start = Offset(0);
        for Row { key, value } in rows {
            let key = Key::decode(&key)?;
            match &key {
                Key::Group(_) if mutants::on(Mutant::M08) => {}
                Key::Producer(..) if mutants::on(Mutant::M19) => {}
                Key::Compaction => stream.compaction = rows::read(&key, &value)?,
                Key::Compacted(base_offset) => {
                    compacted.insert(*base_offset, rows::read(&key, &value)?);
                }
                Key::Run(base_offset) => {
                    runs.insert(*base_offset, rows::read(&key, &value)?);
                }
                Key::Producer(id, slot) => {
                    producers.entry(*id).or_default().insert(*slot, rows::read(&key, &value)?);
                }
                Key::Fence(id) => stream.producers.restore_fence(*id, rows::read(&key, &value)?),
                Key::Group(name) => stream.groups.restore(name.clone(), rows::read(&key, &value)?),
                Key::EpochFloor => stream.groups.restore_epoch_floor(rows::read(&key, &value)?),
                Key::Source(source) => stream.inbox.restore(*source, rows::read(&key, &value)?),
                Key::Destination(_) | Key::OutboxBatch(..) => {
                    outbox::restore(&mut stream.outbox, &key, &value)?;
                }
                Key::Start => start = rows::read(&key, &value)?,
                Key::Policy => {
                    stream.policy = rows::read(&key, &value)?;
                    stream.policy_is_stored = true;
                }
                Key::Seal => stream.seal = Some(rows::read(&key, &value)?),
            }
        }
        let rewritten_to = stream.compaction.rewritten_to();
        stream.index.restore_clean_to(stream.compaction.clean_to);
        for (base_offset, row) in &compacted {
            stream.index.restore_compacted(*base_offset, row, rewritten_to)?;
        }
        for (base_offset, run) in &runs {
            stream.index.restore_run(*base_offset, run)?;
        }
        stream.index.restore_start(start, stream.compaction.compacted_to())?;
        stream.compaction.check_restored(&stream.index)?;
        for (id, slots) in producers {
            stream.producers.restore(id, slots)?;
        }
        stream.groups.check_restored(stream.end_offset())?;
        stream.outbox.check_restored()?;
        stream.seal.map_or(Ok(()), |seal| seal.check(stream.end_offset()))?;
        Ok(stream)
    }

    /// Every row of the state, by key: what a store holds that applied all changes. For comparing replicas.
    pub fn rows(&self) -> Vec<Row> {
        let policy = self.policy_is_stored.then(|| rows::put(&Key::Policy, &self.policy));
        let seal = self.seal.map(|seal| rows::put(&Key::Seal, &seal));
        let parts = [
            self.index.rows(),
            self.producers.rows(),
            self.groups.rows(),
            self.inbox.rows(),
            outbox::rows(&self.outbox),
        ];
        let mut all: Vec<Row> = parts
            .into_iter()
            .flatten()
            .chain(policy)
            .chain(seal)
            .chain(self.compaction.row())
            .filter_map(|RowChange { key, value }| Some(Row { key, value: value? }))
            .collect();
        all.sort();
        all
    }
}

//! Owners of a partition in a consumer group, who take over from each other: each shuts the older ones out, goes on
//! where they had committed, and commits until it is shut out itself. Some do not believe it, and try again. In some runs
//! every second commit appends a record to the stream itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op, Value};
use weir_types::{GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::{batch, unexpected};
use super::work::Outputs;
use super::{GROUP, Journal, STREAM, ended, read};
use crate::recorder::End;

/// Most commits of one ownership.
const COMMITS_MAX: u64 = 12;
/// How long a fetch waits for a record.
const WAIT_MS: u64 = 300;
/// One owner in so many stands still until another has surely taken over.
const STILL_ONE_IN: u64 = 3;
const STILL: Duration = Duration::from_secs(8);
/// One commit of so many appends, where commits do.
const APPENDS_ONE_IN: u64 = 2;

/// One of them.
pub(super) struct Owner {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) consumer: Consumer,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    /// The epochs of this partition, which no two owners share.
    pub(super) epochs: Arc<AtomicU64>,
    /// Longest pause between two commits.
    pub(super) pause_ms_max: u64,
    /// What it appends when it commits; nothing where commits do not append.
    pub(super) outputs: Option<Outputs>,
}

/// An ownership, and where the group stands.
#[derive(Clone, Copy)]
struct Owned {
    epoch: u64,
    committed: Option<Offset>,
}

impl Owner {
    /// Takes over again and again until everything has healed.
    pub(super) async fn run(self, healed: CancellationToken) -> Result<(), WeirError> {
        while !healed.is_cancelled() {
            let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(owned) = self.take_over(epoch).await? {
                self.work(owned, &healed).await?;
            }
            sleep(self.pause()).await;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.client.below(self.pause_ms_max))
    }

    /// Shuts older owners out; none when a newer owner was faster.
    async fn take_over(&self, epoch: u64) -> Result<Option<Owned>, WeirError> {
        let (index, group) = self.partition;
        let begun = self.journal.begin();
        let question = Question::Fence { group, consumers: GROUP.to_owned(), epoch };
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let (end, owned) = match told {
            Ok(Answer::Position { committed }) => {
                (End::Ok, Some(Owned { epoch, committed: committed.map(Offset) }))
            }
            Ok(other) => return Err(unexpected(&other)),
            Err(error) => (ended(&error), None),
        };
        let op = Op::Assign {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch,
            partitions: vec![index],
        };
        self.journal.end(begun, op, end);
        Ok(owned)
    }

    async fn work(&self, mut owned: Owned, healed: &CancellationToken) -> Result<(), WeirError> {
        let mut next = owned.committed.unwrap_or_default();
        for _ in 0..=self.client.below(COMMITS_MAX) {
            if healed.is_cancelled() {
                return Ok(());
            }
            let reader = read::Reader { consumer: self.consumer, epoch: Some(owned.epoch), wait_ms: WAIT_MS };
            (next, _) = reader.fetch(&self.client, &self.journal, self.partition, next).await?;
            if self.client.below(COMMITS_MAX * STILL_ONE_IN) == 0 {
                sleep(STILL).await;
            }
            let owns = match &self.outputs {
                Some(outputs) if owned.committed < Some(next) && self.client.below(APPENDS_ONE_IN) == 0 => {
                    self.commit_and_append(owned, next, outputs).await?
                }
                _ => self.commit(owned.epoch, next).await?,
            };
            if owns {
                owned.committed = Some(next);
            }
            if !owns && self.client.below(2) == 0 {
                return Ok(());
            }
            sleep(self.pause()).await;
        }
        Ok(())
    }

    /// Commits a position and appends a record; false when the owner is one no more.
    async fn commit_and_append(
        &self,
        Owned { epoch, committed }: Owned,
        offset: Offset,
        outputs: &Outputs,
    ) -> Result<bool, WeirError> {
        let (index, group) = self.partition;
        let sequence = outputs.next.fetch_add(1, Ordering::Relaxed);
        let value = Value { producer: outputs.producer, sequence };
        let destination = outputs.partitions[self.client.below(outputs.partitions.len() as u64) as usize];
        let question = Question::CommitAndAppend {
            group,
            consumers: GROUP.to_owned(),
            epoch,
            from: committed,
            offset,
            destination,
            batch: batch(&[value], None)?,
        };
        let (begun, mut unheard) = (self.journal.begin(), false);
        let told =
            self.client.ask_and_hear(Some(group), &question, Duration::from_secs(1), &mut unheard).await;
        let op = Op::CommitAndAppend {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch,
            partition: index,
            from: committed.map(|offset| offset.0),
            offset: offset.0,
            stream: STREAM.to_owned(),
            value,
        };
        self.journal.end(begun, op, committed_as(&told, unheard));
        Ok(told.is_ok())
    }

    /// Commits a position; false when the owner is one no more.
    async fn commit(&self, epoch: u64, offset: Offset) -> Result<bool, WeirError> {
        let (index, group) = self.partition;
        let (begun, mut unheard) = (self.journal.begin(), false);
        let question = Question::Commit { group, consumers: GROUP.to_owned(), epoch, offset };
        let wait = Duration::from_secs(1);
        let told = self.client.ask_and_hear(Some(group), &question, wait, &mut unheard).await;
        let op = Op::Commit {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch,
            partition: index,
            offset: offset.0,
        };
        self.journal.end(begun, op, committed_as(&told, unheard));
        Ok(told.is_ok())
    }
}

/// How a commit ended: when an attempt was not heard of, it may have happened whatever was said later.
fn committed_as(told: &Result<Answer, WeirError>, unheard: bool) -> End {
    match told {
        Ok(_) => End::Ok,
        Err(error) if unheard => End::Info(error.code.clone()),
        Err(error) => ended(error),
    }
}

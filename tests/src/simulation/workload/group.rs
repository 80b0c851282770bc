//! Owners of a partition in a consumer group, who take over from each other: each shuts the older ones out, goes on
//! where they had committed, and commits until it is shut out itself. Some do not believe it, and try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op};
use weir_types::{GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::unexpected;
use super::{GROUP, Journal, STREAM, ended, read};
use crate::recorder::End;

/// Most commits of one ownership.
const COMMITS_MAX: u64 = 12;
/// How long a fetch waits for a record.
const WAIT_MS: u64 = 300;
/// One owner in so many stands still until another has surely taken over.
const STILL_ONE_IN: u64 = 3;
const STILL: Duration = Duration::from_secs(8);

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
}

impl Owner {
    /// Takes over again and again until everything has healed.
    pub(super) async fn run(self, healed: CancellationToken) -> Result<(), WeirError> {
        while !healed.is_cancelled() {
            let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(position) = self.take_over(epoch).await? {
                self.work(epoch, position, &healed).await?;
            }
            sleep(self.pause()).await;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.client.below(self.pause_ms_max))
    }

    /// Shuts older owners out; the group's position, or none when a newer owner was faster.
    async fn take_over(&self, epoch: u64) -> Result<Option<Offset>, WeirError> {
        let (index, group) = self.partition;
        let begun = self.journal.begin();
        let question = Question::Fence { group, consumers: GROUP.to_owned(), epoch };
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let (end, position) = match told {
            Ok(Answer::Position { committed }) => (End::Ok, Some(Offset(committed.unwrap_or(0)))),
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
        Ok(position)
    }

    async fn work(&self, epoch: u64, from: Offset, healed: &CancellationToken) -> Result<(), WeirError> {
        let mut next = from;
        for _ in 0..=self.client.below(COMMITS_MAX) {
            if healed.is_cancelled() {
                return Ok(());
            }
            let reader = read::Reader { consumer: self.consumer, epoch: Some(epoch), wait_ms: WAIT_MS };
            (next, _) = reader.fetch(&self.client, &self.journal, self.partition, next).await?;
            if self.client.below(COMMITS_MAX * STILL_ONE_IN) == 0 {
                sleep(STILL).await;
            }
            let owns = self.commit(epoch, next).await?;
            if !owns && self.client.below(2) == 0 {
                return Ok(());
            }
            sleep(self.pause()).await;
        }
        Ok(())
    }

    /// Commits a position; false when the owner is one no more.
    async fn commit(&self, epoch: u64, offset: Offset) -> Result<bool, WeirError> {
        let (index, group) = self.partition;
        let (begun, mut unheard) = (self.journal.begin(), false);
        let question = Question::Commit { group, consumers: GROUP.to_owned(), epoch, offset };
        let wait = Duration::from_secs(1);
        let told = self.client.ask_and_hear(Some(group), &question, wait, &mut unheard).await;
        let end = match &told {
            Ok(_) => End::Ok,
            Err(error) if unheard => End::Info(error.code.clone()),
            Err(error) => ended(error),
        };
        let op = Op::Commit {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch,
            partition: index,
            offset: offset.0,
        };
        self.journal.end(begun, op, end);
        Ok(told.is_ok())
    }
}

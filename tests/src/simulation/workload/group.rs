//! Owners of a partition in a consumer group, who take over from each other: each shuts the older ones out, goes on
//! where they had committed, and commits until it is shut out itself. Some do not believe it, and try again. In some runs
//! every second commit appends a record to the stream itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::Consumer;
use weir_types::{GroupId, Offset, WeirError};

use super::super::client::Client;
use super::seat::Seat;
use super::work::Outputs;
use super::{Journal, read};

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
            if let Some(committed) = self.seat(epoch).take_over().await? {
                self.work(Owned { epoch, committed }, &healed).await?;
            }
            sleep(self.pause()).await;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.client.below(self.pause_ms_max))
    }

    fn seat(&self, epoch: u64) -> Seat<'_> {
        let Self { client, journal, consumer, partition, .. } = self;
        Seat { client, journal, consumer: *consumer, partition: *partition, epoch }
    }

    async fn work(&self, mut owned: Owned, healed: &CancellationToken) -> Result<(), WeirError> {
        let mut next = owned.committed.unwrap_or_default();
        for _ in 0..=self.client.below(COMMITS_MAX) {
            if healed.is_cancelled() {
                return Ok(());
            }
            let reader = read::Reader { consumer: self.consumer, epoch: Some(owned.epoch), wait_ms: WAIT_MS };
            next = reader.fetch(&self.client, &self.journal, self.partition, next).await?.next;
            if self.client.below(COMMITS_MAX * STILL_ONE_IN) == 0 {
                sleep(STILL).await;
            }
            let owns = match &self.outputs {
                Some(outputs) if owned.committed < Some(next) && self.client.below(APPENDS_ONE_IN) == 0 => {
                    self.seat(owned.epoch).commit_and_append(owned.committed, next, outputs).await?
                }
                _ => self.seat(owned.epoch).commit(next).await?,
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
}

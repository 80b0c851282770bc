//! A worker on one partition of the queue: leases, takes its time, and settles; until the faults are over it also gives
//! back, forgets, and is late.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_queue::{Action, SettleItem};
use weir_types::{ErrorKind, GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Leased, Question};
use super::Journal;
use super::produce::{unexpected, value_of};
use crate::history::{Answered, Op};

/// Most messages of one request.
const MESSAGES_MAX: u64 = 6;
/// How long a request waits for a message.
const WAIT_MS: u64 = 1_000;
/// Longest ordinary work on what was leased.
const WORK_MS_MAX: u64 = 80;

/// One worker.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) number: u16,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) lease_ms: u64,
    /// From then on it acks everything in time.
    pub(super) careful: CancellationToken,
}

impl Worker {
    /// Works until the queue is drained.
    pub(super) async fn run(self, drained: CancellationToken) -> Result<(), WeirError> {
        while !drained.is_cancelled() {
            let leased = self.lease().await?;
            if leased.is_empty() {
                continue;
            }
            sleep(self.work()).await;
            let items: Vec<SettleItem> = leased.iter().filter_map(|leased| self.decide(leased)).collect();
            if !items.is_empty() {
                self.settle(items).await?;
            }
        }
        Ok(())
    }

    async fn lease(&self) -> Result<Vec<Leased>, WeirError> {
        let (index, group) = self.partition;
        let question = Question::Lease {
            group,
            request: self.client.request(),
            messages_max: 1 + self.client.below(MESSAGES_MAX) as u32,
            lease_ms: self.lease_ms,
            wait_ms: WAIT_MS,
        };
        let from = self.journal.history.now();
        let answer = self.client.ask(Some(group), &question, Duration::from_millis(WAIT_MS)).await?;
        let Answer::Leased(leased) = answer else { return Err(unexpected(&answer)) };
        for Leased { message, lease, value } in &leased {
            let message = (index, message.0);
            let Some(value) = value_of(value) else {
                self.journal.violated(format_args!("P1 the body of message {message:?} is damaged"));
                continue;
            };
            let held = Some(self.lease_ms * 1000);
            let (consumer, lease_id) = (self.number, lease.0);
            self.journal.note(from, Op::Delivered { consumer, message, value, lease_id, held });
        }
        Ok(leased)
    }

    fn work(&self) -> Duration {
        let late = !self.careful.is_cancelled() && self.client.below(40) == 0;
        let late_ms = if late { self.lease_ms * 11 / 10 } else { 0 };
        Duration::from_millis(late_ms + self.client.below(WORK_MS_MAX))
    }

    /// What becomes of a message; none when the worker forgets it.
    fn decide(&self, leased: &Leased) -> Option<SettleItem> {
        let action = match self.client.below(100) {
            _ if self.careful.is_cancelled() => Action::Ack,
            0..80 => Action::Ack,
            80..92 => Action::Nack { delay_ms: Some(self.client.below(300)) },
            92..95 => Action::Release,
            _ => return None,
        };
        Some(SettleItem { message: leased.message, lease: leased.lease, action })
    }

    async fn settle(&self, items: Vec<SettleItem>) -> Result<(), WeirError> {
        let (index, group) = self.partition;
        let request = self.client.request();
        let question = Question::Settle { group, request, items: items.clone() };
        let from = self.journal.history.now();
        let answer = self.client.ask(Some(group), &question, Duration::from_secs(1)).await?;
        let Answer::Settled(outcomes) = answer else { return Err(unexpected(&answer)) };
        for (item, error) in items.into_iter().zip(outcomes) {
            let answered = match error {
                None => Answered::Yes,
                Some(error) if error.kind == ErrorKind::LeaseLost => Answered::No,
                Some(error) => return Err(error),
            };
            let message = (index, item.message.0);
            let ack = item.action == Action::Ack;
            self.journal.note(from, Op::Settled { message, lease_id: item.lease.0, ack, answered });
        }
        Ok(())
    }
}

//! Somebody who looks after a queue partition's dead letters: lists them, lets some be tried again, drops some, and
//! leaves the others where they are; in the end all are tried again.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{MessageId, Op, ParkedMessage};
use weir_types::{GroupId, WeirError};

use super::super::client::{Client, SEALED};
use super::super::wire::{Answer, Question};
use super::atlas::Atlas;
use super::produce::{unexpected, value_of};
use super::{Journal, QUEUE, ended};
use crate::recorder::End;

/// Longest pause between two looks.
const PAUSE_MS_MAX: u64 = 2_500;

/// One of them.
pub(super) struct Undertaker {
    pub(super) client: Client,
    pub(super) journal: Journal,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    /// Whether some are dropped.
    pub(super) discards: bool,
    /// From then on nothing is dropped or left.
    pub(super) careful: CancellationToken,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It happened, or was not to happen any more.
    Done,
    /// The partition is sealed: there a message can be tried again only while nothing of its key is elsewhere.
    Sealed,
}

impl Undertaker {
    /// Looks until the queue is drained.
    pub(super) async fn run(self, drained: CancellationToken) -> Result<(), WeirError> {
        while !drained.is_cancelled() {
            self.look().await?;
            sleep(Duration::from_millis(self.client.below(PAUSE_MS_MAX))).await;
        }
        Ok(())
    }

    /// Looks at all partitions of the queue until it is drained.
    pub(super) async fn run_everywhere(
        mut self,
        atlas: Atlas,
        drained: CancellationToken,
    ) -> Result<(), WeirError> {
        while !drained.is_cancelled() {
            for partition in atlas.all(QUEUE) {
                self.partition = partition.place();
                self.look().await?;
            }
            sleep(Duration::from_millis(self.client.below(PAUSE_MS_MAX))).await;
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), WeirError> {
        let (mut redriven, mut dropped) = (Vec::new(), Vec::new());
        for message in self.list().await? {
            match self.client.below(4) {
                _ if self.careful.is_cancelled() => redriven.push(message),
                0 if self.discards => dropped.push(message),
                1 => {}
                _ => redriven.push(message),
            }
        }
        if self.redrive(redriven.clone()).await? == Fate::Sealed {
            // Of each its key goes on elsewhere already, or not.
            for message in redriven {
                if self.redrive(vec![message]).await? == Fate::Sealed {
                    dropped.push(message);
                }
            }
        }
        self.discard(dropped).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<weir_types::MessageId>, WeirError> {
        let (partition, group) = self.partition;
        let begun = self.journal.begin();
        let answer = self.client.ask(Some(group), &Question::Parked { group }, Duration::ZERO).await?;
        let Answer::Parked(parked) = answer else { return Err(unexpected(&answer)) };
        let messages = parked.iter().map(|(message, attempts, value)| ParkedMessage {
            message: MessageId { partition, id: message.0 },
            value: value_of(value),
            attempts: *attempts,
        });
        let op = Op::ListParked { topic: QUEUE.to_owned(), messages: messages.collect() };
        self.journal.end(begun, op, End::Ok);
        Ok(parked.into_iter().map(|(message, ..)| message).collect())
    }

    async fn redrive(&self, messages: Vec<weir_types::MessageId>) -> Result<Fate, WeirError> {
        let (topic, known) = (QUEUE.to_owned(), self.known(&messages));
        let question = Question::Redrive { group: self.partition.1, messages };
        self.change(&question, Op::Redrive { topic, messages: known }).await
    }

    async fn discard(&self, messages: Vec<weir_types::MessageId>) -> Result<Fate, WeirError> {
        let (topic, known) = (QUEUE.to_owned(), self.known(&messages));
        let question = Question::Discard { group: self.partition.1, messages };
        self.change(&question, Op::Discard { topic, messages: known }).await
    }

    fn known(&self, messages: &[weir_types::MessageId]) -> Vec<MessageId> {
        let partition = self.partition.0;
        messages.iter().map(|message| MessageId { partition, id: message.0 }).collect()
    }

    async fn change(&self, question: &Question, op: Op) -> Result<Fate, WeirError> {
        if matches!(&op, Op::Redrive { messages, .. } | Op::Discard { messages, .. } if messages.is_empty()) {
            return Ok(Fate::Done);
        }
        let (begun, mut unheard) = (self.journal.begin(), false);
        let wait = Duration::from_secs(2);
        let told = self.client.ask_and_hear(Some(self.partition.1), question, wait, &mut unheard).await;
        let is_sealed = told.as_ref().is_err_and(|error| error.code == SEALED);
        let end = match told {
            Ok(_) => End::Ok,
            Err(error) if unheard => End::Info(error.code),
            Err(error) => ended(&error),
        };
        self.journal.end(begun, op, end);
        Ok(if is_sealed { Fate::Sealed } else { Fate::Done })
    }
}

//! What the owner of a partition in a consumer group does: shuts older owners out, and commits, in some runs together with a
//! record.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_checker::{Consumer, Op, Value};
use weir_types::{GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::unexpected;
use super::work::Outputs;
use super::{GROUP, Journal, STREAM, ended};
use crate::recorder::End;

/// One owner of one partition, under one epoch.
#[derive(Clone, Copy)]
pub(super) struct Seat<'a> {
    pub(super) client: &'a Client,
    pub(super) journal: &'a Journal,
    pub(super) consumer: Consumer,
    /// Index and Raft group.
    pub(super) partition: (u32, GroupId),
    pub(super) epoch: u64,
}

impl Seat<'_> {
    /// Shuts older owners out; where the group stands, or nothing when a newer owner was faster.
    pub(super) async fn take_over(self) -> Result<Option<Option<Offset>>, WeirError> {
        let (index, group) = self.partition;
        let begun = self.journal.begin();
        let question = Question::Fence { group, consumers: GROUP.to_owned(), epoch: self.epoch };
        let told = self.client.ask(Some(group), &question, Duration::from_secs(1)).await;
        let (end, committed) = match told {
            Ok(Answer::Position { committed }) => (End::Ok, Some(committed.map(Offset))),
            Ok(other) => return Err(unexpected(&other)),
            Err(error) => (ended(&error), None),
        };
        let op = Op::Assign {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch: self.epoch,
            partitions: vec![index],
        };
        self.journal.end(begun, op, end);
        Ok(committed)
    }

    /// Commits a position and appends a record; false when the owner is one no more.
    pub(super) async fn commit_and_append(
        self,
        from: Option<Offset>,
        offset: Offset,
        outputs: &Outputs,
    ) -> Result<bool, WeirError> {
        let (index, group) = self.partition;
        let sequence = outputs.next.fetch_add(1, Ordering::Relaxed);
        let value = Value { producer: outputs.producer, sequence };
        let (destination, batch) = outputs.place(value, self.client)?;
        let question = Question::CommitAndAppend {
            group,
            consumers: GROUP.to_owned(),
            epoch: self.epoch,
            from,
            offset,
            destination,
            batch,
        };
        let (begun, mut unheard) = (self.journal.begin(), false);
        let told =
            self.client.ask_and_hear(Some(group), &question, Duration::from_secs(1), &mut unheard).await;
        let op = Op::CommitAndAppend {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch: self.epoch,
            partition: index,
            from: from.map(|offset| offset.0),
            offset: offset.0,
            stream: STREAM.to_owned(),
            value,
        };
        self.journal.end(begun, op, committed_as(&told, unheard));
        Ok(told.is_ok())
    }

    /// Commits a position; false when the owner is one no more.
    pub(super) async fn commit(self, offset: Offset) -> Result<bool, WeirError> {
        let (index, group) = self.partition;
        let (begun, mut unheard) = (self.journal.begin(), false);
        let question = Question::Commit { group, consumers: GROUP.to_owned(), epoch: self.epoch, offset };
        let wait = Duration::from_secs(1);
        let told = self.client.ask_and_hear(Some(group), &question, wait, &mut unheard).await;
        let op = Op::Commit {
            group: GROUP.to_owned(),
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            epoch: self.epoch,
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

//! What an operator does to the messages of a queue: dead letters made ready or deleted, scheduled messages called off,
//! a queue emptied.

use weir_queue::{Command, ParkKind, Queue, Reply, Select};
use weir_types::{ErrorKind, GroupId, MessageId, WeirError};

use crate::broker::Broker;
use crate::partition::Partition;
use crate::replica::unexpected;

/// How many messages one step may touch.
const STEP_MESSAGES_MAX: u32 = 10_000;

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// These. Those that are none are passed over; `NotFound` when none of them is one.
    Named(Vec<MessageId>),
    /// The oldest.
    Oldest {
        /// Only those that are parked for this reason.
        reason: Option<ParkKind>,
        /// At most so many.
        max: u64,
    },
}

impl Broker {
    /// Makes dead letters ready again. How many it was.
    pub async fn redrive(&self, group: GroupId, letters: Letters) -> Result<u64, WeirError> {
        self.step_parked(group, letters, |select, max| Command::Redrive { select, max }).await
    }

    /// Deletes dead letters. How many it was.
    pub async fn discard(&self, group: GroupId, letters: Letters) -> Result<u64, WeirError> {
        self.step_parked(group, letters, |select, max| Command::Discard { select, max }).await
    }

    /// Removes messages that wait for their delivery time. Those that do not, because a consumer may have them by now
    /// or because they are gone, are passed over; `NotFound` when none did.
    pub async fn cancel_scheduled(&self, group: GroupId, messages: &[MessageId]) -> Result<u64, WeirError> {
        each_named(&self.queue(group)?, messages, |message| Command::CancelScheduled { message }).await
    }

    /// Removes every message before `horizon`, in whatever state: who holds one has lost its lease. Without a horizon
    /// everything that is there now; with one, a repetition removes nothing that came later.
    pub async fn purge(&self, group: GroupId, horizon: Option<MessageId>) -> Result<u64, WeirError> {
        let partition = self.queue(group)?;
        let (mut purged, mut horizon) = (0, horizon);
        loop {
            let step = Command::Purge { before: horizon, max: STEP_MESSAGES_MAX };
            match partition.propose(step).await.map_err(|error| partly_done(purged, error))? {
                Reply::Purged { messages, before, more } => {
                    purged += messages;
                    horizon = Some(before);
                    if !more {
                        return Ok(purged);
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    async fn step_parked(
        &self,
        group: GroupId,
        letters: Letters,
        command: impl Fn(Select, u32) -> Command,
    ) -> Result<u64, WeirError> {
        let partition = self.queue(group)?;
        let (reason, max) = match letters {
            Letters::Named(messages) => {
                return each_named(&partition, &messages, |message| command(Select::One(message), 1)).await;
            }
            Letters::Oldest { reason, max } => (reason, max),
        };
        let mut done = 0;
        while done < max {
            let wanted = (max - done).min(STEP_MESSAGES_MAX.into()) as u32;
            let select = reason.map_or(Select::All, Select::Reason);
            let step = partition.propose(command(select, wanted)).await;
            let step = count(&step.map_err(|error| partly_done(done, error))?)?;
            done += step;
            if step < u64::from(wanted) {
                break;
            }
        }
        Ok(done)
    }
}

/// One step per message; how many there were. An error only when there was none.
async fn each_named(
    partition: &Partition<Queue>,
    messages: &[MessageId],
    command: impl Fn(MessageId) -> Command,
) -> Result<u64, WeirError> {
    let (mut done, mut missing) = (0, None);
    for message in messages {
        match partition.propose(command(*message)).await {
            Ok(reply) => done += count(&reply)?,
            // Perhaps the first try of this request, whose answer was lost, has dealt with it.
            Err(error) if error.kind == ErrorKind::NotFound => missing = Some(error),
            Err(error) => return Err(partly_done(done, error)),
        }
    }
    missing.filter(|_| done == 0).map_or(Ok(done), Err)
}

/// Several steps are several entries: a request that failed half way has happened in part.
fn partly_done(done: u64, error: WeirError) -> WeirError {
    if done == 0 {
        return error;
    }
    let message = format!("{done} messages were done, then: {error}");
    WeirError::new(ErrorKind::OutcomeUnknown, "outcome-unknown", message)
}

fn count(reply: &Reply) -> Result<u64, WeirError> {
    match reply {
        Reply::Redriven { count } | Reply::Discarded { count } => Ok(u64::from(*count)),
        Reply::Done => Ok(1),
        other => Err(unexpected(other)),
    }
}

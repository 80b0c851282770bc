//! The queue as a replicated state.

use weir_queue::{AckAndAppend, Command, Effect, Move, Queue, Rejection, Replay, Reply};
use weir_types::{
    At, Corrupt, Deadlines, ErrorKind, LeaseId, LogIndex, Output, QueuePolicy, Recut, Row, WeirError,
};

use crate::replica::{Answer, State};

impl State for Queue {
    type Command = Command;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = Effect;

    fn empty() -> Self {
        // The topic's own policy comes in by the first command, so that all replicas begin alike.
        Self::new(QueuePolicy::default(), LeaseId(0))
    }

    fn restore(rows: impl Iterator<Item = Row>) -> Result<Self, Corrupt> {
        Self::restore(rows)
    }

    fn apply_entry(
        &mut self,
        at: At,
        commands: Vec<Command>,
        out: &mut Output<Effect>,
    ) -> Result<Vec<Answer<Self>>, Corrupt> {
        self.apply_entry(at, commands, out)
    }

    fn deadlines(&self) -> Deadlines {
        self.next_deadlines()
    }

    fn tick() -> Option<Command> {
        Some(Command::Tick)
    }

    fn retained_from(&self) -> Option<LogIndex> {
        self.retained_from()
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }

    fn error(rejection: &Rejection) -> WeirError {
        let error = WeirError::new(rejection.kind(), rejection.code(), rejection.to_string());
        match rejection.kind() {
            ErrorKind::OutOfSpace | ErrorKind::Throttled => error.after_ms(500),
            // Somebody has to look at the parked message first.
            _ if matches!(rejection, Rejection::KeyBlocked { .. }) => error.after_ms(1_000),
            _ => error,
        }
    }

    fn place_body(command: &mut Command, at: u32) {
        match command {
            Command::Enqueue(batch) | Command::EnqueueShared { batch, .. } => batch.position = at,
            Command::AcceptTransfer(transfer) | Command::AcceptTransferShared { transfer, .. } => {
                transfer.batch.position = at;
            }
            Command::AckAndAppend(AckAndAppend { outputs, .. })
            | Command::Move(Move { outputs, .. })
            | Command::Recut(Recut { outputs, .. }) => {
                for output in outputs {
                    output.position += at;
                }
            }
            Command::Replay(Replay { batch, .. })
            | Command::ReplayShared { step: Replay { batch, .. }, .. } => {
                if let Some(batch) = batch {
                    batch.position = at;
                }
            }
            Command::Relocate(step) => {
                for batch in &mut step.batches {
                    batch.position += at;
                }
            }
            // Each by name, so that a new command with a body is not forgotten.
            Command::Lease(_)
            | Command::Settle(_)
            | Command::OpenSession { .. }
            | Command::KeepSession { .. }
            | Command::CloseSession { .. }
            | Command::Redrive { .. }
            | Command::Discard { .. }
            | Command::CancelScheduled { .. }
            | Command::Purge { .. }
            | Command::SetPolicy { .. }
            | Command::Tick
            | Command::RaiseLeases
            | Command::ConfirmTransfer { .. }
            | Command::Seal
            | Command::Inherit(_)
            | Command::Drained { .. }
            | Command::ConfirmDrained { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_queue::{Enqueue, Relocate, RelocatedBatch, TenantRun, Transfer, Waiting};
    use weir_types::{GroupId, MessageId, OutputBatch, RequestId, TransferSequence, TransferSource};

    use super::*;

    #[test]
    fn a_batch_lies_where_its_body_is_put_whoever_sends_it() {
        let batch = Enqueue {
            position: 0,
            length: 10,
            count: 1,
            bytes: 10,
            producer: None,
            runs: Vec::new(),
            dedup: Vec::new(),
        };
        let (source, sequence) = (TransferSource::outbox(GroupId(1)), TransferSequence(1));
        let transfer = Transfer { source, after: TransferSequence(0), sequence, batch: batch.clone() };
        let (from, request) = (MessageId(0), RequestId(1));
        let step = Replay { request, from, next: from, end: from, batch: Some(batch.clone()) };
        for tenants in [Vec::new(), vec![TenantRun { count: 1, tenant: None }]] {
            let mut commands = [
                Command::enqueue(batch.clone(), tenants.clone()),
                Command::accept_transfer(transfer.clone(), tenants.clone()),
                Command::replay(step.clone(), tenants),
            ];
            for command in &mut commands {
                Queue::place_body(command, 300);
                let (Command::Enqueue(Enqueue { position, .. })
                | Command::EnqueueShared { batch: Enqueue { position, .. }, .. }
                | Command::AcceptTransfer(Transfer { batch: Enqueue { position, .. }, .. })
                | Command::AcceptTransferShared {
                    transfer: Transfer { batch: Enqueue { position, .. }, .. },
                    ..
                }
                | Command::Replay(Replay { batch: Some(Enqueue { position, .. }), .. })
                | Command::ReplayShared {
                    step: Replay { batch: Some(Enqueue { position, .. }), .. },
                    ..
                }) = command
                else {
                    panic!("it stays what it was")
                };
                assert_eq!(*position, 300);
            }
        }
    }

    #[test]
    fn outputs_lie_behind_what_is_in_the_entry_already() {
        let output = |position| OutputBatch { destination: GroupId(1), position, length: 10 };
        let outputs = vec![output(0), output(10)];
        let (messages, waiting) = (Vec::new(), Waiting::Ready);
        let batch = |position| RelocatedBatch { position, length: 10, runs: Vec::new() };
        let mut relocation = Command::Relocate(Relocate { batches: vec![batch(0), batch(10)] });
        Queue::place_body(&mut relocation, 300);
        assert_eq!(relocation, Command::Relocate(Relocate { batches: vec![batch(300), batch(310)] }));
        let step = AckAndAppend { request: None, messages: Vec::new(), outputs: outputs.clone() };
        let (after, through) = (TransferSequence(0), TransferSequence(1));
        let recut = Recut { destination: GroupId(2), after, through, outputs: outputs.clone() };
        for mut command in [
            Command::Move(Move { waiting, messages, outputs }),
            Command::AckAndAppend(step),
            Command::Recut(recut),
        ] {
            Queue::place_body(&mut command, 300);
            let (Command::Move(Move { outputs, .. })
            | Command::AckAndAppend(AckAndAppend { outputs, .. })
            | Command::Recut(Recut { outputs, .. })) = command
            else {
                panic!("it stays what it was")
            };
            assert_eq!(outputs, [output(300), output(310)]);
        }
    }
}

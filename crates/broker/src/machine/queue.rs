//! The queue as a replicated state.

use weir_queue::{Command, Effect, Queue, Rejection, Reply};
use weir_types::{At, Corrupt, Deadlines, ErrorKind, LeaseId, LogIndex, Output, QueuePolicy, Row, WeirError};

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
            _ => error,
        }
    }

    fn place_body(command: &mut Command, at: u32) {
        match command {
            Command::Enqueue(batch) => batch.position = at,
            Command::AcceptTransfer(transfer) => transfer.batch.position = at,
            Command::AckAndAppend(step) => step.outputs.iter_mut().for_each(|output| output.position += at),
            _ => {}
        }
    }
}

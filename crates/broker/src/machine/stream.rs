//! The stream as a replicated state.

use weir_stream::{Command, CommitAndAppend, Effect, Rejection, Reply, Rewrite, Stream};
use weir_types::{At, Corrupt, Deadlines, ErrorKind, LogIndex, Output, Recut, Row, StreamPolicy, WeirError};

use crate::replica::{Answer, State};

impl State for Stream {
    type Command = Command;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = Effect;

    fn empty() -> Self {
        // The topic's own policy comes in by the first command, so that all replicas begin alike.
        Self::new(StreamPolicy::default())
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
        commands.into_iter().map(|command| self.apply(at, command, out)).collect()
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
        if rejection.kind() == ErrorKind::Throttled { error.after_ms(500) } else { error }
    }

    fn place_body(command: &mut Command, at: u32) {
        match command {
            Command::Append(batch) => batch.position = at,
            Command::AcceptTransfer(transfer) => transfer.batch.position = at,
            Command::CommitAndAppend(CommitAndAppend { outputs, .. })
            | Command::Recut(Recut { outputs, .. }) => {
                for output in outputs {
                    output.position += at;
                }
            }
            Command::Rewrite(Rewrite { batches, .. }) => {
                for batch in batches {
                    batch.position += at;
                }
            }
            // Each by name, so that a new command with a body is not forgotten.
            Command::Fence { .. }
            | Command::CommitOffset(_)
            | Command::DeleteGroup { .. }
            | Command::Trim { .. }
            | Command::SetPolicy { .. }
            | Command::Tick
            | Command::ConfirmTransfer { .. }
            | Command::FenceProducer { .. }
            | Command::Seal => {}
        }
    }
}

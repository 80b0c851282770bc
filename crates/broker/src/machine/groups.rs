//! A shard of the consumer-group coordinator as a replicated state.

use weir_groups::{Command, Coordinator, Effect, Rejection, Reply};
use weir_types::{At, Corrupt, Deadlines, LogIndex, Output, Row, WeirError};

use crate::replica::{Answer, State};

impl State for Coordinator {
    type Command = Command;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = Effect;

    fn empty() -> Self {
        Self::default()
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
        let answers = commands.into_iter().map(|command| self.apply(at, command, out)).collect();
        // Members expire last, so that a heartbeat that arrives together with its own expiry wins.
        if self.next_deadlines().lease.is_some_and(|deadline| deadline <= at.lease_clock) {
            let _expired = self.apply(at, Command::Tick, out)?;
        }
        answers
    }

    fn deadlines(&self) -> Deadlines {
        self.next_deadlines()
    }

    fn tick() -> Option<Command> {
        Some(Command::Tick)
    }

    fn retained_from(&self) -> Option<LogIndex> {
        None
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }

    fn error(rejection: &Rejection) -> WeirError {
        rejection.clone().into()
    }

    fn place_body(_: &mut Command, _: u32) {}
}

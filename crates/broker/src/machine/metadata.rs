//! The registry as a replicated state: it holds no bodies and waits for no time.

use weir_metadata::{Command, Effect, Registry, Rejection, Reply};
use weir_types::{At, Corrupt, Deadlines, LogIndex, Output, Row, WeirError};

use crate::replica::{Answer, State};

impl State for Registry {
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
        commands.into_iter().map(|command| self.apply(at, command, out)).collect()
    }

    fn deadlines(&self) -> Deadlines {
        Deadlines::default()
    }

    fn tick() -> Option<Command> {
        None
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

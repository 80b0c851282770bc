//! What a pure machine must be able to do to be replicated as a partition.

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{At, Corrupt, Deadlines, ErrorKind, LogIndex, Output, Row, WeirError};

/// The answer of a machine to one command.
pub(crate) type Answer<S> = Result<<S as State>::Reply, <S as State>::Rejection>;

/// A pure machine. One generic adapter ([`Replica`](super::Replica)) and one generic runtime
/// ([`Partition`](crate::partition::Partition)) serve them all.
pub(crate) trait State: Sized + Send + 'static {
    /// A replicated command.
    type Command: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its answer.
    type Reply: Send + 'static;
    /// A normal, replicated "no".
    type Rejection: Send + 'static;
    /// A hint for the leader.
    type Effect: Send + 'static;

    /// The state before the first entry, where no setting is fixed from the start.
    fn empty() -> Self;
    /// The state that these rows hold.
    fn restore(rows: impl Iterator<Item = Row>) -> Result<Self, Corrupt>;
    /// Applies the commands of one entry, then fires the timers that are due: one answer per command.
    fn apply_entry(
        &mut self,
        at: At,
        commands: Vec<Self::Command>,
        out: &mut Output<Self::Effect>,
    ) -> Result<Vec<Answer<Self>>, Corrupt>;
    /// When it next waits for time to pass.
    fn deadlines(&self) -> Deadlines;
    /// The command that only lets time pass.
    fn tick() -> Option<Self::Command>;
    /// The first log index whose bodies it still points to; none when it points to no body.
    fn retained_from(&self) -> Option<LogIndex>;
    /// Panics when the state contradicts itself. Costs as much as the state is large: for simulations.
    fn check_invariants(&self);
    /// What a rejection says to a client.
    fn error(rejection: &Self::Rejection) -> WeirError;
    /// Tells a command where in the entry's bodies its batch begins.
    fn place_body(command: &mut Self::Command, position: u32);
}

/// The reply was of another kind than the command: a bug.
pub(crate) fn unexpected(reply: &impl std::fmt::Debug) -> WeirError {
    WeirError::new(ErrorKind::Internal, "unexpected-reply", format!("unexpected reply {reply:?}"))
}

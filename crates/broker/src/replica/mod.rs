//! A replica of one pure machine: decodes entries, advances the clocks, applies commands, collects row changes,
//! and wakes whoever waits. The same on leaders and followers.

mod clock;
mod entry;
mod state;

use bytes::Bytes;
use tokio::sync::watch;
use weir_consensus::{EntryPosition, Machine};
use weir_types::{At, Corrupt, Deadlines, LogIndex, Output, Row, RowChange};

pub(crate) use clock::{Clocks, LeaderClock};
#[cfg(feature = "fuzzing")]
pub(crate) use entry::decode as decode_entry;
pub(crate) use entry::{Stamp, bodies, encode, encoded_bytes};
pub(crate) use state::{Answer, State, unexpected};

/// Rows of the machine itself begin with this byte (0x00 is consensus's).
const MACHINE_PREFIX: u8 = 0x01;
/// The row of the clocks.
const CLOCKS_KEY: [u8; 1] = [0x02];

/// What waits outside is woken through this: the last applied index. Changes coalesce.
pub(crate) type AppliedSender = watch::Sender<LogIndex>;

/// A replicated machine with its clocks.
pub(crate) struct Replica<S> {
    state: S,
    clocks: Clocks,
    last: LogIndex,
    applied: AppliedSender,
}

impl<S: State> Replica<S> {
    /// The replica that these rows hold; `empty` is the state before the first of them, equal on every replica.
    pub(crate) fn from_rows(
        rows: Vec<Row>,
        empty: impl FnOnce() -> S,
        applied: AppliedSender,
    ) -> Result<Self, Corrupt> {
        let mut clocks = Clocks::default();
        let mut own = Vec::with_capacity(rows.len());
        for mut row in rows {
            match row.key.first() {
                Some(&MACHINE_PREFIX) => {
                    row.key.remove(0);
                    own.push(row);
                }
                _ if row.key == CLOCKS_KEY => {
                    clocks = postcard::from_bytes(&row.value)
                        .map_err(|e| Corrupt(format!("row of the clocks: {e}")))?;
                }
                _ => return Err(Corrupt(format!("row with the unknown key {:02x?}", row.key))),
            }
        }
        let state = if own.is_empty() { empty() } else { S::restore(own.into_iter())? };
        Ok(Self { state, clocks, last: LogIndex(0), applied })
    }

    /// The machine, to be read.
    pub(crate) fn state(&self) -> &S {
        &self.state
    }

    /// The last entry that was applied; 0 for none.
    pub(crate) fn last(&self) -> LogIndex {
        self.last
    }

    /// The clocks after the last entry.
    pub(crate) fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// When the machine next waits for time to pass.
    pub(crate) fn deadlines(&self) -> Deadlines {
        self.state.deadlines()
    }
}

impl<S: State> Machine for Replica<S> {
    type Reply = Vec<Answer<S>>;

    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt> {
        Self::from_rows(rows, S::empty, watch::Sender::new(LogIndex(0)))
    }

    fn apply(
        &mut self,
        position: EntryPosition,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> Result<Self::Reply, Corrupt> {
        let entry = entry::decode::<S::Command>(payload)?;
        self.clocks = self.clocks.advanced(entry.stamp);
        let at = At {
            term: position.term,
            index: position.index,
            lease_clock: self.clocks.lease,
            wall_clock: self.clocks.wall,
        };
        let mut out = Output::default();
        let answers = self.state.apply_entry(at, entry.commands, &mut out)?;
        changes.extend(out.changes.into_iter().map(|mut change| {
            change.key.insert(0, MACHINE_PREFIX);
            change
        }));
        let clocks = postcard::to_allocvec(&self.clocks).expect("two integers always encode");
        changes.push(RowChange::put(CLOCKS_KEY.to_vec(), clocks));
        self.last = position.index;
        Ok(answers)
    }

    fn applied(&mut self, last: LogIndex) {
        self.last = self.last.max(last);
        self.applied.send_replace(self.last);
    }

    fn retained_from(&self) -> LogIndex {
        self.state.retained_from().unwrap_or_else(|| self.last.next())
    }
}

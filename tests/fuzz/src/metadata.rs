//! The registry of a cluster.

use weir_metadata::{Command, Described, Registry};
use weir_types::{At, Corrupt, Row, RowChange};

use crate::golden;
use crate::machine::{self, Machine, changes_of};

impl Machine for Registry {
    type Command = Command;

    fn empty(_: u8) -> Self {
        Self::default()
    }

    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt> {
        Self::restore(rows)
    }

    fn apply(&mut self, at: At, command: Command, changes: &mut Vec<RowChange>) -> Result<(), Corrupt> {
        changes_of(changes, |out| self.apply(at, command, out))
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }
}

/// A backup's description that decodes is encoded to the same again. For the rest as [`machine::law`]: no panic, no contradiction, and rows that restore the state.
pub fn law(data: &[u8]) {
    let _ = Command::decode(data);
    if let Ok(described) = Described::decode(data) {
        assert_eq!(Described::decode(&described.encode()), Ok(described));
    }
    machine::law::<Registry>(data);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let commands =
        golden::commands("metadata").into_iter().map(|bytes| Command::decode(&bytes).expect("golden bytes"));
    machine::seeds::<Registry>(&[0], &commands.collect::<Vec<_>>(), &golden::rows("metadata"))
}

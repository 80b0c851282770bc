//! A partition of a queue: plain and FIFO, of one owner and shared by tenants.

use weir_queue::{Command, Queue};
use weir_types::{At, Corrupt, LeaseId, QueuePolicy, Row, RowChange};

use crate::golden;
use crate::machine::{self, Machine, changes_of};

impl Machine for Queue {
    type Command = Command;

    fn empty(variant: u8) -> Self {
        let policy = QueuePolicy {
            fifo: variant & 1 == 1,
            attempts_max: 1 + u32::from(variant >> 1 & 3),
            max_inflight_per_key: 1 + u32::from(variant >> 3 & 3),
            fair_by: (variant & 0x20 != 0).then(|| "tenant".to_owned()),
            ttl_ms: (variant & 0x80 != 0).then_some(5_000),
            ..QueuePolicy::default()
        };
        Self::new(policy, LeaseId(0))
    }

    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt> {
        Self::restore(rows.into_iter())
    }

    fn apply(&mut self, at: At, command: Command, changes: &mut Vec<RowChange>) -> Result<(), Corrupt> {
        changes_of(changes, |out| self.apply(at, command, out))
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }
}

/// As [`machine::law`]: no panic, no contradiction, and rows that restore the state.
pub fn law(data: &[u8]) {
    machine::law::<Queue>(data);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let commands = golden::commands("queue");
    let commands = commands.iter().map(|bytes| postcard::from_bytes(bytes).expect("golden bytes"));
    machine::seeds::<Queue>(&[0, 1, 0x20, 0x21, 0x80, 0x89], &commands.collect::<Vec<_>>(), &golden::rows("queue"))
}

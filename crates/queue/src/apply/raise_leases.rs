//! The partition was restored from a backup: where the backup was made, leases have been given since.

use weir_types::LeaseId;

use crate::output::Reply;
use crate::queue::{Header, Queue};

/// So many leases may a partition have given after it was backed up. Half a million restores fit, one upon the other, into
/// the numbers that every JSON reader keeps exact.
pub(crate) const LEASES_APART: u64 = 1 << 33;

impl Queue {
    /// A lease that runs goes on, and its holder may settle it. No later one has a number that somebody else may hold: a
    /// token of the old cluster never settles a lease of this one, and fencing tokens go on rising.
    pub(crate) fn raise_leases(&mut self) -> Reply {
        let header = *self.header.get();
        let apart = (header.last_lease.0 / LEASES_APART + 1) * LEASES_APART;
        self.header.set(Header { last_lease: LeaseId(apart), ..header });
        Reply::Done
    }
}
